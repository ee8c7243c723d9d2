"""What a power cut must not take back: bytes, and the names that point at them."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import ArchiveError, ArchiveFull


def fsync(path: Path) -> None:
    """Return once the bytes of a file, or the names in a folder, are on the disk (fsync(2)). Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def committed(final: Path) -> Iterator[Path]:
    """Give a temporary path to write to; at the end its bytes are fsynced, linked to `final`, and the folder fsynced.

    The link is the commit: it fails where the name is taken, so two writers cannot commit the same place.
    Raises FileExistsError then, ArchiveFull where no room is left, ArchiveError; the temporary file is gone either way.
    """
    temporary = final.with_name(f".tmp-{os.getpid()}-{final.name}")
    try:
        yield temporary
        fsync(temporary)
        os.link(temporary, final)
    except FileExistsError:
        raise
    except OSError as error:
        raise translated(error, final) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    try:
        fsync(final.parent)
    except OSError as error:
        raise translated(error, final) from error


def sweep(folder: Path, pattern: str = ".tmp-*") -> None:
    """Remove what killed writers left in `folder`. Only for the holder of its lock: nobody else writes there."""
    for path in folder.glob(pattern):
        path.unlink(missing_ok=True)


def translated(error: OSError, path: Path) -> ArchiveError:
    """Say in one line of ours what writing or reading `path` failed of."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ArchiveFull(f"no room to write {path.name}; nothing of this batch was kept, the next pass retries")
    return ArchiveError(f"cannot use {path.name}: {error.strerror or error}")
