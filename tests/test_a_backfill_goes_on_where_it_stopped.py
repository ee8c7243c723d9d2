"""`backfill`: the past of a source is read whole, whatever stops it on the way, and it is no news to anybody."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest

from flows import harvesting
from flows.backfilling import backfill
from flows.harvesting import Place
from flows.pipeline import ingest_source
from storage.archive import Archive
from storage.errors import ConfigError, PaperwireError
from storage.locks import exclusive
from storage.model import Paper
from storage.verify import verify
from tests.dying import KILLED, do_and_die
from tests.oai_repository import Held, Repository
from tests.pasts import (
    EMPTY,
    LAST,
    NAME,
    NOW,
    OLD,
    REFUSED,
    REFUSES,
    SINCE,
    Fails,
    Home,
    Kills,
    asked,
    past_repository,
    settings_of,
)
from tests.servers import Answer, Ask, Server

ROOT = Path(__file__).resolve().parents[1]

# As `Home.backfill`, with small parts, in a process that can be killed.
_CHILD = """
import sys
from pathlib import Path
from flows import harvesting
from tests.pasts import read_past
harvesting.ENTRIES_AT_ONCE = 2
read_past(Path(sys.argv[1]), sys.argv[2])
"""


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of two is a part: what is 5,000 entries elsewhere."""
    monkeypatch.setattr(harvesting, "ENTRIES_AT_ONCE", 2)


@pytest.fixture
def repository() -> Repository:
    return past_repository()


@pytest.fixture
def home(tmp_path: Path, repository: Repository) -> Iterator[Home]:
    with Server({"/oai": repository}) as server:
        yield Home(tmp_path / "home", server)


# Read whole, and told to nobody ---------------------------------------------------------------------------------------


def test_the_whole_past_is_read_and_told_to_nobody(home: Home, repository: Repository) -> None:
    report = home.backfill()
    done = report.backfill
    assert (report.well, done.listed, done.new, done.changed, done.lost, done.requests) == (True, 9, 9, 0, 0, 5)
    assert (done.since, done.until) == (SINCE, LAST)
    papers = home.papers()
    assert list(papers) == list(OLD)
    assert {(p.announced_at, p.revised_at) for p in papers.values()} == {(None, None)}
    assert [home.told(number) for number in OLD] == [[]] * 9
    assert home.begun() is None
    assert not verify(home.folder).faults


def test_what_comes_with_a_record_comes_along(home: Home, repository: Repository) -> None:
    """Equal to polling in everything but what readers are told: the same entries go the same way."""
    polling = Home(home.folder.with_name("polling"), home.server)
    repository.held["0704.0002"] = Held(number="0704.0002", day="2009-03-02", versions=2, holds=EMPTY)
    repository.held["0704.0003"] = Held(number="0704.0003", day="2010-03-03", versions=3, abstract="It has changed.")
    first = settings_of(polling.folder, home.server.url(""), days=9_000)
    repository.earliest = "2000-01-01"
    assert ingest_source(first, NAME, now=NOW).ok
    assert home.backfill().well
    told = {"announced_at", "revised_at"}
    for number, paper in polling.papers().items():
        for name in {f.name for f in fields(Paper)} - told:
            assert getattr(home.papers()[number], name) == getattr(paper, name), (number, name)
    assert home.sightings() == polling.sightings()


def test_the_first_days_are_asked_for_without_a_day(home: Home, repository: Repository) -> None:
    """A day before the repository's earliest would be refused."""
    assert home.backfill(since=date(1991, 8, 14)).backfill.listed == 9
    assert asked(repository)[0] == "=arXivRaw&until=2026-05-29"


def test_a_span_has_only_its_days(home: Home, repository: Repository) -> None:
    assert home.backfill(since=date(2009, 3, 2), until=date(2011, 3, 4)).backfill.listed == 3
    assert list(home.papers()) == ["0704.0002", "0704.0003", "0704.0004"]


def test_the_set_of_a_source_is_kept(home: Home, repository: Repository) -> None:
    own = settings_of(home.folder, home.server.url(""), category="hep-th")
    assert backfill(own, NAME, since=date(2009, 1, 1), clock=lambda: NOW).well
    assert "set=physics:hep-th" in asked(repository)[0]


def test_spans_may_overlap(home: Home, repository: Repository) -> None:
    home.backfill(since=date(2009, 1, 1), until=date(2013, 1, 1))
    done = home.backfill(since=date(2010, 1, 1)).backfill
    assert (done.listed, done.new, done.changed) == (7, 4, 0)
    home.backfill()
    assert list(home.papers()) == list(OLD)
    assert set(home.sightings().values()) == {1}


def test_a_list_without_records_is_an_end(home: Home, repository: Repository) -> None:
    repository.held.clear()
    report = home.backfill()
    assert (report.well, report.backfill.listed, home.begun()) == (True, 0, None)


def test_how_many_there_are_is_known_where_the_source_says(home: Home, repository: Repository) -> None:
    repository.tells_size = True
    assert home.backfill().backfill.size == 9


# Whatever stops it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skip", [2, 4, 8])
def test_a_killed_backfill_goes_on_at_its_page(home: Home, repository: Repository, skip: int) -> None:
    killing = Kills(repository, skip=skip)
    home.answers(killing)
    killing.child = subprocess.Popen([sys.executable, "-c", _CHILD, str(home.folder), home.server.url("")], cwd=ROOT)
    killing.started.set()
    assert killing.child.wait() == -signal.SIGKILL
    assert len(home.papers()) == skip
    home.answers(repository)
    repository.asked.clear()
    report = home.backfill()
    assert f"skip={skip}" in asked(repository)[0], "it goes on where it stopped"
    assert (report.well, report.backfill.listed, report.backfill.new) == (True, 9, 9)
    assert list(home.papers()) == list(OLD)


def dies(home: Home, point: int) -> bool:
    """Whether a backfill in another process is killed at its point-th change of the disk, before it is done."""
    child = os.fork()
    if not child:
        do_and_die(home.backfill, point)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, KILLED)
    return status == KILLED


def test_killed_again_and_again_nothing_is_lost_or_doubled(home: Home, repository: Repository) -> None:
    """One life after the other, each a bit longer than the last, until one comes to its end."""
    lives, point = 1, 1
    while dies(home, point):
        lives, point = lives + 1, point + 7
    assert lives > 5
    assert home.begun() is None
    assert list(home.papers()) == list(OLD)
    assert set(home.sightings().values()) == {1}
    assert not verify(home.folder).faults


def test_wherever_it_is_killed_what_it_goes_on_behind_is_committed(home: Home, repository: Repository) -> None:
    """Two parts, killed at every other change of the disk."""
    for number in list(repository.held)[4:]:
        del repository.held[number]
    with Archive(home.folder):
        pass  # an empty one, to begin with again and again
    empty = shutil.copytree(home.folder, home.folder.with_name("empty"))
    point, seen = 1, set[tuple[int, int]]()
    while not seen or max(seen)[0] < 4:
        shutil.rmtree(home.folder)
        shutil.copytree(empty, home.folder)
        assert dies(home, point)
        begun = home.begun()
        kept, papers = begun.listed if begun else 0, len(home.papers())
        assert kept <= papers, f"killed at change {point}"
        seen.add((kept, papers))
        point += 2
    assert seen == {(0, 0), (0, 2), (2, 2), (2, 4), (4, 4)}


def test_a_token_that_is_no_longer_good_costs_no_more_than_its_day(home: Home, repository: Repository) -> None:
    failing = Fails(repository, skip=4, answer=REFUSES)
    home.answers(failing)
    assert home.backfill().error == REFUSED
    failing.fails, repository.expired = False, True
    repository.asked.clear()
    report = home.backfill()
    assert (report.well, report.backfill.new) == (True, 9)
    assert asked(repository)[1] == "=arXivRaw&from=2011-03-04&until=2026-05-29", "the day it had come to"
    assert list(home.papers()) == list(OLD)
    assert set(home.sightings().values()) == {1}


def test_a_token_that_expires_on_the_way_costs_no_more_than_its_day(home: Home, repository: Repository) -> None:
    def expire(ask: Ask) -> Answer:
        repository.expired = "skip=4" in unquote(unquote(ask.path)) and len(repository.asked) < 4
        return repository(ask)

    home.answers(expire)
    assert home.backfill().well
    assert list(home.papers()) == list(OLD)


def test_a_page_that_was_left_long_ago_is_not_trusted(home: Home, repository: Repository) -> None:
    """Meanwhile records of its day will have changed and left the list, and what stood behind them moved up."""
    failing = Fails(repository, skip=4, answer=REFUSES)
    home.answers(failing)
    home.backfill()
    failing.fails = False
    repository.held["0704.0004"] = replace(repository.held["0704.0004"], day="2026-06-02")
    repository.asked.clear()
    assert home.backfill(at=NOW + timedelta(hours=2)).well
    assert asked(repository)[0] == "=arXivRaw&from=2011-03-04&until=2026-05-29"
    assert list(home.papers()) == list(OLD)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (REFUSES, REFUSED),
        (Answer(body=b"<html><p>Sorry"), "it returned an HTML page"),
        (Answer(body=b"<OAI-PMH><ListRecords><record></record>"), "its answer breaks off after 1 records"),
    ],
)
def test_a_page_that_cannot_be_had_stops_it_there(
    home: Home, repository: Repository, answer: Answer, reason: str
) -> None:
    failing = Fails(repository, skip=4, answer=answer, since="2011-03-04")
    home.answers(failing)
    report = home.backfill()
    assert report.error is not None
    assert report.error.startswith(reason)
    begun = home.begun()
    assert begun is not None
    assert begun.day == date(2011, 3, 4)
    assert len(home.papers()) >= 4
    failing.fails = False
    assert home.backfill().well
    assert list(home.papers()) == list(OLD)


def test_a_server_that_fails_on_the_way_is_waited_for(home: Home, repository: Repository) -> None:
    failing, waited = Fails(repository, skip=4, answer=REFUSES), list[float]()

    def wait(seconds: float) -> None:
        waited.append(seconds)
        failing.fails = len(waited) < 3

    home.answers(failing)
    assert home.backfill(wait=wait).well
    assert waited == [30, 120, 600]
    assert list(home.papers()) == list(OLD)


def test_a_server_that_fails_at_once_is_not_waited_for(home: Home) -> None:
    home.answers(lambda _: REFUSES)
    report = home.backfill(wait=lambda _: pytest.fail("it waited"))
    assert report.error == REFUSED


def test_only_one_at_a_time(home: Home) -> None:
    home.folder.mkdir()
    with exclusive(home.folder / "backfill.lock", what=""), pytest.raises(PaperwireError, match="another backfill is"):
        home.backfill()


def test_a_page_that_is_damaged_is_had_with_another_beginning(home: Home, repository: Repository) -> None:
    home.answers(Fails(repository, skip=4, answer=Answer(body=b"<html><p>Sorry")))
    assert home.backfill().well
    assert list(home.papers()) == list(OLD)


# What changes meanwhile, and what is wrong ----------------------------------------------------------------------------


def test_what_a_change_passed_over_comes_with_the_same_command_again(home: Home, repository: Repository) -> None:
    """A record that changes leaves the list for the news, and those behind it move up a place."""
    repository.after_a_page = lambda r: r.change("0704.0001", "2026-06-02")
    first = home.backfill()
    assert first.well
    missing = set(OLD) - set(home.papers())
    assert missing == {"0704.0003"}
    again = home.backfill()
    assert (again.well, again.backfill.new) == (True, 1)
    home.poll()
    assert list(home.papers()) == list(OLD)
    assert home.papers()["0704.0001"].version == 2


def test_deleted_and_damaged_records_are_named(home: Home, repository: Repository) -> None:
    repository.held["0704.0002"] = replace(repository.held["0704.0002"], deleted=True)
    repository.held["0704.0005"] = replace(repository.held["0704.0005"], damaged=True)
    report = home.backfill()
    done = report.backfill
    assert (report.well, report.error, done.listed, done.lost, done.new) == (False, None, 8, 1, 7)
    assert "0704.0005" in done.lost_named[0]
    assert done.notes == ("deleted there: oai:arXiv.org:0704.0002",)
    assert set(OLD) - set(home.papers()) == {"0704.0002", "0704.0005"}


def test_what_was_lost_before_a_stop_is_told_at_the_end(home: Home, repository: Repository) -> None:
    repository.held["0704.0001"] = replace(repository.held["0704.0001"], damaged=True)
    failing = Fails(repository, skip=4, answer=REFUSES)
    home.answers(failing)
    home.backfill()
    failing.fails = False
    report = home.backfill()
    assert (report.well, report.error, report.backfill.lost) == (False, None, 1)


def test_a_withdrawn_paper_is_withdrawn(home: Home, repository: Repository) -> None:
    repository.held["0704.0002"] = Held(number="0704.0002", day="2009-03-02", versions=2, holds=EMPTY)
    home.backfill()
    assert [n for n, paper in home.papers().items() if paper.withdrawn] == ["0704.0002"]
    assert home.told("0704.0002") == []


@pytest.mark.parametrize("days", [("2009-03-02", "2010-03-02"), ("2010-03-02", "2009-03-02")])
def test_of_two_versions_the_newest_wins_in_any_order(
    home: Home, repository: Repository, days: tuple[str, str]
) -> None:
    for versions, day in zip((1, 3), days, strict=True):
        name = f"0704.0001v{versions}"  # a place of its own in the list
        repository.held[name] = Held(number="0704.0001", day=day, versions=versions, abstract=f"Version {versions}.")
    home.backfill()
    paper = home.papers()["0704.0001"]
    assert (paper.version, paper.abstract) == (3, "Version 3.")
    assert home.told("0704.0001") == []


# The border to what is news -------------------------------------------------------------------------------------------


def test_what_is_news_stays_news(home: Home, repository: Repository) -> None:
    """The first read begins where the backfill ended, however much later it is made."""
    repository.held["2606.00001"] = Held(number="2606.00001", day="2026-05-30")
    assert home.backfill().backfill.new == 9
    assert "2606.00001" not in home.papers("2606.00001")
    repository.held["2606.00002"] = Held(number="2606.00002", day="2026-06-09")
    report = home.poll(days=10)
    assert (report.new, report.revised) == (2, 0)
    assert home.told("2606.00001") == ["new"]


def test_a_paper_of_the_past_that_changes_is_no_new_paper(home: Home, repository: Repository) -> None:
    home.backfill()
    repository.held["0704.0001"] = replace(repository.held["0704.0001"], day="2026-06-02")
    repository.change("0704.0002", "2026-06-02")
    report = home.poll(days=1)
    assert (report.new, report.revised, report.other) == (0, 1, 0)
    assert [home.told(n) for n in ("0704.0001", "0704.0002")] == [[], ["revised"]]


def test_what_readers_were_told_stays_told(home: Home, repository: Repository) -> None:
    repository.held = {"0704.0001": Held(number="0704.0001", day="2026-06-01")}
    assert home.poll().new == 1
    told = home.papers()["0704.0001"]
    repository.held = {"0704.0001": Held(number="0704.0001", day="2009-01-01")}
    assert home.backfill().backfill.new == 0
    assert home.papers()["0704.0001"].announced_at == told.announced_at
    assert home.told("0704.0001") == ["new"]


def test_readers_hear_what_became_of_a_paper_they_know(home: Home, repository: Repository) -> None:
    repository.held = {"0704.0001": Held(number="0704.0001", day="2026-06-01")}
    home.poll()
    repository.held = {"0704.0001": Held(number="0704.0001", day="2009-01-01", versions=2, holds=EMPTY)}
    home.backfill()
    assert home.told("0704.0001") == ["new", "withdrawn"]


def test_a_mark_that_is_there_stays(home: Home, repository: Repository) -> None:
    home.poll()
    home.backfill(at=NOW + timedelta(days=20))
    with Archive(home.folder) as archive:
        assert Place(archive.index, NAME).mark() == "2026-06-02"


def test_news_is_not_taken_by_a_backfill(home: Home) -> None:
    with pytest.raises(ConfigError, match=r"--until 2026-05-30 is too late: from 2026-05-30 on `paperwire run` reads"):
        home.backfill(until=date(2026, 5, 30))
    with pytest.raises(ConfigError, match=r"--since 2026-06-01 is too late"):
        home.backfill(since=date(2026, 6, 1))
    with pytest.raises(ConfigError, match=r"--since 2009-01-01 is after --until 2008-01-01"):
        home.backfill(since=date(2009, 1, 1), until=date(2008, 1, 1))
    assert home.begun() is None


def test_another_span_waits_or_takes_its_place(home: Home, repository: Repository) -> None:
    failing = Fails(repository, skip=4, answer=REFUSES)
    home.answers(failing)
    home.backfill()
    failing.fails = False
    with pytest.raises(
        ConfigError, match=r"from 2007-05-23 to 2026-05-29 was begun and has come to 2011-03-04; --since"
    ):
        home.backfill(since=date(2012, 1, 1))
    assert home.backfill(since=date(2012, 1, 1), restart=True).backfill.listed == 5
    assert home.begun() is None
