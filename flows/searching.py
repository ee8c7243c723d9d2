"""The search index, brought up to the archive: by what changed, or anew where it is missing, damaged or far behind."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from storage.archive import Archive
from storage.current import current_rows
from storage.errors import ArchiveCorrupt, ArchiveError, ConfigError
from storage.index import FileRow
from storage.search import Search
from storage.search_documents import COLUMNS

_log = logging.getLogger("paperwire.search")
Progress = Callable[[int, int], None]

_UPDATE_ROWS_MAX = 100_000  # more changed papers than this, and a new index is made sooner
_ANEW_PAPERS_MAX = 20_000  # that a pass may index anew: some ten seconds
_STALE = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A paper that answers a search."""

    paper_id: str
    title: str
    authors: tuple[str, ...]
    categories: tuple[str, ...]
    new_at: datetime
    url: str | None
    score: float  # comparable within one answer; 0 where the newest were asked for


def refresh_search(archive: Archive, *, progress: Progress | None = None) -> int:
    """Bring the index up to the newest commit; returns how many papers were given to it.

    Raises ArchiveError where another process writes it, ArchiveFull.
    """
    search, index = Search(archive.home), archive.index
    indexed = _indexed(search)
    with index.transaction():  # files, superseded rows and the newest commit belong together
        latest, files = index.latest_seq(), index.files("log", "papers")
        stale = {(paper_id, seq) for paper_id, seq, _ in index.stale_rows()}
    if indexed >= latest:
        return 0
    if indexed:
        changed = _changed(archive, files, indexed, stale)
        if changed is not None:
            search.update(changed, seq=latest)
            return int(changed.num_rows)
    total = sum(f.rows for f in files) - len(stale)
    batches = current_rows(archive, files, stale, after=0, columns=COLUMNS)
    return search.rebuild(batches, seq=latest, progress=(lambda n: progress(n, total)) if progress else None)


def keep_search_current(archive: Archive) -> str | None:
    """Bring the index up to the newest commit as part of a pass; returns what kept it from that, where something did.

    It is derived, and whoever asks it asks papers.duckdb for what it lacks: so a failure costs time and no pass. An
    index that has to be made anew from a large archive is left to the nightly upkeep, or whoever searches first.
    """
    reason = None
    try:
        if not _indexed(Search(archive.home)) and archive.index.papers_count() > _ANEW_PAPERS_MAX:
            reason = "it is made anew from all papers by the next maintenance, or by `paperwire search`"
        else:
            refresh_search(archive)
    except ArchiveError as error:
        reason = str(error)
    if reason:
        _log.warning("the search index was not brought up to date: %s", reason)
    return reason


def find_papers(archive: Archive, text: str, *, limit: int, newest_first: bool) -> list[Found]:
    """The papers that answer `text`, as the archive has them. Raises QueryError, ConfigError, ArchiveCorrupt."""
    if not text.strip():
        raise ConfigError("say what to search for, such as 'diffusion -video'")
    hits = Search(archive.home).find(text, limit=limit, newest_first=newest_first)
    papers = archive.papers(hit.paper_id for hit in hits)
    return [
        Found(
            paper_id=hit.paper_id,
            title=paper.title,
            authors=paper.authors,
            categories=paper.categories,
            new_at=paper.announced_at or paper.published_at or paper.first_seen_at,
            url=paper.url,
            score=hit.score,
        )
        for hit in hits
        if (paper := papers.get(hit.paper_id)) and paper.merged_into is None
    ]


def _indexed(search: Search) -> int:
    try:
        return search.indexed_seq()
    except ArchiveCorrupt:
        return 0  # it is derived: a damaged one is made anew


def _changed(archive: Archive, files: tuple[FileRow, ...], after: int, stale: set[_STALE]) -> pa.Table | None:
    """The current rows of commits after `after`; None where they are too many to be taken at once."""
    found: list[pa.Table] = []
    for table in current_rows(archive, files, stale, after=after, columns=COLUMNS):
        found.append(table)
        if sum(t.num_rows for t in found) > _UPDATE_ROWS_MAX:
            return None
    return pa.concat_tables(found) if found else None
