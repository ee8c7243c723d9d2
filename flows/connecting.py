"""Sockets to the world: every address is resolved, checked and connected to in one step, within the time left.

Checking a host name before handing it to an HTTP library is a race: the library resolves it again and may get another
answer. So the check sits in the network backend of httpcore, on the very address the socket is connected to; TLS and
the Host header still use the name.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpcore

Resolve = Callable[[str, int], Sequence[str]]

# RFC 6052: how a network without IPv4 writes IPv4 addresses; public ones are what such a network lives on.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# The only IPv6 space handed out for public use (IANA, "Internet Protocol Version 6 Address Space").
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
# 6to4 (RFC 7526: historic) and Teredo carry an IPv4 address inside and no source that we know of: refused as a whole.
_TUNNELS = (ipaddress.IPv6Network("2002::/16"), ipaddress.IPv6Network("2001::/32"))
# Special-purpose blocks that `is_global` of Python 3.11 takes for public (IANA special-purpose address registry).
_SPECIAL_V4 = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("192.88.99.0/24"))
_SPECIAL_V6 = (ipaddress.IPv6Network("3fff::/20"), ipaddress.IPv6Network("2001:db8::/32"))


class RefusedAddress(Exception):
    """A host name stands for an address that a source on the internet has no business with."""

    def __init__(self, host: str, address: str) -> None:
        self.host, self.address = host, address
        what = host if host == address else f"{host} is {address}, which"
        super().__init__(f"{what} is not a public address")


def is_public(address: str) -> bool:
    """Say whether `address` is a unicast address of the public internet, IPv4 inside IPv6 unwrapped."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast and not any(ip in block for block in _SPECIAL_V4)
    if ip.ipv4_mapped is not None:
        return is_public(str(ip.ipv4_mapped))
    if ip in _NAT64:
        return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
    return ip in _PUBLIC_V6 and ip.is_global and not any(ip in block for block in (*_TUNNELS, *_SPECIAL_V6))


def is_any(address: str) -> bool:
    """Allow every address: for sources on one's own network."""
    return bool(address)


def system_resolve(host: str, port: int) -> tuple[str, ...]:
    """Return the addresses the system's resolver has for `host`. Raises OSError where it has none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(answer[4][0]) for answer in found))


class Deadline(threading.local):
    """The moment, on the monotonic clock, when the exchange of this thread must be over."""

    at: float = float("inf")

    def start(self, seconds: float) -> None:
        """Give this thread `seconds` from now."""
        self.at = time.monotonic() + seconds

    def left(self, timeout_seconds: float | None) -> float:
        """Return `timeout_seconds`, or what is left where that is less; 0 where nothing is."""
        left = max(0.0, self.at - time.monotonic())
        return left if timeout_seconds is None else min(left, timeout_seconds)

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return self.left(None) <= 0


class CheckedBackend(httpcore.NetworkBackend):
    """Connects httpcore to addresses that may be connected to, and to no other.

    Every address a name resolves to must be `allowed`: a name with mixed answers is refused whole, for which of them
    is dialled is up to whoever answers. Raises RefusedAddress, httpcore.ConnectError, httpcore.ConnectTimeout.
    """

    def __init__(self, *, allowed: Callable[[str], bool], resolve: Resolve, deadline: Deadline) -> None:
        self._allowed, self._resolve, self._deadline = allowed, resolve, deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve, check, connect; `timeout` bounds the resolver and each connection attempt."""
        addresses = _resolved(self._resolve, host, port, self._deadline.left(timeout))
        for address in addresses:
            if not self._allowed(address):
                raise RefusedAddress(host, address)
        return self._connect_any(addresses, port, timeout, local_address, list(socket_options or ()))

    def _connect_any(
        self,
        addresses: Sequence[str],
        port: int,
        timeout: float | None,
        local_address: str | None,
        socket_options: list[Any],
    ) -> httpcore.NetworkStream:
        failed: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses:
            seconds = self._deadline.left(timeout)
            if seconds <= 0:
                raise httpcore.ConnectTimeout("timed out")
            try:
                stream = self._sockets.connect_tcp(address, port, seconds, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
            else:
                return _BoundedStream(stream, self._deadline)
        raise failed


class _BoundedStream(httpcore.NetworkStream):
    """A connection whose every wait ends with the deadline, however slowly the other side drips."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        seconds = self._deadline.left(timeout)
        if seconds <= 0:
            raise httpcore.ReadTimeout("timed out")
        return self._stream.read(max_bytes, seconds)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        seconds = self._deadline.left(timeout)
        if seconds <= 0:
            raise httpcore.WriteTimeout("timed out")
        self._stream.write(buffer, seconds)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        seconds = self._deadline.left(timeout)
        if seconds <= 0:
            raise httpcore.ConnectTimeout("timed out")
        return _BoundedStream(self._stream.start_tls(ssl_context, server_hostname, seconds), self._deadline)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _resolved(resolve: Resolve, host: str, port: int, seconds: float) -> Sequence[str]:
    """Call `resolve`, but wait no longer than `seconds`: a resolver has no time-out of its own to set."""
    answer: list[Sequence[str]] = []
    trouble: list[OSError | UnicodeError] = []

    def ask() -> None:
        try:
            answer.append(resolve(host, port))
        except (OSError, UnicodeError) as error:
            trouble.append(error)

    asking = threading.Thread(target=ask, name=f"resolve {host}", daemon=True)
    asking.start()
    asking.join(seconds)
    if trouble:
        raise httpcore.ConnectError(f"its name cannot be resolved ({_reason(trouble[0])})") from trouble[0]
    if not answer:
        raise httpcore.ConnectTimeout("the resolver does not answer")
    return answer[0]


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "it is no valid host name"
    return error.strerror or str(error)
