"""One reader led through the fifteen mornings: what was published, what it holds, what it showed as unread again."""

from __future__ import annotations

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.readers.driver import Driver, Held, Shown
from tests.readers.elfeed import Elfeed
from tests.readers.liferea import Liferea
from tests.readers.morning import mornings
from tests.readers.newsboat import Newsboat
from tests.readers.replayed import MAIN, OF_TOPIC, REVISIONS, REVISIONS_OF_TOPIC, Replayed
from tests.readers.rss2email import Rss2Email
from tests.readers.sfeed import Sfeed, SfeedById

_AT_ONCE = 3  # readers wait for their server and their disk now and then


@dataclass(frozen=True)
class Reading:
    """A reader, the format it takes and how often it polls."""

    driver: type[Driver]
    extension: str
    every_days: int = 1
    feeds: tuple[str, ...] = (MAIN, OF_TOPIC, REVISIONS)

    def __str__(self) -> str:
        return f"{self.driver.name}, {self.extension}, every {self.every_days}"

    @property
    def missing(self) -> tuple[str, ...]:
        """The Debian packages without which it cannot be driven here."""
        pairs = (pair.split(":") for pair in self.driver.needs)
        return tuple(package for program, package in pairs if not _installed(program))


@dataclass(frozen=True)
class Feed:
    """What one feed published over all mornings and what the reader's own store has of it."""

    published: int
    held: int  # different ids
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    foreign: tuple[str, ...]  # held and never published


@dataclass(frozen=True)
class Followed:
    """The end of fifteen mornings."""

    reading: Reading
    version: str
    feeds: dict[str, Feed]
    again: tuple[str, ...]  # shown as unread although it had been read
    silent: tuple[str, ...]  # new, and never shown as unread
    polls: int
    unchanged: int  # answers that were 304
    answered: int
    shown: dict[str, Shown]


def _installed(program: str) -> bool:
    """Whether a program is on the path, or something at a place with a `*` in it."""
    return bool(any(Path("/").glob(program.lstrip("/"))) if program.startswith("/") else shutil.which(program))


def follow(reading: Reading, replayed: Replayed, folder: Path) -> Followed:
    """Let a reader poll morning after morning; the user reads everything after each."""
    polls, again, silent, known = 0, list[str](), list[str](), set[tuple[str, str]]()
    with mornings(folder) as site:
        urls = {stem: f"{site.url}{stem}.{reading.extension}" for stem in reading.feeds}
        driver = reading.driver(folder / "reader", urls)
        try:
            for number, morning in enumerate(replayed.folders, start=1):
                if number % reading.every_days:
                    continue
                site.show(morning)
                driver.poll()
                polls += 1
                unread, held = _pairs(driver.unread()), _pairs(driver.held())
                if driver.one_copy:  # under whichever feed it came first, which may be another one later
                    unread, held = {("", i) for _, i in unread}, {("", i) for _, i in held}
                again += [entry_id for _, entry_id in unread & known]
                silent += [entry_id for _, entry_id in held - known - unread]
                known |= held
                driver.mark_read()
            last = driver.held()
            shown = {i: s for feed in (*reading.feeds[1:], reading.feeds[0]) for i, s in driver.shown(feed).items()}
        finally:
            driver.close()
    feeds = {stem: _feed(last, stem, replayed, one_copy=driver.one_copy) for stem in reading.feeds}
    return Followed(
        reading=reading,
        version=driver.version(),
        feeds=feeds,
        again=tuple(sorted(again)),
        silent=tuple(sorted(silent)),
        polls=polls,
        unchanged=site.statuses[304],
        answered=site.statuses.total(),
        shown=shown,
    )


def _pairs(held: Held) -> set[tuple[str, str]]:
    return {(feed, entry_id) for feed, ids in held.items() for entry_id in ids}


def _feed(held: Held, stem: str, replayed: Replayed, *, one_copy: bool) -> Feed:
    """Hold a feed against what it published; where a reader keeps one copy, papers may lie under either feed."""
    published = replayed.published(stem).keys()
    beside = {MAIN: OF_TOPIC, OF_TOPIC: MAIN}.get(stem) if one_copy else None
    ids = Counter([*held[stem], *(held[beside] if beside else ())])
    known = published | (replayed.published(beside).keys() if beside else set())
    return Feed(
        published=len(published),
        held=len(published & ids.keys()),
        lost=tuple(sorted(published - ids.keys())),
        doubled=tuple(sorted(i for i, n in ids.items() if n > 1 and i in published)),
        foreign=tuple(sorted(ids.keys() - known)),
    )


def follow_all(replayed: Replayed, folder: Path) -> tuple[list[Followed], list[str]]:
    """Follow every reader that is installed, some at a time; returns what came of each, and a line for each absent."""
    every = readings()
    here = [reading for reading in every if not reading.missing]
    absent = [f"{r}: {' and '.join(r.missing)} not installed" for r in every if r.missing]
    folders = [folder / str(n) for n in range(len(here))]
    for one in folders:
        one.mkdir(parents=True)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(follow, here, [replayed] * len(here), folders)), absent


def readings() -> tuple[Reading, ...]:
    """Every reader in every format that is driven, and some that poll less often."""
    from tests.readers.reader_library import ReaderLibrary  # asks for a package of the development group

    return (
        Reading(Newsboat, "atom"),
        Reading(Newsboat, "rss"),
        Reading(Newsboat, "atom", 3),
        Reading(Sfeed, "atom"),
        Reading(SfeedById, "rss"),
        Reading(Rss2Email, "atom", feeds=(OF_TOPIC, REVISIONS_OF_TOPIC)),
        Reading(Liferea, "atom"),
        Reading(ReaderLibrary, "atom"),
        Reading(ReaderLibrary, "json"),
        Reading(ReaderLibrary, "rss", 3),
        Reading(Elfeed, "atom"),
        Reading(Elfeed, "rss", 3),
    )
