"""arXiv's RSS feeds of five days, polled by Paperwire and by the library `reader` from one server (bench/sources.py).

Paperwire commits to its archive and publishes papers.duckdb after every feed, as `paperwire run` does: once with one
topic, for reader has none, and once with the topics it ships. reader updates its SQLite file, all feeds each time. The
server is a process of its own, and its CPU is nobody's. Rates are per entry of the feeds, each as often as a feed
brings it: papers that are in several feeds, or again on another day, count again.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.steps import Result, measured, tell
from storage.settings import Settings, Source, Topic

DAYS = 5
CATEGORIES = ("cs", "cs.AI", "cs.CL", "cs.CV", "cs.LG", "eess.IV")


def paperwire(days: int, home: Path, data: Path) -> None:
    """Poll with Paperwire and one topic: read, commit and publish papers.duckdb for each feed of each day."""
    _poll("paperwire", days, home, data, topics=(Topic(slug="lg", title="Learning", query="category:cs.LG"),))


def topics(days: int, home: Path, data: Path) -> None:
    """The same with the topics that Paperwire ships."""
    from storage.topics import shipped_topics

    _poll("topics", days, home, data, topics=shipped_topics())


def _poll(step: str, days: int, home: Path, data: Path, *, topics: Sequence[Topic]) -> None:
    from flows.pipeline import ingest_source, open_tools, shown_after

    with _server(home, data) as (url, turn_to):
        sources = tuple(
            Source(name=f"arxiv-rss:{c}", kind="arxiv-rss", category=c, base_url=url, allow_private_addresses=True)
            for c in CATEGORIES
        )
        settings, entries, new = Settings(home=home / step, source=sources, topic=tuple(topics)), 0, 0
        with measured() as cost:
            for day in range(1, days + 1):
                turn_to(day)
                now = datetime(2026, 6, day, 6, tzinfo=UTC)
                with shown_after(settings, now=now), open_tools(settings) as tools:
                    reports = [ingest_source(settings, s.name, now=now, tools=tools, shown=False) for s in sources]
                assert all(report.ok for report in reports), reports
                entries += sum(report.entries for report in reports)
                new += sum(report.new for report in reports)
    tell(step, days, **cost.values(entries=entries, kept=new, topics=len(topics), disk_bytes=_size(home / step)))


def reader(days: int, home: Path, data: Path) -> None:
    """Poll with reader, each day anew whatever its own schedule says."""
    from reader import make_reader

    folder = home / "reader"
    folder.mkdir()
    entries = 0
    with _server(home, data) as (url, turn_to):
        with measured() as cost:
            library = make_reader(str(folder / "db.sqlite"))
            for category in CATEGORIES:
                library.add_feed(f"{url}/rss/{category}")
            for day in range(1, days + 1):
                turn_to(day)
                for result in library.update_feeds_iter(scheduled=False):
                    assert not isinstance(result.value, Exception), result
            kept = library.get_entry_counts().total
            library.close()
        entries = sum(_entries_in(body) for body in _feeds(home, data, days))
    tell("reader", days, **cost.values(entries=entries, kept=kept, disk_bytes=_size(folder)))


STEPS: dict[str, Callable[[int, Path, Path], None]] = {"paperwire": paperwire, "topics": topics, "reader": reader}


def table(results: Sequence[Result]) -> None:
    """Print both, and the ratio."""
    print(
        f"\n{f'{DAYS} days of {len(CATEGORIES)} RSS feeds':24} {'entries':>8} {'kept':>7} {'wall s':>8} {'CPU s':>8}",
        end="",
    )
    print(f" {'entries/CPU-s':>14} {'peak MB':>8} {'disk MB':>8}")
    rates = {}
    for result in results:
        if result.error:
            print(f"{result.step:24} {result.error}")
            continue
        v, name = result.values, result.step
        name = f"paperwire, {counted} topic{'s' * (counted > 1)}" if (counted := v.get("topics")) else name
        rates[result.step] = v["entries"] / v["cpu_s"]
        print(f"{name:24} {v['entries']:8,} {v['kept']:7,} {v['wall_s']:8.1f} {v['cpu_s']:8.1f}", end="")
        print(f" {rates[result.step]:14,.0f} {v['peak_mb']:8,.0f} {v['disk_bytes'] / 1e6:8,.1f}")
    if len(rates) == len(STEPS):
        ratios = [rates[step] / rates["reader"] for step in ("paperwire", "topics")]
        print(f"ratio to reader {ratios[0]:.2f} and {ratios[1]:.2f}; kept: papers, or entries of reader's")


@contextmanager
def _server(home: Path, data: Path) -> Iterator[tuple[str, Callable[[int], None]]]:
    """A server in a process of its own: its address, and what turns it to a day."""
    folder = _unpacked(home, data)
    (folder / "day").write_text("1", encoding="ascii")
    command = [sys.executable, "-m", "bench.sources_peers", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        try:
            port = int(child.stdout.readline())
            yield (
                f"http://127.0.0.1:{port}",
                lambda day: (folder / "day").write_text(str(day), encoding="ascii") and None,
            )
        finally:
            child.kill()


def serve(folder: Path) -> None:
    """Serve `/rss/CATEGORY` of the day that the file `day` names; print the port."""
    feeds = {(day, category): _feed(folder, day, category) for day in range(1, DAYS + 1) for category in CATEGORIES}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            day = int((folder / "day").read_text(encoding="ascii"))
            body = feeds[day, self.path.removeprefix("/rss/")]
            self.send_response(200)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


def _unpacked(home: Path, data: Path) -> Path:
    folder = home / "arxiv_rss_replay"
    if not folder.exists():
        unzstd = "--use-compress-program=zstd -q -d --long=27"
        subprocess.run(["tar", unzstd, "-xf", data / "arxiv_rss_replay.tar.zst", "-C", home], check=True)
    return folder


def _feed(folder: Path, day: int, category: str) -> bytes:
    return gzip.decompress((folder / f"2026-06-0{day}_rss_{category}.xml.gz").read_bytes())


def _feeds(home: Path, data: Path, days: int) -> Iterator[bytes]:
    folder = _unpacked(home, data)
    for day in range(1, days + 1):
        yield from (_feed(folder, day, category) for category in CATEGORIES)


def _entries_in(body: bytes) -> int:
    return body.count(b"<item>")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
