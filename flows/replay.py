"""The demo's providers: arXiv's RSS and Atom feeds and Hugging Face's daily lists, served from kept facts on 127.0.0.1.

The facts are in demo_data.json, which also says what of them is staged. The dialect is the providers' own:
https://info.arxiv.org/help/rss_specifications.html (and atom_specifications), https://github.com/arXiv/arxiv-feed for
what the specification leaves open, and the JSON of https://huggingface.co/api/daily_papers as it came in June 2026.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from threading import Thread
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

from lxml import etree

from publishers.names import is_arxiv_category


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One announcement of a paper by arXiv: a version in the batch of a day."""

    day: date
    version: int
    kind: str  # new or replace; where it is only cross-listed follows from its categories
    summary: str
    doi: str | None = None
    journal_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A paper's place on Hugging Face's list of a day."""

    listed_on: date
    published_at: datetime
    submitted_at: datetime
    upvotes: tuple[tuple[int, int], ...]  # (days after the list, votes read then), in order
    comments: int
    repository: str | None = None
    stars: int | None = None
    project: str | None = None

    def upvotes_on(self, day: date) -> int:
        """Return the votes as last read on or before `day`."""
        after = (day - self.listed_on).days
        return [votes for days, votes in self.upvotes if days <= max(after, 0)][-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPaper:
    """A paper of the demo; facts as its providers gave them, the summary our own."""

    arxiv_id: str  # without version
    title: str
    authors: tuple[str, ...]
    categories: tuple[str, ...]  # primary first; empty where only Hugging Face is known to have it
    summary: str
    told: tuple[Told, ...]  # oldest first
    listing: Listing | None
    license_url: str | None
    staged: bool  # its days are the demo's own; `DemoData.staged` says what is


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoData:
    """All the demo replays."""

    about: tuple[str, ...]
    staged: tuple[str, ...]
    days: tuple[date, ...]  # the days to replay, in order, the empty weekend among them
    papers: tuple[DemoPaper, ...]


def load_demo_data() -> DemoData:
    """Read the demo's facts from the installed package."""
    raw = json.loads(files("flows").joinpath("demo_data.json").read_text(encoding="utf-8"))
    return DemoData(
        about=tuple(raw["about"]),
        staged=tuple(raw["staged"]),
        days=tuple(date.fromisoformat(day) for day in raw["days"]),
        papers=tuple(_paper(paper) for paper in raw["papers"]),
    )


class ReplayServer:
    """A server on 127.0.0.1 that pretends to be arXiv's feeds and Hugging Face's lists at the moment `now`.

    Use it in a `with` block; `base_url` then takes the place of the providers' scheme and host. It answers
    `/rss/<query>`, `/atom/<query>` (a query is a category or archive, several joined by `+`) and
    `/api/daily_papers?date=`. Set `now` (aware) to move its clock, which begins at 06:00 UTC of the first day.
    """

    def __init__(self, data: DemoData, *, port: int = 0) -> None:
        self.data = data
        self.now = datetime.combine(data.days[0], time(6), tzinfo=UTC)
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def base_url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> ReplayServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back over the wire."""

    status: int
    content_type: str
    body: bytes


def answer(data: DemoData, target: str, now: datetime) -> Answer:
    """Answer a request for `target` (path and query string) as the providers would at `now`."""
    parts = urlsplit(target)
    head, _, tail = parts.path.lstrip("/").partition("/")
    if head in _FEED_TYPES and tail:
        return _feed(data, head, unquote(tail), now)
    if parts.path == "/api/daily_papers":
        asked = parse_qs(parts.query).get("date", [now.astimezone(UTC).date().isoformat()])[0]
        return _daily_papers(data, asked, now)
    return Answer(status=404, content_type="text/plain; charset=utf-8", body=b"Not Found\n")


# --- arXiv ---

_EASTERN = ZoneInfo("America/New_York")  # arXiv's day begins at its midnight
_ARXIV = "http://arxiv.org/schemas/atom"
_DC = "http://purl.org/dc/elements/1.1/"
_ATOM = "http://www.w3.org/2005/Atom"
_CONTENT = "http://purl.org/rss/1.0/modules/content/"
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_FEED_TYPES = {"rss": "application/rss+xml", "atom": "application/atom+xml"}
_ORDER = ("new", "cross", "replace", "replace-cross")
_ARCHIVES = (
    *("astro-ph", "cond-mat", "cs", "econ", "eess", "gr-qc", "hep-ex", "hep-lat", "hep-ph", "hep-th", "math"),
    *("math-ph", "nlin", "nucl-ex", "nucl-th", "physics", "q-bio", "q-fin", "quant-ph", "stat", "test"),
)


class _BadQuery(Exception):
    """The query names no archive or category; the text is what arXiv says to that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    paper: DemoPaper
    told: Told
    announce_type: str  # new, cross, replace, replace-cross


@dataclass(frozen=True, slots=True, kw_only=True)
class _Channel:
    url: str
    title: str
    description: str
    editor: str
    rendered_at: datetime
    midnight: datetime
    skips_weekends: bool
    items: tuple[_Item, ...]


def _feed(data: DemoData, kind: str, query: str, now: datetime) -> Answer:
    now = now.astimezone(UTC)
    midnight = datetime.combine(now.astimezone(_EASTERN).date(), time(0), tzinfo=_EASTERN)
    url = f"http://rss.arxiv.org/{kind}/"
    try:
        names = _names(query)
    except _BadQuery as error:
        channel = _Channel(
            url=url + query,
            title=f"Feed error for query: {url}{query}",
            description=str(error),
            editor="rss-help.arxiv.org",
            rendered_at=now,
            midnight=midnight,
            skips_weekends=False,
            items=(),
        )
        return _rendered(channel, kind, status=400)
    channel = _Channel(
        url=url + "+".join(names),
        title=f"{', '.join(names)} updates on arXiv.org",
        description=f"{', '.join(names)} updates on the arXiv.org e-print archive.",
        editor="rss-help@arxiv.org",
        rendered_at=now,
        midnight=midnight,
        skips_weekends=True,
        items=tuple(_batch(data, names, midnight.date())),
    )
    return _rendered(channel, kind, status=200)


def _rendered(channel: _Channel, kind: str, *, status: int) -> Answer:
    root = _rss(channel) if kind == "rss" else _atom(channel)
    body = etree.tostring(root, pretty_print=True, xml_declaration=True, encoding="UTF-8")
    return Answer(status=status, content_type=_FEED_TYPES[kind], body=body)


def _names(query: str) -> tuple[str, ...]:
    """Return the archives, then the categories of `query` in arXiv's spelling. Raises _BadQuery."""
    parts = query.split("+")
    if not all(part.strip() for part in parts):
        raise _BadQuery(
            f"Invalid archive specification '{query}'. Correct format is one or more archive names delimited by '+'."
        )
    names = [_name(part) for part in parts]
    return tuple(sorted(names, key=lambda name: "." in name))


def _name(part: str) -> str:
    archive, dot, subject = part.partition(".")
    archive = archive.lower()
    if "." in subject:
        raise _BadQuery(f"Bad archive/subject class structure '{part}'.")
    if archive not in _ARCHIVES:
        raise _BadQuery(f"Bad archive '{archive}'. Valid archive names are: {', '.join(_ARCHIVES)}.")
    if not dot:
        return archive
    spelled = (f"{archive}.{subject.upper()}", f"{archive}.{subject.lower()}")
    name = next((name for name in spelled if is_arxiv_category(name)), None)
    if name is None:
        raise _BadQuery(f"Bad subject class '{subject}'.")
    return name


def _batch(data: DemoData, names: Sequence[str], day: date) -> list[_Item]:
    """Return the batch of `day` in arXiv's order: new, cross, replace, replace-cross, each by id."""
    items = [
        _Item(paper=paper, told=told, announce_type=_announce_type(paper, told, names))
        for paper in data.papers
        for told in paper.told
        if told.day == day and any(_asks_for(category, names) for category in paper.categories)
    ]
    return sorted(items, key=lambda item: (_ORDER.index(item.announce_type), item.paper.arxiv_id))


def _asks_for(category: str, names: Sequence[str]) -> bool:
    return category in names or category.partition(".")[0] in names


def _announce_type(paper: DemoPaper, told: Told, names: Sequence[str]) -> str:
    """A paper is new or replaced in its primary category and a cross-list anywhere else."""
    if _asks_for(paper.categories[0], names):
        return told.kind
    return "replace-cross" if told.kind == "replace" else "cross"


def _rss(channel: _Channel) -> etree._Element:
    root = etree.Element("rss", nsmap={"arxiv": _ARXIV, "dc": _DC, "atom": _ATOM, "content": _CONTENT}, version="2.0")
    top = etree.SubElement(root, "channel")
    for name, text in (("title", channel.title), ("link", channel.url), ("description", channel.description)):
        _add(top, name, text)
    _add(top, f"{{{_ATOM}}}link", href=channel.url, rel="self", type=_FEED_TYPES["rss"])
    _add(top, "docs", "http://www.rssboard.org/rss-specification")
    _add(top, "language", "en-us")
    _add(top, "lastBuildDate", format_datetime(channel.rendered_at))
    _add(top, "managingEditor", channel.editor)
    _add(top, "pubDate", format_datetime(channel.midnight))
    if channel.skips_weekends:
        skipped = _add(top, "skipDays")
        for day in ("Saturday", "Sunday"):
            _add(skipped, "day", day)
    for item in channel.items:
        _rss_item(_add(top, "item"), item, channel)
    return root


def _rss_item(element: etree._Element, item: _Item, channel: _Channel) -> None:
    paper = item.paper
    _add(element, "title", paper.title)
    _add(element, "link", f"https://arxiv.org/abs/{paper.arxiv_id}")
    _add(element, "description", _description(item))
    _add(element, "guid", _oai(item), isPermaLink="false")
    for category in paper.categories:
        _add(element, "category", category)
    _add(element, "pubDate", format_datetime(channel.midnight))
    _arxiv_elements(element, item, (("DOI", item.told.doi), ("journal_reference", item.told.journal_ref)))


def _atom(channel: _Channel) -> etree._Element:
    namespaces: Any = {"arxiv": _ARXIV, "dc": _DC, None: _ATOM}  # the stubs know of no default namespace
    root = etree.Element(f"{{{_ATOM}}}feed", nsmap=namespaces)
    root.set(_XML_LANG, "en-us")
    rendered = channel.rendered_at.isoformat()
    for name, text in (("id", channel.url), ("title", channel.title), ("updated", rendered)):
        _add(root, f"{{{_ATOM}}}{name}", text)
    _add(root, f"{{{_ATOM}}}link", href=channel.url, rel="self", type=_FEED_TYPES["atom"])
    _add(root, f"{{{_ATOM}}}subtitle", channel.description)
    for item in channel.items:
        _atom_entry(_add(root, f"{{{_ATOM}}}entry"), item, channel)
    return root


def _atom_entry(element: etree._Element, item: _Item, channel: _Channel) -> None:
    paper = item.paper
    _add(element, f"{{{_ATOM}}}id", _oai(item))
    _add(element, f"{{{_ATOM}}}title", paper.title)
    _add(element, f"{{{_ATOM}}}updated", channel.rendered_at.isoformat())
    page = f"https://arxiv.org/abs/{paper.arxiv_id}"
    _add(element, f"{{{_ATOM}}}link", href=page, rel="alternate", type="text/html")
    _add(element, f"{{{_ATOM}}}summary", _description(item))
    for category in paper.categories:
        _add(element, f"{{{_ATOM}}}category", term=category)
    _add(element, f"{{{_ATOM}}}published", channel.midnight.isoformat())
    _arxiv_elements(element, item, (("journal_reference", item.told.journal_ref), ("DOI", item.told.doi)))


def _arxiv_elements(element: etree._Element, item: _Item, published: Sequence[tuple[str, str | None]]) -> None:
    _add(element, f"{{{_ARXIV}}}announce_type", item.announce_type)
    if item.paper.license_url:
        _add(element, f"{{{_DC}}}rights", item.paper.license_url)
    for name, text in published:
        if text:
            _add(element, f"{{{_ARXIV}}}{name}", text)
    _add(element, f"{{{_DC}}}creator", ", ".join(item.paper.authors))


def _add(parent: etree._Element, name: str, text: str | None = None, **attributes: str) -> etree._Element:
    element = etree.SubElement(parent, name, attributes)
    element.text = text
    return element


def _oai(item: _Item) -> str:
    return f"oai:arXiv.org:{item.paper.arxiv_id}v{item.told.version}"


def _description(item: _Item) -> str:
    full_id = f"{item.paper.arxiv_id}v{item.told.version}"
    return f"arXiv:{full_id} Announce Type: {item.announce_type} \nAbstract: {item.told.summary}"


# --- Hugging Face ---


def _daily_papers(data: DemoData, asked: str, now: datetime) -> Answer:
    """The list of a day, most voted first; empty for a day that had none or is yet to come."""
    today = now.astimezone(UTC).date()
    try:
        day = date.fromisoformat(asked)
    except ValueError:
        return _json(400, {"error": f"Invalid date: {asked}"})
    listed = [(p, p.listing) for p in data.papers if p.listing and p.listing.listed_on == day <= today]
    listed.sort(key=lambda pair: (-pair[1].upvotes_on(today), pair[0].arxiv_id))
    return _json(200, [_daily_paper(paper, listing, today) for paper, listing in listed])


def _daily_paper(paper: DemoPaper, listing: Listing, today: date) -> dict[str, object]:
    inner: dict[str, object] = {
        "id": paper.arxiv_id,
        "authors": [{"name": name, "hidden": False} for name in paper.authors],
        "publishedAt": _iso(listing.published_at),
        "submittedOnDailyAt": _iso(listing.submitted_at),
        "title": paper.title,
        "summary": paper.summary,
        "upvotes": listing.upvotes_on(today),
    }
    optional = {
        "projectPage": listing.project,
        "githubRepo": listing.repository,
        "githubStars": listing.stars,
    }
    inner.update({key: value for key, value in optional.items() if value is not None})
    return {
        "paper": inner,
        "publishedAt": _iso(_eastern_as_utc(listing.published_at)),
        "title": paper.title,
        "summary": paper.summary,
        "numComments": listing.comments,
    }


def _eastern_as_utc(moment: datetime) -> datetime:
    """The outer publishedAt is the inner one moved by the offset of US Eastern time: the provider's own slip."""
    return moment + (moment.astimezone(_EASTERN).utcoffset() or timedelta())


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(status: int, value: object) -> Answer:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status=status, content_type="application/json; charset=utf-8", body=body)


# --- the socket ---


def _handler(server: ReplayServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "paperwire-demo", ""

        def do_GET(self) -> None:
            reply = answer(server.data, self.path, server.now)
            etag = f'"{blake2b(reply.body, digest_size=16).hexdigest()}"'
            unchanged = reply.status == 200 and self.headers.get("If-None-Match") == etag
            self.send_response(304 if unchanged else reply.status)
            self.send_header("ETag", etag)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", "0" if unchanged else str(len(reply.body)))
            # Each answer ends its connection, so that stopping the server waits for nobody.
            self.send_header("Connection", "close")
            self.end_headers()
            if not unchanged:
                self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: the demo's own output is the story."""

    return Handler


# --- demo_data.json ---


def _paper(raw: dict[str, Any]) -> DemoPaper:
    return DemoPaper(
        arxiv_id=raw["id"],
        title=raw["title"],
        authors=tuple(raw["authors"]),
        categories=tuple(raw["categories"]),
        summary=raw["summary"],
        told=tuple(_told(raw["announcements"], raw["summary"])),
        listing=_listing(raw["hugging_face"]) if "hugging_face" in raw else None,
        license_url=raw.get("license"),
        staged=raw.get("staged", False),
    )


def _told(raw: list[dict[str, Any]], summary: str) -> Iterator[Told]:
    for one in raw:
        yield Told(
            day=date.fromisoformat(one["day"]),
            version=one["version"],
            kind=one["kind"],
            summary=one.get("summary", summary),
            doi=one.get("doi"),
            journal_ref=one.get("journal_ref"),
        )


def _listing(raw: dict[str, Any]) -> Listing:
    return Listing(
        listed_on=date.fromisoformat(raw["listed_on"]),
        published_at=datetime.fromisoformat(raw["published_at"]),
        submitted_at=datetime.fromisoformat(raw["submitted_at"]),
        upvotes=tuple((days, votes) for days, votes in raw["upvotes"]),
        comments=raw["comments"],
        repository=raw.get("repository"),
        stars=raw.get("stars"),
        project=raw.get("project"),
    )
