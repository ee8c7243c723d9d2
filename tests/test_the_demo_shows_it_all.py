"""`paperwire demo --once`: real papers through the whole pipeline, the same bytes each time."""

from __future__ import annotations

import email
import email.policy
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import duckdb
import pytest
from lxml import etree, html

from flows.demo import demo_settings, run_demo
from flows.pipeline import publish
from flows.replay import load_demo_data
from flows.site_server import listen, serving, url_of
from storage.errors import PaperwireError
from storage.tables import sha256_of
from storage.verify import verify
from tests.published import Published, check_feeds, feeds_due
from tests.test_feeds_are_valid import newsboat


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo that has run once."""
    folder = tmp_path_factory.mktemp("demo") / "home"
    assert run_demo(home=folder, once=True, port=0) == 0
    return folder


@pytest.fixture(scope="module")
def published(home: Path) -> Published:
    """Its feeds, each held against its grammar."""
    return check_feeds(home / "site")


def bytes_of(site: Path) -> dict[str, bytes]:
    """The sha256 of each file."""
    return {str(p.relative_to(site)): sha256_of(p) for p in site.rglob("*") if p.is_file()}


@contextmanager
def served(home: Path) -> Iterator[str]:
    """Serve the demo's site on a free port; yields its address."""
    settings = demo_settings("http://127.0.0.1:1", home)
    with listen("127.0.0.1", 0, hint="") as listener, serving(home / "site", listener, settings=settings):
        yield url_of(listener)


def sql(home: Path, query: str) -> list[tuple[object, ...]]:
    """Ask the demo's archive."""
    with duckdb.connect(str(home / "papers.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_each_paper_is_one_row_and_every_kind_of_news_occurs(home: Path) -> None:
    data = load_demo_data()
    assert sql(home, "SELECT count(*), count(DISTINCT paper_id) FROM papers") == [(len(data.papers), len(data.papers))]
    kinds = {str(r[0]) for r in sql(home, "SELECT DISTINCT unnest(announcements) FROM sightings")}
    assert kinds == {"new", "revised", "cross-listed", "published", "withdrawn", "code-appeared", "trending"}
    assert verify(home).faults == ()


def test_every_feed_is_valid_in_all_formats(home: Path, published: Published) -> None:
    topics = [topic.slug for topic in demo_settings("http://127.0.0.1:1", home).topic]
    assert published.feeds == feeds_due(home, topics)
    assert published.entries > 400
    assert all(published.ids[f"feeds/{slug}.atom"] for slug in ("all", *topics, "source/hf-daily"))
    everything = published.with_past("feeds/all")
    assert len(everything) == len(set(everything))
    assert sql(home, "SELECT count(*) FROM papers WHERE announced_at IS NOT NULL") == [(len(everything),)]


def test_newsboat_lists_what_was_published(home: Path, published: Published, tmp_path: Path) -> None:
    if not shutil.which("newsboat"):
        pytest.skip("newsboat is not installed")
    with served(home) as address:
        for extension in ("atom", "rss"):
            profile = tmp_path / extension
            profile.mkdir()
            held = newsboat(profile, f"{address}feeds/all.{extension}")
            assert {guid for guid, _, _ in held} == set(published.ids[f"feeds/all.{extension}"])


def test_every_page_the_site_links_to_exists(home: Path) -> None:
    site, missing, live = home / "site", [], set()
    for page in sorted(site.rglob("*.html")):
        for href in html.parse(page).xpath("//a/@href | //link/@href"):
            target = str(href).split("#")[0].split("?")[0]
            if target and ":" not in target and page.name != "404.html":
                path = (page.parent / target).resolve()
                name = path.relative_to(site.resolve()).as_posix()
                if name == "search" or name.startswith("authors/"):
                    live.add(name)
                elif not (path.is_file() or (path / "index.html").is_file()):
                    missing.append((page.name, href))
    for feed in sorted(site.rglob("*.atom")):
        link = etree.parse(feed).find("{*}link[@rel='alternate']").get("href")
        name = unquote(urlsplit(link).path).lstrip("/") or "index.html"
        if not (site / name).is_file():
            missing.append((feed.name, link))
    assert missing == []
    assert len(live) > 300
    with served(home) as address:  # a few of those that only a server answers, from all of the list
        for name in ["search", *sorted(live)[::60]]:
            with urllib.request.urlopen(address + name) as answer:  # noqa: S310
                assert answer.status == 200, name


def test_the_newsletter_is_mailed_once_a_paper(home: Path) -> None:
    mails = sorted((home / "outbox").glob("*.eml"))
    assert len(mails) >= 10
    links: list[str] = []
    for path in mails:
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.SMTP)
        body = message.get_body(("plain",))
        assert body is not None
        told = body.get_content().split("Updates")[0]
        links += {line.strip() for line in told.splitlines() if line.strip().startswith("https://arxiv.org/abs/")}
    assert len(links) > 30
    assert len(links) == len(set(links)), "a paper was mailed twice"


def test_a_second_demo_changes_no_byte(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = bytes_of(home / "site")
    assert run_demo(home=home, once=True, port=0) == 0
    assert bytes_of(home / "site") == before
    assert "no byte of the site changed" in capsys.readouterr().out


def test_a_site_that_somebody_deleted_is_made_again(home: Path) -> None:
    before = bytes_of(home / "site")
    shutil.rmtree(home / "site")
    publish(demo_settings("http://127.0.0.1:1", home), now=datetime(2026, 6, 16, tzinfo=UTC))
    assert bytes_of(home / "site") == before


def test_it_serves_what_it_made(home: Path) -> None:
    with served(home) as address:
        for path, kind in (
            ("", "text/html"),
            ("feeds/all.atom", "application/atom+xml"),
            ("feeds.opml", "text/x-opml"),
            ("search?q=agents", "text/html"),
            ("search.json?q=agents", "application/feed+json"),
        ):
            with urllib.request.urlopen(address + path) as answer:  # noqa: S310
                assert answer.status == 200
                assert answer.headers["Content-Type"].startswith(kind)


def test_it_never_touches_a_folder_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(PaperwireError, match="is not a demo's folder"):
        run_demo(home=tmp_path, once=True, port=0)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
