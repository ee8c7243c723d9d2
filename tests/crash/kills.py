"""kill -9: before every system call that changes a file, and at random moments of a running ingest."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from tests.crash import tracing
from tests.crash.report import Row
from tests.crash.scenes import Scene, Stage, checked
from tests.crash.workers import Workers


def kill_everywhere(workers: Workers, folder: Path, scene: Scene, *, points_max: int) -> Row:
    """Kill the operation before each call that changes a file (or `points_max` spread over them); check after each."""
    row, stage = Row(f"kill -9 in {scene.name}"), Stage(workers, folder, scene)
    points, outcome = tracing.count(stage.start(), folder / "calls", under=stage.home)
    assert not outcome.error, outcome
    assert not outcome.traceback, outcome
    for point in tracing.spread(points, points_max):
        outcome = tracing.killed_at(stage.start(), point)
        row.points += 1
        row.killed += outcome.killed
        row.take(str(point), stage.check(len(outcome.acknowledged)), outcome.traceback)
    if not row.killed:
        row.faults.append("nothing was killed: the test tested nothing")
    return row.done()


def kill_at_random(workers: Workers, folder: Path, *, kills: int, seed: int = 1) -> Row:
    """Kill a running ingest at random moments and start it again where it stopped, on one archive.

    It publishes after each commit and compacts now and then; every 25 kills a new archive is begun.
    """
    row, chance = Row("kill -9 at random in a running ingest"), random.Random(seed)  # noqa: S311 - reproducible
    while row.killed < kills:
        home, done = folder / f"home-{row.killed}", 0
        for number in range(min(25, kills - row.killed)):
            compact_every = 7
            running = workers.start("ingest", home, first=done, until=None, publish=True, compact_every=compact_every)
            running.go().wait(chance.uniform(0.02, 0.6))
            running.kill()
            outcome = running.outcome()
            row.points += 1
            row.killed += outcome.killed
            done = max([done, *(step + 1 for step in outcome.acknowledged)])
            row.take(f"kill {row.killed}", {}, outcome.traceback or outcome.error)
            row.take(
                f"kill {row.killed}",
                checked(workers.run("check", home, acknowledged=done, until=done + 1, tidy=number % 5 == 4)),
            )
            done += 1
        shutil.rmtree(home)
    return row.done()
