"""Digests: an edition rendered for mail, as text and as HTML. Pure: the same edition gives the same bytes."""

from __future__ import annotations

import re
import textwrap
from binascii import b2a_qp
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import css_inline
import jinja2

from publishers.names import category_name, is_arxiv_category
from publishers.page_models import Link, counted, long_day, short_authors, short_categories
from publishers.paths import feed_path, paper_path, topic_path
from publishers.readable import readable, summary
from storage.ledger import Edition
from storage.model import Announcement, Paper, Revision, TaggedPaper
from storage.settings import Site, Topic
from storage.text import safe_url

HTML_BYTES_MAX = 80_000  # Gmail cuts a message off at 102 kB, quoted-printable and all
TEXT_COLUMNS = 72
_SUMMARY_CHARACTERS = (320, 200, 120)  # of each abstract, as far as there is room
_TITLE_CHARACTERS_MAX = 300
_REASON_CHARACTERS_MAX = 120
_PREHEADER_CHARACTERS_MAX = 150  # more than any inbox list shows
_PREHEADER_TITLE_CHARACTERS = 70
_TOLD = (Announcement.REVISED, Announcement.PUBLISHED, Announcement.WITHDRAWN, Announcement.CODE_APPEARED)
_FIELD = re.compile(r"\b([a-z]+):(?=[^\s/])")
_DOTTED_CODE = re.compile(r"(?<![\w.-])[a-z-]+\.[A-Za-z-]+(?![\w-])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """A rendered edition. `papers` and `more` say what is in it where not everything fitted."""

    subject: str  # text, not yet a header
    preheader: str  # what an inbox shows beside the subject; the first words of the body
    text: str  # lines end in \n
    html: str  # at most HTML_BYTES_MAX bytes when sent as quoted-printable
    papers: tuple[str, ...]  # the paper ids it tells of
    more: int  # the papers it only links to


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paper:
    title: str
    href: str
    authors: str
    subjects: str
    summary: str
    reason: str
    votes: str
    withdrawn: bool
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Update:
    title: str
    href: str
    what: str
    withdrawn: bool


def render(
    edition: Edition,
    papers: Sequence[TaggedPaper],
    revisions: Sequence[Revision],
    *,
    site: Site,
    topic: Topic,
    more: int,
) -> Digest:
    """Return the digest of `papers`, in this order, `more` others being linked.

    Where the HTML would grow beyond HTML_BYTES_MAX, abstracts are shortened first; then the last papers go, and count
    as `more`. Rendering what was left gives the same digest again.
    """

    def attempt(count: int, characters: int) -> Digest:
        left_out = more + len(papers) - count
        return _digest(edition, papers[:count], revisions, site, topic, left_out, characters)

    def best(count: int) -> Digest | None:
        return next(filter(_fits, (attempt(count, characters) for characters in _SUMMARY_CHARACTERS)), None)

    whole = best(len(papers))
    if whole:
        return whole
    shortest = _SUMMARY_CHARACTERS[-1]
    count = bisect_right(range(1, len(papers)), False, key=lambda n: not _fits(attempt(n, shortest))) or 1
    return best(count) or attempt(count, shortest)


def _fits(digest: Digest) -> bool:
    # As it is sent: the encoding adds to every `=`, every letter beyond ASCII and every 76 characters.
    return len(b2a_qp(digest.html.replace("\n", "\r\n").encode())) <= HTML_BYTES_MAX


def _digest(
    edition: Edition,
    papers: Sequence[TaggedPaper],
    revisions: Sequence[Revision],
    site: Site,
    topic: Topic,
    more: int,
    characters: int,
) -> Digest:
    title = readable(topic.title)
    values = {
        "site": readable(site.title),
        "topic": title,
        "day": long_day(edition.day),
        "count": _count(papers, revisions, more),
        "preheader": _preheader(papers, revisions, more),
        "papers": [_paper(t, site, topic, characters) for t in papers],
        "updates": [_update(r, site) for r in revisions],
        "more": f"{more:,}" if more else "",
        "topic_url": site.base_url + topic_path(topic.slug),
        "feed_url": site.base_url + feed_path(topic.slug, "atom"),
    }
    return Digest(
        subject=f"{title}: {_told(papers, revisions, more)} · {_short_day(edition)}",
        preheader=str(values["preheader"]),
        text=_text(_TEXT.render(values)),
        html=_INLINER.inline(_HTML.render(values)),
        papers=tuple(t.paper.paper_id for t in papers),
        more=more,
    )


def _told(papers: Sequence[TaggedPaper], revisions: Sequence[Revision], more: int) -> str:
    new = len(papers) + more
    return counted(new, "new paper") if new else counted(len(revisions), "update")


def _count(papers: Sequence[TaggedPaper], revisions: Sequence[Revision], more: int) -> str:
    """Say what is inside: `12 new papers, 3 trending, 2 updates`."""
    trending = sum(_is_trending(t.paper) for t in papers)
    parts = [_told(papers, revisions, more)]
    if trending:
        parts.append(f"{trending} trending")
    if revisions and papers:
        parts.append(counted(len(revisions), "update"))
    return ", ".join(parts)


def _preheader(papers: Sequence[TaggedPaper], revisions: Sequence[Revision], more: int) -> str:
    """Name as many titles as an inbox shows, and how many follow."""
    told = [t.paper for t in papers] or [r.paper for r in revisions]
    titles = [_short(readable(paper.title), _PREHEADER_TITLE_CHARACTERS) for paper in told]
    named = titles[:1]
    for title in titles[1:]:
        if len(" · ".join([*named, title])) > _PREHEADER_CHARACTERS_MAX:
            break
        named.append(title)
    left = len(titles) + more - len(named)
    return " · ".join(named) + (f" · and {left:,} more" if left else "")


def _paper(tagged: TaggedPaper, site: Site, topic: Topic, characters: int) -> _Paper:
    paper = tagged.paper
    page = site.base_url + paper_path(paper.paper_id)
    reason = next((tag.reason for tag in tagged.tags if tag.slug == topic.slug), "")
    return _Paper(
        title=_short(readable(paper.title), _TITLE_CHARACTERS_MAX),
        href=safe_url(paper.url) or page,
        authors=_short(short_authors(paper.authors), _TITLE_CHARACTERS_MAX),
        subjects=short_categories(paper.categories),
        summary=_kept_together(summary(paper.abstract, characters)),
        reason=_short(_said(readable(reason)), _REASON_CHARACTERS_MAX),
        votes=counted(paper.upvotes or 0, "vote") if _is_trending(paper) and paper.upvotes else "",
        withdrawn=paper.withdrawn,
        links=tuple(_links(paper, page)),
    )


def _links(paper: Paper, page: str) -> Iterator[Link]:
    for text, url in (("PDF", paper.pdf_url), ("Code", paper.code_url), ("Project", paper.project_url)):
        href = safe_url(url)
        if href:
            yield Link(text=text, href=href)
    yield Link(text="Details", href=page)


def _update(revision: Revision, site: Site) -> _Update:
    return _Update(
        title=_short(readable(revision.paper.title), _TITLE_CHARACTERS_MAX),
        href=site.base_url + paper_path(revision.paper.paper_id),
        what=what_happened(revision),
        withdrawn=Announcement.WITHDRAWN in revision.announcements,
    )


def what_happened(revision: Revision) -> str:
    """Say what a revision is: `Version 2: title changed; Published in Nature`."""
    return "; ".join(_what(kind, revision) for kind in revision.announcements if kind in _TOLD)


def _what(kind: Announcement, revision: Revision) -> str:
    paper = revision.paper
    match kind:
        case Announcement.REVISED:
            named = [name for name in revision.changes if name in ("title", "abstract", "authors")]
            version = f"Version {paper.version}" if paper.version else "Text amended"
            return f"{version}: {' and '.join(named)} changed" if named else version
        case Announcement.PUBLISHED:
            place = readable(paper.journal_ref or "")
            return _short(f"Published in {place}", _TITLE_CHARACTERS_MAX) if place else "Published"
        case Announcement.CODE_APPEARED:
            return "Code appeared"
        case _:
            return kind.value.replace("-", " ").capitalize()


def _said(reason: str) -> str:
    """Put names for dotted arXiv codes, as mail filters look `cs.CV` up as a domain, and air after a field's colon."""
    named = _DOTTED_CODE.sub(lambda m: category_name(m[0]) if is_arxiv_category(m[0]) else m[0], reason)
    return _FIELD.sub(r"\1: ", named.replace(":yes", ""))


def _kept_together(text: str) -> str:
    """Keep the dots that end a shortened text from standing alone on a line."""
    return f"{text[:-2]}\u00a0…" if text.endswith(" …") else text


def _is_trending(paper: Paper) -> bool:
    return paper.trending_on is not None


def _short(text: str, characters_max: int) -> str:
    if len(text) <= characters_max:
        return text
    return text[: characters_max - 1].rsplit(" ", 1)[0].rstrip(" ,;:.·–—-") + "…"


def _short_day(edition: Edition) -> str:
    weekday, rest = long_day(edition.day).split(", ")
    number, month, _ = rest.split()
    return f"{weekday[:3]} {number} {month[:3]}"


def _wrap(text: str, indent: int = 0) -> str:
    """Fill `text` to TEXT_COLUMNS, every line but the first indented; words and addresses stay whole."""
    return textwrap.fill(
        text,
        width=TEXT_COLUMNS - indent,
        break_long_words=False,
        break_on_hyphens=False,
    ).replace("\n", "\n" + " " * indent)


def _text(rendered: str) -> str:
    """Return the text part with no blank at a line's end (but for the signature mark) and no two empty lines."""
    lines = (line if line == "-- " else line.rstrip() for line in rendered.strip().split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates", encoding="utf-8"),
    autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",)),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.filters["wrap"] = _wrap
_HTML = _TEMPLATES.get_template("digest.html.j2")
_TEXT = _TEMPLATES.get_template("digest.txt.j2")
_INLINER = css_inline.CSSInliner(keep_style_tags=False, load_remote_stylesheets=False, minify_css=True)
