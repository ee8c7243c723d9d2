"""What every test may use: the captured data where it is at hand, and settings for a throw-away home."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


# The longest files start first, so that two workers end at about the same time.
LONGEST = (
    "readers_hold_what_was_published",
    *("the_archive_is_its_model", "compaction_keeps_every_row", "sightings_become_exactly_the_papers"),
    *("the_replay_loses_nothing", "every_readme_line_runs", "the_demo_shows_it_all", "up_runs_the_wire"),
    *("every_capture_is_read", "a_feeds_history_is_told_once", "migrations_lose_nothing", "rss_keeps_every_byte"),
    *("two_hundred_feeds_are_valid", "fuzzed_papers_never_break_a_feed", "no_payload_runs_in_a_browser"),
    *("columns_that_came_later_are_added_once", "sources_are_read_politely", "no_gap_is_silent"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the order within a file stays."""
    rank = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of captured traffic; a checkout without it skips."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the captured data (../shared/data) is not beside this checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def unpack(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unpack a pack of captured data by name, once for the whole run; returns its folder."""
    done: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name in done:
            return done[name]
        if not shutil.which("zstd"):
            pytest.skip("zstd is not installed, so the captured data cannot be unpacked")
        target = tmp_path_factory.mktemp(name.replace(".", "-"))
        source = shared_data / f"{name}.tar.zst"
        subprocess.run(f"zstd -q -d --long=27 -c {source} | tar -xf - -C {target}", shell=True, check=True)  # noqa: S602
        inner = [p for p in target.iterdir() if p.is_dir()]
        done[name] = inner[0] if len(inner) == 1 and len(list(target.iterdir())) == 1 else target
        return done[name]

    return folder
