"""Papers by any id they are known by: their history, and the two things done by hand, merging and splitting."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flows.pipeline import topics_of
from storage import identity
from storage.archive import Archive
from storage.bases import rows_of_papers
from storage.catalog import refresh_catalog
from storage.errors import ConfigError
from storage.model import TOLD, Announcement, Entry, Intent, Paper, Revision, Sighting
from storage.settings import Settings

_OPENREVIEW = re.compile("openreview", re.IGNORECASE)
_PUBMED = re.compile(r"pmid|pubmed|medline|ncbi\.nlm", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merger:
    """A paper that was found to be another one."""

    paper_id: str
    merged_into: str
    title: str
    at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperLife:
    """All the archive knows of one paper's life, oldest first."""

    paper: Paper
    asked: Merger | None  # where the id asked for was that of a paper merged into this one
    revisions: tuple[Revision, ...]
    sightings: tuple[Sighting, ...]
    mergers: tuple[Merger, ...]  # papers that are this one now


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What a merge or a split did."""

    kept: Paper
    other: Paper
    reason: str
    seq: int
    sources: tuple[str, ...]  # of the kept paper, now


def life_of(home: Path, text: str) -> PaperLife:
    """The life of the paper that `text` names. Raises ConfigError where it names none or several, ArchiveCorrupt."""
    with Archive(home) as archive:
        paper, asked = named(archive, text)
        rows = rows_of_papers(archive, [paper.paper_id])
        others = [p for p, into in archive.index.merged_into().items() if into == paper.paper_id]
        return PaperLife(
            paper=paper,
            asked=_merger(archive, asked) if asked else None,
            revisions=tuple(_revision(intent, _committed_at(archive, seq)) for intent, seq in rows),
            sightings=tuple(s for intent, _ in rows for s in intent.sightings),
            mergers=tuple(_merger(archive, p) for p in others),
        )


def merge(settings: Settings, kept: str, other: str, *, reason: str, now: datetime) -> Joined:
    """Make the papers that two ids name one; the first goes on. Raises ConfigError, ArchiveError."""
    _require(reason)
    with Archive(settings.home, limits=settings.limits) as archive:
        (one, merged), (two, gone) = named(archive, kept), named(archive, other)
        for text, away, into in ((kept, merged, one), (other, gone, two)):
            if away:
                raise ConfigError(f"{text}: {away} was merged into {into.paper_id} already")
        if one.paper_id == two.paper_id:
            raise ConfigError(f"{kept} and {other} are one paper already: {one.paper_id}")
        commit = archive.merge(one.paper_id, two.paper_id, reason=reason, now=now)
        refresh_catalog(archive, settings, topics_of(settings), now=now)
        now_one = archive.papers([one.paper_id])[one.paper_id]
        return Joined(kept=now_one, other=two, reason=reason, seq=commit.seq or 0, sources=now_one.sources)


def split(settings: Settings, text: str, *, reason: str, now: datetime) -> Joined:
    """Undo the merge that took away the paper that `text` names. Raises ConfigError, ArchiveError."""
    _require(reason)
    with Archive(settings.home, limits=settings.limits) as archive:
        paper, away = named(archive, text)
        if away is None:
            others = [p for p, into in archive.index.merged_into().items() if into == paper.paper_id]
            known = f"; merged into it were: {', '.join(others)}" if others else ""
            raise ConfigError(f"{paper.paper_id} was not merged into another paper{known}")
        merged = archive.index.merged_into()
        into = merged[away]
        if into in merged:
            raise ConfigError(f"{into}, which {away} was merged into, was merged itself; split that first")
        commit = archive.split(away, reason=reason, now=now)
        refresh_catalog(archive, settings, topics_of(settings), now=now)
        found = archive.papers([into, away])
        return Joined(
            kept=found[into], other=found[away], reason=reason, seq=commit.seq or 0, sources=found[into].sources
        )


def aliases_named(text: str, sources: Iterable[str] = ()) -> tuple[str, ...]:
    """Every id that `text` may be: one of ours, an arXiv id, DOI, OpenReview or PubMed id, a source's own; or a URL."""
    bare = text.strip()
    entry = Entry(
        source="",
        entry_id="",
        title="",
        arxiv_id=bare,
        doi=bare,
        openreview_id=bare if _OPENREVIEW.search(bare) else None,
        pmid=bare if _PUBMED.search(bare) else None,
    )
    own = (f"guid:{source}|{bare}" for source in sources)
    return tuple(dict.fromkeys((bare, *identity.strong_aliases(entry), *own)))


def named(archive: Archive, text: str) -> tuple[Paper, str | None]:
    """The paper `text` names, and the id of the paper merged into it where it names that. Raises ConfigError."""
    aliases = aliases_named(text, sorted({s.source for s in archive.index.segments()}))
    # A title is no id: many papers may share one.
    held = archive.held(a for a in aliases if not a.startswith("title:"))
    live = [h.paper for h in held.values() if h.paper.merged_into is None]
    gone = next((p for p in aliases if p in held and held[p].paper.merged_into), None)
    if gone:
        return _kept(archive, gone), gone
    if not live:
        raise ConfigError(f"no paper has the id {text!r}; `paperwire search` finds papers by their words")
    exact = [p for p in live if p.paper_id in aliases] or live
    if len(exact) > 1:
        raise ConfigError(f"{text!r} names {len(exact)} papers: {', '.join(sorted(p.paper_id for p in exact))}")
    return exact[0], None


def _kept(archive: Archive, paper_id: str) -> Paper:
    """The paper that a merged one lives on as; that may have been merged, too."""
    merged, seen = archive.index.merged_into(), set[str]()
    while paper_id in merged and paper_id not in seen:
        seen.add(paper_id)
        paper_id = merged[paper_id]
    return archive.papers([paper_id])[paper_id]


def _merger(archive: Archive, paper_id: str) -> Merger:
    intent, seq = rows_of_papers(archive, [paper_id])[-1]
    return Merger(
        paper_id=paper_id,
        merged_into=intent.paper.merged_into or "",
        title=intent.paper.title,
        at=_committed_at(archive, seq),
        reason=intent.reason,
    )


def _revision(intent: Intent, committed_at: datetime) -> Revision:
    announcements = tuple(dict.fromkeys(a for s in intent.sightings for a in s.announcements))
    is_new = Announcement.NEW in announcements
    told = intent.paper.announced_at if is_new else intent.paper.revised_at
    at = told if is_new or any(a in TOLD for a in announcements) else None
    return Revision(paper=intent.paper, announcements=announcements, changes=intent.changes, at=at or committed_at)


def _committed_at(archive: Archive, seq: int) -> datetime:
    segment = archive.index.segment(seq)
    assert segment is not None  # noqa: S101 - every row is of a commit
    return segment.committed_at


def _require(reason: str) -> None:
    if not reason.strip():
        raise ConfigError("say why with --reason: whoever looks later wants to know")
