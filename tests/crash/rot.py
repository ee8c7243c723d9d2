"""Flipped bits: one at a time, anywhere in the archive's files.

`verify` must name it, no read may believe it, and of the index `verify --repair` must leave nothing that is named.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from flows.decide import decide
from storage.archive import Archive
from storage.coverage import Batch, CoverageLog, State, Verdict, joined, packed
from storage.fetchlog import FetchLog, FetchRow, SourceState
from tests.builders import NOW, an_entry
from tests.crash.report import Row
from tests.crash.workers import Outcome, Workers

_STEPS = 24
_MENDED_EVERY = 4  # of the flips in the index that were found, every fourth is mended


@dataclass(frozen=True, slots=True)
class Flip:
    """One bit of one file."""

    path: Path  # relative to the home
    byte: int
    bit: int

    def apply(self, home: Path) -> None:
        """Flip it."""
        with (home / self.path).open("r+b") as file:
            file.seek(self.byte)
            value = file.read(1)[0] ^ (1 << self.bit)
            file.seek(self.byte)
            file.write(bytes([value]))

    def __str__(self) -> str:
        return f"{self.path} byte {self.byte} bit {self.bit}"


def make_archive(workers: Workers, home: Path) -> None:
    """An archive with commits, compacted ones where it can, a published papers.duckdb, and no open transaction."""
    workers.do("ingest", home, first=0, until=_STEPS * 2 // 3, publish=True)
    workers.do("compact", home, now=1)
    workers.do("compact", home, now=3)  # and the segments it stands for are gone
    workers.do("ingest", home, first=_STEPS * 2 // 3, until=_STEPS, publish=True)
    with Archive(home) as archive:
        fill_index(archive)
        archive.index.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def fill_index(archive: Archive) -> None:
    """Rows in every table that no file can tell of: reads, their coverage, refused entries, acknowledged events."""
    log, coverage = FetchLog(archive.index), CoverageLog(archive.index)
    for number in range(12):
        at = NOW + timedelta(hours=number)
        log.record(_state(number, at), tuple(_fetch(number, page, at) for page in range(3)))
        with archive.index.transaction():
            coverage.record([_batch(number, at)])
            coverage.judge([_verdict(number, at)], now=at)
    refused = [an_entry(source=f"feed:{n}", entry_id=f"https://example.org/{n}", title=" ") for n in range(12)]
    archive.append(refused, source="feed", batch_id="refused", now=NOW, decide=decide)
    archive.index.acknowledge([event.event_id for event in archive.index.pending_events()[::2]], now=NOW)


def _state(number: int, at: datetime) -> SourceState:
    return SourceState(
        source=f"feed:{number}",
        checked_at=at,
        succeeded_at=at,
        batch_on=at.date(),
        error=None,
        failing_since=None,
        notes=("a list of another day",),
    )


def _batch(number: int, at: datetime) -> Batch:
    ids = joined(packed(["https://example.org/1", "https://example.org/2"]))
    return Batch(source=f"feed:{number}", day=at.date(), asked_at=at, read_at=at, grew_at=at, listed=2, came=2, ids=ids)


def _verdict(number: int, at: datetime) -> Verdict:
    return Verdict(
        source=f"feed:{number}",
        day=at.date(),
        state=State.LATE,
        missing=True,
        came=2,
        why="it is empty on a working day",
    )


def _fetch(number: int, page: int, at: datetime) -> FetchRow:
    return FetchRow(
        source=f"feed:{number}",
        url=f"https://example.org/feed/{number}?page={page}",
        fetched_at=at,
        status=200,
        wire_bytes=12_345,
        body_sha256="0123456789abcdef" * 4,
        etag=f'"{number}"',
        last_modified=None,
        listed=20,
        error=None,
    )


def flip_bits(workers: Workers, folder: Path, *, flips: int, index: bool, seed: int = 1) -> Row:
    """Flip bits of the index, or of all other files of the archive; each one that nobody saw is a fault.

    Most of a small index is room for more: a flip that falls there is counted apart and not as one of `flips`.
    """
    home, kept = folder / "home", folder / "kept"
    folder.mkdir(parents=True, exist_ok=True)
    make_archive(workers, home)
    home.rename(kept)
    row = Row(f"flipped bits in {'the index' if index else 'segments and manifests'}")
    free = sql = mended = 0
    for flip in choose(kept, random.Random(seed), index=index):  # noqa: S311 - reproducible
        _flipped(kept, home, flip)
        if index and same_tables(kept / flip.path, home / flip.path):
            free += 1
            continue
        row.points += 1
        read = workers.run("read", home, steps=_STEPS)
        row.take(str(flip), {"faults": read.result.get("wrong", [])}, _broken(read))
        sql += read.result.get("sql", False)
        _flipped(kept, home, flip)  # opening it may have mended it
        verified = workers.run("verify", home)
        found = bool(verified.error or verified.result.get("faults"))
        row.killed += found
        unseen = [] if found or _broken(verified) else _unseen(kept / flip.path, home / flip.path)
        row.take(str(flip), {"faults": unseen}, _broken(verified))
        if index and found and row.points % _MENDED_EVERY == 0:
            row.take(str(flip), {"faults": _left(workers, home)})
            mended += 1
        if row.points == flips:
            break
    row.note = f"{sql} gave plain SQL wrong answers"
    row.note += f"; {free} more fell on bytes that hold nothing; {mended} were mended" if index else ""
    return row.done()


def _flipped(kept: Path, home: Path, flip: Flip) -> None:
    """The archive with one bit flipped."""
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(kept, home)
    flip.apply(home)


def choose(home: Path, chance: random.Random, *, index: bool) -> Iterator[Flip]:
    """Bits to flip, without end, spread over the files by size."""
    files = [path for path in sorted((home / "archive").rglob("*")) if path.suffix in (".sqlite", ".parquet", ".gz")]
    files = [path for path in files if (path.suffix == ".sqlite") == index]
    sizes = [path.stat().st_size for path in files]
    while True:
        path = chance.choices(files, sizes)[0]
        yield Flip(path.relative_to(home), chance.randrange(path.stat().st_size), chance.randrange(8))


def same_tables(before: Path, after: Path) -> bool:
    """Whether two SQLite files hold the same rows in sound structures: the flip fell on bytes that hold nothing."""
    try:
        sound = all(_rows(path, "PRAGMA integrity_check") == [("ok",)] for path in (before, after))
        return sound and _differing(before, after) == []
    except (sqlite3.Error, UnicodeDecodeError):  # the latter where an error quotes what was flipped
        return False


def _left(workers: Workers, home: Path) -> list[str]:
    """What `verify` still finds once a damaged index was mended."""
    repaired = workers.run("repair", home)
    if "newer Paperwire" in repaired.error:  # a flipped version cannot be told from one that is really newer
        return []
    if wrong := _broken(repaired) or repaired.error:
        return [f"repair failed: {wrong.strip().splitlines()[-1]}"]
    verified = workers.run("verify", home)
    left = [str(fault) for fault in verified.result.get("faults", [verified.error])]
    return [f"repair left: {fault}" for fault in left if not fault.startswith("papers.duckdb is missing")]


def _unseen(before: Path, after: Path) -> list[str]:
    """That `verify` saw nothing, and which tables of an index differ after it."""
    if before.suffix != ".sqlite":
        return ["verify saw nothing"]
    if same_tables(before, after):
        return []  # a setting of SQLite's, which opening the index has put right
    try:
        return [f"verify saw nothing; changed: {', '.join(_differing(before, after)) or 'only the structure'}"]
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return [f"verify saw nothing; {error}"]


def _differing(before: Path, after: Path) -> list[str]:
    """The tables and settings in which two SQLite files differ."""
    things = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"
    names = [str(row[1]) for row in _rows(before, things) if row[0] == "table"]
    asked: Sequence[tuple[str, str]] = [
        ("the schema", things),
        *((f"PRAGMA {p}", f"PRAGMA {p}") for p in ("user_version", "application_id", "encoding", "journal_mode")),
        *((name, f'SELECT * FROM "{name}"') for name in names),
    ]
    return [name for name, sql in asked if _rows(before, sql) != _rows(after, sql)]


def _rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    # Strict about text: a flip that makes it no UTF-8 is an error, not a replacement character.
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def _broken(outcome: Outcome) -> str:
    """What is wrong with how a read or verify ended, or ''."""
    if outcome.status and not outcome.traceback:
        return f"it died with status {outcome.status}"
    return outcome.traceback
