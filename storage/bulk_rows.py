"""A table of entries as rows of the log, column by column: what is plain here never becomes a Python object.

Rows that are not plain (text to clean, a notice of withdrawal, an id no source should write) are left to the slow
path, which knows every case. Both are meant to make the same row of the same entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import ArchiveError
from storage.identity import ARXIV_ARCHIVES, parse_arxiv_id, parse_doi
from storage.model import Entry
from storage.rows import SCHEMA, SIGHTING, SUBMISSION, VERSIONS, WORDS, submission_of
from storage.settings import Limits
from storage.survey import KEY_SQL
from storage.text import AUTHORS_MAX, SUBMITTED_FROM, SUBMITTED_UNTIL, URL_CHARACTERS_MAX, VERSIONS_MAX, fold
from storage.titles import title_keys

_TIME = pa.timestamp("us")
_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(("entry_id", "title", "abstract", "url", "pdf_url", "code_url", "project_url"), pa.string()),
    **dict.fromkeys(("arxiv_id", "doi", "openreview_id", "pmid", "journal_ref", "license_url"), pa.string()),
    **dict.fromkeys(("authors", "categories"), WORDS),
    **dict.fromkeys(("version", "upvotes", "comment_count", "stars", "citations"), pa.int32()),
    "announced_on": pa.date32(),
    "published_at": _TIME,
    "withdrawn": pa.bool_(),
    "versions": VERSIONS,
}
_RANGES = {
    _TIME: (pa.scalar(datetime(1, 1, 2, tzinfo=UTC), _TIME), pa.scalar(datetime(9999, 12, 31, tzinfo=UTC), _TIME)),
    pa.date32(): (pa.scalar(date(1, 1, 1), pa.date32()), pa.scalar(date(9999, 12, 31), pa.date32())),
}
_SUBMITTED_FROM, _SUBMITTED_UNTIL = (int(at.timestamp()) * 1_000_000 for at in (SUBMITTED_FROM, SUBMITTED_UNTIL))
COLUMNS = tuple(_TYPES)
"""What a table of entries may have; the rest of an entry's fields have no meaning in bulk. See docs/operate.md."""

_CONTROL = r"\x{00}-\x{08}\x{0b}-\x{1f}\x{7f}-\x{9f}\x{fdd0}-\x{fdef}" + "".join(
    rf"\x{{{plane * 0x10000 + 0xFFFE:x}}}\x{{{plane * 0x10000 + 0xFFFF:x}}}" for plane in range(17)
)
_SPACES = r"\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
# What text.accept or text.fold would change, or what decide would look at twice.
_ODD_TEXT = rf"(?i:w[iı]thdrawn|retracted)|[{_CONTROL}]|^[\s{_SPACES}]|[\s{_SPACES}]$"
_ODD_LINE = rf"(?i:w[iı]thdrawn|retracted)|[{_CONTROL}{_SPACES}\t\n]|^ | $|  |^$"
_PLAIN_URL = r"^https?://[A-Za-z0-9.-]+(?::\d{1,4})?(?:/[A-Za-z0-9._~:/?#@!$&()*+,;=%-]*)?$"
_MONTH = "(?:0[1-9]|1[0-2])"
_PLAIN_ARXIV = (
    rf"^(?:(?:07(?:0[4-9]|1[0-2])|(?:0[89]|1[0-4]){_MONTH})\.\d{{4}}|(?:1[5-9]|[2-9]\d){_MONTH}\.\d{{5}}"
    rf"|(?:{ARXIV_ARCHIVES.replace(' ', '|')})/(?:(?:9[2-9]|0[0-6]){_MONTH}|070[1-3])(?:[1-9]\d\d|0[1-9]\d|00[1-9]))$"
)
_PLAIN_DOI = r"^10\.\d{4,9}/[a-z0-9._;()/:-]*[a-z0-9]$"
_ARXIV_DOI = "10.48550/arxiv."
_FOLDING_DOI = r"^10\.(?:48550|1101|64898)/"

FACTS_OF = ["content_hash", "categories", "doi", "journal_ref", "license_url", "url", "pdf_url", "code_url"]
FACTS_OF += ["project_url", "published_at", "upvotes", "comment_count", "stars", "citations", "versions"]
FACTS_HASH = f"(hash({', '.join(FACTS_OF)}) >> 1)::BIGINT"
"""What a row says, but for its text; equal only within one process."""

_FACTS = f"""
SELECT paper_id, CASE WHEN title_alias IS NULL THEN ids ELSE list_append(ids, title_alias) END AS aliases,
  content_hash, coalesce(published_at, $now::TIMESTAMP) AS new_at,
  coalesce(tidy AND paper_id IS NOT NULL AND len(list_distinct(categories)) = len(categories), false) AS plain,
  arxiv_id IS NOT NULL AS arxiv, ks[1] AS k, ks,
  {KEY_SQL.format("title_alias")} AS title_k, {FACTS_HASH} AS h
FROM (SELECT *, ids[1] AS paper_id, [{KEY_SQL.format("a")} for a in ids] AS ks FROM (
  SELECT *,
    CASE WHEN arxiv_id IS NOT NULL AND doi IS NOT NULL THEN ['arxiv:' || arxiv_id, 'doi:' || doi]
      WHEN arxiv_id IS NOT NULL THEN ['arxiv:' || arxiv_id]
      WHEN entry_id <> '' THEN ['doi:' || doi, 'guid:' || $source || '|' || entry_id] ELSE ['doi:' || doi] END AS ids,
    unhex(md5(concat_ws(chr(31), coalesce(nullif(version, 0)::VARCHAR, ''), title, abstract,
      CASE WHEN len(authors) > 0 THEN array_to_string(authors, chr(31)) END))) AS content_hash
  FROM incoming))
"""
_NARROW = ["title", "abstract", "authors", "categories", "version", "arxiv_id", "doi", "entry_id", "published_at"]
_NARROW += [name for name in FACTS_OF if name not in (*_NARROW, "content_hash")]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of entries with what was found out of each row: see `_FACTS`; `plain` rows can be written as they are."""

    entries: pa.Table
    facts: pa.Table


def sheet_of(table: pa.Table, *, source: str, now: datetime, limits: Limits) -> Sheet:
    """Find out of every row of `table` what a commit must know. Raises ArchiveError where it is no table of entries."""
    entries = _typed(table)
    entries, ids, good = _with_ids(entries)
    titles = title_keys(entries["title"])
    aliases = pa.array([t and f"title:{t}" for t in titles], pa.string())
    narrow = entries.select(_NARROW).append_column("title_alias", aliases)
    narrow = narrow.append_column("tidy", pc.and_(_tidy(entries, limits), good))
    for name in ids.column_names:
        narrow = narrow.set_column(narrow.schema.get_field_index(name), name, ids[name])
    with duckdb.connect(config={"threads": "1", "python_enable_replacements": "false"}) as connection:
        connection.register("incoming", narrow)
        facts = connection.execute(_FACTS, {"now": _naive(now), "source": source}).to_arrow_table()
    return Sheet(entries, facts)


def rows_of(sheet: Sheet, *, source: str, seq: int, now: datetime, text_rank: int) -> pa.Table:
    """The rows of the log for a sheet of plain entries, newest first. A backfill is no news: none is announced."""
    order = pc.sort_indices(sheet.facts, sort_keys=[("new_at", "descending"), ("paper_id", "ascending")])
    entries, facts, count = sheet.entries.take(order), sheet.facts.take(order), sheet.entries.num_rows
    columns: dict[str, Any] = {name: entries[name] for name in COLUMNS if name in SCHEMA.names}
    columns |= {
        "paper_id": facts["paper_id"],
        "aliases": facts["aliases"],
        "content_hash": facts["content_hash"].cast(pa.binary(16)),
        "new_at": facts["new_at"],
        "sources": _lists([source], count),
        "revision": _same(1, pa.int32(), count),
        "withdrawn": _same(False, pa.bool_(), count),
        "first_seen_at": _same(_naive(now), _TIME, count),
        "hash_changes": _same(0, pa.int32(), count),
        "text_rank": _same(text_rank, pa.int32(), count),
        "seq": _same(seq, pa.int64(), count),
        "announcements": _lists([], count),
        "changes": _lists([], count),
        "sightings": _sightings(entries, source, now),
    }
    arrays = [columns[f.name] if f.name in columns else pa.nulls(count, f.type) for f in SCHEMA]
    return pa.table([_whole(a) for a in arrays], schema=SCHEMA)


def entries_of(table: pa.Table, *, source: str, text_rank: int) -> list[Entry]:
    """The rows as entries, for the slow path."""
    known = {f.name for f in fields(Entry)}
    return [
        Entry(source=source, text_rank=text_rank, **{k: _entry_value(v) for k, v in row.items() if k in known})
        for row in (row | {"versions": row["versions"] or []} for row in table.to_pylist())
    ]


def _typed(table: pa.Table) -> pa.Table:
    """The columns of an entry in their types, absent ones null."""
    if "title" not in table.column_names or "entry_id" not in table.column_names:
        raise ArchiveError("a table of entries needs the columns entry_id and title")
    try:
        table.validate(full=True)
        arrays = [_column(table, name, kind) for name, kind in _TYPES.items()]
    except pa.ArrowInvalid as error:
        raise ArchiveError(f"not a table of entries: {str(error).splitlines()[0]}") from error
    return pa.table(arrays, names=list(_TYPES))


def _column(table: pa.Table, name: str, kind: pa.DataType) -> pa.Array:
    if name not in table.column_names:
        default = {WORDS: [], pa.bool_(): False}.get(kind)
        return pa.repeat(pa.scalar(default, kind), table.num_rows)
    column = _whole(table[name])
    if kind == _TIME and pa.types.is_timestamp(column.type) and column.type.tz:
        column = column.cast(pa.timestamp("us", "UTC"))
    column = column.cast(kind)
    if kind in _RANGES:
        return _in_range(column, kind)
    if kind == WORDS and (column.null_count or column.flatten().null_count):  # no list is an empty one
        return pa.array([[v for v in row or () if v is not None] for row in column.to_pylist()], WORDS)
    if kind == VERSIONS:
        return _histories(column)
    if name in ("title", "abstract", "entry_id"):
        return pc.fill_null(column, "")
    return pc.fill_null(column, False) if name == "withdrawn" else column


def _histories(column: pa.Array) -> pa.Array:
    """Lists of versions that each have a number and a day; null where there is none."""
    if column.null_count == len(column):
        return column
    number, at, size = _parts(column)
    at = _in_range(at, _TIME)
    good = pc.and_(number.is_valid(), at.is_valid())
    rows = pc.list_parent_indices(column).filter(good).to_numpy()
    lengths = np.bincount(rows, minlength=len(column))
    offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))), pa.int32())
    structs = pa.StructArray.from_arrays([part.filter(good) for part in (number, at, size)], fields=list(SUBMISSION))
    return pa.ListArray.from_arrays(offsets, structs, mask=pa.array(lengths == 0))


def _parts(column: pa.Array) -> list[pa.Array]:
    """The number, day and size of every version in lists of them."""
    values = column.flatten()
    return [pc.struct_field(values, field.name) for field in SUBMISSION]


def _in_range(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Null where it is in no year that Python, and so whoever reads the row, has a date for."""
    least, most = _RANGES[kind]
    inside = pc.and_(pc.greater_equal(column, least), pc.less_equal(column, most))
    return pc.if_else(pc.fill_null(inside, False), column, pa.scalar(None, kind))


def _with_ids(entries: pa.Table) -> tuple[pa.Table, pa.Table, pa.Array]:
    """The entries with their ids in the form paper ids have, the ids alone, and which rows have none that is odd.

    What is in that form already costs one regular expression. What cannot be an id stays as it is, for the slow path.
    """
    arxiv, good = _canonical(_whole(entries["arxiv_id"]), _PLAIN_ARXIV, _arxiv_of)
    doi, good_doi = _canonical(_whole(entries["doi"]), _PLAIN_DOI, parse_doi, but=_FOLDING_DOI)
    folds = pc.fill_null(pc.starts_with(doi, _ARXIV_DOI), False)
    named = arxiv.is_valid()
    if pc.any(folds).as_py():  # arXiv's own DOI says what the arXiv id says; alone it needs a closer look
        pairs = zip(doi.to_pylist(), folds.to_pylist(), strict=True)
        told = [_arxiv_of(f"arxiv:{d.removeprefix(_ARXIV_DOI)}") if fold_ else None for d, fold_ in pairs]
        good_doi = pc.and_(good_doi, pc.or_(pc.invert(folds), pc.and_(good, named)))
        arxiv = pc.coalesce(arxiv, pa.array(told, pa.string()))
        doi = pc.if_else(folds, pa.scalar(None, pa.string()), doi)
    ids = pa.table({"arxiv_id": arxiv, "doi": doi})
    for name, well in (("arxiv_id", good), ("doi", good_doi)):
        column = pc.if_else(well, ids[name], entries[name])
        if name == "arxiv_id":
            column = pc.if_else(pc.and_(well, pc.invert(named)), pa.scalar(None, pa.string()), column)
        entries = entries.set_column(entries.schema.get_field_index(name), name, column)
    return entries, ids, pc.and_(good, good_doi)


def _canonical(
    column: pa.Array, plain: str, parse: Callable[[str], str | None], but: str | None = None
) -> tuple[pa.Array, pa.Array]:
    """The ids, null where there is none, and which rows are fine: have one, or say nothing."""
    good = pc.fill_null(pc.match_substring_regex(column, plain), True)
    if but is not None:
        good = pc.and_(good, pc.invert(pc.fill_null(pc.match_substring_regex(column, but), False)))
    if pc.all(good).as_py():
        return column, good
    values, fine = column.to_pylist(), good.to_pylist()
    for at in pc.indices_nonzero(pc.invert(good)).to_pylist():
        said, values[at] = values[at], parse(fold(values[at]))
        fine[at] = values[at] is not None or not said
    return pa.array(values, pa.string()), pa.array(fine, pa.bool_())


def _arxiv_of(text: str) -> str | None:
    found = parse_arxiv_id(text)
    return found[0] if found else None


def _tidy(entries: pa.Table, limits: Limits) -> pa.Array:
    """Which rows text.clean and decide would leave as they are."""
    title, abstract = _whole(entries["title"]), _whole(entries["abstract"])
    good = pc.invert(pc.or_(pc.match_substring_regex(title, _ODD_LINE), _whole(entries["withdrawn"])))
    good = pc.and_(good, pc.invert(pc.match_substring_regex(abstract, _ODD_TEXT)))
    good = pc.and_(good, pc.less_equal(pc.binary_length(title), limits.title_bytes_max))
    good = pc.and_(good, pc.less_equal(pc.binary_length(abstract), limits.abstract_bytes_max))
    for name in ("url", "pdf_url", "code_url", "project_url", "license_url"):
        good = pc.and_(good, pc.fill_null(pc.match_substring_regex(_whole(entries[name]), _PLAIN_URL), True))
        good = pc.and_(
            good, pc.fill_null(pc.less_equal(pc.binary_length(_whole(entries[name])), URL_CHARACTERS_MAX), True)
        )
    good = pc.and_(good, pc.less_equal(pc.binary_length(_whole(entries["entry_id"])), URL_CHARACTERS_MAX))
    good = pc.and_(
        good, pc.fill_null(pc.less_equal(pc.list_value_length(_whole(entries["authors"])), AUTHORS_MAX), True)
    )
    for name in ("entry_id", "journal_ref"):
        good = pc.and_(good, pc.invert(pc.fill_null(pc.match_substring_regex(_whole(entries[name]), _ODD_LINE), False)))
    for name in ("openreview_id", "pmid"):
        good = pc.and_(good, pc.is_null(_whole(entries[name])))  # rare in bulk, and not worth a second parser
    for name in ("authors", "categories"):
        good = _without_odd(good, _whole(entries[name]))
    good = pc.and_(good, pc.fill_null(pc.greater_equal(_whole(entries["citations"]), 0), True))
    return _without_odd_versions(good, _whole(entries["versions"]))


def _without_odd(good: pa.Array, lists: pa.Array) -> pa.Array:
    """`good`, but false where a list holds a name that text.fold would change."""
    bad = pc.fill_null(pc.match_substring_regex(lists.flatten(), _ODD_LINE), True)
    rows = pc.unique(pc.list_parent_indices(lists).filter(bad))
    if not len(rows):
        return good
    odd = pc.is_in(pa.array(range(len(lists)), pa.int64()), value_set=rows.cast(pa.int64()))
    return pc.and_(good, pc.invert(odd))


def _without_odd_versions(good: pa.Array, lists: pa.Array) -> pa.Array:
    """`good`, but false where text.clean would change the versions."""
    if lists.null_count == len(lists):
        return good
    number, at, size = (part.cast(pa.int64()).fill_null(0).to_numpy() for part in _parts(lists))
    rows = pc.list_parent_indices(lists).to_numpy()
    odd = (number < 1) | (number > VERSIONS_MAX) | (size < 0)
    odd |= (at < _SUBMITTED_FROM) | (at >= _SUBMITTED_UNTIL)
    odd[1:] |= (rows[1:] == rows[:-1]) & (number[1:] <= number[:-1])
    return pc.and_(good, pa.array(np.bincount(rows[odd], minlength=len(lists)) == 0))


def _sightings(entries: pa.Table, source: str, now: datetime) -> pa.Array:
    count = entries.num_rows
    values = {
        "source": _same(source, pa.string(), count),
        "seen_at": _same(_naive(now), _TIME, count),
        "announcements": _lists([], count),
    }
    arrays = [values[f.name] if f.name in values else _whole(entries[f.name]) for f in SIGHTING]
    structs = pa.StructArray.from_arrays(arrays, fields=list(SIGHTING))
    return pa.ListArray.from_arrays(pa.array(range(count + 1), pa.int32()), structs)


def _same(value: object, kind: pa.DataType, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), count)


def _lists(values: list[str], count: int) -> pa.Array:
    offsets = pa.array(range(0, len(values) * count + 1, len(values)) if values else [0] * (count + 1), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(values * count, pa.string()))


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # which copies even one chunk


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _entry_value(value: object) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    if isinstance(value, list):
        return tuple(submission_of(v) if isinstance(v, dict) else v for v in value)
    return value
