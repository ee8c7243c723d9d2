"""One flipped bit anywhere in the archive: `verify` names it, and nothing that is read is wrong for it.

The first test is a share of what `make crash` does; the numbers of a full run are in docs/design.md. The others hold
the rows that only the index has against every change that goes past the archive's own hands.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from flows.decide import decide
from storage.archive import Archive
from storage.coverage import CoverageLog
from storage.errors import ArchiveCorrupt
from storage.fetchlog import FetchLog
from storage.repair import repair
from storage.verify import verify
from tests.builders import NOW, an_entry
from tests.crash import rot
from tests.crash.operations import publish_catalog
from tests.crash.shares import CI
from tests.crash.workers import Workers


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """The warm process that forks those which read."""
    with Workers() as warm:
        yield warm


@pytest.mark.slow
@pytest.mark.parametrize("index", [False, True], ids=["segments and manifests", "the index"])
def test_a_flipped_bit_is_named_and_never_served(workers: Workers, tmp_path: Path, index: bool) -> None:
    row = rot.flip_bits(workers, tmp_path, flips=CI.flips // 2, index=index)
    assert not row.failed, row.summary()
    assert row.killed, "no flip was found: the test tested nothing"


def test_a_row_that_changed_is_not_taken_for_free_space(tmp_path: Path) -> None:
    for name, value in (("before", "a"), ("same", "a"), ("after", "b")):
        with closing(sqlite3.connect(tmp_path / name)) as connection, connection:
            connection.execute("CREATE TABLE t (x TEXT)")
            connection.execute("INSERT INTO t VALUES (?)", [value])
    assert rot.same_tables(tmp_path / "before", tmp_path / "same")
    assert not rot.same_tables(tmp_path / "before", tmp_path / "after")


# Each column of a table that has sums, and how a flipped bit may leave it.
CHANGES = {
    "segments": "UPDATE segments SET committed_at = replace(committed_at, '2', '3')",
    "files": "UPDATE files SET footer = x'00' WHERE name = (SELECT max(name) FROM files)",
    "outbox": "UPDATE outbox SET acknowledged_at = '2026-06-02T06:00:00.000001+00:00'",
    "tags": "UPDATE tags SET reason = reason || '.'",
    "retagged": "UPDATE retagged SET paper_id = paper_id || '0'",
    "topic_changes": "UPDATE topic_changes SET seq = seq + 4",
    "fetches": "UPDATE fetches SET etag = NULL WHERE fetch_id = 7",
    "source_states": "UPDATE source_states SET batch_on = '2026-06-12' WHERE source = 'feed:3'",
    "batches": "UPDATE batches SET day = '2026-06-06' WHERE source = 'feed:3'",
    "coverage": "UPDATE coverage SET state = 'qumet' WHERE source = 'feed:3'",
    "rejects": "UPDATE rejects SET reason = 'it has no titlf' WHERE source = 'feed:3'",
    "meta": "UPDATE meta SET value = value || '1'",
    "seen": "UPDATE seen SET day = day + 1 WHERE k = (SELECT max(k) FROM seen)",
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with rows in every table of its index."""
    home = tmp_path_factory.mktemp("filled")
    with Archive(home) as archive:
        entries = [
            an_entry(entry_id=f"e{n}", arxiv_id=f"2606.{n:05}", title=f"On learning {n}", url=None, pdf_url=None)
            for n in range(6)
        ]
        archive.append(entries, source="arxiv-rss:cs.CL", batch_id="one", now=NOW, decide=decide)
        publish_catalog(archive)
        rot.fill_index(archive)
    return home


@pytest.fixture
def home(filled: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    copy = tmp_path / "home"
    shutil.copytree(filled, copy)
    return copy


def damage(home: Path, *statements: str) -> None:
    """Change rows past all that keeps the sums, as rot does."""
    with closing(sqlite3.connect(home / "archive" / "index.sqlite")) as connection, connection:
        connection.create_function("row_sum", -1, lambda *_: 0)
        for statement in statements:
            assert connection.execute(statement).rowcount > 0, f"{statement} changed nothing"


def test_an_archive_as_it_was_written_has_no_fault(home: Path) -> None:
    assert verify(home).faults == ()


@pytest.mark.parametrize("table", CHANGES)
def test_a_changed_row_is_named(home: Path, table: str) -> None:
    damage(home, CHANGES[table])
    assert any(f"rows of {table} are not what was written" in fault for fault in verify(home).faults)


@pytest.mark.parametrize("table", sorted(CHANGES.keys() - {"seen"}))  # a lost row of a cache is no harm
def test_a_lost_row_is_named(home: Path, table: str) -> None:
    damage(home, f"DELETE FROM {table}")
    assert f"index.sqlite: rows of {table} are not what was written" in verify(home).faults


def test_every_table_of_the_index_is_held_against_something(home: Path) -> None:
    with Archive(home) as archive:
        rows = archive.index.connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        tables = {name for (name,) in rows}
    assert tables - {"sums"} - {"keys", "stale", "merged"} == CHANGES.keys()


def test_a_changed_sum_is_named(home: Path) -> None:
    damage(home, "UPDATE sums SET value = value + 1 WHERE name = 'coverage'", "DELETE FROM sums WHERE name = 'meta'")
    faults = verify(home).faults
    assert {f"index.sqlite: rows of {table} are not what was written" for table in ("coverage", "meta")} <= {*faults}


def test_a_lost_trigger_is_named(home: Path) -> None:
    with closing(sqlite3.connect(home / "archive" / "index.sqlite")) as connection:
        connection.execute("DROP TRIGGER fetches_delete")
    assert "index.sqlite: its schema is not what was written" in verify(home).faults


def test_each_bit_of_what_a_source_said_is_checked(home: Path) -> None:
    with Archive(home) as archive:
        connection = archive.index.connection
        k, h, day = connection.execute("SELECT k, h, day FROM seen LIMIT 1").fetchone()
        for column, value in (("k", k), ("h", h), ("day", day)):
            for bit in range(63):
                row = {"k": k, "h": h, "day": day} | {column: value ^ (1 << bit)}
                connection.execute("BEGIN")
                connection.execute("DELETE FROM seen WHERE k = ?", (k,))
                connection.execute("INSERT INTO seen VALUES (:k, :h, :day)", row)
                assert archive.index.row_faults() == ["index.sqlite: 1 rows of seen are not what was written"], column
                connection.execute("ROLLBACK")
        assert archive.index.row_faults() == []


def test_the_sums_follow_rows_that_are_replaced_ignored_and_forgotten(home: Path) -> None:
    with Archive(home) as archive:
        rot.fill_index(archive)  # every source is read again
        archive.index.set_meta("published_seq", "7")
        archive.index.set_meta("published_seq", "8")
        archive.index.touch_topics(["learning"], seq=9)
        archive.index.replace_tags(["arxiv:2606.00001"], [("arxiv:2606.00001", "learning", "for another reason")])
        archive.index.retire([archive.index.files("topics", "log")[0].name], now=NOW)
        assert archive.index.row_faults() == []
        assert FetchLog(archive.index).forget(before=NOW + timedelta(hours=6)) > 0
        archive.index.forget_tags()
        assert archive.index.row_faults() == []
        archive.rebuild_index()
        assert archive.index.row_faults() == []


def test_what_a_repair_cannot_restore_it_keeps_and_says(home: Path) -> None:
    damage(
        home,
        CHANGES["fetches"],
        "UPDATE coverage SET day = '2026-0v-06' WHERE source = 'feed:3'",
        "UPDATE batches SET ids = 'no base64' WHERE source = 'feed:4'",
    )
    path = home / "archive" / "index.sqlite"
    path.write_bytes(path.read_bytes().replace(b"it has no title", b"it has no titl\xe5", 1))  # is no UTF-8
    with Archive(home) as archive:
        acknowledged = archive.index.acknowledged_events()
    mended = repair(home, now=NOW)
    assert mended.left == ()
    assert {
        "rows of fetches are not what was written, which ones cannot be told: they were kept as they are",
        "1 rows of batches could not be read and are gone",
        "1 rows of coverage could not be read and are gone",
        "1 rows of rejects could not be read and are gone",
    } <= {*mended.done}
    with Archive(home) as archive:
        log = FetchLog(archive.index)
        assert len(CoverageLog(archive.index).verdicts()) == 11
        assert [len(CoverageLog(archive.index).batches(f"feed:{n}")) for n in (3, 4)] == [1, 0]
        assert len(log.rejects(since=NOW)) == 11
        assert len(log.states()) == 12
        assert archive.index.connection.execute("SELECT count(*) FROM fetches").fetchone() == (36,)
        assert acknowledged, "nothing was acknowledged: the next line tested nothing"
        assert archive.index.acknowledged_events() == acknowledged
        publish_catalog(archive)
    assert verify(home).faults == ()


def test_a_damaged_row_of_what_a_source_said_is_forgotten_and_asked_again(home: Path) -> None:
    damage(home, CHANGES["seen"])
    assert repair(home, now=NOW).left == ()
    with Archive(home) as archive:
        assert archive.index.connection.execute("SELECT count(*) FROM seen").fetchone() == (0,)


def test_a_row_that_cannot_be_read_is_an_error_of_ours(home: Path) -> None:
    damage(home, "UPDATE source_states SET checked_at = '2026-0v-02'", "UPDATE segments SET last_at = '2026'")
    with Archive(home) as archive:
        for read in (FetchLog(archive.index).states, archive.index.segments):
            with pytest.raises(ArchiveCorrupt, match="holds what was never written"):
                read()
    assert "the rest could not be checked" in verify(home).faults[-1]
