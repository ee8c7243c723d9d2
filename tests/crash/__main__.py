"""python -m tests.crash [--share ci|full] [kills random power faults rot readers]: do it all and print the numbers."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.crash.report import Row, line, table
from tests.crash.shares import PARTS, SHARES
from tests.crash.workers import Workers


def main() -> int:
    """Run the parts asked for; 1 where anything was lost, doubled or wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--share", choices=sorted(SHARES), default="full")
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, Workers() as workers:
        for name in asked.parts or PARTS:
            for row in PARTS[name](workers, Path(folder) / name, SHARES[asked.share]):
                rows.append(row)
                print(line(row), file=sys.stderr, flush=True)
    print(table(rows))
    for row in rows:
        if row.failed:
            print(f"\n{row.summary()}")
    return int(any(row.failed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
