"""What every driven reader can do: poll, say what it holds and what is unread in its own store, and have it read."""

from __future__ import annotations

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

Held = dict[str, list[str]]  # feed → ids, as often as they are there
COMMAND_SECONDS_MAX = 120


@dataclass(frozen=True)
class Shown:
    """What a reader keeps to show of an entry."""

    title: str
    authors: str


class Driver(ABC):
    """One reader with a home of its own. `urls` are its subscriptions: a name of ours → the feed's address."""

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()  # programs, each with the Debian package it is of: `r2e:rss2email`
    one_copy: ClassVar[bool] = False  # whether an id is held once, in whichever feed had it first

    def __init__(self, home: Path, urls: Mapping[str, str]) -> None:
        self.home, self.urls = home, dict(urls)
        home.mkdir(parents=True, exist_ok=True)

    def close(self) -> None:  # noqa: B027 most leave nothing running
        """End what was started."""

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """The version that is installed."""

    @abstractmethod
    def poll(self) -> None:
        """Read all subscriptions once, as the user's schedule would."""

    @abstractmethod
    def held(self) -> Held:
        """Every entry in the reader's own store."""

    @abstractmethod
    def unread(self) -> Held:
        """Those that it would show as unread."""

    @abstractmethod
    def mark_read(self) -> None:
        """Have the user read everything."""

    @abstractmethod
    def shown(self, feed: str) -> dict[str, Shown]:
        """What it keeps of a feed's entries, by id; {} where it keeps nothing that can be compared."""

    def environment(self) -> dict[str, str]:
        """An environment in which nothing of the user's own is found."""
        return {"HOME": str(self.home), "LANG": "C.UTF-8", "PATH": os.environ["PATH"]}

    def run(self, command: Sequence[str]) -> str:
        """Run a command in that environment; returns what it printed. Fails with its words where it fails."""
        done = subprocess.run(
            command, env=self.environment(), timeout=COMMAND_SECONDS_MAX, capture_output=True, text=True, cwd=self.home
        )
        assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def feed_at(self, url: str) -> str:
        """Our name of the subscription at `url`."""
        return next(name for name, address in self.urls.items() if address == url)


def output(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX).stdout


def debian_version(package: str) -> str:
    """The version of an installed Debian package, without epoch and packaging; '' where dpkg does not know it."""
    try:
        full = output("dpkg-query", "-W", "-f", "${Version}", package)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return full.split(":")[-1].rsplit("-", 1)[0]
