"""What a source says again costs one look-up: it is known, whatever it is, until it says something else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

import pytest

from storage.index import Index
from storage.model import Entry, Submission
from tests.builders import NOW, an_entry

DATES = {"announced_on", "published_at", "trending", "text_rank"}  # these come and go without news
OTHER: dict[str, object] = {"version": 7, "authors": ("Other",), "categories": ("q-bio.QM",)}
OTHER |= dict.fromkeys(("upvotes", "comment_count", "stars", "citations"), 3)
OTHER["versions"] = (Submission(1, NOW, 3),)
ENTRIES = [an_entry(entry_id=f"oai:arXiv.org:2606.{n:05}v1", title=f"Paper {n}") for n in range(1_200)]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """A new one."""
    with closing(Index(tmp_path / "index.sqlite")) as made:
        yield made


def test_what_was_recorded_is_said(index: Index) -> None:
    assert index.unsaid(ENTRIES) == ENTRIES
    index.record_said(ENTRIES[:700], now=NOW)
    assert index.unsaid(ENTRIES) == ENTRIES[700:]


def test_what_was_never_asked_for_is_recorded_as_well(index: Index) -> None:
    index.record_said(ENTRIES, now=NOW)
    assert index.unsaid([replace(entry) for entry in ENTRIES]) == []


@pytest.mark.parametrize("name", sorted({f.name for f in fields(Entry)} - DATES))
def test_another_word_id_or_count_is_not_said(index: Index, name: str) -> None:
    index.record_said(ENTRIES[:1], now=NOW)
    other = replace(ENTRIES[0], **{name: OTHER.get(name, "other")})  # type: ignore[arg-type]
    assert index.unsaid([other]) == [other]


def test_of_two_sayings_in_one_batch_the_last_counts(index: Index) -> None:
    first, last = ENTRIES[0], replace(ENTRIES[0], upvotes=1)
    index.record_said([first, last], now=NOW)
    assert index.unsaid([first, last]) == [first]


def test_short_ids_are_told_apart(index: Index) -> None:
    index.record_said([replace(ENTRIES[0], entry_id=str(n)) for n in range(0, 5_000, 2)], now=NOW)
    asked = [replace(ENTRIES[0], entry_id=str(n)) for n in range(5_000)]
    assert index.unsaid(asked) == asked[1::2]


def test_what_was_said_long_ago_is_forgotten(index: Index) -> None:
    index.record_said(ENTRIES[:1], now=NOW)
    index.record_said(ENTRIES[1:2], now=NOW + timedelta(days=91))
    assert index.unsaid(ENTRIES[:2]) == ENTRIES[:1]
