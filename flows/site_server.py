"""The published folder, served from a thread of this process: what `up` and `demo` have in common."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from publishers.web import web_app
from storage.errors import PaperwireError
from storage.settings import Settings

_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 where a browser on this machine looks
_START_SECONDS = 10.0
_STOP_SECONDS = 1.0
_BACKLOG = 128


def listen(host: str, port: int, *, hint: str) -> socket.socket:
    """Listen on a port; 0 takes a free one. Raises PaperwireError, which ends in `hint`."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # Named as TCP: asyncio sets TCP_NODELAY only then, and a page takes 1 ms instead of 46.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address[:2])
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener
    except OSError as error:
        own = error.errno is not None and error.errno > 0  # below zero it is getaddrinfo's
        reason = os.strerror(error.errno) if own and error.errno else error.strerror
        raise PaperwireError(f"port {port} of {host} cannot be had ({reason}); {hint}") from error


def url_of(listener: socket.socket) -> str:
    """Return where a browser on this machine finds what listens here."""
    host, port = listener.getsockname()[:2]
    host = _HERE.get(host, host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


@contextmanager
def serving(site: Path, listener: socket.socket, *, settings: Settings | None = None) -> Iterator[None]:
    """Serve the folder `site` until the block ends; with `settings` also what the archive in their home answers."""
    config = uvicorn.Config(
        web_app(site, settings=settings),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="web", daemon=True)
    thread.start()
    deadline = time.monotonic() + _START_SECONDS
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_STOP_SECONDS)
