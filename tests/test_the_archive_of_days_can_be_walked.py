"""The archive of days can be walked: forwards, backwards, up and down, and nothing that has papers is skipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any
from urllib.parse import urljoin

import pytest

from publishers import pages
from publishers.page_frame import PAGE_BYTES_MAX
from publishers.paths import ARCHIVE_PATH, day_path, month_path, week_path
from publishers.periods import Period, all_of, from_to, month_of, neighbours, week_of
from storage.model import TaggedPaper
from tests.builders import a_paper, tagged
from tests.page_builders import SITE, papers_of, parsed, text_of

# Over the ends of months and years, over a year without papers, on both sides of a 53rd week and of a leap day.
DAYS = (
    date(2018, 12, 31),  # a Monday of the first week of 2019
    date(2020, 2, 28),
    date(2020, 2, 29),
    date(2020, 3, 1),
    date(2020, 12, 31),  # Thursday of 2020-W53
    date(2021, 1, 1),
    date(2021, 1, 3),  # Sunday of 2020-W53
    date(2021, 1, 4),  # Monday of 2021-W01
    date(2021, 1, 31),
    date(2021, 2, 1),  # another week and another month
    date(2024, 12, 29),
    date(2024, 12, 30),  # 2025-W01
    date(2026, 6, 30),
    date(2026, 7, 1),  # the same week, another month
)
COUNTED = [(day, 1 + n) for n, day in enumerate(sorted(DAYS, reverse=True))]


def an_archive(days: Sequence[tuple[date, int]] = COUNTED) -> dict[str, Any]:
    """Every page of time of an archive with these days, parsed, by path."""
    found = {ARCHIVE_PATH: pages.archive_page(SITE, days)}
    for position, (day, _) in enumerate(days):
        later = days[position - 1][0] if position else None
        earlier = days[position + 1][0] if position + 1 < len(days) else None
        found[day_path(day)] = pages.day_page(SITE, day, (), previous=earlier, next_day=later)
        found[week_path(day)] = pages.week_page(SITE, day, (), days=days, counts={})
        found[month_path(day)] = pages.month_page(SITE, day, (), days=days, counts={})
    return {path: parsed(page) for path, page in found.items()}


@pytest.fixture(scope="module")
def archive() -> dict[str, Any]:
    return an_archive()


def led(archive: dict[str, Any], path: str, expression: str) -> list[str]:
    """Where a page leads to by the links that `expression` selects, as paths within the site."""
    return [urljoin(f"/{path}", href).removeprefix("/") for href in archive[path].xpath(expression)]


def walked(archive: dict[str, Any], path: str, relation: str) -> list[str]:
    """The paths met by following one relation from `path` to its end; a link of the page and one of its head agree."""
    found = []
    while path:
        found.append(path)
        heads, seen = (
            led(archive, path, f"//link[@rel='{relation}']/@href"),
            led(archive, path, f"//a[@rel='{relation}']/@href"),
        )
        assert set(heads) == set(seen)
        path = heads[0] if heads else ""
        assert path not in found
    return found


@pytest.mark.parametrize(
    ("path_of", "kind"),
    [(day_path, "days"), (week_path, "weeks"), (month_path, "months")],
    ids=["day", "week", "month"],
)
def test_previous_and_next_meet_every_page_of_their_kind_once_in_order(
    archive: dict[str, Any], path_of: Callable[[date], str], kind: str
) -> None:
    oldest_first = list(dict.fromkeys(path_of(day) for day in sorted(DAYS)))
    assert walked(archive, oldest_first[0], "next") == oldest_first
    assert walked(archive, oldest_first[-1], "prev") == oldest_first[::-1]
    assert set(oldest_first) == {path for path in archive if path.startswith(f"{kind}/")}


def test_up_leads_from_a_day_to_its_week_to_its_month_to_the_archive(archive: dict[str, Any]) -> None:
    for day in DAYS:
        up = "//link[@rel='up']/@href"
        assert led(archive, day_path(day), up) == [week_path(day)]
        week = week_of(day)
        assert led(archive, week_path(day), up)[0] in {month_path(week.first), month_path(week.last)}
        assert led(archive, month_path(day), up) == [ARCHIVE_PATH]


def test_no_link_between_pages_of_time_leads_to_a_page_that_is_not_there(archive: dict[str, Any]) -> None:
    for path in archive:
        links = led(
            archive, path, "//a[not(@class='skip')]/@href | //link[@rel='prev' or @rel='next' or @rel='up']/@href"
        )
        timed = {link for link in links if link.startswith(("days/", "weeks/", "months/", "archive"))}
        assert (path, timed - set(archive)) == (path, set())


def test_every_day_week_and_month_is_reached_from_the_archive_going_down(archive: dict[str, Any]) -> None:
    met, ahead = set(), [ARCHIVE_PATH]
    while ahead:
        path = ahead.pop()
        met.add(path)
        below = [
            link
            for link in led(archive, path, "//main//a[not(@rel)]/@href")
            if link.startswith(("days/", "weeks/", "months/"))
        ]
        ahead += [link for link in below if link not in met]
    assert met == set(archive)


def test_a_months_calendar_leads_to_its_days_and_its_weeks_and_a_week_to_its_days(archive: dict[str, Any]) -> None:
    for day in DAYS:
        calendar = set(led(archive, month_path(day), "//table//a/@href"))
        assert {day_path(day), week_path(day)} <= calendar
        assert day_path(day) in led(archive, week_path(day), "//ul[@class='days']//a/@href")


def test_many_years_of_days_are_all_reached_and_the_page_stays_light() -> None:
    days = [(date(2026, 6, 30) - timedelta(days=n), n % 7 + 1) for n in range(9000)]
    page = pages.archive_page(SITE, days)
    assert len(page) <= PAGE_BYTES_MAX
    months = {month_path(day) for day, _ in days}
    assert {href for href in parsed(page).xpath("//main//a/@href") if href.startswith("months/")} == months


def test_a_month_has_each_of_its_days_in_the_right_column_with_its_count(archive: dict[str, Any]) -> None:
    for table in archive[ARCHIVE_PATH].xpath("//table"):
        for row in table.xpath("tbody/tr"):
            for weekday, cell in enumerate(row.xpath("td")):
                for link in cell.xpath("a/@href"):
                    day = date.fromisoformat(link.removeprefix("days/").removesuffix(".html"))
                    assert day.weekday() == weekday
                    assert text_of(cell) == f"{day.day} {dict(COUNTED)[day]}"
    shown = [date.fromisoformat(h[5:15]) for h in archive[ARCHIVE_PATH].xpath("//td/a/@href")]
    assert sorted(shown) == sorted(DAYS)


def test_a_week_and_a_month_count_their_days(archive: dict[str, Any]) -> None:
    for of in (week_of, month_of):
        for period in all_of(DAYS, of):
            mine = [(day, n) for day, n in COUNTED if day in period]
            page = archive[period.path]
            said = text_of(page.xpath("//p[@class='stand']")[0])
            assert f"{sum(n for _, n in mine)} new paper" in said
            assert f"on {len(mine)} day" in said
            headings = [text_of(h) for h in page.xpath("//section[contains(@class, 'group')]/h2")]
            assert len(headings) == len(mine)
            assert all(heading.endswith(f" {n}") for heading, (_, n) in zip(headings, mine, strict=True))


# What weeks and months are


@pytest.mark.parametrize(
    ("day", "path", "first", "last"),
    [
        (date(2018, 12, 31), "weeks/2019-W01.html", date(2018, 12, 31), date(2019, 1, 6)),
        (date(2021, 1, 3), "weeks/2020-W53.html", date(2020, 12, 28), date(2021, 1, 3)),
        (date(2021, 1, 4), "weeks/2021-W01.html", date(2021, 1, 4), date(2021, 1, 10)),
        (date(2026, 6, 2), "weeks/2026-W23.html", date(2026, 6, 1), date(2026, 6, 7)),
        (date(1, 1, 1), "weeks/0001-W01.html", date(1, 1, 1), date(1, 1, 7)),
        (date(9999, 12, 31), "weeks/9999-W52.html", date(9999, 12, 27), date(9999, 12, 31)),
    ],
)
def test_a_week_is_the_iso_week_whatever_the_year(day: date, path: str, first: date, last: date) -> None:
    week = week_of(day)
    assert (week.path, week.first, week.last) == (path, first, last)
    assert week_path(day) == path


@pytest.mark.parametrize(
    ("day", "path", "last"),
    [
        (date(2020, 2, 1), "months/2020-02.html", date(2020, 2, 29)),
        (date(2021, 2, 28), "months/2021-02.html", date(2021, 2, 28)),
        (date(2026, 12, 31), "months/2026-12.html", date(2026, 12, 31)),
        (date(9999, 12, 1), "months/9999-12.html", date(9999, 12, 31)),
    ],
)
def test_a_month_ends_where_the_calendar_says(day: date, path: str, last: date) -> None:
    month = month_of(day)
    assert (month.path, month.first, month.last) == (path, day.replace(day=1), last)


def test_a_span_names_only_what_differs() -> None:
    assert from_to(date(2026, 6, 1), date(2026, 6, 7)) == "1 to 7 June 2026"
    assert from_to(date(2026, 6, 29), date(2026, 7, 5)) == "29 June to 5 July 2026"
    assert from_to(date(2025, 12, 29), date(2026, 1, 4)) == "29 December 2025 to 4 January 2026"


def test_the_neighbours_of_a_period_are_the_next_ones_with_papers_over_any_gap() -> None:
    def named(period: Period) -> tuple[str, ...]:
        return tuple(p.path if p else "" for p in neighbours(period, COUNTED))

    assert named(week_of(date(2020, 12, 31))) == ("weeks/2020-W09.html", "weeks/2021-W01.html")
    assert named(month_of(date(2021, 2, 1))) == ("months/2021-01.html", "months/2024-12.html")
    assert named(month_of(date(2018, 12, 31))) == ("", "months/2020-02.html")
    assert named(week_of(date(2026, 7, 1))) == ("weeks/2025-W01.html", "")


# What a long one shows


def a_month_of_papers(each: int, days: int = 20) -> list[TaggedPaper]:
    """That many papers on each of the first days of June 2026, with long titles."""
    return [
        tagged(
            a_paper(
                paper_id=f"arxiv:2606.{day:02}{n:03}",
                aliases=(),
                title=f"Paper {n} of day {day}: " + "a rather long title " * 12,
                announced_on=date(2026, 6, day),
                authors=tuple(f"Author {k} Longname" for k in range(6)),
            ),
            *(("nlp",) if n % 3 else ()),
        )
        for day in range(days, 0, -1)
        for n in range(each)
    ]


def test_a_month_of_ten_thousand_papers_says_that_it_shows_the_top_of_each_day() -> None:
    days = [(date(2026, 6, n), 500) for n in range(20, 0, -1)]
    shown = a_month_of_papers(30)
    page = pages.month_page(SITE, date(2026, 6, 1), shown, days=days, counts={})
    assert len(page) <= PAGE_BYTES_MAX
    tree = parsed(page)
    said = text_of(tree.xpath("//p[@class='stand']")[0])
    assert said.startswith("10,000 new papers on 20 days. 600 of them are listed here")
    assert len(tree.xpath("//li/a[starts-with(@href, '../papers/')]")) == 600
    assert {text_of(a) for a in tree.xpath("//p[@class='more']/a")} == {"470 more on this day"}
    assert len(tree.xpath("//p[@class='more']/a[starts-with(@href, '../days/')]")) == 20


def test_a_page_too_long_for_a_phone_shows_fewer_of_each_day_and_says_how_many() -> None:
    days = [(date(2026, 6, n), 100) for n in range(20, 0, -1)]
    page = pages.month_page(SITE, date(2026, 6, 1), a_month_of_papers(100), days=days, counts={})
    assert len(page) <= PAGE_BYTES_MAX
    tree = parsed(page)
    listed = len(tree.xpath("//li/a[starts-with(@href, '../papers/')]"))
    assert 0 < listed < 2000
    assert f"{listed:,} of them are listed here" in text_of(tree.xpath("//p[@class='stand']")[0])
    assert listed % 20 == 0  # of each day alike


def test_a_week_lists_its_papers_by_day_and_topic_each_once() -> None:
    papers = papers_of(40)
    days = [(date(2026, 6, 2), 40)]
    counts = {"nlp": {date(2026, 6, 2): 20, date(2026, 5, 2): 99}, "robots": {date(2026, 6, 2): 10}}
    page = parsed(pages.week_page(SITE, date(2026, 6, 2), papers, days=days, counts=counts))
    hrefs = page.xpath("//li/a[starts-with(@href, '../papers/')]/@href")
    assert len(hrefs) == len(set(hrefs)) == 40
    assert [text_of(h) for h in page.xpath("//section[contains(@class, 'group')]/h3")] == [
        "Language models",
        "Other papers",
    ]
    assert [text_of(li) for li in page.xpath("//section[h2[@id='topics']]//li")] == [
        "Language models 20",
        "Robot learning 10",
    ]
    assert "listed here" not in text_of(page.xpath("//p[@class='stand']")[0])
