"""A feed as a value: what Atom, RSS and JSON Feed are written from. Everything in it is text that may be published."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from publishers.paths import FEED_FORMATS
from storage.errors import EntryError
from storage.text import fold

GENERATOR = "Paperwire"
EMPTY_UPDATED_AT = datetime(2026, 1, 1, tzinfo=UTC)  # an empty feed has to say something, and always the same
# What XML 1.0 (section 2.2) cannot carry, not even as a reference.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSite:
    """Who publishes. `authority` is the host in all ids: it outlives every change of `base_url`."""

    title: str
    base_url: str  # ends in a slash
    authority: str
    language: str = "en"
    hub: str = ""  # the WebSub hub its published feeds are announced at; '' means none


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link of an entry; `rel` as RFC 4287 (4.2.7.2) and RFC 4946 (license) have it."""

    rel: str
    href: str
    type: str = ""
    title: str = ""

    def attributes(self) -> dict[str, str]:
        """Return the attributes of an atom:link, empty ones left out."""
        pairs = {"rel": self.rel, "type": self.type, "href": self.href, "title": self.title}
        return {name: value for name, value in pairs.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One category or topic of an entry; `scheme` says whose."""

    term: str
    label: str
    scheme: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEntry:
    """One entry. Raises EntryError where a text cannot be written or a time has no zone."""

    id: str
    title: str
    url: str  # the landing page
    summary: str  # '' where the paper has no abstract
    content_html: str
    authors: tuple[str, ...]
    categories: tuple[Category, ...]
    topics: tuple[Category, ...]
    links: tuple[Link, ...]  # all of them, the alternate one first
    published: datetime
    updated: datetime
    paper_id: str  # '' where the entry is about no paper: it tells of the wire itself
    arxiv_id: str | None
    doi: str | None
    version: int | None
    reasons: tuple[tuple[str, str], ...]  # (slug, why) of its topics

    def __post_init__(self) -> None:
        for text in self._texts():
            if illegal := _NOT_XML.search(text):
                raise self._unusable(f"U+{ord(illegal[0]):04X} cannot be written into a feed")
        if not self.title:
            raise self._unusable("nothing of its title can be shown")
        if self.published.tzinfo is None or self.updated.tzinfo is None:
            raise self._unusable("its time has no time zone")

    def _unusable(self, reason: str) -> EntryError:
        return EntryError("feed", self.paper_id or self.id, reason)

    def _texts(self) -> Iterator[str]:
        yield from (self.id, self.title, self.url, self.summary, self.content_html, self.doi or "", *self.authors)
        for category in (*self.categories, *self.topics):
            yield from (category.term, category.label, category.scheme)
        for link in self.links:
            yield from (link.href, link.title)
        for slug, reason in self.reasons:
            yield from (slug, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A paper that is not in a feed although it was given, and why."""

    paper_id: str
    reason: str

    def __str__(self) -> str:
        return fold(f"{self.paper_id}: {self.reason}")  # for a log or a terminal


def reason_of(error: EntryError | ValueError) -> str:
    """Return why an entry cannot be shown, without what it is the entry of."""
    return error.reason if isinstance(error, EntryError) else str(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One feed, newest entry first; every format says the same."""

    id: str
    site: FeedSite
    title: str
    description: str
    page_url: str  # the HTML page of the same topic
    stem: str  # its path under base_url, without the extension
    entries: tuple[FeedEntry, ...]
    left_out: tuple[LeftOut, ...] = ()
    suffix: str = ""  # what follows the extension in its address: ?q=…
    touched_at: datetime | None = None  # when it last changed, where its entries do not say so
    archive: bool = False  # whether it is a part of the past (RFC 5005, section 4)
    links: tuple[Link, ...] = ()  # of the feed: where its past is

    @property
    def updated(self) -> datetime:
        """When anything in it last changed; a fixed time where it is empty."""
        if self.touched_at:
            return self.touched_at
        return max((entry.updated for entry in self.entries), default=EMPTY_UPDATED_AT)

    @property
    def hub(self) -> str:
        """The hub it is announced at: only a feed that lies in a file, and may still change, is."""
        return self.site.hub if self.stem.startswith("feeds/") and not self.archive else ""

    def url(self, extension: str) -> str:
        """Return where this feed is found; `extension` is one of paths.FEED_FORMATS."""
        if extension not in FEED_FORMATS:
            raise ValueError(f"no feed format {extension!r}; there are {', '.join(FEED_FORMATS)}")
        return f"{self.site.base_url}{self.stem}.{extension}{self.suffix}"


def stamp(time: datetime) -> str:
    """Return `time` as RFC 3339 in UTC with milliseconds: equal values would make validators and readers guess."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
