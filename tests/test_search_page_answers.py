"""The search page answers: with scripts off as any form, with scripts on while somebody types."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, expect, sync_playwright

from bench.screenshots import chromium
from publishers.web import web_app
from storage.settings import Topic
from tests.live_site import BASE_URL, Wire, archive, served, settings_of, some_papers
from tests.page_builders import parsed, text_of
from tests.site_server import serving
from tests.test_pages_read_well import RULES
from tests.test_web_serves_the_site import Client


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    settings = archive(tmp_path_factory.mktemp("wire") / "home", some_papers())
    with served(settings) as wire:
        yield wire


def ask(wire: Wire, query: str, more: str = "", *, status: int = 200) -> Any:
    answer = wire.client.get(f"/search?q={quote(query, safe='')}{more}")
    assert answer.status == status
    return parsed(answer.body)


def titles(page: Any) -> list[str]:
    return [text_of(h) for h in page.iter("h3")]


# With scripts off.


def test_the_empty_page_has_a_labelled_box_that_has_the_focus_and_examples_that_work(wire: Wire) -> None:
    page = parsed(wire.client.get("/search").body)
    box = page.xpath("//form[@action='search' and @method='get']//input[@name='q']")[0]
    assert text_of(page.xpath(f"//label[@for='{box.get('id')}']")[0])
    assert box.get("autofocus") is not None
    examples = page.xpath("//ul//a[contains(@href, 'search?q=')]")
    assert len(examples) >= 6
    for link in examples:
        assert parse_qs(urlsplit(link.get("href")).query)["q"] == [text_of(link)]
        assert wire.client.get(f"/{link.get('href')}").status == 200


def test_the_answer_shows_the_newest_papers_first_and_why(wire: Wire) -> None:
    page = ask(wire, "diffusion OR code:yes")
    assert titles(page) == ["Diffusion policies", "Diffusion models for video"]
    reasons = [text_of(e) for e in page.xpath("//p[@class='reason']")]
    assert [reason.removeprefix("Here because: ") for reason in reasons] == ["diffusion, code:yes", "diffusion"]
    box = page.xpath("//input[@name='q']")[0]
    assert (box.get("value"), box.get("autofocus")) == ("diffusion OR code:yes", None)
    assert page.xpath("//h3/a/@href")[0] == "papers/arxiv-2606.00004.html"


def test_a_search_finds_loaded_papers_too_although_no_feed_has_them(wire: Wire) -> None:
    page = ask(wire, "loaded")
    assert titles(page) == ["Loaded long ago"]
    assert "0 papers in the 30 days" in text_of(page.get_element_by_id("results"))


@pytest.mark.parametrize(("days", "total"), [(30, 1), (90, 2)])
def test_the_preview_says_what_it_would_have_brought(wire: Wire, days: int, total: int) -> None:
    page = ask(wire, "diffusion", f"&days={days}")
    plot = page.xpath("//*[local-name()='svg']")[0]
    assert plot.get("role") == "img"
    assert plot.get("aria-label").startswith(
        f"{total} paper{'s' if total > 1 else ''} in the {days} days until 2 June 2026"
    )
    rows = page.xpath("//table/tbody/tr")
    assert len(rows) == days
    assert sum(int(text_of(row.find("td"))) for row in rows) == total
    assert text_of(page.get_element_by_id("yield")).startswith("What it brings ")
    assert [text_of(a) for a in page.xpath("//a[@aria-current='true']")][-1] == f"{days} days"
    kept = page.xpath("//form//input[@name='days']/@value")
    assert kept == ([] if days == 30 else ["90"]), "asking again keeps the days"


def test_the_bars_are_one_for_each_day_that_brought_something(wire: Wire) -> None:
    path = ask(wire, "diffusion", "&days=90").xpath("//*[local-name()='path']/@d")[0]
    assert len(re.findall("M", path)) == 2


def test_it_says_how_to_subscribe(wire: Wire) -> None:
    query = 'title:"a b" OR diffusion'
    page = ask(wire, query)
    spelled = quote(query, safe="")
    hrefs = page.xpath("//p[@class='buttons']/a/@href")
    assert hrefs == [f"search.{f}?q={spelled}" for f in ("atom", "rss", "json", "opml")]
    assert [wire.client.get(f"/{href}").status for href in hrefs] == [200] * 4
    assert text_of(page.xpath("//code[@class='pick']")[0]) == f"{BASE_URL}search.atom?q={spelled}"
    assert len(page.xpath("//link[@rel='alternate']")) == 3


@pytest.mark.parametrize(
    "query", ["diffusion", '"language model" -survey', 'author:\'x"y"', "\\alpha é", "votes:>20", "short"]
)
def test_the_lines_for_the_configuration_are_a_topic_with_this_query(wire: Wire, query: str) -> None:
    lines = ask(wire, query).xpath("//pre")[0].text
    (table,) = tomllib.loads(lines)["topic"]
    topic = Topic(**table)
    assert topic.query == query
    assert topic.slug not in {t.slug for t in wire.settings.topic}


def test_a_query_about_days_is_a_feed_but_no_topic(wire: Wire) -> None:
    page = ask(wire, "diffusion since:30d")
    assert page.xpath("//pre") == []
    assert "no topic" in text_of(page.get_element_by_id("results"))


@pytest.mark.parametrize(
    ("query", "reason", "marked"),
    [
        ("diffusion OR", "OR needs a term after it, at character 11.", "O"),
        (
            "titel:x video",
            "there is no field titel: (did you mean title:? quote a word that has a colon), at character 1.",
            "t",
        ),
        ("title: x", "title: needs its value right after the colon, at character 7.", "here"),
        ("<b> (x", "this ( is never closed, at character 5.", "("),
        ("like:/etc/passwd.bib", "at character 6", "/"),
        ("x " * 1_200, "a query has at most 2,000 characters, at character 2,001.", "here"),
    ],
)
def test_a_bad_query_is_shown_with_the_character_to_blame(wire: Wire, query: str, reason: str, marked: str) -> None:
    page = ask(wire, query, status=400)
    fault = page.get_element_by_id("fault")
    assert reason in text_of(fault)
    assert text_of(fault.xpath(".//mark")[0]) == marked
    box = page.xpath("//input[@name='q']")[0]
    assert (box.get("aria-invalid"), box.get("aria-describedby")) == ("true", "fault")
    assert box.get("value") == query.strip()
    assert page.xpath("//h3") == []


def test_the_part_is_what_stands_in_the_page(wire: Wire) -> None:
    for query in ("diffusion", "diffusion OR", ""):
        part = wire.client.get(f"/search?q={quote(query)}&part=results")
        page = wire.client.get(f"/search?q={quote(query)}")
        assert part.body.strip() in page.body
        assert b"<html" not in part.body


def test_an_archive_that_is_not_there_yet_is_no_error_of_whoever_asks(tmp_path: Path) -> None:
    with serving(web_app(tmp_path / "site", settings=settings_of(tmp_path))) as port:
        assert Client(port).get("/search").status == 200
        answer = Client(port).get("/search?q=diffusion")
        assert (answer.status, answer.headers["retry-after"]) == (503, "10")
        assert b"Nothing is archived here yet" in answer.body


def test_an_answer_that_did_not_change_is_not_sent_again(wire: Wire) -> None:
    first = wire.client.get("/search?q=diffusion")
    assert wire.client.get("/search?q=diffusion", If_None_Match=first.headers["etag"]).status == 304


# With scripts on.

needs_chromium = pytest.mark.skipif(
    chromium() is None, reason="no Chromium on this machine (install one or set PAPERWIRE_CHROMIUM)"
)
SHIFT = """() => new Promise(done => {
  let total = 0;
  new PerformanceObserver(list => { for (const e of list.getEntries()) total += e.value; })
    .observe({type: 'layout-shift', buffered: true});
  requestAnimationFrame(() => requestAnimationFrame(() => done(total)));
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, wire: Wire) -> Iterator[Page]:
    """The search page; whatever the browser complains of fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    noise: list[str] = []
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("console", lambda said: noise.append(said.text) if "400" not in said.text else None)
    page.goto(f"{wire.address}search")
    yield page
    page.close()
    assert noise == []


@needs_chromium
def test_papers_appear_while_somebody_types(page: Page, wire: Wire) -> None:
    page.keyboard.type("diffusion")  # the box has the focus
    expect(page.locator("h3")).to_have_text(["Diffusion policies", "Diffusion models for video"])
    assert page.url == f"{wire.address}search?q=diffusion"
    expect(page.locator("#said")).to_have_text("2 papers shown, 1 paper in 30 days")
    assert page.locator("#said").get_attribute("aria-live") == "polite"
    expect(page).to_have_title("diffusion – Search – A wire")
    assert page.evaluate("history.length") <= 2
    page.locator("#q").fill("")
    expect(page.locator("h3")).to_have_count(0)
    assert page.url == f"{wire.address}search"
    page.reload()
    assert page.locator("#q").input_value() == ""


@needs_chromium
def test_half_a_query_is_called_wrong_only_when_the_typing_stops(page: Page) -> None:
    page.keyboard.type("diffusion")
    expect(page.locator("h3")).to_have_count(2)
    with page.expect_response(lambda r: r.status == 400):
        page.keyboard.type(" OR")
    assert page.locator("#fault").count() == 0
    expect(page.locator("#fault mark")).to_have_text("O")
    expect(page.locator("#q")).to_have_attribute("aria-invalid", "true")
    page.keyboard.type(" policies")
    expect(page.locator("h3")).to_have_count(2)
    assert page.locator("#q").get_attribute("aria-invalid") is None


@needs_chromium
def test_a_late_answer_never_replaces_a_newer_one(page: Page) -> None:
    held: list[Any] = []
    with page.expect_request("**/search?q=diffusion&part=results"):
        page.route("**/search?q=diffusion&part=results", lambda route: held.append(route))
        page.keyboard.type("diffusion")
    expect(page.locator("#results")).to_have_attribute("aria-busy", "true")
    with page.expect_event("requestfailed") as gone:
        page.keyboard.type(" policies")
    assert gone.value.url.endswith("q=diffusion&part=results"), "it is not waited for any more"
    expect(page.locator("h3")).to_have_text(["Diffusion policies"])
    expect(page.locator("#results")).not_to_have_attribute("aria-busy", "true")
    assert page.locator("#q").input_value() == "diffusion policies"


@needs_chromium
def test_keys_reach_the_box_and_the_first_paper(page: Page) -> None:
    page.locator("#main").focus()
    page.keyboard.press("/")
    page.keyboard.type("diffusion")
    assert page.locator("#q").input_value() == "diffusion"
    expect(page.locator("h3")).to_have_count(2)
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") == "Diffusion policies"
    page.keyboard.press("/")
    page.keyboard.type("a/b")
    assert page.locator("#q").input_value() == "a/b"


@needs_chromium
@pytest.mark.parametrize("trouble", ["abort", 503])
def test_where_the_line_is_down_what_stands_there_stays_and_the_button_works(
    browser: Browser, wire: Wire, trouble: Any
) -> None:
    page = browser.new_page()
    page.goto(f"{wire.address}search?q=diffusion")
    page.route("**/*part=results", lambda r: r.abort() if trouble == "abort" else r.fulfill(status=trouble, body="no"))
    with page.expect_event("requestfailed" if trouble == "abort" else "requestfinished"):
        page.locator("#q").fill("policies")
    expect(page.locator("#results")).not_to_have_attribute("aria-busy", "true")
    assert page.locator("h3").count() == 2
    page.locator("button").click()
    expect(page.locator("h3")).to_have_text(["Diffusion policies"])
    page.close()


@needs_chromium
def test_without_scripts_it_is_a_form(browser: Browser, wire: Wire) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{wire.address}search")
    page.locator("#q").fill("diffusion")
    page.keyboard.press("Enter")
    expect(page.locator("h3")).to_have_count(2)
    assert page.url == f"{wire.address}search?q=diffusion"
    context.close()


@needs_chromium
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_it_reads_well(browser: Browser, wire: Wire, width: int, scheme: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    long = "(diffusion OR " + "reasonablylongword" * 6 + ")"
    for target in (
        "search",
        "search?q=diffusion",
        f"search?q={long}&days=90",
        "search?q=diffusion+OR",
        "authors/nobody",
    ):
        page.goto(wire.address + target)
        assert page.evaluate(SHIFT) < 0.01
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
        found = Axe().run(page, options=RULES).response["violations"]
        assert [(target, v["id"], v["nodes"][0]["html"][:200]) for v in found] == []
        assert (target, page.evaluate("document.documentElement.scrollWidth") <= width) == (target, True)
    page.close()


@needs_chromium
@pytest.mark.parametrize("width", [360, 1280])
def test_typing_moves_nothing_about(browser: Browser, wire: Wire, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(f"{wire.address}search?q=diffusion")
    page.locator("#q").fill("video")
    expect(page.locator("h3").first).to_have_text(re.compile("Video transformers"))
    assert page.evaluate(SHIFT) < 0.01
    page.close()
