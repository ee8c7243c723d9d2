"""One pass: read the sources, commit what they mean, publish what changed, send what is due. No Prefect here.

`paperwire run` calls `run_pass`; the Prefect flows call the three steps one by one.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from flows.covering import covered_since, judge_coverage, keep_coverage
from flows.decide import decide
from flows.fetching import Fetcher
from flows.governor import Governor
from flows.harvesting import Place, Reading, Tools, read_source
from flows.id_runs import announced_ids, unknown_runs
from flows.parsing import Parser
from flows.posting import Poster
from flows.searching import keep_search_current
from flows.sources import adapter_for
from publishers.mail import DeliveryReport, send_due, send_named
from publishers.push import PushReport, WebhookReport, Wire, plan_webhook, push_all, send_trial
from publishers.site import PublishReport, publish_site
from storage.archive import Archive
from storage.catalog import Catalog, catalog_path, refresh_catalog
from storage.compact import compact_if_due, delete_retired
from storage.coverage import CoverageLog, Verdict
from storage.errors import ArchiveError, ConfigError, PaperwireError, SourceError
from storage.fetchlog import FetchLog, state_after
from storage.ledger import Ledger
from storage.locks import exclusive
from storage.model import Announcement, Commit, Entry, Event
from storage.pushes import Pushes, pushes_exist
from storage.settings import Settings, Source, Topic
from storage.topics import shipped_topics

PUBLISHED_COVERAGE = "coverage published"  # the version of the ledger that the site shows, in the index
_PUSHED = "pushed_seq"  # in the ledger of pushes: what was published when somebody last pushed to the end
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
    missing: tuple[Verdict, ...]  # days of which this read showed that something is missing
    healed: tuple[Verdict, ...]  # days, of other sources too, for which it made up
    requests: int
    wire_bytes: int
    entries: int
    new: int
    revised: int
    other: int  # further announcements: cross-listed, published, withdrawn, code, trending
    rejected: int
    seq: int | None  # the segment committed; None: nothing was news
    elapsed_seconds: float

    @property
    def trouble(self) -> tuple[str, ...]:
        """What was lost, and of which days something is missing, a line each; nothing twice."""
        told = "; ".join(self.problems)
        return (*self.problems, *(v.line for v in self.missing if v.why not in told))


@dataclass(frozen=True, slots=True, kw_only=True)
class PassReport:
    """What one pass did."""

    sources: tuple[SourceReport, ...]
    publish: PublishReport | None
    deliveries: tuple[DeliveryReport, ...]
    push: PushReport = field(default_factory=PushReport)

    @property
    def well(self) -> bool:
        """Whether every source answered and none has a gap."""
        return all(s.ok and not s.problems and not s.missing for s in self.sources)


def user_agent_of(settings: Settings) -> str:
    """How we name ourselves to sources, with where we can be reached."""
    return f"Paperwire/0.1 (+{settings.site.contact or settings.site.base_url})"


@contextmanager
def open_tools(settings: Settings) -> Iterator[Tools]:
    """Open a fetcher and a parser for a pass, and close both; its turns are those of the whole installation."""
    with (
        closing(Governor(settings.home, settings.limits, clock=_now, sleep=time.sleep)) as governor,
        Fetcher(
            settings.limits,
            user_agent=user_agent_of(settings),
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


def ingest_source(
    settings: Settings, name: str, *, now: datetime, tools: Tools | None = None, shown: bool = True
) -> SourceReport:
    """Read one source and commit what it said; failures are in the report.

    Where it is not to be `shown`, papers.duckdb is left to the caller. Raises SourceError for an unknown name.
    """
    source = source_named(settings, name)
    if tools is None:
        with open_tools(settings) as opened:
            return ingest_source(settings, name, now=now, tools=opened, shown=shown)
    started = time.monotonic()
    with Archive(settings.home, limits=settings.limits) as archive:
        log = FetchLog(archive.index)
        before = log.state(source.name)
        reading, commits, error = _committed(archive, source, log, tools, now=now)
        changed: tuple[Verdict, ...] = ()
        try:
            changed = keep_coverage(archive.index, settings, source, reading, commits, error, now=now)
            reading = _compacted(archive, reading, now=now)
            if shown:
                refresh_catalog(archive, settings, topics_of(settings), now=now)
        except ArchiveError as failure:
            error = error or str(failure)
        state = state_after(
            before,
            source=source.name,
            error=error,
            problems=reading.problems,
            notes=reading.notes,
            batch_on=reading.batch_on,
            now=now,
        )
        log.record(state, reading.fetches)
    return _report(source, reading, commits, error, changed, time.monotonic() - started, now=now)


def _committed(
    archive: Archive, source: Source, log: FetchLog, tools: Tools, *, now: datetime
) -> tuple[Reading, list[Commit], str | None]:
    """Read a source and commit each part as it comes; again while that brings more of a list that shifts.

    Returns all that was read but the entries, the commits, and what failed.
    """
    whole, commits, place = Reading(), list[Commit](), Place(archive.index, source.name)
    mark, ids = place.mark(), dict[str, date]()
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
            ids |= announced_ids(part.entries)
            whole = whole.plus(replace(part, entries=()))
        if not (again and papers):
            break
    else:
        whole = whole.plus(Reading(lost=(f"the list went on changing through {_PASSES_MAX} reads of it",)))
    return whole.plus(Reading(lost=_lost_runs(archive, source, ids), left=whole.left)), commits, whole.error


def _lost_runs(archive: Archive, source: Source, ids: Mapping[str, date]) -> tuple[str, ...]:
    """Runs of ids that a read of all of arXiv should have brought, and that are unknown."""
    if source.kind != "arxiv-oai" or source.category:
        return ()
    since = covered_since(archive.index, source)

    def known(names: Collection[str]) -> set[str]:
        return {alias.removeprefix("arxiv:") for alias in archive.index.find(f"arxiv:{name}" for name in names)}

    return tuple(unknown_runs(ids, since=since, known=known)) if since else ()


def publish(settings: Settings, *, now: datetime, progress: Callable[[int, int], None] | None = None) -> PublishReport:
    """Bring the site up to date with everything committed; does nothing where it already is."""
    topics = topics_of(settings)
    with (
        exclusive(settings.home / "publish.lock", what="another publish is running"),
        Archive(settings.home, limits=settings.limits) as archive,
    ):
        judge_coverage(archive, settings, now=now)
        refresh_catalog(archive, settings, topics, now=now)
        keep_search_current(archive)
        judged = str(CoverageLog(archive.index).version())
        with Catalog(settings.home) as catalog, Ledger(settings.home) as ledger:
            report = publish_site(catalog, archive.index, ledger, settings, topics, progress=progress)
        if archive.index.get_meta(PUBLISHED_COVERAGE) != judged:
            with archive.index.transaction():
                archive.index.set_meta(PUBLISHED_COVERAGE, judged)
        return report


def push(settings: Settings, *, now: datetime, dry_run: bool = False) -> PushReport:
    """Tell the hub and the webhooks of what was published and they do not know yet; failures are in the report.

    A dry run stores and sends nothing. Raises PaperwireError where another process is pushing.
    """
    if not _pushes_to_anybody(settings) or not catalog_path(settings.home).exists():
        return PushReport()
    with _wire(settings, now=now) as wire, Catalog(settings.home) as catalog:
        if dry_run:
            before = Pushes(settings.home) if pushes_exist(settings.home) else None
            with closing(before) if before else nullcontext():
                planned = tuple(plan_webhook(webhook, catalog, before, wire) for webhook in settings.webhook)
            return PushReport(webhooks=planned)
        with Pushes(settings.home) as pushes, pushes.pushing():
            report = push_all(catalog, pushes, wire)
            pushes.set_mark(_PUSHED, str(wire.published_seq))
            return report


def push_trial(settings: Settings, name: str, *, now: datetime) -> WebhookReport:
    """Send a test message to one webhook. Raises ConfigError where there is none of that name."""
    webhook = next((w for w in settings.webhook if w.name == name), None)
    if webhook is None:
        known = ", ".join(w.name for w in settings.webhook) or "none"
        raise ConfigError(f"no webhook is named {name!r}; known: {known}", path=settings.path)
    with _wire(settings, now=now) as wire, Pushes(settings.home) as pushes:
        return send_trial(webhook, wire, pushes)


def push_waits(settings: Settings, *, now: datetime) -> bool:
    """Whether something was published that nobody was told of yet, or what failed is due again."""
    if not _pushes_to_anybody(settings) or not catalog_path(settings.home).exists():
        return False
    published = _published_seq(settings)
    with Pushes(settings.home) as pushes:
        names = [webhook.name for webhook in settings.webhook]
        unseen = pushes.mark(_PUSHED) != str(published)
        return unseen or pushes.due(settings.site.hub, names, published_seq=published, now=now)


def _pushes_to_anybody(settings: Settings) -> bool:
    return bool(settings.site.hub or settings.webhook)


def _published_seq(settings: Settings) -> int:
    with Archive(settings.home, limits=settings.limits) as archive:
        return int(archive.index.get_meta("published_seq", "0"))


@contextmanager
def _wire(settings: Settings, *, now: datetime) -> Iterator[Wire]:
    with Poster(user_agent=user_agent_of(settings), now=now) as poster:
        yield Wire(
            settings=settings,
            topics=topics_of(settings),
            published_seq=_published_seq(settings) if catalog_path(settings.home).exists() else 0,
            post=poster,
            environ=os.environ,
            now=now,
        )


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
    """Delete what was retired a day ago, see what has become late, forget old fetches and refusals.

    Returns how many were forgotten.
    """
    with Archive(settings.home, limits=settings.limits) as archive:
        delete_retired(archive, now=now)
        judge_coverage(archive, settings, now=now)
        return FetchLog(archive.index).forget(before=now - _RECORDS_KEPT)


def digest_of(entries: Sequence[Entry]) -> str:
    """What makes the id of a batch: the same for the same entries in the same order."""
    return hashlib.blake2b(repr(entries).encode("utf-8", "replace"), digest_size=12).hexdigest()


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
    """Do one pass without a server: sources, publish, push, newsletter. One bad source costs that source."""
    names = [source_named(settings, only).name] if only else [s.name for s in settings.source]
    if not names:
        raise ConfigError("no [[source]] is configured", path=settings.path)
    reports = []
    with shown_after(settings, now=now), open_tools(settings) as tools:
        for name in names:
            reports.append(ingest_source(settings, name, now=now, tools=tools, shown=False))
            if on_source:
                on_source(reports[-1])
    events = pending_events(settings)
    published = publish(settings, now=now, progress=on_page)
    # Without a server nobody else listens: what these events ask for has just been done.
    if events:
        acknowledge(settings, [e.event_id for e in events], now=now)
    pushed = _pushed(settings, now=now)
    deliveries = newsletter(settings, now=now)
    tidy(settings, now=now)
    return PassReport(sources=tuple(reports), publish=published, deliveries=deliveries, push=pushed)


def _pushed(settings: Settings, *, now: datetime) -> PushReport:
    """Push; that it failed is told with the pass, which it costs nothing: what waits is sent by the next."""
    try:
        return push(settings, now=now)
    except PaperwireError as error:
        return PushReport(trouble=str(error))


@contextmanager
def shown_after(settings: Settings, *, now: datetime) -> Iterator[None]:
    """Let papers.duckdb have what was committed, also of a pass that was interrupted."""
    try:
        yield
    finally:
        with Archive(settings.home, limits=settings.limits) as archive:
            refresh_catalog(archive, settings, topics_of(settings), now=now)


def _append(archive: Archive, source: Source, entries: Sequence[Entry], *, now: datetime) -> Commit:
    batch_id = f"{source.name}@{now.isoformat()}/{digest_of(entries)}"
    return archive.append(entries, source=source.name, batch_id=batch_id, now=now, decide=decide)


def _compacted(archive: Archive, reading: Reading, *, now: datetime) -> Reading:
    """Compact where it is due; that it failed is told with the read, which it cost nothing."""
    try:
        compact_if_due(archive, now=now)
    except ArchiveError as error:
        return replace(reading, lost=(*reading.lost, f"the archive was not compacted: {error}"))
    return reading


def _report(
    source: Source,
    reading: Reading,
    commits: Sequence[Commit],
    error: str | None,
    changed: Sequence[Verdict],
    elapsed_seconds: float,
    *,
    now: datetime,
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
        missing=tuple(v for v in changed if v.missed_at == now and v.missing and v.source == source.name),
        healed=tuple(v for v in changed if v.healed_at == now),
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
