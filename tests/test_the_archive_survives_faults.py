"""A call that fails, a disk that is full, several at once: one clear line, nothing lost, and the next pass goes on.

A share of what `make crash` does; the numbers of a full run are in docs/design.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import faults, readers, tracing
from tests.crash.holding import hold
from tests.crash.scenes import SCENES, Scene
from tests.crash.shares import CI
from tests.crash.workers import Workers

FAILING = [scene for scene in SCENES if scene.fails]


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """The warm process that forks those which do the work."""
    with Workers() as warm:
        yield warm


@pytest.mark.slow
@pytest.mark.parametrize("scene", FAILING, ids=lambda scene: scene.name)
@pytest.mark.parametrize(("error", "on"), faults.ERRORS)
def test_a_call_that_fails_is_one_clear_error(
    workers: Workers, tmp_path: Path, scene: Scene, error: str, on: bool
) -> None:
    if reason := tracing.why_not():
        pytest.skip(f"{reason}, so no system call can be made to fail")
    hold(faults.fail_everywhere(workers, tmp_path, scene, error, on=on, points_max=CI.fault_points))


@pytest.mark.slow
@pytest.mark.parametrize("scene", FAILING, ids=lambda scene: scene.name)
def test_a_full_disk_loses_nothing_at_any_size(workers: Workers, tmp_path: Path, scene: Scene) -> None:
    hold(faults.fill_the_disk(workers, tmp_path, scene, step_pages=CI.disk_step_pages))


@pytest.mark.slow
def test_readers_see_whole_commits_while_a_writer_writes(workers: Workers, tmp_path: Path) -> None:
    hold(readers.read_while_writing(workers, tmp_path, commits=CI.commits))


@pytest.mark.slow
@pytest.mark.parametrize("same", [False, True], ids=["different batches", "the same batches"])
def test_two_ingests_at_once_lose_nothing(workers: Workers, tmp_path: Path, same: bool) -> None:
    hold(readers.write_at_once(workers, tmp_path, steps=CI.ingests, same=same))
