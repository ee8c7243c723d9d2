"""What is trending: how fast papers gather votes, comments, stars and citations, and why each stands where it does.

Pure: time series in, boards out. Nothing here looks at a clock: `as_of` is the time of the archive's newest commit.
A score is what came within the board's window, halved for every half-life that the paper has been listed:

    number = (votes + comments / 2 + log2(1 + stars) + log2(1 + citations) + prior) × 0.5 ^ (time listed / half-life)

which orders papers as Reddit's log form does (log of the votes less the age). What was measured: docs/design.md.
"""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from storage.text import enumerated

DAY_TIME, HOUR = timedelta(days=1), timedelta(hours=1)
COMMENT_POINTS = 0.5  # with one each, comments order papers worse than votes alone
PRIOR_HALF_LIFE = timedelta(hours=12)
PRIOR_SHARE = 0.5  # of the votes a paper usually gets on its first day; more of them would outweigh real ones
TYPICAL_MIN = 20  # papers of a category that its usual votes are taken from; of fewer those of all papers
PLACES = 30
NEWCOMER_EVERY = 4  # one place in so many on the board of the day is for a paper nobody has voted on yet
NEWCOMER_AGE_MAX = timedelta(days=4)  # over a weekend and a holiday
LOOKS_DAYS = 35  # how far back counts are read: the month, and what stood before it


class Look(NamedTuple):
    """What one source said of a paper's counts at one time; None where it did not say. There are ten thousand of it."""

    seen_at: datetime
    source: str
    upvotes: int | None = None
    comment_count: int | None = None
    stars: int | None = None
    citations: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A paper as the boards see it."""

    paper_id: str
    listed_at: datetime  # when a curated list took it up; of a paper on none when readers were told of it
    listed_before: bool = False  # it was listed before the first look, whose counts are therefore no news
    category: str = ""  # the primary one
    topics: frozenset[str] = frozenset()
    looks: tuple[Look, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What a board covers."""

    name: str
    window: timedelta  # what came within it counts
    half_life: timedelta  # of the score, from the listing on
    words: str


DAY = Span(name="day", window=DAY_TIME, half_life=timedelta(hours=12), words="the last 24 hours")
WEEK = Span(name="week", window=7 * DAY_TIME, half_life=timedelta(days=14), words="the last 7 days")
MONTH = Span(name="month", window=30 * DAY_TIME, half_life=timedelta(days=60), words="the last 30 days")
SPANS = {span.name: span for span in (DAY, WEEK, MONTH)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A paper's score on a board and what it is made of: `number` is (the points + `prior`) × `decay`."""

    paper_id: str
    span: Span
    listed_for: timedelta
    votes: float  # gained within the window
    comments: float
    stars: float
    citations: float
    votes_a_day: float  # gained in the 24 hours before as_of: how fast it moves now
    prior: float  # votes that such a paper usually gets soon after it was listed
    decay: float  # 1 at the listing, 0.5 after a half-life

    @property
    def points(self) -> Mapping[str, float]:
        """The parts that are added up, before the decay."""
        return {
            "votes": self.votes,
            "comments": COMMENT_POINTS * self.comments,
            "stars": math.log2(1 + self.stars),
            "citations": math.log2(1 + self.citations),
            "prior": self.prior,
        }

    @property
    def number(self) -> float:
        """What boards are ordered by."""
        return math.fsum(self.points.values()) * self.decay

    @property
    def gained(self) -> bool:
        """Whether anything came within the window."""
        return self.votes + self.comments + self.stars + self.citations > 0

    @property
    def sentence(self) -> str:
        """Why the paper stands where it does, in words."""
        gains = {"vote": self.votes, "comment": self.comments, "new star": self.stars, "new citation": self.citations}
        came = [_about(gain, noun) for noun, gain in gains.items() if gain]
        parts = [f"{enumerated(came) or 'nothing'} in {self.span.words}", f"listed {_ago(self.listed_for)}"]
        if self.prior >= 1:
            parts.append(f"so new that {_about(self.prior, 'more vote')} {_is(self.prior)} presumed")
        text = "; ".join(parts)
        return text[0].upper() + text[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A paper on a board."""

    rank: int
    score: Score
    newcomer: bool  # it has one of the places for papers that nobody has voted on yet
    votes: tuple[tuple[datetime, float], ...]  # its votes over the time since its listing, oldest first

    @property
    def sentence(self) -> str:
        """Why it is here."""
        if not self.newcomer:
            return self.score.sentence
        return f"Listed {_ago(self.score.listed_for)}, not voted on yet; some places are for such papers, by lot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The papers that trend, best first."""

    span: Span
    as_of: datetime
    places: tuple[Place, ...]


def board(
    papers: Sequence[Watched],
    span: Span,
    *,
    as_of: datetime,
    places: int = PLACES,
    topic: str | None = None,
    scores: Mapping[str, Score] | None = None,
) -> Board:
    """Rank `papers`, or those of a topic, over a span; `scores` are what `scores_of` says of all papers.

    On the board of the day every fourth place is for a paper that nobody has voted on yet. A paper that gained nothing
    within the window has no other place.
    """
    known = scores_of(papers, span, as_of=as_of) if scores is None else scores
    mine = {p.paper_id: p for p in papers if (topic is None or topic in p.topics) and p.listed_at <= as_of}
    gained = (known[paper_id] for paper_id in mine if known[paper_id].gained)
    ranked = sorted(gained, key=lambda s: (-s.number, s.paper_id))[:places]
    fresh: list[Score] = []
    if span is DAY:
        taken = {s.paper_id for s in ranked}
        drawn = (p.paper_id for p in newcomers(mine.values(), as_of=as_of) if p.paper_id not in taken)
        fresh = [known[paper_id] for paper_id in islice(drawn, max(1, places // NEWCOMER_EVERY))]
    found = [
        Place(rank=rank, score=s, newcomer=new, votes=votes_of(mine[s.paper_id], as_of=as_of))
        for rank, (s, new) in enumerate(islice(_interleaved(ranked, fresh), places), start=1)
    ]
    return Board(span=span, as_of=as_of, places=tuple(found))


def scores_of(papers: Sequence[Watched], span: Span, *, as_of: datetime) -> dict[str, Score]:
    """Score all papers over a span, by paper_id."""
    usual = typical(papers, as_of=as_of)
    return {p.paper_id: score(p, span, as_of=as_of, usual=usual) for p in papers}


def score(paper: Watched, span: Span, *, as_of: datetime, usual: Mapping[str, float]) -> Score:
    """Score a paper over a span; `usual` is what `typical` found."""
    age = max(as_of - paper.listed_at, timedelta())
    since = as_of - span.window
    gains = {name: _gain(paper, name, since, as_of) for name in _COUNTS}
    watched = any(look.upvotes is not None for look in paper.looks) and not paper.listed_before
    expected = usual.get(paper.category, usual.get("", 0.0)) if watched else 0.0
    return Score(
        paper_id=paper.paper_id,
        span=span,
        listed_for=age,
        votes=gains["upvotes"],
        comments=gains["comment_count"],
        stars=gains["stars"],
        citations=gains["citations"],
        votes_a_day=_gain(paper, "upvotes", as_of - DAY_TIME, as_of),
        prior=PRIOR_SHARE * expected * _halved(age, PRIOR_HALF_LIFE),
        decay=_halved(age, span.half_life),
    )


def typical(papers: Iterable[Watched], *, as_of: datetime) -> Mapping[str, float]:
    """The median votes of a paper's first day on a list, by category; under '' that of all papers."""
    found: dict[str, list[float]] = {"": []}
    for paper in papers:
        first = paper.listed_at + DAY_TIME
        if paper.listed_before or first > as_of or not any(look.upvotes is not None for look in paper.looks):
            continue
        votes = _gain(paper, "upvotes", paper.listed_at - HOUR, first)
        found[""].append(votes)
        if paper.category:
            found.setdefault(paper.category, []).append(votes)
    return {c: statistics.median(v) for c, v in found.items() if len(v) >= (TYPICAL_MIN if c else 1)}


def newcomers(papers: Iterable[Watched], *, as_of: datetime) -> list[Watched]:
    """Papers of the newest 24 hours with listings that nobody has voted on yet.

    Those on a curated list come first. The others are drawn by lot, anew each day: an order by time, name or category
    would favour the same ones every day. The lot is a hash, so that it is the same in every build.
    """
    young = [p for p in papers if as_of - NEWCOMER_AGE_MAX <= p.listed_at <= as_of and not p.listed_before]
    if not young:
        return []
    newest = max(p.listed_at for p in young)
    unseen = [p for p in young if p.listed_at > newest - DAY_TIME and not any(look.upvotes for look in p.looks)]

    def lot(paper: Watched) -> tuple[bool, bytes]:
        drawn = hashlib.blake2b(f"{newest:%Y-%m-%d} {paper.paper_id}".encode(), digest_size=8).digest()
        return not paper.looks, drawn

    return sorted(unseen, key=lot)


def votes_of(paper: Watched, *, as_of: datetime) -> tuple[tuple[datetime, float], ...]:
    """The votes of a paper over time, by the source that saw most of them."""
    series = max(_series(paper, "upvotes"), key=lambda points: points[-1][1], default=())
    return (*series, (as_of, series[-1][1])) if series and series[-1][0] < as_of else tuple(series)


# Counts over time. What a list or a repository says of itself may fall: somebody took a vote back, a number was
# misread, a repository began anew. What a later look no longer confirms never came.


_COUNTS = ("upvotes", "comment_count", "stars", "citations")
_FROM_NOTHING = frozenset(["upvotes", "comment_count"])  # at the listing; code and citations may be older than it
_Points = list[tuple[datetime, float]]


def _series(paper: Watched, name: str) -> Iterator[_Points]:
    """A count as each source tells it, never falling; several sources count differently and are never mixed."""
    by_source: dict[str, dict[datetime, int]] = {}
    for look in paper.looks:
        value = getattr(look, name)
        if value is not None:
            moments = by_source.setdefault(look.source, {})
            moments[look.seen_at] = max(value, moments.get(look.seen_at, 0), 0)
    for moments in by_source.values():
        points: _Points = []
        lowest = math.inf
        for seen_at, value in sorted(moments.items(), reverse=True):
            lowest = min(lowest, value)
            points.append((seen_at, lowest))
        if name in _FROM_NOTHING and not paper.listed_before:
            points.append((min(paper.listed_at, points[-1][0]), 0.0))
        yield points[::-1]


def _gain(paper: Watched, name: str, since: datetime, until: datetime) -> float:
    """How much a count grew, by the source that saw most of it. Between two looks it grew evenly; a count that was seen
    once did since the listing; after the last look it stood still, for a count that did not change is not kept."""
    grown = (value_at(points, until) - value_at(points, since) for points in _series(paper, name))
    return float(max(grown, default=0.0))


def value_at(points: Sequence[tuple[datetime, float]], moment: datetime) -> float:
    """The value of a series at a moment; before its beginning its first value."""
    before = points[0]
    for after in points:
        if after[0] > moment:
            if after is points[0]:
                return after[1]
            share = (moment - before[0]) / (after[0] - before[0])
            return before[1] + (after[1] - before[1]) * share
        before = after
    return before[1]


def _halved(age: timedelta, half_life: timedelta) -> float:
    return math.pow(0.5, age / half_life)


def _interleaved(ranked: Sequence[Score], fresh: Sequence[Score]) -> Iterator[tuple[Score, bool]]:
    """The ranked with a newcomer at every fourth place; whichever lasts longer fills the rest."""
    rest, new = iter(ranked), iter(fresh)
    place = 0
    while True:
        place += 1
        first, second = ((new, True), (rest, False)) if place % NEWCOMER_EVERY == 0 else ((rest, False), (new, True))
        for source, is_new in (first, second):
            found = next(source, None)
            if found is not None:
                yield found, is_new
                break
        else:
            return


# Words


def _about(number: float, noun: str) -> str:
    whole = max(1, round(number))
    exact = "" if abs(number - whole) < 1e-6 else "about "
    return f"{exact}{whole:,} {noun}{'' if whole == 1 else 's'}"


def _is(number: float) -> str:
    return "is" if round(number) == 1 else "are"


def _ago(age: timedelta) -> str:
    hours = int(age / HOUR)
    if hours < 1:
        return "within the last hour"
    if hours < 48:
        return f"{hours} hour{'' if hours == 1 else 's'} ago"
    return f"{int(age / DAY_TIME)} days ago"
