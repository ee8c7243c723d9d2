"""The history of a paper fits its terminal, keeps its meaning without colour, and lets no source steer the terminal."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from publishers.history_text import History, history, history_data
from storage.model import Announcement, Paper, Revision
from tests.builders import NOW, a_paper
from tests.lives import Life, a_version

LONG = " ".join(f"Sentence {n} says that $x_{{{n}}}<y$ holds." for n in range(40))


def a_life() -> Life:
    """A paper to which nearly everything happened."""
    life = Life()
    life.say(a_version(1, abstract=LONG, announced_on=date(2026, 6, 2), categories=("cs.CL",)))
    life.say(a_version(1, abstract=LONG, source="arxiv-rss:cs.AI", announce_type="cross", categories=("cs.AI",)))
    second = a_version(
        2,
        title="On Long $\\alpha$-Titles",
        abstract=LONG.replace("20 says", "20 shows"),
        authors=("Béla Minta", "Carl"),
    )
    life.say(second)
    life.say(replace(second, doi="10.1000/a_b", journal_ref="Ann. of $\\beta$ 1"))
    life.say(replace(second, doi="10.1000/a_c", journal_ref="Ann. of $\\beta$ 1", code_url="https://code.test/~a/b_c"))
    life.say(a_version(3, abstract="This paper has been withdrawn by the authors."))
    life.say(a_version(4, abstract=LONG))
    return life


def history_of(life: Life) -> History:
    return history(life.paper, life.revisions(), life.sightings())


def revised(before: Paper, *announcements: Announcement, **changes: Any) -> History:
    """The history of a paper that changed once."""
    after = replace(before, **changes)
    rows = [
        Revision(paper=paper, announcements=told, changes=(), at=NOW)
        for paper, told in ((before, (Announcement.NEW,)), (after, announcements))
    ]
    return history(after, rows, ())


def shown(found: History, *, width: int, colour: bool) -> str:
    """What a terminal gets."""
    out = io.StringIO()
    system = "truecolor" if colour else None
    console = Console(file=out, width=width, force_terminal=True, color_system=system, no_color=False)  # type: ignore[arg-type]
    console.print(found)
    return out.getvalue()


def test_a_history_says_when_what_was_told_and_which_words_changed() -> None:
    lines = history_of(a_life()).lines()
    assert lines[:3] == [
        "arxiv:2606.00012  On the Length of Short Titles",
        "2026-06-02  Announced by arxiv-rss:cs.CL in Computation and Language",
        "2026-06-04  Cross-listed in Artificial Intelligence",
    ]
    assert lines[3:10] == [
        "  Categories: [+cs.AI+]",
        "2026-06-05  Version 2",
        "  Title: On [-the Length of Short Titles-] [+Long α-Titles+]",
        "  Abstract: … Sentence 19 says that x₁₉<y holds. Sentence 20 [-says-] [+shows+] "
        "that x₂₀<y holds. Sentence 21 says that x₂₁<y …",
        "  Authors: [-Ada Example-], [+Carl+]",
        "2026-06-06  Published",
        "  DOI: [+10.1000/a_b+]",
    ]
    assert lines[10:14] == [
        "  Journal: [+Ann. of β 1+]",
        "2026-06-07  Code appeared",
        "  DOI: [-10.1000/a_b-] [+10.1000/a_c+]",
        "  Code: [+https://code.test/~a/b_c+]",
    ]


def test_a_withdrawal_and_its_end_are_told_with_their_words() -> None:
    lines = history_of(a_life()).lines()
    start = lines.index("2026-06-08  Withdrawn")
    assert lines[start + 1] == "  Version: [-2-] [+3+]"
    assert lines[start + 3].startswith("  Abstract: [-Sentence 0 says that x₀<y holds. ")
    assert lines[start + 3].endswith("-] [+This paper has been withdrawn by the authors.+]")
    assert "2026-06-09  Version 4" in lines
    assert lines[-1] == "  Withdrawn: no longer"


def test_what_nobody_was_told_is_there_and_says_so() -> None:
    paper = a_paper(journal_ref="Ann. 1")
    assert revised(paper, journal_ref="Annals 1").lines()[-2:] == [
        "2026-06-02  Recorded, not announced",
        "  Journal: [-Ann.-] [+Annals+] 1",
    ]


def test_a_row_that_changed_nothing_and_told_nothing_is_left_out() -> None:
    assert len(revised(a_paper(), upvotes=3).lines()) == 2


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"abstract": "We show that x<y holds for all short titles."},
            "Abstract: the same words, written with other TeX",
        ),
        ({"authors": ("Ada Example", "B\\'ela Minta")}, "Authors: the same words, written with other TeX"),
        ({"authors": ("Béla Minta", "Ada Example")}, "Authors: in another place: Ada Example"),
        ({"authors": ("Carl", "Béla Minta", "Ada Example")}, "Authors: [+Carl+]; in another place: Ada Example"),
        ({"abstract": "b " * 3_000}, "Abstract: 9 words became 3,000, too many to show"),
        ({"abstract": ""}, "Abstract: [-We show that x<y holds for all short titles.-]"),
        ({"title": "深層学習"}, "Title: [-On the Length of Short Titles-] [+深層学習+]"),
        ({"merged_into": "doi:10.1000/a_b"}, "Merged into: [+doi:10.1000/a_b+]"),
        ({"authors": tuple(f"A{n}" for n in range(40))}, "[+A19+], [+and 20 more+]"),
    ],
)
def test_a_change_reads_as_what_it_is(changes: dict[str, Any], line: str) -> None:
    assert line in revised(a_paper(), Announcement.REVISED, **changes).lines()[-1]


def test_a_paper_met_as_a_revision_says_that_more_is_not_known() -> None:
    life = Life()
    life.say(a_version(2))
    assert history_of(life).lines()[1:] == ["2026-06-03  Version 2; what was before is not known"]


def test_sightings_alone_and_nothing_at_all_are_a_history_too() -> None:
    life = a_life()
    assert history(life.paper, (), life.sightings()).lines()[1].startswith("2026-06-02  Announced by arxiv-rss:cs.CL")
    assert history(a_paper(announced_at=None), (), ()).lines() == ["arxiv:2606.00012  On the Length of Short Titles"]


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("colour", [True, False])
def test_no_line_is_wider_than_the_terminal(width: int, colour: bool) -> None:
    found = revised(a_paper(), Announcement.REVISED, title="深層学習" * 30, code_url="https://code.test/" + "a" * 300)
    for each in (found, history_of(a_life())):
        lines = [Text.from_ansi(line).plain for line in shown(each, width=width, colour=colour).splitlines()]
        assert max(map(cell_len, lines)) <= width
        assert len(lines) > 5


def test_colour_takes_the_place_of_the_marks() -> None:
    life = history_of(a_life())
    coloured, plain = shown(life, width=200, colour=True), shown(life, width=200, colour=False)
    assert "[-says-] [+shows+]" in " ".join(plain.split())
    assert "\x1b" not in plain
    assert "\x1b[9;31msays\x1b[0m \x1b[4;32mshows\x1b[0m" in coloured
    assert "[+" not in coloured


def test_what_stays_the_same_is_left_out_and_what_is_left_aligns() -> None:
    plain = shown(history_of(a_life()), width=80, colour=False).splitlines()
    start = next(n for n, line in enumerate(plain) if "Version 2" in line)
    assert [line.rstrip() for line in plain[start : start + 6]] == [
        "2026-06-05  Version 2",
        "            Title     On [-the Length of Short Titles-] [+Long α-Titles+]",
        "            Abstract  … Sentence 19 says that x₁₉<y holds. Sentence 20 [-says-]",
        "                      [+shows+] that x₂₀<y holds. Sentence 21 says that x₂₁<y …",
        "            Authors   [-Ada Example-], [+Carl+]",
        "",
    ]


def test_no_text_of_a_source_steers_the_terminal() -> None:
    hostile = "\x1b[31mred \u202eevil \x07 [bold]not bold[/] [link=https://x.test]a[/link]"
    found = revised(
        a_paper(title=hostile, paper_id="fp:\u202e\x1b[31m"),
        Announcement.REVISED,
        title=hostile[::-1],
        abstract=hostile,
        authors=(hostile,),
        categories=(hostile,),
        doi=hostile,
        journal_ref=hostile,
        code_url=hostile,
    )
    written = [*found.lines(), *shown(found, width=80, colour=False).splitlines()]
    assert not {c for line in written for c in line if not c.isprintable()}
    assert any("[bold]not bold[/]" in line for line in written), "and markup of rich is text"


def test_the_history_is_data_for_machines() -> None:
    life = a_life()
    data = json.loads(json.dumps(history_data(life.revisions())))
    assert data[0] == {"at": "2026-06-03T06:00:00+00:00", "announcements": ["new"], "version": 1, "changes": []}
    assert data[1]["changes"] == [{"field": "categories", "before": ["cs.CL"], "after": ["cs.CL", "cs.AI"]}]
    assert [c["field"] for c in data[2]["changes"]] == ["version", "title", "abstract", "authors"]
    assert data[2]["changes"][0] == {"field": "version", "before": 1, "after": 2}
    assert [(c["field"], c["after"]) for c in data[3]["changes"]] == [
        ("doi", "10.1000/a_b"),
        ("journal_ref", "Ann. of $\\beta$ 1"),
    ]
    assert data[5]["announcements"] == ["withdrawn"]
    assert data[6]["changes"][-1] == {"field": "withdrawn", "before": True, "after": False}
    assert history_data([]) == []
