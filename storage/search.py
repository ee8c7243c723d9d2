"""Full-text search: a tantivy index in `home/archive/search/`, made from the archive and remade at will.

`current.json` names the folder of the index in use and says who wrote it; a rebuild fills a folder of its own and then
changes the name. How far the index has come (`seq`) is a document of the index, committed together with the papers:
killed at any point, it is as before, and the next update repeats the work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import pyarrow as pa
import tantivy

from storage.errors import ArchiveCorrupt, ArchiveError, PaperwireError
from storage.locks import exclusive
from storage.search_documents import document_of, plain_rows
from storage.search_files import (
    BUSY,
    TANTIVY_VERSION,
    Opened,
    Stamp,
    begin_index,
    damaged_file,
    forget,
    open_index,
    read_stamp,
    sweep,
    told,
    use,
)
from storage.search_query import MARK, index_query, term

FORMAT = 2  # of the schema and the words in it: whoever changes either raises it, and indexes are made anew
FIND_MAX = 10_000
_MARK_ID = "@mark"  # the paper_id of the document that carries `seq`
_ROWS_MAX = 2_000  # rows held as Python objects at a time
# What tantivy holds before it writes a segment; 15 MB a thread is its least. Larger segments are merged less often.
_UPDATE_HEAP_BYTES, _REBUILD_HEAP_BYTES = 64_000_000, 384_000_000

Progress = Callable[[int], None]
_Answer = TypeVar("_Answer")


class Hit(NamedTuple):
    """A paper that answers. `score` is BM25, comparable within one answer; 0 where the newest were asked for."""

    paper_id: str
    score: float


class Search:
    """The search index of one archive, for any number of threads and processes; one of them writes at a time."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "archive" / "search"
        self._guard = threading.Lock()
        self._cached: Opened | None = None

    def find(self, text: str, *, limit: int = 50, newest_first: bool = False) -> list[Hit]:
        """Return the papers that answer `text`, best first or newest first. Sees every update that was committed.

        The language is that of docs/queries.md as far as it is about text and categories. At most `limit` (1 to
        10,000). Raises QueryError; ArchiveError where there is no index, ArchiveCorrupt where it is damaged.
        """
        query, most = index_query(text), max(1, min(limit, FIND_MAX))

        def ask(searcher: tantivy.Searcher) -> list[Hit]:
            order = "new_at" if newest_first else None
            found = searcher.search(query, most, count=False, order_by_field=order).hits
            ids = [str(searcher.doc(address).get_first("paper_id")) for _, address in found]
            scores = [0.0 if newest_first else float(score) for score, _ in found]
            return [Hit(paper_id, score) for paper_id, score in zip(ids, scores, strict=True)]

        hits = self.asked(ask)
        if hits is None:
            raise ArchiveError("there is no search index that this version can read; rebuild it")
        return hits

    def indexed_seq(self) -> int:
        """Return the commit up to which papers are indexed, or 0 where all must be given anew. Raises ArchiveCorrupt.

        0 is also said of an index that another version wrote and this one cannot use.
        """
        return self.asked(seq_of) or 0

    def papers(self) -> int:
        """Return how many papers are indexed. Raises ArchiveCorrupt."""
        return self.asked(lambda searcher: int(searcher.num_docs) - 1) or 0

    def update(self, rows: pa.Table, *, seq: int) -> None:
        """Index every paper that changed after `indexed_seq()` up to commit `seq`, as it stands now; in one commit.

        Columns: those of `search_documents.COLUMNS`; paper_id, title, abstract, authors and categories must be there,
        the others are null where not known. A paper with merged_into is removed. Nothing happens where the index has
        come as far already, so that who comes late brings no older state back. Raises ArchiveError where another
        process writes, ArchiveFull, ArchiveCorrupt; the index is then as it was.
        """
        with self._writing():
            opened = self._current()
            if opened is None:
                self._fill([rows], seq=seq, renew=True, progress=None)
                return
            if seq <= seq_of(opened.searcher()):
                return
            if opened.stamp.tantivy != TANTIVY_VERSION:  # from here on the older one may not read it
                use(self.folder, replace(opened.stamp, tantivy=TANTIVY_VERSION))
            with _writer(opened, _UPDATE_HEAP_BYTES, seq=seq) as writer:
                writer.add(rows, renew=True)

    def rebuild(self, batches: Iterable[pa.Table], *, seq: int, progress: Progress | None = None) -> int:
        """Index all papers as they stand at commit `seq`, each in one row; return how many.

        Columns are those of `update`. The index that was there answers until the new one is whole. `progress` is told
        the papers so far after each batch. Raises ArchiveError where another process writes, ArchiveFull.
        """
        with self._writing():
            return self._fill(batches, seq=seq, renew=False, progress=progress)

    def check(self) -> None:
        """Read every byte of the index and compare checksums. Raises ArchiveCorrupt that names the file."""
        while opened := self._current():
            damaged = damaged_file(opened.folder)
            if damaged is None:
                return
            if read_stamp(self.folder) == opened.stamp:  # else a rebuild has put another in its place meanwhile
                raise ArchiveCorrupt(f"the search index is damaged ({damaged}); rebuild it")

    def drop(self) -> None:
        """Remove the index, damaged or not. Raises ArchiveError where another process writes."""
        with self._writing():
            forget(self.folder)

    def asked(self, ask: Callable[[tantivy.Searcher], _Answer]) -> _Answer | None:
        """Return what `ask` makes of the last commit of the index in use; None where there is none that can be used.

        Raises ArchiveCorrupt; ArchiveError where it cannot be reached.
        """
        while True:
            stamp = read_stamp(self.folder)
            try:
                opened = self._current(stamp)
                with told():
                    return ask(opened.searcher()) if opened else None
            except ArchiveCorrupt:
                if read_stamp(self.folder) == stamp:
                    raise  # else a rebuild has put another in its place meanwhile

    def _current(self, stamp: Stamp | None = None) -> Opened | None:
        stamp = stamp or read_stamp(self.folder)
        if stamp is None or stamp.format != FORMAT:
            return None
        with self._guard:
            if self._cached is None or self._cached.stamp != stamp:
                self._cached = open_index(self.folder, stamp)
            return self._cached

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Be the one writer; flock(2) lets go of a killed one. What it left is swept away."""
        with ExitStack() as stack:
            try:
                with told():
                    stack.enter_context(exclusive(self.folder / "writer.lock", what=BUSY, wait=False))
            except ArchiveError:
                raise
            except PaperwireError as error:
                raise ArchiveError(str(error)) from error
            self._sweep()
            yield

    def _sweep(self) -> None:
        """Remove every index that is not in use, and what killed writers left in the one that is."""
        with told(), suppress(ArchiveCorrupt):
            sweep(self.folder, read_stamp(self.folder))

    def _fill(self, batches: Iterable[pa.Table], *, seq: int, renew: bool, progress: Progress | None) -> int:
        """Make an index of its own from `batches`, then put it in the place of the one in use."""
        opened, papers = begin_index(self.folder, FORMAT), 0
        try:
            with _writer(opened, _REBUILD_HEAP_BYTES, seq=seq) as writer:
                for batch in batches:
                    papers += writer.add(batch, renew=renew)
                    if progress:
                        progress(papers)
            use(self.folder, opened.stamp)
        finally:
            self._sweep()
        return papers


class _Writer:
    """A tantivy writer whose errors are ours."""

    def __init__(self, opened: Opened, heap_bytes: int) -> None:
        self._folder = opened.folder
        with told(self._folder):
            # One thread keeps segments few; the texts are prepared on another core meanwhile.
            self._writer = opened.index.writer(heap_bytes, 1)

    def add(self, rows: pa.Table, *, renew: bool) -> int:
        """Add the rows, each in the place of what was there if `renew`; return how many papers were added."""
        added = 0
        for start in range(0, rows.num_rows, _ROWS_MAX):
            # Of a paper that is given twice, the later row holds.
            chunk = {row["paper_id"]: row for row in plain_rows(rows.slice(start, _ROWS_MAX))}
            documents = [document_of(row) for row in chunk.values() if row["merged_into"] is None]
            with told(self._folder):
                for paper_id in chunk if renew else ():
                    self._writer.delete_documents_by_term("paper_id", paper_id)
                for document in documents:
                    self._writer.add_document(document)
            added += len(documents)
        return added

    def commit(self, seq: int) -> None:
        """Make what was added part of the index, and record how far it has come."""
        with told(self._folder):
            self._writer.delete_documents_by_term("paper_id", _MARK_ID)
            self._writer.add_document(tantivy.Document(paper_id=_MARK_ID, flag=MARK, seq=seq))
            self._writer.commit()

    def close(self, *, undo: bool) -> None:
        """End its threads; merges are finished first. What was not committed is gone."""
        with suppress(ValueError, RuntimeError):
            if undo:
                self._writer.rollback()
        with suppress(ValueError, RuntimeError):  # a merge that failed is tried again by the next writer
            self._writer.wait_merging_threads()


@contextmanager
def _writer(opened: Opened, heap_bytes: int, *, seq: int) -> Iterator[_Writer]:
    """Give a writer; in the end all that it was given is committed as the state of `seq`, or nothing is."""
    writer, committed = _Writer(opened, heap_bytes), False
    try:
        yield writer
        writer.commit(seq)
        committed = True
    finally:
        writer.close(undo=not committed)


def seq_of(searcher: tantivy.Searcher) -> int:
    """Return the commit up to which the papers of a searcher are indexed."""
    found = searcher.search(term("flag", MARK), 1, count=False).hits
    return int(str(searcher.doc(found[0][1]).get_first("seq"))) if found else 0
