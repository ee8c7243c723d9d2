"""Feeds parsed out of harm's way: a warm child process with limits on memory, CPU and time does it (parse_child.py).

Whatever a body does to the parser costs that body: the child is killed where it breaks a limit, and the next body
gets a fresh one. RSS 0.9x/1.0/2.0, Atom and JSON Feed all come back as one type.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

import orjson

from storage.errors import ParseError
from storage.settings import Limits

_LENGTH_BYTES = 4
_SCRIPT = Path(__file__).with_name("parse_child.py")


class ParsedLink(NamedTuple):
    """A link as the feed writes it; `href` may be relative."""

    href: str
    rel: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedEntry:
    """One entry, its texts as written (outer whitespace gone), its times in UTC."""

    entry_id: str | None
    title: str
    title_type: str  # text/plain, text/html, application/xhtml+xml
    summary: str
    summary_type: str
    content: str  # the first content element
    content_type: str
    link: str | None
    links: tuple[ParsedLink, ...]
    authors: tuple[str, ...]  # one per author element, not split
    tags: tuple[str, ...]
    published: datetime | None
    updated: datetime | None
    extra: tuple[tuple[str, str], ...]  # elements of other namespaces: parse_child.EXTRA

    def said(self, name: str) -> str | None:
        """Return the text of an element of another namespace, such as `prism_doi`."""
        return next((value for key, value in self.extra if key == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFeed:
    """One feed. `problem` says in one line what is missing where only a part of it could be read."""

    title: str | None
    description: str | None
    version: str  # feedparser's name for it: rss20, atom10, …; json1, json1.1
    updated: datetime | None
    published: datetime | None
    bozo: str | None  # what is wrong with its XML, where it could be read all the same
    problem: str | None
    entries: tuple[ParsedEntry, ...]


class Parser:
    """Parses one body after the other; a context manager. May be shared between threads, which then take turns."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._stop()

    def parse(self, source: str, body: bytes, *, content_type: str | None) -> ParsedFeed:
        """Parse a body that `source` returned; `content_type` is the header as sent.

        Raises ParseError, in one line, for anything that is no feed or more than the limits allow.
        """
        ask = orjson.dumps({"content_type": content_type, "entries_max": self._limits.entries_max})
        with self._lock:
            reply = orjson.loads(self._exchange(source, ask, body))
            if reply.get("last"):
                self._stop()
        if "refused" in reply:
            raise ParseError(source, reply["refused"])
        return _feed(reply["feed"])

    def _exchange(self, source: str, ask: bytes, body: bytes) -> bytes:
        """Send one request and return its answer. Raises ParseError where the child does not live to give it."""
        child, slow = self._running(), False
        try:
            return self._talk(child, ask, body)
        except (OSError, EOFError) as error:
            if slow := isinstance(error, TimeoutError):
                child.kill()
            raise ParseError(source, self._why_dead(child, slow=slow)) from error
        finally:
            if slow or child.poll() is not None:
                self._stop()

    def _talk(self, child: subprocess.Popen[bytes], ask: bytes, body: bytes) -> bytes:
        if child.stdin is None or child.stdout is None:
            raise EOFError
        by = time.monotonic() + _wall_seconds(self._limits)
        head = b"".join((len(ask).to_bytes(_LENGTH_BYTES, "big"), ask, len(body).to_bytes(_LENGTH_BYTES, "big")))
        _send(child.stdin.fileno(), head, by)
        _send(child.stdin.fileno(), body, by)
        length = int.from_bytes(_receive(child.stdout.fileno(), _LENGTH_BYTES, by), "big")
        if length > self._limits.parse_memory_bytes:
            child.kill()
            raise EOFError
        return _receive(child.stdout.fileno(), length, by)

    def _running(self) -> subprocess.Popen[bytes]:
        """Return the child, started where there is none alive."""
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._stop()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 lives as long as the child
        limits = (str(self._limits.parse_memory_bytes), str(self._limits.parse_cpu_seconds))
        # By its path and with -P: neither the current folder nor this one may shadow what it imports.
        self._child = subprocess.Popen(  # noqa: S603 our own interpreter and script
            [sys.executable, "-P", "-W", "ignore", str(_SCRIPT), *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            start_new_session=True,  # an interrupt from the terminal is for the parent to handle
        )
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)  # our end: a child that stands still must not hold us up
        return self._child

    def _stop(self) -> None:
        child, self._child = self._child, None
        log, self._log = self._log, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
        if log is not None:
            log.close()

    def _why_dead(self, child: subprocess.Popen[bytes], *, slow: bool) -> str:
        code = child.wait()
        if slow:
            return f"parsing it takes more than {_wall_seconds(self._limits):g} s"
        if code == -signal.SIGXCPU:
            return f"parsing it takes more than {self._limits.parse_cpu_seconds} s of CPU"
        return f"the parser died on it (status {code}{self._last_words()})"

    def _last_words(self) -> str:
        if self._log is None:
            return ""
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f", {last[:200]}" if last else ""


def _wall_seconds(limits: Limits) -> float:
    """How long a parse may take by the clock: the CPU limit ends it first, unless the machine is very busy."""
    return 5.0 + 3.0 * limits.parse_cpu_seconds


def _send(pipe: int, data: bytes, by: float) -> None:
    """Write all of `data`. Raises TimeoutError when it is `by` on the monotonic clock, OSError where nobody reads."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(pipe, left) :]
        except BlockingIOError:
            _wait(pipe, select.POLLOUT, by)


def _receive(pipe: int, size: int, by: float) -> bytes:
    """Read `size` bytes. Raises TimeoutError as `_send` does, EOFError where the other side is gone before that."""
    data = bytearray()
    while len(data) < size:
        _wait(pipe, select.POLLIN, by)
        piece = os.read(pipe, size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def _wait(pipe: int, event: int, by: float) -> None:
    """Wait until a pipe can be used; a timer of its own for each body would be a thread for each."""
    poll = select.poll()
    poll.register(pipe, event)
    if not poll.poll(max(0.0, by - time.monotonic()) * 1_000):
        raise TimeoutError


def _feed(feed: dict[str, Any]) -> ParsedFeed:
    return ParsedFeed(
        title=feed["title"],
        description=feed["description"],
        version=feed["version"],
        updated=_when(feed["updated"]),
        published=_when(feed["published"]),
        bozo=feed["bozo"],
        problem=feed["problem"],
        entries=tuple(map(_entry, feed["entries"])),
    )


def _entry(entry: dict[str, Any]) -> ParsedEntry:
    return ParsedEntry(
        entry_id=entry["entry_id"],
        title=entry["title"],
        title_type=entry["title_type"],
        summary=entry["summary"],
        summary_type=entry["summary_type"],
        content=entry["content"],
        content_type=entry["content_type"],
        link=entry["link"],
        links=tuple(ParsedLink(*link) for link in entry["links"]),
        authors=tuple(entry["authors"]),
        tags=tuple(entry["tags"]),
        published=_when(entry["published"]),
        updated=_when(entry["updated"]),
        extra=tuple((name, value) for name, value in entry["extra"]),
    )


def _when(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None
