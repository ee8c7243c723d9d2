"""How results look in a terminal, in a pipe, and as JSON for machines.

A terminal gets colours, progress and lines that fit its width; a pipe gets one line for each thing, whole.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from storage.errors import QueryError

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, Task

    from flows.asking import Status
    from flows.governor import HeldHost
    from flows.pipeline import PassReport, SourceReport
    from publishers.mail import DeliveryReport
    from storage.fetchlog import SourceState
    from storage.settings import Settings


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """End without a word where the reader of a pipe has gone, as `head` does; the exit code is that of Ctrl-C."""
        # What is still in the buffer would be written, and fail again, when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + signal.SIGINT)


console = _Console(highlight=False)
_errors = Console(stderr=True, highlight=False)
_CELL_CHARACTERS_MAX = 200  # in a terminal; a pipe gets all of it
_KEPT_WHOLE = 24  # cells up to this width are never folded
_COLUMN_MIN = 12  # a longer cell may be folded to this width before the table stands on its side
_ROWS_MAX = 1_000
_NOTES_MAX = 3
_EDITIONS_MAX = 12  # named one by one
_QUERY_INDENT = "  "
_PIECE_CHARACTERS = 10_000


def fail(message: str) -> None:
    """Say on standard error, in one line, what went wrong."""
    hang("[bold red]paperwire:[/] ", escape(" ".join(message.splitlines())), _errors)


def fail_query(error: QueryError) -> None:
    """Say what is wrong with a query, and point at the character."""
    fail(error.reason)
    width = _errors.width if _errors.is_terminal else 10_000
    for line in pointed_at(error.query, error.position, width - len(_QUERY_INDENT)):
        _errors.print(f"{_QUERY_INDENT}{escape(line)}", soft_wrap=True)


def pointed_at(query: str, position: int, width: int) -> tuple[str, str]:
    """Return the query on one line of at most `width` cells, and below it a ^ under the character at `position`."""
    line = "".join(" " if c.isspace() or not c.isprintable() else c for c in query)
    start = 0
    while start < position and cell_len(line[start : position + 1]) > width // 2 and cell_len(line[start:]) > width:
        start += 1
    shown = line[start:]
    while cell_len(shown) > width:
        shown = shown[:-1]
    return shown, " " * cell_len(line[start:position]) + "^"


class PassProgress:
    """What a pass shows while it runs: a line for each source as it is done, a bar for pages; nothing where `quiet`."""

    def __init__(self, progress: Progress, *, quiet: bool, total: int, names: Sequence[str]) -> None:
        self._progress, self._quiet = progress, quiet
        self._name_width = max(map(len, names), default=0)
        self._sources = progress.add_task("reading sources", total=total)
        self._pages = progress.add_task("publishing", total=None, visible=False)

    def source_done(self, report: SourceReport) -> None:
        """Say what one source brought."""
        if not self._quiet:
            _say_source(report, self._name_width)
        self._progress.advance(self._sources)

    def pages_done(self, done: int, total: int) -> None:
        """Move the bar of pages."""
        self._progress.update(self._sources, visible=False)
        self._progress.update(self._pages, completed=done, total=total, visible=True)


@contextmanager
def pass_progress(*, quiet: bool, total: int, names: Sequence[str] = ()) -> Iterator[PassProgress]:
    """Show the progress of a pass over `total` sources; their names align the lines."""
    with _progress(quiet=quiet) as progress:
        yield PassProgress(progress, quiet=quiet, total=total, names=names)


@contextmanager
def bar(label: str, *, quiet: bool, unit: str = "") -> Iterator[Callable[..., None]]:
    """Show one bar; yields the function that moves it, and changes its label where it gets one.

    With a `unit` it says how many a second, and how long still.
    """
    with _progress(quiet=quiet, unit=unit) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total, label=label: progress.update(task, completed=done, total=total, description=label)


def pass_report(report: PassReport, settings: Settings, *, as_json: bool) -> None:
    """Sum up a pass."""
    if as_json:
        print_json({"well": report.well} | _object(report))
        return
    new, revised = sum(s.new for s in report.sources), sum(s.revised for s in report.sources)
    published = report.publish
    files = f"{counted(published.files_written, 'file')} written" if published and published.files_written else ""
    say(f"[bold]{new}[/] new, [bold]{revised}[/] revised; {files or 'no file changed'}")
    say(f"[dim]{escape(str(settings.home / 'site' / 'index.html'))}[/]")
    for line in published.left_out if published else ():
        say(f"  [yellow]left out:[/] {escape(line)}")
    _say_deliveries(report.deliveries, "sent")


def deliveries(reports: Sequence[DeliveryReport], *, dry_run: bool, as_json: bool) -> None:
    """Say what was mailed."""
    if as_json:
        print_json(reports)
        return
    _say_deliveries(reports, "would be sent" if dry_run else "sent")
    if not reports:
        say("[dim]nothing is due[/]")


def rows_wanted(*, as_json: bool) -> int | None:
    """How many rows of a query are worth reading: a terminal shows the first thousand; None: all of them."""
    return _ROWS_MAX + 1 if console.is_terminal and not as_json else None


def rows(found: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Show the rows of a query; in a terminal the first thousand, their cells cut."""
    if as_json:
        print_json(found)
        return
    shown = found[:_ROWS_MAX] if console.is_terminal else found
    _table(shown)
    if len(found) > len(shown):
        say(f"[dim]there are more than {_ROWS_MAX:,} rows; add a LIMIT, or take them all with --json[/]")


def sources(found: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """List sources."""
    if as_json:
        print_json(found)
        return
    _table([_listed_source(row) for row in found], empty="no [[source]] is configured")


def topics(found: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """List topics; in a terminal a long query is cut."""
    if as_json:
        print_json(found)
        return
    _table(found, cut="query")


def topic_problems(problems: Sequence[str]) -> None:
    """Tell what topics could not find, a line each, beside the output."""
    for problem in problems:
        _errors.print(Text.assemble(("topics  ", "yellow"), problem), soft_wrap=True)


def status(report: Status, *, as_json: bool) -> None:
    """Show how the installation stands."""
    if as_json:
        states = [{"source": name} | (_object(state) if state else {}) for name, state in report.sources]
        print_json({"well": report.well} | _object(report) | {"sources": states})
        return
    committed = f", last commit {report.committed_at:%Y-%m-%d %H:%M} UTC" if report.committed_at else ""
    size = f"{report.archive_bytes / 1e6:,.1f} MB in {counted(report.segments, 'commit')}"
    say(f"[bold]{report.papers:,}[/] papers, {size}{committed}")
    say(f"[dim]{escape(str(report.home))}[/]")
    width = max((len(name) for name, _ in report.sources), default=0)
    for name, state in report.sources:
        _say_state(name, state, width)
    for host in report.hosts:
        say(f"[yellow]held back[/] {escape(_held(host))}")
    said = {name: state.error for name, state in report.sources if state and state.error}
    for verdict in (v for v in report.missing if v.why not in said.get(v.source, "")):
        hang("[red]missing[/] ", escape(f"{verdict.source}: {verdict.line}"))
    for reject in report.rejects:
        say(f"[yellow]refused[/] {escape(f'{reject.source}: {reject.entry_id}: {reject.reason}')}")
    for at in report.backfills:
        span = f"{at.since} to {at.until} has come to {at.day}, {counted(at.listed, 'entry', 'entries')} so far"
        say(f"[cyan]backfill[/] {escape(f'{at.source}: {span} (paperwire backfill {at.source} --since {at.since})')}")
    if report.unpublished_segments:
        say(f"[yellow]{counted(report.unpublished_segments, 'commit')} not published yet[/] (paperwire run)")
    for edition in report.unsent:
        say(f"[yellow]not everybody got[/] {escape(edition)} (paperwire send --due)")
    if report.editions:
        say(f"[dim]newest editions: {escape(', '.join(report.editions[:5]))}[/]")


def _held(host: HeldHost) -> str:
    left = max(0, host.requests_per_day_max - host.requests_today)
    budget = f"{left:,} of {host.requests_per_day_max:,} requests left today"
    until = f" until {host.until:%Y-%m-%d %H:%M:%S} UTC" if host.until else ""
    return f"{host.host}: {host.reason}{until}; {budget}" if host.reason else f"{host.host}: {budget}"


def _say_source(report: SourceReport, name_width: int) -> None:
    """One line for a source; what was lost, and what may be worth knowing, below it."""
    name = escape(f"{report.source}:".ljust(name_width + 1))
    if not report.ok:
        hang(f"[red]✗[/] {name} ", f"[red]{escape(report.error or '')}[/]")
        return
    mark = "[yellow]![/]" if report.trouble or report.rejected else "[green]✓[/]"
    said = [f"{n} {w}" for n, w in ((report.new, "new"), (report.revised, "revised"), (report.other, "other")) if n]
    line = ", ".join(said) or "nothing new"
    line += f" [dim]of {counted(report.entries, 'entry', 'entries')}[/]" if report.entries else ""
    refused = f", [yellow]{report.rejected} refused[/] (paperwire status)" if report.rejected else ""
    hang(f"{mark} {name} ", line + refused)
    for problem in report.trouble:
        hang("    ", f"[yellow]{escape(problem)}[/]")
    if report.notes:
        hang("    ", f"[dim]{escape(_notes(report.notes))}[/]")


def _say_state(name: str, state: SourceState | None, name_width: int) -> None:
    """One line for how a source stands."""
    shown = escape(f"{name}:".ljust(name_width + 1))
    if state is None:
        say(f"[dim]·[/] {shown} not read yet")
        return
    read = f"read {state.checked_at:%Y-%m-%d %H:%M}"
    if state.error:
        since = f"since {state.failing_since:%Y-%m-%d %H:%M}" if state.failing_since else ""
        last = f"last success {state.succeeded_at:%Y-%m-%d %H:%M}" if state.succeeded_at else "never read so far"
        mark = "[yellow]![/]" if state.succeeded_at == state.checked_at else "[red]✗[/]"
        hang(f"{mark} {shown} ", f"[red]{escape(state.error)}[/] ({since}; {last})")
        return
    batch = f", batch of {state.batch_on}" if state.batch_on else ""
    notes = f" [dim]({escape(_notes(state.notes))})[/]" if state.notes else ""
    hang(f"[green]✓[/] {shown} ", f"well, {read}{batch}{notes}")


def _say_deliveries(reports: Sequence[DeliveryReport], verb: str) -> None:
    """A line for each edition that somebody got or should have got; many, and those with nothing new, in one line."""
    telling = [r for r in reports if r.sent or r.deferred or r.failed] if len(reports) > 1 else list(reports)
    telling.sort(key=lambda r: not (r.deferred or r.failed))
    for report in telling[:_EDITIONS_MAX]:
        _say_delivery(report, verb)
    if len(telling) > _EDITIONS_MAX:
        say(f"  and {counted(len(telling) - _EDITIONS_MAX, 'edition')} more {verb}")
    if silent := len(reports) - len(telling):
        say(f"  [dim]{counted(silent, 'edition')} with nothing that was not mailed before[/]")


def _say_delivery(report: DeliveryReport, verb: str) -> None:
    parts = [f"{report.sent} {verb}"]
    counts = ((report.deferred, "deferred"), (report.failed, "refused"), (report.skipped, "skipped"))
    parts += [f"{n} {word}" for n, word in counts if n]
    say(f"  [cyan]{escape(report.edition_id)}[/] {', '.join(parts)}")
    for reason in report.reasons:
        hang("    ", f"[yellow]{escape(reason)}[/]")


def _listed_source(row: Mapping[str, Any]) -> dict[str, Any]:
    """A source as the list shows it: what is usual is left out."""
    elsewhere = "" if row["from"] == "the provider" else f" at {row['from']}"
    zone = "" if row["time zone"] == "UTC" else f" {row['time zone']}"
    return {
        "source": row["source"],
        "kind": row["kind"],
        "schedule": row["schedule"] + zone,
        "reads": row["reads"] + elsewhere,
    }


def _notes(notes: Sequence[str]) -> str:
    more = f"; and {len(notes) - _NOTES_MAX} more" if len(notes) > _NOTES_MAX else ""
    return "; ".join(notes[:_NOTES_MAX]) + more


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with what it counts."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def say(markup: str) -> None:
    """Print one line, whole: the terminal breaks it where it has to."""
    console.print(markup, soft_wrap=True)


def hang(prefix: str, markup: str, to: Console = console) -> None:
    """Print `prefix` and a text; in a terminal what does not fit goes on below the beginning of the text."""
    first, text = Text.from_markup(prefix), Text.from_markup(markup)
    room = to.width - first.cell_len
    lines = text.wrap(to, room) if to.is_terminal and room >= _KEPT_WHOLE else [text]
    for line in lines:
        line.rstrip()
        to.print(Text.assemble(first, line), soft_wrap=True)
        first = Text(" " * first.cell_len)


def _table(found: Sequence[Mapping[str, Any]], *, cut: str = "", empty: str = "no rows") -> None:
    """Print rows: as a table where that fits, else each row on lines of its own. In a terminal `cut` is cut to fit."""
    if not found:
        say(f"[dim]{escape(empty)}[/]")
        return
    names = [str(name) for name in found[0]]
    cells = [[_cell(value) for value in row.values()] for row in found]
    widths = [max(map(cell_len, column)) for column in zip(names, *cells, strict=True)]
    if cut and console.is_terminal:
        position = names.index(cut)
        widths[position] = max(_KEPT_WHOLE, console.width - sum(widths) - 2 * (len(widths) - 1) + widths[position])
        for row in cells:
            row[position] = _shortened(row[position], widths[position])
    least = sum(width if width <= _KEPT_WHOLE else _COLUMN_MIN for width in widths) + 2 * (len(widths) - 1)
    if console.is_terminal and least > console.width:
        _standing_rows(names, cells)
        return
    numeric = [
        all(isinstance(value, int | float | Decimal) for value in row) for row in zip(*_values(found), strict=True)
    ]
    _grid(names, cells, widths, numeric)


def _values(found: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    return [list(row.values()) for row in found]


def _grid(names: Sequence[str], cells: Sequence[Sequence[str]], widths: Sequence[int], right: Sequence[bool]) -> None:
    """Print a table; in a pipe each row is one line, however long, without blanks at its end."""
    if not console.is_terminal:
        for row in (names, *cells):
            padded = [_padded(text, width, right=r) for text, width, r in zip(row, widths, right, strict=True)]
            _write("  ".join(padded).rstrip() + "\n")
        return
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, width, is_right in zip(names, widths, right, strict=True):
        justify: Literal["right", "left"] = "right" if is_right else "left"
        grid.add_column(escape(name), justify=justify, no_wrap=width <= _KEPT_WHOLE, overflow="fold")
    for row in cells:
        grid.add_row(*map(escape, row))
    console.print(grid)


def _padded(text: str, width: int, *, right: bool) -> str:
    blank = " " * (width - cell_len(text))
    return blank + text if right else text + blank


def _standing_rows(names: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Print each row as a column of names and values: for tables wider than the terminal."""
    width = max(map(cell_len, names))
    for number, row in enumerate(cells):
        if number:
            say("")
        for name, value in zip(names, row, strict=True):
            hang(f"[bold]{escape(name.ljust(width))}[/]  ", escape(value))


def _cell(value: object) -> str:
    """Return a value on one line."""
    if value is None:
        return ""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    text = " ".join(text.split())
    return _shortened(text, _CELL_CHARACTERS_MAX) if console.is_terminal else text


def _shortened(text: str, width: int) -> str:
    """Return `text` in at most `width` cells, … at its end where something is missing."""
    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1).rstrip()}…"


def _progress(*, quiet: bool, unit: str = "") -> Progress:
    """Bars that leave no trace; none where nobody watches."""
    from rich import progress

    columns: list[progress.ProgressColumn] = [progress.SpinnerColumn(), progress.TextColumn("{task.description}")]
    if unit:
        columns += [progress.BarColumn(None), _rate(unit), progress.TimeRemainingColumn(compact=True)]
    else:
        columns += [progress.BarColumn(), progress.MofNCompleteColumn(), progress.TimeElapsedColumn()]
    return progress.Progress(
        *columns,
        console=console,
        # In a pipe rich would leave an empty line behind.
        disable=quiet or not console.is_terminal,
        transient=True,
        expand=bool(unit),
    )


def _rate(unit: str) -> ProgressColumn:
    """How many are done, and how many a second."""
    from rich.progress import ProgressColumn

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = (task.finished_speed or task.speed) if unit != "%" else None
            return Text(f"{task.completed:,.0f} {unit}{f', {speed:,.0f}/s' if speed else ''}", no_wrap=True)

    return Rate()


def print_json(value: object) -> None:
    """Print one JSON document (RFC 8259)."""
    _write(json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, indent=2) + "\n")


def _write(text: str) -> None:
    """Write text as it is."""
    try:
        # In pieces: with PYTHONUNBUFFERED Python takes no notice of a long write that ends early.
        for start in range(0, len(text), _PIECE_CHARACTERS):
            console.file.write(text[start : start + _PIECE_CHARACTERS])
        console.file.flush()
    except BrokenPipeError:
        console.on_broken_pipe()


def _object(value: Any) -> dict[str, Any]:
    """Return a dataclass as a JSON object."""
    return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}


def _plain(value: object) -> object:
    """Turn anything of ours, and anything DuckDB returns, into what JSON can say."""
    if is_dataclass(value) and not isinstance(value, type):
        return _object(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, float | Decimal):
        return float(value) if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)
