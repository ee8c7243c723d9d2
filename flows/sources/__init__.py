"""The kinds of sources there are, and the adapter of each."""

from __future__ import annotations

from flows.sources.arxiv_rss import ArxivRss
from flows.sources.feed import Feed
from flows.sources.hf_daily import HfDaily
from flows.sources.interface import Adapter
from storage.settings import SourceKind

_ADAPTERS: dict[SourceKind, Adapter] = {"arxiv-rss": ArxivRss(), "hf-daily": HfDaily(), "feed": Feed()}


def adapter_for(kind: SourceKind) -> Adapter:
    """Return the adapter that reads sources of this kind."""
    return _ADAPTERS[kind]
