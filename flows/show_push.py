"""How pushes look in a terminal: what one did, and how the hub and the webhooks stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from flows.show import counted, hang, print_json, say

if TYPE_CHECKING:
    from flows.push_state import PushState
    from publishers.push import PushReport, WebhookReport


def push_report(report: PushReport, *, dry_run: bool = False, as_json: bool = False, whole: bool = True) -> None:
    """Say whom a push told of what; nothing where there was nothing to tell, unless it is to be told `whole`."""
    if as_json:
        print_json(report)
        return
    pings = report.pings
    if pings.pinged or pings.waiting:
        waiting = f", {pings.waiting} waiting" if pings.waiting else ""
        say(f"  [cyan]hub[/] {counted(pings.pinged, 'feed')} pinged{waiting}")
    if pings.reason:
        hang("    ", f"[yellow]{escape(pings.reason)}[/]")
    for webhook in report.webhooks:
        if whole or webhook.sent or webhook.began or not webhook.well:
            _say_webhook(webhook, dry_run=dry_run)
    if report.trouble:
        hang("  [yellow]not pushed:[/] ", escape(report.trouble))
    if whole and not report.webhooks and not pings.pinged and not pings.waiting and not report.trouble:
        say("[dim]nothing to push[/]")


def trial_report(report: WebhookReport, *, as_json: bool) -> None:
    """Say whether a test message arrived."""
    if as_json:
        print_json(report)
    elif report.reason is None:
        say(f"[green]✓[/] {escape(report.name)}: the test message arrived")
    else:
        hang(f"[red]✗[/] {escape(report.name)}: ", f"[red]{escape(report.reason)}[/]")


def push_states(states: tuple[PushState, ...]) -> None:
    """A line for the hub and for each webhook."""
    width = max((len(state.name) for state in states), default=0)
    for state in states:
        name = escape(f"{state.name}:".ljust(width + 1))
        last = f"last sent {state.sent_at:%Y-%m-%d %H:%M} UTC" if state.sent_at else "nothing sent yet"
        waiting = f", {counted(state.waiting, state.unit)} waiting" if state.waiting else ""
        rests = f", rests until {state.rests_until:%Y-%m-%d %H:%M} UTC" if state.rests_until else ""
        refused = f", {counted(state.refused, 'message')} refused" if state.refused else ""
        mark = "[yellow]![/]" if state.reason else "[green]✓[/]"
        reason = f": [yellow]{escape(state.reason)}[/]" if state.reason else ""
        hang(f"{mark} push to {name} ", f"{last}{waiting}{refused}{rests}{reason}")


def _say_webhook(report: WebhookReport, *, dry_run: bool) -> None:
    verb = "would be sent" if dry_run else "sent"
    parts = [f"{counted(report.sent, 'message')} of {counted(report.papers, 'paper')} {verb}"] if report.sent else []
    parts += ["new: it is told of what comes from now on"] if report.began else []
    parts += [f"{report.waiting} waiting"] if report.waiting else []
    parts += [f"{report.refused} refused"] if report.refused else []
    parts += ["rests after so many refusals (paperwire push --test wakes it)"] if report.resting else []
    say(f"  [cyan]{escape(report.name)}[/] {', '.join(parts) or 'nothing new'}")
    if report.reason:
        hang("    ", f"[yellow]{escape(report.reason)}[/]")
