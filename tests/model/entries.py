"""Entries that overlap in every way the archive knows: versions, cross-lists, late DOIs, votes, twins, shared titles.

Each is made of a few small numbers, so that a random generator, seeded or shrinking, decides all of it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pyarrow as pa

from storage.bulk_rows import COLUMNS
from storage.model import Entry

BULK = "arxiv-bulk"
_WORKS = 40
_CATEGORIES = ("cs.LG", "cs.CL", "stat.ML", "math.PR")
_EDITIONS_MAX = 12  # without a version number; after more changes a feed is believed no longer
_JOURNAL, _BLOG, _TWIN = 1_000, 2_000, 3_000  # works of their own begin there


@dataclass
class Wire:
    """What the sources have got to; one entry after the other comes from it."""

    editions: dict[str, int] = field(default_factory=dict)

    def batch(self, rng: Random) -> list[Entry]:
        """What one source says at one time, at times something twice."""
        make = rng.choice((self.arxiv, self.arxiv, self.arxiv, self.listed, self.journal, self.blog))
        entries = [make(rng) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        if rng.random() < 0.05:
            entries.append(_blank())
        return entries + ([rng.choice(entries)] if rng.random() < 0.05 else [])

    def table(self, rng: Random) -> list[Entry]:
        """What a bulk file holds; every DOI in it belongs to one of its papers."""
        arxiv = [self.arxiv(rng, source=BULK, strays=False) for _ in range(rng.randint(1, 8))]
        return arxiv + [self.journal(rng, source=BULK) for _ in range(rng.randint(0, 2))]

    def arxiv(self, rng: Random, source: str = "", strays: bool = True) -> Entry:
        """A paper on its own server: a new version, a known one, an old one; in one more category, with a DOI."""
        work = rng.randrange(_WORKS)
        version = self._edition(f"arxiv {work}", rng, 0.3)
        version = version - 1 if version > 1 and rng.random() < 0.1 else version
        category = rng.choice(_CATEGORIES)
        owner = rng.randrange(_WORKS) if strays and rng.random() < 0.1 else work
        return _entry(
            work,
            version,
            source=source or f"arxiv-rss:{category}",
            entry_id=f"oai:arXiv.org:2606.{work:05d}v{version}",
            arxiv_id=f"2606.{work:05d}",
            version=version,
            categories=(_CATEGORIES[work % 4],) if category == _CATEGORIES[work % 4] else (category, "cs.AI"),
            doi=_doi(owner) if rng.random() < 0.2 else None,
            announce_type="cross" if rng.random() < 0.2 else "new",
            text_rank=3,
        )

    def listed(self, rng: Random) -> Entry:
        """A curated list names an arXiv paper and counts votes."""
        work = rng.randrange(_WORKS)
        votes, entry_id = rng.randrange(4), f"2606.{work:05d}"
        return _entry(
            work, 1, source="hf-daily", entry_id=entry_id, arxiv_id=entry_id, upvotes=votes, trending=True, text_rank=0
        )

    def journal(self, rng: Random, source: str = "journal:letters") -> Entry:
        """A paper with a DOI alone; half of them look like the preprint, the others only an id can join."""
        work = rng.randrange(_WORKS)
        edition = self._edition(f"journal {work}", rng, 0.1)
        text = work if work % 2 else _JOURNAL + work
        return _entry(
            text, edition, source=source, entry_id=_doi(work), doi=_doi(work), text_rank=3 if source == BULK else 2
        )

    def blog(self, rng: Random) -> Entry:
        """One of two blogs on a paper, without any id; some on a work of their own, some under another's title."""
        work, source = rng.randrange(_WORKS), rng.choice(("blog:a", "blog:b"))
        edition = self._edition(f"blog {work}", rng, 0.1)
        kind = rng.choice((0, _BLOG, _TWIN))
        titled = work if kind == _TWIN else None
        return _entry(
            work + kind, edition, titled=titled, source=source, entry_id=f"https://{source[5:]}.example/{kind + work}"
        )

    def _edition(self, name: str, rng: Random, chance: float) -> int:
        known = self.editions.setdefault(name, 1)
        if rng.random() < chance and known < _EDITIONS_MAX:
            self.editions[name] = known + 1
        return self.editions[name]


def table_of(entries: list[Entry]) -> pa.Table:
    """Entries as a table for a bulk load."""
    kinds = {"categories": pa.list_(pa.string()), "authors": pa.list_(pa.string()), "version": pa.int32()}
    names = ("entry_id", "title", "abstract", "authors", "categories", "arxiv_id", "doi", "version")
    assert set(names) <= set(COLUMNS)
    return pa.table({n: pa.array([_plain(getattr(e, n)) for e in entries], kinds.get(n, pa.string())) for n in names})


def word(number: int) -> str:
    """A word of nine letters that belongs to a number."""
    return hashlib.sha256(f"{number}".encode()).hexdigest()[:9].translate(str.maketrans("0123456789", "ghijklmnop"))


def _entry(work: int, edition: int, *, titled: int | None = None, **more: Any) -> Entry:
    """An entry about a work; its text changes a little with each edition, its authors are its own."""
    named = work if titled is None else titled
    subject = " ".join(word(named * 10 + i) for i in range(4))
    text = " ".join(word(work * 100 + i) for i in range(40))
    return Entry(
        title=f"On {subject}" + (f", after {word(edition)}" if edition % 3 == 0 else ""),
        abstract=f"{text} {word(edition)}.",
        authors=(f"Ada {word(work).title()}", f"Béla {word(work + 7_000).title()}"),
        **more,
    )


def _blank() -> Entry:
    return Entry(source="blog:a", entry_id="https://a.example/blank", title=" ")


def _doi(number: int) -> str:
    return f"10.5555/j.{number}"


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
