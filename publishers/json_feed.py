"""JSON Feed 1.1 (https://www.jsonfeed.org/version/1.1/), with our facts under `_paperwire`."""

from __future__ import annotations

from typing import Any

import orjson

from publishers.feed_model import Feed, FeedEntry, stamp

VERSION = "https://jsonfeed.org/version/1.1"


def json_feed(feed: Feed) -> bytes:
    """Return `feed` as a JSON Feed document. The same feed gives the same bytes."""
    document: dict[str, Any] = {
        "version": VERSION,
        "title": feed.title,
        "home_page_url": feed.page_url,
        "feed_url": feed.url("json"),
        "description": feed.description,
        "language": feed.site.language,
        "authors": [{"name": feed.site.title, "url": feed.site.base_url}],
    }
    if feed.hub:
        document["hubs"] = [{"type": "WebSub", "url": feed.hub}]
    document["items"] = [_item(feed, entry) for entry in feed.entries]
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _item(feed: Feed, entry: FeedEntry) -> dict[str, Any]:
    labels = (category.label for category in (*entry.categories, *entry.topics))
    item: dict[str, Any] = {
        "id": entry.id,
        "url": entry.url,
        "title": entry.title,
        "summary": entry.summary,
        "content_html": entry.content_html,
        "date_published": stamp(entry.published),
        "date_modified": stamp(entry.updated),
        "authors": [{"name": name} for name in entry.authors],
        "tags": list(dict.fromkeys(labels)),
        "language": feed.site.language,
        "attachments": [
            {"url": link.href, "mime_type": link.type, "title": link.title}
            for link in entry.links
            if link.rel == "enclosure"
        ],
        "_paperwire": _facts(entry) if entry.paper_id else "",
    }
    return {name: value for name, value in item.items() if value not in ("", [])}


def _facts(entry: FeedEntry) -> dict[str, Any]:
    return {
        "paper_id": entry.paper_id,
        "arxiv_id": entry.arxiv_id,
        "doi": entry.doi,
        "version": entry.version,
        "categories": [category.term for category in entry.categories],
        "topics": [{"slug": slug, "reason": reason} for slug, reason in entry.reasons],
    }
