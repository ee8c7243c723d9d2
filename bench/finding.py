"""What answering a query costs: `python -m bench.finding [--papers N] [--at FOLDER]`, by default 100,000 papers.

Loads made-up papers (bench/corpus.py) in whose abstracts the words of the shipped topics stand too, but for those of
the last year, which come day by day as a feed brings them and so are announced. Then asks for the newest 50 papers of
each of some sixty queries, told of as new and all, and for the preview of 90 days, each several times: the first is of
a process that has asked nothing before. FOLDER is kept, and used again where it holds an archive already.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import chain, groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench import corpus
from flows.decide import decide
from flows.searching import refresh_search
from storage.archive import Archive
from storage.bulk import load
from storage.catalog import refresh_catalog
from storage.compact import compact, delete_retired
from storage.finding import Finder
from storage.model import Entry
from storage.query import Query, parse_query
from storage.query_terms import And, Node, Not, Or, Words
from storage.settings import Settings
from storage.topics import shipped_topics

NOW = datetime(2026, 7, 1, 6, tzinfo=UTC)
ANNOUNCED = timedelta(days=365)
REPEATS = 4
PHRASES = 3  # of the topics in each abstract
NEWEST, DAYS = 50, 90
_ROWS = 50_000
# Words of the corpus from the most common to the rare; `results` stands in one abstract of three, `the` in each.
QUERIES = (
    *("spassku", "results", "klos", "riltneity", "soziermic", "the"),
    *('"kiopest shumpment"', '"we show that"', '"strirdation geant from"', '"results show" klos'),
    *("title:spassku", "abstract:stairaiptism", "title:(klos OR pliox) -abstract:spassku"),
    *("author:nida", 'author:"chiara nida"', "author:wang klos", "author:zho*"),
    *("briex*", "s*", '"language model*"', '"kiopest s*"', "multi-agent* category:cs"),
    "klos OR pliox OR jomp OR plou OR so OR raive OR groal OR nurm OR hoance OR mem",
    *("spassku -klos", "-spassku", "category:cs.LG -results", "NOT (category:cs OR category:math)"),
    *("category:cs.LG", "category:math.*", "category:physics.atm-clus", "source:arxiv-rss"),
    *("published:yes", "version:>1 klos", "code:yes", "since:30d spassku", "until:2020-01-01 klos"),
    *("topic:agents", "topic:diffusion -category:cs.LG klos", "id:2606.00008"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the archive and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--papers", type=int, default=100_000)
    parser.add_argument("--at", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        home = options.at or Path(folder) / "home"
        if not (home / "papers.duckdb").exists():
            build(home, options.papers)
        with Archive(home) as archive:
            refresh_search(archive)
        measure(home)


def build(home: Path, papers: int) -> None:
    """Make the archive: a load, a year of polls, papers.duckdb and the index; says what each took."""
    with Archive(home) as archive:
        old = (table.filter(pc.less(table["published_at"], _naive(NOW - ANNOUNCED))) for table in made(papers))
        timed(
            "load",
            lambda: load(archive, old, source=corpus.SOURCE, load_id="bench", now=NOW - ANNOUNCED, decide=decide),
        )
        timed("polls", lambda: announce(archive, papers))
        timed("compact", lambda: compact(archive, now=NOW, full=True))
        delete_retired(archive, now=NOW + timedelta(hours=25))
        timed("papers.duckdb", lambda: refresh_catalog(archive, Settings(home=home), shipped_topics(), now=NOW))
        timed("index", lambda: refresh_search(archive))
    for folder in ("search", "base"):
        size = sum(path.stat().st_size for path in (home / "archive" / folder).rglob("*") if path.is_file())
        print(f"{folder:16} {size / papers:7.0f} bytes a paper")


def made(papers: int) -> Iterator[pa.Table]:
    """The corpus, with words of the topics in its abstracts."""
    phrases = pa.array(
        sorted({n.strip() for topic in shipped_topics() for n in _needles(parse_query(topic.query).root)})
    )
    rng = np.random.Generator(np.random.SFC64(3))
    for table in corpus.tables(papers, rows=_ROWS):
        some = [phrases.take(pa.array(rng.integers(0, len(phrases), table.num_rows))) for _ in range(PHRASES)]
        text = pc.binary_join_element_wise(table["abstract"], *some, " and ")
        yield table.set_column(table.schema.get_field_index("abstract"), "abstract", text)


def announce(archive: Archive, papers: int) -> None:
    """Commit the last year's papers day by day, as arXiv's feed would bring them."""
    recent = pa.concat_tables(
        table.filter(pc.greater_equal(table["published_at"], _naive(NOW - ANNOUNCED))) for table in made(papers)
    )
    told = sorted((_day_of(row), n) for n, row in enumerate(recent["published_at"].to_pylist()))
    for day, some in groupby(told, key=lambda one: one[0]):
        table = recent.take(pa.array([n for _, n in some]))
        now = datetime(day.year, day.month, day.day, 1, tzinfo=UTC)
        batch = [_as_told(entry, day) for entry in corpus.entries(table, source="arxiv-rss:bench")]
        archive.append(batch, source="arxiv-rss:bench", batch_id=str(day), now=now, decide=decide)


def measure(home: Path) -> None:
    """Ask each query and print the milliseconds."""
    queries = {text: parse_query(text) for text in chain(QUERIES, (topic.query for topic in shipped_topics()))}
    with Finder(home) as finder:
        timed("first query", lambda: finder.newest(parse_query("anything"), now=NOW, limit=1))
        asks: dict[str, Callable[[Query], int]] = {
            f"newest {NEWEST}": lambda query: len(finder.newest(query, now=NOW, limit=NEWEST)),
            f"newest {NEWEST}, all": lambda query: len(finder.newest(query, now=NOW, limit=NEWEST, backfilled=True)),
            f"preview {DAYS}": lambda query: finder.preview(query, days=DAYS, now=NOW).total,
            "preview 365": lambda query: finder.preview(query, days=365, now=NOW).total,
        }
        print(f"\n{'ms':18} {'p50':>7} {'p95':>7} {'max':>7} {'first p95':>10} {'found':>7}  slowest")
        for name, ask in asks.items():
            taken = {text: [_timed(ask, query) for _ in range(REPEATS)] for text, query in queries.items()}
            print_row(name, taken)


def print_row(name: str, taken: dict[str, list[tuple[float, int]]]) -> None:
    """One line of the table; `first` are the first times that each was asked."""
    first = [runs[0][0] for runs in taken.values()]
    ms = [ms for runs in taken.values() for ms, _ in runs]
    found = statistics.median(runs[0][1] for runs in taken.values())
    slowest = sorted(taken, key=lambda text: -statistics.median(ms for ms, _ in taken[text]))[:3]
    told = "; ".join(f"{text[:28]} {statistics.median(ms for ms, _ in taken[text]):.0f}" for text in slowest)
    p95, first_p95 = (statistics.quantiles(values, n=20)[-1] for values in (ms, first))
    print(f"{name:18} {statistics.median(ms):7.1f} {p95:7.1f} {max(ms):7.1f} {first_p95:10.1f} {found:7.0f}  {told}")


def timed(what: str, run: Callable[[], object]) -> None:
    """Run a step and say how long it took."""
    start = time.perf_counter()
    run()
    print(f"{what:16} {time.perf_counter() - start:7.1f} s", flush=True)


def _timed(ask: Callable[[Query], int], query: Query) -> tuple[float, int]:
    start = time.perf_counter()
    found = ask(query)
    return 1_000 * (time.perf_counter() - start), found


def _as_told(entry: Entry, day: date) -> Entry:
    return replace(entry, announced_on=day, announce_type="new")


def _day_of(published_at: datetime) -> date:
    """The working day after a paper came in."""
    day = published_at.date() + timedelta(days=1)
    return day + timedelta(days=max(0, 7 - day.weekday()) if day.weekday() > 4 else 0)


def _needles(node: Node) -> Iterator[str]:
    match node:
        case Words():
            yield from node.needles
        case And() | Or():
            yield from chain.from_iterable(map(_needles, node.parts))
        case Not():
            yield from _needles(node.part)


def _naive(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment.replace(tzinfo=None), pa.timestamp("us"))


if __name__ == "__main__":
    main()
