"""Bases: what compaction makes of many segments. Two files of rows and a manifest, which is linked last.

`base/LO-HI.papers.parquet` holds the rows that were current, newest first; `base/LO-HI.history.parquet` those that a
later row had superseded, by paper; `base/LO-HI.json.gz` what both are, and all that the segments LO to HI said of
themselves: their batch ids, their place in the hash chain, their events. A base stands for its segments, and for every
smaller base within its range.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.durable import committed
from storage.errors import ArchiveCorrupt, ArchiveError
from storage.index import FileRow
from storage.model import Intent
from storage.rows import intent_of
from storage.segments import SCHEMA_VERSION, SegmentMeta, meta_of, refuse_newer
from storage.tables import rows_named, rows_with

if TYPE_CHECKING:
    from storage.archive import Archive

_GZIP_LEVEL = 6  # level 9 takes six times as long for 3 % less
_NAME = re.compile(r"(\d{12})-(\d{12})\.(papers\.parquet|history\.parquet|json\.gz)")
_KINDS = {"papers.parquet": "papers", "history.parquet": "history", "json.gz": "manifest"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """A segment that a base stands for."""

    meta: SegmentMeta
    rows: int
    size_bytes: int
    sha256: bytes
    acknowledged: bool  # whether its events had been emitted by then


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a base is."""

    lo: int
    hi: int
    seen_seq: int  # the newest commit there was: rows superseded until then lie in the history file
    compacted_at: datetime
    files: tuple[FileRow, ...]
    segments: tuple[Covered, ...]


def base_name(lo: int, hi: int, kind: str) -> str:
    """The name of a file of a base, relative to archive/; `kind` is papers, history or manifest."""
    ending = next(e for e, k in _KINDS.items() if k == kind)
    return f"base/{lo:012d}-{hi:012d}.{ending}"


def range_of(name: str) -> tuple[int, int, str] | None:
    """(lo, hi, kind) of a file name in base/, or None."""
    found = _NAME.fullmatch(name)
    return (int(found[1]), int(found[2]), _KINDS[found[3]]) if found else None


def write_manifest(folder: Path, manifest: Manifest) -> FileRow:
    """Write, fsync and link a manifest: the moment its base is committed. Raises FileExistsError, ArchiveError."""
    body = json.dumps(
        {
            "schema_version": SCHEMA_VERSION,
            "lo": manifest.lo,
            "hi": manifest.hi,
            "seen_seq": manifest.seen_seq,
            "compacted_at": manifest.compacted_at.isoformat(),
            "files": [_file_dict(f) for f in manifest.files],
            "segments": [_covered_dict(c) for c in manifest.segments],
        },
        sort_keys=True,
    ).encode()
    name = base_name(manifest.lo, manifest.hi, "manifest")
    with committed(folder / name) as temporary:
        temporary.write_bytes(gzip.compress(body, compresslevel=_GZIP_LEVEL, mtime=0))
    return manifest_row(folder, manifest)


def manifest_row(folder: Path, manifest: Manifest) -> FileRow:
    """The row of the index for a manifest."""
    name = base_name(manifest.lo, manifest.hi, "manifest")
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise ArchiveError(f"{name} cannot be read: {error.strerror}") from error
    return FileRow(
        name=name,
        kind="manifest",
        lo=manifest.lo,
        hi=manifest.hi,
        rows=0,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).digest(),
        footer=b"",
    )


def read_manifest(path: Path) -> Manifest:
    """Read what a base is. Raises ArchiveCorrupt; ArchiveError where a newer Paperwire wrote it."""
    try:
        raw: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
        refuse_newer(raw["schema_version"], path.name)
        return Manifest(
            lo=raw["lo"],
            hi=raw["hi"],
            seen_seq=raw["seen_seq"],
            compacted_at=datetime.fromisoformat(raw["compacted_at"]),
            files=tuple(_file_of(f, raw["lo"], raw["hi"]) for f in raw["files"]),
            segments=tuple(_covered_of(c, path.name) for c in raw["segments"]),
        )
    except (OSError, EOFError, KeyError, TypeError, ValueError, zlib.error) as error:
        raise ArchiveCorrupt(f"{path.name} is not a manifest: {error}") from error


def rows_of_papers(archive: Archive, paper_ids: Iterable[str]) -> list[tuple[Intent, int]]:
    """Every row of these papers with its commit, oldest first. Raises ArchiveCorrupt."""
    wanted, index = set(paper_ids), archive.index
    seqs = {seq for found in index.find(wanted).values() for seq in found}
    seqs |= {seq for paper_id in wanted for seq in index.stale_seqs(paper_id)}
    tables = [
        rows_with(archive.path(file), wanted, held, footer=file.footer)
        for file, held in index.file_holding(seqs).values()
    ]
    tables += [rows_named(archive.path(file), wanted, footer=file.footer) for file in index.files("history")]
    rows = [row for table in tables for row in table.to_pylist() if row["paper_id"] in wanted]
    return [(intent_of(row), row["seq"]) for row in sorted(rows, key=lambda row: row["seq"])]


def _file_dict(file: FileRow) -> dict[str, Any]:
    return {
        "name": file.name,
        "kind": file.kind,
        "rows": file.rows,
        "bytes": file.size_bytes,
        "sha256": file.sha256.hex(),
        "footer": file.footer.hex(),
    }


def _file_of(raw: dict[str, Any], lo: int, hi: int) -> FileRow:
    return FileRow(
        name=raw["name"],
        kind=raw["kind"],
        lo=lo,
        hi=hi,
        rows=raw["rows"],
        size_bytes=raw["bytes"],
        sha256=bytes.fromhex(raw["sha256"]),
        footer=bytes.fromhex(raw["footer"]),
    )


def _covered_dict(covered: Covered) -> dict[str, Any]:
    return covered.meta.to_dict() | {
        "rows": covered.rows,
        "bytes": covered.size_bytes,
        "sha256": covered.sha256.hex(),
        "acknowledged": covered.acknowledged,
    }


def _covered_of(raw: dict[str, Any], name: str) -> Covered:
    return Covered(
        meta=meta_of(raw, name),
        rows=raw["rows"],
        size_bytes=raw["bytes"],
        sha256=bytes.fromhex(raw["sha256"]),
        acknowledged=raw["acknowledged"],
    )
