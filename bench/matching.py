"""What telling one paper from another costs, and how often it is right, on real papers.

    .venv/bin/python -m bench.matching [DATA]      DATA is the folder of captured packs; default ../shared/data

Prints CPU time of title keys, of matching whole tables, and of judging every pair of different papers one by one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage.likeness import Work, same_work
from storage.matching import match
from storage.titles import title_keys

_IDS = pa.list_(pa.string())
_COLUMNS = ["title", "abstract", "authors", "aliases"]


def main() -> None:
    """Read the papers, run each step and print one line for it."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "shared" / "data"
    listed, known = same_papers(data / "bench" / "same_paper_pairs.parquet")
    papers = named_papers(data / "bench" / "arxiv_papers.parquet")
    bare = papers.set_column(3, "aliases", no_ids(len(papers)))
    odd, even = pa.array(range(1, len(papers), 2)), pa.array(range(0, len(papers), 2))
    print(f"{'step':58} {'rows':>9} {'CPU s':>7} {'a CPU s':>9} {'found':>7} {'false':>6}")
    row("title keys", len(papers), lambda: (len(set(title_keys(papers["title"]))), 0))
    row("Hugging Face and arXiv, ids taken away", 2 * len(known), lambda: judged(match(listed, known)))
    row("the same papers twice, by their ids", 2 * len(papers), lambda: judged(match(papers, papers)))
    row("the same papers twice, ids taken away", 2 * len(papers), lambda: judged(match(bare, bare)))
    row("one half and the other, with ids", len(papers), lambda: different(papers.take(odd), papers.take(even)))
    row("one half and the other, ids taken away *", len(papers), lambda: different(bare.take(odd), bare.take(even)))
    ours, theirs = works(listed), works(known)
    row("pairs of one paper, one by one", len(ours), lambda: one_by_one(ours, theirs))
    row("pairs of different papers, one by one", len(ours) * (len(ours) - 1), lambda: crossed(ours, theirs))
    print("* two papers each by their ids, although authors and abstracts are nearly the same")


def same_papers(path: Path) -> tuple[pa.Table, pa.Table]:
    """The same papers as Hugging Face and as arXiv give them, row by row, without ids."""
    rows = pq.read_table(path)
    none = no_ids(len(rows))
    listed = pa.table([rows["hf_title"], rows["hf_summary"], rows["hf_authors"], none], names=_COLUMNS)
    known = pa.table([rows["arxiv_title"], rows["arxiv_abstract"], rows["arxiv_authors"], none], names=_COLUMNS)
    return listed, known


def named_papers(path: Path) -> pa.Table:
    """Papers of arXiv with their ids."""
    rows = pq.read_table(path, columns=["arxiv_id", "title", "abstract", "authors"])
    aliases = pa.array([[f"arxiv:{i}"] for i in rows["arxiv_id"].to_pylist()], _IDS)
    return rows.select(_COLUMNS[:3]).append_column("aliases", aliases)


def no_ids(count: int) -> pa.Array:
    """So many empty lists."""
    return pa.array([[]] * count, _IDS)


def row(step: str, rows: int, run: Callable[[], tuple[int, int]]) -> None:
    """Time a step and print it: what it found, and how much of that is false."""
    started = time.process_time()
    found, false = run()
    seconds = time.process_time() - started
    print(f"{step:58} {rows:9,} {seconds:7.2f} {rows / seconds:9,.0f} {found:7,} {false:6,}", flush=True)


def judged(found: pa.Table) -> tuple[int, int]:
    """Matches, and those of different rows, for tables whose rows are the same papers."""
    rows = zip(found["left"].to_pylist(), found["right"].to_pylist(), strict=True)
    return len(found), sum(left != right for left, right in rows)


def different(left: pa.Table, right: pa.Table) -> tuple[int, int]:
    """Matches of tables that share no paper: all are false."""
    found = len(match(left, right))
    return found, found


def works(papers: pa.Table) -> list[Work]:
    """The rows of a table."""
    return [Work(title=r["title"], abstract=r["abstract"], authors=tuple(r["authors"])) for r in papers.to_pylist()]


def one_by_one(ours: list[Work], theirs: list[Work]) -> tuple[int, int]:
    """Pairs of one paper that are found to be one work."""
    return sum(same_work(one, other) is not None for one, other in zip(ours, theirs, strict=True)), 0


def crossed(ours: list[Work], theirs: list[Work]) -> tuple[int, int]:
    """Pairs of different papers that are taken for one work; every pair is judged."""
    false = sum(
        same_work(one, other) is not None
        for left, one in enumerate(ours)
        for right, other in enumerate(theirs)
        if left != right
    )
    return false, false


if __name__ == "__main__":
    main()
