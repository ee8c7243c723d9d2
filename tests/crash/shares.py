"""What is run, and how much of it: a share in a few minutes for every change, all of it with `make crash`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.crash import faults, kills, power, readers, rot, scenes, tracing
from tests.crash.report import Row
from tests.crash.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How much is tried."""

    kill_points: int  # of each operation, at most
    fault_points: int  # of each operation and error, at most
    random_kills: int
    power_cuts: int  # on each kind of file system
    flips: int
    disk_step_pages: int  # how much more room each trial of a full disk has
    commits: int  # while readers read
    ingests: int  # steps of each of two ingests at once


ALL_OF_IT = 1_000_000
FULL = Share(
    kill_points=ALL_OF_IT,
    fault_points=ALL_OF_IT,
    random_kills=500,
    power_cuts=30,
    flips=1_000,
    disk_step_pages=1,
    commits=1_000,
    ingests=100,
)
CI = Share(
    kill_points=24,
    fault_points=8,
    random_kills=40,
    power_cuts=2,
    flips=150,
    disk_step_pages=24,
    commits=100,
    ingests=20,
)
SHARES = {"full": FULL, "ci": CI}
Part = Callable[[Workers, Path, Share], Iterator[Row]]


def run_kills(workers: Workers, folder: Path, share: Share) -> Iterator[Row]:
    """Kill every operation before each call that changes a file."""
    for number, scene in enumerate(scenes.SCENES):
        if reason := tracing.why_not():
            yield Row(f"kill -9 in {scene.name}", skipped=reason)
        else:
            yield kills.kill_everywhere(workers, folder / str(number), scene, points_max=share.kill_points)


def run_random(workers: Workers, folder: Path, share: Share) -> Iterator[Row]:
    """Kill a running ingest at random moments."""
    yield kills.kill_at_random(workers, folder, kills=share.random_kills)


def run_power(workers: Workers, folder: Path, share: Share) -> Iterator[Row]:
    """Cut the power."""
    for kind in power.KINDS:
        yield power.cut_power(workers, folder, kind, cuts=share.power_cuts)


def run_faults(workers: Workers, folder: Path, share: Share) -> Iterator[Row]:
    """Have calls fail, and fill a disk."""
    played = [scene for scene in scenes.SCENES if scene.fails]
    for scene in played:
        for error, on in faults.ERRORS:
            place = folder / f"{scene.name} {error} {on}".replace(" ", "-")
            if reason := tracing.why_not():
                yield Row(f"{error} in {scene.name}", skipped=reason)
            else:
                yield faults.fail_everywhere(workers, place, scene, error, on=on, points_max=share.fault_points)
    for scene in played:
        place = folder / f"full {scene.name}".replace(" ", "-")
        yield faults.fill_the_disk(workers, place, scene, step_pages=share.disk_step_pages)


def run_rot(workers: Workers, folder: Path, share: Share) -> Iterator[Row]:
    """Flip bits."""
    half = math.ceil(share.flips / 2)
    yield rot.flip_bits(workers, folder / "files", flips=half, index=False)
    yield rot.flip_bits(workers, folder / "index", flips=share.flips - half, index=True)


def run_readers(workers: Workers, folder: Path, share: Share) -> Iterator[Row]:
    """Read while writing, and write twice at once."""
    yield readers.read_while_writing(workers, folder / "readers", commits=share.commits)
    yield readers.write_at_once(workers, folder / "different", steps=share.ingests, same=False)
    yield readers.write_at_once(workers, folder / "same", steps=share.ingests, same=True)


PARTS: dict[str, Part] = {
    "kills": run_kills,
    "random": run_random,
    "power": run_power,
    "faults": run_faults,
    "rot": run_rot,
    "readers": run_readers,
}
