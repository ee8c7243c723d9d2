"""Large files over HTTP: streamed to disk within bounds, going on where a download stopped.

Each download has a folder of its own, named by its URL, with the bytes and a note of what they are of. Bytes count once
they are on the disk (fsync): killed at any instant, or without power, the next attempt asks for the rest (RFC 9110, 14)
if the file there is still the same by its ETag, Last-Modified and length, and begins anew where it is not. Politeness
and the check of addresses are those of fetching.py; a host's turn is held as long as bytes come.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Self
from urllib.parse import unquote, urljoin, urlsplit

import httpx

from flows.connecting import Deadline, RefusedAddress, Resolve, is_any, is_public, system_resolve
from flows.fetching import checked_client
from flows.governor import Governor, NotNow, Turn
from flows.packed import JSON_ENDINGS, LoadError, ending_of
from storage.durable import fsync, translated
from storage.locks import exclusive
from storage.settings import Limits

DOWNLOAD_BYTES_MAX = 20_000_000_000  # arXiv's snapshot is some 1.6 GB
PIECE_BYTES = 1_000_000
PIECE_SECONDS_MAX = 120  # a slower server is asked again for the rest
SYNCED_BYTES = 16_000_000  # as much as a power cut may cost
RETRY_DELAYS_SECONDS = (1.0, 4.0, 16.0, 60.0)  # while nothing comes; what comes begins them anew
_ANEW_MAX = 3  # a file that changes that often while it is read is none to load
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)")
_NAME_CHARACTERS = re.compile(r"[^A-Za-z0-9._+-]+")
_NAME_CHARACTERS_MAX = 80
_WORDS = {
    401: "it wants a password",
    403: "it refuses us",
    404: "there is nothing at this address",
    429: "it is asked too often",
}


@dataclass(slots=True)
class _Note:
    """What is known of a download: beside its bytes, as JSON."""

    url: str
    etag: str | None = None
    last_modified: str | None = None
    length: int | None = None
    done: int = 0  # bytes that are on the disk
    whole: bool = False

    def anew(self) -> None:
        """Forget what was read."""
        self.etag = self.last_modified = self.length = None
        self.done, self.whole = 0, False


class _Broken(Exception):
    """Why an attempt ended early; another may go on from there."""


class Downloader:
    """Downloads one URL into a folder of its own below `folder`; a context manager that holds its lock.

    A URL whose host is written as an address of one's own network, or localhost, is one's own: it may lie there, and
    lead there. `sleep` is what waits between attempts.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        limits: Limits,
        user_agent: str,
        governor: Governor,
        sleep: Callable[[float], None] = time.sleep,
        resolve: Resolve = system_resolve,
        public: Callable[[str], bool] = is_public,
        bytes_max: int = DOWNLOAD_BYTES_MAX,
    ) -> None:
        self.folder = folder / hashlib.sha256(url.encode()).hexdigest()[:16]
        self._url, self._limits, self._governor = url, limits, governor
        self._sleep, self._bytes_max = sleep, bytes_max
        # The bytes are wanted as they lie there: a part of what is packed on the way has no place in the file.
        self._headers = {"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        self._headers["Connection"] = "close"
        allowed = is_any if _is_own(url) else public
        self._deadline = Deadline()
        self._client = checked_client(allowed=allowed, resolve=resolve, deadline=self._deadline)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(
            exclusive(self.folder / "lock", what=f"{_shown(self._url)} is being loaded already", wait=False)
        )
        self._stack.callback(self._client.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def discard(self) -> None:
        """Delete what was downloaded."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def get(self, progress: Callable[[int, int | None], None] = lambda _done, _total: None) -> Path:
        """Download, or go on, and return the file; `progress` gets the bytes done and of all.

        Raises LoadError where it cannot be had, ArchiveFull, ArchiveError.
        """
        note, failures, began = self._noted(), 0, 0
        try:
            while True:
                before = note.done
                try:
                    if self._attempt(note, progress):
                        return self._named(note)
                    began += 1
                    if began > _ANEW_MAX:
                        raise LoadError(f"{_shown(self._url)}: it changes while it is downloaded")
                except _Broken as broken:
                    failures = 0 if note.done > before else failures + 1
                    if failures > len(RETRY_DELAYS_SECONDS):
                        raise LoadError(f"{_shown(self._url)}: {broken}; load it again to go on") from broken
                    self._sleep(RETRY_DELAYS_SECONDS[max(failures - 1, 0)])
        except OSError as error:
            raise translated(error, self.folder) from error

    def _attempt(self, note: _Note, progress: Callable[[int, int | None], None]) -> bool:
        """Ask once, redirects followed; True: it is whole, False: it has to begin anew. Raises _Broken, LoadError."""
        url = self._url
        for _ in range(self._limits.redirects_max + 1):
            try:
                with self._governor.turn(_host_of(url)) as turn:
                    outcome = self._exchange(url, note, turn, progress)
            except NotNow as error:
                raise LoadError(f"{_shown(url)}: {error.reason}") from error
            if isinstance(outcome, bool):
                return outcome
            url = urljoin(url, outcome)
        raise LoadError(f"{_shown(self._url)}: more than {self._limits.redirects_max} redirects")

    def _exchange(self, url: str, note: _Note, turn: Turn, progress: Callable[[int, int | None], None]) -> bool | str:
        """Make one request: as `_attempt`, or the address it leads to."""
        timeout = httpx.Timeout(self._limits.read_seconds, connect=self._limits.connect_seconds)

        def trace(event: str, _: object) -> None:
            if event == "http11.send_request_headers.complete":
                turn.sent()

        headers = self._headers | _conditions(note)
        self._deadline.start(PIECE_SECONDS_MAX)
        try:
            request = httpx.Request(
                "GET", url, headers=headers, extensions={"timeout": timeout.as_dict(), "trace": trace}
            )
            response = self._client.send(request, stream=True)
            turn.heard(response.status_code, response.headers)
            try:
                if response.has_redirect_location:
                    return str(response.headers["location"])
                return self._heard(response, note, progress)
            finally:
                response.close()
        except RefusedAddress as error:
            raise LoadError(f"{_shown(url)}: {error}") from error
        except httpx.TimeoutException as error:
            turn.timed_out()
            raise _Broken("nothing came for too long") from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise _Broken(f"the exchange with {_host_of(url)} failed ({error or type(error).__name__})") from error
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise LoadError(f"{_shown(url)}: {error or type(error).__name__}") from error

    def _heard(self, response: httpx.Response, note: _Note, progress: Callable[[int, int | None], None]) -> bool:
        status = response.status_code
        if status == 304 and note.whole:
            return True
        if status == 416 and note.done:  # there is nothing behind our last byte: it is whole, or another file
            if _total_of(response) != note.done or not _is_of(note, response):
                self._forget(note)
                return False
            self._write_down(note, whole=True)
            return True
        if status == 200 and note.whole and _is_of(note, response) and _declared(response) == note.length is not None:
            return True
        if status == 206 and not self._goes_on(response, note):
            self._forget(note)
            return False
        if status not in (200, 206):
            words = f"HTTP {status}: {_WORDS.get(status) or ('the server fails' if status >= 500 else 'no success')}"
            if status >= 500 or status == 429:
                raise _Broken(words)
            raise LoadError(f"{_shown(self._url)}: {words}")
        if status == 200:
            self._begin(response, note)
        self._write(response, note, progress)
        return True

    def _goes_on(self, response: httpx.Response, note: _Note) -> bool:
        """Whether a part is the one behind our last byte, of the file we have."""
        found = _RANGE.fullmatch(response.headers.get("content-range", ""))
        return bool(found and found[1] and int(found[1]) == note.done and _is_of(note, response))

    def _begin(self, response: httpx.Response, note: _Note) -> None:
        note.anew()
        note.etag, note.last_modified = response.headers.get("etag"), response.headers.get("last-modified")
        note.length = _declared(response)
        if response.headers.get("content-encoding", "identity").lower() not in ("", "identity", "gzip", "x-gzip"):
            raise LoadError(f"{_shown(self._url)}: it comes packed in a way nobody asked for")
        free = shutil.disk_usage(self.folder).free
        if (note.length or 0) > min(free, self._bytes_max):
            most = f"only {free:,} are free" if free < self._bytes_max else f"more than {self._bytes_max:,}"
            raise LoadError(f"{_shown(self._url)}: it has {note.length:,} bytes, {most}")
        self._write_down(note)

    def _write(self, response: httpx.Response, note: _Note, progress: Callable[[int, int | None], None]) -> None:
        """Append what comes; however it ends, what came counts."""
        with self._body.open("ab") as file:
            file.truncate(note.done)
            written = note.done
            try:
                for piece in response.iter_raw(PIECE_BYTES):
                    self._deadline.start(PIECE_SECONDS_MAX)
                    written += file.write(piece)
                    if written > self._bytes_max:
                        raise LoadError(f"{_shown(self._url)}: it has more than {self._bytes_max:,} bytes")
                    if written - note.done >= SYNCED_BYTES:
                        self._settle(file, note, written)
                    progress(written, note.length)
            finally:
                self._settle(file, note, written)
        if note.length is not None and written != note.length:
            raise _Broken(f"{written:,} of {note.length:,} bytes came")
        self._write_down(note, whole=True)

    def _settle(self, file: IO[bytes], note: _Note, written: int) -> None:
        file.flush()
        os.fsync(file.fileno())
        note.done = written
        self._write_down(note)

    @property
    def _body(self) -> Path:
        return self.folder / "part"

    def _noted(self) -> _Note:
        """What is known from before, as far as the bytes are there."""
        try:
            note = _Note(**json.loads((self.folder / "note.json").read_text(encoding="utf-8")))
            have = self._body.stat().st_size
        except (OSError, ValueError, TypeError):
            return _Note(self._url)
        return note if note.url == self._url and have >= note.done else _Note(self._url)

    def _write_down(self, note: _Note, *, whole: bool = False) -> None:
        note.whole = whole
        temporary = self.folder / "note.tmp"
        temporary.write_text(json.dumps(asdict(note)), encoding="utf-8")
        fsync(temporary)
        temporary.replace(self.folder / "note.json")

    def _forget(self, note: _Note) -> None:
        note.anew()
        self._write_down(note)

    def _named(self, note: _Note) -> Path:
        """The file under a name that says what it is: that in its URL, for it goes into the load's id."""
        if self._body.stat().st_size != note.done:
            os.truncate(self._body, note.done)
        path = self.folder / _name_of(self._url, ending_of(self._body))
        path.unlink(missing_ok=True)
        path.hardlink_to(self._body)
        return path


def is_url(text: str) -> bool:
    """Whether `text` is an address to download from, and no path."""
    return text.lower().startswith(("http://", "https://"))


def _name_of(url: str, ending: str) -> str:
    """Return the name in a URL, with an ending that says what the file is: `ending` is what its bytes say."""
    name = _NAME_CHARACTERS.sub("-", unquote(urlsplit(url).path).rpartition("/")[2])
    name = name[-_NAME_CHARACTERS_MAX:].strip(".-") or "download"
    if ending in (".zip", ".parquet"):
        return name if name.endswith(ending) else name + ending
    bare = name.removesuffix(".gz")
    return (bare if bare.endswith(JSON_ENDINGS) else f"{bare}.json") + ending


def _conditions(note: _Note) -> dict[str, str]:
    """The headers that ask for what is missing; of a whole file whether it is still the same."""
    strong = note.etag if note.etag and not note.etag.startswith("W/") else None
    if note.whole:
        known = {"If-None-Match": note.etag, "If-Modified-Since": note.last_modified}
        headers = {name: value for name, value in known.items() if value}
        return headers or {"Range": f"bytes={note.done}-"}
    if not note.done:
        return {}
    validator = strong or note.last_modified
    return {"Range": f"bytes={note.done}-"} | ({"If-Range": validator} if validator else {})


def _is_of(note: _Note, response: httpx.Response) -> bool:
    """Whether an answer is of the file whose beginning we have, by all that both tell of it."""
    said = (
        (note.etag, response.headers.get("etag")),
        (note.last_modified, response.headers.get("last-modified")),
        (note.length, _total_of(response)),
    )
    return all(known is None or told is None or known == told for known, told in said)


def _total_of(response: httpx.Response) -> int | None:
    found = _RANGE.fullmatch(response.headers.get("content-range", ""))
    return int(found[3]) if found else None


def _declared(response: httpx.Response) -> int | None:
    length = response.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


def _host_of(url: str) -> str:
    """Return the host of an http(s) URL. Raises LoadError for any other."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise LoadError(f"{url[:200]!r} is no URL ({error})") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise LoadError(f"{_shown(url)} is not http or https")
    return parsed.host


def _shown(url: str) -> str:
    """Return `url` as it may be printed: without a password and without its query."""
    try:
        return str(httpx.URL(url).copy_with(query=None, fragment=None, userinfo=b""))[:200]
    except (httpx.InvalidURL, UnicodeError):
        return repr(url[:200])


def _is_own(url: str) -> bool:
    """Whether the host is written as an address that is not public."""
    host = _host_of(url)
    is_address = re.fullmatch(r"[\d.]+|.*:.*", host) is not None
    return host == "localhost" or (is_address and not is_public(host))
