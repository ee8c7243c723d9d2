"""The archive's work through others: a plain DuckDB table with ON CONFLICT, and dlt's merge into DuckDB.

    python -m bench.archive_peers [--size 100000] [--home DIR]

Each peer loads N papers, loads the same again, and takes batches of 2,000 of which 90 % are known, each in a process of
its own. dlt runs twice: fed with Arrow tables, and with dicts as its tutorials do; the latter on at most 20,000
papers, and its rates are per row of those, their lists joined to strings: dlt would make tables of them. DuckDB gets
them joined too: an update of a row with a list is a delete and an insert to it, at some 4,000 rows/s.
Needs the dependency group `bench`. dlt's telemetry is off.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from bench.corpus import SCHEMA, batch, tables
from bench.steps import Cost, Result, machine, measured, run_step, spared, tell

PEERS = ("duckdb", "dlt-arrow", "dlt-dict")
NAMES = {"duckdb": "DuckDB upsert", "dlt-arrow": "dlt, Arrow", "dlt-dict": "dlt, dicts"}
DICT_PAPERS_MAX = 20_000
BATCHES = 3
STEPS = ("first", "again", "batch")
_MODULE = "bench.archive_peers"
_ROWS = 20_000
_JOINED_SQL = """
SELECT * REPLACE (array_to_string(authors, '; ') AS authors, array_to_string(categories, '; ') AS categories)
FROM offered"""


def run_peer(peer: str, size: int, home: Path, *, timeout_seconds: float) -> Iterator[Result]:
    """Run a peer's steps one after the other, each result as it comes; stops at the first that fails."""
    folder = home / f"peer-{peer}-{size}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        for step in STEPS:
            results = run_step(
                _MODULE, step, size, "--peer", peer, "--home", str(folder), timeout_seconds=timeout_seconds
            )
            yield from (Result(f"{peer} {r.step}", r.size, r.values, r.error) for r in results)
            if any(r.error for r in results):
                return
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def papers_of(peer: str, size: int) -> int:
    """How many papers a peer gets where the archive gets `size`."""
    return min(size, DICT_PAPERS_MAX) if peer == "dlt-dict" else size


def batches(size: int) -> Iterator[pa.Table]:
    """The batches of the run: newest papers not offered before in a batch, and new ones."""
    for number in range(BATCHES):
        known = pa.concat_tables(tables(1_800, start=max(size - 1_800 * (number + 1), 0), size=size))
        fresh = pa.concat_tables(tables(200, start=size + 200 * number, size=size))
        yield batch(known, fresh)


class Peer(Protocol):
    """Something that keeps papers in `papers.duckdb`, one row a paper."""

    def load(self, made: Iterator[pa.Table], cost: Cost) -> None:
        """Take tables of papers, durably."""

    def settle(self) -> None:
        """Let others read what was loaded."""

    def close(self) -> None:
        """Let go of the file."""


def _step(name: str, step: str, size: int, folder: Path) -> None:
    """Do one step in this process and tell its cost."""
    peer: Peer = _Upsert(folder) if name == "duckdb" else _Dlt(folder, as_dicts=name == "dlt-dict")
    count = papers_of(name, size)
    next(tables(1))  # the words are made before the clock runs
    if step == "batch":
        costs = [_batch_cost(peer, table) for table in batches(count)]
        values = costs[0][0].values(
            papers=count,
            commit_ms=1_000 * statistics.median(load.cpu_seconds for load, _ in costs),
            both_ms=1_000 * statistics.median(load.cpu_seconds + settle.cpu_seconds for load, settle in costs),
        )
    else:
        cost = _measured_load(peer, tables(count, rows=_ROWS), settled=True)
        values = cost.values(papers=count, rows_per_cpu_s=round(count / cost.cpu_seconds))
    peer.close()
    rows, papers = _counted(folder)
    assert rows == papers == count + (200 * BATCHES if step == "batch" else 0), (rows, papers)
    tell(step, size, **values, disk_bytes=(folder / "papers.duckdb").stat().st_size)


def _measured_load(peer: Peer, made: Iterator[pa.Table], *, settled: bool = False) -> Cost:
    with measured() as cost:
        peer.load(made, cost)
        if settled:
            peer.settle()
    return cost


def _batch_cost(peer: Peer, table: pa.Table) -> tuple[Cost, Cost]:
    """What loading a batch cost, and what letting others read it."""
    load = _measured_load(peer, iter([table]))
    with measured() as settle:
        peer.settle()
    return load, settle


def _dicts(table: pa.Table) -> list[dict[str, Any]]:
    """The rows as dicts, lists joined."""
    joined = {name: pc.binary_join(table[name], "; ") for name in ("authors", "categories")}
    rows: list[dict[str, Any]] = pa.table({n: joined.get(n, table[n]) for n in table.column_names}).to_pylist()
    return rows


class _Upsert:
    """A plain table with a key. Others can read it once its writer lets go of the file, which checkpoints it."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder / "papers.duckdb")
        self._connection = duckdb.connect(self._path)
        self._connection.register("offered", SCHEMA.empty_table())
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS papers AS {_JOINED_SQL}")
        self._connection.execute("CREATE UNIQUE INDEX IF NOT EXISTS papers_id ON papers (arxiv_id)")
        self._connection.unregister("offered")
        sets = ", ".join(f"{name} = excluded.{name}" for name in SCHEMA.names if name != "arxiv_id")
        self._sql = f"INSERT INTO papers {_JOINED_SQL} ON CONFLICT (arxiv_id) DO UPDATE SET {sets}"

    def load(self, made: Iterator[pa.Table], cost: Cost) -> None:
        for table in spared(made, cost):
            self._connection.register("offered", table)
            self._connection.execute(self._sql)
            self._connection.unregister("offered")

    def settle(self) -> None:
        self._connection.close()
        self._connection = duckdb.connect(self._path)

    def close(self) -> None:
        self._connection.close()


class _Dlt:
    """dlt's merge, by its `upsert` strategy."""

    def __init__(self, folder: Path, *, as_dicts: bool) -> None:
        os.environ |= {
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "RUNTIME__LOG_LEVEL": "ERROR",
            "DLT_DATA_DIR": str(folder / "data"),
        }
        import dlt  # it reads its settings from the environment when it is first used

        self._dlt, self._as_dicts = dlt, as_dicts
        self._pipeline = dlt.pipeline(
            "papers",
            destination=dlt.destinations.duckdb(str(folder / "papers.duckdb")),
            dataset_name="main_papers",
            pipelines_dir=str(folder / "pipelines"),
        )

    def load(self, made: Iterator[pa.Table], cost: Cost) -> None:
        rows: Iterator[Any] = map(_dicts, made) if self._as_dicts else made
        offered = spared(rows, cost)
        merge: Any = {"disposition": "merge", "strategy": "upsert"}
        self._pipeline.run(self._dlt.resource(offered, name="papers", primary_key="arxiv_id", write_disposition=merge))

    def settle(self) -> None:
        """It lets go of the file after each run."""

    def close(self) -> None:
        """It holds nothing between runs."""


def _counted(folder: Path) -> tuple[int, int]:
    """Rows and different papers in what a peer wrote."""
    with duckdb.connect(str(folder / "papers.duckdb"), read_only=True) as connection:
        schemas = connection.execute(
            "SELECT table_schema FROM information_schema.tables WHERE table_name = 'papers' ORDER BY 1"
        ).fetchall()
        rows, papers = connection.execute(
            f"SELECT count(*), count(DISTINCT arxiv_id) FROM {schemas[0][0]}.papers"
        ).fetchall()[0]
        return int(rows), int(papers)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all peers at one size and print a line a step, or be the child that does one step."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--home", type=Path, help="where to work; default: a temporary folder")
    parser.add_argument("--timeout", type=float, default=1_800, help="seconds for one step")
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.step:
        _step(options.peer, options.step, options.size, options.home)
        return
    print(machine())
    with tempfile.TemporaryDirectory(dir=options.home) as folder:
        for peer in PEERS:
            for result in run_peer(peer, options.size, Path(folder), timeout_seconds=options.timeout):
                print(f"{result.step:18} {result.error or result.values}", flush=True)


if __name__ == "__main__":
    main()
