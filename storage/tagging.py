"""Which paper belongs to which topic, and why. Kept as it changes in the index, and from time to time in one file.

Papers are tagged that readers were told of: announced, revised or on a curated list. A backfill is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from storage import tables
from storage.current import current_rows
from storage.durable import committed
from storage.index import FileRow
from storage.likes import topic_queries
from storage.model import Paper, Tag
from storage.profiles import Profile
from storage.query_many import Queries
from storage.rows import PAPER_TYPES, paper_of
from storage.tables import read_rows, stamp_of
from storage.views import TOPIC_SCHEMA

if TYPE_CHECKING:
    from storage.archive import Archive
    from storage.settings import Topic

# Papers tagged since the file was written, before it is written again. papers.duckdb gets their tags anew with every
# commit, at 7 ms a thousand; the file costs a second for each million tags. To tag all writes it less often.
_RECENT_MAX, _RECENT_OF_ALL_MAX = 10_000, 50_000
_COLUMNS = (*PAPER_TYPES, "seq")
_TOLD = ("announced_at", "revised_at", "trending_on")
Likes = Mapping[str, Profile]
"""The profiles of the seeds that topics name."""
_Tag = tuple[str, str, str]  # paper_id, topic, reason


def tag_new_papers(archive: Archive, topics: Sequence[Topic], likes: Likes, *, now: datetime) -> None:
    """Tag every paper that changed since the last tagging; all of them where the topics or their profiles changed.

    Within the caller's transaction.
    """
    index, latest = archive.index, archive.index.latest_seq()
    parts = [*(f"{t.slug} {t.query}" for t in topics), *(f"{seed} {profile}" for seed, profile in likes.items())]
    key = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
    after = int(index.get_meta("tagged_seq", "0")) if index.get_meta("tagged_topics") == key else 0
    if not after:
        _forget_all(archive, now=now)
    for table in _told_since(archive, after):
        _tag(archive, topics, likes, table, now=now, known=bool(after))
        if index.retagged_count() > (_RECENT_MAX if after else _RECENT_OF_ALL_MAX):
            _write_file(archive, now=now)
    index.set_meta("tagged_seq", str(latest))
    index.set_meta("tagged_topics", key)


def _told_since(archive: Archive, after: int) -> Iterator[pa.Table]:
    """Current rows of commits after `after` that readers were told of, oldest commit first."""
    stale = {(paper_id, seq) for paper_id, seq, _ in archive.index.stale_rows(after=after)}
    files = sorted(archive.index.files("log", "papers"), key=lambda f: f.lo)
    for table in current_rows(archive, files, stale, after=after, columns=_COLUMNS):
        told = pc.or_(pc.or_(*(pc.is_valid(table[name]) for name in _TOLD[:2])), pc.is_valid(table[_TOLD[2]]))
        kept = table.filter(told)
        if kept.num_rows:
            yield kept


def _tag(
    archive: Archive, topics: Sequence[Topic], likes: Likes, table: pa.Table, *, now: datetime, known: bool
) -> None:
    index, paper_ids = archive.index, table["paper_id"].to_pylist()
    tags = tags_of(table, topics, now, likes)
    touched = {topic for _, topic, _ in tags} | (_topics_before(archive, paper_ids) if known else set())
    index.replace_tags(paper_ids, tags)
    index.touch_topics(sorted(touched), seq=int(pc.max(table["seq"]).as_py()))


def tags_of(table: pa.Table, topics: Sequence[Topic], now: datetime, likes: Likes | None = None) -> list[_Tag]:
    """The (paper_id, topic, reason) rows of a table of current rows, by topic."""
    live = table.filter(pc.is_null(table["merged_into"]))
    queries = _asked(topics, likes or {})
    tags: list[list[_Tag]] = [[] for _ in topics]
    for row in live.to_pylist():
        paper = paper_of(row)
        for place, reasons in queries.answered(paper, now):
            topic = topics[place]
            tags[place].append((paper.paper_id, topic.slug, ", ".join(reasons) or topic.title))
    return [tag for of_topic in tags for tag in of_topic]


def tagger(topics: Sequence[Topic], *, now: datetime, likes: Likes | None = None) -> Callable[[Paper], tuple[Tag, ...]]:
    """Return what says of a paper, as it is or once was, which topics it answers and why."""
    queries = _asked(topics, likes or {})

    def tags(paper: Paper) -> tuple[Tag, ...]:
        answered = [(topics[place], reasons) for place, reasons in queries.answered(paper, now)]
        return tuple(Tag(slug=t.slug, title=t.title, reason=", ".join(reasons) or t.title) for t, reasons in answered)

    return tags


def _asked(topics: Sequence[Topic], likes: Likes) -> Queries:
    return _queries(tuple(topic.query for topic in topics), tuple(likes.items()))


@lru_cache(maxsize=4)
def _queries(texts: tuple[str, ...], likes: tuple[tuple[str, Profile], ...]) -> Queries:
    """The queries of all topics: a service asks the same after every poll."""
    return Queries(topic_queries(texts, dict(likes)))


def _topics_before(archive: Archive, paper_ids: Sequence[str]) -> set[str]:
    """The topics these papers had until now."""
    found = archive.index.topics_of(paper_ids)
    asked = pa.array(archive.index.not_retagged(paper_ids), pa.string())
    for file in archive.index.files("topics")[:1]:
        for table in read_rows(archive.path(file), footer=file.footer):
            found |= set(table["topic"].filter(pc.is_in(table["paper_id"], value_set=asked)).to_pylist())
    return found


def _write_file(archive: Archive, *, now: datetime) -> None:
    """Put all tags into one new file of topics; the old one is retired."""
    index, before = archive.index, archive.index.files("topics")[:1]
    gone = pa.array(index.retagged(), pa.string())
    recent = sorted(index.recent_tags())
    seq = int(max((f.hi for f in index.files("topics", retired=True)), default=0)) + 1
    seq = max(seq, *(f.hi + 1 for f in before)) if before else seq
    final = archive.folder / "topics" / f"{seq:012d}.parquet"
    final.parent.mkdir(exist_ok=True)
    final.unlink(missing_ok=True)  # of a pass that was killed before it told the index
    with committed(final) as temporary:
        with tables.writer(temporary, TOPIC_SCHEMA) as writer:
            for file in before:
                for table in read_rows(archive.path(file), footer=file.footer):
                    writer.write_table(table.filter(pc.invert(pc.is_in(table["paper_id"], value_set=gone))))
            columns = [list(column) for column in zip(*recent, strict=True)] if recent else [[], [], []]
            writer.write_table(pa.table([pa.array(c, pa.string()) for c in columns], schema=TOPIC_SCHEMA))
        stamp = stamp_of(temporary)
    index.retire([f.name for f in before], now=now)
    index.add_file(FileRow.of(f"topics/{final.name}", "topics", 0, seq, stamp))
    index.forget_tags()


def _forget_all(archive: Archive, *, now: datetime) -> None:
    archive.index.retire([f.name for f in archive.index.files("topics")], now=now)
    archive.index.forget_tags()
