"""Files of entries as tables for a bulk load: Parquet, JSON-lines, arXiv's snapshot; read in pieces, however large.

Their columns are `bulk_rows.COLUMNS`; docs/operate.md has the list. What is wrong with a file is said with its line.
arXiv's snapshot is known by its fields, whatever its name; see snapshot.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.parquet as pq

from flows import snapshot
from flows.packed import JSON_ENDINGS, LoadError, unpacked
from flows.snapshot import Faults
from storage.bulk import ROWS
from storage.bulk_rows import COLUMNS
from storage.rows import PAPER_TYPES, SUBMISSION, VERSIONS, WORDS
from storage.tables import sha256_of

_NEEDED = ("entry_id", "title")
_TIME = pa.timestamp("us")
_TYPES = {name: PAPER_TYPES.get(name, pa.string()) for name in COLUMNS}
# JSON has no dates: they come as text, and become dates below.
_JSON_VERSIONS = pa.list_(pa.struct([(f.name, pa.string() if f.type == _TIME else f.type) for f in SUBMISSION]))
_JSON_TYPES = {_TIME: pa.string(), pa.date32(): pa.string(), VERSIONS: _JSON_VERSIONS}
_JSON_SCHEMA = pa.schema([(name, _JSON_TYPES.get(kind, kind)) for name, kind in _TYPES.items()])
_BLOCK_BYTES = snapshot.LINE_BYTES_MAX  # of JSON at once; no line may be longer
_ID_DIGITS = 12
_ZONE = r"(?:Z|[+-]\d{2}:?\d{2})$"
_SUFFIXES = (".parquet", *JSON_ENDINGS, *(f"{ending}.gz" for ending in JSON_ENDINGS), ".zip")
_WANTED = ".parquet, .jsonl, .json, .jsonl.gz, .json.gz or .zip"


class Feed:
    """The entries of some files, one after the other, in tables of `bulk.ROWS` rows.

    The same files give the same tables, so that a load which was cut off finds its place again.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        """Look at every file. Raises LoadError where one is not there or not a file of entries, OSError."""
        for path in paths:
            if not path.is_file():
                raise LoadError(f"{path}: there is no such file")
            if not path.name.endswith(_SUFFIXES):
                raise LoadError(f"{path}: not a file of entries; its name must end in {_WANTED}")
        self._paths = tuple(paths)
        self._faults = dict[Path, Faults]()  # of each snapshot that was begun
        self._rows = {p: _parquet(p).metadata.num_rows for p in paths if p.suffix == ".parquet"}
        self._read = dict.fromkeys(paths, (0, 0.0))  # rows and share of each file so far

    @property
    def load_id(self) -> str:
        """What names this load: the same for the same files, wherever they lie."""
        said = [f"{p.name}/{p.stat().st_size}/{sha256_of(p).hex()}" for p in self._paths]
        first = f"{self._paths[0].name}+{len(said) - 1}" if len(said) > 1 else self._paths[0].name
        return f"{first}@{hashlib.sha256(chr(10).join(said).encode()).hexdigest()[:_ID_DIGITS]}"

    @property
    def faults(self) -> int:
        """How many lines of snapshots were no papers so far."""
        return sum(faults.count for faults in self._faults.values())

    @property
    def faults_named(self) -> tuple[str, ...]:
        """The first of them in each file, with their reasons."""
        return tuple(f"{path.name}, {line}" for path, faults in self._faults.items() for line in faults.named)

    def total(self) -> int | None:
        """How many entries there are; of JSON-lines an estimate by what was read, None while nothing was."""
        found = 0.0
        for path in self._paths:
            rows, share = self._read[path]
            if path not in self._rows and not share:
                return None
            found += self._rows[path] if path in self._rows else rows / share
        return round(found)

    def tables(self) -> Iterator[pa.Table]:
        """Yield all entries. Raises LoadError at the first that is none."""
        waiting: list[pa.Table] = []
        for path in self._paths:
            for table in self._tables_of(path):
                waiting.append(table)
                while sum(t.num_rows for t in waiting) >= ROWS:
                    whole = pa.concat_tables(waiting)
                    yield whole.slice(0, ROWS)
                    waiting = [whole.slice(ROWS)]
        if sum(t.num_rows for t in waiting):
            yield pa.concat_tables(waiting)

    def _tables_of(self, path: Path) -> Iterator[pa.Table]:
        if path not in self._rows and _is_snapshot(path):
            yield from self._tables_of_snapshot(path)
            return
        rows = 0
        for table, share in _parquet_tables(path) if path in self._rows else _json_tables(path):
            try:
                yield _typed(table)
            except pa.ArrowInvalid as error:
                if path not in self._rows:
                    _blame(path, rows, error)
                place = f"among entries {rows + 1:,} to {rows + table.num_rows:,}"
                raise LoadError(f"{path}, {place}: {_one_line(error)}") from error
            rows += table.num_rows
            self._read[path] = (rows, share)

    def _tables_of_snapshot(self, path: Path) -> Iterator[pa.Table]:
        faults, rows = self._faults.setdefault(path, Faults()), 0
        with unpacked(path) as stream:
            for table in snapshot.tables(stream, faults):
                rows += table.num_rows
                self._read[path] = (rows, stream.share)
                yield _typed(table)


def _is_snapshot(path: Path) -> bool:
    with unpacked(path) as stream:
        return snapshot.is_snapshot(stream)


def _parquet(path: Path) -> pq.ParquetFile:
    """Open a Parquet file of entries. Raises LoadError."""
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except pa.ArrowException as error:
        raise LoadError(f"{path}: {_one_line(error)}") from error
    names = file.schema_arrow.names
    if odd := [name for name in names if name not in COLUMNS]:
        raise LoadError(f"{path}: no entry has a column {odd[0]!r}; it may have: {', '.join(COLUMNS)}")
    if missing := [name for name in _NEEDED if name not in names]:
        raise LoadError(f"{path}: it has no column {missing[0]!r}; every entry needs {' and '.join(_NEEDED)}")
    return file


def _parquet_tables(path: Path) -> Iterator[tuple[pa.Table, float]]:
    """Yield the tables of a Parquet file, each with the share of the file that was read."""
    file, rows = _parquet(path), 0
    with file:
        batches = file.iter_batches(batch_size=ROWS)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                raise LoadError(f"{path}: after entry {rows:,}: {_one_line(error)}") from error
            if batch is None:
                return
            rows += batch.num_rows
            yield pa.Table.from_batches([batch]), rows / file.metadata.num_rows


def _json_tables(path: Path) -> Iterator[tuple[pa.Table, float]]:
    """Yield the tables of a file of JSON-lines, each with the share of the file that was read."""
    rows = 0
    with unpacked(path) as stream:
        try:
            reader = pj.open_json(
                pa.PythonFile(stream, mode="r"),
                read_options=pj.ReadOptions(use_threads=True, block_size=_BLOCK_BYTES),
                parse_options=pj.ParseOptions(explicit_schema=_JSON_SCHEMA, unexpected_field_behavior="error"),
            )
            for batch in reader:
                rows += batch.num_rows
                yield pa.Table.from_batches([batch]), stream.share
        except (pa.ArrowException, OSError) as error:
            if "Empty JSON" not in str(error):
                _blame(path, rows, error)


def _blame(path: Path, rows: int, error: Exception) -> NoReturn:
    """Raise LoadError for the first line after `rows` entries that is none."""
    for number, line in _lines_of(path):
        rows -= bool(line.strip())
        fault = _fault_of(line) if rows < 0 and line.strip() else None
        if fault:
            raise LoadError(f"{path}, line {number:,}: {fault}") from error
    raise LoadError(f"{path}: {_one_line(error)}") from error


def _lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (number, line). Raises LoadError at one that is too long."""
    faults = Faults()
    with unpacked(path) as stream:
        for first, lines in snapshot.line_blocks(stream, faults):
            yield from enumerate(lines, first)
            if faults.count:
                raise LoadError(f"{path}, {faults.named[0]}")


def _fault_of(line: bytes) -> str | None:
    """What is wrong with a line of JSON; None where nothing is."""
    try:
        entry = json.loads(line)
    except ValueError as error:
        return f"not JSON: {_one_line(error)}"
    if not isinstance(entry, dict):
        return "not a JSON object"
    return next(filter(None, (_fault_of_field(name, value) for name, value in entry.items())), None)


def _fault_of_field(name: str, value: Any) -> str | None:
    if name not in _TYPES:
        return f"no entry has a field {name!r}; it may have: {', '.join(COLUMNS)}"
    kind, wanted = _TYPES[name], "text"
    good = value is None or isinstance(value, str)
    if kind == WORDS:
        good = value is None or (isinstance(value, list) and all(v is None or isinstance(v, str) for v in value))
        wanted = "a list of texts"
    elif kind == VERSIONS:
        good, wanted = value is None or _are_versions(value), "a list of {version, submitted_at, size_bytes}"
    elif kind in (_TIME, pa.date32()):
        good, wanted = value is None or _is_moment(value, kind), f"a {'time' if kind == _TIME else 'date'} in ISO 8601"
    elif kind == pa.bool_():
        good, wanted = value is None or isinstance(value, bool), "true or false"
    elif kind == pa.int32():
        good, wanted = value is None or _is_number(value), "a whole number"
    return None if good else f"{name} must be {wanted}, not {json.dumps(value)[:40]}"


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 31


def _are_versions(value: object) -> bool:
    kinds = {
        "version": _is_number,
        "submitted_at": lambda said: _is_moment(said, _TIME),
        "size_bytes": _is_number,
    }
    return isinstance(value, list) and all(
        one is None
        or (isinstance(one, dict) and all(n in kinds and (v is None or kinds[n](v)) for n, v in one.items()))
        for one in value
    )


def _is_moment(value: object, kind: pa.DataType) -> bool:
    try:
        (datetime if kind == _TIME else date).fromisoformat(str(value))
    except ValueError:
        return False
    return True


def _typed(table: pa.Table) -> pa.Table:
    """The columns of an entry in their types; those that are not there are empty."""
    columns: dict[str, pa.Array] = {}
    for name in COLUMNS:
        if name not in table.column_names:
            columns[name] = _column(pa.chunked_array([pa.nulls(table.num_rows, _TYPES[name])]), _TYPES[name])
            continue
        try:
            columns[name] = _column(table[name], _TYPES[name])
        except (pa.ArrowException, ValueError) as error:
            raise pa.ArrowInvalid(f"{name}: {_one_line(error)}") from error
    return pa.table(columns)


def _column(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    whole = column.combine_chunks()
    whole = pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
    if kind == WORDS:
        return _lists(whole.cast(WORDS))
    if kind == _TIME:
        return _moments(whole)
    return _histories(whole) if whole.type == _JSON_VERSIONS else whole.cast(kind)


def _histories(column: pa.ListArray) -> pa.ListArray:
    """Versions whose days are text."""
    parts = [pc.struct_field(column.values, field.name) for field in SUBMISSION]
    parts = [_moments(part) if field.type == _TIME else part for part, field in zip(parts, SUBMISSION, strict=True)]
    structs = pa.StructArray.from_arrays(parts, fields=list(SUBMISSION))
    return pa.ListArray.from_arrays(column.offsets, structs, mask=column.is_null())


def _lists(lists: pa.Array) -> pa.Array:
    """Without nulls: no list is an empty one."""
    if not lists.null_count and not lists.flatten().null_count:
        return lists
    return pa.array([[v for v in row or () if v is not None] for row in lists.to_pylist()], WORDS)


def _moments(column: pa.Array) -> pa.Array:
    """UTC, with or without a zone in the source; a date is its midnight."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        text = pc.replace_substring_regex(column.cast(pa.string()), r"^(\d{4}-\d{2}-\d{2})$", r"\1T00:00:00")
        zoned = pc.fill_null(pc.match_substring_regex(text, _ZONE), True)
        text = pc.if_else(zoned, text, pc.binary_join_element_wise(text, "Z", ""))
        column = text.cast(pa.timestamp("us", "UTC"))
    if pa.types.is_timestamp(column.type) and column.type.tz:
        column = column.cast(pa.timestamp("us", "UTC"), safe=False)
    return column.cast(_TIME, safe=False)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
