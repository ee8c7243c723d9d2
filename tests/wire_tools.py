"""What the tests of `up` and of the flows share: waiting, processes, a source with a gate, and Prefect's API.

Nothing here imports Prefect: it reads its settings at import, and these tests set them per server.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[1]
_LOOK_SECONDS = 0.25
# A machine that is busy with other tests is several times slower than an idle one.
PATIENCE_SECONDS = 120.0


def wait_for(what: str, probe: Callable[[], T | None], *, seconds: float = PATIENCE_SECONDS) -> T:
    """Return the first true answer of `probe`; fails with `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(_LOOK_SECONDS)


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def descendants(pid: int) -> list[int]:
    """The living processes below `pid`."""
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            below.setdefault(int(parent), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        children = below.get(todo.pop(), [])
        found += children
        todo += children
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def command_of(pid: int) -> str:
    """The command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def get(url: str) -> bytes | None:
    """What a URL answers with 200; None for anything else."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 our own servers
            return bytes(answer.read())
    except (OSError, urllib.error.URLError):
        return None


class Gate:
    """A journal's feed on 127.0.0.1 with a gate: while it is shut, who asks has to wait."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.asked = 0
        self.open = threading.Event()
        self.open.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/feed.xml"

    def __enter__(self) -> Gate:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()

    def feed(self) -> bytes:
        """The feed as it stands, RSS 2.0."""
        items = "".join(
            f"<item><title>{title}</title><link>https://journal.test/{n}</link><guid>https://journal.test/{n}</guid>"
            f"<description>An abstract of {title}.</description></item>"
            for n, title in enumerate(self.titles)
        )
        head = "<title>A journal</title><link>https://journal.test/</link><description>d</description>"
        return f'<?xml version="1.0"?><rss version="2.0"><channel>{head}{items}</channel></rss>'.encode()


def _handler(gate: Gate) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            gate.asked += 1
            gate.open.wait(PATIENCE_SECONDS)
            body = gate.feed()
            with suppress(ConnectionError):  # who asked may be gone by now
                self.send_response(200)
                self.send_header("Content-Type", "application/rss+xml")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


class PrefectApi:
    """As much of Prefect's REST API as the tests ask."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/"

    def healthy(self) -> bool:
        """Whether the server answers."""
        return get(f"{self._url}health") is not None

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Post JSON, return JSON. A server whose database is busy says 503 and is asked again, as its client does."""
        return wait_for(f"an answer to {path}", lambda: self._post(path, body))[0]

    def _post(self, path: str, body: dict[str, Any]) -> list[Any] | None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, json.dumps(body).encode(), headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                return [json.load(answer)]
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            return None

    def get(self, path: str) -> Any:
        """Get JSON."""
        return json.loads(wait_for(f"an answer to {path}", lambda: get(self._url + path)))

    def deployments(self) -> dict[str, dict[str, Any]]:
        """All deployments, by name."""
        return {d["name"]: d for d in self.post("deployments/filter", {"limit": 200})}

    def ask_for(self, deployment: str) -> str:
        """Have a deployment run now; returns the id of the flow run."""
        deployment_id = self.deployments()[deployment]["id"]
        body = {"state": {"type": "SCHEDULED"}}
        return str(self.post(f"deployments/{deployment_id}/create_flow_run", body)["id"])

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """The flow runs of a deployment, the earliest first."""
        filters = {"deployments": {"name": {"any_": [deployment]}}}
        return list(self.post("flow_runs/filter", {**filters, "sort": "EXPECTED_START_TIME_ASC", "limit": 200}))

    def state(self, run_id: str) -> str:
        """The type of a run's state."""
        return str(self.get(f"flow_runs/{run_id}")["state_type"])

    def artifacts(self) -> dict[str, str]:
        """The newest artifact of each key."""
        found = self.post("artifacts/latest/filter", {"limit": 200})
        return {a["key"]: str(a["data"]) for a in found}


def environment(**more: str) -> dict[str, str]:
    """Our environment without what another Paperwire or Prefect put there, and with `more`."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "PAPERWIRE_"))}
    return {**ours, "PYTHONUNBUFFERED": "1", "COLUMNS": "200", **more}
