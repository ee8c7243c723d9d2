"""nginx and Caddy, as deploy/ configures them, and our own app: the right types, nothing sent twice, small answers."""

from __future__ import annotations

import gzip
import re
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from publishers.feeds import atom, json_feed, papers_feed, rss
from publishers.web import web_app
from tests.feed_inputs import CHANNEL, SITE, real_papers
from tests.live_site import archive, some_papers
from tests.site_server import serving
from tests.static_servers import caddy, nginx, program
from tests.test_web_serves_the_site import Client, publish

HEADER_BYTES_MAX = 250
HUB = "https://hub.example.org/"
FEED = "/feeds/all.atom"
QUERY = "/search.atom?q=diffusion"
Server = Callable[..., AbstractContextManager[int]]
SERVERS: dict[str, Server] = {"nginx": nginx, "caddy": caddy}
PACKAGES = {"nginx": "nginx-light", "caddy": "caddy"}


@dataclass(frozen=True)
class Raw:
    """An answer as it came over the wire."""

    head: bytes  # status line and all, with the empty line that ends it
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])


def ask(port: int, target: str, **headers: str) -> Raw:
    """Send a request by hand and read to the end."""
    lines = [f"GET {target} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    return Raw(head + b"\r\n\r\n", body)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a wire that has published, with a few files of every kind."""
    settings = archive(tmp_path_factory.mktemp("served") / "home", some_papers(), hub=HUB)
    site = settings.home / "site"
    (site / "feeds" / ".all.atom.new").write_bytes(b"half a feed")
    publish(site, "static/i.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    return settings.home


@contextmanager
def started(name: str, home: Path, tmp: Path, change: Callable[[str], str] = lambda text: text) -> Iterator[Client]:
    """A server of that name over the published site."""
    if not program(name):
        pytest.skip(f"{name} (Debian package {PACKAGES[name]}) is not installed")
    with SERVERS[name](tmp, home / "site", change) as port:
        yield Client(port)


@pytest.fixture(scope="module", params=SERVERS)
def web(request: pytest.FixtureRequest, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with started(request.param, home, tmp_path_factory.mktemp(request.param)) as client:
        yield client


TARGETS = (
    *("/", "/index.html", "/health.html", FEED, "/feeds/all.rss", "/feeds/all.json", "/feeds.opml"),
    *("/feeds/all/revisions.json", "/static/style.css", "/static/search.js", "/static/i.svg"),
    *("/papers/arxiv-2606.00001.html", "/papers/arxiv-2606.00001.atom", "/papers/arxiv-2606.00001.bib"),
    *("/papers/arxiv-2606.00001.ris", "/nothing-here"),
)


@pytest.fixture(scope="module")
def ours(home: Path) -> Iterator[Client]:
    with serving(web_app(home / "site")) as port:
        yield Client(port)


@pytest.mark.parametrize("target", TARGETS)
def test_types_bodies_and_policies_are_those_of_our_own_app(web: Client, ours: Client, target: str) -> None:
    theirs, own = web.get(target), ours.get(target)
    assert (theirs.status, theirs.body) == (own.status, own.body)
    assert theirs.headers["content-type"] == own.headers["content-type"]
    for name in ("content-security-policy", "referrer-policy", "x-content-type-options", "cache-control"):
        if own.status == 200:
            assert theirs.headers.get(name) == own.headers.get(name), name


@pytest.mark.parametrize("target", ["/", FEED, "/feeds/all.json", "/feeds.opml"])
def test_what_a_reader_has_is_not_sent_again(web: Client, target: str) -> None:
    for coding in ("identity", "gzip"):
        first = web.get(target, Accept_Encoding=coding)
        named = web.get(target, Accept_Encoding=coding, If_None_Match=first.headers["etag"])
        dated = web.get(target, Accept_Encoding=coding, If_Modified_Since=first.headers["last-modified"])
        assert [(answer.status, answer.body) for answer in (named, dated)] == [(304, b"")] * 2
    assert web.get(target, If_None_Match='"other"').status == 200


@pytest.mark.parametrize("target", ["/", FEED, "/feeds/all.json", "/feeds.opml", "/static/style.css"])
def test_the_twin_made_beforehand_is_what_goes_out(web: Client, home: Path, target: str) -> None:
    file = home / "site" / (target.lstrip("/") or "index.html")
    zipped = web.get(target, Accept_Encoding="gzip")
    assert zipped.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in zipped.headers["vary"].lower()
    assert zipped.body == file.with_name(f"{file.name}.gz").read_bytes()
    assert gzip.decompress(zipped.body) == web.get(target).body == file.read_bytes()


def test_an_unknown_address_gets_the_sites_own_page_and_hidden_files_are_none(web: Client, home: Path) -> None:
    own = (home / "site" / "404.html").read_bytes()
    for target in ("/topics/none.html", "/feeds/.all.atom.new", "/feeds/"):
        answer = web.get(target)
        assert answer.status in (403, 404), target
        assert b"half a feed" not in answer.body
    assert web.get("/topics/none.html").body == own


@pytest.mark.parametrize("name", SERVERS)
def test_the_line_for_a_hub_says_what_our_app_says(name: str, home: Path, tmp_path: Path) -> None:
    def with_hub(text: str) -> str:
        changed = re.sub(r"(?m)^(\s*)# (\"~\^200 /feeds/|@pushed |header @pushed )", r"\1\2", text)
        assert changed != text
        return changed

    with started(name, home, tmp_path, with_hub) as web:
        for target in (FEED, "/feeds/all/revisions.rss", "/feeds/all.json"):
            expected = f'<{HUB}>; rel="hub", <https://papers.example.org{target}>; rel="self"'
            assert web.get(target).headers["link"] == expected
        assert "link" not in web.get("/").headers


# The bytes of a poll.


@pytest.mark.parametrize("name", SERVERS)
def test_an_unchanged_feed_costs_a_few_hundred_bytes_behind_any_server(
    name: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with started(name, home, tmp_path) as web:
        _hold_small(web.port, FEED, name, capsys)


@pytest.mark.parametrize("target", [FEED, "/feeds/all.rss", "/feeds/all.json", "/", QUERY, "/search?q=diffusion"])
def test_an_unchanged_poll_of_our_app_is_a_few_hundred_bytes(
    target: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.live_site import settings_of

    with serving(web_app(home / "site", settings=settings_of(home, hub=HUB))) as port:
        _hold_small(port, target, "our app", capsys)


def _hold_small(port: int, target: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = []
    for coding in ("identity", "gzip"):
        first = ask(port, target, Accept_Encoding=coding)
        assert first.status == 200
        tag = re.search(rb"(?i)\r\netag: ([^\r]*)", first.head)
        assert tag
        again = ask(port, target, Accept_Encoding=coding, If_None_Match=tag[1].decode())
        assert (again.status, again.body) == (304, b"")
        assert len(again.head) <= HEADER_BYTES_MAX, again.head.decode()
        sizes.append((len(first.head), len(again.head)))
    with capsys.disabled():
        print(f"\n{name}, {quote(target, safe='/?=.')}: {sizes[0][1]} bytes for 304, of header for 200 {sizes[0][0]}")


def test_what_a_changed_poll_of_fifty_papers_weighs(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    papers = real_papers(shared_data, 50)
    feed = papers_feed(SITE, CHANNEL, papers)
    abstracts = "\n".join(f"{p.paper.title}\n{p.paper.abstract}" for p in papers).encode()
    lines = [f"{'':22}{'plain':>9}{'gzip -9':>9}"]
    for name, content in (
        ("titles and abstracts", abstracts),
        ("atom", atom(feed)),
        ("rss", rss(feed)),
        ("json", json_feed(feed)),
    ):
        zipped = len(gzip.compress(content, 9))
        lines.append(f"{name:22}{len(content):9,}{zipped:9,}")
        assert zlib.crc32(content)
        assert zipped < 2 * len(gzip.compress(abstracts, 9)), "the text is the larger part of what is sent"
    with capsys.disabled():
        print("\n50 entries:\n" + "\n".join(lines))
