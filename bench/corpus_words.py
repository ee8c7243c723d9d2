"""The words of bench/corpus.py, made of what corpus_words.toml holds: content words, joints, TeX, names, categories."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Units = npt.NDArray[np.int32]

OLD_ARCHIVES = ("hep-th", "astro-ph", "hep-ph", "quant-ph", "gr-qc", "hep-ex", "hep-lat", "nucl-th")
"""Archives whose papers had ids such as hep-th/9901001 and which are categories too."""

_CONTENT = 160_000  # content words and fixed pairs of them
_WORDS = 90_000
_PEOPLE = 400_000
_SURNAMES = 40_000
_SENTENCE_ENDS = 140.0  # their weight against the joints': a sentence in some 14 content words
_TABLE = 1 << 20  # numbers in a draw table


def zipf_table(count: int, *, exponent: float, shift: float) -> Units:
    """A draw table of numbers below `count`: the k-th as often as (k + shift) ** -exponent."""
    return _draw_table(np.power(np.arange(count, dtype=np.float64) + shift, -exponent), _TABLE)


def weighted_table(weights: Sequence[float]) -> Units:
    """A draw table of the numbers 0, 1, … in proportion to the weights."""
    return _draw_table(np.array(weights), 1 << 14)


def _draw_table(weights: npt.NDArray[np.float64], size: int) -> Units:
    edges = np.cumsum(weights)
    return np.searchsorted(edges / edges[-1], (np.arange(size) + 0.5) / size).astype(np.int32)


@cache
def categories() -> tuple[list[str], Units, Units]:
    """Return the categories, and the draw tables of the first years and of the last."""
    found: dict[str, list[float]] = _data()["categories"]
    early, late = zip(*found.values(), strict=True)
    return list(found), weighted_table(early), weighted_table(late)


@cache
def glue() -> tuple[list[str], list[float]]:
    """Return what stands between two content words, sentence ends included, and how often."""
    joints, starts = _data()["text"]["joints"], _data()["text"]["starts"]
    share = _SENTENCE_ENDS / sum(weight for _, weight in starts)
    both = [*joints, *((f". {start}", weight * share) for start, weight in starts)]
    return [text for text, _ in both], [weight for _, weight in both]


@cache
def title_glue() -> tuple[list[str], list[float]]:
    """Return what stands between two content words of a title, and how often."""
    joints = _data()["text"]["title_joints"]
    return [text for text, _ in joints], [weight for _, weight in joints]


def openers() -> list[str]:
    """Return what abstracts begin with."""
    return list(_data()["text"]["openers"])


def accented() -> list[str]:
    """Return words that are not ASCII."""
    return _words("text", "accented")


@cache
def content_units() -> list[str]:
    """Return the content words, most used first; a third of them are pairs."""
    rng = np.random.Generator(np.random.SFC64(20))
    words = _made_words(rng)
    pick = zipf_table(_WORDS, exponent=0.75, shift=10)
    draws = pick[rng.integers(0, len(pick), (_CONTENT, 2))].tolist()
    kinds, numbers = rng.random(_CONTENT).tolist(), rng.integers(1, 1_000, _CONTENT).tolist()
    singles = iter(words * 2)
    units: list[str] = []
    for kind, (a, b), number in zip(kinds, draws, numbers, strict=True):
        if kind < 0.38:
            units.append(f"{words[a]}{'-' if kind < 0.03 else ' '}{words[b]}")
        elif kind < 0.40:
            units.append(str(number) if kind < 0.39 else f"{number / 10:.1f}%")
        else:
            units.append(next(singles))
    return units


def _made_words(rng: np.random.Generator) -> list[str]:
    """Different words, short ones first; each of one to three syllables and most with an English ending."""
    onsets, vowels, codas, endings = (_words("syllables", n) for n in ("onsets", "vowels", "codas", "endings"))
    found: dict[str, None] = {}
    while len(found) < _WORDS:
        rarity = len(found) / _WORDS
        syllables = 1 + int(rng.random() < 0.35 + 0.5 * rarity) + int(rng.random() < 0.5 * rarity)
        word = "".join(
            _pick(rng, onsets) + _pick(rng, vowels) + (_pick(rng, codas) if rng.random() < 0.45 else "")
            for _ in range(syllables)
        )
        found.setdefault(word + (_pick(rng, endings) if rng.random() < 0.7 else ""))
    return list(found)


@cache
def tex_units() -> list[str]:
    """Return pieces of TeX as abstracts carry them."""
    units = (
        shape.replace("<g>", greek).replace("<v>", "nmkpqdxNLT"[i % 10]).replace("<n>", str(1 + i % 9))
        for shape in _data()["tex"]["shapes"]
        for i, greek in enumerate(_words("tex", "greek"))
    )
    return list(dict.fromkeys(units))


@cache
def people() -> list[str]:
    """Return names, each a person; some 3.5 % with an accent, half with a middle initial."""
    rng = np.random.Generator(np.random.SFC64(21))
    names, surnames = _words("names", "first"), _made_surnames(rng)
    first = zipf_table(len(names), exponent=0.6, shift=4)[rng.integers(0, _TABLE, _PEOPLE)].tolist()
    last = zipf_table(len(surnames), exponent=0.75, shift=20)[rng.integers(0, _TABLE, _PEOPLE)].tolist()
    middle = [f" {chr(65 + i)}." if i < 26 else "" for i in range(52)]
    initial = rng.integers(0, len(middle), _PEOPLE).tolist()
    return [f"{names[a]}{middle[m]} {surnames[b]}" for a, b, m in zip(first, last, initial, strict=True)]


def _made_surnames(rng: np.random.Generator) -> list[str]:
    heads, tails, accents = (_words("names", name) for name in ("heads", "tails", "accents"))
    found: dict[str, None] = {}
    while len(found) < _SURNAMES:
        middle = _pick(rng, heads) if rng.random() < 0.4 + len(found) / 80_000 else ""
        accent = _pick(rng, accents) if rng.random() < 0.035 else ""
        found.setdefault((_pick(rng, heads) + middle + accent + _pick(rng, tails)).capitalize())
    return list(found)


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.random() * len(choices))]


def _words(table: str, key: str) -> list[str]:
    text: str = _data()[table][key]
    return text.split()


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("corpus_words.toml").read_text(encoding="utf-8"))
