"""One request to a hub or a webhook: bounded, without redirects, to an address that was checked at connect.

httpx's own client logs each URL it asks, and these hold keys: the transport is used without it.
"""

from __future__ import annotations

import json
from datetime import datetime
from types import TracebackType
from typing import Self

import httpx

from flows.connecting import Deadline, RefusedAddress, Resolve, is_any, is_public, system_resolve
from flows.fetching import ERRNO, checked_transport
from flows.rate_headers import REST_SECONDS_MAX, retry_after_seconds
from publishers.push import Answer
from publishers.push_shapes import Request
from storage.errors import PushError

CONNECT_SECONDS, READ_SECONDS, TOTAL_SECONDS = 5.0, 15.0, 20.0
_SAID_BYTES_MAX = 4_000  # of an answer; the rest is not read


class Poster:
    """Sends requests; a context manager. One for each push."""

    def __init__(
        self,
        *,
        user_agent: str,
        now: datetime,
        resolve: Resolve = system_resolve,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        self._user_agent, self._now, self._total_seconds = user_agent, now, total_seconds
        self._resolve, self._deadline = resolve, Deadline()
        self._transports: dict[bool, httpx.HTTPTransport] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for transport in self._transports.values():
            transport.close()

    def __call__(self, request: Request, *, allow_private_addresses: bool) -> Answer:
        """Send `request` and return the answer, whatever its status. Raises PushError where none came."""
        self._deadline.start(self._total_seconds)
        host = ""
        try:
            sent = self._request(request)
            host = sent.url.host
            response = self._transport(allow_private_addresses).handle_request(sent)
            try:
                return self._answer(response)
            finally:
                response.close()
        except RefusedAddress as error:
            raise PushError(f"{error}; allow_private_addresses = true lets it have it") from None
        except httpx.TimeoutException:
            raise PushError(f"{host} did not answer in time") from None
        except httpx.ConnectError as error:
            raise PushError(f"could not connect to {host}: {ERRNO.sub('', str(error))}") from None
        except (httpx.HTTPError, OSError) as error:
            raise PushError(f"the exchange with {host} broke off ({type(error).__name__})") from None
        except (httpx.InvalidURL, UnicodeError, ValueError):
            raise PushError("its url cannot be asked") from None  # what is wrong with it may be the key

    def _transport(self, allow_private: bool) -> httpx.HTTPTransport:
        """One pool for each: a connection to a private address never serves a webhook that may not have it."""
        if allow_private not in self._transports:
            allowed = is_any if allow_private else is_public
            self._transports[allow_private] = checked_transport(
                allowed=allowed, resolve=self._resolve, deadline=self._deadline
            )
        return self._transports[allow_private]

    def _request(self, request: Request) -> httpx.Request:
        seconds = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS).as_dict()
        ours = {"User-Agent": self._user_agent, "Accept": "application/json, */*;q=0.5", "Accept-Encoding": "identity"}
        headers = ours | dict(request.headers)
        url = httpx.URL(request.url)
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("no address")
        if url.userinfo:
            user, _, password = url.userinfo.partition(b":")
            login = httpx.BasicAuth(user, password)
            sent = httpx.Request(request.method, url, headers=headers, content=request.body)
            headers |= dict(next(login.auth_flow(sent)).headers)
            url = url.copy_with(userinfo=b"")
        return httpx.Request(
            request.method, url, headers=headers, content=request.body, extensions={"timeout": seconds}
        )

    def _answer(self, response: httpx.Response) -> Answer:
        said = b""
        for piece in response.iter_raw():
            said += piece
            if len(said) >= _SAID_BYTES_MAX:
                break
        rest = retry_after_seconds(response.headers.get("retry-after"), self._now)
        asked = [seconds for seconds in (rest, _rest_in(said)) if seconds is not None]
        return Answer(
            status=response.status_code,
            said=said[:_SAID_BYTES_MAX].decode("utf-8", "replace"),
            retry_after_seconds=max(asked, default=None),
        )


def _rest_in(said: bytes) -> float | None:
    """Return the seconds of rest that a body asks for: Discord, Telegram and Matrix say so there."""
    try:
        document = json.loads(said)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    parameters = document.get("parameters")
    nested = parameters.get("retry_after") if isinstance(parameters, dict) else None
    for value, unit in ((document.get("retry_after"), 1.0), (nested, 1.0), (document.get("retry_after_ms"), 0.001)):
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return min(float(value) * unit, REST_SECONDS_MAX)
    return None
