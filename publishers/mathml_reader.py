"""Reads one formula of TeX and writes it as MathML Core; says no to whatever it does not know for sure.

Every element and attribute is written here by name, and every character of the formula passes through `_leaf`, which
escapes it: no formula can become other markup. The work is linear in the formula, and its nesting is bounded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from html import escape
from typing import NamedTuple

from publishers.mathml_tables import (
    ACCENTS,
    ACCENTS_UNDER,
    ALPHABET,
    BARS,
    BINOMIALS,
    CLOSING,
    FONTS,
    FRACTIONS,
    OPENING,
    OVER,
    SIGNS,
    SPACE_EM,
    SWITCHES,
    TABLES,
    THINGS,
)
from publishers.tex import text_of_tex
from publishers.tex_tables import FENCES, GONE, OPERATORS, PLAIN, SILENT, SIZES, TEXT, TEXT_ACCENTS

_DEPTH_MAX = 16  # nested groups
_ELEMENTS_MAX = 400
_CELLS_MAX = 100
_COMMAND = re.compile(r"\\(?:([A-Za-z]+)\*?|(.))", re.DOTALL)
_LETTERS = re.compile(r"[A-Za-z]+")
_NUMBER = re.compile(r"\d+(?:\{,\}\d{3})*(?:\.\d+)?")
_SPACE = re.compile(r"\s*")
_ENVIRONMENT = re.compile(r"\{([A-Za-z]+)\*?\}(?:\[[a-z]\])?")
_COLUMNS = re.compile(r"\{[lcr| ]{1,20}\}")
_ROW_SKIP = re.compile(r"\[-?[\d.]{1,6}[a-z]{2}\]")
_PLAIN_TEXT = re.compile(r"[^\\{}$\x02\x03]*")
_WORD_LETTERS = 4  # so many letters beside each other are a word; three are, where they are all of an index
_NO_NAMES = (
    GONE | TEXT_ACCENTS.keys() | frozenset(["begin", "end", "over", "choose", "middle", "href", "unicode", "hspace"])
)
_PROSE_FENCES = frozenset(["footnote", "footnotetext", "pmod"])
_PRIMES = {1: "′", 2: "″", 3: "‴"}
_THIN = '<mspace width="0.167em"></mspace>'


class NotRead(Exception):
    """The formula holds something that is not known well enough to be set as mathematics."""


class Atom(NamedTuple):
    """One element and what it is to its neighbours: a name (log) keeps a space to them."""

    markup: str
    kind: str  # thing, name, operator, open, close, space


class Formula:
    """Reads a formula from left to right; each method returns MathML. Raises NotRead."""

    __slots__ = ("at", "depth", "elements", "text")

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth, self.elements = text, 0, 0, 0

    def read(self) -> str:
        """Return the whole formula as one element."""
        row = self.row("", frozenset())
        if self.at < len(self.text):
            raise NotRead
        return row

    # Rows, and what stands in them.

    def row(self, font: str, stops: frozenset[str], *, index: bool = False) -> str:
        """Read up to a stop, which is a character or a command, and not past it; `index` is a row above or below."""
        atoms: list[Atom] = []
        self.depth += 1
        if self.depth > _DEPTH_MAX:
            raise NotRead
        while (peeked := self.peek()) and peeked not in stops:
            if peeked in ("\\over", "\\choose"):
                atoms = [self.split(peeked, atoms, font, stops)]
                break
            if peeked.startswith("\\") and peeked[1:] in SWITCHES and not self.is_argument(peeked):
                self.at += len(peeked)
                font = FONTS[peeked[1:]]
                continue
            atoms += self.scripted(font, index=index and not atoms)
        self.depth -= 1
        return _rowed(atoms)

    def peek(self) -> str:
        """Return the next character, or the whole command; nothing at the end. Spaces before it are passed."""
        self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]  # it always matches
        found = _COMMAND.match(self.text, self.at)
        if not found:
            return self.text[self.at : self.at + 1]
        return f"\\{found[1] or found[2]}"

    def is_argument(self, command: str) -> bool:
        return self.text[self.at + len(command) : self.at + len(command) + 1] == "{"

    def split(self, command: str, above: list[Atom], font: str, stops: frozenset[str]) -> Atom:
        self.at += len(command)
        below = self.row(font, stops)
        return _fraction(_rowed(above), below, binomial=command == "\\choose")

    def scripted(self, font: str, *, index: bool) -> list[Atom]:
        """Read an atom with what stands above and below it; commands that leave nothing give nothing."""
        atoms = [] if self.peek() in ("^", "_", "'") else self.atom(font, index=index)
        scripts: dict[str, str] = {}
        while (sign := self.peek()) in ("^", "_", "'"):
            if sign == "'":
                primes = re.compile(r"'+").match(self.text, self.at)
                self.at = primes.end() if primes else self.at + 1
                above = _leaf("mo", _PRIMES.get(len(primes[0]) if primes else 1, "‴"))
                if self.peek() == "^":
                    self.at += 1
                    above = f"<mrow>{above}{self.argument(font, index=True)}</mrow>"
                sign = "^"
            else:
                self.at += 1
                above = self.argument(font, index=True)
            if sign in scripts:
                raise NotRead  # x^a^b: TeX takes it for an error as well
            scripts[sign] = above
        if not scripts:
            return atoms
        base = atoms.pop() if atoms and atoms[-1].kind != "space" else Atom("<mrow></mrow>", "thing")
        tag = "msubsup" if len(scripts) == 2 else "msup" if "^" in scripts else "msub"
        inner = f"{base.markup}{scripts.get('_', '')}{scripts.get('^', '')}"
        return [*atoms, Atom(self.element(tag, inner), base.kind)]

    def argument(self, font: str, *, index: bool = False) -> str:
        """Read what a command takes: a group, a command or one character."""
        sign = self.peek()
        if sign == "{":
            return self.group(font, index=index)
        if sign in ("", "}", "^", "_", "&", "'") or self.depth >= _DEPTH_MAX:
            raise NotRead
        if sign[0] in "0123456789":
            self.at += 1
            return _letters("mn", sign, font)
        if sign.isascii() and sign.isalpha():
            self.at += 1
            return _letters("mi", sign, font)
        self.depth += 1
        atoms = self.atom(font, index=False)
        self.depth -= 1
        return _rowed(atoms)

    def group(self, font: str, *, index: bool = False) -> str:
        self.at += 1
        row = self.row(font, frozenset("}"), index=index)
        if self.peek() != "}":
            raise NotRead
        self.at += 1
        return row

    def atom(self, font: str, *, index: bool) -> list[Atom]:
        """Read the smallest thing that may carry an index."""
        self.elements += 1
        if self.elements > _ELEMENTS_MAX:
            raise NotRead
        character = self.text[self.at]
        if character == "\\":
            return self.command(font)
        if character == "{":
            return [Atom(self.group(font), "thing")]
        if number := _NUMBER.match(self.text, self.at):
            self.at = number.end()
            return [Atom(_letters("mn", number[0].replace("{,}", ","), font), "thing")]
        if letters := _LETTERS.match(self.text, self.at):
            return self.letters(letters[0], font, index=index)
        if self.text.startswith("...", self.at):
            self.at += 3
            return [Atom(_leaf("mo", "…"), "operator")]
        self.at += 1
        if character == "~":
            return [_space(" ")]
        if character == "&":
            return []
        return [_sign(character, font)]

    def letters(self, run: str, font: str, *, index: bool) -> list[Atom]:
        """Read letters: each a quantity of its own, or together a word."""
        if run in OPERATORS and len(run) > 2 and not font:
            self.at += len(run)
            return [Atom(_leaf("mi", run), "name")]
        follows = self.text[self.at + len(run) : self.at + len(run) + 1]
        word = font == "upright" or len(run) >= _WORD_LETTERS or (index and len(run) > 2 and follows == "}")
        taken = run if word else run[0]
        self.at += len(taken)
        if word and not font:
            return [Atom(_leaf("mi", taken), "thing")]
        return [Atom(_letters("mi", taken, font), "thing")]

    def element(self, tag: str, inner: str, attributes: str = "") -> str:
        """Return an element with `inner`, which is markup already; `tag` and `attributes` are written in this file."""
        self.elements += 1
        return f"<{tag}{attributes}>{inner}</{tag}>"

    # Commands.

    def command(self, font: str) -> list[Atom]:
        found = _COMMAND.match(self.text, self.at)
        if not found:  # a backslash ends the formula
            raise NotRead
        self.at = found.end()
        if found[2] is not None:
            return _escaped(found[2])
        name = found[1]
        if name in SILENT and name not in FONTS:
            return []
        if name in SPACE_EM:
            return [_space(name)]
        return [self.with_arguments(name, font) or self.named_sign(name, font)]

    def with_arguments(self, name: str, font: str) -> Atom | None:
        """Read a command that takes something; None where `name` is none of those."""
        if name in _SPECIAL:
            return _SPECIAL[name](self, font)
        if name in SIZES:
            return self.sized(name, font)
        if name in FONTS:
            return Atom(self.argument(FONTS[name]), "thing")
        if name in TEXT:
            return Atom(self.words(), "thing")
        if name in PLAIN:
            return Atom(self.argument(font), "thing")
        if name in FENCES and name not in _PROSE_FENCES:
            before, after = FENCES[name]
            return Atom(f"<mrow>{_fence(before)}{self.argument(font)}{_fence(after)}</mrow>", "thing")
        return None

    def named_sign(self, name: str, font: str) -> Atom:
        """Return the sign or the word that a command stands for; an author's own stands for its name, as in text."""
        if name in OPERATORS:
            return Atom(_leaf("mi", "mod" if name == "bmod" else name), "name")
        symbol = SIGNS.get(name, name)
        if name not in SIGNS and (name in _NO_NAMES or self.peek() == "{"):
            raise NotRead
        if len(symbol) == 1:
            return _sign(symbol, font)
        if unicodedata.category(symbol[0])[0] in "MC":
            raise NotRead
        return Atom(_leaf("mi" if symbol.isalpha() else "mtext", symbol), "thing")

    def words(self) -> str:
        """Read the argument of `\\text`: words, which may have accents but no formula in them."""
        self.peek()
        end = self.text.find("}", self.at)
        content = self.text[self.at + 1 : end]
        if self.text[self.at : self.at + 1] != "{" or end < 0 or not _PLAIN_TEXT.fullmatch(content):
            raise NotRead
        self.at = end + 1
        edge = "\u00a0"  # other spaces at its edges are not shown
        text = text_of_tex(content).strip()
        before, after = edge if content[:1].isspace() else "", edge if content[-1:].isspace() else ""
        return _leaf("mtext", f"{before}{text}{after}")

    def named(self, _font: str) -> Atom:
        """Read `\\operatorname{…}`."""
        self.peek()
        found = re.compile(r"\{([A-Za-z0-9 -]{1,30})\}").match(self.text, self.at)
        if not found:
            raise NotRead
        self.at = found.end()
        return Atom(_leaf("mi", found[1].strip().replace("-", "\u2010")), "name")

    def fraction(self, font: str) -> Atom:
        return _fraction(self.argument(font), self.argument(font), binomial=False)

    def binomial(self, font: str) -> Atom:
        return _fraction(self.argument(font), self.argument(font), binomial=True)

    def root(self, font: str) -> Atom:
        degree = ""
        if self.peek() == "[":
            self.at += 1
            degree = self.row(font, frozenset("]"))
            if self.peek() != "]":
                raise NotRead
            self.at += 1
        inner = self.argument(font)
        return Atom(f"<mroot>{inner}{degree}</mroot>" if degree else f"<msqrt>{inner}</msqrt>", "thing")

    def set_over(self, font: str) -> Atom:
        above, base = self.argument(font, index=True), self.argument(font)
        return Atom(self.element("mover", base + above), "operator")

    def arrow(self, font: str) -> Atom:
        above = self.argument(font, index=True)
        return Atom(self.element("mover", _leaf("mo", "→", ' stretchy="true"') + above), "operator")

    def set_under(self, font: str) -> Atom:
        below, base = self.argument(font, index=True), self.argument(font)
        return Atom(self.element("munder", base + below), "operator")

    def modulo(self, font: str) -> Atom:
        inner = f"{_leaf('mi', 'mod')}{_THIN}{self.argument(font)}"
        return Atom(f"<mrow>{_space(' ').markup}{_fence('(')}{inner}{_fence(')')}</mrow>", "thing")

    def negated(self, _font: str) -> Atom:
        sign = self.peek()
        self.at += len(sign)
        plain = SIGNS.get(sign[1:], "") if sign.startswith("\\") else sign
        if len(plain) != 1 or plain in "{}^_&":
            raise NotRead
        return Atom(_leaf("mo", unicodedata.normalize("NFC", f"{plain}\u0338")), "operator")

    def sized(self, name: str, font: str) -> Atom:
        """Read `\\left` up to its `\\right`; of the other sizes only the delimiter stays."""
        before = self.delimiter()
        if name == "right":
            raise NotRead  # without its left
        if name != "left":
            return Atom(_fence(before), "open" if before in OPENING else "close")
        pieces = [_fence(before, grows=True)]
        while True:
            pieces.append(self.row(font, frozenset(["\\right", "\\middle", "}"])))
            peeked = self.peek()
            if peeked not in ("\\right", "\\middle"):
                raise NotRead
            self.at += len(peeked)
            pieces.append(_fence(self.delimiter(), grows=True, form="postfix" if peeked == "\\right" else "infix"))
            if peeked == "\\right":
                return Atom(self.element("mrow", "".join(pieces)), "close")

    def delimiter(self) -> str:
        sign = self.peek()
        self.at += len(sign)
        if sign == ".":
            return ""
        plain = {"\\{": "{", "\\}": "}", "\\|": "‖"}.get(sign) or (SIGNS.get(sign[1:], "") if len(sign) > 1 else sign)
        if len(plain) != 1 or plain not in OPENING | CLOSING | BARS | frozenset("/<>↑↓∖∣"):
            raise NotRead
        return {"<": "⟨", ">": "⟩", "∣": "|"}.get(plain, plain)

    def table(self, font: str) -> Atom:
        """Read `\\begin{cases}` and its like up to its end."""
        found = _ENVIRONMENT.match(self.text, self.at)
        if not found or found[1] not in TABLES:
            raise NotRead
        self.at = found.end()
        if found[1] == "array" and (columns := _COLUMNS.match(self.text, self.at)):
            self.at = columns.end()
        rows: list[list[str]] = [[]]
        while True:
            rows[-1].append(self.row(font, frozenset(["&", "\\\\", "\\end"])))
            sign = self.peek()
            self.at += len(sign)
            if sign == "\\\\":
                if skip := _ROW_SKIP.match(self.text, self.at):
                    self.at = skip.end()
                rows.append([])
            elif sign != "&":
                break
            if sum(map(len, rows)) > _CELLS_MAX:
                raise NotRead
        end = _ENVIRONMENT.match(self.text, self.at)
        if sign != "\\end" or not end or end[1] != found[1]:
            raise NotRead
        self.at = end.end()
        kept = [row for row in rows if row != ["<mrow></mrow>"]]
        cells = "".join(f"<mtr>{''.join(f'<mtd>{cell}</mtd>' for cell in row)}</mtr>" for row in kept)
        before, after = TABLES[found[1]]
        fences = _fence(before, grows=True), _fence(after, grows=True, form="postfix")
        return Atom(f"<mrow>{fences[0]}<mtable>{cells}</mtable>{fences[1]}</mrow>", "thing")

    def accent(self, name: str, font: str) -> Atom:
        sign, grows = ACCENTS[name]
        above = _leaf("mo", sign, f' stretchy="{"true" if grows else "false"}"')
        return Atom(self.element("mover", self.argument(font) + above, ' accent="true"'), "thing")

    def accent_under(self, name: str, font: str) -> Atom:
        below = _leaf("mo", ACCENTS_UNDER[name], ' stretchy="true"')
        return Atom(self.element("munder", self.argument(font) + below, ' accentunder="true"'), "thing")


_SPECIAL: dict[str, Callable[[Formula, str], Atom]] = {
    **dict.fromkeys(FRACTIONS, Formula.fraction),
    **dict.fromkeys(BINOMIALS, Formula.binomial),
    **dict.fromkeys(OVER, Formula.set_over),
    **{name: lambda reader, font, name=name: reader.accent(name, font) for name in ACCENTS},  # type: ignore[misc]
    **{name: lambda reader, font, name=name: reader.accent_under(name, font) for name in ACCENTS_UNDER},  # type: ignore[misc]
    "sqrt": Formula.root,
    **dict.fromkeys(["xrightarrow", "xlongrightarrow"], Formula.arrow),
    "underset": Formula.set_under,
    "operatorname": Formula.named,
    "pmod": Formula.modulo,
    "not": Formula.negated,
    "begin": Formula.table,
}


def _leaf(tag: str, text: str, attributes: str = "") -> str:
    """Return an element that holds text: the one place where a formula's characters become markup."""
    return f"<{tag}{attributes}>{escape(text)}</{tag}>"


def _letters(tag: str, text: str, font: str) -> str:
    """Return letters or digits in a font; MathML sets one letter in italics, and several upright."""
    if font == "upright":
        return _leaf(tag, text, ' mathvariant="normal"' if tag == "mi" and len(text) == 1 else "")
    alphabet = ALPHABET.get(font, {})
    return _leaf(tag, "".join(alphabet.get(c, c) for c in text))


def _sign(character: str, font: str) -> Atom:
    """Return what a single character is."""
    if character in OPENING or character in CLOSING:
        return Atom(_fence(character), "open" if character in OPENING else "close")
    if character in BARS:
        return Atom(_leaf("mo", character, ' stretchy="false" lspace="0" rspace="0"'), "close")
    if character in "-*":
        return Atom(_leaf("mo", {"-": "−", "*": "∗"}[character]), "operator")
    if character == ".":
        return Atom(_leaf("mo", character, ' lspace="0" rspace="0"'), "operator")
    if character in THINGS:
        return Atom(_leaf("mi", character), "thing")
    category = unicodedata.category(character)
    if category[0] == "L":
        return Atom(_letters("mi", character, font), "thing")
    if category[0] == "N":
        return Atom(_leaf("mn", character), "thing")
    if category == "Sm" or character in "+/=<>,;:!?" or "\u2190" <= character <= "\u21ff" or character in "·•≔":
        return Atom(_leaf("mo", character), "operator")
    if category[0] in "MCZ" or character == "}":
        raise NotRead
    return Atom(_leaf("mtext", character), "thing")


def _escaped(character: str) -> list[Atom]:
    """Return a command of one sign: a space, a bar, or a character that would mean something without its backslash."""
    if character in SPACE_EM:
        return [_space(character)]
    if character in "{}":
        return [_sign_of_brace(character)]
    if character == "|":
        return [_sign("‖", "")]
    if character in "!/-@":
        return []
    if character in "%#&$":
        return [Atom(_leaf("mi", character), "thing")]
    raise NotRead


def _sign_of_brace(character: str) -> Atom:
    return Atom(_fence(character), "open" if character == "{" else "close")


def _fence(character: str, *, grows: bool = False, form: str = "prefix") -> str:
    if not character:
        return ""
    if not grows:
        return _leaf("mo", character, ' stretchy="false"')
    return _leaf("mo", character, f' stretchy="true" form="{form}"')


def _space(name: str) -> Atom:
    return Atom(f'<mspace width="{SPACE_EM[name]}em"></mspace>', "space")


def _fraction(above: str, below: str, *, binomial: bool) -> Atom:
    if not binomial:
        return Atom(f"<mfrac>{above}{below}</mfrac>", "thing")
    inner = f'<mfrac linethickness="0">{above}{below}</mfrac>'
    fences = _fence("(", grows=True), _fence(")", grows=True, form="postfix")
    return Atom(f"<mrow>{fences[0]}{inner}{fences[1]}</mrow>", "thing")


def _rowed(atoms: list[Atom]) -> str:
    """Return atoms as one element, with a thin space where a name would touch its neighbour."""
    if len(atoms) == 1:
        return atoms[0].markup
    pieces: list[str] = []
    for number, atom in enumerate(atoms):
        before = atoms[number - 1].kind if number else "open"
        touches = (atom.kind == "name" and before in ("thing", "close", "name")) or (
            before == "name" and atom.kind == "thing"
        )
        pieces += [_THIN, atom.markup] if touches else [atom.markup]
    return f"<mrow>{''.join(pieces)}</mrow>"
