"""Which entry stands in which feed, and since when: `home/listings.sqlite`, derived from the archive, remade at will.

A paper can join a feed long after it was announced: a source or a category takes it up later, a revision or a vote
makes it answer a topic. Feeds are windows over the time of joining, so that nobody misses it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

from storage.errors import ArchiveError, ArchiveFull
from storage.portions import portions

_SCHEMA = files("storage").joinpath("listings.sql").read_text(encoding="utf-8")
_VERSION = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PAPERS_KEPT = 10_000  # of which the number is remembered: a paper is put into many feeds at once
_AT_ONCE = 500  # values in one statement


@dataclass(frozen=True, slots=True)
class Listing:
    """An entry of a feed: a paper, or one revision of it."""

    paper_id: str
    listed_at: datetime  # when it joined the feed
    entry: str = ""  # '' for the paper itself, else which revision: revised/v2
    seq: int = 0  # the commit that a revision is of


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFeed:
    """A feed that has or had entries."""

    stem: str
    kind: str
    key: str
    archived_at: datetime | None  # the newest entry outside its window, when it was last published


class Listings:
    """The listings of one installation, for one writer at a time. Nothing is kept before `commit`."""

    def __init__(self, home: Path) -> None:
        self._path = home / "listings.sqlite"
        with _said_plainly(self._path):
            self._connection = _open(self._path)
            self._connection.execute("BEGIN IMMEDIATE")
        self._papers: dict[str, int] = {}
        self._feeds: dict[str, int] = {
            stem: feed for feed, stem in self._connection.execute("SELECT feed, stem FROM feeds")
        }

    def __enter__(self) -> Listings:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(sqlite3.Error):
            self._connection.rollback()
        self._connection.close()

    def get(self, name: str) -> str:
        """A fact kept beside the listings; '' where there is none."""
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def commit(self, facts: Mapping[str, str]) -> None:
        """Keep all changes, and `facts` beside them."""
        with _said_plainly(self._path):
            self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(facts.items()))
            self._connection.commit()
            self._connection.execute("BEGIN IMMEDIATE")

    def clear(self) -> None:
        """Forget everything."""
        for table in ("listings", "papers", "feeds", "meta"):
            self._connection.execute(f"DELETE FROM {table}")
        self._feeds.clear()
        self._papers.clear()

    def feeds(self) -> list[ListedFeed]:
        """All feeds, by stem."""
        rows = self._connection.execute("SELECT stem, kind, key, archived_at FROM feeds ORDER BY stem")
        return [ListedFeed(stem=s, kind=kind, key=key, archived_at=_moment(at)) for s, kind, key, at in rows]

    def about(self, stem: str) -> tuple[str, str]:
        """The kind and the key of a feed that has or had entries."""
        kind, key = self._connection.execute("SELECT kind, key FROM feeds WHERE stem = ?", (stem,)).fetchone()
        return kind, key

    def of_papers(self, paper_ids: Iterable[str]) -> dict[str, dict[str, datetime]]:
        """Of each paper the stems of the feeds where it stands itself, and since when."""
        found: dict[str, dict[str, datetime]] = {paper_id: {} for paper_id in paper_ids}
        for some in portions(list(found), _AT_ONCE):
            rows = self._connection.execute(
                f"""SELECT paper_id, stem, listed_at FROM papers JOIN listings USING (paper) JOIN feeds USING (feed)
                WHERE paper_id IN ({_marks(some)}) AND entry = ''""",
                some,
            )
            for paper_id, stem, at in rows:
                found[paper_id][stem] = _EPOCH + at * _MICROSECOND
        return found

    def put(self, stem: str, kind: str, key: str, listing: Listing) -> datetime | None:
        """List an entry, in the place of the same entry; returns since when that was listed."""
        feed, paper = self._feed(stem, kind, key), self._paper(listing.paper_id)
        where = (paper, feed, listing.entry)
        row = self._connection.execute(
            "SELECT listed_at FROM listings WHERE paper = ? AND feed = ? AND entry = ?", where
        ).fetchone()
        with _said_plainly(self._path):
            self._connection.execute(
                "INSERT OR REPLACE INTO listings VALUES (?, ?, ?, ?, ?)",
                (*where, _micros(listing.listed_at), listing.seq),
            )
        return _moment(row[0]) if row else None

    def remove(self, stem: str, paper_id: str) -> None:
        """Take a paper out of a feed; what was told of its revisions stays."""
        self._connection.execute(
            """DELETE FROM listings WHERE paper = (SELECT paper FROM papers WHERE paper_id = ?)
            AND feed = ? AND entry = ''""",
            (paper_id, self._feeds[stem]),
        )

    def newest(self, stem: str, limit: int) -> list[Listing]:
        """The newest entries of a feed, newest first; those of the same moment in the order of their names."""
        rows = self._rows(stem, "ORDER BY listed_at DESC LIMIT ?", (limit + 1,))
        if len(rows) > limit and rows[limit - 1][1] == rows[limit][1]:  # which of several comes last is by name
            rows = [r for r in rows if r[1] > rows[-1][1]] + self._rows(stem, "AND listed_at = ?", (rows[-1][1],))
        return _ordered(rows)[:limit]

    def between(self, stem: str, start: datetime, until: datetime) -> list[Listing]:
        """The entries of a feed that joined from `start` up to `until`, both included, newest first."""
        return _ordered(self._rows(stem, "AND listed_at BETWEEN ? AND ?", (_micros(start), _micros(until))))

    def count(self, stem: str) -> int:
        """How many entries a feed has in all."""
        row = self._connection.execute(
            "SELECT count(*) FROM listings WHERE feed = ?", (self._feeds.get(stem),)
        ).fetchone()
        return int(row[0])

    def before(self, stem: str, moment: datetime) -> datetime | None:
        """When the newest entry joined that joined before `moment`."""
        return self._extreme(stem, "max", "<", moment)

    def since(self, stem: str, moment: datetime) -> datetime | None:
        """When the oldest entry joined that joined at `moment` or later."""
        return self._extreme(stem, "min", ">=", moment)

    def archived_at(self, stem: str) -> datetime | None:
        """When the newest entry outside a feed's window joined, as it was last published."""
        row = self._connection.execute("SELECT archived_at FROM feeds WHERE stem = ?", (stem,)).fetchone()
        return _moment(row[0]) if row else None

    def archived(self, stem: str, moment: datetime | None) -> None:
        """Note when the newest entry outside a feed's window joined."""
        at = _micros(moment) if moment else 0
        self._connection.execute("UPDATE feeds SET archived_at = ? WHERE stem = ?", (at, stem))

    def _extreme(self, stem: str, which: str, sign: str, moment: datetime) -> datetime | None:
        row = self._connection.execute(
            f"SELECT {which}(listed_at) FROM listings WHERE feed = ? AND listed_at {sign} ?",
            (self._feeds.get(stem), _micros(moment)),
        ).fetchone()
        return _moment(row[0])

    def _rows(self, stem: str, rest: str, values: tuple[int, ...]) -> list[tuple[str, int, str, int]]:
        return self._connection.execute(
            f"""SELECT paper_id, listed_at, entry, seq FROM (
            SELECT paper, listed_at, entry, seq FROM listings WHERE feed = ? {rest}) JOIN papers USING (paper)""",
            (self._feeds.get(stem), *values),
        ).fetchall()

    def _feed(self, stem: str, kind: str, key: str) -> int:
        if stem not in self._feeds:
            cursor = self._connection.execute("INSERT INTO feeds (stem, kind, key) VALUES (?, ?, ?)", (stem, kind, key))
            self._feeds[stem] = cursor.lastrowid or 0
        return self._feeds[stem]

    def _paper(self, paper_id: str) -> int:
        if paper_id in self._papers:
            return self._papers[paper_id]
        row = self._connection.execute("SELECT paper FROM papers WHERE paper_id = ?", (paper_id,)).fetchone()
        if row is None:
            row = (self._connection.execute("INSERT INTO papers (paper_id) VALUES (?)", (paper_id,)).lastrowid or 0,)
        if len(self._papers) >= _PAPERS_KEPT:
            self._papers.clear()
        self._papers[paper_id] = row[0]
        return self._papers[paper_id]


def _open(path: Path) -> sqlite3.Connection:
    """Open the database; one of another version, or damaged, is made anew: it is derived."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = sqlite3.connect(path, timeout=60, isolation_level=None)
        if connection.execute("PRAGMA user_version").fetchone()[0] == _VERSION:
            connection.execute("SELECT count(*) FROM feeds").fetchone()
            return connection
        fresh = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        fresh = False
    if not fresh:
        connection.close()
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)
        connection = sqlite3.connect(path, timeout=60, isolation_level=None)
    # It is derived: a power cut may take the newest commits back, whole, and they are made again.
    connection.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {_SCHEMA}")
    connection.execute(f"PRAGMA user_version = {_VERSION}")
    return connection


@contextmanager
def _said_plainly(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise (ArchiveFull if "full" in str(error) else ArchiveError)(f"{path}: {error}") from error


def _ordered(rows: Iterable[tuple[str, int, str, int]]) -> list[Listing]:
    ordered = sorted(rows, key=lambda row: (row[0], row[2]))
    ordered.sort(key=lambda row: row[1], reverse=True)
    return [Listing(p, _EPOCH + at * _MICROSECOND, entry, seq) for p, at, entry, seq in ordered]


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(micros: int | None) -> datetime | None:
    return _EPOCH + micros * _MICROSECOND if micros else None


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
