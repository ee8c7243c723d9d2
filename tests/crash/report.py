"""One line of the table: how often something was tried, and what it did."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_NAMED = 5


@dataclass(slots=True)
class Row:
    """What one kind of crash has done over many trials."""

    name: str
    points: int = 0  # trials
    killed: int = 0  # trials in which it really struck
    lost: int = 0
    doubled: int = 0
    faults: list[str] = field(default_factory=list)
    note: str = ""
    skipped: str = ""
    seconds: float = 0
    _started: float = field(default_factory=time.monotonic)

    @property
    def failed(self) -> bool:
        """Whether anything was lost, doubled or wrong."""
        return bool(self.lost or self.doubled or self.faults)

    def take(self, where: str, damage: dict[str, Any], broken: str = "") -> None:
        """Add what one trial did; an empty `damage` is none."""
        self.lost += damage.get("lost", 0)
        self.doubled += damage.get("doubled", 0)
        found = [*damage.get("faults", []), *(broken.strip().splitlines()[-1:] if broken else [])]
        self.faults += [f"{where}: {fault}" for fault in found]

    def done(self) -> Row:
        """Stop the clock."""
        self.seconds = time.monotonic() - self._started
        return self

    def summary(self) -> str:
        """Everything wrong in a few lines, '' where nothing is."""
        if not self.failed:
            return ""
        more = [f"and {len(self.faults) - _NAMED} more"] if len(self.faults) > _NAMED else []
        return "\n".join([f"{self.name}: {self.lost} lost, {self.doubled} doubled", *self.faults[:_NAMED], *more])


HEAD = f"{'':52}{'tried':>8}{'struck':>8}{'lost':>6}{'doubled':>9}{'faults':>8}{'seconds':>9}"


def line(row: Row) -> str:
    """One row for a terminal."""
    if row.skipped:
        return f"{row.name:52}  skipped: {row.skipped}"
    numbers = f"{row.points:8}{row.killed:8}{row.lost:6}{row.doubled:9}{len(row.faults):8}{row.seconds:9.0f}"
    return f"{row.name:52}{numbers}  {row.note}".rstrip()


def table(rows: Iterable[Row]) -> str:
    """The rows for a terminal, with their heads."""
    return "\n".join([HEAD, *map(line, rows)])
