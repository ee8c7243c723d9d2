"""How the coverage ledger looks in a terminal (a row of days for each source), in a pipe, and as JSON."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.markup import escape

from flows.show import console, counted, hang, print_json, rows, say
from storage.coverage import State, Verdict

if TYPE_CHECKING:
    from flows.asking import Coverage

_MARKS = {  # a shape and a colour each: neither is needed to tell them apart
    State.COMPLETE: ("■", "green"),
    State.QUIET: ("·", "dim"),
    State.PARTIAL: ("P", "bold yellow"),
    State.STALE: ("S", "bold red"),
    State.LATE: ("L", "bold red"),
    State.FAILED: ("F", "bold red"),
}
_LEGEND = "■ complete  · quiet  P partial  S stale  L late  F failed"
_HEALED_MAX = 10


def coverage(found: Coverage, *, as_json: bool) -> None:
    """Show what the last days of each source are."""
    if as_json:
        print_json(
            {
                "as_of": found.as_of,
                "well": not found.missing,
                "missing": [_facts(v) for v in found.missing],
                "days": [_facts(v) for v in found.verdicts],
            }
        )
        return
    if not console.is_terminal:
        rows([_facts(v) for v in found.verdicts], as_json=False)
        return
    first = found.as_of.astimezone(UTC).date() - timedelta(days=found.days - 1)
    days = [first + timedelta(days=n) for n in range(found.days)]
    width = max(map(cell_len, found.sources), default=0)
    fitting = max(1, (console.width - width - 2) // 3)
    _calendar(found, days[-fitting:], width)
    hang("", f"[dim]{_LEGEND}; as of {found.as_of:%Y-%m-%d %H:%M} UTC[/]")
    for verdict in found.missing:
        since = f" [dim](since {_when(verdict.missed_at)})[/]" if verdict.missed_at else ""
        hang("[red]missing[/] ", f"{escape(f'{verdict.source}: {verdict.line}')}{since}")
    healed = [v for v in found.verdicts if v.healed_at and not v.missing]
    for verdict in healed[-_HEALED_MAX:]:
        text = f"{verdict.source}: {verdict.day} was {verdict.was}; {verdict.why}".rstrip("; ")
        hang("[green]made up for[/] ", f"{escape(text)} [dim]({_when(verdict.healed_at)})[/]")
    if not found.missing:
        say(f"[green]Nothing is missing[/] of {counted(len(found.sources), 'source')} in {counted(found.days, 'day')}.")


def _calendar(found: Coverage, days: list[date], width: int) -> None:
    """A line for each source, a column for each day."""
    states = {(v.source, v.day): v for v in found.verdicts}
    say(" " * width + "".join(f" [dim]{day:%d}[/]" for day in days))
    for name in found.sources:
        marks = (_mark(states.get((name, day))) for day in days)
        say(escape(name.ljust(width)) + "".join(f"  {mark}" for mark in marks))


def _mark(verdict: Verdict | None) -> str:
    if verdict is None:
        return " "
    mark, style = _MARKS[verdict.state]
    waits = verdict.state not in (State.COMPLETE, State.QUIET) and not verdict.missing
    return f"[{'dim' if waits else style}]{mark}[/]"


def _facts(verdict: Verdict) -> dict[str, object]:
    return {
        "source": verdict.source,
        "day": verdict.day,
        "state": str(verdict.state),
        "missing": verdict.missing,
        "came": verdict.came,
        "low": verdict.low,
        "high": verdict.high,
        "why": verdict.why,
        "was": str(verdict.was) if verdict.was else None,
        "missed_at": verdict.missed_at,
        "healed_at": verdict.healed_at,
    }


def _when(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%d %b %H:%M}" if moment else ""
