"""The files of the search index: which are in use, left over or damaged, and what tantivy says as our errors."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import tantivy

from storage.durable import fsync
from storage.errors import ArchiveCorrupt, ArchiveError, ArchiveFull
from storage.locks import exclusive
from storage.search_query import SCHEMA, register_analyzers

BUSY = "another process is writing the search index; the next pass retries"
TANTIVY_VERSION = version("tantivy")
_CURRENT = "current.json"
_META = "meta.json"
_PARTS = ("idx", "pos", "term", "store", "fast", "fieldnorm")  # what every segment of our schema has
_FOOTER_MAGIC = (1337).to_bytes(4, "little")  # ends every file of tantivy; before it, the length of a JSON footer
_FOOTER_BYTES_MAX = 10_000
_CHUNK_BYTES = 1 << 20
_UNREADABLE = (OSError, ValueError, KeyError, TypeError)
_ERRNO = re.compile(r"\bcode: (\d+)|\(os error (\d+)\)")
_KILLED = "An index writer was killed"  # all that tantivy says of a write that failed in one of its threads
_ROOM_BYTES_MIN = 64 << 20


@dataclass(frozen=True, slots=True)
class Stamp:
    """What `current.json` says: the folder of the index in use, and who wrote it."""

    folder: str
    format: int
    tantivy: str


class Opened:
    """An opened index; `searcher()` sees what was committed last, by whichever process."""

    def __init__(self, folder: Path, stamp: Stamp, index: tantivy.Index) -> None:
        self.folder, self.stamp, self.index = folder, stamp, index
        self._seen: tuple[int, ...] | None = None
        register_analyzers(index)
        index.config_reader("manual")  # else a thread looks for commits twice a second

    def searcher(self) -> tantivy.Searcher:
        """Return a view of the last commit; it stays as it is while others write. Raises what `told` translates."""
        with told():
            found = (self.folder / _META).stat()
            # Looked at before reading: a commit between the two is read again, never missed.
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            if seen != self._seen:
                self.index.reload()
                self._seen = seen
            return self.index.searcher()


@contextmanager
def told(written: Path | None = None) -> Iterator[None]:
    """Say what tantivy says as one of our errors: no room, not allowed, taken, or else damaged.

    `written` is the folder that is written to, where one is.
    """
    try:
        yield
    except (ValueError, OSError, RuntimeError) as error:
        raise _translated(error, written) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # pyo3's own, which no module exports: bytes that make no sense
            raise
        raise _translated(error, written) from None


def read_stamp(home: Path) -> Stamp | None:
    """Return what is in use, None where nothing is. Raises ArchiveCorrupt."""
    try:
        raw = json.loads((home / _CURRENT).read_bytes())
        stamp = Stamp(folder=str(raw["folder"]), format=int(raw["format"]), tantivy=str(raw["tantivy"]))
    except FileNotFoundError:
        return None
    except _UNREADABLE as error:
        raise ArchiveCorrupt(f"the search index is damaged ({_CURRENT} cannot be read); rebuild it") from error
    if not re.fullmatch(r"[0-9a-f]{32}", stamp.folder):
        raise ArchiveCorrupt(f"the search index is damaged ({_CURRENT} names no folder of ours); rebuild it")
    return stamp


def open_index(home: Path, stamp: Stamp) -> Opened | None:
    """Open the index of `stamp`; None where another version of tantivy wrote it and this one cannot read it.

    Raises ArchiveCorrupt.
    """
    folder = home / stamp.folder
    try:
        with told():
            opened = Opened(folder, stamp, tantivy.Index.open(str(folder)))
        opened.searcher()
        missing = _first_without(Path.exists, folder)  # tantivy itself would only miss some of them when it needs them
        if missing:
            raise ArchiveCorrupt(f"the search index is damaged ({missing} is missing); rebuild it")
    except ArchiveCorrupt:
        if stamp.tantivy == TANTIVY_VERSION:
            raise
        return None
    return opened


def begin_index(home: Path, form: int) -> Opened:
    """Make an empty index in a folder of its own that nothing names yet."""
    stamp = Stamp(folder=uuid4().hex, format=form, tantivy=TANTIVY_VERSION)
    folder = home / stamp.folder
    with told():
        folder.mkdir(parents=True)
        return Opened(folder, stamp, tantivy.Index(SCHEMA, str(folder)))


def use(home: Path, stamp: Stamp) -> None:
    """Make the index of `stamp` the one in use."""
    temporary = home / f".{_CURRENT}"
    with told(home):
        fsync(home / stamp.folder)
        temporary.write_text(json.dumps(asdict(stamp)), encoding="ascii")
        fsync(temporary)
        temporary.replace(home / _CURRENT)
        fsync(home)


def sweep(home: Path, keep: Stamp | None) -> None:
    """Remove every index but that of `keep`, and what killed writers left in it. Only for the one writer."""
    for path in home.iterdir():
        if path.is_dir() and (keep is None or path.name != keep.folder):
            shutil.rmtree(path, ignore_errors=True)
    if keep and (home / keep.folder / _META).exists():
        _sweep_index(home / keep.folder)


def _sweep_index(folder: Path) -> None:
    """Remove what tantivy leaves behind for ever.

    A writer killed between marking documents as deleted and its commit leaves a .del file of just the name that the
    next writer will choose, which then cannot. Under tantivy's own lock: a reader may be opening files.
    """
    for left in folder.glob(".tmp*"):
        left.unlink(missing_ok=True)
    with exclusive(folder / ".tantivy-meta.lock", what=BUSY):
        try:
            live = {path.name for path in _live_files(folder, (folder / _META).read_bytes())}
        except _UNREADABLE:
            return  # whoever opens the index says so
        for left in folder.glob("*.del"):
            if left.name not in live:
                left.unlink(missing_ok=True)


def forget(home: Path) -> None:
    """Remove all of it."""
    (home / _CURRENT).unlink(missing_ok=True)
    sweep(home, None)


def damaged_file(folder: Path) -> str | None:
    """Read every byte of the index in `folder`; return the name of a file that is not as it was written."""
    return _first_without(_is_whole, folder)


def _first_without(holds: Callable[[Path], bool], folder: Path) -> str | None:
    """Return the name of a file that the index in `folder` needs and of which `holds` is not true."""
    while True:
        try:
            meta = (folder / _META).read_bytes()
            wrong = next((path.name for path in _live_files(folder, meta) if not holds(path)), None)
            # A writer takes files away that its next commit does not need: then look at what that commit needs.
            if wrong is None or (folder / _META).read_bytes() == meta:
                return wrong
        except _UNREADABLE:
            return _META


def _live_files(folder: Path, meta: bytes) -> Iterator[Path]:
    """The files of the segments that `meta.json` lists (its form: https://docs.rs/tantivy, IndexMeta)."""
    for segment in json.loads(meta)["segments"]:
        name = segment["segment_id"].replace("-", "")
        yield from (folder / f"{name}.{part}" for part in _PARTS)
        if segment["deletes"]:
            yield folder / f"{name}.{segment['deletes']['opstamp']}.del"


def _is_whole(path: Path) -> bool:
    """Say whether the CRC-32 in a file's footer is that of the bytes before it."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 8))
            tail = file.read(8)
            length = int.from_bytes(tail[:4], "little")
            body = size - 8 - length
            if tail[4:] != _FOOTER_MAGIC or not 0 < length < _FOOTER_BYTES_MAX or body < 0:
                return False
            file.seek(body)
            expected = json.loads(file.read(length))["crc"]
            file.seek(0)
            crc = 0
            while body:
                chunk = file.read(min(body, _CHUNK_BYTES))
                crc, body = zlib.crc32(chunk, crc), body - len(chunk)
            return bool(crc == expected)
    except _UNREADABLE:
        return False


def _translated(error: BaseException, written: Path | None) -> ArchiveError:
    said = " ".join(str(error).split())
    if "LockBusy" in said:
        return ArchiveError(BUSY)
    code = _errno(error, said)
    if code is None and written and _KILLED in said:
        if shutil.disk_usage(written).free >= _ROOM_BYTES_MIN:
            return ArchiveError("cannot write the search index; it stays as it was, the next pass retries")
        code = errno.ENOSPC
    if code in (errno.ENOSPC, errno.EDQUOT):
        return ArchiveFull("no room to write the search index; it stays as it was, the next pass retries")
    if code in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM):
        return ArchiveError(f"cannot reach the search index: {os.strerror(code)}")
    return ArchiveCorrupt(f"the search index is damaged ({said[:200] or type(error).__name__}); rebuild it")


def _errno(error: BaseException, said: str) -> int | None:
    """The operating system's number of an error; tantivy tells it in words."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = _ERRNO.search(said)
    return int(found[1] or found[2]) if found else None
