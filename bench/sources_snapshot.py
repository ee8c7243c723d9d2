"""arXiv's snapshot end to end: synthetic lines in a zip → archive, papers.duckdb, search (bench/sources.py)."""

from __future__ import annotations

import re
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from bench.corpus import tables
from bench.steps import Result, cpu_seconds, measured, tell
from flows.upkeep import load_files
from storage.catalog import catalog_path
from storage.settings import Settings

_NOW = datetime(2026, 7, 1, 6, tzinfo=UTC)
_LINE = re.compile(r"(.{1,79})(?: |$)")  # arXiv breaks its lines there
_INSIDE = "arxiv-metadata-oai-snapshot.json"


def lines_of(made: pa.Table) -> Iterator[bytes]:
    """The papers of bench/corpus.py as the snapshot has them, abstracts in lines."""
    for row in made.to_pylist():
        first = row["published_at"].replace(tzinfo=UTC)
        said = {
            "id": row["arxiv_id"],
            "submitter": row["authors"][0],
            "authors": ", ".join(row["authors"][:-1]) + " and " * (len(row["authors"]) > 1) + row["authors"][-1],
            "title": row["title"],
            "comments": "12 pages, 3 figures",
            "journal-ref": row["journal_ref"],
            "doi": row["doi"],
            "report-no": None,
            "categories": " ".join(row["categories"]),
            "license": row["license_url"],
            "abstract": "  " + _LINE.sub(r"\1\n", row["abstract"]),
            "versions": [
                {"version": f"v{n + 1}", "created": f"{first + timedelta(days=90 * n):%a, %-d %b %Y %H:%M:%S GMT}"}
                for n in range(row["version"])
            ],
            "update_date": f"{first:%Y-%m-%d}",
            "authors_parsed": [[*reversed(name.rsplit(" ", 1)), ""] for name in row["authors"]],
        }
        yield orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)


def make(size: int, home: Path, data: Path) -> None:  # noqa: ARG001
    """Write the zip."""
    path = _zip(home, size)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6 if size < 1_000_000 else 1) as archive,
        archive.open(_INSIDE, "w", force_zip64=True) as file,
    ):
        for made in tables(size):
            file.write(b"".join(lines_of(made)))
    tell("make", size, bytes_a_paper=path.stat().st_size / size)


def load(size: int, home: Path, data: Path) -> None:  # noqa: ARG001
    """Load the zip into an empty archive, as `paperwire load` does."""
    phases: dict[str, tuple[float, float]] = {}

    @contextmanager
    def bars(label: str) -> Iterator[Callable[[int, int | None], None]]:
        wall, cpu = time.perf_counter(), cpu_seconds()
        yield lambda _done, _total: None
        phases[label] = (time.perf_counter() - wall, cpu_seconds() - cpu)

    folder = home / f"snapshot-{size}"
    with measured() as cost:
        report = load_files(
            Settings(home=folder), [_zip(home, size)], source="arxiv", load_id=None, now=_NOW, bars=bars
        )
    assert (report.loaded.fresh + report.loaded.changed, report.whole) == (size, True), report
    files = [path for path in folder.rglob("*") if path.is_file()]
    sizes = {
        "parquet": sum(p.stat().st_size for p in files if p.suffix == ".parquet") / size,
        "index": sum(p.stat().st_size for p in (folder / "archive").glob("index.sqlite*")) / size,
        "papers.duckdb": catalog_path(folder).stat().st_size / size,
        "search": sum(p.stat().st_size for p in files if "search" in p.parts) / size,
    }
    tell("load", size, **cost.values(phases=phases, sizes=sizes))


STEPS: dict[str, Callable[[int, Path, Path], None]] = {"make": make, "load": load}


def table(results: Sequence[Result]) -> None:
    """Print what the load cost, and each part of it."""
    for result in results:
        if result.error:
            print(f"\nsnapshot, {result.step}: {result.error}")
        elif result.step == "load":
            _print(result.size, result.values)


def _print(size: int, values: dict[str, Any]) -> None:
    print(f"\n{f'snapshot of {size:,} papers':30} {'wall s':>8} {'CPU s':>8} {'papers/CPU-s':>13}")
    rows = {**values["phases"], "in all": (values["wall_s"], values["cpu_s"])}
    for label, (wall, cpu) in rows.items():
        print(f"{label:30} {wall:8.1f} {cpu:8.1f} {size / max(cpu, 1e-9):13,.0f}")
    stored = ", ".join(f"{name} {bytes_:,.0f}" for name, bytes_ in values["sizes"].items())
    print(f"peak RSS {values['peak_mb']:,.0f} MB; bytes a paper: {stored} (retired files of the load included)")


def _zip(home: Path, size: int) -> Path:
    return home / f"archive-{size}.zip"
