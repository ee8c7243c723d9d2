"""pushes.sqlite: what was pushed to hubs and webhooks; reserved before acting, confirmed after.

A file of its own beside ledger.sqlite, so that a ledger of any age opens as it is. Tables: storage/pushes.sql.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from storage.ledger_file import LedgerFile, said_plainly, transaction
from storage.locks import exclusive

_SCHEMA = files("storage").joinpath("pushes.sql").read_text(encoding="utf-8")
_SCHEMA_VERSION = 1
_APPLICATION_ID = 0x50577075  # "PWpu", shown by file(1)
_FILE = "pushes.sqlite"
PUSHING = "another process is pushing; what it does not send waits for the next push"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """What a hub knows of one feed."""

    url: str
    seen: str
    wanted: str
    pinged: str
    attempts: int
    due_at: datetime | None
    reason: str | None

    @property
    def waits(self) -> bool:
        """Whether the hub is still to be told."""
        return self.wanted != self.pinged


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How far one webhook has been told."""

    name: str
    until_seq: int
    cut_at: datetime
    refused: int  # messages refused one after the other
    rests_until: datetime | None
    sent_at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One message to one webhook. What it tells is fixed when it is cut."""

    push_id: str
    webhook: str
    from_seq: int
    to_seq: int
    contents: tuple[str, ...]
    more: int
    created_at: datetime
    attempts: int = 0
    due_at: datetime


class Pushes(LedgerFile):
    """The account of pushes of one installation. Every method is one durable transaction.

    What is reserved and not confirmed is in doubt after a crash: it is sent again under the same id with the same
    contents. Raises ArchiveError, ArchiveFull.
    """

    def __init__(self, home: Path) -> None:
        super().__init__(home, _FILE, _SCHEMA, version=_SCHEMA_VERSION, application_id=_APPLICATION_ID)

    @contextmanager
    def pushing(self) -> Iterator[None]:
        """Be the only one who pushes while the block runs. Raises PaperwireError where another process does."""
        with exclusive(self._folder / "pushing.lock", what=PUSHING, wait=False):
            yield

    def mark(self, key: str) -> str:
        """What was last noted under `key`; '' where nothing was."""
        row = self._one("SELECT value FROM marks WHERE key = ?", key)
        return str(row[0]) if row else ""

    def set_mark(self, key: str, value: str) -> None:
        """Note `value` under `key`."""
        with self._transaction() as sql:
            sql.execute(
                "INSERT INTO marks VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
            )

    def due(self, hub: str, names: Sequence[str], *, published_seq: int, now: datetime) -> bool:
        """Whether a ping to `hub`, or a message to a webhook of these `names`, has waited long enough."""
        moment, wanted = _time(now), json.dumps(list(names))
        return bool(
            self._one(
                "SELECT 1 FROM feeds WHERE hub = ?1 AND wanted <> pinged AND coalesce(due_at, '') <= ?2"
                " UNION ALL SELECT 1 FROM messages WHERE state IN ('due', 'reserved') AND due_at <= ?2"
                " AND webhook IN (SELECT value FROM json_each(?3))"
                " UNION ALL SELECT 1 FROM webhooks WHERE rests_until <= ?2 AND until_seq < ?4"
                " AND name IN (SELECT value FROM json_each(?3)) LIMIT 1",
                *(hub, moment, wanted, published_seq),
            )
        )

    # -- feeds ----------------------------------------------------------------------------------------------------

    def feeds(self, hub: str) -> dict[str, FeedState]:
        """What `hub` knows of each feed, by its URL."""
        rows = self._all(
            "SELECT url, seen, wanted, pinged, attempts, due_at, reason FROM feeds WHERE hub = ? ORDER BY url", hub
        )
        return {str(row[0]): _feed(row) for row in rows}

    def want(self, hub: str, states: Mapping[str, tuple[str, str]], *, known: bool, now: datetime) -> None:
        """Note what each feed is now: (seen, hash) by URL. A hash that is news waits to be pinged, at once.

        Where they are `known`, nothing waits for it: so begins a hub that nobody has subscribed at yet.
        """
        rows = [(hub, url, seen, wanted, wanted if known else "", _time(now)) for url, (seen, wanted) in states.items()]
        with self._transaction() as sql:
            sql.executemany(
                "INSERT INTO feeds (hub, url, seen, wanted, pinged, due_at) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (hub, url) DO UPDATE SET seen = excluded.seen,"
                " due_at = CASE WHEN wanted = excluded.wanted THEN due_at ELSE excluded.due_at END,"
                " attempts = CASE WHEN wanted = excluded.wanted THEN attempts ELSE 0 END, wanted = excluded.wanted",
                rows,
            )

    def reserve_pings(self, hub: str, urls: Sequence[str]) -> None:
        """Write down that the hub is about to be told of these feeds."""
        with self._transaction() as sql:
            sql.executemany("UPDATE feeds SET attempts = attempts + 1 WHERE hub = ? AND url = ?", _pairs(hub, urls))

    def confirm_pings(self, hub: str, wanted: Mapping[str, str], *, now: datetime) -> None:
        """Write down that the hub was told of these hashes, by URL; a feed that changed meanwhile goes on waiting."""
        rows = [(content, _time(now), hub, url) for url, content in wanted.items()]
        with self._transaction() as sql:
            sql.executemany(
                "UPDATE feeds SET pinged = ?, pinged_at = ?, attempts = 0, due_at = NULL, reason = NULL"
                " WHERE hub = ? AND url = ?",
                rows,
            )

    def put_off_pings(self, hub: str, urls: Sequence[str], *, due_at: datetime, reason: str) -> None:
        """Write down why the hub was not told, and when it is asked again."""
        rows = [(_time(due_at), reason, hub, url) for url in urls]
        with self._transaction() as sql:
            sql.executemany("UPDATE feeds SET due_at = ?, reason = ? WHERE hub = ? AND url = ?", rows)

    def last_ping(self, hub: str) -> datetime | None:
        """When `hub` last took a ping."""
        row = self._one("SELECT max(pinged_at) FROM feeds WHERE hub = ?", hub)
        return _moment(row[0]) if row else None

    # -- webhooks -------------------------------------------------------------------------------------------------

    def told(self, name: str) -> Told | None:
        """How far a webhook has been told; None where it is new."""
        row = self._one(
            "SELECT name, until_seq, cut_at, refused, rests_until, sent_at, reason FROM webhooks WHERE name = ?", name
        )
        return _told(row) if row else None

    def begin(self, name: str, *, seq: int, now: datetime) -> None:
        """Let a new webhook begin after commit `seq`: what was before is not told to it."""
        with self._transaction() as sql:
            sql.execute(
                "INSERT INTO webhooks (name, until_seq, cut_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (name, seq, _time(now)),
            )

    def open_message(self, name: str) -> Push | None:
        """The message of a webhook that is not finished, or None."""
        row = self._one(f"SELECT {_PUSH} FROM messages WHERE webhook = ? AND state IN ('due', 'reserved')", name)
        return _push(row) if row else None

    def already_told(self, name: str, keys: Sequence[str]) -> frozenset[str]:
        """Which of `keys` (paper ids, revision keys) are in a message to this webhook."""
        wanted = "SELECT value FROM json_each(?)"
        rows = self._all(f"SELECT key FROM told WHERE webhook = ? AND key IN ({wanted})", name, json.dumps(list(keys)))
        return frozenset(str(row[0]) for row in rows)

    def cut(
        self,
        name: str,
        *,
        from_seq: int,
        to_seq: int,
        contents: Sequence[str],
        rest: Sequence[str],
        now: datetime,
    ) -> Push | None:
        """Store the next message of a webhook, with all of it marked as told, and move its cursor to `to_seq`.

        `rest` is what it only links to. Where there is nothing to tell only the cursor moves; returns None then.
        """
        with self._transaction() as sql:
            sql.execute("UPDATE webhooks SET until_seq = ?, cut_at = ? WHERE name = ?", (to_seq, _time(now), name))
            if not contents:
                return None
            number = int(sql.execute("SELECT coalesce(max(number), 0) + 1 FROM messages").fetchone()[0])
            values = (_push_id(name, number, contents, now), name, from_seq, to_seq, json.dumps(list(contents)))
            sql.execute(
                "INSERT INTO messages (number, push_id, webhook, from_seq, to_seq, contents, more, created_at, due_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (number, *values, len(rest), _time(now), _time(now)),
            )
            sql.executemany("INSERT INTO told VALUES (?, ?, ?)", [(name, key, number) for key in (*contents, *rest)])
        return self.open_message(name)

    def reserve(self, push_id: str) -> None:
        """Write down that a message is about to leave."""
        with self._transaction() as sql:
            sql.execute("UPDATE messages SET state = 'reserved', attempts = attempts + 1 WHERE push_id = ?", (push_id,))

    def confirm(self, push: Push, *, now: datetime) -> None:
        """Write down that the receiver took a reserved message."""
        with self._transaction() as sql:
            sql.execute(
                "UPDATE messages SET state = 'sent', confirmed_at = ?, reason = NULL WHERE push_id = ?",
                (_time(now), push.push_id),
            )
            sql.execute(
                "UPDATE webhooks SET sent_at = ?, refused = 0, rests_until = NULL, reason = NULL WHERE name = ?",
                (_time(now), push.webhook),
            )

    def put_off(self, push: Push, *, due_at: datetime, reason: str) -> None:
        """Write down why a message did not arrive, and when it is sent again."""
        with self._transaction() as sql:
            sql.execute(
                "UPDATE messages SET due_at = ?, reason = ? WHERE push_id = ?", (_time(due_at), reason, push.push_id)
            )
            sql.execute("UPDATE webhooks SET reason = ? WHERE name = ?", (reason, push.webhook))

    def refuse(self, push: Push, *, reason: str, rests_until: datetime | None) -> None:
        """Write down that the receiver wants no such message, and until when it is left alone."""
        with self._transaction() as sql:
            sql.execute("UPDATE messages SET state = 'refused', reason = ? WHERE push_id = ?", (reason, push.push_id))
            sql.execute(
                "UPDATE webhooks SET refused = refused + 1, rests_until = ?, reason = ? WHERE name = ?",
                (_time(rests_until) if rests_until else None, reason, push.webhook),
            )

    def note(self, name: str, reason: str) -> None:
        """Write down why a webhook could not be told of what is new; the next message that arrives takes it back."""
        with self._transaction() as sql:
            sql.execute("UPDATE webhooks SET reason = ? WHERE name = ?", (reason, name))

    def skip(self, push: Push, *, reason: str) -> None:
        """End a message of which nothing is left to tell."""
        with self._transaction() as sql:
            sql.execute("UPDATE messages SET state = 'skipped', reason = ? WHERE push_id = ?", (reason, push.push_id))

    def wake(self, name: str) -> None:
        """Let a webhook rest no longer, and its message wait no longer: a test message has arrived."""
        with self._transaction() as sql:
            sql.execute("UPDATE webhooks SET refused = 0, rests_until = NULL WHERE name = ?", (name,))
            sql.execute(
                "UPDATE messages SET due_at = created_at WHERE webhook = ? AND state IN ('due', 'reserved')", (name,)
            )

    def _transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        return transaction(self._connection, self._folder)

    def _all(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        with said_plainly(self._folder):
            return self._connection.execute(sql, parameters).fetchall()

    def _one(self, sql: str, *parameters: object) -> tuple[Any, ...] | None:
        rows = self._all(sql, *parameters)
        return rows[0] if rows else None


_PUSH = "push_id, webhook, from_seq, to_seq, contents, more, created_at, attempts, due_at"


def pushes_exist(home: Path) -> bool:
    """Whether anything was ever pushed from here, or was about to be."""
    return (home / "ledger" / _FILE).exists()


def _push_id(name: str, number: int, contents: Sequence[str], now: datetime) -> str:
    """An id that no other message has, also where a ledger was put back from a backup: letters, digits and dashes."""
    told = json.dumps([name, number, list(contents), _time(now)])
    return f"pw-{hashlib.blake2b(told.encode(), digest_size=16).hexdigest()}"


def _pairs(hub: str, urls: Sequence[str]) -> list[tuple[str, str]]:
    return [(hub, url) for url in urls]


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _feed(row: tuple[Any, ...]) -> FeedState:
    url, seen, wanted, pinged, attempts, due_at, reason = row
    due = _moment(due_at)
    return FeedState(url=url, seen=seen, wanted=wanted, pinged=pinged, attempts=attempts, due_at=due, reason=reason)


def _told(row: tuple[Any, ...]) -> Told:
    name, until_seq, cut_at, refused, rests_until, sent_at, reason = row
    return Told(
        name=name,
        until_seq=until_seq,
        cut_at=datetime.fromisoformat(cut_at),
        refused=refused,
        rests_until=_moment(rests_until),
        sent_at=_moment(sent_at),
        reason=reason,
    )


def _push(row: tuple[Any, ...]) -> Push:
    push_id, webhook, from_seq, to_seq, contents, more, created_at, attempts, due_at = row
    return Push(
        push_id=push_id,
        webhook=webhook,
        from_seq=from_seq,
        to_seq=to_seq,
        contents=tuple(json.loads(contents)),
        more=more,
        created_at=datetime.fromisoformat(created_at),
        attempts=attempts,
        due_at=datetime.fromisoformat(due_at),
    )
