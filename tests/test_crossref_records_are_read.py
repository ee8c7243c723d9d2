"""Crossref: a record and what may be wrong with it, retractions and their notices, answers that are no list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from flows.decide import is_withdrawn
from flows.parsing import Parser
from storage.errors import FetchError, ParseError, SourceError
from storage.model import Entry
from storage.settings import Limits
from tests.fetching_tools import a_source
from tests.registry_tools import CROSSREF, JOURNAL, asked, only, work, works

NOW = datetime(2026, 6, 2, 6, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with Parser(Limits()) as parser:
        yield parser


# Crossref: what is asked


def test_a_first_read_goes_back_by_days_and_a_later_one_to_the_day_before_its_mark() -> None:
    (first,) = CROSSREF.plan(JOURNAL, now=NOW)
    (later,) = CROSSREF.plan(JOURNAL, now=NOW, mark="2026-06-01")
    assert urlsplit(first.url).path == "/journals/1234-5678/works"
    assert asked(first)["filter"] == "from-index-date:2026-05-26,from-created-date:2025-05-26"
    assert asked(later)["filter"] == "from-index-date:2026-05-31,from-created-date:2025-05-31"
    assert {k: asked(first)[k] for k in ("rows", "cursor", "sort", "order")} == {
        "rows": "200",
        "cursor": "*",
        "sort": "indexed",
        "order": "asc",
    }
    assert not first.conditional
    (again,) = CROSSREF.plan(JOURNAL, now=NOW, mark="no date")
    assert again == first


def test_a_query_is_asked_of_all_works_or_of_one_journal() -> None:
    everywhere = a_source(kind="crossref", query="graph & kernels")
    (request,) = CROSSREF.plan(everywhere, now=NOW)
    assert (urlsplit(request.url).path, asked(request)["query.bibliographic"]) == ("/works", "graph & kernels")
    (request,) = CROSSREF.plan(everywhere.model_copy(update={"issn": "1234-5678"}), now=NOW)
    assert urlsplit(request.url).path == "/journals/1234-5678/works"
    assert asked(request)["query.bibliographic"] == "graph & kernels"


# Crossref: one record


def test_a_work_is_read_in_full(parser: Parser) -> None:
    assert only(works(parser, [work()])) == Entry(
        source="journal",
        entry_id="10.1000/ABC.1",
        title="On the Length of Titles",
        abstract="We show p < 0.05.",
        authors=("Ada Example Jr.", "Béla Minta", "The Example & Co. Collaboration"),
        url="https://doi.org/10.1000/abc.1",
        doi="10.1000/abc.1",
        announced_on=date(2026, 5, 31),
        published_at=datetime(2026, 5, 30, tzinfo=UTC),
        journal_ref="Journal of Tests 12(3), 45-67 (2026)",
        license_url="https://creativecommons.org/licenses/by/4.0/",
        text_rank=2,
    )


def test_a_record_of_nulls_is_a_record_with_a_doi(parser: Parser) -> None:
    entry = only(works(parser, [dict.fromkeys(work()) | {"DOI": "10.1000/x"}]))
    assert entry == Entry(
        source="journal", entry_id="10.1000/x", title="", url="https://doi.org/10.1000/x", doi="10.1000/x", text_rank=2
    )
    entry = only(works(parser, [work(author=[None, {"given": None}, {"family": "Solo"}, 7], title=[None])]))
    assert (entry.authors, entry.title) == (("Solo",), "")


@pytest.mark.parametrize(
    ("dates", "day"),
    [
        ({"issued": [[2026, 6, 2]], "published-online": [[2026, 6, 1]]}, date(2026, 6, 1)),
        ({"issued": [[None]]}, None),
        ({"issued": [[]]}, None),
        ({"issued": []}, None),
        ({"issued": [["2026", "6", "1"]]}, None),
        ({"issued": [[2026, 13, 1]]}, date(2026, 5, 31)),  # the year holds, and it was registered within
        ({"issued": [[2026, 2, 30]]}, None),  # registered in May, so "February" is not to be bettered
        ({"issued": [[2026]]}, date(2026, 5, 31)),
        ({"issued": [[2026, 9]]}, date(2026, 5, 31)),  # an issue to come, its article to be had now
        ({"issued": [[1998]]}, None),  # registered decades later
        ({"issued": [[1998]], "created": [[None]]}, None),
        ({"posted": [[2026, 5, 29]]}, date(2026, 5, 29)),
        ({"published-online": [[2026, 6, 3]], "published-print": [[2026, 6, 2]]}, date(2026, 6, 2)),
    ],
)
def test_a_day_is_published_only_where_it_is_known(parser: Parser, dates: dict[str, Any], day: date | None) -> None:
    bare = work(**{"issued": None, "published-online": None, "published-print": None})
    entry = only(works(parser, [bare | {name: {"date-parts": parts} for name, parts in dates.items()}]))
    assert (entry.published_at.date() if entry.published_at else None) == day


@pytest.mark.parametrize(
    ("title", "subtitle", "read"),
    [
        ("Dark matter", "Evidence from lensing", "Dark matter: Evidence from lensing"),
        ("Dark matter: Evidence", "Evidence", "Dark matter: Evidence"),
        ("The cause of edema in children", "Edema in children of today", "The cause of edema in children"),
        ("A <mml:math><mml:mi>K</mml:mi></mml:math>-frame &amp;amp; more", "", "A K-frame & more"),
        ("A<subtitle>And B</subtitle>", "", "A: And B"),
        ("On $x<y$ and z>w", "", "On $x<y$ and z>w"),
    ],
)
def test_titles_are_text_with_their_subtitles(parser: Parser, title: str, subtitle: str, read: str) -> None:
    assert only(works(parser, [work(title=[title], subtitle=[subtitle])])).title == read


@pytest.mark.parametrize(
    ("licenses", "url"),
    [
        ([{"URL": "https://p.test/tdm", "content-version": "tdm"}], None),
        (
            [
                {"URL": "https://p.test/am", "content-version": "am"},
                {"URL": "https://p.test/vor", "content-version": "vor"},
            ],
            1,
        ),
        ([{"URL": None}, None, {"URL": "https://p.test/all"}], 2),
        ({"URL": "https://p.test/"}, None),
    ],
)
def test_the_licence_is_the_readers(parser: Parser, licenses: Any, url: int | None) -> None:
    expected = None if url is None else licenses[url]["URL"]
    assert only(works(parser, [work(license=licenses)])).license_url == expected


def test_a_preprint_has_its_servers_subject_and_no_journal(parser: Parser) -> None:
    record = work(**{"type": "posted-content", "group-title": "Neuroscience", "DOI": "10.1101/2026.05.30.123456"})
    entry = only(works(parser, [record]))
    assert (entry.categories, entry.journal_ref, entry.doi) == (("Neuroscience",), None, "10.1101/2026.05.30.123456")


@pytest.mark.parametrize(
    ("links", "arxiv_id"),
    [
        ([{"id-type": "arxiv", "id": "2606.00012", "asserted-by": "subject"}], "2606.00012"),
        ([{"id-type": "doi", "id": "10.48550/arXiv.2606.00012v2", "asserted-by": "subject"}], "2606.00012"),
        ([{"id-type": "doi", "id": "10.1101/2026.05.30.123456", "asserted-by": "subject"}], None),
        ([{"id-type": "arxiv", "id": "2606.00012", "asserted-by": "object"}], None),
        ([{"id-type": "arxiv", "id": f"2606.0001{n}", "asserted-by": "subject"} for n in (2, 3)], None),
        ([None, "2606.00012", {"id-type": "arxiv", "id": 2606.00012}], None),
        ({"id": "2606.00012"}, None),
    ],
)
def test_a_preprint_is_linked_where_the_publisher_names_one(parser: Parser, links: Any, arxiv_id: str | None) -> None:
    assert only(works(parser, [work(relation={"has-preprint": links})])).arxiv_id == arxiv_id


def test_what_is_no_paper_is_left_out_and_counted(parser: Parser) -> None:
    others = [work(type=kind) for kind in ("component", "component", "journal-issue")]
    harvest = works(parser, [*others, work()])
    assert (len(harvest.entries), harvest.listed) == (1, 4)
    assert harvest.notes == ("left out: 2 of type component", "left out: 1 of type journal-issue")


def test_a_garbled_record_costs_itself_only(parser: Parser) -> None:
    harvest = works(parser, [None, work(DOI=None), work(DOI="no doi"), work(DOI=7), work()])
    assert len(harvest.entries) == 1
    assert harvest.problems == (
        "entry number 1: it is no JSON object",
        "entry number 2: it has no DOI",
        "entry no doi: it has no DOI",
        "entry number 4: it has no DOI",
    )


# Crossref: retractions


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"updated-by": [{"DOI": "10.1000/n", "type": "retraction"}]}, "RETRACTED: A"),
        ({"updated-by": [{"DOI": "10.1000/n", "type": "Withdrawal"}]}, "RETRACTED: A"),
        ({"update-to": [{"DOI": "10.1000/abc.1", "type": "retraction"}]}, "RETRACTED: A"),  # its own new version
        ({"title": ["RETRACTED ARTICLE: A"]}, "RETRACTED: A"),
        ({"title": ["[Retracted] A"], "updated-by": [{"DOI": "10.1000/n", "type": "retraction"}]}, "RETRACTED: A"),
        ({"title": ["WITHDRAWN: A"]}, "WITHDRAWN: A"),
    ],
)
def test_a_retracted_paper_is_one_in_its_title(parser: Parser, changes: dict[str, Any], title: str) -> None:
    entry = only(works(parser, [work(**{"title": ["A"]} | changes)]))
    assert entry.title == title
    assert is_withdrawn(entry)


@pytest.mark.parametrize(
    "changes",
    [
        {"updated-by": [{"DOI": "10.1000/n", "type": "correction"}, {"DOI": "10.1000/m", "type": "new_version"}]},
        {"updated-by": [None, {"type": None}]},
        {"title": ["Retracted papers in medicine: a count"]},
        {"title": ["Retracted-by-author networks"]},
        {"title": ["Retracted: A"], "update-to": [{"DOI": "10.1000/old", "type": "retraction"}]},  # the notice
        {"title": ["Correction to: A"], "update-to": [{"DOI": "10.1000/old", "type": "correction"}]},
    ],
)
def test_what_is_not_retracted_is_not_said_to_be(parser: Parser, changes: dict[str, Any]) -> None:
    (entry,) = works(parser, [work(**changes)]).entries
    assert not is_withdrawn(entry)


def test_what_a_notice_retracts_is_asked_for_however_old_it_is(parser: Parser) -> None:
    notice = work(
        **{"update-to": [{"DOI": "10.1000/OLD", "type": "retraction"}, {"DOI": "10.1/c", "type": "correction"}]}
    )
    (request,) = works(parser, [notice, notice]).following
    assert asked(request)["filter"] == "doi:10.1000/old"
    old = work(DOI="10.1000/OLD", title=["Of old"], created={"date-parts": [[2009, 1, 1]]})
    harvest = works(parser, [old], request=request)
    assert (only(harvest).title, harvest.following, harvest.mark) == ("RETRACTED: Of old", (), "2026-06-02")


# Crossref: answers that are no list


@pytest.mark.parametrize(
    ("document", "status", "error", "said"),
    [
        (b"Resource not found.", 404, FetchError, "HTTP 404: Crossref knows no journal with the ISSN 1234-5678"),
        ({"message": [{"message": "Cursor\nspecified but invalid"}]}, 404, FetchError, "Cursor specified but invalid"),
        ({"status": "failed", "message": [{"message": "no such filter"}]}, 400, FetchError, "'no such filter'"),
        ({"status": "error", "message": "Oops"}, 200, ParseError, "Crossref says 'Oops'"),
        ({"message": [{"message": "slow down"}]}, 429, FetchError, "HTTP 429: it is asked too often"),
        (b"<html>Gateway Time-out", 504, FetchError, "HTTP 504: the server fails"),
        (b"", 200, ParseError, "damaged JSON"),
        (b'{"message": {"items": [', 200, ParseError, "damaged JSON"),
        (b"[" * 100_000, 200, ParseError, "damaged JSON"),
        (b"[]", 200, ParseError, "no list of works"),
        ({"message": {"items": None}}, 200, ParseError, "no list of works"),
        ({"message-type": "member-list", "message": {"items": [{"id": 98}]}}, 200, ParseError, "no list of works"),
    ],
)
def test_an_answer_without_works_has_one_clear_line(
    parser: Parser, document: Any, status: int, error: type[SourceError], said: str
) -> None:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(error) as caught:
        works(parser, body, status=status)
    assert said in caught.value.reason
    assert "\n" not in caught.value.reason
