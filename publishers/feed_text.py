"""A feed as text that can be taken apart and put together: what stands before its entries, each entry, what follows.

feedgen writes 17,000 to 23,000 entries a second. An entry is the same in every feed, and most entries of a feed stand
in it as they were published before; so each is written once, and feeds are put together from such pieces. The bytes
are those that feedgen gives for the whole feed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from lxml import etree

from publishers.feed_model import EMPTY_UPDATED_AT, Feed, FeedEntry, stamp
from publishers.feedgen_repair import atom, rfc822, rss
from publishers.json_feed import json_feed

WRITERS: Mapping[str, Callable[[Feed], bytes]] = {"atom": atom, "rss": rss, "json": json_feed}
"""What writes each format of publishers.paths.FEED_FORMATS."""


class Pieces(NamedTuple):
    """A feed taken apart."""

    head: bytes
    entries: tuple[bytes, ...]
    tail: bytes


class _Marks(NamedTuple):
    """How a format is laid out. No text of an entry can look so: XML escapes <, JSON escapes line ends."""

    begins: bytes  # of each entry
    between: bytes
    tail: bytes
    empty: tuple[bytes, bytes]  # the end of a feed without entries; head and tail must give it where there are some
    id: re.Pattern[bytes]


_MARKS = {
    "atom": _Marks(b"  <entry>\n", b"", b"</feed>\n", (b"", b""), re.compile(rb"<id>([^<]*)</id>")),
    "rss": _Marks(
        b"    <item>\n", b"", b"  </channel>\n</rss>\n", (b"", b""), re.compile(rb"<guid[^>]*>([^<]*)</guid>")
    ),
    "json": _Marks(
        b'    {\n      "id"',
        b",\n",
        b"\n  ]\n}\n",
        (b'"items": []\n}\n', b'"items": [\n'),
        re.compile(rb'"id": "([^"]*)"'),
    ),
}
_UPDATED = re.compile(rb"<updated>([^<]*)</updated>")
_DATES = re.compile(rb"<(pubDate|lastBuildDate)>[^<]*</\1>")
_PAST = re.compile(rb'  <link rel="prev-archive"[^>]*/>\n')
_SELF = re.compile(rb'(?:  <link href="[^"]*" rel="[^"]*"[^>]*/>\n)+')  # those that every feed has


def take_apart(document: bytes, extension: str) -> Pieces | None:
    """Return the pieces of a feed that this program wrote; None where it is no such feed."""
    marks = _MARKS[extension]
    without, opening = marks.empty
    if without and document.endswith(without):
        return Pieces(document.removesuffix(without) + opening, (), marks.tail)
    start = document.find(marks.begins, document.find(opening) if opening else 0)
    if not document.endswith(marks.tail):
        return None
    if start < 0:
        return Pieces(document.removesuffix(marks.tail), (), marks.tail) if not opening else None
    body = document[start : -len(marks.tail)]
    parts = body.split(marks.between + marks.begins)
    first = parts[0] if marks.between else marks.begins + parts[1]
    rest = parts[1:] if marks.between else parts[2:]
    return Pieces(document[:start], (first, *(marks.begins + part for part in rest)), marks.tail)


def put_together(pieces: Pieces, extension: str) -> bytes:
    """Return the feed that has these pieces."""
    marks = _MARKS[extension]
    without, opening = marks.empty
    if not pieces.entries and without:
        return pieces.head.removesuffix(opening) + without
    return pieces.head + marks.between.join(pieces.entries) + pieces.tail


def head_of(feed: Feed, extension: str, *, updated: datetime | None) -> Pieces:
    """Return `feed` without its entries, as last updated at `updated`."""
    bare = take_apart(WRITERS[extension](replace(feed, entries=(), touched_at=updated)), extension)
    assert bare is not None  # noqa: S101 - it was written just now
    return bare


def head_again(head: bytes, feed: Feed, extension: str, *, updated: datetime | None) -> bytes:
    """Return the head of `feed` from what it was when published last: that of `head_of`, thirty times faster.

    What may have changed is when it was updated, and where its past begins.
    """
    moment = updated or EMPTY_UPDATED_AT
    if extension == "json":
        return head
    if extension == "rss":
        return _DATES.sub(rb"<\1>" + rfc822(moment).encode() + rb"</\1>", head)
    link = b"".join(b"  " + etree.tostring(etree.Element("link", one.attributes())) + b"\n" for one in feed.links)
    bare = _PAST.sub(b"", _UPDATED.sub(b"<updated>" + stamp(moment).encode() + b"</updated>", head, count=1))
    return _SELF.sub(lambda match: match[0] + link, bare, count=1)


def texts_of(feed: Feed, entries: Sequence[FeedEntry], extension: str) -> dict[str, bytes]:
    """Return each entry as it stands in any feed of the site of `feed`, by its id."""
    pieces = take_apart(WRITERS[extension](replace(feed, entries=tuple(entries))), extension)
    assert pieces is not None  # noqa: S101 - it was written just now
    return {entry.id: text for entry, text in zip(entries, pieces.entries, strict=True)}


def by_id(pieces: Pieces, extension: str) -> dict[str, bytes]:
    """Return the entries of a feed by their ids."""
    found = ((_MARKS[extension].id.search(text), text) for text in pieces.entries)
    return {match[1].decode(): text for match, text in found if match}


def updated_of(text: bytes) -> datetime:
    """Return when an entry of an Atom feed was updated, from its text."""
    match = _UPDATED.search(text)
    assert match is not None  # noqa: S101 - every entry of ours says so
    return datetime.fromisoformat(match[1].decode())
