"""How a paper is cited: BibTeX, the citation_* meta tags and schema.org. Pure."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

from publishers.readable import readable
from storage.model import Paper
from storage.text import safe_url

_SMALL_WORDS = frozenset(
    {
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "can",
        "do",
        "for",
        "from",
        "how",
        "in",
        "into",
        "is",
        "it",
        "its",
    }
    | {"of", "on", "or", "the", "to", "toward", "towards", "via", "what", "when", "why", "with", "without"}
)
_GROUP_WORDS = re.compile(r"\b(?:collaboration|consortium|team|group|initiative|project|and)\b", re.IGNORECASE)
# https://info.arxiv.org/help/arxiv_identifier.html: YYMM.NNNNN since 2007, archive/YYMMNNN before
_ARXIV_YEAR = re.compile(r"^(?:[a-z-]+/)?(\d\d)\d\d")


def arxiv_url(arxiv_id: str) -> str:
    """Return the address of the abstract page on arXiv."""
    return f"https://arxiv.org/abs/{quote(arxiv_id, safe='/.')}"


def doi_url(doi: str) -> str:
    """Return the address that resolves a DOI, encoded as https://www.doi.org/doi-handbook/ asks."""
    return f"https://doi.org/{quote(doi, safe='/:;()._-')}"


def year_of(paper: Paper) -> int | None:
    """Return the year to cite: first submitted, else as the arXiv id says, else the day it was announced."""
    if paper.published_at:
        return paper.published_at.year
    digits = _ARXIV_YEAR.match(paper.arxiv_id or "")
    if digits:
        return (1900 if int(digits[1]) > 90 else 2000) + int(digits[1])
    return paper.announced_on.year if paper.announced_on else None


def citation_key(paper: Paper) -> str:
    """Return author, year and first telling word in lower-case ASCII: `minta2026length`."""
    author = _ascii(readable(paper.authors[0]).split(",")[0].split()[-1:]) if paper.authors else []
    words = [w for w in _ascii(readable(paper.title).split()) if w not in _SMALL_WORDS]
    return f"{author[0] if author else 'anonymous'}{year_of(paper) or ''}{words[0] if words else ''}"


def bibtex(paper: Paper) -> str:
    """Return one BibTeX entry in UTF-8: @article where a journal is known, else @misc.

    TeX in titles and names stays TeX; what BibTeX or TeX would trip over (unbalanced braces, bare & % # _) is escaped.
    """
    fields = [
        ("title", f"{{{_tex(paper.title)}}}"),  # a second pair of braces keeps the capitals in every style
        ("author", " and ".join(_bibtex_author(name) for name in paper.authors)),
        ("year", str(year_of(paper) or "")),
        ("journal", _tex(paper.journal_ref or "")),
        ("doi", (paper.doi or "").translate({ord(c): None for c in "{}"})),
        ("eprint", paper.arxiv_id or ""),
        ("archiveprefix", "arXiv" if paper.arxiv_id else ""),
        ("primaryclass", paper.categories[0] if paper.arxiv_id and paper.categories else ""),
        ("url", landing_url(paper) or ""),
    ]
    kind = "article" if paper.journal_ref else "misc"
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields if value)
    return f"@{kind}{{{citation_key(paper)},\n{lines}}}\n"


def landing_url(paper: Paper) -> str | None:
    """Return where the paper itself lives: arXiv, else its own page, else its DOI."""
    if paper.arxiv_id:
        return arxiv_url(paper.arxiv_id)
    return safe_url(paper.url) or (doi_url(paper.doi) if paper.doi else None)


def meta_tags(paper: Paper) -> tuple[tuple[str, str], ...]:
    """Return the Highwire tags that Zotero and Google Scholar read, in a fixed order.

    https://scholar.google.com/intl/en/scholar/inclusion.html#indexing
    """
    day = paper.published_at.date() if paper.published_at else paper.announced_on
    tags = [
        ("citation_title", readable(paper.title)),
        *(("citation_author", readable(name)) for name in paper.authors),
        ("citation_publication_date", day.strftime("%Y/%m/%d") if day else ""),
        ("citation_doi", paper.doi or ""),
        ("citation_arxiv_id", paper.arxiv_id or ""),
        ("citation_pdf_url", safe_url(paper.pdf_url) or ""),
        ("citation_abstract_html_url", landing_url(paper) or ""),
    ]
    return tuple((name, content) for name, content in tags if content)


def schema_org(paper: Paper, *, page_url: str, abstract: str) -> dict[str, object]:
    """Return https://schema.org/ScholarlyArticle as JSON-LD values."""
    same = [arxiv_url(paper.arxiv_id) if paper.arxiv_id else None, doi_url(paper.doi) if paper.doi else None]
    values: dict[str, object] = {
        "headline": readable(paper.title),
        "author": [{"@type": "Person", "name": readable(name)} for name in paper.authors],
        "datePublished": paper.published_at.date().isoformat() if paper.published_at else None,
        "abstract": abstract,
        "identifier": list(paper.aliases),
        "sameAs": [url for url in same if url],
        "license": safe_url(paper.license_url),
        "url": page_url,
    }
    kept = {name: value for name, value in values.items() if value}
    return {"@context": "https://schema.org", "@type": "ScholarlyArticle", **kept}


def _ascii(words: list[str]) -> list[str]:
    folded = (unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode().lower() for word in words)
    bare = (re.sub(r"[^a-z0-9]", "", word) for word in folded)
    return [word[:30] for word in bare if word]


def _bibtex_author(name: str) -> str:
    # BibTeX splits names at " and " and reads commas as "Last, First": bodies and odd commas need braces.
    clean = _tex(name)
    return f"{{{clean}}}" if _GROUP_WORDS.search(clean) or clean.count(",") > 1 else clean


def _tex(text: str) -> str:
    """Return `text` safe inside {…} of a BibTeX field, TeX in it kept."""
    if not _balanced(text):
        text = " ".join(re.sub(r"[{}]", " ", text).split())
    if re.sub(r"\\.", "", text).count("$") % 2:
        text = re.sub(r"(?<!\\)\$", r"\\$", text)
    pieces = re.split(r"((?<!\\)\$[^$]*\$)", text)
    escaped = "".join(p if i % 2 else re.sub(r"(?<!\\)([&%#_])", r"\\\1", p) for i, p in enumerate(pieces))
    slashes = len(escaped) - len(escaped.rstrip("\\"))
    return escaped[:-1] + r"\textbackslash{}" if slashes % 2 else escaped


def _balanced(text: str) -> bool:
    """Say whether braces pair up as BibTeX counts them: a backslash before one changes nothing."""
    depth = 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0
