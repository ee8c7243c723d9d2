"""Text as readers see it: TeX as Unicode, one normal form, nothing invisible that moves other text.

The archive keeps what sources wrote; feeds, pages and mail show this. No function here raises, whatever it is given.
"""

from __future__ import annotations

import functools
import re
import unicodedata

from publishers.tex import Stand, text_of_tex
from storage.text import accept

# Bidirectional controls (UAX #9) reorder what follows them and titles stand beside other text; the rest is invisible:
# zero-width space and joiner, soft hyphen, byte order mark, interlinear notes, tag characters.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_SENTENCE_END = re.compile(r"(\S+)[.!?…][)\]”’\"']*(?=\s[^a-z])")
_SHORT = re.compile(r"[(\[“\"]*(?:\w|e\.g|i\.e|al|cf|vs|resp|Fig|Figs|Sec|Eq|Eqs|Ref|Phys|Rev|Lett|Dr|St|No)", re.ASCII)


@functools.lru_cache(maxsize=8_192)
def readable(text: str) -> str:
    """Return `text` on one line: TeX as Unicode, NFC, no control or invisible characters, single spaces."""
    return readable_around(text, lambda _: None)


def readable_around(text: str, stand: Stand) -> str:
    """Return `text` as `readable` does, with a character that `stand` gives in the place of a formula."""
    bare = _INVISIBLE.sub("", accept(text))
    return unicodedata.normalize("NFC", " ".join(text_of_tex(bare, stand).split()))


def plain(text: str) -> str:
    """Return `text` on one line without control or invisible characters; TeX stays as it is, for names and errors."""
    return " ".join(_INVISIBLE.sub("", accept(text)).split())


@functools.lru_cache(maxsize=8_192)
def paragraphs(text: str) -> tuple[str, ...]:
    """Return the paragraphs of `text`, each readable; a blank line parts two, a single line end is a space."""
    return tuple(p for p in map(readable, paragraphs_as_written(text)) if p)


def paragraphs_as_written(text: str) -> list[str]:
    """Return the paragraphs of `text` with their TeX; some may hold nothing that can be shown."""
    return _BLANK_LINE.split(accept(text))


@functools.lru_cache(maxsize=8_192)
def summary(text: str, characters_max: int) -> str:
    """Return the beginning of `text` in at most `characters_max` characters, cut after a sentence or a word with …"""
    whole = " ".join(paragraphs(text))
    if len(whole) <= characters_max:
        return whole
    head = whole[: max(0, characters_max - 1)]  # room for the ellipsis
    ends = [found.end() for found in _SENTENCE_END.finditer(head) if not _SHORT.fullmatch(found[1])]
    if ends and ends[-1] >= characters_max // 2:
        return f"{head[: ends[-1]]} …"
    word = head if whole[len(head)].isspace() else head.rpartition(" ")[0] or _whole_characters(head)
    return f"{word.rstrip(' ,;:–—-(')}…"[:characters_max]


def _whole_characters(head: str) -> str:
    """Drop the last character with its combining marks: some of them may have been cut off."""
    while head and unicodedata.combining(head[-1]):
        head = head[:-1]
    return head[:-1]
