"""A small site with everything difficult in it: long words, TeX, markup, right-to-left, emoji, 300 authors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import date, timedelta
from typing import Any

import lxml.html

from publishers import page_models as show
from publishers import pages
from publishers.boards import board_page, board_path, standing
from publishers.channels import category_channel, source_channel, topic_channel
from publishers.pages import PageSite
from publishers.paths import (
    CATEGORIES_PATH,
    SOURCES_PATH,
    TOPICS_PATH,
    day_path,
    month_path,
    paper_path,
    topic_path,
    week_path,
)
from storage.model import Announcement, Paper, Revision, Sighting, Submission, TaggedPaper
from storage.settings import Topic
from storage.trending import SPANS, Look, Watched, board
from tests.builders import NOW, a_paper, tagged
from tests.coverage_builders import four_weeks

DAY = date(2026, 6, 2)
TITLES = (
    "Donaudampfschifffahrtsgesellschaftskapitänswitwenrente" * 6,
    r"$\mathcal{O}(n^{2})$ Bounds for \emph{Robust} $\ell_1$-Regression with $x<y$ & 50% Noise",
    "<script>alert('title')</script> Considered Harmful",
    "دراسة حول نماذج اللغة الكبيرة \u202etxet desrever",
    "🦜🦜 Talking Parrots 👩‍🔬: A Survey 🚀",
    "https://example.org/" + "very-long-path-without-any-space/" * 6,
    "日本語の論文タイトルは空白なしでとても長くなることがありますのでここで折り返す必要があります",
)


def topic(slug: str, title: str = "", **changes: Any) -> Topic:
    """A configured topic."""
    return Topic(slug=slug, title=title or slug.title(), query=changes.pop("query", slug), **changes)


TOPICS = (
    topic(
        "nlp",
        "Language models",
        query='title:"language model" OR category:cs.CL',
        description="Text, read by machines.",
    ),
    topic("robots", "Robot learning", query="robot" + " OR manipulation" * 12),
    topic("quiet", "Nothing yet", query="unobtainium"),
)
CATEGORIES, SOURCES = ("cs.CL", "cs.RO", "not-arXiv's <b>own</b>"), ("arxiv-rss:cs.CL", "journal:" + "x" * 60)
SITE = PageSite(
    title="Paperwire",
    base_url="https://wire.example.org/",
    description="New papers, by topic.",
    topics=TOPICS,
    categories=frozenset(CATEGORIES),
    sources=frozenset(SOURCES),
)


def a_sighting(*announcements: Announcement, **changes: Any) -> Sighting:
    """The paper as the feed of cs.CL showed it."""
    sighting = Sighting(
        source="arxiv-rss:cs.CL",
        entry_id="oai:arXiv.org:2606.00012v1",
        seen_at=NOW,
        announced_on=DAY,
        announcements=announcements,
        version=1,
        categories=("cs.CL",),
        upvotes=None,
        comment_count=None,
        stars=None,
    )
    return replace(sighting, **changes)


def a_revision(paper: Paper, *announcements: Announcement, changes: tuple[str, ...] = ()) -> Revision:
    """A row of a paper's life."""
    return Revision(paper=paper, announcements=announcements, changes=changes, at=paper.revised_at or NOW)


def papers_of(number: int, *, day: date = DAY, first: int = 0) -> list[TaggedPaper]:
    """That many plausible papers, some in topics, each a little different."""
    found = []
    for n in range(first, first + number):
        paper = a_paper(
            paper_id=f"arxiv:2606.{n:05}",
            aliases=(f"arxiv:2606.{n:05}",),
            title=TITLES[n] if n < len(TITLES) else f"A Study of the Number {n} and What It Means to Language Models",
            abstract=f"We look at {n} closely. " + "It has properties that matter to everybody who counts. " * 12,
            authors=tuple(f"Author{k} Example{n}" for k in range(300 if n == 3 else n % 7)),
            categories=(("cs.CL", "cs.LG"), ("cs.RO",), ("cs.CV", "cs.AI", "eess.IV"), ())[n % 4],
            pdf_url=f"https://arxiv.org/pdf/2606.{n:05}v1",
            code_url="https://code.example.org/" + "x" * 90 if n % 5 == 0 else None,
            upvotes=n if n % 3 == 0 else None,
            announced_on=day,
            withdrawn=n == 1,
        )
        found.append(tagged(paper, *((("nlp",), ("robots", "nlp"), ("gone-topic",), ())[n % 4])))
    return found


def a_full_life() -> tuple[TaggedPaper, list[Revision], list[Sighting]]:
    """A paper to which everything happened."""
    first = a_paper(title=TITLES[1], authors=tuple(f"Author Number {n}" for n in range(300)))
    second = replace(
        first,
        version=2,
        title="Bounds for Robust Regression",
        abstract="We show that $x<y$ holds for all \\emph{long} titles, too.",
        authors=first.authors[:-1],
        doi="10.1000/a(b)<c>;d",
        revised_at=NOW + timedelta(days=3),
    )
    last = replace(
        second,
        journal_ref="J. Exampl. Res. 12 (2026) 1-20",
        withdrawn=True,
        upvotes=12,
        stars=1,
        trending_on=DAY,
        license_url="http://creativecommons.org/licenses/by/4.0/",
        code_url="https://code.example.org/repo",
        revised_at=NOW + timedelta(days=9),
    )
    kinds = Announcement
    revisions = [
        a_revision(replace(first, categories=("cs.CL",)), kinds.NEW),
        a_revision(first, kinds.CROSS_LISTED),
        a_revision(second, kinds.REVISED, changes=("version", "title", "abstract", "authors")),
        a_revision(last, kinds.PUBLISHED, kinds.WITHDRAWN, changes=("doi", "withdrawn")),
    ]
    sightings = [
        a_sighting(kinds.NEW),
        a_sighting(kinds.CROSS_LISTED, source="arxiv-rss:cs.AI", seen_at=NOW + timedelta(days=1), announced_on=None),
        a_sighting(kinds.TRENDING, source="hf-daily", upvotes=12, announced_on=DAY + timedelta(days=2)),
        a_sighting(kinds.REVISED, version=2, announced_on=DAY + timedelta(days=3)),
        a_sighting(kinds.PUBLISHED, kinds.WITHDRAWN, announced_on=DAY + timedelta(days=9)),
    ]
    return tagged(last, "nlp", "robots"), revisions, sightings


def whole_site() -> dict[str, bytes]:
    """Every kind of page, by path, with everything difficult in it."""
    today, before = papers_of(28), papers_of(12, day=DAY - timedelta(days=1), first=60)
    paper, revisions, sightings = a_full_life()
    days = [(DAY - timedelta(days=n), 28 + n) for n in range(20)]
    counts = {"nlp": {day: count // 2 for day, count in days}, "robots": {DAY: 7}}
    site = {
        "index.html": pages.index_page(
            SITE, latest_day=DAY, papers=today, days=days, topic_counts={"nlp": 1234, "robots": 12}, trending=today[:6]
        ),
        "empty.html": pages.index_page(SITE, latest_day=None, papers=(), days=(), topic_counts={}, trending=()),
        "404.html": pages.not_found_page(SITE),
        "health.html": pages.health_page(SITE, four_weeks()),
        "unjudged.html": pages.health_page(SITE, ()),
        day_path(DAY): pages.day_page(SITE, DAY, today, previous=DAY - timedelta(days=1), next_day=None),
        paper_path(paper.paper.paper_id): pages.paper_page(SITE, paper, revisions, sightings),
        paper_path("fp:bare"): pages.paper_page(SITE, a_bare_paper(), (), ()),
        paper_path("fp:formulas"): pages.paper_page(SITE, a_paper_of_formulas(), (), ()),
        **pages.static_files(),
        **_pages_of_time([*today, *before], days, counts),
        **_pages_of_channels(before, days, counts),
        **_boards(today),
        "live.html": pages.index_page(
            replace(SITE, live=True), latest_day=None, papers=(), days=(), topic_counts={}, trending=()
        ),
    }
    for each in TOPICS:
        mine = [t for t in (*today, *before) if each.slug in {tag.slug for tag in t.tags}]
        site[topic_path(each.slug)] = pages.channel_page(
            SITE,
            topic_channel(each),
            mine,
            total=5 * len(mine),
            revisions=revisions[2:] if mine else (),
            trending=[show.card(t, TOPICS, root="../", summary_max=0) for t in mine[:4]],
            counts=counts.get(each.slug),
            days=days,
        )
    return site


def _pages_of_time(
    papers: Sequence[TaggedPaper], days: Sequence[tuple[date, int]], counts: Mapping[str, Mapping[date, int]]
) -> dict[str, bytes]:
    """The archive: with two months of days, with none, and with a month that holds more than it shows."""
    return {
        "archive.html": pages.archive_page(SITE, days),
        "no-archive.html": pages.archive_page(SITE, ()),
        week_path(DAY): pages.week_page(SITE, DAY, papers, days=days, counts=counts),
        month_path(DAY): pages.month_page(SITE, DAY, papers, days=days, counts=counts),
        month_path(date(1999, 2, 1)): pages.month_page(SITE, date(1999, 2, 1), (), days=days, counts=counts),
    }


def _pages_of_channels(
    papers: Sequence[TaggedPaper], days: Sequence[tuple[date, int]], counts: Mapping[str, Mapping[date, int]]
) -> dict[str, bytes]:
    """The lists of topics, categories and sources, a category and a source with papers, others without."""
    categories, sources = [category_channel(code) for code in CATEGORIES], [source_channel(name) for name in SOURCES]
    found = {
        TOPICS_PATH: pages.topics_page(SITE, counts, totals={"nlp": 1234, "robots": 7}, days=days),
        "no-topics.html": pages.topics_page(replace(SITE, topics=()), {}, totals={}, days=()),
        CATEGORIES_PATH: pages.channels_page(
            SITE, "category", categories, {"cs.CL": counts["nlp"]}, totals={"cs.CL": 321}, days=days
        ),
        SOURCES_PATH: pages.channels_page(SITE, "source", sources, {}, totals={}, days=days),
    }
    for channel in (*categories, *sources):
        mine = [t for t in papers if channel.key in (*t.paper.categories, *t.paper.sources)]
        found[channel.page] = pages.channel_page(SITE, channel, mine, total=len(mine), revisions=(), days=days)
    return found


def _boards(papers: Sequence[TaggedPaper]) -> dict[str, bytes]:
    """The boards of a morning on which each paper has as many votes as its place, and the first has none."""
    found = [
        Watched(
            paper_id=each.paper.paper_id,
            listed_at=NOW,
            topics=frozenset(tag.slug for tag in each.tags),
            looks=tuple(Look(NOW + timedelta(hours=h), "hf-daily", h * votes, votes // 2, None) for h in (1, 2, 3)),
        )
        for votes, each in enumerate(papers)
    ]
    as_of = NOW + timedelta(hours=3)
    return {board_path(s): board_page(SITE, standing(board(found, s, as_of=as_of), papers)) for s in SPANS.values()}


def a_bare_paper() -> TaggedPaper:
    """A paper of which next to nothing is known."""
    nothing: dict[str, Any] = {f.name: None for f in fields(Paper) if "None" in str(f.type)}
    paper = replace(a_paper(), **nothing, paper_id="fp:bare", aliases=("fp:bare",), abstract="")
    return TaggedPaper(paper=replace(paper, authors=(), categories=(), sources=()))


def a_paper_of_formulas() -> TaggedPaper:
    """A paper whose title and abstract are hardly anything else, many of them wider than a phone."""
    long = r"\sum_{k=0}^{\infty} \frac{a_k}{k!} \left( \int_0^1 f(x)\,dx \right)^k \le \sup_{u \in W} \|\nabla u\|^n"
    abstract = rf"We bound ${long}$ and ${long} + {long}$ for $x<y$, $\alpha_i^2$, $\sqrt[3]{{\hat x}}$."
    versions = tuple(Submission(n, NOW + timedelta(days=n), size_bytes=1_000 * n) for n in range(1, 4))
    paper = a_paper(title=rf"On $\mathcal{{O}}(n^2)$ and ${long}$", abstract=abstract, versions=versions, citations=12)
    return tagged(replace(paper, paper_id="fp:formulas"), "nlp")


def parsed(page: bytes) -> Any:
    """The page as a tree."""
    return lxml.html.document_fromstring(page.decode())


def text_of(element: Any) -> str:
    """What a reader sees of an element, on one line."""
    return " ".join(element.text_content().split())
