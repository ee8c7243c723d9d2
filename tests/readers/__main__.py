"""`python -m tests.readers`: drive every reader that is installed and print the page; `--write` keeps it in docs/."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import SHARED_DATA
from tests.readers import table
from tests.readers.following import follow_all
from tests.readers.replayed import replay


def main(arguments: list[str]) -> int:
    """Returns 1 where a reader is missing: a page without it is not written."""
    with tempfile.TemporaryDirectory(prefix="readers-") as name:
        folder = Path(name)
        pack = folder / "pack"
        pack.mkdir()
        source = SHARED_DATA / "arxiv_rss_replay.tar.zst"
        subprocess.run(f"zstd -q -d --long=27 -c {source} | tar -xf - -C {pack}", shell=True, check=True)  # noqa: S602
        replayed = replay(pack / "arxiv_rss_replay", folder)
        followed, missing = follow_all(replayed, folder / "readers")
        page = table.page(table.rows(replayed, followed).values(), replayed)
    print(page)
    for line in missing:
        print(line, file=sys.stderr)
    if "--write" in arguments and not missing:
        table.PAGE.write_text(page, "utf-8")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
