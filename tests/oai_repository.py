"""OAI-PMH as arXiv speaks it: answers built from small records, and a repository whose records change meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.servers import Answer, Ask

_ROOT = (
    '<?xml version="1.0" encoding="{charset}"?>\n<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n<responseDate>{answered}</responseDate>\n'
    '<request verb="ListRecords">https://oaipmh.arxiv.org/oai</request>\n{inside}\n</OAI-PMH>'
)
ANSWERED = "2026-06-02T05:59:58Z"
ABSTRACT = "We show that $x<y$ holds for all \\emph{short} titles."


def answer(inside: str, *, answered: str = ANSWERED, charset: str = "UTF-8") -> bytes:
    """A whole answer around an error or a list."""
    return _ROOT.format(charset=charset, answered=answered, inside=inside).encode(charset)


def records(*items: str, following: str | None = None, size: int | None = None, **changes: str) -> bytes:
    """An answer that lists records; `following` is the token of the next page, "" an empty one, `size` of the list."""
    sized = "" if size is None else f" completeListSize='{size}'"
    end = (
        ""
        if following is None
        else f"<resumptionToken expires='2026-06-03T00:00:00Z'{sized}>{escape(following)}</resumptionToken>"
    )
    return answer(f"<ListRecords>{''.join(items)}{end}</ListRecords>", **changes)


def error(code: str, words: str = "", **changes: str) -> bytes:
    """An answer that is an error, which comes inside HTTP 200."""
    return answer(f'<error code="{code}">{words}</error>', **changes)


def record(metadata: str, *, name: str = "oai:arXiv.org:2606.00012", day: str = "2026-06-02", sets: str = "") -> str:
    """One record."""
    specs = "".join(f"<setSpec>{spec}</setSpec>" for spec in sets.split())
    header = f"<header><identifier>{name}</identifier><datestamp>{day}</datestamp>{specs}</header>"
    return f"<record>{header}<metadata>{metadata}</metadata></record>"


def deleted(name: str, *, day: str = "2026-06-02") -> str:
    """A record that tells of its deletion."""
    header = f"<identifier>{name}</identifier><datestamp>{day}</datestamp>"
    return f'<record><header status="deleted">{header}</header></record>'


def raw(
    number: str = "2606.00012",
    *,
    abstract: str = ABSTRACT,
    versions: int = 1,
    holds: str = "<size>9kb</size>",
    submitted: str = "2026-06-01",
    **texts: str,
) -> str:
    """`arXivRaw` metadata, a version a day from `submitted` on; further elements by keyword, `_` for `-`."""
    days = [date.fromisoformat(submitted) + timedelta(days=n) for n in range(versions)]
    history = "".join(
        f'<version version="v{n}"><date>{day:%a, %d %b %Y} 14:59:59 GMT</date>{holds}</version>'
        for n, day in enumerate(days, 1)
    )
    said = {"title": "On Titles", "authors": "Ada Example", "categories": "cs.CL cs.AI"} | texts
    return (
        f'<arXivRaw xmlns="http://arxiv.org/OAI/arXivRaw/"><id>{number}</id><submitter>Ada Example</submitter>{history}'
        f"{_elements(said)}<abstract>{escape(abstract)}</abstract></arXivRaw>"
    )


def arxiv(number: str = "2606.00012", *, abstract: str = ABSTRACT, authors: str = "", **texts: str) -> str:
    """`arXiv` metadata; `authors` is markup."""
    said = {"title": "On Titles", "categories": "cs.CL cs.AI"} | texts
    return (
        f'<arXiv xmlns="http://arxiv.org/OAI/arXiv/"><id>{number}</id><authors>{authors}</authors>'
        f"{_elements(said)}<abstract>{escape(abstract)}</abstract></arXiv>"
    )


def dublin_core(*elements: tuple[str, str]) -> str:
    """Dublin Core metadata of (name, text) pairs."""
    inside = "".join(f"<dc:{name}>{escape(text)}</dc:{name}>" for name, text in elements)
    namespaces = (
        'xmlns:oai_dc="http://www.openarchives.org/OAI/2.0/oai_dc/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    )
    return f"<oai_dc:dc {namespaces}>{inside}</oai_dc:dc>"


def _elements(texts: dict[str, str]) -> str:
    return "".join(f"<{n.replace('_', '-')}>{escape(t)}</{n.replace('_', '-')}>" for n, t in texts.items())


@dataclass(frozen=True, kw_only=True)
class Held:
    """A record as the repository holds it."""

    number: str
    day: str  # of its last change
    versions: int = 1
    holds: str = "<size>9kb</size>"
    submitted: str = "2026-06-01"
    abstract: str = ABSTRACT
    deleted: bool = False
    damaged: bool = False


@dataclass(kw_only=True)
class Repository:
    """Lists what changed from `from` to `until`, oldest change first, page by page; a token says how many to skip.

    As arXiv's does, it refuses days before its earliest, and without `from` begins with that.
    """

    held: dict[str, Held]
    page_size: int = 2
    answered: str = ANSWERED
    after_a_page: Callable[[Repository], None] | None = None  # called once, when the first page is out
    empty_last_token: bool = False
    earliest: str = "2007-05-23"
    expired: bool = False  # whether the tokens given out so far are good no longer
    tells_size: bool = False
    asked: list[str] = field(default_factory=list)

    def change(self, number: str, day: str) -> None:
        """Give a record a new version on a day."""
        self.held[number] = replace(self.held[number], day=day, versions=self.held[number].versions + 1)

    def __call__(self, ask: Ask) -> Answer:
        """Answer one request."""
        self.asked.append(ask.path)
        said = {name: values[0] for name, values in parse_qs(urlsplit(ask.path).query).items()}
        if "resumptionToken" in said:
            said |= {name: values[0] for name, values in parse_qs(unquote(said["resumptionToken"])).items()}
        body = self._list(said.get("from", self.earliest), said.get("until", "9999"), int(said.get("skip", "0")))
        if said.get("from", self.earliest) < self.earliest:
            body = error("badArgument", "Reason: start date too early", answered=self.answered)
        if self.expired and "resumptionToken" in said:
            self.expired, body = False, error("badResumptionToken", "Reason: expired", answered=self.answered)
        if self.after_a_page:
            self.after_a_page, change = None, self.after_a_page
            change(self)
        return Answer(body=body, headers={"Content-Type": "text/xml"})

    def _list(self, since: str, until: str, skip: int) -> bytes:
        spanned = (h for h in self.held.values() if since <= h.day <= until)
        changed = sorted(spanned, key=lambda h: (h.day, h.number))
        if not changed:
            return error("noRecordsMatch", answered=self.answered)
        page = changed[skip : skip + self.page_size]
        skipped = skip + self.page_size
        days = f"from={since}&until={until}"
        token: str | None = quote(f"verb=ListRecords&metadataPrefix=arXivRaw&{days}&skip={skipped}", safe="")
        if skipped >= len(changed):
            token = "" if self.empty_last_token else None
        size = len(changed) if self.tells_size else None
        return records(*map(_as_record, page), following=token, size=size, answered=self.answered)


def held(numbers: Iterable[str], *, day: str) -> dict[str, Held]:
    """Records of version 1, all changed on one day."""
    return {number: Held(number=number, day=day) for number in numbers}


def _as_record(one: Held) -> str:
    name = f"oai:arXiv.org:{one.number}"
    if one.deleted:
        return deleted(name, day=one.day)
    said = raw(one.number, versions=one.versions, holds=one.holds, abstract=one.abstract, submitted=one.submitted)
    return record(said + "&nothing;" if one.damaged else said, name=name, day=one.day)
