"""What trends: votes lift, time sinks, nobody new is buried, bad counts do no harm, and every score adds up."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.decide import decide
from storage.archive import Archive
from storage.catalog import Catalog, refresh_catalog
from storage.model import Entry
from storage.settings import Settings, Topic
from storage.trending import (
    DAY,
    MONTH,
    NEWCOMER_EVERY,
    PLACES,
    SPANS,
    WEEK,
    Look,
    Score,
    Span,
    Watched,
    board,
    newcomers,
    score,
    typical,
    votes_of,
)
from storage.watched import Watch
from tests.builders import an_entry

AS_OF = datetime(2026, 6, 3, 18, tzinfo=UTC)
USUAL = {"": 10.0}


def a_look(hours_ago: float, upvotes: int | None = None, **counts: int) -> Look:
    """What the list said so many hours before the board."""
    return Look(AS_OF - timedelta(hours=hours_ago), str(counts.pop("source", "list")), upvotes, **counts)


def watched(name: str, listed_hours_ago: float, *looks: Look, **changes: object) -> Watched:
    """A paper with its looks."""
    listed_at = AS_OF - timedelta(hours=listed_hours_ago)
    return replace(Watched(paper_id=name, listed_at=listed_at, looks=looks), **changes)  # type: ignore[arg-type]


def scored(paper: Watched, span: Span = DAY) -> Score:
    return score(paper, span, as_of=AS_OF, usual=USUAL)


SPAN = st.sampled_from(list(SPANS.values()))
COUNT = st.integers(0, 100_000)
HOURS = st.floats(0, 900, allow_nan=False)


@st.composite
def papers(draw: st.DrawFn) -> Watched:
    """A paper with any looks since its listing, counts that rise and fall, from two sources."""
    listed = draw(HOURS)
    looks = draw(
        st.lists(
            st.builds(
                lambda share, source, counts: Look(AS_OF - timedelta(hours=listed * share), source, *counts),
                st.floats(0, 1),
                st.sampled_from(["list", "other"]),
                st.tuples(*[st.none() | COUNT] * 4),
            ),
            max_size=8,
        )
    )
    return watched("p", listed, *looks)


# What lifts and what sinks


@given(papers(), SPAN, st.sampled_from(["upvotes", "comment_count", "stars", "citations"]), st.integers(0, 9), COUNT)
def test_more_of_anything_from_some_moment_on_never_lowers_a_score(
    paper: Watched, span: Span, count: str, first: int, more: int
) -> None:
    since = sorted(look.seen_at for look in paper.looks)[min(first, len(paper.looks) - 1) :][:1]
    looks = tuple(
        look._replace(**{count: getattr(look, count) + more})
        if since and look.seen_at >= since[0] and getattr(look, count) is not None
        else look
        for look in paper.looks
    )
    before, after = scored(paper, span).number, scored(replace(paper, looks=looks), span).number
    assert after >= before - 1e-9 * max(1.0, before)


@given(papers(), SPAN, st.floats(0, 500))
def test_an_older_paper_never_stands_higher_with_the_same_counts(paper: Watched, span: Span, hours: float) -> None:
    older = replace(paper, listed_at=paper.listed_at - timedelta(hours=hours))
    before = scored(paper, span).number
    assert scored(older, span).number <= before + 1e-9 * max(1.0, before)


def test_one_more_vote_lifts_and_one_more_day_sinks() -> None:
    paper = watched("p", 6, a_look(2, 10))
    assert scored(watched("p", 6, a_look(2, 11))).number > scored(paper).number
    assert scored(watched("p", 30, a_look(2, 10))).number < scored(paper).number / 3
    assert scored(watched("p", 6, a_look(2, 10, comment_count=4))).number > scored(paper).number


def test_what_moves_now_passes_what_moved_once() -> None:
    once = watched("once", 60, a_look(50, 300))
    now = watched("now", 60, a_look(50, 20), a_look(2, 60))
    assert [p.score.paper_id for p in board([once, now], DAY, as_of=AS_OF).places] == ["now"]
    assert [p.score.paper_id for p in board([once, now], MONTH, as_of=AS_OF).places] == ["once", "now"]


# Counts as they come: gaps, resets, several sources


@given(papers(), SPAN)
def test_no_count_gains_more_than_was_ever_seen_of_it(paper: Watched, span: Span) -> None:
    s = scored(paper, span)
    seen = [max((getattr(look, n) or 0 for look in paper.looks), default=0) for n in Look._fields[2:]]
    for gained, most in zip((s.votes, s.comments, s.stars, s.citations), seen, strict=True):
        assert 0 <= gained <= most + 1e-6


def test_a_gap_is_a_rate_and_not_a_jump() -> None:
    assert scored(watched("p", 96, a_look(72, 10), a_look(0, 82))).votes == pytest.approx(24)
    assert scored(watched("p", 48, a_look(0, 96))).votes == pytest.approx(48), "seen once: a rate since the listing"


def test_a_misread_number_and_a_count_that_starts_again_do_not_explode() -> None:
    misread = watched("p", 20, a_look(9, 10), a_look(6, 1_000_000), a_look(3, 12))
    assert scored(misread).votes == 12
    again = watched("p", 200, a_look(90, stars=5_000), a_look(20, stars=0), a_look(1, stars=30))
    assert scored(again).stars == 30
    wavering = watched("p", 200, *(a_look(20 - n, stars=5_000 + n % 2) for n in range(20)))
    assert scored(wavering).stars <= 1


def test_sources_that_count_differently_are_not_mixed() -> None:
    looks = (
        a_look(30, citations=40, source=1),
        a_look(20, citations=12, source=2),
        a_look(10, citations=41, source=1),
    )
    assert scored(watched("p", 300, *looks)).citations <= 1


def test_stars_and_citations_from_before_the_listing_are_no_news() -> None:
    assert scored(watched("p", 5, a_look(2, 3, stars=40_000))).stars == 0
    assert scored(watched("p", 5, a_look(4, 3, stars=40_000), a_look(1, 3, stars=40_007))).stars == pytest.approx(7)


def test_votes_from_before_the_first_look_are_no_news_where_the_listing_is_older() -> None:
    old = watched("p", 500, a_look(20, 900), a_look(2, 904), listed_before=True)
    assert scored(old).votes == 4
    assert scored(old).prior == 0


# Nobody new is buried


def a_busy_day() -> list[Watched]:
    """Sixty papers with many votes, from yesterday and today."""
    return [watched(f"busy{n:02}", 2 + n % 30, a_look(1, 20 + n)) for n in range(60)]


def test_a_newcomer_without_a_vote_is_on_the_board_of_the_day_and_says_so() -> None:
    fresh = watched("fresh", 2)
    found = board([*a_busy_day(), fresh], DAY, as_of=AS_OF).places
    place = next(p for p in found if p.score.paper_id == "fresh")
    assert (place.rank, place.newcomer) == (NEWCOMER_EVERY, True)
    assert place.sentence == "Listed 2 hours ago, not voted on yet; some places are for such papers, by lot"
    assert len(found) == PLACES
    assert [p.rank for p in found] == list(range(1, PLACES + 1))


def test_newcomers_never_take_more_than_their_share_and_are_none_of_the_other_boards() -> None:
    many = [watched(f"new{n:03}", 1 + n / 100) for n in range(500)]
    found = board([*a_busy_day(), *many], DAY, as_of=AS_OF).places
    assert [p.rank for p in found if p.newcomer] == list(range(NEWCOMER_EVERY, PLACES + 1, NEWCOMER_EVERY))
    for span in (WEEK, MONTH):
        assert not any(p.newcomer for p in board([*a_busy_day(), *many], span, as_of=AS_OF).places)


def test_the_lot_favours_no_name_and_no_order_and_changes_with_the_day() -> None:
    many = [watched(f"new{n:03}", 1) for n in range(400)]
    drawn = [p.paper_id for p in newcomers(many, as_of=AS_OF)]
    assert drawn == [p.paper_id for p in newcomers(many[::-1], as_of=AS_OF)]
    numbers = [int(name[3:]) for name in drawn[:100]]
    assert 150 < sum(numbers) / len(numbers) < 250, "not the first ones, not the last"
    later = [replace(p, listed_at=p.listed_at + timedelta(days=1)) for p in many]
    assert drawn[:20] != [p.paper_id for p in newcomers(later, as_of=AS_OF + timedelta(days=1))][:20]


def test_newcomers_are_those_of_the_newest_day_with_listings_also_after_a_weekend() -> None:
    friday, monday = datetime(2026, 6, 5, 1, tzinfo=UTC), datetime(2026, 6, 7, 23, tzinfo=UTC)
    paper = Watched(paper_id="p", listed_at=friday)
    before = Watched(paper_id="before", listed_at=friday - timedelta(days=1, hours=1))
    assert [p.paper_id for p in newcomers([paper, before], as_of=monday)] == ["p"]
    assert newcomers([paper], as_of=friday + timedelta(days=30)) == []


def test_a_listed_paper_without_votes_is_given_some_of_what_its_kind_usually_gets() -> None:
    young, old = watched("young", 1, a_look(1, 0)), watched("old", 40, a_look(40, 0))
    assert scored(young).prior > 4
    assert scored(old).prior < 0.6
    assert "so new that about 5 more votes are presumed" in scored(young).sentence
    assert scored(watched("nobody counts", 1)).prior == 0


def test_what_is_usual_comes_from_the_category_where_there_are_enough_papers_of_it() -> None:
    cv = [watched(f"cv{n}", 72, a_look(50, 30), category="cs.CV") for n in range(20)]
    cl = [watched(f"cl{n}", 72, a_look(50, 4), category="cs.CL") for n in range(19)]
    usual = typical([*cv, *cl], as_of=AS_OF)
    assert usual == {"": 30.0, "cs.CV": 30.0}
    assert typical([], as_of=AS_OF) == {}


# Every score is explained


@given(papers(), SPAN)
def test_the_parts_of_a_score_add_up_to_it(paper: Watched, span: Span) -> None:
    s = scored(paper, span)
    assert s.number == pytest.approx(sum(s.points.values()) * s.decay)
    assert s.points["votes"] == s.votes
    assert s.points["comments"] == s.comments / 2
    assert s.points["stars"] == pytest.approx(math.log2(1 + s.stars))
    assert 0 <= s.decay <= 1
    assert s.decay == pytest.approx(0.5 ** (s.listed_for / span.half_life))


def test_a_sentence_says_what_came_and_since_when() -> None:
    looks = (a_look(47, 2, comment_count=0, stars=5), a_look(24, 2, comment_count=0, stars=5))
    paper = watched("p", 48, *looks, a_look(1, 20, comment_count=3, stars=125))
    assert scored(paper).sentence == ("18 votes, 3 comments and 120 new stars in the last 24 hours; listed 2 days ago")
    assert scored(watched("p", 1, a_look(1, 1)), WEEK).sentence.startswith("1 vote in the last 7 days; listed 1 hour")
    assert scored(watched("p", 60, a_look(50, 1))).sentence == "Nothing in the last 24 hours; listed 2 days ago"


@given(st.lists(papers(), max_size=12), SPAN)
def test_a_board_is_ordered_by_its_scores_whatever_order_papers_come_in(found: list[Watched], span: Span) -> None:
    named = [replace(p, paper_id=f"p{n}") for n, p in enumerate(found)]
    made = board(named, span, as_of=AS_OF)
    assert made == board(named[::-1], span, as_of=AS_OF)
    ranked = [p.score.number for p in made.places if not p.newcomer]
    assert ranked == sorted(ranked, reverse=True)
    assert len({p.score.paper_id for p in made.places}) == len(made.places)


def test_the_votes_of_a_place_begin_at_the_listing_and_never_fall() -> None:
    paper = watched("p", 10, a_look(8, 3), a_look(4, 9), a_look(2, 7))
    votes = votes_of(paper, as_of=AS_OF)
    assert votes[0] == (paper.listed_at, 0)
    assert votes[-1] == (AS_OF, 7)
    assert [v for _, v in votes] == sorted(v for _, v in votes)
    assert votes_of(watched("p", 1), as_of=AS_OF) == ()


# What the archive gives


def a_listing(number: int, votes: int, day: date = date(2026, 6, 2), **changes: object) -> Entry:
    """A paper on a curated list."""
    values: dict[str, object] = {
        "source": "hf-daily",
        "entry_id": f"2606.{number:05}",
        "arxiv_id": f"2606.{number:05}",
        "title": f"Paper number {number} of the list",
        "upvotes": votes,
        "comment_count": 0,
        "announced_on": day,
        "announce_type": None,
        "version": None,
        "trending": True,
        "text_rank": 0,
    }
    return an_entry(**(values | changes))


class House:
    """An archive that reads lists at times that a test says."""

    def __init__(self, home: Path) -> None:
        self.home, self.topics = home, (Topic(slug="nlp", title="NLP", query="category:cs.CL"),)

    def read(self, at: datetime, *entries: Entry) -> None:
        with Archive(self.home) as archive:
            archive.append(entries, source=entries[0].source, batch_id=f"{at}", now=at, decide=decide)
            refresh_catalog(archive, Settings(home=self.home), self.topics, now=at)

    def watch(self) -> Watch:
        with Catalog(self.home) as catalog:
            return catalog.watch()

    def ranked(self, span: Span = DAY, topic: str | None = None) -> Sequence[tuple[str, float, bool]]:
        seen = self.watch()
        found = board(seen.papers, span, as_of=seen.as_of, topic=topic).places
        return [(p.score.paper_id, round(p.score.votes, 2), p.newcomer) for p in found]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


MORNING = datetime(2026, 6, 2, 8, tzinfo=UTC)


def test_looks_of_the_archive_become_series_as_of_its_newest_commit(house: House) -> None:
    house.read(MORNING, a_listing(1, 5), a_listing(2, 0))
    house.read(MORNING + timedelta(hours=6), a_listing(1, 9), a_listing(2, 0))
    seen = house.watch()
    assert seen.as_of == MORNING + timedelta(hours=6)
    assert [(p.paper_id, p.listed_at, [look.upvotes for look in p.looks]) for p in seen.papers] == [
        ("arxiv:2606.00001", MORNING, [5, 9]),
        ("arxiv:2606.00002", MORNING, [0]),
    ]
    assert house.ranked() == [("arxiv:2606.00001", 9, False), ("arxiv:2606.00002", 0, True)]
    assert house.ranked(topic="nlp") == house.ranked()
    assert house.ranked(topic="gone") == []


def test_a_list_that_was_read_late_was_listed_on_its_day(house: House) -> None:
    house.read(MORNING + timedelta(days=6), a_listing(1, 50))
    (paper,) = house.watch().papers
    assert paper.listed_at == datetime(2026, 6, 2, 12, tzinfo=UTC)
    assert house.ranked()[0][1] < 10, "most of it came before"


def test_a_paper_that_arxiv_told_of_just_now_is_a_newcomer_without_any_count(house: House) -> None:
    house.read(MORNING, a_listing(1, 5))
    house.read(MORNING + timedelta(hours=20), an_entry(arxiv_id="2606.00012"))
    assert house.ranked() == [("arxiv:2606.00001", 5, False), ("arxiv:2606.00012", 0, True)]


def test_a_withdrawn_paper_is_on_no_board_also_where_its_withdrawal_came_without_counts(house: House) -> None:
    house.read(MORNING, a_listing(1, 5), a_listing(2, 7))
    notice = "This paper has been withdrawn by its authors."
    house.read(MORNING + timedelta(days=5), an_entry(arxiv_id="2606.00001", abstract=notice, version=2))
    assert [p for p, _, _ in house.ranked(WEEK)] == ["arxiv:2606.00002"]


def test_a_merged_paper_brings_its_votes_along_until_it_is_split_again(house: House) -> None:
    house.read(MORNING, a_listing(2, 7), a_listing(3, 2))
    with Archive(house.home) as archive:
        archive.merge("arxiv:2606.00003", "arxiv:2606.00002", reason="the same", now=MORNING + timedelta(hours=2))
        refresh_catalog(archive, Settings(home=house.home), house.topics, now=MORNING)
    assert [(p, votes) for p, votes, _ in house.ranked()] == [("arxiv:2606.00003", 7)]
    with Archive(house.home) as archive:
        archive.split("arxiv:2606.00002", reason="no", now=MORNING + timedelta(hours=3))
        refresh_catalog(archive, Settings(home=house.home), house.topics, now=MORNING)
    assert [p for p, _, _ in house.ranked()] == ["arxiv:2606.00002", "arxiv:2606.00003"]


def test_counts_of_five_weeks_ago_are_read_no_more_and_explode_nothing(house: House) -> None:
    house.read(MORNING, a_listing(1, 500), a_listing(2, 40))
    house.read(MORNING + timedelta(days=60), a_listing(1, 503), a_listing(3, 2, date(2026, 8, 1)))
    found = {p: votes for p, votes, _ in house.ranked(MONTH)}
    assert found == {"arxiv:2606.00003": 2}, "of 500 votes nobody knows when the last three came"


def test_the_front_page_shows_the_board_of_the_day_else_of_the_week(house: House) -> None:
    house.read(MORNING, a_listing(1, 5), a_listing(2, 9))
    house.read(MORNING + timedelta(hours=2), a_listing(1, 50), a_listing(2, 10))
    with Catalog(house.home) as catalog:
        assert [t.paper.upvotes for t in catalog.trending(5)] == [50, 10]
        assert [t.paper.upvotes for t in catalog.trending(1)] == [50]
    quiet = MORNING + timedelta(days=3)
    house.read(quiet, an_entry(arxiv_id="2606.00012"))
    with Catalog(house.home) as catalog:
        assert [t.paper.upvotes for t in catalog.trending(5)] == [50, 10]


def test_an_archive_without_a_commit_has_an_empty_board(house: House) -> None:
    with Archive(house.home) as archive:
        refresh_catalog(archive, Settings(home=house.home), house.topics, now=MORNING)
    assert house.watch().papers == ()
    with Catalog(house.home) as catalog:
        assert catalog.trending() == []


def test_every_word_of_a_sentence_is_plain() -> None:
    for hours in (0.2, 1, 5, 47, 48, 500):
        said = scored(watched("p", hours, a_look(hours, 3))).sentence
        assert re.fullmatch(r"[A-Z0-9][A-Za-z0-9 ;,]+", said), said
