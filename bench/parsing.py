"""What isolating the parser costs: every feed of two packs through the warm child, against feedparser in-process.

    .venv/bin/python -m bench.parsing [DATA]      DATA is the folder of captured packs; default ../shared/data

Prints outcomes and the CPU time both ways. Times are noisy: trust the ratio.
"""

from __future__ import annotations

import gzip
import io
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import feedparser

from flows.parsing import Parser
from storage.errors import ParseError
from storage.settings import Limits

PACKS = ("arxiv_rss_replay", "journal_feeds", "feeds_nasty")
NO_FEEDS = (".json", ".yml", ".opml")


def main() -> None:
    """Unpack, run and print one line per pack."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "shared" / "data"
    print(
        f"{'pack':18} {'files':>6} {'feeds':>6} {'refused':>8} {'entries':>8} {'child s':>8} "
        f"{'inside s':>9} {'ratio':>6} {'slowest s':>10}"
    )
    for pack in PACKS:
        with tempfile.TemporaryDirectory() as folder:
            unzstd = "--use-compress-program=zstd -q -d --long=27"
            subprocess.run(["tar", unzstd, "-xf", data / f"{pack}.tar.zst", "-C", folder], check=True)
            print_row(pack, list(bodies(Path(folder))))


def bodies(folder: Path) -> Iterable[bytes]:
    """The feeds in a folder, unpacked."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix not in NO_FEEDS):
        yield gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def print_row(pack: str, feeds: list[bytes]) -> None:
    """Time both ways over the same feeds and print the row; seconds are CPU, the child's start included."""
    before = cpu_seconds()
    with Parser(Limits()) as parser:
        entries, refused, slowest = run(feeds, lambda body: parse_in_child(parser, body))
    child_seconds, before = cpu_seconds() - before, cpu_seconds()
    run(feeds, parse_inside)
    inside_seconds = cpu_seconds() - before
    print(
        f"{pack:18} {len(feeds):6} {len(feeds) - refused:6} {refused:8} {entries:8} {child_seconds:8.2f} "
        f"{inside_seconds:9.2f} {child_seconds / inside_seconds:6.2f} {slowest:10.2f}"
    )


def cpu_seconds() -> float:
    """CPU time of this process and of the children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run(feeds: list[bytes], parse: Callable[[bytes], int | None]) -> tuple[int, int, float]:
    """Return (entries, feeds refused, wall seconds of the slowest feed)."""
    entries, refused, slowest = 0, 0, 0.0
    for body in feeds:
        started = time.perf_counter()
        count = parse(body)
        slowest = max(slowest, time.perf_counter() - started)
        entries, refused = entries + (count or 0), refused + (count is None)
    return entries, refused, slowest


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
