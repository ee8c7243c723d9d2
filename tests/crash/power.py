"""Power cuts: a real file system on a loop device, shut down in the middle of things, mounted again and checked.

The shut-down throws away what was not synced, as a power cut does: neither the file system's own log nor the page
cache is written (EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN with NOLOGFLUSH, one number for both).
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.crash.report import Row
from tests.crash.scenes import checked
from tests.crash.workers import Workers

KINDS = ("ext4", "xfs")
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2  # linux/fs/ext4/ext4.h, linux/fs/xfs/libxfs/xfs_fs.h
_IMAGE_BYTES = {"ext4": 64 << 20, "xfs": 320 << 20}  # sparse; xfs wants 300 MB
_CUTS_A_DISK = 5


@dataclass(frozen=True, slots=True)
class Disk:
    """An image with a file system on it."""

    kind: str
    image: Path
    mounted: Path

    def mount(self) -> None:
        """Mount it, which replays its log."""
        _run("mount", "-o", "loop", str(self.image), str(self.mounted))

    def unmount(self) -> None:
        """Unmount it."""
        _run("umount", str(self.mounted))

    def cut(self) -> None:
        """Cut its power: nothing more reaches the image."""
        descriptor = os.open(self.mounted, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)


def why_not(kind: str, folder: Path) -> str:
    """Why no power can be cut on this kind of file system here, or ''."""
    if not shutil.which(f"mkfs.{kind}"):
        return f"mkfs.{kind} is not installed"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with new_disk(kind, folder) as disk:
            disk.cut()
    except subprocess.CalledProcessError as error:
        return f"no {kind} image can be mounted here ({error.stderr.decode().strip().splitlines()[0]})"
    except OSError as error:
        return f"{kind} cannot be shut down here ({error.strerror})"
    return ""


@contextmanager
def new_disk(kind: str, folder: Path) -> Iterator[Disk]:
    """Make a file system, mount it, and take it away afterwards. Raises CalledProcessError."""
    disk = Disk(kind, folder / f"{kind}.img", folder / kind)
    with disk.image.open("wb") as file:
        file.truncate(_IMAGE_BYTES[kind])
    disk.mounted.mkdir(exist_ok=True)
    _run(f"mkfs.{kind}", "-q", str(disk.image))
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()
        disk.image.unlink()


def cut_power(workers: Workers, folder: Path, kind: str, *, cuts: int, seed: int = 1) -> Row:
    """Cut the power of a running ingest, right after an acknowledgement or at a random moment, and check each time."""
    row, chance = Row(f"power cuts on {kind}"), random.Random(f"{kind} {seed}")  # noqa: S311 - reproducible
    if reason := why_not(kind, folder):
        row.skipped = reason
        return row
    while row.points < cuts:
        with new_disk(kind, folder) as disk:
            done = 0
            for _ in range(min(_CUTS_A_DISK, cuts - row.points)):
                done = _cut_once(workers, disk, row, done, chance)
    return row.done()


def _cut_once(workers: Workers, disk: Disk, row: Row, done: int, chance: random.Random) -> int:
    """One cut in an archive of which `done` steps are committed; returns how many are after it and its check."""
    home = disk.mounted / "home"
    compact_every = 5
    running = workers.start("ingest", home, first=done, until=None, publish=True, compact_every=compact_every).go()
    if row.points % 2:
        running.wait(chance.uniform(0.05, 1))
    else:
        running.wait_for_steps(chance.randint(1, 6))
    disk.cut()
    row.points += 1
    row.killed += 1
    running.kill()
    acknowledged = running.outcome().acknowledged
    disk.unmount()
    disk.mount()
    done = max([done, *(step + 1 for step in acknowledged)])
    found = checked(workers.run("check", home, acknowledged=done, until=done + 1, tidy=row.points % _CUTS_A_DISK == 0))
    row.take(f"cut {row.points}, {done} steps acknowledged", found)
    return done + 1


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
