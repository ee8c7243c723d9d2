"""However many processes an installation has, a host sees one polite reader, also when one of them is killed."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.governor import Governor, NotNow, held_hosts, rule_of
from flows.pipeline import open_tools
from storage.errors import FetchError
from storage.settings import Limits, Settings
from tests.fetching_tools import SMALL, Clock, a_fetcher, a_source, names
from tests.newsroom import Newsroom, in_process
from tests.polite_workers import Book, Worker, a_governor, a_route
from tests.servers import Answer, Ask, Server
from tests.wire_tools import wait_for

DELAY_SECONDS = 0.5
# A question is noted by a thread of the server, which a busy machine may wake late; a clock of our own tells exactly
# (test_a_delay_counts_from_when_the_question_went_out). Without a delay it would be less than a tenth of a second.
LEAST_SECONDS = DELAY_SECONDS / 2
ONE_SECOND = Limits(host_wait_seconds_max=1)


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def server(book: Book) -> Iterator[Server]:
    with Server() as server:
        server.routes["*"] = a_route(book, server)
        yield server


# Real processes, a real server


def test_two_workers_ask_a_host_one_after_the_other_and_a_delay_apart(
    tmp_path: Path, server: Server, book: Book
) -> None:
    urls = [server.url(f"/{n}", host="feed.test") for n in range(4)]
    with (
        Worker(tmp_path, urls, delay_seconds=DELAY_SECONDS) as one,
        Worker(tmp_path, urls, delay_seconds=DELAY_SECONDS) as other,
    ):
        assert [w.said() for w in (one, other) for _ in urls] == [200] * 8
    assert len(book.gaps()) == 7
    assert min(book.gaps()) >= LEAST_SECONDS
    assert book.most_at_once == {"feed.test": 1}


def test_two_workers_never_ask_a_slow_host_at_once(tmp_path: Path, server: Server, book: Book) -> None:
    server.routes["*"] = a_route(book, server, seconds=0.3)
    urls = [server.url(f"/{n}", host="feed.test") for n in range(4)]
    with Worker(tmp_path, urls, delay_seconds=0.01) as one, Worker(tmp_path, urls, delay_seconds=0.01) as other:
        assert [w.said() for w in (one, other) for _ in urls] == [200] * 8
    assert book.most_at_once == {"feed.test": 1}


@pytest.mark.slow
def test_a_storm_of_refusals_is_waited_out_by_all(tmp_path: Path, server: Server, book: Book) -> None:
    refusals = itertools.count()

    def storm(ask: Ask) -> Answer:
        with book.noting(ask):
            is_refused = next(refusals) < 3
        return Answer(status=429, headers={"Retry-After": "1"}) if is_refused else Answer(body=b"feed")

    server.routes["*"] = storm
    urls = [server.url(f"/{n}", host="feed.test") for n in range(2)]
    with Worker(tmp_path, urls, delay_seconds=0.1) as one, Worker(tmp_path, urls, delay_seconds=0.1) as other:
        assert {w.said() for w in (one, other) for _ in urls} <= {200, 429}
    # A refusal is heard after it was noted, so a second from there is no less from here.
    assert min(book.gaps()[:3]) >= 1
    assert book.most_at_once == {"feed.test": 1}


def test_a_worker_killed_while_it_asks_blocks_nobody_and_its_question_counts(
    tmp_path: Path, server: Server, book: Book
) -> None:
    def hold(ask: Ask) -> Answer:
        with book.noting(ask):
            server.stopping.wait()
        return Answer()

    server.routes["/hold"] = hold
    with Worker(tmp_path, [server.url("/hold", host="feed.test")], delay_seconds=DELAY_SECONDS) as held:
        wait_for("the question of the first worker", lambda: "/hold" in server.paths)
        with Worker(tmp_path, [server.url("/next", host="feed.test")], delay_seconds=DELAY_SECONDS) as other:
            wait_for("the second worker to wait", lambda: len(turns(tmp_path)) == 2)
            killed_at = time.monotonic()
            held.kill()
            assert other.said() == 200
    assert server.paths == ["/hold", "/next"]
    # It may have asked at any moment until it was found dead.
    assert book.times()[1] >= killed_at + DELAY_SECONDS


@pytest.mark.slow
def test_workers_killed_at_any_moment_leave_a_host_that_is_asked_politely(
    tmp_path: Path, server: Server, book: Book
) -> None:
    urls = [server.url(f"/{n}", host="feed.test") for n in range(100)]
    for number in range(8):
        with (
            Worker(tmp_path, urls, delay_seconds=DELAY_SECONDS) as one,
            Worker(tmp_path, urls, delay_seconds=DELAY_SECONDS) as other,
        ):
            assert one.said() == 200, "whoever was killed before holds nobody back for ever"
            server.stopping.wait(0.07 * number)
            other.kill()
    assert min(book.gaps()) >= LEAST_SECONDS
    assert len(list((tmp_path / "hosts").glob("*.alive"))) <= 2, "files of the dead are cleared away"


def test_a_rest_that_one_worker_was_asked_for_holds_the_others_back(tmp_path: Path, server: Server) -> None:
    server.routes["*"] = Answer(status=429, headers={"Retry-After": "120"})
    url = server.url(host="feed.test")
    with Worker(tmp_path, [url], delay_seconds=0) as one:
        assert one.said() == 429
    with Worker(tmp_path, [url], delay_seconds=0) as other:
        said = other.said()
    assert str(said).startswith("feed.test asked for rest: try again in 1")
    assert len(server.asked) == 1


def test_hosts_do_not_hold_each_other_back(tmp_path: Path, server: Server, book: Book) -> None:
    answered = threading.Event()

    def hold(ask: Ask) -> Answer:
        with book.noting(ask):
            answered.wait(60)
        return Answer()

    server.routes["/hold"] = hold
    with Worker(tmp_path, [server.url("/hold", host="feed.test")], delay_seconds=3_600) as held:
        wait_for("the question of the first worker", lambda: "/hold" in server.paths)
        with Worker(tmp_path, [server.url(host="other.test")] * 2, delay_seconds=0.1) as other:
            assert [other.said(), other.said()] == [200, 200]
        answered.set()
        assert held.said() == 200


# Whose turn it is


def test_who_came_first_is_served_first(tmp_path: Path) -> None:
    served = []
    with closing(real_governor(tmp_path)) as first, closing(real_governor(tmp_path)) as second:

        def ask() -> None:
            with second.turn("feed.test"):
                served.append("who waited")

        waiting = threading.Thread(target=ask)
        with first.turn("feed.test"):
            waiting.start()
            wait_for("the other to wait", lambda: len(turns(tmp_path)) == 2)
        with first.turn("feed.test"):
            served.append("who asks again and again")
        waiting.join(10)
    assert served == ["who waited", "who asks again and again"]


def test_a_turn_that_does_not_come_is_said_and_not_waited_for_any_longer(tmp_path: Path) -> None:
    with closing(real_governor(tmp_path)) as first, closing(real_governor(tmp_path, ONE_SECOND)) as second:
        with first.turn("feed.test"), pytest.raises(NotNow, match=r"^no turn at feed\.test within 1 s \(limits\."):
            take(second, "feed.test")
        assert turns(tmp_path) == [], "who gave up is not waited for"
        take(second, "feed.test")


def test_a_delay_longer_than_the_longest_wait_is_waited_for_all_the_same() -> None:
    clock = Clock()
    with closing(a_governor(None, clock=clock, limits=ONE_SECOND)) as governor:
        take(governor, "feed.test", 600)
        take(governor, "feed.test", 600)
    assert clock.slept == [600]


def test_a_host_may_be_given_more_connections_but_never_arxiv(tmp_path: Path) -> None:
    limits = Limits(host_connections_max=2, host_wait_seconds_max=0.2)
    with closing(real_governor(tmp_path, limits)) as governor, governor.turn("feed.test"):
        take(governor, "feed.test")
        with governor.turn("feed.test"), pytest.raises(NotNow, match="no turn"):
            take(governor, "feed.test")
    assert rule_of("arxiv.org", 0, limits).connections_max == 1


def test_all_of_arxiv_is_one_host_asked_every_three_seconds(tmp_path: Path) -> None:
    clock = Clock()
    with closing(a_governor(tmp_path, clock=clock)) as one, closing(a_governor(tmp_path, clock=clock)) as other:
        for governor, host in zip(
            itertools.cycle((one, other)),
            ("rss.arxiv.org", "export.arxiv.org", "oaipmh.arxiv.org", "arxiv.org", "EXPORT.ARXIV.ORG."),
            strict=False,
        ):
            take(governor, host, 0)
        assert clock.slept == [3, 3, 3, 3]
        take(one, "notarxiv.org", 0)
    assert clock.slept == [3, 3, 3, 3]


def test_a_delay_counts_from_when_the_question_went_out() -> None:
    clock = Clock()
    with closing(a_governor(None, clock=clock)) as governor:
        with governor.turn("feed.test", delay_seconds=3) as turn:
            clock.sleep(1)  # connecting
            turn.sent()
            clock.sleep(2)  # reading the answer
        take(governor, "feed.test", 3)
    assert clock.slept == [1, 2, 1]


def test_the_longer_of_two_delays_is_kept() -> None:
    clock = Clock()
    with closing(a_governor(None, clock=clock)) as governor:
        for delay_seconds in (1, 5, 1):
            take(governor, "feed.test", delay_seconds)
    assert clock.slept == [5, 5]


def test_a_redirect_within_a_host_waits_too() -> None:
    clock = Clock()
    resolve = names({"feed.test": ["127.0.0.1"]})
    with Server({"/b": Answer(body=b"feed")}) as server, a_fetcher(clock=clock, resolve=resolve) as fetcher:
        server.routes["/a"] = Answer(status=302, headers={"Location": server.url("/b", host="feed.test")})
        fetcher.get(a_source(), server.url("/a", host="feed.test"), delay_seconds=3)
    assert (server.paths, clock.slept) == (["/a", "/b"], [3])


def test_no_connection_is_kept_open_for_later() -> None:
    with Server({"*": Answer(body=b"feed")}) as server, a_fetcher() as fetcher:
        fetcher.get(a_source(), server.url())
    assert server.asked[0].headers["connection"] == "close"


def test_waiting_for_a_turn_is_not_time_the_source_took(tmp_path: Path) -> None:
    limits = SMALL.model_copy(update={"total_seconds": 0.3})
    with Server({"*": Answer(body=b"feed")}) as server, closing(real_governor(tmp_path)) as others:
        mine = real_governor(tmp_path)
        with closing(mine), a_fetcher(limits=limits, governor=mine) as fetcher, others.turn("127.0.0.1"):
            timer = threading.Timer(0.6, others.close)  # as if that process ended
            timer.start()
            assert fetcher.get(a_source(), server.url()).body == b"feed"


# How often a day


def test_a_budget_that_is_used_up_is_one_clear_line_until_the_next_day(tmp_path: Path) -> None:
    clock = Clock()
    limits = SMALL.model_copy(update={"host_requests_per_day_max": 2})
    resolve = names({"feed.test": ["127.0.0.1"]})
    with (
        Server({"*": Answer(body=b"feed")}) as server,
        closing(a_governor(tmp_path, clock=clock, limits=limits)) as mine,
        a_fetcher(clock=clock, limits=limits, governor=mine, resolve=resolve) as fetcher,
    ):
        for _ in range(2):
            fetcher.get(a_source(), server.url(host="feed.test"))
        with pytest.raises(FetchError) as caught:
            fetcher.get(a_source(), server.url(host="feed.test"))
        assert caught.value.reason == (
            "the 2 requests a day that feed.test is asked at most are used up; "
            "there are new ones at 00:00 UTC (limits.host_requests_per_day_max)"
        )
        assert caught.value.retry_after_seconds == 18 * 3_600
        assert (len(server.asked), clock.slept) == (2, [])
        [held] = held_hosts(tmp_path, limits, now=clock.now)
        assert (held.host, held.reason, held.requests_today, held.requests_per_day_max) == ("feed.test", None, 2, 2)
        clock.now = datetime(2026, 6, 3, tzinfo=UTC)
        fetcher.get(a_source(), server.url(host="feed.test"))
        for _ in range(3):
            fetcher.get(a_source(), server.url())  # this machine


# Back-off


@pytest.mark.parametrize(
    ("status", "seconds"),
    [(429, [60, 240, 900, 900]), (503, [1, 4, 16, 64, 256, 900]), (0, [1, 4, 16, 64, 256, 900])],
)
@pytest.mark.parametrize(("chance", "factor"), [(0.0, 1.0), (1.0, 1.5)])
def test_a_host_in_trouble_is_left_alone_for_longer_each_time(
    tmp_path: Path, status: int, seconds: list[int], chance: float, factor: float
) -> None:
    clock = Clock()
    with closing(a_governor(tmp_path, clock=clock, chance=chance)) as governor:
        for expected in (*seconds, None, *seconds[:1]):
            with governor.turn("feed.test") as turn:
                if expected is None:
                    turn.heard(200, {})
                    continue
                turn.heard(status, {}) if status else turn.timed_out()
            [held] = held_hosts(tmp_path, SMALL, now=clock.now)
            assert held.until == clock.now + timedelta(seconds=expected * factor)
            clock.now = held.until


def test_a_short_rest_is_waited_for_and_a_long_one_is_the_sources_error() -> None:
    clock = Clock()
    with closing(a_governor(None, clock=clock)) as governor:
        for rest in ("15", "16"):
            with governor.turn("feed.test") as turn:
                turn.heard(503, {"retry-after": rest})
        assert clock.slept == [15]
        with pytest.raises(NotNow, match=r"^feed\.test asked for rest: try again in 16 s$"):
            take(governor, "feed.test")


def test_trouble_of_yesterday_does_not_count() -> None:
    clock = Clock()
    with closing(a_governor(None, clock=clock)) as governor:
        for _ in range(2):
            with governor.turn("feed.test") as turn:
                turn.heard(429, {})
            clock.now += timedelta(days=2)
        with governor.turn("feed.test") as turn:
            turn.heard(429, {})
        with pytest.raises(NotNow, match="try again in 60 s"):
            take(governor, "feed.test")


# What can go wrong


def test_a_clock_that_was_set_back_holds_nothing_up(tmp_path: Path) -> None:
    clock = Clock()
    with closing(a_governor(tmp_path, clock=clock)) as governor:
        take(governor, "feed.test", 3)
        clock.now -= timedelta(days=400)
        take(governor, "feed.test", 3)
    assert clock.slept == [3]


def test_a_damaged_file_is_one_line_and_heals_when_it_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "hosts.sqlite").write_bytes(b"no database" * 500)
    clock = Clock()
    with closing(a_governor(tmp_path, clock=clock)) as governor:
        with pytest.raises(NotNow, match=r"hosts\.sqlite cannot be used \(file is not a database\); it may be deleted"):
            take(governor, "feed.test")
        [held] = held_hosts(tmp_path, SMALL, now=clock.now)
        assert held.reason == "cannot be read (file is not a database)"
        (tmp_path / "hosts.sqlite").unlink()
        take(governor, "feed.test")
    assert held_hosts(tmp_path, SMALL, now=clock.now) == ()


# The rest of the installation


def test_every_fetcher_of_an_installation_has_the_same_governor(tmp_path: Path, server: Server) -> None:
    server.routes["*"] = Answer(status=429)
    settings = Settings(home=tmp_path)
    with open_tools(settings) as tools:
        tools.fetcher.get(a_source(), server.url())
    with open_tools(settings) as tools, pytest.raises(FetchError, match=r"127\.0\.0\.1 asked for rest"):
        tools.fetcher.get(a_source(), server.url())


def test_status_says_what_holds_requests_back(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    room = Newsroom(tmp_path, server)
    room.configure()
    paperwire = in_process(room, monkeypatch, capsys)
    assert "held back" not in paperwire("status").out
    with closing(real_governor(room.home)) as governor:
        with governor.turn("feed.test") as turn:
            turn.heard(503, {"retry-after": "600"})
        take(governor, "other.test")
    said = [line for line in paperwire("status").out.splitlines() if line.startswith("held back")]
    [held] = held_hosts(room.home, Limits(), now=datetime.now(UTC))
    assert held.until is not None
    until = f"{held.until:%Y-%m-%d %H:%M:%S} UTC"
    assert said == [f"held back feed.test: asked for rest until {until}; 9,999 of 10,000 requests left today"]


def real_governor(home: Path, limits: Limits = SMALL) -> Governor:
    """A governor on the time of day."""
    return Governor(home, limits, clock=lambda: datetime.now(UTC), sleep=time.sleep)


def take(governor: Governor, host: str, delay_seconds: float = 0) -> None:
    """Take a turn, and say nothing about it."""
    with governor.turn(host, delay_seconds=delay_seconds):
        pass


def turns(home: Path) -> list[tuple[int]]:
    """Who asks or waits now."""
    with closing(sqlite3.connect(home / "hosts.sqlite", timeout=30)) as db:
        return db.execute("SELECT turn_id FROM turns").fetchall()
