"""Calls that fail: each one in turn with EIO, ENOSPC or EMFILE, and a real file system that is full at every size."""

from __future__ import annotations

import itertools
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.crash import tracing
from tests.crash.report import Row
from tests.crash.scenes import Scene, Stage
from tests.crash.tracing import Point
from tests.crash.workers import Outcome, Workers

_PAGE = 4096  # bytes: the smallest step a file system takes
ERRORS = (("EIO", False), ("ENOSPC", False), ("ENOSPC", True), ("EMFILE", False), ("EMFILE", True))
"""Which errors, and whether from then on."""
_ENOUGH = "64m"


def fail_everywhere(workers: Workers, folder: Path, scene: Scene, error: str, *, on: bool, points_max: int) -> Row:
    """Have each call fail that may fail with `error` (`on`: from there on); check what it says and what is left."""
    row, aborted = Row(f"{error}{' from then on' if on else ''} in {scene.name}"), 0
    stage = Stage(workers, folder, scene)
    for point in tracing.spread(_may_fail(stage, folder / "calls", error), points_max):
        outcome = tracing.failed_at(stage.start(), point, error, on=on)
        row.points += 1
        row.killed += bool(outcome.error)
        # DuckDB itself ends the process where it cannot open its own log; what matters is what is left then.
        ended = error == "EMFILE" and outcome.status == -signal.SIGABRT
        aborted += ended
        row.take(str(point), stage.check(len(outcome.acknowledged)), "" if ended else unclear(outcome, full=False))
    row.note = f"{aborted} times DuckDB ended the process" if aborted else ""
    if not row.killed:
        row.faults.append("no call failed: the test tested nothing")
    return row.done()


def unclear(outcome: Outcome, *, full: bool) -> str:
    """What is wrong with how the operation ended, or ''. `full`: it could know that the disk was full."""
    if outcome.traceback:
        return outcome.traceback
    if outcome.status:
        return f"it died with status {outcome.status}"
    full = full or "No space left" in outcome.error
    if outcome.error and not outcome.error.startswith("ArchiveFull: " if full else "Archive"):
        return f"{'a full disk was called' if full else 'not an error of the archive:'} {outcome.error}"
    return f"more than one line: {outcome.error!r}" if "\n" in outcome.error else ""


def _may_fail(stage: Stage, log: Path, error: str) -> list[Point]:
    """The calls that may fail this way, in an unharmed run."""
    if error == "EMFILE":
        points, outcome = tracing.openings(stage.start(), log, under=stage.home)
    else:
        points, outcome = tracing.count(stage.start(), log, under=stage.home)
    assert not outcome.error, outcome
    assert not outcome.traceback, outcome
    if error == "ENOSPC":  # opening or removing what is there takes no room
        points = [p for p in points if not p.call.startswith("unlink")]
        points = [p for p in points if not (p.call.startswith("open") and (stage.kept / p.what).exists())]
    return points


def fill_the_disk(workers: Workers, folder: Path, scene: Scene, *, step_pages: int) -> Row:
    """Do the operation on file systems with ever more room, `step_pages` more each time, until it fits; check each."""
    row, stage = Row(f"a full disk in {scene.name}"), Stage(workers, folder, scene)
    stage.home.mkdir()
    needed = sum(_pages(path) for path in stage.kept.rglob("*"))
    for pages in itertools.count(needed, step_pages):
        with _small_disk(stage.home, pages) as mounted:
            if not mounted:
                row.skipped = "no file system can be mounted here"
                break
            if not _copied(stage):
                continue
            room = shutil.disk_usage(stage.home).free // 1024
            outcome = stage.start_here().go().outcome()
            _mount("-o", f"remount,size={_ENOUGH}", str(stage.home))
            row.points += 1
            row.killed += bool(outcome.error)
            row.take(f"{room} kB of room", stage.check(len(outcome.acknowledged)), unclear(outcome, full=True))
        if not (outcome.error or outcome.traceback or outcome.status):
            row.note = f"up to {room} kB of room, in steps of {step_pages * _PAGE // 1024} kB"
            break
    return row.done()


def _pages(path: Path) -> int:
    return 1 if path.is_dir() else -(-path.stat().st_size // _PAGE)


def _copied(stage: Stage) -> bool:
    """Copy the scene's archive to where it is played; says whether there was room for it."""
    try:
        shutil.copytree(stage.kept, stage.home, dirs_exist_ok=True)
    except OSError:  # shutil.Error is one
        return False
    return True


@contextmanager
def _small_disk(folder: Path, pages: int) -> Iterator[bool]:
    """Mount a file system of so many pages on `folder`; gives whether that could be done."""
    made = _mount("-t", "tmpfs", "-o", f"size={pages * _PAGE}", "tmpfs", str(folder))
    try:
        yield made
    finally:
        if made:
            subprocess.run(["umount", folder], check=True)


def _mount(*options: str) -> bool:
    return subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0
