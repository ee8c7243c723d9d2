"""What a query would have delivered, and what a subscription to it would cost its reader. Pure."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from itertools import count

from storage.model import TaggedPaper
from storage.query_terms import normal_text
from storage.settings import SLUGS_TAKEN

_SATURDAY = 5
_FIELD = re.compile(r"\b[a-z]+:")
_EXCLUDED = re.compile(r"(?<!\S)(?:-|NOT\s+)(?:[a-z]+:)?(?:\"[^\"]*\"|\([^()]*\)|\S+)")
_JOINING = frozenset(("and", "or", "not", "yes", "no"))
_SLUG_WORDS, _SLUG_CHARACTERS = 4, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """A paper that a query finds, and why: each positive term that holds, in the order of the query."""

    paper: TaggedPaper
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a query would have delivered, by the UTC day on which readers were told of each paper as new."""

    query: str
    until: datetime  # the newest paper of the archive, or the moment of asking where that is earlier
    days: tuple[tuple[date, int], ...]  # oldest first, zeros included
    total: int
    told_since: date | None  # the first day on which the archive told of any paper; None: it told of none
    sample: tuple[Sampled, ...]  # the newest

    @property
    def covered(self) -> tuple[tuple[date, int], ...]:
        """The days on which the archive was there to tell of papers."""
        return tuple((day, n) for day, n in self.days if self.told_since and day >= self.told_since)

    @property
    def weekday_mean(self) -> float:
        """How many papers a weekday brings; a paper told of on a weekend counts with the weekdays."""
        weekdays = sum(day.weekday() < _SATURDAY for day, _ in self.covered)
        return self.total / max(weekdays, 1)

    @property
    def weekday_median(self) -> float:
        """The median of the weekdays."""
        return statistics.median([n for day, n in self.covered if day.weekday() < _SATURDAY] or [0])

    @property
    def busiest(self) -> tuple[date, int] | None:
        """The newest day that brought most, and how many; None where nothing came."""
        day, most = max(self.days, key=lambda found: (found[1], found[0]), default=(date.min, 0))
        return (day, most) if most else None

    @property
    def cost(self) -> str:
        """What a subscription would bring, in words: "about 12 papers a weekday", "about 2 papers a week"."""
        if not self.total:
            return "no paper so far"
        a_week = 5 * self.weekday_mean
        if a_week < 1:
            return "less than one paper a week"
        if self.weekday_mean < 1:
            return f"about {_papers(round(a_week))} a week"
        return f"about {_papers(round(self.weekday_mean))} a weekday"


def _papers(number: int) -> str:
    return f"{number:,} {'paper' if number == 1 else 'papers'}"


def topic_lines(query: str, taken: Collection[str] = ()) -> str:
    """The [[topic]] of a configuration that makes a topic of `query`, under a slug that is not `taken`.

    The query is one that a topic may have: it asks for no day and no other topic.
    """
    looked_for = normal_text(_FIELD.sub(" ", _EXCLUDED.sub(" ", query))).split()
    words = [word for word in looked_for if word not in _JOINING][:_SLUG_WORDS]
    bare = "-".join(word for word in words if word.isascii())[:_SLUG_CHARACTERS].strip("-") or "my-topic"
    slug = next(s for n in count(1) if (s := bare if n == 1 else f"{bare}-{n}") not in {*taken, *SLUGS_TAKEN})
    title = " ".join(words)[:_SLUG_CHARACTERS].strip().capitalize() or "My topic"
    return f"[[topic]]\nslug = {_toml(slug)}\ntitle = {_toml(title)}\nquery = {_toml(query)}\n"


def _toml(text: str) -> str:
    """A string of TOML 1.0 on one line."""
    if text.isprintable() and "'" not in text and '"' in text:
        return f"'{text}'"
    # What JSON escapes TOML escapes alike; it asks for U+007F too.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
