"""Killed at any point, raced, locked out or damaged, search says what it was or what it became, or what to do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tantivy

from storage.errors import ArchiveCorrupt, ArchiveError, ArchiveFull
from storage.search import Search
from storage.search_files import told
from tests.search_rows import a_row, a_search, a_table, found, numbered

ROOT = Path(__file__).resolve().parents[1]
KILLS, ROWS = 24, 150
PARTS = (".idx", ".pos", ".term", ".store", ".fast", ".fieldnorm", ".del")

# For each line "what round seconds" it forks a child that writes a round, and kills it (9) after so many seconds;
# prints whether it had to, and how long it took.
FORKS = """
import os, signal, sys, time
from pathlib import Path
from storage.search import Search
from storage.search_files import told
from tests.search_rows import numbered

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
for line in sys.stdin:
    what, number, seconds = line.split()
    rows = numbered(0, int(sys.argv[2]), title=f"Round{number}")
    start = time.perf_counter()
    pid = os.fork()
    if not pid:
        try:
            search = Search(Path(sys.argv[1]))
            if what == "update":
                search.update(rows, seq=int(number))
            else:
                search.rebuild([rows], seq=int(number))
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if signal.sigtimedwait([signal.SIGCHLD], float(seconds)) is None:
        os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    signal.sigtimedwait([signal.SIGCHLD], 0)
    print(status, time.perf_counter() - start, flush=True)
"""
# Asks until its input ends; prints how often, and what was not all papers as one round left them.
READER = """
import select, sys
from pathlib import Path
from storage.search import Search
from storage.search_files import told
search, asked, wrong = Search(Path(sys.argv[1])), 0, []
while asked < 10 or not select.select([sys.stdin], [], [], 0)[0]:
    text = ["title:paper", "author:minta", "-zebra"][asked % 3]
    try:
        found = {hit.paper_id for hit in search.find(text, limit=1000, newest_first=asked % 2 == 0)}
        if len(found) != int(sys.argv[2]):
            wrong.append(len(found))
    except BaseException as error:
        wrong.append(repr(error))
    asked += 1
    if asked == 1:
        print("reading", flush=True)
print(asked, wrong, flush=True)
"""
# Holds the writer in the middle of a rebuild.
HOLDER = """
import sys
from pathlib import Path
from storage.search import Search
from storage.search_files import told
from tests.search_rows import numbered
def batches():
    yield numbered(0, 10)
    print("writing", flush=True)
    sys.stdin.read()
Search(Path(sys.argv[1])).rebuild(batches(), seq=99)
"""


@contextmanager
def running(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A child process of this code; killed in the end if it still runs."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            yield child
        finally:
            child.kill()


def said(child: subprocess.Popen[str], line: str = "") -> str:
    """What a child answers to a line."""
    assert child.stdin is not None
    assert child.stdout is not None
    if line:
        child.stdin.write(line + "\n")
        child.stdin.flush()
    return child.stdout.readline()


def round_of(home: Path) -> int:
    """Which round the papers are of: all of them, or the test fails."""
    search = Search(home)
    search.check()
    number = search.indexed_seq()
    assert search.papers() == ROWS
    assert len(found(search, f"title:round{number}", limit=1_000)) == ROWS
    return number


@pytest.mark.parametrize("what", ["update", "rebuild"])
def test_a_writer_killed_at_any_point_leaves_all_or_nothing(tmp_path: Path, what: str) -> None:
    a_search(tmp_path, *numbered(0, ROWS, title="Round1").to_pylist())
    killed = 0
    with running(FORKS, tmp_path, ROWS) as forks:
        status, seconds = said(forks, f"{what} 2 600").split()
        assert status == "0"
        for number in range(3, KILLS + 3):
            before = round_of(tmp_path)
            after = float(seconds) * (number - 2) / KILLS
            status = said(forks, f"{what} {number} {after}").split()[0]
            assert status in ("0", "-9")
            killed += status == "-9"
            assert round_of(tmp_path) in ((number,) if status == "0" else (before, number))
        assert said(forks, f"{what} {KILLS + 3} 600").startswith("0 ")
    assert killed >= KILLS // 4, "too few were killed to have shown anything"
    assert round_of(tmp_path) == KILLS + 3
    folder = tmp_path / "archive" / "search"
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 1
    assert [path.name for path in folder.rglob(".tmp*")] == [], "what the killed left is swept away"


def test_readers_see_whole_states_while_others_write(tmp_path: Path) -> None:
    search = a_search(tmp_path, *numbered(0, ROWS).to_pylist())
    with running(READER, tmp_path, ROWS) as reader:
        assert said(reader) == "reading\n"
        for number in range(2, 22):
            search.update(numbered(0, ROWS), seq=number)
            if number % 7 == 0:
                search.rebuild([numbered(0, ROWS)], seq=number)
        asked, wrong = said(reader, "enough").split(maxsplit=1)
    assert wrong == "[]\n"
    assert int(asked) >= 10


def test_one_writes_at_a_time_and_a_killed_one_holds_nobody_up(tmp_path: Path) -> None:
    search = a_search(tmp_path, a_row("old"))
    with running(HOLDER, tmp_path) as holder:
        assert said(holder) == "writing\n"
        for write in (lambda: search.update(a_table(a_row()), seq=2), lambda: search.rebuild([], seq=2), search.drop):
            with pytest.raises(ArchiveError, match="another process is writing the search index"):
                write()
        assert found(search, "titles") == ["old"]
        holder.kill()
        holder.wait()
        search.update(a_table(a_row("new")), seq=2)
    assert sorted(found(search, "titles")) == ["new", "old"]


def damaged(home: Path, name: str) -> Path:
    """A file of the index in use: by its name, or the largest with that ending."""
    search = home / "archive" / "search"
    folder = search / json.loads((search / "current.json").read_bytes())["folder"]
    if name == "current.json":
        return search / name
    return max(folder.glob(f"*{name}"), key=lambda path: path.stat().st_size)


def an_index_with_deletes(home: Path) -> Search:
    search = a_search(home, *numbered(0, 300).to_pylist())
    search.update(numbered(100, 100), seq=2)
    return search


@pytest.mark.parametrize("part", PARTS)
def test_a_flipped_bit_is_found(tmp_path: Path, part: str) -> None:
    search = an_index_with_deletes(tmp_path)
    search.check()
    path = damaged(tmp_path, part)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    with pytest.raises(ArchiveCorrupt, match=f"{path.name}.*rebuild it"):
        search.check()


@pytest.mark.parametrize("part", [*PARTS, "meta.json", "current.json"])
@pytest.mark.parametrize("how", ["cut", "emptied", "gone", "garbage"])
def test_a_damaged_index_says_so_and_can_be_made_again(tmp_path: Path, part: str, how: str) -> None:
    an_index_with_deletes(tmp_path)
    path = damaged(tmp_path, part)
    content = path.read_bytes()
    path.unlink()
    if how != "gone":
        path.write_bytes({"cut": content[: len(content) // 2], "emptied": b"", "garbage": b"\0\xff" * 999}[how])
    search = Search(tmp_path)
    if (part, how) == ("current.json", "gone"):  # nothing says that there ever was an index
        assert search.indexed_seq() == 0
    else:
        for ask in (search.indexed_seq, search.papers, search.check, lambda: search.find("paper")):
            with pytest.raises(ArchiveCorrupt, match="rebuild it") as caught:
                ask()
            assert "\n" not in str(caught.value)
        with pytest.raises(ArchiveCorrupt):
            search.update(numbered(0, 10), seq=3)
    search.drop()
    assert search.indexed_seq() == 0
    search.update(numbered(0, 10), seq=3)
    assert len(found(search, "paper")) == 10


def test_a_damaged_index_is_replaced_by_a_rebuild_alone(tmp_path: Path) -> None:
    search = an_index_with_deletes(tmp_path)
    damaged(tmp_path, "current.json").write_text("{")
    search.rebuild([numbered(0, 10)], seq=3)
    search.check()
    assert search.papers() == 10


@pytest.mark.parametrize("stale", [{"format": 0}, {"tantivy": "0.1.0"}])
def test_an_index_of_another_version_is_to_be_made_again(tmp_path: Path, stale: dict[str, object]) -> None:
    search = a_search(tmp_path, a_row("old"), seq=5)
    stamp = damaged(tmp_path, "current.json")
    stamp.write_text(json.dumps(json.loads(stamp.read_bytes()) | stale))
    meta = damaged(tmp_path, "meta.json")
    meta.write_text(meta.read_text().replace('"opstamp"', '"renamed"'))  # a form that this version cannot read
    assert search.indexed_seq() == 0
    with pytest.raises(ArchiveError, match="no search index that this version can read; rebuild it"):
        search.find("titles")
    search.update(a_table(a_row("new")), seq=1)
    assert found(search, "titles") == ["new"]


def test_an_index_of_an_older_version_that_can_be_read_is_used_on(tmp_path: Path) -> None:
    search = a_search(tmp_path, a_row("old"), seq=5)
    stamp = damaged(tmp_path, "current.json")
    written = json.loads(stamp.read_bytes())
    stamp.write_text(json.dumps(written | {"tantivy": "0.1.0"}))
    assert search.indexed_seq() == 5
    search.update(a_table(a_row("new")), seq=6)
    assert sorted(found(search, "titles")) == ["new", "old"]
    assert json.loads(stamp.read_bytes()) == written, "from now on only this version is known to read it"


def test_an_index_may_be_copied_to_another_home(tmp_path: Path) -> None:
    a_search(tmp_path / "one", a_row("old"))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert found(Search(tmp_path / "two"), "titles") == ["old"]


def test_a_writer_that_is_not_ours_is_told_of_too(tmp_path: Path) -> None:
    search = a_search(tmp_path, a_row("old"))
    foreign = tantivy.Index.open(str(damaged(tmp_path, "meta.json").parent)).writer(15_000_000, 1)
    with pytest.raises(ArchiveError, match="another process is writing the search index"):
        search.update(a_table(a_row("new")), seq=2)
    foreign.wait_merging_threads()
    search.update(a_table(a_row("new")), seq=2)
    assert sorted(found(search, "titles")) == ["new", "old"]


@pytest.mark.parametrize(
    ("said", "kind", "told_so"),
    [
        ("An IO error occurred: 'No space left on device (os error 28) at path \"x\"'", ArchiveFull, "no room"),
        ('Os { code: 122, kind: Other, message: "Disk quota exceeded" }', ArchiveFull, "no room"),
        ("Os { code: 13, kind: PermissionDenied }", ArchiveError, "Permission denied"),
        ("An index writer was killed.. A worker thread encountered an error", ArchiveError, "it stays as it was"),
        ("Data corrupted: 'checksum'", ArchiveCorrupt, "damaged.*rebuild it"),
    ],
)
def test_what_tantivy_says_becomes_one_of_our_errors(
    tmp_path: Path, said: str, kind: type[ArchiveError], told_so: str
) -> None:
    with pytest.raises(ArchiveError, match=told_so) as caught, told(tmp_path):
        raise ValueError(said)
    assert type(caught.value) is kind


def test_what_is_no_fault_of_the_index_is_raised_as_it_is() -> None:
    with pytest.raises(KeyboardInterrupt), told():
        raise KeyboardInterrupt
