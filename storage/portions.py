"""A long list in portions, for whoever takes only so many at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

_T = TypeVar("_T")


def portions(values: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Yield `values` in their order, up to `size` at a time."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
