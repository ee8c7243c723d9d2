"""The past of a feed in documents of a week each (RFC 5005, section 4): what has left its window, all of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_WEEK = timedelta(days=7)


def archive_stem(stem: str, moment: datetime) -> str:
    """Return the path, without extension, of the document that holds what joined the feed `stem` at `moment`."""
    year, week, _ = moment.astimezone(UTC).isocalendar()
    return f"{stem}/archive/{year:04}-W{week:02}"


def week_of(moment: datetime) -> tuple[datetime, datetime]:
    """Return the first and the last moment of the ISO week (UTC) of `moment`."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    monday = day - timedelta(days=day.weekday())
    return monday, monday + _WEEK - MICROSECOND
