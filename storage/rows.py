"""The row of the log: a paper as it stood after a commit, with the sightings that brought it there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from storage.model import Announcement, Intent, Paper, Sighting, Submission

_TIME = pa.timestamp("us")  # UTC, written without a zone so that every DuckDB reads it without an extension
WORDS = pa.list_(pa.string())
SIGHTING = pa.struct(
    [
        ("source", pa.string()),
        ("entry_id", pa.string()),
        ("seen_at", _TIME),
        ("announced_on", pa.date32()),
        ("announcements", WORDS),
        ("version", pa.int32()),
        ("categories", WORDS),
        ("upvotes", pa.int32()),
        ("comment_count", pa.int32()),
        ("stars", pa.int32()),
        ("citations", pa.int32()),
    ]
)
SUBMISSION = pa.struct([("version", pa.int32()), ("submitted_at", _TIME), ("size_bytes", pa.int32())])
VERSIONS = pa.list_(SUBMISSION)
PAPER_TYPES: dict[str, pa.DataType] = {
    "paper_id": pa.string(),
    "aliases": WORDS,
    "title": pa.string(),
    "abstract": pa.string(),
    "authors": WORDS,
    "categories": WORDS,
    "sources": WORDS,
    "version": pa.int32(),
    "revision": pa.int32(),
    "url": pa.string(),
    "pdf_url": pa.string(),
    "code_url": pa.string(),
    "project_url": pa.string(),
    "doi": pa.string(),
    "journal_ref": pa.string(),
    "license_url": pa.string(),
    "withdrawn": pa.bool_(),
    "announced_on": pa.date32(),
    "published_at": _TIME,
    "first_seen_at": _TIME,
    "announced_at": _TIME,
    "revised_at": _TIME,
    "trending_on": pa.date32(),
    "upvotes": pa.int32(),
    "comment_count": pa.int32(),
    "stars": pa.int32(),
    "content_hash": pa.binary(16),
    "hash_changes": pa.int32(),
    "text_rank": pa.int32(),
    "merged_into": pa.string(),
    "citations": pa.int32(),
    "versions": VERSIONS,
}
LATER = ("citations", "versions")
"""Columns that came later, also of a sighting: they stand last, so that those before them keep their places."""
SCHEMA = pa.schema(
    [
        *((name, kind) for name, kind in PAPER_TYPES.items() if name not in LATER),
        ("seq", pa.int64()),  # the commit that made this row
        ("until_seq", pa.int64()),  # the commit that superseded it; known in history files only
        ("new_at", _TIME),  # announced_at, else published_at, else first_seen_at: what files and lists are sorted by
        ("announcements", WORDS),
        ("changes", WORDS),
        ("reason", pa.string()),
        ("sightings", pa.list_(SIGHTING)),
        *((name, PAPER_TYPES[name]) for name in LATER),
    ]
)
_TUPLES = frozenset(name for name, kind in PAPER_TYPES.items() if kind == WORDS)
_TIMES = frozenset(name for name, kind in PAPER_TYPES.items() if kind == _TIME)
assert list(PAPER_TYPES) == [f.name for f in fields(Paper)]  # noqa: S101 - the file format is the model
assert [f.name for f in SIGHTING] == [f.name for f in fields(Sighting)]  # noqa: S101
assert [f.name for f in SUBMISSION] == [f.name for f in fields(Submission)]  # noqa: S101


def table_of(intents: Sequence[Intent], seq: int) -> pa.Table:
    """The rows of one commit, newest first."""
    rows = sorted((_row(intent, seq) for intent in intents), key=lambda row: row["new_at"], reverse=True)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def paper_of(row: dict[str, Any]) -> Paper:
    """Build a Paper from a row with its columns (more columns do no harm)."""
    values: dict[str, Any] = {name: row.get(name) for name in PAPER_TYPES}
    values |= {name: tuple(values[name] or ()) for name in _TUPLES}
    values |= {name: _aware(values[name]) for name in _TIMES}
    values["versions"] = tuple(map(submission_of, values["versions"] or ()))
    return Paper(**values)


def submission_of(row: dict[str, Any]) -> Submission:
    """Build a Submission from a struct of the log."""
    return Submission(row["version"], _aware(row["submitted_at"]), row["size_bytes"])  # type: ignore[arg-type]


def sighting_of(row: dict[str, Any]) -> Sighting:
    """Build a Sighting from a struct of the log."""
    return Sighting(
        **row
        | {
            "seen_at": _aware(row["seen_at"]),
            "announcements": tuple(Announcement(a) for a in row["announcements"] or ()),
            "categories": tuple(row["categories"] or ()),
        }
    )


def intent_of(row: dict[str, Any]) -> Intent:
    """Build an Intent from a row of the log."""
    return Intent(
        paper=paper_of(row),
        sightings=tuple(sighting_of(s) for s in row["sightings"] or ()),
        changes=tuple(row["changes"] or ()),
        reason=row["reason"],
    )


def _row(intent: Intent, seq: int) -> dict[str, Any]:
    paper = {f.name: _plain(getattr(intent.paper, f.name)) for f in fields(Paper)}
    sightings = [{f.name: _plain(getattr(s, f.name)) for f in fields(Sighting)} for s in intent.sightings]
    found = dict.fromkeys(str(a) for s in intent.sightings for a in s.announcements)
    return paper | {
        "versions": [_submitted(s) for s in intent.paper.versions] or None,
        "seq": seq,
        "until_seq": None,
        "new_at": paper["announced_at"] or paper["published_at"] or paper["first_seen_at"],
        "announcements": list(found),
        "changes": list(intent.changes),
        "reason": intent.reason,
        "sightings": sightings,
    }


def _submitted(submission: Submission) -> dict[str, Any]:
    return {f.name: _plain(getattr(submission, f.name)) for f in fields(Submission)}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, tuple):
        return [str(v) for v in value]
    return value


def _aware(value: object) -> datetime | None:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else None
