"""arXiv under three names, two processes and a storm of refusals: one question at a time, three seconds apart."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.governor import ARXIV_DELAY_SECONDS
from tests.polite_workers import Book, Worker
from tests.servers import Answer, Ask, Server

HOSTS = ("rss.arxiv.org", "export.arxiv.org", "oaipmh.arxiv.org")
REST_SECONDS = 4
# A thread of the server notes a question, and a busy machine may wake it late: the next one then seems to come early.
# The exact distance is told by a clock of our own (test_all_of_arxiv_is_one_host_asked_every_three_seconds).
LATE_SECONDS = 1.0


@dataclass
class Storm:
    """A server that plays all of arXiv, refusing the first `refused` questions; what arrived is in its book."""

    book: Book
    refused: int
    headers: dict[str, str]

    def __post_init__(self) -> None:
        self._asked = itertools.count()
        self._guard = threading.Lock()
        self._now = self.most_at_once = 0

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Count the questions that are open at once, under whatever name they came."""
        with self._guard:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            yield
        finally:
            with self._guard:
                self._now -= 1

    def __call__(self, ask: Ask) -> Answer:
        with self.book.noting(ask), self._answering():
            threading.Event().wait(0.05)
            is_refused = next(self._asked) < self.refused
        return Answer(status=429, headers=self.headers) if is_refused else Answer(body=b"feed")

    @property
    def gaps(self) -> list[float]:
        """Seconds between one question and the next, whatever names they came under."""
        return [after - before for before, after in itertools.pairwise(sorted(at for _, at in self.book.arrived))]


def asked_by_two(home: Path, storm: Storm, count: int) -> list[int | str]:
    """What two processes were told that each ask `count` questions of all three hosts in turn."""
    with Server({"*": storm}) as server:
        urls = [server.url(f"/{n}", host=host) for n, host in zip(range(count), itertools.cycle(HOSTS), strict=False)]
        with Worker(home, urls, delay_seconds=0) as one, Worker(home, urls[::-1], delay_seconds=0) as other:
            return [worker.said() for worker in (one, other) for _ in urls]


def print_row(name: str, storm: Storm) -> None:
    least = f"{min(storm.gaps):10.2f}" if storm.gaps else f"{'-':>10}"
    hosts = len({host for host, _ in storm.book.arrived})
    print(f"\n{'storm':22}{'questions':>10}{'names':>6}{'least s':>10}{'at once':>8}")
    print(f"{name:22}{len(storm.book.arrived):10}{hosts:6}{least}{storm.most_at_once:8}")


@pytest.mark.slow
def test_refusals_that_name_a_rest_are_waited_out_by_both(tmp_path: Path) -> None:
    storm = Storm(Book(), refused=2, headers={"Retry-After": str(REST_SECONDS)})
    said = asked_by_two(tmp_path, storm, 3)
    print_row(f"Retry-After: {REST_SECONDS}", storm)
    assert set(said) <= {200, 429}
    assert said.count(200) >= 5
    assert {host for host, _ in storm.book.arrived} == set(HOSTS)
    assert storm.most_at_once == 1
    assert min(storm.gaps) >= ARXIV_DELAY_SECONDS - LATE_SECONDS
    # A refusal is heard after it was noted, so its rest is no shorter from here.
    assert min(storm.gaps[:2]) >= REST_SECONDS


def test_a_refusal_that_names_none_ends_the_questions_of_both(tmp_path: Path) -> None:
    storm = Storm(Book(), refused=100, headers={})
    said = asked_by_two(tmp_path, storm, 3)
    print_row("no Retry-After", storm)
    assert len(storm.book.arrived) == 1
    assert said.count(429) == 1
    others = [str(why) for why in said if why != 429]
    assert len(others) == 5
    assert all(why.startswith("arxiv.org asked for rest: try again in") for why in others)
