"""arXiv and Hugging Face as they answered in June 2026, served from the captured data by a local server."""

from __future__ import annotations

import gzip
import threading
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, unquote, urlsplit

from lxml import etree

_DC = "{http://purl.org/dc/elements/1.1/}"


class CapturedProviders:
    """Serves `/rss/<category>` of its `day` and `/api/daily_papers?date=` on a free port of loopback."""

    def __init__(self, rss: Path, hugging_face: Path | None) -> None:
        self.rss, self.hugging_face, self.day = rss, hugging_face, date(2026, 6, 1)
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.base_url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> CapturedProviders:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def feed(self, category: str, form: str = "rss") -> Path:
        """The captured feed of a category on the server's day."""
        plain = self.rss / f"{self.day}_{form}_{category}.xml"
        return plain if plain.exists() else plain.with_name(plain.name + ".gz")

    def answer(self, path: str) -> tuple[int, bytes]:
        """Status and body for a request."""
        parts = urlsplit(path)
        if parts.path.startswith(("/rss/", "/atom/")):
            _, form, category = unquote(parts.path).split("/", 2)
            file = self.feed(category, form)
            return (200, read(file)) if file.exists() else (404, b"no such feed")
        if parts.path == "/api/daily_papers" and self.hugging_face:
            file = self.hugging_face / f"{parse_qs(parts.query)['date'][0]}.json"
            return (200, file.read_bytes()) if file.exists() else (200, b"[]")
        return 404, b"not here"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        providers = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                providers.requests.append(self.path)
                status, body = providers.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", "application/json" if "/api/" in self.path else "text/xml")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        return Handler


def read(file: Path) -> bytes:
    """A file's bytes, unpacked where it is gzip."""
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def abstracts(feed: bytes) -> dict[str, str]:
    """arXiv id with version → abstract, as an XML parser that is not ours reads an RSS feed."""
    found = {}
    for item in etree.fromstring(feed).iter("item"):
        guid = str(item.findtext("guid")).removeprefix("oai:arXiv.org:")
        found[guid] = str(item.findtext("description")).split("\nAbstract: ", 1)[1]
    return found
