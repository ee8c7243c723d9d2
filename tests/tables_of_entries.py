"""Odd tables of entries, loaded in bulk into one archive and polled into another; and in what the two then differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from flows.decide import decide
from storage.archive import Archive
from storage.bulk import Loaded, load
from storage.bulk_rows import COLUMNS
from storage.model import Candidate, Commit, Entry, Intent, Paper, Submission
from storage.rows import PAPER_TYPES
from storage.tables import read_rows
from tests.builders import NOW

Row = dict[str, Any]
Said = tuple[str, int, list[Row]]
"""What a source said before, and how much its text counts."""

SOURCE, RANK = "snapshot", 3
EARLIER = NOW - timedelta(days=1)
TYPES = {name: PAPER_TYPES.get(name, pa.string()) for name in COLUMNS}
_MOMENTS = ("announced_at", "revised_at")  # one commit gives other moments than three do: only whether is compared
_OF_A_COMMIT = ("announcements", "changes", "reason", "sightings")


def a_row(number: int = 1, **changes: Any) -> Row:
    """A line of a table in which nothing is odd."""
    name = f"2501.{number:05d}"
    return {
        "entry_id": name,
        "arxiv_id": name,
        "title": f"A plain title of number {number}",
        "abstract": f"What number {number} is about.",
        "authors": ["Ada Example", "Béla Minta"],
        "categories": ["cs.CL"],
    } | changes


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Rows as a table for `load`."""
    return pa.table({n: pa.array([_naive(row.get(n)) for row in rows], kind) for n, kind in TYPES.items()})


def entry_of(row: Row, *, source: str = SOURCE, text_rank: int = RANK) -> Entry:
    """The same row as a parser would hand it to `Archive.append`."""
    said = {name: value for name, value in row.items() if value is not None}
    lists = {name: tuple(v for v in said.get(name, ()) if v is not None) for name in ("authors", "categories")}
    texts = {name: said.get(name, "") for name in ("entry_id", "title", "abstract")}
    whole = (v for v in said.get("versions", ()) if v and v["version"] is not None and v["submitted_at"])
    versions = {"versions": tuple(Submission(**v) for v in whole)}
    return Entry(**said | lists | texts | versions, source=source, text_rank=text_rank)


def quietly(candidate: Candidate, known: Paper | None, now: datetime, at: datetime) -> Intent | None:
    """`decide`, but for what a backfill differs in: a paper met first is told to nobody."""
    intent = decide(candidate, known, now, at)
    if intent is None or known is not None:
        return intent
    paper = replace(intent.paper, announced_at=None, revised_at=None)
    return replace(intent, paper=paper, sightings=tuple(replace(s, announcements=()) for s in intent.sightings))


@dataclass
class Both:
    """Two archives that were told the same: one was polled, the other was loaded."""

    polled: Archive
    loaded: Archive

    @classmethod
    def under(cls, folder: Path, before: Sequence[Said] = ()) -> Both:
        """Two new ones; what was known before was polled by both."""
        both = cls(Archive(folder / "polled"), Archive(folder / "loaded"))
        for archive in (both.polled, both.loaded):
            for number, (source, rank, rows) in enumerate(before):
                said = [entry_of(row, source=source, text_rank=rank) for row in rows]
                archive.append(said, source=source, batch_id=f"before {number}", now=EARLIER, decide=decide)
            # A cache of what was said last, which leaves out some of it; without it every entry is decided.
            archive.index.connection.execute("DELETE FROM seen")
        return both

    def __enter__(self) -> Both:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End."""
        for archive in (self.polled, self.loaded):
            archive.__exit__(None, None, None)

    def tell(self, *tables: Sequence[Row]) -> tuple[Commit, Loaded]:
        """Poll all rows at once, and load them table by table."""
        entries = [entry_of(row) for table in tables for row in table]
        commit = self.polled.append(entries, source=SOURCE, batch_id="poll", now=NOW, decide=quietly)
        loaded = load(
            self.loaded,
            [table_of(table) for table in tables],
            source=SOURCE,
            load_id="load",
            now=NOW,
            decide=decide,
            text_rank=RANK,
        )
        return commit, loaded

    def differences(self) -> dict[str, Any]:
        """What is not the same: by paper, or by part of the index."""
        polled, loaded = rows_of(self.polled), rows_of(self.loaded)
        found = {i: _unlike(polled.get(i, []), loaded.get(i, [])) for i in sorted({*polled, *loaded})}
        one, other = index_of(self.polled), index_of(self.loaded)
        found |= {
            f"index: {name}": {"polled": one[name], "loaded": other[name]} for name in one if one[name] != other[name]
        }
        return {name: unlike for name, unlike in found.items() if unlike}


def rows_of(archive: Archive) -> dict[str, list[Row]]:
    """Every row of the files by paper, oldest first, without what depends on which commit it came with."""
    found: dict[str, list[tuple[int, Row]]] = defaultdict(list)
    for file in archive.index.files("log", "papers", "history"):
        for table in read_rows(archive.path(file), footer=file.footer):
            for row in table.to_pylist():
                found[row["paper_id"]].append((row["seq"], row))
    sort = {paper_id: sorted(rows, key=lambda row: row[0]) for paper_id, rows in found.items()}
    return {paper_id: [_comparable(row) for _, row in rows] for paper_id, rows in sort.items()}


def index_of(archive: Archive) -> dict[str, Any]:
    """What the index says, without the numbers of commits."""
    keys: dict[int, int] = defaultdict(int)
    for k, n in archive.index.connection.execute("SELECT k, n FROM keys"):
        keys[k] += n
    return {
        "keys": dict(keys),
        "merged": archive.index.merged_into(),
        "papers": archive.index.papers_count(),
        "rejects": sorted(archive.index.connection.execute("SELECT source, entry_id, reason FROM rejects").fetchall()),
    }


def _unlike(polled: list[Row], loaded: list[Row]) -> dict[str, Any]:
    """In what the rows of one paper differ. One that is there twice may have a row of each commit of a load."""
    if polled == loaded:
        return {}
    if not polled or not loaded:
        return {"only": "polled" if polled else "loaded", "row": (polled or loaded)[-1]}
    one, other = ({n: v for n, v in rows[-1].items() if n not in _OF_A_COMMIT} for rows in (polled, loaded))
    one["sightings"], other["sightings"] = ([s for row in rows for s in row["sightings"]] for rows in (polled, loaded))
    found = {name: {"polled": one[name], "loaded": other[name]} for name in one if one[name] != other[name]}
    told = sum(s["seen_at"] == _naive(NOW) for s in one["sightings"])
    if not found and (len(loaded) <= len(polled) or (told < 2 and "merged" not in polled[-1]["changes"])):
        return {"rows": {"polled": polled, "loaded": loaded}}
    return found


def _comparable(row: Row) -> Row:
    new_at = "announced" if row["announced_at"] else row["new_at"]
    moments = {name: row[name] is not None for name in _MOMENTS}
    return {n: v for n, v in row.items() if n not in ("seq", "until_seq")} | moments | {"new_at": new_at}


def a_version(number: int | None, day: int | None = None, size_bytes: int | None = 9_000) -> dict[str, Any]:
    """A version as a line of a table tells of it; submitted on a day of January 2025, by default that of its number."""
    day = abs(number or 1) if day is None else day
    return {
        "version": number,
        "submitted_at": datetime(2025, 1, day, 3, 4, 5, tzinfo=UTC) if day else None,
        "size_bytes": size_bytes,
    }


def _naive(value: Any) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [v and {name: _naive(inner) for name, inner in v.items()} for v in value]
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value
