"""Why a paper answers a query, or does not: every term of the query held against the paper. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from storage.model import Paper
from storage.query import Query
from storage.query_terms import And, Asked, Between, Day, Fact, InTopic, Listed, Node, Not, Or, Words, found

ALL_OF, ANY_OF, NOT = "all of", "any of", "not"
_NAMED_MAX = 8  # of what a paper has
_COUNTS = {"votes": "upvotes", "comments": "comment_count", "stars": "stars", "version": "version"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A part of a query, and what the paper says to it."""

    says: str  # the term as it may be written; or ALL_OF, ANY_OF, NOT of its parts
    holds: bool
    found: str  # where it holds, what brought it there; where it does not, what the paper has instead; '' where nothing
    parts: tuple[Weighed, ...] = ()
    text: bool = False  # whether it is a term that looks for words in title and abstract

    @property
    def terms(self) -> Iterator[Weighed]:
        """All terms below it, or itself."""
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.terms

    @property
    def lacking(self) -> tuple[Weighed, ...]:
        """The fewest terms that would have to be otherwise for it to hold; a `not` stands for what it excludes."""
        if self.holds:
            return ()
        if self.says == ALL_OF:
            return tuple(term for part in self.parts for term in part.lacking)
        if self.says == ANY_OF:
            return min((part.lacking for part in self.parts), key=len)
        return (self,)

    @property
    def nearly(self) -> bool:
        """Whether one term alone keeps the paper away, and another one, that looks for something, holds.

        Where words are lacking, others have to be there: a paper of the right category alone is not near.
        """
        if self.says == ANY_OF:
            return not self.holds and any(part.nearly for part in self.parts)
        if self.says != ALL_OF or len(self.lacking) != 1:
            return False
        held = [t for part in self.parts if part.holds and part.says != NOT for t in part.terms if t.holds]
        return any(term.text or not self.lacking[0].text for term in held)


def weigh(query: Query, paper: Paper, *, now: datetime, topics: Collection[str] = ()) -> Weighed:
    """Hold `query` against `paper`, which has `topics` (slugs). It holds just where `query.matches` says so."""
    return _weighed(query.root, Asked(paper, frozenset(topics), now))


def _weighed(node: Node, asked: Asked) -> Weighed:
    reasons = found(node, asked)
    holds = reasons is not None
    match node:
        case And() | Or():
            parts = tuple(_weighed(part, asked) for part in node.parts)
            return Weighed(says=ALL_OF if isinstance(node, And) else ANY_OF, holds=holds, found="", parts=parts)
        case Not():
            return Weighed(says=NOT, holds=holds, found="", parts=(_weighed(node.part, asked),))
        case Words():
            return Weighed(says=_spelled(node), holds=holds, found=_places(node, asked), text=True)
    return Weighed(says=node.label, holds=holds, found=_has(node, asked))


def _spelled(node: Words) -> str:
    """A term of words as it may be written: the label has neither quotes nor star."""
    star = "" if node.needles[0].endswith(" ") else "*"
    text = f"{node.label}{star}"
    text = f'"{text}"' if " " in text else text
    return f"{node.fields[0]}:{text}" if len(node.fields) == 1 else text


def _places(node: Words, asked: Asked) -> str:
    """The words as the paper has them, and where: `LLMs in the title, LLM in the abstract`."""
    places = []
    for name in node.fields:
        words = found(Words((name,), node.needles, node.label), asked)
        if words is not None:
            places.append(f"{', '.join(words)} in the {name}")
    return ", ".join(places)


def _has(node: Node, asked: Asked) -> str:
    """What the paper has of that which a term asks for."""
    paper = asked.paper
    match node:
        case Listed():
            fields = {"author": paper.authors, "category": paper.categories, "source": paper.sources}
            return _some(fields.get(node.field, paper.aliases))
        case InTopic():
            return _some(tuple(sorted(asked.topics)))
        case Between():
            count = getattr(paper, _COUNTS[node.field])
            return "nobody said" if count is None else f"{count:,}"
        case Day():
            return f"{paper.announced_on or paper.first_seen_at.astimezone(UTC).date()}"
        case Fact():
            return "yes" if found(Fact(node.field, True, ""), asked) is not None else "no"
    return ", ".join(found(node, asked) or ())


def _some(values: tuple[str, ...]) -> str:
    more = f", and {len(values) - _NAMED_MAX} more" if len(values) > _NAMED_MAX else ""
    return ", ".join(values[:_NAMED_MAX]) + more or "none"
