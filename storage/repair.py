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
from typing import Any

from storage import durable, sums
from storage.archive import Archive
from storage.bases import Manifest, range_of, read_manifest
from storage.catalog import catalog_path
from storage.compact import remove_unfinished
from storage.errors import ArchiveCorrupt, ArchiveError
from storage.fetchlog import is_readable
from storage.index import FileRow, Index, SegmentRow
from storage.locks import exclusive
from storage.tables import sha256_of
from storage.verify import verify

_KEPT = ("fetches", "source_states", "batches", "coverage", "rejects")  # what only the index knows
_ACKNOWLEDGED = "SELECT seq, kind, acknowledged_at FROM outbox WHERE acknowledged_at IS NOT NULL"
_Values = tuple[Any, ...]
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
        known = _lost_until_now(home)
        done = [*_index(home, now), *_files(home, now)]
        with Archive(home, bring_up=False) as archive:
            remove_unfinished(archive)
            lost = {segment.seq: (file, segment, events) for file, segment, events in (*known, *_lost(archive))}
            archive.rebuild_index()
            _keep_in_mind(archive, lost.values())
            done.append("the index was made anew from the files")
    # It is derived, and made again at the next refresh.
    if catalog_path(home).exists():
        catalog_path(home).unlink()
        done.append("papers.duckdb will be made anew")
    left = tuple(fault for fault in verify(home).faults if not fault.startswith("papers.duckdb is missing"))
    return Repair(done=tuple(done), left=left)


def _lost_until_now(home: Path) -> tuple[_Lost, ...]:
    """As `_lost`, of an index that may be made anew; none where what it says of the files is in doubt."""
    with contextlib.suppress(ArchiveError, sqlite3.Error), Archive(home, bring_up=False) as archive:
        index = archive.index
        if not (index.faults() or {"files", "segments", "outbox"} & {*sums.wrong_tables(index.connection)}):
            return tuple(_lost(archive))
    return ()


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
    with Archive(home, index_path=fresh, bring_up=False) as archive, archive.index.transaction():
        said = list(_take_over(archive.index, path))
    durable.fsync(fresh)
    for ending in ("-wal", "-shm", ""):
        _set_aside(home, path.with_name(path.name + ending), now)
    fresh.replace(path)
    durable.fsync(path.parent)
    yield "index.sqlite could not be used and was made anew; the old one lies in archive/damaged/"
    yield from said


def _usable(path: Path) -> bool:
    try:
        index = Index(path)
    except ArchiveError as error:
        if "newer Paperwire" in str(error):
            raise
        return False
    try:
        return not (index.faults() or index.row_faults())
    except ArchiveError:
        return False
    finally:
        index.close()


def _take_over(index: Index, old: Path) -> Iterator[str]:
    """Put what only an old index knew into a new one; says what of it is gone or in doubt."""
    with contextlib.closing(sqlite3.connect(old)) as connection:
        connection.execute("PRAGMA writable_schema=ON")  # nothing is: but one damaged statement hides no other table
        wrong: list[str] = []
        with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
            wrong += sums.wrong_tables(connection)
        connection.text_factory = bytes  # so that one text that is no UTF-8 hides no other row
        for table in _KEPT:
            rows, all_read = _read(connection, f"SELECT * FROM {table}")
            gone = sum(not (row and is_readable(table, row) and _put(index, table, row)) for row in rows)
            if not all_read:
                yield f"what could not be read of it is gone: {table}"
            elif gone:
                yield f"{gone} rows of {table} could not be read and are gone"
            elif table in wrong:
                yield f"rows of {table} are not what was written, which ones cannot be told: they were kept as they are"
        rows, all_read = _read(connection, _ACKNOWLEDGED)
        index.restore_acknowledged((seq, kind, at) for seq, kind, at in filter(None, rows) if _is_time(at))
        if "outbox" in wrong or not all_read:
            yield "which events were acknowledged is in doubt: some may be emitted again"


def _read(connection: sqlite3.Connection, sql: str) -> tuple[list[_Values], bool]:
    """The rows up to where the file is damaged, () for one whose text is none; and whether these are all."""
    rows: list[_Values] = []
    try:
        for row in connection.execute(sql):
            try:
                rows.append(tuple(v.decode() if isinstance(v, bytes) else v for v in row))
            except UnicodeDecodeError:
                rows.append(())
    except (sqlite3.Error, UnicodeDecodeError):  # the latter where an error quotes what is damaged
        return rows, False
    return rows, True


def _put(index: Index, table: str, row: _Values) -> bool:
    """Whether the table takes this row."""
    try:
        index.connection.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
    except sqlite3.IntegrityError:  # a NULL, or a number where text belongs, or a key that is there already
        return False
    return True


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(datetime.fromisoformat(value))
    except ValueError:
        return False


def _files(home: Path, now: datetime) -> Iterator[str]:
    """Set damaged bases aside whose segments are still there; and files that belong to nothing."""
    with Archive(home, bring_up=False) as archive:
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
