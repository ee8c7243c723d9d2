"""What keeps an archive fast, small and sound: bulk loads, compaction, deleting what is retired, verifying, forgetting.

The command line and the `maintain` flow call these; none needs Prefect.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from flows.bars import Bars, no_bar
from flows.decide import decide
from flows.downloading import Downloader, is_url
from flows.enriching import CountReport, enrich
from flows.fetching import Fetcher
from flows.governor import Governor
from flows.loading import Feed
from flows.packed import LoadError
from flows.pipeline import tidy, topics_of, user_agent_of
from flows.searching import refresh_search
from storage.archive import Archive
from storage.bulk import Loaded, load
from storage.catalog import refresh_catalog
from storage.compact import Compaction, compact, compact_if_due, delete_retired
from storage.errors import ArchiveCorrupt, ConfigError, PaperwireError
from storage.repair import Repair, repair
from storage.settings import Settings, Source
from storage.verify import Verification, verify

_TRIES = 3  # a pass may commit while the archive is verified; then what was read is of two moments


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What a bulk load did."""

    source: str
    load_id: str
    loaded: Loaded
    compaction: Compaction | None
    faults: int = 0  # lines of snapshots that are no papers
    faults_named: tuple[str, ...] = ()  # the first of them, with their reasons

    @property
    def whole(self) -> bool:
        """Whether every line was taken."""
        return not (self.faults or self.loaded.rejected)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactReport:
    """What a compaction did, and what it freed."""

    compaction: Compaction | None  # None: there was nothing to merge
    files_deleted: int
    bytes_freed: int
    files_retired: int  # which wait to be deleted, for readers that still have them open
    bytes_retired: int
    commits: int
    files: int  # of rows, now


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintainReport:
    """What one night's maintenance did and found."""

    compacted: CompactReport
    forgotten: int  # fetch records and refused entries
    verification: Verification
    counts: tuple[CountReport, ...] = ()  # what papers were asked after, of each provider
    uncounted: str | None = None  # why nobody was asked

    @property
    def well(self) -> bool:
        """Whether nothing is wrong with the archive."""
        return not self.verification.faults


def require_source_name(name: str) -> None:
    """Raise ConfigError where `name` cannot be that of a source."""
    try:
        Source(name=name, kind="hf-daily")
    except ValidationError as error:
        wanted = "letters, digits and _ . : + - make one, such as arxiv-snapshot"
        raise ConfigError(f"--source {name!r} is no name of a source: {wanted}") from error


def load_files(
    settings: Settings,
    files: Sequence[Path | str],
    *,
    source: str,
    load_id: str | None,
    now: datetime,
    bars: Bars = no_bar,
) -> LoadReport:
    """Load files of entries, or what lies at URLs, compact, and bring papers.duckdb and the search index up to them.

    Exactly once per `load_id`, which follows from the files unless given. What was downloaded is deleted once it is
    loaded. Raises LoadError, ArchiveError, ArchiveFull; PaperwireError where another load has the same URL.
    """
    with _local(settings, files, bars=bars) as (paths, discard):
        report = _load(settings, paths, source=source, load_id=load_id, now=now, bars=bars)
        discard()
        return report


@contextmanager
def _local(
    settings: Settings, files: Sequence[Path | str], *, bars: Bars
) -> Iterator[tuple[list[Path], Callable[[], None]]]:
    """The files, those at URLs downloaded, and what deletes these."""
    downloads: list[Downloader] = []
    with ExitStack() as stack:
        governor = stack.enter_context(
            closing(Governor(settings.home, settings.limits, clock=lambda: datetime.now(UTC), sleep=time.sleep))
        )
        paths = []
        for file in files:
            if not is_url(str(file)):
                paths.append(Path(file))
                continue
            download = Downloader(
                str(file),
                settings.home / "downloads",
                limits=settings.limits,
                user_agent=user_agent_of(settings),
                governor=governor,
            )
            downloads.append(stack.enter_context(download))
            with bars("downloading") as progress:
                paths.append(download.get(progress))

        def discard() -> None:
            for download in downloads:
                download.discard()

        yield paths, discard


def _load(
    settings: Settings, paths: Sequence[Path], *, source: str, load_id: str | None, now: datetime, bars: Bars
) -> LoadReport:
    feed = Feed(paths)
    load_id = load_id or feed.load_id
    with Archive(settings.home, limits=settings.limits) as archive:
        with bars("loading") as progress:
            loaded = load(
                archive,
                feed.tables(),
                source=source,
                load_id=load_id,
                now=now,
                decide=decide,
                progress=lambda done: progress(done, feed.total()),
            )
        if not loaded.offered:
            why = f"; {feed.faults_named[0]}" if feed.faults_named else ""
            raise LoadError(f"{', '.join(map(str, paths))}: there are no entries{why}")
        compaction = None
        if loaded.segments:
            with bars("compacting") as progress:
                compaction = compact(archive, now=now, progress=progress)
        _refresh(archive, settings, now=now, bars=bars)
    return LoadReport(
        source=source,
        load_id=load_id,
        loaded=loaded,
        compaction=compaction,
        faults=feed.faults,
        faults_named=feed.faults_named,
    )


def compact_archive(settings: Settings, *, full: bool, now: datetime, bars: Bars = no_bar) -> CompactReport:
    """Compact, and delete what was retired a day ago. Raises PaperwireError where another compaction is running."""
    with Archive(settings.home, limits=settings.limits) as archive:
        with bars("compacting") as progress:
            compaction = compact(archive, now=now, full=full, progress=progress)
        with bars("publishing papers.duckdb"):
            refresh_catalog(archive, settings, topics_of(settings), now=now)
        return _deleted(archive, compaction, now=now)


def maintain(settings: Settings, *, now: datetime, fetcher: Fetcher | None = None) -> MaintainReport:
    """Do what an archive needs once a day: count, compact if due, delete, forget, verify. Faults are in the report.

    Raises ArchiveFull, ArchiveError where the archive cannot be written.
    """
    compaction = None
    counts, uncounted = _counted(settings, now=now, fetcher=fetcher)
    with Archive(settings.home, limits=settings.limits) as archive:
        with suppress(ArchiveCorrupt):  # verifying says which file it is, and what else is wrong
            compaction = compact_if_due(archive, now=now)
            _refresh(archive, settings, now=now, bars=no_bar)
        compacted = _deleted(archive, compaction, now=now)
    forgotten = tidy(settings, now=now)
    return MaintainReport(
        compacted=compacted,
        forgotten=forgotten,
        verification=verified(settings.home),
        counts=counts,
        uncounted=uncounted,
    )


def _counted(
    settings: Settings, *, now: datetime, fetcher: Fetcher | None
) -> tuple[tuple[CountReport, ...], str | None]:
    """Ask for counts; that nobody could be asked costs the rest of the night nothing."""
    try:
        return enrich(settings, now=now, fetcher=fetcher), None
    except PaperwireError as error:
        return (), str(error)


def mend(settings: Settings, *, now: datetime) -> Repair:
    """Repair, and make papers.duckdb anew where nothing stands in the way. Raises ArchiveError."""
    done = repair(settings.home, now=now)
    if done.done and not done.left:
        with Archive(settings.home, limits=settings.limits) as archive:
            _refresh(archive, settings, now=now, bars=no_bar)
    return done


def verified(home: Path, *, progress: Callable[[int, int], None] | None = None) -> Verification:
    """Verify; again where a pass committed meanwhile and something looks wrong."""
    for _ in range(_TRIES - 1):
        before = _state(home)
        found = verify(home, progress=progress)
        if not found.faults or _state(home) == before:
            return found
    return verify(home, progress=progress)


def _state(home: Path) -> object:
    """What changes with every commit, compaction and refresh."""
    files = [
        home / "papers.duckdb",
        *sorted((home / "archive" / "log").glob("*")),
        *(home / "archive" / "base").glob("*"),
    ]
    return {(path.name, path.stat().st_mtime_ns) for path in files if path.exists()}


def _refresh(archive: Archive, settings: Settings, *, now: datetime, bars: Bars) -> None:
    with bars("publishing papers.duckdb"):
        refresh_catalog(archive, settings, topics_of(settings), now=now)
    with bars("indexing for search") as progress:
        refresh_search(archive, progress=progress)


def _deleted(archive: Archive, compaction: Compaction | None, *, now: datetime) -> CompactReport:
    before = _sizes(archive)
    deleted = delete_retired(archive, now=now)
    left = _sizes(archive)
    return CompactReport(
        compaction=compaction,
        files_deleted=deleted,
        bytes_freed=sum(size for name, size in before.items() if name not in left),
        files_retired=len(left),
        bytes_retired=sum(left.values()),
        commits=archive.index.latest_seq(),
        files=len(archive.index.files("log", "papers")),
    )


def _sizes(archive: Archive) -> dict[str, int]:
    """The sizes of the retired files that are still there."""
    paths = {f.name: archive.path(f) for f in archive.index.files(retired=True)}
    return {name: path.stat().st_size if path.exists() else 0 for name, path in paths.items()}
