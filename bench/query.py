"""How well and how fast the shipped topics tag real papers: `python -m bench.query [arxiv_papers.parquet]`.

Prints the share of computer-science papers that have at least one theme, themes a paper, and the time that all shipped
topics take for 1,000 papers: in SQL over prepared words, and for the words themselves.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from storage.query import WORDS_SQL, parse_query
from storage.topics import shipped_topics

CAPTURED = Path(__file__).resolve().parents[2] / "shared" / "data" / "bench" / "arxiv_papers.parquet"
NOW = datetime(2026, 6, 2, tzinfo=UTC)
LEARNING = ("cs.AI", "cs.CL", "cs.CV", "cs.LG", "cs.RO", "stat.ML")
PAPERS_SQL = """
CREATE TABLE papers AS
SELECT 'arxiv:' || arxiv_id AS paper_id, any_value(title) AS title, any_value(abstract) AS abstract,
       any_value(authors) AS authors, any_value(categories) AS categories, any_value(date) AS day
FROM read_parquet(?) GROUP BY arxiv_id
"""


def main(path: Path) -> None:
    """Print the tables."""
    connection = duckdb.connect(config={"threads": 1, "python_enable_replacements": "false"})
    connection.execute(PAPERS_SQL, [str(path)])
    count = _number(connection, "SELECT count(*) FROM papers")
    words_seconds = _seconds(connection, f"CREATE TABLE words AS {WORDS_SQL}")
    print(f"{count:,} papers; DuckDB {duckdb.__version__}, one thread, CPU seconds\n")
    connection.execute("CREATE TABLE tags (paper_id VARCHAR, topic VARCHAR, theme BOOLEAN)")
    seconds = {topic.slug: _tag(connection, topic.slug, topic.query) for topic in shipped_topics()}
    print(f"{len(seconds)} topics, per 1,000 papers: {sum(seconds.values()) / count * 1000:.3f} s")
    print(f"words of title and abstract, per 1,000 papers: {words_seconds / count * 1000:.3f} s")
    slowest = sorted(seconds, key=lambda slug: -seconds[slug])[:3]
    print("slowest: " + ", ".join(f"{slug} {seconds[slug] / count * 1000:.3f} s" for slug in slowest) + "\n")
    _print_shares(connection)


def _tag(connection: duckdb.DuckDBPyConnection, slug: str, query: str) -> float:
    condition = parse_query(query).sql(NOW)
    sql = f"INSERT INTO tags SELECT paper_id, ?, ? FROM words WHERE {condition.where}"
    return _seconds(connection, sql, [slug, not query.startswith("category:"), *condition.params])


def _print_shares(connection: duckdb.DuckDBPyConnection) -> None:
    groups = {
        "cs.*": "len(list_filter(categories, lambda c: starts_with(c, 'cs.'))) > 0",
        "learning (cs.AI CL CV LG RO, stat.ML)": f"list_has_any(categories, {list(LEARNING)})",
        "the same since 2025": f"list_has_any(categories, {list(LEARNING)}) AND day >= '2025'",
    }
    print(f"{'papers':38} {'number':>8} {'with a theme':>13} {'themes a paper':>15} {'most':>5}")
    for name, where in groups.items():
        row = connection.execute(f"""
            SELECT count(*), avg((n > 0)::INT), avg(n), max(n) FROM (
                SELECT (SELECT count(*) FROM tags t WHERE t.paper_id = p.paper_id AND theme) AS n FROM papers p
                WHERE {where})""").fetchall()[0]
        print(f"{name:38} {row[0]:8,} {row[1]:13.1%} {row[2]:15.2f} {row[3]:5}")
    for slug, number in connection.execute("SELECT topic, count(*) FROM tags GROUP BY 1 ORDER BY 2 DESC").fetchall():
        print(f"  {slug:28} {number:7,}")


def _seconds(connection: duckdb.DuckDBPyConnection, sql: str, params: list[object] | None = None) -> float:
    start = time.process_time()
    connection.execute(sql, params or [])
    return time.process_time() - start


def _number(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    return int(connection.execute(sql).fetchall()[0][0])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else CAPTURED)
