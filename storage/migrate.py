"""Bring an archive of an older schema up to this one; forward only.

Schema 1 (0.1.0) had one file a commit for ever, and in the index whole ids instead of keys. Its segments become one
base of this schema: every row, commit, event and hash stays, and what only the index knew: fetches, gaps, refusals.
Killed at any point, the next opening begins again or goes on. Nothing is made of an archive that is not whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage import identity, replay, tables
from storage.bases import Covered, Manifest, base_name, write_manifest
from storage.durable import translated
from storage.errors import ArchiveCorrupt
from storage.index import INDEX_VERSION
from storage.merge_rows import Input
from storage.rows import SCHEMA, SIGHTING
from storage.segments import NO_SEGMENT, read_meta, segment_path
from storage.survey import Survey
from storage.tables import sha256_of, stamp_of
from storage.titles import title_key

if TYPE_CHECKING:
    from storage.archive import Archive

_OLD_TABLES = ("heads", "aliases", "seen", "segments", "tags", "topic_changes", "outbox", "meta")
_MEND = "put it back from a backup, and this version of Paperwire will migrate the archive"
_SIGHTING_FIELDS = tuple(field.name for field in SIGHTING)
_PARSERS: dict[str, Callable[[str], str | None]] = {
    "doi": identity.parse_doi,
    "openreview": identity.parse_openreview_id,
    "pmid": identity.parse_pmid,
}
_Titles = dict[str, set[str]]  # of each paper, the keys of the titles it has had


def migrate(archive: Archive) -> int:
    """Migrate from schema 1; returns how many segments there are. Raises ArchiveCorrupt, ArchiveFull, ArchiveError."""
    index = archive.index
    with index.transaction():
        (version,) = index.connection.execute("PRAGMA user_version").fetchone()
        if version == INDEX_VERSION:  # another program did it while this one waited for the lock
            index.version = version
            return replay.unseen(archive)
        acknowledged = index.acknowledged_events()
        known = dict(index.connection.execute("SELECT seq, sha256 FROM segments").fetchall())
        latest = max([*known, *(int(p.stem) for p in archive.log.glob("*.parquet") if p.stem.isdigit())], default=0)
        if latest:
            make_base(archive, range(1, latest + 1), known, acknowledged)
        for table in _OLD_TABLES:
            index.connection.execute(f"DROP TABLE IF EXISTS {table}")
        index.make_tables()
        count = replay.rebuild(archive)
        # Taking the base in has marked these at the moment it was made.
        index.connection.executemany(
            "UPDATE outbox SET acknowledged_at = ?3 WHERE seq = ?1 AND kind = ?2", acknowledged
        )
    return count


def old_segments(paths: Iterable[Path]) -> list[int]:
    """The numbers of those of these segments that have schema 1. Raises ArchiveCorrupt, ArchiveError."""
    return [int(path.stem) for path in paths if read_meta(path).schema_version == 1]


def make_base(
    archive: Archive, seqs: Sequence[int], known: Mapping[int, bytes], acknowledged: Iterable[tuple[int, str, str]]
) -> None:
    """Make one base of these segments of schema 1, which follow each other; does nothing where it is there already.

    `known` says what the sha256 of a segment was. Within the caller's transaction. Raises ArchiveCorrupt, before
    anything is made, where a segment is gone or not what was committed; ArchiveFull, ArchiveError.
    """
    from storage.compact import remove_unfinished, write_base

    lo, hi = seqs[0], seqs[-1]
    covered = _covered(archive, seqs, known, {(seq, kind) for seq, kind, _ in acknowledged})
    with _workshop(archive.folder / "migrating") as folder:
        remove_unfinished(archive)
        if (archive.folder / base_name(lo, hi, "manifest")).exists():
            return  # killed after the base was committed: only the index is old
        titles: _Titles = {}
        paths = [segment_path(archive.log, seq) for seq in seqs]
        inputs = [_upgraded(path, folder / path.name, titles) for path in paths]
        with Survey([(one.path, one.footer) for one in inputs]) as survey:
            stale = {(paper_id, seq): until for paper_id, seq, until in survey.stale()}
        files = write_base(archive, lo, hi, inputs, [], stale)
        now = datetime.now(UTC)
        manifest = Manifest(lo=lo, hi=hi, seen_seq=hi, compacted_at=now, files=files, segments=tuple(covered))
        write_manifest(archive.folder, manifest)


def _covered(
    archive: Archive, seqs: Iterable[int], known: Mapping[int, bytes], acknowledged: set[tuple[int, str]]
) -> list[Covered]:
    """What the segments say of themselves, oldest first. Raises ArchiveCorrupt."""
    found: list[Covered] = []
    for seq in seqs:
        path, before = segment_path(archive.log, seq), found[-1].sha256.hex() if found else NO_SEGMENT
        if not path.exists():
            raise ArchiveCorrupt(f"{path.name} is missing: it was committed and is gone; {_MEND}")
        if known.get(seq, digest := sha256_of(path)) != digest:
            raise ArchiveCorrupt(f"{path.name} no longer has the bytes that were committed; {_MEND}")
        meta, stamp = read_meta(path), stamp_of(path)
        if meta.seq != seq or (meta.previous_sha256 != before and (found or seq == 1)):
            raise ArchiveCorrupt(f"{path.name} does not follow the segment before it; {_MEND}")
        done = {(seq, kind) for kind, _ in meta.events} <= acknowledged
        found.append(Covered(meta=meta, rows=stamp.rows, size_bytes=stamp.size_bytes, sha256=digest, acknowledged=done))
    return found


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """An empty folder that is gone afterwards; one that a killed program left is emptied."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder
    except OSError as error:
        raise translated(error, folder) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _upgraded(path: Path, target: Path, titles: _Titles) -> Input:
    """Write a segment's rows in this schema to `target`."""
    try:
        rows = pq.read_table(path, page_checksum_verification=True).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise tables.damaged(path, error) from error
    with tables.writer(target, SCHEMA) as writer:
        writer.write_table(pa.Table.from_pylist([_row(row, titles) for row in rows], schema=SCHEMA))
    return Input(target, stamp_of(target).footer)


def _row(old: dict[str, Any], titles: _Titles) -> dict[str, Any]:
    paper_id, key = old["paper_id"], title_key(old["title"])
    had = titles.setdefault(paper_id, set())
    if key:
        had.add(f"title:{key}")
    kept = {a for a in old["aliases"] if not a.startswith("fp:") or a == paper_id}
    return old | {
        "aliases": sorted(kept | had | set(map(_respelled, kept))),
        "doi": old["doi"] and (identity.parse_doi(old["doi"]) or old["doi"]),
        "content_hash": identity.content_hash_of(old["version"], old["title"], old["abstract"], old["authors"]),
        "merged_into": None,
        "until_seq": None,
        "new_at": old["announced_at"] or old["published_at"] or old["first_seen_at"],
        "reason": None,
        "sightings": [{name: s.get(name) for name in _SIGHTING_FIELDS} for s in old["sightings"]],
    }


def _respelled(alias: str) -> str:
    """An id as sources' spellings of it are read today; 0.1.0 read fewer of them."""
    kind, _, value = alias.partition(":")
    if kind == "arxiv":
        parsed = identity.parse_arxiv_id(f"arxiv:{value}")
        return f"arxiv:{parsed[0]}" if parsed else alias
    parse = _PARSERS.get(kind)
    found = parse(value) if parse else None
    return f"{kind}:{found}" if found else alias
