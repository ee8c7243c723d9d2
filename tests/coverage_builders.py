"""Verdicts for tests: one by keyword, and four weeks of five sources with every state in them, hostile texts too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from storage.coverage import State, Verdict, since_when

DAY = date(2026, 6, 2)
NOTICED = datetime(2026, 6, 3, 7, 5, tzinfo=UTC)
CAME = NOTICED + timedelta(hours=25)
HOSTILE = "<script>alert('x')</script> & \u202egnol \x00\x1b[31m \ud800 $x<y$ ]]> \"quoted\""
MISSING = (State.PARTIAL, State.STALE, State.LATE, State.FAILED)
LACKING = dict(zip((0, 1, 4, 5), MISSING, strict=True))  # days back, all of them weekdays
MENDED = dict(zip((1, 6, 8, 13), MISSING, strict=True))


def a_verdict(state: State = State.COMPLETE, **changes: Any) -> Verdict:
    """A whole batch of 2 June, changed by keyword; `missing` where its state says so."""
    values: dict[str, Any] = {"source": "arxiv-rss:cs.CL", "day": DAY, "came": 312, "missing": state in MISSING}
    return Verdict(**(values | {"state": state} | changes))


def missed(state: State = State.STALE, at: datetime = NOTICED, **changes: Any) -> Verdict:
    """A batch that is missing since `at`."""
    return since_when(a_verdict(state, **({"came": 0, "why": f"it is {state.value} for a reason"} | changes)), None, at)


def healed(before: Verdict, at: datetime = CAME, **changes: Any) -> Verdict:
    """The same batch, made up for at `at`."""
    now = replace(before, **({"state": State.COMPLETE, "missing": False, "came": 312, "why": ""} | changes))
    return since_when(now, before, at)


def four_weeks(sources: int = 5) -> list[Verdict]:
    """28 days of some sources, sorted as the catalogue gives them: every state, missing and made up for."""
    names = ["arxiv-rss:cs.AI", "arxiv-rss:cs.CL", "hf-daily", HOSTILE, "journal:" + "a-rather-long-name-" * 3]
    names += [f"source-{n:03}" for n in range(sources)]
    found = [v for n, name in enumerate(names[:sources]) for v in _days_of(name, n)]
    return sorted(found, key=lambda v: (v.source, v.day))


def _days_of(source: str, place: int) -> Iterator[Verdict]:
    for back in range(28 if place != 2 else 9):
        day = DAY - timedelta(days=back)
        noticed = datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC) + timedelta(hours=7)
        usual = a_verdict(source=source, day=day, came=300 + 37 * back % 500 + 900 * place, low=120, high=1_400)
        if day.weekday() >= 5:
            yield replace(usual, state=State.QUIET, came=0, low=None, high=None, why="no batch is due on a day of rest")
        elif place == 1 and back in LACKING:
            why = "9 of its 312 entries are those of the batch before"
            yield missed(LACKING[back], noticed, source=source, day=day, came=7 * back, low=120, high=1_400, why=why)
        elif place == 2 and back == 0:
            yield replace(usual, state=State.PARTIAL, came=41, why="41 so far; its day is not over")
        elif place == 3 and back in MENDED:
            before = missed(MENDED[back], noticed, source=source, day=day, came=3)
            yield healed(
                before, noticed + timedelta(hours=9 * back), late=4, why=f"arxiv-oai:cs has read it; {HOSTILE}"
            )
        else:
            yield usual
