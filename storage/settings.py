"""paperwire.toml: every setting, its default and its unit; errors name the line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from storage.errors import ConfigError, QueryError
from storage.query import parse_query
from storage.references import require_references

SLUG = r"^[a-z0-9]+(?:[.-][a-z0-9]+)*$"
ADDRESS = re.compile(r"[^\s@<>\"(),:;\\]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
SourceKind = Literal[
    "arxiv-rss", "arxiv-oai", "arxiv-api", "hf-daily", "biorxiv", "openreview", "crossref", "pubmed", "feed"
]
_ENVIRONMENT = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
SLUGS_TAKEN = {"all": "everything", "health": "what is missing", "category": "a category", "source": "a source"}


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL with a host")
    return value


class Site(_Table):
    """[site]: how the published pages and feeds name themselves."""

    title: Annotated[str, Field(min_length=1, max_length=200)] = "Paperwire"
    base_url: str = "http://127.0.0.1:8000/"  # where readers find the site; ends in a slash
    description: str = "New papers, one entry each, by topic."
    contact: str = ""  # an address or URL put into the User-Agent, so that a source can reach you
    live: bool = True  # whether pages link to what only Paperwire's own server answers: search, authors
    id_authority: str = ""  # the host in feed ids; kept from the first publish on, whatever base_url becomes
    hub: str = ""  # a WebSub hub that is told of every feed that changed; '' means none
    hub_urls_max: Annotated[int, Field(ge=1, le=100)] = 1  # feeds named in one ping; not every hub takes more
    allow_private_addresses: bool = False  # needed for a hub on your own network or machine

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        return _http_url(value).rstrip("/") + "/"

    @field_validator("hub")
    @classmethod
    def _hub(cls, value: str) -> str:
        return _http_url(value) if value else value


class Source(_Table):
    """[[source]]: one origin of entries."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:+-]{0,79}$")]
    kind: SourceKind
    category: str | None = None  # arxiv-rss: cs.CL, cs, or cs.AI+cs.LG; arxiv-oai: a set; biorxiv: a subject
    query: str | None = None  # arxiv-api, crossref, pubmed: what to ask for, in the provider's own words
    issn: str | None = None  # crossref: the journal
    server: Literal["biorxiv", "medrxiv"] = "biorxiv"  # biorxiv: which of the two
    venue: str | None = None  # openreview: ICLR.cc/2026/Conference
    url: str | None = None  # feed: the whole address
    base_url: str | None = None  # replaces the provider's scheme and host; paths stay the provider's
    days: Annotated[int, Field(ge=1, le=60)] = 14  # hf-daily: lists read again for votes; else of the first read
    schedule: str = ""  # cron in time_zone, for `up`; '' means the kind's own cadence
    time_zone: str = "UTC"
    delay_seconds: Annotated[float, Field(ge=0, le=3600)] | None = None  # between two requests to the host
    allow_private_addresses: bool = False  # needed for anything on your own network or machine

    @field_validator("base_url", "url")
    @classmethod
    def _urls(cls, value: str | None) -> str | None:
        return value if value is None else _http_url(value)

    @model_validator(mode="after")
    def _complete(self) -> Source:
        if self.kind == "arxiv-rss" and not self.category:
            raise ValueError('an arxiv-rss source needs a category, such as category = "cs.CL"')
        if self.kind in ("arxiv-api", "pubmed") and not self.query:
            raise ValueError(f"a source of kind {self.kind} needs a query")
        if self.kind == "crossref" and not (self.issn or self.query):
            raise ValueError("a crossref source needs an issn or a query")
        if self.kind == "openreview" and not self.venue:
            raise ValueError('an openreview source needs a venue, such as venue = "ICLR.cc/2026/Conference"')
        if self.kind == "feed" and not self.url:
            raise ValueError("a feed source needs a url")
        return self


class Topic(_Table):
    """[[topic]]: a named query; every query can be a subscription."""

    slug: Annotated[str, Field(pattern=SLUG, max_length=60)]
    title: Annotated[str, Field(min_length=1, max_length=200)]
    query: Annotated[str, Field(min_length=1, max_length=2000)]
    description: str = ""

    @field_validator("query")
    @classmethod
    def _query(cls, value: str) -> str:
        try:
            query = parse_query(value)
        except QueryError as error:
            raise ValueError(str(error)) from error
        if query.moves:
            # A paper is tagged when it changes; nobody would come back when the date or the other topic does.
            raise ValueError("since:, until: and topic: are for previews; a topic is what a paper is about")
        return value

    @field_validator("slug")
    @classmethod
    def _slug(cls, value: str) -> str:
        if value in SLUGS_TAKEN:
            raise ValueError(f"{value!r} names the feed of {SLUGS_TAKEN[value]}; choose another slug")
        return value


class Mail(_Table):
    """[mail]: the newsletter. Without smtp_url, messages become .eml files in the outbox folder."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    smtp_url: str = ""  # smtp://host:587, smtps://user:password@host:465; starttls is used where offered
    sender: Annotated[str, Field(alias="from")] = "Paperwire <paperwire@localhost>"
    to: tuple[str, ...] = ()
    reply_to: str = ""
    topics: tuple[str, ...] = ()  # slugs to send; empty means every topic
    papers_max: Annotated[int, Field(ge=1, le=200)] = 25  # papers in one digest; the rest are linked
    send_after: time = time(0, 0)  # no edition is cut before this time of day, UTC
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 30

    @field_validator("to")
    @classmethod
    def _to(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            if not ADDRESS.fullmatch(address):
                raise ValueError(f"{address!r} is not an e-mail address")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _smtp(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in ("smtp", "smtps") or not urlsplit(value).hostname):
            raise ValueError("must be smtp://host:port or smtps://host:port")
        return value

    @model_validator(mode="after")
    def _somebody(self) -> Mail:
        if self.smtp_url and not self.to:
            raise ValueError("smtp_url is set but nobody is in to = [...]")
        return self


class Webhook(_Table):
    """[[webhook]]: a program or a chat that is told of new papers. ${NAME} stands for a secret of the environment."""

    name: Annotated[str, Field(pattern=SLUG, max_length=60)]  # its own; another name is another webhook
    shape: Literal["json", "slack", "discord", "telegram", "matrix", "ntfy"]
    url: Annotated[str, Field(min_length=1, max_length=2000)]
    topics: tuple[str, ...] = ()  # slugs; with a query too, a paper of either is told
    query: Annotated[str, Field(max_length=2000)] = ""  # with neither, every paper is told
    secret: str = ""  # json: what the messages are signed with
    token: str = ""  # json, matrix, ntfy: sent as `Authorization: Bearer`
    chat: str = ""  # telegram: the id of the chat, or @channel
    room: str = ""  # matrix: !room:example.org
    papers_max: Annotated[int, Field(ge=1, le=200)] = 20  # in one message; the rest is linked
    revisions: bool = False  # whether new versions, publications and withdrawals are told too
    allow_private_addresses: bool = False  # needed for anything on your own network or machine

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        if not _ENVIRONMENT.match(value):
            _http_url(_ENVIRONMENT.sub("x", value))
        return value

    @field_validator("query")
    @classmethod
    def _query(cls, value: str) -> str:
        try:
            return parse_query(value).text if value else value
        except QueryError as error:
            raise ValueError(str(error)) from error

    @field_validator("secret", "token")
    @classmethod
    def _secret(cls, value: str) -> str:
        if value and not _ENVIRONMENT.fullmatch(value):
            raise ValueError("names a variable of the environment, such as ${WEBHOOK_SECRET}; no secret stands here")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Webhook:
        if self.shape == "telegram" and not self.chat:
            raise ValueError('a telegram webhook needs a chat, such as chat = "-1001234567890"')
        if self.shape == "matrix" and not (self.room and self.token):
            raise ValueError('a matrix webhook needs a room and a token, such as token = "${MATRIX_TOKEN}"')
        if self.secret and self.shape != "json":
            raise ValueError("only the json shape is signed; secret has no meaning here")
        return self


class Enrich(_Table):
    """[enrich]: what papers are asked after, of whom, and how often. Keys of providers come from the environment."""

    citations: Literal["semantic-scholar", "openalex"] | None = None  # who is asked for citation counts
    stars: bool = False  # whether GitHub is asked for the stars of a paper's code
    requests_per_day: Annotated[int, Field(ge=1, le=100_000)] = 100  # to each provider, UTC days
    days: Annotated[int, Field(ge=1, le=3_650)] = 90  # papers announced longer ago are not asked after
    semantic_scholar_base_url: str | None = None  # replaces the provider's scheme and host, as in [[source]]
    openalex_base_url: str | None = None
    github_base_url: str | None = None
    allow_private_addresses: bool = False  # needed for mirrors on your own network or machine

    @field_validator("semantic_scholar_base_url", "openalex_base_url", "github_base_url")
    @classmethod
    def _urls(cls, value: str | None) -> str | None:
        return value if value is None else _http_url(value)

    @property
    def providers(self) -> tuple[str, ...]:
        """Who is asked; each bears its name as a source."""
        return (*((self.citations,) if self.citations else ()), *(("github",) if self.stars else ()))


class Web(_Table):
    """[web]: what `up` and `demo` listen on."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000  # 0 takes a free one
    prefect_port: Annotated[int, Field(ge=0, le=65535)] = 4200


class Limits(_Table):
    """[limits]: what one source may cost. The unit is in the name."""

    connect_seconds: Annotated[float, Field(gt=0)] = 5
    read_seconds: Annotated[float, Field(gt=0)] = 20
    total_seconds: Annotated[float, Field(gt=0)] = 60
    redirects_max: Annotated[int, Field(ge=0)] = 5
    wire_bytes_max: Annotated[int, Field(gt=0)] = 8_000_000
    body_bytes_max: Annotated[int, Field(gt=0)] = 16_000_000
    parse_cpu_seconds: Annotated[int, Field(gt=0)] = 5
    parse_memory_bytes: Annotated[int, Field(gt=0)] = 512_000_000
    entries_max: Annotated[int, Field(gt=0)] = 5_000
    title_bytes_max: Annotated[int, Field(gt=0)] = 1_000
    abstract_bytes_max: Annotated[int, Field(gt=0)] = 64_000
    host_connections_max: Annotated[int, Field(ge=1, le=20)] = 1  # at once, of all processes; arXiv: always 1
    host_requests_per_day_max: Annotated[int, Field(ge=1)] = 10_000  # UTC days
    host_wait_seconds_max: Annotated[float, Field(gt=0, le=3600)] = 300  # for a turn, beyond the source's own delay


class Settings(_Table):
    """All of paperwire.toml, plus where it came from and where the data lives."""

    site: Site = Site()
    source: tuple[Source, ...] = ()
    topic: tuple[Topic, ...] = ()
    mail: Mail | None = None
    webhook: tuple[Webhook, ...] = ()
    enrich: Enrich = Enrich()
    web: Web = Web()
    limits: Limits = Limits()
    path: Annotated[Path | None, Field(exclude=True)] = None
    home: Annotated[Path, Field(exclude=True)] = Path(".paperwire")

    def source_named(self, name: str) -> Source:
        """The source with this name. Raises ConfigError."""
        found = next((s for s in self.source if s.name == name), None)
        if found is None:
            known = ", ".join(s.name for s in self.source) or "none"
            raise ConfigError(f"no source is named {name!r}; known: {known}", path=self.path)
        return found

    @model_validator(mode="after")
    def _unique(self) -> Settings:
        _refuse_twice("source", "name", [s.name for s in self.source])
        _refuse_twice("topic", "slug", [t.slug for t in self.topic])
        _refuse_twice("webhook", "name", [w.name for w in self.webhook])
        taken = next((s.name for s in self.source if s.name in self.enrich.providers), None)
        if taken:
            raise ValueError(f"a [[source]] is named {taken!r}, as what [enrich] asks; give it another name")
        known = {t.slug for t in self.topic}
        missing = [slug for slug in (self.mail.topics if self.mail else ()) if known and slug not in known]
        if missing:
            raise ValueError(f"mail.topics names {missing[0]!r}, which no [[topic]] has")
        for webhook in self.webhook:
            unknown = [slug for slug in webhook.topics if known and slug not in known]
            if unknown:
                raise ValueError(f"webhook {webhook.name!r} names the topic {unknown[0]!r}, which no [[topic]] has")
        return self


def _refuse_twice(table: str, key: str, names: Sequence[str]) -> None:
    twice = next((n for i, n in enumerate(names) if n in names[:i]), None)
    if twice is not None:
        raise ValueError(f"two [[{table}]] have the same {key} {twice!r}")


def data_home() -> Path:
    """Where the data lives: $PAPERWIRE_HOME, else ./.paperwire; always absolute."""
    return Path(os.environ.get("PAPERWIRE_HOME") or ".paperwire").expanduser().resolve()


def config_path(given: Path | None = None) -> Path:
    """The configuration in force: the one given, else $PAPERWIRE_CONFIG, else ./paperwire.toml."""
    return Path(given or os.environ.get("PAPERWIRE_CONFIG") or "paperwire.toml").expanduser().resolve()


def load_settings(path: Path, *, home: Path | None = None) -> Settings:
    """Read and check `path`. Raises ConfigError with the line that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        hint = "write one, or name it with --config (see docs/operate.md)"
        raise ConfigError(f"no configuration here ({error.strerror}); {hint}", path=path) from error
    except UnicodeDecodeError as error:
        raise ConfigError("not UTF-8 text", path=path) from error
    return parse_settings(text, path=path, home=home)


def parse_settings(text: str, *, path: Path | None = None, home: Path | None = None) -> Settings:
    """Check configuration `text`; `path` is only for messages."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        raise ConfigError(f"not valid TOML: {error}", path=path, line=int(found[1]) if found else None) from error
    for reserved in ("path", "home"):
        if reserved in raw:
            raise ConfigError(f"unknown key {reserved!r}", path=path, line=line_of(text, (reserved,)))
    try:
        settings = Settings(**raw, path=path, home=(home or data_home()))
    except ValidationError as error:
        first = error.errors()[0]
        place = tuple(part for part in first["loc"] if isinstance(part, str | int))
        raise ConfigError(_say(first, place), path=path, line=line_of(text, place)) from error
    _require_files(settings, text)
    return settings


def _require_files(settings: Settings, text: str) -> None:
    """Raise ConfigError at the line of a query whose like: names a file that is not there."""
    queries = [("topic", place, topic.query) for place, topic in enumerate(settings.topic)]
    queries += [("webhook", place, hook.query) for place, hook in enumerate(settings.webhook) if hook.query]
    for table, place, query in queries if settings.path else ():
        for like in parse_query(query).likes if "like" in query.lower() else ():
            try:
                require_references(like.seed, settings.path.parent if settings.path else None)
            except ValueError as error:
                said = str(QueryError(query, like.at, str(error)))
                at = line_of(text, (table, place, "query"))
                raise ConfigError(f"query: {said}", path=settings.path, line=at) from error


def _say(error: Any, place: tuple[str | int, ...]) -> str:
    """Turn pydantic's error into one sentence in the words of paperwire.toml."""
    key = next((str(p) for p in reversed(place) if isinstance(p, str)), "")
    if error["type"] == "extra_forbidden":
        return f"unknown key {key!r}{_nearest(key, place)}"
    if error["type"] == "missing":
        return f"{key!r} is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def _nearest(key: str, place: tuple[str | int, ...]) -> str:
    from difflib import get_close_matches

    tables: dict[str, type[BaseModel]] = {
        "site": Site,
        "source": Source,
        "topic": Topic,
        "mail": Mail,
        "webhook": Webhook,
        "enrich": Enrich,
        "web": Web,
        "limits": Limits,
    }
    table = tables.get(str(place[0]))
    fields = (table or Settings).model_fields
    names = [field.alias or n for n, field in fields.items() if n not in ("path", "home")]
    close = get_close_matches(key, names if len(place) > 1 else list(tables), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known here: {', '.join(names)}"


def line_of(text: str, place: tuple[str | int, ...]) -> int | None:
    """The 1-based line of the key at `place`, e.g. ("source", 1, "kind"); its table where the key is absent."""
    lines = text.splitlines()
    table = str(place[0]) if place else ""
    nth = next((p for p in place[1:2] if isinstance(p, int)), 0)
    header = re.compile(rf"\s*\[\[?\s*{re.escape(table)}\s*\]\]?\s*(#.*)?$")
    starts = [i for i, line in enumerate(lines) if header.match(line)]
    if not starts:
        return _line_of_key(lines, 0, table)
    start = starts[min(nth, len(starts) - 1)]
    key = next((p for p in reversed(place[1:]) if isinstance(p, str)), None)
    return (_line_of_key(lines, start + 1, key) if key else None) or start + 1


def _line_of_key(lines: list[str], start: int, key: str) -> int | None:
    for number, line in enumerate(lines[start:], start + 1):
        if re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
        if number > start + 1 and re.match(r"\s*\[", line):
            return None
    return None
