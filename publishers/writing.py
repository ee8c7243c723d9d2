"""The published folder: a file is written only where its bytes differ, whole or not at all, with a .gz twin."""

from __future__ import annotations

import os
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from zlib_ng import gzip_ng

from storage.errors import ArchiveError

_COMPRESSED = (".html", ".atom", ".rss", ".json", ".opml", ".css", ".svg", ".js")
_LEVEL = 4  # within two parts in a hundred of the size at level 6, and a quarter faster
_THREADS = 2  # compressing and writing let go of the interpreter
_WAITING_MAX = 64  # files in memory that wait to be written


class SiteWriter:
    """Writes into `folder`, for one publish; `settle` in the end. Raises ArchiveError where it cannot write."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.written, self.unchanged = folder, list[str](), 0
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="site")
        self._waiting: list[Future[None]] = []

    def __enter__(self) -> SiteWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)

    def write(self, name: str, content: bytes, *, before: bytes | None = None) -> bool:
        """Let the file `name` hold `content`; says whether it did not already. `before`: what it holds, where known."""
        path = self.folder / name
        try:
            if (before if before is not None else path.read_bytes()) == content:
                self.unchanged += 1
                return False
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArchiveError(f"cannot read {path}: {error.strerror}") from error
        self.written.append(name)
        if len(self._waiting) >= _WAITING_MAX:
            self._waiting.pop(0).result()
        self._waiting.append(self._pool.submit(_write, path, content))
        return True

    def published(self, name: str) -> bytes | None:
        """What was written under `name` before; None where the file is not as it was written."""
        path = self.folder / name
        try:
            content = path.read_bytes()
            with twin_of(path).open("rb") as twin:
                twin.seek(-8, os.SEEK_END)
                tail = twin.read(8)
        except OSError:
            return None
        return content if tail == gzip_tail(content) else None

    def remove(self, name: str) -> None:
        """Remove a file and its twin, where they are."""
        for path in (self.folder / name, twin_of(self.folder / name)):
            path.unlink(missing_ok=True)

    def keep_only(self, folder: str, names: set[str]) -> None:
        """Remove the pages of a folder that are not among `names`."""
        for path in sorted((self.folder / folder).glob("*.html")):
            if f"{folder}/{path.name}" not in names:
                self.remove(f"{folder}/{path.name}")

    def settle(self) -> None:
        """Make what was written survive a power cut before anybody notes that it was published."""
        while self._waiting:
            self._waiting.pop(0).result()
        if self.written:
            os.sync()


def twin_of(path: Path) -> Path:
    """Where the compressed twin of a file lies."""
    return path.with_name(f"{path.name}.gz")


def gzip_tail(content: bytes) -> bytes:
    """The last eight bytes of any gzip file of `content` (RFC 1952): CRC-32 and length."""
    return zlib.crc32(content).to_bytes(4, "little") + (len(content) % 2**32).to_bytes(4, "little")


def _write(path: Path, content: bytes) -> None:
    # The twin first: a reader of the plain file never finds a newer plain file beside an older .gz for long.
    if path.suffix in _COMPRESSED:
        _replace(twin_of(path), gzip_ng.compress(content, compresslevel=_LEVEL, mtime=0))  # type: ignore[no-untyped-call]
    _replace(path, content)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ArchiveError(f"cannot write {path}: {error.strerror}") from error
