"""Fifteen days of arXiv with replacements, published day by day; each day's feeds are kept as they stood.

The capture of June 2026 has new papers and cross-lists only. What arXiv also does is added here: every second paper is
replaced a few working days later, some more than once, some are withdrawn, papers older than the archive come back,
and there is a morning with more than 200 replacements.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from lxml import etree

from flows.pipeline import run_pass
from storage.settings import parse_settings
from tests.captured import CapturedProviders, read

DAYS = tuple(date(2026, 6, n) for n in range(1, 16))
CATEGORY, OLDER = "cs.CL", "eess.IV"
AUTHORITY = "papers.test"
BASE_URL = "http://127.0.0.1:1/"  # nobody is there: a reader that follows a link is refused at once
TOPIC, TOPIC_QUERY = "agents", "agent* OR agentic"
MAIN, REVISIONS = "feeds/all", "feeds/all/revisions"
OF_TOPIC, REVISIONS_OF_TOPIC = f"feeds/{TOPIC}", f"feeds/{TOPIC}/revisions"
STEMS = (MAIN, OF_TOPIC, REVISIONS, REVISIONS_OF_TOPIC)
_ATOM = "{http://www.w3.org/2005/Atom}"
_ANNOUNCE_TYPE = "{http://arxiv.org/schemas/atom}announce_type"
_REPLACED_EVERY, _LATER = 2, (1, 2, 3, 5)  # every second paper, so many working days later
_BUSIEST, _SOON = date(2026, 6, 2), 2  # and all of this day's: on one morning more than 200 are replaced
_WITHDRAWN = "This paper has been withdrawn by its authors."


class Shown(NamedTuple):
    """What a feed shows of an entry."""

    id: str
    title: str
    authors: tuple[str, ...]


class Change(NamedTuple):
    """A replacement: which item comes again, on which day, as which version, with what changed."""

    item: etree._Element
    day: date
    version: int
    kind: str

    @property
    def entry_id(self) -> str:
        """The id that the revisions feed has to give it."""
        arxiv_id = str(self.item.findtext("link")).rsplit("/", 1)[1]
        told = "withdrawn" if self.kind == "withdrawn" else "revised"
        return f"tag:{AUTHORITY},2026:paper/arxiv/{arxiv_id}/{told}/v{self.version}"


class RevisingProviders(CapturedProviders):
    """The captured feed of one category; its papers are replaced later."""

    def __init__(self, rss: Path) -> None:
        super().__init__(rss, None)
        self.changes = tuple(self._planned())

    def answer(self, path: str) -> tuple[int, bytes]:
        """The captured feed with the replacements of the day at its end, as arXiv has them."""
        status, body = super().answer(path)
        if status != 200 or not unquote(urlsplit(path).path).endswith(f"/{CATEGORY}"):
            return status, body
        document = etree.fromstring(body)
        channel = document.find("channel")
        assert channel is not None
        channel.extend(_replacement(change) for change in self.changes if change.day == self.day)
        return 200, etree.tostring(document, xml_declaration=True, encoding="UTF-8")

    def _planned(self) -> Iterator[Change]:
        """New papers in the order they came, every second one with its later versions; then the older ones."""
        working, seen, position = [d for d in DAYS if d.weekday() < 5], set[str](), 0
        for count, day in enumerate(working):
            for item in self._items(CATEGORY, day):
                seen.add(str(item.findtext("link")))
                position += 1
                busy = day == _BUSIEST
                if (position % _REPLACED_EVERY and not busy) or item.findtext(_ANNOUNCE_TYPE) != "new":
                    continue
                kinds = ("abstract", "title", "nothing", "withdrawn", "abstract title")
                turn = position // _REPLACED_EVERY
                later = count + (_SOON if busy else _LATER[turn % len(_LATER)])
                for version, kind in enumerate(kinds[turn % len(kinds)].split(), start=2):
                    if later + version - 2 < len(working):
                        yield Change(item, working[later + version - 2], version, kind)
        for day in working:
            for item in self._items(OLDER, day):
                if str(item.findtext("link")) not in seen:
                    seen.add(str(item.findtext("link")))
                    yield Change(item, day, 3, "abstract")

    def _items(self, category: str, day: date) -> list[etree._Element]:
        self.day = day
        return list(etree.fromstring(read(self.feed(category))).iter("item"))


def _replacement(change: Change) -> etree._Element:
    """The item of a later version, spelled as arXiv spells it."""
    item = deepcopy(change.item)
    title, description, guid = item.find("title"), item.find("description"), item.find("guid")
    told = item.find(_ANNOUNCE_TYPE)
    assert title is not None
    assert description is not None
    assert guid is not None
    assert told is not None
    arxiv_id = str(guid.text).removeprefix("oai:arXiv.org:").rsplit("v", 1)[0]
    abstract = str(description.text).split("\nAbstract: ", 1)[1]
    abstract = {
        "abstract": f"{abstract} Version {change.version} adds a table.",
        "withdrawn": _WITHDRAWN,
    }.get(change.kind, abstract)
    if change.kind == "title":
        title.text = f"{title.text}, Revisited"
    guid.text, told.text = f"oai:arXiv.org:{arxiv_id}v{change.version}", "replace"
    description.text = f"arXiv:{arxiv_id}v{change.version} Announce Type: replace \nAbstract: {abstract}"
    return item


@dataclass(frozen=True)
class Replayed:
    """What the replay published: a folder a day as a server would have it, and the ids in each feed on each day."""

    home: Path
    folders: tuple[Path, ...]  # one a day; each has feeds/ as it stood that morning
    entries: dict[str, tuple[tuple[Shown, ...], ...]]  # stem → the entries on each day, newest first
    changes: tuple[Change, ...]

    def published(self, stem: str) -> dict[str, Shown]:
        """Every entry that stood in a feed on any day, by id, as it stood last."""
        return {entry.id: entry for day in self.entries[stem] for entry in day}

    def renamed(self, stem: str) -> set[str]:
        """The ids of entries whose title changed while they stood in a feed."""
        titles = {(entry.id, entry.title) for day in self.entries[stem] for entry in day}
        return {entry_id for entry_id, n in Counter(entry_id for entry_id, _ in titles).items() if n > 1}


def configuration(base_url: str) -> str:
    """A paperwire.toml with one source at the local server and one topic."""
    return (
        f'[site]\nbase_url = "{BASE_URL}"\nid_authority = "{AUTHORITY}"\n'
        f'[[source]]\nname = "arxiv-rss:{CATEGORY}"\nkind = "arxiv-rss"\ncategory = "{CATEGORY}"\n'
        f'base_url = "{base_url}"\nallow_private_addresses = true\n'
        f'[[topic]]\nslug = "{TOPIC}"\ntitle = "Agents"\nquery = "{TOPIC_QUERY}"\n'
    )


def replay(rss: Path, folder: Path) -> Replayed:
    """Run all fifteen mornings through the pipeline; `folder` is empty."""
    home, folders = folder / "home", list[Path]()
    entries: dict[str, list[tuple[Shown, ...]]] = {stem: [] for stem in STEMS}
    revising = RevisingProviders(rss)
    with revising as providers:
        settings = parse_settings(configuration(providers.base_url), home=home)
        for day in DAYS:
            providers.day = day
            now = datetime(day.year, day.month, day.day, 6, tzinfo=UTC)
            report = run_pass(settings, now=now)
            assert not any(s.error or s.problems for s in report.sources), report
            folders.append(_keep(home / "site", folder / day.isoformat(), now=now))
            for stem in STEMS:
                entries[stem].append(entries_of(folders[-1] / f"{stem}.atom"))
    return Replayed(home, tuple(folders), {s: tuple(days) for s, days in entries.items()}, revising.changes)


def _keep(site: Path, folder: Path, *, now: datetime) -> Path:
    """Keep the feeds of `site` as they are; a file that is new gets the simulated time."""
    for path in sorted((site / "feeds").rglob("*")):
        if path.is_dir() or path.name.startswith("."):
            continue
        target = folder / path.relative_to(site)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.stat().st_nlink == 1:  # no earlier morning has it
            os.utime(path, (now.timestamp(), now.timestamp()))
        os.link(path, target)  # the site replaces files and never writes into one
    return folder


def entries_of(feed: Path) -> tuple[Shown, ...]:
    """The entries of a published Atom feed in their order, as an XML parser that is not ours reads them."""
    found = []
    for entry in etree.parse(feed).iter(f"{_ATOM}entry"):
        names = [str(name.text) for name in entry.iterfind(f"{_ATOM}author/{_ATOM}name")]
        found.append(Shown(str(entry.findtext(f"{_ATOM}id")), str(entry.findtext(f"{_ATOM}title")), tuple(names)))
    return tuple(found)
