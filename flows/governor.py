"""One governor per host for the whole installation: who may ask it, when, and how often a day.

Every request takes a turn, in whatever process it is made. What is known of a host lies in hosts.sqlite: when it was
asked last, until when it wants to be left alone, how often it was asked today, who is asking now and who waits.

A process may be killed at any instant. Its turns end with it: each names its holder, a holder keeps a lock (flock(2))
on a file of its own, and the kernel lets go of that, whatever happens. Its request may have gone out at any moment
until its death was noticed, so the delay counts from there. Whoever waited and does not come back loses its place.
"""

from __future__ import annotations

import fcntl
import ipaddress
import random as _random
import secrets
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import TextIOWrapper
from pathlib import Path

from flows.rate_headers import REST_SECONDS_MAX, Wishes, wishes_of
from storage.locks import exclusive
from storage.settings import Limits

REST_WAITED_SECONDS_MAX = 15.0  # a shorter rest is waited for, a longer one is the source's error
# arXiv answers 429 without Retry-After; so much silence is assumed to be meant, and four times as much the next time.
TOO_MANY_SECONDS = 60.0
BUSY_SECONDS = 1.0  # after the first HTTP 503 or time-out
BACKOFF_FACTOR, BACKOFF_SECONDS_MAX, JITTER = 4.0, 900.0, 0.5
ARXIV, ARXIV_DELAY_SECONDS = "arxiv.org", 3.0  # https://info.arxiv.org/help/api/tou.html

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000  # times are whole microseconds, so that a sum of them is exact
_DAY = 86_400 * _SECOND
_POLL_SECONDS = 0.1  # between two looks at a connection that is in use
_GRACE = 5 * _SECOND  # a waiting one that is so late is not waited for
_FORGOTTEN_AFTER = 30 * _DAY
_LOCKED_SECONDS = 30.0
_FEW = 0.1  # of a day's requests left: `status` says so
_TOO_MANY = 429
_UNAVAILABLE = 503
_CLIENT_ERROR = 400

_SCHEMA = """
CREATE TABLE IF NOT EXISTS hosts (
    host TEXT PRIMARY KEY,
    asked_at INTEGER NOT NULL,   -- when the last request went out
    delay INTEGER NOT NULL,      -- which that one wanted kept
    spacing INTEGER NOT NULL,    -- which the host wants kept
    held_until INTEGER NOT NULL,
    held_why TEXT NOT NULL,
    strikes INTEGER NOT NULL,    -- refusals and time-outs since its last good answer
    day INTEGER NOT NULL,        -- since 1970, UTC
    requests INTEGER NOT NULL    -- on that day
) STRICT;
CREATE TABLE IF NOT EXISTS turns (
    turn_id INTEGER PRIMARY KEY AUTOINCREMENT,
    host TEXT NOT NULL,
    holder TEXT NOT NULL,
    back_at INTEGER NOT NULL,    -- when a waiting one asks again
    started_at INTEGER           -- NULL: it waits
) STRICT;
"""


class NotNow(Exception):
    """Why a host is not asked now, in one line."""

    def __init__(self, reason: str, *, retry_after_seconds: float | None = None) -> None:
        self.reason, self.retry_after_seconds = reason, retry_after_seconds
        super().__init__(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldHost:
    """A host that is not asked for a while, or has few requests left today."""

    host: str
    reason: str | None  # why it is left alone; None: it is not
    until: datetime | None
    requests_today: int
    requests_per_day_max: int


class Turn:
    """One request under way; tell it what becomes of the request."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.sent_at: datetime | None = None
        self.heard_at: datetime | None = None
        self.status, self.wishes = 0, Wishes()  # status 0: no answer came in time

    def sent(self) -> None:
        """The request has gone out: the delay to the next counts from here."""
        self.sent_at = self._clock()

    def heard(self, status: int, headers: Mapping[str, str]) -> None:
        """The headers of its answer have come."""
        self.heard_at = self._clock()
        self.status, self.wishes = status, wishes_of(headers, self.heard_at)

    def timed_out(self) -> None:
        """Nothing came, or not all of it."""
        self.heard_at, self.status, self.wishes = self._clock(), 0, Wishes()


class Governor:
    """Grants turns to everybody who shares `home`; without a home to the threads of this process only.

    `clock` and `sleep` are those of the delays; for a connection in use a thread waits in real time, at most
    `limits.host_wait_seconds_max`. `random` returns a number from 0 to 1, for the jitter.
    """

    def __init__(
        self,
        home: Path | None,
        limits: Limits,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._home, self._limits = home, limits
        self._clock, self._sleep, self._random = clock, sleep, random
        self._lock, self._left = threading.Lock(), threading.Condition()
        self._db: sqlite3.Connection | None = None
        self._holder = secrets.token_hex(8)
        self._alive_file: TextIOWrapper | None = None  # locked for as long as we live
        self._running: set[int] = set()  # our own turns: a row of ours that is not among them was left behind

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            if self._db:
                self._db.close()
            if self._alive_file:
                Path(self._alive_file.name).unlink(missing_ok=True)
                self._alive_file.close()
            self._db = self._alive_file = None

    @contextmanager
    def turn(self, host: str, *, delay_seconds: float = 0) -> Iterator[Turn]:
        """Wait until `host` may be asked, and hold one of its connections while the block runs.

        From one request to the next `delay_seconds` pass, or what the last one or the host itself wanted if that is
        more. First come, first served. Raises NotNow where the host wants to be left alone for longer than is waited
        for, where its requests of the day are used up, and where no turn comes in time.
        """
        rule = rule_of(host, delay_seconds, self._limits)
        turn_id = self._await(rule)
        turn = Turn(self._clock)
        try:
            yield turn
        finally:
            self._leave(rule, turn_id, turn)

    def _await(self, rule: Rule) -> int:
        turn_id, waited = None, 0.0
        patience = self._limits.host_wait_seconds_max + rule.delay_seconds
        try:
            while True:
                turn_id, wait = self._ask(rule, turn_id)
                if wait is None:
                    return turn_id
                if waited + wait.seconds > patience:
                    limit = f"{patience:g} s (limits.host_wait_seconds_max)"
                    raise NotNow(f"no turn at {rule.host} within {limit}", retry_after_seconds=wait.seconds)
                waited += self._wait(wait)
        except BaseException:
            self._give_up(turn_id)
            raise

    def _wait(self, wait: _Wait) -> float:
        if not wait.busy:
            self._sleep(wait.seconds)
            return wait.seconds
        started = time.monotonic()
        with self._left:
            self._left.wait(wait.seconds)
        return time.monotonic() - started

    def _ask(self, rule: Rule, turn_id: int | None) -> tuple[int, _Wait | None]:
        """Take the turn if it is ours, else keep our place; returns its number and how long to wait."""
        now = _micro(self._clock())
        with self._transaction() as db:
            host = _load(db, rule.host, now)
            if self._bury(db, rule.host):
                host.asked_at = now
            _refuse(host, rule, now)
            turn_id = self._place(db, rule.host, turn_id, now)
            wait = _wait_of(host, rule, now, in_use=_in_use(db, rule.host), ahead=_ahead(db, rule.host, turn_id))
            if wait:
                back_at = now + round(wait.seconds * _SECOND)
                db.execute("UPDATE turns SET back_at = ? WHERE turn_id = ?", (back_at, turn_id))
            else:
                db.execute("UPDATE turns SET started_at = ? WHERE turn_id = ?", (now, turn_id))
                host.asked_at, host.delay, host.requests = now, _span(rule.delay_seconds), host.requests + 1
                self._running.add(turn_id)
            _save(db, host)
        return turn_id, wait

    def _place(self, db: sqlite3.Connection, host: str, turn_id: int | None, now: int) -> int:
        """Our place among those who wait: a new one where we have none, or came back too late for it."""
        db.execute(
            "DELETE FROM turns WHERE host = ? AND started_at IS NULL AND turn_id IS NOT ? "
            "AND back_at NOT BETWEEN ? AND ?",
            (host, turn_id, now - _GRACE, now + _DAY),
        )
        if turn_id and db.execute("SELECT 1 FROM turns WHERE turn_id = ?", (turn_id,)).fetchone():
            return turn_id
        added = db.execute("INSERT INTO turns VALUES (NULL, ?, ?, ?, NULL)", (host, self._holder, now))
        return int(added.lastrowid or 0)

    def _bury(self, db: sqlite3.Connection, host: str) -> bool:
        """End the turns whose holder is gone; returns whether one of them was under way."""
        found = db.execute("SELECT turn_id, holder, started_at FROM turns WHERE host = ?", (host,)).fetchall()
        gone = [
            (turn_id, started_at) for turn_id, holder, started_at in found if self._is_over(turn_id, holder, started_at)
        ]
        db.executemany("DELETE FROM turns WHERE turn_id = ?", [(turn_id,) for turn_id, _ in gone])
        return any(started_at is not None for _, started_at in gone)

    def _is_over(self, turn_id: int, holder: str, started_at: int | None) -> bool:
        if holder == self._holder or self._home is None:
            return started_at is not None and turn_id not in self._running
        return not _is_held(self._home / "hosts" / f"{holder}.alive")

    def _leave(self, rule: Rule, turn_id: int, turn: Turn) -> None:
        """End a turn, and write down what the host said."""
        try:
            now = _micro(self._clock())
            with self._transaction() as db:
                host = _load(db, rule.host, now)
                if turn.sent_at:
                    host.asked_at = max(host.asked_at, min(now, _micro(turn.sent_at)))
                if turn.heard_at:
                    _heed(host, turn.status, turn.wishes, _micro(turn.heard_at), self._random())
                _save(db, host)
                db.execute("DELETE FROM turns WHERE turn_id = ?", (turn_id,))
        finally:
            self._running.discard(turn_id)
            with self._left:
                self._left.notify_all()

    def _give_up(self, turn_id: int | None) -> None:
        """Leave the queue. A row that stays behind is ended by whoever comes across it."""
        if turn_id is not None:
            self._running.discard(turn_id)
            with suppress(NotNow), self._transaction() as db:
                db.execute("DELETE FROM turns WHERE turn_id = ?", (turn_id,))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                db = self._db = self._db or self._open()
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
            except (sqlite3.Error, OSError) as error:
                hint = "it may be deleted while nothing runs"
                raise NotNow(f"{_path(self._home)} cannot be used ({error}); {hint}") from error

    def _open(self) -> sqlite3.Connection:
        now = _micro(self._clock())
        if self._home is None:
            return _connect(":memory:", now)
        folder = self._home / "hosts"
        with exclusive(folder / "opening.lock", what="another process is opening it"):
            for path in folder.glob("*.alive"):
                if not _is_held(path):
                    path.unlink(missing_ok=True)
            if self._alive_file is None:
                self._alive_file = (folder / f"{self._holder}.alive").open("w")
                fcntl.flock(self._alive_file, fcntl.LOCK_EX)
            return _connect(str(_path(self._home)), now)


def held_hosts(home: Path, limits: Limits, *, now: datetime) -> tuple[HeldHost, ...]:
    """The hosts where something holds requests back, or soon will; by name. Reads only."""
    path, moment, per_day = _path(home), _micro(now), limits.host_requests_per_day_max
    if not path.exists():
        return ()
    try:
        db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_LOCKED_SECONDS)
        try:
            names = [name for (name,) in db.execute("SELECT host FROM hosts ORDER BY host")]
            hosts = [_load(db, name, moment) for name in names]
        finally:
            db.close()
    except sqlite3.Error as error:
        trouble = f"cannot be read ({error})"
        return (HeldHost(host=path.name, reason=trouble, until=None, requests_today=0, requests_per_day_max=per_day),)
    return tuple(
        HeldHost(
            host=host.host,
            reason=host.held_why if host.held_until > moment else None,
            until=_EPOCH + timedelta(microseconds=host.held_until) if host.held_until > moment else None,
            requests_today=host.requests,
            requests_per_day_max=per_day,
        )
        for host in hosts
        if host.held_until > moment or (per_day - host.requests < per_day * _FEW and not _is_loopback(host.host))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one host is asked."""

    host: str  # the one whose connections and times count
    delay_seconds: float
    connections_max: int
    requests_per_day_max: int


def rule_of(host: str, delay_seconds: float, limits: Limits) -> Rule:
    """Return the rule for a host name. All of arXiv is one host, and its terms stand whatever is configured."""
    host = host.lower().rstrip(".")
    connections, per_day = limits.host_connections_max, limits.host_requests_per_day_max
    if host == ARXIV or host.endswith(f".{ARXIV}"):
        host, delay_seconds, connections = ARXIV, max(delay_seconds, ARXIV_DELAY_SECONDS), 1
    elif _is_loopback(host):
        # Whoever runs it is whoever runs us: a proxy, a demo, a test.
        delay_seconds, per_day = 0.0, sys.maxsize
    return Rule(host=host, delay_seconds=delay_seconds, connections_max=connections, requests_per_day_max=per_day)


@dataclass(slots=True)
class _Host:
    """A row of hosts."""

    host: str
    asked_at: int = 0
    delay: int = 0
    spacing: int = 0
    held_until: int = 0
    held_why: str = ""
    strikes: int = 0
    day: int = 0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class _Wait:
    seconds: float
    busy: bool = False  # for a turn of somebody else to end, which may be sooner


def _refuse(host: _Host, rule: Rule, now: int) -> None:
    """Raise NotNow where waiting is no use."""
    if host.requests >= rule.requests_per_day_max:
        raise NotNow(
            f"the {rule.requests_per_day_max:,} requests a day that {host.host} is asked at most are used up; "
            "there are new ones at 00:00 UTC (limits.host_requests_per_day_max)",
            retry_after_seconds=((host.day + 1) * _DAY - now) / _SECOND,
        )
    seconds = (host.held_until - now) / _SECOND
    if seconds > REST_WAITED_SECONDS_MAX:
        raise NotNow(f"{host.host} {host.held_why}: try again in {seconds:.0f} s", retry_after_seconds=seconds)


def _wait_of(host: _Host, rule: Rule, now: int, *, in_use: int, ahead: bool) -> _Wait | None:
    """How long to wait before asking again for a turn; None: it is ours."""
    free_at = host.asked_at + max(host.delay, host.spacing, _span(rule.delay_seconds))
    seconds = (max(free_at, host.held_until) - now) / _SECOND
    if seconds > 0:
        return _Wait(seconds)
    if ahead or in_use >= rule.connections_max:
        return _Wait(_POLL_SECONDS, busy=True)
    return None


def _heed(host: _Host, status: int, wishes: Wishes, now: int, chance: float) -> None:
    """Change what is known of a host by what it answered; status 0: it did not. `chance` spreads the back-off."""
    if wishes.spacing_seconds is not None:
        host.spacing = _span(wishes.spacing_seconds)
    elif 0 < status < _CLIENT_ERROR:
        host.spacing = 0
    is_trouble = status in (0, _TOO_MANY, _UNAVAILABLE)
    host.strikes = host.strikes + 1 if is_trouble else 0
    if wishes.spent_seconds:
        _hold(host, wishes.spent_seconds, "has no request left for us", now)
    if wishes.rest_seconds and status >= _CLIENT_ERROR:
        _hold(host, wishes.rest_seconds, "asked for rest", now)
    elif is_trouble:
        first = TOO_MANY_SECONDS if status == _TOO_MANY else BUSY_SECONDS
        why = {_TOO_MANY: "asked for rest", _UNAVAILABLE: "is busy (HTTP 503)"}.get(status, "did not answer in time")
        backoff = min(first * BACKOFF_FACTOR ** min(host.strikes - 1, 10), BACKOFF_SECONDS_MAX)
        _hold(host, backoff * (1 + JITTER * chance), why, now)


def _hold(host: _Host, seconds: float, why: str, now: int) -> None:
    until = now + _span(min(seconds, REST_SECONDS_MAX))
    if until > host.held_until:
        host.held_until, host.held_why = until, why


def _load(db: sqlite3.Connection, name: str, now: int) -> _Host:
    """What is known of a host; what a clock that was set back makes impossible is not believed."""
    row = db.execute("SELECT * FROM hosts WHERE host = ?", (name,)).fetchone()
    host = _Host(*row) if row else _Host(name)
    host.asked_at, host.held_until = min(host.asked_at, now), min(host.held_until, now + _DAY)
    if host.held_until < now - _DAY:
        host.strikes = 0
    if host.day != now // _DAY:
        host.day, host.requests = now // _DAY, 0
    return host


def _save(db: sqlite3.Connection, host: _Host) -> None:
    values = (host.asked_at, host.delay, host.spacing, host.held_until, host.held_why, host.strikes, host.day)
    db.execute("INSERT OR REPLACE INTO hosts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (host.host, *values, host.requests))


def _in_use(db: sqlite3.Connection, host: str) -> int:
    counted = db.execute("SELECT count(*) FROM turns WHERE host = ? AND started_at IS NOT NULL", (host,))
    return int(counted.fetchone()[0])


def _ahead(db: sqlite3.Connection, host: str, turn_id: int) -> bool:
    """Whether somebody waits who came before."""
    question = "SELECT 1 FROM turns WHERE host = ? AND started_at IS NULL AND turn_id < ?"
    return db.execute(question, (host, turn_id)).fetchone() is not None


def _is_held(path: Path) -> bool:
    """Whether a process that lives keeps the lock on a file."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _connect(path: str, now: int) -> sqlite3.Connection:
    """Open hosts.sqlite. A power cut may take its last seconds: they would be over before anything runs again."""
    db = sqlite3.connect(path, timeout=_LOCKED_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.executescript(_SCHEMA)
        db.execute("DELETE FROM hosts WHERE max(asked_at, held_until) < ?", (now - _FORGOTTEN_AFTER,))
    except BaseException:
        db.close()
        raise
    return db


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _path(home: Path | None) -> Path:
    return (home or Path()) / "hosts.sqlite"


def _micro(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _span(seconds: float) -> int:
    return round(seconds * _SECOND)
