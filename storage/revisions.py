"""What changed between two states of a paper, field by field and word by word. Pure.

Counts, votes and links to the same thing are no revisions; neither is text that only breaks its lines elsewhere.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, TypeAlias

from storage.model import Paper

Value: TypeAlias = str | int | bool | tuple[str, ...] | None
"""What a field may hold: text, a number, yes or no, a list of names, or nothing."""

_READ: dict[str, Callable[[Paper], Value]] = {
    "version": lambda paper: paper.version,
    "title": lambda paper: paper.title,
    "abstract": lambda paper: paper.abstract,
    "authors": lambda paper: paper.authors,
    "categories": lambda paper: paper.categories,
    "doi": lambda paper: paper.doi,
    "journal_ref": lambda paper: paper.journal_ref,
    "withdrawn": lambda paper: paper.withdrawn,
    "code": lambda paper: paper.code_url,
    "merged_into": lambda paper: paper.merged_into,
}
FIELDS = tuple(_READ)
"""The fields whose change is a revision, in the order they are told."""

# Scripts that put no space between words: each character is a word of its own.
_UNSPACED = "\u2e80-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\ua4cf\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
# Math is one word with whatever touches it. A dollar opens it before a character and closes it behind one and before
# no digit, as pandoc reads it: `$5 and $10` is money. A longer stretch is an unbalanced dollar.
_MATH = (
    r"\$\$[^$]{1,500}+\$\$|\$(?!\s)(?:\\\S|[^$\\]){1,500}+(?<!\s)\$(?!\d)"
    r"|\\\((?:\\[^()]|[^\\]){0,500}+\\\)|\\\[(?:\\[^\[\]]|[^\\]){0,500}+\\\]"
)
_WORD = re.compile(rf"\s*(?:(?:{_MATH}|\\\S|[^\s{_UNSPACED}])++|[{_UNSPACED}])\s*|\s+")
_ISLAND_WORDS = 2  # equal words between two changes that read better as part of the change
_CELLS_AT_ONCE = 1 << 25  # bits kept while two stretches of words are compared: 4 MB
_CELLS_MAX = 1 << 30  # words before × words after; 64 KB of one-letter words are below it, and take a second


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one field."""

    field: str  # one of FIELDS
    before: Value
    after: Value


@dataclass(frozen=True, slots=True)
class DiffPart:
    """A run of words. The `before` of all parts, joined, is the old text to the byte, and the `after` the new one.

    The two of an equal part differ in whitespace at most; a deleted part has no `after`, an inserted one no `before`.
    """

    kind: Literal["equal", "delete", "insert"]
    before: str
    after: str

    @property
    def text(self) -> str:
        """What to show: of two equal runs the one with more whitespace, so that what follows stands apart."""
        return max(self.after, self.before, key=len)


@dataclass(frozen=True, slots=True)
class ListDiff:
    """What became of a list of names."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    moved: tuple[str, ...]  # in both, but in another order among those that are


@dataclass(frozen=True, slots=True)
class Block:
    """Stretches of two sequences, `old[i:j]` and `new[k:l]`, that are equal or of which one took the other's place."""

    equal: bool
    old: slice
    new: slice


def changes_between(before: Paper | None, after: Paper) -> tuple[Change, ...]:
    """Return what is different in `after`; nothing where it is not known what was before."""
    if before is None:
        return ()
    pairs = ((field, read(before), read(after)) for field, read in _READ.items())
    changed = ((field, old, new) for field, old, new in pairs if old != new)
    return tuple(Change(field, old, new) for field, old, new in changed if _told(field, old) != _told(field, new))


def word_diff(before: str, after: str) -> tuple[DiffPart, ...]:
    """Return how `before` became `after`, in words; math is not torn.

    The work is bounded: the longest common subsequence in at most 2³⁰ bit operations, and texts longer than that
    are one deletion and one insertion.
    """
    old, new = words(before), words(after)
    parts: list[DiffPart] = []
    for block in _joined(blocks(list(map(_fold, old)), list(map(_fold, new)))):
        gone, come = "".join(old[block.old]), "".join(new[block.new])
        if block.equal:
            parts.append(DiffPart("equal", gone, come))
            continue
        parts += [DiffPart("delete", gone, "")] if gone else []
        parts += [DiffPart("insert", "", come)] if come else []
    return tuple(parts)


def list_diff(before: Sequence[str], after: Sequence[str]) -> ListDiff:
    """Return which names came, went and changed places; whitespace within a name does not count."""
    old, new = list(map(_fold, before)), list(map(_fold, after))
    gone, come = Counter(old) - Counter(new), Counter(new) - Counter(old)
    rest = come.copy()
    unplaced = [name for block in blocks(old, new) if not block.equal for name in new[block.new]]
    moved = [name for name in unplaced if not _taken(rest, name)]
    return ListDiff(tuple(come.elements()), tuple(gone.elements()), tuple(moved))


def words(text: str) -> list[str]:
    """Return the words of `text` with the whitespace around them; joined, they are `text`."""
    return _WORD.findall(text)


def blocks(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[Block]:
    """Return `old` and `new` as alternating equal and different stretches, with as much equal as can be."""
    found: list[Block] = []
    i = j = 0
    for k, m in [*_matches(old, new, 0, 0), (len(old), len(new))]:
        if k > i or m > j:
            found.append(Block(False, slice(i, k), slice(j, m)))
        if k == len(old):
            break
        if found and found[-1].equal:
            found[-1] = Block(True, slice(found[-1].old.start, k + 1), slice(found[-1].new.start, m + 1))
        else:
            found.append(Block(True, slice(k, k + 1), slice(m, m + 1)))
        i, j = k + 1, m + 1
    return found


def _told(field: str, value: Value) -> Value:
    """What two values must differ in for a reader to be told: not in spaces, nor in a first version's number."""
    if field == "version":
        return value or 1
    if isinstance(value, tuple):
        return tuple(map(_fold, value))
    return _fold(value) if isinstance(value, str) else value


def _fold(text: str) -> str:
    return " ".join(text.split())


def _taken(rest: Counter[str], name: str) -> bool:
    """Take one `name` out of `rest` where there is one."""
    if rest[name] <= 0:
        return False
    rest[name] -= 1
    return True


def _joined(found: Sequence[Block]) -> list[Block]:
    """Make small islands between two changes part of them: `the old a new` reads better as one change."""
    joined: list[Block] = []
    for number, block in enumerate(found):
        island = 0 < number < len(found) - 1 and block.old.stop - block.old.start <= _ISLAND_WORDS
        equal = block.equal and not island
        if joined and not equal and not joined[-1].equal:
            start = joined.pop()
            block = Block(False, slice(start.old.start, block.old.stop), slice(start.new.start, block.new.stop))
        joined.append(Block(equal, block.old, block.new))
    return joined


# The longest common subsequence, each row of its table one integer (Hyyrö 2004, Bit-parallel LCS-length computation).


def _matches(old: Sequence[Hashable], new: Sequence[Hashable], i: int, j: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs of equal places, in order, shifted by (i, j)."""
    short = min(len(old), len(new))
    head = next((n for n in range(short) if old[n] != new[n]), short)
    tail = next((n for n in range(short - head) if old[-1 - n] != new[-1 - n]), short - head)
    yield from ((i + n, j + n) for n in range(head))
    inner_old, inner_new = old[head : len(old) - tail], new[head : len(new) - tail]
    cells = len(inner_old) * len(inner_new)
    if 0 < cells <= _CELLS_AT_ONCE or len(inner_old) == 1:
        yield from ((i + head + k, j + head + m) for k, m in _pairs(inner_old, inner_new))
    elif 0 < cells <= _CELLS_MAX:
        half = len(inner_old) // 2
        cut = _cut(inner_old, inner_new, half)
        yield from _matches(inner_old[:half], inner_new[:cut], i + head, j + head)
        yield from _matches(inner_old[half:], inner_new[cut:], i + head + half, j + head + cut)
    yield from ((i + len(old) - n, j + len(new) - n) for n in range(tail, 0, -1))


def _pairs(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Return the equal places, found by going back through the rows from their end."""
    rows = list(_rows(old, new))
    found: list[tuple[int, int]] = []
    k, m = len(old) - 1, len(new) - 1
    while k >= 0 and m >= 0:
        if rows[k] >> m & 1:
            m -= 1
        elif k and not rows[k - 1] >> m & 1:
            k -= 1
        else:
            found.append((k, m))
            k, m = k - 1, m - 1
    return found[::-1]


def _rows(old: Sequence[Hashable], new: Sequence[Hashable]) -> Iterator[int]:
    """Yield for each beginning of `old` where the subsequence grows along `new`: at each bit that is 0."""
    places: dict[Hashable, int] = {}
    for m, word in enumerate(new):
        places[word] = places.get(word, 0) | 1 << m
    full = (1 << len(new)) - 1
    row = full
    for word in old:
        here = row & places.get(word, 0)
        row = ((row + here) | (row - here)) & full
        yield row


def _cut(old: Sequence[Hashable], new: Sequence[Hashable], half: int) -> int:
    """Return where `new` is to be cut when `old` is cut in half, so that nothing is lost (Hirschberg 1975)."""
    first = _lengths(old[:half], new)
    second = _lengths(old[half:][::-1], new[::-1])
    sums = [a + b for a, b in zip(first, reversed(second), strict=True)]
    return sums.index(max(sums))


def _lengths(old: Sequence[Hashable], new: Sequence[Hashable]) -> list[int]:
    """Return the length of the longest common subsequence of `old` with each beginning of `new`."""
    row = (1 << len(new)) - 1
    for row in _rows(old, new):  # noqa: B007 - the last one is wanted
        pass
    bits = format(row, f"0{len(new)}b")[::-1]
    return list(accumulate((bit == "0" for bit in bits), initial=0))
