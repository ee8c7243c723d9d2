"""Schema 1, as version 0.1.0 wrote it. Frozen: a released schema does not change, whatever the program becomes.

It imports nothing of the program. Segments are one Parquet file a commit, the index has whole ids; what 0.1.0 derived
(papers.duckdb) is left out.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_TIME = pa.timestamp("us")
_WORDS = pa.list_(pa.string())
SIGHTING = pa.struct(
    [
        ("source", pa.string()),
        ("entry_id", pa.string()),
        ("seen_at", _TIME),
        ("announced_on", pa.date32()),
        ("announcements", _WORDS),
        ("version", pa.int32()),
        ("categories", _WORDS),
        ("upvotes", pa.int32()),
        ("comment_count", pa.int32()),
        ("stars", pa.int32()),
        ("entry_hash", pa.binary(16)),
    ]
)
SCHEMA = pa.schema(
    [
        ("paper_id", pa.string()),
        ("aliases", _WORDS),
        ("title", pa.string()),
        ("abstract", pa.string()),
        ("authors", _WORDS),
        ("categories", _WORDS),
        ("sources", _WORDS),
        ("version", pa.int32()),
        ("revision", pa.int32()),
        ("url", pa.string()),
        ("pdf_url", pa.string()),
        ("code_url", pa.string()),
        ("project_url", pa.string()),
        ("doi", pa.string()),
        ("journal_ref", pa.string()),
        ("license_url", pa.string()),
        ("withdrawn", pa.bool_()),
        ("announced_on", pa.date32()),
        ("published_at", _TIME),
        ("first_seen_at", _TIME),
        ("announced_at", _TIME),
        ("revised_at", _TIME),
        ("trending_on", pa.date32()),
        ("upvotes", pa.int32()),
        ("comment_count", pa.int32()),
        ("stars", pa.int32()),
        ("content_hash", pa.binary(16)),
        ("hash_changes", pa.int32()),
        ("text_rank", pa.int32()),
        ("seq", pa.int64()),
        ("announcements", _WORDS),
        ("changes", _WORDS),
        ("sightings", pa.list_(SIGHTING)),
    ]
)
INDEX_SQL = """
CREATE TABLE IF NOT EXISTS heads (
  paper_id TEXT PRIMARY KEY,
  seq INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS aliases (
  alias TEXT PRIMARY KEY,
  paper_id TEXT NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS seen (
  paper_id TEXT NOT NULL,
  source TEXT NOT NULL,
  entry_id TEXT NOT NULL,
  entry_hash BLOB NOT NULL,
  counts TEXT NOT NULL,
  PRIMARY KEY (paper_id, source, entry_id)
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS segments (
  seq INTEGER PRIMARY KEY,
  batch_id TEXT NOT NULL UNIQUE,
  source TEXT NOT NULL,
  papers INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  sha256 BLOB NOT NULL,
  last_at TEXT NOT NULL,
  committed_at TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS outbox (
  event_id INTEGER PRIMARY KEY,
  seq INTEGER NOT NULL,
  kind TEXT NOT NULL,
  payload TEXT NOT NULL,
  created_at TEXT NOT NULL,
  acknowledged_at TEXT,
  UNIQUE (seq, kind)
) STRICT;

CREATE TABLE IF NOT EXISTS tags (
  paper_id TEXT NOT NULL,
  topic TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (paper_id, topic)
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS topic_changes (
  topic TEXT PRIMARY KEY,
  seq INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS fetches (
  fetch_id INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  url TEXT NOT NULL,
  fetched_at TEXT NOT NULL,
  status INTEGER,
  wire_bytes INTEGER NOT NULL,
  body_sha256 TEXT,
  etag TEXT,
  last_modified TEXT,
  listed INTEGER NOT NULL,
  error TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS fetches_by_url ON fetches (source, url, fetch_id);

CREATE TABLE IF NOT EXISTS source_states (
  source TEXT PRIMARY KEY,
  checked_at TEXT NOT NULL,
  succeeded_at TEXT,
  batch_on TEXT,
  error TEXT,
  failing_since TEXT,
  notes TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS gaps (
  source TEXT NOT NULL,
  day TEXT NOT NULL,
  noticed_at TEXT NOT NULL,
  PRIMARY KEY (source, day)
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS rejects (
  source TEXT NOT NULL,
  entry_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  rejected_at TEXT NOT NULL,
  PRIMARY KEY (source, entry_id, reason)
) WITHOUT ROWID, STRICT;

CREATE TABLE IF NOT EXISTS meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID, STRICT;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One commit: its rows are papers as they stood after it, each with the sightings that brought it there."""

    batch_id: str
    source: str
    at: datetime  # committed_at
    last_at: datetime  # the last moment given to an announcement
    rows: Sequence[dict[str, Any]]  # every column of SCHEMA but seq and announcements; times are aware
    acknowledged_at: datetime | None = None  # when its event had been emitted


def write_home(home: Path, segments: Iterable[Segment], tables: dict[str, Sequence[tuple[object, ...]]]) -> None:
    """Lay down a home: a segment a commit, the index as 0.1.0 kept it, and the rows of the further `tables`."""
    log = home / "archive" / "log"
    log.mkdir(parents=True)
    with closing(sqlite3.connect(home / "archive" / "index.sqlite", isolation_level=None)) as index:
        index.execute("PRAGMA journal_mode=WAL")
        index.executescript(INDEX_SQL)
        index.execute("BEGIN")
        previous = "0" * 64
        for seq, segment in enumerate(segments, 1):
            previous = _write_segment(index, log, seq, segment, previous)
        for table, rows in tables.items():
            for row in rows:
                index.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
        index.execute("COMMIT")


def content_hash(version: int | None, title: str, abstract: str, authors: Sequence[str]) -> bytes:
    """16 bytes over what made a revision."""
    return _hash(str(version or ""), title, abstract, *authors)


def fingerprint(title: str, authors: Sequence[str], abstract: str) -> str:
    """What named a paper without an id: 24 hex digits over title and first author, or abstract where there is none."""
    who = _plain_title(authors[0]).split()[-1:] if authors else [_plain_title(abstract)]
    return hashlib.blake2b(f"{_plain_title(title)}\x1f{who}".encode(), digest_size=12).hexdigest()


def moment(at: datetime | None) -> str | None:
    """A time as the index kept it."""
    return at.isoformat(timespec="microseconds") if at else None


def _write_segment(index: sqlite3.Connection, log: Path, seq: int, segment: Segment, previous: str) -> str:
    """Write a segment and take it into the index; returns its sha256."""
    rows = [row | {"seq": seq, "announcements": _announced(row)} for row in segment.rows]
    path = log / f"{seq:012d}.parquet"
    counts: dict[str, int] = {}
    for announcement in (a for row in rows for s in row["sightings"] for a in s["announcements"]):
        counts[announcement] = counts.get(announcement, 0) + 1
    payload = {
        "seq": seq,
        "from_seq": seq,
        "source": segment.source,
        "papers": len(rows),
        "announcements": dict(sorted(counts.items())),
    }
    meta = {
        "schema_version": 1,
        "seq": seq,
        "batch_id": segment.batch_id,
        "source": segment.source,
        "previous_sha256": previous,
        "last_at": segment.last_at.isoformat(),
        "committed_at": segment.at.astimezone(UTC).isoformat(),
        "events": [("papers.ingested", payload)],
    }
    table = pa.Table.from_pylist(
        [_naive(row) for row in rows],
        schema=SCHEMA.with_metadata({b"paperwire": json.dumps(meta, sort_keys=True).encode()}),
    )
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=3,
        use_dictionary=["sources.list.element", "categories.list.element", "license_url"],
        write_page_checksum=True,
        write_statistics=True,
        row_group_size=8_192,
    )
    content = path.read_bytes()
    digest = hashlib.sha256(content)
    index.execute(
        "INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(seq, segment.batch_id, segment.source, len(rows), len(content), digest.digest()),
            *(moment(segment.last_at), moment(segment.at)),
        ),
    )
    index.execute(
        "INSERT INTO outbox (seq, kind, payload, created_at, acknowledged_at) VALUES (?, ?, ?, ?, ?)",
        (
            *(seq, "papers.ingested", json.dumps(payload, sort_keys=True)),
            *(moment(segment.at), moment(segment.acknowledged_at)),
        ),
    )
    for row in rows:
        _index_row(index, seq, row)
    return digest.hexdigest()


def _index_row(index: sqlite3.Connection, seq: int, row: dict[str, Any]) -> None:
    paper_id = row["paper_id"]
    index.execute("INSERT OR REPLACE INTO heads VALUES (?, ?)", (paper_id, seq))
    for alias in row["aliases"]:
        index.execute("INSERT OR IGNORE INTO aliases VALUES (?, ?)", (alias, paper_id))
    for s in row["sightings"]:
        counts = ",".join("" if n is None else str(n) for n in (s["upvotes"], s["comment_count"], s["stars"]))
        said = (paper_id, s["source"], s["entry_id"], s["entry_hash"], counts)
        index.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?)", said)


def _announced(row: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(a for s in row["sightings"] for a in s["announcements"]))


def _naive(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, dict):
        return {name: _naive(inner) for name, inner in value.items()}
    return [_naive(inner) for inner in value] if isinstance(value, list | tuple) else value


def _plain_title(title: str) -> str:
    bare = unicodedata.normalize("NFKD", re.sub(r"\\[a-zA-Z]+|[{}$\\]", "", title).casefold())
    return " ".join(re.findall(r"\w+", "".join(c for c in bare if not unicodedata.combining(c))))


def _hash(*parts: str) -> bytes:
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).digest()
