"""A digest is short, honest and readable: in a text terminal, on a phone, at night, and by a screen reader."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lxml.html
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from publishers.digest import HTML_BYTES_MAX, TEXT_COLUMNS, render
from storage.model import Announcement, Paper, Revision
from tests.builders import NOW, a_paper
from tests.fake_catalog import a_numbered_paper
from tests.mails import LONG_WORD, PAPERS, REVISIONS, SITE, TOPIC, a_digest, the_edition, why


def words_of(markup: str) -> str:
    """What a reader of the HTML part reads."""
    return " ".join(str(lxml.html.document_fromstring(markup).xpath("string(//body)")).split())


def links_of(markup: str) -> set[str]:
    """Where the HTML part leads."""
    hrefs: Any = lxml.html.document_fromstring(markup).xpath("//@href")
    return set(map(str, hrefs))


# -- what it says -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("papers", "revisions", "more", "subject"),
    [
        (PAPERS[:1], (), 0, "Language models: 1 new paper · Tue 2 Jun"),
        (PAPERS, REVISIONS, 143, "Language models: 147 new papers · Tue 2 Jun"),
        (PAPERS, (), 1430, "Language models: 1,434 new papers · Tue 2 Jun"),
        ((), REVISIONS, 0, "Language models: 2 updates · Tue 2 Jun"),
    ],
)
def test_the_subject_says_what_is_inside(
    papers: Sequence[Paper], revisions: Sequence[Revision], more: int, subject: str
) -> None:
    assert a_digest(papers, revisions, more).subject == subject


def test_the_inbox_line_names_titles_and_is_the_first_thing_in_the_body() -> None:
    digest = a_digest()
    assert digest.preheader.startswith("Scaling Laws for Retrieval in ℝⁿ Without Labels · ")
    assert digest.preheader.endswith("and 145 more")
    assert words_of(digest.html).startswith(digest.preheader)
    assert "display:none" not in digest.html.replace(" ", "")


def test_both_parts_say_everything_about_a_paper() -> None:
    digest = a_digest()
    for said in (digest.text, words_of(digest.html)):
        flat = " ".join(said.split())
        assert "Scaling Laws for Retrieval in ℝⁿ Without Labels" in flat
        assert "Author Number0, Author Number1, Author Number2 and 9 more" in flat
        assert "9 more Computation and Language" in flat
        assert "1,234 votes" in flat
        assert "Why this: “language model”, category: Computation and Language" in flat
        assert "147 new papers, 1 trending, 2 updates" in flat
        assert re.search(r"[Aa]nd 143 more on the web", flat)
        assert "Version 2: title and abstract changed; Published" in flat
        assert "with O(n log n) attention" in flat
        assert "unsubscribe" in flat
    assert digest.text.count("WITHDRAWN") == 1
    assert lxml.html.document_fromstring(digest.html).xpath("count(//span[text()='Withdrawn'])") == 2


def test_an_update_tells_what_became_of_the_paper_and_nothing_else() -> None:
    kinds = (Announcement.CODE_APPEARED, Announcement.TRENDING, Announcement.CROSS_LISTED)
    revision = Revision(paper=a_numbered_paper(7), announcements=kinds, changes=("code_url",), at=NOW)
    lines = [line.strip() for line in a_digest((), (revision,), 0).text.splitlines()]
    assert "Code appeared" in lines


def test_the_dots_of_a_shortened_abstract_never_stand_alone() -> None:
    for words in range(60, 90):
        digest = a_digest([a_numbered_paper(1, abstract=f"{'word ' * words}end. " + "And more of it. " * 40)], (), 0)
        assert "…" in digest.text
        assert "…" not in [line.strip() for line in digest.text.splitlines()]


def test_every_link_leads_where_it_says_and_nowhere_else() -> None:
    digest = a_digest()
    page = "https://wire.example.org/papers/arxiv-2606.0000"
    expected = {
        "https://arxiv.org/abs/2606.00001",
        "https://arxiv.org/pdf/2606.00001v1",
        "https://code.example.org/a/b?c=1&d=2",
        "https://project.example.org/",
        "https://arxiv.org/abs/2606.00002",
        "https://arxiv.org/abs/2606.00003",
        "https://arxiv.org/pdf/2606.00003v1",
        "https://arxiv.org/pdf/2606.00004v1",
        *(f"{page}{n}.html" for n in (1, 2, 3, 4, 7, 8)),
        "https://wire.example.org/topics/language-models.html",
        "https://wire.example.org/feeds/language-models.atom",
    }
    assert links_of(digest.html) == expected
    assert set(re.findall(r"https?://\S+", digest.text)) == expected


def test_nothing_is_loaded_and_nobody_is_watched() -> None:
    root = lxml.html.document_fromstring(a_digest().html)
    allowed = {"html", "head", "meta", "title", "style", "body", "div", "table", "tbody", "tr", "td"}
    allowed |= {"h1", "h2", "p", "a", "span", "b", "br"}
    assert {e.tag for e in root.iter() if isinstance(e.tag, str)} <= allowed
    assert not re.search(r"url\(|@import|src=|<img|<link|javascript:", a_digest().html, re.IGNORECASE)


def test_markup_in_a_title_is_text() -> None:
    digest = a_digest()
    assert 'A <b>"bold"</b> claim & its <script>alert(1)</script> end' in words_of(digest.html)
    assert "<script" not in digest.html


def test_a_link_that_is_no_web_address_is_left_out() -> None:
    evil = a_numbered_paper(5, url="javascript:alert(1)", pdf_url="data:text/html,x", code_url="ftp://example.org/x")
    hrefs = links_of(a_digest([evil], ()).html)
    assert {h for h in hrefs if "2606" in h} == {"https://wire.example.org/papers/arxiv-2606.00005.html"}
    assert all(h.startswith("https://") for h in hrefs)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("cs.CV", "Computer Vision and Pattern Recognition"),
        ("category:stat.ML, deep", "category: Statistics Machine Learning, deep"),
        ("cond-mat.mes-hall", "Mesoscale and Nanoscale Physics"),
        ("node.js, “cs.CV”", "node.js, “Computer Vision and Pattern Recognition”"),
        ("trending:yes, votes:>20", "trending, votes: >20"),
    ],
)
def test_codes_that_look_like_domains_are_names(reason: str, said: str) -> None:
    digest = render(the_edition(), [why(a_paper(), reason)], (), site=SITE, topic=TOPIC, more=0)
    for part in (digest.text, words_of(digest.html)):
        flat = " ".join(part.split())
        assert f"Why this: {said}" in flat or "Statistics" in said
        assert not re.search(r"\b(?:cs|stat|cond-mat)\.[A-Za-z]{2}", flat)


def test_the_text_part_is_pleasant_to_read() -> None:
    lines = a_digest().text.split("\n")
    too_long = [line for line in lines if len(line) > TEXT_COLUMNS and " " in line.strip()[3:]]
    assert [line for line in too_long if "https://" not in line and LONG_WORD not in line] == []
    assert [line for line in lines if line != line.rstrip() and line != "-- "] == []
    assert "\n\n\n" not in a_digest().text
    assert lines[0] == "Language models"
    assert lines[1] == "Tuesday, 2 June 2026 · 147 new papers, 1 trending, 2 updates"


# -- its bytes ----------------------------------------------------------------------------------------------------


def test_a_digest_is_the_same_whatever_the_hash_seed() -> None:
    program = (
        "import hashlib; from tests.mails import a_digest as d;print(hashlib.sha256(repr(d()).encode()).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "LC_ALL": locale},
            capture_output=True,
            check=True,
        ).stdout
        for seed, locale in (("0", "C.UTF-8"), ("1", "C"))
    }
    assert len(seen) == 1


def huge_papers(count: int) -> list[Paper]:
    """As long as the archive lets a paper be."""
    return [
        a_numbered_paper(
            n,
            title="Über " + "very long titles " * 50,
            abstract="Sätze, die lang sind, sehr lang. " * 1_900,
            authors=("A Name That Goes On And On " * 8,) * 50,
            code_url="https://code.example.org/" + "x" * 1_900,
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("count", [25, 200])
def test_a_digest_never_grows_beyond_what_mail_programs_show(count: int) -> None:
    papers = huge_papers(count)
    digest = a_digest(papers, REVISIONS, 7)
    assert 60_000 < len(digest.html.encode()) <= HTML_BYTES_MAX
    assert digest.papers == tuple(p.paper_id for p in papers[: len(digest.papers)])
    assert 10 <= len(digest.papers) < count
    assert digest.more == 7 + count - len(digest.papers)
    assert f"{digest.more} more" in words_of(digest.html)


def test_rendering_what_was_left_gives_the_same_digest() -> None:
    papers = huge_papers(60)
    first = a_digest(papers, REVISIONS, 7)
    assert a_digest(papers[: len(first.papers)], REVISIONS, first.more) == first


def test_abstracts_are_shortened_before_papers_go() -> None:
    papers = [replace(a_numbered_paper(n), abstract=f"{n} " + "one two three four. " * 40) for n in range(55)]
    digest = a_digest(papers, (), 0)
    assert len(digest.papers) == 55
    assert "one two three" in digest.text
    assert len(a_digest(papers[:5], (), 0).text) / 5 > len(digest.text) / 55 + 50


@settings(max_examples=60, deadline=None)
@given(
    title=st.text(min_size=1, max_size=200).filter(str.strip),
    abstract=st.text(max_size=400),
    author=st.text(max_size=60),
    reason=st.text(max_size=80),
)
def test_no_text_breaks_a_digest(title: str, abstract: str, author: str, reason: str) -> None:
    paper = a_paper(title=title, abstract=abstract, authors=(author,))
    digest = render(the_edition(), [why(paper, reason)], (), site=SITE, topic=TOPIC, more=0)
    digest.html.encode(), digest.text.encode()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", digest.html + digest.text)
    root = lxml.html.document_fromstring(digest.html)
    assert root.xpath("count(//h2)") == 1
    assert digest.text.endswith("a person reads it.\n")


# -- how it looks -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, headless."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path("/usr/bin/chromium").exists():
        pytest.skip("no /usr/bin/chromium (Debian package chromium), so nothing can be looked at")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """The digest opened in a window of (width, colour scheme), with no network."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    page = context.new_page()
    (tmp_path / "digest.html").write_text(a_digest().html, encoding="utf-8")
    page.goto((tmp_path / "digest.html").as_uri())
    page.screenshot(path=tmp_path / f"digest-{scheme}-{width}.png", full_page=True)
    yield page
    context.close()


WINDOWS = [(width, scheme) for width in (320, 600, 1200) for scheme in ("light", "dark")]
EVERY_WINDOW = pytest.mark.parametrize("opened", WINDOWS, indirect=True, ids=[f"{w}-{s}" for w, s in WINDOWS])


@EVERY_WINDOW
def test_nothing_is_cut_off_or_too_small_to_tap(opened: Any) -> None:
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    wide = "[...document.querySelectorAll('td *')].filter(e => e.getBoundingClientRect().right > innerWidth + 0.5)"
    assert opened.evaluate(f"{wide}.map(e => e.outerHTML.slice(0, 80))") == []
    boxes = opened.evaluate(
        "[...document.querySelectorAll('a')].map(a => [a.textContent, a.getBoundingClientRect()])"
        ".map(([t, r]) => [t, r.width, r.height])"
    )
    assert len(boxes) > 15
    assert [text for text, width, height in boxes if width < 24 or height < 24] == []


@EVERY_WINDOW
def test_it_can_be_read_by_everybody(opened: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    # A mail is shown inside a page that has its landmarks already; a second `main` would confuse it.
    rules = {"landmark-one-main": {"enabled": False}, "region": {"enabled": False}}
    options = {"runOnly": {"type": "tag", "values": tags}, "rules": rules}
    result = axe.Axe().run(opened, options=options).response
    assert [(v["id"], [n["html"][:100] for n in v["nodes"]]) for v in result["violations"]] == []
    assert len(result["passes"]) > 10


def test_at_night_the_page_is_dark(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "digest.html").write_text(a_digest().html, encoding="utf-8")
    colours = {}
    for scheme in ("light", "dark"):
        page = browser.new_context(color_scheme=scheme, offline=True).new_page()
        page.goto((tmp_path / "digest.html").as_uri())
        card = page.evaluate("getComputedStyle(document.querySelector('.wrap')).backgroundColor")
        colours[scheme] = sum(map(int, re.findall(r"\d+", card)[:3]))
        page.context.close()
    assert colours["light"] > 700
    assert colours["dark"] < 120
