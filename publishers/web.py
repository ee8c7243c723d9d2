"""The ASGI app that serves the published site as it lies on disk: GET and HEAD, 304 and gzip.

Any static server does as well; this one sends the right types and strong validators without configuration. A file may
be replaced under it at any time: bytes and validators always come from one open file. Where it knows the archive it
also answers what no file can: the search, the feeds of any query, the authors (publishers/live.py).
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from publishers.answers import CACHE_CONTROL, Body, accepts_gzip, conditional, not_modified
from publishers.live import Live
from publishers.paths import FEED_FORMATS
from publishers.websub import link_header
from storage.settings import Settings

__all__ = ["accepts_gzip", "locate", "not_modified", "web_app"]

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".opml": "text/x-opml; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".xml": "application/xml",
    ".xsl": "text/xsl; charset=utf-8",
    ".json": "application/json",
    ".bib": "application/x-bibtex; charset=utf-8",
    ".ris": "application/x-research-info-systems; charset=utf-8",
    ".gz": "application/gzip",
    ".atom": FEED_FORMATS["atom"],
    ".rss": FEED_FORMATS["rss"],
}
_FEEDS_FOLDER = "feeds"
_NOSNIFF = {"x-content-type-options": "nosniff"}
_SHOWN = ("text/html", "image/svg+xml")  # what a browser makes a document of
_SECURITY = {
    # Pages load one style sheet and one icon from here; everything else, scripts above all, is refused.
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


class _File(NamedTuple):
    """What one open file held and when it was written, in whole seconds."""

    content: bytes
    modified: datetime


def web_app(site_folder: Path, *, home: Path | None = None, settings: Settings | None = None) -> Starlette:
    """Return the app that serves `site_folder`, which may still be empty or absent.

    With `settings`, unless their `[site] live` is false, it also answers search, queries and authors from the archive
    in `home` (theirs, where none is given). `/health` answers 200 and JSON: `status` is `ok` once a front page is
    published, `empty` before.
    """

    def health(_: Request) -> Response:
        published = (site_folder / "index.html").is_file()
        return JSONResponse({"status": "ok" if published else "empty"}, headers={"cache-control": "no-store"})

    def page(request: Request) -> Response:
        answer = _answer(request, site_folder)
        link = link_header(settings.site, request.path_params["path"]) if settings else None
        if link and answer.status_code == 200:
            answer.headers["link"] = link
        return answer

    routes = [Route("/health", health, methods=["GET"])]
    if settings is not None and settings.site.live:
        routes += Live(home or settings.home, settings).routes()
    routes.append(Route("/{path:path}", page, methods=["GET"]))
    return Starlette(routes=routes, middleware=[Middleware(_SecurityHeaders)])


class _SecurityHeaders:
    """Puts protective headers on every answer with a body, errors included: a few on all, the policy on pages.

    A page may have a policy of its own. An answer without a body, a 304 above all, has none of them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                shown = headers.get("content-type", "").startswith(_SHOWN)
                for name, value in (_NOSNIFF | (_SECURITY if shown else {})).items():
                    if message["status"] != 304:
                        headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def _answer(request: Request, folder: Path) -> Response:
    path = request.path_params["path"]
    found = locate(folder, path)
    if found is None:
        return _not_found(folder)
    if found.name == "index.html" and path and not path.endswith(("/", "index.html")):
        # Relative, so that no path of ours can become another host's (//elsewhere).
        return Response(status_code=308, headers={"location": f"./{quote(path.rsplit('/', 1)[-1])}/"})
    file = _read(found)
    if file is None:
        return _not_found(folder)
    zipped = _read_zipped(found, file)
    known = Body(content=file.content, zipped=zipped, media_type=_type_of(found, folder), modified=file.modified)
    return conditional(request, known)


def locate(folder: Path, path: str) -> Path | None:
    """Return the regular file that `path` (decoded, no leading slash) names within `folder`; None where there is none.

    A folder stands for its index.html. Nothing outside, no hidden file and no odd name is ever returned.
    """
    parts = path.split("/")
    if any(p.startswith(".") for p in parts) or re.search(r"[\x00-\x1f\\:]", path):
        return None
    try:
        root = folder.resolve(strict=True)
        target = root.joinpath(*(p for p in parts if p)).resolve(strict=True)
        if target.is_dir():
            target = (target / "index.html").resolve(strict=True)
        elif path.endswith("/"):
            return None
        return target if target.is_relative_to(root) and target.is_file() else None
    except (OSError, RuntimeError):  # absent, no permission, name too long, a loop of links
        return None


def _read(path: Path) -> _File | None:
    try:
        with path.open("rb") as handle:
            content, known = handle.read(), os.fstat(handle.fileno())
    except OSError:
        return None
    if not stat.S_ISREG(known.st_mode):
        return None
    return _File(content, datetime.fromtimestamp(int(known.st_mtime), tz=UTC))


def _read_zipped(path: Path, file: _File) -> bytes | None:
    """Return the .gz beside `path` where it holds exactly the bytes of `file`.

    The two are replaced one after the other; for a moment the .gz may be of another edition. RFC 1952 ends it with the
    CRC-32 and the length of what is inside.
    """
    beside = _read(path.with_name(f"{path.name}.gz"))
    if beside is None:
        return None
    tail = zlib.crc32(file.content).to_bytes(4, "little") + (len(file.content) % 2**32).to_bytes(4, "little")
    return beside.content if beside.content.endswith(tail) else None


def _type_of(path: Path, folder: Path) -> str:
    if path.suffix == ".json" and _FEEDS_FOLDER in path.relative_to(folder.resolve()).parts[:1]:
        return FEED_FORMATS["json"]
    return _TYPES.get(path.suffix, "application/octet-stream")


def _not_found(folder: Path) -> Response:
    page = _read(folder / "404.html")
    if page is None:
        return PlainTextResponse("Nothing is published here yet. `paperwire run` publishes the site.\n", 404)
    return Response(page.content, 404, {"content-type": _TYPES[".html"], "cache-control": CACHE_CONTROL})
