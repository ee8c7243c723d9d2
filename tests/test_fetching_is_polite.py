"""A source is asked no more often than it likes: delays, Retry-After, validators, few retries, an honest name."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from flows.fetching import Fetched, retry_after_seconds
from storage.errors import FetchError
from tests.fetching_tools import Clock, a_fetcher, a_source, names
from tests.servers import Answer, Ask, Server

# Hosts that are not loopback by name, so that delays count.
RESOLVE = names({"feed.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]})


def test_two_requests_to_a_host_are_a_delay_apart() -> None:
    clock = Clock()
    with Server({"*": Answer()}) as server, a_fetcher(clock=clock, resolve=RESOLVE) as fetcher:
        for path in ("/1", "/2", "/3"):
            fetcher.get(a_source(), server.url(path, host="feed.test"), delay_seconds=3)
    assert clock.slept == [3, 3]


def test_time_that_passed_anyway_is_not_waited_for_again() -> None:
    clock = Clock()
    with Server({"*": Answer()}) as server, a_fetcher(clock=clock, resolve=RESOLVE) as fetcher:
        fetcher.get(a_source(), server.url(host="feed.test"), delay_seconds=3)
        clock.sleep(2)
        fetcher.get(a_source(), server.url(host="feed.test"), delay_seconds=3)
    assert clock.slept == [2, 1]


def test_another_host_is_not_waited_for() -> None:
    clock = Clock()
    with Server({"*": Answer()}) as server, a_fetcher(clock=clock, resolve=RESOLVE) as fetcher:
        for host in ("feed.test", "other.test"):
            fetcher.get(a_source(), server.url(host=host), delay_seconds=3)
    assert clock.slept == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_needs_no_delay(host: str) -> None:
    clock = Clock()
    with Server({"*": Answer()}) as server, a_fetcher(clock=clock) as fetcher:
        for _ in range(2):
            fetcher.get(a_source(), server.url(host=host), delay_seconds=3)
    assert clock.slept == []


def test_a_failed_request_counts_for_the_delay_too() -> None:
    clock = Clock()
    route = Answer(headers={"Content-Encoding": "br"}, body=b"?")
    with Server({"*": route}) as server, a_fetcher(clock=clock, resolve=RESOLVE) as fetcher:
        for _ in range(2):
            with pytest.raises(FetchError):
                fetcher.get(a_source(), server.url(host="feed.test"), delay_seconds=3)
    assert clock.slept == [3]


def test_threads_ask_one_host_one_after_the_other() -> None:
    at_once, most, guard = 0, 0, threading.Lock()
    both_started = threading.Barrier(4)

    def count(ask: Ask) -> Answer:
        nonlocal at_once, most
        with guard:
            at_once += 1
            most = max(most, at_once)
        server.stopping.wait(0.05)
        with guard:
            at_once -= 1
        return Answer()

    with Server({"*": count}) as server, a_fetcher() as fetcher:

        def fetch() -> None:
            both_started.wait(5)
            fetcher.get(a_source(), server.url())

        threads = [threading.Thread(target=fetch) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert len(server.asked) == 4
    assert most == 1


# Retry-After


@pytest.mark.parametrize("status", [429, 503])
def test_a_host_that_asks_for_rest_gets_it(status: int) -> None:
    clock = Clock()
    busy = Answer(status=status, headers={"Retry-After": "120"}, body=b"busy")
    with Server({"*": busy}) as server, a_fetcher(clock=clock) as fetcher:
        fetched = fetcher.get(a_source(), server.url())
        assert (fetched.status, fetched.retry_after_seconds, fetched.body) == (status, 120, b"busy")
        clock.sleep(100)
        with pytest.raises(FetchError, match="asked for rest: try again in 20 s") as caught:
            fetcher.get(a_source(), server.url("/other"))
        assert caught.value.retry_after_seconds == 20
        assert len(server.asked) == 1
        clock.sleep(21)
        server.routes["*"] = Answer(body=b"again")
        assert fetcher.get(a_source(), server.url()).body == b"again"


def test_too_many_requests_without_a_time_means_a_minute() -> None:
    clock = Clock()
    with Server({"*": Answer(status=429)}) as server, a_fetcher(clock=clock) as fetcher:
        fetcher.get(a_source(), server.url())
        with pytest.raises(FetchError, match="try again in 60 s"):
            fetcher.get(a_source(), server.url())


def test_a_redirect_does_not_lead_around_a_rest() -> None:
    routes = {"/a": Answer(status=429), "/b": Answer(status=302, headers={"Location": "http://other.test/"})}
    with Server(routes) as server, a_fetcher(resolve=RESOLVE) as fetcher:
        fetcher.get(a_source(), server.url("/a", host="feed.test"))
        server.routes["/b"] = Answer(status=302, headers={"Location": server.url("/a", host="feed.test")})
        with pytest.raises(FetchError, match=r"feed\.test asked for rest"):
            fetcher.get(a_source(), server.url("/b", host="other.test"))
    assert server.paths == ["/a", "/b"]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("17", 17),
        (" 17 ", 17),
        ("99999999999999999999", 86_400),
        ("Tue, 02 Jun 2026 06:05:00 GMT", 300),
        ("Tue, 02 Jun 2026 05:00:00 GMT", 0),
        ("Tue, 02 Jun 2026 02:05:00 -0400", 300),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
        ("-5", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date_and_at_most_a_day(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, datetime(2026, 6, 2, 6, 0, tzinfo=UTC)) == seconds


def test_a_retry_date_counts_from_our_own_clock() -> None:
    clock = Clock()
    until = format_datetime(datetime(2026, 6, 2, 6, 1, tzinfo=UTC), usegmt=True)
    busy = Answer(status=503, headers={"Retry-After": until})
    with Server({"*": busy}) as server, a_fetcher(clock=clock) as fetcher:
        assert fetcher.get(a_source(), server.url()).retry_after_seconds == 60


# Retries


def failing(times: int, status: int) -> Callable[[Ask], Answer]:
    """A route that fails that many times and then works."""
    left = [Answer(status=status, body=b"broken")] * times

    def answer(ask: Ask) -> Answer:
        return left.pop() if left else Answer(body=b"feed")

    return answer


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_that_recovers_is_asked_again(status: int) -> None:
    clock = Clock()
    with Server({"*": failing(2, status)}) as server, a_fetcher(clock=clock) as fetcher:
        assert fetcher.get(a_source(), server.url()).body == b"feed"
    assert clock.slept == [1, 4]


def test_after_two_retries_the_failure_is_the_answer() -> None:
    with Server({"*": failing(9, 500)}) as server, a_fetcher() as fetcher:
        fetched = fetcher.get(a_source(), server.url())
    assert (fetched.status, fetched.body) == (500, b"broken")
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429, 501])
def test_what_a_second_request_would_not_change_is_asked_once(status: int) -> None:
    with Server({"*": failing(9, status)}) as server, a_fetcher() as fetcher:
        assert fetcher.get(a_source(), server.url()).status == status
    assert len(server.asked) == 1


# Conditional requests


def conditional(ask: Ask) -> Answer:
    if ask.headers.get("if-none-match") == '"1"':
        return Answer(status=304, headers={"ETag": '"1"'})
    return Answer(body=b"feed", headers={"ETag": '"1"', "Last-Modified": "Tue, 02 Jun 2026 04:00:00 GMT"})


def test_what_did_not_change_is_not_sent_again() -> None:
    with Server({"*": conditional}) as server, a_fetcher() as fetcher:
        first = fetcher.get(a_source(), server.url())
        again = fetcher.get(a_source(), server.url(), etag=first.etag, last_modified=first.last_modified)
        sent = [
            {k: v for k, v in ask.headers.items() if k in ("if-none-match", "if-modified-since")}
            for ask in server.asked
        ]
    assert (first.not_modified, first.body) == (False, b"feed")
    assert (again.not_modified, again.status, again.body, again.wire_bytes) == (True, 304, b"", 0)
    assert sent == [{}, {"if-none-match": '"1"', "if-modified-since": "Tue, 02 Jun 2026 04:00:00 GMT"}]


def test_nothing_changed_is_no_answer_to_a_first_request() -> None:
    with (
        Server({"*": Answer(status=304)}) as server,
        a_fetcher() as fetcher,
        pytest.raises(FetchError, match="it was not asked that"),
    ):
        fetcher.get(a_source(), server.url())


@pytest.mark.parametrize("etag", ['"caf\u00e9"', '"' + "x" * 2_000 + '"'])
def test_a_validator_that_cannot_be_sent_back_is_dropped(etag: str) -> None:
    with Server({"*": Answer(body=b"feed", headers={"ETag": etag})}) as server, a_fetcher() as fetcher:
        assert fetcher.get(a_source(), server.url()).etag is None


def test_what_is_kept_of_an_answer() -> None:
    headers = {"Content-Type": "text/xml; charset=ISO-8859-1"}
    clock = Clock()
    with Server({"*": Answer(body=b"\xe9", headers=headers)}) as server, a_fetcher(clock=clock) as fetcher:
        got: Fetched = fetcher.get(a_source(), server.url("/rss?a=1"))
    assert got.url == server.url("/rss?a=1")
    assert got.content_type == "text/xml; charset=ISO-8859-1"
    assert got.body_sha256 == hashlib.sha256(b"\xe9").hexdigest()
    assert got.fetched_at == clock.now
    assert 0 <= got.elapsed_seconds < 5
    assert server.asked[0].headers["user-agent"] == "Paperwire/test"


def test_a_password_in_the_address_is_sent_and_never_shown() -> None:
    moved = Answer(status=302, headers={"Location": "ftp://a:secret@b/"})
    with Server({"/": Answer(body=b"feed"), "/x": moved}) as server, a_fetcher() as fetcher:
        url = server.url().replace("http://", "http://reader:secret@")
        assert fetcher.get(a_source(), url).url == server.url()
        assert server.asked[0].headers["authorization"].startswith("Basic ")
        with pytest.raises(FetchError) as caught:
            fetcher.get(a_source(), url + "x")
    assert "secret" not in str(caught.value)
