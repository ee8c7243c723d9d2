"""Compaction: many small segments become one large base, sorted and filtered for look-ups.

Nothing waits for it: it reads immutable files, writes beside them, and takes the write lock only to switch. Killed at
any point it left either nothing or a whole base; what it left unfinished the next one removes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from storage import durable
from storage.bases import Covered, Manifest, base_name, range_of, read_manifest, write_manifest
from storage.errors import ArchiveCorrupt, ArchiveError, PaperwireError
from storage.index import FileRow
from storage.locks import exclusive
from storage.merge_rows import Input, write_rows
from storage.replay import unseen
from storage.segments import read_meta
from storage.tables import sha256_of

if TYPE_CHECKING:
    from storage.archive import Archive

Progress = Callable[[int, int], None]  # rows done, rows in all

SEGMENTS_MAX = 64  # so many segments wait before compaction is due
KEPT = timedelta(hours=24)  # a retired file stays so long for readers that opened papers.duckdb before
_SMALL_ROWS = 50_000  # a base below this is always taken along
_SMALL_COMMITS = 1_024  # and one that stands for fewer commits than these
_GROWTH = 2  # a base is taken along when it has at most this many times the rows and commits to be merged into it


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """What one compaction did."""

    lo: int
    hi: int
    files: int  # merged into one base
    papers: int  # rows in its papers file
    history: int  # rows in its history file
    size_bytes: int


def compact(
    archive: Archive, *, now: datetime, full: bool = False, progress: Progress | None = None
) -> Compaction | None:
    """Merge the newest segments, and the bases they have outgrown, into one base; all there is where `full`.

    Returns None where there is nothing to merge. Raises PaperwireError where another compaction is running,
    ArchiveCorrupt where a segment is damaged: nothing is made of bytes that are not those that were committed.
    """
    lock = exclusive(archive.folder / "compact.lock", what="another compaction is running", wait=False)
    with lock:
        return compact_held(archive, now=now, full=full, progress=progress)


def compact_held(
    archive: Archive, *, now: datetime, full: bool = False, progress: Progress | None = None
) -> Compaction | None:
    """As `compact`, for whoever holds its lock."""
    with archive.index.told():
        remove_unfinished(archive)
        files, seen_seq = archive.index.files("log", "papers"), archive.index.latest_seq()
        chosen = _chosen(files, full=full)
        if not chosen:
            return None
        manifest = _write_base(archive, chosen, seen_seq, now, progress)
        with archive.index.transaction():
            unseen(archive)  # it takes the new base in, as the next opening would
        papers, history = manifest.files
        return Compaction(
            lo=manifest.lo,
            hi=manifest.hi,
            files=len(chosen),
            papers=papers.rows,
            history=history.rows,
            size_bytes=papers.size_bytes + history.size_bytes,
        )


def compact_if_due(archive: Archive, *, now: datetime) -> Compaction | None:
    """Compact once enough segments wait; does nothing while another compaction is running."""
    if len(archive.index.files("log")) < SEGMENTS_MAX:
        return None
    try:
        return compact(archive, now=now)
    except ArchiveError:
        raise
    except PaperwireError:
        return None  # another one is at it


def delete_retired(archive: Archive, *, now: datetime) -> int:
    """Delete files that were retired a day ago or more; returns how many."""
    due = [f for f in archive.index.files(retired=True) if f.retired_at and f.retired_at <= now - KEPT]
    if not due:
        return 0
    with archive.index.transaction():
        # A manifest goes first: without it the rest is an unfinished base, which nothing reads.
        for file in sorted(due, key=lambda f: f.kind != "manifest"):
            archive.path(file).unlink(missing_ok=True)
        for folder in {archive.path(f).parent for f in due}:
            durable.fsync(folder)
        archive.index.forget_files(f.name for f in due)
    return len(due)


def _chosen(files: tuple[FileRow, ...], *, full: bool) -> list[FileRow]:
    """The files to merge, newest first: all segments, then each base that is not much larger than what comes to it."""
    chosen, rows, commits = [], 0, 0
    for file in files:
        # Commits count as rows do: the manifest of a base tells of each, and of one row they may be very many.
        stands_for = file.hi - file.lo + 1
        small = file.rows <= max(_GROWTH * rows, _SMALL_ROWS) and stands_for <= max(_GROWTH * commits, _SMALL_COMMITS)
        if not (full or file.kind == "log" or small):
            break
        chosen.append(file)
        rows += file.rows
        commits += stands_for
    return [] if len(chosen) == 1 and chosen[0].kind == "papers" else chosen


def _write_base(
    archive: Archive, chosen: list[FileRow], seen_seq: int, now: datetime, progress: Progress | None
) -> Manifest:
    lo, hi = min(f.lo for f in chosen), max(f.hi for f in chosen)
    stale = {(p, s): until for p, s, until in archive.index.stale_rows(until_seq=seen_seq) if lo <= s <= hi}
    covered = tuple(_covered(archive, chosen))
    history = [f for f in archive.index.files("history") if lo <= f.lo and f.hi <= hi]
    refuse_damaged(archive, (*chosen, *history))
    files = write_base(
        archive,
        lo,
        hi,
        [Input(archive.path(f), f.footer) for f in chosen],
        [Input(archive.path(f), f.footer) for f in history],
        stale,
        progress,
    )
    manifest = Manifest(
        lo=lo, hi=hi, seen_seq=seen_seq, compacted_at=now.astimezone(UTC), files=files, segments=covered
    )
    write_manifest(archive.folder, manifest)
    return manifest


def refuse_damaged(archive: Archive, files: Iterable[FileRow]) -> None:
    """Raise ArchiveCorrupt where a file is not what was committed."""
    for file in files:
        if sha256_of(archive.path(file)) != file.sha256:
            raise ArchiveCorrupt(f"{file.name} no longer has the bytes that were committed; `paperwire verify`")


def write_base(
    archive: Archive,
    lo: int,
    hi: int,
    live: list[Input],
    history: list[Input],
    stale: dict[tuple[str, int], int],
    progress: Progress | None = None,
) -> tuple[FileRow, FileRow]:
    """Write the two files of rows of a base; without a manifest they are nothing yet."""
    names = [base_name(lo, hi, kind) for kind in ("papers", "history")]
    with durable.committed(archive.folder / names[0]) as papers, durable.committed(archive.folder / names[1]) as past:
        stamps = write_rows(papers, past, live, history, stale, progress)
    return FileRow.of(names[0], "papers", lo, hi, stamps[0]), FileRow.of(names[1], "history", lo, hi, stamps[1])


def _covered(archive: Archive, chosen: list[FileRow]) -> Iterator[Covered]:
    """What the segments of the chosen files said of themselves, oldest first."""
    acknowledged = {(seq, kind) for seq, kind, _ in archive.index.acknowledged_events()}
    for file in sorted(chosen, key=lambda f: f.lo):
        if file.kind == "papers":
            path = archive.folder / base_name(file.lo, file.hi, "manifest")
            for one in read_manifest(path).segments:
                events = {(one.meta.seq, kind) for kind, _ in one.meta.events}
                yield replace(one, acknowledged=events <= acknowledged)
            continue
        meta = read_meta(archive.path(file))
        yield Covered(
            meta=meta,
            rows=file.rows,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            acknowledged={(meta.seq, kind) for kind, _ in meta.events} <= acknowledged,
        )


def remove_unfinished(archive: Archive) -> None:
    """Remove what a compaction that was killed left behind; nothing points at it."""
    durable.sweep(archive.base)
    manifests = {range_of(p.name) for p in archive.base.glob("*.json.gz")}
    whole = {place[:2] for place in manifests if place}
    for path in archive.base.glob("*.parquet"):
        place = range_of(path.name)
        if place and place[:2] not in whole:
            path.unlink(missing_ok=True)
