"""Pages read well: whatever a paper brings, on a phone and on a desk, by eye, by ear and by machine."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, sync_playwright

from bench.screenshots import chromium
from publishers import pages
from publishers.channels import category_channel, source_channel, topic_channel
from publishers.paths import day_path, paper_path, topic_path
from publishers.web import web_app
from storage.model import Tag
from tests.builders import a_paper, tagged
from tests.page_builders import (
    CATEGORIES,
    DAY,
    SITE,
    SOURCES,
    TOPICS,
    papers_of,
    parsed,
    text_of,
    topic,
    whole_site,
)
from tests.site_server import serving

HTML_PAGES = sorted(name for name in whole_site() if name.endswith(".html"))


@pytest.fixture(scope="module")
def site() -> dict[str, bytes]:
    return whole_site()


# What a page is made of


@pytest.mark.parametrize("name", HTML_PAGES)
def test_every_page_has_a_title_a_language_landmarks_and_headings_in_order(site: dict[str, bytes], name: str) -> None:
    page = parsed(site[name])
    assert page.get("lang") == "en"
    assert "Paperwire" in page.findtext(".//title")
    assert page.xpath("//meta[@name='description']/@content")[0].strip()
    assert [len(page.xpath(f"//body/{landmark}")) for landmark in ("header", "main", "footer")] == [1, 1, 1]
    skip = page.xpath("//body/a[@class='skip']/@href")[0]
    assert page.xpath(f"//*[@id='{skip[1:]}']")[0].tag == "main"
    levels = [int(h.tag[1]) for h in page.iter("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    assert all(text_of(h) for h in page.iter("h1", "h2", "h3"))


@pytest.mark.parametrize("name", HTML_PAGES)
def test_ids_are_unique_and_every_reference_within_a_page_leads_somewhere(site: dict[str, bytes], name: str) -> None:
    page = parsed(site[name])
    ids = page.xpath("//@id")
    assert len(ids) == len(set(ids))
    assert not any(re.search(r"\s", i) for i in ids)
    wanted = [h[1:] for h in page.xpath("//a/@href") if h.startswith("#")] + page.xpath("//@aria-labelledby")
    assert set(wanted) <= set(ids)


@pytest.mark.parametrize("name", [n for n in HTML_PAGES if n != "404.html"])
def test_links_within_the_site_are_relative_and_lead_to_published_files(site: dict[str, bytes], name: str) -> None:
    page = parsed(site[name])
    here = f"file:///any/folder/{name}"
    links = page.xpath("//a/@href | //link[not(@rel='canonical')]/@href | //img/@src")
    inside = [urlsplit(urljoin(here, link)) for link in links if not link.startswith(("http://", "https://"))]
    assert inside
    paths = {unquote(link.path).removeprefix("/any/folder/") for link in inside}
    assert not any(link.startswith(SITE.base_url) for link in links)
    channels = [*map(topic_channel, TOPICS), *map(category_channel, CATEGORIES), *map(source_channel, SOURCES)]
    stems = {"feeds/all", "feeds/health", *(channel.stem for channel in channels)}
    ranked = {"feeds/all", *(channel.stem for channel in channels if channel.kind == "topic")}
    parts = {s: ("", "/revisions", "/trending") if s in ranked else ("", "/revisions") for s in stems}
    feeds = {f"{s}{p}.{e}" for s in stems for p in parts[s] for e in ("atom", "rss", "json")}
    lists = {f"opml/{name}.opml" for name in ("topics", "categories", "sources", "trending", "revisions")}
    unknown = paths - set(site) - feeds - lists - {"feeds.opml"}
    if name == "live.html":
        unknown.discard("search")
    papers = r"papers/(arxiv-2606\.\d{5}|fp-(bare|formulas)-[0-9a-f]{8})\.(html|atom|bib|ris)"
    days = r"(days/2026-0\d-\d\d|weeks/2026-W\d\d|months/2026-0\d)\.html"
    assert {p for p in unknown if not re.fullmatch(f"{papers}|{days}", p)} == set()


def test_the_page_for_unknown_addresses_works_at_any_depth() -> None:
    page = parsed(pages.not_found_page(replace(SITE, base_url="https://example.org/wire/")))
    links = page.xpath("//a[not(@class='skip')]/@href | //link/@href")
    assert links
    assert all(link.startswith("/wire/") for link in links)


def test_the_front_page_and_topics_announce_their_feeds(site: dict[str, bytes]) -> None:
    def announced(name: str) -> list[tuple[str, str]]:
        return [(e.get("type"), e.get("href")) for e in parsed(site[name]).xpath("//link[@rel='alternate']")]

    assert announced("index.html") == [
        ("application/atom+xml", "feeds/all.atom"),
        ("application/rss+xml", "feeds/all.rss"),
        ("application/feed+json", "feeds/all.json"),
    ]
    assert announced("topics/nlp.html") == [
        ("application/atom+xml", "../feeds/nlp.atom"),
        ("application/rss+xml", "../feeds/nlp.rss"),
        ("application/feed+json", "../feeds/nlp.json"),
        ("application/atom+xml", "../feeds/nlp/trending.atom"),
        ("application/rss+xml", "../feeds/nlp/trending.rss"),
        ("application/feed+json", "../feeds/nlp/trending.json"),
        ("application/atom+xml", "../feeds/nlp/revisions.atom"),
        ("application/rss+xml", "../feeds/nlp/revisions.rss"),
        ("application/feed+json", "../feeds/nlp/revisions.json"),
    ]
    assert announced("categories/cs.CL.html")[0] == ("application/atom+xml", "../feeds/category/cs.CL.atom")
    assert len(announced("categories/cs.CL.html")) == 6
    assert announced("health.html") == [
        ("application/atom+xml", "feeds/health.atom"),
        ("application/rss+xml", "feeds/health.rss"),
        ("application/feed+json", "feeds/health.json"),
    ]


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("index.html", "https://wire.example.org/"),
        ("topics/nlp.html", "https://wire.example.org/topics/nlp.html"),
        ("papers/arxiv-2606.00012.html", "https://wire.example.org/papers/arxiv-2606.00012.html"),
    ],
)
def test_a_page_says_its_one_true_address(site: dict[str, bytes], name: str, canonical: str) -> None:
    assert parsed(site[name]).xpath("//link[@rel='canonical']/@href") == [canonical]


@pytest.mark.parametrize(
    ("name", "current"),
    [
        ("index.html", ("Today", "page")),
        ("topics.html", ("Topics", "page")),
        ("topics/nlp.html", ("Topics", "true")),
        ("categories.html", ("Topics", "true")),
        ("categories/cs.CL.html", ("Topics", "true")),
        ("sources.html", ("Topics", "true")),
        ("trending/day.html", ("Trending", "page")),
        ("trending/month.html", ("Trending", "true")),
        ("archive.html", ("Archive", "page")),
        (day_path(DAY), ("Archive", "true")),
        ("weeks/2026-W23.html", ("Archive", "true")),
        ("months/2026-06.html", ("Archive", "true")),
        ("health.html", ("Coverage", "page")),
        ("papers/arxiv-2606.00012.html", None),
        ("404.html", None),
    ],
)
def test_the_navigation_is_on_every_page_and_says_where_you_are(
    site: dict[str, bytes], name: str, current: tuple[str, str] | None
) -> None:
    links = parsed(site[name]).xpath("//header/nav[@aria-label='Site']/a")
    assert [text_of(a) for a in links] == ["Today", "Topics", "Trending", "Archive", "Coverage"]
    assert [(text_of(a), a.get("aria-current")) for a in links if a.get("aria-current")] == (
        [current] if current else []
    )


def test_a_live_site_leads_to_its_search(site: dict[str, bytes]) -> None:
    links = parsed(site["live.html"]).xpath("//header/nav/a")
    assert [text_of(a) for a in links][4:] == ["Search", "Coverage"]
    assert links[4].get("href") == "search"


@pytest.mark.parametrize("name", [n for n in HTML_PAGES if n != "404.html"])
def test_a_page_shared_elsewhere_brings_its_title_and_address(site: dict[str, bytes], name: str) -> None:
    page = parsed(site[name])

    def shared(what: str) -> str:
        return str(page.xpath(f"//meta[@property='og:{what}']/@content")[0])

    assert shared("title") == page.findtext(".//title")
    assert shared("description") == page.xpath("//meta[@name='description']/@content")[0]
    assert shared("url") == page.xpath("//link[@rel='canonical']/@href")[0]
    assert shared("site_name") == SITE.title
    assert shared("type") == ("article" if name.startswith("papers/") else "website")


def test_pages_load_nothing_from_elsewhere_and_carry_no_inline_code(site: dict[str, bytes]) -> None:
    for name in HTML_PAGES:
        page = parsed(site[name])
        loaded = page.xpath("//*/@src | //link[@rel='stylesheet' or @rel='icon']/@href")
        assert not any("//" in url for url in loaded)
        assert page.xpath("//*[@style] | //style | //script[not(@type='application/ld+json')]") == []
        assert page.xpath("//@*[starts-with(name(), 'on')]") == []
    style = site["static/style.css"].decode()
    assert not re.search(r"url\(|@import|@font-face", style)


def test_the_same_data_gives_the_same_bytes_in_any_process() -> None:
    def run(seed: str, zone: str) -> bytes:
        program = "from tests.test_pages_read_well import *; print(site_digest())"
        environment = os.environ | {"PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": "C.UTF-8"}
        root = Path(__file__).parents[1]
        return subprocess.run([sys.executable, "-c", program], cwd=root, env=environment, stdout=-1, check=True).stdout

    assert run("1", "Pacific/Auckland") == run("2", "America/New_York")


def site_digest() -> str:
    """A digest over every page, for comparing two processes."""
    return hashlib.sha256(b"\0".join(v for _, v in sorted(whole_site().items()))).hexdigest()


# The front page


def test_the_front_page_leads_with_the_day_its_numbers_and_what_trends(site: dict[str, bytes]) -> None:
    page = parsed(site["index.html"])
    assert text_of(page.find(".//h1")) == "Tuesday, 2 June 2026"
    assert text_of(page.xpath("//p[@class='stand']")[0]) == "28 new papers, 14 of them in 3 topics."
    trending = page.xpath("//section[@class='trend']//li")
    assert len(trending) == 5
    assert text_of(page.xpath("//a[@class='topic'][.='Language models']/..")[0]).startswith(
        "Language models 14 new, 1,234 in all"
    )


def test_the_front_page_shows_each_topic_even_where_its_papers_are_in_another_too() -> None:
    papers = [tagged(a_paper(paper_id=f"fp:{n}", aliases=(), title=f"Paper {n}"), "nlp", "robots") for n in range(40)]
    page = parsed(pages.index_page(SITE, latest_day=DAY, papers=papers, days=[(DAY, 40)], topic_counts={}, trending=()))
    sections = page.xpath("//section[@class='group']")
    assert [text_of(s.find("h2")) for s in sections] == ["Language models 40", "Robot learning 40"]
    titles = [text_of(h) for h in page.iter("h3")]
    assert len(titles) == len(set(titles)) == 28
    more = [text_of(a) for a in page.xpath("//section[@class='group']/p[@class='more']/a")]
    assert more == ["26 more in Language models", "12 more in Robot learning"]


def test_the_front_page_counts_the_day_even_when_it_is_given_a_part_of_it() -> None:
    page = pages.index_page(SITE, latest_day=DAY, papers=papers_of(10), days=[(DAY, 512)], topic_counts={}, trending=())
    assert "512 new papers" in text_of(parsed(page).xpath("//p[@class='stand']")[0])


def test_an_empty_archive_says_what_to_run(site: dict[str, bytes]) -> None:
    page = parsed(site["empty.html"])
    assert "paperwire run" in [text_of(k) for k in page.iter("kbd")]
    assert page.xpath("//a[@class='topic']/@href") == [topic_path(t.slug) for t in TOPICS]


def test_the_front_page_stays_light_with_fifty_topics_and_a_thousand_papers() -> None:
    topics = tuple(topic(f"topic-{n}", f"A topic with a rather long title, number {n}") for n in range(50))
    papers = [
        replace(t, tags=tuple(Tag(slug=f"topic-{(n + k) % 50}", title=f"T{k}", reason="r") for k in range(3)))
        for n, t in enumerate(papers_of(1000))
    ]
    days = [(DAY - timedelta(days=n), 1000 + n) for n in range(900)]
    page = pages.index_page(
        replace(SITE, topics=topics), latest_day=DAY, papers=papers, days=days, topic_counts={}, trending=papers[:9]
    )
    assert len(page) <= 100_000


# Days and topics


def test_a_day_of_seven_hundred_papers_has_each_once_and_stays_under_400_kb() -> None:
    papers = papers_of(700)
    page = pages.day_page(SITE, DAY, papers, previous=None, next_day=None)
    assert len(page) <= 400_000
    hrefs = parsed(page).xpath("//h3/a/@href")
    assert len(hrefs) == 700
    assert set(hrefs) == {f"../{paper_path(t.paper.paper_id)}" for t in papers}


def test_a_usual_day_shows_the_beginning_of_every_abstract() -> None:
    page = parsed(pages.day_page(SITE, DAY, papers_of(120), previous=None, next_day=None))
    assert len(page.xpath("//p[@class='sum']")) == 120


def test_a_day_leads_to_its_neighbours(site: dict[str, bytes]) -> None:
    page = parsed(site[day_path(DAY)])
    assert set(page.xpath("//*[@rel='prev']/@href")) == {"../days/2026-06-01.html"}
    assert page.xpath("//*[@rel='next']") == []
    both = parsed(pages.day_page(SITE, DAY, (), previous=DAY, next_day=DAY + timedelta(days=1)))
    assert set(both.xpath("//*[@rel='next']/@href")) == {"../days/2026-06-03.html"}


def test_a_topic_shows_its_query_its_address_and_how_much_there_is(site: dict[str, bytes]) -> None:
    page = parsed(site["topics/nlp.html"])
    assert text_of(page.xpath("//p[@class='query']/code")[0]) == 'title:"language model" OR category:cs.CL'
    assert text_of(page.xpath("//code[@class='pick']")[0]) == "https://wire.example.org/feeds/nlp.atom"
    assert [text_of(d) for d in page.xpath("//dl[@class='follow']/dt")] == ["New papers", "Trending", "Revisions"]
    assert [text_of(d) for d in page.xpath("//dl[@class='follow']/dd")] == ["Atom RSS JSON Feed"] * 3
    assert page.xpath("//dl[@class='follow']//a/@href")[-1] == "../feeds/nlp/revisions.json"
    assert "The newest 20 of 100 papers." in text_of(page.find(".//main"))
    days = [text_of(h) for h in page.xpath("//section[@class='group']/h2")]
    assert days == ["Tuesday, 2 June 2026 14", "Monday, 1 June 2026 6"]


def test_a_topic_lists_what_was_revised(site: dict[str, bytes]) -> None:
    lines = [text_of(li) for li in parsed(site["topics/nlp.html"]).xpath("//ul[@class='changes']/li")]
    assert lines == [
        "Bounds for Robust Regression Version 2 5 June 2026, changed: title, abstract, authors",
        "Bounds for Robust Regression Published, Withdrawn 11 June 2026",
    ]


def test_a_topic_that_is_no_longer_configured_is_named_but_not_linked(site: dict[str, bytes]) -> None:
    page = parsed(site[day_path(DAY)])
    assert page.xpath("//span[@class='chip'][.='Gone Topic']")
    assert not page.xpath("//a[contains(@href, 'gone-topic')]")


# What readers see, in a real browser

needs_chromium = pytest.mark.skipif(
    chromium() is None, reason="no Chromium on this machine (install one or set PAPERWIRE_CHROMIUM)"
)
SEEN = [n for n in HTML_PAGES if n != "404.html"]
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},
}


@pytest.fixture(scope="module")
def address(site: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    for name, content in site.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with serving(web_app(folder)) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


def unfold(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")


@needs_chromium
@pytest.mark.parametrize("width", [320, 360, 1280])
def test_nothing_is_wider_than_the_window(browser: Browser, address: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    for name in SEEN:
        page.goto(address + name)
        unfold(page)
        wide = page.evaluate(
            """w => [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > w + 0.5
               && !e.closest('.skip, .formula *')).map(e => e.tagName + '.' + e.className)""",
            width,
        )
        scroll = page.evaluate("document.documentElement.scrollWidth")
        assert (name, wide, scroll <= width) == (name, [], True)
    page.close()


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_axe_finds_nothing_to_complain_about(browser: Browser, address: str, width: int, scheme: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    for name in (*SEEN, "not/there"):
        page.goto(address + name)
        unfold(page)
        found = Axe().run(page, options=RULES).response["violations"]
        assert [(name, v["id"], v["nodes"][0]["html"][:200]) for v in found] == []
    page.close()


@needs_chromium
def test_a_thumb_finds_every_link_that_stands_alone(browser: Browser, address: str) -> None:
    """24 px at least (WCAG 2.2, 2.5.8); links inside a sentence are free to be as high as their line."""
    page = browser.new_page(viewport={"width": 360, "height": 800})
    alone = "nav a, h2 a, h3 a, .facts a, .feeds a, .topic, .days a, .buttons a, .trend a, .changes a, .more a, .all a"
    lists = "dl.follow a, .month a, .compact a"
    for name in SEEN:
        page.goto(address + name)
        unfold(page)
        small = page.evaluate(
            """wanted => [...document.querySelectorAll(wanted)].filter(e => e.offsetParent
               && e.getBoundingClientRect().height < 24).map(e => e.outerHTML.slice(0, 150))""",
            f"{alone}, .why a, .kicker a, .foot a, .mast-name, summary, .wire a, .cells a, {lists}",
        )
        assert (name, small) == (name, [])
    page.close()


@needs_chromium
def test_pages_run_nothing_load_only_their_own_and_do_not_move(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800})
    noise: list[str] = []
    page.on("dialog", lambda dialog: noise.append(f"dialog {dialog.message}"))
    page.on("console", lambda message: noise.append(f"console {message.text}"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name in SEEN:
        page.goto(address + name)
        unfold(page)
    assert noise == []
    assert len(asked) >= 2 * len(SEEN)
    assert [url for url in asked if not url.startswith(address)] == []
    page.goto(address + "index.html")
    shift = page.evaluate(
        """() => new Promise(done => {
           let sum = 0;
           const seen = new PerformanceObserver(list => list.getEntries().forEach(e => { sum += e.value }));
           seen.observe({type: 'layout-shift', buffered: true});
           requestAnimationFrame(() => requestAnimationFrame(() => done(sum)));
        })"""
    )
    assert shift == 0
    page.close()


@needs_chromium
def test_the_keyboard_reaches_the_content_first_and_shows_where_it_is(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    style = page.evaluate("(s => [s.outlineStyle, s.outlineWidth])(getComputedStyle(document.activeElement))")
    assert style == ["solid", "3px"]
    page.close()


@needs_chromium
def test_the_keyboard_reaches_every_link_in_the_order_of_the_page(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800})
    for name in ("topics.html", "months/2026-06.html", "topics/nlp.html"):
        page.goto(address + name)
        unfold(page)
        wanted = page.evaluate(
            "[...document.querySelectorAll('a[href], summary, pre[tabindex]')].map(e => e.outerHTML.slice(0, 120))"
        )
        met = []
        for _ in wanted:
            page.keyboard.press("Tab")
            met.append(page.evaluate("document.activeElement.outerHTML.slice(0, 120)"))
        assert (name, met) == (name, wanted)
    page.close()


@needs_chromium
def test_a_printed_page_is_its_text_without_what_leads_elsewhere(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 800, "height": 1000}, color_scheme="dark")
    page.emulate_media(media="print")
    for name in ("index.html", "topics/nlp.html", day_path(DAY)):
        page.goto(address + name)
        shown = page.evaluate(
            "[...document.querySelectorAll('.mast nav, .jump, .band, .turn, .skip')].filter(e => e.offsetParent).length"
        )
        ink = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (name, shown, ink) == (name, 0, "rgb(255, 255, 255)")
    page.close()
