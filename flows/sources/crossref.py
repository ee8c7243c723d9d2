"""Crossref: what publishers register, by journal (ISSN) or by query, page after page of one list.

Format: https://api.crossref.org/swagger-ui/index.html. The list is asked for by index date, so that a corrected or
retracted record comes again. Works registered long ago are left out, for a citation alone renews an index date: all
that a journal ever printed comes by in time. What a notice retracts is asked for by its DOI, however old it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from flows.fetching import Fetched
from flows.parsing import Parser
from flows.sources.interface import Harvest, Request, Rhythm
from flows.sources.reading import code_url, json_in, rebased, require_ok, sift
from flows.sources.registries import (
    Parts,
    earliest,
    full_title,
    journal_reference,
    known_parts,
    marked_title,
    notice_title,
    text_of_jats,
)
from storage.errors import EntryError, FetchError, ParseError
from storage.identity import parse_arxiv_id, parse_doi
from storage.model import Entry
from storage.settings import Source

_HOST = "https://api.crossref.org"
_ROWS = 200
_PAGES_MAX = 100
_REGISTERED_DAYS = 365  # works registered longer ago are no news
_RETRACTED_MAX = 40  # DOIs in one address
# References and links to full texts are most of a record, and nothing of ours.
_SELECT = (
    "DOI,type,title,subtitle,original-title,author,abstract,container-title,volume,issue,page,article-number,"
    "issued,published,published-online,published-print,posted,created,indexed,license,relation,update-to,updated-by,"
    "group-title"
)
_DATES = ("published-online", "posted", "published", "published-print", "issued")
_PAPERS = re.compile(
    "journal-article|proceedings-article|posted-content|book-chapter|book-section|book-part|reference-entry|report"
    "|report-component|monograph|book|edited-book|reference-book|dissertation|other"
)
_RETRACTING = frozenset(["retraction", "withdrawal", "removal"])
_KEY = re.compile(r"(?P<mark>\d{4}-\d\d-\d\d) (?:from (?P<read>\d+)|(?P<retracted>retracted)( \d+)?)")


class Crossref:
    """Reads `crossref` sources."""

    rhythm = Rhythm.FLOW
    default_schedule = "40 3,15 * * *"
    delay_seconds = 1.0  # lists, without a mail address of the asker: one a second (the rate headers say so)

    def plan(self, source: Source, *, now: datetime, mark: str | None = None) -> tuple[Request, ...]:
        """One request: the first page of what was indexed since the day before the mark."""
        today = now.astimezone(UTC).date()
        since = _day_before(mark) or today - timedelta(days=source.days)
        path = f"/journals/{quote(source.issn.strip(), safe='')}/works" if source.issn else "/works"
        asked = {
            **({"query.bibliographic": source.query} if source.query else {}),
            "filter": f"from-index-date:{since},from-created-date:{since - timedelta(days=_REGISTERED_DAYS)}",
            "select": _SELECT,
            "sort": "indexed",
            "order": "asc",
            "rows": str(_ROWS),
            "cursor": "*",
        }
        url = f"{_HOST}{path}?{urlencode(asked, safe=':,*')}"
        return (Request(url=rebased(url, source.base_url), key=f"{today} from 0", conditional=False),)

    def read(self, source: Source, request: Request, fetched: Fetched, parser: Parser) -> Harvest:  # noqa: ARG002
        """Read one page, and say which comes next."""
        asked = _KEY.fullmatch(request.key)
        message = _message(source, fetched)
        items: list[Any] = message["items"]
        papers = [item for item in items if not isinstance(item, dict) or _is_paper(item)]
        retracted = asked is not None and asked["retracted"] is not None
        entries, problems = sift(lambda item: _entry(source, item, retracted=retracted), papers)
        harvest = Harvest(entries=entries, listed=len(items), problems=problems, notes=_left_out(items))
        if asked is None or retracted:
            return harvest if asked is None else replace(harvest, mark=asked["mark"])
        return _paged(harvest, source, request, message, mark=asked["mark"], before=int(asked["read"]))


def _day_before(mark: str | None) -> date | None:
    """The day before the mark, for records reach the index out of order; None where there is no usable mark."""
    try:
        return date.fromisoformat((mark or "")[:10]) - timedelta(days=1)
    except ValueError:
        return None


def _paged(
    harvest: Harvest, source: Source, request: Request, message: dict[str, Any], *, mark: str, before: int
) -> Harvest:
    """Add the requests that follow from a page, and the mark: none where the list ends before all of it was read."""
    read, total = before + harvest.listed, message.get("total-results")
    cursor, more = message.get("next-cursor"), isinstance(total, int) and read < total
    retracted = _retracted(source, message["items"], key=f"{mark} retracted {before}")
    if not more:
        return replace(harvest, mark=mark, following=retracted)
    if not harvest.listed or not isinstance(cursor, str) or not cursor:
        return _short(harvest, f"the list ends after {read:,} of {total:,}", mark=None, following=retracted)
    if read >= _PAGES_MAX * _ROWS:
        cut = f"{read:,} of {total:,} works read, the others next time: a narrower query brings them sooner"
        return _short(harvest, cut, mark=_last_indexed(message["items"]), following=retracted)
    return replace(harvest, mark=mark, following=(_next_page(request, cursor, f"{mark} from {read}", read), *retracted))


def _short(harvest: Harvest, problem: str, *, mark: str | None, following: tuple[Request, ...]) -> Harvest:
    return replace(harvest, mark=mark, following=following, problems=(*harvest.problems, problem))


def _next_page(request: Request, cursor: str, key: str, read: int) -> Request:
    """The page after `request`. A cursor stays the same from page to page, and so would the address.

    What tells the pages of one list apart is the fragment, which is not sent.
    """
    parts = urlsplit(request.url)
    asked = dict(parse_qsl(parts.query)) | {"cursor": cursor}
    url = urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(asked, safe=":,*"), str(read)))
    return Request(url=url, key=key, conditional=False)


def _retracted(source: Source, items: list[Any], *, key: str) -> tuple[Request, ...]:
    """Ask for the papers that notices on this page retract: most were registered long ago."""
    found = dict.fromkeys(doi for item in items if isinstance(item, dict) for doi in _retracts(item))
    dois = [doi for doi in found if "," not in doi][:_RETRACTED_MAX]
    if not dois:
        return ()
    asked = {"filter": ",".join(f"doi:{doi}" for doi in dois), "select": _SELECT, "rows": str(len(dois))}
    url = f"{_HOST}/works?{urlencode(asked, safe=':,/')}"
    return (Request(url=rebased(url, source.base_url), key=key, conditional=False),)


def _last_indexed(items: list[Any]) -> str | None:
    days = [parts for item in items if isinstance(item, dict) for parts in (_parts(item.get("indexed")),)]
    return date(*days[-1]).isoformat() if days and len(days[-1]) == 3 else None


def _message(source: Source, fetched: Fetched) -> dict[str, Any]:
    """Return the message of an answer, its `items` a list. Raises FetchError or ParseError with Crossref's reason."""
    try:
        document = json_in(source, fetched)
    except ParseError as error:
        if fetched.status == 404 and source.issn:
            unknown = f"HTTP 404: Crossref knows no journal with the ISSN {source.issn}"
            raise FetchError(source.name, unknown, status=404) from error
        require_ok(source, fetched)
        raise
    message = document.get("message") if isinstance(document, dict) else None
    reason = "" if isinstance(message, dict) else _reason(message)
    if reason and fetched.status not in (200, 429):
        raise FetchError(
            source.name,
            f"HTTP {fetched.status}: Crossref says {reason!r}",
            status=fetched.status,
            retry_after_seconds=fetched.retry_after_seconds,
        )
    require_ok(source, fetched)
    # Journals, members and funders come in lists of the same shape.
    works = isinstance(document, dict) and document.get("message-type", "work-list") == "work-list"
    if works and isinstance(message, dict) and isinstance(message.get("items"), list):
        return message
    raise ParseError(
        source.name, f"Crossref says {reason!r}" if reason else "it returned JSON that is no list of works"
    )


def _reason(message: Any) -> str:
    """The first reason in the message of a failure: text, or a list of failed checks."""
    first = message[0] if isinstance(message, list) and message else message
    said = first.get("message") if isinstance(first, dict) else first
    return " ".join(said.split())[:200] if isinstance(said, str) else ""


def _is_paper(item: dict[str, Any]) -> bool:
    kind = item.get("type")
    return not isinstance(kind, str) or _PAPERS.fullmatch(kind) is not None


def _left_out(items: list[Any]) -> tuple[str, ...]:
    """Journals, issues, figures, data and reviews are registered too."""
    kinds = Counter(item["type"] for item in items if isinstance(item, dict) and not _is_paper(item))
    return tuple(f"left out: {number} of type {kind}" for kind, number in sorted(kinds.items()))


def _entry(source: Source, item: Any, *, retracted: bool) -> Entry:
    if not isinstance(item, dict):
        raise EntryError(source.name, "", "it is no JSON object")
    said = _text(item.get("DOI"))
    doi = parse_doi(said) if said else None
    if said is None or doi is None:
        raise EntryError(source.name, said or "", "it has no DOI")
    abstract = text_of_jats(_text(item.get("abstract")) or "")
    registered = _parts(item.get("created"))
    registered_on = date(*registered) if len(registered) == 3 else None
    return Entry(
        source=source.name,
        entry_id=said,
        title=_title(item, retracted=retracted or _is_retracted(item, doi)),
        abstract=abstract,
        authors=_authors(item),
        categories=tuple(filter(None, (_text(item.get("group-title")),))),  # a preprint server's own subject
        url=f"https://doi.org/{quote(doi, safe='/:;()')}",
        code_url=code_url(None, abstract),
        arxiv_id=_preprint_on_arxiv(item),
        doi=doi,
        announced_on=registered_on,
        published_at=earliest([_parts(item.get(name)) for name in _DATES], registered_on),
        journal_ref=_journal_ref(item),
        license_url=_license_url(item),
        text_rank=2,
    )


def _title(item: dict[str, Any], *, retracted: bool) -> str:
    title = text_of_jats(_first(item, "title") or _first(item, "original-title") or "")
    title = full_title(title, text_of_jats(_first(item, "subtitle") or ""))
    return notice_title(title) if _retracts(item) else marked_title(title, retracted=retracted)


def _authors(item: dict[str, Any]) -> tuple[str, ...]:
    """Names as they stand on the paper, the one marked as first in front wherever it is listed."""
    listed = sorted(_objects(item.get("author")), key=lambda author: author.get("sequence") != "first")
    names = (
        " ".join(filter(None, (_text(author.get(key)) for key in ("given", "family", "suffix"))))
        or _text(author.get("name"))
        for author in listed
    )
    return tuple(text_of_jats(name) for name in names if name)


def _journal_ref(item: dict[str, Any]) -> str | None:
    if item.get("type") == "posted-content":
        return None
    journal = text_of_jats(_first(item, "container-title") or "")
    year = next((parts[0] for parts in (_parts(item.get("issued")), _parts(item.get("published"))) if parts), None)
    volume, issue = _text(item.get("volume")), _text(item.get("issue"))
    pages = _text(item.get("page")) or _text(item.get("article-number"))
    return journal_reference(journal, volume=volume, issue=issue, pages=pages, year=year)


def _license_url(item: dict[str, Any]) -> str | None:
    """What readers may do: Creative Commons before others, the published version before a manuscript; not what
    machines may do (`tdm`)."""
    listed = [one for one in _objects(item.get("license")) if one.get("content-version") != "tdm"]
    urls = [
        (0 if "creativecommons.org" in url else 1 if one.get("content-version") == "vor" else 2, url)
        for one in listed
        if (url := _text(one.get("URL")))
    ]
    return min(urls, key=lambda pair: pair[0], default=(0, None))[1]


def _preprint_on_arxiv(item: dict[str, Any]) -> str | None:
    """The arXiv id of the preprint that the publisher itself names, if there is exactly one.

    Of the other form's DOI nothing is made: an entry has one DOI, and storage joins a deposit and its paper by text.
    """
    relation = item.get("relation")
    linked = _objects(relation.get("has-preprint")) if isinstance(relation, dict) else iter(())
    found = set()
    for link in linked:
        if link.get("asserted-by") == "object":  # the other side's claim: several preprints may make it of one paper
            continue
        said = _text(link.get("id")) or ""
        known = parse_arxiv_id(f"arXiv:{said}" if link.get("id-type") == "arxiv" else said)
        found |= {known[0]} if known else set()
    return found.pop() if len(found) == 1 else None


def _is_retracted(item: dict[str, Any], doi: str) -> bool:
    """Whether the record says that the work was retracted: by a notice, or in a version under the same DOI."""
    own = [update for update in _objects(item.get("update-to")) if _doi_of(update) == doi]
    return any(_retracting(update) for update in (*_objects(item.get("updated-by")), *own))


def _retracts(item: dict[str, Any]) -> tuple[str, ...]:
    """The DOIs of the other works that this one, a notice, retracts."""
    own = parse_doi(_text(item.get("DOI")) or "")
    updates = (update for update in _objects(item.get("update-to")) if _retracting(update))
    return tuple(doi for update in updates if (doi := _doi_of(update)) and doi != own)


def _retracting(update: dict[str, Any]) -> bool:
    return str(update.get("type")).lower() in _RETRACTING


def _doi_of(update: dict[str, Any]) -> str | None:
    return parse_doi(_text(update.get("DOI")) or "")


def _parts(value: Any) -> Parts:
    """A date of Crossref's, `{"date-parts": [[2026, 6, 2]]}`; an unknown one is `[[null]]`."""
    listed = value.get("date-parts") if isinstance(value, dict) else None
    first = listed[0] if isinstance(listed, list) and listed else None
    return known_parts(*first[:3]) if isinstance(first, list) and first else ()


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())


def _first(item: dict[str, Any], key: str) -> str | None:
    value = item.get(key)
    listed = value if isinstance(value, list) else [value]
    return next((text for text in map(_text, listed) if text), None)


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None
