"""Who counts: how Semantic Scholar, OpenAlex and GitHub are asked about papers, and what their answers say.

Pure: ids in, questions out; answers in, counts out. A count that cannot be one is a problem line and costs that paper.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import quote

import orjson

from flows.fetching import Fetched
from flows.sources.reading import json_in, rebased, repository, require_ok
from storage.errors import ConfigError, ParseError
from storage.identity import parse_arxiv_id, parse_doi
from storage.settings import Enrich, Source

COUNT_MAX = 100_000_000  # more stars or citations than anything has
_GONE = frozenset([404, 410, 451])
_GITHUB_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/[A-Za-z0-9._-]{1,100}", re.ASCII)
_KEY = re.compile(r"[\x21-\x7e]{1,500}")
_DOI_CHARACTERS_MAX = 200
_SHOWN_MAX = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request to make."""

    url: str  # without any key
    body: bytes | None = None  # of a POST


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What one answer said: a count for each id that is known there."""

    counts: Mapping[str, int]
    problems: tuple[str, ...] = ()


class Counter(Protocol):
    """One provider of counts."""

    name: str  # also that of the source its sightings have
    counts: Literal["citations", "stars"]
    asks_at_once: int  # ids in one request
    delay_seconds: float  # between two requests
    key_variable: str  # the environment variable with a key for it

    def id_of(self, aliases: Collection[str], code_url: str | None) -> str | None:
        """How the provider knows a paper; None where it cannot be asked about it."""
        ...

    def question(self, ids: Sequence[str], base_url: str | None) -> Question:
        """The request that asks about `ids`."""
        ...

    def key_header(self, key: str) -> dict[str, str]:
        """The header that carries a key; empty where the address does."""
        ...

    def keyed(self, url: str, key: str) -> str:
        """The address that carries a key; as it is where a header does."""
        ...

    def read(self, source: Source, ids: Sequence[str], fetched: Fetched) -> Answers:
        """What an answer says of `ids`. Raises FetchError, ParseError where it says nothing as a whole."""
        ...


class _KeyInHeader:
    """A provider whose address carries no key."""

    def keyed(self, url: str, key: str) -> str:  # noqa: ARG002
        """As it is."""
        return url


class SemanticScholar(_KeyInHeader):
    """POST /graph/v1/paper/batch: a list as long as the one asked, null for what is unknown."""

    name = "semantic-scholar"
    counts: Literal["citations", "stars"] = "citations"
    asks_at_once = 500
    delay_seconds = 1.0
    key_variable = "SEMANTIC_SCHOLAR_API_KEY"
    _url = "https://api.semanticscholar.org/graph/v1/paper/batch?fields=citationCount,externalIds"

    def id_of(self, aliases: Collection[str], code_url: str | None) -> str | None:  # noqa: ARG002
        """Its own spelling of arXiv id, DOI or PubMed id."""
        for namespace, spelled in (("arxiv", "ARXIV"), ("doi", "DOI"), ("pmid", "PMID")):
            value = _first(aliases, namespace)
            if value:
                return f"{spelled}:{value}"
        return None

    def question(self, ids: Sequence[str], base_url: str | None) -> Question:
        """All ids in the body."""
        return Question(url=rebased(self._url, base_url), body=orjson.dumps({"ids": list(ids)}))

    def key_header(self, key: str) -> dict[str, str]:
        """Its own header."""
        return {"x-api-key": key}

    def read(self, source: Source, ids: Sequence[str], fetched: Fetched) -> Answers:
        """One element for each id, in order."""
        require_ok(source, fetched)
        listed = json_in(source, fetched)
        if not isinstance(listed, list):
            raise ParseError(source.name, f"it returned no list of papers{_said(listed)}")
        if len(listed) != len(ids):
            raise ParseError(source.name, f"it was asked about {len(ids)} papers and answered of {len(listed)}")
        pairs = ((asked, thing) for asked, thing in zip(ids, listed, strict=True) if thing is not None)
        return _counted((asked, _field(thing, "citationCount"), _is_other(asked, thing)) for asked, thing in pairs)


class OpenAlex:
    """GET /works, filtered by up to 50 DOIs: the works it has, in an order of its own."""

    name = "openalex"
    counts: Literal["citations", "stars"] = "citations"
    asks_at_once = 50
    delay_seconds = 0.2
    key_variable = "OPENALEX_API_KEY"
    # Two works may share a DOI, so a page has room for more than were asked for.
    _url = "https://api.openalex.org/works?per-page=100&select=ids,doi,cited_by_count&filter=doi:"

    def id_of(self, aliases: Collection[str], code_url: str | None) -> str | None:  # noqa: ARG002
        """A DOI; every arXiv paper has one. Commas and bars would end it within a filter."""
        arxiv = _first(aliases, "arxiv")
        doi = f"10.48550/arxiv.{arxiv}" if arxiv else _first(aliases, "doi")
        return doi if doi and len(doi) <= _DOI_CHARACTERS_MAX and not set(doi) & {",", "|"} else None

    def question(self, ids: Sequence[str], base_url: str | None) -> Question:
        """All ids in the address."""
        return Question(url=rebased(self._url, base_url) + "%7C".join(quote(doi, safe="/") for doi in ids))

    def key_header(self, key: str) -> dict[str, str]:  # noqa: ARG002
        """None: its key goes into the address."""
        return {}

    def keyed(self, url: str, key: str) -> str:
        """With the key as its last parameter."""
        return f"{url}&api_key={quote(key, safe='')}"

    def read(self, source: Source, ids: Sequence[str], fetched: Fetched) -> Answers:
        """The works found, by DOI; the most cited of those that share one."""
        require_ok(source, fetched)
        document = json_in(source, fetched)
        works = _field(document, "results")
        if not isinstance(works, list):
            raise ParseError(source.name, f"it returned no list of works{_said(document)}")
        asked = set(ids)
        named = ((_doi(work), work) for work in works)
        return _counted((doi, _field(work, "cited_by_count"), None) for doi, work in named if doi in asked)


class GitHub(_KeyInHeader):
    """GET /repos/OWNER/NAME: one repository a request."""

    name = "github"
    counts: Literal["citations", "stars"] = "stars"
    asks_at_once = 1
    delay_seconds = 1.0
    key_variable = "GITHUB_TOKEN"
    _url = "https://api.github.com/repos/"

    def id_of(self, aliases: Collection[str], code_url: str | None) -> str | None:  # noqa: ARG002
        """Owner and name of the repository, in lower case: GitHub does not mind."""
        root = repository(code_url) if code_url else None
        name = root.removeprefix("https://github.com/").lower() if root else ""
        return name if _GITHUB_ID.fullmatch(name) else None

    def question(self, ids: Sequence[str], base_url: str | None) -> Question:
        """The repository in the address."""
        return Question(url=rebased(f"{self._url}{ids[0]}", base_url))

    def key_header(self, key: str) -> dict[str, str]:
        """The usual one."""
        return {"Authorization": f"Bearer {key}"}

    def read(self, source: Source, ids: Sequence[str], fetched: Fetched) -> Answers:
        """Its stars; a repository that is gone has no count. One that moved was followed to where it is."""
        if fetched.status in _GONE:
            return Answers(counts={})
        require_ok(source, fetched)
        document = json_in(source, fetched)
        if not isinstance(document, dict) or "stargazers_count" not in document:
            raise ParseError(source.name, f"it returned no repository for {ids[0]}{_said(document)}")
        return _counted([(ids[0], document["stargazers_count"], None)])


def counters_of(enrich: Enrich) -> tuple[tuple[Counter, str | None], ...]:
    """Who is asked by these settings, each with the base_url in its place."""
    everyone: tuple[tuple[Counter, str | None], ...] = (
        (SemanticScholar(), enrich.semantic_scholar_base_url),
        (OpenAlex(), enrich.openalex_base_url),
        (GitHub(), enrich.github_base_url),
    )
    return tuple((counter, base_url) for counter, base_url in everyone if counter.name in enrich.providers)


def key_of(counter: Counter, environ: Mapping[str, str]) -> str | None:
    """The key for a provider, where there is one. Raises ConfigError, which never shows it."""
    key = environ.get(counter.key_variable, "").strip()
    if key and not _KEY.fullmatch(key):
        raise ConfigError(f"${counter.key_variable} is no key: it has spaces or characters no header can carry")
    return key or None


def _counted(found: Iterable[tuple[str, Any, str | None]]) -> Answers:
    """Sift (id, count, what is wrong with it); of several counts for an id the highest."""
    counts: dict[str, int] = {}
    problems: list[str] = []
    for asked, count, wrong in found:
        if wrong:
            problems.append(f"{asked}: {wrong}")
        elif not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= COUNT_MAX:
            problems.append(f"{asked}: {_shown(count)} is no count")
        else:
            counts[asked] = max(count, counts.get(asked, 0))
    return Answers(counts=counts, problems=tuple(problems))


def _shown(value: Any) -> str:
    """A value in few characters; of a list or object its kind, for it may be deeper than Python can print."""
    return type(value).__name__ if isinstance(value, list | dict) else repr(value)[:_SHOWN_MAX]


def _is_other(asked: str, thing: Any) -> str | None:
    """What shows that an answer is about another arXiv paper than the one asked about; None where nothing does."""
    namespace, _, value = asked.partition(":")
    said = _field(_field(thing, "externalIds"), "ArXiv") if namespace == "ARXIV" else None
    parsed = parse_arxiv_id(said) if isinstance(said, str) else None
    return f"it answers of {parsed[0]}" if parsed and parsed[0] != value else None


def _doi(work: Any) -> str:
    said = _field(work, "doi")
    return (parse_doi(said) if isinstance(said, str) else None) or ""


def _field(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, dict) else None


def _said(document: Any) -> str:
    """What the answer says instead, where it says something."""
    said = _field(document, "error") or _field(document, "message")
    return f": it says {said[:_SHOWN_MAX]!r}" if isinstance(said, str) else ""


def _first(aliases: Iterable[str], namespace: str) -> str | None:
    start = f"{namespace}:"
    return min((a.removeprefix(start) for a in aliases if a.startswith(start)), default=None)
