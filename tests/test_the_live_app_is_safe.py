"""The live app is safe: whatever is asked, it stays text, names no file, ends in time, and holds nothing else up."""

from __future__ import annotations

import asyncio
import http.client
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from publishers.answers import Body, body
from publishers.live import Live
from publishers.live_work import Busy, Desk, Failed
from publishers.web import web_app
from tests.builders import NOW
from tests.live_site import Wire, archive, numbered, served, some_papers
from tests.page_builders import parsed
from tests.site_server import serving
from tests.test_web_serves_the_site import Client

PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "</title><svg onload=alert(1)>",
    "</pre></code><h1>x",
    "{{7*7}}${7*7}",
    "javascript:alert(1)",
    "&lt;script&gt;",
    "\u202ereversed\u2066",
    "a\r\nSet-Cookie: x=1\r\n\r\n<html>",
    "title:\x00\x1b[31m",
    "'; DROP TABLE papers; --",
    "%0d%0aLocation:%20//elsewhere.test",
    "//elsewhere.test/",
    "../../../etc/passwd",
    "like:../paperwire.toml",
    "like:/etc/passwd",
    "like:file:///etc/passwd.bib",
    'like:"refs.ris"',
    "\ufffe\uffff\U0001f600",
]
HOSTILE = "Eve <script>alert(1)</script> \"'&\r\nX: y"


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    days = [*some_papers(), (NOW, [numbered(9, title="<img src=x onerror=alert(1)> diffusion", authors=(HOSTILE,))])]
    home = tmp_path_factory.mktemp("wire") / "home"
    (home / "site").mkdir(parents=True)
    (home / "refs.bib").write_text("@article{secret, title={the ledger}}")
    with served(archive(home, days)) as wire:
        yield wire


def pages_about(payload: str) -> list[str]:
    spelled = quote(payload, safe="")
    targets = [f"/search?q={spelled}", f"/search?q={spelled}&part=results", f"/authors/{spelled}"]
    return [*targets, *(f"/search.{f}?q={spelled}" for f in ("atom", "rss", "json", "opml"))]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_that_is_asked_becomes_markup_or_an_error_of_ours(wire: Wire, payload: str) -> None:
    for target in pages_about(payload):
        answer = wire.client.get(target)
        assert answer.status in (200, 400, 404), target
        assert {"set-cookie", "location", "x"} & set(answer.headers) == set()
        if answer.headers["content-type"].startswith("text/html"):
            tree = parsed(answer.body)
            assert tree.xpath("//@*[starts-with(name(), 'on')] | //img | //script[not(@src='static/search.js')]") == []
            assert not any(re.match(r"\s*(javascript|data):|//", h) for h in tree.xpath("//@href | //@src | //@action"))
            assert tree.xpath("//svg[not(@class='daily')]") == []


def test_what_a_paper_says_stays_text_on_every_live_page(wire: Wire) -> None:
    for target in ("/search?q=diffusion", "/authors/eve-script-alert-1-script-x-y"):
        answer = wire.client.get(target)
        assert answer.status == 200
        tree = parsed(answer.body)
        assert tree.xpath("//@*[starts-with(name(), 'on')] | //img | //h3//*[not(self::a)]") == []
        assert b"&lt;img src=x" in answer.body


@pytest.mark.parametrize(
    "seed", ["refs.bib", "../home/refs.bib", "/etc/passwd", "./x.ris", "~/.bashrc", "refs.bib\x00"]
)
def test_no_file_is_ever_read(wire: Wire, seed: str) -> None:
    for target in (f"/search?q={quote(f'like:{seed}')}", f"/search.atom?q={quote(f'like:{seed}')}"):
        answer = wire.client.get(target)
        assert answer.status == 400
        assert b"ledger" not in answer.body
        assert str(wire.settings.home).encode() not in answer.body


@pytest.mark.parametrize(
    "target",
    [
        "/search",
        "/search?q=x",
        "/search?q=(",
        "/authors/nobody",
        "/authors/ada-example",
    ],
)
def test_every_page_carries_the_protective_headers(wire: Wire, target: str) -> None:
    headers = wire.client.get(target).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert policy.get("script-src", "'self'") == policy.get("connect-src", "'self'") == "'self'"


@pytest.mark.parametrize("target", ["/search.atom?q=x", "/search.rss?q=x", "/search.opml?q=x", "/search.atom"])
def test_a_feed_has_no_policy_of_pages_but_keeps_its_type(wire: Wire, target: str) -> None:
    headers = wire.client.get(target).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "content-security-policy" not in headers


def test_only_the_pages_that_need_it_may_run_or_send_anything(wire: Wire) -> None:
    def policy(target: str) -> str:
        return wire.client.get(target).headers["content-security-policy"]

    assert "script-src 'self'; connect-src 'self'" in policy("/search?q=x")
    assert "form-action 'self'" in policy("/search")
    assert "form-action 'self'" in policy("/authors/nobody")
    for target in ("/", "/papers/arxiv-2606.00001.html", "/authors/nobody"):
        assert "script-src" not in policy(target)
    assert "form-action 'none'" in policy("/")


def test_searches_stay_out_of_search_engines_and_errors_out_of_caches(wire: Wire) -> None:
    for target in ("/search", "/search?q=x", "/search?q=(", "/search?q=x&part=results"):
        assert wire.client.get(target).headers["x-robots-tag"] == "noindex"
    for target in ("/search?q=(", "/search.atom?q=(", "/authors/nobody"):
        assert wire.client.get(target).headers["cache-control"] == "no-store"
    assert wire.client.get("/search?q=x").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_only_get_and_head_are_answered(wire: Wire, method: str) -> None:
    for target in ("/search", "/search.atom?q=x", "/authors/ada-example"):
        answer = wire.client.get(target, method=method)
        assert answer.status == 405
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_very_long_address_is_refused_and_the_next_one_answered(wire: Wire) -> None:
    for size in (10_000, 60_000, 500_000):
        try:
            status = wire.client.get(f"/search?q={'a' * size}").status
        except (http.client.HTTPException, OSError):  # it hung up on us: just as well
            status = 400
        assert status == 400
    assert wire.client.get("/search?q=diffusion").status == 200


def test_many_values_and_odd_spellings_of_an_address_do_no_harm(wire: Wire) -> None:
    for target in (
        "/search?q=diffusion&q=video",
        "/search?q=diffusion&days=99999999999999999999",
        "/search?q=diffusion&days=-1&part=../../x",
        "/search?q=%ff%fe%80",
        "/search?=&&&",
        "/search?" + "&".join(f"x{n}=1" for n in range(2_000)),
        "//search?q=x",
        "/search/",
        "/search.",
        "/search.exe?q=x",
        "/authors/",
        "/authors/a/b",
        "/authors/%2e%2e%2fpapers.duckdb",
    ):
        answer = wire.client.get(target)
        assert answer.status in (200, 400, 404), target
        assert "location" not in answer.headers


def test_a_prefix_in_front_of_it_changes_no_link(wire: Wire) -> None:
    page = parsed(wire.client.get("/search?q=diffusion").body)
    links = page.xpath("//a/@href | //form/@action | //script/@src | //link[@rel!='canonical']/@href")
    ours = [link for link in links if not link.startswith("https://arxiv.org/")]
    assert ours
    assert not any(link.startswith(("/", "http")) for link in ours if not link.startswith("https://c.test"))


# Bounds.


def answer_of(text: str) -> Body:
    return body(text.encode(), "text/plain")


def test_a_question_is_answered_once_however_many_ask() -> None:
    async def run() -> None:
        desk, gate, asked = Desk(), threading.Event(), []

        def work() -> Body:
            asked.append(1)
            assert gate.wait(10)
            return answer_of("x")

        many = [asyncio.ensure_future(desk.ask("key", work)) for _ in range(50)]
        await asyncio.sleep(0)
        gate.set()
        assert {answer.content for answer in await asyncio.gather(*many)} == {b"x"}
        assert (await desk.ask("key", work)).content == b"x"
        assert len(asked) == 1

    asyncio.run(run())


def test_more_than_it_holds_are_sent_away_and_it_goes_on_afterwards() -> None:
    async def run() -> None:
        desk, gate, most, now = Desk(running_max=2, waiting_max=3), threading.Event(), [0], [0]
        guard = threading.Lock()

        def work() -> Body:
            with guard:
                now[0] += 1
                most[0] = max(most[0], now[0])
            assert gate.wait(10)
            with guard:
                now[0] -= 1
            return answer_of("x")

        held = [asyncio.ensure_future(desk.ask(n, work)) for n in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await desk.ask("one more", work)
        gate.set()
        assert len(await asyncio.gather(*held)) == 5
        assert most[0] <= 2
        assert (await desk.ask("one more", work)).content == b"x"

    asyncio.run(run())


def test_a_question_that_takes_too_long_is_given_up() -> None:
    async def run() -> None:
        desk, gate = Desk(seconds_max=0.05), threading.Event()

        def work() -> Body:
            gate.wait(10)
            return answer_of("late")

        with pytest.raises(Busy):
            await desk.ask("slow", work)
        gate.set()

    asyncio.run(run())


def test_a_fault_of_ours_is_told_and_not_remembered(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        desk, faults = Desk(), [ZeroDivisionError("x")]

        def work() -> Body:
            if faults:
                raise faults.pop()
            return answer_of("x")

        with pytest.raises(Failed):
            await desk.ask("key", work)
        assert (await desk.ask("key", work)).content == b"x"

    asyncio.run(run())
    assert "ZeroDivisionError" in caplog.text


def test_only_so_many_bytes_are_remembered() -> None:
    async def run() -> None:
        desk, asked = Desk(bytes_max=10_000), []

        def work(key: int) -> Body:
            asked.append(key)
            return Body(content=bytes(1_000), zipped=None, media_type="text/plain", modified=None)

        for key in (*range(10), 0, *range(10, 19), 0, 1):
            await desk.ask(key, lambda key=key: work(key))  # type: ignore[misc]
        assert asked == [*range(19), 1], "0 was asked for again in time, 1 was forgotten"

    asyncio.run(run())


def test_slow_questions_do_not_hold_up_a_static_file(tmp_path: Path) -> None:
    settings = archive(tmp_path / "home", some_papers()[:1])
    begun, gate, desk = threading.Event(), threading.Event(), Desk(running_max=1, waiting_max=0)

    def work() -> Body:
        begun.set()
        assert gate.wait(20)
        return answer_of("x")

    async def slow(_: Request) -> PlainTextResponse:
        return PlainTextResponse((await desk.ask("slow", work)).content)

    app = web_app(settings.home / "site")
    app.router.routes[0:0] = [Route("/slow", slow), *Live(settings.home, settings, desk=desk).routes()]
    with serving(app) as port, ThreadPoolExecutor(1) as pool:
        web = Client(port)
        answer = pool.submit(web.get, "/slow")
        assert begun.wait(20)
        assert web.get("/").status == 200
        busy = web.get("/search.atom?q=diffusion")
        assert (busy.status, busy.headers["retry-after"]) == (503, "10")
        page = web.get("/search?q=diffusion")
        assert (page.status, b"try again" in page.body) == (503, True)
        gate.set()
        assert answer.result(20).status == 200
        assert web.get("/search?q=diffusion").status == 200


def test_a_damaged_archive_is_told_without_saying_where_it_lies(tmp_path: Path) -> None:
    settings = archive(tmp_path / "home", some_papers()[:1])
    (settings.home / "papers.duckdb").write_bytes(b"not a database" * 1_000)
    with served(settings) as wire:
        for target in ("/search?q=x", "/search.atom?q=x", "/authors/ada-example"):
            answer = wire.client.get(target)
            assert answer.status == 503
            assert b"cannot be read" in answer.body
            assert str(tmp_path).encode() not in answer.body
        assert wire.client.get("/").status == 200
