"""Where every published file lives under site/, and the ids readers keep. Changing a rule here is a migration."""

from __future__ import annotations

import hashlib
import re
from datetime import date

FEED_FORMATS = {"atom": "application/atom+xml", "rss": "application/rss+xml", "json": "application/feed+json"}
HEALTH = "health"  # the name of the feeds of what is missing; no topic has it
HEALTH_PATH = f"{HEALTH}.html"
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


def topic_path(slug: str) -> str:
    """Return `topics/<slug>.html`."""
    return f"topics/{slug}.html"


def day_path(day: date) -> str:
    """Return `days/<YYYY-MM-DD>.html`."""
    return f"days/{day.isoformat()}.html"


def feed_path(slug: str, extension: str) -> str:
    """Return `feeds/<slug>.<extension>`; extension is one of FEED_FORMATS."""
    return f"feeds/{slug}.{extension}"


def revisions_path(slug: str) -> str:
    """Return `feeds/<slug>/revisions.atom`."""
    return f"feeds/{slug}/revisions.atom"


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
