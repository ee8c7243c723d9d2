"""Whatever we make that ends up in a browser, made of payloads: each of them in every field that a text can come in.

A paper of one payload has it everywhere. Lists hold a few dozen such papers; what shows one text has one each.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from lxml import etree

from publishers import digest, feeds, pages
from publishers import live_models as live
from publishers.boards import board_page
from publishers.channels import Channel, category_channel, query_channel, source_channel, topic_channel
from publishers.feed_model import FeedSite
from publishers.live_pages import author_page, search_page, unknown_author_page
from publishers.page_frame import PageSite
from publishers.paper_page import moved_page
from publishers.push_content import _paper_line
from publishers.push_shapes import Message, Target, shaped
from storage.coverage import State
from storage.errors import EntryError, QueryError
from storage.model import Announcement, Paper, Revision, Tag, TaggedPaper
from storage.preview import Preview
from storage.query import parse_query
from storage.settings import Limits, Site, Topic, Webhook
from storage.text import clean
from storage.trending import WEEK
from tests.builders import NOW, a_paper, an_entry
from tests.coverage_builders import healed, missed
from tests.mails import the_edition
from tests.page_builders import DAY, a_sighting
from tests.page_builders import SITE as PAGES
from tests.test_boards_read_well import shown

AT_ONCE = 20  # papers on a page: with more of them abstracts would be left out
_FEEDS = FeedSite(title="Wire", base_url="https://wire.example.org/", authority="wire.example.org")
_WIRE = Site(title="Wire", base_url="https://wire.example.org")
_URLS = ("url", "pdf_url", "code_url", "project_url", "license_url")
_CONTENT = "{http://purl.org/rss/1.0/modules/content/}encoded"


@dataclass(frozen=True)
class Output:
    """One document as a browser gets it; `kind` for the table, `what` to find it again."""

    kind: str
    what: str
    content: bytes
    refresh: bool = False  # whether it leads on by itself, as the page of a merged paper does
    style: bool = False  # whether it has a style sheet within, as a mail has


def outputs(texts: Sequence[str]) -> Iterator[Output]:
    """Every output of every payload."""
    for start in range(0, len(texts), AT_ONCE):
        some = texts[start : start + AT_ONCE]
        papers = [tagged for number, text in enumerate(some) for tagged in papers_of(text, 2 * (start + number))]
        yield from _lists(some, papers)
        yield from _feeds(some, papers)
        yield from _mails(some, papers)
    for number, text in enumerate(texts):
        yield from _alone(text, papers_of(text, 2 * number))


def papers_of(text: str, number: int) -> list[TaggedPaper]:
    """A paper that came through `clean` with the payload in every field, and one that went past it."""
    entry = an_entry(
        title=f"On {text}",
        abstract=f"{text}\n\nWe show {text}, and ${text}$.",
        authors=(text, f"{text} Example", f"Ada {text}"),
        categories=("cs.CL", text),
        journal_ref=text,
        doi=f"10.1000/{text}",
        **dict.fromkeys(_URLS, text),
    )
    try:
        entry = clean(entry, Limits())
    except EntryError:
        entry = an_entry()
    names = ("title", "abstract", "authors", "categories", "journal_ref", "doi", *_URLS)
    cleaned = {name: getattr(entry, name) for name in names}
    raw = {**cleaned, "title": text, "doi": text, **dict.fromkeys(_URLS, f"https://x.test/{text}")}
    return [_paper(number, text, cleaned), _paper(number + 1, text, raw)]


def _paper(number: int, text: str, said: dict[str, object]) -> TaggedPaper:
    known = f"arxiv:2606.{number:05}" if number % 4 < 2 else f"doi:10.1000/{number}{text}"
    paper = a_paper(
        paper_id=known.encode(errors="ignore").decode(),
        aliases=(known,),
        sources=(f"journal:{text}",),
        announced_at=NOW - timedelta(seconds=number % 5_000),
        trending_on=DAY,
        upvotes=3,
        **said,
    )
    tags = (Tag(slug="odd", title=text, reason=text), Tag(slug=text, title=text, reason=text))
    return TaggedPaper(paper=paper, tags=tags)


def _topic(text: str) -> Topic:
    said = text.encode(errors="ignore").decode()
    return Topic.model_construct(slug="odd", title=said, query=said, description=said)


def _site(text: str) -> PageSite:
    said = text.encode(errors="ignore").decode()
    return replace(PAGES, title=said, description=said, topics=(_topic(text),), live=True, categories=frozenset([text]))


# Pages.


def _lists(texts: Sequence[str], papers: Sequence[TaggedPaper]) -> Iterator[Output]:
    what, days = repr(texts[0]), [(DAY, len(papers))]
    site = replace(PAGES, topics=tuple(map(_topic, texts)), categories=frozenset(texts), sources=frozenset(texts))
    counts = {"odd": {DAY: 3}}
    told = [_revision(t.paper, n) for n, t in enumerate(papers)]
    categories, sources = [category_channel(t) for t in texts], [source_channel(t) for t in texts]
    verdicts = [
        missed(State.STALE, source=text, day=DAY - timedelta(days=n % 3), why=text) for n, text in enumerate(texts)
    ]
    mended = [healed(verdict, why=verdict.source) for verdict in verdicts[::2]]
    ordered = sorted([*verdicts[1::2], *mended], key=lambda v: (v.source, v.day))
    index = pages.index_page(
        site, latest_day=DAY, papers=papers, days=days, topic_counts={}, trending=papers[:5], coverage=texts[0]
    )
    made = {
        "front page": index,
        "day": pages.day_page(site, DAY, papers, previous=None, next_day=None),
        "week": pages.week_page(site, DAY, papers, days=days, counts=counts),
        "month": pages.month_page(site, DAY, papers, days=days, counts=counts),
        "archive": pages.archive_page(site, days),
        "topics": pages.topics_page(site, counts, totals={"odd": 3}, days=days),
        "categories": pages.channels_page(site, "category", categories, {}, totals={}, days=days),
        "sources": pages.channels_page(site, "source", sources, {}, totals={}, days=days),
        "board": board_page(site, shown(WEEK, list(papers))),
        "coverage": pages.health_page(site, ordered),
    }
    for kind, page in made.items():
        yield Output(kind, what, page)
    channels: tuple[Channel, ...] = (categories[0], sources[0], topic_channel(site.topics[0]))
    for channel in channels:
        page = pages.channel_page(site, replace(channel, query=texts[0]), papers, total=9, revisions=told, days=days)
        yield Output(f"page of a {channel.kind}", what, page)


def _revision(paper: Paper, number: int) -> Revision:
    kinds = (Announcement.REVISED, Announcement.PUBLISHED, Announcement.WITHDRAWN, Announcement.CODE_APPEARED)
    changes = ("version", "title", "abstract", "authors")
    return Revision(
        paper=paper, announcements=(kinds[number % 4],), changes=changes, at=NOW + timedelta(seconds=number)
    )


def _alone(text: str, papers: Sequence[TaggedPaper]) -> Iterator[Output]:
    """What shows one paper, one name, one query, one site."""
    what, site = repr(text), _site(text)
    for tagged in papers:
        before = replace(tagged.paper, title="Before", abstract="Before.", authors=("Ada Example",))
        rows = [
            Revision(paper=before, announcements=(Announcement.NEW,), changes=(), at=NOW),
            *(_revision(tagged.paper, n) for n in range(4)),
        ]
        seen = [a_sighting(Announcement.NEW, source=text), a_sighting(Announcement.TRENDING, source=f"journal:{text}")]
        yield Output("page of a paper", what, pages.paper_page(PAGES, tagged, rows, seen))
    paper_id = papers[-1].paper.paper_id
    yield Output("page of a merged paper", what, moved_page(PAGES, f"doi:{text}", paper_id), refresh=True)
    yield Output("unknown address", what, pages.not_found_page(site))
    one = pages.channel_page(site, topic_channel(site.topics[0]), papers[:1], total=1, revisions=())
    yield Output("page of a topic", what, one)
    known = live.author(text, f'author:"{text}"', papers, site, root="../")
    yield Output("page of an author", what, author_page(site, known, papers, newest=True))
    yield Output("page of an unknown author", what, unknown_author_page(site, text, notice=text))
    yield from _search(text, site, papers)


def _search(text: str, site: PageSite, papers: Sequence[TaggedPaper]) -> Iterator[Output]:
    """The search page for a payload, and what its script puts into it."""
    said = text.encode(errors="ignore").decode().strip()
    query = parse_query("short")
    preview = Preview(query=said, until=NOW, days=((DAY, 1),), total=1, told_since=DAY, sample=())
    found = live.results(site, query, list(papers), preview, now=NOW, cards_max=5)
    found = replace(found, text=said, follow=replace(found.follow, toml=said, feed_url=f"https://x.test/{said}"))
    fault = live.fault_of(QueryError(said, min(1, len(said)), said))
    for kind, page in (
        ("search", search_page(site, said, days=30, found=found)),
        ("search, a wrong query", search_page(site, said, days=90, fault=fault)),
        ("search, a notice", search_page(site, said, days=30, notice=said)),
    ):
        yield Output(kind, repr(text), page)
    for part in (
        search_page(site, said, days=30, found=found, part=True),
        search_page(site, said, days=30, fault=fault, part=True),
    ):
        yield Output("search, as its script shows it", repr(text), _inserted(part))


def _inserted(part: bytes) -> bytes:
    """A page whose script puts a part of the search page in, as static/search.js does, and then as a title."""
    content = json.dumps(part.decode()).replace("<", "\\u003c")
    return (
        "<!doctype html><meta charset=utf-8><title>x</title><main id=results></main>"
        '<script type="application/ld+json"></script>'
        f"<script>const results = document.getElementById('results');"
        f"results.replaceChildren(document.createRange().createContextualFragment({content}));"
        "const found = results.querySelector('[data-said]'); if (found) document.title = found.dataset.title;"
        "document.currentScript.remove()</script>"
    ).encode()


# What others show.


def _feeds(texts: Sequence[str], papers: Sequence[TaggedPaper]) -> Iterator[Output]:
    """What a reader that trusts us shows of each format: the content of entries as it is, without any cleaning."""
    told = [_revision(t.paper, n) for n, t in enumerate(papers)]
    channel = topic_channel(_topic(texts[0]))
    for feed in (
        feeds.papers_feed(_FEEDS, channel, papers),
        feeds.revisions_feed(_FEEDS, query_channel(texts[0].encode(errors="ignore").decode()), told),
    ):
        assert len(feed.entries) >= len(papers) // 2
        entries = etree.fromstring(feeds.atom(feed)).findall("{*}entry")
        yield _shown("Atom, as a reader shows it", texts, [e.findtext("{*}content") for e in entries])
        items = etree.fromstring(feeds.rss(feed)).findall("channel/item")
        inside = [item.findtext(name) for item in items for name in (_CONTENT, "description")]
        yield _shown("RSS, as a reader shows it", texts, inside)
        documents = json.loads(feeds.json_feed(feed))["items"]
        yield _shown("JSON Feed, as a reader shows it", texts, [item["content_html"] for item in documents])
        links = [link.href for entry in feed.entries for link in entry.links]
        anchors = [f'<a href="{html.escape(link)}">x</a>' for link in links]
        yield _shown("links of entries", texts, anchors)


def _mails(texts: Sequence[str], papers: Sequence[TaggedPaper]) -> Iterator[Output]:
    told = [_revision(t.paper, n) for n, t in enumerate(papers)]
    made = digest.render(the_edition(), papers, told, site=_WIRE, topic=_topic(texts[0]), more=3)
    yield Output("mail", repr(texts[0]), made.html.encode(errors="ignore"), style=True)
    for start in range(0, len(papers), 5):
        yield from _messages(texts, papers[start : start + 5])


def _messages(texts: Sequence[str], papers: Sequence[TaggedPaper]) -> Iterator[Output]:
    webhook = Webhook(name="lab", shape="json", url="https://hooks.example.org/")
    title = texts[0].encode(errors="ignore").decode()
    message = Message(
        push_id="1", webhook="lab", title=title, site_title=title, site_url="https://x.test/", link="https://x.test/",
        lines=tuple(_paper_line(each, webhook, _WIRE) for each in papers), more=1, created_at=NOW,
    )  # fmt: skip
    for shape, name in (("telegram", "text"), ("matrix", "formatted_body")):
        target = Target(shape=shape, url="https://h.test/", token="t", chat="1", room="!r:h.test")  # noqa: S106
        body = json.loads(shaped(message, target, now=NOW).body)
        yield _shown(f"message, {shape}", texts, [body[name]])


def _shown(kind: str, texts: Sequence[str], contents: Sequence[str | None]) -> Output:
    articles = "".join(f"<article>{content or ''}</article>" for content in contents)
    page = f"<!doctype html><meta charset=utf-8><title>reader</title>{articles}"
    return Output(kind, repr(texts[0]), page.encode(errors="ignore"))
