"""What happened between us and each source: every fetch, how the source stands, what it refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from storage.coverage import batch_of, verdict_of
from storage.index import Index
from storage.index_errors import reading

_FETCHES_KEPT_DAYS = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRow:
    """One exchange with a source. `status` None: no answer came."""

    source: str
    url: str
    fetched_at: datetime
    status: int | None
    wire_bytes: int
    body_sha256: str | None
    etag: str | None
    last_modified: str | None
    listed: int
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """What makes the next read of one URL conditional."""

    etag: str | None
    last_modified: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """How a source stands: when it was read, up to which batch, what is wrong."""

    source: str
    checked_at: datetime
    succeeded_at: datetime | None
    batch_on: date | None
    error: str | None
    failing_since: datetime | None
    notes: tuple[str, ...]


def state_after(
    before: SourceState | None,
    *,
    source: str,
    error: str | None,
    problems: Sequence[str],
    notes: Sequence[str],
    batch_on: date | None,
    now: datetime,
) -> SourceState:
    """How a source stands after a read: with an `error` it is where it was, with `problems` it is read and failing."""
    failing = error or next(iter(problems), None)
    since = before.failing_since if before and before.failing_since else now
    latest = max(filter(None, (batch_on, before.batch_on if before else None)), default=None)
    return SourceState(
        source=source,
        checked_at=now,
        succeeded_at=now if not error else (before.succeeded_at if before else None),
        batch_on=latest if not error else (before.batch_on if before else None),
        error=failing,
        failing_since=since if failing else None,
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """An entry that was refused."""

    source: str
    entry_id: str
    reason: str
    rejected_at: datetime


class FetchLog:
    """Reads and writes the fetch records in the index."""

    def __init__(self, index: Index) -> None:
        self._index, self.path = index, index.path
        self._execute = index.connection.execute

    @reading
    def watermark(self, source: str, url: str) -> Watermark:
        """The validators of the last good answer for a URL."""
        row = self._execute(
            "SELECT etag, last_modified FROM fetches WHERE source = ? AND url = ? AND status = 200 AND error IS NULL "
            "ORDER BY fetch_id DESC LIMIT 1",
            (source, url),
        ).fetchone()
        return Watermark(etag=row[0], last_modified=row[1]) if row else Watermark(etag=None, last_modified=None)

    @reading
    def state(self, source: str) -> SourceState | None:
        """How a source stands; None where it was never read."""
        return next((s for s in self.states() if s.source == source), None)

    @reading
    def states(self) -> tuple[SourceState, ...]:
        """How every source stands, by name."""
        rows = self._execute("SELECT * FROM source_states ORDER BY source").fetchall()
        return tuple(_state(row) for row in rows)

    @reading
    def fetches(self) -> list[tuple[Any, ...]]:
        """Every fetch that is kept, as a row of the columns of FetchRow, oldest first; times are aware UTC."""
        rows = self._execute("SELECT * FROM fetches ORDER BY fetch_id")
        return [(source, url, datetime.fromisoformat(at), *rest) for _, source, url, at, *rest in rows]

    @reading
    def rejects(self, *, since: datetime) -> tuple[Reject, ...]:
        """Entries refused at or after `since`."""
        rows = self._execute(
            "SELECT * FROM rejects WHERE rejected_at >= ? ORDER BY rejected_at, entry_id", (since.isoformat(),)
        )
        return tuple(_reject(row) for row in rows)

    def record(self, state: SourceState, fetches: tuple[FetchRow, ...]) -> None:
        """Keep one read of a source: its fetches and its state, in one transaction."""
        with self._index.transaction():
            self.add(fetches)
            self._execute(
                "INSERT OR REPLACE INTO source_states VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(state.source, state.checked_at.isoformat(), _iso(state.succeeded_at), _iso(state.batch_on)),
                    *(state.error, _iso(state.failing_since), json.dumps(state.notes)),
                ),
            )
            old = (state.checked_at - timedelta(days=_FETCHES_KEPT_DAYS)).isoformat()
            self._execute("DELETE FROM fetches WHERE source = ? AND fetched_at < ?", (state.source, old))

    def add(self, fetches: tuple[FetchRow, ...]) -> None:
        """Keep fetches, within the caller's transaction."""
        for f in fetches:
            self._execute(
                "INSERT INTO fetches VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(f.source, f.url, f.fetched_at.isoformat(), f.status, f.wire_bytes, f.body_sha256),
                    *(f.etag, f.last_modified, f.listed, f.error),
                ),
            )

    def forget(self, *, before: datetime) -> int:
        """Drop fetches and refused entries from before a moment; returns how many."""
        with self._index.transaction():
            return sum(
                self._execute(f"DELETE FROM {table} WHERE {column} < ?", (before.isoformat(),)).rowcount
                for table, column in (("fetches", "fetched_at"), ("rejects", "rejected_at"))
            )


def is_readable(table: str, row: Sequence[Any]) -> bool:
    """Whether a whole row of a table that only the index has is one: a flipped bit can make a time none."""
    try:
        if table == "fetches":
            datetime.fromisoformat(row[3])
        else:
            _ROWS[table](row)
    except (TypeError, ValueError):
        return False
    return True


def _reject(row: Sequence[str]) -> Reject:
    source, entry_id, reason, at = row
    return Reject(source=source, entry_id=entry_id, reason=reason, rejected_at=datetime.fromisoformat(at))


def _state(row: Sequence[Any]) -> SourceState:
    source, checked_at, succeeded_at, batch_on, error, failing_since, notes = row
    return SourceState(
        source=source,
        checked_at=datetime.fromisoformat(checked_at),
        succeeded_at=datetime.fromisoformat(succeeded_at) if succeeded_at else None,
        batch_on=date.fromisoformat(batch_on) if batch_on else None,
        error=error,
        failing_since=datetime.fromisoformat(failing_since) if failing_since else None,
        notes=tuple(json.loads(notes)),
    )


def _iso(moment: date | datetime | None) -> str | None:
    return moment.isoformat() if moment else None


_ROWS: dict[str, Callable[[Sequence[Any]], object]] = {
    "source_states": _state,
    "batches": batch_of,
    "coverage": verdict_of,
    "rejects": _reject,
}
