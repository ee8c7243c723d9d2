"""What a bulk load makes of a table is, row for row and field for field, what polling makes of the same entries.

But for one thing: a backfill is no news, so a paper met first is announced to nobody. Where the fast path knows less
than polling does, it has to leave the row to it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flows.decide import decide
from storage.archive import Archive
from storage.bulk import load
from storage.settings import Settings
from storage.verify import verify
from storage.views import Shape, write_views
from tests.builders import NOW
from tests.tables_of_entries import RANK, SOURCE, TYPES, Both, Row, Said, a_row, a_version, entry_of, rows_of, table_of

# What no line, or no text at all, may hold; what looks like space; marks that combine; TeX, entities, tags; notices.
ODD = (
    *(" ", "  ", "\t", "\n", "\r", "\r\n", "\x00", "\x07", "\x0b", "\x0c", "\x1b[1m", "\x1c", "\x1f", "\x7f", "\x85"),
    *("\xa0", "\xad", "\u1680", "\u180e", "\u2003", "\u200b", "\u2028", "\u2029", "\u202e", "\u202f", "\u3000"),
    *("\ufeff", "\ufdd0", "\uffff", "\U0001fffe", "\U0010ffff", "e\u0301", "é", "\u0308", "ﬁ", "ß", "İ", "\U0001d538"),
    *("$\\alpha_1$", '{\\"o}', "&amp;", "&lt;b&gt;", "&#0;", "<i>x</i>", "<script>", "1 2", "x\x002"),
    *("withdrawn", "WITHDRAWN: ", "w\u0131thdrawn: ", "[Retracted] ", "This paper has been withdrawn", "²"),
)
URLS = (
    *(
        "https://x.example",
        "https://x.example/",
        "https://x.example/a?b=c&d#e",
        "HTTP://x.example/a",
        "http://x.example:80/",
    ),
    *(
        "http://x.example:65535/",
        "http://x.example:65536/a",
        "http://x.example:99999/a",
        "http://x.example:/a",
        "http:///a",
    ),
    *("https://user:word@x.example/", "https://[::1]/a", "https://-/..", "https://x..example/", "https://x.example/ä"),
    *(
        "https://x.example/a b",
        "https://x.example/a[b]",
        "https://x.example/%zz",
        " https://x.example/a",
        "x.example/a",
    ),
    *(
        "javascript:alert(1)",
        "ftp://x.example/a",
        "",
        " ",
        f"https://x.example/{'a' * 1_982}",
        f"https://x.example/{'a' * 1_983}",
    ),
)
LISTS = ([], ["Ada Example"], ["Ada Example"] * 2, ["", "Ada Example"], [" "], ["Ada  Example "], ["CS.cl", "cs.CL"])
VALUES: dict[str, tuple[Any, ...]] = {
    "title": ("", "x", "Editorial", "A" * 1_000, "A" * 1_001, "é" * 500, "é" * 501, None),
    "abstract": ("", "A" * 64_000, "A" * 64_001, "é" * 32_001, None),
    "entry_id": ("", "E" * 2_000, "E" * 2_001, "https://x.example/?a=b", None),
    "authors": (*LISTS, ["A"] * 10_000, ["A"] * 10_001, None, [None, "Ada Example"]),
    "categories": (*LISTS, ["c" * 3_000], ["cs.CL", "cs.AI", "cs.CL"], None, [None, "cs.CL"]),
    "journal_ref": ("", " ", "Nature 1 (2025)", "N" * 3_000),
    "openreview_id": ("abc123XY", "https://openreview.net/forum?id=abc124XY", "", "a", " abc125XY "),
    "pmid": ("123", "PMID: 0124", "https://pubmed.ncbi.nlm.nih.gov/125/", "x", ""),
    "version": (0, 1, 2, -1, 2**31 - 1),
    "upvotes": (0, 3, -1),
    "comment_count": (0, 2**31 - 1),
    "stars": (0, 7),
    "citations": (0, 7, -1, 2**31 - 1),
    "versions": (
        *(
            [],
            [a_version(1)],
            [a_version(1), a_version(2)],
            [a_version(2), a_version(1)],
            [a_version(3, size_bytes=None)],
        ),
        *(
            [a_version(1), a_version(1, 9)],
            [a_version(0)],
            [a_version(-1), a_version(1)],
            [a_version(1, size_bytes=-1)],
        ),
        *([a_version(1_000, 1)], [a_version(1_001, 1)], [a_version(1), a_version(2**31 - 1, 2)], [a_version(None)]),
        *([a_version(1, 0)], [a_version(1, 0), a_version(2)], [a_version(1), None]),
        *([a_version(1) | {"submitted_at": datetime(year, 1, 2, tzinfo=UTC)}] for year in (1, 1899, 1900, 2199, 2200)),
        [a_version(1) | {"submitted_at": datetime(9999, 12, 30, tzinfo=UTC)}, a_version(2)],
    ),
    "announced_on": (date(1, 1, 1), date(2025, 1, 2), date(9999, 12, 31)),
    "published_at": (
        datetime(1, 1, 2, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2025, 1, 2, 3, 4, 5, 678_901, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(2025, 1, 1, 20, tzinfo=timezone(-timedelta(hours=8))),
        datetime(9999, 12, 30, tzinfo=UTC),
    ),
    **dict.fromkeys(("url", "pdf_url", "code_url", "project_url", "license_url"), URLS),
}
NAMED = {
    "by arXiv": lambda n: {"arxiv_id": f"2501.{n:05d}"},
    "by DOI": lambda n: {"arxiv_id": None, "doi": f"10.1000/n.{n}"},
    "by both": lambda n: {"arxiv_id": f"2501.{n:05d}", "doi": f"10.1000/n.{n}"},
    "by nothing": lambda n: {"arxiv_id": None},
}
# {0} is a number of four digits, each used once.
ARXIV = (
    *(None, "2501.0{0}", "2501.0{0}v2", "2501.0{0}V11", "arXiv:2501.0{0}", "oai:arXiv.org:2501.0{0}v1", " 2501.0{0}\n"),
    *(
        "https://arxiv.org/abs/2501.0{0}v3",
        "https://arxiv.org/pdf/2501.0{0}.pdf",
        "arXiv:2501.0{0}v2 [cs.CL] 1 Jan 2025",
    ),
    *("0704.{0}", "0704.{0}v1", "0701.{0}", "0703.{0}", "1412.{0}", "1412.0{0}", "2501.{0}", "2513.0{0}", "9901.0{0}"),
    *(
        "hep-th/990{0}",
        "hep-th/990{0}v3",
        "HEP-TH/990{0}",
        "math.GT/030{0}v2",
        "math/030{0}",
        "cs/070{0}",
        "x-y/990{0}",
    ),
    *(
        "",
        " ",
        "nonsense",
        "2501.0{0} and 2501.00001",
        "10.48550/arXiv.2501.0{0}",
        "doi:10.1000/x.{0}",
        "\u0661501.0{0}",
    ),
)
DOI = (
    *(None, "10.1000/d.{0}", "10.1000/D.{0}", "https://doi.org/10.1000/d.{0}", "doi:10.1000/d.{0}.", "10.1000/d.{0}/"),
    *("10.48550/arXiv.2502.0{0}", "10.48550/arxiv.2502.0{0}", "https://doi.org/10.48550/arXiv.2502.0{0}v2"),
    *("10.48550/nonsense{0}", "10.1101/2020.01.01.12{0}v2", "10.1101/12{0}v1.full", "10.64898/2025.01.01.12{0}v1"),
    *(
        "10.1000/d(b){0}",
        "10.1000/d.{0} b",
        "10.1000/d.{0}#x",
        "https://doi.org/10.1000/d.{0}?x=1",
        "10.1000/d\u2010{0}",
    ),
    *(
        "10.1000/é{0}",
        "10.1000/d&amp;{0}",
        "10.1000/d%2f{0}",
        "10.1002/(SICI)1097-0258(1998)17:15<{0}::AID-SIM968>3.0.CO;2-2",
    ),
    *(
        "10.12345.6/d{0}",
        "10.1002/(sici)1097(1998){0}",
        "",
        " ",
        "nonsense",
        "10.1000",
        "10.1000/{0}\x00x",
        "11.1000/d.{0}",
    ),
)


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    """Two empty archives, one to be polled and one to be loaded."""
    with Both.under(tmp_path) as two:
        yield two


def spiced(text: str) -> list[str]:
    """A text with each odd thing before, behind and within it."""
    return [t for odd in ODD for t in (odd + text, text + odd, f"{text[:3]}{odd}{text[3:]}")]


def odd_values(field: str) -> list[Any]:
    """Every odd value of a field."""
    plain = {"title": "On schemes of one kind", "abstract": "About it.", "entry_id": "e:1", "journal_ref": "Nature 1"}
    if field in ("authors", "categories"):
        return [*VALUES[field], *([name] for name in spiced("Ada Ex"))]
    return [*VALUES[field], *(spiced(plain[field]) if field in plain else ())]


# A single entry ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", NAMED)
@pytest.mark.parametrize("field", VALUES)
def test_an_odd_value_makes_the_same_row(field: str, named: str, both: Both) -> None:
    rows = [a_row(n, **NAMED[named](n)) | {field: value} for n, value in enumerate(odd_values(field), 1)]
    if field == "title":  # or all are one work; here each is one of its own
        rows = [row | {"authors": [f"Author {n}"], "abstract": f"{n}, {n * n} and so on"} for n, row in enumerate(rows)]
    commit, loaded = both.tell(rows)
    assert both.differences() == {}
    assert (loaded.offered, loaded.rejected) == (len(rows), commit.rejected)
    assert loaded.fresh + loaded.changed + loaded.known + loaded.rejected == loaded.offered
    fast = named != "by nothing" and field not in ("openreview_id", "pmid")
    assert (loaded.fresh > 0) == fast, "or the fast path was not looked at"


def test_every_spelling_of_an_id_names_the_same_paper(both: Both) -> None:
    spelled = enumerate(product(ARXIV, DOI), 101)
    rows = [
        a_row(n, entry_id=f"e{n}", arxiv_id=a and a.format(f"{n:04d}"), doi=d and d.format(f"{n:04d}"))
        for n, (a, d) in spelled
    ]
    both.tell(rows)
    assert both.differences() == {}
    assert both.loaded.index.papers_count() > len(rows) / 2


def test_many_odd_values_at_once_make_the_same_row(both: Both) -> None:
    rng = Random(7)  # noqa: S311 - not for secrets
    rows = []
    for n in range(1, 800):
        row = a_row(n, **NAMED[rng.choice(list(NAMED))](n))
        for field in rng.sample(list(VALUES), rng.randint(1, 5)):
            row[field] = rng.choice([v for v in odd_values(field) if not isinstance(v, list) or len(v) < 100])
        rows.append(row | {"entry_id": f"{row['entry_id']}#{n}", "title": f"{row['title']} {n}"})
    both.tell(rows)
    assert both.differences() == {}


def test_what_breaks_a_limit_is_refused_for_the_same_reason(both: Both) -> None:
    over = [
        {"title": "A" * 1_001},
        {"title": " "},
        {"title": None},
        {"abstract": "A" * 64_001},
        {"authors": ["A"] * 10_001},
    ]
    commit, loaded = both.tell([a_row(n, **change) for n, change in enumerate(over, 1)] + [a_row(9)])
    assert (commit.rejected, loaded.rejected, loaded.fresh) == (len(over), len(over), 1)
    assert both.differences() == {}
    reasons = [reason for (reason,) in both.loaded.index.connection.execute("SELECT reason FROM rejects").fetchall()]
    assert sorted(reasons) == [
        *("10001 authors, more than 10000", "it has no title", "it has no title"),
        *("its abstract has 64,001 bytes, more than 64,000", "its title has 1,001 bytes, more than 1,000"),
    ]


@pytest.mark.parametrize("title", ["A plain title", "An odd\xa0title"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("published_at", pa.array([2**60, -(2**58)], pa.timestamp("us"))),
        ("announced_on", pa.array([2**30, -(2**30)], pa.int32()).cast(pa.date32())),
    ],
)
def test_a_day_that_no_calendar_has_is_none(field: str, value: pa.Array, title: str, both: Both) -> None:
    """Such a row was once written, and whoever came by it again could not read it."""
    rows = [a_row(n, title=title, **{field: None}) for n in (1, 2)]
    both.polled.append([entry_of(row) for row in rows], source=SOURCE, batch_id="b", now=NOW, decide=decide)
    table = table_of(rows)
    table = table.set_column(table.schema.get_field_index(field), field, value)
    load(both.loaded, [table], source=SOURCE, load_id="l", now=NOW, decide=decide)
    assert [row[-1][field] for row in rows_of(both.loaded).values()] == [None, None]
    again = [entry_of(a_row(n, abstract="It says more.")) for n in (1, 2)]
    assert both.loaded.append(again, source=SOURCE, batch_id="again", now=NOW, decide=decide).papers == 2


# Entries that meet -------------------------------------------------------------------------------------------------

_TITLES = ("One title", "One  title", "One title!", "Another title", "Another\xa0title", "WITHDRAWN: One title")
_WORDS = "A long abstract that says what it is about, and how it was found, in words enough to be told from others. "
MEETING: dict[str, tuple[Any, ...]] = {
    "title": _TITLES,
    "abstract": ("", _WORDS, f"{_WORDS}\x07", f"{_WORDS}And more.", "It says more.", "This paper has been withdrawn."),
    "authors": ([], ["Ada Example"], ["Ada\xa0Example"], ["Béla Minta", "Ada Example"]),
    "categories": ([], ["cs.CL"], ["cs.AI", "cs.CL"], ["cs.CL", "cs.CL"]),
    "arxiv_id": (None, None, "2501.00001", "2501.00002", "arXiv:2501.00001v2", "hep-th/9901001", "nonsense"),
    "doi": (None, None, "10.1000/a", "https://doi.org/10.1000/A", "10.1000/b", "10.48550/arXiv.2501.00001"),
    "entry_id": ("e1", "e2", " e1", ""),
    "version": (None, None, 1, 2),
    "published_at": (None, datetime(2025, 1, 2, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)),
    "announced_on": (None, date(2025, 1, 2)),
    "journal_ref": (None, "Nature 1", " Nature  1", "Nature 2"),
    "openreview_id": (None, "abc123XY"),
    "pmid": (None, "123"),
    "upvotes": (None, 0, 3),
    "comment_count": (None, 1),
    "stars": (None, 2),
    "citations": (None, 2),
    "withdrawn": (None, False, True),
    "versions": (
        *(None, [], [a_version(1)], [a_version(1, size_bytes=None)], [a_version(1), a_version(2)], [a_version(2)]),
        *([a_version(2), a_version(1, 9)], [a_version(0), a_version(1)]),
    ),
    **dict.fromkeys(
        ("url", "pdf_url", "code_url", "project_url", "license_url"),
        (None, "https://x.example/1", "https://x.example/2", "https://x.example/ 2"),
    ),
}
_BASES = (
    *({"arxiv_id": "2501.00001"}, {"arxiv_id": "2501.00002"}, {"arxiv_id": "2501.00001", "doi": "10.1000/a"}),
    *({"doi": "10.1000/a"}, {"doi": "10.1000/b"}, {}),
)


def _meeting(base: Row, changes: list[tuple[str, int]]) -> Row:
    row = a_row(1, arxiv_id=None, entry_id="e1", title="One title", abstract=_WORDS) | base
    return row | {field: MEETING[field][at % len(MEETING[field])] for field, at in changes}


CHANGES = st.lists(st.tuples(st.sampled_from(sorted(MEETING)), st.integers(0, 6)), max_size=3)
ROWS = st.builds(_meeting, st.sampled_from(_BASES), CHANGES)
BEFORE = st.lists(
    st.tuples(
        st.sampled_from([SOURCE, SOURCE, "journal:x"]),
        st.sampled_from([0, RANK, RANK]),
        st.lists(ROWS, min_size=1, max_size=2),
    ),
    max_size=2,
)
TABLES = st.lists(st.lists(ROWS, min_size=1, max_size=3), min_size=1, max_size=3)
_KNOWN = [(SOURCE, RANK, [a_row(1), a_row(2)])]  # two, because DuckDB hands small sets of keys on to Arrow


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=BEFORE, tables=TABLES)
@example(before=_KNOWN, tables=[[a_row(1, title="Another title"), a_row(3)]])
@example(before=_KNOWN, tables=[[a_row(1, upvotes=3), a_row(2, code_url="https://x.example/code")]])
@example(before=_KNOWN, tables=[[a_row(1, abstract="It says\x07 more."), a_row(1)]])
@example(before=_KNOWN, tables=[[a_row(1, abstract="It says\x07 more.")], [a_row(1)]])
@example(before=[], tables=[[a_row(1, title="An odd\xa0title")], [a_row(1)]])
@example(before=[], tables=[[a_row(1, arxiv_id=None, title="One\xa0title")], [a_row(2, title="One title")]])
@example(before=[], tables=[[a_row(n, doi="10.1000/a") for n in (1, 2)] + [a_row(3, arxiv_id=None, doi="10.1000/a")]])
def test_entries_that_meet_end_as_the_same_papers(before: list[Said], tables: list[list[Row]]) -> None:
    with tempfile.TemporaryDirectory() as folder, Both.under(Path(folder), before) as both:
        both.tell(*tables)
        assert both.differences() == {}


@pytest.mark.parametrize("field", sorted({*TYPES} - {"arxiv_id", "entry_id"}))
def test_whatever_is_new_of_a_known_paper_is_kept(field: str, tmp_path: Path) -> None:
    values = {"doi": ("10.1000/a",), "version": (2,), "published_at": (datetime(2024, 1, 2, tzinfo=UTC),)}
    news = [v for v in values.get(field, MEETING[field]) if v not in (None, "", [])]
    known = [a_row(n) for n, _ in enumerate(news, 1)]
    with Both.under(tmp_path, [(SOURCE, RANK, known)]) as both:
        both.tell([row | {field: value} for row, value in zip(known, news, strict=True)])
        assert both.differences() == {}


# What comes of it --------------------------------------------------------------------------------------------------


def _mixed() -> list[Row]:
    """A table with everything in it: plain, odd, twice, refused, withdrawn, of one title."""
    rows = [a_row(n, doi=f"10.1000/{n}" if n % 3 else None) for n in range(1, 30)]
    rows += [a_row(n, **NAMED["by DOI"](n)) for n in range(30, 40)] + [
        a_row(n, title=t) for n, t in enumerate(_TITLES, 40)
    ]
    rows[5] |= {"citations": 3, "versions": [a_version(1), a_version(2)]}
    rows += [a_row(1, version=2, abstract="More."), a_row(2), a_row(60, title=""), a_row(61, **NAMED["by nothing"](61))]
    return rows


@pytest.mark.parametrize("view", ["papers", "sightings", "aliases", "authors", "votes", "versions", "merges"])
def test_the_tables_for_sql_show_the_same(view: str, both: Both) -> None:
    both.tell(_mixed())
    shown = []
    for archive in (both.polled, both.loaded):
        with duckdb.connect() as connection:
            settings_ = Settings(home=archive.home)
            write_views(connection, archive, settings_, (), Shape(seq=archive.index.latest_seq(), latest=True))
            columns = {"papers": "* EXCLUDE (seq, revised_at)", "sightings": "* EXCLUDE seq"}.get(view, "*")
            shown.append(connection.execute(f"SELECT {columns} FROM {view} ORDER BY ALL").fetchall())
    assert shown[0] == shown[1]
    assert shown[0] or view == "merges"


def test_only_the_announcement_is_left_out(both: Both) -> None:
    """Held against `decide` as every poll has it, for papers that nobody knew."""
    rows = [a_row(n) for n in range(1, 9)] + [
        a_row(9, title="WITHDRAWN: One title", published_at=datetime(2025, 1, 2, tzinfo=UTC))
    ]
    both.polled.append([entry_of(r) for r in rows], source=SOURCE, batch_id="b", now=NOW, decide=decide)
    load(both.loaded, [table_of(rows)], source=SOURCE, load_id="l", now=NOW, decide=decide)
    polled, loaded = rows_of(both.polled), rows_of(both.loaded)
    assert sorted(polled) == sorted(loaded)
    for paper_id, (row,) in loaded.items():
        (expected,) = polled[paper_id]
        assert [row["announced_at"], row["revised_at"], row["announcements"]] == [False, False, []]
        assert expected["announced_at"] or expected["revised_at"]
        assert row["new_at"] == (row["published_at"] or NOW.replace(tzinfo=None))
        told = ("announced_at", "revised_at", "announcements", "new_at")
        seen = [s | {"announcements": []} for s in expected["sightings"]]
        assert row == expected | {name: row[name] for name in told} | {"sightings": seen}


def test_what_was_loaded_says_nothing_when_it_is_polled_or_loaded_again(both: Both) -> None:
    rows = [row for row in _mixed() if row["title"] and row["entry_id"] not in ("2501.00001",)]
    _, loaded = both.tell(rows)
    before = both.loaded.index.latest_seq()
    again = both.loaded.append(
        [entry_of(row) for row in rows], source=SOURCE, batch_id="again", now=NOW + timedelta(hours=1), decide=decide
    )
    assert (again.seq, again.papers, again.rejected) == (None, 0, 0)
    found = load(both.loaded, [table_of(rows)], source=SOURCE, load_id="again", now=NOW, decide=decide)
    assert (found.known, found.segments) == (loaded.offered, 0)
    assert both.loaded.index.latest_seq() == before


def test_the_index_of_a_load_is_what_the_files_say(both: Both) -> None:
    both.tell(_mixed())
    archive = both.loaded
    for segment in archive.index.segments():
        (file,) = [f for f in archive.index.files("log") if f.lo == segment.seq]
        assert segment.papers == file.rows
    tables = ("keys", "stale", "merged", "segments", "outbox", "files")
    before = [archive.index.connection.execute(f"SELECT * FROM {t} ORDER BY 1, 2").fetchall() for t in tables]
    archive.rebuild_index()
    after = [archive.index.connection.execute(f"SELECT * FROM {t} ORDER BY 1, 2").fetchall() for t in tables]
    assert before == after
    home = archive.home
    both.close()
    assert [fault for fault in verify(home).faults if "papers.duckdb is missing" not in fault] == []
    with Archive(home) as opened:
        assert opened.index.papers_count() == len(
            [1 for rows in rows_of(opened).values() if not rows[-1]["merged_into"]]
        )
