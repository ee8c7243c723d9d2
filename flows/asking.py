"""What the command line asks of an installation: status, previews, SQL, lists. Reads only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from flows.pipeline import topics_of
from flows.sources import adapter_for
from storage.archive import Archive
from storage.catalog import Catalog, catalog_path
from storage.fetchlog import FetchLog, Gap, Reject, SourceState
from storage.ledger import Ledger
from storage.model import Paper
from storage.settings import Settings

_RECENT = timedelta(days=7)  # how long a gap or a refused entry stays in `status`
_SAMPLE = 10
_EDITIONS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a query would have delivered."""

    query: str
    days: tuple[tuple[date, int], ...]  # oldest first, zeros included
    total: int
    sample: tuple[Paper, ...]  # the newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How an installation stands."""

    home: Path
    papers: int
    segments: int
    archive_bytes: int
    committed_at: datetime | None
    unpublished_segments: int
    pending_events: int
    sources: tuple[tuple[str, SourceState | None], ...]
    gaps: tuple[Gap, ...]
    rejects: tuple[Reject, ...]
    editions: tuple[str, ...]
    unsent: tuple[str, ...]

    @property
    def well(self) -> bool:
        """Whether every source that was read answered, and nothing is missing."""
        return not self.gaps and all(state is None or state.error is None for _, state in self.sources)


def preview_query(home: Path, query: str, *, days: int, now: datetime) -> Preview:
    """Run a query over the last `days` days up to the newest paper. Raises QueryError, ArchiveError."""
    with Catalog(home) as catalog:
        newest = catalog.new_in_topic(None, limit=1)
        end = min(now, newest[0].paper.announced_at or now) if newest else now
        papers = catalog.matching(query, now=end, since=end - timedelta(days=days), limit=100_000)
    counts = Counter((p.announced_at or p.first_seen_at).date() for p in papers)
    first = (end - timedelta(days=days - 1)).date()
    per_day = tuple((first + timedelta(days=n), counts[first + timedelta(days=n)]) for n in range(days))
    return Preview(query=query, days=per_day, total=len(papers), sample=tuple(papers[:_SAMPLE]))


def run_sql(home: Path, query: str) -> list[dict[str, Any]]:
    """Run SQL over papers.duckdb, read-only. Raises ArchiveError with DuckDB's own first line."""
    with Catalog(home) as catalog:
        return catalog.rows(query)


def status_of(settings: Settings, *, now: datetime) -> Status:
    """Gather how the installation stands."""
    with Archive(settings.home, limits=settings.limits) as archive, Ledger(settings.home) as ledger:
        log, index = FetchLog(archive.index), archive.index
        segments, states = index.segments(), {s.source: s for s in log.states()}
        # In a replay the archive's clock is not ours: "recent" counts back from the newest read.
        clock = max((s.checked_at for s in states.values()), default=now)
        editions = ledger.editions(limit=_EDITIONS)
        return Status(
            home=settings.home,
            papers=index.papers_count(),
            segments=len(segments),
            archive_bytes=sum(s.size_bytes for s in segments),
            committed_at=segments[-1].committed_at if segments else None,
            unpublished_segments=index.latest_seq() - int(index.get_meta("published_seq", "0")),
            pending_events=len(index.pending_events()),
            sources=tuple((s.name, states.get(s.name)) for s in settings.source),
            gaps=log.gaps(since=clock - _RECENT),
            rejects=log.rejects(since=clock - _RECENT),
            editions=tuple(e.edition_id for e in editions),
            unsent=tuple(e.edition_id for e in editions if ledger.pending(e.edition_id)),
        )


def list_sources(settings: Settings) -> list[dict[str, Any]]:
    """The configured sources, one row each."""
    return [
        {
            "source": s.name,
            "kind": s.kind,
            "reads": s.category or s.url or "daily lists",
            "from": s.base_url or "the provider",
            "schedule": s.schedule or adapter_for(s.kind).default_schedule,
            "time zone": s.time_zone,
        }
        for s in settings.source
    ]


def list_topics(settings: Settings) -> list[dict[str, Any]]:
    """The topics in force, one row each."""
    counts: dict[str, int] = {}
    if catalog_path(settings.home).exists():
        with Catalog(settings.home) as catalog:
            counts = catalog.topic_counts()
    return [
        {"topic": t.slug, "title": t.title, "papers": counts.get(t.slug, 0), "query": t.query}
        for t in topics_of(settings)
    ]
