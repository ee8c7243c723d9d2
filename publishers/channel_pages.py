"""The page of a topic, a category or a source, and the lists of all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from publishers import page_models as show
from publishers.channels import Channel, topic_channel
from publishers.names import category_name, is_arxiv_category
from publishers.page_frame import PageSite, alternates, render, render_within, stem_links
from publishers.paths import CATEGORIES_PATH, SOURCES_PATH, TOPICS_PATH
from publishers.plots import DAYS, Plot, plot
from storage.model import Revision, TaggedPaper

_REVISIONS_MAX = 30
_TRENDING_MAX = 3
_ONLY_CATEGORIES = re.compile(r"\s*(?:category:(?:\([^()]*\)|[^\s()]+)(?:\s+OR\s+|\s*\Z))+")
_OUTSIDE_PHYSICS = {"cs", "econ", "eess", "math", "q-bio", "q-fin", "stat"}  # arXiv's groups but the one of many names
_KINDS = {
    "topic": ("Topics", TOPICS_PATH, "opml/topics.opml"),
    "category": ("Categories", CATEGORIES_PATH, "opml/categories.opml"),
    "source": ("Sources", SOURCES_PATH, "opml/sources.opml"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A channel in a list of them; `anchor` is its id on the page."""

    channel: Channel
    anchor: str
    code: str
    described: str
    total: int
    plot: Plot | None
    feeds: tuple[tuple[str, tuple[show.Link, ...]], ...]


def channel_page(
    site: PageSite,
    channel: Channel,
    papers: Sequence[TaggedPaper],
    *,
    total: int,
    revisions: Sequence[Revision],
    trending: Sequence[show.Card] = (),
    counts: Mapping[date, int] | None = None,
    days: Sequence[tuple[date, int]] = (),
) -> bytes:
    """Return the page of a channel: its query, its feeds, `papers` by day (of `total`) and its newest `revisions`.

    `trending` are cards to show first. `counts` are its papers by day, `days` those of the whole archive.
    """
    root = "../" * channel.page.count("/")
    until = days[0][0] if days else None
    return render_within(
        lambda summary_max: show.days_grouped(
            papers,
            site.topics,
            root=root,
            summary_max=summary_max,
            topic=channel.key if channel.kind == "topic" else "",
            under=channel.title if channel.kind == "category" else "",
            categories=site.categories,
        ),
        "channel.html.j2",
        site,
        path=channel.page,
        channel=channel,
        described=channel.description,
        query=channel.query,
        up=_KINDS[channel.kind],
        shown=len(papers),
        total=total,
        plot=plot(counts or {}, until, busy_days=_busy_days(days)),
        by_day=[line for line in show.day_lines(_recent(counts or {}, until), root=root) if line.count],
        trending=trending[:_TRENDING_MAX],
        changes=show.changes(revisions[:_REVISIONS_MAX], root=root),
        feeds=_feeds(channel, root),
        feed_url=f"{site.base_url}{channel.stem}.atom",
        outlines=[(title, f"{site.base_url}{stem}.atom") for title, stem in _stems(channel)],
        page_url=f"{site.base_url}{channel.page}",
        alternates=[
            link
            for name, stem in _stems(channel)
            for link in alternates(stem, f"{site.title}: {channel.title}{name and f', {name.lower()}'}", root)
        ],
    )


def topics_page(
    site: PageSite,
    counts: Mapping[str, Mapping[date, int]],
    *,
    totals: Mapping[str, int],
    days: Sequence[tuple[date, int]],
) -> bytes:
    """Return the page of all topics in their groups: what each asks for, how much it brings, how to follow it.

    `counts` are the papers of each topic by day, for the last 30 days at least; `totals` all there are; `days` those
    of the whole archive, newest first.
    """
    groups: dict[str, list[Channel]] = {"Themes": [], "Whole categories": []}
    for topic in site.topics:
        name = "Whole categories" if _ONLY_CATEGORIES.fullmatch(topic.query) else "Themes"
        groups[name].append(topic_channel(topic))
    if not all(groups.values()):
        groups = {"All topics": [*groups["Themes"], *groups["Whole categories"]]}
    return _list_page(site, "topic", groups, counts, totals, days)


def channels_page(
    site: PageSite,
    kind: str,
    channels: Sequence[Channel],
    counts: Mapping[str, Mapping[date, int]],
    *,
    totals: Mapping[str, int],
    days: Sequence[tuple[date, int]],
) -> bytes:
    """Return the page of all categories or all sources (`kind`: category, source); the rest is as for topics.

    Categories come in the groups of their archives (cs, math, …), everything in the order of the names.
    """
    groups: dict[str, list[Channel]] = {}
    for channel in sorted(channels, key=lambda c: (_group(c), c.title.casefold(), c.key)):
        groups.setdefault(_group(channel), []).append(channel)
    return _list_page(site, kind, groups, counts, totals, days)


def _list_page(
    site: PageSite,
    kind: str,
    groups: Mapping[str, Sequence[Channel]],
    counts: Mapping[str, Mapping[date, int]],
    totals: Mapping[str, int],
    days: Sequence[tuple[date, int]],
) -> bytes:
    until, busy = days[0][0] if days else None, _busy_days(days)
    name, path, opml = _KINDS[kind]
    shown = {
        title: [
            Row(
                channel=channel,
                anchor=channel.stem.partition("/")[2].replace("/", "-"),
                code=channel.key if kind == "category" and channel.key != channel.title else "",
                described=channel.description if kind == "topic" else "",
                total=totals.get(channel.key, 0),
                plot=plot(counts.get(channel.key, {}), until, busy_days=busy),
                feeds=_feeds(channel, ""),
            )
            for channel in members
        ]
        for title, members in groups.items()
        if members
    }
    return render(
        "channels.html.j2",
        site,
        path=path,
        kind=kind,
        name=name,
        groups=shown,
        count=sum(map(len, shown.values())),
        until=until,
        opml=opml,
        kinds=[(text, href) for text, href, _ in _KINDS.values()],
    )


def _feeds(channel: Channel, root: str) -> tuple[tuple[str, tuple[show.Link, ...]], ...]:
    """What can be followed of a channel, each in every format."""
    return tuple((name or "New papers", tuple(stem_links(stem, root))) for name, stem in _stems(channel))


def _stems(channel: Channel) -> Iterator[tuple[str, str]]:
    """The names of a channel's feeds, '' for that of its new papers, and their paths without extension."""
    yield "", channel.stem
    if channel.kind == "topic":
        yield "Trending", f"{channel.stem}/trending"
    yield "Revisions", f"{channel.stem}/revisions"


def _group(channel: Channel) -> str:
    """The heading in the list: the archive of a category, what a source's name begins with."""
    if channel.kind != "category":
        return channel.key.partition(":")[0]
    archive = channel.key.partition(".")[0]
    if not is_arxiv_category(channel.key):
        return "Other categories"
    return category_name(archive) if archive in _OUTSIDE_PHYSICS else "Physics"


def _busy_days(days: Sequence[tuple[date, int]]) -> int:
    return sum(day.toordinal() > days[0][0].toordinal() - DAYS for day, _ in days)


def _recent(counts: Mapping[date, int], until: date | None) -> list[tuple[date, int]]:
    known = sorted(counts.items(), reverse=True)
    return [(day, n) for day, n in known if until and 0 <= until.toordinal() - day.toordinal() < DAYS]
