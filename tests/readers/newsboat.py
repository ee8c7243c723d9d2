"""newsboat: a terminal reader with an SQLite cache."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from tests.readers.driver import Driver, Held, Shown, output


class Newsboat(Driver):
    """Keeps an id once, whichever feed brings it."""

    name, needs, one_copy = "newsboat", ("newsboat:newsboat",), True

    def __init__(self, home: Path, urls: Mapping[str, str]) -> None:
        super().__init__(home, urls)
        (home / "urls").write_text("".join(f"{url}\n" for url in urls.values()))
        (home / "config").write_text("max-items 0\n")

    @classmethod
    def version(cls) -> str:
        return output("newsboat", "--version").split()[1]

    def poll(self) -> None:
        self._newsboat("-x", "reload")

    def held(self) -> Held:
        return self._ids("SELECT feedurl, guid FROM rss_item")

    def unread(self) -> Held:
        return self._ids("SELECT feedurl, guid FROM rss_item WHERE unread")

    def mark_read(self) -> None:
        (self.home / "read").write_text("".join(f"{i}\n" for ids in self.unread().values() for i in ids))
        self._newsboat("-I", str(self.home / "read"))

    def shown(self, feed: str) -> dict[str, Shown]:
        rows = self._rows(f"SELECT guid, title, author FROM rss_item WHERE feedurl = '{self.urls[feed]}'")
        return {guid: Shown(title, author) for guid, title, author in rows}

    def _newsboat(self, *arguments: str) -> None:
        files = ("-u", self.home / "urls", "-c", self.home / "cache.db", "-C", self.home / "config")
        self.run(["newsboat", *map(str, files), *arguments])

    def _ids(self, query: str) -> Held:
        ids: Held = {feed: [] for feed in self.urls}
        for url, guid in self._rows(query):
            ids[self.feed_at(url)].append(guid)
        return ids

    def _rows(self, query: str) -> list[tuple[str, ...]]:
        with closing(sqlite3.connect(f"file:{self.home / 'cache.db'}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()
