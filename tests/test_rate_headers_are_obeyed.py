"""What a host says of its quota is kept to, in every spelling in use, and nonsense holds nobody back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.governor import NotNow
from flows.rate_headers import Wishes, wishes_of
from tests.fetching_tools import Clock
from tests.polite_workers import a_governor

NOW = datetime(2026, 6, 2, 6, 0, tzinfo=UTC)
IN_A_MINUTE = str(int(NOW.timestamp()) + 60)

SPENT = {
    "Hugging Face": ({"ratelimit": '"api|ip|abc";r=0;t=42', "ratelimit-policy": '"fixed";"api";q=500;w=300'}, 42),
    "one of two": ({"ratelimit": '"a, b";r=12;t=5, "c";r=0;t=90'}, 90),
    "both of two": ({"ratelimit": '"a";r=0;t=5, "c";r=0;t=90'}, 90),
    "revision 7": ({"ratelimit": "limit=100, remaining=0, reset=50"}, 50),
    "three headers": ({"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "0", "ratelimit-reset": "17"}, 17),
    "x- and seconds": ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "30"}, 30),
    "x- and a moment": ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": IN_A_MINUTE}, 60),
    "x-rate- and a moment": ({"x-rate-limit-remaining": "0", "x-rate-limit-reset": IN_A_MINUTE}, 60),
    "a moment that is over": ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1500000000"}, 0),
    "PubMed": ({"x-ratelimit-limit": "3", "x-ratelimit-remaining": "0"}, 1),
    "not for more than a day": ({"ratelimit": '"a";r=0;t=999999999'}, 86_400),
    "something is left": ({"ratelimit": '"a";r=1;t=42', "x-ratelimit-remaining": "2"}, None),
    "a zero inside a name": ({"ratelimit": '"r=0;t=9";r=5;t=42'}, None),
    "nonsense": ({"ratelimit": '";;=,r=,"', "ratelimit-remaining": "none", "x-ratelimit-remaining": "-1"}, None),
    "too long": ({"ratelimit": "x" * 100_000 + ",r=0;t=10"}, None),
    "nothing": ({}, None),
}

ONE_A_SECOND = {"limit": "1", "interval": "1s"}
SPACING = {
    "Crossref": ({"x-rate-limit-limit": "50", "x-rate-limit-interval": "1s"}, 0.02),
    "Crossref now": ({"x-ratelimit-limit": "5", "x-ratelimit-interval": "1s"}, 0.2),
    "the slower of two": (
        {
            f"{family}{name}": value
            for family in ("x-rate-limit-", "x-ratelimit-")
            for name, value in ONE_A_SECOND.items()
        }
        | {"x-ratelimit-interval": "2"},
        2,
    ),
    "a minute": ({"x-rate-limit-limit": "30", "x-rate-limit-interval": "1m"}, 2),
    "milliseconds": ({"x-rate-limit-limit": "2", "x-rate-limit-interval": "500 ms"}, 0.25),
    "none at all": ({"x-rate-limit-limit": "0", "x-rate-limit-interval": "1s"}, None),
    "no interval": ({"x-rate-limit-limit": "50"}, None),
    "nonsense": ({"x-rate-limit-limit": "many", "x-rate-limit-interval": "soon"}, None),
}


@pytest.mark.parametrize("name", SPENT)
def test_a_quota_that_is_used_up_is_read(name: str) -> None:
    headers, seconds = SPENT[name]
    assert wishes_of(headers, NOW).spent_seconds == seconds


@pytest.mark.parametrize("name", SPACING)
def test_a_rate_is_read(name: str) -> None:
    headers, seconds = SPACING[name]
    assert wishes_of(headers, NOW).spacing_seconds == seconds


def test_every_rate_that_crossref_was_seen_to_state_is_read(unpack: Callable[[str], Path]) -> None:
    value = r":\s*(?:-\s*)?'?(\w+)'?"
    pattern = re.compile(rf"x-rate-limit-limit{value}|x-rate-limit-interval{value}", re.I)
    seen: Counter[float | None] = Counter()
    for path in sorted(unpack("crossref").rglob("*.y*ml")):
        found = pattern.findall(path.read_text(encoding="utf-8", errors="replace"))
        limits, intervals = [a for a, _ in found if a], [b for _, b in found if b]
        for limit, interval in zip(limits, intervals, strict=True):
            headers = {"x-rate-limit-limit": limit, "x-rate-limit-interval": interval}
            seen[wishes_of(headers, NOW).spacing_seconds] += 1
    print({f"{seconds} s": count for seconds, count in seen.items()})
    assert seen.keys() == {0.02, 0.1, 0.2}, "50, 10 and 5 a second"
    assert seen.total() > 200


def test_an_answer_that_says_nothing_asks_for_nothing() -> None:
    assert wishes_of({"content-type": "text/xml"}, NOW) == Wishes()


def test_a_used_up_quota_is_waited_out_or_said() -> None:
    clock = Clock()
    with closing(a_governor(None, clock=clock)) as governor:
        for seconds in (10, 300):
            with governor.turn("api.test") as turn:
                turn.heard(200, {"ratelimit": f'"api";r=0;t={seconds}'})
        assert clock.slept == [10]
        with pytest.raises(NotNow, match=r"^api\.test has no request left for us: try again in 300 s$"):
            governor.turn("api.test").__enter__()


def test_a_rate_is_kept_until_the_host_takes_it_back() -> None:
    clock = Clock()
    slow = {"x-rate-limit-limit": "2", "x-rate-limit-interval": "1s"}
    with closing(a_governor(None, clock=clock)) as governor:
        # An error page that does not repeat it takes nothing back.
        for status, headers in ((200, slow), (404, {}), (200, slow), (200, {}), (200, {})):
            with governor.turn("api.test", delay_seconds=0.1) as turn:
                turn.heard(status, headers)
    assert clock.slept == [0.5, 0.5, 0.5, 0.1]


def test_a_rate_faster_than_the_delay_changes_nothing() -> None:
    clock = Clock()
    with closing(a_governor(None, clock=clock)) as governor:
        for _ in range(2):
            with governor.turn("api.test", delay_seconds=1) as turn:
                turn.heard(200, {"x-rate-limit-limit": "50", "x-rate-limit-interval": "1s"})
    assert clock.slept == [1]
