"""Words as the search index holds them: one function for what is indexed and for what is asked.

A word is a run of letters and digits in lower case, without diacritics, in the singular. TeX that shapes letters is
read as those letters; TeX commands that name nothing are gone. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

BREAK = "\x01"  # a word that no query has: phrases do not run from one name, or from the title, into what follows
WORD_CHARACTERS_MAX = 64  # a longer run of letters is cut, here and in the query
_WORDS_HELD_MAX = 500_000  # of the memory of singulars; arXiv alone has more rare spellings than that

_ALPHABET_TEXT = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi chi "
    "psi omega"
)
_ALPHABET = _ALPHABET_TEXT.split()
_GREEK = dict(zip("αβγδεζηθικλμνξοπρστυφχψω", _ALPHABET, strict=True))
_LONE_GREEK = re.compile("(?<![α-ω])[α-ω](?![α-ω])")  # a Greek word stays one
_LETTERS = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ı": "i"} | {
    "ŋ": "ng", "ŧ": "t", "ς": "σ",
}  # fmt: skip

_TEX_HINT = re.compile(r"[\\$^_{]")
_TEX_COMMAND = re.compile(
    r"\\(?:"
    r"""(?P<accent>["'`^~=.]|[cvHukrdbt](?![A-Za-z]))\s?(?=\{?\\?[A-Za-z])"""
    r"|(?P<letter>ss|[aA]e|AE|[oO]e|OE|aa|AA|[oOlLij])(?![A-Za-z])(?:\{\}|\s)?"
    r"|(?:begin|end|cite[a-z]*|ref|eqref|label)\*?(?:\[[^\]]{0,200}\])?(?P<aside>\{[^{}]{0,200}\})"
    r"|(?P<name>[A-Za-z]+)\*?(?P<group>\{?))"
)
_TEX_KEPT = frozenset(
    [*_ALPHABET, *(f"var{name}" for name in _ALPHABET), "latex", "tex", "ell", "infty", "hbar", "nabla"]
)
# CO_2, MoS_{2}, \mathrm{H}_2O, L^2: the digit belongs to the word; 10^5 is two.
_TEX_DIGITS = re.compile(r"[_^](?<=[A-Za-z}].)\{?(\d+)\}?\$?")
_TEX_SHORTER = (("$_", "_"), ("$^", "^"), ("\\textsubscript{", "_{"), ("\\textsuperscript{", "^{"), ("\\-", ""))

# Plurals that no rule gives, each with what the rule leaves of its singular.
_IRREGULAR_TEXT = (
    "matrices:matrix vertices:vertex indices:index appendices:appendix cortices:cortex vortices:vortex helices:helix "
    "simplices:simplex analyses:analysi hypotheses:hypothesi syntheses:synthesi theses:thesi crises:crisi "
    "diagnoses:diagnosi prognoses:prognosi phenomena:phenomenon criteria:criterion automata:automaton mice:mouse "
    "polyhedra:polyhedron corpora:corpu genera:genu spectra:spectrum quanta:quantum minima:minimum maxima:maximum "
    "optima:optimum bacteria:bacterium nuclei:nucleu stimuli:stimulu radii:radiu loci:locu foci:focu moduli:modulu "
    "fungi:fungu formulae:formula women:woman men:man children:child viruses:viru biases:bia corpuses:corpu "
    "statuses:statu focuses:focu campuses:campu buses:bus gases:gas lenses:lens lens:lens news:news mars:mars"
)
_IRREGULAR = dict(pair.split(":") for pair in _IRREGULAR_TEXT.split())


def words(text: str) -> list[str]:
    """Return the words of `text` in the singular, in their order."""
    return singular(names(text))


def singular(spelled: Iterable[str]) -> list[str]:
    """Return each word in one form for it and its plurals."""
    return list(map(_SINGULAR.__getitem__, spelled))


def names(text: str) -> list[str]:
    """Return the words of `text` as they are spelled: for names, which have no plural."""
    if _TEX_HINT.search(text):
        text = plain_tex(text)
    if text.isascii():
        return text.translate(_FOLDED).split()
    # A sign is no word, though NFKD spells it as letters: `Foo™` is foo, not footm.
    text = unicodedata.normalize("NFKD", text.translate(_SIGNS)).translate(_FOLDED)
    # Letters that marks were taken off come together again: Hangul would otherwise stay in parts.
    text = unicodedata.normalize("NFC", text)
    return _LONE_GREEK.sub(lambda letter: f" {_GREEK[letter[0]]} ", text).split()


def plain_tex(text: str) -> str:
    """Return `text` with TeX accents as letters, \\alpha as alpha, and without commands that only shape."""
    for long, short in _TEX_SHORTER:
        text = text.replace(long, short)
    text = _TEX_DIGITS.sub(r"\1", text)
    if "\\" in text:
        text = _TEX_COMMAND.sub(_command, text)
    return text.replace("}{", " ").replace("{", "").replace("}", "")


def _command(found: re.Match[str]) -> str:
    """Keep letters and what names something; \\mathrm{Na}Cl is one word, n\\log n is two."""
    name = found["name"]
    if name is None:
        return found["letter"] or (" " if found["aside"] else "")
    if name.lower() in _TEX_KEPT:
        return f" {name.lower().removeprefix('var')} {found['group']}"
    return found["group"] or " "


class _Folding(dict[int, str | None]):
    """What str.translate makes of each character; learns them as they come."""

    def __missing__(self, code: int) -> str | None:
        self[code] = folded = self._folded(chr(code))
        return folded

    @staticmethod
    def _folded(character: str) -> str | None:
        if character == BREAK:
            return f" {BREAK} "
        if unicodedata.category(character)[0] == "M":
            return None
        lower = "".join(
            c for c in unicodedata.normalize("NFKD", character.lower()) if unicodedata.category(c)[0] != "M"
        )
        if not character.isalnum():
            return " "
        if "\u3040" <= character <= "\u30ff" or "\u3400" <= character <= "\u9fff":
            return f" {lower} "  # no spaces between words there: each character is one, and a word a phrase
        return "".join(_LETTERS.get(c, c) for c in lower)


class _Signs(dict[int, str]):
    """A space for each character that is neither letter, digit nor mark; learns them as they come."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kept = character.isalnum() or character == BREAK or unicodedata.category(character)[0] == "M"
        self[code] = made = character if kept else " "
        return made


class _Singulars(dict[str, str]):
    """The singular of each word; learns them as they come."""

    def __missing__(self, word: str) -> str:
        if len(self) >= _WORDS_HELD_MAX:
            self.clear()
        self[word] = found = _IRREGULAR.get(word) or _singular(word[:WORD_CHARACTERS_MAX])
        return found


def _singular(word: str) -> str:
    """Return one form for a word and its regular plurals.

    It need not be a word (virus → viru). A stemmer would go on to make one word of transformer and Fourier transform,
    of universe and university; this one stops at the plural (after the S-stemmer of Harman, 1991).
    """
    if len(word) < 4 or not word.isascii() or not word.isalpha() or word.endswith("ss"):
        return word
    if len(word) > 4:
        if word.endswith(("ies", "ie")):
            return word[: word.rindex("ie")] + "y"
        if word.endswith(("sses", "xes", "ches", "shes")):
            return word[:-2]
        if word.endswith("che"):
            return word[:-1]
    return word[:-1] if word.endswith("s") else word


_FOLDED = _Folding()
_SIGNS = _Signs()
_SINGULAR = _Singulars()

# Too common to find anything by; they keep their place in a phrase, where any such word may stand for them.
STOP_WORDS = frozenset(
    words(
        "a an and are as at be been by for from had has have in into is it its of on or our such than that the their "
        "these they this those to was we were which with"
    )
)
