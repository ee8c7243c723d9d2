"""The machine: an archive and its model side by side, one random step after the other, compared as they go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
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
        self.done: Counter[str] = Counter()  # steps by name
        self.seen: Counter[str] = Counter()  # what came of them, and the kills among them
        self._number = 0
        self._last: dict[str, Any] = {}

    def step(self, name: str, seed: int) -> None:
        """Do one step of `STEPS`. Raises AssertionError where the two sides differ."""
        getattr(self, name)(Random(f"{name} {seed}"))  # noqa: S311 - not for secrets
        self.done[name] += 1

    # Steps that add ----------------------------------------------------------------------------------------------

    def append(self, rng: Random) -> None:
        """A source says something; now and then under the name of the batch before, which is there already."""
        again = self._last and rng.random() < 0.05
        batch_id = self._last["batch_id"] if again else self._next("batch")
        self._add(rng, {"batch_id": batch_id, "entries": self.wire.batch(rng)})

    def repeat(self, rng: Random) -> None:
        """A source says what it said before, under another name; most of it is no news."""
        self._add(rng, {"batch_id": self._next("batch"), "entries": self._last.get("entries", [])})

    def bulk(self, rng: Random) -> None:
        """A file is loaded, which takes as many commits as it likes."""
        arguments = {"load_id": self._next("load"), "entries": self.wire.table(rng), "now": self._tick()}
        before, rows = self.archive.index.latest_seq(), self.model.rows.copy()
        if self.model.append(arguments["load_id"], arguments["entries"], self.now, quiet=True):
            self.model.past.pop()
        self._do(rng, "bulk", **arguments)
        commits = self.archive.index.latest_seq() - before
        self.model.past += [*[None] * (commits - 1), self.model.live()][: max(0, commits)]
        for paper_id in self.model.rows - rows if commits > 1 else ():  # twice in the file: a row in each commit
            more = len(self.archive.history(paper_id)) - self.model.rows[paper_id]
            assert more in (0, 1), f"{paper_id} has {more} rows more than it should"
            self.model.rows[paper_id] += more
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
        """A merge is undone; where that cannot be, the archive refuses and nothing changes."""
        merged = sorted(i for i, p in self.model.papers.items() if p["merged_into"])
        if not merged:
            return
        other = rng.choice(merged)
        kept = self.model.papers[other]["merged_into"]
        expected = self.model.split(other)
        self.seen["parted" if expected else "refused to part"] += 1
        assert self._do(rng, "split", other=other, now=self._tick()) in (expected, "killed")
        self._compare((kept, other))

    # Steps that change no paper ----------------------------------------------------------------------------------

    def compact(self, rng: Random) -> None:
        """Segments become a base."""
        self._do(rng, "shrink", full=rng.random() < 0.3, now=self._tick())
        self.ask(rng)

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
            assert _shown(catalog.connection) == _plainly(live)

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
            assert _shown(connection) == _plainly(self.model.past[seq] or {})

    def ask(self, rng: Random) -> None:
        """A few papers are looked up, and an id that none has."""
        known = sorted(self.model.papers)
        self._compare(rng.sample(known, min(rng.randint(1, 2), len(known))))
        assert self.archive.papers([f"arxiv:2606.9{rng.randrange(1_000):04d}"]) == {}

    def check(self, rng: Random) -> None:
        """`paperwire verify` finds no fault."""
        if self.model.papers and catalog_path(self.home).exists():
            OPERATIONS["publish"](self.archive, now=self.now)
        assert [f for f in verify(self.home).faults if "papers.duckdb is missing" not in f] == []

    def compare(self) -> None:
        """Everything: each paper as it stands, each of its rows, each sighting once."""
        self._compare(self.model.papers)
        rows, sightings = Counter[str](), Counter[Any]()
        for file in self.archive.index.files("log", "papers", "history"):
            for table in read_rows(self.archive.path(file), ["paper_id", "sightings"], footer=file.footer):
                for row in table.to_pylist():
                    rows[row["paper_id"]] += 1
                    sightings.update((row["paper_id"], *_seen(s)) for s in row["sightings"])
        assert rows == self.model.rows
        assert sightings == self.model.sightings

    def close(self) -> None:
        """End."""
        self.archive.index.close()

    # Internals ---------------------------------------------------------------------------------------------------

    def _add(self, rng: Random, batch: dict[str, Any]) -> None:
        """Append a batch on both sides."""
        self._last = batch | {"now": self._tick()}
        revisions, papers = self._revisions(), len(self.model.live())
        touched = self.model.append(**self._last)
        self.seen["revised"] += self._revisions() > revisions
        self.seen["joined"] += len(self.model.live()) < papers
        self.seen["no news"] += not touched
        written = self._do(rng, "append", **self._last)
        assert written in (len(touched), "killed"), f"{written} papers written, {len(touched)} expected"
        self._compare()

    def _do(self, rng: Random, name: str, **arguments: Any) -> Any:
        """Do it here, or now and then in a child that is killed on the way; what was not committed is done again."""
        if rng.random() >= _KILLED.get(name, _KILLED_RARE):
            return OPERATIONS[name](self.archive, **arguments)
        before = self.archive.index.latest_seq()
        killed = self.killer.kill(self.home, name, arguments, rng.randint(1, POINTS[name]))
        self.seen[f"{name} killed" if killed else "came through"] += 1
        if rng.random() < 0.5:
            self.reopen(rng)
        else:
            self.archive.recover()
        assert self.archive.index.latest_seq() - before <= (2 if name == "bulk" else 1)
        if killed and (name not in ("append", "merge", "split") or self.archive.index.latest_seq() == before):
            OPERATIONS[name](self.archive, **arguments)
        self._forget_said()  # not before: what was not committed was not said either, and is judged as it was
        return "killed"

    def _compare(self, paper_ids: Iterable[str] = ()) -> None:
        """Hold papers, and how many commits there are, against the model."""
        wanted = list(paper_ids)
        found = self.archive.papers(wanted) if wanted else {}
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

    def _revisions(self) -> int:
        return sum(p["revision"] for p in self.model.papers.values())

    def _tick(self) -> Any:
        self.now += _MINUTES
        return self.now

    def _next(self, kind: str) -> str:
        self._number += 1
        return f"{kind} {self._number}"


STEPS = {
    **{"append": 400, "repeat": 340, "ask": 120, "reopen": 60, "merge": 16, "split": 16, "compact": 12},
    **{"look_back": 6, "delete": 6, "rebuild": 4, "bulk": 2, "publish": 1, "check": 1.5},
}
"""Every step and how often it comes."""
POINTS = {"append": 26, "bulk": 36, "merge": 21, "split": 20, "shrink": 20, "delete": 28, "publish": 17, "rebuild": 150}
"""In how many changes of the disk each operation comes to its end, about; one with fewer comes through."""
_KILLED = {"append": 0.02, "merge": 0.05, "split": 0.05, "shrink": 0.05}
_KILLED_RARE = 0.25  # of the other operations; each costs a process
_COLUMNS = {
    **dict.fromkeys(("title", "abstract", "authors", "version", "revision", "categories", "sources", "doi", "upvotes")),
    **{"trending_on": None, "first_seen_at": None, "aliases": None, "rank": "text_rank"},
    "announced": "announced_at IS NOT NULL",
}
_PLAIN = (*_COLUMNS, "merged_into")
_SHOWN = "SELECT paper_id, " + ", ".join(sql or name for name, sql in _COLUMNS.items()) + " FROM papers"


def _plain(paper: Paper) -> dict[str, object]:
    other = {"rank": paper.text_rank, "announced": paper.announced_at is not None, "aliases": {*paper.aliases}}
    return {name: other.get(name, getattr(paper, name, None)) for name in _PLAIN}


def _shown(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    """What the view of papers shows, as `_plainly` has it."""
    rows = connection.execute(_SHOWN).fetchall()
    return sorted((tuple(map(_value, row)) for row in rows), key=repr)


def _plainly(live: dict[str, dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted(((i, *(_value(paper[name]) for name in _COLUMNS)) for i, paper in live.items()), key=repr)


def _value(value: object) -> object:
    """One form for what both sides say: lists as tuples, sets in order, moments as SQL has them."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    return tuple(sorted(value) if isinstance(value, set) else value) if isinstance(value, set | list) else value


def _seen(sighting: dict[str, Any]) -> tuple[str, str, Any]:
    return sighting["source"], sighting["entry_id"], sighting["seen_at"].replace(tzinfo=UTC)
