"""The boards of what trends as readers see them, and their feeds: ranked, explained, and never a byte of news."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import sync_playwright

from bench.screenshots import chromium
from flows import show_trending
from flows.decide import decide
from publishers import feeds
from publishers.boards import (
    Boards,
    Stand,
    Standing,
    board_files,
    board_page,
    spark,
    standing,
    trending_cards,
    trending_feed,
    trending_feeds,
)
from publishers.channels import EVERYTHING, topic_channel
from publishers.feed_model import FeedSite
from publishers.pages import PageSite, static_files
from publishers.web import web_app
from storage.archive import Archive
from storage.catalog import Catalog, refresh_catalog
from storage.errors import ConfigError
from storage.model import TaggedPaper
from storage.settings import Settings, Topic
from storage.trending import DAY, SPANS, WEEK, Look, Span, Watched, board
from tests.builders import NOW, an_entry
from tests.page_builders import SITE, TOPICS, papers_of, parsed, text_of
from tests.site_server import serving
from tests.test_feeds_are_valid import faults
from tests.test_pages_read_well import RULES

FEEDS = FeedSite(title="Paperwire", base_url="https://wire.example.org/", authority="wire.example.org")
AS_OF = NOW + timedelta(hours=12)


def watched(tagged: TaggedPaper, number: int) -> Watched:
    """A paper whose votes rose from its listing on; every seventh has none."""
    moments = [AS_OF - timedelta(hours=h) for h in (10, 6, 1)]
    votes = 0 if number % 7 == 6 else number
    looks = [Look(at, "hf-daily", votes * share, votes // 3, votes * 9) for share, at in enumerate(moments, start=1)]
    return Watched(
        paper_id=tagged.paper.paper_id,
        listed_at=AS_OF - timedelta(hours=12 + number % 5),
        topics=frozenset(tag.slug for tag in tagged.tags),
        looks=tuple(looks),
    )


def shown(span: Span, papers: Sequence[TaggedPaper], topic: str | None = None) -> Standing:
    """A board of difficult papers."""
    found = [watched(tagged, number) for number, tagged in enumerate(papers)]
    return standing(board(found, span, as_of=AS_OF, topic=topic, places=60), papers)


def whole() -> dict[str, bytes]:
    """Every board, by path."""
    papers = papers_of(60)
    pages = {f"trending/{name}.html": board_page(SITE, shown(span, papers)) for name, span in SPANS.items()}
    nothing = Standing(span=WEEK, as_of=AS_OF, stands=())
    return pages | {"trending/empty.html": board_page(SITE, nothing)} | static_files()


@pytest.fixture(scope="module")
def site() -> dict[str, bytes]:
    return whole()


PAGES = ("trending/day.html", "trending/week.html", "trending/month.html", "trending/empty.html")


# The pages


@pytest.mark.parametrize("name", PAGES)
def test_a_board_has_a_title_landmarks_headings_in_order_and_links_to_its_sisters(
    site: dict[str, bytes], name: str
) -> None:
    page = parsed(site[name])
    assert "Paperwire" in page.findtext(".//title")
    assert [len(page.xpath(f"//body/{landmark}")) for landmark in ("header", "main", "footer")] == [1, 1, 1]
    levels = [int(h.tag[1]) for h in page.iter("h1", "h2", "h3", "h4")]
    assert (levels[0], levels.count(1), max(levels)) == (1, 1, 2)
    ids = page.xpath("//@id")
    assert len(ids) == len(set(ids))
    spans = page.xpath("//nav[@aria-label='Boards']/a")
    assert [(text_of(a), a.get("href")) for a in spans] == [
        ("Day", "../trending/day.html"),
        ("Week", "../trending/week.html"),
        ("Month", "../trending/month.html"),
    ]
    here = [text_of(a).lower() for a in spans if a.get("aria-current") == "page"]
    assert here == [name[9:-5] if "empty" not in name else "week"]
    assert page.xpath("//nav[@aria-label='Site']//a[@aria-current]/text()") == ["Trending"]


def test_every_place_has_a_rank_a_reason_and_a_plot_in_words(site: dict[str, bytes]) -> None:
    page = parsed(site["trending/day.html"])
    places = page.xpath("//ol[@class='board']/li")
    assert len(places) == 30
    assert [text_of(li.find("p")) for li in places] == [str(n) for n in range(1, 31)]
    reasons = [text_of(li.xpath("p[@class='board-why']")[0]) for li in places]
    assert all("in the last 24 hours; listed " in r or "not voted on yet" in r for r in reasons)
    assert all("not voted on yet" in reasons[n] for n in range(3, 30, 4))
    plots = page.xpath("//ol//svg")
    assert all(svg.get("role") == "img" and " votes from 2 June 2026 to " in svg.get("aria-label") for svg in plots)
    assert len(plots) == sum("not voted on yet" not in r for r in reasons)
    assert "As of 2 June 2026, 18:00 UTC." in text_of(page)


def test_a_board_of_nothing_says_so(site: dict[str, bytes]) -> None:
    text = text_of(parsed(site["trending/empty.html"]))
    assert "Nothing gained a vote, a comment, a star or a citation in the last 7 days." in text
    assert "1970" not in text


def test_a_board_leads_to_its_feeds_and_those_of_every_topic(site: dict[str, bytes]) -> None:
    page = parsed(site["trending/week.html"])
    announced = [e.get("href") for e in page.xpath("//link[@rel='alternate']")]
    assert announced == [f"../feeds/all/trending.{e}" for e in ("atom", "rss", "json")]
    links = page.xpath("//div[@class='side']//a/@href")
    for topic in TOPICS:
        assert f"../topics/{topic.slug}.html" in links
        assert {f"../feeds/{topic.slug}/trending.{e}" for e in ("atom", "rss", "json")} <= set(links)


def test_nothing_a_source_writes_becomes_markup(site: dict[str, bytes]) -> None:
    assert b"<script" not in site["trending/month.html"]
    assert 'dir="auto"' in site["trending/month.html"].decode()


def test_a_withdrawn_or_unknown_paper_leaves_its_place_to_the_next() -> None:
    papers = papers_of(12)
    withdrawn = papers[1].paper.paper_id
    assert papers[1].paper.withdrawn
    found = [watched(tagged, 40 - n) for n, tagged in enumerate(papers)]
    made = standing(board(found, WEEK, as_of=AS_OF), papers[:-1])
    names = [stand.paper.paper.paper_id for stand in made.stands]
    assert withdrawn not in names
    assert papers[-1].paper.paper_id not in names
    assert [stand.place.rank for stand in made.stands] == list(range(1, len(names) + 1))


def test_a_plot_is_short_whole_numbers_and_nothing_is_drawn_of_nothing() -> None:
    stands = shown(WEEK, papers_of(20)).stands
    drawn = [spark(stand.place) for stand in stands]
    assert all(d and len(d.path) < 60 and set(d.path) <= set("ML0123456789 ") for d in drawn)
    fresh = next(stand for stand in shown(DAY, papers_of(20)).stands if stand.place.newcomer)
    assert spark(fresh.place) is None


def test_the_same_data_gives_the_same_bytes_in_any_process() -> None:
    def run(seed: str, zone: str) -> bytes:
        code = "from tests.test_boards_read_well import digest; print(digest())"
        env = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}
        root = Path(__file__).resolve().parents[1]
        return subprocess.run([sys.executable, "-c", code], env=env, cwd=root, check=True, capture_output=True).stdout

    assert run("1", "UTC") == run("2", "Asia/Kathmandu") == f"{digest()}\n".encode()


def digest() -> str:
    """A hash over every board and feed."""
    pages = sorted(page for page in whole().items() if page[0].startswith("trending/"))
    entries = feeds.atom(trending_feed(FEEDS, EVERYTHING, shown(WEEK, papers_of(60))))
    return hashlib.sha256(repr((pages, entries)).encode()).hexdigest()


# The feeds


def test_an_entry_of_a_trending_feed_is_that_of_the_main_feed_byte_for_byte() -> None:
    papers = [p for p in papers_of(40) if not p.paper.withdrawn]
    main = feeds.papers_feed(FEEDS, EVERYTHING, papers)
    trending = trending_feed(FEEDS, EVERYTHING, shown(WEEK, papers))
    assert set(trending.entries) <= set(main.entries)
    assert 0 < len(trending.entries) <= 30
    assert (trending.stem, trending.page_url) == ("feeds/all/trending", f"{FEEDS.base_url}trending/week.html")

    def entries(content: bytes) -> set[bytes]:
        return {part.partition(b"</entry>")[0] for part in content.split(b"<entry>")[1:]}

    assert entries(feeds.atom(trending)) <= entries(feeds.atom(main))


def test_votes_decide_which_entries_there_are_and_change_no_byte_of_one() -> None:
    papers = papers_of(20)
    before = trending_feed(FEEDS, EVERYTHING, shown(WEEK, papers))
    voted = [replace(p, paper=replace(p.paper, upvotes=(p.paper.upvotes or 0) + 9, stars=7)) for p in papers]
    assert feeds.atom(trending_feed(FEEDS, EVERYTHING, shown(WEEK, voted))) == feeds.atom(before)
    assert b"score" not in feeds.json_feed(before)


def test_a_trending_feed_is_valid_newest_first_and_without_what_was_never_announced() -> None:
    papers = [
        replace(p, paper=replace(p.paper, announced_at=None if n == 16 else NOW - timedelta(hours=n * 5 % 7)))
        for n, p in enumerate(papers_of(20))
    ]
    feed = trending_feed(FEEDS, topic_channel(TOPICS[0]), shown(WEEK, papers, "nlp"))
    assert feed.entries
    assert feed.left_out == ()
    assert (feed.stem, feed.page_url) == ("feeds/nlp/trending", f"{FEEDS.base_url}topics/nlp.html")
    assert [e.published for e in feed.entries] == sorted((e.published for e in feed.entries), reverse=True)
    assert papers[16].paper.paper_id not in {e.paper_id for e in feed.entries}
    assert faults(feeds.atom(feed), "atom") == faults(feeds.rss(feed), "rss") == []


def test_a_newcomer_nobody_voted_on_is_on_a_page_and_in_no_feed() -> None:
    made = shown(DAY, papers_of(20))
    new = {stand.paper.paper.paper_id for stand in made.stands if stand.place.newcomer}
    assert new
    assert not new & {entry.paper_id for entry in trending_feed(FEEDS, EVERYTHING, made).entries}


# From an archive


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    topics = (Topic(slug="nlp", title="NLP", query="category:cs.CL"), Topic(slug="bio", title="Bio", query="cell"))
    with Archive(tmp_path) as archive:
        for hours in (0, 5):
            said = [
                an_entry(
                    source="hf-daily",
                    entry_id=f"2606.{n:05}",
                    arxiv_id=f"2606.{n:05}",
                    title=f"On the number {n} among the first",
                    upvotes=n * (1 + hours),
                    trending=True,
                    version=None,
                )
                for n in range(5)
            ]
            archive.append(
                said, source="hf-daily", batch_id=str(hours), now=NOW + timedelta(hours=hours), decide=decide
            )
        refresh_catalog(archive, Settings(home=tmp_path), topics, now=NOW)
    with Catalog(tmp_path) as opened:
        yield opened


def test_boards_feeds_and_cards_are_made_from_an_archive(catalog: Catalog) -> None:
    boards = Boards(catalog)
    site = PageSite(
        title="P", base_url="https://p.example/", description="", topics=(Topic(slug="nlp", title="NLP", query="x"),)
    )
    files = dict(board_files(site, boards))
    assert sorted(files) == ["trending/day.html", "trending/month.html", "trending/week.html"]
    made = {feed.stem: feed for feed in trending_feeds(FEEDS, [topic_channel(t) for t in site.topics], boards)}
    assert sorted(made) == ["feeds/all/trending", "feeds/nlp/trending"]
    assert {e.arxiv_id for e in made["feeds/nlp/trending"].entries} == {f"2606.{n:05}" for n in range(1, 5)}
    cards = trending_cards(site, boards, "nlp", root="../")
    assert [card.href for card in cards] == [f"../papers/arxiv-2606.{n:05}.html" for n in (4, 3, 2)]
    assert cards[0].reason.startswith("24 votes in the last 24 hours; listed 5 hours ago")
    assert cards[0].chips == ()
    assert trending_cards(site, boards, "bio", root="../") == ()
    assert [stand.place.newcomer for stand in boards.standing(DAY).stands].count(True) == 1


def test_a_board_is_read_once_a_snapshot(catalog: Catalog) -> None:
    boards = Boards(catalog)
    assert boards.standing(WEEK) is boards.standing(WEEK)
    assert isinstance(boards.standing(WEEK).stands[0], Stand)


def test_the_command_says_why_and_how_a_score_comes_about(
    catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = show_trending.standing_of(tmp_path, span="day", topic="nlp")
    show_trending.trending(found, as_json=True)
    said = json.loads(capsys.readouterr().out)
    first = said["papers"][0]
    assert (said["span"], said["as_of"]) == ("day", "2026-06-02T11:00:00+00:00")
    assert first["score"] == pytest.approx(sum(first["points"].values()) * first["decay"])
    assert (first["paper_id"], first["votes"], first["newcomer"]) == ("arxiv:2606.00004", 24, False)
    show_trending.trending(found, as_json=False)
    assert re.search(
        r"arxiv:2606\.00004 .* 24 votes in the last 24 hours.*\(24 votes\) × 0\.749",
        capsys.readouterr().out,
    )
    show_trending.trending(show_trending.standing_of(tmp_path, span="week", topic="bio"), as_json=False)
    assert capsys.readouterr().out == "nothing gained a vote, a comment, a star or a citation in the last 7 days\n"
    with pytest.raises(ConfigError, match="no topic is called 'gone'; `paperwire topics` lists them"):
        show_trending.standing_of(tmp_path, span="week", topic="gone")


# In a browser


@pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine (install one or set PAPERWIRE_CHROMIUM)")
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_axe_finds_nothing_and_everything_fits_the_window_and_the_thumb(
    site: dict[str, bytes], tmp_path: Path, width: int, scheme: Any
) -> None:
    for name, content in site.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with serving(web_app(tmp_path)) as port, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        for name in PAGES:
            page.goto(f"http://127.0.0.1:{port}/{name}")
            found = Axe().run(page, options=RULES).response["violations"]
            assert (name, [(v["id"], [n["target"] for n in v["nodes"]]) for v in found]) == (name, [])
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            small = page.evaluate(
                """() => [...document.querySelectorAll('nav a, h2 a, .facts a, .feeds a, a.topic, .foot a')]
                   .filter(e => e.getBoundingClientRect().height < 24).map(e => e.outerHTML.slice(0, 150))"""
            )
            assert (name, small) == (name, [])
        browser.close()
