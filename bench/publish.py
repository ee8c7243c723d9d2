"""What publishing costs: `python -m bench.publish [--papers N] [--topics N] [--commits N] [--at FOLDER]`.

Loads made-up papers as bench/finding.py does, those of the last year told of day by day, and tags them with made-up
topics: each asks for one or two words of theirs. Then makes all feeds anew, commits batches of 2,000 new papers, and
after each replaces every feed it touches; the pages that list papers come after the feeds, and are timed apart. Last,
feedgen alone writes the same entries. FOLDER is kept, and used again where it holds an archive already.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from bench.corpus import entries, tables
from bench.finding import NOW, build, made
from bench.steps import Cost, measured
from flows.decide import decide
from publishers import feeds
from publishers.entry_texts import EntryTexts
from publishers.feed_files import FeedFiles
from publishers.feed_model import FeedSite
from publishers.feed_text import WRITERS
from publishers.site_feeds import SiteFeeds
from publishers.site_pages import SitePages
from publishers.writing import SiteWriter
from storage.archive import Archive
from storage.catalog import Catalog, refresh_catalog
from storage.listings import Listings
from storage.settings import Settings, Site, Topic

SITE = FeedSite(title="Bench", base_url="https://bench.test/", authority="bench.test")
NEW = 2_000  # papers in a commit
_WORD = re.compile(r"[a-z]{4,}")
_SAMPLE = 5_000
_SHARES = (0.001, 0.012)  # of the papers that a topic's word stands in


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the archive and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--papers", type=int, default=100_000)
    parser.add_argument("--topics", type=int, default=1_000)
    parser.add_argument("--commits", type=int, default=20)
    parser.add_argument("--at", type=Path)
    parser.add_argument("--commits-only", action="store_true", help="the feeds of FOLDER were made by an earlier run")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        home = options.at or Path(folder) / "home"
        if not (home / "papers.duckdb").exists():
            build(home, options.papers)
        topics = made_topics(options.papers, options.topics)
        settings = Settings(home=home, topic=topics, site=Site(title=SITE.title, base_url=SITE.base_url, live=False))
        with Archive(home) as archive, measured() as cost:
            refresh_catalog(archive, settings, topics, now=NOW)
        print(f"{len(topics):,} topics; tagging all told of: {cost.wall_seconds:.1f} s, {cost.cpu_seconds:.1f} CPU-s")
        if not options.commits_only:
            anew(settings)
        commits(settings, options.papers, options.commits)
        beside_feedgen(settings)


def made_topics(papers: int, count: int) -> tuple[Topic, ...]:
    """Topics whose words stand in some papers of a thousand, or in twelve."""
    found: Counter[str] = Counter()
    table = next(made(papers)).slice(0, _SAMPLE)
    for text in table["abstract"].to_pylist():
        found.update(set(_WORD.findall(text)))
    low, high = (share * table.num_rows for share in _SHARES)
    words = sorted(word for word, n in found.items() if low <= n <= high)
    chance = random.Random(7)  # noqa: S311 - no secret
    pairs = [chance.sample(words, 2) for _ in range(count)]
    queries = [f"{one} OR {other}" if n % 2 else one for n, (one, other) in enumerate(pairs)]
    return tuple(Topic(slug=f"topic-{n}", title=f"Topic {n}", query=query) for n, query in enumerate(queries))


@contextmanager
def publishing(
    settings: Settings, *, after: int
) -> Iterator[tuple[SiteFeeds, FeedFiles, SitePages, SiteWriter, Listings, int]]:
    """The parts of one publish."""
    with (
        Catalog(settings.home) as catalog,
        Listings(settings.home) as listings,
        SiteWriter(settings.home / "site") as writer,
    ):
        if not after:
            listings.clear()
        files = FeedFiles(EntryTexts(SITE, catalog), listings, writer, trust=bool(after))
        pages = SitePages(catalog, listings, files, writer, settings, settings.topic, ())
        changed = SiteFeeds(catalog, listings, files, settings.topic, after=after)
        yield changed, files, pages, writer, listings, catalog.latest_seq()


def replace_feeds(settings: Settings, *, after: int, pages_too: bool = False) -> tuple[Cost, Cost, Counter[str], int]:
    """Bring the feeds up to the newest commit, as a publish does; returns what it cost, and what it wrote."""
    listed = Cost()
    with publishing(settings, after=after) as (changed, files, pages, writer, listings, latest):
        with measured() as cost:
            changed.place_papers(everything=not after)
            for stem in sorted(changed.touched):
                changed.write(stem)
            files.publish_past()
            writer.settle()
            listings.commit({"seq": str(latest)})
        if pages_too:
            with measured() as listed:
                pages.lists(changed.touched, everything=not after)
                writer.settle()
        kinds = Counter(
            "past" if "/archive/" in name else "feeds" for name in writer.written if name.startswith("feeds/")
        )
        kinds["touched"] = len(changed.touched)
    return cost, listed, kinds, latest


def anew(settings: Settings) -> None:
    """Make all feeds and their past from nothing."""
    cost, listed, kinds, _ = replace_feeds(settings, after=0, pages_too=True)
    count, size = _written(settings.home / "site" / "feeds")
    print(
        f"all feeds anew: {cost.wall_seconds:.1f} s, {cost.cpu_seconds:.1f} CPU-s, {cost.peak_bytes / 1e6:,.0f} MB: "
        f"{kinds['feeds']:,} files and {kinds['past']:,} of the past, {count:,} entries, {size / 1e6:,.0f} MB: "
        f"{count / cost.cpu_seconds:,.0f} entries a CPU-second"
    )
    print(f"pages that list papers: {listed.wall_seconds:.1f} s, {listed.cpu_seconds:.1f} CPU-s")


def commits(settings: Settings, papers: int, count: int) -> None:
    """Commit new papers and replace the feeds they touch."""
    costs: list[Cost] = []
    with Archive(settings.home) as archive:
        first = max(papers, archive.index.papers_count())  # those of an earlier run are known
    fresh = pa.concat_tables(tables(count * NEW, start=first, size=papers))
    after = _latest(settings)
    kinds: Counter[str] = Counter()
    for number in range(count):
        table = fresh.slice(number * NEW, NEW)
        now = NOW + timedelta(days=number + (first - papers) // NEW)
        day = now.date()
        told = [replace(e, announced_on=day, announce_type="new") for e in entries(table, source="arxiv-rss:bench")]
        with Archive(settings.home) as archive:
            archive.append(told, source="arxiv-rss:bench", batch_id=f"bench {now}", now=now, decide=decide)
            refresh_catalog(archive, settings, settings.topic, now=now)
        cost, _, kinds, after = replace_feeds(settings, after=after)
        costs.append(cost)
    wall, cpu = ([getattr(c, name) for c in costs] for name in ("wall_seconds", "cpu_seconds"))
    files = f"{kinds['touched']:,} feeds touched, {kinds['feeds']:,} files and {kinds['past']:,} of the past replaced"
    print(f"a commit of {NEW:,} new papers: {files}")
    for name, values in (("wall", wall), ("CPU", cpu)):
        p95 = statistics.quantiles(values, n=20)[-1]
        print(f"  {name:4} seconds: p50 {statistics.median(values):.2f}, p95 {p95:.2f}, max {max(values):.2f}")


def beside_feedgen(settings: Settings) -> None:
    """The entries of the busiest feeds, by feedgen whole feed by whole feed."""
    with Catalog(settings.home) as catalog:
        papers = catalog.new_in_topic(None, limit=1_000)
    for tagged in papers:  # what both do alike
        feeds.papers_feed(SITE, feeds.EVERYTHING, [tagged])
    with measured() as cost:
        feed = feeds.papers_feed(SITE, feeds.EVERYTHING, papers)
        for write in WRITERS.values():
            write(feed)
    each, rate = len(feed.entries), len(feed.entries) * len(WRITERS) / cost.cpu_seconds
    print(f"feedgen alone, {each:,} entries in {len(WRITERS)} formats: {rate:,.0f} a CPU-second")


def _latest(settings: Settings) -> int:
    with Catalog(settings.home) as catalog:
        return catalog.latest_seq()


def _written(folder: Path) -> tuple[int, int]:
    """How many entries stand in the files of a folder, and how large they are."""
    count = size = 0
    for path in folder.rglob("*"):
        if path.suffix in (".atom", ".rss", ".json"):
            content = path.read_bytes()
            count += content.count(b"<entry>") + content.count(b"<item>") + content.count(b'      "id": "')
            size += len(content)
    return count, size


if __name__ == "__main__":
    main()
