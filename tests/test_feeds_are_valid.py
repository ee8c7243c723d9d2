"""Every feed keeps the rules of its format, as grammars, strict parsers and real readers see them."""

from __future__ import annotations

import functools
import http.server
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import feedparser
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from publishers.channels import category_channel, source_channel, topic_channel
from publishers.feeds import Feed, atom, json_feed, papers_feed, revisions_feed, rss
from publishers.health import health_feed
from publishers.opml import opml_files
from storage.model import TaggedPaper
from tests.builders import a_paper, tagged
from tests.coverage_builders import four_weeks
from tests.feed_inputs import (
    CHANNEL,
    SITE,
    TOPIC,
    a_bare_paper,
    a_full_paper,
    a_hostile_paper,
    real_papers,
    some_revisions,
)

SCHEMAS = Path(__file__).parent / "schemas"
ATOM = "{http://www.w3.org/2005/Atom}"
STRICT_RUBY = "ARGV.each { |path| RSS::Parser.parse(File.read(path), true) or abort(path) }"


def small_feeds() -> dict[str, Feed]:
    """An empty feed, one with all kinds of papers, one of revisions, one of what is missing."""
    papers = [a_full_paper(), a_bare_paper(), a_hostile_paper()]
    return {
        "empty": papers_feed(SITE, CHANNEL, []),
        "papers": papers_feed(SITE, CHANNEL, papers),
        "revisions": revisions_feed(SITE, CHANNEL, some_revisions()),
        "coverage": health_feed(SITE, four_weeks()),
    }


@pytest.fixture(scope="module")
def real_feed(shared_data: Path) -> Feed:
    """500 real papers over all fields."""
    feed = papers_feed(SITE, CHANNEL, real_papers(shared_data, 500))
    assert len(feed.entries) == 500
    assert feed.left_out == ()
    return feed


@functools.cache
def grammar(name: str) -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(SCHEMAS / f"{name}.rng"))


@functools.cache
def json_schema() -> jsonschema.Draft202012Validator:
    schema = json.loads((SCHEMAS / "json_feed.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def faults(document: bytes, name: str) -> list[str]:
    """What a grammar finds wrong with a document."""
    relax = grammar(name)
    relax.validate(etree.fromstring(document))
    return [str(error) for error in relax.error_log]


def faults_beyond_the_grammar(document: bytes) -> list[str]:
    """What RFC 4287 asks for in words (4.1.1, 4.1.2) and our ids promise."""
    feed = etree.fromstring(document)
    found = []
    entries = feed.findall(f"{ATOM}entry")
    for element in (feed, *entries):
        kinds = [
            (x.get("type"), x.get("hreflang")) for x in element.findall(f"{ATOM}link") if x.get("rel") == "alternate"
        ]
        if len(kinds) != len(set(kinds)) or not kinds:
            found.append("not one alternate link of each kind")
        if feed.find(f"{ATOM}author") is None and element.find(f"{ATOM}author") is None:
            found.append("no author")
    ids = [x.findtext(f"{ATOM}id") for x in (feed, *entries)]
    if len(ids) != len(set(ids)):
        found.append("an id twice")
    return found


# Grammars.


@pytest.mark.parametrize("kind", ["empty", "papers", "revisions", "coverage"])
def test_every_format_of_every_feed_keeps_its_grammar(kind: str) -> None:
    feed = small_feeds()[kind]
    assert faults(atom(feed), "atom") == []
    assert faults_beyond_the_grammar(atom(feed)) == []
    assert faults(rss(feed), "rss") == []
    assert [error.message for error in json_schema().iter_errors(json.loads(json_feed(feed)))] == []


def test_feeds_of_500_real_papers_keep_their_grammars(real_feed: Feed) -> None:
    assert faults(atom(real_feed), "atom") == []
    assert faults_beyond_the_grammar(atom(real_feed)) == []
    assert faults(rss(real_feed), "rss") == []
    assert [error.message for error in json_schema().iter_errors(json.loads(json_feed(real_feed)))] == []


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (b"", rb"<id>.*?</id>"),
        (b"<title>a</title><title>b</title>", rb"<title>.*?</title>"),
        (b"<updated>2026-06-02 06:00</updated>", rb"<updated>.*?</updated>"),
        (b"<updated>2026-06-02t06:00:00z</updated>", rb"<updated>.*?</updated>"),
        (b'<link rel="alternate"/>', rb"<link [^>]*alternate[^>]*/>"),
        (b'<link href="https://a.test/" length="big"/>', rb"<link [^>]*alternate[^>]*/>"),
        (b'<link href="https://a.test/" type="html"/>', rb"<link [^>]*alternate[^>]*/>"),
        (b"<author><uri>https://a.test/</uri></author>", rb"<author>.*?</author>"),
        (b"<item/>", rb"<generator>.*?</generator>"),
        (b'<title type="markdown">a</title>', rb"<title>.*?</title>"),
        (b'<category label="a"/>', rb"<category [^>]*/>"),
    ],
)
def test_the_atom_grammar_sees_what_is_wrong(wrong: bytes, right: bytes) -> None:
    good = atom(small_feeds()["papers"])
    bad = re.sub(right, wrong, good, count=1, flags=re.DOTALL)
    assert bad != good
    assert faults(good, "atom") == []
    assert faults(bad, "atom") != []


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (b"", rb"<link>.*?</link>"),
        (b"", rb"<description>.*?</description>"),
        (b"<link>papers.html</link>", rb"<link>.*?</link>"),
        (b"<pubDate>2026-06-02T06:00:00Z</pubDate>", rb"<pubDate>.*?</pubDate>"),
        (b"<pubDate>Tue, 2 June 2026 06:00 GMT</pubDate>", rb"<pubDate>.*?</pubDate>"),
        (b"<author>Ada Example</author>", rb"<dc:creator>.*?</dc:creator>"),
        (b'<enclosure url="https://a.test/" type="application/pdf"/>', rb"<enclosure [^>]*/>"),
        (b'<guid isPermaLink="no">a</guid>', rb"<guid .*?</guid>"),
        (b"<entry/>", rb"<guid .*?</guid>"),
        (b'version="0.91"', rb'version="2\.0"'),
    ],
)
def test_the_rss_grammar_sees_what_is_wrong(wrong: bytes, right: bytes) -> None:
    good = rss(small_feeds()["papers"])
    bad = re.sub(right, wrong, good, count=1, flags=re.DOTALL)
    assert bad != good
    assert faults(good, "rss") == []
    assert faults(bad, "rss") != []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), "https://jsonfeed.org/version/1"),
        (("items", 0, "id"), ""),
        (("items", 0, "date_published"), "yesterday"),
        (("items", 0, "authors"), []),
        (("items", 0, "attachments", 0, "mime_type"), "pdf"),
        (("items", 0, "upvotes"), 3),
        (("items", 0, "_paperwire", "upvotes"), 3),
        (("items", 0, "url"), "javascript:alert(1)"),
    ],
)
def test_the_json_schema_sees_what_is_wrong(path: tuple[Any, ...], value: object) -> None:
    document = json.loads(json_feed(small_feeds()["papers"]))
    assert json_schema().is_valid(document)
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert not json_schema().is_valid(document)


def test_what_the_grammar_cannot_say_is_seen_too() -> None:
    good = atom(small_feeds()["papers"])
    no_author = re.sub(rb"<author>.*?</author>", b"", good, flags=re.DOTALL)
    assert faults(no_author, "atom") == []
    assert "no author" in faults_beyond_the_grammar(no_author)
    entry = re.search(rb"<entry>.*?</entry>", good, flags=re.DOTALL)
    assert entry
    assert faults_beyond_the_grammar(good.replace(entry[0], entry[0] * 2)) == ["an id twice"]


# Strict parsers.


def test_jing_agrees_with_our_grammars(real_feed: Feed, tmp_path: Path) -> None:
    if not shutil.which("jing"):
        pytest.skip("jing (Debian package jing) is not installed")
    for name, render in (("atom", atom), ("rss", rss)):
        files = []
        for kind, feed in {**small_feeds(), "real": real_feed}.items():
            files.append(tmp_path / f"{kind}.{name}")
            files[-1].write_bytes(render(feed))
        done = subprocess.run(
            ["jing", str(SCHEMAS / f"{name}.rng"), *files], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, "")


def test_rubys_strict_parser_takes_atom_and_rss(real_feed: Feed, tmp_path: Path) -> None:
    if (
        not shutil.which("ruby")
        or subprocess.run(["ruby", "-rrss", "-e", ""], capture_output=True, check=False).returncode
    ):
        pytest.skip("ruby with its rss library (Debian packages ruby and ruby-rss) is not installed")
    for kind, feed in {**small_feeds(), "real": real_feed}.items():
        (tmp_path / f"{kind}.atom").write_bytes(atom(feed))
        if kind != "empty":  # ruby wants an item in every channel; RSS 2.0 does not
            (tmp_path / f"{kind}.rss").write_bytes(rss(feed))
    (tmp_path / "bad").write_bytes(re.sub(rb"<title>.*?</title>", b"", rss(small_feeds()["papers"]), count=1))
    good = sorted(path for path in tmp_path.iterdir() if path.suffix)
    assert _ruby(good).returncode == 0, _ruby(good).stderr
    assert "MissingTag" in _ruby([tmp_path / "bad"]).stderr


def _ruby(paths: list[Path]) -> subprocess.CompletedProcess[str]:
    command = ["ruby", "-rrss", "-e", STRICT_RUBY, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LANG": "C.UTF-8"})


# Readers.


@pytest.mark.parametrize("extension", ["atom", "rss"])
def test_feedparser_reads_the_same_entries_from_either_format(extension: str, real_feed: Feed) -> None:
    document = (atom if extension == "atom" else rss)(real_feed)
    # Told to leave the text alone: its sanitiser deletes words.
    parsed = feedparser.parse(io.BytesIO(document), sanitize_html=False, resolve_relative_uris=False)
    assert not parsed.bozo
    assert parsed.feed.title == real_feed.title
    got = [(e.id, e.title, e.link, [a["name"] for a in e.authors if a]) for e in parsed.entries]
    authors = [list(e.authors) for e in real_feed.entries]
    assert [(i, t, u) for i, t, u, _ in got] == [(e.id, e.title, e.url) for e in real_feed.entries]
    assert [a for *_, a in got] == authors
    assert [e.content[0].value for e in parsed.entries] == [e.content_html for e in real_feed.entries]
    assert [e.enclosures[0].href for e in parsed.entries] == [e.links[1].href for e in real_feed.entries]


def test_json_feed_has_the_same_entries(real_feed: Feed) -> None:
    items = json.loads(json_feed(real_feed))["items"]
    assert [(i["id"], i["title"], i["url"]) for i in items] == [(e.id, e.title, e.url) for e in real_feed.entries]
    assert [[a["name"] for a in i["authors"]] for i in items] == [list(e.authors) for e in real_feed.entries]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which a web server on this machine serves it."""
    folder = tmp_path / "site"
    folder.mkdir()
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("extension", ["atom", "rss"])
def test_newsboat_lists_exactly_our_entries(
    extension: str, served: tuple[Path, str], real_feed: Feed, tmp_path: Path
) -> None:
    if not shutil.which("newsboat"):
        pytest.skip("newsboat (Debian package newsboat) is not installed")
    folder, address = served
    (folder / f"feed.{extension}").write_bytes((atom if extension == "atom" else rss)(real_feed))
    listed = newsboat(tmp_path, f"{address}feed.{extension}")
    assert listed == {(e.id, e.title, e.url) for e in real_feed.entries}


def test_newsboat_keeps_a_paper_in_two_feeds_as_one(served: tuple[Path, str], tmp_path: Path) -> None:
    if not shutil.which("newsboat"):
        pytest.skip("newsboat (Debian package newsboat) is not installed")
    folder, address = served
    paper = a_full_paper()
    other = TOPIC.model_copy(update={"slug": "robots", "title": "Robots"})
    for topic in (TOPIC, other):
        (folder / f"{topic.slug}.atom").write_bytes(atom(papers_feed(SITE, topic_channel(topic), [paper])))
    listed = newsboat(tmp_path, f"{address}short-titles.atom", f"{address}robots.atom")
    assert len({guid for guid, *_ in listed}) == 1


def newsboat(home: Path, *urls: str) -> set[tuple[str, str, str]]:
    """Let newsboat, with a home of its own, read `urls`; return (id, title, link) of what is in its cache."""
    (home / "urls").write_text("".join(f"{url}\n" for url in urls))
    (home / "config").write_text("max-items 0\n")
    files = ["-u", str(home / "urls"), "-c", str(home / "cache.db"), "-C", str(home / "config")]
    environment = {"HOME": str(home), "LANG": "C.UTF-8", "PATH": os.environ["PATH"]}
    subprocess.run(["newsboat", *files, "-x", "reload"], check=True, env=environment, timeout=60, capture_output=True)
    connection = sqlite3.connect(home / "cache.db")
    rows = connection.execute("SELECT guid, title, url FROM rss_item").fetchall()
    connection.close()
    return {(guid, title, url) for guid, title, url in rows}


# Anything at all.

_TEXT = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="<>&\"'/]]>\x00\x0b\x1b\ud800\udfff\ufffe\u202e\u2066é$\\{}^_ab \n", max_size=60),
    st.sampled_from(["]]>", "<!--", "<![CDATA[", "&#0;", "&bogus;", "</entry>", "<?xml?>", "\ufeff", "A"]),
)
_URL = st.one_of(st.none(), _TEXT, _TEXT.map(lambda text: f"https://x.test/{text}"))


@st.composite
def _papers(draw: st.DrawFn) -> TaggedPaper:
    paper_id = draw(st.one_of(st.just("arxiv:2606.00012"), _TEXT.map(lambda text: f"doi:10.1000/{text}")))
    return tagged(
        a_paper(
            paper_id=paper_id,
            title=draw(st.one_of(_TEXT, _TEXT.map(lambda text: f"A{text}"))),
            abstract=draw(_TEXT),
            authors=tuple(draw(st.lists(_TEXT, max_size=3))),
            categories=tuple(draw(st.lists(_TEXT, max_size=3))),
            url=draw(_URL),
            pdf_url=draw(_URL),
            code_url=draw(_URL),
            license_url=draw(_URL),
            doi=draw(st.one_of(st.none(), _TEXT)),
            journal_ref=draw(st.one_of(st.none(), _TEXT)),
        ),
        "short-titles",
    )


@given(st.lists(_papers(), max_size=3, unique_by=lambda p: p.paper.paper_id))
@settings(max_examples=150, deadline=None)
def test_whatever_papers_say_every_feed_stays_valid(papers: list[TaggedPaper]) -> None:
    feed = papers_feed(SITE, CHANNEL, [*papers, a_full_paper()])
    assert len(feed.entries) + len(feed.left_out) == len(papers) + 1
    assert faults(atom(feed), "atom") == []
    assert faults(rss(feed), "rss") == []
    document = json.loads(json_feed(feed))
    assert [error.message for error in json_schema().iter_errors(document)] == []
    assert len(document["items"]) == len(feed.entries)


# OPML.


def test_opml_lists_every_feed_once_and_each_group_in_a_file_of_its_own() -> None:
    topics = [TOPIC, TOPIC.model_copy(update={"slug": "b", "title": "$x<y$ & \x00", "description": ""})]
    channels = {
        "topic": [topic_channel(topic) for topic in topics],
        "category": [category_channel("cs.CL")],
        "source": [source_channel("arxiv-rss:cs.CL")],
    }
    files = opml_files(SITE, channels)
    root = etree.fromstring(files["feeds.opml"])
    assert (root.tag, root.get("version"), root.findtext("head/title")) == ("opml", "2.0", "Paperwire")
    subscriptions = root.findall("body/outline/outline")
    assert {s.get("type") for s in subscriptions} == {"rss"}
    assert [(s.get("text"), s.get("xmlUrl").removeprefix("https://papers.test/")) for s in subscriptions] == [
        ("All papers", "feeds/all.atom"),
        ("Short titles", "feeds/short-titles.atom"),
        ("x<y &", "feeds/b.atom"),
        ("All papers: revisions", "feeds/all/revisions.atom"),
        ("Short titles: revisions", "feeds/short-titles/revisions.atom"),
        ("x<y &: revisions", "feeds/b/revisions.atom"),
        ("All papers: trending", "feeds/all/trending.atom"),
        ("Short titles: trending", "feeds/short-titles/trending.atom"),
        ("x<y &: trending", "feeds/b/trending.atom"),
        ("Computation and Language", "feeds/category/cs.CL.atom"),
        ("arxiv-rss:cs.CL", "feeds/source/arxiv-rss~cs.CL.atom"),
        ("Coverage", "feeds/health.atom"),
    ]
    alone = [etree.fromstring(content) for name, content in sorted(files.items()) if name.startswith("opml/")]
    together = sorted(s.get("xmlUrl") for group in alone for s in group.findall("body/outline/outline"))
    assert together == sorted(s.get("xmlUrl") for s in subscriptions)
