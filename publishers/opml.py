"""OPML 2.0 (http://opml.org/spec2.opml): feeds of the site, all in one file and by group, for a reader's import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lxml import etree

from publishers.channels import EVERYTHING, Channel
from publishers.feed_model import FeedSite
from publishers.paths import HEALTH, HEALTH_PATH, OPML_PATH, feed_path
from publishers.readable import readable

_COVERAGE = "What is missing of which source and day, and when it came after all."


def opml_files(site: FeedSite, channels: Mapping[str, Sequence[Channel]]) -> dict[str, bytes]:
    """Return what readers import, by path: one file of everything, and one for each group of feeds.

    `channels` are the topics, categories and sources of the site, by kind. Says nothing of the time it was made, so
    that the bytes depend on these alone.
    """
    title, topics = readable(site.title), channels.get("topic", ())
    groups = {
        "topics": (title, [_line(c) for c in (EVERYTHING, *topics)]),
        "revisions": (f"{title}: revisions", [_line(c, "revisions") for c in (EVERYTHING, *topics)]),
        "trending": (f"{title}: trending", [_line(c, "trending") for c in (EVERYTHING, *topics)]),
        "categories": (f"{title}: categories", [_line(c) for c in channels.get("category", ())]),
        "sources": (f"{title}: sources", [_line(c) for c in channels.get("source", ())]),
        "wire": (f"{title}: the wire itself", [_Line("Coverage", feed_path(HEALTH, "atom"), HEALTH_PATH, _COVERAGE)]),
    }
    found = {
        f"opml/{name}.opml": _document(site, heading, [(heading, lines)]) for name, (heading, lines) in groups.items()
    }
    return {OPML_PATH: _document(site, title, list(groups.values())), **found}


def subscription(site: FeedSite, channel: Channel) -> bytes:
    """Return the one subscription to `channel`, for a reader's import."""
    title = f"{channel.title} – {readable(site.title)}"
    return _document(site, title, [("", [_line(channel)])])


class _Line(NamedTuple):
    """A subscription; paths are within the site."""

    title: str
    feed: str
    page: str
    description: str


def _line(channel: Channel, what: str = "") -> _Line:
    title = f"{channel.title}: {what}" if what else channel.title
    feed = f"{channel.stem}{f'/{what}' if what else ''}.atom{channel.suffix}"
    return _Line(title, feed, channel.page, "" if what else channel.description)


def _document(site: FeedSite, title: str, folders: Sequence[tuple[str, Sequence[_Line]]]) -> bytes:
    """A folder without a name is none."""
    root = etree.Element("opml", version="2.0")
    etree.SubElement(etree.SubElement(root, "head"), "title").text = title
    body = etree.SubElement(root, "body")
    for name, lines in folders:
        folder = etree.SubElement(body, "outline", text=name) if name and lines else body
        for line in lines:
            _subscribe(folder, site, line)
    return bytes(etree.tostring(root, pretty_print=True, encoding="UTF-8", xml_declaration=True))


def _subscribe(folder: etree._Element, site: FeedSite, line: _Line) -> None:
    attributes = {
        "type": "rss",  # OPML's word for every kind of feed
        "text": line.title,
        "title": line.title,
        "xmlUrl": site.base_url + line.feed,
        "htmlUrl": site.base_url + line.page,
        "description": line.description,
        "language": site.language,
    }
    etree.SubElement(folder, "outline", {name: value for name, value in attributes.items() if value})
