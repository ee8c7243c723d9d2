"""An operation and how the archive stands before it, to be played again and again with something going wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.workers import Outcome, Running, Workers

_STEPS = 8  # committed before the operation under test


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """An operation, and how the archive stands before it."""

    name: str
    operation: str
    arguments: dict[str, Any] = field(default_factory=dict)
    steps: int = _STEPS  # committed before `prepare`
    brings: int = 0  # steps the operation commits
    tidy: bool = False  # whether only the next compaction removes what it leaves
    mends: bool = False  # whether it is done again after a crash, as whoever asked for it would
    more: int = 0  # steps that `prepare` commits
    fails: bool = False  # whether its calls are made to fail, too
    prepare: Callable[[Workers, Path], None] | None = None

    def make(self, workers: Workers, home: Path) -> None:
        """Make the archive as it stands before the operation."""
        if self.steps:
            workers.do("ingest", home, first=0, until=self.steps, publish=True)
        else:
            home.mkdir()
        if self.prepare:
            self.prepare(workers, home)


def _commit(steps: int = _STEPS, **arguments: Any) -> dict[str, Any]:
    return {"first": steps, "until": steps + 1} | arguments


def _unseen_segment(workers: Workers, home: Path) -> None:
    """A commit whose writer died between the link and the index."""
    index = home / "archive" / "index.sqlite"
    before = index.read_bytes()
    workers.do("ingest", home, **_commit())
    index.write_bytes(before)


def _no_index(workers: Workers, home: Path) -> None:
    """An index whose file was cut, and a papers.duckdb cut short."""
    index = home / "archive" / "index.sqlite"
    index.write_bytes(index.read_bytes()[: 3 * 4096])
    (home / "papers.duckdb").write_bytes(b"cut short")


def _damaged_base(workers: Workers, home: Path) -> None:
    """A base that is damaged while its segments are still there."""
    workers.do("compact", home, now=1)
    base = next((home / "archive" / "base").glob("*.papers.parquet"))
    base.write_bytes(base.read_bytes()[:-100])


def _compacted(workers: Workers, home: Path) -> None:
    """A base, whose segments may be deleted a day later, and newer segments."""
    workers.do("compact", home, now=1)
    workers.do("ingest", home, first=_STEPS, until=_STEPS + 4, publish=True)


SCENES = (
    Scene(name="the first commit", operation="ingest", arguments=_commit(0), steps=0, brings=1),
    Scene(name="a commit", operation="ingest", arguments=_commit(), brings=1),
    Scene(name="a commit, published", operation="ingest", arguments=_commit(publish=True), brings=1, fails=True),
    Scene(name="taking an unseen segment", operation="open", prepare=_unseen_segment, brings=1),
    Scene(name="building the index again", operation="rebuild"),
    Scene(name="a compaction", operation="compact", arguments={"now": 1}, fails=True, tidy=True),
    Scene(
        name="a full compaction of a base and segments",
        operation="compact",
        arguments={"now": 3, "full": True},
        more=4,
        prepare=_compacted,
        tidy=True,
    ),
    Scene(name="a merge", operation="ingest", arguments=_commit(12), steps=12, brings=1),
    Scene(name="a bulk load", operation="ingest", arguments=_commit(13), steps=13, brings=1, fails=True),
    Scene(name="a split", operation="ingest", arguments=_commit(14), steps=14, brings=1),
    Scene(name="a repair of the index", operation="repair", prepare=_no_index, mends=True),
    Scene(name="a repair of a base", operation="repair", prepare=_damaged_base, tidy=True, mends=True),
)


@dataclass(slots=True)
class Stage:
    """The scene's archive, put back as it was before each trial. Its path stays the same: papers.duckdb names files."""

    workers: Workers
    folder: Path
    scene: Scene
    home: Path = field(init=False)
    kept: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.home, self.kept = self.folder / "home", self.folder / "kept"
        self.scene.make(self.workers, self.home)
        self.home.rename(self.kept)

    def start(self) -> Running:
        """The operation on a fresh copy, ready to go."""
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self.kept, self.home)
        return self.start_here()

    def start_here(self) -> Running:
        """The operation on whatever lies there, ready to go."""
        return self.workers.start(self.scene.operation, self.home, **self.scene.arguments)

    def check(self, acknowledged: int) -> dict[str, Any]:
        """Check it after a trial that acknowledged so many steps."""
        scene = self.scene
        if scene.mends:
            self.workers.run(scene.operation, self.home, **scene.arguments)
        before = scene.steps + scene.more
        asked = {"acknowledged": before + acknowledged, "until": before + scene.brings + 1, "tidy": scene.tidy}
        return checked(self.workers.run("check", self.home, **asked))


def checked(outcome: Outcome) -> dict[str, Any]:
    """What a check has found; an archive that cannot even be checked is a fault."""
    if outcome.result:
        return outcome.result
    broken = outcome.error or outcome.traceback.strip().splitlines()[-1:] or f"status {outcome.status}"
    return {"faults": [f"the archive cannot be checked: {broken}"]}
