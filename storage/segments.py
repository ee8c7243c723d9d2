"""One committed batch as one immutable Parquet file: what it says of itself, and how it is written, read and named."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage import tables
from storage.durable import committed, sweep
from storage.errors import ArchiveCorrupt, ArchiveError
from storage.model import Intent
from storage.rows import SCHEMA, intent_of, table_of
from storage.tables import Stamp, stamp_of

_META_KEY = b"paperwire"
SCHEMA_VERSION = 2
NO_SEGMENT = "0" * 64  # what the first segment follows


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
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> bytes:
        """The metadata as stored."""
        return json.dumps(self.to_dict(), sort_keys=True).encode()

    def to_dict(self) -> dict[str, Any]:
        """The metadata as plain values."""
        return {
            "schema_version": self.schema_version,
            "seq": self.seq,
            "batch_id": self.batch_id,
            "source": self.source,
            "previous_sha256": self.previous_sha256,
            "last_at": self.last_at.isoformat(),
            "committed_at": self.committed_at.isoformat(),
            "events": self.events,
        }


def meta_of(raw: dict[str, Any], name: str) -> SegmentMeta:
    """Build the metadata from plain values. Raises ArchiveError where a newer Paperwire wrote them."""
    refuse_newer(raw["schema_version"], name)
    return SegmentMeta(
        seq=raw["seq"],
        batch_id=raw["batch_id"],
        source=raw["source"],
        previous_sha256=raw["previous_sha256"],
        last_at=datetime.fromisoformat(raw["last_at"]),
        committed_at=datetime.fromisoformat(raw["committed_at"]),
        events=tuple((kind, payload) for kind, payload in raw["events"]),
        schema_version=raw["schema_version"],
    )


def refuse_newer(version: int, name: str) -> None:
    """Raise ArchiveError where `name` has a schema this program does not know."""
    if version > SCHEMA_VERSION:
        raise ArchiveError(
            f"{name} was written by a newer Paperwire (schema {version}, this one knows {SCHEMA_VERSION}); upgrade"
        )


def segment_path(log: Path, seq: int) -> Path:
    """The file of segment `seq`."""
    return log / f"{seq:012d}.parquet"


def write_segment(log: Path, meta: SegmentMeta, intents: Sequence[Intent]) -> tuple[Path, Stamp]:
    """Write, fsync and link a segment; returns its path and stamp.

    Raises FileExistsError where the number is taken, ArchiveFull where no room is left.
    """
    return write_segment_table(log, meta, table_of(intents, meta.seq))


def write_segment_table(log: Path, meta: SegmentMeta, rows: pa.Table) -> tuple[Path, Stamp]:
    """Write a segment whose rows are an Arrow table already, newest first; as `write_segment`."""
    final = segment_path(log, meta.seq)
    sweep(log)
    with committed(final) as temporary:
        with tables.writer(temporary, SCHEMA) as writer:
            writer.add_key_value_metadata({_META_KEY: meta.to_json()})
            writer.write_table(rows, row_group_size=tables.ROW_GROUP_ROWS)
        stamp = stamp_of(temporary)
    return final, stamp


def read_meta(path: Path) -> SegmentMeta:
    """Read what a segment says of itself. Raises ArchiveCorrupt."""
    try:
        raw = json.loads(pq.read_metadata(path).metadata[_META_KEY])
        return meta_of(raw, path.name)
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise ArchiveCorrupt(f"{path.name} is not a segment: {tables.damaged(path, error)}") from error


def read_intents(path: Path, paper_ids: Iterable[str] | None = None) -> list[Intent]:
    """Read rows of a segment, all or those of `paper_ids`, every page checked. Raises ArchiveCorrupt."""
    wanted = None if paper_ids is None else set(paper_ids)
    rows = (row for table in tables.read_rows(path) for row in table.to_pylist())
    return [intent_of(row) for row in rows if wanted is None or row["paper_id"] in wanted]
