"""What the boards of what trends are made from: the papers with counts of the last weeks, and those listed just now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from storage.trending import NEWCOMER_AGE_MAX, Look, Watched

Rows = Callable[[str, Sequence[object]], list[dict[str, Any]]]
# Bound by commit: of files of older commits DuckDB reads the statistics of their row groups. A withdrawal and a merge
# come with whatever they have, for they take a paper off; who merges or splits by hand has seen nothing.
_ROWS = """
SELECT paper_id, seq, announced_at, first_seen_at, categories[1] AS category, withdrawn, merged_into,
       s.seen_at AS seen_at, s.source AS source, s.announced_on AS list_day, s.upvotes AS upvotes,
       s.comment_count AS comment_count, s.stars AS stars, s.citations AS citations,
       list_contains(s.announcements, 'trending') AS listed
FROM (
  SELECT paper_id, seq, announced_at, first_seen_at, categories, withdrawn, merged_into, changes,
         unnest(CASE WHEN len(sightings) > 0 THEN sightings ELSE [NULL] END) AS s
  FROM _rows WHERE seq >= ?
)
WHERE s.upvotes IS NOT NULL OR s.comment_count IS NOT NULL OR s.stars IS NOT NULL OR s.citations IS NOT NULL
   OR announced_at >= ? OR withdrawn OR merged_into IS NOT NULL OR list_contains(changes, 'split')
ORDER BY seq, paper_id, s.seen_at, s.source
"""
_NEWEST = "SELECT max(announced_at) AS told_at FROM _rows WHERE seq >= ?"
_TOPICS = """
SELECT paper_id, topic FROM paper_topics WHERE paper_id IN (SELECT unnest(string_split(?, chr(31)))) ORDER BY ALL
"""
_NOON = time(12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What there is to rank, as of the newest news or count: a backfill moves nothing."""

    as_of: datetime
    papers: tuple[Watched, ...]


NOTHING = Watch(as_of=datetime(1970, 1, 1, tzinfo=UTC), papers=())
"""Of an archive that nothing was ever committed to."""


def read_watch(rows: Rows) -> Watch:
    """Read what the boards need through `rows`, which runs SQL on papers.duckdb. Raises ArchiveError."""
    (meta,) = rows("SELECT as_of, recent_seq FROM _meta", ())
    if meta["as_of"] is None:
        return NOTHING
    (newest,) = rows(_NEWEST, (meta["recent_seq"],))
    told_at = newest["told_at"] or meta["as_of"]
    looked = rows(_ROWS, (meta["recent_seq"], told_at - NEWCOMER_AGE_MAX))
    as_of = max([told_at, *(row["seen_at"] for row in looked if _counts(row))]).replace(tzinfo=UTC)
    found = _by_paper(looked)
    topics: dict[str, set[str]] = {}
    for row in rows(_TOPICS, ("\x1f".join(sorted(found)),)):
        topics.setdefault(row["paper_id"], set()).add(row["topic"])
    papers = (_watched(p, mine, topics.get(p, set())) for p, mine in sorted(found.items()))
    return Watch(as_of=as_of, papers=tuple(p for p in papers if p))


def _by_paper(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The rows of each paper, oldest first; those of a paper that was merged into another with that one's."""
    merged = {row["paper_id"]: row["merged_into"] for row in rows}  # as its newest row has it
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["merged_into"] is None:
            found.setdefault(merged[row["paper_id"]] or row["paper_id"], []).append(row)
    return found


def _watched(paper_id: str, rows: Sequence[dict[str, Any]], topics: set[str]) -> Watched | None:
    """A paper from its rows; None where nothing is to be ranked: it was withdrawn, or came without news or counts."""
    newest = next((row for row in reversed(rows) if row["paper_id"] == paper_id), rows[-1])
    looks = [row for row in rows if _counts(row)]
    told = newest["announced_at"]
    if newest["withdrawn"] or not (looks or told):
        return None
    listing = next((row for row in rows if row["listed"]), None)
    voted = any(row["upvotes"] is not None for row in looks)
    if listing is not None:
        listed_at = _listed_at(listing)
    elif voted:  # a list took it up before the commits that are read
        listed_at = min(row["seen_at"] for row in looks)
    else:
        listed_at = told or newest["first_seen_at"]
    return Watched(
        paper_id=paper_id,
        listed_at=listed_at.replace(tzinfo=UTC),
        listed_before=listing is None and voted,
        category=newest["category"] or "",
        topics=frozenset(topics),
        looks=tuple(_look(row) for row in looks),
    )


def _listed_at(row: dict[str, Any]) -> datetime:
    """When a list took a paper up: when it was first seen there, or at noon of its day where it was read later."""
    seen_at: datetime = row["seen_at"]
    day: date | None = row["list_day"]
    return datetime.combine(day, _NOON) if day is not None and seen_at.date() > day else seen_at


def _counts(row: dict[str, Any]) -> bool:
    upvotes, comments, stars, citations = row["upvotes"], row["comment_count"], row["stars"], row["citations"]
    return upvotes is not None or comments is not None or stars is not None or citations is not None


def _look(row: dict[str, Any]) -> Look:
    return Look(
        row["seen_at"].replace(tzinfo=UTC),
        row["source"],
        row["upvotes"],
        row["comment_count"],
        row["stars"],
        row["citations"],
    )
