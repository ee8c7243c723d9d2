"""One paper can be followed: a feed of its announcement and of everything that happened to it later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from lxml import etree

from publishers import feeds
from publishers.feed_entries import paper_entry, revision_entries
from publishers.feeds import FeedSite
from publishers.life_feed import life_feed
from publishers.paper_page import paper_page
from publishers.paths import paper_file
from storage.model import Announcement, Revision, TaggedPaper
from tests.builders import NOW, a_paper, tagged
from tests.newsroom import Newsroom, after_a_pass
from tests.page_builders import SITE, a_full_life, a_revision, parsed, text_of
from tests.test_feeds_are_valid import faults

FEEDS = FeedSite(title="Paperwire", base_url="https://wire.example.org/", authority="wire.example.org")
ATOM = "{http://www.w3.org/2005/Atom}"
KINDS = Announcement


def a_life() -> tuple[TaggedPaper, list[Revision]]:
    """Announced, cross-listed, a second version, published with code."""
    first = a_paper()
    second = a_paper(version=2, title="On Long Titles", revised_at=NOW + timedelta(days=3))
    last = replace(
        second,
        journal_ref="J. Exampl. Res. 12 (2026) 1-20",
        code_url="https://code.example.org/repo",
        revised_at=NOW + timedelta(days=9),
    )
    rows = [
        a_revision(first, KINDS.NEW),
        replace(a_revision(first, KINDS.CROSS_LISTED), at=NOW + timedelta(days=1)),
        a_revision(second, KINDS.REVISED, changes=("version", "title")),
        a_revision(last, KINDS.PUBLISHED, changes=("journal_ref",)),
        replace(a_revision(last, KINDS.CODE_APPEARED, changes=("code",)), at=NOW + timedelta(days=12)),
    ]
    return tagged(last, "nlp"), rows


def test_a_life_is_told_newest_first_and_each_thing_once() -> None:
    feed = life_feed(FEEDS, *a_life())
    assert [entry.title for entry in feed.entries] == [
        "Code: On Long Titles",
        "Published: On Long Titles",
        "Version 2: On Long Titles",
        "On Long Titles",
    ]
    assert feed.left_out == ()


def test_its_entries_are_those_of_the_other_feeds() -> None:
    paper, rows = a_life()
    told = {entry.id: entry for row in rows for entry in revision_entries(FEEDS, row)}
    told[paper_entry(FEEDS, paper).id] = paper_entry(FEEDS, paper)
    assert {entry.id: entry for entry in life_feed(FEEDS, paper, rows).entries} == told


def test_the_feed_has_an_id_and_a_page_of_its_own() -> None:
    paper, rows = a_life()
    feed = life_feed(FEEDS, paper, rows)
    assert feed.id == "tag:wire.example.org,2026:paper/arxiv/2606.00012/life"
    assert feed.id not in {entry.id for entry in feed.entries}
    assert feed.page_url == "https://wire.example.org/papers/arxiv-2606.00012.html"
    assert feed.url("atom") == f"https://wire.example.org/{paper_file('arxiv:2606.00012', 'atom')}"
    assert feed.updated == NOW + timedelta(days=12)


def test_a_paper_met_as_a_revision_has_no_announcement() -> None:
    paper, rows = a_life()
    unannounced = tagged(replace(paper.paper, announced_at=None), "nlp")
    assert [e.title for e in life_feed(FEEDS, unannounced, rows[2:3]).entries] == ["Version 2: On Long Titles"]
    assert life_feed(FEEDS, unannounced, ()).entries == ()


def test_a_withdrawal_is_an_entry_and_says_so() -> None:
    paper, revisions, _ = a_full_life()
    titles = [entry.title for entry in life_feed(FEEDS, paper, revisions).entries]
    assert "Withdrawn: Bounds for Robust Regression" in titles
    assert "Published: Bounds for Robust Regression" in titles


def test_what_cannot_be_shown_is_left_out_and_named() -> None:
    paper = tagged(a_paper(title="\u200b"))
    feed = life_feed(FEEDS, paper, [a_revision(paper.paper, KINDS.REVISED, changes=("version",))])
    assert [left.paper_id for left in feed.left_out] == ["arxiv:2606.00012"]
    assert feed.title
    assert etree.fromstring(feeds.atom(feed)).findtext(f"{ATOM}title")


def test_votes_do_not_change_a_byte() -> None:
    paper, rows = a_life()
    liked = replace(paper, paper=replace(paper.paper, upvotes=99, stars=7, citations=3, comment_count=1))
    assert feeds.atom(life_feed(FEEDS, liked, rows)) == feeds.atom(life_feed(FEEDS, paper, rows))


def test_the_document_is_atom_that_leads_back_to_the_page(schema_atom: etree.RelaxNG) -> None:
    document = etree.fromstring(feeds.atom(life_feed(FEEDS, *a_life())))
    links = {(link.get("rel"), link.get("href")) for link in document.findall(f"{ATOM}link")}
    assert links == {
        ("self", "https://wire.example.org/papers/arxiv-2606.00012.atom"),
        ("alternate", "https://wire.example.org/papers/arxiv-2606.00012.html"),
    }
    schema_atom.assertValid(document)


def test_each_published_paper_has_its_feed_and_its_citations_beside_it(room: Newsroom) -> None:
    pages_of_papers = sorted((room.home / "site" / "papers").glob("*.html"))
    assert pages_of_papers
    for page in pages_of_papers:
        assert faults(page.with_suffix(".atom").read_bytes(), "atom") == []
        assert page.with_suffix(".bib").read_text().startswith("@misc{")
        assert page.with_suffix(".ris").read_bytes().endswith(b"ER  - \r\n")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newsroom]:
    with after_a_pass(tmp_path_factory.mktemp("room")) as room:
        yield room


@pytest.fixture(scope="module")
def schema_atom() -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(Path(__file__).parent / "schemas" / "atom.rng"))


def test_the_page_offers_its_feed_to_readers_and_to_eyes() -> None:
    paper, rows = a_life()
    page = parsed(paper_page(SITE, paper, rows, ()))
    (announced,) = page.xpath("//link[@rel='alternate'][@type='application/atom+xml']/@href")
    visible = {text_of(a): a.get("href") for a in page.xpath("//main//a")}
    assert announced == visible["Follow this paper"] == "../papers/arxiv-2606.00012.atom"
