"""arXiv's metadata snapshot, as Kaggle publishes it, as tables of our columns: a JSON object a line for each paper.

https://www.kaggle.com/datasets/Cornell-University/arxiv. Its fields are those of OAI-PMH's `arXivRaw`, and the same
functions read them: a paper comes out as the `arxiv-oai` adapter reads it, so that a later sighting of it unchanged is
neither a revision nor news. Two things are not in it: the sizes of versions, and arXiv's mark of what is withdrawn, for
which the comments stand. A bad line costs that line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa

from flows.decide import says_withdrawn
from flows.packed import Unpacked
from flows.sources.oai_records import mail_date, split_authors, unwrap
from flows.sources.reading import code_url
from storage.identity import parse_arxiv_id, parse_doi
from storage.rows import VERSIONS, WORDS
from storage.text import fold

FAULTS_NAMED_MAX = 10
_FIELDS = frozenset(["id", "title", "abstract", "authors", "categories", "versions"])  # and never entry_id
_BLOCK_BYTES = 4_000_000  # of lines at once: some 2,500 papers
LINE_BYTES_MAX = 16_000_000
_SAID_CHARACTERS_MAX = 60
_LINES_LOOKED_AT_MAX = 100  # for the first that says what the file is
_TIME = pa.timestamp("us")
_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(("entry_id", "arxiv_id", "title", "abstract"), pa.string()),
    **dict.fromkeys(("authors", "categories"), WORDS),
    **dict.fromkeys(("doi", "journal_ref", "license_url", "url", "pdf_url", "code_url"), pa.string()),
    "version": pa.int32(),
    "published_at": _TIME,
    "withdrawn": pa.bool_(),
    "versions": VERSIONS,
}
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_MAIL_DATE = re.compile(r"(?:[A-Z][a-z]{2}, )?(\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT")
_FORGES = ("github.com", "gitlab.com")  # without one of them reading.code_url finds nothing


@dataclass(slots=True)
class Faults:
    """The lines that are no papers: how many, and the first of them with their reasons."""

    count: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, number: int, reason: str) -> None:
        """Note a line, by its number from 1."""
        self.count += 1
        if len(self.named) < FAULTS_NAMED_MAX:
            self.named.append(f"line {number:,}: {reason}")


class _BadLine(Exception):
    """What is wrong with a line."""


def is_snapshot(stream: Unpacked) -> bool:
    """Whether the first line with an object in it has the fields of the snapshot. Raises LoadError."""
    looked_at = 0
    for _, lines in line_blocks(stream, Faults()):
        for line in lines:
            looked_at += bool(line.strip())
            said = _loaded(line)
            if isinstance(said, dict):
                return said.keys() >= _FIELDS and "entry_id" not in said
            if looked_at >= _LINES_LOOKED_AT_MAX:
                return False
    return False


def tables(stream: Unpacked, faults: Faults) -> Iterator[pa.Table]:
    """Yield tables of entries, of some thousand rows each; lines that are none go to `faults`. Raises LoadError."""
    for first, lines in line_blocks(stream, faults):
        rows = []
        for number, line in enumerate(lines, first):
            try:
                if line and not line.isspace():
                    rows.append(_row(line))
            except _BadLine as bad:
                faults.add(number, str(bad))
        if rows:
            columns = zip(*rows, strict=True)
            arrays = (pa.array(values, kind) for values, kind in zip(columns, _TYPES.values(), strict=True))
            yield pa.table(list(arrays), names=list(_TYPES))


def line_blocks(stream: Unpacked, faults: Faults) -> Iterator[tuple[int, list[bytes]]]:
    """Yield (number of the first, lines) block by block; a line that is too long is a fault and comes out empty."""
    number, rest, skipping = 1, b"", False
    while block := stream.read(_BLOCK_BYTES):
        lines = block.split(b"\n")
        if skipping and len(lines) > 1:
            lines[0], skipping = b"", False
        elif skipping:
            continue
        lines[0] = rest + lines[0]
        rest = lines.pop()
        if lines:
            yield number, lines
            number += len(lines)
        if len(rest) > LINE_BYTES_MAX:
            faults.add(number, f"it has more than {LINE_BYTES_MAX:,} bytes")
            rest, skipping = b"", True
    if rest:
        yield number, [rest]


def _loaded(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _row(line: bytes) -> tuple[object, ...]:
    """The columns of `_TYPES` for one line. Raises _BadLine."""
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _BadLine(f"not JSON: {error}") from error
    if not isinstance(said, dict):
        raise _BadLine("not a JSON object")
    name, abstract = _text(said, "id").strip(), unwrap(_text(said, "abstract"))
    comments, doi = _text(said, "comments"), _text(said, "doi")
    known = parse_arxiv_id(name)
    if known is None:
        raise _BadLine(f"{name[:_SAID_CHARACTERS_MAX]!r} is no arXiv id")
    history = dict(_history(said))
    version, base = max(history, default=None), known[0]
    return (
        f"oai:arXiv.org:{name}",
        base,
        fold(_text(said, "title")),
        abstract,
        split_authors(_text(said, "authors")),
        _text(said, "categories").split(),
        parse_doi(doi) if doi else None,
        " ".join(_text(said, "journal-ref").split()) or None,
        _text(said, "license").strip() or None,
        f"https://arxiv.org/abs/{base}",
        f"https://arxiv.org/pdf/{base}v{version}" if version else f"https://arxiv.org/pdf/{base}",
        _code(abstract) or _code(comments),
        version,
        _moment(history.get(1, "")),
        says_withdrawn(comments),
        _submissions(history),
    )


def _text(said: dict[str, Any], name: str) -> str:
    value = said.get(name)
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    raise _BadLine(f"{name} must be text, not {_shown(value)}")


def _shown(value: object) -> str:
    return repr(value)[:_SAID_CHARACTERS_MAX]


def _history(said: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield (number, date as it is written), as oai_records does of `arXivRaw`."""
    versions = said.get("versions") or ()
    for version in versions if isinstance(versions, list) else (versions,):
        if not isinstance(version, dict):
            raise _BadLine(f"versions must be a list of versions with dates, not of {_shown(version)}")
        number, created = _text(version, "version").removeprefix("v"), _text(version, "created")
        if number.isdecimal() and number.isascii() and len(number) <= 4:
            yield int(number), created


def _submissions(history: dict[int, str]) -> list[dict[str, object]]:
    """The versions whose date can be read."""
    moments = ((number, _moment(history[number])) for number in sorted(history))
    return [{"version": number, "submitted_at": at, "size_bytes": None} for number, at in moments if at]


def _moment(said: str) -> datetime | None:
    """What `mail_date` returns, without its zone; faster where it is written as arXiv writes it."""
    if found := _MAIL_DATE.fullmatch(said):
        day, month, year, hour, minute, second = found.groups()
        try:
            return datetime(int(year), _MONTHS.index(month) // 3 + 1, int(day), int(hour), int(minute), int(second))  # noqa: DTZ001
        except ValueError:
            return None
    at = mail_date(said) if said else None
    return at.astimezone(UTC).replace(tzinfo=None) if at else None


def _code(text: str) -> str | None:
    lower = text.lower()
    return code_url(None, text) if any(forge in lower for forge in _FORGES) else None
