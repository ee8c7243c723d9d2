"""How fast each format becomes entries: captured or synthetic answers through the real adapters (bench/sources.py)."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.corpus import tables
from bench.sources_snapshot import lines_of
from bench.steps import cpu_seconds
from flows import snapshot
from flows.fetching import Fetched
from flows.packed import unpacked
from flows.parsing import Parser
from flows.sources import adapter_for
from flows.sources.interface import Request
from storage.errors import SourceError
from storage.settings import Limits, Source
from tests.preprint_documents import NOW, biorxiv_page, biorxiv_row, note
from tests.recordings import as_list, recorded

_ENTRIES_MIN = 5_000  # a format that has fewer is read several times
_SYNTHETIC = 2_000  # papers
_KAGGLE_LINES = 20_000
_KEYS = {"crossref": "2026-06-02 from 0", "pubmed": "2026-06-02 articles 41000001"}
_SOURCES = {
    "arxiv-rss": {"category": "cs"},
    "arxiv-api": {"query": "cat:cs.CV"},
    "crossref": {"query": "graphs"},
    "pubmed": {"query": "sleep"},
    "openreview": {"venue": "Conf/2026"},
    "feed": {"url": "https://feed.test/"},
}
_PACKS = ("arxiv_rss_replay", "arxiv_api", "arxiv_oai", "hf_daily_raw", "crossref", "pubmed", "journal_feeds")


@dataclass(frozen=True)
class Format:
    """Answers of one format, the kind of source that reads them, and whether the parser's child does."""

    name: str
    kind: str
    bodies: Sequence[bytes]
    in_child: bool = False
    once: bool = False  # the child would know a feed again


def table(data: Path, folder: Path) -> None:
    """Unpack the captures, read them and print a line a format."""
    for pack in _PACKS:
        unzstd = "--use-compress-program=zstd -q -d --long=27"
        subprocess.run(["tar", unzstd, "-xf", data / f"{pack}.tar.zst", "-C", folder], check=True)
    start = _start_seconds()
    print(f"\n{'format':24} {'answers':>8} {'entries':>8} {'kB/entry':>9} {'entries/CPU-s':>14}")
    for format_ in _formats(folder):
        entries, seconds = _read(format_, start)
        size, rate = sum(map(len, format_.bodies)) / 1e3 / max(entries, 1), entries / seconds
        print(f"{format_.name:24} {len(format_.bodies):8,} {entries:8,} {size:9.1f} {rate:14,.0f}", flush=True)
    _kaggle(folder)


def _formats(folder: Path) -> Iterator[Format]:
    replay, journals = folder / "arxiv_rss_replay", _bodies(folder / "journal_feeds", "*.xml")
    yield Format("arXiv RSS", "arxiv-rss", _bodies(replay, "2026-*_rss_*"), in_child=True, once=True)
    yield Format("arXiv Atom", "arxiv-rss", _bodies(replay, "2026-*_atom_*"), in_child=True, once=True)
    yield Format("arXiv API, Atom", "arxiv-api", _api_answers(folder / "arxiv_api"))
    yield Format("OAI-PMH, arXivRaw", "arxiv-oai", _bodies(folder / "arxiv_oai", "records_arXivRaw_p*.xml"))
    yield Format("Hugging Face daily JSON", "hf-daily", _bodies(folder / "hf_daily_raw", "*.json"))
    yield Format("Crossref JSON", "crossref", [as_list(a) for a in recorded(folder / "crossref") if a.status == 200])
    yield Format("PubMed XML", "pubmed", _bodies(folder / "pubmed", "*.xml"))
    for name, root in (("RSS", rb"<rss\b"), ("RDF", rb"<rdf:RDF\b"), ("Atom", rb"<feed\b")):
        chosen = [body for body in journals if re.search(root, body[:2_000])]
        if chosen:
            yield Format(f"journal {name}", "feed", chosen, in_child=True, once=True)
    yield Format("JSON Feed (synthetic)", "feed", [_json_feed()])
    yield Format("bioRxiv (synthetic)", "biorxiv", _biorxiv())
    yield Format("OpenReview (synthetic)", "openreview", _openreview())


def _read(format_: Format, start_seconds: float) -> tuple[int, float]:
    """Return the entries of one round and its CPU seconds; the start of the parser's child is taken off."""
    adapter = adapter_for(format_.kind)  # type: ignore[arg-type]
    source = Source(name="bench", kind=format_.kind, **_SOURCES.get(format_.kind, {}))  # type: ignore[arg-type]
    request = _request(source)
    answers = [_answer(body) for body in format_.bodies]
    total = rounds = entries = 0
    before = cpu_seconds()
    with Parser(Limits()) as parser:
        while not rounds or (total < _ENTRIES_MIN and not format_.once and entries):
            entries = 0
            for fetched in answers:
                try:
                    entries += len(adapter.read(source, request, fetched, parser).entries)
                except SourceError:
                    continue  # some captures are errors
            total, rounds = total + entries, rounds + 1
    seconds = cpu_seconds() - before - (start_seconds if format_.in_child else 0)
    return entries, seconds / rounds


def _request(source: Source) -> Request:
    if source.kind in _KEYS:
        return Request(url="https://provider.test/", key=_KEYS[source.kind])
    mark = "1991-09-01T00:00:00+00:00" if source.kind == "arxiv-api" else None  # entries of all years
    return adapter_for(source.kind).plan(source, now=NOW, mark=mark)[0]


def _start_seconds() -> float:
    """CPU seconds of starting the parser's child, and ending it."""
    before = cpu_seconds()
    with Parser(Limits()) as parser:
        parser.parse("bench", b"<rss version='2.0'><channel><title>t</title></channel></rss>", content_type=None)
    return cpu_seconds() - before


def _kaggle(folder: Path) -> None:
    """Lines of arXiv's snapshot to tables of entries."""
    path = folder / "snapshot.json"
    with path.open("wb") as file:
        for made in tables(_KAGGLE_LINES):
            file.writelines(lines_of(made))
    faults, entries = snapshot.Faults(), 0
    before = cpu_seconds()
    with unpacked(path) as stream:
        for found in snapshot.tables(stream, faults):
            entries += found.num_rows
    seconds = cpu_seconds() - before
    assert (entries, faults.count) == (_KAGGLE_LINES, 0), faults
    size = path.stat().st_size / 1e3 / entries
    print(f"{'Kaggle lines (synthetic)':24} {1:8,} {entries:8,} {size:9.1f} {entries / seconds:14,.0f}", flush=True)


def _bodies(folder: Path, pattern: str) -> list[bytes]:
    paths = sorted(path for path in folder.rglob(pattern) if path.is_file() and "edge" not in path.parts)
    return [gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes() for p in paths]


def _api_answers(folder: Path) -> list[bytes]:
    kept = (json.loads(path.read_bytes()) for path in sorted(folder.rglob("*.json")))
    return [one["body"].encode() for one in kept if one["status_code"] == 200] + _bodies(folder, "*.xml")


def _papers() -> list[dict[str, object]]:
    return [row for made in tables(_SYNTHETIC) for row in made.to_pylist()]


def _json_feed() -> bytes:
    items = [
        {
            "id": row["entry_id"],
            "url": row["url"],
            "title": row["title"],
            "content_text": row["abstract"],
            "date_published": f"{row['published_at']:%Y-%m-%dT%H:%M:%SZ}",
            "authors": [{"name": name} for name in row["authors"]],  # type: ignore[attr-defined]
            "tags": row["categories"],
        }
        for row in _papers()
    ]
    return json.dumps({"version": "https://jsonfeed.org/version/1.1", "title": "t", "items": items}).encode()


def _biorxiv() -> list[bytes]:
    """Pages of 30, as its API gives them."""
    rows = [
        biorxiv_row(
            f"10.64898/2026.05.30.{100_000 + number}",
            title=row["title"],
            abstract=row["abstract"],
            authors="; ".join(row["authors"]),  # type: ignore[arg-type]
        )
        for number, row in enumerate(_papers())
    ]
    pages = (rows[start : start + 30] for start in range(0, len(rows), 30))
    return [json.dumps(biorxiv_page(page, total=_SYNTHETIC)).encode() for page in pages]


def _openreview() -> list[bytes]:
    made: Callable[..., dict[str, object]] = note
    notes = [
        made(f"aBcD_{number:05d}", title=row["title"], abstract=row["abstract"], authors=row["authors"])
        for number, row in enumerate(_papers())
    ]
    pages = (notes[start : start + 1_000] for start in range(0, len(notes), 1_000))
    return [json.dumps({"notes": page, "count": _SYNTHETIC}).encode() for page in pages]


def _answer(body: bytes) -> Fetched:
    return Fetched(
        url="https://provider.test/",
        status=200,
        body=body,
        content_type="application/feed+json" if body[:1] == b"{" else "text/xml",
        etag=None,
        last_modified=None,
        wire_bytes=len(body),
        body_sha256="",
        fetched_at=datetime(2026, 6, 2, 6, tzinfo=UTC),
        not_modified=False,
        elapsed_seconds=0.0,
    )
