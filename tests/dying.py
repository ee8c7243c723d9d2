"""A child that dies at its n-th change of the disk: at the n-th link, removal, fsync or writing statement of SQLite."""

from __future__ import annotations

import os
import sqlite3
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

KILLED = 77  # its exit status
_EVENTS = ("os.link", "os.remove", "os.rename", "os.mkdir", "os.rmdir")


def do_and_die(work: Callable[[], object], point: int) -> NoReturn:
    """Do `work` in this process, which is a fork, and end it: at its point-th change, or after the work."""
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
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - the child ends here, whatever it was; the parent sees its status
        traceback.print_exc()
    finally:
        os._exit(status)
