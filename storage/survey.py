"""What the files say of where each paper lies: the keys, the superseded rows, the merged papers. In bulk, in DuckDB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb

from storage.tables import read_rows

KEY_SQL = "(md5_number_lower({}) >> 1)::BIGINT"  # what index.key_of computes
_COLUMNS = ["paper_id", "seq", "aliases", "merged_into"]
_BATCH_ROWS = 100_000
CONFIG: dict[str, str | bool | int | float | list[str]] = {"python_enable_replacements": "false", "threads": "2"}


class Survey:
    """Reads the narrow columns of all rows once, every page checked; then answers. Raises ArchiveCorrupt."""

    DIGEST = "coalesce(bit_xor(md5_number_lower(paper_id)), 0)"  # of a set of papers, in any order

    def __init__(self, live: Iterable[tuple[Path, bytes]], history: Iterable[tuple[Path, bytes]] = ()) -> None:
        self._connection = duckdb.connect(config=CONFIG)
        execute = self._connection.execute
        execute("CREATE TABLE r (paper_id VARCHAR, seq BIGINT, ks BIGINT[], merged_into VARCHAR, old BOOLEAN)")
        for files, old in ((live, False), (history, True)):
            for path, footer in files:
                # Table by table: a reader that DuckDB pulls at holds a thread of Arrow's while our reading wants one.
                for table in read_rows(path, _COLUMNS, footer=footer):
                    self._connection.register("incoming", table)
                    execute(
                        f"""INSERT INTO r
                        SELECT paper_id, seq, [{KEY_SQL.format("a")} for a in aliases], merged_into, {old}
                        FROM incoming"""
                    )
                    self._connection.unregister("incoming")
        execute(
            """CREATE TABLE stale AS SELECT paper_id, seq, until_seq, old FROM (
              SELECT paper_id, seq, old, lead(seq) OVER (PARTITION BY paper_id ORDER BY seq) AS until_seq FROM r
              SEMI JOIN (SELECT paper_id FROM r GROUP BY paper_id HAVING count(*) > 1) USING (paper_id))
            WHERE until_seq IS NOT NULL"""
        )

    def __enter__(self) -> Survey:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def stale(self) -> list[tuple[str, int, int]]:
        """(paper_id, seq, until_seq) of the superseded rows of live files, sorted."""
        return self._connection.execute(
            "SELECT paper_id, seq, until_seq FROM stale WHERE NOT old ORDER BY ALL"
        ).fetchall()

    def merged(self) -> list[tuple[str, str]]:
        """(paper_id, merged_into) of the papers found to be another one, sorted."""
        return self._connection.execute(
            "SELECT paper_id, merged_into FROM r ANTI JOIN stale USING (paper_id, seq) "
            "WHERE merged_into IS NOT NULL ORDER BY ALL"
        ).fetchall()

    def keys(self) -> Iterator[tuple[int, int, int]]:
        """(k, seq, n) of the current rows, sorted."""
        found = self._connection.execute(
            """SELECT k, seq, count(*)::BIGINT AS n FROM (
              SELECT unnest(ks) AS k, seq FROM r ANTI JOIN stale USING (paper_id, seq) WHERE NOT r.old)
            GROUP BY k, seq ORDER BY k, seq"""
        ).to_arrow_reader(_BATCH_ROWS)
        for batch in found:
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def papers(self) -> int:
        """How many papers have a row."""
        (count,) = self._connection.execute("SELECT count(DISTINCT paper_id) FROM r").fetchall()[0]
        return int(count)

    def digest(self) -> int:
        """One number over the ids of all papers that were not merged away; `DIGEST` of the view `papers`."""
        gone = "SELECT paper_id FROM r ANTI JOIN stale USING (paper_id, seq) WHERE merged_into IS NOT NULL"
        sql = f"SELECT {self.DIGEST} FROM (SELECT DISTINCT paper_id FROM r WHERE paper_id NOT IN ({gone}))"
        return int(self._connection.execute(sql).fetchall()[0][0])

    def missing(self, paper_ids: Iterable[str]) -> list[str]:
        """Those of `paper_ids` that no row names, sorted."""
        rows = self._connection.execute(
            "SELECT id FROM (SELECT unnest(?) AS id) WHERE id NOT IN (SELECT paper_id FROM r) ORDER BY id",
            [list(paper_ids)],
        ).fetchall()
        return [str(row[0]) for row in rows]
