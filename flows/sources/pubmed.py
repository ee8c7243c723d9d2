"""PubMed: a search for what came in since the last read, then the articles found, two hundred at a time.

Format: https://www.ncbi.nlm.nih.gov/books/NBK25499/ (E-utilities) and https://dtd.nlm.nih.gov/ncbi/pubmed/. A search
is by Entrez date, the day an article came into PubMed, and gives at most 9,999 ids: a longer list is asked for again in
halves of its days. Errors come with status 200, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from lxml import etree

from flows.fetching import Fetched
from flows.parsing import Parser
from flows.sources.interface import Harvest, Request, Rhythm
from flows.sources.reading import code_url, json_in, rebased, require_ok, sift
from flows.sources.registries import Parts, earliest, journal_reference, known_parts, marked_title, notice_title
from storage.errors import EntryError, FetchError, ParseError
from storage.identity import parse_arxiv_id, parse_doi, parse_pmid
from storage.model import Entry
from storage.settings import Source

_HOST = "https://eutils.ncbi.nlm.nih.gov"
_SEARCH, _FETCH = "/entrez/eutils/esearch.fcgi", "/entrez/eutils/efetch.fcgi"
_IDS_MAX = 9_999  # NBK25499: what one search of PubMed gives at most
_PAGE_IDS = 200  # NBK25497: more ids than that are for POST
_RETRACTED_MAX = 40
_ARTICLES = ("PubmedArticle", "PubmedBookArticle")
_MONTHS = {name: n for n, name in enumerate(re.findall("...", "janfebmaraprmayjunjulaugsepoctnovdec"), 1)}
_MEDLINE_DATE = re.compile(r"(\d{4})(?:\s+([A-Za-z]{3})[a-z]*)?(?:\s+(\d{1,2})\b)?")
_RETRACTED_TYPES = frozenset(["retracted publication"])
_RETRACTED_LINKS = frozenset(["RetractionIn", "RetractedandRepublishedIn"])
_LOST_NAMED = 3


class PubMed:
    """Reads `pubmed` sources."""

    rhythm = Rhythm.FLOW
    default_schedule = "10 3,9 * * *"  # NBK25497: large jobs between 9 pm and 5 am in New York
    delay_seconds = 1.0  # three requests a second are allowed

    def plan(self, source: Source, *, now: datetime, mark: str | None = None) -> tuple[Request, ...]:
        """One request: the ids of what came in from the day before the mark up to today."""
        today = now.astimezone(UTC).date()
        since = _day_before(mark) or today - timedelta(days=source.days)
        return (_search(source, min(since, today), today, mark=today.isoformat()),)

    def read(self, source: Source, request: Request, fetched: Fetched, parser: Parser) -> Harvest:  # noqa: ARG002
        """Read a list of ids, or the articles of one page."""
        mark, _, what = request.key.partition(" ")
        if what.startswith("search"):
            return _found(source, request, _answer(source, fetched), mark)
        return _articles(source, request, fetched, mark)


def _day_before(mark: str | None) -> date | None:
    try:
        return date.fromisoformat((mark or "")[:10]) - timedelta(days=1)
    except ValueError:
        return None


# The search


def _search(source: Source, first: date, last: date, *, mark: str) -> Request:
    asked = {
        "db": "pubmed",
        "term": source.query or "",
        "datetype": "edat",
        "mindate": f"{first:%Y/%m/%d}",
        "maxdate": f"{last:%Y/%m/%d}",
        "retmax": str(_IDS_MAX),
        "retmode": "json",
        "tool": "paperwire",
    }
    url = rebased(f"{_HOST}{_SEARCH}?{urlencode(asked, safe='/')}", source.base_url)
    return Request(url=url, key=f"{mark} search {first} {last}", conditional=False)


def _answer(source: Source, fetched: Fetched) -> dict[str, Any]:
    """Return a search's result. Raises FetchError or ParseError with PubMed's own reason, whatever the status."""
    try:
        document = json_in(source, fetched)
    except ParseError:
        require_ok(source, fetched)
        raise
    outer = document if isinstance(document, dict) else {}
    result = outer.get("esearchresult")
    inner = result if isinstance(result, dict) else {}
    reason = _line(outer.get("error") or outer.get("ERROR") or inner.get("ERROR"))
    if reason:
        status = 429 if "rate limit" in reason.lower() else fetched.status
        raise FetchError(
            source.name,
            f"PubMed says {reason!r}",
            status=status if status != 200 else None,
            retry_after_seconds=fetched.retry_after_seconds,
        )
    require_ok(source, fetched)
    if not isinstance(inner.get("idlist"), list):
        raise ParseError(source.name, "it returned JSON that is no search result")
    return inner


def _found(source: Source, request: Request, result: dict[str, Any], mark: str) -> Harvest:
    """Say which articles to ask for; where they are too many, search again by half of the days each."""
    ids = sorted({known for one in result["idlist"] if (known := parse_pmid(str(one)))}, key=int)
    total = int(result["count"]) if str(result.get("count", "")).isdecimal() else len(ids)
    first, last = (date.fromisoformat(day) for day in request.key.split()[-2:])
    if total > len(ids) and first < last:
        middle = first + (last - first) // 2
        halves = (
            _search(source, first, middle, mark=mark),
            _search(source, middle + timedelta(days=1), last, mark=mark),
        )
        return Harvest(entries=(), listed=0, following=halves, mark=mark)
    lost = f"only {len(ids):,} of {total:,} articles of {last} can be had: use a narrower query"
    pages = [ids[start : start + _PAGE_IDS] for start in range(0, len(ids), _PAGE_IDS)]
    return Harvest(
        entries=(),
        listed=0,
        problems=(lost,) if total > len(ids) else (),
        notes=_warnings(result),
        following=tuple(_fetch(source, page, f"{mark} articles {page[0]}") for page in pages),
        mark=mark,
    )


def _warnings(result: dict[str, Any]) -> tuple[str, ...]:
    """What PubMed made of the query: it leaves out words it does not know, and searches with the rest."""
    notes = []
    for table, key, words in (
        ("errorlist", "phrasesnotfound", "PubMed does not know, and ignores,"),
        ("errorlist", "fieldsnotfound", "PubMed has no field"),
        ("warninglist", "quotedphrasesnotfound", "PubMed does not know the phrase"),
    ):
        listed = result[table].get(key) if isinstance(result.get(table), dict) else None
        notes += [f"{words} {_line(one)!r}" for one in (listed if isinstance(listed, list) else []) if _line(one)]
    return tuple(notes)


def _line(value: Any) -> str:
    return " ".join(value.split())[:200] if isinstance(value, str) else ""


# The articles


def _fetch(source: Source, ids: Sequence[str], key: str) -> Request:
    asked = {"db": "pubmed", "retmode": "xml", "tool": "paperwire", "id": ",".join(ids)}
    url = rebased(f"{_HOST}{_FETCH}?{urlencode(asked, safe=',')}", source.base_url)
    return Request(url=url, key=key, conditional=False)


def _articles(source: Source, request: Request, fetched: Fetched, mark: str) -> Harvest:
    reading = _Reading(source, fetched)
    retracted = " retracted " in request.key
    notices: dict[str, None] = {}

    def entries() -> Iterator[etree._Element]:
        for article in reading.articles():
            notices.update(dict.fromkeys(_retracts(article)))
            yield article

    made, problems = sift(lambda article: _entry(source, article, retracted=retracted), entries())
    if reading.broken:
        problems = (*problems, reading.broken)
    elif lost := _lost(request, reading.ids):
        problems = (*problems, lost)
    following = tuple(notices)[:_RETRACTED_MAX] if not retracted else ()
    return Harvest(
        entries=made,
        listed=len(reading.ids),
        problems=problems,
        following=(_fetch(source, following, f"{mark} retracted {following[0]}"),) if following else (),
        mark=None if reading.broken else mark,
    )


class _Reading:
    """One answer, article by article; what was whole before an answer breaks off is kept."""

    def __init__(self, source: Source, fetched: Fetched) -> None:
        self._source, self._fetched = source, fetched
        self.ids: list[str] = []
        self.broken: str | None = None

    def articles(self) -> Iterator[etree._Element]:
        """Yield each article once; it is emptied afterwards. Raises FetchError or ParseError where there is none."""
        refused, root = "", ""
        try:
            for _, element in self._parse():
                if element.tag == "ERROR":
                    refused = refused or _text(element)
                elif element.tag in _ARTICLES:
                    self.ids.append(_pmid(element))
                    yield element
                    element.clear()
                root = str(element.tag)
        except etree.XMLSyntaxError as error:
            self._broken(str(error.msg or "").split("\n")[0])
            return
        if refused and not self.ids:
            raise FetchError(self._source.name, f"PubMed says {refused[:200]!r}", status=self._status())
        require_ok(self._source, self._fetched)
        if not self.ids and root not in ("PubmedArticleSet", "PubmedBookArticleSet"):
            raise ParseError(self._source.name, f"it returned <{root.rpartition('}')[2][:40]}> and no articles")

    def _parse(self) -> Iterator[tuple[str, etree._Element]]:
        """The elements of an answer as they end. Nothing outside the answer is read, and no entity is expanded."""
        return iter(
            etree.iterparse(
                BytesIO(self._fetched.body),
                events=("end",),
                load_dtd=False,
                no_network=True,
                resolve_entities=False,
                huge_tree=False,
                remove_comments=True,
                remove_pis=True,
            )
        )

    def _broken(self, why: str) -> None:
        if not self.ids:
            if self._fetched.body.lstrip().startswith(b"{"):
                _answer(self._source, self._fetched)  # PubMed tells some errors in JSON, whatever was asked for
            require_ok(self._source, self._fetched)
            raise ParseError(self._source.name, f"it returned damaged XML ({why[:200]})")
        self.broken = f"the answer breaks off after {len(self.ids)} articles: {why[:200]}"

    def _status(self) -> int | None:
        return self._fetched.status if self._fetched.status != 200 else None


def _lost(request: Request, got: Sequence[str]) -> str | None:
    """Say which of the articles asked for did not come."""
    asked = parse_qs(urlsplit(request.url).query).get("id", [""])[0].split(",")
    missing = [one for one in asked if one and one not in set(got)]
    if not missing or not got:
        return f"none of {len(missing)} articles came" if missing else None
    named = ", ".join(missing[:_LOST_NAMED]) + (", …" if len(missing) > _LOST_NAMED else "")
    return f"{len(missing)} of {len(asked)} articles did not come: {named}"


def _entry(source: Source, article: etree._Element, *, retracted: bool) -> Entry:
    pmid = parse_pmid(_pmid(article))
    if pmid is None:
        raise EntryError(source.name, _pmid(article), "it has no PubMed id")
    body = _body(article)
    abstract = _abstract(article)
    arrived = _day(article.find("./*/History/PubMedPubDate[@PubStatus='entrez']"))
    arxiv = _arxiv(body)
    return Entry(
        source=source.name,
        entry_id=pmid,
        title=_title(article, body, retracted=retracted or _is_retracted(article)),
        abstract=abstract,
        authors=_authors(body),
        url=f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/",
        code_url=code_url(None, abstract),
        arxiv_id=arxiv[0] if arxiv else None,
        version=arxiv[1] if arxiv else None,
        doi=_doi(article, body),
        pmid=pmid,
        announced_on=arrived,
        published_at=earliest(_dates(body), arrived),
        journal_ref=_journal_ref(body),
        text_rank=1,  # an index: its titles and abstracts have its own spelling
    )


def _body(article: etree._Element) -> etree._Element:
    """The element with title and authors: of a journal's article, or of a book or its chapter."""
    for path in ("MedlineCitation/Article", "BookDocument"):
        found = article.find(path)
        if found is not None:
            return found
    return article


def _pmid(article: etree._Element) -> str:
    return _said(article, "MedlineCitation/PMID") or _said(article, "BookDocument/PMID") or ""


def _title(article: etree._Element, body: etree._Element, *, retracted: bool) -> str:
    """The title without PubMed's final stop, and without the brackets around one it translated."""
    names = ("ArticleTitle", "VernacularTitle", "Book/BookTitle")
    title = next((text for name in names if (text := _said(body, name)) and text != "Not Available"), "")
    bare = title[:-1].rstrip() if title.endswith(".") and not title.endswith("..") else title
    if bare.startswith("[") and bare.endswith("]") and "[" not in bare[1:]:
        bare = bare[1:-1].rstrip(". ")
    return notice_title(bare) if _retracts(article) else marked_title(bare, retracted=retracted)


def _abstract(article: etree._Element) -> str:
    """The abstract, a labelled section a line. One in another language or for laymen only where there is no other."""
    main = article.find(".//Abstract")
    if main is None:
        others = article.findall("MedlineCitation/OtherAbstract")
        main = next((one for one in others if one.get("Language", "eng") == "eng"), None)
    lines = []
    for section in main.iterfind("AbstractText") if main is not None else ():
        label, text = (section.get("Label") or "").strip().rstrip(":. "), _text(section)
        labelled = label and label.upper() != "UNLABELLED" and not text.startswith(f"{label}:")
        lines += [f"{label}: {text}" if labelled else text] if text else []
    return "\n".join(lines)


def _authors(body: etree._Element) -> tuple[str, ...]:
    """All authors, persons and groups; a name that PubMed found to be wrong is not one."""
    lists = [one for one in body.iterfind("AuthorList") if one.get("Type", "authors") == "authors"]
    lists = lists or body.findall("Book/AuthorList")
    names = []
    for author in (one for listed in lists for one in listed.iterfind("Author") if one.get("ValidYN") != "N"):
        given = _said(author, "ForeName") or _said(author, "Initials")
        person = " ".join(filter(None, (given, _said(author, "LastName"), _said(author, "Suffix"))))
        names.append(person or _said(author, "CollectiveName") or "")
    return tuple(filter(None, names))


def _doi(article: etree._Element, body: etree._Element) -> str | None:
    """The DOI of the article itself: the references below it have ids of the same kind."""
    own = (
        *article.iterfind("./PubmedData/ArticleIdList/ArticleId[@IdType='doi']"),
        *article.iterfind("./PubmedBookData/ArticleIdList/ArticleId[@IdType='doi']"),
        *body.iterfind("ArticleIdList/ArticleId[@IdType='doi']"),
        *(one for one in body.iterfind("ELocationID[@EIdType='doi']") if one.get("ValidYN") != "N"),
    )
    return next((doi for one in own if (doi := parse_doi(_text(one)))), None)


def _arxiv(body: etree._Element) -> tuple[str, int | None] | None:
    """The arXiv id of a preprint that PubMed has from arXiv, whose number stands where a page would."""
    for place in body.iterfind("ELocationID[@EIdType='pii']"):
        if _text(place).lower().startswith("arxiv:"):
            return parse_arxiv_id(_text(place))
    return None


def _dates(body: etree._Element) -> list[Parts]:
    online = body.iterfind("ArticleDate")
    printed = (*body.iterfind("Journal/JournalIssue/PubDate"), *body.iterfind("Book/PubDate"))
    contributed = body.iterfind("ContributionDate")
    return [_parts(one) for one in (*online, *printed, *contributed)]


def _day(element: etree._Element | None) -> date | None:
    parts = _parts(element) if element is not None else ()
    return date(*parts) if len(parts) == 3 else None


def _parts(element: etree._Element) -> Parts:
    """A date in parts, or a MedlineDate in words (`2026 Jun-Jul`, `2000 Jan 15-21`, `1998 Dec-1999 Jan`)."""
    year, month, day = (_said(element, name) for name in ("Year", "Month", "Day"))
    if year is None:
        found = _MEDLINE_DATE.match(_said(element, "MedlineDate") or "")
        year, month, day = found.groups() if found else (None, None, None)
    return known_parts(_number(year), _number(month) or _MONTHS.get((month or "")[:3].lower()), _number(day))


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) <= 4 else None


def _journal_ref(body: etree._Element) -> str | None:
    kinds = {_text(one) for one in body.iterfind("PublicationTypeList/PublicationType")}
    if "Preprint" in kinds:
        return None
    journal = _said(body, "Journal/ISOAbbreviation") or _said(body, "Journal/Title") or _said(body, "Book/BookTitle")
    printed = body.find("Journal/JournalIssue/PubDate")
    if printed is None:
        printed = body.find("Book/PubDate")
    parts = _parts(printed) if printed is not None else ()
    volume, issue = (_said(body, f"Journal/JournalIssue/{name}") for name in ("Volume", "Issue"))
    pages = _said(body, "Pagination/MedlinePgn")
    return journal_reference(journal, volume=volume, issue=issue, pages=pages, year=parts[0] if parts else None)


def _is_retracted(article: etree._Element) -> bool:
    kinds = (_text(one).lower() for one in article.iterfind(".//PublicationType"))
    links = {
        one.get("RefType") for one in article.iterfind("MedlineCitation/CommentsCorrectionsList/CommentsCorrections")
    }
    return bool(_RETRACTED_TYPES & set(kinds) or _RETRACTED_LINKS & links)


def _retracts(article: etree._Element) -> tuple[str, ...]:
    """The PubMed ids of the articles that this one, a notice, retracts."""
    path = "MedlineCitation/CommentsCorrectionsList/CommentsCorrections[@RefType='RetractionOf']/PMID"
    found = (parse_pmid(_text(one)) for one in article.iterfind(path))
    own = _pmid(article)
    return tuple(pmid for pmid in found if pmid and pmid != own)


def _said(element: etree._Element, path: str) -> str | None:
    found = element.find(path)
    return (_text(found) or None) if found is not None else None


def _text(element: etree._Element) -> str:
    """All text within, markup (italics, indices, MathML) left out, on one line."""
    return " ".join("".join(map(str, element.itertext())).split())
