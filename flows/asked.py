"""Who was asked about which paper, and how many requests of today's budget are spent: enrich.sqlite.

A request is counted before it goes out, in one transaction, so that no restart and no second process exceeds a budget.
Losing the file costs requests: what was asked is asked again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from flows.governor import NotNow
from storage.errors import PaperwireError

_LOCKED_SECONDS = 30.0
_KEPT_DAYS = 3_660  # longer than a paper may be asked about
_SCHEMA = """
CREATE TABLE IF NOT EXISTS asked (
    provider TEXT NOT NULL,
    paper_id TEXT NOT NULL,
    answered_on INTEGER,         -- since 1970, UTC; NULL: never
    tried_on INTEGER NOT NULL,
    PRIMARY KEY (provider, paper_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spent (
    provider TEXT NOT NULL,
    day INTEGER NOT NULL,        -- since 1970, UTC
    requests INTEGER NOT NULL,
    PRIMARY KEY (provider, day)
) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came of asking about a paper."""

    answered_on: date | None  # the last day there was an answer, if only that the paper is unknown
    tried_on: date  # the last day it was asked about

    @property
    def failed(self) -> bool:
        """Whether the last attempt brought no answer."""
        return self.answered_on != self.tried_on


class Asked:
    """enrich.sqlite under `home`; a context manager. Raises PaperwireError where it cannot be used."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._path = _path(home)
        with _translated(self._path):
            self._db = sqlite3.connect(self._path, timeout=_LOCKED_SECONDS, isolation_level=None)
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                self._db.executescript(_SCHEMA)
            except BaseException:
                self._db.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def spend(self, provider: str, *, requests_per_day: int, now: datetime) -> None:
        """Take one request of today's budget. Raises NotNow where none is left."""
        with self._transaction():
            if _spent(self._db, provider, now) >= requests_per_day:
                raise NotNow(used_up(provider, requests_per_day), retry_after_seconds=_until_tomorrow(now))
            self._db.execute(
                "INSERT INTO spent VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET requests = requests + 1",
                (provider, _day(now.astimezone(UTC).date())),
            )

    def spent(self, provider: str, *, now: datetime) -> int:
        """How many requests of today's budget have gone out."""
        with _translated(self._path):
            return _spent(self._db, provider, now)

    def said(self, provider: str) -> dict[str, Said]:
        """What came of asking a provider, by paper_id."""
        with _translated(self._path):
            return _said(self._db, provider)

    def mark(self, provider: str, *, answered: Collection[str], failed: Collection[str], now: datetime) -> None:
        """Keep which papers were asked about, once what was answered is in the archive."""
        today = _day(now.astimezone(UTC).date())
        with self._transaction():
            self._db.executemany(
                "INSERT INTO asked VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "answered_on = coalesce(excluded.answered_on, answered_on), tried_on = excluded.tried_on",
                [
                    *((provider, paper_id, today, today) for paper_id in answered),
                    *((provider, paper_id, None, today) for paper_id in failed),
                ],
            )
            self._db.execute("DELETE FROM asked WHERE tried_on < ?", (today - _KEPT_DAYS,))
            self._db.execute("DELETE FROM spent WHERE day < ?", (today - _KEPT_DAYS,))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _translated(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def look(home: Path, providers: Sequence[str], *, now: datetime) -> Mapping[str, tuple[dict[str, Said], int]]:
    """What came of asking each provider, and the requests spent today; reads only, and makes no file."""
    path = _path(home)
    if not path.exists():
        return {provider: ({}, 0) for provider in providers}
    with (
        _translated(path),
        closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_LOCKED_SECONDS)) as db,
    ):
        return {provider: (_said(db, provider), _spent(db, provider, now)) for provider in providers}


def used_up(provider: str, requests_per_day: int) -> str:
    """Say that a budget is used up."""
    budget = f"{requests_per_day:,} {'request' if requests_per_day == 1 else 'requests'} a day"
    return f"the {budget} that {provider} may be asked are used up (enrich.requests_per_day)"


def _said(db: sqlite3.Connection, provider: str) -> dict[str, Said]:
    rows = db.execute("SELECT paper_id, answered_on, tried_on FROM asked WHERE provider = ?", (provider,))
    return {
        paper_id: Said(answered_on=None if answered_on is None else _date(answered_on), tried_on=_date(tried_on))
        for paper_id, answered_on, tried_on in rows
    }


def _spent(db: sqlite3.Connection, provider: str, now: datetime) -> int:
    today = _day(now.astimezone(UTC).date())
    row = db.execute("SELECT requests FROM spent WHERE provider = ? AND day = ?", (provider, today)).fetchone()
    return int(row[0]) if row else 0


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        hint = "it may be deleted while nothing runs"
        raise PaperwireError(f"{path} cannot be used ({error}); {hint}") from error


def _until_tomorrow(now: datetime) -> float:
    at = now.astimezone(UTC)
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return (midnight - at).total_seconds()


def _day(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _date(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)


def _path(home: Path) -> Path:
    return home / "enrich.sqlite"
