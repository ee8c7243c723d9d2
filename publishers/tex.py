"""TeX as authors type it into titles and abstracts → plain Unicode text.

Not TeX: no macros, no layout. First the stretches of math are marked, then one reader (publishers/tex_reader.py) goes
over all of it, then spaces, quotes and dashes are settled. Linear in the text, and it never raises.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable

from publishers.tex_reader import Reader
from publishers.tex_tables import MATH_CLOSE, MATH_OPEN, OVER, SCRIPT_CHARACTERS, SOFT_SPACE, VANISHED, WORD_EDGE

_MATH_CHARACTERS_MAX = 3_000  # between two dollars; more is an unbalanced dollar
_ITALICS_CHARACTERS_MAX = 60
_SIGNS = re.compile(r"[\\$^_{}~`]|--")
_DELIMITER = re.compile(
    r"\\\\|\\[$()\[\]]|\$\$?"
    r"|\\(?:begin|end)\{(?:equation|align|aligned|gather|eqnarray|multline|displaymath|math|split|cases|array)\*?\}"
)
_CLOSER = {"$": "$", "$$": "$$", "\\(": "\\)", "\\[": "\\]", "\\begin": "\\end"}


Stand = Callable[[str], str | None]
"""Takes what stands between two delimiters; returns the character to put in its place, or None to have it read."""


def text_of_tex(text: str, stand: Stand = lambda _: None) -> str:
    """Return `text` with TeX math, accents and markup as plain Unicode; line ends and runs of spaces are not kept.

    `text` must be free of control characters (`storage.text.accept`). Text without TeX comes back unchanged. A stretch
    of math for which `stand` has a character is that character in what is returned.
    """
    if not _SIGNS.search(text):
        return text
    rendered = Reader(_mark_math(" ".join(text.split()), stand)).sequence("", math=False)
    return _typography(_settle(rendered))


def text_of_math(content: str) -> str:
    """Return what stands between two delimiters as plain Unicode; `content` as `text_of_tex` takes it."""
    return _settle(Reader(f"{MATH_OPEN}{content}{MATH_CLOSE}").sequence("", math=False))


# Finding math: `$…$` is math, `$5 and $10` is money.


def _mark_math(text: str, stand: Stand) -> str:
    """Put marks around each stretch of math; what is left of dollars is plain text."""
    delimiters = _delimiters(text)
    places: dict[str, list[int]] = {}
    for index, (kind, _, _) in enumerate(delimiters):
        places.setdefault(kind, []).append(index)
    pieces: list[str] = []
    done = index = 0
    while index < len(delimiters):
        kind, start, end = delimiters[index]
        close = _next(places, _CLOSER.get(kind, ""), index)
        if close is None or not _is_math(text, kind, end, delimiters[close][1]):
            index += 1
            if close is None and kind == "$$":  # half a display: nobody means two dollars
                pieces, done = [*pieces, text[done:start]], end
            continue
        content = text[end : delimiters[close][1]]
        pieces += [text[done:start], MATH_OPEN, stand(content) or content, MATH_CLOSE]
        done, index = delimiters[close][2], close + 1
    return "".join([*pieces, text[done:]])


def _delimiters(text: str) -> list[tuple[str, int, int]]:
    """Return what may open or close math, as (kind, start, end); `$$` inside `$a$$b$` is a close and an opening."""
    found: list[tuple[str, int, int]] = []
    inside = False
    for match in _DELIMITER.finditer(text):
        kind, start, end = match[0], match.start(), match.end()
        if kind.startswith(("\\begin", "\\end")):
            kind = kind[: kind.index("{")]
        if kind == "$$" and inside and not text[start - 1].isspace():
            found += [("$", start, start + 1), ("$", start + 1, end)]
            continue
        if kind == "$":
            inside = not inside
        found.append((kind, start, end))
    return found


def _next(places: dict[str, list[int]], kind: str, index: int) -> int | None:
    """Return the first place of `kind` behind `index`."""
    candidates = places.get(kind, [])
    following = bisect_right(candidates, index)
    return candidates[following] if following < len(candidates) else None


def _is_math(text: str, kind: str, start: int, end: int) -> bool:
    """Say whether what stands between two delimiters is math; between single dollars it may be money or prose."""
    if end - start > _MATH_CHARACTERS_MAX:
        return False
    content, before, after = text[start:end], text[max(0, start - 4) : start - 1], text[end + 1 : end + 2]
    if kind != "$" or not content.strip():
        return True
    starts_as_amount = re.match(r"\s?\d", content) is not None
    words = len(re.findall(r"[a-z]{3,}", re.sub(r"\\[A-Za-z]+(?:\{[^{}]*\})?", "", content)))
    if starts_as_amount and (after.isdigit() or (content[-1:].isspace() and words > 0)):
        return False
    if starts_as_amount and re.search(r"(?:\b|^)(?:US|CA|AU|HK|NZ|SG|A|C|S|R)$", before):
        return False
    if re.search(r"\\[A-Za-z]|[\^_{]", content):
        return True
    if content[-1:].isspace() and not content[:1].isspace() and words > 0:
        return False
    # Some write $whole words$ for italics: no space at the edges, and not far apart.
    return words < 3 or (content == content.strip() and len(content) < _ITALICS_CHARACTERS_MAX)


def _settle(text: str) -> str:
    """Turn the marks that are left into spaces or nothing."""
    text = " ".join(part.strip() for part in text.split(SOFT_SPACE))
    if VANISHED in text:
        text = re.sub(rf" ?[(\[][ ,;]*{VANISHED}[ ,;{VANISHED}]*[)\]]", "", text)  # brackets around nothing else
        text = re.sub(rf"([(\[]){VANISHED}[,;] ", r"\1", text)
        text = re.sub(f" ?{VANISHED}+(?=[ ,.;:)]|$)", "", text).replace(VANISHED, WORD_EDGE)
    text = re.sub(rf"(?<=[\w)]){WORD_EDGE}+(?=[^\W_{SCRIPT_CHARACTERS}])", " ", text)
    return re.sub(f"[{WORD_EDGE}{MATH_OPEN}{MATH_CLOSE}{OVER}]", "", text)


def _typography(text: str) -> str:
    """Turn TeX's quotes and dashes into real ones; addresses and command-line options stay as they are."""
    if "``" in text:
        text = text.replace("``", "“").replace("''", "”")
    text = re.sub(r"(?<![\w`])`([^`'\n]{1,80})'(?!\w)", r"‘\1’", text)
    return re.sub(r"https?://\S+|(?<!-)---?(?!-)", _dash, text) if "--" in text else text


def _dash(found: re.Match[str]) -> str:
    if found[0][0] != "-":
        return found[0]
    before, after = found.string[found.start() - 1 : found.start()], found.string[found.end() : found.end() + 1]
    option = (not before or before.isspace() or before in "(`'\"") and not (not after or after.isspace())
    return found[0] if option else "—" if len(found[0]) == 3 else "–"
