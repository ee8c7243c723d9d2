"""`reader`: a Python library with an SQLite store; it also reads JSON Feed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import reader

from tests.readers.driver import Driver, Held, Shown


class ReaderLibrary(Driver):
    """Keys an entry by feed and id."""

    name = "reader"

    def __init__(self, home: Path, urls: Mapping[str, str]) -> None:
        super().__init__(home, urls)
        with reader.make_reader(str(home / "reader.sqlite")) as store:
            for url in urls.values():
                store.add_feed(url)

    @classmethod
    def version(cls) -> str:
        return version("reader")

    def poll(self) -> None:
        with reader.make_reader(str(self.home / "reader.sqlite")) as store:
            for result in store.update_feeds_iter(scheduled=False):
                assert not isinstance(result.value, Exception), result

    def held(self) -> Held:
        return {feed: [e.id for e in self._entries(feed)] for feed in self.urls}

    def unread(self) -> Held:
        return {feed: [e.id for e in self._entries(feed) if not e.read] for feed in self.urls}

    def mark_read(self) -> None:
        with reader.make_reader(str(self.home / "reader.sqlite")) as store:
            for entry in list(store.get_entries(read=False)):
                store.mark_entry_as_read(entry)

    def shown(self, feed: str) -> dict[str, Shown]:
        return {e.id: Shown(e.title or "", e.authors_str or "") for e in self._entries(feed)}

    def _entries(self, feed: str) -> list[reader.Entry]:
        with reader.make_reader(str(self.home / "reader.sqlite")) as store:
            return list(store.get_entries(feed=self.urls[feed]))
