"""What an archive of 100,000 to 3,000,000 papers costs, beside dlt and a plain DuckDB table in the same run.

    python -m bench.archive [--sizes 100000,1000000,3000000] [--home DIR] [--skip-peers] [--json FILE]

Bulk load, compaction, bytes a paper, batches of 2,000 entries with 90 % known, queries, search and the rebuilding of
the index: each step in a process of its own, over the papers of bench/corpus.py. CPU is user and system seconds of all
threads; memory is the peak of the step. Compare ratios rather than seconds: machines differ, and so do their hours.
3,000,000 papers need some 15 GB of disk while they are measured. Needs the dependency group `bench`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from bench import archive_peers, archive_steps
from bench.archive_report import report
from bench.steps import Result, machine, run_step

_STEPS = ("load", "again", "compact", "publish", "batches", "queries", "search", "rebuild")
_NEEDED = frozenset(["corpus", "load"])  # without them there is nothing to measure


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every size and print the tables, or be the child that does one step."""
    options = _options(arguments)
    if options.step:
        archive_steps.STEPS[options.step](options.size, options.home)
        return
    print(machine(), flush=True)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(dir=options.home, prefix="bench-archive-") as folder:
        for size in options.sizes:
            for result in _measure(size, Path(folder), options):
                results.append(result)
                print(f"  {size:>9,} {result.step:40} {result.error or _brief(result)}", flush=True)
                if options.json:
                    options.json.write_text(json.dumps([asdict(r) for r in results], indent=1), encoding="utf-8")
    print("\n" + report(results))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--sizes", type=_sizes, default=_sizes("100000,1000000,3000000"), help="papers, comma-separated"
    )
    parser.add_argument("--home", type=Path, help="where to work; default: a temporary folder")
    parser.add_argument("--skip-peers", action="store_true")
    parser.add_argument("--steps", default=",".join(_STEPS), help="which steps to run after the corpus is made")
    parser.add_argument("--peers-max", type=int, default=3_000_000, help="no peer is given more papers than this")
    parser.add_argument("--search-max", type=int, default=1_000_000, help="no search index is made of more than this")
    parser.add_argument("--timeout", type=float, default=3_600, help="seconds for one step")
    parser.add_argument("--json", type=Path, help="write every result there too")
    parser.add_argument("--step", choices=list(archive_steps.STEPS), help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _sizes(text: str) -> list[int]:
    return [int(size) for size in text.split(",")]


def _measure(size: int, folder: Path, options: argparse.Namespace) -> Iterator[Result]:
    """Run the archive's steps and then the peers' at one size; what they wrote is deleted."""
    home = folder / f"home-{size}"
    for step in ("corpus", *options.steps.split(",")):
        if step == "search" and size > options.search_max:
            continue
        results = run_step("bench.archive", step, size, "--home", str(home), timeout_seconds=options.timeout)
        yield from results
        if step in _NEEDED and any(r.error for r in results):
            break
    shutil.rmtree(home, ignore_errors=True)
    for path in folder.glob("corpus-*"):
        path.unlink()
    if not options.skip_peers and size <= options.peers_max:
        for peer in archive_peers.PEERS:
            yield from archive_peers.run_peer(peer, size, folder, timeout_seconds=options.timeout)


def _brief(result: Result) -> str:
    return "  ".join(f"{name} {value:,.4g}" for name, value in result.values.items() if isinstance(value, int | float))


if __name__ == "__main__":
    main()
