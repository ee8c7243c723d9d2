"""arXiv's OAI-PMH: every record of every page is read, text for text, or named with what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import etree

from flows.parsing import Parser
from flows.sources import adapter_for
from flows.sources.arxiv_oai import set_of
from flows.sources.interface import Harvest, Request
from storage.errors import FetchError, ParseError, SourceError
from storage.model import Entry, Submission
from storage.settings import Limits
from tests.fetching_tools import a_fetcher, a_source, fetched
from tests.oai_repository import (
    ABSTRACT,
    Repository,
    answer,
    arxiv,
    deleted,
    dublin_core,
    error,
    held,
    raw,
    record,
    records,
)
from tests.servers import Answer, Route, Server

ADAPTER = adapter_for("arxiv-oai")
SOURCE = a_source(name="arxiv-oai", kind="arxiv-oai", category="cs.CL", days=7)
FIRST = Request(url="https://oaipmh.arxiv.org/oai?verb=ListRecords", key="from 2026-05-31", conditional=False)
LATER = replace(
    FIRST, url="https://oaipmh.arxiv.org/oai?verb=ListRecords&resumptionToken=a", key="page 2 of 2026-06-01"
)
NOW = datetime(2026, 6, 2, 6, 0, tzinfo=UTC)
NUMBERS = [f"2606.0000{n}" for n in range(1, 6)]


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with Parser(Limits()) as parser:
        yield parser


def read(parser: Parser, body: bytes, request: Request = FIRST, status: int = 200) -> Harvest:
    return ADAPTER.read(SOURCE, request, fetched(body, status=status), parser)


def only(harvest: Harvest) -> Entry:
    assert harvest.problems == ()
    (entry,) = harvest.entries
    return entry


# What is asked for


def test_the_first_read_goes_back_some_days_and_a_later_one_two_days_behind_its_mark() -> None:
    (first,) = ADAPTER.plan(SOURCE, now=NOW)
    (later,) = ADAPTER.plan(SOURCE, now=NOW, mark="2026-06-01")
    asked = "https://oaipmh.arxiv.org/oai?verb=ListRecords&metadataPrefix=arXivRaw&from={}&set=cs:cs:CL"
    assert (first.url, first.key) == (asked.format("2026-05-26"), "from 2026-05-26")
    assert (later.url, later.key) == (asked.format("2026-05-30"), "from 2026-05-30")
    assert not first.conditional


def test_all_of_arxiv_has_no_set() -> None:
    (request,) = ADAPTER.plan(a_source(kind="arxiv-oai", base_url="http://127.0.0.1:9/replay"), now=NOW)
    assert request.url == ("http://127.0.0.1:9/replay/oai?verb=ListRecords&metadataPrefix=arXivRaw&from=2026-05-19")


@pytest.mark.parametrize(
    ("category", "name"),
    [("cs", "cs"), ("physics", "physics"), ("hep-th", "physics:hep-th"), ("astro-ph.GA", "physics:astro-ph:GA"),
     ("physics.optics", "physics:physics:optics"), ("q-bio.NC", "q-bio:q-bio:NC"), ("math:math:AG", "math:math:AG")],
)  # fmt: skip
def test_a_category_is_asked_for_as_its_set(category: str, name: str) -> None:
    assert set_of(category) == name


def test_every_set_that_arxiv_lists_is_reached_from_a_category(unpack: Callable[[str], Path]) -> None:
    (path,) = unpack("arxiv_oai").rglob("sets.xml")
    listed = {str(e.text) for e in etree.parse(path).iter("{*}setSpec")}
    doubled = {name for name in listed if len(set(name.split(":"))) == 1 and ":" in name}  # cs:cs stands beside cs
    assert len(listed) > 150
    for name in listed - doubled:
        assert set_of(".".join(name.split(":")[-2:] if name.count(":") == 2 else name.split(":")[-1:])) == name


# Pages


def test_a_token_is_followed_exactly_as_it_was_given(parser: Parser) -> None:
    """arXiv's tokens are percent-encoded in themselves."""
    harvest = read(parser, records(record(raw()), following="verb%3DListRecords%26skip%3D96"))
    (following,) = harvest.following
    assert following.url == (
        "https://oaipmh.arxiv.org/oai?verb=ListRecords&resumptionToken=verb%253DListRecords%2526skip%253D96"
    )
    assert (following.key, following.conditional, harvest.mark) == ("page 2 of 2026-06-02", False, None)


@pytest.mark.parametrize("token", [None, "", " \n "])
def test_the_last_page_has_no_token_or_an_empty_one_and_carries_the_first_pages_day(
    parser: Parser, token: str | None
) -> None:
    harvest = read(parser, records(record(raw()), following=token), LATER)
    assert (harvest.following, harvest.mark) == ((), "2026-06-01")


def test_pages_count_on(parser: Parser) -> None:
    assert read(parser, records(following="b"), LATER).following[0].key == "page 3 of 2026-06-01"


def test_nothing_new_is_an_empty_harvest_that_moves_the_mark(parser: Parser) -> None:
    harvest = read(parser, error("noRecordsMatch", "The combination of the values results in an empty list."))
    assert harvest == Harvest(entries=(), listed=0, notes=("no paper has changed",), mark="2026-06-02", again=True)


def test_a_clock_ahead_of_ours_does_not_move_the_mark_into_the_future(parser: Parser) -> None:
    assert read(parser, records(record(raw()), answered="2099-01-01T00:00:00Z")).mark == "2026-06-02"


def test_without_a_day_the_mark_stays_and_that_is_told(parser: Parser) -> None:
    first = read(parser, records(record(raw()), following="a", answered="soon"))
    assert (first.mark, first.problems, first.following[0].key) == (None, (), "page 2 of an unknown day")
    last = read(parser, records(record(raw())), first.following[0])
    assert (last.mark, len(last.entries)) == (None, 1)
    assert last.problems == ("it does not say when it answered, so the next read begins where this one did",)


def test_a_page_that_names_itself_as_the_next_ends_the_read(parser: Parser) -> None:
    with pytest.raises(SourceError, match="page 2 names itself as the next page"):
        read(parser, records(record(raw()), following="a"), LATER)
    with pytest.raises(SourceError, match="more than 10,000 pages"):
        read(parser, records(following="b"), replace(LATER, key="page 10000 of 2026-06-01"))
    with pytest.raises(ParseError, match="its resumption token has 2,001 characters"):
        read(parser, records(following="b" * 2_001))


def test_what_was_deleted_is_a_note_and_no_entry(parser: Parser) -> None:
    harvest = read(parser, records(deleted("oai:arXiv.org:2606.00001"), record(raw())))
    assert (harvest.listed, len(harvest.entries), harvest.problems) == (1, 1, ())
    assert harvest.notes == ("deleted there: oai:arXiv.org:2606.00001",)
    many = read(parser, records(*(deleted(f"oai:x:{n}") for n in range(8))))
    assert many.notes == ("deleted there: oai:x:0, oai:x:1, oai:x:2, oai:x:3, oai:x:4 and 3 more",)


# Against a repository that answers over HTTP


def read_all(route: Route, mark: str | None = None) -> tuple[list[Entry], str | None, list[str]]:
    """Read from the plan to the last page; returns the entries, the new mark and the problems."""
    entries: list[Entry] = []
    problems: list[str] = []
    with Server({"/oai": route}) as server, a_fetcher() as fetcher, Parser(Limits()) as parser:
        source = SOURCE.model_copy(update={"base_url": server.url()})
        todo = list(ADAPTER.plan(source, now=NOW, mark=mark))
        while todo:
            request = todo.pop(0)
            harvest = ADAPTER.read(source, request, fetcher.get(source, request.url), parser)
            entries += harvest.entries
            problems += harvest.problems
            todo += harvest.following
            mark = harvest.mark or mark
    return entries, mark, problems


@pytest.mark.parametrize("empty_last_token", [False, True])
def test_all_pages_are_read_once(empty_last_token: bool) -> None:
    repository = Repository(held=held(NUMBERS, day="2026-06-01"), empty_last_token=empty_last_token)
    entries, mark, problems = read_all(repository)
    assert [entry.arxiv_id for entry in entries] == NUMBERS
    assert (mark, problems, len(repository.asked)) == ("2026-06-02", [], 3)


def test_a_record_lost_between_pages_comes_with_the_next_read() -> None:
    """When a record of the first page changes, all others move up by one, and one falls between the pages."""
    repository = Repository(held=held(NUMBERS, day="2026-06-01"))
    repository.after_a_page = lambda repository: repository.change("2606.00001", "2026-06-02")
    first, mark, _ = read_all(repository)
    lost = set(NUMBERS) - {entry.arxiv_id for entry in first}
    assert lost == {"2606.00003"}
    assert {(e.arxiv_id, e.version) for e in first} >= {("2606.00001", 1), ("2606.00001", 2)}

    repository.answered = "2026-06-03T05:59:58Z"
    second, _, _ = read_all(repository, mark)
    assert lost <= {entry.arxiv_id for entry in second}
    third, _, _ = read_all(repository, mark)
    assert third == second, "the same read again adds nothing"


def test_a_lost_token_ends_the_read_without_a_mark() -> None:
    def forgetful(ask: object) -> Answer:
        first = "resumptionToken" not in str(ask)
        said = "The value of the resumptionToken argument is invalid or expired. Reason: Token decoding failed."
        return Answer(body=records(record(raw()), following="t") if first else error("badResumptionToken", said))

    with pytest.raises(SourceError) as caught:
        read_all(forgetful)
    assert caught.value.reason == "it does not continue the list: badResumptionToken (Token decoding failed.)"


def test_a_busy_server_says_when_to_come_back() -> None:
    with pytest.raises(FetchError) as caught:
        read_all(Answer(status=503, headers={"Retry-After": "120"}, body=b"Retry after 120 seconds"))
    assert (caught.value.status, caught.value.retry_after_seconds) == (503, 120)


# Errors and damage


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (error("badArgument", "… Reason: Set does not exist"), "badArgument (Set does not exist)"),
        (error("cannotDisseminateFormat"), "cannotDisseminateFormat"),
        (error("", "odd\n  words"), "an error without a code (odd words)"),
        (answer('<error code="noRecordsMatch"/><error code="badVerb">x</error>'), "badVerb (x)"),
    ],
)
def test_an_error_inside_http_200_is_told_in_one_line(parser: Parser, body: bytes, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(parser, body)
    assert caught.value.reason == f"it refuses the request: {said}"


_BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "it returned no XML"),
        (b"Rate exceeded.", "it returned no XML"),
        (b"<!DOCTYPE html><html><p>Maintenance</html>", "it returned an HTML page"),
        (b"<html><body/></html>", "it returned an HTML page"),
        (b"<rss/>", "it returned <rss>, which is no OAI-PMH answer"),
        (answer("<Identify/>"), "it returned Identify where records were asked for"),
        (records(record(raw()), record(raw()))[:-400], "its answer breaks off after 1 records"),
        (answer("<ListRecords>"), "its XML is damaged"),
        (
            records(record(raw()).replace("</id>", ""), following="a").replace(b"</resumption", b"</r"),
            "its XML is damaged",
        ),
        (records(record(raw())).replace(b"<OAI", _BOMB + b"<OAI"), "it declares a document type"),
        (records(record(raw())).replace(b"UTF-8", b"utf-99"), "its XML is damaged"),
    ],
)
def test_what_is_no_whole_answer_costs_that_answer(parser: Parser, body: bytes, said: str) -> None:
    with pytest.raises(ParseError) as caught:
        read(parser, body)
    assert caught.value.reason.startswith(said)
    assert "\n" not in caught.value.reason


@pytest.mark.parametrize("broken", [b"\x0b", b"a & b", b"&bogus;", b"<i>", b"\xff", "Über".encode("latin-1")])
def test_a_damaged_record_costs_itself_only(parser: Parser, broken: bytes) -> None:
    whole = [record(raw(n), name=f"oai:arXiv.org:{n}") for n in NUMBERS[:3]]
    whole[1] = whole[1].replace("We show", "HERE")
    harvest = read(parser, records(*whole, following="next").replace(b"HERE", broken))
    assert [entry.arxiv_id for entry in harvest.entries] == [NUMBERS[0], NUMBERS[2]]
    (problem,) = harvest.problems
    assert problem.startswith(f"entry oai:arXiv.org:{NUMBERS[1]}: its XML is damaged (")
    assert "\n" not in problem
    assert (harvest.listed, len(harvest.following)) == (3, 1)


def test_a_record_that_does_not_end_costs_itself_only(parser: Parser) -> None:
    items = [record(raw(n), name=f"oai:arXiv.org:{n}") for n in NUMBERS[:3]]
    harvest = read(parser, records(items[0], items[1].removesuffix("</record>"), items[2]))
    assert [entry.arxiv_id for entry in harvest.entries] == [NUMBERS[0], NUMBERS[2]]
    assert harvest.problems == (f"entry oai:arXiv.org:{NUMBERS[1]}: its XML is damaged (no </record>)",)


def test_an_answer_that_is_damaged_all_over_costs_that_answer(parser: Parser) -> None:
    many = records(*(record(raw(f"2606.{n:05}", abstract="HERE")) for n in range(300)))
    with pytest.raises(ParseError, match="its XML is damaged in more than 100 records"):
        read(parser, many.replace(b"HERE", b"\xff"))
    with pytest.raises(ParseError, match="its XML is damaged in more than 100 records"):
        read(parser, records("<record>" * 200_000 + "</record>"))


@pytest.mark.parametrize(
    "authors",
    ["(" * 200_000 + ")" * 200_000, "A" + " " * 400_000 + "B", "\\'{" * 100_000, "(a) " * 100_000, "," * 400_000],
)
def test_a_hostile_author_line_is_read_in_no_time(parser: Parser, authors: str) -> None:
    """No pattern tries every start again, and no nesting is followed to its end."""
    assert only(read(parser, records(record(raw(authors=authors))))).title == "On Titles"


def test_a_charset_that_is_said_is_read(parser: Parser) -> None:
    entry = only(read(parser, records(record(raw(title="Über Titel")), charset="iso-8859-1")))
    assert entry.title == "Über Titel"


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ("<record><header><identifier>oai:x</identifier></header></record>", "entry oai:x: it has no metadata"),
        (record("<marc/>"), "entry oai:arXiv.org:2606.00012: its metadata is <marc>, which is not read here"),
        (record(raw("26.12"), name="oai:x:1"), "entry oai:x:1: it has no arXiv id"),
        ("<record/>", "entry number 2: it has no metadata"),
    ],
)
def test_a_record_that_is_no_paper_costs_itself_only(parser: Parser, broken: str, problem: str) -> None:
    harvest = read(parser, records(record(raw()), broken, record(raw("2606.00013"))))
    assert [entry.arxiv_id for entry in harvest.entries] == ["2606.00012", "2606.00013"]
    assert (harvest.problems, harvest.listed) == ((problem,), 3)


# What a record says


FULL = Entry(
    source="arxiv-oai",
    entry_id="oai:arXiv.org:2606.00012",
    title="On Titles",
    abstract=ABSTRACT,
    authors=("Ada Example", "Béla Minta"),
    categories=("cs.CL", "cs.AI"),
    url="https://arxiv.org/abs/2606.00012",
    pdf_url="https://arxiv.org/pdf/2606.00012v3",
    arxiv_id="2606.00012",
    version=3,
    versions=tuple(Submission(n, datetime(2026, 6, n, 14, 59, 59, tzinfo=UTC), 9_000) for n in (1, 2, 3)),
    announce_type="replace",
    doi="10.1000/xyz",
    published_at=datetime(2026, 6, 1, 14, 59, 59, tzinfo=UTC),
    journal_ref="J. Titles 1 (2026) 2",
    license_url="http://creativecommons.org/licenses/by/4.0/",
    text_rank=3,
)
_FACTS = {"doi": "10.1000/XYZ", "journal_ref": "J. Titles\n  1 (2026) 2", "license": FULL.license_url or ""}
_PEOPLE = (
    "<author><keyname>Example</keyname><forenames>Ada</forenames></author>"
    "<author><keyname>Minta</keyname><forenames>Béla</forenames><affiliation>Inst, City</affiliation></author>"
)


def test_arxiv_raw_is_read_in_full(parser: Parser) -> None:
    said = raw(versions=3, authors=r"Ada Example and B\'ela Minta (Inst, City)", **_FACTS)
    assert only(read(parser, records(record(said)))) == FULL


def test_arxivs_own_format_is_read_in_full_but_for_the_version(parser: Parser) -> None:
    said = arxiv(authors=_PEOPLE, created="2026-06-01", updated="2026-06-03", **_FACTS)
    unversioned = replace(
        FULL, version=None, versions=(), announce_type=None, pdf_url="https://arxiv.org/pdf/2606.00012"
    )
    assert only(read(parser, records(record(said)))) == replace(
        unversioned, published_at=datetime(2026, 6, 1, tzinfo=UTC)
    )


@pytest.mark.parametrize(
    ("number", "created", "known"),
    [
        ("2606.00012", "2026-05-29", True),
        ("2606.00012", "2026-07-01", False),
        ("2606.00012", "2026-04-30", False),
        ("hep-th/9901001", "1998-12-31", True),
        ("hep-th/9901001", "2001-01-01", False),
        ("math/0001001", "1999-12-31", True),
        ("2606.00012", "soon", False),
    ],
)
def test_a_creation_date_that_is_a_later_versions_is_not_believed(
    parser: Parser, number: str, created: str, known: bool
) -> None:
    entry = only(read(parser, records(record(arxiv(number, created=created)))))
    assert entry.published_at == (datetime.fromisoformat(created).replace(tzinfo=UTC) if known else None)


@pytest.mark.parametrize("date_said", ["", "yesterday", "Mon, 99 Jun 2026 14:59:59 GMT"])
def test_a_version_date_that_is_none_costs_the_date_only(parser: Parser, date_said: str) -> None:
    entry = only(read(parser, records(record(raw(versions=2).replace("Mon, 01 Jun 2026 14:59:59 GMT", date_said)))))
    assert (entry.version, entry.published_at) == (2, None)


def test_dublin_core_of_arxiv_is_read_with_categories_from_the_sets(parser: Parser) -> None:
    said = dublin_core(
        ("title", "On Titles"),
        ("creator", "Example, Ada"),
        ("creator", "Minta, Jr., Béla"),
        ("creator", "The Team"),
        ("subject", "Computation and Language"),
        ("description", f"  {ABSTRACT}\n"),
        ("description", "Comment: 7 pages"),
        ("date", "2026-06-03"),
        ("date", "2026-06-01"),
        ("identifier", "http://arxiv.org/abs/2606.00012"),
        ("identifier", "J. Titles 1"),
        ("identifier", "doi:10.1000/XYZ"),
    )
    entry = only(read(parser, records(record(said, sets="cs:cs:CL physics:hep-th math"))))
    assert (entry.arxiv_id, entry.abstract, entry.doi) == ("2606.00012", ABSTRACT, "10.1000/xyz")
    assert entry.authors == ("Ada Example", "Béla Minta Jr.", "The Team")
    assert (entry.categories, entry.journal_ref) == (("cs.CL", "hep-th"), "J. Titles 1")
    assert (entry.published_at, entry.text_rank) == (datetime(2026, 6, 1, tzinfo=UTC), 3)


def test_dublin_core_of_another_repository_is_a_paper_of_its_own(parser: Parser) -> None:
    said = dublin_core(
        ("title", "On Titles"),
        ("creator", "Example, Ada"),
        ("subject", "titles"),
        ("description", "<p>We\n  show</p>"),
        ("identifier", "1501.00001"),
        ("identifier", "https://repo.test/7"),
        ("identifier", "10.1000/xyz"),
        ("date", "2026"),
        ("rights", "https://creativecommons.org/licenses/by/4.0/"),
    )
    entry = only(read(parser, records(record(said, name="oai:repo.test:7"))))
    assert (entry.entry_id, entry.arxiv_id, entry.url) == ("oai:repo.test:7", None, "https://repo.test/7")
    assert (entry.doi, entry.abstract, entry.categories) == ("10.1000/xyz", "We show", ("titles",))
    assert (entry.published_at, entry.text_rank, entry.pdf_url) == (None, 1, None)
    named = only(
        read(
            parser, records(record(dublin_core(("identifier", "https://arxiv.org/abs/2606.00012v2")), name="oai:hal:1"))
        )
    )
    assert (named.arxiv_id, named.text_rank) == ("2606.00012", 1)
