"""The papers one batch touches: which of them an entry belongs to, and which turn out to be one. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from storage import identity
from storage.likeness import same_work, work_of
from storage.model import Entry, Paper

_ALIKE_MAX = 100  # papers of one title: what more share tells no work from another, and each costs a look


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Where an entry belongs."""

    paper_id: str  # a known paper's, or the id a new one gets
    aliases: tuple[str, ...]  # every id the entry gives it
    same: tuple[str, ...] = ()  # further known papers that the entry shows to be this one
    reason: str | None = None  # what shows it


class Known:
    """Papers by every id they are known by; grows as a batch is decided."""

    def __init__(self, papers: Iterable[Paper]) -> None:
        self.papers: dict[str, Paper] = {}
        self._carriers: dict[str, list[str]] = {}
        for paper in sorted(papers, key=lambda p: (p.first_seen_at, p.paper_id)):
            self.put(paper)

    def put(self, paper: Paper) -> None:
        """Know this state of a paper from now on; one that was merged away is known no more."""
        self.papers.pop(paper.paper_id, None)
        if paper.merged_into is None:
            self.papers[paper.paper_id] = paper
            for alias in paper.aliases:
                carriers = self._carriers.setdefault(alias, [])
                if paper.paper_id not in carriers:
                    carriers.append(paper.paper_id)

    def match(self, entry: Entry) -> Match:
        """Say which paper an entry belongs to.

        A weaker id never joins two papers that each have an id of the same stronger kind: two arXiv ids are two
        papers even where they share a DOI or a title. Likeness joins an entry to a paper only where one is like it,
        and never two papers.
        """
        strong, weak = identity.strong_aliases(entry), identity.weak_aliases(entry)
        named = self._named(strong, weak)
        if not named:
            like = self._alike(entry, strong, weak)
            named = [like] if like else []
        paper_id = named[0] if named else self._new_id(entry, strong, weak)
        aliases = tuple(sorted({paper_id, *strong, *(w for w in weak if not w.startswith("fp:"))}))
        same = tuple(p for p in named[1:] if self._one_work(paper_id, p))
        reason = f"{entry.source} gives {' and '.join(strong)} as one paper" if same else None
        return Match(paper_id=paper_id, aliases=aliases, same=same, reason=reason)

    def _named(self, strong: tuple[str, ...], weak: tuple[str, ...]) -> list[str]:
        """The known papers that the entry's own ids name, strongest id first."""
        found: dict[str, None] = {}
        for alias in (*strong, *(w for w in weak if w.startswith("guid:"))):
            for paper_id in self._live(alias):
                if alias in strong[:1] or not identity.contradiction(strong, self.papers[paper_id].aliases):
                    found[paper_id] = None
                    break
        return list(found)

    def _alike(self, entry: Entry, strong: tuple[str, ...], weak: tuple[str, ...]) -> str | None:
        """The one known paper that looks like the same work; None where there is none, or more than one."""
        names = [alias for alias in weak if not alias.startswith("guid:")]
        like = {p for alias in names for p in self._carriers.get(alias, ()) if p in self.papers}
        work, found = work_of(entry), None
        for paper_id in like if len(like) <= _ALIKE_MAX else ():
            known = self.papers[paper_id]
            if not identity.contradiction(strong, known.aliases) and same_work(work, work_of(known)):
                if found is not None:
                    return None
                found = paper_id
        return found

    def _new_id(self, entry: Entry, strong: tuple[str, ...], weak: tuple[str, ...]) -> str:
        """The id a new paper gets; a fingerprint that another paper has already is told apart by the entry's own id."""
        if strong:
            return strong[0]
        return f"fp:{identity.own_fingerprint(entry)}" if self._live(weak[-1]) else weak[-1]

    def _one_work(self, one: str, other: str) -> bool:
        a, b = self.papers[one], self.papers[other]
        return not (
            identity.contradiction(a.aliases, b.aliases) or f"not:{one}" in b.aliases or f"not:{other}" in a.aliases
        )

    def _live(self, alias: str) -> list[str]:
        """The known papers that carry an alias: the one it is the id of first, then the one known longest."""
        found = [p for p in self._carriers.get(alias, ()) if p in self.papers]
        if len(found) < 2:
            return found
        return sorted(found, key=lambda p: (p != alias, self.papers[p].first_seen_at, p))
