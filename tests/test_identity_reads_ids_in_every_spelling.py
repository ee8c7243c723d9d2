"""An id is one string however a source writes it, and what cannot be an id is none: nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.identity import (
    contradiction,
    fingerprint,
    own_fingerprint,
    parse_arxiv_id,
    parse_doi,
    parse_openreview_id,
    parse_pmid,
    strong_aliases,
    weak_aliases,
)
from storage.model import Entry
from storage.titles import title_key
from tests.builders import an_entry


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # the new style, in every dress
        ("2606.00012", ("2606.00012", None)),
        ("2606.00012v2", ("2606.00012", 2)),
        ("2606.00012V12", ("2606.00012", 12)),
        ("0704.0001", ("0704.0001", None)),
        ("1412.9999", ("1412.9999", None)),
        ("1501.00001", ("1501.00001", None)),
        ("oai:arXiv.org:2606.00012v2", ("2606.00012", 2)),
        ("arXiv:2606.00012 [cs.CL]", ("2606.00012", None)),
        ("arXiv%3A2606.00012", ("2606.00012", None)),
        ("https://arxiv.org/pdf/2606.00012v1.pdf", ("2606.00012", 1)),
        ("http://export.arxiv.org/abs/1410.7600?context=cs.LG", ("1410.7600", None)),
        ("https://arxiv.org/html/2606.00012v3#S1", ("2606.00012", 3)),
        ("https://ar5iv.org/html/2606.00012", ("2606.00012", None)),
        ("https://huggingface.co/papers/2606.00012", ("2606.00012", None)),
        ("10.48550/arXiv.2606.00012", ("2606.00012", None)),
        ("https://doi.org/10.48550/arXiv.2606.00012v2", ("2606.00012", 2)),
        # the old style
        ("hep-th/9901001v2", ("hep-th/9901001", 2)),
        ("math.GT/0309136", ("math/0309136", None)),
        ("arXiv:math.GT/0309136v1", ("math/0309136", 1)),
        ("cond-mat.mtrl-sci/0001001", ("cond-mat/0001001", None)),
        ("https://arxiv.org/abs/quant-ph/0703001v12", ("quant-ph/0703001", 12)),
        ("oai:arXiv.org:acc-phys/9411001", ("acc-phys/9411001", None)),
        ("Hep-Th/9901001", ("hep-th/9901001", None)),
        ("10.48550/arXiv.hep-th/9901001", ("hep-th/9901001", None)),
        # read as a number on the way: a digit is gone, and which one nobody knows
        ("arXiv:1410.76", None),
        ("arXiv:1410.760", None),
        ("arXiv:1501.1234", None),
        ("704.0001", None),
        ("1410.7600000", None),
        # arXiv never gave these
        ("0703.0001", None),
        ("1412.00001", None),
        ("2606.000123", None),
        ("arXiv:hep-th/9913001", None),
        ("quant-ph/0704001", None),
        ("hep-th/9107001", None),
        ("foo/9901001", None),
        # numbers that merely look alike
        ("https://example.org/2606.00012", None),
        ("10.1000/2606.00012", None),
        ("https://osf.io/preprints/socarxiv/2606.00012", None),
        ("version 2606.00012.5 of arXiv", None),
        ("see 2606.00012", None),
    ],
)
def test_an_arxiv_id_is_read_or_refused(text: str, found: tuple[str, int | None] | None) -> None:
    assert parse_arxiv_id(text) == found


def test_every_id_of_57_166_papers_is_read_as_it_is(shared_data: Path) -> None:
    ids = pq.read_table(shared_data / "bench" / "arxiv_papers.parquet", columns=["arxiv_id"])["arxiv_id"].to_pylist()
    assert [i for i in ids if parse_arxiv_id(i) != (i, None)] == []
    assert [i for i in ids if parse_arxiv_id(f"https://arxiv.org/abs/{i}v3") != (i, 3)] == []


def test_an_id_that_a_float_has_mangled_is_refused_or_was_not_changed(shared_data: Path) -> None:
    """`1410.7600` as a number is `1410.76`: of the changed ones none may come back as an id."""
    ids = pq.read_table(shared_data / "bench" / "arxiv_papers.parquet", columns=["arxiv_id"])["arxiv_id"].to_pylist()
    mangled = {i: str(float(i)) for i in ids if "/" not in i and str(float(i)) != i}
    assert len(mangled) > 4_000
    assert [(i, m) for i, m in mangled.items() if parse_arxiv_id(f"arXiv:{m}")] == []


@pytest.mark.parametrize(
    ("text", "doi"),
    [
        ("10.1103/PhysRevD.99.012345", "10.1103/physrevd.99.012345"),
        ("https://doi.org/10.1000/XYZ.1", "10.1000/xyz.1"),
        ("http://dx.doi.org/10.1000/xyz", "10.1000/xyz"),
        ("doi:10.1000/xyz", "10.1000/xyz"),
        ("DOI: 10.1000/xyz.", "10.1000/xyz"),
        ("info:doi/10.1000/xyz", "10.1000/xyz"),
        ("(see 10.1000/abc).", "10.1000/abc"),
        ("[10.1000/abc];", "10.1000/abc"),
        ("“10.1000/abc”", "10.1000/abc"),
        ("10.1016/S0140-6736(05)67728-8", "10.1016/s0140-6736(05)67728-8"),
        ("(10.1016/0040-4039(94)80086-1)", "10.1016/0040-4039(94)80086-1"),
        ("https://doi.org/10.1000%2Fabc%28d%29", "10.1000/abc(d)"),
        ("https://doi.org/10.1000/abc/", "10.1000/abc"),
        ("https://publisher.org/doi/10.1126/science.abc1234?af=R", "10.1126/science.abc1234"),
        ("https://publisher.org/x?doi=10.1000/abc&page=2#top", "10.1000/abc"),
        ("https://doi.org/10.1000/abc#section", "10.1000/abc"),
        ("10.1000/abc‐def", "10.1000/abc-def"),
        ("10.1000/\u200babc", "10.1000/abc"),
        ("10.1234.56/abc", "10.1234.56/abc"),
        # all papers of an issue share what stands before the first pointed bracket
        (
            "10.1002/(SICI)1097-0258(19980815/30)17:15/16<1661::AID-SIM968>3.0.CO;2-2",
            "10.1002/(sici)1097-0258(19980815/30)17:15/16<1661::aid-sim968>3.0.co;2-2",
        ),
        (
            "https://doi.org/10.1002/(SICI)1097-0258(19980815%2F30)17:15%2F16%3C1661::AID-SIM968%3E3.0.CO;2-2",
            "10.1002/(sici)1097-0258(19980815/30)17:15/16<1661::aid-sim968>3.0.co;2-2",
        ),
        ("10.1002/(SICI)1097-0258(19980815/30)17:15/16<1661", None),
        # bioRxiv and medRxiv register the base
        ("https://www.biorxiv.org/content/10.1101/2024.01.02.123456v2", "10.1101/2024.01.02.123456"),
        ("https://www.biorxiv.org/content/10.1101/2024.01.02.123456v2.full.pdf+html", "10.1101/2024.01.02.123456"),
        ("10.1101/123456v1", "10.1101/123456"),
        ("10.64898/2026.01.02.123456v3", "10.64898/2026.01.02.123456"),
        ("10.1101/gr.123456.1", "10.1101/gr.123456.1"),
        ("10.21203/rs.3.rs-123456/v1", "10.21203/rs.3.rs-123456/v1"),
        ("10.1/short", None),
        ("10.1000/", None),
        ("10.1000/...", None),
        ("110.1000/abc", None),
        ("no doi", None),
        ("", None),
    ],
)
def test_a_doi_is_read_or_refused(text: str, doi: str | None) -> None:
    assert parse_doi(text) == doi


@pytest.mark.parametrize(
    ("text", "forum"),
    [
        ("https://openreview.net/forum?id=aBc-12_x&noteId=z", "aBc-12_x"),
        ("https://openreview.net/forum?referrer=x&id=aBc-12_x", "aBc-12_x"),
        ("https://openreview.net/pdf?id=aBc-12_x", "aBc-12_x"),
        ("openreview:aBc-12_x", "aBc-12_x"),
        ("aBc-12_x", "aBc-12_x"),
        ("https://openreview.net/group?id=ICLR.cc/2024/Conference", None),
        ("https://example.org/forum?id=aBc-12_x", None),
        ("../../x", None),
        ("two words", None),
        ("", None),
    ],
)
def test_an_openreview_id_is_read_or_refused(text: str, forum: str | None) -> None:
    assert parse_openreview_id(text) == forum


@pytest.mark.parametrize(
    ("text", "pmid"),
    [
        ("39000001", "39000001"),
        ("0039000001", "39000001"),
        ("PMID: 00123", "123"),
        ("pubmed:123", "123"),
        ("https://pubmed.ncbi.nlm.nih.gov/39000001/?utm_source=rss", "39000001"),
        ("https://www.ncbi.nlm.nih.gov/pubmed/0123", "123"),
        ("https://www.ncbi.nlm.nih.gov/pmc/articles/PMC123/", None),
        ("PMC123", None),
        ("123.0", None),
        ("1234567890", None),
        ("0", None),
        ("", None),
    ],
)
def test_a_pmid_is_read_or_refused(text: str, pmid: str | None) -> None:
    assert parse_pmid(text) == pmid


@given(st.text(alphabet=st.sampled_from("0123456789./-:v%arxivdoi(){}<>;hepthmpmid=?& \u2010é"), max_size=60))
def test_what_was_read_reads_the_same_again(text: str) -> None:
    if found := parse_arxiv_id(text):
        assert parse_arxiv_id(found[0]) == (found[0], None)
    for parse in (parse_doi, parse_pmid, parse_openreview_id):
        if value := parse(text):
            assert parse(value) == value


def test_the_ids_of_an_entry_are_cleaned_and_ordered_by_strength() -> None:
    entry = an_entry(
        arxiv_id="math.GT/0309136v2",
        doi="https://doi.org/10.1000/ABC.",
        openreview_id="https://openreview.net/forum?id=aBc-12_x",
        pmid="PMID: 0123",
    )
    assert strong_aliases(entry) == ("arxiv:math/0309136", "doi:10.1000/abc", "openreview:aBc-12_x", "pmid:123")


def test_a_mangled_id_is_no_alias() -> None:
    assert strong_aliases(an_entry(arxiv_id="1410.76", doi="10.1000/abc")) == ("doi:10.1000/abc",)


@pytest.mark.parametrize("doi", ["10.48550/arXiv.2606.00012", "https://doi.org/10.48550/ARXIV.2606.00012v2"])
def test_a_datacite_doi_of_arxiv_is_the_arxiv_paper(doi: str) -> None:
    assert strong_aliases(an_entry(arxiv_id=None, doi=doi)) == ("arxiv:2606.00012",)


def test_weak_ids_are_the_guid_the_title_and_for_a_nameless_entry_the_fingerprint() -> None:
    titled = f"title:{title_key(an_entry().title)}"
    bare = Entry(source="blog", entry_id="tag:x,1", title=an_entry().title, authors=("Ada Example",))
    assert weak_aliases(an_entry()) == (titled,)
    assert weak_aliases(an_entry(arxiv_id=None, doi="10.1000/abc", source="j", entry_id="1")) == ("guid:j|1", titled)
    assert weak_aliases(bare) == ("guid:blog|tag:x,1", titled, f"fp:{fingerprint(bare)}")


def test_an_entry_with_a_title_that_says_nothing_has_no_title_alias() -> None:
    entry = Entry(source="blog", entry_id="1", title="Editorial", authors=("Ada Example",))
    assert weak_aliases(entry) == ("guid:blog|1", f"fp:{fingerprint(entry)}")


def test_fingerprints_that_readers_hold_never_change() -> None:
    known = {
        "ee20b635fc7ec0a481c4a3df": an_entry(),
        "e663da570c4b26ee0c8db35c": Entry(
            source="blog", entry_id="1", title=r"Schr\"odinger's $\alpha$ 数学", abstract="Über alles."
        ),
        "a8ba6a77c15c77c7ab128e9e": Entry(source="b", entry_id="2", title="Editorial", authors=("Béla Minta",)),
    }
    assert [fingerprint(entry) for entry in known.values()] == list(known)


def test_entries_with_one_fingerprint_can_be_told_apart() -> None:
    one, two = (
        Entry(source="blog", entry_id=i, title="Editorial", authors=("Ada Example",), abstract=f"Issue {i}")
        for i in ("1", "2")
    )
    assert fingerprint(one) == fingerprint(two)
    assert own_fingerprint(one) != own_fingerprint(two)
    assert len(own_fingerprint(one)) == 24


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        (("arxiv:2606.00012",), ("arxiv:2606.00013",), "arxiv:2606.00012 and arxiv:2606.00013"),
        (("arxiv:2606.00012", "doi:10.1000/a"), ("arxiv:2606.00013", "doi:10.1000/a"), "arxiv:"),
        (("arxiv:2606.00012", "doi:10.1000/a"), ("arxiv:2606.00012", "doi:10.2000/b"), None),
        (("doi:10.1000/a",), ("doi:10.1000/b",), "doi:10.1000/a and doi:10.1000/b"),
        (("doi:10.1000/a",), ("doi:10.2000/b",), "doi:"),
        (("doi:10.1101/2024.01.02.123456",), ("doi:10.1038/s41586-1",), None),
        (("doi:10.1101/2024.01.02.123456",), ("doi:10.1101/2024.01.02.123457",), "doi:"),
        (("doi:10.1101/1", "doi:10.1038/a"), ("doi:10.1038/b",), "doi:"),
        (("pmid:1",), ("pmid:2",), "pmid:"),
        (("openreview:a",), ("openreview:b",), "openreview:"),
        (("arxiv:2606.00012",), ("doi:10.1000/a",), None),
        (("title:0", "guid:a|1"), ("title:1", "guid:a|2"), None),
        ((), ("arxiv:2606.00012",), None),
    ],
)
def test_two_ids_of_one_kind_are_two_papers_but_for_a_preprint_and_its_journal(
    one: tuple[str, ...], other: tuple[str, ...], clash: str | None
) -> None:
    for said in (contradiction(one, other), contradiction(other, one)):
        assert (said is None) == (clash is None)
    assert (contradiction(one, other) or "").startswith(clash or "")
