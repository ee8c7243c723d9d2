"""What an answer says about when its host wants to be asked again: Retry-After and the rate headers in use."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

REST_SECONDS_MAX = 86_400.0  # nobody is obeyed for longer than a day
_VALUE_CHARACTERS_MAX = 1_000
_EPOCH_FROM = 1_000_000_000  # a larger "reset" is a moment in seconds since 1970, a smaller one a number of seconds
_WINDOW_SECONDS = 1.0  # of a quota that says it is used up, but not until when (PubMed: three requests a second)
_QUOTED = re.compile(r'"[^"]*"')
_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,6})?")
_INTERVAL = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(ms|s|m|h)?", re.I)
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0}
_FAMILIES = ("ratelimit-", "x-ratelimit-", "x-rate-limit-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """When a host wants to be asked again. None: it does not say."""

    rest_seconds: float | None = None  # Retry-After
    spent_seconds: float | None = None  # no request is left of a quota for so long
    spacing_seconds: float | None = None  # from one request to the next


def wishes_of(headers: Mapping[str, str], now: datetime) -> Wishes:
    """Read the headers of an answer, their names in lower case or a mapping that does not mind."""
    return Wishes(
        rest_seconds=retry_after_seconds(headers.get("retry-after"), now),
        spent_seconds=_spent_seconds(headers, now),
        spacing_seconds=_spacing_seconds(headers),
    )


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Return the seconds a Retry-After header asks for (RFC 9110, 10.2.3: a number or a date), or None."""
    text = (value or "").strip()
    if text.isdecimal():
        return min(float(text[:12]), REST_SECONDS_MAX)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(0.0, (at - now).total_seconds()), REST_SECONDS_MAX)


def _spent_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """The longest time for which one of the quotas has no request left."""
    quotas = [*_quotas(headers.get("ratelimit"))]
    quotas += [(headers.get(f"{f}remaining"), headers.get(f"{f}reset")) for f in _FAMILIES]
    spent = [_until_reset(reset, now) for left, reset in quotas if _number(left) == 0]
    return max(spent, default=None)


def _quotas(value: str | None) -> list[tuple[str | None, str | None]]:
    """Return (left, reset) of each quota in a RateLimit header.

    draft-ietf-httpapi-ratelimit-headers: `"name";r=0;t=30`, several by comma, from revision 8 on;
    `limit=100, remaining=0, reset=30` in revision 7.
    """
    text = _QUOTED.sub("", (value or "")[:_VALUE_CHARACTERS_MAX]).lower()
    items = [text] if "remaining" in text else text.split(",")
    return [(_parameter(item, "r", "remaining"), _parameter(item, "t", "reset")) for item in items]


def _parameter(item: str, *names: str) -> str | None:
    pairs = (part.partition("=") for part in re.split(r"[;,]", item))
    return next((value.strip() for name, _, value in pairs if name.strip() in names), None)


def _until_reset(reset: str | None, now: datetime) -> float:
    seconds = _number(reset)
    if seconds is None:
        return _WINDOW_SECONDS
    if seconds >= _EPOCH_FROM:
        seconds -= now.timestamp()
    return min(max(0.0, seconds), REST_SECONDS_MAX)


def _spacing_seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds a request where a number of them for an interval is stated (Crossref: 50 for `1s`)."""
    found = []
    for family in _FAMILIES:
        limit, interval = _number(headers.get(f"{family}limit")), headers.get(f"{family}interval")
        match = _INTERVAL.fullmatch((interval or "")[:_VALUE_CHARACTERS_MAX].strip())
        if limit and match:
            seconds = float(match[1]) * _UNIT_SECONDS[(match[2] or "s").lower()]
            found.append(min(seconds / limit, REST_SECONDS_MAX))
    return max(found, default=None)


def _number(value: str | None) -> float | None:
    """The first number of a header that may be a list, with parameters (`100, 100;w=60`)."""
    match = _NUMBER.fullmatch(re.split(r"[,;]", (value or "")[:_VALUE_CHARACTERS_MAX], maxsplit=1)[0].strip())
    return float(match[0]) if match else None
