"""arXiv's snapshot for tests: its lines, made of small values or of the OAI-PMH records of the same papers."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

from lxml import etree

from flows.sources.oai import local_name, text_in
from tests.oai_repository import ABSTRACT

NAME = "arxiv-metadata-oai-snapshot.json"
_TEXTS = ("submitter", "authors", "title", "comments", "journal-ref", "doi", "report-no", "categories", "license")


def line(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A line of the snapshot; `_` for `-` in the names of fields."""
    said = {
        "id": f"2606.{number:05d}",
        "submitter": "Ada Example",
        "authors": "Ada Example and B\\'ela Minta",
        "title": f"On the Title\n  of Number {number}",
        "comments": "12 pages",
        "journal-ref": None,
        "doi": None,
        "report-no": None,
        "categories": "cs.CL cs.AI",
        "license": "http://creativecommons.org/licenses/by/4.0/",
        "abstract": f"  Number {number}. {ABSTRACT}\n",
        "versions": [{"version": "v1", "created": "Mon, 1 Jun 2026 14:59:59 GMT"}],
        "update_date": "2026-06-02",
        "authors_parsed": [["Example", "Ada", ""], ["Minta", "Béla", ""]],
    }
    return said | {name.replace("_", "-") if name == "journal_ref" else name: value for name, value in changes.items()}


def as_line(metadata: etree._Element) -> dict[str, Any]:
    """The line of a paper whose `arXivRaw` metadata is given: the snapshot has the same texts as JSON."""
    texts = {local_name(child): text_in(child) for child in metadata}
    versions = [
        {"version": child.get("version"), "created": next(text_in(e) for e in child if local_name(e) == "date")}
        for child in metadata
        if local_name(child) == "version"
    ]
    return {
        "id": texts["id"],
        **{name: texts.get(name) for name in _TEXTS},
        "abstract": texts["abstract"],
        "versions": versions,
        "update_date": "2026-06-02",
        "authors_parsed": [],
    }


def as_bytes(*lines: dict[str, Any] | str | bytes) -> bytes:
    """The bytes of these lines."""
    return b"".join(_encoded(one) + b"\n" for one in lines)


def _encoded(one: dict[str, Any] | str | bytes) -> bytes:
    if isinstance(one, bytes):
        return one
    return (one if isinstance(one, str) else json.dumps(one)).encode()


def write(path: Path, *lines: dict[str, Any] | str | bytes, inside: str = NAME) -> Path:
    """A file of these lines, packed as its name says."""
    text = as_bytes(*lines)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(inside, text)
    else:
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path
