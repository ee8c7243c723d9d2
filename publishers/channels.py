"""What a feed and its page are about: everything, a topic, a category, a source, or whatever a query finds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from publishers.names import category_name
from publishers.paths import category_path, file_name, search_href, source_path, topic_path
from publishers.readable import plain, readable
from storage.model import Paper
from storage.settings import Topic

ALL = "all"  # the key, and the name of the feeds, of the channel that carries every paper


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One subject that can be subscribed to. `title` and `description` are readable text."""

    kind: str  # all, topic, category, source, query
    key: str  # what the papers in it have: a slug, a category's code, a source's name, the query
    stem: str  # the path of its feeds within the site, without the extension: feeds/agents
    page: str  # the path of its page within the site
    title: str
    description: str
    query: str = ""  # of a topic
    suffix: str = ""  # what follows the extension in the address of a feed: the query that it answers


EVERYTHING = Channel(
    kind="all",
    key=ALL,
    stem=f"feeds/{ALL}",
    page="index.html",
    title="All papers",
    description="Everything this site follows.",
)


def topic_channel(topic: Topic) -> Channel:
    """Return the channel of a topic."""
    title = readable(topic.title)
    return Channel(
        kind="topic",
        key=topic.slug,
        stem=f"feeds/{topic.slug}",
        page=topic_path(topic.slug),
        title=title,
        description=readable(topic.description) or f"New papers on {title}.",
        query=topic.query,
    )


def channels_of(paper: Paper, topics: Iterable[Channel]) -> tuple[Channel, ...]:
    """Return all that a paper belongs to, where it answers `topics`."""
    categories = (category_channel(code) for code in dict.fromkeys(paper.categories) if code)
    return (EVERYTHING, *topics, *categories, *map(source_channel, paper.sources))


@lru_cache(maxsize=8_192)
def category_channel(code: str) -> Channel:
    """Return the channel of a category: papers that carry this very code, cross-listed ones too."""
    name, shown = category_name(code), plain(code)
    return Channel(
        kind="category",
        key=code,
        stem=f"feeds/category/{file_name(code)}",
        page=category_path(code),
        title=name,
        description=f"New papers in the category {name}{f' ({shown})' if name != shown else ''}.",
    )


@lru_cache(maxsize=8_192)
def source_channel(name: str) -> Channel:
    """Return the channel of a source: the papers it told of."""
    return Channel(
        kind="source",
        key=name,
        stem=f"feeds/source/{file_name(name)}",
        page=source_path(name),
        title=plain(name),
        description=f"New papers that {plain(name)} told of.",
    )


def query_channel(text: str) -> Channel:
    """Return the channel of whatever the query `text` finds, answered by a live site."""
    title = plain(text)
    return Channel(
        kind="query",
        key=text,
        stem="search",
        page=search_href(text),
        title=title,
        description=f"New papers that the query {title} finds.",
        suffix=search_href(text).removeprefix("search"),
    )
