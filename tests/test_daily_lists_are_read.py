"""Hugging Face Daily Papers: a list per day; what an entry lacks costs a field, what it garbles costs the entry."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.parsing import Parser
from flows.sources import adapter_for
from flows.sources.interface import Harvest, Request
from storage.errors import FetchError, ParseError, SourceError
from storage.model import Entry
from storage.settings import Limits
from storage.text import clean
from tests.fetching_tools import a_source, fetched

ADAPTER = adapter_for("hf-daily")
SOURCE = a_source(name="hf-daily", kind="hf-daily", days=3)
TUESDAY = "2026-06-02"


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with Parser(Limits()) as parser:
        yield parser


def read(parser: Parser, document: Any, *, day: str = TUESDAY, status: int = 200) -> Harvest:
    """Read a JSON document, or bytes as they are, as the list of `day`."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    request = Request(url=f"https://huggingface.co/api/daily_papers?date={day}", key=day)
    return ADAPTER.read(SOURCE, request, fetched(body, status=status), parser)


def listed(*, outer: dict[str, Any] | None = None, **inner: Any) -> dict[str, Any]:
    """One element of a list, as the API of 2026 writes it."""
    paper = {
        "id": "2606.00012",
        "title": "On the Length\n  of Titles",
        "summary": "We show $x<y$.",
        "authors": [{"name": "Ada Example", "hidden": False}, {"name": "Béla Minta", "hidden": True}],
        "publishedAt": "2026-05-29T17:59:59.000Z",
        "submittedOnDailyAt": "2026-06-02T00:52:01.626Z",
        "upvotes": 24,
        "githubRepo": "https://github.com/lab/tool/tree/main/x",
        "githubStars": 8,
        "projectPage": "https://lab.test/tool",
    }
    return {"paper": paper | inner, "numComments": 3, "publishedAt": "2026-05-29T13:59:59.000Z"} | (outer or {})


def only(harvest: Harvest) -> Entry:
    (entry,) = harvest.entries
    return entry


def test_one_request_per_day_oldest_first_up_to_today_in_utc() -> None:
    late = datetime(2026, 6, 2, 23, 59, tzinfo=UTC)
    requests = ADAPTER.plan(SOURCE, now=late)
    assert [r.key for r in requests] == ["2026-05-31", "2026-06-01", "2026-06-02"]
    assert requests[0].url == "https://huggingface.co/api/daily_papers?date=2026-05-31"
    assert all(r.conditional for r in requests)


def test_an_entry_is_read_in_full(parser: Parser) -> None:
    harvest = read(parser, [listed()])
    assert only(harvest) == Entry(
        source="hf-daily",
        entry_id="2606.00012",
        title="On the Length\n  of Titles",
        abstract="We show $x<y$.",
        authors=("Ada Example", "Béla Minta"),
        url="https://arxiv.org/abs/2606.00012",
        pdf_url="https://arxiv.org/pdf/2606.00012",
        code_url="https://github.com/lab/tool",
        project_url="https://lab.test/tool",
        arxiv_id="2606.00012",
        announced_on=date(2026, 6, 2),
        published_at=datetime(2026, 5, 29, 17, 59, 59, tzinfo=UTC),
        upvotes=24,
        comment_count=3,
        stars=8,
        trending=True,
        text_rank=0,
    )
    assert (harvest.listed, harvest.batch_on, harvest.problems) == (1, date(2026, 6, 2), ())


def test_fields_that_a_year_lacks_are_none(parser: Parser) -> None:
    entry = only(read(parser, [{"paper": {"id": "2606.00012", "title": "t"}}]))
    assert (entry.upvotes, entry.comment_count, entry.stars, entry.code_url, entry.published_at) == (None,) * 5
    assert (entry.authors, entry.abstract, entry.announced_on) == ((), "", date(2026, 6, 2))


def test_fields_that_a_year_has_outside_the_paper_are_found(parser: Parser) -> None:
    outside = {"title": "t", "summary": "s", "upvotes": 5, "submittedOnDailyAt": "2026-06-01T10:00:00Z"}
    entry = only(read(parser, [{"paper": {"id": "2606.00012"}} | outside]))
    assert (entry.title, entry.abstract, entry.upvotes, entry.announced_on) == ("t", "s", 5, date(2026, 6, 1))


def test_the_outer_date_of_publication_is_not_believed(parser: Parser) -> None:
    assert only(read(parser, [listed(publishedAt=None)])).published_at is None


def test_no_votes_are_not_unknown_votes(parser: Parser) -> None:
    entry = only(read(parser, [listed(upvotes=0, outer={"numComments": 0})]))
    assert (entry.upvotes, entry.comment_count) == (0, 0)


@pytest.mark.parametrize("odd", [-1, True, "24", 2.5, None, {}])
def test_a_count_that_is_no_count_is_unknown(parser: Parser, odd: Any) -> None:
    assert only(read(parser, [listed(upvotes=odd)])).upvotes is None


def test_code_in_the_abstract_stands_in_for_a_missing_link(parser: Parser) -> None:
    entry = only(read(parser, [listed(githubRepo=None, summary="See github.com/lab/other.")]))
    assert entry.code_url == "https://github.com/lab/other"


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ({"paper": {"id": 1410.76, "title": "t"}}, "entry 1410.76: its id is a JSON number, which has lost its zeros"),
        ({"paper": {"id": 26, "title": "t"}}, "entry 26: its id is a JSON number, which has lost its zeros"),
        ({"paper": {"id": "not-arxiv", "title": "t"}}, "entry not-arxiv: it has no arXiv id"),
        ({"paper": {"title": "t"}}, "entry number 2: it has no arXiv id"),
        ({"paper": None}, "entry number 2: its paper is no JSON object"),
        ("text", "entry number 2: it is no JSON object"),
    ],
)
def test_a_garbled_entry_costs_itself_only(parser: Parser, broken: Any, problem: str) -> None:
    harvest = read(parser, [listed(), broken, listed(id="2606.00013")])
    assert [e.arxiv_id for e in harvest.entries] == ["2606.00012", "2606.00013"]
    assert harvest.problems == (f"list of 2026-06-02, {problem}",)
    assert harvest.listed == 3


@pytest.mark.parametrize("odd", [None, "Ada", {"name": "Ada"}, [None, 7, {"name": None}, {"name": " "}, {}]])
def test_authors_of_the_wrong_shape_are_none(parser: Parser, odd: Any) -> None:
    assert only(read(parser, [listed(authors=odd)])).authors == ()


# Days without a list


@pytest.mark.parametrize(("document", "status"), [([], 200), ({"error": "not found"}, 404), (b"<html>", 404)])
def test_a_weekday_without_a_list_is_a_note(parser: Parser, document: Any, status: int) -> None:
    assert read(parser, document, status=status) == Harvest(entries=(), listed=0, notes=("no list on 2026-06-02",))


@pytest.mark.parametrize("day", ["2026-06-06", "2026-06-07"])
def test_a_weekend_without_a_list_says_nothing(parser: Parser, day: str) -> None:
    assert read(parser, [], day=day) == Harvest(entries=(), listed=0)


# Answers that are no list


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"error": "Invalid date"}, "it says 'Invalid date'"),
        ({}, "it returned JSON that is no list of papers"),
        (None, "it returned JSON that is no list of papers"),
        (b"", "it returned damaged JSON"),
        (b"<html>", "it returned damaged JSON"),
        (b'[{"paper": "\xff"}]', "it returned damaged JSON"),
        (b"[" * 100_000, "it returned damaged JSON"),
    ],
)
def test_what_is_no_list_costs_that_day(parser: Parser, document: Any, said: str) -> None:
    with pytest.raises(ParseError) as caught:
        read(parser, document)
    assert caught.value.reason.startswith(said)
    assert "\n" not in caught.value.reason


def test_a_status_costs_that_day(parser: Parser) -> None:
    with pytest.raises(FetchError, match="HTTP 503"):
        read(parser, b"busy", status=503)


# All captures


def days(folder: Path) -> list[Path]:
    return sorted(folder.rglob("20*.json"))


def test_every_captured_list_is_read_or_has_one_reason(parser: Parser, unpack: Callable[[str], Path]) -> None:
    lists, reasons = [], {}
    for path in days(unpack("hf_daily_raw")):
        try:
            lists.append(read(parser, path.read_bytes(), day=path.stem))
        except SourceError as error:
            reasons[path.name] = error.reason
    entries = [entry for harvest in lists for entry in harvest.entries]
    assert len(lists) + len(reasons) > 170
    assert all("\n" not in reason for reason in reasons.values())
    assert len(entries) > 3_900
    assert sum(len(harvest.problems) for harvest in lists) <= 0.01 * len(entries)
    assert {entry.announced_on for harvest in lists for entry in harvest.entries} == {h.batch_on for h in lists}
    assert all(clean(entry, Limits()).title for entry in entries)
    assert all(entry.code_url.count("/") == 4 for entry in entries if entry.code_url)
    shares = {name: share(entries, name) for name in ("authors", "upvotes", "comment_count", "published_at")}
    assert shares == dict.fromkeys(shares, 1.0)
    assert share(entries, "code_url") > 0.5


def share(entries: list[Entry], name: str) -> float:
    """The share of entries for which a field is known."""
    return sum(getattr(entry, name) not in (None, (), "") for entry in entries) / len(entries)


def test_a_capture_cut_anywhere_costs_that_day_only(parser: Parser, unpack: Callable[[str], Path]) -> None:
    body = days(unpack("hf_daily_raw"))[0].read_bytes()
    for cut in range(1, len(body), len(body) // 50):
        with pytest.raises(ParseError, match="damaged JSON"):
            read(parser, body[:cut])
