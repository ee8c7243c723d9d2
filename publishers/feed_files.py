"""The feeds of the site as files: windows over the listings, put together from entries that are written once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from publishers import feeds
from publishers.archives import archive_stem
from publishers.channels import Channel
from publishers.entry_texts import EntryTexts, Texts
from publishers.feed_model import Feed
from publishers.feed_past import FeedPast, Past, last_change, link_to
from publishers.feed_text import Pieces, by_id, head_again, head_of, put_together, take_apart
from publishers.paths import FEED_FORMATS
from publishers.writing import SiteWriter
from storage.listings import Listing, Listings

REVISIONS = "/revisions"  # what a channel's feed of revisions adds to its stem
_USUALLY = 200  # entries in which a window ends; the others are asked for where it does not
_PREPARED = 10_000  # entries of windows that are written before the feeds, where all feeds are


@dataclass(slots=True)
class Touched:
    """What a publish changes in one feed."""

    channel: Channel
    moments: set[datetime] = field(default_factory=set)  # when entries joined that came, went or changed


@dataclass(frozen=True, slots=True)
class _Published:
    """A feed as it was published before, by format; empty where it was not, or is not to be relied on."""

    contents: dict[str, bytes] = field(default_factory=dict)
    pieces: dict[str, Pieces] = field(default_factory=dict)
    texts: dict[str, Texts] = field(default_factory=dict)  # entries that all formats have, by id


class FeedFiles:
    """Writes feeds; entries that did not change are taken from the feeds as they were published."""

    def __init__(self, texts: EntryTexts, listings: Listings, writer: SiteWriter, *, trust: bool) -> None:
        self.site, self.texts, self._listings, self._writer = texts.site, texts, listings, writer
        self._trust = trust  # whether what is published was made by this program with these settings
        self._past = FeedPast(texts, listings, writer, trust=trust)

    def exists(self, stem: str) -> bool:
        """Whether a feed was published."""
        return (self._writer.folder / f"{stem}.atom").exists()

    def prepare(self, stems: Iterable[str]) -> None:
        """Write the entries of the windows of many feeds, the newest first, as far as there is room for them."""
        listed: dict[str, Listing] = {}
        for stem in stems:
            for listing in self._window(stem)[0]:
                listed.setdefault(self.texts.id_of(listing), listing)
        wanted = sorted(listed.values(), key=lambda listing: listing.listed_at, reverse=True)
        self.texts.make(wanted[:_PREPARED])

    def publish(self, stem: str, touched: Touched) -> None:
        """Bring a feed up to its listings; its past follows with `publish_past`."""
        listed, bound = self._window(stem)
        bare = _bare(self.texts, stem, touched.channel)
        before = self._published(stem) if self._trust else _Published()
        texts = self.texts.of(listed, before.texts)
        linked = replace(bare, links=(link_to(bare, "prev-archive", archive_stem(stem, bound)),)) if bound else bare
        self._write(linked, texts, last_change(listed, texts), before)
        here = {self.texts.id_of(listing) for listing in listed}
        leaving = {name: {"atom": text["atom"]} for name, text in before.texts.items() if name not in here}
        staying = frozenset(listing for listing in listed if listing.listed_at == bound)
        self._past.note(Past(bare, bound, frozenset(touched.moments), leaving, staying))

    def publish_past(self) -> None:
        """Bring the past of the feeds that were published up to their listings."""
        self._past.write()

    def write_made(self, feed: Feed) -> None:
        """Write a feed that no listing holds, such as a board's; many of them have most entries in common."""
        self._write(feed, self.texts.of_entries(feed.entries), feed.updated, _Published())

    def _window(self, stem: str) -> tuple[list[Listing], datetime | None]:
        """What stands in a feed, and when the newest entry joined that does not any more."""
        for limit in (_USUALLY, feeds.ENTRIES_MAX + 1):
            listed = self._listings.newest(stem, limit)
            size = feeds.window_size([listing.listed_at for listing in listed])
            if size < len(listed):
                return listed[:size], listed[size].listed_at
        return listed[:size], None

    def _write(self, bare: Feed, texts: Sequence[Texts], updated: datetime | None, before: _Published) -> None:
        for extension in FEED_FORMATS:
            if extension in before.pieces:
                head = head_again(before.pieces[extension].head, bare, extension, updated=updated)
                pieces = before.pieces[extension]._replace(head=head)
            else:
                pieces = head_of(bare, extension, updated=updated)
            content = put_together(pieces._replace(entries=tuple(text[extension] for text in texts)), extension)
            self._writer.write(f"{bare.stem}.{extension}", content, before=before.contents.get(extension))

    def _published(self, stem: str) -> _Published:
        """A feed as it was published, by this program with these settings."""
        found = _Published()
        known: dict[str, dict[str, bytes]] = {}
        for extension in FEED_FORMATS:
            content = self._writer.published(f"{stem}.{extension}")
            pieces = take_apart(content, extension) if content else None
            if content and pieces:
                found.contents[extension], found.pieces[extension] = content, pieces
                for name, text in by_id(pieces, extension).items():
                    known.setdefault(name, {})[extension] = text
        found.texts.update({name: texts for name, texts in known.items() if len(texts) == len(FEED_FORMATS)})
        return found


def _bare(texts: EntryTexts, stem: str, channel: Channel) -> Feed:
    """A feed of a channel without entries."""
    make = feeds.revisions_feed if stem.endswith(REVISIONS) else feeds.papers_feed
    return make(texts.site, channel, [])
