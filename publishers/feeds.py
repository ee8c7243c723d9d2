"""Feeds by channel: papers and revisions → Atom, RSS 2.0 and JSON Feed 1.1, as bytes.

An entry is made of stable facts only. Votes, stars, comments and curated lists change daily, and a changed entry
reads as news, so none of them is in any byte here; the paper's own page, which every entry links to, shows them.
For the same reason an entry of the main feed has no Hugging Face link: whether there is such a page becomes known
later. A revision is a snapshot, so its entry may tell what was known when it was made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from publishers.channels import EVERYTHING, Channel
from publishers.feed_entries import paper_entry, revision_entries
from publishers.feed_model import Feed, FeedEntry, FeedSite, LeftOut, reason_of
from publishers.feedgen_repair import atom, rss
from publishers.json_feed import json_feed
from publishers.readable import readable
from storage.errors import EntryError
from storage.model import Revision, TaggedPaper

__all__ = [
    "Feed",
    "FeedEntry",
    "FeedSite",
    "LeftOut",
    "atom",
    "frame",
    "json_feed",
    "papers_feed",
    "revisions_feed",
    "rss",
    "window",
    "window_size",
]

WINDOW = timedelta(hours=72)  # a reader who polls every three days misses nothing
ENTRIES_MIN = 50
ENTRIES_MAX = 1_000
_log = logging.getLogger("paperwire.feeds")
_T = TypeVar("_T")


def papers_feed(site: FeedSite, channel: Channel, papers: Sequence[TaggedPaper]) -> Feed:
    """Return the feed of a channel's new papers: one entry for each, whatever becomes of it.

    Cuts `papers` to their `window`. What cannot be shown is in `left_out`, and each is logged in one line.
    """
    left_out = [
        LeftOut(paper_id=p.paper.paper_id, reason="it was never announced as new") for p in _unannounced(papers)
    ]
    entries: dict[str, FeedEntry] = {}
    for tagged in window(papers):
        paper_id = tagged.paper.paper_id
        if paper_id in entries:
            left_out.append(LeftOut(paper_id=paper_id, reason="it was given twice"))
            continue
        try:
            entries[paper_id] = paper_entry(site, tagged)
        except (EntryError, ValueError) as error:
            left_out.append(LeftOut(paper_id=paper_id, reason=reason_of(error)))
    return _feed(
        site,
        channel,
        title=f"{channel.title} – {readable(site.title)}",
        description=channel.description,
        stem=channel.stem,
        entries=entries.values(),
        left_out=left_out,
    )


def revisions_feed(site: FeedSite, channel: Channel, revisions: Sequence[Revision]) -> Feed:
    """Return the feed of what happened to a channel's papers later: one entry for each version, withdrawal,
    publication and first code. What was told twice under one id is in it once, as it was told last.

    Cut like `papers_feed`; an entry is the same in the feeds of all channels.
    """
    left_out: list[LeftOut] = []
    entries: dict[str, FeedEntry] = {}
    for revision in _newest(revisions, lambda r: r.at, lambda r: r.paper.paper_id):
        try:
            for entry in revision_entries(site, revision):
                entries.setdefault(entry.id, entry)
        except (EntryError, ValueError) as error:
            left_out.append(LeftOut(paper_id=revision.paper.paper_id, reason=reason_of(error)))
    return _feed(
        site,
        channel,
        title=f"{channel.title}: revisions – {readable(site.title)}",
        description=f"New versions, withdrawals, publications and code. {channel.title}.",
        stem=f"{channel.stem}/revisions",
        entries=entries.values(),
        left_out=left_out,
    )


def window(papers: Sequence[TaggedPaper]) -> tuple[TaggedPaper, ...]:
    """Return the announced papers that belong into a feed, newest first.

    All of the 72 hours before the newest one, never fewer than 50 where there are as many, never more than 1,000.
    """
    announced = [(p, p.paper.announced_at) for p in papers if p.paper.announced_at is not None]
    return tuple(p for p, _ in _newest(announced, lambda pair: pair[1], lambda pair: pair[0].paper.paper_id))


def window_size(moments: Sequence[datetime]) -> int:
    """Return how many entries belong into a feed, given when each joined it, newest first."""
    recent = sum(moment >= moments[0] - WINDOW for moment in moments)
    return min(len(moments), ENTRIES_MAX, max(ENTRIES_MIN, recent))


def frame(site: FeedSite) -> Feed:
    """Return a feed of nothing, for writing entries in."""
    return papers_feed(site, EVERYTHING, [])


def _newest(items: Iterable[_T], at: Callable[[_T], datetime], name: Callable[[_T], str]) -> tuple[_T, ...]:
    """Return the window of `items`, newest first; those of the same time in the order of their names."""
    ordered = sorted(sorted(items, key=name), key=at, reverse=True)
    return tuple(ordered[: window_size([at(item) for item in ordered])])


def _unannounced(papers: Iterable[TaggedPaper]) -> list[TaggedPaper]:
    return [p for p in papers if p.paper.announced_at is None]


def _feed(
    site: FeedSite,
    channel: Channel,
    *,
    title: str,
    description: str,
    stem: str,
    entries: Iterable[FeedEntry],
    left_out: list[LeftOut],
) -> Feed:
    """Assemble a feed and log what is not in it."""
    for missing in left_out:
        _log.warning("feed %s leaves out %s", stem, missing)
    return Feed(
        id=f"tag:{site.authority},2026:{stem.replace('feeds/', 'feed/', 1)}{channel.suffix}",
        site=site,
        title=title,
        description=description,
        page_url=site.base_url + channel.page,
        stem=stem,
        entries=tuple(entries),
        left_out=tuple(left_out),
        suffix=channel.suffix,
    )
