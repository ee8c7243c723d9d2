"""Reading a source to its end: every request its adapter plans, and the pages that follow.

A long list is given out in parts, each to be committed before the next is asked for; what is left of it is kept, so
that a read that was killed goes on at its page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime

import orjson

from flows.coverage import Listing, asked_day
from flows.fetching import Fetched, Fetcher
from flows.parsing import Parser
from flows.sources.interface import Adapter, Harvest, Request, Rhythm
from storage.errors import FetchError, SourceError
from storage.fetchlog import FetchLog, FetchRow
from storage.index import Index
from storage.model import Entry
from storage.settings import Source

ENTRIES_AT_ONCE = 5_000  # of a list that has pages, before they are committed
_REQUESTS_MAX = 20_000  # of one read; all of arXiv is some 3,000 pages
_SILENCES_MAX = 2  # requests in a row without any answer, before a source is left alone
_CLIENT_ERROR = 400  # HTTP statuses from here on


@dataclass(frozen=True, slots=True)
class Tools:
    """What reading sources needs: one polite fetcher and one warm parser for all of them."""

    fetcher: Fetcher
    parser: Parser


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read of a source: a part of it, or all of it."""

    entries: tuple[Entry, ...] = ()
    fetches: tuple[FetchRow, ...] = ()
    failures: tuple[str, ...] = ()  # requests that brought nothing, each in one line
    lost: tuple[str, ...] = ()  # entries or days that were lost on the way in
    said: tuple[str, ...] = ()  # notes of the adapter's
    batch_on: date | None = None
    listings: tuple[Listing, ...] = ()  # what each answer listed, for the coverage ledger
    left: tuple[Request, ...] = ()  # pages that are still to be asked for
    mark: str | None = None  # where the next read begins
    again: bool = False  # whether the same read may bring more
    reached: date | None = None  # of a list in the order of its days: up to which it was read
    size: int | None = None  # entries of the whole list, where its first page says

    @property
    def nothing(self) -> bool:
        """Whether nothing of the source could be read."""
        return not any(f.error is None and f.status and f.status < _CLIENT_ERROR for f in self.fetches)

    @property
    def error(self) -> str | None:
        """What the source failed of as a whole."""
        if not self.nothing:
            return None
        if self.failures:
            return self.failures[0]
        # Each may be harmless (no list on a Sunday); all of them together are not what a source does.
        return f"every request was answered with {self.fetches[0].status}; is its base_url right?"

    @property
    def problems(self) -> tuple[str, ...]:
        """What was lost, though the source as a whole was read."""
        return (*(() if self.nothing else self.failures), *self.lost)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of `status` may want to know."""
        return () if self.nothing else self.said

    def plus(self, more: Reading) -> Reading:
        """This part and the next one."""
        days = [day for day in (self.batch_on, more.batch_on) if day]
        return Reading(
            entries=(*self.entries, *more.entries),
            fetches=(*self.fetches, *more.fetches),
            failures=(*self.failures, *more.failures),
            lost=(*self.lost, *more.lost),
            said=tuple(dict.fromkeys((*self.said, *more.said))),
            batch_on=max(days, default=None),
            listings=(*self.listings, *more.listings),
            left=more.left,
            mark=more.mark or self.mark,
            again=more.again,
            reached=more.reached or self.reached,
            size=more.size if self.size is None else self.size,
        )


@dataclass(slots=True)
class Place:
    """Where the reading of a source stands, kept in the index between reads."""

    index: Index
    source: str

    def mark(self) -> str | None:
        """Where the last whole read ended."""
        return self.index.get_meta(f"mark of {self.source}") or None

    def set_mark(self, mark: str) -> None:
        """Let the next read begin elsewhere, within the caller's transaction."""
        self.index.set_meta(f"mark of {self.source}", mark)

    def left(self) -> tuple[Request, ...]:
        """The pages that a read which was broken off had still to ask for."""
        kept = self.index.get_meta(f"pages left of {self.source}")
        return tuple(Request(**values) for values in orjson.loads(kept)) if kept else ()

    def keep(self, reading: Reading) -> None:
        """Keep where to go on, once what was read until here has been committed."""
        left = orjson.dumps([asdict(request) for request in reading.left]).decode() if reading.left else ""
        facts = {f"pages left of {self.source}": left}
        if reading.mark and not reading.left:
            facts[f"mark of {self.source}"] = reading.mark
        changed = {key: value for key, value in facts.items() if self.index.get_meta(key) != value}
        if changed:  # most sources have neither, and a transaction is an fsync
            with self.index.transaction():
                for key, value in changed.items():
                    self.index.set_meta(key, value)


def read_source(
    source: Source, adapter: Adapter, log: FetchLog, tools: Tools, place: Place, *, mark: str | None, now: datetime
) -> Iterator[Reading]:
    """Make every request of a source from `mark` on, and yield what came in parts, the last of them possibly empty.

    One bad answer costs that answer; where it is a page, those behind it come with the next read.
    """
    left = place.left()
    planned = () if left else adapter.plan(source, now=now, mark=mark)
    yield from read_requests(source, adapter, log, tools, left=left, planned=planned, now=now)


def read_requests(
    source: Source,
    adapter: Adapter,
    log: FetchLog,
    tools: Tools,
    *,
    left: Sequence[Request],
    planned: Sequence[Request] = (),
    now: datetime,
) -> Iterator[Reading]:
    """Make the requests that are `left` of an earlier read or `planned` for a new one, and those that follow.

    Yields parts as read_source does.
    """
    pages, waiting, resumed = list(left), list(planned), bool(left)
    part, silences, count = Reading(), 0, 0
    while pages or waiting:
        if silences >= _SILENCES_MAX or count >= _REQUESTS_MAX:
            reason = "nobody answers" if silences >= _SILENCES_MAX else f"{count:,} were made in one read"
            part = part.plus(Reading(failures=(f"the other requests were not made: {reason}",)))
            break
        is_page = bool(pages)
        request = pages.pop(0) if is_page else waiting.pop(0)
        fetch, harvest = _exchange(source, adapter, request, log, tools, now=now)
        count, silences = count + 1, silences + 1 if fetch.status is None else 0
        part = part.plus(_part(adapter, request, fetch, harvest, now))
        if harvest is None and is_page:
            # A token that is no longer good would fail for ever: a read that begins with a failure starts anew.
            pages = [] if resumed and count == 1 else [request, *pages]
            break
        pages = [*(harvest.following if harvest else ()), *pages]
        if pages and len(part.entries) >= ENTRIES_AT_ONCE:
            yield replace(part, left=tuple(pages))
            part = Reading()
    yield replace(part, left=tuple(pages))


def _part(adapter: Adapter, request: Request, fetch: FetchRow, harvest: Harvest | None, now: datetime) -> Reading:
    day = asked_day(adapter.rhythm, request.key, now)
    if harvest is None:
        listing = Listing(day=day, error=fetch.error, same=fetch.error is None)
        return Reading(fetches=(fetch,), failures=(fetch.error,) if fetch.error else (), listings=(listing,))
    flows = adapter.rhythm is Rhythm.FLOW  # is counted by what it brings, and may bring millions
    listing = Listing(
        day=day,
        shown=harvest.batch_on if adapter.rhythm is Rhythm.BATCH else None,
        ids=() if flows else tuple(entry.entry_id for entry in harvest.entries),
        listed=harvest.listed,
        lost=harvest.problems,
    )
    return Reading(
        entries=harvest.entries,
        fetches=(fetch,),
        lost=harvest.problems,
        said=harvest.notes,
        batch_on=harvest.batch_on,
        listings=(listing,),
        mark=harvest.mark,
        again=harvest.again,
        reached=harvest.reached,
        size=harvest.size,
    )


def _exchange(
    source: Source, adapter: Adapter, request: Request, log: FetchLog, tools: Tools, *, now: datetime
) -> tuple[FetchRow, Harvest | None]:
    """Make one request and read its answer; returns the fetch record and, where it could be read, the harvest."""
    mark = log.watermark(source.name, request.url)
    fetched: Fetched | None = None
    delay = adapter.delay_seconds if source.delay_seconds is None else source.delay_seconds
    try:
        fetched = tools.fetcher.get(
            source,
            request.url,
            etag=mark.etag if request.conditional else None,
            last_modified=mark.last_modified if request.conditional else None,
            delay_seconds=delay,
        )
        if fetched.not_modified:
            return _fetch_row(source, request, fetched, 0, None, now), None
        harvest = adapter.read(source, request, fetched, tools.parser)
    except SourceError as error:
        status = error.status if isinstance(error, FetchError) else None
        return _fetch_row(source, request, fetched, 0, error.reason, now, status), None
    row = _fetch_row(source, request, fetched, harvest.listed, None, now)
    if harvest.problems:
        # What was lost may come whole next time: let nothing answer "not modified" until then.
        row = replace(row, etag=None, last_modified=None)
    return row, harvest


def _fetch_row(
    source: Source,
    request: Request,
    fetched: Fetched | None,
    listed: int,
    error: str | None,
    now: datetime,
    status: int | None = None,
) -> FetchRow:
    return FetchRow(
        source=source.name,
        url=request.url,
        fetched_at=now,
        status=fetched.status if fetched else status,
        wire_bytes=fetched.wire_bytes if fetched else 0,
        body_sha256=fetched.body_sha256 if fetched else None,
        etag=fetched.etag if fetched else None,
        last_modified=fetched.last_modified if fetched else None,
        listed=listed,
        error=error,
    )
