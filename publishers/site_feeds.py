"""What the newest commits change in the feeds: which papers joined, left or say something else, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from publishers.channels import EVERYTHING, Channel, category_channel, source_channel, topic_channel
from publishers.feed_entries import paper_entry
from publishers.feed_files import REVISIONS, FeedFiles, Touched
from publishers.feed_model import FeedEntry
from publishers.listing import Moves, moves
from publishers.names import is_arxiv_category
from storage.catalog import Catalog, Merged, State
from storage.errors import EntryError
from storage.likes import profiles_of
from storage.listings import Listing, Listings
from storage.model import Tag, TaggedPaper
from storage.portions import portions
from storage.settings import Topic
from storage.tagging import tagger

_PAPERS_AT_ONCE = 1_000  # states are read from the archive in such portions
_PAPERS_MIN = 10  # a category that is not arXiv's has feeds from so many papers on: some sources give every keyword
_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)  # topics do not ask for the day


class SiteFeeds:
    """The feeds of one publish, which brings them from commit `after` to the newest."""

    def __init__(
        self,
        catalog: Catalog,
        listings: Listings,
        files: FeedFiles,
        topics: Sequence[Topic],
        *,
        after: int,
        broken_off: bool = False,
    ) -> None:
        self._catalog, self._listings, self._files, self._texts = catalog, listings, files, files.texts
        self._after, self._broken_off = after, broken_off
        self._channels = {topic.slug: topic_channel(topic) for topic in topics}
        self._tags_of = tagger(topics, now=_ANY_DAY, likes=profiles_of(catalog.likes_json()))
        self.touched: dict[str, Touched] = {}  # by stem
        self.changed: list[str] = []  # papers, whose pages are made again
        self.gone: list[Merged] = []
        self.papers = 0

    @property
    def topics_touched(self) -> tuple[str, ...]:
        """The slugs of topics whose feed of new papers or of revisions changes, in their order."""
        keys = {touched.channel.key for touched in self.touched.values() if touched.channel.kind == "topic"}
        return tuple(slug for slug in self._channels if slug in keys)

    def place_papers(self, *, everything: bool) -> None:
        """List every paper that changed where it belongs, and note which feeds that touches."""
        self.changed = self._catalog.changed_since(self._after)
        self.papers = len(self.changed)
        for channel in (EVERYTHING, *self._channels.values()) if everything else ():
            self._touch(channel.stem, channel=channel)
        self.gone = self._catalog.merged_since(self._after)
        # Whoever made everything anew finds merged papers in no feed.
        leaving = [merged.paper_id for merged in self.gone] if self._after else []
        for some in portions([*self.changed, *leaving], _PAPERS_AT_ONCE):
            self._place(some, everything=everything)
        for touched in list(self.touched.values()):  # whoever has a feed has both
            for stem in (touched.channel.stem, touched.channel.stem + REVISIONS):
                if not self._files.exists(stem):
                    self._touch(stem, channel=touched.channel)

        if everything:
            self._files.prepare(sorted(self.touched))

    def write(self, stem: str) -> None:
        """Write a feed that was touched, and its past."""
        touched = self.touched[stem]
        if has_feeds(touched.channel, self._listings):
            self._files.publish(stem, touched)

    def _place(self, paper_ids: Sequence[str], *, everything: bool) -> None:
        states, before = self._catalog.states(paper_ids), self._listings.of_papers(paper_ids)
        current = {tagged.paper.paper_id: tagged for tagged in self._catalog.papers(paper_ids)}
        anew: list[Listing] = []
        for paper_id in paper_ids:
            life, tagged = states[paper_id], current.get(paper_id)
            moved = moves(life, self._topics(life[-1], tagged), after=self._after, before=before[paper_id])
            self._apply(paper_id, moved, before[paper_id])
            if tagged and not everything and self._says_something_else(life, tagged):
                self._texts.stale.add(self._texts.id_of(Listing(paper_id, _ANY_DAY)))
                for stem, at in before[paper_id].items():
                    self._touch(stem, at)
                anew.append(Listing(paper_id, _ANY_DAY))
            anew += [Listing(paper_id, _ANY_DAY)] if moved.joins else []
            anew += [listing for channel, listing in moved.revisions if channel is EVERYTHING]
        if not everything:  # then they come by feeds and weeks
            self._texts.make(anew)

    def _apply(self, paper_id: str, moved: Moves, before: Mapping[str, datetime]) -> None:
        for stem in moved.leaves:
            self._listings.remove(stem, paper_id)
            self._touch(stem, before[stem])
        for suffix, listed in (("", moved.joins), (REVISIONS, moved.revisions)):
            for channel, listing in listed:
                stem = channel.stem + suffix
                earlier = self._listings.put(stem, channel.kind, channel.key, listing)
                self._touch(stem, listing.listed_at, *([earlier] if earlier else []), channel=channel)
                if earlier:  # what is told twice under one id is in the feed as it was told last
                    self._texts.stale.add(self._texts.id_of(listing))

    def _topics(self, newest: State, tagged: TaggedPaper | None) -> Callable[[State], Iterable[Channel]]:
        """What gives the topics of each state of a paper: the newest is tagged already."""

        def topics(state: State) -> Iterable[Channel]:
            known = tagged if state.seq == newest.seq else None
            tags: Sequence[Tag] = known.tags if known else self._tags_of(state.revision.paper)
            return (self._channels[tag.slug] for tag in tags if tag.slug in self._channels)

        return topics

    def _says_something_else(self, life: Sequence[State], tagged: TaggedPaper) -> bool:
        """Whether the entry of a paper is no longer what it was; votes, for one, are not in it.

        After a publish that was broken off, feeds may already have an entry that is none of the two.
        """
        if self._broken_off:
            return True
        earlier = next((s.revision.paper for s in reversed(life) if s.seq <= self._after), None)
        if earlier is None:
            return False  # it joins all its feeds anew
        was = TaggedPaper(paper=earlier, tags=self._tags_of(earlier))
        return self._entry(was) != self._entry(tagged)

    def _entry(self, tagged: TaggedPaper) -> FeedEntry | None:
        try:
            return paper_entry(self._files.site, tagged)
        except (EntryError, ValueError):
            return None

    def _touch(self, stem: str, *moments: datetime, channel: Channel | None = None) -> None:
        if stem not in self.touched:
            self.touched[stem] = Touched(channel or self._channel(*self._listings.about(stem)))
        self.touched[stem].moments.update(moments)

    def _channel(self, kind: str, key: str) -> Channel:
        match kind:
            case "topic":
                return self._channels[key]
            case "category":
                return category_channel(key)
            case "source":
                return source_channel(key)
            case _:
                return EVERYTHING


def has_feeds(channel: Channel, listings: Listings) -> bool:
    """Whether a channel has feeds and a page of its own."""
    if channel.kind != "category" or is_arxiv_category(channel.key):
        return True
    return listings.count(channel.stem) >= _PAPERS_MIN
