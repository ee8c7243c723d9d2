"""Any feed: journals, preprint servers, PubMed searches, blogs; RSS 0.9x/1.0/2.0, Atom, JSON Feed.

Whose paper an entry is: prism:doi, then dc:identifier, then a DOI in the link, then one in the guid; the links of
arXiv, OpenReview and PubMed name papers too. Everything else is known by its guid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import SplitResult, parse_qs, parse_qsl, unquote, urljoin, urlsplit

from flows.fetching import Fetched
from flows.parsing import ParsedEntry, Parser
from flows.sources.interface import Harvest, Request, Rhythm
from flows.sources.reading import code_url, plain, rebased, require_ok, sift, split_names
from storage.errors import EntryError
from storage.identity import parse_arxiv_id, parse_doi
from storage.model import Entry
from storage.settings import Source

_ARXIV_HOSTS = frozenset(["arxiv.org", "www.arxiv.org", "export.arxiv.org"])
_ARXIV_NAME = re.compile(r"\A(?:oai:arxiv\.org:|arxiv:)", re.IGNORECASE)
_ARXIV_DOI = re.compile(r"\A10\.48550/arxiv\.(.+)\Z", re.IGNORECASE)
# bioRxiv and medRxiv write DOI and version into one path: /content/10.1101/2024.01.01.573850v2
_VERSIONED_DOI = re.compile(r"(10\.(?:1101|64898)/\d[\d.]*\d)v(\d{1,3})\b")
# What publishers hang onto a DOI in their links.
_DOI_TAIL = re.compile(r"/(?:abstract|epdf|epub|full|fulltext|html|meta|pdf|pdfft|summary)\Z|\.(?:html?|pdf)\Z", re.I)
_PREPRINT_DOI = re.compile(r"\b10\.(?:1101|64898)/")
_SUFFIXES = frozenset(["jr", "sr", "ii", "iii", "iv", "phd", "ph.d", "md", "m.d"])
_OPENREVIEW = re.compile(r"\A[\w-]{6,40}\Z")
_PMID = re.compile(r"\A(?:pubmed|pmid):\s*(\d{1,9})\Z", re.IGNORECASE)
# Lines that stand in descriptions beside or instead of an abstract: Elsevier, Nature, PubMed.
_AUTHORS_LINE = re.compile(r"\AAuthor\(s\):\s*(.*)\Z")
_MASTHEAD_LINE = re.compile(
    r"\A(?:Publication date|Source|Author\(s\)|DOI|PMID)\s*:|\A.{1,120}, Published online: .{1,60}; doi:10\."
)

_CITATION_LINE = re.compile(r"\A.{3,200}, (?:vol\.|issue|pp\.) ")


class Feed:
    """Reads `feed` sources."""

    rhythm = Rhythm.FEED
    default_schedule = "40 */4 * * *"
    delay_seconds = 2.0

    def plan(self, source: Source, *, now: datetime, mark: str | None = None) -> tuple[Request, ...]:  # noqa: ARG002
        """One conditional request."""
        return (Request(url=rebased(source.url or "", source.base_url), key="feed"),)

    def read(self, source: Source, request: Request, fetched: Fetched, parser: Parser) -> Harvest:  # noqa: ARG002
        """Read whatever kind of feed came."""
        require_ok(source, fetched)
        feed = parser.parse(source.name, fetched.body, content_type=fetched.content_type)
        # A replayed feed still lives where it says it lives.
        base = (source.url or fetched.url) if source.base_url else fetched.url
        entries, problems = sift(lambda parsed: _entry(source, base, parsed), feed.entries)
        return Harvest(
            entries=entries,
            listed=len(feed.entries),
            problems=(*((feed.problem,) if feed.problem else ()), *problems),
            notes=(f"its XML is not well-formed ({feed.bozo})",) if feed.bozo else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    """The ids an entry names a paper by."""

    arxiv_id: str | None
    version: int | None
    doi: str | None
    openreview_id: str | None
    pmid: str | None


def _entry(source: Source, base: str, parsed: ParsedEntry) -> Entry:
    link = _absolute(base, parsed)
    title = plain(parsed.title, parsed.title_type)
    entry_id = parsed.entry_id or link or ""
    if not title and not entry_id:
        raise EntryError(source.name, "", "it has neither title nor id")
    ids = _identity(parsed, link or "")
    told = _told(parsed)
    return Entry(
        source=source.name,
        entry_id=entry_id,
        title=title,
        abstract=told.abstract,
        authors=_authors(parsed.authors) or told.authors,
        categories=parsed.tags,
        url=link,
        pdf_url=f"https://arxiv.org/pdf/{ids.arxiv_id}" if ids.arxiv_id else _pdf(base, parsed),
        code_url=code_url(None, told.abstract),
        arxiv_id=ids.arxiv_id,
        version=ids.version,
        doi=ids.doi,
        openreview_id=ids.openreview_id,
        pmid=ids.pmid,
        published_at=parsed.published or parsed.updated,
        journal_ref=_journal_ref(parsed) or told.journal_ref,
        license_url=_license(parsed),
        text_rank=2 if any(name.startswith("prism_") for name, _ in parsed.extra) else 1,
    )


def _identity(parsed: ParsedEntry, link: str) -> _Identity:
    guid, said = parsed.entry_id or "", parsed.said("dc_identifier") or ""
    doi, version = _doi(parsed, link)
    arxiv = next((found for text in (link, guid, said, doi or "") if (found := _arxiv(text))), None)
    if arxiv:
        version = arxiv[1]
    return _Identity(
        arxiv_id=arxiv[0] if arxiv else None,
        version=version,
        doi=None if doi and _ARXIV_DOI.match(doi) else doi,
        openreview_id=_openreview(link) or _openreview(guid),
        pmid=_pmid(link) or _pmid(guid) or _pmid(said),
    )


def _doi(parsed: ParsedEntry, link: str) -> tuple[str | None, int | None]:
    """Return (DOI, version where the link carries one)."""
    versioned = _VERSIONED_DOI.search(link)
    version = int(versioned[2]) if versioned else None
    for text in (parsed.said("prism_doi"), parsed.said("dc_identifier")):
        if text and (doi := parse_doi(text)):
            return doi, version
    if versioned:
        return parse_doi(versioned[1]), version
    return _doi_in_link(link) or _doi_in_guid(parsed.entry_id or ""), None


def _doi_in_link(url: str) -> str | None:
    """Return the DOI in the path of a URL, else in its query; what publishers append to it is cut off."""
    parts = _split(url)
    if parts is None:
        return None
    path = unquote(parts.path)
    while (shorter := _DOI_TAIL.sub("", path.rstrip("/"))) != path:
        path = shorter
    return parse_doi(path) or next((doi for _, value in parse_qsl(parts.query) if (doi := parse_doi(value))), None)


def _doi_in_guid(guid: str) -> str | None:
    return _doi_in_link(guid) if guid.startswith(("http://", "https://")) else parse_doi(guid)


def _arxiv(text: str) -> tuple[str, int | None] | None:
    """Return (base id, version) where `text` is arXiv's own name for a paper, not merely a text that looks alike."""
    if doi := _ARXIV_DOI.match(text):
        return parse_arxiv_id(f"arxiv:{doi[1]}")
    parts = _split(text)
    own = parts is not None and parts.hostname in _ARXIV_HOSTS
    return parse_arxiv_id(text) if own or _ARXIV_NAME.match(text) else None


def _openreview(url: str) -> str | None:
    parts = _split(url)
    if parts is None or parts.hostname not in ("openreview.net", "www.openreview.net"):
        return None
    forum = parse_qs(parts.query).get("id", [""])[0] if parts.path in ("/forum", "/pdf") else ""
    return forum if _OPENREVIEW.match(forum) else None


def _pmid(text: str) -> str | None:
    if named := _PMID.match(text):
        return named[1]
    parts = _split(text)
    if parts is None or parts.hostname != "pubmed.ncbi.nlm.nih.gov":
        return None
    first = parts.path.strip("/").partition("/")[0]
    return first if first.isdecimal() and first.isascii() else None


def _absolute(base: str, parsed: ParsedEntry) -> str | None:
    href = parsed.link or next((link.href for link in parsed.links if link.rel in ("alternate", "related", "")), None)
    return _joined(base, href) if href else None


def _pdf(base: str, parsed: ParsedEntry) -> str | None:
    href = next((link.href for link in parsed.links if link.type == "application/pdf"), None)
    return _joined(base, href) if href else None


def _license(parsed: ParsedEntry) -> str | None:
    linked = next((link.href for link in parsed.links if link.rel == "license"), None)
    rights = parsed.said("rights") or ""
    return linked or (rights if rights.startswith(("http://", "https://")) else None)


def _joined(base: str, href: str) -> str | None:
    try:
        return urljoin(base, href.strip())
    except ValueError:
        return None


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL that has a host, or None: feeds hold anything where a URL should be."""
    try:
        parts = urlsplit(url)
        return parts if parts.hostname else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What a description tells: publishers put names and citations there, beside the abstract or instead of it."""

    abstract: str
    authors: tuple[str, ...] = ()
    journal_ref: str | None = None


def _told(parsed: ParsedEntry) -> _Told:
    """Read the summary; where no abstract is in it, the content."""
    summary = _read_description(plain(parsed.summary, parsed.summary_type))
    if summary.abstract or not parsed.content:
        return summary
    content = _read_description(plain(parsed.content, parsed.content_type))
    return replace(summary, abstract=content.abstract, authors=summary.authors or content.authors)


def _read_description(text: str) -> _Told:
    lines = text.split("\n")
    if "ABSTRACT" in lines:  # PubMed: citation, heading, abstract, ids
        lines = lines[lines.index("ABSTRACT") + 1 :]
    elif not any(_MASTHEAD_LINE.match(line) for line in lines):
        return _Told(abstract=text)
    authors = next((split_names(found[1]) for line in lines if (found := _AUTHORS_LINE.match(line))), ())
    rest = [line for line in lines if not _MASTHEAD_LINE.match(line)]
    if len(rest) in (1, 2) and _CITATION_LINE.match(rest[-1]):  # names, citation, DOI: no abstract
        return _Told(abstract="", authors=authors or split_names("".join(rest[:-1])), journal_ref=rest[-1])
    return _Told(abstract="\n".join(rest).strip(), authors=authors)


def _authors(said: tuple[str, ...]) -> tuple[str, ...]:
    """Return names one by one, surname last, from one element each or from one element for all."""
    if len(said) > 1 or any(";" in text for text in said):
        return tuple(_turned(name) for text in said for name in text.split(";") if name.strip())
    names = split_names(re.sub(r",?\s+(?:and|&)\s+", ", ", said[0])) if said else ()
    if all(" " in name or "." in name for name in names):
        return names
    return tuple(_turned(text) for text in said)


def _turned(name: str) -> str:
    """Return "Minta, Béla" as "Béla Minta", without an affiliation in parentheses."""
    parts = split_names(name)
    turned = len(parts) == 2 and parts[1].strip(".").lower() not in _SUFFIXES
    return f"{parts[1]} {parts[0]}" if turned else ", ".join(parts)


def _journal_ref(parsed: ParsedEntry) -> str | None:
    """Return "Journal 24(6), 975-1211 (2013)" from what PRISM elements say, or None without a journal."""
    journal, doi = parsed.said("prism_publicationname"), parsed.said("prism_doi") or parsed.said("dc_identifier") or ""
    if not journal or _PREPRINT_DOI.search(doi):
        return None
    volume, number = _number(parsed.said("prism_volume")), _number(parsed.said("prism_number"))
    first, last = _number(parsed.said("prism_startingpage")), _number(parsed.said("prism_endingpage"))
    year = (parsed.said("prism_publicationdate") or "")[:4]
    issue = f" {volume}" + (f"({number})" if number else "") if volume else ""
    pages = f", {first}" + (f"-{last}" if last and last != first else "") if first else ""
    return journal + issue + pages + (f" ({year})" if year.isdecimal() else "")


def _number(said: str | None) -> str | None:
    return said if said and said.lower() != "n/a" else None
