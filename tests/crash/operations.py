"""What a child process can be told to do with an archive. Each takes its home and a way to acknowledge steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from flows.decide import decide
from storage import compact as compaction
from storage.archive import Archive
from storage.bulk import load
from storage.bulk_rows import COLUMNS
from storage.catalog import Catalog, refresh_catalog
from storage.repair import repair as mend
from storage.settings import Settings, Topic
from storage.verify import verify
from tests.builders import NOW
from tests.crash.checking import check, check_mixed
from tests.crash.reading import sql_is_wrong, wrong_answers
from tests.crash.world import Batch, Merge, Oracle, Step, World

Acknowledge = Callable[[int], None]
LATER = timedelta(days=400)  # after every step; what is retired by then may be deleted


def apply(archive: Archive, number: int, step: Step) -> bool:
    """Take step `number` of a world; says whether that made a commit. One that is there already makes none."""
    if isinstance(step, Merge):
        if archive.index.latest_seq() > number:
            return False
        if step.undo:
            archive.split(step.other, reason="two works", now=step.now)
        else:
            archive.merge(step.kept, step.other, reason="one work", now=step.now)
        return True
    if step.bulk:
        return _load(archive, step)
    commit = archive.append(step.entries, source=step.source, batch_id=step.batch_id, now=step.now, decide=decide)
    return commit.seq is not None


def _load(archive: Archive, batch: Batch) -> bool:
    rows = [{name: _plain(getattr(entry, name)) for name in COLUMNS} for entry in batch.entries]
    found = load(
        archive, [pa.Table.from_pylist(rows)], source=batch.source, load_id=batch.batch_id, now=batch.now, decide=decide
    )
    return found.segments > 0


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def publish_catalog(archive: Archive) -> None:
    """Bring papers.duckdb up to date, with one topic."""
    topics = (Topic(slug="learning", title="Learning", query="title:learning"),)
    refresh_catalog(archive, Settings(home=archive.home, topic=topics), topics, now=NOW + LATER)


def compact_archive(archive: Archive, *, now: datetime, full: bool = False) -> None:
    """Compact, publish, and delete what was retired a day before."""
    compaction.compact(archive, now=now, full=full)
    publish_catalog(archive)
    compaction.delete_retired(archive, now=now)


def ingest(
    home: Path,
    acknowledge: Acknowledge,
    *,
    first: int,
    until: int | None,
    stream: int = 0,
    plain: bool = False,
    publish: bool = False,
    compact_every: int = 0,
) -> None:
    """Commit steps [first, until), or on and on, each acknowledged once it is committed."""
    world = World(stream, plain)
    with Archive(home) as archive:
        for number in itertools.count(first) if until is None else range(first, until):
            step = world.step(number)
            apply(archive, number, step)
            acknowledge(number)
            if publish:
                publish_catalog(archive)
            if compact_every and number % compact_every == compact_every - 1:
                compact_archive(archive, now=step.now)


def publish(home: Path, _: Acknowledge) -> None:
    """Publish papers.duckdb."""
    with Archive(home) as archive:
        publish_catalog(archive)


def open_archive(home: Path, _: Acknowledge) -> None:
    """Open the archive, which takes what the index has not seen."""
    with Archive(home):
        pass


def rebuild(home: Path, _: Acknowledge) -> None:
    """Build the index again from the files."""
    with Archive(home) as archive:
        archive.rebuild_index()


def compact(home: Path, _: Acknowledge, *, now: float, full: bool = False) -> None:
    """Compact, publish, and delete what is due; `now` in days after the first step."""
    with Archive(home) as archive:
        compact_archive(archive, now=NOW + timedelta(days=now), full=full)


def repair(home: Path, _: Acknowledge) -> None:
    """Repair what can be repaired."""
    mend(home, now=NOW + LATER)


def check_home(home: Path, _: Acknowledge, *, tidy: bool = False, **arguments: Any) -> dict[str, Any]:
    """Hold the archive against the world, with `tidy` compacting it before; see checking.check."""
    compact = partial(compact_archive, now=NOW + LATER) if tidy else None
    return check(home, apply=apply, publish=publish_catalog, compact=compact, **arguments).as_json()


def check_mixed_home(home: Path, _: Acknowledge, *, steps: int, streams: list[int]) -> dict[str, Any]:
    """Hold an archive that several worlds went into at once against all of them; see checking.check_mixed."""
    oracles = [World(stream, plain=True).oracle(steps) for stream in streams]
    return check_mixed(home, oracles, publish=publish_catalog).as_json()


def verify_home(home: Path, _: Acknowledge) -> dict[str, Any]:
    """Verify; returns the faults."""
    return {"faults": list(verify(home).faults)}


def read_home(home: Path, _: Acknowledge, *, steps: int) -> dict[str, Any]:
    """Read every paper in every way; returns the wrong answers, and whether plain SQL gives some."""
    return {"wrong": wrong_answers(home, steps=steps), "sql": sql_is_wrong(home, steps=steps)}


def count_in_a_loop(home: Path, _: Acknowledge, *, steps: int) -> dict[str, Any]:
    """Ask papers.duckdb how much there is until it shows `steps` steps; returns how often, and each wrong answer."""
    world, oracle, known = World(), Oracle(), {}
    for step in range(steps + 1):
        known[step] = (len(oracle.papers), len(oracle.sightings))
        oracle.take(world.step(step))
    wrong: list[str] = []
    asked = seen = 0
    while seen < steps:
        with Catalog(home) as catalog:
            before, seen = seen, catalog.latest_seq()
            row = catalog.rows("SELECT (SELECT count(*) FROM papers) AS p, (SELECT count(*) FROM sightings) AS s")[0]
        asked += 1
        if (row["p"], row["s"]) != known[seen] or seen < before:
            wrong.append(f"{row['p']} papers and {row['s']} sightings at {seen} after {before}, not {known[seen]}")
    return {"asked": asked, "wrong": wrong}


ALL: dict[str, Callable[..., dict[str, Any] | None]] = {
    "ingest": ingest,
    "publish": publish,
    "open": open_archive,
    "rebuild": rebuild,
    "compact": compact,
    "repair": repair,
    "check": check_home,
    "check mixed": check_mixed_home,
    "verify": verify_home,
    "read": read_home,
    "count": count_in_a_loop,
}
