"""A made-up run of the wire that is the same every time, and by plain rules what the archive must hold after it.

Step k of a world becomes commit k + 1. Ids overlap; papers are revised, cross-listed, listed with votes, get a DOI
late, come from a blog without any id, come in bulk, are merged and split by hand. The oracle says what that adds up to
without asking the code under test.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from storage.identity import fingerprint
from storage.model import Entry
from tests.builders import NOW

_STRIDE = 4  # papers a step may bring
_BULK = 60  # papers a backfill brings
_FAR = 500_000  # they are numbered from here
_ROUND = 16
_STREAM = 1_000  # steps of different worlds never share a paper
Seen = tuple[str, str, str, datetime]
"""(paper_id, source, entry_id, seen_at): one sighting; every one of a world differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one source said at one time; in `bulk`, as one table of a backfill."""

    batch_id: str
    source: str
    now: datetime
    entries: tuple[Entry, ...]
    bulk: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Two papers made one by hand; with `undo`, made two again."""

    kept: str
    other: str
    now: datetime
    undo: bool = False


Step = Batch | Merge


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

    papers: dict[str, Expected] = field(default_factory=dict)  # those that are shown
    merged: dict[str, tuple[str, Expected]] = field(default_factory=dict)  # those that are not, with who took them in
    sightings: list[Seen] = field(default_factory=list)
    _said: dict[tuple[str, str], Entry] = field(default_factory=dict)
    _named: dict[str, str] = field(default_factory=dict)

    def take(self, step: Step) -> None:
        """Add what one step brings."""
        if isinstance(step, Batch):
            for entry in step.entries:
                self._take(entry, step.now)
        elif step.undo:
            self.papers[step.other] = self.merged.pop(step.other)[1]
        else:
            self.merged[step.other] = (step.kept, self.papers.pop(step.other))

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
    """A stream of steps; worlds of different streams share nothing but their sources.

    Of each 16 steps one merges two papers, one loads a backfill and, every other time, one splits the two again;
    a `plain` world has batches only, so that two writers can go through it at once.
    """

    stream: int = 0
    plain: bool = False

    def step(self, number: int) -> Step:
        """One step, from 0."""
        now = NOW + timedelta(hours=number, minutes=self.stream)
        part = number % _ROUND
        if not self.plain and (part == 12 or (part == 14 and number % (2 * _ROUND) == part)):
            first = number - part
            blog = fingerprint(_blog(self._number(first + 3, 1), edition=0))
            kept = f"arxiv:{_arxiv_id(self._number(first, 2))}"
            return Merge(kept=kept, other=f"fp:{blog}", now=now, undo=part == 14)
        bulk = not self.plain and part == 13
        makers = (self._new_and_replaced, self._cross_listed, self._daily_list, self._journal_and_blog)
        entries = tuple(self._backfill(number) if bulk else makers[number % 4](number))
        return Batch(
            batch_id=f"world {self.stream} step {number}",
            source=entries[0].source,
            now=now,
            entries=entries,
            bulk=bulk,
        )

    def steps(self, first: int, until: int) -> list[Step]:
        """The steps [first, until)."""
        return [self.step(number) for number in range(first, until)]

    def oracle(self, steps: int) -> Oracle:
        """What the archive must hold after the first `steps` steps."""
        oracle = Oracle()
        for step in self.steps(0, steps):
            oracle.take(step)
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

    def _backfill(self, step: int) -> Iterator[Entry]:
        for place in range(_BULK):
            yield replace(_arxiv(_FAR + self._number(step, 0) * _BULK + place), source="arxiv-bulk", announce_type=None)

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
