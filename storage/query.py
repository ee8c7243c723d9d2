"""The query language: words, "phrases", AND OR NOT, brackets and fields → a Query that SQL and Python can ask.

    query   = all { "OR" all }
    all     = one { ["AND"] one }
    one     = { "NOT" | "-" } ( "(" query ")" | [ field ":" ] value | field ":" "(" query ")" )
    value   = word | word "*" | '"' words '"' | '"' words '*"'

Taught by example in docs/queries.md; what each term means is in storage/query_terms.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import date, datetime
from difflib import get_close_matches

from storage.errors import QueryError
from storage.identity import parse_arxiv_id, strong_aliases
from storage.model import Entry, Paper
from storage.profiles import Profile, is_file
from storage.query_terms import (
    COUNT_FIELDS,
    FACT_FIELDS,
    TEXT_FIELDS,
    WORDS_SQL,
    And,
    Asked,
    Between,
    Condition,
    Day,
    Fact,
    InTopic,
    Like,
    Listed,
    Node,
    Not,
    Or,
    Words,
    condition,
    fold,
    found,
    likes_of,
    moves,
    normal_sql,
    normal_text,
    topics_of,
)

__all__ = ["FIELDS", "WORDS_SQL", "Condition", "Query", "normal_sql", "normal_text", "parse_query"]

QUERY_CHARACTERS_MAX = 2_000
TERMS_MAX = 200
DEPTH_MAX = 20
COUNT_MAX = 999_999_999
DAYS_MAX = 36_500
FIELDS = (*TEXT_FIELDS, "topic", *COUNT_FIELDS, *FACT_FIELDS, "since", "until", "like")
_SYNONYMS = {"ti": "title", "abs": "abstract", "au": "author", "cat": "category", "tag": "topic", "likes": "votes"} | {
    "upvotes": "votes", "after": "since", "from": "since", "before": "until", "to": "until", "github": "code",
}  # fmt: skip
_QUOTES = '"“”„'
_SPACE = re.compile(r"\s*")
_FIELD = re.compile(r"([A-Za-z_]+):")
_BARE = re.compile(rf"[^\s(){_QUOTES}]+")
_PHRASE = re.compile(rf"[{_QUOTES}]([^{_QUOTES}]*)[{_QUOTES}]")
_NAMES = ("category", "source", "id", "topic", "like")  # fields whose values may hold a colon themselves
_OPERATORS = ("AND", "OR", "NOT")
_COUNT = re.compile(r"(>=|<=|>|<|=|)(\d{1,9})$|(\d{0,9})\.\.(\d{0,9})$", re.ASCII)
_AGO = re.compile(r"(\d{1,5})([dw])$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query; two queries with the same text are equal."""

    text: str
    root: Node

    def sql(self, now: datetime) -> Condition:
        """Return the condition on a row of WORDS_SQL; `since:30d` counts from `now` (aware UTC).

        This, `matches` and `reasons` raise QueryError where a `like:` has no profile yet.
        """
        self.require_profiles()
        return condition(self.root, now)

    def matches(self, paper: Paper, now: datetime, topics: Collection[str] = ()) -> bool:
        """Say whether `paper`, which has `topics` (slugs), is an answer. The same as `sql` on its row."""
        self.require_profiles()
        return found(self.root, Asked(paper, frozenset(topics), now)) is not None

    def reasons(self, paper: Paper, now: datetime, topics: Collection[str] = ()) -> tuple[str, ...]:
        """Return why `paper` is an answer: each positive term that holds, once, in the order of the query.

        Words come as the paper has them (`model` may say "models"), fields as the reader wrote them. Empty where the
        paper is no answer, and where the query only excludes.
        """
        self.require_profiles()
        return tuple(dict.fromkeys(found(self.root, Asked(paper, frozenset(topics), now)) or ()))

    @property
    def likes(self) -> tuple[Like, ...]:
        """The terms that ask for papers like some others."""
        return likes_of(self.root)

    def resolved(self, profile_of: Callable[[str], Profile]) -> Query:
        """Return this query with a profile for the seed of each `like:`.

        Where `profile_of` raises ValueError, its words become a QueryError that points at the seed.
        """
        return replace(self, root=_with_profiles(self, self.root, profile_of)) if self.likes else self

    def require_profiles(self) -> None:
        """Raise QueryError at the first `like:` that has no profile."""
        for like in self.likes:
            if like.profile is None:
                raise QueryError(self.text, like.at, f"like: needs the archive to find {like.seed} in")

    @property
    def moves(self) -> bool:
        """Whether the same paper may be an answer today and none tomorrow, or with other topics."""
        return moves(self.root)

    @property
    def topics(self) -> frozenset[str]:
        """The slugs that the query asks for by topic:."""
        return topics_of(self.root)


def parse_query(text: str) -> Query:
    """Return the query that `text` spells. Raises QueryError that names the character to blame.

    At most 2,000 characters, 200 terms and 20 brackets inside each other.
    """
    if len(text) > QUERY_CHARACTERS_MAX:
        raise QueryError(
            f"{text[:60]}…", QUERY_CHARACTERS_MAX, f"a query has at most {QUERY_CHARACTERS_MAX:,} characters"
        )
    return Query(text, _Parser(text).parse())


class _Parser:
    """Recursive descent over the characters; `at` is where it stands."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.terms = text, 0, 0

    def parse(self) -> Node:
        if not self.text.strip():
            raise self._error(0, "the query is empty; write words to look for, such as diffusion")
        node = self._any(None, 0)
        if self.at < len(self.text):
            raise self._error(self.at, "this ) closes nothing")
        return node

    def _any(self, field: str | None, depth: int) -> Node:
        parts = [self._all(field, depth)]
        while self._take("OR"):
            parts.append(self._all(field, depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all(self, field: str | None, depth: int) -> Node:
        parts = [self._one(field, depth)]
        while True:
            if not self._take("AND") and (self._ends() or self._next_word() == "OR"):
                return parts[0] if len(parts) == 1 else And(tuple(parts))
            parts.append(self._one(field, depth))

    def _one(self, field: str | None, depth: int) -> Node:
        negated = False
        while self._take_not():
            negated = not negated
        node = self._atom(field, depth)
        return Not(node) if negated else node

    def _atom(self, field: str | None, depth: int) -> Node:
        self._skip()
        if self._ends():
            raise self._missing()
        word = self._next_word()
        if word in _OPERATORS:
            raise self._error(self.at, f"{word} needs a term before it; quote it to search for the word")
        if self.text[self.at] == "(":
            return self._group(field, depth)
        found = _FIELD.match(self.text, self.at)
        if found is None or (field in _NAMES and found[1].lower() not in FIELDS):
            return self._value(field, self.at)
        return self._field(found, field, depth)

    def _group(self, field: str | None, depth: int) -> Node:
        opened = self.at
        if depth >= DEPTH_MAX:
            raise self._error(opened, f"brackets nest at most {DEPTH_MAX} deep")
        self.at += 1
        node = self._any(field, depth + 1)
        if self.text[self.at : self.at + 1] != ")":
            raise self._error(opened, "this ( is never closed")
        self.at += 1
        return node

    def _field(self, found: re.Match[str], outer: str | None, depth: int) -> Node:
        name, start = found[1].lower(), self.at
        if name not in FIELDS:
            raise self._error(start, _unknown_field(found[1]))
        if outer is not None:
            raise self._error(start, f"{name}: cannot stand inside {outer}:( )")
        self.at = found.end()
        if self.text[self.at : self.at + 1] == "(":
            return self._group(name, depth)
        if self.at == len(self.text) or self.text[self.at].isspace() or self.text[self.at] == ")":
            raise self._error(self.at, f"{name}: needs its value right after the colon")
        return self._value(name, start)

    def _value(self, field: str | None, start: int) -> Node:
        """Read one word or phrase; `start` is where its label begins, the field's name included."""
        self.terms += 1
        if self.terms > TERMS_MAX:
            raise self._error(start, f"a query has at most {TERMS_MAX} terms")
        at = self.at
        phrase = _PHRASE.match(self.text, at)
        if phrase is None and self.text[at] in _QUOTES:
            raise self._error(at, "this quote is never closed")
        bare = phrase or _BARE.match(self.text, at)
        assert bare is not None  # noqa: S101 - callers stand on a character that is no space and no bracket
        self.at = bare.end()
        value = phrase[1] if phrase else bare[0]
        label = self.text[start : self.at] if start < at else f"{field}:{bare[0]}" if field else bare[0]
        try:
            return _term(field, value, label, at, exact=phrase is not None)
        except ValueError as error:
            raise self._error(at, str(error)) from None

    def _take_not(self) -> bool:
        self._skip()
        if self._take("NOT"):
            return True
        if self.text[self.at : self.at + 1] != "-":
            return False
        self.at += 1
        if self.at == len(self.text) or self.text[self.at].isspace():
            raise self._error(self.at - 1, "- excludes the term that follows it without a space; none follows")
        return True

    def _take(self, operator: str) -> bool:
        if self._next_word() != operator:
            return False
        self.at += len(operator)
        return True

    def _next_word(self) -> str | None:
        self._skip()
        found = _BARE.match(self.text, self.at)
        return found[0] if found else None

    def _ends(self) -> bool:
        return self.at == len(self.text) or self.text[self.at] == ")"

    def _missing(self) -> QueryError:
        """Say what is missing where a term should begin, and blame the word before."""
        before = self.text[: self.at].rstrip()
        operator = next((o for o in _OPERATORS if re.search(rf"(?:^|[\s()]){o}$", before)), None)
        if operator:
            return self._error(len(before) - len(operator), f"{operator} needs a term after it")
        if before.endswith("("):
            return self._error(len(before) - 1, "there is nothing inside these brackets")
        return self._error(self.at, "a term is missing here")

    def _skip(self) -> None:
        space = _SPACE.match(self.text, self.at)
        self.at = space.end() if space else self.at

    def _error(self, position: int, reason: str) -> QueryError:
        return QueryError(self.text, position, reason)


def _with_profiles(query: Query, node: Node, profile_of: Callable[[str], Profile]) -> Node:
    match node:
        case Like():
            try:
                return replace(node, profile=profile_of(node.seed))
            except ValueError as error:
                raise QueryError(query.text, node.at, str(error)) from error
        case Not():
            return Not(_with_profiles(query, node.part, profile_of))
        case And() | Or():
            return type(node)(tuple(_with_profiles(query, part, profile_of) for part in node.parts))
        case _:
            return node


def _unknown_field(name: str) -> str:
    known = _SYNONYMS.get(name.lower()) or next(iter(get_close_matches(name.lower(), FIELDS, n=1)), None)
    hint = f"did you mean {known}:?" if known else f"the fields are {', '.join(FIELDS)};"
    return f"there is no field {name}: ({hint} quote a word that has a colon)"


def _term(field: str | None, value: str, label: str, at: int, *, exact: bool) -> Node:
    """Return the term for one value. Raises ValueError with what is wrong with it."""
    if field in COUNT_FIELDS:
        return Between(field, *_count(field, value), label)
    if field in FACT_FIELDS:
        return Fact(field, _yes(field, value), label)
    if field in ("since", "until"):
        return Day(field == "since", *_day(field, value), label)
    if field == "topic":
        return InTopic(value.lower(), label)
    if field == "like":
        return Like(_seed(value), at, label)
    if field in ("category", "source", "id"):
        return Listed(field, _listed_needles(field, value, exact=exact), label)
    needles = _word_needles(value, exact=exact, plural=field != "author")
    if field == "author":
        return Listed(field, needles, label)
    return Words((field,) if field else ("title", "abstract"), needles, value.strip("*"))


def _word_needles(value: str, *, exact: bool, plural: bool) -> tuple[str, ...]:
    """Return what to look for in normal text: ` fine tuning ` with its plural and, unless quoted, ` finetuning `."""
    stem, prefix = _star(value)
    words = normal_text(stem).split()
    if not words:
        raise ValueError(f"{value!r} has no letter or digit to look for" if value else "there is nothing in the quotes")
    spellings = [" ".join(words)]
    if not exact and "-" in stem and len(words) > 1:
        spellings.append("".join(words))
    if prefix:
        return tuple(f" {spelling}" for spelling in spellings)
    if not exact and plural:
        spellings += [_plural(spelling) for spelling in spellings if _has_plural(words[-1])]
    return tuple(f" {spelling} " for spelling in spellings)


def _star(value: str) -> tuple[str, bool]:
    stem = value.removesuffix("*")
    if "*" in stem:
        raise ValueError("a * can only end a word or phrase, once")
    return stem, stem != value


def _has_plural(word: str) -> bool:
    return len(word) >= 3 and word.isascii() and word.isalpha()


def _plural(word: str) -> str:
    if word[-1] == "y" and word[-2] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("s", "x", "z", "ch", "sh")) else f"{word}s"


def _listed_needles(field: str, value: str, *, exact: bool) -> tuple[str, ...]:
    """Return what to look for in `|cs.cl|cs.ai|`; a plain archive or kind of source includes all below it."""
    stem, prefix = _star(value)
    name = fold(_canonical_id(stem) if field == "id" and not prefix else stem).strip()
    if not name:
        raise ValueError(f"{field}: needs a name")
    if prefix:
        return (f"|{name}",)
    if field == "id":
        return (f"|{name}|",) if ":" in name else (f":{name}|",)
    below = {"category": ".", "source": ":"}[field]
    return (f"|{name}|",) if exact or below in name else (f"|{name}|", f"|{name}{below}")


def _seed(value: str) -> str:
    """Return the name of a file of references as it is written, or an id as the archive spells it."""
    seed = value.strip()
    if not seed:
        raise ValueError("like: needs a paper's id or a file, such as like:2606.00012 or like:mine.bib")
    return seed if is_file(seed) else _canonical_id(seed)


def _canonical_id(value: str) -> str:
    """Return the id as the archive spells it: arXiv ids without a version, DOIs in lower case, arXiv's DOIs folded."""
    arxiv = parse_arxiv_id(value)
    known = strong_aliases(Entry(source="", entry_id="", title="", arxiv_id=arxiv[0] if arxiv else None, doi=value))
    return known[0] if known else value


def _count(field: str, value: str) -> tuple[int, int]:
    """Return the least and the greatest count that `value` allows."""
    found = _COUNT.match(value)
    if not found or value == "..":
        raise ValueError(f"{field}: needs a number, such as {field}:>20, {field}:<=5 or {field}:10..50")
    if found[2] is None:
        return int(found[3] or 0), int(found[4] or COUNT_MAX)
    number = int(found[2])
    bounds = {">": (number + 1, COUNT_MAX), ">=": (number, COUNT_MAX), "<": (0, number - 1), "<=": (0, number)}
    return bounds.get(found[1], (number, number))


def _yes(field: str, value: str) -> bool:
    if value.lower() not in ("yes", "no"):
        raise ValueError(f"{field}: is yes or no")
    return value.lower() == "yes"


def _day(field: str, value: str) -> tuple[date | None, int]:
    """Return (day, 0), or (None, days ago)."""
    ago = _AGO.match(value)
    if ago:
        days = int(ago[1]) * (7 if ago[2] == "w" else 1)
        if days <= DAYS_MAX:
            return None, days
    try:
        return date.fromisoformat(value if len(value) == 10 else ""), 0
    except ValueError:
        raise ValueError(
            f"{field}: needs a day or an age, such as {field}:2026-06-01, {field}:30d or {field}:4w"
        ) from None
