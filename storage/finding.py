"""Any query of docs/queries.md, answered at once over a large archive: its newest papers, and how many came a day."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from storage.catalog import Catalog, catalog_path
from storage.errors import ArchiveError
from storage.finding_view import Published, Span, View
from storage.likes import catalog_query, profiles_of, topic_queries, web_query
from storage.model import TaggedPaper
from storage.preview import Preview, Sampled
from storage.query import Query, parse_query
from storage.search import Search, seq_of
from storage.search_files import read_stamp

SAMPLE = 10
_Answer = TypeVar("_Answer")


class Finder:
    """Answers queries, for any number of threads; what was published after it was opened is seen by the next call.

    It holds nothing that keeps others from writing, so it may be kept for as long as a server runs.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._search = Search(home)
        self._guard = threading.Lock()
        self._opened: Published | None = None
        self._file: object = None  # the papers.duckdb that is open
        self._view: View | None = None
        self._of: object = None  # what the view is of

    def __enter__(self) -> Finder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of papers.duckdb and of the index, once no thread asks them; the next call opens them again."""
        with self._guard:
            self._opened = self._view = self._file = self._of = None

    def parsed(self, text: str, *, stranger: bool = True, folder: Path | None = None) -> Query:
        """Parse a query; what its `like:` names is looked up in the archive, files in `folder` (else our own place).

        No file is read for a `stranger`.

        Raises QueryError; ArchiveError where it has a `like:` and nothing was archived.
        """
        query = parse_query(text)
        if not query.likes:
            return query

        def resolved(catalog: Catalog) -> Query:
            return web_query(text, catalog) if stranger else catalog_query(text, catalog, folder)

        return self._answered(lambda view: view.with_catalog(resolved))

    def topic_query(self, text: str) -> Query:
        """Parse the query of a topic; its `like:` has the profile that papers were tagged with, or finds nothing."""
        if not parse_query(text).likes:
            return parse_query(text)
        return self._answered(
            lambda view: view.with_catalog(lambda catalog: topic_queries([text], profiles_of(catalog.likes_json()))[0])
        )

    def newest(
        self, query: Query, *, now: datetime, limit: int, since: datetime | None = None, backfilled: bool = False
    ) -> list[TaggedPaper]:
        """The newest papers that `query` finds, with their tags, newest first; at most `limit`.

        Those that readers were told of as new, at `since` or later where that is given: what a feed of the query holds.
        With `backfilled` also papers that came with a load, or were first met as a revision, each in the place of its
        own date: what somebody who searches wants. Raises ArchiveError where nothing was archived, ArchiveCorrupt.
        """
        span = Span(since, None, announced=not backfilled)
        return self._answered(lambda view: view.newest(query, span, now=now, limit=limit))

    def preview(self, query: Query, *, days: int, now: datetime) -> Preview:
        """What `query` would have delivered in the last `days` days up to the newest paper of the archive.

        Raises ArchiveError where nothing was archived, ArchiveCorrupt.
        """
        return self._answered(lambda view: _preview(view, query, days, now))

    def topics_of(self, paper_id: str) -> tuple[str, ...]:
        """The slugs of the topics that a paper has, in their order. Raises ArchiveError where nothing was archived."""
        tags = self._answered(lambda view: view.with_catalog(lambda catalog: catalog.tags([paper_id])))
        return tuple(tag.slug for tag in tags.get(paper_id, ()))

    def _answered(self, ask: Callable[[View], _Answer]) -> _Answer:
        """Ask the view of now; without the index, slowly, where that turns out to be damaged."""
        with suppress(ArchiveError):
            return ask(self._current(indexed=True))
        return ask(self._current(indexed=False))

    def _current(self, *, indexed: bool) -> View:
        with self._guard:
            path = catalog_path(self.home)
            found = path.stat() if path.exists() else None
            file = (found.st_ino, found.st_mtime_ns, found.st_size) if found else None
            if self._opened is None or file != self._file:
                # The one before is closed by whichever thread is the last to ask it.
                self._opened, self._file, self._view = Published(Catalog(self.home), threading.RLock()), file, None
            searcher = self._search.asked(lambda searcher: searcher) if indexed else None
            of = (file, read_stamp(self._search.folder), seq_of(searcher)) if searcher else file
            if self._view is None or of != self._of:
                self._view, self._of = View(self._opened, searcher), of
            return self._view


def _preview(view: View, query: Query, days: int, now: datetime) -> Preview:
    told = view.told
    end = min(now, told[1]) if told else now
    first = end.astimezone(UTC).date() - timedelta(days=days - 1)
    span = Span(datetime(first.year, first.month, first.day, tzinfo=UTC), end, announced=True)
    counts = view.counts(query, span, now=end)
    sample = view.newest(query, span, now=end, limit=SAMPLE)
    return Preview(
        query=query.text,
        until=end,
        days=tuple((first + timedelta(days=n), counts[first + timedelta(days=n)]) for n in range(days)),
        total=counts.total(),
        told_since=told[0].date() if told else None,
        sample=tuple(Sampled(paper=t, reasons=_reasons(view, query, t, end)) for t in sample),
    )


def _reasons(view: View, query: Query, tagged: TaggedPaper, now: datetime) -> tuple[str, ...]:
    return query.reasons(tagged.paper, now, view.slugs(tagged.paper.paper_id, query))
