"""The SQLite index beside the log: where each paper lies, repeats, files, outbox, and how each source stands.

WAL with synchronous=FULL: what it acknowledged survives a power cut (docs/design.md, "Durability").
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from storage import sums, upgrade
from storage.errors import ArchiveCorrupt
from storage.index_errors import BUSY_SECONDS, reading, refuse_newer, translated
from storage.model import Entry, Event, Paper
from storage.portions import portions
from storage.seen import Seen

if TYPE_CHECKING:
    from storage.segments import SegmentMeta
    from storage.tables import Stamp

_SCHEMA = files("storage").joinpath("index.sql").read_text(encoding="utf-8")
_IN_MAX = 500  # values in one IN list
_MMAP_BYTES = 4_000_000_000
_DAY_SECONDS = 86_400
_SEEN_KEPT_DAYS = 90
INDEX_VERSION = 2  # PRAGMA user_version; 0 with a table `heads` is the first released schema


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """What the index keeps of one committed segment."""

    seq: int
    batch_id: str
    source: str
    papers: int
    size_bytes: int
    sha256: bytes
    last_at: datetime
    committed_at: datetime

    @classmethod
    def of(cls, meta: SegmentMeta, *, rows: int, size_bytes: int, sha256: bytes) -> SegmentRow:
        """The row of a segment that says this of itself and has these bytes."""
        return cls(
            seq=meta.seq,
            batch_id=meta.batch_id,
            source=meta.source,
            papers=rows,
            size_bytes=size_bytes,
            sha256=sha256,
            last_at=meta.last_at,
            committed_at=meta.committed_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    """One file of archive/ and what its bytes were when it was committed."""

    name: str  # relative to archive/
    kind: str  # log, papers, history, manifest, topics
    lo: int
    hi: int
    rows: int
    size_bytes: int
    sha256: bytes
    footer: bytes
    retired_at: datetime | None = None

    @classmethod
    def of(cls, name: str, kind: str, lo: int, hi: int, stamp: Stamp) -> FileRow:
        """The row of a Parquet file with these bytes."""
        return cls(
            name=name,
            kind=kind,
            lo=lo,
            hi=hi,
            rows=stamp.rows,
            size_bytes=stamp.size_bytes,
            sha256=stamp.sha256,
            footer=stamp.footer,
        )


class Index:
    """One connection to archive/index.sqlite. Not shared between threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            refuse_newer(path, INDEX_VERSION)
            self.connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", f"mmap_size={_MMAP_BYTES}", "cache_size=-65536"):
                self.connection.execute(f"PRAGMA {pragma}")
            sums.prepare(self.connection)
            self.version = self._prepare()
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:  # the last where an error quotes what is damaged
            raise translated(error, path) from error
        self._seen = Seen(self.connection)

    def _prepare(self) -> int:
        """Make the tables of a new index; returns the schema version of an older one, untouched."""
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        old = self.connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'heads'").fetchone()
        if version == 0 and old:
            return 1
        if version == 0 or upgrade.is_older(self.connection):
            self.make_tables()
        return INDEX_VERSION

    def make_tables(self) -> None:
        """Create what is missing; the index has this program's schema from then on."""
        with nullcontext() if self.connection.in_transaction else self.transaction():
            for statement in _SCHEMA.split(";"):
                self.connection.execute(statement)
            upgrade.take_over(self.connection)
            sums.install(self.connection)
            self.connection.execute(f"PRAGMA user_version = {INDEX_VERSION}")
        self.version = INDEX_VERSION

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Say SQLite's errors, and those of the disk, in one line of ours. Raises ArchiveError, ArchiveFull."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise translated(error, self.path) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the one write lock; commit at the end, roll back on any error."""
        with self.told():
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    # What is known -------------------------------------------------------------------------------------------

    @reading
    def latest_seq(self) -> int:
        """The newest segment the index has seen; 0 for an empty archive."""
        return int(self.connection.execute("SELECT coalesce(max(seq), 0) FROM segments").fetchone()[0])

    @reading
    def segment(self, seq: int) -> SegmentRow | None:
        """The segment with this number."""
        return next(self._segments("WHERE seq = ?", (seq,)), None)

    @reading
    def segments(self) -> tuple[SegmentRow, ...]:
        """All segments, oldest first."""
        return tuple(self._segments("", ()))

    @reading
    def has_batch(self, batch_id: str) -> bool:
        """Whether this batch was committed before."""
        return bool(self.connection.execute("SELECT 1 FROM segments WHERE batch_id = ?", (batch_id,)).fetchone())

    @reading
    def find(self, aliases: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """For each alias the segments that may hold the newest row of a paper that carries it."""
        by_key: dict[int, str] = {key_of(alias): alias for alias in aliases}
        found: dict[str, list[int]] = {}
        # Sorted keys walk the B-tree once: 167 → 6 ms for 2,000 look-ups at 3 million rows.
        for chunk in portions(sorted(by_key), _IN_MAX):
            for k, seq in self.connection.execute(f"SELECT k, seq FROM keys WHERE k IN ({_marks(chunk)})", chunk):
                found.setdefault(by_key[k], []).append(seq)
        return {alias: tuple(seqs) for alias, seqs in found.items()}

    def keys(self) -> Iterator[tuple[int, int, int]]:
        """Every (k, seq, n), sorted."""
        yield from self.connection.execute("SELECT k, seq, n FROM keys ORDER BY k, seq")

    @reading
    def papers_count(self) -> int:
        """How many papers the archive holds."""
        (rows,) = self.connection.execute(
            "SELECT coalesce(sum(rows), 0) FROM files WHERE kind IN ('log', 'papers') AND retired_at IS NULL"
        ).fetchone()
        (gone,) = self.connection.execute(
            "SELECT (SELECT count(*) FROM stale) + (SELECT count(*) FROM merged)"
        ).fetchone()
        return int(rows) - int(gone)

    @reading
    def is_stale(self, paper_id: str, seq: int) -> bool:
        """Whether a later commit superseded this row."""
        row = self.connection.execute("SELECT 1 FROM stale WHERE paper_id = ? AND seq = ?", (paper_id, seq)).fetchone()
        return row is not None

    @reading
    def stale_rows(self, *, until_seq: int | None = None, after: int = 0) -> list[tuple[str, int, int]]:
        """(paper_id, seq, until_seq) of the superseded rows of live files, sorted.

        Only those superseded until the commit `until_seq`, and made after the commit `after`, where given.
        """
        return self.connection.execute(
            "SELECT * FROM stale WHERE until_seq <= coalesce(?, until_seq) AND seq > ? ORDER BY paper_id, seq",
            (until_seq, after),
        ).fetchall()

    @reading
    def stale_seqs(self, paper_id: str) -> list[int]:
        """The superseded rows of one paper in live files."""
        rows = self.connection.execute("SELECT seq FROM stale WHERE paper_id = ? ORDER BY seq", (paper_id,))
        return [int(seq) for (seq,) in rows]

    @reading
    def merged_into(self) -> dict[str, str]:
        """Every paper that was found to be another one, and which."""
        return dict(self.connection.execute("SELECT paper_id, into_id FROM merged ORDER BY paper_id").fetchall())

    @reading
    def unsaid(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries that are not exactly what their source said last of them, counts included."""
        return self._seen.unsaid(entries)

    def record_said(self, entries: Iterable[Entry], *, now: datetime) -> None:
        """Keep what was said, so that its repetition costs one look-up; forget what was said long ago."""
        day = int(now.timestamp()) // _DAY_SECONDS
        self._seen.record(entries, day=day)
        if self.get_meta("seen_pruned") != str(day):
            self._seen.forget(before_day=day - _SEEN_KEPT_DAYS)
            self.set_meta("seen_pruned", str(day))

    # What a segment brings -----------------------------------------------------------------------------------

    def record_segment(self, row: SegmentRow, events: Sequence[tuple[str, dict[str, object]]]) -> None:
        """Take a committed segment into the index, with its events."""
        self.connection.execute(
            "INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(row.seq, row.batch_id, row.source, row.papers, row.size_bytes, row.sha256),
                *(_iso(row.last_at), _iso(row.committed_at)),
            ),
        )
        self.connection.executemany(
            "INSERT OR IGNORE INTO outbox (seq, kind, payload, created_at) VALUES (?, ?, ?, ?)",
            ((row.seq, kind, json.dumps(payload, sort_keys=True), _iso(row.committed_at)) for kind, payload in events),
        )

    def record_row(self, paper: Paper, seq: int, before: tuple[Paper, int] | None) -> None:
        """Take one new row of a paper: its ids point at it, the row `before` is superseded."""
        execute, many = self.connection.execute, self.connection.executemany
        if before is not None:
            old, old_seq = before
            execute("INSERT OR REPLACE INTO stale VALUES (?, ?, ?)", (old.paper_id, old_seq, seq))
            keys = [(key_of(alias), old_seq) for alias in old.aliases]
            many("UPDATE keys SET n = n - 1 WHERE k = ? AND seq = ?", keys)
            many("DELETE FROM keys WHERE k = ? AND seq = ? AND n <= 0", keys)
        self.add_keys((key_of(alias), seq, 1) for alias in paper.aliases)
        execute("DELETE FROM merged WHERE paper_id = ?", (paper.paper_id,))
        if paper.merged_into is not None:
            execute("INSERT INTO merged VALUES (?, ?)", (paper.paper_id, paper.merged_into))

    def add_keys(self, rows: Iterable[tuple[int, int, int]]) -> None:
        """Add (k, seq, n) rows; sorted ones go fastest."""
        self.connection.executemany(
            "INSERT INTO keys VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n", rows
        )

    def forget_log(self) -> None:
        """Empty everything that the files can tell again."""
        events = ("outbox", "tags", "retagged", "topic_changes", "meta")
        for table in ("keys", "seen", "segments", "files", "stale", "merged", *events):
            self.connection.execute(f"DELETE FROM {table}")

    # Files ---------------------------------------------------------------------------------------------------

    def add_file(self, row: FileRow) -> None:
        """Keep what a file's bytes were when it was committed."""
        self.connection.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)",
            (row.name, row.kind, row.lo, row.hi, row.rows, row.size_bytes, row.sha256, row.footer),
        )

    @reading
    def files(self, *kinds: str, retired: bool = False) -> tuple[FileRow, ...]:
        """The live files of these kinds (all kinds where none is named), or the retired ones; newest range first."""
        where = f"kind IN ({_marks(kinds)}) AND" if kinds else ""
        state = "NOT NULL" if retired else "NULL"
        rows = self.connection.execute(
            f"SELECT * FROM files WHERE {where} retired_at IS {state} ORDER BY hi DESC, name DESC", kinds
        )
        return tuple(
            FileRow(name=n, kind=k, lo=lo, hi=hi, rows=r, size_bytes=b, sha256=s, footer=f, retired_at=_moment(at))
            for n, k, lo, hi, r, b, s, f, at in rows
        )

    @reading
    def file_names(self, kind: str) -> frozenset[str]:
        """The names of all files of a kind, retired ones too."""
        return frozenset(str(n) for (n,) in self.connection.execute("SELECT name FROM files WHERE kind = ?", (kind,)))

    @reading
    def file_holding(self, seqs: Iterable[int]) -> dict[str, tuple[FileRow, list[int]]]:
        """The live files that hold the current rows of segments `seqs`, each with its share of them."""
        live, found = self.files("log", "papers"), dict[str, tuple[FileRow, list[int]]]()
        for seq in sorted(set(seqs)):
            row = next((f for f in live if f.lo <= seq <= f.hi), None)
            if row is None:
                raise ArchiveCorrupt(f"the index knows of no file with segment {seq}; `paperwire verify --repair`")
            found.setdefault(row.name, (row, []))[1].append(seq)
        return found

    def retire(self, names: Iterable[str], *, now: datetime) -> None:
        """Mark files whose place a larger one took."""
        self.connection.executemany(
            "UPDATE files SET retired_at = ? WHERE name = ? AND retired_at IS NULL", ((_iso(now), n) for n in names)
        )

    def forget_files(self, names: Iterable[str]) -> None:
        """Drop files that are no more."""
        self.connection.executemany("DELETE FROM files WHERE name = ?", ((n,) for n in names))

    def forget_stale(self, rows: Iterable[tuple[str, int]]) -> None:
        """Drop superseded rows that lie in history files now."""
        self.connection.executemany("DELETE FROM stale WHERE paper_id = ? AND seq = ?", rows)

    # Topics --------------------------------------------------------------------------------------------------

    def replace_tags(self, paper_ids: Sequence[str], tags: Sequence[tuple[str, str, str]]) -> None:
        """Give `paper_ids` exactly these (paper_id, topic, reason) rows, whatever the file of topics says of them."""
        self.connection.executemany("DELETE FROM tags WHERE paper_id = ?", ((p,) for p in paper_ids))
        self.connection.executemany("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", tags)
        self.connection.executemany("INSERT OR IGNORE INTO retagged VALUES (?)", ((p,) for p in paper_ids))

    @reading
    def recent_tags(self) -> list[tuple[str, str, str]]:
        """(paper_id, topic, reason) of the papers tagged since the file of topics was written."""
        return self.connection.execute("SELECT paper_id, topic, reason FROM tags ORDER BY topic, paper_id").fetchall()

    @reading
    def topics_of(self, paper_ids: Iterable[str]) -> set[str]:
        """The topics that any of these papers got since the file of topics was written."""
        execute = self.connection.execute
        return {str(t) for p in paper_ids for (t,) in execute("SELECT topic FROM tags WHERE paper_id = ?", (p,))}

    @reading
    def not_retagged(self, paper_ids: Iterable[str]) -> list[str]:
        """Those of these papers of which the file of topics still tells."""
        execute = self.connection.execute
        return [p for p in paper_ids if not execute("SELECT 1 FROM retagged WHERE paper_id = ?", (p,)).fetchone()]

    @reading
    def retagged_count(self) -> int:
        """Of how many papers the file of topics tells no more."""
        return int(self.connection.execute("SELECT count(*) FROM retagged").fetchone()[0])

    @reading
    def retagged(self) -> list[str]:
        """The papers of which the file of topics tells no more."""
        return [str(p) for (p,) in self.connection.execute("SELECT paper_id FROM retagged ORDER BY paper_id")]

    def forget_tags(self) -> None:
        """All tags lie in the file of topics now."""
        self.connection.execute("DELETE FROM tags")
        self.connection.execute("DELETE FROM retagged")

    def touch_topics(self, topics: Iterable[str], *, seq: int) -> None:
        """Note that papers of these topics changed in segment `seq`."""
        self.connection.executemany("INSERT OR REPLACE INTO topic_changes VALUES (?, ?)", ((t, seq) for t in topics))

    @reading
    def topics_touched(self, *, after_seq: int) -> frozenset[str]:
        """Topics whose papers changed in a segment after `after_seq`."""
        rows = self.connection.execute("SELECT topic FROM topic_changes WHERE seq > ?", (after_seq,))
        return frozenset(str(t) for (t,) in rows)

    # The outbox and small facts ------------------------------------------------------------------------------

    @reading
    def pending_events(self) -> tuple[Event, ...]:
        """Events not yet acknowledged, oldest first."""
        rows = self.connection.execute(
            "SELECT event_id, kind, payload, created_at FROM outbox WHERE acknowledged_at IS NULL ORDER BY event_id"
        )
        return tuple(
            Event(event_id=i, kind=kind, payload=json.loads(payload), created_at=datetime.fromisoformat(at))
            for i, kind, payload, at in rows
        )

    def acknowledge(self, event_ids: Sequence[int], *, now: datetime) -> None:
        """Mark events as emitted."""
        self.connection.executemany(
            "UPDATE outbox SET acknowledged_at = ? WHERE event_id = ? AND acknowledged_at IS NULL",
            ((_iso(now), event_id) for event_id in event_ids),
        )

    @reading
    def events(self) -> dict[int, list[tuple[int, str, dict[str, object]]]]:
        """(seq, kind, payload) of every event, by segment."""
        found: dict[int, list[tuple[int, str, dict[str, object]]]] = {}
        for seq, kind, payload in self.connection.execute("SELECT seq, kind, payload FROM outbox ORDER BY event_id"):
            found.setdefault(seq, []).append((seq, kind, json.loads(payload)))
        return found

    @reading
    def faults(self) -> list[str]:
        """Why nothing of the index can be relied on, a line each: its structure, settings or schema."""
        rows = self.connection.execute("PRAGMA integrity_check(20)").fetchall()
        found = [text for (text,) in rows if text != "ok"]
        if self.version < INDEX_VERSION:  # had no sums
            return [f"index.sqlite: {text}" for text in found]
        found = found or list(sums.schema_faults(self.connection))
        for pragma, expected in (("user_version", INDEX_VERSION), ("application_id", 0), ("encoding", "UTF-8")):
            (value,) = self.connection.execute(f"PRAGMA {pragma}").fetchone()
            found += [] if value == expected else [f"its {pragma} is {value}, not {expected}"]
        return [f"index.sqlite: {text}" for text in found]

    @reading
    def row_faults(self) -> list[str]:
        """Tables whose rows are not what was written, a line each; those that files can tell of are not looked at."""
        found = [
            f"index.sqlite: rows of {table} are not what was written" for table in sums.wrong_tables(self.connection)
        ]
        wrong = self._seen.wrong_rows()
        return [*found, f"index.sqlite: {wrong} rows of seen are not what was written"] if wrong else found

    @reading
    def acknowledged_events(self) -> list[tuple[int, str, str]]:
        """(seq, kind, acknowledged_at) of the events that were emitted."""
        return self.connection.execute(
            "SELECT seq, kind, acknowledged_at FROM outbox WHERE acknowledged_at IS NOT NULL ORDER BY seq"
        ).fetchall()

    def restore_acknowledged(self, events: Iterable[tuple[int, str, str]]) -> None:
        """Mark events as emitted at the moment they were."""
        self.connection.executemany(
            "UPDATE outbox SET acknowledged_at = ?3 WHERE seq = ?1 AND kind = ?2 AND acknowledged_at IS NULL", events
        )

    @reading
    def get_meta(self, key: str, default: str = "") -> str:
        """A small fact kept between runs."""
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else default

    def set_meta(self, key: str, value: str) -> None:
        """Keep a small fact."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # Internals -----------------------------------------------------------------------------------------------

    def _segments(self, where: str, parameters: tuple[object, ...]) -> Iterator[SegmentRow]:
        for row in self.connection.execute(f"SELECT * FROM segments {where} ORDER BY seq", parameters):
            yield SegmentRow(
                seq=row[0],
                batch_id=row[1],
                source=row[2],
                papers=row[3],
                size_bytes=row[4],
                sha256=row[5],
                last_at=datetime.fromisoformat(row[6]),
                committed_at=datetime.fromisoformat(row[7]),
            )


def key_of(alias: str) -> int:
    """63 bits of the md5 of an alias; `(md5_number_lower(alias) >> 1)::BIGINT` in DuckDB."""
    return int.from_bytes(hashlib.md5(alias.encode(), usedforsecurity=False).digest()[8:], "little") >> 1


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
