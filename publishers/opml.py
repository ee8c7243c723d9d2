"""OPML 2.0 (http://opml.org/spec2.opml): every feed of the site in one file, for a reader's import."""

from __future__ import annotations

from collections.abc import Sequence

from lxml import etree

from publishers.feed_model import FeedSite
from publishers.paths import HEALTH, HEALTH_PATH, feed_path, revisions_path, topic_path
from publishers.readable import readable
from storage.settings import Topic

_COVERAGE = "What is missing of which source and day, and when it came after all."


def opml(site: FeedSite, topics: Sequence[Topic]) -> bytes:
    """Return all subscriptions: a folder of the topics' new papers, one of their revisions, one of the wire itself.

    Says nothing of the time it was made, so that the bytes depend on the topics alone.
    """
    root = etree.Element("opml", version="2.0")
    etree.SubElement(etree.SubElement(root, "head"), "title").text = readable(site.title)
    body = etree.SubElement(root, "body")
    papers = etree.SubElement(body, "outline", text=readable(site.title))
    revisions = etree.SubElement(body, "outline", text=readable(f"{site.title}: revisions"))
    for topic in topics:
        title = readable(topic.title)
        page = site.base_url + topic_path(topic.slug)
        _subscribe(papers, site, title, feed_path(topic.slug, "atom"), page, readable(topic.description))
        _subscribe(revisions, site, f"{title}: revisions", revisions_path(topic.slug), page, "")
    wire = etree.SubElement(body, "outline", text=readable(f"{site.title}: the wire itself"))
    _subscribe(wire, site, "Coverage", feed_path(HEALTH, "atom"), site.base_url + HEALTH_PATH, _COVERAGE)
    return bytes(etree.tostring(root, pretty_print=True, encoding="UTF-8", xml_declaration=True))


def _subscribe(folder: etree._Element, site: FeedSite, title: str, path: str, page: str, description: str) -> None:
    attributes = {
        "type": "rss",  # OPML's word for every kind of feed
        "text": title,
        "title": title,
        "xmlUrl": site.base_url + path,
        "htmlUrl": page,
        "description": description,
        "language": site.language,
    }
    etree.SubElement(folder, "outline", {name: value for name, value in attributes.items() if value})
