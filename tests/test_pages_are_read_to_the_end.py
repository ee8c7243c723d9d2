"""Lists in pages, over HTTP: an empty page is no end, a list that moves loses nothing, a failure leaves the mark."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.sources import adapter_for
from flows.sources.interface import Request
from flows.sources.paging import ROWS_MAX, Place
from storage.errors import ParseError
from tests.preprint_documents import (
    NOW,
    PagedServer,
    arxiv_entry,
    arxiv_error,
    arxiv_feed,
    biorxiv_page,
    biorxiv_row,
    note,
    read,
    reason,
    source_of,
    walk,
)
from tests.servers import Answer

NEWEST = datetime(2026, 6, 2, 5, 0, tzinfo=UTC)
Item = tuple[int, datetime]  # number and time of the last change


def items(count: int, *, every: timedelta = timedelta(minutes=10)) -> list[Item]:
    """So many papers, newest change first."""
    return [(number, NEWEST - number * every) for number in range(count)]


def arxiv(item: Item) -> str:
    return arxiv_entry(f"2605.{item[0] + 1:05}v1", updated=f"{item[1]:%Y-%m-%dT%H:%M:%SZ}")


def a_note(item: Item) -> dict[str, Any]:
    return note(f"forum_{item[0]:05}", changed=round(item[1].timestamp() * 1000))


def row(item: Item) -> dict[str, Any]:
    return biorxiv_row(f"10.1101/{item[0]:06}", date=f"{item[1]:%Y-%m-%d}")


@pytest.fixture
def arxiv_server() -> Iterator[PagedServer]:
    """arXiv's API with 450 results: three pages."""

    def page(part: list[Item], start: int) -> str:
        return arxiv_feed(*map(arxiv, part), total=len(server.listed), start=start)

    with PagedServer("arxiv-api", items(450), page, 200) as server:
        yield server


@pytest.fixture
def biorxiv_server() -> Iterator[PagedServer]:
    """bioRxiv's API with 100 rows, oldest first: four pages of 30."""

    def page(part: list[Item], start: int) -> dict[str, Any]:
        if not part:
            return {"messages": [{"status": "no posts found"}], "collection": []}
        return biorxiv_page([row(item) for item in part], total=str(len(server.listed)))

    with PagedServer("biorxiv", items(100)[::-1], page, 30) as server:
        yield server


@pytest.fixture(params=["with a count", "without a count"])
def openreview_server(request: pytest.FixtureRequest) -> Iterator[PagedServer]:
    """OpenReview's API with 450 papers."""

    def page(part: list[Item], start: int) -> dict[str, Any]:
        count = {"count": len(server.listed)} if request.param == "with a count" else {}
        return {"notes": [a_note(item) for item in part]} | count

    with PagedServer("openreview", items(450), page, 200) as server:
        yield server


def all_ids(server: PagedServer) -> set[str]:
    """The ids of everything listed, as entries bear them."""
    names = {
        "arxiv-api": lambda n: f"http://arxiv.org/abs/2605.{n + 1:05}v1",
        "biorxiv": lambda n: f"10.1101/{n:06}",
        "openreview": lambda n: f"forum_{n:05}",
    }
    return {names[server.kind](number) for number, _ in server.listed}


def change_at(server: PagedServer, number: int, change: Any) -> None:
    """Do something to the list just before the `number`th request is answered."""

    def odd(asked: int) -> None:
        if asked == number:
            change()

    server.odd = odd


def answer_at(server: PagedServer, numbers: range, answer: Answer) -> None:
    """Answer these requests otherwise."""
    server.odd = lambda asked: answer if asked in numbers else None


# arXiv's API


def test_all_pages_of_a_query_are_read(arxiv_server: PagedServer) -> None:
    walked = walk(arxiv_server.source)
    assert walked.ids == all_ids(arxiv_server)
    assert arxiv_server.starts == [0, 200, 400]
    assert (walked.mark, walked.problems) == (NEWEST.isoformat(), [])


def test_a_first_read_goes_back_as_many_days_as_the_source_says(arxiv_server: PagedServer) -> None:
    walked = walk(source_of("arxiv-api", base_url=arxiv_server.url(""), days=1))
    newer = [number for number, changed in arxiv_server.listed if changed >= NOW - timedelta(days=1)]
    assert len(walked.entries) == len(newer) == 139
    assert arxiv_server.starts == [0]


def test_a_later_read_ends_a_day_before_the_mark(arxiv_server: PagedServer) -> None:
    mark = (NEWEST - timedelta(hours=12)).isoformat()
    walked = walk(arxiv_server.source, mark=mark)
    assert len(walked.entries) == 12 * 6 + 24 * 6 + 1
    assert (arxiv_server.starts, walked.mark) == ([0, 200], NEWEST.isoformat())


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_page_that_is_empty_at_random_is_asked_for_again(arxiv_server: PagedServer, number: int) -> None:
    answer_at(arxiv_server, range(number, number + 2), Answer(body=arxiv_feed(total=450).encode()))
    walked = walk(arxiv_server.source)
    assert walked.ids == all_ids(arxiv_server)
    assert len(arxiv_server.starts) == 5
    assert walked.mark == NEWEST.isoformat()


def test_each_page_has_its_own_attempts(arxiv_server: PagedServer) -> None:
    empty = Answer(body=arxiv_feed(total=450).encode())
    arxiv_server.odd = lambda asked: empty if asked in (1, 2, 4, 5, 7, 8) else None
    walked = walk(arxiv_server.source)
    assert (walked.ids, arxiv_server.starts) == (all_ids(arxiv_server), [0] * 3 + [200] * 3 + [400] * 3)


def test_a_total_of_nothing_in_the_middle_is_no_end_either(arxiv_server: PagedServer) -> None:
    answer_at(arxiv_server, range(2, 3), Answer(body=arxiv_feed(total=0).encode()))
    assert walk(arxiv_server.source).ids == all_ids(arxiv_server)


def test_a_query_that_had_results_has_them_still(arxiv_server: PagedServer) -> None:
    answer_at(arxiv_server, range(1, 2), Answer(body=arxiv_feed(total=0).encode()))
    assert walk(arxiv_server.source, mark="2026-05-20T00:00:00+00:00").ids == all_ids(arxiv_server)


def test_a_page_that_stays_empty_is_a_failure_and_leaves_the_mark(arxiv_server: PagedServer) -> None:
    answer_at(arxiv_server, range(2, 99), Answer(body=arxiv_feed(total=450).encode()))
    walked = walk(arxiv_server.source)
    (failure,) = walked.failures
    assert failure.reason == (
        "the page from result 201 on came back empty, though the query has 450 results, 3 times in a row"
    )
    assert (len(walked.entries), walked.mark, len(arxiv_server.starts)) == (200, None, 4)


def test_a_list_of_ids_that_comes_back_empty_is_asked_for_again(arxiv_server: PagedServer) -> None:
    arxiv_server.listed = items(2)
    answer_at(arxiv_server, range(1, 3), Answer(body=arxiv_feed(total=2).encode()))
    arxiv_server.routes["*"] = lambda ask: arxiv_server._answer(replace_query(ask))
    walked = walk(source_of("arxiv-api", query="2605.00001,2605.00002", base_url=arxiv_server.url("")))
    assert (walked.ids, len(arxiv_server.starts)) == (all_ids(arxiv_server), 3)
    assert (walked.notes, walked.failures) == ([], [])


def replace_query(ask: Any) -> Any:
    """An id list is one page: give the server the start it looks for."""
    from dataclasses import replace

    assert "id_list=2605.00001,2605.00002" in ask.path
    return replace(ask, path=ask.path + "&start=0")


def test_half_a_page_is_no_end(arxiv_server: PagedServer) -> None:
    arxiv_server.size = 90
    walked = walk(arxiv_server.source)
    assert (walked.ids, arxiv_server.starts) == (all_ids(arxiv_server), [0, 90, 180, 270, 360])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(status=429, body=b"Rate exceeded."), ("HTTP 429: it is asked too often", 429)),
        (Answer(status=400, body=arxiv_error("no").encode()), ("arXiv refuses the query: no", None)),
        (Answer(body=arxiv_feed(arxiv(items(1)[0]))[:-99].encode()), ("it returned damaged XML", None)),
    ],
)
def test_a_failure_on_the_way_keeps_what_came_and_is_made_good_by_the_next_read(
    arxiv_server: PagedServer, answer: Answer, said: tuple[str, int | None]
) -> None:
    answer_at(arxiv_server, range(2, 3), answer)
    mark = "2026-05-20T00:00:00+00:00"
    walked = walk(arxiv_server.source, mark=mark)
    (failure,) = walked.failures
    words, status = reason(failure)
    assert (words.partition(" (")[0], status) == said
    assert (len(walked.entries), walked.mark) == (200, None)
    again = walk(arxiv_server.source, mark=mark)
    assert (again.ids, again.mark) == (all_ids(arxiv_server), NEWEST.isoformat())


def test_papers_that_come_while_a_list_is_read_move_nothing_out_of_it(arxiv_server: PagedServer) -> None:
    fresh = [(1_000 + number, NEWEST + timedelta(minutes=number)) for number in range(7)]
    before = all_ids(arxiv_server)
    change_at(arxiv_server, 2, lambda: arxiv_server.listed.__setitem__(slice(0, 0), fresh[::-1]))
    walked = walk(arxiv_server.source)
    assert before <= walked.ids
    assert walked.mark == NEWEST.isoformat(), "what came meanwhile is newer than the mark"
    assert walk(arxiv_server.source, mark=walked.mark).ids >= all_ids(arxiv_server) - before


def test_a_paper_that_is_replaced_while_a_list_is_read_is_in_the_next_read(arxiv_server: PagedServer) -> None:
    def replace_one() -> None:
        number, _ = arxiv_server.listed.pop(300)
        arxiv_server.listed.insert(0, (number, NEWEST + timedelta(minutes=5)))

    change_at(arxiv_server, 2, replace_one)
    walked = walk(arxiv_server.source)
    second = walk(arxiv_server.source, mark=walked.mark)
    assert walked.ids | second.ids == all_ids(arxiv_server)
    assert "http://arxiv.org/abs/2605.00301v1" in second.ids


def test_what_lies_behind_the_end_of_the_api_is_said_to_be_missing() -> None:
    source = source_of("arxiv-api")
    (first,) = adapter_for("arxiv-api").plan(source, now=NOW)
    last = Request(url=first.url, key=Place.of(first).after(ROWS_MAX - 1, None).key)
    harvest = read("arxiv-api", arxiv_feed(arxiv(items(1)[0]), total=90_000), request=last)
    assert harvest.problems == ("arXiv's API ends after 30,000 entries: use a narrower query",)
    assert (harvest.following, harvest.mark) == ((), NEWEST.isoformat())


@pytest.mark.parametrize(("kind", "page"), [("biorxiv", biorxiv_page([row((1, NEWEST))], total=90_000))])
def test_a_list_without_end_is_a_failure(kind: str, page: Any) -> None:
    (first,) = adapter_for(source_of(kind).kind).plan(source_of(kind), now=NOW)
    last = Request(url=first.url, key=Place.of(first).after(ROWS_MAX - 1, None).key)
    with pytest.raises(ParseError, match="its list goes on after 30,000 rows"):
        read(kind, page, request=last)


def test_a_date_in_the_future_does_not_become_the_mark() -> None:
    harvest = read("arxiv-api", arxiv_feed(arxiv_entry(updated="2062-01-01T00:00:00Z")))
    assert harvest.mark == NOW.isoformat()


# bioRxiv


def test_pages_of_thirty_are_read_to_the_end(biorxiv_server: PagedServer) -> None:
    walked = walk(biorxiv_server.source)
    assert (walked.ids, biorxiv_server.starts) == (all_ids(biorxiv_server), [0, 30, 60, 90])
    assert walked.mark == "2026-06-02T00:00:00+00:00"


@pytest.mark.parametrize("size", [17, 100])
def test_pages_of_any_size_are_read_to_the_end(biorxiv_server: PagedServer, size: int) -> None:
    biorxiv_server.size = size
    assert walk(biorxiv_server.source).ids == all_ids(biorxiv_server)


EMPTY_PAGE = Answer(body=b'{"messages": [{"status": "ok", "count": 0, "total": "100"}], "collection": []}')


@pytest.mark.parametrize("empty", [Answer(body=b""), Answer(body=b" \n"), EMPTY_PAGE])
@pytest.mark.parametrize("number", [1, 2, 4])
def test_an_empty_answer_is_asked_for_again(biorxiv_server: PagedServer, number: int, empty: Answer) -> None:
    answer_at(biorxiv_server, range(number, number + 2), empty)
    walked = walk(biorxiv_server.source)
    assert (walked.ids, walked.failures) == (all_ids(biorxiv_server), [])


def test_an_answer_that_stays_empty_is_a_failure(biorxiv_server: PagedServer) -> None:
    answer_at(biorxiv_server, range(2, 99), Answer(body=b""))
    walked = walk(biorxiv_server.source)
    assert [f.reason for f in walked.failures] == ["it returned an empty body, 3 times in a row"]
    assert (len(walked.entries), walked.mark) == (30, None)


@pytest.mark.parametrize(("total", "ends"), [(131, True), (199, True), (201, False)])
def test_a_total_may_count_a_page_that_is_not_there(biorxiv_server: PagedServer, total: int, ends: bool) -> None:
    biorxiv_server.page = lambda part, start: biorxiv_page([row(item) for item in part], total=total)
    walked = walk(biorxiv_server.source)
    assert walked.ids == all_ids(biorxiv_server)
    if ends:
        assert walked.notes == [f"its total counts {total - 100} rows that are not there"]
        assert walked.mark == "2026-06-02T00:00:00+00:00"
    else:
        (failure,) = walked.failures
        assert failure.reason == "the page from row 101 of 201 on came back empty, 3 times in a row"
        assert walked.mark is None


def test_without_a_total_the_list_ends_with_a_page_that_stays_empty(biorxiv_server: PagedServer) -> None:
    biorxiv_server.page = lambda part, start: biorxiv_page([row(item) for item in part], total="")
    walked = walk(biorxiv_server.source)
    assert (walked.ids, walked.mark) == (all_ids(biorxiv_server), "2026-06-02T00:00:00+00:00")


# OpenReview


def test_all_papers_of_a_venue_are_read(openreview_server: PagedServer) -> None:
    walked = walk(openreview_server.source)
    assert walked.ids == all_ids(openreview_server)
    assert openreview_server.starts[:3] == [0, 195, 390]
    assert (walked.mark, walked.failures) == (NEWEST.isoformat(), [])


def test_a_later_read_asks_for_what_changed_only(openreview_server: PagedServer) -> None:
    walked = walk(openreview_server.source, mark=NEWEST.isoformat())
    assert (len(walked.entries), openreview_server.starts) == (145, [0])


@pytest.mark.parametrize("number", [2, 3])
def test_papers_that_leave_a_venue_while_it_is_read_take_no_others_with_them(
    openreview_server: PagedServer, number: int
) -> None:
    change_at(openreview_server, number, lambda: openreview_server.listed.__delitem__(slice(10, 14)))
    assert walk(openreview_server.source).ids >= all_ids(openreview_server)


def test_an_empty_page_of_a_venue_is_asked_for_again(openreview_server: PagedServer) -> None:
    answer_at(openreview_server, range(2, 4), Answer(body=b'{"notes": []}'))
    walked = walk(openreview_server.source)
    assert (walked.ids, walked.failures) == (all_ids(openreview_server), [])


def test_a_limit_on_the_way_keeps_what_came(openreview_server: PagedServer) -> None:
    answer_at(openreview_server, range(2, 3), Answer(status=429, body=b'{"message": "Too many requests"}'))
    walked = walk(openreview_server.source)
    assert [reason(f) for f in walked.failures] == [("HTTP 429: OpenReview says 'Too many requests'", 429)]
    assert (len(walked.entries), walked.mark) == (200, None)


def test_a_venue_without_papers_is_a_note(openreview_server: PagedServer) -> None:
    openreview_server.listed = []
    walked = walk(openreview_server.source)
    assert (walked.entries, walked.mark) == ([], None)
    assert walked.notes == ["no papers at ICLR.cc/2026/Conference"]
