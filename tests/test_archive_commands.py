"""The commands that ask the archive and tend it: compact, verify --repair, history, merge, split, search, export.

As in test_the_command_line.py: they answer people and programs, and say in one line and a code what is wrong.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from flows import cli
from storage.archive import Archive
from tests.backfills import entry, failed, jsonl, sql, well
from tests.newsroom import GOOD_TITLES, Newsroom, Paperwire, after_a_pass, in_process

NOW = ("--now", "2026-06-09T06:00:00Z")
ARXIV, LISTED = "arxiv:2606.00001", "arxiv:2606.00002"


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


# compact ------------------------------------------------------------------------------------------------------


def test_a_compaction_says_what_it_did_and_what_it_will_free(paperwire: Paperwire) -> None:
    before = sql(paperwire, "SELECT * FROM papers ORDER BY paper_id")
    lines = well(paperwire("compact")).splitlines()
    assert re.fullmatch(r"merged 3 files into one: 3 papers and 0 earlier states, [\d.,]+ kB", lines[0])
    assert re.fullmatch(r"3 retired files, [\d.,]+ kB, stay a day for those who still read them", lines[1])
    assert well(paperwire("compact")).splitlines() == ["nothing to merge: 3 commits in 1 file", lines[1]]
    document = paperwire("compact", "--full", "--json").document()
    assert (document["compaction"], document["files"], document["files_retired"]) == (None, 1, 3)
    assert sql(paperwire, "SELECT * FROM papers ORDER BY paper_id") == before
    assert "all is as committed" in well(paperwire("verify"))


def test_a_pass_compacts_by_itself_once_enough_waits(room: Newsroom, paperwire: Paperwire) -> None:
    from tests.archive_days import of_arxiv

    with Archive(room.home) as archive:
        _commits(archive, [[of_arxiv(n)] for n in range(100, 170)])
        assert len(archive.index.files("log")) > 64
    well(paperwire("run", *NOW))
    with Archive(room.home) as archive:
        assert len(archive.index.files("log", "papers")) < 5
    assert sql(paperwire, "SELECT count(*) FROM papers") == [(73,)]
    assert "all is as committed" in well(paperwire("verify"))


def test_a_compaction_that_fails_costs_no_source_its_news(room: Newsroom, paperwire: Paperwire) -> None:
    from tests.archive_days import of_arxiv

    with Archive(room.home) as archive:
        _commits(archive, [[of_arxiv(n)] for n in range(100, 170)])
    segment = room.home / "archive" / "log" / "000000000040.parquet"
    content = bytearray(segment.read_bytes())
    content[200] ^= 1
    segment.write_bytes(content)
    said = paperwire("run", *NOW, "--source", "good", "--json")
    (source,) = said.document()["sources"] if said.out else [{"ok": None, "problems": [said.err]}]
    assert any("000000000040.parquet" in line for line in source["problems"]), source
    assert said.code in (cli.INCOMPLETE, cli.ARCHIVE)


def _commits(archive: Archive, batches: list[list[Any]]) -> None:
    from flows.decide import decide
    from tests.builders import NOW as THEN

    for number, entries in enumerate(batches):
        archive.append(entries, source=entries[0].source, batch_id=f"b{number}", now=THEN, decide=decide)


# verify --repair ----------------------------------------------------------------------------------------------


def test_a_lost_index_is_made_again(room: Newsroom, paperwire: Paperwire) -> None:
    before = sql(paperwire, "SELECT * FROM papers ORDER BY paper_id")
    (room.home / "archive" / "index.sqlite").write_bytes(b"nothing of use" * 1_000)
    assert paperwire("verify").code == cli.ARCHIVE
    said = paperwire("verify", "--repair")
    assert (said.code, said.err) == (cli.OK, "")
    assert re.search(r"^mended index\.sqlite could not be used and was made anew", said.out, re.M)
    assert said.out.splitlines()[-1] == "all is as committed"
    assert "all is as committed" in well(paperwire("verify"))
    assert sql(paperwire, "SELECT * FROM papers ORDER BY paper_id") == before


def test_where_nothing_is_wrong_nothing_is_mended(paperwire: Paperwire) -> None:
    assert well(paperwire("verify", "--repair")) == "all is as committed; there was nothing to mend\n"
    assert paperwire("verify", "--repair", "--json").document() == {"done": [], "left": []}


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("place", ["gone", 0.2, 0.5, 0.98])
def test_what_only_a_backup_has_stays_named_until_it_is_back(
    number: int, place: str | float, room: Newsroom, paperwire: Paperwire
) -> None:
    segment = room.home / "archive" / "log" / f"{number:012d}.parquet"
    good = segment.read_bytes()
    if isinstance(place, str):
        segment.unlink()
    else:
        at = int(len(good) * place)
        segment.write_bytes(bytes([*good[:at], good[at] ^ 1, *good[at + 1 :]]))
    for _ in range(2):  # mending twice mends no more
        said = paperwire("verify", "--repair")
        assert said.code == cli.ARCHIVE
        assert segment.name in said.out + said.err
        if said.out:
            assert re.search(r"^\d+ faults? that only a backup can mend", said.out.splitlines()[-1])
        said = paperwire("verify")
        assert (said.code, segment.name in said.out) == (cli.ARCHIVE, True)
    segment.write_bytes(good)
    assert paperwire("verify", "--repair").code == cli.OK
    assert "all is as committed" in well(paperwire("verify"))
    assert sql(paperwire, "SELECT count(*) FROM papers") == [(3,)]


# history ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        ARXIV, "2606.00001", "2606.00001v3", "arXiv:2606.00001", "https://arxiv.org/abs/2606.00001v1",
        "https://arxiv.org/pdf/2606.00001", "https://huggingface.co/papers/2606.00001", "10.48550/arXiv.2606.00001",
    ],
)  # fmt: skip
def test_a_paper_is_found_by_any_of_its_ids(name: str, paperwire: Paperwire) -> None:
    assert well(paperwire("history", name)).splitlines()[:2] == [
        f"{ARXIV}  {GOOD_TITLES[0]}",
        "2026-06-09  Announced by arxiv-rss:cs.CL in Computation and Language",
    ]


def test_a_paper_of_a_journal_is_found_by_its_link_and_its_doi(room: Newsroom, paperwire: Paperwire) -> None:
    assert GOOD_TITLES[2] in well(paperwire("history", "https://journal.test/good"))
    file = jsonl(room.folder / "a.jsonl", entry(1, arxiv_id=None, doi="10.1038/s42256-026-00001-1", title="Of Nature"))
    well(paperwire("load", str(file), "--source", "nature"))
    for name in (
        "10.1038/S42256-026-00001-1",
        "doi:10.1038/s42256-026-00001-1",
        "https://doi.org/10.1038/s42256-026-00001-1",
    ):
        assert "Of Nature" in well(paperwire("history", name))


def test_the_words_that_changed_are_told_to_people_and_programs(room: Newsroom, paperwire: Paperwire) -> None:
    well(paperwire("load", str(jsonl(room.folder / "a.jsonl", entry(1, version=1))), "--source", "s"))
    second = entry(1, version=2, title="Backfilled and mended paper number 1")
    well(paperwire("load", str(jsonl(room.folder / "b.jsonl", second)), "--source", "s"))
    assert "  Title: Backfilled [+and mended+] paper number 1" in well(paperwire("history", "2501.00001")).splitlines()
    document = paperwire("history", "2501.00001", "--json").document()
    assert (document["paper_id"], document["asked"], document["merged"]) == ("arxiv:2501.00001", None, [])
    assert [r["version"] for r in document["revisions"]] == [1, 2]
    assert {c["field"]: c["after"] for c in document["revisions"][1]["changes"]} == {
        "version": 2,
        "title": "Backfilled and mended paper number 1",
    }


def test_an_id_nobody_has_is_a_wrong_command(paperwire: Paperwire) -> None:
    for name in ("2606.99999", "10.1000/none", "nonsense", "title:0123456789abcdef", ""):
        said = paperwire("history", name)
        assert said.code == cli.USAGE
        assert failed(said) == f"no paper has the id {name!r}; `paperwire search` finds papers by their words"


# merge and split ----------------------------------------------------------------------------------------------


def test_two_papers_become_one_and_two_again(paperwire: Paperwire) -> None:
    before = sql(paperwire, "SELECT paper_id, title FROM papers ORDER BY 1")
    assert well(paperwire("merge", "2606.00001v1", LISTED, "--reason", "one work")).splitlines() == [
        f"kept    {ARXIV}  {GOOD_TITLES[0]}",
        f"merged  {LISTED}  {GOOD_TITLES[1]}",
        f"known as  {ARXIV}, {LISTED}",
        f"one paper from now on (commit 4); undo: paperwire split {LISTED}",
    ]
    assert sql(paperwire, f"SELECT count(*) FROM papers WHERE paper_id = '{LISTED}'") == [(0,)]
    assert sql(paperwire, "SELECT paper_id, merged_into, reason FROM merges") == [(LISTED, ARXIV, "one work")]
    said = well(paperwire("history", LISTED)).splitlines()
    assert said[:2] == [f"{LISTED} is {ARXIV} now", f"{ARXIV}  {GOOD_TITLES[0]}"]
    assert any(line.endswith("  Merged with another paper") for line in said)
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d  {LISTED} became this paper: one work", said[-1])
    assert paperwire("history", LISTED, "--json").document()["asked"]["merged_into"] == ARXIV
    assert LISTED not in well(paperwire("search", "good paper"))

    assert well(paperwire("split", LISTED, "--reason", "two after all")).splitlines()[-1] == (
        "are two papers again, and nothing joins them by itself (commit 5)"
    )
    assert sql(paperwire, "SELECT paper_id, title FROM papers ORDER BY 1") == before
    assert LISTED in well(paperwire("search", "good paper"))
    assert "all is as committed" in well(paperwire("verify"))


def test_a_pass_publishes_what_was_merged(room: Newsroom, paperwire: Paperwire) -> None:
    well(paperwire("merge", ARXIV, LISTED, "--reason", "one work"))
    well(paperwire("run", *NOW))
    well(paperwire("split", LISTED, "--reason", "two"))
    well(paperwire("run", *NOW))
    assert "all is as committed" in well(paperwire("verify"))


def test_merging_and_splitting_answer_programs_too(paperwire: Paperwire) -> None:
    merged = paperwire("merge", ARXIV, LISTED, "--reason", "one work", "--json").document()
    parted = paperwire("split", LISTED, "--reason", "two", "--json").document()
    for document, seq in ((merged, 4), (parted, 5)):
        assert (document["kept"]["paper_id"], document["other"]["paper_id"], document["seq"]) == (ARXIV, LISTED, seq)


def test_what_cannot_be_merged_or_split_is_said_and_changes_nothing(paperwire: Paperwire) -> None:
    def wrong(*arguments: str) -> str:
        said = paperwire(*arguments, "--reason", "because")
        assert said.code == cli.USAGE
        return failed(said)

    seq = sql(paperwire, "SELECT seq FROM _meta")
    assert wrong("merge", ARXIV, "2606.99999").startswith("no paper has the id '2606.99999'")
    assert wrong("merge", ARXIV, "2606.00001v2") == f"{ARXIV} and 2606.00001v2 are one paper already: {ARXIV}"
    assert wrong("split", ARXIV) == f"{ARXIV} was not merged into another paper"
    assert failed(paperwire("merge", ARXIV, LISTED, "--reason", " ")).startswith("say why with --reason")
    assert paperwire("merge", ARXIV, LISTED).code == cli.USAGE
    assert sql(paperwire, "SELECT seq FROM _meta") == seq
    well(paperwire("merge", ARXIV, LISTED, "--reason", "one work"))
    assert wrong("merge", LISTED, ARXIV) == f"{LISTED}: {LISTED} was merged into {ARXIV} already"
    assert wrong("split", ARXIV) == f"{ARXIV} was not merged into another paper; merged into it were: {LISTED}"


# search -------------------------------------------------------------------------------------------------------


def test_papers_are_found_by_their_words(paperwire: Paperwire) -> None:
    assert len(well(paperwire("search", "good", "paper")).splitlines()) == 3
    assert well(paperwire("search", "hugging", "-journal")).startswith(f"{LISTED}  {GOOD_TITLES[1]} · 2026-06-09 · Ada")
    assert len(well(paperwire("search", "good", "--limit", "2")).splitlines()) == 2
    assert well(paperwire("search", "zebra")) == "no paper answers\n"
    document = paperwire("search", "title:arxiv", "--json").document()
    assert [(found["paper_id"], found["title"]) for found in document] == [(ARXIV, GOOD_TITLES[0])]
    assert document[0]["score"] > 0
    newest = paperwire("search", "good", "--newest", "--json").document()
    assert [f["new_at"] for f in newest] == sorted((f["new_at"] for f in newest), reverse=True)


def test_search_follows_the_archive_and_mends_itself(room: Newsroom, paperwire: Paperwire) -> None:
    well(paperwire("search", "good"))
    well(paperwire("load", str(jsonl(room.folder / "a.jsonl", entry(1, title="On zebras"))), "--source", "s"))
    assert "On zebras" in well(paperwire("search", "zebras"))
    for path in (room.home / "archive" / "search").rglob("*"):
        if path.is_file() and path.name != "writer.lock":
            path.write_bytes(b"damaged")
    assert "On zebras" in well(paperwire("search", "zebras"))


@pytest.mark.parametrize(("words", "position"), [(("good", "(paper"), 5), (("titel:x",), 0), (("a", ")"), 2)])
def test_a_wrong_search_is_pointed_at(words: tuple[str, ...], position: int, paperwire: Paperwire) -> None:
    said = paperwire("search", *words)
    assert (said.code, said.out) == (cli.USAGE, "")
    assert said.err.splitlines()[1:] == [f"  {' '.join(words)}", "  " + " " * position + "^"]


def test_no_words_are_no_search(paperwire: Paperwire) -> None:
    assert failed(paperwire("search")).startswith("say what to search for")
    assert paperwire("search", "x", "--limit", "0").code == cli.USAGE


# sql --as-of and export ---------------------------------------------------------------------------------------


def test_the_past_is_asked_by_day_moment_and_commit(paperwire: Paperwire) -> None:
    count = "SELECT count(*) AS papers FROM papers"
    for as_of, papers in (("1", 1), ("2", 2), ("2026-06-09", 3), ("2026-06-09T06:00:00Z", 3)):
        assert well(paperwire("sql", "--as-of", as_of, count)).split() == ["papers", str(papers)]
    said = paperwire("sql", "--as-of", "2026-06-08", count)
    assert said.code == cli.USAGE
    assert "held nothing at 2026-06-08 23:59 UTC; the first commit was at 2026-06-09 06:00 UTC" in failed(said)
    assert paperwire("sql", "--as-of", "soon", count).code == cli.USAGE


def test_an_export_says_what_is_in_it_and_where(room: Newsroom, paperwire: Paperwire) -> None:
    target = room.folder / "take-away.duckdb"
    lines = well(paperwire("export", str(target))).splitlines()
    assert re.fullmatch(r"3 papers, 3 revisions, \d sightings; [\d.]+ MB", lines[0])
    assert lines[1:] == ["as of commit 3, 2026-06-09 06:00 UTC", str(target)]
    with duckdb.connect(str(target), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM papers").fetchall() == [(3,)]
    said = paperwire("export", str(target))
    assert (said.code, "--force" in failed(said)) == (cli.FAILED, True)
    document = paperwire("export", str(target), "--force", "--as-of", "1", "--json").document()
    assert (document["rows"]["papers"], document["seq"], document["format"]) == (1, 1, "duckdb")
    lines = well(paperwire("export", str(room.folder / "tree"))).splitlines()
    assert re.fullmatch(r"3 papers, 3 revisions, \d sightings; [\d.]+ kB in \d files", lines[0])
    assert paperwire("export", str(room.folder / "x"), "--format", "csv").code == cli.USAGE


@pytest.mark.parametrize(
    "command",
    [
        ("compact",), ("verify", "--repair"), ("history", "x"), ("merge", "a", "b", "--reason", "r"),
        ("split", "a", "--reason", "r"), ("search", "x"), ("export", "x.duckdb"), ("sql", "SELECT 1", "--as-of", "1"),
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_what_was_never_archived_is_no_damage(command: tuple[str, ...], room: Newsroom, paperwire: Paperwire) -> None:
    shutil.rmtree(room.home)
    said = paperwire(*command)
    assert said.code == cli.FAILED
    assert failed(said) == f"nothing has been archived yet in {room.home}; `paperwire run` reads the sources"
    assert not room.home.exists(), "asking makes nothing"
