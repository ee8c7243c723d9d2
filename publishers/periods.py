"""Weeks and months: what they are called, which days they hold, what comes before and after. Pure."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from publishers.page_models import MONTHS, plain_day
from publishers.paths import month_path, week_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A week or a month: its first and last day, the path of its page."""

    kind: str  # week, month
    first: date
    last: date
    title: str
    path: str

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last


def week_of(day: date) -> Period:
    """Return the ISO week of a day: Monday to Sunday, over the end of a month or a year."""
    year, week, weekday = day.isocalendar()
    first = day.toordinal() - weekday + 1
    return Period(
        kind="week",
        first=date.fromordinal(first),
        last=date.fromordinal(min(first + 6, date.max.toordinal())),
        title=f"Week {week}, {year}",
        path=week_path(day),
    )


def month_of(day: date) -> Period:
    """Return the month of a day."""
    return Period(
        kind="month",
        first=day.replace(day=1),
        last=day.replace(day=monthrange(day.year, day.month)[1]),
        title=f"{MONTHS[day.month - 1]} {day.year}",
        path=month_path(day),
    )


def from_to(first: date, last: date) -> str:
    """Return `1 to 7 June 2026`, `29 June to 5 July 2026` or `29 December 2025 to 4 January 2026`."""
    if first.year != last.year:
        return f"{plain_day(first)} to {plain_day(last)}"
    month = f" {MONTHS[first.month - 1]}" if first.month != last.month else ""
    return f"{first.day}{month} to {plain_day(last)}"


def all_of(days: Iterable[date], of: Callable[[date], Period]) -> tuple[Period, ...]:
    """Return each week or month that holds one of `days`, newest first, each once."""
    found = {period.first: period for period in map(of, days)}
    return tuple(found[first] for first in sorted(found, reverse=True))


def neighbours(period: Period, days: Sequence[tuple[date, int]]) -> tuple[Period | None, Period | None]:
    """Return the last week (or month) with papers before `period` and the first one after it."""
    of = week_of if period.kind == "week" else month_of
    before = max((day for day, _ in days if day < period.first), default=None)
    after = min((day for day, _ in days if day > period.last), default=None)
    return of(before) if before else None, of(after) if after else None
