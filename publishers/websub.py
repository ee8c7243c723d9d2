"""WebSub (https://www.w3.org/TR/websub/): feeds name their hub, and the hub is told which feeds changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode

from publishers.paths import FEED_FORMATS
from publishers.push_shapes import Request
from storage.errors import ArchiveError
from storage.pushes import FeedState, Pushes
from storage.settings import Site

_FEEDS_FOLDER = "feeds"


def link_header(site: Site, path: str) -> str | None:
    """Return the Link header of the feed at `path` (section 4), relative to the site; None where it has no hub."""
    if not site.hub or not is_feed(path):
        return None
    return f'<{_in_header(site.hub)}>; rel="hub", <{_in_header(site.base_url + path)}>; rel="self"'


def is_feed(path: str) -> bool:
    """Whether a file of the site, named by its path, is a feed that may change."""
    folder, _, name = path.partition("/")
    if "/archive/" in path or "/." in path:  # the past of a feed, and what is being written
        return False
    return folder == _FEEDS_FOLDER and name.rpartition(".")[2] in FEED_FORMATS


def look_at_feeds(pushes: Pushes, site: Site, folder: Path, *, now: datetime) -> None:
    """Note which feeds in the published `folder` are not what the hub was told of last.

    Goes by the files themselves, so that nothing is lost where a publish or a push was killed; a file is read only
    where its size or time changed. For a hub, or a base_url, that is new nothing waits: nobody subscribed there yet.
    Raises ArchiveError where a feed cannot be read.
    """
    known = pushes.feeds(site.hub)
    began = any(url.startswith(site.base_url) for url in known)
    states: dict[str, tuple[str, str]] = {}
    for path in sorted((folder / _FEEDS_FOLDER).rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not is_feed(name):
            continue
        try:
            held = path.stat()
            seen, before = f"{held.st_size}-{held.st_mtime_ns}", known.get(site.base_url + name)
            if before is None or before.seen != seen:
                states[site.base_url + name] = (seen, hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest())
        except FileNotFoundError:  # taken away just now
            continue
        except OSError as error:
            raise ArchiveError(f"cannot read {path}: {error.strerror}") from error
    if states:
        pushes.want(site.hub, states, known=not began, now=now)


def waiting(feeds: Mapping[str, FeedState], site: Site, folder: Path) -> tuple[FeedState, ...]:
    """Return the feeds in `folder` of which the hub is still to be told, those that waited longest first."""
    changed = [feed for feed in feeds.values() if feed.waits and feed.url.startswith(site.base_url)]
    found = [feed for feed in changed if (folder / feed.url.removeprefix(site.base_url)).exists()]
    return tuple(sorted(found, key=lambda feed: (feed.due_at.isoformat() if feed.due_at else "", feed.url)))


def ping(hub: str, urls: Iterable[str]) -> Request:
    """Return the request that tells `hub` that the feeds at `urls` changed.

    WebSub leaves this to hub and publisher; what hubs take is the ping of PubSubHubbub 0.3, `hub.url`, and some read
    `hub.topic` instead.
    """
    pairs = [("hub.mode", "publish"), *((name, url) for url in urls for name in ("hub.url", "hub.topic"))]
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return Request(method="POST", url=hub, headers=headers, body=urlencode(pairs).encode())


def _in_header(url: str) -> str:
    """Return `url` with nothing in it that would end a Link header's <…> or the header itself."""
    return "".join(c if "!" <= c <= "~" and c not in '<>"\\^`{|}' else _escaped(c) for c in url)


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
