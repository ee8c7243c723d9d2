"""The coverage page and its feeds follow the ledger, also on a day on which no paper came."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.pipeline import publish
from storage.archive import Archive
from storage.coverage import CoverageLog, State, Verdict
from storage.errors import ArchiveError
from storage.settings import Settings, parse_settings
from tests.coverage_builders import CAME, NOTICED, a_verdict
from tests.page_builders import parsed, text_of
from tests.published import check_feeds

NOW = datetime(2026, 6, 4, 9, 0, tzinfo=UTC)
FILES = {"health.html", "index.html", "feeds/health.atom", "feeds/health.rss", "feeds/health.json"}
TOML = """
[site]
title = "Short wire"
base_url = "https://wire.example.org/"
[[topic]]
slug = "short"
title = "Short titles"
query = "title:short"
"""


@pytest.fixture
def configured(tmp_path: Path) -> Settings:
    """A new home with its first site, before anything was judged."""
    settings = parse_settings(TOML, home=tmp_path)
    publish(settings, now=NOW)
    return settings


def judge(settings: Settings, verdicts: Sequence[Verdict], *, now: datetime) -> None:
    """Write verdicts as a pass does."""
    with Archive(settings.home) as archive, archive.index.transaction():
        CoverageLog(archive.index).judge(verdicts, now=now)


def contents(settings: Settings) -> dict[str, str]:
    """A digest of every published file but the .gz twins, by path."""
    site = settings.home / "site"
    files = [path for path in site.rglob("*") if path.is_file() and path.suffix != ".gz"]
    return {str(p.relative_to(site)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def changed(settings: Settings, before: dict[str, str]) -> set[str]:
    """The files that are not what they were."""
    return {name for name, digest in contents(settings).items() if before.get(name) != digest}


def headline(settings: Settings) -> str:
    return text_of(parsed((settings.home / "site" / "health.html").read_bytes()).find(".//h1"))


def test_a_new_installation_has_an_empty_page_and_empty_valid_feeds(configured: Settings) -> None:
    assert headline(configured) == "Nothing has been judged yet"
    found = check_feeds(configured.home / "site")
    assert [found.ids[name] for name in sorted(FILES) if name.startswith("feeds/")] == [(), (), ()]
    assert b"feeds/health.atom" in (configured.home / "site" / "feeds.opml").read_bytes()


def test_a_missing_batch_is_published_although_no_paper_came(configured: Settings) -> None:
    before = contents(configured)
    judge(configured, [a_verdict(State.LATE, came=0, why="it is empty on a working day")], now=NOTICED)
    report = publish(configured, now=NOW)
    assert headline(configured) == "1 batch is missing"
    assert changed(configured, before) == FILES
    assert (report.files_written, report.papers, report.topics) == (len(FILES), 0, ())
    assert len(check_feeds(configured.home / "site").ids["feeds/health.atom"]) == 1


def test_a_batch_that_came_after_all_is_published_under_the_same_id(configured: Settings) -> None:
    judge(configured, [a_verdict(State.LATE, came=0)], now=NOTICED)
    publish(configured, now=NOW)
    ids = check_feeds(configured.home / "site").ids["feeds/health.json"]
    judge(configured, [a_verdict()], now=CAME)
    publish(configured, now=NOW)
    assert headline(configured) == "Nothing is missing"
    assert check_feeds(configured.home / "site").ids["feeds/health.json"] == ids
    feed = (configured.home / "site" / "feeds" / "health.atom").read_bytes()
    assert b"the batch of 2 June came (was late)" in feed
    assert b"<updated>2026-06-04T08:05:00.000Z</updated>" in feed


def test_verdicts_that_stay_the_same_write_nothing(configured: Settings) -> None:
    verdict = a_verdict(State.STALE, came=3)
    judge(configured, [verdict], now=NOTICED)
    publish(configured, now=NOW)
    before = contents(configured)
    judge(configured, [verdict], now=CAME)
    report = publish(configured, now=NOW + timedelta(hours=1))
    assert (report.files_written, report.files_unchanged) == (0, 0)
    assert contents(configured) == before


def test_the_front_page_is_made_again_with_the_line_it_carries(configured: Settings) -> None:
    judge(configured, [a_verdict()], now=NOTICED)
    publish(configured, now=NOW)
    before = contents(configured)
    judge(configured, [a_verdict(came=313)], now=CAME)
    assert publish(configured, now=NOW).files_written == 1
    assert changed(configured, before) == {"health.html"}


@pytest.mark.parametrize("gone", sorted(FILES))
def test_what_somebody_deleted_comes_back(configured: Settings, gone: str) -> None:
    judge(configured, [a_verdict(State.FAILED, came=0)], now=NOTICED)
    publish(configured, now=NOW)
    before = contents(configured)
    (configured.home / "site" / gone).unlink()
    publish(configured, now=NOW)
    assert contents(configured) == before


def test_a_pass_that_broke_off_is_made_up_for(configured: Settings) -> None:
    """Killed after its first file: what was published is recorded last, so the next pass does all of it."""
    judge(configured, [a_verdict(State.FAILED, came=0)], now=NOTICED)
    feeds = configured.home / "site" / "feeds"
    feeds.rename(feeds.with_name("elsewhere"))
    feeds.write_text("in the way")
    with pytest.raises(ArchiveError, match="Not a directory"):
        publish(configured, now=NOW)
    feeds.unlink()
    feeds.with_name("elsewhere").rename(feeds)
    assert headline(configured) == "1 batch is missing", "the page was written before it broke off"
    assert publish(configured, now=NOW).files_written == 3
    assert len(check_feeds(configured.home / "site").ids["feeds/health.rss"]) == 1
