"""How far work has come, for whoever shows it: a function that opens a bar, and one that opens none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Progress = Callable[[int, int | None], None]
Bars = Callable[[str], AbstractContextManager[Progress]]
"""A bar with a label, for one step of the work."""


def no_bar(_: str) -> AbstractContextManager[Progress]:
    """A bar that nobody sees."""
    return nullcontext(lambda _done, _total: None)
