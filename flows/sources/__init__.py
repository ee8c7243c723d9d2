"""The kinds of sources there are, and the adapter of each."""

from __future__ import annotations

from flows.sources.arxiv_api import ArxivApi
from flows.sources.arxiv_oai import ArxivOai
from flows.sources.arxiv_rss import ArxivRss
from flows.sources.biorxiv import Biorxiv
from flows.sources.crossref import Crossref
from flows.sources.feed import Feed
from flows.sources.hf_daily import HfDaily
from flows.sources.interface import Adapter
from flows.sources.openreview import OpenReview
from flows.sources.pubmed import PubMed
from storage.settings import SourceKind

_ADAPTERS: dict[SourceKind, Adapter] = {
    "arxiv-rss": ArxivRss(),
    "arxiv-oai": ArxivOai(),
    "hf-daily": HfDaily(),
    "arxiv-api": ArxivApi(),
    "biorxiv": Biorxiv(),
    "openreview": OpenReview(),
    "feed": Feed(),
    "crossref": Crossref(),
    "pubmed": PubMed(),
}


def adapter_for(kind: SourceKind) -> Adapter:
    """Return the adapter that reads sources of this kind."""
    return _ADAPTERS[kind]
