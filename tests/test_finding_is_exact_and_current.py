"""The finder says of any query just what plain SQL says, from the index, from a half of it, and from none."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flows import pipeline
from flows.searching import keep_search_current
from storage.archive import Archive
from storage.catalog import Catalog
from storage.finding import Finder
from storage.finding_query import question_of
from storage.locks import exclusive
from storage.model import Paper, TaggedPaper
from storage.query import normal_text, parse_query
from storage.search import Search
from storage.search_documents import TERM_CHARACTERS_MAX, exact_words
from storage.search_files import BUSY
from storage.settings import Settings
from storage.topics import shipped_topics
from tests.builders import NOW, a_paper
from tests.finding_archive import commit, counted_in_sql, in_sql, index, publish
from tests.test_sql_and_python_read_a_query_alike import POOL, QUERY, TRICKY, real_papers, resolved

ALL = 10_000


def varied(papers: list[Paper]) -> list[Paper]:
    """The papers, some told of as new, some first met as a revision, some loaded with a date that many share."""
    dice = random.Random(5)  # noqa: S311 - no secret, only variety
    found = []
    for paper in papers:
        kind = dice.random()
        day = NOW.replace(hour=0) - timedelta(days=dice.randint(1, 40))
        changes = {"announced_at": NOW} if kind < 0.6 else {"announced_at": None, "published_at": day}
        revised = {"revised_at": NOW, "published_at": None} if kind > 0.9 else {}
        found.append(replace(paper, **(changes | revised)))
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pool, committed over nine days; the last two commits are in papers.duckdb and not in the index."""
    home = tmp_path_factory.mktemp("finding")
    papers = varied(POOL)
    for number in range(9):
        now = NOW - timedelta(days=8 - number)
        commit(home, papers[number * 25 : min((number + 1) * 25, 200)], name=f"c{number}", now=now)
        if number == 6:
            index(home)
    changed = [replace(p, title="Diffusion of policies", upvotes=30, announced_at=None) for p in papers[3:60:7]]
    commit(home, changed, name="again")
    publish(home)
    assert Search(home).indexed_seq() == 7
    return home


@pytest.fixture(scope="module")
def finder(home: Path) -> Iterator[Finder]:
    with Finder(home) as finder:
        yield finder


@pytest.fixture(scope="module")
def catalog(home: Path) -> Iterator[Catalog]:
    with Catalog(home) as catalog:
        yield catalog


def ids(found: Sequence[TaggedPaper]) -> list[str]:
    """Their ids."""
    return [tagged.paper.paper_id for tagged in found]


SAME_HOME = [HealthCheck.function_scoped_fixture]


@example("id:2606.00042")
@example("id:guid:2606.00042")
@example("id:arxiv:2606.00042 OR category:medecine*")
@example('author:"example bela"')
@example('"fine t*"')
@example("votes:<0 OR -category:cs")
@example("topic:agents -topic:none")
@example('-"fine t*" diffusion')
@example("like:2606.00042 -like:mine.bib")
@given(QUERY)
@settings(max_examples=50, deadline=None, suppress_health_check=SAME_HOME)
def test_any_query_finds_what_plain_sql_finds(catalog: Catalog, finder: Finder, text: str) -> None:
    query, since = resolved(text), NOW - timedelta(days=3)
    found = finder.newest(query, now=NOW, limit=ALL, backfilled=True)
    assert ids(found) == in_sql(catalog, query, backfilled=True)
    assert ids(finder.newest(query, now=NOW, limit=ALL, since=since)) == in_sql(catalog, query, since=since)
    assert finder.newest(query, now=NOW, limit=7, backfilled=True) == found[:7]


@example('"fine t*"')
@given(QUERY)
@settings(max_examples=30, deadline=None, suppress_health_check=SAME_HOME)
def test_days_are_counted_as_plain_sql_counts_them(catalog: Catalog, finder: Finder, text: str) -> None:
    query = resolved(text)
    preview = finder.preview(query, days=7, now=NOW + timedelta(days=9))
    counts = counted_in_sql(catalog, query, first=preview.days[0][0], last=preview.until)
    assert {day: n for day, n in preview.days if n} == counts
    assert (len(preview.days), preview.total) == (7, sum(counts.values()))


def test_papers_come_whole_and_with_their_topics(catalog: Catalog, finder: Finder) -> None:
    found = finder.newest(parse_query("version:>0 OR -version:>0"), now=NOW, limit=ALL, backfilled=True)
    assert found == catalog.papers(ids(found))
    assert len(found) == len(POOL)
    assert {bool(tagged.tags) for tagged in found} == {True, False}


def test_no_index_and_a_damaged_one_cost_only_time(home: Path, finder: Finder, tmp_path: Path) -> None:
    query = parse_query("diffusion -category:math")
    expected = ids(finder.newest(query, now=NOW, limit=ALL, backfilled=True))
    assert len(expected) > 10
    without, damaged = tmp_path / "without", tmp_path / "damaged"
    for copy in (without, damaged):
        shutil.copytree(home, copy)
    shutil.rmtree(without / "archive" / "search")
    for path in (damaged / "archive" / "search").glob("*/*.idx"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for copy in (without, damaged):
        publish(copy)
        with Finder(copy) as other:
            assert ids(other.newest(query, now=NOW, limit=ALL, backfilled=True)) == expected
            assert other.preview(query, days=30, now=NOW) == finder.preview(query, days=30, now=NOW)


def a_small_archive(home: Path) -> None:
    """Two papers, published and indexed."""
    commit(home, [a_paper(paper_id="arxiv:2606.00001", aliases=("arxiv:2606.00001",), title="Zebras")], name="one")
    commit(home, [a_paper(paper_id="arxiv:2606.00002", aliases=("arxiv:2606.00002",), title="Lions")], name="two")
    publish(home)
    index(home)


def titles(finder: Finder, text: str) -> list[str]:
    """The titles of the newest papers."""
    return [t.paper.title for t in finder.newest(parse_query(text), now=NOW, limit=10)]


def test_what_was_just_published_is_found_at_once_and_as_it_now_is(tmp_path: Path) -> None:
    a_small_archive(tmp_path)
    with Finder(tmp_path) as finder:
        assert titles(finder, "zebras OR lions") == ["Lions", "Zebras"]
        known = finder.newest(parse_query("zebras"), now=NOW, limit=1)[0].paper
        third = a_paper(paper_id="arxiv:2606.00003", aliases=("arxiv:2606.00003",), title="Lions again")
        commit(tmp_path, [third, replace(known, title="Giraffes")], name="three")
        assert titles(finder, "zebras OR lions") == ["Lions", "Zebras"], "papers.duckdb does not have it yet"
        publish(tmp_path)
        assert titles(finder, "lions") == ["Lions again", "Lions"]
        assert (titles(finder, "zebras"), titles(finder, "giraffes")) == ([], ["Giraffes"])
        assert finder.preview(parse_query("lions OR zebras"), days=1, now=NOW + timedelta(days=1)).total == 2
        index(tmp_path)
        assert (titles(finder, "lions"), titles(finder, "giraffes")) == (["Lions again", "Lions"], ["Giraffes"])


def test_an_index_ahead_of_what_is_published_changes_nothing(tmp_path: Path) -> None:
    a_small_archive(tmp_path)
    with Finder(tmp_path) as finder:
        known = finder.newest(parse_query("zebras"), now=NOW, limit=1)[0].paper
        third = a_paper(paper_id="arxiv:2606.00003", aliases=("arxiv:2606.00003",), title="Lions again")
        commit(tmp_path, [third, replace(known, title="Giraffes")], name="three")
        index(tmp_path)
        assert (titles(finder, "zebras OR lions"), titles(finder, "giraffes")) == (["Lions", "Zebras"], [])
        later = NOW + timedelta(days=1)
        assert finder.preview(parse_query("zebras OR lions OR giraffes"), days=1, now=later).total == 2


def test_a_merged_paper_is_gone_before_the_index_knows(tmp_path: Path) -> None:
    a_small_archive(tmp_path)
    with Archive(tmp_path) as archive:
        archive.merge("arxiv:2606.00001", "arxiv:2606.00002", reason="the same animals", now=NOW)
    publish(tmp_path)
    with Finder(tmp_path) as finder:
        assert titles(finder, "-nothing") == ["Zebras"]


def test_many_threads_ask_while_papers_come(tmp_path: Path) -> None:
    a_small_archive(tmp_path)
    wrong, stop = list[object](), threading.Event()
    with Finder(tmp_path) as finder:

        def ask() -> None:
            while not stop.is_set():
                try:
                    found = titles(finder, "zebras OR lions")
                    if not {"Zebras", "Lions"} <= set(found):
                        wrong.append(found)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is wrong
                    wrong.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(3, 7):
            name = f"arxiv:2606.{number:05}"
            commit(tmp_path, [a_paper(paper_id=name, aliases=(name,), title="Lions again")], name=name)
            publish(tmp_path)
            index(tmp_path)
        stop.set()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert titles(finder, "lions") == ["Lions again"] * 4 + ["Lions"]


def test_every_shipped_topic_is_exact_over_real_papers(shared_data: Path, tmp_path: Path) -> None:
    papers = varied(real_papers(shared_data, 400))
    commit(tmp_path, papers)
    publish(tmp_path, topics=())
    index(tmp_path)
    found = 0
    with Finder(tmp_path) as finder, Catalog(tmp_path) as catalog:
        for topic in shipped_topics():
            query = parse_query(topic.query)
            assert question_of(query.root, NOW, lambda _: []).exact, topic.slug
            expected = in_sql(catalog, query, backfilled=True)
            assert ids(finder.newest(query, now=NOW, limit=ALL, backfilled=True)) == expected
            found += len(expected)
    assert found > 400


@given(st.text(st.one_of(st.sampled_from(TRICKY), st.characters(codec="utf-8", exclude_categories=["Cn"]))))
@settings(max_examples=150, deadline=None)
def test_the_index_has_the_words_that_a_query_reads(text: str) -> None:
    assert exact_words(text) == " ".join(normal_text.__wrapped__(text).split())


def test_a_word_beyond_all_measure_is_still_found_by_its_beginning(tmp_path: Path) -> None:
    long = "a" * 60_000
    commit(tmp_path, [a_paper(title="Long", abstract=f"{long} {long}b end")])
    publish(tmp_path)
    index(tmp_path)
    with Finder(tmp_path) as finder:
        assert (titles(finder, "aaa*"), titles(finder, "end")) == (["Long"], ["Long"])
        assert titles(finder, "a" * (TERM_CHARACTERS_MAX // 3)) == []


def test_publishing_brings_the_index_up_and_does_without_it_where_it_cannot(tmp_path: Path) -> None:
    site = Settings(home=tmp_path)
    commit(tmp_path, [a_paper(title="Zebras")], name="one")
    pipeline.publish(site, now=NOW)
    assert Search(tmp_path).indexed_seq() == 1
    commit(tmp_path, [a_paper(paper_id="arxiv:1", aliases=("arxiv:1",), title="Lions")], name="two")
    with exclusive(tmp_path / "archive" / "search" / "writer.lock", what="a test writes"):
        assert pipeline.publish(site, now=NOW).seq == 2
        with Archive(tmp_path) as archive:
            assert keep_search_current(archive) == BUSY
    assert Search(tmp_path).indexed_seq() == 1
    with Finder(tmp_path) as finder:
        assert titles(finder, "lions OR zebras") == ["Lions", "Zebras"]
    pipeline.publish(site, now=NOW)
    assert Search(tmp_path).indexed_seq() == 2
