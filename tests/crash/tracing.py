"""strace(1): count the system calls of an operation, and have it killed or fail just before the n-th of a kind."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.crash.workers import Outcome, Running

# Everything that changes what a disk holds. A name this machine's strace does not know is passed over ("?").
CHANGES = (
    *("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range"),
    *("fsync", "fdatasync", "sync_file_range", "msync", "ftruncate", "truncate", "fallocate"),
    *(
        "link",
        "linkat",
        "symlink",
        "rename",
        "renameat",
        "renameat2",
        "unlink",
        "unlinkat",
        "mkdir",
        "mkdirat",
        "rmdir",
    ),
    *("chmod", "fchmod", "utimensat", "openat", "open", "creat"),
)
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)")
_OPENS = ("openat", "open")


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """Just before the n-th call of this kind in one thread, counted from when the operation starts."""

    call: str
    number: int
    what: str = ""  # the call's first arguments, for people

    def __str__(self) -> str:
        return f"{self.call} #{self.number} {self.what}".rstrip()


@cache
def why_not() -> str:
    """Why no system calls can be traced here, or ''."""
    program = shutil.which("strace")
    if not program:
        return "strace is not installed"
    probe = subprocess.run([program, "-f", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return "strace is not permitted here" if probe.returncode else ""


def count(running: Running, log: Path, *, under: Path) -> tuple[list[Point], Outcome]:
    """Let it run unharmed; returns each place where it changes a file under `under`, in no special order.

    Of calls that open a file, those count that make one or open one for writing.
    """
    outcome = traced(running, ["-y", "-s", "0", "-e", f"trace={_names(CHANGES)}", "-o", str(log)])
    return _points(log.read_text(errors="replace"), str(under)), outcome


def openings(running: Running, log: Path, *, under: Path) -> tuple[list[Point], Outcome]:
    """Let it run unharmed; returns each place where it opens anything under `under`, for reading too."""
    outcome = traced(running, ["-y", "-s", "0", "-e", f"trace={_names(_OPENS)}", "-o", str(log)])
    return _points(log.read_text(errors="replace"), str(under), reading=True), outcome


def killed_at(running: Running, point: Point) -> Outcome:
    """Let it run and have it killed before this call."""
    return traced(running, ["-e", f"trace={point.call}", "-e", f"inject={point.call}:signal=KILL:when={point.number}"])


def failed_at(running: Running, point: Point, error: str, *, on: bool = False) -> Outcome:
    """Let it run and have this call fail with an errno; with `on`, every later one in the same thread too."""
    when = f"{point.number}+" if on else str(point.number)
    return traced(running, ["-e", f"trace={point.call}", "-e", f"inject={point.call}:error={error}:when={when}"])


def traced(running: Running, options: list[str]) -> Outcome:
    """Let it run under strace with these options."""
    where = [] if "-o" in options else ["-o", "/dev/null"]
    command = ["strace", "-f", "-p", str(running.pid), *options, *where]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr
        line = tracer.stderr.readline()
        assert "attached" in line, f"strace: {line}"
        outcome = running.go().outcome()
        tracer.stderr.read()
    return outcome


def spread(points: Sequence[Point], points_max: int) -> list[Point]:
    """At most so many of the points, in equal steps through all kinds of call."""
    ordered = sorted(points)
    return ordered[:: max(1, -(-len(ordered) // points_max))]


def _names(calls: tuple[str, ...]) -> str:
    return ",".join(f"?{call}" for call in calls)


def _points(log: str, under: str, *, reading: bool = False) -> list[Point]:
    """Every counted call by its number in its thread; a number that several threads reach is one point."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    found: dict[tuple[str, int], Point] = {}
    for line in log.splitlines():
        called = _CALL.match(line)
        if not called:
            continue
        thread, call, arguments = called.groups()
        counts[thread][call] += 1
        number = counts[thread][call]
        if under not in arguments or (call in _OPENS and not reading and not _writes(arguments)):
            continue
        found.setdefault((call, number), Point(call, number, _short(arguments, under)))
    return list(found.values())


def _writes(arguments: str) -> bool:
    return any(flag in arguments for flag in ("O_CREAT", "O_WRONLY", "O_TRUNC"))


def _short(arguments: str, under: str) -> str:
    """The file the call is about, relative to `under`."""
    return arguments[arguments.index(under) + len(under) :].split(">")[0].split('"')[0].lstrip("/")
