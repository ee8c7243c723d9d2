"""papers.duckdb and the search index as they stand at one moment, and what both together answer to a query.

The index answers for the papers of which both know the same row. Papers that one of them has a newer row of (committed
since the index was brought up, or not yet published) are asked for in SQL. So an answer is all that papers.duckdb says;
where there is no index, all of it comes from SQL, which reads every text.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import tantivy

from storage.catalog import THESE, Catalog, joined
from storage.errors import ArchiveError
from storage.finding_query import EVERYTHING, Question, between, question_of, within
from storage.model import Paper, TaggedPaper
from storage.query import WORDS_SQL, Query
from storage.search import seq_of
from storage.search_documents import microseconds, moment, paper_in
from storage.search_files import told

_PAGE_MAX = 10_000
_TIES_MAX = 2_000  # papers of one moment that are put in order of their ids; more than that come as they lie
_DAY = 86_400_000_000  # microseconds
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
_AHEAD_MAX = 100_000  # papers of which the index may know more than papers.duckdb
_Answer = TypeVar("_Answer")


class Span(NamedTuple):
    """Of which papers is asked: moments that both belong to it, and whether only of those told of as new."""

    first: datetime | None
    last: datetime | None
    announced: bool


class _Hit(NamedTuple):
    at: int  # new_at, in microseconds
    paper_id: str
    paper: Paper | None  # None: it is read from papers.duckdb


class Published(NamedTuple):
    """An opened papers.duckdb, and whose turn it is to ask it: several views may be of the same one."""

    catalog: Catalog
    guard: threading.RLock


class View:
    """Both as they stood when this was made. For any number of threads."""

    def __init__(self, opened: Published, searcher: tantivy.Searcher | None) -> None:
        self._catalog, self._guard, self._searcher = opened.catalog, opened.guard, searcher
        self._topics: dict[str, frozenset[str]] = {}
        shown = self.with_catalog(Catalog.latest_seq)
        with told():
            self._indexed = seq_of(searcher) if searcher else 0
            self._ahead = self._indexed_later(shown) if searcher else []

    def newest(self, query: Query, span: Span, *, now: datetime, limit: int) -> list[TaggedPaper]:
        """The newest papers of `query`, newest first; of one moment by their ids."""
        hits = [*self._index_hits(query, span, now, limit), *self._sql_hits(query, span, now, limit)]
        hits = sorted(hits, key=lambda hit: (-hit.at, hit.paper_id))[:limit]
        missing = [hit.paper_id for hit in hits if hit.paper is None]
        with self._guard:
            read = {t.paper.paper_id: t for t in self._catalog.papers(missing)} if missing else {}
            tags = self._catalog.tags([hit.paper_id for hit in hits if hit.paper])
        known = {h.paper_id: TaggedPaper(paper=h.paper, tags=tags.get(h.paper_id, ())) for h in hits if h.paper}
        return [found for h in hits if (found := known.get(h.paper_id) or read.get(h.paper_id))]

    def counts(self, query: Query, span: Span, *, now: datetime) -> Counter[date]:
        """How many papers of `query` each UTC day of a span has."""
        found = Counter(moment(hit.at).date() for hit in self._sql_hits(query, span, now, None))
        if self._searcher is None:
            return found
        question = self._question(query, now)
        asked = self._within(question.asked, span)
        if not question.exact:
            return found + Counter(moment(hit.at).date() for hit in self._sorted_out(query, asked, now))
        histogram = {"days": {"histogram": {"field": "new_at", "interval": _DAY, "min_doc_count": 1}}}
        with told():
            buckets = self._searcher.aggregate(asked, histogram)["days"]["buckets"]
        return found + Counter({moment(int(b["key"])).date(): int(b["doc_count"]) for b in buckets})

    @cached_property
    def told(self) -> tuple[datetime, datetime] | None:
        """The first and the last moment at which readers were told of a paper as new."""
        moments = []
        if self._searcher is not None:
            asked = self._within(EVERYTHING, Span(None, None, announced=True))
            for order in (tantivy.Order.Asc, tantivy.Order.Desc):
                with told():
                    hits = self._searcher.search(asked, 1, count=False, order_by_field="new_at", order=order).hits
                moments += [moment(int(at)) for at, _ in hits]
        where, values = self._unsettled
        for row in self._rows(
            f"SELECT min(announced_at) AS a, max(announced_at) AS z FROM papers WHERE {where}", values
        ):
            moments += [at.replace(tzinfo=UTC) for at in (row["a"], row["z"]) if at]
        return (min(moments), max(moments)) if moments else None

    def slugs(self, paper_id: str, query: Query) -> list[str]:
        """Which of the topics that `query` asks for a paper has."""
        return [slug for slug in query.topics if paper_id in self._topic(slug)]

    def with_catalog(self, ask: Callable[[Catalog], _Answer]) -> _Answer:
        """Ask papers.duckdb; no other thread does meanwhile."""
        with self._guard:
            return ask(self._catalog)

    def _index_hits(self, query: Query, span: Span, now: datetime, limit: int) -> list[_Hit]:
        """The newest papers of which the index knows the row, and all those of the last one's moment."""
        if self._searcher is None:
            return []
        question, found = self._question(query, now), list[_Hit]()
        asked = self._within(question.asked, span)
        hits = self._read(asked, limit + 1) if question.exact else self._sorted_out(query, asked, now, limit + 1)
        for hit in islice(hits, limit + _TIES_MAX):
            if len(found) >= limit and hit.at != found[-1].at:
                break
            found.append(hit)
        return found

    def _sorted_out(self, query: Query, asked: tantivy.Query, now: datetime, page: int = _PAGE_MAX) -> Iterator[_Hit]:
        """Of what a loose question brings, the papers that answer the query."""
        for hit in self._read(asked, page):
            if hit.paper and query.matches(hit.paper, now, self.slugs(hit.paper_id, query)):
                yield hit

    def _read(self, asked: tantivy.Query, page: int) -> Iterator[_Hit]:
        """All papers that answer, newest first, asked for in pages that grow."""
        assert self._searcher is not None  # noqa: S101 - for mypy
        offset = 0
        while True:
            with told():
                hits = self._searcher.search(asked, page, count=False, order_by_field="new_at", offset=offset).hits
            for at, address in hits:
                with told():
                    document = self._searcher.doc(address)
                paper = paper_in(document)
                yield _Hit(int(at), paper.paper_id, paper)
            if len(hits) < page:
                return
            offset, page = offset + page, min(4 * page, _PAGE_MAX)

    def _sql_hits(self, query: Query, span: Span, now: datetime, limit: int | None) -> list[_Hit]:
        """The papers that the index knows nothing of, or not as papers.duckdb has them."""
        if self._searcher is not None and not self._moved:
            return []
        (where, values), condition = self._unsettled, query.sql(now)
        told_only = "AND announced_at IS NOT NULL" if span.announced else ""
        last = "AND new_at <= ?" if span.last else ""
        rows = self._rows(
            f"""SELECT paper_id, new_at FROM ({WORDS_SQL}) WHERE {where} AND {condition.where} AND new_at >= ?
            {last} {told_only} ORDER BY new_at DESC, paper_id {"" if limit is None else f"LIMIT {limit}"}""",
            [*values, *condition.params, *(_naive(m) for m in (span.first or _LONG_AGO, span.last) if m)],
        )
        return [_Hit(microseconds(row["new_at"]) or 0, row["paper_id"], None) for row in rows]

    @property
    def _unsettled(self) -> tuple[str, list[object]]:
        """The condition on a row of `papers` that SQL has to answer for it, and its values."""
        if self._ahead:
            return f"(seq > ? OR paper_id IN {THESE})", [self._indexed, joined(self._ahead)]
        return "seq > ?", [self._indexed]

    @cached_property
    def _moved(self) -> list[str]:
        """The papers for which the index cannot speak."""
        shown = self._rows("SELECT paper_id FROM _current WHERE seq > ?", [self._indexed])
        return sorted({*self._ahead, *(row["paper_id"] for row in shown)})

    def _indexed_later(self, seq: int) -> list[str]:
        """The papers whose row in the index is of a commit after `seq`."""
        assert self._searcher is not None  # noqa: S101 - for mypy
        if self._indexed <= seq:
            return []
        later = self._searcher.search(between("row_seq", seq + 1, None), _AHEAD_MAX, count=False).hits
        if len(later) == _AHEAD_MAX:
            raise ArchiveError("papers.duckdb is far behind the search index")
        return [str(self._searcher.doc(address).get_first("paper_id")) for _, address in later]

    def _question(self, query: Query, now: datetime) -> Question:
        with told():
            return question_of(query.root, now, lambda slug: sorted(self._topic(slug)))

    def _within(self, asked: tantivy.Query, span: Span) -> tantivy.Query:
        with told():
            return within(
                asked,
                first=microseconds(span.first),
                last=microseconds(span.last),
                announced=span.announced,
                without=self._moved,
            )

    def _topic(self, slug: str) -> frozenset[str]:
        with self._guard:
            if slug not in self._topics:
                rows = self._rows("SELECT paper_id FROM paper_topics WHERE topic = ?", [slug])
                self._topics[slug] = frozenset(row["paper_id"] for row in rows)
            return self._topics[slug]

    def _rows(self, sql: str, values: Sequence[object]) -> list[dict[str, Any]]:
        with self._guard:
            return self._catalog.rows(sql, values)


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
