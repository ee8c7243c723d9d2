"""What the tests of backfills share: a repository of old records, one that fails or kills, and who reads its past."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

from flows.backfill_state import Backfill, begun_backfill
from flows.backfilling import BackfillReport, backfill
from flows.pipeline import SourceReport, ingest_source
from storage.archive import Archive
from storage.model import Paper
from storage.settings import Settings, Source, Topic
from tests.oai_repository import Held, Repository
from tests.servers import Answer, Ask, Server

NOW = datetime(2026, 6, 2, 6, 0, tzinfo=UTC)
NAME = "arxiv-oai"
SINCE, LAST = date(2007, 5, 23), date(2026, 5, 29)  # a first read reads the three days behind LAST
OLD = {f"0704.{n:04}": f"20{7 + n:02}-03-0{n}" for n in range(1, 10)}  # number: day of the last change
REFUSES, REFUSED = Answer(status=403), "HTTP 403: it refuses us"  # 503 would have the host left alone for a while
EMPTY = "<size>0kb</size><source_type>I</source_type>"
Route = Callable[[Ask], Answer]


def settings_of(home: Path, base_url: str, **changes: object) -> Settings:
    """An installation with the one source."""
    kept = Source(name=NAME, kind="arxiv-oai", base_url=base_url, allow_private_addresses=True, days=3)
    topic = Topic(slug="short", title="Short", query="short")
    return Settings(home=home, source=(kept.model_copy(update=changes),), topic=(topic,))


def read_past(home: Path, base_url: str, *, at: datetime = NOW, **options: object) -> BackfillReport:
    """Read the past of the one source of an installation."""
    options = {"since": SINCE, "wait": lambda _: None} | options
    return backfill(settings_of(home, base_url), NAME, clock=lambda: at, **options)  # type: ignore[arg-type]


class Home:
    """An installation that reads one repository."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server

    def answers(self, route: Route) -> None:
        """From now on the repository is this one."""
        self.server.routes["/oai"] = route

    def backfill(self, *, at: datetime = NOW, **options: object) -> BackfillReport:
        """Read its past."""
        return read_past(self.folder, self.server.url(""), at=at, **options)

    def poll(self, *, days: int = 0) -> SourceReport:
        """Read what is news, so many days after the first day."""
        return ingest_source(settings_of(self.folder, self.server.url("")), NAME, now=NOW + timedelta(days=days))

    def papers(self, *more: str) -> dict[str, Paper]:
        """The papers it holds, by arXiv id."""
        with Archive(self.folder) as archive:
            found = archive.papers(f"arxiv:{n}" for n in (*OLD, *more))
        return {name.removeprefix("arxiv:"): paper for name, paper in sorted(found.items())}

    def sightings(self) -> dict[str, int]:
        """How often each was seen."""
        with Archive(self.folder) as archive:
            return {n: sum(len(i.sightings) for i in archive.history(f"arxiv:{n}")) for n in OLD}

    def told(self, number: str) -> list[str]:
        """What readers were told of a paper."""
        with Archive(self.folder) as archive:
            rows = archive.history(f"arxiv:{number}")
        return [str(a) for row in rows for s in row.sightings for a in s.announcements]

    def begun(self) -> Backfill | None:
        """The backfill that has not come to its end."""
        with Archive(self.folder) as archive:
            return begun_backfill(archive.index, NAME)


class Fails:
    """A repository whose server answers something else at one page, and at one beginning where that is given."""

    def __init__(self, repository: Repository, *, skip: int, answer: Answer, since: str = "never") -> None:
        self.repository, self.answer, self.fails = repository, answer, True
        self.at = (f"skip={skip}", f"from={since}")

    def __call__(self, ask: Ask) -> Answer:
        if self.fails and any(at in unquote(unquote(ask.path)) for at in self.at):
            return self.answer
        return self.repository(ask)


class Kills:
    """A repository that ends who asks for one page."""

    child: subprocess.Popen[bytes]

    def __init__(self, repository: Repository, *, skip: int, by: signal.Signals = signal.SIGKILL) -> None:
        self.repository, self.skip, self.by, self.started = repository, skip, by, threading.Event()

    def __call__(self, ask: Ask) -> Answer:
        self.started.wait(60)
        if f"skip={self.skip}" in unquote(unquote(ask.path)):
            self.child.send_signal(self.by)
            self.child.wait(60)
        return self.repository(ask)


def past_repository() -> Repository:
    """A repository of the old records."""
    return Repository(held={number: Held(number=number, day=day) for number, day in OLD.items()})


def asked(repository: Repository) -> list[str]:
    """What the repository was asked for: what each token stood for, too."""
    return [unquote(unquote(path.partition("metadataPrefix")[2] or path)) for path in repository.asked]
