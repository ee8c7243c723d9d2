"""What an entry means: a new paper, a revision, another sighting, or nothing. Pure: values in, values out."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime

from storage.identity import DEPOSITS, strong_aliases
from storage.model import TOLD, Announcement, Candidate, Entry, Intent, Paper, Sighting, Submission
from storage.revisions import changes_between

# Some feeds stamp the hour into every description; after this many changes without a version stop believing them.
HASH_CHANGES_MAX = 24
_WITHDRAWN = re.compile(
    r"\b(?:this|the) (?:paper|article|submission|manuscript|work) (?:has been|is|was) withdrawn\b|^withdrawn\b", re.I
)
_TEXT = frozenset(["title", "abstract", "authors"])
_WITHDRAWN_CHARACTERS_MAX = 600  # a withdrawal notice is short; long abstracts may speak of other papers' withdrawal


def decide(candidate: Candidate, known: Paper | None, now: datetime, at: datetime) -> Intent | None:
    """Say what an entry means given what is known; None where it is neither news nor new data.

    `now` is the pass's clock, `at` the moment readers are told, which no other announcement shares.
    """
    if known is None:
        return _first(candidate, now, at)
    return _again(candidate, known, now, at)


def _first(candidate: Candidate, now: datetime, at: datetime) -> Intent:
    entry = candidate.entry
    withdrawn = entry.withdrawn or is_withdrawn(entry)
    kind = _first_news(entry, withdrawn=withdrawn)
    announcements = (*((kind,) if kind else ()), *((Announcement.TRENDING,) if entry.trending else ()))
    is_new = kind is Announcement.NEW
    paper = Paper(
        paper_id=candidate.paper_id,
        aliases=candidate.aliases,
        title=entry.title,
        abstract=entry.abstract,
        authors=entry.authors,
        categories=entry.categories,
        sources=(entry.source,),
        version=entry.version,
        revision=1,
        url=entry.url,
        pdf_url=entry.pdf_url,
        code_url=entry.code_url,
        project_url=entry.project_url,
        doi=_doi(entry),
        journal_ref=entry.journal_ref,
        license_url=entry.license_url,
        withdrawn=withdrawn,
        announced_on=entry.announced_on,
        published_at=entry.published_at,
        first_seen_at=now,
        announced_at=at if is_new else None,
        revised_at=None if is_new or kind is None else at,
        trending_on=_listed_on(entry, now),
        upvotes=entry.upvotes,
        comment_count=entry.comment_count,
        stars=entry.stars,
        content_hash=candidate.content_hash,
        hash_changes=0,
        text_rank=entry.text_rank,
        citations=entry.citations,
        versions=entry.versions,
    )
    return Intent(paper=paper, sightings=(_sighting(candidate, now, announcements),))


def _first_news(entry: Entry, *, withdrawn: bool) -> Announcement | None:
    """What a paper met first is to readers."""
    said = entry.announce_type or ""
    if said == "update":
        return None  # a record of an old paper that somebody touched: it is kept and told to nobody
    if withdrawn:
        return Announcement.WITHDRAWN
    # A replacement of a paper this archive never saw is a revision: telling of it as new would be false.
    return Announcement.REVISED if said.startswith("replace") else Announcement.NEW


def _again(candidate: Candidate, known: Paper, now: datetime, at: datetime) -> Intent | None:
    entry = candidate.entry
    paper = _take_facts(candidate, known, _take_text(candidate, known), now)
    if paper == known and not _replaces(entry, known):
        return None
    changes = tuple(change.field for change in changes_between(known, paper))
    announcements = _announcements(entry, known, paper, changes)
    if any(a in TOLD for a in announcements):
        paper = replace(paper, revised_at=at)
    return Intent(paper=paper, sightings=(_sighting(candidate, now, announcements),), changes=changes)


def _speaks_for(entry: Entry, known: Paper) -> bool:
    """Whether what this source says takes the place of what is known: it is no older, and of no lower rank."""
    return not _is_older(entry, known) and entry.text_rank >= known.text_rank


def _is_older(entry: Entry, known: Paper) -> bool:
    return entry.version is not None and known.version is not None and entry.version < known.version


def _take_text(candidate: Candidate, known: Paper) -> Paper:
    """Take title, abstract and authors where this source may speak for the paper."""
    entry = candidate.entry
    if not _speaks_for(entry, known) or candidate.content_hash == known.content_hash:
        return known
    unversioned = entry.version is None
    if unversioned and known.hash_changes >= HASH_CHANGES_MAX:
        return known
    text = replace(
        known,
        title=entry.title,
        abstract=entry.abstract or known.abstract,
        authors=entry.authors or known.authors,
        version=entry.version or known.version,
    )
    changes = {change.field for change in changes_between(known, text)}
    if not changes and entry.text_rank == known.text_rank and text.version == known.version:
        return known  # the same words with other spaces between them
    return replace(
        text,
        revision=known.revision + (1 if "version" in changes or (changes and unversioned) else 0),
        content_hash=candidate.content_hash,
        hash_changes=known.hash_changes + (1 if changes and unversioned else 0),
        text_rank=entry.text_rank,
        pdf_url=entry.pdf_url or known.pdf_url,
    )


def _take_facts(candidate: Candidate, known: Paper, paper: Paper, now: datetime) -> Paper:
    """Take everything else: what adds up (categories, links, ids), what is corrected (DOI, journal), counts."""
    entry = candidate.entry
    listed = _listed_on(entry, now)
    speaks = _speaks_for(entry, known)
    journal_ref = entry.journal_ref
    return replace(
        paper,
        aliases=tuple(sorted({*paper.aliases, *candidate.aliases})),
        categories=_in_order(entry, paper),
        sources=paper.sources if entry.source in paper.sources else (*paper.sources, entry.source),
        url=paper.url or entry.url,
        pdf_url=paper.pdf_url or entry.pdf_url,
        code_url=paper.code_url or entry.code_url,
        project_url=paper.project_url or entry.project_url,
        doi=_doi_of(entry, known),
        journal_ref=(journal_ref if speaks else None) or paper.journal_ref or journal_ref,
        license_url=paper.license_url or entry.license_url,
        withdrawn=_stands_withdrawn(entry, known, paper),
        published_at=min(filter(None, (paper.published_at, entry.published_at)), default=None),
        trending_on=max(filter(None, (paper.trending_on, listed)), default=None),
        upvotes=paper.upvotes if entry.upvotes is None else entry.upvotes,
        comment_count=paper.comment_count if entry.comment_count is None else entry.comment_count,
        stars=paper.stars if entry.stars is None else entry.stars,
        citations=paper.citations if entry.citations is None else entry.citations,
        versions=_united(paper.versions, entry.versions),
    )


def _united(known: tuple[Submission, ...], said: tuple[Submission, ...]) -> tuple[Submission, ...]:
    """Every version either tells of; of one that both do the known date stays, and a size it lacked is filled in."""
    found = {one.version: one for one in known}
    for one in said:
        have = found.setdefault(one.version, one)
        if have.size_bytes is None and one.size_bytes is not None:
            found[one.version] = replace(have, size_bytes=one.size_bytes)
    return tuple(found[number] for number in sorted(found))


def _doi_of(entry: Entry, known: Paper) -> str | None:
    """The publisher's DOI rather than a preprint's; of two of a kind the one this source says, where it may speak."""
    said = _doi(entry)
    if not said or not known.doi:
        return said or known.doi
    takes = _is_deposit(known.doi) if _is_deposit(known.doi) != _is_deposit(said) else _speaks_for(entry, known)
    return said if takes else known.doi


def _stands_withdrawn(entry: Entry, known: Paper, paper: Paper) -> bool:
    """A notice withdraws a paper, unless it belongs to an older version; a newer version without one brings it back.

    A retraction that was told elsewhere stays: only a notice that stood where the text was can make way for a text.
    """
    if (entry.withdrawn or is_withdrawn(entry)) and not _is_older(entry, known):
        return True
    newer = (paper.version or 1) > (known.version or 1)
    return known.withdrawn and not (newer and is_withdrawn(known) and not is_withdrawn(paper))


def _in_order(entry: Entry, paper: Paper) -> tuple[str, ...]:
    """The union of categories; the paper's own server says which is the primary one."""
    first, second = (
        (entry.categories, paper.categories) if not paper.categories else (paper.categories, entry.categories)
    )
    return tuple(dict.fromkeys((*first, *second)))


def _announcements(entry: Entry, known: Paper, paper: Paper, changes: tuple[str, ...]) -> tuple[Announcement, ...]:
    further = set(paper.categories) - set(known.categories) or entry.source not in known.sources
    crossed = bool(known.categories and further and (entry.announce_type or "").endswith("cross"))
    # A first text of higher rank (arXiv after Hugging Face's copy) corrects ours; a new version, or a source that
    # changes its own words, is a revision. So is a version arXiv calls a replacement that we met as a cross-list.
    own_words = bool(_TEXT & set(changes)) and entry.version is None and entry.text_rank == known.text_rank
    revised = "version" in changes or own_words or _replaces(entry, known)
    withdrawn = paper.withdrawn and not known.withdrawn
    says = (
        (Announcement.REVISED, revised and not withdrawn),
        (Announcement.CROSS_LISTED, crossed),
        (Announcement.PUBLISHED, _published(paper) and not _published(known)),
        (Announcement.WITHDRAWN, withdrawn),
        (Announcement.CODE_APPEARED, bool(paper.code_url) and not known.code_url),
        (Announcement.TRENDING, entry.trending and known.trending_on is None),
    )
    return tuple(announcement for announcement, is_so in says if is_so)


def _replaces(entry: Entry, known: Paper) -> bool:
    """Whether arXiv calls the version a replacement that we know and never told of as one.

    Of a paper that came with a backfill nobody was told at all, and what it brought is no news later either.
    """
    replaced = (entry.announce_type or "").startswith("replace") and entry.version == known.version
    return replaced and known.revised_at is None and known.announced_at is not None


def says_withdrawn(text: str) -> bool:
    """Whether an abstract, or the comments beside it, begin by saying that the paper is withdrawn."""
    start = text[:_WITHDRAWN_CHARACTERS_MAX]
    return "withdrawn" in start.lower() and bool(_WITHDRAWN.search(start))


def is_withdrawn(text: Entry | Paper) -> bool:
    """Whether the text is a withdrawal notice: arXiv puts the notice where the abstract was, or before it."""
    return says_withdrawn(text.abstract) or text.title.upper().startswith(
        ("WITHDRAWN:", "[WITHDRAWN]", "RETRACTED:", "[RETRACTED]")
    )


def _published(paper: Paper) -> bool:
    return bool(paper.journal_ref or (paper.doi and not _is_deposit(paper.doi)))


def _is_deposit(doi: str) -> bool:
    """Whether a DOI is a preprint's or a deposit's: it is there before anything is published."""
    return doi.partition("/")[0] in DEPOSITS


def _doi(entry: Entry) -> str | None:
    return next((a.removeprefix("doi:") for a in strong_aliases(entry) if a.startswith("doi:")), None)


def _listed_on(entry: Entry, now: datetime) -> date | None:
    return (entry.announced_on or now.date()) if entry.trending else None


def _sighting(candidate: Candidate, now: datetime, announcements: tuple[Announcement, ...]) -> Sighting:
    entry = candidate.entry
    return Sighting(
        source=entry.source,
        entry_id=entry.entry_id,
        seen_at=now,
        announced_on=entry.announced_on,
        announcements=announcements,
        version=entry.version,
        categories=entry.categories,
        upvotes=entry.upvotes,
        comment_count=entry.comment_count,
        stars=entry.stars,
        citations=entry.citations,
    )
