"""Processes that do one operation on an archive and can be killed at any moment.

Python and its libraries take a second to load, and thousands of processes are to die: one warm process that has
touched nothing yet forks them. Each tells what it has done over a socket, which no injected fault can reach.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).absolute().parents[2]
SECONDS_MAX = 300  # an operation of which nothing is heard for longer is stuck


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an operation ended."""

    acknowledged: tuple[int, ...]  # the steps said to be committed, as they came
    status: int  # 0, or what killed the process, as a negative signal number
    error: str  # an error of ours, with its class: "ArchiveFull: no room …"
    traceback: str  # any other exception; there must be none
    result: dict[str, Any]

    @property
    def killed(self) -> bool:
        """Whether it was killed."""
        return self.status == -signal.SIGKILL


class Running:
    """A process that waits for `go` and then works."""

    def __init__(self, server: Workers, pid: int, line: socket.socket) -> None:
        self.pid = pid
        self._server, self._line, self._said = server, line, b""

    def go(self) -> Running:
        """Let it start."""
        self._line.sendall(b"g")
        return self

    def wait_for_steps(self, count: int) -> bool:
        """Return True once it has acknowledged `count` steps, False where it ended before."""
        self._line.settimeout(SECONDS_MAX)
        while self._said.count(b"ack") < count:
            if not self._hear():
                return False
        return True

    def wait(self, seconds: float = SECONDS_MAX) -> bool:
        """Wait until it ends, at most `seconds`; says whether it ended."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._line.settimeout(left)
            try:
                if not self._hear():
                    return True
            except TimeoutError:
                break
        return False

    def kill(self) -> None:
        """Kill it, with no chance to tidy up."""
        os.kill(self.pid, signal.SIGKILL)

    def outcome(self) -> Outcome:
        """Wait until it ends and say how. One that is silent for long is stuck: it is killed, and that is a fault."""
        heard = -1
        while not (ended := self.wait()) and len(self._said) > heard:
            heard = len(self._said)
        stuck = not ended
        if stuck:
            self.kill()
            self.wait()
        self._line.close()
        said = [line.split(" ", 1) for line in self._said.decode(errors="replace").splitlines() if " " in line]
        words: dict[str, str] = {kind: json.loads(rest) for kind, rest in said if kind not in ("ack", "result")}
        result: dict[str, Any] = next((json.loads(rest) for kind, rest in said if kind == "result"), {})
        return Outcome(
            acknowledged=tuple(int(rest) for kind, rest in said if kind == "ack"),
            status=self._server.status(self.pid),
            error=words.get("error", ""),
            traceback=f"stuck for {SECONDS_MAX} seconds" if stuck else words.get("traceback", ""),
            result=result,
        )

    def _hear(self) -> bool:
        try:
            heard = self._line.recv(65_536)
        except ConnectionResetError:
            heard = b""
        self._said += heard
        return bool(heard)


class Workers:
    """The warm process. Use as a context manager."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.worker", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
            )
        self._socket = ours
        self._file = ours.makefile("rb")

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._file.close()
        self._socket.close()
        self._process.wait(10)

    def start(self, operation: str, home: Path, **arguments: Any) -> Running:
        """Fork a process that will do this operation once told to go."""
        ours, theirs = socket.socketpair()
        with theirs:
            request = json.dumps({"operation": operation, "home": str(home), "arguments": arguments})
            socket.send_fds(self._socket, [request.encode()], [theirs.fileno()])
            return Running(self, int(self._file.readline()), ours)

    def run(self, operation: str, home: Path, **arguments: Any) -> Outcome:
        """Do one operation undisturbed."""
        return self.start(operation, home, **arguments).go().outcome()

    def do(self, operation: str, home: Path, **arguments: Any) -> dict[str, Any]:
        """Do one operation that must succeed; returns its result."""
        outcome = self.run(operation, home, **arguments)
        assert outcome.status == 0, f"{operation} died: {outcome}"
        assert not outcome.error, f"{operation} failed: {outcome.error}"
        assert not outcome.traceback, f"{operation} broke:\n{outcome.traceback}"
        return outcome.result

    def status(self, pid: int) -> int:
        """Reap a process; its exit status, or minus the signal that killed it."""
        self._socket.sendall(f"reap {pid}".encode())
        return int(self._file.readline())
