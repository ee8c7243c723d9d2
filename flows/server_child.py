"""The child process that is the Prefect server: it ends with its parent, however the parent ends.

Runs as a script, `server_child.py PORT`, with everything else in PREFECT_* variables; its standard input is a pipe
that its parent holds open. It imports nothing of Paperwire.
"""

from __future__ import annotations

import ctypes
import gc
import os
import runpy
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1  # prctl(2)
_COLLECT_SECONDS = 2.0
_OLD_EVERY = 30  # of so many collections one looks at everything


def main() -> None:
    """Serve on 127.0.0.1 until told to stop."""
    die_with_parent()
    collect_elsewhere()
    sys.argv = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", sys.argv[1]]
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)


def die_with_parent() -> None:
    """Have the kernel kill this process with its parent; where it cannot, the end of standard input says so."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # Also on Linux: the parent may have gone before the line above.
    threading.Thread(target=_watch_input, daemon=True).start()


def collect_elsewhere() -> None:
    """Collect garbage on a thread of its own instead of wherever it falls due.

    On the event loop's thread a collection that frees a SQLite cursor waits for the thread that uses its connection;
    where that one waits for the lock of a transaction which only the loop can end, the whole server stands still for
    SQLite's 60 seconds. Seen in one of six restarts of Prefect 3.8.8.
    """
    gc.disable()
    threading.Thread(target=_collect, daemon=True).start()


def _collect() -> None:
    turn = 0
    while True:
        time.sleep(_COLLECT_SECONDS)
        turn += 1
        gc.collect(1 if turn % _OLD_EVERY else 2)


def _watch_input() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
