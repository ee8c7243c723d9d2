"""What the command line asks of an installation: status, previews, SQL, lists. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from flows.governor import HeldHost, held_hosts
from storage.archive import Archive
from storage.catalog import Catalog, catalog_path
from storage.errors import ArchiveCorrupt, ConfigError, PaperwireError
from storage.fetchlog import FetchLog, Gap, Reject, SourceState
from storage.ledger import Ledger
from storage.model import Paper
from storage.snapshots import AsOf, open_snapshot
from storage.topics import shipped_topics

if TYPE_CHECKING:
    from storage.settings import Settings, Topic

_RECENT = timedelta(days=7)  # how long a gap or a refused entry stays in `status`
_SAMPLE = 10
_EDITIONS = 10
# What DuckDB raises when the files are to blame and not the question.
_BAD_FILES = (duckdb.IOException, duckdb.InternalException, duckdb.FatalException)


class SqlError(PaperwireError):
    """A question that DuckDB does not take; its own words on one line."""


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
    papers: int = 0
    segments: int = 0
    archive_bytes: int = 0
    committed_at: datetime | None = None
    unpublished_segments: int = 0
    pending_events: int = 0
    sources: tuple[tuple[str, SourceState | None], ...]
    hosts: tuple[HeldHost, ...] = ()  # those where something holds requests back
    gaps: tuple[Gap, ...] = ()
    rejects: tuple[Reject, ...] = ()  # those whose entry has not been accepted since
    editions: tuple[str, ...] = ()
    unsent: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Whether every source that was read answered, and nothing is missing."""
        answered = all(state is None or state.error is None for _, state in self.sources)
        return answered and not self.gaps and not self.rejects


def require_archive(home: Path) -> None:
    """Raise PaperwireError where no pass has archived anything yet: a mistyped home must not look like a well one."""
    if not (home / "archive" / "index.sqlite").exists():
        raise PaperwireError(f"nothing has been archived yet in {home}; `paperwire run` reads the sources")


def require_edition(home: Path, edition_id: str) -> None:
    """Raise ConfigError where no edition has this id."""
    with Ledger(home) as ledger:
        if ledger.edition(edition_id) is None:
            newest = ", ".join(e.edition_id for e in ledger.editions(limit=3)) or "none yet"
            raise ConfigError(f"no edition is named {edition_id!r}; the newest: {newest}")


def preview_query(home: Path, query: str, *, days: int, now: datetime) -> Preview:
    """Run a query over the last `days` days up to the newest paper. Raises QueryError, ArchiveError."""
    require_archive(home)
    with Catalog(home) as catalog:
        newest = catalog.new_in_topic(None, limit=1)
        end = min(now, newest[0].paper.announced_at or now) if newest else now
        first = end.astimezone(UTC).date() - timedelta(days=days - 1)
        since = datetime(first.year, first.month, first.day, tzinfo=UTC)
        found = catalog.matching(query, now=end, since=since, limit=100_000)
    # Papers known by a later version only were never news.
    papers = [(paper, paper.announced_at) for paper in found if paper.announced_at and paper.announced_at >= since]
    counts = Counter(told.date() for _, told in papers)
    per_day = tuple((first + timedelta(days=n), counts[first + timedelta(days=n)]) for n in range(days))
    sample = tuple(paper for paper, _ in papers[:_SAMPLE])
    return Preview(query=query, days=per_day, total=len(papers), sample=sample)


def run_sql(home: Path, query: str, *, rows_max: int | None = None, as_of: AsOf | None = None) -> list[dict[str, Any]]:
    """Run SQL over papers.duckdb, read-only; two columns of one name become `name` and `name_1`.

    Reads at most `rows_max` rows, all of them where that is None. The archive is as it stood at a moment or commit
    where `as_of` names one.

    Raises SqlError with DuckDB's own words, ConfigError where the archive held nothing then, ArchiveCorrupt where it
    cannot read what lies there.
    """
    require_archive(home)
    with Catalog(home) if as_of is None else open_snapshot(home, as_of) as catalog:
        try:
            names, found = _interruptible(catalog.connection, query, rows_max)
        except _BAD_FILES as error:
            raise ArchiveCorrupt(f"papers.duckdb: {_one_line(error)}; `paperwire verify` names every fault") from error
        except duckdb.Error as error:
            raise SqlError(f"SQL: {_one_line(error)}") from error
    return [dict(zip(names, row, strict=True)) for row in found]


def status_of(settings: Settings, *, now: datetime) -> Status:
    """Gather how the installation stands; one that was never used is not made by asking."""
    hosts = held_hosts(settings.home, settings.limits, now=now)
    if not (settings.home / "archive" / "index.sqlite").exists():
        return Status(home=settings.home, sources=tuple((s.name, None) for s in settings.source), hosts=hosts)
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
            archive_bytes=sum(f.size_bytes for f in index.files()),
            committed_at=segments[-1].committed_at if segments else None,
            unpublished_segments=index.latest_seq() - int(index.get_meta("published_seq", "0")),
            pending_events=len(index.pending_events()),
            sources=tuple((s.name, states.get(s.name)) for s in settings.source),
            hosts=hosts,
            gaps=log.gaps(since=clock - _RECENT),
            rejects=_standing(settings.home, log.rejects(since=clock - _RECENT)),
            editions=tuple(e.edition_id for e in editions),
            unsent=tuple(e.edition_id for e in editions if ledger.pending(e.edition_id)),
        )


def list_sources(settings: Settings) -> list[dict[str, Any]]:
    """The configured sources, one row each."""
    from flows.sources import adapter_for

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
    topics: Sequence[Topic] = settings.topic or shipped_topics()
    counts: dict[str, int] = {}
    if catalog_path(settings.home).exists():
        with Catalog(settings.home) as catalog:
            counts = catalog.topic_counts()
    return [{"topic": t.slug, "title": t.title, "papers": counts.get(t.slug, 0), "query": t.query} for t in topics]


def _interruptible(
    connection: duckdb.DuckDBPyConnection, query: str, rows_max: int | None
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run a query in a thread: while DuckDB works, or waits for threads of its own, nothing else sees Ctrl-C.

    Returns the names of the columns, and the rows.
    """

    def run() -> tuple[list[str], list[tuple[Any, ...]]]:
        # Typed as never None, but it is where the text holds no statement.
        cursor: duckdb.DuckDBPyConnection | None = connection.execute(query)
        if cursor is None:
            raise SqlError("SQL: there is no statement in it")
        names = _distinct([str(column[0]) for column in cursor.description or ()])
        return names, cursor.fetchall() if rows_max is None else cursor.fetchmany(rows_max)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(run)
        try:
            return answer.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


def _standing(home: Path, rejects: tuple[Reject, ...]) -> tuple[Reject, ...]:
    """Those of `rejects` whose entry was not accepted afterwards."""
    if not rejects or not catalog_path(home).exists():
        return rejects
    with Catalog(home) as catalog:
        rows = catalog.rows(
            "SELECT source, entry_id, max(seen_at) AS seen_at FROM sightings "
            "WHERE entry_id IN (SELECT unnest(?)) GROUP BY ALL",
            [[r.entry_id for r in rejects]],
        )
    accepted = {(row["source"], row["entry_id"]): row["seen_at"].replace(tzinfo=UTC) for row in rows}
    return tuple(r for r in rejects if (at := accepted.get((r.source, r.entry_id))) is None or at <= r.rejected_at)


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the names, each only once."""
    found: list[str] = []
    for name in names:
        number, free = 0, name
        while free in found:
            number += 1
            free = f"{name}_{number}"
        found.append(free)
    return found


def _one_line(error: duckdb.Error) -> str:
    """Return what DuckDB says, without the part that draws the query."""
    said = str(error).partition("\n\nLINE ")[0].partition("\nLINE ")[0]
    return " ".join(said.split())
