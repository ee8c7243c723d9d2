"""A diff holds both texts to the byte, tears no formula, and costs no more for a long text than its length allows."""

from __future__ import annotations

import gzip
import random
import re
import statistics
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

from publishers.life import condensed
from storage.model import Paper
from storage.revisions import DiffPart, blocks, changes_between, word_diff, words
from storage.text import fold, text_of_html
from tests.builders import a_paper

TEXTS = st.text(alphabet=st.sampled_from("aab. \n\t$$\\(){}<学習は é\u00a0"), max_size=40)


def marked(before: str, after: str) -> str:
    """A diff as one line: what went in [- -], what came in {+ +}."""
    shown = {"equal": "{}", "delete": "[-{}-]", "insert": "{{+{}+}}"}
    return "".join(shown[part.kind].format(part.text) for part in word_diff(before, after))


# What it says.


@pytest.mark.parametrize(
    ("before", "after", "diff"),
    [
        ("a small model", "a large model", "a [-small -]{+large +}model"),
        ("a model", "a model of text", "a model {+of text+}"),
        ("a model of text", "a model", "a model [-of text-]"),
        ("", "a model", "{+a model+}"),
        ("a model", "", "[-a model-]"),
        ("", "", ""),
        ("a  model\n", "a model", "a  model\n"),
        ("let $x < y$ be", "let $x > y$ be", "let [-$x < y$ -]{+$x > y$ +}be"),
        ("let $x<y$ be", "let $x<y$, $z$ be", "let [-$x<y$ -]{+$x<y$, $z$ +}be"),
        ("is \\(a + b\\) now", "is \\(a + c\\) now", "is [-\\(a + b\\) -]{+\\(a + c\\) +}now"),
        ("is \\[a b\\] now", "is $$a b$$ now", "is [-\\[a b\\] -]{+$$a b$$ +}now"),
        ("it costs $5 and $10 now", "it costs $5 or $10 now", "it costs $5 [-and -]{+or +}$10 now"),
        (
            "costs \\$5 a day, \\$7 a week",
            "costs \\$5 each day, \\$7 a week",
            "costs \\$5 [-a -]{+each +}day, \\$7 a week",
        ),
        ("深層学習による画像認識", "強化学習による画像認識", "[-深層-]{+強化+}学習による画像認識"),
        ("使用BERT模型", "使用GPT模型", "使用[-BERT-]{+GPT+}模型"),
    ],
)
def test_a_diff_says_which_words_changed(before: str, after: str, diff: str) -> None:
    assert marked(before, after) == diff


def test_a_word_or_two_between_changes_are_part_of_the_change() -> None:
    assert marked("We train a small model on data", "We train a very large model on more data") == (
        "We train a [-small model on -]{+very large model on more +}data"
    )
    assert marked("old one two three old", "new one two three new") == "[-old -]{+new +}one two three [-old-]{+new+}"


def test_a_diff_to_be_shown_leaves_out_what_is_far_from_any_change() -> None:
    run = [f"w{n}" for n in range(60)]
    parts = condensed(word_diff(" ".join(run), " ".join([*run[:30], "new", *run[30:]])))
    assert [(p.kind, p.text) for p in parts] == [
        ("skip", "… "),
        ("same", " ".join(run[22:30]) + " "),
        ("new", "new "),
        ("same", " ".join(run[30:38]) + " "),
        ("skip", "…"),
    ]


# What it promises.


@settings(max_examples=500)
@example("$a $b", "$a$ b")
@example(" ", "a")
@example("\\", "\\ ")
@given(TEXTS, TEXTS)
def test_a_diff_gives_back_both_texts_to_the_byte(before: str, after: str) -> None:
    parts = word_diff(before, after)
    assert "".join(part.before for part in parts) == before
    assert "".join(part.after for part in parts) == after
    for part in parts:
        assert part.kind != "equal" or part.before.split() == part.after.split()
        assert part.kind != "delete" or (part.before and not part.after)
        assert part.kind != "insert" or (part.after and not part.before)
    kinds = [part.kind for part in parts]
    assert all(one != other for one, other in pairwise(kinds))


@given(TEXTS)
def test_the_words_of_a_text_are_the_text(text: str) -> None:
    assert "".join(words(text)) == text


@given(st.lists(st.sampled_from(["a", "b", "$x<y$", "$a + b$", "深", "\\emph{c}"]), max_size=12), st.data())
def test_text_with_other_spaces_is_equal(run: list[str], data: st.DataObject) -> None:
    space = st.sampled_from([" ", "\n", "  ", " \t", "\u00a0"])
    spread = "".join(word + data.draw(space) for word in run)
    assert [part.kind for part in word_diff(" ".join(run), spread)] == (["equal"] if run else [])


@given(st.lists(st.sampled_from("abcd"), max_size=9), st.lists(st.sampled_from("abcd"), max_size=9))
def test_as_much_is_equal_as_can_be(old: list[str], new: list[str]) -> None:
    found = blocks(old, new)
    assert [word for block in found for word in old[block.old]] == old
    assert [word for block in found for word in new[block.new]] == new
    equal = [block for block in found if block.equal]
    assert all(old[block.old] == new[block.new] for block in equal)
    assert sum(block.old.stop - block.old.start for block in equal) == longest_common(old, new)


def longest_common(old: list[str], new: list[str]) -> int:
    """The length of the longest common subsequence, by the book."""
    row = [0] * (len(new) + 1)
    for word in old:
        above = row[:]
        for n, other in enumerate(new):
            row[n + 1] = above[n] + 1 if word == other else max(above[n + 1], row[n])
    return row[-1]


# What it costs. The limit of an abstract is 64,000 bytes: 10,000 words, or 32,000 letters.


class Counted(str):
    """A word that counts how often it is looked at."""

    __slots__ = ()
    looks = 0

    def __eq__(self, other: object) -> bool:
        Counted.looks += 1
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        Counted.looks += 1
        return str.__hash__(self)


def letters(number: int, alphabet: str, seed: int) -> list[Counted]:
    """That many letters, the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    return [Counted(letter) for letter in chance.choices(alphabet, k=number)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (letters(32_000, "a", 1), letters(32_000, "b", 2)),
        (letters(32_000, "ab", 1), letters(32_000, "ab", 2)),
        (letters(32_000, "abcdefghijklmnopqrstuvwxyz", 1), letters(32_000, "abcdefghijklmnopqrstuvwxyz", 2)),
    ],
    ids=["nothing is equal", "half is", "some is"],
)
def test_the_longest_abstracts_are_compared_in_a_few_looks_a_word(old: list[Counted], new: list[Counted]) -> None:
    Counted.looks = 0
    found = blocks(old, new)
    assert sum(block.equal for block in found) <= len(old)
    assert Counted.looks < 40 * (len(old) + len(new)), "each with each would be a billion"


def test_one_change_in_the_longest_abstract_is_found() -> None:
    text = [f"w{n % 5_000}" for n in range(10_000)]
    parts = condensed(word_diff(" ".join(text), " ".join([*text[:7_000], "new", *text[7_001:]])))
    assert [(p.kind, p.text) for p in parts if p.kind in ("gone", "new")] == [("gone", "w2000 "), ("new", "new ")]
    assert sum(len(words(p.text)) for p in parts) < 25


def test_nothing_is_lost_where_a_long_text_is_compared_in_pieces() -> None:
    chance = random.Random(7)  # noqa: S311 - no secret
    kept, gone, come = set(), [], []
    for n in range(9_000):
        fate = chance.choice(["kept", "gone", "come"])
        gone += [n] if fate != "come" else []
        come += [n] if fate != "gone" else []
        kept |= {n} if fate == "kept" else set()
    equal = [block for block in blocks(["<", *gone, ">"], [">", *come, "<"]) if block.equal]
    assert sum(block.old.stop - block.old.start for block in equal) == len(kept)


def test_a_text_beyond_all_limits_is_one_change_within_what_is_the_same() -> None:
    old, new = "a " * 50_000, "b " * 50_000
    assert word_diff(f"We say {old}here.", f"We say {new}here.") == (
        DiffPart("equal", "We say ", "We say "),
        DiffPart("delete", old, ""),
        DiffPart("insert", "", new),
        DiffPart("equal", "here.", "here."),
    )


@pytest.mark.parametrize("unit", ["$", "$a", "\\(", "\\[ ", "\\\\", "$$ ", "$ \\", "深$"])
def test_unbalanced_math_is_read_in_one_go(unit: str) -> None:
    text = unit * (64_000 // len(unit.encode()))
    assert "".join(words(text)) == text


# Real ones.


@pytest.fixture(scope="module")
def successive(unpack: Callable[[str], Path]) -> list[tuple[Paper, Paper]]:
    """Papers as one feed listed them in two versions."""
    items: dict[tuple[str, int], Any] = {}
    for file in sorted(unpack("arxiv_query_feed_history").rglob("*.xml.gz")):
        for item in etree.fromstring(gzip.decompress(file.read_bytes())).iter("item"):
            arxiv_id, version = str(item.findtext("link")).rpartition("/")[2].split("v")
            items[arxiv_id, int(version)] = item
    return [
        (listed(items[one], one[1]), listed(items[other], other[1]))
        for one, other in pairwise(sorted(items))
        if one[0] == other[0]
    ]


def listed(item: Any, version: int) -> Paper:
    """The paper of an item: its description holds the authors, then the abstract."""
    said = str(item.findtext("description")).replace("<![CDATA[", "<p>", 1)
    authors, abstract, *_ = [fold(text_of_html(part)) for part in re.split(r"</?p>", said) if part.strip()]
    title = fold(str(item.findtext("title")))
    return a_paper(title=title, authors=tuple(authors.split(", ")), abstract=abstract, version=version)


def test_real_versions_differ_in_what_their_authors_rewrote(successive: list[tuple[Paper, Paper]]) -> None:
    assert len(successive) > 25
    shares = []
    for before, after in successive:
        changes = changes_between(before, after)
        assert changes[0].field == "version"
        assert {change.field for change in changes} <= {"version", "title", "abstract", "authors"}
        parts = word_diff(before.abstract, after.abstract)
        assert "".join(part.before for part in parts) == before.abstract
        assert "".join(part.after for part in parts) == after.abstract
        equal = sum(len(part.after) for part in parts if part.kind == "equal")
        shares.append(equal / len(after.abstract))
    assert statistics.median(shares) > 0.8, "most of an abstract stays as it was"
    assert min(shares) < 0.7, "and some are largely written anew"
