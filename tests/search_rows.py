"""Papers as the search index takes them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from storage.search import Search

COLUMNS = pa.schema(
    [
        ("paper_id", pa.string()),
        ("title", pa.string()),
        ("abstract", pa.string()),
        ("authors", pa.list_(pa.string())),
        ("categories", pa.list_(pa.string())),
        ("withdrawn", pa.bool_()),
        ("new_at", pa.timestamp("us")),
        ("merged_into", pa.string()),
    ]
)


def a_row(paper_id: str = "arxiv:2606.00012", **changes: Any) -> dict[str, Any]:
    """One paper, changed by keyword."""
    row = {
        "paper_id": paper_id,
        "title": "On the Length of Short Titles",
        "abstract": "We show that it holds.",
        "authors": ["Ada Example", "Béla Minta"],
        "categories": ["cs.CL", "cs.AI"],
        "withdrawn": False,
        "new_at": datetime(2026, 6, 2),  # noqa: DTZ001 - the archive's columns carry UTC without a zone
        "merged_into": None,
    }
    return row | changes


def a_table(*rows: dict[str, Any]) -> pa.Table:
    """These rows as one table."""
    return pa.Table.from_pylist(list(rows), schema=COLUMNS)


def numbered(first: int, count: int, *, title: str = "Paper") -> pa.Table:
    """`count` papers that differ in a word of their titles: `Paper number7` …"""
    return a_table(*(a_row(f"arxiv:2606.{n:05d}", title=f"{title} number{n}") for n in range(first, first + count)))


def a_search(home: Path, *rows: dict[str, Any], seq: int = 1) -> Search:
    """An index of these papers."""
    search = Search(home)
    search.update(a_table(*rows), seq=seq)
    return search


def found(search: Search, text: str, **options: Any) -> list[str]:
    """The ids that answer `text`, in the order of the answer."""
    return [hit.paper_id for hit in search.find(text, **options)]
