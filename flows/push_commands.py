"""`paperwire push`: tell the hub and the webhooks now, say what would be told, or send a test message."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flows import show_push
from flows.command_app import COMMON, OK, UNSENT, WORK, Common, help_of

if TYPE_CHECKING:
    from cyclopts import App

_PUSH_HELP = help_of(
    "paperwire push --dry-run",
    "paperwire push",
    "paperwire push --test lab-chat",
)


def register(app: App) -> None:
    """Put the command of this file on `app`."""
    app.command(push, group=WORK, help_epilogue=_PUSH_HELP)


def push(*, dry_run: bool = False, test: str | None = None, common: Common = COMMON) -> int:
    """Tell the hub and the webhooks of what was published and they do not know yet.

    Parameters
    ----------
    dry_run
        Say what the webhooks would be told, and tell nobody.
    test
        Send one test message to the webhook of this name, and nothing else.
    """
    settings, clock = common.settings(), datetime.now(UTC)
    from flows import pipeline

    if test is not None:
        trial = pipeline.push_trial(settings, test, now=clock)
        show_push.trial_report(trial, as_json=common.json)
        return OK if trial.reason is None else UNSENT
    from flows.asking import require_archive

    require_archive(settings.home)
    report = pipeline.push(settings, now=clock, dry_run=dry_run)
    show_push.push_report(report, dry_run=dry_run, as_json=common.json)
    return OK if report.well or dry_run else UNSENT
