"""Two papers are one work by ids, by authors as a set, by abstracts; an equal title alone joins nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.known import Known
from storage.likeness import Work, judge, names_of, same_work, work_of
from storage.titles import title_key
from tests.builders import a_paper, an_entry

ABSTRACT = (
    "We study how long a title may be before its readers stop reading it. Over four years we asked nine hundred people "
    "in three countries, and measured where their eyes came to rest. Titles of more than fourteen words lose a third "
    "of them; formulas cost more than words; a colon costs nothing. We end with advice for authors and for editors."
)
ELSEWHERE = (
    "Bees find their way home by the sun and by landmarks. This paper reports an experiment in which both were moved. "
    "A model with two compasses explains the flights of eighty animals and predicts those of twenty more, at night too."
)
REVISED = ABSTRACT.replace("nine hundred", "twelve hundred").replace("three countries", "four countries")
NAMES = ("Ada Example", "Béla Minta", "Chen Wei", "Dolores Ejemplo Pérez")
TITLE = "On the Length of Short Titles in Long Journals"
WORK = Work(title=TITLE, authors=NAMES, abstract=ABSTRACT)


def both_ways(one: Work, other: Work) -> str | None:
    """What same_work says, which must not depend on who is asked first."""
    said = same_work(one, other)
    assert (said is None) == (same_work(other, one) is None)
    return said


# Authors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authors",
    [
        NAMES,
        NAMES[::-1],
        ("Example, Ada", "Minta, Béla", "Wei, Chen", "Ejemplo Pérez, Dolores"),
        ("A. Example", "B. Minta", "C. Wei", "D. Ejemplo"),
        ("Example A", "Minta B", "Wei C", "Ejemplo Pérez D"),
        ("EXAMPLE, A.", "MINTA, B.", "WEI, C.", "EJEMPLO PEREZ, D."),
        ("Ada X. Example", "Bela Minta", "Wei Chen", "Dolores Ejemplo"),
        ("Ada Example (MIT)", "B\\'{e}la Minta [2]", "Chen Wei, Jr.", "Dr. Dolores Ejemplo P\\'erez"),
        ("Ada Example, Béla Minta, Chen Wei and Dolores Ejemplo Pérez",),
        ("Ada Example; Béla Minta; Chen Wei; Dolores Ejemplo Pérez",),
        ("A. Example, B. Minta, C. Wei, D. Ejemplo",),
        ("Example, A., Minta, B., Wei, C., Ejemplo Pérez, D.",),
        ("Ada Example", "Béla Minta", "et al."),
        ("Ada Example and Béla Minta et al.",),
        ("Béla Minta", "Chen Wei", "Somebody Else"),
    ],
)
def test_authors_are_one_set_however_they_are_written(authors: tuple[str, ...]) -> None:
    assert both_ways(WORK, Work(title=TITLE, authors=authors)) is not None


@pytest.mark.parametrize(
    "authors",
    [
        ("Ada Other", "Béla Nagy", "Chen Li", "Dolores Ejemplar"),
        ("Alan Example", "Bruno Minta", "Xiu Wei", "Diego Ejemplo"),
        ("Ada Example", "Someone Else", "Another One", "A Third Person", "The Fourth"),
        ("Example Collaboration",),
    ],
)
def test_other_authors_are_another_work(authors: tuple[str, ...]) -> None:
    assert both_ways(WORK, Work(title=TITLE, authors=authors)) is None


def test_the_first_author_alone_joins_nothing() -> None:
    assert both_ways(WORK, replace(WORK, authors=("Ada Example", "F. Fremd", "G. Gast"), abstract="")) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Jörg Müller", "Joerg Mueller"),
        ("Jörg Müller", "Jorg Muller"),
        ("Søren Ørsted", "Soren Orsted"),
        ("Paul Erd\\H{o}s", "Paul Erdős"),
        ("Jean-Pierre Serre", "J.-P. Serre"),
        ("Xiao-Ming Wang", "Xiaoming Wang"),
        ("Xiao-Ming Wang", "Wang XM"),
        ("Siobhán O'Brien", "S. O’Brien"),
        ("Alexander Smith", "Alex Smith"),
        ("Jan van der Berg", "van der Berg, Jan"),
        ("Juan García López", "J. García"),
        ("王小明", "王小明"),
    ],
)
def test_spellings_of_one_name_meet(one: str, other: str) -> None:
    assert both_ways(Work(title=TITLE, authors=(one,)), Work(title=TITLE, authors=(other,))) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Wei Wang", "Wei Zhang"),
        ("John Smith", "Jane Smith"),
        ("Ada Example", "Ada Sample"),
        ("Maria Garcia", "Garcia Lopez"),
    ],
)
def test_names_of_two_people_do_not_meet(one: str, other: str) -> None:
    assert both_ways(Work(title=TITLE, authors=(one,)), Work(title=TITLE, authors=(other,))) is None


def test_a_collaboration_is_the_same_with_and_without_its_members() -> None:
    alone = Work(title=TITLE, authors=("ATLAS Collaboration",))
    whole = Work(title=TITLE, authors=(*NAMES, "on behalf of the ATLAS Collaboration"))
    assert both_ways(alone, whole) is not None
    assert both_ways(alone, Work(title=TITLE, authors=("The CMS Collaboration",))) is None


def test_five_thousand_authors_are_compared_at_once() -> None:
    people = [(f"Given{chr(97 + n % 26)}{n}".translate(DIGITS), f"Family{n}".translate(DIGITS)) for n in range(5_000)]
    full, short = tuple(f"{g} {f}" for g, f in people), tuple(f"{f}, {g[0]}." for g, f in people)
    assert (
        both_ways(Work(title=TITLE, authors=full), Work(title=TITLE, authors=short))
        == "equal title, 5000 of 5000 authors"
    )


DIGITS = str.maketrans("0123456789", "abcdkfghij")


@given(st.lists(st.text(max_size=30), max_size=6).map(tuple))
def test_no_list_of_names_breaks_it(authors: tuple[str, ...]) -> None:
    names = names_of(authors)
    assert all(names.people)
    both_ways(Work(title=TITLE, authors=authors, abstract=ABSTRACT), WORK)


# Abstracts ----------------------------------------------------------------------------------------------------


def test_an_equal_title_alone_joins_nothing() -> None:
    assert both_ways(Work(title=TITLE), Work(title=TITLE)) is None
    assert both_ways(WORK, Work(title=TITLE)) is None
    assert both_ways(Work(title=TITLE, abstract=ABSTRACT), Work(title=TITLE)) is None


def test_where_one_side_names_nobody_the_abstracts_must_be_alike() -> None:
    assert (
        both_ways(WORK, Work(title=TITLE, abstract=REVISED))
        == "equal title, authors on one side only, abstracts 93% alike"
    )
    assert both_ways(WORK, Work(title=TITLE, abstract=ABSTRACT[:200])) is not None, "a feed shows its beginning only"
    assert both_ways(WORK, Work(title=TITLE, abstract=ELSEWHERE)) is None
    assert both_ways(WORK, Work(title=TITLE, abstract="We study titles.")) is None, "too short to say anything"


def test_where_nobody_is_named_the_text_must_be_the_same() -> None:
    bare = replace(WORK, authors=())
    assert both_ways(bare, replace(bare, title=TITLE.upper())) == "equal title, no authors, abstracts 100% alike"
    assert both_ways(bare, replace(bare, abstract=REVISED)) is None


def test_abstracts_about_different_things_are_two_works_even_by_the_same_authors() -> None:
    assert both_ways(WORK, replace(WORK, abstract=REVISED)) == "equal title, 4 of 4 authors, abstracts 93% alike"
    assert both_ways(WORK, replace(WORK, abstract=ELSEWHERE)) is None


def test_few_of_many_authors_need_an_abstract_that_agrees() -> None:
    assert both_ways(WORK, replace(WORK, authors=NAMES[:1])) is not None
    assert both_ways(WORK, replace(WORK, authors=NAMES[:1], abstract="")) is None


def test_one_author_and_a_short_title_need_an_abstract() -> None:
    lone = Work(title="Short titles", authors=NAMES[:1])
    assert both_ways(lone, lone) is None
    assert both_ways(replace(lone, abstract=ABSTRACT), replace(lone, abstract=REVISED)) is not None


@pytest.mark.parametrize("title", ["Editorial", "Erratum", "Discussion", "Reply"])
def test_a_title_that_says_nothing_needs_authors_and_abstract(title: str) -> None:
    one = replace(WORK, title=title)
    assert both_ways(one, replace(one, abstract=REVISED)) is not None
    assert both_ways(one, replace(one, abstract="")) is None
    assert both_ways(one, replace(one, abstract=ELSEWHERE)) is None


# Titles -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "title",
    [
        f"{TITLE}, Part II",
        f"{TITLE}. II",
        f"{TITLE} 2",
        f"Reply to '{TITLE}'",
        f"Comment on '{TITLE}'",
        f"Erratum: {TITLE}",
        f"Correction to: {TITLE}",
        f"{TITLE}: Supplementary Material",
        f"Discussion of {TITLE}",
        f"Retraction: {TITLE}",
    ],
)
def test_a_sequel_a_reply_or_an_erratum_is_another_work(title: str) -> None:
    assert both_ways(WORK, replace(WORK, title=title)) is None
    assert both_ways(WORK, replace(WORK, title=title, abstract="")) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Monotone networks (part I)", "Monotone networks (part II)"),
        ("Ricci flow I: existence", "Ricci flow II: long time"),
        ("The 2015 workshop on titles", "The 2016 workshop on titles"),
        ("Lecture 1: titles", "Lecture 2: titles"),
    ],
)
def test_members_of_a_series_stay_apart_with_one_abstract_for_all(one: str, other: str) -> None:
    assert both_ways(replace(WORK, title=one), replace(WORK, title=other)) is None


def test_a_renamed_or_translated_title_needs_the_authors_and_the_text() -> None:
    renamed = replace(WORK, title="How Long May a Title Be?")
    french = replace(WORK, title="Sur la longueur des titres courts")
    assert both_ways(WORK, renamed) == "title changed, 4 of 4 authors, abstracts 100% alike"
    assert both_ways(WORK, replace(renamed, abstract=REVISED)) is not None
    assert both_ways(WORK, french) is not None
    assert both_ways(WORK, replace(french, abstract="Nous étudions la longueur des titres. " * 20)) is None
    assert both_ways(WORK, replace(renamed, authors=NAMES[:2])) is None
    assert both_ways(WORK, replace(renamed, authors=())) is None
    lone = replace(WORK, authors=NAMES[:1])
    assert both_ways(lone, replace(lone, title=renamed.title, abstract=REVISED)) is None


# Ids ----------------------------------------------------------------------------------------------------------


def test_ids_decide_before_anything_else() -> None:
    one = replace(WORK, aliases=("arxiv:2606.00012", "doi:10.1000/a"))
    assert both_ways(one, replace(WORK, aliases=("arxiv:2606.00013", "doi:10.1000/a"))) is None
    assert both_ways(one, Work(title="?", aliases=("arxiv:2606.00012", "doi:10.1000/b"))) == "both are arxiv:2606.00012"
    assert both_ways(one, replace(WORK, aliases=("doi:10.1000/b",))) is None
    assert both_ways(one, replace(WORK, aliases=("title:0", "guid:a|1"))) is not None
    assert both_ways(one, Work(title="?", aliases=("title:0",))) is None


def test_a_preprint_is_one_work_with_its_journal_version() -> None:
    preprint = replace(WORK, aliases=("doi:10.1101/2024.01.02.123456",))
    assert both_ways(preprint, replace(WORK, aliases=("doi:10.1038/s41586-1",))) is not None
    assert both_ways(preprint, replace(WORK, aliases=("doi:10.1101/2024.01.02.999999",))) is None


def test_an_id_is_surer_than_a_title_and_a_title_than_a_text() -> None:
    by_id = judge(replace(WORK, aliases=("doi:10.1000/a",)), replace(WORK, aliases=("doi:10.1000/a",)))
    by_title, by_text = judge(WORK, WORK), judge(WORK, replace(WORK, title="How Long May a Title Be?"))
    assert by_id is not None
    assert by_title is not None
    assert by_text is not None
    assert 1 == by_id.score > by_title.score >= 0.8 > by_text.score >= 0.5


def test_an_entry_and_the_paper_it_became_are_one_work() -> None:
    assert both_ways(work_of(an_entry()), work_of(a_paper())) == "both are arxiv:2606.00012"
    bare = work_of(an_entry(arxiv_id=None))
    assert bare.aliases == ()
    assert both_ways(bare, work_of(a_paper())) == "equal title, 2 of 2 authors"


@pytest.mark.parametrize(("others", "is_joined"), [(99, True), (100, False)])
def test_a_title_that_very_many_share_tells_no_work(others: int, is_joined: bool) -> None:
    papers = [
        a_paper(paper_id=f"arxiv:2606.{n:05}", aliases=_named(n), title=TITLE, abstract=ELSEWHERE, authors=(f"N {n}",))
        for n in range(1, others + 1)
    ]
    its_own = a_paper(
        paper_id="arxiv:2606.10000", aliases=_named(10_000), title=TITLE, abstract=ABSTRACT, authors=NAMES
    )
    entry = an_entry(entry_id="x", arxiv_id=None, doi="10.1000/x", title=TITLE, abstract=ABSTRACT, authors=NAMES)
    found = Known([*papers, its_own]).match(entry).paper_id
    assert (found == "arxiv:2606.10000") is is_joined


def _named(number: int) -> tuple[str, ...]:
    return (f"arxiv:2606.{number:05}", f"title:{title_key(TITLE)}")
