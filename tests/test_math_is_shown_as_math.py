"""Formulas are shown as formulas, what is none reads as text, and nothing a formula holds becomes other markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import lxml.html
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, sync_playwright

from bench.screenshots import chromium
from publishers import pages
from publishers.mathml import math_html, math_markup, math_paragraphs
from publishers.readable import readable
from tests.builders import a_paper, tagged
from tests.page_builders import SITE, parsed
from tests.test_readable_text import HOSTILE

# https://www.w3.org/TR/mathml-core/, and the box that a long formula scrolls in.
ELEMENTS = frozenset(
    "math mrow mi mo mn mtext mspace msub msup msubsup munder mover mfrac msqrt mroot mtable mtr mtd span".split()  # noqa: SIM905
)
EMS = r"\d(\.\d+)?em"
ATTRIBUTES = {
    "alttext": r"(?s).*",
    "mathvariant": "normal",
    "stretchy": "true|false",
    "form": "prefix|infix|postfix",
    "lspace": "0",
    "rspace": "0",
    "width": EMS,
    "accent": "true",
    "accentunder": "true",
    "linethickness": "0",
    "class": "formula",
    "role": "group",
    "aria-label": "Formula",
    "tabindex": "0",
}
ARITY = {"msub": 2, "msup": 2, "msubsup": 3, "munder": 2, "mover": 2, "mfrac": 2, "mroot": 2, "msqrt": 1}


def tree(text: str) -> Any:
    return lxml.html.fragment_fromstring(str(math_html(text)), create_parent="p")


def shown(text: str) -> str:
    """The formula as an outline: msup(n 2)."""
    (formula,) = tree(text).iter("math")
    return " ".join(map(outline, formula))


def outline(element: Any) -> str:
    inner = " ".join(map(outline, element)) if len(element) else (element.text or "")
    return inner if element.tag in ("mi", "mo", "mn", "mtext") else f"{element.tag}({inner})"


@pytest.mark.parametrize(
    ("tex", "formula"),
    [
        (r"$x<y$", "mrow(x < y)"),
        (r"$x_{i+1}^2$", "msubsup(x mrow(i + 1) 2)"),
        (r"$x^10$", "mrow(msup(x 1) 0)"),
        (r"$f''(x)$", "mrow(msup(f ″) ( x ))"),
        (r"$k_{\rm eff}T$", "mrow(msub(k eff) T)"),
        (r"$k_{max}$", "msub(k max)"),
        (r"$\frac{a}{b}$", "mfrac(a b)"),
        (r"${a \over b}$", "mfrac(a b)"),
        (r"$\sqrt[3]{x}+\sqrt y$", "mrow(mroot(x 3) + msqrt(y))"),
        (r"$\hat{\theta} \not= \bar x$", "mrow(mover(θ ^) ≠ mover(x ¯))"),
        (r"$O(n\log n)$", "mrow(O ( n mspace() log mspace() n ))"),
        (r"$\sum_{i=1}^n x_i$", "mrow(msubsup(∑ mrow(i = 1) n) msub(x i))"),
        (r"$\mathbb{R}^d \ni \mathbf{x}, \mathcal{L}$", "mrow(msup(ℝ d) ∋ 𝐱 , ℒ)"),
        (r"$\left\| \frac ab \right\|$", "mrow(‖ mfrac(a b) ‖)"),
        (r"$\begin{cases} a & x>0 \\[2mm] b \end{cases}$", None),
        (r"$\binom{n}{k}$", "mrow(( mfrac(n k) ))"),
        (r"\(a \text{ if } b\)", "mrow(a \u00a0if\u00a0 b)"),
        (r"$c\_n$", "msub(c n)"),
        (r"$x_1, ..., x_n$", "mrow(msub(x 1) , … , msub(x n))"),
        (r"$\phi \ne \varphi$", "mrow(ϕ ≠ φ)"),
        (r"$\bS^1$", "msup(bS 1)"),
    ],
)
def test_a_formula_is_built_as_it_was_meant(tex: str, formula: str | None) -> None:
    expected = formula or "mrow({ mtable(mtr(mtd(a) mtd(mrow(x > 0))) mtr(mtd(b))))"
    assert shown(tex) == expected


@pytest.mark.parametrize(
    "text",
    [
        "costs $5 and $10 per run",
        "CO$_2$ at $10^{-3}$, $\\sim$10 and 12$\\times$12, 90$^\\circ$",
        "some write $whole words like these$ for italics",
        "$a^b^c$ and $\\frac{a}$ and $\\left( x$ and $\\href{https://x.test}{y}$",
        "$\\genfrac{<}{>}{0pt}{}{x}{k}$",
        "no math, Erd\\H{o}s and \\emph{all}",
        "Tom & Jerry <b>bold</b> \"quoted\" 'single'",
        "\U000f0000 $x$ brings a sign of its own",
    ],
)
def test_what_is_no_formula_or_not_understood_is_the_text_that_feeds_show(text: str) -> None:
    assert math_html(text).unescape() == readable(text)
    assert "<math" not in math_html(text)


@pytest.mark.parametrize(
    "text",
    [r"An $\mathcal{O}(n)$--bound (for ``$x$''), {$y$-}axis, $\ell_1$, and 5\,km of $z$.", r"$a$$b$ and \[ c^2, \]"],
)
def test_the_text_around_formulas_is_as_without_them(text: str) -> None:
    page = tree(text)
    for formula in list(page.iter("math")):
        formula.text, formula[:] = formula.get("alttext"), []
    assert page.text_content() == readable(text)


def test_a_formula_says_itself_in_plain_text() -> None:
    (formula,) = tree(r"$\hat{\theta}_i < 10^{-3} \text{ & }$").iter("math")
    assert formula.get("alttext") == "θ̂ᵢ < 10⁻³ &"


def test_a_long_formula_has_a_box_that_scrolls_and_takes_the_focus() -> None:
    page = tree("$" + "+".join(f"x_{n}" for n in range(9)) + "$ and $x$")
    (box,) = page.iter("span")
    assert (box.get("class"), box.get("tabindex"), box.get("aria-label")) == ("formula", "0", "Formula")
    assert len(list(page.iter("math"))) == 2


PAYLOADS = (
    r"$<script>alert(1)</script>x^2$",
    r"$x^2</math><img src=x onerror=alert(1)>$",
    r'$x"onmouseover="alert(1)^2$',
    r"$\text{</mtext><script>alert(1)</script>} y$",
    r"$\text{<img src=x onerror=alert(1)>} y$",
    r"$\href{javascript:alert(1)}{x}$ $\url{javascript:alert(1)}$",
    r"$\style{background:url(//x.test)}{x}$ $\class{skip}{x}$ $\cssId{main}{x}$",
    r"$\unicode{x3c}script\unicode{x3e} x^2$",
    r"$&lt;script&gt;&#60;img src=x onerror=alert(1)&#62; x^2$",
    r"$\operatorname{<svg/onload=alert(1)>} x$",
    r"$\begin{array}{l\"><script>} x \end{array}$",
    r"$\mathrm{<annotation-xml encoding=text/html>}x$",
    r"$\newcommand{\x}{\x\x}\x$ $\def\a{<b>}\a$",
    r"\(<maction actiontype=statusline href=javascript:alert(1)>x^2\)",
)


PIECES = (*PAYLOADS, r"\frac", "{", "}", "$", "^", "_", "<", '"', "&", "x", r"\left(", r"\text{", r"\begin{cases}")


@given(
    st.one_of(
        HOSTILE,
        HOSTILE.map(lambda text: f"${text}$"),
        st.lists(
            st.sampled_from([*PAYLOADS, r"\frac", "{", "}", "$", "^", "_", "<", '"', "&", "x", r"\left("]), max_size=12
        ).map("".join),
    )
)
@settings(max_examples=500, deadline=None)
@example("$" + "{" * 300 + "}" * 300 + "$")
@example(r"$\sqrt[\sqrt[\sqrt[x]{y}]{z}$")
def test_only_the_elements_of_mathematics_come_out(text: str) -> None:
    assert_harmless(str(math_html(text)))
    assert math_html(text) == math_html(text)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_payload_becomes_markup(payload: str) -> None:
    assert_harmless(str(math_html(payload)))
    assert_harmless(str(math_html(payload.replace("x^2", "x^{2.5}"))))


def assert_harmless(markup: str) -> None:
    for tag in re.findall(r"<[^>]*>", markup):
        found = re.fullmatch(r"</?([a-z]+)((?: [a-z-]+=\"[^\"<>]*\")*)>", tag)
        assert found, tag
        assert found[1] in ELEMENTS, tag
        for name, value in re.findall(r" ([a-z-]+)=\"([^\"]*)\"", found[2]):
            assert re.fullmatch(ATTRIBUTES[name], value), tag
    page = lxml.html.fragment_fromstring(markup, create_parent="p")
    for element in page.iter():
        if element.tag in ARITY:
            assert len(element) == ARITY[element.tag], lxml.html.tostring(element)


@pytest.mark.parametrize(
    "piece", ["{", "$", "\\(", "\\left(", "\\frac", "x^", "\\sqrt[", "$x$", "$x'", "\\hat", "$x^2$ "]
)
def test_hostile_text_of_64_kb_gives_a_bounded_page(piece: str) -> None:
    text = (piece * (64_000 // len(piece) + 1))[:64_000]
    assert len(math_html(text)) < 3 * len(text)
    assert len(math_html(f"${text[:590]}$" * 100)) < 100 * 40_000


def test_a_formula_that_is_too_long_or_too_deep_stays_text() -> None:
    assert math_markup("x+" * 200) is not None
    assert math_markup("x+" * 400) is None
    assert math_markup("{" * 10 + "x" + "}" * 10) is not None
    assert math_markup("{" * 30 + "x" + "}" * 30) is None
    many = math_html("$x$ " * 300)
    assert many.count("<math") == 200
    assert many.endswith(" x x x")


def test_most_real_formulas_are_shown_as_formulas(shared_data: Path) -> None:
    papers = shared_data / "bench" / "arxiv_papers.parquet"
    rows = duckdb.execute("SELECT abstract FROM read_parquet(?) WHERE abstract LIKE '%$%'", [str(papers)]).fetchall()
    contents = [c for (abstract,) in rows[::10] for c in re.findall(r"\$([^$]{1,200})\$", abstract)]
    assert len(contents) > 3_000
    understood = sum(
        math_markup(c) is not None or not re.search(r"\\(?![,%&#$])", readable(f"${c}$")) for c in contents
    )
    made = sum(math_markup(c) is not None for c in contents)
    assert understood >= 0.99 * len(contents)
    assert made >= 0.85 * len(contents)


def test_a_papers_page_shows_its_math_and_its_head_stays_text() -> None:
    paper = a_paper(title=r"Bounds $\mathcal{O}(n^2)$", abstract="First $x_i$.\n\nSecond $\\alpha<y$ & more.")
    page = parsed(pages.paper_page(SITE, tagged(paper), (), ()))
    assert [m.get("alttext") for m in page.xpath("//h1//math | //p[@class='abstract']//math")] == ["𝒪(n²)", "xᵢ", "α<y"]
    assert page.findtext(".//title").startswith("Bounds 𝒪(n²)")
    assert [p.xpath("string()") for p in page.xpath("//p[@class='abstract']")] == ["First xi.", "Second α<y & more."]
    assert [str(p) for p in math_paragraphs("a\n\n \n\nb $5")] == ["a", "b $5"]


# In a real browser

LONG = r"\sup_{u\in W^{1,n}(\mathbb{R}^n), \int_{\mathbb{R}^n}|\nabla u|^n\le 1} \sum_{k=0}^{\infty} \frac{a_k}{k!}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if chromium() is None:
        pytest.skip("no Chromium on this machine (install one or set PAPERWIRE_CHROMIUM)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


def test_a_browser_runs_no_payload_and_draws_formulas(browser: Browser) -> None:
    page = browser.new_page()
    noise: list[str] = []
    page.on("dialog", lambda dialog: noise.append(dialog.message))
    page.on("request", lambda request: noise.append(request.url))
    body = "".join(f"<p>{math_html(text)}</p>" for text in (*PAYLOADS, r"a $\frac{a}{b}$ b"))
    page.set_content(f"<!doctype html><body>{body}")
    strangers = "e => !e.namespaceURI.endsWith('MathML') && !['P','BODY','SPAN'].includes(e.tagName)"
    assert page.evaluate(f"[...document.body.querySelectorAll('*')].filter({strangers}).length") == 0
    assert noise == []
    high, low = (
        page.evaluate(f"document.querySelector('mfrac > :nth-child({n})').getBoundingClientRect().top") for n in (1, 2)
    )
    assert low > high, "a fraction has one part above the other"
    page.close()


def test_a_long_formula_scrolls_in_its_own_box_and_stands_on_the_line(browser: Browser, tmp_path: Path) -> None:
    for name, content in pages.static_files().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    abstract = f"We bound ${LONG} + {LONG}$ from above; $0\\le 2m \\le n^2 - 9n + 1000$ holds."
    paper = a_paper(abstract=abstract, title=f"Of ${LONG}$")
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "p.html").write_bytes(pages.paper_page(SITE, tagged(paper), (), ()))
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto((tmp_path / "papers" / "p.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    wide = page.evaluate("[...document.querySelectorAll('.formula')].map(e => e.scrollWidth > e.clientWidth)")
    assert wide == [True, True, False]
    bottoms = """() => { const box = document.querySelectorAll('.abstract .formula')[1];
      const mark = document.createElement('span'); mark.style.display = 'inline-block'; mark.style.height = '1px';
      mark.style.width = '1px'; box.parentNode.insertBefore(mark, box);
      return [mark.getBoundingClientRect().bottom, box.querySelector('mi').getBoundingClientRect().bottom]; }"""
    line, letter = page.evaluate(bottoms)
    assert abs(line - letter) < 4, "its letters stand where those of the text do"
    page.close()
