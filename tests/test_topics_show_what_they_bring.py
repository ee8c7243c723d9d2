"""Topics, categories and sources show what they bring: how much, on which days, why, and every way to follow it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from flows.decide import decide
from publishers import page_models as show
from publishers import pages
from publishers.channels import Channel, category_channel, source_channel, topic_channel
from publishers.plots import DAYS, plot
from storage.archive import Archive
from storage.catalog import Catalog, refresh_catalog
from storage.model import Entry, Tag
from storage.settings import Settings
from storage.topics import shipped_topics
from tests.builders import NOW, an_entry
from tests.page_builders import DAY, SITE, TOPICS, papers_of, parsed, text_of, topic

DAYS_OF_ARCHIVE = [(DAY - timedelta(days=n), 50) for n in range(0, 40, 2)]


def drawn(path: str, until: date) -> dict[date, int]:
    """The heights of a plot's bars by day."""
    bars = re.findall(r"M(\d+) 24v-(\d+)h2v(\d+)z", path)
    assert "".join(f"M{x} 24v-{up}h2v{down}z" for x, up, down in bars) == path
    assert all(up == down for _, up, down in bars)
    return {until - timedelta(days=DAYS - 1 - int(x) // 3): int(up) for x, up, _ in bars}


def listed(page: bytes, title: str) -> Any:
    """The line of a channel in a list of them."""
    return next(
        li for li in parsed(page).xpath("//section[@class='channels']/ul/li") if title in text_of(li.find(".//h3"))
    )


# Plots


def test_a_plot_draws_each_day_as_high_as_its_count_and_says_the_same_in_words() -> None:
    counts = {DAY: 6, DAY - timedelta(days=1): 24, DAY - timedelta(days=29): 12}
    made = plot(counts, DAY)
    assert made
    assert drawn(made.path, DAY) == {DAY: 6, DAY - timedelta(days=1): 24, DAY - timedelta(days=29): 12}
    assert made.label == "Papers a day, 4 May to 2 June 2026: 42 in all, most on Mon 1 June: 24."
    assert made.total == 42


def test_days_outside_the_thirty_are_neither_drawn_nor_counted() -> None:
    made = plot({DAY: 1, DAY - timedelta(days=30): 99, DAY + timedelta(days=1): 99}, DAY)
    assert made
    assert drawn(made.path, DAY) == {DAY: 24}
    assert made.total == 1


def test_a_day_with_one_paper_among_days_of_thousands_is_seen() -> None:
    made = plot({DAY: 1, DAY - timedelta(days=3): 9000}, DAY)
    assert made
    assert drawn(made.path, DAY)[DAY] == 1


def test_a_plot_of_nothing_says_so_and_the_first_day_of_all_has_one() -> None:
    made = plot({}, DAY)
    assert made
    assert (made.path, made.label) == ("", "Papers a day, 4 May to 2 June 2026: 0 in all.")
    assert made.per_day == "none in 30 days"
    assert plot({}, None) is None
    first = plot({date(1, 1, 2): 3}, date(1, 1, 2))
    assert first
    assert "3 in all" in first.label


@pytest.mark.parametrize(
    ("counts", "busy", "said"),
    [
        ({DAY: 40, DAY - timedelta(days=1): 20}, 2, "about 30 papers a day"),
        ({DAY: 40, DAY - timedelta(days=1): 20}, 20, "about 3 papers a day"),
        ({DAY: 3, DAY - timedelta(days=1): 1}, 4, "about a paper a day"),
        ({DAY: 1}, 22, "1 paper in 30 days"),
        ({DAY: 2, DAY - timedelta(days=9): 3}, 22, "5 papers in 30 days"),
    ],
)
def test_what_to_expect_of_a_day_is_counted_over_days_on_which_papers_came(
    counts: Mapping[date, int], busy: int, said: str
) -> None:
    made = plot(counts, DAY, busy_days=busy)
    assert made
    assert made.per_day == said
    total = f"{sum(counts.values())} paper"
    assert made.in_words.startswith(total)
    assert made.in_words.count("in 30 days") == 1
    assert said in made.in_words


# The list of topics


def test_every_topic_is_listed_with_its_query_its_counts_and_nine_feeds() -> None:
    counts = {"nlp": {DAY: 10, DAY - timedelta(days=2): 20}}
    page = pages.topics_page(SITE, counts, totals={"nlp": 1234, "robots": 3}, days=DAYS_OF_ARCHIVE)
    assert [text_of(h) for h in parsed(page).xpath("//section[@class='channels']//h3")] == [t.title for t in TOPICS]
    line = listed(page, "Language models")
    assert line.xpath(".//h3/a/@href") == ["topics/nlp.html"]
    assert text_of(line.xpath(".//details/code")[0]) == TOPICS[0].query
    assert TOPICS[0].description in text_of(line)
    assert text_of(line.xpath(".//div[@class='brings']/p")[0]) == "about 2 papers a day, 1,234 in all"
    assert drawn(line.xpath(".//path/@d")[0], DAY) == {DAY: 12, DAY - timedelta(days=2): 24}
    feeds = line.xpath(".//dl//a/@href")
    assert feeds == [
        f"feeds/nlp{part}.{e}" for part in ("", "/trending", "/revisions") for e in ("atom", "rss", "json")
    ]
    assert text_of(listed(page, "Nothing yet").xpath(".//div[@class='brings']/p")[0]) == "no paper so far"


def test_every_plot_has_words_for_those_who_do_not_see_it() -> None:
    page = parsed(pages.topics_page(SITE, {"nlp": {DAY: 10}}, totals={}, days=DAYS_OF_ARCHIVE))
    plots = page.xpath("//svg[@class='plot']")
    assert len(plots) == len(TOPICS)
    assert all(p.get("role") == "img" and p.get("aria-label").startswith("Papers a day, 4 May") for p in plots)


def test_the_shipped_topics_come_as_themes_and_whole_categories() -> None:
    topics = shipped_topics()
    page = parsed(pages.topics_page(replace(SITE, topics=topics), {}, totals={}, days=DAYS_OF_ARCHIVE))
    groups = {text_of(s.find("h2")): len(s.xpath("ul/li")) for s in page.xpath("//section[@class='channels']")}
    assert groups == {"Themes 34": 34, "Whole categories 10": 10}
    assert len(page.xpath("//section[@class='channels']/ul/li")) == len(topics)


def test_fifty_topics_with_long_queries_stay_light() -> None:
    topics = tuple(
        topic(f"topic-{n}", f"A topic with a rather long title, number {n}", query=" OR ".join(["robot"] * 150))
        for n in range(50)
    )
    counts = {t.slug: {DAY - timedelta(days=n): n + 1 for n in range(30)} for t in topics}
    page = pages.topics_page(replace(SITE, topics=topics), counts, totals={}, days=DAYS_OF_ARCHIVE)
    assert len(page) <= 250_000


def test_lists_lead_to_each_other_and_to_what_readers_import() -> None:
    for name, page in {
        "topics": pages.topics_page(SITE, {}, totals={}, days=()),
        "categories": pages.channels_page(SITE, "category", [], {}, totals={}, days=()),
        "sources": pages.channels_page(SITE, "source", [], {}, totals={}, days=()),
    }.items():
        tree = parsed(page)
        assert tree.xpath("//nav[@class='kinds']/a/@href") == ["topics.html", "categories.html", "sources.html"]
        assert tree.xpath("//nav[@class='kinds']/a[@aria-current='page']/@href") == [f"{name}.html"]
        assert {f"opml/{name}.opml", "feeds.opml"} <= set(tree.xpath("//p/a/@href"))


def test_categories_stand_in_the_groups_of_arxiv() -> None:
    codes = ["math.CO", "cs.LG", "hep-th", "cs.AI", "cond-mat.soft", "Own category"]
    channels = [category_channel(code) for code in codes]
    page = parsed(pages.channels_page(SITE, "category", channels, {}, totals={}, days=()))
    found = {
        text_of(s.find("h2")): [text_of(h) for h in s.iter("h3")] for s in page.xpath("//section[@class='channels']")
    }
    assert found == {
        "Computer Science 2": ["Artificial Intelligence cs.AI", "Machine Learning cs.LG"],
        "Mathematics 1": ["Combinatorics math.CO"],
        "Other categories 1": ["Own category"],
        "Physics 2": ["High Energy Physics: Theory hep-th", "Soft Condensed Matter cond-mat.soft"],
    }


# The page of one


def test_a_card_on_a_topics_page_says_why_it_is_there() -> None:
    paper = replace(papers_of(1)[0], tags=(Tag(slug="nlp", title="Language models", reason="“language model”, cs.CL"),))
    page = parsed(pages.channel_page(SITE, topic_channel(TOPICS[0]), [paper], total=1, revisions=()))
    assert text_of(page.xpath("//p[@class='reason']")[0]) == "Here because: “language model”, cs.CL"
    elsewhere = parsed(pages.day_page(SITE, DAY, [paper], previous=None, next_day=None))
    assert elsewhere.xpath("//p[@class='reason']") == []


@pytest.mark.parametrize(
    "channel",
    [topic_channel(TOPICS[0]), category_channel("cs.CL"), source_channel("arxiv-rss:cs.CL")],
    ids=["topic", "category", "source"],
)
def test_a_channel_shows_its_numbers_and_how_to_follow_it(channel: Channel) -> None:
    counts = {DAY: 7, DAY - timedelta(days=4): 21}
    trending = [show.card(t, TOPICS, root="../", summary_max=0) for t in papers_of(5)]
    page = parsed(
        pages.channel_page(
            SITE, channel, papers_of(3), total=99, revisions=(), counts=counts, days=DAYS_OF_ARCHIVE, trending=trending
        )
    )
    assert text_of(page.find(".//h1")) == channel.title
    assert drawn(page.xpath("//svg[@class='plot']/path/@d")[0], DAY) == {DAY: 8, DAY - timedelta(days=4): 24}
    numbers = {text_of(li.find("a")): text_of(li.find("span")) for li in page.xpath("//section[h2[@id='volume']]//li")}
    assert numbers == {"Tue 2 June": "7", "Fri 29 May": "21"}
    assert text_of(page.xpath("//code[@class='pick']")[0]) == f"https://wire.example.org/{channel.stem}.atom"
    linked = set(page.xpath("//dl[@class='follow']//a/@href"))
    assert linked == set(page.xpath("//link[@rel='alternate']/@href"))
    assert len(page.xpath("//section[@class='trend']//li")) == 3
    assert "The newest 3 of 99 papers." in text_of(page.find(".//main"))


def test_the_outlines_for_an_opml_file_are_xml_whatever_the_title() -> None:
    awkward = topic("odd", 'Less & "more" <b>of</b> it')
    page = parsed(
        pages.channel_page(replace(SITE, topics=(awkward,)), topic_channel(awkward), (), total=0, revisions=())
    )
    outlines = [etree.fromstring(code.text_content()) for code in page.xpath("//pre/code")]
    assert [o.get("text") for o in outlines] == [
        'Less & "more" <b>of</b> it',
        'Less & "more" <b>of</b> it: trending',
        'Less & "more" <b>of</b> it: revisions',
    ]
    assert [o.get("xmlUrl") for o in outlines] == [
        f"https://wire.example.org/feeds/odd{part}.atom" for part in ("", "/trending", "/revisions")
    ]


def test_a_category_on_a_card_leads_to_its_page_where_there_is_one() -> None:
    page = parsed(pages.day_page(SITE, DAY, papers_of(12), previous=None, next_day=None))
    assert set(page.xpath("//a[@class='category']/@href")) == {"../categories/cs.CL.html", "../categories/cs.RO.html"}
    without = parsed(
        pages.day_page(replace(SITE, categories=frozenset()), DAY, papers_of(12), previous=None, next_day=None)
    )
    assert without.xpath("//a[@class='category']") == []
    assert text_of(page.find(".//main")) == text_of(without.find(".//main"))


# What the catalog counts


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of three days: two papers on the first, eight on the second, one on the last; one has votes."""
    folder = tmp_path_factory.mktemp("archive")
    settings = Settings(home=folder, topic=(topic("short", query="short"), topic("quiet", query="unobtainium")))
    with Archive(folder) as archive:
        old = [_entry(n, DAY - timedelta(days=40)) for n in (20, 21)]
        for batch in (old, [_entry(n, DAY - timedelta(days=1)) for n in range(8)], [_entry(9, DAY)]):
            source, name = batch[0].source, f"batch-{batch[0].entry_id}"
            archive.append(batch, source=source, batch_id=name, now=NOW, decide=decide)
        voted = replace(_entry(3, None), source="hf-daily", trending=True, upvotes=12, text_rank=0)
        archive.append([voted], source="hf-daily", batch_id="votes", now=NOW, decide=decide)
        refresh_catalog(archive, settings, settings.topic, now=NOW)
    return folder


def _entry(number: int, day: date | None) -> Entry:
    name = f"2606.{number:05}"
    title = f"A {'short' if number % 2 else 'long'} paper number {number}"
    categories = ("cs.CL", "cs.AI") if number < 3 else ("cs.CV",)
    return an_entry(
        arxiv_id=name,
        entry_id=f"oai:arXiv.org:{name}v1",
        title=title,
        abstract="",
        announced_on=day,
        categories=categories,
    )


def test_the_catalog_counts_new_papers_by_day_for_topics_categories_and_sources(home: Path) -> None:
    first = DAY - timedelta(days=29)
    before = DAY - timedelta(days=1)
    with Catalog(home) as catalog:
        assert catalog.channel_days("topic", first, DAY) == {"short": {before: 4, DAY: 1}}
        assert catalog.channel_days("category", first, DAY) == {
            "cs.AI": {before: 3},
            "cs.CL": {before: 3},
            "cs.CV": {before: 5, DAY: 1},
        }
        assert catalog.channel_days("source", first, DAY) == {
            "arxiv-rss:cs.CL": {before: 8, DAY: 1},
            "hf-daily": {before: 1},
        }
        assert catalog.channel_days("topic", DAY, DAY) == {"short": {DAY: 1}}
        assert catalog.channel_days("topic", DAY - timedelta(days=39), DAY - timedelta(days=2)) == {}


def test_the_top_of_a_span_shares_its_room_among_the_days(home: Path) -> None:
    first = DAY - timedelta(days=40)

    def top(limit: int) -> list[str]:
        with Catalog(home) as catalog:
            return [t.paper.paper_id[-5:] for t in catalog.top_of_days(first, DAY, limit=limit)]

    assert top(3) == ["00009", "00003", "00021"]  # one of each, newest day first, the one with votes before others
    assert top(5) == ["00009", "00003", "00007", "00021", "00020"]
    assert sorted(top(100)) == sorted(f"{n:05}" for n in (*range(8), 9, 20, 21))
    with Catalog(home) as catalog:
        assert catalog.top_of_days(DAY, DAY, limit=9)[0].tags[0].slug == "short"
        assert catalog.top_of_days(DAY + timedelta(days=1), DAY + timedelta(days=9), limit=9) == []
