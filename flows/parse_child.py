"""The child process that parses feeds: frames with a body come in, frames with entries as JSON go out.

It runs as a script of its own (see parsing.py) and imports nothing of Paperwire. feedparser raises on several known
inputs and is quadratic on others, so a failure or a limit costs this process at most, never the pass.

A frame is a length (4 bytes, big-endian) and that many bytes. A request is two frames: {"content_type", "entries_max"}
and the body. The answer is one: {"feed": {...}} or {"refused": reason}.
"""

from __future__ import annotations

import calendar
import html
import io
import json
import math
import os
import re
import resource
import sys
import xml.sax
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, BinaryIO

import feedparser
import orjson

LENGTH_BYTES = 4
_SNIFFED_BYTES = 65_536
_STRAY_BYTES_MAX = 1_000_000  # what this process may write to files, which is none but its log

# What may stand before the first tag of a document; possessive, so that a thousand comments cost a thousand steps.
_ROOT = re.compile(
    rb"(?>\xef\xbb\xbf|\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*+(?:\[.*?\]\s*)?+>)*+<([A-Za-z_][\w.:-]*)",
    re.DOTALL | re.IGNORECASE,
)
_HTML = re.compile(
    rb"(?>\xef\xbb\xbf|\s+|<\?.*?\?>|<!--.*?-->)*+<(?:!DOCTYPE\s+html|html)\b", re.DOTALL | re.IGNORECASE
)
_HTML_TITLE = re.compile(rb"<title[^>]*>([^<]{1,300})", re.IGNORECASE)
_ENTRY_START = re.compile(rb"<(?:[\w.-]+:)?(?:item|entry)[\s/>]", re.IGNORECASE)
_ENTRY_END = re.compile(rb"</((?:[\w.-]+:)?)(?:item|entry)\s*>")
_FEED_ROOTS = (b"rss", b"rdf", b"feed")

# Elements of other namespaces that adapters ask for, under feedparser's names for them.
EXTRA = (
    "arxiv_announce_type",
    "arxiv_doi",
    "arxiv_journal_reference",
    "rights",
    "dc_identifier",
    "dc_source",
    "prism_doi",
    "prism_publicationname",
    "prism_volume",
    "prism_number",
    "prism_startingpage",
    "prism_endingpage",
    "prism_publicationdate",
)


class Refused(Exception):
    """The body is not a feed, or not one that can be used; the message completes "the source failed: "."""


def main() -> None:
    """Answer requests from standard input until it ends."""
    memory_bytes, cpu_seconds = int(sys.argv[1]), int(sys.argv[2])
    inbox, outbox = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints, prints to the log and not into a frame
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_FSIZE, _STRAY_BYTES_MAX)
    _limit(resource.RLIMIT_CORE, 0)
    while (ask := _receive(inbox)) is not None and (body := _receive(inbox)) is not None:
        _allow_cpu(cpu_seconds)
        reply = answer(orjson.loads(ask), body, memory_bytes)
        outbox.write(len(reply).to_bytes(LENGTH_BYTES, "big") + reply)
        outbox.flush()


def answer(ask: dict[str, Any], body: bytes, memory_bytes: int) -> bytes:
    """Return the answer to one request as JSON, whatever the body does to the parser."""
    try:
        return _feed_frame(parse(body, ask["content_type"], ask["entries_max"]))
    except Refused as refused:
        return orjson.dumps({"refused": str(refused)})
    except MemoryError:
        return orjson.dumps({"refused": f"parsing it takes more than {memory_bytes:,} bytes of memory", "last": True})
    except Exception as error:  # noqa: BLE001 feedparser lets through whatever expat, codecs or its own code raise
        return orjson.dumps({"refused": f"the parser fails on it ({type(error).__name__}: {_line(str(error))})"})


def _feed_frame(feed: dict[str, Any]) -> bytes:
    """Return a feed as JSON; only where a text holds lone surrogates, which few do, is each text mended."""
    try:
        return orjson.dumps({"feed": feed})
    except orjson.JSONEncodeError:
        return orjson.dumps({"feed": _mended(feed)})


def _mended(value: Any) -> Any:
    """Return a value without lone surrogates, which neither JSON nor UTF-8 can carry."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {name: _mended(held) for name, held in value.items()}
    return [_mended(held) for held in value] if isinstance(value, list | tuple) else value


def parse(body: bytes, content_type: str | None, entries_max: int) -> dict[str, Any]:
    """Return title, dates and entries of any feed. Raises Refused."""
    if not body.strip():
        raise Refused("it returned an empty body")
    if body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        feed = _json_feed(body)
    else:
        feed = _xml_feed(body, content_type)
    if len(feed["entries"]) > entries_max:
        raise Refused(f"it has {len(feed['entries']):,} entries, more than {entries_max:,}")
    return feed


def _xml_feed(body: bytes, content_type: str | None) -> dict[str, Any]:
    head = body[:_SNIFFED_BYTES]
    if _HTML.match(head):
        title = _HTML_TITLE.search(head)
        named = f" ({_line(html.unescape(title[1].decode('utf-8', 'replace')))!r})" if title else ""
        raise Refused(f"it returned an HTML page{named}, not a feed")
    root = _ROOT.match(head)
    whole, missing = _whole_entries(body, root[1]) if root else (body, None)
    parsed = _feedparser(whole, content_type)
    error = parsed.get("bozo_exception") if parsed.get("bozo") else None
    # Its other complaints, about content types and declared encodings, are about what it then coped with.
    damaged = isinstance(error, xml.sax.SAXException)
    damage = _damage(error, declared=b"<?xml" in head[:100]) if damaged else None
    if not parsed.entries:
        _refuse_empty(parsed, damage if _ENTRY_START.search(body) else None, missing, root)
    said = dict(parsed.feed)
    count = f"{len(parsed.entries)} {'entry' if len(parsed.entries) == 1 else 'entries'}"
    return {
        "title": _text(said.get("title")),
        "description": _text(said.get("subtitle")),
        "version": parsed.get("version") or "",
        "bozo": damage,
        "problem": f"the feed breaks off after {count}: {missing}" if missing else None,
        "updated": _when(said.get("updated_parsed")),
        "published": _when(said.get("published_parsed")),
        "entries": [_entry(e) for e in parsed.entries],
    }


def _feedparser(body: bytes, content_type: str | None) -> Any:
    """Parse with feedparser, texts as they are.

    BytesIO, because feedparser opens the file whose path the bytes look like. Both flags off: its sanitizer and its
    link resolver rewrite text that merely looks like HTML, `$x<y$` for one; what leaves us is escaped at the edge.
    """
    headers = {"content-type": content_type} if content_type else {}
    return feedparser.parse(
        io.BytesIO(body), response_headers=headers, sanitize_html=False, resolve_relative_uris=False
    )


def _whole_entries(body: bytes, root: bytes) -> tuple[bytes, str | None]:
    """Return a body that breaks off with its whole entries kept and the document closed, and what is missing.

    A cut entry must not pass: its shorter abstract would look like a revision.
    """
    local = root.rpartition(b":")[2].lower()
    if local not in _FEED_ROOTS or re.search(rb"</" + re.escape(root) + rb"\s*>", body):
        return body, None
    ends = list(_ENTRY_END.finditer(body))
    name = root.decode("ascii", "replace")
    if not ends:
        raise Refused(f"the feed breaks off before its first entry ends (no </{name}>, {len(body):,} bytes)")
    kept = body[: ends[-1].end()]
    channel = b"</channel>" if local == b"rss" and b"</channel>" not in kept else b""
    return kept + channel + b"</" + root + b">", f"no </{name}> at the end of {len(body):,} bytes"


def _refuse_empty(parsed: Any, damage: str | None, missing: str | None, root: re.Match[bytes] | None) -> None:
    """Tell an empty feed, which is fine, from what is none. Raises Refused."""
    if damage and parsed.get("version"):
        raise Refused(f"the feed is damaged and no entry could be read ({damage})")
    if not parsed.get("version"):
        what = f"XML with the root <{root[1].decode('ascii', 'replace')[:60]}>" if root else "text that is no XML"
        raise Refused(f"it returned {what}, not a feed")
    if missing:
        raise Refused(f"the feed breaks off and no entry could be read: {missing}")


def _entry(aliased: Any) -> dict[str, Any]:
    # feedparser's own mappings look under other names too, such as published for updated: slow, and not what we ask.
    entry = dict(aliased)
    content = (entry.get("content") or [{}])[0]
    summary_detail = entry.get("summary_detail") or {}
    return {
        "entry_id": _text(entry.get("id")),
        "title": _text(entry.get("title")) or "",
        "title_type": _text((entry.get("title_detail") or {}).get("type")) or "text/plain",
        "summary": _text(entry.get("summary")) or "",
        "summary_type": _text(summary_detail.get("type") or content.get("type")) or "text/plain",
        "content": _text(content.get("value")) or "",
        "content_type": _text(content.get("type")) or "text/plain",
        "link": _text(entry.get("link")),
        "links": [_link(link) for link in entry.get("links") or () if dict.get(link, "href")],
        "authors": _names(entry.get("authors") or ()),
        "tags": _texts(dict.get(tag, "term") for tag in entry.get("tags") or ()),
        "published": _when(entry.get("published_parsed")),
        "updated": _when(entry.get("updated_parsed")),
        "extra": [(name, text) for name in EXTRA if (text := _text(entry.get(name)))],
    }


def _link(link: Any) -> tuple[str, str, str]:
    href, rel, kind = (_text(dict.get(link, name)) or "" for name in ("href", "rel", "type"))
    return href, rel, kind


def _names(authors: Iterable[Any]) -> list[str]:
    """Return one name per author element, without the address that RSS wants there: it is not ours to keep."""
    written = _texts(dict.get(author, "name") for author in authors)
    return _texts(_without_address(name) if "@" in name else name for name in written)


def _without_address(text: str) -> str:
    """Return "Ada" for "ada@lab.example (Ada)" and for "Ada <ada@lab.example>", and nothing for a bare address."""
    return " ".join(word for word in text.replace("<", " <").split() if "@" not in word).strip("()<> ")


def _keep_author(self: Any, key: str = "author") -> None:
    """Keep the text of an author element as it is written.

    feedparser's own method, which this replaces, looks for an address in it with a pattern that takes 14 s for 40 KB
    and cuts long top-level domains in two, the rest becoming the name.
    """
    context = self._get_context()
    written, people = context.get(key), context.get(f"{key}s")
    if written and people and not people[-1] and not self.inauthor:
        people[-1]["name"] = written


feedparser.mixin._FeedParserMixin._sync_author_detail = _keep_author
# It looks for a parser of libxml2's first, through the whole import path, for each feed.
feedparser.api.PREFERRED_XML_PARSERS = []


def _json_feed(body: bytes) -> dict[str, Any]:
    """Parse JSON Feed 1.0 and 1.1 (https://www.jsonfeed.org/version/1.1/); numbers stay as they were written."""
    try:
        document = json.loads(body.decode("utf-8-sig"), parse_float=str, parse_int=str, parse_constant=str)
    except (UnicodeDecodeError, ValueError) as error:
        raise Refused(f"it returned damaged JSON ({_line(str(error))})") from error
    except RecursionError as error:
        raise Refused("it returned JSON that is nested too deeply") from error
    version = document.get("version") if isinstance(document, dict) else None
    if (
        not isinstance(version, str)
        or "jsonfeed.org/version/" not in version
        or not isinstance(document.get("items"), list)
    ):
        raise Refused("it returned JSON that is no JSON Feed")
    return {
        "title": _text(document.get("title")),
        "description": _text(document.get("description")),
        "version": "json" + version.rpartition("/")[2][:8],
        "bozo": None,
        "problem": None,
        "updated": None,
        "published": None,
        "entries": [_json_entry(item) for item in document["items"] if isinstance(item, dict)],
    }


def _json_entry(item: dict[str, Any]) -> dict[str, Any]:
    listed = item.get("authors")
    authors = listed if isinstance(listed, list) else [item.get("author")]
    summary, text, markup = (_text(item.get(key)) or "" for key in ("summary", "content_text", "content_html"))
    return {
        "entry_id": _text(item.get("id")),
        "title": _text(item.get("title")) or "",
        "title_type": "text/plain",
        "summary": summary,
        "summary_type": "text/plain",
        "content": text or markup,
        "content_type": "text/plain" if text else "text/html",
        "link": _text(item.get("url")),
        "links": [(url, "related", "") for url in _texts([item.get("external_url")])],
        "authors": _texts(a.get("name") for a in authors if isinstance(a, dict)),
        "tags": _texts(item["tags"]) if isinstance(item.get("tags"), list) else [],
        "published": _rfc3339(item.get("date_published")),
        "updated": _rfc3339(item.get("date_modified")),
        "extra": [],
    }


def _rfc3339(value: Any) -> str | None:
    try:
        at = datetime.fromisoformat(value.strip())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (AttributeError, ValueError, OverflowError):
        return None


def _when(parsed: Any) -> str | None:
    """Return feedparser's time (UTC, nine numbers) in ISO form, or None where it is no possible time."""
    try:
        return datetime.fromtimestamp(calendar.timegm(parsed), UTC).isoformat() if parsed else None
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _texts(values: Iterable[Any]) -> list[str]:
    return [text for value in values if (text := (_text(value) or "").strip())]


def _damage(error: Any, *, declared: bool) -> str:
    """Say what is wrong and where; feedparser puts a line in front of a document without an XML declaration."""
    if isinstance(error, xml.sax.SAXParseException):
        return f"line {(error.getLineNumber() or 1) - (not declared)}: {_line(str(error.getMessage()))}"
    return _line(str(error)) or type(error).__name__


def _line(text: str) -> str:
    return " ".join(text.encode("utf-8", "replace").decode().split())[:160]


def _receive(inbox: BinaryIO) -> bytes | None:
    """Return the next frame, or None where the other side is gone."""
    length = inbox.read(LENGTH_BYTES)
    if len(length) < LENGTH_BYTES:
        return None
    frame = inbox.read(int.from_bytes(length, "big"))
    return frame if len(frame) == int.from_bytes(length, "big") else None


def _limit(what: int, amount: int) -> None:
    """Lower a limit of this process, where the platform knows it."""
    set_limit: Callable[[int, tuple[int, int]], None] = resource.setrlimit
    try:
        set_limit(what, (amount, amount))
    except (ValueError, OSError):
        print(f"no limit {what} here", file=sys.stderr)


def _allow_cpu(seconds: int) -> None:
    """Allow the next document `seconds` of CPU: the limit counts from the start of the process, so it moves along."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = math.ceil(usage.ru_utime + usage.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    main()
