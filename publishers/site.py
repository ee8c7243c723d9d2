"""The published folder: which files a commit touches, and writing only those whose bytes changed."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from publishers import feeds, health, pages, paths
from storage.catalog import Catalog
from storage.coverage import Verdict
from storage.errors import ArchiveError
from storage.index import Index
from storage.ledger import Ledger
from storage.model import Revision, TaggedPaper
from storage.settings import Settings, Topic

ALL = "all"  # the feed of everything
_FEED_ENTRIES_MAX = 1_000
_PAGE_PAPERS_MAX = 200
_REVISIONS_MAX = 200
_TRENDING_MAX = 6
_PAPERS_AT_ONCE = 200  # lives are read from the archive in such portions
_COMPRESSED = (".html", ".atom", ".rss", ".json", ".opml", ".css", ".svg")
_COVERAGE = (paths.HEALTH_PATH, *(paths.feed_path(paths.HEALTH, extension) for extension in paths.FEED_FORMATS))

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishReport:
    """What one publish did."""

    files_written: int
    files_unchanged: int
    topics: tuple[str, ...]  # slugs whose feeds were made again
    papers: int  # papers whose pages were made again
    left_out: tuple[str, ...]  # entries that could not be rendered, each with its reason
    seq: int  # everything up to this segment is published


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
    key = "\x1f".join([version("paperwire"), repr(settings.site), *map(repr, topics)])
    # A folder that somebody emptied is made again whole.
    everything = index.get_meta("published_key") != key or not (settings.home / "site" / "index.html").exists()
    after = 0 if everything else int(index.get_meta("published_seq", "0"))
    latest, verdicts = catalog.latest_seq(), catalog.coverage()
    judged = health.coverage_hash(verdicts)
    moved = everything or index.get_meta("published_coverage") != judged
    writer = _Writer(settings.home / "site")
    job = _Job(catalog, settings, topics, _authority(ledger, settings), writer, verdicts)
    report = _Made(topics=(), papers=0)
    if everything or latest > after:
        report = job.publish(index, after=after, everything=everything, progress=progress)
    if moved or latest > after:
        job.front_page()
    if moved or not all((writer.folder / name).exists() for name in _COVERAGE):
        job.coverage()
    writer.settle()
    with index.transaction():
        index.set_meta("published_key", key)
        index.set_meta("published_seq", str(latest))
        index.set_meta("published_coverage", judged)
    return PublishReport(
        files_written=writer.written,
        files_unchanged=writer.unchanged,
        topics=report.topics,
        papers=report.papers,
        left_out=tuple(job.left_out),
        seq=latest,
    )


@dataclass(frozen=True, slots=True)
class _Made:
    topics: tuple[str, ...]
    papers: int


class _Job:
    """One publish: the snapshot it reads and the writer it feeds."""

    def __init__(
        self,
        catalog: Catalog,
        settings: Settings,
        topics: Sequence[Topic],
        authority: str,
        writer: _Writer,
        verdicts: Sequence[Verdict],
    ) -> None:
        site = settings.site
        self._catalog, self._topics, self._writer, self._verdicts = catalog, tuple(topics), writer, verdicts
        self._pages = pages.PageSite(
            title=site.title, base_url=site.base_url, description=site.description, topics=self._topics
        )
        self._feeds = feeds.FeedSite(title=site.title, base_url=site.base_url, authority=authority)
        self._all = Topic.model_construct(
            slug=ALL, title="All papers", query="", description="Everything this site follows."
        )
        self.left_out: list[str] = []

    def publish(self, index: Index, *, after: int, everything: bool, progress: Progress | None) -> _Made:
        changed = self._catalog.changed_since(after)
        touched = [t for t in self._topics if everything or t.slug in index.topics_touched(after_seq=after)]
        total, done = len(changed) + len(touched) + 1, 0
        days = set()
        for count, day in self._paper_pages(changed):
            days.add(day)
            done += count
            if progress:
                progress(done, total)
        counts = self._catalog.topic_counts()
        for topic in touched:
            self._topic(topic, counts.get(topic.slug, 0))
            done += 1
            if progress:
                progress(done, total)
        self._day_pages(days)
        self._whole_site()
        self._forget_topics()
        if progress:
            progress(total, total)
        return _Made(topics=tuple(t.slug for t in touched), papers=len(changed))

    def _paper_pages(self, paper_ids: Sequence[str]) -> Iterator[tuple[int, date]]:
        """Write the pages of these papers; yields (1, the paper's day) for each."""
        for start in range(0, len(paper_ids), _PAPERS_AT_ONCE):
            ids = paper_ids[start : start + _PAPERS_AT_ONCE]
            lives = self._catalog.life(ids)
            for tagged in self._catalog.papers(ids):
                paper = tagged.paper
                revisions, sightings = lives[paper.paper_id]
                page = pages.paper_page(self._pages, tagged, revisions, sightings)
                self._writer.write(paths.paper_path(paper.paper_id), page)
                yield 1, paper.announced_on or (paper.announced_at or paper.first_seen_at).date()

    def _topic(self, topic: Topic, total: int) -> None:
        papers = self._catalog.new_in_topic(topic.slug, limit=_FEED_ENTRIES_MAX)
        revisions = self._catalog.revisions_in_topic(topic.slug, limit=_REVISIONS_MAX)
        self._feed_files(topic, papers, revisions)
        page = pages.topic_page(
            self._pages,
            topic,
            papers[:_PAGE_PAPERS_MAX],
            total=total,
            revisions=revisions[:20],
        )
        self._writer.write(paths.topic_path(topic.slug), page)

    def _feed_files(self, topic: Topic, papers: Sequence[TaggedPaper], revisions: Sequence[Revision]) -> None:
        life = feeds.revisions_feed(self._feeds, topic, revisions)
        self._feed(topic.slug, feeds.topic_feed(self._feeds, topic, papers))
        self._writer.write(paths.revisions_path(topic.slug), feeds.atom(life))
        self.left_out += [f"{topic.slug}: {entry}" for entry in life.left_out]

    def _feed(self, name: str, feed: feeds.Feed) -> None:
        self._writer.write(paths.feed_path(name, "atom"), feeds.atom(feed))
        self._writer.write(paths.feed_path(name, "rss"), feeds.rss(feed))
        self._writer.write(paths.feed_path(name, "json"), feeds.json_feed(feed))
        self.left_out += [f"{name}: {entry}" for entry in feed.left_out]

    def _day_pages(self, touched: set[date]) -> None:
        days = [day for day, _ in self._catalog.days()]
        for position, day in enumerate(days):
            later = days[position - 1] if position else None
            earlier = days[position + 1] if position + 1 < len(days) else None
            # A new day changes the links of its neighbours.
            if {day, later, earlier} & touched:
                papers = self._catalog.papers_of_day(day)
                page = pages.day_page(self._pages, day, papers, previous=earlier, next_day=later)
                self._writer.write(paths.day_path(day), page)

    def coverage(self) -> None:
        """Write the page and the feeds of coverage."""
        self._writer.write(paths.HEALTH_PATH, pages.health_page(self._pages, self._verdicts))
        self._feed(paths.HEALTH, health.health_feed(self._feeds, self._verdicts))

    def front_page(self) -> None:
        """Write the front page, which says in a line how coverage is."""
        days = self._catalog.days()
        latest = days[0][0] if days else None
        page = pages.index_page(
            self._pages,
            latest_day=latest,
            papers=self._catalog.papers_of_day(latest) if latest else (),
            days=days,
            topic_counts=self._catalog.topic_counts(),
            trending=self._catalog.trending(_TRENDING_MAX),
            coverage=health.overview(self._verdicts).line,
        )
        self._writer.write("index.html", page)

    def _whole_site(self) -> None:
        """Write what belongs to no paper, topic or day."""
        self._writer.write("404.html", pages.not_found_page(self._pages))
        self._writer.write("feeds.opml", feeds.opml(self._feeds, self._topics))
        for name, content in pages.static_files().items():
            self._writer.write(name, content)
        self._feed_files(
            self._all,
            self._catalog.new_in_topic(None, limit=_FEED_ENTRIES_MAX),
            self._catalog.revisions_in_topic(None, limit=_REVISIONS_MAX),
        )

    def _forget_topics(self) -> None:
        """Remove the page of a topic that is no longer configured; its feeds stay, for readers still subscribed."""
        kept = {paths.topic_path(t.slug) for t in self._topics}
        self._writer.keep_only("topics", kept)


class _Writer:
    """Writes a file only where its bytes differ, whole or not at all, with a .gz twin for static servers."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.written, self.unchanged = folder, 0, 0

    def write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        try:
            if path.read_bytes() == content:
                self.unchanged += 1
                return
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArchiveError(f"cannot read {path}: {error.strerror}") from error
        # The twin first: a reader of the plain file never finds a newer plain file beside an older .gz for long.
        if path.suffix in _COMPRESSED:
            self._replace(path.with_name(path.name + ".gz"), gzip.compress(content, compresslevel=6, mtime=0))
        self._replace(path, content)
        self.written += 1

    def keep_only(self, folder: str, names: set[str]) -> None:
        for path in sorted((self.folder / folder).glob("*.html")):
            if f"{folder}/{path.name}" not in names:
                path.unlink()
                path.with_name(path.name + ".gz").unlink(missing_ok=True)

    def settle(self) -> None:
        """Make what was written survive a power cut before anybody records that it was published."""
        if self.written:
            os.sync()

    def _replace(self, path: Path, content: bytes) -> None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise ArchiveError(f"cannot write {path}: {error.strerror}") from error


def _authority(ledger: Ledger, settings: Settings) -> str:
    """The host in feed ids: what the first publish used, for ever; a changed id would flood every reader."""
    wanted = settings.site.id_authority or urlsplit(settings.site.base_url).hostname or "localhost"
    return ledger.remember("id_authority", wanted)
