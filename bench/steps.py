"""One step of a benchmark in a process of its own: what it cost, and how the parent learns of it.

A child prints one JSON object a step. CPU is user and system time of the process and of what it started; memory is the
peak of the resident set during the step (`VmHWM`, reset before it): `ru_maxrss` would carry the parent's over `exec`.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

Values = dict[str, Any]
T = TypeVar("T")


@dataclass(slots=True)
class Cost:
    """What the code under `measured()` cost; `seconds_spared` is thread time of making its input, taken off."""

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_bytes: int = 0
    seconds_spared: float = 0.0

    def values(self, **more: object) -> Values:
        """As the parts of a result."""
        cost = {"cpu_s": self.cpu_seconds, "wall_s": self.wall_seconds, "peak_mb": self.peak_bytes / 1e6}
        return {name: round(value, 4) for name, value in cost.items()} | more


@dataclass(frozen=True, slots=True)
class Result:
    """One step's outcome; `error` says why there are no values."""

    step: str
    size: int
    values: Values = field(default_factory=dict)
    error: str | None = None


@contextlib.contextmanager
def measured() -> Iterator[Cost]:
    """Measure the block."""
    cost = Cost()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    cpu, wall = cpu_seconds(), time.perf_counter()
    yield cost
    cost.cpu_seconds = cpu_seconds() - cpu - cost.seconds_spared
    cost.wall_seconds = time.perf_counter() - wall - cost.seconds_spared
    cost.peak_bytes = peak_bytes()


def cpu_seconds() -> float:
    """CPU seconds of this process and its ended children so far."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_bytes() -> int:
    """The largest resident set of this process since the last reset."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text(encoding="ascii")) if status.exists() else None
    return 1024 * (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def spared(items: Iterator[T], cost: Cost) -> Iterator[T]:
    """Yield `items`; the time that making them takes is not the measured code's."""
    while True:
        start = time.thread_time()
        try:
            item = next(items)
        except StopIteration:
            return
        finally:
            cost.seconds_spared += time.thread_time() - start
        yield item


def run_step(module: str, step: str, size: int, *arguments: str, timeout_seconds: float) -> list[Result]:
    """Run `python -m module --step step --size size …` and return what it printed; a failure is a result too."""
    command = [sys.executable, "-m", module, "--step", step, "--size", str(size), *arguments]
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    with tempfile.TemporaryFile("w+") as errors:
        try:
            child = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, timeout=timeout_seconds, env=environment
            )
        except subprocess.TimeoutExpired as expired:
            printed = (expired.stdout or b"").decode() if isinstance(expired.stdout, bytes) else expired.stdout or ""
            return [*_results(printed), Result(step, size, error=f"stopped after {timeout_seconds:,.0f} s")]
        errors.seek(0)
        said = [line for line in errors.read().splitlines() if line.strip()]
    results = _results(child.stdout)
    if child.returncode:
        results.append(Result(step, size, error=said[-1][:300] if said else f"exit code {child.returncode}"))
    return results


def tell(step: str, size: int, **values: object) -> None:
    """Print a result for the parent."""
    print(json.dumps({"step": step, "size": size, "values": values}), flush=True)


def _results(printed: str) -> list[Result]:
    found = (json.loads(line) for line in printed.splitlines() if line.startswith('{"step"'))
    return [Result(row["step"], row["size"], row["values"]) for row in found]


def machine() -> str:
    """The machine and the versions that matter, on one line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text(encoding="utf-8"))
        model = found[1].strip() if found else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    packages = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "pyarrow"))
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GB; Python {platform.python_version()}, {packages}"
