"""Bring the files of an archive that was written before its last columns came to the columns of today, once.

SQL reads the files as they are, so all of them have to have the same columns: those that came later are null in what
was written before. Everything becomes one base. Killed at any point, the next opening begins again or goes on.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from storage.compact import compact_held, refuse_damaged
from storage.errors import ArchiveCorrupt
from storage.locks import exclusive
from storage.tables import COLUMNS_ID, columns_missing

if TYPE_CHECKING:
    from storage.archive import Archive
    from storage.index import FileRow

KEY = "columns"  # of the index: which columns all files are known to have


def bring_up(archive: Archive) -> bool:
    """Give every file the columns of today; says whether one lacked any. Costs one look-up where that was done before.

    Raises ArchiveCorrupt where a file is not what was committed, ArchiveFull, ArchiveError.
    """
    index = archive.index
    if index.get_meta(KEY) == COLUMNS_ID:
        return False
    behind = _behind(archive)
    if True in behind:
        with exclusive(archive.folder / "compact.lock", what="another compaction is running"):
            archive.recover()  # another program may have done it while this one waited
            if True in _behind(archive):
                _rewrite(archive, datetime.now(UTC))
    elif None in behind:
        return False  # it will be asked again
    with index.transaction():
        index.set_meta(KEY, COLUMNS_ID)
    return True in behind


def _behind(archive: Archive) -> list[bool | None]:
    """Of each file whether it lacks a column; None: it is damaged, and `verify` will say so."""
    return [_lacks(archive, file) for file in archive.index.files("log", "papers", "history")]


def _lacks(archive: Archive, file: FileRow) -> bool | None:
    try:
        return columns_missing(archive.path(file), file.footer)
    except ArchiveCorrupt:
        return None


def _rewrite(archive: Archive, now: datetime) -> None:
    """Make one base of everything."""
    files = archive.index.files("log", "papers", "history")
    if [file.kind for file in files if file.kind != "history"] == ["papers"]:
        refuse_damaged(archive, files)
        # A base of the same commits would have the same name, and no file is ever replaced.
        archive.append_nothing("columns", now=now)
    compact_held(archive, now=now, full=True)
