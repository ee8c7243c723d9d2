"""Read everything there is in an archive and say which answers are wrong; an error of ours is never wrong."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

from storage.archive import Archive
from storage.catalog import Catalog
from storage.errors import ArchiveError
from tests.crash.world import Oracle, World


def wrong_answers(home: Path, *, steps: int) -> list[str]:
    """Read every paper in every way; what was answered and is not so. An error of ours is a right answer."""
    oracle = World().oracle(steps)
    return [*_wrong_papers(home, oracle), *_wrong_rows(home, oracle)]


def _wrong_papers(home: Path, oracle: Oracle) -> list[str]:
    wrong = []
    try:
        with Archive(home) as archive:
            for paper_id, expected in oracle.papers.items():
                with contextlib.suppress(ArchiveError):
                    # That the index does not know a paper is for `verify` to find: nothing false is said of it.
                    paper = archive.papers([paper_id]).get(paper_id)
                    if paper is not None and (paper.title, paper.abstract, paper.doi) != (
                        expected.title,
                        expected.abstract,
                        expected.doi,
                    ):
                        wrong.append(f"Archive.papers is wrong about {paper_id}")
    except ArchiveError:
        pass
    return wrong[:3]


def _wrong_rows(home: Path, oracle: Oracle) -> list[str]:
    try:
        with Catalog(home) as catalog:
            rows = catalog.rows("SELECT paper_id, title, abstract FROM papers")
            sightings = catalog.rows("SELECT paper_id, source, entry_id FROM sightings")
    except ArchiveError:
        return []
    shown = Counter((r["paper_id"], r["title"], r["abstract"]) for r in rows)
    seen = Counter((r["paper_id"], r["source"], r["entry_id"]) for r in sightings)
    wrong = []
    if shown != Counter((paper_id, e.title, e.abstract) for paper_id, e in oracle.papers.items()):
        wrong.append("papers.duckdb answers wrong papers")
    if seen != Counter(s[:3] for s in oracle.sightings):
        wrong.append("papers.duckdb answers wrong sightings")
    return wrong
