"""How well boards tell what will be voted for: `python -m bench.trending [upvote_observations.parquet]`.

Each morning's list of a curated site, with its votes some hours after listing, is ranked by several scores. Printed are
nDCG@10 and @50 against the votes each paper ended with (its own list) and against the votes of the next 24 hours (that
list among those of the four days before), and how often a paper that ended among the ten best of its list stood below
place 10 or 30. Then the same for the board of the week, against the final votes of the papers of its seven days.
"""

from __future__ import annotations

import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from storage import trending
from storage.trending import DAY, WEEK, Look, Span, Watched

CAPTURED = Path(__file__).resolve().parents[2] / "shared" / "data" / "bench" / "upvote_observations.parquet"
LIST_MIN = 10
AROUND = timedelta(days=4)
ROWS_SQL = """
SELECT paper_id, epoch(observed_at::TIMESTAMPTZ), upvotes, num_comments, github_stars, source = 'raw_json',
       epoch(submitted_on_daily_at::TIMESTAMPTZ), epoch(try_cast(published_at AS TIMESTAMPTZ))
FROM read_parquet(?) WHERE observed_at >= '2025-04-25' ORDER BY 2, 1
"""
Scorer = Callable[[Watched, datetime], float]
Usual = Mapping[str, float]


class Votes:
    """All papers with their votes; `lists` has those of each morning by the moment they were read."""

    def __init__(self, path: Path) -> None:
        connection = duckdb.connect(config={"threads": 1, "python_enable_replacements": "false"})
        connection.execute("SET TimeZone = 'UTC'")
        looks: dict[str, list[Look]] = defaultdict(list)
        listed: dict[str, datetime] = {}
        self.published: dict[str, datetime] = {}
        lists: dict[datetime, list[str]] = defaultdict(list)
        for paper_id, at, votes, comments, stars, early, listed_at, published_at in connection.execute(
            ROWS_SQL, [str(path)]
        ).fetchall():
            moment = datetime.fromtimestamp(at, UTC)
            looks[paper_id].append(
                Look(seen_at=moment, source="list", upvotes=votes, comment_count=comments, stars=stars)
            )
            if early and paper_id not in listed:
                listed[paper_id] = datetime.fromtimestamp(listed_at, UTC) if listed_at else moment
                self.published[paper_id] = datetime.fromtimestamp(published_at or at, UTC)
                lists[moment].append(paper_id)
        self.papers = {
            p: Watched(paper_id=p, listed_at=at, looks=tuple(looks[p]), category="") for p, at in listed.items()
        }
        self.lists = {at: ids for at, ids in sorted(lists.items()) if len(ids) >= LIST_MIN}

    def until(self, paper_id: str, moment: datetime) -> Watched:
        """A paper as it was known at a moment."""
        paper = self.papers[paper_id]
        return replace(paper, looks=tuple(look for look in paper.looks if look.seen_at <= moment))

    def known(self, moment: datetime, back: timedelta) -> list[Watched]:
        """The papers of the lists of the time before a moment, as known then."""
        return [self.until(p, moment) for at, ids in self.lists.items() if moment - back <= at <= moment for p in ids]

    def at(self, paper_id: str, moment: datetime) -> float:
        """Votes at a moment, later looks included."""
        points = trending.votes_of(self.papers[paper_id], as_of=moment)
        return trending.value_at(points, moment)

    def final(self, paper_id: str) -> float:
        """The most votes it was ever seen with."""
        return max(float(look.upvotes or 0) for look in self.papers[paper_id].looks)


def ndcg(order: Sequence[str], gains: Mapping[str, float], k: int) -> float | None:
    """Normalised discounted cumulative gain of an order; None where there is nothing to gain."""
    best = sum(g / math.log2(i + 2) for i, g in enumerate(sorted(gains.values(), reverse=True)[:k]))
    return sum(gains[p] / math.log2(i + 2) for i, p in enumerate(order[:k])) / best if best else None


def main(path: Path) -> None:
    """Print the tables."""
    votes = Votes(path)
    count = sum(map(len, votes.lists.values()))
    print(
        f"{len(votes.lists)} morning lists with {count:,} papers, {min(votes.lists):%Y-%m} to {max(votes.lists):%Y-%m}"
    )
    print("\nthe day: own list against final votes; with the lists around it against the next 24 hours")
    head = ("@10", "@50", "mixed @10", "mixed @50", "top 10 below 10", "below 30")
    print(f"{'score':38}" + "".join(f"{name:>17}" for name in head))
    for name, scorer in _scores(votes).items():
        print(f"{name:38}" + "".join(f"{value:17.3f}" for value in _day(votes, scorer)))
    print("\nthe week: final votes of the papers listed within seven days")
    print(f"{'score':38}{'@10':>17}{'@30':>17}")
    for name, scorer in _week_scores(votes).items():
        print(f"{name:38}" + "".join(f"{value:17.3f}" for value in _week(votes, scorer)))
    _speed(votes)


def _scores(votes: Votes) -> dict[str, Scorer]:
    ours = _ours(votes, DAY)
    return {
        "this one": ours,
        "… half-life 6 h": _ours(votes, replace(DAY, half_life=timedelta(hours=6))),
        "… half-life 24 h": _ours(votes, replace(DAY, half_life=timedelta(hours=24))),
        "… without decay": _ours(votes, replace(DAY, half_life=timedelta(days=9_999))),
        "… without a prior": _ours(votes, DAY, prior=0),
        "… with twice the prior": _ours(votes, DAY, prior=2),
        "… without comments": _ours(votes, DAY, comments=0),
        "… with a point for a comment": _ours(votes, DAY, comments=1),
        "… with stars at the first look": lambda p, at: ours(p, at) + _stars(p) * _decay(p, at),
        "plain votes": lambda p, _: _count(p),
        "votes an hour since listing": lambda p, at: _count(p) / max(_hours(p.listed_at, at), 0.5),
        "Reddit's log form": lambda p, at: math.log10(max(1, _count(p))) - _hours(p.listed_at, at) / 12.5,
        "… from publication": lambda p, at: (
            math.log10(max(1, _count(p))) - _hours(votes.published[p.paper_id], at) / 12.5
        ),
        "Hacker News": lambda p, at: (_count(p) - 1) / (_hours(p.listed_at, at) + 2) ** 1.8,
    }


def _week_scores(votes: Votes) -> dict[str, Scorer]:
    ours = {
        f"this one, half-life {days:g} d": _ours(votes, replace(WEEK, half_life=timedelta(days=days)))
        for days in (1.75, 3.5, 7, 14, 9_999)
    }
    return {
        **ours,
        "plain votes": lambda p, _: _count(p),
        "Reddit's log form": lambda p, at: math.log10(max(1, _count(p))) - _hours(p.listed_at, at) / 12.5,
        "Hacker News": lambda p, at: (_count(p) - 1) / (_hours(p.listed_at, at) + 2) ** 1.8,
    }


def _ours(votes: Votes, span: Span, *, prior: float = 1, comments: float = trending.COMMENT_POINTS) -> Scorer:
    usual: dict[datetime, Usual] = {}

    def scored(paper: Watched, at: datetime) -> float:
        if at not in usual:
            usual[at] = trending.typical(votes.known(at, timedelta(days=35)), as_of=at)
        s = trending.score(paper, span, as_of=at, usual=usual[at])
        return s.number + ((prior - 1) * s.prior + (comments - trending.COMMENT_POINTS) * s.comments) * s.decay

    return scored


def _day(votes: Votes, scorer: Scorer) -> list[float]:
    figures: list[list[float]] = [[] for _ in range(6)]
    for at, own in votes.lists.items():
        papers = votes.known(at, AROUND)
        order = _ordered(papers, scorer, at)
        place = {p: i for i, p in enumerate(order)}
        mine, final = sorted(own, key=place.__getitem__), {p: votes.final(p) for p in own}
        coming = {p: votes.at(p, at + timedelta(days=1)) - votes.at(p, at) for p in order}
        for figure, value in zip(
            figures,
            (ndcg(mine, final, 10), ndcg(mine, final, 50), ndcg(order, coming, 10), ndcg(order, coming, 50)),
            strict=False,
        ):
            figure += [value] if value is not None else []
        best = sorted(own, key=lambda p: -final[p])[:10]
        figures[4] += [float(place[p] >= 10) for p in best]
        figures[5] += [float(place[p] >= 30) for p in best]
    return [sum(figure) / len(figure) for figure in figures]


def _week(votes: Votes, scorer: Scorer) -> list[float]:
    figures: list[list[float]] = [[], []]
    for at in votes.lists:
        papers = votes.known(at, timedelta(days=7))
        order = _ordered(papers, scorer, at)
        final = {p: votes.final(p) for p in order}
        for figure, k in zip(figures, (10, 30), strict=True):
            value = ndcg(order, final, k)
            figure += [value] if value is not None else []
    return [sum(figure) / len(figure) for figure in figures]


def _speed(votes: Votes) -> None:
    at = max(votes.lists)
    papers = votes.known(at, timedelta(days=35))
    start = time.process_time()
    trending.board(papers, DAY, as_of=at)
    print(f"\na board of {len(papers):,} papers: {1_000 * (time.process_time() - start):.0f} ms of CPU")


def _ordered(papers: Sequence[Watched], scorer: Scorer, at: datetime) -> list[str]:
    scores = {p.paper_id: scorer(p, at) for p in papers}
    return sorted(scores, key=lambda p: (-scores[p], p))


def _count(paper: Watched) -> float:
    return max((float(look.upvotes or 0) for look in paper.looks), default=0.0)


def _stars(paper: Watched) -> float:
    return math.log2(1 + max((look.stars or 0 for look in paper.looks), default=0))


def _decay(paper: Watched, at: datetime) -> float:
    return math.pow(0.5, (at - paper.listed_at) / DAY.half_life)


def _hours(since: datetime, at: datetime) -> float:
    return max(0.0, (at - since) / timedelta(hours=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else CAPTURED)
