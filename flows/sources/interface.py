"""What every kind of source is to the pipeline: requests to make, and entries read from what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from flows.fetching import Fetched
from flows.parsing import Parser
from storage.model import Entry
from storage.settings import Source


class Rhythm(StrEnum):
    """How a source gives out its papers, which decides what can be missing of a day."""

    BATCH = "batch"  # one list a working day, gone the next
    LISTS = "lists"  # dated lists that grow during their day and stay
    FEED = "feed"  # its newest entries; the oldest fall off
    FLOW = "flow"  # whatever came since the last read, however long ago that was


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One exchange to make."""

    url: str
    key: str  # names the request within its source: a category, a list day, "feed"
    conditional: bool = True  # whether validators of an earlier answer may be sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Harvest:
    """What one answer held."""

    entries: tuple[Entry, ...]
    listed: int  # entries the answer listed, refused ones included
    problems: tuple[str, ...] = ()  # what was lost: single entries, or the rest of an answer that breaks off
    notes: tuple[str, ...] = ()  # what a reader of `status` may want to know, though nothing is wrong
    batch_on: date | None = None  # the batch or list day, in the source's own calendar
    following: tuple[Request, ...] = ()  # pages that the answer says come next
    mark: str | None = None  # where the next read begins, once every page of this one has been read
    again: bool = False  # whether the same read may bring more, because lists shift while their pages are read
    reached: date | None = None  # of a list in the order of its days: the day up to which it has been given out
    size: int | None = None  # entries of the whole list, where the answer says


class Adapter(Protocol):
    """Reads one kind of source. Pure but for the parser, which is a process of its own."""

    rhythm: Rhythm
    default_schedule: str  # cron, UTC
    delay_seconds: float  # between two requests to the host

    def plan(self, source: Source, *, now: datetime, mark: str | None = None) -> tuple[Request, ...]:
        """Say with which requests one read of `source` begins, in order; `mark` is where the last whole read ended."""
        ...

    def read(self, source: Source, request: Request, fetched: Fetched, parser: Parser) -> Harvest:
        """Turn one answer, of whatever status, into entries.

        One unusable entry is a problem and costs that entry. Raises SourceError (FetchError for a status, ParseError
        for a body) where the answer as a whole is unusable; a source has failed when all its requests have.
        """
        ...


@runtime_checkable
class Spanning(Adapter, Protocol):
    """An adapter that can be asked for the past as well: for whatever changed in a span of days."""

    def span(self, source: Source, since: date, until: date) -> tuple[Request, ...]:
        """Say with which requests to read what changed from `since` to `until`, both included."""
        ...

    def border(self, source: Source, *, now: datetime, mark: str | None) -> tuple[date, str]:
        """Return the day with which the next read begins: from it on everything is news, before it nothing is.

        And the mark that makes the next read begin with that day even if it is made later.
        """
        ...
