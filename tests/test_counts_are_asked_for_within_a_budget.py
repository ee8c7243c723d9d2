"""Citations and stars are asked for within a budget a day; they are data, change nothing else, and fail one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.asked import Said
from flows.asking import status_of
from flows.command_app import INCOMPLETE, OK
from flows.counters import OpenAlex, SemanticScholar
from flows.enriching import Young, decide_count, in_order, is_due, planned, step_of
from flows.fetching import Fetched
from flows.pipeline import publish, run_pass
from flows.upkeep import maintain
from storage.archive import Archive
from storage.errors import ConfigError
from storage.settings import Settings, parse_settings
from tests.counting_house import (
    ANNOUNCED,
    NOW,
    House,
    Process,
    archived,
    as_json,
    asking,
    gated,
    numbered,
    rows,
    settings_for,
    votes,
)
from tests.fetching_tools import Clock, a_fetcher, a_source, fetched
from tests.newsroom import Newsroom, good_routes, in_process
from tests.recordings import recorded
from tests.servers import Answer, Ask, Server

SCHOLAR, ALEX, HUB = "semantic-scholar", "openalex", "github"
DAY = timedelta(days=1)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that knows nothing yet."""
    with Server() as server:
        yield server


@pytest.fixture
def house(server: Server) -> House:
    """The three providers on it."""
    return House(server)


# Which papers, and when ---------------------------------------------------------------------------------------


def test_a_paper_is_asked_about_with_growing_distance() -> None:
    steps = [day for day in range(125) if step_of(day) == day]
    assert steps == [1, 3, 7, 14, 30, 60, 90, 120]
    assert step_of(0) is None
    asked_on: list[int] = []
    for age in range(125):  # somebody runs it every day
        said = Said(answered_on=ANNOUNCED + asked_on[-1] * DAY, tried_on=ANNOUNCED) if asked_on else None
        if is_due(ANNOUNCED, said, today=ANNOUNCED + age * DAY):
            asked_on.append(age)
    assert asked_on == steps


def test_a_step_that_was_missed_is_made_good_once() -> None:
    late = Said(answered_on=ANNOUNCED + 5 * DAY, tried_on=ANNOUNCED + 5 * DAY)
    assert not is_due(ANNOUNCED, late, today=ANNOUNCED + 6 * DAY)
    assert is_due(ANNOUNCED, late, today=ANNOUNCED + 20 * DAY)
    assert is_due(ANNOUNCED, Said(answered_on=None, tried_on=ANNOUNCED), today=ANNOUNCED + 1 * DAY)


def test_wanted_papers_come_first_then_the_never_asked_then_the_newest() -> None:
    def young(name: str, day: int, *, wanted: bool = False) -> Young:
        return Young(paper_id=name, aliases=(), code_url=None, day=date(2026, 6, day), wanted=wanted)

    today = date(2026, 6, 30)
    papers = [
        *(young("new", 28), young("old", 20), young("asked", 29), young("failed", 29)),
        *(young("wanted-asked", 25, wanted=True), young("wanted-old", 10, wanted=True), young("today", 30)),
    ]
    said = {
        "asked": Said(answered_on=date(2026, 6, 29), tried_on=date(2026, 6, 29)),
        "failed": Said(answered_on=None, tried_on=date(2026, 6, 30)),
        "wanted-asked": Said(answered_on=date(2026, 6, 26), tried_on=date(2026, 6, 26)),
    }
    order = [paper.paper_id for paper in in_order(papers, said, today=today)]
    assert order == ["wanted-old", "wanted-asked", "new", "old", "failed", "asked"]


def test_papers_older_than_days_and_of_today_are_not_asked_about(house: House, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, house.server, citations=SCHOLAR, days=30)
    ages = {1: 0, 2: 1, 3: 30, 4: 31}
    archived(settings, [numbered(n, announced_on=NOW.date() - age * DAY) for n, age in ages.items()])
    assert asking(settings)[SCHOLAR].due == 2
    assert json.loads(house.server.asked[0].body) == {"ids": ["ARXIV:2606.00002", "ARXIV:2606.00003"]}


# What comes of it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", [SCHOLAR, ALEX])
def test_citations_become_a_time_series_and_an_unchanged_count_no_row(
    house: House, tmp_path: Path, provider: str
) -> None:
    settings = settings_for(tmp_path, house.server, citations=provider)
    archived(settings, [numbered(n) for n in (1, 2, 3)])
    house.cited |= {"2606.00001": 0, "2606.00002": 7}
    report = asking(settings)[provider]
    assert (report.due, report.asked, report.known, report.changed, report.left) == (3, 3, 2, 2, 0)
    assert (report.requests, report.requests_left, report.well) == (1, 99, True)
    assert votes(settings) == [("1", provider, 0), ("2", provider, 7)]
    assert asking(settings)[provider].due == 0
    house.cited["2606.00002"] = 9
    later = asking(settings, now=NOW + 2 * DAY)[provider]
    assert (later.asked, later.known, later.changed) == (3, 2, 1)
    house.cited["2606.00002"] = 7  # a count may fall
    assert asking(settings, now=NOW + 6 * DAY)[provider].changed == 1
    assert [count for paper, _, count in votes(settings) if paper == "2"] == [7, 9, 7]
    assert rows(settings, "SELECT citations FROM papers ORDER BY paper_id") == [(0,), (7,), (None,)]


def test_a_count_tells_readers_nothing(house: House, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, house.server, citations=SCHOLAR)
    withdrawn = numbered(3, abstract="This paper has been withdrawn by the authors.")
    archived(settings, [numbered(1, title="A wanted paper"), numbered(2, doi="10.1000/xyz"), withdrawn])
    publish(settings, now=NOW - DAY)
    before, site = rows(settings, "SELECT * EXCLUDE (seq, citations) FROM papers ORDER BY 1"), _site(tmp_path)
    house.cited |= {"2606.00001": 5, "2606.00002": 6, "2606.00003": 7}
    assert asking(settings)[SCHOLAR].changed == 3
    publish(settings, now=NOW)
    assert rows(settings, "SELECT * EXCLUDE (seq, citations) FROM papers ORDER BY 1") == before
    assert rows(settings, "SELECT count(*) FROM revisions WHERE seq > 1") == [(0,)]
    after = _site(tmp_path)
    changed = {name.removesuffix(".gz") for name in site if site[name] != after[name]}
    assert {name.partition("/")[0] for name in changed} <= {"papers", "trending"}, "pages that show counts"
    assert {name.rpartition(".")[2] for name in changed} == {"html"}, "and no feed"
    assert any(name.endswith("all.atom") for name in site)
    assert len(site) == len(after)


def test_stars_move_nothing_but_the_line_with_the_counts(house: House, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, house.server, stars=True)
    archived(settings, [numbered(1, code_url="https://github.com/lab/code")])
    publish(settings, now=NOW - DAY)
    site = _site(tmp_path)
    house.stars["lab/code"] = 321
    assert asking(settings)[HUB].changed == 1
    publish(settings, now=NOW)
    after = _site(tmp_path)
    changed = {name for name in site if site[name] != after[name] and not name.endswith(".gz")}
    assert {name.partition("/")[0] for name in changed} <= {"papers", "trending"}, "pages that show counts"
    (name,) = (name for name in changed if name.startswith("papers/"))
    told = set(after[name].decode().splitlines()) - set(site[name].decode().splitlines())
    assert told == {"<dt>Readers</dt>", "<dd>321 stars <span>on 3 June 2026</span></dd>"}


def test_a_count_for_a_paper_nobody_knows_makes_no_paper(tmp_path: Path, house: House) -> None:
    settings = settings_for(tmp_path, house.server, citations=SCHOLAR)
    archived(settings, [numbered(1)])
    stray = numbered(9, citations=4, text_rank=-1)
    with Archive(settings.home) as archive:
        commit = archive.append([stray], source=SCHOLAR, batch_id="stray", now=NOW, decide=decide_count)
    assert (commit.seq, commit.papers) == (None, 0)


def test_papers_without_an_id_and_those_that_share_a_repository_get_their_stars(house: House, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, house.server, stars=True)
    bare = {"arxiv_id": None, "version": None, "entry_id": "https://journal.test/1"}
    code = "https://github.com/Lab/Code"
    archived(
        settings,
        [
            numbered(1, code_url=code),
            numbered(2, code_url=f"{code}.git"),
            numbered(3, code_url="https://gitlab.com/a/b"),
            numbered(4, title="A paper that has no id of any kind", code_url="https://github.com/lab/other", **bare),
        ],
    )
    house.stars |= {"lab/code": 12, "lab/other": 3}
    report = asking(settings)[HUB]
    assert (report.due, report.known, report.changed, report.requests) == (3, 3, 3, 2)
    assert sorted(count for _, _, count in votes(settings)) == [3, 12, 12]
    assert rows(settings, "SELECT count(*) FROM papers") == [(4,)]


def test_a_repository_that_moved_is_followed_and_one_that_is_gone_has_no_stars(house: House, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, house.server, stars=True)
    names = ("lab/moved", "lab/gone", "lab/blocked")
    archived(settings, [numbered(n, code_url=f"https://github.com/{name}") for n, name in enumerate(names, 1)])
    house.server.routes |= {
        "/repos/lab/moved": Answer(status=301, headers={"Location": "/repositories/77"}, body=b"{}"),
        "/repositories/77": as_json({"full_name": "new/home", "stargazers_count": 40}),
        "/repos/lab/blocked": as_json({"message": "Repository access blocked"}, status=451),
    }
    report = asking(settings)[HUB]
    assert (report.asked, report.known, report.requests, report.well) == (3, 1, 4, True)
    assert votes(settings) == [("1", HUB, 40)]


# What goes wrong costs only itself ------------------------------------------------------------------------------


def test_counts_that_are_none_cost_their_paper(house: House, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, house.server, citations=SCHOLAR)
    archived(settings, [numbered(n) for n in range(1, 9)])
    wrong = [10**30, -1, "12", 4.5, True, None, [[[]]]]
    house.cited |= {f"2606.{n:05d}": count for n, count in enumerate(wrong, 1)} | {"2606.00008": 2}
    report = asking(settings)[SCHOLAR]
    assert (report.asked, report.known, report.changed, len(report.problems)) == (8, 1, 1, 7)
    assert "ARXIV:2606.00003: '12' is no count" in report.problems
    assert votes(settings) == [("8", SCHOLAR, 2)]
    assert asking(settings)[SCHOLAR].due == 0  # it answered; what it said next time is asked next time


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ([None], "asked about 2 papers and answered of 1"),
        ({"error": "No valid paper ids given"}, "it returned no list of papers: it says 'No valid paper ids given'"),
        ({"data": []}, "it returned no list of papers"),
        ("x" * 50, "it returned no list of papers"),
    ],
)
def test_an_answer_of_another_shape_is_one_clear_line(document: object, says: str) -> None:
    with pytest.raises(Exception, match=says):
        SemanticScholar().read(a_source(name=SCHOLAR), ["ARXIV:1", "ARXIV:2"], _answer(document))


def test_a_list_that_slipped_counts_for_nobody() -> None:
    slipped = [{"externalIds": {"ArXiv": "2606.00002"}, "citationCount": 5}, {"citationCount": 6}, 17]
    ids = ["ARXIV:2606.00001", "ARXIV:2606.00002", "ARXIV:2606.00003"]
    found = SemanticScholar().read(a_source(name=SCHOLAR), ids, _answer(slipped))
    assert found.counts == {"ARXIV:2606.00002": 6}
    assert found.problems[0] == "ARXIV:2606.00001: it answers of 2606.00002"


def test_works_nobody_asked_for_and_works_without_sense_are_no_counts() -> None:
    works = [
        {"doi": "https://doi.org/10.1000/ASKED", "cited_by_count": 3},
        {"doi": "https://doi.org/10.1000/asked", "cited_by_count": 8},
        {"doi": "https://doi.org/10.1000/other", "cited_by_count": 99},
        *({"doi": None}, {"doi": 7}, None, "work"),
    ]
    found = OpenAlex().read(a_source(name=ALEX), ["10.1000/asked"], _answer({"results": works}))
    assert (found.counts, found.problems) == ({"10.1000/asked": 8}, ())


def test_a_provider_that_fails_costs_that_provider(house: House, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, house.server, citations=SCHOLAR, stars=True)
    archived(settings, [numbered(1, code_url="https://github.com/lab/code")])
    house.stars["lab/code"] = 4
    html = Answer(body=b"<html><h1>Down for maintenance</h1></html>", headers={"Content-Type": "text/html"})
    house.server.routes["/graph/v1/paper/batch"] = html
    reports = asking(settings)
    assert reports[HUB].well
    assert "damaged JSON" in (reports[SCHOLAR].error or "")
    assert (reports[SCHOLAR].asked, reports[SCHOLAR].left) == (0, 1)
    states = {name: state for name, state in status_of(settings, now=NOW).sources if state}
    assert "damaged JSON" in (states[SCHOLAR].error or "")
    assert states[HUB].error is None
    house.server.routes["/graph/v1/paper/batch"] = house.batch
    house.cited["2606.00001"] = 2
    assert asking(settings)[SCHOLAR].changed == 1  # on the same day
    assert dict(status_of(settings, now=NOW).sources)[SCHOLAR].error is None  # type: ignore[union-attr]


def test_a_provider_that_wants_rest_is_left_alone_at_once(house: House, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, house.server, citations=ALEX)
    archived(settings, [numbered(n) for n in range(1, 151)])
    house.server.routes["/works"] = Answer(status=429, body=b'{"message": "Too Many Requests"}')
    report = asking(settings)[ALEX]
    assert len(house.server.asked) == 1
    assert (report.error, report.left) == ("HTTP 429: it is asked too often", 150)


def test_a_short_rest_is_waited_for(house: House, tmp_path: Path) -> None:
    settings, clock = settings_for(tmp_path, house.server, citations=SCHOLAR), Clock()
    archived(settings, [numbered(1)])
    house.cited["2606.00001"] = 1

    def once(ask: Ask) -> Answer:
        first = len(house.server.asked) == 1
        return Answer(status=429, headers={"Retry-After": "5"}) if first else house.batch(ask)

    house.server.routes["/graph/v1/paper/batch"] = once
    report = asking(settings, clock=clock)[SCHOLAR]
    assert (report.changed, report.requests) == (1, 2)  # both were requests, and both count
    assert sum(clock.slept) >= 5


def test_the_hour_that_github_names_is_waited_for_by_nobody(house: House, tmp_path: Path) -> None:
    settings, clock = settings_for(tmp_path, house.server, stars=True), Clock()
    archived(settings, [numbered(n, code_url=f"https://github.com/lab/n{n}") for n in range(1, 6)])
    house.stars |= {f"lab/n{n}": n for n in range(1, 6)}
    reset = str(int(clock.now.timestamp()) + 1_800)

    def counted(ask: Ask) -> Answer:
        left = 3 - len(house.server.asked)
        headers = {"X-RateLimit-Remaining": str(max(0, left)), "X-RateLimit-Reset": reset}
        return Answer(status=200 if left >= 0 else 403, body=house.repository(ask).body, headers=headers)

    house.server.routes["*"] = counted
    report = asking(settings, clock=clock)[HUB]
    assert len(house.server.asked) == 3
    assert (report.asked, report.left, report.error) == (3, 2, None)
    assert "has no request left for us: try again in 1" in report.notes[0]


# The budget -----------------------------------------------------------------------------------------------------


def test_a_budget_holds_over_restarts_and_begins_anew_the_next_day(house: House, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, house.server, stars=True, requests_per_day=3)
    wanted = numbered(7, title="A wanted paper", code_url="https://github.com/lab/n7")
    archived(settings, [*(numbered(n, code_url=f"https://github.com/lab/n{n}") for n in range(1, 7)), wanted])
    house.stars |= {f"lab/n{n}": n for n in range(1, 8)}
    first, again = asking(settings)[HUB], asking(settings)[HUB]
    assert (first.requests, first.asked, first.left, first.well) == (3, 3, 4, True)
    assert (again.requests, again.asked, again.error) == (0, 0, None)
    assert "are used up" in again.notes[0]
    assert house.server.paths == ["/repos/lab/n7", "/repos/lab/n1", "/repos/lab/n2"]
    assert asking(settings, now=NOW + DAY)[HUB].asked == 3
    assert asking(settings, now=NOW)[HUB].requests == 0  # a clock that was set back gives nothing
    assert len(house.server.asked) == 6


def test_attempts_and_redirects_are_counted_before_they_go_out(house: House, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, house.server, citations=SCHOLAR, requests_per_day=2)
    archived(settings, [numbered(1)])
    house.server.routes["/graph/v1/paper/batch"] = Answer(status=503, body=b"busy")
    report = asking(settings)[SCHOLAR]
    assert len(house.server.asked) == 2
    assert (report.requests, report.requests_left, report.asked) == (2, 0, 0)


def test_a_run_that_is_killed_goes_on_within_the_budget(house: House, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, house.server, stars=True, requests_per_day=30)
    archived(settings, [numbered(n, code_url=f"https://github.com/lab/n{n}") for n in range(1, 26)])
    house.stars |= {f"lab/n{n}": n for n in range(1, 26)}
    house.server.routes["*"] = gated(house.server, house.repository, after=12)
    process = Process(settings)
    while len(house.server.asked) < 13:
        house.server.stopping.wait(0.02)
    process.kill()
    house.server.routes["*"] = house.repository
    report = asking(settings)[HUB]
    assert report.asked == 15  # ten were committed before
    assert len(house.server.asked) == 13 + 15 <= 30
    assert sorted(count for _, _, count in votes(settings)) == list(range(1, 26))
    assert asking(settings)[HUB].due == 0


def test_two_processes_share_one_budget(house: House, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, house.server, stars=True, requests_per_day=40)
    archived(settings, [numbered(n, code_url=f"https://github.com/lab/n{n}") for n in range(1, 61)])
    spenders = [Process(settings, spends=35) for _ in range(2)]
    assert sum(spender.said() for spender in spenders) == 40
    settings = settings_for(tmp_path, house.server, stars=True, requests_per_day=50)
    said = [process.said() for process in [Process(settings), Process(settings)]]
    assert len(house.server.asked) == 10
    assert all(one == "another enrich is running" or one[0].requests in (0, 10) for one in said)


def test_a_second_process_is_told_that_the_first_is_at_it(house: House, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, house.server, citations=SCHOLAR)
    archived(settings, [numbered(1)])
    house.server.routes["/graph/v1/paper/batch"] = gated(house.server, house.batch, after=0)
    first = Process(settings)
    while not house.server.asked:
        house.server.stopping.wait(0.02)
    assert Process(settings).said() == "another enrich is running"
    first.kill()


def test_a_dry_run_asks_nobody_and_says_what_would_be_asked(house: House, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, house.server, citations=ALEX, stars=True, requests_per_day=2)
    archived(settings, [numbered(n) for n in range(1, 121)])
    alex, hub = planned(settings, now=NOW)
    assert (alex.due, alex.asked, alex.requests, alex.left) == (120, 100, 2, 20)
    assert (hub.due, hub.requests) == (0, 0)
    assert not house.server.asked
    assert not (tmp_path / "enrich.sqlite").exists()


# The configuration and the commands -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('citations = "scholar"', "citations: Input should be 'semantic-scholar' or 'openalex'"),
        ("requests_per_day = 0", "requests_per_day: Input should be greater than or equal to 1"),
        ("days = 0", "days: Input should be greater than or equal to 1"),
        ('github_base_url = "localhost"', "github_base_url: must be an http:// or https:// URL with a host"),
        ('api_key = "secret"', "unknown key 'api_key'"),
        ("star = true", "unknown key 'star'; did you mean 'stars'?"),
    ],
)
def test_a_wrong_setting_is_named_with_its_line(line: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(f"[site]\n\n[enrich]\n{line}\n", path=Path("paperwire.toml"))
    assert str(caught.value).startswith(f"paperwire.toml:4: {says}")
    assert "secret" not in str(caught.value)


def test_a_source_may_not_bear_the_name_of_who_is_asked() -> None:
    source = '[[source]]\nname = "github"\nkind = "feed"\nurl = "https://feed.test/"\n'
    assert parse_settings(source).source[0].name == "github"
    with pytest.raises(ConfigError, match="named 'github'"):
        parse_settings(f"{source}[enrich]\nstars = true\n")


def test_nobody_is_asked_by_a_pass_and_everybody_in_the_night(house: House, tmp_path: Path) -> None:
    house.server.routes |= good_routes()
    house.cited["2606.00001"] = 3
    settings = _with_sources(settings_for(tmp_path, house.server, citations=SCHOLAR))
    run_pass(settings, now=NOW + 7 * DAY)
    assert not any(path.startswith("/graph") for path in house.server.paths)
    with a_fetcher() as fetcher:
        report = maintain(settings, now=NOW + 8 * DAY, fetcher=fetcher)
        assert (report.counts[0].changed, report.uncounted, report.well) == (1, None, True)
        quiet = maintain(settings.model_copy(update={"enrich": Settings().enrich}), now=NOW + 40 * DAY, fetcher=fetcher)
    assert quiet.counts == ()


def test_the_command_says_what_each_was_asked(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    room = Newsroom(tmp_path, house.server)
    paperwire = in_process(room, monkeypatch, capsys)
    room.configure()
    archived(Settings(home=room.home), [numbered(1)])
    assert "nobody is asked: the configuration has no [enrich]" in paperwire("enrich").out
    base = f'"{house.server.url("")}"'
    table = f'[enrich]\ncitations = "openalex"\nopenalex_base_url = {base}\nallow_private_addresses = true\n'
    room.configure(more=f"{table}days = 3650\n")
    dry = paperwire("enrich", "--dry-run")
    assert (dry.code, dry.out) == (OK, "· openalex  would ask about 1 paper in 1 request (100 left today)\n")
    house.cited["2606.00001"] = 3
    said = paperwire("enrich")
    assert said.out == "✓ openalex  asked about 1 paper in 1 request (99 left today), 1 known, 1 changed\n"
    assert paperwire("enrich").out == "✓ openalex  no paper's turn\n"
    assert "all is as committed" in paperwire("verify").out
    (report,) = paperwire("enrich", "--json").document()
    assert (report["well"], report["due"], report["requests_left"]) == (True, 0, 99)
    house.server.routes["/works"] = Answer(status=403)
    monkeypatch.setenv("PAPERWIRE_HOME", str(tmp_path / "other"))
    archived(Settings(home=tmp_path / "other"), [numbered(1)])
    failed = paperwire("enrich", "--json")
    assert failed.code == INCOMPLETE
    assert failed.document()[0]["error"] == "HTTP 403: it refuses us"


# As they really answered ----------------------------------------------------------------------------------------


def test_an_answer_of_semantic_scholar_is_read(unpack: Callable[[str], Path]) -> None:
    name = "test_get_papers_not_found_warning.yaml"
    answer = next(a for a in recorded(unpack("semanticscholar")) if a.file.endswith(name))
    ids = ["CorpusId:211530585", "CorpusId:470667", "DOI:10.2139/ssrn.2250500", "PMID:1"]
    found = SemanticScholar().read(a_source(name=SCHOLAR), ids, fetched(answer.body, status=answer.status))
    assert (dict(found.counts), found.problems) == ({ids[1]: 10670, ids[2]: 2185, ids[3]: 0}, ())


def test_papers_of_semantic_scholar_name_their_arxiv_id(unpack: Callable[[str], Path]) -> None:
    (path,) = unpack("multi").rglob("semantic_scholar_transformer.json")
    listed = json.loads(path.read_bytes())["data"]
    ids = [f"ARXIV:{paper['externalIds'].get('ArXiv', '2606.00001')}" for paper in listed]
    found = SemanticScholar().read(a_source(name=SCHOLAR), ids, fetched(json.dumps(listed).encode()))
    assert len(found.counts) + len(found.problems) == len(listed)
    wrong = SemanticScholar().read(a_source(name=SCHOLAR), ids[::-1], fetched(json.dumps(listed).encode()))
    assert any("it answers of" in problem for problem in wrong.problems)


def _answer(document: Any) -> Fetched:
    return fetched(json.dumps(document).encode())


def _site(home: Path) -> dict[str, bytes]:
    site = home / "site"
    return {path.relative_to(site).as_posix(): path.read_bytes() for path in site.rglob("*") if path.is_file()}


def _with_sources(settings: Settings) -> Settings:
    source = '[[source]]\nname = "cl"\nkind = "arxiv-rss"\ncategory = "cs.CL"\nallow_private_addresses = true\n'
    read = parse_settings(source).source[0]
    base = settings.enrich.semantic_scholar_base_url
    return settings.model_copy(update={"source": (read.model_copy(update={"base_url": base}),)})
