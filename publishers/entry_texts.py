"""The entries of the site's feeds as text in every format: each is written once, however many feeds it stands in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from publishers import feeds
from publishers.feed_entries import paper_entry, revision_entries
from publishers.feed_model import FeedEntry, FeedSite, reason_of
from publishers.feed_text import texts_of
from publishers.paths import FEED_FORMATS, tag_id
from storage.catalog import Catalog
from storage.errors import EntryError
from storage.listings import Listing
from storage.model import TaggedPaper
from storage.portions import portions
from storage.text import fold

_AT_ONCE = 1_000  # entries read from the archive and written together: one by one they cost thirty times that
_KEPT = 20_000  # entries in memory, some 3 kB in each format
Texts = Mapping[str, bytes]
"""An entry by format, those of publishers.paths.FEED_FORMATS or only some."""


class EntryTexts:
    """Entries by id. Those in `stale` say something else than when they were published."""

    def __init__(self, site: FeedSite, catalog: Catalog) -> None:
        self.site, self._catalog = site, catalog
        self._made: OrderedDict[str, Texts | None] = OrderedDict()  # None: it cannot be shown
        self.stale: set[str] = set()
        self._left_out: dict[str, str] = {}  # entry id → why

    @property
    def left_out(self) -> list[str]:
        """What could not be shown, and why, a line each."""
        return [fold(f"{name}: {reason}") for name, reason in self._left_out.items()]

    def id_of(self, listing: Listing) -> str:
        """The id of an entry in every feed."""
        return tag_id(self.site.authority, listing.paper_id, listing.entry)

    def known(self, name: str, before: Mapping[str, Texts]) -> bool:
        """Whether an entry need not be made: it was, or stands in `before` as it was published and is still right."""
        return name in self._made or (name in before and name not in self.stale)

    def of(self, listed: Sequence[Listing], before: Mapping[str, Texts]) -> list[Texts]:
        """The texts of these entries, those left out that cannot be shown; `before` has some as they were published."""
        names = [self.id_of(listing) for listing in listed]
        self.make([li for name, li in zip(names, listed, strict=True) if not self.known(name, before)])
        found = (self._made[name] if name in self._made else before[name] for name in names)
        texts = [text for text in found if text is not None]
        self._forget()
        return texts

    def of_entries(self, entries: Sequence[FeedEntry]) -> list[Texts]:
        """The texts of entries that are at hand."""
        self._keep({e.id: e for e in entries if self._made.get(e.id) is None})
        texts = [text for entry in entries if (text := self._made[entry.id]) is not None]
        self._forget()
        return texts

    def make(self, listings: Sequence[Listing]) -> None:
        """Write entries anew, in every format."""
        for some in portions(listings, _AT_ONCE):
            self._make(some)

    def _make(self, listings: Sequence[Listing]) -> None:
        entries: dict[str, FeedEntry] = {}
        for tagged in self._catalog.papers([li.paper_id for li in listings if not li.entry]):
            name = tag_id(self.site.authority, tagged.paper.paper_id)
            entries |= self._shown(name, partial(_paper_entries, self.site, tagged))
        # In the order of commits: what is told twice under one id is shown as it was told last.
        told = sorted({(li.paper_id, li.seq) for li in listings if li.entry}, key=lambda key: key[::-1])
        for (paper_id, seq), revision in zip(told, self._catalog.told_at(told), strict=True):
            entries |= self._shown(f"{paper_id} of commit {seq}", partial(revision_entries, self.site, revision))
        self._made |= dict.fromkeys(map(self.id_of, listings))
        self._keep(entries)

    def _shown(self, name: str, make: Callable[[], Iterable[FeedEntry]]) -> dict[str, FeedEntry]:
        """The entries that `make` gives, by id; none where they cannot be shown, which is noted."""
        try:
            return {entry.id: entry for entry in make()}
        except (EntryError, ValueError) as error:
            self._left_out[name] = reason_of(error)
            return {}

    def _keep(self, entries: Mapping[str, FeedEntry]) -> None:
        if not entries:
            return
        frame = feeds.frame(self.site)
        made = [texts_of(frame, list(entries.values()), extension) for extension in FEED_FORMATS]
        for name in entries:
            self._made[name] = {extension: texts[name] for extension, texts in zip(FEED_FORMATS, made, strict=True)}
            self._made.move_to_end(name)

    def _forget(self) -> None:
        while len(self._made) > _KEPT:
            self._made.popitem(last=False)


def _paper_entries(site: FeedSite, tagged: TaggedPaper) -> tuple[FeedEntry, ...]:
    return (paper_entry(site, tagged),)
