"""kill -9 and power cuts at any moment: nothing acknowledged is lost, nothing is there twice, nobody has to tidy up.

A share of what `make crash` does; the numbers of a full run are in docs/design.md.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import kills, power, tracing
from tests.crash.holding import hold
from tests.crash.scenes import SCENES, Scene
from tests.crash.shares import CI
from tests.crash.workers import Workers


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """The warm process that forks those which are to die."""
    with Workers() as warm:
        yield warm


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_killed_before_any_call_that_changes_a_file_nothing_is_lost(
    workers: Workers, tmp_path: Path, scene: Scene
) -> None:
    if reason := tracing.why_not():
        pytest.skip(f"{reason}, so no process can be killed between two system calls")
    hold(kills.kill_everywhere(workers, tmp_path, scene, points_max=CI.kill_points))


@pytest.mark.slow
def test_a_running_ingest_killed_again_and_again_loses_nothing(workers: Workers, tmp_path: Path) -> None:
    hold(kills.kill_at_random(workers, tmp_path, kills=CI.random_kills))


@pytest.mark.slow
@pytest.mark.parametrize("kind", power.KINDS)
def test_a_power_cut_takes_nothing_acknowledged(workers: Workers, tmp_path: Path, kind: str) -> None:
    hold(power.cut_power(workers, tmp_path, kind, cuts=CI.power_cuts))


def test_what_is_lost_or_doubled_would_be_seen(workers: Workers, tmp_path: Path) -> None:
    """An archive put back to an earlier day has lost rows; one that is ahead of its world has too many."""
    home, earlier = tmp_path / "home", tmp_path / "earlier"
    workers.do("ingest", home, first=0, until=4)
    shutil.copytree(home, earlier)
    workers.do("ingest", home, first=4, until=8)
    assert workers.do("check", earlier, acknowledged=8, until=8)["lost"] > 0
    found = workers.do("check", home, acknowledged=4, until=6)
    assert found["doubled"] > 0
    assert found["faults"]
