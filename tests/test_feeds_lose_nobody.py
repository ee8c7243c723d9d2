"""Who reads a feed every three days holds all that ever stood in it, and its past is there for all others (RFC 5005).

A month of one archive: papers come, are revised, cross-listed, voted for, put on lists, merged, split and withdrawn;
after each day the site is brought up to date and a reader looks at every feed.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from lxml import etree

from flows.decide import decide
from flows.pipeline import publish
from publishers.archives import week_of
from storage.archive import Archive
from storage.catalog import Catalog
from storage.errors import ArchiveError
from storage.model import Entry
from storage.settings import Settings, parse_settings
from tests.archive_days import of_arxiv, of_hugging_face
from tests.builders import NOW
from tests.published import check_feeds

DAYS, PAPERS_A_DAY = 21, 9
ATOM = {"a": "http://www.w3.org/2005/Atom", "fh": "http://purl.org/syndication/history/1.0"}
BASE = "https://papers.test/"
CONFIGURATION = f"""
[site]
base_url = "{BASE}"

[[topic]]
slug = "short"
title = "Short"
query = "short"

[[topic]]
slug = "long"
title = "Long"
query = "long"

[[topic]]
slug = "popular"
title = "Popular"
query = "votes:>=20"
"""


@dataclass
class World:
    """An installation, the clock it was last published at, and what a reader of each feed holds."""

    settings: Settings
    now: datetime
    held: dict[str, Counter[str]] = field(default_factory=dict)  # how often each id was found to be new
    late: dict[str, str] = field(default_factory=dict)  # papers that joined a feed long after they were announced

    @property
    def site(self) -> Path:
        return self.settings.home / "site"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    settings = parse_settings(CONFIGURATION, home=tmp_path_factory.mktemp("month"))
    world = World(settings, NOW)
    chance = random.Random(5)  # noqa: S311 - no secret
    for day in range(DAYS):
        world.now = NOW + timedelta(days=day)
        live_a_day(world, day, chance)
        publish(settings, now=world.now)
        if day % 3 == 2:  # what a feed's window promises
            look(world)
    return world


def live_a_day(world: World, day: int, chance: random.Random) -> None:
    """Some commits, several sources."""
    first = day * PAPERS_A_DAY
    with Archive(world.settings.home) as archive:

        def say(source: str, *entries: Entry) -> None:
            batch = f"{source}@{world.now.isoformat()}#{archive.index.latest_seq()}"
            archive.append(entries, source=source, batch_id=batch, now=world.now, decide=decide)

        on = {"announced_on": world.now.date()}
        new = [of_arxiv(first + n, abstract=f"Number {first + n} of many.", **on) for n in range(1, PAPERS_A_DAY + 1)]
        say("arxiv-rss:cs.CL", *new)
        if day == 1:  # the only one of its day, week and month, until it turns out to be another one
            say("arxiv-rss:cs.CL", of_arxiv(9_001, announced_on=date(2026, 4, 1)))
        if day < 2:
            return
        old = chance.sample(range(1, first), 6)
        say("arxiv-rss:cs.CL", *(revised(number, title=f"A long paper number {number}", **on) for number in old[:2]))
        say("arxiv-rss:cs.CL", revised(old[2], abstract="This paper has been withdrawn by the authors.", **on))
        say(
            "arxiv-rss:math.CO", replace(of_arxiv(old[3], **on), categories=("cs.CL", "math.CO"), announce_type="cross")
        )
        say("hf-daily", of_hugging_face(old[4], upvotes=25), of_hugging_face(old[5], upvotes=3))
        if day == 10:  # many join a feed at one moment, and leave its window one by one
            say("hf-daily", *(of_hugging_face(number, upvotes=1) for number in range(1, 75)))
        world.late |= {f"arxiv:2606.{old[4]:05d}": "popular", f"arxiv:2606.{old[5]:05d}": "source/hf-daily"}
        world.late[f"arxiv:2606.{old[3]:05d}"] = "category/math.CO"
        if day in (6, 9):
            archive.merge(f"arxiv:2606.{first - 5:05d}", f"arxiv:2606.{first - 6:05d}", reason="by hand", now=world.now)
        if day == 14:
            archive.merge("arxiv:2606.00002", "arxiv:2606.09001", reason="by hand", now=world.now)
        if day == 12:
            archive.split(f"arxiv:2606.{6 * PAPERS_A_DAY - 6:05d}", reason="by hand", now=world.now)


def revised(number: int, **changes: object) -> Entry:
    """The second version of a paper."""
    entry = of_arxiv(number, version=2, announce_type="replace", **changes)
    return replace(entry, entry_id=entry.entry_id.replace("v1", "v2"))


def look(world: World) -> None:
    """Read every feed as a reader does: an id it does not hold is a new entry."""
    for path in sorted((world.site / "feeds").rglob("*.atom")):
        if path.parent.name != "archive":
            held = world.held.setdefault(str(path.relative_to(world.site)), Counter())
            held.update([i for i in ids_of(path) if i not in held])


def ids_of(path: Path) -> list[str]:
    return [str(e.text) for e in etree.parse(path).getroot().findall("a:entry/a:id", ATOM)]


def chain(site: Path, name: str) -> Iterator[Path]:
    """A feed and all of its past, newest first."""
    path: Path | None = site / name
    while path:
        yield path
        link = etree.parse(path).getroot().find("a:link[@rel='prev-archive']", ATOM)
        path = site / link.get("href").removeprefix(BASE) if link is not None else None


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_feed_keeps_its_grammar_and_has_nothing_twice(world: World) -> None:
    published = check_feeds(world.site)
    assert any("/archive/" in name for name in published.ids)


def test_a_reader_that_looks_every_third_day_misses_nothing(world: World) -> None:
    assert len(world.held) > 10
    for name, held in world.held.items():
        whole = [i for path in chain(world.site, name) for i in ids_of(path)]
        missed = set(whole) - set(held)
        assert missed == set(), f"{name}: {sorted(missed)[:3]}"


def test_the_past_of_a_feed_has_each_entry_once(world: World) -> None:
    with Catalog(world.settings.home) as catalog:
        papers = {r["paper_id"] for r in catalog.rows("SELECT paper_id FROM papers WHERE announced_at IS NOT NULL")}
    whole = Counter(i for path in chain(world.site, "feeds/all.atom") for i in ids_of(path))
    assert set(whole.values()) == {1}
    assert {i.partition("paper/")[2].replace("arxiv/", "arxiv:") for i in whole} == papers
    assert len(papers) == DAYS * PAPERS_A_DAY - 1, "two were merged away, one of them was split off again"


def test_each_document_of_the_past_holds_its_own_week(world: World) -> None:
    for name in ("feeds/all.atom", "feeds/all/revisions.atom"):
        newest, *past = chain(world.site, name)
        assert past or "revisions" in name
        for path in past:
            root = etree.parse(path).getroot()
            assert root.find("fh:archive", ATOM) is not None
            assert root.find("a:link[@rel='current']", ATOM).get("href") == BASE + name
            assert root.findtext("a:id", None, ATOM) == etree.parse(newest).getroot().findtext("a:id", None, ATOM)
            moments = [datetime.fromisoformat(e.text) for e in root.findall("a:entry/a:published", ATOM)]
            weeks = {week_of(moment)[0].strftime("%G-W%V") for moment in moments}
            assert path.stem in weeks


def test_a_paper_that_joins_a_feed_late_is_seen_there(world: World) -> None:
    assert len(world.late) > 40
    for paper_id, name in world.late.items():
        held = world.held[f"feeds/{name}.atom"]
        entry = f"tag:papers.test,2026:paper/{paper_id.replace(':', '/')}"
        merged = entry not in {i for path in chain(world.site, f"feeds/{name}.atom") for i in ids_of(path)}
        assert merged or entry in held, (paper_id, name)


def test_nobody_is_told_twice_of_one_thing(world: World) -> None:
    for name, held in world.held.items():
        assert set(held.values()) <= {1}, name


def test_a_site_made_anew_is_the_one_that_grew(world: World, tmp_path: Path) -> None:
    home = tmp_path / "again"
    shutil.copytree(world.settings.home, home, ignore=shutil.ignore_patterns("site", "listings.sqlite*"))
    report = publish(world.settings.model_copy(update={"home": home}), now=world.now)
    assert report.papers > DAYS * PAPERS_A_DAY - 3
    assert differences(tree(home / "site"), tree(world.site)) == []


def test_a_feed_that_somebody_changed_is_mended_with_the_next_news(world: World, tmp_path: Path) -> None:
    home = tmp_path / "mended"
    shutil.copytree(world.settings.home, home)
    settings = world.settings.model_copy(update={"home": home})
    feed = home / "site" / "feeds" / "all.atom"
    right = feed.read_bytes()
    feed.write_bytes(right.replace(b"A short paper", b"A forged paper"))
    (home / "site" / "feeds" / "short.atom").write_bytes(b"")
    later = replace(world, settings=settings, now=world.now + timedelta(days=1), held={}, late={})
    live_a_day(later, DAYS, random.Random(6))  # noqa: S311 - no secret
    publish(settings, now=later.now)
    anew = tmp_path / "anew"
    shutil.copytree(home, anew, ignore=shutil.ignore_patterns("site", "listings.sqlite*"))
    publish(settings.model_copy(update={"home": anew}), now=later.now)
    assert b"forged" not in feed.read_bytes()
    assert differences(tree(anew / "site"), tree(home / "site")) == []


def test_a_publish_that_broke_off_is_finished_by_the_next(world: World, tmp_path: Path) -> None:
    home = tmp_path / "broken"
    shutil.copytree(world.settings.home, home)
    settings = world.settings.model_copy(update={"home": home})
    later = replace(world, settings=settings, now=world.now + timedelta(days=1), held={}, late={})
    live_a_day(later, DAYS, random.Random(8))  # noqa: S311 - no secret
    obstacle = home / "site" / "archive.html"  # a page is written after the feeds
    obstacle.unlink()
    obstacle.mkdir()
    before = ids_of(home / "site" / "feeds" / "all.atom")
    with pytest.raises(ArchiveError, match=r"archive\.html"):
        publish(settings, now=later.now)
    assert ids_of(home / "site" / "feeds" / "all.atom") != before, "feeds come first"
    obstacle.rmdir()
    publish(settings, now=later.now)
    anew = tmp_path / "anew"
    shutil.copytree(home, anew, ignore=shutil.ignore_patterns("site", "listings.sqlite*"))
    publish(settings.model_copy(update={"home": anew}), now=later.now)
    assert differences(tree(anew / "site"), tree(home / "site")) == []


def differences(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
