"""What the command line asks of an installation: status, previews, SQL, lists. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from flows.backfill_state import Backfill, begun_backfill
from flows.governor import HeldHost, held_hosts
from flows.push_state import PushState, push_states
from storage.archive import Archive
from storage.catalog import Catalog, catalog_path
from storage.coverage import Verdict
from storage.errors import ArchiveCorrupt, ConfigError, PaperwireError
from storage.fetchlog import FetchLog, Reject, SourceState
from storage.finding import Finder
from storage.ledger import Ledger
from storage.likes import like_problems
from storage.snapshots import AsOf, open_snapshot
from storage.topics import shipped_topics

if TYPE_CHECKING:
    from storage.preview import Preview
    from storage.query import Query
    from storage.settings import Settings, Topic

_SLEEPING = timedelta(days=30)  # without a read
_RECENT = timedelta(days=7)  # how long a refused entry stays in `status`
_EDITIONS = 10
# What DuckDB raises when the files are to blame and not the question.
_BAD_FILES = (duckdb.IOException, duckdb.InternalException, duckdb.FatalException)


_FETCHES = pa.schema(
    [
        ("source", pa.string()),
        ("url", pa.string()),
        ("fetched_at", pa.timestamp("us")),
        ("status", pa.int32()),
        ("wire_bytes", pa.int64()),
        ("body_sha256", pa.string()),
        ("etag", pa.string()),
        ("last_modified", pa.string()),
        ("listed", pa.int32()),
        ("error", pa.string()),
    ]
)


class SqlError(PaperwireError):
    """A question that DuckDB does not take; its own words on one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What the last days of every source are."""

    as_of: datetime
    days: int
    sources: tuple[str, ...]
    verdicts: tuple[Verdict, ...]  # by source and day; a day without one is not due, or nothing is due on it

    @property
    def missing(self) -> tuple[Verdict, ...]:
        """Those of which something is missing."""
        return tuple(v for v in self.verdicts if v.missing)


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
    missing: tuple[Verdict, ...] = ()  # days of which something is
    rejects: tuple[Reject, ...] = ()  # those whose entry has not been accepted since
    editions: tuple[str, ...] = ()
    unsent: tuple[str, ...] = ()
    backfills: tuple[Backfill, ...] = ()  # those that were begun and are not done
    pushes: tuple[PushState, ...] = ()  # how the hub and the webhooks stand

    @property
    def well(self) -> bool:
        """Whether every source that was read answered, and nothing is missing."""
        answered = all(state is None or state.error is None for _, state in self.sources)
        return answered and not self.missing and not self.rejects


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


def preview_query(
    home: Path, text: str, *, days: int, now: datetime, folder: Path | None = None
) -> tuple[Query, Preview]:
    """Ask what a query would have delivered in the last `days` days up to the newest paper.

    Files of references that it names lie relative to `folder`, else to that of paperwire.toml. Raises QueryError,
    ArchiveError.
    """
    require_archive(home)
    with Finder(home) as finder:
        query = finder.parsed(text, stranger=False, folder=folder)
        return query, finder.preview(query, days=days, now=now)


def run_sql(home: Path, query: str, *, rows_max: int | None = None, as_of: AsOf | None = None) -> list[dict[str, Any]]:
    """Run SQL over papers.duckdb, read-only; two columns of one name become `name` and `name_1`.

    Reads at most `rows_max` rows, all of them where that is None. The archive is as it stood at a moment or commit
    where `as_of` names one.

    Raises SqlError with DuckDB's own words, ConfigError where the archive held nothing then, ArchiveCorrupt where it
    cannot read what lies there.
    """
    require_archive(home)
    with Catalog(home) if as_of is None else open_snapshot(home, as_of) as catalog:
        if "fetches" in query.lower():
            _add_fetches(home, catalog.connection)
        try:
            names, found = _interruptible(catalog.connection, query, rows_max)
        except _BAD_FILES as error:
            raise ArchiveCorrupt(f"papers.duckdb: {_one_line(error)}; `paperwire verify` names every fault") from error
        except duckdb.Error as error:
            raise SqlError(f"SQL: {_one_line(error)}") from error
    return [dict(zip(names, row, strict=True)) for row in found]


def status_of(settings: Settings, *, now: datetime) -> Status:
    """Gather how the installation stands; one that was never used is not made by asking."""
    from flows.covering import judge_coverage

    hosts = held_hosts(settings.home, settings.limits, now=now)
    if not (settings.home / "archive" / "index.sqlite").exists():
        return Status(home=settings.home, sources=tuple((name, None) for name in _names(settings)), hosts=hosts)
    with Archive(settings.home, limits=settings.limits) as archive, Ledger(settings.home) as ledger:
        log, index = FetchLog(archive.index), archive.index
        segments, states = index.segments(), {s.source: s for s in log.states()}
        clock = clock_of(states.values(), now)
        editions = ledger.editions(limit=_EDITIONS)
        return Status(
            home=settings.home,
            papers=index.papers_count(),
            segments=len(segments),
            archive_bytes=sum(f.size_bytes for f in index.files()),
            committed_at=segments[-1].committed_at if segments else None,
            unpublished_segments=index.latest_seq() - int(index.get_meta("published_seq", "0")),
            pending_events=len(index.pending_events()),
            sources=tuple((name, states.get(name)) for name in _names(settings)),
            hosts=hosts,
            missing=tuple(v for v in judge_coverage(archive, settings, now=clock) if v.missing),
            rejects=_standing(settings.home, log.rejects(since=clock - _RECENT)),
            editions=tuple(e.edition_id for e in editions),
            unsent=tuple(e.edition_id for e in editions if ledger.pending(e.edition_id)),
            backfills=tuple(b for s in settings.source if (b := begun_backfill(index, s.name))),
            pushes=push_states(settings),
        )


def coverage_of(settings: Settings, *, days: int, now: datetime, only: str | None = None) -> Coverage:
    """Judge the last days of every source, or of `only` one. Raises PaperwireError where nothing was ever read."""
    from flows.covering import judge_coverage

    require_archive(settings.home)
    with Archive(settings.home, limits=settings.limits) as archive:
        clock = clock_of(FetchLog(archive.index).states(), now)
        found = judge_coverage(archive, settings, now=clock)
    first = clock.astimezone(UTC).date() - timedelta(days=days - 1)
    names = (only,) if only else tuple(s.name for s in settings.source)
    verdicts = tuple(v for v in found if v.day >= first and v.source in names)
    return Coverage(as_of=clock, days=days, sources=names, verdicts=verdicts)


def clock_of(states: Iterable[SourceState], now: datetime) -> datetime:
    """The moment as of which to judge: now, or the newest read where that is so long ago that nobody waits any more.

    A replay has a clock of its own, too.
    """
    newest = max((s.checked_at for s in states), default=now)
    return newest if now - newest > _SLEEPING or newest > now else now


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


def topic_problems(home: Path) -> tuple[str, ...]:
    """What topics could not find when papers were last tagged with them, a line each."""
    if not (home / "archive" / "index.sqlite").exists():
        return ()
    with Archive(home) as archive:
        return like_problems(archive)


def _names(settings: Settings) -> tuple[str, ...]:
    """Who is read or asked: the sources, then those who are asked for counts."""
    return (*(s.name for s in settings.source), *settings.enrich.providers)


def _add_fetches(home: Path, connection: duckdb.DuckDBPyConnection) -> None:
    """Let the query see the fetch records. They lie in the index: with them papers.duckdb would be slow to publish."""
    with Archive(home) as archive:
        rows = FetchLog(archive.index).fetches()
    columns = list(zip(*rows, strict=True)) or [()] * len(_FETCHES)
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, _FETCHES, strict=True)]
    connection.register("fetches", pa.table(arrays, schema=_FETCHES))


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
