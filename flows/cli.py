"""The `paperwire` command: it parses, calls one function, and shows what came of it."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import CycloptsError, Parameter
from cyclopts.validators import Number

# Whatever is slow to import is imported by the command that needs it: `--help` answers at once.
from flows import archive_commands, push_commands, show, show_push
from flows.command_app import (
    ARCHIVE,
    COMMON,
    FAILED,
    INCOMPLETE,
    INTERRUPTED,
    LOOK,
    OK,
    UNSENT,
    USAGE,
    WORK,
    Common,
    app,
    help_of,
    moment,
)
from storage.errors import ArchiveError, ConfigError, MailError, PaperwireError, QueryError

if TYPE_CHECKING:
    from flows.pipeline import PassReport
    from publishers.mail import DeliveryReport

archive_commands.register(app)
push_commands.register(app)
_DAYS_MAX = 36_500
_COVERAGE_DAYS_MAX = 30  # what is judged
_RUN_HELP = help_of(
    "paperwire run",
    "paperwire run --source hf-daily",
    "paperwire run --now 2026-06-02T06:00:00Z     as if it were that moment",
    "paperwire run --json > pass.json",
)


@app.command(group=WORK, help_epilogue=_RUN_HELP)
def run(*, now: str | None = None, source: str | None = None, common: Common = COMMON) -> int:
    """Do one pass: read the sources, publish what changed, send what is due. Needs no server.

    Parameters
    ----------
    now
        Set the clock, e.g. 2026-06-02T06:00:00Z, so that a past day can be replayed.
    source
        Read only this source; `paperwire sources` lists them.
    """
    settings, clock = common.settings(), moment(now, "--now")
    names = [settings.source_named(source).name] if source is not None else [s.name for s in settings.source]
    from flows.asking import topic_problems
    from flows.pipeline import run_pass

    with show.pass_progress(quiet=common.json, total=len(names), names=names) as progress:
        report = run_pass(settings, now=clock, only=source, on_source=progress.source_done, on_page=progress.pages_done)
    show.pass_report(report, settings, as_json=common.json)
    show.topic_problems(topic_problems(settings.home))
    if not common.json:
        show_push.push_report(report.push, whole=False)
    return _code_of(report)


@app.command(group=WORK, help_epilogue=help_of("paperwire up", "paperwire up --config lab.toml"))
def up(*, config: Path | None = None) -> int:
    """Run everything until Ctrl-C: schedules, the ingest → publish trigger, the Prefect pages and the web site.

    Parameters
    ----------
    config
        The configuration to use.
    """
    from flows.supervisor import run_up

    return run_up(Common(config=config).settings(), console=show.console)


@app.command(group=WORK, help_epilogue=help_of("paperwire demo --once", "paperwire demo --port 0"))
def demo(*, once: bool = False, port: int = 8000, home: Path | None = None) -> int:
    """Show it on real papers: replay a week from a local server, publish, and serve the result.

    Parameters
    ----------
    once
        End when everything is published instead of serving it.
    port
        Serve on this port, else on 8000; 0 takes a free one.
    home
        Keep the demo's data here instead of ./.demo.
    """
    from flows.demo import run_demo

    return run_demo(home=(home or Path(".demo")).resolve(), once=once, port=port)


_SEND_HELP = help_of(
    "paperwire send --due --dry-run",
    "paperwire send --due",
    "paperwire send daily/language-models/2026-06-02",
)


@app.command(group=WORK, help_epilogue=_SEND_HELP)
def send(edition: str | None = None, /, *, due: bool = False, dry_run: bool = False, common: Common = COMMON) -> int:
    """Send one edition to whoever has not got it, or all that is due.

    Parameters
    ----------
    edition
        Its id, e.g. daily/language-models/2026-06-02; `paperwire status` lists the newest.
    due
        Cut and send every edition that is due, and finish what an earlier call left pending.
    dry_run
        Say what would be sent, and send nothing.
    """
    if due == bool(edition):
        raise ConfigError("name an edition, or say --due")
    settings, clock = common.settings(), datetime.now(UTC)
    from flows.asking import require_archive, require_edition
    from flows.pipeline import newsletter, send_edition_named

    require_archive(settings.home)
    if edition is None:
        reports = newsletter(settings, now=clock, dry_run=dry_run)
    else:
        require_edition(settings.home, edition)
        reports = (send_edition_named(settings, edition, now=clock, dry_run=dry_run),)
    show.deliveries(reports, dry_run=dry_run, as_json=common.json)
    return UNSENT if _undelivered(reports) else OK


_PREVIEW_HELP = help_of(
    "paperwire preview 'category:cs.CL (\"language model*\" OR LLM*) -survey'",
    "paperwire preview 'title:benchmark* votes:>10' --days 90",
    "docs/queries.md teaches the language.",
)


@app.command(group=LOOK, help_epilogue=_PREVIEW_HELP)
def preview(
    query: str,
    /,
    *,
    days: Annotated[int, Parameter(validator=Number(gte=1, lte=_DAYS_MAX))] = 30,
    common: Common = COMMON,
) -> int:
    """Show what a query would have delivered: how many papers a day, the newest of them, and how to subscribe to it.

    Parameters
    ----------
    query
        In quotes, e.g. 'diffusion -video'.
    days
        How far to look back from the newest paper in the archive; 30 unless given.
    """
    from flows import show_preview
    from flows.asking import preview_query
    from flows.pipeline import topics_of
    from storage.likes import folder_of
    from storage.settings import data_home

    settings = common.settings_if_any()
    asked, found = preview_query(
        data_home(), query, days=days, now=datetime.now(UTC), folder=folder_of(settings) if settings else None
    )
    show_preview.preview(
        found,
        base_url=settings.site.base_url if settings else None,
        topics=[topic.slug for topic in topics_of(settings)] if settings else (),
        moves=asked.moves,
        as_json=common.json,
    )
    return OK


_WHY_HELP = help_of(
    "paperwire why 2606.02584",
    "paperwire why 2606.02584 agents                              a topic, by its slug",
    "paperwire why 2606.02584 '\"language model*\" -survey'        or any query",
)


@app.command(group=LOOK, help_epilogue=_WHY_HELP)
def why(paper: str, query: str | None = None, /, *, common: Common = COMMON) -> int:
    """Explain of which topics a paper is and which words brought it there; or what it says to each term of a query.

    Parameters
    ----------
    paper
        Its id, or any other it is known by: arXiv id, DOI, OpenReview or PubMed id, or a link with one of them.
    query
        A topic's slug, or a query in quotes; unless given all topics are looked at.
    """
    from flows import show_why
    from flows.explaining import explain
    from flows.pipeline import topics_of
    from storage.likes import folder_of
    from storage.settings import data_home
    from storage.topics import shipped_topics

    settings = common.settings_if_any()
    topics = topics_of(settings) if settings else shipped_topics()
    folder = folder_of(settings) if settings else None
    found = explain(data_home(), paper, query, topics=topics, now=datetime.now(UTC), folder=folder)
    show_why.why(found, as_json=common.json)
    return OK


@app.command(group=LOOK, help_epilogue=help_of("paperwire status", "paperwire status --json"))
def status(*, common: Common = COMMON) -> int:
    """Say how every source stands, what is missing, and what waits to be published or sent."""
    settings = common.settings()
    from flows.asking import status_of

    report = status_of(settings, now=datetime.now(UTC))
    show.status(report, as_json=common.json)
    if not common.json:
        show_push.push_states(report.pushes)
    return OK if report.well else INCOMPLETE


_COVERAGE_HELP = help_of(
    "paperwire coverage",
    "paperwire coverage --source arxiv-rss:cs.CL --days 30",
    "paperwire sql 'SELECT * FROM coverage WHERE missing'",
    "Ends with 3 where something is missing, so that cron can tell you.",
)


@app.command(group=LOOK, help_epilogue=_COVERAGE_HELP)
def coverage(
    *,
    days: Annotated[int, Parameter(validator=Number(gte=1, lte=_COVERAGE_DAYS_MAX))] = 14,
    source: str | None = None,
    common: Common = COMMON,
) -> int:
    """Say for each source and day whether everything came that was expected, and why not.

    Parameters
    ----------
    days
        How far to look back; 14 unless given, 30 at most.
    source
        Look at this source only; `paperwire sources` lists them.
    """
    settings = common.settings()
    if source is not None:
        settings.source_named(source)
    from flows import show_coverage
    from flows.asking import coverage_of

    found = coverage_of(settings, days=days, only=source, now=datetime.now(UTC))
    show_coverage.coverage(found, as_json=common.json)
    return INCOMPLETE if found.missing else OK


@app.command(group=LOOK, help_epilogue=help_of("paperwire sources", "paperwire sources --json"))
def sources(*, common: Common = COMMON) -> int:
    """List the configured sources: where each is read from, and when `up` reads it."""
    settings = common.settings()
    from flows.asking import list_sources

    show.sources(list_sources(settings), as_json=common.json)
    return OK


@app.command(group=LOOK, help_epilogue=help_of("paperwire topics", "paperwire topics --json"))
def topics(*, common: Common = COMMON) -> int:
    """List the topics, their queries, and how many papers each holds."""
    settings = common.settings()
    from flows.asking import list_topics, topic_problems

    show.topics(list_topics(settings), as_json=common.json)
    show.topic_problems(topic_problems(settings.home))
    return OK


def main() -> None:
    """Run the command line; every failure that is not a mistake of ours is one line and an exit code."""
    sys.exit(_guarded(_run_app))


def _run_app() -> int:
    result = app(sys.argv[1:], print_error=False, exit_on_error=False, result_action="return_value")
    return int(result or OK)


def _guarded(command: Callable[[], int]) -> int:
    """Run `command` and return its exit code, or that of the error it ends with."""
    try:
        return command()
    except KeyboardInterrupt:
        show.fail("interrupted; what was committed stays committed")
        return INTERRUPTED
    except CycloptsError as error:
        show.fail(f"{str(error).strip()} See: {' '.join(['paperwire', *(error.command_chain or ())])} --help")
        return USAGE
    except QueryError as error:
        show.fail_query(error)
        return USAGE
    except PaperwireError as error:
        show.fail(str(error))
        return _exit_code(error)
    except OSError as error:
        # Files, disks and terminals fail without a mistake of ours; where it matters more is said on the way here.
        place = f"{error.filename}: " if error.filename else ""
        show.fail(f"{place}{error.strerror or error}")
        return ARCHIVE if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS) else FAILED


def _exit_code(error: PaperwireError) -> int:
    if isinstance(error, ConfigError):
        return USAGE
    if isinstance(error, ArchiveError):
        return ARCHIVE
    return UNSENT if isinstance(error, MailError) else FAILED


def _code_of(report: PassReport) -> int:
    """The exit code of a pass; an entry that was refused is missing as well, and must not be so silently."""
    if not report.well or any(s.rejected for s in report.sources):
        return INCOMPLETE
    return UNSENT if _undelivered(report.deliveries) else OK


def _undelivered(reports: tuple[DeliveryReport, ...]) -> bool:
    return any(r.failed or r.deferred for r in reports)


if __name__ == "__main__":
    main()
