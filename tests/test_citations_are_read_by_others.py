"""A paper's BibTeX, RIS and meta tags say to other programs what the paper says: title, names, day, ids, PDF."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import bibtexparser
import pytest
import rispy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pybtex.database import parse_string

from publishers.citation import bibtex, inverted, journal_title, ris
from publishers.paper_page import citation_files, paper_page
from publishers.paths import paper_file
from storage.model import Announcement, Paper
from tests.builders import a_paper, tagged
from tests.page_builders import SITE, a_revision, parsed

AUTHORS = ("Béla Minta", "Ludwig van den Berg", "The ATLAS Collaboration", "Example, Ada", "李 明", "Sammy Davis Jr.")


def a_published_paper(**changes: Any) -> Paper:
    """A paper with everything that a citation may say."""
    paper = a_paper(
        title=r"The R&D of $x_1$ at 50%: {\it Costs} & 100 #1s",
        abstract="First paragraph with $a<b$.\n\nER  - Second: TY  - JOUR",
        authors=AUTHORS,
        published_at=datetime(2026, 5, 30, 23, tzinfo=UTC),
        journal_ref="Phys. Rev. D 76 (2026) 1",
        doi="10.1103/PhysRevD.76.013009",
        pdf_url="https://arxiv.org/pdf/2606.00012v1",
    )
    return replace(paper, **changes)


def read_by_pybtex(text: str) -> Any:
    (entry,) = parse_string(text, "bibtex").entries.values()
    return entry


def read_by_bibtexparser(text: str) -> dict[str, str]:
    """The fields, whichever of its two interfaces is installed."""
    if hasattr(bibtexparser, "parse_string"):
        library = bibtexparser.parse_string(text)
        assert not library.failed_blocks
        (entry,) = library.entries
        return {field.key: str(field.value) for field in entry.fields}
    (found,) = bibtexparser.loads(text).entries
    return dict(found)


def read_by_rispy(text: str) -> dict[str, Any]:
    (found,) = rispy.loads(text)
    return dict(found)


def test_pybtex_reads_title_names_year_and_ids() -> None:
    entry = read_by_pybtex(bibtex(a_published_paper()))
    assert entry.type == "article"
    names = [
        " ".join([*p.first_names, *p.middle_names, *p.prelast_names, *p.last_names]) for p in entry.persons["author"]
    ]
    assert names[:2] == ["Béla Minta", "Ludwig van den Berg"]
    assert names[2].strip("{}") == "The ATLAS Collaboration"
    assert names[3:5] == ["Ada Example", "李 明"]
    assert len(names) == len(AUTHORS)
    assert entry.persons["author"][1].last_names == ["Berg"]
    assert entry.fields["title"] == r"{The R\&D of $x_1$ at 50\%: {\it Costs} \& 100 \#1s}"
    assert (entry.fields["year"], entry.fields["doi"]) == ("2026", "10.1103/PhysRevD.76.013009")
    assert (entry.fields["eprint"], entry.fields["archiveprefix"]) == ("2606.00012", "arXiv")
    assert entry.fields["url"] == "https://arxiv.org/abs/2606.00012"


def test_bibtexparser_reads_the_same() -> None:
    fields = read_by_bibtexparser(bibtex(a_published_paper()))
    assert fields["author"].split(" and ")[0] == "Béla Minta"
    assert len(re.split(r" and (?![^{]*\})", fields["author"])) == len(AUTHORS)
    assert fields["journal"] == "Phys. Rev. D 76 (2026) 1"
    assert fields["doi"] == "10.1103/PhysRevD.76.013009"
    assert fields["eprint"] == "2606.00012"


def test_rispy_reads_type_names_days_ids_abstract_and_pdf() -> None:
    found = read_by_rispy(ris(a_published_paper()))
    assert found["type_of_reference"] == "JOUR"
    assert found["title"] == "The R&D of x₁ at 50%: Costs & 100 #1s"
    assert found["authors"] == [
        "Minta, Béla",
        "van den Berg, Ludwig",
        "The ATLAS Collaboration",
        "Example, Ada",
        "明, 李",
        "Davis, Sammy, Jr.",
    ]
    assert (found["year"], found["date"]) == ("2026", "2026/05/30/")
    assert found["abstract"] == "First paragraph with a<b. ER - Second: TY - JOUR"
    assert found["doi"] == "10.1103/PhysRevD.76.013009"
    assert found["urls"] == ["https://arxiv.org/abs/2606.00012"]
    assert found["file_attachments1"] == "https://arxiv.org/pdf/2606.00012v1"
    assert found["accession_number"] == "arXiv:2606.00012"
    assert found["secondary_title"] == "Phys. Rev. D 76 (2026) 1"
    assert found["keywords"] == ["Computation and Language", "Artificial Intelligence"]


def test_a_preprint_says_that_it_is_one() -> None:
    preprint = a_published_paper(journal_ref=None, doi=None)
    assert read_by_rispy(ris(preprint))["type_of_reference"] == "UNPB"
    assert read_by_rispy(ris(preprint))["publisher"] == "arXiv"
    assert read_by_pybtex(bibtex(preprint)).type == "misc"


def test_ris_is_lines_of_a_tag_and_a_value_that_begin_with_ty_and_end_with_er() -> None:
    text = ris(a_published_paper())
    assert text.startswith("TY  - JOUR\r\n")
    assert text.endswith("\r\nER  - \r\n")
    assert text.count("\r\n") == text.count("\n")
    assert all(re.match(r"[A-Z][A-Z0-9]  - ", line) for line in text.splitlines())
    assert text.count("ER  - ") == 1


def test_an_id_of_two_lines_is_one_value() -> None:
    text = ris(a_published_paper(doi="10.1/x\r\nER  - \r\nTY  - BOOK"))
    assert [line for line in text.splitlines() if line.startswith(("TY", "ER"))] == ["TY  - JOUR", "ER  - "]


@settings(max_examples=200, deadline=None)
@given(
    title=st.text(alphabet="{}\\$&%#_^~ab\"'@,=é\n\r\u2028 -:", min_size=1, max_size=60).filter(lambda t: "a" in t),
    author=st.text(alphabet="{}\\$&%#_, anddn~\n", max_size=30),
    abstract=st.text(alphabet="ERTY -\n\r\u2028\u0085ab{}", max_size=80),
)
@example(title="a\nER  - \nTY  - BOOK", author="x\nAU  - Y", abstract="\r\nER  - \r\n")
@example(title="a}{", author="}{", abstract="")
@example(title="a\\", author="b\\", abstract="")
@example(title="a{\\}", author="\\{}", abstract="")
@example(title="a", author=",,\\\\", abstract="")
def test_no_text_makes_two_references_of_one(title: str, author: str, abstract: str) -> None:
    paper = a_published_paper(title=title, authors=(author, "Ada Example"), abstract=abstract)
    assert "Example, Ada" in read_by_rispy(ris(paper))["authors"]
    assert read_by_rispy(ris(paper))["doi"] == "10.1103/PhysRevD.76.013009"
    entry = read_by_pybtex(bibtex(paper))
    assert entry.fields["doi"] == "10.1103/PhysRevD.76.013009"
    assert entry.persons["author"][-1].last_names == ["Example"]
    assert read_by_bibtexparser(bibtex(paper))["eprint"] == "2606.00012"


@pytest.mark.parametrize(
    ("name", "turned"),
    [
        ("Ada Example", "Example, Ada"),
        ("Jean de la Fontaine", "de la Fontaine, Jean"),
        ("Van Nguyen", "Nguyen, Van"),
        ("Plato", "Plato"),
        ("Martin Luther King Jr.", "King, Martin Luther, Jr."),
        ("LIGO Scientific Collaboration", "LIGO Scientific Collaboration"),
        ("Example, Ada", "Example, Ada"),
        ("", ""),
    ],
)
def test_names_are_turned_round_with_their_small_words(name: str, turned: str) -> None:
    assert inverted(name) == turned


def test_a_new_title_does_not_change_the_key_that_texts_cite() -> None:
    first, second = a_paper(), a_paper(version=2, title="Something Else Entirely")
    rows = [a_revision(first, Announcement.NEW), a_revision(second, Announcement.REVISED, changes=("title",))]
    bib = citation_files(second, rows)[paper_file("arxiv:2606.00012", "bib")].decode()
    assert bib.startswith("@misc{example2026length,")
    assert "Something Else Entirely" in bib


def test_the_page_shows_the_citation_and_leads_to_its_files() -> None:
    paper = a_published_paper()
    files = citation_files(paper, ())
    page = parsed(paper_page(SITE, tagged(paper), (), ()))
    assert page.xpath("//pre")[0].text == files["papers/arxiv-2606.00012.bib"].decode()
    links = page.xpath("//p[@class='cited']/a/@href")
    assert links == [f"../{name}" for name in files]
    assert files["papers/arxiv-2606.00012.ris"].decode() == ris(paper)
    assert page.xpath("//details[@open]/pre"), "short citations are in sight"


def meta_of(paper: Paper) -> dict[str, list[str]]:
    """The Highwire tags, read as reference managers do: by name, in order."""
    found: dict[str, list[str]] = {}
    page = parsed(paper_page(SITE, tagged(paper), (), ()))
    for tag in page.xpath("/html/head/meta[starts-with(@name, 'citation_')]"):
        found.setdefault(tag.get("name").removeprefix("citation_"), []).append(tag.get("content"))
    return found


def test_the_head_of_the_page_says_all_that_a_reference_manager_saves() -> None:
    assert meta_of(a_published_paper()) == {
        "title": ["The R&D of x₁ at 50%: Costs & 100 #1s"],
        "author": list(AUTHORS),
        "publication_date": ["2026/05/30"],
        "journal_title": ["Phys. Rev. D"],
        "doi": ["10.1103/PhysRevD.76.013009"],
        "arxiv_id": ["2606.00012"],
        "pdf_url": ["https://arxiv.org/pdf/2606.00012v1"],
        "abstract_html_url": ["https://arxiv.org/abs/2606.00012"],
        "public_url": ["https://arxiv.org/abs/2606.00012"],
        "abstract": ["First paragraph with a<b. ER - Second: TY - JOUR"],
        "keywords": ["Computation and Language", "Artificial Intelligence"],
    }


def test_the_page_is_an_article_to_those_who_read_open_graph() -> None:
    page = parsed(paper_page(SITE, tagged(a_published_paper()), (), ()))
    assert page.xpath("//meta[@property='og:type']/@content") == ["article"]


def test_schema_org_says_the_same() -> None:
    page = parsed(paper_page(SITE, tagged(a_published_paper()), (), ()))
    said = json.loads(page.xpath("//script[@type='application/ld+json']")[0].text)
    assert said["@type"] == "ScholarlyArticle"
    assert [author["name"] for author in said["author"]] == list(AUTHORS)
    assert said["isPartOf"] == {"@type": "Periodical", "name": "Phys. Rev. D"}
    assert said["encoding"]["contentUrl"] == "https://arxiv.org/pdf/2606.00012v1"
    assert said["datePublished"] == "2026-05-30"


@pytest.mark.parametrize(
    ("reference", "title"),
    [
        ("Phys. Rev. D 76 (2007) 1", "Phys. Rev. D"),
        ("Annals of Statistics, Vol. 12", "Annals of Statistics"),
        ("Physica A: Statistical Mechanics 390 (2011)", "Physica A: Statistical Mechanics"),
        ("2021 IEEE Conference on Short Titles", "2021 IEEE Conference on Short Titles"),
        ("", ""),
    ],
)
def test_a_journals_name_is_taken_out_of_its_reference(reference: str, title: str) -> None:
    assert journal_title(a_paper(journal_ref=reference or None)) == title


def test_citations_are_utf_8_in_one_normal_form() -> None:
    text = ris(a_published_paper(authors=("Schro\u0308dinger Erwin",)))
    assert unicodedata.is_normalized("NFC", text)
    assert "Schrödinger" in text
