"""A wire that answers: an archive of a few papers, its site, and the app that serves both on a real port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from flows.pipeline import publish
from publishers.web import web_app
from storage.model import Paper
from storage.settings import Settings, Site, Topic
from tests.builders import NOW, a_paper
from tests.finding_archive import commit
from tests.site_server import serving
from tests.test_web_serves_the_site import Client

BASE_URL = "https://wire.example.org/wire/"
TOPICS = (
    Topic(slug="video", title="Video & <film>", query="video"),
    Topic(slug="short", title="Short titles", query="title:short"),
)


def numbered(number: int, **changes: Any) -> Paper:
    """A paper with an id of its own."""
    name = f"2606.{number:05d}"
    paper = a_paper(
        paper_id=f"arxiv:{name}",
        aliases=(f"arxiv:{name}",),
        title=f"A short paper number {number}",
        url=f"https://arxiv.org/abs/{name}",
        pdf_url=f"https://arxiv.org/pdf/{name}v1",
        announced_on=None,
    )
    return replace(paper, **changes)


def some_papers() -> list[tuple[datetime, list[Paper]]]:
    """Three days of papers, the newest last, and one that came with a load."""
    first, second = NOW - timedelta(days=40), NOW - timedelta(days=1)
    return [
        (first, [numbered(1, title="Diffusion models for video", authors=("Ada Example", "Cy Other"))]),
        (
            second,
            [
                numbered(2, title="Video transformers & <b>tags</b>", authors=("ada example", "Béla Minta")),
                numbered(3, title="Loaded long ago", announced_at=None, published_at=NOW - timedelta(days=900)),
            ],
        ),
        (
            NOW,
            [
                numbered(4, title="Diffusion policies", authors=("Ada B. Example", "Bela Minta"), code_url="https://c.test/x"),
                numbered(5, title="On $x<y$", authors=("Ada Example-Smith", "李伟"), upvotes=30),
            ],
        ),
    ]  # fmt: skip


def settings_of(home: Path, **site: Any) -> Settings:
    """The settings of the wire in `home`."""
    return Settings(home=home, site=Site(title="A wire", base_url=BASE_URL, **site), topic=TOPICS)


def archive(home: Path, days: Sequence[tuple[datetime, Sequence[Paper]]], **site: Any) -> Settings:
    """Commit days of papers and publish them."""
    for number, (at, papers) in enumerate(days):
        seen = [replace(paper, first_seen_at=at) for paper in papers]
        commit(home, seen, name=f"day {number} of {at:%Y-%m-%d}", now=at)
    settings = settings_of(home, **site)
    publish(settings, now=days[-1][0])
    return settings


@dataclass(frozen=True)
class Wire:
    """A served wire."""

    settings: Settings
    client: Client
    address: str


@contextmanager
def served(settings: Settings) -> Iterator[Wire]:
    """Serve the wire."""
    with serving(web_app(settings.home / "site", settings=settings)) as port:
        yield Wire(settings, Client(port), f"http://127.0.0.1:{port}/")
