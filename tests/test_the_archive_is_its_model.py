"""Whatever comes, in whatever order, killed at whatever point: the archive holds what a plain dict of papers would.

Hypothesis chooses the steps and, where the two sides differ, finds the shortest walk on which they do. The walks are
the same on every run; PAPERWIRE_MODEL_SEED=7 takes others.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.model.machine import POINTS, STEPS, Machine
from tests.model.operations import Killer

STEPS_MIN = 20_000
WALK_STEPS = 400  # each walk begins with an empty archive
SEED = int(os.environ.get("PAPERWIRE_MODEL_SEED", "0"))
_MEMORY = Path("/dev/shm")  # noqa: S108 - where fsync costs nothing; power cuts are another test's
# Two examples: the simplest, which is a walk of no steps that costs nothing, and a random one. Of a third on Hypothesis
# would take earlier ones and change them a little: 52 examples had 4,000 different steps among 20,000.
_SETTINGS = settings(
    max_examples=2,
    stateful_step_count=WALK_STEPS,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Step:
    """One step: its name in `STEPS`, and the number that decides the rest of it."""

    name: str
    number: int

    @classmethod
    def of(cls, number: int) -> Step:
        """The step that belongs to a number: 0 is none at all, so that a walk gets shorter as its numbers do."""
        names, shares = list(STEPS), list(STEPS.values())
        return cls(Random(number).choices(names, shares)[0] if number else "nothing", number)  # noqa: S311


class Walk(RuleBasedStateMachine):
    """One archive, its model, and a walk of random steps over both."""

    killer: ClassVar[Killer]
    done: ClassVar[Counter[str]]
    seen: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="model-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None))
        self.machine, self.sound = Machine(self.home, self.killer), True
        self.walked: list[str] = []

    @rule(step=st.integers(0, 2**32 - 1).map(Step.of))
    def go(self, step: Step) -> None:
        """Do one step on both sides."""
        if step.number:
            self.sound = False
            self.walked.append(f"{step.name}({step.number})")
            try:
                self.machine.step(step.name, step.number)
            except Exception as error:
                error.add_note(f"the walk, without the steps that are none: {', '.join(self.walked)}")
                raise
            self.sound = True

    def teardown(self) -> None:
        """Hold everything against the model once more."""
        try:
            if self.sound:
                self.machine.compare()
            self.done.update(self.machine.done)
            self.seen.update(self.machine.seen)
        finally:
            self.machine.close()
            shutil.rmtree(self.home)


@pytest.mark.slow
def test_after_any_walk_the_archive_is_its_model(capsys: pytest.CaptureFixture[str]) -> None:
    Walk.done, Walk.seen, walks = Counter(), Counter(), 0
    with Killer() as Walk.killer:
        while Walk.done.total() < STEPS_MIN and walks < 2 * STEPS_MIN / WALK_STEPS:
            run_state_machine_as_test(seed(1_000 * SEED + walks)(Walk), settings=_SETTINGS)
            walks += 1
    with capsys.disabled():
        print(f"\n{Walk.done.total():,} steps in {walks} walks: {_told(Walk.done)}\nin them: {_told(Walk.seen)}")
    assert Walk.done.total() >= STEPS_MIN
    assert Walk.done.keys() == STEPS.keys()
    assert {f"{name} killed" for name in POINTS} <= Walk.seen.keys()
    assert {"revised", "joined", "no news", "parted", "refused to part"} <= Walk.seen.keys()


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in counts.most_common())
