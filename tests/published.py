"""What must hold of every feed in a published folder, whoever made it."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import feedparser

from publishers.paths import file_name
from tests.test_feeds_are_valid import faults, json_schema


@dataclass(frozen=True)
class Published:
    """The ids of each feed's entries, by the name of its file."""

    ids: dict[str, tuple[str, ...]]

    @property
    def entries(self) -> int:
        """Entries over all feeds."""
        return sum(map(len, self.ids.values()))

    @property
    def feeds(self) -> set[str]:
        """The names of the feeds themselves, without the documents of what has left them."""
        return {name for name in self.ids if "/archive/" not in name}

    def with_past(self, stem: str) -> list[str]:
        """The ids of a feed and of all that has left it."""
        mine = (found for name, found in self.ids.items() if name.startswith(f"{stem}/archive/"))
        return [*self.ids[f"{stem}.atom"], *(one for found in mine for one in found)]


def feeds_due(home: Path, topics: Iterable[str]) -> set[str]:
    """The names of the feeds that a home has to have published: by topic, category and source, and of coverage.

    Categories are arXiv's alone; others have feeds from ten papers on.
    """
    with duckdb.connect(str(home / "papers.duckdb"), read_only=True) as connection:
        told = connection.execute("SELECT DISTINCT unnest(categories) FROM revisions").fetchall()
        sources = connection.execute("SELECT DISTINCT source FROM sightings").fetchall()
    ranked = ["all", *topics]
    others = [f"category/{file_name(code)}" for (code,) in told] + [f"source/{file_name(name)}" for (name,) in sources]
    stems = [f"{key}{part}" for key in ranked for part in ("", "/revisions", "/trending")]
    stems += [f"{key}{part}" for key in others for part in ("", "/revisions")]
    return {f"feeds/{stem}.{extension}" for stem in (*stems, "health") for extension in ("atom", "rss", "json")}


def check_feeds(site: Path) -> Published:
    """Hold every feed under `site` against its grammar and read it; each says the same in three formats.

    What has left the window of a feed is in Atom documents, and none of it is in the feed any more.
    """
    ids = {str(path.relative_to(site)): _ids(path) for path in sorted((site / "feeds").rglob("*")) if _is_feed(path)}
    for name, found in ids.items():
        assert [i for i, n in Counter(found).items() if n > 1] == [], name
        stem, _, extension = name.rpartition(".")
        if "/archive/" in name:
            assert set(found).isdisjoint(ids[f"{stem.rpartition('/archive/')[0]}.atom"]), name
        elif extension == "atom":
            assert found == ids[f"{stem}.rss"] == ids[f"{stem}.json"], stem
    return Published(ids)


def _is_feed(path: Path) -> bool:
    return path.suffix in (".atom", ".rss", ".json")


def _ids(path: Path) -> tuple[str, ...]:
    content = path.read_bytes()
    if path.suffix == ".json":
        document = json.loads(content)
        assert [error.message for error in json_schema().iter_errors(document)] == [], path
        return tuple(item["id"] for item in document["items"])
    assert faults(content, path.suffix.removeprefix(".")) == [], path
    parsed = feedparser.parse(io.BytesIO(content))
    assert not parsed.bozo, f"{path}: {parsed.get('bozo_exception')}"
    assert all(entry.get("title") and entry.get("link") and entry.get("authors") for entry in parsed.entries), path
    return tuple(entry.id for entry in parsed.entries)
