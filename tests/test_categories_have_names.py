"""Readers see names, not codes: for every arXiv category there is, was, or will reach us in old papers."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from publishers.names import category_name, is_arxiv_category, license_name


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("cs.CL", "Computation and Language"),
        ("stat.ML", "Machine Learning (Statistics)"),
        ("cs", "Computer Science"),
        ("astro-ph", "Astrophysics"),
        ("cond-mat.mes-hall", "Mesoscale and Nanoscale Physics"),
        ("alg-geom", "Algebraic Geometry"),
        ("68T07", "68T07"),
        ("", ""),
    ],
)
def test_a_code_has_its_name(code: str, name: str) -> None:
    assert category_name(code) == name


def test_only_arxivs_codes_count_as_arxivs() -> None:
    assert is_arxiv_category("eess.IV")
    assert not is_arxiv_category("CS.cl")
    assert not is_arxiv_category("Biology")


def test_every_category_of_57_000_real_papers_is_known(shared_data: Path) -> None:
    path = str(shared_data / "bench" / "arxiv_papers.parquet")
    rows = duckdb.execute("SELECT DISTINCT unnest(categories) FROM read_parquet(?)", [path]).fetchall()
    codes = [code for (code,) in rows if re.fullmatch(r"[a-z]+(?:-[a-z]+)?(?:\.[A-Za-z-]+)?", code)]
    assert len(codes) > 150
    assert [code for code in codes if not is_arxiv_category(code)] == []


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://creativecommons.org/licenses/by/4.0/", "CC BY 4.0"),
        ("https://creativecommons.org/licenses/by-nc-sa/4.0", "CC BY-NC-SA 4.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0 1.0"),
        ("http://arxiv.org/licenses/nonexclusive-distrib/1.0/", "arXiv non-exclusive license 1.0"),
        ("https://www.journal.test/terms", "journal.test"),
        ("not a url", "not a url"),
    ],
)
def test_a_license_has_a_short_name(url: str, name: str) -> None:
    assert license_name(url) == name
