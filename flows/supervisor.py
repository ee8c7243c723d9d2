"""`paperwire up`: web site, Prefect server, schedules and flow runs as one process tree with one child.

    this process ── web server (a thread)
                 ├─ the flows (service.py; they run in this thread's event loop)
                 └─ Prefect server (a child: SQLite, loopback only, started again when it dies)

The site is served at once, whatever becomes of Prefect, which is imported only after its settings are set.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from rich.console import Console

from flows.board import Board
from flows.prefect_server import PrefectServer, prefect_environment
from flows.site_server import listen, serving, url_of
from storage.errors import ConfigError, PaperwireError
from storage.locks import exclusive
from storage.settings import Settings

_LOOPBACK = "127.0.0.1"
_SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
_STOP_SECONDS_MAX = 9.5
_EXIT_SECONDS = 0.5


def run_up(settings: Settings, *, console: Console) -> int:
    """Run everything until SIGINT, SIGTERM or SIGHUP; within 10 seconds of it all processes are gone. Returns 0.

    Raises PaperwireError where this home is in use or a port is taken; ConfigError where no source is configured or
    the settings come from no file: the flows read it again for each run.
    """
    if settings.path is None or not settings.source:
        missing = "no [[source]] is configured" if settings.path else "`up` needs a configuration file"
        raise ConfigError(missing, path=settings.path)
    home, stop = settings.home, threading.Event()
    with ExitStack() as stack:
        taken = f"`paperwire up` is already running on {home}"
        stack.enter_context(exclusive(home / "prefect" / "up.lock", what=taken, wait=False))
        stack.enter_context(_stopping(stop))
        listener = stack.enter_context(listen(settings.web.host, settings.web.port, hint=_hint("port")))
        prefect_port = _free_port(settings.web.prefect_port)
        board = Board(settings, console, url_of(listener), clock=lambda: datetime.now(UTC))
        stack.enter_context(serving(home / "site", listener, settings=settings))
        board.starting()
        os.environ.update(prefect_environment(home, prefect_port))
        os.environ.update(PAPERWIRE_CONFIG=str(settings.path), PAPERWIRE_HOME=str(home))
        server = stack.enter_context(PrefectServer(home, prefect_port))
        from flows.service import serve  # imports Prefect: 3 s, while the server starts beside us

        try:
            serve(settings, server, stop, board)
        except PaperwireError:
            _leave_within(_STOP_SECONDS_MAX, 1)
            raise
    board.stopped()
    _leave_within(_EXIT_SECONDS, 0)
    return 0


@contextmanager
def _stopping(stop: threading.Event) -> Iterator[None]:
    """Set `stop` at the first signal that asks for an end; a second one ends us at once, and the child with us."""

    def ask(*_: object) -> None:
        stop.set()
        _leave_within(_STOP_SECONDS_MAX, 0)
        for number in _SIGNALS:
            signal.signal(number, before[number])

    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        yield
    finally:
        for number in _SIGNALS:
            signal.signal(number, before[number])


def _free_port(port: int) -> int:
    """The port for the Prefect server, checked to be free now."""
    with listen(_LOOPBACK, port, hint=_hint("prefect_port")) as listener:
        return int(listener.getsockname()[1])


def _hint(setting: str) -> str:
    return f"set [web] {setting} to another one, or to 0 for any"


def _leave_within(seconds: float, code: int) -> None:
    """End this process in so many seconds, whatever holds it by then.

    A read that hangs in a thread would, and so would Prefect, which at exit waits without limit for a server that is
    gone. The archive withstands it, and the child goes with us.
    """
    timer = threading.Timer(seconds, os._exit, [code])
    timer.daemon = True
    timer.start()
