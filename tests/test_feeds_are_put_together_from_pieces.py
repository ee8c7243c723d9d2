"""A feed that is put together from pieces has the very bytes that feedgen gives for the whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from publishers.feed_model import Feed, Link
from publishers.feed_text import (
    WRITERS,
    by_id,
    head_again,
    head_of,
    put_together,
    take_apart,
    texts_of,
    updated_of,
)
from tests.test_feeds_are_valid import faults, small_feeds

PAST = Link(rel="prev-archive", href="https://papers.test/feeds/a/archive/2026-W23.atom", type="application/atom+xml")
OLDER = replace(PAST, href="https://papers.test/feeds/a&b/archive/2026-W22.atom")
KINDS = tuple(small_feeds())


def feeds(kind: str) -> list[Feed]:
    """A feed with and without a hub, with and without a past, and as a part of the past."""
    feed = small_feeds()[kind]
    announced = replace(feed, site=replace(feed.site, hub="https://hub.test/?a=1&b=2"))
    return [
        *(replace(one, links=links) for one in (feed, announced) for links in ((), (PAST,))),
        replace(feed, archive=True, links=(replace(PAST, rel="current"), OLDER)),
    ]


@pytest.mark.parametrize(("kind", "extension"), list(product(KINDS, WRITERS)))
def test_taken_apart_and_put_together_it_is_the_same(kind: str, extension: str) -> None:
    for feed in feeds(kind):
        document = WRITERS[extension](feed)
        pieces = take_apart(document, extension)
        assert pieces is not None
        assert len(pieces.entries) == len(feed.entries)
        assert put_together(pieces, extension) == document
        assert list(by_id(pieces, extension)) == [entry.id for entry in feed.entries]


@pytest.mark.parametrize(("kind", "extension"), list(product(KINDS, WRITERS)))
def test_from_a_head_and_entries_written_apart_it_is_the_same(kind: str, extension: str) -> None:
    for feed in feeds(kind):
        texts = texts_of(replace(feed, stem="elsewhere", links=(), archive=False), feed.entries, extension)
        head = head_of(feed, extension, updated=feed.updated)
        assert put_together(head._replace(entries=tuple(texts.values())), extension) == WRITERS[extension](feed)


@pytest.mark.parametrize(("kind", "extension"), list(product(KINDS, WRITERS)))
def test_a_head_is_brought_up_to_date(kind: str, extension: str) -> None:
    for feed, links in product(feeds(kind)[:4], ((), (PAST,), (OLDER,))):
        later = feed.updated + timedelta(days=1, milliseconds=5)
        before = head_of(feed, extension, updated=feed.updated).head
        now = replace(feed, links=links)
        after = head_of(now, extension, updated=later).head
        assert head_again(before, now, extension, updated=later) == after
        assert head_again(after, feed, extension, updated=feed.updated) == before


def test_every_entry_of_atom_says_when_it_was_updated() -> None:
    feed = small_feeds()["papers"]
    for entry in feed.entries:
        text = texts_of(feed, [entry], "atom")[entry.id]
        assert updated_of(text) == entry.updated.replace(microsecond=entry.updated.microsecond // 1000 * 1000)


@pytest.mark.parametrize("extension", WRITERS)
def test_what_is_no_feed_of_ours_is_not_taken_apart(extension: str) -> None:
    whole = WRITERS[extension](small_feeds()["papers"])
    for broken in (b"", b"<feed/>", b"{}", whole[:-1], whole[: len(whole) // 2]):
        assert take_apart(broken, extension) is None


def test_a_document_of_the_past_keeps_the_grammar() -> None:
    for kind in KINDS:
        assert faults(WRITERS["atom"](feeds(kind)[-1]), "atom") == []
