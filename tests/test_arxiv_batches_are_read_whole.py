"""arXiv's feed: every entry of every captured batch, text for text as the XML has it; errors in arXiv's own words."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from lxml import etree

from flows.parsing import Parser
from flows.sources import adapter_for
from flows.sources.interface import Harvest, Request
from storage.errors import FetchError, ParseError, SourceError
from storage.model import Entry
from storage.settings import Limits
from storage.text import clean
from tests.fetching_tools import a_source, fetched

ADAPTER = adapter_for("arxiv-rss")
SOURCE = a_source(name="arxiv-rss:cs.CL", kind="arxiv-rss", category="cs.CL")
REQUEST = Request(url="https://rss.arxiv.org/rss/cs.CL", key="cs.CL")
NOW = datetime(2026, 6, 2, 6, 0, tzinfo=UTC)
_ABSTRACT = "\nAbstract: "


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with Parser(Limits()) as parser:
        yield parser


def read(parser: Parser, body: bytes | str, status: int = 200) -> Harvest:
    answer = fetched(body.encode() if isinstance(body, str) else body, status=status)
    return ADAPTER.read(SOURCE, REQUEST, answer, parser)


def batch(items: str, *, day: str = "Tue, 02 Jun 2026 00:00:00 -0400") -> str:
    namespaces = "xmlns:arxiv='http://arxiv.org/schemas/atom' xmlns:dc='http://purl.org/dc/elements/1.1/'"
    head = f"<title>cs.CL updates on arXiv.org</title><pubDate>{day}</pubDate>"
    return f"<rss {namespaces} version='2.0'><channel>{head}{items}</channel></rss>"


def item(number: str = "2606.00012", version: str = "v1", *, extra: str = "", guid: str | None = None) -> str:
    guid = f"oai:arXiv.org:{number}{version}" if guid is None else guid
    return (
        f"<item><title>On the Length of Titles</title><link>https://arxiv.org/abs/{number}</link>"
        f"<description>arXiv:{number}{version} Announce Type: new \nAbstract: We show $x&lt;y$.</description>"
        f"<guid isPermaLink='false'>{guid}</guid><category>cs.CL</category><category>cs.AI</category>"
        f"<pubDate>Tue, 02 Jun 2026 00:00:00 -0400</pubDate><arxiv:announce_type>new</arxiv:announce_type>"
        f"<dc:rights>http://creativecommons.org/licenses/by/4.0/</dc:rights>"
        f"<dc:creator>Ada Example (Inst, City), Béla Minta</dc:creator>{extra}</item>"
    )


def only(harvest: Harvest) -> Entry:
    (entry,) = harvest.entries
    return entry


# One entry


def test_one_unconditional_request_per_category() -> None:
    source = a_source(kind="arxiv-rss", category="cs.AI+cs.LG")
    (request,) = ADAPTER.plan(source, now=NOW)
    assert request == Request(url="https://rss.arxiv.org/rss/cs.AI+cs.LG", key="cs.AI+cs.LG", conditional=False)


def test_an_entry_is_read_in_full(parser: Parser) -> None:
    extra = "<arxiv:DOI>10.1000/ABC</arxiv:DOI><arxiv:journal_reference>J. Tests 1 (2026)</arxiv:journal_reference>"
    assert only(read(parser, batch(item(version="v3", extra=extra)))) == Entry(
        source="arxiv-rss:cs.CL",
        entry_id="oai:arXiv.org:2606.00012v3",
        title="On the Length of Titles",
        abstract="We show $x<y$.",
        authors=("Ada Example", "Béla Minta"),
        categories=("cs.CL", "cs.AI"),
        url="https://arxiv.org/abs/2606.00012",
        pdf_url="https://arxiv.org/pdf/2606.00012v3",
        arxiv_id="2606.00012",
        version=3,
        doi="10.1000/abc",
        announce_type="new",
        announced_on=date(2026, 6, 2),
        journal_ref="J. Tests 1 (2026)",
        license_url="http://creativecommons.org/licenses/by/4.0/",
        text_rank=3,
    )


def test_an_old_id_keeps_its_archive(parser: Parser) -> None:
    entry = only(read(parser, batch(item("hep-th/9901001", "v2"))))
    assert (entry.arxiv_id, entry.version, entry.url) == ("hep-th/9901001", 2, "https://arxiv.org/abs/hep-th/9901001")


def test_an_id_that_ends_in_zeros_keeps_them(parser: Parser) -> None:
    assert only(read(parser, batch(item("1410.7600")))).arxiv_id == "1410.7600"


def test_without_a_guid_the_heading_and_then_the_link_name_the_paper(parser: Parser) -> None:
    entry = only(read(parser, batch(item(version="v2", guid=""))))
    assert (entry.arxiv_id, entry.version) == ("2606.00012", 2)
    bare = batch(item(guid="")).replace("arXiv:2606.00012v1 Announce Type: new \nAbstract: ", "")
    entry = only(read(parser, bare))
    assert (entry.arxiv_id, entry.version, entry.abstract) == ("2606.00012", None, "We show $x<y$.")


def test_several_creators_are_as_good_as_one(parser: Parser) -> None:
    entry = only(read(parser, batch(item(extra="<dc:creator>Ceci Third (X, Y)</dc:creator>"))))
    assert entry.authors == ("Ada Example", "Béla Minta", "Ceci Third")


def test_code_named_in_the_abstract_is_linked(parser: Parser) -> None:
    body = batch(item()).replace("We show", "Code: https://github.com/lab/tool. We show")
    assert only(read(parser, body)).code_url == "https://github.com/lab/tool"


def test_only_the_heading_is_taken_off_an_abstract(parser: Parser) -> None:
    body = batch(item()).replace("We show", "Abstract: arXiv:1 Announce Type: x  \n &lt;p&gt;We")
    assert only(read(parser, body)).abstract == "Abstract: arXiv:1 Announce Type: x  \n <p>We $x<y$."


def test_an_entry_without_an_id_costs_itself_only(parser: Parser) -> None:
    nameless = item(guid="no id").replace("2606.00012", "nothing")
    harvest = read(parser, batch(nameless + item()))
    assert only(harvest).arxiv_id == "2606.00012"
    assert harvest.problems == ("entry no id: it has no arXiv id",)
    assert harvest.listed == 2


# One batch


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("Tue, 02 Jun 2026 00:00:00 -0400", date(2026, 6, 2)),
        ("Tue, 02 Jun 2026 04:00:00 GMT", date(2026, 6, 2)),
        ("Fri, 02 Jan 2026 00:00:00 -0500", date(2026, 1, 2)),
        ("Fri, 02 Jan 2026 04:59:59 GMT", date(2026, 1, 1)),
    ],
)
def test_the_batch_day_is_the_day_in_new_york(parser: Parser, written: str, day: date) -> None:
    assert read(parser, batch("", day=written)).batch_on == day


def test_an_empty_batch_is_a_note(parser: Parser) -> None:
    harvest = read(parser, batch("", day="Sun, 07 Jun 2026 00:00:00 -0400"))
    assert harvest == Harvest(
        entries=(), listed=0, notes=("no papers announced on 2026-06-07",), batch_on=date(2026, 6, 7)
    )


def test_a_list_that_arxiv_cut_is_a_problem(parser: Parser) -> None:
    body = batch("".join(item(f"2606.{n:05}") for n in range(2_000)))
    with Parser(Limits(parse_cpu_seconds=60)) as patient:
        harvest = read(patient, body)
    assert len(harvest.entries) == 2_000
    assert harvest.problems == ("the list is cut at 2,000 entries, new papers first: use a narrower category",)


def test_a_batch_that_breaks_off_keeps_its_whole_entries(parser: Parser) -> None:
    body = batch(item() + item("2606.00013"))
    harvest = read(parser, body[: body.rindex("Abstract: We show") + 15])
    assert [e.arxiv_id for e in harvest.entries] == ["2606.00012"]
    assert harvest.problems[0].startswith("the feed breaks off after 1 entry: no </rss>")


# Failures


def test_an_html_error_page_is_a_status(parser: Parser) -> None:
    with pytest.raises(FetchError, match="HTTP 500: the server fails"):
        read(parser, "<!doctype html><title>500 Internal Server Error</title>", status=500)


def test_a_bad_request_without_an_explanation_is_a_status(parser: Parser) -> None:
    with pytest.raises(FetchError, match="HTTP 400"):
        read(parser, "<html>Bad Request</html>", status=400)


def test_a_bad_request_with_a_batch_is_a_status_all_the_same(parser: Parser) -> None:
    with pytest.raises(FetchError, match="HTTP 400"):
        read(parser, batch(item()), status=400)


def test_an_html_page_with_status_200_is_no_feed(parser: Parser) -> None:
    with pytest.raises(ParseError, match="it returned an HTML page"):
        read(parser, "<html><title>Maintenance</title></html>")


def test_an_error_entry_is_an_error(parser: Parser) -> None:
    body = batch("<item><title>Error</title><description>incorrect id format</description></item>")
    with pytest.raises(SourceError, match="arXiv refuses the query: incorrect id format"):
        read(parser, body)


# All captures


def captures(folder: Path, pattern: str) -> list[tuple[str, bytes]]:
    paths = sorted(folder.rglob(pattern))
    return [(p.name, gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes()) for p in paths]


def child(element: etree._Element, name: str) -> str:
    found = element.find(f"{{*}}{name}")
    return (found.text or "").strip() if found is not None else ""


def categories(element: etree._Element) -> tuple[str, ...]:
    return tuple(str(c.text or c.get("term")) for c in element.iterfind("{*}category"))


@pytest.mark.slow
def test_every_captured_entry_is_read_as_the_xml_says_it(parser: Parser, unpack: Callable[[str], Path]) -> None:
    """RSS and Atom, 15 days and the edge cases, against lxml: no title, abstract, author or category differs."""
    checked, limits = 0, Limits()
    for name, body in captures(unpack("arxiv_rss_replay"), "20*.xml*"):
        harvest = read(parser, body)
        root = etree.fromstring(body)
        elements = [*root.iterfind(".//item"), *root.iterfind("{http://www.w3.org/2005/Atom}entry")]
        assert harvest.problems == (), name
        assert harvest.batch_on == date.fromisoformat(name[:10]), name
        assert len(elements) == harvest.listed == len(harvest.entries), name
        for element, entry in zip(elements, harvest.entries, strict=True):
            said = child(element, "description") or child(element, "summary")
            assert entry.abstract == said.partition(_ABSTRACT)[2].strip(), (name, entry.entry_id)
            assert entry.title == child(element, "title"), (name, entry.entry_id)
            assert entry.categories == categories(element), (name, entry.entry_id)
            assert entry.announce_type == child(element, "announce_type"), (name, entry.entry_id)
            assert entry.license_url == child(element, "rights"), (name, entry.entry_id)
            assert f"oai:arXiv.org:{entry.arxiv_id}v{entry.version}" == entry.entry_id, name
            assert entry.announced_on == harvest.batch_on, (name, entry.entry_id)
            creator = " ".join(child(element, "creator").partition(" (")[0].split())
            assert ", ".join(entry.authors) == creator, (name, entry.entry_id)
            assert clean(entry, limits).title, (name, entry.entry_id)
            checked += 1
    assert checked > 14_000


def test_a_captured_query_error_is_told_in_arxivs_words(parser: Parser, unpack: Callable[[str], Path]) -> None:
    said = {}
    for name, body in captures(unpack("arxiv_rss_replay"), "err_*_400.xml"):
        with pytest.raises(SourceError) as caught:
            read(parser, body, status=400)
        said[name] = caught.value.reason
    assert len(said) == 4
    assert said["err_badarchive_400.xml"].startswith("arXiv refuses the query: Bad archive 'notacat'.")
    assert "Unsupported feed version" in said["err_version_400.xml"]


def test_the_same_batch_as_rss_and_as_atom_is_the_same(parser: Parser, unpack: Callable[[str], Path]) -> None:
    folder = unpack("arxiv_rss_replay")
    pairs = [(p, p.with_name(p.name.replace("_rss_", "_atom_"))) for p in sorted(folder.rglob("*_rss_*"))]
    both = [(rss, atom) for rss, atom in pairs if atom.exists()][:12]
    assert both
    for rss, atom in both:
        read_both = [
            read(parser, gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes()) for p in (rss, atom)
        ]
        assert read_both[0].entries == read_both[1].entries, rss.name
