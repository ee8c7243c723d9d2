"""What the records of OAI-PMH say: arXiv's formats (`arXivRaw`, `arXiv`, `arXivOld`) and Dublin Core → entries.

Abstracts and names come out as arXiv's feeds and API spell them, so that the same paper from there is no revision.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import pairwise

from lxml import etree

from flows.calendars import batch_day
from flows.sources.oai import Record, day_of, local_name, text_in
from flows.sources.reading import code_url, plain
from publishers.readable import readable
from storage.errors import EntryError
from storage.identity import parse_arxiv_id, parse_doi
from storage.model import Entry, Submission
from storage.settings import Source

# Captures of 2016 to 2023 have abstracts with two spaces in front, broken into lines of less than 80 characters.
_COLUMNS = 80
_IN_PARENTHESES = re.compile(r"\([^()]*\)")
_NESTED_MAX = 4  # parentheses within parentheses; real lines have two
_BETWEEN_NAMES = re.compile(r" ?[,;:] ?(?:(?:and|&) )?| (?:and|&) ")
# arXiv's feeds and API have a space behind every full stop within a name: "C. -W. Phan".
_FULL_STOP = re.compile(r"\.(?=[^\s.,])")
_ET_AL = re.compile(r"et al\.?")
_TEX_CHARACTERS_MAX = 500  # a name that is longer is none, and stays as it is
_SUFFIX = re.compile(r"(?:[JS]r|II|III|IV)\.?")
_LATELY = timedelta(days=30)  # so long a version is news; moderators hold some back for weeks
_SIZE = re.compile(r"([0-9]{1,9})kb", re.IGNORECASE)
_NO_JOURNAL = re.compile(r"https?:|doi:", re.IGNORECASE)


def entry_of(source: Source, record: Record) -> Entry:
    """Return what a record says. Raises EntryError where it has no metadata, an unknown format, or no id."""
    if record.metadata is None:
        raise EntryError(source.name, record.identifier, "it has no metadata")
    name = local_name(record.metadata)
    if name not in _FORMATS:
        raise EntryError(source.name, record.identifier, f"its metadata is <{name[:40]}>, which is not read here")
    said = _FORMATS[name](record, record.metadata)
    named = next((known for text in said.names if (known := parse_arxiv_id(text))), None)
    own = name != "dc" or _is_arxivs(record)
    if own and named is None:
        raise EntryError(source.name, record.identifier, "it has no arXiv id")
    base = named[0] if named else None
    return Entry(
        source=source.name,
        entry_id=record.identifier or base or said.address or "",
        title=said.title,
        abstract=said.abstract,
        authors=said.authors,
        categories=said.categories,
        url=f"https://arxiv.org/abs/{base}" if base else said.address,
        pdf_url=f"https://arxiv.org/pdf/{base}" + (f"v{said.version}" if said.version else "") if base else None,
        code_url=code_url(None, said.abstract) or code_url(None, said.comments),
        arxiv_id=base,
        version=said.version,
        versions=said.versions,
        doi=said.doi,
        published_at=said.published_at,
        journal_ref=said.journal_ref,
        license_url=said.license_url,
        announce_type=(announced := _announce_type(record, said)),
        # A record says when its paper was submitted, and that tells the batch it was announced in.
        announced_on=batch_day(said.published_at) if announced == "new" and said.published_at else None,
        withdrawn=said.withdrawn,
        text_rank=3 if own else 1,
    )


def _announce_type(record: Record, said: _Said) -> str | None:
    """Whether a record that changed is of a version that came lately: most changes only touch what is old."""
    if record.changed_on is None or said.versioned_at is None:
        return None
    if record.changed_on - said.versioned_at.date() > _LATELY:
        return "update"
    return "replace" if (said.version or 1) > 1 else "new"


def unwrap(text: str) -> str:
    """Return an abstract as arXiv's feeds have it: each paragraph on one line, a further one behind `\\n  `.

    A line break is undone only where the next word would not have fitted on the line: other breaks are the author's.
    """
    lines = text.replace("\r\n", "\n").lstrip("\n").rstrip().split("\n")
    joined = [lines[0]]
    for before, line in pairwise(lines):
        joined += (" " if _is_wrapped(before, line) else "\n", line)
    return "".join(joined).strip()


def split_authors(text: str) -> tuple[str, ...]:
    r"""Return the names in arXiv's author line: "A B, C D, Jr. (Inst) and \'E. F ((1) Inst, (2) Inst)".

    Affiliations go, a collaboration before its colon is a name, TeX accents are letters, initials stand apart.
    """
    bare = " ".join(text.split())
    for _ in range(_NESTED_MAX if "(" in bare else 0):
        bare = _IN_PARENTHESES.sub("", bare)
    names: list[str] = []
    for part in _BETWEEN_NAMES.split(bare.partition("(")[0].replace(")", "")):
        if names and _SUFFIX.fullmatch(part.strip()):
            names[-1] += f" {part.strip()}"
        elif not _ET_AL.fullmatch(part.strip()):
            names.append(part)
    return tuple(_FULL_STOP.sub(". ", name) for name in _spelled(names))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What the metadata of a record says, whatever its format."""

    names: tuple[str, ...]  # that may hold an arXiv id
    title: str
    abstract: str
    authors: tuple[str, ...]
    categories: tuple[str, ...]
    comments: str = ""
    address: str | None = None
    version: int | None = None
    versioned_at: datetime | None = None  # when that version came
    versions: tuple[Submission, ...] = ()
    withdrawn: bool = False
    published_at: datetime | None = None
    doi: str | None = None
    journal_ref: str | None = None
    license_url: str | None = None


def _raw(record: Record, metadata: etree._Element) -> _Said:
    """Read `arXivRaw`, and `arXivOld`, which is the same without versions."""
    texts = {local_name(child): text_in(child) for child in metadata}
    versions = {number: (mail_date(date), size) for number, date, size in _versions(metadata)}
    last = max(versions, default=0)
    return _Said(
        names=(texts.get("id", ""), record.identifier),
        title=texts.get("title", "").strip(),
        abstract=unwrap(texts.get("abstract", "")),
        authors=split_authors(texts.get("authors", "")),
        categories=tuple(texts.get("categories", "").split()),
        comments=texts.get("comments", ""),
        version=last or None,
        versioned_at=versions[last][0] if versions else None,
        versions=tuple(Submission(n, at, _bytes(size)) for n, (at, size) in sorted(versions.items()) if at),
        withdrawn=_is_empty(metadata),
        published_at=versions[1][0] if 1 in versions else None,
        doi=parse_doi(texts.get("doi", "")),
        journal_ref=" ".join(texts.get("journal-ref", "").split()) or None,
        license_url=texts.get("license", "").strip() or None,
    )


def _arxiv(record: Record, metadata: etree._Element) -> _Said:
    texts = {local_name(child): text_in(child) for child in metadata}
    authors = (author for child in metadata if local_name(child) == "authors" for author in child)
    return _Said(
        names=(texts.get("id", ""), record.identifier),
        title=texts.get("title", "").strip(),
        abstract=unwrap(texts.get("abstract", "")),
        authors=_spelled(map(_full_name, authors)),
        categories=tuple(texts.get("categories", "").split()),
        comments=texts.get("comments", ""),
        published_at=_first_day(texts.get("id", ""), [texts.get("created", "")]),
        doi=parse_doi(texts.get("doi", "")),
        journal_ref=" ".join(texts.get("journal-ref", "").split()) or None,
        license_url=texts.get("license", "").strip() or None,
    )


def _dublin_core(record: Record, metadata: etree._Element) -> _Said:
    texts: dict[str, list[str]] = {}
    for child in metadata:
        texts.setdefault(local_name(child), []).append(text_in(child))
    own, names = _is_arxivs(record), [name.strip() for name in texts.get("identifier", [])]
    described = next(iter(texts.get("description", [])), "")
    return _Said(
        names=(record.identifier,) if own else tuple(name for name in names if "arxiv" in name.lower()),
        title=next(iter(texts.get("title", [])), "").strip(),
        abstract=unwrap(described) if own else " ".join(plain(described, "text/plain").split()),
        authors=_spelled(map(_turned, texts.get("creator", []))),
        categories=_categories_in(record.sets) if own else tuple(texts.get("subject", [])),
        address=next((name for name in names if name.startswith(("http://", "https://"))), None),
        published_at=_first_day(record.identifier, texts.get("date", [])),
        doi=next((doi for name in names if (doi := parse_doi(name))), None),
        journal_ref=next((" ".join(n.split()) for n in names if own and n and not _NO_JOURNAL.match(n)), None),
        license_url=next((said.strip() for said in texts.get("rights", []) if said.strip().startswith("http")), None),
    )


_FORMATS: dict[str, Callable[[Record, etree._Element], _Said]] = {
    "arXivRaw": _raw,
    "arXivOld": _raw,
    "arXiv": _arxiv,
    "dc": _dublin_core,
}


def _is_arxivs(record: Record) -> bool:
    return record.identifier.lower().startswith("oai:arxiv.org:")


def _is_wrapped(before: str, line: str) -> bool:
    if not line[:1].strip():  # empty or indented: another paragraph
        return False
    no_room = len(before) + 1 + len(line.partition(" ")[0]) >= _COLUMNS
    return no_room and (len(before) < _COLUMNS or " " not in before.strip())


def _versions(metadata: etree._Element) -> Iterator[tuple[int, str, str]]:
    """Yield (number, date, size), both as they are written."""
    for child in metadata:
        number = (child.get("version") or "").removeprefix("v")
        if local_name(child) == "version" and number.isdecimal() and number.isascii() and len(number) <= 4:
            said = {local_name(inner): text_in(inner) for inner in reversed(child)}
            yield int(number), said.get("date", ""), said.get("size", "")


def _bytes(size: str) -> int | None:
    """Read "42kb": arXiv rounds to thousands of bytes."""
    found = _SIZE.fullmatch(size.strip())
    return int(found[1]) * 1_000 if found else None


def _is_empty(metadata: etree._Element) -> bool:
    """Whether the last version holds nothing and is marked so, which is how arXiv withdraws a paper."""
    last = next((child for child in reversed(metadata) if local_name(child) == "version"), None)
    said = {local_name(inner): text_in(inner).strip() for inner in last} if last is not None else {}
    return said.get("size", "").lower() == "0kb" and "I" in said.get("source_type", "")


def mail_date(said: str) -> datetime | None:
    """Return the moment in a date as mail has it, in UTC; None where it is none."""
    try:
        at = parsedate_to_datetime(said)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _first_day(name: str, said: Iterable[str]) -> datetime | None:
    """Return the first of these days, at midnight; for an arXiv id only where it fits the month in the id.

    arXiv's `created` was once the day of the first version and is now that of the last.
    """
    day = min(filter(None, map(day_of, said)), default=None)
    if day is None or ((known := parse_arxiv_id(name)) and not _fits(known[0], day)):
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _fits(base: str, day: date) -> bool:
    """Whether a paper of this id may have been submitted on a day: ids are given in the same month or the next."""
    number = base.rpartition("/")[2]
    year, month = int(number[:2]), int(number[2:4])
    months_later = (year + (1900 if year >= 91 else 2000) - day.year) * 12 + month - day.month
    return months_later in (0, 1)


def _categories_in(sets: Sequence[str]) -> tuple[str, ...]:
    """Return the categories that arXiv's sets stand for: `cs:cs:CL`, `physics:hep-th`, and groups, which are none."""
    return tuple(".".join(name.split(":")[1:][-2:]) for name in sets if ":" in name)


def _full_name(author: etree._Element) -> str:
    said = {name: [text_in(e) for e in author if local_name(e) == name] for name in ("forenames", "keyname", "suffix")}
    return " ".join(part.replace(",", "") for parts in said.values() for part in parts)


def _turned(name: str) -> str:
    """Return "Last, First" as "First Last", and "Last, Jr., First" as "First Last Jr."."""
    last, *rest = (part.strip() for part in name.split(","))
    return " ".join((*rest[-1:], last, *rest[:-1]))


def _spelled(names: Iterable[str]) -> tuple[str, ...]:
    """Return names with TeX accents as letters; what has no letter is none, such as the colon after a collaboration."""
    spelled = (
        readable(name) if "\\" in name and len(name) <= _TEX_CHARACTERS_MAX else " ".join(name.split())
        for name in names
    )
    return tuple(name for name in spelled if any(map(str.isalpha, name)))
