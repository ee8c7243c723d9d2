"""A query that search cannot answer is refused in one line that names the character to blame."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.errors import ArchiveError, QueryError
from storage.search import Search
from tests.search_rows import a_row, a_search


@pytest.mark.parametrize(
    ("text", "reason", "position"),
    [
        ("", "the query is empty", 0),
        (" - ", "the query is empty", 0),
        ('see "diffusion', "this quote is never closed", 4),
        ("(diffusion", "this ( is never closed", 0),
        ("diffusion)", "this ) closes nothing", 9),
        ("diffusion OR", "OR needs a term after it", 10),
        ("titel:diffusion", "did you mean title:?", 0),
        ("au:hinton", "did you mean author:?", 0),
        ("title: diffusion", "needs its value right after the colon", 6),
        ("of the", "only words that every paper has", 0),
        ("-the", "only words that every paper has", 0),
        ("title:of", "only words that every paper has", 0),
        ("word d*", "at least 2 letters must stand before a *", 5),
        ("word since:30d", "since: works in topics and SQL, not in search", 5),
        ("source:hf-daily", "source: works in topics and SQL", 0),
        ("word votes:>20", "votes: works in topics and SQL", 5),
        ("code:yes", "code: works in topics and SQL", 0),
        ("topic:agents", "topic: works in topics and SQL", 0),
        ("id:2606.00012", "id: works in topics and SQL", 0),
        ("x" * 2001, "at most 2,000 characters", 2000),
        ("(" * 30 + "x", "brackets nest at most", 20),
    ],
)
def test_a_broken_query_names_what_is_wrong(tmp_path: Path, text: str, reason: str, position: int) -> None:
    with pytest.raises(QueryError) as caught:
        Search(tmp_path).find(text)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.position == position


def test_without_an_index_search_says_so(tmp_path: Path) -> None:
    search = Search(tmp_path)
    with pytest.raises(ArchiveError, match="there is no search index that this version can read; rebuild it"):
        search.find("diffusion")
    assert search.indexed_seq() == 0
    assert search.papers() == 0
    search.check()
    assert not (tmp_path / "archive").exists()


@pytest.mark.parametrize(
    "text", ["a.b", "x^2 + y_1", "{[]}", "f(x)", "naïve~", "50% & more", "C++", "\\frac{a}{b}", "'s"]
)
def test_no_character_is_too_odd_to_look_for(tmp_path: Path, text: str) -> None:
    assert a_search(tmp_path, a_row()).find(f"{text} zebra") == []
