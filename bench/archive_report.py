"""The results of bench/archive.py as tables: what was asked, what was measured, and whether it is so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.archive_peers import NAMES, PEERS
from bench.steps import Result


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table; `limit` is what was asked, `low` where more is better."""

    what: str
    size: int
    measured: float | None
    unit: str
    limit: float | None = None
    low: bool = False

    def cells(self) -> tuple[str, ...]:
        """As text: what, papers, asked, measured, ok."""
        asked = "" if self.limit is None else f"{'≥' if self.low else '≤'} {_number(self.limit)} {self.unit}".strip()
        found = "" if self.measured is None else f"{_number(self.measured)} {self.unit}".strip()
        return self.what, f"{self.size:,}", asked, found, self._verdict()

    def _verdict(self) -> str:
        if self.limit is None or self.measured is None:
            return ""
        return "yes" if (self.measured >= self.limit if self.low else self.measured <= self.limit) else "NO"


class Results:
    """What was measured, by step and size."""

    def __init__(self, results: Sequence[Result]) -> None:
        self.all = results
        self._values = {(r.step, r.size): r.values for r in results if r.error is None}
        self.sizes = sorted({r.size for r in results})

    def get(self, step: str, size: int, name: str) -> float | None:
        """One value, or None where it was not measured."""
        value = self._values.get((step, size), {}).get(name)
        return float(value) if isinstance(value, int | float) else None

    def ratio(self, over: tuple[str, int, str], under: tuple[str, int, str]) -> float | None:
        """One value over another."""
        a, b = self.get(*over), self.get(*under)
        return a / b if a is not None and b else None


def report(results: Sequence[Result]) -> str:
    """Return every table, and the errors after them."""
    found = Results(results)
    sections: list[tuple[str, Callable[[Results], Iterator[Row]]]] = [
        ("Bulk load", _load_rows),
        ("Compaction", _compact_rows),
        ("A batch of 2,000 entries, 90 % known (CPU, commit and publishing)", _batch_rows),
        ("Queries on papers.duckdb (wall, median of 5, a fresh read-only connection)", _query_rows),
        ("Full-text search", _search_rows),
        ("Index rebuilt from the files", _rebuild_rows),
        ("Peers", _peer_rows),
        ("Ratios to the peers", _ratio_rows),
    ]
    parts = [_table(title, [row for row in rows(found) if row.measured is not None]) for title, rows in sections]
    errors = [f"{r.step} at {r.size:,}: {r.error}" for r in results if r.error]
    if errors:
        parts.append("Failed\n  " + "\n  ".join(errors))
    return "\n\n".join(part for part in parts if part)


def _load_rows(found: Results) -> Iterator[Row]:
    for size in found.sizes:
        yield Row("papers a CPU-second", size, found.get("load", size, "rows_per_cpu_s"), "", 50_000, low=True)
        yield Row("papers a wall-second", size, _over(size, found.get("load", size, "wall_s")), "")
        yield Row("peak memory", size, found.get("load", size, "peak_mb"), "MB", 1_000)
        yield Row("the same again, papers a CPU-second", size, found.get("again", size, "rows_per_cpu_s"), "")
        yield Row("bytes a paper before compaction", size, found.get("load", size, "bytes_a_paper"), "B")


def _compact_rows(found: Results) -> Iterator[Row]:
    for size in found.sizes:
        yield Row("bytes a paper", size, found.get("compact", size, "bytes_a_paper"), "B", 550)
        yield Row("bytes of index a paper", size, found.get("compact", size, "index_bytes_a_paper"), "B", 45)
        yield Row("papers a CPU-second", size, found.get("compact", size, "rows_per_cpu_s"), "")
        yield Row("peak memory", size, found.get("compact", size, "peak_mb"), "MB", 1_000)
        yield Row("first publishing after it", size, found.get("publish", size, "cpu_s"), "s")
        yield Row("papers.duckdb a paper", size, _over(found.get("publish", size, "catalog_bytes"), size), "B")


_BATCHES = {
    "batch poll": "a feed polled again",
    "batch overlap": "known since the load, not offered since",
    "batch scattered": "200 of them revisions from all years",
}


def _batch_rows(found: Results) -> Iterator[Row]:
    for step, what in _BATCHES.items():
        limit = None if step == "batch scattered" else 100.0
        for size in found.sizes:
            yield Row(what, size, found.get(step, size, "both_ms"), "ms", limit)
        for size in found.sizes:
            yield Row("  of it the commit", size, found.get(step, size, "commit_ms"), "ms")
            first = _sum(found.get(step, size, "first_commit_ms"), found.get(step, size, "first_publish_ms"))
            yield Row("  the first of them", size, first, "ms")
            yield Row("  peak memory", size, found.get(step, size, "peak_mb"), "MB", 300)
        if len(found.sizes) > 1 and limit is not None:
            few, many = found.sizes[0], found.sizes[-1]
            growth = found.ratio((step, many, "both_ms"), (step, few, "both_ms"))
            yield Row(f"  grows from {few:,}", many, growth, "×", 1.5)


def _query_rows(found: Results) -> Iterator[Row]:
    steps = dict.fromkeys(r.step for r in found.all if r.step.startswith("query "))
    for step in steps:
        limit = 100.0 if "newest 50" in step else None
        for size in found.sizes:
            yield Row(step.removeprefix("query "), size, found.get(step, size, "median_ms"), "ms", limit)
            yield Row("  the first time", size, found.get(step, size, "first_ms"), "ms")


def _search_rows(found: Results) -> Iterator[Row]:
    for size in found.sizes:
        if found.get("search", size, "median_ms") is None:
            continue
        yield Row("a query", size, found.get("search", size, "median_ms"), "ms", 5)
        yield Row("  the slowest of forty", size, found.get("search", size, "slowest_ms"), "ms")
        yield Row("  the first", size, found.get("search", size, "first_ms"), "ms")
        yield Row("200 papers added", size, found.get("search", size, "update_ms"), "ms", 50)
        yield Row("made anew, papers a CPU-second", size, found.get("search", size, "rows_per_cpu_s"), "")
        yield Row("bytes a paper", size, found.get("search", size, "bytes_a_paper"), "B")


def _rebuild_rows(found: Results) -> Iterator[Row]:
    for size in found.sizes:
        yield Row("papers a CPU-second", size, found.get("rebuild", size, "rows_per_cpu_s"), "", 150_000, low=True)
        yield Row("peak memory", size, found.get("rebuild", size, "peak_mb"), "MB")


def _peer_rows(found: Results) -> Iterator[Row]:
    for peer in PEERS:
        for size in found.sizes:
            if found.get(f"{peer} first", size, "cpu_s") is None:
                continue
            papers = int(found.get(f"{peer} first", size, "papers") or size)
            for step, what in (("first", "load"), ("again", "the same again")):
                rate = found.get(f"{peer} {step}", size, "rows_per_cpu_s")
                yield Row(f"{NAMES[peer]}: {what}, papers a CPU-second", papers, rate, "")
            yield Row(f"{NAMES[peer]}: peak memory", papers, found.get(f"{peer} first", size, "peak_mb"), "MB")
            yield Row(f"{NAMES[peer]}: a batch", papers, found.get(f"{peer} batch", size, "commit_ms"), "ms")
            both = found.get(f"{peer} batch", size, "both_ms")
            yield Row(f"{NAMES[peer]}: a batch that others can read", papers, both, "ms")
            disk = found.get(f"{peer} again", size, "disk_bytes")
            yield Row(f"{NAMES[peer]}: bytes a paper", papers, _over(disk, papers), "B")


def _ratio_rows(found: Results) -> Iterator[Row]:
    asked = {"duckdb": None, "dlt-arrow": 2.5, "dlt-dict": 20.0}
    for peer in PEERS:
        for size in found.sizes:
            if found.get(f"{peer} first", size, "cpu_s") is None:
                continue
            name, rate = NAMES[peer], "rows_per_cpu_s"
            load = found.ratio(("load", size, rate), (f"{peer} first", size, rate))
            yield Row(f"load against {name}", size, load, "×", asked[peer], low=True)
            again = found.ratio(("again", size, rate), (f"{peer} again", size, rate))
            yield Row(f"the same again against {name}", size, again, "×")
            for cost, what in (("commit_ms", "committed"), ("both_ms", "that others can read")):
                cheaper = found.ratio((f"{peer} batch", size, cost), ("batch overlap", size, cost))
                yield Row(f"a batch {what}, {name} over ours", size, cheaper, "×")


def _over(a: float | None, b: float | None) -> float | None:
    return a / b if a is not None and b else None


def _sum(a: float | None, b: float | None) -> float | None:
    return a + b if a is not None and b is not None else None


def _number(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _table(title: str, rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    cells: list[Any] = [("", "papers", "asked", "measured", "ok"), *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(5)]
    lines = ["  ".join(f"{text:{'<' if i in (0, 4) else '>'}{widths[i]}}" for i, text in enumerate(c)) for c in cells]
    return "\n".join([title, *(f"  {line}".rstrip() for line in lines)])
