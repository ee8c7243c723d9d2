"""Merge the rows of many files into two sorted ones, in bounded memory.

Row groups are read in the order of their first row. What is known to come before every group not yet read is sorted
and written; so memory holds the groups that overlap, not the archive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.rows import SCHEMA
from storage.tables import NEW_AT_COLUMN, ROW_GROUP_ROWS, Stamp, open_table, read_group, stamp_of, writer

_LAST_DAY = datetime(9999, 12, 31)  # noqa: DTZ001 - files hold times without a zone
_CHUNK_ROWS = 8 * ROW_GROUP_ROWS  # sorted and written at once
_PAPER_ID_COLUMN = 0


@dataclass(frozen=True, slots=True)
class Input:
    """A file to merge, and what its footer was when it was committed."""

    path: Path
    footer: bytes


@dataclass(frozen=True, slots=True)
class _Order:
    """What a file is sorted by: the keys with their directions, the first one's place among the leaves."""

    keys: tuple[tuple[str, str], ...]
    column: int
    first: Any  # nothing comes before it

    @property
    def descending(self) -> bool:
        return self.keys[0][1] == "descending"


_NEWEST_FIRST = _Order(
    (("new_at", "descending"), ("seq", "descending"), ("paper_id", "ascending")), NEW_AT_COLUMN, _LAST_DAY
)
_BY_PAPER = _Order((("paper_id", "ascending"), ("seq", "ascending")), _PAPER_ID_COLUMN, "")


@dataclass(frozen=True, slots=True)
class _Group:
    """A row group not yet read; nothing in it comes before `bound`."""

    bound: Any
    rows: int
    load: Callable[[], pa.Table]


def write_rows(
    papers: Path,
    past: Path,
    live: list[Input],
    history: list[Input],
    stale: dict[tuple[str, int], int],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Stamp, Stamp]:
    """Write the current rows newest first to `papers`, the superseded ones by paper to `past`; returns their stamps.

    `stale` says which rows of the live files are superseded, and by which commit. Raises ArchiveCorrupt.
    """
    moved: list[pa.Table] = []
    names = pa.array(sorted({paper_id for paper_id, _ in stale}), pa.string())
    groups = [g for one in live for g in _groups(one, _NEWEST_FIRST)]
    done, total = 0, sum(g.rows for g in groups)
    with writer(papers, SCHEMA, lasting=True) as out:
        for table in _sweep(groups, _NEWEST_FIRST, lambda t: _without_stale(t, names, stale, moved)):
            out.write_table(table, row_group_size=ROW_GROUP_ROWS)
            done += table.num_rows
            if progress:
                progress(done, total)
    past_groups = [g for one in history for g in _groups(one, _BY_PAPER)]
    if moved:
        superseded = _sorted(moved, _BY_PAPER)
        past_groups.append(_Group(superseded["paper_id"][0].as_py(), superseded.num_rows, lambda: superseded))
    with writer(past, SCHEMA, lasting=True) as out:
        for table in _sweep(past_groups, _BY_PAPER, lambda t: t):
            out.write_table(table, row_group_size=ROW_GROUP_ROWS)
    return stamp_of(papers), stamp_of(past)


def _groups(one: Input, order: _Order) -> Iterator[_Group]:
    file = open_table(one.path, one.footer)
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        statistics = group.column(order.column).statistics
        bound = statistics and (statistics.max if order.descending else statistics.min)
        # Parquet keeps no statistics of a text of more than 4 KB, which an id can be; such a group is read at once.
        bound = order.first if bound is None else bound
        yield _Group(bound, group.num_rows, _loader(file, one.path, number))


def _loader(file: pq.ParquetFile, path: Path, number: int) -> Callable[[], pa.Table]:
    return lambda: read_group(file, path, number)


def _sweep(groups: list[_Group], order: _Order, keep: Callable[[pa.Table], pa.Table]) -> Iterator[pa.Table]:
    """The rows of all groups in order, in tables of whole row groups but for the last."""
    groups = sorted(groups, key=lambda g: g.bound, reverse=order.descending)
    pending: list[pa.Table] = []
    enough, held = _CHUNK_ROWS, 0
    for number, group in enumerate(groups):
        pending.append(keep(group.load()))
        held += pending[-1].num_rows
        if held < enough or number + 1 == len(groups):
            continue
        table = _sorted(pending, order)
        ready = _before(table, groups[number + 1].bound, order) // ROW_GROUP_ROWS * ROW_GROUP_ROWS
        if ready:
            yield table.slice(0, ready)
        pending, held = [table.slice(ready)], held - ready
        enough = held + _CHUNK_ROWS
    if held:
        yield _sorted(pending, order)


def _sorted(tables: list[pa.Table], order: _Order) -> pa.Table:
    table = pa.concat_tables(tables).combine_chunks()
    return table.take(pc.sort_indices(table, sort_keys=list(order.keys)))


def _before(table: pa.Table, bound: Any, order: _Order) -> int:
    """How many rows of a sorted table come before anything with the key `bound`, or are equal to it."""
    key = table[order.keys[0][0]]
    compare = pc.greater_equal if order.descending else pc.less_equal
    return int(pc.sum(compare(key, pa.scalar(bound, key.type))).as_py() or 0)


def _without_stale(
    table: pa.Table, names: pa.Array, stale: dict[tuple[str, int], int], moved: list[pa.Table]
) -> pa.Table:
    """The rows of a table that are current; the others go to `moved`, with the commit that superseded them."""
    if not len(names):
        return table
    suspects = pc.indices_nonzero(pc.is_in(table["paper_id"], value_set=names)).to_pylist()
    rows = table.select(["paper_id", "seq"]).take(pa.array(suspects, pa.int64())).to_pylist()
    old = {
        at: stale[key]
        for at, row in zip(suspects, rows, strict=True)
        if (key := (row["paper_id"], row["seq"])) in stale
    }
    if not old:
        return table
    gone = table.take(pa.array(list(old), pa.int64()))
    column = SCHEMA.get_field_index("until_seq")
    moved.append(gone.set_column(column, SCHEMA.field(column), pa.array(list(old.values()), pa.int64())))
    return table.filter(pa.array([at not in old for at in range(table.num_rows)]))
