"""Whether two entries or papers are one work, from what they say: ids, title, authors, abstract. Pure.

An equal title is a reason to look, never to merge. The rules, in order:

- Ids that contradict (`identity.contradiction`) end it; a shared strong id decides it.
- Author *sets* are compared, never the first author alone. Both sides name people and none meets: two works.
- Equal titles: half of the authors must meet, and the abstracts, where both have one, must not speak of different
  things. Where one side names nobody, or few of many, the abstracts must be alike; where neither names anybody, equal.
- Different titles (a renamed or a translated one): two of the authors and most of all must meet, or the only one, and
  the abstracts be nearly one text. Never for a sequel, reply, comment or erratum of the other. A translated abstract is
  never joined by likeness, only by an id.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from storage.identity import NAMESPACES, contradiction, strong_aliases
from storage.model import Entry, Paper
from storage.titles import plain_letters, plain_text, title_form, title_key

# Shares of the pairs of words of two abstracts. Measured on versions of 164 papers (the least alike .69) and on 9,000
# pairs of papers by the same authors (99.7 % below .5).
ALIKE = 0.6  # of the shorter one's: both may be of one work
UNLIKE = 0.12  # below this two long abstracts are of two works, whatever else agrees
ONE_TEXT = 0.8  # of both ones' together: under two titles
ONE_TEXT_ALONE = 0.95  # the same, by a single author or by nobody
_PAIRS_MIN = 20  # a shorter abstract says nothing
_AUTHORS_SHARE, _RENAMED_AUTHORS_SHARE = 0.5, 0.75
_LONE_TITLE_CHARACTERS_MIN = 24  # one author and no abstract: the title must say something


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What an entry or a paper says of the work it is about."""

    title: str
    authors: tuple[str, ...] = ()
    abstract: str = ""
    aliases: tuple[str, ...] = ()


def work_of(said: Entry | Paper) -> Work:
    """Return what an entry or a paper says of its work."""
    aliases = said.aliases if isinstance(said, Paper) else strong_aliases(said)
    return Work(title=said.title, authors=said.authors, abstract=said.abstract, aliases=aliases)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why two papers are one work, in words for the log, and how surely: 1 by an id, above .8 by the title."""

    reason: str
    score: float


def same_work(one: Work, other: Work) -> str | None:
    """Return why two papers are one work (in words for the log), or None where they are not known to be."""
    verdict = judge(one, other)
    return verdict.reason if verdict else None


def judge(one: Work, other: Work) -> Verdict | None:
    """Return why and how surely two papers are one work, or None where they are not known to be."""
    if contradiction(one.aliases, other.aliases):
        return None
    shared = {a for a in one.aliases if a.partition(":")[0] in NAMESPACES} & set(other.aliases)
    if shared:
        return Verdict(f"both are {min(shared)}", 1.0)
    people = _meeting(names_of(one.authors), names_of(other.authors))
    if not (people.met or people.unnamed):
        return None
    form = title_form(one.title)
    if form != title_form(other.title):
        same = _renamed(people, one, other)
        return _verdict("title changed", people, _compare(one.abstract, other.abstract), least=0.5) if same else None
    texts = _compare(one.abstract, other.abstract)
    same = _titled(people, texts, plain=title_key(one.title) is None, characters=len(form))
    return _verdict("equal title", people, texts, least=0.8) if same else None


@dataclass(frozen=True, slots=True)
class _Meeting:
    """How two lists of authors meet: `met` of `fewest` and `most` names; `unnamed`: one is empty (`most` 0: both)."""

    met: int
    fewest: int
    most: int
    cut: bool  # a list ends in et al.
    unnamed: bool


@dataclass(frozen=True, slots=True)
class _Texts:
    """Which share of pairs of words two abstracts have in common: of the shorter one's, of both ones' together."""

    of_shorter: float
    of_both: float


def _titled(people: _Meeting, texts: _Texts | None, *, plain: bool, characters: int) -> bool:
    """Decide for equal titles. `plain`: the title is Editorial, Erratum, …"""
    alike = texts is not None and texts.of_shorter >= ALIKE
    agree = people.met >= _AUTHORS_SHARE * people.most
    if people.unnamed:
        return alike and (people.most > 0 or (texts is not None and texts.of_both >= ONE_TEXT_ALONE))
    if alike or plain:
        return alike and (agree or not plain)
    if texts is not None and texts.of_shorter < UNLIKE:
        return False
    agree = agree or (people.cut and people.met == people.fewest)
    return agree and (people.met > 1 or texts is not None or characters >= _LONE_TITLE_CHARACTERS_MIN)


def _renamed(people: _Meeting, one: Work, other: Work) -> bool:
    """Decide for different titles."""
    if people.unnamed or people.met < _RENAMED_AUTHORS_SHARE * people.most:
        return False
    texts = _compare(one.abstract, other.abstract)
    enough = ONE_TEXT if people.met > 1 else ONE_TEXT_ALONE
    return texts is not None and texts.of_both >= enough and not _related(one.title, other.title)


def _verdict(title: str, people: _Meeting, texts: _Texts | None, *, least: float) -> Verdict:
    authors = f"{people.met} of {people.most} authors"
    if people.unnamed:
        authors = "authors on one side only" if people.most else "no authors"
    words = (title, authors, *(() if texts is None else (f"abstracts {texts.of_shorter:.0%} alike",)))
    share = people.met / people.most if people.most else 0.0
    return Verdict(", ".join(words), round(least + 0.1 * share + (0.09 * texts.of_both if texts else 0.0), 4))


# Titles of two works that belong together.

_ABOUT = re.compile(
    r"\b(?:erratum|errata|corrigend(?:um|a)|corrections?|addendum|addenda|retraction|repl(?:y|ies)|response|comments?|"
    r"commentary|rejoinder|discussion|editorial|review of|withdrawal|supplement(?:ary)?|appendix|companion)\b",
    re.IGNORECASE,
)
_SERIAL = re.compile(
    r"\b(?:part|pt|vol(?:ume)?|chapter|lectures?|book|paper|episode|version|no|number|session|day|phase|section)\b\.?\s*"
    r"([ivxl]+|\d+|one|two|three|four|five|[a-d])\b",
    re.IGNORECASE,
)
_ROMAN = re.compile(r"(?<=[\s.:,(-])(?:[IVX]{2,}|[IVX](?=[\s]*[.:,)]|\s*$))(?![\w-])")
_NUMBERS = re.compile(r"\b(?:[ivx]+|\d+)(?:st|nd|rd|th)?\b", re.IGNORECASE)


def _related(one: str, other: str) -> bool:
    """Say whether one title may be a sequel, another year's issue, or a note about the other."""
    kinds = [sorted({w.casefold() for w in _ABOUT.findall(title)}) for title in (one, other)]
    serials = [sorted({n.casefold() for n in (*_SERIAL.findall(t), *_ROMAN.findall(t))}) for t in (one, other)]
    bare = [title_form(_NUMBERS.sub(" ", title)) for title in (one, other)]
    return kinds[0] != kinds[1] or serials[0] != serials[1] or bare[0] == bare[1]


# Authors.

_SUFFIXES = frozenset(["jr", "sr", "ii", "iii", "iv", "phd", "md", "dr", "prof", "mr", "mrs", "ms"])
_CUT = re.compile(r"[\s,;]*(?:\bet\s+al\b\.?|\b(?:and|&)\s+(?:\d+\s+)?(?:others|more)\b|…|\.\.\.).*", re.IGNORECASE)
_GROUP_EXTRA = re.compile(r"^.*\b(?:on behalf of|for)\b|\bthe\b", re.IGNORECASE)
_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_BETWEEN_NAMES = re.compile(r"\s*;\s*|\s+(?:and|&)\s+|,\s*(?:and|&)\s+")
_WORD = re.compile(r"[^\W\d_]+")
_UMLAUT = re.compile(r"(?<=[aou])e")
_JOINED = dict.fromkeys(map(ord, "'’{}"))
# Most names are two plain words; of what is not a person's name or not plain, none looks like this.
_GROUPS = "Collaborations?|Consorti(?:um|a)|Group|Team|Committee|Project|Network|Investigators"
_PLAIN_NAME = re.compile(rf"(?!(?:The|Dr|Prof|Mrs?|Ms) )[A-Z][a-z]+ (?!(?:{_GROUPS}|Others|Jr|Sr)$)[A-Z][a-z]+")
_GROUP = re.compile(rf"\b(?:{_GROUPS})\b", re.IGNORECASE)
Name = frozenset[str]


@dataclass(frozen=True, slots=True)
class Names:
    """Authors for comparison: each name a set of words and initials, so that their order says nothing."""

    people: frozenset[Name]
    groups: frozenset[str]
    words: frozenset[str]  # of all people, initials left out
    cut: bool  # the list ends in et al.


@lru_cache(maxsize=8_192)
def names_of(authors: tuple[str, ...]) -> Names:
    """Return the names in a list of authors, however many of them stand in one string."""
    people: set[Name] = set()
    groups: set[str] = set()
    cut = False
    for text in authors:
        if _PLAIN_NAME.fullmatch(text):
            people.add(_folded(text.lower().split()))
            continue
        whole = _CUT.sub("", text)
        cut = cut or whole != text
        for name in _apart(whole, alone=len(authors) == 1):
            if _GROUP.search(name):
                groups.add(title_form(_GROUP_EXTRA.sub(" ", name)))
            elif words := _name(name):
                people.add(words)
    told = frozenset(word for name in people for word in name if len(word) > 1)
    return Names(people=frozenset(people), groups=frozenset(groups), words=told, cut=cut)


def _apart(text: str, *, alone: bool) -> list[str]:
    """Split a string into names. `Doe, Jane` is one, `J. Doe, R. Roe` two; `A B, C D` two where it is all there is."""
    names: list[str] = []
    for part in _BETWEEN_NAMES.split(_BRACKETS.sub(" ", text)):
        pieces = [p for p in (piece.strip() for piece in part.split(",")) if p]
        given = pieces[1::2]
        if len(pieces) > 2 and len(pieces) % 2 == 0 and all(_only_initials(p) for p in given):
            names += [f"{family} {first}" for family, first in zip(pieces[::2], given, strict=True)]
        elif len(pieces) > 2 or (len(pieces) == 2 and _two_names(*pieces, alone=alone)):
            names += pieces
        elif pieces:
            names.append(" ".join(reversed(pieces)))
    return names


def _two_names(first: str, second: str, *, alone: bool) -> bool:
    if _GROUP.search(second):
        return True
    several = len(first.split()) > 1 and len(second.split()) > 1 and not _only_initials(second)
    return several and (alone or _only_initials(first.split()[0]))


def _only_initials(text: str) -> bool:
    return all(len(word) == 1 or (word.isupper() and len(word) <= 3) for word in _WORD.findall(text))


def _name(text: str) -> Name:
    words = _WORD.findall(plain_text(text).translate(_JOINED))
    if len(words) > 1 and words[-1].isupper() and 2 <= len(words[-1]) <= 3 and not words[0].isupper():
        words[-1:] = list(words[-1])  # PubMed writes Doe JA
    folded = _WORD.findall(plain_letters(" ".join(words)))
    return _folded([word for word in folded if word not in _SUFFIXES])


def _folded(words: list[str]) -> Name:
    """Müller is Mueller and Muller; so Michael is Michal, on both sides."""
    return frozenset(_UMLAUT.sub("", word) if "e" in word and len(word) > 3 else word for word in words)


def _meeting(one: Names, other: Names) -> _Meeting:
    if one.people and other.people:
        sizes = len(one.people), len(other.people)
        return _Meeting(_met(one, other), min(sizes), max(sizes), cut=one.cut or other.cut, unnamed=False)
    if shared := len(one.groups & other.groups):
        # A collaboration signs alone in one place, with all its members in another.
        return _Meeting(shared, shared, shared, cut=False, unnamed=False)
    most = max(len(side.people) + len(side.groups) for side in (one, other))
    return _Meeting(0, 0, most, cut=False, unnamed=not (one.groups and other.groups))


def _met(one: Names, other: Names) -> int:
    """Count the names of one list that stand in the other too, spelled out or abbreviated."""
    shared = one.words & other.words
    if not shared:
        return 0
    equal = one.people & other.people
    met = len(equal)
    by_word: dict[str, list[Name]] = {}
    for name in other.people - equal:
        for word in name & shared:
            by_word.setdefault(word, []).append(name)
    taken: set[Name] = set()
    for name in one.people - equal:
        words = name & shared
        found = next((t for w in words for t in by_word.get(w, ()) if t not in taken and _compatible(name, t)), None)
        if found is not None:
            taken.add(found)
            met += 1
    return met


def _compatible(one: Name, other: Name) -> bool:
    """Say whether two names that share a whole word may be one person's: what differs are initials and short forms."""
    fewer, more = sorted((one - other, other - one), key=len)
    return all(any(_short_for(word, longer) or _short_for(longer, word) for longer in more) for word in fewer)


def _short_for(short: str, long: str) -> bool:
    return long.startswith(short) and (len(short) == 1 or len(short) >= 3)


# Abstracts.

_PLAIN_WORD = re.compile(r"[a-z0-9]+")
_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # written without spaces: each character counts as a word
_ANY_WORD = re.compile(rf"[{_CJK}]|[a-z0-9]+|[^\W_a-z0-9{_CJK}]+")


def _compare(one: str, other: str) -> _Texts | None:
    """Return how far two abstracts are alike; None where one says too little."""
    if not one or not other:
        return None
    ours = _word_pairs(one)
    theirs = ours if one == other else _word_pairs(other)
    fewest = min(len(ours), len(theirs))
    if fewest < _PAIRS_MIN:
        return None
    common = len(ours & theirs)
    return _Texts(common / fewest, common / (len(ours) + len(theirs) - common))


def _word_pairs(text: str) -> set[tuple[str, str]]:
    if text.isascii():
        return set(pairwise(_PLAIN_WORD.findall(text.lower())))
    return set(pairwise(_ANY_WORD.findall(plain_letters(text))))
