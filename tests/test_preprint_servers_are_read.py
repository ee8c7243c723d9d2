"""arXiv's API, bioRxiv and OpenReview: every field as the server says it; what is garbled costs itself and says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.decide import decide
from flows.sources import adapter_for
from flows.sources.paging import license_address
from storage.archive import Archive
from storage.errors import FetchError, ParseError, SourceError
from storage.model import Announcement, Entry
from storage.settings import Limits
from tests.preprint_documents import (
    NOW,
    SOURCES,
    arxiv_entry,
    arxiv_error,
    arxiv_feed,
    biorxiv_page,
    biorxiv_row,
    note,
    only,
    read,
    source_of,
)

MARK = "2026-06-01T12:00:00+00:00"


def urls(kind: str, *, mark: str | None = None, **changes: Any) -> list[str]:
    """The addresses a read begins with, without the host."""
    source = source_of(kind, **changes)
    return [r.url.split("/", 3)[3] for r in adapter_for(source.kind).plan(source, now=NOW, mark=mark)]


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_has_an_adapter_a_cadence_and_a_mirror(kind: str) -> None:
    adapter = adapter_for(source_of(kind).kind)
    assert len(adapter.default_schedule.split()) == 5
    assert adapter.delay_seconds >= 1
    own = adapter.plan(source_of(kind), now=NOW)
    mirrored = adapter.plan(source_of(kind, base_url="http://127.0.0.1:9/replay/"), now=NOW)
    assert [r.url.split("/", 3)[3] for r in own] == [r.url.split("/", 4)[4] for r in mirrored]
    assert all(r.url.startswith("https://") and not r.conditional for r in own)


@pytest.mark.parametrize("kind", SOURCES)
def test_a_mark_that_is_none_of_ours_is_as_good_as_none(kind: str) -> None:
    assert urls(kind, mark="token|9") == urls(kind)


# arXiv's API


def test_a_query_is_asked_for_newest_change_first() -> None:
    query = urls("arxiv-api", query='cat:cs.CL AND ti:"x y"')
    assert query == [
        "api/query?search_query=cat%3Acs.CL+AND+ti%3A%22x+y%22&sortBy=lastUpdatedDate&sortOrder=descending"
        "&start=0&max_results=200"
    ]
    assert urls("arxiv-api", query="cat:cs.CL+AND+ti:%22x+y%22") == query, "as arXiv's own addresses write it"


def test_a_list_of_ids_is_asked_for_as_such_two_hundred_at_a_time() -> None:
    assert urls("arxiv-api", query="2606.00012, hep-th/9901001,arXiv:2104.12255v1,2606.00012") == [
        "api/query?id_list=2606.00012,hep-th/9901001,2104.12255v1&max_results=200"
    ]
    many = urls("arxiv-api", query=",".join(f"2606.{n:05}" for n in range(1, 402)))
    assert [url.count("2606.") for url in many] == [200, 200, 1]
    assert "search_query" in urls("arxiv-api", query="2606.00012,cat:cs.CL")[0]


def test_an_arxiv_entry_is_read_in_full() -> None:
    extra = (
        "<arxiv:comment>Code at https://github.com/lab/tool</arxiv:comment><arxiv:doi>10.1000/ABC</arxiv:doi>"
        "<arxiv:journal_ref>J. Tests 1 (2026)</arxiv:journal_ref>"
    )
    assert only(read("arxiv-api", arxiv_feed(arxiv_entry("2606.00012v2", extra=extra)))) == Entry(
        source="arxiv-api",
        entry_id="http://arxiv.org/abs/2606.00012v2",
        title="On the Length of Titles",
        abstract="We show $x<y$.",
        authors=("Ada Example", "Béla Minta"),
        categories=("cs.CL", "cs.AI"),
        url="https://arxiv.org/abs/2606.00012",
        pdf_url="https://arxiv.org/pdf/2606.00012v2",
        code_url="https://github.com/lab/tool",
        arxiv_id="2606.00012",
        version=2,
        doi="10.1000/abc",
        published_at=datetime(2026, 6, 1, 17, 59, 59, tzinfo=UTC),
        journal_ref="J. Tests 1 (2026)",
        text_rank=3,
    )


def test_a_broken_title_is_one_line_and_a_broken_abstract_keeps_its_lines() -> None:
    entry = only(
        read("arxiv-api", arxiv_feed(arxiv_entry(title="On the\n  Length", summary="  One\ntwo.\n  Three  four.\n")))
    )
    assert (entry.title, entry.abstract) == ("On the Length", "One\ntwo.\n  Three  four.")


@pytest.mark.parametrize(
    ("number", "published", "query", "kind"),
    [
        ("2606.00012v1", "2026-06-01T17:59:59Z", "cat:cs.CL", None),
        ("2606.00012v2", "2026-05-28T17:59:59Z", "cat:cs.CL", None),  # new to who reads for the first time
        ("1904.00012v3", "2019-04-01T17:59:59Z", "cat:cs.CL", "replace"),
        ("1904.00012v3", "2019-04-01T17:59:59Z", "1904.00012", None),  # asked for by name
    ],
)
def test_a_late_version_of_an_old_paper_is_no_new_paper(
    number: str, published: str, query: str, kind: str | None
) -> None:
    entry = only(read("arxiv-api", arxiv_feed(arxiv_entry(number, published=published)), query=query))
    assert entry.announce_type == kind


def test_an_arxiv_entry_without_an_id_costs_itself_only() -> None:
    harvest = read("arxiv-api", arxiv_feed(arxiv_entry("nothing"), arxiv_entry("hep-th/9901001v1")))
    assert only(harvest).arxiv_id == "hep-th/9901001"
    assert harvest.problems == ("entry http://arxiv.org/abs/nothing: it has no arXiv id",)
    assert harvest.listed == 2


@pytest.mark.parametrize("odd", ["\x0b", "&#x1;", "&#11;", "&#x1F;", "&#31;"])
def test_a_character_that_xml_may_not_carry_costs_itself_only(odd: str) -> None:
    body = arxiv_feed(arxiv_entry()).replace("We show", f"We{odd} show")
    assert only(read("arxiv-api", body)).abstract == "We show $x<y$."


@pytest.mark.parametrize("fine", ["&#9;", "&#10;", "&#13;", "&#x9;", "&#xA;", "&#32;", "&#x11;"[:-1] + "0;"])
def test_references_that_xml_may_carry_stay(fine: str) -> None:
    body = arxiv_feed(arxiv_entry()).replace("We show", f"We{fine}show")
    assert only(read("arxiv-api", body)).abstract != "Weshow $x<y$."


def test_what_a_query_finds_none_of_is_a_note() -> None:
    harvest = read("arxiv-api", arxiv_feed(total=0))
    assert (harvest.entries, harvest.following, harvest.notes) == ((), (), ("the query has no results",))


def test_an_id_that_arxiv_does_not_know_is_named() -> None:
    harvest = read("arxiv-api", arxiv_feed(arxiv_entry("2606.00012v3")), query="2606.00012v3,2606.00019")
    assert harvest.notes == ("arXiv does not know 2606.00019",)
    assert (only(harvest).version, harvest.mark, harvest.following) == (3, None, ())


@pytest.mark.parametrize("status", [200, 400])
def test_an_arxiv_error_is_told_in_arxivs_words(status: int) -> None:
    with pytest.raises(SourceError, match="arXiv refuses the query: incorrect id format for abc"):
        read("arxiv-api", arxiv_error("incorrect id format for abc"), status=status)


BOMB = "<!DOCTYPE f [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]>"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("Rate exceeded.", 429, "HTTP 429: it is asked too often"),
        ("<html>busy</html>", 503, "HTTP 503: the server fails"),
        ("<html>Bad Request</html>", 400, "HTTP 400: no success"),
        (arxiv_feed(arxiv_entry()), 400, "HTTP 400: no success"),
        ("<html><title>Maintenance</title>", 200, "it returned an HTML page"),
        ("", 200, "it returned nothing"),
        ("Rate exceeded.", 200, "it returned damaged XML"),
        (arxiv_feed(arxiv_entry())[:-90], 200, "it returned damaged XML"),
        ("<rss version='2.0'><channel/></rss>", 200, "it returned XML that is no Atom feed"),
        (BOMB + arxiv_feed(arxiv_entry()).partition("?>")[2], 200, "it returned XML that is no Atom feed"),
    ],
)
def test_what_is_no_arxiv_feed_says_so_in_one_line(body: str, status: int, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        read("arxiv-api", body, status=status)
    assert caught.value.reason.startswith(said)
    assert "\n" not in caught.value.reason


# bioRxiv and medRxiv


def test_days_are_asked_for_from_the_mark_on() -> None:
    assert urls("biorxiv") == ["details/biorxiv/2026-05-19/2026-06-02/0"]
    assert urls("biorxiv", mark=MARK) == ["details/biorxiv/2026-05-30/2026-06-02/0"]
    assert urls("biorxiv", server="medrxiv", category="Cell  Biology", days=1) == [
        "details/medrxiv/2026-06-01/2026-06-02/0?category=cell_biology"
    ]


@pytest.mark.parametrize("doi", ["10.1101/2024.01.01.573850", "10.64898/2026.05.30.123456"])
def test_a_biorxiv_row_is_read_in_full(doi: str) -> None:
    assert only(read("biorxiv", biorxiv_page([biorxiv_row(doi)]))) == Entry(
        source="biorxiv",
        entry_id=doi,
        title="On the Length of Tails",
        abstract="Background\nTails are long.",
        authors=("A. B. Example", "B. Minta Jr.", "The Tail Consortium"),
        categories=("cell biology",),
        url=f"https://www.biorxiv.org/content/{doi}",
        pdf_url=f"https://www.biorxiv.org/content/{doi}v1.full.pdf",
        version=1,
        doi=doi,
        announced_on=date(2026, 6, 1),
        published_at=datetime(2026, 6, 1, tzinfo=UTC),
        license_url="https://creativecommons.org/licenses/by-nc/4.0/",
        text_rank=3,
    )


def test_a_later_version_is_a_replacement_and_says_nothing_of_the_first_day() -> None:
    entry = only(read("biorxiv", biorxiv_page([biorxiv_row(version=3)]), server="medrxiv"))
    assert (entry.version, entry.announce_type, entry.published_at) == (3, "replace", None)
    assert entry.pdf_url == "https://www.medrxiv.org/content/10.64898/2026.05.30.123456v3.full.pdf"


def test_a_published_preprint_is_one_paper_with_both_dois(tmp_path: Path) -> None:
    archive = Archive(tmp_path, limits=Limits())
    first = read("biorxiv", biorxiv_page([biorxiv_row()])).entries
    then = read("biorxiv", biorxiv_page([biorxiv_row(version="2", published="10.1038/S41586-026-1")])).entries
    commits = [
        archive.append(e, source="biorxiv", batch_id=str(n), now=NOW + timedelta(days=n), decide=decide)
        for n, e in enumerate((first, then))
    ]
    (paper,) = archive.papers(["doi:10.64898/2026.05.30.123456"]).values()
    assert {"doi:10.64898/2026.05.30.123456", "doi:10.1038/s41586-026-1"} <= set(paper.aliases)
    assert (paper.doi, paper.version, archive.index.papers_count()) == ("10.1038/s41586-026-1", 2, 1)
    assert commits[0].announcements == {Announcement.NEW: 1}
    assert commits[1].announcements[Announcement.PUBLISHED] == 1


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (None, "entry number 2: it is no JSON object"),
        (biorxiv_row("10.1038/x"), "entry 10.1038/x: it has no DOI of biorxiv"),
        (biorxiv_row("", title="T"), "entry T: it has no DOI of biorxiv"),
    ],
)
def test_a_garbled_row_costs_itself_only(broken: Any, problem: str) -> None:
    harvest = read("biorxiv", biorxiv_page([biorxiv_row(), broken, biorxiv_row("10.1101/123456")]))
    assert [e.doi for e in harvest.entries] == ["10.64898/2026.05.30.123456", "10.1101/123456"]
    assert (harvest.problems, harvest.listed) == ((problem,), 3)


def test_fields_of_the_wrong_shape_are_unknown() -> None:
    entry = only(read("biorxiv", biorxiv_page([biorxiv_row(authors=None, version="x", date="soon", license=7)])))
    assert (entry.authors, entry.version, entry.announced_on, entry.license_url) == ((), None, None, None)


def test_days_without_a_posting_are_asked_for_again() -> None:
    harvest = read("biorxiv", {"messages": [{"status": "no posts found"}], "collection": []})
    assert (harvest.entries, harvest.mark, harvest.following) == ((), None, ())
    assert harvest.notes == ("nothing posted since 2026-05-19",)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (biorxiv_page([], status="Error: invalid\n date"), "it says 'Error: invalid date'"),
        ({"messages": [{"status": "ok"}]}, "it returned JSON that is no list of papers"),
        ({"messages": [], "collection": []}, "it returned JSON that is no list of papers"),
        ([], "it returned JSON that is no object"),
        ("<br />\n<b>Warning</b>: mysqli", "it returned damaged JSON"),
    ],
)
def test_an_error_inside_a_success_is_an_error(body: Any, said: str) -> None:
    with pytest.raises(ParseError) as caught:
        read("biorxiv", body)
    assert caught.value.reason.startswith(said)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("cc_by_nc_nd", "licenses/by-nc-nd/4.0/"),
        ("CC BY-SA 3.0", "licenses/by-sa/3.0/"),
        ("cc0", "publicdomain/zero/1.0/"),
        ("CC0 1.0", "publicdomain/zero/1.0/"),
        ("cc_no", None),
        ("All rights reserved", None),
        (None, None),
    ],
)
def test_a_licence_has_its_address(name: Any, path: str | None) -> None:
    assert license_address(name) == (f"https://creativecommons.org/{path}" if path else None)


# OpenReview


def notes(*listed: Any, count: int | None = None) -> dict[str, Any]:
    return {"notes": list(listed), "count": len(listed) if count is None else count}


def test_a_venue_is_asked_for_newest_change_first() -> None:
    assert urls("openreview") == [
        "notes?content.venueid=ICLR.cc/2026/Conference&sort=tmdate:desc&count=true&limit=200&offset=0"
    ]


V2 = Entry(
    source="openreview",
    entry_id="aBcD_12345",
    title="On the Length of Reviews",
    abstract="We show $x<y$. Code: https://github.com/lab/tool.",
    authors=("Ada Example", "Béla Minta"),
    categories=("reviews", "length"),
    url="https://openreview.net/forum?id=aBcD_12345",
    pdf_url="https://openreview.net/pdf/0123456789abcdef.pdf",
    code_url="https://github.com/lab/tool",
    openreview_id="aBcD_12345",
    published_at=datetime.fromtimestamp(1_769_000_000, UTC),
    journal_ref="ICLR 2026 Poster",
    license_url="https://creativecommons.org/licenses/by/4.0/",
    text_rank=3,
)


def plain_note(**changes: Any) -> dict[str, Any]:
    """A note as API v1 writes it: plain values, one invitation, no licence."""
    told = note()
    content = {name: value["value"] for name, value in told["content"].items() if name != "venueid"}
    del told["license"], told["invitations"]
    return told | {"invitation": "ICLR.cc/2020/Conference/-/Blind_Submission", "content": content} | changes


def test_a_note_is_read_in_full_in_both_styles() -> None:
    assert only(read("openreview", notes(note()))) == V2
    assert only(read("openreview", notes(plain_note()))) == replace(V2, license_url=None)


def test_links_win_over_the_abstract_and_lead_where_they_say() -> None:
    entry = only(
        read(
            "openreview", notes(note(code="https://code.test/x", pdf="https://arxiv.org/pdf/2606.00012", doi="10.1/x"))
        )
    )
    assert (entry.code_url, entry.pdf_url) == ("https://code.test/x", "https://arxiv.org/pdf/2606.00012")
    assert only(read("openreview", notes(note(pdf="http://[")))).pdf_url is None


@pytest.mark.parametrize("hidden", [None, [], ["Anonymous"], {"readers": ["ICLR.cc"]}, 7, [None, {"username": "~A1"}]])
def test_hidden_authors_are_none(hidden: Any) -> None:
    told = note(authors=hidden)
    if isinstance(hidden, dict):
        told["content"]["authors"] = hidden  # a field one may not read has readers and no value
    assert only(read("openreview", notes(told))).authors == ()


def test_authors_may_be_a_text_or_objects() -> None:
    for said in ("Ada Example; Béla Minta", [{"fullname": "Ada Example"}, {"name": "Béla Minta"}]):
        assert only(read("openreview", notes(note(authors=said)))).authors == V2.authors


@pytest.mark.parametrize(
    ("venue", "venue_id", "said"),
    [
        ("ICLR 2026 Oral", "ICLR.cc/2026/Conference", "ICLR 2026 Oral"),
        ("Submitted to ICLR 2026", "ICLR.cc/2026/Conference", None),
        ("ICLR 2026 Conference Submission", "ICLR.cc/2026/Conference/Submission", None),
        ("ICLR 2026", "ICLR.cc/2026/Conference/Rejected_Submission", None),
        (None, "ICLR.cc/2026/Conference", None),
    ],
)
def test_only_an_accepted_paper_has_a_venue(venue: str | None, venue_id: str, said: str | None) -> None:
    entry = only(read("openreview", notes(note(venue=venue, venueid=venue_id)), venue=venue_id))
    assert entry.journal_ref == said


def test_a_withdrawn_paper_says_so_and_a_desk_rejected_one_is_left_out(tmp_path: Path) -> None:
    venue = "ICLR.cc/2026/Conference"
    v1 = plain_note(id="v1v1v1", forum="v1v1v1", invitation=f"{venue}/-/Withdrawn_Submission")
    rejected = note("desk12", venueid=f"{venue}/Desk_Rejected_Submission")
    harvest = read("openreview", notes(note(venueid=f"{venue}/Withdrawn_Submission", venue=None), v1, rejected))
    assert [e.title for e in harvest.entries] == ["[WITHDRAWN] On the Length of Reviews"] * 2
    assert harvest.notes == ("1 desk-rejected papers left out",)
    archive = Archive(tmp_path, limits=Limits())
    archive.append([V2], source="openreview", batch_id="1", now=NOW, decide=decide)
    later = NOW + timedelta(days=1)
    commit = archive.append(harvest.entries[:1], source="openreview", batch_id="2", now=later, decide=decide)
    assert commit.announcements[Announcement.WITHDRAWN] == 1


def test_reviews_and_deleted_papers_are_no_papers() -> None:
    review = note("r1r1r1") | {"forum": "aBcD_12345", "replyto": "aBcD_12345"}
    gone = note("gone12") | {"ddate": 1_769_000_000_000}
    harvest = read("openreview", notes(note(), review, gone, None, note("") | {"forum": ""}))
    assert only(harvest).openreview_id == "aBcD_12345"
    assert harvest.notes == ("1 reviews and comments left out", "1 deleted papers left out")
    assert harvest.problems == (
        "entry number 2: it is no JSON object",
        "entry number 3: it has no OpenReview id",
    )


def test_a_refusal_is_told_in_openreviews_words_with_its_time() -> None:
    said = {"name": "RateLimitError", "message": "Too many requests: 37 of 36.", "status": 429}
    body = said | {"details": {"resetTime": "2026-06-02T07:00:00.000Z"}}
    with pytest.raises(FetchError) as caught:
        read("openreview", body, status=429)
    assert caught.value.reason == "HTTP 429: OpenReview says 'Too many requests: 37 of 36.'"
    assert (caught.value.status, caught.value.retry_after_seconds) == (429, 3600.0)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"name": "ChallengeRequiredError", "message": "Challenge required"}, 403, "HTTP 403: OpenReview says 'Chall"),
        ("<html>", 502, "HTTP 502: the server fails"),
        ({"name": "Error", "message": "venue\nunknown"}, 200, "it says 'venue unknown'"),
        ({}, 200, "it returned JSON without notes"),
        ("", 200, "it returned damaged JSON"),
    ],
)
def test_what_holds_no_notes_says_so_in_one_line(body: Any, status: int, said: str) -> None:
    with pytest.raises(SourceError) as caught:
        read("openreview", body, status=status)
    assert caught.value.reason.startswith(said)
