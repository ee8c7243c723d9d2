"""The archive: an append-only log of segments, the index beside it, and the one way to add to both.

A commit is: hold the lock → look up what is known → decide → segment written, fsynced, linked → index transaction.
Killed before the link, nothing happened; killed after it, the next opening takes the segment into the index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb

from storage import columns, identity, merging, replay
from storage.bases import rows_of_papers
from storage.errors import ArchiveError, EntryError
from storage.index import FileRow, Index, SegmentRow
from storage.known import Known, Match
from storage.model import Announcement, Candidate, Commit, Entry, Intent, Paper, Told
from storage.rows import PAPER_TYPES, paper_of
from storage.segments import NO_SEGMENT, SegmentMeta, segment_path, write_segment
from storage.settings import Limits
from storage.survey import CONFIG
from storage.tables import Stamp, rows_with
from storage.text import clean

Decide = Callable[[Candidate, Paper | None, datetime, datetime], Intent | None]
"""(candidate, known, now, at) → what it means; `at` is the moment readers are told, unique in the archive."""

_STEP = timedelta(milliseconds=1)  # no two announcements share a moment: readers sort by it


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A paper's newest row, and where it lies."""

    paper: Paper
    seq: int


class Archive:
    """The log and its index under `home`/archive. One writer at a time; readers are never in the way."""

    def __init__(
        self, home: Path, *, limits: Limits | None = None, index_path: Path | None = None, bring_up: bool = True
    ) -> None:
        """Open it, brought up to its files and to this program's schema and columns. Raises ArchiveError.

        Without `bring_up` files may lack columns that came later: for whoever holds the lock of compaction.
        """
        self.home, self.limits = home, limits or Limits()
        self.folder = home / "archive"
        self.log, self.base = self.folder / "log", self.folder / "base"
        for folder in (self.log, self.base):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ArchiveError(f"cannot make {folder}: {error.strerror}") from error
        self.index = Index(index_path or self.folder / "index.sqlite")
        self._scratch: duckdb.DuckDBPyConnection | None = None
        self.recover()
        if bring_up:
            columns.bring_up(self)

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.index.close()
        self.close_scratch()

    def append(
        self,
        entries: Sequence[Entry],
        *,
        source: str,
        batch_id: str,
        now: datetime,
        decide: Decide,
    ) -> Commit:
        """Add what one source said, exactly once per `batch_id`; returns what it meant.

        Entries that break a limit are kept as rejects with their reason. Raises ArchiveError, ArchiveFull.
        """
        with self.index.transaction():
            replay.unseen(self)
            if self.index.has_batch(batch_id):
                return Commit(seq=None, batch_id=batch_id, entries=len(entries), rejected=0, papers=0)
            unsaid = self.index.unsaid(entries)
            cleaned, rejected = self._clean(unsaid, now)
            intents, held, last_at = self._intents([entry for _, entry in cleaned], now, decide)
            self.index.record_said([raw for raw, _ in cleaned], now=now)
            commit = _commit(batch_id, len(entries), rejected, intents)
            if not intents:
                return commit
            return self._commit(commit, intents, held, source=source, last_at=last_at, now=now)

    def merge(self, kept: str, other: str, *, reason: str, now: datetime) -> Commit:
        """Make two papers one; `kept` is the id under which it goes on. Raises ArchiveError."""
        with self.index.transaction():
            replay.unseen(self)
            held = self.held([kept, other])
            for paper_id in (kept, other):
                _require_live(held, paper_id)
            if kept == other:
                raise ArchiveError(f"{kept} is one paper already")
            whole, gone = merging.merged(held[kept].paper, held[other].paper)
            intents = [Intent(paper=p, sightings=(), changes=("merged",), reason=reason) for p in (whole, gone)]
            return self._by_hand(intents, held, f"merge {kept} {other}", now)

    def split(self, other: str, *, reason: str, now: datetime) -> Commit:
        """Undo the merge that took the paper `other` away. Raises ArchiveError."""
        with self.index.transaction():
            replay.unseen(self)
            merged = self.index.merged_into()
            merged_into = merged.get(other)
            if merged_into is None:
                raise ArchiveError(f"{other} was not merged into another paper")
            if merged_into in merged:  # what `other` brought lies with the last of the chain
                raise ArchiveError(f"{merged_into}, which {other} was merged into, was merged itself; split that first")
            held = self.held([merged_into, other])
            at = held[other].seq
            before = self._before(merged_into, at)
            kept, apart = merging.parted(held[merged_into].paper, before, self._before(other, at))
            intents = [Intent(paper=p, sightings=(), changes=("split",), reason=reason) for p in (kept, apart)]
            return self._by_hand(intents, held, f"split {other}", now)

    def append_nothing(self, what: str, *, now: datetime) -> Commit:
        """Make a commit without a row. Raises ArchiveError, ArchiveFull."""
        with self.index.transaction():
            replay.unseen(self)
            return self._by_hand([], {}, what, now)

    def papers(self, paper_ids: Iterable[str]) -> dict[str, Paper]:
        """The known papers among `paper_ids`, as they stand now. Raises ArchiveCorrupt."""
        wanted = set(paper_ids)
        return {p: held.paper for p, held in self.held(wanted).items() if p in wanted}

    def history(self, paper_id: str) -> list[Intent]:
        """Every row of one paper, oldest first. Raises ArchiveCorrupt."""
        return [intent for intent, _ in rows_of_papers(self, [paper_id])]

    def held(self, aliases: Iterable[str]) -> dict[str, Held]:
        """The newest row of every paper that carries one of `aliases`, by paper_id. Raises ArchiveCorrupt."""
        found = self.index.find(aliases)
        held: dict[str, Held] = {}
        lying = self.index.file_holding(seq for places in found.values() for seq in places)
        for file, seqs in lying.values():
            for row in self._rows(file, found.keys(), seqs):
                if not self.index.is_stale(row["paper_id"], row["seq"]):
                    held[row["paper_id"]] = Held(paper=paper_of(row), seq=row["seq"])
        return held

    def recover(self) -> int:
        """Bring the index up to the files: an older schema, segments and bases it has not seen; returns how many."""
        return replay.recover(self)

    def rebuild_index(self) -> int:
        """Build the index again from the files alone; returns the number of segments. Fetch records are kept."""
        with self.index.transaction():
            return replay.rebuild(self)

    def scratch(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB in memory to work things out in: opening one costs more than what most commits ask of it."""
        if self._scratch is None:
            # With one thread: what is worked out is small, and handing it about costs as much CPU again.
            self._scratch = duckdb.connect(config=CONFIG | {"threads": "1"})
            # A file is written whole at its commit: DuckDB ends the process where it cannot write its own log.
            self._scratch.execute("SET wal_autocheckpoint = '0b'")
        return self._scratch

    def close_scratch(self) -> None:
        """Let go of it, and of whatever it holds."""
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None

    def path(self, file: FileRow) -> Path:
        """Where a file of the index lies."""
        return self.folder / file.name

    def next_meta(self, *, source: str, batch_id: str, last_at: datetime, now: datetime, commit: Commit) -> SegmentMeta:
        """What the next segment says of itself."""
        seq = self.index.latest_seq() + 1
        before = self.index.segment(seq - 1)
        payload: dict[str, object] = {
            "seq": seq,
            "from_seq": seq,
            "source": source,
            "papers": commit.papers,
            "announcements": {str(k): v for k, v in sorted(commit.announcements.items())},
        }
        return SegmentMeta(
            seq=seq,
            batch_id=batch_id,
            source=source,
            previous_sha256=before.sha256.hex() if before else NO_SEGMENT,
            last_at=last_at,
            committed_at=now.astimezone(UTC),
            events=(("papers.ingested", payload),),
        )

    def record(self, meta: SegmentMeta, stamp: Stamp) -> None:
        """Take a segment, its file and its events into the index; not its rows."""
        row = SegmentRow.of(meta, rows=stamp.rows, size_bytes=stamp.size_bytes, sha256=stamp.sha256)
        self.index.record_segment(row, meta.events)
        name = f"log/{segment_path(self.log, meta.seq).name}"
        self.index.add_file(FileRow.of(name, "log", meta.seq, meta.seq, stamp))

    def first_moment(self, now: datetime) -> datetime:
        """The first moment that no announcement has yet."""
        last = self.index.segment(self.index.latest_seq())
        return max(now, last.last_at + _STEP) if last else now

    def _by_hand(self, intents: list[Intent], held: dict[str, Held], what: str, now: datetime) -> Commit:
        last_at = self.first_moment(now)
        batch_id = f"{what}@{self.index.latest_seq() + 1}"
        commit = _commit(batch_id, 0, 0, intents)
        return self._commit(commit, intents, held, source="by hand", last_at=last_at, now=now)

    def _commit(
        self,
        commit: Commit,
        intents: Sequence[Intent],
        held: dict[str, Held],
        *,
        source: str,
        last_at: datetime,
        now: datetime,
    ) -> Commit:
        meta = self.next_meta(source=source, batch_id=commit.batch_id, last_at=last_at, now=now, commit=commit)
        try:
            _, stamp = write_segment(self.log, meta, intents)
        except FileExistsError as error:
            raise ArchiveError(f"segment {meta.seq} was committed by another writer; the next pass retries") from error
        self.record(meta, stamp)
        for intent in intents:
            before = held.get(intent.paper.paper_id)
            self.index.record_row(intent.paper, meta.seq, (before.paper, before.seq) if before else None)
        return replace(commit, seq=meta.seq)

    def _before(self, paper_id: str, seq: int) -> Paper:
        """A paper as it stood before the commit `seq`."""
        rows = [intent.paper for intent, at in rows_of_papers(self, [paper_id]) if at < seq]
        if not rows:
            raise ArchiveError(f"nothing is known of {paper_id} before commit {seq}")
        return rows[-1]

    def _rows(self, file: FileRow, aliases: Iterable[str], seqs: Iterable[int]) -> Iterator[dict[str, Any]]:
        columns = [*PAPER_TYPES, "seq"]
        yield from rows_with(self.path(file), set(aliases), seqs, columns=columns, footer=file.footer).to_pylist()

    def _clean(self, entries: Sequence[Entry], now: datetime) -> tuple[list[tuple[Entry, Entry]], int]:
        """Each acceptable entry as it came and as it is trusted, and how many were refused."""
        cleaned: list[tuple[Entry, Entry]] = []
        for entry in entries:
            try:
                cleaned.append((entry, clean(entry, self.limits)))
            except EntryError as error:
                self.index.connection.execute(
                    "INSERT OR REPLACE INTO rejects VALUES (?, ?, ?, ?)",
                    (entry.source, error.entry_id[:500], error.reason, now.isoformat()),
                )
        return cleaned, len(entries) - len(cleaned)

    def _intents(
        self, entries: Sequence[Entry], now: datetime, decide: Decide
    ) -> tuple[list[Intent], dict[str, Held], datetime]:
        """Decide the entries, in order, into one intent a paper; entries of one batch know each other."""
        held = self.held(a for e in entries for a in (*identity.strong_aliases(e), *identity.weak_aliases(e)))
        known, found, at = Known(h.paper for h in held.values()), dict[str, Intent](), self.first_moment(now)
        for entry in entries:
            match = known.match(entry)
            if match.same:
                match = self._joined(match, known, found)
            candidate = Candidate(
                entry=entry,
                paper_id=match.paper_id,
                aliases=match.aliases,
                content_hash=identity.content_hash(entry),
            )
            intent = decide(candidate, known.papers.get(match.paper_id), now, at)
            if intent is None:
                continue
            at += _STEP
            known.put(intent.paper)
            _fold(found, intent)
        return list(found.values()), held, at

    def _joined(self, match: Match, known: Known, found: dict[str, Intent]) -> Match:
        """Merge the papers an entry shows to be one; returns the match with the id that is kept."""
        kept, *others = merging.merge_order([known.papers[p] for p in (match.paper_id, *match.same)])
        for other in others:
            kept, gone = merging.merged(kept, other)
            for paper in (kept, gone):
                known.put(paper)
                _fold(found, Intent(paper=paper, sightings=(), changes=("merged",), reason=match.reason))
        aliases = tuple(a for a in match.aliases if a != match.paper_id or a == kept.paper_id)
        return replace(match, paper_id=kept.paper_id, aliases=tuple(sorted({*aliases, kept.paper_id})), same=())


def _require_live(held: dict[str, Held], paper_id: str) -> None:
    found = held.get(paper_id)
    if found is None:
        raise ArchiveError(f"no paper has the id {paper_id!r}")
    if found.paper.merged_into is not None:
        raise ArchiveError(f"{paper_id} was merged into {found.paper.merged_into} already")


def _fold(found: dict[str, Intent], after: Intent) -> None:
    """Add an intent to those of the batch: one a paper, its sightings in order."""
    before = found.get(after.paper.paper_id)
    found[after.paper.paper_id] = after if before is None else _after(before, after)


def _after(before: Intent, after: Intent) -> Intent:
    return Intent(
        paper=after.paper,
        sightings=(*before.sightings, *after.sightings),
        changes=tuple(dict.fromkeys((*before.changes, *after.changes))),
        reason=after.reason or before.reason,
    )


def _commit(batch_id: str, entries: int, rejected: int, intents: Sequence[Intent]) -> Commit:
    counts: dict[Announcement, int] = {}
    for announcement in (a for i in intents for s in i.sightings for a in s.announcements):
        counts[announcement] = counts.get(announcement, 0) + 1
    return Commit(
        seq=None,
        batch_id=batch_id,
        entries=entries,
        rejected=rejected,
        papers=len(intents),
        announcements=counts,
        told=tuple(
            Told(i.paper.announced_on, i.paper.categories)
            for i in intents
            if any(Announcement.NEW in s.announcements for s in i.sightings)
        ),
    )
