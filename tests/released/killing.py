"""Opens a home in a child that is killed at its n-th change of the disk: at the n-th link, removal, fsync or statement.

One warm process that has opened nothing itself forks the children. `Opener` is its other side.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import TracebackType

from storage.archive import Archive
from tests.dying import KILLED, do_and_die

ROOT = Path(__file__).resolve().parents[2]


class Opener:
    """The warm process. Use as a context manager."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.released.killing"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Opener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def killed(self, home: Path, point: int) -> bool:
        """Open the home in a child killed at its point-th change; says whether it came that far."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{point} {home}\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        assert status in (0, KILLED), f"the opening ended with {status} of itself"
        return status == KILLED


def _serve() -> None:
    for line in sys.stdin:
        point, home = line.rstrip("\n").split(" ", 1)
        pid = os.fork()
        if pid == 0:
            do_and_die(partial(_open, Path(home)), int(point))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _open(home: Path) -> None:
    with Archive(home):
        pass


if __name__ == "__main__":
    _serve()
