"""How a preview and an explanation look: in a terminal 80 columns wide, in a pipe, and as JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from flows.show import counted, hang, print_json, say
from publishers.paths import search_href
from storage.preview import topic_lines

if TYPE_CHECKING:
    from storage.preview import Preview, Sampled

_BAR_WIDTH = 40
_DAYS_ONE_BY_ONE = 62  # of more days each line is a week
_WEEK = timedelta(days=7)


def preview(found: Preview, *, base_url: str | None, topics: Collection[str], moves: bool, as_json: bool) -> None:
    """Show what a query would have delivered, what it would cost to read, and how to subscribe.

    `base_url` is that of the site, where one is configured; `topics` are slugs that are taken; a query that `moves`
    cannot be a topic.
    """
    feed = base_url + search_href(found.query, "atom") if base_url else None
    topic = None if moves else topic_lines(found.query, topics)
    if as_json:
        print_json(_document(found, feed, topic))
        return
    _plot(found)
    say(_summary(found))
    if found.total:
        say(f"[dim]{_spread(found)}[/]")
    if found.told_since and found.told_since > found.days[0][0]:
        days = counted(len(found.covered), "day")
        say(f"[dim]the archive has told of papers since {found.told_since:%a %d %b %Y}: {days} of these[/]")
    for one in found.sample:
        _say_sampled(one, max(len(s.paper.paper.paper_id) for s in found.sample))
    _say_subscription(feed, topic)


def _document(found: Preview, feed: str | None, topic: str | None) -> dict[str, Any]:
    busiest = found.busiest
    return _fields(found) | {
        "cost": found.cost,
        "weekday_mean": round(found.weekday_mean, 2),
        "weekday_median": found.weekday_median,
        "busiest": {"day": busiest[0], "papers": busiest[1]} if busiest else None,
        "sample": [
            _fields(one.paper.paper) | {"topics": [tag.slug for tag in one.paper.tags], "reasons": one.reasons}
            for one in found.sample
        ],
        "feed": feed,
        "topic": topic,
    }


def _fields(value: Any) -> dict[str, Any]:
    return {f.name: getattr(value, f.name) for f in fields(value)}


def _plot(found: Preview) -> None:
    """A line for each day, or for each week."""
    weekly = len(found.days) > _DAYS_ONE_BY_ONE
    lines = list(_weeks(found.days)) if weekly else found.days
    most = max((n for _, n in lines), default=0) or 1
    for day, count in lines:
        width = round(_BAR_WIDTH * count / most)
        bar = f"[cyan]{'█' * width}[/] " if width else ""
        said = f"week of {day:%d %b %Y}" if weekly else f"{day:%a %d %b}"
        say(f"{said}  {bar}{count or '[dim]·[/]'}")


def _weeks(days: Sequence[tuple[date, int]]) -> Iterator[tuple[date, int]]:
    """Weeks from Monday on, each with its papers; the first and the last may be cut."""
    counts: dict[date, int] = {}
    for day, count in days:
        monday = day - timedelta(days=day.weekday())
        counts[monday] = counts.get(monday, 0) + count
    yield from counts.items()


def _summary(found: Preview) -> str:
    return (
        f"[bold]{found.total:,}[/] {'paper' if found.total == 1 else 'papers'} in {counted(len(found.days), 'day')}: "
        f"[bold]{found.cost}[/]"
    )


def _spread(found: Preview) -> str:
    busiest = found.busiest
    most = f", most on {busiest[0]:%a %d %b}: {busiest[1]:,}" if busiest else ""
    return f"{found.weekday_median:g} on the median weekday{most}"


def _say_sampled(one: Sampled, width: int) -> None:
    """A paper, and below it why it is there."""
    paper = one.paper.paper
    hang(f"  [cyan]{escape(paper.paper_id.ljust(width))}[/]  ", escape(paper.title))
    if one.reasons:
        hang(" " * (width + 4), f"[dim]{escape(', '.join(one.reasons))}[/]")


def _say_subscription(feed: str | None, topic: str | None) -> None:
    if feed:
        say(f"[bold]To follow it[/] while `paperwire up` serves: {escape(feed)}")
    if topic:
        say("[bold]To make it a topic[/], add to paperwire.toml:")
        for line in topic.splitlines():
            say(f"  {escape(line)}")
