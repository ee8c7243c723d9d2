"""papers.duckdb: stable documented tables, republished at each commit, never in a reader's way."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from flows.decide import decide
from storage.archive import Archive
from storage.catalog import Catalog, catalog_path, refresh_catalog
from storage.errors import ArchiveError
from storage.model import Announcement, Entry
from storage.settings import Settings, Topic, parse_settings
from tests.builders import NOW, an_entry

DOCS = Path(__file__).parents[1] / "docs" / "data.md"
TOPICS = (
    Topic(slug="short", title="Short things", query="short title*"),
    Topic(slug="vision", title="Vision", query="category:cs.CV"),
)


def settings(home: Path) -> Settings:
    """Two sources, no topics: those are given where they are needed."""
    text = '[[source]]\nname = "arxiv-rss:cs.CL"\nkind = "arxiv-rss"\ncategory = "cs.CL"\n'
    return parse_settings(text + '[[source]]\nname = "hf-daily"\nkind = "hf-daily"\n', home=home)


def commit(home: Path, *entries: Entry, minute: int = 0, topics: tuple[Topic, ...] = TOPICS) -> None:
    """One batch, and papers.duckdb behind it."""
    now = NOW + timedelta(minutes=minute)
    with Archive(home) as archive:
        archive.append(entries, source=entries[0].source, batch_id=now.isoformat(), now=now, decide=decide)
        refresh_catalog(archive, settings(home), topics, now=now)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one paper that was revised, and another."""
    commit(
        tmp_path,
        an_entry(),
        an_entry(arxiv_id="2606.00013", entry_id="b", title="Seeing", abstract="We look.", categories=("cs.CV",)),
    )
    commit(tmp_path, an_entry(entry_id="v2", version=2, announce_type="replace", title="On Titles"), minute=1)
    return tmp_path


def sql(home: Path, query: str) -> list[tuple[object, ...]]:
    """Ask as a user would: a plain DuckDB connection, read-only."""
    with duckdb.connect(str(catalog_path(home)), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_one_paper_is_one_row(home: Path) -> None:
    assert sql(home, "SELECT paper_id, title, version FROM papers ORDER BY 1") == [
        ("arxiv:2606.00012", "On Titles", 2),
        ("arxiv:2606.00013", "Seeing", 1),
    ]


def test_history_is_kept(home: Path) -> None:
    rows = sql(home, "SELECT announcements, changes, title FROM revisions WHERE paper_id LIKE '%12' ORDER BY seq")
    assert rows == [
        (["new"], [], "On the Length of Short Titles"),
        (["revised"], ["version", "title"], "On Titles"),
    ]
    assert sql(home, "SELECT count(*) FROM sightings") == [(3,)]


def test_every_documented_table_and_column_exists_and_is_documented(home: Path) -> None:
    text = DOCS.read_text(encoding="utf-8")
    for table in (
        *("papers", "revisions", "changes", "sightings", "authors", "votes", "versions"),
        *("topics", "paper_topics", "sources", "aliases", "merges"),
    ):
        columns = [str(row[0]) for row in sql(home, f"DESCRIBE {table}")]
        assert columns, table
        missing = [c for c in columns if f"`{c}`" not in text]
        assert not missing, f"{table}: not in docs/data.md: {missing}"
    shown = {str(row[0]) for row in sql(home, "SHOW TABLES")}
    assert {t for t in shown if not t.startswith("_")} <= set(re.findall(r"`(\w+)`", text))


def test_every_example_in_the_docs_runs(home: Path) -> None:
    for block in re.findall(r"```sql\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S):
        for statement in filter(str.strip, block.split(";")):
            sql(home, statement)


def test_topics_are_tagged_with_their_reason(home: Path) -> None:
    rows = sql(home, "SELECT paper_id, topic, reason FROM paper_topics ORDER BY ALL")
    assert [row[:2] for row in rows] == [("arxiv:2606.00012", "short"), ("arxiv:2606.00013", "vision")]
    assert ("arxiv:2606.00013", "vision", "category:cs.CV") in rows


def test_a_paper_that_leaves_a_topic_is_untagged_and_the_topic_is_touched(tmp_path: Path) -> None:
    commit(tmp_path, an_entry(abstract="plain"))
    assert sql(tmp_path, "SELECT topic FROM paper_topics") == [("short",)]
    commit(tmp_path, an_entry(version=2, announce_type="replace", title="On Length", abstract="plain"), minute=1)
    assert sql(tmp_path, "SELECT topic FROM paper_topics") == []
    with Archive(tmp_path) as archive:
        assert archive.index.topics_touched(after_seq=1) == {"short"}


def test_a_changed_topic_tags_the_archive_again(home: Path) -> None:
    changed = (TOPICS[0], Topic(slug="vision", title="Vision", query="titles"))
    with Archive(home) as archive:
        assert refresh_catalog(archive, settings(home), changed, now=NOW)
        assert not refresh_catalog(archive, settings(home), changed, now=NOW), "nothing left to do"
    assert sql(home, "SELECT paper_id FROM paper_topics WHERE topic = 'vision'") == [("arxiv:2606.00012",)]


def test_an_empty_archive_has_all_tables(tmp_path: Path) -> None:
    with Archive(tmp_path) as archive:
        refresh_catalog(archive, settings(tmp_path), TOPICS, now=NOW)
    for table in ("papers", "revisions", "sightings", "authors", "votes", "paper_topics"):
        assert sql(tmp_path, f"SELECT count(*) FROM {table}") == [(0,)]
    assert sql(tmp_path, "SELECT count(*) FROM sources") == [(2,)]


def test_readers_and_commits_never_meet(home: Path) -> None:
    """A reader asks in a loop, from a process of its own, while commits go on: no error, never a count that falls."""
    code = (
        "import duckdb, sys\nlast = 0\n"
        "while True:\n"
        "    with duckdb.connect(sys.argv[1], read_only=True) as c:\n"
        "        n, d = c.execute('SELECT count(*), count(DISTINCT paper_id) FROM papers').fetchone()\n"
        "    assert n == d and n >= last, (n, d, last)\n    last = n\n    print(n, flush=True)\n    if n == 22: break\n"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", code, str(catalog_path(home))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    reader.stdout.readline()  # it is reading
    for n in range(20):
        commit(home, an_entry(arxiv_id=f"2606.1{n:04d}", entry_id=f"x{n}", title=f"Paper {n}"), minute=2 + n)
    out, err = reader.communicate(timeout=60)
    assert reader.returncode == 0, err
    assert out.splitlines()[-1] == "22"


def test_an_open_snapshot_does_not_move(home: Path) -> None:
    with Catalog(home) as catalog:
        commit(home, an_entry(arxiv_id="2606.00099", entry_id="z"), minute=5)
        assert catalog.rows("SELECT count(*) AS n FROM papers") == [{"n": 2}]
    with Catalog(home) as catalog:
        assert catalog.rows("SELECT count(*) AS n FROM papers") == [{"n": 3}]


def test_the_duckdb_command_line_opens_it_from_any_folder(home: Path, tmp_path: Path) -> None:
    beside = Path(sys.executable).parent / "duckdb"
    program = shutil.which("duckdb") or (str(beside) if beside.exists() else None)
    if program is None:
        pytest.skip("the duckdb command line is not installed")
    command = [program, "-readonly", "-csv", str(catalog_path(home)), "SELECT count(*) AS n FROM papers"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["n", "2"]


def test_sql_cannot_write_and_says_what_is_wrong_in_one_line(home: Path) -> None:
    with Catalog(home) as catalog:
        with pytest.raises(ArchiveError, match="read-only"):
            catalog.rows("DROP VIEW papers")
        with pytest.raises(ArchiveError, match="Table with name nonsense does not exist") as caught:
            catalog.rows("SELECT * FROM nonsense")
    assert "\n" not in str(caught.value)


def test_before_the_first_pass_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"nothing has been archived yet .*paperwire run"):
        Catalog(tmp_path)


def test_the_read_side_gives_publishers_what_they_ask_for(home: Path) -> None:
    commit(home, an_entry(source="hf-daily", entry_id="hf", announce_type=None, trending=True, upvotes=5), minute=3)
    with Catalog(home) as catalog:
        new = catalog.new_in_topic(None)
        assert [t.paper.paper_id for t in new] == ["arxiv:2606.00013", "arxiv:2606.00012"]
        assert catalog.days() == [(date(2026, 6, 2), 2)]
        assert len(catalog.papers_of_day(date(2026, 6, 2))) == 2
        assert catalog.topic_counts() == {"short": 1, "vision": 1}
        assert [r.announcements for r in catalog.revisions("arxiv:2606.00012")] == [
            (Announcement.NEW,),
            (Announcement.REVISED,),
            (Announcement.TRENDING,),
        ]
        assert [r.changes for r in catalog.revisions_since(None, after_seq=0, until_seq=3)] == [("version", "title")]
        assert [s.source for s in catalog.sightings("arxiv:2606.00012")] == ["arxiv-rss:cs.CL"] * 2 + ["hf-daily"]
        assert [t.paper.upvotes for t in catalog.trending()] == [5]
        assert catalog.changed_since(1) == ["arxiv:2606.00012"]
        assert catalog.latest_seq() == 3
        assert [t.paper.paper_id for t in catalog.new_since("vision", after_seq=0, until_seq=3)] == ["arxiv:2606.00013"]
        assert catalog.new_since("vision", after_seq=1, until_seq=3) == []


def test_two_refreshes_at_once_leave_a_whole_file(home: Path) -> None:
    def refresh(slug: str) -> None:
        topics = (replace_topic(slug),)
        with Archive(home) as archive:
            refresh_catalog(archive, settings(home), topics, now=NOW)

    threads = [threading.Thread(target=refresh, args=(slug,)) for slug in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sql(home, "SELECT count(*) FROM papers") == [(2,)]
    assert not list(home.glob(".papers-*"))


def replace_topic(slug: str) -> Topic:
    """A topic of that slug."""
    return Topic(slug=slug, title=slug.title(), query="titles")


def test_times_are_utc_and_votes_a_series(home: Path) -> None:
    seen = an_entry(source="hf-daily", entry_id="hf", announce_type=None, trending=True, upvotes=5)
    commit(home, seen, minute=3)
    commit(home, replace(seen, upvotes=8), minute=4)
    rows = sql(home, "SELECT seen_at, upvotes FROM votes ORDER BY seen_at")
    assert rows == [
        ((NOW + timedelta(minutes=3)).replace(tzinfo=None), 5),
        ((NOW + timedelta(minutes=4)).replace(tzinfo=None), 8),
    ]
