"""Which paper an entry is about: ids as sources write them → one canonical form each. Pure.

paper_id is the first that is known of: arXiv base id, DOI, OpenReview, PMID, then a fingerprint of title and first
author. Ids are strings end to end: `1410.7600` read as a number loses its zero, and what lost a digit is refused, never
guessed. Whether two entries without a common id are of one work is `storage/likeness.py`'s question.
"""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections.abc import Collection, Iterable
from functools import lru_cache
from urllib.parse import unquote

from storage.model import Entry
from storage.titles import title_key

# https://info.arxiv.org/help/arxiv_identifier.html: YYMM.NNNN from April 2007, YYMM.NNNNN from January 2015.
_ARXIV_NEW = re.compile(r"(?<!\d)(?<!\d\.)(\d{4})\.(\d{4,5})(?:v(\d{1,3}))?(?![\d.]*\d)", re.IGNORECASE)
_ARXIV_NEW_FIRST, _ARXIV_FIVE_DIGITS_FIRST = "0704", "1501"
# The archives that gave ids of the old style, archive/YYMMNNN, from August 1991 to March 2007. The list is closed.
ARXIV_ARCHIVES = (
    "acc-phys adap-org alg-geom ao-sci astro-ph atom-ph bayes-an chao-dyn chem-ph cmp-lg comp-gas cond-mat cs dg-ga "
    "funct-an gr-qc hep-ex hep-lat hep-ph hep-th math-ph math mtrl-th nlin nucl-ex nucl-th patt-sol physics plasm-ph "
    "q-alg q-bio quant-ph solv-int supr-con"
)
_ARXIV_OLD = re.compile(
    rf"(?<![a-z-])({ARXIV_ARCHIVES.replace(' ', '|')})(?:\.[a-z-]{{2,}})?/(\d{{4}})(\d{{3}})(?:v(\d{{1,3}}))?(?!\d)",
    re.IGNORECASE,
)
_ARXIV_OLD_FIRST, _ARXIV_OLD_LAST = "199108", "200703"
_ARXIV_HINT = re.compile(r"(?<![a-z])(?:arxiv|ar5iv|alphaxiv)|huggingface\.co/papers/", re.IGNORECASE)
_URL = re.compile(r"https?://", re.IGNORECASE)
# https://www.doi.org/doi-handbook/HTML/doi-name-syntax.html: 10., registrant, slash, anything printable. The SICI form
# has pointed brackets; cut at the first, all papers of one issue would share what is left.
_SICI = re.compile(r"\b10\.\d{4,9}(?:\.\d+)*/\(sici\)[^\s\"]+?co;2-[a-z0-9#@]", re.IGNORECASE)
_DOI = re.compile(r"\b10\.\d{4,9}(?:\.\d+)*/[^\s\"<>]+")
_DOI_TRAIL = ".,;:)]}'’”»/"
_DOI_DASHES = {ord(dash): "-" for dash in "‐‑‒–—−"} | dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
_ARXIV_DOI = re.compile(r"^10\.48550/arxiv\.(.+)$")
# bioRxiv and medRxiv register the base alone; its versions are addresses. Research Square, Preprints.org and ChemRxiv
# register each version, so theirs stay.
_BIORXIV_VERSION = re.compile(r"^(10\.(?:1101|64898)/(?:\d{4}\.\d{2}\.\d{2}\.)?\d{5,8})v\d{1,3}(?:\.[a-z.+]+)?$")
# Registrants of preprints and deposits: such a DOI and a publisher's may both be right for one work.
DEPOSITS = frozenset(
    f"10.{registrant}"
    for registrant in (
        *(1101, 64898, 48550, 21203, 2139, 20944, 26434, 31219, 31222, 31223, 31224, 31234, 31235),
        *(5281, 6084, 22541, 36227, 14293, 12688, 7287, 32942),
    )
)
_OPENREVIEW_URL = re.compile(
    r"openreview\.net/(?:forum|pdf|attachment)\?(?:[^\s#]*&)?id=([\w-]+)", re.ASCII | re.IGNORECASE
)
_OPENREVIEW = re.compile(r"(?:openreview:)?([\w-]{4,40})", re.ASCII | re.IGNORECASE)
_PMID_URL = re.compile(r"ncbi\.nlm\.nih\.gov/(?:pubmed/)?0*([1-9]\d{0,7})(?=[/?#\s]|\Z)", re.IGNORECASE)
_PMID = re.compile(r"(?:(?:pmid|pubmed|medline)\s*:?\s*)?0*([1-9]\d{0,7})", re.IGNORECASE)
# The archive's own namespaces, strongest first.
NAMESPACES = ("arxiv", "doi", "openreview", "pmid")
_REMEMBERED = 8_192  # answers: each entry of a batch is asked for its ids several times


@lru_cache(_REMEMBERED)
def parse_arxiv_id(text: str) -> tuple[str, int | None] | None:
    """Return (base id, version) of an arXiv id, URL or OAI identifier, or None. Old ids lose their subject class.

    Bare numbers count only where they are all of `text`. What lost a digit (`1410.76`) is none.
    """
    bare = unquote(text.strip())
    hinted = _ARXIV_HINT.search(bare) is not None
    for found in (*_ARXIV_NEW.finditer(bare), *_ARXIV_OLD.finditer(bare)):
        if hinted or found.span() == (0, len(bare)):
            base = _new_arxiv_id(found) if found.re is _ARXIV_NEW else _old_arxiv_id(found)
            if base is not None:
                return base, int(found[found.re.groups] or 0) or None
    return None


def _new_arxiv_id(found: re.Match[str]) -> str | None:
    month, number = found[1], found[2]
    digits = 5 if month >= _ARXIV_FIVE_DIGITS_FIRST else 4
    # The month is not judged: arXiv's own test data has 1234.5645, and what arXiv says of itself is not refused.
    valid = month >= _ARXIV_NEW_FIRST and len(number) == digits
    return f"{month}.{number}" if valid else None


def _old_arxiv_id(found: re.Match[str]) -> str | None:
    month, number = found[2], found[3]
    full = ("19" if month >= "90" else "20") + month
    valid = _ARXIV_OLD_FIRST <= full <= _ARXIV_OLD_LAST and "01" <= month[2:] <= "12" and int(number) > 0
    return f"{found[1].lower()}/{month}{number}" if valid else None


@lru_cache(_REMEMBERED)
def parse_doi(text: str) -> str | None:
    """Return the DOI in `text` in lower case (DOIs compare case-blind), or None. bioRxiv's lose their version."""
    found = _search_doi(text.strip().translate(_DOI_DASHES))
    if found is None:
        return None
    doi = found.lower()
    while doi and doi[-1] in _DOI_TRAIL and not (doi[-1] == ")" and doi.count("(") >= doi.count(")")):
        doi = doi[:-1]
    versioned = _BIORXIV_VERSION.match(doi)
    return versioned[1] if versioned else doi if _DOI.match(doi) else None


def _search_doi(text: str) -> str | None:
    """Return what looks like a DOI; in a URL it ends where the query or the next parameter begins."""
    url = _URL.match(text) is not None
    plain = html.unescape(unquote(text)) if "%" in text or "&" in text else text
    sici = _SICI.search(plain)
    if sici:
        return sici[0]
    found = _DOI.search(plain)
    if found is None or ("(sici)" in found[0].lower() and plain[found.end() :].startswith("<")):
        return None
    if not url:
        return found[0]
    return re.split(r"[&#]" if "?" in plain[: found.start()] else r"[?#]", found[0], maxsplit=1)[0]


def parse_openreview_id(text: str) -> str | None:
    """Return the forum id in an OpenReview URL, in `openreview:…` or in a bare id, or None. Case matters."""
    bare = unquote(text.strip())
    found = _OPENREVIEW_URL.search(bare) or _OPENREVIEW.fullmatch(bare)
    return found[1] if found else None


def parse_pmid(text: str) -> str | None:
    """Return the PubMed id in `text` (a number, `PMID: …` or a URL) without leading zeros, or None."""
    found = _PMID_URL.search(text.strip()) or _PMID.fullmatch(text.strip())
    return found[1] if found else None


def normal_title(title: str) -> str:
    """Return `title` as the fingerprint reads it: letters and digits only, case and diacritics gone.

    Readers hold ids made of it, so it stays as it is; `storage/titles.py` has the form that finds more.
    """
    bare = unicodedata.normalize("NFKD", re.sub(r"\\[a-zA-Z]+|[{}$\\]", "", title).casefold())
    return " ".join(re.findall(r"\w+", "".join(c for c in bare if not unicodedata.combining(c))))


def fingerprint(entry: Entry) -> str:
    """Return 24 hex digits over title and first author; over title and abstract where no author is given.

    Title alone never suffices: 556 real titles are shared by different papers.
    """
    who = normal_title(entry.authors[0]).split()[-1:] if entry.authors else [normal_title(entry.abstract)]
    return hashlib.blake2b(f"{normal_title(entry.title)}\x1f{who}".encode(), digest_size=12).hexdigest()


def own_fingerprint(entry: Entry) -> str:
    """Return 24 hex digits for an entry whose fingerprint another work already has: over all that tells them apart."""
    parts = (normal_title(entry.title), *map(normal_title, entry.authors), normal_title(entry.abstract))
    told = "\x1f".join((*parts, entry.source, entry.entry_id))
    return hashlib.blake2b(told.encode(), digest_size=12).hexdigest()


def strong_aliases(entry: Entry) -> tuple[str, ...]:
    """Return the ids that name a paper by themselves, strongest first, each as `namespace:value`.

    What cannot be such an id is left out: a mangled id would join the wrong papers.
    """
    parsed = parse_arxiv_id(entry.arxiv_id) if entry.arxiv_id else None
    doi = parse_doi(entry.doi) if entry.doi else None
    folded = _ARXIV_DOI.match(doi) if doi else None
    if folded:
        parsed, doi = parsed or parse_arxiv_id(f"arxiv:{folded[1]}"), None
    openreview = parse_openreview_id(entry.openreview_id) if entry.openreview_id else None
    pmid = parse_pmid(entry.pmid) if entry.pmid else None
    values = (parsed[0] if parsed else None, doi, openreview, pmid)
    return tuple(f"{name}:{value}" for name, value in zip(NAMESPACES, values, strict=True) if value)


def weak_aliases(entry: Entry) -> tuple[str, ...]:
    """Return ids that hold within one source (its own guid) or by likeness (the title, at last the fingerprint).

    The fingerprint is there only for an entry that no stronger id names: it becomes its paper_id.
    """
    named = bool(strong_aliases(entry))
    own = () if entry.arxiv_id and named else (f"guid:{entry.source}|{entry.entry_id}",) if entry.entry_id else ()
    key = title_key(entry.title)
    last = () if named else (f"fp:{fingerprint(entry)}",)
    return (*own, *((f"title:{key}",) if key else ()), *last)


def contradiction(one: Collection[str], other: Collection[str]) -> str | None:
    """Return why two sets of aliases cannot name one paper (`arxiv:… and arxiv:…`), or None.

    The strongest kind of id that both have decides. Two ids of one kind are two papers, with one exception: a
    preprint's DOI and its publisher's may both be right. Two publishers' DOIs are two works, whatever else agrees.
    """
    for namespace in NAMESPACES if one and other else ():
        ours = {a for a in one if a.startswith(f"{namespace}:")}
        theirs = {a for a in other if a.startswith(f"{namespace}:")}
        if ours & theirs:
            return None
        if ours and theirs and not (namespace == "doi" and _deposit_and_published(ours, theirs)):
            return f"{min(ours)} and {min(theirs)}"
    return None


def _deposit_and_published(ours: set[str], theirs: set[str]) -> bool:
    left, right = ({doi.removeprefix("doi:").partition("/")[0] for doi in side} for side in (ours, theirs))
    return not left & right and (left <= DEPOSITS or right <= DEPOSITS)


def content_hash(entry: Entry) -> bytes:
    """Return 16 bytes over what makes a revision: title, abstract, authors, version."""
    return content_hash_of(entry.version, entry.title, entry.abstract, entry.authors)


def content_hash_of(version: int | None, title: str, abstract: str, authors: Iterable[str]) -> bytes:
    """Return the content hash of these values; storage/bulk_rows.py has the same in SQL."""
    said = "\x1f".join((str(version or ""), title, abstract, *authors))
    return hashlib.md5(said.encode(), usedforsecurity=False).digest()


def entry_hash(entry: Entry) -> bytes:
    """Return 16 bytes over everything a source said but the counts and dates, which change without news."""
    links = (entry.url, entry.pdf_url, entry.code_url, entry.project_url, entry.license_url)
    optional = (*links, entry.arxiv_id, entry.doi, entry.openreview_id, entry.pmid, entry.journal_ref)
    return _hash(
        entry.entry_id,
        str(entry.version or ""),
        entry.announce_type or "",
        "withdrawn" if entry.withdrawn else "",
        entry.title,
        entry.abstract,
        "\x1e".join(entry.authors),
        "\x1e".join(entry.categories),
        *(value or "" for value in optional),
    )


def _hash(*parts: str) -> bytes:
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).digest()
