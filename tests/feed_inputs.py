"""What the tests of feeds are made from: a site, a topic, papers of every kind, revisions, a set of real papers."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb

from publishers.channels import topic_channel
from publishers.feeds import FeedSite
from storage.model import Announcement, Revision, TaggedPaper
from storage.settings import Topic
from tests.builders import NOW, a_paper, tagged

SITE = FeedSite(title="Paperwire", base_url="https://papers.test/", authority="papers.test")
TOPIC = Topic(slug="short-titles", title="Short titles", query="title:short", description="Papers with short titles.")
CHANNEL = topic_channel(TOPIC)
HOSTILE_TITLE = "]]> <script>alert(1)</script> & \u202egnitide\u202c \x00\x1b[31m \ud800 $x<y$"


def a_full_paper() -> TaggedPaper:
    """A paper with everything a paper can have."""
    paper = a_paper(
        title=r"On $x<y$ & the $\mathcal{O}(n\log n)$ bound",
        abstract="We show that $x<y$ & more.\nIt holds.\n\nA second paragraph costs $5 and $10.",
        authors=(r"Erd\H{o}s, P\'al", "李 雷"),
        categories=("cs.CL", "68T07", "math.NA"),
        code_url="https://code.test/a/b",
        project_url="https://project.test/",
        doi="10.1000/x(1)",
        journal_ref="Annals of Short Titles 3",
        license_url="http://creativecommons.org/licenses/by/4.0/",
        upvotes=12,
        stars=3,
        comment_count=4,
        trending_on=date(2026, 6, 3),
    )
    return tagged(paper, "short-titles", "robots")


def a_bare_paper() -> TaggedPaper:
    """A paper with nothing but a title."""
    paper = a_paper(
        paper_id="fp:0123456789abcdef01234567",
        aliases=("fp:0123456789abcdef01234567",),
        title="Bare",
        abstract="",
        authors=(),
        categories=(),
        version=None,
        url=None,
        pdf_url=None,
        announced_at=NOW - timedelta(milliseconds=1),
    )
    return tagged(paper)


def a_hostile_paper() -> TaggedPaper:
    """A paper whose every text tries to be something else."""
    paper = a_paper(
        paper_id='doi:10.1000/a<b>&"c" d]]>é',
        aliases=("doi:10.1000/a<b>",),
        title=HOSTILE_TITLE,
        abstract=f"{HOSTILE_TITLE}\n\n<img src=x onerror=alert(1)>",
        authors=(HOSTILE_TITLE, "\x00", "Ann <b>O'Neill</b>"),
        categories=("<c>&\x01", "]]>"),
        url="javascript:alert(1)",
        pdf_url='https://pdf.test/a b"<c>&d=]]>',
        code_url="data:text/html,x",
        doi="10.1000/a<b>&\x00",
        journal_ref="J. <i>Evil</i>\x0b",
        announced_at=NOW - timedelta(milliseconds=2),
    )
    return tagged(paper, "short-titles")


def some_revisions() -> tuple[Revision, ...]:
    """A new version that was published too, a withdrawal, a paper known by its revision only, code."""
    full, day = a_full_paper().paper, timedelta(days=1)
    second = replace(full, version=2, revision=2)
    return (
        Revision(
            paper=second,
            announcements=(Announcement.REVISED, Announcement.PUBLISHED),
            changes=("version", "title", "abstract", "doi"),
            at=NOW + day,
        ),
        Revision(
            paper=replace(second, version=3, revision=3, withdrawn=True),
            announcements=(Announcement.WITHDRAWN,),
            changes=("version", "abstract", "withdrawn"),
            at=NOW + 2 * day,
        ),
        Revision(
            paper=a_paper(paper_id="arxiv:2601.00001", aliases=("arxiv:2601.00001",), version=4, announced_at=None),
            announcements=(Announcement.REVISED, Announcement.CROSS_LISTED),
            changes=(),
            at=NOW + 3 * day,
        ),
        Revision(
            paper=replace(a_bare_paper().paper, code_url="https://code.test/bare"),
            announcements=(Announcement.CODE_APPEARED,),
            changes=("code",),
            at=NOW + 4 * day,
        ),
    )


def real_papers(shared_data: Path, count: int) -> list[TaggedPaper]:
    """`count` real arXiv papers spread over all fields, announced a second apart."""
    rows = duckdb.execute(
        "SELECT arxiv_id, title, abstract, authors, categories FROM read_parquet(?) ORDER BY md5(arxiv_id) LIMIT ?",
        [str(shared_data / "bench" / "arxiv_papers.parquet"), count],
    ).fetchall()
    return [
        tagged(
            a_paper(
                paper_id=f"arxiv:{arxiv_id}",
                aliases=(f"arxiv:{arxiv_id}",),
                title=" ".join(title.split()),
                abstract=abstract.strip(),
                authors=tuple(authors),
                categories=tuple(categories),
                url=f"https://arxiv.org/abs/{arxiv_id}",
                pdf_url=f"https://arxiv.org/pdf/{arxiv_id}v1",
                announced_at=NOW - timedelta(seconds=number),
            ),
            "short-titles",
        )
        for number, (arxiv_id, title, abstract, authors, categories) in enumerate(rows)
    ]
