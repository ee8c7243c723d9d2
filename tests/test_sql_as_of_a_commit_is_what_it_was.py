"""`sql --as-of`: every table says of a past commit, to the row, what it said right after it; whatever came since."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.asking import SqlError, run_sql
from storage.archive import Archive
from storage.compact import compact, delete_retired
from storage.errors import ConfigError, PaperwireError
from storage.snapshots import open_snapshot, parse_as_of
from tests.archive_days import ARXIV, JOURNAL, TABLES, Commit, live_through, rows_of


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Commit]]:
    """An archive and its commits. Tests may compact it further, and change nothing of what it says."""
    home = tmp_path_factory.mktemp("lived")
    return home, live_through(home)


def check(home: Path, commits: list[Commit]) -> None:
    """Every table of every past commit is what it was."""
    for commit in commits:
        with open_snapshot(home, commit.seq) as snapshot:
            assert (snapshot.seq, snapshot.committed_at) == (commit.seq, commit.at)
            said = rows_of(snapshot.connection)
        for table in TABLES:
            assert said[table] == commit.rows[table], f"{table} as of commit {commit.seq}"


def test_the_days_are_worth_asking_of(lived: tuple[Path, list[Commit]]) -> None:
    _, commits = lived
    assert [c.seq for c in commits] == list(range(1, 11))
    for table in TABLES:
        assert len({tuple(c.rows[table]) for c in commits}) > 1, f"{table} never changes, so it proves nothing"
    gone = [any(JOURNAL in row.split(",")[0] for row in c.rows["papers"]) for c in commits]
    assert gone == [False] * 3 + [True] * 2 + [False] * 2 + [True] * 3, "merged away, and back"


def test_every_table_is_what_it_was_after_each_commit(lived: tuple[Path, list[Commit]]) -> None:
    check(*lived)


def test_it_stays_so_when_all_lies_in_one_file(lived: tuple[Path, list[Commit]]) -> None:
    home, commits = lived
    later = commits[-1].at + timedelta(days=30)
    with Archive(home) as archive:
        assert compact(archive, now=later, full=True)
        delete_retired(archive, now=later + timedelta(days=2))
        assert len(archive.index.files("log", "papers")) == 1
    check(home, commits)


def test_a_day_means_its_end_and_a_moment_the_commits_up_to_it(lived: tuple[Path, list[Commit]]) -> None:
    home, commits = lived

    def seq(text: str) -> int:
        with open_snapshot(home, parse_as_of(text)) as snapshot:
            return snapshot.seq

    first = commits[0].at  # 06:00; two commits a day from then on
    assert seq(f"{first:%Y-%m-%d}") == 2
    assert seq(first.isoformat()) == 1
    assert seq(f"{first + timedelta(hours=11):%Y-%m-%dT%H:%M}") == 1
    assert seq("2026-06-02T14:30:00+02:00") == 1, "12:30 UTC, and the second came at 18:00"
    assert seq("2099-01-01") == len(commits)
    assert seq("4") == 4


def test_before_the_first_commit_there_is_nothing_and_that_is_said(lived: tuple[Path, list[Commit]]) -> None:
    home, _ = lived
    for text, said in (
        ("2026-06-01", r"held nothing at 2026-06-01 23:59 UTC; the first commit was at 2026-06-02 06:00 UTC"),
        ("0", r"there is no commit 0; they are 1 to 10"),
        ("11", r"there is no commit 11; they are 1 to 10"),
    ):
        with pytest.raises(ConfigError, match=said):
            run_sql(home, "SELECT 1", as_of=parse_as_of(text))


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "-1", "1.5", "", "2026-06-02T99"])
def test_what_is_neither_day_nor_moment_nor_number_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a day such as 2026-06-02, a moment such as"):
        parse_as_of(text)


def test_moments_are_utc() -> None:
    assert parse_as_of("2026-06-02T06:00") == datetime(2026, 6, 2, 6, tzinfo=UTC)
    assert parse_as_of("2026-06-02") == datetime(2026, 6, 2, 23, 59, 59, 999_999, tzinfo=UTC)
    assert parse_as_of("17") == 17


def test_tags_are_those_of_papers_there_were(lived: tuple[Path, list[Commit]]) -> None:
    home, _ = lived
    sql = "SELECT DISTINCT paper_id FROM paper_topics ORDER BY 1"
    now, then = (run_sql(home, sql), run_sql(home, sql, as_of=1))
    assert {row["paper_id"] for row in then} < {row["paper_id"] for row in now}
    assert {"paper_id": ARXIV} in then
    assert run_sql(home, "SELECT topic FROM topics", as_of=1) == [{"topic": "short"}]


def test_the_archive_itself_cannot_be_changed_by_a_question(lived: tuple[Path, list[Commit]]) -> None:
    home, commits = lived
    with pytest.raises(SqlError):
        run_sql(home, "DELETE FROM papers", as_of=1)
    with pytest.raises(SqlError, match="does not exist"):
        run_sql(home, "SELECT * FROM lived", as_of=1)
    check(home, commits[:1])


def test_it_answers_where_the_folder_was_moved_to(lived: tuple[Path, list[Commit]], tmp_path: Path) -> None:
    home, commits = lived
    moved = tmp_path / "a wire's home"
    shutil.copytree(home, moved)
    check(moved, commits[2:3])
    with open_snapshot(moved, 3) as snapshot:
        assert snapshot.connection.execute("SELECT _home()").fetchall() == [(str(moved),)]


def test_what_was_never_archived_is_said(tmp_path: Path) -> None:
    with pytest.raises(PaperwireError, match="nothing has been archived yet"):
        run_sql(tmp_path, "SELECT 1", as_of=1)
