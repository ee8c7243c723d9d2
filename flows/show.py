"""How results look in a terminal, and as JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from flows.asking import Preview, Status
from flows.pipeline import PassReport, SourceReport
from publishers.mail import DeliveryReport
from storage.settings import Settings
from storage.verify import Verification

console = Console(highlight=False)
_errors = Console(stderr=True, highlight=False)
_CELL_CHARACTERS_MAX = 200
_ROWS_MAX = 1_000
_BAR_WIDTH = 40


def fail(message: str) -> None:
    """Say on standard error, in one line, what went wrong."""
    _errors.print(f"[bold red]paperwire:[/] {escape(message)}", soft_wrap=True)


def as_document(value: object) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(_plain(value), ensure_ascii=False, indent=2) + "\n")


class PassProgress:
    """What a pass shows while it runs: a line for each source as it is done, a bar for pages."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._sources = progress.add_task("reading sources", total=total)
        self._pages = progress.add_task("publishing", total=None, visible=False)

    def source_done(self, report: SourceReport) -> None:
        """Say what one source brought."""
        self._progress.console.print(_source_line(report))
        self._progress.advance(self._sources)

    def pages_done(self, done: int, total: int) -> None:
        """Move the bar of pages."""
        self._progress.update(self._pages, completed=done, total=total, visible=True)


@contextmanager
def pass_progress(*, quiet: bool, total: int) -> Iterator[PassProgress]:
    """Show the progress of a pass; nothing where `quiet`."""
    with _progress(quiet=quiet) as progress:
        yield PassProgress(progress, total)


@contextmanager
def bar(label: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show one bar; yields the function that moves it."""
    with _progress(quiet=quiet) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def pass_report(report: PassReport, settings: Settings, *, as_json: bool) -> None:
    """Sum up a pass."""
    if as_json:
        as_document(report)
        return
    new, revised = sum(s.new for s in report.sources), sum(s.revised for s in report.sources)
    published = report.publish
    files = f"{published.files_written} files written" if published and published.files_written else "no file changed"
    console.print(f"[bold]{new}[/] new, [bold]{revised}[/] revised · {files} · {settings.home / 'site' / 'index.html'}")
    for line in published.left_out if published else ():
        console.print(f"  [yellow]left out:[/] {escape(line)}", soft_wrap=True)
    deliveries(report.deliveries, dry_run=False, as_json=False)


def deliveries(reports: Sequence[DeliveryReport], *, dry_run: bool, as_json: bool) -> None:
    """Say what was mailed."""
    if as_json:
        as_document(reports)
        return
    for report in reports:
        verb = "would be sent" if dry_run else "sent"
        parts = [f"{report.sent} {verb}"]
        parts += [f"{n} {word}" for n, word in ((report.deferred, "deferred"), (report.failed, "refused")) if n]
        console.print(f"  [cyan]{escape(report.edition_id)}[/] {', '.join(parts)}")
        for reason in report.reasons:
            console.print(f"    [yellow]{escape(reason)}[/]", soft_wrap=True)


def preview(found: Preview, *, as_json: bool) -> None:
    """Show what a query would have delivered."""
    if as_json:
        as_document(found)
        return
    busiest = max((n for _, n in found.days), default=0) or 1
    for day, count in found.days:
        width = round(_BAR_WIDTH * count / busiest)
        console.print(f"{day:%a %d %b} [cyan]{'█' * width}[/]{' ' if width else ''}{count or '[dim]·[/]'}")
    per_day = found.total / max(len(found.days), 1)
    console.print(f"[bold]{found.total}[/] papers in {len(found.days)} days, {per_day:.1f} a day")
    for paper in found.sample:
        console.print(f"  [cyan]{escape(paper.paper_id)}[/] {escape(paper.title)}", soft_wrap=True)


def rows(found: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Show the rows of a query."""
    if as_json:
        as_document(found)
        return
    _print_table(None, found[:_ROWS_MAX])
    if len(found) > _ROWS_MAX:
        console.print(f"[dim]{len(found) - _ROWS_MAX} more rows; add a LIMIT, or take them all with --json[/]")


def table(title: str, found: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Show a short list under a title."""
    if as_json:
        as_document(found)
    else:
        _print_table(title, found)


def status(report: Status, *, as_json: bool) -> None:
    """Show how the installation stands."""
    if as_json:
        as_document(report)
        return
    committed = f", last commit {report.committed_at:%Y-%m-%d %H:%M} UTC" if report.committed_at else ""
    size = f"{report.archive_bytes / 1e6:.1f} MB in {report.segments} segments"
    console.print(f"[bold]{report.papers:,}[/] papers, {size}{committed} · {report.home}")
    _print_table(None, [_source_row(name, state) for name, state in report.sources])
    for gap in report.gaps:
        console.print(f"[red]gap[/] {escape(gap.source)}: the batch of {gap.day} was never read")
    for reject in report.rejects:
        line = f"{reject.source}: {reject.entry_id}: {reject.reason}"
        console.print(f"[yellow]refused[/] {escape(line)}", soft_wrap=True)
    if report.unpublished_segments:
        console.print(f"[yellow]{report.unpublished_segments} commits wait to be published[/] (paperwire run)")
    for edition in report.unsent:
        console.print(f"[yellow]not everybody got[/] {escape(edition)} (paperwire send --due)")
    if report.editions:
        console.print(f"[dim]newest editions: {escape(', '.join(report.editions[:5]))}[/]")


def verification(found: Verification, *, as_json: bool) -> None:
    """Show what `verify` found."""
    if as_json:
        as_document(found)
        return
    for fault in found.faults:
        console.print(f"[bold red]fault[/] {escape(fault)}", soft_wrap=True)
    verdict = f"[bold red]{len(found.faults)} faults[/]" if found.faults else "[bold green]all is as committed[/]"
    console.print(f"{found.segments} segments, {found.papers:,} papers, {found.sightings:,} sightings: {verdict}")


def _source_line(report: SourceReport) -> str:
    if not report.ok:
        return f"[red]✗[/] {escape(report.source)}: [red]{escape(report.error or '')}[/]"
    said = [f"{n} {w}" for n, w in ((report.new, "new"), (report.revised, "revised"), (report.other, "other")) if n]
    trouble = [*report.problems, *(f"the batch of {day} was never read" for day in report.gaps)]
    mark = "[yellow]![/]" if trouble or report.rejected else "[green]✓[/]"
    line = f"{mark} {escape(report.source)}: {', '.join(said) or 'nothing new'} [dim]of {report.entries} entries[/]"
    if report.rejected:
        line += f", [yellow]{report.rejected} refused[/] (paperwire status)"
    return "\n".join([line, *(f"    [yellow]{escape(t)}[/]" for t in trouble), *_note_lines(report.notes)])


def _note_lines(notes: Sequence[str]) -> list[str]:
    return [f"    [dim]{escape(note)}[/]" for note in notes]


def _source_row(name: str, state: Any) -> dict[str, Any]:
    if state is None:
        return {"source": name, "last read": "never", "last success": "", "batch of": "", "state": "not read yet"}
    since = f" (since {state.failing_since:%Y-%m-%d %H:%M})" if state.failing_since else ""
    return {
        "source": name,
        "last read": f"{state.checked_at:%Y-%m-%d %H:%M}",
        "last success": f"{state.succeeded_at:%Y-%m-%d %H:%M}" if state.succeeded_at else "never",
        "batch of": str(state.batch_on or ""),
        "state": f"{state.error}{since}" if state.error else "; ".join(state.notes) or "well",
    }


def _print_table(title: str | None, found: Sequence[dict[str, Any]]) -> None:
    if not found:
        console.print("[dim]no rows[/]")
        return
    grid = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in found[0]:
        numeric = all(isinstance(r[name], int | float) for r in found)
        grid.add_column(escape(name), justify="right" if numeric else "left", overflow="fold")
    for row in found:
        grid.add_row(*(escape(_cell(value)) for value in row.values()))
    console.print(grid)


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= _CELL_CHARACTERS_MAX else text[: _CELL_CHARACTERS_MAX - 1] + "…"


def _progress(*, quiet: bool) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=quiet,
        transient=True,
    )


def _plain(value: object) -> object:
    """Turn anything of ours into what JSON can say."""
    if is_dataclass(value) and not isinstance(value, type):
        return {k: _plain(v) for k, v in asdict(value).items()}
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value
