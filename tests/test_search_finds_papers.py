"""Search finds a paper by what a reader remembers of it, however either of them spells it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage.query_terms import normal_text
from storage.search import Search
from storage.search_text import BREAK, plain_tex, words
from tests.search_rows import a_row, a_search, found

PAPERS = (
    a_row(
        "attention",
        title="Attention Is All You Need",
        abstract="The dominant sequence models are recurrent. An analysis of $\\alpha$-stable noise.",
        authors=["Ashish Vaswani", "Noam Shazeer"],
        categories=["cs.CL", "cs.LG"],
    ),
    a_row(
        "bridges",
        title='Schr\\"odinger Bridges for Diffusion',
        abstract="A Transformer, not the Fourier transform, learns to attend to policies.",
        authors=["Béla Minta", "Ada Williams", "Łukasz Groß"],
        categories=["math.PR"],
        withdrawn=True,
    ),
    a_row(
        "capture",
        title="A Survey of CO$_2$ Capture by Fine-Tuning",
        abstract="Attention is paid to the \\emph{Kähler} class, to 机器学习 and to what biases it.",
        authors=["Yi Li"],
        categories=["cs.CV", "Biology and Life"],
    ),
)


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Search:
    return a_search(tmp_path_factory.mktemp("home"), *PAPERS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("survey", "capture"),
        ("SURVEY", "capture"),
        ("recurrent", "attention"),
        ("vaswani", "attention"),
        ("vaswani recurrent need", "attention"),  # all words, wherever each of them stands
        ("vaswani survey", ""),
        ("schrodinger", "bridges"),
        ("Schrödinger", "bridges"),
        ('Schr\\"{o}dinger', "bridges"),
        ("kahler", "capture"),
        ("minta", "bridges"),
        ("Lukasz Gross", "bridges"),
        ("CO2", "capture"),
        ("CO₂", "capture"),
        ("CO$_2$", "capture"),
        ("emph", ""),
        ("alpha-stable", "attention"),
        ("α-stable", "attention"),
        ("bridge", "bridges"),  # singular and plural, whichever the paper has
        ("surveys", "capture"),
        ("policy", "bridges"),
        ("bias", "capture"),
        ("analyses", "attention"),
        ("transformers", "bridges"),
        ("fine-tuning", "capture"),
        ("fine tuning", "capture"),
        ("finetuning", ""),
        ("学习", "capture"),
        ("学机", ""),
        ('"dominant sequence"', "attention"),
        ('"sequence dominant"', ""),
        ('"all you need"', "attention"),
        ('"need the dominant"', ""),  # a phrase does not run from the title into the abstract
        ('"minta ada"', ""),  # nor from one author to the next
        ('"ada williams"', "bridges"),
        ("recurr*", "attention"),
        ("analysis*", "attention"),
        ('"fourier trans*"', "bridges"),
        ("attention", "attention capture"),
        ("attention -capture", "attention"),
        ("attention -capture -vaswani", ""),
        ("fourier OR survey", "bridges capture"),
        ("(fourier OR survey) -yi", "bridges"),
        ("-attention", "bridges"),
        ("title:attention", "attention"),
        ("title:(attention OR survey)", "attention capture"),
        ('title:"all you need"', "attention"),
        ("title:recurrent", ""),
        ("abstract:attention", "capture"),
        ("abstract:survey", ""),
        ("abstract:vaswani", ""),
        ('abstract:"attention is paid"', "capture"),
        ('abstract:"attention is all"', ""),
        ("abstract:domin*", "attention"),
        ("abstract:william", ""),
        ("author:williams", "bridges"),
        ("author:william", ""),  # names have no plural
        ('author:"Ada Williams"', "bridges"),
        ('author:"Williams Ada"', ""),
        ("author:survey", ""),
        ("author:shaz*", "attention"),
        ("category:cs", "attention capture"),
        ("category:cs.CL", "attention"),
        ("category:math.*", "bridges"),
        ("category:math.p*", "bridges"),
        ('category:"biology and life"', "capture"),
        ("-category:cs", "bridges"),
        ("withdrawn:yes", "bridges"),
        ("withdrawn:no", "attention capture"),
        ("zebra", ""),
    ],
)
def test_a_query_finds(search: Search, text: str, expected: str) -> None:
    assert sorted(found(search, text)) == expected.split()


@pytest.mark.parametrize(
    ("pasted", "expected"),
    [
        ("Attention Is All You Need", "attention"),
        ("Survey: capture by fine-tuning", "capture"),
        ("Capture - a survey", "capture"),
        ("A survey of CO$_2$ capture & fine-tuning", "capture"),
        ("the survey", "capture"),
        ("with the", None),
        ("“all you need”", "attention"),
        ("\ud800 survey \x00", "capture"),
    ],
)
def test_what_readers_paste_is_no_syntax(search: Search, pasted: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(Exception, match="only words that every paper has"):
            search.find(pasted)
    else:
        assert found(search, pasted) == [expected]


def test_a_word_of_the_title_weighs_more_than_one_of_the_abstract(tmp_path: Path) -> None:
    inside = a_row("inside", title="Something else", abstract="It mentions a zebra once.")
    ahead = a_row("ahead", title="A zebra", abstract="It mentions nothing of it once.")
    search = a_search(tmp_path, inside, ahead)
    assert found(search, "zebra") == ["ahead", "inside"]
    first, second = search.find("zebra")
    assert first.score > second.score > 0


def test_the_newest_come_first_where_asked(tmp_path: Path) -> None:
    days = {"second": datetime(2026, 6, 2), "first": datetime(1969, 6, 1), "third": datetime(2026, 6, 3)}  # noqa: DTZ001
    search = a_search(tmp_path, *(a_row(name, new_at=at) for name, at in days.items()), a_row("undated", new_at=None))
    assert found(search, "titles", newest_first=True) == ["third", "second", "first", "undated"]
    assert found(search, "titles", newest_first=True, limit=2) == ["third", "second"]


def test_no_more_come_than_were_asked_for(tmp_path: Path) -> None:
    search = a_search(tmp_path, *(a_row(f"p{n}") for n in range(60)))
    assert len(search.find("titles")) == 50
    assert len(search.find("titles", limit=7)) == 7
    assert len(set(found(search, "titles", limit=1_000))) == 60


@given(st.text().filter(lambda text: BREAK not in text and plain_tex(text) == text))
@example("℠ Foo™ 20℃ ⒜")
def test_a_query_is_read_as_the_text_was(text: str) -> None:
    # A query comes through the language's own normal form first; the index never sees that.
    assert words(normal_text(text)) == words(text)


@pytest.mark.parametrize(
    ("singular", "plural"),
    [
        ("model", "models"),
        ("class", "classes"),
        ("case", "cases"),
        ("box", "boxes"),
        ("cache", "caches"),
        ("batch", "batches"),
        ("policy", "policies"),
        ("movie", "movies"),
        ("size", "sizes"),
        ("bias", "biases"),
        ("virus", "viruses"),
        ("lens", "lenses"),
        ("gas", "gases"),
        ("GPU", "GPUs"),
        ("LLM", "LLMs"),
        ("matrix", "matrices"),
        ("index", "indices"),
        ("index", "indexes"),
        ("analysis", "analyses"),
        ("hypothesis", "hypotheses"),
        ("phenomenon", "phenomena"),
        ("criterion", "criteria"),
        ("spectrum", "spectra"),
        ("nucleus", "nuclei"),
        ("corpus", "corpora"),
        ("formula", "formulae"),
    ],
)
def test_singular_and_plural_are_one(singular: str, plural: str) -> None:
    assert words(singular) == words(plural)


@pytest.mark.parametrize(
    ("one", "other"),
    [("transformer", "transform"), ("universe", "university"), ("news", "new"), ("lens", "len"), ("mars", "mar")],
)
def test_different_words_stay_different(one: str, other: str) -> None:
    assert words(one) != words(other)


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        (r"Erd\H{o}s and R\'enyi", "erdo and renyi"),
        (r"na{\"\i}ve Gr\"{o}bner", "naive grobner"),
        (r"\L ojasiewicz, \O rsted, Stra{\ss}e", "lojasiewicz orsted strasse"),
        (r"$\mathcal{O}(n\log n)$ time", "o n n time"),
        (r"$\mathrm{H}_2\mathrm{O}$ and H\textsubscript{2}O", "h2o and h2o"),
        (r"\textbf{LLMs} are {\it good} \cite{somebody}", "llm are good"),
        (r"$\Lambda$CDM, $\varepsilon$", "lambda cdm epsilon"),
        (r"10^{-3} but L^2", "10 3 but l2"),
        (r"soft\-hyphen 100\%", "softhyphen 100"),
    ],
)
def test_tex_is_read_as_what_it_shows(tex: str, expected: str) -> None:
    assert " ".join(words(tex)) == expected
