"""Semantic Scholar, OpenAlex and GitHub on one local server, an archive to ask about, and a process that asks."""

from __future__ import annotations

import json
import multiprocessing
import re
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flows.asked import Asked
from flows.decide import decide
from flows.enriching import CountReport, enrich
from flows.fetching import Fetcher
from flows.governor import Governor, NotNow
from flows.pipeline import topics_of
from storage.archive import Archive
from storage.catalog import Catalog, refresh_catalog
from storage.model import Entry
from storage.settings import Enrich, Settings, Topic
from tests.builders import an_entry
from tests.fetching_tools import SMALL, Clock, a_fetcher
from tests.servers import Answer, Ask, Route, Server

ANNOUNCED = date(2026, 6, 2)
NOW = datetime(2026, 6, 3, 2, 30, tzinfo=UTC)  # a day later
TOPICS = (Topic(slug="wanted", title="Wanted", query="title:wanted"),)
# Started from a process without threads that has imported everything: a process is there in milliseconds.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.counting_house"])


@dataclass
class House:
    """What the three know; `server` speaks for them."""

    server: Server
    cited: dict[str, Any] = field(default_factory=dict)  # by arXiv id, or DOI
    stars: dict[str, Any] = field(default_factory=dict)  # by owner/name

    def __post_init__(self) -> None:
        self.server.routes |= {"/graph/v1/paper/batch": self.batch, "/works": self.works, "*": self.repository}

    def batch(self, ask: Ask) -> Answer:
        """Semantic Scholar's list for a list."""
        assert ask.method == "POST"
        assert ask.headers["content-type"] == "application/json"
        assert ask.path.endswith("?fields=citationCount,externalIds")
        ids = json.loads(ask.body)["ids"]
        assert 0 < len(ids) <= 500
        return as_json([self._scholarly(asked) for asked in ids])

    def _scholarly(self, asked: str) -> dict[str, Any] | None:
        namespace, _, value = asked.partition(":")
        if value not in self.cited:
            return None
        names = {"ARXIV": "ArXiv", "DOI": "DOI", "PMID": "PubMed"}
        return {"paperId": "0" * 40, "externalIds": {names[namespace]: value}, "citationCount": self.cited[value]}

    def works(self, ask: Ask) -> Answer:
        """OpenAlex's works for a filter of DOIs, in another order than asked."""
        query = parse_qs(urlsplit(ask.path).query)
        dois = query["filter"][0].removeprefix("doi:").split("|")
        assert 0 < len(dois) <= 50
        names = {doi: doi.removeprefix("10.48550/arxiv.") for doi in dois}
        found = [
            {"ids": {}, "doi": f"https://doi.org/{doi}", "cited_by_count": self.cited[name]}
            for doi, name in sorted(names.items(), reverse=True)
            if name in self.cited
        ]
        return as_json({"meta": {"count": len(found)}, "results": found})

    def repository(self, ask: Ask) -> Answer:
        """GitHub's repository."""
        assert ask.headers["accept"] == "application/json"
        name = ask.path.removeprefix("/repos/")
        if name not in self.stars:
            return Answer(status=404, body=b'{"message": "Not Found"}')
        return as_json({"full_name": name, "stargazers_count": self.stars[name]})


def as_json(document: object, **options: Any) -> Answer:
    """A document as an answer."""
    return Answer(body=json.dumps(document).encode(), headers={"Content-Type": "application/json"}, **options)


def numbered(number: int, *, title: str = "", **changes: Any) -> Entry:
    """A paper of arXiv, announced the day before NOW."""
    name = f"2606.{number:05d}"
    given = {"entry_id": f"oai:arXiv.org:{name}v1", "title": title or f"A paper with the number {number}"}
    given |= {"abstract": f"We count to {number}.", "arxiv_id": name, "url": f"https://arxiv.org/abs/{name}"}
    return an_entry(**given | {"announced_on": ANNOUNCED} | changes)


def settings_for(home: Path, server: Server, **changes: Any) -> Settings:
    """Settings that ask the house."""
    base = server.url("")
    given = {f"{name}_base_url": base for name in ("semantic_scholar", "openalex", "github")}
    return Settings(enrich=Enrich(**given | {"allow_private_addresses": True} | changes), topic=TOPICS, home=home)


def archived(settings: Settings, entries: Sequence[Entry], *, now: datetime = NOW - timedelta(days=1)) -> None:
    """Commit entries."""
    with Archive(settings.home) as archive:
        archive.append(entries, source="arxiv-rss:cs.CL", batch_id=f"{now}{len(entries)}", now=now, decide=decide)
        refresh_catalog(archive, settings, topics_of(settings), now=now)


def asking(settings: Settings, *, now: datetime = NOW, **options: Any) -> dict[str, CountReport]:
    """Enrich with a fetcher on a clock that only sleeping moves; the reports by provider."""
    clock = options.pop("clock", None) or Clock()
    options.setdefault("environ", {})
    with a_fetcher(clock=clock, limits=options.pop("limits", SMALL)) as fetcher:
        return {report.provider: report for report in enrich(settings, now=now, fetcher=fetcher, **options)}


def rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a question to papers.duckdb."""
    with Catalog(settings.home) as catalog:
        return [tuple(row.values()) for row in catalog.rows(sql)]


def votes(settings: Settings) -> list[tuple[str, str, int]]:
    """(paper, source, count) of every count, in the order they came."""
    found = rows(settings, "SELECT paper_id, source, coalesce(citations, stars) FROM votes ORDER BY seen_at, paper_id")
    return [(re.sub(r"^arxiv:2606\.0*", "", paper), source, count) for paper, source, count in found]


def gated(server: Server, route: Route, *, after: int) -> Route:
    """The answers of `route`; after so many of them no answer comes until the server stops."""

    def answer(ask: Ask) -> Answer:
        if len(server.asked) > after:
            server.stopping.wait(30)
        return route if isinstance(route, Answer) else route(ask)

    return answer


class Process:
    """A process that enriches, or that only spends; it says what came of it."""

    def __init__(self, settings: Settings, *, spends: int = 0) -> None:
        self._answers, theirs = _PROCESSES.Pipe(duplex=False)
        self._process = _PROCESSES.Process(target=_work, args=(settings, spends, theirs))
        self._process.start()
        theirs.close()

    def said(self) -> Any:
        """What it says at its end."""
        assert self._answers.poll(60), "the process says nothing"
        return self._answers.recv()

    def kill(self) -> None:
        """End it as kill -9 does."""
        self._process.kill()
        self._process.join(60)


def _work(settings: Settings, spends: int, answers: Any) -> None:
    def clock() -> datetime:
        return datetime.now(UTC)

    if spends:
        answers.send(sum(_may_spend(settings) for _ in range(spends)))
        return
    with (
        closing(Governor(settings.home, SMALL, clock=clock, sleep=time.sleep)) as governor,
        Fetcher(SMALL, user_agent="Paperwire/test", clock=clock, sleep=time.sleep, governor=governor) as fetcher,
    ):
        try:
            answers.send(enrich(settings, now=NOW, fetcher=fetcher, environ={}))
        except Exception as error:  # noqa: BLE001 - told to the parent, whatever it is
            answers.send(str(error))


def _may_spend(settings: Settings) -> bool:
    with Asked(settings.home) as asked:
        try:
            asked.spend("github", requests_per_day=settings.enrich.requests_per_day, now=NOW)
        except NotNow:
            return False
    return True
