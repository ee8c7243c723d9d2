"""Killed at any point, raced, locked out or damaged, search says what it was or what it became, or what to do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from storage.errors import ArchiveCorrupt, ArchiveError
from storage.search import Search
from tests.search_rows import a_row, a_search, a_table, found, numbered

ROOT = Path(__file__).resolve().parents[1]
KILLS = 24
ROWS = 150

# A child for each point: the kernel ends it there, within tantivy's threads as within Python. SIGALRM keeps its default
# action, which like SIGKILL runs no handler, no destructor and no clean-up.
CHILDREN = """
import os, signal, sys
from pathlib import Path
from storage.search import Search
from tests.search_rows import numbered

home, what, title = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
rows = numbered(0, int(sys.argv[4]), title=title)
seq = int(sys.argv[5])
signal.setitimer(signal.ITIMER_REAL, float(sys.argv[6]))
search = Search(home)
if what == "update":
    search.update(rows, seq=seq)
else:
    search.rebuild([rows], seq=seq)
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def child(home: Path, what: str, title: str, seq: int, seconds: float) -> int:
    """Write in a process that ends after `seconds` of it; returns its status, negative where it was ended."""
    arguments = [str(home), what, title, str(ROWS), str(seq), str(seconds)]
    return subprocess.run([sys.executable, "-c", CHILDREN, *arguments], cwd=ROOT, check=False).returncode


@pytest.mark.parametrize("what", ["update", "rebuild"])
def test_a_writer_killed_at_any_point_leaves_all_or_nothing(tmp_path: Path, what: str) -> None:
    ...
