"""Small named builders: a plausible paper and entry, changed by keyword."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from storage.model import Entry, Paper, Tag, TaggedPaper

NOW = datetime(2026, 6, 2, 6, 0, tzinfo=UTC)


def an_entry(**changes: Any) -> Entry:
    """An arXiv entry as the RSS feed of cs.CL brings it."""
    entry = Entry(
        source="arxiv-rss:cs.CL",
        entry_id="oai:arXiv.org:2606.00012v1",
        title="On the Length of Short Titles",
        abstract="We show that $x<y$ holds for all \\emph{short} titles.",
        authors=("Ada Example", "Béla Minta"),
        categories=("cs.CL", "cs.AI"),
        url="https://arxiv.org/abs/2606.00012",
        pdf_url="https://arxiv.org/pdf/2606.00012v1",
        arxiv_id="2606.00012",
        version=1,
        announce_type="new",
        announced_on=date(2026, 6, 2),
        text_rank=3,
    )
    return replace(entry, **changes)


def a_paper(**changes: Any) -> Paper:
    """The paper `an_entry` becomes."""
    paper = Paper(
        paper_id="arxiv:2606.00012",
        aliases=("arxiv:2606.00012",),
        title="On the Length of Short Titles",
        abstract="We show that $x<y$ holds for all \\emph{short} titles.",
        authors=("Ada Example", "Béla Minta"),
        categories=("cs.CL", "cs.AI"),
        sources=("arxiv-rss:cs.CL",),
        version=1,
        revision=1,
        url="https://arxiv.org/abs/2606.00012",
        pdf_url="https://arxiv.org/pdf/2606.00012v1",
        code_url=None,
        project_url=None,
        doi=None,
        journal_ref=None,
        license_url=None,
        withdrawn=False,
        announced_on=date(2026, 6, 2),
        published_at=None,
        first_seen_at=NOW,
        announced_at=NOW,
        revised_at=None,
        trending_on=None,
        upvotes=None,
        comment_count=None,
        stars=None,
        content_hash=b"0" * 16,
        hash_changes=0,
        text_rank=3,
    )
    return replace(paper, **changes)


def tagged(paper: Paper, *slugs: str) -> TaggedPaper:
    """The paper with topics of these slugs."""
    return TaggedPaper(paper=paper, tags=tuple(Tag(slug=s, title=s.replace("-", " ").title(), reason=s) for s in slugs))
