"""JATS, HTML and TeX as publishers register them become the text a reader sees: nothing doubled, nothing eaten."""

from __future__ import annotations

import time

import pytest

from flows.sources.registries import text_of_jats

_PREAMBLE = r"\documentclass[12pt]{minimal} \usepackage{amsmath} \begin{document}$$x^2$$\end{document}"
_TEX = f"<jats:tex-math>{_PREAMBLE}</jats:tex-math>"
_MATHML = "<mml:math><mml:mi>x</mml:mi> <mml:mn>2</mml:mn></mml:math>"


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("We show $x<y$ &amp; $a>b$.", "We show $x<y$ & $a>b$."),
        ("<jats:p>One\n   line.</jats:p><jats:p>Another.</jats:p>", "One line.\nAnother."),
        ("<jats:title>Abstract</jats:title><jats:p>We show.</jats:p>", "We show."),
        ("<jats:title>ABSTRACT</jats:title>\n  <jats:p>We show.</jats:p>", "We show."),
        ("<jats:p>Abstract art is shown.</jats:p>", "Abstract art is shown."),
        ("<jats:sec><jats:title /><jats:p>We show.</jats:p></jats:sec>", "We show."),
        (
            "<jats:title>Abstract</jats:title><jats:sec><jats:title><jats:bold>Aims:</jats:bold></jats:title>"
            "<jats:p>To show.</jats:p></jats:sec><jats:sec><jats:title>Results</jats:title><jats:p>Shown.</jats:p>"
            "<jats:p>Twice.</jats:p></jats:sec>",
            "Aims: To show.\nResults: Shown.\nTwice.",
        ),
        ("<p>A <i>b</i><sub>2</sub></p>", "A b2"),
        ("Of <scp>dna</scp> and <mml:math><mml:mi>K</mml:mi></mml:math>-frames", "Of dna and K-frames"),
        ("<jats:p>(&amp;lt;1 pc, p&lt;0.05)</jats:p>", "(<1 pc, p<0.05)"),
        ("On &lt;i&gt;E. coli&lt;/i&gt; in A&amp;amp;B", "On E. coli in A&B"),
        ("Anemia&lt;subtitle&gt;Treated&lt;/subtitle&gt;", "Anemia: Treated"),
        (
            "<jats:p>With <jats:inline-formula>\n <math>\n <mi>n</mi>\n <mo>=</mo>\n <mn>34</mn>\n </math>"
            "\n </jats:inline-formula>.</jats:p>",
            "With n=34.",
        ),
        (f"<p>So <jats:alternatives>{_TEX}{_MATHML}</jats:alternatives>.</p>", "So $x^2$."),
        (f"<p>So <jats:alternatives>{_MATHML} {_TEX} </jats:alternatives>.</p>", "So $x^2$ ."),
        (f"<jats:p>So {_MATHML}.</jats:p>", "So x2."),
        ("<p>So <math><mi>x</mi><annotation encoding='TeX'>{x}</annotation></math>.</p>", "So x."),
        ('<jats:p>A. <?tex q="<jats:ext-link>see</jats:ext-link>"?>B.<!-- C --></jats:p>', "A. B."),
        ("<jats:p>cut off in the mid", "cut off in the mid"),
        ("<p>a</p><script>alert(1)</script>", "a"),
        ("", ""),
        ("<jats:p/>", ""),
    ],
)
def test_markup_reads_as_text(markup: str, text: str) -> None:
    assert text_of_jats(markup) == text


@pytest.mark.parametrize(
    "piece", ["<jats:title>", "<title>a</title>", "<math>", "<?", "<!--", "<jats:alternatives>", "&amp;", "<i>", "< "]
)
def test_hostile_markup_takes_no_longer_than_its_length(piece: str) -> None:
    markup = piece * (60_000 // len(piece)) + "</p>"
    started = time.process_time()
    text_of_jats(markup)
    assert time.process_time() - started < 5
