"""What lies packed in a file, read as a stream within bounds: plain, gzip, or the one file of JSON in a zip.

Nothing is unpacked to disk, so no name inside a zip ever becomes a path. What a file is its first bytes say.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Protocol

from storage.errors import PaperwireError

UNPACKED_BYTES_MAX = 200_000_000_000  # arXiv's snapshot is some 5 GB
RATIO_MAX = 200  # of unpacked to packed bytes; text packs to a fifth, and 1,032 is the most that deflate can do
_RATIO_FREE_BYTES = 100_000_000  # so much may come of anything
JSON_ENDINGS = (".json", ".jsonl", ".ndjson")
_GZIP, _ZIP, _PARQUET = b"\x1f\x8b", b"PK", b"PAR1"
_NAME_CHARACTERS_MAX = 80


class LoadError(PaperwireError):
    """A file holds no entries, or holds something else besides."""


class _Stream(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Unpacked:
    """The unpacked bytes of a file, to be read once from beginning to end; Arrow reads from it, too."""

    closed = False  # pa.PythonFile asks

    def __init__(self, path: Path, packed: IO[bytes], stream: _Stream, *, packed_bytes: int) -> None:
        self._path, self._packed, self._stream = path, packed, stream
        self._size = path.stat().st_size or 1
        self._bytes, self._bytes_max = 0, UNPACKED_BYTES_MAX
        if stream is not packed:
            self._bytes_max = min(UNPACKED_BYTES_MAX, max(_RATIO_FREE_BYTES, RATIO_MAX * packed_bytes))

    @property
    def share(self) -> float:
        """How much of the file was read for them, 0 to 1."""
        return self._packed.tell() / self._size

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, b"" at the end. Raises LoadError where it is damaged or unpacks to too much."""
        try:
            piece = self._stream.read(-1 if size is None else size)
        except EOFError as error:
            raise LoadError(f"{self._path}: it is cut off: the packed data breaks off") from error
        except (zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise LoadError(f"{self._path}: it is damaged ({error})") from error
        self._bytes += len(piece)
        if self._bytes > self._bytes_max:
            raise LoadError(f"{self._path}: it unpacks to more than {self._bytes_max:,} bytes")
        return piece


@contextmanager
def unpacked(path: Path) -> Iterator[Unpacked]:
    """Open a file of JSON-lines, however it is packed. Raises LoadError where it cannot be one, OSError."""
    with ExitStack() as stack:
        packed = stack.enter_context(path.open("rb"))
        stream: _Stream = packed
        packed_bytes = path.stat().st_size
        kind = ending_of(path)
        if kind == ".gz":
            stream = stack.enter_context(gzip.GzipFile(fileobj=packed, mode="rb"))
        elif kind == ".zip":
            archive = stack.enter_context(_opened(path, packed))
            member = _member(path, archive)
            stream, packed_bytes = stack.enter_context(_entered(path, archive, member)), member.compress_size
        yield Unpacked(path, packed, stream, packed_bytes=packed_bytes)


def ending_of(path: Path) -> str:
    """Return .gz, .zip or .parquet where the first bytes of a file say that it is one, else "". Raises OSError."""
    with path.open("rb") as file:
        start = file.read(4)
    endings = ((_GZIP, ".gz"), (_ZIP, ".zip"), (_PARQUET, ".parquet"))
    return next((ending for magic, ending in endings if start.startswith(magic)), "")


def _opened(path: Path, packed: IO[bytes]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(packed)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise LoadError(f"{path}: no whole zip ({error})") from error


def _member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The one file of JSON in a zip; what macOS puts beside it is none."""
    found = [
        one
        for one in archive.infolist()
        if one.filename.lower().endswith(JSON_ENDINGS) and not one.is_dir() and "__MACOSX/" not in one.filename
    ]
    if len(found) != 1:
        names = ", ".join(one.filename[:_NAME_CHARACTERS_MAX] for one in found[:3])
        what = f"{len(found):,} files of JSON ({names}): give it as several zips" if found else "no file of JSON"
        raise LoadError(f"{path}: it holds {what}")
    return found[0]


def _entered(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return archive.open(member)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:  # RuntimeError: it wants a password
        raise LoadError(f"{path}: {member.filename[:_NAME_CHARACTERS_MAX]} cannot be unpacked ({error})") from error
