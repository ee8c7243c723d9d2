"""A list in pages is read to its end, whatever happens on the way: committed part by part, gone on with, read again."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest

from flows import harvesting
from flows.harvesting import Place
from flows.pipeline import SourceReport, ingest_source
from storage.archive import Archive
from storage.settings import Settings, Source
from tests.oai_repository import Held, Repository, held
from tests.servers import Answer, Ask, Server

NOW = datetime(2026, 6, 2, 6, 0, tzinfo=UTC)
NUMBERS = [f"2606.{n:05}" for n in range(1, 8)]
NAME = "arxiv-oai"
ROOT = Path(__file__).resolve().parents[1]
Route = Callable[[Ask], Answer]


# As `read`, with small parts, in a process that can be killed.
_CHILD = """
import sys
from pathlib import Path
from flows import harvesting
from tests.test_long_lists_are_read_to_their_end import NOW, read
harvesting.ENTRIES_AT_ONCE = 4
read(Path(sys.argv[1]), sys.argv[2], now=NOW)
"""


def read(home: Path, base_url: str, *, now: datetime) -> SourceReport:
    """Read the one source of an installation once."""
    source = Source(name=NAME, kind="arxiv-oai", base_url=base_url, allow_private_addresses=True)
    return ingest_source(Settings(home=home, source=(source,)), NAME, now=now)


class Home:
    """An installation that reads one repository."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server

    def answers(self, route: Route) -> None:
        """From now on the repository is this one."""
        self.server.routes["/oai"] = route

    def read(self, *, days: int = 0) -> SourceReport:
        """Read it once, so many days after the first day."""
        return read(self.folder, self.server.url(""), now=NOW + timedelta(days=days))

    def papers(self) -> list[str]:
        """The arXiv ids it holds."""
        with Archive(self.folder) as archive:
            return sorted(p.removeprefix("arxiv:") for p in archive.papers(f"arxiv:{n}" for n in NUMBERS))

    def place(self) -> tuple[str | None, int]:
        """The mark, and how many pages are left."""
        with Archive(self.folder) as archive:
            place = Place(archive.index, NAME)
            return place.mark(), len(place.left())


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pages of two are a part: what is 5,000 entries elsewhere."""
    monkeypatch.setattr(harvesting, "ENTRIES_AT_ONCE", 4)


@pytest.fixture
def repository() -> Repository:
    return Repository(held=held(NUMBERS, day="2026-06-01"))


@pytest.fixture
def home(tmp_path: Path, repository: Repository) -> Iterator[Home]:
    with Server({"/oai": repository}) as server:
        yield Home(tmp_path, server)


def test_every_page_is_read_and_the_mark_kept(home: Home, repository: Repository) -> None:
    report = home.read()
    assert (report.ok, report.problems, report.new) == (True, (), 7)
    assert home.papers() == NUMBERS
    assert home.place() == ("2026-06-02", 0)


def test_the_next_read_begins_two_days_before_the_mark(home: Home, repository: Repository) -> None:
    home.read()
    repository.asked.clear()
    assert home.read(days=1).entries == 7
    assert "from=2026-05-31" in repository.asked[0]


def test_a_list_is_read_again_until_that_adds_nothing(home: Home, repository: Repository) -> None:
    # A record of the first page changes while the second is on its way: the rest moves up, and one is passed over.
    repository.after_a_page = lambda r: r.change(NUMBERS[0], "2026-06-02")
    report = home.read()
    assert home.papers() == NUMBERS
    assert (report.ok, report.new, report.revised) == (True, 7, 1)
    assert report.requests > 4


def test_nothing_is_read_again_where_nothing_came(home: Home, repository: Repository) -> None:
    home.read()
    assert home.read(days=1).requests == 4


def test_a_read_that_breaks_off_goes_on_at_its_page(home: Home, repository: Repository) -> None:
    failing = _FailsAt(repository, skip=4)
    home.answers(failing)
    report = home.read()
    assert report.ok, "what came before the page was read"
    assert [p.partition(":")[0] for p in report.problems] == ["HTTP 403"]
    assert home.papers() == NUMBERS[:4]
    assert home.place() == (None, 1), "no mark before the last page, and the page that failed is asked for again"
    failing.fails = False
    repository.asked.clear()
    assert home.read(days=1).ok
    assert "skip=4" in unquote(unquote(repository.asked[0])), "it goes on where it stopped"
    assert home.papers() == NUMBERS
    assert home.place() == ("2026-06-02", 0)


def test_a_token_that_is_no_longer_good_costs_one_read(home: Home, repository: Repository) -> None:
    failing = _FailsAt(repository, skip=4)
    home.answers(failing)
    home.read()
    assert not home.read(days=1).ok
    assert home.place() == (None, 0), "the next one starts anew"
    failing.fails = False
    assert home.read(days=2).ok
    assert home.papers() == NUMBERS


def test_a_killed_harvest_goes_on_at_its_token(home: Home, repository: Repository) -> None:
    killing = _KillsAt(repository, skip=4)
    home.answers(killing)
    killing.child = subprocess.Popen([sys.executable, "-c", _CHILD, str(home.folder), home.server.url("")], cwd=ROOT)
    killing.started.set()
    assert killing.child.wait() == -signal.SIGKILL
    assert home.papers() == NUMBERS[:4]
    assert home.place() == (None, 1)
    home.answers(repository)
    repository.asked.clear()
    assert home.read().ok
    assert "skip=4" in unquote(unquote(repository.asked[0])), "it goes on where it stopped"
    assert home.papers() == NUMBERS


# What a record that changed means ------------------------------------------------------------------------------------


def test_an_old_paper_that_was_only_touched_is_kept_and_told_to_nobody(home: Home, repository: Repository) -> None:
    repository.held = held(NUMBERS[:2], day="2026-08-01")
    report = home.read(days=60)
    assert (report.new, report.revised, report.other) == (0, 0, 0)
    assert home.papers() == NUMBERS[:2]


def test_a_new_version_of_a_paper_never_seen_is_a_revision_and_no_news(home: Home, repository: Repository) -> None:
    repository.held = {NUMBERS[0]: Held(number=NUMBERS[0], day="2026-06-02", versions=2)}
    report = home.read()
    assert (report.new, report.revised) == (0, 1)


def test_a_paper_that_arxiv_withdraws_is_told_as_withdrawn(home: Home, repository: Repository) -> None:
    home.read()
    nothing = "<size>0kb</size><source_type>I</source_type>"
    repository.held[NUMBERS[0]] = Held(number=NUMBERS[0], day="2026-06-02", versions=2, holds=nothing)
    report = home.read(days=1)
    assert (report.new, report.other) == (0, 1)
    with Archive(home.folder) as archive:
        papers = archive.papers(f"arxiv:{n}" for n in NUMBERS)
    assert [p for p, paper in papers.items() if paper.withdrawn] == [f"arxiv:{NUMBERS[0]}"]


def _is_page(ask: Ask, skip: int) -> bool:
    return f"skip={skip}" in unquote(unquote(ask.path))


class _FailsAt:
    """A repository whose server fails at one page."""

    def __init__(self, repository: Repository, *, skip: int) -> None:
        self.repository, self.skip, self.fails = repository, skip, True

    def __call__(self, ask: Ask) -> Answer:
        if self.fails and _is_page(ask, self.skip):
            return Answer(status=403, body=b"")
        return self.repository(ask)


class _KillsAt:
    """A repository that kills who asks for one page."""

    child: subprocess.Popen[bytes]

    def __init__(self, repository: Repository, *, skip: int) -> None:
        self.repository, self.skip, self.started = repository, skip, threading.Event()

    def __call__(self, ask: Ask) -> Answer:
        self.started.wait(60)
        if _is_page(ask, self.skip):
            self.child.kill()
        return self.repository(ask)
