"""Whole tables are matched on real papers: the same paper is found without ids, different papers are never one.

Prints the numbers (`pytest -s`); bench/matching.py prints them with their cost.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from storage.likeness import Work, names_of, same_work
from storage.matching import match
from storage.titles import title_form, title_keys
from tests.test_identity_joins_only_one_work import ABSTRACT, ELSEWHERE, NAMES, REVISED, TITLE

_NO_IDS = pa.list_(pa.string())


def table(*works: Work) -> pa.Table:
    """The columns of papers."""
    return pa.table(
        {
            "title": pa.array([w.title for w in works], pa.string()),
            "abstract": pa.array([w.abstract for w in works], pa.string()),
            "authors": pa.array([list(w.authors) for w in works], _NO_IDS),
            "aliases": pa.array([list(w.aliases) for w in works], _NO_IDS),
        }
    )


def works_of(papers: pa.Table) -> list[Work]:
    """The rows of a table."""
    return [
        Work(title=r["title"], abstract=r["abstract"], authors=tuple(r["authors"]), aliases=tuple(r["aliases"]))
        for r in papers.to_pylist()
    ]


@pytest.fixture(scope="module")
def pairs(shared_data: Path) -> tuple[pa.Table, pa.Table]:
    """The same papers as Hugging Face and as arXiv give them, row by row, without ids."""
    rows = pq.read_table(shared_data / "bench" / "same_paper_pairs.parquet")
    none = pa.array([[]] * len(rows), _NO_IDS)
    names = ["title", "abstract", "authors", "aliases"]
    listed = pa.table([rows["hf_title"], rows["hf_summary"], rows["hf_authors"], none], names=names)
    return listed, pa.table([rows["arxiv_title"], rows["arxiv_abstract"], rows["arxiv_authors"], none], names=names)


@pytest.fixture(scope="module")
def papers(shared_data: Path) -> pa.Table:
    """57,166 papers of arXiv with their ids."""
    rows = pq.read_table(shared_data / "bench" / "arxiv_papers.parquet")
    aliases = pa.array([[f"arxiv:{i}"] for i in rows["arxiv_id"].to_pylist()], _NO_IDS)
    return rows.select(["title", "abstract", "authors"]).append_column("aliases", aliases)


# Real papers --------------------------------------------------------------------------------------------------


def test_the_same_paper_is_found_without_ids_and_no_other(pairs: tuple[pa.Table, pa.Table]) -> None:
    found = match(*pairs)
    right = pc.sum(pc.equal(found["left"], found["right"])).as_py()
    print(f"\n{right:,} of {len(pairs[0]):,} pairs merged ({right / len(pairs[0]):.2%}), {len(found) - right} false")
    assert len(found) == right, "false merges"
    assert right / len(pairs[0]) > 0.99


def test_one_by_one_the_answer_is_the_same(pairs: tuple[pa.Table, pa.Table]) -> None:
    one_by_one = [same_work(a, b) is not None for a, b in zip(works_of(pairs[0]), works_of(pairs[1]), strict=True)]
    in_bulk = set(match(*pairs)["left"].to_pylist())
    assert {row for row, joined in enumerate(one_by_one) if joined} == in_bulk


@pytest.mark.slow
def test_no_two_different_papers_of_all_pairs_are_one_work(pairs: tuple[pa.Table, pa.Table]) -> None:
    """All 4.8 million pairs; those without an equal title or a name in common in half their authors cannot be one."""
    listed, known = works_of(pairs[0]), works_of(pairs[1])
    by_word: dict[str, list[int]] = {}
    for row, work in enumerate(known):
        for word in names_of(work.authors).words:
            by_word.setdefault(word, []).append(row)
    by_title = {title_form(work.title): row for row, work in enumerate(known)}
    judged, false = 0, []
    for row, work in enumerate(listed):
        names = names_of(work.authors)
        shared = Counter(other for word in names.words for other in by_word.get(word, ()))
        close = {other for other, words in shared.items() if words >= len(names.people) / 2}
        close |= {by_title.get(title_form(work.title), row)}
        judged += len(close - {row})
        false += [(work.title, known[other].title) for other in close - {row} if same_work(work, known[other])]
    print(
        f"\n{len(listed) * (len(known) - 1):,} pairs of different papers, {judged:,} judged, {len(false)} false merges"
    )
    assert judged > 1_000
    assert false == []


def test_papers_with_one_title_and_different_ids_never_merge(papers: pa.Table) -> None:
    """Says, too, how many a matcher without ids would merge: those are one text submitted twice."""
    rows: dict[str | None, list[int]] = {}
    for row, key in enumerate(title_keys(papers["title"])):
        rows.setdefault(key, []).append(row)
    twins = [(a, b) for same in rows.values() for n, a in enumerate(same) for b in same[:n]]
    works = {row: work for rows in twins for row, work in zip(rows, works_of(papers.take(rows)), strict=True)}
    bare = {row: Work(title=w.title, authors=w.authors, abstract=w.abstract) for row, w in works.items()}
    merged = [(a, b) for a, b in twins if same_work(works[a], works[b])]
    without_ids = [same_work(bare[a], bare[b]) for a, b in twins]
    said = [reason for reason in without_ids if reason]
    print(f"\n{len(twins)} pairs of one title, {len(merged)} merged; without ids {len(said)}: {said}")
    assert len(twins) >= 6
    assert merged == []
    assert len(said) < len(twins) / 2


def test_no_two_of_57_166_papers_are_matched(papers: pa.Table) -> None:
    half = len(papers) // 2
    assert len(match(papers.slice(0, half), papers.slice(half))) == 0


def test_every_one_of_57_166_papers_finds_itself_by_its_id(papers: pa.Table) -> None:
    found = match(papers, papers)
    assert found["left"].to_pylist() == found["right"].to_pylist() == list(range(len(papers)))
    assert set(found["score"].to_pylist()) == {1.0}


# Small tables -------------------------------------------------------------------------------------------------

WORK = Work(title=TITLE, authors=NAMES, abstract=ABSTRACT)


def test_each_way_of_being_one_work_is_found() -> None:
    left = table(
        Work(title="?", aliases=("doi:10.1000/a", "title:0")),
        Work(title=TITLE, authors=NAMES, abstract=ABSTRACT),
        Work(title="Sequences of letters", authors=("Ada Example", "R. Roe"), abstract=ABSTRACT[::-1]),
        Work(title="A title with letters", abstract=ELSEWHERE),
    )
    right = table(
        Work(title="Sequences of characters", authors=("Example, A.", "Roe, Richard"), abstract=ABSTRACT[::-1]),
        Work(title="A Title, with Letters.", authors=("Zoe Zest",), abstract=ELSEWHERE),
        Work(title="Another", aliases=("doi:10.1000/a", "arxiv:2606.00012")),
        Work(title=TITLE.upper(), authors=NAMES[::-1], abstract=REVISED),
    )
    found = match(left, right).to_pylist()
    assert [(row["left"], row["right"], row["reason"]) for row in found] == [
        (0, 2, "both are doi:10.1000/a"),
        (1, 3, "equal title, 4 of 4 authors, abstracts 93% alike"),
        (2, 0, "title changed, 2 of 2 authors, abstracts 100% alike"),
        (3, 1, "equal title, authors on one side only, abstracts 100% alike"),
    ]


def test_ids_that_contradict_are_two_papers() -> None:
    one = Work(title=TITLE, authors=NAMES, abstract=ABSTRACT, aliases=("arxiv:2606.00012", "doi:10.1000/a"))
    two = Work(title=TITLE, authors=NAMES, abstract=ABSTRACT, aliases=("arxiv:2606.00013", "doi:10.1000/a"))
    three = Work(title=TITLE, authors=NAMES, abstract=ABSTRACT, aliases=("doi:10.1000/b",))
    assert len(match(table(one), table(two))) == 0
    assert len(match(table(two), table(three))) == 0
    assert len(match(table(three), table(three))) == 1


def test_each_paper_keeps_its_best_partner() -> None:
    worse = Work(title=TITLE, authors=NAMES, abstract=REVISED)
    assert match(table(WORK), table(worse, WORK))["right"].to_pylist() == [1]
    assert match(table(worse, WORK), table(WORK))["left"].to_pylist() == [1]


def test_a_paper_that_two_fit_equally_well_is_matched_to_neither() -> None:
    assert len(match(table(WORK), table(WORK, WORK))) == 0
    assert len(match(table(WORK, WORK), table(WORK))) == 0


def test_by_an_id_the_first_of_equals_is_taken() -> None:
    named = Work(title=TITLE, aliases=("arxiv:2606.00012",))
    found = match(table(named, named), table(named, named))
    assert (found["left"].to_pylist(), found["right"].to_pylist()) == ([0], [0])


def test_empty_tables_and_missing_values_match_nothing() -> None:
    nothing = table()
    assert match(nothing, table(WORK)).num_rows == 0
    assert match(table(WORK), nothing).schema.names == ["left", "right", "score", "reason"]
    blank = pa.table(
        {
            "title": pa.array([None, TITLE], pa.string()),
            "abstract": pa.array([None, None], pa.string()),
            "authors": pa.array([None, list(NAMES)], _NO_IDS),
            "aliases": pa.array([None, None], _NO_IDS),
        }
    )
    assert match(blank, table(WORK))["left"].to_pylist() == [1]
