"""What only a server can answer: the search page, the feeds of any query, the page of an author.

    /search?q=…&days=30|90            the page; &part=results is what stands in it below the box
    /search.atom|.rss|.json|.opml?q=… the feed of a query, and its line for a feed reader's list
    /authors/<name>                   everybody who signs so

An answer depends on the archive and the query alone. `since:30d` counts from the newest paper that readers were told
of, as in `paperwire preview`: so a feed that nothing happened to keeps its bytes, and an answer may be remembered until
the next commit. Nothing a stranger sends becomes SQL or the name of a file: the finder refuses files to strangers.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from publishers import feeds, live_models, live_pages
from publishers.answers import Body, body, conditional
from publishers.channels import query_channel
from publishers.live_work import Busy, Desk
from publishers.opml import subscription
from publishers.page_frame import PageSite
from publishers.paths import AUTHOR_CHARACTERS_MAX, FEED_FORMATS
from publishers.site import feed_site
from storage.catalog import Catalog, catalog_path
from storage.errors import ArchiveError, PaperwireError, QueryError
from storage.finding import Finder
from storage.ledger import Ledger
from storage.model import TaggedPaper
from storage.query import Query, normal_text, parse_query
from storage.settings import Settings
from storage.topics import shipped_topics

CARDS_MAX = 30
AUTHOR_PAPERS_MAX = 1_000
_RETRY_AFTER_SECONDS = "10"
_HTML, _PLAIN = "text/html; charset=utf-8", "text/plain; charset=utf-8"
_WRITERS: dict[str, Callable[[feeds.Feed], bytes]] = {"atom": feeds.atom, "rss": feeds.rss, "json": feeds.json_feed}
_BUSY = "Too much is asked at the moment, or this question takes too long. Please try again in a little while."
_EMPTY = "Nothing is archived here yet. `paperwire run` reads the sources."
_BROKEN = "The archive cannot be read at the moment."
_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
# The search page runs one script of ours, which asks this server alone; nothing inline, nothing from elsewhere.
_SEARCH_POLICY = f"{_POLICY}form-action 'self'; script-src 'self'; connect-src 'self'"
_BOX_POLICY = f"{_POLICY}form-action 'self'"
_log = logging.getLogger("paperwire.live")
_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What one papers.duckdb settles for every answer."""

    now: datetime  # what since:30d counts from
    site: feeds.FeedSite


class Live:
    """Answers from the archive in `home`, for any number of threads, as it is at the moment of asking."""

    def __init__(self, home: Path, settings: Settings, *, desk: Desk | None = None) -> None:
        self._home, self._settings, self._finder = home, settings, Finder(home)
        self._desk = desk or Desk()
        site = settings.site
        self._bare_site = PageSite(
            title=site.title,
            base_url=site.base_url,
            description=site.description,
            topics=settings.topic or shipped_topics(),
            live=True,
        )
        self._guard = threading.Lock()
        self._known: tuple[_Stamp, _Snapshot] | None = None

    def routes(self) -> list[Route]:
        """Return what is answered here."""
        return [
            Route("/search", self._search, methods=["GET"]),
            *(Route(f"/search.{f}", partial(self._feed, f), methods=["GET"]) for f in (*FEED_FORMATS, "opml")),
            Route("/authors/{name}", self._author, methods=["GET"]),
        ]

    @property
    def _site(self) -> PageSite:
        """What pages say of the site, with the categories that have a page by now."""
        found = (self._home / "site" / "categories").glob("*.html")
        return replace(self._bare_site, categories=frozenset(path.stem for path in found))

    # The three kinds of address.

    async def _search(self, request: Request) -> Response:
        text, part = _asked_for(request), request.query_params.get("part") == "results"
        days = 90 if request.query_params.get("days") == "90" else 30
        page = partial(live_pages.search_page, self._site, text, days=days, part=part)
        headers = {"content-security-policy": _SEARCH_POLICY, "x-robots-tag": "noindex"}
        try:
            stamp = self._stamp() if text else None
            work = partial(self._search_body, stamp, text, days, page)
            known = await self._desk.ask(("search", stamp, text, days, part), work)
        except QueryError as error:
            content = page(fault=live_models.fault_of(error))
            return _passing(content, 400, headers)
        except PaperwireError as error:
            return _passing(page(notice=_said(error)), 503, headers)
        return conditional(request, known, **headers)

    async def _feed(self, extension: str, request: Request) -> Response:
        text = _asked_for(request)
        try:
            stamp = self._stamp()
            known = await self._desk.ask((extension, stamp, text), partial(self._feed_body, stamp, extension, text))
        except QueryError as error:
            return _passing(f"{error}\n".encode(), 400, {"content-type": _PLAIN})
        except PaperwireError as error:
            return _passing(f"{_said(error)}\n".encode(), 503, {"content-type": _PLAIN})
        return conditional(request, known)

    async def _author(self, request: Request) -> Response:
        name = str(request.path_params["name"])
        words = normal_text(name).strip() if len(name) <= 4 * AUTHOR_CHARACTERS_MAX else ""
        headers = {"content-security-policy": _BOX_POLICY}
        try:
            if not 0 < len(words) <= AUTHOR_CHARACTERS_MAX:
                raise _Unknown
            stamp = self._stamp()
            known = await self._desk.ask(("author", stamp, words), partial(self._author_body, stamp, words))
        except _Unknown:
            return _passing(live_pages.unknown_author_page(self._site, words), 404, headers)
        except PaperwireError as error:
            return _passing(live_pages.unknown_author_page(self._site, words, notice=_said(error)), 503, headers)
        return conditional(request, known)

    # Their answers, made beside the event loop.

    def _search_body(self, stamp: _Stamp | None, text: str, days: int, page: Callable[..., bytes]) -> Body:
        if stamp is None:
            return body(page(), _HTML)
        query, snapshot = self._finder.parsed(text), self._snapshot(stamp)
        preview = self._finder.preview(query, days=days, now=snapshot.now)
        found = self._finder.newest(query, now=snapshot.now, limit=CARDS_MAX + 1, backfilled=True)
        shown = live_models.results(self._site, query, found, preview, now=snapshot.now, cards_max=CARDS_MAX)
        return body(page(found=shown), _HTML)

    def _feed_body(self, stamp: _Stamp, extension: str, text: str) -> Body:
        query, snapshot, channel = self._finder.parsed(text), self._snapshot(stamp), query_channel(text)
        if extension == "opml":
            return body(subscription(snapshot.site, channel), "text/x-opml; charset=utf-8")
        feed = feeds.papers_feed(snapshot.site, channel, self._window(query, snapshot.now))
        return body(_WRITERS[extension](feed), FEED_FORMATS[extension], modified=feed.updated)

    def _window(self, query: Query, now: datetime) -> list[TaggedPaper]:
        """The papers of a feed; few are read where few belong there."""
        found = self._finder.newest(query, now=now, limit=feeds.ENTRIES_MIN)
        if len(found) < feeds.ENTRIES_MIN:
            return found
        first, last = found[0].paper.announced_at, found[-1].paper.announced_at
        if first and last and first - last > feeds.WINDOW:
            return found
        return self._finder.newest(query, now=now, limit=feeds.ENTRIES_MAX)

    def _author_body(self, stamp: _Stamp, words: str) -> Body:
        query, snapshot = parse_query(f'author:"{words}"'), self._snapshot(stamp)
        found = self._finder.newest(query, now=snapshot.now, limit=AUTHOR_PAPERS_MAX + 1, backfilled=True)
        if not found:
            raise _Unknown
        papers = found[:AUTHOR_PAPERS_MAX]
        known = live_models.author(words, query.text, papers, self._site, root="../")
        page = live_pages.author_page(self._site, known, papers, newest=len(found) > len(papers))
        return body(page, _HTML)

    # What the archive is at the moment.

    def _stamp(self) -> _Stamp:
        """Tell one papers.duckdb from the next, which is renamed over it. Raises ArchiveError where there is none."""
        try:
            known = catalog_path(self._home).stat()
        except OSError:
            raise _NothingYet(_EMPTY) from None
        return known.st_ino, known.st_mtime_ns, known.st_size

    def _snapshot(self, stamp: _Stamp) -> _Snapshot:
        with self._guard:
            if self._known is None or self._known[0] != stamp:
                self._known = stamp, self._read_snapshot(stamp)
            return self._known[1]

    def _read_snapshot(self, stamp: _Stamp) -> _Snapshot:
        with Catalog(self._home) as catalog:
            newest = catalog.new_in_topic(None, limit=1)
        told = newest[0].paper.announced_at if newest else None
        # No ledger before the first publish; whoever asks first must not be the one who makes it.
        made = (self._home / "ledger" / "ledger.sqlite").exists()
        with Ledger(self._home) if made else nullcontext() as ledger:
            site = feed_site(self._settings, ledger)
        return _Snapshot(now=told or datetime.fromtimestamp(stamp[1] / 1e9, tz=UTC), site=site)


class _Unknown(PaperwireError):
    """No paper bears this name."""


class _NothingYet(ArchiveError):
    """No commit was made yet."""


def _asked_for(request: Request) -> str:
    return request.query_params.get("q", "").strip()


def _passing(content: bytes, status: int, headers: dict[str, str]) -> Response:
    """Return an answer that is over with this request."""
    more = {"retry-after": _RETRY_AFTER_SECONDS} if status == 503 else {}
    return Response(content, status, {"content-type": _HTML, "cache-control": "no-store", **headers, **more})


def _said(error: PaperwireError) -> str:
    """Return what a stranger is told: nothing of where our files lie."""
    if isinstance(error, Busy):
        return _BUSY
    if isinstance(error, _NothingYet):
        return _EMPTY
    _log.error("a question could not be answered: %s", error)
    return _BROKEN
