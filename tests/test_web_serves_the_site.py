"""The web app serves what is published, as it lies on disk, with validators that hold, and nothing else."""

from __future__ import annotations

import gzip
import http.client
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publishers.web import accepts_gzip, locate, not_modified, web_app
from tests.site_server import serving

WRITTEN = datetime(2026, 6, 2, 6, 0, tzinfo=UTC)
PAGE = b"<!doctype html><title>Front</title>"
FEED = b'<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"/>' * 40


class Answer:
    """One answer, read to its end."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.body = response.status, response.read()
        self.headers = {name.lower(): value for name, value in response.getheaders()}


class Client:
    """Sends request targets exactly as they are written: no normalising of dots and slashes."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, target: str, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, target, headers=named)
            return Answer(connection.getresponse())
        finally:
            connection.close()


def publish(folder: Path, name: str, content: bytes, *, zipped: bool = True, at: datetime = WRITTEN) -> Path:
    """Put a file there the way the publisher does: beside it, then renamed over it; its .gz twin first."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    for target, data in ((path.with_name(path.name + ".gz"), gzip.compress(content, mtime=0)), (path, content)):
        if target == path or zipped:
            temporary = target.with_name(f".{target.name}.new")
            temporary.write_bytes(data)
            os.utime(temporary, (at.timestamp(), at.timestamp()))
            temporary.replace(target)
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / "secret.txt").write_text("the ledger")
    folder = home / "site"
    publish(folder, "index.html", PAGE)
    publish(folder, "404.html", b"<!doctype html><title>Not here</title>", zipped=False)
    publish(folder, "feeds/nlp.atom", FEED)
    for name in (
        "feeds/nlp.rss",
        "feeds/nlp.json",
        "feeds.opml",
        "data.json",
        "static/style.css",
        "static/i.svg",
        "x.bin",
    ):
        publish(folder, name, b"{}", zipped=False)
    publish(folder, "docs/index.html", b"<!doctype html><title>Docs</title>", zipped=False)
    publish(folder, "Größe & x.html", b"<!doctype html>", zipped=False)
    (folder / ".index.html.4711").write_bytes(b"half a page")
    (folder / "out").symlink_to(home / "secret.txt")
    (folder / "loop").symlink_to("loop")
    return folder


@pytest.fixture(scope="module")
def web(site: Path) -> Iterator[Client]:
    with serving(web_app(site)) as port:
        yield Client(port)


@pytest.mark.parametrize(
    ("target", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/feeds/nlp.atom", "application/atom+xml"),
        ("/feeds/nlp.rss", "application/rss+xml"),
        ("/feeds/nlp.json", "application/feed+json"),
        ("/feeds.opml", "text/x-opml; charset=utf-8"),
        ("/data.json", "application/json"),
        ("/static/style.css", "text/css; charset=utf-8"),
        ("/static/i.svg", "image/svg+xml"),
        ("/x.bin", "application/octet-stream"),
        ("/Gr%C3%B6%C3%9Fe%20&%20x.html", "text/html; charset=utf-8"),
    ],
)
def test_every_file_has_its_media_type(web: Client, target: str, media_type: str) -> None:
    answer = web.get(target)
    assert (answer.status, answer.headers["content-type"]) == (200, media_type)


def test_a_folder_is_its_index_page(web: Client) -> None:
    assert web.get("/docs/").body.endswith(b"<title>Docs</title>")
    redirect = web.get("/docs")
    assert (redirect.status, redirect.headers["location"]) == (308, "./docs/")
    assert web.get("/feeds/").status == 404
    assert web.get("/feeds").status == 404


@pytest.mark.parametrize("target", ["//docs", "//elsewhere.test/docs", "///docs"])
def test_no_redirect_leads_to_another_host(web: Client, target: str) -> None:
    location = web.get(target).headers.get("location", "./")
    assert location.startswith("./")


@pytest.mark.parametrize("target", ["/", "/feeds/nlp.atom"])
def test_what_a_reader_has_already_is_not_sent_again(web: Client, target: str) -> None:
    first = web.get(target)
    assert first.headers["etag"].startswith('"')
    assert first.headers["last-modified"] == "Tue, 02 Jun 2026 06:00:00 GMT"
    again = web.get(target, If_None_Match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert "Accept-Encoding" in again.headers["vary"]
    dated = web.get(target, If_Modified_Since=first.headers["last-modified"])
    assert (dated.status, dated.body) == (304, b"")
    older = web.get(target, If_Modified_Since=format_datetime(WRITTEN - timedelta(seconds=1), usegmt=True))
    assert older.status == 200


def test_the_same_bytes_written_again_keep_their_tag_and_other_bytes_do_not(tmp_path: Path) -> None:
    publish(tmp_path, "feeds/a.atom", FEED)
    with serving(web_app(tmp_path)) as port:
        web = Client(port)
        tag = web.get("/feeds/a.atom").headers["etag"]
        publish(tmp_path, "feeds/a.atom", FEED, at=WRITTEN + timedelta(hours=1))
        assert web.get("/feeds/a.atom", If_None_Match=tag).status == 304
        # Same length, same time, other bytes: only a tag over the content sees it.
        publish(tmp_path, "feeds/a.atom", FEED.replace(b"2005", b"2006"), at=WRITTEN + timedelta(hours=1))
        changed = web.get("/feeds/a.atom", If_None_Match=tag)
        assert changed.status == 200
        assert changed.headers["etag"] != tag


def test_gzip_is_sent_to_those_who_take_it_and_has_its_own_tag(web: Client) -> None:
    plain = web.get("/feeds/nlp.atom")
    zipped = web.get("/feeds/nlp.atom", Accept_Encoding="br, gzip;q=0.8")
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.headers["content-type"] == "application/atom+xml"
    assert gzip.decompress(zipped.body) == plain.body == FEED
    assert len(zipped.body) < len(plain.body)
    assert zipped.headers["etag"] != plain.headers["etag"]
    assert "content-encoding" not in plain.headers
    assert plain.headers["vary"] == zipped.headers["vary"] == "Accept-Encoding"
    again = web.get("/feeds/nlp.atom", Accept_Encoding="gzip", If_None_Match=zipped.headers["etag"])
    assert again.status == 304
    assert web.get("/feeds/nlp.atom", Accept_Encoding="gzip", If_None_Match=plain.headers["etag"]).status == 200


def test_a_gzip_twin_of_another_edition_is_never_sent(tmp_path: Path) -> None:
    path = publish(tmp_path, "feeds/a.atom", FEED)
    newer = FEED.replace(b"2005", b"2006")
    path.write_bytes(newer)  # the plain file is new, its twin still the old edition
    with serving(web_app(tmp_path)) as port:
        answer = Client(port).get("/feeds/a.atom", Accept_Encoding="gzip")
        assert "content-encoding" not in answer.headers
        assert answer.body == newer
        path.with_name("a.atom.gz").write_bytes(b"")
        assert Client(port).get("/feeds/a.atom", Accept_Encoding="gzip").body == newer


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/feeds/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/feeds/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/..%5csecret.txt",
        "//secret.txt/../../secret.txt",
        "/out",
        "/loop",
        "/.index.html.4711",
        "/%00index.html",
        "/index.html%00",
        "/index.html/",
        "/" + "a" * 5000,
        "/" + "a/" * 2000,
        "/%ff%fe",
    ],
)
def test_nothing_outside_the_site_is_ever_served(web: Client, target: str) -> None:
    answer = web.get(target)
    assert answer.status == 404
    assert b"ledger" not in answer.body
    assert b"half a page" not in answer.body


@given(
    parts=st.lists(st.sampled_from(["..", ".", "", "feeds", "nlp.atom", "secret.txt", "out", "\\", "%2e"]), max_size=8)
)
def test_no_combination_of_path_parts_leaves_the_folder(site: Path, parts: list[str]) -> None:
    found = locate(site, "/".join(parts))
    assert found is None or found.is_relative_to(site.resolve())
    assert found is None or not any(part.startswith(".") for part in parts)


def test_an_unknown_address_gets_the_sites_own_page(web: Client) -> None:
    answer = web.get("/topics/none.html")
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert b"Not here" in answer.body
    assert "etag" not in answer.headers


@pytest.mark.parametrize("target", ["/", "/feeds/nlp.atom", "/nothing", "/docs", "/health"])
def test_head_says_what_get_would_say_without_the_body(web: Client, target: str) -> None:
    got, head = web.get(target), web.get(target, method="HEAD")
    assert head.body == b""
    assert head.status == got.status
    same = ("content-type", "content-length", "etag", "last-modified", "location")
    assert [head.headers.get(n) for n in same] == [got.headers.get(n) for n in same]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_only_get_and_head_are_answered(web: Client, method: str) -> None:
    answer = web.get("/index.html", method=method)
    assert answer.status == 405
    assert {m.strip() for m in answer.headers["allow"].split(",")} == {"GET", "HEAD"}


@pytest.mark.parametrize("target", ["/", "/nothing", "/static/i.svg"])
def test_every_page_carries_the_protective_headers(web: Client, target: str) -> None:
    headers = web.get(target).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == "'self'"
    assert "script-src" not in policy
    assert "unsafe" not in headers["content-security-policy"]


@pytest.mark.parametrize("target", ["/feeds/nlp.atom", "/feeds/nlp.rss", "/feeds/nlp.json", "/feeds.opml", "/health"])
def test_what_no_browser_shows_as_a_page_has_no_policy_but_keeps_its_type(web: Client, target: str) -> None:
    headers = web.get(target).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert not {"content-security-policy", "referrer-policy", "cross-origin-opener-policy"} & set(headers)


@pytest.mark.parametrize("target", ["/", "/feeds/nlp.atom"])
def test_an_answer_that_nothing_changed_says_nothing_else(web: Client, target: str) -> None:
    again = web.get(target, If_None_Match=web.get(target).headers["etag"])
    assert again.status == 304
    assert set(again.headers) <= {"etag", "cache-control", "vary", "date", "server"}


def test_a_refused_method_carries_the_protective_headers_too(web: Client) -> None:
    assert web.get("/", method="POST").headers["x-content-type-options"] == "nosniff"


def test_health_says_whether_anything_is_published(web: Client, tmp_path: Path) -> None:
    assert json.loads(web.get("/health").body) == {"status": "ok"}
    with serving(web_app(tmp_path / "not-there-yet")) as port:
        client = Client(port)
        assert json.loads(client.get("/health").body) == {"status": "empty"}
        missing = client.get("/")
        assert missing.status == 404
        assert b"paperwire run" in missing.body
        publish(tmp_path / "not-there-yet", "index.html", PAGE)
        assert client.get("/").body == PAGE


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("x-gzip", True),
        ("gzip;q=nonsense", True),
    ],
)
def test_gzip_is_negotiated_by_weight(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


@pytest.mark.parametrize(
    ("none_match", "since", "same"),
    [
        ('"a"', None, True),
        ('W/"a"', None, True),
        ('"b", "a"', None, True),
        ("*", None, True),
        ('"b"', None, False),
        ("a", None, False),
        # A tag that does not match outranks a date that would.
        ('"b"', "Wed, 03 Jun 2026 06:00:00 GMT", False),
        (None, "Tue, 02 Jun 2026 06:00:00 GMT", True),
        (None, "Tue, 02 Jun 2026 05:59:59 GMT", False),
        (None, "Tue, 02 Jun 2026 06:00:00", True),
        (None, "yesterday", False),
        (None, "Tue, 99 Jun 2026 06:00:00 GMT", False),
        (None, None, False),
    ],
)
def test_tags_outrank_dates(none_match: str | None, since: str | None, same: bool) -> None:
    assert not_modified(none_match, since, '"a"', WRITTEN) is same
