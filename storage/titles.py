"""Titles for comparison: one form for what TeX, Unicode, HTML and plain typing say in different ways, and its key.

The form keeps letters and digits in order and drops the rest, spaces too: `Schr\\"odinger`, `Schrödinger` and
`Schrodinger`, `$\\alpha$`, `α` and `alpha` are one. Keys are stored, so the tables here are frozen: changing one is a
migration. Publishers' tables, which follow unicodeit, are for reading and may change at will.
"""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

FORM_CHARACTERS_MIN = 3  # a shorter form is no title
_KEY_BYTES = 8


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξοπρστυφχψω",
        _words(
            "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon "
            "phi chi psi omega"
        ),
        strict=True,
    )
)
_LETTERS = {
    "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "ȷ": "j", "ŋ": "n",
    "ħ": "h", "ɛ": "epsilon",
}  # fmt: skip
_SILENT = dict.fromkeys((*range(0x2B9, 0x2E0), 0x2122, 0x2120))  # ʻ and ʼ count as letters; ™ would become tm
# Signs that are written out as often as not; the names are TeX's, because some sources drop only the backslash.
# Relations and arrows are not among them: plain typing makes them of signs (`~`, `<=`, `->`), which say nothing here.
_SIGNS = {
    "∞": "infty", "×": "times", "∂": "partial", "∇": "nabla", "∑": "sum", "∏": "prod", "∫": "int", "√": "sqrt",
    "∈": "in", "⊂": "subset", "⊆": "subseteq", "∪": "cup", "∩": "cap", "⊕": "oplus", "⊗": "otimes", "⊙": "odot",
    "∧": "wedge", "∨": "vee", "∅": "emptyset", "∀": "forall", "∃": "exists", "⊥": "perp", "★": "star", "⋆": "star",
    "♯": "sharp", "∆": "delta", "&": " and ",
}  # fmt: skip
_FOLDS = str.maketrans(_GREEK | _LETTERS | _SIGNS) | _SILENT
# What TeX calls otherwise than the tables above.
_COMMANDS = {
    "varepsilon": "epsilon", "vartheta": "theta", "varphi": "phi", "varrho": "rho", "varsigma": "sigma", "varpi": "pi",
    "varkappa": "kappa", "upmu": "mu", "textmu": "mu", "micro": "mu", "aa": "a", "AA": "a", "dh": "d", "dj": "d",
    "DJ": "d", "DH": "d", "ng": "n", "hbar": "h", "hslash": "h", "ell": "l", "imath": "i", "jmath": "j",
    "land": "wedge", "lor": "vee", "varnothing": "emptyset", "triangle": "delta",
}  # fmt: skip
# Commands that say how, not what.
_MARKUP = frozenset(
    _words(
        "mathbb mathcal mathscr mathfrak mathrm mathbf mathit mathsf mathtt mathnormal boldsymbol bm pmb "
        "operatorname Bbb frak cal text textrm textbf textit textsl textsc texttt textsf textup textmd textnormal "
        "emph mbox hbox underline ensuremath rm bf it tt sc sl sf em left right big Big bigg Bigg bigl bigr Bigl "
        "Bigr displaystyle textstyle scriptstyle scriptscriptstyle limits nolimits frac dfrac tfrac hat widehat "
        "tilde widetilde bar overline vec dot ddot check breve acute grave mathring quad qquad enspace thinspace "
        "space par newline linebreak protect noindent xspace mathop mathbin mathrel mathord uppercase lowercase "
        "MakeUppercase large Large small tiny normalsize langle rangle lbrace rbrace lvert rvert lVert rVert vert "
        "Vert mid cdot cdots ldots dots prime dagger ddagger ast bullet slash url href textquoteleft textquoteright "
        "textquotedblleft textquotedblright textendash textemdash bfseries itshape sffamily ttfamily rmfamily"
    )
)
_RELATIONS = frozenset(
    _words(
        "sim simeq approx cong equiv leq le leqslant geq ge geqslant ne neq ll gg lesssim gtrsim lsim gsim la ga "
        "propto pm mp to rightarrow longrightarrow leftarrow leftrightarrow Rightarrow Leftrightarrow mapsto "
        "hookrightarrow circ degree textdegree deg lt gt textless textgreater textasciitilde textbackslash"
    )
)
_GONE = re.compile(
    r"\\(?:cite[a-z]*|footnote(?:mark|text)?|thanks|label|ref|eqref|vspace|hspace|phantom|color)\*?\s*(?:\[[^\]]*\])?\{[^{}]*\}"
)
_ACCENT = re.compile(r"\\[\"'`^~=.]|\\[uvHckrdbt](?![A-Za-z])")
_COMMAND = re.compile(r"\\([A-Za-z]+)")
# Some sources drop `$` and `\` and leave the rest: mathbb{R}, ell_1.
_BARE_MARKUP = re.compile(
    r"(?<![A-Za-z])(?:math(?:bb|cal|scr|frak|rm|bf|it|sf|tt)|boldsymbol|operatorname|text(?:rm|bf|it|sc|tt|sf)|emph)"
    r"(?=\s*\{)"
)
_BARE_ELL = re.compile(r"(?<![A-Za-z])ell(?=\s*[_^])")
_TAG = re.compile(
    r"</?(?:i|b|em|strong|sub|sup|scp|sc|span|tt|u|a|p|br|inf|italic|bold|title|(?:mml|jats|xhtml|m):[a-z-]+)"
    r"(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
# Publishers put this before the title of the very paper; a notice of retraction says `Retraction:` and is another.
_FATE = re.compile(
    r"^[\W_]*(?:retracted|withdrawn)(?:[ -](?:article|paper|chapter))?(?:\s*[:\]).]|\s+[-–—])", re.IGNORECASE
)
_SCRIPTS = re.compile("([²³¹⁰ⁱ⁴-ⁿ]+|[₀-ₜ]+)")
_BETWEEN_DIGITS = re.compile(r"(?<=[0-9])[\W_]+(?=[0-9])")
_REST = re.compile(r"[^\w ]|_|(?<![0-9]) | (?![0-9])")
# Titles that a thousand works share; numbers behind them (Editorial 12) say no more.
_GENERIC = frozenset(
    _words(
        "abstract abstracts acknowledgement acknowledgements acknowledgment acknowledgments addendum announcement "
        "announcements appendix bookreview bookreviews comment comments commentary conclusion conclusions contents "
        "contributors correction corrections correspondence corrigenda corrigendum coverimage discussion editorial "
        "editorialboard editorialnote editorialnotes editorsnote editorschoice errata erratum expressionofconcern "
        "foreword frontcover frontmatter fromtheeditor fromtheeditors guesteditorial highlights inmemoriam inbrief "
        "inthisissue indexofauthors introduction invitedcommentary issueinformation lettertotheeditor letter "
        "letters letterstotheeditor masthead news newsinbrief note notes notice obituary overview perspective "
        "preface prologue publishersnote rejoinder remarks reply response responsetoreviewers retraction "
        "retractionnotice review reviews reviewers specialissue summary supplement supplementarymaterial "
        "supplementarymaterials survey tableofcontents thankyoutoreviewers theauthorreplies theauthorsreply "
        "theauthorsreplies titlepage tribute tutorial untitled viewpoint withdrawn proceedings report authorsreply "
        "authorreply authorsresponse authorresponse test lecturenotes shortnote technicalreport phdthesis thesis "
        "supportinginformation chapter part volume issue"
    )
)
_GENERIC_CHARACTERS_MAX = max(map(len, _GENERIC)) + 6

# In bulk these take the slow path: TeX, HTML, whatever is not printable ASCII, and what may begin with its fate.
_ODD = r"[^ -~]|[\\{_^&<]|^[^A-Za-z0-9]*(?:[Rr][Ee][Tt][Rr][Aa][Cc][Tt]|[Ww][Ii][Tt][Hh][Dd][Rr][Aa][Ww])"
_BATCH_TITLES = 65_536


def title_form(title: str) -> str:
    """Return `title` as letters and digits alone, whatever it is spelled with; a space only between two numbers."""
    text = html.unescape(title) if "&" in title else title
    text = _FATE.sub("", _TAG.sub(" ", text) if "<" in text else text)
    if any(sign in text for sign in "\\{_^"):
        text = plain_text(text)
    if not text.isascii():
        text = plain_letters(_SCRIPTS.sub(r" \1 ", text))
    elif "&" in text:
        text = text.replace("&", " and ")
    return _REST.sub("", _BETWEEN_DIGITS.sub(" ", text.casefold()))


def plain_text(text: str) -> str:
    """Return `text` with TeX commands as the letters they stand for, or gone; braces and dollars stay."""
    text = _BARE_ELL.sub("l", _BARE_MARKUP.sub(" ", text))
    if "\\" not in text:
        return text
    return _COMMAND.sub(_said, _ACCENT.sub("", _GONE.sub(" ", text)))


def _said(command: re.Match[str]) -> str:
    name = command[1]
    return " " if name in _MARKUP or name in _RELATIONS else _COMMANDS.get(name, name)


def plain_letters(text: str) -> str:
    """Return `text` in lower case without diacritics: ligatures apart, Greek and common signs written out."""
    bare = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text.translate(_SILENT)).casefold())
    return "".join(c for c in bare if not unicodedata.combining(c)).translate(_FOLDS)


@lru_cache(8_192)  # each entry of a batch is asked for it several times
def title_key(title: str) -> str | None:
    """Return 16 hex digits that spellings of one title share; None where a title says too little to be looked up by.

    Part I and Part II, a reply, a comment, an erratum and what they are about have different keys. An equal key is a
    reason to compare two papers (`storage.likeness`), never to merge them.
    """
    return _key(title_form(title).encode(errors="replace"))


def _key(form: bytes) -> str | None:
    if len(form) <= _GENERIC_CHARACTERS_MAX and _is_generic(form):
        return None
    return hashlib.blake2b(form, digest_size=_KEY_BYTES).hexdigest()


def _is_generic(form: bytes) -> bool:
    bare = form.decode().strip("0123456789 ")
    return len(form.decode()) < FORM_CHARACTERS_MIN or not bare or bare in _GENERIC


def title_keys(titles: pa.Array | pa.ChunkedArray) -> list[str | None]:
    """Return `title_key` of every title, None for null: plain titles in one buffer, the odd ones one by one."""
    import pyarrow as pa  # costs a fifth of a second, which who asks only for one key should not pay

    whole = titles if isinstance(titles, pa.ChunkedArray) else pa.chunked_array([titles])
    keys: list[str | None] = []
    for start in range(0, len(whole), _BATCH_TITLES):
        keys += _batch_keys(whole.slice(start, _BATCH_TITLES).combine_chunks().cast(pa.string()))
    return keys


def _batch_keys(titles: pa.StringArray) -> list[str | None]:
    import pyarrow.compute as pc

    odd = pc.fill_null(pc.match_substring_regex(titles, _ODD), True)
    plain = _plain_keys(titles.filter(pc.invert(odd)))
    keys: list[str | None] = []
    taken = 0
    for place, title in zip(pc.indices_nonzero(odd).to_pylist(), titles.filter(odd).to_pylist(), strict=True):
        run = place - len(keys)
        keys += plain[taken : taken + run]
        keys.append(None if title is None else title_key(title))
        taken += run
    return keys + plain[taken:]


_LETTER_OR_SPACE = bytes(ord(chr(c).lower()) if chr(c).isalnum() or c == 10 else 32 for c in range(128)) + b" " * 128
_SPACE_BETWEEN_DIGITS = re.compile(rb"([0-9]) +(?=[0-9])")


def _plain_keys(titles: pa.StringArray) -> list[str | None]:
    """Return the keys of ASCII titles without line ends: as `title_form` has it, on all of them at once."""
    if len(titles) == 0:
        return []
    import pyarrow as pa
    import pyarrow.compute as pc

    joined = pc.binary_join(pa.ListArray.from_arrays([0, len(titles)], titles), "\n")[0].as_buffer().to_pybytes()
    spaced = _SPACE_BETWEEN_DIGITS.sub(rb"\1_", joined.translate(_LETTER_OR_SPACE))
    return [_key(form) for form in spaced.translate(None, b" ").replace(b"_", b" ").split(b"\n")]
