"""The published folder: what a commit changes in it, feeds first, and nothing else is made or written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from urllib.parse import urlsplit

from publishers import health, paths
from publishers.entry_texts import EntryTexts
from publishers.feed_files import FeedFiles
from publishers.feed_model import FeedSite
from publishers.site_feeds import SiteFeeds
from publishers.site_pages import SitePages
from publishers.writing import SiteWriter
from storage.catalog import Catalog
from storage.index import Index
from storage.ledger import Ledger
from storage.listings import Listings
from storage.settings import Settings, Topic

Progress = Callable[[int, int], None]
_COVERAGE = (paths.HEALTH_PATH, *(paths.feed_path(paths.HEALTH, extension) for extension in paths.FEED_FORMATS))


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishReport:
    """What one publish did."""

    files_written: int
    files_unchanged: int
    topics: tuple[str, ...]  # slugs whose feeds were made again
    papers: int  # papers whose pages were made again
    left_out: tuple[str, ...]  # entries that could not be rendered, each with its reason
    seq: int  # everything up to this segment is published
    feeds: tuple[str, ...] = ()  # the feeds whose bytes changed, as paths within the site, those of the past left out


def publish_site(
    catalog: Catalog,
    index: Index,
    ledger: Ledger,
    settings: Settings,
    topics: Sequence[Topic],
    *,
    progress: Progress | None = None,
) -> PublishReport:
    """Bring `settings.home`/site up to `catalog`. What has not changed is neither made nor written.

    A change of the site's own settings, of the topics or of the program makes everything again; files whose bytes
    stay the same are left alone even then. Raises ArchiveError where the folder cannot be written.
    """
    likes = catalog.likes_json()
    key = "\x1f".join([version("paperwire"), repr(settings.site), *map(repr, topics), *([likes] if likes else [])])
    folder, latest, verdicts = settings.home / "site", catalog.latest_seq(), catalog.coverage()
    judged = health.coverage_hash(verdicts)
    with Listings(settings.home) as listings, SiteWriter(folder) as writer:
        known = index.get_meta("published_key") == key == listings.get("key")
        # A folder that somebody emptied is made again whole.
        everything = not known or not (folder / "index.html").exists()
        after = 0 if everything else int(listings.get("seq") or 0)
        broken_off = listings.get("writing") == "yes"
        listings.commit({"writing": "yes"})
        if everything:
            listings.clear()
        files = FeedFiles(EntryTexts(feed_site(settings, ledger), catalog), listings, writer, trust=not everything)
        moved = everything or index.get_meta("published_coverage") != judged
        feeds = SiteFeeds(catalog, listings, files, topics, after=after, broken_off=broken_off)
        pages = SitePages(catalog, listings, files, writer, settings, topics, verdicts)
        if everything or latest > after:
            _publish(feeds, files, pages, everything=everything, progress=progress)
        if moved or latest > after:
            pages.front_page()
        if moved or not all((folder / name).exists() for name in _COVERAGE):
            pages.coverage()
        writer.settle()
        listings.commit({"key": key, "seq": str(latest), "writing": ""} | pages.facts())
        with index.transaction():
            index.set_meta("published_key", key)
            index.set_meta("published_seq", str(latest))
            index.set_meta("published_coverage", judged)
        return PublishReport(
            files_written=len(writer.written),
            files_unchanged=writer.unchanged,
            topics=feeds.topics_touched,
            papers=feeds.papers,
            left_out=tuple(sorted({*files.texts.left_out, *pages.left_out})),
            seq=latest,
            feeds=tuple(sorted(name for name in writer.written if _is_feed(name))),
        )


def feed_site(settings: Settings, ledger: Ledger | None) -> FeedSite:
    """What feeds say of the site."""
    site = settings.site
    # The host in feed ids is what the first publish used, for ever: a changed id would flood every reader.
    wanted = site.id_authority or urlsplit(site.base_url).hostname or "localhost"
    authority = ledger.remember("id_authority", wanted) if ledger else wanted
    return FeedSite(title=site.title, base_url=site.base_url, authority=authority, hub=site.hub)


def _publish(
    feeds: SiteFeeds, files: FeedFiles, pages: SitePages, *, everything: bool, progress: Progress | None
) -> None:
    """Feeds before pages: readers wait for those."""

    def told(done: int, total: int) -> None:
        if progress:
            progress(done, total)

    feeds.place_papers(everything=everything)
    total, done = len(feeds.touched) + feeds.papers + 1, 0
    for stem in sorted(feeds.touched):
        feeds.write(stem)
        done += 1
        told(done, total)
    files.publish_past()
    for merged in feeds.gone:
        pages.moved(merged)
    for count in pages.papers(feeds.changed):
        done += count
        told(done, total)
    pages.lists(feeds.touched, everything=everything)
    told(total, total)


def _is_feed(name: str) -> bool:
    return name.startswith("feeds/") and "/archive/" not in name
