"""A made-up run of the wire that is the same every time, and by plain rules what the archive must hold after it.

Step k of a world becomes commit k + 1. Ids overlap; papers are revised, cross-listed, listed with votes, get a DOI
late, and come from a blog without any id. The oracle says what that adds up to without asking the code under test.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from storage.identity import fingerprint
from storage.model import Entry
from tests.builders import NOW

_STRIDE = 4  # papers a step may bring
_STREAM = 20_000  # steps of different worlds never share a paper
Seen = tuple[str, str, str, datetime]
"""(paper_id, source, entry_id, seen_at): one sighting; every one of a world differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one source said at one time."""

    batch_id: str
    source: str
    now: datetime
    entries: tuple[Entry, ...]


@dataclass(slots=True)
class Expected:
    """A paper as the archive must show it."""

    title: str
    abstract: str
    doi: str | None
    rank: int
    version: int


@dataclass(slots=True)
class Oracle:
    """What the archive must hold after some steps."""

    papers: dict[str, Expected] = field(default_factory=dict)
    sightings: list[Seen] = field(default_factory=list)
    _said: dict[tuple[str, str], Entry] = field(default_factory=dict)
    _named: dict[str, str] = field(default_factory=dict)

    def take(self, batch: Batch) -> None:
        """Add what one batch brings."""
        for entry in batch.entries:
            self._take(entry, batch.now)

    def counted(self) -> Counter[Seen]:
        """How often each sighting must be there: once."""
        return Counter(self.sightings)

    def _take(self, entry: Entry, now: datetime) -> None:
        if self._said.get((entry.source, entry.entry_id)) == entry:
            return
        self._said[entry.source, entry.entry_id] = entry
        paper_id = self._paper_id(entry)
        self.sightings.append((paper_id, entry.source, entry.entry_id, now))
        version = entry.version or 0
        paper = self.papers.setdefault(
            paper_id, Expected(entry.title, entry.abstract, entry.doi, entry.text_rank, version)
        )
        paper.doi = paper.doi or entry.doi
        if entry.text_rank >= paper.rank and version >= paper.version:
            paper.title, paper.abstract, paper.rank, paper.version = (
                *(entry.title, entry.abstract, entry.text_rank),
                version,
            )

    def _paper_id(self, entry: Entry) -> str:
        names = [f"arxiv:{entry.arxiv_id}"] if entry.arxiv_id else []
        names += [f"doi:{entry.doi}"] if entry.doi else []
        names = names or [f"fp:{fingerprint(entry)}"]
        paper_id = next((self._named[n] for n in names if n in self._named), names[0])
        for name in names:
            self._named.setdefault(name, paper_id)
        return paper_id


@dataclass(frozen=True, slots=True)
class World:
    """A stream of steps; worlds of different streams share nothing but their sources."""

    stream: int = 0

    def batch(self, step: int) -> Batch:
        """The batch of one step, from 0."""
        make = (self._new_and_replaced, self._cross_listed, self._daily_list, self._journal_and_blog)[step % 4]
        entries = tuple(make(step))
        return Batch(
            batch_id=f"world {self.stream} step {step}",
            source=entries[0].source,
            now=NOW + timedelta(hours=step, minutes=self.stream),
            entries=entries,
        )

    def batches(self, first: int, until: int) -> list[Batch]:
        """The batches of steps [first, until)."""
        return [self.batch(step) for step in range(first, until)]

    def oracle(self, steps: int) -> Oracle:
        """What the archive must hold after the first `steps` steps."""
        oracle = Oracle()
        for batch in self.batches(0, steps):
            oracle.take(batch)
        return oracle

    def _number(self, step: int, place: int) -> int:
        return (self.stream * _STREAM + step) * _STRIDE + place

    def _new_and_replaced(self, step: int) -> Iterator[Entry]:
        """Four new papers; two of the last time in a second version, one with a DOI; the other two as they were."""
        for place in range(_STRIDE):
            yield _arxiv(self._number(step, place))
        for place in range(_STRIDE if step >= 4 else 0):
            yield _arxiv(self._number(step - 4, place), version=2 if place < 2 else 1, with_doi=place == 0)

    def _cross_listed(self, step: int) -> Iterator[Entry]:
        for place in (2, 3):
            yield _arxiv(self._number(step - 1, place), category="cs.CL", announce_type="cross")
        yield _arxiv(self._number(step, 0), category="cs.CL")

    def _daily_list(self, step: int) -> Iterator[Entry]:
        for age in (2, 6, 10):  # the list is read again, each time with more votes
            for place in (0, 3) if step >= age else ():
                yield _listed(self._number(step - age, place), upvotes=step)

    def _journal_and_blog(self, step: int) -> Iterator[Entry]:
        yield _journal(self._number(step, 0), f"10.5555/j.{self._number(step, 0)}")
        if step >= 7:
            yield _journal(self._number(step - 7, 0), f"10.5555/a.{self._number(step - 7, 0)}")
        yield _blog(self._number(step, 1), edition=0)
        if step >= 7:
            yield _blog(self._number(step - 4, 1), edition=1)


def _arxiv(
    number: int, *, version: int = 1, with_doi: bool = False, category: str = "cs.LG", announce_type: str = "new"
) -> Entry:
    arxiv_id = _arxiv_id(number)
    return Entry(
        source=f"arxiv-rss:{category}",
        entry_id=f"oai:arXiv.org:{arxiv_id}v{version}",
        title=_title(number, version),
        abstract=_text(number, version),
        authors=("Ada Example", f"Béla {_word(number)}"),
        categories=("cs.LG", category) if announce_type == "cross" else (category,),
        url=f"https://arxiv.org/abs/{arxiv_id}",
        arxiv_id=arxiv_id,
        version=version,
        doi=f"10.5555/a.{number}" if with_doi else None,
        announce_type="replace" if version > 1 else announce_type,
        text_rank=3,
    )


def _listed(number: int, *, upvotes: int) -> Entry:
    arxiv_id = _arxiv_id(number)
    return Entry(
        source="hf-daily",
        entry_id=arxiv_id,
        title=_title(number, 1),
        abstract=_text(number, 1),
        authors=("Ada Example",),
        arxiv_id=arxiv_id,
        upvotes=upvotes,
        trending=True,
        text_rank=0,
    )


def _journal(number: int, doi: str) -> Entry:
    return Entry(
        source="journal:letters",
        entry_id=doi,
        title=_title(number, 1),
        abstract=_text(number, 3),
        authors=("Ada Example",),
        url=f"https://letters.example/{doi}",
        doi=doi,
        text_rank=2,
    )


def _blog(number: int, *, edition: int) -> Entry:
    return Entry(
        source="journal:letters",
        entry_id=f"https://blog.example/{number}",
        title=f"Notes on {_word(number)} {number}",
        abstract=_text(number, edition),
        authors=("Cem Misal",),
        url=f"https://blog.example/{number}",
    )


def _arxiv_id(number: int) -> str:
    return f"{2001 + number // 90_000}.{number % 90_000 + 10_000:05d}"


def _title(number: int, version: int) -> str:
    return f"On the {_word(number)} Learning of {_word(number + 7)} {number}" + (" Revised" if version == 2 else "")


def _word(number: int) -> str:
    return hashlib.sha256(f"{number}".encode()).hexdigest()[:9].translate(str.maketrans("0123456789", "ghijklmnop"))


def _text(number: int, edition: int) -> str:
    """Some 600 characters that no other paper and no other edition has."""
    return " ".join([f"Edition {edition} of {number}.", *(_word(number * 100 + edition * 40 + i) for i in range(60))])
