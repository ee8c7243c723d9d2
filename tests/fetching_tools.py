"""What tests of fetching share: a clock that only sleeping moves, sources, a fetcher that resolves as it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.fetching import Fetched, Fetcher
from flows.governor import Governor
from storage.settings import Limits, Source

SMALL = Limits(wire_bytes_max=200_000, body_bytes_max=400_000)


class Clock:
    """The time of day, which only `sleep` moves; remembers how long it was asked to sleep."""

    def __init__(self) -> None:
        self.now = datetime(2026, 6, 2, 6, 0, tzinfo=UTC)
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)


def names(table: Mapping[str, Sequence[str]]) -> Callable[[str, int], Sequence[str]]:
    """A resolver that knows the hosts of `table`, and addresses."""

    def resolve(host: str, port: int) -> Sequence[str]:
        return table.get(host, (host,))

    return resolve


def a_fetcher(*, limits: Limits = SMALL, clock: Clock | None = None, **options: Any) -> Fetcher:
    """A fetcher on a clock of its own."""
    clock = clock or Clock()
    options.setdefault("governor", Governor(None, limits, clock=clock, sleep=clock.sleep, random=lambda: 0.0))
    return Fetcher(limits, user_agent="Paperwire/test", clock=clock, sleep=clock.sleep, **options)


def a_source(*, private: bool = True, **changes: Any) -> Source:
    """A feed source; on this machine unless said otherwise."""
    values: dict[str, Any] = {
        "name": "journal",
        "kind": "feed",
        "url": "http://feed.test/",
        "allow_private_addresses": private,
    }
    return Source(**(values | changes))


def fetched(body: bytes, *, status: int = 200, url: str = "https://feed.test/rss", **changes: Any) -> Fetched:
    """An answer as the fetcher hands it to an adapter."""
    values: dict[str, Any] = {
        "url": url,
        "status": status,
        "body": body,
        "content_type": None,
        "etag": None,
        "last_modified": None,
        "wire_bytes": len(body),
        "body_sha256": "",
        "fetched_at": datetime(2026, 6, 2, 6, 0, tzinfo=UTC),
        "not_modified": False,
        "elapsed_seconds": 0.0,
    }
    return Fetched(**(values | changes))


def pieces(body: bytes, size: int) -> Iterable[bytes]:
    """`body` in pieces of `size` bytes."""
    return (body[start : start + size] for start in range(0, len(body), size))
