"""Compaction moves rows and loses none; it is in nobody's way, and the number of files stays small for ever."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.decide import decide
from storage import merge_rows
from storage.archive import Archive
from storage.bulk import load
from storage.catalog import Catalog, refresh_catalog
from storage.compact import KEPT, SEGMENTS_MAX, compact, compact_if_due, delete_retired
from storage.errors import ArchiveCorrupt, PaperwireError
from storage.model import Entry
from storage.rows import SCHEMA
from storage.settings import Settings
from storage.tables import ROW_GROUP_ROWS, footer_of
from storage.verify import verify
from storage.views import Shape, write_views
from tests.archive_days import TABLES, Rows, of_arxiv, of_hugging_face, of_journal, rows_of
from tests.builders import NOW

COMMITS = 10_000
BULK_ROWS = 3 * ROW_GROUP_ROWS
BASES_MAX = 6  # each twice as large as all that are younger
QUARTER = timedelta(minutes=15)
DAY = 96  # quarters
_Said = list[tuple[int, int, int]]  # paper, version, votes


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of commits are not about the disk."""
    place = Path("/dev/shm")  # noqa: S108 - only to be quick
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as folder:
        yield Path(folder)


def say(archive: Archive, number: int, *entries: Entry, now: datetime = NOW) -> None:
    """Commit a batch."""
    archive.append(entries, source="s", batch_id=str(number), now=now, decide=decide)


def entry_of(paper: int, version: int, votes: int) -> Entry:
    """A version of a paper, or a vote for it."""
    if votes:
        return of_hugging_face(paper, votes)
    text = {"title": f"Version {version} of paper {paper}", "announce_type": "replace" if version > 1 else "new"}
    return of_arxiv(paper, version=version, **text) if paper else replace(of_journal(), abstract=f"Found {version}.")


def publish(archive: Archive) -> None:
    """Publish papers.duckdb."""
    refresh_catalog(archive, Settings(home=archive.home), (), now=NOW)


def as_of(archive: Archive, seq: int) -> Rows:
    """All that the tables said after a commit."""
    with duckdb.connect() as connection:
        shape = Shape(seq=seq, latest=seq == archive.index.latest_seq())
        write_views(connection, archive, Settings(home=archive.home), (), shape)
        return rows_of(connection)


def everything(archive: Archive) -> dict[str, Any]:
    """All that can be asked of an archive: each table as of some commits, each paper's life, where it is found."""
    last = archive.index.latest_seq()
    commits = sorted({1, last // 2 or 1, last})
    with duckdb.connect() as connection:
        shape = Shape(seq=commits[-1], latest=True)
        write_views(connection, archive, Settings(home=archive.home), (), shape)
        ids = [i for (i,) in connection.execute("SELECT DISTINCT paper_id FROM _rows ORDER BY 1").fetchall()]
    return {
        "tables": {seq: as_of(archive, seq) for seq in commits},
        "lives": {i: archive.history(i) for i in ids},
        "papers": archive.papers(ids),
        "keys": list(archive.index.keys()),
        "merged": archive.index.merged_into(),
        "count": archive.index.papers_count(),
    }


# Rows before are rows after -------------------------------------------------------------------------------------------

_saying = st.lists(
    st.tuples(st.integers(0, 4), st.integers(1, 3), st.sampled_from([0, 0, 1, 2])), min_size=1, max_size=4
)
_step = st.one_of(_saying, _saying, st.sampled_from(["compact", "compact in full", "merge", "split"]))


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_step, min_size=2, max_size=9))
def test_after_any_compactions_the_archive_answers_as_one_that_was_never_compacted(
    steps: list[_Said | str],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with Archive(Path(folder) / "compacted") as archive, Archive(Path(folder) / "plain") as other:
            for number, step in enumerate([[(1, 1, 0)], *steps, "compact in full"]):
                now = NOW + number * QUARTER
                for each in (archive, other):
                    _take(each, step, number, now, compacted=each is archive)
            assert everything(archive) == everything(other)
            publish(archive)
        assert verify(Path(folder) / "compacted").faults == ()


def _take(archive: Archive, step: _Said | str, number: int, now: datetime, *, compacted: bool) -> None:
    if isinstance(step, list):
        say(archive, number, *(entry_of(*said) for said in step), now=now)
    elif step.startswith("compact"):
        if compacted:
            compact(archive, now=now, full="full" in step)
    else:
        with suppress(PaperwireError):  # they are merged already, or not there
            if step == "merge":
                archive.merge("arxiv:2606.00001", "arxiv:2606.00002", reason="by chance", now=now)
            else:
                archive.split("arxiv:2606.00002", reason="by chance", now=now)


_row = st.tuples(
    st.sampled_from([*"abcdefg", "x" * 5_000]), st.integers(0, 9)
)  # paper_id, hour; too long for statistics
_file = st.tuples(st.lists(_row, min_size=1, max_size=40), st.sampled_from(["live", "history"]))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_file, min_size=1, max_size=6), st.data())
def test_any_files_are_merged_into_sorted_ones_without_loss(
    files: list[tuple[list[tuple[str, int]], str]], data: st.DataObject
) -> None:
    """In groups of four rows, so that few rows are many groups."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge_rows, "ROW_GROUP_ROWS", 4)
        patch.setattr(merge_rows, "_CHUNK_ROWS", 8)
        inputs: dict[str, list[merge_rows.Input]] = {"live": [], "history": []}
        rows: dict[str, set[tuple[str, int, int]]] = {"live": set(), "history": set()}
        for number, (pairs, kind) in enumerate(files):
            found = [(name, 100 * number + n, hour) for n, (name, hour) in enumerate(pairs)]
            rows[kind] |= {*found}
            inputs[kind].append(_written(Path(folder) / f"{number}.parquet", found, kind))
        stale = data.draw(st.sets(st.sampled_from(sorted(rows["live"])))) if rows["live"] else set()
        papers, past = Path(folder) / "papers", Path(folder) / "past"
        superseded = {(name, seq): seq + 1 for name, seq, _ in stale}
        merge_rows.write_rows(papers, past, inputs["live"], inputs["history"], superseded)
        _holds(papers, rows["live"] - stale, lambda row: (-row[2],), until=False)
        _holds(past, rows["history"] | stale, lambda row: (row[0],), until=True)


def _written(path: Path, rows: list[tuple[str, int, int]], kind: str) -> merge_rows.Input:
    """A file of made-up rows, sorted as a file of its kind is, in groups of four."""
    key = (lambda r: -r[2]) if kind == "live" else (lambda r: (r[0], r[1]))
    made = [
        {"paper_id": name, "seq": seq, "new_at": NOW.replace(tzinfo=None) + timedelta(hours=hour)}
        | {"until_seq": seq + 1 if kind == "history" else None}
        for name, seq, hour in sorted(rows, key=key)
    ]
    pq.write_table(pa.Table.from_pylist(made, schema=SCHEMA), path, row_group_size=4, write_page_checksum=True)
    return merge_rows.Input(path, footer_of(path))


def _holds(path: Path, rows: set[tuple[str, int, int]], key: Any, *, until: bool) -> None:
    table = pq.read_table(path)
    start = NOW.replace(tzinfo=None)
    found = [(r["paper_id"], r["seq"], (r["new_at"] - start) // timedelta(hours=1)) for r in table.to_pylist()]
    assert sorted(found) == sorted(rows)
    assert [key(row) for row in found] == sorted(key(row) for row in found)
    assert table["until_seq"].to_pylist() == [seq + 1 if until else None for _, seq, _ in found]
    metadata = pq.read_metadata(path)
    sizes = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert all(size == 4 for size in sizes[:-1]), "whole row groups but for the last"


# What a base is -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive whose base has several row groups, of loads whose papers came in turn."""
    home = tmp_path_factory.mktemp("large")
    with Archive(home) as archive:
        for share in range(3):
            load(archive, [_table(range(share, BULK_ROWS, 3))], source="b", load_id=str(share), now=NOW, decide=decide)
        say(archive, 1, *(of_arxiv(n, version=2, abstract="Now with more words.") for n in range(5)))
        compact(archive, now=NOW, full=True)
        publish(archive)
    return home


def _table(numbers: range) -> pa.Table:
    names = [f"{2000 + n % 26:04d}.{n:05d}" for n in numbers]
    days = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=n) for n in numbers]
    return pa.table(
        {
            "entry_id": names,
            "arxiv_id": names,
            "title": [f"Paper number {n} of a backfill" for n in numbers],
            "abstract": ["Words."] * len(names),
            "published_at": pa.array(days, pa.timestamp("us", "UTC")),
        }
    )


def _file(home: Path, kind: str) -> Path:
    with Archive(home) as archive:
        [file] = archive.index.files(kind)
        return archive.path(file)


def test_a_base_is_sorted_newest_first_in_whole_row_groups(large: Path) -> None:
    table, metadata = pq.read_table(_file(large, "papers")), pq.read_metadata(_file(large, "papers"))
    new_at = table["new_at"].to_pylist()
    assert table.num_rows >= BULK_ROWS
    assert new_at == sorted(new_at, reverse=True)
    sizes = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert sizes[:-1] == [ROW_GROUP_ROWS] * (len(sizes) - 1)
    assert 0 < sizes[-1] <= ROW_GROUP_ROWS
    past = pq.read_table(_file(large, "history"))["paper_id"].to_pylist()
    assert past == sorted(past)


def test_a_base_says_by_its_bloom_filters_which_row_groups_have_not_a_paper(large: Path) -> None:
    path = str(_file(large, "papers"))
    probe = "SELECT bloom_filter_excludes FROM parquet_bloom_probe(?, 'paper_id', ?) ORDER BY row_group_id"
    with duckdb.connect() as connection:
        offsets = connection.execute(
            "SELECT bloom_filter_offset FROM parquet_metadata(?) WHERE path_in_schema = 'paper_id'", [path]
        ).fetchall()
        assert all(offset for (offset,) in offsets)
        excluded = asked = 0
        for n in range(0, BULK_ROWS, 97):
            for paper_id in (f"arxiv:{2000 + n % 26:04d}.{n:05d}", f"arxiv:nobody.{n}"):
                said = [bool(excludes) for (excludes,) in connection.execute(probe, [path, paper_id]).fetchall()]
                holding = 0 if "nobody" in paper_id else 1
                assert len(said) - sum(said) >= holding, f"{paper_id} is there, and every row group denies it"
                excluded, asked = excluded + sum(said), asked + len(said) - holding
    assert excluded >= 0.97 * asked, "of a hundred that are not there one may be asked for in vain"


def test_a_large_base_has_no_fault(large: Path) -> None:
    assert verify(large).faults == ()


# What is in the way of nobody -----------------------------------------------------------------------------------------


def test_the_files_a_base_stands_for_stay_a_day(tmp_path: Path) -> None:
    now = NOW + timedelta(days=3)
    with Archive(tmp_path) as archive:
        for number in range(4):
            say(archive, number, entry_of(number, 1, 0), entry_of(1, number + 1, 0))
        publish(archive)
        with Catalog(tmp_path) as reader:
            before = rows_of(reader.connection)
            old = [archive.path(f) for f in archive.index.files()]
            compact(archive, now=now)
            publish(archive)
            assert delete_retired(archive, now=now + KEPT - timedelta(seconds=1)) == 0
            assert all(path.exists() for path in old)
            assert rows_of(reader.connection) == before, "who opened papers.duckdb before reads on"
        assert timedelta(hours=24) == KEPT
        assert delete_retired(archive, now=now + KEPT) == len(old)
        assert not any(path.exists() for path in old)
        assert archive.index.files(retired=True) == ()
    with Catalog(tmp_path) as reader:
        assert rows_of(reader.connection) == before
    assert verify(tmp_path).faults == ()


def test_two_compactions_at_once_are_one(tmp_path: Path) -> None:
    refused = []

    def meanwhile(done: int, total: int) -> None:
        with Archive(tmp_path) as second:
            with pytest.raises(PaperwireError, match=r"^another compaction is running$"):
                compact(second, now=NOW)
            refused.append(compact_if_due(second, now=NOW))

    with Archive(tmp_path) as archive:
        for number in range(SEGMENTS_MAX):
            say(archive, number, entry_of(number + 1, 1, 0))
        assert compact(archive, now=NOW, progress=meanwhile)
        assert refused == [None], "a pass goes on without it"
        assert len(archive.index.files("log", "papers")) == 1
        publish(archive)
    assert verify(tmp_path).faults == ()


def test_who_reads_and_who_commits_during_a_compaction_sees_nothing_of_it(tmp_path: Path) -> None:
    seen: list[Rows] = []

    def meanwhile(done: int, total: int) -> None:
        with Catalog(tmp_path) as reader:
            seen.append(rows_of(reader.connection))
        with Archive(tmp_path) as second:
            assert second.papers(["arxiv:2606.00001"])["arxiv:2606.00001"].title == "Version 1 of paper 1"
            say(second, 10, entry_of(1, 2, 0), entry_of(5, 1, 0))
            publish(second)

    with Archive(tmp_path) as archive:
        for number in range(3):
            say(archive, number, entry_of(number, 1, 0), now=NOW + number * QUARTER)
        publish(archive)
        with Catalog(tmp_path) as reader:
            before = rows_of(reader.connection)
        compact(archive, now=NOW, progress=meanwhile)
        assert archive.papers(["arxiv:2606.00001"])["arxiv:2606.00001"].title == "Version 2 of paper 1"
        assert [i.paper.version for i in archive.history("arxiv:2606.00001")] == [1, 2]
        assert archive.index.papers_count() == 4
        assert {t: as_of(archive, 3)[t] for t in TABLES} == before
        compact(archive, now=NOW, full=True)
        publish(archive)
    assert seen == [before]
    assert verify(tmp_path).faults == ()


def test_of_a_damaged_segment_no_base_is_made(tmp_path: Path) -> None:
    with Archive(tmp_path) as archive:
        for number in range(3):
            say(archive, number, entry_of(number, 1, 0))
        path = archive.log / "000000000002.parquet"
        whole = path.read_bytes()
        for place in range(4, len(whole) - 8, 97):  # of the head of a page no checksum of its own tells
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(ArchiveCorrupt, match=path.name):
                compact(archive, now=NOW)
            assert list(archive.base.iterdir()) == []
        path.write_bytes(whole)
        assert compact(archive, now=NOW)
        publish(archive)
    assert verify(tmp_path).faults == ()


def test_an_id_too_long_for_statistics_is_kept_and_found(tmp_path: Path) -> None:
    """Parquet keeps none of a text of more than 4 KB, and a source may call anything a DOI."""
    doi = f"10.1000/{'x' * 5_000}"
    with Archive(tmp_path) as archive:
        for number in range(1, 4):
            say(archive, 2 * number, replace(entry_of(0, number, 0), doi=doi))
            say(archive, 2 * number + 1, entry_of(0, number, 0), entry_of(1, number, 0))
            compact(archive, now=NOW, full=True)
        assert [len(archive.history(paper_id)) for paper_id in (f"doi:{doi}", "arxiv:2606.00001")] == [3, 3]
        publish(archive)
    assert verify(tmp_path).faults == ()


# For ever -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ten_thousand_commits_leave_few_files(memory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A commit every quarter of an hour for fourteen weeks, each of one paper; upkeep as a pass and the night do it."""
    live_max = total_max = 0
    with Archive(memory) as archive:
        for number in range(COMMITS):
            now = NOW + number * QUARTER
            say(archive, number, of_arxiv(number % 9_000, version=1 + number // 9_000), now=now)
            compact_if_due(archive, now=now)
            if number % DAY == 0:  # `maintain`, once a day
                delete_retired(archive, now=now)
            live_max = max(live_max, len(archive.index.files()))
            total_max = max(total_max, sum(1 for f in (archive.log, archive.base) for _ in f.iterdir()))
        assert archive.index.latest_seq() == COMMITS
        assert archive.index.papers_count() == 9_000
        publish(archive)
        assert len(archive.index.files("papers")) <= BASES_MAX
        assert live_max <= SEGMENTS_MAX + 3 * BASES_MAX
        # What was retired stays for a day, and then until night: two days of segments, and of bases made of them.
        assert total_max <= live_max + SEGMENTS_MAX + 2 * (DAY + 3 * BASES_MAX * DAY // SEGMENTS_MAX)
    with capsys.disabled():
        print(f"\n{COMMITS:,} commits: at most {live_max} live files, {total_max} with those kept for a day")
    assert verify(memory).faults == ()
