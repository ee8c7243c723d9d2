"""What was acknowledged is there; what was not is not; and every byte that changed is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.decide import decide
from storage.archive import Archive
from storage.errors import ArchiveCorrupt, ArchiveError, ArchiveFull
from storage.model import Commit, Entry
from storage.segments import read_intents, read_meta, segment_path
from tests.builders import NOW, an_entry

ROOT = Path(__file__).resolve().parents[1]


def entries(first: int, count: int) -> list[Entry]:
    """`count` different papers."""
    return [
        an_entry(arxiv_id=f"2606.{n:05d}", entry_id=f"oai:arXiv.org:2606.{n:05d}v1", title=f"Paper {n}")
        for n in range(first, first + count)
    ]


def add(archive: Archive, first: int, count: int = 3) -> Commit:
    """Commit one batch of `count` papers."""
    return archive.append(entries(first, count), source="s", batch_id=f"batch {first}", now=NOW, decide=decide)


def test_a_commit_is_read_back_as_it_was_given(tmp_path: Path) -> None:
    with Archive(tmp_path) as archive:
        add(archive, 1)
        before = archive.papers(["arxiv:2606.00001"])
    with Archive(tmp_path) as archive:
        assert archive.papers(["arxiv:2606.00001"]) == before
        assert before["arxiv:2606.00001"].abstract == an_entry().abstract


def test_each_segment_carries_the_hash_of_the_one_before(tmp_path: Path) -> None:
    with Archive(tmp_path) as archive:
        add(archive, 1)
        add(archive, 10)
        first = archive.index.segment(1)
        assert first is not None
        assert read_meta(segment_path(archive.log, 2)).previous_sha256 == first.sha256.hex()


def test_a_segment_the_index_has_not_seen_is_taken_at_the_next_opening(tmp_path: Path) -> None:
    with Archive(tmp_path) as archive:
        add(archive, 1)
        add(archive, 10)
    with Archive(tmp_path) as archive, archive.index.transaction():
        for where in (
            "keys WHERE seq = 2",
            "segments WHERE seq = 2",
            "outbox WHERE seq = 2",
            "files WHERE lo = 2",
            "seen",
        ):
            archive.index.connection.execute(f"DELETE FROM {where}")
    with Archive(tmp_path) as archive:
        assert archive.index.latest_seq() == 2
        assert archive.index.papers_count() == 6
        assert len(archive.index.pending_events()) == 2
        assert add(archive, 10).seq is None, "the batch is known again"


def test_the_index_rebuilt_from_the_log_is_the_same(tmp_path: Path) -> None:
    def dump(archive: Archive) -> dict[str, list[tuple[object, ...]]]:
        tables = ("keys", "stale", "merged", "segments", "files", "outbox")
        return {t: archive.index.connection.execute(f"SELECT * FROM {t} ORDER BY 1, 2").fetchall() for t in tables}

    with Archive(tmp_path) as archive:
        for first in (1, 10, 20):
            add(archive, first)
        before = dump(archive)
        assert archive.rebuild_index() == 3
        assert dump(archive) == before
    for path in (tmp_path / "archive").glob("index.sqlite*"):
        path.unlink()
    with Archive(tmp_path) as archive:
        assert dump(archive) == before


@pytest.mark.parametrize("syscall", ["fsync", "link", "unlink", "pwrite64", "write"])
def test_killed_before_any_system_call_nothing_acknowledged_is_lost(tmp_path: Path, syscall: str) -> None:
    """strace kills the writer just before its n-th call of this kind; then the archive is opened and used again."""
    strace = _strace()
    killed = 0
    for n in (1, 3, 6):
        home = tmp_path / f"{syscall}-{n}"
        with Archive(home) as archive:
            add(archive, 1)
        code = (
            f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
            "from pathlib import Path\nfrom tests.test_the_archive_survives import *\n"
            f"archive = Archive(Path({str(home)!r}))\nprint('open', flush=True)\n"
            "for n in (10, 20):\n    add(archive, n)\n    print('acknowledged', n, flush=True)"
        )
        traced = [strace, "-e", f"trace={syscall}", "-e", f"inject={syscall}:signal=KILL:when={n}", "-o", "/dev/null"]
        done = subprocess.run([*traced, sys.executable, "-c", code], capture_output=True, text=True, check=False)
        killed += done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
        with Archive(home) as archive:
            ids = set(archive.papers([f"arxiv:2606.{i:05d}" for i in range(30)]))
            for first in (10, 20):
                batch = {f"arxiv:2606.{i:05d}" for i in range(first, first + 3)}
                assert batch <= ids or not batch & ids, "half a batch"
                assert batch <= ids or f"acknowledged {first}" not in done.stdout, "an acknowledged batch is gone"
            for first in (10, 20):
                add(archive, first)
            assert archive.index.papers_count() == 9
            assert sum(s.papers for s in archive.index.segments()) == 9, "doubled"
    assert killed, f"no run was killed at {syscall}: the test tested nothing"


def _strace() -> str:
    import shutil

    found = shutil.which("strace")
    if not found:
        pytest.skip("strace is not installed, so the writer cannot be killed between two system calls")
    probe = subprocess.run([found, "-o", "/dev/null", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("strace is not permitted here")
    return found


def test_two_writers_at_once_both_commit(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path\nfrom tests.test_the_archive_survives import *\n"
        f"archive = Archive(Path({str(tmp_path)!r}))\nfirst = int(sys.argv[1])\n"
        "for n in range(5): add(archive, first + n * 10)"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, str(first)]) for first in (1000, 2000)]
    assert [child.wait(60) for child in children] == [0, 0]
    with Archive(tmp_path) as archive:
        assert archive.index.papers_count() == 30
        assert [s.seq for s in archive.index.segments()] == list(range(1, 11))


def test_a_flipped_bit_is_found_not_served(tmp_path: Path) -> None:
    with Archive(tmp_path) as archive:
        add(archive, 1, 50)
        path = segment_path(archive.log, 1)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(ArchiveCorrupt, match=r"000000000001\.parquet cannot be read"):
        read_intents(path)


def test_a_full_disk_loses_nothing_and_says_so(tmp_path: Path) -> None:
    """A real small file system where mounts are allowed; the archive fills it, then room is made."""
    home = tmp_path / "small"
    home.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", home], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here, so a full disk cannot be made")
    try:
        with Archive(home) as archive:
            add(archive, 1)
            filler = home / "filler"
            filler.write_bytes(os.urandom(_free(home)))
            with pytest.raises(ArchiveFull, match="no room"):
                add(archive, 10, 200)
            filler.unlink()
        with Archive(home) as archive:
            assert archive.index.papers_count() == 3
            assert add(archive, 10, 20).papers == 20
            assert not list(archive.log.glob(".tmp-*"))
    finally:
        subprocess.run(["umount", home], check=True)


def _free(folder: Path) -> int:
    free = os.statvfs(folder)
    return free.f_bavail * free.f_frsize


def test_a_newer_archive_refuses_an_older_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Archive(tmp_path) as archive:
        add(archive, 1)
        path = segment_path(archive.log, 1)
    monkeypatch.setattr("storage.segments.SCHEMA_VERSION", 1)
    with pytest.raises(ArchiveError, match=r"written by a newer Paperwire .*upgrade"):
        read_meta(path)
