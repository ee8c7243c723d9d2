"""A small catalog in memory: the view `papers` and the table paper_topics, asked in the query language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import duckdb
import pyarrow as pa

from storage.model import Paper
from storage.query import WORDS_SQL, Query, normal_sql, parse_query
from tests.builders import NOW

SCHEMA = pa.schema(
    [
        ("paper_id", pa.string()),
        *((name, pa.list_(pa.string())) for name in ("aliases", "authors", "categories", "sources")),
        *((name, pa.string()) for name in ("title", "abstract", "code_url", "doi", "journal_ref")),
        ("withdrawn", pa.bool_()),
        *((name, pa.int32()) for name in ("version", "upvotes", "comment_count", "stars")),
        *((name, pa.date32()) for name in ("announced_on", "trending_on")),
        ("first_seen_at", pa.timestamp("us", tz="UTC")),
    ]
)


class Catalog:
    """The view `papers` and the table paper_topics over given papers, in memory."""

    def __init__(self, papers: Sequence[Paper], topics: dict[str, set[str]] | None = None) -> None:
        self.connection = duckdb.connect(config={"python_enable_replacements": "false"})
        rows = [{name: asdict(paper)[name] for name in SCHEMA.names} for paper in papers]
        self.connection.register("given", pa.Table.from_pylist(rows, schema=SCHEMA))
        self.connection.execute("CREATE TABLE papers AS SELECT * FROM given")
        self.connection.execute(f"CREATE TABLE words AS {WORDS_SQL}")
        self.connection.execute("CREATE TABLE paper_topics (paper_id VARCHAR, topic VARCHAR)")
        for paper_id, slugs in (topics or {}).items():
            for slug in sorted(slugs):
                self.connection.execute("INSERT INTO paper_topics VALUES (?, ?)", [paper_id, slug])

    def found(self, query: str | Query, now: datetime = NOW) -> set[str]:
        """Return the ids that the SQL of `query` finds."""
        condition = (parse_query(query) if isinstance(query, str) else query).sql(now)
        rows = self.connection.execute(
            f"SELECT paper_id FROM words WHERE {condition.where}", list(condition.params)
        ).fetchall()
        return {str(row[0]) for row in rows}

    def normal(self, texts: Sequence[str]) -> list[str]:
        """Return what the SQL makes of `texts`."""
        self.connection.register("texts", pa.table({"place": range(len(texts)), "t": pa.array(texts, pa.string())}))
        rows = self.connection.execute(f"SELECT {normal_sql('t')} FROM texts ORDER BY place").fetchall()
        return [str(row[0]) for row in rows]
