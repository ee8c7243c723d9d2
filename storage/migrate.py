"""Bring an archive of an older schema up to this one; forward only.

Schema 1 (0.1.0) had one file a commit for ever, and in the index whole ids instead of keys. Its segments become one
base of this schema: every row, commit, event and hash stays, and what only the index knew (fetches, gaps, rejects).
Killed at any point, the next opening begins again or goes on.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage import identity, replay, tables
from storage.bases import Covered, Manifest, base_name, write_manifest
from storage.merge_rows import Input
from storage.rows import SCHEMA, SIGHTING
from storage.segments import read_meta
from storage.survey import Survey
from storage.tables import stamp_of
from storage.titles import title_key

if TYPE_CHECKING:
    from storage.archive import Archive

_OLD_TABLES = ("heads", "aliases", "seen", "segments", "tags", "topic_changes", "outbox", "meta")
_SIGHTING_FIELDS = tuple(field.name for field in SIGHTING)


def migrate(archive: Archive) -> int:
    """Migrate from schema 1; returns how many segments there are. Raises ArchiveError, ArchiveFull."""
    index = archive.index
    with index.transaction():
        acknowledged = index.acknowledged_events()
        paths = sorted(archive.log.glob("*.parquet"))
        if paths:
            _make_base(archive, paths, {(seq, kind) for seq, kind, _ in acknowledged})
        for table in _OLD_TABLES:
            index.connection.execute(f"DROP TABLE IF EXISTS {table}")
        index.make_tables()
        count = replay.rebuild(archive)
        index.restore_acknowledged(acknowledged)
    shutil.rmtree(archive.folder / "migrating", ignore_errors=True)
    return count


def _make_base(archive: Archive, paths: list[Path], acknowledged: set[tuple[int, str]]) -> None:
    from storage.compact import remove_unfinished, write_base

    remove_unfinished(archive)
    covered = [_covered(path, acknowledged) for path in paths]
    lo, hi = covered[0].meta.seq, covered[-1].meta.seq
    if (archive.folder / base_name(lo, hi, "manifest")).exists():
        return  # killed after the base was committed: only the index is old
    folder = archive.folder / "migrating"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    inputs = [_upgraded(path, folder / path.name) for path in paths]
    with Survey([(one.path, one.footer) for one in inputs]) as survey:
        stale = {(paper_id, seq): until for paper_id, seq, until in survey.stale()}
    files = write_base(archive, lo, hi, inputs, [], stale)
    now = datetime.now(UTC)
    write_manifest(
        archive.folder,
        Manifest(lo=lo, hi=hi, seen_seq=hi, compacted_at=now, files=files, segments=tuple(covered)),
    )


def _covered(path: Path, acknowledged: set[tuple[int, str]]) -> Covered:
    meta, stamp = read_meta(path), stamp_of(path)
    return Covered(
        meta=meta,
        rows=stamp.rows,
        size_bytes=stamp.size_bytes,
        sha256=stamp.sha256,
        acknowledged={(meta.seq, kind) for kind, _ in meta.events} <= acknowledged,
    )


def _upgraded(path: Path, target: Path) -> Input:
    """Write a segment's rows in this schema to `target`."""
    try:
        rows = pq.read_table(path, page_checksum_verification=True).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise tables.damaged(path, error) from error
    with tables.writer(target, SCHEMA) as writer:
        writer.write_table(pa.Table.from_pylist([_row(row) for row in rows], schema=SCHEMA))
    return Input(target, stamp_of(target).footer)


def _row(old: dict[str, Any]) -> dict[str, Any]:
    key = title_key(old["title"])
    kept = {a for a in old["aliases"] if not a.startswith("fp:") or a == old["paper_id"]}
    return old | {
        "aliases": sorted(kept | ({f"title:{key}"} if key else set())),
        "content_hash": identity.content_hash_of(old["version"], old["title"], old["abstract"], old["authors"]),
        "merged_into": None,
        "until_seq": None,
        "new_at": old["announced_at"] or old["published_at"] or old["first_seen_at"],
        "reason": None,
        "sightings": [{name: s[name] for name in _SIGHTING_FIELDS} for s in old["sightings"]],
    }
