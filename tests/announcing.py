"""arXiv, Hugging Face and a journal on a local server, with the faults they really have: what coverage is tested on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import duckdb

from flows.covering import judge_coverage
from flows.harvesting import Tools
from flows.parsing import Parser
from flows.pipeline import SourceReport, ingest_source
from storage.archive import Archive
from storage.catalog import catalog_path
from storage.coverage import Verdict
from storage.settings import Limits, Settings, parse_settings
from tests.fetching_tools import Clock, a_fetcher
from tests.newsroom import arxiv_feed, daily_list, journal_feed, source
from tests.oai_repository import Held, Repository
from tests.servers import Answer, Ask, Server

RSS, OAI, LISTS, JOURNAL = "arxiv-rss:cs.CL", "arxiv-oai:cs.CL", "hf-daily", "journal"


def numbers(day: date, count: int) -> list[str]:
    """The arXiv ids of the papers of a day."""
    return [f"{day:%y%m}.{day.day:02}{n:03}" for n in range(1, count + 1)]


def batch(day: date, ids: Sequence[str]) -> Answer:
    """arXiv's feed of a day."""
    body = arxiv_feed(*((name, f"On {name}") for name in ids), day=day)
    return Answer(body=body, headers={"Content-Type": "text/xml"})


@dataclass
class Announcers:
    """What the sources say now, and the installation that reads them."""

    home: Path
    server: Server
    parser: Parser
    reads_all: bool = False  # whether the OAI-PMH source is one of all of arXiv
    rss: Answer = field(default_factory=lambda: Answer(status=503))
    lists: dict[str, list[str] | Answer] = field(default_factory=dict)
    journal: Answer = field(default_factory=lambda: Answer(status=503))
    repository: Repository = field(default_factory=lambda: Repository(held={}, page_size=500))

    def __post_init__(self) -> None:
        """Serve what the fields say at the time of asking."""
        self.clock = Clock()
        self.tools = Tools(a_fetcher(limits=Limits(), clock=self.clock), self.parser)
        self.server.routes |= {
            "/rss/cs.CL": lambda _: self.rss,
            "/api/daily_papers": self._list,
            "/feed.xml": lambda _: self.journal,
            "/oai": lambda ask: self.repository(ask),
        }

    @property
    def settings(self) -> Settings:
        """The four sources."""
        base = self.server.url("")
        return parse_settings(
            source(RSS, "arxiv-rss", base, category="cs.CL")
            + source(OAI, "arxiv-oai", base, days=14, **({} if self.reads_all else {"category": "cs.CL"}))
            + source(LISTS, "hf-daily", base, days=6)
            + source(JOURNAL, "feed", url=self.server.url("/feed.xml")),
            home=self.home,
        )

    def read(self, name: str, now: datetime) -> SourceReport:
        """Read one source."""
        self.clock.now = now
        self.repository.answered = f"{now:%Y-%m-%dT%H:%M:%SZ}"
        return ingest_source(self.settings, name, now=now, tools=self.tools)

    def verdict(self, name: str, day: date, now: datetime) -> Verdict | None:
        """What a day of a source is, as of a moment."""
        with Archive(self.home) as archive:
            found = judge_coverage(archive, self.settings, now=now)
        return next((v for v in found if (v.source, v.day) == (name, day)), None)

    def announced(self, ids: Iterable[str]) -> dict[str, int]:
        """How often each of these papers was announced as new."""
        names = [f"arxiv:{name}" for name in ids]
        rows = self.sql(
            "SELECT paper_id, count(*) FROM (SELECT paper_id, unnest(announcements) AS a FROM sightings) "
            "WHERE a = 'new' AND paper_id IN (SELECT unnest(?)) GROUP BY 1",
            *names,
        )
        counts = {str(paper_id): int(str(count)) for paper_id, count in rows}
        return {name: counts.get(f"arxiv:{name}", 0) for name in ids}

    def sql(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """Ask papers.duckdb."""
        with duckdb.connect(str(catalog_path(self.home)), read_only=True) as connection:
            return connection.execute(query, [list(values)] if values else []).fetchall()

    def hold(self, ids: Iterable[str], day: date, *, submitted: date) -> None:
        """Put records into the OAI repository, as they lie there once announced."""
        said = {"day": day.isoformat(), "submitted": submitted.isoformat()}
        self.repository.held |= {name: Held(number=name, **said) for name in ids}

    def _list(self, ask: Ask) -> Answer:
        said = self.lists.get(parse_qs(urlsplit(ask.path).query)["date"][0], [])
        return said if isinstance(said, Answer) else Answer(body=daily_list(*((n, f"On {n}") for n in said)))


def journal(*guids: str) -> Answer:
    """A journal's feed."""
    return Answer(body=journal_feed(*({"guid": guid, "title": f"On {guid}"} for guid in guids)))


def at(day: date, hour: int, minute: int = 20) -> datetime:
    """A moment, UTC."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
