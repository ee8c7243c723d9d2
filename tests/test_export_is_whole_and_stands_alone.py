"""An export holds every row as of its commit, needs nothing beside it, and appears whole or not at all."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from storage.errors import ConfigError, PaperwireError
from storage.export import export
from tests.archive_days import TABLES, Commit, live_through, rows_of
from tests.wire_tools import ROOT

HIVE = {"papers": "new_at", "revisions": "told_at", "sightings": "seen_at"}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Commit]]:
    """An archive and its commits; tests here only read it."""
    home = tmp_path_factory.mktemp("lived")
    return home, live_through(home)


@pytest.fixture
def home(lived: tuple[Path, list[Commit]]) -> Path:
    return lived[0]


@pytest.fixture
def commits(lived: tuple[Path, list[Commit]]) -> list[Commit]:
    return lived[1]


def opened(path: Path) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(path), read_only=True)


def asked(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """Ask DuckDB of the Parquet files in `folder`."""
    return duckdb.connect().execute(sql.replace("FOLDER", str(folder))).fetchall()


def left_behind(folder: Path, *expected: str) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name not in expected)


# One file -----------------------------------------------------------------------------------------------------


def test_one_file_holds_every_table_to_the_row(home: Path, commits: list[Commit], tmp_path: Path) -> None:
    done = export(home, tmp_path / "all.duckdb", format="duckdb")
    with opened(done.path) as connection:
        assert rows_of(connection) == commits[-1].rows
        assert connection.execute("SELECT seq FROM _meta").fetchall() == [(commits[-1].seq,)]
        assert connection.execute("SELECT count(*) FROM topics").fetchall() == [(1,)]
        assert connection.execute("SELECT count(*) FROM paper_topics").fetchall() != [(0,)]
    assert {name: done.rows[name] for name in TABLES} == {name: len(commits[-1].rows[name]) for name in TABLES}
    assert left_behind(tmp_path, "all.duckdb") == []


def test_it_needs_nothing_beside_it(home: Path, tmp_path: Path) -> None:
    done = export(home, tmp_path / "all.duckdb", format="duckdb")
    with opened(done.path) as connection:
        views = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        [(written_for,)] = connection.execute(
            "SELECT tags['storage_version'] FROM duckdb_databases() WHERE NOT internal"
        ).fetchall()
    assert views == [], "native tables only"
    assert str(written_for).startswith("v1.0.0"), "any DuckDB since 1.0 opens it"
    assert str(home).encode() not in done.path.read_bytes()


def test_as_of_a_past_commit(home: Path, commits: list[Commit], tmp_path: Path) -> None:
    for commit in commits[::3]:
        done = export(home, tmp_path / f"{commit.seq}.duckdb", format="duckdb", as_of=commit.seq)
        assert (done.seq, done.committed_at) == (commit.seq, commit.at)
        with opened(done.path) as connection:
            assert rows_of(connection) == commit.rows
    with pytest.raises(ConfigError, match="there is no commit 99"):
        export(home, tmp_path / "99.duckdb", format="duckdb", as_of=99)
    assert not (tmp_path / "99.duckdb").exists()


# A tree of Parquet --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", HIVE)
def test_a_tree_by_year_holds_every_row_in_its_year(
    table: str, home: Path, commits: list[Commit], tmp_path: Path
) -> None:
    done = export(home, tmp_path / "tree", format="parquet")
    files = f"read_parquet('FOLDER/tree/{table}/*/*.parquet', hive_partitioning = true)"
    rows = asked(tmp_path, f"SELECT * EXCLUDE (year) FROM {files}")
    assert sorted(map(repr, rows)) == commits[-1].rows[table]
    assert asked(tmp_path, f"SELECT count(*) FROM {files} WHERE year <> coalesce(year({HIVE[table]}), 0)") == [(0,)]
    assert done.rows[table] == len(rows)
    dataset = ds.dataset(tmp_path / "tree" / table, partitioning="hive")
    assert dataset.count_rows() == len(rows), "and without DuckDB"
    assert {column.compression for path in dataset.files for column in columns_of(path)} == {"ZSTD"}


def columns_of(path: str) -> Iterator[Any]:
    metadata = pq.read_metadata(path)
    for group in range(metadata.num_row_groups):
        yield from (metadata.row_group(group).column(n) for n in range(metadata.num_columns))


def test_a_tree_says_what_it_is(home: Path, commits: list[Commit], tmp_path: Path) -> None:
    done = export(home, tmp_path / "tree", format="parquet", as_of=5)
    said = json.loads((tmp_path / "tree" / "paperwire.json").read_text())
    assert (said["seq"], said["committed_at"]) == (5, commits[4].at.isoformat())
    assert said["rows"] == done.rows
    assert {p.name for p in (tmp_path / "tree").iterdir() if p.is_dir()} == {
        *HIVE, "coverage", "merges", "paper_topics", "topics",
    }  # fmt: skip
    assert asked(tmp_path, "SELECT count(*) FROM 'FOLDER/tree/merges/*.parquet'") == [(0,)], "no row, and still there"


# What is there already ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["duckdb", "parquet"])
def test_what_is_there_is_replaced_only_on_request(format: Any, home: Path, tmp_path: Path) -> None:
    target = tmp_path / "export"
    export(home, target, format=format, as_of=1)
    with pytest.raises(PaperwireError, match=r"export is there already; --force replaces it"):
        export(home, target, format=format)
    assert export(home, target, format=format, force=True).seq == 10
    assert left_behind(tmp_path, "export") == []


@pytest.mark.parametrize("format", ["duckdb", "parquet"])
def test_force_replaces_no_thesis(format: Any, home: Path, tmp_path: Path) -> None:
    folder, file = tmp_path / "thesis", tmp_path / "thesis.tex"
    folder.mkdir()
    for path in (file, folder / "chapter.tex"):
        path.write_text("three years of work")
    for target in (folder, file):
        with pytest.raises(PaperwireError, match=f"is no {format} export, so it is not replaced"):
            export(home, target, format=format, force=True)
    assert [p.read_text() for p in (file, folder / "chapter.tex")] == ["three years of work"] * 2


def test_nothing_is_written_into_the_archive(home: Path) -> None:
    before = papers_duckdb(home)
    for name in ("papers.duckdb", "archive", "archive/log", "archive/log/x.duckdb", "."):
        with pytest.raises(PaperwireError, match="belongs to the archive itself"):
            export(home, home / name, format="duckdb", force=True)
    assert papers_duckdb(home) == before


def papers_duckdb(home: Path) -> bytes:
    return (home / "papers.duckdb").read_bytes()


def test_a_folder_that_is_not_there_is_named(home: Path, tmp_path: Path) -> None:
    with pytest.raises(PaperwireError, match=f"there is no folder {tmp_path / 'no'}"):
        export(home, tmp_path / "no" / "all.duckdb", format="duckdb")


# Whole or not at all ------------------------------------------------------------------------------------------

_EXPORT = """
import resource, signal, sys
from pathlib import Path
from storage.errors import ArchiveError
from storage.export import export
home, target, form, bytes_max = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def limit(done, total):  # after the first table: the disk is full in the middle
    if int(bytes_max):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(bytes_max),) * 2)
try:
    export(Path(home), Path(target), format=form, force=True, progress=limit)
except ArchiveError as error:
    sys.exit(f"ArchiveError: {error}")
"""


def export_within(home: Path, target: Path, form: str, bytes_max: int) -> subprocess.CompletedProcess[str]:
    """Export in a process that may write no file larger than this, 0: any, once it has begun."""
    command = [sys.executable, "-c", _EXPORT, str(home), str(target), form, str(bytes_max)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE") or not hasattr(signal, "SIGXFSZ"), reason="no such limit")
@pytest.mark.parametrize("form", ["duckdb", "parquet"])
def test_where_it_cannot_be_written_the_old_one_stays(form: str, home: Path, tmp_path: Path) -> None:
    target = tmp_path / "export"
    assert export_within(home, target, form, 0).returncode == 0
    before = {p: p.read_bytes() for p in ([target] if target.is_file() else target.rglob("*")) if p.is_file()}
    done = export_within(home, target, form, 2_000)
    assert done.returncode == 1
    assert done.stderr.startswith(f"ArchiveError: cannot write {target}: "), done.stderr
    assert {p: p.read_bytes() for p in before} == before
    assert left_behind(tmp_path, "export") == []


def test_ctrl_c_leaves_nothing_behind(home: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        assert total > 0
        if done >= total // 2:
            raise KeyboardInterrupt

    for form, name in (("duckdb", "all.duckdb"), ("parquet", "tree")):
        with pytest.raises(KeyboardInterrupt):
            export(home, tmp_path / name, format=form, progress=interrupt)  # type: ignore[arg-type]
    assert left_behind(tmp_path) == []


def test_what_a_killed_export_left_goes_with_the_next(home: Path, tmp_path: Path) -> None:
    code = "import os, signal, sys; from pathlib import Path; from storage.export import export\n"
    code += "export(Path(sys.argv[1]), Path(sys.argv[2]), format='duckdb', progress=lambda *_: os.kill(os.getpid(), 9))"
    target = tmp_path / "all.duckdb"
    killed = subprocess.run([sys.executable, "-c", code, str(home), str(target)], cwd=ROOT, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert left_behind(tmp_path) != []
    (tmp_path / ".all.duckdb-notes").write_text("mine")
    assert not target.exists()
    export(home, target, format="duckdb")
    assert left_behind(tmp_path, "all.duckdb") == [".all.duckdb-notes"]


def test_progress_goes_from_nothing_to_all(home: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    export(home, tmp_path / "all.duckdb", format="duckdb", progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]
