"""sfeed: a shell script that keeps each feed as a file of tab-separated lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from tests.readers.driver import Driver, Held, Shown, debian_version

_TITLE, _LINK, _ID, _AUTHOR = 1, 2, 5, 6  # sfeed(5)


class Sfeed(Driver):
    """As it is shipped, a line is the same where id, title and link are."""

    name, needs = "sfeed", ("sfeed_update:sfeed", "curl:curl")
    merge: ClassVar[str] = ""
    same: ClassVar[tuple[int, ...]] = (_ID, _TITLE, _LINK)

    def __init__(self, home: Path, urls: Mapping[str, str]) -> None:
        super().__init__(home, urls)
        feeds = "".join(f'\tfeed "{self._file(name)}" "{url}"\n' for name, url in urls.items())
        (home / "sfeedrc").write_text(f'sfeedpath="{home}/feeds"\n{self.merge}feeds() {{\n{feeds}}}\n')
        self._read: set[tuple[str, ...]] = set()

    @classmethod
    def version(cls) -> str:
        return debian_version("sfeed")

    def poll(self) -> None:
        self.run(["sfeed_update", str(self.home / "sfeedrc")])

    def held(self) -> Held:
        return {feed: [line[_ID] for line in self._lines(feed)] for feed in self.urls}

    def unread(self) -> Held:
        """It has no such mark: lines that are new since the user looked."""
        return {feed: [x[_ID] for x in self._lines(feed) if self._key(feed, x) not in self._read] for feed in self.urls}

    def mark_read(self) -> None:
        self._read = {self._key(feed, line) for feed in self.urls for line in self._lines(feed)}

    def shown(self, feed: str) -> dict[str, Shown]:
        return {line[_ID]: Shown(line[_TITLE], line[_AUTHOR]) for line in self._lines(feed)}

    def _key(self, feed: str, line: list[str]) -> tuple[str, ...]:
        return (feed, *(line[n] for n in self.same))

    def _lines(self, feed: str) -> list[list[str]]:
        text = (self.home / "feeds" / self._file(feed)).read_text("utf-8")
        return [line.split("\t") for line in text.splitlines()]

    def _file(self, feed: str) -> str:
        return feed.replace("/", "_")


class SfeedById(Sfeed):
    """With the one function in sfeedrc that docs/readers.md tells of: a line is the same where the id is."""

    name = "sfeed, merging by id"
    merge = 'merge() {\n\tsort -t \'\t\' -u -k6,6 "$3" "$2" 2>/dev/null\n}\n'
    same = (_ID,)
