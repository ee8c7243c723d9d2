"""A wire that pushes, for tests: webhooks, a catalogue in memory, real HTTP to a receiver that keeps what it takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from flows.connecting import Resolve, system_resolve
from flows.posting import Poster
from publishers.push import PushReport, WebhookReport, Wire, push_all
from storage.pushes import Pushes
from storage.settings import Settings, Site, Topic, Webhook
from tests.builders import NOW
from tests.fake_catalog import FakeCatalog, a_numbered_paper
from tests.servers import Answer, Ask, Server

WORDS = Topic(slug="words", title="Words", query="word")
GRAPHS = Topic(slug="graphs", title="Graphs", query="graph")
SITE = Site(title="Wire", base_url="https://wire.example.org")
TOKEN = "xoxb-7f3a9c1e5d2b"  # a secret; it must turn up nowhere  # noqa: S105
ENVIRON = {"HOOK_KEY": TOKEN, "HOOK_SECRET": "whsec_c2lnbmluZyBrZXkgb2YgdGhlIHRlc3RzIQ=="}


@dataclass
class Receiver:
    """Answers as scripted, then 200; keeps each request. A status of 0 hangs up without an answer."""

    script: list[Answer] = field(default_factory=list)
    asked: list[Ask] = field(default_factory=list)

    def __call__(self, ask: Ask) -> Answer:
        self.asked.append(ask)
        answer = self.script.pop(0) if self.script else Answer(body=b"ok")
        if not answer.status:
            raise ConnectionResetError
        return answer

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The bodies of all requests."""
        return [json.loads(ask.body) for ask in self.asked]

    @property
    def ids(self) -> list[str]:
        """The delivery id of each request; body and headers must agree."""
        found = []
        for ask, document in zip(self.asked, self.documents, strict=True):
            assert ask.headers["idempotency-key"] == f'"{document["delivery_id"]}"'
            assert ask.headers["x-paperwire-delivery"] == document["delivery_id"] == ask.headers["webhook-id"]
            found.append(document["delivery_id"])
        return found

    @property
    def told(self) -> list[list[str]]:
        """The paper ids of each request."""
        return [[paper["paper_id"] for paper in document["papers"]] for document in self.documents]


def a_webhook(server: Server, path: str = "/hook", **changes: object) -> Webhook:
    """A webhook of the json shape at the local server."""
    values: dict[str, object] = {
        "name": "lab",
        "shape": "json",
        "url": server.url(path),
        "allow_private_addresses": True,
    }
    return Webhook(**(values | changes))  # type: ignore[arg-type]


def the_settings(home: Path, *webhooks: Webhook, site: Site = SITE) -> Settings:
    return Settings(home=home, site=site, topic=(WORDS, GRAPHS), webhook=webhooks)


def push(
    settings: Settings,
    catalog: FakeCatalog,
    *,
    now: datetime = NOW,
    environ: Mapping[str, str] = ENVIRON,
    resolve: Resolve = system_resolve,
    total_seconds: float = 20,
) -> PushReport:
    """Push as the pipeline does, with this catalogue; all of it is published."""
    with (
        Poster(user_agent="Paperwire/test", now=now, resolve=resolve, total_seconds=total_seconds) as poster,
        Pushes(settings.home) as pushes,
        pushes.pushing(),
    ):
        wire = Wire(
            settings=settings,
            topics=settings.topic,
            published_seq=catalog.latest_seq(),
            post=poster,
            environ=environ,
            now=now,
        )
        return push_all(catalog, pushes, wire)  # type: ignore[arg-type]


def one(report: PushReport) -> WebhookReport:
    """The report of the only webhook."""
    (webhook,) = report.webhooks
    return webhook


def ids(*numbers: int) -> list[str]:
    return [f"arxiv:2606.{n:05d}" for n in numbers]


def announce(catalog: FakeCatalog, numbers: Sequence[int], *slugs: str, at: datetime = NOW) -> None:
    catalog.announce([a_numbered_paper(n) for n in numbers], *slugs, at=at)
