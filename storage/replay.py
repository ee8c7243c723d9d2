"""What brings the index up to the files: after a kill, after a loss, after an upgrade.

The files are the truth. The index can be behind them (killed between link and index transaction), gone, or of an
older schema; each opening makes that good, without hand work.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from storage.bases import Manifest, manifest_row, range_of, read_manifest
from storage.index import FileRow, SegmentRow
from storage.model import Paper
from storage.rows import paper_of
from storage.segments import SCHEMA_VERSION, SegmentMeta, read_meta, segment_path
from storage.survey import Survey
from storage.tables import open_table, read_rows, stamp_of

if TYPE_CHECKING:
    from storage.archive import Archive

_ONE_BY_ONE_ROWS = 20_000  # more unseen rows than this are taken in bulk


def recover(archive: Archive) -> int:
    """Take what the index has not seen; returns how many segments and bases."""
    if archive.index.version < 2:
        from storage.migrate import migrate

        return migrate(archive)
    with archive.index.told():
        behind = _unseen_bases(archive) or segment_path(archive.log, archive.index.latest_seq() + 1).exists()
    if not behind:
        return 0
    with archive.index.transaction():
        return unseen(archive)


def unseen(archive: Archive) -> int:
    """As `recover`, within the caller's transaction."""
    manifests, index = _unseen_bases(archive), archive.index
    if any(m.hi > index.latest_seq() for m in manifests):
        return rebuild(archive)
    for manifest in manifests:
        take_in(archive, manifest)
    paths = _unseen_segments(archive)
    old = paths and read_meta(paths[0]).schema_version < SCHEMA_VERSION  # the index of an older archive was lost
    if old or sum(open_table(path).metadata.num_rows for path in paths) > _ONE_BY_ONE_ROWS:
        return rebuild(archive)
    for path in paths:
        _take_segment(archive, path)
    return len(manifests) + len(paths)


def take_in(archive: Archive, manifest: Manifest) -> None:
    """Let a base stand for its segments: they and smaller bases are retired, superseded rows lie in its history now."""
    index = archive.index
    inside = [f.name for f in index.files("log", "papers", "history", "manifest") if _within(f, manifest)]
    index.retire(inside, now=manifest.compacted_at)
    for file in (*manifest.files, manifest_row(archive.folder, manifest)):
        index.add_file(file)
    moved = index.stale_rows(until_seq=manifest.seen_seq)
    index.forget_stale((paper_id, seq) for paper_id, seq, _ in moved if manifest.lo <= seq <= manifest.hi)


def rebuild(archive: Archive) -> int:
    """Make everything the files can tell anew; returns the number of segments. Within the caller's transaction."""
    from storage.migrate import make_base, old_segments

    index = archive.index
    acknowledged = index.acknowledged_events()
    known = {row.seq: row.sha256 for row in index.segments()}
    if old := old_segments(_outside(archive, _live(archive))):  # an older archive's index or base was lost
        make_base(archive, old, known, acknowledged)
    index.forget_log()
    live = _live(archive)
    for manifest in live:
        _record_base(archive, manifest)
    for path in _outside(archive, live):
        archive.record(read_meta(path), stamp_of(path))
    index.restore_acknowledged(acknowledged)
    for manifest in live:
        index.restore_acknowledged(_emitted(manifest))
    _retire_leftovers(archive, live)
    _record_rows(archive)
    return len(index.segments())


def _live(archive: Archive) -> list[Manifest]:
    return _outermost([read_manifest(path) for path in _manifest_paths(archive)])


def _outside(archive: Archive, live: list[Manifest]) -> list[Path]:
    """The segments that no base stands for, oldest first."""
    covered = {seq for m in live for seq in range(m.lo, m.hi + 1)}
    return [p for p in sorted(archive.log.glob("*.parquet")) if p.stem.isdigit() and int(p.stem) not in covered]


def _emitted(manifest: Manifest) -> list[tuple[int, str, str]]:
    """The events that had been emitted when a base was made; the moment of each is no more known than that."""
    at = manifest.compacted_at.isoformat()
    return [(c.meta.seq, kind, at) for c in manifest.segments if c.acknowledged for kind, _ in c.meta.events]


def _record_rows(archive: Archive) -> None:
    index = archive.index
    live = [(archive.path(f), f.footer) for f in index.files("log", "papers")]
    with Survey(live, [(archive.path(f), f.footer) for f in index.files("history")]) as survey:
        execute = index.connection.executemany
        execute("INSERT INTO stale VALUES (?, ?, ?)", survey.stale())
        execute("INSERT INTO merged VALUES (?, ?)", survey.merged())
        execute("INSERT INTO keys VALUES (?, ?, ?)", survey.keys())


def _record_base(archive: Archive, manifest: Manifest) -> None:
    for covered in manifest.segments:
        row = SegmentRow.of(covered.meta, rows=covered.rows, size_bytes=covered.size_bytes, sha256=covered.sha256)
        archive.index.record_segment(row, covered.meta.events)
    for file in (*manifest.files, manifest_row(archive.folder, manifest)):
        archive.index.add_file(file)


def _retire_leftovers(archive: Archive, live: list[Manifest]) -> None:
    """Files that a live base stands for are kept as retired, so that their time comes."""
    known = {file.name for file in archive.index.files()}
    for manifest in live:
        for path in (*archive.log.glob("*.parquet"), *archive.base.glob("*")):
            place = range_of(path.name) or _segment_range(path)
            name = f"{path.parent.name}/{path.name}"
            if place is None or name in known or not (manifest.lo <= place[0] and place[1] <= manifest.hi):
                continue
            archive.index.add_file(_retired(name, place))
            archive.index.retire([name], now=manifest.compacted_at)


def _retired(name: str, place: tuple[int, int, str]) -> FileRow:
    return FileRow(name=name, kind=place[2], lo=place[0], hi=place[1], rows=0, size_bytes=0, sha256=b"", footer=b"")


def _segment_range(path: Path) -> tuple[int, int, str] | None:
    return (int(path.stem), int(path.stem), "log") if path.stem.isdigit() else None


def _take_segment(archive: Archive, path: Path) -> None:
    meta: SegmentMeta = read_meta(path)
    archive.record(meta, stamp_of(path))
    papers: list[Paper] = [paper_of(row) for table in read_rows(path) for row in table.to_pylist()]
    # Looked up before this segment's own rows are known: what is found is what they supersede.
    held = archive.held(p.paper_id for p in papers)
    for paper in papers:
        before = held.get(paper.paper_id)
        archive.index.record_row(paper, meta.seq, (before.paper, before.seq) if before else None)


def _unseen_segments(archive: Archive) -> list[Path]:
    paths, seq = [], archive.index.latest_seq() + 1
    while (path := segment_path(archive.log, seq)).exists():
        paths.append(path)
        seq += 1
    return paths


def _unseen_bases(archive: Archive) -> list[Manifest]:
    known = archive.index.file_names("manifest")
    paths = [path for path in _manifest_paths(archive) if f"base/{path.name}" not in known]
    return sorted((read_manifest(path) for path in paths), key=lambda m: m.hi - m.lo)


def _manifest_paths(archive: Archive) -> list[Path]:
    return sorted(path for path in archive.base.glob("*.json.gz") if range_of(path.name))  # no temporary one


def _outermost(manifests: list[Manifest]) -> list[Manifest]:
    """The manifests that no other contains, oldest first."""
    found: list[Manifest] = []
    for manifest in sorted(manifests, key=lambda m: (m.lo - m.hi, m.lo)):
        if not any(other.lo <= manifest.lo and manifest.hi <= other.hi for other in found):
            found.append(manifest)
    return sorted(found, key=lambda m: m.lo)


def _within(file: FileRow, manifest: Manifest) -> bool:
    return manifest.lo <= file.lo and file.hi <= manifest.hi
