"""The pages of the site as files: which of them a commit changes, and what they are made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import cached_property
from typing import TypeVar

from publishers import feeds, health, pages, paths
from publishers.boards import Boards, board_files, trending_cards, trending_feeds
from publishers.channels import Channel, category_channel, source_channel, topic_channel
from publishers.feed_files import REVISIONS, FeedFiles, Touched
from publishers.feed_text import WRITERS
from publishers.life_feed import life_feed
from publishers.names import is_arxiv_category
from publishers.opml import opml_files
from publishers.page_models import Card
from publishers.paper_page import citation_files, moved_page
from publishers.periods import Period, month_of, week_of
from publishers.site_feeds import has_feeds
from publishers.writing import SiteWriter
from storage.catalog import Catalog, Merged
from storage.coverage import Verdict
from storage.listings import Listings
from storage.portions import portions
from storage.settings import Settings, Topic
from storage.trending import DAY

_PAGE_PAPERS_MAX = 200
_PAGE_REVISIONS_MAX = 20
_TRENDING_MAX = 6
_PAPERS_AT_ONCE = 1_000  # lives are read from the archive in such portions
_CHANNELS_AT_ONCE = 50
_PLOTTED = timedelta(days=31)  # what the plots of channels show, and a day
_BESIDE_A_PAGE = ("atom", "bib", "ris")
_T = TypeVar("_T")
_Counts = Mapping[str, Mapping[date, int]]


class SitePages:
    """The pages of one publish: the snapshot they show and the writer they go to."""

    def __init__(
        self,
        catalog: Catalog,
        listings: Listings,
        files: FeedFiles,
        writer: SiteWriter,
        settings: Settings,
        topics: Sequence[Topic],
        verdicts: Sequence[Verdict],
    ) -> None:
        self._catalog, self._listings, self._files, self._writer = catalog, listings, files, writer
        self._settings, self._topics, self._verdicts = settings.site, tuple(topics), verdicts
        self._days_touched = set[date]()
        self._boards = Boards(catalog)
        self.left_out: list[str] = []
        self._around: dict[str, str] = {}  # of the page of each channel, what it shows besides its own papers

    @cached_property
    def _site(self) -> pages.PageSite:
        """What pages say of the site; asked for once the feeds are listed."""
        return pages.PageSite(
            title=self._settings.title,
            base_url=self._settings.base_url,
            description=self._settings.description,
            topics=self._topics,
            live=self._settings.live,
            # Whether another category has a page changes with its papers, and pages of old ones are not made again.
            categories=frozenset(c.key for c in self._channels["category"] if is_arxiv_category(c.key)),
            sources=frozenset(c.key for c in self._channels["source"]),
        )

    def papers(self, paper_ids: Sequence[str]) -> Iterator[int]:
        """Write the pages of these papers and what lies beside them; yields 1 for each."""
        for ids in portions(paper_ids, _PAPERS_AT_ONCE):
            lives = self._catalog.life(ids)
            for tagged in self._catalog.papers(ids):
                paper = tagged.paper
                revisions, sightings = lives[paper.paper_id]
                page = pages.paper_page(self._site, tagged, revisions, sightings)
                self._writer.write(paths.paper_path(paper.paper_id), page)
                for name, content in citation_files(paper, revisions).items():
                    self._writer.write(name, content)
                life = life_feed(self._files.site, tagged, revisions)
                self._writer.write(paths.paper_file(paper.paper_id, "atom"), feeds.atom(life))
                self.left_out += [f"{life.stem}: {entry}" for entry in life.left_out]
                self._days_touched.add(paper.announced_on or (paper.announced_at or paper.first_seen_at).date())
                yield 1

    def moved(self, merged: Merged) -> None:
        """Let the page of a merged paper lead to the one it lives on as; what lay beside it goes."""
        path = paths.paper_path(merged.paper_id)
        self._writer.write(path, moved_page(self._site, merged.paper_id, merged.merged_into))
        for extension in _BESIDE_A_PAGE:
            self._writer.remove(paths.paper_file(merged.paper_id, extension))
        self._days_touched.add(merged.day)

    def lists(self, touched: Mapping[str, Touched], *, everything: bool) -> None:
        """Write the pages that list papers, after the papers' own."""
        self._trending()
        self._channel_pages({t.channel.stem for t in touched.values()}, everything=everything)
        self._periods()
        self._overviews()
        if everything:
            self._whole_site()

    def front_page(self) -> None:
        """Write the front page, which says in a line how coverage is."""
        latest = self._days[0][0] if self._days else None
        page = pages.index_page(
            self._site,
            latest_day=latest,
            papers=self._catalog.papers_of_day(latest) if latest else (),
            days=self._days,
            topic_counts={topic.slug: self._listings.count(f"feeds/{topic.slug}") for topic in self._topics},
            trending=self._catalog.trending(_TRENDING_MAX),
            coverage=health.overview(self._verdicts).line,
        )
        self._writer.write("index.html", page)

    def coverage(self) -> None:
        """Write the page and the feeds of coverage."""
        self._writer.write(paths.HEALTH_PATH, pages.health_page(self._site, self._verdicts))
        feed = health.health_feed(self._files.site, self._verdicts)
        for extension, write in WRITERS.items():
            self._writer.write(f"{feed.stem}.{extension}", write(feed))
        self.left_out += [f"{feed.stem}: {entry}" for entry in feed.left_out]

    def facts(self) -> dict[str, str]:
        """What the next publish wants to know of this one."""
        return {"pages": json.dumps(self._around)} if self._around else {}

    @cached_property
    def _days(self) -> list[tuple[date, int]]:
        return self._catalog.days()

    @cached_property
    def _counts(self) -> dict[str, _Counts]:
        """By kind of channel, key and day: how many papers were new of late."""
        last = self._days[0][0] if self._days else date.min + _PLOTTED
        kinds = ("topic", "category", "source")
        return {kind: self._catalog.channel_days(kind, last - _PLOTTED, last) for kind in kinds}

    def _channel_pages(self, touched: set[str], *, everything: bool) -> None:
        """Write the pages of channels that were touched, and those around whose papers something moved."""
        self._boards.prepare(DAY, [topic.slug for topic in self._topics])
        until = self._days[0][0] if self._days else None
        plotted = until, sum(day > until - _PLOTTED for day, _ in self._days) if until else 0
        before: dict[str, str] = json.loads(self._listings.get("pages") or "{}")
        channels = []
        for channel in (c for some in self._channels.values() for c in some):
            cards = trending_cards(self._site, self._boards, channel.key, root="../") if channel.kind == "topic" else ()
            self._around[channel.page] = hashlib.blake2b(repr((plotted, cards)).encode(), digest_size=8).hexdigest()
            if everything or channel.stem in touched or self._around[channel.page] != before.get(channel.page):
                channels.append((channel, cards))
        for some in portions(channels, _CHANNELS_AT_ONCE):
            self._some_channels(some)

    def _some_channels(self, channels: Sequence[tuple[Channel, Sequence[Card]]]) -> None:
        """Read what these channels show from the archive at once, and write their pages."""
        listed = {c.stem: [li.paper_id for li in self._listings.newest(c.stem, _PAGE_PAPERS_MAX)] for c, _ in channels}
        told = {c.stem: self._told(c) for c, _ in channels}
        papers = {t.paper.paper_id: t for t in self._catalog.papers(list(_flat(listed)))}
        keys = list(_flat(told))
        revisions = dict(zip(keys, self._catalog.told_at(keys), strict=True))
        for channel, cards in channels:
            page = pages.channel_page(
                self._site,
                channel,
                [papers[paper_id] for paper_id in listed[channel.stem] if paper_id in papers],
                total=self._listings.count(channel.stem),
                revisions=[revisions[key] for key in told[channel.stem]],
                trending=cards,
                counts=self._counts[channel.kind].get(channel.key, {}),
                days=self._days,
            )
            self._writer.write(channel.page, page)

    def _told(self, channel: Channel) -> list[tuple[str, int]]:
        """The newest revisions of a channel, by paper and commit."""
        listed = self._listings.newest(channel.stem + REVISIONS, _PAGE_REVISIONS_MAX)
        return list(dict.fromkeys((listing.paper_id, listing.seq) for listing in listed))

    def _trending(self) -> None:
        """Write the boards and their feeds: they move with every look at the votes."""
        for name, content in board_files(self._site, self._boards):
            self._writer.write(name, content)
        for feed in trending_feeds(self._files.site, self._channels["topic"], self._boards):
            self._files.write_made(feed)
            self.left_out += [f"{feed.stem}: {entry}" for entry in feed.left_out]

    def _periods(self) -> None:
        """Write the days, weeks and months that papers came to, and their neighbours, whose links change."""
        known = [day for day, _ in self._days]
        for day, earlier, later in _with_neighbours(known, self._days_touched | _beside(self._days_touched, known)):
            page = pages.day_page(self._site, day, self._catalog.papers_of_day(day), previous=earlier, next_day=later)
            self._writer.write(paths.day_path(day), page)
        for day in self._days_touched.difference(known):  # its only papers turned out to be others
            self._writer.remove(paths.day_path(day))
        for period_of, make in ((week_of, pages.week_page), (month_of, pages.month_page)):
            touched = {period_of(day).first for day in self._days_touched}
            starts = list(dict.fromkeys(period_of(day).first for day in known))
            for start, _, _ in _with_neighbours(starts, touched | _beside(touched, starts)):
                self._period(period_of(start), make)
            for start in touched.difference(starts):
                self._writer.remove(period_of(start).path)

    def _period(self, period: Period, make: Callable[..., bytes]) -> None:
        papers = self._catalog.top_of_days(period.first, period.last, limit=pages.PERIOD_PAPERS_MAX)
        counts = self._catalog.channel_days("topic", period.first, period.last)
        page = make(self._site, period.first, papers, days=self._days, counts=counts)
        self._writer.write(period.path, page)

    def _overviews(self) -> None:
        """Write the pages that lead to all others, and the subscriptions to all feeds."""
        self._writer.write(paths.ARCHIVE_PATH, pages.archive_page(self._site, self._days))
        channels = self._channels
        totals = {c.key: self._listings.count(c.stem) for c in channels["topic"]}
        page = pages.topics_page(self._site, self._counts["topic"], totals=totals, days=self._days)
        self._writer.write(paths.TOPICS_PATH, page)
        for kind, path in (("category", paths.CATEGORIES_PATH), ("source", paths.SOURCES_PATH)):
            totals = {c.key: self._listings.count(c.stem) for c in channels[kind]}
            page = pages.channels_page(
                self._site, kind, channels[kind], self._counts[kind], totals=totals, days=self._days
            )
            self._writer.write(path, page)
        for name, content in opml_files(self._files.site, channels).items():
            self._writer.write(name, content)

    @cached_property
    def _channels(self) -> dict[str, list[Channel]]:
        """The topics in their order, and every category and source that has feeds, by name."""
        known: dict[str, list[Channel]] = {"topic": [topic_channel(t) for t in self._topics]}
        makers = {"category": category_channel, "source": source_channel}
        for kind, make in makers.items():
            keys = {feed.key for feed in self._listings.feeds() if feed.kind == kind}
            found = (make(key) for key in sorted(keys))
            known[kind] = [c for c in found if self._is_listed(c) and has_feeds(c, self._listings)]
        return known

    def _is_listed(self, channel: Channel) -> bool:
        """Whether its feeds have or had an entry: of some categories the archive has seen nothing but revisions."""
        return any(self._listings.count(stem) for stem in (channel.stem, channel.stem + REVISIONS))

    def _whole_site(self) -> None:
        """Write what no paper changes, and remove the pages of topics that are no longer configured.

        Their feeds stay, for readers still subscribed.
        """
        self._writer.write("404.html", pages.not_found_page(self._site))
        for name, content in pages.static_files().items():
            self._writer.write(name, content)
        self._writer.keep_only("topics", {paths.topic_path(t.slug) for t in self._topics})


def _beside(touched: set[date], known: Sequence[date]) -> set[date]:
    """Those of `known`, newest first, between which something touched lay that is not there any more."""
    around = set[date]()
    for gone in touched.difference(known):
        around.update([day for day in known if day > gone][-1:], [day for day in known if day < gone][:1])
    return around


def _with_neighbours(known: Sequence[date], touched: set[date]) -> Iterator[tuple[date, date | None, date | None]]:
    """Those of `known`, newest first, that are touched or whose neighbour is: each with its earlier and later one."""
    for place, day in enumerate(known):
        later = known[place - 1] if place else None
        earlier = known[place + 1] if place + 1 < len(known) else None
        if {day, later, earlier} & touched:
            yield day, earlier, later


def _flat(lists: Mapping[str, Sequence[_T]]) -> dict[_T, None]:
    """All that stands in some lists, each once."""
    return dict.fromkeys(one for some in lists.values() for one in some)
