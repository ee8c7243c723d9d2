"""What an archive must hold, by plain rules over plain dicts: no files, no index, no keys, no kills.

It knows the rules of the matching of ids and of who may speak for a paper, and trusts that two records are one work
where their authors are equal: the machine gives each work its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from storage.identity import fingerprint
from storage.model import Entry
from storage.titles import title_key

Paper = dict[str, Any]
_TEXT = ("title", "abstract", "authors", "version", "rank", "said")
_FILLED = ("doi", "upvotes", "trending_on", "announced")


class Model:
    """Every paper as it must stand, every sighting that must be there once, and how it was after each commit."""

    def __init__(self) -> None:
        self.papers: dict[str, Paper] = {}
        self.seen: dict[tuple[str, str], Entry] = {}
        self.batches: set[str] = set()
        self.sightings: Counter[tuple[str, str, str, datetime]] = Counter()
        self.rows: Counter[str] = Counter()
        self.past: list[dict[str, Paper] | None] = [{}]  # the live papers after each commit; None: nobody looked
        self._before: dict[str, tuple[str, Paper, Paper | None]] = {}  # merged → (kept, it and kept as they were)

    def live(self) -> dict[str, Paper]:
        """The papers a reader sees."""
        return {i: p for i, p in self.papers.items() if p["merged_into"] is None}

    def append(self, batch_id: str, entries: Sequence[Entry], now: datetime, *, quiet: bool = False) -> int | None:
        """Take a batch; returns how many papers have a new row, None where nothing was committed."""
        if batch_id in self.batches:
            return None
        fresh = [e for e in entries if e.title.strip() and self.seen.get((e.source, e.entry_id)) != e]
        self.seen |= {(e.source, e.entry_id): e for e in fresh}
        before, touched = dict(self.papers), dict[str, None]()
        carriers: dict[str, list[str]] = {}
        for paper_id, paper in sorted(self.live().items(), key=lambda item: (item[1]["first_seen_at"], item[0])):
            _carry(carriers, paper_id, paper)
        for entry in fresh:
            self._take(entry, now, quiet, before, touched, carriers)
        return self._commit(batch_id, touched) if touched else None

    def merge(self, kept: str, other: str) -> None:
        """Make two live papers one."""
        self._before[other] = (kept, self.papers[other], self.papers[kept])
        self._merge(kept, other)
        self._commit("", [kept, other])

    def split(self, other: str) -> bool:
        """Undo a merge; says whether it can be: not where the two met in one commit."""
        kept_id, apart, before = self._before[other]
        if before is None or not self.rows[other] - 1:
            return False
        now = self.papers[kept_id]
        undone = {n: before[n] for n in (*_FILLED, *_TEXT) if apart[n] != before[n] and now[n] == apart[n]}
        for name in ("categories", "sources"):
            undone[name] = tuple(v for v in now[name] if v in before[name] or v not in apart[name])
        aliases = now["aliases"] - (apart["aliases"] - before["aliases"]) | {f"not:{other}"}
        self.papers[kept_id] = now | undone | {"aliases": aliases}
        self.papers[other] = apart | {"aliases": apart["aliases"] | {f"not:{kept_id}"}}
        del self._before[other]
        self._commit("", [kept_id, other])
        return True

    def unsure(self, commits: int) -> None:
        """So many commits were made of which only the last is looked at."""
        last = self.past.pop()
        self.past += [*[None] * (commits - 1), last]

    def _commit(self, batch_id: str, touched: Iterable[str]) -> int:
        if batch_id:
            self.batches.add(batch_id)
        self.rows.update(touched)
        self.past.append(self.live())
        return len(list(touched))

    def _take(
        self,
        entry: Entry,
        now: datetime,
        quiet: bool,
        before: dict[str, Paper],
        touched: dict[str, None],
        carriers: dict[str, list[str]],
    ) -> None:
        strong, guid = strong_of(entry), f"guid:{entry.source}|{entry.entry_id}"
        like = {f"title:{title_key(entry.title)}", *(() if strong else (f"fp:{fingerprint(entry)}",))}
        own = (*strong, *(() if entry.arxiv_id else (guid,)))
        named = dict.fromkeys(p for alias in own for p in self._fitting(strong, alias, carriers)[:1])
        alike = {p for alias in like for p in self._fitting(strong, alias, carriers, entry.authors)}
        found = list(named) or (list(alike) if len(alike) == 1 else [])
        paper_id = found[0] if found else next(iter(strong), f"fp:{fingerprint(entry)}")
        same = [p for p in found[1:] if self._may_be_one(paper_id, p)]
        if same:
            order = sorted((paper_id, *same), key=lambda p: (*_since(self.papers[p]), p))
            paper_id = order[0]
            for other in order[1:]:
                self._before[other] = (paper_id, before.get(other, self.papers[other]), before.get(paper_id))
                self._merge(paper_id, other)
                _carry(carriers, paper_id, self.papers[paper_id])
                touched |= dict.fromkeys((paper_id, other))
        known = self.papers.get(paper_id)
        aliases = {paper_id, *own, *(a for a in like if a.startswith("title:"))}
        paper = _again(known, entry, now, aliases) if known else _first(entry, now, aliases, quiet)
        if paper != known:
            self.papers[paper_id] = paper
            self.sightings[paper_id, entry.source, entry.entry_id, now] += 1
            touched[paper_id] = None
            _carry(carriers, paper_id, paper)

    def _fitting(
        self, strong: Sequence[str], alias: str, carriers: dict[str, list[str]], authors: tuple[str, ...] | None = None
    ) -> list[str]:
        """The live papers that carry an id and do not contradict the entry; by likeness only those of its authors."""
        live = [p for p in carriers.get(alias, ()) if self.papers[p]["merged_into"] is None]
        sure = alias in strong[:1]
        fits = [p for p in live if sure or not _clash(strong, self.papers[p]["aliases"])]
        return [p for p in fits if authors is None or self.papers[p]["authors"] == authors]

    def _may_be_one(self, one: str, other: str) -> bool:
        a, b = self.papers[one]["aliases"], self.papers[other]["aliases"]
        return not (_clash(a, b) or f"not:{one}" in b or f"not:{other}" in a)

    def _merge(self, kept: str, other: str) -> None:
        whole, gone = self.papers[kept], self.papers[other]
        better = gone["rank"] > whole["rank"]
        whole = whole | {n: gone[n] for n in _FILLED if whole[n] in (None, False)}
        whole |= {n: gone[n] for n in _TEXT} if better else {}
        whole["revision"] += better
        whole |= {n: tuple(dict.fromkeys((*whole[n], *gone[n]))) for n in ("categories", "sources")}
        self.papers[kept] = whole | {"aliases": whole["aliases"] | gone["aliases"]}
        self.papers[other] = gone | {"aliases": {other}, "merged_into": kept}
