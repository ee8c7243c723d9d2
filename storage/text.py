"""Where untrusted text becomes text: characters that may stay, whitespace, links, limits.

The archive keeps what a source wrote, TeX and all: only characters that no XML, mail or terminal may carry are
dropped. What readers see (TeX as Unicode, NFC, isolated bidi) is made at the edge, in publishers/readable.py.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

import lxml.etree
import lxml.html

from storage.errors import EntryError
from storage.model import Entry, Submission
from storage.settings import Limits

# C0 but for tab and newline, DEL, C1, surrogates, and the non-characters of every plane (Unicode 16, 23.7).
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane * 0x10000 + 0xFFFE) + chr(plane * 0x10000 + 0xFFFF) for plane in range(17))
    + "]"
)
_HTML_TAG = re.compile(
    r"</?(?:p|br|div|span|a|i|b|em|strong|sub|sup|ul|ol|li|img|h[1-6]|table|tr|td|section|figure|blockquote|code|pre"
    r"|jats:[a-z-]+)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
# A host with an optional port: a name in any script, IPv4, or IPv6 in brackets; no user, no password.
_HOST = re.compile(r"(?:[^\s\"'<>`{}|\\^\[\]@:/?#]+|\[[0-9A-Fa-f:.]+\])(?::\d*)?")
_BLOCK_TAGS = frozenset(
    ["p", "title", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "section", "blockquote"]
)
_DROPPED_TAGS = ("script", "style", "template", "noscript", "iframe", "object", "svg")
# What needs no closer look: a named host without a port, and nothing that would have to be escaped.
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?:/[A-Za-z0-9._~:/?#@!$&()*+,;=%-]*)?")
URL_CHARACTERS_MAX = 2_000
AUTHORS_MAX = 10_000  # the largest collaborations sign with some 5,000 names
VERSIONS_MAX = 1_000  # and so the highest number one may have; the most on arXiv are some 200
COUNT_MAX = (1 << 31) - 1
SUBMITTED_FROM, SUBMITTED_UNTIL = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def accept(text: str) -> str:
    """Return `text` without the characters nothing may carry, line ends as \\n, outer whitespace gone."""
    if text.isprintable():  # it has no control character, and no whitespace but spaces
        return text.strip()
    return _FORBIDDEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def fold(text: str) -> str:
    """Return `text` on one line, each run of whitespace one space."""
    if text.isprintable() and "  " not in text:
        return text.strip()
    return " ".join(accept(text).split())


def enumerated(words: Sequence[str]) -> str:
    """Return `a, b and c`; '' where there are none."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def safe_url(url: str | None) -> str | None:
    """Return an http(s) URL that is safe in an href, or None. What RFC 3986 does not allow in a path is escaped."""
    if not url:
        return None
    url = accept(url)
    if _PLAIN_URL.fullmatch(url) and len(url) <= URL_CHARACTERS_MAX:
        return url
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is none
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.netloc) or len(url) > URL_CHARACTERS_MAX:
        return None
    rest = url[url.index("//") + 2 + len(parts.netloc) :]
    return f"{parts.scheme}://{parts.netloc}" + re.sub(r"[\s\"'<>`{}|\\^\[\]]", _escaped, rest)


def _escaped(character: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in character[0].encode())


def looks_like_html(text: str) -> bool:
    """Say whether `text` carries real tags; `x<y` in TeX is none."""
    return _HTML_TAG.search(text) is not None


def text_of_html(markup: str) -> str:
    """Return the text a reader of `markup` (HTML or JATS) would see, paragraphs as lines.

    Text without a known tag comes back as it is, but for its entities, so that TeX survives.
    """
    if not looks_like_html(markup):
        return accept(html.unescape(markup))
    try:
        root = lxml.html.fragment_fromstring(accept(markup), create_parent="div")
    except (lxml.etree.LxmlError, ValueError):
        return accept(html.unescape(re.sub(r"<[^>]*>", " ", markup)))
    for tag in _DROPPED_TAGS:
        for element in root.findall(f".//{tag}"):
            element.drop_tree()
    for element in root.iter():
        if isinstance(element.tag, str) and element.tag.removeprefix("jats:") in _BLOCK_TAGS:
            element.tail = "\n" + (element.tail or "")
    lines = (" ".join(line.split()) for line in str(root.text_content()).split("\n"))
    return accept("\n".join(line for line in lines if line))


def clean(entry: Entry, limits: Limits) -> Entry:
    """Return `entry` with trusted text. Raises EntryError where it has no title or breaks a limit."""
    title, abstract = fold(entry.title), accept(entry.abstract)
    if not title:
        raise EntryError(entry.source, entry.entry_id, "it has no title")
    _within(entry, "title", title, limits.title_bytes_max)
    _within(entry, "abstract", abstract, limits.abstract_bytes_max)
    if len(entry.authors) > AUTHORS_MAX:
        raise EntryError(entry.source, entry.entry_id, f"{len(entry.authors)} authors, more than {AUTHORS_MAX}")
    return replace(
        entry,
        entry_id=fold(entry.entry_id)[:URL_CHARACTERS_MAX],
        title=title,
        abstract=abstract,
        authors=tuple(name for name in map(fold, entry.authors) if name),
        categories=tuple(dict.fromkeys(c for c in map(fold, entry.categories) if c)),
        url=safe_url(entry.url),
        pdf_url=safe_url(entry.pdf_url),
        code_url=safe_url(entry.code_url),
        project_url=safe_url(entry.project_url),
        license_url=safe_url(entry.license_url),
        journal_ref=_folded(entry.journal_ref),
        arxiv_id=_folded(entry.arxiv_id),
        doi=_folded(entry.doi),
        openreview_id=_folded(entry.openreview_id),
        pmid=_folded(entry.pmid),
        citations=_counted(entry.citations),
        versions=_submissions(entry.versions),
    )


def _counted(count: int | None) -> int | None:
    return count if count is not None and 0 <= count <= COUNT_MAX else None


def _submissions(said: Sequence[Submission]) -> tuple[Submission, ...]:
    """The versions in their order, each once; what has no number a version may have, or no day, is none."""
    found: dict[int, Submission] = {}
    for one in said:
        if 1 <= one.version <= VERSIONS_MAX and SUBMITTED_FROM <= one.submitted_at < SUBMITTED_UNTIL:
            found.setdefault(one.version, replace(one, size_bytes=_counted(one.size_bytes)))
    return tuple(found[number] for number in sorted(found))


def _folded(value: str | None) -> str | None:
    return fold(value) or None if value else None


def _within(entry: Entry, name: str, value: str, bytes_max: int) -> None:
    size = len(value.encode())
    if size > bytes_max:
        raise EntryError(entry.source, entry.entry_id, f"its {name} has {size:,} bytes, more than {bytes_max:,}")
