"""Atom 1.0 (RFC 4287) and RSS 2.0 through feedgen, with one feed and one entry extension that mend feedgen 1.0.0.

feedgen writes entry links without rel, type and title, knows RSS authors by e-mail address only, writes times to the
microsecond with an offset, and takes the clock for what it is not given. The extensions replace these parts of the
tree that feedgen has built; everything else is feedgen's own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from html import escape
from typing import Any

from feedgen.feed import FeedGenerator
from lxml import etree

from publishers.feed_model import GENERATOR, Category, Feed, FeedEntry, Link, stamp
from publishers.paths import FEED_FORMATS

ATOM = "http://www.w3.org/2005/Atom"
DC = "http://purl.org/dc/elements/1.1/"
DCTERMS = "http://purl.org/dc/terms/"
FH = "http://purl.org/syndication/history/1.0"  # RFC 5005
SY = "http://purl.org/rss/1.0/modules/syndication/"
RSS_DOCS = "https://www.rssboard.org/rss-specification"
TTL_MINUTES = 60


def atom(feed: Feed) -> bytes:
    """Return `feed` as an Atom document. The same feed gives the same bytes."""
    return bytes(_generator(feed, "atom").atom_str(pretty=True))


def rss(feed: Feed) -> bytes:
    """Return `feed` as an RSS 2.0 document. The same feed gives the same bytes."""
    return bytes(_generator(feed, "rss").rss_str(pretty=True))


class FeedRepair:
    """feedgen calls this for the feed once its own elements are in place."""

    def __init__(self) -> None:
        self.feed: Feed | None = None
        self.namespaces: dict[str, str] = {}

    def extend_ns(self) -> dict[str, str]:
        return self.namespaces

    def extend_atom(self, root: Any) -> None:
        if not self.feed:
            return
        root.find("updated").text = stamp(self.feed.updated)
        place = root.index(root.findall("link")[-1])
        for link in reversed(self.feed.links):
            root.insert(place + 1, etree.Element("link", link.attributes()))
        if self.feed.archive:
            etree.SubElement(root, f"{{{FH}}}archive")

    def extend_rss(self, root: Any) -> None:
        if not self.feed:
            return
        channel = root[0]
        channel.find("link").text = self.feed.page_url
        if self.feed.hub:
            channel.find(f"{{{ATOM}}}link").addnext(etree.Element(f"{{{ATOM}}}link", rel="hub", href=self.feed.hub))
        for name in ("lastBuildDate", "pubDate"):
            channel.find(name).text = rfc822(self.feed.updated)
        _add(channel, SY, "updatePeriod", "hourly")
        _add(channel, SY, "updateFrequency", "1")


class EntryRepair:
    """feedgen calls this for each entry once its own elements are in place."""

    def __init__(self) -> None:
        self.entry: FeedEntry | None = None

    def extend_atom(self, element: Any) -> None:
        if not self.entry:
            return
        element.find("updated").text = stamp(self.entry.updated)
        element.find("published").text = stamp(self.entry.published)
        for lost in element.findall("link"):
            element.remove(lost)
        place = element.index(element.find("updated"))
        for link in reversed(self.entry.links):
            element.insert(place + 1, etree.Element("link", link.attributes()))
        self._identify(element)

    def extend_rss(self, element: Any) -> None:
        if not self.entry:
            return
        element.find("pubDate").text = rfc822(self.entry.published)
        for name in self.entry.authors:
            _add(element, DC, "creator", name)
        self._identify(element)
        _add(element, DCTERMS, "modified", stamp(self.entry.updated))

    def _identify(self, element: Any) -> None:
        if self.entry and self.entry.doi:
            _add(element, DC, "identifier", f"doi:{self.entry.doi}")


def _generator(feed: Feed, extension: str) -> Any:
    """Fill feedgen with everything it gets right; the extensions hold the rest."""
    generator = FeedGenerator()
    generator.register_extension("repair", FeedRepair, EntryRepair)
    generator.repair.feed = feed
    generator.repair.namespaces = {"dc": DC} if extension == "atom" else {"dc": DC, "dcterms": DCTERMS, "sy": SY}
    if feed.archive:
        generator.repair.namespaces["fh"] = FH
    generator.id(feed.id)
    generator.title(feed.title)
    generator.description(feed.description)
    generator.subtitle(feed.description)
    generator.author({"name": feed.site.title, "uri": feed.site.base_url})
    generator.language(feed.site.language)
    generator.generator(GENERATOR)
    generator.link(href=feed.page_url, rel="alternate", type="text/html")
    generator.link(href=feed.url(extension), rel="self", type=FEED_FORMATS[extension])
    if feed.hub:
        generator.link(href=feed.hub, rel="hub")
    generator.updated(feed.updated)
    generator.pubDate(feed.updated)
    generator.docs(RSS_DOCS)
    generator.ttl(TTL_MINUTES)
    for entry in feed.entries:
        _fill(generator.add_entry(order="append"), entry)
    return generator


def _fill(element: Any, entry: FeedEntry) -> None:
    element.repair.entry = entry
    element.guid(entry.id, permalink=False)
    element.title(entry.title)
    element.author([{"name": name} for name in entry.authors])
    if entry.summary:
        element.description(escape(entry.summary, quote=False))  # RSS takes its description for HTML
        element.summary(entry.summary)
    element.content(entry.content_html, type="html")
    element.category([_category(category) for category in (*entry.categories, *entry.topics)])
    element.link([_link(link) for link in entry.links if link.rel in ("alternate", "enclosure")])
    element.published(entry.published)
    element.updated(entry.updated)


def _category(category: Category) -> dict[str, str]:
    pairs = {"term": category.term, "scheme": category.scheme, "label": category.label}
    return {name: value for name, value in pairs.items() if value}


def _link(link: Link) -> dict[str, str]:
    return {"rel": link.rel, "href": link.href, "type": link.type}


def rfc822(time: datetime) -> str:
    """Return `time` as RSS 2.0 writes it."""
    return format_datetime(time.astimezone(UTC), usegmt=True)


def _add(parent: Any, namespace: str, name: str, text: str) -> None:
    etree.SubElement(parent, f"{{{namespace}}}{name}").text = text
