"""What TeX commands mean in plain Unicode: tables only; `publishers/tex.py` reads them.

Symbols come from unicodeit; what is written here comes first, because it reads better in a line of text
(`\\phi` as φ, `\\langle` as ⟨) or because unicodeit has no word for it.
"""

from __future__ import annotations

import unicodedata

from unicodeit import data as unicodeit_data

# Marks inside text being rendered. Control characters never come in from outside (storage.text.accept drops them).
SOFT_SPACE = "\x01"  # a space beside a relation or operator, unless at an edge or inside a script
MATH_OPEN, MATH_CLOSE = "\x02", "\x03"
WORD_EDGE = "\x04"  # a space only where two words would touch
VANISHED = "\x06"  # where a citation was: the space before it goes too
OVER = "\x05"  # the stroke of `a \\over b`, until its group ends


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OWN_SYMBOLS = {
    # letters and signs
    "phi": "φ", "epsilon": "ε", "varepsilon": "ε", "mu": "μ", "upmu": "μ", "textmu": "μ", "ell": "ℓ", "hslash": "ℏ",
    "i": "ı", "j": "ȷ", "imath": "ı", "jmath": "ȷ", "o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "ss": "ß", "ae": "æ",
    "AE": "Æ", "oe": "œ", "OE": "Œ", "aa": "å", "AA": "Å", "angstrom": "Å", "dh": "ð", "th": "þ", "dj": "đ",
    "Re": "Re", "Im": "Im", "S": "§", "P": "¶", "copyright": "©", "pounds": "£", "euro": "€", "texteuro": "€",
    "textregistered": "®", "texttrademark": "™", "textcopyright": "©", "checkmark": "✓", "degree": "°", "degr": "°",
    "textdegree": "°", "celsius": "°C", "arcmin": "′", "arcsec": "″", "prime": "′", "micron": "μm", "dag": "†",
    "ddag": "‡", "dagger": "†", "ddagger": "‡", "Box": "□", "square": "□", "Diamond": "◇", "diamond": "⋄",
    "emptyset": "∅", "varnothing": "∅", "backslash": "∖", "textbackslash": "∖", "textasciitilde": "~",
    "textasciicircum": "^", "textunderscore": "_", "textbar": "|", "textless": "<", "textgreater": ">",
    "textquotedblleft": "“", "textquotedblright": "”", "textquoteleft": "‘", "textquoteright": "’", "lq": "‘",
    "rq": "’", "textendash": "–", "textemdash": "—", "textellipsis": "…", "dots": "…", "ldots": "…", "dotsc": "…",
    "dotsb": "⋯", "cdots": "⋯", "slash": "/", "colon": ":", "textbullet": "•", "item": "•", "lt": "<", "gt": ">",
    # delimiters
    "langle": "⟨", "rangle": "⟩", "lbrace": "{", "rbrace": "}", "lbrack": "[", "rbrack": "]", "vert": "|",
    "lvert": "|", "rvert": "|", "Vert": "‖", "lVert": "‖", "rVert": "‖", "lfloor": "⌊", "rfloor": "⌋",
    "lceil": "⌈", "rceil": "⌉", "llbracket": "⟦", "rrbracket": "⟧",
    # operators and relations
    "cdot": "·", "ast": "*", "star": "⋆", "bullet": "•", "circ": "∘", "mid": "|", "nmid": "∤", "parallel": "∥",
    "perp": "⊥", "setminus": "∖", "smallsetminus": "∖", "le": "≤", "ge": "≥", "ne": "≠", "neq": "≠", "leqslant": "≤",
    "geqslant": "≥", "lesssim": "≲", "gtrsim": "≳", "la": "≲", "ga": "≳", "lsim": "≲", "gsim": "≳", "iff": "⇔",
    "implies": "⇒", "impliedby": "⇐", "gets": "←", "to": "→", "longrightarrow": "→", "longleftarrow": "←",
    "longleftrightarrow": "↔", "Longrightarrow": "⇒", "Longleftrightarrow": "⇔", "longmapsto": "↦", "coloneqq": "≔",
    "land": "∧", "lor": "∨", "lnot": "¬", "neg": "¬", "triangleq": "≜", "eqdef": "≝", "bigcup": "⋃", "bigcap": "⋂",
    "bigoplus": "⨁", "bigotimes": "⨂", "upharpoonright": "↾", "restriction": "↾", "ltimes": "⋉", "rtimes": "⋊",
    # words that authors define for themselves, nearly always alike
    "LaTeX": "LaTeX", "TeX": "TeX", "ie": "i.e.", "eg": "e.g.", "etal": "et al.", "cf": "cf.", "vs": "vs.",
    "msun": "M⊙", "Msun": "M⊙", "Lsun": "L⊙", "Rsun": "R⊙", "solar": "⊙", "sun": "⊙", "kms": "km s⁻¹",
    "hmpc": "h⁻¹ Mpc", "eps": "ε", "veps": "ε", "ep": "ε", "vare": "ε", "al": "α", "lam": "λ", "om": "ω", "Om": "Ω",
    "hdots": "…", "choose": "choose", "R": "ℝ", "C": "ℂ", "Z": "ℤ", "N": "ℕ", "Q": "ℚ", "RR": "ℝ", "CC": "ℂ",
    "ZZ": "ℤ", "NN": "ℕ", "QQ": "ℚ", "bbR": "ℝ", "bbr": "ℝ", "reals": "ℝ", "pa": "∂", "dbar": "∂̄", "db": "dB",
}  # fmt: skip

SYMBOLS: dict[str, str] = {
    command[1:]: symbol
    for command, symbol in unicodeit_data.REPLACEMENTS
    if command[1:].isalpha() and command.startswith("\\") and unicodedata.category(symbol[0])[0] != "C"
} | _OWN_SYMBOLS

# Letters of names: TeX swallows the space behind them (`\L ukasz`).
NAME_LETTERS = frozenset(["o", "O", "l", "L", "ss", "ae", "AE", "oe", "OE", "aa", "AA", "i", "j", "dh", "th", "dj"])

OPERATORS = _words(
    "log ln lg exp max min sup inf lim limsup liminf arg argmax argmin det dim gcd lcm Pr sin cos tan cot sec csc "
    "sinh cosh tanh coth arcsin arccos arctan deg ker hom Hom mod bmod rank rk tr Tr diag sgn sign supp span var Var "
    "Cov poly polylog poly conv erf softmax ReLU vol Vol Aut End Gal"
)

# Signs that stand close to their neighbours although Unicode calls them operators.
_CLOSE = frozenset("·∙∘∗⋆*¬∀∁∂∃∄∅∆∇∏∐∑√∛∜∞∠∡∢∫∬∭∮⋀⋁⋂⋃⨁⨂⋯⋮⋱⁄+-~|‖⟨⟩⌈⌉⌊⌋⟦⟧↾□◇♯↑↓")

# Close as a rule, apart where the author typed a space before them: a·b, f ∘ g.
BETWEEN = frozenset("·∘⋆*•")


def stands_apart(symbol: str) -> bool:
    """Say whether `symbol` is written with a space on either side: relations, arrows, binary operators."""
    return len(symbol) == 1 and symbol not in _CLOSE and (unicodedata.category(symbol) == "Sm" or symbol in "↦↪↗↘⇝↠")


# Commands that leave nothing behind and take no argument.
SILENT = _words(
    "displaystyle textstyle scriptstyle scriptscriptstyle limits nolimits rm bf it em tt sc sl sf cal mit xspace "
    "protect noindent centering small footnotesize scriptsize tiny large Large normalsize normalfont bfseries itshape "
    "scshape ttfamily sffamily rmfamily mathstrut strut null relax allowbreak nobreak nonumber notag boldmath upshape "
    "unboldmath hfill vfill smallskip medskip bigskip ignorespaces unskip mathop mathbin mathrel mathord mathopen "
    "mathclose mathpunct mathinner textnormal leavevmode"
)
SIZES = _words("left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr bigm Bigm")
SPACES = _words("quad qquad enspace enskip thinspace medspace thickspace space par newline linebreak")

# Commands whose argument is what the reader sees; TEXT keeps the spaces inside.
TEXT = _words(
    "text textrm textbf textit textsl textsc texttt textsf textup textmd textnormal emph mbox hbox fbox underline "
    "uline enquote textquote sout MakeUppercase uppercase lowercase textlf acro ac acp acs acl gls"
)
PLAIN = _words(
    "mathrm mathbf mathit mathsf mathtt mathnormal bm boldsymbol pmb operatorname mathop ensuremath rm bf it num "
    "underbrace overbrace smash substack displaylines boxed cancel bold roman Bold"
)
# Commands that vanish together with their argument.
GONE = _words(
    "cite citep citet citealt citealp citeauthor citeyear Cite autocite parencite textcite nocite ref eqref autoref "
    "cref Cref pageref label index tag vspace hspace phantom hphantom vphantom color footnotemark thanks "
    "bibliography bibliographystyle includegraphics hskip vskip kern pagestyle setcounter"
)

TEXT_ACCENTS = {
    "'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "=": "\u0304", ".": "\u0307",
    "u": "\u0306", "v": "\u030c", "H": "\u030b", "c": "\u0327", "k": "\u0328", "r": "\u030a", "d": "\u0323",
    "b": "\u0331",
}  # fmt: skip
MATH_ACCENTS = {
    "hat": "\u0302", "widehat": "\u0302", "tilde": "\u0303", "widetilde": "\u0303", "bar": "\u0304",
    "overline": "\u0304", "vec": "\u20d7", "overrightarrow": "\u20d7", "dot": "\u0307", "ddot": "\u0308",
    "check": "\u030c", "breve": "\u0306", "acute": "\u0301", "grave": "\u0300", "mathring": "\u030a",
}  # fmt: skip
# Around an argument.
FENCES = {
    "abs": ("|", "|"), "norm": ("‖", "‖"), "ket": ("|", "⟩"), "bra": ("⟨", "|"), "braket": ("⟨", "⟩"),
    "expval": ("⟨", "⟩"), "floor": ("⌊", "⌋"), "ceil": ("⌈", "⌉"), "set": ("{", "}"), "paren": ("(", ")"),
    "footnote": (" (", ")"), "footnotetext": (" (", ")"), "pmod": (" (mod ", ")"), "inner": ("⟨", "⟩"),
}  # fmt: skip

_BLACKBOARD = {"C": "ℂ", "H": "ℍ", "N": "ℕ", "P": "ℙ", "Q": "ℚ", "R": "ℝ", "Z": "ℤ", "1": "𝟙"}
_CALLIGRAPHIC = {"B": "ℬ", "E": "ℰ", "F": "ℱ", "H": "ℋ", "I": "ℐ", "L": "ℒ", "M": "ℳ", "R": "ℛ"}
_FRAKTUR = {"C": "ℭ", "H": "ℌ", "I": "ℑ", "R": "ℜ", "Z": "ℨ"}


def _alphabet(capital_a: int, small_a: int | None, holes: dict[str, str]) -> dict[str, str]:
    """Map letters to a mathematical alphabet; `holes` are those that Unicode keeps elsewhere."""
    letters = {chr(65 + i): chr(capital_a + i) for i in range(26)}
    if small_a is not None:
        letters |= {chr(97 + i): chr(small_a + i) for i in range(26)}
    return letters | holes


_DOUBLE = _alphabet(0x1D538, 0x1D552, _BLACKBOARD)
_SCRIPT = _alphabet(0x1D49C, None, _CALLIGRAPHIC)
_GOTHIC = _alphabet(0x1D504, 0x1D51E, _FRAKTUR)
ALPHABETS = (
    dict.fromkeys(["mathbb", "Bbb", "bb", "mbb", "mathds", "mathbbm"], _DOUBLE)
    | dict.fromkeys(["mathcal", "mathscr", "Cal"], _SCRIPT)
    | dict.fromkeys(["mathfrak", "frak", "goth", "mf"], _GOTHIC)
)

# Unicode has no such raised point, angle or integral; what unicodeit offers for them are look-alikes.
_NO_SCRIPT = frozenset(".<>∫V*")
SUPERSCRIPTS = {
    plain[1]: raised
    for plain, raised in unicodeit_data.SUBSUPERSCRIPTS
    if plain[0] == "^" and plain[1] not in _NO_SCRIPT
} | {"V": "ⱽ", "⊤": "ᵀ", "′": "′", "″": "″", "†": "†", "‡": "‡", "*": "*", "∗": "*", "⋆": "*", "°": "°"}
SUBSCRIPTS = {
    plain[1]: lowered
    for plain, lowered in unicodeit_data.SUBSUPERSCRIPTS
    if plain[0] == "_" and plain[1] not in _NO_SCRIPT
}
# These read as an index just as they are: M⊙, ℓ∞, k⊥.
SUBSCRIPTS_AS_THEY_ARE = frozenset("⊙⊕∞⊥∥☉")
SCRIPT_CHARACTERS = "".join(sorted({c for c in (*SUPERSCRIPTS.values(), *SUBSCRIPTS.values()) if c.isalnum()}))
