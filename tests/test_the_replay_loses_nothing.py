"""Fifteen days of arXiv and Hugging Face, replayed day by day: every paper once, every abstract as it was written."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from flows.harvesting import Tools
from flows.parsing import Parser
from flows.pipeline import PassReport, ingest_source, run_pass
from storage.catalog import catalog_path
from storage.coverage import State
from storage.settings import Settings, parse_settings
from storage.verify import verify
from tests.captured import CapturedProviders, abstracts, read
from tests.fetching_tools import a_fetcher
from tests.published import check_feeds, feeds_due

CATEGORIES = ("cs.CL", "cs.CV", "cs.LG", "cs.AI", "eess.IV", "cs")
TOPICS = "".join(
    f'[[topic]]\nslug = "{slug}"\ntitle = "{slug}"\nquery = \'{query}\'\n'
    for slug, query in {
        "language-models": '"language model*" OR LLM*',
        "vision": "category:cs.CV",
        "learning": "category:cs.LG",
        "agents": "agent* OR agentic",
        "diffusion": 'diffusion OR "flow matching"',
        "robots": "robot* OR category:cs.RO",
        "trending": "trending:yes",
        "medicine": "medical OR clinical OR patient*",
    }.items()
)
DAYS = tuple(date(2026, 6, n) for n in range(1, 16))


def configuration(base_url: str, categories: tuple[str, ...], *, hugging_face: bool) -> str:
    """A paperwire.toml with one source a category, all at the local server."""
    common = f'base_url = "{base_url}"\nallow_private_addresses = true\n'
    text = "".join(
        f'[[source]]\nname = "arxiv-rss:{c}"\nkind = "arxiv-rss"\ncategory = "{c}"\n{common}' for c in categories
    )
    if hugging_face:
        text += f'[[source]]\nname = "hf-daily"\nkind = "hf-daily"\n{common}'
    return text + TOPICS


@dataclass
class World:
    """What the replay left behind."""

    settings: Settings
    providers: CapturedProviders
    reports: list[PassReport]
    seconds: float

    def sql(self, query: str) -> list[tuple[object, ...]]:
        """Ask the archive."""
        with duckdb.connect(str(catalog_path(self.settings.home)), read_only=True) as connection:
            return connection.execute(query).fetchall()

    def site(self) -> dict[str, tuple[int, int]]:
        """Every file of the site with the time and size of its last writing."""
        folder = self.settings.home / "site"
        return {
            str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.stat().st_size)
            for p in folder.rglob("*")
            if p.is_file()
        }


def pass_at(world: World, day: date) -> PassReport:
    """One pass on the morning of `day`."""
    world.providers.day = day
    return run_pass(world.settings, now=datetime(day.year, day.month, day.day, 6, tzinfo=UTC))


@pytest.fixture(scope="module")
def world(unpack: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All fifteen days, replayed once for the tests below."""
    home = tmp_path_factory.mktemp("replay")
    with CapturedProviders(unpack("arxiv_rss_replay"), unpack("hf_daily_raw")) as providers:
        text = configuration(providers.base_url, CATEGORIES, hugging_face=True)
        world = World(parse_settings(text, home=home), providers, [], 0.0)
        started = time.monotonic()
        world.reports = [pass_at(world, day) for day in DAYS]
        world.seconds = time.monotonic() - started
        yield world


def truth(world: World) -> dict[str, str]:
    """Every arXiv id with version in the captured feeds, with its abstract, as lxml reads them."""
    found: dict[str, str] = {}
    for day in DAYS:
        world.providers.day = day
        for category in CATEGORIES:
            found |= abstracts(read(world.providers.feed(category)))
    return found


def listed_by_hugging_face(world: World) -> set[str]:
    """Every arXiv id on the daily lists that were asked for."""
    assert world.providers.hugging_face
    asked = {DAYS[0] - timedelta(days=n) for n in range(14)} | set(DAYS)
    ids = set()
    for day in asked:
        file = world.providers.hugging_face / f"{day}.json"
        if file.exists():
            ids |= {e["paper"]["id"] for e in json.loads(file.read_bytes())}
    return ids


def test_every_pass_reads_every_source(world: World) -> None:
    errors = [
        (r.source, r.error, r.problems) for report in world.reports for r in report.sources if r.error or r.problems
    ]
    assert errors == []
    missing = [
        (day, v.source, v.day, v.state)
        for day, r in zip(DAYS, world.reports, strict=True)
        for s in r.sources
        for v in s.missing
    ]
    # There is no capture of that day's list: it was due on the 6th, and three days later never made.
    assert missing == [(date(2026, 6, 6), "hf-daily", date(2026, 6, 5), State.LATE)]
    assert sum(not report.well for report in world.reports) == 1
    days = "SELECT DISTINCT state FROM coverage WHERE day < '2026-06-14'"
    assert {*world.sql(days)} == {("complete",), ("quiet",)}


def test_papers_are_exactly_the_distinct_ids(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    expected = {guid.split("v")[0] for guid in truth(world)} | listed_by_hugging_face(world)
    rows = world.sql("SELECT paper_id FROM papers")
    assert sorted(str(r[0]) for r in rows) == sorted(f"arxiv:{i}" for i in expected)
    entries = sum(s.entries for report in world.reports for s in report.sources)
    with capsys.disabled():
        print(f"\n15 days: {entries:,} entries offered, {len(rows):,} papers = distinct ids, {world.seconds:.0f} s")


def test_no_abstract_differs_from_the_source(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    source = truth(world)
    stored = dict(world.sql("SELECT paper_id || 'v' || version, abstract FROM papers WHERE version IS NOT NULL"))
    differ = [guid for guid, text in source.items() if stored.get(f"arxiv:{guid}") != text.strip()]
    assert differ == []
    with capsys.disabled():
        print(f"\n{len(source):,} abstracts compared with lxml's reading: {len(differ)} differ")


def test_every_feed_is_valid_and_nothing_is_twice_in_any(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    published = check_feeds(world.settings.home / "site")
    assert published.feeds == feeds_due(world.settings.home, [topic.slug for topic in world.settings.topic])
    everything = published.with_past("feeds/all")
    assert len(everything) == len(set(everything))
    assert world.sql("SELECT count(*) FROM papers WHERE announced_at IS NOT NULL") == [(len(everything),)]
    with capsys.disabled():
        print(f"\n{published.entries:,} items in {len(published.ids)} valid feeds, 0 twice in any")


def test_each_paper_was_announced_as_new_once(world: World) -> None:
    told = "SELECT paper_id, count(*) AS n FROM sightings WHERE list_contains(announcements, 'new') GROUP BY 1"
    twice = world.sql(f"{told} HAVING n > 1")
    assert twice == []
    assert world.sql("SELECT count(*) FROM papers WHERE announced_at IS NULL") == [(0,)]


def test_a_pass_with_nothing_new_rewrites_no_file_and_sends_nothing(world: World) -> None:
    before, mails = world.site(), sorted((world.settings.home / "outbox").iterdir())
    database = catalog_path(world.settings.home).stat().st_mtime_ns
    report = pass_at(world, DAYS[-1])
    assert all(s.seq is None for s in report.sources)
    assert report.publish is not None
    assert report.publish.files_written == 0
    assert report.deliveries == () or all(d.sent == 0 for d in report.deliveries)
    assert world.site() == before
    assert sorted((world.settings.home / "outbox").iterdir()) == mails
    assert catalog_path(world.settings.home).stat().st_mtime_ns == database


def test_everything_published_again_is_the_same_bytes(world: World) -> None:
    from flows.pipeline import publish
    from storage.archive import Archive

    before = world.site()
    with Archive(world.settings.home) as archive, archive.index.transaction():
        archive.index.set_meta("published_key", "")
    report = publish(world.settings, now=datetime(2026, 6, 16, tzinfo=UTC))
    assert report.papers > 1_000
    assert report.files_written == 0
    assert world.site() == before


def test_the_archive_verifies(world: World) -> None:
    found = verify(world.settings.home)
    assert found.faults == ()
    assert found.papers > 1_000


def test_a_weekday_nobody_read_is_a_gap_and_a_weekend_is_none(unpack: Callable[[str], Path], tmp_path: Path) -> None:
    with CapturedProviders(unpack("arxiv_rss_replay"), None) as providers:
        text = configuration(providers.base_url, ("eess.IV",), hugging_face=False)
        world = World(parse_settings(text, home=tmp_path), providers, [], 0.0)
        assert pass_at(world, date(2026, 6, 4)).well
        assert pass_at(world, date(2026, 6, 5)).well
        assert pass_at(world, date(2026, 6, 8)).well, "a weekend is no gap"
        report = pass_at(world, date(2026, 6, 11))
    assert not report.well
    missing = [(v.day, v.state, v.why) for v in report.sources[0].missing]
    assert missing == [(date(2026, 6, day), State.FAILED, "the batch was never read") for day in (9, 10)]


def test_replacements_dois_and_errors_of_the_edge_pack(
    unpack: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edge = unpack("arxiv_rss_replay") / "edge"
    with CapturedProviders(edge, None) as providers:
        text = configuration(providers.base_url, ("cs", "math.NT", "astro-ph", "cs+math"), hugging_face=False)
        world = World(parse_settings(text, home=tmp_path), providers, [], 0.0)
        reports = [pass_at(world, date(2023, 10, day)) for day in (26, 27, 28)]
        expected: set[str] = set()
        for file in sorted(edge.glob("2023-*_rss_*.xml")):
            expected |= {guid.split("v")[0] for guid in abstracts(file.read_bytes())}
    papers = {str(r[0]) for r in world.sql("SELECT paper_id FROM papers")}
    assert papers == {f"arxiv:{i}" for i in expected}, "two ids that share a DOI stay two papers"
    kinds = Counter(
        dict(world.sql("SELECT a, count(*) FROM (SELECT unnest(announcements) AS a FROM sightings) GROUP BY a"))
    )
    # A replacement is never told as new: no paper whose every announcement was a replacement has an announced_at.
    replaced = world.sql("SELECT announced_at FROM papers WHERE revised_at IS NOT NULL AND announced_at IS NULL")
    assert kinds["revised"] >= 1
    assert len(replaced) == kinds["revised"] - len(
        world.sql("SELECT 1 FROM papers WHERE revised_at IS NOT NULL AND announced_at IS NOT NULL")
    )
    assert world.sql("SELECT count(*) FROM papers WHERE doi IS NOT NULL")[0][0]
    assert not any(s.error for r in reports for s in r.sources)
    with capsys.disabled():
        print(f"\nedge pack: {len(papers)} papers, announcements {dict(kinds)}")


def test_a_host_that_is_down_is_not_asked_fourteen_times(tmp_path: Path) -> None:
    text = (
        '[[source]]\nname = "hf"\nkind = "hf-daily"\nbase_url = "http://127.0.0.1:1"\nallow_private_addresses = true\n'
    )
    settings, now = parse_settings(text, home=tmp_path), datetime(2026, 6, 2, 6, tzinfo=UTC)
    with a_fetcher(limits=settings.limits) as fetcher, Parser(settings.limits) as parser:
        report = ingest_source(settings, "hf", now=now, tools=Tools(fetcher, parser))
    assert report.requests == 2
    assert "127.0.0.1" in (report.error or "")
