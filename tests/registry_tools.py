"""What tests of Crossref and PubMed share: their sources, requests and records, and how a page is read."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flows.parsing import Parser
from flows.sources import adapter_for
from flows.sources.interface import Harvest, Request
from storage.model import Entry
from tests.fetching_tools import a_source, fetched

CROSSREF, PUBMED = adapter_for("crossref"), adapter_for("pubmed")
JOURNAL = a_source(name="journal", kind="crossref", issn="1234-5678", days=7)
SEARCH = a_source(name="search", kind="pubmed", query="sleep[mesh] AND 2026[dp]", days=7)
PAGE = Request(url="https://api.crossref.org/works?cursor=*", key="2026-06-02 from 0")
ARTICLES = Request(url="https://eutils.test/efetch.fcgi?id=41000001", key="2026-06-02 articles 41000001")
SEARCHED = Request(url="https://eutils.test/esearch.fcgi", key="2026-06-02 search 2026-05-26 2026-06-02")


def works(parser: Parser, document: Any, *, status: int = 200, request: Request = PAGE) -> Harvest:
    """Read a page of Crossref's: a list of records, or a document or bytes as they are."""
    if isinstance(document, list):
        document = {"status": "ok", "message-type": "work-list", "message": {"items": document}}
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return CROSSREF.read(JOURNAL, request, fetched(body, status=status), parser)


def work(**changes: Any) -> dict[str, Any]:
    """A record as Crossref's API of 2026 writes it."""
    return {
        "DOI": "10.1000/ABC.1",
        "type": "journal-article",
        "title": ["On the Length\n of <i>Titles</i>"],
        "author": [
            {"given": "Béla", "family": "Minta", "sequence": "additional", "affiliation": []},
            {"given": "Ada", "family": "Example", "suffix": "Jr.", "sequence": "first"},
            {"name": "The Example &amp; Co. Collaboration", "sequence": "additional"},
        ],
        "abstract": "<jats:title>Abstract</jats:title><jats:p>We show p &lt; 0.05.</jats:p>",
        "container-title": ["Journal of Tests"],
        "volume": "12",
        "issue": "3",
        "page": "45-67",
        "issued": {"date-parts": [[2026, 5, 30]]},
        "published-print": {"date-parts": [[2026, 7]]},
        "published-online": {"date-parts": [[2026, 5, 30]]},
        "created": {"date-parts": [[2026, 5, 31]], "date-time": "2026-05-31T01:02:03Z"},
        "indexed": {"date-parts": [[2026, 6, 1]]},
        "license": [
            {"URL": "https://publisher.test/tdm", "content-version": "tdm"},
            {"URL": "https://publisher.test/terms", "content-version": "vor"},
            {"URL": "https://creativecommons.org/licenses/by/4.0/", "content-version": "am"},
        ],
    } | changes


def only(harvest: Harvest) -> Entry:
    assert harvest.problems == ()
    (entry,) = harvest.entries
    return entry


def asked(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
