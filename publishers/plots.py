"""Small plots of papers a day: one path of inline SVG, and in words what it shows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from publishers.page_models import counted, short_day
from publishers.periods import from_to

DAYS = 30
_STEP, _BAR, _HEIGHT = 3, 2, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Bars for the last 30 days. `path` draws them in a box of `width` by `height`; `label` says the same in words."""

    path: str
    label: str
    total: int  # papers in these days
    per_day: str  # what to expect of a day, in words
    width: int = DAYS * _STEP
    height: int = _HEIGHT

    @property
    def in_words(self) -> str:
        """How many papers came in the 30 days, and what that makes a day where it makes one."""
        total = f"{counted(self.total, 'paper')} in 30 days" if self.total else self.per_day
        return total if self.per_day.endswith("in 30 days") else f"{total}, {self.per_day}"


def plot(counts: Mapping[date, int], until: date | None, *, busy_days: int = 0) -> Plot | None:
    """Return the plot of the 30 days up to `until`; None where there is no day at all.

    `counts` has the papers of a day, days without any may be missing. `busy_days` is on how many of the 30 days
    anything came at all, whatever its subject: weekends, and the time before the archive began, thin no average.
    """
    if until is None:
        return None
    days = [date.fromordinal(n) for n in range(max(1, until.toordinal() - DAYS + 1), until.toordinal() + 1)]
    shown = [(day, counts.get(day, 0)) for day in days]
    total = sum(count for _, count in shown)
    top_day, top = max(shown, key=lambda pair: (pair[1], pair[0]))
    span = from_to(days[0], until)
    best = f", most on {short_day(top_day)}: {top:,}" if top else ""
    return Plot(
        path=_bars([count for _, count in shown], top),
        label=f"Papers a day, {span}: {total:,} in all{best}.",
        total=total,
        per_day=_per_day(total, max(busy_days, sum(count > 0 for _, count in shown))),
    )


def _bars(counts: list[int], top: int) -> str:
    """A day with papers is never without a bar."""
    offset = DAYS - len(counts)
    tall = [max(1, round(_HEIGHT * count / top)) if count else 0 for count in counts]
    return "".join(f"M{(offset + n) * _STEP} {_HEIGHT}v-{h}h{_BAR}v{h}z" for n, h in enumerate(tall) if h)


def _per_day(total: int, days: int) -> str:
    if not total:
        return "none in 30 days"
    mean = total / days
    if mean >= 1.5:
        return f"about {counted(round(mean), 'paper')} a day"
    return "about a paper a day" if mean >= 0.75 else f"{counted(total, 'paper')} in 30 days"
