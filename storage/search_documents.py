"""A row of the archive → a document of the search index, and the paper back out of it.

A document answers two kinds of questions. What a box of words asks (storage/search_query.py) meets words in the
singular; what a query of docs/queries.md asks (storage/finding_query.py) meets every word as `normal_text` spells it,
and all else that a query can ask of a row. The row itself is kept too, checked when it is read: to show a paper that
was found costs a look-up and no row group of text.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa
import tantivy

from storage.errors import ArchiveCorrupt
from storage.model import Paper
from storage.query_terms import FACT_FIELDS, Asked, Fact, fold, found, normal_text
from storage.rows import PAPER_TYPES, paper_of
from storage.search_query import ANNOUNCED
from storage.search_text import BREAK, names, singular, words

TERM_CHARACTERS_MAX = 4_096  # more than a query can spell; of a longer word only so much is indexed
COLUMNS = (*PAPER_TYPES, "seq", "new_at")
_NEEDED = ("paper_id", "title", "abstract", "authors", "categories")
_EPOCH, _BEGINNING = date(1970, 1, 1), datetime(1970, 1, 1)  # noqa: DTZ001 - columns of the archive are UTC so
_COUNTS = {"votes": "upvotes", "comments": "comment_count", "stars": "stars", "version": "version", "row_seq": "seq"}
_TIMES = tuple(name for name, kind in PAPER_TYPES.items() if pa.types.is_timestamp(kind))
_DAYS = tuple(name for name, kind in PAPER_TYPES.items() if pa.types.is_date(kind))
# What rows have in common: what is named here costs next to nothing in each of them.
_COMMON = (
    "the of and to a in for that we is with on this are by as from which an our be can show results using based "
    "model models method data approach proposed performance propose However, In this paper, we state-of-the-art "
    + "".join(f'","{name}":"' for name in sorted(PAPER_TYPES))
    + '"guid:arxiv-rss:oai:arXiv.org:"title:"https://arxiv.org/pdf/"https://arxiv.org/abs/"'
).encode()

_PLAIN = {code: chr(code).lower() if chr(code).isalnum() else " " for code in range(128)}
_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)  # none of what is asked here depends on it

Row = dict[str, Any]


def plain_rows(rows: pa.Table) -> list[Row]:
    """The rows as Python sees them, with all columns that a document is made of; those not given are None."""
    given = {name: rows.column(name) if name in rows.column_names else pa.nulls(rows.num_rows) for name in COLUMNS}
    for name in _NEEDED:
        given[name] = rows.column(name)
    return list(pa.table(given).to_pylist())


def document_of(row: Row) -> tantivy.Document:
    """The document of one row."""
    document = tantivy.Document(**_searched(row), **_exact(row))
    for field, value in _numbers(row).items():
        document.add_integer(field, value)
    document.add_bytes("row", _packed(row))
    return document


def paper_in(document: tantivy.Document) -> Paper:
    """The paper a document was made of. Raises ArchiveCorrupt where its bytes are not those that were written."""
    try:
        unpacking = zlib.decompressobj(zdict=_COMMON)
        raw = document.get_first("row")
        row = orjson.loads(unpacking.decompress(bytes(raw)) if raw is not None else b"")
        if not unpacking.eof:  # its checksum stands at the end
            raise ValueError("cut short")
        for name in _TIMES:
            row[name] = datetime.fromisoformat(row[name]) if name in row else None
        for name in _DAYS:
            row[name] = date.fromisoformat(row[name]) if name in row else None
        row["versions"] = [v | {"submitted_at": datetime.fromisoformat(v["submitted_at"])} for v in row["versions"]]
        return paper_of(row | {"content_hash": bytes.fromhex(row["content_hash"])})
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        raise ArchiveCorrupt("the search index is damaged (a paper in it cannot be read); rebuild it") from error


def _searched(row: Row) -> dict[str, Any]:
    """What a box of words asks for."""
    title, abstract = words(row["title"]), words(row["abstract"] or "")
    people = names(BREAK.join(row["authors"] or ()))
    signed = singular(people)
    outside = {*title, *signed}.difference(abstract)
    whole, categories = " ".join(title), {fold(name) for name in row["categories"] or ()}
    archives = {f"{name.split('.')[0]}." for name in categories if "." in name}
    return {
        "paper_id": row["paper_id"],
        # The title twice: what it says weighs more.
        "text": f" {BREAK} ".join((whole, whole, " ".join(abstract), " ".join(signed))),
        "title": whole,
        "author": " ".join(people),
        "outside": " ".join(outside),
        "category": [*categories, *archives],
    }


def _exact(row: Row) -> dict[str, Any]:
    """What a query of the language asks of words, lists and facts; by the very functions that it asks a paper with."""
    asked = Asked(paper_of(row), frozenset(), _ANY_TIME)
    listed = {name: asked.text(name).strip("|").split("|") for name in ("category", "source", "id")}
    facts = [name for name in FACT_FIELDS if found(Fact(name, True, name), asked) is not None]
    return {
        "title_exact": exact_words(row["title"]),
        "abstract_exact": exact_words(row["abstract"] or ""),
        "author_exact": _cut_words(asked.text("author")),
        "category_exact": _cut(listed["category"]),
        "source": _cut(listed["source"]),
        # An id is asked for whole, or by what follows its last colon.
        "id": _cut({name.rpartition(":")[2]: None for name in listed["id"]}),
        "flag": [*facts, *([ANNOUNCED] if row["announced_at"] else [])],
    }


def exact_words(text: str) -> str:
    """The words of `normal_text`, single spaces between them; most text is plain, and quicker to read."""
    if text.isascii() and "\\" not in text:
        return _cut_words(text.translate(_PLAIN))
    return _cut_words(normal_text(text))


def _cut_words(text: str) -> str:
    found = text.split()
    return " ".join(found if len(text) <= TERM_CHARACTERS_MAX else _cut(found))


def _cut(terms: Iterable[str]) -> list[str]:
    return [term[:TERM_CHARACTERS_MAX] for term in terms if term]


def _numbers(row: Row) -> dict[str, int]:
    """Counts, the day and the moment of a row, where it has them; moments in microseconds, the day in days."""
    found = {field: row[name] for field, name in _COUNTS.items()}
    day = row["announced_on"] or (row["first_seen_at"].date() if row["first_seen_at"] else None)
    found["day"] = (day - _EPOCH).days if day else None
    found["new_at"] = microseconds(row["new_at"])
    return {field: value for field, value in found.items() if value is not None}


def microseconds(moment: datetime | None) -> int | None:
    """A moment as the index counts: microseconds from 1970 in UTC, which is the zone of one without a zone."""
    if moment is None:
        return None
    plain = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    since = plain - _BEGINNING
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def moment(count: int) -> datetime:
    """The moment of `microseconds`, aware UTC."""
    return (_BEGINNING + timedelta(microseconds=count)).replace(tzinfo=UTC)


def days(day: date) -> int:
    """A day as the index counts."""
    return (day - _EPOCH).days


def _packed(row: Row) -> bytes:
    kept = {name: row[name] for name in PAPER_TYPES if row[name] is not None}
    kept["content_hash"] = (row["content_hash"] or b"").hex()
    kept["versions"] = row["versions"] or []
    packing = zlib.compressobj(1, zdict=_COMMON)
    return packing.compress(orjson.dumps(kept)) + packing.flush()
