"""The Prefect server as a child of this process: started, watched, started again when it dies, and stopped.

It listens on loopback only, keeps its own SQLite file under home/prefect, and calls nobody.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import httpx

_SCRIPT = Path(__file__).with_name("server_child.py")
_LOOPBACK = "127.0.0.1"
_LOG_BYTES_MAX = 5_000_000  # then the log is kept once more under another name
_LOOK_SECONDS = 0.2
_WELL_AFTER_SECONDS = 60.0  # a server that ran so long is started again at once
_RESTART_SECONDS_MAX = 30.0
_STOP_SECONDS = 2.0
_KEPT_SECONDS = 14 * 86_400  # flow runs and events older than that leave Prefect's pages; the archive has it all


def prefect_environment(home: Path, port: int) -> dict[str, str]:
    """The settings of server and client, to be set before Prefect is imported: it reads them then."""
    address = f"{_LOOPBACK}:{port}"
    return {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": f"http://{address}/api",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect' / 'prefect.db'}",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "prefect" / "ui"),  # its own folder may be read-only
        # Nobody is called: neither by the server nor, as its second UI does even so, by the browser.
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # Loopback is no border to a browser: by default any page it shows could call the API.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://{address},http://localhost:{port}",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(_KEPT_SECONDS),
        "PREFECT_LOGGING_LEVEL": "INFO",  # goes into Prefect's pages and home/prefect/runner.log
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    }


class PrefectServer:
    """A server on a loopback port; a context manager. Its environment is that of this process."""

    def __init__(self, home: Path, port: int) -> None:
        self.port, self.log = port, home / "prefect" / "server.log"
        self.url = f"http://{_LOOPBACK}:{port}/"
        self.starts = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the child. Call it on the main thread: on Linux the child dies with the thread that started it."""
        self.starts, self._started_at = self.starts + 1, time.monotonic()
        with _log_file(self.log) as log:
            self._child = subprocess.Popen(  # noqa: S603 our own interpreter and script
                [sys.executable, "-P", str(_SCRIPT), str(self.port)],
                stdin=subprocess.PIPE,  # never written to: its end tells the child that we are gone
                stdout=log,
                stderr=log,
                start_new_session=True,  # an interrupt from the terminal is for us to handle
            )

    def stop(self) -> None:
        """End the child: asked first, killed after two seconds, which its database withstands."""
        child, self._child = self._child, None
        if child is None:
            return
        child.terminate()
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdin:
            child.stdin.close()

    async def keep(self, say: Callable[[str], None]) -> None:
        """Start the child again whenever it dies, after a while that doubles while it keeps dying; until cancelled."""
        wait_seconds = 1.0
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            code = self._child.poll() if self._child else None
            if self._child is None or code is None:
                continue
            lasted = time.monotonic() - self._started_at
            wait_seconds = 1.0 if lasted > _WELL_AFTER_SECONDS else min(wait_seconds * 2, _RESTART_SECONDS_MAX)
            say(f"the Prefect server ended (status {code}, see {self.log}); starting it again in {wait_seconds:.0f} s")
            self.stop()
            await asyncio.sleep(wait_seconds)
            self.start()

    async def answers(self) -> None:
        """Wait until the server answers."""
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            while True:
                try:
                    if (await client.get(f"{self.url}api/health")).is_success:
                        return
                except httpx.HTTPError:
                    pass  # not yet
                await asyncio.sleep(_LOOK_SECONDS)


def _log_file(path: Path) -> IO[bytes]:
    """Open the log at its end; a long one is put aside first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_BYTES_MAX:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")
