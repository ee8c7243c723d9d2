"""What MathML Core needs to know of TeX beyond `tex_tables`: alphabets, accents, delimiters, environments. Tables only.

MathML Core (https://www.w3.org/TR/mathml-core/) has no fonts but upright and italic, no columns with a side to lean to
and no fences: letters of other alphabets are characters of their own, and delimiters are operators.
"""

from __future__ import annotations

from publishers.tex_tables import ALPHABETS, SYMBOLS

# In a line of text both read as the same letter; beside each other in a formula they must not.
_LETTERS = {"phi": "ϕ", "varphi": "φ", "epsilon": "ϵ", "varepsilon": "ε", "ast": "∗", "mid": "∣", "S": "§"}
SIGNS = SYMBOLS | _LETTERS

# Which font a command switches to: with an argument, or for the rest of its group.
FONTS = {
    "mathrm": "upright", "rm": "upright", "roman": "upright", "mathnormal": "", "mit": "", "mathit": "", "it": "",
    "mathbf": "bold", "bf": "bold", "bold": "bold", "Bold": "bold", "bm": "bold-italic", "boldsymbol": "bold-italic",
    "pmb": "bold-italic", "mathsf": "sans", "sf": "sans", "mathtt": "mono", "tt": "mono", "cal": "script",
    **{
        name: {"ℝ": "double", "ℛ": "script", "ℜ": "fraktur"}[alphabet["R"]]
        for name, alphabet in ALPHABETS.items()
    },
}  # fmt: skip
# These stand for the rest of their group where no brace follows.
SWITCHES = frozenset(["rm", "it", "bf", "sf", "tt", "cal", "mit", "frak"])


def _run(first: str, start: int, count: int) -> dict[str, str]:
    return {chr(ord(first) + i): chr(start + i) for i in range(count)}


# https://www.unicode.org/charts/PDF/U1D400.pdf
ALPHABET: dict[str, dict[str, str]] = {
    "bold": _run("A", 0x1D400, 26) | _run("a", 0x1D41A, 26) | _run("0", 0x1D7CE, 10) | _run("α", 0x1D6C2, 25),
    "bold-italic": _run("A", 0x1D468, 26) | _run("a", 0x1D482, 26) | _run("0", 0x1D7CE, 10) | _run("α", 0x1D736, 25),
    "sans": _run("A", 0x1D5A0, 26) | _run("a", 0x1D5BA, 26) | _run("0", 0x1D7E2, 10),
    "mono": _run("A", 0x1D670, 26) | _run("a", 0x1D68A, 26) | _run("0", 0x1D7F6, 10),
    "double": ALPHABETS["mathbb"],
    "script": ALPHABETS["mathcal"],
    "fraktur": ALPHABETS["mathfrak"],
}
for _name, _alpha, _letters in (("bold", 0x1D6A8, "ΑΩ"), ("bold-italic", 0x1D71C, "ΑΩ")):
    ALPHABET[_name] |= _run(_letters[0], _alpha, ord(_letters[1]) - ord(_letters[0]) + 1)

# The sign above, and whether it grows with what is below.
ACCENTS = {
    "hat": ("^", False), "widehat": ("^", True), "tilde": ("~", False), "widetilde": ("~", True), "bar": ("¯", False),
    "overline": ("¯", True), "vec": ("→", False), "overrightarrow": ("→", True), "dot": ("˙", False),
    "ddot": ("¨", False), "check": ("ˇ", False), "breve": ("˘", False), "acute": ("´", False), "grave": ("`", False),
    "mathring": ("˚", False), "overbrace": ("⏞", True),
}  # fmt: skip
ACCENTS_UNDER = {"underline": "_", "underbrace": "⏟", "uline": "_"}
FRACTIONS = frozenset(["frac", "dfrac", "tfrac", "cfrac", "nicefrac", "sfrac"])
BINOMIALS = frozenset(["binom", "tbinom", "dbinom"])
OVER = frozenset(["overset", "stackrel"])

# Before and behind a table of that name.
TABLES = {
    "cases": ("{", ""), "matrix": ("", ""), "pmatrix": ("(", ")"), "bmatrix": ("[", "]"), "vmatrix": ("|", "|"),
    "Vmatrix": ("‖", "‖"), "Bmatrix": ("{", "}"), "smallmatrix": ("", ""), "array": ("", ""), "aligned": ("", ""),
    "split": ("", ""), "gathered": ("", ""),
}  # fmt: skip

SPACE_EM = {
    ",": "0.167", ":": "0.222", ">": "0.222", ";": "0.278", " ": "0.333", "quad": "1", "qquad": "2",
    "thinspace": "0.167", "medspace": "0.222", "thickspace": "0.278", "enspace": "0.5", "enskip": "0.5",
    "space": "0.333",
}  # fmt: skip

OPENING, CLOSING = frozenset("([{⟨⌈⌊⟦"), frozenset(")]}⟩⌉⌋⟧")
BARS = frozenset("|‖")
# Signs of mathematics that stand for a thing, as a letter does.
THINGS = frozenset("∞∅⊤⊥∎√∛∜…⋯ℵ℘ℓℏ⊙⊕☉□◇△▽♯♭♮★☆°%§¶†‡✓′″‴")
