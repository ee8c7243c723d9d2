"""Read everything there is in an archive and say which answers are wrong; an error of ours is never wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from storage.archive import Archive
from storage.catalog import Catalog
from storage.errors import ArchiveError
from storage.model import Paper
from tests.crash.world import Oracle, World

_AT_ONCE = 20  # papers asked for in one go: one that cannot be read hides so many


def wrong_answers(home: Path, *, steps: int) -> list[str]:
    """What writers are told by the archive, and readers by the catalog, that is not so.

    That a paper is not known is for `verify` to find: nothing false is said of it.
    """
    oracle = World().oracle(steps)
    ids = sorted(oracle.papers)
    parts = [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
    wrong: list[str] = []
    with suppress(ArchiveError), Archive(home) as archive:
        for part in parts:
            with suppress(ArchiveError):
                wrong += _wrong("Archive.papers", archive.papers(part).values(), oracle)
    with suppress(ArchiveError), Catalog(home) as catalog:
        for part in parts:
            with suppress(ArchiveError):
                wrong += _wrong("Catalog.papers", [t.paper for t in catalog.papers(part)], oracle)
            with suppress(ArchiveError):
                wrong += _wrong_lives(catalog, part, oracle)
    return wrong[:3]


def sql_is_wrong(home: Path, *, steps: int) -> bool:
    """Whether plain SQL gives wrong answers: DuckDB checks no checksum (docs/design.md)."""
    oracle = World().oracle(steps)
    with suppress(ArchiveError), Catalog(home) as catalog:
        rows = catalog.rows("SELECT paper_id, title, abstract FROM papers")
        sightings = catalog.rows("SELECT paper_id, source, entry_id FROM sightings")
        shown = Counter((r["paper_id"], r["title"], r["abstract"]) for r in rows)
        seen = Counter((r["paper_id"], r["source"], r["entry_id"]) for r in sightings)
        expected = Counter((paper_id, e.title, e.abstract) for paper_id, e in oracle.papers.items())
        return shown != expected or seen != Counter(s[:3] for s in oracle.sightings)
    return False


def _wrong(who: str, papers: Iterable[Paper], oracle: Oracle) -> list[str]:
    return [
        f"{who} is wrong about {paper.paper_id}"
        for paper in papers
        if (e := oracle.papers.get(paper.paper_id)) is None
        or (paper.title, paper.abstract, paper.doi) != (e.title, e.abstract, e.doi)
    ]


def _wrong_lives(catalog: Catalog, paper_ids: Sequence[str], oracle: Oracle) -> list[str]:
    wrong = []
    for paper_id, (_, sightings) in catalog.life(paper_ids).items():
        expected = Counter(seen[1:] for seen in oracle.sightings if seen[0] == paper_id)
        if Counter((s.source, s.entry_id, s.seen_at) for s in sightings) != expected:
            wrong.append(f"Catalog.life is wrong about {paper_id}")
    return wrong
