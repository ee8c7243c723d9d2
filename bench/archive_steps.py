"""The steps of bench/archive.py, each run in a process of its own: `--step load --size 100000 --home DIR`."""

from __future__ import annotations

import pickle
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from bench.corpus import SOURCE, batch, entries, tables
from bench.steps import measured, spared, tell
from flows.decide import decide
from storage.archive import Archive
from storage.bulk import load as bulk_load
from storage.catalog import catalog_path, refresh_catalog
from storage.compact import compact as compact_archive
from storage.compact import delete_retired
from storage.model import Announcement, Entry
from storage.search import Search
from storage.settings import Settings, Topic

NOW = datetime(2026, 7, 1, 6, tzinfo=UTC)
TOPICS = (
    Topic(slug="cs.lg", title="Machine learning", query="category:cs.LG"),
    Topic(slug="physics.atm-clus", title="Clusters", query="category:physics.atm-clus"),
    Topic(slug="words", title="Words", query='title:"klos" OR abstract:stairaiptism'),
)
BATCHES = 5  # of each kind, after the first
REPEATS = 5  # of each query, after the first
_KINDS = ("poll", "overlap", "scattered")  # of batches
_NEW, _KNOWN, _SCATTERED = 200, 1_800, 200
_ROWS = 50_000  # papers offered to the bulk loader at once
_CONTENT_WORD = re.compile(r"\b(?!Using|through|under)[A-Za-z]{5,}\b")

# The rare category has some 20 papers a month at 3 M; the month is the newest.
QUERIES: dict[str, str] = {
    "newest 50 of cs.LG, 30 days": """
        SELECT paper_id, title, authors, published_at FROM papers
        WHERE new_at >= TIMESTAMP '{since}' AND list_contains(categories, 'cs.LG') ORDER BY new_at DESC LIMIT 50""",
    "newest 50 of a rare category, 30 days": """
        SELECT paper_id, title, authors, published_at FROM papers
        WHERE new_at >= TIMESTAMP '{since}' AND list_contains(categories, 'physics.atm-clus')
        ORDER BY new_at DESC LIMIT 50""",
    "count by month and category": """
        SELECT date_trunc('month', published_at) AS month, primary_category, count(*)
        FROM papers GROUP BY ALL""",
    "one paper with its history": """
        SELECT 1 AS part, paper_id, seq, title FROM papers WHERE paper_id = '{paper_id}'
        UNION ALL SELECT 2, paper_id, seq, title FROM revisions WHERE paper_id = '{paper_id}'
        UNION ALL SELECT 3, paper_id, seq, source FROM sightings WHERE paper_id = '{paper_id}'""",
    "one paper by paper_id": "SELECT * FROM papers WHERE paper_id = '{paper_id}'",
}


def corpus(size: int, home: Path) -> None:
    """Write the corpus and the batches that follow it to files, so that reading them costs no making."""
    with pa.OSFile(str(_corpus_path(home, size)), "wb") as sink:
        made = tables(size, rows=_ROWS)
        first = next(made)
        with pa.ipc.new_file(sink, first.schema) as writer:
            for table in (first, *made):
                writer.write_table(table.combine_chunks())
    for kind, offered in _offered(size, home):
        for number, found in enumerate(offered):
            (home.parent / f"corpus-{size}-{kind}-{number}.pickle").write_bytes(pickle.dumps(found))
    tell("corpus", size, bytes_a_paper=_corpus_path(home, size).stat().st_size / size)


def load(size: int, home: Path) -> None:
    """Bulk load the corpus into an empty archive."""
    with Archive(home) as archive, measured() as cost:
        bulk_load(archive, spared(_read(home, size), cost), source=SOURCE, load_id="bench", now=NOW, decide=decide)
    tell("load", size, **cost.values(rows_per_cpu_s=size / cost.cpu_seconds), **_sizes(home, size))


def again(size: int, home: Path) -> None:
    """Offer the same corpus once more under another id: nothing of it is new."""
    with Archive(home) as archive, measured() as cost:
        bulk_load(archive, spared(_read(home, size), cost), source=SOURCE, load_id="again", now=NOW, decide=decide)
    tell("again", size, **cost.values(rows_per_cpu_s=size / cost.cpu_seconds), **_sizes(home, size))


def compact(size: int, home: Path) -> None:
    """Compact what was loaded, and delete what that retired."""
    with Archive(home) as archive:
        with measured() as cost:
            compact_archive(archive, now=NOW, full=True)
        delete_retired(archive, now=NOW + timedelta(hours=25))
    tell("compact", size, **cost.values(rows_per_cpu_s=size / cost.cpu_seconds), **_sizes(home, size))


def publish(size: int, home: Path) -> None:
    """Publish papers.duckdb for the first time after the load: every paper is tagged."""
    with Archive(home) as archive, measured() as cost:
        refresh_catalog(archive, Settings(home=home), TOPICS, now=NOW)
    tell("publish", size, **cost.values(catalog_bytes=catalog_path(home).stat().st_size))


def batches(size: int, home: Path) -> None:
    """Commit and publish polls of 2,000 entries, 90 % known, of three kinds."""
    with Archive(home) as archive:
        for kind in _KINDS:
            offered = (pickle.loads(path.read_bytes()) for path in _batch_paths(home, size, kind))  # noqa: S301 - ours
            with measured() as cost:
                costs = [_batch_cost(archive, home, f"{kind}-{n}", found) for n, found in enumerate(offered)]
            commit, catalog, wall = ([c[i] for c in costs] for i in range(3))
            tell(
                f"batch {kind}",
                size,
                first_commit_ms=commit[0],
                first_publish_ms=catalog[0],
                commit_ms=statistics.median(commit[1:]),
                publish_ms=statistics.median(catalog[1:]),
                both_ms=statistics.median(a + b for a, b in zip(commit[1:], catalog[1:], strict=True)),
                both_ms_max=max(a + b for a, b in zip(commit[1:], catalog[1:], strict=True)),
                wall_ms=statistics.median(wall[1:]),
                peak_mb=cost.peak_bytes / 1e6,
                batches=len(costs) - 1,
            )


def queries(size: int, home: Path) -> None:
    """Ask papers.duckdb what readers ask, through a connection of their own."""
    with duckdb.connect(str(catalog_path(home)), read_only=True) as connection:
        newest = connection.execute("SELECT max(new_at) FROM papers").fetchall()[0][0]
    ids = pa.concat_tables(tables(REPEATS + 1, start=size // 2, size=size))["arxiv_id"].to_pylist()
    for name, sql in QUERIES.items():
        with duckdb.connect(str(catalog_path(home)), read_only=True) as connection:
            asked = [sql.format(since=newest - timedelta(days=30), paper_id=f"arxiv:{i}") for i in ids]
            taken = [_ask(connection, query) for query in asked]
        seconds = [s for s, _ in taken]
        tell(
            f"query {name}",
            size,
            first_ms=1_000 * seconds[0],
            median_ms=1_000 * statistics.median(seconds[1:]),
            rows=taken[-1][1],
        )


def search(size: int, home: Path) -> None:
    """Index the texts anew, search, and add 200 papers."""
    index = Search(home)
    with measured() as cost:
        index.rebuild(spared(map(_searchable, _read(home, size)), cost), seq=1)
    found = [_timed(index.find, text) for text in _questions(size) * 2]
    updates = []
    for number in range(REPEATS + 1):
        fresh = _searchable(_some(_NEW, size + _NEW * number, size))
        start = time.process_time()
        index.update(fresh, seq=2 + number)
        updates.append(1_000 * (time.process_time() - start))
    tell(
        "search",
        size,
        **cost.values(rows_per_cpu_s=size / cost.cpu_seconds),
        bytes_a_paper=sum(p.stat().st_size for p in index.folder.rglob("*") if p.is_file()) / size,
        update_ms=statistics.median(updates[1:]),
        first_ms=found[0][0],
        median_ms=statistics.median(ms for ms, _ in found),
        slowest_ms=max(ms for ms, _ in found[1:]),
        hits=statistics.mean(hits for _, hits in found),
    )


def rebuild(size: int, home: Path) -> None:
    """Build the index from the files alone."""
    with Archive(home) as archive, measured() as cost:
        archive.rebuild_index()
    tell("rebuild", size, **cost.values(rows_per_cpu_s=size / cost.cpu_seconds))


STEPS: dict[str, Callable[[int, Path], None]] = {
    step.__name__: step for step in (corpus, load, again, compact, publish, batches, queries, search, rebuild)
}


def _corpus_path(home: Path, size: int) -> Path:
    return home.parent / f"corpus-{size}.arrow"


def _batch_paths(home: Path, size: int, kind: str) -> list[Path]:
    return sorted(home.parent.glob(f"corpus-{size}-{kind}-*.pickle"))


def _read(home: Path, size: int) -> Iterator[pa.Table]:
    with pa.OSFile(str(_corpus_path(home, size))) as source:
        file = pa.ipc.open_file(source)
        for number in range(file.num_record_batches):
            yield pa.Table.from_batches([file.get_batch(number)])


def _sizes(home: Path, size: int) -> dict[str, float]:
    """Bytes a paper of the Parquet files and of the index with its write-ahead log."""
    folder = home / "archive"
    parquet = sum(p.stat().st_size for part in ("log", "base") for p in (folder / part).glob("*") if p.is_file())
    index = sum(p.stat().st_size for p in folder.glob("index.sqlite*"))
    return {"bytes_a_paper": parquet / size, "index_bytes_a_paper": index / size, "papers": size}


def _offered(size: int, home: Path) -> Iterator[tuple[str, Iterator[list[Entry]]]]:
    """The kinds of batches, each a source that says 2,000 entries several times."""
    return zip(_KINDS, (_polls(size), _overlaps(size), _scattered(size, home)), strict=True)


def _polls(size: int) -> Iterator[list[Entry]]:
    """A feed's newest 2,000, of which 200 are new since the poll before; the archive first meets it after the load."""
    for number in range(BATCHES + 1):
        end = size + _NEW * (number + 1)
        shown = _some(_NEW + _KNOWN, end - _NEW - _KNOWN, size)
        yield entries(shown.sort_by([("published_at", "descending")]), source="arxiv-rss:bench")


def _overlaps(size: int) -> Iterator[list[Entry]]:
    """The loaded source's own 2,000: 1,800 as loaded and not offered since, from the newest back, and 200 new ones."""
    for number in range(BATCHES + 1):
        known = _some(_KNOWN, max(size - _KNOWN * (number + 2), 0), size)
        yield entries(batch(known, _some(_NEW, size + 10_000 + _NEW * number, size)))


def _scattered(size: int, home: Path) -> Iterator[list[Entry]]:
    """As an overlap, but 200 of the known are revisions of papers from the whole archive."""
    for number in range(3):
        step = size // _SCATTERED
        old = _picked(home, size, [i * step + 7 * number for i in range(_SCATTERED)])
        known = pa.concat_tables([old, _some(_KNOWN - _SCATTERED, size - _KNOWN, size)])
        fresh = _some(_NEW, size + 20_000 + _NEW * number, size)
        yield entries(batch(known, fresh, revised=_SCATTERED))


def _picked(home: Path, size: int, numbers: Sequence[int]) -> pa.Table:
    """These papers of the corpus file."""
    parts = []
    for start, table in enumerate(_read(home, size)):
        inside = [n - start * _ROWS for n in numbers if start * _ROWS <= n < (start + 1) * _ROWS]
        parts.append(table.take(pa.array(inside, pa.int64())))
    return pa.concat_tables(parts)


def _some(count: int, start: int, size: int) -> pa.Table:
    return pa.concat_tables(tables(count, start=start, size=size))


def _batch_cost(archive: Archive, home: Path, batch_id: str, offered: Sequence[Entry]) -> tuple[float, float, float]:
    """CPU ms of committing a batch and of publishing it, and wall ms of both."""
    wall, start = time.perf_counter(), time.process_time()
    done = archive.append(offered, source="arxiv-rss:bench", batch_id=batch_id, now=NOW, decide=decide)
    committed = time.process_time()
    refresh_catalog(archive, Settings(home=home), TOPICS, now=NOW)
    published = time.process_time()
    assert done.announcements.get(Announcement.NEW) == _NEW, done
    return 1_000 * (committed - start), 1_000 * (published - committed), 1_000 * (time.perf_counter() - wall)


def _ask(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[float, int]:
    start = time.perf_counter()
    rows = connection.execute(sql).fetchall()
    return time.perf_counter() - start, len(rows)


def _searchable(table: pa.Table) -> pa.Table:
    """The columns the search index takes."""
    paper_id = pc.binary_join_element_wise("arxiv:", table["arxiv_id"], "")
    columns = ("title", "abstract", "authors", "categories", "withdrawn")
    return pa.table({"paper_id": paper_id, **{c: table[c] for c in columns}, "new_at": table["published_at"]})


def _questions(size: int) -> list[str]:
    """Twenty searches: one word, two words, and two words side by side, each from some paper's title."""
    found = []
    for number in range(20):
        title = _some(1, number * (size // 20), size)["title"][0].as_py()
        side_by_side = re.findall(rf"{_CONTENT_WORD.pattern} {_CONTENT_WORD.pattern}", title)
        one, two = _CONTENT_WORD.findall(title)[0], (side_by_side or _CONTENT_WORD.findall(title))[0]
        found.append((one, two, f'"{two}"')[number % 3])
    return found


def _timed(find: Callable[..., Sequence[object]], text: str) -> tuple[float, int]:
    """Wall ms of a search and how many hits it had."""
    start = time.perf_counter()
    hits = find(text, limit=50)
    return 1_000 * (time.perf_counter() - start), len(hits)
