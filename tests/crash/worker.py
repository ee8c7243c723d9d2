"""The process behind `Workers`: forks a child for each request, and the operations a child can do."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.dataset  # noqa: F401 - pyarrow loads it at its first use; no fault is to strike in an import

from storage.errors import PaperwireError
from tests.crash import operations

_PR_SET_PTRACER, _PTRACER_ANY = 0x59616D61, ctypes.c_ulong(-1)


def serve(line: socket.socket) -> None:
    """Answer requests, one at a time, until the other side closes."""
    while True:
        request, descriptors, _, _ = socket.recv_fds(line, 65_536, 1)
        if not request:
            return
        if request.startswith(b"reap "):
            line.sendall(f"{_reap(int(request[5:]))}\n".encode())
            continue
        pid = os.fork()
        if pid == 0:
            line.close()
            _child(json.loads(request), socket.socket(fileno=descriptors[0]))
        os.close(descriptors[0])
        line.sendall(f"{pid}\n".encode())


def _reap(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _child(request: dict[str, Any], line: socket.socket) -> None:
    """Do one operation and end; never returns."""

    def tell(kind: str, value: object) -> None:
        line.sendall(f"{kind} {json.dumps(value)}\n".encode())

    status = 1
    try:
        with contextlib.suppress(OSError, AttributeError):  # Linux with Yama: else only a parent may trace
            ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _PTRACER_ANY, 0, 0, 0)
        line.recv(1)
        work: Callable[..., dict[str, Any] | None] = operations.ALL[request["operation"]]
        result = work(Path(request["home"]), lambda step: tell("ack", step), **request["arguments"])
        tell("result", result or {})
        status = 0
    except PaperwireError as error:
        tell("error", f"{type(error).__name__}: {error}")
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, the other side must hear of it
        with contextlib.suppress(OSError):
            tell("traceback", traceback.format_exc())
    finally:
        os._exit(status)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
