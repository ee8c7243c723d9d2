"""Seven real readers poll fifteen mornings of feeds and are asked what they hold: all of it, once, unread once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from storage.catalog import catalog_path
from storage.text import fold
from tests.readers import table
from tests.readers.following import Followed, Reading, follow_all, readings
from tests.readers.replayed import AUTHORITY, MAIN, OF_TOPIC, REVISIONS, STEMS, Replayed, replay
from tests.readers.sfeed import Sfeed

READINGS = {str(reading): reading for reading in readings()}


@pytest.fixture(scope="module")
def replayed(unpack: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """The fifteen mornings, published once for all readers."""
    return replay(unpack("arxiv_rss_replay"), tmp_path_factory.mktemp("mornings"))


@pytest.fixture(scope="module")
def followed(replayed: Replayed, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Followed]:
    """What came of each reader that is installed."""
    done, _ = follow_all(replayed, tmp_path_factory.mktemp("readers"))
    return {str(one.reading): one for one in done}


@pytest.fixture(params=READINGS)
def one(request: pytest.FixtureRequest, followed: dict[str, Followed]) -> Followed:
    """One reader after another; skips where it is not installed."""
    reading: Reading = READINGS[request.param]
    if reading.missing:
        pytest.skip(f"{reading}: not installed: {' '.join(reading.missing)} (Debian)")
    return followed[request.param]


def as_shipped_goes_by_title(one: Followed) -> bool:
    """sfeed without its one function: told in docs/readers.md, and held against the titles that changed."""
    return one.reading.driver is Sfeed


def test_the_feeds_publish_what_the_archive_has_and_what_was_planted(replayed: Replayed) -> None:
    with duckdb.connect(str(catalog_path(replayed.home)), read_only=True) as connection:
        papers = connection.execute("SELECT paper_id FROM papers WHERE announced_at IS NOT NULL").fetchall()
        kinds = "SELECT kind, count(*) FROM (SELECT unnest(announcements) AS kind FROM revisions) GROUP BY kind"
        told = dict(connection.execute(kinds).fetchall())
    expected = {f"tag:{AUTHORITY},2026:paper/{str(paper_id).replace(':', '/', 1)}" for (paper_id,) in papers}
    assert replayed.published(MAIN).keys() == expected
    assert replayed.published(REVISIONS).keys() == {change.entry_id for change in replayed.changes}
    assert told["revised"] + told["withdrawn"] == len(replayed.changes)
    assert set(told) == {"new", "revised", "withdrawn"}
    assert max(Counter(change.day for change in replayed.changes).values()) > 200


def test_a_paper_stands_once_in_a_feed_and_comes_and_goes_once(replayed: Replayed) -> None:
    for stem in STEMS:
        gone: set[str] = set()
        before: set[str] = set()
        for day in replayed.entries[stem]:
            ids = [entry.id for entry in day]
            assert len(ids) == len(set(ids)), stem
            gone |= before - set(ids)
            assert gone & set(ids) == set(), "what left a feed comes back as news in some readers"
            before = set(ids)


def test_every_published_entry_is_in_its_own_store_once(one: Followed) -> None:
    for stem, feed in one.feeds.items():
        assert feed.published > (80 if stem != MAIN else 1_000), stem
        assert (feed.lost, feed.foreign) == ((), ()), stem
        if not as_shipped_goes_by_title(one):
            assert feed.doubled == (), stem


def test_a_revised_paper_is_not_unread_again_and_every_new_entry_is_once(one: Followed) -> None:
    assert one.silent == ()
    if not as_shipped_goes_by_title(one):
        assert one.again == ()


def test_titles_are_shown_as_they_were_published(one: Followed, replayed: Replayed) -> None:
    published = {
        (entry.id, fold(entry.title)) for stem in one.reading.feeds for day in replayed.entries[stem] for entry in day
    }
    differ = [(i, shown.title) for i, shown in one.shown.items() if (i, fold(shown.title)) not in published]
    assert differ == []


def test_sfeed_as_shipped_doubles_the_papers_whose_title_changed_and_no_other(
    followed: dict[str, Followed], replayed: Replayed
) -> None:
    reading = next(r for r in READINGS.values() if r.driver is Sfeed)
    if reading.missing:
        pytest.skip("sfeed (Debian package sfeed) is not installed")
    for stem in (MAIN, OF_TOPIC, REVISIONS):
        assert set(followed[str(reading)].feeds[stem].doubled) == replayed.renamed(stem)


def test_an_unchanged_feed_costs_a_conditional_reader_no_body(one: Followed) -> None:
    daily = one.reading.every_days == 1
    if issubclass(one.reading.driver, Sfeed) or not daily:
        assert one.unchanged == 0, "it asks without conditions, or is never there on two quiet mornings"
    else:
        assert one.unchanged >= 4 * len(one.feeds), "two weekends"
    assert one.answered == one.polls * len(one.feeds)


def test_the_page_tells_what_was_measured(followed: dict[str, Followed], replayed: Replayed) -> None:
    lines = table.stale(table.rows(replayed, followed.values()))
    assert lines == [], f"docs/readers.md is stale; write it with `{table.COMMAND}`"
    assert set(table.written()) >= set(table.rows(replayed, followed.values()))
