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
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from storage.archive import Archive
from storage.durable import fsync
from storage.errors import ArchiveError, ArchiveFull
from storage.index import Index
from storage.model import TOLD, Announcement, Paper, Revision, Sighting, Tag, TaggedPaper
from storage.query import WORDS_SQL, parse_query
from storage.segments import SCHEMA, paper_of, segment_path, sighting_of
from storage.settings import Settings, Topic

_VIEWS = files("storage").joinpath("catalog.sql").read_text(encoding="utf-8")
_CONFIG: dict[str, Any] = {"python_enable_replacements": "false", "threads": "2"}
_TAG_SCHEMA = pa.schema([("paper_id", pa.string()), ("topic", pa.string()), ("reason", pa.string())])
_PAPERS_KEPT = 20_000  # in memory while a snapshot is open: topics share most of their papers
_FULL_BYTES = 1_000_000  # less room than this, and what failed to be written failed for that
_SEGMENTS_AT_ONCE = 50  # tagged in one go: bounds memory when a changed topic re-tags a large archive


def catalog_path(home: Path) -> Path:
    """Where papers.duckdb lies."""
    return home / "papers.duckdb"


def refresh_catalog(archive: Archive, settings: Settings, topics: Sequence[Topic], *, now: datetime) -> bool:
    """Tag what is new and publish papers.duckdb where it is behind the log or the settings; says whether it was.

    Holds the commit lock, so no commit can come between. Raises ArchiveFull, ArchiveError.
    """
    index, home = archive.index, archive.home
    with index.transaction():
        key = _key([str(index.latest_seq()), *map(repr, topics), *map(repr, settings.source), str(home)])
        if index.get_meta("catalog") == key and catalog_path(home).exists():
            return False
        _tag_new_papers(index, archive.log, topics, now=now)
        _publish(index, home, settings, topics)
        index.set_meta("catalog", key)
    return True


class Catalog:
    """The read side of papers.duckdb, as one snapshot: what it sees does not move while it is open."""

    def __init__(self, home: Path) -> None:
        path = catalog_path(home)
        if not path.exists():
            raise ArchiveError(f"nothing has been archived yet in {home}; `paperwire run` reads the sources")
        try:
            self.connection = duckdb.connect(str(path), read_only=True, config=_CONFIG)
        except duckdb.Error as error:
            raise ArchiveError(f"{path}: {str(error).splitlines()[0]}") from error
        self._log = home / "archive" / "log"
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
        return int(self.rows("SELECT coalesce(max(seq), 0) AS seq FROM _rows")[0]["seq"])

    def papers(self, paper_ids: Sequence[str]) -> list[TaggedPaper]:
        """The papers with these ids, in this order; unknown ids are left out."""
        found = self._heads("SELECT paper_id, seq FROM _heads WHERE paper_id IN (SELECT unnest(?))", [list(paper_ids)])
        known = {t.paper.paper_id: t for t in found}
        return [known[p] for p in paper_ids if p in known]

    def new_in_topic(self, slug: str | None, *, since: datetime | None = None, limit: int = 1_000) -> list[TaggedPaper]:
        """Papers announced as new in a topic (None: in any), newest first."""
        return self._heads(
            f"""SELECT paper_id, seq FROM _heads WHERE announced_at >= coalesce(?, TIMESTAMP '1970-01-01')
            {_in_topic(slug)} ORDER BY announced_at DESC LIMIT ?""",
            [_naive(since), *_slug(slug), limit],
        )

    def new_since(self, slug: str, *, after_seq: int, until_seq: int) -> list[TaggedPaper]:
        """Papers of a topic first announced as new in a segment of (after_seq, until_seq], newest first."""
        return self._heads(
            f"""SELECT paper_id, seq FROM _heads WHERE announced_at IS NOT NULL {_in_topic(slug)} AND paper_id IN (
            SELECT paper_id FROM _rows WHERE list_contains(announcements, 'new') AND seq > ? AND seq <= ?)
            ORDER BY announced_at DESC""",
            [*_slug(slug), after_seq, until_seq],
        )

    def revisions_since(self, slug: str, *, after_seq: int, until_seq: int) -> list[Revision]:
        """Revisions of a topic's papers in segments (after_seq, until_seq], newest first."""
        return self._told(
            f"""SELECT paper_id, seq FROM _told WHERE seq > ? AND seq <= ? {_in_topic(slug)}
            ORDER BY revised_at DESC, paper_id""",
            [after_seq, until_seq, *_slug(slug)],
        )

    def revisions_in_topic(self, slug: str | None, *, limit: int = 1_000) -> list[Revision]:
        """What readers were told after papers of a topic (None: any) were new, newest first."""
        return self._told(
            f"SELECT paper_id, seq FROM _told WHERE true {_in_topic(slug)} ORDER BY revised_at DESC, paper_id LIMIT ?",
            [*_slug(slug), limit],
        )

    def revisions(self, paper_id: str) -> list[Revision]:
        """All that was announced of one paper, oldest first."""
        return self.life([paper_id]).get(paper_id, ([], []))[0]

    def sightings(self, paper_id: str) -> list[Sighting]:
        """Who saw one paper, oldest first."""
        return self.life([paper_id]).get(paper_id, ([], []))[1]

    def life(self, paper_ids: Sequence[str]) -> dict[str, tuple[list[Revision], list[Sighting]]]:
        """Revisions and sightings of many papers at once, each oldest first."""
        rows = self.rows("SELECT * FROM _rows WHERE paper_id IN (SELECT unnest(?)) ORDER BY seq", [list(paper_ids)])
        lives: dict[str, tuple[list[Revision], list[Sighting]]] = {}
        for row in rows:
            revisions, sightings = lives.setdefault(row["paper_id"], ([], []))
            sightings += [sighting_of(s) for s in row["sightings"]]
            revision = _revision(row)
            if revision.announcements:
                revisions.append(revision)
        return lives

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
        """The papers on the newest curated lists, most votes first."""
        return self._heads(
            """SELECT paper_id, seq FROM _heads
            WHERE trending_on >= (SELECT max(trending_on) FROM _heads) - INTERVAL 2 DAY
            ORDER BY upvotes DESC NULLS LAST, paper_id LIMIT ?""",
            [limit],
        )

    def topic_counts(self) -> dict[str, int]:
        """How many papers each topic holds."""
        rows = self.rows("SELECT topic, count(*) AS n FROM paper_topics GROUP BY topic ORDER BY topic")
        return {row["topic"]: row["n"] for row in rows}

    def changed_since(self, seq: int) -> list[str]:
        """The papers with a row in a segment after `seq`, sorted."""
        rows = self.rows("SELECT paper_id FROM _heads WHERE seq > ? ORDER BY paper_id", [seq])
        return [row["paper_id"] for row in rows]

    def matching(self, query: str, *, now: datetime, since: datetime | None = None, limit: int = 1_000) -> list[Paper]:
        """The papers a query finds, newest announced first. Raises QueryError."""
        condition = parse_query(query).sql(now)
        rows = self.rows(
            f"""SELECT * FROM ({WORDS_SQL}) WHERE {condition.where}
            AND coalesce(announced_at, revised_at) >= coalesce(?, TIMESTAMP '1970-01-01')
            ORDER BY coalesce(announced_at, revised_at) DESC LIMIT ?""",
            [*condition.params, _naive(since), limit],
        )
        return [paper_of(row) for row in rows]

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Run SQL and return each row by column name."""
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
        tags = self._tags([paper_id for paper_id, _ in missing])
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
        """The whole rows for these keys; opens only the segments that hold them."""
        wanted = set(keys)
        if not wanted:
            return {}
        names = [str(segment_path(self._log, seq)) for seq in sorted({seq for _, seq in wanted})]
        rows = self.rows(
            "SELECT * FROM read_parquet(?) WHERE paper_id IN (SELECT unnest(?))", [names, [p for p, _ in wanted]]
        )
        return {(r["paper_id"], r["seq"]): r for r in rows if (r["paper_id"], r["seq"]) in wanted}

    def _tags(self, paper_ids: Sequence[str]) -> dict[str, tuple[Tag, ...]]:
        tags: dict[str, list[Tag]] = {}
        order = {slug: i for i, slug in enumerate(self._titles)}
        if not paper_ids:
            return {}
        for row in self.rows("SELECT * FROM paper_topics WHERE paper_id IN (SELECT unnest(?))", [list(paper_ids)]):
            tag = Tag(slug=row["topic"], title=self._titles[row["topic"]], reason=row["reason"])
            tags.setdefault(row["paper_id"], []).append(tag)
        return {p: tuple(sorted(found, key=lambda t: order[t.slug])) for p, found in tags.items()}


_WHERE_NEW = "WHERE announced_at IS NOT NULL"


def _tag_new_papers(index: Index, log: Path, topics: Sequence[Topic], *, now: datetime) -> None:
    """Tag every paper that has changed since the last tagging; all of them where the topics themselves changed."""
    key, latest = _key([f"{t.slug} {t.query}" for t in topics]), index.latest_seq()
    after = int(index.get_meta("tagged_seq", "0")) if index.get_meta("tagged_topics") == key else 0
    for start in range(after, latest, _SEGMENTS_AT_ONCE):
        _tag(index, log, topics, range(start + 1, min(start + _SEGMENTS_AT_ONCE, latest) + 1), now=now)
    index.set_meta("tagged_seq", str(latest))
    index.set_meta("tagged_topics", key)


def _tag(index: Index, log: Path, topics: Sequence[Topic], seqs: Sequence[int], *, now: datetime) -> None:
    """Tag the papers whose newest row lies in segments `seqs`."""
    with duckdb.connect(config=_CONFIG) as connection:
        names = [str(segment_path(log, seq)) for seq in seqs]
        connection.execute(
            """CREATE TABLE _rows AS SELECT * FROM read_parquet(?)
            QUALIFY row_number() OVER (PARTITION BY paper_id ORDER BY seq DESC) = 1""",
            [names],
        )
        connection.execute("CREATE VIEW papers AS SELECT * FROM _rows")
        connection.execute("CREATE TABLE paper_topics (paper_id VARCHAR, topic VARCHAR, reason VARCHAR)")
        connection.execute(f"CREATE TABLE words AS {WORDS_SQL}")
        cursor = connection.execute("SELECT * FROM _rows")
        columns = [c[0] for c in cursor.description or ()]
        papers = {p.paper_id: p for p in (paper_of(dict(zip(columns, r, strict=True))) for r in cursor.fetchall())}
        heads = index.heads(papers)
        papers = {paper_id: p for paper_id, p in papers.items() if heads[paper_id] in seqs}
        tags = [row for topic in topics for row in _tags_of(connection, topic, papers, now)]
    index.replace_tags(list(papers), tags, seq=max(seqs))


def _tags_of(
    connection: duckdb.DuckDBPyConnection, topic: Topic, papers: Mapping[str, Paper], now: datetime
) -> list[tuple[str, str, str]]:
    """The (paper_id, topic, reason) rows of one topic among `papers`."""
    query = parse_query(topic.query)
    condition = query.sql(now)
    rows = connection.execute(f"SELECT paper_id FROM words WHERE {condition.where}", list(condition.params)).fetchall()
    found = [str(row[0]) for row in rows if row[0] in papers]
    return [(p, topic.slug, ", ".join(query.reasons(papers[p], now)) or topic.title) for p in found]


def _publish(index: Index, home: Path, settings: Settings, topics: Sequence[Topic]) -> None:
    """Write papers.duckdb anew and put it in place of the old one."""
    temporary = home / f".papers-{os.getpid()}.duckdb"
    temporary.unlink(missing_ok=True)
    try:
        with duckdb.connect(config=_CONFIG) as connection:
            connection.execute(f"ATTACH {_literal(str(temporary))} AS catalog (STORAGE_VERSION 'v1.0.0')")
            connection.execute("USE catalog")
            connection.execute(_views(home / "archive" / "log", index.latest_seq()))
            _write_tables(connection, index, settings, topics)
            connection.execute("USE memory; DETACH catalog")
        fsync(temporary)
        temporary.replace(catalog_path(home))
    except (duckdb.Error, OSError) as error:
        # DuckDB does not always say that the disk is full ("CHECKPOINT during DETACH failed").
        full = getattr(error, "errno", None) == errno.ENOSPC or shutil.disk_usage(home).free < _FULL_BYTES
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise (ArchiveFull if full else ArchiveError)(f"cannot write papers.duckdb: {line}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _views(log: Path, latest: int) -> str:
    """The views over the committed segments; over an empty table where there are none."""
    names = ", ".join(_literal(str(segment_path(log, seq))) for seq in range(latest, 0, -1))
    if names:
        return _VIEWS.replace("segments()", f"[{names}]")
    empty = duckdb.connect().from_arrow(SCHEMA.empty_table())
    columns = ", ".join(f'"{c}" {t}' for c, t in zip(empty.columns, empty.types, strict=True))
    return _VIEWS.replace(
        "CREATE VIEW _rows AS SELECT * FROM read_parquet(segments());", f"CREATE TABLE _rows ({columns});"
    )


def _write_tables(
    connection: duckdb.DuckDBPyConnection, index: Index, settings: Settings, topics: Sequence[Topic]
) -> None:
    connection.execute("CREATE TABLE paper_topics (paper_id VARCHAR, topic VARCHAR, reason VARCHAR)")
    slugs = {t.slug for t in topics}
    tags = [row for row in index.all_tags() if row[1] in slugs]
    if tags:
        columns = [list(column) for column in zip(*tags, strict=True)]
        connection.register("_tags", pa.table(columns, schema=_TAG_SCHEMA))
        connection.execute("INSERT INTO paper_topics SELECT * FROM _tags")
        connection.unregister("_tags")
    connection.execute("CREATE TABLE topics (topic VARCHAR, title VARCHAR, query VARCHAR, description VARCHAR)")
    for topic in topics:
        connection.execute(
            "INSERT INTO topics VALUES (?, ?, ?, ?)", [topic.slug, topic.title, topic.query, topic.description]
        )
    connection.execute("CREATE TABLE _sources (source VARCHAR, kind VARCHAR, category VARCHAR, url VARCHAR)")
    for s in settings.source:
        connection.execute(
            "INSERT INTO _sources VALUES (?, ?, ?, ?)", [s.name, s.kind, s.category, s.url or s.base_url]
        )
    connection.execute(_SOURCES_VIEW)


_SOURCES_VIEW = """
CREATE VIEW sources AS
SELECT coalesce(c.source, s.source) AS source, c.kind, c.category, c.url,
       coalesce(s.sightings, 0) AS sightings, coalesce(s.papers, 0) AS papers, s.first_seen_at, s.last_seen_at
FROM _sources c FULL JOIN (
  SELECT source, count(*) AS sightings, count(DISTINCT paper_id) AS papers,
         min(seen_at) AS first_seen_at, max(seen_at) AS last_seen_at
  FROM sightings GROUP BY source
) s ON c.source = s.source
"""


def _revision(row: Mapping[str, Any]) -> Revision:
    paper = paper_of(dict(row))
    announcements = tuple(Announcement(a) for a in row["announcements"])
    moment = paper.announced_at if Announcement.NEW in announcements else paper.revised_at
    told = Announcement.NEW in announcements or any(a in TOLD for a in announcements)
    at = (moment if told else None) or sighting_of(row["sightings"][0]).seen_at
    return Revision(paper=paper, announcements=announcements, changes=tuple(row["changes"] or ()), at=at)


def _in_topic(slug: str | None) -> str:
    return "" if slug is None else "AND paper_id IN (SELECT paper_id FROM paper_topics WHERE topic = ?)"


def _slug(slug: str | None) -> list[object]:
    return [] if slug is None else [slug]


def _key(parts: Sequence[str]) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def _naive(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment else None


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
