"""Everything a source writes passes through one place, and comes out as text that nothing downstream can trip over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import EntryError
from storage.identity import fingerprint, parse_arxiv_id, parse_doi, strong_aliases
from storage.settings import Limits
from storage.text import accept, clean, fold, safe_url, text_of_html
from tests.builders import an_entry


@pytest.mark.parametrize(
    ("given_text", "kept"),
    [
        ("We show $x<y$ & more", "We show $x<y$ & more"),
        ("two\r\nlines\rthree", "two\nlines\nthree"),
        ("nul \x00 bell \x07 escape \x1b[31m", "nul  bell  escape [31m"),
        ("c1 \x85 del \x7f", "c1  del"),
        ("lone \ud800 surrogate", "lone  surrogate"),
        ("non\ufffecharacter\U0001ffff", "noncharacter"),
        ("Gödel, 數學, 𝒪(n²) 🎉", "Gödel, 數學, 𝒪(n²) 🎉"),
        ("  outer \n", "outer"),
    ],
)
def test_only_what_nothing_may_carry_is_dropped(given_text: str, kept: str) -> None:
    assert accept(given_text) == kept


@given(st.text())
def test_accepted_text_can_be_written_anywhere(text: str) -> None:
    accepted = accept(text)
    accepted.encode("utf-8")
    assert accept(accepted) == accepted
    assert fold(text).split() == accepted.split()


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://arxiv.org/abs/2606.00012", "https://arxiv.org/abs/2606.00012"),
        (" HTTP://example.org/a b ", "http://example.org/a%20b"),
        ('https://example.org/"><script>', "https://example.org/%22%3E%3Cscript%3E"),
        ("https://example.org/[x]?a=[1]", "https://example.org/%5Bx%5D?a=%5B1%5D"),
        ("http://[::1]:8000/x", "http://[::1]:8000/x"),
        ("javascript:alert(1)", None),
        ("java\nscript:alert(1)", None),
        ("data:text/html,<b>", None),
        ("//example.org/x", None),
        ("http://0/[", "http://0/%5B"),
        ("http://[broken/", None),
        ("http://exa mple.org/", None),
        ("https://good.example@evil.example/", None),
        ("http://example.org:port/", None),
        ("https:///nohost", None),
        ("https://example.org/" + "x" * 3000, None),
        ("", None),
        (None, None),
    ],
)
def test_a_link_is_http_or_none(url: str | None, safe: str | None) -> None:
    assert safe_url(url) == safe


@given(st.text())
def test_no_link_leaves_its_attribute(text: str) -> None:
    for candidate in (text, f"https://example.org/{text}", f"http://{text}/"):
        url = safe_url(candidate)
        assert url is None or not set(url) & set("\"'<> \n\t`"), url
        assert url is None or url.startswith(("http://", "https://"))


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>One.</p><p>Two <b>bold</b>.</p>", "One.\nTwo bold."),
        ("<jats:title>Abstract</jats:title><jats:p>We &amp; they.</jats:p>", "Abstract\nWe & they."),
        ("H<sub>2</sub>O", "H2O"),
        ("$x<y$ and $a>b$", "$x<y$ and $a>b$"),
        ("a &lt; b", "a < b"),
        ("<script>alert(1)</script><p>Text</p>", "Text"),
        ("<p>unclosed <b>tags", "unclosed tags"),
        ("", ""),
    ],
)
def test_html_becomes_the_text_a_reader_would_see(markup: str, text: str) -> None:
    assert text_of_html(markup) == text


@given(st.text())
def test_no_markup_makes_it_fail(markup: str) -> None:
    text_of_html(markup)
    text_of_html(f"<p>{markup}</p>")


def test_an_entry_is_cleaned_in_all_its_parts() -> None:
    entry = clean(
        an_entry(
            title=" Two\n lines ",
            authors=("Ada\x00 Example", "  "),
            categories=("cs.CL", "cs.CL", ""),
            url="javascript:x",
            code_url="https://github.com/a/b",
            doi="10.1000/\ud800x\x1b",
            pmid="\x00",
        ),
        Limits(),
    )
    assert entry.title == "Two lines"
    assert entry.authors == ("Ada Example",)
    assert entry.categories == ("cs.CL",)
    assert entry.url is None
    assert entry.doi == "10.1000/x"
    assert entry.pmid is None
    assert entry.code_url == "https://github.com/a/b"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"title": "\x00"}, "it has no title"),
        ({"title": "x" * 1001}, "its title has 1,001 bytes, more than 1,000"),
        ({"abstract": "é" * 32_001}, "its abstract has 64,002 bytes, more than 64,000"),
        ({"authors": ("A",) * 10_001}, "10001 authors, more than 10000"),
    ],
)
def test_an_entry_that_breaks_a_limit_is_refused_with_the_reason(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(EntryError, match=reason):
        clean(an_entry(**changes), Limits())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("oai:arXiv.org:2606.00012v2", ("2606.00012", 2)),
        ("https://arxiv.org/abs/2606.00012", ("2606.00012", None)),
        ("http://arxiv.org/pdf/1410.7600v1", ("1410.7600", 1)),
        ("arXiv:hep-th/9901001v3", ("hep-th/9901001", 3)),
        ("https://arxiv.org/abs/math.GT/0309136", ("math/0309136", None)),
        ("2606.00012", ("2606.00012", None)),
        ("10.1000/2606.00012", None),
        ("https://example.org/2606.00012", None),
        ("arXiv:1410.76", None),
        ("", None),
    ],
)
def test_arxiv_ids_are_read_in_every_spelling(text: str, found: tuple[str, int | None] | None) -> None:
    assert parse_arxiv_id(text) == found


@pytest.mark.parametrize(
    ("text", "doi"),
    [
        ("https://doi.org/10.1000/XYZ.1", "10.1000/xyz.1"),
        ("doi:10.1002/(SICI)1097-0258(19980815)17:15", "10.1002/(sici)1097-0258(19980815)17:15"),
        ("(see 10.1000/abc).", "10.1000/abc"),
        ("https://doi.org/10.1000%2Fabc", "10.1000/abc"),
        ("10.1/short", None),
        ("no doi", None),
    ],
)
def test_dois_are_read_and_folded(text: str, doi: str | None) -> None:
    assert parse_doi(text) == doi


def test_a_datacite_doi_of_arxiv_is_the_arxiv_paper() -> None:
    entry = an_entry(arxiv_id=None, doi="10.48550/arXiv.2606.00012")
    assert strong_aliases(entry) == ("arxiv:2606.00012",)


def test_a_title_alone_never_makes_two_papers_one() -> None:
    same = {"title": "Discussion", "arxiv_id": None}
    prints = {
        fingerprint(an_entry(**same, authors=("Ada Example",))),
        fingerprint(an_entry(**same, authors=("Béla Minta",))),
        fingerprint(an_entry(**same, authors=(), abstract="one")),
        fingerprint(an_entry(**same, authors=(), abstract="two")),
    }
    assert len(prints) == 4


def test_tex_case_and_diacritics_do_not_make_one_paper_two() -> None:
    spelled = ("Schrödinger's cat in $\\mathbb{R}$", "SCHRÖDINGER'S CAT IN R")
    assert len({fingerprint(an_entry(title=title, authors=("B. Minta",))) for title in spelled}) == 1
