"""RSS, RDF, Atom and JSON Feed come back as one type, texts as written; what is no feed says so in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from flows.parsing import ParsedEntry, ParsedFeed, ParsedLink, Parser
from storage.errors import ParseError
from storage.settings import Limits


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with Parser(Limits()) as parser:
        yield parser


def parse(parser: Parser, body: bytes | str, content_type: str | None = None) -> ParsedFeed:
    return parser.parse("journal", body.encode() if isinstance(body, str) else body, content_type=content_type)


def reason(parser: Parser, body: bytes | str) -> str:
    with pytest.raises(ParseError) as caught:
        parse(parser, body)
    return caught.value.reason


def only(feed: ParsedFeed) -> ParsedEntry:
    (entry,) = feed.entries
    return entry


def rss(item: str, *, namespaces: str = "", channel: str = "") -> str:
    return f"<rss version='2.0' {namespaces}><channel><title>t</title>{channel}<item>{item}</item></channel></rss>"


DC = "xmlns:dc='http://purl.org/dc/elements/1.1/'"
PRISM = "xmlns:prism='http://prismstandard.org/namespaces/basic/2.0/'"

RSS20 = rss(
    "<title>On x &lt; y</title><link>https://journal.test/1</link><guid isPermaLink='false'>g1</guid>"
    "<description>&lt;p&gt;Text&lt;/p&gt;</description><pubDate>Tue, 02 Jun 2026 00:00:00 -0400</pubDate>"
    "<category>physics</category><category>math</category>"
    "<dc:creator>Ada Example</dc:creator><dc:creator>Béla Minta</dc:creator><prism:doi>10.1000/x</prism:doi>",
    namespaces=f"{DC} {PRISM}",
)

ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>t</title><id>f</id><updated>2026-06-02T04:00:00Z</updated>
<entry><id>e1</id><title type="html">On &lt;i&gt;x&lt;/i&gt;</title><link href="/1"/>
<link rel="license" href="https://creativecommons.org/licenses/by/4.0/"/><author><name>Ada Example</name>
<email>ada@lab.example</email></author><author><name>Béla Minta</name></author><category term="cs.CL"/>
<summary type="text">a $x&lt;y$ b</summary><published>2026-06-02T06:00:00+02:00</published>
<updated>2026-06-03T04:00:00Z</updated></entry></feed>"""

RDF = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/"><channel rdf:about="https://journal.test/"><title>t</title></channel>
<item rdf:about="https://journal.test/1"><title>One</title><link>https://journal.test/1</link>
<dc:identifier>doi:10.1000/x</dc:identifier><dc:date>2026-06-02</dc:date></item></rdf:RDF>"""


def json_feed(*items: Any, version: str = "https://jsonfeed.org/version/1.1") -> str:
    return json.dumps({"version": version, "title": "t", "items": list(items)})


# One type for all


def test_rss_2_is_read(parser: Parser) -> None:
    feed = parse(parser, RSS20)
    entry = only(feed)
    assert (feed.version, feed.title, feed.bozo, feed.problem) == ("rss20", "t", None, None)
    assert (entry.entry_id, entry.link, entry.title) == ("g1", "https://journal.test/1", "On x < y")
    assert (entry.summary, entry.summary_type) == ("<p>Text</p>", "text/html")
    assert entry.authors == ("Ada Example", "Béla Minta")
    assert entry.tags == ("physics", "math")
    assert entry.published == datetime(2026, 6, 2, 4, 0, tzinfo=UTC)
    assert entry.updated is None
    assert entry.said("prism_doi") == "10.1000/x"
    assert entry.said("dc_source") is None


def test_atom_is_read(parser: Parser) -> None:
    feed = parse(parser, ATOM)
    entry = only(feed)
    assert (feed.version, feed.updated) == ("atom10", datetime(2026, 6, 2, 4, 0, tzinfo=UTC))
    assert (entry.title, entry.title_type) == ("On <i>x</i>", "text/html")
    assert (entry.summary, entry.summary_type) == ("a $x<y$ b", "text/plain")
    assert entry.authors == ("Ada Example", "Béla Minta")
    assert entry.link == "/1"
    assert ParsedLink("https://creativecommons.org/licenses/by/4.0/", "license", "text/html") in entry.links
    assert entry.published == datetime(2026, 6, 2, 4, 0, tzinfo=UTC)
    assert entry.updated == datetime(2026, 6, 3, 4, 0, tzinfo=UTC)


def test_rss_1_is_read(parser: Parser) -> None:
    feed = parse(parser, RDF)
    entry = only(feed)
    assert (feed.version, entry.entry_id, entry.title) == ("rss10", "https://journal.test/1", "One")
    assert entry.said("dc_identifier") == "doi:10.1000/x"
    assert entry.updated == datetime(2026, 6, 2, tzinfo=UTC)


@pytest.mark.parametrize("version", ["0.91", "0.92"])
def test_rss_0_9x_is_read(parser: Parser, version: str) -> None:
    feed = parse(parser, RSS20.replace("2.0'", f"{version}'", 1))
    assert feed.version.startswith("rss09")
    assert only(feed).title == "On x < y"


def test_json_feed_is_read(parser: Parser) -> None:
    item = {
        "id": "1",
        "url": "https://lab.test/1",
        "title": "On x < y",
        "summary": "short",
        "content_html": "<p>long</p>",
        "date_published": "2026-06-02T06:00:00+02:00",
        "authors": [{"name": "Ada Example"}, {"url": "https://lab.test/"}, "nobody"],
        "tags": ["physics", 7],
    }
    feed = parse(parser, "\ufeff" + json_feed(item), "application/feed+json")
    entry = only(feed)
    assert (feed.version, feed.title) == ("json1.1", "t")
    assert (entry.entry_id, entry.link, entry.title) == ("1", "https://lab.test/1", "On x < y")
    assert (entry.summary, entry.content, entry.content_type) == ("short", "<p>long</p>", "text/html")
    assert (entry.authors, entry.tags) == (("Ada Example",), ("physics", "7"))
    assert entry.published == datetime(2026, 6, 2, 4, 0, tzinfo=UTC)


def test_json_feed_1_0_has_one_author(parser: Parser) -> None:
    feed = parse(parser, json_feed({"id": "1", "author": {"name": "Ada"}}, version="https://jsonfeed.org/version/1"))
    assert (feed.version, only(feed).authors) == ("json1", ("Ada",))


@pytest.mark.parametrize(
    ("written", "kept"), [("1410.7600", "1410.7600"), ("1e400", "1e400"), ("12", "12"), ('"a"', "a")]
)
def test_a_json_id_is_kept_digit_by_digit(parser: Parser, written: str, kept: str) -> None:
    assert only(parse(parser, json_feed({"id": "@"}).replace('"@"', written))).entry_id == kept


def test_json_items_of_the_wrong_shape_are_read_as_far_as_they_go(parser: Parser) -> None:
    odd = {"id": {}, "title": ["x"], "authors": "Ada", "tags": {}, "date_published": 7, "url": None}
    entry = only(parse(parser, json_feed("no item", odd)))
    assert (entry.entry_id, entry.title, entry.authors, entry.published) == (None, "", (), None)


# Texts as written


@pytest.mark.parametrize(
    "text",
    [
        "for all $x<y$ and $y>z$ we have a&b",
        r"\emph{bold} \& $\alpha$ <i>not markup</i> &lt;",
        "see <https://journal.test/> & more; AT&T &copy",
        "<script>alert(1)</script> <img src=x onerror=alert(1)>",
        "two  spaces\tand a tab,\nand a line",
        "Ã©tude, naïve, Ω, 数学, 🜚",
        "a ]]> b <![CDATA[ c",
    ],
)
def test_a_text_comes_back_as_the_xml_says_it(parser: Parser, text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    entry = only(parse(parser, rss(f"<title>t</title><description>{escaped}</description>")))
    assert entry.summary == text


def test_the_charset_of_the_header_counts(parser: Parser) -> None:
    body = rss("<title>naïve</title>").encode("iso-8859-1")
    assert only(parse(parser, body, "text/xml; charset=iso-8859-1")).title == "naïve"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "windows-1252"])
def test_the_charset_of_the_declaration_counts(parser: Parser, encoding: str) -> None:
    body = (f"<?xml version='1.0' encoding='{encoding}'?>" + rss("<title>naïve</title>")).encode(encoding)
    assert only(parse(parser, body, "application/rss+xml")).title == "naïve"


@pytest.mark.parametrize("wrong", ["text/html; charset=utf-8", "text/plain", "application/octet-stream", "", "rubbish"])
def test_a_wrong_content_type_does_no_harm(parser: Parser, wrong: str) -> None:
    feed = parse(parser, RSS20, wrong)
    assert only(feed).authors[1] == "Béla Minta"
    assert feed.bozo is None


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("ada@lab.example (Ada Example)", ("Ada Example",)),
        ("Ada Example &lt;ada@lab.example&gt;", ("Ada Example",)),
        ("ada@lab.example", ()),
        ("Very Real Sr. (Cornell University)", ("Very Real Sr. (Cornell University)",)),
    ],
)
def test_an_author_is_a_name_and_no_address(parser: Parser, written: str, names: tuple[str, ...]) -> None:
    assert only(parse(parser, rss(f"<title>t</title><author>{written}</author>"))).authors == names


@pytest.mark.parametrize("date", ["yesterday", "", "Tue, 99 Jun 2026", "0000-00-00"])
def test_a_date_that_is_none_is_none(parser: Parser, date: str) -> None:
    assert only(parse(parser, rss(f"<title>t</title><pubDate>{date}</pubDate>"))).published is None


# Feeds in parts


def numbered(count: int) -> str:
    items = "".join(
        f"<item><title>Paper {n}</title><description>abstract {n}</description></item>" for n in range(count)
    )
    return f"<?xml version='1.0'?><rss version='2.0'><channel><title>t</title>{items}</channel></rss>"


@pytest.mark.parametrize("cut", [2, 8, 20, 30, 45, 60])
def test_a_feed_that_breaks_off_keeps_its_whole_entries_and_says_so(parser: Parser, cut: int) -> None:
    feed = parse(parser, numbered(5)[:-cut])
    assert feed.problem is not None
    assert feed.problem.startswith(f"the feed breaks off after {len(feed.entries)} entries: no </rss>")
    assert [e.summary for e in feed.entries] == [f"abstract {n}" for n in range(len(feed.entries))]
    assert feed.bozo is None  # closed properly, so that the strict parser reads it
    assert len(feed.entries) == (5 if cut <= len("</channel></rss>") else 4)


def test_no_cut_loses_or_shortens_an_entry_silently(parser: Parser) -> None:
    """Cut everywhere: what is kept is whole, and whatever is not whole is told."""
    body = numbered(3).encode()
    for cut in range(1, len(body)):
        try:
            feed = parse(parser, body[:-cut])
        except ParseError:
            continue
        assert feed.problem, cut
        assert all(e.summary == f"abstract {n}" for n, e in enumerate(feed.entries)), cut


def test_an_atom_feed_cut_inside_a_letter_keeps_its_texts(parser: Parser) -> None:
    entry = "<entry><id>{}</id><title>naïve 数学</title></entry>"
    body = f'<feed xmlns="http://www.w3.org/2005/Atom"><title>t</title>{entry.format(1)}{entry.format(2)}'.encode()
    feed = parse(parser, body[: body.rindex("学".encode()) + 1])
    assert [e.title for e in feed.entries] == ["naïve 数学"]
    assert feed.problem is not None


def test_an_rdf_feed_that_breaks_off_is_closed_as_rdf(parser: Parser) -> None:
    feed = parse(parser, RDF.replace("</rdf:RDF>", "<item><title>Two"))
    assert [e.title for e in feed.entries] == ["One"]
    assert feed.version == "rss10"


def test_a_feed_that_is_not_well_formed_is_read_all_the_same(parser: Parser) -> None:
    feed = parse(parser, rss("<title>A & B &eacute;</title><guid>1</guid>"))
    assert only(feed).title == "A & B é"
    assert feed.problem is None
    assert feed.bozo is not None
    assert feed.bozo.startswith("line 1: ")


def test_an_empty_feed_is_a_feed(parser: Parser) -> None:
    feed = parse(parser, "<rss version='2.0'><channel><title>t</title></channel></rss>")
    assert (feed.title, feed.entries, feed.problem) == ("t", (), None)


# What is no feed


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "it returned an empty body"),
        (" \n\t", "it returned an empty body"),
        (
            "<!DOCTYPE html><html><head><title>Just a\n moment</title>",
            "it returned an HTML page ('Just a moment'), not a feed",
        ),
        ("\ufeff<?xml version='1.0'?>\n<!-- x --><HTML lang='en'><body>", "it returned an HTML page, not a feed"),
        ("<html><body><rss version='2.0'><item/></rss>", "it returned an HTML page, not a feed"),
        ("Service unavailable", "it returned text that is no XML, not a feed"),
        ("<searchResults/>", "it returned XML with the root <searchResults>, not a feed"),
        ("<opml version='2.0'><body/></opml>", "it returned XML with the root <opml>, not a feed"),
        ("{}", "it returned JSON that is no JSON Feed"),
        ("[]", "it returned JSON that is no JSON Feed"),
        ('{"version": "https://jsonfeed.org/version/1"}', "it returned JSON that is no JSON Feed"),
        ('{"version": 1, "items": []}', "it returned JSON that is no JSON Feed"),
        (
            "<rss version='2.0'><channel><title>t",
            "the feed breaks off before its first entry ends (no </rss>, 36 bytes)",
        ),
    ],
)
def test_what_is_no_feed_says_what_it_is(parser: Parser, body: str, said: str) -> None:
    assert reason(parser, body) == said


def test_json_that_is_cut_or_nested_without_end_says_so(parser: Parser) -> None:
    assert reason(parser, json_feed({"id": "1"})[:-3]).startswith("it returned damaged JSON")
    assert "JSON" in reason(parser, "[" * 200_000)
    assert "JSON" in reason(parser, b'{"version": "\xff"}')


def test_damaged_xml_whose_entries_are_lost_is_no_empty_feed(parser: Parser) -> None:
    body = "<rss version='2.0'><channel><title>t</title><!-- <item> </channel></rss>"
    assert reason(parser, body).startswith("the feed is damaged and no entry could be read (line 1: ")


def test_thousands_of_comments_before_the_root_cost_no_time(parser: Parser) -> None:
    assert "not a feed" in reason(parser, "<!---->" * 9_000)
    assert only(parse(parser, "<!---->" * 9_000 + RSS20)).entry_id == "g1"
