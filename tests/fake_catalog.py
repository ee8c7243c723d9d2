"""A catalogue in memory, written by hand: what an edition needs of the archive, with papers put in by the test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from storage.model import Announcement, Paper, Revision, Tag, TaggedPaper
from tests.builders import NOW, a_paper


def a_numbered_paper(number: int, **changes: object) -> Paper:
    """A paper whose id, title and links all carry `number`."""
    arxiv = f"2606.{number:05d}"
    values: dict[str, object] = {
        "paper_id": f"arxiv:{arxiv}",
        "aliases": (f"arxiv:{arxiv}",),
        "title": f"Paper number {number} on short titles",
        "url": f"https://arxiv.org/abs/{arxiv}",
        "pdf_url": f"https://arxiv.org/pdf/{arxiv}v1",
    }
    return a_paper(**(values | changes))


@dataclass
class FakeCatalog:
    """Papers by topic with the segment that announced them; every `announce` or `revise` is a segment of its own."""

    seq: int = 0
    known: dict[str, TaggedPaper] = field(default_factory=dict)
    announced: list[tuple[int, str]] = field(default_factory=list)
    revised: list[tuple[int, Revision]] = field(default_factory=list)

    def announce(self, papers: Sequence[Paper], *slugs: str, at: datetime = NOW) -> None:
        """Commit `papers` as new, each in the topics `slugs`."""
        self.seq += 1
        for paper in papers:
            tags = tuple(Tag(slug=s, title=s.title(), reason=f"“{s}”") for s in slugs)
            self.known[paper.paper_id] = TaggedPaper(paper=replace(paper, announced_at=at), tags=tags)
            self.announced.append((self.seq, paper.paper_id))

    def revise(self, paper_id: str, *kinds: Announcement, at: datetime, **changes: object) -> None:
        """Commit a revision of a known paper."""
        self.seq += 1
        before = self.known[paper_id]
        after = replace(before.paper, revision=before.paper.revision + 1, revised_at=at, **changes)  # type: ignore[arg-type]
        self.known[paper_id] = replace(before, paper=after)
        self.revised.append((self.seq, Revision(paper=after, announcements=kinds, changes=tuple(changes), at=at)))

    def latest_seq(self) -> int:
        return self.seq

    def papers(self, paper_ids: Sequence[str], /) -> list[TaggedPaper]:
        return [self.known[p] for p in paper_ids if p in self.known]

    def new_in_topic(self, slug: str | None, /, *, since: datetime, limit: int) -> list[TaggedPaper]:
        found = [
            t for t in self.new_since(slug, after_seq=0, until_seq=self.seq) if (t.paper.announced_at or NOW) >= since
        ]
        return found[:limit]

    def new_since(self, slug: str | None, /, *, after_seq: int, until_seq: int) -> list[TaggedPaper]:
        found = [self.known[p] for seq, p in reversed(self.announced) if after_seq < seq <= until_seq]
        return [t for t in found if slug is None or slug in {tag.slug for tag in t.tags}]

    def revisions_since(self, slug: str | None, /, *, after_seq: int, until_seq: int) -> list[Revision]:
        found = [r for seq, r in reversed(self.revised) if after_seq < seq <= until_seq]
        return [r for r in found if slug is None or slug in {t.slug for t in self.known[r.paper.paper_id].tags}]
