"""Lists that come in pages: where in its list a request stands, and what becomes of a page that comes back empty.

`read` sees one request and its answer and remembers nothing, so the place in the list travels in the request's key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from urllib.parse import parse_qs, urlencode

from flows.fetching import Fetched
from flows.sources.interface import Request
from flows.sources.reading import json_in
from storage.errors import ParseError
from storage.settings import Source

ATTEMPTS_MAX = 3  # for a page that is empty though more is said to come
ROWS_MAX = 30_000  # of one read; arXiv's API gives no more, and a list that never ends has to end somewhere
_LICENSE = re.compile(r"\Acc[ _-](by(?:[ _-](?:nc|nd|sa))*)(?:[ _-](\d\.\d))?\Z", re.IGNORECASE)
_NO_RIGHTS = re.compile(r"\Acc[ _-]?(?:0|zero)(?:[ _-]1\.0)?\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in a list of entries between two moments."""

    since: datetime  # what is older is not wanted
    until: datetime
    start: int = 0  # entries before this page
    attempt: int = 1
    newest: datetime | None = None  # the newest seen so far, in this read and those before it

    @classmethod
    def first(cls, mark: str | None, *, now: datetime, overlap: timedelta, otherwise: datetime) -> Self:
        """Return where a read begins: at its mark less an overlap, or `otherwise` where there is no mark."""
        newest = read_mark(mark)
        return cls(since=newest - overlap if newest else otherwise, until=now, newest=newest)

    @property
    def key(self) -> str:
        """The place as the key of a request."""
        newest = {"newest": self.newest.isoformat()} if self.newest else {}
        ends = {"since": self.since.isoformat(), "until": self.until.isoformat()}
        return urlencode({"start": self.start, "attempt": self.attempt, **ends, **newest})

    @classmethod
    def of(cls, request: Request) -> Self:
        """Return the place that a request asks for."""
        said = {name: values[0] for name, values in parse_qs(request.key).items()}
        return cls(
            since=datetime.fromisoformat(said["since"]),
            until=datetime.fromisoformat(said["until"]),
            start=int(said["start"]),
            attempt=int(said["attempt"]),
            newest=datetime.fromisoformat(said["newest"]) if "newest" in said else None,
        )

    def after(self, rows: int, newest: datetime | None) -> Self:
        """Return the place `rows` further on, with the newest entry of the page in between."""
        seen = max(filter(None, (self.newest, newest)), default=None)
        return replace(self, start=self.start + rows, attempt=1, newest=seen)

    def again(self, source: Source, reason: str) -> Self:
        """Return the same place, to be asked for once more. Raises ParseError with `reason` after the last attempt."""
        if self.attempt >= ATTEMPTS_MAX:
            raise ParseError(source.name, f"{reason}, {ATTEMPTS_MAX} times in a row")
        return replace(self, attempt=self.attempt + 1)


def read_mark(mark: str | None) -> datetime | None:
    """Return the moment a mark names, or None where there is no mark or it is none of ours."""
    try:
        at = datetime.fromisoformat(mark) if mark else None
    except ValueError:
        return None
    return at.replace(tzinfo=at.tzinfo or UTC) if at else None


def write_mark(place: Place, fetched: Fetched) -> str | None:
    """Return the newest moment seen as a mark; a date in the future would hide all that comes before it."""
    return min(place.newest, fetched.fetched_at).isoformat() if place.newest else None


def json_object(source: Source, fetched: Fetched) -> dict[str, Any]:
    """Return the JSON object an answer holds. Raises ParseError."""
    document = json_in(source, fetched)
    if not isinstance(document, dict):
        raise ParseError(source.name, "it returned JSON that is no object")
    return document


def whole_number(value: Any) -> int | None:
    """Return a count that JSON or XML gives as a number or as text, or None."""
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else None


def license_address(name: Any) -> str | None:
    """Return the address of a Creative Commons licence that is given by name (`cc_by_nc`, `CC BY 4.0`), or None."""
    text = name.strip() if isinstance(name, str) else ""
    if _NO_RIGHTS.match(text):
        return "https://creativecommons.org/publicdomain/zero/1.0/"
    found = _LICENSE.match(text)
    return f"https://creativecommons.org/licenses/{_dashed(found[1])}/{found[2] or '4.0'}/" if found else None


def _dashed(terms: str) -> str:
    return re.sub(r"[ _]", "-", terms.lower())
