"""Citation clients that are not ours read the pages of real papers: title, authors, day, ids, PDF and abstract."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.pipeline import run_pass
from publishers.paths import paper_path
from publishers.readable import readable
from publishers.web import web_app
from storage.catalog import Catalog
from storage.model import Paper
from storage.settings import parse_settings
from storage.text import fold
from tests.captured import CapturedProviders
from tests.site_server import serving
from tests.wire_tools import ROOT

NPM = ROOT / "tests" / "npm"
PAPERS = 30
PAPIS_SETTINGS = "[settings]\ndefault-library = papers\n[papers]\ndir = {folder}\n"


@dataclass(frozen=True)
class Cited:
    """A paper as the archive has it, the address of its page and its .bib file."""

    paper: Paper
    url: str
    bib: Path


@pytest.fixture(scope="module")
def cited(unpack: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Cited]]:
    """Papers of one morning of 2026 and of one of 2023 that brought DOIs, each page served as it was published."""
    pack, home = unpack("arxiv_rss_replay"), tmp_path_factory.mktemp("cited")
    replayed(pack, home, "cs.CL", date(2026, 6, 2))
    replayed(pack / "edge", home, "math.NT", date(2023, 10, 26))
    with Catalog(home) as catalog, serving(web_app(home / "site")) as port:
        papers = chosen([tagged.paper for tagged in catalog.new_in_topic(None)])
        paths = [paper_path(paper.paper_id) for paper in papers]
        yield [
            Cited(paper, f"http://127.0.0.1:{port}/{path}", (home / "site" / path).with_suffix(".bib"))
            for paper, path in zip(papers, paths, strict=True)
        ]


def replayed(pack: Path, home: Path, category: str, day: date) -> None:
    """One pass on the morning of `day`."""
    with CapturedProviders(pack, None) as providers:
        providers.day = day
        text = (
            f'[[source]]\nname = "arxiv-rss:{category}"\nkind = "arxiv-rss"\ncategory = "{category}"\n'
            f'base_url = "{providers.base_url}"\nallow_private_addresses = true\n'
        )
        report = run_pass(parse_settings(text, home=home), now=datetime(day.year, day.month, day.day, 6, tzinfo=UTC))
    assert not any(source.error or source.problems for source in report.sources)


def chosen(papers: list[Paper]) -> list[Paper]:
    """Thirty: those with TeX, a DOI, a letter beyond ASCII or many authors first."""

    def oddity(paper: Paper) -> tuple[int, int, str]:
        names = " ".join(paper.authors)
        odd = ("$" in paper.title or "\\" in paper.title) + bool(paper.doi) + (not names.isascii()) + ("'" in names)
        return (-odd, -len(paper.authors), paper.paper_id)

    first = sorted(papers, key=oddity)[: PAPERS - 5]
    single = [paper for paper in sorted(papers, key=lambda p: (len(p.authors), p.paper_id)) if paper not in first]
    return first + single[:5]


def day_of(paper: Paper) -> str:
    """The day that a page has to give: submitted where that is known, else announced."""
    day = paper.published_at.date() if paper.published_at else paper.announced_on
    assert day is not None
    return day.strftime("%Y/%m/%d")


def names_of(paper: Paper) -> list[str]:
    """The authors as they are shown."""
    return [readable(name) for name in paper.authors]


def same_text(given: str, paper: Paper) -> bool:
    """Whether a client has the whole abstract, however it breaks lines."""
    return fold(given) == fold(readable(paper.abstract))


def test_the_papers_are_of_every_kind(cited: list[Cited]) -> None:
    papers = [one.paper for one in cited]
    assert len({paper.paper_id for paper in papers}) == PAPERS
    assert any("$" in paper.title for paper in papers)
    assert any(paper.doi for paper in papers)
    assert any(len(paper.authors) > 10 for paper in papers)
    assert any(not " ".join(paper.authors).isascii() for paper in papers)


def test_the_citation_service_of_wikipedia_reads_every_field(cited: list[Cited]) -> None:
    if not (NPM / "node_modules" / "html-metadata").is_dir():
        pytest.skip("the npm package html-metadata is not installed (deploy/install-test-programs)")
    command = ["node", str(NPM / "read_pages.cjs"), *(one.url for one in cited)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    read: list[dict[str, Any]] = [json.loads(line) for line in printed.splitlines()]
    assert len(read) == PAPERS
    for one, found in zip(cited, read, strict=True):
        paper, tags, schema = one.paper, found["highwirePress"], found["jsonLd"]
        assert tags["title"] == schema["headline"] == readable(paper.title)
        assert as_list(tags["author"]) == [person["name"] for person in schema["author"]] == names_of(paper)
        assert tags["publication_date"] == day_of(paper)
        assert tags["arxiv_id"] == paper.arxiv_id
        assert tags.get("doi") == paper.doi
        assert tags["pdf_url"] == paper.pdf_url
        assert same_text(schema["abstract"], paper)
        assert paper.doi is None or any(url.startswith("https://doi.org/10.") for url in schema["sameAs"])


def test_papis_has_every_paper_in_its_library(cited: list[Cited], tmp_path: Path) -> None:
    held = {str(document["title"]): document for document in papis(tmp_path, [one.url for one in cited])}
    assert len(held) == PAPERS
    for one in cited:
        paper, document = one.paper, held[readable(one.paper.title)]
        people = [f"{person['given']} {person['family']}".strip() for person in document["author_list"]]
        assert sorted_words(people) == sorted_words(names_of(paper))
        assert document["publication_date"] == day_of(paper)
        assert document["pdf_url"] == paper.pdf_url
        assert document.get("doi") == paper.doi
        assert same_text(document["abstract"], paper)


def test_papis_reads_the_bibtex_beside_each_page(cited: list[Cited]) -> None:
    from tests.readers.papis_library import entries

    for one in cited:
        (entry,) = entries(one.bib.read_text("utf-8"))
        assert entry["eprint"] == one.paper.arxiv_id
        assert entry.get("doi") == one.paper.doi
        assert len(entry["author_list"]) == len(one.paper.authors), one.paper.paper_id  # type: ignore[arg-type]


def papis(home: Path, urls: list[str]) -> list[dict[str, Any]]:
    """Let papis, with a home of its own, read the pages; returns what its library then holds."""
    (home / "config" / "papis").mkdir(parents=True)
    (home / "library").mkdir()
    (home / "config" / "papis" / "config").write_text(PAPIS_SETTINGS.format(folder=home / "library"))
    ours = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "XDG_CACHE_HOME": str(home / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.readers.papis_library", *urls],
        env={**ours, "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def as_list(value: object) -> list[object]:
    """One author is given as a text, several as a list."""
    return value if isinstance(value, list) else [value]


def sorted_words(names: list[str]) -> list[list[str]]:
    """Each name as its words: which of them is the family's every program guesses for itself."""
    return [sorted(name.replace(",", " ").split()) for name in names]
