"""PubMed: a search by days, articles and book chapters, retractions, answers that break off or say no."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.decide import is_withdrawn
from flows.parsing import Parser
from flows.sources.interface import Harvest, Request
from storage.errors import FetchError, ParseError, SourceError
from storage.model import Entry
from storage.settings import Limits
from tests.fetching_tools import fetched
from tests.registry_tools import ARTICLES, PUBMED, SEARCH, SEARCHED, asked, only

NOW = datetime(2026, 6, 2, 6, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with Parser(Limits()) as parser:
        yield parser


# PubMed: the search


def found(parser: Parser, result: Any, *, request: Request = SEARCHED, status: int = 200) -> Harvest:
    body = result if isinstance(result, bytes) else json.dumps({"esearchresult": result}).encode()
    return PUBMED.read(SEARCH, request, fetched(body, status=status), parser)


def test_a_search_is_by_the_day_of_entry_from_the_day_before_the_mark() -> None:
    (first,) = PUBMED.plan(SEARCH, now=NOW)
    (later,) = PUBMED.plan(SEARCH, now=NOW, mark="2026-06-01")
    assert asked(first) | {"tool": ""} == {
        "db": "pubmed",
        "term": "sleep[mesh] AND 2026[dp]",
        "datetype": "edat",
        "mindate": "2026/05/26",
        "maxdate": "2026/06/02",
        "retmax": "9999",
        "retmode": "json",
        "tool": "",
    }
    assert (asked(later)["mindate"], asked(later)["maxdate"]) == ("2026/05/31", "2026/06/02")
    (ahead,) = PUBMED.plan(SEARCH, now=NOW, mark="2026-07-01")
    assert (asked(ahead)["mindate"], asked(ahead)["maxdate"]) == ("2026/06/02", "2026/06/02")


def test_articles_are_asked_for_two_hundred_at_a_time_each_once(parser: Parser) -> None:
    ids = [str(41_000_000 + n) for n in range(450)]
    harvest = found(parser, {"count": "450", "idlist": [*reversed(ids), ids[0], "x"]})
    pages = [asked(request)["id"].split(",") for request in harvest.following]
    assert [len(page) for page in pages] == [200, 200, 50]
    assert [one for page in pages for one in page] == ids
    assert len({request.key for request in harvest.following}) == 3
    assert (harvest.entries, harvest.mark) == ((), "2026-06-02")


def test_a_search_without_a_find_is_whole(parser: Parser) -> None:
    empty = {"count": "0", "idlist": [], "errorlist": {"phrasesnotfound": ["slep"], "fieldsnotfound": []}}
    harvest = found(parser, empty)
    assert (harvest.following, harvest.problems, harvest.mark) == ((), (), "2026-06-02")
    assert harvest.notes == ("PubMed does not know, and ignores, 'slep'",)


def test_too_many_finds_are_searched_again_by_half_the_days(parser: Parser) -> None:
    many = {"count": "12000", "idlist": ["1", "2"]}
    halves = found(parser, many).following
    spans = [(asked(half)["mindate"], asked(half)["maxdate"]) for half in halves]
    assert spans == [("2026/05/26", "2026/05/29"), ("2026/05/30", "2026/06/02")]
    day = replace(SEARCHED, key="2026-06-02 search 2026-06-01 2026-06-01")
    harvest = found(parser, many, request=day)
    assert harvest.problems == ("only 2 of 12,000 articles of 2026-06-01 can be had: use a narrower query",)
    assert [asked(request)["id"] for request in harvest.following] == ["1,2"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"error": "API rate limit exceeded", "count": "4"}', 429, "PubMed says 'API rate limit exceeded'"),
        (b'{"error": "API rate limit exceeded"}', 200, "PubMed says 'API rate limit exceeded'"),
        (b'{"esearchresult": {"ERROR": "Search Backend\\n failed"}}', 200, "PubMed says 'Search Backend failed'"),
        (b'{"header": {}}', 200, "it returned JSON that is no search result"),
        (b'{"esearchresult": {"ERROR": "cut', 200, "it returned damaged JSON"),
        (b"<html>", 502, "HTTP 502: the server fails"),
    ],
)
def test_a_failed_search_has_pubmeds_reason(parser: Parser, body: bytes, status: int, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        found(parser, body, status=status)
    assert caught.value.reason.startswith(said)
    if "rate limit" in said:
        assert isinstance(caught.value, FetchError)
        assert caught.value.status == 429


# PubMed: one article


def articles(parser: Parser, inner: str, *, request: Request = ARTICLES, status: int = 200) -> Harvest:
    body = f"<?xml version='1.0'?><PubmedArticleSet>{inner}</PubmedArticleSet>".encode()
    return PUBMED.read(SEARCH, request, fetched(body, status=status), parser)


TITLE = "<ArticleTitle>On the length of <i>titles</i>.</ArticleTitle>"
PRINTED = "<PubDate><Year>2026</Year><Month>Jun</Month></PubDate>"
ABSTRACT = (
    "<Abstract><AbstractText Label='BACKGROUND' NlmCategory='BACKGROUND'>Titles are\n long.</AbstractText>"
    "<AbstractText Label='METHODS:'>We count (CO<sub>2</sub>).</AbstractText><AbstractText Label='UNLABELLED'>So."
    "</AbstractText><AbstractText Label='NONE'/><CopyrightInformation>All rights.</CopyrightInformation></Abstract>"
)
AUTHORS = (
    "<AuthorList CompleteYN='Y'><Author ValidYN='Y'><LastName>Example</LastName><ForeName>Ada B</ForeName>"
    "<Suffix>Jr</Suffix></Author><Author ValidYN='N'><LastName>Exampel</LastName></Author><Author><LastName>Minta"
    "</LastName><Initials>B</Initials></Author><Author><CollectiveName>Test Group</CollectiveName></Author>"
    "</AuthorList>"
)


def article(
    *,
    pmid: str = "41000001",
    title: str = TITLE,
    printed: str = PRINTED,
    abstract: str = ABSTRACT,
    extra: str = "",
    kinds: str = "Journal Article",
    links: str = "",
) -> str:
    """An article as efetch writes it, with a reference that has ids of its own."""
    types = "".join(f"<PublicationType>{kind}</PublicationType>" for kind in kinds.split("|"))
    return (
        f"<PubmedArticle><MedlineCitation><PMID Version='1'>{pmid}</PMID><Article><Journal><JournalIssue><Volume>12"
        f"</Volume><Issue>3</Issue>{printed}</JournalIssue><Title>Journal of Tests</Title><ISOAbbreviation>J Tests"
        f"</ISOAbbreviation></Journal>{title}<Pagination><MedlinePgn>45-67</MedlinePgn></Pagination>{abstract}{AUTHORS}"
        f"<PublicationTypeList>{types}</PublicationTypeList>{extra}</Article><CommentsCorrectionsList>{links}"
        f"</CommentsCorrectionsList></MedlineCitation><PubmedData><History><PubMedPubDate PubStatus='entrez'><Year>2026"
        f"</Year><Month>6</Month><Day>1</Day></PubMedPubDate></History><ArticleIdList><ArticleId IdType='pubmed'>{pmid}"
        f"</ArticleId><ArticleId IdType='doi'>10.1000/ABC.1</ArticleId></ArticleIdList><ReferenceList><Reference>"
        f"<ArticleIdList><ArticleId IdType='doi'>10.1000/cited</ArticleId></ArticleIdList></Reference></ReferenceList>"
        f"</PubmedData></PubmedArticle>"
    )


def test_an_article_is_read_in_full(parser: Parser) -> None:
    assert only(articles(parser, article())) == Entry(
        source="search",
        entry_id="41000001",
        title="On the length of titles",
        abstract="BACKGROUND: Titles are long.\nMETHODS: We count (CO2).\nSo.",
        authors=("Ada B Example Jr", "B Minta", "Test Group"),
        url="https://pubmed.ncbi.nlm.nih.gov/41000001/",
        doi="10.1000/abc.1",
        pmid="41000001",
        announced_on=date(2026, 6, 1),
        published_at=datetime(2026, 6, 1, tzinfo=UTC),  # "June 2026", and it came in on the first
        journal_ref="J Tests 12(3), 45-67 (2026)",
        text_rank=1,
    )


@pytest.mark.parametrize(
    ("printed", "online", "day"),
    [
        ("<Year>2026</Year><Month>Jun</Month><Day>9</Day>", "", date(2026, 6, 9)),
        ("<Year>2026</Year><Month>06</Month><Day>09</Day>", "", date(2026, 6, 9)),
        ("<Year>2026</Year><Month>Sep</Month>", "<Year>2026</Year><Month>05</Month><Day>30</Day>", date(2026, 5, 30)),
        ("<Year>2026</Year><Season>Summer</Season>", "", date(2026, 6, 1)),
        ("<Year>2025</Year><Month>Dec</Month>", "", None),
        ("<MedlineDate>2026 Jul-Aug</MedlineDate>", "", date(2026, 6, 1)),
        ("<MedlineDate>2000 Jan 15-21</MedlineDate>", "", date(2000, 1, 15)),
        ("<MedlineDate>1998 Dec-1999 Jan</MedlineDate>", "", None),
        ("<MedlineDate>Spring 2001</MedlineDate>", "", None),
        ("<Year>20x6</Year>", "", None),
        ("<Year>2026</Year><Month>Feb</Month><Day>30</Day>", "", None),
        ("", "", None),
    ],
)
def test_a_day_is_published_only_where_it_is_known(parser: Parser, printed: str, online: str, day: date | None) -> None:
    extra = f"<ArticleDate DateType='Electronic'>{online}</ArticleDate>" if online else ""
    entry = only(articles(parser, article(printed=f"<PubDate>{printed}</PubDate>", extra=extra)))
    assert (entry.published_at.date() if entry.published_at else None) == day


@pytest.mark.parametrize(
    ("title", "read"),
    [
        ("<ArticleTitle>[On titles].</ArticleTitle>", "On titles"),
        ("<ArticleTitle>[On titles.]</ArticleTitle>", "On titles"),
        ("<ArticleTitle>[3H] and [14C]</ArticleTitle>", "[3H] and [14C]"),
        ("<ArticleTitle>And so on...</ArticleTitle>", "And so on..."),
        ("<ArticleTitle>Is it?</ArticleTitle>", "Is it?"),
        ("<ArticleTitle/><VernacularTitle>Über Titel.</VernacularTitle>", "Über Titel"),
        ("<ArticleTitle>Not Available</ArticleTitle><VernacularTitle>Über Titel.</VernacularTitle>", "Über Titel"),
        ("", ""),
    ],
)
def test_titles_lose_what_pubmed_puts_around_them(parser: Parser, title: str, read: str) -> None:
    assert only(articles(parser, article(title=title))).title == read


def test_an_abstract_in_another_language_is_none(parser: Parser) -> None:
    assert only(articles(parser, article(abstract=""))).abstract == ""
    other = "<OtherAbstract Language='{}'><AbstractText>In short.</AbstractText></OtherAbstract></MedlineCitation>"
    for language, abstract in (("spa", ""), ("eng", "In short.")):
        body = article(abstract="").replace("</MedlineCitation>", other.format(language))
        assert only(articles(parser, body)).abstract == abstract


def test_a_preprint_from_arxiv_has_its_id_and_no_journal(parser: Parser) -> None:
    place = "<ELocationID EIdType='pii' ValidYN='Y'>arXiv:2606.00012v2</ELocationID>"
    entry = only(articles(parser, article(kinds="Journal Article|Preprint", extra=place)))
    assert (entry.arxiv_id, entry.version, entry.journal_ref) == ("2606.00012", 2, None)


def test_the_doi_is_the_articles_own(parser: Parser) -> None:
    without = article().replace("<ArticleId IdType='doi'>10.1000/ABC.1</ArticleId>", "")
    assert only(articles(parser, without)).doi is None
    places = (
        "<ELocationID EIdType='doi' ValidYN='N'>10.1000/wrong</ELocationID>"
        "<ELocationID EIdType='doi' ValidYN='Y'>10.1000/right</ELocationID></Article>"
    )
    assert only(articles(parser, without.replace("</Article>", places))).doi == "10.1000/right"


def test_a_chapter_of_a_book_is_read(parser: Parser) -> None:
    chapter = (
        "<PubmedBookArticle><BookDocument><PMID>20301295</PMID><ArticleIdList><ArticleId IdType='bookaccession'>NBK1"
        "</ArticleId><ArticleId IdType='doi'>10.1000/book.1</ArticleId></ArticleIdList><Book><BookTitle>Reviews"
        "</BookTitle><PubDate><Year>1993</Year></PubDate><AuthorList Type='editors'><Author><LastName>Editor</LastName>"
        "</Author></AuthorList></Book><ArticleTitle>A syndrome</ArticleTitle><AuthorList Type='authors'><Author>"
        "<LastName>Example</LastName><ForeName>Ada</ForeName></Author></AuthorList><Abstract><AbstractText>Short."
        "</AbstractText></Abstract><ContributionDate><Year>2026</Year><Month>5</Month><Day>30</Day></ContributionDate>"
        "</BookDocument><PubmedBookData><History><PubMedPubDate PubStatus='entrez'><Year>2026</Year><Month>6</Month>"
        "<Day>1</Day></PubMedPubDate></History></PubmedBookData></PubmedBookArticle>"
    )
    entry = only(articles(parser, chapter, request=replace(ARTICLES, url="https://eutils.test/?id=20301295")))
    assert (entry.pmid, entry.doi, entry.title, entry.authors) == (
        "20301295",
        "10.1000/book.1",
        "A syndrome",
        ("Ada Example",),
    )
    assert (entry.abstract, entry.announced_on, entry.journal_ref) == ("Short.", date(2026, 6, 1), "Reviews (1993)")
    assert entry.published_at == datetime(2026, 5, 30, tzinfo=UTC)
    whole = chapter.replace(
        "<ArticleTitle>A syndrome</ArticleTitle><AuthorList Type='authors'>", "<AuthorList Type='x'>"
    )
    entry = only(articles(parser, whole, request=replace(ARTICLES, url="https://eutils.test/?id=20301295")))
    assert (entry.title, entry.authors) == ("Reviews", ("Editor",))


def test_an_article_without_an_id_costs_itself_only(parser: Parser) -> None:
    harvest = articles(parser, article(pmid="x") + article())
    assert [e.pmid for e in harvest.entries] == ["41000001"]
    assert harvest.problems == ("entry x: it has no PubMed id",)


# PubMed: retractions


@pytest.mark.parametrize(
    ("kinds", "link"),
    [("Retracted Publication", ""), ("Journal Article", "RetractionIn"), ("Review", "RetractedandRepublishedIn")],
)
def test_a_retracted_article_is_one_in_its_title(parser: Parser, kinds: str, link: str) -> None:
    links = f"<CommentsCorrections RefType='{link}'><PMID>41000009</PMID></CommentsCorrections>"
    entry = only(articles(parser, article(kinds=kinds, links=links)))
    assert entry.title == "RETRACTED: On the length of titles"
    assert is_withdrawn(entry)


@pytest.mark.parametrize("link", ["ErratumIn", "CommentIn", "UpdateIn", "PartialRetractionIn", "Cites"])
def test_other_links_retract_nothing(parser: Parser, link: str) -> None:
    links = f"<CommentsCorrections RefType='{link}'><PMID>41000009</PMID></CommentsCorrections>"
    harvest = articles(parser, article(links=links))
    assert not is_withdrawn(only(harvest))
    assert harvest.following == ()


def test_what_a_notice_retracts_is_asked_for_however_old_it_is(parser: Parser) -> None:
    links = "<CommentsCorrections RefType='RetractionOf'><PMID>9000001</PMID></CommentsCorrections>"
    title = "<ArticleTitle>Retracted: On titles.</ArticleTitle>"
    harvest = articles(parser, article(title=title, links=links))
    assert only(harvest).title == "Retraction notice: On titles"
    (request,) = harvest.following
    assert asked(request)["id"] == "9000001"
    old = articles(parser, article(pmid="9000001"), request=request)
    assert (only(old).title, old.following) == ("RETRACTED: On the length of titles", ())


# PubMed: answers that are not whole


def test_an_answer_that_breaks_off_keeps_its_whole_articles_and_leaves_no_mark(parser: Parser) -> None:
    body = f"<PubmedArticleSet>{article()}{article(pmid='41000002')}".encode()[:-40]
    harvest = PUBMED.read(SEARCH, ARTICLES, fetched(body), parser)
    assert [e.pmid for e in harvest.entries] == ["41000001"]
    (problem,) = harvest.problems
    assert problem.startswith("the answer breaks off after 1 articles: ")
    assert harvest.mark is None


def test_what_was_asked_for_and_did_not_come_is_told(parser: Parser) -> None:
    request = replace(ARTICLES, url="https://eutils.test/?id=41000001,5,6,7,8")
    harvest = articles(parser, article(), request=request)
    assert harvest.problems == ("4 of 5 articles did not come: 5, 6, 7, …",)
    assert articles(parser, "", request=request).problems == ("none of 5 articles came",)


@pytest.mark.parametrize(
    ("body", "status", "error", "said"),
    [
        (b"<eFetchResult><ERROR>UID=0: cannot\n get</ERROR></eFetchResult>", 200, FetchError, "'UID=0: cannot get'"),
        (b"<eFetchResult><ERROR>no</ERROR></eFetchResult>", 400, FetchError, "PubMed says 'no'"),
        (b'{"error": "API rate limit exceeded"}', 200, FetchError, "PubMed says 'API rate limit exceeded'"),
        (b"<html><p>Busy</html>", 503, FetchError, "HTTP 503: the server fails"),
        (b"<html><p>Busy</p></html>", 200, ParseError, "it returned <html> and no articles"),
        (b"", 200, ParseError, "it returned damaged XML"),
        (b"Cannot retrieve", 200, ParseError, "it returned damaged XML"),
        (b"<feed xmlns='http://www.w3.org/2005/Atom'/>", 200, ParseError, "it returned <feed> and no articles"),
    ],
)
def test_an_answer_without_articles_has_one_clear_line(
    parser: Parser, body: bytes, status: int, error: type[SourceError], said: str
) -> None:
    with pytest.raises(error) as caught:
        PUBMED.read(SEARCH, ARTICLES, fetched(body, status=status), parser)
    assert said in caught.value.reason
    assert "\n" not in caught.value.reason


def test_no_entity_is_expanded_and_no_file_is_read(parser: Parser, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    doctype = f"<!DOCTYPE x [<!ENTITY a 'boom'><!ENTITY b '&a;&a;&a;'><!ENTITY c SYSTEM '{secret.as_uri()}'>]>"
    title = "<ArticleTitle>T &b;&c;</ArticleTitle>"
    body = f"{doctype}<PubmedArticleSet>{article(title=title)}</PubmedArticleSet>".encode()
    entry = only(PUBMED.read(SEARCH, ARTICLES, fetched(body), parser))
    assert "boom" not in entry.title
    assert "secret" not in entry.title
