"""`load`: what a backfill brings is in every table, once, whatever happens meanwhile; and it is no news to anybody."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows import cli
from storage.bulk_rows import COLUMNS
from tests.backfills import entry, failed, jsonl, parquet, sql, well
from tests.newsroom import ROOT, Newsroom, Paperwire, after_a_pass, in_process

NOW = ("--now", "2026-06-09T06:00:00Z")


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newsroom]:
    """A newsroom after its first pass, which every test here has a copy of."""
    with after_a_pass(tmp_path_factory.mktemp("room")) as room:
        yield room


@pytest.fixture
def room(passed: Newsroom, tmp_path: Path) -> Newsroom:
    """A copy of that room, to be changed at will."""
    shutil.copytree(passed.folder, tmp_path / "room")
    return Newsroom(tmp_path / "room", passed.server)


@pytest.fixture
def paperwire(room: Newsroom, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Paperwire:
    """The command, in this process and that room."""
    return in_process(room, monkeypatch, capsys)


@pytest.mark.parametrize("name", ["backfill.parquet", "backfill.jsonl", "backfill.jsonl.gz"])
def test_a_backfill_is_in_every_table_and_in_search(name: str, room: Newsroom, paperwire: Paperwire) -> None:
    write = parquet if name.endswith("parquet") else jsonl
    file = write(room.folder / name, *(entry(n) for n in range(1, 61)))
    lines = well(paperwire("load", str(file), "--source", "snapshot")).splitlines()
    assert lines[0] == "60 entries of snapshot: 60 new to the archive"
    assert re.fullmatch(r"merged 4 files into one: 63 papers and \d+ earlier states?, [\d.,]+ [kM]B", lines[1])
    assert re.fullmatch(rf"{re.escape(name)}@[0-9a-f]{{12}}", lines[2])
    told = "SELECT count(*), count(announced_at), min(published_at), min(len(authors)) FROM papers "
    assert sql(paperwire, told + "WHERE 'snapshot' IN sources") == [(60, 0, "2025-01-02T03:04:05", 2)]
    assert "arxiv:2501.00017" in well(paperwire("search", "number", "17", "backfilled"))
    assert "all is as committed" in well(paperwire("verify"))


def test_a_backfill_is_no_news(room: Newsroom, paperwire: Paperwire) -> None:
    site = room.home / "site"
    before = {p: p.read_bytes() for p in sorted((site / "feeds").rglob("*")) if p.is_file()}
    well(
        paperwire("load", str(jsonl(room.folder / "a.jsonl", entry(1), entry(2, title="A good one"))), "--source", "s")
    )
    well(paperwire("run", *NOW))
    assert {p: p.read_bytes() for p in before} == before


def test_the_same_files_again_bring_nothing(room: Newsroom, paperwire: Paperwire) -> None:
    first = jsonl(room.folder / "a.jsonl", *(entry(n) for n in range(1, 11)))
    second = parquet(room.folder / "b.parquet", *(entry(n) for n in range(6, 16)))
    command = ("load", str(first), str(second), "--source", "s", "--json")
    once, again = paperwire(*command).document(), paperwire(*command).document()
    assert once["load_id"] == again["load_id"]
    counts = [[r["loaded"][k] for k in ("offered", "fresh", "changed", "known", "rejected")] for r in (once, again)]
    assert counts == [[20, 15, 0, 5, 0], [20, 0, 0, 20, 0]]
    seq = sql(paperwire, "SELECT max(seq) FROM sightings")
    moved = room.folder / "elsewhere"
    moved.mkdir()
    assert (
        paperwire("load", str(first.rename(moved / "a.jsonl")), "--source", "s", "--json").document()["loaded"]["known"]
        == 10
    )
    assert sql(paperwire, "SELECT max(seq) FROM sightings") == seq, "nothing was committed"


def test_a_load_brings_changes_of_papers_that_are_known(room: Newsroom, paperwire: Paperwire) -> None:
    well(paperwire("load", str(jsonl(room.folder / "a.jsonl", entry(1), entry(2))), "--source", "s"))
    changed = jsonl(room.folder / "b.jsonl", entry(1, version=2, abstract="It says more."), entry(2))
    said = well(paperwire("load", str(changed), "--source", "s"))
    assert said.splitlines()[0] == "2 entries of s: 1 changed, 1 known already"
    assert sql(paperwire, "SELECT version, abstract FROM papers WHERE paper_id = 'arxiv:2501.00001'") == [
        (2, "It says more.")
    ]


def test_a_refused_entry_costs_only_itself_and_is_exit_code_3(room: Newsroom, paperwire: Paperwire) -> None:
    file = jsonl(room.folder / "a.jsonl", entry(1), entry(2, title=""), entry(3, title=None), entry(4))
    said = paperwire("load", str(file), "--source", "s")
    assert (said.code, said.err) == (cli.INCOMPLETE, "")
    assert said.out.splitlines()[0] == "4 entries of s: 2 new to the archive, 2 refused (paperwire status)"
    assert sql(paperwire, "SELECT count(*) FROM papers WHERE 's' IN sources") == [(2,)]


WRONG_FILES = {
    "a field nobody knows": ("a.jsonl", [entry(1), "", entry(2, foo=1)], r"line 3: no entry has a field 'foo'; it may"),
    "a number for a text": ("a.jsonl", [entry(1), entry(2, title=3)], r"line 2: title must be text, not 3"),
    "a text for a number": ("a.jsonl.gz", [entry(2, version="x")], r'line 1: version must be a whole number, not "x"'),
    "a text for a list": ("a.jsonl", [entry(2, authors="me")], r'line 1: authors must be a list of texts, not "me"'),
    "no date": (
        "a.jsonl",
        [entry(1, announced_on="soon")],
        r'line 1: announced_on must be a date in ISO 8601, not "so',
    ),
    "no JSON": ("a.jsonl", [entry(1), "nonsense"], r"line 2: not JSON: "),
    "an array": ("a.jsonl", ["[1, 2]"], r"line 1: not a JSON object"),
    "nothing": ("a.jsonl", [], r"a.jsonl: there are no entries"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_what_is_wrong_with_a_file_is_said_with_its_line(name: str, room: Newsroom, paperwire: Paperwire) -> None:
    file, entries, expected = WRONG_FILES[name]
    said = paperwire("load", str(jsonl(room.folder / file, *entries)), "--source", "s")
    assert said.code == cli.FAILED
    assert re.search(expected, failed(said)), said.err


def test_files_that_are_none_are_named(room: Newsroom, paperwire: Paperwire) -> None:
    odd, bare = room.folder / "odd.parquet", room.folder / "bare.parquet"
    parquet(odd, {"entry_id": "1", "title": "t", "year": 2025})
    parquet(bare, {"entry_id": "1"})
    (room.folder / "no.parquet").write_bytes(b"PAR1 it is not")
    (room.folder / "a.csv").write_text("title\nx\n")
    (room.folder / "cut.jsonl.gz").write_bytes(gzip.compress(json.dumps(entry(1)).encode() * 9)[:-9])
    for file, expected in (
        ("gone.parquet", "there is no such file"),
        ("a.csv", "not a file of entries; its name must end in .parquet, .jsonl, .json, "),
        ("odd.parquet", "no entry has a column 'year'; it may have: entry_id, title, "),
        ("bare.parquet", "it has no column 'title'; every entry needs entry_id and title"),
        ("no.parquet", "Parquet"),
        ("cut.jsonl.gz", "it is cut off"),
    ):
        said = paperwire("load", str(room.folder / file), "--source", "s")
        assert said.code == cli.FAILED
        assert failed(said).startswith(f"{room.folder / file}: ")
        assert expected in said.err


def test_what_came_before_a_wrong_line_is_kept_and_not_loaded_twice(room: Newsroom, paperwire: Paperwire) -> None:
    # The first block of 16 MB is loaded before the wrong line is met.
    long = "An abstract " * 5_000
    entries = [entry(n, abstract=f"{n} {long}") for n in range(1, 601)]
    file = jsonl(room.folder / "a.jsonl", *entries, "wrong", entry(700))
    said = paperwire("load", str(file), "--source", "s", "--load-id", "mine")
    assert (said.code, "line 601: not JSON" in failed(said)) == (cli.FAILED, True)
    mended = paperwire("load", str(jsonl(file, *entries, entry(700))), "--source", "s", "--json")
    assert mended.document()["loaded"]["rejected"] == 0
    assert sql(paperwire, "SELECT count(*), count(DISTINCT paper_id) FROM papers WHERE 's' IN sources") == [(601, 601)]
    assert sql(paperwire, "SELECT max(revision) FROM papers WHERE 's' IN sources") == [(1,)]


def test_a_source_must_have_a_name_that_can_be_one(room: Newsroom, paperwire: Paperwire) -> None:
    file = str(jsonl(room.folder / "a.jsonl", entry(1)))
    said = paperwire("load", file, "--source", "a b|c")
    assert (said.code, "'a b|c' is no name of a source" in failed(said)) == (cli.USAGE, True)
    assert (paperwire("load", "--source", "s").code, paperwire("load", file).code) == (cli.USAGE, cli.USAGE)


def test_the_columns_of_a_load_are_in_the_docs() -> None:
    docs = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"`load` takes the columns (.*?);", docs, re.S)
    assert sorted(re.findall(r"`(\w+)`", told)) == sorted(COLUMNS)


def test_a_load_is_a_beginning(room: Newsroom, paperwire: Paperwire) -> None:
    shutil.rmtree(room.home)
    said = well(paperwire("load", str(jsonl(room.folder / "a.jsonl", entry(1))), "--source", "s"))
    assert said.startswith("1 entry of s: 1 new to the archive\n")
    assert well(paperwire("search", "backfilled")).startswith(
        "arxiv:2501.00001  Backfilled paper number 1 · 2025-01-02"
    )
    assert "all is as committed" in well(paperwire("verify"))


_KILLED = """
import os, sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from flows.upkeep import load_files
from storage.settings import load_settings
def progress(done, total):
    assert done <= total == 120_000
    if done >= 50_000:
        os.kill(os.getpid(), 9)
settings = load_settings(Path(sys.argv[1]), home=Path(sys.argv[2]))
bars = lambda label: nullcontext(progress if label == "loading" else lambda *_: None)
load_files(settings, [Path(sys.argv[3])], source="s", load_id=None, now=datetime.now(UTC), bars=bars)
"""


@pytest.mark.slow
def test_a_load_that_was_killed_goes_on_where_it_stopped(room: Newsroom, paperwire: Paperwire) -> None:
    shutil.rmtree(room.home)
    names = [f"{month:04d}.{number:05d}" for month in (2501, 2502) for number in range(1, 60_001)]
    file = room.folder / "large.parquet"
    pq.write_table(pa.table({"entry_id": names, "arxiv_id": names, "title": [f"Paper {n}" for n in names]}), file)
    command = [sys.executable, "-c", _KILLED, str(room.config), str(room.home), str(file)]
    assert subprocess.run(command, cwd=ROOT, timeout=120).returncode == -signal.SIGKILL
    loaded = paperwire("load", str(file), "--source", "s", "--json").document()["loaded"]
    assert (loaded["offered"], loaded["fresh"] + loaded["known"]) == (120_000, 120_000)
    assert loaded["known"] >= 50_000, "what was committed stays committed"
    assert sql(paperwire, "SELECT count(*), count(DISTINCT paper_id) FROM papers") == [(120_000, 120_000)]
    assert sql(paperwire, "SELECT count(*) FROM sightings") == [(120_000,)]
    assert "all is as committed" in well(paperwire("verify"))
