"""The past of a source: everything that changed in a span of days, read page by page for as long as that takes.

Each part is committed before the next is asked for, and then where to go on is kept: the same backfill again goes on
at its page. Where that page cannot be had any more it goes on with the day that was being read, since the list is in
the order of days. What it reads is data and no news. It ends with the day before the one from which on the next read
tells of everything as news, so that neither takes anything from the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import get_args

from flows.backfill_state import Backfill, begun_backfill, forget_backfill, keep_backfill
from flows.bars import Bars, no_bar
from flows.decide import decide
from flows.harvesting import Place, Reading, Tools, read_requests
from flows.pipeline import digest_of, open_tools, topics_of
from flows.searching import refresh_search
from flows.sources import adapter_for
from flows.sources.interface import Spanning
from storage.archive import Archive
from storage.catalog import refresh_catalog
from storage.compact import compact, compact_if_due
from storage.errors import ArchiveError, ConfigError, PaperwireError
from storage.fetchlog import FetchLog
from storage.locks import exclusive
from storage.model import Candidate, Commit, Intent, Paper
from storage.settings import Settings, Source, SourceKind

# A list shifts when one of its records changes: between two pages that are asked for in a row hardly ever, within
# hours it does. What is older goes on with its day, of which nothing can be passed over.
_PAGE_GOOD = timedelta(hours=1)
_PAUSES_SECONDS = (30.0, 120.0, 600.0, 1_800.0)  # before a server that failed is asked again
_NAMED_MAX = 20  # lost entries, and notes, that are told one by one
_BUSY = frozenset([403, 429])  # HTTP statuses that say nothing about the page
_SERVER_ERROR = 500  # HTTP statuses from here on

Clock = Callable[[], datetime]
Wait = Callable[[float], None]  # for so many seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillReport:
    """How far a backfill came."""

    backfill: Backfill
    error: str | None  # why it stopped before its end

    @property
    def well(self) -> bool:
        """Whether all of the past is there."""
        return self.error is None and self.backfill.whole


Watch = Callable[[Backfill], None]


def backfill(
    settings: Settings,
    name: str,
    *,
    since: date,
    until: date | None = None,
    restart: bool = False,
    clock: Clock,
    wait: Wait = time.sleep,
    reading: AbstractContextManager[Watch] | None = None,
    bars: Bars = no_bar,
) -> BackfillReport:
    """Read what changed at a source from `since` to `until`, both included; go on with what was begun.

    Unless given, `until` is the last day that is no news. With `restart` what was begun is forgotten. `reading` shows
    how far it is. Why it stopped is in the report.

    Raises ConfigError, ArchiveError, PaperwireError where another backfill is running.
    """
    source, adapter = _spanning(settings, name)
    lock = exclusive(settings.home / "backfill.lock", what="another backfill is running", wait=False)
    with lock, Archive(settings.home, limits=settings.limits) as archive, open_tools(settings) as tools:
        begun = None if restart else begun_backfill(archive.index, name)
        if begun:
            _require_same(begun, since, until)
        before = begun or _begin(archive, source, adapter, since, until, now=clock())
        with reading or nullcontext(_watch_nothing) as watch:
            state, error = _Reader(archive, source, adapter, tools, clock, wait, watch).read(before)
        if error is None or state.requests > before.requests:
            _publish(archive, settings, now=clock(), bars=bars)
        if error is None:
            with archive.index.transaction():
                forget_backfill(archive.index, name)
    return BackfillReport(backfill=state, error=error)


def decide_quietly(candidate: Candidate, known: Paper | None, now: datetime, at: datetime) -> Intent | None:
    """As `decide`, but readers are told only of papers that they were told of before."""
    intent = decide(candidate, known, now, at)
    if intent is None or (known is not None and (known.announced_at or known.revised_at)):
        return intent
    sightings = tuple(replace(s, announcements=()) for s in intent.sightings)
    return replace(intent, paper=replace(intent.paper, announced_at=None, revised_at=None), sightings=sightings)


def _watch_nothing(_: Backfill) -> None:
    pass


def _spanning(settings: Settings, name: str) -> tuple[Source, Spanning]:
    source = settings.source_named(name)
    adapter = adapter_for(source.kind)
    if not isinstance(adapter, Spanning):
        kinds = [kind for kind in get_args(SourceKind) if isinstance(adapter_for(kind), Spanning)]
        raise ConfigError(f"{name} cannot be asked for its past; sources that can are of the kind {', '.join(kinds)}")
    return source, adapter


def _require_same(begun: Backfill, since: date, until: date | None) -> None:
    if (begun.since, begun.until) != (since, until or begun.until):
        raise ConfigError(
            f"a backfill of {begun.source} from {begun.since} to {begun.until} was begun and has come to {begun.day}; "
            f"--since {begun.since} goes on with it, --restart forgets it"
        )


def _begin(
    archive: Archive, source: Source, adapter: Spanning, since: date, until: date | None, *, now: datetime
) -> Backfill:
    """Settle the span, and with it where the next read of the news begins."""
    place = Place(archive.index, source.name)
    mark = place.mark()
    border, mark_then = adapter.border(source, now=now, mark=mark)
    last = border - timedelta(days=1)
    if max(since, until or since) > last:
        wrong = f"--until {until}" if until and until > last else f"--since {since}"
        raise ConfigError(f"{wrong} is too late: from {border} on `paperwire run` reads {source.name}, as news")
    until = until or last
    if since > until:
        raise ConfigError(f"--since {since} is after --until {until}")
    state = Backfill(
        source=source.name,
        since=since,
        until=until,
        begun_at=now,
        kept_at=now,
        left=adapter.span(source, since, until),
        day=since,
    )
    with archive.index.transaction():
        keep_backfill(archive.index, state)
        if mark is None:
            place.set_mark(mark_then)
    return state


class _Reader:
    """Reads a backfill to its end, and keeps how far it came."""

    def __init__(
        self,
        archive: Archive,
        source: Source,
        adapter: Spanning,
        tools: Tools,
        clock: Clock,
        wait: Wait,
        watch: Watch,
    ) -> None:
        self._archive, self._source, self._adapter, self._tools = archive, source, adapter, tools
        self._clock, self._wait, self._watch = clock, wait, watch
        self._log = FetchLog(archive.index)

    def read(self, state: Backfill) -> tuple[Backfill, str | None]:
        """Return how far it came, and what it failed of."""
        begun_with, pauses = state.requests, iter(_PAUSES_SECONDS)
        tried: set[date] = set()  # days that were begun again
        self._watch(state)
        while state.left:
            state = self._with_good_page(state)
            before, part = state.requests, Reading()
            for part in self._parts(state):
                state = self._committed(state, part)
                self._watch(state)
            if not part.failures or state.requests > before:
                pauses = iter(_PAUSES_SECONDS)
                continue  # a page that failed behind others is asked for once more
            if _is_of_the_page(part):
                if state.day in tried:
                    return state, part.failures[0]
                tried.add(state.day)
                state = self._from_its_day(state)
                continue
            pause = next(pauses, None)
            if pause is None or state.requests == begun_with:
                return state, part.failures[0]
            self._wait(pause)
        return state, None

    def _with_good_page(self, state: Backfill) -> Backfill:
        """The same, but with the day that was being read where its page is too old to be trusted."""
        now = self._clock()
        return state if now - state.kept_at < _PAGE_GOOD else self._from_its_day(replace(state, kept_at=now))

    def _from_its_day(self, state: Backfill) -> Backfill:
        return replace(state, left=self._adapter.span(self._source, state.day, state.until))

    def _parts(self, state: Backfill) -> Iterator[Reading]:
        return read_requests(self._source, self._adapter, self._log, self._tools, left=state.left, now=self._clock())

    def _committed(self, state: Backfill, part: Reading) -> Backfill:
        """Commit a part, then keep where to go on: killed in between, the part comes again and says nothing new."""
        now, commit, new = self._clock(), Commit(seq=None, batch_id="", entries=0, rejected=0, papers=0), set[str]()

        def decided(candidate: Candidate, known: Paper | None, now: datetime, at: datetime) -> Intent | None:
            if known is None:
                new.add(candidate.paper_id)
            return decide_quietly(candidate, known, now, at)

        if part.entries:
            commit = self._archive.append(
                part.entries,
                source=state.source,
                batch_id=f"backfill of {state.source} since {state.begun_at.isoformat()}/{digest_of(part.entries)}",
                now=now,
                decide=decided,
            )
        state = _after(state, part, commit, new=len(new), now=now)
        with self._archive.index.transaction():
            self._log.add(part.fetches)
            keep_backfill(self._archive.index, state)
        compact_if_due(self._archive, now=now)
        return state


def _after(state: Backfill, part: Reading, commit: Commit, *, new: int, now: datetime) -> Backfill:
    good = [f for f in part.fetches if f.error is None]
    return replace(
        state,
        kept_at=now if good else state.kept_at,
        # What was left of an earlier read is given up where its page fails: here it is kept.
        left=part.left if part.left or not part.failures else state.left,
        day=part.reached or state.day,
        requests=state.requests + len(good),
        listed=state.listed + sum(f.listed for f in good),
        size=part.size if state.size is None else state.size,
        new=state.new + new,
        changed=state.changed + max(0, commit.papers - new),
        refused=state.refused + commit.rejected,
        lost=state.lost + len(part.lost),
        lost_named=(*state.lost_named, *part.lost)[:_NAMED_MAX],
        noted=state.noted + len(part.said),
        notes=(*state.notes, *part.said)[:_NAMED_MAX],
    )


def _is_of_the_page(part: Reading) -> bool:
    """Whether the page is to blame for what failed, and not the network, the server, or how often it is asked."""
    status = part.fetches[-1].status if part.fetches else None
    return status is not None and status < _SERVER_ERROR and status not in _BUSY


def _publish(archive: Archive, settings: Settings, *, now: datetime, bars: Bars) -> None:
    """Compact, and bring papers.duckdb and the search index up to what was read."""
    with bars("compacting") as progress:
        try:
            compact(archive, now=now, progress=progress)
        except ArchiveError:
            raise
        except PaperwireError:
            pass  # another one is at it
    with bars("publishing papers.duckdb"):
        refresh_catalog(archive, settings, topics_of(settings), now=now)
    with bars("indexing for search") as progress:
        refresh_search(archive, progress=progress)
