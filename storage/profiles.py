"""What `like:` looks for: the words that tell some papers from all others, each with a weight, and how much is enough.

A profile is made of the seeds and of how often words stand in abstracts at large (abstract_words.txt: figures that ship
with Paperwire), so it does not move as the archive grows. A score is a sum of whole numbers over words that stand in a
text, so that SQL and Python come to the same. How well it finds is measured by bench/likes.py.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from storage.search_text import singular

WORDS_MAX = 40  # of a profile: more find no more and cost more
_OF = 100_000  # abstracts that the figures are given for
_RAREST = 35  # of these; rarer words are as telling as this one, or they are names and slips
_WEIGHT_MAX = 1_000
# How far above what unrelated words would make a paper must stand, in standard deviations. Chosen so that of 57,000
# arXiv papers about 0.8 % are like a single one, and about 1 % like a list of 5 to 150.
_DEVIATIONS, _DEVIATIONS_PER_LOG, _SEEDS_COUNTED = 6.0, 0.4, 150
_SHARE_MAX = 0.6  # of all that can be scored without the title: a seed of few words must be able to find something
_FILES = (".bib", ".ris")
_IDS = ("arxiv:", "doi:", "openreview:", "pmid:", "http://", "https://")


class Seed(NamedTuple):
    """What a profile is made of: the normal text of a paper, or of a reference, whose abstract may be unknown."""

    title: str
    abstract: str = ""


class Word(NamedTuple):
    """A word of a profile."""

    needles: tuple[str, ...]  # how it may stand in normal text, as the seeds have it first: " models ", " model "
    weight: int  # what it counts in the abstract or title; where the title has it, twice


@dataclass(frozen=True, slots=True)
class Profile:
    """Words, heaviest first. A paper is like the seeds where its score is at least `least`, which is above 0.

    Without words nothing is like them.
    """

    words: tuple[Word, ...] = ()
    least: int = 1

    @property
    def needles(self) -> frozenset[str]:
        """How its words may stand in normal text."""
        return frozenset(needle for word in self.words for needle in word.needles)

    @property
    def opening(self) -> tuple[Word, ...]:
        """The heaviest words, of which a paper must have one: all others together are not enough."""
        rest = 2 * sum(word.weight for word in self.words)
        for count, word in enumerate(self.words):
            if rest < self.least:
                return self.words[:count]
            rest -= 2 * word.weight
        return self.words

    def counted(self, title: Collection[str], abstract: Collection[str]) -> list[tuple[int, str]]:
        """What each word counts that stands in a title or abstract (given as needles), most first; as it stands there.

        Empty where all together are not enough.
        """
        found = []
        for needles, weight in self.words:
            if standing := next((n for n in needles if n in title), None):
                found.append((2 * weight, standing.strip()))
            elif standing := next((n for n in needles if n in abstract), None):
                found.append((weight, standing.strip()))
        return sorted(found, key=_count, reverse=True) if sum(map(_count, found)) >= self.least else []


def is_file(seed: str) -> bool:
    """Say whether a seed names a file of references; all else is an id."""
    return seed.lower().endswith(_FILES) and not seed.lower().startswith(_IDS)


def profile_of_seeds(seeds: Sequence[Seed]) -> Profile:
    """Return what tells `seeds` from other papers; a profile without words where they have none that does.

    Each seed counts the same, however long it is: its words weigh (1 + ln times) x ln(1 / how often abstracts have
    them), and together 1 as a vector. `least` is the mean and so many deviations of what the score of a paper would be
    whose words stood independently of each other.
    """
    weights, spelled = _weighed(seeds)
    heaviest = sorted(weights, key=lambda word: (-weights[word], word))[:WORDS_MAX]
    if not heaviest:
        return Profile()
    scale = _WEIGHT_MAX / weights[heaviest[0]]
    whole = {word: max(1, round(weights[word] * scale)) for word in heaviest}
    words = tuple(Word(_needles(word, spelled[word]), whole[word]) for word in heaviest)
    return Profile(words, _least(whole, len(seeds)))


def _count(one: tuple[int, str]) -> int:
    return one[0]


def _weighed(seeds: Sequence[Seed]) -> tuple[dict[str, float], dict[str, Counter[str]]]:
    """The weight of each word in the singular, and how often the seeds spell it how."""
    weights, spelled = dict[str, float](), dict[str, Counter[str]]()
    for seed in seeds:
        names = [name for name in f"{seed.title} {seed.abstract}".split() if _tells(name)]
        words = singular(names)
        times = Counter(words)
        for word, name in zip(words, names, strict=True):
            spelled.setdefault(word, Counter())[name] += 1
        own = {word: (1 + math.log(count)) * math.log(_OF / _commonness(word)) for word, count in times.items()}
        length = math.sqrt(math.fsum(weight**2 for weight in own.values()))
        for word, weight in own.items() if length else ():
            weights[word] = weights.get(word, 0.0) + weight / length
    return weights, spelled


def _tells(name: str) -> bool:
    return len(name) > 1 and not name.isdecimal()


def _least(weights: dict[str, int], seeds: int) -> int:
    shares = {word: _commonness(word) / _OF for word in weights}
    mean = math.fsum(weight * shares[word] for word, weight in weights.items())
    variance = math.fsum(weight**2 * shares[word] * (1 - shares[word]) for word, weight in weights.items())
    deviations = _DEVIATIONS + _DEVIATIONS_PER_LOG * math.log(min(seeds, _SEEDS_COUNTED))
    most = _SHARE_MAX * sum(weights.values())
    return max(1, round(min(most, mean + deviations * math.sqrt(variance))))


def _needles(word: str, spelled: Counter[str]) -> tuple[str, ...]:
    """How a word and its plurals may stand in a text: as the seeds have them, most often first, then all others."""
    ours = sorted(spelled, key=lambda name: (-spelled[name], name))
    others = [name for name in _spellings(word) if singular([name]) == [word]]
    return tuple(f" {name} " for name in dict.fromkeys((*ours, *others)))


def _spellings(word: str) -> Iterable[str]:
    """What may be the singular or plural of a word that storage/search_text.py has in one form: analysi, matrix."""
    if not (word.isascii() and word.isalpha()):
        return (word,)
    if word.endswith(("x", "z", "ch", "sh", "ss")):
        return word, f"{word}es", f"{word[:-2]}ices"
    if word[-1] == "y" and word[-2] not in "aeiou":
        return word, f"{word[:-1]}ies"
    return word, f"{word}s", f"{word[:-1]}es", f"{word[:-1]}i", f"{word[:-2]}a"


def _commonness(word: str) -> int:
    """In how many of 100,000 abstracts a word stands."""
    return _figures().get(word, _RAREST)


@cache
def _figures() -> dict[str, int]:
    """How many of 100,000 abstracts have a word in the singular; all that have it are not more than those."""
    lines = files("storage").joinpath("abstract_words.txt").read_text(encoding="utf-8").splitlines()
    return {word: int(count) for word, _, count in (line.partition(" ") for line in lines if line[:1] != "#")}
