"""Mend what can be mended: everything that is derived, and a base whose segments are still there.

Nothing is thrown away: what is set aside lies in archive/damaged/. What was committed once and lies nowhere whole
cannot be made again; it stays named by `verify` until it comes back from a backup. Killed at any point, `repair` again.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from storage import durable
from storage.archive import Archive
from storage.bases import Manifest, range_of, read_manifest
from storage.catalog import catalog_path
from storage.compact import remove_unfinished
from storage.errors import ArchiveCorrupt, ArchiveError
from storage.index import FileRow, Index, SegmentRow
from storage.locks import exclusive
from storage.tables import sha256_of
from storage.verify import verify

_KEPT = ("fetches", "source_states", "gaps", "rejects")  # what only the index knows
_Lost = tuple[FileRow, SegmentRow, list[tuple[str, dict[str, object]]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What was mended, a line each, and the faults that are left."""

    done: tuple[str, ...]
    left: tuple[str, ...]


def repair(home: Path, *, now: datetime) -> Repair:
    """Verify, mend, verify again. Raises PaperwireError where a compaction is running, ArchiveError."""
    found = verify(home)
    if not found.faults:
        return Repair(done=(), left=())
    with exclusive(home / "archive" / "compact.lock", what="a compaction is running", wait=False):
        done = [*_index(home, now), *_files(home, now)]
        with Archive(home) as archive:
            remove_unfinished(archive)
            lost = tuple(_lost(archive))
            archive.rebuild_index()
            _keep_in_mind(archive, lost)
            done.append("the index was made anew from the files")
    # It is derived, and made again at the next refresh.
    if catalog_path(home).exists():
        catalog_path(home).unlink()
        done.append("papers.duckdb will be made anew")
    left = tuple(fault for fault in verify(home).faults if not fault.startswith("papers.duckdb is missing"))
    return Repair(done=tuple(done), left=left)


def _lost(archive: Archive) -> Iterator[_Lost]:
    """The segments that lie nowhere whole; only the index knows what they were, and made anew it would not."""
    index, events = archive.index, archive.index.events()
    for file in index.files("log"):
        path, segment = archive.path(file), index.segment(file.lo)
        if segment and not (path.exists() and sha256_of(path) == file.sha256):
            yield file, segment, [(kind, payload) for _, kind, payload in events.get(file.lo, [])]


def _keep_in_mind(archive: Archive, lost: Iterable[_Lost]) -> None:
    """Let the index go on saying what was committed, so that `verify` names it until it comes back from a backup."""
    with archive.index.transaction():
        for file, segment, events in lost:
            archive.index.connection.execute("DELETE FROM segments WHERE seq = ?", (segment.seq,))
            archive.index.record_segment(segment, events)
            archive.index.add_file(file)


def _index(home: Path, now: datetime) -> Iterator[str]:
    """Put a new index in place of one that cannot be used, with what can be read of what only it knew."""
    path = home / "archive" / "index.sqlite"
    if _usable(path):
        return
    fresh = path.with_name("index.sqlite.new")
    for ending in ("", "-wal", "-shm"):
        fresh.with_name(fresh.name + ending).unlink(missing_ok=True)
    kept, lost = _salvaged(path)
    with Archive(home, index_path=fresh) as archive, archive.index.transaction():
        for table, rows in kept.items():
            marks = ",".join("?" * len(rows[0]))
            archive.index.connection.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", rows)
    durable.fsync(fresh)
    for ending in ("-wal", "-shm", ""):
        _set_aside(home, path.with_name(path.name + ending), now)
    fresh.replace(path)
    durable.fsync(path.parent)
    yield "index.sqlite could not be used and was made anew; the old one lies in archive/damaged/"
    if lost:
        yield f"what could not be read of it is gone: {', '.join(lost)}"


def _usable(path: Path) -> bool:
    try:
        index = Index(path)
    except ArchiveError as error:
        if "newer Paperwire" in str(error):
            raise
        return False
    try:
        return not index.faults()
    except sqlite3.Error:
        return False
    finally:
        index.close()


def _salvaged(path: Path) -> tuple[dict[str, list[tuple[object, ...]]], list[str]]:
    kept: dict[str, list[tuple[object, ...]]] = {}
    lost: list[str] = []
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for table in _KEPT:
            rows = kept[table] = []
            try:
                for row in connection.execute(f"SELECT * FROM {table}"):
                    rows.append(row)  # noqa: PERF402 - what was read before the damage is kept
            except sqlite3.Error:
                lost.append(table)
    return {table: rows for table, rows in kept.items() if rows}, lost


def _files(home: Path, now: datetime) -> Iterator[str]:
    """Set damaged bases aside whose segments are still there; and files that belong to nothing."""
    with Archive(home) as archive:
        for manifest_path in sorted(archive.base.glob("*.json.gz")):
            place = range_of(manifest_path.name)
            if place is None or _whole_base(archive, manifest_path):
                continue
            if not _covered_otherwise(archive, place[0], place[1]):
                continue
            for path in archive.base.glob(f"{manifest_path.name.removesuffix('.json.gz')}.*"):
                _set_aside(home, path, now)
            yield f"the damaged base {manifest_path.name} was set aside: its segments are still there"
        for file in archive.index.files("topics"):
            if not archive.path(file).exists() or sha256_of(archive.path(file)) != file.sha256:
                _set_aside(home, archive.path(file), now)
                yield f"{file.name} was set aside; papers are tagged anew at the next refresh"
        known = {f.name for f in (*archive.index.files(), *archive.index.files(retired=True))}
        for folder in (archive.log, archive.base, archive.folder / "topics"):
            for path in sorted(folder.glob("[!.]*")):
                name = f"{folder.name}/{path.name}"
                if name not in known and range_of(path.name) is None and not _is_segment(path):
                    _set_aside(home, path, now)
                    yield f"{name} was set aside: it is no part of the archive"


def _is_segment(path: Path) -> bool:
    return path.parent.name == "log" and path.suffix == ".parquet" and path.stem.isdigit()


def _whole_base(archive: Archive, path: Path) -> Manifest | None:
    """The manifest at `path` where it and all it names have their bytes."""
    try:
        manifest = read_manifest(path)
        sound = all(sha256_of(archive.path(f)) == f.sha256 for f in manifest.files)
    except (ArchiveCorrupt, OSError):
        return None
    return manifest if sound else None


def _covered_otherwise(archive: Archive, lo: int, hi: int) -> bool:
    """Whether every segment of a range lies whole in the log or in a smaller base."""
    shas = {row.seq: row.sha256 for row in archive.index.segments()}
    logs = {int(p.stem) for p in archive.log.glob("*.parquet") if sha256_of(p) == shas.get(int(p.stem))}
    smaller = [m for p in archive.base.glob("*.json.gz") if (m := _whole_base(archive, p)) and m.hi - m.lo < hi - lo]
    covered = logs | {seq for m in smaller for seq in range(m.lo, m.hi + 1)}
    return all(seq in covered for seq in range(lo, hi + 1))


def _set_aside(home: Path, path: Path, now: datetime) -> None:
    if not path.exists():
        return
    folder = home / "archive" / "damaged"
    folder.mkdir(exist_ok=True)
    path.replace(folder / f"{now:%Y%m%dT%H%M%S}-{path.name}")
    durable.fsync(folder)
    durable.fsync(path.parent)
