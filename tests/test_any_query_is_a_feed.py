"""Any query is a feed in every format, with the entries of the feeds that lie on disk and validators that hold."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from lxml import etree

from publishers.feeds import ENTRIES_MIN
from publishers.web import web_app
from storage.settings import Settings, Site
from tests.builders import NOW
from tests.live_site import BASE_URL, Wire, archive, numbered, served, some_papers
from tests.site_server import serving
from tests.test_feeds_are_valid import faults, json_schema
from tests.test_web_serves_the_site import Answer, Client

FORMATS = {"atom": "application/atom+xml", "rss": "application/rss+xml", "json": "application/feed+json"}
ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    settings = archive(tmp_path_factory.mktemp("wire") / "home", some_papers())
    with served(settings) as wire:
        yield wire


def feed(wire: Wire, query: str, extension: str = "atom", **headers: str) -> Answer:
    return wire.client.get(f"/search.{extension}?q={quote(query, safe='')}", **headers)


def titles(answer: Answer) -> list[str]:
    return [str(e.findtext(f"{ATOM}title")) for e in etree.fromstring(answer.body).iter(f"{ATOM}entry")]


@pytest.mark.parametrize(("extension", "media_type"), FORMATS.items())
def test_a_query_is_a_valid_feed_in_every_format(wire: Wire, extension: str, media_type: str) -> None:
    answer = feed(wire, 'diffusion OR author:"ada example"', extension)
    assert (answer.status, answer.headers["content-type"]) == (200, media_type)
    if extension == "json":
        document = json.loads(answer.body)
        assert [e.message for e in json_schema().iter_errors(document)] == []
        assert len(document["items"]) == 4
    else:
        assert faults(answer.body, extension) == []


def test_it_finds_what_the_query_says_newest_first_and_no_paper_that_was_never_news(wire: Wire) -> None:
    assert titles(feed(wire, "diffusion")) == ["Diffusion policies", "Diffusion models for video"]
    assert titles(feed(wire, "loaded")) == []
    assert titles(feed(wire, "code:yes")) == ["Diffusion policies"]
    assert titles(feed(wire, "like:2606.00001 diffusion"))[:1] != []


def test_since_counts_from_the_newest_paper_so_a_quiet_wire_keeps_its_bytes(wire: Wire) -> None:
    assert titles(feed(wire, "diffusion since:30d")) == ["Diffusion policies"]


@pytest.mark.parametrize("extension", ["atom", "rss"])
def test_an_entry_has_the_bytes_it_has_in_the_main_feeds(wire: Wire, extension: str) -> None:
    tag = f"{ATOM}entry" if extension == "atom" else "item"

    def entries(body: bytes) -> dict[str, bytes]:
        return {
            str(e.findtext(f"{ATOM}id") or e.findtext("guid")): bytes(etree.tostring(e, method="c14n", exclusive=True))
            for e in etree.fromstring(body).iter(tag)
        }

    main = entries((wire.settings.home / "site" / "feeds" / f"all.{extension}").read_bytes())
    mine = entries(feed(wire, "video OR policies", extension).body)
    assert len(mine) == 3
    assert {name: main[name] for name in mine} == mine


def test_an_item_of_json_is_the_one_of_the_main_feed(wire: Wire) -> None:
    main = json.loads((wire.settings.home / "site" / "feeds" / "all.json").read_bytes())["items"]
    mine = json.loads(feed(wire, "video OR policies", "json").body)["items"]
    assert len(mine) == 3
    assert all(item in main for item in mine)


def test_a_feed_says_its_own_address_its_page_and_an_id_of_its_own(wire: Wire) -> None:
    root = etree.fromstring(feed(wire, 'title:"a & b" OR diffusion').body)
    links = {link.get("rel"): link.get("href") for link in root.findall(f"{ATOM}link")}
    spelled = "q=title%3A%22a%20%26%20b%22%20OR%20diffusion"
    assert links == {"self": f"{BASE_URL}search.atom?{spelled}", "alternate": f"{BASE_URL}search?{spelled}"}
    assert root.findtext(f"{ATOM}id") == f"tag:wire.example.org,2026:search?{spelled}"
    other = etree.fromstring(feed(wire, "diffusion").body)
    assert other.findtext(f"{ATOM}id") != root.findtext(f"{ATOM}id")
    assert json.loads(feed(wire, "diffusion", "json").body)["feed_url"] == f"{BASE_URL}search.json?q=diffusion"


def test_what_a_reader_has_is_not_sent_again(wire: Wire) -> None:
    first = feed(wire, "diffusion")
    assert first.headers["etag"].startswith('"')
    assert first.headers["last-modified"] == "Tue, 02 Jun 2026 06:00:00 GMT"
    assert first.headers["cache-control"] == "no-cache"
    again = feed(wire, "diffusion", If_None_Match=first.headers["etag"])
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert feed(wire, "diffusion", If_Modified_Since=first.headers["last-modified"]).status == 304
    assert feed(wire, "policies", If_None_Match=first.headers["etag"]).status == 200


def test_gzip_is_sent_to_those_who_take_it(wire: Wire) -> None:
    plain, zipped = feed(wire, "diffusion"), feed(wire, "diffusion", Accept_Encoding="gzip")
    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.decompress(zipped.body) == plain.body
    assert zipped.headers["etag"] != plain.headers["etag"]
    assert plain.headers["vary"] == zipped.headers["vary"] == "Accept-Encoding"


def test_head_says_what_get_would_say(wire: Wire) -> None:
    got = feed(wire, "diffusion")
    head = wire.client.get("/search.atom?q=diffusion", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert [head.headers[n] for n in ("etag", "content-length")] == [got.headers[n] for n in ("etag", "content-length")]


def test_another_process_gives_the_same_bytes(wire: Wire) -> None:
    with served(wire.settings) as other:
        assert all(feed(other, "diffusion", f).body == feed(wire, "diffusion", f).body for f in FORMATS)


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize(
    "query", ["", "diffusion OR", "titel:x", "(" * 30, "x " * 1_500, "like:refs.bib", "like:no-such"]
)
def test_a_bad_query_is_told_in_plain_words(wire: Wire, extension: str, query: str) -> None:
    answer = feed(wire, query, extension)
    assert (answer.status, answer.headers["content-type"]) == (400, "text/plain; charset=utf-8")
    assert b"at character" in answer.body
    assert answer.headers["cache-control"] == "no-store"
    assert wire.client.get(f"/search.{extension}").status == 400


def test_a_query_is_one_line_of_a_readers_list(wire: Wire) -> None:
    answer = feed(wire, 'diffusion "a & b"', "opml")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/x-opml; charset=utf-8")
    lines = [dict(e.attrib) for e in etree.fromstring(answer.body).iter("outline")]
    spelled = "q=diffusion%20%22a%20%26%20b%22"
    assert [(e["xmlUrl"], e["htmlUrl"], e["type"]) for e in lines] == [
        (f"{BASE_URL}search.atom?{spelled}", f"{BASE_URL}search?{spelled}", "rss")
    ]
    assert feed(wire, "diffusion OR", "opml").status == 400


def test_a_long_feed_keeps_its_window(tmp_path: Path) -> None:
    hour = timedelta(hours=1)
    many = [(NOW - hour * (90 - n), [numbered(10 * n + k) for k in range(10)]) for n in range(91)]
    with served(archive(tmp_path / "home", many[-8:])) as wire:
        assert len(titles(feed(wire, "short"))) == 80, "all of 72 hours"
        assert len(titles(feed(wire, "short since:1d"))) == 80
    old = [(NOW - timedelta(days=100 - n), [numbered(n)]) for n in range(60)]
    with served(archive(tmp_path / "old", old)) as wire:
        assert len(titles(feed(wire, "short"))) == ENTRIES_MIN


def test_what_is_committed_is_in_the_next_answer(tmp_path: Path) -> None:
    home, days = tmp_path / "home", some_papers()
    settings = Settings(home=home, site=Site(base_url=BASE_URL))
    with serving(web_app(home / "site", settings=settings)) as port:
        web = Client(port)
        before = web.get("/search.atom?q=diffusion")
        assert (before.status, before.headers["retry-after"]) == (503, "10")
        assert b"Nothing is archived here yet" in before.body
        archive(home, days[:1])
        first = web.get("/search.atom?q=diffusion")
        assert titles(first) == ["Diffusion models for video"]
        archive(home, days)
        second = web.get("/search.atom?q=diffusion", If_None_Match=first.headers["etag"])
        assert titles(second) == ["Diffusion policies", "Diffusion models for video"]
        (home / "papers.duckdb").rename(home / "away")
        assert web.get("/search.atom?q=diffusion").status == 503
        (home / "away").rename(home / "papers.duckdb")
        assert web.get("/search.atom?q=diffusion").body == second.body


def test_a_site_that_is_not_live_answers_none_of_it(tmp_path: Path) -> None:
    settings = archive(tmp_path / "home", some_papers()[:1], live=False)
    with served(settings) as wire:
        assert [wire.client.get(t).status for t in ("/search", "/search.atom?q=x", "/authors/ada-example")] == [404] * 3
        assert wire.client.get("/").status == 200
        assert b"search" not in wire.client.get("/").body
