"""A file of the ledger: SQLite that only its owner reads, and that keeps its word through a power cut."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from storage.durable import fsync
from storage.errors import ArchiveError, ArchiveFull

_BUSY_SECONDS = 30.0


def open_file(path: Path, schema: str, *, version: int, application_id: int) -> sqlite3.Connection:
    """Open `path`, made private first; a new one gets the tables of `schema` and is there after a power cut.

    WAL with synchronous=FULL: what was committed survives. Raises ArchiveError where the file has another version.
    """
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    # Only a new file is opened here: closing one lets go of the locks that other connections in this process hold on it
    # (sqlite.org/howtocorrupt.html, 2.2).
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)  # -wal and -shm inherit it
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        _prepare(connection, folder, schema, version, application_id)
    except BaseException:
        connection.close()
        raise
    return connection


class LedgerFile:
    """One file of the ledger under `home`, open as long as the block runs. Raises ArchiveError, ArchiveFull."""

    def __init__(self, home: Path, name: str, schema: str, *, version: int, application_id: int) -> None:
        self._folder = home / "ledger"
        with said_plainly(self._folder):
            path = self._folder / name
            self._connection = open_file(path, schema, version=version, application_id=application_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; it cannot be used any more."""
        self._connection.close()


@contextmanager
def transaction(connection: sqlite3.Connection, folder: Path) -> Iterator[sqlite3.Connection]:
    """All that is done in the block is done, or nothing. Raises ArchiveError, ArchiveFull."""
    with said_plainly(folder):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def said_plainly(folder: Path) -> Iterator[None]:
    """Turn what SQLite and the disk say into ArchiveError or ArchiveFull that names `folder`."""
    try:
        yield
    except sqlite3.OperationalError as error:
        full = "full" in str(error)
        raise (ArchiveFull if full else ArchiveError)(f"{folder}: {error}") from error
    except (sqlite3.Error, OSError) as error:
        raise ArchiveError(f"{folder}: the ledger cannot be used: {error}") from error


def _prepare(connection: sqlite3.Connection, folder: Path, schema: str, version: int, application_id: int) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {pragma}")
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found == 0:
        stamps = f"PRAGMA application_id = {application_id};\nPRAGMA user_version = {version};\n"
        connection.execute("BEGIN IMMEDIATE")  # of two processes that start together one makes the tables
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in _statements(schema + stamps):
                connection.execute(statement)
        connection.execute("COMMIT")
        for path in (folder, folder.parent):
            fsync(path)
    elif found != version:
        raise ArchiveError(f"{folder}: the ledger has version {found}, this program writes {version}")


def _statements(script: str) -> Iterator[str]:
    """Split a script into statements; executescript() would commit the transaction that is open."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
