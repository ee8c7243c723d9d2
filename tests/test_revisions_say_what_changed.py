"""Every revision names the fields that changed: texts, categories, publication, withdrawal and its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.model import Announcement
from storage.revisions import FIELDS, Change, ListDiff, changes_between, list_diff
from tests.builders import NOW, a_paper
from tests.lives import Life, a_journals_entry, a_version

A = Announcement
NOTICE = "This paper has been withdrawn by the authors, for Lemma 3 is wrong."
PAPER = a_paper(doi="10.1000/a", journal_ref="Ann. 1", code_url="https://code.test/a")


@pytest.fixture
def life() -> Life:
    """A paper whose first version was announced."""
    life = Life()
    assert life.say(a_version(1)) == ([A.NEW], ())
    return life


# Between two states of a paper.


@pytest.mark.parametrize(
    ("field", "attribute", "after"),
    [
        ("version", "version", 2),
        ("title", "title", "Another"),
        ("abstract", "abstract", ""),
        ("authors", "authors", ("Béla Minta", "Ada Example")),
        ("categories", "categories", ("cs.CL",)),
        ("doi", "doi", "10.1000/b"),
        ("journal_ref", "journal_ref", None),
        ("withdrawn", "withdrawn", True),
        ("code", "code_url", "https://code.test/b"),
        ("merged_into", "merged_into", "doi:10.1000/a"),
    ],
)
def test_a_field_that_changed_is_named_with_both_values(field: str, attribute: str, after: Any) -> None:
    changed = replace(PAPER, **{attribute: after})
    assert changes_between(PAPER, changed) == (Change(field, getattr(PAPER, attribute), after),)
    assert changes_between(changed, PAPER) == (Change(field, after, getattr(PAPER, attribute)),)


def test_every_field_has_its_case_above() -> None:
    cases = test_a_field_that_changed_is_named_with_both_values.pytestmark[0].args[1]
    assert tuple(field for field, _, _ in cases) == FIELDS


@pytest.mark.parametrize(
    "changes",
    [
        {"upvotes": 3, "comment_count": 1, "stars": 9},
        {"revised_at": NOW, "trending_on": date(2026, 6, 3), "hash_changes": 4, "revision": 2},
        {"title": "On  the Length\nof Short Titles "},
        {"abstract": "We show that $x<y$ holds for\n  all \\emph{short} titles."},
        {"authors": ("Ada  Example", "Béla Minta")},
        {"sources": ("arxiv-rss:cs.CL", "hf-daily"), "aliases": ("arxiv:2606.00012", "doi:10.1000/a")},
        {"pdf_url": "https://arxiv.org/pdf/2606.00012", "url": "https://arxiv.org/abs/2606.00012v1"},
    ],
)
def test_counts_spaces_and_links_are_no_changes(changes: dict[str, Any]) -> None:
    assert changes_between(PAPER, replace(PAPER, **changes)) == ()


def test_a_first_version_that_becomes_known_by_its_number_is_no_change() -> None:
    unnumbered = replace(PAPER, version=None)
    assert changes_between(unnumbered, PAPER) == ()
    assert changes_between(unnumbered, replace(PAPER, version=2)) == (Change("version", None, 2),)


def test_nothing_changed_where_nothing_was_known() -> None:
    assert changes_between(None, PAPER) == ()


@pytest.mark.parametrize(
    ("before", "after", "diff"),
    [
        ("AB", "ABC", ListDiff(("C",), (), ())),
        ("ABC", "AC", ListDiff((), ("B",), ())),
        ("ABCD", "BCDA", ListDiff((), (), ("A",))),
        ("AB", "CA", ListDiff(("C",), ("B",), ())),
        ("AAB", "ABA", ListDiff((), (), ("A",))),
        ("AAB", "AB", ListDiff((), ("A",), ())),
        ("", "AB", ListDiff(("A", "B"), (), ())),
    ],
)
def test_of_a_list_it_is_told_who_came_went_and_moved(before: str, after: str, diff: ListDiff) -> None:
    assert list_diff(tuple(before), tuple(after)) == diff


@given(st.lists(st.sampled_from("ABCDE")), st.lists(st.sampled_from("ABCDE")))
def test_a_list_without_who_went_and_with_who_came_is_the_other(before: list[str], after: list[str]) -> None:
    diff = list_diff(before, after)
    rest = list(before)
    for name in diff.removed:
        rest.remove(name)
    assert sorted([*rest, *diff.added]) == sorted(after)
    assert diff.moved or not (set(diff.added) & set(diff.removed))
    assert all(name in before and name in after for name in diff.moved)


def test_spaces_in_a_name_move_nobody() -> None:
    assert list_diff(["Ada  Example"], ["Ada Example"]) == ListDiff((), (), ())


# What a source says.


def test_a_version_names_all_it_changed(life: Life) -> None:
    told = life.say(
        a_version(2, title="On Long Titles", authors=("Ada Example",), categories=("cs.CL", "cs.AI", "cs.LG"))
    )
    assert told == ([A.REVISED], ("version", "title", "authors", "categories"))


def test_a_version_with_the_same_text_changed_its_number_alone(life: Life) -> None:
    assert life.say(a_version(2)) == ([A.REVISED], ("version",))


def test_a_cross_list_names_the_categories(life: Life) -> None:
    told = life.say(a_version(1, source="arxiv-rss:stat.ML", announce_type="cross", categories=("cs.CL", "stat.ML")))
    assert told == ([A.CROSS_LISTED], ("categories",))
    assert life.paper.categories == ("cs.CL", "cs.AI", "stat.ML")


def test_text_of_a_better_source_is_a_change_that_nobody_is_told(life: Life) -> None:
    listed = Life()
    listed.say(a_journals_entry(source="hf-daily", text_rank=0, title="On the length of short titles"))
    assert listed.say(a_version(1, announce_type=None)) == ([], ("title", "abstract", "categories"))
    assert listed.paper.revised_at is None


def test_text_with_other_spaces_is_nothing(life: Life) -> None:
    before = life.paper
    assert life.say(a_version(1, abstract=before.abstract.replace(" ", "\n"))) is None
    blog = Life()
    blog.say(a_journals_entry())
    assert blog.say(a_journals_entry(abstract="We show  that x<y holds for all\nshort titles.")) is None
    assert blog.paper.hash_changes == 0


def test_a_better_source_with_other_spaces_speaks_from_then_on(life: Life) -> None:
    listed = Life()
    listed.say(a_journals_entry(abstract="We show that x<y."))
    assert listed.say(a_version(1, announce_type=None, abstract="We show\nthat x<y.", categories=())) == ([], ())
    assert (listed.paper.text_rank, listed.paper.version) == (3, 1)
    assert listed.say(a_journals_entry(title="The Journal's Own Words")) is None


def test_code_that_appears_is_named(life: Life) -> None:
    assert life.say(a_version(1, code_url="https://code.test/a")) == ([A.CODE_APPEARED], ("code",))


def test_what_a_paper_was_merged_into_is_kept(life: Life) -> None:
    life.known = replace(life.paper, merged_into="doi:10.1000/a")
    life.say(a_version(2, title="On Long Titles"))
    assert life.paper.merged_into == "doi:10.1000/a"


# Publication.


def test_a_doi_that_becomes_known_is_a_publication(life: Life) -> None:
    assert life.say(a_version(1, doi="10.1000/A")) == ([A.PUBLISHED], ("doi",))
    assert life.paper.revised_at == life.clock


def test_a_journal_that_becomes_known_is_a_publication_and_the_doi_after_it_none(life: Life) -> None:
    assert life.say(a_version(1, journal_ref="Ann. 1 (2026) 1")) == ([A.PUBLISHED], ("journal_ref",))
    published_at = life.paper.revised_at
    assert life.say(a_version(1, journal_ref="Ann. 1 (2026) 1", doi="10.1000/a")) == ([], ("doi",))
    assert life.paper.revised_at == published_at


def test_doi_and_journal_at_once_are_one_publication(life: Life) -> None:
    assert life.say(a_version(2, doi="10.1000/a", journal_ref="Ann. 1")) == (
        [A.REVISED, A.PUBLISHED],
        ("version", "doi", "journal_ref"),
    )


def test_a_corrected_doi_and_journal_are_kept_and_not_announced_again(life: Life) -> None:
    life.say(a_version(1, doi="10.1000/a", journal_ref="Ann. 1"))
    published_at = life.paper.revised_at
    assert life.say(a_version(1, doi="10.1000/b", journal_ref="Ann. 1")) == ([], ("doi",))
    assert life.say(a_version(1, doi="10.1000/b", journal_ref="Annals 1 (2026)")) == ([], ("journal_ref",))
    assert (life.paper.doi, life.paper.journal_ref, life.paper.revised_at) == (
        "10.1000/b",
        "Annals 1 (2026)",
        published_at,
    )
    assert {"doi:10.1000/a", "doi:10.1000/b"} < set(life.paper.aliases), "it is still found by what it was called"


def test_a_doi_that_is_not_said_again_stays(life: Life) -> None:
    life.say(a_version(1, doi="10.1000/a", journal_ref="Ann. 1"))
    assert life.say(a_version(2)) == ([A.REVISED], ("version",))
    assert (life.paper.doi, life.paper.journal_ref) == ("10.1000/a", "Ann. 1")


def test_a_source_of_lower_rank_or_an_older_version_corrects_nothing(life: Life) -> None:
    life.say(a_version(2, doi="10.1000/a", journal_ref="Ann. 1"))
    life.say(a_journals_entry(doi="10.1000/b", journal_ref="Other 2"))
    life.say(a_version(1, doi="10.1000/c", journal_ref="Other 3"))
    assert (life.paper.doi, life.paper.journal_ref) == ("10.1000/a", "Ann. 1")


def test_a_preprint_is_published_when_the_publishers_doi_appears() -> None:
    life = Life()
    life.say(a_journals_entry(source="biorxiv", doi="10.1101/2026.06.01.123456"))
    assert life.say(a_journals_entry(doi="10.1038/s1", text_rank=1)) == ([A.PUBLISHED], ("doi",))
    assert life.say(a_journals_entry(source="biorxiv", doi="10.1101/2026.06.01.123456", title="Ours")) == (
        [A.REVISED],
        ("title",),
    )
    assert life.paper.doi == "10.1038/s1", "the preprint's own does not take its place"


# Withdrawal.


def test_a_withdrawal_names_all_that_went_with_it(life: Life) -> None:
    assert life.say(a_version(2, abstract=NOTICE)) == ([A.WITHDRAWN], ("version", "abstract", "withdrawn"))


def test_a_later_version_without_a_notice_brings_the_paper_back(life: Life) -> None:
    life.say(a_version(2, abstract=NOTICE))
    assert life.say(a_version(3)) == ([A.REVISED], ("version", "abstract", "withdrawn"))
    assert not life.paper.withdrawn
    assert life.paper.revised_at == life.clock
    assert life.say(a_version(4, abstract=NOTICE)) == ([A.WITHDRAWN], ("version", "abstract", "withdrawn"))


@pytest.mark.parametrize(
    "entry",
    [
        a_version(2, source="arxiv-rss:cs.AI", announce_type="replace-cross"),
        a_version(1),
        a_version(3, abstract=""),
        a_version(3, abstract="Withdrawn: see our other paper."),
        a_version(3, text_rank=0),
        a_journals_entry(text_rank=3),
        a_journals_entry(source="hf-daily", text_rank=0, trending=True),
    ],
)
def test_nothing_else_brings_it_back(life: Life, entry: Any) -> None:
    life.say(a_version(2, abstract=NOTICE))
    life.say(entry)
    assert life.paper.withdrawn


def test_a_retraction_by_the_journal_outlives_a_new_version(life: Life) -> None:
    assert life.say(a_journals_entry(title="RETRACTED: On the Length of Short Titles")) == (
        [A.WITHDRAWN],
        ("withdrawn",),
    )
    assert life.say(a_version(2)) == ([A.REVISED], ("version",))
    assert life.paper.withdrawn


def test_the_notice_of_an_older_version_withdraws_nothing(life: Life) -> None:
    life.say(a_version(3))
    assert life.say(a_version(2, source="arxiv-rss:cs.AI", abstract=NOTICE, announce_type="replace-cross")) is not None
    assert not life.paper.withdrawn
