"""One polite, bounded HTTP exchange: what a source sent, or a FetchError that says in one line why there is nothing.

Polite: every request takes a turn at its host (governor.py), conditional requests, an honest User-Agent.
Bounded: time, redirects, bytes on the wire and bytes unpacked; gzip only; addresses checked at connect (connecting.py).
"""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import httpcore
import httpx

from flows.connecting import CheckedBackend, Deadline, RefusedAddress, Resolve, is_any, is_public, system_resolve
from flows.governor import REST_WAITED_SECONDS_MAX, Governor, NotNow, Turn
from flows.rate_headers import retry_after_seconds
from storage.errors import FetchError
from storage.settings import Limits, Source

RETRY_DELAYS_SECONDS = (1.0, 4.0)  # before the second and the third attempt
RETRIED_STATUSES = frozenset([500, 502, 503, 504])
_RESTING_STATUSES = frozenset([429, 503])  # asked again where the rest they ask for is short
ERRNO = re.compile(r"^\[Errno -?\d+\] ")
_PIECE_BYTES = 65_536
_VALIDATOR_CHARACTERS_MAX = 1_000
_ACCEPT = "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One answer. A status that is no success is for the adapter to judge: some sources explain themselves in a 400."""

    url: str  # where the body came from, after redirects, without a password
    status: int
    body: bytes  # unpacked, at most limits.body_bytes_max; empty where not_modified
    content_type: str | None  # the header as sent, charset and all
    etag: str | None
    last_modified: str | None
    wire_bytes: int  # of the body as sent
    body_sha256: str  # hex, of `body`
    fetched_at: datetime
    not_modified: bool
    elapsed_seconds: float
    retry_after_seconds: float | None = None  # how long the source asks not to be asked again


class Fetcher:
    """Fetches for many sources over one pool of connections; a context manager. May be shared between threads.

    `governor` says when a host may be asked; without one the fetcher has its own, which nobody else knows of.
    `clock` and `sleep` serve politeness; time-outs run on the monotonic clock, and not while a turn is waited for.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        user_agent: str,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        governor: Governor | None = None,
        resolve: Resolve = system_resolve,
        public: Callable[[str], bool] = is_public,
    ) -> None:
        self._limits, self._clock, self._sleep = limits, clock, sleep
        self._resolve, self._public = resolve, public
        self._is_alone = governor is None
        self._governor = governor or Governor(None, limits, clock=clock, sleep=sleep)
        # A connection that idles in this process would be a second one at the host while another process asks it.
        self._headers = {"User-Agent": user_agent, "Accept": _ACCEPT, "Accept-Encoding": "gzip", "Connection": "close"}
        self._deadline = Deadline()
        self._lock = threading.Lock()
        self._clients: dict[bool, httpx.Client] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()
        if self._is_alone:
            self._governor.close()

    def get(
        self,
        source: Source,
        url: str,
        *,
        etag: str | None = None,
        last_modified: str | None = None,
        delay_seconds: float = 0,
        private: Mapping[str, str] | None = None,
        permit: Callable[[], None] | None = None,
    ) -> Fetched:
        """Fetch `url` for `source`, `delay_seconds` after the last request to its host; redirects wait likewise.

        `private` headers go to the origin of `url` only, not where it redirects to. `permit` is called before each
        request, further attempts and redirects included, and may raise NotNow.
        Raises FetchError for whatever brings no complete answer: a refused address, a failed connection, a time-out,
        too many redirects or bytes, an encoding nobody asked for, a body that breaks off, a host that asked for rest
        or was asked enough today.
        """
        headers = dict(self._headers)
        headers |= {"If-None-Match": etag} if etag else {}
        headers |= {"If-Modified-Since": last_modified} if last_modified else {}
        call = _Call(
            source=source, headers=headers, delay_seconds=delay_seconds, private=private or {}, permit=permit or _always
        )
        return self._ask(call, url)

    def post(
        self,
        source: Source,
        url: str,
        body: bytes,
        *,
        delay_seconds: float = 0,
        private: Mapping[str, str] | None = None,
        permit: Callable[[], None] | None = None,
    ) -> Fetched:
        """Ask with a JSON `body` as `get` asks without one. Only for questions: it is tried again as a GET is.

        Raises FetchError as `get` does, and where the answer is a redirect.
        """
        headers = self._headers | {"Content-Type": "application/json"}
        call = _Call(
            source=source,
            headers=headers,
            delay_seconds=delay_seconds,
            private=private or {},
            permit=permit or _always,
            body=body,
        )
        return self._ask(call, url)

    def _ask(self, call: _Call, url: str) -> Fetched:
        try:
            return self._persist(call, url)
        except _Failed as failed:
            raise FetchError(
                call.source.name, failed.reason, retry_after_seconds=failed.retry_after_seconds
            ) from failed.__cause__

    def _persist(self, call: _Call, url: str) -> Fetched:
        """Try again where that may help: a connection that failed, a 5xx, a short rest; never a time-out."""
        self._deadline.start(self._limits.total_seconds)
        for pause_seconds in RETRY_DELAYS_SECONDS:
            try:
                fetched = self._follow(call, url)
                if not _is_worth_another(fetched) or self._too_late(pause_seconds):
                    return fetched
            except _Failed as failed:
                if not failed.passing or self._too_late(pause_seconds):
                    raise
            self._sleep(pause_seconds)
        return self._follow(call, url)

    def _too_late(self, delay_seconds: float) -> bool:
        """Whether another attempt would only replace what is known by "it took too long"."""
        return self._deadline.left(None) <= delay_seconds

    def _follow(self, call: _Call, url: str) -> Fetched:
        """Make one request and those it redirects to; cookies live as long, for sites that redirect to set one."""
        elapsed_seconds, cookies, first = 0.0, httpx.Cookies(), url
        for _ in range(self._limits.redirects_max + 1):
            with self._turn(url, call.delay_seconds) as turn:
                call.permit()
                started = time.monotonic()
                answer = self._exchange(call, url, cookies, turn, at_home=_origin(url) == _origin(first))
                elapsed_seconds += time.monotonic() - started
            if answer.location is None:
                return self._fetched(url, answer, elapsed_seconds)
            if call.body is not None:
                raise _Failed(f"it sends a question elsewhere, to {_shown(urljoin(url, answer.location))}")
            url = urljoin(url, answer.location)
        raise _Failed(f"more than {self._limits.redirects_max} redirects, the last to {_shown(url)}")

    @contextmanager
    def _turn(self, url: str, delay_seconds: float) -> Iterator[Turn]:
        """Hold a turn at the host of `url`; the time it was waited for does not count for the deadline."""
        waiting_since = time.monotonic()
        try:
            with self._governor.turn(_host_of(url), delay_seconds=delay_seconds) as turn:
                self._deadline.at += time.monotonic() - waiting_since
                yield turn
        except NotNow as error:
            raise _Failed(error.reason, retry_after_seconds=error.retry_after_seconds) from error

    def _exchange(self, call: _Call, url: str, cookies: httpx.Cookies, turn: Turn, *, at_home: bool) -> _Answer:
        timeout = httpx.Timeout(self._limits.read_seconds, connect=self._limits.connect_seconds)

        def trace(event: str, _: object) -> None:
            if event == "http11.send_request_headers.complete":
                turn.sent()

        try:
            extensions = {"timeout": timeout.as_dict(), "trace": trace}
            headers = call.headers | dict(call.private) if at_home else call.headers
            method = "GET" if call.body is None else "POST"
            request = httpx.Request(method, url, headers=headers, content=call.body, extensions=extensions)
            cookies.set_cookie_header(request)
            response = self._client(call.source.allow_private_addresses).send(request, stream=True)
            turn.heard(response.status_code, response.headers)
            try:
                cookies.extract_cookies(response)
                return self._answer(response)
            finally:
                response.close()
        except RefusedAddress as error:
            hint = "allow_private_addresses = true lets this source have it"
            raise _Failed(f"{error}; {hint}") from error
        except httpx.TimeoutException as error:
            turn.timed_out()
            raise _Failed(self._slow(error, url)) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, UnicodeError) as error:
            passing = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError)
            raise _Failed(_say(error, url), passing=passing) from error

    def _answer(self, response: httpx.Response) -> _Answer:
        if response.has_redirect_location:
            return _Answer(response=response, location=response.headers["location"])
        if response.status_code == 304:
            if not {"if-none-match", "if-modified-since"} & response.request.headers.keys():
                raise _Failed("it says nothing changed (HTTP 304) though it was not asked that")
            return _Answer(response=response)
        declared = response.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._limits.wire_bytes_max:
            raise _Failed(f"a body of {int(declared):,} bytes, more than {self._limits.wire_bytes_max:,}")
        encoding = response.headers.get("content-encoding", "")
        wire_bytes, body = read_body(response.iter_raw(_PIECE_BYTES), encoding, self._limits)
        return _Answer(response=response, body=body, wire_bytes=wire_bytes)

    def _fetched(self, url: str, answer: _Answer, elapsed_seconds: float) -> Fetched:
        response, now = answer.response, self._clock()
        return Fetched(
            url=str(httpx.URL(url).copy_with(userinfo=b"")) if "@" in url else url,
            status=response.status_code,
            body=answer.body,
            content_type=response.headers.get("content-type"),
            etag=_validator(response, "etag"),
            last_modified=_validator(response, "last-modified"),
            wire_bytes=answer.wire_bytes,
            body_sha256=hashlib.sha256(answer.body).hexdigest(),
            fetched_at=now,
            not_modified=response.status_code == 304,
            elapsed_seconds=elapsed_seconds,
            retry_after_seconds=retry_after_seconds(response.headers.get("retry-after"), now),
        )

    def _client(self, allow_private: bool) -> httpx.Client:
        """One pool for guarded sources and one for trusted ones: a connection of the latter never serves the former."""
        with self._lock:
            if allow_private not in self._clients:
                allowed = is_any if allow_private else self._public
                self._clients[allow_private] = checked_client(
                    allowed=allowed, resolve=self._resolve, deadline=self._deadline
                )
            return self._clients[allow_private]

    def _slow(self, error: httpx.TimeoutException, url: str) -> str:
        if self._deadline.passed:
            return f"{_host_of(url)} did not finish within {self._limits.total_seconds:g} s"
        if isinstance(error, httpx.ConnectTimeout):
            return f"no connection to {_host_of(url)} within {self._limits.connect_seconds:g} s"
        return f"nothing came from {_host_of(url)} for {self._limits.read_seconds:g} s"


def checked_client(*, allowed: Callable[[str], bool], resolve: Resolve, deadline: Deadline) -> httpx.Client:
    """Return a client that connects to no address but `allowed` ones, keeps no cookies and follows no redirect."""
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    transport = checked_transport(allowed=allowed, resolve=resolve, deadline=deadline)
    return httpx.Client(transport=transport, trust_env=False, cookies=no_cookies, follow_redirects=False)


def checked_transport(*, allowed: Callable[[str], bool], resolve: Resolve, deadline: Deadline) -> httpx.HTTPTransport:
    """Return a transport that connects to no address but `allowed` ones."""
    return _Transport(CheckedBackend(allowed=allowed, resolve=resolve, deadline=deadline))


def read_body(chunks: Iterable[bytes], encoding: str, limits: Limits) -> tuple[int, bytes]:
    """Return (bytes on the wire, unpacked body), holding at most limits.body_bytes_max plus one piece at any time.

    httpx would inflate what the server chose, a gigabyte in one go, so the raw chunks are unpacked here, gzip only.
    """
    if encoding.strip().lower() not in ("", "identity", "gzip", "x-gzip"):
        raise _Failed(f"the body comes as {encoding[:40]!r}, though only gzip was asked for")
    unpack = _Gzip(limits) if "gzip" in encoding.lower() else _Plain(limits)
    wire_bytes = 0
    for chunk in chunks:
        wire_bytes += len(chunk)
        if wire_bytes > limits.wire_bytes_max:
            raise _Failed(f"more than {limits.wire_bytes_max:,} bytes")
        unpack.feed(chunk)
    return wire_bytes, unpack.finish()


def _always() -> None:
    """Permit every request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """What to ask, wherever it leads."""

    source: Source
    headers: dict[str, str]
    delay_seconds: float
    private: Mapping[str, str]  # headers for the origin that is asked first, and no other
    permit: Callable[[], None]
    body: bytes | None = None  # of a POST


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    response: httpx.Response
    body: bytes = b""
    wire_bytes: int = 0
    location: str | None = None


class _Failed(Exception):
    """Why an exchange failed, before it is known for which source. `passing`: another attempt may succeed."""

    def __init__(self, reason: str, *, passing: bool = False, retry_after_seconds: float | None = None) -> None:
        self.reason, self.passing, self.retry_after_seconds = reason, passing, retry_after_seconds
        super().__init__(reason)


class _Plain:
    """A body that is not packed."""

    def __init__(self, limits: Limits) -> None:
        self._bytes_max, self._body = limits.body_bytes_max, bytearray()

    def feed(self, chunk: bytes) -> None:
        self._body += chunk
        if len(self._body) > self._bytes_max:
            raise _Failed(f"more than {self._bytes_max:,} bytes once unpacked")

    def finish(self) -> bytes:
        return bytes(self._body)


class _Gzip(_Plain):
    """A gzip body, several members allowed (RFC 1952, 2.2), unpacked piece by piece."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._started = False  # an empty body is one, whatever its encoding is said to be

    def feed(self, chunk: bytes) -> None:
        self._started = self._started or bool(chunk)
        while chunk:
            if self._member.eof:
                if chunk[0] != 0x1F:  # no further member: padding, which gzip itself ignores
                    return
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            self._unpack(chunk)
            chunk = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def finish(self) -> bytes:
        if self._started and not self._member.eof:
            raise _Failed("the gzip body breaks off", passing=True)
        return bytes(self._body)

    def _unpack(self, chunk: bytes) -> None:
        try:
            piece = self._member.decompress(chunk, _PIECE_BYTES)
        except zlib.error as error:
            raise _Failed(f"the gzip body is damaged ({error})", passing=True) from error
        super().feed(piece)


class _Transport(httpx.HTTPTransport):
    """httpx over our own network backend, which its constructor does not let us name."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        context: ssl.SSLContext = httpx.create_ssl_context()  # honours SSL_CERT_FILE, for networks with their own CA
        super().__init__(verify=context)
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, network_backend=backend, max_connections=20, keepalive_expiry=15, retries=0
        )


def _host_of(url: str) -> str:
    """Return the host of an http(s) URL as politeness keys it. Raises _Failed for any other URL."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError, TypeError) as error:
        raise _Failed(f"{url[:200]!r} is no URL ({error})") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise _Failed(f"{_shown(url)} is not http or https")
    return parsed.host


def _origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port: what a private header is meant for."""
    parsed = httpx.URL(url)
    return parsed.scheme, parsed.host, parsed.port


def _shown(url: str) -> str:
    """Return `url` as it may be printed: without a password and without its query."""
    try:
        parsed = httpx.URL(url).copy_with(query=None, fragment=None, userinfo=b"")
    except (httpx.InvalidURL, UnicodeError, TypeError):
        return repr(url[:200])
    return str(parsed)[:200]


def _is_worth_another(fetched: Fetched) -> bool:
    """Whether another attempt may bring more. The governor waits for the rest a host asked for, if it is short."""
    rest_seconds = fetched.retry_after_seconds
    if rest_seconds is None:
        return fetched.status in RETRIED_STATUSES
    return fetched.status in _RESTING_STATUSES and 0 < rest_seconds <= REST_WAITED_SECONDS_MAX


def _validator(response: httpx.Response, name: str) -> str | None:
    """Return a header to send back next time, or None where it could not be sent as it is."""
    value: str | None = response.headers.get(name)
    return value if value and value.isascii() and len(value) <= _VALIDATOR_CHARACTERS_MAX else None


def _say(error: Exception, url: str) -> str:
    """Turn an error of httpx into words."""
    host = _host_of(url)
    if isinstance(error, httpx.ConnectError):
        return f"could not connect to {host}: {ERRNO.sub('', str(error))}"
    if isinstance(error, httpx.RemoteProtocolError):
        return f"the answer of {host} breaks off or is no HTTP ({error})"
    return f"the exchange with {host} failed: {error or type(error).__name__}"
