"""A small scripted HTTP server on a free port of 127.0.0.1: routes in, what was asked out.

    with Server({"/feed": Answer(body=b"<rss/>", headers={"ETag": '"1"'})}) as server:
        ... server.url("/feed") ... server.asked[0].headers["user-agent"]

A route is an Answer, or a callable that gets the Ask and returns an Answer. A path is looked up with its query, then
without, then as "*"; nothing found is a 404. `Answer.stream` writes raw chunks for bodies that misbehave.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request as it arrived."""

    method: str
    path: str  # with its query
    headers: Mapping[str, str]  # names in lower case
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What to send. Content-Length is added unless it is given, or `stream` writes the body without one."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    stream: Callable[[], Iterable[bytes]] | None = None  # the connection closes after it


Route = Answer | Callable[[Ask], Answer]


class Server:
    """Serves `routes` from threads of its own until the with-block ends; `routes` may be changed meanwhile."""

    def __init__(
        self,
        routes: Mapping[str, Route] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        self.routes: dict[str, Route] = dict(routes or {})
        self.asked: list[Ask] = []
        self.stopping = threading.Event()  # set when the block ends: a slow stream waits on it instead of sleeping
        self._scheme = "https" if tls else "http"
        self._address, self._http = address, _Quiet((address, 0), _handler(self))
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        """The port the server listens on."""
        return int(self._http.server_address[1])

    def url(self, path: str = "/", *, host: str = "") -> str:
        """The address of `path`, under another name for the host where one is given."""
        return f"{self._scheme}://{host or self._address}:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        """The paths asked for so far, in order."""
        return [ask.path for ask in self.asked]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)

    def answer(self, ask: Ask) -> Answer:
        """Note what was asked and return the answer its route has."""
        self.asked.append(ask)
        bare = ask.path.partition("?")[0]
        route = next((self.routes[key] for key in (ask.path, bare, "*") if key in self.routes), None)
        if route is None:
            return Answer(status=404, body=b"nothing here")
        return route if isinstance(route, Answer) else route(ask)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients under test hang up in the middle of a body."""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", "0")))
            answer = server.answer(Ask(method=self.command, path=self.path, headers=headers, body=body))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.stream is not None:
                self._write_stream(answer.stream())
                return
            if "content-length" not in {name.lower() for name in answer.headers}:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if answer.status not in (204, 304):
                self.wfile.write(answer.body)

        do_POST = do_PUT = do_GET  # noqa: N815

        def _write_stream(self, chunks: Iterable[bytes]) -> None:
            self.close_connection = True
            self.end_headers()
            for chunk in chunks:
                self.wfile.write(chunk)
                self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler
