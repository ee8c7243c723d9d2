"""Hundreds of feeds of real papers, in every format and of every kind: all of them valid, and read as they were meant.

Two mornings of arXiv and Hugging Face a week apart come through the whole pipeline, then journals', Crossref's and
PubMed's captures through their adapters; a live site answers the feeds of queries.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from flows.decide import decide
from flows.parsing import Parser
from flows.pipeline import publish
from publishers.paths import FEED_FORMATS, tag_id
from publishers.web import web_app
from storage.archive import Archive
from storage.model import Entry
from storage.settings import Limits, parse_settings
from storage.text import safe_url
from tests.captured import CapturedProviders
from tests.feed_readers import VALIDATORS, Said, is_empty, said
from tests.site_server import serving
from tests.test_every_capture_is_read import FORMATS, answers, first, read_file
from tests.test_the_replay_loses_nothing import World, configuration, pass_at
from tests.test_web_serves_the_site import Client

MORNINGS = (date(2026, 6, 2), date(2026, 6, 9))
CATEGORIES = ("cs.CL", "eess.IV")
PACKS = ("journal_feeds", "crossref", "pubmed")
ENTRIES_MAX = 150  # of each pack
QUERIES = ("retrieval", "category:cs.LG", '"language model"', "code:yes", "author:wang", "votes:>10", "zzzz", "a -the")
READERS = ("feedsmith", "fastfeedparser", "feedparser")
LIVES_EVERY = 20  # a paper's feed of its life: every twentieth is held against everything


@dataclass(frozen=True)
class Feeds:
    """The files, by what kind they are, and the papers behind them."""

    world: World
    kinds: Mapping[Path, str]

    def all(self, suffix: str = "") -> list[Path]:
        """Every file of a format."""
        return [path for path in self.kinds if path.suffix.endswith(suffix)]


@pytest.fixture(scope="module")
def made(unpack: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Feeds]:
    """Everything, built once."""
    home, packs = tmp_path_factory.mktemp("feeds"), {name: unpack(name) for name in PACKS}
    with CapturedProviders(unpack("arxiv_rss_replay"), unpack("hf_daily_raw")) as providers:
        text = configuration(providers.base_url, CATEGORIES, hugging_face=True)
        world = World(parse_settings(text, home=home), providers, [], 0.0)
        for day in MORNINGS:
            pass_at(world, day)
        with Archive(home) as archive:
            for hour, (name, folder) in enumerate(packs.items()):
                now, entries = datetime(2026, 6, 9, 7 + hour, tzinfo=UTC), captured(name, folder)
                archive.append(entries, source=f"capture:{name}", batch_id=name, now=now, decide=decide)
        publish(world.settings, now=datetime(2026, 6, 9, 12, tzinfo=UTC))
        kinds = dict(published(home / "site")) | dict(answered(world, tmp_path_factory.mktemp("live")))
        yield Feeds(world, kinds)


def captured(pack: str, folder: Path) -> list[Entry]:
    """Some entries of a pack, as its adapters read them, under one source."""
    found: list[Entry] = []
    with Parser(Limits(parse_cpu_seconds=30)) as parser:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = f"{pack}/{path.relative_to(folder).as_posix()}"
            chosen = first(FORMATS, name)
            if chosen and len(found) < ENTRIES_MAX:
                found += read_file(parser, chosen[1], list(answers(name, path)))[0][:30]
    assert len(found) >= 30, pack
    return [replace(entry, source=f"capture:{pack}") for entry in found]


def published(site: Path) -> Iterator[tuple[Path, str]]:
    """The feeds in a published folder with their kinds."""
    for path in sorted((site / "feeds").rglob("*")):
        name = path.relative_to(site).as_posix()
        if path.suffix[1:] in FEED_FORMATS:
            yield path, _kind(name)
    for number, path in enumerate(sorted((site / "papers").glob("*.atom"))):
        if number % LIVES_EVERY == 0:
            yield path, "life of a paper"


def _kind(name: str) -> str:
    parts = name.split("/")
    for kind, fits in (
        ("coverage", parts[1].startswith("health.")),
        ("the past (RFC 5005)", "/archive/" in name),
        ("trending", "/trending." in name),
        ("revisions", "/revisions." in name),
        ("category", parts[1] == "category"),
        ("source", parts[1] == "source"),
    ):
        if fits:
            return kind
    return "topic"


def answered(world: World, folder: Path) -> Iterator[tuple[Path, str]]:
    """What a live site answers to queries, as files."""
    with serving(web_app(world.settings.home / "site", settings=world.settings)) as port:
        for number, query in enumerate(QUERIES):
            for extension in FEED_FORMATS:
                answer = Client(port).get(f"/search.{extension}?q={quote(query)}")
                assert answer.status == 200, query
                path = folder / f"{number}.{extension}"
                path.write_bytes(answer.body)
                yield path, "live query"


def test_there_are_hundreds_of_every_kind_and_format(made: Feeds) -> None:
    assert len(made.kinds) >= 200
    formats, kinds = Counter(path.suffix for path in made.kinds), Counter(made.kinds.values())
    assert min(formats.values()) >= 60
    assert set(kinds) == {
        *("topic", "revisions", "trending", "category", "source", "coverage"),
        *("the past (RFC 5005)", "life of a paper", "live query"),
    }
    sources = {path.parent.name for path in made.kinds} | {path.stem for path in made.kinds}
    assert {f"capture~{name}" for name in PACKS} <= sources


def test_every_validator_and_reader_accepts_every_feed(made: Feeds, capsys: pytest.CaptureFixture[str]) -> None:
    refused, lines, missing = {}, [], []
    for name, (hold, suffixes) in VALIDATORS.items():
        started, cells = time.monotonic(), []
        paths = [path for path in made.kinds if path.suffix in suffixes]
        if name.startswith("Ruby"):
            paths = [path for path in paths if path.suffix != ".rss" or not is_empty(path)]
        faults = hold(paths)
        if faults is None:
            missing.append(name)
            continue
        refused |= {(name, path.name): error[:300] for path, error in faults.items()}
        for suffix in (".atom", ".rss", ".json"):
            asked = [path for path in paths if path.suffix == suffix]
            accepted = len([path for path in asked if path not in faults])
            cells.append(f"{accepted}/{len(asked)}" if asked else "–")
        lines.append(f"{name:16}" + "".join(f"{cell:>12}" for cell in cells) + f"{time.monotonic() - started:8.1f} s")
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(made.kinds.values()).items()))
    entries = sum(len(said(path)) for path in made.kinds)
    with capsys.disabled():
        print(f"\n{len(made.kinds)} feeds with {entries:,} entries: {kinds}")
        print(f"{'accepted by':16}{'Atom':>12}{'RSS':>12}{'JSON':>12}", *lines, sep="\n")
        print(f"not installed: {', '.join(missing) or 'none'}")
    assert refused == {}


def test_no_feed_has_an_entry_twice_and_all_formats_say_the_same(made: Feeds) -> None:
    for path in made.all():
        found = said(path)
        twice = [name for name, count in Counter(entry.id for entry in found).items() if count > 1]
        assert twice == [], path
        others = [path.with_suffix(f".{extension}") for extension in FEED_FORMATS]
        for other in others:
            if other in made.kinds:
                assert said(other) == found, other


def test_every_entry_has_the_authors_and_the_file_of_its_paper(made: Feeds) -> None:
    truth = papers_of(made.world)
    seen = Counter[str]()
    for path, kind in made.kinds.items():
        for entry in said(path):
            assert entry.title.strip()
            assert len(entry.links) == 1, entry
            assert entry.links[0].startswith(("https://", "http://")), entry
            if kind == "coverage":
                continue
            authors, pdf = truth[paper_in(entry)]
            seen.update(["entries", *(["authors"] if entry.authors else []), *(["files"] if entry.enclosures else [])])
            assert bool(authors) == bool(entry.authors), (path, entry)
            assert bool(pdf) == bool(entry.enclosures), (path, entry)
    assert seen["entries"] > 5_000
    assert seen["authors"] > 0.9 * seen["entries"]
    assert seen["files"] > 0.5 * seen["entries"]


@pytest.mark.parametrize(
    ("name", "suffix", "wrong", "right"),
    [
        *((name, ".atom", b"", rb"<id>.*?</id>") for name in ("RELAX NG", "jing", "Ruby, strict")),
        *((name, ".rss", b"", rb"<link>.*?</link>") for name in ("RELAX NG", "jing", "Ruby, strict")),
        ("JSON schema", ".json", b"", rb'"version": ".*?",'),
        *((name, ".rss", b"<item><title>x</title></item></channel>", b"</channel>") for name in READERS),
        ("feedsmith", ".json", b'"authors": [{"name": ""}, {', rb'"authors": \[\n        {'),
        ("feedparser", ".atom", b'<entry xmlns="https://x.test/">', b"<entry>"),
    ],
)
def test_each_of_them_refuses_what_is_wrong(
    made: Feeds, tmp_path: Path, name: str, suffix: str, wrong: bytes, right: bytes
) -> None:
    good = next(path for path in made.all(suffix) if made.kinds[path] == "source" and not is_empty(path))
    bad = tmp_path / f"bad{suffix}"
    bad.write_bytes(re.sub(right, wrong, good.read_bytes(), count=1, flags=re.DOTALL))
    assert bad.read_bytes() != good.read_bytes()
    faults = VALIDATORS[name][0]([good, bad])
    if faults is None:
        pytest.skip(f"{name} is not installed")
    assert list(faults) == [bad]


def papers_of(world: World) -> dict[str, tuple[bool, bool]]:
    """The id of each paper in feeds → whether it has authors, and a file that can be linked to."""
    rows = world.sql("SELECT paper_id, authors, pdf_url FROM papers")
    found = {}
    for paper_id, authors, pdf in rows:
        assert isinstance(authors, list)
        names = any(str(name).strip() for name in authors)
        found[tag_id("127.0.0.1", str(paper_id))] = names, safe_url(str(pdf) if pdf else None) is not None
    return found


def paper_in(entry: Said) -> str:
    """The id of the paper of an entry; a revision's has its version behind that."""
    return re.sub(r"/(?:revised|published|withdrawn|code-appeared)/[rv]\d+$", "", entry.id)
