"""The archive as it stood after a past commit: the same tables as papers.duckdb, in a DuckDB of its own in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from datetime import time as time_of_day
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb

from storage.archive import Archive
from storage.catalog import catalog_path
from storage.errors import ArchiveError, ConfigError
from storage.settings import Settings
from storage.survey import CONFIG
from storage.views import Shape, literal, shape_as_of, write_views

AsOf = datetime | int
"""A moment, or the number of a commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A connection to what the archive held after commit `seq`, and when that was."""

    connection: duckdb.DuckDBPyConnection
    seq: int
    committed_at: datetime

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()


def parse_as_of(text: str) -> AsOf:
    """Read a day (its end, UTC), a moment (UTC where it has no zone) or the number of a commit. Raises ConfigError."""
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        found = datetime.fromisoformat(text)
        if len(text) <= len("2026-06-02"):
            found = datetime.combine(found.date(), time_of_day.max)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        wanted = "a day such as 2026-06-02, a moment such as 2026-06-02T06:00:00Z, or the number of a commit"
        raise ConfigError(f"--as-of {text!r} is not {wanted}") from error


def open_snapshot(home: Path, as_of: AsOf | None, config: dict[str, Any] | None = None) -> Snapshot:
    """Open the archive as of a moment or commit; the newest where None.

    Raises ConfigError where the archive held nothing then, ArchiveError.
    """
    with Archive(home) as archive:
        shape = _shape(archive, as_of)
        connection = duckdb.connect(config=CONFIG | (config or {}))
        try:
            with archive.index.transaction():  # files and superseded rows belong together
                write_views(connection, archive, Settings(home=home), (), shape)
            _take_published(connection, home, shape)
        except duckdb.Error as error:
            connection.close()
            raise ArchiveError(f"the archive as of commit {shape.seq}: {str(error).splitlines()[0]}") from error
        segment = archive.index.segment(shape.seq)
        assert segment is not None  # noqa: S101 - a shape is of a commit there is
        return Snapshot(connection=connection, seq=shape.seq, committed_at=segment.committed_at)


def _shape(archive: Archive, as_of: AsOf | None) -> Shape:
    latest = archive.index.latest_seq()
    if isinstance(as_of, datetime):
        try:
            return shape_as_of(archive, as_of)
        except ArchiveError as error:
            raise ConfigError(f"--as-of: {error}") from error
    seq = latest if as_of is None else as_of
    if not 1 <= seq <= latest:
        there = f"they are 1 to {latest:,}" if latest else "there is none yet"
        raise ConfigError(f"--as-of: there is no commit {seq:,}; {there}")
    return Shape(seq=seq, latest=seq == latest)


def _take_published(connection: duckdb.DuckDBPyConnection, home: Path, shape: Shape) -> None:
    """Topics, tags and sources as papers.duckdb has them: they are settings, and not kept by commit."""
    path = catalog_path(home)
    if not path.exists():
        return
    connection.execute(f"ATTACH {literal(str(path))} AS published (READ_ONLY)")
    for table in ("topics", "_sources", "_topics"):
        connection.execute(f"DELETE FROM {table}")
        connection.execute(f"INSERT INTO {table} SELECT * FROM published.{table}")
    connection.execute("DETACH published")
    if not shape.latest:
        [(sql,)] = connection.execute("SELECT sql FROM duckdb_views() WHERE view_name = 'paper_topics'").fetchall()
        body = str(sql).partition(" AS ")[2].rstrip("; ")
        there = "paper_id IN (SELECT paper_id FROM papers)"  # of papers that came later tags tell nothing
        connection.execute(f"CREATE OR REPLACE VIEW paper_topics AS SELECT * FROM ({body}) WHERE {there}")
