"""How a paper is cited: BibTeX, RIS, the citation_* meta tags and schema.org. Pure."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from datetime import date
from urllib.parse import quote

from publishers.names import category_name
from publishers.readable import paragraphs, readable
from storage.model import Paper
from storage.text import accept, safe_url

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
_PARTICLES = frozenset(
    ["da", "de", "del", "della", "den", "der", "di", "do", "dos", "du", "la", "le", "ten", "van", "von"]
)
_SUFFIXES = frozenset(["jr", "sr", "ii", "iii", "iv"])
# https://info.arxiv.org/help/arxiv_identifier.html: YYMM.NNNNN since 2007, archive/YYMMNNN before
_ARXIV_YEAR = re.compile(r"^(?:[a-z-]+/)?(\d\d)\d\d")


def arxiv_url(arxiv_id: str) -> str:
    """Return the address of the abstract page on arXiv."""
    return f"https://arxiv.org/abs/{quote(arxiv_id, safe='/.')}"


def doi_url(doi: str) -> str:
    """Return the address that resolves a DOI, encoded as https://www.doi.org/doi-handbook/ asks."""
    return f"https://doi.org/{quote(doi, safe='/:;()._-', errors='ignore')}"


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


@functools.lru_cache(maxsize=64)  # a page shows it, and a file beside the page has it
def bibtex(paper: Paper, *, first: Paper | None = None) -> str:
    """Return one BibTeX entry in UTF-8: @article where a journal is known, else @misc.

    TeX in titles and names stays TeX; what BibTeX or TeX would trip over (unbalanced braces, bare & % # _) is escaped.
    The key is made of `first`, the paper as it was met first: a new title must not break the \\cite of last month.
    """
    fields = [
        ("title", f"{{{_tex(paper.title)}}}"),  # a second pair of braces keeps the capitals in every style
        ("author", " and ".join(filter(None, map(_bibtex_author, paper.authors)))),
        ("year", str(year_of(paper) or "")),
        ("journal", _tex(paper.journal_ref or "")),
        ("doi", _bare(paper.doi or "")),
        ("eprint", paper.arxiv_id or ""),
        ("archiveprefix", "arXiv" if paper.arxiv_id else ""),
        ("primaryclass", _bare(paper.categories[0]) if paper.arxiv_id and paper.categories else ""),
        ("url", landing_url(paper) or ""),
    ]
    kind = "article" if paper.journal_ref else "misc"
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields if value)
    return f"@{kind}{{{citation_key(first or paper)},\n{lines}}}\n"


def ris(paper: Paper) -> str:
    """Return one RIS reference in UTF-8, a line for each value and CRLF at its end.

    https://en.wikipedia.org/wiki/RIS_(file_format): JOUR where a journal is known, else UNPB, which is what reference
    managers make of a preprint.
    """
    day = _day_of(paper)
    lines = [
        ("TY", "JOUR" if paper.journal_ref else "UNPB"),
        ("TI", readable(paper.title)),
        *(("AU", inverted(readable(name))) for name in paper.authors),
        ("PY", str(year_of(paper) or "")),
        ("DA", day.strftime("%Y/%m/%d/") if day else ""),
        ("T2", readable(paper.journal_ref or "")),
        ("AB", " ".join(paragraphs(paper.abstract))),
        *(("KW", name) for name in _keywords(paper)),
        ("DO", paper.doi or ""),
        ("AN", f"arXiv:{paper.arxiv_id}" if paper.arxiv_id else ""),
        ("PB", "arXiv" if paper.arxiv_id and not paper.journal_ref else ""),
        ("L1", safe_url(paper.pdf_url) or ""),
        ("UR", landing_url(paper) or ""),
    ]
    # Readers know a line by its first six characters; a value is one line, whatever it was made of.
    said = [(tag, " ".join(value.split())) for tag, value in lines]
    return "".join(f"{tag}  - {value}\r\n" for tag, value in [*((t, v) for t, v in said if v), ("ER", "")])


def inverted(name: str) -> str:
    """Return `Last, First` of `First Last`, with the small words before a last name and the `Jr.` behind it.

    A name with a comma stands so already; that of a group, or of one word, stays as it is.
    """
    parts = name.split()
    if "," in name or len(parts) < 2 or _GROUP_WORDS.search(name):
        return name
    suffix = f", {parts.pop()}" if parts[-1].lower().rstrip(".") in _SUFFIXES and len(parts) > 2 else ""
    start = len(parts) - 1
    while start > 1 and parts[start - 1].lower() in _PARTICLES:
        start -= 1
    return f"{' '.join(parts[start:])}, {' '.join(parts[:start])}{suffix}"


def landing_url(paper: Paper) -> str | None:
    """Return where the paper itself lives: arXiv, else its own page, else its DOI."""
    if paper.arxiv_id:
        return arxiv_url(paper.arxiv_id)
    return safe_url(paper.url) or (doi_url(paper.doi) if paper.doi else None)


def meta_tags(paper: Paper) -> tuple[tuple[str, str], ...]:
    """Return the Highwire tags that Zotero and Google Scholar read, in a fixed order.

    https://scholar.google.com/intl/en/scholar/inclusion.html#indexing. A name is not turned round: Zotero takes two
    words on either side of a comma for two authors.
    """
    day = _day_of(paper)
    tags = [
        ("citation_title", readable(paper.title)),
        *(("citation_author", readable(name)) for name in paper.authors),
        ("citation_publication_date", day.strftime("%Y/%m/%d") if day else str(year_of(paper) or "")),
        ("citation_journal_title", journal_title(paper)),
        ("citation_doi", paper.doi or ""),
        ("citation_arxiv_id", paper.arxiv_id or ""),
        ("citation_pmid", alias(paper, "pmid")),
        ("citation_pdf_url", safe_url(paper.pdf_url) or ""),
        ("citation_abstract_html_url", landing_url(paper) or ""),
        ("citation_public_url", landing_url(paper) or ""),
        ("citation_abstract", " ".join(paragraphs(paper.abstract))),
        *(("citation_keywords", name) for name in _keywords(paper)),
    ]
    return tuple((name, content) for name, content in tags if content)


def journal_title(paper: Paper) -> str:
    """Return the journal's name out of its reference: what stands before the first number or comma, else all of it."""
    whole = readable(paper.journal_ref or "")
    name = re.split(r"[\d,(]|\b[Vv]ol(?:ume)?\b", whole)[0].strip(" .:;-–")
    return name if len(name) > 2 else whole


def schema_org(paper: Paper, *, page_url: str, abstract: str) -> dict[str, object]:
    """Return https://schema.org/ScholarlyArticle as JSON-LD values."""
    same = [arxiv_url(paper.arxiv_id) if paper.arxiv_id else None, doi_url(paper.doi) if paper.doi else None]
    pdf, journal = safe_url(paper.pdf_url), journal_title(paper)
    values: dict[str, object] = {
        "headline": readable(paper.title),
        "name": readable(paper.title),
        "author": [{"@type": "Person", "name": readable(name)} for name in paper.authors],
        "datePublished": paper.published_at.date().isoformat() if paper.published_at else None,
        "dateModified": paper.versions[-1].submitted_at.date().isoformat() if len(paper.versions) > 1 else None,
        "version": paper.version,
        "abstract": abstract,
        "keywords": list(_keywords(paper)),
        "identifier": list(paper.aliases),
        "sameAs": [url for url in same if url],
        "isPartOf": {"@type": "Periodical", "name": journal} if journal else None,
        "encoding": {"@type": "MediaObject", "encodingFormat": "application/pdf", "contentUrl": pdf} if pdf else None,
        "license": safe_url(paper.license_url),
        "url": page_url,
    }
    kept = {name: value for name, value in values.items() if value}
    return {"@context": "https://schema.org", "@type": "ScholarlyArticle", **kept}


def alias(paper: Paper, namespace: str) -> str:
    """Return the id that a paper has in `namespace`, or nothing."""
    prefix = f"{namespace}:"
    return next((alias.removeprefix(prefix) for alias in paper.aliases if alias.startswith(prefix)), "")


def _day_of(paper: Paper) -> date | None:
    return paper.published_at.date() if paper.published_at else paper.announced_on


def _keywords(paper: Paper) -> Iterator[str]:
    yield from dict.fromkeys(name for name in map(category_name, paper.categories) if name)


def _ascii(words: list[str]) -> list[str]:
    folded = (unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode().lower() for word in words)
    bare = (re.sub(r"[^a-z0-9]", "", word) for word in folded)
    return [word[:30] for word in bare if word]


def _bibtex_author(name: str) -> str:
    # BibTeX splits names at " and " and reads commas as "Last, First": bodies and odd commas need braces.
    clean = _tex(name)
    return f"{{{clean}}}" if _GROUP_WORDS.search(clean) or clean.count(",") > 1 else clean


def _tex(text: str) -> str:
    """Return `text` on one line, safe inside {…} of a BibTeX field, TeX in it kept."""
    text = " ".join(accept(text).split())
    # BibTeX counts every brace, other readers do not count those behind a backslash: it has to be right for both.
    if not (_balanced(text) and _balanced(re.sub(r"\\.", "", text))):
        text = " ".join(re.sub(r"\\?[{}]", " ", text).split())
    if re.sub(r"\\.", "", text).count("$") % 2:
        text = re.sub(r"(?<!\\)\$", r"\\$", text)
    pieces = re.split(r"((?<!\\)\$[^$]*\$)", text)
    escaped = "".join(p if i % 2 else re.sub(r"(?<!\\)([&%#_])", r"\\\1", p) for i, p in enumerate(pieces))
    # Some readers take any backslash before the closing brace for one that escapes it; a line break there says nothing.
    bare = escaped.rstrip("\\")
    return bare + r"\textbackslash{}" if (len(escaped) - len(bare)) % 2 else bare


def _bare(text: str) -> str:
    """Return an id on one line, without what would end its field."""
    return " ".join(re.sub(r"[{}\\]", "", text).split())


def _balanced(text: str) -> bool:
    """Say whether braces pair up as BibTeX counts them: a backslash before one changes nothing."""
    depth = 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0
