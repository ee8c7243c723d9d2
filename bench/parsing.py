"""What isolating the parser costs: every feed of three packs through the warm child, against feedparser in-process.

    .venv/bin/python -m bench.parsing [DATA] [--rounds 5]    DATA: the captured packs; default ../shared/data

The two ways take turns, round by round, and each number is the median of its rounds: CPU seconds of this process and
of the child, which is started before (what that costs is told apart). Times are noisy: trust the ratio.
"""

from __future__ import annotations

import argparse
import gzip
import io
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import feedparser

from flows.parsing import Parser
from storage.errors import ParseError
from storage.settings import Limits

PACKS = ("arxiv_rss_replay", "journal_feeds", "feeds_nasty")
NO_FEEDS = (".json", ".yml", ".opml")
SMALL = b"<rss version='2.0'><channel><title>t</title><item><title>one</title></item></channel></rss>"


@dataclass(frozen=True)
class Run:
    """One pass over a pack: CPU seconds of all of it, wall seconds of its slowest feed."""

    entries: int
    refused: int
    cpu_seconds: float
    slowest_seconds: float


def main() -> None:
    """Unpack, run and print one line per pack."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("data", nargs="?", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    options.add_argument("--rounds", type=int, default=5)
    asked = options.parse_args()
    print(
        f"{'pack':18} {'files':>6} {'feeds':>6} {'refused':>8} {'entries':>8} {'child s':>8} {'inside s':>9} "
        f"{'ratio':>6} {'slowest s':>10}"
    )
    for pack in PACKS:
        with tempfile.TemporaryDirectory() as folder:
            unzstd = "--use-compress-program=zstd -q -d --long=27"
            subprocess.run(["tar", unzstd, "-xf", asked.data / f"{pack}.tar.zst", "-C", folder], check=True)
            print_row(pack, list(bodies(Path(folder))), asked.rounds)
    print(f"starting a child: {statistics.median(start_seconds() for _ in range(asked.rounds)):.2f} s of CPU, once")


def bodies(folder: Path) -> Iterable[bytes]:
    """The feeds in a folder, unpacked."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix not in NO_FEEDS):
        yield gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def print_row(pack: str, feeds: list[bytes], rounds: int) -> None:
    """Time both ways over the same feeds, in turn, and print the row."""
    child, inside = [], []
    for _ in range(rounds):
        with warm() as parser:
            child.append(run(feeds, partial(parse_in_child, parser), child_of(parser)))
        inside.append(run(feeds, parse_inside, None))
    child_seconds, inside_seconds = (statistics.median(one.cpu_seconds for one in runs) for runs in (child, inside))
    ratio = statistics.median(a.cpu_seconds / b.cpu_seconds for a, b in zip(child, inside, strict=True))
    print(
        f"{pack:18} {len(feeds):6} {len(feeds) - child[0].refused:6} {child[0].refused:8} {child[0].entries:8} "
        f"{child_seconds:8.2f} {inside_seconds:9.2f} {ratio:6.2f} {max(one.slowest_seconds for one in child):10.2f}"
    )


def run(feeds: list[bytes], parse: Callable[[bytes], int | None], child: int | None) -> Run:
    """Parse all feeds, a process with the id `child` helping."""
    entries, refused, slowest, before = 0, 0, 0.0, cpu_seconds(child)
    for body in feeds:
        started = time.perf_counter()
        count = parse(body)
        slowest = max(slowest, time.perf_counter() - started)
        entries, refused = entries + (count or 0), refused + (count is None)
    return Run(entries, refused, cpu_seconds(child) - before, slowest)


def warm() -> Parser:
    """A parser whose child has parsed a feed."""
    parser = Parser(Limits())
    parse_in_child(parser, SMALL)
    return parser


def child_of(parser: Parser) -> int:
    """The process id of a parser's child."""
    assert parser._child is not None
    return parser._child.pid


def start_seconds() -> float:
    """CPU that a new child has used by the time it has parsed one small feed."""
    with warm() as parser:
        return process_seconds(child_of(parser))


def cpu_seconds(child: int | None) -> float:
    """CPU time of this process and of its child."""
    return time.process_time() + (process_seconds(child) if child else 0)


def process_seconds(pid: int) -> float:
    """CPU time of any process (clock_getcpuclockid(3): on Linux its clock has the number ~pid << 3 | 2)."""
    return time.clock_gettime((~pid << 3) | 2)


def parse_in_child(parser: Parser, body: bytes) -> int | None:
    """Entries as Paperwire parses them, or None where it refuses the body."""
    try:
        return len(parser.parse("bench", body, content_type=None).entries)
    except ParseError:
        return None


def parse_inside(body: bytes) -> int | None:
    """Entries as feedparser parses them in this process, or None where it raises."""
    try:
        feed = feedparser.parse(io.BytesIO(body), sanitize_html=False, resolve_relative_uris=False)
        return len(feed.entries)
    except Exception:  # noqa: BLE001 whatever it raises is what is counted
        return None


if __name__ == "__main__":
    main()
