"""Sums over the rows of the index that no file tells again: a flipped, lost or doubled row is found by `verify`.

`keys`, `stale` and `merged` are held against the files, and each row of `seen` has its own check (storage/seen.py).
Every other table has a line in `sums`, and so has the schema. Triggers keep them, so no writer can forget to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from hashlib import blake2b

_UNSUMMED = ("keys", "seen", "stale", "merged", "sums")
_SCHEMA = "sqlite_schema"  # its line in `sums`
# A sum and a row's share are below 2^62, so that adding or taking one away stays within SQLite's 63 bits.
_MASK = (1 << 62) - 1
_WAYS = {  # what happened to a row: what becomes of the sum
    "insert": "value + row_sum({new})",
    "delete": "value - row_sum({old})",
    "update": "value - row_sum({old}) + row_sum({new})",
}


def prepare(connection: sqlite3.Connection) -> None:
    """Let a connection keep the sums; without this it can read, but its writes fail."""
    connection.create_function("row_sum", -1, _row_sum, deterministic=True)
    connection.execute("PRAGMA trusted_schema=ON")  # triggers may call it
    connection.execute("PRAGMA recursive_triggers=ON")  # else a row that REPLACE takes away is not counted off


def install(connection: sqlite3.Connection) -> None:
    """Sum every table that is not summed yet, and make the triggers. Within the caller's transaction."""
    for table in _summed(connection):
        known = connection.execute("SELECT 1 FROM sums WHERE name = ?", (table,)).fetchone()
        if not known:
            connection.execute("INSERT INTO sums VALUES (?, ?)", (table, _sum_of(connection, table)))
        columns = [str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")]
        old, new = (", ".join(f"{side}.{column}" for column in columns) for side in ("OLD", "NEW"))
        for way, value in _WAYS.items():
            connection.execute(
                f"CREATE TRIGGER IF NOT EXISTS {table}_{way} AFTER {way} ON {table} BEGIN "
                f"UPDATE sums SET value = ({value.format(old=old, new=new)}) & {_MASK} WHERE name = '{table}'; END"
            )
    connection.execute("INSERT OR REPLACE INTO sums VALUES (?, ?)", (_SCHEMA, _schema_sum(connection)))


def schema_faults(connection: sqlite3.Connection) -> Iterator[str]:
    """Whether the tables and triggers are those that were made; if not, no row can be relied on. May raise."""
    if not connection.execute(f"SELECT 1 FROM {_SCHEMA} WHERE name = 'sums'").fetchone():
        yield "its rows carry no sums"
    elif _kept(connection, _SCHEMA) != _schema_sum(connection):
        yield "its schema is not what was written"


def wrong_tables(connection: sqlite3.Connection) -> Iterator[str]:
    """The tables whose rows are not those that were written. May raise where the file itself is damaged."""
    for table in _summed(connection):
        kept = _kept(connection, table)
        try:
            same = kept == _sum_of(connection, table)
        except sqlite3.Error:  # text that is no UTF-8 any more
            same = False
        if not same:
            yield table


def _summed(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute(f"SELECT name FROM {_SCHEMA} WHERE type = 'table' ORDER BY name")
    return [name for (name,) in rows.fetchall() if name not in _UNSUMMED and not name.startswith("sqlite_")]


def _kept(connection: sqlite3.Connection, name: str) -> int | None:
    row = connection.execute("SELECT value FROM sums WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else None


def _sum_of(connection: sqlite3.Connection, table: str) -> int:
    return sum(_row_sum(*row) for row in connection.execute(f"SELECT * FROM {table}")) & _MASK


def _schema_sum(connection: sqlite3.Connection) -> int:
    return sum(_row_sum(*r) for r in connection.execute(f"SELECT type, name, tbl_name, sql FROM {_SCHEMA}")) & _MASK


def _row_sum(*row: int | str | bytes | None) -> int:
    """A row's share: 62 bits over its values. `ascii`, as what `repr` escapes changes with Python's Unicode tables."""
    return int.from_bytes(blake2b(ascii(row).encode(), digest_size=8).digest(), "little") & _MASK
