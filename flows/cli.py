"""The `paperwire` command: it parses, calls one function, and shows what came of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from flows import show
from storage.errors import ArchiveError, ConfigError, MailError, PaperwireError, QueryError
from storage.settings import Settings, config_path, load_settings

OK, FAILED, USAGE, INCOMPLETE, UNSENT, ARCHIVE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
_EXIT_CODES = """
Exit codes: 0 all well · 1 it could not be done · 2 the command, the configuration or a query is wrong ·
3 done, but a source failed or has a gap · 4 done, but a mail could not be delivered ·
5 the archive is damaged or cannot be written · 130 interrupted.

Settings: --config FILE, else $PAPERWIRE_CONFIG, else ./paperwire.toml. Data: $PAPERWIRE_HOME, else ./.paperwire.
"""

app = App(
    name="paperwire",
    help="A wire service for new papers: one entry per paper, feeds and newsletters by topic, SQL over all of it.",
    help_epilogue=_EXIT_CODES,
    version=lambda: version("paperwire"),
    default_parameter=Parameter(negative=()),
)


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """What every command takes."""

    config: Annotated[Path | None, Parameter(help="The configuration to use.")] = None
    json: Annotated[bool, Parameter(help="Print one JSON document instead of a table.")] = False

    def settings(self) -> Settings:
        """The settings in force. Raises ConfigError."""
        return load_settings(config_path(self.config))


_COMMON = Common()


@app.command
def run(*, now: str | None = None, source: str | None = None, common: Common = _COMMON) -> int:
    """Do one pass: read the sources, publish what changed, send what is due. Needs no server.

    Parameters
    ----------
    now
        Set the clock, e.g. 2026-06-02T06:00:00Z, so that a past day can be replayed.
    source
        Read only this source.
    """
    from flows.pipeline import run_pass

    settings, clock = common.settings(), _moment(now)
    with show.pass_progress(quiet=common.json, total=1 if source else len(settings.source)) as progress:
        report = run_pass(settings, now=clock, only=source, on_source=progress.source_done, on_page=progress.pages_done)
    show.pass_report(report, settings, as_json=common.json)
    if any(d.failed or d.deferred for d in report.deliveries) and report.well:
        return UNSENT
    return OK if report.well else INCOMPLETE


@app.command
def up(*, common: Common = _COMMON) -> int:
    """Run everything until Ctrl-C: schedules, the ingest → publish trigger, the Prefect pages and the web site."""
    from flows.supervisor import run_up

    return run_up(common.settings(), console=show.console)


@app.command
def demo(*, once: bool = False, port: int = 8000, home: Path | None = None) -> int:
    """Show it on real papers: replay a week from a local server, publish, and serve the result.

    Parameters
    ----------
    once
        End when everything is published instead of serving it.
    port
        Serve on this port; 0 takes a free one.
    home
        Keep the demo's data here instead of ./.demo.
    """
    from flows.demo import run_demo

    return run_demo(home=(home or Path(".demo")).resolve(), once=once, port=port)


@app.command
def preview(query: str, /, *, days: int = 30, common: Common = _COMMON) -> int:
    """Show what a query would have delivered: how many papers a day, and the newest of them.

    Parameters
    ----------
    query
        For example: 'category:cs.CL ("language model*" OR LLM*) -survey'. docs/queries.md teaches the language.
    days
        How far to look back from the newest paper in the archive.
    """
    from flows.asking import preview_query
    from storage.settings import data_home

    show.preview(preview_query(data_home(), query, days=days, now=datetime.now(UTC)), as_json=common.json)
    return OK


@app.command
def sql(query: str, /, *, common: Common = _COMMON) -> int:
    """Ask the archive in SQL (DuckDB). `paperwire sql "SHOW TABLES"` lists what there is; docs/data.md says what it means."""
    from flows.asking import run_sql
    from storage.settings import data_home

    show.rows(run_sql(data_home(), query), as_json=common.json)
    return OK


@app.command
def status(*, common: Common = _COMMON) -> int:
    """Say how every source stands, what is missing, and what waits to be published or sent."""
    from flows.asking import status_of

    report = status_of(common.settings(), now=datetime.now(UTC))
    show.status(report, as_json=common.json)
    return OK if report.well else INCOMPLETE


@app.command
def verify(*, common: Common = _COMMON) -> int:
    """Read the whole archive and hold every part against the others: checksums, chain, index, tables, editions."""
    from storage.settings import data_home
    from storage.verify import verify as verify_home

    with show.bar("checking segments", quiet=common.json) as progress:
        found = verify_home(data_home(), progress=progress)
    show.verification(found, as_json=common.json)
    return ARCHIVE if found.faults else OK


@app.command
def sources(*, common: Common = _COMMON) -> int:
    """List the configured sources: where each is read from, and when."""
    from flows.asking import list_sources

    show.table("Sources", list_sources(common.settings()), as_json=common.json)
    return OK


@app.command
def topics(*, common: Common = _COMMON) -> int:
    """List the topics, their queries, and how many papers each holds."""
    from flows.asking import list_topics

    show.table("Topics", list_topics(common.settings()), as_json=common.json)
    return OK


@app.command
def send(edition: str | None = None, /, *, due: bool = False, dry_run: bool = False, common: Common = _COMMON) -> int:
    """Send one edition again to whoever has not got it, or all that is due.

    Parameters
    ----------
    edition
        Its id, e.g. daily/language-models/2026-06-02; `paperwire status` lists the newest.
    due
        Cut and send every edition that is due, and finish what an earlier call left pending.
    dry_run
        Say what would be sent, and send nothing.
    """
    from flows.pipeline import newsletter, send_edition_named

    if due == bool(edition):
        raise ConfigError("name an edition, or say --due")
    settings, now = common.settings(), datetime.now(UTC)
    reports = (
        newsletter(settings, now=now, dry_run=dry_run)
        if edition is None
        else (send_edition_named(settings, edition, now=now, dry_run=dry_run),)
    )
    show.deliveries(reports, dry_run=dry_run, as_json=common.json)
    return UNSENT if any(r.failed or r.deferred for r in reports) else OK


def main() -> None:
    """Run the command line; every error of ours is one line on standard error and an exit code."""
    try:
        sys.exit(app(result_action="return_value") or OK)
    except KeyboardInterrupt:
        show.fail("interrupted; what was committed stays committed")
        sys.exit(INTERRUPTED)
    except PaperwireError as error:
        show.fail(str(error))
        sys.exit(_exit_code(error))


def _exit_code(error: PaperwireError) -> int:
    if isinstance(error, ConfigError | QueryError):
        return USAGE
    if isinstance(error, ArchiveError):
        return ARCHIVE
    return UNSENT if isinstance(error, MailError) else FAILED


def _moment(text: str | None) -> datetime:
    """The clock of a pass. A moment without a zone is UTC."""
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"--now {text!r} is not a moment such as 2026-06-02T06:00:00Z") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


if __name__ == "__main__":
    main()
