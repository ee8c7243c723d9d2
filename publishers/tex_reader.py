"""Reads TeX from left to right: groups, scripts and commands.

`publishers/tex.py` marks the math before and tidies after. A recursive descent, bounded in depth, made so that
whatever it does not know still reads as words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from publishers.tex_tables import (
    ALPHABETS,
    BETWEEN,
    FENCES,
    GONE,
    MATH_ACCENTS,
    MATH_CLOSE,
    MATH_OPEN,
    NAME_LETTERS,
    OPERATORS,
    OVER,
    PLAIN,
    SILENT,
    SIZES,
    SOFT_SPACE,
    SPACES,
    SUBSCRIPTS,
    SUBSCRIPTS_AS_THEY_ARE,
    SUPERSCRIPTS,
    SYMBOLS,
    TEXT,
    TEXT_ACCENTS,
    VANISHED,
    WORD_EDGE,
    stands_apart,
)

_DEPTH_MAX = 40  # nested groups; deeper ones are read as if they were flat
_RAW_CHARACTERS_MAX = 3_000  # an address or a name
_COMMAND = re.compile(r"\\(?:([A-Za-z]+)\*?|(.))", re.DOTALL)
_URL = re.compile(r"(?:https?|ftp)://[^\s{}\\\x02\x03]+")
_RUN = re.compile(r"[^\\{}^_~\x02\x03h]+|h")  # plain text; stops at h, where a URL may begin
_SPACE = re.compile(r"\s+")
_WORDS = re.compile(r"[\w .'’&/+-]*")
_NUMBER = re.compile(r"[-+]?\d+(?!\w)")


class Reader:
    """Reads marked text from left to right; each method returns what it read as text."""

    __slots__ = ("at", "depth", "inside", "text")

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth, self.inside = text, 0, 0, False

    def sequence(self, stop: str, *, math: bool) -> str:
        """Read up to and past `stop`; the end of math ends whatever is open inside it."""
        pieces: list[str] = []
        while self.at < len(self.text):
            character = self.text[self.at]
            if character == stop:
                self.at += 1
                break
            if character == MATH_CLOSE and self.inside:
                break
            pieces.append(self.math_piece(character) if math else self.text_piece(character))
        return "".join(pieces)

    # Text between the math.

    def text_piece(self, character: str) -> str:
        if character == MATH_OPEN:
            self.at += 1
            self.inside = True
            raw = self.sequence(MATH_CLOSE, math=True)
            self.inside = False
            return _tidy_math(raw) or (" " if raw.isspace() else "")  # 2.5$\\,$K
        if character == "\\":
            return self.command(math=False)
        if character == "{":
            return self.text_group()
        if character in "^_":
            return self.text_script(character)
        if character == "~":
            return self.tie()
        if character == "h" and (url := _URL.match(self.text, self.at)):
            self.at = url.end()
            return url[0]
        run = _RUN.match(self.text, self.at)
        self.at = run.end() if run else self.at + 1
        plain = run[0] if run else character
        return plain.replace("$", "") if self.inside else plain  # \text{in $R$} within math

    def text_group(self) -> str:
        """Read `{…}`: braces that only group vanish, `{0, 1}` keeps its own."""
        start = self.at + 1
        content = self.group(math=False)
        raw = self.text[start : self.at - 1]
        closed = self.text[self.at - 1 : self.at] == "}" and self.at > start
        if closed and (raw[:1] == "\\" or MATH_OPEN in raw or _WORDS.fullmatch(re.sub(r"\\[A-Za-z]+|\\.", "", raw))):
            return content
        return f"{{{content}}}" if closed else f"{{{content}"

    def text_script(self, sign: str) -> str:
        """Read a script outside math: `10^{-3}` and `H_{2}` are meant, `my_name` is not."""
        follows = self.text[self.at + 1 : self.at + 2]
        number = _NUMBER.match(self.text, self.at + 1)
        before = self.text[self.at - 1 : self.at]
        self.at += 1
        if follows == "{" or (sign == "^" and follows == "\\"):
            return _script(sign, self.script_argument())
        if number and (before.isalnum() or before in tuple(")]|")) and (sign == "^" or before.isupper()):
            self.at = number.end()
            return _script(sign, number[0])
        return sign

    def tie(self) -> str:
        """Read `~`: a space between two words, the sign for `about` before a number."""
        before, after = self.text[self.at - 1 : self.at], self.text[self.at + 1 : self.at + 2]
        self.at += 1
        between = self.at > 1 and not before.isspace() and before not in "(/[=" and after and not after.isspace()
        return " " if between else "~"

    # Math.

    def math_piece(self, character: str) -> str:
        if character == "\\":
            return self.command(math=True)
        if character == "{":
            return self.group(math=True)
        self.at += 1
        if character in "^_":
            return _script(character, self.script_argument())
        if character.isspace():
            return self.math_space()
        return {"}": "", "~": " ", "&": " ", "'": "′", "$": "", MATH_OPEN: ""}.get(character, character)

    def math_sign(self, character: str) -> str | None:
        """Read a command of one sign that means something else in math than in text; None where it does not."""
        if character in "_^":
            return _script(character, self.script_argument())
        return " " if character == ">" else None

    def math_space(self) -> str:
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1
        return "" if self.text[self.at : self.at + 1] in ("^", "_", "") else " "

    def group(self, *, math: bool) -> str:
        """Read `{…}` from its brace on."""
        self.at += 1
        if self.depth >= _DEPTH_MAX:
            return ""
        self.depth += 1
        content = self.sequence("}", math=math)
        self.depth -= 1
        return _over(content) if OVER in content else content

    def argument(self, *, math: bool) -> str:
        """Read what a command takes: a group, a command or one character."""
        self.skip_spaces()
        character = self.text[self.at : self.at + 1]
        if character == "{":
            return self.group(math=math)
        if character in ("", "}", MATH_OPEN, MATH_CLOSE) or self.depth >= _DEPTH_MAX:
            return ""
        if character == "\\":
            self.depth += 1
            content = self.command(math=math)
            self.depth -= 1
            return content
        self.at += 1
        return character

    def script_argument(self) -> str:
        return self.argument(math=True)

    def raw_argument(self) -> str:
        """Read a group as it is typed, for addresses and names; empty where none follows."""
        self.skip_spaces()
        end = self.text.find("}", self.at, self.at + _RAW_CHARACTERS_MAX)
        if self.text[self.at : self.at + 1] != "{" or end < 0:
            return ""
        raw = self.text[self.at + 1 : end]
        self.at = end + 1
        return re.sub(r"\\([%#&_~$^{}])(?:\{\})?", r"\1", raw)

    def option(self) -> str:
        """Read `[…]` where it follows."""
        end = self.text.find("]", self.at, self.at + 100)
        if self.text[self.at : self.at + 1] != "[" or end < 0:
            return ""
        content = self.text[self.at + 1 : end]
        self.at = end + 1
        return content

    def skip_spaces(self) -> None:
        found = _SPACE.match(self.text, self.at)
        if found:
            self.at = found.end()

    # Commands.

    def command(self, *, math: bool) -> str:
        found = _COMMAND.match(self.text, self.at)
        if not found:  # a backslash ends the text
            self.at += 1
            return ""
        self.at = found.end()
        if found[2] is not None:
            return self.sign(found[2], math=math)
        return self.word(found[1], math=math)

    def sign(self, character: str, *, math: bool) -> str:
        """Read a command of one sign: a space, an accent, an escaped character."""
        if math and (meant := self.math_sign(character)) is not None:
            return meant
        if character in ",;: \n\t\\":
            return " "
        if character == "|":
            return "‖"
        if character in "!-/@>":
            return ""
        if character in TEXT_ACCENTS and not math:
            following = self.text[self.at : self.at + 1]
            if following.isalpha() or following in ("{", "\\"):
                return _accented(self.argument(math=False), TEXT_ACCENTS[character]) or character
        if character in (MATH_OPEN, MATH_CLOSE):
            self.at -= 1
            return ""
        return character

    def word(self, name: str, *, math: bool) -> str:
        """Read a command with a name, and its arguments."""
        if name in SILENT and not (name in PLAIN and self.text[self.at : self.at + 1] == "{"):
            self.skip_spaces()
            return ""
        if name in SIZES:
            return self.size()
        if name in SPACES:
            return " "
        if name in GONE or name in ("begin", "end"):
            return self.gone(name)
        if name in OPERATORS:
            self.skip_spaces()
            return f"{WORD_EDGE}{name.removeprefix('b') if name == 'bmod' else name}{WORD_EDGE}"
        taken = self.with_arguments(name, math=math)
        return self.symbol(name, math=math) if taken is None else taken

    def with_arguments(self, name: str, *, math: bool) -> str | None:
        """Read a command that takes arguments; None where `name` is none of those."""
        if name in TEXT:
            return self.argument(math=False)
        if name in PLAIN:
            return self.argument(math=math)
        if name in ALPHABETS:
            return "".join(ALPHABETS[name].get(c, c) for c in self.argument(math=True))
        if name in MATH_ACCENTS:
            return _accented(self.argument(math=True), MATH_ACCENTS[name])
        if name in TEXT_ACCENTS:
            return _accented(self.argument(math=False), TEXT_ACCENTS[name])
        if name in FENCES:
            before, after = FENCES[name]
            return f"{before}{self.argument(math=math).strip()}{after}"
        special = _SPECIAL.get(name)
        return special(self) if special else None

    def size(self) -> str:
        """Read `\\left` and its kin: the delimiter behind them stays, but for the empty one."""
        self.skip_spaces()
        if self.text[self.at : self.at + 1] == ".":
            self.at += 1
        return ""

    def gone(self, name: str) -> str:
        while self.option():
            pass
        environment = self.raw_argument()
        if name == "begin" and environment.rstrip("*") in ("array", "tabular"):
            self.raw_argument()
        return " " if name in ("begin", "end") else VANISHED

    def symbol(self, name: str, *, math: bool) -> str:
        """Read a command that stands for a sign; one that nobody knows stands for its own name."""
        symbol = SYMBOLS.get(name)
        if symbol is None:
            return self.unknown(name, math=math)
        if not math:
            if name in NAME_LETTERS and re.compile(r"\s\w").match(self.text, self.at):
                self.at += 1
            return f"{SOFT_SPACE}{symbol}{SOFT_SPACE}" if stands_apart(symbol) else symbol
        if symbol in BETWEEN and self.text[max(0, self.at - len(name) - 2) : self.at - len(name) - 1].isspace():
            self.skip_spaces()
            return f"{SOFT_SPACE}{symbol}{SOFT_SPACE}"
        if self.text[self.at : self.at + 1].isspace():
            self.skip_spaces()
            if self.text[self.at : self.at + 1] in "=<>+-":
                symbol += " "
        if stands_apart(symbol[0]):
            return f"{SOFT_SPACE}{symbol.strip()}{SOFT_SPACE}"
        return f"{WORD_EDGE}{symbol}{WORD_EDGE}" if symbol[:2].isascii() and symbol[0].isalpha() else symbol

    def unknown(self, name: str, *, math: bool) -> str:
        if self.text[self.at : self.at + 1] != "{":
            return f"{WORD_EDGE}{name}{WORD_EDGE}"
        content = self.argument(math=math)
        if not content.strip():
            return name
        return content if name.islower() else f"{name}{content}" if math else content

    # Commands that are like no other.

    def fraction(self) -> str:
        above, below = self.argument(math=True), self.argument(math=True)
        return f"{_factor(above)}/{_factor(below)}"

    def root(self) -> str:
        degree = self.option()
        sign = {"": "√", "2": "√", "3": "∛", "4": "∜"}.get(degree) or _script("^", degree) + "√"
        return sign + _factor(self.argument(math=True))

    def binomial(self) -> str:
        return f"({self.argument(math=True)} choose {self.argument(math=True)})"

    def second(self) -> str:
        """Read two arguments of which the first is no text: a colour, a length, what stands above."""
        self.argument(math=True)
        return self.argument(math=self.inside)

    def underset(self) -> str:
        below, base = self.argument(math=True), self.argument(math=True)
        return base + _script("_", below)

    def over(self) -> str:
        self.skip_spaces()
        return OVER

    def negated(self) -> str:
        return _accented(self.argument(math=True).replace(SOFT_SPACE, ""), "\u0338", apart=True)

    def arrow(self) -> str:
        self.argument(math=True)
        return f"{SOFT_SPACE}→{SOFT_SPACE}"

    def code_point(self) -> str:
        code = self.raw_argument().removeprefix("x")
        character = chr(int(code, 16)) if re.fullmatch(r"[0-9a-fA-F]{2,4}", code) else ""
        return "" if not character or unicodedata.category(character)[0] == "C" else character

    def definition(self) -> str:
        self.argument(math=True)
        while self.option():
            pass
        self.argument(math=True)
        return ""

    def quantity(self) -> str:
        return f"{self.argument(math=self.inside)} {self.argument(math=self.inside)}"

    def link(self) -> str:
        url, shown = self.raw_argument(), self.argument(math=False)
        return shown if not url or shown in url or url in shown else f"{shown} ({url})"


_SPECIAL: dict[str, Callable[[Reader], str]] = {
    **dict.fromkeys(["frac", "dfrac", "tfrac", "cfrac", "nicefrac", "sfrac"], Reader.fraction),
    **dict.fromkeys(["binom", "tbinom", "dbinom"], Reader.binomial),
    **dict.fromkeys(["overset", "stackrel", "textcolor", "texorpdfstring", "colorbox", "raisebox"], Reader.second),
    **dict.fromkeys(["xrightarrow", "xlongrightarrow"], Reader.arrow),
    **dict.fromkeys(["newcommand", "renewcommand", "providecommand", "DeclareMathOperator"], Reader.definition),
    **dict.fromkeys(["SI", "qty"], Reader.quantity),
    **dict.fromkeys(["url", "path", "nolinkurl"], Reader.raw_argument),
    **dict.fromkeys(["ce", "chem"], lambda reader: _formula(reader.argument(math=False))),
    **dict.fromkeys(["textsuperscript", "sp"], lambda reader: _script("^", reader.argument(math=reader.inside))),
    **dict.fromkeys(["textsubscript", "sb"], lambda reader: _script("_", reader.argument(math=reader.inside))),
    "sqrt": Reader.root,
    "underset": Reader.underset,
    "over": Reader.over,
    "not": Reader.negated,
    "unicode": Reader.code_point,
    "href": Reader.link,
}


def _over(content: str) -> str:
    """Return `a \\over b` as a fraction."""
    above, _, below = content.partition(OVER)
    return f"{_factor(above)}/{_factor(below.replace(OVER, '/'))}"


def _script(sign: str, content: str) -> str:
    """Return `content` raised or lowered: in characters of its own where Unicode has them all, else ^… or _…"""
    content = " ".join(content.replace(SOFT_SPACE, " ").replace(WORD_EDGE, " ").split())
    content = re.sub(r" ?([^\w\s]) ?", r"\1", content)
    if not content:
        return ""
    if sign == "^" and content.startswith("∘"):
        return f"°{content[1:]}"
    if sign == "_" and content in SUBSCRIPTS_AS_THEY_ARE:
        return content
    table = SUPERSCRIPTS if sign == "^" else SUBSCRIPTS
    if all(character in table for character in content):
        return "".join(table[character] for character in content)
    if len(content) == 1 or re.fullmatch(r"[A-Za-z][A-Za-z0-9.]*|[0-9.]+", content):  # T_1N would be T₁ times N
        return f"{sign}{content}{WORD_EDGE}"
    return f"{sign}{content}" if _is_fenced(content) else f"{sign}({content})"


def _factor(content: str) -> str:
    """Return `content` so that it can stand beside a fraction stroke or under a root."""
    content = content.strip().strip(SOFT_SPACE + WORD_EDGE)
    inner = "".join(c for c in content if not unicodedata.combining(c))
    return content if _is_fenced(content) or re.fullmatch(r"[\w.^_′*°⊙∞ℏ]*", inner) else f"({content})"


def _is_fenced(content: str) -> bool:
    return re.fullmatch(r"\([^()]*\)|\|[^|]*\|", content) is not None


def _accented(content: str, mark: str, *, apart: bool = False) -> str:
    """Return `content` with the combining `mark` on its first letter; on any first character where `apart`."""
    bare = content.lstrip(SOFT_SPACE + WORD_EDGE)
    base = {"ı": "i", "ȷ": "j"}.get(bare[:1], bare[:1])
    if not base or not (base.isalpha() or base in "∂∇" or apart):
        return content
    accented = unicodedata.normalize("NFC", base + mark)
    return f"{SOFT_SPACE}{accented}{bare[1:]}{SOFT_SPACE}" if apart else f"{accented}{bare[1:]}"


def _formula(content: str) -> str:
    """Return a chemical formula: digits behind a letter or a bracket are counts."""
    return re.sub(r"(?<=[A-Za-z)\]])\d+", lambda m: "".join(SUBSCRIPTS[d] for d in m[0] if d in SUBSCRIPTS), content)


def _tidy_math(content: str) -> str:
    """Settle the spaces of one stretch of math."""
    content = (_over(content) if OVER in content else content).strip().strip(SOFT_SPACE)
    # A sign with nothing before it belongs to what follows: ∼10, (±3), = ±1.
    content = re.sub(rf"(^|[(\[{{,=<>]\s*){SOFT_SPACE}?([^\w\s]){SOFT_SPACE}\s*", r"\1\2", content)
    content = re.sub(rf"{SOFT_SPACE}\s*(?=[)\]}},;.])", "", content)
    content = re.sub(r"([(\[])\s+", r"\1", content)
    return re.sub(r"\s+([)\],;])", r"\1", content)
