"""A small site with everything difficult in it: long words, TeX, markup, right-to-left, emoji, 300 authors."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date, timedelta
from typing import Any

import lxml.html

from publishers import pages
from publishers.pages import PageSite
from publishers.paths import day_path, paper_path, topic_path
from storage.model import Announcement, Paper, Revision, Sighting, TaggedPaper
from storage.settings import Topic
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
SITE = PageSite(
    title="Paperwire", base_url="https://wire.example.org/", description="New papers, by topic.", topics=TOPICS
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
        **pages.static_files(),
    }
    for each in TOPICS:
        mine = [t for t in (*today, *before) if each.slug in {tag.slug for tag in t.tags}]
        site[topic_path(each.slug)] = pages.topic_page(
            SITE, each, mine, total=5 * len(mine), revisions=revisions[2:] if mine else ()
        )
    return site


def a_bare_paper() -> TaggedPaper:
    """A paper of which next to nothing is known."""
    nothing: dict[str, Any] = {f.name: None for f in fields(Paper) if "None" in str(f.type)}
    paper = replace(a_paper(), **nothing, paper_id="fp:bare", aliases=("fp:bare",), abstract="")
    return TaggedPaper(paper=replace(paper, authors=(), categories=(), sources=()))


def parsed(page: bytes) -> Any:
    """The page as a tree."""
    return lxml.html.document_fromstring(page.decode())


def text_of(element: Any) -> str:
    """What a reader sees of an element, on one line."""
    return " ".join(element.text_content().split())
