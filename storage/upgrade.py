"""What an index of an earlier day has that this program's has no more."""

from __future__ import annotations

import sqlite3

from storage import sums

_GAPS_TAKEN_OVER = """
INSERT OR IGNORE INTO coverage
SELECT source, day, 'failed', 1, 0, NULL, NULL, 0, 'the batch was never read', 'failed', noticed_at, NULL FROM gaps
"""


def is_older(connection: sqlite3.Connection) -> bool:
    """Whether a whole index is from before the coverage ledger, which has taken the place of a table of gaps."""
    return _has_gaps(connection) and not list(sums.schema_faults(connection))


def take_over(connection: sqlite3.Connection) -> None:
    """Put what only the older index had where it belongs now. Within the caller's transaction."""
    if _has_gaps(connection):
        connection.execute(_GAPS_TAKEN_OVER)
        connection.execute("DROP TABLE gaps")
        connection.execute("DELETE FROM sums WHERE name = 'gaps'")


def _has_gaps(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'gaps'").fetchone())
