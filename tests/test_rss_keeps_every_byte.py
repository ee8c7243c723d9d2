"""arXiv's RSS: every real title and abstract comes back byte for byte, wrapped as arXiv wraps it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from lxml import etree

from flows.parsing import Parser
from flows.sources import adapter_for
from flows.sources.interface import Harvest, Request
from storage.settings import Limits
from tests.fetching_tools import a_source, fetched

ADAPTER = adapter_for("arxiv-rss")
SOURCE = a_source(name="arxiv-rss:cs.LG", kind="arxiv-rss", category="cs.LG")
REQUEST = Request(url="https://rss.arxiv.org/rss/cs.LG", key="cs.LG", conditional=False)
MIDNIGHT = "Tue, 02 Jun 2026 00:00:00 -0400"
PAGE = 500
_ABSTRACT = "\nAbstract: "


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with Parser(Limits()) as parser:
        yield parser


@pytest.fixture(scope="module")
def papers(shared_data: Path) -> list[dict[str, Any]]:
    """Every real paper at hand."""
    rows: list[dict[str, Any]] = pq.read_table(
        shared_data / "bench" / "arxiv_papers.parquet",
        columns=["arxiv_id", "title", "abstract", "authors"],
    ).to_pylist()
    return rows


# A feed as arXiv writes it


def escaped(text: str) -> str:
    """A text inside an element, as an XML writer puts it there."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def item(arxiv_id: str, title: str, abstract: str, authors: list[str]) -> str:
    """One paper as an item."""
    return (
        f"<item><title>{escaped(title)}</title><link>https://arxiv.org/abs/{arxiv_id}</link>"
        f"<description>arXiv:{arxiv_id}v1 Announce Type: new {_ABSTRACT}{escaped(abstract)}</description>"
        f'<guid isPermaLink="false">oai:arXiv.org:{arxiv_id}v1</guid><category>cs.LG</category>'
        f"<pubDate>{MIDNIGHT}</pubDate><arxiv:announce_type>new</arxiv:announce_type>"
        "<dc:rights>http://creativecommons.org/licenses/by/4.0/</dc:rights>"
        f"<dc:creator>{escaped(', '.join(authors))}</dc:creator></item>"
    )


def feed(*items: str) -> bytes:
    """A batch of one category."""
    return (
        "<?xml version='1.0' encoding='UTF-8'?>\n"
        '<rss xmlns:arxiv="http://arxiv.org/schemas/atom" xmlns:dc="http://purl.org/dc/elements/1.1/"'
        ' xmlns:atom="http://www.w3.org/2005/Atom" version="2.0"><channel><title>cs.LG updates on arXiv.org</title>'
        "<link>http://rss.arxiv.org/rss/cs.LG</link><description>d</description><language>en-us</language>"
        f"<lastBuildDate>Tue, 02 Jun 2026 04:00:02 +0000</lastBuildDate><pubDate>{MIDNIGHT}</pubDate>"
        f"{''.join(items)}</channel></rss>"
    ).encode()


def read(parser: Parser, body: bytes) -> Harvest:
    return ADAPTER.read(SOURCE, REQUEST, fetched(body), parser)


# There and back

HARD = (
    "for all $x<y$ and $y>z$ we have $a\\&b$",
    "&lt;b&gt; &amp;amp; &#39; &eacute; and AT&T",
    "<p>We</p> show <script>alert(1)</script> <img src=x>",
    "one  two   three,\n  a paragraph\nand a line",
    "Abstract: arXiv:2606.00001v1 Announce Type: new \nAbstract: what it says of itself",
    "]]> <![CDATA[ x ]]> <!-- y --> <?z?>",
    "naïve Ω 数学 🜚 e\u0301 \u00a0\u2009\u200b\u2028 \x7f",
    "C:\\data, 100%, \\emph{x} `y' ``z''",
    "see <https://journal.test/?a=1&b=2#c>",
)


@pytest.mark.parametrize("text", HARD)
def test_what_looks_like_markup_comes_back_byte_for_byte(parser: Parser, text: str) -> None:
    (entry,) = read(parser, feed(item("2606.00012", text, text, ["Ada Example"]))).entries
    assert (entry.title.encode(), entry.abstract.encode()) == (text.encode(), text.encode())


@pytest.mark.parametrize(
    ("written", "came"),
    [("a\x85 b\x96c \x93d\x94", "a… b–c “d”"), ("Jean-Fran\xc3\xa7ois", "Jean-François")],
    ids=["Windows-1252 taken for Latin-1", "encoded twice"],
)
def test_a_text_that_was_encoded_wrongly_is_read_as_it_was_meant(parser: Parser, written: str, came: str) -> None:
    """The only two changes that are made, by feedparser; no real title or abstract needs either."""
    (entry,) = read(parser, feed(item("2606.00012", written, written, ["Ada Example"]))).entries
    assert entry.title == entry.abstract == came


@dataclass
class Tally:
    """How many texts came back as they were, and which did not."""

    same: Counter[str] = field(default_factory=Counter)
    other: list[tuple[str, str, str]] = field(default_factory=list)

    def note(self, kind: str, arxiv_id: str, came: str, sent: str) -> None:
        """Compare byte for byte."""
        if came.encode() == sent.encode():
            self.same[kind] += 1
        else:
            self.other.append((kind, arxiv_id, came))


@pytest.mark.slow
def test_every_real_title_and_abstract_comes_back_byte_for_byte(parser: Parser, papers: list[dict[str, Any]]) -> None:
    """Outer whitespace gone; the feed itself carries all of it, as another XML parser finds there."""
    ours, witness = Tally(), Tally()
    for start in range(0, len(papers), PAGE):
        page = papers[start : start + PAGE]
        body = feed(*(item(p["arxiv_id"], p["title"], p["abstract"], p["authors"]) for p in page))
        harvest = read(parser, body)
        assert harvest.problems == harvest.notes == ()
        assert [(e.arxiv_id, e.version) for e in harvest.entries] == [(p["arxiv_id"], 1) for p in page]
        for paper, entry, element in zip(page, harvest.entries, etree.fromstring(body).iter("item"), strict=True):
            compare(ours, paper, entry.title, entry.abstract)
            told = str(element.findtext("description")).partition(_ABSTRACT)[2]
            compare(witness, paper, str(element.findtext("title")).strip(), told.strip())
            written = " ".join(", ".join(paper["authors"]).split())
            if "(" not in written:  # no affiliation, which is not read as a name
                names = ", ".join(name.strip() for name in written.split(",") if name.strip())
                ours.note("authors", paper["arxiv_id"], ", ".join(entry.authors), names)
    print(f"\n{len(papers):,} papers in feeds of {PAGE}, the same to the byte: {dict(ours.same)}")
    print("\n".join(f"  {kind} of {name}: {text[:100]!r}" for kind, name, text in ours.other[:20]))
    assert len(papers) > 57_000
    assert witness.other == []
    # One author's name was encoded twice at its origin.
    assert [(kind, name) for kind, name, _ in ours.other] == [("authors", "1111.0862")]
    assert ours.same["title"] == ours.same["abstract"] == len(papers)
    assert ours.same["authors"] > 0.99 * len(papers)


def compare(tally: Tally, paper: dict[str, Any], title: str, abstract: str) -> None:
    tally.note("title", paper["arxiv_id"], title, paper["title"].strip())
    tally.note("abstract", paper["arxiv_id"], abstract, paper["abstract"].strip())
