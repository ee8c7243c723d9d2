"""Into which feeds a paper goes and when, from what it was after each commit. Pure.

A feed of new papers has a paper from when it was announced or, where it joined later, from then on; it leaves when it
no longer belongs there. A feed of revisions keeps what it once told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from publishers.channels import Channel, channels_of
from publishers.feed_entries import told_suffixes
from storage.catalog import State
from storage.listings import Listing

Topics = Callable[[State], Iterable[Channel]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """What changes in the feeds by a paper's newest states."""

    joins: tuple[tuple[Channel, Listing], ...]
    leaves: tuple[str, ...]  # stems of feeds of new papers
    revisions: tuple[tuple[Channel, Listing], ...]


def moves(states: Sequence[State], topics: Topics, *, after: int, before: Mapping[str, datetime]) -> Moves:
    """Say what the states of one paper after commit `after` change, where it stood in the feeds of `before` (by stem).

    `states` are all of the paper, oldest first; `topics` gives those that a paper answers as it then was.
    """
    members = dict(before)
    joined: dict[str, tuple[Channel, Listing]] = {}
    told: list[tuple[Channel, Listing]] = []
    earlier: State | None = None
    around: tuple[Channel, ...] | None = None  # what it belonged to before; worked out where it is needed
    for state in states:
        if state.seq > after:
            here = channels_of(state.revision.paper, topics(state))
            suffixes = told_suffixes(state.revision)
            if suffixes and around is None and earlier is not None:
                around = channels_of(earlier.revision.paper, topics(earlier))
            told += _told(state, {c.stem: c for c in (*(around or ()), *here)}.values(), suffixes)
            around = here
            now = {c.stem: c for c in here} if _is_news(state) else {}
            members = {stem: at for stem, at in members.items() if stem in now}
            for stem, channel in now.items():
                if stem not in members:
                    members[stem] = _since(state, earlier)
                    joined[stem] = channel, Listing(state.revision.paper.paper_id, members[stem])
        earlier = state
    joins = tuple(pair for stem, pair in joined.items() if stem in members)
    return Moves(joins=joins, leaves=tuple(stem for stem in before if stem not in members), revisions=tuple(told))


def _is_news(state: State) -> bool:
    paper = state.revision.paper
    return paper.announced_at is not None and paper.merged_into is None


def _since(state: State, earlier: State | None) -> datetime:
    """When a paper that joins a feed with this state did: as it was announced, else as it was seen."""
    announced_at = state.revision.paper.announced_at
    if announced_at and (earlier is None or earlier.revision.paper.announced_at is None):
        return announced_at
    return state.revision.at


def _told(state: State, channels: Iterable[Channel], suffixes: Sequence[str]) -> list[tuple[Channel, Listing]]:
    paper_id, at = state.revision.paper.paper_id, state.revision.at
    return [(c, Listing(paper_id, at, suffix, state.seq)) for c in channels for suffix in suffixes]
