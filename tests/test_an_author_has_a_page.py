"""An author has a page: everybody who signs so, their papers newest first, whom they write with, how to follow them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from lxml import etree

from publishers.paths import AUTHOR_CHARACTERS_MAX, author_href
from tests.builders import NOW
from tests.live_site import BASE_URL, Wire, archive, numbered, served, some_papers
from tests.page_builders import parsed, text_of

ADA = "/authors/ada-example"


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    settings = archive(tmp_path_factory.mktemp("wire") / "home", some_papers())
    with served(settings) as wire:
        yield wire


def page_of(wire: Wire, target: str = ADA) -> Any:
    answer = wire.client.get(target)
    assert answer.status == 200
    return parsed(answer.body)


def named(page: Any, anchor: str) -> list[str]:
    return [text_of(li) for li in page.xpath(f"//section[@aria-labelledby='{anchor}']//li")]


@pytest.mark.parametrize(
    ("name", "href"),
    [
        ("Ada Example", "authors/ada-example"),
        ("ADA  EXAMPLE", "authors/ada-example"),
        ("Béla Minta", "authors/bela-minta"),
        ('B\\\'{e}la "Minta"', "authors/bela-minta"),
        ("J.-P. O'Neil/Smith", "authors/j-p-o-neil-smith"),
        ("李伟", "authors/%E6%9D%8E%E4%BC%9F"),
        ("../../etc/passwd", "authors/etc-passwd"),
        ("<script>alert(1)</script>", "authors/script-alert-1-script"),
        ("–", None),
        ("", None),
        ("x" * (AUTHOR_CHARACTERS_MAX + 1), None),
    ],
)
def test_all_spellings_of_a_name_lead_to_one_address(name: str, href: str | None) -> None:
    assert author_href(name) == href


def test_the_page_has_the_papers_of_everybody_who_signs_so_and_says_that(wire: Wire) -> None:
    page = page_of(wire)
    assert text_of(page.find(".//h1")) == "Ada Example"
    assert {text_of(h) for h in page.iter("h3")} == {
        "Diffusion models for video",
        "Video transformers & <b>tags</b>",
        "Loaded long ago",
        "On x<y",
    }
    lead = text_of(page.xpath("//div[@class='lead']")[0])
    assert "4 papers by everybody who signs so" in lead
    assert "People of the same name share this page" in lead
    assert "Ada Example (3), Ada Example-Smith (1)" in lead


def test_papers_stand_under_their_year_newest_first(wire: Wire) -> None:
    page = page_of(wire)
    sections = [text_of(s.find("h2")) for s in page.xpath("//section[@class='group']")]
    assert sections[0].startswith("2026 3")
    assert [text_of(h) for h in page.iter("h3")][-1] == "Loaded long ago"


def test_it_tells_whom_they_write_with_and_on_what(wire: Wire) -> None:
    page = page_of(wire)
    assert named(page, "together") == ["Béla Minta 2", "Cy Other 1", "李伟 1"]
    assert page.xpath("//section[@aria-labelledby='together']//a/@href")[0] == "../authors/bela-minta"
    assert "Computation and Language 4" in named(page, "categories")
    assert named(page, "topics") == ["Video & <film> 2"]


def test_the_feeds_are_those_of_the_query(wire: Wire) -> None:
    page = page_of(wire)
    hrefs = page.xpath("//p[@class='buttons']/a/@href")
    spelled = quote('author:"ada example"', safe="")
    assert hrefs == [*(f"../search.{f}?q={spelled}" for f in ("atom", "rss", "json")), f"../search?q={spelled}"]
    assert text_of(page.xpath("//code[@class='pick']")[0]) == f"{BASE_URL}search.atom?q={spelled}"
    feed = etree.fromstring(wire.client.get(f"/search.atom?q={spelled}").body)
    assert len(feed.findall("{http://www.w3.org/2005/Atom}entry")) == 3


def test_every_spelling_is_answered_with_the_one_true_address(wire: Wire) -> None:
    for name in ("Ada%20Example", "ADA-EXAMPLE", "ada.example"):
        page = page_of(wire, f"/authors/{name}")
        assert page.xpath("//link[@rel='canonical']/@href") == [f"{BASE_URL}authors/ada-example"]
        assert text_of(page.find(".//h1")) == "Ada Example"
    assert text_of(page_of(wire, "/authors/%E6%9D%8E%E4%BC%9F").find(".//h1")) == "李伟"


@pytest.mark.parametrize(
    "name", ["nobody-here", "%3Cscript%3E", "ada-example.atom", "..%5C..", "%E2%80%93", "x" * 3_000]
)
def test_an_unknown_author_is_a_404_with_the_search_box(wire: Wire, name: str) -> None:
    answer = wire.client.get(f"/authors/{name}")
    assert answer.status == 404
    page = parsed(answer.body)
    assert page.xpath("//form[@action='../search']//input[@name='q']")
    assert page.xpath("//meta[@name='robots']/@content") == ["noindex"]


def test_an_author_who_writes_much_has_a_page_all_the_same(tmp_path: Path) -> None:
    days = [(NOW - timedelta(days=2 - n), [numbered(1_000 * n + k) for k in range(510)]) for n in range(2)]
    with served(archive(tmp_path / "home", days)) as wire:
        answer = wire.client.get(ADA)
        assert answer.status == 200
        assert len(answer.body) < 1_000_000
        assert "The newest 1,000 papers by everybody" in text_of(parsed(answer.body))


def test_pages_of_papers_lead_to_their_authors_where_the_site_is_live(wire: Wire, tmp_path: Path) -> None:
    page = page_of(wire, "/papers/arxiv-2606.00002.html")
    hrefs = page.xpath("//*[contains(@class, 'authors')]//a/@href")
    assert hrefs == ["../authors/ada-example", "../authors/bela-minta"]
    with served(archive(tmp_path / "home", some_papers()[:1], live=False)) as still:
        assert b"authors/" not in still.client.get("/papers/arxiv-2606.00001.html").body


def test_cards_lead_to_the_authors_they_name_where_the_site_is_live(wire: Wire) -> None:
    for target, root in (("/search?q=video", ""), (ADA, "../"), ("/index.html", ""), ("/topics/video.html", "../")):
        hrefs = page_of(wire, target).xpath("//p[@class='by']/a/@href")
        assert f"{root}authors/ada-example" in hrefs or target == "/index.html", target
        assert all(wire.client.get("/" + href.removeprefix("../")).status == 200 for href in hrefs)
        assert hrefs
