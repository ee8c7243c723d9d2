"""Recorded exchanges with web APIs (YAML cassettes, plain JSON and XML files) as answers an adapter can read."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One answer of a recording."""

    file: str  # within its pack
    url: str
    status: int
    body: bytes  # unpacked
    headers: Mapping[str, str]  # names in lower case


def recorded(folder: Path) -> Iterator[Recorded]:
    """Every answer in a pack, file by file."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        yield from answers_in(path, path.relative_to(folder).as_posix())


def answers_in(path: Path, name: str) -> Iterator[Recorded]:
    """Every answer in one file, called `name`; a file that is no cassette is one answer."""
    if path.suffix not in (".yaml", ".yml"):
        yield Recorded(file=name, url="", status=200, body=path.read_bytes(), headers={})
        return
    cassette = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
    for exchange in cassette.get("interactions") or cassette.get("http_interactions") or []:
        yield _answer(name, exchange)


def as_list(answer: Recorded) -> bytes:
    """The body of an answer of Crossref's, a work asked for by its DOI as a list of one."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return answer.body
    if isinstance(document, dict) and document.get("message-type") == "work":
        return json.dumps({"message": {"items": [document["message"]]}}).encode()
    return answer.body


def _answer(name: str, exchange: dict[str, Any]) -> Recorded:
    response = exchange["response"]
    status = response.get("status") or response["status_code"]
    code = status.get("code") or status.get("status_code") if isinstance(status, dict) else status
    return Recorded(
        file=name,
        url=exchange["request"]["uri"],
        status=int(code),
        body=_body(response.get("body") or response.get("content")),
        headers={str(k).lower(): v[0] if isinstance(v, list) and v else str(v) for k, v in response["headers"].items()},
    )


def _body(said: Any) -> bytes:
    if isinstance(said, dict):
        said = base64.b64decode(said["base64_string"]) if said.get("base64_string") else said.get("string")
    body = said.encode() if isinstance(said, str) else said or b""
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
