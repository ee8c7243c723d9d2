"""Hold everything the archive says against everything else it says, name every fault, and mend what can be mended."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import duckdb

from storage.archive import Archive
from storage.bases import Covered, range_of, read_manifest
from storage.catalog import Catalog, catalog_path
from storage.errors import ArchiveError
from storage.index import FileRow, SegmentRow
from storage.ledger import Ledger
from storage.segments import NO_SEGMENT, SegmentMeta, read_meta
from storage.survey import Survey
from storage.tables import read_rows, sha256_of

_KEYS = ("paper_id", "seq", "until_seq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was checked and what was found. No faults: every byte is the byte that was committed."""

    segments: int = 0
    files: int = 0
    papers: int = 0
    sightings: int = 0
    faults: tuple[str, ...] = ()


def verify(home: Path, *, progress: Callable[[int, int], None] | None = None) -> Verification:
    """Read the whole archive: checksums, the hash chain, index against log, papers.duckdb against both, editions."""
    try:
        with Archive(home) as archive:
            return _verified(archive, progress)
    except (ArchiveError, sqlite3.Error) as error:
        return Verification(faults=(f"the archive cannot be opened: {error}",))


def _verified(archive: Archive, progress: Callable[[int, int], None] | None) -> Verification:
    index = archive.index
    if unusable := index.faults():
        return Verification(faults=(*unusable, "the index cannot be used, so nothing was held against it"))
    faults = index.row_faults()
    try:
        found = _checked(archive, progress)
    except ArchiveError as error:
        if not faults:
            raise
        return Verification(faults=(*faults, f"the rest could not be checked: {error}"))
    return replace(found, faults=(*faults, *found.faults))


def _checked(archive: Archive, progress: Callable[[int, int], None] | None) -> Verification:
    faults: list[str] = []
    segments, live = archive.index.segments(), archive.index.files()
    whole: list[FileRow] = []
    for done, file in enumerate(live, 1):
        found = list(_file_faults(archive, file))
        faults += found
        whole += [] if found else [file]
        if progress:
            progress(done, len(live))
    faults += _chain_faults(archive, whole, segments)
    faults += _place_faults(archive)
    if len(whole) < len(live):
        faults.append(f"{len(live) - len(whole)} files are damaged, so the rows were not held against the index")
        return Verification(segments=len(segments), files=len(live), faults=tuple(faults))
    sightings, row_faults = _rows(archive, whole)
    faults += row_faults
    with _survey(archive, whole) as survey:
        faults += _index_faults(archive, survey)
        faults += _catalog_faults(archive, survey)
        faults += _ledger_faults(archive.home, survey)
        papers = survey.papers() - len(survey.merged())
    return Verification(
        segments=len(segments), files=len(live), papers=papers, sightings=sightings, faults=tuple(faults)
    )


def _file_faults(archive: Archive, file: FileRow) -> Iterator[str]:
    path = archive.path(file)
    if not path.exists():
        yield f"{file.name} is missing: it was committed and is gone"
    elif path.stat().st_size != file.size_bytes or sha256_of(path) != file.sha256:
        yield f"{file.name} is damaged: it no longer has the bytes that were committed"


def _chain_faults(archive: Archive, files: list[FileRow], segments: tuple[SegmentRow, ...]) -> Iterator[str]:
    """Hold the commits the index tells of against what the files say of themselves, and each against the one before."""
    if [row.seq for row in segments] != list(range(1, len(segments) + 1)):
        yield "the index has a hole in its segment numbers"
    said = dict(_said(archive, files))
    events = archive.index.events()
    previous = NO_SEGMENT
    for row in segments:
        found = said.get(row.seq)
        if found is not None:
            meta, covered = found
            if (meta.seq, meta.batch_id, meta.source) != (row.seq, row.batch_id, row.source):
                yield f"segment {row.seq} says it is segment {meta.seq} of batch {meta.batch_id}"
            if meta.previous_sha256 != previous:
                yield f"segment {row.seq} does not follow segment {row.seq - 1}: the hash chain is broken"
            if (meta.last_at, meta.committed_at) != (row.last_at, row.committed_at):
                yield f"segment {row.seq} was committed at {meta.committed_at}, the index says {row.committed_at}"
            if covered and (covered.sha256, covered.rows, covered.size_bytes) != (
                row.sha256,
                row.papers,
                row.size_bytes,
            ):
                yield f"segment {row.seq} is not the one its base tells of"
            if [(row.seq, kind, payload) for kind, payload in meta.events] != events.get(row.seq, []):
                yield f"segment {row.seq} has other events than the outbox"
        previous = row.sha256.hex()
    if len(files) == len(archive.index.files()) and said.keys() != {row.seq for row in segments}:
        odd = sorted(said.keys() ^ {row.seq for row in segments})
        yield f"the index and the files disagree on {len(odd)} segments, first {odd[0]}"


def _said(archive: Archive, files: list[FileRow]) -> Iterator[tuple[int, tuple[SegmentMeta, Covered | None]]]:
    for file in files:
        if file.kind == "log":
            meta = read_meta(archive.path(file))
            yield file.lo, (meta, None)
        elif file.kind == "manifest":
            for covered in read_manifest(archive.path(file)).segments:
                yield covered.meta.seq, (covered.meta, covered)


def _place_faults(archive: Archive) -> Iterator[str]:
    """Every segment lies in one live file, a base has all of its files, and nothing lies about."""
    index = archive.index
    covered = sorted((f.lo, f.hi) for f in index.files("log", "papers"))
    expected = 1
    for lo, hi in covered:
        if lo != expected:
            yield f"no file holds segment {expected}" if lo > expected else f"two files hold segment {lo}"
        expected = hi + 1
    if expected != index.latest_seq() + 1:
        yield f"no file holds segment {expected}"
    for papers in index.files("papers"):
        for kind in ("history", "manifest"):
            if not any((f.lo, f.hi) == (papers.lo, papers.hi) for f in index.files(kind)):
                yield f"{papers.name} has no {kind} beside it"
    known = {f.name for f in (*index.files(), *index.files(retired=True))}
    for folder in ("log", "base", "topics"):
        for path in sorted((archive.folder / folder).glob("[!.]*")):
            unfinished = range_of(path.name) is not None and path.suffix == ".parquet"
            if f"{folder}/{path.name}" not in known and not unfinished:
                yield f"{folder}/{path.name} lies in the archive and is not part of it"


def _rows(archive: Archive, files: list[FileRow]) -> tuple[int, list[str]]:
    """How many sightings there are; rows that do not belong where they lie."""
    sightings, faults = 0, []
    for file in files:
        if file.kind not in ("log", "papers", "history"):
            continue
        rows = 0
        for table in read_rows(archive.path(file), ["seq", "until_seq", "sightings"], footer=file.footer):
            rows += table.num_rows
            sightings += sum(len(s or ()) for s in table["sightings"].to_pylist()) if table.num_rows else 0
            seqs, untils = table["seq"].to_pylist(), table["until_seq"].to_pylist()
            if any(not file.lo <= seq <= file.hi for seq in seqs):
                faults.append(f"{file.name} holds rows of other segments than its name says")
            if any((until is None) == (file.kind == "history") for until in untils):
                faults.append(f"{file.name} holds rows that are not {file.kind}")
        if rows != file.rows:
            faults.append(f"{file.name} has {rows} rows, the index says {file.rows}")
    return sightings, faults


def _survey(archive: Archive, files: list[FileRow]) -> Survey:
    live = [(archive.path(f), f.footer) for f in files if f.kind in ("log", "papers")]
    return Survey(live, [(archive.path(f), f.footer) for f in files if f.kind == "history"])


def _index_faults(archive: Archive, survey: Survey) -> Iterator[str]:
    index = archive.index
    wrong = sum(a != b for a, b in zip_longest(index.keys(), survey.keys()))
    if wrong:
        yield f"the index and the files disagree on where papers lie: {wrong} of the keys differ"
    stale, found = index.stale_rows(), survey.stale()
    if stale != found:
        odd = sorted({*stale} ^ {*found})
        yield f"the index and the files disagree on {len(odd)} superseded rows, first of {odd[0][0]}"
    if sorted(index.merged_into().items()) != survey.merged():
        yield "the index and the files disagree on which papers were merged"


def _catalog_faults(archive: Archive, survey: Survey) -> Iterator[str]:
    home, papers = archive.home, survey.papers() - len(survey.merged())
    if not catalog_path(home).exists():
        if papers:
            yield "papers.duckdb is missing; the next pass makes it again"
        return
    try:
        with Catalog(home) as catalog:
            seq = catalog.latest_seq()
            shown = catalog.rows("SELECT count(*) AS n, count(DISTINCT paper_id) AS ids FROM papers")[0]
            digest = catalog.rows(f"SELECT {Survey.DIGEST} AS digest FROM papers")[0]["digest"]
            stale = catalog.rows("SELECT paper_id, seq, until_seq FROM _stale ORDER BY ALL")
    except (ArchiveError, duckdb.Error) as error:
        yield f"papers.duckdb cannot be read: {str(error).splitlines()[0]}"
        return
    if seq != archive.index.latest_seq():
        latest = archive.index.latest_seq()
        yield f"papers.duckdb shows commit {seq}, the archive is at {latest}; the next pass makes it anew"
        return
    if shown["n"] != papers or digest != survey.digest():
        yield f"papers.duckdb shows {shown['n']} papers, the files hold {papers}, or others"
    if shown["n"] != shown["ids"]:
        yield f"papers.duckdb shows {shown['n'] - shown['ids']} papers twice"
    if [tuple(row[k] for k in _KEYS) for row in stale] != archive.index.stale_rows():
        yield "papers.duckdb and the index disagree on superseded rows"


def _ledger_faults(home: Path, survey: Survey) -> Iterator[str]:
    with Ledger(home) as ledger:
        for edition in ledger.editions(limit=1_000_000):
            missing = survey.missing(edition.paper_ids)
            if missing:
                yield f"edition {edition.edition_id} names {len(missing)} papers the archive does not hold"
