"""The coverage ledger: what each source listed for each of its days, and what that says of the day.

Facts (`Batch`) are written with every read; verdicts are worked out from them (flows/coverage.py) and kept beside
them, so that it is known since when something is missing, and when it was made up for.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from storage.index import Index
from storage.index_errors import reading

_ID_BYTES = 8
_KEPT = timedelta(days=100)  # facts, so that a weekday can be held against its kind


class State(StrEnum):
    """What a day of a source is."""

    COMPLETE = "complete"  # all that was expected came
    QUIET = "quiet"  # nothing came, and nothing was expected
    PARTIAL = "partial"  # a part came
    STALE = "stale"  # the source gave an older batch under this day's date
    LATE = "late"  # the source answers, and what is due has not come yet
    FAILED = "failed"  # the source could not be read, or nobody read it in time


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one source listed for one of its days, all reads together."""

    source: str
    day: date
    asked_at: datetime  # when a list of this day was asked for last
    read_at: datetime | None = None  # when one was read last; None: none ever was
    grew_at: datetime | None = None  # when a read last brought something new
    listed: int = 0  # entries in the list as read last
    came: int = 0  # entries that were not in the list before; of a source without lists, papers written
    repeated: int = 0  # entries that the list before had as well
    late: int = 0  # entries that came after the day was over
    elsewhere: int = 0  # papers of this day that another source brought, after the day was over
    whole: bool = True  # whether the last read went to its end
    ids: str = ""  # of the entries that came, packed and sorted; of a rolling feed those of its last list
    lost: str = ""  # what is known to be missing from what was read last
    error: str = ""  # why the last request brought no list of this day
    shown: date | None = None  # the day whose list it brought instead


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a day of a source is, and why."""

    source: str
    day: date
    state: State
    missing: bool  # whether something is, as far as can be known
    came: int
    low: int | None = None  # entries that such a day has at least; None: not known yet
    high: int | None = None
    late: int = 0  # of those that came: after the day was over
    why: str = ""
    was: State | None = None  # what it was while something was missing
    missed_at: datetime | None = None  # when that was noticed
    healed_at: datetime | None = None  # when it was made up for

    @property
    def line(self) -> str:
        """What the day is, in one line."""
        return f"{self.day} is {self.state}" + (f": {self.why}" if self.why else "")


class CoverageLog:
    """Reads and writes facts and verdicts in the index."""

    def __init__(self, index: Index) -> None:
        self._index, self.path = index, index.path
        self._execute = index.connection.execute

    @reading
    def batches(self, source: str) -> tuple[Batch, ...]:
        """All that is known of a source's days, oldest first."""
        rows = self._execute("SELECT * FROM batches WHERE source = ? ORDER BY day", (source,)).fetchall()
        return tuple(batch_of(row) for row in rows)

    @reading
    def verdicts(self, *, since: date | None = None) -> tuple[Verdict, ...]:
        """The verdicts on days from `since` on, by source and day."""
        rows = self._execute(
            "SELECT * FROM coverage WHERE day >= ? ORDER BY source, day", (str(since or date.min),)
        ).fetchall()
        return tuple(verdict_of(row) for row in rows)

    def record(self, batches: Iterable[Batch]) -> None:
        """Keep facts; old ones go. Within the caller's transaction."""
        for batch in batches:
            self._put("batches", batch)
            old = str(batch.day - _KEPT)
            self._execute("DELETE FROM batches WHERE source = ? AND day < ?", (batch.source, old))

    def judge(self, verdicts: Sequence[Verdict], *, now: datetime) -> tuple[Verdict, ...]:
        """Keep verdicts, with since when; returns those that changed. Within the caller's transaction."""
        if not verdicts:
            return ()
        known = {(v.source, v.day): v for v in self.verdicts(since=min(v.day for v in verdicts))}
        changed = []
        for verdict in verdicts:
            dated = since_when(verdict, known.get((verdict.source, verdict.day)), now)
            if dated != known.get((verdict.source, verdict.day)):
                self._put("coverage", dated)
                changed.append(dated)
        return tuple(changed)

    def version(self) -> int:
        """Changes with every verdict: what is kept of them adds up to."""
        row = self._execute("SELECT value FROM sums WHERE name = 'coverage'").fetchone()
        return int(row[0]) if row else 0

    def _put(self, table: str, row: Batch | Verdict) -> None:
        values = [_plain(value) for value in astuple(row)]
        self._execute(f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(values))})", values)


def since_when(verdict: Verdict, before: Verdict | None, now: datetime) -> Verdict:
    """A verdict with what is known of the time before it: what the day was, since when, and whether it was mended."""
    values = {f.name: getattr(verdict, f.name) for f in fields(Verdict)}
    if verdict.missing:
        stands = before is not None and before.missed_at is not None and before.healed_at is None
        first = before.missed_at if before and stands else now
        return Verdict(**values | {"was": verdict.state, "missed_at": first, "healed_at": None})
    if before is None or before.missed_at is None:
        return verdict
    return Verdict(**values | {"was": before.was, "missed_at": before.missed_at, "healed_at": before.healed_at or now})


def packed(ids: Iterable[str]) -> frozenset[bytes]:
    """Entry ids as 8 bytes each."""
    return frozenset(blake2b(i.encode("utf-8", "replace"), digest_size=_ID_BYTES).digest() for i in ids)


def joined(ids: Iterable[bytes]) -> str:
    """Packed ids as one text to keep."""
    return b64encode(b"".join(sorted(ids))).decode()


def parted(text: str) -> frozenset[bytes]:
    """The packed ids of a kept text. Raises ValueError where it is none."""
    value = b64decode(text, validate=True)
    return frozenset(value[n : n + _ID_BYTES] for n in range(0, len(value), _ID_BYTES))


def batch_of(row: Sequence[Any]) -> Batch:
    """A row of `batches`. Raises ValueError, TypeError where it is none."""
    values = dict(zip((f.name for f in fields(Batch)), row, strict=True))
    values["day"], values["whole"] = date.fromisoformat(values["day"]), bool(values["whole"])
    values["shown"] = date.fromisoformat(values["shown"]) if values["shown"] else None
    b64decode(values["ids"], validate=True)
    for name in ("asked_at", "read_at", "grew_at"):
        values[name] = datetime.fromisoformat(values[name]) if values[name] else None
    return Batch(**values)


def verdict_of(row: Sequence[Any]) -> Verdict:
    """A row of `coverage`. Raises ValueError, TypeError where it is none."""
    values = dict(zip((f.name for f in fields(Verdict)), row, strict=True))
    values["day"], values["missing"] = date.fromisoformat(values["day"]), bool(values["missing"])
    values["state"], values["was"] = State(values["state"]), State(values["was"]) if values["was"] else None
    for name in ("missed_at", "healed_at"):
        values[name] = datetime.fromisoformat(values[name]) if values[name] else None
    return Verdict(**values)


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return int(value) if isinstance(value, bool) else value
