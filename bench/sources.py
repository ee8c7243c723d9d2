"""What sources cost: every format through its adapter, arXiv's snapshot end to end, and arXiv's feeds beside `reader`.

    .venv/bin/python -m bench.sources [DATA] [--snapshot N] [--skip formats,snapshot,reader] [--home DIR]

DATA is the folder of captured packs; default ../shared/data. `--snapshot` is how many papers the snapshot has: 300,000
unless given; 3,000,000 is all of arXiv and needs some 15 GB of disk. CPU is user and system seconds of the process and
its children. Compare ratios rather than seconds. The comparison needs the dependency group `bench`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import sources_formats, sources_peers, sources_snapshot
from bench.steps import Result, machine, run_step

_PARTS = ("formats", "snapshot", "reader")
_STEPS = {**sources_snapshot.STEPS, **sources_peers.STEPS}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the tables, or be the child that does one step."""
    options = _options(arguments)
    if options.step:
        _STEPS[options.step](options.size, options.home, options.data)
        return
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory(dir=options.home, prefix="bench-sources-") as folder:
        if "formats" not in options.skip:
            sources_formats.table(options.data, Path(folder))
        if "snapshot" not in options.skip:
            sources_snapshot.table(_run(sources_snapshot.STEPS, options.snapshot, Path(folder), options))
        if "reader" not in options.skip:
            sources_peers.table(_run(sources_peers.STEPS, sources_peers.DAYS, Path(folder), options))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("data", type=Path, nargs="?", default=default, help="the folder of captured packs")
    parser.add_argument("--snapshot", type=int, default=300_000, metavar="N", help="papers in the snapshot")
    parser.add_argument("--skip", type=lambda text: text.split(","), default=(), help=f"of {', '.join(_PARTS)}")
    parser.add_argument("--home", type=Path, help="where to work; default: a temporary folder")
    parser.add_argument("--timeout", type=float, default=7_200, help="seconds for one step")
    parser.add_argument("--step", choices=list(_STEPS), help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _run(
    steps: Sequence[str] | dict[str, object], size: int, folder: Path, options: argparse.Namespace
) -> list[Result]:
    """Do the steps one after the other, each in a process of its own; stop at the first that fails."""
    results: list[Result] = []
    for step in steps:
        found = run_step(
            "bench.sources", step, size, "--home", str(folder), str(options.data), timeout_seconds=options.timeout
        )
        results += found
        if any(result.error for result in found):
            break
    return results


if __name__ == "__main__":
    main()
