"""The archive to take away: one DuckDB file with everything in it, or a tree of Parquet files by year.

Written beside its target and renamed when it is whole, in bounded memory; what is there already is replaced only on
request, and only where it is an export.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import duckdb

from storage.catalog import catalog_path
from storage.durable import fsync
from storage.errors import ArchiveError, ArchiveFull, PaperwireError
from storage.snapshots import AsOf, Snapshot, open_snapshot
from storage.views import literal

Format = Literal["duckdb", "parquet"]
Progress = Callable[[int, int], None]  # per cent done, 100

_MARK = "paperwire.json"  # what says that a folder is an export
_MAGIC, _MAGIC_AT = b"DUCK", 8  # of a DuckDB file
_STORAGE_VERSION = "v1.0.0"  # every DuckDB since opens it
_MEMORY = "1GB"  # what does not fit goes to disk, beside the target
_ROW_GROUP_ROWS = 100_000
_LOOK_SECONDS = 0.2
_PARTITIONED = {"papers": "new_at", "revisions": "told_at", "sightings": "seen_at"}  # by the year of which moment
# In Parquet the three above hold what these say.
_DERIVED = frozenset(["authors", "votes", "versions", "aliases", "sources", "changes"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written."""

    path: Path
    format: Format
    seq: int  # the last commit in it
    committed_at: datetime
    rows: dict[str, int]  # by table
    files: int
    size_bytes: int


def export(
    home: Path,
    target: Path,
    *,
    format: Format,
    as_of: AsOf | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write the archive, as of a moment or commit, to `target`.

    Raises PaperwireError where something is there that may not be replaced, ConfigError where the archive held nothing
    then, ArchiveFull, ArchiveError.
    """
    target = target.absolute()
    _refuse(home, target, format, force=force)
    _sweep(target)
    beside, spill = _beside(target), _beside(target, ".spill")
    snapshot = open_snapshot(home, as_of, {"memory_limit": _MEMORY, "temp_directory": str(spill)})
    try:
        with snapshot, _told(target):
            write = _write_duckdb if format == "duckdb" else _write_parquet
            rows = write(snapshot, beside, _Steps(snapshot.connection, progress))
            _put(beside, target)
    finally:
        for left in (beside, spill, _beside(target, ".wal")):
            _remove(left)
    files = [p for p in target.rglob("*") if p.is_file()] if target.is_dir() else [target]
    return Exported(
        path=target,
        format=format,
        seq=snapshot.seq,
        committed_at=snapshot.committed_at,
        rows=rows,
        files=len(files),
        size_bytes=sum(p.stat().st_size for p in files),
    )


def _refuse(home: Path, target: Path, form: Format, *, force: bool) -> None:
    """Raise PaperwireError where the target may not be written."""
    inside = home.resolve() == target.resolve() or (home / "archive").resolve() in (
        target.resolve(),
        *target.resolve().parents,
    )
    if inside or target.resolve() == catalog_path(home).resolve():
        raise PaperwireError(f"{target} belongs to the archive itself; export to another place")
    if not target.parent.is_dir():
        raise PaperwireError(f"there is no folder {target.parent}")
    if not target.exists():
        return
    if not force:
        raise PaperwireError(f"{target} is there already; --force replaces it")
    ours = (target / _MARK).is_file() if form == "parquet" else target.is_file() and _is_duckdb(target)
    if not ours:
        raise PaperwireError(f"{target} is no {form} export, so it is not replaced; choose another place")


def _is_duckdb(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] == _MAGIC


class _Steps:
    """Runs one statement for each table, and tells how far they are; while one runs Ctrl-C is heard."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, progress: Progress | None) -> None:
        self._connection, self._progress = connection, progress
        self.done, self.total = 0, 1

    def run(self, sql: str) -> int:
        """Run a statement that writes a table; returns how many rows it wrote."""
        ended = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(self._execute, sql, ended)
            try:
                while not ended.wait(_LOOK_SECONDS):
                    self._tell(max(0.0, self._connection.query_progress()))
                rows = answer.result()
            except KeyboardInterrupt:
                self._connection.interrupt()
                raise
        self.done += 1
        self._tell(0.0)
        return rows

    def _execute(self, sql: str, ended: threading.Event) -> int:
        try:
            found = self._connection.execute(sql).fetchall()
            return int(found[0][0]) if found else 0
        finally:
            ended.set()

    def _tell(self, percent: float) -> None:
        if self._progress:
            self._progress(min(100, round((self.done * 100 + percent) / self.total)), 100)


def _write_duckdb(snapshot: Snapshot, path: Path, steps: _Steps) -> dict[str, int]:
    execute = snapshot.connection.execute
    tables = _tables(snapshot)
    steps.total = len(tables)
    execute(f"ATTACH {literal(str(path))} AS export (STORAGE_VERSION '{_STORAGE_VERSION}')")
    rows = {name: steps.run(f"CREATE TABLE export.{name} AS SELECT * FROM memory.main.{name}") for name in tables}
    execute("CREATE TABLE export._meta (seq BIGINT, committed_at TIMESTAMP, version VARCHAR)")
    moment = snapshot.committed_at.replace(tzinfo=None)
    execute("INSERT INTO export._meta VALUES (?, ?, ?)", [snapshot.seq, moment, version("paperwire")])
    execute("DETACH export")
    fsync(path)
    return rows


def _write_parquet(snapshot: Snapshot, folder: Path, steps: _Steps) -> dict[str, int]:
    tables = [name for name in _tables(snapshot) if name not in _DERIVED]
    steps.total = len(tables)
    folder.mkdir()
    rows = {}
    options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP_ROWS}"
    for name in tables:
        if column := _PARTITIONED.get(name):
            # A row that told nothing of its own has no moment; the year 0 keeps it in sight.
            sql = f"SELECT *, coalesce(year({column}), 0) AS year FROM {name}"
            rows[name] = steps.run(
                f"COPY ({sql}) TO {literal(str(folder / name))} "
                f"({options}, PARTITION_BY (year), FILENAME_PATTERN 'part-{{i}}')"
            )
        else:
            (folder / name).mkdir()
            rows[name] = steps.run(f"COPY {name} TO {literal(str(folder / name / 'part-0.parquet'))} ({options})")
        (folder / name).mkdir(exist_ok=True)  # where there is no row there is no file
    said = {"seq": snapshot.seq, "committed_at": snapshot.committed_at.isoformat(), "version": version("paperwire")}
    (folder / _MARK).write_text(json.dumps(said | {"rows": rows}, indent=2) + "\n", encoding="utf-8")
    for path in (*folder.rglob("*"), folder):
        fsync(path)
    return rows


def _tables(snapshot: Snapshot) -> list[str]:
    """Every table and view that docs/data.md tells of, papers first."""
    views, tables = "SELECT view_name FROM duckdb_views() WHERE NOT internal", "SELECT table_name FROM duckdb_tables()"
    found = snapshot.connection.execute(f"{views} UNION {tables} ORDER BY 1").fetchall()
    names = [str(name) for (name,) in found if not str(name).startswith("_")]
    return sorted(names, key=lambda name: (name not in _PARTITIONED, name))


def _put(beside: Path, target: Path) -> None:
    """Give what was written its name. Of a folder that is replaced there is, for a moment, neither."""
    if target.is_dir():
        old = _beside(target, ".old")
        target.rename(old)
        try:
            beside.rename(target)
        except OSError:
            old.rename(target)
            raise
        shutil.rmtree(old)
    else:
        beside.replace(target)
    fsync(target.parent)


def _beside(target: Path, ending: str = "") -> Path:
    """A name of this process, beside the target."""
    return target.with_name(f".{target.name}-{os.getpid()}{ending}")


def _sweep(target: Path) -> None:
    """Remove what an export to the same place left behind when it was killed."""
    name = re.compile(rf"\.{re.escape(target.name)}-(\d+)(?:\.wal|\.spill|\.old)?")
    for path in target.parent.iterdir():
        found = name.fullmatch(path.name)
        if found and not _runs(int(found[1])):
            _remove(path)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _told(target: Path) -> Iterator[None]:
    """Say in one line what writing failed of."""
    try:
        yield
    except duckdb.Error as error:
        line = str(error).splitlines()[0]
        full = "No space left" in str(error) or "not enough" in line.casefold()
        raise (ArchiveFull if full else ArchiveError)(f"cannot write {target}: {line}") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (ArchiveFull if full else ArchiveError)(f"cannot write {target}: {error.strerror or error}") from error
