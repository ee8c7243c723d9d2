"""The `paperwire` command: it parses, calls one function, and shows what came of it."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.validators import Number

# Whatever is slow to import is imported by the command that needs it: `--help` answers at once.
from flows import show
from storage.errors import ArchiveError, ConfigError, MailError, PaperwireError, QueryError

if TYPE_CHECKING:
    from flows.pipeline import PassReport
    from publishers.mail import DeliveryReport
    from storage.settings import Settings

OK, FAILED, USAGE, INCOMPLETE, UNSENT, ARCHIVE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
_DAYS_MAX = 36_500
_EXIT_CODES = """\
Exit codes:
  0    all well
  1    it could not be done
  2    the command, the configuration or a query is wrong
  3    done, but a source failed, has a gap, or an entry was refused
  4    done, but a mail could not be delivered
  5    the archive is damaged or cannot be written
  130  interrupted

Settings: --config FILE, else $PAPERWIRE_CONFIG, else ./paperwire.toml.
Data: $PAPERWIRE_HOME, else ./.paperwire.
"""


def _help(*examples: str) -> str:
    """The last part of a command's help: examples, and what every command has in common."""
    return "\n".join(["Examples:", *(f"  {line}" for line in examples), "", _EXIT_CODES])


app = App(
    name="paperwire",
    help="A wire service for new papers: one entry per paper, feeds and newsletters by topic, SQL over all of it.",
    help_format="plaintext",
    help_epilogue=_help(
        "paperwire demo --once                 a week of real papers, in a minute",
        "paperwire run                         one pass over your sources",
        "paperwire COMMAND --help              what a command takes, with examples",
    ),
    version=lambda: version("paperwire"),
    default_parameter=Parameter(negative=(), show_default=False),
    suppress_keyboard_interrupt=False,  # it would end us without a word
)
_WORK = Group("Commands that read, publish and send", sort_key=1)
_LOOK = Group("Commands that only look", sort_key=2)
app["--help"].group = app["--version"].group = Group("Options", sort_key=3)


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """What nearly every command takes."""

    config: Annotated[Path | None, Parameter(help="The configuration to use.")] = None
    json: Annotated[bool, Parameter(help="Print one JSON document, for programs.")] = False

    def settings(self) -> Settings:
        """The settings in force. Raises ConfigError."""
        from storage.settings import config_path, load_settings

        return load_settings(config_path(self.config))


_COMMON = Common()
_RUN_HELP = _help(
    "paperwire run",
    "paperwire run --source hf-daily",
    "paperwire run --now 2026-06-02T06:00:00Z     as if it were that moment",
    "paperwire run --json > pass.json",
)


@app.command(group=_WORK, help_epilogue=_RUN_HELP)
def run(*, now: str | None = None, source: str | None = None, common: Common = _COMMON) -> int:
    """Do one pass: read the sources, publish what changed, send what is due. Needs no server.

    Parameters
    ----------
    now
        Set the clock, e.g. 2026-06-02T06:00:00Z, so that a past day can be replayed.
    source
        Read only this source; `paperwire sources` lists them.
    """
    settings, clock = common.settings(), _moment(now)
    names = [s.name for s in settings.source]
    if source is not None and source not in names:
        raise ConfigError(f"no source is named {source!r}; known: {', '.join(names) or 'none'}", path=settings.path)
    from flows.pipeline import run_pass

    names = [source] if source else names
    with show.pass_progress(quiet=common.json, total=len(names), names=names) as progress:
        report = run_pass(settings, now=clock, only=source, on_source=progress.source_done, on_page=progress.pages_done)
    show.pass_report(report, settings, as_json=common.json)
    return _code_of(report)


@app.command(group=_WORK, help_epilogue=_help("paperwire up", "paperwire up --config lab.toml"))
def up(*, config: Path | None = None) -> int:
    """Run everything until Ctrl-C: schedules, the ingest → publish trigger, the Prefect pages and the web site.

    Parameters
    ----------
    config
        The configuration to use.
    """
    from flows.supervisor import run_up

    return run_up(Common(config=config).settings(), console=show.console)


@app.command(group=_WORK, help_epilogue=_help("paperwire demo --once", "paperwire demo --port 0"))
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


_SEND_HELP = _help(
    "paperwire send --due --dry-run",
    "paperwire send --due",
    "paperwire send daily/language-models/2026-06-02",
)


@app.command(group=_WORK, help_epilogue=_SEND_HELP)
def send(edition: str | None = None, /, *, due: bool = False, dry_run: bool = False, common: Common = _COMMON) -> int:
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


_PREVIEW_HELP = _help(
    "paperwire preview 'category:cs.CL (\"language model*\" OR LLM*) -survey'",
    "paperwire preview 'title:benchmark* votes:>10' --days 90",
    "docs/queries.md teaches the language.",
)


@app.command(group=_LOOK, help_epilogue=_PREVIEW_HELP)
def preview(
    query: str,
    /,
    *,
    days: Annotated[int, Parameter(validator=Number(gte=1, lte=_DAYS_MAX))] = 30,
    common: Common = _COMMON,
) -> int:
    """Show what a query would have delivered: how many papers a day, and the newest of them.

    Parameters
    ----------
    query
        In quotes, e.g. 'diffusion -video'.
    days
        How far to look back from the newest paper in the archive; 30 unless given.
    """
    from flows.asking import preview_query
    from storage.settings import data_home

    show.preview(preview_query(data_home(), query, days=days, now=datetime.now(UTC)), as_json=common.json)
    return OK


_SQL_HELP = _help(
    'paperwire sql "SHOW TABLES"',
    'paperwire sql "SELECT title, upvotes FROM papers ORDER BY upvotes DESC NULLS LAST LIMIT 5"',
    'paperwire sql --json "SELECT * FROM papers" > papers.json',
    "docs/data.md has every table and column.",
)


@app.command(group=_LOOK, help_epilogue=_SQL_HELP)
def sql(query: str, /, *, common: Common = _COMMON) -> int:
    """Ask the archive in DuckDB's SQL, read-only.

    Parameters
    ----------
    query
        In quotes, e.g. "SELECT count(*) FROM papers".
    """
    from flows.asking import SqlError, run_sql
    from storage.settings import data_home

    try:
        found = run_sql(data_home(), query, rows_max=show.rows_wanted(as_json=common.json))
    except SqlError as error:
        show.fail(str(error))
        return USAGE
    show.rows(found, as_json=common.json)
    return OK


@app.command(group=_LOOK, help_epilogue=_help("paperwire status", "paperwire status --json"))
def status(*, common: Common = _COMMON) -> int:
    """Say how every source stands, what is missing, and what waits to be published or sent."""
    settings = common.settings()
    from flows.asking import status_of

    report = status_of(settings, now=datetime.now(UTC))
    show.status(report, as_json=common.json)
    return OK if report.well else INCOMPLETE


@app.command(group=_LOOK, help_epilogue=_help("paperwire verify", "paperwire verify --json"))
def verify(*, common: Common = _COMMON) -> int:
    """Read the whole archive and hold every part against the others: checksums, chain, index, tables, editions."""
    from flows.asking import require_archive
    from storage.settings import data_home
    from storage.verify import verify as verify_home

    home = data_home()
    require_archive(home)
    with show.bar("checking segments", quiet=common.json) as progress:
        found = verify_home(home, progress=progress)
    show.verification(found, as_json=common.json)
    return ARCHIVE if found.faults else OK


@app.command(group=_LOOK, help_epilogue=_help("paperwire sources", "paperwire sources --json"))
def sources(*, common: Common = _COMMON) -> int:
    """List the configured sources: where each is read from, and when `up` reads it."""
    settings = common.settings()
    from flows.asking import list_sources

    show.sources(list_sources(settings), as_json=common.json)
    return OK


@app.command(group=_LOOK, help_epilogue=_help("paperwire topics", "paperwire topics --json"))
def topics(*, common: Common = _COMMON) -> int:
    """List the topics, their queries, and how many papers each holds."""
    settings = common.settings()
    from flows.asking import list_topics

    show.topics(list_topics(settings), as_json=common.json)
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


def _moment(text: str | None) -> datetime:
    """The clock of a pass. A moment without a zone is UTC."""
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"--now {text!r} is not a moment such as 2026-06-02T06:00:00Z") from error


if __name__ == "__main__":
    main()
