"""The life of a paper as readers see it: what happened when, and which words changed between revisions. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from publishers.citation import doi_url
from publishers.names import category_name
from publishers.readable import readable
from storage.model import Announcement, Paper, Revision, Sighting
from storage.revisions import DiffPart, blocks, word_diff, words
from storage.text import safe_url

_WORDS_MAX = 1_500  # of a diff, on a page; nobody reads more
_SUBMITTED_MAX = 12  # versions that only their server tells of, on a page
_CONTEXT_WORDS = 8  # unchanged words kept on each side of a change
_TEXTS = ("title", "abstract", "authors")
_TITLES = {
    Announcement.NEW: "Announced",
    Announcement.REVISED: "Revised",
    Announcement.CROSS_LISTED: "Cross-listed",
    Announcement.PUBLISHED: "Published",
    Announcement.WITHDRAWN: "Withdrawn",
    Announcement.CODE_APPEARED: "Code appeared",
    Announcement.TRENDING: "Trending",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A run of words of a diff. `skip` stands for unchanged words that are left out."""

    kind: Literal["same", "gone", "new", "skip"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How one field reads that changed; `parts` is empty where there is too much to show.

    `between` stands between the parts: a space between words, a comma between names, nothing where the parts carry
    their own spaces because not every script has them.
    """

    label: str
    between: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the time line. `href` is where `detail` leads, or None."""

    day: date
    kind: Announcement | None  # None: nobody was told, its server says so
    title: str
    detail: str = ""
    href: str | None = None
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One row of a paper's life with what it told readers; `events` is empty where it told nothing."""

    revision: Revision | None  # None: only sightings are known
    before: Paper | None  # as it stood before; None where that is not known
    events: tuple[Event, ...]


def life(paper: Paper, revisions: Sequence[Revision], sightings: Sequence[Sighting]) -> tuple[Event, ...]:
    """Return everything readers were told of `paper`, oldest first, each happening once.

    `revisions` are the rows of its life and `sightings` its accepted entries, both oldest first; either may be empty.
    The days are those of the sources' own calendars where they say one.
    """
    found = steps(paper, revisions, sightings)
    events = [*_submitted(paper, found), *(event for step in found for event in step.events)]
    return tuple(sorted(events, key=lambda event: (event.day, event.kind is not None, event.kind != Announcement.NEW)))


def steps(paper: Paper, revisions: Sequence[Revision], sightings: Sequence[Sighting]) -> list[Step]:
    """Return the life of `paper` row by row, in the order of `revisions`, then what only sightings tell of."""
    waiting = _by_kind(sightings)
    found: list[Step] = []
    before: Paper | None = None
    for revision in revisions:
        seen = {kind: waiting[kind].popleft() if waiting[kind] else None for kind in revision.announcements}
        events = tuple(_event(kind, revision, before, seen[kind]) for kind in seen)
        found.append(Step(revision=revision, before=before, events=events))
        before = revision.paper
    for kind, left in waiting.items():
        told = (_event(kind, _alone(paper, kind, by), None, by) for by in left)
        found += [Step(revision=None, before=None, events=(event,)) for event in told]
    if paper.announced_at and all(event.kind is not Announcement.NEW for step in found for event in step.events):
        day = paper.announced_on or paper.announced_at.date()
        event = Event(day=day, kind=Announcement.NEW, title=_TITLES[Announcement.NEW])
        found.insert(0, Step(revision=None, before=None, events=(event,)))
    return found


def condensed(parts: Sequence[DiffPart]) -> tuple[Part, ...]:
    """Return a diff with what is far from any change left out, each part with the whitespace around it."""
    return tuple(
        shown
        for number, part in enumerate(parts)
        for shown in _condensed(part, first=number == 0, last=number == len(parts) - 1)
    )


def _submitted(paper: Paper, found: Sequence[Step]) -> Iterator[Event]:
    """When its server got the versions that nothing else here tells of; of very many the first and the last ones."""
    told = {
        (step.revision.paper if step.revision else paper).version or 1
        for step in found
        for event in step.events
        if event.kind in (Announcement.NEW, Announcement.REVISED)
    }
    untold = [one for one in paper.versions if one.version not in told]
    between = len(untold) - _SUBMITTED_MAX
    for number, one in enumerate(untold):
        if number == 0 or number >= between + 1:
            detail = f"and {between} more versions until the next" if number == 0 and between > 0 else ""
            day = one.submitted_at.date()
            yield Event(day=day, kind=None, title=f"v{one.version} submitted", detail=detail)


def _by_kind(sightings: Sequence[Sighting]) -> dict[Announcement, deque[Sighting]]:
    """Return the sightings that told something, by what they told; those of one pass made one row of the paper."""
    found: dict[Announcement, deque[Sighting]] = {kind: deque() for kind in Announcement}
    for sighting in sightings:
        for kind in sighting.announcements:
            if not found[kind] or found[kind][-1].seen_at != sighting.seen_at:
                found[kind].append(sighting)
    return found


def _alone(paper: Paper, kind: Announcement, by: Sighting) -> Revision:
    """The row of a happening of which only the sighting is known."""
    return Revision(paper=paper, announcements=(kind,), changes=(), at=by.seen_at)


def _event(kind: Announcement, revision: Revision, before: Paper | None, seen: Sighting | None) -> Event:
    paper = revision.paper
    day = (seen.announced_on or seen.seen_at.date()) if seen else revision.at.date()
    title, detail, href = _TITLES[kind], "", None
    changes: tuple[Change, ...] = ()
    if kind is Announcement.NEW and seen:
        detail = f"by {seen.source}" + (f" in {_names(seen.categories)}" if seen.categories else "")
    elif kind is Announcement.REVISED:
        title, detail, changes = _revised(revision, before)
    elif kind is Announcement.WITHDRAWN and before and Announcement.REVISED not in revision.announcements:
        changes = tuple(_changes(before, paper))  # the notice stands where the abstract was
    elif kind is Announcement.CROSS_LISTED:
        added = [c for c in paper.categories if before and c not in before.categories]
        detail = f"in {_names(added)}" if added else ""
    elif kind is Announcement.PUBLISHED:
        detail, href = paper.journal_ref or paper.doi or "", doi_url(paper.doi) if paper.doi else None
    elif kind is Announcement.CODE_APPEARED:
        href = safe_url(paper.code_url)
        detail = href or ""
    elif kind is Announcement.TRENDING and seen:
        title, detail = _listed(seen)
    return Event(day=day, kind=kind, title=title, detail=detail, href=href, changes=changes)


def _revised(revision: Revision, before: Paper | None) -> tuple[str, str, tuple[Change, ...]]:
    paper = revision.paper
    named = [name for name in _TEXTS if name in revision.changes]
    counted = not before or paper.version != before.version
    title = f"Version {paper.version}" if paper.version and (counted or not named) else "Text amended"
    if named:
        return title, f"{_listing(named)} changed", tuple(_changes(before, paper)) if before else ()
    # A version that was met before it was called a replacement: how it differs from the one before is not known.
    return title, "Title, abstract and authors are the same" if before and counted else "", ()


def _changes(before: Paper, after: Paper) -> Iterator[Change]:
    yield from _words("Title", readable(before.title), readable(after.title))
    yield from _listed_names("Authors", before.authors, after.authors)
    yield from _words("Abstract", readable(before.abstract), readable(after.abstract))


def _words(label: str, before: str, after: str) -> Iterator[Change]:
    if not before or not after or before == after:
        return
    parts = condensed(word_diff(before, after))
    if sum(len(words(part.text)) for part in parts) > _WORDS_MAX:
        parts = ()
    if not _are_spaced(parts):
        yield Change(label=label, between="", parts=parts)
        return
    yield Change(label=label, between=" ", parts=tuple(Part(kind=p.kind, text=p.text.strip()) for p in parts))


def _are_spaced(parts: Sequence[Part]) -> bool:
    """Say whether a space stands between all parts; between the last words of both texts there need be none."""
    inner = parts[:-2] if [part.kind for part in parts[-2:]] == ["gone", "new"] else parts[:-1]
    return all(part.text[-1:].isspace() or part.kind == "skip" for part in inner)


def _listed(by: Sighting) -> tuple[str, str]:
    votes = f"{by.upvotes:,} {'vote' if by.upvotes == 1 else 'votes'} when first seen" if by.upvotes else ""
    return "Listed on Hugging Face" if by.source.startswith("hf") else f"Listed by {by.source}", votes


def _listing(names: Sequence[str]) -> str:
    text = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return text[:1].upper() + text[1:]


def _names(categories: Sequence[str]) -> str:
    return ", ".join(category_name(code) for code in categories)


def _listed_names(label: str, before: Sequence[str], after: Sequence[str]) -> Iterator[Change]:
    old, new = list(map(readable, before)), list(map(readable, after))
    if old and new and old != new:
        yield Change(label=label, between=", ", parts=tuple(_names_parts(old, new)))


def _names_parts(old: Sequence[str], new: Sequence[str]) -> Iterator[Part]:
    found = blocks(old, new)
    for number, block in enumerate(found):
        if block.equal:
            names = new[block.new]
            yield from _context(names, ", ", first=number == 0, last=number == len(found) - 1)
            continue
        if gone := old[block.old]:
            yield Part(kind="gone", text=", ".join(gone))
        if come := new[block.new]:
            yield Part(kind="new", text=", ".join(come))


def _condensed(part: DiffPart, *, first: bool, last: bool) -> Iterator[Part]:
    if part.kind == "equal":
        yield from _context(words(part.text), "", first=first, last=last)
    else:
        yield Part(kind="gone" if part.kind == "delete" else "new", text=part.text)


def _context(run: Sequence[str], between: str, *, first: bool, last: bool) -> Iterator[Part]:
    head = 0 if first else _CONTEXT_WORDS
    tail = 0 if last else _CONTEXT_WORDS
    if len(run) <= head + tail + 1:
        yield Part(kind="same", text=between.join(run))
        return
    if head:
        yield Part(kind="same", text=between.join(run[:head]))
    yield Part(kind="skip", text="… " if tail and run[-tail - 1][-1:].isspace() else "…")
    if tail:
        yield Part(kind="same", text=between.join(run[-tail:]))
