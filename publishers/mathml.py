"""Text with its formulas as MathML, for pages: what is no formula reads as `readable` has it.

What the reader of formulas (publishers/mathml_reader.py) does not know for sure stays Unicode text, and so does what
reads as well without: `10⁻³`, `CO₂`. Feeds and mail show plain Unicode, because many of their readers drop MathML.
"""

from __future__ import annotations

import functools
import re
import unicodedata

from markupsafe import Markup, escape

from publishers.mathml_reader import Formula, NotRead
from publishers.readable import paragraphs_as_written, readable, readable_around
from publishers.tex import text_of_math

_FORMULA_CHARACTERS_MAX = 600
_FORMULAS_MAX = 200  # in one text; what follows stays Unicode
_WIDE_CHARACTERS = 22  # as Unicode; what is longer may be wider than a phone and scrolls in a box of its own
_FIRST = 0xF0000  # characters that nobody uses stand for formulas while the text around them is made readable
_STANDING = re.compile(f"[{chr(_FIRST)}-{chr(_FIRST + _FORMULAS_MAX)}]")
_OPENING = re.compile(r"\$|\\[(\[]|\\begin")
_TEXT_DOES = re.compile(r"[\d\s.,;:%+\-−–±∓×÷·/<>=≤≥≲≳∼≈≃~≪≫→°′″‰∞⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻₀-₉₊₋()]*")
_PROSE = re.compile(r"[A-Za-z]{3,}\s+[A-Za-z]{2,}|[A-Za-z]{2,}\s+[A-Za-z]{3,}")
_LABEL = re.compile(r"\\label\s*\{[^{}]*\}")
_ESCAPED_INDEX = re.compile(r"\\([_^])")  # how some write an index
_INDEX_ALONE = re.compile(r"\s*(?:\{\s*\})?\s*[\^_]")


def math_html(text: str) -> Markup:
    """Return `text` on one line as HTML, its formulas as <math> with their Unicode in `alttext`.

    Everything else is escaped `readable` text. Never raises; the same text gives the same bytes.
    """
    found: list[Markup] = []

    def stand(content: str) -> str | None:
        formula = math_markup(content) if len(found) < _FORMULAS_MAX else None
        if formula is None:
            return None
        found.append(formula)
        return chr(_FIRST + len(found) - 1)

    # Nobody may bring the characters that stand for formulas.
    if not _OPENING.search(text) or _STANDING.search(text):
        return escape(readable(text))
    shown = readable_around(text, stand)
    pieces = re.split(f"({_STANDING.pattern})", shown)
    return Markup("").join(found[ord(p) - _FIRST] if i % 2 else escape(p) for i, p in enumerate(pieces))


def math_paragraphs(text: str) -> tuple[Markup, ...]:
    """Return the paragraphs of `text`, each as `math_html` has it."""
    return tuple(p for p in map(math_html, paragraphs_as_written(text)) if p)


@functools.lru_cache(maxsize=16_384)
def math_markup(content: str) -> Markup | None:
    """Return what stands between two delimiters as <math>; None where it is to stay Unicode text."""
    if len(content) > _FORMULA_CHARACTERS_MAX:
        return None
    shown = unicodedata.normalize("NFC", " ".join(text_of_math(content).split()))
    if _TEXT_DOES.fullmatch(shown) or (_INDEX_ALONE.match(content) and not re.search(r"[\^_]", shown)):
        return None
    if _PROSE.search(re.sub(r"\\[A-Za-z]+(?:\{[^{}]*\})?", "|", content)):
        return None
    try:
        row = Formula(_ESCAPED_INDEX.sub(r"\1", _LABEL.sub("", content))).read()
    except NotRead:
        return None
    # What is written here is markup because every character of the formula was escaped when it was read.
    formula = Markup(f'<math alttext="{escape(shown)}">{row}</math>')  # noqa: S704
    return _in_a_box(formula) if len(shown) > _WIDE_CHARACTERS else formula


def _in_a_box(formula: Markup) -> Markup:
    """Return a formula that scrolls where it is wider than the page, by keyboard too."""
    opening = Markup('<span class="formula" role="group" aria-label="Formula" tabindex="0">')
    return opening + formula + Markup("</span>")
