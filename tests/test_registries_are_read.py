"""Crossref and PubMed as captured: every answer is read or has a reason; a list is read page by page to its end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from flows.parsing import Parser
from flows.sources import adapter_for
from flows.sources.interface import Harvest
from storage.errors import FetchError, SourceError
from storage.model import Entry
from storage.settings import Limits, Source
from storage.text import clean
from tests.fetching_tools import Clock, a_fetcher, fetched
from tests.recordings import as_list, recorded
from tests.registry_tools import ARTICLES, CROSSREF, JOURNAL, PAGE, PUBMED, SEARCH, SEARCHED, asked, work, works
from tests.servers import Answer, Ask, Server

NO_WORKS = "it returned JSON that is no list of works"
NOW = datetime(2026, 6, 2, 6, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with Parser(Limits()) as parser:
        yield parser


# All captures


def read_all(parser: Parser, source: Source, folder: Path) -> tuple[list[Entry], dict[str, str], list[str]]:
    """Entries of all captures, the reason of each file without one, and problems of single entries."""
    entries: list[Entry] = []
    reasons: dict[str, str] = {}
    problems: list[str] = []
    yielding: set[str] = set()
    adapter, request = adapter_for(source.kind), PAGE if source.kind == "crossref" else ARTICLES
    for answer in recorded(folder):
        try:
            harvest = adapter.read(source, request, fetched(as_list(answer), status=answer.status), parser)
        except SourceError as error:
            reasons.setdefault(answer.file, error.reason)
            continue
        entries += harvest.entries
        singles = [problem for problem in harvest.problems if problem.startswith("entry")]
        problems += singles
        yielding |= {answer.file} if harvest.entries else set()
        reasons.setdefault(answer.file, "; ".join((*singles, *harvest.notes)) or "it lists nothing")
    return entries, {file: why for file, why in reasons.items() if file not in yielding}, problems


def print_shares(name: str, entries: list[Entry], reasons: dict[str, str]) -> dict[str, float]:
    fields = ("entry_id", "title", "authors", "abstract", "published_at", "announced_on", "doi", "journal_ref")
    shares = {field: sum(bool(getattr(e, field)) for e in entries) / len(entries) for field in fields}
    print(f"\n{name}: {len(entries)} entries; " + ", ".join(f"{field} {share:.3f}" for field, share in shares.items()))
    for file, why in sorted(reasons.items()):
        print(f"  nothing in {file}: {why}")
    return shares


def grouped(reasons: dict[str, str]) -> dict[str, int]:
    """How many files have which kind of reason: the status, or what stands before the details."""
    return dict(Counter(why[:8] if why.startswith("HTTP") else why.partition(" (")[0] for why in reasons.values()))


def test_every_capture_of_crossref_is_read_or_has_a_reason(parser: Parser, unpack: Callable[[str], Path]) -> None:
    entries, reasons, problems = read_all(parser, JOURNAL, unpack("crossref"))
    shares = print_shares("crossref", entries, reasons)
    assert len(entries) == 1898
    assert problems == ["entry 10.1086\\/305772: it has no DOI"]  # a hand-made copy, escaped twice
    assert shares["entry_id"] == shares["doi"] == 1.0
    assert shares["title"] > 0.99
    assert shares["authors"] > 0.8  # reference works and front matter have none
    assert grouped(reasons) == {
        "HTTP 301": 2,
        "HTTP 302": 4,
        "HTTP 400": 14,
        "HTTP 404": 17,
        "HTTP 504": 1,
        NO_WORKS: 84,  # of journals, members, agencies; what others made of works
        "it returned damaged JSON": 1,  # XML
        "entry 10.1086\\/305772: it has no DOI": 1,
        "left out: 20 of type standard": 1,
        "left out: 1 of type peer-review": 1,
        "it lists nothing": 2,  # counts only; an empty list
    }
    marks = ("</", "<jats", "<mml", "&amp;", "&lt;")
    assert not [e.entry_id for e in entries if any(mark in e.title + e.abstract for mark in marks)]
    assert all(clean(entry, Limits()).title for entry in entries if entry.title)


@pytest.mark.parametrize(
    ("pack", "groups"),
    [
        ("semanticscholar", {"HTTP 400": 2, "HTTP 403": 1, "HTTP 404": 1, NO_WORKS: 38, "it returned damaged JSON": 1}),
        ("multi", {NO_WORKS: 3, "it returned damaged JSON": 3}),
    ],
)
def test_other_apis_are_not_taken_for_crossref(
    parser: Parser, unpack: Callable[[str], Path], pack: str, groups: dict[str, int]
) -> None:
    folder = unpack(pack)
    reasons = {}
    for answer in recorded(folder):
        with pytest.raises(SourceError) as caught:
            CROSSREF.read(JOURNAL, PAGE, fetched(answer.body, status=answer.status), parser)
        reasons[answer.file] = caught.value.reason
    print(f"\n{pack}:", *(f"\n  nothing in {file}: {why}" for file, why in sorted(reasons.items())))
    assert reasons.keys() == {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert grouped(reasons) == groups


def test_every_capture_of_pubmed_is_read_or_has_a_reason(parser: Parser, unpack: Callable[[str], Path]) -> None:
    entries, reasons, problems = read_all(parser, SEARCH, unpack("pubmed"))
    shares = print_shares("pubmed", entries, reasons)
    assert (len(entries), problems) == (129, [])
    assert {name: shares[name] for name in ("entry_id", "title", "authors", "announced_on")} == dict.fromkeys(
        ("entry_id", "title", "authors", "announced_on"), 1.0
    )
    assert min(shares["doi"], shares["abstract"], shares["published_at"]) > 0.85
    said = {Path(file).name: why for file, why in reasons.items()}
    assert said.pop("37909814.xml") == "it lists nothing"  # a set without an article
    assert said.pop("epost3.xml") == "PubMed says 'Empty ID list; Nothing to store'"
    assert said.pop("esummary8.xml") == "PubMed says 'Neither query_key nor id specified'"
    assert said.pop("einfo4.xml").startswith("it returned damaged XML")
    others = {f"it returned <{root}> and no articles" for root in OTHER_ROOTS}
    assert set(said.values()) == others  # other databases and tools of the same provider


OTHER_ROOTS = (
    *("BioSampleSet", "pmc-articleset", "IPGReportSet", "eInfoResult", "eLinkResult", "ePostResult", "eSearchResult"),
    *("eSpellResult", "eSummaryResult", "SerialsSet", "GBSet", "TSeqSet", "TaxaSet", "article"),
)


def test_a_captured_search_and_its_articles_are_read(parser: Parser, unpack: Callable[[str], Path]) -> None:
    folder = next(unpack("multi").rglob("pubmed_esearch.json")).parent
    day = replace(SEARCHED, key="2026-06-02 search 2026-06-01 2026-06-01")
    harvest = PUBMED.read(SEARCH, day, fetched((folder / "pubmed_esearch.json").read_bytes()), parser)
    (request,) = harvest.following
    assert harvest.problems == ("only 5 of 42,111 articles of 2026-06-01 can be had: use a narrower query",)
    articles = PUBMED.read(SEARCH, request, fetched((folder / "pubmed_efetch.xml").read_bytes()), parser)
    assert articles.problems == ()
    assert {e.pmid for e in articles.entries} == set(asked(request)["id"].split(","))


# Page after page


def test_a_list_is_read_to_its_end(parser: Parser) -> None:
    """Three pages under one cursor, as Crossref hands it out; then a host that wants rest."""
    pages = [[work(DOI=f"10.1000/{page}.{n}") for n in range(2)] for page in range(3)]

    def route(ask: Ask) -> Answer:
        if not pages:
            return Answer(status=429, headers={"Retry-After": "30"})
        message = {"items": pages.pop(0), "total-results": 6, "next-cursor": "DnF1ZXJ5+/="}
        document = {"status": "ok", "message-type": "work-list", "message": message}
        return Answer(
            body=json.dumps(document).encode(), headers={"x-rate-limit-limit": "50", "x-rate-limit-interval": "1s"}
        )

    with Server({"/journals/1234-5678/works": route}) as server, a_fetcher(clock=Clock()) as fetcher:
        source = JOURNAL.model_copy(update={"base_url": server.url("")})
        harvests = follow(source, parser, fetcher.get)
        assert [e.doi for h in harvests for e in h.entries] == [f"10.1000/{p}.{n}" for p in range(3) for n in range(2)]
        assert (harvests[-1].mark, harvests[-1].problems) == ("2026-06-02", ())
        cursors = [parse_qs(urlsplit(path).query)["cursor"] for path in server.paths]
        assert cursors == [["*"], ["DnF1ZXJ5+/="], ["DnF1ZXJ5+/="]]
        assert all("#" not in path for path in server.paths)
        with pytest.raises(FetchError) as caught:
            follow(source, parser, fetcher.get)
        assert (caught.value.status, caught.value.retry_after_seconds) == (429, 30.0)


def follow(source: Source, parser: Parser, get: Callable[[Source, str], Any]) -> list[Harvest]:
    waiting, harvests, seen = [*CROSSREF.plan(source, now=NOW)], [], set()
    while waiting:
        request = waiting.pop(0)
        assert request.url not in seen  # each page has an address of its own, whatever its cursor is
        seen.add(request.url)
        harvests.append(CROSSREF.read(source, request, get(source, request.url), parser))
        waiting += harvests[-1].following
    return harvests


@pytest.mark.parametrize(
    ("items", "cursor", "problem"),
    [(0, "x", "the list ends after 400 of 1,000"), (3, None, "the list ends after 403 of 1,000")],
)
def test_a_list_that_ends_early_leaves_no_mark(parser: Parser, items: int, cursor: str | None, problem: str) -> None:
    message = {"items": [work()] * items, "total-results": 1_000, "next-cursor": cursor}
    harvest = works(parser, {"message": message}, request=replace(PAGE, key="2026-06-02 from 400"))
    assert (harvest.problems, harvest.mark, harvest.following) == ((problem,), None, ())


def test_a_very_long_list_goes_on_next_time_where_it_stopped(parser: Parser) -> None:
    message = {"items": [work()], "total-results": 50_000, "next-cursor": "x"}
    harvest = works(parser, {"message": message}, request=replace(PAGE, key="2026-06-02 from 19999"))
    assert harvest.problems == (
        "20,000 of 50,000 works read, the others next time: a narrower query brings them sooner",
    )
    assert (harvest.mark, harvest.following) == ("2026-06-01", ())
