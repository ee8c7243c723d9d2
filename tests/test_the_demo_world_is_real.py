"""The demo replays real papers, summarised in our own words, and says what of them is staged."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from flows.replay import DemoPaper
from storage.query import parse_query
from storage.settings import Settings, load_settings
from tests.builders import a_paper
from tests.demo_world import (
    DATA,
    FIRST,
    LAST,
    NAMESPACES,
    announce_type,
    at,
    captured_lists,
    creators,
    daily,
    feed,
    items,
)

# Numbers that a summary rounds or adds up: the text of the authors has them in another form.
ROUNDED = {
    "2606.10061": {"62"},  # 61.8 and 61.7
    "2606.11563": {"476,000"},  # 476K
    "2606.10735": {"0.87"},  # 0.8696
}


@dataclass(frozen=True)
class Captured:
    """A paper as a captured answer has it."""

    title: str
    authors: tuple[str, ...]
    categories: tuple[str, ...]
    abstract: str
    days: frozenset[str] = frozenset()
    version: int = 1
    doi: str | None = None
    journal_ref: str | None = None


def folded(text: str | None) -> str:
    return " ".join((text or "").split())


def own(*, staged: bool) -> list[DemoPaper]:
    return [paper for paper in DATA.papers if paper.staged is staged]


def summaries(paper: DemoPaper) -> set[str]:
    return {paper.summary, *(told.summary for told in paper.told)}


# --- what was captured ---


@pytest.fixture(scope="module")
def rss_folder(unpack: Callable[[str], Path]) -> Path:
    return unpack("arxiv_rss_replay")


@pytest.fixture(scope="module")
def announced(rss_folder: Path) -> dict[str, Captured]:
    """Every paper of the captured RSS feeds, by id."""
    days: dict[str, set[str]] = {}
    found: dict[str, Captured] = {}
    for path in sorted(rss_folder.glob("*_rss_*.xml.gz")):
        for item in etree.fromstring(gzip.decompress(path.read_bytes())).iter("item"):
            arxiv_id = str(item.findtext("link")).rsplit("/", 1)[1]
            days.setdefault(arxiv_id, set()).add(path.name[:10])
            found[arxiv_id] = captured_item(item, frozenset(days[arxiv_id]))
    return found


def captured_item(item: Any, days: frozenset[str]) -> Captured:
    return Captured(
        title=folded(item.findtext("title")),
        authors=tuple(name.strip() for name in creators(item)),
        categories=tuple(category.text for category in item.iter("category")),
        abstract=item.findtext("description").split("Abstract: ", 1)[1],
        days=days,
        version=int(str(item.findtext("guid")).rsplit("v", 1)[1]),
    )


@pytest.fixture(scope="module")
def listed(unpack: Callable[[str], Path]) -> dict[str, tuple[str, dict[str, Any]]]:
    return captured_lists(unpack("hf_daily_raw"))


@pytest.fixture(scope="module")
def older(unpack: Callable[[str], Path]) -> dict[str, Captured]:
    """The papers of the captured API answers and OAI-PMH records in their latest captured version, by id."""
    found = {}
    for path in sorted(unpack("arxiv_api").glob("arxiv.py_2026/tests/fixtures/*.json")):
        for entry in etree.fromstring(json.loads(path.read_text())["body"].encode()).iter("{*}entry"):
            full_id = re.search(r"/abs/(.+)v(\d+)$", str(entry.findtext("{*}id")))
            if full_id:
                found[full_id[1]] = captured_entry(entry, int(full_id[2]))
    for path in sorted(unpack("arxiv_oai").glob("provider_code/records_arXivRaw_*.xml")):
        for record in etree.parse(path).iter("{*}arXivRaw"):
            found[record.findtext("{*}id")] = captured_record(record)
    return found


def captured_entry(entry: Any, version: int) -> Captured:
    return Captured(
        title=folded(entry.findtext("{*}title")),
        authors=tuple(author.findtext("{*}name") for author in entry.iter("{*}author")),
        categories=tuple(category.get("term") for category in entry.iter("{*}category")),
        abstract=f"{entry.findtext('{*}summary')} {entry.findtext('{*}comment') or ''}",
        version=version,
        doi=entry.findtext("{*}doi"),
        journal_ref=entry.findtext("{*}journal_ref"),
    )


def captured_record(record: Any) -> Captured:
    return Captured(
        title=folded(record.findtext("{*}title")),
        authors=tuple(re.split(r", | and ", folded(record.findtext("{*}authors")))),
        categories=tuple(record.findtext("{*}categories").split()),
        abstract=f"{record.findtext('{*}abstract')} {record.findtext('{*}comments') or ''}",
        version=len(record.findall("{*}version")),
    )


@pytest.fixture(scope="module")
def abstracts(
    announced: dict[str, Captured], listed: dict[str, tuple[str, dict[str, Any]]], older: dict[str, Captured]
) -> dict[str, str]:
    """What the authors wrote, title first, for every paper of the demo."""
    found = {}
    for paper in DATA.papers:
        captured = announced.get(paper.arxiv_id) or older.get(paper.arxiv_id)
        abstract = captured.abstract if captured else listed[paper.arxiv_id][1]["paper"]["summary"]
        found[paper.arxiv_id] = f"{paper.title} {abstract}"
    return found


# --- the facts ---


def test_about_a_hundred_papers_each_with_its_own_id() -> None:
    ids = [paper.arxiv_id for paper in DATA.papers]
    assert 95 <= len(ids) <= 110
    assert len(set(ids)) == len(ids)
    assert all(paper.told or paper.listing for paper in DATA.papers)


def test_the_days_are_a_week_with_an_empty_weekend_inside() -> None:
    assert [day - FIRST for day in DATA.days] == [timedelta(days=n) for n in range(8)]
    told_on = {told.day for paper in DATA.papers for told in paper.told}
    assert told_on == {day for day in DATA.days if day.weekday() < 5}


def test_every_paper_of_june_is_as_arxiv_announced_it(announced: dict[str, Captured]) -> None:
    papers = [paper for paper in own(staged=False) if paper.told]
    assert len(papers) > 80
    for paper in papers:
        captured, (told,) = announced[paper.arxiv_id], paper.told
        assert (paper.title, paper.authors, paper.categories) == (captured.title, captured.authors, captured.categories)
        assert (told.version, told.kind) == (captured.version, "new")
        assert {told.day.isoformat()} == set(captured.days)
        assert (told.doi, told.journal_ref, paper.license_url) == (None, None, None)


def test_every_listing_is_as_hugging_face_gave_it(listed: dict[str, tuple[str, dict[str, Any]]]) -> None:
    papers = [paper for paper in own(staged=False) if paper.listing]
    assert len(papers) > 40
    for paper in papers:
        assert paper.listing
        day, outer = listed[paper.arxiv_id]
        (served,) = [o for o in daily(paper.listing.listed_on, LAST) if o["paper"]["id"] == paper.arxiv_id]
        assert day == paper.listing.listed_on.isoformat()
        assert {k: v for k, v in served.items() if k not in ("paper", "summary")} == {
            key: outer[key] for key in ("publishedAt", "title", "numComments")
        }
        facts = (
            "id",
            "title",
            "publishedAt",
            "submittedOnDailyAt",
            "upvotes",
            "githubRepo",
            "githubStars",
            "projectPage",
        )
        assert {k: served["paper"].get(k) for k in facts} == {k: outer["paper"].get(k) for k in facts}
        if not paper.told:
            assert paper.authors == tuple(folded(author["name"]) for author in outer["paper"]["authors"])


def test_a_paper_that_arxiv_announced_and_was_listed_is_listed_here_too(
    listed: dict[str, tuple[str, dict[str, Any]]],
) -> None:
    days = {day.isoformat() for day in DATA.days}
    for paper in own(staged=False):
        assert bool(paper.listing) is (paper.arxiv_id in listed and listed[paper.arxiv_id][0] in days)


def test_staged_papers_are_real_in_all_but_their_days(older: dict[str, Captured]) -> None:
    papers = own(staged=True)
    assert len(papers) == 7
    for paper in papers:
        captured = older[paper.arxiv_id]
        assert (paper.title, paper.authors, paper.categories) == (captured.title, captured.authors, captured.categories)
        assert paper.told[-1].version == captured.version
        assert (paper.told[-1].doi, paper.told[-1].journal_ref) == (captured.doi, captured.journal_ref)
        assert [t.version for t in paper.told] == sorted({t.version for t in paper.told})


def test_the_withdrawn_paper_was_really_withdrawn(older: dict[str, Captured]) -> None:
    withdrawn = [p.arxiv_id for p in DATA.papers for told in p.told if "has been withdrawn" in told.summary]
    assert withdrawn == ["1101.2483"]
    assert "This paper has been withdrawn by the authors" in older["1101.2483"].abstract


def test_what_is_staged_is_said() -> None:
    said = " ".join(DATA.staged)
    assert {paper.arxiv_id for paper in own(staged=True)} == set(re.findall(r"\d{4}\.\d{4,5}", said))
    assert all(paper.arxiv_id.startswith(("2605", "2606")) for paper in own(staged=False))


# --- our own words ---


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def runs(text: str, length: int) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[i : i + length]) for i in range(len(found) - length + 1)}


def test_no_summary_shares_a_run_of_twelve_words_with_the_abstract(abstracts: dict[str, str]) -> None:
    shared = {
        paper.arxiv_id: common
        for paper in DATA.papers
        for summary in summaries(paper)
        if (common := runs(summary, 12) & runs(abstracts[paper.arxiv_id], 12))
    }
    assert shared == {}


def test_the_measure_of_shared_runs_sees_a_copied_sentence(abstracts: dict[str, str]) -> None:
    sentence = abstracts["2606.13703"].rsplit(". ", 2)[-2]
    assert runs(f"As they say: {sentence}, more or less.", 12) & runs(abstracts["2606.13703"], 12)


def test_each_summary_is_two_to_four_sentences_of_prose() -> None:
    for paper in DATA.papers:
        for summary in summaries(paper):
            assert 120 <= len(summary) <= 900, paper.arxiv_id
            assert 2 <= len(re.findall(r"[.!?](?=\s|$)", summary)) <= 4, paper.arxiv_id
            assert summary == folded(summary), paper.arxiv_id


def test_no_summary_has_a_number_that_the_authors_do_not_have(abstracts: dict[str, str]) -> None:
    for paper in DATA.papers:
        known = abstracts[paper.arxiv_id].replace(",", "").replace("{", "")
        for number in re.findall(r"\d[\d,.]*\d|\d", " ".join(summaries(paper))):
            if number not in ROUNDED.get(paper.arxiv_id, ()):
                assert number.replace(",", "") in known, (paper.arxiv_id, number)


def test_some_summaries_keep_their_formulas() -> None:
    with_math = [paper for paper in DATA.papers if re.search(r"\$[^$]+\$", paper.summary)]
    assert 8 <= len(with_math) <= 30
    assert all(summary.count("$") % 2 == 0 for paper in DATA.papers for summary in summaries(paper))


# --- the story ---


def test_papers_appear_in_several_categories_on_the_same_day() -> None:
    categories = ("cs.AI", "cs.CL", "cs.CV", "cs.IT", "cs.LG", "eess.IV")
    types: dict[str, set[str]] = {}
    for day in DATA.days:
        for category in categories:
            for guid, item in items(category, day).items():
                types.setdefault(guid, set()).add(announce_type(item))
    assert sum(found == {"new", "cross"} for found in types.values()) >= 25


def test_every_weekday_brings_papers_and_the_weekend_none() -> None:
    for day in DATA.days:
        weekend = day.weekday() >= 5
        for kind, tag in (("rss", "item"), ("atom", "{*}entry")):
            found = list(feed("cs", day, kind).iter(tag))
            assert len(found) == 0 if weekend else len(found) >= 8
        assert len(daily(day, LAST)) == 0 if weekend else len(daily(day, LAST)) >= 4


def test_revisions_publications_and_a_withdrawal_come_through_the_feed() -> None:
    seen: dict[str, list[tuple[int, str, bool, bool]]] = {}
    for day in DATA.days:
        for guid, item in items("cs.AI+cs.CL+cs.IT+cs.LG", day).items():
            arxiv_id, version = guid.removeprefix("oai:arXiv.org:").split("v")
            has_doi = item.find("arxiv:DOI", NAMESPACES) is not None
            withdrawn = "has been withdrawn" in item.findtext("description")
            seen.setdefault(arxiv_id, []).append((int(version), announce_type(item), has_doi, withdrawn))
    assert seen["2507.10541"] == [(1, "new", False, False), (2, "replace", False, False)]
    assert seen["2405.11454"] == [(2, "replace", False, False)]
    assert seen["2408.07846"] == [(1, "cross", False, False), (2, "replace-cross", True, False)]
    assert seen["2205.09552"] == [(3, "replace-cross", True, False)]
    assert seen["1101.2483"] == [(2, "replace", False, False), (4, "replace", False, True)]


def test_code_appears_after_arxivs_announcement() -> None:
    later = [
        p for p in DATA.papers
        if p.told and p.listing and p.listing.repository and p.listing.listed_on > p.told[0].day
    ]  # fmt: skip
    assert len(later) >= 10
    assert sum(bool(p.listing and p.listing.repository) for p in DATA.papers) >= 30


def test_votes_grow_where_growth_was_captured() -> None:
    def votes(asked_on: date) -> int:
        (found,) = [o["paper"] for o in daily(date(2026, 6, 9), asked_on) if o["paper"]["id"] == "2507.10541"]
        return int(found["upvotes"])

    assert [votes(day) for day in DATA.days[1:]] == [10, 21, 21, 21, 21, 21, 27]


def test_the_most_voted_paper_leads_the_list() -> None:
    for day in DATA.days:
        upvotes = [outer["paper"]["upvotes"] for outer in daily(day, LAST)]
        assert upvotes == sorted(upvotes, reverse=True)


def test_a_list_that_is_yet_to_come_is_empty() -> None:
    assert daily(date(2026, 6, 9), asked_on=FIRST) == []
    assert daily(date(2026, 6, 9), asked_on=date(2026, 6, 9)) != []


# --- its configuration ---


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    path = tmp_path_factory.mktemp("demo") / "demo.toml"
    path.write_bytes(files("flows").joinpath("demo.toml").read_bytes())
    return load_settings(path, home=path.parent)


def test_every_source_waits_for_the_address_of_the_replay_server(settings: Settings) -> None:
    assert {source.kind for source in settings.source} == {"arxiv-rss", "hf-daily"}
    for source in settings.source:
        assert (source.base_url, source.allow_private_addresses) == ("http://127.0.0.1:1", True)
        assert source.delay_seconds == 0


def test_the_sources_bring_every_paper_of_the_demo(settings: Settings) -> None:
    polled = {source.category for source in settings.source}
    assert all(paper.listing or polled & set(paper.categories) for paper in DATA.papers)
    (lists,) = [source for source in settings.source if source.kind == "hf-daily"]
    assert lists.days == 7


def test_every_topic_has_papers_and_most_papers_have_a_topic(settings: Settings) -> None:
    found = {topic.slug: set[str]() for topic in settings.topic}
    for topic in settings.topic:
        query = parse_query(topic.query)
        for paper in DATA.papers:
            if query.matches(as_paper(paper), at(LAST)):
                found[topic.slug].add(paper.arxiv_id)
    assert 8 <= len(found) <= 10
    assert all(8 <= len(ids) <= 40 for ids in found.values()), {slug: len(ids) for slug, ids in found.items()}
    assert len(set().union(*found.values())) >= 0.9 * len(DATA.papers)


def as_paper(paper: DemoPaper) -> Any:
    alias = f"arxiv:{paper.arxiv_id}"
    return a_paper(
        paper_id=alias,
        aliases=(alias,),
        title=paper.title,
        abstract=paper.summary,
        categories=paper.categories,
        code_url=paper.listing.repository if paper.listing else None,
        trending_on=paper.listing.listed_on if paper.listing else None,
        upvotes=paper.listing.upvotes_on(LAST) if paper.listing else None,
    )


def test_its_mail_stays_in_the_outbox(settings: Settings) -> None:
    assert settings.mail
    assert (settings.mail.smtp_url, settings.mail.to) == ("", ("reader@example.org",))
