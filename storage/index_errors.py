"""SQLite's errors, those of the disk, and what cannot be what was written, in one line of ours."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar, cast

from storage import durable
from storage.errors import ArchiveCorrupt, ArchiveError, ArchiveFull

BUSY_SECONDS = 60  # how long a writer waits for another one
_Reader = TypeVar("_Reader", bound=Callable[..., Any])


def reading(method: _Reader) -> _Reader:
    """Let a method that reads the SQLite file at `self.path` raise nothing but ArchiveError, ArchiveCorrupt."""

    @functools.wraps(method)
    def read(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except sqlite3.Error as error:
            raise translated(error, self.path) from error
        # What rows become here was written by us: a time that is none is a bit that flipped.
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{self.path.name} holds what was never written ({error}); `paperwire verify --repair`"
            raise ArchiveCorrupt(reason) from error

    return cast(_Reader, read)


def translated(error: Exception, path: Path) -> ArchiveError:
    """Turn an error of SQLite's or of the disk into one line of ours."""
    if isinstance(error, OSError):
        return durable.translated(error, Path(error.filename or path))
    text = str(error)
    if "disk is full" in text or "disk I/O" in text:
        return ArchiveFull(f"no room to write {path.name} ({text}); the next pass retries this batch")
    if "locked" in text:
        return ArchiveError(f"another pass has held {path.name} for more than {BUSY_SECONDS} s")
    return ArchiveError(f"{path}: {text}")


def refuse_newer(path: Path, known: int) -> None:
    """Raise ArchiveError where a newer Paperwire wrote the index; no byte changes, in its write-ahead log neither."""
    if not path.exists():
        return
    log = path.with_name(f"{path.name}-wal")
    # Where it was killed, the newest header lies in the log; else nothing but the file is looked at. Never by open():
    # closing the file would let go of the locks of all connections in this process (sqlite.org/howtocorrupt.html, 2.2).
    mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError:
        return  # whoever opens it to use it is told what is wrong with it
    if version > known:
        raise ArchiveError(
            f"{path.name} was written by a newer Paperwire (schema {version}, this one knows {known}); upgrade"
        )
