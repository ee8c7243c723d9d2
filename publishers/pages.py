"""The site's HTML pages: each function returns the bytes of one page, made from the data alone.

Links are relative, so a site works from any folder and from file://; only the canonical link and the page for unknown
addresses need to know where the site lives. Pages work without scripts and load nothing from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from importlib import resources
from urllib.parse import urlsplit

from publishers import health
from publishers import page_models as show
from publishers.channel_pages import channel_page, channels_page, topics_page
from publishers.channels import ALL
from publishers.page_frame import (
    SUMMARY_CHARACTERS,
    TRENDING_PATH,
    PageSite,
    alternates,
    feed_links,
    render,
)
from publishers.paper_page import paper_page
from publishers.paths import (
    ARCHIVE_PATH,
    HEALTH,
    HEALTH_PATH,
    OPML_PATH,
    TOPICS_PATH,
    day_path,
    feed_path,
    revisions_path,
    topic_path,
)
from publishers.period_pages import PERIOD_PAPERS_MAX, archive_page, day_page, month_page, week_page
from storage.coverage import Verdict
from storage.model import TaggedPaper
from storage.settings import Topic

__all__ = [
    "PERIOD_PAPERS_MAX",
    "PageSite",
    "archive_page",
    "channel_page",
    "channels_page",
    "day_page",
    "health_page",
    "index_page",
    "month_page",
    "not_found_page",
    "paper_page",
    "static_files",
    "topics_page",
    "week_page",
]

_LEAD_CARDS_MAX = 42  # with 240 characters of abstract each: a front page of 60 to 100 kB
_TRENDING_MAX = 5
_DAYS_MAX = 14
_CASES_OPEN = 12


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
    return render(
        "index.html.j2",
        site,
        path="index.html",
        latest_day=latest_day,
        count=dict(days).get(latest_day, len(papers)) if latest_day else 0,
        in_topics=sum(show.in_topics(tagged, site.topics) for tagged in papers),
        sections=show.lead_sections(
            papers,
            site.topics,
            root="",
            summary_max=SUMMARY_CHARACTERS,
            cards_max=_LEAD_CARDS_MAX,
            categories=site.categories,
        ),
        opml_href=OPML_PATH,
        revisions_href=revisions_path(ALL),
        day_href=day_path(latest_day) if latest_day else "",
        trending=[show.card(t, site.topics, root="", summary_max=0) for t in trending[:_TRENDING_MAX]],
        topics=[
            (topic, topic_path(topic.slug), today, topic_counts.get(topic.slug, 0), feed_links(topic.slug, "")[:3])
            for topic, today in _with_today(site.topics, papers)
        ],
        days=show.day_lines(days[:_DAYS_MAX], root=""),
        archive_href=ARCHIVE_PATH,
        topics_href=TOPICS_PATH,
        trending_href=TRENDING_PATH,
        feeds=feed_links(ALL, ""),
        alternates=alternates(f"feeds/{ALL}", site.title, ""),
        coverage=coverage,
        health_href=HEALTH_PATH,
    )


def health_page(site: PageSite, verdicts: Sequence[Verdict]) -> bytes:
    """Return the page of coverage: how the last days of each source went, what is missing, what was made up for."""
    return render(
        "health.html.j2",
        site,
        path=HEALTH_PATH,
        seen=health.overview(verdicts),
        words=health.WORDS,
        cases_open=_CASES_OPEN,
        feeds=feed_links(HEALTH, ""),
        feed_url=f"{site.base_url}{feed_path(HEALTH, 'atom')}",
        alternates=alternates(f"feeds/{HEALTH}", f"{site.title}: coverage", ""),
    )


def not_found_page(site: PageSite) -> bytes:
    """Return the page for unknown addresses. It is served at any depth, so its links start at the site's own path."""
    return render("404.html.j2", site, path="404.html", root=urlsplit(site.base_url).path or "/")


def static_files() -> dict[str, bytes]:
    """Return what pages load besides themselves, by path within the site, in a fixed order."""
    folder = resources.files("publishers") / "static"
    files = sorted((f for f in folder.iterdir() if f.is_file()), key=lambda f: f.name)
    return {f"static/{f.name}": f.read_bytes() for f in files}


def _with_today(topics: Sequence[Topic], papers: Sequence[TaggedPaper]) -> list[tuple[Topic, int]]:
    today = show.count_by_topic(papers)
    return [(topic, today.get(topic.slug, 0)) for topic in topics]
