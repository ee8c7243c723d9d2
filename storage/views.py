"""The views of papers.duckdb: over which files they lie, and what they show as of a past commit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from storage.coverage import CoverageLog
from storage.errors import ArchiveError
from storage.likes import KEPT
from storage.rows import SCHEMA
from storage.trending import LOOKS_DAYS

if TYPE_CHECKING:
    from storage.archive import Archive
    from storage.settings import Settings, Topic

VIEWS_SQL = files("storage").joinpath("catalog.sql").read_text(encoding="utf-8")
HOME_VARIABLE = "paperwire_home"
"""SET VARIABLE paperwire_home = '…' tells the views that the directory is mounted somewhere else."""
TOPIC_SCHEMA = pa.schema([("paper_id", pa.string()), ("topic", pa.string()), ("reason", pa.string())])
_FILE_SCHEMA = pa.schema(
    [("name", pa.string()), ("kind", pa.string()), ("lo", pa.int64()), ("hi", pa.int64()), ("footer", pa.binary())]
)
_COVERAGE_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("day", pa.date32()),
        ("state", pa.string()),
        ("missing", pa.bool_()),
        ("came", pa.int32()),
        ("low", pa.int32()),
        ("high", pa.int32()),
        ("late", pa.int32()),
        ("why", pa.string()),
        ("was", pa.string()),
        ("missed_at", pa.timestamp("us")),
        ("healed_at", pa.timestamp("us")),
    ]
)
_META_SCHEMA = pa.schema(
    [("seq", pa.int64()), ("as_of", pa.timestamp("us")), ("recent_seq", pa.int64()), ("likes", pa.string())]
)
_STALE_SCHEMA = pa.schema([("paper_id", pa.string()), ("seq", pa.int64()), ("until_seq", pa.int64())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the views lie over: the archive up to a commit."""

    seq: int  # the last commit they show
    latest: bool  # whether that is all there is


def shape_as_of(archive: Archive, moment: datetime) -> Shape:
    """The archive as it stood at a moment. Raises ArchiveError where it had nothing yet."""
    segments = archive.index.segments()
    seq = max((s.seq for s in segments if s.committed_at <= moment), default=0)
    if not seq:
        first = f"; the first commit was at {segments[0].committed_at:%Y-%m-%d %H:%M} UTC" if segments else ""
        raise ArchiveError(f"the archive held nothing at {moment:%Y-%m-%d %H:%M} UTC{first}")
    return Shape(seq=seq, latest=seq == segments[-1].seq)


def write_views(
    connection: duckdb.DuckDBPyConnection, archive: Archive, settings: Settings, topics: Sequence[Topic], shape: Shape
) -> None:
    """Create every table and view in the current database; costs the same however large the files are."""
    index = archive.index
    home = str(archive.home.resolve())
    connection.execute(f"CREATE MACRO _home() AS coalesce(getvariable('{HOME_VARIABLE}'), {literal(home)})")
    stale = index.stale_rows(until_seq=shape.seq)
    _table(connection, "_stale", pa.table(_columns(stale, _STALE_SCHEMA), schema=_STALE_SCHEMA))
    live, history = index.files("log", "papers"), index.files("history")
    known = [(f.name, f.kind, f.lo, f.hi, f.footer) for f in (*live, *history)]
    _table(connection, "_files", pa.table(_columns(known, _FILE_SCHEMA), schema=_FILE_SCHEMA))
    _write_meta(connection, archive, shape)
    _write_topics(connection, archive, topics)
    _write_sources(connection, settings)
    _write_coverage(connection, archive)
    sql = _over(
        _over(VIEWS_SQL, "live", [f.name for f in live if f.lo <= shape.seq]), "history", [f.name for f in history]
    )
    sql = _over(sql, "topics", [f.name for f in index.files("topics")[:1]])
    connection.execute(_as_of(sql, shape, stale=bool(stale)))


def literal(text: str) -> str:
    """`text` as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _as_of(sql: str, shape: Shape, *, stale: bool) -> str:
    """Fill in what is current: rows of the live files that nothing superseded, by that commit."""
    current = "SELECT * FROM _live" + (" ANTI JOIN _stale USING (paper_id, seq)" if stale else "")
    if shape.latest:
        return sql.replace("current()", current)
    for name in ("_live", "_history"):
        sql = re.sub(rf"(CREATE VIEW {name} AS SELECT \* FROM [^;]+);", rf"\1 WHERE seq <= {shape.seq};", sql)
    past = f"SELECT * FROM _history WHERE until_seq > {shape.seq}"
    return sql.replace("current()", f"{current} UNION ALL {past}")


def _over(sql: str, name: str, paths: Sequence[str]) -> str:
    """Put the list of files where `read_parquet(name())` stands; an empty table where there are none."""
    if paths:
        listed = ", ".join(f"_home() || {literal('/archive/' + path)}" for path in paths)
        return sql.replace(f"{name}()", f"[{listed}]")
    return sql.replace(f"read_parquet({name}())", f"({_nothing(name)})")


@cache
def _nothing(name: str) -> str:
    schema = TOPIC_SCHEMA if name == "topics" else SCHEMA
    empty = duckdb.connect().from_arrow(schema.empty_table())
    columns = ", ".join(f'NULL::{t} AS "{c}"' for c, t in zip(empty.columns, empty.types, strict=True))
    return f"SELECT * FROM (SELECT {columns}) WHERE false"


# A load or a backfill may be made long after the newest commit that told readers of something.
_NEWEST_TOLD = """
SELECT committed_at FROM segments JOIN outbox USING (seq)
WHERE seq <= ? AND payload -> '$.announcements' <> '{}' ORDER BY seq DESC LIMIT 1
"""


def _write_meta(connection: duckdb.DuckDBPyConnection, archive: Archive, shape: Shape) -> None:
    """Which commit this is, when readers were last told something, from which commit on counts matter, and `likes`."""
    upto = archive.index.connection.execute
    (newest,) = upto(_NEWEST_TOLD, (shape.seq,)).fetchone() or (None,)
    as_of = datetime.fromisoformat(newest) if newest else None
    since = as_of and (as_of - timedelta(days=LOOKS_DAYS)).strftime("%Y-%m-%d")  # as text, like what is compared
    (first,) = upto("SELECT min(seq) FROM segments WHERE committed_at >= ?", (since,)).fetchone()
    row = (shape.seq, _utc(as_of), shape.seq if first is None else first, archive.index.get_meta(KEPT))
    _table(connection, "_meta", pa.table(_columns([row], _META_SCHEMA), schema=_META_SCHEMA))


def _write_topics(connection: duckdb.DuckDBPyConnection, archive: Archive, topics: Sequence[Topic]) -> None:
    slugs = {t.slug for t in topics}
    tags = [row for row in archive.index.recent_tags() if row[1] in slugs]
    _table(connection, "_topics", pa.table(_columns(tags, TOPIC_SCHEMA), schema=TOPIC_SCHEMA))
    retagged = pa.table({"paper_id": pa.array(archive.index.retagged(), pa.string())})
    _table(connection, "_retagged", retagged)
    rows = [(t.slug, t.title, t.query, t.description) for t in topics]
    _table(connection, "topics", _texts(("topic", "title", "query", "description"), rows))


def _write_sources(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    rows = [(s.name, s.kind, s.category, s.url or s.base_url) for s in settings.source]
    _table(connection, "_sources", _texts(("source", "kind", "category", "url"), rows))


def _write_coverage(connection: duckdb.DuckDBPyConnection, archive: Archive) -> None:
    verdicts = CoverageLog(archive.index).verdicts()
    rows = [tuple(_utc(getattr(v, name)) for name in _COVERAGE_SCHEMA.names) for v in verdicts]
    _table(connection, "_coverage", pa.table(_columns(rows, _COVERAGE_SCHEMA), schema=_COVERAGE_SCHEMA))


def _utc(value: object) -> object:
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value


def _texts(names: Sequence[str], rows: Sequence[tuple[object, ...]]) -> pa.Table:
    schema = pa.schema([(name, pa.string()) for name in names])
    return pa.table(_columns(rows, schema), schema=schema)


def _table(connection: duckdb.DuckDBPyConnection, name: str, content: pa.Table) -> None:
    """Create a table from Arrow: for each value that is bound one by one, DuckDB looks for pandas, which is slow."""
    connection.register("_incoming", content)
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM _incoming")
    connection.unregister("_incoming")


def _columns(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> list[pa.Array]:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return [pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)]
