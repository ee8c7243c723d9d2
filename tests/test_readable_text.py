"""Readers see words and signs, not TeX: and nothing a title carries can harm the text beside it."""

from __future__ import annotations

import time
import unicodedata
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.readable import TEX, residue
from publishers.readable import paragraphs, readable, summary

PIECES = (
    "\\frac \\sqrt \\hat \\text \\left( \\right. \\over \\not \\url \\href \\cite \\begin{cases} \\end{cases} \\mathbb "
    "\\unicode{xd800} \\unicode{x202e} \\newcommand \\' \\^ \\( \\) \\[ \\] $ $$ { } ^ _ [ ] x"
)
HOSTILE = st.one_of(
    st.text(max_size=400),
    st.text(alphabet=st.characters(), max_size=100),  # surrogates included
    st.text(alphabet="\\{}$^_ab1~'`\"()[]&%-.,\n<>∂\u202e\u0301\x00\x01\x02\x03\x04\x05", max_size=400),
    st.lists(
        st.sampled_from(PIECES.split()),
        max_size=60,
    ).map("".join),
)


@pytest.mark.parametrize(
    ("tex", "shown"),
    [
        ("$x<y$", "x<y"),
        (r"An $\mathcal{O}(n\log n)$ bound", "An 𝒪(n log n) bound"),
        (r"the $\alpha$-divergence in $\mathbb{R}^{d\times d}$", "the α-divergence in ℝ^(d×d)"),
        (r"$A^\top$, $10^{-3}$, $x_{i+1}^{2}$", "Aᵀ, 10⁻³, xᵢ₊₁²"),
        (r"$\ell_\infty$ and $M_\odot$", "ℓ∞ and M⊙"),
        (r"$k_{\rm eff}T$", "k_eff T"),
        (r"$\sim$10 at $z\lesssim 3$, $\pm 5$, $5\pm 3$", "∼10 at z ≲ 3, ±5, 5 ± 3"),
        (r"$\frac{a+b}{2}$ and $d\sigma \over d\Omega$", "(a+b)/2 and dσ/dΩ"),
        (r"$\sqrt{x}$, $\sqrt[3]{x+1}$", "√x, ∛(x+1)"),
        (r"$\hat{\theta}$, $a \not= b$, $\bar{x}$", "θ̂, a ≠ b, x̄"),
        (r"$\ket{\psi}$, $\binom{n}{k}$, $f'(x)$", "|ψ⟩, (n choose k), f′(x)"),
        (r"90$^\circ$C, $^{12}$C, CO$_2$, \ce{H2O}", "90°C, ¹²C, CO₂, H₂O"),
        (r"$^1S_0-$$^3P_0$", "¹S₀-³P₀"),
        (r"\(a\) and \[b = c\] and $$d$$", "a and b = c and d"),
        (r"\begin{equation} E = mc^2 \end{equation}", "E = mc²"),
        (r"over $\{0, 1\}$", "over {0, 1}"),
        ("$12{,}510$ runs", "12,510 runs"),
        (r"$c\_0$ spaces", "c₀ spaces"),
        (r"2.5$\,$K in $T_{1N}$ and $k_{B}$", "2.5 K in T_(1N) and k_B"),
    ],
)
def test_math_reads_as_a_line_of_text(tex: str, shown: str) -> None:
    assert readable(tex) == unicodedata.normalize("NFC", shown)


@pytest.mark.parametrize(
    ("tex", "shown"),
    [
        (r"Erd\H{o}s--R\'enyi and Phragm\'{e}n--Lindel{\"o}f", "Erdős–Rényi and Phragmén–Lindelöf"),
        (r"\L ukasz, Ko\c{c}, \v{C}ech, Stra\ss e, na\"{\i}ve", "Łukasz, Koç, Čech, Straße, naïve"),
        (r"{\it Spitzer} and \textbf{all the \emph{rest}}", "Spitzer and all the rest"),
        ("{BERT}: a set {0, 1} and a {name}", "BERT: a set {0, 1} and a name"),
        ("``quoted'' and `single'", "“quoted” and ‘single’"),
        ("pages 2--3 --- and more", "pages 2–3 — and more"),
        (r"Fig.~1, 5\,km, 10\%, R\&D, \$5", "Fig. 1, 5 km, 10%, R&D, $5"),
        (r"as shown~\cite{a,b}, in Sec.~\ref{s}", "as shown, in Sec."),
        (r"\url{https://x.test/a\_b~c}", "https://x.test/a_b~c"),
        (r"\href{https://x.test/}{here}", "here (https://x.test/)"),
        (r"\href{https://x.test/a}{https://x.test/a}", "https://x.test/a"),
        (r"the \foo method", "the foo method"),
        ("10^{-3}, 10^5, H_{2}", "10⁻³, 10⁵, H₂"),
    ],
)
def test_markup_and_accents_read_as_text(tex: str, shown: str) -> None:
    assert readable(tex) == shown


def test_brackets_around_a_citation_go_with_it() -> None:
    text = r"as others do (\cite{a}), (see \cite{b}) and (\cite{c}, and more) [\cite{d}, \cite{e}]."
    assert readable(text) == "as others do, (see) and (and more)."


@pytest.mark.parametrize(
    "text",
    [
        "costs $5 and $10 per run",
        "between $5K, $10K and $1.5 million",
        "US$ 5 and US$ 10",
        "($0.01/query, not $0.10)",
        "my_variable and __init__ --flag ~10 (~5)",
        "https://x.test/~user/a_b--c",
        "x < y & z > 0, 100% [a] (b)",
        "R² = 0.9, 𝒪(n), Erdős, 李雷, العربية",
        "don't, 5'', O'Neill, rock 'n' roll",
    ],
)
def test_what_is_no_tex_stays_as_it_is(text: str) -> None:
    assert readable(text) == text


def test_money_beside_math_is_told_apart() -> None:
    assert readable(r"$1 trillion in $n$ steps and $\alpha$") == "$1 trillion in n steps and α"


def test_nothing_in_a_title_can_turn_what_follows_it() -> None:
    assert readable("evil \u202eeltit\u202c \u2066x\u2069 \u200f!") == "evil eltit x !"


def test_what_cannot_be_seen_is_gone() -> None:
    assert readable("a\u200bb\u00adc\ufeffd\x00e\x1bf\ud800g\ufffeh\U000e0041i") == "abcdefghi"


def test_a_title_is_one_line_in_one_normal_form() -> None:
    assert readable("  Schro\u0308dinger\n\t cat\u2028s\u00a0 ") == "Schrödinger cat s"


def test_a_blank_line_parts_paragraphs_and_a_line_end_does_not() -> None:
    assert paragraphs("One\nstill one.\n \n\nTwo $x$.\r\n\r\nThree") == ("One still one.", "Two x.", "Three")
    assert paragraphs(" \n\n ") == ()


def test_a_summary_ends_with_a_sentence_where_one_is_near() -> None:
    text = "We prove it in full. Then we go on to show that nothing else could ever have been true."
    assert summary(text, 38) == "We prove it in full. …"
    assert summary(text, 30) == "We prove it in full. …"
    assert summary(text, 200) == text


def test_a_summary_does_not_take_an_abbreviation_for_an_end() -> None:
    assert summary("Dusty plasmas (i.e. Those of K. Pyragas et al. Are) everywhere", 52) == (
        "Dusty plasmas (i.e. Those of K. Pyragas et al. Are)…"
    )


def test_a_summary_ends_with_a_word_otherwise() -> None:
    assert summary("Antidisestablishmentarianism, word by word by word", 36) == "Antidisestablishmentarianism, word…"
    assert summary("A paper (with brackets)", 10) == "A paper…"
    assert summary("x" * 50, 10) == "x" * 8 + "…"


@given(HOSTILE)
@settings(max_examples=600, deadline=None)
def test_whatever_comes_in_a_clean_line_comes_out(text: str) -> None:
    shown = readable(text)
    assert shown == " ".join(shown.split())
    assert shown == unicodedata.normalize("NFC", shown)
    bad = [
        c for c in shown if unicodedata.category(c) in ("Cc", "Cs") or c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067"
    ]
    assert not bad
    assert all(paragraph == readable(paragraph) or paragraph for paragraph in paragraphs(text))


@given(HOSTILE, st.integers(min_value=1, max_value=80))
@settings(max_examples=200, deadline=None)
def test_a_summary_is_never_too_long(text: str, characters_max: int) -> None:
    assert len(summary(text, characters_max)) <= characters_max


@pytest.mark.parametrize(
    "piece",
    ["{", "$", "\\", "\\(", "$$", "\\frac", "\\frac{", "^{", "``", "\\url{", "{a ", "\\left(", "\\,", "$x_", "\\le "],
)
def test_hostile_text_of_64_kb_takes_less_than_two_seconds(piece: str) -> None:
    text = (piece * (64_000 // len(piece) + 1))[:64_000]
    started = time.process_time()
    readable(text)
    assert time.process_time() - started < 2


def test_hardly_any_real_title_or_abstract_keeps_tex(shared_data: Path) -> None:
    papers = shared_data / "bench" / "arxiv_papers.parquet"
    rows = duckdb.execute("SELECT title, abstract FROM read_parquet(?)", [str(papers)]).fetchall()
    titles = [title for title, _ in rows if TEX.search(title)]
    abstracts = [abstract for _, abstract in rows[::7] if TEX.search(abstract)]
    assert len(titles) > 1_000
    assert len(abstracts) > 1_000
    assert sum(bool(residue(readable(t))) for t in titles) <= 0.005 * len(titles)
    assert sum(bool(residue(" ".join(paragraphs(a)))) for a in abstracts) <= 0.01 * len(abstracts)


def test_residue_is_seen_where_there_is_some() -> None:
    left = ["a \\foo", "x^{2}", "x_{i}", "$x$", "{a", "a}"]
    assert [text for text in left if not residue(text)] == []
    assert residue("costs $5, x², {0, 1}") == ""
