"""An archive of any released version becomes one of this version and loses nothing; a newer one is refused."""

from __future__ import annotations

import gc
import gzip
import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from flows.decide import decide
from storage.archive import Archive
from storage.catalog import Catalog, refresh_catalog
from storage.compact import compact, delete_retired
from storage.errors import ArchiveCorrupt, ArchiveError
from storage.model import Paper, Sighting
from storage.repair import repair
from storage.segments import SCHEMA_VERSION
from storage.settings import Settings, Topic
from storage.verify import verify
from storage.views import Shape, write_views
from tests.builders import NOW, an_entry
from tests.released.killing import Opener
from tests.released.story import ACKNOWLEDGED, KEPT, Story, tell

LATER = NOW + timedelta(days=30)
TOPICS = (Topic(slug="short", title="Short", query="short"),)
_DERIVED = {"aliases", "content_hash", "merged_into"}  # what a migration may say otherwise
_READ_TODAY = {"10.1101/2026.05.01.123456v2": "10.1101/2026.05.01.123456"}  # a DOI 0.1.0 spelled otherwise
_TABLES = ("keys", "stale", "merged", "segments", *KEPT)


@pytest.fixture(scope="module")
def story() -> Story:
    """What 0.1.0 was told."""
    return tell()


@pytest.fixture
def home(story: Story, tmp_path: Path) -> Path:
    """A home as 0.1.0 left it."""
    story.write(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: a kill of a process, not of a machine, needs no disk."""
    place = Path("/dev/shm")  # noqa: S108 - only to be quick
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as folder:
        yield Path(folder)


def rows(home: Path, sql: str) -> list[tuple[Any, ...]]:
    """Ask the index, whatever its schema."""
    with closing(sqlite3.connect(home / "archive" / "index.sqlite")) as index:
        return index.execute(sql).fetchall()


def content(home: Path) -> dict[str, str]:
    """Every file and folder of a home, and the hash of each file's bytes."""
    return {
        str(p.relative_to(home)): hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else ""
        for p in home.rglob("*")
    }


def index_of(archive: Archive) -> dict[str, list[tuple[Any, ...]]]:
    """All the index says, but for what is a cache and for the moment of the migration."""
    execute = archive.index.connection.execute
    outbox = "SELECT seq, kind, payload, created_at, acknowledged_at IS NULL FROM outbox ORDER BY event_id"
    files = "SELECT name, kind, lo, hi, rows, iif(kind = 'manifest', '', sha256), retired_at IS NULL FROM files"
    tables = {t: execute(f"SELECT * FROM {t} ORDER BY 1, 2").fetchall() for t in _TABLES}
    return tables | {"files": sorted(execute(files).fetchall()), "outbox": execute(outbox).fetchall()}


def publish(archive: Archive) -> None:
    """Publish papers.duckdb."""
    refresh_catalog(archive, Settings(home=archive.home, topic=TOPICS), TOPICS, now=LATER)


def plain(value: object) -> object:
    """A value as the frozen writer has it."""
    if isinstance(value, tuple):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, str) else value


def shown(thing: Paper | Sighting, without: set[str] = _DERIVED) -> dict[str, object]:
    """A paper or sighting as plain values."""
    return {f.name: plain(getattr(thing, f.name)) for f in fields(thing) if f.name not in without}


def told(row: dict[str, Any], without: set[str] = _DERIVED) -> dict[str, object]:
    """The same of a row of 0.1.0."""
    row = row | {"doi": _READ_TODAY.get(row["doi"], row["doi"])}
    return {f.name: plain(row.get(f.name, f.default)) for f in fields(Paper) if f.name not in without}


def test_every_paper_row_and_sighting_of_0_1_0_is_kept(story: Story, home: Path) -> None:
    with Archive(home) as archive:
        papers = archive.papers(story.papers)
        assert {i: shown(p) for i, p in papers.items()} == {i: told(row) for i, row in story.papers.items()}
        assert archive.index.papers_count() == len(story.papers)
        for paper_id in story.papers:
            history = archive.history(paper_id)
            before = story.rows_of(paper_id)
            assert [shown(i.paper) for i in history] == [told(row) for row in before]
            assert [list(i.changes) for i in history] == [row["changes"] for row in before]
            kept = [[shown(s, set()) for s in i.sightings] for i in history]
            assert kept == [
                [{n: v for n, v in s.items() if n != "entry_hash"} | {"citations": None} for s in row["sightings"]]
                for row in before
            ]


def test_every_id_still_names_its_paper(story: Story, home: Path) -> None:
    with Archive(home) as archive:
        for paper_id, paper in archive.papers(story.papers).items():
            was = {a for a in story.papers[paper_id]["aliases"] if not a.startswith("fp:") or a == paper_id}
            assert was <= set(paper.aliases)
            for alias in was:
                assert paper_id in archive.held([alias])


def test_every_past_commit_shows_what_it_showed(story: Story, home: Path) -> None:
    with Archive(home) as archive:
        for seq, papers in enumerate(story.past, 1):
            with duckdb.connect() as connection:
                shape = Shape(seq=seq, latest=seq == len(story.past))
                write_views(connection, archive, Settings(home=home), (), shape)
                found = connection.execute("SELECT paper_id, title, abstract, version, upvotes FROM papers").fetchall()
            names = ("paper_id", "title", "abstract", "version", "upvotes")
            assert sorted(found) == sorted(tuple(row[n] for n in names) for row in papers.values())


def test_every_commit_event_fetch_gap_and_refusal_is_kept(story: Story, home: Path) -> None:
    kept = ("segments", "outbox", *KEPT)
    before = {t: rows(home, f"SELECT * FROM {t} ORDER BY 1, 2") for t in kept}
    with Archive(home) as archive:
        pending = archive.index.pending_events()
    assert {t: rows(home, f"SELECT * FROM {t} ORDER BY 1, 2") for t in kept} == before
    assert all(before.values())
    assert [e.payload["seq"] for e in pending] == list(range(ACKNOWLEDGED + 1, len(story.segments) + 1))


def test_a_migrated_archive_has_no_fault_and_its_topics_back(story: Story, home: Path) -> None:
    tags = rows(home, "SELECT * FROM tags")
    with Archive(home) as archive:
        publish(archive)
    assert verify(home).faults == ()
    assert verify(home).sightings == sum(len(row["sightings"]) for s in story.segments for row in s.rows)
    with Catalog(home) as catalog:
        found = [tuple(r.values()) for r in catalog.rows("SELECT paper_id, topic, reason FROM paper_topics")]
    assert set(tags) <= set(found)
    with Archive(home) as archive:
        assert delete_retired(archive, now=datetime.now(UTC) + timedelta(days=2)) == len(story.segments)
        compact(archive, now=LATER, full=True)
        publish(archive)
    assert verify(home).faults == ()


def test_what_a_source_says_again_after_a_migration_is_no_news(story: Story, home: Path) -> None:
    with Archive(home) as archive:
        for entry in (e for entries in story.last_words().values() for e in entries):
            said = archive.append([entry], source=entry.source, batch_id=entry.entry_id, now=LATER, decide=decide)
            assert said.seq is None, entry
        for number, entries in enumerate(story.said, 1):
            said = archive.append(entries, source="s", batch_id=f"batch {number}", now=LATER, decide=decide)
            assert said.seq is None, "the batch was committed by 0.1.0"


def test_an_id_that_0_1_0_spelled_otherwise_still_finds_its_paper(story: Story, home: Path) -> None:
    """0.1.0 took the address of a version at bioRxiv for a DOI; another source gives the DOI itself."""
    entry = an_entry(source="other", entry_id="o", arxiv_id=None, doi="10.1101/2026.05.01.123456", title="Cells, read")
    with Archive(home) as archive:
        archive.append([entry], source="other", batch_id="o", now=LATER, decide=decide)
        assert archive.index.papers_count() == len(story.papers)
        assert archive.papers(["doi:10.1101/2026.05.01.123456v2"]).popitem()[1].sources[-1] == "other"


def test_a_title_0_1_0_has_seen_still_finds_its_paper(home: Path) -> None:
    """A journal says the first title of a paper that was renamed since."""
    with Archive(home) as archive:
        assert len(archive.held(["title:" + _title_key("A short paper number 1")])) == 1


def test_an_index_built_again_after_a_migration_is_the_same(home: Path) -> None:
    with Archive(home) as archive:
        before = index_of(archive)
        archive.rebuild_index()
        assert index_of(archive) == before


def test_opening_a_migrated_archive_again_changes_nothing(home: Path) -> None:
    with Archive(home):
        pass
    before = content(home)
    for _ in range(2):
        with Archive(home):
            pass
    assert content(home) == before


def test_an_archive_of_0_1_0_whose_index_is_lost_is_migrated_from_its_segments(story: Story, home: Path) -> None:
    for path in (home / "archive").glob("index.sqlite*"):
        path.unlink()
    with Archive(home) as archive:
        assert {i: shown(p) for i, p in archive.papers(story.papers).items()} == {
            i: told(row) for i, row in story.papers.items()
        }
        publish(archive)
    assert verify(home).faults == ()


def test_a_migrated_base_that_is_damaged_is_made_again_from_the_segments(home: Path) -> None:
    with Archive(home) as archive:
        publish(archive)
        before = index_of(archive)
    base = next((home / "archive" / "base").glob("*.papers.parquet"))
    base.write_bytes(base.read_bytes()[:-100])
    assert repair(home, now=LATER).left == ()
    with Archive(home) as archive:
        assert index_of(archive) == before


def test_an_empty_archive_of_0_1_0_opens(tmp_path: Path) -> None:
    Story(said=[]).write(tmp_path / "home")
    with Archive(tmp_path / "home") as archive:
        assert archive.index.latest_seq() == 0
        assert rows(tmp_path / "home", "SELECT count(*) FROM fetches") == [(4,)]
    assert verify(tmp_path / "home").faults == ()


@pytest.mark.slow
def test_killed_at_any_change_of_a_migration_the_next_opening_ends_it(home: Path, memory: Path) -> None:
    whole, trial, kills = memory / "whole", memory / "trial", 0
    shutil.copytree(home, whole)
    with Archive(whole) as archive:
        expected, files = index_of(archive), content(whole).keys()
    with Opener() as opener:
        while True:
            shutil.copytree(home, trial)
            killed = opener.killed(trial, kills + 1)
            with Archive(trial) as archive:
                assert index_of(archive) == expected, f"killed at change {kills + 1}"
                assert content(trial).keys() == files, f"killed at change {kills + 1}"
            shutil.rmtree(trial)
            if not killed:
                break
            kills += 1
    assert kills > 30, "so many changes a migration has at least"


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "last gone", "exchanged", "footer"])
def test_a_damaged_segment_of_0_1_0_is_named_and_costs_nothing_else(home: Path, tmp_path: Path, damage: str) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(home, whole)
    path = _damage(home, damage)
    before = content(home)
    with pytest.raises(ArchiveCorrupt, match=path.name) as caught:
        Archive(home)
    assert "\n" not in str(caught.value)
    _closed(caught)
    assert _without_base(content(home)) == _without_base(before), "nothing is made of an archive that is not whole"
    shutil.copy(whole / "archive" / "log" / path.name, path)
    with Archive(whole) as other, Archive(home) as archive:
        assert index_of(archive) == index_of(other)
        publish(archive)
    assert verify(home).faults == ()


def test_two_programs_that_open_it_at_once_migrate_it_once(home: Path) -> None:
    """The second waits for the first, and by then there are merged papers that a second migration would part."""
    waiting = (
        "import sqlite3, sys\nfrom pathlib import Path\nfrom storage.archive import Archive\n"
        "def pause(sql):\n"
        "    if sql.startswith('BEGIN'):\n        print('ready', flush=True)\n        sys.stdin.readline()\n"
        "def traced(*arguments, **options):\n"
        "    connection = connect(*arguments, **options)\n    connection.set_trace_callback(pause)\n"
        "    return connection\n"
        "connect, sqlite3.connect = sqlite3.connect, traced\n"
        f"Archive(Path({str(home)!r}))\n"
    )
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", waiting], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as second:
        assert second.stdin
        assert second.stdout
        assert second.stdout.readline() == "ready\n"
        with Archive(home) as archive:
            archive.merge("arxiv:2606.00005", "doi:10.1000/only.doi", reason="by chance", now=LATER)
            before = index_of(archive)
        second.communicate("go\n" * 9)
    assert second.returncode == 0
    with Archive(home) as archive:
        assert archive.papers(["doi:10.1000/only.doi"]).popitem()[1].merged_into == "arxiv:2606.00005"
        assert index_of(archive) == before


def test_a_newer_index_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    home = _made(tmp_path)
    with closing(sqlite3.connect(home / "archive" / "index.sqlite")) as index:
        index.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    _refused(home, "index.sqlite")


def test_a_newer_index_with_a_commit_not_yet_moved_into_it_is_left_as_it_is(tmp_path: Path) -> None:
    """A newer program was killed: its last commits lie in the write-ahead log, which must stay."""
    home = _made(tmp_path)
    killed = (
        "import os, sqlite3\n"
        f"index = sqlite3.connect({str(home / 'archive' / 'index.sqlite')!r})\n"
        f"index.execute('PRAGMA user_version = {SCHEMA_VERSION + 1}')\nindex.commit()\nos._exit(0)"
    )
    subprocess.run([sys.executable, "-c", killed], check=True)
    assert (home / "archive" / "index.sqlite-wal").stat().st_size
    _refused(home, "index.sqlite", without={"archive/index.sqlite-shm"})  # memory of the readers, no data


def test_a_newer_segment_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    home = _made(tmp_path)
    last = home / "archive" / "log" / "000000000002.parquet"
    table = pq.read_table(last)
    meta = json.loads(pq.read_metadata(last).metadata[b"paperwire"]) | {"schema_version": SCHEMA_VERSION + 1, "seq": 3}
    pq.write_table(
        table.replace_schema_metadata({b"paperwire": json.dumps(meta).encode()}), last.with_name("000000000003.parquet")
    )
    _refused(home, "000000000003.parquet")


def test_a_newer_base_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    home = _made(tmp_path)
    raw = {"schema_version": SCHEMA_VERSION + 1, "what": "nobody here knows"}
    manifest = home / "archive" / "base" / "000000000001-000000000002.json.gz"
    manifest.write_bytes(gzip.compress(json.dumps(raw).encode()))
    _refused(home, manifest.name)


# Internals ------------------------------------------------------------------------------------------------------------


def _made(tmp_path: Path) -> Path:
    """An archive of this version, with two commits."""
    with Archive(tmp_path) as archive:
        for n in (1, 2):
            entry = an_entry(arxiv_id=f"2606.{n:05d}", entry_id=str(n), title=f"Paper {n}")
            archive.append([entry], source="s", batch_id=str(n), now=NOW, decide=decide)
    return tmp_path


def _refused(home: Path, name: str, without: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    before = content(home)
    for _ in range(2):
        with pytest.raises(
            ArchiveError, match=rf"^{name} was written by a newer Paperwire \(schema 3.*\); upgrade$"
        ) as caught:
            Archive(home)
        _closed(caught)
    fault = verify(home).faults
    assert len(fault) == 1
    assert "newer Paperwire" in fault[0]
    gc.collect()
    after = content(home)
    assert {n: after.get(n) for n in {*before, *after} - without} == {
        n: before.get(n) for n in {*before, *after} - without
    }


def _closed(caught: pytest.ExceptionInfo[BaseException]) -> None:
    """Let go of the archive that could not be opened: its frames hold its connection."""
    caught.value.__traceback__ = None
    caught.value.__cause__ = caught.value.__context__ = None
    caught._excinfo = None
    gc.collect()


def _damage(home: Path, damage: str) -> Path:
    log = home / "archive" / "log"
    path = log / ("000000000009.parquet" if damage == "last gone" else "000000000004.parquet")
    body = bytearray(path.read_bytes())
    if damage == "flipped":
        body[len(body) // 4] ^= 0x10
    elif damage == "footer":  # of which no checksum of a page tells: the batch id in the metadata
        at = body.rindex(b'"batch 4"') + 7
        body[at] = ord("5")
    elif damage == "cut":
        del body[-100:]
    elif damage == "exchanged":
        body = bytearray((log / "000000000005.parquet").read_bytes())
    path.write_bytes(body)
    if "gone" in damage:
        path.unlink()
    return path


def _without_base(files: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in files.items() if name != "archive/base"}


def _title_key(title: str) -> str:
    from storage.titles import title_key

    key = title_key(title)
    assert key
    return key
