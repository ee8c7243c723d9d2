"""Parquet as the archive writes and reads it: checksummed pages, checked footers, only the row groups needed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.errors import ArchiveCorrupt, ArchiveError
from storage.rows import LATER, SCHEMA, SIGHTING

ROW_GROUP_ROWS = 8_192
# Spelled out: a default that changes must not change the archive.
_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "write_page_checksum": True,
    "write_statistics": [  # what rows are looked up by; of text they would only fill the footer
        *("paper_id", "seq", "until_seq", "new_at", "published_at", "announced_at", "revised_at", "first_seen_at"),
        *("announced_on", "trending_on", "doi", "merged_into", "withdrawn", "revision", "topic"),
    ],
    "use_dictionary": [
        "sources.list.element",
        "categories.list.element",
        "license_url",
        "announcements.list.element",
        "changes.list.element",
        "sightings.list.element.source",
        "sightings.list.element.announcements.list.element",
        "sightings.list.element.categories.list.element",
    ],
    "column_encoding": None,
    "data_page_size": 1 << 20,
    "store_schema": False,
}
_LEVEL, _QUICK_LEVEL = 3, 1  # of compression: what is written to stay, and what a compaction will write again
_BLOOM = {"paper_id": {"ndv": ROW_GROUP_ROWS, "fpp": 0.01}}
_MAGIC_BYTES = 8  # the footer's length and PAR1, at the end of every file


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What a file's bytes were when they were committed."""

    rows: int
    size_bytes: int
    sha256: bytes
    footer: bytes  # 16 bytes over the footer, which no page checksum covers


def writer(path: Path, schema: pa.Schema, *, lasting: bool = False) -> pq.ParquetWriter:
    """Open a Parquet file for writing; a `lasting` one is smaller and has a bloom filter on paper_id a row group."""
    level = _LEVEL if lasting else _QUICK_LEVEL
    bloom = _BLOOM if lasting else None
    return pq.ParquetWriter(path, schema, compression_level=level, bloom_filter_options=bloom, **_OPTIONS)


def stamp_of(path: Path) -> Stamp:
    """Read what a file's bytes are now. Raises ArchiveCorrupt, OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return Stamp(
        rows=_open(path).metadata.num_rows,
        size_bytes=path.stat().st_size,
        sha256=digest,
        footer=footer_of(path),
    )


def sha256_of(path: Path) -> bytes:
    """The sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def footer_of(path: Path) -> bytes:
    """16 bytes over the footer of a Parquet file."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _MAGIC_BYTES))
        length = int.from_bytes(file.read(_MAGIC_BYTES)[:4], "little") + _MAGIC_BYTES
        file.seek(max(0, size - length))
        return hashlib.blake2b(file.read(), digest_size=16).digest()


def open_table(path: Path, footer: bytes | None = None) -> pq.ParquetFile:
    """Open a file so that every page it reads is checked, and its footer where `footer` says what it was.

    Raises ArchiveCorrupt.
    """
    try:
        if footer is not None and footer_of(path) != footer:
            raise ArchiveCorrupt(f"{path.name} cannot be read: its footer is not the one that was committed")
        return _open(path)
    except OSError as error:
        raise damaged(path, error) from error


def read_rows(
    path: Path, columns: Sequence[str] | None = None, *, after: int = 0, footer: bytes | None = None
) -> Iterator[pa.Table]:
    """Read a file row group by row group, every page checked; none that ends before commit `after`.

    Raises ArchiveCorrupt.
    """
    file = open_table(path, footer)
    for group in range(file.metadata.num_row_groups):
        if after:
            statistics = file.metadata.row_group(group).column(SEQ_COLUMN).statistics
            if statistics is not None and statistics.max <= after:
                continue
        yield read_group(file, path, group, columns)


def rows_with(
    path: Path,
    aliases: Collection[str],
    seqs: Iterable[int] | None = None,
    *,
    columns: Sequence[str] | None = None,
    footer: bytes | None = None,
) -> pa.Table:
    """The rows of a file that carry one of `aliases`, in segments `seqs` only where given; every page checked.

    Only the row groups whose statistics admit `seqs` are looked into, and only those with a hit are read whole.
    Raises ArchiveCorrupt.
    """
    file, wanted = open_table(path, footer), None if seqs is None else sorted(set(seqs))
    names = pa.array(sorted(aliases), pa.string())
    found = []
    for group in _groups_holding(file, wanted):
        narrow = read_group(file, path, group, ["seq", "aliases"])
        hits = _hits(narrow, names, wanted)
        if len(hits):
            found.append(read_group(file, path, group, columns).take(hits))
    return pa.concat_tables(found) if found else SCHEMA.empty_table().select(columns or SCHEMA.names)


def rows_named(path: Path, paper_ids: Collection[str], *, footer: bytes | None = None) -> pa.Table:
    """The rows of these papers in a file sorted by paper_id; every page checked. Raises ArchiveCorrupt."""
    file, names = open_table(path, footer), sorted(paper_ids)
    found = []
    for group in range(file.metadata.num_row_groups):
        statistics = file.metadata.row_group(group).column(0).statistics
        # Of an id of more than 4 KB Parquet keeps no statistics.
        unknown = statistics is None or not statistics.has_min_max
        if unknown or any(statistics.min <= name <= statistics.max for name in names):
            table = read_group(file, path, group)
            found.append(table.filter(pc.is_in(table["paper_id"], value_set=pa.array(names, pa.string()))))
    return pa.concat_tables(found) if found else SCHEMA.empty_table()


def damaged(path: Path, error: BaseException) -> ArchiveCorrupt:
    """The error for a file that does not read as what was committed."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return ArchiveCorrupt(f"{path.name} cannot be read: {line}")


def read_group(file: pq.ParquetFile, path: Path, group: int, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one row group of an opened file, every page checked; columns that came later are null.

    Raises ArchiveCorrupt.
    """
    try:
        table = file.read_row_group(group, columns=columns, use_threads=False).replace_schema_metadata(None)
        return _filled(table, columns)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise damaged(path, error) from error


def columns_missing(path: Path, footer: bytes | None = None) -> bool:
    """Whether a file of rows was written before this program's last columns came.

    Raises ArchiveCorrupt; ArchiveError where a newer Paperwire wrote it, with columns this one does not know.
    """
    schema = open_table(path, footer).schema
    there = {schema.column(number).path for number in range(len(schema.names))}
    if there - _PATHS:
        raise ArchiveError(f"{path.name} was written by a newer Paperwire ({min(there - _PATHS)} is new); upgrade")
    return there != _PATHS


def _filled(table: pa.Table, columns: Sequence[str] | None) -> pa.Table:
    """A table of rows of the log with the columns that came after its file was written, all null."""
    there = table.schema.names
    if columns is None and "sightings" not in there:
        return table  # of topics
    for name in LATER:
        if name not in there and (columns is None or name in columns):
            field = SCHEMA.field(name)
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    if "sightings" in there and table.schema.field("sightings").type != SCHEMA.field("sightings").type:
        place = table.schema.get_field_index("sightings")
        table = table.set_column(place, SCHEMA.field("sightings"), _filled_structs(table["sightings"]))
    return table


def _filled_structs(column: pa.ChunkedArray) -> pa.ChunkedArray:
    chunks = []
    for lists in column.chunks:
        old = lists.values
        there = {field.name for field in old.type}
        later = {f.name: pa.nulls(len(old), f.type) for f in SIGHTING if f.name in LATER and f.name not in there}
        arrays = [later[f.name] if f.name in later else old.field(f.name) for f in SIGHTING]
        structs = pa.StructArray.from_arrays(arrays, fields=list(SIGHTING))
        chunks.append(pa.ListArray.from_arrays(lists.offsets, structs))
    return pa.chunked_array(chunks, SCHEMA.field("sightings").type)


def _hits(narrow: pa.Table, names: pa.Array, seqs: Sequence[int] | None) -> pa.Array:
    """The positions of the rows that carry one of `names`."""
    lists = narrow["aliases"].combine_chunks()
    carried = pc.is_in(lists.flatten(), value_set=names)
    rows = pc.unique(pc.list_parent_indices(lists).filter(carried))
    if seqs is None or not len(rows):
        return rows
    return rows.filter(pc.is_in(narrow["seq"].combine_chunks().take(rows), value_set=pa.array(seqs, pa.int64())))


def _groups_holding(file: pq.ParquetFile, seqs: Sequence[int] | None) -> list[int]:
    metadata = file.metadata
    if seqs is None:
        return list(range(metadata.num_row_groups))
    found = []
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(SEQ_COLUMN).statistics
        if statistics is None or any(statistics.min <= seq <= statistics.max for seq in seqs):
            found.append(group)
    return found


def _leaves(kind: pa.DataType) -> int:
    if pa.types.is_list(kind):
        return _leaves(kind.value_type)
    return sum(_leaves(field.type) for field in kind) if pa.types.is_struct(kind) else 1


def leaf_of(name: str) -> int:
    """The position of a flat column among the leaves of a file: nested columns before it count more than once."""
    return sum(
        _leaves(field.type) for field in SCHEMA if SCHEMA.get_field_index(field.name) < SCHEMA.get_field_index(name)
    )


SEQ_COLUMN, NEW_AT_COLUMN = leaf_of("seq"), leaf_of("new_at")


def _paths(name: str, kind: pa.DataType) -> Iterator[str]:
    if pa.types.is_list(kind):
        yield from _paths(f"{name}.list.element", kind.value_type)
    elif pa.types.is_struct(kind):
        yield from (path for field in kind for path in _paths(f"{name}.{field.name}", field.type))
    else:
        yield name


_PATHS = frozenset(path for field in SCHEMA for path in _paths(field.name, field.type))
COLUMNS_ID = hashlib.sha256(" ".join(sorted(_PATHS)).encode()).hexdigest()[:16]
"""Names the columns that this program's files of rows have."""


def _open(path: Path) -> pq.ParquetFile:
    state = path.stat()
    metadata = _metadata(path, state.st_mtime_ns, state.st_size)
    return pq.ParquetFile(path, metadata=metadata, page_checksum_verification=True, memory_map=False)


@lru_cache(maxsize=64)
def _metadata(path: Path, mtime_ns: int, size: int) -> pq.FileMetaData:  # noqa: ARG001 - the key of the cache
    try:
        return pq.read_metadata(path)
    except pa.ArrowException as error:
        raise damaged(path, error) from error
