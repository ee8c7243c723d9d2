"""Where every published file lives under site/, and the ids readers keep. Changing a rule here is a migration."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from functools import lru_cache
from urllib.parse import quote

from storage.query import normal_text

FEED_FORMATS = {"atom": "application/atom+xml", "rss": "application/rss+xml", "json": "application/feed+json"}
HEALTH = "health"  # the name of the feeds of what is missing; no topic has it
HEALTH_PATH = f"{HEALTH}.html"
OPML_PATH = "feeds.opml"
TOPICS_PATH, CATEGORIES_PATH, SOURCES_PATH = "topics.html", "categories.html", "sources.html"
ARCHIVE_PATH = "archive.html"
AUTHOR_CHARACTERS_MAX = 120  # of a name that has a page
_ARXIV = re.compile(r"arxiv:(?:[a-z-]+/)?[0-9.]+")


def page_name(paper_id: str) -> str:
    """Return the file name of a paper's page, without .html: safe on every file system, one for each paper_id."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", paper_id)[:80]
    if _ARXIV.fullmatch(paper_id):
        return name
    return f"{name}-{hashlib.blake2b(paper_id.encode(), digest_size=4).hexdigest()}"


def paper_path(paper_id: str) -> str:
    """Return `papers/<name>.html`."""
    return f"papers/{page_name(paper_id)}.html"


def paper_file(paper_id: str, extension: str) -> str:
    """Return `papers/<name>.<extension>`: beside the page lie its `bib` and `ris`, and `atom`, the feed of its life."""
    return f"papers/{page_name(paper_id)}.{extension}"


def topic_path(slug: str) -> str:
    """Return `topics/<slug>.html`."""
    return f"topics/{slug}.html"


def category_path(code: str) -> str:
    """Return `categories/<code>.html`."""
    return f"categories/{file_name(code)}.html"


def source_path(name: str) -> str:
    """Return `sources/<name>.html`."""
    return f"sources/{file_name(name)}.html"


def file_name(text: str) -> str:
    """Return `text` as the name of a file, safe everywhere and its own; `:` is `~`, what else is unsafe adds a hash."""
    spelled = text.replace(":", "~")
    name = re.sub(r"[^A-Za-z0-9._~+-]+", "-", spelled)[:80].strip(".-")
    if name == spelled and "~" not in text:
        return name
    return f"{name or 'x'}-{hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=4).hexdigest()}"


def search_href(query: str, extension: str = "") -> str:
    """Return `search?q=…`, the page of a query on a live site; with an extension, its feed or its line of OPML."""
    return f"search{f'.{extension}' if extension else ''}?q={quote(query, safe='')}"


@lru_cache(maxsize=8_192)
def author_href(name: str) -> str | None:
    """Return `authors/<words of the name>`, an author's page on a live site, ready for an attribute.

    The words are those that `author:` compares: all spellings of a name lead to one page. None where it has no letter,
    or is too long to be one.
    """
    words = "-".join(normal_text(name).split())
    return f"authors/{quote(words, safe='')}" if 0 < len(words) <= AUTHOR_CHARACTERS_MAX else None


def day_path(day: date) -> str:
    """Return `days/<YYYY-MM-DD>.html`."""
    return f"days/{day.isoformat()}.html"


def week_path(day: date) -> str:
    """Return `weeks/<YYYY>-W<WW>.html`: the ISO week that `day` is in, which may count to another year than `day`."""
    year, week, _ = day.isocalendar()
    return f"weeks/{year:04}-W{week:02}.html"


def month_path(day: date) -> str:
    """Return `months/<YYYY-MM>.html`: the month that `day` is in."""
    return f"months/{day.year:04}-{day.month:02}.html"


def feed_path(slug: str, extension: str) -> str:
    """Return `feeds/<slug>.<extension>`; extension is one of FEED_FORMATS."""
    return f"feeds/{slug}.{extension}"


def revisions_path(slug: str, extension: str = "atom") -> str:
    """Return `feeds/<slug>/revisions.<extension>`."""
    return f"feeds/{slug}/revisions.{extension}"


def coverage_anchor(source: str, day: date) -> str:
    """Return the id of a batch within health.html, such as `2026-06-02_arxiv-rss:cs.CL`, its own in any case."""
    return f"{day.isoformat()}_{_escaped(source, '_', r'[^A-Za-z0-9.:~-]')}"


def coverage_id(authority: str, source: str, day: date) -> str:
    """Return the id of a batch in the feed of coverage, for ever (RFC 4151)."""
    return f"tag:{authority},2026:coverage/{_escaped(source, '%', r'[^A-Za-z0-9._~:+-]')}/{day.isoformat()}"


def tag_id(authority: str, paper_id: str, suffix: str = "") -> str:
    """Return the id of a paper in every feed, for ever (RFC 4151). `suffix` names a revision of it."""
    namespace, _, value = paper_id.partition(":")
    safe = re.sub(r"[^A-Za-z0-9._~/()-]", lambda m: "".join(f"%{b:02X}" for b in m[0].encode()), value)
    return f"tag:{authority},2026:paper/{namespace}/{safe}{f'/{suffix}' if suffix else ''}"


def _escaped(text: str, sign: str, unsafe: str) -> str:
    """Return `text` with each character that `unsafe` matches as `sign` and two hexadecimal digits a byte."""
    return re.sub(unsafe, lambda m: "".join(f"{sign}{b:02X}" for b in m[0].encode("utf-8", "surrogatepass")), text)
