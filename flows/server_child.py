"""The child process that is the Prefect server: it ends with its parent, however the parent ends.

Runs as `python -m flows.server_child PORT` with everything else in PREFECT_* variables; its standard input is a pipe
that its parent holds open.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> None:
    """Serve on 127.0.0.1 until told to stop."""
    die_with_parent()
    sys.argv = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", sys.argv[1]]
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)


def die_with_parent() -> None:
    """Have the kernel kill this process with its parent; where it cannot, the end of standard input says so."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # Also on Linux: the parent may have gone before the line above.
    threading.Thread(target=_watch_input, daemon=True).start()


def _watch_input() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
