"""The machine: an archive and its model side by side, one random step after the other, compared as they go."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, timedelta
from pathlib import Path
from random import Random
from typing import Any

import duckdb

from storage.archive import Archive
from storage.catalog import Catalog, catalog_path
from storage.model import Paper
from storage.settings import Settings
from storage.tables import read_rows
from storage.verify import verify
from storage.views import Shape, write_views
from tests.builders import NOW
from tests.model.entries import Wire
from tests.model.model import Model
from tests.model.operations import OPERATIONS, Killer

_MINUTES = timedelta(minutes=17)
_DAY = timedelta(hours=25)
_TABLES = ("keys", "stale", "merged", "segments", "outbox", "files")


class Machine:
    """Steps over one home. Each draws what it needs from the generator it is given and leaves both sides equal."""

    def __init__(self, home: Path, killer: Killer) -> None:
        self.home, self.killer, self.now = home, killer, NOW
        self.archive, self.model, self.wire = Archive(home), Model(), Wire()
        self.done: Counter[str] = Counter()
        self._number = 0
        self._last: dict[str, Any] = {}

    # Steps that add ----------------------------------------------------------------------------------------------

    def append(self, rng: Random) -> None:
        """A source says something; at times the batch of before comes again, with other entries in it."""
        again = self._last and rng.random() < 0.05
        batch_id = self._last["batch_id"] if again else self._next("batch")
        self._last = {"batch_id": batch_id, "entries": self.wire.batch(rng), "now": self._tick()}
        expected = self.model.append(**self._last)
        written = self._do(rng, "append", **self._last)
        assert written in (expected, "killed"), f"{written} papers written, {expected} expected"
        self._compare(p for p in self.model.papers if self.model.papers[p]["first_seen_at"] == self.now)

    def bulk(self, rng: Random) -> None:
        """A file is loaded, which takes as many commits as it likes; killed on the way, it is loaded again."""
        arguments = {"load_id": self._next("load"), "entries": self.wire.table(rng), "now": self._tick()}
        before = self.archive.index.latest_seq()
        if self.model.append(arguments["load_id"], arguments["entries"], self.now, quiet=True) is not None:
            self.model.past.pop()
        if self._do(rng, "bulk", **arguments) == "killed":
            OPERATIONS["bulk"](self.archive, **arguments)
        commits = self.archive.index.latest_seq() - before
        self.model.past += [*[None] * (commits - 1), self.model.live()][: max(0, commits)]
        self._forget_said()
        self._compare(self.model.papers)

    def merge(self, rng: Random) -> None:
        """Two papers are made one by hand."""
        live = sorted(self.model.live())
        if len(live) < 2:
            return
        kept, other = rng.sample(live, 2)
        self.model.merge(kept, other)
        self._do(rng, "merge", kept=kept, other=other, now=self._tick())
        self._compare((kept, other))

    def split(self, rng: Random) -> None:
        """A merge is undone."""
        live = self.model.live()
        merged = sorted(i for i, p in self.model.papers.items() if p["merged_into"] in live)
        if not merged:
            return
        other = rng.choice(merged)
        kept = self.model.papers[other]["merged_into"]
        expected = self.model.split(other)
        assert self._do(rng, "split", other=other, now=self._tick()) in (expected, "killed")
        self._compare((kept, other))

    # Steps that change no paper ----------------------------------------------------------------------------------

    def compact(self, rng: Random) -> None:
        """Segments become a base."""
        self._do(rng, "shrink", full=rng.random() < 0.3, now=self._tick())
        self._compare(self.model.papers)

    def delete(self, rng: Random) -> None:
        """A day goes by, and what was retired is deleted."""
        self.now += _DAY
        self._do(rng, "delete", now=self._tick())
        assert not self.archive.index.files(retired=True)

    def publish(self, rng: Random) -> None:
        """papers.duckdb is published and read."""
        self._do(rng, "publish", now=self._tick())
        live = self.model.live()
        with Catalog(self.home) as catalog:
            rows = catalog.rows("SELECT paper_id, title, version FROM papers")
        assert len(rows) == len(live)
        assert {r["paper_id"]: (r["title"], r["version"]) for r in rows} == _shown(live)

    def rebuild(self, rng: Random) -> None:
        """The index is built again, or lost altogether while nobody had it open."""
        before = self._index()
        if rng.random() < 0.5:
            self.archive.index.close()
            for path in self.archive.folder.glob("index.sqlite*"):
                path.unlink()
            self.archive = Archive(self.home)
        else:
            self._do(rng, "rebuild", now=self.now)
        self._forget_said()
        assert self._index() == before, "the index rebuilt is another one"

    def reopen(self, rng: Random) -> None:
        """The program ends and starts again."""
        self.archive.index.close()
        self.archive = Archive(self.home)

    def look_back(self, rng: Random) -> None:
        """The archive as it was after a past commit."""
        known = [seq for seq, live in enumerate(self.model.past) if live is not None and seq]
        if not known:
            return
        seq = rng.choice(known)
        latest = seq == len(self.model.past) - 1
        with duckdb.connect() as connection:
            write_views(connection, self.archive, Settings(home=self.home), (), Shape(seq=seq, latest=latest))
            rows = connection.execute("SELECT paper_id, title, version FROM papers").fetchall()
        live = self.model.past[seq]
        assert live is not None
        assert len(rows) == len(live)
        assert {i: (title, version) for i, title, version in rows} == _shown(live)

    def check(self) -> None:
        """Everything: each paper, each row, each sighting once, no fault, the index as the files have it."""
        self._compare(self.model.papers)
        rows, sightings = Counter[str](), Counter[Any]()
        for file in self.archive.index.files("log", "papers", "history"):
            for table in read_rows(self.archive.path(file), ["paper_id", "sightings"], footer=file.footer):
                for row in table.to_pylist():
                    rows[row["paper_id"]] += 1
                    sightings.update((row["paper_id"], *_seen(s)) for s in row["sightings"])
        assert rows == self.model.rows
        assert sightings == self.model.sightings
        if self.model.papers and catalog_path(self.home).exists():
            OPERATIONS["publish"](self.archive, now=self.now)
        assert [f for f in verify(self.home).faults if "papers.duckdb is missing" not in f] == []
        self.rebuild(Random(0))  # noqa: S311 - not for secrets

    def close(self) -> None:
        """End."""
        self.archive.index.close()

    # Internals ---------------------------------------------------------------------------------------------------

    def _do(self, rng: Random, name: str, **arguments: Any) -> Any:
        """Do it here, or now and then in a child that is killed on the way; what was not committed is done again."""
        self.done[name] += 1
        if rng.random() >= 0.04:
            return OPERATIONS[name](self.archive, **arguments)
        before = self.archive.index.latest_seq()
        killed = self.killer.kill(self.home, name, arguments, rng.random())
        self.done[f"{name} killed" if killed else f"{name} in a child"] += 1
        if rng.random() < 0.5:
            self.reopen(rng)
        else:
            self.archive.recover()
        self._forget_said()
        assert self.archive.index.latest_seq() - before <= (2 if name == "bulk" else 1)
        if killed and (name not in ("append", "merge", "split") or self.archive.index.latest_seq() == before):
            return OPERATIONS[name](self.archive, **arguments)
        return "killed"

    def _compare(self, paper_ids: Iterable[str]) -> None:
        """Hold papers, and how many commits there are, against the model."""
        wanted = list(paper_ids)
        found = self.archive.papers(wanted)
        for paper_id in wanted:
            expected = self.model.papers[paper_id]
            assert paper_id in found, f"{paper_id} is gone"
            assert _plain(found[paper_id]) == {n: expected[n] for n in _PLAIN}, paper_id
        assert self.archive.index.latest_seq() == len(self.model.past) - 1
        assert self.archive.index.papers_count() == len(self.model.live())

    def _index(self) -> dict[str, list[tuple[object, ...]]]:
        execute = self.archive.index.connection.execute
        tables = {t: execute(f"SELECT * FROM {t} ORDER BY 1, 2").fetchall() for t in _TABLES[:-1]}
        return tables | {
            "files": execute("SELECT name, kind, sha256 FROM files WHERE retired_at IS NULL ORDER BY 1").fetchall()
        }

    def _forget_said(self) -> None:
        """What sources said last is a cache: lost with the index, uncertain after a kill. Then both sides forget it."""
        self.archive.index.connection.execute("DELETE FROM seen")
        self.model.seen.clear()

    def _tick(self) -> Any:
        self.now += _MINUTES
        return self.now

    def _next(self, kind: str) -> str:
        self._number += 1
        return f"{kind} {self._number}"


STEPS: dict[Callable[[Machine, Random], None], int] = {
    Machine.append: 800,
    Machine.bulk: 30,
    Machine.merge: 30,
    Machine.split: 20,
    Machine.compact: 20,
    Machine.delete: 10,
    Machine.publish: 8,
    Machine.rebuild: 8,
    Machine.reopen: 40,
    Machine.look_back: 10,
}
"""Every step and how often it comes."""


def run(home: Path, killer: Killer, seed: int, steps: int) -> Counter[str]:
    """So many steps from a seed; returns how often each operation was done. Raises AssertionError, with the step."""
    rng = Random(seed)  # noqa: S311 - not for secrets
    machine = Machine(home, killer)
    with contextlib.closing(machine):
        for number, step in enumerate(rng.choices(list(STEPS), list(STEPS.values()), k=steps)):
            try:
                step(machine, rng)
            except Exception as error:
                raise AssertionError(f"seed {seed}, step {number}, {step.__name__}: {error}") from error
        machine.check()
    return machine.done


_PLAIN = (
    *("title", "abstract", "authors", "version", "rank", "revision", "categories", "sources", "doi", "upvotes"),
    *("trending_on", "announced", "first_seen_at", "aliases", "merged_into"),
)


def _plain(paper: Paper) -> dict[str, object]:
    other = {"rank": paper.text_rank, "announced": paper.announced_at is not None, "aliases": {*paper.aliases}}
    return {name: other.get(name, getattr(paper, name, None)) for name in _PLAIN}


def _shown(live: dict[str, dict[str, Any]]) -> dict[str, tuple[str, int | None]]:
    return {paper_id: (p["title"], p["version"]) for paper_id, p in live.items()}


def _seen(sighting: dict[str, Any]) -> tuple[str, str, Any]:
    return sighting["source"], sighting["entry_id"], sighting["seen_at"].replace(tzinfo=UTC)
