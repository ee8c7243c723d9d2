"""The topics that come with Paperwire, read from shipped_topics.toml."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from storage.settings import Topic


@cache
def shipped_topics() -> tuple[Topic, ...]:
    """Return the shipped topics in the order of the file: themes first, then arXiv's own groups.

    Each query comes on one line. The slug of an arXiv group is its category in lower case, such as cs.cl.
    """
    text = files("storage").joinpath("shipped_topics.toml").read_text(encoding="utf-8")
    return tuple(Topic(**table | {"query": " ".join(table["query"].split())}) for table in tomllib.loads(text)["topic"])
