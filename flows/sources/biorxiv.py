"""bioRxiv and medRxiv: what was posted between two days, by the API the two share; one row per version.

Format: https://api.biorxiv.org. A page has 30 rows, whatever the documentation says, so the next one begins where this
one ended. Errors come with status 200, as a message, as an empty body, or as rows that `total` promises in vain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import quote

from flows.fetching import Fetched
from flows.parsing import Parser
from flows.sources.interface import Harvest, Request, Rhythm
from flows.sources.paging import ROWS_MAX, Place, json_object, license_address, whole_number, write_mark
from flows.sources.reading import code_url, plain, rebased, require_ok, sift
from storage.errors import EntryError, ParseError
from storage.identity import parse_doi
from storage.model import Entry
from storage.settings import Source

_HOST = "https://api.biorxiv.org"
# The days are American, and a paper may appear a day or two after the day it is dated.
_OVERLAP = timedelta(days=2)
# `total` counts rows that are not there; up to so many at the end of a list are known to be missing.
_MISSING_MAX = 100
_PREFIXES = ("10.1101/", "10.64898/")
_OK, _NOTHING = "ok", "no posts found"
_SUFFIX = re.compile(r"\A(?:jr|sr|ii|iii|iv|ph\.?d|m\.?d)\.?\Z", re.IGNORECASE)


class Biorxiv:
    """Reads `biorxiv` sources."""

    rhythm = Rhythm.FLOW
    default_schedule = "25 5,11,17,23 * * *"
    delay_seconds = 1.0

    def plan(self, source: Source, *, now: datetime, mark: str | None = None) -> tuple[Request, ...]:
        """One request for the first page of the days since the newest one read."""
        otherwise = now - timedelta(days=source.days)
        return (_request(source, Place.first(mark, now=now, overlap=_OVERLAP, otherwise=otherwise)),)

    def read(self, source: Source, request: Request, fetched: Fetched, parser: Parser) -> Harvest:  # noqa: ARG002
        """Read one page; the next one follows until all rows of these days are read."""
        require_ok(source, fetched)
        place = Place.of(request)
        if not fetched.body.strip():
            again = place.again(source, "it returned an empty body")
            return Harvest(entries=(), listed=0, following=(_request(source, again),))
        rows, total = _page(source, fetched)
        if not rows:
            return _empty(source, place, total, fetched)
        entries, problems = sift(lambda row: _entry(source, row), rows)
        place = place.after(len(rows), max(filter(None, map(_posted, rows)), default=None))
        ended = total is not None and place.start >= total
        if not ended and place.start >= ROWS_MAX:
            raise ParseError(source.name, f"its list goes on after {ROWS_MAX:,} rows")
        return Harvest(
            entries=(*entries, *_published(entries, rows)),
            listed=len(rows),
            problems=problems,
            following=() if ended else (_request(source, place),),
            mark=write_mark(place, fetched) if ended else None,
        )


def _request(source: Source, place: Place) -> Request:
    days = f"{place.since.astimezone(UTC):%Y-%m-%d}/{place.until.astimezone(UTC):%Y-%m-%d}"
    category = f"?category={quote('_'.join(source.category.lower().split()))}" if source.category else ""
    url = f"{_HOST}/details/{source.server}/{days}/{place.start}{category}"
    return Request(url=rebased(url, source.base_url), key=place.key, conditional=False)


def _page(source: Source, fetched: Fetched) -> tuple[list[Any], int | None]:
    """Return the rows of an answer and how many there are said to be. Raises ParseError where it is an error."""
    document = json_object(source, fetched)
    messages = document.get("messages")
    message = messages[0] if isinstance(messages, list) and messages and isinstance(messages[0], dict) else {}
    status = message.get("status")
    words = " ".join(status.split())[:200] if isinstance(status, str) else ""
    if words and words.lower() not in (_OK, _NOTHING):
        raise ParseError(source.name, f"it says {words!r}")
    rows = document.get("collection")
    if not isinstance(rows, list) or (not rows and not words):
        raise ParseError(source.name, "it returned JSON that is no list of papers")
    return rows, whole_number(message.get("total"))


def _empty(source: Source, place: Place, total: int | None, fetched: Fetched) -> Harvest:
    """A page without rows: nothing was posted, or the list is over, or the API failed and says nothing of it."""
    if place.start == 0 and not total:
        # The mark stays, so that these days are asked for again.
        return Harvest(entries=(), listed=0, notes=(f"nothing posted since {place.since:%Y-%m-%d}",))
    try:
        said = f"of {total:,}" if total else "behind the first"
        again = place.again(source, f"the page from row {place.start + 1:,} {said} on came back empty")
    except ParseError:
        if place.start == 0 or (total is not None and total - place.start > _MISSING_MAX):
            raise
        missing = total - place.start if total else 0
        notes = (f"its total counts {missing} rows that are not there",) if missing > 0 else ()
        return Harvest(entries=(), listed=0, notes=notes, mark=write_mark(place, fetched))
    return Harvest(entries=(), listed=0, following=(_request(source, again),))


def _entry(source: Source, row: Any) -> Entry:
    if not isinstance(row, dict):
        raise EntryError(source.name, "", "it is no JSON object")
    said = _text(row, "doi")
    doi = parse_doi(said)
    if doi is None or not doi.startswith(_PREFIXES):
        raise EntryError(source.name, said or _text(row, "title"), f"it has no DOI of {source.server}")
    version = whole_number(row.get("version")) or None
    abstract = plain(_text(row, "abstract"), "text/plain")
    posted = _posted(row)
    site = f"https://www.{source.server}.org/content/{doi}"
    return Entry(
        source=source.name,
        entry_id=doi,
        title=plain(_text(row, "title"), "text/plain"),
        abstract=abstract,
        authors=_names(_text(row, "authors")),
        categories=tuple(filter(None, (_text(row, "category"),))),
        url=site,
        pdf_url=f"{site}v{version or 1}.full.pdf",
        code_url=code_url(None, abstract),
        version=version,
        doi=doi,
        # A later version of a paper that was never seen is no new paper.
        announce_type="replace" if (version or 1) > 1 else None,
        announced_on=posted.date() if posted else None,
        published_at=posted if (version or 1) == 1 else None,
        license_url=license_address(row.get("license")),
        text_rank=3,
    )


def _published(entries: Iterable[Entry], rows: Iterable[Any]) -> tuple[Entry, ...]:
    """Return once more, under the journal's DOI, the papers that a journal has published: an entry names one DOI."""
    journal: dict[tuple[str, int | None], str] = {}
    for row in rows:
        doi = parse_doi(_text(row, "doi")) if isinstance(row, dict) else None
        published = parse_doi(_text(row, "published")) if doi else None  # "NA" is none
        if doi and published and published != doi:
            journal[doi, whole_number(row.get("version")) or None] = published
    told = ((entry, journal.get((entry.entry_id, entry.version))) for entry in entries)
    return tuple(replace(entry, doi=doi) for entry, doi in told if doi)


def _posted(row: Any) -> datetime | None:
    """Return the day a version was posted, as its midnight."""
    try:
        day = datetime.strptime(_text(row, "date"), "%Y-%m-%d").date() if isinstance(row, dict) else None  # noqa: DTZ007
    except ValueError:
        return None
    return datetime.combine(day, time(), tzinfo=UTC) if day else None


def _text(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    return value.strip() if isinstance(value, str) else ""


def _names(text: str) -> tuple[str, ...]:
    """Return "Example, A. B.; Minta, B., Jr.; The Group" as names with the surname last."""
    return tuple(name for name in (_turned(part) for part in text.split(";")) if name)


def _turned(name: str) -> str:
    parts = [part for part in (" ".join(part.split()) for part in name.split(",")) if part]
    suffix = f" {parts.pop()}" if len(parts) > 2 and _SUFFIX.match(parts[-1]) else ""
    if len(parts) == 2 and not _SUFFIX.match(parts[1]):
        return f"{parts[1]} {parts[0]}{suffix}"
    return ", ".join(parts) + suffix
