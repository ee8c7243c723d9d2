"""What each source said last, so that a repeat costs one look-up. A cache: what is lost of it is decided again.

It is the largest table that is written with every batch, so its rows are 20 bytes, lie in the order in which a source
gives its entries, and carry their own check: `h` is 43 bits over what was said and 20 over the row.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat

import numpy as np
import numpy.typing as npt

from storage.identity import entry_hash
from storage.model import Entry

_IN_MAX = 500  # values in one IN list
_READ_ROWS = 50_000
_CHECK_BITS = 20  # the low ones of h
_NEAR_BITS = 39  # of k that tell entries apart which lie together
# Entries whose ids differ in the last characters only lie together: 2,000 new rows of an arXiv listing among 3 million
# touch some 10 pages instead of 2,000, and their commit takes 1 ms instead of 40.
_NEAR_CHARACTERS = 5

_Longs = npt.NDArray[np.uint64]


class Seen:
    """The table `seen` of one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # (entry, k, said) of those asked for last, by id(): they are what is recorded next, and hashing costs most.
        self._asked: dict[int, tuple[Entry, int, int]] = {}

    def unsaid(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries that are not exactly what their source said last of them, counts included."""
        said = list(_said(entries))
        self._asked = {id(entry): (entry, k, what) for entry, (k, what) in zip(entries, said, strict=True)}
        known: dict[int, int] = {}
        keys = sorted({k for k, _ in said})
        for start in range(0, len(keys), _IN_MAX):
            chunk = keys[start : start + _IN_MAX]
            marks = ",".join("?" * len(chunk))
            rows = self._connection.execute(f"SELECT k, h >> {_CHECK_BITS} FROM seen WHERE k IN ({marks})", chunk)
            known.update(rows)
        return [entry for entry, (k, what) in zip(entries, said, strict=True) if known.get(k) != what]

    def record(self, entries: Iterable[Entry], *, day: int) -> None:
        """Keep what was said on `day`, in days since 1970."""
        asked, self._asked = self._asked, {}
        found = [asked.get(id(entry)) or (entry, *next(_said([entry]))) for entry in entries]
        k = np.array([k for _, k, _ in found], dtype=np.uint64)
        said = np.array([what for _, _, what in found], dtype=np.uint64)
        h = said << np.uint64(_CHECK_BITS) | _check(k, said, np.full_like(k, day))
        order = np.argsort(k, kind="stable")  # the last of two that share a key stays the last
        rows = zip(k[order].tolist(), h[order].tolist(), repeat(day))
        self._connection.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", rows)

    def forget(self, *, before_day: int) -> None:
        """Drop what was said long ago."""
        self._connection.execute("DELETE FROM seen WHERE day < ?", (before_day,))

    def wrong_rows(self) -> int:
        """How many rows are not what was written, by their own check; 3 million take 2 seconds."""
        wrong, cursor = 0, self._connection.execute("SELECT k, h, day FROM seen")
        while rows := cursor.fetchmany(_READ_ROWS):
            k, h, day = np.array(rows, dtype=np.int64).view(np.uint64).T
            bits = np.uint64(_CHECK_BITS)
            wrong += int(np.count_nonzero(h ^ (h >> bits << bits) != _check(k, h >> bits, day)))
        return wrong


def _said(entries: Iterable[Entry]) -> Iterator[tuple[int, int]]:
    """(k, said) of each entry: which one it is, and 43 bits over all it says, votes included."""
    places: dict[str, int] = {}
    for entry in entries:
        near = f"{entry.source}\x1f{entry.entry_id[:-_NEAR_CHARACTERS]}"
        place = places.get(near)
        if place is None:
            place = places[near] = _bits(near, 63 - _NEAR_BITS) << _NEAR_BITS
        later = (entry.citations, entry.versions) if entry.citations is not None or entry.versions else ()
        counts = (entry.upvotes, entry.comment_count, entry.stars, *later)
        digest = hashlib.blake2b(entry_hash(entry) + repr(counts).encode(), digest_size=8).digest()
        k = place | _bits(f"{entry.source}\x1f{entry.entry_id}", _NEAR_BITS)
        yield k, int.from_bytes(digest, "little") >> (_CHECK_BITS + 1)


def _bits(text: str, bits: int) -> int:
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[8:], "little") >> (64 - bits)


def _check(k: _Longs, said: _Longs, day: _Longs) -> _Longs:
    """20 bits over each row: a wrong one passes once in a million."""
    return _mixed(_mixed(_mixed(day) ^ said) ^ k) >> np.uint64(64 - _CHECK_BITS)


def _mixed(z: _Longs) -> _Longs:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): each bit changes half of the others."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
