"""A query of docs/queries.md → the question for the search index that finds the same papers.

Words, lists, counts, facts and days are asked for exactly: the index holds what storage/query_terms.py reads of papers.
What it cannot be asked for exactly is asked for loosely: the answer then has all papers of the query and others beside
them, which whoever asks sorts out (`exact` says whether that is so).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import tantivy
from tantivy import FieldType, Occur

from storage.query_terms import And, Between, Day, Fact, InTopic, Like, Listed, Node, Not, Or, Words
from storage.search_documents import days
from storage.search_query import ANNOUNCED, MARK, SCHEMA

_FIELDS = {"category": "category_exact", "source": "source", "id": "id"}
_STEM_CHARACTERS_MIN = 3  # of a phrase's last word that goes on: shorter ones are too many words to try
EVERYTHING = tantivy.Query.all_query()
_NOTHING = tantivy.Query.empty_query()
_Clause = tuple[Occur, tantivy.Query]
Topics = Callable[[str], Sequence[str]]
"""The ids of the papers that have a topic."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask the index, and whether it answers with the papers of the query and no others."""

    asked: tantivy.Query
    exact: bool


def question_of(node: Node, now: datetime, topics: Topics) -> Question:
    """Return the question for a query's root; `now` is what `since:30d` counts from (aware UTC)."""
    match node:
        case Words():
            return _any([_phrase(f"{field}_exact", needle) for field in node.fields for needle in node.needles])
        case Listed(field="author"):
            return _any([_phrase("author_exact", needle) for needle in node.needles])
        case Listed():
            return _any([_listed(node.field, needle) for needle in node.needles])
        case InTopic():
            return Question(tantivy.Query.term_set_query(SCHEMA, "paper_id", topics(node.slug)), True)
        case Between():
            return Question(between(node.field, node.low, node.high), True)
        case Fact():
            return Question(_flag(node.field) if node.wanted else _all([(Occur.MustNot, _flag(node.field))]), True)
        case Day():
            bound = days(node.on or now.astimezone(UTC).date() - timedelta(days=node.days))
            return Question(between("day", bound, None) if node.since else between("day", None, bound), True)
        case And():
            return _every(node.parts, now, topics)
        case Or():
            return _any([question_of(part, now, topics) for part in node.parts])
        case Not():
            return _every((node,), now, topics)
        case Like() if node.profile is not None:
            # A paper that is like the seeds has one of the words that count most.
            needles = [needle for word in node.profile.opening for needle in word.needles]
            words = question_of(Words(("title", "abstract"), tuple(needles), ""), now, topics)
            return Question(words.asked, False)
    return Question(EVERYTHING, False)  # a term that came later: whoever asks sorts all papers


def within(
    asked: tantivy.Query, *, first: int | None, last: int | None, announced: bool, without: Sequence[str]
) -> tantivy.Query:
    """Ask the same of the papers of a span of `new_at` (microseconds, both included), without those named.

    Only of those that readers were told of as new where `announced`.
    """
    clauses = [(Occur.Must, asked)]
    if announced:
        clauses.append((Occur.Must, _flag(ANNOUNCED)))
    else:
        clauses.append((Occur.MustNot, _flag(MARK)))
    if first is not None or last is not None:
        clauses.append((Occur.Must, between("new_at", first, last)))
    if without:
        clauses.append((Occur.MustNot, tantivy.Query.term_set_query(SCHEMA, "paper_id", without)))
    return tantivy.Query.boolean_query(clauses)


def between(field: str, low: int | None, high: int | None) -> tantivy.Query:
    """Ask for papers whose number lies in low..high, both included; one that is not known lies nowhere."""
    if low is not None and high is not None and low > high:
        return _NOTHING
    return tantivy.Query.range_query(SCHEMA, field, FieldType.Integer, low, high)


def _flag(name: str) -> tantivy.Query:
    return tantivy.Query.term_query(SCHEMA, "flag", name, "basic")


def _phrase(field: str, needle: str) -> Question:
    """Ask for ` fine tuning ` as these words side by side, for ` language model` as any that begin with it."""
    *before, last = needle.strip(" ").split(" ")
    if needle.endswith(" "):
        return Question(_side_by_side(field, [*before, last]), True)
    if not before:
        return Question(tantivy.Query.regex_query(SCHEMA, field, f"{last}.*"), True)
    if len(last) < _STEM_CHARACTERS_MIN:
        return Question(_side_by_side(field, before), False)
    words: list[str | tuple[int, str]] = [*enumerate([*before, f"{last}.*"])]
    return Question(tantivy.Query.regex_phrase_query(SCHEMA, field, words), True)


def _side_by_side(field: str, words: Sequence[str]) -> tantivy.Query:
    if len(words) == 1:
        return tantivy.Query.term_query(SCHEMA, field, words[0], "freq")
    return tantivy.Query.phrase_query(SCHEMA, field, list(words))


def _listed(name: str, needle: str) -> Question:
    """Ask for `|cs.cl|` among the whole names of a list, for `|cs.` among their beginnings, for `:12|` among ids."""
    field, value = _FIELDS[name], needle.strip("|")
    if "|" in value or (name == "id" and not needle.endswith("|")):
        return Question(EVERYTHING, False)
    if name == "id":
        last = value.rpartition(":")[2]
        return Question(tantivy.Query.term_query(SCHEMA, field, last, "basic"), f":{last}|" == needle)
    if needle.endswith("|"):
        return Question(tantivy.Query.term_query(SCHEMA, field, value, "basic"), True)
    return Question(tantivy.Query.regex_query(SCHEMA, field, re.sub(r"([^\w ])", r"\\\1", value) + ".*"), True)


def _any(parts: Sequence[Question]) -> Question:
    if len(parts) == 1:
        return parts[0]
    asked = tantivy.Query.boolean_query([(Occur.Should, part.asked) for part in parts])
    return Question(asked, all(part.exact for part in parts))


def _every(parts: Iterable[Node], now: datetime, topics: Topics) -> Question:
    """Ask for what all parts ask for. What is asked for loosely cannot be excluded: that excludes too much."""
    clauses: list[_Clause] = []
    exact = True
    for part in parts:
        inner = question_of(part.part if isinstance(part, Not) else part, now, topics)
        exact = exact and inner.exact
        if not isinstance(part, Not):
            clauses.append((Occur.Must, inner.asked))
        elif inner.exact:
            clauses.append((Occur.MustNot, inner.asked))
    return Question(_all(clauses), exact)


def _all(clauses: list[_Clause]) -> tantivy.Query:
    if all(occur == Occur.MustNot for occur, _ in clauses):
        clauses = [(Occur.Must, EVERYTHING), *clauses]
    return tantivy.Query.boolean_query(clauses)
