"""The commands that ask the archive (sql, history, search) and tend it: load, backfill, compact, verify and others."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from flows import show, show_archive
from flows.command_app import ARCHIVE, COMMON, INCOMPLETE, INTERRUPTED, LOOK, OK, TEND, USAGE, Common, day, help_of
from storage.errors import ConfigError

if TYPE_CHECKING:
    from storage.settings import Settings

_FOUND_MAX = 10_000
_Limit = Annotated[int, Parameter(validator=Number(gte=1, lte=_FOUND_MAX))]
# `-video` leaves papers out; it is no option.
_Word = Annotated[str, Parameter(allow_leading_hyphen=True)]

_SQL_HELP = help_of(
    'paperwire sql "SHOW TABLES"',
    'paperwire sql "SELECT title, upvotes FROM papers ORDER BY upvotes DESC NULLS LAST LIMIT 5"',
    'paperwire sql --as-of 2026-06-02 "SELECT count(*) FROM papers"',
    'paperwire sql --json "SELECT * FROM papers" > papers.json',
    "docs/data.md has every table and column.",
)


def sql(query: str, /, *, as_of: str | None = None, common: Common = COMMON) -> int:
    """Ask the archive in DuckDB's SQL, read-only; as it stands, or as it stood.

    Parameters
    ----------
    query
        In quotes, e.g. "SELECT count(*) FROM papers".
    as_of
        Ask the archive as it stood at the end of a day (2026-06-02), at a moment (2026-06-02T06:00:00Z) or after the
        commit with a number (17). Times are UTC.
    """
    from flows.asking import SqlError, run_sql
    from storage.settings import data_home
    from storage.snapshots import parse_as_of

    past = None if as_of is None else parse_as_of(as_of)
    try:
        found = run_sql(data_home(), query, rows_max=show.rows_wanted(as_json=common.json), as_of=past)
    except SqlError as error:
        show.fail(str(error))
        return USAGE
    show.rows(found, as_json=common.json)
    return OK


_HISTORY_HELP = help_of(
    "paperwire history arxiv:2606.02584",
    "paperwire history 2606.02584v2                        an id as its source writes it does, too,",
    "paperwire history https://doi.org/10.1000/xyz123      and so does a link",
)


def history(paper: str, /, *, common: Common = COMMON) -> int:
    """Tell a paper's life: when it was announced, revised, published or withdrawn, and which words changed.

    Parameters
    ----------
    paper
        Its id, or any other it is known by: arXiv id, DOI, OpenReview or PubMed id, or a link with one of them.
    """
    from flows.asking import require_archive
    from flows.lookup import life_of
    from storage.settings import data_home

    home = data_home()
    require_archive(home)
    show_archive.history(life_of(home, paper), as_json=common.json)
    return OK


_SEARCH_HELP = help_of(
    "paperwire search sparse attention",
    "paperwire search 'title:\"state space\" -video' --newest",
    "paperwire search author:hinton --limit 50 --json > hinton.json",
    "docs/queries.md teaches the language.",
)


def search(*words: _Word, newest: bool = False, limit: _Limit = 10, common: Common = COMMON) -> int:
    """Find papers by the words of title, abstract and authors; best first, or newest first.

    Parameters
    ----------
    words
        What to search for, in the language of topics, e.g. sparse attention -video.
    newest
        List the newest papers first instead of the best.
    limit
        List at most so many papers; 10 unless given.
    """
    from flows.asking import require_archive
    from flows.searching import find_papers, refresh_search
    from storage.archive import Archive
    from storage.settings import data_home

    home, bars = data_home(), show_archive.bars(quiet=common.json)
    require_archive(home)
    with Archive(home) as archive:
        with bars("indexing for search") as progress:
            refresh_search(archive, progress=progress)
        found = find_papers(archive, " ".join(words), limit=limit, newest_first=newest)
    show_archive.search(found, as_json=common.json)
    return OK


_TRENDING_HELP = help_of(
    "paperwire trending",
    "paperwire trending --span week --topic language-models",
    "paperwire trending --json",
)


def trending(
    *, topic: str | None = None, span: Literal["day", "week", "month"] = "day", common: Common = COMMON
) -> int:
    """List what trends, best first, and say of each paper why: what it gained, and how its score comes about.

    Parameters
    ----------
    topic
        Only papers of this topic; `paperwire topics` lists them.
    span
        What is counted: the last day, week or month before the newest commit.
    """
    from flows import show_trending
    from flows.asking import require_archive
    from storage.settings import data_home

    home = data_home()
    require_archive(home)
    show_trending.trending(show_trending.standing_of(home, span=span, topic=topic), as_json=common.json)
    return OK


_LOAD_HELP = help_of(
    "paperwire load arxiv-metadata-oai-snapshot.json --source arxiv      all of arXiv, as Kaggle has it",
    "paperwire load https://example.org/archive.zip --source arxiv       the same from an address",
    "paperwire load 2024.jsonl.gz 2025.parquet --source arxiv            files of our columns: docs/operate.md",
    "The same files again bring nothing; a load or a download that was cut off goes on",
    "where it stopped. A bad line of a snapshot costs that line: it is named, and the exit code is 3.",
)


def load(*files: str, source: str, load_id: str | None = None, common: Common = COMMON) -> int:
    """Load files of entries by the million: a backfill. It is data and no news: nothing of it is announced or mailed.

    Parameters
    ----------
    files
        arXiv's metadata snapshot, or Parquet or JSON-lines of our columns: .parquet, .jsonl, .json, these two also
        with .gz or in a .zip; or the http(s) address of such a file, which is deleted once it is loaded.
    source
        The name of the source in the archive; one of your sources, or a new name such as arxiv-snapshot.
    load_id
        Load under this name, exactly once; unless given it follows from the names and the bytes of the files.
    """
    if not files:
        raise ConfigError("name a file to load: .parquet, .jsonl, .json, .jsonl.gz, .json.gz or .zip")
    settings, clock = common.settings(), datetime.now(UTC)
    from flows.upkeep import load_files, require_source_name

    require_source_name(source)
    bars = show_archive.bars(quiet=common.json)
    report = load_files(settings, files, source=source, load_id=load_id, now=clock, bars=bars)
    show_archive.load(report, as_json=common.json)
    return OK if report.whole else INCOMPLETE


_BACKFILL_HELP = help_of(
    "paperwire backfill arxiv-oai --since 2005-09-16     all of arXiv: some hours",
    "paperwire backfill arxiv-oai --since 2024-01-01 --until 2024-06-30",
    "Interrupt it as you like: the same command goes on where it stopped. A day is",
    "that of the last change, so a paper of 2005 may come with a later one. Once it",
    "is done, the same command reads all of it again and adds what is missing.",
)


def backfill(
    source: str, /, *, since: str, until: str | None = None, restart: bool = False, common: Common = COMMON
) -> int:
    """Read the past of a source, as far back as you like: what changed there before the days that `run` reads.

    It is data and no news: only of papers that readers were told of before, they are told what changed since.

    Parameters
    ----------
    source
        One of your sources, of kind arxiv-oai.
    since
        The first day to read, e.g. 2005-09-16.
    until
        The last day to read; unless given the last one before those that `run` reads as news.
    restart
        Forget a backfill of the source that was begun with other days.
    """
    first, last = day(since, "--since"), None if until is None else day(until, "--until")
    settings = common.settings()
    from flows.backfilling import backfill as read_past

    try:
        report = read_past(
            settings,
            source,
            since=first,
            until=last,
            restart=restart,
            clock=lambda: datetime.now(UTC),
            reading=show_archive.backfill_bar(source, quiet=common.json),
            bars=show_archive.bars(quiet=common.json),
        )
    except KeyboardInterrupt:
        show.fail("interrupted; the same command goes on where it stopped")
        return INTERRUPTED
    show_archive.backfill(report, as_json=common.json)
    return OK if report.well else INCOMPLETE


_ENRICH_HELP = help_of(
    "paperwire enrich --dry-run",
    "paperwire enrich",
    'paperwire sql "SELECT * FROM votes ORDER BY seen_at DESC LIMIT 5"',
    "[enrich] of the configuration says who is asked, and how often a day.",
    "docs/operate.md names the variables for your keys.",
)


def enrich(*, dry_run: bool = False, common: Common = COMMON) -> int:
    """Ask how often papers are cited and how many stars their code has; `up` does so every night.

    A paper is asked after when it is 1, 3, 7, 14 and 30 days old, then every month; those on lists and in topics
    come first, and what the requests of a day do not reach waits. It is data and no news: nothing of it is announced.

    Parameters
    ----------
    dry_run
        Say what would be asked, and ask nothing.
    """
    settings, clock = _settings_of_archive(common), datetime.now(UTC)
    from flows import enriching

    if dry_run:
        reports = enriching.planned(settings, now=clock)
    else:
        reports = enriching.enrich(settings, now=clock, bars=show_archive.bars(quiet=common.json))
    show_archive.counts(reports, dry_run=dry_run, as_json=common.json)
    return OK if all(report.well for report in reports) else INCOMPLETE


_COMPACT_HELP = help_of("paperwire compact", "paperwire compact --full")


def compact(*, full: bool = False, common: Common = COMMON) -> int:
    """Merge the many small files of the archive into few large ones; `run` and `up` do so by themselves.

    Nothing waits for it and nothing is lost: what was merged stays a day for those who still read it.

    Parameters
    ----------
    full
        Merge everything there is into one file, also what is large already.
    """
    settings, clock = common.settings(), datetime.now(UTC)
    from flows.asking import require_archive
    from flows.upkeep import compact_archive

    require_archive(settings.home)
    bars = show_archive.bars(quiet=common.json)
    show_archive.compaction(compact_archive(settings, full=full, now=clock, bars=bars), as_json=common.json)
    return OK


_VERIFY_HELP = help_of("paperwire verify", "paperwire verify --json", "paperwire verify --repair")


def verify(*, repair: bool = False, common: Common = COMMON) -> int:
    """Read the whole archive and hold every part against the others: checksums, chain, index, tables, editions.

    Parameters
    ----------
    repair
        Mend what can be made again from the rest; what cannot is set aside or named, and nothing is thrown away.
    """
    from flows.asking import require_archive
    from flows.upkeep import mend, verified
    from storage.settings import data_home

    if repair:
        settings = common.settings()
        if not (settings.home / "archive").is_dir():
            require_archive(settings.home)
        with show.bar("mending", quiet=common.json):
            mended = mend(settings, now=datetime.now(UTC))
        show_archive.repair(mended, as_json=common.json)
        return ARCHIVE if mended.left else OK
    home = data_home()
    require_archive(home)
    with show.bar("checking files", quiet=common.json) as progress:
        found = verified(home, progress=progress)
    show_archive.verification(found, as_json=common.json)
    return ARCHIVE if found.faults else OK


_MERGE_HELP = help_of(
    "paperwire merge arxiv:2606.02584 doi:10.1000/xyz123 --reason 'the journal version'",
    "paperwire split doi:10.1000/xyz123 --reason 'another paper after all'       takes it back",
)


def merge(kept: str, other: str, /, *, reason: str, common: Common = COMMON) -> int:
    """Make two papers one. The first goes on under its id, with all that is known of the other.

    Parameters
    ----------
    kept
        The paper that goes on; any of its ids.
    other
        The paper that is the same work; it leaves the lists, and its ids lead to the first.
    reason
        Why they are one; kept for ever with the merge.
    """
    settings = _settings_of_archive(common)
    from flows.lookup import merge as merge_papers

    joined = merge_papers(settings, kept, other, reason=reason, now=datetime.now(UTC))
    show_archive.joined(joined, split=False, as_json=common.json)
    return OK


_SPLIT_HELP = help_of("paperwire split doi:10.1000/xyz123 --reason 'another paper after all'")


def split(paper: str, /, *, reason: str, common: Common = COMMON) -> int:
    """Undo a merge: the paper that was merged away is one of its own again, and stays apart.

    Parameters
    ----------
    paper
        The id it had before it was merged; `paperwire history` of the other names it.
    reason
        Why they are two; kept for ever with the split.
    """
    settings = _settings_of_archive(common)
    from flows.lookup import split as split_papers

    parted = split_papers(settings, paper, reason=reason, now=datetime.now(UTC))
    show_archive.joined(parted, split=True, as_json=common.json)
    return OK


_EXPORT_HELP = help_of(
    "paperwire export papers.duckdb",
    "paperwire export papers --format parquet              papers/year=2026/…, revisions, sightings",
    "paperwire export may.duckdb --as-of 2026-05-31",
    "paperwire export papers.duckdb --force                once more",
)


def export(
    path: Path,
    /,
    *,
    format: Literal["duckdb", "parquet"] | None = None,
    as_of: str | None = None,
    force: bool = False,
    common: Common = COMMON,
) -> int:
    """Write the archive to take away: one DuckDB file with everything in it, or Parquet files by year.

    Parameters
    ----------
    path
        The file or folder to write; it appears when it is whole.
    format
        duckdb or parquet; unless given, duckdb where the path ends in .duckdb, else parquet.
    as_of
        Write the archive as it stood at the end of a day, at a moment, or after a commit; as in `paperwire sql`.
    force
        Replace an export that is there already.
    """
    from flows.asking import require_archive
    from storage.export import export as export_archive
    from storage.settings import data_home
    from storage.snapshots import parse_as_of

    home, past = data_home(), None if as_of is None else parse_as_of(as_of)
    require_archive(home)
    form = format or ("duckdb" if path.suffix == ".duckdb" else "parquet")
    with show.bar("exporting", quiet=common.json, unit="%") as progress:
        done = export_archive(home, path, format=form, as_of=past, force=force, progress=progress)
    show_archive.exported(done, as_json=common.json)
    return OK


def _settings_of_archive(common: Common) -> Settings:
    """The settings, where there is an archive. Raises ConfigError, PaperwireError."""
    from flows.asking import require_archive

    settings = common.settings()
    require_archive(settings.home)
    return settings


def register(app: App) -> None:
    """Give `app` these commands."""
    for command, group, epilogue in (
        (sql, LOOK, _SQL_HELP),
        (history, LOOK, _HISTORY_HELP),
        (search, LOOK, _SEARCH_HELP),
        (trending, LOOK, _TRENDING_HELP),
        (load, TEND, _LOAD_HELP),
        (enrich, TEND, _ENRICH_HELP),
        (backfill, TEND, _BACKFILL_HELP),
        (compact, TEND, _COMPACT_HELP),
        (verify, TEND, _VERIFY_HELP),
        (merge, TEND, _MERGE_HELP),
        (split, TEND, _SPLIT_HELP),
        (export, TEND, _EXPORT_HELP),
    ):
        app.command(command, group=group, help_epilogue=epilogue)
