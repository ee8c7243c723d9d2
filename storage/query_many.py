"""Many queries asked of one paper after another: which of them it answers, and why. The same as Query.reasons.

The words of a text say which needles can stand in it at all. What stands in a paper is found once for all queries, and
most queries look for nothing of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import chain

from storage.model import Paper
from storage.query import Query
from storage.query_terms import And, Asked, Like, Listed, Node, Not, Or, Words, found, profile_of

_TEXTS_REMEMBERED = 4_096
_WORDS_REMEMBERED = 50_000  # a day's abstracts have some 20,000 different ones
_Needles = list[tuple[str, frozenset[str]]]


class Queries:
    """Queries that are asked together; asking does not change what they answer."""

    def __init__(self, queries: Sequence[Query]) -> None:
        for query in queries:
            query.require_profiles()
        self._roots = [(query.root, _one_of(query.root)) for query in queries]
        terms = [term for root, _ in self._roots for term in _terms(root)]
        self._categories = {n for t in terms if isinstance(t, Listed) and t.field == "category" for n in t.needles}
        looked_for = [words for t in terms if (words := _words_of(t))]
        self._texts = {name for fields, _ in looked_for for name in fields}
        self._whole: dict[str, list[str]] = {}
        self._begun: dict[str, list[str]] = {}
        for needle in sorted({needle for _, needles in looked_for for needle in needles}):
            *parts, last = needle[1:].split(" ")  # last: the beginning of a word; empty where all are whole
            by, word = (self._whole, max(parts, key=len)) if parts else (self._begun, last)
            by.setdefault(word, []).append(needle)
        self._lengths = sorted({len(word) for word in self._begun})
        # Several feeds of a day bring the same paper, and nearly all words have come before.
        self._in_text = lru_cache(_TEXTS_REMEMBERED)(self._find_in_text)
        self._in_categories = lru_cache(_TEXTS_REMEMBERED)(self._find_in_categories)
        self._with = lru_cache(_WORDS_REMEMBERED)(self._find_with)

    def answered(self, paper: Paper, now: datetime) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Yield the place and the reasons of each query that `paper` answers; `now` is aware UTC."""
        standing: dict[str, frozenset[str]] = {}
        asked = Asked(paper, frozenset(), now, standing)
        standing |= {name: self._in_text(asked.text(name)) for name in self._texts}
        standing["category"] = self._in_categories(asked.text("category"))
        for place, (root, one_of) in enumerate(self._roots):
            if one_of and all(needles.isdisjoint(standing[name]) for name, needles in one_of):
                continue
            reasons = found(root, asked)
            if reasons is not None:
                yield place, tuple(dict.fromkeys(reasons))

    def _find_in_text(self, text: str) -> frozenset[str]:
        """The needles of words that stand in a normal text."""
        needles = set(chain.from_iterable(map(self._with, set(text.split()))))
        return frozenset(needle for needle in needles if needle in text)

    def _find_in_categories(self, text: str) -> frozenset[str]:
        return frozenset(needle for needle in self._categories if needle in text)

    def _find_with(self, word: str) -> tuple[str, ...]:
        """The needles that can stand only where `word` does: it is a word of theirs, or begins with them."""
        begun = chain.from_iterable(self._begun.get(word[:length], ()) for length in self._lengths)
        return tuple(dict.fromkeys((*self._whole.get(word, ()), *begun)))


def _one_of(node: Node) -> _Needles | None:
    """What must be found one of for `node` to hold, by field; None where nothing must, or it cannot be said."""
    match node:
        case Words():
            return [(name, frozenset(node.needles)) for name in node.fields]
        case Listed(field="category"):
            return [("category", frozenset(node.needles))]
        case Like():
            opening = frozenset(needle for word in profile_of(node).opening for needle in word.needles)
            return [("title", opening), ("abstract", opening)]
        case And():
            known = [needles for part in node.parts if (needles := _one_of(part)) is not None]
            return min(known, key=_likeliness, default=None)
        case Or():
            parts = [needles for part in node.parts if (needles := _one_of(part)) is not None]
            return _union(chain.from_iterable(parts)) if len(parts) == len(node.parts) else None
        case _:
            return None


def _words_of(term: Node) -> tuple[tuple[str, ...], Collection[str]] | None:
    """The fields and needles of a term that looks for words."""
    match term:
        case Words():
            return term.fields, term.needles
        case Like():
            return ("title", "abstract"), profile_of(term).needles
        case _:
            return None


def _likeliness(needles: _Needles) -> tuple[bool, int]:
    """Orders needles by how often one of them is found: most papers of a day are in some category asked for."""
    return any(name == "category" for name, _ in needles), sum(len(some) for _, some in needles)


def _union(needles: Iterable[tuple[str, frozenset[str]]]) -> _Needles:
    whole: dict[str, frozenset[str]] = {}
    for name, some in needles:
        whole[name] = whole.get(name, frozenset()) | some
    return list(whole.items())


def _terms(node: Node) -> Iterator[Node]:
    """All terms of a query."""
    match node:
        case And() | Or():
            yield from chain.from_iterable(map(_terms, node.parts))
        case Not():
            yield from _terms(node.part)
        case _:
            yield node
