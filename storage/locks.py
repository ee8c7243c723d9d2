"""One at a time, across processes: a lock file that dies with its holder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import PaperwireError


@contextmanager
def exclusive(path: Path, *, what: str, wait: bool = True) -> Iterator[None]:
    """Hold the lock at `path` (flock(2): released by the kernel even after kill -9).

    Raises PaperwireError "<what>" where it is taken and `wait` is false.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise PaperwireError(what) from error
        yield
