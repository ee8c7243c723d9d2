"""A paper's page says what it is, why it is here, how to cite it, and everything that happened to it, once."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from publishers import pages
from publishers.citation import bibtex, citation_key, year_of
from publishers.life import life
from publishers.paths import paper_path
from storage.model import Announcement, Paper, Revision, Sighting, Submission, TaggedPaper
from tests.builders import a_paper, tagged
from tests.page_builders import SITE, a_full_life, a_revision, a_sighting, parsed, text_of, whole_site


@pytest.fixture(scope="module")
def site() -> dict[str, bytes]:
    return whole_site()


def paper_text(paper: TaggedPaper, revisions: Sequence[Revision] = (), sightings: Sequence[Sighting] = ()) -> str:
    return text_of(parsed(pages.paper_page(SITE, paper, revisions, sightings)).find(".//main"))


def diff_of(paper: Paper, revisions: Sequence[Revision]) -> tuple[list[str], list[str]]:
    """What a page shows of the changes to those who see its colours, and says to those who do not."""
    page = parsed(pages.paper_page(SITE, tagged(paper), revisions, ()))
    changed = page.xpath("//dl[@class='diff']/dd")
    heard = [text_of(dd) for dd in changed]
    for words in page.xpath("//span[@class='said']"):
        words.drop_tree()
    return [text_of(dd) for dd in changed], heard


def test_a_paper_says_why_it_is_here_and_where_to_read_it(site: dict[str, bytes]) -> None:
    page = parsed(site["papers/arxiv-2606.00012.html"])
    assert [text_of(li) for li in page.xpath("//ul[@class='why']/li")] == ["Nlp because: nlp", "Robots because: robots"]
    links = {text_of(a): a.get("href") for a in page.xpath("//p[@class='buttons']/a")}
    assert links == {
        "PDF": "https://arxiv.org/pdf/2606.00012v1",
        "arXiv:2606.00012": "https://arxiv.org/abs/2606.00012",
        "Code": "https://code.example.org/repo",
        "Hugging Face": "https://huggingface.co/papers/2606.00012",
        "DOI": "https://doi.org/10.1000/a(b)%3Cc%3E;d",
    }
    facts = text_of(page.xpath("//dl[@class='facts-list']")[0])
    assert "Computation and Language (cs.CL), Artificial Intelligence (cs.AI)" in facts
    assert "12 votes on 2 June 2026" in facts
    assert "1 star" in facts
    assert "CC BY 4.0" in facts


def test_three_hundred_authors_are_all_there_but_folded(site: dict[str, bytes]) -> None:
    page = parsed(site["papers/arxiv-2606.00012.html"])
    assert len(page.xpath("//bdi")) == 299
    assert len(page.xpath("//details[contains(@class, 'authors')]//bdi")) == 283
    assert len(page.xpath("//meta[@name='citation_author']")) == 299


def test_an_abstract_keeps_its_paragraphs_and_its_less_than_signs() -> None:
    page = parsed(pages.paper_page(SITE, tagged(a_paper(abstract="If $a<b$ then.\n\nSecond one.")), (), ()))
    assert [text_of(p) for p in page.xpath("//p[@class='abstract']")] == ["If a < b then.", "Second one."] or [
        text_of(p) for p in page.xpath("//p[@class='abstract']")
    ] == ["If a<b then.", "Second one."]


def test_a_paper_of_which_little_is_known_still_has_a_page(site: dict[str, bytes]) -> None:
    text = text_of(parsed(site[paper_path("fp:bare")]).find(".//main"))
    assert "Its source gave no abstract." in text
    assert "None" not in text


def test_a_withdrawn_paper_says_so_before_its_abstract() -> None:
    paper = tagged(a_paper(withdrawn=True))
    page = parsed(pages.paper_page(SITE, paper, (), ()))
    banner = page.xpath("//p[@class='banner']")[0]
    assert text_of(banner).startswith("Withdrawn.")
    order = [e.get("class") for e in page.iter() if e.get("class") in ("banner", "abstract")]
    assert order == ["banner", "abstract"]
    assert not parsed(pages.paper_page(SITE, tagged(a_paper()), (), ())).xpath("//p[@class='banner']")


def test_machines_can_cite_a_paper(site: dict[str, bytes]) -> None:
    page = parsed(site["papers/arxiv-2606.00012.html"])
    meta = {name: page.xpath(f"//meta[@name='citation_{name}']/@content") for name in ("title", "doi", "pdf_url")}
    assert meta["title"] == ["Bounds for Robust Regression"]
    assert meta["doi"] == ["10.1000/a(b)<c>;d"]
    assert meta["pdf_url"] == ["https://arxiv.org/pdf/2606.00012v1"]
    described = json.loads(page.xpath("//script[@type='application/ld+json']")[0].text)
    assert described["@type"] == "ScholarlyArticle"
    assert described["headline"] == "Bounds for Robust Regression"
    assert len(described["author"]) == 299
    assert described["url"] == "https://wire.example.org/papers/arxiv-2606.00012.html"


# The life of a paper


def test_the_life_of_a_paper_tells_everything_once_and_in_order() -> None:
    paper, revisions, sightings = a_full_life()
    told = [(e.day.isoformat(), e.title) for e in life(paper.paper, revisions, sightings)]
    assert told == [
        ("2026-06-02", "Announced"),
        ("2026-06-03", "Cross-listed"),
        ("2026-06-04", "Listed on Hugging Face"),
        ("2026-06-05", "Version 2"),
        ("2026-06-11", "Published"),
        ("2026-06-11", "Withdrawn"),
    ]


def test_the_life_of_a_paper_says_who_where_and_what_changed() -> None:
    paper, revisions, sightings = a_full_life()
    events = {e.kind: e for e in life(paper.paper, revisions, sightings)}
    assert events[Announcement.NEW].detail == "by arxiv-rss:cs.CL in Computation and Language"
    assert events[Announcement.CROSS_LISTED].detail == "in Artificial Intelligence"
    assert events[Announcement.TRENDING].detail == "12 votes when first seen"
    assert events[Announcement.REVISED].detail == "Title, abstract and authors changed"
    assert [c.label for c in events[Announcement.REVISED].changes] == ["Title", "Authors", "Abstract"]
    assert events[Announcement.PUBLISHED].href == "https://doi.org/10.1000/a(b)%3Cc%3E;d"
    authors = events[Announcement.REVISED].changes[1]
    assert [(p.kind, p.text) for p in authors.parts if p.kind != "same"] == [
        ("skip", "…"),
        ("gone", "Author Number 299"),
    ]


def test_a_paper_seen_by_two_sources_in_one_pass_is_announced_once() -> None:
    sightings = [a_sighting(Announcement.NEW), a_sighting(Announcement.NEW, source="arxiv-rss:cs.AI")]
    events = life(a_paper(), [a_revision(a_paper(), Announcement.NEW)], sightings)
    assert [e.title for e in events] == ["Announced"]
    assert [e.title for e in life(a_paper(), (), sightings)] == ["Announced"]
    assert [e.title for e in life(a_paper(), (), ())] == ["Announced"]


def test_a_new_version_with_the_same_text_says_that_nothing_changed() -> None:
    first, second = a_paper(), a_paper(version=2)
    rows = [a_revision(first, Announcement.NEW), a_revision(second, Announcement.REVISED, changes=("version",))]
    event = life(second, rows, ())[-1]
    assert (event.title, event.detail, event.changes) == ("Version 2", "Title, abstract and authors are the same", ())


def test_a_text_that_changed_without_a_version_is_amended() -> None:
    first, second = a_paper(version=None), a_paper(version=None, title="On Other Things")
    rows = [a_revision(first, Announcement.NEW), a_revision(second, Announcement.REVISED, changes=("title",))]
    assert life(second, rows, ())[-1].title == "Text amended"


def test_the_parts_of_a_diff_are_parted_as_the_script_wants_it() -> None:
    first = a_paper(title="A small model", abstract="深層学習による画像認識")
    second = a_paper(title="A large model", abstract="強化学習による画像認識", version=2)
    rows = [
        a_revision(first, Announcement.NEW),
        a_revision(second, Announcement.REVISED, changes=("version", "title", "abstract")),
    ]
    title, abstract = life(second, rows, ())[-1].changes
    assert (title.between, [p.text for p in title.parts]) == (" ", ["A", "small", "large", "model"])
    assert (abstract.between, [p.text for p in abstract.parts]) == ("", ["深層", "強化", "学習による画像認識"])
    seen, heard = diff_of(second, rows)
    assert seen == ["A small large model", "深層強化学習による画像認識"]
    assert heard == [
        "A removed: small, end of removal added: large, end of addition model",
        "removed: 深層, end of removaladded: 強化, end of addition学習による画像認識",
    ]


def test_a_withdrawal_shows_the_notice_and_what_it_took_the_place_of() -> None:
    first, second = a_paper(), a_paper(withdrawn=True, abstract="This paper has been withdrawn.", version=2)
    rows = [
        a_revision(first, Announcement.NEW),
        a_revision(second, Announcement.WITHDRAWN, changes=("version", "abstract", "withdrawn")),
    ]
    (change,) = life(second, rows, ())[-1].changes
    assert [(p.kind, p.text) for p in change.parts] == [
        ("gone", "We show that x<y holds for all short titles."),
        ("new", "This paper has been withdrawn."),
    ]


def test_a_version_met_before_it_was_called_a_replacement_claims_nothing_of_its_text() -> None:
    paper = a_paper(version=2)
    rows = [a_revision(paper, Announcement.CROSS_LISTED), a_revision(paper, Announcement.REVISED)]
    event = life(paper, rows, ())[-1]
    assert (event.title, event.detail) == ("Version 2", "")


def test_texts_too_long_to_compare_are_not_compared() -> None:
    first, second = a_paper(abstract="a " * 30_000), a_paper(abstract="b " * 30_000, version=2)
    rows = [
        a_revision(first, Announcement.NEW),
        a_revision(second, Announcement.REVISED, changes=("version", "abstract")),
    ]
    assert "Too long to compare word by word." in paper_text(tagged(second), rows)


def test_a_change_is_marked_by_elements_that_mean_it() -> None:
    first, second = a_paper(title="A small model"), a_paper(title="A large model", version=2)
    rows = [a_revision(first, Announcement.NEW), a_revision(second, Announcement.REVISED, changes=("title",))]
    page = parsed(pages.paper_page(SITE, tagged(second), rows, ()))
    assert [(e.tag, text_of(e)) for e in page.iter("del", "ins")] == [
        ("del", "removed: small, end of removal"),
        ("ins", "added: large, end of addition"),
    ]


def test_the_versions_that_its_server_counts_are_listed_with_day_and_size() -> None:
    versions = tuple(
        Submission(n, datetime(2026, 5, n, tzinfo=UTC), size_bytes=312_400 if n == 1 else None) for n in range(1, 10)
    )
    page = parsed(pages.paper_page(SITE, tagged(a_paper(versions=versions, version=9)), (), ()))
    lines = page.xpath("//section[@aria-labelledby='versions']//li")
    assert [text_of(li) for li in lines][:2] == ["Version 1 1 May 2026, 312 kB", "Version 2 2 May 2026"]
    assert len(lines) == 9
    assert lines[1].xpath("a/@href") == ["https://arxiv.org/abs/2606.00012v2"]
    assert page.xpath("//section[@aria-labelledby='versions']/details"), "many are folded"
    assert "Versions" not in paper_text(tagged(a_paper()))


def test_counts_stand_as_they_were_counted_last() -> None:
    paper = a_paper(citations=1_234, upvotes=0, stars=0, comment_count=None)
    seen = [
        a_sighting(source="semantic-scholar", citations=1_200),
        a_sighting(source="semantic-scholar", citations=1_234, seen_at=datetime(2026, 7, 1, tzinfo=UTC)),
    ]
    text = paper_text(tagged(paper), (), seen)
    assert "Readers 1,234 citations on 1 July 2026 0 votes" in text
    assert "star" not in text


def test_a_paper_leads_to_its_publisher_its_reviews_and_its_record() -> None:
    paper = a_paper(
        aliases=("arxiv:2606.00012", "openreview:aBc_1", "pmid:123"), url="https://www.journal.example.org/paper/1"
    )
    page = parsed(pages.paper_page(SITE, tagged(paper), (), ()))
    links = {text_of(a): a.get("href") for a in page.xpath("//p[@class='buttons']/a")}
    assert links["journal.example.org"] == "https://www.journal.example.org/paper/1"
    assert links["OpenReview"] == "https://openreview.net/forum?id=aBc_1"
    assert links["PubMed"] == "https://pubmed.ncbi.nlm.nih.gov/123/"
    at_home = parsed(pages.paper_page(SITE, tagged(a_paper(url="https://arxiv.org/abs/2606.00012v3")), (), ()))
    assert [text_of(a) for a in at_home.xpath("//p[@class='buttons']/a")].count("arXiv:2606.00012") == 1
    assert "arxiv.org" not in [text_of(a) for a in at_home.xpath("//p[@class='buttons']/a")]


def test_authors_and_categories_lead_to_their_pages_where_there_are_such() -> None:
    live = replace(SITE, live=True, categories=frozenset(["cs.CL"]))
    page = parsed(pages.paper_page(live, tagged(a_paper()), (), ()))
    assert page.xpath("//bdi/a/@href")[0] == "../authors/ada-example"
    assert page.xpath("//dl[@class='facts-list']//a[.='Computation and Language']/@href") == [
        "../categories/cs.CL.html"
    ]
    assert not parsed(pages.paper_page(SITE, tagged(a_paper()), (), ())).xpath("//bdi/a")


# BibTeX


def test_bibtex_is_what_an_author_would_write() -> None:
    paper = a_paper(title="The R&D of $x_1$ at 50% \\emph{Cost}", authors=("Béla Minta", "The ATLAS Collaboration"))
    assert bibtex(paper) == (
        "@misc{minta2026rd,\n"
        "  title = {{The R\\&D of $x_1$ at 50\\% \\emph{Cost}}},\n"
        "  author = {Béla Minta and {The ATLAS Collaboration}},\n"
        "  year = {2026},\n"
        "  eprint = {2606.00012},\n"
        "  archiveprefix = {arXiv},\n"
        "  primaryclass = {cs.CL},\n"
        "  url = {https://arxiv.org/abs/2606.00012},\n"
        "}\n"
    )


def test_a_published_paper_is_cited_with_its_journal() -> None:
    entry = bibtex(a_paper(journal_ref="Phys. Rev. D 76 (2007) 1", doi="10.1103/PhysRevD.76.013009"))
    assert entry.startswith("@article{example2026length,")
    assert "  journal = {Phys. Rev. D 76 (2007) 1},\n  doi = {10.1103/PhysRevD.76.013009},\n" in entry


@pytest.mark.parametrize(
    ("authors", "title", "key"),
    [
        (("Example, Ada",), "A Paper", "example2026paper"),
        (("Bruno L\\'evy",), "On the Way to Paris", "levy2026way"),
        (("李 明",), "大規模言語モデル", "anonymous2026"),
        ((), "GPT-4 is fine", "anonymous2026gpt4"),
        (("<script>",), "\"'{}", "script2026"),
    ],
)
def test_citation_keys_are_plain_and_telling(authors: tuple[str, ...], title: str, key: str) -> None:
    assert citation_key(a_paper(authors=authors, title=title)) == key


@pytest.mark.parametrize(
    ("changes", "year"),
    [
        ({"published_at": datetime(2025, 12, 31, 23, tzinfo=UTC)}, 2025),
        ({"aliases": ("arxiv:hep-th/9901001",)}, 1999),
        ({"aliases": ("arxiv:math/0309136",)}, 2003),
        ({"aliases": ("arxiv:0704.0001",)}, 2007),
        ({"aliases": ("doi:10.1/x",)}, 2026),
        ({"aliases": ("doi:10.1/x",), "announced_on": None}, None),
    ],
)
def test_the_year_is_that_of_submission(changes: dict[str, Any], year: int | None) -> None:
    assert year_of(a_paper(**changes)) == year


@settings(max_examples=300)
@example(title="}{", author="}{")
@example(title="a\\", author="b\\")
@example(title="$5 and $6 & $7", author="{")
@given(
    title=st.text(alphabet="{}\\$&%#_^~ab \"'@,=é", max_size=40),
    author=st.text(alphabet="{}\\$&%#_, anddn~", max_size=30),
)
def test_no_title_or_name_breaks_a_bibtex_entry(title: str, author: str) -> None:
    entry = bibtex(a_paper(title=title, authors=(author, "B"), journal_ref=title[::-1]))
    depth = 0
    for position, character in enumerate(entry):
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth > 0 or position < entry.index("{") or position >= len(entry) - 2
    assert depth == 0
    for line in entry.splitlines()[1:-1]:
        name, value = re.fullmatch(r"  (\w+) = \{(.*)\},", line).groups()  # type: ignore[union-attr]
        outside = re.sub(r"(?<!\\)\$[^$]*\$", "", value)
        assert name in ("eprint", "url") or not re.search(r"(?<!\\)[&%#]", outside)
