"""ledger.sqlite: the durable account of what was sent to whom; reserved before acting, confirmed after.

SQLite in WAL mode with synchronous=FULL: what a method has returned from survives a power cut. The folder is 0700 and
the file 0600, because addresses are in it and nowhere else. Tables: storage/ledger.sql.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Any

from storage.errors import ArchiveError, MailDeferred
from storage.ledger_file import LedgerFile, said_plainly, transaction

_SCHEMA = files("storage").joinpath("ledger.sql").read_text(encoding="utf-8")
_SCHEMA_VERSION = 1
_APPLICATION_ID = 0x50577265  # "PWre", shown by file(1)


class DeliveryState(StrEnum):
    """Where a delivery stands. Only due and reserved ones ever change."""

    DUE = "due"  # nothing has left the machine
    RESERVED = "reserved"  # it may have left: being sent, put off by the server, or in doubt after a crash
    SENT = "sent"  # the server took responsibility for it
    SKIPPED = "skipped"  # there was nothing left to tell this address, or it is no longer on the list
    FAILED = "failed"  # the server refused it for good


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """The frozen list of papers for a topic and a window of segments (from_seq, to_seq]. Cut once, never changed."""

    edition_id: str  # daily/<topic>/<YYYY-MM-DD>
    topic: str
    day: date  # UTC
    from_seq: int
    to_seq: int
    created_at: datetime
    paper_ids: tuple[str, ...]  # best first
    revision_keys: tuple[str, ...]
    total: int  # new papers in the window; more than len(paper_ids) where the list was bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One edition × one address."""

    edition_id: str
    address: str
    state: DeliveryState
    message_id: str | None
    contents: tuple[str, ...]  # paper ids and revision keys, fixed by the first reservation
    more: int  # papers it only links to
    attempts: int
    reserved_at: datetime | None
    confirmed_at: datetime | None
    reason: str | None  # why it failed, was skipped, or was last put off


class Ledger(LedgerFile):
    """The ledger of one installation. Every method is one durable transaction.

    A delivery that is still `reserved` when a sender starts is in doubt: the process may have died before or after
    the server took the message, and SMTP cannot say which. It is sent again under the same Message-ID with the same
    contents, so a mailbox that saw it can tell; it is never given up silently. Raises ArchiveError, ArchiveFull.
    """

    def __init__(self, home: Path) -> None:
        super().__init__(home, "ledger.sqlite", _SCHEMA, version=_SCHEMA_VERSION, application_id=_APPLICATION_ID)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Be the only sender while the block runs. Raises MailDeferred where another process is sending.

        The lock is the kernel's, so it is gone with the process that held it.
        """
        with said_plainly(self._folder):
            lock = os.open(self._folder / "sending.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "?"
                raise MailDeferred(
                    f"another process ({holder}) is sending mail; run it again when it is done"
                ) from error
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode("ascii"), 0)
            yield
        finally:
            os.close(lock)

    def remember(self, key: str, value: str) -> str:
        """Store `value` under `key` unless there is one already; return the first value ever stored."""
        with self._transaction() as sql:
            sql.execute("INSERT INTO installation (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (key, value))
            return str(sql.execute("SELECT value FROM installation WHERE key = ?", (key,)).fetchone()[0])

    def last_cut(self, topic: str) -> int | None:
        """Return the segment up to which the newest edition of `topic` reaches, or None before the first."""
        row = self._one("SELECT to_seq FROM editions WHERE topic = ? ORDER BY number DESC LIMIT 1", topic)
        return int(row[0]) if row else None

    def add_edition(self, edition: Edition, addresses: Sequence[str]) -> bool:
        """Store an edition and a due delivery for each address; False, and no change, where it is there already."""
        values = (edition.edition_id, edition.topic, edition.day.isoformat(), edition.from_seq, edition.to_seq)
        lists = (_time(edition.created_at), json.dumps(edition.paper_ids), json.dumps(edition.revision_keys))
        with self._transaction() as sql:
            added = sql.execute(
                "INSERT INTO editions (edition_id, topic, day, from_seq, to_seq, created_at, paper_ids, revision_keys,"
                " total) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (*values, *lists, edition.total),
            ).rowcount
            if added:
                rows = [(edition.edition_id, address) for address in dict.fromkeys(addresses)]
                sql.executemany("INSERT INTO deliveries (edition_id, address) VALUES (?, ?)", rows)
            return bool(added)

    def edition(self, edition_id: str) -> Edition | None:
        """Return the edition with this id, or None."""
        row = self._one(f"SELECT {_EDITION} FROM editions WHERE edition_id = ?", edition_id)
        return _edition(row) if row else None

    def editions(self, limit: int) -> tuple[Edition, ...]:
        """Return the newest editions, last cut first."""
        rows = self._all(f"SELECT {_EDITION} FROM editions ORDER BY number DESC LIMIT ?", limit)
        return tuple(map(_edition, rows))

    def unfinished(self) -> tuple[Edition, ...]:
        """Return the editions with due or reserved deliveries, first cut first."""
        open_ones = "SELECT edition_id FROM deliveries WHERE state IN ('due', 'reserved')"
        rows = self._all(f"SELECT {_EDITION} FROM editions WHERE edition_id IN ({open_ones}) ORDER BY number")
        return tuple(map(_edition, rows))

    def pending(self, edition_id: str) -> tuple[Delivery, ...]:
        """Return the due and reserved deliveries of an edition, by address."""
        return tuple(d for d in self.deliveries(edition_id) if d.state in (DeliveryState.DUE, DeliveryState.RESERVED))

    def deliveries(self, edition_id: str) -> tuple[Delivery, ...]:
        """Return all deliveries of an edition, by address."""
        rows = self._all(f"SELECT {_DELIVERY} FROM deliveries WHERE edition_id = ? ORDER BY address", edition_id)
        return tuple(map(_delivery, rows))

    def already_mailed(self, address: str, keys: Sequence[str]) -> frozenset[str]:
        """Return which of `keys` (paper ids, revision keys) are in a message reserved for or sent to `address`."""
        wanted = "SELECT value FROM json_each(?)"
        rows = self._all(f"SELECT key FROM mailed WHERE address = ? AND key IN ({wanted})", address, json.dumps(keys))
        return frozenset(str(row[0]) for row in rows)

    def mailed_to_anyone(self, keys: Sequence[str]) -> frozenset[str]:
        """Return which of `keys` are in a message reserved for or sent to any address."""
        wanted = "SELECT value FROM json_each(?)"
        rows = self._all(f"SELECT DISTINCT key FROM mailed WHERE key IN ({wanted})", json.dumps(keys))
        return frozenset(str(row[0]) for row in rows)

    def reserve(
        self, edition_id: str, address: str, *, message_id: str, contents: Sequence[str], more: int, now: datetime
    ) -> bool:
        """Write down that a message is about to leave, and what is in it; False where the delivery is finished.

        The first reservation fixes Message-ID and contents and marks each of them as mailed to the address, in one
        transaction; a later one only counts the attempt. Raises ArchiveError where the address was already told one
        of `contents` by another edition.
        """
        with self._transaction() as sql:
            again = sql.execute(
                "UPDATE deliveries SET attempts = attempts + 1"
                " WHERE edition_id = ? AND address = ? AND state = 'reserved'",
                (edition_id, address),
            ).rowcount
            first = (
                not again
                and sql.execute(
                    "UPDATE deliveries SET state = 'reserved', message_id = ?, contents = ?, more = ?, attempts = 1,"
                    " reserved_at = ? WHERE edition_id = ? AND address = ? AND state = 'due'",
                    (message_id, json.dumps(list(contents)), more, _time(now), edition_id, address),
                ).rowcount
            )
            if first:
                rows = [(address, key, edition_id) for key in contents]
                sql.executemany("INSERT INTO mailed (address, key, edition_id) VALUES (?, ?, ?)", rows)
            return bool(again or first)

    def confirm(self, edition_id: str, address: str, *, now: datetime) -> None:
        """Write down that the server took responsibility for a reserved message."""
        self._finish("state = 'sent', reason = NULL, confirmed_at = ?", "reserved", edition_id, address, _time(now))

    def fail(self, edition_id: str, address: str, *, reason: str, permanent: bool, in_doubt: bool = False) -> None:
        """Write down why a reserved message did not go out.

        A permanent failure ends the delivery and frees its papers, so that another topic may still bring them, unless
        an earlier attempt is in doubt: that may have arrived. Any other failure leaves it reserved: the next sender
        tries again.
        """
        if not permanent:
            self._finish("reason = ?", "reserved", edition_id, address, reason)
            return
        with self._transaction() as sql:
            if not in_doubt:
                sql.execute("DELETE FROM mailed WHERE edition_id = ? AND address = ?", (edition_id, address))
            sql.execute(
                "UPDATE deliveries SET state = 'failed', reason = ? WHERE edition_id = ? AND address = ?",
                (reason, edition_id, address),
            )

    def skip(self, edition_id: str, address: str, *, reason: str) -> None:
        """End a due delivery that has nothing to say or nobody to say it to."""
        self._finish("state = 'skipped', reason = ?", "due", edition_id, address, reason)

    def _finish(self, change: str, state: str, edition_id: str, address: str, value: str) -> None:
        where = "WHERE edition_id = ? AND address = ? AND state = ?"
        with self._transaction() as sql:
            done = sql.execute(f"UPDATE deliveries SET {change} {where}", (value, edition_id, address, state)).rowcount
        if not done:
            raise ArchiveError(f"the ledger has no {state} delivery of {edition_id} to this address")

    def _transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        return transaction(self._connection, self._folder)

    def _all(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        with said_plainly(self._folder):
            return self._connection.execute(sql, parameters).fetchall()

    def _one(self, sql: str, *parameters: object) -> tuple[Any, ...] | None:
        rows = self._all(sql, *parameters)
        return rows[0] if rows else None


_EDITION = "edition_id, topic, day, from_seq, to_seq, created_at, paper_ids, revision_keys, total"
_DELIVERY = "edition_id, address, state, message_id, contents, more, attempts, reserved_at, confirmed_at, reason"


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _edition(row: tuple[Any, ...]) -> Edition:
    edition_id, topic, day, from_seq, to_seq, created_at, paper_ids, revision_keys, total = row
    return Edition(
        edition_id=edition_id,
        topic=topic,
        day=date.fromisoformat(day),
        from_seq=from_seq,
        to_seq=to_seq,
        created_at=datetime.fromisoformat(created_at),
        paper_ids=tuple(json.loads(paper_ids)),
        revision_keys=tuple(json.loads(revision_keys)),
        total=total,
    )


def _delivery(row: tuple[Any, ...]) -> Delivery:
    edition_id, address, state, message_id, contents, more, attempts, reserved_at, confirmed_at, reason = row
    return Delivery(
        edition_id=edition_id,
        address=address,
        state=DeliveryState(state),
        message_id=message_id,
        contents=tuple(json.loads(contents)),
        more=more,
        attempts=attempts,
        reserved_at=datetime.fromisoformat(reserved_at) if reserved_at else None,
        confirmed_at=datetime.fromisoformat(confirmed_at) if confirmed_at else None,
        reason=reason,
    )
