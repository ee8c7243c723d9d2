"""Hold everything the archive says against everything else it says, and name every fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from storage.archive import Archive
from storage.catalog import Catalog, catalog_path
from storage.errors import ArchiveError
from storage.index import SegmentRow
from storage.ledger import Ledger
from storage.segments import read_intents, read_meta, segment_path, sha256_of

_NO_SEGMENT = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was checked and what was found. No faults: every byte is the byte that was committed."""

    segments: int
    papers: int
    sightings: int
    faults: tuple[str, ...]


def verify(home: Path, *, progress: Callable[[int, int], None] | None = None) -> Verification:
    """Read the whole archive: checksums, the hash chain, index against log, papers.duckdb against both, editions."""
    faults: list[str] = []
    sequences: dict[str, int] = {}
    aliases: dict[str, str] = {}
    sightings = 0
    with Archive(home) as archive:
        segments = archive.index.segments()
        for done, row in enumerate(segments, 1):
            faults += _segment_faults(archive, row, segments[done - 2] if done > 1 else None)
            try:
                for intent in read_intents(segment_path(archive.log, row.seq)):
                    sequences[intent.paper.paper_id] = row.seq
                    aliases |= {alias: aliases.get(alias, intent.paper.paper_id) for alias in intent.paper.aliases}
                    sightings += len(intent.sightings)
            except ArchiveError as error:
                faults.append(str(error))
            if progress:
                progress(done, len(segments))
        faults += _log_faults(archive, segments)
        faults += _index_faults(archive, sequences, aliases)
    faults += _catalog_faults(home, set(sequences))
    faults += _ledger_faults(home, set(sequences))
    return Verification(segments=len(segments), papers=len(sequences), sightings=sightings, faults=tuple(faults))


def _segment_faults(archive: Archive, row: SegmentRow, before: SegmentRow | None) -> Iterator[str]:
    path = segment_path(archive.log, row.seq)
    if not path.exists():
        yield f"segment {row.seq} is missing: {path.name} was committed and is gone"
        return
    if sha256_of(path) != row.sha256:
        yield f"segment {row.seq} is damaged: {path.name} no longer has the bytes that were committed"
    try:
        meta = read_meta(path)
    except ArchiveError as error:
        yield str(error)
        return
    previous = before.sha256.hex() if before else _NO_SEGMENT
    if meta.seq != row.seq or meta.batch_id != row.batch_id:
        yield f"segment {row.seq} says it is segment {meta.seq} of batch {meta.batch_id}"
    if meta.previous_sha256 != previous:
        yield f"segment {row.seq} does not follow segment {row.seq - 1}: the hash chain is broken"


def _log_faults(archive: Archive, segments: tuple[SegmentRow, ...]) -> Iterator[str]:
    expected = {segment_path(archive.log, row.seq).name for row in segments}
    if [row.seq for row in segments] != list(range(1, len(segments) + 1)):
        yield "the index has a hole in its segment numbers"
    for path in sorted(archive.log.glob("*.parquet")):
        if path.name not in expected:
            yield f"{path.name} lies in the log and is not part of it"


def _index_faults(archive: Archive, sequences: dict[str, int], aliases: dict[str, str]) -> Iterator[str]:
    known = dict(archive.index.connection.execute("SELECT paper_id, seq FROM heads").fetchall())
    named = dict(archive.index.connection.execute("SELECT alias, paper_id FROM aliases").fetchall())
    if known != sequences:
        wrong = sorted({*known.items()} ^ {*sequences.items()})
        yield f"the index and the log disagree on where {len({p for p, _ in wrong})} papers stand, first {wrong[0][0]}"
    if named != aliases:
        wrong_aliases = sorted({*named.items()} ^ {*aliases.items()})
        yield f"the index and the log disagree on {len(wrong_aliases)} aliases, first {wrong_aliases[0][0]}"


def _catalog_faults(home: Path, papers: set[str]) -> Iterator[str]:
    if not catalog_path(home).exists():
        if papers:
            yield "papers.duckdb is missing; the next pass makes it again"
        return
    try:
        with Catalog(home) as catalog:
            shown = {row["paper_id"] for row in catalog.rows("SELECT paper_id FROM papers")}
            twice = catalog.rows("SELECT paper_id FROM papers GROUP BY paper_id HAVING count(*) > 1")
    except (ArchiveError, duckdb.Error) as error:
        yield f"papers.duckdb cannot be read: {str(error).splitlines()[0]}"
        return
    if shown != papers:
        yield f"papers.duckdb shows {len(shown)} papers, the log holds {len(papers)}"
    if twice:
        yield f"papers.duckdb shows {len(twice)} papers twice, first {twice[0]['paper_id']}"


def _ledger_faults(home: Path, papers: set[str]) -> Iterator[str]:
    with Ledger(home) as ledger:
        for edition in ledger.editions(limit=1_000_000):
            missing = [p for p in edition.paper_ids if p not in papers]
            if missing:
                yield f"edition {edition.edition_id} names {len(missing)} papers the archive does not hold"
