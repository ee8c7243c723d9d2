"""Files of references, as reference managers write them: BibTeX and RIS → titles, abstracts and ids.

The files are our user's own, yet often made by programs and pasted together: a reference that cannot be read costs
itself. bibtexparser and rispy do the reading.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from storage.identity import strong_aliases
from storage.model import Entry
from storage.profiles import is_file
from storage.search_text import plain_tex

FILE_BYTES_MAX = 8_000_000
REFERENCES_MAX = 5_000
_BLOCKS_MAX = 10 * REFERENCES_MAX  # of BibTeX: what is mostly @ takes minutes to be refused
_RIS_LINE = re.compile(r"^([A-Z][A-Z0-9])[ \t]*-[ \t]?", re.MULTILINE)
_RIS_TITLES = ("title", "primary_title", "translated_title", "short_title")
_RIS_ABSTRACTS = ("abstract", "notes_abstract")
_Fields = dict[str, str]


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference that has a title; TeX is off its text."""

    title: str
    abstract: str
    ids: tuple[str, ...]  # as the archive spells them: arxiv:2606.00012, doi:10.1000/x


@dataclass(frozen=True, slots=True)
class References:
    """The references of one file, and how many others could not be used."""

    references: tuple[Reference, ...]
    skipped: int  # without a title, or not readable


def references_path(name: str, folder: Path | None) -> Path:
    """Where a file of references lies: relative to `folder`, else to that of paperwire.toml."""
    if folder is None:
        from storage.settings import config_path

        folder = config_path().parent
    return folder / Path(name).expanduser()


def require_references(seed: str, folder: Path | None) -> None:
    """Raise ValueError where a seed names a file that is not there; ids are left to the archive."""
    if is_file(seed) and not references_path(seed, folder).is_file():
        raise ValueError(f"like: there is no file {references_path(seed, folder)}")


def read_references(path: Path) -> bytes:
    """Return the bytes of a file of references. Raises ValueError where it is none: absent, a device, too large."""
    try:
        # Not blocking: a named pipe would wait for a writer for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError(f"like: {path.name} is no file")
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ValueError(f"like: cannot read {path} ({error.strerror})") from error
    if len(data) > FILE_BYTES_MAX:
        raise ValueError(f"like: {path.name} has more than {FILE_BYTES_MAX // 1_000_000} MB")
    return data


def parse_references(data: bytes, name: str) -> References:
    """Return the references in `data`, BibTeX where `name` ends in .bib and RIS else; the first 5,000 with a title.

    Text is UTF-8, or Latin-1 where it is not. Raises ValueError where no reference has a title.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    read = _of_bibtex if name.lower().endswith(".bib") else _of_ris
    found, skipped = list[Reference](), 0
    for fields in read(text.replace("\x00", "")):
        reference = _reference(fields) if fields and len(found) < REFERENCES_MAX else None
        skipped += reference is None
        found += [reference] if reference else []
    if not found:
        raise ValueError(f"like: {name} has no reference with a title")
    return References(tuple(found), skipped)


def _reference(fields: _Fields) -> Reference | None:
    title = " ".join(plain_tex(fields.get("title", "")).split())
    if not any(map(str.isalnum, title)):
        return None
    eprint, url, doi = fields.get("eprint", ""), fields.get("url", ""), fields.get("doi", "")
    kind = fields.get("archiveprefix", fields.get("eprinttype", "arxiv")).strip().lower()
    arxiv = eprint.strip() if eprint and kind == "arxiv" else url
    said = Entry(source="", entry_id="", title=title, arxiv_id=arxiv or None, doi=doi or url or None)
    return Reference(title, " ".join(plain_tex(fields.get("abstract", "")).split()), strong_aliases(said))


def _of_bibtex(text: str) -> Iterator[_Fields | None]:
    """The fields of each entry by their name in lower case; None for what cannot be read."""
    from bibtexparser.entrypoint import parse_string
    from bibtexparser.model import DuplicateBlockKeyBlock, DuplicateFieldKeyBlock, Entry, ParsingFailedBlock

    if text.count("@") > _BLOCKS_MAX:
        raise ValueError(f"like: more than {_BLOCKS_MAX:,} @ in one file of BibTeX")
    logging.getLogger("bibtexparser").setLevel(logging.CRITICAL)  # it tells of every entry it cannot read; we count
    try:
        blocks = parse_string(text).blocks
    except Exception as error:  # a library, over a file it was not made for
        raise ValueError(f"like: this is no BibTeX ({type(error).__name__})") from error
    for block in blocks:
        if isinstance(block, DuplicateBlockKeyBlock | DuplicateFieldKeyBlock):  # two of one name are two references
            block = block.ignore_error_block or block
        if isinstance(block, Entry):
            # The first of two fields of one name. Quotes stay around those of a reference whose key came before.
            yield {field.key.lower(): str(field.value).strip('" ') for field in reversed(block.fields)}
        elif isinstance(block, ParsingFailedBlock):
            yield None


def _of_ris(text: str) -> Iterator[_Fields | None]:
    import rispy

    try:
        # Some lack their end, and would take in the next one; some the second space.
        text = _RIS_LINE.sub(r"\1  - ", text).replace("\nTY  - ", "\nER  - \nTY  - ")
        found = rispy.loads(text.rstrip() + "\nER  - \n", skip_unknown_tags=True)
    except Exception as error:
        raise ValueError(f"like: this is no RIS ({type(error).__name__})") from error
    for reference in found:
        texts = {name: str(value) for name, value in reference.items() if isinstance(value, str)}
        urls = " ".join(map(str, reference.get("urls", ()))) if isinstance(reference.get("urls"), list) else ""
        yield texts | {
            "title": next((texts[name] for name in _RIS_TITLES if name in texts), ""),
            "abstract": next((texts[name] for name in _RIS_ABSTRACTS if name in texts), ""),
            "url": texts.get("url", urls),
        }
