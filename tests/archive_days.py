"""A fortnight of one archive: papers come, change, are voted for, merged and split, and are compacted in between.

Each step is one commit; what the tables said right after it is kept, to be held against what is said of it later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from flows.decide import decide
from storage.archive import Archive
from storage.catalog import Catalog, refresh_catalog
from storage.compact import compact
from storage.model import Entry
from storage.settings import Settings, Topic
from tests.builders import NOW, an_entry

TOPICS = (Topic(slug="short", title="Short", query="short OR long"),)
TABLES = ("papers", "revisions", "changes", "sightings", "votes", "authors", "aliases", "merges", "sources")
ARXIV, JOURNAL = "arxiv:2606.00001", "doi:10.1038/s42256-026-00001-1"
Rows = dict[str, list[str]]


@dataclass(frozen=True)
class Commit:
    """A commit and all that the tables said right after it."""

    seq: int
    at: datetime
    rows: Rows


def of_arxiv(number: int, **changes: Any) -> Entry:
    """A paper of arXiv."""
    name = f"2606.{number:05d}"
    entry = an_entry(arxiv_id=name, entry_id=f"oai:arXiv.org:{name}v1", title=f"A short paper number {number}")
    return replace(entry, url=f"https://arxiv.org/abs/{name}", **changes)


def of_hugging_face(number: int, upvotes: int) -> Entry:
    """The same paper on a list of the day."""
    return replace(
        of_arxiv(number), source="hf-daily", entry_id=f"2606.{number:05d}", upvotes=upvotes, trending=True,
        version=None, announce_type=None, text_rank=0,
    )  # fmt: skip


def of_journal() -> Entry:
    """A paper with a DOI that nothing joins to one of arXiv by itself."""
    return Entry(
        source="journal:nature",
        entry_id="https://journal.test/1",
        title="What was found in the long run",
        abstract="It was found.",
        authors=("Cy Other",),
        doi=JOURNAL.removeprefix("doi:"),
        text_rank=2,
    )


def steps(archive: Archive, clock: Callable[[], datetime]) -> Iterator[None]:
    """Commit by commit; `clock` says when it is."""

    def say(*entries: Entry) -> None:
        now = clock()
        archive.append(entries, source=entries[0].source, batch_id=now.isoformat(), now=now, decide=decide)

    say(*(of_arxiv(n) for n in range(1, 6)))
    yield
    say(of_hugging_face(1, 3), of_hugging_face(2, 5))
    yield
    say(of_arxiv(1, version=2, title="A much shorter paper number 1", announce_type="replace"), of_arxiv(6))
    yield
    say(of_journal())
    yield
    compact(archive, now=clock())
    say(of_hugging_face(1, 9), of_hugging_face(7, 1))
    yield
    archive.merge(ARXIV, JOURNAL, reason="the same work", now=clock())
    yield
    say(replace(of_journal(), abstract="It was found, and measured.", journal_ref="Nature 1, 2 (2026)"))
    yield
    compact(archive, now=clock(), full=True)
    archive.split(JOURNAL, reason="another one after all", now=clock())
    yield
    say(of_arxiv(3, version=2, abstract="This paper has been withdrawn.", announce_type="replace"))
    yield
    say(of_arxiv(3, version=3, abstract="It is back.", announce_type="replace"), of_arxiv(8))
    yield


def live_through(home: Path) -> list[Commit]:
    """Make the archive in `home`; returns each commit, half a day apart, and leaves papers.duckdb at the last."""
    settings, found = Settings(home=home, topic=TOPICS), list[Commit]()
    now = NOW

    def clock() -> datetime:
        return now

    with Archive(home) as archive:
        for _ in steps(archive, clock):
            refresh_catalog(archive, settings, TOPICS, now=now)
            with Catalog(home) as catalog:
                seq = catalog.latest_seq()
                found.append(Commit(seq=seq, at=now, rows=rows_of(catalog.connection)))
            now += timedelta(hours=12)
    return found


def rows_of(connection: Any) -> Rows:
    """Every row of every table, in an order of its own."""
    return {t: sorted(map(repr, connection.execute(f"SELECT * FROM {t}").fetchall())) for t in TABLES}
