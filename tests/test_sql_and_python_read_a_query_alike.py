"""One query, two evaluators: DuckDB finds exactly the papers for which Python gives reasons.

And a third way to ask the second: all topics of a paper at once, which is how papers are tagged.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from storage.likes import resolve, seed_of
from storage.model import Intent, Paper
from storage.profiles import Profile, Word
from storage.query import Query, normal_text, parse_query
from storage.query_many import Queries
from storage.query_terms import And, Listed, Node, Not, Or, Words
from storage.rows import table_of
from storage.tagging import tags_of
from storage.topics import shipped_topics
from tests.builders import NOW, a_paper
from tests.query_catalog import Catalog

REAL_PAPERS = 800


@pytest.fixture(scope="module")
def empty() -> Iterator[Catalog]:
    catalog = Catalog([])
    yield catalog
    catalog.connection.close()


def test_words_are_the_same_in_python_and_in_sql_for_every_character(empty: Catalog) -> None:
    # Ideographs that Unicode 15.1 added are letters to newer Pythons and unknown to DuckDB.
    newer = range(0x2EBF0, 0x2EE5E)
    known = [chr(n) for n in range(1, 0x110000) if unicodedata.category(chr(n)) not in ("Cn", "Cs") and n not in newer]
    texts = [f"a{character}B" for character in known]
    differing = [
        t for t, theirs in zip(texts, empty.normal(texts), strict=True) if normal_text.__wrapped__(t) != theirs
    ]
    assert len(texts) > 280_000
    assert differing == []


# Characters whose case, accents or class are special, and what TeX is made of.
TRICKY = "aZ09 _-'\"`^~=.\\{}cvHu\u0301\u0327éÉßΣσςİıǆ가ᄀ\u1161ﬁ½²Ⅷ\u00ad\u200d\u0345漢ꙮ$|*?\n\t%"


@example(["ΟΔΟΣ ΣΙΓΜΑΣ"])
@given(st.lists(st.text(st.one_of(st.sampled_from(TRICKY), st.characters(codec="utf-8", exclude_categories=["Cn"])))))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_words_are_the_same_in_python_and_in_sql_for_any_text(empty: Catalog, texts: list[str]) -> None:
    texts = [text.replace("\x00", "") for text in texts]
    assert [normal_text.__wrapped__(text) for text in texts] == empty.normal(texts)


def test_normal_text_is_words_between_single_spaces() -> None:
    assert normal_text("  Fine-Tuning\n(of) GPT_4's “Él”! ") == " fine tuning of gpt 4 s el "
    assert normal_text("") == normal_text("…") == "  "


WORDS = (
    "diffusion",
    "model",
    "models",
    "fine tuning",
    "Fine-tuning",
    "finetuning",
    "Schrödinger",
    "LLMs",
    "policies",
    "x",
)
MAYBE_COUNT = st.one_of(st.none(), st.integers(0, 40))


def pool_of_papers() -> list[Paper]:
    """Two hundred papers that differ in everything a query can ask for; the same on every run."""
    dice = random.Random(7)  # noqa: S311 - no secret, only variety
    return [_any_paper(dice, number) for number in range(200)]


def _any_paper(dice: random.Random, number: int) -> Paper:
    def some(values: Sequence[str], most: int) -> tuple[str, ...]:
        return tuple(dice.sample(values, dice.randint(0, most)))

    def maybe(make: Callable[[], Any]) -> Any:
        return make() if dice.random() < 0.5 else None

    return a_paper(
        paper_id=f"arxiv:2606.{number:05}",
        aliases=(f"arxiv:2606.{number:05}", *some(("doi:10.1000/x", "pmid:12"), 2)),
        title=" ".join(dice.choices(WORDS, k=3)),
        abstract="\n".join(dice.choices(WORDS, k=dice.randint(0, 4))),
        authors=some(("Ada Example", "Béla Minta", "A. Example-Minta", ""), 3),
        categories=some(("cs.CL", "cs", "math.CO", "math-ph", "CS.LG", "Médecine | Santé"), 3),
        sources=some(("arxiv-rss:cs.CL", "hf-daily", "journal:nature"), 2),
        version=maybe(lambda: dice.randint(1, 3)),
        code_url=maybe(lambda: "https://example.org/code"),
        doi=maybe(lambda: "10.1000/x"),
        journal_ref=maybe(lambda: "Example 1"),
        withdrawn=dice.random() < 0.2,
        announced_on=maybe(lambda: date(2026, 5, dice.randint(1, 31))),
        first_seen_at=NOW - timedelta(hours=dice.randint(0, 800)),
        trending_on=maybe(lambda: date(2026, 6, 1)),
        upvotes=maybe(lambda: dice.randint(0, 40)),
        comment_count=maybe(lambda: dice.randint(0, 9)),
        stars=maybe(lambda: dice.randint(0, 2000)),
    )


POOL = pool_of_papers()
POOL_TOPICS = {paper.paper_id: {"agents"} for paper in POOL[::3]}


@pytest.fixture(scope="module")
def pool() -> Iterator[Catalog]:
    catalog = Catalog(POOL, POOL_TOPICS)
    yield catalog
    catalog.connection.close()


def spelled(shape: str, *choices: Sequence[Any]) -> st.SearchStrategy[str]:
    return st.builds(shape.format, *map(st.sampled_from, choices))


TERM = st.one_of(
    st.sampled_from(
        ["diffusion", "model", "fine-tuning", "fine-tun*", '"diffusion model*"', "schrodinger", "poli*", "x"]
    ),
    spelled("{}:{}", ["title", "abstract"], ["model", '"model x"', "(x OR llm)", "policy"]),
    st.sampled_from(["author:example", 'author:"ada example"', 'author:"example bela"', "author:bel*"]),
    st.sampled_from(
        ["category:cs", "category:cs.LG", "category:math.*", "category:medecine*", "category:(cs OR math)"]
    ),
    st.sampled_from(["source:arxiv-rss", "source:hf*", "id:2606.00042", "id:12", "topic:agents", "topic:none"]),
    spelled("{}:{}", ["code", "published", "withdrawn", "trending"], ["yes", "no"]),
    spelled("{}:{}{}", ["votes", "comments", "stars", "version"], ["", ">", ">=", "<", "<=", "..", "2.."], range(40)),
    spelled("{}:{}", ["since", "until"], ["2026-05-10", "2026-05-20", "3d", "2w", "0d"]),
    spelled("like:{}", ["2606.00042", "mine.bib", "nothing.ris"]),
)
QUERY = st.recursive(
    TERM,
    lambda inner: st.one_of(
        st.builds("{} {}".format, inner, inner),
        st.builds("({} OR {})".format, inner, inner),
        st.builds("-({})".format, inner),
        st.builds("NOT {}".format, inner),
    ),
    max_leaves=8,
)


# What the pool is made of, so that some papers reach what is asked and others miss it by a word.
PROFILES = {
    "arxiv:2606.00042": Profile((Word((" diffusion ",), 3), Word((" models ", " model "), 2), Word((" x ",), 1)), 4),
    "mine.bib": Profile((Word((" schrodinger ",), 5), Word((" policies ", " policy "), 4), Word((" llms ",), 4)), 8),
}


def resolved(text: str) -> Query:
    return parse_query(text).resolved(lambda seed: PROFILES.get(seed, Profile()))


@given(QUERY)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sql_and_python_agree_on_any_query(pool: Catalog, text: str) -> None:
    query = resolved(text)
    in_python = {p.paper_id for p in POOL if query.matches(p, NOW, POOL_TOPICS.get(p.paper_id, ()))}
    assert pool.found(query) == in_python


def test_the_pool_tells_queries_apart(pool: Catalog) -> None:
    """The test above could pass with empty answers only; it does not."""
    for query in ("fine-tuning", "author:example", "category:cs", "votes:>5", "since:2w", "topic:agents", "code:yes"):
        assert 5 < len(pool.found(query)) < 195, query
    for query in ("like:2606.00042", "like:mine.bib"):
        assert 5 < len(pool.found(resolved(query))) < 195, query


def real_papers(shared_data: Path, count: int) -> list[Paper]:
    """Papers of the last years from the captured arXiv set, in a fixed order that mixes all subjects."""
    rows = duckdb.execute(
        "SELECT arxiv_id, title, abstract, authors, categories FROM read_parquet(?) QUALIFY row_number() OVER "
        "(PARTITION BY arxiv_id ORDER BY date) = 1 ORDER BY md5(arxiv_id) LIMIT ?",
        [str(shared_data / "bench" / "arxiv_papers.parquet"), count],
    ).fetchall()
    return [
        a_paper(
            paper_id=f"arxiv:{i}", aliases=(f"arxiv:{i}",), title=t, abstract=a, authors=tuple(n), categories=tuple(c)
        )
        for i, t, a, n, c in rows
    ]


def test_sql_and_python_agree_on_every_shipped_topic_over_real_papers(shared_data: Path) -> None:
    papers = real_papers(shared_data, REAL_PAPERS)
    catalog = Catalog(papers)
    tags = 0
    for topic in shipped_topics():
        query = parse_query(topic.query)
        in_python = {paper.paper_id for paper in papers if query.matches(paper, NOW)}
        assert catalog.found(topic.query) == in_python, topic.slug
        tags += len(in_python)
    assert tags > REAL_PAPERS


def test_sql_and_python_agree_on_what_is_like_a_real_paper(shared_data: Path) -> None:
    papers = real_papers(shared_data, REAL_PAPERS)
    catalog, found = Catalog(papers), 0
    for paper in papers[:10]:
        query = resolve(parse_query("like:it"), lambda _: [seed_of(paper.title, paper.abstract)])  # noqa: B023
        in_python = {p.paper_id for p in papers if query.matches(p, NOW)}
        together = {p.paper_id for p in papers if list(Queries([query]).answered(p, NOW))}
        assert catalog.found(query) == in_python == together
        assert paper.paper_id in in_python
        found += len(in_python)
    assert 20 < found < REAL_PAPERS


GENERATED_PAPERS = 1_500


@given(st.lists(QUERY, min_size=1, max_size=12))
@settings(max_examples=200, deadline=None)
def test_queries_asked_together_answer_as_each_does_alone(texts: list[str]) -> None:
    queries = [resolved(text) for text in texts]
    together = Queries(queries)
    for paper in POOL:
        alone = [(i, q.reasons(paper, NOW)) for i, q in enumerate(queries) if q.matches(paper, NOW)]
        assert list(together.answered(paper, NOW)) == alone


def papers_full_of_what_topics_ask_for() -> list[Paper]:
    """Papers made of the words and categories of the shipped topics, whole and in part; the same on every run."""
    dice = random.Random(11)  # noqa: S311 - no secret, only variety
    asked = [list(_terms(parse_query(topic.query).root)) for topic in shipped_topics()]
    return [_paper_about(dice, number, dice.sample(asked, 3)) for number in range(GENERATED_PAPERS)]


def _paper_about(dice: random.Random, number: int, asked: Sequence[Sequence[Node]]) -> Paper:
    terms = [term for some in asked for term in dice.sample(some, min(len(some), 4))]
    words = [dice.choice(term.needles) for term in terms if isinstance(term, Words)]
    # Whole, with a letter or a word behind it, or cut: what stands in a text and what only looks like it.
    spelled = [w.strip() + dice.choice(("", "", "s", "x", "-like", " of", "\n")) for w in words]
    spelled += [w.strip()[:-1] for w in dice.sample(words, len(words) // 3)] + list(dice.choices(WORDS, k=3))
    dice.shuffle(spelled)
    listed = [needle.strip("|") for term in terms if isinstance(term, Listed) for needle in term.needles]
    cut = dice.randint(0, len(spelled))
    return a_paper(
        paper_id=f"arxiv:2606.{number:05}",
        title=dice.choice((str, str.title))(" ".join(spelled[:cut])),
        abstract=dice.choice((" ", ", ", "\n")).join(spelled[cut:]),
        categories=tuple(dict.fromkeys(dice.choices([*listed, "cs.LG", "math.CO", "cs.CL", "econ.EM"], k=2))),
    )


def _terms(node: Node) -> Iterator[Node]:
    if isinstance(node, Not):
        yield from _terms(node.part)
    elif isinstance(node, And | Or):
        for part in node.parts:
            yield from _terms(part)
    else:
        yield node


def test_tags_and_their_reasons_are_what_sql_finds_and_each_query_says() -> None:
    papers, topics = papers_full_of_what_topics_ask_for(), shipped_topics()
    tags = tags_of(table_of([Intent(paper=p, sightings=()) for p in papers], 1), topics, NOW)
    assert {(p, slug) for p, slug, _ in tags} == _found_by_sql(papers)
    queries, by_id = {t.slug: parse_query(t.query) for t in topics}, {p.paper_id: p for p in papers}
    for paper_id, slug, reason in tags:
        assert reason == ", ".join(queries[slug].reasons(by_id[paper_id], NOW))
    assert len(tags) == len({tag[:2] for tag in tags}) > 2 * GENERATED_PAPERS
    assert {slug for _, slug, _ in tags} == set(queries)


def _found_by_sql(papers: Sequence[Paper]) -> set[tuple[str, str]]:
    catalog = Catalog(papers)
    try:
        return {(paper_id, t.slug) for t in shipped_topics() for paper_id in catalog.found(t.query)}
    finally:
        catalog.connection.close()


def test_every_reason_of_a_real_paper_stands_in_it(shared_data: Path) -> None:
    for paper in real_papers(shared_data, 200):
        words = normal_text(paper.title) + normal_text(paper.abstract)
        for topic in shipped_topics():
            for reason in parse_query(topic.query).reasons(paper, NOW):
                in_words = normal_text(reason) in words or reason.replace("-", "").lower() in words
                assert reason.startswith("category:") or in_words, (topic.slug, reason)
