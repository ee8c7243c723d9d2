"""arXiv's snapshot: each paper comes out as OAI-PMH says it, whatever it is packed in; a bad line costs that line."""

from __future__ import annotations

import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from flows import packed, snapshot
from flows.decide import decide
from flows.loading import Feed
from flows.packed import LoadError, unpacked
from flows.parsing import Parser
from flows.snapshot import Faults
from flows.sources import adapter_for
from flows.sources.interface import Request
from flows.upkeep import LoadReport, load_files
from storage.archive import Archive
from storage.bulk_rows import entries_of
from storage.errors import ParseError, SourceError
from storage.model import Entry
from storage.settings import Limits, Settings
from storage.text import clean
from tests.backfills import entry as our_line
from tests.backfills import failed, jsonl, sql
from tests.fetching_tools import a_source, fetched
from tests.newsroom import ROOT, Newsroom, Paperwire, in_process
from tests.oai_repository import raw, record, records
from tests.servers import Server
from tests.snapshots import NAME, as_bytes, as_line, line, write

NOW = datetime(2026, 6, 9, 6, tzinfo=UTC)
SOURCE = a_source(name="arxiv", kind="arxiv-oai")
REQUEST = Request(url="https://oaipmh.arxiv.org/oai?verb=ListRecords", key="from 2026-05-31", conditional=False)
RSS = a_source(name="arxiv-rss:cs.CL", kind="arxiv-rss", category="cs.CL")


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with Parser(Limits()) as parser:
        yield parser


@pytest.fixture
def paperwire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Paperwire]:
    """The command, in this process and an empty room."""
    with Server({}) as server:
        room = Newsroom(tmp_path / "room", server)
        room.folder.mkdir()
        room.configure("")
        yield in_process(room, monkeypatch, capsys)


def by_oai(parser: Parser, body: bytes) -> list[Entry]:
    """What the adapter reads in an answer, as it is trusted."""
    harvest = adapter_for("arxiv-oai").read(SOURCE, REQUEST, fetched(body), parser)
    return [clean(entry, Limits()) for entry in harvest.entries]


def by_snapshot(path: Path) -> list[Entry]:
    """What a load reads in a file, as it is trusted."""
    return [
        clean(entry, Limits())
        for table in Feed([path]).tables()
        for entry in entries_of(table, source="arxiv", text_rank=3)
    ]


def told(entry: Entry) -> Entry:
    """An entry without what only one of the two can say: when a record changed, and how large a version is."""
    versions = tuple(replace(version, size_bytes=None) for version in entry.versions)
    return replace(entry, announce_type=None, announced_on=None, versions=versions)


def load(home: Path, *files: Path | str) -> LoadReport:
    return load_files(Settings(home=home), files, source="arxiv", load_id=None, now=NOW)


# The same paper from both


@pytest.fixture(scope="module")
def answers(unpack: Callable[[str], Path]) -> list[bytes]:
    """Every captured answer in `arXivRaw`."""
    bodies = [path.read_bytes() for path in sorted(unpack("arxiv_oai").rglob("*.xml"))]
    return [body for body in bodies if b"<arXivRaw" in body and b"<OAI-PMH" in body]


def metadata_in(body: bytes) -> list[etree._Element]:
    return list(etree.fromstring(body).iter("{*}arXivRaw"))


def test_a_line_says_what_the_record_of_the_same_paper_says(
    parser: Parser, answers: list[bytes], tmp_path: Path
) -> None:
    compared, withdrawn = 0, 0
    for body in answers:
        try:
            wanted = by_oai(parser, body)
        except (SourceError, ParseError):
            continue
        found = by_snapshot(write(tmp_path / "a.json", *map(as_line, metadata_in(body))))
        assert [told(entry) for entry in found] == [told(entry) for entry in wanted]
        compared += len(found)
        withdrawn += sum(entry.withdrawn for entry in found)
    assert compared > 500
    assert withdrawn >= 8


ODD = {
    "TeX in names": {"authors": 'Stanis{\\l}awa Kanas, Jo\\"el Fran\\c{c}a (Inst, City), J.-P. Lees and C. D., Jr.'},
    "a title in lines": {"title": "On the Long\n  Title of a Paper"},
    "an abstract in lines": {"abstract": "  We show " + "that it is so " * 5 + "and\notherwise.\n  A paragraph.\n"},
    "code in the comments": {"comments": "Code at https://github.com/ada/minta."},
    "code in the abstract": {"abstract": "See GitHub.com/ada/mi\\_nta", "comments": "https://gitlab.com/no/no"},
    "withdrawn by its comments": {"comments": "This paper has been withdrawn by the author", "holds": "gone"},
    "withdrawn by its abstract": {"abstract": "This paper has been withdrawn due to an error."},
    "several DOIs": {"doi": "10.1103/PhysRevD.76.013009 10.1103/PhysRevD.76.013010", "journal_ref": "Phys.\n Rev. D"},
    "arXiv's own DOI": {"doi": "10.48550/arXiv.2606.00012"},
    "versions": {"versions": 3},
    "an old id": {"number": "hep-th/9901001"},
    "no licence": {"license": ""},
    "letters": {"title": "Über den Titel", "abstract": "Größe\u00a0und Maß\u2028 ", "authors": "Béla Ödön"},
}
GONE = "<size>0kb</size><source_type>I</source_type>"


@pytest.mark.parametrize("name", ODD)
def test_odd_papers_come_out_alike(name: str, parser: Parser, tmp_path: Path) -> None:
    changes: dict[str, Any] = dict(ODD[name])
    if changes.pop("holds", None):
        changes["holds"] = GONE
    number = changes.get("number", "2606.00012")
    body = records(record(raw(**changes), name=f"oai:arXiv.org:{number}"))
    (wanted,) = by_oai(parser, body)
    (found,) = by_snapshot(write(tmp_path / "a.json", *map(as_line, metadata_in(body))))
    assert told(found) == told(wanted)


def test_a_line_fills_every_column_it_can(tmp_path: Path) -> None:
    versions = [
        {"version": f"v{n}", "created": f"{day} Jun 2026 14:59:59 GMT"} for n, day in ((1, "Mon, 1"), (2, "Tue, 2"))
    ]
    full = line(
        7,
        doi="10.1000/XYZ",
        journal_ref="J. Ex. 1",
        versions=versions,
        abstract="  See https://github.com/ada/minta\n",
    )
    (found,) = by_snapshot(write(tmp_path / "a.json", full))
    assert found.entry_id == "oai:arXiv.org:2606.00007"
    assert (found.arxiv_id, found.version, found.title) == ("2606.00007", 2, "On the Title of Number 7")
    assert (found.authors, found.categories) == (("Ada Example", "Béla Minta"), ("cs.CL", "cs.AI"))
    assert (found.doi, found.journal_ref) == ("10.1000/xyz", "J. Ex. 1")
    assert found.license_url == "http://creativecommons.org/licenses/by/4.0/"
    assert (found.url, found.pdf_url) == ("https://arxiv.org/abs/2606.00007", "https://arxiv.org/pdf/2606.00007v2")
    assert (found.code_url, found.withdrawn) == ("https://github.com/ada/minta", False)
    assert found.published_at == datetime(2026, 6, 1, 14, 59, 59, tzinfo=UTC)
    assert [(v.version, v.submitted_at.day) for v in found.versions] == [(1, 1), (2, 2)]


def test_what_oai_says_later_of_an_unchanged_paper_is_no_news(
    parser: Parser, answers: list[bytes], tmp_path: Path
) -> None:
    papers = {text: item for body in answers for item in metadata_in(body) if (text := item.findtext("{*}id"))}
    report = load(tmp_path, write(tmp_path / NAME, *map(as_line, papers.values())))
    assert (report.loaded.fresh + report.loaded.changed, report.faults) == (len(papers), 0)
    said = [
        replace(entry, source="arxiv")
        for body in answers
        if body.count(b"<record>") > 1
        for entry in by_oai(parser, body)
        if metadata_of(papers, entry) is not None
    ]
    with Archive(tmp_path) as archive:
        commit = archive.append(said, source="arxiv", batch_id="oai", now=NOW, decide=decide)
        assert len(said) >= 500
        assert (commit.announcements, commit.rejected) == ({}, 0)
        revised = archive.index.latest_seq()
    assert revised >= 1
    revisions = _sql(tmp_path, "SELECT max(revision), count(revised_at), count(announced_at) FROM papers")
    assert revisions == [(1, 0, 0)]


def metadata_of(papers: dict[str, etree._Element], entry: Entry) -> etree._Element | None:
    return papers.get(entry.arxiv_id or "")


def _sql(home: Path, query: str) -> list[tuple[Any, ...]]:
    import duckdb

    from storage.catalog import catalog_path

    with duckdb.connect(str(catalog_path(home)), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_what_rss_says_later_of_an_unchanged_paper_is_no_revision(tmp_path: Path) -> None:
    load(tmp_path, write(tmp_path / NAME, line(1), line(2)))
    (first, _) = by_snapshot(tmp_path / NAME)
    rss = replace(
        first,
        source=RSS.name,
        entry_id=f"{first.entry_id}v1",
        announce_type="new",
        announced_on=date(2026, 6, 9),
        published_at=None,
        versions=(),
    )
    with Archive(tmp_path) as archive:
        commit = archive.append([rss], source=RSS.name, batch_id="rss", now=NOW, decide=decide)
    assert commit.announcements == {}


# However it is packed, whatever it is called


@pytest.mark.parametrize("name", [NAME, f"{NAME}.gz", "archive.zip", "papers.jsonl", "x.ndjson.gz"])
def test_the_snapshot_is_known_by_its_fields(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, "", "{broken", *(line(n) for n in range(1, 31)))
    report = load(tmp_path, path)
    assert (report.loaded.offered, report.loaded.fresh, report.faults) == (30, 30, 1)
    assert _sql(tmp_path, "SELECT count(*), min(title) FROM papers") == [(30, "On the Title of Number 1")]


def test_our_own_lines_in_a_zip_are_loaded(tmp_path: Path) -> None:
    report = load(tmp_path, write(tmp_path / "mine.zip", *(our_line(n) for n in range(1, 31)), inside="mine.jsonl"))
    assert (report.loaded.fresh, report.whole) == (30, True)
    history = [{"version": 1, "submitted_at": "2025-01-02T03:04:05Z", "size_bytes": 9}, {"version": 2}]
    load(tmp_path, jsonl(tmp_path / "b.json", our_line(40, versions=history, withdrawn=True), our_line(41)))
    assert _sql(tmp_path, "SELECT count(*), count(*) FILTER (withdrawn) FROM papers") == [(32, 1)]


def test_a_file_again_brings_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / NAME, *(line(n) for n in range(1, 31)), line(31, comments="Withdrawn"))
    once, again = load(tmp_path, path), load(tmp_path, path)
    assert once.load_id == again.load_id
    assert (again.loaded.fresh, again.loaded.changed, again.loaded.known) == (0, 0, 31)


# One bad line costs that line

BAD = {
    "not JSON: ": '{"id": "2606.00001", "title"',
    "not a JSON object": "[1, 2]",
    "'704.0001' is no arXiv id": line(id="704.0001"),
    "id must be text, not 704.0001": line(id=704.0001),
    "'' is no arXiv id": line(id=None),
    "title must be text, not ['a']": line(title=["a"]),
    "versions must be a list of versions with dates, not of 'v1'": line(versions="v1"),
    "created must be text, not 20": line(versions=[{"version": "v1", "created": 20}]),
    "not JSON: str is not valid UTF-8": b'{"id": "2606.00001", "title": "\xff\xfe"}',
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_line_costs_that_line_and_is_named(reason: str, tmp_path: Path) -> None:
    report = load(tmp_path, write(tmp_path / NAME, line(1), "", BAD[reason], line(2)))
    assert (report.loaded.fresh, report.faults, report.whole) == (2, 1, False)
    (named,) = report.faults_named
    assert named.startswith(f"{NAME}, line 3: {reason}"), named


def test_the_command_names_bad_lines_and_is_incomplete(tmp_path: Path, paperwire: Paperwire) -> None:
    bad = [line(id=f"x{n}") for n in range(12)]
    file = write(tmp_path / "archive.zip", line(1), *bad, line(2))
    said = paperwire("load", str(file), "--source", "arxiv")
    assert (said.code, said.err) == (3, "")
    lines = said.out.splitlines()
    assert lines[:3] == [
        "2 entries of arxiv: 2 new to the archive",
        "12 lines could not be read, and nothing else is missing:",
        "  archive.zip, line 2: 'x0' is no arXiv id",
    ]
    assert "  and 2 more" in lines
    document = paperwire("load", str(file), "--source", "arxiv", "--json").document()
    assert (document["faults"], len(document["faults_named"])) == (12, 10)
    assert sql(paperwire, "SELECT count(*) FROM papers") == [(2,)]


def test_an_entry_that_is_refused_makes_a_load_incomplete_too(tmp_path: Path, paperwire: Paperwire) -> None:
    said = paperwire("load", str(write(tmp_path / NAME, line(1), line(2, title=" "))), "--source", "arxiv")
    assert (said.code, said.out.splitlines()[0]) == (
        3,
        "2 entries of arxiv: 1 new to the archive, 1 refused (paperwire status)",
    )


def test_a_file_of_bad_lines_only_says_why(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"there are no entries; .*line 1: '1' is no arXiv id"):
        load(tmp_path, write(tmp_path / NAME, line(id="1")))


def test_a_line_without_an_end_costs_that_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "LINE_BYTES_MAX", 20_000)
    monkeypatch.setattr(snapshot, "_BLOCK_BYTES", 7_000)
    path = write(tmp_path / NAME, line(1), line(2, abstract="x" * 90_000), line(3), line(4), "y" * 50_000)
    faults = Faults()
    with unpacked(path) as stream:
        assert [n for t in snapshot.tables(stream, faults) for n in t["arxiv_id"].to_pylist()] == [
            "2606.00001",
            "2606.00003",
            "2606.00004",
        ]
    assert faults.named == ["line 2: it has more than 20,000 bytes", "line 5: it has more than 20,000 bytes"]


# What a zip may not do


def a_zip(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return path


def test_what_lies_beside_the_file_in_a_zip_is_not_read(tmp_path: Path) -> None:
    body, beside = as_bytes(line(1)), {"__MACOSX/._a.json": b"\x00", "README.md": b"x", "folder.json/": b""}
    assert len(by_snapshot(a_zip(tmp_path / "a.zip", **beside, **{"../../../etc/a.JSON": body}))) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip"}


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"a.csv": b"x"}, "it holds no file of JSON"),
        ({"a.json": b"{}", "b.jsonl": b"{}"}, r"it holds 2 files of JSON \(a.json, b.jsonl\)"),
        ({"a.json": b" " * 200_000_000}, "it unpacks to more than 100,000,000 bytes"),
    ],
)
def test_a_zip_that_is_none_of_ours_is_refused(members: dict[str, bytes], reason: str, tmp_path: Path) -> None:
    path = a_zip(tmp_path / "a.zip", **members)
    with pytest.raises(LoadError, match=reason):
        load(tmp_path, path)


@pytest.mark.parametrize("cut", [30, 300])
def test_a_zip_that_breaks_off_is_refused(cut: int, tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", *(line(n) for n in range(1, 31)))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(LoadError, match="no whole zip"):
        load(tmp_path, path)


def test_damage_inside_a_zip_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", *(line(n) for n in range(1, 3_001)))
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 255
    path.write_bytes(body)
    with pytest.raises(LoadError, match=r"a\.zip: it is damaged"):
        load(tmp_path, path)


def test_gzip_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_RATIO_FREE_BYTES", 10_000)
    monkeypatch.setattr(packed, "RATIO_MAX", 2)
    with pytest.raises(LoadError, match=r"it unpacks to more than [\d,]+ bytes"):
        load(tmp_path, write(tmp_path / "a.json.gz", *(line(1) for _ in range(1_000))))


# Killed


_KILLED = """
import os, sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from flows.upkeep import load_files
from storage.settings import Settings
def progress(done, total):
    if done >= 50_000:
        os.kill(os.getpid(), 9)
bars = lambda label: nullcontext(progress if label == "loading" else lambda *_: None)
home, files, now = Path(sys.argv[1]), sys.argv[2:], datetime.now(UTC)
load_files(Settings(home=home), files, source="arxiv", load_id=None, now=now, bars=bars)
"""


@pytest.mark.slow
def test_a_load_that_was_killed_goes_on_where_it_stopped(tmp_path: Path) -> None:
    lines = [line(n, id=f"{month}.{n:05d}") for month in (2501, 2502) for n in range(1, 27_001)]
    path = write(tmp_path / "archive.zip", *lines)
    command = [sys.executable, "-c", _KILLED, str(tmp_path), str(path)]
    assert subprocess.run(command, cwd=ROOT, timeout=120).returncode == -signal.SIGKILL
    loaded = load(tmp_path, path).loaded
    assert (loaded.offered, loaded.fresh + loaded.known) == (54_000, 54_000)
    assert loaded.known >= 50_000, "what was committed stays committed"
    assert _sql(tmp_path, "SELECT count(*), count(DISTINCT paper_id) FROM papers") == [(54_000, 54_000)]


def test_a_file_that_is_no_archive_is_named_by_the_command(tmp_path: Path, paperwire: Paperwire) -> None:
    path = a_zip(tmp_path / "a.zip", **{"a.csv": b"x"})
    said = paperwire("load", str(path), "--source", "arxiv")
    assert (said.code, failed(said)) == (1, f"{path}: it holds no file of JSON")
