"""A second look at a database in one process takes no lock from the first (sqlite.org/howtocorrupt.html, 2.2).

POSIX gives a process one set of locks a file: closing any descriptor of it lets go of all. Another process would then
take itself for the last one at the database, and remove the write-ahead log that this one is using.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from storage.archive import Archive
from storage.ledger import Ledger
from storage.listings import Listings
from storage.pushes import Pushes

LAST_ONE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT * FROM sqlite_master").fetchall()
connection.close()
"""
KINDS: dict[str, tuple[Callable[[Path], AbstractContextManager[object]], str]] = {
    "the index": (Archive, "archive/index.sqlite"),
    "the ledger": (Ledger, "ledger/ledger.sqlite"),
    "the pushes": (Pushes, "ledger/pushes.sqlite"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_another_process_does_not_remove_the_log_that_is_in_use(kind: str, tmp_path: Path) -> None:
    make, name = KINDS[kind]
    with make(tmp_path):
        before = sorted(path.name for path in (tmp_path / name).parent.glob("*.sqlite-*"))
        assert {path.rpartition("-")[2] for path in before} >= {"shm", "wal"}
        with make(tmp_path):
            pass
        subprocess.run([sys.executable, "-c", LAST_ONE, tmp_path / name], check=True)
        assert sorted(path.name for path in (tmp_path / name).parent.glob("*.sqlite-*")) == before


def test_the_test_sees_a_lock_that_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "some.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (x)")
    path.open("rb").close()
    subprocess.run([sys.executable, "-c", LAST_ONE, path], check=True)
    assert list(tmp_path.glob("*.sqlite-*")) == []
    connection.close()


def test_listings_are_for_one_at_a_time(tmp_path: Path) -> None:
    with Listings(tmp_path) as listings:
        listings.commit({"key": "a"})
        subprocess.run([sys.executable, "-c", LAST_ONE, tmp_path / "listings.sqlite"], check=True)
        assert (tmp_path / "listings.sqlite-wal").exists()
    with Listings(tmp_path) as again:
        assert again.get("key") == "a"
