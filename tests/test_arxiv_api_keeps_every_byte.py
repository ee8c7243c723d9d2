"""arXiv's API: captured answers are read as their XML says, and every real title and abstract comes back as it was."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from lxml import etree

from flows.sources import adapter_for
from flows.sources.interface import Request
from storage.errors import SourceError
from storage.model import Entry
from storage.settings import Limits
from storage.text import clean
from tests.preprint_documents import NOW, arxiv_entry, arxiv_feed, read, source_of


def captured(folder: Path) -> dict[str, tuple[str, int, bytes]]:
    """Name → (query or ids, status, body) of every captured answer, in whichever form it was kept."""
    found = {}
    for path in sorted(folder.rglob("*.json")):
        kept = json.loads(path.read_bytes())
        query = re.search(r"id_list=([^&]+)", kept["url"])
        ids = query[1].replace("%2C", ",").replace("%2F", "/") if query else "all:testing"
        found[path.name] = (ids, kept["status_code"], kept["body"].encode())
    for path in sorted(folder.rglob("*.xml")):
        found[path.name] = ("cat:cs.CV", 200, path.read_bytes())
    for path in sorted(folder.rglob("*.yaml")):
        packed = re.findall(r"string: !!binary \|\n((?:        [A-Za-z0-9+/=]+\n)+)", path.read_text())
        for number, text in enumerate(packed):
            found[f"{path.name}:{number}"] = ("cat:cs.CV", 200, gzip.decompress(base64.b64decode(text)))
    return found


NOTHING = {
    "id_0000.0000_s0_m100_8b51d9633a68.json": "arXiv does not know 0000.0000",
    "id_0808.05394_s0_m100_7b0c7d0a7cdd.json": "arXiv does not know 0808.05394",
    "id_abc_s0_m100_b79c8dcf6bc3.json": "arXiv refuses the query: incorrect id format for abc",
}


def everything(query: str) -> Request:
    """A request that wants entries of all years."""
    source = source_of("arxiv-api", query=query)
    (request,) = adapter_for("arxiv-api").plan(source, now=NOW, mark="1991-09-01T00:00:00+00:00")
    return request


def test_every_captured_answer_is_read_or_has_its_reason(unpack: Callable[[str], Path]) -> None:
    answers = captured(unpack("arxiv_api"))
    multi = unpack("multi")
    answers |= {path.name: ("all:transformer", 200, path.read_bytes()) for path in multi.rglob("arxiv_*.xml")}
    entries: list[Entry] = []
    for name, (query, status, body) in answers.items():
        if status != 200:
            with pytest.raises(SourceError, match=NOTHING[name]):
                read("arxiv-api", body, status=status, query=query, request=everything(query))
            continue
        harvest = read("arxiv-api", body, query=query, request=everything(query))
        assert harvest.problems == (), name
        if not harvest.entries:
            assert NOTHING[name] in harvest.notes, name
        for element, entry in zip(etree.fromstring(body).iterfind("{*}entry"), harvest.entries, strict=True):
            assert_same(element, entry)
        entries += harvest.entries
    assert len(answers) == 24
    assert len(entries) > 420
    names = ("entry_id", "arxiv_id", "version", "title", "authors", "abstract", "published_at", "categories")
    shares = {name: sum(bool(getattr(e, name)) for e in entries) / len(entries) for name in names}
    optional = ("doi", "journal_ref", "code_url", "announce_type", "announced_on", "license_url")
    rare = {name: sum(bool(getattr(e, name)) for e in entries) / len(entries) for name in optional}
    print(f"\narxiv-api, {len(entries)} entries of {len(answers)} captured answers")
    print("\n".join(f"  {name:<14} {share:6.1%}" for name, share in (shares | rare).items()))
    assert shares == dict.fromkeys(names, 1.0)
    assert rare["announced_on"] == rare["license_url"] == 0.0, "what the API does not say"


def assert_same(element: etree._Element, entry: Entry) -> None:
    """An entry says what its XML says, as lxml reads it without us."""
    assert entry.entry_id == element.findtext("{*}id")
    assert entry.title.split() == str(element.findtext("{*}title")).split()
    assert entry.abstract == str(element.findtext("{*}summary")).strip()
    assert list(entry.authors) == [name.text for name in element.iterfind("{*}author/{*}name")]
    terms = [c.get("term") for c in element.iterfind("{*}category")]
    assert sorted(entry.categories) == sorted(set(terms))
    assert f"{entry.arxiv_id}v{entry.version}" in entry.entry_id
    assert clean(entry, Limits()).title


@pytest.mark.slow
def test_every_real_title_and_abstract_comes_back_byte_for_byte(shared_data: Path) -> None:
    """As the API wrote them for years (titles broken, abstracts indented) and as it writes them in 2026."""
    rows = pq.read_table(shared_data / "bench" / "arxiv_papers.parquet", columns=["title", "abstract"]).to_pylist()
    same, broken = {"now": 0, "then": 0}, 0
    for start in range(0, len(rows), 1_000):
        batch = rows[start : start + 1_000]
        for form in same:
            said = [as_written(number, row, form) for number, row in enumerate(batch)]
            broken += sum("\n  " in entry.partition("</title>")[0] for entry in said)
            harvest = read("arxiv-api", arxiv_feed(*said))
            for entry, row in zip(harvest.entries, batch, strict=True):
                assert entry.title.encode() == row["title"].encode()
                assert entry.abstract.encode() == row["abstract"].strip().encode()
                same[form] += 1
    print(f"\n{len(rows):,} papers, {broken:,} titles broken over lines; title and abstract the same: {same}")
    assert broken > 10_000
    assert set(same.values()) == {len(rows)}


def as_written(number: int, row: dict[str, str], form: str) -> str:
    """A paper as the API writes it; `then` it broke a title at a space near column 70 and indented the abstract."""
    title, abstract = row["title"], row["abstract"]
    if form == "then":
        title = re.sub(r"(.{60,70}[^ ]) (?=[^ ])", r"\1\n  ", title)
        abstract = f"  {abstract.strip()}\n"
    return arxiv_entry(f"2606.{number + 1:05}v1", title=title, summary=abstract)
