"""What a query means: each kind of term, once as SQL over `papers` and once as Python over one Paper.

The two agree (tests/test_sql_and_python_read_a_query_alike.py). SQL finds papers; Python says why a paper was found.
Conditions use core functions only, so that they run on DuckDB 1.5 and 2.0, and plain substring search, no regexp:
`title_words` and `abstract_words` are columns of WORDS_SQL, or of any relation that computes the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from os.path import commonprefix

from storage.model import Paper
from storage.profiles import Profile, Word


@dataclass(frozen=True, slots=True)
class Words:
    """Any of `needles` stands in the title or abstract."""

    fields: tuple[str, ...]
    needles: tuple[str, ...]  # in normal text: " fine tuning ", or " quantiz" for a prefix
    label: str  # the term as the reader wrote it, without quotes and star


@dataclass(frozen=True, slots=True)
class Listed:
    """Any of `needles` stands in the authors, categories, sources or ids."""

    field: str
    needles: tuple[str, ...]
    label: str  # the term as the reader wrote it, field and all; so below


@dataclass(frozen=True, slots=True)
class InTopic:
    """The paper has the topic `slug`."""

    slug: str
    label: str


@dataclass(frozen=True, slots=True)
class Between:
    """A count lies in low..high, both included; an unknown count lies nowhere."""

    field: str
    low: int
    high: int
    label: str


@dataclass(frozen=True, slots=True)
class Fact:
    """Something is known of the paper (`wanted`), or is not."""

    field: str
    wanted: bool
    label: str


@dataclass(frozen=True, slots=True)
class Day:
    """The paper's day is `on`, or `days` before asking where that is None, or later (`since`) or earlier.

    Its day is the one its source announced it for, else the UTC day it was first seen.
    """

    since: bool
    on: date | None
    days: int
    label: str


@dataclass(frozen=True, slots=True)
class Like:
    """The paper is like those that `seed` names: a paper's id, or a file of references. Asked once it has a profile."""

    seed: str
    at: int  # where the seed stands in the query
    label: str
    profile: Profile | None = None


@dataclass(frozen=True, slots=True)
class And:
    """Every part holds."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part holds."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Node


Node = Words | Listed | InTopic | Between | Fact | Day | Like | And | Or | Not


@dataclass(frozen=True, slots=True)
class Condition:
    """A WHERE clause with `?` in it, and the values for them in order."""

    where: str
    params: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A paper, the topics it has, and the time of asking (aware UTC)."""

    paper: Paper
    topics: frozenset[str]
    now: datetime
    # Of these fields, the needles that stand in their texts. Whoever knows them spares the search for all others.
    standing: Mapping[str, frozenset[str]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)  # of the paper, as they are looked for in; made when asked for

    def text(self, name: str) -> str:
        """What a field of text says, as needles spell it."""
        text = self.texts.get(name)
        if text is None:
            text = self.texts[name] = _TEXTS[name][1](self.paper)
        return text


def condition(node: Node, now: datetime) -> Condition:
    """Return what `node` asks of a row of WORDS_SQL. It is true or false, never NULL, so that NOT of it is sound."""
    match node:
        case Words():
            return _contains(node.fields, node.needles)
        case Listed():
            return _contains((node.field,), node.needles)
        case InTopic():
            return Condition("paper_id IN (SELECT paper_id FROM paper_topics WHERE topic = ?)", (node.slug,))
        case Between():
            return Condition(f"coalesce({_COUNTS[node.field][0]} BETWEEN ? AND ?, false)", (node.low, node.high))
        case Fact():
            return Condition(f"{'' if node.wanted else 'NOT '}{_FACTS[node.field][0]}", ())
        case Day():
            return _day_condition(node, now)
        case Like():
            return _like_condition(profile_of(node))
        case And():
            return _joined(" AND ", [condition(part, now) for part in node.parts])
        case Or():
            return _joined(" OR ", [condition(part, now) for part in node.parts])
        case Not():
            inner = condition(node.part, now)
            return Condition(f"NOT ({inner.where})", inner.params)


def found(node: Node, asked: Asked) -> tuple[str, ...] | None:
    """Return the positive terms that bring the paper to `node`, or None where it does not belong there."""
    paper = asked.paper
    match node:
        case Words():
            return _found_words(node, asked)
        case Listed():
            text = asked.text(node.field)
            holds = any(needle in text for needle in node.needles)
        case InTopic():
            holds = node.slug in asked.topics
        case Between():
            count = _COUNTS[node.field][1](paper)
            holds = count is not None and node.low <= count <= node.high
        case Fact():
            holds = _FACTS[node.field][1](paper) is node.wanted
        case Day():
            day, bound = paper.announced_on or paper.first_seen_at.astimezone(UTC).date(), _bound(node, asked.now)
            holds = day >= bound if node.since else day <= bound
        case Like():
            return _found_like(profile_of(node), asked)
        case And():
            return _found_all(node.parts, asked)
        case Or():
            branches = [reasons for part in node.parts if (reasons := found(part, asked)) is not None]
            return tuple(reason for reasons in branches for reason in reasons) if branches else None
        case Not():
            return () if found(node.part, asked) is None else None
    return (node.label,) if holds else None


def profile_of(like: Like) -> Profile:
    """The profile of a term that has one; whoever asks a query gives it profiles first (`Query.resolved`)."""
    if like.profile is None:
        raise AssertionError(f"{like.label} has no profile yet")
    return like.profile


def likes_of(node: Node) -> tuple[Like, ...]:
    """Return the terms of `node` that ask for papers like some others."""
    match node:
        case Like():
            return (node,)
        case Not():
            return likes_of(node.part)
        case And() | Or():
            return tuple(like for part in node.parts for like in likes_of(part))
        case _:
            return ()


def topics_of(node: Node) -> frozenset[str]:
    """Return the slugs that `node` asks for by topic:."""
    match node:
        case InTopic():
            return frozenset([node.slug])
        case Not():
            return topics_of(node.part)
        case And() | Or():
            return frozenset().union(*map(topics_of, node.parts))
        case _:
            return frozenset()


def moves(node: Node) -> bool:
    """Say whether `node` asks for a day or a topic: what a paper says does not settle it."""
    match node:
        case Day() | InTopic():
            return True
        case Not():
            return moves(node.part)
        case And() | Or():
            return any(map(moves, node.parts))
        case _:
            return False


# TeX that only shapes letters: accents (Schr\"odinger), font commands (\emph{..}), soft hyphens (\-). RE2 and `re` read
# it alike. Four abstracts in a hundred on arXiv spell a letter so.
_TEX = (
    r"""\{?\\(?:["'`^~=.]\{?\\?|[cvHukrdb]\{)([A-Za-z])\}?\}?"""
    r"|\\(?:emph|text(?:bf|it|rm|sc|sf|tt)|math(?:bb|bf|cal|frak|it|rm|scr|sf)|em|bf|it|tt)\b|\\-"
)
_TEX_PATTERN = re.compile(_TEX, re.ASCII)
_BREAKS = re.compile(r"[\W_]+")
# A letter that no name has stands between two authors, so that a phrase never runs from one name into the next.
_NAME_BREAK = " ꙮ "


@lru_cache(maxsize=4096)
def normal_text(text: str) -> str:
    """Return `text` as words for comparison: lower case, no diacritics, one space between and around them.

    A word is a run of letters and digits, so `fine-tuning` is two. TeX accents count as accents. The same as
    `normal_sql` for every character of Unicode 14.
    """
    if "\\" in text:
        text = _TEX_PATTERN.sub(r"\1", text)
    return f" {_BREAKS.sub(' ', fold(text)).strip(' ')} "


def fold(text: str) -> str:
    """Return `text` in lower case without diacritics, as DuckDB's lower(strip_accents(text)) does."""
    if not text.isascii():
        parts = (c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c)[0] != "M")
        # Python gives the last sigma of a word a letter of its own; DuckDB does not.
        text = unicodedata.normalize("NFC", "".join(parts)).replace("Σ", "σ")
    return text.lower()


def normal_sql(expression: str) -> str:
    """Return the SQL that does to the text `expression` what `normal_text` does."""
    tex = _TEX.replace("'", "''")
    shaped = f"CASE WHEN contains({expression}, '\\') THEN regexp_replace({expression}, '{tex}', '\\1', 'g')"
    folded = f"lower(strip_accents({shaped} ELSE {expression} END))"
    return rf"(' ' || trim(regexp_replace({folded}, '[^\pL\pN]+', ' ', 'g')) || ' ')"


def _joined_sql(column: str, separator: str) -> str:
    return f"coalesce(array_to_string({column}, '{separator}'), '')"


def _listed_sql(column: str) -> str:
    return f"('|' || lower(strip_accents({_joined_sql(column, '|')})) || '|')"


def _listed(values: tuple[str, ...]) -> str:
    return f"|{fold('|'.join(values))}|"


WORDS_SQL = f"SELECT *, {normal_sql('title')} AS title_words, {normal_sql('abstract')} AS abstract_words FROM papers"
# Where text is looked for: the SQL expression, and the same of a Paper.
_TEXTS: dict[str, tuple[str, Callable[[Paper], str]]] = {
    "title": ("title_words", lambda p: normal_text(p.title)),
    "abstract": ("abstract_words", lambda p: normal_text(p.abstract)),
    "author": (normal_sql(_joined_sql("authors", _NAME_BREAK)), lambda p: normal_text(_NAME_BREAK.join(p.authors))),
    "category": (_listed_sql("categories"), lambda p: _listed(p.categories)),
    "source": (_listed_sql("sources"), lambda p: _listed(p.sources)),
    "id": (_listed_sql("aliases"), lambda p: _listed(p.aliases)),
}
_COUNTS: dict[str, tuple[str, Callable[[Paper], int | None]]] = {
    "votes": ("upvotes", lambda p: p.upvotes),
    "comments": ("comment_count", lambda p: p.comment_count),
    "stars": ("stars", lambda p: p.stars),
    "version": ("version", lambda p: p.version),
}
_FACTS: dict[str, tuple[str, Callable[[Paper], bool]]] = {
    "code": ("(code_url IS NOT NULL)", lambda p: p.code_url is not None),
    "published": (
        "(doi IS NOT NULL OR journal_ref IS NOT NULL)",
        lambda p: p.doi is not None or p.journal_ref is not None,
    ),
    "withdrawn": ("coalesce(withdrawn, false)", lambda p: p.withdrawn),
    "trending": ("(trending_on IS NOT NULL)", lambda p: p.trending_on is not None),
}
_LIKE_WORDS = 3  # that a reason names
TEXT_FIELDS, COUNT_FIELDS, FACT_FIELDS = tuple(_TEXTS), tuple(_COUNTS), tuple(_FACTS)


def _contains(fields: tuple[str, ...], needles: tuple[str, ...]) -> Condition:
    return _joined(" OR ", [_contains_any(_TEXTS[field][0], needles) for field in fields])


def _contains_any(text: str, needles: tuple[str, ...]) -> Condition:
    """Look for what all spellings begin with first: most texts lack it, and one search then answers for all."""
    tests = _joined(" OR ", [Condition(f"contains({text}, ?)", (needle,)) for needle in needles])
    shared = commonprefix(needles).strip(" ")  # noqa: RUF071 - words, no paths
    if len(shared) < 3:
        return tests
    return Condition(f"(contains({text}, ?) AND {tests.where})", (shared, *tests.params))


def _joined(operator: str, parts: list[Condition]) -> Condition:
    """Join conditions as a balanced tree: DuckDB limits how deep an expression may nest."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    left, right = _joined(operator, parts[:half]), _joined(operator, parts[half:])
    return Condition(f"({left.where}{operator}{right.where})", left.params + right.params)


def _day_condition(day: Day, now: datetime) -> Condition:
    """Compare dates with dates and instants with milliseconds: a cast between them would ask for a time zone."""
    bound = _bound(day, now)
    if day.since:
        where = "coalesce(announced_on >= ?, epoch_ms(first_seen_at) >= ?)"
        return Condition(where, (bound, _milliseconds(bound)))
    where = "coalesce(announced_on <= ?, epoch_ms(first_seen_at) < ?)"
    return Condition(where, (bound, _milliseconds(bound + timedelta(days=1))))


def _bound(day: Day, now: datetime) -> date:
    return day.on or now.astimezone(UTC).date() - timedelta(days=day.days)


def _milliseconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _like_condition(profile: Profile) -> Condition:
    if not profile.words:
        return Condition("false", ())
    total = _joined(" + ", [_counted(word) for word in profile.words])
    return Condition(f"({total.where} >= ?)", (*total.params, profile.least))


def _counted(word: Word) -> Condition:
    title, abstract = (_contains_any(_TEXTS[name][0], word.needles) for name in ("title", "abstract"))
    where = f"CASE WHEN {title.where} THEN {2 * word.weight} WHEN {abstract.where} THEN {word.weight} ELSE 0 END"
    return Condition(where, title.params + abstract.params)


def _found_like(profile: Profile, asked: Asked) -> tuple[str, ...] | None:
    """Return the words that counted most, as one reason."""
    counted = profile.counted(_standing("title", asked), _standing("abstract", asked))
    return (f"like: {', '.join(word for _, word in counted[:_LIKE_WORDS])}",) if counted else None


def _standing(name: str, asked: Asked) -> Collection[str]:
    """The words of a text as needles; those of `asked.standing` where somebody has looked already."""
    known = asked.standing.get(name)
    return known if known is not None else {f" {word} " for word in asked.text(name).split()}


def _found_words(term: Words, asked: Asked) -> tuple[str, ...] | None:
    """Return the words as the paper has them, spelled as in the query as far as that goes: LLM, LLMs, quantization."""
    for name in term.fields:
        standing = asked.standing.get(name)
        for needle in term.needles:
            if standing is not None and needle not in standing:
                continue
            text = asked.text(name)
            start = text.find(needle)
            if start < 0:
                continue
            words = text[start + 1 : text.index(" ", start + len(needle) - 1)]
            plain = normal_text(term.label).strip(" ")
            return (term.label + words[len(plain) :] if words.startswith(plain) else words,)
    return None


def _found_all(parts: tuple[Node, ...], asked: Asked) -> tuple[str, ...] | None:
    reasons: list[str] = []
    for part in parts:
        more = found(part, asked)
        if more is None:
            return None
        reasons += more
    return tuple(reasons)
