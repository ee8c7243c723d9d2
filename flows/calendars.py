"""Working days: on which days arXiv and other sources announce papers, and to which day's batch a submission goes.

arXiv announces from Sunday to Thursday at 20:00 in New York, and dates the batch the next day; what came in before
14:00 is in it (https://info.arxiv.org/help/availability.html). It rests on the holidays of the United States and
around New Year; its list for a year is not kept here, so a day on which it may rest is one on which nothing is due.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
_SATURDAY = 5
_DEADLINE = time(14)
_MONDAY, _THURSDAY = 0, 3
_DAY = timedelta(days=1)


def is_weekday(day: date) -> bool:
    """Whether a day is none of a weekend."""
    return day.weekday() < _SATURDAY


def may_rest(day: date) -> bool:
    """Whether nothing may be announced on a day: a weekend, a holiday, or the day after one.

    What would have been announced on the evening of a holiday is dated the day after it.
    """
    return not is_weekday(day) or bool({day, day - _DAY} & (holidays(day.year) | holidays(day.year - 1)))


@cache
def holidays(year: int) -> frozenset[date]:
    """The days of a year on which the United States rest, as they are observed, and those around New Year."""
    fixed = [date(year, 1, 1), date(year, 6, 19), date(year, 7, 4), date(year, 12, 25), date(year + 1, 1, 1)]
    thanksgiving = _nth(year, 11, _THURSDAY, 4)
    moving = [
        _nth(year, 1, _MONDAY, 3),  # Martin Luther King Jr.
        _nth(year, 2, _MONDAY, 3),  # Washington
        _nth(year, 6, _MONDAY, 1) - 7 * _DAY,  # Memorial Day, the last Monday of May
        _nth(year, 9, _MONDAY, 1),  # Labor Day
        thanksgiving,
        thanksgiving + _DAY,
    ]
    rest = [date(year, 12, 24) + n * _DAY for n in range(8)] + [date(year, 1, 1), date(year, 1, 2)]
    return frozenset([*(_observed(day) for day in fixed), *fixed, *moving, *rest])


def batch_day(submitted_at: datetime) -> date:
    """The day of the arXiv batch that a submission goes into, unless it is held.

    Of 206 papers with a known moment of submission 179 were announced on that day, 26 later and one earlier.
    """
    at = submitted_at.astimezone(NEW_YORK)
    day = _weekday_from(at.date() + (_DAY if at.time() >= _DEADLINE else timedelta()))
    return _weekday_from(day + _DAY)


def midnight(day: date, zone: ZoneInfo | None = None) -> datetime:
    """The moment a day begins; UTC unless a zone is given."""
    return datetime.combine(day, time(), zone or UTC).astimezone(UTC)


def _weekday_from(day: date) -> date:
    while day.weekday() >= _SATURDAY:
        day += _DAY
    return day


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def _observed(day: date) -> date:
    """A holiday on a Saturday is observed on Friday, one on a Sunday on Monday."""
    return day + {5: -_DAY, 6: _DAY}.get(day.weekday(), timedelta())
