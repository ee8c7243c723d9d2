"""What the live pages show: an answer with its plot and how to subscribe to it, a fault in a query, an author. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TypeVar

from publishers import page_models as show
from publishers.names import category_name
from publishers.page_frame import FORMAT_NAMES, SUMMARY_CHARACTERS, PageSite
from publishers.paths import FEED_FORMATS, author_href, category_path, search_href, topic_path
from publishers.readable import plain, readable
from storage.errors import QueryError
from storage.model import Paper, TaggedPaper
from storage.preview import Preview, topic_lines
from storage.query import Query, normal_text

_AROUND_CHARACTERS = 60  # shown of a query before and after the character to blame
_BAR, _STEP, _HEIGHT = 3, 4, 40
_Key = TypeVar("_Key", str, tuple[str, str])
_TOGETHER_MAX = 24  # co-authors, categories and topics on an author's page


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with a query and where: the text around the character `at`, which is '' past its end."""

    reason: str
    place: int  # 1-based
    before: str
    at: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Papers a day: `path` draws them in a box of `width` by `height`, `rows` has them newest first."""

    path: str
    width: int
    height: int
    top: int
    said: str
    rows: tuple[tuple[date, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """How to subscribe to a query. `toml` is '' where the query cannot be a topic."""

    links: tuple[show.Link, ...]
    feed_url: str
    toml: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What a query finds. `cards` are the newest and say why, `more` that there are others."""

    text: str
    cards: tuple[show.Card, ...]
    more: bool
    preview: Preview
    bars: Bars
    follow: Follow

    @property
    def said(self) -> str:
        """All of it in one sentence, for whoever hears the page."""
        shown = f"{show.counted(len(self.cards), 'paper')} shown" if self.cards else "no paper found"
        return f"{shown}, {show.counted(self.preview.total, 'paper')} in {len(self.preview.days)} days"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A name with how often it stands there; `href` is None where it has no page."""

    text: str
    href: str | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Everybody who signs with a name. `years` are newest first, the others most papers first."""

    name: str
    query: str
    count: int
    spellings: tuple[Named, ...]
    years: tuple[tuple[int, int], ...]
    together: tuple[Named, ...]
    categories: tuple[Named, ...]
    topics: tuple[Named, ...]


def fault_of(error: QueryError) -> Fault:
    """Return what a page says of an error, as text."""
    text, at = error.query, min(error.position, len(error.query))
    before, after = text[:at], text[at + 1 :]
    return Fault(
        reason=plain(error.reason),
        place=error.position + 1,
        before=f"{'…' if len(before) > _AROUND_CHARACTERS else ''}{before[-_AROUND_CHARACTERS:]}",
        at=text[at : at + 1],
        after=f"{after[:_AROUND_CHARACTERS]}{'…' if len(after) > _AROUND_CHARACTERS else ''}",
    )


def results(
    site: PageSite, query: Query, found: Sequence[TaggedPaper], preview: Preview, *, now: datetime, cards_max: int
) -> Results:
    """Return what the page of a query shows; `found` is one paper longer than that where there are more."""
    return Results(
        text=query.text,
        cards=tuple(_card(site, query, tagged, now) for tagged in found[:cards_max]),
        more=len(found) > cards_max,
        preview=preview,
        bars=bars(preview),
        follow=follow(site, query),
    )


def bars(preview: Preview) -> Bars:
    """Return the plot of a preview; a day with papers is never without a bar."""
    top = max((count for _, count in preview.days), default=0)
    tall = [max(1, round(_HEIGHT * count / top)) if count else 0 for _, count in preview.days]
    until = show.plain_day(preview.days[-1][0])
    said = f"{show.counted(preview.total, 'paper')} in the {len(preview.days)} days until {until}"
    if preview.busiest:
        day, count = preview.busiest
        said += f", most on {show.plain_day(day)}: {count:,}"
    return Bars(
        path="".join(f"M{n * _STEP} {_HEIGHT}v-{high}h{_BAR}v{high}z" for n, high in enumerate(tall) if high),
        width=_STEP * len(preview.days),
        height=_HEIGHT,
        top=top,
        said=said,
        rows=tuple(reversed(preview.days)),
    )


def follow(site: PageSite, query: Query) -> Follow:
    """Return the addresses of the feeds of a query, and its lines for paperwire.toml."""
    links = [show.Link(text=FORMAT_NAMES[f], href=search_href(query.text, f)) for f in FEED_FORMATS]
    return Follow(
        links=(*links, show.Link(text="OPML", href=search_href(query.text, "opml"))),
        feed_url=site.base_url + search_href(query.text, "atom"),
        toml="" if query.moves else topic_lines(query.text, {topic.slug for topic in site.topics}),
    )


def author(name: str, query: str, found: Sequence[TaggedPaper], site: PageSite, *, root: str) -> Author:
    """Return what is known of everybody whose name has the words of `name`, from their papers."""
    words = normal_text(name)
    mine, others = _Names(), _Names()
    for tagged in found:
        for each in dict.fromkeys(tagged.paper.authors):
            (mine if words in normal_text(each) else others).add(each)
    linked = {topic.slug for topic in site.topics}
    topics = Counter((tag.slug, tag.title) for tagged in found for tag in tagged.tags)
    categories = Counter((category_name(c), c) for tagged in found for c in dict.fromkeys(tagged.paper.categories))
    own = [named for named in mine.counted(root) if normal_text(named.text) == words]
    return Author(
        name=own[0].text if own else " ".join(words.split()).title(),
        query=query,
        count=len(found),
        spellings=mine.counted(root),
        years=tuple(sorted(Counter(_year(t.paper) for t in found).items(), reverse=True)),
        together=others.counted(root)[:_TOGETHER_MAX],
        categories=tuple(
            Named(text=name, href=f"{root}{category_path(code)}" if code in site.categories else None, count=n)
            for (name, code), n in _most(categories)[:_TOGETHER_MAX]
        ),
        topics=tuple(
            Named(text=readable(title), href=f"{root}{topic_path(slug)}" if slug in linked else None, count=n)
            for (slug, title), n in _most(topics)[:_TOGETHER_MAX]
        ),
    )


def years(site: PageSite, found: Sequence[TaggedPaper], *, root: str, summary_max: int) -> tuple[show.Section, ...]:
    """Return papers under the year they are of, newest year first."""
    groups: dict[int, list[TaggedPaper]] = defaultdict(list)
    for tagged in found:
        groups[_year(tagged.paper)].append(tagged)
    return tuple(
        show.Section(
            anchor=f"year-{year}",
            title=str(year),
            href=None,
            count=len(group),
            above=0,
            cards=tuple(
                show.card(t, site.topics, root=root, summary_max=summary_max, categories=site.categories) for t in group
            ),
        )
        for year, group in sorted(groups.items(), reverse=True)
    )


def _year(paper: Paper) -> int:
    """The year a paper is of: when it was submitted, where its source says so."""
    return paper.published_at.year if paper.published_at else show.day_of(paper).year


class _Names:
    """Names of authors, counted by what `author:` compares, each spelled as it is most often."""

    def __init__(self) -> None:
        self._spellings: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, name: str) -> None:
        self._spellings[normal_text(name)][name] += 1

    def counted(self, root: str) -> tuple[Named, ...]:
        """Return the names, most papers first."""
        found = []
        for spellings in self._spellings.values():
            name = _most(spellings)[0][0]
            href = author_href(name)
            text = readable(name)
            found.append(Named(text=text, href=f"{root}{href}" if href else None, count=spellings.total()))
        return tuple(sorted((n for n in found if n.text), key=lambda n: (-n.count, n.text)))


def _most(counts: Counter[_Key]) -> list[tuple[_Key, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _card(site: PageSite, query: Query, tagged: TaggedPaper, now: datetime) -> show.Card:
    reasons = query.reasons(tagged.paper, now, [tag.slug for tag in tagged.tags])
    made = show.card(tagged, site.topics, root="", summary_max=SUMMARY_CHARACTERS, categories=site.categories)
    return replace(made, reason=plain(", ".join(reasons)))
