"""How the commands that look into the archive and tend it look: see show.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING

from rich.markup import escape

from flows import show

if TYPE_CHECKING:
    from flows.backfill_state import Backfill
    from flows.backfilling import BackfillReport
    from flows.enriching import CountReport
    from flows.lookup import Joined, Merger, PaperLife
    from flows.searching import Found
    from flows.upkeep import CompactReport, LoadReport
    from storage.compact import Compaction
    from storage.export import Exported
    from storage.model import Paper
    from storage.repair import Repair
    from storage.verify import Verification

_AUTHORS_MAX = 3
_MEGABYTE = 1_000_000
_UNITS = {"downloading": "bytes", "loading": "entries", "compacting": "rows", "indexing for search": "papers"}
_UNITS |= dict.fromkeys(("asking semantic-scholar", "asking openalex", "asking github"), "papers")


def bars(*, quiet: bool) -> Callable[[str], AbstractContextManager[Callable[[int, int | None], None]]]:
    """A function that opens one bar for each step of some work, by its label."""
    return lambda label: show.bar(label, quiet=quiet, unit=_UNITS.get(label, ""))


def verification(found: Verification, *, as_json: bool) -> None:
    """Show what `verify` found."""
    if as_json:
        show.print_json(found)
        return
    for fault in found.faults:
        show.say(f"[bold red]fault[/] {escape(fault)}")
    faults = show.counted(len(found.faults), "fault")
    verdict = f"[bold red]{faults}[/]" if found.faults else "[bold green]all is as committed[/]"
    sizes = f"{show.counted(found.segments, 'commit')} in {show.counted(found.files, 'file')}"
    show.say(f"{sizes}, {found.papers:,} papers, {found.sightings:,} sightings: {verdict}")


def repair(found: Repair, *, as_json: bool) -> None:
    """Show what `verify --repair` mended and what is left."""
    if as_json:
        show.print_json(found)
        return
    for done in found.done:
        show.say(f"[green]mended[/] {escape(done)}")
    for fault in found.left:
        show.say(f"[bold red]fault[/] {escape(fault)}")
    if found.left:
        left = show.counted(len(found.left), "fault")
        show.say(f"[bold red]{left}[/] that only a backup can mend (docs/operate.md)")
    else:
        show.say("[bold green]all is as committed[/]" + ("" if found.done else "; there was nothing to mend"))


def load(report: LoadReport, *, as_json: bool) -> None:
    """Sum up a bulk load."""
    if as_json:
        show.print_json(report)
        return
    loaded = report.loaded
    counts = (
        (loaded.fresh, "new to the archive"),
        (loaded.changed, "changed"),
        (loaded.known, "known already"),
        (loaded.rejected, "[yellow]refused[/] (paperwire status)"),
    )
    said = ", ".join(f"[bold]{n:,}[/] {what}" for n, what in counts if n)
    show.say(f"{show.counted(loaded.offered, 'entry', 'entries')} of {escape(report.source)}: {said}")
    if report.faults:
        show.say(f"[yellow]{show.counted(report.faults, 'line')} could not be read[/], and nothing else is missing:")
    for line in report.faults_named:
        show.hang("  ", escape(line))
    if report.faults > len(report.faults_named):
        show.say(f"  and {report.faults - len(report.faults_named):,} more")
    if report.compaction:
        show.say(_merged(report.compaction))
    show.say(f"[dim]{escape(report.load_id)}[/]")


@contextmanager
def backfill_bar(source: str, *, quiet: bool) -> Iterator[Callable[[Backfill], None]]:
    """Show how far a backfill is: the day it has come to, entries, and how long still where the source says how many.

    Yields the function that moves it.
    """
    with show.bar(f"reading {source}", quiet=quiet, unit="entries") as move:
        yield lambda at: move(at.listed, at.size, f"{escape(source)}, {at.day} of {at.since} to {at.until}")


def backfill(report: BackfillReport, *, as_json: bool) -> None:
    """Sum up a backfill, done or not."""
    at = report.backfill
    if as_json:
        told = {f.name: getattr(at, f.name) for f in fields(at) if f.name != "left"}
        show.print_json({"well": report.well, "done": report.error is None, "error": report.error} | told)
        return
    known = max(0, at.listed - at.lost - at.refused - at.new - at.changed)
    counts = (
        (at.new, "new to the archive"),
        (at.changed, "changed"),
        (known, "known already"),
        (at.refused, "[yellow]refused[/] (paperwire status)"),
        (at.lost, "[yellow]lost[/]"),
    )
    said = ", ".join(f"[bold]{n:,}[/] {what}" for n, what in counts if n) or "nothing"
    show.say(f"{show.counted(at.listed, 'entry', 'entries')} of {escape(at.source)}: {said}")
    for line in at.lost_named:
        show.hang("  ", f"[yellow]{escape(line)}[/]")
    if at.lost > len(at.lost_named):
        show.say(f"  [yellow]and {at.lost - len(at.lost_named):,} more[/]")
    for line in at.notes:
        show.hang("  ", f"[dim]{escape(line)}[/]")
    if at.noted > len(at.notes):
        show.say(f"  [dim]and {at.noted - len(at.notes):,} more such notes[/]")
    if report.error is None:
        show.say(f"[dim]what changed from {at.since} to {at.until}, in {show.counted(at.requests, 'request')}[/]")
        return
    show.hang("[red]✗[/] ", f"[red]{escape(report.error)}[/]")
    show.say(f"it has come to {at.day}; the same command goes on there")


def counts(reports: Sequence[CountReport], *, dry_run: bool, as_json: bool) -> None:
    """Say what each provider of counts was asked, or would be, and what came."""
    if as_json:
        show.print_json(
            [{"well": r.well, "left": r.left} | {f.name: getattr(r, f.name) for f in fields(r)} for r in reports]
        )
        return
    for report in reports:
        _say_counts(report, dry_run=dry_run)
    if not reports:
        show.say(f"[dim]{escape('nobody is asked: the configuration has no [enrich] with citations or stars')}[/]")


def compaction(report: CompactReport, *, as_json: bool) -> None:
    """Say what a compaction did, what it freed and what it will free."""
    if as_json:
        show.print_json(report)
        return
    lie = f"{show.counted(report.commits, 'commit')} in {show.counted(report.files, 'file')}"
    show.say(_merged(report.compaction) if report.compaction else f"nothing to merge: {lie}")
    if report.files_deleted:
        show.say(f"deleted {show.counted(report.files_deleted, 'retired file')}: {_size(report.bytes_freed)} free")
    if report.files_retired:
        retired = show.counted(report.files_retired, "retired file")
        show.say(f"[dim]{retired}, {_size(report.bytes_retired)}, stay a day for those who still read them[/]")


def history(life: PaperLife, *, as_json: bool) -> None:
    """Tell a paper's life."""
    from publishers.history_text import history as told
    from publishers.history_text import history_data

    paper = life.paper
    if as_json:
        about = {"paper_id": paper.paper_id, "title": paper.title, "aliases": paper.aliases}
        show.print_json(
            about | {"asked": life.asked, "revisions": history_data(life.revisions), "merged": life.mergers}
        )
        return
    if life.asked:
        show.hang(f"{escape(life.asked.paper_id)} is ", f"{escape(paper.paper_id)} now")
    found = told(paper, life.revisions, life.sightings)
    if show.console.is_terminal:
        show.console.print(found)
    else:
        for text in found.lines():
            show.say(escape(text))
    if life.mergers and show.console.is_terminal:
        show.say("")
    for merger in life.mergers:
        _say_merger(merger)


def joined(found: Joined, *, split: bool, as_json: bool) -> None:
    """Say what a merge or a split did."""
    if as_json:
        kept, other = ({"paper_id": p.paper_id, "title": p.title, "aliases": p.aliases} for p in _both(found))
        show.print_json({"kept": kept, "other": other, "reason": found.reason, "seq": found.seq})
        return
    width = max(len(p.paper_id) for p in _both(found))
    for word, paper in zip(("paper", "and  ") if split else ("kept  ", "merged"), _both(found), strict=True):
        show.hang(f"{word}  [cyan]{escape(paper.paper_id.ljust(width))}[/]  ", escape(paper.title))
    if split:
        show.say(f"are two papers again, and nothing joins them by itself (commit {found.seq})")
        return
    aliases = [a for a in found.kept.aliases if not a.startswith(("title:", "not:"))]
    show.hang("known as  ", escape(", ".join(aliases)))
    show.say(f"one paper from now on (commit {found.seq}); undo: paperwire split {escape(found.other.paper_id)}")


def search(found: Sequence[Found], *, as_json: bool) -> None:
    """List the papers that answer a search."""
    if as_json:
        show.print_json(found)
        return
    width = max((len(f.paper_id) for f in found), default=0)
    for one in found:
        names = ", ".join(one.authors[:_AUTHORS_MAX]) + (" and others" if len(one.authors) > _AUTHORS_MAX else "")
        about = " · ".join(filter(None, (f"{one.new_at:%Y-%m-%d}", names)))
        id_, title = f"[cyan]{escape(one.paper_id.ljust(width))}[/]  ", escape(one.title)
        show.hang(id_, f"{title} [dim]· {escape(about)}[/]")
    if not found:
        show.say("[dim]no paper answers[/]")


def exported(found: Exported, *, as_json: bool) -> None:
    """Say what was exported."""
    if as_json:
        show.print_json(found)
        return
    rows = ", ".join(f"{n:,} {name}" for name, n in found.rows.items() if name in ("papers", "revisions", "sightings"))
    files = "" if found.format == "duckdb" else f" in {show.counted(found.files, 'file')}"
    show.say(f"{rows}; {_size(found.size_bytes)}{files}")
    show.say(f"[dim]as of commit {found.seq}, {found.committed_at:%Y-%m-%d %H:%M} UTC[/]")
    show.say(escape(str(found.path)))


def _say_counts(report: CountReport, *, dry_run: bool) -> None:
    """One line for a provider; what went wrong, and why the rest waits, below it."""
    name = f"[cyan]{escape(report.provider)}[/]  "
    if report.error:
        show.hang(f"[red]✗[/] {name}", f"[red]{escape(report.error)}[/]")
        return
    papers = show.counted(report.asked, "paper")
    requests = show.counted(report.requests, "request")
    budget = f"{report.requests_left:,} left today"
    waiting = f"[bold]{report.left:,}[/] left for another day" if report.left else ""
    if dry_run:
        parts = [f"would ask about [bold]{papers}[/] in {requests} ({budget})", waiting]
    elif not report.due:
        parts = ["no paper's turn"]
    else:
        came = f"asked about [bold]{papers}[/] in {requests} ({budget})"
        parts = [came, f"{report.known:,} known", f"[bold]{report.changed:,}[/] changed", waiting]
    mark = "[dim]·[/]" if dry_run else "[yellow]![/]" if report.problems else "[green]✓[/]"
    show.hang(f"{mark} {name}", ", ".join(filter(None, parts)))
    for problem in report.problems:
        show.hang("    ", f"[yellow]{escape(problem)}[/]")
    for note in report.notes:
        show.hang("    ", f"[dim]{escape(note)}[/]")


def _merged(done: Compaction) -> str:
    lie = f"{show.counted(done.papers, 'paper')} and {show.counted(done.history, 'earlier state')}"
    return f"merged {show.counted(done.files, 'file')} into one: {lie}, {_size(done.size_bytes)}"


def _say_merger(merger: Merger) -> None:
    why = f": {merger.reason}" if merger.reason else ""
    show.hang(f"[dim]{merger.at:%Y-%m-%d}[/]  ", f"{escape(merger.paper_id)} became this paper{escape(why)}")


def _both(found: Joined) -> tuple[Paper, Paper]:
    return found.kept, found.other


def _size(size_bytes: int) -> str:
    if size_bytes < _MEGABYTE:
        return f"{size_bytes / 1e3:,.1f} kB"
    return f"{size_bytes / _MEGABYTE:,.1f} MB"
