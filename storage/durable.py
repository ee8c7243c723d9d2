"""What a power cut must not take back: bytes, and the names that point at them."""

from __future__ import annotations

import os
from pathlib import Path


def fsync(path: Path) -> None:
    """Return once the bytes of a file, or the names in a folder, are on the disk (fsync(2)). Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
