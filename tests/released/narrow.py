"""Writes an archive as this program did before `citations` and `versions` came, in a child: its rows lack both.

Nothing else of the format has changed, so it is this program with the columns of then.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pyarrow as pa

Shape = Literal["empty", "segments", "base", "bases"]
ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 6


def write_home(home: Path, shape: Shape) -> None:
    """Lay down a home: nothing, segments alone, one base alone, or two bases with history and segments behind them."""
    subprocess.run([sys.executable, "-m", "tests.released.narrow", str(home), shape], cwd=ROOT, check=True)


def _forget_columns() -> None:
    """Let the program have the columns of then; before anything else of it is imported."""
    from storage import rows

    later = rows.LATER
    rows.SIGHTING = pa.struct([field for field in rows.SIGHTING if field.name not in later])
    kept = [field for field in rows.SCHEMA if field.name not in (*later, "sightings")]
    rows.SCHEMA = pa.schema([*kept, ("sightings", pa.list_(rows.SIGHTING))])
    rows.LATER = ()  # type: ignore[assignment]


def _write(home: Path, shape: Shape) -> None:
    from datetime import timedelta

    from flows.decide import decide
    from storage import columns
    from storage.archive import Archive
    from storage.compact import compact, delete_retired
    from tests.builders import NOW, an_entry

    with Archive(home) as archive:
        for number in range(1, ROUNDS + 1) if shape != "empty" else ():
            now = NOW + timedelta(hours=number)
            entries = [
                an_entry(
                    arxiv_id=f"2606.{n:05d}", entry_id=str(n), title=f"Paper {n}", upvotes=number if n == 2 else None
                )
                for n in (1, 2, number + 10)
            ]
            entries.append(an_entry(arxiv_id="2606.00003", entry_id="3", title="Three", version=number))
            archive.append(entries, source="s", batch_id=str(number), now=now, decide=decide)
            if shape == "bases" and number in (2, 4):
                compact(archive, now=now, full=number == 2)
        if shape == "bases":
            archive.merge("arxiv:2606.00011", "arxiv:2606.00012", reason="by chance", now=now)
        if shape == "base":
            compact(archive, now=now, full=True)
            delete_retired(archive, now=now + timedelta(days=2))
        archive.index.connection.execute("DELETE FROM meta WHERE key = ?", (columns.KEY,))


if __name__ == "__main__":
    _forget_columns()
    _write(Path(sys.argv[1]), sys.argv[2])  # type: ignore[arg-type]
