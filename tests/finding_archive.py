"""An archive of papers as a test wants them, published, indexed as far as it says, and asked in three ways.

With the index, without it, and in plain SQL over papers.duckdb.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from flows.searching import refresh_search
from storage.archive import Archive
from storage.catalog import Catalog, refresh_catalog
from storage.model import Announcement, Candidate, Entry, Intent, Paper, Sighting
from storage.query import WORDS_SQL, Query
from storage.settings import Settings, Topic
from tests.builders import NOW

TOPICS = (Topic(slug="agents", title="Agents", query="diffusion OR models"),)
Counts = dict[date, int]


def commit(home: Path, papers: Sequence[Paper], *, name: str = "", now: datetime = NOW) -> None:
    """Commit these papers as they are; the moment of those announced is the archive's own, as is every commit's."""
    by_id = {paper.paper_id: paper for paper in papers}

    def as_given(candidate: Candidate, _: Paper | None, seen_at: datetime, at: datetime) -> Intent:
        paper = by_id[candidate.entry.entry_id]
        told = (Announcement.NEW,) if paper.announced_at else ()
        paper = replace(paper, announced_at=at if paper.announced_at == NOW else paper.announced_at)
        sighting = Sighting(
            source="test",
            entry_id=paper.paper_id,
            seen_at=seen_at,
            announced_on=None,
            announcements=told,
            version=None,
            categories=(),
            upvotes=None,
            comment_count=None,
            stars=None,
        )
        return Intent(paper=paper, sightings=(sighting,))

    entries = [
        Entry(source="test", entry_id=p.paper_id, title=f"{name} {p.title or '-'}", arxiv_id=p.arxiv_id) for p in papers
    ]
    with Archive(home) as archive:
        archive.append(entries, source="test", batch_id=f"{name}@{now}", now=now, decide=as_given)


def publish(home: Path, *, topics: Sequence[Topic] = TOPICS) -> None:
    """Publish papers.duckdb."""
    with Archive(home) as archive:
        refresh_catalog(archive, Settings(home=home), topics, now=NOW)


def index(home: Path) -> None:
    """Bring the index up to the newest commit."""
    with Archive(home) as archive:
        refresh_search(archive)


def in_sql(
    catalog: Catalog, query: Query, *, now: datetime = NOW, since: datetime | None = None, backfilled: bool = False
) -> list[str]:
    """The ids that plain SQL finds, newest first."""
    return [paper_id for paper_id, _ in _rows(catalog, query, now, since, backfilled=backfilled)]


def counted_in_sql(catalog: Catalog, query: Query, *, first: date, last: datetime) -> Counts:
    """How many papers were told of as new on each day up to a moment, as plain SQL counts them; `since:` ends there."""
    found: Counts = {}
    since = datetime(first.year, first.month, first.day, tzinfo=UTC)
    for _, at in _rows(catalog, query, last, since, backfilled=False):
        if at <= last:
            found[at.date()] = found.get(at.date(), 0) + 1
    return found


def _rows(
    catalog: Catalog, query: Query, now: datetime, since: datetime | None, *, backfilled: bool
) -> list[tuple[str, datetime]]:
    # Made once for each snapshot: what SQL reads is the same, and quicker.
    catalog.rows(f"CREATE TEMP TABLE IF NOT EXISTS words AS {WORDS_SQL}")
    condition = query.sql(now)
    after = (since or NOW - timedelta(days=36_500)).astimezone(UTC).replace(tzinfo=None)
    rows = catalog.rows(
        f"""SELECT paper_id, new_at FROM words WHERE {condition.where} AND new_at >= ?
        {"" if backfilled else "AND announced_at IS NOT NULL"} ORDER BY new_at DESC, paper_id""",
        [*condition.params, after],
    )
    return [(row["paper_id"], row["new_at"].replace(tzinfo=UTC)) for row in rows]
