"""Papers that say anything at all, through everything that publishes: `python -m tests.fuzz --papers 100000`.

Half of them come through storage/text.clean as entries do; the others are given to the publishers as they are. Each
document that is made is read again by the parser of its format. A fault is told with the seed that makes it again.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import lxml.html
import rispy
from lxml import etree

from publishers import digest, feeds, pages
from publishers.channels import category_channel, source_channel, topic_channel
from publishers.feed_model import Feed
from publishers.feed_text import WRITERS, by_id, put_together, take_apart
from publishers.life_feed import life_feed
from publishers.live_pages import search_page
from publishers.mathml import math_html, math_paragraphs
from publishers.opml import opml_files, subscription
from publishers.paper_page import citation_files
from publishers.push_content import _paper_line
from publishers.push_shapes import Message, Target, shaped
from storage.errors import EntryError
from storage.model import Announcement, Paper, Revision, Tag, TaggedPaper
from storage.settings import Limits, Site, Topic, Webhook
from storage.text import clean
from tests.builders import NOW, a_paper
from tests.feed_inputs import SITE
from tests.hostile import Hostile, paper_of
from tests.mails import the_edition
from tests.page_builders import DAY, a_sighting
from tests.page_builders import SITE as PAGES
from tests.test_feeds_are_valid import faults, json_schema

AT_ONCE = 50  # papers of one seed
_WIRE = Site(title="Wire", base_url="https://wire.example.org")
_SHAPES = ("json", "slack", "discord", "telegram", "matrix", "ntfy")
_IN_CONTENT = frozenset(["div", "p", "strong", "hr", "br", "a"])
_NOT_SHOWN = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff]")
_SCRIPT = re.compile(rb"<script[^>]*>(.*?)</script>", re.DOTALL)
_OWN_SCRIPT = b'<script src="static/search.js" defer></script>'
_RIS_LINE = re.compile(r"[A-Z][A-Z0-9]  - .*")
_GOOD = a_paper(paper_id="arxiv:2606.99999", aliases=("arxiv:2606.99999",), title="A paper that says nothing odd")


@dataclass
class Outcome:
    """What became of papers, and which faults there were."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Take in what others saw."""
        self.counts += other.counts
        self.faults += other.faults


def run(papers: int, *, seed: str = "1", jobs: int = 1, told: Callable[[Outcome], None] = lambda _: None) -> Outcome:
    """Put so many papers through everything."""
    seeds = [f"{seed}:{number}" for number in range(-(-papers // AT_ONCE))]
    whole = Outcome()
    if jobs == 1:
        results: Iterable[Outcome] = map(one_batch, seeds)
        return _summed(whole, results, told)
    with ProcessPoolExecutor(jobs) as pool:
        return _summed(whole, pool.map(one_batch, seeds, chunksize=4), told)


def _summed(whole: Outcome, results: Iterable[Outcome], told: Callable[[Outcome], None]) -> Outcome:
    for outcome in results:
        whole.add(outcome)
        told(whole)
    return whole


def one_batch(seed: str) -> Outcome:
    """Put the papers of one seed through everything; nothing it does may raise."""
    outcome, hostile = Outcome(), Hostile(seed)
    papers = list(_papers(hostile, outcome))
    topic = Topic.model_construct(
        slug="odd", title=_as_toml(hostile.text()) or "x", query=_as_toml(hostile.text()), description=hostile.text()
    )
    tag = Tag(slug="odd", title=topic.title, reason=hostile.text())
    tagged = [TaggedPaper(paper=paper, tags=(tag,) if n % 3 else ()) for n, paper in enumerate(papers)]
    number = int(seed.rpartition(":")[2])
    steps: list[Callable[[], None]] = [
        partial(_feeds, tagged, topic, outcome, strict=number % 4 == 0),
        partial(_revisions, papers, topic, outcome),
        partial(_lists, tagged, topic, outcome),
        partial(_mail, tagged, topic, outcome),
        partial(_opml, papers, topic, outcome),
        partial(_push, tagged, topic, outcome),
        *(partial(_alone, each, outcome) for each in tagged),
    ]
    for step in steps:
        try:
            step()
        except Exception:  # noqa: BLE001 - which is what we are here to see
            outcome.faults.append(f"seed {seed!r}:\n{traceback.format_exc(limit=-6)}")
    return outcome


def _as_toml(text: str) -> str:
    """What a file of settings can say: anything but surrogates."""
    return text.encode(errors="ignore").decode()


def _papers(hostile: Hostile, outcome: Outcome) -> Iterator[Paper]:
    """Some cleaned, some as they are; and a good one, which has to come through."""
    for number in range(AT_ONCE):
        entry = hostile.entry(number)
        outcome.counts["papers"] += 1
        if number % 2:
            try:
                entry = clean(entry, Limits())
            except EntryError:
                outcome.counts["refused"] += 1
                continue
            outcome.counts["cleaned"] += 1
        yield paper_of(entry, number)
    yield _GOOD


# Feeds.


def _feeds(tagged: Sequence[TaggedPaper], topic: Topic, outcome: Outcome, *, strict: bool) -> None:
    """Every paper is in all formats of a feed or left out of all; pieces put together are the whole."""
    feed = feeds.papers_feed(SITE, topic_channel(topic), tagged)
    assert len(feed.entries) + len(feed.left_out) == len(tagged)
    outcome.counts["shown"] += len(feed.entries)
    outcome.counts["left out"] += len(feed.left_out)
    _read_feed(feed, outcome, strict=strict)
    assert _GOOD.title in {entry.title for entry in feed.entries}
    for entry in feed.entries:
        content = etree.fromstring(f"<div>{entry.content_html}</div>")
        assert {element.tag for element in content.iter()} <= _IN_CONTENT
        assert {urlsplit(a.get("href")).scheme for a in content.iter("a")} <= {"http", "https"}


def _read_feed(feed: Feed, outcome: Outcome, *, strict: bool = False) -> None:
    ids = [entry.id for entry in feed.entries]
    assert len(ids) == len(set(ids))
    for extension, write in WRITERS.items():
        document = write(feed)
        outcome.counts["documents"] += 1
        outcome.counts["bytes"] += len(document)
        pieces = take_apart(document, extension)
        assert pieces
        assert put_together(pieces, extension) == document
        assert [*by_id(pieces, extension)] == ids
        if extension == "json":
            items = json.loads(document)["items"]
            assert [(i["id"], i["title"]) for i in items] == [(e.id, e.title) for e in feed.entries]
            assert not strict or json_schema().is_valid(json.loads(document))
            continue
        root = etree.fromstring(document)
        name, title = ("{*}entry", "{*}title") if extension == "atom" else ("channel/item", "title")
        assert [e.findtext(title) for e in root.findall(name)] == [e.title for e in feed.entries]
        assert not strict or faults(document, extension) == []


def _revisions(papers: Sequence[Paper], topic: Topic, outcome: Outcome) -> None:
    """Each paper has a new version, is published, withdrawn, has code."""
    kinds = (Announcement.REVISED, Announcement.PUBLISHED, Announcement.WITHDRAWN, Announcement.CODE_APPEARED)
    told = [
        Revision(paper=p, announcements=(kinds[n % 4],), changes=("title",), at=NOW - timedelta(seconds=n))
        for n, p in enumerate(papers)
    ]
    _read_feed(feeds.revisions_feed(SITE, topic_channel(topic), told), outcome)


# Pages, citations, formulas of one paper.


def _alone(tagged: TaggedPaper, outcome: Outcome) -> None:
    paper = tagged.paper
    revised = replace(paper, title=paper.abstract[:200] or "x", abstract=paper.title, version=(paper.version or 1) + 1)
    rows = [
        Revision(paper=paper, announcements=(Announcement.NEW,), changes=(), at=NOW),
        Revision(paper=revised, announcements=(Announcement.REVISED,), changes=("title", "abstract"), at=NOW),
    ]
    sighting = a_sighting(Announcement.NEW, source=paper.title[:60])
    read_page(pages.paper_page(PAGES, tagged, rows, [sighting]), outcome, scripts=1)
    document = feeds.atom(life_feed(SITE, tagged, rows))
    etree.fromstring(document)
    for name, content in citation_files(paper, rows).items():
        read_citation(name, content.decode(), outcome)
    for markup in (math_html(paper.title), *math_paragraphs(paper.abstract)):
        root = etree.fromstring(f"<div>{markup}</div>")
        assert not any(name.startswith("on") or name == "href" for e in root.iter() for name in e.attrib)


def read_page(page: bytes, outcome: Outcome, *, scripts: int = 0) -> None:
    outcome.counts["pages"] += 1
    outcome.counts["bytes"] += len(page)
    text = page.decode()
    assert not _NOT_SHOWN.search(text)
    page = page.replace(_OWN_SCRIPT, b"")
    found = _SCRIPT.findall(page)
    assert len(found) == scripts == page.count(b"<script")
    for script in found:
        json.loads(script)
    root = lxml.html.document_fromstring(text)
    for element in root.iter():
        if isinstance(element.tag, str):
            assert not any(name.startswith("on") or name == "style" for name in element.attrib), element.tag
            scheme = urlsplit(element.get("href") or "").scheme
            assert scheme in ("", "http", "https"), element.get("href")


def read_citation(name: str, text: str, outcome: Outcome) -> None:
    outcome.counts["documents"] += 1
    if name.endswith(".ris"):
        assert all(_RIS_LINE.fullmatch(line) for line in text.removesuffix("\r\n").split("\r\n")), text
        assert len(rispy.loads(text.replace("\r\n", "\n"))) == 1
        return
    for seen in (text, re.sub(r"\\.", "", text)):  # as BibTeX counts braces, and as others do
        assert seen.count("{") == seen.count("}"), text


# What tells of many papers.


def _lists(tagged: Sequence[TaggedPaper], topic: Topic, outcome: Outcome) -> None:
    site = replace(PAGES, topics=(topic,))
    papers, found = list(tagged), [t.paper.categories[0] for t in tagged if t.paper.categories]
    made = [
        pages.day_page(site, DAY, papers, previous=None, next_day=None),
        pages.channel_page(site, topic_channel(topic), papers, total=len(papers), revisions=()),
        pages.topics_page(site, {"odd": {DAY: 3}}, totals={"odd": 3}, days=[(DAY, 5)]),
        pages.week_page(site, DAY, papers, days=[(DAY, len(papers))], counts={"odd": {DAY: 3}}),
        *(pages.channel_page(site, category_channel(code), papers[:3], total=3, revisions=()) for code in found[:5]),
        pages.channels_page(site, "category", [category_channel(code) for code in found], {}, totals={}, days=()),
        pages.index_page(site, latest_day=DAY, papers=papers, days=[(DAY, 1)], topic_counts={}, trending=papers[:6]),
    ]
    for page in made:
        read_page(page, outcome)
    read_page(search_page(replace(site, live=True), topic.query, days=30, notice=topic.title), outcome)


def _mail(tagged: Sequence[TaggedPaper], topic: Topic, outcome: Outcome) -> None:
    for some in (tagged[:3], tagged[:20]):
        made = digest.render(the_edition(), some, [], site=_WIRE, topic=topic, more=1)
        outcome.counts["documents"] += 2
        made.subject.encode()
        made.text.encode()
        assert not _NOT_SHOWN.search(made.html)
        root = lxml.html.document_fromstring(made.html)
        assert not root.xpath("//script | //iframe | //*[@*[starts-with(name(), 'on')]]")
        assert {urlsplit(href).scheme for href in root.xpath("//@href")} <= {"http", "https", "mailto", ""}


def _opml(papers: Sequence[Paper], topic: Topic, outcome: Outcome) -> None:
    channels = {
        "topic": [topic_channel(topic)],
        "category": [category_channel(code) for paper in papers for code in paper.categories],
        "source": [source_channel(paper.title) for paper in papers],
    }
    documents = [*opml_files(SITE, channels).values(), subscription(SITE, topic_channel(topic))]
    for document in documents:
        outcome.counts["documents"] += 1
        assert etree.parse(io.BytesIO(document)).getroot().tag == "opml"


def _push(tagged: Sequence[TaggedPaper], topic: Topic, outcome: Outcome) -> None:
    webhook = Webhook(name="lab", shape="json", url="https://hooks.example.org/")
    lines = tuple(_paper_line(each, webhook, _WIRE) for each in tagged[:20])
    message = Message(
        push_id="1", webhook="lab", title=topic.title, site_title="Wire", site_url="https://x.test/",
        link="https://x.test/", lines=lines, more=0, created_at=NOW,
    )  # fmt: skip
    for shape in _SHAPES:
        target = Target(shape=shape, url="https://h.test/", secret="s", token="t", chat="1", room="!r:h.test")  # noqa: S106
        request = shaped(message, target, now=NOW)
        outcome.counts["documents"] += 1
        json.loads(request.body)


# The whole run.


def told(outcome: Outcome, seconds: float) -> str:
    """What a run did, in a few lines."""
    counts: dict[str, Any] = outcome.counts
    return (
        f"{counts['papers']:,} papers: {counts['cleaned']:,} cleaned, {counts['refused']:,} refused by clean; "
        f"{counts['shown']:,} shown in feeds, {counts['left out']:,} left out (nothing of the title can be shown, …)\n"
        f"{counts['documents']:,} documents and {counts['pages']:,} pages read again, {counts['bytes'] / 1e9:.1f} GB; "
        f"{len(outcome.faults)} faults, {seconds:.0f} s"
    )


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--papers", type=int, default=100_000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked, started = parser.parse_args(), time.monotonic()

    def progress(outcome: Outcome) -> None:
        if outcome.counts["papers"] % 10_000 == 0:
            print(f"{outcome.counts['papers']:,} papers, {len(outcome.faults)} faults", file=sys.stderr)

    outcome = run(asked.papers, seed=asked.seed, jobs=asked.jobs, told=progress)
    for fault in outcome.faults[:20]:
        print(fault)
    print(told(outcome, time.monotonic() - started))
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
