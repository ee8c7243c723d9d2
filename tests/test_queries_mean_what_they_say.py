"""The query language: what docs/queries.md teaches is true, in SQL and in Python alike, and nothing can break it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import QueryError
from storage.likes import resolve, seed_of
from storage.model import Paper
from storage.query import (
    FIELDS,
    QUERY_CHARACTERS_MAX,
    TERMS_MAX,
    Query,
    parse_query,
)
from storage.topics import shipped_topics
from tests.builders import NOW, a_paper
from tests.query_catalog import Catalog

DOCS = Path(__file__).resolve().parents[1] / "docs" / "queries.md"


@pytest.fixture(scope="module")
def empty() -> Iterator[Catalog]:
    catalog = Catalog([])
    yield catalog
    catalog.connection.close()


def titled(title: str, **changes: Any) -> Paper:
    """A paper with this title and nothing else to find."""
    return a_paper(title=title, **{"abstract": "", "authors": (), **changes})


def matches(query: str, paper: Paper, topics: set[str] | None = None) -> bool:
    """Ask both evaluators; they must say the same."""
    asked = resolve(parse_query(query), lambda seed: [seed_of("Latent Diffusion for Video")])
    in_python = asked.matches(paper, NOW, topics or set())
    in_sql = bool(Catalog([paper], {paper.paper_id: topics or set()}).found(asked))
    assert in_python == in_sql, f"{query!r}: Python says {in_python}, SQL says {in_sql}"
    return in_python


# ---------------------------------------------------------------------------------------------- what the docs teach

Pair = tuple[Paper, Paper]


def titles(found: str, left_out: str) -> Pair:
    return titled(found), titled(left_out)


def changed(found: dict[str, Any], left_out: dict[str, Any]) -> Pair:
    return a_paper(**found), a_paper(**left_out)


# Every query that docs/queries.md shows: a paper it finds and a paper it leaves out.
TAUGHT: dict[str, Pair] = {
    "diffusion": titles("Guided Diffusion, Again", "Diffusing Heat"),
    "transformer": titles("Are Transformers Enough?", "The Transform of a Signal"),
    '"transformer"': titles("A Transformer for Tables", "Are Transformers Enough?"),
    "schrodinger": (titled('The Schr\\"odinger Bridge'), titled("The Schroedinger Bridge")),
    "fine-tuning": (titled("Finetuning in an Hour"), titled("Fine Guitar Tuning")),
    '"attention is all"': titles("Is attention-is-all enough?", "All is attention"),
    "quantiz*": titles("Quantization for Everyone", "A Quantum Leap"),
    '"language model*"': titles("Language Modelling at Night", "A Language of Models"),
    "diffusion video": titles("Video by Diffusion", "Images by Diffusion"),
    "diffusion AND video": titles("Video by Diffusion", "Video by Flow"),
    "diffusion OR flow": titles("Video by Flow", "Video by Hand"),
    "diffusion NOT video": titles("Images by Diffusion", "Video by Diffusion"),
    "diffusion -video": titles("Images by Diffusion", "Video by Diffusion"),
    'diffusion -"video generation"': titles("Diffusion and Video", "Diffusion for Video Generation"),
    "(diffusion OR flow) -video": titles("Images by Flow", "Video by Flow"),
    "diffusion video OR audio": titles("Audio Alone", "Diffusion Alone"),
    "title:survey": (titled("A Survey of Surveys"), titled("A Study", abstract="A survey.")),
    'abstract:"ablation study"': (titled("X", abstract="An ablation\nstudy."), titled("An Ablation Study")),
    "title:(reasoning OR agent)": (titled("Agents at Work"), titled("At Work", abstract="agents, reasoning")),
    'author:"Ada Example"': changed({"authors": ("Ada Example",)}, {"authors": ("Bob Ada", "Example Carl")}),
    "author:minta": changed({"authors": ("Ada Example", "Béla Minta")}, {"authors": ("Béla Mintas",)}),
    "category:cs": changed({"categories": ("math.CO", "cs.DM")}, {"categories": ("physics.comp-ph",)}),
    "category:cs.CL": changed({"categories": ("cs.AI", "cs.CL")}, {"categories": ("cs.CLX",)}),
    "category:math.*": changed({"categories": ("math.CO",)}, {"categories": ("math", "math-ph")}),
    "category:(cs.CV OR eess.IV)": changed({"categories": ("eess.IV",)}, {"categories": ("cs.CL",)}),
    "-category:math": changed({"categories": ("math-ph",)}, {"categories": ("cs.DM", "math.CO")}),
    "source:hf-daily": changed({"sources": ("arxiv-rss:cs.CL", "hf-daily")}, {"sources": ("hf-daily-2",)}),
    "source:arxiv-rss": changed({"sources": ("arxiv-rss:cs.CL",)}, {"sources": ("arxiv",)}),
    "id:2606.00012": changed({"aliases": ("arxiv:2606.00012", "doi:10.1/x")}, {"aliases": ("arxiv:2606.00013",)}),
    "id:doi:10.1000/example": changed({"aliases": ("doi:10.1000/example",)}, {"aliases": ("doi:10.1000/example2",)}),
    "topic:agents": changed({"paper_id": "arxiv:1"}, {"paper_id": "arxiv:2"}),
    "code:yes": changed({"code_url": "https://example.org/code"}, {}),
    "code:no": changed({}, {"code_url": "https://example.org/code"}),
    "published:yes": changed({"journal_ref": "Example 1 (2026) 2"}, {}),
    "withdrawn:no": changed({}, {"withdrawn": True}),
    "trending:yes": changed({"trending_on": date(2026, 6, 1)}, {}),
    "votes:>20": changed({"upvotes": 21}, {"upvotes": 20}),
    "votes:20": changed({"upvotes": 20}, {"upvotes": 21}),
    "votes:10..50": changed({"upvotes": 50}, {"upvotes": 9}),
    "votes:<5": changed({"upvotes": 4}, {"upvotes": None}),
    "-votes:>20": changed({"upvotes": None}, {"upvotes": 21}),
    "comments:>=5": changed({"comment_count": 5}, {"comment_count": 4}),
    "stars:>1000": changed({"stars": 1001}, {"stars": 1000}),
    "version:>1": changed({"version": 2}, {"version": 1}),
    "since:2026-06-01": changed({"announced_on": date(2026, 6, 1)}, {"announced_on": date(2026, 5, 31)}),
    "until:2026-06-01": changed({"announced_on": date(2026, 6, 1)}, {"announced_on": date(2026, 6, 2)}),
    "since:2026-06-01 until:2026-06-07": changed(
        {"announced_on": date(2026, 6, 7)}, {"announced_on": date(2026, 6, 8)}
    ),
    "since:30d": changed({"announced_on": date(2026, 5, 3)}, {"announced_on": date(2026, 5, 2)}),
    "since:4w": changed({"announced_on": date(2026, 5, 5)}, {"announced_on": date(2026, 5, 4)}),
    "like:2606.00012": titles("Video from Latent Diffusion", "A Grammar of Sagas"),
    "like:doi:10.1000/example": titles("Video from Latent Diffusion", "A Grammar of Sagas"),
    "like:mine.bib": titles("Video from Latent Diffusion", "A Grammar of Sagas"),
    'like:"my library.ris"': titles("Video from Latent Diffusion", "A Grammar of Sagas"),
    "like:mine.bib -category:cs.CL": changed(
        {"title": "Latent Video Diffusion", "categories": ("cs.CV",)},
        {"title": "Latent Video Diffusion", "categories": ("cs.CL",)},
    ),
    "art": titles("The Art of War", "Artificial Intelligence"),
    '"not"': titles("To Be or Not to Be", "To Be"),
}


def _rows(heading: str) -> list[tuple[str, str]]:
    """The two columns of the tables under `heading` in the docs, backticks off the first."""
    section = DOCS.read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[1].split("\n## ")[0]
    return [(row[1], row[2]) for row in re.finditer(r"^\| `(.+?)` \| (.+) \|$", section, re.MULTILINE)]


SECTIONS = ("Words", "Together", "Fields", "What is known of a paper", "When", "Like these")


def test_every_query_of_the_docs_is_tried_here() -> None:
    shown = {query for heading in SECTIONS for query, _ in _rows(heading)}
    assert len(shown) > 40
    assert shown <= set(TAUGHT)


@pytest.mark.parametrize("query", TAUGHT)
def test_a_query_finds_what_the_docs_say_and_leaves_the_rest(query: str) -> None:
    found, left_out = TAUGHT[query]
    topics = {"agents"} if query.startswith("topic:") else set()
    assert matches(query, found, topics)
    assert not matches(query, left_out)


def test_the_docs_name_every_field() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert [field for field in FIELDS if f"`{field}:" not in text] == []


@pytest.mark.parametrize(("query", "message"), _rows("When a query is wrong"))
def test_a_wrong_query_is_told_so_in_the_words_of_the_docs(query: str, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_query(query)
    assert str(caught.value).removesuffix(f" of {query!r}") == message


def test_the_sql_of_the_docs_runs() -> None:
    sql = DOCS.read_text(encoding="utf-8").split("```sql\n")[1].split("```")[0]
    both = [a_paper(paper_id="arxiv:1", title="Ours", code_url="https://example.org/code"), a_paper(paper_id="arxiv:2")]
    found = Catalog(both, {"arxiv:1": {"agents"}, "arxiv:2": {"agents"}}).connection.execute(sql).fetchall()
    assert found == [("Ours",)]


# ------------------------------------------------------------------------------------------------- finer points


def test_the_plural_is_found_by_the_singular_and_not_the_other_way() -> None:
    for singular, plural in (("agent", "Agents"), ("policy", "Policies"), ("box", "Boxes"), ("survey", "Surveys")):
        assert matches(singular, titled(plural))
        assert not matches(plural, titled(singular))


def test_a_term_may_stand_in_the_title_or_in_the_abstract_but_a_phrase_not_half_in_each() -> None:
    paper = a_paper(title="A Study of Language", abstract="Models are studied.")
    assert matches("language models", paper)
    assert not matches('"language models"', paper)


def test_authors_are_no_part_of_a_plain_search() -> None:
    assert not matches("Minta", a_paper(authors=("Béla Minta",)))


def test_tex_shapes_letters_and_does_not_part_words() -> None:
    assert matches('"poincare conjecture"', titled(r"The Poincar\'{e} Conjecture"))
    assert matches("godel", titled(r"{\"o}de to G{\"o}del"))
    assert matches("tolga", titled(r"On To\-lga's Number"))
    assert matches('"all short titles"', titled(r"All \emph{short} Titles"))
    assert matches("alpha", titled(r"$\alpha$-divergences"))


def test_not_binds_before_and_and_and_before_or() -> None:
    paper = titled("b c")
    assert matches("NOT a b", paper)
    assert matches("a b OR c", paper)
    assert not matches("a (b OR c)", paper)
    assert not matches("-(b OR a)", paper)
    assert matches("NOT NOT b", paper)
    assert matches("--b", paper)


def test_small_operators_are_words() -> None:
    assert not matches("cats and dogs", titled("Cats, Dogs"))
    assert matches("cats and dogs", titled("Dogs and Cats"))


def test_typographic_quotes_are_quotes() -> None:
    assert parse_query("“language model”").root == parse_query('"language model"').root


def test_ids_are_read_as_people_write_them() -> None:
    paper = a_paper(aliases=("arxiv:2606.00012", "doi:10.1000/abc", "openreview:Xy12", "pmid:123"))
    for written in (
        "2606.00012v3", "arxiv:2606.00012", "https://arxiv.org/abs/2606.00012", "10.48550/arXiv.2606.00012",
        "https://doi.org/10.1000/ABC", "openreview:Xy12", "pmid:123", '"arxiv:2606.00012"', "arxiv:2606.*",
    ):  # fmt: skip
        assert matches(f"id:{written}", paper), written
    assert not matches("id:2606.0001", paper)
    assert matches("id:(arxiv:1 OR doi:10.1000/abc)", paper)


def test_quotes_mean_exactly() -> None:
    assert matches('"fine-tuning"', titled("Fine Tuning"))
    assert not matches('"fine-tuning"', titled("Finetuning"))
    assert not matches('"fine-tuning"', titled("Fine-Tunings"))
    assert not matches('category:"cs"', a_paper(categories=("cs.CL",)))
    assert not matches("category:cs.CL", a_paper(categories=("cs.CL.Else",)))


def test_a_group_hands_its_field_to_every_term() -> None:
    assert matches("version:(1 OR 2)", a_paper(version=2))
    assert matches("category:(cs.CL -cs.CV)", a_paper(categories=("cs.CL",)))
    with pytest.raises(QueryError, match=r"author: cannot stand inside title:\( \) at character 10"):
        parse_query("title:(a author:b)")


def test_a_paper_without_an_announced_day_counts_from_the_day_it_was_seen() -> None:
    seen = a_paper(announced_on=None, first_seen_at=datetime(2026, 5, 31, 23, 59, 59, tzinfo=UTC))
    assert matches("until:2026-05-31", seen)
    assert not matches("since:2026-06-01", seen)
    assert matches("since:2026-06-01", replace(seen, first_seen_at=datetime(2026, 6, 1, tzinfo=UTC)))


def test_ages_count_back_from_the_time_of_asking() -> None:
    catalog = Catalog([a_paper(announced_on=date(2026, 6, 1))])
    for days, finds in ((7, True), (8, False)):
        asked = datetime(2026, 6, 1, 23, tzinfo=UTC) + timedelta(days=days)
        assert bool(catalog.found("since:1w", asked)) is finds
        assert parse_query("since:1w").matches(a_paper(announced_on=date(2026, 6, 1)), asked) is finds


def test_a_query_names_the_topics_it_asks_for() -> None:
    assert parse_query("topic:a (b OR -topic:c)").topics == {"a", "c"}
    assert parse_query("a b").topics == frozenset()


# ------------------------------------------------------------------------------------------------- reasons


@pytest.mark.parametrize(
    ("query", "reasons"),
    [
        ("transformer OR diffusion", ("transformers",)),
        ("transformer diffusion", ()),  # no answer, so no reason
        ("LLM", ("LLMs",)),
        ("fine-tuning -vision", ("fine-tuning",)),
        ("quantiz* category:cs.LG", ("quantization", "category:cs.LG")),
        ('"large language*" OR LLM OR llm', ("large language", "LLMs", "llms")),
        ('author:"Ada Example" code:no', ('author:"Ada Example"', "code:no")),
        ("title:(fine-tuning OR nothing) version:>0", ("fine-tuning", "version:>0")),
        ("category:(cs.LG OR cs.CV)", ("category:cs.LG",)),
        ("-vision", ()),
        ("(LLM nothing) OR transformer", ("transformers",)),
        ("policy", ("policies",)),
        ("LLM OR LLM", ("LLMs",)),
        ("topic:agents", ("topic:agents",)),
    ],
)
def test_a_paper_says_which_terms_brought_it_here(query: str, reasons: tuple[str, ...]) -> None:
    paper = a_paper(
        title="Fine-Tuning of LLMs and Transformers",
        abstract="Quantization policies for a large\nlanguage.",
        categories=("cs.LG",),
    )
    assert parse_query(query).reasons(paper, NOW, ["agents"]) == reasons


# ------------------------------------------------------------------------------------------------- hostile queries


REFUSED = (
    "", " \n", "x " * QUERY_CHARACTERS_MAX, "(" * 21 + "a" + ")" * 21, " ".join(["a"] * (TERMS_MAX + 1)),
    "()", "a ()", "a OR OR b", "a AND OR b", "-", "a -", "NOT", "*", "**", '"a* b"', "&", '""', 'title:""', "title:",
    "title:(", "category:*", "votes:..", "votes:>9999999999", "votes:-1", "since:2026-13-01", "since:99999w", "until:",
    "attention: all you need", "https://example.org", "title:(a", "title:(a foo:b)", "title:x:)y)", "version:>=",
    "like:", 'like:" "',
)  # fmt: skip


@pytest.mark.parametrize("query", REFUSED)
def test_a_query_that_means_nothing_is_refused_with_the_character_to_blame(query: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_query(query)
    assert 0 <= caught.value.position <= len(query)
    assert "\n" not in caught.value.reason


def parsed_or_error(text: str) -> Query | QueryError:
    try:
        return parse_query(text)
    except QueryError as error:
        return error


PIECES = (*'ab"“()-*: \n', "OR", "AND", "NOT", "title:", "votes:", "since:", ">1", "30d", "id:", "2606.00012", "é", "ꙮ")


@given(st.lists(st.sampled_from((*PIECES, "like:", ".bib")), max_size=12).map("".join))
@settings(max_examples=400, deadline=None)
def test_any_text_is_a_query_or_an_error_that_says_where(text: str) -> None:
    outcome = parsed_or_error(text)
    if isinstance(outcome, QueryError):
        assert 0 <= outcome.position <= len(text)
        assert outcome.reason
    else:
        outcome = resolve(outcome, lambda seed: [seed_of("a b")])
        assert outcome.text == text
        assert outcome.sql(NOW).where.count("?") == len(outcome.sql(NOW).params)


def test_the_largest_queries_allowed_run(empty: Catalog) -> None:
    many = " OR ".join(f"w{n}-x" for n in range(TERMS_MAX))
    assert empty.found(many[:QUERY_CHARACTERS_MAX].rsplit(" OR ", 1)[0]) == set()
    deep = "(a OR -" * 20 + "b" + ")" * 20
    assert empty.found(deep) == set()
    assert empty.found("-" * 1_900 + "a") == set()
    assert empty.found(" ".join(["a"] * TERMS_MAX)) == set()


def test_nothing_a_reader_writes_becomes_sql(empty: Catalog) -> None:
    for evil in ("'; DROP TABLE papers; --", "x' OR 1=1 --", "? OR true"):
        for query in (f'"{evil}"', f'author:"{evil}"', f'category:"{evil}"', f'topic:"{evil}"', f'id:"{evil}"'):
            condition = parse_query(query).sql(NOW)
            assert "DROP" not in condition.where.upper()
            assert "1=1" not in condition.where
            assert empty.found(query) == set()


# ------------------------------------------------------------------------------------------------- shipped topics


def test_shipped_topics_are_ready_to_publish() -> None:
    topics = shipped_topics()
    assert len({topic.slug for topic in topics}) == len({topic.title for topic in topics}) == len(topics)
    assert len(topics) >= 30
    for topic in topics:
        assert topic.description.endswith("."), topic.slug
        assert topic.description.count(". ") == 0, topic.slug
        assert "\n" not in topic.query
        # A topic that asked for topics would depend on the order in which papers are tagged.
        assert parse_query(topic.query).topics == frozenset()


def test_an_arxiv_group_is_exactly_its_category() -> None:
    by_slug = {topic.slug: topic.query for topic in shipped_topics()}
    assert matches(by_slug["cs.cl"], a_paper(categories=("cs.LG", "cs.CL")))
    assert not matches(by_slug["cs.cl"], a_paper(categories=("cs.LG",)))
    assert matches(by_slug["physics"], a_paper(categories=("astro-ph.CO",)))
    assert not matches(by_slug["math"], a_paper(categories=("stat.ML",)))
