"""What must hold of every feed in a published folder, whoever made it."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import feedparser

from tests.test_feeds_are_valid import faults, json_schema


@dataclass(frozen=True)
class Published:
    """The ids of each feed's entries, by the name of its file."""

    ids: dict[str, tuple[str, ...]]

    @property
    def entries(self) -> int:
        """Entries over all feeds."""
        return sum(map(len, self.ids.values()))


def check_feeds(site: Path) -> Published:
    """Hold every feed under `site` against its grammar and read it; each topic says the same in three formats."""
    ids = {str(path.relative_to(site)): _ids(path) for path in sorted((site / "feeds").rglob("*")) if _is_feed(path)}
    for name, found in ids.items():
        assert [i for i, n in Counter(found).items() if n > 1] == [], name
        if name.endswith(".atom") and "revisions" not in name:
            stem = name.removesuffix(".atom")
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
