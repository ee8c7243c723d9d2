"""What search answers is what the archive says: changed papers change, merged ones go, and a rebuild says the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from storage.errors import ArchiveFull
from storage.search import Search
from tests.search_rows import a_row, a_search, a_table, found, numbered

QUERIES = (
    "paper",
    "title:paper",
    "number7",
    '"paper number8"',
    "revised",
    "author:minta",
    "category:cs.CL",
    "-revised",
)


def answers(search: Search) -> dict[str, list[str]]:
    """What it answers to each query, as ids in order of id: scores depend on how papers lie in files."""
    return {text: sorted(found(search, text, limit=1_000)) for text in QUERIES}


def test_a_changed_paper_is_found_by_what_it_says_now(tmp_path: Path) -> None:
    search = a_search(tmp_path, a_row("one", title="Zebras"), a_row("two", title="Zebras and lions"))
    search.update(a_table(a_row("one", title="Giraffes", authors=["Cy Other"], categories=["q-bio.PE"])), seq=2)
    assert found(search, "zebras") == ["two"]
    assert found(search, "giraffes") == ["one"]
    assert found(search, "author:other") == ["one"]
    assert found(search, "category:cs.CL") == ["two"]
    assert search.papers() == 2


def test_a_merged_paper_disappears_and_a_split_one_returns(tmp_path: Path) -> None:
    search = a_search(tmp_path, a_row("kept"), a_row("merged"))
    search.update(a_table(a_row("merged", merged_into="kept")), seq=2)
    assert found(search, "titles") == ["kept"]
    assert search.papers() == 1
    search.update(a_table(a_row("merged")), seq=3)
    assert sorted(found(search, "titles")) == ["kept", "merged"]


def test_a_paper_given_twice_is_as_the_later_row_says(tmp_path: Path) -> None:
    search = a_search(tmp_path, a_row("other"))
    search.update(a_table(a_row("one", title="Earlier"), a_row("one", title="Later")), seq=2)
    assert found(search, "earlier") == []
    assert found(search, "later") == ["one"]


def test_a_paper_becomes_withdrawn(tmp_path: Path) -> None:
    search = a_search(tmp_path, a_row("one"), a_row("two"))
    search.update(a_table(a_row("one", withdrawn=True)), seq=2)
    assert found(search, "titles withdrawn:no") == ["two"]


def test_it_knows_how_far_it_has_come(tmp_path: Path) -> None:
    search = a_search(tmp_path, a_row(), seq=7)
    assert search.indexed_seq() == 7
    search.update(a_table(), seq=9)
    assert search.indexed_seq() == 9
    assert Search(tmp_path).indexed_seq() == 9


def test_the_same_update_again_changes_nothing(tmp_path: Path) -> None:
    search = a_search(tmp_path)
    for _ in range(3):
        search.update(numbered(1, 20), seq=2)
    assert search.papers() == 20
    assert search.indexed_seq() == 2


def test_who_comes_late_brings_no_older_state_back(tmp_path: Path) -> None:
    search = a_search(tmp_path, a_row("one", title="Newer"), seq=8)
    search.update(a_table(a_row("one", title="Older")), seq=7)
    assert found(search, "newer") == ["one"]
    assert search.indexed_seq() == 8


def test_columns_that_are_not_known_may_be_absent(tmp_path: Path) -> None:
    search = Search(tmp_path)
    rows = numbered(1, 3).drop_columns(["withdrawn", "new_at", "merged_into"])
    search.update(rows, seq=1)
    assert len(found(search, "paper withdrawn:no", newest_first=True)) == 3


def test_times_with_a_zone_are_the_same_instants(tmp_path: Path) -> None:
    at = pa.array([datetime(2026, 6, 2, tzinfo=UTC), datetime(2026, 6, 3, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
    rows = a_table(a_row("one"), a_row("two")).drop_columns(["new_at"]).append_column("new_at", at)
    search = Search(tmp_path)
    search.update(rows, seq=1)
    assert found(search, "titles", newest_first=True) == ["two", "one"]


def test_a_rebuild_says_what_updates_said(tmp_path: Path) -> None:
    grown = Search(tmp_path / "grown")
    for seq in range(1, 13):  # more commits than tantivy leaves unmerged
        grown.update(numbered(seq * 10, 20), seq=seq)
    grown.update(numbered(50, 30, title="Revised paper"), seq=13)
    gone = [a_row(f"arxiv:2606.{n:05d}", merged_into="arxiv:2606.00020") for n in (11, 60)]
    grown.update(a_table(*gone), seq=14)

    now = [numbered(10, 40), numbered(50, 30, title="Revised paper"), numbered(80, 60)]
    state = {row["paper_id"]: row for table in now for row in table.to_pylist()} | {
        row["paper_id"]: row for row in gone
    }
    rebuilt = Search(tmp_path / "rebuilt")
    rows = list(state.values())
    assert rebuilt.rebuild([a_table(*rows[:50]), a_table(*rows[50:])], seq=14) == 128

    assert answers(grown) == answers(rebuilt)
    assert answers(grown)["revised"] != []
    assert grown.papers() == rebuilt.papers() == 128
    assert grown.indexed_seq() == rebuilt.indexed_seq() == 14


def test_a_rebuild_tells_how_far_it_is(tmp_path: Path) -> None:
    told: list[int] = []
    Search(tmp_path).rebuild([numbered(1, 30), numbered(31, 5)], seq=1, progress=told.append)
    assert told == [30, 35]


def test_the_old_index_answers_while_the_new_one_is_made(tmp_path: Path) -> None:
    search = a_search(tmp_path, a_row("old", title="Zebras"))
    seen: list[list[str]] = []

    def batches() -> Iterator[pa.Table]:
        yield a_table(a_row("new", title="Zebras again"))
        seen.append(found(search, "zebras"))

    search.rebuild(batches(), seq=5)
    assert seen == [["old"]]
    assert found(search, "zebras") == ["new"]
    assert found(Search(tmp_path), "zebras") == ["new"]


def test_a_rebuild_that_fails_leaves_the_old_index(tmp_path: Path) -> None:
    search = a_search(tmp_path, a_row("old"), seq=4)

    def batches() -> Iterator[pa.Table]:
        yield a_table(a_row("new"))
        raise ArchiveFull("no room")

    with pytest.raises(ArchiveFull, match="no room"):
        search.rebuild(batches(), seq=5)
    assert found(search, "titles") == ["old"]
    assert search.indexed_seq() == 4
    search.update(a_table(a_row("later")), seq=5)
    assert sorted(found(search, "titles")) == ["later", "old"]
    assert len([path for path in search.folder.iterdir() if path.is_dir()]) == 1, "what it had made is swept away"


def test_an_update_is_seen_by_who_had_it_open(tmp_path: Path) -> None:
    search = a_search(tmp_path, a_row("one"))
    other = Search(tmp_path)
    assert found(other, "titles") == ["one"]
    search.update(a_table(a_row("two")), seq=2)
    assert sorted(found(other, "titles")) == ["one", "two"]
    search.drop()
    search.update(a_table(a_row("three")), seq=1)
    assert found(other, "titles") == ["three"]
