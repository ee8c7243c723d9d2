"""A paper, or one event of its life, as an entry of a feed: title, abstract, a footer with everything else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from html import escape
from urllib.parse import quote, urlsplit

from publishers.feed_model import Category, FeedEntry, FeedSite, Link
from publishers.names import ARXIV_SCHEME, category_name, is_arxiv_category, license_name
from publishers.paths import paper_path, tag_id, topic_path
from publishers.readable import paragraphs, readable, summary
from storage.errors import EntryError
from storage.model import Announcement, Paper, Revision, Tag, TaggedPaper
from storage.text import enumerated, fold, safe_url

SUMMARY_CHARACTERS_MAX = 300
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*\.?")
_URI_SAFE = "/:@!$&'()*+,;=?~%-._"  # RFC 3986, section 3.3, and % because it may already be escaped
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TOLD = (Announcement.WITHDRAWN, Announcement.REVISED, Announcement.PUBLISHED, Announcement.CODE_APPEARED)
_TEXT_CHANGES = ("title", "abstract", "authors")


@lru_cache(maxsize=4_096)  # a paper stands in four topics on average, and its entry is the same in each
def paper_entry(site: FeedSite, tagged: TaggedPaper) -> FeedEntry:
    """Return the one entry of a paper: its id never changes, `updated` moves when readers were told of a change.

    Raises EntryError where the paper was never announced or cannot be shown.
    """
    paper = tagged.paper
    if paper.announced_at is None:
        raise EntryError("feed", paper.paper_id, "it was never announced as new")
    return _entry(
        site,
        paper,
        tagged.tags,
        entry_id=tag_id(site.authority, paper.paper_id),
        prefix="Withdrawn: " if paper.withdrawn else "",
        news="Withdrawn by its authors." if paper.withdrawn else "",
        links=tuple(_links(site, paper)),
        published=paper.announced_at,
        updated=max(paper.announced_at, paper.revised_at or paper.announced_at),
    )


def revision_entries(site: FeedSite, revision: Revision) -> tuple[FeedEntry, ...]:
    """Return one entry for each thing a revision announces; a withdrawal is told instead of its version.

    Raises EntryError where the paper cannot be shown.
    """
    paper = revision.paper
    return tuple(
        _entry(
            site,
            paper,
            (),
            entry_id=tag_id(site.authority, paper.paper_id, _suffix(revision, announcement)),
            prefix=_prefix(revision, announcement),
            news=what_happened(revision, announcement),
            links=(*_links(site, paper), *_trending_link(paper)),
            published=revision.at,
            updated=revision.at,
        )
        for announcement in _announced(revision)
    )


def told_suffixes(revision: Revision) -> tuple[str, ...]:
    """Return what ends the id of each entry of a revision: `revised/v2`, `published/r2`."""
    return tuple(_suffix(revision, announcement) for announcement in _announced(revision))


def _announced(revision: Revision) -> tuple[Announcement, ...]:
    """What a revision has an entry for each of."""
    told = [a for a in _TOLD if a in revision.announcements]
    if Announcement.WITHDRAWN in told:
        told = [a for a in told if a is not Announcement.REVISED]
    return tuple(told)


def what_happened(revision: Revision, announcement: Announcement) -> str:
    """Say in one sentence what a revision changed, such as `Version 2: title and abstract changed.`"""
    paper = revision.paper
    match announcement:
        case Announcement.WITHDRAWN:
            where = f" in version {paper.version}" if "version" in revision.changes else ""
            return f"Withdrawn by its authors{where}."
        case Announcement.PUBLISHED:
            where = f" in {readable(paper.journal_ref)}" if paper.journal_ref else ""
            return f"Published{where}{f' as doi:{fold(paper.doi)}' if paper.doi else ''}."
        case Announcement.CODE_APPEARED:
            return f"Code appeared at {urlsplit(paper.code_url).hostname}." if paper.code_url else "Code appeared."
        case _:
            changed = [name for name in _TEXT_CHANGES if name in revision.changes]
            what = f"{enumerated(changed)} changed" if changed else "title, abstract and authors are the same"
            return (
                f"{_version(revision)}: {what}."
                if changed or "version" in revision.changes
                else f"{_version(revision)}."
            )


def _entry(
    site: FeedSite,
    paper: Paper,
    tags: Sequence[Tag],
    *,
    entry_id: str,
    prefix: str,
    news: str,
    links: tuple[Link, ...],
    published: datetime,
    updated: datetime,
) -> FeedEntry:
    title = readable(paper.title)
    categories = tuple(_categories(paper))
    scheme = f"{site.base_url}topics/"
    topics = tuple(Category(term=t.slug, label=readable(t.title) or t.slug, scheme=scheme) for t in tags)
    authors = tuple(name for name in map(readable, paper.authors) if name)
    return FeedEntry(
        id=entry_id,
        title=f"{prefix}{title}" if title else "",
        url=links[0].href,
        summary=" ".join(filter(None, (news, summary(paper.abstract, SUMMARY_CHARACTERS_MAX)))),
        content_html=_content(site, paper, news, authors, categories, topics, links),
        authors=authors,
        categories=categories,
        topics=topics,
        links=links,
        published=published,
        updated=updated,
        paper_id=paper.paper_id,
        arxiv_id=paper.arxiv_id,
        doi=fold(paper.doi) if paper.doi else None,
        version=paper.version,
        reasons=tuple((tag.slug, readable(tag.reason)) for tag in tags),
    )


# Ids and words of revisions.


def _suffix(revision: Revision, announcement: Announcement) -> str:
    """Return what tells this entry from the paper's others: `revised/v2`, `published/r2`."""
    paper = revision.paper
    counts = announcement is Announcement.REVISED and _has_new_version(revision)
    by_version = counts or (announcement is Announcement.WITHDRAWN and paper.version is not None)
    return f"{announcement.value}/{f'v{paper.version}' if by_version else f'r{paper.revision}'}"


def _has_new_version(revision: Revision) -> bool:
    """Say whether the provider counted a version; texts also change without one."""
    own_words = set(_TEXT_CHANGES) & set(revision.changes)
    return revision.paper.version is not None and ("version" in revision.changes or not own_words)


def _version(revision: Revision) -> str:
    return f"Version {revision.paper.version}" if _has_new_version(revision) else "Revised"


def _prefix(revision: Revision, announcement: Announcement) -> str:
    words = {
        Announcement.WITHDRAWN: "Withdrawn",
        Announcement.PUBLISHED: "Published",
        Announcement.CODE_APPEARED: "Code",
    }
    return f"{words.get(announcement) or _version(revision)}: "


# Categories and links.


def _categories(paper: Paper) -> Iterator[Category]:
    for code in dict.fromkeys(map(readable, paper.categories)):
        if is_arxiv_category(code):
            yield Category(term=code, label=category_name(code), scheme=ARXIV_SCHEME)
        elif code:
            yield Category(term=code, label=code)


def _links(site: FeedSite, paper: Paper) -> Iterator[Link]:
    """Return the links of a paper, its landing page first; only those that are safe in an href."""
    ours = Link(rel="related", href=site.base_url + paper_path(paper.paper_id), type="text/html", title=site.title)
    landing = _href(paper.url)
    yield Link(rel="alternate", href=landing or ours.href, type="text/html", title=_landing_title(landing or ours.href))
    arxiv = f"https://arxiv.org/abs/{paper.arxiv_id}" if paper.arxiv_id else None
    if arxiv and landing != arxiv:
        yield Link(rel="related", href=arxiv, type="text/html", title="arXiv")
    if pdf := _href(paper.pdf_url):
        yield Link(rel="enclosure", href=pdf, type="application/pdf", title="PDF")
    if landing:
        yield ours
    if code := _href(paper.code_url):
        yield Link(rel="related", href=code, type="text/html", title="Code")
    if project := _href(paper.project_url):
        yield Link(rel="related", href=project, type="text/html", title="Project page")
    if license_url := _href(paper.license_url):
        yield Link(rel="license", href=license_url, title=license_name(license_url))


def _href(url: str | None) -> str | None:
    """Return `url` as an RFC 3986 URI, which is what the formats ask for; None where it is not one."""
    safe = safe_url(url)
    if not safe:
        return None
    try:
        parts = urlsplit(safe)
        host = (parts.hostname or "").encode("idna").decode("ascii")
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:  # UnicodeError is one
        return None
    if not _HOST.fullmatch(host):
        return None
    path, query, fragment = (quote(part, safe=_URI_SAFE) for part in (parts.path, parts.query, parts.fragment))
    rest = f"{path}{f'?{query}' if query else ''}{f'#{fragment}' if fragment else ''}"
    return f"{parts.scheme}://{host}{port}{_STRAY_PERCENT.sub('%25', rest)}"


def _trending_link(paper: Paper) -> Iterator[Link]:
    if paper.arxiv_id and paper.trending_on:
        href = f"https://huggingface.co/papers/{paper.arxiv_id}"
        yield Link(rel="related", href=href, type="text/html", title="Hugging Face")


def _landing_title(url: str) -> str:
    host = (urlsplit(url).hostname or "").removeprefix("www.")
    return "arXiv" if host == "arxiv.org" else host


# Content.


def _content(
    site: FeedSite,
    paper: Paper,
    news: str,
    authors: Sequence[str],
    categories: Sequence[Category],
    topics: Sequence[Category],
    links: Sequence[Link],
) -> str:
    """Return the entry as HTML: the news, the abstract, and a footer, because readers show little but the content."""
    body = [f"<p><strong>{escape(news)}</strong></p>"] if news else []
    body += [f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs(paper.abstract)]
    about = [
        ("Authors", escape(", ".join(authors))),
        ("Categories", escape(", ".join(dict.fromkeys(c.label for c in categories)))),
        ("Topics", ", ".join(_anchor(site.base_url + topic_path(t.term), t.label) for t in topics)),
        ("Journal", escape(readable(paper.journal_ref or ""))),
    ]
    lines = "<br/>\n".join(f"{name}: {value}" for name, value in about if value)
    anchors = [_anchor(link.href, link.title) for link in links]
    if paper.doi:
        doi = fold(paper.doi)
        anchors.append(_anchor(f"https://doi.org/{quote(doi, safe='/:;().,_-')}", f"doi:{doi}"))
    footer = ["<hr/>", f"<p>{lines}</p>" if lines else "", f"<p>{' · '.join(anchors)}</p>"]
    return "\n".join(filter(None, body + footer))


def _anchor(href: str, label: str) -> str:
    return f'<a href="{escape(href)}">{escape(label)}</a>'
