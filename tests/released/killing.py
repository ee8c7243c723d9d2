"""Opens a home in a child that is killed at its n-th change of the disk: at the n-th link, removal, fsync or statement.

One warm process that has opened nothing itself forks the children. `Opener` is its other side.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from storage.archive import Archive

ROOT = Path(__file__).resolve().parents[2]
KILLED = 77
_EVENTS = ("os.link", "os.remove", "os.rename", "os.mkdir", "os.rmdir")


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
            _child(Path(home), int(point))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _child(home: Path, point: int) -> None:
    """Never returns."""
    status, points, last = 1, 0, ""

    def tick(what: str) -> None:
        nonlocal points, last
        points += what != last  # the thousand rows of one INSERT are one point
        last = what
        if points == point:
            os._exit(KILLED)

    def heard(event: str, values: tuple[Any, ...]) -> None:
        if event in _EVENTS:
            tick(f"{event} {values[0]}")

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(lambda sql: None if sql.startswith(("SELECT", "PRAGMA")) else tick(sql[:40]))
        return connection

    def synced(descriptor: int) -> None:
        tick(f"fsync {points}")
        fsync(descriptor)

    sys.addaudithook(heard)
    connect, fsync = sqlite3.connect, os.fsync
    sqlite3.connect, os.fsync = traced, synced  # type: ignore[assignment] # what makes no event, here in the child
    try:
        with Archive(home):
            status = 0
    except BaseException:  # noqa: BLE001 - the child ends here, whatever it was; the parent sees its status
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    _serve()
