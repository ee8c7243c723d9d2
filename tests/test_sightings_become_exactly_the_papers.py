"""What four archives of arXiv listings really saw until the end of 2025, polled again: sightings in, the papers out.

A quarter of a million sightings, with repeats and cross-lists as they came. Those whose paper has a text beside them
are polled day by day and source by source; all of them are loaded in bulk.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import duckdb
import pytest

from flows.decide import decide
from storage.archive import Archive
from storage.bulk import Loaded, load
from storage.compact import compact
from storage.model import Announcement, Commit, Entry
from storage.settings import Settings
from storage.text import accept, fold
from storage.verify import verify
from storage.views import Shape, write_views

_POLLED = (
    "SELECT s.source, s.polled_at, p.* FROM sightings s JOIN papers p USING (arxiv_id) ORDER BY polled_at, arxiv_id"
)
_WHOLE = """
SELECT s.arxiv_id, s.arxiv_id AS entry_id, coalesce(p.title, 'Untold ' || s.arxiv_id) AS title,
  coalesce(p.abstract, '') AS abstract, coalesce(p.authors, []) AS authors, coalesce(p.categories, []) AS categories,
  s.day AS announced_on
FROM sightings s LEFT JOIN papers p USING (arxiv_id) WHERE s.source = ? ORDER BY s.day, s.arxiv_id
"""
_PAIRS = "SELECT count(*), count(DISTINCT arxiv_id), count(DISTINCT (source, arxiv_id)) FROM "
# One source after the other, ten minutes each, from six in the morning.
_SIGHTINGS = """
CREATE TABLE sightings AS SELECT source, day::DATE AS day, arxiv_id,
  day::TIMESTAMP + INTERVAL 6 HOUR + INTERVAL 10 MINUTE * dense_rank() OVER (ORDER BY source) AS polled_at
FROM read_parquet(?)
"""
_NO_CATALOG = "papers.duckdb is missing"
"""Of what `verify` says: nobody published here."""


@dataclass
class Polled:
    """An archive after all polls, and what the commits said."""

    home: Path
    commits: list[Commit] = field(default_factory=list)
    offered: int = 0
    seconds: float = 0.0


@pytest.fixture(scope="module")
def bench(shared_data: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The sightings, and the papers some of them are of, as tables."""
    files = {name: shared_data / "bench" / f"{name}.parquet" for name in ("polling_sightings", "arxiv_papers")}
    if not all(file.is_file() for file in files.values()):
        pytest.skip("the captured sightings (../shared/data/bench) are not beside this checkout")
    with duckdb.connect() as connection:
        connection.execute(_SIGHTINGS, [str(files["polling_sightings"])])
        connection.execute(
            "CREATE TABLE papers AS SELECT arxiv_id, title, abstract, authors, categories FROM read_parquet(?)",
            [str(files["arxiv_papers"])],
        )
        yield connection


@pytest.fixture(scope="module")
def polled(bench: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory) -> Polled:
    """Every poll of the fifteen years, in the order of time; compacted where a night would have done it."""
    found = Polled(tmp_path_factory.mktemp("polled"))
    started = time.monotonic()
    with Archive(found.home) as archive:
        for number, (now, entries) in enumerate(polls(bench)):
            source = entries[0].source
            batch_id = f"{source}@{now}"
            found.commits.append(archive.append(entries, source=source, batch_id=batch_id, now=now, decide=decide))
            found.offered += len(entries)
            if number % 500 == 499:
                compact(archive, now=now)
    found.seconds = time.monotonic() - started
    return found


def polls(bench: duckdb.DuckDBPyConnection) -> Iterator[tuple[datetime, list[Entry]]]:
    """What one source said at one time, in the order of time."""
    rows = bench.execute(_POLLED).fetchall()
    for polled_at, batch in groupby(rows, key=lambda row: row[1]):
        yield polled_at.replace(tzinfo=UTC), [entry_of(*row) for row in batch]


def entry_of(
    source: str,
    polled_at: datetime,
    arxiv_id: str,
    title: str,
    abstract: str,
    authors: list[str],
    categories: list[str],
) -> Entry:
    """A paper as a listing of that day has it."""
    return Entry(
        source=source,
        entry_id=arxiv_id,
        title=title,
        abstract=abstract,
        authors=tuple(authors),
        categories=tuple(categories),
        arxiv_id=arxiv_id,
        announced_on=polled_at.date(),
        text_rank=3,
    )


def ask(home: Path, sql: str) -> list[tuple[object, ...]]:
    """Rows of a query on the views over an archive."""
    with Archive(home) as archive, duckdb.connect() as connection:
        shape = Shape(seq=archive.index.latest_seq(), latest=True)
        write_views(connection, archive, Settings(home=home), (), shape)
        return connection.execute(sql).fetchall()


def faults(home: Path) -> list[str]:
    """What `verify` finds, but that nothing was published."""
    return [fault for fault in verify(home).faults if _NO_CATALOG not in fault]


@pytest.mark.slow
def test_polled_sightings_become_exactly_the_distinct_papers(
    bench: duckdb.DuckDBPyConnection, polled: Polled, capsys: pytest.CaptureFixture[str]
) -> None:
    offered, papers, pairs = bench.execute(f"{_PAIRS} ({_POLLED})").fetchall()[0]
    assert polled.offered == offered
    expected = {f"arxiv:{i}" for (i,) in bench.execute(f"SELECT DISTINCT arxiv_id FROM ({_POLLED})").fetchall()}
    found = [paper_id for (paper_id,) in ask(polled.home, "SELECT paper_id FROM papers")]
    assert len(found) == len(set(found)) == papers, "none doubled"
    assert set(found) == expected, "none lost, none made up"
    assert sum(commit.rejected for commit in polled.commits) == 0
    assert faults(polled.home) == []
    with capsys.disabled():
        print(
            f"\npolled: {offered:,} sightings in {len(polled.commits):,} polls → {papers:,} papers = distinct ids, "
            f"{pairs:,} sightings kept, {polled.seconds:.0f} s"
        )


@pytest.mark.slow
def test_each_polled_paper_is_announced_as_new_exactly_once(polled: Polled, capsys: pytest.CaptureFixture[str]) -> None:
    told = sum(commit.announcements.get(Announcement.NEW, 0) for commit in polled.commits)
    told_gone = sum(commit.announcements.get(Announcement.WITHDRAWN, 0) for commit in polled.commits)
    news = "SELECT list(a) AS told FROM (SELECT paper_id, unnest(announcements) AS a FROM sightings) GROUP BY paper_id"
    counts = ask(polled.home, f"SELECT told, count(*) FROM ({news}) GROUP BY told ORDER BY told")
    assert counts == [(["new"], told), (["withdrawn"], told_gone)], "one that came with its notice was never news"
    assert ask(polled.home, "SELECT count(*) FROM papers") == [(told + told_gone,)]
    rows = ask(
        polled.home,
        """SELECT count(*), count(DISTINCT announced_at), count(*) FILTER (withdrawn OR revised_at IS NOT NULL)
        FROM papers WHERE announced_at IS NOT NULL""",
    )
    assert rows == [(told, told, 0)], "each at a moment of its own"
    gone = ask(polled.home, "SELECT abstract || title FROM papers WHERE announced_at IS NULL")
    assert all("withdrawn" in str(text).lower() for (text,) in gone)
    with capsys.disabled():
        print(f"\nannounced: {told:,} once as new, {told_gone} once as withdrawn (no longer there when first seen)")


@pytest.mark.slow
def test_every_source_that_saw_a_paper_is_kept_with_the_day_it_first_did(
    bench: duckdb.DuckDBPyConnection, polled: Polled
) -> None:
    first = f"SELECT 'arxiv:' || arxiv_id, source, min(polled_at)::DATE, min(polled_at) FROM ({_POLLED}) GROUP BY 1, 2"
    expected = sorted(bench.execute(first).fetchall())
    kept = ask(polled.home, "SELECT paper_id, source, announced_on, seen_at FROM sightings")
    assert sorted(kept) == expected
    listed = "SELECT count(*) FROM papers WHERE len(sources) <> len(list_distinct(sources))"
    assert ask(polled.home, listed) == [(0,)]
    assert ask(polled.home, "SELECT sum(len(sources)) FROM papers") == [(len(expected),)]


@pytest.mark.slow
def test_no_polled_word_differs_from_what_was_said(bench: duckdb.DuckDBPyConnection, polled: Polled) -> None:
    said = {
        f"arxiv:{i}": (fold(t), accept(a))
        for i, t, a in bench.execute("SELECT arxiv_id, title, abstract FROM papers").fetchall()
    }
    rows = ask(polled.home, "SELECT paper_id, title, abstract FROM papers")
    assert [paper_id for paper_id, title, abstract in rows if said[str(paper_id)] != (title, abstract)] == []


@pytest.mark.slow
def test_the_same_polls_again_add_nothing(bench: duckdb.DuckDBPyConnection, polled: Polled) -> None:
    with Archive(polled.home) as archive:
        before = archive.index.latest_seq()
        for number, (then, entries) in enumerate(polls(bench)):
            if number % 50 == 0:  # a fiftieth is enough: each is a poll of its own
                source, batch_id, now = entries[0].source, f"{then} again", datetime(2026, 1, 2, tzinfo=UTC)
                assert archive.append(entries, source=source, batch_id=batch_id, now=now, decide=decide).seq is None
        assert archive.index.latest_seq() == before


@pytest.mark.slow
def test_all_sightings_loaded_become_exactly_the_distinct_papers(
    bench: duckdb.DuckDBPyConnection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sightings, papers, pairs = bench.execute(f"{_PAIRS} sightings").fetchall()[0]
    started, loaded = time.monotonic(), list[Loaded]()
    with Archive(tmp_path) as archive:
        for (source,) in bench.execute("SELECT source FROM sightings GROUP BY 1 ORDER BY min(day), 1").fetchall():
            table = bench.execute(_WHOLE, [source]).to_arrow_table()
            now = datetime(2026, 1, 1, 6, len(loaded), tzinfo=UTC)
            loaded.append(load(archive, [table], source=source, load_id=source, now=now, decide=decide))
    seconds = time.monotonic() - started
    assert sum(found.offered for found in loaded) == sightings
    assert sum(found.rejected for found in loaded) == 0
    ids = {f"arxiv:{i}" for (i,) in bench.execute("SELECT DISTINCT arxiv_id FROM sightings").fetchall()}
    rows = ask(tmp_path, "SELECT paper_id FROM papers")
    assert len(rows) == len(ids) == papers
    assert {paper_id for (paper_id,) in rows} == ids
    assert ask(tmp_path, "SELECT count(*) FROM papers WHERE announced_at IS NOT NULL OR revision > 1") == [(0,)]
    assert ask(tmp_path, "SELECT paper_id, source, count(*) FROM sightings GROUP BY ALL HAVING count(*) > 1") == []
    assert ask(tmp_path, "SELECT count(*) FROM sightings") == [(pairs,)]
    assert faults(tmp_path) == []
    with capsys.disabled():
        print(f"\nloaded: {sightings:,} sightings → {papers:,} papers = distinct ids, {pairs:,} kept, {seconds:.0f} s")
