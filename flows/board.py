"""What `up` prints: where everything is, and one line for each thing that happens."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape

from flows.accounts import (
    count_line,
    delivery_line,
    ingest_line,
    maintain_line,
    publish_line,
    push_line,
    push_troubles,
    without_addresses,
)
from flows.hosting import Report
from flows.pipeline import SourceReport, topics_of
from flows.upkeep import MaintainReport
from publishers.channels import ALL
from publishers.mail import DeliveryReport
from publishers.paths import feed_path
from publishers.push import PushReport
from storage.settings import Settings

NextRead = Callable[[str], datetime]


class Board:
    """One console; every line begins with the time of day in UTC."""

    def __init__(self, settings: Settings, console: Console, site_url: str, *, clock: Callable[[], datetime]) -> None:
        self._settings, self._console, self._site_url, self._clock = settings, console, site_url, clock

    def starting(self) -> None:
        """Say that the site can be read already."""
        self._console.print(f"[bold]Paperwire[/] serves [cyan]{self._site_url}[/]; Prefect is starting …")

    def ready(self, prefect_url: str, next_reads: Mapping[str, datetime], due: Collection[str]) -> None:
        """Show where everything is and when each source is read next; those in `due` are read at once."""
        settings, topics = self._settings, len(topics_of(self._settings))
        feeds = f"{self._site_url}{feed_path(ALL, 'atom')} (.rss, .json; {topics} more in {self._site_url}feeds.opml)"
        rows = {
            "site ": self._site_url,
            "feeds": feeds,
            "flows": f"{prefect_url} (Prefect)",
            "data ": str(settings.home),
            "mail ": _mail(settings),
        }
        lines = [f"  [bold]{name}[/]  [cyan]{escape(value)}[/]" for name, value in rows.items()]
        for name, moment in next_reads.items():
            at_once = "now, then " if name in due else ""
            lines.append(f"  [bold]next[/]   {escape(name)}: {at_once}{when(moment)}")
        self._console.print("[bold green]Paperwire is up[/]; Ctrl-C ends it.", *lines, sep="\n", soft_wrap=True)

    def tell(self, report: Report, next_read: datetime | None = None) -> None:
        """Print what became of a read, publish, edition or night; `next_read` is when a failed source is read again."""
        if isinstance(report, SourceReport):
            self._read(report, next_read)
        elif isinstance(report, DeliveryReport):
            self._line("[green]✓[/]" if not report.failed + report.deferred else "[yellow]![/]", delivery_line(report))
            for reason in report.reasons:
                self._line(" ", without_addresses(reason))
        elif isinstance(report, PushReport):
            self._line("[green]✓[/]" if report.well else "[yellow]![/]", f"pushed: {push_line(report)}")
            for trouble in push_troubles(report):
                self._line(" ", trouble)
        elif isinstance(report, MaintainReport):
            self._line("[green]✓[/]" if report.well else "[red]✗[/]", f"maintained: {maintain_line(report)}")
            for count in report.counts:
                self._line("[green]✓[/]" if count.well else "[yellow]![/]", count_line(count))
        else:
            self._line("[green]✓[/]", f"published: {publish_line(report)}")

    def warn(self, line: str) -> None:
        """Print a line about the installation itself."""
        self._line("[yellow]![/]", line)

    def stopped(self) -> None:
        """Say the last word."""
        self._console.print("Paperwire is stopped; what was committed stays committed.")

    def _read(self, report: SourceReport, next_read: datetime | None) -> None:
        if not report.ok:
            again = f"; tries again in a minute or two, then {when(next_read)}" if next_read else ""
            self._line("[red]✗[/]", f"{report.source}: {ingest_line(report)}{again}")
            return
        self._line("[yellow]![/]" if report.trouble else "[green]✓[/]", f"{report.source}: {ingest_line(report)}")
        for line in report.trouble:
            self._line(" ", line)
        for verdict in report.healed:
            self._line(" ", f"{verdict.source}: {verdict.line} (was {verdict.was})")

    def _line(self, mark: str, text: str) -> None:
        one_line = " ".join(text.split())
        self._console.print(f"[dim]{self._clock():%H:%M:%S}[/] {mark} {escape(one_line)}", soft_wrap=True)


def when(moment: datetime) -> str:
    """Return a moment as `up` writes it."""
    return f"{moment.astimezone(UTC):%a %H:%M} UTC"


def _mail(settings: Settings) -> str:
    if settings.mail is None:
        return "none configured ([mail] in paperwire.toml)"
    to = len(settings.mail.to)
    how = "by SMTP" if settings.mail.smtp_url else f"as .eml files in {settings.home / 'outbox'}"
    return f"{to} {'address' if to == 1 else 'addresses'}, {how}"
