"""`paperwire why`: of which topics a paper is, of which it nearly is, and what it says to a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flows.asking import require_archive
from flows.lookup import named
from storage.archive import Archive
from storage.finding import Finder
from storage.model import Paper
from storage.settings import Topic
from storage.why import Weighed, weigh


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A query, or the topic it belongs to, held against a paper."""

    topic: str | None  # its slug
    title: str | None
    query: str
    tagged: bool  # whether the paper has the topic
    whole: Weighed


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What can be said of a paper and its topics, or of a paper and one query."""

    paper: Paper
    asked: Explained | None  # what was asked about; then the others are empty
    topics: tuple[Explained, ...] = ()  # those it has or answers
    near: tuple[Explained, ...] = ()  # those that one term alone keeps it away from
    others: int = 0  # topics that are neither


def explain(
    home: Path, text: str, query: str | None, *, topics: Sequence[Topic], now: datetime, folder: Path | None = None
) -> Why:
    """Explain the paper that `text` names. Raises ConfigError where it names none or several, QueryError, ArchiveError.

    `query` is the slug of one of `topics`, or a query; None: all topics are looked at. Files of references lie relative
    to `folder`, else to that of paperwire.toml.
    """
    require_archive(home)
    with Archive(home) as archive:
        paper, _ = named(archive, text)
    with Finder(home) as finder:
        has = finder.topics_of(paper.paper_id)

        def explained(query: str, topic: Topic | None = None) -> Explained:
            asked = finder.topic_query(query) if topic else finder.parsed(query, stranger=False, folder=folder)
            return Explained(
                topic=topic.slug if topic else None,
                title=topic.title if topic else None,
                query=query,
                tagged=topic is not None and topic.slug in has,
                whole=weigh(asked, paper, now=now, topics=has),
            )

        if query is not None:
            topic = next((topic for topic in topics if topic.slug == query.strip()), None)
            return Why(paper=paper, asked=explained(topic.query if topic else query, topic))
        found = [explained(topic.query, topic) for topic in topics]
    near = tuple(e for e in found if not e.tagged and e.whole.nearly)
    there = tuple(e for e in found if e.tagged or e.whole.holds)
    return Why(paper=paper, asked=None, topics=there, near=near, others=len(found) - len(there) - len(near))
