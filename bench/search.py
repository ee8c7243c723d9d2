"""What full-text search costs: `python -m bench.search [papers] [--at FOLDER]`, by default with 100,000 papers.

Builds an index of synthetic papers (bench/corpus.py), asks it what readers ask, and adds 200 papers several times: half
of them new, half known ones revised, as a pass of a day brings them. CPU seconds are those of all threads; making the
papers is taken off. The means of adding include the merges that fall due; the index is removed afterwards.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bench import corpus
from storage.search import Search
from storage.search_text import STOP_WORDS, words

QUERIES, UPDATES, UPDATE_ROWS, BATCH_ROWS = 300, 24, 200, 20_000
SEED = 7


class Fed:
    """Papers as the index takes them, and the seconds that making them took."""

    def __init__(self, count: int) -> None:
        self.count, self.spared_seconds = count, 0.0
        self.sample: list[pa.Table] = []

    def __iter__(self) -> Iterator[pa.Table]:
        batches = corpus.tables(self.count, rows=BATCH_ROWS)
        while True:
            start = time.thread_time()
            table = next(batches, None)
            if table is None:
                return
            rows = as_rows(table)
            self.sample.append(rows.slice(0, max(1, QUERIES * BATCH_ROWS // self.count)))
            self.spared_seconds += time.thread_time() - start
            yield rows


def main(count: int, at: Path) -> None:
    """Print the tables."""
    search, fed = Search(at), Fed(count)
    wall, cpu = time.perf_counter(), time.process_time()
    held: list[int] = []
    search.rebuild(fed, seq=1, progress=lambda _: held.append(held_mb()))
    wall, cpu = time.perf_counter() - wall - fed.spared_seconds, time.process_time() - cpu - fed.spared_seconds
    size = sum(path.stat().st_size for path in search.folder.rglob("*") if path.is_file())
    print(f"{'papers':>10} {'papers/s':>9} {'a CPU-s':>8} {'B/paper':>8} {'MB held':>8}")
    print(f"{count:10,} {count / wall:9,.0f} {count / cpu:8,.0f} {size / count:8.0f} {max(held):8,}\n")
    sample = pa.concat_tables(fed.sample)
    print(f"{'ms a query, 50 best':28} {'p50':>7} {'p95':>7} {'most':>7} {'hits':>6}")
    for name, asked in questions(sample.to_pylist()).items():
        print_times(name, search, asked)
    print(f"\n{f'ms to add {UPDATE_ROWS}':28} {'median':>7} {'mean':>7} {'most':>7}")
    costs = [add(search, count, number) for number in range(UPDATES)]
    for name, found in zip(("CPU", "wall", "first query after it"), zip(*costs, strict=True), strict=True):
        print(f"{name:28} {statistics.median(found):7.1f} {statistics.mean(found):7.1f} {max(found):7.1f}")
    print("\nafter that:")
    print_times("two words", search, questions(sample.to_pylist())["two words"])


def held_mb() -> int:
    """What the process holds for itself; the pages of mapped index files, which the system may drop, do not count."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) // 1024 if found else 0


def as_rows(table: pa.Table) -> pa.Table:
    """The columns that the index reads, of papers of the corpus."""
    names = ("title", "abstract", "authors", "categories", "withdrawn")
    columns = {name: table.column(name) for name in names}
    columns["paper_id"] = pc.binary_join_element_wise("arxiv:", table.column("arxiv_id"), "")
    return pa.table(columns | {"new_at": table.column("published_at")})


def questions(rows: list[dict[str, object]]) -> dict[str, list[str]]:
    """Queries of each kind, made of the words of real rows, so that each has an answer."""
    chosen = random.Random(SEED)  # noqa: S311 - the same queries in every run
    kinds: dict[str, list[str]] = {}

    def ask(kind: str, text: str) -> None:
        kinds.setdefault(kind, []).append(text)

    for row in rows[:QUERIES]:
        spelled = re.findall(r"[A-Za-z]{3,}", str(row["title"]))
        title = [word for word in spelled if words(word)[0] not in STOP_WORDS]
        inside = [word for word in words(str(row["abstract"])) if word not in STOP_WORDS and word.isalpha()]
        authors = row["authors"]
        if len(title) < 3 or len(inside) < 3 or not isinstance(authors, list):
            continue
        ask("one word", chosen.choice(title))
        ask("two words", " ".join(chosen.sample(inside, 2)))
        ask("three words", " ".join(chosen.sample(title, 3)))
        ask("whole title", " ".join(spelled))
        ask("phrase", f'"{title[0]} {title[1]}"')
        ask("author", f'author:"{authors[0]}"')
        ask("a prefix", f"{chosen.choice(title)[:4]}*")
        ask("word, without a word", f"{title[0]} -{title[1]}")
        ask("title:", f"title:{chosen.choice(title)}")
        ask("abstract:", f"abstract:{chosen.choice(inside)}")
        ask("word in a category", f"{chosen.choice(title)} category:cs")
        ask("newest: one word", chosen.choice(title))
        ask("newest: two words", " ".join(chosen.sample(inside, 2)))
    return kinds


def print_times(name: str, search: Search, asked: list[str]) -> None:
    """Ask each once, after the first was asked, and print how long it took."""
    newest = name.startswith("newest")
    search.find(asked[0], newest_first=newest)
    found, hits = [], 0
    for text in asked:
        start = time.perf_counter()
        hits += len(search.find(text, newest_first=newest))
        found.append((time.perf_counter() - start) * 1000)
    p95 = statistics.quantiles(found, n=20)[-1]
    print(f"{name:28} {statistics.median(found):7.2f} {p95:7.2f} {max(found):7.2f} {hits / len(asked):6.1f}")


def add(search: Search, count: int, number: int) -> tuple[float, float, float]:
    """Add new and revised papers; returns CPU and wall milliseconds, and those of the first query after it."""
    half = UPDATE_ROWS // 2
    known = as_rows(next(corpus.tables(half, start=number * 7919 % (count - half), size=count)))
    fresh = as_rows(next(corpus.tables(half, start=count + number * half, size=count)))
    rows = pa.concat_tables([known, fresh])
    wall, cpu = time.perf_counter(), time.process_time()
    search.update(rows, seq=2 + number)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    start = time.perf_counter()
    search.find("of one")
    return cpu * 1000, wall * 1000, (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("papers", type=int, nargs="?", default=100_000)
    parser.add_argument("--at", type=Path, default=None, help="where the index is made; a temporary folder by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.at) as folder:
        main(arguments.papers, Path(folder))
