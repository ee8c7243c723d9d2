"""What every page shares: the site it belongs to, the templates, the links to feeds, the limit on its bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from publishers import health, paths
from publishers import page_models as show
from publishers.paths import FEED_FORMATS, feed_path
from storage.settings import Topic

TRENDING_PATH = "trending/day.html"
SEARCH_PATH = "search"  # answered by the live site alone
SUMMARY_CHARACTERS = 240
PAGE_BYTES_MAX = 400_000  # a longer page of a day or a topic goes without its abstracts
FORMAT_NAMES = {"atom": "Atom", "rss": "RSS", "json": "JSON Feed"}
_NAVIGATION: tuple[tuple[str, str, tuple[str, ...]], ...] = (  # the last: what else belongs there
    ("Today", "index.html", ()),
    ("Topics", paths.TOPICS_PATH, ("topics/", "categories", "sources")),
    ("Trending", TRENDING_PATH, ("trending/",)),
    ("Archive", paths.ARCHIVE_PATH, ("days/", "weeks/", "months/")),
    ("Search", SEARCH_PATH, ("search/",)),
    ("Coverage", paths.HEALTH_PATH, ()),
)
_NOT_HTML = bytes([*range(9), 11, *range(14, 32), 127])  # no page may have these (HTML, 13.2.3.5)
_JUMP_OPEN = 12  # jump links in sight; the rest is folded


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSite:
    """What every page says about the site; `base_url` ends in a slash."""

    title: str
    base_url: str
    description: str
    topics: tuple[Topic, ...]
    live: bool = False  # whether Paperwire itself answers, so that there is a search
    categories: frozenset[str] = frozenset()  # the codes that have a page
    sources: frozenset[str] = frozenset()  # the sources that have a page


def render(template: str, site: PageSite, *, path: str, **values: object) -> bytes:
    """Return the page at `path` within the site; `root`, unless given, leads from there to the site's own folder."""
    values.setdefault("root", "../" * path.count("/"))
    text = environment().get_template(template).render(site=site, path=path, **values)
    # Texts of sources have none of this (storage/text.py); a page is whole also where one came another way.
    return text.encode(errors="ignore").translate(None, _NOT_HTML)


def render_within(
    sections: Callable[[int], tuple[show.Section, ...]], template: str, site: PageSite, *, path: str, **values: object
) -> bytes:
    """Render with abstracts, or without them where the page would be too long for a phone on the road."""
    page = render(template, site, path=path, sections=sections(SUMMARY_CHARACTERS), **values)
    if len(page) <= PAGE_BYTES_MAX:
        return page
    return render(template, site, path=path, sections=sections(0), **values)


def feed_links(slug: str, root: str) -> list[show.Link]:
    """Return the feeds/<slug> in each format."""
    return [show.Link(text=FORMAT_NAMES[f], href=f"{root}{feed_path(slug, f)}") for f in FEED_FORMATS]


def stem_links(stem: str, root: str) -> list[show.Link]:
    """Return the feed with this path, without extension, in each format."""
    return [show.Link(text=FORMAT_NAMES[f], href=f"{root}{stem}.{f}") for f in FEED_FORMATS]


def alternates(stem: str, title: str, root: str) -> list[tuple[str, str, str]]:
    """Return type, title and address of a feed in each format, for <link rel=alternate>."""
    return [
        (kind, f"{title} ({FORMAT_NAMES[extension]})", f"{root}{stem}.{extension}")
        for extension, kind in FEED_FORMATS.items()
    ]


@cache
def environment() -> Environment:
    """Return the templates of the pages, everything escaped."""
    made = Environment(
        loader=PackageLoader("publishers", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["long_day"] = show.long_day
    made.filters["short_day"] = show.short_day
    made.filters["plain_day"] = show.plain_day
    made.filters["moment"] = health.moment
    made.globals["weekdays"] = [(day[:2], day) for day in show.WEEKDAYS]
    made.globals.update(counted=show.counted, jump_open=_JUMP_OPEN, navigation=navigation)
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class NavLink:
    """A link of the navigation; `current` is what aria-current says: page, true within its part of the site, or ''."""

    text: str
    href: str
    current: str


def navigation(site: PageSite, path: str) -> tuple[NavLink, ...]:
    """Return where every page leads to, from the site's own folder, as seen from the page at `path`."""
    return tuple(
        NavLink(text=text, href=href, current="page" if path == href else "true" if path.startswith(within) else "")
        for text, href, within in _NAVIGATION
        if site.live or href != SEARCH_PATH
    )
