"""What the tests of the commands that ask and tend the archive share: lines of a backfill, and what was said."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flows import cli
from tests.newsroom import Paperwire, Said


def failed(said: Said) -> str:
    """The one line on standard error of a command that failed; nothing else was said."""
    assert said.out == ""
    assert said.err.startswith("paperwire: ")
    assert said.err.count("\n") == 1, said.err
    return said.err.removeprefix("paperwire: ").rstrip("\n")


def well(said: Said) -> str:
    """What a command said that went well."""
    assert (said.code, said.err) == (cli.OK, ""), said
    return said.out


def entry(number: int, **changes: Any) -> dict[str, Any]:
    """A line of a backfill."""
    name = f"2501.{number:05d}"
    return {
        "entry_id": name,
        "arxiv_id": name,
        "title": f"Backfilled paper number {number}",
        "abstract": f"What number {number} is about.",
        "authors": ["Ada Example", "Béla Minta"],
        "categories": ["cs.CL"],
        "published_at": "2025-01-02T03:04:05Z",
    } | changes


def jsonl(path: Path, *entries: dict[str, Any] | str) -> Path:
    """A file of JSON-lines, gzipped where its name says so."""
    text = "".join(f"{e if isinstance(e, str) else json.dumps(e)}\n" for e in entries).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def parquet(path: Path, *entries: dict[str, Any]) -> Path:
    """The same as Parquet, as pandas or DuckDB would write it."""
    table = pa.Table.from_pylist(list(entries))
    pq.write_table(table, path)
    return path


def sql(paperwire: Paperwire, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    said = paperwire("sql", "--json", query)
    assert said.code == cli.OK, said.err
    return [tuple(row.values()) for row in said.document()]
