"""arXiv's API: what a query finds, as Atom, newest change first; or a list of papers by their ids.

Format: https://info.arxiv.org/help/api/user-manual.html. The answer says in `opensearch:totalResults` how many entries
there are and at times holds none of them all the same; errors are a feed of one entry titled "Error".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from lxml import etree

from flows.fetching import Fetched
from flows.parsing import Parser
from flows.sources.interface import Harvest, Request, Rhythm
from flows.sources.paging import ROWS_MAX, Place, whole_number, write_mark
from flows.sources.reading import code_url, parsed_xml, rebased, require_ok, sift
from storage.errors import EntryError, ParseError, SourceError
from storage.identity import parse_arxiv_id, parse_doi
from storage.model import Entry
from storage.settings import Source

_HOST = "https://export.arxiv.org"
_PAGE = 200
_OVERLAP = timedelta(days=1)  # `updated` is when a version was submitted, and it is listed a day or so later
_EXPLAINING_STATUSES = (200, 400)  # arXiv answers a bad query with 400 and a feed that says what is wrong
_ATOM = "{http://www.w3.org/2005/Atom}"
_ARXIV = "{http://arxiv.org/schemas/atom}"
_OPENSEARCH = "{http://a9.com/-/spec/opensearch/1.1/}"
# Where arXiv breaks a title, it goes on below with two spaces; what else is between words is the title's own.
_FOLD = re.compile(r" ?\n {0,2}")
_LIKE_ID = re.compile(r"(?:arxiv:)?(?:\d{4}\.\d{3,6}|[a-z][a-z-]+(?:\.[a-z-]+)?/\d{6,8})(?:v\d+)?", re.IGNORECASE)
# What XML 1.0 may not carry, as bytes of UTF-8 and as references to them.
_FORBIDDEN_BYTES = bytes([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20)])
_FORBIDDEN_REFERENCE = re.compile(rb"&#(?:0*(?:[0-8]|1[124-9]|2\d|3[01])|[xX]0*(?:[0-8bBcCeEfF]|1[0-9a-fA-F]));")


class ArxivApi:
    """Reads `arxiv-api` sources."""

    rhythm = Rhythm.FLOW
    # The API's index is made anew once a day, after the announcements at 20:00 in New York (00:00 or 01:00 UTC).
    default_schedule = "50 2,7,15 * * *"
    delay_seconds = 3.0  # https://info.arxiv.org/help/api/tou.html: one request every three seconds

    def plan(self, source: Source, *, now: datetime, mark: str | None = None) -> tuple[Request, ...]:
        """One request for the first page of a query, or one for each two hundred ids."""
        place = Place.first(mark, now=now, overlap=_OVERLAP, otherwise=now - timedelta(days=source.days))
        ids = _ids(source)
        if ids:
            return tuple(_request_ids(source, place, ids[n : n + _PAGE]) for n in range(0, len(ids), _PAGE))
        return (_request(source, place),)

    def read(self, source: Source, request: Request, fetched: Fetched, parser: Parser) -> Harvest:  # noqa: ARG002
        """Read one page; the next one follows until entries are older than what has been read."""
        place = Place.of(request)
        feed = _feed(source, fetched)
        found = feed.findall(f"{_ATOM}entry")
        total = whole_number(feed.findtext(f"{_OPENSEARCH}totalResults"))
        if _ids(source):
            return _listed_by_id(source, request, found, total)
        if not found:
            return _empty(source, place, total, fetched)
        wanted = [entry for entry in found if (_when(entry, "updated") or place.until) >= place.since]
        entries, problems = sift(lambda entry: _entry(source, entry), wanted)
        place = place.after(len(found), max(filter(None, (_when(entry, "updated") for entry in found)), default=None))
        ended = wanted[-1:] != found[-1:] or (total is not None and place.start >= total)
        if not ended and place.start >= ROWS_MAX:
            problems = (*problems, f"arXiv's API ends after {ROWS_MAX:,} entries: use a narrower query")
            ended = True
        return Harvest(
            entries=entries,
            listed=len(found),
            problems=problems,
            following=() if ended else (_request(source, place),),
            mark=write_mark(place, fetched) if ended else None,
        )


def _ids(source: Source) -> tuple[str, ...]:
    """Return the ids where the query is nothing but a list of them, each once; arXiv names those that are wrong."""
    parts = [part.strip() for part in (source.query or "").split(",") if part.strip()]
    if not all(map(_LIKE_ID.fullmatch, parts)):
        return ()
    known = ((part, parse_arxiv_id(part)) for part in parts)
    named = (part if found is None else found[0] + (f"v{found[1]}" if found[1] else "") for part, found in known)
    return tuple(dict.fromkeys(named))


def _request(source: Source, place: Place) -> Request:
    """The page at `place`. The query may be written as it stands in arXiv's own addresses, with + for spaces."""
    query = {
        "search_query": unquote_plus(source.query or ""),
        "sortBy": "lastUpdatedDate",
        "sortOrder": "descending",
        "start": place.start,
        "max_results": _PAGE,
    }
    url = rebased(f"{_HOST}/api/query?{urlencode(query)}", source.base_url)
    return Request(url=url, key=place.key, conditional=False)


def _request_ids(source: Source, place: Place, ids: Sequence[str]) -> Request:
    query = urlencode({"id_list": ",".join(ids), "max_results": _PAGE}, safe="/,")
    return Request(url=rebased(f"{_HOST}/api/query?{query}", source.base_url), key=place.key, conditional=False)


def _feed(source: Source, fetched: Fetched) -> etree._Element:
    """Return the feed of an answer. Raises SourceError in arXiv's words where it is an error, else in ours."""
    if fetched.status not in _EXPLAINING_STATUSES:
        require_ok(source, fetched)
    try:
        feed = _parse(source, fetched.body)
    except ParseError:
        require_ok(source, fetched)
        raise
    entries = feed.findall(f"{_ATOM}entry")
    if len(entries) == 1 and _text(entries[0], f"{_ATOM}title") == "Error":
        said = " ".join(_text(entries[0], f"{_ATOM}summary").split())[:300]
        raise SourceError(source.name, f"arXiv refuses the query: {said or 'no reason given'}")
    require_ok(source, fetched)
    return feed


def _parse(source: Source, body: bytes) -> etree._Element:
    """Parse Atom without entities, network or huge trees; characters that XML may not carry cost themselves only."""
    if not body.strip():
        raise ParseError(source.name, "it returned nothing")
    try:
        root = parsed_xml(_FORBIDDEN_REFERENCE.sub(b"", body.translate(None, _FORBIDDEN_BYTES)))
    except (etree.XMLSyntaxError, ValueError) as error:
        kind = "an HTML page" if re.match(rb"\s*<(?:!doctype\s+html|html)\b", body, re.IGNORECASE) else "damaged XML"
        raise ParseError(source.name, f"it returned {kind} ({' '.join(str(error).split())[:200]})") from error
    if root.getroottree().docinfo.internalDTD is not None or root.tag != f"{_ATOM}feed":
        raise ParseError(source.name, "it returned XML that is no Atom feed")
    return root


def _empty(source: Source, place: Place, total: int | None, fetched: Fetched) -> Harvest:
    """A page without entries is the end of a list that says so, and otherwise has to be asked for again."""
    # What a query found yesterday it finds today: none at all then means as little as a page that is missing.
    vanished = total == 0 and place.newest is not None
    if total is None or total > place.start or vanished:
        said = f"though the query has {total:,} results" if total else "and says nothing of how many results there are"
        said = "though the query had results before" if vanished else said
        again = place.again(source, f"the page from result {place.start + 1:,} on came back empty, {said}")
        return Harvest(entries=(), listed=0, following=(_request(source, again),))
    notes = ("the query has no results",) if total == 0 else ()
    return Harvest(entries=(), listed=0, notes=notes, mark=write_mark(place, fetched))


def _listed_by_id(source: Source, request: Request, found: Sequence[etree._Element], total: int | None) -> Harvest:
    asked = parse_qs(urlsplit(request.url).query)["id_list"][0].split(",")
    if not found and total != 0:
        again = Place.of(request).again(source, f"the page of {len(asked)} papers came back empty")
        return Harvest(entries=(), listed=0, following=(replace(request, key=again.key),))
    entries, problems = sift(lambda entry: _entry(source, entry), found)
    known = {name for entry in entries for name in (entry.arxiv_id, f"{entry.arxiv_id}v{entry.version}")}
    missing = [name for name in asked if name not in known]
    notes = (f"arXiv does not know {', '.join(missing[:20])}",) if missing and not problems else ()
    return Harvest(entries=entries, listed=len(found), problems=problems, notes=notes)


def _entry(source: Source, element: etree._Element) -> Entry:
    said = _text(element, f"{_ATOM}id")
    parsed = parse_arxiv_id(said)
    if parsed is None:
        raise EntryError(source.name, said or _text(element, f"{_ATOM}title"), "it has no arXiv id")
    base, version = parsed
    abstract, comment = _text(element, f"{_ATOM}summary"), _text(element, f"{_ARXIV}comment")
    return Entry(
        source=source.name,
        entry_id=said,
        title=_FOLD.sub(" ", _text(element, f"{_ATOM}title")),
        abstract=abstract,
        authors=tuple(filter(None, (_text(author, f"{_ATOM}name") for author in element.iterfind(f"{_ATOM}author")))),
        categories=_categories(element),
        url=f"https://arxiv.org/abs/{base}",
        pdf_url=f"https://arxiv.org/pdf/{base}" + (f"v{version}" if version else ""),
        code_url=code_url(None, f"{abstract}\n{comment}"),
        arxiv_id=base,
        version=version,
        doi=parse_doi(_text(element, f"{_ARXIV}doi")),
        announce_type=_announce_type(source, element, version),
        published_at=_when(element, "published"),
        journal_ref=_FOLD.sub(" ", _text(element, f"{_ARXIV}journal_ref")) or None,
        text_rank=3,
    )


def _categories(element: etree._Element) -> tuple[str, ...]:
    primary = [category.get("term") for category in element.iterfind(f"{_ARXIV}primary_category")]
    others = [category.get("term") for category in element.iterfind(f"{_ATOM}category")]
    return tuple(dict.fromkeys(str(term) for term in (*primary, *others) if term))


def _announce_type(source: Source, element: etree._Element, version: int | None) -> str | None:
    """Return "replace" for a later version of an old paper: found by a query for the first time, it is no new paper."""
    published, updated = _when(element, "published"), _when(element, "updated")
    if (version or 1) == 1 or published is None or updated is None or _ids(source):
        return None
    return "replace" if updated - published > timedelta(days=source.days) else None


def _text(element: etree._Element, tag: str) -> str:
    """Return the text of a child without the whitespace around it; what is within is the author's."""
    child = element.find(tag)
    return "".join(map(str, child.itertext())).strip() if child is not None else ""


def _when(element: etree._Element, name: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(_text(element, f"{_ATOM}{name}"))
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
