"""Tags lie in lists that are short to publish, and move to a file when they grow long; no one sees where they lie."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from flows.decide import decide
from storage.archive import Archive
from storage.catalog import catalog_path, refresh_catalog
from storage.model import Entry
from storage.settings import Settings, Topic
from tests.builders import NOW, an_entry

PAPERS, BATCH = 10_500, 3_500
TITLES = Topic(slug="titles", title="Titles", query="category:cs.CL title:titles")
SEEING = Topic(slug="seeing", title="Seeing", query="title:seeing")


def commit(home: Path, *entries: Entry, minute: int, topics: tuple[Topic, ...] = (TITLES, SEEING)) -> None:
    """One batch, and papers.duckdb behind it."""
    now = NOW + timedelta(minutes=minute)
    with Archive(home) as archive:
        archive.append(entries, source=entries[0].source, batch_id=now.isoformat(), now=now, decide=decide)
        refresh_catalog(archive, Settings(home=home), topics, now=now)


def numbered(number: int, **changes: Any) -> Entry:
    """One of many papers."""
    said: dict[str, Any] = {"title": f"On {number} Titles", "authors": (f"Ada Example {number}",)}
    return an_entry(arxiv_id=f"2606.{number:05}", entry_id=f"e{number}", **said | changes)


def tags(home: Path) -> set[tuple[str, str, str]]:
    """What papers.duckdb says, each row once."""
    with duckdb.connect(str(catalog_path(home)), read_only=True) as connection:
        rows = connection.execute("SELECT paper_id, topic, reason FROM paper_topics").fetchall()
    assert len(rows) == len(set(rows))
    return set(rows)


def expected(*numbers: int) -> set[tuple[str, str, str]]:
    """The tags of papers that are about titles."""
    return {(f"arxiv:2606.{n:05}", "titles", "category:cs.CL, titles") for n in numbers}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that has announced so many papers that their tags went into a file."""
    path = tmp_path_factory.mktemp("tags")
    for first in range(0, PAPERS, BATCH):
        commit(path, *(numbered(n) for n in range(first + 1, first + BATCH + 1)), minute=first)
    assert list((path / "archive" / "topics").glob("*.parquet"))
    return path


def test_tags_are_the_same_after_they_moved_to_a_file(home: Path) -> None:
    assert tags(home) == expected(*range(1, PAPERS + 1))


def test_a_paper_that_changes_topic_has_only_the_new_tag(home: Path) -> None:
    commit(home, numbered(7, version=2, announce_type="replace", title="Seeing"), minute=PAPERS)
    changed = {("arxiv:2606.00007", "seeing", "seeing")}
    assert tags(home) == expected(*range(1, 7), *range(8, PAPERS + 1)) | changed


def test_a_changed_topic_tags_the_whole_archive_anew(home: Path) -> None:
    other = Topic(slug="titles", title="Titles", query="category:cs.AI")
    commit(home, numbered(PAPERS + 1), minute=PAPERS + 1, topics=(other,))
    assert tags(home) == {(f"arxiv:2606.{n:05}", "titles", "category:cs.AI") for n in range(1, PAPERS + 2)}
