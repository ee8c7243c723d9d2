"""OpenReview: the papers of a venue, newest change first, from API v2 (`content` of {"value": …}) or v1 (plain values).

Format: https://docs.openreview.net/reference/api-v2. Which stage a paper is in is its venueid: `V` accepted,
`V/Submission` under review, `V/Rejected_Submission`, `V/Withdrawn_Submission`, `V/Desk_Rejected_Submission`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urljoin

import orjson

from flows.fetching import Fetched
from flows.parsing import Parser
from flows.sources.interface import Harvest, Request, Rhythm
from flows.sources.paging import ROWS_MAX, Place, json_object, license_address, whole_number, write_mark
from flows.sources.reading import code_url, rebased, require_ok, sift, split_names
from storage.errors import EntryError, FetchError, ParseError
from storage.identity import parse_doi, parse_openreview_id
from storage.model import Entry
from storage.settings import Source

_HOST = "https://api2.openreview.net"
_SITE = "https://openreview.net"
_PAGE = 200
# Pages overlap by so many: a paper that leaves the list between two pages (withdrawn, say) moves up all below it.
_OVERLAP_ROWS = 5
_OVERLAP = timedelta(days=1)
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_WITHDRAWN = re.compile(r"(?:\A|/)Withdrawn(?:_Submission)?\Z", re.IGNORECASE)
_DESK_REJECTED = re.compile(r"(?:\A|/)Desk_Rejected(?:_Submission)?\Z", re.IGNORECASE)
_STAGE = re.compile(r"/[A-Za-z_]*Submission\Z")
_NO_VENUE = re.compile(r"submi|withdrawn|reject", re.IGNORECASE)  # "Submitted to ICLR 2026", "… Conference Submission"
_NOBODY = re.compile(r"\Aanonymous(?: authors?)?\Z", re.IGNORECASE)


class OpenReview:
    """Reads `openreview` sources."""

    rhythm = Rhythm.FLOW
    default_schedule = "10 6,18 * * *"
    delay_seconds = 3.0

    def plan(self, source: Source, *, now: datetime, mark: str | None = None) -> tuple[Request, ...]:
        """One request for the first page; the first read goes through all of a venue, however old."""
        return (_request(source, Place.first(mark, now=now, overlap=_OVERLAP, otherwise=_EVER)),)

    def read(self, source: Source, request: Request, fetched: Fetched, parser: Parser) -> Harvest:  # noqa: ARG002
        """Read one page; the next one follows until papers have not changed since the last read."""
        _require_answer(source, fetched)
        place = Place.of(request)
        found, total = _page(source, fetched)
        if not found:
            return _empty(source, place, total, fetched)
        wanted = [note for note in found if (_changed(note) or place.until) >= place.since]
        papers, left_out = _papers(source, wanted)
        entries, problems = sift(lambda note: _entry(source, note), papers)
        overlap = _OVERLAP_ROWS if len(found) > _OVERLAP_ROWS else 0
        ended = wanted[-1:] != found[-1:] or _is_last(place.start + len(found), len(found), total)
        place = place.after(len(found) - overlap, max(filter(None, map(_changed, found)), default=None))
        if not ended and place.start >= ROWS_MAX:
            raise ParseError(source.name, f"its list goes on after {ROWS_MAX:,} papers")
        return Harvest(
            entries=entries,
            listed=len(found),
            problems=problems,
            notes=left_out,
            following=() if ended else (_request(source, place),),
            mark=write_mark(place, fetched) if ended else None,
        )


def _request(source: Source, place: Place) -> Request:
    query = {
        "content.venueid": source.venue or "",
        "sort": "tmdate:desc",
        "count": "true",
        "limit": _PAGE,
        "offset": place.start,
    }
    url = rebased(f"{_HOST}/notes?{urlencode(query, safe='/:')}", source.base_url)
    return Request(url=url, key=place.key, conditional=False)


def _is_last(end: int, rows: int, total: int | None) -> bool:
    """Whether a page is the last: the API says so where it counts; else nothing came but what overlaps."""
    return end >= total if total is not None else rows <= _OVERLAP_ROWS


def _require_answer(source: Source, fetched: Fetched) -> None:
    """Raise FetchError in OpenReview's words, which say for how long it wants no more requests."""
    try:
        said = orjson.loads(fetched.body) if fetched.status >= 400 else None
    except orjson.JSONDecodeError:
        said = None
    if isinstance(said, dict) and isinstance(said.get("message"), str):
        details = said.get("details")
        reset = _moment(details.get("resetTime")) if isinstance(details, dict) else None
        wait = max(0.0, (reset - fetched.fetched_at).total_seconds()) if reset else fetched.retry_after_seconds
        words = " ".join(said["message"].split())[:200]
        reason = f"HTTP {fetched.status}: OpenReview says {words!r}"
        raise FetchError(source.name, reason, status=fetched.status, retry_after_seconds=wait)
    require_ok(source, fetched)


def _page(source: Source, fetched: Fetched) -> tuple[list[Any], int | None]:
    document = json_object(source, fetched)
    notes = document.get("notes")
    if isinstance(notes, list):
        return notes, whole_number(document.get("count"))
    said = document.get("message")
    words = f"it says {' '.join(said.split())[:200]!r}" if isinstance(said, str) else "it returned JSON without notes"
    raise ParseError(source.name, words)


def _empty(source: Source, place: Place, total: int | None, fetched: Fetched) -> Harvest:
    """A page without notes: no such venue or nobody in it yet, the end, or a page to be asked for again."""
    if place.start == 0 and not total:
        return Harvest(entries=(), listed=0, notes=(f"no papers at {source.venue}",))
    if total is None or total > place.start:
        said = f" of {total:,}" if total else ""
        again = place.again(source, f"the page from paper {place.start + 1:,}{said} on came back empty")
        return Harvest(entries=(), listed=0, following=(_request(source, again),))
    return Harvest(entries=(), listed=0, mark=write_mark(place, fetched))


def _papers(source: Source, found: Sequence[Any]) -> tuple[list[Any], tuple[str, ...]]:
    """Return the notes without those that are no papers of the venue, and how many of which kind were left out."""
    kept, reasons = [], []
    for note in found:
        reason = _other(source, note) if isinstance(note, dict) else None
        kept += [note] if reason is None else []
        reasons += [reason] if reason else []
    return kept, tuple(f"{reasons.count(reason)} {reason} left out" for reason in dict.fromkeys(reasons))


def _other(source: Source, note: dict[str, Any]) -> str | None:
    """Return what a note is that is no paper of the venue, in the plural; reviews and comments are notes as well."""
    venue_id = _value(note, "venueid")
    if note.get("ddate"):
        return "deleted papers"
    if note.get("replyto") or (note.get("forum") and note.get("id") and note["forum"] != note["id"]):
        return "reviews and comments"
    if isinstance(venue_id, str) and venue_id != source.venue and _DESK_REJECTED.search(venue_id):
        return "desk-rejected papers"
    return None


def _entry(source: Source, note: Any) -> Entry:
    if not isinstance(note, dict):
        raise EntryError(source.name, "", "it is no JSON object")
    said = note.get("id") or note.get("forum")
    forum = parse_openreview_id(said) if isinstance(said, str) else None
    if forum is None:
        raise EntryError(source.name, str(said or "")[:100], "it has no OpenReview id")
    abstract = _text(note, "abstract")
    title = _text(note, "title")
    given = next((text for name in ("code", "code_url", "github", "software") if (text := _text(note, name))), None)
    project = next((text for name in ("project_page", "website", "html") if (text := _text(note, name))), None)
    return Entry(
        source=source.name,
        entry_id=forum,
        # An entry has no other way to say so, and it is how publishers do.
        title=f"[WITHDRAWN] {title}" if title and _is_withdrawn(note) else title,
        abstract=abstract,
        authors=_authors(note),
        categories=_keywords(note),
        url=f"{_SITE}/forum?id={forum}",
        pdf_url=_pdf(note),
        code_url=code_url(given if given and given.startswith(("http://", "https://")) else None, abstract),
        project_url=project if project and project.startswith(("http://", "https://")) else None,
        openreview_id=forum,
        doi=parse_doi(_text(note, "doi")),
        published_at=next((at for name in ("pdate", "cdate", "tcdate") if (at := _moment(note.get(name)))), None),
        journal_ref=_venue(note),
        license_url=license_address(note.get("license")),
        text_rank=3,
    )


def _pdf(note: dict[str, Any]) -> str | None:
    """Return where the PDF is: a path on OpenReview, or an address elsewhere."""
    path = _text(note, "pdf")
    try:
        return urljoin(_SITE, path) if path else None
    except ValueError:
        return None


def _value(note: dict[str, Any], name: str) -> Any:
    """Return a content field of v2 or v1; one that we may not read has no value."""
    content = note.get("content")
    value = content.get(name) if isinstance(content, dict) else None
    return value.get("value") if isinstance(value, dict) else value


def _text(note: dict[str, Any], name: str) -> str:
    value = _value(note, name)
    return value.strip() if isinstance(value, str) else ""


def _is_withdrawn(note: dict[str, Any]) -> bool:
    """Whether a paper was withdrawn: v2 moves it to another venueid, v1 to another invitation."""
    invitations = note.get("invitations") if isinstance(note.get("invitations"), list) else [note.get("invitation")]
    venue_id = _value(note, "venueid")
    stages = [venue_id] if isinstance(venue_id, str) else invitations
    return any(isinstance(stage, str) and _WITHDRAWN.search(stage) for stage in stages or ())


def _venue(note: dict[str, Any]) -> str | None:
    """Return where a paper is accepted ("ICLR 2026 Poster"), or None as long as it is not."""
    venue, venue_id = _text(note, "venue"), _text(note, "venueid")
    accepted = venue and not _NO_VENUE.search(venue) and not _STAGE.search(venue_id)
    return " ".join(venue.split()) if accepted else None


def _authors(note: dict[str, Any]) -> tuple[str, ...]:
    """Return the names, or none while they are hidden: left out, unreadable, or "Anonymous"."""
    value = _value(note, "authors")
    listed = split_names(value.replace(";", ",")) if isinstance(value, str) else value
    listed = listed if isinstance(listed, list | tuple) else ()
    names = (one.get("fullname") or one.get("name") if isinstance(one, dict) else one for one in listed)
    return tuple(name for name in names if isinstance(name, str) and name.strip() and not _NOBODY.match(name.strip()))


def _keywords(note: dict[str, Any]) -> tuple[str, ...]:
    value = _value(note, "keywords")
    listed = re.split(r"[,;]", value) if isinstance(value, str) else value
    listed = listed if isinstance(listed, list) else []
    first = _text(note, "primary_area")
    return tuple(dict.fromkeys(w.strip() for w in (first, *listed) if isinstance(w, str) and w.strip()))


def _changed(note: Any) -> datetime | None:
    """Return when a note was last changed, as the list is sorted."""
    if not isinstance(note, dict):
        return None
    return next((at for name in ("tmdate", "mdate", "tcdate", "cdate") if (at := _moment(note.get(name)))), None)


def _moment(value: Any) -> datetime | None:
    """Return milliseconds since 1970, or a date as text, as a time; None for anything else."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000, tz=UTC)
        at = datetime.fromisoformat(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
