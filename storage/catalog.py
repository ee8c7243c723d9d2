"""papers.duckdb: how the archive looks to SQL. Published by rename after each commit; read at any time.

`refresh_catalog` writes a new file beside the old one and renames it, so a reader holds either the old or the new
one, whole. `Catalog` is the read side that publishers use.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from storage.archive import Archive
from storage.coverage import CoverageLog, Verdict, verdict_of
from storage.durable import fsync, sweep
from storage.errors import ArchiveCorrupt, ArchiveError, ArchiveFull
from storage.likes import KEPT, folder_of, keep_likes
from storage.model import TOLD, Announcement, Paper, Revision, Sighting, Tag, TaggedPaper
from storage.rows import paper_of, sighting_of
from storage.settings import Settings, Topic
from storage.survey import CONFIG
from storage.tables import rows_named, rows_with
from storage.tagging import tag_new_papers
from storage.trending import SPANS, board
from storage.views import HOME_VARIABLE, VIEWS_SQL, Shape, literal, write_views
from storage.watched import Watch, read_watch

_PAPERS_KEPT = 20_000  # in memory while a snapshot is open: topics share most of their papers
_TEMPORARIES = ".papers-*.duckdb*"  # and DuckDB's own files beside them
_FULL_BYTES = 1_000_000  # less room than this, and what failed to be written failed for that
_COVERAGE = """
SELECT source, day::VARCHAR, state, missing, came, low, high, late, why, was,
  strftime(missed_at, '%xT%X.%f+00:00'), strftime(healed_at, '%xT%X.%f+00:00')
FROM _coverage WHERE day > (SELECT max(day) FROM _coverage) - 30 ORDER BY source, day
"""
_IS_TOLD = "merged_into IS NULL AND (announced_at IS NOT NULL OR revised_at IS NOT NULL OR trending_on IS NOT NULL)"
# What lists are made from: narrow, so that a list is found without reading text. Made when it is first asked for.
_HEADS = f"""
CREATE TEMP TABLE _heads AS
SELECT paper_id, seq, announced_at, coalesce(announced_on, announced_at::DATE) AS day, trending_on, upvotes
FROM _current
WHERE {_IS_TOLD}
"""
_TOLD = """
CREATE TEMP TABLE _told AS
SELECT paper_id, seq, revised_at FROM _rows
WHERE merged_into IS NULL AND list_has_any(announcements, ['revised', 'published', 'withdrawn', 'code-appeared'])
"""


def catalog_path(home: Path) -> Path:
    """Where papers.duckdb lies."""
    return home / "papers.duckdb"


def refresh_catalog(archive: Archive, settings: Settings, topics: Sequence[Topic], *, now: datetime) -> bool:
    """Tag what is new and publish papers.duckdb where it is behind the log or the settings; says whether it was.

    Holds the commit lock, so no commit can come between. Raises ArchiveFull, ArchiveError.
    """
    index, home = archive.index, archive.home
    with index.transaction():
        files = [f.name for f in index.files("log", "papers", "history")]
        parts = [*files, *map(repr, topics), *map(repr, settings.source), str(home.resolve()), VIEWS_SQL]
        parts.append(str(CoverageLog(index).version()))
        likes = keep_likes(archive, topics, folder_of(settings))
        parts += [index.get_meta(KEPT)] if likes else []
        key = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
        if index.get_meta("catalog") == key and catalog_path(home).exists():
            return False
        tag_new_papers(archive, topics, likes, now=now)
        _publish(archive, settings, topics)
        index.set_meta("catalog", key)
    return True


class Merged(NamedTuple):
    """A paper that lives on as another one."""

    paper_id: str
    merged_into: str
    day: date  # under which it was filed


class State(NamedTuple):
    """A paper as one commit left it."""

    seq: int
    revision: Revision
    sightings: tuple[Sighting, ...]  # those that brought it there


class Catalog:
    """The read side of papers.duckdb, as one snapshot: what it sees does not move while it is open."""

    def __init__(self, home: Path) -> None:
        path = catalog_path(home)
        if not path.exists():
            raise ArchiveError(f"nothing has been archived yet in {home}; `paperwire run` reads the sources")
        try:
            # Attached, not connected to: within a process DuckDB has one instance for a path, and as long as somebody
            # holds the file that lay there before, whoever connects to the path is given that one.
            self.connection = duckdb.connect(config=CONFIG)
            self.connection.execute(f"ATTACH {literal(str(path))} AS papers (READ_ONLY); USE papers")
            self.connection.execute(f"SET VARIABLE {HOME_VARIABLE} = {literal(str(home.resolve()))}")
            self._files = self.connection.execute(
                "SELECT name, kind, lo, hi, footer FROM _files ORDER BY hi DESC"
            ).fetchall()
        except duckdb.Error as error:
            raise ArchiveError(f"{path}: {str(error).splitlines()[0]}") from error
        self._folder, self._made = home / "archive", set[str]()
        self._watch: Watch | None = None
        self._tagged: dict[tuple[str, int], TaggedPaper] = {}
        self._titles = dict(self.connection.execute("SELECT topic, title FROM topics").fetchall())

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()

    def latest_seq(self) -> int:
        """The newest segment in this snapshot; 0 where there is none."""
        return int(self.rows("SELECT seq FROM _meta")[0]["seq"])

    def papers(self, paper_ids: Sequence[str]) -> list[TaggedPaper]:
        """The papers with these ids, in this order; unknown ids are left out."""
        found = self._heads(
            f"SELECT paper_id, seq FROM _current WHERE merged_into IS NULL AND paper_id IN {THESE}",
            [joined(paper_ids)],
        )
        known = {t.paper.paper_id: t for t in found}
        return [known[p] for p in paper_ids if p in known]

    def known_as(self, aliases: Sequence[str]) -> list[Paper]:
        """The papers that carry one of these ids, such as `doi:10.1000/x`."""
        found = self._heads(
            f"""SELECT DISTINCT paper_id, seq FROM (
            SELECT paper_id, seq, unnest(aliases) AS alias FROM _current WHERE merged_into IS NULL)
            WHERE alias IN {THESE} ORDER BY paper_id""",
            [joined(aliases)],
        )
        return [tagged.paper for tagged in found]

    def likes_json(self) -> str:
        """The profiles that topics go by, as storage/likes.py keeps them; empty where none has a `like:`."""
        return str(self.rows("SELECT likes FROM _meta")[0]["likes"])

    def new_in_topic(self, slug: str | None, *, since: datetime | None = None, limit: int = 1_000) -> list[TaggedPaper]:
        """Papers announced as new in a topic (None: in any), newest first."""
        return self._heads(
            f"""SELECT paper_id, seq FROM _heads WHERE announced_at >= coalesce(?, TIMESTAMP '1970-01-01')
            {_in_topic(slug)} ORDER BY announced_at DESC LIMIT ?""",
            [_naive(since), *_slug(slug), limit],
        )

    def new_since(self, slug: str | None, *, after_seq: int, until_seq: int) -> list[TaggedPaper]:
        """Papers of a topic (None: of any) first announced as new in segments (after_seq, until_seq], newest first."""
        return self._heads(
            f"""SELECT paper_id, seq FROM _heads WHERE announced_at IS NOT NULL {_in_topic(slug)} AND paper_id IN (
            SELECT paper_id FROM _rows WHERE list_contains(announcements, 'new') AND seq > ? AND seq <= ?)
            ORDER BY announced_at DESC""",
            [*_slug(slug), after_seq, until_seq],
        )

    def revisions_since(self, slug: str | None, *, after_seq: int, until_seq: int) -> list[Revision]:
        """Revisions of a topic's papers (None: of all) in segments (after_seq, until_seq], newest first."""
        return self._told(
            f"""SELECT paper_id, seq FROM _told WHERE seq > ? AND seq <= ? {_in_topic(slug)}
            ORDER BY revised_at DESC, paper_id""",
            [after_seq, until_seq, *_slug(slug)],
        )

    def revisions(self, paper_id: str) -> list[Revision]:
        """All that was announced of one paper, oldest first."""
        return self.life([paper_id]).get(paper_id, ([], []))[0]

    def sightings(self, paper_id: str) -> list[Sighting]:
        """Who saw one paper, oldest first."""
        return self.life([paper_id]).get(paper_id, ([], []))[1]

    def life(self, paper_ids: Sequence[str]) -> dict[str, tuple[list[Revision], list[Sighting]]]:
        """Revisions and sightings of many papers at once, each oldest first."""
        lives: dict[str, tuple[list[Revision], list[Sighting]]] = {}
        for paper_id, states in self.states(paper_ids).items():
            told = [s.revision for s in states if s.revision.announcements or s.revision.changes]
            lives[paper_id] = told, [sighting for s in states for sighting in s.sightings]
        return lives

    def states(self, paper_ids: Sequence[str]) -> dict[str, list[State]]:
        """All that many papers ever were, each oldest first, whatever moved them."""
        keys = self._keys(f"SELECT paper_id, seq FROM _live WHERE paper_id IN {THESE}", [joined(paper_ids)])
        rows = sorted((*self._wide(keys).values(), *self._past(set(paper_ids))), key=lambda row: int(row["seq"]))
        found: dict[str, list[State]] = {}
        for row in rows:
            sightings = tuple(sighting_of(s) for s in row["sightings"])
            found.setdefault(row["paper_id"], []).append(State(int(row["seq"]), _revision(row), sightings))
        return found

    def told_at(self, keys: Sequence[tuple[str, int]]) -> list[Revision]:
        """The states of papers after commits, by (paper_id, seq), in this order."""
        rows = self._wide(keys)
        return [_revision(rows[key]) for key in keys]

    def days(self) -> list[tuple[date, int]]:
        """Each day with how many papers were new on it, newest first."""
        rows = self.rows(f"SELECT day, count(*) AS n FROM _heads {_WHERE_NEW} GROUP BY day ORDER BY day DESC")
        return [(row["day"], row["n"]) for row in rows]

    def papers_of_day(self, day: date) -> list[TaggedPaper]:
        """The papers new on a day, in the calendar of the source that announced them; newest first."""
        return self._heads(
            f"SELECT paper_id, seq FROM _heads {_WHERE_NEW} AND day = ? ORDER BY announced_at DESC", [day]
        )

    def trending(self, limit: int = 10) -> list[TaggedPaper]:
        """The papers that trend today, best first; where nothing moved within a day, those of the week or month."""
        watch = self.watch()
        for span in SPANS.values():
            found = board(watch.papers, span, as_of=watch.as_of, places=2 * limit).places
            if ranked := [place.score.paper_id for place in found if not place.newcomer]:
                return self.papers(ranked[:limit])
        return []

    def watch(self) -> Watch:
        """The papers with counts of the last weeks and those listed just now, for storage/trending.py to rank."""
        if self._watch is None:
            self._watch = read_watch(self.rows)
        return self._watch

    def topic_counts(self) -> dict[str, int]:
        """How many papers each topic holds."""
        rows = self.rows("SELECT topic, count(*) AS n FROM paper_topics GROUP BY topic ORDER BY topic")
        return {row["topic"]: row["n"] for row in rows}

    def channel_days(self, kind: str, first: date, last: date) -> dict[str, dict[date, int]]:
        """How many papers were new on each day of a span, both ends in it, by topic, category or source.

        A name without a paper in the span is left out, and so is a day without one.
        """
        found: dict[str, dict[date, int]] = {}
        for row in self.rows(_CHANNEL_DAYS[kind], [first, last]):
            found.setdefault(row["name"], {})[row["day"]] = row["n"]
        return found

    def top_of_days(self, first: date, last: date, *, limit: int) -> list[TaggedPaper]:
        """Up to `limit` papers new on the days of a span, both ends in it: as many of each day as there is room for.

        Newest day first; within a day the most votes first, then the last announced.
        """
        return self._heads(
            f"""SELECT paper_id, seq FROM (
              SELECT *, row_number() OVER (
                PARTITION BY day ORDER BY upvotes DESC NULLS LAST, announced_at DESC, paper_id) AS place
              FROM _heads {_WHERE_NEW} AND day BETWEEN ? AND ? ORDER BY place, day DESC LIMIT ?)
            ORDER BY day DESC, place""",
            [first, last, limit],
        )

    def coverage(self) -> list[Verdict]:
        """What the days of the last month are, up to the newest that was judged, by source and day."""
        return [verdict_of(row) for row in self.connection.execute(_COVERAGE).fetchall()]

    def changed_since(self, seq: int) -> list[str]:
        """The papers that readers were told of with a row in a segment after `seq`, sorted."""
        rows = self.rows(f"SELECT paper_id FROM _current WHERE {_IS_TOLD} AND seq > ? ORDER BY paper_id", [seq])
        return [row["paper_id"] for row in rows]

    def merged_since(self, seq: int) -> list[Merged]:
        """The papers that were merged into another one in a segment after `seq`, sorted."""
        rows = self.rows(
            """SELECT paper_id, merged_into, coalesce(announced_on, announced_at::DATE, first_seen_at::DATE) AS day
            FROM _current WHERE merged_into IS NOT NULL AND seq > ? ORDER BY 1""",
            [seq],
        )
        return [Merged(row["paper_id"], row["merged_into"], row["day"]) for row in rows]

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Run SQL and return each row by column name."""
        for name, made in (("_heads", _HEADS), ("_told", _TOLD)):
            if name in sql and name not in self._made:
                self._made.add(name)
                self.rows(made)
        try:
            cursor = self.connection.execute(sql, list(parameters))
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        except duckdb.Error as error:
            raise ArchiveError(f"papers.duckdb: {str(error).splitlines()[0]}") from error

    def _heads(self, sql: str, parameters: Sequence[object]) -> list[TaggedPaper]:
        """The papers of a list of (paper_id, seq), in its order."""
        keys = self._keys(sql, parameters)
        missing = [key for key in keys if key not in self._tagged]
        tags = self.tags([paper_id for paper_id, _ in missing])
        for key, row in self._wide(missing).items():
            self._tagged[key] = TaggedPaper(paper=paper_of(row), tags=tags.get(key[0], ()))
        found = [self._tagged[key] for key in keys]
        if len(self._tagged) > _PAPERS_KEPT:
            self._tagged.clear()
        return found

    def _told(self, sql: str, parameters: Sequence[object]) -> list[Revision]:
        """The revisions of a list of (paper_id, seq), in its order."""
        keys = self._keys(sql, parameters)
        rows = self._wide(keys)
        return [_revision(rows[key]) for key in keys]

    def _keys(self, sql: str, parameters: Sequence[object]) -> list[tuple[str, int]]:
        return [(row["paper_id"], row["seq"]) for row in self.rows(sql, parameters)]

    def _wide(self, keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], dict[str, Any]]:
        """The whole rows for these keys, every page checked; opens only the files that hold them.

        Readers are served from here, and DuckDB checks no checksum: a flipped bit raises ArchiveCorrupt.
        """
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for table in self._checked(set(keys)):
            found |= {(row["paper_id"], row["seq"]): row for row in table.to_pylist()}
        if gone := next((key for key in keys if key not in found), None):
            raise ArchiveCorrupt(f"no file holds the row of {gone[0]} in commit {gone[1]} that one was said to hold")
        return {key: found[key] for key in keys}

    def _past(self, paper_ids: set[str]) -> Iterator[dict[str, Any]]:
        """The rows of these papers in history files; which these are needs no DuckDB, the files are sorted by paper."""
        for name, kind, _, _, footer in self._files:
            if kind == "history":
                yield from rows_named(self._folder / name, paper_ids, footer=bytes(footer)).to_pylist()

    def _checked(self, keys: set[tuple[str, int]]) -> Iterator[pa.Table]:
        """Tables that hold these rows, and others of the same papers."""
        left, live = set(keys), [f for f in self._files if f[1] != "history"]
        for name, _, lo, hi, footer in live:
            here = {key for key in left if lo <= key[1] <= hi}
            if here:
                table = rows_with(self._folder / name, {p for p, _ in here}, {s for _, s in here}, footer=bytes(footer))
                left -= set(zip(table["paper_id"].to_pylist(), table["seq"].to_pylist(), strict=True))
                yield table
        for name, kind, lo, hi, footer in self._files:
            past = {p for p, seq in left if lo <= seq <= hi}
            if past and kind == "history":
                yield rows_named(self._folder / name, past, footer=bytes(footer))

    def tags(self, paper_ids: Sequence[str]) -> dict[str, tuple[Tag, ...]]:
        """The topics of these papers, in their order; papers without any are left out."""
        tags: dict[str, list[Tag]] = {}
        order = {slug: i for i, slug in enumerate(self._titles)}
        if not paper_ids:
            return {}
        for row in self.rows(f"SELECT * FROM paper_topics WHERE paper_id IN {THESE}", [joined(paper_ids)]):
            tag = Tag(slug=row["topic"], title=self._titles[row["topic"]], reason=row["reason"])
            tags.setdefault(row["paper_id"], []).append(tag)
        return {p: tuple(sorted(found, key=lambda t: order[t.slug])) for p, found in tags.items()}


# Ids bound as one text (`joined`): of a list DuckDB takes each value for itself, and looks for pandas at each. No id
# holds the separator, for it counts as whitespace (storage/text.py).
THESE = "(SELECT unnest(string_split(?, chr(31))))"
_WHERE_NEW = "WHERE announced_at IS NOT NULL"
_NEW_BETWEEN = f"{_WHERE_NEW} AND day BETWEEN ? AND ? GROUP BY ALL ORDER BY ALL"
_CHANNEL_DAYS = {
    "topic": f"SELECT topic AS name, day, count(*) AS n FROM _heads JOIN paper_topics USING (paper_id) {_NEW_BETWEEN}",
    "category": f"""SELECT name, day, count(*) AS n FROM _heads JOIN (
      SELECT paper_id, unnest(list_distinct(categories)) AS name FROM papers) USING (paper_id) {_NEW_BETWEEN}""",
    "source": f"""SELECT name, day, count(*) AS n FROM _heads JOIN (
      SELECT paper_id, unnest(list_distinct(sources)) AS name FROM papers) USING (paper_id) {_NEW_BETWEEN}""",
}


def _publish(archive: Archive, settings: Settings, topics: Sequence[Topic]) -> None:
    """Write papers.duckdb anew and put it in place of the old one."""
    home, seq = archive.home, archive.index.latest_seq()
    temporary = home / f".papers-{os.getpid()}.duckdb"
    sweep(home, _TEMPORARIES)
    try:
        connection = archive.scratch()
        connection.execute(f"ATTACH {literal(str(temporary))} AS catalog (STORAGE_VERSION 'v1.0.0')")
        connection.execute("USE catalog; BEGIN")
        write_views(connection, archive, settings, topics, Shape(seq=seq, latest=True))
        connection.execute("COMMIT; USE memory; DETACH catalog")
        fsync(temporary)
        temporary.replace(catalog_path(home))
        fsync(home)
    except (duckdb.Error, OSError) as error:
        archive.close_scratch()  # it has the half-written file open
        # DuckDB does not always say that the disk is full ("CHECKPOINT during DETACH failed").
        full = (
            getattr(error, "errno", None) == errno.ENOSPC
            or "No space left" in str(error)
            or shutil.disk_usage(home).free < _FULL_BYTES
        )
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise (ArchiveFull if full else ArchiveError)(f"cannot write papers.duckdb: {line}") from error
    finally:
        with contextlib.suppress(OSError):
            sweep(home, _TEMPORARIES)


def _revision(row: Mapping[str, Any]) -> Revision:
    paper = paper_of(dict(row))
    announcements = tuple(Announcement(a) for a in row["announcements"])
    moment = paper.announced_at if Announcement.NEW in announcements else paper.revised_at
    told = Announcement.NEW in announcements or any(a in TOLD for a in announcements)
    # A merge or split by hand has no sighting and told nobody.
    seen = sighting_of(row["sightings"][0]).seen_at if row["sightings"] else paper.revised_at or paper.first_seen_at
    at = (moment if told else None) or seen
    return Revision(paper=paper, announcements=announcements, changes=tuple(row["changes"] or ()), at=at)


def _in_topic(slug: str | None) -> str:
    return "" if slug is None else "AND paper_id IN (SELECT paper_id FROM paper_topics WHERE topic = ?)"


def joined(paper_ids: Sequence[str]) -> str:
    """Ids as the value for THESE."""
    return "\x1f".join(paper_ids)


def _slug(slug: str | None) -> list[object]:
    return [] if slug is None else [slug]


def _naive(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment else None
