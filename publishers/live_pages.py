"""The pages that only a server can answer, as bytes: search with what it would deliver, and authors."""

from __future__ import annotations

from collections.abc import Sequence

from publishers import live_models as live
from publishers.page_frame import FORMAT_NAMES, PageSite, render, render_within
from publishers.paths import FEED_FORMATS, author_href, search_href
from storage.model import TaggedPaper

PREVIEW_DAYS = (30, 90)
_SPELLINGS_OPEN = 1
_EXAMPLES = (
    ("diffusion video", "both words"),
    ('"language model" -survey', "a phrase, without a word"),
    ("quantiz*", "words that begin so"),
    ("title:(reasoning OR agent)", "either word, in the title"),
    ("category:cs.CL code:yes", "a category, with code"),
    ('author:"Ada Example"', "an author"),
    ("votes:>20 since:30d", "votes, of the last 30 days"),
)


def search_page(
    site: PageSite,
    text: str,
    *,
    days: int,
    found: live.Results | None = None,
    fault: live.Fault | None = None,
    notice: str = "",
    part: bool = False,
) -> bytes:
    """Return the search page for `text`, or with `part` only what stands in it below the box.

    One of: what was `found`, the `fault` in the query, a `notice` why there is no answer; none where `text` is empty.
    """
    return render(
        "search_results.html.j2" if part else "search.html.j2",
        site,
        path="search",
        text=text,
        days=days,
        found=found,
        fault=fault,
        notice=notice,
        examples=[(query, search_href(query), said) for query, said in _EXAMPLES],
        ranges=[(n, f"{search_href(text)}&days={n}") for n in PREVIEW_DAYS],
        alternates=_alternates(site, text, "") if found else [],
    )


def author_page(site: PageSite, known: live.Author, found: Sequence[TaggedPaper], *, newest: bool) -> bytes:
    """Return the page of everybody who signs so; `newest` says that there are more papers than `found`."""
    path = author_href(known.name) or "authors"
    return render_within(
        lambda summary_max: live.years(site, found, root="../", summary_max=summary_max),
        "author.html.j2",
        site,
        path=path,
        known=known,
        newest=newest,
        spellings_open=_SPELLINGS_OPEN,
        feeds=[(FORMAT_NAMES[f], f"../{search_href(known.query, f)}") for f in FEED_FORMATS],
        search_href=f"../{search_href(known.query)}",
        feed_url=site.base_url + search_href(known.query, "atom"),
        alternates=_alternates(site, known.query, "../"),
    )


def unknown_author_page(site: PageSite, name: str, *, notice: str = "") -> bytes:
    """Return the page for a name that no paper bears, or that could not be looked up: `notice` says why."""
    return render("author_unknown.html.j2", site, path="authors/unknown", name=name, notice=notice)


def _alternates(site: PageSite, query: str, root: str) -> list[tuple[str, str, str]]:
    return [
        (kind, f"{site.title}: {query} ({FORMAT_NAMES[f]})", f"{root}{search_href(query, f)}")
        for f, kind in FEED_FORMATS.items()
    ]
