"""What has left the windows of feeds, in Atom documents of a week each, linked from the newest back to the first.

They are RFC 5005's archived feeds (section 4): a feed and its past have every entry that ever joined it once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from publishers.archives import EPOCH, MICROSECOND, archive_stem, week_of
from publishers.entry_texts import EntryTexts, Texts
from publishers.feed_model import Feed, Link
from publishers.feed_text import by_id, head_of, put_together, take_apart, updated_of
from publishers.paths import FEED_FORMATS
from publishers.writing import SiteWriter
from storage.listings import Listing, Listings

_Week = tuple[datetime, datetime]  # its first and last moment


@dataclass(frozen=True, slots=True)
class Past:
    """What is to be done about the past of one feed."""

    bare: Feed  # the feed without its entries
    bound: datetime | None  # when the newest entry joined that has left the window
    moments: frozenset[datetime]  # when entries joined that came, went or changed
    leaving: Mapping[str, Texts]  # entries that stood in the feed until now
    staying: frozenset[Listing]  # entries that joined at the same moment as that one and are still in the window


class FeedPast:
    """Writes the documents of the past of many feeds, week by week: feeds have most entries of a week in common."""

    def __init__(self, texts: EntryTexts, listings: Listings, writer: SiteWriter, *, trust: bool) -> None:
        self._texts, self._listings, self._writer, self._trust = texts, listings, writer, trust
        self._weeks: defaultdict[_Week, list[Past]] = defaultdict(list)

    def note(self, past: Past) -> None:
        """See which weeks of a feed are to be written: something changed in them, or has left the window."""
        stem = past.bare.stem
        before = self._listings.archived_at(stem)
        last = max(filter(None, (before, past.bound)), default=None)
        weeks = {week_of(moment) for moment in past.moments if last and moment <= last}
        weeks |= set(self._weeks_between(stem, before, past.bound))
        if past.bound:  # of entries that joined at one moment some may have left since
            weeks.add(week_of(past.bound))
        for week in weeks:
            self._weeks[week].append(past)
        self._listings.archived(stem, past.bound)

    def write(self) -> None:
        """Write all that was noted, the newest week first."""
        while self._weeks:
            week = max(self._weeks)
            self._write_week(week, self._weeks.pop(week))

    def _write_week(self, week: _Week, pasts: Sequence[Past]) -> None:
        listed = {past.bare.stem: self._listed(past, week) for past in pasts}
        known = {past.bare.stem: self._known(past, week) for past in pasts}
        missing = {
            name: listing
            for stem, listings in listed.items()
            for listing in listings
            if not self._texts.known(name := self._texts.id_of(listing), known[stem])
        }
        self._texts.make(list(missing.values()))
        for past in pasts:
            self._write_document(past, week, listed[past.bare.stem], known[past.bare.stem])

    def _listed(self, past: Past, week: _Week) -> list[Listing]:
        """What joined a feed in a week and has left its window."""
        if not past.bound:
            return []
        listed = self._listings.between(past.bare.stem, week[0], min(week[1], past.bound))
        return [listing for listing in listed if listing not in past.staying]

    def _known(self, past: Past, week: _Week) -> Mapping[str, Texts]:
        """The entries of a document as they were published, there or in the feed."""
        if not self._trust:
            return {}
        content = self._writer.published(f"{archive_stem(past.bare.stem, week[0])}.atom")
        pieces = take_apart(content, "atom") if content else None
        found = by_id(pieces, "atom") if pieces else {}
        return {**past.leaving, **{name: {"atom": text} for name, text in found.items()}}

    def _write_document(self, past: Past, week: _Week, listed: Sequence[Listing], known: Mapping[str, Texts]) -> None:
        stem, name = past.bare.stem, archive_stem(past.bare.stem, week[0])
        if not listed:
            self._writer.remove(f"{name}.atom")
            self._lead_past(past, week)
            return
        links = [link_to(past.bare, "current", stem)]
        if earlier := self._listings.before(stem, week[0]):
            links.append(link_to(past.bare, "prev-archive", archive_stem(stem, earlier)))
        feed = replace(past.bare, stem=name, archive=True, links=tuple(links))
        texts = self._texts.of(listed, known)
        head = head_of(feed, "atom", updated=last_change(listed, texts))
        content = put_together(head._replace(entries=tuple(text["atom"] for text in texts)), "atom")
        self._writer.write(f"{name}.atom", content)

    def _lead_past(self, past: Past, week: _Week) -> None:
        """See to it that what comes after a week that is gone leads to the one before it."""
        after = self._listings.since(past.bare.stem, week[1] + MICROSECOND)
        if past.bound and after and after <= past.bound:
            later = week_of(after)
            listed, known = self._listed(past, later), self._known(past, later)
            self._write_document(past, later, listed, known)

    def _weeks_between(self, stem: str, one: datetime | None, other: datetime | None) -> Iterable[_Week]:
        """The weeks with entries from one moment to another, whichever is earlier; None is the beginning."""
        known = [moment for moment in (one, other) if moment]
        if not known or one == other:
            return
        least, last = min(known) if len(known) == 2 else EPOCH, max(known)
        moment = self._listings.since(stem, week_of(least)[0])
        while moment and moment <= last:
            week = week_of(moment)
            yield week
            moment = self._listings.since(stem, week[1] + MICROSECOND)


def link_to(feed: Feed, rel: str, stem: str) -> Link:
    """Return a link of a feed to another Atom document of the site."""
    return Link(rel=rel, href=f"{feed.site.base_url}{stem}.atom", type=FEED_FORMATS["atom"])


def last_change(listed: Sequence[Listing], texts: Sequence[Texts]) -> datetime | None:
    """Return when a feed with these entries last changed: one was updated, or joined. None where it is empty."""
    moments = [updated_of(text["atom"]) for text in texts]
    return max([*moments, listed[0].listed_at]) if moments else None
