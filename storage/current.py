"""The rows that are current, read from the files: what tagging and searching follow the archive by."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from storage.tables import read_rows

if TYPE_CHECKING:
    from storage.archive import Archive
    from storage.index import FileRow


def current_rows(
    archive: Archive,
    files: Iterable[FileRow],
    stale: Collection[tuple[str, int]],
    *,
    after: int,
    columns: Sequence[str] | None = None,
) -> Iterator[pa.Table]:
    """The rows of `files` that commits after `after` made and that `stale` does not name, every page checked.

    `columns` must hold paper_id and seq. Raises ArchiveCorrupt.
    """
    for file in files:
        if file.hi <= after:
            continue
        for table in read_rows(archive.path(file), columns, after=after, footer=file.footer):
            kept = table.filter(pc.greater(table["seq"], after))
            if stale:
                keys = zip(kept["paper_id"].to_pylist(), kept["seq"].to_pylist(), strict=True)
                kept = kept.filter(pa.array([key not in stale for key in keys], pa.bool_()))
            if kept.num_rows:
                yield kept
