"""The archive: an append-only log of segments, the index beside it, and the one way to add to both.

A commit is: hold the lock → look up what is known → decide → segment written, fsynced, linked → index transaction.
Killed before the link, nothing happened; killed after it, the next opening takes the segment into the index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

from storage import identity
from storage.errors import ArchiveError, EntryError
from storage.index import Index, SegmentRow
from storage.model import Announcement, Candidate, Commit, Entry, Intent, Paper
from storage.segments import (
    SegmentMeta,
    read_intents,
    read_meta,
    segment_path,
    sha256_of,
    write_segment,
)
from storage.settings import Limits
from storage.text import clean

Decide = Callable[[Candidate, Paper | None, datetime, datetime], Intent | None]
"""(candidate, known, now, at) → what it means; `at` is the moment readers are told, unique in the archive."""

_NO_SEGMENT = "0" * 64
_STEP = timedelta(milliseconds=1)  # no two announcements share a moment: readers sort by it


class Archive:
    """The log and its index under `home`/archive. One writer at a time; readers are never in the way."""

    def __init__(self, home: Path, *, limits: Limits | None = None) -> None:
        self.home, self._limits = home, limits or Limits()
        self.log = home / "archive" / "log"
        try:
            self.log.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArchiveError(f"cannot make {self.log}: {error.strerror}") from error
        self.index = Index(home / "archive" / "index.sqlite")
        self.recover()

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.index.close()

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
            self._replay_unseen()
            if self.index.has_batch(batch_id):
                return Commit(seq=None, batch_id=batch_id, entries=len(entries), rejected=0, papers=0)
            cleaned, rejected = self._clean(entries, now)
            intents, last_at = self._intents(cleaned, now, decide)
            commit = _commit(batch_id, len(entries), rejected, intents)
            if not intents:
                return commit
            seq = self.index.latest_seq() + 1
            meta = self._meta(seq, source, last_at, now, commit)
            path, digest = self._write(meta, intents)
            self._record(meta, path, digest, intents)
            return replace(commit, seq=seq)

    def papers(self, paper_ids: Iterable[str]) -> dict[str, Paper]:
        """The known papers among `paper_ids`, as they stand now."""
        by_seq: dict[int, list[str]] = {}
        for paper_id, seq in self.index.heads(paper_ids).items():
            by_seq.setdefault(seq, []).append(paper_id)
        return {
            intent.paper.paper_id: intent.paper
            for seq, ids in sorted(by_seq.items())
            for intent in read_intents(segment_path(self.log, seq), ids)
        }

    def recover(self) -> int:
        """Take committed segments the index has not seen; returns how many."""
        if not segment_path(self.log, self.index.latest_seq() + 1).exists():
            return 0
        with self.index.transaction():
            return self._replay_unseen()

    def rebuild_index(self) -> int:
        """Build the index again from the log alone; returns the number of segments. Fetch records are kept."""
        with self.index.transaction():
            self.index.forget_log()
            return self._replay_unseen()

    def _replay_unseen(self) -> int:
        count = 0
        while (path := segment_path(self.log, self.index.latest_seq() + 1)).exists():
            self._record(read_meta(path), path, sha256_of(path), read_intents(path))
            count += 1
        return count

    def _record(self, meta: SegmentMeta, path: Path, digest: bytes, intents: Sequence[Intent]) -> None:
        row = SegmentRow(
            seq=meta.seq,
            batch_id=meta.batch_id,
            source=meta.source,
            papers=len(intents),
            size_bytes=path.stat().st_size,
            sha256=digest,
            last_at=meta.last_at,
            committed_at=meta.committed_at,
        )
        self.index.record_segment(row, meta.events)
        for intent in intents:
            self.index.record_paper(meta.seq, intent.paper.paper_id, intent.paper.aliases, intent.sightings)

    def _clean(self, entries: Sequence[Entry], now: datetime) -> tuple[list[Entry], int]:
        cleaned: list[Entry] = []
        for entry in entries:
            try:
                cleaned.append(clean(entry, self._limits))
            except EntryError as error:
                self.index.connection.execute(
                    "INSERT OR REPLACE INTO rejects VALUES (?, ?, ?, ?)",
                    (entry.source, error.entry_id[:500], error.reason, now.isoformat()),
                )
        return cleaned, len(entries) - len(cleaned)

    def _intents(self, entries: Sequence[Entry], now: datetime, decide: Decide) -> tuple[list[Intent], datetime]:
        """Fold the entries, in order, into one intent a paper."""
        candidates = [c for c in self._identify(entries) if not self.index.said_before(c)]
        known: dict[str, Paper] = self.papers(c.paper_id for c in candidates)
        found: dict[str, Intent] = {}
        at = self._first_moment(now)
        for candidate in candidates:
            intent = decide(candidate, known.get(candidate.paper_id), now, at)
            if intent is None:
                continue
            at += _STEP
            paper_id = candidate.paper_id
            known[paper_id] = intent.paper
            found[paper_id] = _merged(found.get(paper_id), intent)
        return list(found.values()), at

    def _identify(self, entries: Sequence[Entry]) -> list[Candidate]:
        """Give each entry the paper it belongs to; entries of one batch know each other."""
        strong = [identity.strong_aliases(e) for e in entries]
        weak = [identity.weak_aliases(e) for e in entries]
        known = self.index.paper_ids(a for aliases in (*strong, *weak) for a in aliases)
        names: dict[str, tuple[str, ...]] = {}
        candidates = []
        for entry, by_id, by_likeness in zip(entries, strong, weak, strict=True):
            paper_id = self._match(by_id, by_likeness, known, names)
            aliases = tuple(sorted({paper_id, *by_id, *by_likeness}))
            for alias in aliases:
                known.setdefault(alias, paper_id)
            names[paper_id] = tuple(sorted({*names.get(paper_id, ()), *aliases}))
            candidates.append(
                Candidate(
                    entry=entry,
                    paper_id=paper_id,
                    aliases=aliases,
                    content_hash=identity.content_hash(entry),
                    entry_hash=identity.entry_hash(entry),
                )
            )
        return candidates

    def _match(
        self, strong: tuple[str, ...], weak: tuple[str, ...], known: dict[str, str], names: dict[str, tuple[str, ...]]
    ) -> str:
        """The known paper these ids name, else the id a new one gets.

        A weaker id never joins two papers that each have an id of the same stronger kind: two arXiv ids are two
        papers even where they share a DOI or a title.
        """
        own = identity.namespaces_of(strong)
        for alias in (*strong, *weak):
            paper_id = known.get(alias)
            if paper_id is None:
                continue
            if alias in strong[:1]:
                return paper_id
            theirs = names.get(paper_id) or self.index.aliases_of(paper_id)
            names[paper_id] = theirs
            clash = {a for a in theirs if a.split(":", 1)[0] in own} - set(strong)
            if not clash:
                return paper_id
        return strong[0] if strong else weak[-1]

    def _first_moment(self, now: datetime) -> datetime:
        last = self.index.segment(self.index.latest_seq())
        return max(now, last.last_at + _STEP) if last else now

    def _meta(self, seq: int, source: str, last_at: datetime, now: datetime, commit: Commit) -> SegmentMeta:
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
            batch_id=commit.batch_id,
            source=source,
            previous_sha256=before.sha256.hex() if before else _NO_SEGMENT,
            last_at=last_at,
            committed_at=now.astimezone(UTC),
            events=(("papers.ingested", payload),),
        )

    def _write(self, meta: SegmentMeta, intents: Sequence[Intent]) -> tuple[Path, bytes]:
        try:
            return write_segment(self.log, meta, intents)
        except FileExistsError as error:
            raise ArchiveError(f"segment {meta.seq} was committed by another writer; the next pass retries") from error


def _merged(before: Intent | None, after: Intent) -> Intent:
    if before is None:
        return after
    return Intent(
        paper=after.paper,
        sightings=(*before.sightings, *after.sightings),
        changes=tuple(dict.fromkeys((*before.changes, *after.changes))),
    )


def _commit(batch_id: str, entries: int, rejected: int, intents: Sequence[Intent]) -> Commit:
    counts: dict[Announcement, int] = {}
    for announcement in (a for i in intents for s in i.sightings for a in s.announcements):
        counts[announcement] = counts.get(announcement, 0) + 1
    return Commit(
        seq=None, batch_id=batch_id, entries=entries, rejected=rejected, papers=len(intents), announcements=counts
    )
