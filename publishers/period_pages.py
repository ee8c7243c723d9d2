"""The archive by time: the page of a day, a week, a month, and the one that leads to them all.

A day says its neighbours itself; weeks and months find theirs in `days`, the whole archive's, so that one without
papers is stepped over and none with papers is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from publishers import page_models as show
from publishers.page_frame import PAGE_BYTES_MAX, PageSite, render, render_within
from publishers.paths import ARCHIVE_PATH, day_path, paper_path, topic_path
from publishers.periods import Period, all_of, from_to, month_of, neighbours, week_of
from publishers.readable import readable
from storage.model import TaggedPaper

PERIOD_PAPERS_MAX = 400
"""So many papers a page of a week or month lists at most; `Catalog.top_of_days` shares them among its days."""
_CALENDARS_MAX = 12
_TOPICS_OPEN = 12
_OTHERS = "Other papers"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperLine:
    """A paper on one line of a long list."""

    href: str
    title: str
    authors: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicGroup:
    """Some papers of a day that have their first topic in common."""

    title: str
    href: str | None
    papers: tuple[PaperLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySection:
    """A day within a week or a month; `shown` of its `count` papers are listed."""

    day: date
    href: str
    count: int
    shown: int
    groups: tuple[TopicGroup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A day in a calendar; `href` is None for a day without papers, `shade` runs from 0 to 4."""

    day: date
    href: str | None
    count: int
    shade: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarWeek:
    """A row of a calendar: its week and seven cells, None where the day belongs to another month."""

    period: Period
    href: str | None
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarMonth:
    """A month as a calendar shows it."""

    period: Period
    href: str
    count: int
    weeks: tuple[CalendarWeek, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a list of months or topics; `bar` is its count against the largest, 0 to 100."""

    text: str
    href: str
    count: int
    bar: int


def day_page(
    site: PageSite, day: date, papers: Sequence[TaggedPaper], *, previous: date | None, next_day: date | None
) -> bytes:
    """Return the page of a day: every paper once, under its first topic, the rest by primary category."""
    week, month = week_of(day), month_of(day)
    return render_within(
        lambda summary_max: show.day_sections(
            papers, site.topics, root="../", summary_max=summary_max, categories=site.categories
        ),
        "day.html.j2",
        site,
        path=day_path(day),
        day=day,
        count=len(papers),
        in_topics=sum(show.in_topics(tagged, site.topics) for tagged in papers),
        up=(show.Link(text=week.title, href=f"../{week.path}"), show.Link(text=month.title, href=f"../{month.path}")),
        previous=previous and show.Link(text=show.short_day(previous), href=f"../{day_path(previous)}"),
        next=next_day and show.Link(text=show.short_day(next_day), href=f"../{day_path(next_day)}"),
    )


def week_page(
    site: PageSite,
    day: date,
    papers: Sequence[TaggedPaper],
    *,
    days: Sequence[tuple[date, int]],
    counts: Mapping[str, Mapping[date, int]],
) -> bytes:
    """Return the page of the ISO week that `day` is in: its days and topics with their counts, `papers` by day.

    `papers` are as many of that week as `Catalog.top_of_days` gives, `days` all days of the archive with how many
    papers each has, `counts` the papers of each topic by day.
    """
    return _period_page(site, week_of(day), papers, days, counts)


def month_page(
    site: PageSite,
    day: date,
    papers: Sequence[TaggedPaper],
    *,
    days: Sequence[tuple[date, int]],
    counts: Mapping[str, Mapping[date, int]],
) -> bytes:
    """Return the page of the month that `day` is in, with a calendar; its arguments are those of `week_page`."""
    return _period_page(site, month_of(day), papers, days, counts)


def archive_page(site: PageSite, days: Sequence[tuple[date, int]]) -> bytes:
    """Return the page that leads to every day, week and month of `days`: the newest months as calendars."""
    months = all_of((day for day, _ in days), month_of)
    totals = {month.first: 0 for month in months}
    for day, count in days:
        totals[day.replace(day=1)] += count
    return render(
        "archive.html.j2",
        site,
        path=ARCHIVE_PATH,
        total=sum(count for _, count in days),
        days=len(days),
        first=min((day for day, _ in days), default=None),
        calendars=[_calendar(month, days, "") for month in months[:_CALENDARS_MAX]],
        years=list(_years(months, totals)),
    )


def _period_page(
    site: PageSite,
    period: Period,
    papers: Sequence[TaggedPaper],
    days: Sequence[tuple[date, int]],
    counts: Mapping[str, Mapping[date, int]],
) -> bytes:
    """Render it, with fewer papers a day where the page would be too long."""
    mine = sorted((pair for pair in days if pair[0] in period), reverse=True)
    before, after = neighbours(period, days)
    by_day: dict[date, list[TaggedPaper]] = {day: [] for day, _ in mine}
    for tagged in papers:
        by_day.setdefault(show.day_of(tagged.paper), []).append(tagged)
    each = max(map(len, by_day.values()), default=0)
    while True:
        page = render(
            "period.html.j2",
            site,
            path=period.path,
            period=period,
            span=from_to(period.first, period.last),
            up=_up(period, mine),
            previous=before and show.Link(text=before.title, href=f"../{before.path}"),
            next=after and show.Link(text=after.title, href=f"../{after.path}"),
            count=sum(count for _, count in mine),
            shown=sum(min(each, len(found)) for found in by_day.values()),
            lines=show.day_lines(mine, root="../"),
            calendar=_calendar(period, days, "../") if period.kind == "month" else None,
            sections=[_section(site, day, count, by_day[day][:each]) for day, count in mine],
            topics=_topic_lines(site, period, counts),
            topics_open=_TOPICS_OPEN,
        )
        if len(page) <= PAGE_BYTES_MAX or not each:
            return page
        each //= 2


def _up(period: Period, mine: Sequence[tuple[date, int]]) -> tuple[show.Link, ...]:
    """Where a period belongs: a week to the months of its days with papers, oldest first, a month to the archive."""
    months = all_of((day for day, _ in mine), month_of)[::-1] if period.kind == "week" else ()
    found = tuple(show.Link(text=month.title, href=f"../{month.path}") for month in months)
    return found or (show.Link(text="Archive", href=f"../{ARCHIVE_PATH}"),)


def _section(site: PageSite, day: date, count: int, papers: Sequence[TaggedPaper]) -> DaySection:
    groups: dict[str, list[PaperLine]] = {slug: [] for slug in (*(topic.slug for topic in site.topics), "")}
    for tagged in papers:
        mine = {tag.slug for tag in tagged.tags}
        first = next((topic.slug for topic in site.topics if topic.slug in mine), "")
        groups[first].append(
            PaperLine(
                href=f"../{paper_path(tagged.paper.paper_id)}",
                title=readable(tagged.paper.title),
                authors=show.short_authors(tagged.paper.authors),
            )
        )
    titles = {topic.slug: topic.title for topic in site.topics}
    alone = "" if len(papers) == len(groups[""]) else _OTHERS
    return DaySection(
        day=day,
        href=f"../{day_path(day)}",
        count=count,
        shown=len(papers),
        groups=tuple(
            TopicGroup(
                title=titles.get(slug, alone), href=f"../{topic_path(slug)}" if slug else None, papers=tuple(lines)
            )
            for slug, lines in groups.items()
            if lines
        ),
    )


def _topic_lines(site: PageSite, period: Period, counts: Mapping[str, Mapping[date, int]]) -> list[Line]:
    totals = {
        topic: sum(count for day, count in counts.get(topic.slug, {}).items() if day in period) for topic in site.topics
    }
    most = max(totals.values(), default=0)
    found = [
        Line(text=topic.title, href=f"../{topic_path(topic.slug)}", count=total, bar=_bar(total, most))
        for topic, total in totals.items()
        if total
    ]
    return sorted(found, key=lambda line: (-line.count, line.text))


def _calendar(month: Period, days: Sequence[tuple[date, int]], root: str) -> CalendarMonth:
    counts = {day: count for day, count in days if day in month}
    most = max(counts.values(), default=0)
    known = {week_of(day).first for day in counts}
    weeks = []
    for week in reversed(all_of((date(month.first.year, month.first.month, n) for n in _days_of(month)), week_of)):
        cells = (date.fromordinal(n) for n in range(week.first.toordinal(), week.last.toordinal() + 1))
        weeks.append(
            CalendarWeek(
                period=week,
                href=f"{root}{week.path}" if week.first in known else None,
                cells=tuple(_cell(day, counts.get(day, 0), most, root) if day in month else None for day in cells),
            )
        )
    return CalendarMonth(period=month, href=f"{root}{month.path}", count=sum(counts.values()), weeks=tuple(weeks))


def _days_of(month: Period) -> range:
    return range(1, month.last.day + 1)


def _cell(day: date, count: int, most: int, root: str) -> Cell:
    return Cell(
        day=day,
        href=f"{root}{day_path(day)}" if count else None,
        count=count,
        shade=-(-4 * count // most) if count else 0,
    )


def _years(months: Sequence[Period], totals: Mapping[date, int]) -> Iterator[tuple[int, int, list[Line]]]:
    """Each year with its count and its months, newest first."""
    most = max(totals.values(), default=0)
    years: dict[int, list[Line]] = {}
    for month in months:
        count = totals[month.first]
        line = Line(text=show.MONTHS[month.first.month - 1], href=month.path, count=count, bar=_bar(count, most))
        years.setdefault(month.first.year, []).append(line)
    for year, lines in years.items():
        yield year, sum(line.count for line in lines), lines


def _bar(count: int, most: int) -> int:
    return max(1, round(100 * count / max(1, most)))
