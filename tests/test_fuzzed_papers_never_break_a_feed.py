"""Papers that say anything at all never break a feed, a page, a mail or a list: `python -m tests.fuzz` runs 100,000."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import pytest

from publishers.feeds import papers_feed
from tests.builders import tagged
from tests.feed_inputs import CHANNEL, SITE
from tests.fuzz import Outcome, read_citation, read_page, run, told
from tests.hostile import Hostile, paper_of

SHARE = 4_000


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What is left out is logged, a line each; here that is thousands."""
    caplog.set_level(logging.ERROR, logger="paperwire.feeds")


def test_a_share_of_the_papers_breaks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    outcome = run(SHARE, seed="share")
    with capsys.disabled():
        print(f"\n{told(outcome, time.monotonic() - started)}")
    assert outcome.faults == []
    counts = outcome.counts
    assert counts["papers"] == SHARE
    assert counts["shown"] > 0.9 * SHARE, "nearly all of them can be shown"
    assert 0 < counts["left out"] < 0.1 * SHARE, "and what cannot costs only itself"


def test_the_texts_are_hostile_and_a_seed_makes_them_again() -> None:
    def made(seed: str) -> list[str]:
        hostile = Hostile(seed)
        return [hostile.title() + hostile.abstract() + str(hostile.url()) for _ in range(300)]

    assert made("a") == made("a") != made("b")
    everything = "".join(made("a"))
    for wanted in (
        "\x00",
        "\ud800",
        "\uffff",
        "\u202e",
        "\u0300",
        "]]>",
        "<script>",
        "&#0;",
        "$",
        "javascript:",
        "\u2028",
    ):
        assert wanted in everything, repr(wanted)
    assert max(map(len, made("a"))) > 5_000


def test_a_paper_that_cannot_be_shown_costs_only_itself() -> None:
    hostile = Hostile("one")
    papers = [tagged(paper_of(hostile.entry(n), n)) for n in range(20)]
    nothing = papers[7].paper
    papers[7] = tagged(replace(nothing, title="\x00\u200b"))
    feed = papers_feed(SITE, CHANNEL, papers)
    assert nothing.paper_id in {left.paper_id for left in feed.left_out}
    assert len(feed.entries) + len(feed.left_out) == 20
    assert len(feed.entries) >= 15


@pytest.mark.parametrize(
    "page",
    [
        "<p>a\x00b</p>",
        '<p onclick="x()">a</p>',
        '<p style="x">a</p>',
        '<a href="javascript:x()">a</a>',
        '<a href="data:text/html,x">a</a>',
        "<script>{}</script>",
        "<script>x()",
    ],
)
def test_the_reader_of_pages_sees_what_is_wrong(page: str) -> None:
    read_page(b"<!doctype html><p>a</p><a href='https://x.test/'>b</a>", Outcome())
    with pytest.raises(AssertionError):
        read_page(f"<!doctype html><p>a</p>{page}".encode(), Outcome())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.bib", "@misc{a,\n  title = {{b},\n}\n"),
        ("x.bib", "@misc{a,\n  doi = {b\\},\n}\n"),
        ("x.ris", "TY  - JOUR\r\nb\r\n"),
    ],
)
def test_the_reader_of_citations_sees_what_is_wrong(name: str, text: str) -> None:
    with pytest.raises(AssertionError):
        read_citation(name, text, Outcome())
