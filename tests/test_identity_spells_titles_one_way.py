"""A title has one key however it is typed, titles of different works have different keys, and bulk is as one by one."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.titles import title_form, title_key, title_keys

SPELLINGS = [
    ('Schr\\"odinger operators', "Schrödinger operators", "SCHRODINGER OPERATORS", 'Schr{\\"o}dinger operators'),
    ("Caf\\'{e} na\\\"\\i ve", "Café naïve", "Cafe naive", "Cafe\u0301 nai\u0308ve"),
    ('S{\\o}rensen and {\\AA}ngstr\\"om', "Sørensen and Ångström", "Sorensen and Angstrom"),
    ("Erd\\H{o}s--R\\'enyi graphs", "Erdős–Rényi graphs", "Erdos-Renyi graphs"),
    ("\\v{C}erenkov and \\L ukasiewicz", "Čerenkov and Łukasiewicz", "Cerenkov and Lukasiewicz"),
    ("The gro{\\ss}e Stra\\ss e", "The große Straße", "The grosse Strasse"),
    ("$\\alpha$-decay of $^{125}$I", "α-decay of ¹²⁵I", "alpha decay of 125I"),
    ("The $\\varepsilon$ and $\\Delta$ of it", "The ε and Δ of it", "The ϵ and ∆ of it", "The epsilon and delta of it"),
    ("A bound of $10^{-3}$", "A bound of 10⁻³", "A bound of 10^-3"),
    ("Water is H$_2$O", "Water is H₂O", "Water is H<sub>2</sub>O", "Water is H2O"),
    ("Towards $\\infty$-LLMs", "Towards ∞-LLMs", "Towards infty-LLMs"),
    ("$O(n\\log n)$ attention", "O(n log n) attention", "O(nlog n) attention"),
    ("$\\ell_1$ in $\\mathbb{R}^n$", "ℓ₁ in ℝⁿ", "ell_1 in mathbb{R}^n"),
    ("Galaxies at $z\\sim7$", "Galaxies at z ~ 7", "Galaxies at z∼7", "Galaxies at z &sim; 7"),
    ("Masses $\\leq 5$ and $x \\to y$", "Masses ≤ 5 and x → y", "Masses <= 5 and x -> y"),
    ("“Fine”—grained ﬁlters", '"Fine"-grained filters', "Fine--grained filters", "``Fine''---grained filters"),
    ("R\\&D of A&amp;B", "R & D of A&B", "R&D of A and B"),
    ("On \\emph{short} titles~\\cite{a}", "On <i>short</i> titles", "On short\n  titles."),
    (
        "RETRACTED: On short titles",
        "[Retracted] On short titles",
        "WITHDRAWN ARTICLE: On short titles",
        "On short titles",
    ),
    ("[On short titles]", "On short titles.", "ON SHORT TITLES"),
    ("Hawaiʻi’s volcanoes", "Hawai'i's volcanoes", "Hawaiis volcanoes"),
    ("量子力学と情報", "量子力学と情報。"),
    ("Теория чисел и ёж", "ТЕОРИЯ ЧИСЕЛ И ЁЖ"),
]


@pytest.mark.parametrize("spellings", SPELLINGS, ids=lambda s: s[-1][:30])
def test_spellings_of_one_title_have_one_key(spellings: tuple[str, ...]) -> None:
    assert len({title_form(title) for title in spellings}) == 1
    keys = {title_key(title) for title in spellings}
    assert len(keys) == 1
    assert all(key is not None and len(key) == 16 for key in keys)


WORKS = [
    "On the length of short titles",
    "On the length of short titles, Part I",
    "On the length of short titles, Part II",
    "On the length of short titles. III",
    "Reply to 'On the length of short titles'",
    "Comment on 'On the length of short titles'",
    "Reply to comment on 'On the length of short titles'",
    "Discussion of 'On the length of short titles'",
    "Erratum: On the length of short titles",
    "Erratum to: On the length of short titles",
    "Corrigendum: On the length of short titles",
    "Correction to: On the length of short titles",
    "Addendum: On the length of short titles",
    "Retraction: On the length of short titles",
    "Retraction notice to: On the length of short titles",
    "On the length of short titles (reprise)",
    "Withdrawn states on the length of short titles",
    "GPT-4.1 is here",
    "GPT-41 is here",
    "C++ and C at 1 1",
    "C and C at 11",
    "Proceedings of the 2015 workshop",
    "Proceedings of the 2016 workshop",
    "Müller",
    "Mueller",
]


def test_titles_of_different_works_have_different_keys() -> None:
    assert len({title_key(title) for title in WORKS}) == len(WORKS)


@pytest.mark.parametrize(
    "title",
    ["Erratum", "Editorial", "EDITORIAL.", "Editorial 12", "Reply", "Introduction", "Discussion", "Front Matter",
     "Letters", "Preface", "In Memoriam", "Table of Contents", "Corrigendum 3", "Author’s reply", "A", "", "$$",
     "2024", "12-34", "…"],
)  # fmt: skip
def test_a_title_that_says_nothing_has_no_key(title: str) -> None:
    assert title_key(title) is None


def test_keys_are_stored_so_they_never_change() -> None:
    assert title_key("On the length of short titles") == "53dfac7328be414f"
    assert title_key("Schr\\\"odinger's $\\alpha$ & 10^{-3}") == "813df1f24c6d8a98"


TITLE_TEXT = st.lists(
    st.sampled_from(
        ["a", "B", "7", " ", "  ", "-", "\\", "$", "{", "}", "_", "^", "&", "<i>", "</i>", "amp;", "é", "ß",
         "α", "²", "\n", "\\alpha", "\\'", "Retracted:", "withdrawn", "Editorial", "ell_1", "'", ".", "1",
         "\t", "∞", "İ", "ſ", "\x1f", "漢"]
    )
    | st.text(max_size=4),
    max_size=12,
).map("".join)  # fmt: skip


@given(st.lists(TITLE_TEXT | st.none(), max_size=20))
def test_in_bulk_it_is_the_same_key(titles: list[str | None]) -> None:
    expected = [None if title is None else title_key(title) for title in titles]
    assert title_keys(pa.array(titles, pa.string())) == expected
    halves = [pa.array(titles[:5], pa.string()), pa.array(titles[5:], pa.string())]
    assert title_keys(pa.chunked_array(halves, pa.string())) == expected


@given(TITLE_TEXT)
def test_the_form_of_a_form_is_itself(title: str) -> None:
    form = title_form(title)
    assert title_form(form) == form


def test_in_bulk_it_is_the_same_key_for_real_titles_and_fast(shared_data: Path) -> None:
    """Prints CPU microseconds a title (`pytest -s`); the bound is loose, the machine may be busy."""
    titles = pq.read_table(shared_data / "bench" / "arxiv_papers.parquet", columns=["title"])["title"]
    started = time.process_time()
    keys = title_keys(titles)
    each = (time.process_time() - started) / len(titles) * 1e6
    print(f"\n{len(titles):,} titles, {each:.2f} µs CPU each")
    assert keys == [title_key(title) for title in titles.to_pylist()]
    assert each < 10


def test_real_titles_keep_apart(shared_data: Path) -> None:
    """A form without spaces joins no titles that a form with spaces keeps apart, but for spelling."""
    titles = set(pq.read_table(shared_data / "bench" / "arxiv_papers.parquet", columns=["title"])["title"].to_pylist())
    by_key: dict[str | None, set[str]] = {}
    for title in titles:
        by_key.setdefault(title_key(title), set()).add(title)
    shared = {key: spellings for key, spellings in by_key.items() if len(spellings) > 1}
    print(f"\n{len(titles):,} titles, {len(shared)} keys with two spellings: {list(shared.values())[:6]}")
    assert len(shared) < 10
    assert None not in by_key
