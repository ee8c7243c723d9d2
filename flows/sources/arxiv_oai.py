"""arXiv's OAI-PMH: every paper of a set (or of all) whose metadata changed since the last read, with its versions.

https://info.arxiv.org/help/oa/index.html. `arXivRaw`, which has the version history, is asked for; what else is read
says oai_records.py. Dates are days, and a list shifts when records change while its pages are read: each read begins
two days before the last one did.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote, urlencode, urlsplit

from flows.fetching import Fetched
from flows.parsing import Parser
from flows.sources.interface import Harvest, Request, Rhythm
from flows.sources.oai import Page, read_page
from flows.sources.oai_records import entry_of
from flows.sources.reading import rebased, require_ok, sift
from storage.errors import SourceError
from storage.settings import Source

_ADDRESS = "https://oaipmh.arxiv.org/oai"
_FORMAT = "arXivRaw"
_OVERLAP = timedelta(days=2)
_EARLIEST = date(2007, 5, 23)  # no record changed last before it, says Identify
_PAGES_MAX = 10_000  # all of arXiv is some 3,000
_LATER_PAGE = re.compile(r"page (\d+) of (.+)")
_UNKNOWN_DAY = "an unknown day"
_NAMED_MAX = 5  # deleted records to name in a note
# Sets that are groups of archives; every other archive belongs to physics.
_GROUPS = frozenset(["cs", "econ", "eess", "math", "physics", "q-bio", "q-fin", "stat"])


class ArxivOai:
    """Reads `arxiv-oai` sources."""

    rhythm = Rhythm.FLOW
    default_schedule = "30 6,18 * * *"  # arXiv renews its metadata once a day, after the evening's announcement
    delay_seconds = 3.0  # https://info.arxiv.org/help/api/tou.html: one request every three seconds

    def plan(self, source: Source, *, now: datetime, mark: str | None = None) -> tuple[Request, ...]:
        """Ask for what changed since two days before the mark; on the first read, for the last `source.days`."""
        since, _ = self.border(source, now=now, mark=mark)
        return (_list(source, f"from {since}", {"from": since.isoformat()}),)

    def span(self, source: Source, since: date, until: date) -> tuple[Request, ...]:
        """Ask for what changed from one day to another; arXiv refuses days before its first, but not to be asked."""
        first = {} if since <= _EARLIEST else {"from": since.isoformat()}
        return (_list(source, f"from {since} until {until}", first | {"until": until.isoformat()}),)

    def border(self, source: Source, *, now: datetime, mark: str | None) -> tuple[date, str]:
        """Return the day with which the next read begins, and the mark that makes it begin there."""
        if mark:
            return date.fromisoformat(mark) - _OVERLAP, mark
        since = now.astimezone(UTC).date() - timedelta(days=source.days)
        return since, (since + _OVERLAP).isoformat()

    def read(self, source: Source, request: Request, fetched: Fetched, parser: Parser) -> Harvest:  # noqa: ARG002
        """Read one page; the last one of a read carries the mark, which is the day the first one was answered."""
        require_ok(source, fetched)
        page = read_page(source, fetched.body)
        number, began_on = _place(request, page, fetched)
        entries, problems = sift(lambda record: entry_of(source, record), page.records)
        if page.token is None and began_on is None:
            problems = (*problems, "it does not say when it answered, so the next read begins where this one did")
        return Harvest(
            entries=entries,
            listed=len(page.records) + len(page.damaged),
            problems=(*page.damaged, *problems),
            notes=tuple(_notes(page)),
            following=_following(source, request, page, number, began_on),
            mark=began_on.isoformat() if began_on and page.token is None else None,
            again=page.token is None,
            reached=page.reached,
            size=page.size,
        )


def set_of(category: str) -> str:
    """Return arXiv's set of a category: cs.CL is `cs:cs:CL`, hep-th `physics:hep-th`; what has a colon is a set."""
    if ":" in category:
        return category
    archive, _, subject = category.partition(".")
    group = archive if archive in _GROUPS else "physics"
    if subject:
        return f"{group}:{archive}:{subject}"
    return archive if archive == group else f"{group}:{archive}"


def _list(source: Source, key: str, days: dict[str, str]) -> Request:
    asked = {"verb": "ListRecords", "metadataPrefix": _FORMAT, **days}
    if source.category:
        asked["set"] = set_of(source.category)
    url = rebased(f"{_ADDRESS}?{urlencode(asked, quote_via=quote, safe=':')}", source.base_url)
    return Request(url=url, key=key, conditional=False)


def _place(request: Request, page: Page, fetched: Fetched) -> tuple[int, date | None]:
    """Return which page of its read this is, and the day the first one was answered by the server's clock.

    A clock that is ahead of ours would make the next read begin in the future and find nothing.
    """
    if later := _LATER_PAGE.fullmatch(request.key):
        return int(later[1]), None if later[2] == _UNKNOWN_DAY else date.fromisoformat(later[2])
    today = fetched.fetched_at.astimezone(UTC).date()
    return 1, min(page.answered_on, today) if page.answered_on else None


def _following(source: Source, request: Request, page: Page, number: int, began_on: date | None) -> tuple[Request, ...]:
    if page.token is None:
        return ()
    query = urlencode({"verb": "ListRecords", "resumptionToken": page.token}, quote_via=quote, safe="")
    url = urlsplit(request.url)._replace(query=query).geturl()
    if url == request.url:
        raise SourceError(source.name, f"page {number} names itself as the next page")
    if number >= _PAGES_MAX:
        raise SourceError(source.name, f"the list has more than {_PAGES_MAX:,} pages")
    key = f"page {number + 1} of {began_on or _UNKNOWN_DAY}"
    return (Request(url=url, key=key, conditional=False),)


def _notes(page: Page) -> Iterator[str]:
    if page.deleted:
        names = ", ".join(name or "a record without a name" for name in page.deleted[:_NAMED_MAX])
        more = len(page.deleted) - _NAMED_MAX
        yield f"deleted there: {names}" + (f" and {more:,} more" if more > 0 else "")
    elif not (page.records or page.damaged):
        yield "no paper has changed"
