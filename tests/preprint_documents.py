"""What tests of the preprint servers share: documents as each server writes them, and a read over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flows.parsing import Parser
from flows.sources import adapter_for
from flows.sources.interface import Harvest, Request
from storage.errors import FetchError, SourceError
from storage.model import Entry
from storage.settings import Limits, Source
from tests.fetching_tools import a_fetcher, a_source, fetched
from tests.servers import Answer, Ask, Server

NOW = datetime(2026, 6, 2, 6, 0, tzinfo=UTC)
PARSER = Parser(Limits())  # starts no process until it is asked to parse, and none of these adapters asks
_NAMESPACES = (
    "xmlns='http://www.w3.org/2005/Atom' xmlns:arxiv='http://arxiv.org/schemas/atom' "
    "xmlns:opensearch='http://a9.com/-/spec/opensearch/1.1/'"
)


def arxiv_entry(number: str = "2606.00012v1", *, updated: str = "2026-06-01T17:59:59Z", **changes: str) -> str:
    """One entry of the API's Atom; `extra` is added to it as it is."""
    said = {
        "title": "On the Length of Titles",
        "summary": "We show $x<y$.",
        "published": updated,
        "extra": "",
    } | changes
    return (
        f"<entry><id>http://arxiv.org/abs/{number}</id><title>{escape(said['title'], quote=False)}</title>"
        f"<updated>{updated}</updated><published>{said['published']}</published>"
        f"<summary>{escape(said['summary'], quote=False)}</summary>"
        "<category term='cs.AI' scheme='http://arxiv.org/schemas/atom'/><category term='cs.CL'/>"
        "<arxiv:primary_category term='cs.CL'/><author><name>Ada Example</name><arxiv:affiliation>Inst"
        f"</arxiv:affiliation></author><author><name>Béla Minta</name></author>{said['extra']}</entry>"
    )


def arxiv_feed(*entries: str, total: int | None = None, start: int = 0) -> str:
    """A feed of these entries; `total` is how many there are said to be, on all pages."""
    count = len(entries) if total is None else total
    return (
        f"<?xml version='1.0' encoding='UTF-8'?><feed {_NAMESPACES}><title>arXiv Query</title>"
        f"<opensearch:totalResults>{count}</opensearch:totalResults><opensearch:startIndex>{start}"
        f"</opensearch:startIndex>{''.join(entries)}</feed>"
    )


def arxiv_error(words: str) -> str:
    """The feed that explains an error."""
    return arxiv_feed(
        f"<entry><id>https://arxiv.org/api/errors#x</id><title>Error</title><summary>{words}</summary></entry>"
    )


def biorxiv_row(doi: str = "10.64898/2026.05.30.123456", **changes: Any) -> dict[str, Any]:
    """One row as bioRxiv's API writes it."""
    row = {
        "title": "On the Length of Tails",
        "authors": "Example, A. B.; Minta, B., Jr.; The Tail Consortium; ",
        "doi": doi,
        "date": "2026-06-01",
        "version": "1",
        "type": "new results",
        "license": "cc_by_nc",
        "category": "cell biology",
        "jatsxml": "https://www.biorxiv.org/content/early/x.source.xml",
        "abstract": "<jats:title>Background</jats:title><jats:p>Tails are <jats:italic>long</jats:italic>.</jats:p>",
        "published": "NA",
        "server": "bioRxiv",
    }
    return row | changes


def biorxiv_page(rows: list[Any], *, total: Any = None, status: str = "ok") -> dict[str, Any]:
    """A page of rows; numbers come as text as often as not."""
    message = {"status": status, "cursor": "0", "count": len(rows), "total": str(len(rows)) if total is None else total}
    return {"messages": [message], "collection": rows}


def note(forum: str = "aBcD_12345", *, changed: int = 1_780_000_000_000, **content: Any) -> dict[str, Any]:
    """One paper as OpenReview's API v2 writes it; content fields that are None are left out."""
    fields = {
        "title": "On the Length of Reviews",
        "abstract": "We show $x<y$. Code: https://github.com/lab/tool.",
        "authors": ["Ada Example", "Béla Minta"],
        "keywords": ["reviews", "length"],
        "venue": "ICLR 2026 Poster",
        "venueid": "ICLR.cc/2026/Conference",
        "pdf": "/pdf/0123456789abcdef.pdf",
    }
    given = {name: value for name, value in (fields | content).items() if value is not None}
    return {
        "id": forum,
        "forum": forum,
        "cdate": 1_758_000_000_000,
        "pdate": 1_769_000_000_000,
        "mdate": changed,
        "tmdate": changed,
        "license": "CC BY 4.0",
        "invitations": ["ICLR.cc/2026/Conference/-/Submission"],
        "content": {name: {"value": value} for name, value in given.items()},
    }


SOURCES: dict[str, dict[str, Any]] = {
    "arxiv-api": {"query": "cat:cs.CL"},
    "biorxiv": {},
    "openreview": {"venue": "ICLR.cc/2026/Conference"},
}


def source_of(kind: str, **changes: Any) -> Source:
    """A source of one of the three kinds, named for it."""
    return a_source(kind=kind, name=kind, url=None, **(SOURCES[kind] | changes))


def read(kind: str, body: Any, *, status: int = 200, request: Request | None = None, **changes: Any) -> Harvest:
    """Read one answer: text and bytes as they are, anything else as JSON; to the first request unless another is."""
    source = source_of(kind, **changes)
    raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    (first, *_) = adapter_for(source.kind).plan(source, now=NOW)
    return adapter_for(source.kind).read(source, request or first, fetched(raw, status=status), PARSER)


def only(harvest: Harvest) -> Entry:
    """The one entry of a harvest."""
    (entry,) = harvest.entries
    return entry


@dataclass
class Walk:
    """What one read of a source brought, page after page."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[SourceError] = field(default_factory=list)
    mark: str | None = None  # None where the read did not come to its end

    @property
    def ids(self) -> set[str]:
        """The source's ids of what came."""
        return {entry.entry_id for entry in self.entries}


def walk(source: Source, *, now: datetime = NOW, mark: str | None = None) -> Walk:
    """Read a source to its end over HTTP, as a pass does; a page that fails ends its list."""
    adapter, walked = adapter_for(source.kind), Walk()
    waiting = list(adapter.plan(source, now=now, mark=mark))
    with a_fetcher() as fetcher:
        while waiting:
            request = waiting.pop(0)
            try:
                harvest = adapter.read(source, request, fetcher.get(source, request.url), PARSER)
            except SourceError as error:
                walked.failures.append(error)
                continue
            walked.entries += harvest.entries
            walked.problems += harvest.problems
            walked.notes += harvest.notes
            walked.mark = harvest.mark or walked.mark
            waiting = [*harvest.following, *waiting]
    if walked.failures:
        walked.mark = None
    return walked


Odd = Callable[[int], Answer | None]  # what to answer instead to the nth request, or None


class PagedServer(Server):
    """Serves a list in pages: `page` renders a part of `listed`; `odd` may answer a request otherwise, or change it."""

    def __init__(self, kind: str, listed: list[Any], page: Callable[[list[Any], int], Any], size: int) -> None:
        super().__init__({"*": self._answer})
        self.kind, self.listed, self.page, self.size = kind, listed, page, size
        self.odd: Odd = lambda number: None
        self.starts: list[int] = []

    @property
    def source(self) -> Source:
        """A source that reads from here."""
        return source_of(self.kind, base_url=self.url(""))

    def _answer(self, ask: Ask) -> Answer:
        parts = urlsplit(ask.path)
        query = parse_qs(parts.query)
        start = int((query.get("start") or query.get("offset") or [parts.path.rpartition("/")[2]])[0])
        self.starts.append(start)
        odd = self.odd(len(self.starts))
        if odd is not None:
            return odd
        page = self.page(self.listed[start : start + self.size], start)
        return Answer(body=(page if isinstance(page, str) else json.dumps(page)).encode())


def reason(failure: SourceError) -> tuple[str, int | None]:
    """Why something failed, and the status where there was one."""
    return failure.reason, failure.status if isinstance(failure, FetchError) else None
