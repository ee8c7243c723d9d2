"""One pass: read the sources, commit what they mean, publish what changed, send what is due. No Prefect here.

`paperwire run` calls `run_pass`; the Prefect flows call the three steps one by one.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from flows.decide import decide
from flows.fetching import Fetcher
from flows.governor import Governor
from flows.harvesting import Place, Reading, Tools, read_source
from flows.parsing import Parser
from flows.sources import adapter_for
from publishers.mail import DeliveryReport, send_due, send_named
from publishers.site import PublishReport, publish_site
from storage.archive import Archive
from storage.catalog import Catalog, catalog_path, refresh_catalog
from storage.compact import compact_if_due, delete_retired
from storage.errors import ArchiveError, ConfigError, SourceError
from storage.fetchlog import FetchLog, SourceState
from storage.ledger import Ledger
from storage.locks import exclusive
from storage.model import Announcement, Commit, Entry, Event
from storage.settings import Settings, Source, Topic
from storage.topics import shipped_topics

_GAP_DAYS_MAX = 14  # after a longer silence only the last fortnight is named day by day
_SATURDAY = 5
_PASSES_MAX = 3  # over a list that shifts while it is read
_RECORDS_KEPT = timedelta(days=90)  # fetches and refused entries


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What one read of one source did."""

    source: str
    ok: bool
    error: str | None
    problems: tuple[str, ...]  # single entries or days that were lost on the way in
    notes: tuple[str, ...]
    gaps: tuple[date, ...]  # batches found to be missing
    requests: int
    wire_bytes: int
    entries: int
    new: int
    revised: int
    other: int  # further announcements: cross-listed, published, withdrawn, code, trending
    rejected: int
    seq: int | None  # the segment committed; None: nothing was news
    elapsed_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PassReport:
    """What one pass did."""

    sources: tuple[SourceReport, ...]
    publish: PublishReport | None
    deliveries: tuple[DeliveryReport, ...]

    @property
    def well(self) -> bool:
        """Whether every source answered and none has a gap."""
        return all(s.ok and not s.problems and not s.gaps for s in self.sources)


@contextmanager
def open_tools(settings: Settings) -> Iterator[Tools]:
    """Open a fetcher and a parser for a pass, and close both; its turns are those of the whole installation."""
    contact = settings.site.contact or settings.site.base_url
    with (
        closing(Governor(settings.home, settings.limits, clock=_now, sleep=time.sleep)) as governor,
        Fetcher(
            settings.limits,
            user_agent=f"Paperwire/0.1 (+{contact})",
            clock=_now,
            sleep=time.sleep,
            governor=governor,
        ) as fetcher,
        Parser(settings.limits) as parser,
    ):
        yield Tools(fetcher, parser)


def _now() -> datetime:
    return datetime.now(UTC)


def topics_of(settings: Settings) -> tuple[Topic, ...]:
    """The topics in force: those of the configuration, else the shipped set."""
    return settings.topic or shipped_topics()


def source_named(settings: Settings, name: str) -> Source:
    """The source with this name. Raises SourceError."""
    found = next((s for s in settings.source if s.name == name), None)
    if found is None:
        raise SourceError(name, f"no such source; known: {', '.join(s.name for s in settings.source) or 'none'}")
    return found


def ingest_source(settings: Settings, name: str, *, now: datetime, tools: Tools | None = None) -> SourceReport:
    """Read one source and commit what it said; failures are in the report. Raises SourceError for an unknown name."""
    source = source_named(settings, name)
    if tools is None:
        with open_tools(settings) as opened:
            return ingest_source(settings, name, now=now, tools=opened)
    started = time.monotonic()
    with Archive(settings.home, limits=settings.limits) as archive:
        log = FetchLog(archive.index)
        before = log.state(source.name)
        reading, commits, error = _committed(archive, source, log, tools, now=now)
        gaps = _gaps(source, before, reading.batch_on)
        try:
            reading = _compacted(archive, reading, now=now)
            refresh_catalog(archive, settings, topics_of(settings), now=now)
        except ArchiveError as failure:
            error = error or str(failure)
        log.record(_state(source, before, reading, error, gaps, now=now), reading.fetches, gaps)
    return _report(source, reading, commits, error, gaps, time.monotonic() - started)


def _committed(
    archive: Archive, source: Source, log: FetchLog, tools: Tools, *, now: datetime
) -> tuple[Reading, list[Commit], str | None]:
    """Read a source and commit each part as it comes; again while that brings more of a list that shifts.

    Returns all that was read but the entries, the commits, and what failed.
    """
    whole, commits, place = Reading(), list[Commit](), Place(archive.index, source.name)
    mark = place.mark()
    for _ in range(_PASSES_MAX):
        papers, again = 0, False
        for part in read_source(source, adapter_for(source.kind), log, tools, place, mark=mark, now=now):
            try:
                commits.append(_append(archive, source, part.entries, now=now))
                place.keep(part)
            except ArchiveError as failure:
                lost = tuple(replace(f, error=f.error or str(failure)) for f in part.fetches)
                return whole.plus(replace(part, entries=(), fetches=lost)), commits, str(failure)
            papers, again = papers + commits[-1].papers, part.again
            whole = whole.plus(replace(part, entries=()))
        if not (again and papers):
            break
    return whole, commits, whole.error


def publish(settings: Settings, *, now: datetime, progress: Callable[[int, int], None] | None = None) -> PublishReport:
    """Bring the site up to date with everything committed; does nothing where it already is."""
    topics = topics_of(settings)
    with (
        exclusive(settings.home / "publish.lock", what="another publish is running"),
        Archive(settings.home, limits=settings.limits) as archive,
    ):
        refresh_catalog(archive, settings, topics, now=now)
        with Catalog(settings.home) as catalog, Ledger(settings.home) as ledger:
            return publish_site(catalog, archive.index, ledger, settings, topics, progress=progress)


def newsletter(settings: Settings, *, now: datetime, dry_run: bool = False) -> tuple[DeliveryReport, ...]:
    """Cut and send the editions that are due, and finish what an earlier call left pending."""
    if not catalog_path(settings.home).exists():
        return ()
    in_force = settings.model_copy(update={"topic": topics_of(settings)})
    with Catalog(settings.home) as catalog, Ledger(settings.home) as ledger:
        return send_due(catalog, ledger, in_force, now=now, dry_run=dry_run)


def send_edition_named(settings: Settings, edition_id: str, *, now: datetime, dry_run: bool = False) -> DeliveryReport:
    """Send one edition to whoever has not got it. Raises PaperwireError where there is no such edition."""
    in_force = settings.model_copy(update={"topic": topics_of(settings)})
    with Catalog(settings.home) as catalog, Ledger(settings.home) as ledger:
        return send_named(edition_id, catalog, ledger, in_force, now=now, dry_run=dry_run)


def tidy(settings: Settings, *, now: datetime) -> int:
    """Delete what was retired a day ago, and forget old fetch records and refusals; returns how many were forgotten."""
    with Archive(settings.home, limits=settings.limits) as archive:
        delete_retired(archive, now=now)
        return FetchLog(archive.index).forget(before=now - _RECORDS_KEPT)


def pending_events(settings: Settings) -> tuple[Event, ...]:
    """The outbox: events committed and not yet acknowledged, oldest first."""
    with Archive(settings.home, limits=settings.limits) as archive:
        return archive.index.pending_events()


def acknowledge(settings: Settings, event_ids: Sequence[int], *, now: datetime) -> None:
    """Mark events as emitted."""
    with Archive(settings.home, limits=settings.limits) as archive, archive.index.transaction():
        archive.index.acknowledge(event_ids, now=now)


def run_pass(
    settings: Settings,
    *,
    now: datetime,
    only: str | None = None,
    on_source: Callable[[SourceReport], None] | None = None,
    on_page: Callable[[int, int], None] | None = None,
) -> PassReport:
    """Do one pass without a server: sources, publish, newsletter. One bad source costs that source."""
    names = [source_named(settings, only).name] if only else [s.name for s in settings.source]
    if not names:
        raise ConfigError("no [[source]] is configured", path=settings.path)
    reports = []
    with open_tools(settings) as tools:
        for name in names:
            reports.append(ingest_source(settings, name, now=now, tools=tools))
            if on_source:
                on_source(reports[-1])
    events = pending_events(settings)
    published = publish(settings, now=now, progress=on_page)
    # Without a server nobody else listens: what these events ask for has just been done.
    if events:
        acknowledge(settings, [e.event_id for e in events], now=now)
    deliveries = newsletter(settings, now=now)
    tidy(settings, now=now)
    return PassReport(sources=tuple(reports), publish=published, deliveries=deliveries)


def _append(archive: Archive, source: Source, entries: Sequence[Entry], *, now: datetime) -> Commit:
    digest = hashlib.blake2b(repr(entries).encode("utf-8", "replace"), digest_size=12).hexdigest()
    batch_id = f"{source.name}@{now.isoformat()}/{digest}"
    return archive.append(entries, source=source.name, batch_id=batch_id, now=now, decide=decide)


def _compacted(archive: Archive, reading: Reading, *, now: datetime) -> Reading:
    """Compact where it is due; that it failed is told with the read, which it cost nothing."""
    try:
        compact_if_due(archive, now=now)
    except ArchiveError as error:
        return replace(reading, lost=(*reading.lost, f"the archive was not compacted: {error}"))
    return reading


def _gaps(source: Source, before: SourceState | None, batch_on: date | None) -> tuple[date, ...]:
    """The weekdays between the last batch read and this one: arXiv's feed holds one day, so those are lost to it."""
    if source.kind != "arxiv-rss" or before is None or before.batch_on is None or batch_on is None:
        return ()
    # Weekends and holidays have an empty batch of their own date, so a date that was never seen was never read.
    start = max(before.batch_on, batch_on - timedelta(days=_GAP_DAYS_MAX))
    days = (start + timedelta(days=n) for n in range(1, (batch_on - start).days))
    return tuple(day for day in days if day.weekday() < _SATURDAY)


def _state(
    source: Source,
    before: SourceState | None,
    reading: Reading,
    error: str | None,
    gaps: tuple[date, ...],
    *,
    now: datetime,
) -> SourceState:
    failing = error or next(iter(reading.problems), None)
    since = before.failing_since if before and before.failing_since else now
    latest = max(filter(None, (reading.batch_on, before.batch_on if before else None)), default=None)
    return SourceState(
        source=source.name,
        checked_at=now,
        succeeded_at=now if not error else (before.succeeded_at if before else None),
        batch_on=latest if not error else (before.batch_on if before else None),
        error=failing,
        failing_since=since if failing else None,
        notes=(*reading.notes, *(f"the batch of {day} was never read" for day in gaps)),
    )


def _report(
    source: Source,
    reading: Reading,
    commits: Sequence[Commit],
    error: str | None,
    gaps: tuple[date, ...],
    elapsed_seconds: float,
) -> SourceReport:
    counts: Counter[Announcement] = Counter()
    for commit in commits:
        counts.update(commit.announcements)
    new, revised = counts[Announcement.NEW], counts[Announcement.REVISED]
    return SourceReport(
        source=source.name,
        ok=error is None,
        error=error,
        problems=reading.problems,
        notes=reading.notes,
        gaps=gaps,
        requests=len(reading.fetches),
        wire_bytes=sum(f.wire_bytes for f in reading.fetches),
        entries=sum(c.entries for c in commits),
        new=new,
        revised=revised,
        other=counts.total() - new - revised,
        rejected=sum(c.rejected for c in commits),
        seq=max((c.seq for c in commits if c.seq), default=None),
        elapsed_seconds=elapsed_seconds,
    )
