"""One committed batch as one immutable Parquet file: its schema, how it is written, linked, read and checked."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.durable import fsync
from storage.errors import ArchiveCorrupt, ArchiveError, ArchiveFull
from storage.model import Announcement, Intent, Paper, Sighting

_META_KEY = b"paperwire"
SCHEMA_VERSION = 1
_TIME = pa.timestamp("us")  # UTC, written without a zone so that every DuckDB reads it without an extension
_WORDS = pa.list_(pa.string())
_SIGHTING = pa.struct(
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
_PAPER_TYPES: dict[str, pa.DataType] = {
    "paper_id": pa.string(),
    "aliases": _WORDS,
    "title": pa.string(),
    "abstract": pa.string(),
    "authors": _WORDS,
    "categories": _WORDS,
    "sources": _WORDS,
    "version": pa.int32(),
    "revision": pa.int32(),
    "url": pa.string(),
    "pdf_url": pa.string(),
    "code_url": pa.string(),
    "project_url": pa.string(),
    "doi": pa.string(),
    "journal_ref": pa.string(),
    "license_url": pa.string(),
    "withdrawn": pa.bool_(),
    "announced_on": pa.date32(),
    "published_at": _TIME,
    "first_seen_at": _TIME,
    "announced_at": _TIME,
    "revised_at": _TIME,
    "trending_on": pa.date32(),
    "upvotes": pa.int32(),
    "comment_count": pa.int32(),
    "stars": pa.int32(),
    "content_hash": pa.binary(16),
    "hash_changes": pa.int32(),
    "text_rank": pa.int32(),
}
SCHEMA = pa.schema(
    [
        *_PAPER_TYPES.items(),
        ("seq", pa.int64()),
        ("announcements", _WORDS),
        ("changes", _WORDS),
        ("sightings", pa.list_(_SIGHTING)),
    ]
)
_DICTIONARY = ["sources.list.element", "categories.list.element", "license_url"]
_TUPLES = frozenset(name for name, kind in _PAPER_TYPES.items() if kind == _WORDS)
_TIMES = frozenset(name for name, kind in _PAPER_TYPES.items() if kind == _TIME)
assert list(_PAPER_TYPES) == [f.name for f in fields(Paper)]  # noqa: S101 - the file format is the model


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentMeta:
    """What a segment says of itself, in its Parquet key-value metadata."""

    seq: int
    batch_id: str
    source: str
    previous_sha256: str  # of the segment before; 64 zeros for the first
    last_at: datetime  # the last moment given to an announcement
    committed_at: datetime
    events: tuple[tuple[str, dict[str, object]], ...]

    def to_json(self) -> bytes:
        """The metadata as stored."""
        return json.dumps(
            {
                "schema_version": SCHEMA_VERSION,
                "seq": self.seq,
                "batch_id": self.batch_id,
                "source": self.source,
                "previous_sha256": self.previous_sha256,
                "last_at": self.last_at.isoformat(),
                "committed_at": self.committed_at.isoformat(),
                "events": self.events,
            },
            sort_keys=True,
        ).encode()


def segment_path(log: Path, seq: int) -> Path:
    """The file of segment `seq`."""
    return log / f"{seq:012d}.parquet"


def write_segment(log: Path, meta: SegmentMeta, intents: Sequence[Intent]) -> tuple[Path, bytes]:
    """Write and fsync a segment, then link it to its number; returns its path and sha256.

    The link is the commit: it fails where the number is taken, so two writers cannot commit the same place.
    Raises FileExistsError then, ArchiveFull where no room is left; the temporary file is gone either way.
    """
    final, temporary = segment_path(log, meta.seq), log / f".tmp-{os.getpid()}-{meta.seq}"
    try:
        _write_table(temporary, meta, intents)
        digest = sha256_of(temporary)
        fsync(temporary)
        os.link(temporary, final)
    except FileExistsError:
        raise
    except OSError as error:
        raise _translated(error, final) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    fsync(log)
    return final, digest


def read_meta(path: Path) -> SegmentMeta:
    """Read what a segment says of itself. Raises ArchiveCorrupt."""
    try:
        raw = json.loads(pq.read_schema(path).metadata[_META_KEY])
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise ArchiveCorrupt(f"{path.name} is not a segment: {_first_line(error)}") from error
    if raw["schema_version"] > SCHEMA_VERSION:
        raise ArchiveError(f"{path.name} was written by a newer Paperwire (schema {raw['schema_version']}); upgrade")
    return SegmentMeta(
        seq=raw["seq"],
        batch_id=raw["batch_id"],
        source=raw["source"],
        previous_sha256=raw["previous_sha256"],
        last_at=datetime.fromisoformat(raw["last_at"]),
        committed_at=datetime.fromisoformat(raw["committed_at"]),
        events=tuple((kind, payload) for kind, payload in raw["events"]),
    )


def read_intents(path: Path, paper_ids: Iterable[str] | None = None) -> list[Intent]:
    """Read rows of a segment, all or those of `paper_ids`, every page checked. Raises ArchiveCorrupt."""
    filters = None if paper_ids is None else [("paper_id", "in", sorted(paper_ids))]
    try:
        table = pq.read_table(path, schema=SCHEMA, filters=filters, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise ArchiveCorrupt(f"{path.name} cannot be read: {_first_line(error)}") from error
    return [_intent(row) for row in table.to_pylist()]


def sha256_of(path: Path) -> bytes:
    """The sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def paper_of(row: dict[str, Any]) -> Paper:
    """Build a Paper from a row with its columns (more columns do no harm)."""
    values: dict[str, Any] = {name: row.get(name) for name in _PAPER_TYPES}
    values |= {name: tuple(values[name] or ()) for name in _TUPLES}
    values |= {name: _aware(values[name]) for name in _TIMES}
    return Paper(**values)


def sighting_of(row: dict[str, Any]) -> Sighting:
    """Build a Sighting from a struct of the log."""
    return Sighting(
        **row
        | {
            "seen_at": _aware(row["seen_at"]),
            "announcements": tuple(Announcement(a) for a in row["announcements"] or ()),
            "categories": tuple(row["categories"] or ()),
            "entry_hash": bytes(row["entry_hash"]),
        }
    )


def _intent(row: dict[str, Any]) -> Intent:
    sightings = tuple(sighting_of(s) for s in row["sightings"])
    return Intent(paper=paper_of(row), sightings=sightings, changes=tuple(row["changes"] or ()))


def _write_table(path: Path, meta: SegmentMeta, intents: Sequence[Intent]) -> None:
    rows = [_row(intent, meta.seq) for intent in intents]
    table = pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata({_META_KEY: meta.to_json()}))
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=3,
        use_dictionary=_DICTIONARY,
        write_page_checksum=True,
        write_statistics=True,
        row_group_size=8_192,
    )


def _row(intent: Intent, seq: int) -> dict[str, Any]:
    paper = {f.name: _plain(getattr(intent.paper, f.name)) for f in fields(Paper)}
    sightings = [{f.name: _plain(getattr(s, f.name)) for f in fields(Sighting)} for s in intent.sightings]
    found = dict.fromkeys(str(a) for s in intent.sightings for a in s.announcements)
    return paper | {
        "seq": seq,
        "announcements": list(found),
        "changes": list(intent.changes),
        "sightings": sightings,
    }


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, tuple):
        return [str(v) for v in value]
    return value


def _aware(value: object) -> datetime | None:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else None


def _translated(error: OSError, path: Path) -> ArchiveError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ArchiveFull(f"no room to write {path.name}; nothing of this batch was kept, the next pass retries")
    return ArchiveError(f"cannot write {path.name}: {error.strerror or error}")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
