"""A hostile server costs one source: time, bytes, redirects and addresses are bounded, and the reason is one line."""

from __future__ import annotations

import gzip
import os
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from flows.connecting import Deadline, is_public
from flows.fetching import Fetcher, read_body
from storage.errors import FetchError
from storage.settings import Limits
from tests.fetching_tools import SMALL, a_fetcher, a_source, names, pieces
from tests.servers import Answer, Ask, Server


def reason(fetcher: Fetcher, url: str, *, private: bool = True) -> str:
    """Fetch what must not work, and return why it did not."""
    with pytest.raises(FetchError) as caught:
        fetcher.get(a_source(private=private), url)
    assert caught.value.source == "journal"
    assert "\n" not in str(caught.value)
    return caught.value.reason


# Bytes


def bomb(megabytes: int) -> bytes:
    """A gzip body that unpacks to that many megabytes of zeros, without the trailer that nobody should get to."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    first, next_ones = (packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + next_ones * (megabytes - 1)


def test_a_gigabyte_packed_into_a_megabyte_is_given_up_after_the_first_pieces() -> None:
    packed, read = bomb(1_000), 0
    assert len(packed) < 1_100_000

    def wire() -> Iterator[bytes]:
        nonlocal read
        for piece in pieces(packed, 16_384):
            read += len(piece)
            yield piece

    limits = Limits(wire_bytes_max=8_000_000, body_bytes_max=16_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(Exception, match="more than 16,000,000 bytes once unpacked"):
            read_body(wire(), "gzip", limits)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read <= 40_000
    assert peak_bytes < 4 * limits.body_bytes_max


def test_a_gzip_bomb_from_a_server_is_refused() -> None:
    body = bomb(10)
    with Server({"/": Answer(body=body, headers={"Content-Encoding": "gzip"})}) as server, a_fetcher() as fetcher:
        assert reason(fetcher, server.url()) == "more than 400,000 bytes once unpacked"


def test_a_gzip_body_is_unpacked_whole() -> None:
    text = b"".join(b"%d " % n for n in range(60_000))
    packed = gzip.compress(text)
    with Server({"/": Answer(body=packed, headers={"Content-Encoding": "gzip"})}) as server, a_fetcher() as fetcher:
        fetched = fetcher.get(a_source(), server.url())
    assert fetched.body == text
    assert fetched.wire_bytes == len(packed)


@pytest.mark.parametrize("size", [1, 7, 1_000, 1_000_000])
def test_gzip_members_and_padding_are_unpacked_however_they_are_cut(size: int) -> None:
    text = bytes(300_000)  # highly packed: whole matches wait inside zlib between two calls
    packed = gzip.compress(text[:100_000]) + gzip.compress(text[100_000:]) + bytes(3)
    assert read_body(pieces(packed, size), "gzip", SMALL) == (len(packed), text)


@pytest.mark.parametrize("cut", [1, 9, 500])
def test_a_gzip_body_that_breaks_off_is_no_answer(cut: int) -> None:
    packed = gzip.compress(os.urandom(5_000))
    with pytest.raises(Exception, match="breaks off"):
        read_body(pieces(packed[:-cut], 100), "gzip", SMALL)


def test_a_gzip_body_with_a_flipped_bit_is_no_answer() -> None:
    packed = bytearray(gzip.compress(b"x" * 5_000))
    packed[-6] ^= 1
    with pytest.raises(Exception, match="gzip body is damaged"):
        read_body([bytes(packed)], "gzip", SMALL)


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, br", "compress"])
def test_an_encoding_nobody_asked_for_is_refused(encoding: str) -> None:
    with Server({"/": Answer(body=b"?", headers={"Content-Encoding": encoding})}) as server, a_fetcher() as fetcher:
        assert "only gzip was asked for" in reason(fetcher, server.url())
    assert server.asked[0].headers["accept-encoding"] == "gzip"


def test_a_body_that_is_declared_too_large_is_not_read() -> None:
    def never() -> Iterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    route = Answer(headers={"Content-Length": "9000000000"}, stream=never)
    with Server({"/": route}) as server, a_fetcher() as fetcher:
        assert reason(fetcher, server.url()) == "a body of 9,000,000,000 bytes, more than 200,000"


def test_a_body_that_does_not_end_is_given_up_at_the_limit() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 10_000

    with Server({"/": Answer(stream=endless)}) as server, a_fetcher() as fetcher:
        assert reason(fetcher, server.url()) == "more than 200,000 bytes"


def test_a_body_shorter_than_declared_is_no_answer() -> None:
    route = Answer(headers={"Content-Length": "1000"}, stream=lambda: [b"<rss>"])
    with Server({"/": route}) as server, a_fetcher() as fetcher:
        assert "breaks off" in reason(fetcher, server.url())
    assert len(server.asked) == 3  # a lost connection is worth two more attempts


def test_endless_headers_are_given_up() -> None:
    lines = [b"HTTP/1.1 200 OK\r\n", *([b"X: " + b"y" * 1_000 + b"\r\n"] * 1_000)]
    with raw_server(lambda: iter(lines)) as port, a_fetcher() as fetcher:
        assert "127.0.0.1" in reason(fetcher, f"http://127.0.0.1:{port}/")


def test_what_is_not_http_is_no_answer() -> None:
    with raw_server(lambda: iter([b"SSH-2.0-OpenSSH_9.6\r\n"])) as port, a_fetcher() as fetcher:
        assert "is no HTTP" in reason(fetcher, f"http://127.0.0.1:{port}/")


# Time


def dripping(server: Server, piece: bytes) -> Iterator[bytes]:
    """Send a little every tenth of a second until the server stops."""
    while not server.stopping.wait(0.1):
        yield piece


def test_a_body_that_drips_hits_the_total_time_limit() -> None:
    limits = SMALL.model_copy(update={"read_seconds": 0.5, "total_seconds": 0.6})
    with Server() as server, a_fetcher(limits=limits) as fetcher:
        server.routes["/"] = Answer(stream=lambda: dripping(server, b"x"))
        started = time.monotonic()
        assert reason(fetcher, server.url()) == "127.0.0.1 did not finish within 0.6 s"
        assert 0.5 < time.monotonic() - started < 10
        assert len(server.asked) == 1  # a slow server is not asked again


def test_headers_that_drip_hit_the_total_time_limit() -> None:
    stop = threading.Event()

    def drip() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n"
        while not stop.wait(0.1):
            yield b"X-Slow: 1\r\n"

    limits = SMALL.model_copy(update={"read_seconds": 0.5, "total_seconds": 0.6})
    with raw_server(drip) as port, a_fetcher(limits=limits) as fetcher:
        assert reason(fetcher, f"http://127.0.0.1:{port}/") == "127.0.0.1 did not finish within 0.6 s"
        stop.set()


def test_a_silent_server_hits_the_read_time_limit() -> None:
    limits = SMALL.model_copy(update={"read_seconds": 0.2})
    with Server() as server, a_fetcher(limits=limits) as fetcher:
        server.routes["/"] = lambda ask: Answer(body=b"late" if server.stopping.wait(5) else b"")
        assert reason(fetcher, server.url()) == "nothing came from 127.0.0.1 for 0.2 s"


def test_a_resolver_that_does_not_answer_hits_the_connect_time_limit() -> None:
    over = threading.Event()

    def resolve(host: str, port: int) -> Sequence[str]:
        over.wait(5)
        return ["127.0.0.1"]

    limits = SMALL.model_copy(update={"connect_seconds": 0.1})
    with a_fetcher(limits=limits, resolve=resolve) as fetcher:
        assert reason(fetcher, "http://slow.test/") == "no connection to slow.test within 0.1 s"
        over.set()


def test_a_deadline_counts_for_its_own_thread_only() -> None:
    deadline = Deadline()
    deadline.start(0)
    seen: list[bool] = []
    other = threading.Thread(target=lambda: seen.append(deadline.passed))
    other.start()
    other.join()
    assert deadline.passed
    assert seen == [False]


# Connections


def test_a_refused_connection_says_so() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with a_fetcher() as fetcher:
        assert reason(fetcher, f"http://127.0.0.1:{port}/") == "could not connect to 127.0.0.1: Connection refused"


def test_an_unknown_name_says_so() -> None:
    def resolve(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with a_fetcher(resolve=resolve) as fetcher:
        said = reason(fetcher, "http://nowhere.test/")
    assert said == "could not connect to nowhere.test: its name cannot be resolved (Name or service not known)"


def test_the_next_address_of_a_name_is_tried_where_the_first_is_dead() -> None:
    with Server({"/": Answer(body=b"here")}) as server:
        resolve = names({"two.test": ["127.0.0.2", "127.0.0.1"]})  # nothing listens on the first
        with a_fetcher(resolve=resolve) as fetcher:
            assert fetcher.get(a_source(), server.url(host="two.test")).body == b"here"


@pytest.mark.parametrize(
    "url", ["ftp://feed.test/", "file:///etc/passwd", "feed.test/rss", "http://", "http://[::1", ""]
)
def test_only_http_and_https_are_fetched(url: str) -> None:
    with a_fetcher() as fetcher:
        assert reason(fetcher, url)


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server({"/": Answer(body=b"direct")}) as server, Server({"*": Answer(body=b"proxied")}) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        with a_fetcher() as fetcher:
            assert fetcher.get(a_source(), server.url()).body == b"direct"
        assert proxy.asked == []


# Redirects


def to(location: str, status: int = 302) -> Answer:
    return Answer(status=status, headers={"Location": location})


def test_redirects_are_followed_and_the_last_address_is_kept() -> None:
    routes = {"/a": to("/b", 301), "/b": to("b/../c?x=1", 307), "/c": Answer(body=b"feed")}
    with Server(routes) as server, a_fetcher() as fetcher:
        fetched = fetcher.get(a_source(), server.url("/a"))
        assert (fetched.url, fetched.body) == (server.url("/c?x=1"), b"feed")


def test_a_redirect_loop_ends() -> None:
    with Server({"/": to("/")}) as server, a_fetcher() as fetcher:
        assert reason(fetcher, server.url("/")).startswith("more than 5 redirects, the last to http://127.0.0.1")
        assert len(server.asked) == 6


def test_cookies_live_for_one_fetch() -> None:
    def gate(ask: Ask) -> Answer:
        if "cookie" in ask.headers:
            return Answer(body=b"feed")
        return Answer(status=302, headers={"Location": "/", "Set-Cookie": "seen=1; Path=/"})

    with Server({"/": gate}) as server, a_fetcher() as fetcher:
        for _ in range(2):
            assert fetcher.get(a_source(), server.url()).body == b"feed"
        assert ["cookie" in ask.headers for ask in server.asked] == [False, True, False, True]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "gopher://feed.test/", "javascript://x/%0aalert(1)"])
def test_a_redirect_to_another_scheme_is_refused(location: str) -> None:
    with Server({"/": to(location)}) as server, a_fetcher() as fetcher:
        assert "is not http or https" in reason(fetcher, server.url())


INNER_URLS = ["http://169.254.169.254/latest/meta-data/", "http://localhost:1/", "http://[::1]:1/", "//127.0.0.1:1/"]


@pytest.mark.parametrize("location", [*INNER_URLS, "http://0:1/", "http://evil.test/"])
def test_a_redirect_to_an_inner_address_is_refused(location: str) -> None:
    def public(address: str) -> bool:
        return address == "127.0.0.9" or is_public(address)  # the redirecting server passes for a public one

    resolve = names({"evil.test": ["10.0.0.1"], "localhost": ["127.0.0.1"], "0": ["0.0.0.0"]})  # noqa: S104
    with Server({"/": to(location)}, address="127.0.0.9") as server:
        with a_fetcher(public=public, resolve=resolve) as fetcher:
            assert "is not a public address" in reason(fetcher, server.url(), private=False)
        assert len(server.asked) == 1


# Addresses

INNER = [
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),  # noqa: S104
    *("169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.7"),
    *("203.0.113.9", "192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::8.8.8.8"),
    *("fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1", "100::1", "2001:db8::1", "3fff::1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::10.1.2.3", "64:ff9b:1::808:808", "64:ff9b:1::7f00:1"),
    *("2002:7f00:1::", "2002:a00:1::1", "2002:808:808::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1"),
    *("4000::1", "5f00::1", "no address", "", "127.0.0.1.evil.test"),
]
OUTER = ["8.8.8.8", "151.101.3.42", "2606:4700::6810:84e5", "::ffff:8.8.8.8", "64:ff9b::808:808", "2a04:4e42::810"]


@pytest.mark.parametrize("address", INNER)
def test_an_address_that_is_not_public_is_known_as_such(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", OUTER)
def test_a_public_address_is_known_as_such(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("answer", [["127.0.0.1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["8.8.8.8", "127.0.0.1"]])
def test_a_name_that_resolves_inwards_is_refused_before_connecting(answer: list[str]) -> None:
    with Server({"*": Answer(body=b"secret")}) as server, a_fetcher(resolve=names({"evil.test": answer})) as fetcher:
        said = reason(fetcher, server.url(host="evil.test"), private=False)
        assert said.startswith(f"evil.test is {answer[-1]}, which is not a public address")
        assert "allow_private_addresses" in said
        assert server.asked == []


def test_the_address_connected_to_is_the_one_that_was_checked() -> None:
    answers = [["8.8.8.8"], ["127.0.0.1"]]  # a name that answers differently the second time

    def resolve(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    limits = SMALL.model_copy(update={"connect_seconds": 0.2, "total_seconds": 0.3})
    with Server({"*": Answer(body=b"secret")}) as server, a_fetcher(limits=limits, resolve=resolve) as fetcher:
        assert reason(fetcher, server.url(host="rebind.test"), private=False)
        assert server.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f000001", "127.1", "localhost", "[::ffff:127.0.0.1]"])
def test_ways_to_write_this_machine_are_refused(host: str) -> None:
    with Server({"*": Answer(body=b"secret")}) as server, a_fetcher() as fetcher:
        assert "not a public address" in reason(fetcher, server.url(host=host), private=False)
        assert server.asked == []


def test_a_connection_of_a_trusted_source_does_not_serve_another() -> None:
    with Server({"*": Answer(body=b"ours")}) as server, a_fetcher() as fetcher:
        assert fetcher.get(a_source(private=True), server.url()).body == b"ours"
        assert "not a public address" in reason(fetcher, server.url(), private=False)
        assert len(server.asked) == 1


def test_tls_is_checked_against_the_name_and_not_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = certificate_for("journal.test", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    resolve = names({"journal.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]})
    with Server({"/": Answer(body=b"feed")}, tls=tls) as server, a_fetcher(resolve=resolve) as fetcher:
        assert fetcher.get(a_source(), server.url(host="journal.test")).body == b"feed"
        assert server.asked[0].headers["host"] == f"journal.test:{server.port}"
        assert "CERTIFICATE_VERIFY_FAILED" in reason(fetcher, server.url(host="other.test"))


# Helpers


def certificate_for(name: str, folder: Path) -> ssl.SSLContext:
    """A server context with a certificate of its own for `name`; cert.pem in `folder` is what a client must trust."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    command += ["-addext", f"subjectAltName=DNS:{name}", "-keyout", "key.pem", "-out", "cert.pem"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@contextmanager
def raw_server(answer: Callable[[], Iterator[bytes]]) -> Iterator[int]:
    """A server that sends given bytes to whoever connects, whatever they ask, and hangs up; yields its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):  # the test closes the socket, the client hangs up
            while True:
                connection, _ = listening.accept()
                with connection, suppress(OSError):
                    connection.recv(65_536)
                    for piece in answer():
                        connection.sendall(piece)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)
