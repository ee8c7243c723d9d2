"""What the machine does to an archive, and the child process that does it too and is killed on the way."""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from flows.decide import decide
from storage.archive import Archive
from storage.bulk import load
from storage.catalog import refresh_catalog
from storage.compact import compact, delete_retired
from storage.errors import ArchiveError
from storage.model import Entry
from storage.settings import Settings
from tests.dying import KILLED, do_and_die
from tests.model.entries import BULK, table_of

ROOT = Path(__file__).resolve().parents[2]
_HEADER = struct.Struct("<I")


def append(archive: Archive, *, batch_id: str, entries: list[Entry], now: datetime) -> int:
    """Commit a batch; returns how many papers were written."""
    commit = archive.append(entries, source="wire", batch_id=batch_id, now=now, decide=decide)
    return commit.papers if commit.seq else 0


def bulk(archive: Archive, *, load_id: str, entries: list[Entry], now: datetime) -> None:
    """Load a table."""
    load(archive, [table_of(entries)], source=BULK, load_id=load_id, now=now, decide=decide)


def merge(archive: Archive, *, kept: str, other: str, now: datetime) -> None:
    """Make two papers one."""
    archive.merge(kept, other, reason="by chance", now=now)


def split(archive: Archive, *, other: str, now: datetime) -> bool:
    """Undo a merge; says whether it could be."""
    try:
        archive.split(other, reason="by chance", now=now)
    except ArchiveError as error:
        if "nothing is known of" in str(error) or "was merged itself" in str(error):
            return False
        raise
    return True


def shrink(archive: Archive, *, full: bool, now: datetime) -> None:
    """Compact."""
    compact(archive, full=full, now=now)


def delete(archive: Archive, *, now: datetime) -> None:
    """Delete what was retired a day ago."""
    delete_retired(archive, now=now)


def publish(archive: Archive, *, now: datetime) -> None:
    """Publish papers.duckdb."""
    refresh_catalog(archive, Settings(home=archive.home), (), now=now)


def rebuild(archive: Archive, *, now: datetime) -> None:
    """Build the index again."""
    archive.rebuild_index()


OPERATIONS: dict[str, Callable[..., Any]] = {f.__name__: f for f in (append, bulk, merge, split, shrink, delete)}
OPERATIONS |= {f.__name__: f for f in (publish, rebuild)}


class Killer:
    """A process that has opened nothing itself and forks a child for every operation that is to be killed."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.model.operations"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Killer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def kill(self, home: Path, name: str, arguments: dict[str, Any], point: int) -> bool:
        """Do an operation in a child that is killed at its point-th change of the disk; says whether it came so far."""
        assert self._process.stdin
        assert self._process.stdout
        _send(self._process.stdin, (home, name, arguments, point))
        status = _receive(self._process.stdout)
        assert status in (0, KILLED), f"{name} ended with {status} of itself"
        return bool(status)


def _serve() -> None:
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while (request := _receive(source)) is not None:
        pid = os.fork()
        if pid == 0:
            *asked, point = request
            do_and_die(partial(_operate, *asked), point)
        _, status = os.waitpid(pid, 0)
        _send(target, os.waitstatus_to_exitcode(status))


def _operate(home: Path, name: str, arguments: dict[str, Any]) -> None:
    with Archive(home) as archive:
        OPERATIONS[name](archive, **arguments)


def _send(stream: IO[bytes], value: object) -> None:
    body = pickle.dumps(value)
    stream.write(_HEADER.pack(len(body)) + body)
    stream.flush()


def _receive(stream: IO[bytes]) -> Any:
    header = stream.read(_HEADER.size)
    return pickle.loads(stream.read(_HEADER.unpack(header)[0])) if header else None  # noqa: S301 - from ourselves


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _serve()
