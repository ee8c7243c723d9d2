"""The demo's world as its tests see it: the answers of its server, and captured papers to compare them with."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from lxml import etree

from flows.replay import answer, load_demo_data

DATA = load_demo_data()
FIRST, LAST = DATA.days[0], DATA.days[-1]
NAMESPACES = {
    "arxiv": "http://arxiv.org/schemas/atom",
    "dc": "http://purl.org/dc/elements/1.1/",
    "atom": "http://www.w3.org/2005/Atom",
}


def at(day: date, hour: int = 6) -> datetime:
    """A moment of a day."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def feed(query: str, day: date, kind: str = "rss") -> Any:
    """The root of the feed that is served on a day."""
    reply = answer(DATA, f"/{kind}/{query}", at(day))
    assert reply.status == 200
    return etree.fromstring(reply.body)


def items(query: str, day: date) -> dict[str, Any]:
    """The items of the RSS feed of a day, by guid."""
    return {item.findtext("guid"): item for item in feed(query, day).iter("item")}


def announce_type(item: Any) -> str:
    """What arXiv says an item is."""
    return str(item.findtext("arxiv:announce_type", namespaces=NAMESPACES))


def creators(item: Any) -> list[str]:
    """The authors of an RSS item."""
    return str(item.findtext("dc:creator", namespaces=NAMESPACES)).split(", ")


def daily(day: date, asked_on: date) -> list[dict[str, Any]]:
    """The list of a day as served on another."""
    reply = answer(DATA, f"/api/daily_papers?date={day}", at(asked_on))
    assert reply.status == 200
    found: list[dict[str, Any]] = json.loads(reply.body)
    return found


def captured_lists(folder: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Every paper of the captured lists of June 2026: id → (day of the list, the outer object)."""
    found = {}
    for path in sorted(folder.glob("2026-06-*.json")):
        for outer in json.loads(path.read_text(encoding="utf-8")):
            found[outer["paper"]["id"]] = (path.stem, outer)
    return found
