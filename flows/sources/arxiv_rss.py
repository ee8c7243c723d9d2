"""arXiv's RSS (or Atom) feed of one category: one day's batch, new papers, cross-lists and replacements.

Format: https://info.arxiv.org/help/rss_specifications.html. The guid `oai:arXiv.org:IDvN` carries the version; the
description is "arXiv:IDvN Announce Type: T \\nAbstract: …"; all dates are midnight in New York.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

from flows.fetching import Fetched
from flows.parsing import ParsedEntry, ParsedFeed, Parser
from flows.sources.interface import Harvest, Request, Rhythm
from flows.sources.reading import code_url, rebased, require_ok, sift, split_names
from storage.errors import EntryError, ParseError, SourceError
from storage.identity import parse_arxiv_id, parse_doi
from storage.model import Entry
from storage.settings import Source

_HOST = "https://rss.arxiv.org"
_CALENDAR = ZoneInfo("America/New_York")
# Longer lists are cut, and the new papers go first; see https://info.arxiv.org/help/rss.html.
_LISTED_MAX = 2_000
_HEADING = re.compile(r"\AarXiv:(?P<id>\S+) Announce Type: (?P<type>[a-z-]+) ?\nAbstract: ?")
_ERROR_TITLE = "Feed error for query"
_EXPLAINING_STATUSES = (200, 400)  # arXiv answers a bad query with 400 and a feed that says what is wrong


class ArxivRss:
    """Reads `arxiv-rss` sources."""

    rhythm = Rhythm.BATCH
    # Rendered at midnight in New York, 04:00 or 05:00 UTC; the later reads catch a batch that was late or stale.
    default_schedule = "20 4,5,8,13,19 * * *"
    delay_seconds = 3.0  # https://info.arxiv.org/help/api/tou.html: one request every three seconds

    def plan(self, source: Source, *, now: datetime, mark: str | None = None) -> tuple[Request, ...]:  # noqa: ARG002
        """One request; unconditional, because arXiv stamps each rendering and so no validator ever matches."""
        category = source.category or ""
        url = rebased(f"{_HOST}/rss/{quote(category, safe='+.-')}", source.base_url)
        return (Request(url=url, key=category, conditional=False),)

    def read(self, source: Source, request: Request, fetched: Fetched, parser: Parser) -> Harvest:  # noqa: ARG002
        """Read a batch; an empty one is fine, as on weekends and holidays."""
        if fetched.status not in _EXPLAINING_STATUSES:
            require_ok(source, fetched)
        feed = self._feed(source, fetched, parser)
        batch_on = _batch_day(feed)
        entries, problems = sift(lambda parsed: _entry(source, parsed), feed.entries)
        listed = len(feed.entries)
        if listed >= _LISTED_MAX:
            cut = f"the list is cut at {_LISTED_MAX:,} entries, new papers first: use a narrower category"
            problems = (*problems, cut)
        return Harvest(
            entries=entries,
            listed=listed,
            problems=(*((feed.problem,) if feed.problem else ()), *problems),
            notes=(f"no papers announced on {batch_on or 'that day'}",) if not listed else (),
            batch_on=batch_on,
        )

    def _feed(self, source: Source, fetched: Fetched, parser: Parser) -> ParsedFeed:
        try:
            feed = parser.parse(source.name, fetched.body, content_type=fetched.content_type)
        except ParseError:
            require_ok(source, fetched)
            raise
        if (feed.title or "").startswith(_ERROR_TITLE):
            raise SourceError(source.name, f"arXiv refuses the query: {feed.description or feed.title}")
        if len(feed.entries) == 1 and feed.entries[0].title == "Error":
            raise SourceError(source.name, f"arXiv refuses the query: {feed.entries[0].summary or 'no reason given'}")
        require_ok(source, fetched)
        return feed


def _entry(source: Source, parsed: ParsedEntry) -> Entry:
    heading = _HEADING.match(parsed.summary)
    names = (parsed.entry_id or "", f"arXiv:{heading['id']}" if heading else "", parsed.link or "")
    found = next((known for name in names if (known := parse_arxiv_id(name))), None)
    if found is None:
        raise EntryError(source.name, parsed.entry_id or parsed.title, "it has no arXiv id")
    base, version = found
    abstract = parsed.summary[heading.end() :] if heading else parsed.summary
    doi = parsed.said("arxiv_doi")
    return Entry(
        source=source.name,
        entry_id=parsed.entry_id or parsed.link or f"oai:arXiv.org:{base}",
        title=parsed.title,
        abstract=abstract,
        authors=tuple(name for text in parsed.authors for name in split_names(text)),
        categories=parsed.tags,
        url=f"https://arxiv.org/abs/{base}",
        pdf_url=f"https://arxiv.org/pdf/{base}" + (f"v{version}" if version else ""),
        code_url=code_url(None, abstract),
        arxiv_id=base,
        version=version,
        doi=parse_doi(doi) if doi else None,
        announce_type=parsed.said("arxiv_announce_type") or (heading["type"] if heading else None),
        announced_on=_day(parsed.published),
        journal_ref=parsed.said("arxiv_journal_reference"),
        license_url=parsed.said("rights"),
        text_rank=3,
    )


def _batch_day(feed: ParsedFeed) -> date | None:
    """The day of the batch: RSS states it, in Atom the entries do; an empty Atom feed has only its rendering time."""
    newest = max((e.published for e in feed.entries if e.published), default=None)
    return _day(feed.published or newest or feed.updated)


def _day(at: datetime | None) -> date | None:
    return at.astimezone(_CALENDAR).date() if at else None
