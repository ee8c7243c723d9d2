"""Runs of arXiv ids: numbers are given out one after the other, so a stretch of them that nobody knows was lost."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date, timedelta
from itertools import pairwise

from storage.model import Entry

_NUMBERED = re.compile(r"(\d{4})\.(\d{4,5})")
_RUN_MIN = 5  # single numbers stay unused: papers that are held, or were taken back before they appeared
_NEAR = timedelta(days=4)  # between the batches of two neighbours, over a weekend
_GAP_MAX = 5_000  # numbers between two neighbours; more is no gap but another story


def announced_ids(entries: Iterable[Entry]) -> dict[str, date]:
    """The arXiv ids of entries that are new, each with the day of its batch."""
    return {e.arxiv_id: e.announced_on for e in entries if e.arxiv_id and e.announced_on and e.version == 1}


def unknown_runs(
    listed: Mapping[str, date], *, since: date, known: Callable[[Collection[str]], Collection[str]]
) -> Iterator[str]:
    """Yield a line for each run of ids between two listed ones that is not `known`, of batches after `since`.

    Takes ids with the days of their batches; `known` says which of some ids the archive has.
    """
    months: dict[str, dict[int, date]] = {}
    for name, day in listed.items():
        found = _NUMBERED.fullmatch(name)
        if found and day > since:
            months.setdefault(found[1], {})[int(found[2])] = day
    for month, days in sorted(months.items()):
        for before, after in pairwise(sorted(days)):
            near = abs(days[after] - days[before]) <= _NEAR
            if near and _RUN_MIN < after - before <= _GAP_MAX:
                between = [f"{month}.{number:05}" for number in range(before + 1, after)]
                yield from _lines(between, frozenset(known(between)))


def _lines(names: Iterable[str], known: Collection[str]) -> Iterator[str]:
    run: list[str] = []
    for name in (*names, ""):
        if name and name not in known:
            run.append(name)
            continue
        if len(run) >= _RUN_MIN:
            yield f"{len(run):,} ids in a row are unknown, {run[0]} to {run[-1]}"
        run = []
