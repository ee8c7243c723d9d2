"""Worker processes that ask one server under several host names, and a book of when each question arrived there."""

from __future__ import annotations

import itertools
import multiprocessing
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from flows.fetching import Fetcher
from flows.governor import Governor
from storage.errors import FetchError
from tests.fetching_tools import SMALL, a_source, names
from tests.servers import Answer, Ask, Server

HOSTS = ("feed.test", "other.test", "rss.arxiv.org", "export.arxiv.org", "oaipmh.arxiv.org")
PATIENCE_SECONDS = 60
_RESOLVE = names({host: ["127.0.0.1"] for host in HOSTS})
# Started from a process without threads that has imported everything: a worker is there in milliseconds.
_WORKERS = multiprocessing.get_context("forkserver")
_WORKERS.set_forkserver_preload(["tests.polite_workers"])


@dataclass
class Book:
    """What arrived at a server that takes a moment for each answer, by host name."""

    arrived: list[tuple[str, float]] = field(default_factory=list)
    most_at_once: dict[str, int] = field(default_factory=dict)
    _now: dict[str, int] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def noting(self, ask: Ask) -> Iterator[str]:
        """Note a question when it comes, and that it is being answered while the block runs."""
        host = ask.headers["host"].partition(":")[0]
        with self._guard:
            self.arrived.append((host, time.monotonic()))
            self._now[host] = self._now.get(host, 0) + 1
            self.most_at_once[host] = max(self.most_at_once.get(host, 0), self._now[host])
        try:
            yield host
        finally:
            with self._guard:
                self._now[host] -= 1

    def times(self, host: str = "feed.test") -> list[float]:
        """When questions to `host` arrived."""
        with self._guard:
            return [at for name, at in self.arrived if name == host]

    def gaps(self, host: str = "feed.test") -> list[float]:
        """Seconds between one question to `host` and the next."""
        times = self.times(host)
        return [b - a for a, b in itertools.pairwise(times)]


class Worker:
    """A process of its own, with a fetcher of its own on a shared home."""

    def __init__(self, home: Path, urls: Sequence[str], *, delay_seconds: float) -> None:
        self._answers, theirs = _WORKERS.Pipe(duplex=False)
        self._process: BaseProcess = _WORKERS.Process(target=_work, args=(home, urls, delay_seconds, theirs))
        self._process.start()
        theirs.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        self._answers.close()

    def said(self) -> int | str:
        """What came of its next question: the status of an answer, or why there is none."""
        assert self._answers.poll(PATIENCE_SECONDS), "a worker says nothing"
        said: int | str = self._answers.recv()
        return said

    def kill(self) -> None:
        """End it in the middle of whatever it does, as kill -9 does."""
        self._process.kill()
        self._process.join(PATIENCE_SECONDS)


def a_governor(home: Path | None, *, clock: Any, limits: Any = SMALL, chance: float = 0.0) -> Governor:
    """A governor on a clock that only sleeping moves."""
    return Governor(home, limits, clock=clock, sleep=clock.sleep, random=lambda: chance)


def a_route(book: Book, server: Server, *, seconds: float = 0.05) -> Any:
    """Answers after a moment."""

    def answer(ask: Ask) -> Answer:
        with book.noting(ask):
            server.stopping.wait(seconds)
        return Answer(body=b"feed")

    return answer


def _work(home: Path, urls: Sequence[str], delay_seconds: float, answers: Connection) -> None:
    def clock() -> datetime:
        return datetime.now(UTC)

    governor = Governor(home, SMALL, clock=clock, sleep=time.sleep, random=random.random)
    with Fetcher(
        SMALL, user_agent="Paperwire/test", clock=clock, sleep=time.sleep, governor=governor, resolve=_RESOLVE
    ) as fetcher:
        for url in urls:
            try:
                answers.send(fetcher.get(a_source(), url, delay_seconds=delay_seconds).status)
            except FetchError as error:
                answers.send(error.reason)
