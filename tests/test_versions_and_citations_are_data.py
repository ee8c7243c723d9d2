"""When a paper's versions came and how often it is cited is kept and can be asked for; it is never news."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest

from flows.decide import decide
from publishers.life import life
from storage import merging
from storage.archive import Archive
from storage.catalog import Catalog, refresh_catalog
from storage.model import Announcement, Entry, Paper, Submission
from storage.revisions import FIELDS, changes_between
from storage.settings import Limits, Settings
from storage.text import VERSIONS_MAX, clean
from tests.builders import NOW, a_paper, an_entry
from tests.page_builders import a_revision, a_sighting

FIRST, SECOND, THIRD = (Submission(n, datetime(2024, 4, n, 17, 0, 5, tzinfo=UTC), 10_000 * n) for n in (1, 2, 3))
UNSIZED = replace(FIRST, size_bytes=None)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """A new one."""
    with Archive(tmp_path) as made:
        yield made


def told(archive: Archive, *entries: Entry) -> Paper:
    """The paper after these entries, an hour apart; all of them after the first are no news."""
    for number, entry in enumerate(entries):
        now = NOW + timedelta(hours=number)
        commit = archive.append([entry], source=entry.source, batch_id=f"{now}", now=now, decide=decide)
        assert number == 0 or not commit.announcements
    (paper,) = archive.papers(["arxiv:2606.00012"]).values()
    return paper


def harvested(**changes: object) -> Entry:
    """The same paper as OAI-PMH tells of it."""
    return an_entry(
        **{"source": "arxiv-oai", "entry_id": "oai:arXiv.org:2606.00012", "announce_type": "update"} | changes
    )


def test_every_version_a_source_tells_of_is_kept_once_in_order(archive: Archive) -> None:
    entries = [an_entry(), harvested(versions=(FIRST, SECOND)), harvested(versions=(THIRD, SECOND))]
    assert told(archive, *entries).versions == (FIRST, SECOND, THIRD)
    assert [i.paper.versions for i in archive.history("arxiv:2606.00012")] == [
        *((), (FIRST, SECOND)),
        (FIRST, SECOND, THIRD),
    ]


@pytest.mark.parametrize("said", [*permutations([(UNSIZED,), (FIRST,), (SECOND, THIRD)])])
def test_in_whatever_order_they_are_told_they_end_the_same(
    said: tuple[tuple[Submission, ...], ...], archive: Archive
) -> None:
    assert told(archive, *(harvested(versions=versions) for versions in said)).versions == (FIRST, SECOND, THIRD)


def test_a_known_date_and_size_stay(archive: Archive) -> None:
    other = Submission(1, FIRST.submitted_at + timedelta(days=1), 1)
    assert told(archive, harvested(versions=(FIRST,)), harvested(versions=(other,))).versions == (FIRST,)


def test_they_are_no_revision_and_move_nothing_readers_see(archive: Archive) -> None:
    before = told(archive, an_entry())
    entry = an_entry(versions=(FIRST, SECOND), citations=4)
    commit = archive.append([entry], source="s", batch_id="more", now=NOW + timedelta(days=1), decide=decide)
    assert (commit.papers, commit.announcements) == (1, {})
    (after,) = archive.papers([before.paper_id]).values()
    assert after == replace(before, versions=(FIRST, SECOND), citations=4)
    assert changes_between(before, after) == ()
    assert not {"versions", "citations"} & {*FIELDS}


def test_a_repeat_of_them_costs_nothing_and_another_count_is_seen(archive: Archive) -> None:
    entry = an_entry(citations=4, versions=(FIRST,))
    for number, (said, papers) in enumerate(((entry, 1), (entry, 0), (replace(entry, citations=5), 1))):
        commit = archive.append([said], source="s", batch_id=f"{number}", now=NOW, decide=decide)
        assert commit.papers == papers


def test_a_source_that_does_not_say_takes_no_count_away(archive: Archive) -> None:
    assert told(archive, harvested(citations=4), harvested(citations=None, categories=("cs.LG",))).citations == 4


def test_sql_tells_of_citations_over_time_and_of_every_version(archive: Archive) -> None:
    told(archive, an_entry(), harvested(versions=(UNSIZED, SECOND), citations=0), harvested(citations=12))
    refresh_catalog(archive, Settings(home=archive.home), (), now=NOW)
    with Catalog(archive.home) as catalog:
        assert [r["citations"] for r in catalog.rows("SELECT * FROM votes ORDER BY seen_at")] == [0, 12]
        assert [r["citations"] for r in catalog.rows("SELECT citations FROM sightings ORDER BY seen_at")] == [
            None,
            0,
            12,
        ]
        assert catalog.rows("SELECT citations, len(versions) AS n FROM papers") == [{"citations": 12, "n": 2}]
        assert [tuple(r.values()) for r in catalog.rows("SELECT * FROM versions ORDER BY version")] == [
            ("arxiv:2606.00012", 1, datetime(2024, 4, 1, 17, 0, 5), None),  # noqa: DTZ001 - as SQL has it
            ("arxiv:2606.00012", 2, datetime(2024, 4, 2, 17, 0, 5), 20_000),  # noqa: DTZ001
        ]
        (tagged,) = catalog.papers(["arxiv:2606.00012"])
        assert tagged.paper.versions == (UNSIZED, SECOND)


def test_what_no_server_can_mean_is_left_out() -> None:
    day = FIRST.submitted_at
    said = [Submission(n, day, 1) for n in (-1, 0, VERSIONS_MAX + 1)]
    said += [Submission(2, day.replace(year=year), 1) for year in (1, 1899, 2200, 9999)]
    cleaned = clean(an_entry(versions=(*said, SECOND, THIRD, FIRST, replace(FIRST, size_bytes=7))), Limits())
    assert cleaned.versions == (FIRST, SECOND, THIRD)
    assert clean(an_entry(versions=(replace(FIRST, size_bytes=-1),)), Limits()).versions == (UNSIZED,)
    counts = {citations: clean(an_entry(citations=citations), Limits()).citations for citations in (-1, 0, 2**31, None)}
    assert counts == {-1: None, 0: 0, 2**31: None, None: None}


def test_a_merged_paper_has_the_longer_list_and_the_known_count() -> None:
    one = a_paper(versions=(FIRST,), citations=None)
    other = a_paper(paper_id="doi:10.1000/x", aliases=("doi:10.1000/x",), versions=(FIRST, SECOND), citations=3)
    whole, gone = merging.merged(one, other)
    assert (whole.versions, whole.citations) == ((FIRST, SECOND), 3)
    kept, apart = merging.parted(whole, one, replace(gone, versions=other.versions, aliases=other.aliases))
    assert (kept.versions, kept.citations) == ((FIRST,), None)
    assert (apart.versions, apart.citations) == ((FIRST, SECOND), 3)
    assert merging.merged(other, one)[0].versions == (FIRST, SECOND)


# What readers see


def test_a_life_tells_once_of_the_versions_that_were_never_seen_here() -> None:
    second, third = (a_paper(version=n, versions=(FIRST, SECOND, THIRD)) for n in (2, 3))
    rows = [a_revision(second, Announcement.NEW), a_revision(third, Announcement.REVISED, changes=("version", "title"))]
    sightings = [a_sighting(Announcement.NEW, version=2), a_sighting(Announcement.REVISED, version=3)]
    events = life(third, rows, sightings)
    assert [e.title for e in events] == ["v1 submitted", "Announced", "Version 3"]
    assert (events[0].day.isoformat(), events[0].kind, events[0].detail) == ("2024-04-01", None, "")


def test_a_paper_that_came_with_a_backfill_has_all_its_versions_in_its_life() -> None:
    paper = a_paper(version=3, versions=(FIRST, SECOND, THIRD), announced_at=None)
    assert [e.title for e in life(paper, (), ())] == ["v1 submitted", "v2 submitted", "v3 submitted"]


def test_of_very_many_versions_a_life_tells_the_first_and_the_last() -> None:
    many = tuple(Submission(n, FIRST.submitted_at + timedelta(days=n), None) for n in range(1, 101))
    events = life(a_paper(version=100, versions=many, announced_at=None), (), ())
    assert [e.title for e in events] == ["v1 submitted", *(f"v{n} submitted" for n in range(90, 101))]
    assert events[0].detail == "and 88 more versions until the next"
