"""The coverage page and its feeds say what is missing of which source and day, and when it came after all."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from publishers import pages
from publishers.feeds import atom, json_feed, rss
from publishers.health import ENTRIES_MAX, coverage_hash, health_feed, moment, overview, title_of
from publishers.paths import coverage_anchor, coverage_id
from storage.coverage import State, Verdict
from tests.coverage_builders import CAME, DAY, HOSTILE, MISSING, NOTICED, a_verdict, four_weeks, healed, missed
from tests.feed_inputs import SITE as FEED_SITE
from tests.page_builders import SITE, parsed, text_of
from tests.test_feeds_are_valid import faults, faults_beyond_the_grammar, json_schema

ATOM = "{http://www.w3.org/2005/Atom}"


def page_of(verdicts: Sequence[Verdict]) -> Any:
    return parsed(pages.health_page(SITE, verdicts))


def says(verdicts: Sequence[Verdict], xpath: str) -> list[str]:
    return [text_of(element) for element in page_of(verdicts).xpath(xpath)]


def cases(verdicts: Sequence[Verdict], section: str) -> list[str]:
    """The lines of the list under the heading with this id."""
    return says(verdicts, f"//section[@aria-labelledby='{section}']//ul[@class='cases']/li")


# On top


def test_the_top_says_that_nothing_is_missing_and_until_when() -> None:
    verdicts = [a_verdict(), a_verdict(State.QUIET, came=0, source="hf-daily")]
    page = page_of(verdicts)
    assert text_of(page.find(".//h1")) == "Nothing is missing"
    assert says(verdicts, "//p[@class='stand']") == [
        "All that was expected of 2 sources until Tuesday, 2 June 2026 came."
    ]
    assert page.findtext(".//title") == "Coverage: nothing is missing – Paperwire"


def test_a_day_that_is_not_over_is_no_alarm() -> None:
    verdicts = [a_verdict(), a_verdict(State.PARTIAL, missing=False, source="hf-daily", why="41 so far")]
    assert overview(verdicts).headline == "Nothing is missing"
    assert overview(verdicts).sentence.endswith("came. 1 batch is still coming in.")
    assert cases(verdicts, "missing") == []
    assert says(verdicts, "//li[contains(@class, 'lack')]") == []


def test_the_top_names_what_is_missing_newest_first_and_counts_the_rest() -> None:
    verdicts = [missed(s, day=DAY - timedelta(days=n)) for n, s in enumerate(MISSING)] + [missed(source="hf-daily")]
    assert overview(verdicts).headline == "5 batches are missing"
    assert says(verdicts, "//p[@class='stand']") == [
        "arxiv-rss:cs.CL of 2 June is partial, hf-daily of 2 June is stale, arxiv-rss:cs.CL of 1 June is stale "
        "and 2 more. Why, and since when"
    ]
    one = [missed(State.FAILED)]
    assert overview(one).headline == "1 batch is missing"
    assert overview(one).sentence == "arxiv-rss:cs.CL of 2 June failed."


def test_the_front_page_says_it_in_a_line_and_leads_there() -> None:
    def line(verdicts: Sequence[Verdict]) -> list[tuple[str, str]]:
        page = pages.index_page(
            SITE,
            latest_day=DAY,
            papers=(),
            days=[(DAY, 0)],
            topic_counts={},
            trending=(),
            coverage=overview(verdicts).line,
        )
        return [(a.get("href"), text_of(a)) for a in parsed(page).xpath("//p[@class='wire']/a")]

    assert line([]) == [("health.html", "Coverage of the sources")]
    assert line([a_verdict()]) == [("health.html", "Nothing is missing: all that was expected of 1 source came")]
    assert line([a_verdict(source="b"), missed()]) == [("health.html", "1 batch is missing, of 2 sources")]


def test_every_page_has_a_link_to_it() -> None:
    for page, href in ((pages.not_found_page(SITE), "/health.html"), (pages.health_page(SITE, ()), "health.html")):
        assert parsed(page).xpath("//nav//a[.='Coverage']/@href") == [href]


def test_before_anything_was_judged_the_page_says_what_to_run() -> None:
    page = page_of([])
    assert text_of(page.find(".//h1")) == "Nothing has been judged yet"
    assert [text_of(k) for k in page.iter("kbd")] == ["paperwire run", "paperwire up"]
    assert says([], "//dl/dt") == [state.value for state in State]


# The rows


@pytest.mark.parametrize("state", list(State))
def test_each_state_has_a_mark_a_word_and_a_count(state: State) -> None:
    verdict = a_verdict(state, came=1_234, missed_at=NOTICED if state in MISSING else None)
    cell = page_of([verdict]).xpath("//ol[@class='cells']/li")[-1]
    said, count = text_of(cell.xpath(".//span")[0]), text_of(cell.find(".//b"))
    assert said == f"Tue 2 June: {state.value}{', missing' if state in MISSING else ''},"
    assert count == "1234"
    assert cell.xpath(".//use/@href") == [f"#m-{state.value}"]
    assert ("lack" in (cell.get("class") or "")) == (state in MISSING)


def test_every_mark_has_a_shape_of_its_own_that_is_on_the_page() -> None:
    page = page_of(four_weeks())
    shapes = {s.get("id"): etree.tostring(s[0]) for s in page.iter("symbol")}
    assert set(page.xpath("//use/@href")) == {f"#{name}" for name in shapes}
    assert len(set(shapes.values())) == len(shapes) == len(State) + 2


def test_a_row_has_four_weeks_up_to_the_last_day_anybody_was_judged() -> None:
    verdicts = [a_verdict(day=DAY - timedelta(days=n), came=n) for n in range(40)]
    verdicts += [a_verdict(source="hf-daily", day=DAY - timedelta(days=2), came=12_345)]
    first, second = overview(verdicts).rows
    assert [len(first.cells), len(second.cells)] == [28, 28]
    assert [cell.count for cell in first.cells] == [str(n) for n in reversed(range(28))]
    assert [cell.count for cell in second.cells[-4:]] == ["", "12k", "", ""]
    assert [first.came, second.came] == [sum(range(28)), 12_345]
    assert second.cells[-1].said == "Tue 2 June: not judged"
    assert [cell.label for cell in first.cells[-3:]] == ["31", "1 Jun", "2"]
    assert (overview(verdicts).axis[:2], overview(verdicts).axis[-2:]) == (("May 6", "7"), ("Jun 1", "2"))
    assert [cell.rest for cell in first.cells[-3:]] == [True, False, False]


def test_a_source_that_nobody_judged_for_four_weeks_has_no_row() -> None:
    old = a_verdict(source="gone", day=DAY - timedelta(days=28))
    assert [row.source for row in overview([a_verdict(), old]).rows] == ["arxiv-rss:cs.CL"]


def test_the_page_is_the_same_whatever_the_order_of_the_verdicts() -> None:
    verdicts = four_weeks()
    assert pages.health_page(SITE, verdicts) == pages.health_page(SITE, list(reversed(verdicts)))


# The lists


@pytest.mark.parametrize("state", MISSING)
def test_what_is_missing_is_listed_with_why_and_since_when(state: State) -> None:
    verdict = missed(state, came=7, low=120, high=1_400, why="9 of its 312 entries are those of the batch before")
    assert cases([verdict], "missing") == [
        f"arxiv-rss:cs.CL, Tuesday, 2 June 2026 {state.value} 9 of its 312 entries are those of the batch before. "
        "7 came; such a day has 120 to 1,400. Missing since 3 June 2026, 07:05 UTC."
    ]
    assert cases([verdict], "healed") == []


@pytest.mark.parametrize("state", MISSING)
def test_what_came_after_all_is_listed_with_what_it_was_and_when_it_came(state: State) -> None:
    verdict = healed(missed(state), why="arxiv-oai:cs has read past it", late=12)
    assert cases([verdict], "healed") == [
        f"arxiv-rss:cs.CL, Tuesday, 2 June 2026 was {state.value} → complete arxiv-oai:cs has read past it. "
        "312 came, 12 of them after the day was over. Made up for on 4 June 2026, 08:05 UTC, after 25 hours."
    ]
    assert cases([verdict], "missing") == []
    cell = page_of([verdict]).xpath("//ol[@class='cells']/li")[-1]
    assert cell.xpath(".//use/@href") == ["#m-healed"]
    assert "complete, made up for" in text_of(cell)


def test_what_turned_out_not_to_be_due_did_not_come() -> None:
    verdict = healed(missed(State.LATE), state=State.QUIET, came=0, why="no list was made of this day")
    assert cases([verdict], "healed") == [
        "arxiv-rss:cs.CL, Tuesday, 2 June 2026 was late → quiet No list was made of this day. "
        "Settled on 4 June 2026, 08:05 UTC, after 25 hours."
    ]
    assert (
        health_feed(FEED_SITE, [verdict]).entries[0].summary.endswith("Settled on 4 June 2026, 08:05 UTC: it is quiet.")
    )


def test_a_verdict_without_any_number_or_time_is_still_listed() -> None:
    verdict = a_verdict(State.FAILED, came=0)
    assert cases([verdict], "missing") == ["arxiv-rss:cs.CL, Tuesday, 2 June 2026 failed Missing."]
    feed = health_feed(FEED_SITE, [verdict, missed(source="b")])
    assert [entry.title for entry in feed.entries] == ["b: the batch of 2 June is stale"]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (None, None, "5 came."),
        (3, None, "5 came; such a day has at least 3."),
        (None, 9, "5 came; such a day has at most 9."),
    ],
)
def test_what_is_usual_is_said_as_far_as_it_is_known(low: int | None, high: int | None, said: str) -> None:
    assert said in cases([missed(came=5, low=low, high=high)], "missing")[0]


@pytest.mark.parametrize(
    ("took", "said"),
    [
        (timedelta(0), "0 minutes"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(minutes=119), "119 minutes"),
        (timedelta(hours=71), "71 hours"),
        (timedelta(days=3), "3 days"),
    ],
)
def test_how_long_it_took_is_said_in_a_unit_that_fits(took: timedelta, said: str) -> None:
    assert overview([healed(missed(), NOTICED + took)]).healed[0].took == said


def test_times_are_utc_whatever_their_zone() -> None:
    assert moment(datetime(2026, 6, 3, 1, 5, tzinfo=timezone(timedelta(hours=2)))) == "2 June 2026, 23:05 UTC"


def test_a_long_list_is_folded_and_complete() -> None:
    verdicts = [missed(day=DAY - timedelta(days=n)) for n in range(30)]
    assert len(cases(verdicts, "missing")) == 30
    assert len(page_of(verdicts).xpath("//section[@aria-labelledby='missing']//details//li")) == 18


# What sources write


def test_hostile_names_and_reasons_stay_text() -> None:
    verdicts = [missed(source=HOSTILE, why=HOSTILE), healed(missed(source=f"{HOSTILE}2", why=HOSTILE), why=HOSTILE)]
    page = page_of(verdicts)
    assert page.xpath("//script | //img | //main//*[@style] | //@*[starts-with(name(), 'on')]") == []
    assert "<script>alert('x')</script>" in text_of(page.find(".//main"))
    assert not re.search("[\u202a-\u202e\x00-\x08\x1b\ud800-\udfff]", text_of(page))


def test_anchors_are_one_for_each_source_and_day_and_resolve() -> None:
    names = ["a", "a b", "a_20b", "a-b", "a%20b", HOSTILE, "", "ä", "hf-daily", "a/b"]
    anchors = {coverage_anchor(name, DAY) for name in names}
    assert len(anchors) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9.:~_-]+", anchor) for anchor in anchors)
    verdicts = [missed(source=name) for name in names]
    page = page_of([*verdicts, a_verdict(source="whole"), healed(missed(source="mended"))])
    ids = page.xpath("//@id")
    assert len(ids) == len(set(ids))
    assert anchors <= set(ids)
    assert {h[1:] for h in page.xpath("//a/@href") if h.startswith("#")} <= set(ids)
    feed = health_feed(FEED_SITE, verdicts)
    assert {entry.url for entry in feed.entries} == {f"https://papers.test/health.html#{a}" for a in anchors}


def test_every_link_of_the_feed_leads_to_a_case_on_the_page() -> None:
    verdicts = [healed(missed(), CAME + timedelta(hours=n), source=f"s{n}") for n in range(150)]
    verdicts += [missed(day=DAY - timedelta(days=n), source="x") for n in range(20)]
    ids = set(page_of(verdicts).xpath("//ul[@class='cases']/li/@id"))
    entries = health_feed(FEED_SITE, verdicts).entries
    assert len(entries) == ENTRIES_MAX
    assert {entry.url.partition("#")[2] for entry in entries} <= ids


# The feed


def feeds_of(verdicts: Sequence[Verdict]) -> dict[str, bytes]:
    feed = health_feed(FEED_SITE, verdicts)
    return {"atom": atom(feed), "rss": rss(feed), "json": json_feed(feed)}


def assert_valid(made: dict[str, bytes]) -> None:
    assert faults(made["atom"], "atom") == []
    assert faults_beyond_the_grammar(made["atom"]) == []
    assert faults(made["rss"], "rss") == []
    assert [error.message for error in json_schema().iter_errors(json.loads(made["json"]))] == []


@pytest.mark.parametrize(
    "verdicts",
    [
        [],
        four_weeks(),
        [a_verdict()],
        [missed(source=HOSTILE, why=HOSTILE)],
        [missed(source="", why="")],
        [missed(s, source=f"s{n}") for n, s in enumerate(State)],
        [healed(missed(), source=f"s{n}", state=s) for n, s in enumerate(State)],
    ],
    ids=["empty", "four-weeks", "all-well", "hostile", "nameless", "states", "healed"],
)
def test_the_feed_is_valid_in_all_three_formats(verdicts: list[Verdict]) -> None:
    assert_valid(feeds_of(verdicts))


@given(st.text(max_size=40), st.text(max_size=80), st.sampled_from(MISSING), st.booleans())
@settings(max_examples=60, deadline=None)
def test_whatever_a_source_is_called_and_answers_the_feed_is_valid(
    name: str, why: str, state: State, came: bool
) -> None:
    verdict = missed(state, source=name, why=why)
    made = feeds_of([healed(verdict, why=why) if came else verdict])
    assert_valid(made)
    assert len(json.loads(made["json"])["items"]) == 1


def test_an_empty_feed_is_the_same_on_every_machine() -> None:
    assert b"<updated>2026-01-01T00:00:00.000Z</updated>" in feeds_of([])["atom"]
    assert json.loads(feeds_of([])["json"])["items"] == []


@pytest.mark.parametrize(
    ("state", "missing", "came"),
    [
        (State.PARTIAL, "is partial", "was partial"),
        (State.STALE, "is stale", "was stale"),
        (State.LATE, "is late", "was late"),
        (State.FAILED, "failed", "had failed"),
    ],
)
def test_a_title_says_what_the_batch_is_and_what_it_was(state: State, missing: str, came: str) -> None:
    assert title_of(missed(state)) == f"arxiv-rss:cs.CL: the batch of 2 June {missing}"
    assert title_of(healed(missed(state))) == f"arxiv-rss:cs.CL: the batch of 2 June came ({came})"
    quiet = healed(missed(state), state=State.QUIET, came=0)
    assert title_of(quiet) == f"arxiv-rss:cs.CL: no batch was due on 2 June ({came})"


def test_an_entry_says_why_since_when_and_when_it_came() -> None:
    (entry,) = health_feed(FEED_SITE, [missed(why="a < b")]).entries
    assert entry.summary == "A < b. Missing since 3 June 2026, 07:05 UTC."
    assert "<p>A &lt; b.</p>\n<p>Missing since 3 June 2026, 07:05 UTC.</p>" in entry.content_html
    (entry,) = health_feed(FEED_SITE, [healed(missed(), why="made up for on 2026-06-04")]).entries
    assert "Made up for on 2026-06-04." in entry.summary
    assert "Made up for on 4 June 2026, 08:05 UTC: it is complete." in entry.content_html


def test_an_entry_keeps_its_id_when_the_batch_comes_and_its_updated_moves_then_only() -> None:
    late, came = missed(State.LATE), healed(missed(State.LATE))
    history = [
        late,
        replace(late, state=State.PARTIAL, was=State.PARTIAL, came=90),
        came,
        replace(came, came=313, late=1, why="1 came after its day was over"),
    ]
    entries = [health_feed(FEED_SITE, [verdict]).entries[0] for verdict in history]
    assert {entry.id for entry in entries} == {"tag:papers.test,2026:coverage/arxiv-rss:cs.CL/2026-06-02"}
    assert {entry.published for entry in entries} == {NOTICED}
    assert [entry.updated for entry in entries] == [NOTICED, NOTICED, CAME, CAME]
    for extension in ("atom", "rss", "json"):
        assert feeds_of([late])[extension] != feeds_of([came])[extension]


def test_ids_are_one_for_each_source_and_day_and_are_uris() -> None:
    names = ["a", "a b", "a%20b", "a+b", HOSTILE, "", "ä", "a/b", "a/b/2026-06-02"]
    ids = {coverage_id("papers.test", name, day) for name in names for day in (DAY, DAY - timedelta(days=1))}
    assert len(ids) == 2 * len(names)
    assert all(re.fullmatch(r"tag:papers\.test,2026:coverage/(?:[A-Za-z0-9._~:/+-]|%[0-9A-F]{2})*", i) for i in ids)


def test_the_newest_change_comes_first_and_a_hundred_are_kept() -> None:
    day = timedelta(days=1)
    old = [missed(at=NOTICED - n * day, day=DAY - n * day) for n in range(1, 120)]
    came = healed(missed(at=NOTICED - 60 * day, day=DAY - 200 * day), CAME)
    entries = health_feed(FEED_SITE, [*old, came]).entries
    assert len(entries) == ENTRIES_MAX
    assert entries[0].title.endswith("came (was stale)")
    assert [e.updated for e in entries] == sorted((e.updated for e in entries), reverse=True)


def test_what_happened_at_one_time_is_sorted_by_source_and_day() -> None:
    verdicts = [missed(source=s, day=DAY - timedelta(days=n)) for s in ("b", "a") for n in (0, 1)]
    titles = [entry.title.partition(":")[0] + str(entry.id[-2:]) for entry in health_feed(FEED_SITE, verdicts).entries]
    assert titles == ["a01", "a02", "b01", "b02"]


def test_the_formats_say_the_same() -> None:
    made = feeds_of(four_weeks())
    entries = etree.fromstring(made["atom"]).findall(f"{ATOM}entry")
    items = json.loads(made["json"])["items"]
    told = etree.fromstring(made["rss"]).findall("channel/item")
    ids = [entry.findtext(f"{ATOM}id") for entry in entries]
    assert len(ids) == 8
    assert ids == [item["id"] for item in items] == [item.findtext("guid") for item in told]
    assert items[0]["tags"] == ["partial", "missing", "arxiv-rss:cs.CL"]


def test_the_same_verdicts_give_the_same_bytes_and_other_ones_do_not() -> None:
    assert feeds_of(four_weeks()) == feeds_of(four_weeks())
    assert pages.health_page(SITE, four_weeks()) == pages.health_page(SITE, four_weeks())
    assert coverage_hash(four_weeks()) == coverage_hash(four_weeks())
    hashes = {coverage_hash([a_verdict()]), coverage_hash([a_verdict(came=313)]), coverage_hash([missed()])}
    assert len(hashes | {coverage_hash([healed(missed())]), coverage_hash([])}) == 5


# How much it is


@pytest.mark.parametrize(("sources", "bytes_max"), [(20, 110_000), (80, 400_000)])
def test_the_page_stays_light(sources: int, bytes_max: int) -> None:
    assert len(pages.health_page(SITE, four_weeks(sources))) <= bytes_max
