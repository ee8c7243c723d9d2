"""What a page shows: papers as cards, cards in sections, days and numbers in words. Pure; no markup in here."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

from publishers.citation import arxiv_url, doi_url
from publishers.names import category_name
from publishers.paths import author_href, category_path, day_path, paper_path, topic_path
from publishers.readable import readable, summary
from storage.model import Announcement, Paper, Revision, Tag, TaggedPaper
from storage.settings import Topic
from storage.text import safe_url

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]  # strftime would follow the locale of the machine
_AUTHORS_SHOWN = 3
_WORDS = {
    Announcement.NEW: "New",
    Announcement.REVISED: "Revised",
    Announcement.CROSS_LISTED: "Cross-listed",
    Announcement.PUBLISHED: "Published",
    Announcement.WITHDRAWN: "Withdrawn",
    Announcement.CODE_APPEARED: "Code",
    Announcement.TRENDING: "Trending",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link with its text; `href` is ready for an attribute."""

    text: str
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A topic on a card; `href` is None where the topic has no page."""

    text: str
    href: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One paper in a list."""

    href: str
    title: str
    authors: str
    summary: str
    chips: tuple[Chip, ...]
    categories: str
    category_href: str | None  # the page of the first category
    links: tuple[Link, ...]
    upvotes: int | None
    withdrawn: bool
    reason: str = ""  # why it is in the topic whose page this is
    by: tuple[Chip, ...] = ()  # the names in `authors`, each with its page on a live site
    by_more: int = 0  # how many follow them


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading with cards. `count` papers belong to it, `above` of them are listed in an earlier section."""

    anchor: str
    title: str
    href: str | None
    count: int
    above: int
    cards: tuple[Card, ...]

    @property
    def hidden(self) -> int:
        """How many papers belong here but are not shown on this page."""
        return self.count - self.above - len(self.cards)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of a list of recent revisions."""

    href: str
    title: str
    at: datetime
    words: tuple[str, ...]
    detail: str
    withdrawn: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DayLine:
    """A day in the list of days; `bar` is its count against the busiest day, 0 to 100."""

    href: str
    day: date
    count: int
    bar: int


def long_day(day: date) -> str:
    """Return `Tuesday, 2 June 2026`, whatever the locale."""
    return f"{WEEKDAYS[day.weekday()]}, {day.day} {MONTHS[day.month - 1]} {day.year}"


def short_day(day: date) -> str:
    """Return `Tue 2 June`, whatever the locale."""
    return f"{WEEKDAYS[day.weekday()][:3]} {day.day} {MONTHS[day.month - 1]}"


def plain_day(day: date) -> str:
    """Return `2 June 2026`, whatever the locale."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return `1 paper`, `1,234 papers`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def day_of(paper: Paper) -> date:
    """Return the day a paper is filed under: as its source announced it, else when readers were told (UTC)."""
    return paper.announced_on or (paper.announced_at or paper.first_seen_at).astimezone(UTC).date()


def card(
    tagged: TaggedPaper,
    topics: Iterable[Topic],
    *,
    root: str,
    summary_max: int,
    without: str = "",
    under: str = "",
    categories: Collection[str] = (),
) -> Card:
    """Return the card of a paper, `summary_max` characters of abstract on it.

    What its heading says already is left out: the topic with slug `without`, the category named `under`.
    `categories` are the codes that have a page of their own.
    """
    paper = tagged.paper
    known = {topic.slug for topic in topics}
    chips = (
        Chip(text=tag.title, href=f"{root}{topic_path(tag.slug)}" if tag.slug in known else None)
        for tag in tagged.tags
        if tag.slug != without
    )
    return Card(
        href=f"{root}{paper_path(paper.paper_id)}",
        title=readable(paper.title),
        authors=short_authors(paper.authors),
        by=_names(paper.authors, root=root),
        by_more=len(paper.authors) - _shown(paper.authors),
        summary=summary(paper.abstract, summary_max) if summary_max else "",
        chips=tuple(chips),
        categories=short_categories(paper.categories, without=under),
        category_href=_category_href(paper.categories, categories, root=root, without=under),
        links=tuple(_card_links(paper)),
        upvotes=paper.upvotes or None,
        withdrawn=paper.withdrawn,
    )


def short_authors(names: Sequence[str]) -> str:
    """Return the first three names and how many follow; four are never cut to save one."""
    shown = _shown(names)
    more = len(names) - shown
    return ", ".join(map(readable, names[:shown])) + (f" and {more:,} more" if more else "")


def _shown(names: Sequence[str]) -> int:
    return len(names) if len(names) <= _AUTHORS_SHOWN + 1 else _AUTHORS_SHOWN


def _names(names: Sequence[str], *, root: str) -> tuple[Chip, ...]:
    hrefs = [(readable(name), author_href(name)) for name in names[: _shown(names)]]
    return tuple(Chip(text=text, href=f"{root}{href}" if href else None) for text, href in hrefs)


def short_categories(codes: Sequence[str], *, without: str = "") -> str:
    """Return the name of the first category and how many follow."""
    names = [name for name in dict.fromkeys(map(category_name, codes)) if name != without]
    return f"{names[0]} +{len(names) - 1}" if len(names) > 1 else "".join(names)


def _category_href(codes: Sequence[str], published: Collection[str], *, root: str, without: str) -> str | None:
    """The page of the category that `short_categories` names."""
    first = next((code for code in codes if category_name(code) != without), None)
    return f"{root}{category_path(first)}" if first in published and first is not None else None


def paper_links(paper: Paper) -> tuple[Link, ...]:
    """Return every place a paper can be read or tried, most wanted first, each address once."""
    arxiv = paper.arxiv_id
    listed = paper.trending_on is not None or paper.upvotes is not None
    wanted = [
        ("PDF", safe_url(paper.pdf_url)),
        (f"arXiv:{arxiv}", arxiv_url(arxiv) if arxiv else None),
        ("Code", safe_url(paper.code_url)),
        ("Project page", safe_url(paper.project_url)),
        ("Hugging Face", f"https://huggingface.co/papers/{arxiv}" if arxiv and listed else None),
        ("DOI", doi_url(paper.doi) if paper.doi else None),
        (_host(paper.url), safe_url(paper.url) if not arxiv else None),
    ]
    by_href = {href: Link(text=text, href=href) for text, href in reversed(wanted) if href}
    return tuple(reversed(by_href.values()))


def day_sections(
    papers: Sequence[TaggedPaper],
    topics: Sequence[Topic],
    *,
    root: str,
    summary_max: int,
    categories: Collection[str] = (),
) -> tuple[Section, ...]:
    """Return all papers of a day, each once: under its first topic in the order of `topics`, else by category."""
    shown: set[str] = set()
    found: list[Section] = []
    for topic in topics:
        members = _members(papers, topic)
        if members:
            found.append(
                _topic_section(topic, members, shown, topics, root=root, summary_max=summary_max, categories=categories)
            )
    groups: dict[str, list[TaggedPaper]] = {}
    for tagged in papers:
        if tagged.paper.paper_id not in shown:
            groups.setdefault(_primary(tagged.paper), []).append(tagged)
    for name, group in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        cards = tuple(
            card(p, topics, root=root, summary_max=summary_max, under=name, categories=categories) for p in group
        )
        code = group[0].paper.categories[0] if group[0].paper.categories else ""
        href = f"{root}{category_path(code)}" if code in categories else None
        anchor = _anchor("category", name, [s.anchor for s in found])
        found.append(Section(anchor=anchor, title=name, href=href, count=len(group), above=0, cards=cards))
    return tuple(found)


def lead_sections(
    papers: Sequence[TaggedPaper],
    topics: Sequence[Topic],
    *,
    root: str,
    summary_max: int,
    cards_max: int,
    categories: Collection[str] = (),
) -> tuple[Section, ...]:
    """Return a few papers of each topic not shown above, then of the rest: `cards_max` in all, a fair share each."""
    groups = [(topic, members) for topic in topics if (members := _members(papers, topic))]
    share = max(3, cards_max // (len(groups) + 1))
    shown: set[str] = set()
    found: list[Section] = []
    for topic, members in groups:
        room = min(share, cards_max - len(shown))
        section = _topic_section(
            topic, members, shown, topics, root=root, summary_max=summary_max, cards_max=room, categories=categories
        )
        if section.cards:
            found.append(section)
    rest = [tagged for tagged in papers if not in_topics(tagged, topics)]
    room = min(share, cards_max - len(shown)) if found else cards_max
    cards = tuple(card(p, topics, root=root, summary_max=summary_max, categories=categories) for p in rest[:room])
    if cards:
        title = "Other papers" if found else "Papers"
        found.append(Section(anchor="other", title=title, href=None, count=len(rest), above=0, cards=cards))
    return tuple(found)


def days_grouped(
    papers: Sequence[TaggedPaper],
    topics: Sequence[Topic],
    *,
    root: str,
    summary_max: int,
    topic: str = "",
    under: str = "",
    categories: Collection[str] = (),
) -> tuple[Section, ...]:
    """Return papers under the day they were announced, newest day first, for the page of `topic` or what `under` names.

    A card on the page of a topic says why it is there.
    """
    groups: dict[date, list[TaggedPaper]] = {}
    for tagged in papers:
        groups.setdefault(day_of(tagged.paper), []).append(tagged)

    def shown(tagged: TaggedPaper) -> Card:
        made = card(
            tagged, topics, root=root, summary_max=summary_max, without=topic, under=under, categories=categories
        )
        return replace(made, reason=next((tag.reason for tag in tagged.tags if tag.slug == topic), ""))

    return tuple(
        Section(
            anchor=f"day-{day.isoformat()}",
            title=long_day(day),
            href=f"{root}{day_path(day)}",
            count=len(group),
            above=0,
            cards=tuple(map(shown, group)),
        )
        for day, group in sorted(groups.items(), reverse=True)
    )


def day_lines(days: Sequence[tuple[date, int]], *, root: str) -> tuple[DayLine, ...]:
    """Return the list of days with the length of their bars."""
    busiest = max((count for _, count in days), default=1)
    return tuple(
        DayLine(href=f"{root}{day_path(day)}", day=day, count=count, bar=max(1, round(100 * count / max(1, busiest))))
        for day, count in days
    )


def changes(revisions: Sequence[Revision], *, root: str) -> tuple[Change, ...]:
    """Return recent revisions as lines: what happened and which fields changed."""
    return tuple(
        Change(
            href=f"{root}{paper_path(revision.paper.paper_id)}#life",
            title=readable(revision.paper.title),
            at=revision.at,
            words=tuple(_word(kind, revision.paper) for kind in revision.announcements),
            detail=", ".join(name for name in revision.changes if name in ("title", "abstract", "authors")),
            withdrawn=Announcement.WITHDRAWN in revision.announcements,
        )
        for revision in revisions
    )


def count_by_topic(papers: Iterable[TaggedPaper]) -> Mapping[str, int]:
    """Return how many of `papers` each topic has."""
    counts: dict[str, int] = {}
    for tagged in papers:
        for slug in {tag.slug for tag in tagged.tags}:
            counts[slug] = counts.get(slug, 0) + 1
    return counts


def in_topics(tagged: TaggedPaper, topics: Sequence[Topic]) -> bool:
    """Say whether a paper belongs to any of `topics`."""
    slugs = {topic.slug for topic in topics}
    return any(tag.slug in slugs for tag in tagged.tags)


def known_tags(tagged: TaggedPaper, topics: Sequence[Topic], *, root: str) -> tuple[tuple[Tag, str | None], ...]:
    """Return the tags of a paper, each with the address of its page or None."""
    known = {topic.slug for topic in topics}
    return tuple((tag, f"{root}{topic_path(tag.slug)}" if tag.slug in known else None) for tag in tagged.tags)


def _word(kind: Announcement, paper: Paper) -> str:
    return f"Version {paper.version}" if kind is Announcement.REVISED and paper.version else _WORDS[kind]


def _members(papers: Sequence[TaggedPaper], topic: Topic) -> list[TaggedPaper]:
    return [tagged for tagged in papers if any(tag.slug == topic.slug for tag in tagged.tags)]


def _topic_section(
    topic: Topic,
    members: Sequence[TaggedPaper],
    shown: set[str],
    topics: Sequence[Topic],
    *,
    root: str,
    summary_max: int,
    cards_max: int | None = None,
    categories: Collection[str] = (),
) -> Section:
    """Return the section of a topic with the members not in `shown` yet, and put their ids into `shown`."""
    fresh = [tagged for tagged in members if tagged.paper.paper_id not in shown]
    listed = fresh[:cards_max]
    shown.update(tagged.paper.paper_id for tagged in listed)
    return Section(
        anchor=f"topic-{topic.slug}",
        title=topic.title,
        href=f"{root}{topic_path(topic.slug)}",
        count=len(members),
        above=len(members) - len(fresh),
        cards=tuple(
            card(p, topics, root=root, summary_max=summary_max, without=topic.slug, categories=categories)
            for p in listed
        ),
    )


def _card_links(paper: Paper) -> Iterator[Link]:
    for text, url in (("PDF", paper.pdf_url), ("Code", paper.code_url)):
        href = safe_url(url)
        if href:
            yield Link(text=text, href=href)


def _primary(paper: Paper) -> str:
    return category_name(paper.categories[0]) if paper.categories else "Without a category"


def _anchor(kind: str, name: str, taken: Sequence[str]) -> str:
    base = f"{kind}-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') or 'other'}"
    return base if base not in taken else f"{base}-{len(taken)}"


def _host(url: str | None) -> str:
    try:
        return urlsplit(url or "").hostname or "Paper"
    except ValueError:
        return "Paper"
