"""Journals, preprint servers and blogs: whose paper an entry is, who wrote it, and what of its text is the abstract."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.parsing import Parser
from flows.sources import adapter_for
from flows.sources.interface import Harvest, Request
from storage.errors import FetchError, ParseError
from storage.identity import strong_aliases
from storage.model import Entry
from storage.settings import Limits
from tests.fetching_tools import a_source, fetched

ADAPTER = adapter_for("feed")
SOURCE = a_source(name="journal:tests", url="https://journal.test/feeds/rss")
NAMESPACES = (
    'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:prism="http://prismstandard.org/namespaces/basic/2.0/"'
    ' xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:atom="http://www.w3.org/2005/Atom"'
)


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with Parser(Limits()) as parser:
        yield parser


def read(
    parser: Parser, body: bytes | str, *, url: str = "https://journal.test/feeds/rss", status: int = 200
) -> Harvest:
    answer = fetched(body.encode() if isinstance(body, str) else body, url=url, status=status)
    return ADAPTER.read(SOURCE, Request(url=url, key="feed"), answer, parser)


def rss(*items: str) -> str:
    inside = "".join(f"<item>{item}</item>" for item in items)
    return f"<rss version='2.0' {NAMESPACES}><channel><title>t</title>{inside}</channel></rss>"


def entry_of(parser: Parser, *elements: str) -> Entry:
    """The entry that an RSS item with these elements and a title becomes."""
    (entry,) = read(parser, rss("<title>One</title>" + "".join(elements))).entries
    return entry


def link(url: str) -> str:
    return f"<link>{html.escape(url)}</link>"


def guid(text: str) -> str:
    return f"<guid isPermaLink='false'>{html.escape(text)}</guid>"


def description(markup: str) -> str:
    return f"<description>{html.escape(markup)}</description>"


# Whose paper it is


def test_prism_wins_over_identifier_link_and_guid(parser: Parser) -> None:
    elements = [
        guid("doi:10.1000/guid"),
        link("https://journal.test/doi/10.1000/link"),
        "<dc:identifier>doi:10.1000/identifier</dc:identifier>",
        "<prism:doi>10.1000/PRISM</prism:doi>",
    ]
    found = []
    while elements:
        found.append(entry_of(parser, *elements).doi)
        elements.pop()
    assert found == ["10.1000/prism", "10.1000/identifier", "10.1000/link", "10.1000/guid"]


@pytest.mark.parametrize(
    ("url", "doi"),
    [
        ("https://www.tandfonline.com/doi/full/10.1080/17538947.2026.2677950?af=R", "10.1080/17538947.2026.2677950"),
        ("https://onlinelibrary.wiley.com/doi/abs/10.1111/jvs.12120", "10.1111/jvs.12120"),
        ("http://onlinelibrary.wiley.com/resolve/doi?DOI=10.1111%2Fjvs.12120", "10.1111/jvs.12120"),
        ("https://www.aeaweb.org/articles?id=10.1257%2Faer.20250295", "10.1257/aer.20250295"),
        ("https://iopscience.iop.org/article/10.1088/1361-6501/ab1234/meta", "10.1088/1361-6501/ab1234"),
        ("https://www.frontiersin.test/articles/10.3389/fnins.2026.123/full", "10.3389/fnins.2026.123"),
        ("https://journal.test/doi/pdf/10.1000/abc.pdf", "10.1000/abc"),
        ("https://doi.org/10.1002/(sici)1097-4571(1999)50:1", "10.1002/(sici)1097-4571(1999)50:1"),
        ("https://journal.test/papers/12", None),
        ("https://[broken/10.1000/x", None),
    ],
)
def test_a_doi_in_a_link_is_found_without_what_hangs_on_it(parser: Parser, url: str, doi: str | None) -> None:
    assert entry_of(parser, link(url)).doi == doi


def test_a_preprint_servers_link_tells_doi_and_version(parser: Parser) -> None:
    url = "https://www.biorxiv.org/content/10.1101/2026.01.01.573850v2?rss=1"
    entry = entry_of(parser, link(url))
    assert (entry.doi, entry.version) == ("10.1101/2026.01.01.573850", 2)
    entry = entry_of(parser, link(url), "<dc:identifier>doi:10.1101/2026.01.01.573850</dc:identifier>")
    assert (entry.doi, entry.version) == ("10.1101/2026.01.01.573850", 2)


@pytest.mark.parametrize(
    ("elements", "alias"),
    [
        ([link("https://arxiv.org/abs/2606.00012v2")], "arxiv:2606.00012"),
        ([link("http://export.arxiv.org/pdf/hep-th/9901001v1")], "arxiv:hep-th/9901001"),
        ([guid("oai:arXiv.org:1410.7600v1")], "arxiv:1410.7600"),
        ([guid("https://arxiv.org/abs/2606.00012")], "arxiv:2606.00012"),
        ([link("https://doi.org/10.48550/arXiv.2606.00012")], "arxiv:2606.00012"),
        ([link("https://openreview.net/forum?id=aBc-12_x&noteId=z")], "openreview:aBc-12_x"),
        ([link("https://pubmed.ncbi.nlm.nih.gov/39000001/?utm_source=rss")], "pmid:39000001"),
        ([guid("pubmed:39000001")], "pmid:39000001"),
        ([link("https://doi.org/10.1000/x")], "doi:10.1000/x"),
    ],
)
def test_links_and_guids_that_name_a_paper_are_understood(parser: Parser, elements: list[str], alias: str) -> None:
    assert strong_aliases(entry_of(parser, *elements)) == (alias,)


@pytest.mark.parametrize(
    "url",
    [
        "https://blog.test/arxiv-2606.00012-explained",
        "https://blog.test/?see=https://arxiv.org/abs/2606.00012",
        "https://arxiv.org.evil.test/abs/2606.00012",
        "https://openreview.net/group?id=conference",
        "https://openreview.net/forum?id=../../x",
        "https://pubmed.ncbi.nlm.nih.gov/?term=12345",
    ],
)
def test_a_link_that_only_looks_like_a_name_names_no_paper(parser: Parser, url: str) -> None:
    assert strong_aliases(entry_of(parser, link(url))) == ()


def test_an_arxiv_link_brings_version_and_pdf(parser: Parser) -> None:
    entry = entry_of(parser, link("https://arxiv.org/abs/2606.00012v2"))
    assert (entry.version, entry.pdf_url) == (2, "https://arxiv.org/pdf/2606.00012")


def test_an_entry_with_neither_title_nor_id_costs_itself_only(parser: Parser) -> None:
    harvest = read(parser, rss("<description>x</description>", "<title>Two</title>"))
    assert [e.title for e in harvest.entries] == ["Two"]
    assert harvest.problems == ("entry number 1: it has neither title nor id",)
    assert harvest.listed == 2


def test_without_a_guid_the_link_is_the_id(parser: Parser) -> None:
    assert entry_of(parser, link("https://journal.test/1")).entry_id == "https://journal.test/1"


# Who wrote it


@pytest.mark.parametrize(
    ("creators", "authors"),
    [
        (["J. Tormo, B. Moreira, J.G. Pausas"], ("J. Tormo", "B. Moreira", "J.G. Pausas")),
        (["Ada Example, Béla Minta and Ceci Third"], ("Ada Example", "Béla Minta", "Ceci Third")),
        (["Pavana, M.; Roy,  Nirupam; Anupama, G. C."], ("M. Pavana", "Nirupam Roy", "G. C. Anupama")),
        (["Minta, Béla"], ("Béla Minta",)),
        (["Minta, Béla", "Example, Ada"], ("Béla Minta", "Ada Example")),
        (["Ada Example", "Béla Minta, Jr."], ("Ada Example", "Béla Minta, Jr.")),
        (["Ada Example (Inst, City)", "Béla Minta"], ("Ada Example", "Béla Minta")),
        (["牛福长", "刘晓琳"], ("牛福长", "刘晓琳")),
        (["Collaboration"], ("Collaboration",)),
        ([], ()),
    ],
)
def test_authors_come_one_by_one_with_the_surname_last(
    parser: Parser, creators: list[str], authors: tuple[str, ...]
) -> None:
    assert entry_of(parser, *(f"<dc:creator>{c}</dc:creator>" for c in creators)).authors == authors


# What is its text


def test_markup_becomes_text_and_tex_stays(parser: Parser) -> None:
    entry = entry_of(
        parser, description("<p>We show <i>x</i> $a&lt;b$ &amp; more.</p><p>Second.</p><script>x</script>")
    )
    assert entry.abstract == "We show x $a<b$ & more.\nSecond."


def test_tex_in_a_description_without_tags_stays(parser: Parser) -> None:
    assert (
        entry_of(parser, description("for $a<b$ and $b>c$ we show &alpha;")).abstract == "for $a<b$ and $b>c$ we show α"
    )


def test_a_title_with_markup_becomes_text(parser: Parser) -> None:
    (entry,) = read(parser, rss(f"<title>{html.escape('On <i>E. coli</i> &amp; H<sub>2</sub>O')}</title>")).entries
    assert entry.title == "On E. coli & H2O"


def test_the_summary_is_the_abstract_and_else_the_content(parser: Parser) -> None:
    content = f"<content:encoded>{html.escape('<p>Long</p>')}</content:encoded>"
    assert entry_of(parser, description("Short"), content).abstract == "Short"
    assert entry_of(parser, content).abstract == "Long"


def test_elseviers_masthead_is_no_abstract_but_names_the_authors(parser: Parser) -> None:
    masthead = (
        "<p>Publication date: July 2026</p><p><b>Source:</b> Applied Tests, Volume 198</p>"
        "<p>Author(s): Ada Example, Béla Minta</p>"
    )
    entry = entry_of(parser, description(masthead))
    assert (entry.abstract, entry.authors) == ("", ("Ada Example", "Béla Minta"))


def test_natures_masthead_is_cut_off(parser: Parser) -> None:
    masthead = '<p>Nature, Published online: 02 June 2026; <a href="x">doi:10.1038/s41586-026-1</a></p>'
    content = f"<content:encoded>{html.escape(masthead + 'A shorter proof.')}</content:encoded>"
    assert entry_of(parser, description(masthead), content).abstract == "A shorter proof."


def test_pubmeds_frame_is_cut_off(parser: Parser) -> None:
    markup = (
        "<p>J Tests. 2026 Jun 2. doi: 10.1000/x.</p><p><b>ABSTRACT</b></p><p>BACKGROUND: We test.</p>"
        '<p>PMID:<a href="x">39000001</a> | DOI:<a href="y">10.1000/x</a></p>'
    )
    assert entry_of(parser, description(markup)).abstract == "BACKGROUND: We test."


def test_a_citation_is_no_abstract(parser: Parser) -> None:
    markup = "Ada Example, Béla Minta<br/>Applied Tests, vol. 198, pp. 1-21<br/>DOI: 10.1000/x"
    entry = entry_of(parser, description(markup))
    assert (entry.abstract, entry.authors) == ("", ("Ada Example", "Béla Minta"))
    assert entry.journal_ref == "Applied Tests, vol. 198, pp. 1-21"


def test_lines_of_an_ordinary_abstract_stay(parser: Parser) -> None:
    text = "Our source: the sun.\nDOI counts are shown.\nAuthors agree, vol. 2 follows."
    assert entry_of(parser, description(text)).abstract == text


# The rest


def test_prism_elements_make_a_reference_and_a_rank(parser: Parser) -> None:
    prism = {"publicationName": "J. Tests", "volume": "24", "number": "6", "startingPage": "975", "endingPage": "1211"}
    elements = [f"<prism:{name}>{value}</prism:{name}>" for name, value in prism.items()]
    entry = entry_of(parser, *elements, "<prism:publicationDate>2026-06-02</prism:publicationDate>")
    assert (entry.journal_ref, entry.text_rank) == ("J. Tests 24(6), 975-1211 (2026)", 2)
    online_first = entry_of(parser, elements[0], "<prism:startingPage>n/a</prism:startingPage>")
    assert online_first.journal_ref == "J. Tests"
    assert entry_of(parser).text_rank == 1


def test_a_preprint_server_is_no_journal(parser: Parser) -> None:
    server = "<prism:publicationName>bioRxiv</prism:publicationName>"
    assert entry_of(parser, server, "<dc:identifier>doi:10.1101/2026.01.01</dc:identifier>").journal_ref is None


def test_relative_links_are_resolved_against_where_the_feed_came_from(parser: Parser) -> None:
    entry = read(parser, rss("<title>One</title><link>../papers/1</link>"), url="https://moved.test/f/rss").entries[0]
    assert entry.url == "https://moved.test/papers/1"


def test_a_mirrored_feed_keeps_its_own_addresses(parser: Parser) -> None:
    source = a_source(url="https://journal.test/feeds/rss", base_url="http://127.0.0.1:9/replay")
    answer = fetched(
        rss("<title>One</title><link>/papers/1</link>").encode(), url="http://127.0.0.1:9/replay/feeds/rss"
    )
    harvest = ADAPTER.read(source, Request(url=answer.url, key="feed"), answer, parser)
    assert harvest.entries[0].url == "https://journal.test/papers/1"


def test_licence_pdf_code_and_date_are_taken_along(parser: Parser) -> None:
    body = """<feed xmlns="http://www.w3.org/2005/Atom"><title>t</title><entry><id>1</id><title>One</title>
      <link href="/1"/><link rel="license" href="https://creativecommons.org/licenses/by/4.0/"/>
      <link rel="related" type="application/pdf" href="/1.pdf"/><category term="physics"/>
      <updated>2026-06-02T04:00:00Z</updated><summary>See https://github.com/lab/tool.</summary></entry></feed>"""
    (entry,) = read(parser, body).entries
    assert entry.license_url == "https://creativecommons.org/licenses/by/4.0/"
    assert entry.pdf_url == "https://journal.test/1.pdf"
    assert entry.code_url == "https://github.com/lab/tool"
    assert entry.published_at == datetime(2026, 6, 2, 4, 0, tzinfo=UTC)
    assert entry.categories == ("physics",)
    assert entry.announced_on is None


def test_xml_that_is_not_well_formed_is_a_note(parser: Parser) -> None:
    harvest = read(parser, rss("<title>A & B</title>"))
    assert harvest.entries[0].title == "A & B"
    assert harvest.notes[0].startswith("its XML is not well-formed (line ")


@pytest.mark.parametrize("status", [401, 403, 404, 410, 500])
def test_an_answer_that_is_no_success_is_a_status(parser: Parser, status: int) -> None:
    with pytest.raises(FetchError, match=f"HTTP {status}"):
        read(parser, rss("<title>One</title>"), status=status)


# All captures


def test_captured_journal_feeds_are_read(parser: Parser, unpack: Callable[[str], Path]) -> None:
    refused: dict[str, str] = {}
    entries: list[Entry] = []
    for path in sorted(unpack("journal_feeds").rglob("*.xml")):
        try:
            harvest = read(parser, path.read_bytes())
        except ParseError as error:
            refused[path.name] = error.reason
            continue
        assert harvest.problems == (), path.name
        entries += harvest.entries
    assert refused == {"non_feed.xml": "it returned XML with the root <searchResults>, not a feed"}
    assert len(entries) > 2_400
    assert share(entries, "title") == share(entries, "url") == share(entries, "entry_id") == 1
    assert share(entries, "doi") > 0.8
    assert share(entries, "authors") > 0.75
    assert share(entries, "published_at") > 0.8


def test_doi_links_of_captured_journals_give_a_doi_each(parser: Parser, unpack: Callable[[str], Path]) -> None:
    (folder,) = unpack("journal_feeds").rglob("fengziclassmate")
    entries = [e for path in sorted(folder.glob("*.xml")) for e in read(parser, path.read_bytes()).entries]
    assert len({e.doi for e in entries}) == len(entries)
    assert all(e.doi == e.entry_id.lower() for e in entries)
    assert share(entries, "authors") > 0.98


def share(entries: list[Entry], name: str) -> float:
    """The share of entries for which a field is known."""
    return sum(getattr(entry, name) not in (None, (), "") for entry in entries) / len(entries)
