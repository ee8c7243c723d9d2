"""How fast records of OAI-PMH become entries, by format.

    .venv/bin/python -m bench.oai [DATA]      DATA is the folder of captured packs; default ../shared/data

Prints entries per CPU second, the protocol and the ids included. Times are noisy: trust the ratio.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from flows.fetching import Fetched
from flows.parsing import Parser
from flows.sources import adapter_for
from flows.sources.interface import Request
from storage.settings import Limits, Source

FORMATS = ("arXivRaw", "arXiv", "arXivOld", "oai_dc")
ROUNDS = 10


def main() -> None:
    """Unpack, run and print one line per format."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "shared" / "data"
    print(f"{'format':10} {'pages':>6} {'entries':>8} {'MB/CPU s':>9} {'entries/CPU s':>14}")
    with tempfile.TemporaryDirectory() as folder, Parser(Limits()) as parser:
        unzstd = "--use-compress-program=zstd -q -d --long=27"
        subprocess.run(["tar", unzstd, "-xf", data / "arxiv_oai.tar.zst", "-C", folder], check=True)
        for name in FORMATS:
            paths = sorted(Path(folder).rglob(f"records_{name}_p*.xml"))
            print_row(name, [path.read_bytes() for path in paths], parser)


def print_row(name: str, pages: list[bytes], parser: Parser) -> None:
    """Read the pages several times and print the row."""
    adapter, source = adapter_for("arxiv-oai"), Source(name="bench", kind="arxiv-oai")
    request = Request(url="https://oaipmh.arxiv.org/oai", key="from 2026-01-01")
    answers = [answer(page) for page in pages]
    started = time.process_time()
    entries = sum(
        len(adapter.read(source, request, fetched, parser).entries) for _ in range(ROUNDS) for fetched in answers
    )
    seconds = time.process_time() - started
    megabytes = ROUNDS * sum(map(len, pages)) / 1e6
    print(f"{name:10} {len(pages):6} {entries // ROUNDS:8,} {megabytes / seconds:9.1f} {entries / seconds:14,.0f}")


def answer(body: bytes) -> Fetched:
    """An answer with this body."""
    return Fetched(
        url="https://oaipmh.arxiv.org/oai",
        status=200,
        body=body,
        content_type="text/xml",
        etag=None,
        last_modified=None,
        wire_bytes=len(body),
        body_sha256="",
        fetched_at=datetime(2026, 6, 2, tzinfo=UTC),
        not_modified=False,
        elapsed_seconds=0.0,
    )


if __name__ == "__main__":
    main()
