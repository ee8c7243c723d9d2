"""A preview says how many papers a query brings a day, what that is to read, why they are there, how to subscribe."""

from __future__ import annotations

import re
import tomllib
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from flows.asking import preview_query
from storage.preview import Preview, topic_lines
from storage.settings import SLUG, parse_settings
from tests.builders import NOW, a_paper
from tests.finding_archive import commit, index, publish
from tests.newsroom import Newsroom, Paperwire, in_process
from tests.servers import Server

MONDAY = date(2026, 6, 1)


def a_preview(*counts: int, first: date = MONDAY, told_since: date | None = None) -> Preview:
    """Days with these counts, from a Monday on."""
    days = tuple((first + timedelta(days=n), count) for n, count in enumerate(counts))
    total = sum(counts)
    return Preview(query="x", until=NOW, days=days, total=total, told_since=told_since or first, sample=())


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((12, 13, 11, 12, 12, 0, 0), "about 12 papers a weekday"),
        ((1, 1, 1, 1, 1, 0, 0), "about 1 paper a weekday"),
        ((1, 0, 1, 0, 0, 0, 0), "about 2 papers a week"),
        ((1, 0, 0, 0, 0, 0, 0) + (0,) * 7, "less than one paper a week"),
        ((0,) * 7, "no paper so far"),
        ((2500,) * 5, "about 2,500 papers a weekday"),
        ((5, 5, 5, 5, 0, 5, 0), "about 5 papers a weekday"),
    ],
)
def test_what_it_costs_is_said_in_words(counts: tuple[int, ...], said: str) -> None:
    assert a_preview(*counts).cost == said


def test_days_before_the_archive_began_do_not_dilute_it() -> None:
    young = a_preview(0, 0, 0, 9, 9, 0, 0, told_since=MONDAY + timedelta(days=3))
    assert (young.cost, young.weekday_median, len(young.covered)) == ("about 9 papers a weekday", 9, 4)


def test_the_busiest_day_is_the_newest_of_the_busiest() -> None:
    assert a_preview(3, 7, 7, 1).busiest == (MONDAY + timedelta(days=2), 7)
    assert a_preview(0, 0).busiest is None


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty papers over ten days, the last Monday's last."""
    home = tmp_path_factory.mktemp("preview")
    for day in range(10):
        names = [f"arxiv:2606.{day:03}{n:02}" for n in range(3)]
        papers = [
            a_paper(paper_id=name, aliases=(name,), title=f"Language models, part {n}", abstract="On agents.")
            for n, name in enumerate(names)
        ]
        commit(home, papers, name=f"day {day}", now=NOW - timedelta(days=9 - day))
    loaded = a_paper(paper_id="arxiv:1", aliases=("arxiv:1",), title="Language models", announced_at=None)
    commit(home, [loaded], name="loaded")
    publish(home)
    index(home)
    return home


def test_it_counts_what_readers_were_told_of_and_samples_the_newest(home: Path) -> None:
    _, found = preview_query(home, '"language model*" agent', days=5, now=datetime.max.replace(tzinfo=NOW.tzinfo))
    assert [n for _, n in found.days] == [3, 3, 3, 3, 3]
    assert (found.days[-1][0], found.total, found.told_since) == (NOW.date(), 15, NOW.date() - timedelta(days=9))
    assert [one.paper.paper.paper_id for one in found.sample][:2] == ["arxiv:2606.00902", "arxiv:2606.00901"]
    assert {one.reasons for one in found.sample} == {("language models", "agents")}
    assert all(one.paper.tags for one in found.sample)


def test_it_looks_back_from_the_moment_of_asking(home: Path) -> None:
    _, found = preview_query(home, "agent", days=5, now=NOW - timedelta(days=4))
    assert (found.days[-1][0], found.until) == (NOW.date() - timedelta(days=4), NOW - timedelta(days=4))
    assert [n for _, n in found.days][:4] == [3, 3, 3, 3]
    assert found.total == sum(n for _, n in found.days)


@pytest.fixture
def said(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Paperwire:
    """The command, asked of that archive under a site with an address."""
    room = Newsroom(tmp_path, Server())
    room.home.symlink_to(home)
    room.config.write_text('[site]\nbase_url = "https://papers.example.org/"\n', encoding="utf-8")
    return in_process(room, monkeypatch, capsys)


def test_it_names_the_feed_and_the_lines_of_a_topic(said: Paperwire) -> None:
    lines = said("preview", '"language model*" -survey', "--days", "5").out.splitlines()
    assert "15 papers in 5 days: about 5 papers a weekday" in lines
    assert any(line.endswith("most on Tue 02 Jun: 3") for line in lines)
    assert any("https://papers.example.org/search.atom?q=%22language%20model%2A%22%20-survey" in line for line in lines)
    pasted = "\n".join(lines[lines.index("  [[topic]]") :])
    assert parse_settings(pasted).topic[0].query == '"language model*" -survey'


def test_more_days_than_lines_come_by_the_week(said: Paperwire) -> None:
    lines = said("preview", "agent", "--days", "90").out.splitlines()
    weeks = [line for line in lines if line.startswith("week of ")]
    assert (len(weeks), weeks[-1].split()[-1], weeks[-2].split()[-1]) == (14, "6", "21")
    assert any("10 days of these" in line for line in lines)


def test_what_moves_is_no_topic_and_json_has_it_all(said: Paperwire) -> None:
    document = said("preview", "agent since:30d", "--days", "5", "--json").document()
    assert (document["topic"], document["total"], document["cost"]) == (None, 15, "about 5 papers a weekday")
    assert document["busiest"] == {"day": "2026-06-02", "papers": 3}
    assert document["sample"][0]["paper_id"] == "arxiv:2606.00902"
    assert (document["sample"][0]["reasons"], document["sample"][0]["topics"]) == (["agents", "since:30d"], ["agents"])
    assert document["feed"].startswith("https://papers.example.org/search.atom?q=")


def test_without_a_configuration_it_works_as_well(said: Paperwire, tmp_path: Path) -> None:
    Newsroom(tmp_path, Server()).config.unlink()
    answer = said("preview", "nothing at all like this", "--days", "2")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[2] == "0 papers in 2 days: no paper so far"
    assert "example.org" not in answer.out
    assert all(cell_len(line) <= 80 for line in answer.out.splitlines())


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=60))
def test_any_query_becomes_lines_that_read_back(text: str) -> None:
    topic = tomllib.loads(topic_lines(text, {"agents", "my-topic"}))["topic"][0]
    assert topic["query"] == text
    assert topic["slug"] not in ("agents", "my-topic")
    assert re.fullmatch(SLUG, topic["slug"])


def test_the_lines_of_a_topic_are_a_configuration() -> None:
    taken = {"tool-use", "tool-use-2"}
    topic = parse_settings(topic_lines('"tool use" OR title:"don\'t" votes:>3', taken)).topic[0]
    assert topic.query == '"tool use" OR title:"don\'t" votes:>3'
    assert parse_settings(topic_lines('"tool use"', taken)).topic[0].slug == "tool-use-3"
    assert parse_settings(topic_lines("all")).topic[0].slug == "all-2", "feeds/all is taken"


def test_what_a_query_excludes_names_no_topic() -> None:
    for query in ("agent* -survey", 'agent* -"a survey" NOT title:video', "-(survey OR video) agent*"):
        assert parse_settings(topic_lines(query)).topic[0].slug == "agent"
