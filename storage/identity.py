"""Which paper an entry is about: ids as sources write them → one canonical form each. Pure.

paper_id is the first that is known of: arXiv base id, DOI, OpenReview, PMID, then a fingerprint of title and first
author. Ids are strings end to end: `1410.7600` read as a number loses its zero.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from urllib.parse import unquote

from storage.model import Entry

# https://info.arxiv.org/help/arxiv_identifier.html
_ARXIV_NEW = re.compile(r"(?<![\d.])(\d{4}\.\d{4,5})(?:v(\d{1,3}))?(?![\d.]*\d)")
_ARXIV_OLD = re.compile(r"(?<![a-z-])([a-z]+(?:-[a-z]+)?)(?:\.[A-Z]{2})?/(\d{7})(?:v(\d{1,3}))?(?!\d)")
_ARXIV_HINT = re.compile(r"arxiv", re.IGNORECASE)
# https://www.doi.org/doi-handbook/HTML/doi-name-syntax.html: 10., registrant, slash, anything printable
_DOI = re.compile(r"\b(10\.\d{4,9}(?:\.\d+)*/[^\s\"<>]+)")
_DOI_TRAIL = ".,;:)]}'"
_ARXIV_DOI = re.compile(r"^10\.48550/arxiv\.(.+)$", re.IGNORECASE)
# The archive's own namespaces, strongest first.
NAMESPACES = ("arxiv", "doi", "openreview", "pmid")


def parse_arxiv_id(text: str) -> tuple[str, int | None] | None:
    """Return (base id, version) of an arXiv id, URL or OAI identifier, or None. Old ids lose their subject class."""
    bare = unquote(text.strip())
    new = _ARXIV_NEW.search(bare)
    if new and (_ARXIV_HINT.search(bare) or new.span() == (0, len(bare))):
        return new[1], int(new[2]) if new[2] else None
    old = _ARXIV_OLD.search(bare)
    if old and (_ARXIV_HINT.search(bare) or old.span() == (0, len(bare))):
        return f"{old[1]}/{old[2]}", int(old[3]) if old[3] else None
    return None


def parse_doi(text: str) -> str | None:
    """Return the DOI in `text` in lower case (DOIs compare case-blind), or None."""
    found = _DOI.search(unquote(text.strip()))
    if not found:
        return None
    doi = found[1].lower()
    while doi and doi[-1] in _DOI_TRAIL and not (doi[-1] == ")" and doi.count("(") >= doi.count(")")):
        doi = doi[:-1]
    return doi


def normal_title(title: str) -> str:
    """Return `title` for comparison: letters and digits only, case and diacritics gone."""
    bare = unicodedata.normalize("NFKD", re.sub(r"\\[a-zA-Z]+|[{}$\\]", "", title).casefold())
    return " ".join(re.findall(r"\w+", "".join(c for c in bare if not unicodedata.combining(c))))


def fingerprint(entry: Entry) -> str:
    """Return 24 hex digits over title and first author; over title and abstract where no author is given.

    Title alone never suffices: 556 real titles are shared by different papers.
    """
    who = normal_title(entry.authors[0]).split()[-1:] if entry.authors else [normal_title(entry.abstract)]
    return hashlib.blake2b(f"{normal_title(entry.title)}\x1f{who}".encode(), digest_size=12).hexdigest()


def strong_aliases(entry: Entry) -> tuple[str, ...]:
    """Return the ids that name a paper by themselves, strongest first, each as `namespace:value`."""
    arxiv, doi = entry.arxiv_id, parse_doi(entry.doi) if entry.doi else None
    folded = _ARXIV_DOI.match(doi) if doi else None
    if folded:
        parsed = parse_arxiv_id(f"arxiv:{folded[1]}")
        arxiv, doi = arxiv or (parsed[0] if parsed else None), None
    values = (arxiv, doi, entry.openreview_id, entry.pmid)
    return tuple(f"{name}:{value}" for name, value in zip(NAMESPACES, values, strict=True) if value)


def weak_aliases(entry: Entry) -> tuple[str, ...]:
    """Return ids that hold within one source (its own guid) or by likeness (the fingerprint)."""
    own = () if entry.arxiv_id else (f"guid:{entry.source}|{entry.entry_id}",) if entry.entry_id else ()
    return (*own, f"fp:{fingerprint(entry)}")


def namespaces_of(aliases: tuple[str, ...]) -> frozenset[str]:
    """Return which strong namespaces `aliases` already use."""
    return frozenset(a.split(":", 1)[0] for a in aliases) & frozenset(NAMESPACES)


def content_hash(entry: Entry) -> bytes:
    """Return 16 bytes over what makes a revision: title, abstract, authors, version."""
    return _hash(str(entry.version or ""), entry.title, entry.abstract, *entry.authors)


def entry_hash(entry: Entry) -> bytes:
    """Return 16 bytes over everything a source said but the counts and dates, which change without news."""
    optional = (entry.url, entry.pdf_url, entry.code_url, entry.project_url, entry.doi, entry.journal_ref)
    return _hash(
        entry.entry_id,
        str(entry.version or ""),
        entry.announce_type or "",
        entry.title,
        entry.abstract,
        "\x1e".join(entry.authors),
        "\x1e".join(entry.categories),
        *(value or "" for value in optional),
    )


def _hash(*parts: str) -> bytes:
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).digest()
