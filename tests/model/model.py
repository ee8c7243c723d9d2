"""What an archive must hold, by plain rules over plain dicts: no files, no index, no keys, no kills.

It knows which ids join and who may speak for a paper, and trusts that two records are one work where their authors
are equal: the machine gives each work its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from storage.identity import fingerprint, own_fingerprint
from storage.model import Entry
from storage.titles import title_key

Paper = dict[str, Any]
_TEXT = ("title", "abstract", "authors", "version", "rank", "said")
_FILLED = ("doi", "upvotes", "trending_on", "announced")
_LISTS = ("categories", "sources")


class Model:
    """Every paper as it must stand, every sighting that must be there once, and how it was after each commit."""

    def __init__(self) -> None:
        self.papers: dict[str, Paper] = {}
        self.seen: dict[tuple[str, str], Entry] = {}
        self.batches: set[str] = set()
        self.sightings: Counter[tuple[str, str, str, datetime]] = Counter()
        self.rows: Counter[str] = Counter()
        self.past: list[dict[str, Paper] | None] = [{}]  # the live papers after each commit; None: nobody looked
        self._before: dict[str, tuple[Paper, Paper | None]] = {}  # of a merged paper: it and its keeper as they were

    def live(self) -> dict[str, Paper]:
        return {i: p for i, p in self.papers.items() if p["merged_into"] is None}

    def append(self, batch_id: str, entries: Sequence[Entry], now: datetime, *, quiet: bool = False) -> set[str]:
        """Take a batch; returns the papers that have a new row."""
        if batch_id in self.batches:
            return set()
        fresh = [e for e in entries if e.title.strip() and self.seen.get((e.source, e.entry_id)) != e]
        self.seen |= {(e.source, e.entry_id): e for e in fresh}
        before, touched = dict(self.papers), set[str]()
        for entry in fresh:
            paper_id, merged = self._paper_id(entry, before)
            touched |= merged
            known = self.papers.get(paper_id)
            aliases = {paper_id, *_ids(entry)[1], f"title:{title_key(entry.title)}"}
            paper = _again(known, entry, now, aliases) if known else _first(entry, now, aliases, quiet)
            if paper != known:
                self.papers[paper_id] = paper
                self.sightings[paper_id, entry.source, entry.entry_id, now] += 1
                touched.add(paper_id)
        if touched:
            self.batches.add(batch_id)
            self._commit(touched)
        return touched

    def merge(self, kept: str, other: str) -> None:
        self._merge(kept, other, self.papers)
        self._commit((kept, other))

    def split(self, other: str) -> bool:
        """Undo a merge; says whether it can be: not where its keeper was merged too, or one was new in that commit."""
        kept, (apart, before) = self.papers[other]["merged_into"], self._before[other]
        if self.papers[kept]["merged_into"] or before is None or self.rows[other] < 2:
            return False
        now = self.papers[kept]
        undone = {n: before[n] for n in _FILLED if apart[n] != before[n] and now[n] == apart[n]}
        undone |= {n: before[n] for n in _TEXT if now["rank"] == apart["rank"] > before["rank"]}
        undone |= {n: tuple(v for v in now[n] if v in before[n] or v not in apart[n]) for n in _LISTS}
        aliases = now["aliases"] - (apart["aliases"] - before["aliases"]) | {f"not:{other}"}
        self.papers[kept] = now | undone | {"aliases": aliases}
        self.papers[other] = apart | {"aliases": apart["aliases"] | {f"not:{kept}"}}
        self._commit((kept, other))
        return True

    def _commit(self, touched: Iterable[str]) -> None:
        self.rows.update(touched)
        self.past.append(self.live())

    def _paper_id(self, entry: Entry, before: dict[str, Paper]) -> tuple[str, set[str]]:
        """The paper an entry belongs to, and those that it shows to be one."""
        strong, own = _ids(entry)
        named = dict.fromkeys(p for alias in own for p in self._carriers(alias, strong)[:1])
        like = self._carriers(f"title:{title_key(entry.title)}", strong)
        like = [p for p in like if self.papers[p]["authors"] == entry.authors]
        found = list(named) or (like if len(like) == 1 else [])
        if not found:
            taken = self._carriers(f"fp:{fingerprint(entry)}", strong)
            new = own_fingerprint(entry) if taken else fingerprint(entry)
            return next(iter(strong), f"fp:{new}"), set()
        same = [p for p in found[1:] if self._may_be_one(found[0], p)]
        kept, *others = merge_order(self.papers, (found[0], *same))
        for other in others:
            self._merge(kept, other, before)
        return kept, {kept, *others} if others else set()

    def _carriers(self, alias: str, strong: list[str]) -> list[str]:
        """The live papers that carry an id and do not contradict the entry's: the one named so, then the oldest."""
        found = [i for i, p in self.papers.items() if alias in p["aliases"] and not p["merged_into"]]
        found = [i for i in found if alias in strong[:1] or not _clash(strong, self.papers[i]["aliases"])]
        return sorted(found, key=lambda i: (i != alias, self.papers[i]["first_seen_at"], i))

    def _may_be_one(self, one: str, other: str) -> bool:
        a, b = self.papers[one]["aliases"], self.papers[other]["aliases"]
        return not (_clash(a, b) or f"not:{one}" in b or f"not:{other}" in a)

    def _merge(self, kept: str, other: str, before: dict[str, Paper]) -> None:
        whole, gone = self.papers[kept], self.papers[other]
        self._before[other] = before.get(other, gone), before.get(kept)
        better = gone["rank"] > whole["rank"]
        filled = {n: gone[n] for n in _FILLED if whole[n] is None or whole[n] is False}
        filled |= {n: gone[n] for n in _TEXT if better}
        lists = {n: tuple(dict.fromkeys((*whole[n], *gone[n]))) for n in _LISTS}
        more = {"revision": whole["revision"] + better, "aliases": whole["aliases"] | gone["aliases"]}
        self.papers[kept] = whole | filled | lists | more
        self.papers[other] = gone | {"aliases": {other}, "merged_into": kept}


def merge_order(papers: dict[str, Paper], ids: Iterable[str]) -> list[str]:
    """These papers, the one readers have known longest first."""
    return sorted(ids, key=lambda p: (papers[p]["first_seen_at"], not papers[p]["announced"], p))


def _ids(entry: Entry) -> tuple[list[str], list[str]]:
    """The ids that name a paper by themselves, and all that are an entry's own; written as paper ids have them."""
    strong = [f"{name}:{value}" for name, value in (("arxiv", entry.arxiv_id), ("doi", entry.doi)) if value]
    return strong, strong if entry.arxiv_id else [*strong, f"guid:{entry.source}|{entry.entry_id}"]


def _clash(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether the strongest kind of id that both have differs."""
    for kind in ("arxiv:", "doi:"):
        ours, theirs = ({a for a in side if a.startswith(kind)} for side in (one, other))
        if ours and theirs:
            return not ours & theirs
    return False


def _first(entry: Entry, now: datetime, aliases: set[str], quiet: bool) -> Paper:
    text = dict(zip(_TEXT, (*_said(entry), entry.text_rank, _said(entry)), strict=True))
    facts = {"categories": entry.categories, "sources": (entry.source,), "doi": entry.doi, "upvotes": entry.upvotes}
    more = {"first_seen_at": now, "announced": not quiet, "trending_on": now.date() if entry.trending else None}
    return text | facts | more | {"aliases": aliases, "revision": 1, "merged_into": None}


def _said(entry: Entry) -> tuple[str, str, tuple[str, ...], int | None]:
    return entry.title, entry.abstract, entry.authors, entry.version


def _again(known: Paper, entry: Entry, now: datetime, aliases: set[str]) -> Paper:
    """A known paper after one more entry; the same where it says nothing new."""
    version, said, paper = entry.version or known["version"], _said(entry), dict(known)
    speaks = (version or 0) >= (known["version"] or 0) and entry.text_rank >= known["rank"]
    text = (*said[:3], version, entry.text_rank)
    if speaks and said != known["said"] and text != tuple(known[n] for n in _TEXT[:5]):
        paper |= dict(zip(_TEXT, (*text, said), strict=True))
        words = said[:3] != tuple(known[n] for n in _TEXT[:3])
        paper["revision"] += (version or 1) != (known["version"] or 1) or (words and entry.version is None)
    for name, more in zip(_LISTS, (entry.categories, (entry.source,)), strict=True):
        paper[name] = tuple(dict.fromkeys((*known[name], *more)))
    paper["aliases"] = known["aliases"] | aliases
    paper["doi"] = entry.doi if entry.doi and (speaks or not known["doi"]) else known["doi"]
    paper["upvotes"] = known["upvotes"] if entry.upvotes is None else entry.upvotes
    paper["trending_on"] = now.date() if entry.trending else known["trending_on"]
    return paper
