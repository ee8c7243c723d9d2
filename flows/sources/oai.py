"""OAI-PMH, the protocol: one answer → its records, what was deleted, and the token of the page that comes next.

https://www.openarchives.org/OAI/openarchivesprotocol.html. Errors come inside HTTP 200; "nothing to list" is one of
them. What the records hold is for the caller to read. A record whose XML is damaged costs that record alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from lxml import etree

from flows.sources.reading import parsed_xml
from storage.errors import ParseError, SourceError
from storage.settings import Source

_LISTS = ("ListRecords", "GetRecord")
_TOKEN_CHARACTERS_MAX = 2_000
_SAID_CHARACTERS_MAX = 200
_SIZE_DIGITS_MAX = 12
_DAMAGED_MAX = 100  # records; with more, the answer as a whole is no good
_HEAD_BYTES_MAX = 4_096  # within so many, an answer has said what it is
_ROOT = re.compile(rb"<OAI-PMH\b[^>]*>")
_HTML = re.compile(rb"\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_IDENTIFIER = re.compile(rb"<identifier>\s*([^<>\s]{1,200})\s*</identifier>")
_RECORD, _RECORD_END, _ROOT_END = b"<record>", b"</record>", b"</OAI-PMH>"
# arXiv prints the protocol's own explanation of a code first, then what it means.
_REASON = re.compile(r"\A.*? Reason: ")
_DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record; its metadata is in whatever format was asked for, or absent where the answer leaves it out."""

    identifier: str
    changed_on: date | None  # when it changed last, as the repository says
    sets: tuple[str, ...]
    metadata: etree._Element | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer to a request for records."""

    answered_on: date | None  # the day of the server's own clock, where it tells
    records: tuple[Record, ...]
    deleted: tuple[str, ...]  # identifiers
    damaged: tuple[str, ...]  # a line for each record that could not be read
    token: str | None  # of the next page; None on the last
    reached: date | None  # the last day of the page, where its records are in the order of their days; else the first
    size: int | None  # records in the whole list, where it says


def read_page(source: Source, body: bytes) -> Page:
    """Read one answer. Nothing to list (`noRecordsMatch`) is a page without records.

    Raises SourceError where the answer is an error, and ParseError where it is no whole OAI-PMH answer.
    """
    try:
        root, damaged = parsed_xml(body), tuple[str, ...]()
    except etree.XMLSyntaxError as error:
        root, damaged = _salvage(source, body, error)
    _require_oai(source, root)
    _raise_error(source, root)
    listed = next((child for child in root if local_name(child) in _LISTS), None)
    if listed is None and not _errors(root):
        verb = local_name(root[-1]) if len(root) else "nothing"
        raise ParseError(source.name, f"it returned {verb[:40]} where records were asked for")
    records = [child for child in listed if local_name(child) == "record"] if listed is not None else []
    return Page(
        answered_on=day_of(_text_of(root, "responseDate")),
        records=tuple(_record(record) for record in records if not _is_deleted(record)),
        deleted=tuple(_record(record).identifier for record in records if _is_deleted(record)),
        damaged=damaged,
        token=_token(source, listed) if listed is not None else None,
        reached=_reached(records),
        size=_size(listed) if listed is not None else None,
    )


def local_name(element: etree._Element) -> str:
    """Return the name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def text_in(element: etree._Element) -> str:
    """Return all text inside an element, as it is written."""
    return "".join(map(str, element.itertext())) if len(element) else element.text or ""


def _require_oai(source: Source, root: etree._Element) -> None:
    name = local_name(root)
    if name != "OAI-PMH":
        what = "an HTML page" if name.lower() == "html" else f"<{name[:40]}>, which is no OAI-PMH answer"
        raise ParseError(source.name, f"it returned {what}")
    if root.getroottree().docinfo.internalDTD is not None:  # entities would be cut out of the texts
        raise ParseError(source.name, "it declares a document type, which no OAI-PMH answer has")


def _errors(root: etree._Element) -> tuple[tuple[str, str], ...]:
    """Return (code, what it says) of each error."""
    errors = (child for child in root if local_name(child) == "error")
    return tuple((error.get("code") or "", " ".join(text_in(error).split())) for error in errors)


def _raise_error(source: Source, root: etree._Element) -> None:
    """Raise SourceError where the answer is an error and not merely an empty list."""
    for code, words in _errors(root):
        if code == "noRecordsMatch":
            continue
        said = _REASON.sub("", words)[:_SAID_CHARACTERS_MAX]
        does = "does not continue the list" if code == "badResumptionToken" else "refuses the request"
        raise SourceError(source.name, f"it {does}: {code[:40] or 'an error without a code'}{said and f' ({said})'}")


def _record(record: etree._Element) -> Record:
    header = _child(record, "header")
    about = list(header) if header is not None else []
    metadata = _child(record, "metadata")
    return Record(
        identifier=next((text_in(e).strip() for e in about if local_name(e) == "identifier"), ""),
        changed_on=day_of(next((text_in(e) for e in about if local_name(e) == "datestamp"), "")),
        sets=tuple(text_in(e).strip() for e in about if local_name(e) == "setSpec"),
        metadata=metadata[0] if metadata is not None and len(metadata) else None,
    )


def _is_deleted(record: etree._Element) -> bool:
    header = _child(record, "header")
    return header is not None and header.get("status") == _DELETED


def _token(source: Source, listed: etree._Element) -> str | None:
    """Return the token of the next page. The last page has an empty one, as the protocol wants, or none, as arXiv."""
    token = _text_of(listed, "resumptionToken").strip()
    if len(token) > _TOKEN_CHARACTERS_MAX:
        raise ParseError(source.name, f"its resumption token has {len(token):,} characters")
    return token or None


def _reached(records: Sequence[etree._Element]) -> date | None:
    days = [day for record in records if (day := _record(record).changed_on)]
    if not days:
        return None
    return days[-1] if days == sorted(days) else min(days)


def _size(listed: etree._Element) -> int | None:
    """Return how many records the whole list has. arXiv said so until its server of 2025."""
    token = _child(listed, "resumptionToken")
    said = (token.get("completeListSize") or "") if token is not None else ""
    return int(said) if said.isdecimal() and said.isascii() and len(said) <= _SIZE_DIGITS_MAX else None


def _child(element: etree._Element, name: str) -> etree._Element | None:
    return next((child for child in element if local_name(child) == name), None)


def _text_of(element: etree._Element, name: str) -> str:
    child = _child(element, name)
    return text_in(child) if child is not None else ""


def day_of(said: str) -> date | None:
    """Return the day a date or a time begins with, or None."""
    try:
        return date.fromisoformat(said.strip()[:10])
    except ValueError:
        return None


# Damaged answers: one character that XML forbids, or one byte of another charset, spoils a page of a thousand records.


def _salvage(source: Source, body: bytes, error: etree.XMLSyntaxError) -> tuple[etree._Element, tuple[str, ...]]:
    """Return the answer with those records that are well-formed by themselves, and a line for each of the others."""
    said = " ".join(str(error.msg).split())[:_SAID_CHARACTERS_MAX]
    if _HTML.match(body[:_HEAD_BYTES_MAX]):
        raise ParseError(source.name, "it returned an HTML page") from error
    opening = _ROOT.search(body[:_HEAD_BYTES_MAX])
    if opening is None:
        raise ParseError(source.name, f"it returned no XML ({said})") from error
    if not body.rstrip().endswith(_ROOT_END):
        raise ParseError(source.name, f"its answer breaks off after {body.count(_RECORD_END):,} records") from error
    first, last = body.find(_RECORD), body.rfind(_RECORD_END) + len(_RECORD_END)
    if first < 0 or last <= first:
        raise ParseError(source.name, f"its XML is damaged ({said})") from error
    try:
        root = parsed_xml(body[:first] + body[last:])
    except etree.XMLSyntaxError as outside:
        raise ParseError(source.name, f"its XML is damaged outside the records ({outside.msg})") from outside
    records, damaged = _whole_records(body[: opening.end()], body[first:last])
    if len(damaged) > _DAMAGED_MAX:
        raise ParseError(source.name, f"its XML is damaged in more than {_DAMAGED_MAX} records ({said})") from error
    next((child for child in root if local_name(child) in _LISTS), root).extend(records)
    return root, tuple(damaged)


def _whole_records(head: bytes, records: bytes) -> tuple[list[etree._Element], list[str]]:
    """Parse record by record under the answer's own declaration; return them, and a line for what is no whole record.

    Stops where too much is damaged.
    """
    whole: list[etree._Element] = []
    damaged: list[str] = []
    for piece in records.split(_RECORD_END)[:-1]:
        *unclosed, record = piece.split(_RECORD)[1:] or [piece]
        for broken in unclosed[: _DAMAGED_MAX + 1]:
            damaged.append(_damage(broken, len(whole) + len(damaged) + 1, "no </record>"))
        try:
            whole.append(parsed_xml(head + _RECORD + record + _RECORD_END + _ROOT_END)[0])
        except etree.XMLSyntaxError as error:
            damaged.append(_damage(record, len(whole) + len(damaged) + 1, " ".join(str(error.msg).split())))
        if len(damaged) > _DAMAGED_MAX:
            break
    return whole, damaged


def _damage(record: bytes, number: int, reason: str) -> str:
    found = _IDENTIFIER.search(record[:_HEAD_BYTES_MAX])
    name = found[1].decode("utf-8", "replace") if found else f"number {number}"
    return f"entry {name}: its XML is damaged ({reason[:_SAID_CHARACTERS_MAX]})"
