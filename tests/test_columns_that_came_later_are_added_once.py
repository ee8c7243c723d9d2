"""An archive written before its last columns came has them after it is first opened, and lost nothing by it."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.decide import decide
from storage import columns
from storage.archive import Archive
from storage.catalog import Catalog, refresh_catalog
from storage.errors import ArchiveCorrupt
from storage.repair import repair
from storage.rows import LATER
from storage.settings import Settings
from storage.tables import COLUMNS_ID, read_rows, rows_named, rows_with
from storage.verify import verify
from tests.builders import NOW, an_entry
from tests.released.killing import Opener
from tests.released.narrow import ROOT, ROUNDS, Shape, write_home
from tests.test_migrations_lose_nothing import content, index_of

LATER_ON = NOW + timedelta(days=30)
FULL: tuple[Shape, ...] = ("segments", "base", "bases")


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[Shape, Path]:
    """An archive of each shape, none opened since."""
    folder = tmp_path_factory.mktemp("narrow")
    for shape in get_args(Shape):
        write_home(folder / shape, shape)
    return {shape: folder / shape for shape in get_args(Shape)}


@pytest.fixture
def home(request: pytest.FixtureRequest, homes: dict[Shape, Path], tmp_path: Path) -> Path:
    """A copy of the archive of the shape asked for."""
    return Path(shutil.copytree(homes[request.param], tmp_path / "home"))


def every_row(home: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """All rows that an archive holds, as Parquet says, each once; what superseded them aside."""
    with Archive(home, bring_up=False) as archive:
        paths = [archive.path(f) for f in archive.index.files("log", "papers", "history")]
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    found = {(row["paper_id"], row["seq"]): row | {"until_seq": None} for row in rows}
    assert len(found) == len(rows)
    return found


def widened(row: dict[str, Any]) -> dict[str, Any]:
    """A row of then as it reads today."""
    sightings = [s | {"citations": None} for s in row["sightings"]]
    return row | {"citations": None, "versions": None, "sightings": sightings}


def publish(home: Path) -> None:
    """Publish papers.duckdb."""
    with Archive(home) as archive:
        refresh_catalog(archive, Settings(home=home), (), now=LATER_ON)


@pytest.mark.parametrize("home", FULL, indirect=True)
def test_every_row_is_kept_and_has_them_empty(home: Path) -> None:
    before = every_row(home)
    assert len(before) > ROUNDS
    assert not any({*LATER} & {*row} for row in before.values())
    with Archive(home):
        pass
    assert every_row(home) == {key: widened(row) for key, row in before.items()}


@pytest.mark.parametrize("home", FULL, indirect=True)
def test_the_index_says_what_it_said(home: Path) -> None:
    with Archive(home, bring_up=False) as archive:
        before = index_of(archive)
    with Archive(home) as archive:
        after = index_of(archive)
        for table in ("keys", "merged", "fetches", "rejects"):
            assert after[table] == before[table]
        assert after["segments"][: len(before["segments"])] == before["segments"]
        assert after["outbox"][: len(before["outbox"])] == before["outbox"]
        archive.rebuild_index()
        assert index_of(archive) | {"files": ()} == after | {"files": ()}


@pytest.mark.parametrize("home", get_args(Shape), indirect=True)
def test_sql_sees_them_and_nothing_is_wrong(home: Path) -> None:
    publish(home)
    with Catalog(home) as catalog:
        papers = catalog.rows("SELECT paper_id, citations, versions FROM papers")
        assert {(row["citations"], row["versions"]) for row in papers} <= {(None, None)}
        assert catalog.rows("SELECT * FROM versions") == []
        votes = catalog.rows("SELECT upvotes, citations FROM votes ORDER BY ALL")
        said = [] if home.parent.name == "empty" or not papers else list(range(1, ROUNDS + 1))
        assert [row["upvotes"] for row in votes] == said
        assert {row["citations"] for row in votes} <= {None}
    assert verify(home).faults == ()


@pytest.mark.parametrize("home", get_args(Shape), indirect=True)
def test_the_second_opening_changes_nothing(home: Path) -> None:
    publish(home)
    before = content(home)
    for _ in range(2):
        with Archive(home) as archive:
            assert not columns.bring_up(archive)
    assert content(home) == before


@pytest.mark.parametrize("home", FULL, indirect=True)
def test_whoever_reads_a_file_of_then_reads_nulls(home: Path) -> None:
    """Readers that hold files which are retired meanwhile, and those who mend an archive."""
    with Archive(home, bring_up=False) as archive:
        for file in archive.index.files("log", "papers", "history"):
            path = archive.path(file)
            for table in (*read_rows(path), *read_rows(path, ["paper_id", "versions"]), rows_named(path, ["x"])):
                assert all(name in table.column_names for name in ("paper_id", "versions"))
                assert table["versions"].null_count == table.num_rows
            table = rows_with(path, {"arxiv:2606.00001"}, columns=["paper_id", "sightings", "citations"])
            assert all(s["citations"] is None for row in table.to_pylist() for s in row["sightings"])


@pytest.mark.parametrize("home", FULL, indirect=True)
def test_an_index_that_is_lost_is_made_again_first(home: Path) -> None:
    before = every_row(home)
    for path in (home / "archive").glob("index.sqlite*"):
        path.unlink()
    publish(home)
    assert every_row(home) == {key: widened(row) for key, row in before.items()}
    assert verify(home).faults == ()


@pytest.mark.parametrize("home", ["bases"], indirect=True)
def test_a_damaged_base_that_is_made_again_from_files_of_then_has_them(home: Path) -> None:
    before = every_row(home)
    publish(home)
    base = next((home / "archive" / "base").glob(f"*-{ROUNDS + 1:012d}.papers.parquet"))
    base.write_bytes(base.read_bytes()[:-100])
    assert repair(home, now=LATER_ON).left == ()
    publish(home)
    assert every_row(home) == {key: widened(row) for key, row in before.items()}


@pytest.mark.parametrize("home", FULL, indirect=True)
def test_a_damaged_file_of_then_is_named_and_nothing_is_made_of_it(home: Path) -> None:
    with Archive(home, bring_up=False) as archive:
        path = archive.path(archive.index.files("log", "papers")[-1])
    whole = path.read_bytes()
    body = bytearray(whole)
    body[len(body) // 4] ^= 0x10
    path.write_bytes(body)
    before = every_name(home)
    with pytest.raises(ArchiveCorrupt, match=path.name):
        Archive(home)
    gc.collect()
    assert every_name(home) == before
    path.write_bytes(whole)
    publish(home)
    assert verify(home).faults == ()


@pytest.mark.parametrize("home", ["base", "bases"], indirect=True)
def test_two_programs_that_open_it_at_once_do_it_once(home: Path) -> None:
    before = every_row(home)
    opening = f"from pathlib import Path\nfrom storage.archive import Archive\nArchive(Path({str(home)!r}))\n"
    programs = [subprocess.Popen([sys.executable, "-c", opening], cwd=ROOT) for _ in range(2)]
    assert [program.wait() for program in programs] == [0, 0]
    assert every_row(home) == {key: widened(row) for key, row in before.items()}
    with Archive(home) as archive:
        assert [f.kind for f in archive.index.files("log", "papers")] == ["papers"]


@pytest.mark.parametrize("home", ["bases"], indirect=True)
def test_what_comes_afterwards_lies_beside_what_was_there(home: Path) -> None:
    with Archive(home) as archive:
        entry = an_entry(arxiv_id="2606.00001", entry_id="1", title="Paper 1", citations=7)
        assert archive.append([entry], source="s", batch_id="more", now=LATER_ON, decide=decide).papers == 1
    publish(home)
    with Catalog(home) as catalog:
        found = catalog.rows("SELECT citations FROM papers WHERE citations IS NOT NULL")
    assert [row["citations"] for row in found] == [7]


def test_a_new_archive_has_them_from_the_start(tmp_path: Path) -> None:
    with Archive(tmp_path) as archive:
        assert archive.index.get_meta(columns.KEY) == COLUMNS_ID
        archive.append([an_entry()], source="s", batch_id="1", now=NOW, decide=decide)
        assert not columns.bring_up(archive)
        assert archive.index.files("papers") == ()


def test_a_file_with_columns_nobody_here_knows_is_refused(tmp_path: Path) -> None:
    with Archive(tmp_path) as archive:
        archive.append([an_entry()], source="s", batch_id="1", now=NOW, decide=decide)
        (path,) = (tmp_path / "archive" / "log").glob("*.parquet")
    table = pq.read_table(path)
    pq.write_table(table.append_column("later_still", pa.nulls(1, pa.int32())), path)
    for index in (tmp_path / "archive").glob("index.sqlite*"):
        index.unlink()
    with pytest.raises(
        Exception, match=rf"^{path.name} was written by a newer Paperwire \(later_still is new\); upgrade"
    ):
        Archive(tmp_path)
    gc.collect()


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["base", "bases"])
def test_killed_at_any_change_the_next_opening_ends_it(homes: dict[Shape, Path], shape: Shape, tmp_path: Path) -> None:
    expected, kills, trial = every_row(homes[shape]), 0, tmp_path / "trial"
    expected = {key: widened(row) for key, row in expected.items()}
    with Opener() as opener:
        while True:
            shutil.copytree(homes[shape], trial)
            killed = opener.killed(trial, kills + 1)
            with Archive(trial) as archive:
                assert [f.kind for f in archive.index.files("log", "papers")] == ["papers"], kills
                assert len(archive.index.segments()) == ROUNDS + 1, kills
                assert archive.index.get_meta(columns.KEY) == COLUMNS_ID
            assert every_row(trial) == expected, f"killed at change {kills + 1}"
            assert not [fault for fault in verify(trial).faults if "papers.duckdb" not in fault]
            shutil.rmtree(trial)
            if not killed:
                break
            kills += 1
    assert kills > 15, "so many changes it has at least"


def every_name(home: Path) -> list[str]:
    """Every file that is no file of a moment."""
    return sorted(name for name in content(home) if not name.endswith((".lock", "-wal", "-shm")))
