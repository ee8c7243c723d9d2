"""The life of a paper as readers see it: what happened when, and which words changed between revisions. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import SequenceMatcher
from typing import Literal

from publishers.citation import doi_url
from publishers.names import category_name
from publishers.readable import readable
from storage.model import Announcement, Paper, Revision, Sighting
from storage.text import safe_url

_WORDS_MAX = 1_500  # a side; beyond it a word diff costs seconds and nobody reads it
_CONTEXT_WORDS = 8  # unchanged words kept on each side of a change
_ISLAND_WORDS = 2  # unchanged words between two changes that read better as part of the change
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
    """What became of one field; `parts` is empty where the two texts are too long to compare.

    `between` stands between the parts: a space between words, a comma between names.
    """

    label: str
    between: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the time line. `href` is where `detail` leads, or None."""

    day: date
    kind: Announcement
    title: str
    detail: str = ""
    href: str | None = None
    changes: tuple[Change, ...] = ()


def life(paper: Paper, revisions: Sequence[Revision], sightings: Sequence[Sighting]) -> tuple[Event, ...]:
    """Return everything readers were told of `paper`, oldest first, each happening once.

    `revisions` are the rows of its life and `sightings` its accepted entries, both oldest first; either may be empty.
    The days are those of the sources' own calendars where they say one.
    """
    waiting = _by_kind(sightings)
    events: list[Event] = []
    before: Paper | None = None
    for revision in revisions:
        for kind in revision.announcements:
            seen = waiting[kind].popleft() if waiting[kind] else None
            events.append(_event(kind, revision.paper, before, seen, revision.at.date(), revision.changes))
        before = revision.paper
    for kind, left in waiting.items():
        events += [_event(kind, paper, None, seen, seen.seen_at.date(), ()) for seen in left]
    if paper.announced_at and all(event.kind is not Announcement.NEW for event in events):
        day = paper.announced_on or paper.announced_at.date()
        events.insert(0, Event(day=day, kind=Announcement.NEW, title=_TITLES[Announcement.NEW]))
    return tuple(sorted(events, key=lambda event: (event.day, event.kind is not Announcement.NEW)))


def word_diff(before: str, after: str) -> tuple[Part, ...]:
    """Return what changed from `before` to `after`, word by word, with a little context; () where it is too long."""
    return _diff(before.split(), after.split(), " ")


def _by_kind(sightings: Sequence[Sighting]) -> dict[Announcement, deque[Sighting]]:
    """Return the sightings that told something, by what they told; those of one pass made one row of the paper."""
    found: dict[Announcement, deque[Sighting]] = {kind: deque() for kind in Announcement}
    for sighting in sightings:
        for kind in sighting.announcements:
            if not found[kind] or found[kind][-1].seen_at != sighting.seen_at:
                found[kind].append(sighting)
    return found


def _event(
    kind: Announcement, paper: Paper, before: Paper | None, seen: Sighting | None, day: date, changed: tuple[str, ...]
) -> Event:
    day = (seen.announced_on or seen.seen_at.date()) if seen else day
    title, detail, href = _TITLES[kind], "", None
    changes: tuple[Change, ...] = ()
    if kind is Announcement.NEW and seen:
        detail = f"by {seen.source}" + (f" in {_names(seen.categories)}" if seen.categories else "")
    elif kind is Announcement.REVISED:
        title, detail, changes = _revised(paper, before, changed)
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


def _revised(paper: Paper, before: Paper | None, changed: tuple[str, ...]) -> tuple[str, str, tuple[Change, ...]]:
    new_version = paper.version and (not before or paper.version != before.version)
    title = f"Version {paper.version}" if new_version else "Text amended"
    named = [name for name in changed if name in ("title", "abstract", "authors")]
    if named:
        return title, f"{_listing(named)} changed", tuple(_changes(before, paper)) if before else ()
    return title, "Title, abstract and authors are the same" if before else "", ()


def _changes(before: Paper, after: Paper) -> Iterator[Change]:
    fields = (
        ("Title", readable(before.title).split(), readable(after.title).split(), " "),
        ("Authors", list(map(readable, before.authors)), list(map(readable, after.authors)), ", "),
        ("Abstract", readable(before.abstract).split(), readable(after.abstract).split(), " "),
    )
    for label, old, new, between in fields:
        if old and new and old != new:
            yield Change(label=label, between=between, parts=_diff(old, new, between))


def _listed(by: Sighting) -> tuple[str, str]:
    votes = f"{by.upvotes:,} {'vote' if by.upvotes == 1 else 'votes'} when first seen" if by.upvotes else ""
    return "Listed on Hugging Face" if by.source.startswith("hf") else f"Listed by {by.source}", votes


def _listing(names: Sequence[str]) -> str:
    words = list(names)
    text = " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
    return text[:1].upper() + text[1:]


def _names(categories: Sequence[str]) -> str:
    return ", ".join(category_name(code) for code in categories)


def _diff(old: Sequence[str], new: Sequence[str], between: str) -> tuple[Part, ...]:
    if max(len(old), len(new)) > _WORDS_MAX:
        return ()
    return tuple(_parts(old, new, between))


def _parts(old: Sequence[str], new: Sequence[str], between: str) -> Iterator[Part]:
    blocks = _joined(SequenceMatcher(None, old, new).get_opcodes())
    for number, (same, i1, i2, j1, j2) in enumerate(blocks):
        if same:
            yield from _context(old[i1:i2], between, first=number == 0, last=number == len(blocks) - 1)
            continue
        if i2 > i1:
            yield Part(kind="gone", text=between.join(old[i1:i2]))
        if j2 > j1:
            yield Part(kind="new", text=between.join(new[j1:j2]))


def _joined(opcodes: Sequence[tuple[str, int, int, int, int]]) -> list[tuple[bool, int, int, int, int]]:
    """Merge changes with only a word or two between them: `the old a new` reads better as one change."""
    blocks: list[tuple[bool, int, int, int, int]] = []
    for number, (tag, i1, i2, j1, j2) in enumerate(opcodes):
        inner = 0 < number < len(opcodes) - 1
        same = tag == "equal" and not (inner and i2 - i1 <= _ISLAND_WORDS)
        if blocks and not same and not blocks[-1][0]:
            _, a1, _, b1, _ = blocks[-1]
            blocks[-1] = (False, a1, i2, b1, j2)
        else:
            blocks.append((same, i1, i2, j1, j2))
    return blocks


def _context(words: Sequence[str], between: str, *, first: bool, last: bool) -> Iterator[Part]:
    head = 0 if first else _CONTEXT_WORDS
    tail = 0 if last else _CONTEXT_WORDS
    if len(words) <= head + tail + 1:
        yield Part(kind="same", text=between.join(words))
        return
    if head:
        yield Part(kind="same", text=between.join(words[:head]))
    yield Part(kind="skip", text="…")
    if tail:
        yield Part(kind="same", text=between.join(words[-tail:]))
