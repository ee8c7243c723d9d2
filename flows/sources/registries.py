"""What Crossref and PubMed share: JATS as text, dates that know their year only, titles of what was retracted."""

from __future__ import annotations

import html
import re
from calendar import monthrange
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import TypeGuard

import lxml.etree
import lxml.html

from storage.text import accept, text_of_html

Parts = tuple[int, ...]
"""A date as far as it is known: year, year and month, or year, month and day; () where nothing is."""

_YEAR_FIRST, _YEAR_LAST = 1500, 2200
_CLOSING_TAG = re.compile(r"</[A-Za-z][\w:-]*\s*>")
_SPACE = re.compile(r"[ \t\r\n]+")  # not those that mean something, as within 5 mm
_BLOCKS = frozenset(["p", "title", "div", "br", "li", "tr", "sec", "section", "list", "list-item", "disp-formula"])
_BLOCKS |= {f"h{level}" for level in range(1, 7)}
_DROPPED = frozenset(["script", "style", "template", "noscript", "iframe", "object", "svg"])
_DROPPED |= {"annotation", "annotation-xml"}  # a formula said again, in another language
_FORMULAS = frozenset(["inline-formula", "disp-formula", "math"])
# Some publishers put a whole document around each formula.
_TEX_BEGIN, _TEX_END = re.compile(r"\\begin\s*\{document\}"), re.compile(r"\\end\s*\{document\}")
_NO_HEADING = re.compile(r"abstract|summary|", re.I)
_LONE_HEADING = re.compile(r"\A(?:abstract|summary)[.:]?\n", re.I)
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{1,7}|#x[0-9a-f]{1,6});", re.I)
_ESCAPED_TAG = re.compile(r"<(?P<tag>i|b|em|strong|sub|sup|scp|italic|bold|subtitle)>[^<>]*</(?P=tag)>")
# "RETRACTED ARTICLE: X", "[Retracted] X", "WITHDRAWN - X"; not "Retracted papers in medicine".
_MARK = re.compile(
    r"[\[(]?\s*(?P<word>retracted|withdrawn)(?:\s+(?:article|paper|chapter|manuscript|publication))?"
    r"\s*(?:[\])]\s*[:.]?|:|\s[–—-]\s)\s*(?P<rest>\S.*)",
    re.I | re.DOTALL,
)


def text_of_jats(markup: str) -> str:
    """Return the text of a JATS or HTML fragment: one line a paragraph, a section's heading in front of its text.

    Text without a tag comes back as it is, but for its entities, so that TeX (`$x<y$`) survives.
    """
    text = _text_once(markup)
    text = _text_once(text) if _ESCAPED_TAG.search(text) else text
    return _LONE_HEADING.sub("", text, count=1)


def _text_once(markup: str) -> str:
    # Instructions to typesetters reach the registry, with tags inside.
    seen = accept(_without(_without(markup, "<?", "?>"), "<!--", "-->"))
    text = _text_of_tags(seen) if _CLOSING_TAG.search(seen) else text_of_html(seen)
    # Some publishers escape twice.
    return html.unescape(text) if _ENTITY.search(text) else text


def _without(text: str, opening: str, closing: str) -> str:
    """Return `text` without what stands between two marks; an opening one alone stays."""
    kept, start = [], 0
    while (found := text.find(opening, start)) >= 0 and (end := text.find(closing, found)) >= 0:
        kept.append(text[start:found])
        start = end + len(closing)
    return "".join((*kept, text[start:]))


def _text_of_tags(markup: str) -> str:
    try:
        # Line breaks in a publisher's XML mean nothing; those that stay are ours.
        root = lxml.html.fragment_fromstring(_SPACE.sub(" ", markup), create_parent="div")
    except (lxml.etree.LxmlError, ValueError):
        return text_of_html(markup)
    for element in [one for one in root.iter() if isinstance(one.tag, str) and one is not root]:
        _rewrite(element, element.tag.rpartition(":")[2])
    lines = (" ".join(line.split()) for line in str(root.text_content()).split("\n"))
    return accept("\n".join(line for line in lines if line))


def _rewrite(element: lxml.html.HtmlElement, name: str) -> None:
    """Turn what an element means into text around it, or drop it."""
    if name in _DROPPED:
        element.drop_tree()
    elif name == "alternatives":
        _keep_one(element)
    elif name == "tex-math":
        element.text = _tex(str(element.text_content()))
        del element[:]
    elif name == "title":
        _head(element)
    elif name == "subtitle":
        element.text = f": {element.text or ''}"
    elif name in _FORMULAS:
        for inner in element.iter():
            inner.text = (inner.text or "").strip(" ")
            inner.tail = (inner.tail or "").strip(" ") if inner is not element else inner.tail
    if name in _BLOCKS and name != "title":
        element.tail = f"\n{element.tail or ''}"


def _keep_one(alternatives: lxml.html.HtmlElement) -> None:
    """A formula may come twice, as MathML and as TeX (JATS, `alternatives`): TeX is what we can show."""
    forms = list(alternatives)
    tex = next((form for form in forms if str(form.tag).rpartition(":")[2] == "tex-math"), None)
    for form in forms:
        if tex is not None and form is not tex:
            form.drop_tree()


def _tex(written: str) -> str:
    begin = _TEX_BEGIN.search(written)
    end = _TEX_END.search(written, begin.end()) if begin else None
    tex = written[begin.end() : end.start()] if begin and end else written
    bare = tex.strip().strip("$").strip()
    return f"${bare}$" if bare else ""


def _head(title: lxml.html.HtmlElement) -> None:
    """Put a section's heading in front of its text, and leave out one that only says "Abstract"."""
    heading = " ".join(str(title.text_content()).split()).rstrip(".: ")
    following = title.getnext()
    before_text = following is not None and str(following.tag).rpartition(":")[2] == "p"
    if _NO_HEADING.fullmatch(heading):
        heading, before_text = "", False
    title.text = f"{heading}: " if before_text else heading
    del title[:]
    if not before_text:
        title.tail = f"\n{title.tail or ''}"


def known_parts(year: object, month: object = None, day: object = None) -> Parts:
    """Return a date as far as its parts are valid numbers."""
    if not _is_number(year) or not _YEAR_FIRST <= year <= _YEAR_LAST:
        return ()
    if not _is_number(month) or not 1 <= month <= 12:
        return (year,)
    if not _is_number(day) or not 1 <= day <= monthrange(year, month)[1]:
        return (year, month)
    return (year, month, day)


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def earliest(said: Iterable[Parts], arrived_on: date | None) -> datetime | None:
    """Return the first full day among the dates said.

    Where all are partial, the day on which the registry got the paper, unless that is after what they say: an article
    of an issue dated "September" was to be had when it was registered in June, one of 1998 was not when it was in 2002.
    """
    dates = [parts for parts in said if parts]
    full = [date(*parts) for parts in dates if len(parts) == 3]
    if full:
        return _midnight(min(full))
    if arrived_on is None or not dates or arrived_on > max(map(_last_day, dates)):
        return None
    return _midnight(arrived_on)


def _last_day(parts: Parts) -> date:
    year, month = parts[0], parts[1] if len(parts) > 1 else 12
    return date(year, month, monthrange(year, month)[1])


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def marked_title(title: str, *, retracted: bool) -> str:
    """Return the title of a paper with what befell it in front, spelled one way: `RETRACTED: …` or `WITHDRAWN: …`."""
    found = _MARK.match(title)
    if found:
        return f"{found['word'].upper()}: {found['rest']}"
    return f"RETRACTED: {title}" if retracted and title else title


def notice_title(title: str) -> str:
    """Return the title of a notice that retracts another paper; some have that paper's own, marked as retracted."""
    found = _MARK.match(title)
    return f"Retraction notice: {found['rest']}" if found else title


def full_title(title: str, subtitle: str) -> str:
    """Return `title: subtitle`; a subtitle that mostly repeats words of the title is a running head, and left out."""
    known, words = set(re.findall(r"\w+", title.lower())), re.findall(r"\w+", subtitle.lower())
    if not title or not words or sum(word in known for word in words) * 2 >= len(words):
        return title
    return f"{title.rstrip(': ')}: {subtitle}"


def journal_reference(
    journal: str | None, *, volume: str | None, issue: str | None, pages: str | None, year: int | None
) -> str | None:
    """Return `Journal 12(3), 45-67 (2026)` as far as it is known; None without a journal."""
    if not journal:
        return None
    number = f"{volume or ''}{f'({issue})' if issue else ''}"
    place = ", ".join(filter(None, (number, pages)))
    return " ".join(filter(None, (journal, place, f"({year})" if year else "")))
