"""Bulk loading: millions of entries through the same commits, column by column.

Each table becomes one segment; the index takes several at once, in the order of its keys. Killed at any point, what
was linked is committed and taken in by the next opening, and the same load again goes on where it stopped. A backfill
is data and no news: its papers are not announced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from storage import replay
from storage.bulk_rows import FACTS_HASH, FACTS_OF, Sheet, entries_of, rows_of, sheet_of
from storage.errors import ArchiveError
from storage.model import Commit, Intent
from storage.segments import write_segment_table
from storage.survey import CONFIG, KEY_SQL
from storage.tables import read_rows
from storage.views import literal

if TYPE_CHECKING:
    from storage.archive import Archive, Decide
    from storage.index import Index

ROWS = 50_000  # of a segment; more cost memory and gain nothing
_SEGMENTS_AT_ONCE = 10  # taken into the index in one transaction
_SLOW_ROWS = 2_000  # entries that need a closer look, at once
_COLUMNS = ["paper_id", "aliases", "sources", "seq", "merged_into", *FACTS_OF]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a bulk load did, in entries."""

    offered: int
    fresh: int  # papers nobody knew
    changed: int  # papers that were known, or needed a closer look, and have a new row
    known: int  # said nothing new
    rejected: int
    segments: int


def load(
    archive: Archive,
    batches: Iterable[pa.Table],
    *,
    source: str,
    load_id: str,
    now: datetime,
    decide: Decide,
    text_rank: int = 3,
    progress: Callable[[int], None] | None = None,
) -> Loaded:
    """Add tables of entries (`bulk_rows.COLUMNS`), exactly once per `load_id`; returns what came of it.

    `progress` is told how many entries are done. Raises ArchiveError, ArchiveFull.
    """
    found = Loaded(offered=0, fresh=0, changed=0, known=0, rejected=0, segments=0)
    with archive.index.told(), _Desk(archive) as desk:
        slow: list[pa.Table] = []
        for number, table in enumerate(_sized(batches)):
            sheet = sheet_of(table, source=source, now=now, limits=archive.limits)
            with desk.group():
                fresh, known, odd = desk.sort(sheet, source)
                written = desk.write(fresh, f"{load_id}/{number}", source, now, text_rank)
            slow.append(odd.entries)
            found = replace(
                found,
                offered=found.offered + table.num_rows,
                fresh=found.fresh + written,
                known=found.known + known,
                segments=found.segments + (1 if written else 0),
            )
            if sum(t.num_rows for t in slow) >= _SLOW_ROWS:
                found = _closely(archive, desk, slow, found, source, load_id, now, decide, text_rank)
                slow = []
            if progress:
                progress(found.offered)
        return _closely(archive, desk, slow, found, source, load_id, now, decide, text_rank)


def _closely(
    archive: Archive,
    desk: _Desk,
    slow: list[pa.Table],
    found: Loaded,
    source: str,
    load_id: str,
    now: datetime,
    decide: Decide,
    text_rank: int,
) -> Loaded:
    """Commit the entries that need a closer look the way a poll does, but without telling of papers as new."""
    desk.flush()
    desk.forget_waiting()
    if not slow:
        return found
    table = pa.concat_tables(slow)
    for start in range(0, table.num_rows, _SLOW_ROWS):
        part = table.slice(start, _SLOW_ROWS)
        commit = archive.append(
            entries_of(part, source=source, text_rank=text_rank),
            source=source,
            batch_id=f"{load_id}/{found.offered}+{start}",
            now=now,
            decide=_quiet(decide),
        )
        desk.learn(commit)
        found = replace(
            found,
            changed=found.changed + commit.papers,
            rejected=found.rejected + commit.rejected,
            known=found.known + max(0, part.num_rows - commit.papers - commit.rejected),
            segments=found.segments + (1 if commit.seq else 0),
        )
    return found


def _quiet(decide: Decide) -> Decide:
    """As `decide`, but a paper met first is not announced."""

    def quietly(candidate, known, now, at):  # type: ignore[no-untyped-def]
        intent: Intent | None = decide(candidate, known, now, at)
        if intent is None or known is not None:
            return intent
        sightings = tuple(replace(s, announcements=()) for s in intent.sightings)
        return replace(intent, paper=replace(intent.paper, announced_at=None, revised_at=None), sightings=sightings)

    return quietly


class _Desk:
    """What is known during a load: every key, as columns in DuckDB; and the rows the index has yet to take."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._connection = duckdb.connect(config=CONFIG)
        for table in (
            "known (k BIGINT)",  # of every alias but titles of papers with an arXiv id
            "titles (k BIGINT)",  # of every title
            "facts (k BIGINT, source VARCHAR, h BIGINT, ids BIGINT[])",
            "waiting (k BIGINT)",  # of entries that await a closer look
            "pending (k BIGINT, seq BIGINT)",
            "stale (paper_id VARCHAR, seq BIGINT)",
        ):
            self._connection.execute(f"CREATE TABLE {table}")
        self._segments = 0
        self._read_log()

    def __enter__(self) -> _Desk:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            if self._archive.index.connection.in_transaction:
                # What was linked is committed: the next opening takes it in.
                self._archive.index.connection.execute("ROLLBACK")
            self._connection.close()

    def group(self) -> _Group:
        """Hold the write lock until `flush`, or until enough segments wait."""
        return _Group(self)

    def begin(self) -> None:
        index = self._archive.index
        if not index.connection.in_transaction:
            index.connection.execute("BEGIN IMMEDIATE")
            if replay.unseen(self._archive):
                raise ArchiveError("another pass committed meanwhile; load again, it goes on where it stopped")

    def sort(self, sheet: Sheet, source: str) -> tuple[Sheet, int, Sheet]:
        """The fresh rows of a sheet, how many say nothing new, and those that need a closer look."""
        rows = pa.array(range(sheet.facts.num_rows), pa.int64())
        self._connection.register(
            "f", sheet.facts.select(["plain", "arxiv", "k", "ks", "title_k", "h"]).append_column("row", rows)
        )
        verdicts = self._connection.execute(_VERDICTS, {"source": source}).to_arrow_table()["verdict"].combine_chunks()
        self._connection.unregister("f")
        fresh, odd = (pc.equal(verdicts, word) for word in ("fresh", "odd"))
        known = pc.sum(pc.equal(verdicts, "known")).as_py() or 0
        self._wait(_picked(sheet, odd).facts)
        return _picked(sheet, fresh), int(known), _picked(sheet, odd)

    def _wait(self, odd: pa.Table) -> None:
        """Whatever comes after these and may be about their papers has to wait with them."""
        if not odd.num_rows:
            return
        self._connection.register("f", odd.select(["arxiv", "ks", "title_k"]))
        self._connection.execute(f"INSERT INTO waiting SELECT k FROM ({_ALL_KEYS}) WHERE k IS NOT NULL")
        self._know_ids()
        self._connection.unregister("f")

    def write(self, fresh: Sheet, batch_id: str, source: str, now: datetime, text_rank: int) -> int:
        """Commit the fresh rows as one segment; returns how many. None where this batch was committed before."""
        archive, index = self._archive, self._archive.index
        count: int = fresh.entries.num_rows
        if not count or index.has_batch(batch_id):
            return 0
        commit = Commit(seq=None, batch_id=batch_id, entries=count, rejected=0, papers=count)
        meta = archive.next_meta(
            source=source, batch_id=batch_id, last_at=archive.first_moment(now), now=now, commit=commit
        )
        rows = rows_of(fresh, source=source, seq=meta.seq, now=now, text_rank=text_rank)
        _, stamp = write_segment_table(archive.log, meta, rows)
        archive.record(meta, stamp)
        self._learn_fresh(fresh.facts, source, meta.seq)
        self._segments += 1
        return count

    def forget_waiting(self) -> None:
        """Those that waited are looked at now."""
        self._connection.execute("DELETE FROM waiting")

    def learn(self, commit: Commit) -> None:
        """Know the papers a slow commit brought."""
        if commit.seq is not None:
            file = next(f for f in self._archive.index.files("log") if f.lo == commit.seq)
            for table in read_rows(self._archive.path(file), _COLUMNS, footer=file.footer):
                self._connection.register("r", table.select(["paper_id"]))
                self._connection.execute(f"DELETE FROM facts WHERE k IN (SELECT {KEY_SQL.format('paper_id')} FROM r)")
                self._learn_rows(table)

    def flush(self) -> None:
        """Let the index take what was written."""
        index: Index = self._archive.index
        if not index.connection.in_transaction:
            return
        found = self._connection.execute(
            "SELECT k, seq, count(*)::BIGINT AS n FROM pending GROUP BY k, seq ORDER BY k, seq"
        ).to_arrow_reader(100_000)
        for batch in found:
            index.add_keys(zip(*(column.to_pylist() for column in batch.columns), strict=True))
        index.connection.execute("COMMIT")
        self._connection.execute("DELETE FROM pending")
        self._segments = 0

    def full(self) -> bool:
        return self._segments >= _SEGMENTS_AT_ONCE

    def _read_log(self) -> None:
        archive = self._archive
        stale = [(paper_id, seq) for paper_id, seq, _ in archive.index.stale_rows()]
        columns = {"p": pa.array([p for p, _ in stale], pa.string()), "s": pa.array([s for _, s in stale], pa.int64())}
        self._connection.register("s", pa.table(columns))
        self._connection.execute("INSERT INTO stale SELECT * FROM s")
        self._connection.unregister("s")
        for file in archive.index.files("log", "papers"):
            for table in read_rows(archive.path(file), _COLUMNS, footer=file.footer):
                self._learn_rows(table)

    def _learn_fresh(self, facts: pa.Table, source: str, seq: int) -> None:
        connection = self._connection
        connection.register("f", facts.select(["arxiv", "k", "ks", "title_k", "h"]))
        connection.execute(f"INSERT INTO facts SELECT k, {literal(source)}, h, ks FROM f")
        connection.execute(f"INSERT INTO pending SELECT k, {seq} FROM ({_ALL_KEYS}) WHERE k IS NOT NULL")
        self._know_ids()
        connection.unregister("f")

    def _know_ids(self) -> None:
        """Know the ids and titles of the registered facts."""
        for sql in (
            "INSERT INTO known SELECT k FROM (SELECT unnest(ks) AS k FROM f) WHERE k IS NOT NULL",
            "INSERT INTO known SELECT title_k FROM f WHERE NOT arxiv AND title_k IS NOT NULL",
            "INSERT INTO titles SELECT title_k FROM f WHERE title_k IS NOT NULL",
        ):
            self._connection.execute(sql)

    def _learn_rows(self, rows: pa.Table) -> None:
        connection = self._connection
        connection.register("r", rows.select(_COLUMNS))
        key, facts = KEY_SQL.format("a"), FACTS_HASH
        connection.execute(
            f"""INSERT INTO known SELECT {key} FROM (SELECT unnest(aliases) AS a, paper_id FROM r)
            WHERE NOT starts_with(a, 'title:') OR NOT starts_with(paper_id, 'arxiv:')"""
        )
        connection.execute(
            f"INSERT INTO titles SELECT {key} FROM (SELECT unnest(aliases) AS a FROM r) WHERE starts_with(a, 'title:')"
        )
        # What a paper no longer is, or was until it was merged away, is news when it is said again.
        connection.execute(
            f"""INSERT INTO facts
            SELECT {KEY_SQL.format("paper_id")}, unnest(sources), {facts}, [{key} for a in aliases] FROM r
            ANTI JOIN stale USING (paper_id, seq) WHERE merged_into IS NULL"""
        )
        connection.unregister("r")


_ALL_KEYS = "SELECT unnest(ks) AS k FROM f UNION ALL SELECT title_k FROM f"
# A row is fresh where nobody knows its ids, and nobody without an arXiv id shares its title; of rows of one table
# that share an id only the first is. A known one whose facts are those of the paper says nothing new, unless it comes
# after one that may change them.
_VERDICTS = """
WITH ids AS (SELECT row, unnest(ks) AS k FROM f),
twice AS (
  SELECT row FROM ids QUALIFY k IS NOT NULL AND row_number() OVER (PARTITION BY k ORDER BY row) > 1
  UNION SELECT row FROM f QUALIFY title_k IS NOT NULL AND NOT bool_and(arxiv) OVER (PARTITION BY title_k)
    AND row_number() OVER (PARTITION BY title_k ORDER BY row) > 1
  UNION SELECT row FROM ids WHERE k IN (SELECT k FROM waiting)
  UNION SELECT row FROM f WHERE title_k IN (SELECT k FROM waiting)),
hit AS (
  SELECT row FROM ids WHERE k IN (SELECT k FROM known)
  UNION SELECT row FROM f WHERE title_k IN (SELECT k FROM known)
  UNION SELECT row FROM f WHERE NOT arxiv AND title_k IN (SELECT k FROM titles)
  UNION SELECT row FROM twice),
same AS (SELECT DISTINCT row FROM f JOIN (SELECT k, h, ids FROM facts WHERE source = $source) AS g
  ON f.k = g.k AND f.h = g.h AND list_has_all(g.ids, f.ks) ANTI JOIN twice USING (row))
SELECT CASE WHEN NOT f.plain THEN 'odd' WHEN hit.row IS NULL THEN 'fresh'
  WHEN same.row IS NOT NULL THEN 'known' ELSE 'odd' END AS verdict
FROM f LEFT JOIN hit USING (row) LEFT JOIN same USING (row) ORDER BY f.row
"""


class _Group:
    """The write lock, kept from table to table until enough segments wait."""

    def __init__(self, desk: _Desk) -> None:
        self._desk = desk

    def __enter__(self) -> None:
        self._desk.begin()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and self._desk.full():
            self._desk.flush()


def _picked(sheet: Sheet, mask: pa.Array) -> Sheet:
    if pc.all(mask).as_py():
        return sheet
    return Sheet(sheet.entries.filter(mask), sheet.facts.filter(mask))


def _sized(batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
    for table in batches:
        for start in range(0, table.num_rows, ROWS):
            yield table.slice(start, ROWS)
