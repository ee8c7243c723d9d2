"""The site's HTML pages: each function returns the bytes of one page, made from the data alone.

Links are relative, so a site works from any folder and from file://; only the canonical link and the page for unknown
addresses need to know where the site lives. Pages work without scripts and load nothing from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined

from publishers import health
from publishers import page_models as show
from publishers.citation import bibtex, landing_url, meta_tags, schema_org
from publishers.life import life
from publishers.names import category_name, license_name
from publishers.paths import (
    FEED_FORMATS,
    HEALTH,
    HEALTH_PATH,
    day_path,
    feed_path,
    paper_path,
    revisions_path,
    topic_path,
)
from publishers.readable import paragraphs, readable, summary
from storage.coverage import Verdict
from storage.model import Revision, Sighting, TaggedPaper
from storage.settings import Topic
from storage.text import safe_url

ALL = "all"  # the slug of the feeds that carry every topic
OPML_PATH = "feeds.opml"
_FORMAT_NAMES = {"atom": "Atom", "rss": "RSS", "json": "JSON Feed"}
_LEAD_CARDS_MAX = 42  # with 240 characters of abstract each: a front page of 60 to 100 kB
_SUMMARY_CHARACTERS = 240
_TRENDING_MAX = 5
_DAYS_OPEN, _DAYS_MAX = 10, 60
_PAGE_BYTES_MAX = 400_000  # a longer page of a day or a topic goes without its abstracts
_JUMP_OPEN = 12  # jump links in sight; the rest is folded
_REVISIONS_MAX = 30
_AUTHORS_OPEN = 16
_CASES_OPEN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSite:
    """What every page says about the site; `base_url` ends in a slash."""

    title: str
    base_url: str
    description: str
    topics: tuple[Topic, ...]


def index_page(
    site: PageSite,
    *,
    latest_day: date | None,
    papers: Sequence[TaggedPaper],
    days: Sequence[tuple[date, int]],
    topic_counts: Mapping[str, int],
    trending: Sequence[TaggedPaper],
    coverage: str = health.NOT_JUDGED_LINE,
) -> bytes:
    """Return the front page: what trends, the latest day's `papers` by topic, the topics and the earlier `days`.

    `papers` are all of the latest day, which decides how many are shown; `days` and `topic_counts` count the archive.
    `coverage` is an Overview's `line`.
    """
    return _render(
        "index.html.j2",
        site,
        path="index.html",
        latest_day=latest_day,
        count=dict(days).get(latest_day, len(papers)) if latest_day else 0,
        in_topics=sum(show.in_topics(tagged, site.topics) for tagged in papers),
        sections=show.lead_sections(
            papers, site.topics, root="", summary_max=_SUMMARY_CHARACTERS, cards_max=_LEAD_CARDS_MAX
        ),
        opml_href=OPML_PATH,
        revisions_href=revisions_path(ALL),
        day_href=day_path(latest_day) if latest_day else "",
        trending=[show.card(t, site.topics, root="", summary_max=0) for t in trending[:_TRENDING_MAX]],
        topics=[
            (topic, topic_path(topic.slug), today, topic_counts.get(topic.slug, 0), _feeds(topic.slug, "")[:3])
            for topic, today in _with_today(site.topics, papers)
        ],
        days=show.day_lines(days[:_DAYS_MAX], root=""),
        days_open=_DAYS_OPEN,
        feeds=_feeds(ALL, ""),
        alternates=_alternates(ALL, site.title, ""),
        coverage=coverage,
        health_href=HEALTH_PATH,
    )


def topic_page(
    site: PageSite, topic: Topic, papers: Sequence[TaggedPaper], *, total: int, revisions: Sequence[Revision]
) -> bytes:
    """Return the page of a topic: its query, its feeds, `papers` by day (of `total`) and its newest `revisions`."""
    return _render_within(
        lambda summary_max: show.days_grouped(
            papers, site.topics, root="../", summary_max=summary_max, topic=topic.slug
        ),
        "topic.html.j2",
        site,
        path=topic_path(topic.slug),
        topic=topic,
        shown=len(papers),
        total=total,
        changes=show.changes(revisions[:_REVISIONS_MAX], root="../"),
        feeds=_feeds(topic.slug, "../"),
        feed_url=f"{site.base_url}{feed_path(topic.slug, 'atom')}",
        revisions_href=f"../{revisions_path(topic.slug)}",
        alternates=[
            *_alternates(topic.slug, f"{site.title}: {topic.title}", "../"),
            (FEED_FORMATS["atom"], f"{site.title}: {topic.title}, revisions", f"../{revisions_path(topic.slug)}"),
        ],
    )


def day_page(
    site: PageSite, day: date, papers: Sequence[TaggedPaper], *, previous: date | None, next_day: date | None
) -> bytes:
    """Return the page of a day: every paper once, under its first topic, the rest by primary category."""
    return _render_within(
        lambda summary_max: show.day_sections(papers, site.topics, root="../", summary_max=summary_max),
        "day.html.j2",
        site,
        path=day_path(day),
        day=day,
        count=len(papers),
        in_topics=sum(show.in_topics(tagged, site.topics) for tagged in papers),
        previous=(previous, f"../{day_path(previous)}") if previous else None,
        next=(next_day, f"../{day_path(next_day)}") if next_day else None,
    )


def paper_page(
    site: PageSite, paper: TaggedPaper, revisions: Sequence[Revision], sightings: Sequence[Sighting]
) -> bytes:
    """Return the page of a paper: what it says, why it is here, where to read it, how to cite it and its life.

    `revisions` and `sightings` are oldest first.
    """
    known = paper.paper
    path = paper_path(known.paper_id)
    abstract = paragraphs(known.abstract)
    return _render(
        "paper.html.j2",
        site,
        path=path,
        paper=known,
        title=readable(known.title),
        description=summary(known.abstract, 200) or readable(known.title),
        day=show.day_of(known),
        day_href=f"../{day_path(show.day_of(known))}" if known.announced_at else None,
        authors=[readable(name) for name in known.authors],
        authors_open=_AUTHORS_OPEN,
        abstract=abstract,
        categories=[(category_name(code), code) for code in known.categories],
        tags=show.known_tags(paper, site.topics, root="../"),
        links=show.paper_links(known),
        landing=landing_url(known),
        license=_license(known.license_url),
        events=life(known, revisions, sightings),
        # Whoever was only asked for a count did not see the paper, and is none of its sources.
        sightings=[s for s in sightings if s.source in known.sources or s.announcements],
        bibtex=bibtex(known),
        meta_tags=meta_tags(known),
        schema=schema_org(known, page_url=f"{site.base_url}{path}", abstract="\n\n".join(abstract)),
    )


def health_page(site: PageSite, verdicts: Sequence[Verdict]) -> bytes:
    """Return the page of coverage: how the last days of each source went, what is missing, what was made up for."""
    return _render(
        "health.html.j2",
        site,
        path=HEALTH_PATH,
        seen=health.overview(verdicts),
        words=health.WORDS,
        cases_open=_CASES_OPEN,
        feeds=_feeds(HEALTH, ""),
        feed_url=f"{site.base_url}{feed_path(HEALTH, 'atom')}",
        alternates=_alternates(HEALTH, f"{site.title}: coverage", ""),
    )


def not_found_page(site: PageSite) -> bytes:
    """Return the page for unknown addresses. It is served at any depth, so its links start at the site's own path."""
    return _render("404.html.j2", site, path="404.html", root=urlsplit(site.base_url).path or "/")


def static_files() -> dict[str, bytes]:
    """Return what pages load besides themselves, by path within the site, in a fixed order."""
    folder = resources.files("publishers") / "static"
    files = sorted((f for f in folder.iterdir() if f.is_file()), key=lambda f: f.name)
    return {f"static/{f.name}": f.read_bytes() for f in files}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("publishers", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["long_day"] = show.long_day
    environment.filters["short_day"] = show.short_day
    environment.filters["plain_day"] = show.plain_day
    environment.filters["moment"] = health.moment
    environment.globals.update(counted=show.counted, jump_open=_JUMP_OPEN)
    return environment


def _render(template: str, site: PageSite, *, path: str, **values: object) -> bytes:
    values.setdefault("root", "../" * path.count("/"))
    return _environment().get_template(template).render(site=site, path=path, **values).encode()


def _render_within(
    sections: Callable[[int], tuple[show.Section, ...]], template: str, site: PageSite, *, path: str, **values: object
) -> bytes:
    """Render with abstracts, or without them where the page would be too long for a phone on the road."""
    page = _render(template, site, path=path, sections=sections(_SUMMARY_CHARACTERS), **values)
    if len(page) <= _PAGE_BYTES_MAX:
        return page
    return _render(template, site, path=path, sections=sections(0), **values)


def _feeds(slug: str, root: str) -> list[show.Link]:
    return [show.Link(text=_FORMAT_NAMES[f], href=f"{root}{feed_path(slug, f)}") for f in FEED_FORMATS]


def _alternates(slug: str, title: str, root: str) -> list[tuple[str, str, str]]:
    """Return type, title and address of each feed, for <link rel=alternate>."""
    return [
        (kind, f"{title} ({_FORMAT_NAMES[extension]})", f"{root}{feed_path(slug, extension)}")
        for extension, kind in FEED_FORMATS.items()
    ]


def _with_today(topics: Sequence[Topic], papers: Sequence[TaggedPaper]) -> list[tuple[Topic, int]]:
    today = show.count_by_topic(papers)
    return [(topic, today.get(topic.slug, 0)) for topic in topics]


def _license(url: str | None) -> show.Link | None:
    href = safe_url(url)
    return show.Link(text=license_name(href), href=href) if href else None
