"""Synthetic papers of realistic size, made here and the same on every machine: `python -m bench.corpus [--real PATH]`.

No text is copied: content words are made of syllables, the English around them is in corpus_words.toml. What is
imitated are sizes, because they decide what an archive costs. The aim, stated for real arXiv records at zstd-3 with
16k-row groups: 374 B an abstract, 30 B a title, 31 B the authors, 2.4 B the categories; 18.6 % of the abstracts and
2.6 % of the titles carry TeX. With --real the same is measured on a file of real ones, and how it was collected shows:
one whose abstracts have 1,056 characters gave 348 B, and its categories 2.7 B as collected but 4.0 B sorted by date.

The papers of a corpus of N lie in 360 months up to June 2026 whose volume grows as arXiv's did: the last 30 days of
3,000,000 hold some 25,000.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.corpus_words import (
    OLD_ARCHIVES,
    Units,
    accented,
    categories,
    content_units,
    glue,
    openers,
    people,
    tex_units,
    title_glue,
    weighted_table,
    zipf_table,
)
from storage.model import Entry

Ints = npt.NDArray[np.int64]
Rng = np.random.Generator

SOURCE = "arxiv-bulk"
MONTHS = 360  # July 1996 to June 2026
SIZE_MAX = 3_500_000  # more, and a month before 2015 needs a fifth digit
_FIRST_MONTH = (1996 - 1970) * 12 + 6  # months since 1970
_GROWTH = 0.00785  # of the volume a month: 1.5 k in 1996, 25 k in 2026 for 3 M in all
_NEW_STYLE = (2007 - 1970) * 12 + 3  # https://info.arxiv.org/help/arxiv_identifier.html: YYMM.NNNN from April 2007,
_FIVE_DIGITS = (2015 - 1970) * 12  # five digits from January 2015
_BLOCK = 10_000  # rows made at once, each block from its own seed: a row depends on its number alone
_TEX_ABSTRACTS, _TEX_TITLES, _ACCENTED_TITLES = 0.186, 0.026, 0.02
_TOPIC_WORDS, _REPEATED_WORDS = 0.45, 0.26  # shares of an abstract's content words
_PAIRS_MEAN, _PAIRS_SPREAD = 64.0, 25.0  # of content and connecting words in an abstract
REAL_BYTES = {"abstract": 374.0, "title": 30.0, "authors": 31.0, "categories": 2.4}

SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("entry_id", pa.string()),
        ("arxiv_id", pa.string()),
        ("version", pa.int32()),
        ("title", pa.string()),
        ("abstract", pa.string()),
        ("authors", pa.list_(pa.string())),
        ("categories", pa.list_(pa.string())),
        ("doi", pa.string()),
        ("journal_ref", pa.string()),
        ("url", pa.string()),
        ("pdf_url", pa.string()),
        ("license_url", pa.string()),
        ("published_at", pa.timestamp("us")),
        ("withdrawn", pa.bool_()),
    ]
)


def tables(
    count: int, *, seed: int = 1, rows: int = 50_000, start: int = 0, size: int | None = None
) -> Iterator[pa.Table]:
    """Yield papers `start` to `start + count` of a corpus whose 360 months hold `size` (default: all up to the last).

    A paper depends on seed, size and its number, not on how it is asked for. Numbers from `size` on lie in the months
    after June 2026. Raises ValueError where `size` is more than the ids of a month can number.
    """
    size = size or start + count
    if size > SIZE_MAX:
        raise ValueError(f"a corpus of {size:,} papers; ids suffice for {SIZE_MAX:,}")
    for first in range(start, start + count, rows):
        last = min(first + rows, start + count)
        blocks = []
        for block in range(first // _BLOCK, (last - 1) // _BLOCK + 1):
            table, offset = _block(block, seed, size), block * _BLOCK
            low, high = max(first - offset, 0), min(last - offset, _BLOCK)
            blocks.append(table if high - low == _BLOCK else table.slice(low, high - low))
        yield pa.concat_tables(blocks)


def batch(
    known: pa.Table, fresh: pa.Table, *, rows: int = 2_000, known_share: float = 0.9, revised: int = 0
) -> pa.Table:
    """Return what a poll brings: `known_share` of the rows from `known`, the rest from `fresh`, newest first.

    The first `revised` known rows come as a next version with one more sentence.
    """
    known_rows = round(rows * known_share)
    if known.num_rows < known_rows or fresh.num_rows < rows - known_rows:
        raise ValueError(f"{known.num_rows} known and {fresh.num_rows} fresh papers do not make {rows}")
    old = known.slice(0, known_rows)
    parts = [fresh.slice(0, rows - known_rows), _revised(old.slice(0, revised)), old.slice(revised)]
    return pa.concat_tables(parts).sort_by([("published_at", "descending")]).combine_chunks()


def entries(table: pa.Table, *, source: str | None = None) -> list[Entry]:
    """Return the rows as entries, as arXiv itself would have said them."""
    found = []
    for row in table.drop_columns(["withdrawn"]).to_pylist():
        row |= {"authors": tuple(row["authors"]), "categories": tuple(row["categories"])}
        row |= {
            "published_at": row["published_at"].replace(tzinfo=UTC),
            "source": source or row["source"],
            "text_rank": 3,
        }
        found.append(Entry(**row))
    return found


def column_bytes(table: pa.Table, columns: tuple[str, ...] = tuple(REAL_BYTES)) -> dict[str, float]:
    """Return the compressed bytes a row of each column: zstd-3, 16k-row groups, no dictionary."""
    buffer = io.BytesIO()
    pq.write_table(
        table.select(columns),
        buffer,
        compression="zstd",
        compression_level=3,
        row_group_size=16_384,
        use_dictionary=False,
    )
    found = dict.fromkeys(columns, 0.0)
    metadata = pq.ParquetFile(io.BytesIO(buffer.getvalue())).metadata
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            found[chunk.path_in_schema.split(".")[0]] += chunk.total_compressed_size / table.num_rows
    return found


@dataclass(frozen=True, slots=True)
class _Words:
    """Every string a text is made of in one array, and where the kinds begin."""

    strings: pa.StringArray
    common: Units  # draw tables of numbers into `strings`
    topical: Units
    glue: Units
    title_glue: Units
    openers: tuple[int, int]
    capital: int  # what to add to a content word's number to have it with a capital
    content: int  # how many content words there are
    tex: tuple[int, int]
    accented: tuple[int, int]
    full_stop: int
    nothing: int


@cache
def _words() -> _Words:
    content, (joints, weights), (title_joints, title_weights) = content_units(), glue(), title_glue()
    capitals = [c[:1].upper() + c[1:] for c in content]
    parts = [content, capitals, tex_units(), accented(), openers(), joints, title_joints, [".", ""]]
    begins = np.cumsum([0, *map(len, parts)]).tolist()
    return _Words(
        strings=pa.array([s for part in parts for s in part], pa.string()),
        common=zipf_table(len(content), exponent=1.03, shift=10),
        topical=zipf_table(5_000, exponent=1.0, shift=4),
        glue=weighted_table(weights) + np.int32(begins[5]),
        title_glue=weighted_table(title_weights) + np.int32(begins[6]),
        tex=(begins[2], begins[3]),
        accented=(begins[3], begins[4]),
        openers=(begins[4], begins[5]),
        capital=begins[1],
        content=len(content),
        full_stop=begins[7],
        nothing=begins[7] + 1,
    )


def _draw(rng: Rng, table: Units, count: int) -> Units:
    """`count` draws from a table whose length is a power of two."""
    return table[rng.integers(0, len(table), count, dtype=np.uint32)]


def _block(block: int, seed: int, size: int) -> pa.Table:
    rng = np.random.Generator(np.random.SFC64([seed, size, block]))
    number = np.arange(block * _BLOCK, (block + 1) * _BLOCK, dtype=np.int64)
    month, serial, when = _months(number, size)
    old = np.where(month < _NEW_STYLE, serial % len(OLD_ARCHIVES), -1)
    ids = _ids(month, serial)
    categories, topic = _categories(rng, number / size, old)
    columns = {
        "source": pa.array([SOURCE], pa.string()).take(pa.array(np.zeros(_BLOCK, np.int32))),
        "entry_id": _joined("oai:arXiv.org:", ids),
        "arxiv_id": ids,
        "version": pa.array(1 + np.minimum(rng.geometric(0.62, _BLOCK) - 1, 5), pa.int32()),
        "title": _titles(rng, topic),
        "abstract": _abstracts(rng, topic),
        "authors": _authors(rng, topic),
        "categories": categories,
        "doi": _dois(rng, number),
        "journal_ref": _journals(rng, month),
        "url": _joined("https://arxiv.org/abs/", ids),
        "pdf_url": _joined("https://arxiv.org/pdf/", ids),
        "license_url": _licenses(rng),
        "published_at": pa.array(when, pa.timestamp("us")),
        "withdrawn": pa.array(np.zeros(_BLOCK, np.bool_)),
    }
    return pa.table(columns, schema=SCHEMA)


def _months(number: Ints, size: int) -> tuple[Ints, Ints, Ints]:
    """For each paper its month since 1970, its place in that month from 0, and its time in microseconds."""
    scale = np.expm1(_GROWTH * MONTHS) / size
    position = np.log1p((number + 0.5) * scale) / _GROWTH
    whole = np.floor(position).astype(np.int64)
    # The first paper of a month is the first whose middle lies at or after the month's beginning.
    first = np.ceil(np.expm1(_GROWTH * whole) / scale - 0.5).astype(np.int64)
    month = _FIRST_MONTH + whole
    start = month.astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
    end = (month + 1).astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
    seconds = ((position - whole) * (end - start)).astype(np.int64) // 1_000_000
    return month, number - first, start + seconds * 1_000_000


def _ids(month: Ints, serial: Ints) -> pa.StringArray:
    """arXiv ids: hep-th/9901001 before April 2007, 0704.0001 before 2015, 1501.00001 since."""
    year_month = (1970 + month // 12) % 100 * 100 + month % 12 + 1
    head = _digits(year_month, 4)
    archive = pa.array(OLD_ARCHIVES).take(pa.array(serial % len(OLD_ARCHIVES)))
    old = pc.binary_join_element_wise(archive, "/", head, _digits(serial // len(OLD_ARCHIVES) + 1, 3), "")
    tail = pc.if_else(pa.array(month >= _FIVE_DIGITS), _digits(serial + 1, 5), _digits(serial + 1, 4))
    return pc.if_else(pa.array(month < _NEW_STYLE), old, pc.binary_join_element_wise(head, ".", tail, ""))


def _digits(values: Ints, width: int) -> pa.StringArray:
    return pc.utf8_lpad(pc.cast(pa.array(values), pa.string()), width, "0")


def _joined(*parts: object) -> pa.StringArray:
    return pc.binary_join_element_wise(*parts, "")


def _text(units: Units, ends: Ints) -> pa.StringArray:
    """One string a row of the units up to its end; the units lie in one buffer already, so only offsets are new."""
    pieces = _words().strings.take(pa.array(units))
    offsets = np.frombuffer(pieces.buffers()[1], np.int32)[: len(pieces) + 1]
    rows = np.concatenate([offsets[:1], offsets[ends]])
    return pa.StringArray.from_buffers(len(ends), pa.py_buffer(rows), pieces.buffers()[2])


def _abstracts(rng: Rng, topic: Ints) -> pa.StringArray:
    words = _words()
    pairs = np.clip(rng.normal(_PAIRS_MEAN, _PAIRS_SPREAD, _BLOCK), 8, 130).astype(np.int64)
    ends = np.cumsum(pairs)
    content = _content(rng, np.repeat(topic, pairs), _TOPIC_WORDS)
    _repeat_some(rng, content, ends, pairs)
    _put_tex(rng, content, ends - pairs, pairs, _TEX_ABSTRACTS)
    content[ends - pairs] = rng.integers(*words.openers, _BLOCK)
    glue = _draw(rng, words.glue, len(content))
    glue[ends - 1] = words.full_stop
    return _text(_interleaved(content, glue), 2 * ends)


def _titles(rng: Rng, topic: Ints) -> pa.StringArray:
    words = _words()
    pairs = np.clip(rng.normal(5.8, 1.7, _BLOCK), 2, 12).astype(np.int64)
    ends = np.cumsum(pairs)
    content = _content(rng, np.repeat(topic, pairs), _TOPIC_WORDS)
    content[rng.random(len(content)) < 0.35] += words.capital
    begins = ends - pairs
    content[begins] = content[begins] % words.content + words.capital
    _put_tex(rng, content, begins, pairs, _TEX_TITLES)
    accented = np.flatnonzero(rng.random(_BLOCK) < _ACCENTED_TITLES)
    content[begins[accented]] = rng.integers(*words.accented, len(accented))
    glue = _draw(rng, words.title_glue, len(content))
    glue[ends - 1] = words.nothing
    return _text(_interleaved(content, glue), 2 * ends)


def _content(rng: Rng, topic: Ints, topical_share: float) -> Units:
    """Content words: some from everybody's vocabulary, some from that of the row's topic."""
    words, count = _words(), len(topic)
    topical = (_draw(rng, words.topical, count) + (topic * 1_171).astype(np.int32)) % np.int32(words.content)
    return np.where(rng.random(count, np.float32) < topical_share, topical, _draw(rng, words.common, count))


def _repeat_some(rng: Rng, content: Units, ends: Ints, pairs: Ints) -> None:
    """Say a word again that came shortly before in the same text, as people do."""
    places = np.flatnonzero(rng.random(len(content), np.float32) < _REPEATED_WORDS)
    begins = np.repeat(ends - pairs, pairs)[places]
    back = places - rng.integers(1, 24, len(places))
    content[places] = content[np.maximum(back, begins)]


def _put_tex(rng: Rng, content: Units, begins: Ints, pairs: Ints, share: float) -> None:
    """Give this share of the rows TeX: in the second word for certain, in one of nine others by chance."""
    words, chosen = _words(), rng.random(len(begins)) < share
    places = rng.random(len(content), np.float32) < 1 / 9
    places &= np.repeat(chosen, pairs)
    places[begins[chosen] + 1] = True
    content[places] = rng.integers(*words.tex, int(places.sum()))


def _interleaved(first: Units, second: Units) -> Units:
    both = np.empty(2 * len(first), np.int32)
    both[0::2], both[1::2] = first, second
    return both


@cache
def _names() -> tuple[pa.StringArray, Units]:
    return pa.array(people()), zipf_table(len(people()), exponent=0.5, shift=20)


def _authors(rng: Rng, topic: Ints) -> pa.ListArray:
    """Four names a paper on average, few papers with many; a field's people write together more than once."""
    names, table = _names()
    count = np.minimum(1 + rng.poisson(rng.gamma(1.3, 2.4, _BLOCK)), 60).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)
    group = rng.integers(0, 700, _BLOCK) + topic * 700  # who works together
    lead = _draw(rng, zipf_table(2_048, exponent=0.8, shift=8), int(offsets[-1])) + np.repeat(group * 61, count)
    anyone = _draw(rng, table, len(lead))
    chosen = np.where(rng.random(len(lead), np.float32) < 0.4, lead % len(names), anyone)
    return pa.ListArray.from_arrays(pa.array(offsets), names.take(pa.array(chosen)))


def _categories(rng: Rng, age: npt.NDArray[np.float64], old: Ints) -> tuple[pa.ListArray, Ints]:
    """Lists of one to four categories, primary first, and the number of the primary one; fields grow and shrink."""
    names, early, late = categories()
    primary = np.where(rng.random(_BLOCK) < age, _draw(rng, late, _BLOCK), _draw(rng, early, _BLOCK)).astype(np.int64)
    primary = np.where(old >= 0, np.array([names.index(a) for a in OLD_ARCHIVES])[old], primary)
    second = (primary + rng.choice([1, 2, 3, -1, -2, 7], _BLOCK, p=[0.55, 0.15, 0.05, 0.15, 0.05, 0.05])) % len(names)
    third = (primary + rng.choice([4, 5, -3, 9], _BLOCK)) % len(names)
    fourth = (primary + rng.choice([6, -4, 11], _BLOCK)) % len(names)
    count = rng.choice([1, 2, 3, 4], _BLOCK, p=[0.42, 0.36, 0.15, 0.07])
    every = np.stack([primary, second, third, fourth], axis=1)
    flat = every[np.arange(4)[None, :] < count[:, None]]
    offsets = pa.array(np.concatenate([[0], np.cumsum(count)]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(names).take(pa.array(flat))), primary


def _dois(rng: Rng, number: Ints) -> pa.StringArray:
    """A DOI for 30 %; the paper's number is in it, so no two are equal."""
    registrants = pa.array([f"10.{r}/" for r in (1103, 1016, 1007, 1088, 1109, 3390, 1145, 1038)])
    journals = pa.array(
        [f"{a}{b}." for a in ("phr", "jgr", "s", "tac", "j.", "cvl") for b in ("eva", "in", "lox", "t")]
    )
    who = registrants.take(pa.array(rng.integers(0, len(registrants), _BLOCK)))
    what = journals.take(pa.array(rng.integers(0, len(journals), _BLOCK)))
    serial = pc.cast(pa.array(number * 7 + rng.integers(0, 7, _BLOCK)), pa.string())
    return pc.if_else(pa.array(rng.random(_BLOCK) < 0.3), _joined(who, what, serial), None)


def _journals(rng: Rng, month: Ints) -> pa.StringArray:
    """A journal reference for one in six."""
    names = (
        "Ann. Venn. Ser.",
        "J. Tor. Phys.",
        "Proc. Lorn Conf.",
        "Trans. Quel. Sys.",
        "Rev. Mod. Dyl.",
        "Acta Morin.",
    )
    name = pa.array([f"{n} {s}" for n in names for s in "ABCD"]).take(pa.array(rng.integers(0, 24, _BLOCK)))
    volume = pc.cast(pa.array(rng.integers(1, 300, _BLOCK)), pa.string())
    year = pc.cast(pa.array(1970 + (month + 8) // 12), pa.string())
    page = pc.cast(pa.array(rng.integers(1, 9_000, _BLOCK)), pa.string())
    return pc.if_else(pa.array(rng.random(_BLOCK) < 1 / 6), _joined(name, " ", volume, " (", year, ") ", page), None)


def _licenses(rng: Rng) -> pa.StringArray:
    names = (
        "nonexclusive-distrib/1.0/",
        "creativecommons.org/licenses/by/4.0/",
        "creativecommons.org/publicdomain/zero/1.0/",
    )
    urls = [f"http://{'arxiv.org/licenses/' if n.startswith('non') else ''}{n}" for n in names]
    return pa.array(urls).take(pa.array(rng.choice(3, _BLOCK, p=[0.6, 0.35, 0.05])))


def _revised(table: pa.Table) -> pa.Table:
    """The same papers as a next version whose abstract has one more sentence."""
    version = pc.cast(pc.add(table["version"], 1), pa.int32())
    abstract = pc.binary_join_element_wise(table["abstract"], "We correct one estimate.", " ")
    table = table.set_column(table.schema.get_field_index("version"), "version", version)
    return table.set_column(table.schema.get_field_index("abstract"), "abstract", abstract).cast(SCHEMA)


def main() -> None:
    """Print how our papers compare to real ones, and how fast they are made."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--real", type=Path, help="a Parquet file with title, abstract, authors and categories")
    options = parser.parse_args()
    _words(), _names()
    start = time.process_time()
    made = pa.concat_tables(list(tables(options.count)))
    seconds = time.process_time() - start
    rate, size = options.count / seconds, made.nbytes / options.count
    print(f"{options.count:,} papers, {rate:,.0f} a CPU-second; {size:,.0f} B each in memory")
    measured = {"real, stated": {f"{c} B": b for c, b in REAL_BYTES.items()}, "synthetic": _measures(made)}
    if options.real:
        measured["real, this file"] = _measures(pq.read_table(options.real))
    names = list(measured["synthetic"])
    print(f"{'':24}" + "".join(f"{name:>17}" for name in measured))
    for name in names:
        print(f"{name:24}" + "".join(f"{f'{m[name]:.2f}' if name in m else '':>17}" for m in measured.values()))


def _measures(table: pa.Table) -> dict[str, float]:
    """What is compared, by name."""
    tex = r"\$[^$]+\$|\\[a-zA-Z]+|\\[\"'`^~=.]"
    found = {f"{column} B": size for column, size in column_bytes(table).items()}
    for column in ("abstract", "title"):
        text = table[column]
        found[f"{column} characters"] = pc.mean(pc.utf8_length(text)).as_py()
        found[f"{column} B a character"] = found[f"{column} B"] / found[f"{column} characters"]
        found[f"{column} with TeX %"] = 100 * pc.mean(pc.match_substring_regex(text, tex)).as_py()
        found[f"{column} non-ASCII %"] = 100 - 100 * pc.mean(pc.cast(pc.string_is_ascii(text), pa.int8())).as_py()
    for column in ("authors", "categories"):
        found[f"{column} a paper"] = pc.mean(pc.list_value_length(table[column])).as_py()
    found["author characters"] = pc.mean(pc.utf8_length(pc.list_flatten(table["authors"]))).as_py()
    found["words (kinds) k"] = len(pc.unique(pc.list_flatten(pc.utf8_split_whitespace(table["abstract"])))) / 1_000
    return found


if __name__ == "__main__":
    main()
