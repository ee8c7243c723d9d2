"""Open an archive as its user would after a crash, go on where it stopped, and count what is missing or there twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

from storage.archive import Archive
from storage.catalog import Catalog
from storage.verify import verify
from tests.crash.world import Oracle, Seen, Step, World

_NAMED = 3  # of each kind of damage, the first few are named


@dataclass(slots=True)
class Damage:
    """What a crash has done. All zero and empty is what must be."""

    lost: int = 0  # acknowledged rows that are gone
    doubled: int = 0  # rows that are there twice
    faults: list[str] = field(default_factory=list)  # what else is wrong, one line each

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.faults)

    def as_json(self) -> dict[str, Any]:
        """For the other side of a socket."""
        return asdict(self)


def check(
    home: Path,
    *,
    acknowledged: int,
    until: int,
    apply: Callable[[Archive, int, Step], bool],
    publish: Callable[[Archive], None],
    compact: Callable[[Archive], None] | None = None,
    stream: int = 0,
) -> Damage:
    """Check an archive of which `acknowledged` steps were acknowledged; then commit up to `until` and check again.

    No hand work: it is opened, its steps are offered again under their ids, it is compacted where `compact` is
    given, and published. What a killed compaction left may stay until then.
    """
    damage, world = Damage(), World(stream)
    with Archive(home) as archive:
        committed = archive.index.latest_seq()
        damage.lost += _rows(world, committed, acknowledged)
        _compare_papers(damage, archive, world.oracle(committed))
        for number, step in enumerate(world.steps(0, until)):
            if apply(archive, number, step) != (number >= committed):
                damage.faults.append(f"step {number} offered again was taken twice or not, {committed} were there")
        if compact:
            compact(archive)
        publish(archive)
        oracle = world.oracle(until)
        _compare_papers(damage, archive, oracle)
        _compare_events(damage, archive, until)
    _compare_catalog(damage, home, oracle)
    damage.faults += verify(home).faults
    left = leftovers(home)
    damage.faults += [f"{name} is left behind" for name in left if compact or not name.startswith("archive/base/")]
    return damage


def check_mixed(home: Path, oracles: Iterable[Oracle], publish: Callable[[Archive], None]) -> Damage:
    """Check an archive that several worlds were committed to at once, in whatever order."""
    damage, together = Damage(), Oracle()
    for oracle in oracles:
        together.papers |= oracle.papers
        together.sightings += oracle.sightings
    with Archive(home) as archive:
        publish(archive)
        _compare_papers(damage, archive, together)
        _compare_events(damage, archive, archive.index.latest_seq())
    _compare_catalog(damage, home, together)
    damage.faults += verify(home).faults
    damage.faults += [f"{name} is left behind" for name in leftovers(home)]
    return damage


def leftovers(home: Path) -> list[str]:
    """Temporary files under `home`."""
    return sorted(str(p.relative_to(home)) for p in home.rglob("*") if p.name.startswith(".") or ".tmp" in p.name)


def _rows(world: World, committed: int, acknowledged: int) -> int:
    """How many rows the steps [committed, acknowledged) brought."""
    if committed >= acknowledged:
        return 0
    return len(world.oracle(acknowledged).sightings) - len(world.oracle(committed).sightings)


def _compare_papers(damage: Damage, archive: Archive, oracle: Oracle) -> None:
    found = archive.papers(oracle.papers)
    missing = [p for p in oracle.papers if p not in found]
    damage.lost += len(missing)
    wrong = [
        paper_id
        for paper_id, paper in found.items()
        if (paper.title, paper.abstract, paper.doi) != ((e := oracle.papers[paper_id]).title, e.abstract, e.doi)
    ]
    gone = archive.papers(oracle.merged)
    apart = [p for p, (kept, _) in oracle.merged.items() if p not in gone or gone[p].merged_into != kept]
    damage.faults += [f"{p} is not merged as it was" for p in apart[:_NAMED]]
    damage.faults += [f"{p} is not what was committed" for p in wrong[:_NAMED]]
    damage.faults += [f"{p} is gone" for p in missing[:_NAMED]]


def _compare_events(damage: Damage, archive: Archive, steps: int) -> None:
    """Each commit has left exactly one event."""
    events = Counter(event.payload["seq"] for event in archive.index.pending_events())
    if events != Counter(range(1, steps + 1)):
        damage.faults.append(f"the outbox holds {sum(events.values())} events for {steps} commits")


def _compare_catalog(damage: Damage, home: Path, oracle: Oracle) -> None:
    """papers.duckdb shows each paper once as it stands, and each sighting once."""
    with Catalog(home) as catalog:
        papers = catalog.rows("SELECT paper_id, title, abstract FROM papers")
        sightings = catalog.rows("SELECT paper_id, source, entry_id, seen_at FROM sightings")
    shown = Counter((row["paper_id"], row["title"], row["abstract"]) for row in papers)
    expected = Counter((paper_id, e.title, e.abstract) for paper_id, e in oracle.papers.items())
    found: Counter[Seen] = Counter(
        (r["paper_id"], r["source"], r["entry_id"], r["seen_at"].replace(tzinfo=UTC)) for r in sightings
    )
    damage.lost += (oracle.counted() - found).total()
    damage.doubled += (found - oracle.counted()).total()
    if shown != expected:
        odd = (shown - expected) + (expected - shown)
        damage.faults.append(f"papers.duckdb is wrong about {len({p for p, _, _ in odd})} papers, first {min(odd)[0]}")
