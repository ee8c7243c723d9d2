"""What a source did not bring is seen, called by its name, and made up for: never taken for "no news".

Each fault that arXiv, Hugging Face and journals were seen to have is planted in a local server and read by the real
pipeline. The table at the end (-s) has what the ledger said after each read.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from flows.parsing import Parser
from storage.coverage import State, Verdict
from storage.settings import Limits
from tests.announcing import JOURNAL, LISTS, OAI, RSS, Announcers, at, batch, journal, numbers
from tests.newsroom import arxiv_refusal
from tests.servers import Answer, Server

USUAL = 40  # papers of arXiv a day
BEFORE = [date(2026, 6, day) for day in (1, 2, 3, 4, 5, 8)]
MONDAY, TUESDAY, WEDNESDAY, THURSDAY = (date(2026, 6, day) for day in (8, 9, 10, 11))
TABLE: list[tuple[str, datetime, Verdict | None]] = []


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with Parser(Limits()) as parser:
        yield parser


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory, parser: Parser) -> Path:
    """An installation that has read six good days of each source."""
    home = tmp_path_factory.mktemp("well")
    with Server() as server:
        all_is_well(Announcers(home=home, server=server, parser=parser))
    return home


@pytest.fixture
def world(well: Path, tmp_path: Path, parser: Parser) -> Iterator[Announcers]:
    """A copy of it, on the evening of Monday 8 June."""
    shutil.copytree(well, tmp_path, dirs_exist_ok=True)
    with Server() as server:
        world = Announcers(home=tmp_path, server=server, parser=parser)
        world.lists = lists_until(MONDAY)
        yield world


def all_is_well(world: Announcers) -> None:
    """Six days on which everything comes in time."""
    for day in BEFORE:
        world.rss = batch(day, numbers(day, USUAL))
        world.lists = lists_until(day)
        world.journal = journal(*(f"{day}-{n}" for n in range(3)), *(f"kept-{n}" for n in range(5)))
        for name in (RSS, LISTS, JOURNAL):
            report = world.read(name, at(day, 20))
            assert (report.error, report.trouble) == (None, ())


def lists_until(day: date) -> dict[str, list[str] | Answer]:
    """A list for every weekday of the fortnight until a day."""
    days = [day - timedelta(days=n) for n in range(14)]
    return {str(day): list(numbers(day, 24)) for day in days if day.weekday() < 5}


class Story:
    """Reads on, and keeps what the ledger says after each read."""

    def __init__(self, name: str, world: Announcers) -> None:
        self.name, self.world = name, world

    def read(self, source: str, now: datetime, *, judged: date, of: str = "") -> Verdict:
        """Read a source; returns what a day of it, or of another source, then is."""
        self.world.read(source, now)
        found = self.world.verdict(of or source, judged, now)
        TABLE.append((self.name, now, found))
        assert found is not None
        return found


def is_missing(found: Verdict, state: State, why: str) -> bool:
    """Whether something is missing, and is called so."""
    return (found.missing, found.state) == (True, state) and why in found.why


def is_healed(found: Verdict, was: State) -> bool:
    """Whether it was missing and is no more."""
    return not found.missing and found.was is was and found.healed_at is not None


# arXiv's feed


def test_a_stale_batch_under_todays_date(world: Announcers) -> None:
    story = Story("a stale batch under today's date", world)
    world.rss = batch(TUESDAY, numbers(MONDAY, USUAL))
    found = story.read(RSS, at(TUESDAY, 8), judged=TUESDAY)
    assert is_missing(found, State.STALE, "40 of its 40 entries are those of the batch before")
    world.rss = batch(TUESDAY, numbers(TUESDAY, USUAL))
    found = story.read(RSS, at(TUESDAY, 13), judged=TUESDAY)
    assert found.state is State.COMPLETE
    assert is_healed(found, State.STALE)
    assert set(world.announced(numbers(TUESDAY, USUAL)).values()) == {1}


def test_a_stale_batch_after_the_good_one_takes_nothing_back(world: Announcers) -> None:
    world.rss = batch(TUESDAY, numbers(TUESDAY, USUAL))
    world.read(RSS, at(TUESDAY, 8))
    world.rss = batch(TUESDAY, numbers(MONDAY, USUAL))
    world.read(RSS, at(TUESDAY, 13))
    found = world.verdict(RSS, TUESDAY, at(TUESDAY, 13))
    assert found is not None
    assert (found.state, found.came) == (State.COMPLETE, USUAL)


def test_a_date_that_lags_a_day_behind(world: Announcers) -> None:
    story = Story("a date that lags a day", world)
    world.rss = batch(MONDAY, numbers(MONDAY, USUAL))
    found = story.read(RSS, at(TUESDAY, 8), judged=TUESDAY)
    assert is_missing(found, State.LATE, "it showed the batch of 2026-06-08 instead")
    world.rss = batch(TUESDAY, numbers(TUESDAY, USUAL))
    assert is_healed(story.read(RSS, at(WEDNESDAY, 8), judged=TUESDAY), State.LATE)
    found = story.read(RSS, at(WEDNESDAY, 9), judged=WEDNESDAY)
    assert is_missing(found, State.LATE, "it showed the batch of 2026-06-09 instead")
    world.rss = batch(WEDNESDAY, numbers(WEDNESDAY, USUAL))
    assert is_healed(story.read(RSS, at(WEDNESDAY, 13), judged=WEDNESDAY), State.LATE)
    both = [*numbers(TUESDAY, USUAL), *numbers(WEDNESDAY, USUAL)]
    assert set(world.announced(both).values()) == {1}


def test_a_batch_that_is_lost_to_the_feed_comes_by_another_way_once_with_its_true_date(world: Announcers) -> None:
    story = Story("a batch lost to the feed", world)
    world.hold(numbers(MONDAY, USUAL), MONDAY, submitted=date(2026, 6, 5))
    world.read(OAI, at(MONDAY, 21))
    world.rss = batch(TUESDAY, numbers(MONDAY, USUAL))
    world.read(RSS, at(TUESDAY, 20))
    world.rss = batch(WEDNESDAY, numbers(WEDNESDAY, USUAL))
    found = story.read(RSS, at(WEDNESDAY, 8), judged=TUESDAY)
    assert is_missing(found, State.STALE, "those of the batch before")
    lost = numbers(TUESDAY, USUAL)
    assert set(world.announced(lost).values()) == {0}
    world.hold(lost, TUESDAY, submitted=MONDAY)
    world.hold(numbers(WEDNESDAY, USUAL), WEDNESDAY, submitted=TUESDAY)
    found = story.read(OAI, at(WEDNESDAY, 18), judged=TUESDAY, of=RSS)
    assert is_healed(found, State.STALE)
    assert found.why.startswith("arxiv-oai:cs.CL has read past it")
    assert (found.came, found.late) == (USUAL, USUAL)
    world.read(RSS, at(WEDNESDAY, 19))
    world.read(OAI, at(THURSDAY, 6))
    assert set(world.announced([*lost, *numbers(WEDNESDAY, USUAL)]).values()) == {1}
    dates = world.sql(
        "SELECT DISTINCT announced_on::VARCHAR, announced_at::DATE::VARCHAR FROM papers "
        "WHERE paper_id IN (SELECT unnest(?))",
        *(f"arxiv:{name}" for name in lost),
    )
    assert dates == [("2026-06-09", "2026-06-10")], "filed under the day of its batch, told when it came"


def test_a_day_that_nobody_read(world: Announcers) -> None:
    story = Story("a day that nobody read", world)
    world.hold(numbers(MONDAY, USUAL), MONDAY, submitted=date(2026, 6, 5))
    world.read(OAI, at(MONDAY, 21))
    world.rss = batch(WEDNESDAY, numbers(WEDNESDAY, USUAL))
    found = story.read(RSS, at(WEDNESDAY, 8), judged=TUESDAY)
    assert is_missing(found, State.FAILED, "the batch was never read")
    world.hold(numbers(TUESDAY, USUAL), TUESDAY, submitted=MONDAY)
    assert is_healed(story.read(OAI, at(WEDNESDAY, 18), judged=TUESDAY, of=RSS), State.FAILED)
    assert set(world.announced(numbers(TUESDAY, USUAL)).values()) == {1}


def test_the_other_way_makes_up_for_nothing_it_has_not_read_to_its_end(world: Announcers) -> None:
    world.hold(numbers(MONDAY, USUAL), MONDAY, submitted=date(2026, 6, 5))
    world.read(OAI, at(MONDAY, 21))
    world.rss = Answer(status=503)
    world.read(RSS, at(TUESDAY, 8))
    world.hold(numbers(TUESDAY, USUAL), TUESDAY, submitted=MONDAY)
    world.read(OAI, at(TUESDAY, 18))  # the day is not over: more may change in it
    found = world.verdict(RSS, TUESDAY, at(TUESDAY, 18))
    assert found is not None
    assert found.missing
    world.repository.page_size, broken = 10, 0

    def breaks(repository: object) -> None:
        world.server.routes["/oai"] = Answer(status=500)

    world.repository.after_a_page = breaks
    world.read(OAI, at(WEDNESDAY, 6))
    assert broken == 0
    found = world.verdict(RSS, TUESDAY, at(WEDNESDAY, 6))
    assert found is not None
    assert found.missing
    own = world.verdict(OAI, WEDNESDAY, at(WEDNESDAY, 6))
    assert own is not None
    assert own.missing


def test_an_error_feed_with_status_400(world: Announcers) -> None:
    story = Story("an error feed with status 400", world)
    world.rss = Answer(status=400, body=arxiv_refusal("cs.CL"), headers={"Content-Type": "text/xml"})
    found = story.read(RSS, at(TUESDAY, 8), judged=TUESDAY)
    assert is_missing(found, State.FAILED, "arXiv refuses the query: Bad archive 'cs.CL'")
    world.rss = batch(TUESDAY, numbers(TUESDAY, USUAL))
    assert is_healed(story.read(RSS, at(TUESDAY, 13), judged=TUESDAY), State.FAILED)


def test_an_empty_list_on_a_working_day(world: Announcers) -> None:
    story = Story("an empty list with status 200", world)
    world.rss = batch(TUESDAY, [])
    found = story.read(RSS, at(TUESDAY, 8), judged=TUESDAY)
    assert is_missing(found, State.LATE, "it is empty on a working day; such a day has at least 7")
    world.rss = batch(TUESDAY, numbers(TUESDAY, USUAL))
    assert is_healed(story.read(RSS, at(TUESDAY, 13), judged=TUESDAY), State.LATE)


def test_an_answer_without_a_body(world: Announcers) -> None:
    story = Story("an empty body with status 200", world)
    world.rss = Answer(body=b"")
    assert is_missing(story.read(RSS, at(TUESDAY, 8), judged=TUESDAY), State.FAILED, "empty")
    world.rss = batch(TUESDAY, numbers(TUESDAY, USUAL))
    assert is_healed(story.read(RSS, at(TUESDAY, 13), judged=TUESDAY), State.FAILED)


def test_a_list_that_is_cut_at_its_limit(world: Announcers) -> None:
    story = Story("2,500 entries in one feed", world)
    many = numbers(TUESDAY, 999) + numbers(date(2026, 6, 20), 999) + numbers(date(2026, 6, 21), 502)
    world.rss = batch(TUESDAY, many)
    found = story.read(RSS, at(TUESDAY, 8), judged=TUESDAY)
    assert is_missing(found, State.PARTIAL, "the list is cut at 2,000 entries")
    assert found.came == len(many) == 2_500
    assert set(world.announced(many).values()) == {1}
    world.hold(numbers(date(2026, 6, 22), 30), TUESDAY, submitted=MONDAY)
    world.read(OAI, at(TUESDAY, 18))
    assert is_healed(story.read(OAI, at(WEDNESDAY, 18), judged=TUESDAY, of=RSS), State.PARTIAL)
    assert set(world.announced(numbers(date(2026, 6, 22), 30)).values()) == {1}


def test_half_a_batch_is_less_than_such_a_day_brings(world: Announcers) -> None:
    story = Story("a sixth of a batch", world)
    world.rss = batch(TUESDAY, numbers(TUESDAY, 6))
    found = story.read(RSS, at(TUESDAY, 8), judged=TUESDAY)
    assert is_missing(found, State.PARTIAL, "6 came; on such a day at least 7 do")
    world.rss = batch(TUESDAY, numbers(TUESDAY, USUAL))
    found = story.read(RSS, at(TUESDAY, 13), judged=TUESDAY)
    assert is_healed(found, State.PARTIAL)
    assert set(world.announced(numbers(TUESDAY, USUAL)).values()) == {1}


def test_a_quiet_holiday_and_a_weekend_raise_no_alarm(world: Announcers) -> None:
    story = Story("a holiday and a weekend", world)
    for number in range(9, 19):
        day = date(2026, 6, number)
        if day.weekday() < 5:
            world.rss = batch(day, numbers(day, USUAL))
            world.lists[str(day)] = numbers(day, 24)
            world.read(RSS, at(day, 20))
            world.read(LISTS, at(day, 20))
    for number in (19, 20, 21):  # Juneteenth, and the weekend after it
        day = date(2026, 6, number)
        world.rss = batch(day, [])
        found = story.read(RSS, at(day, 20), judged=day)
        assert (found.state, found.missing, found.missed_at) == (State.QUIET, False, None)
        world.read(LISTS, at(day, 20))
    found = story.read(LISTS, at(date(2026, 6, 22), 8), judged=date(2026, 6, 19))
    assert (found.state, found.missing, found.missed_at) == (State.QUIET, False, None)


# arXiv's OAI-PMH


def test_records_lost_between_two_pages_while_others_change(world: Announcers) -> None:
    story = Story("a range lost to concurrent updates", world)
    names = numbers(TUESDAY, 30)
    world.hold(names, TUESDAY, submitted=MONDAY)
    world.repository.page_size = 10
    moved: list[str] = []

    def change(_: object) -> None:
        """Three records of a first page that is out change, so those behind it move up: three are skipped."""
        world.repository.after_a_page = change if len(moved) < 9 else None
        if "resumptionToken" not in world.repository.asked[-1]:
            for name in names[len(moved) : len(moved) + 3]:
                world.repository.change(name, str(WEDNESDAY))
                moved.append(name)

    world.repository.after_a_page = change
    found = story.read(OAI, at(WEDNESDAY, 6), judged=WEDNESDAY)
    assert is_missing(found, State.PARTIAL, "the list went on changing through 3 reads of it")
    found = story.read(OAI, at(WEDNESDAY, 18), judged=WEDNESDAY)
    assert is_healed(found, State.PARTIAL)
    assert set(world.announced(names).values()) == {1}


def test_a_run_of_ids_that_nobody_lists(world: Announcers) -> None:
    story = Story("a run of ids that is not listed", world)
    world.reads_all = True
    world.hold(numbers(MONDAY, 30), MONDAY, submitted=date(2026, 6, 5))
    world.read(OAI, at(MONDAY, 21))
    names = numbers(MONDAY, 60)[30:]  # numbers go on from day to day
    world.hold([*names[:10], *names[14:18], *names[24:]], TUESDAY, submitted=MONDAY)  # without 4 in a row, and 6
    found = story.read(OAI, at(WEDNESDAY, 6), judged=WEDNESDAY)
    assert is_missing(found, State.PARTIAL, "6 ids in a row are unknown, 2606.08049 to 2606.08054")
    assert "08041" not in found.why, "four may be papers that are held"
    world.hold(names, TUESDAY, submitted=MONDAY)
    assert is_healed(story.read(OAI, at(WEDNESDAY, 18), judged=WEDNESDAY), State.PARTIAL)
    assert set(world.announced(names).values()) == {1}


def test_what_the_feed_lacked_is_counted_against_its_batch(world: Announcers) -> None:
    story = Story("a batch that lacked eight papers", world)
    names = numbers(TUESDAY, USUAL)
    world.rss = batch(TUESDAY, names[:32])
    world.read(RSS, at(TUESDAY, 20))
    world.hold(names, TUESDAY, submitted=MONDAY)
    found = story.read(OAI, at(WEDNESDAY, 6), judged=TUESDAY, of=RSS)
    assert (found.state, found.came, found.late) == (State.COMPLETE, USUAL, 8)
    assert found.why == "8 came by another source"
    assert set(world.announced(names).values()) == {1}


def test_a_read_that_broke_off_at_a_page(world: Announcers) -> None:
    story = Story("a harvest that broke off", world)
    names = numbers(TUESDAY, 30)
    world.hold(names, TUESDAY, submitted=MONDAY)
    world.repository.page_size = 10
    answers = world.server.routes["/oai"]
    world.repository.after_a_page = lambda _: world.server.routes.update({"/oai": Answer(status=500)})
    found = story.read(OAI, at(WEDNESDAY, 6), judged=WEDNESDAY)
    assert found.missing
    assert found.state is State.PARTIAL
    world.server.routes["/oai"] = answers
    assert is_healed(story.read(OAI, at(WEDNESDAY, 18), judged=WEDNESDAY), State.PARTIAL)
    assert set(world.announced(names).values()) == {1}


# Hugging Face's lists


def test_half_a_daily_list(world: Announcers) -> None:
    story = Story("half a Hugging Face day", world)
    whole = numbers(TUESDAY, 24)
    world.lists[str(TUESDAY)] = whole[:12]
    found = story.read(LISTS, at(TUESDAY, 13), judged=TUESDAY)
    assert (found.state, found.missing) == (State.PARTIAL, False), "its day is not over: nothing is known to be missing"
    world.lists[str(TUESDAY)] = whole
    found = story.read(LISTS, at(WEDNESDAY, 7), judged=TUESDAY)
    assert (found.state, found.missing) == (State.PARTIAL, False), "it has grown: a second look must find nothing more"
    found = story.read(LISTS, at(WEDNESDAY, 13), judged=TUESDAY)
    assert (found.state, found.came, found.late) == (State.COMPLETE, 24, 12)
    assert found.why == "12 came after its day was over"


def test_a_daily_list_that_shrinks_takes_nothing_back(world: Announcers) -> None:
    world.lists[str(TUESDAY)] = numbers(TUESDAY, 24)
    world.read(LISTS, at(TUESDAY, 20))
    world.lists[str(TUESDAY)] = numbers(TUESDAY, 12)
    world.read(LISTS, at(WEDNESDAY, 7))
    found = world.verdict(LISTS, TUESDAY, at(WEDNESDAY, 7))
    assert found is not None
    assert (found.state, found.came) == (State.COMPLETE, 24)


def test_a_daily_list_that_is_not_looked_at_again_is_missing(world: Announcers) -> None:
    world.lists[str(TUESDAY)] = numbers(TUESDAY, 12)
    world.read(LISTS, at(TUESDAY, 13))
    found = world.verdict(LISTS, TUESDAY, at(WEDNESDAY, 13))
    assert found is not None
    assert is_missing(found, State.PARTIAL, "it was not read since its day ended")


def test_an_empty_daily_list(world: Announcers) -> None:
    story = Story("an empty Hugging Face day", world)
    world.lists[str(TUESDAY)] = []
    found = story.read(LISTS, at(WEDNESDAY, 7), judged=TUESDAY)
    assert is_missing(found, State.LATE, "it is empty on a working day")
    world.lists[str(TUESDAY)] = numbers(TUESDAY, 24)
    story.read(LISTS, at(WEDNESDAY, 13), judged=TUESDAY)
    assert is_healed(story.read(LISTS, at(WEDNESDAY, 19), judged=TUESDAY), State.LATE)


def test_a_daily_list_that_cannot_be_read(world: Announcers) -> None:
    story = Story("a Hugging Face error inside 200", world)
    world.lists[str(TUESDAY)] = Answer(body=b'{"error": "try again later"}')
    found = story.read(LISTS, at(WEDNESDAY, 7), judged=TUESDAY)
    assert is_missing(found, State.FAILED, "try again later")
    world.lists[str(TUESDAY)] = numbers(TUESDAY, 24)
    story.read(LISTS, at(WEDNESDAY, 13), judged=TUESDAY)
    assert is_healed(story.read(LISTS, at(WEDNESDAY, 19), judged=TUESDAY), State.FAILED)


# A journal's feed


def test_a_feed_from_which_everything_has_gone_since(world: Announcers) -> None:
    story = Story("a feed that moved on", world)
    world.journal = journal(*(f"later-{n}" for n in range(8)))
    found = story.read(JOURNAL, at(TUESDAY, 8), judged=TUESDAY)
    assert is_missing(found, State.PARTIAL, "none of the 8 entries listed before is left")


def test_an_empty_feed(world: Announcers) -> None:
    story = Story("a feed that is empty", world)
    world.journal = journal()
    found = story.read(JOURNAL, at(TUESDAY, 8), judged=TUESDAY)
    assert is_missing(found, State.LATE, "it lists nothing, and did before")
    world.journal = journal("kept-0", "fresh")
    assert is_healed(story.read(JOURNAL, at(TUESDAY, 13), judged=TUESDAY), State.LATE)


def test_a_feed_with_nothing_new_is_quiet(world: Announcers) -> None:
    story = Story("a feed without anything new", world)
    world.journal = journal(*(f"{MONDAY}-{n}" for n in range(3)), *(f"kept-{n}" for n in range(5)))
    found = story.read(JOURNAL, at(TUESDAY, 8), judged=TUESDAY)
    assert (found.state, found.missing) == (State.QUIET, False)


def test_a_feed_that_was_away_for_days_and_kept_what_came(world: Announcers) -> None:
    story = Story("a feed that was away for days", world)
    world.journal = Answer(status=503)
    assert is_missing(story.read(JOURNAL, at(TUESDAY, 8), judged=TUESDAY), State.FAILED, "503")
    world.journal = journal("kept-0", "fresh")
    found = story.read(JOURNAL, at(THURSDAY, 8), judged=TUESDAY)
    assert is_healed(found, State.FAILED)
    skipped = world.verdict(JOURNAL, WEDNESDAY, at(THURSDAY, 8))
    assert skipped is not None
    assert (skipped.state, skipped.why) == (State.COMPLETE, "read on 2026-06-11")


def test_the_table_of_what_was_planted_and_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{'planted':36} {'read at':12} {'source':16} {'day':6} {'state':9} {'missing':8} why")
        for name, now, v in TABLE:
            assert v is not None
            print(f"{name:36} {now:%d %b %H:%M} {v.source:16} {v.day:%d %b} {v.state:9} {v.missing!s:8} {v.why}")
