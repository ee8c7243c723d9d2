"""Hugging Face Daily Papers: a curated list per weekday, with votes. One request per day; old lists for their votes.

The API is undocumented; what is relied on here was seen in captures of 2025 and 2026: `upvotes`, `githubRepo` and
`submittedOnDailyAt` sit inside `paper`, `numComments` outside, and the outer `publishedAt` lies by hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from flows.fetching import Fetched
from flows.parsing import Parser
from flows.sources.interface import Harvest, Request, Rhythm
from flows.sources.reading import code_url, json_in, rebased, require_ok, sift
from storage.errors import EntryError, ParseError
from storage.identity import parse_arxiv_id
from storage.model import Entry
from storage.settings import Source

_HOST = "https://huggingface.co"
_SATURDAY = 5


class HfDaily:
    """Reads `hf-daily` sources."""

    rhythm = Rhythm.LISTS
    default_schedule = "35 1,7,13,19 * * *"  # lists grow during their day, votes for weeks
    delay_seconds = 1.0

    def plan(self, source: Source, *, now: datetime, mark: str | None = None) -> tuple[Request, ...]:  # noqa: ARG002
        """One request per list day, oldest first, up to today (UTC)."""
        today = now.astimezone(UTC).date()
        days = (today - timedelta(days=ago) for ago in reversed(range(source.days)))
        return tuple(
            Request(url=rebased(f"{_HOST}/api/daily_papers?date={day}", source.base_url), key=day.isoformat())
            for day in days
        )

    def read(self, source: Source, request: Request, fetched: Fetched, parser: Parser) -> Harvest:  # noqa: ARG002
        """Read one day's list; a day without one is fine."""
        day = date.fromisoformat(request.key)
        listed = [] if fetched.status == 404 else _list(source, fetched)
        if not listed:
            weekend = day.weekday() >= _SATURDAY
            return Harvest(entries=(), listed=0, notes=() if weekend else (f"no list on {day}",))
        entries, problems = sift(lambda thing: _entry(source, day, thing), listed)
        return Harvest(
            entries=entries,
            listed=len(listed),
            problems=tuple(f"list of {day}, {problem}" for problem in problems),
            batch_on=day,
        )


@dataclass(frozen=True, slots=True)
class _Listed:
    """One element of a list; what is wanted may sit inside its `paper` or outside, by year."""

    inner: dict[str, Any]
    outer: dict[str, Any]

    def text(self, key: str) -> str | None:
        value = self.inner.get(key) or self.outer.get(key)
        return value if isinstance(value, str) else None

    def count(self, key: str) -> int | None:
        value = self.inner.get(key, self.outer.get(key))
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _list(source: Source, fetched: Fetched) -> list[Any]:
    require_ok(source, fetched)
    document = json_in(source, fetched)
    if isinstance(document, list):
        return document
    said = document.get("error") if isinstance(document, dict) else None
    raise ParseError(
        source.name, f"it says {str(said)[:200]!r}" if said else "it returned JSON that is no list of papers"
    )


def _entry(source: Source, day: date, thing: Any) -> Entry:
    listed = _listed(source, thing)
    base = _arxiv_id(source, listed)
    abstract = listed.text("summary") or ""
    listed_at = _when(listed.text("submittedOnDailyAt"))
    return Entry(
        source=source.name,
        entry_id=base,
        title=listed.text("title") or "",
        abstract=abstract,
        authors=_names(listed.inner.get("authors")),
        url=f"https://arxiv.org/abs/{base}",
        pdf_url=f"https://arxiv.org/pdf/{base}",
        code_url=code_url(listed.text("githubRepo"), abstract),
        project_url=listed.text("projectPage"),
        arxiv_id=base,
        announced_on=listed_at.date() if listed_at else day,
        published_at=_when(listed.inner.get("publishedAt")),
        upvotes=listed.count("upvotes"),
        comment_count=listed.count("numComments"),
        stars=listed.count("githubStars"),
        trending=True,
        text_rank=0,
    )


def _listed(source: Source, thing: Any) -> _Listed:
    if not isinstance(thing, dict):
        raise EntryError(source.name, "", "it is no JSON object")
    inner = thing.get("paper", thing)
    if not isinstance(inner, dict):
        raise EntryError(source.name, "", "its paper is no JSON object")
    return _Listed(inner, thing)


def _arxiv_id(source: Source, listed: _Listed) -> str:
    """Return the base id. Raises EntryError; a number is refused, for 1410.7600 as a number is another paper's id."""
    said = listed.inner.get("id")
    if isinstance(said, int | float) and not isinstance(said, bool):
        raise EntryError(source.name, repr(said), "its id is a JSON number, which has lost its zeros")
    found = parse_arxiv_id(said) if isinstance(said, str) else None
    if found is None:
        raise EntryError(source.name, said if isinstance(said, str) else "", "it has no arXiv id")
    return found[0]


def _names(authors: Any) -> tuple[str, ...]:
    """All names, those hidden on the list too: they are on the paper."""
    listed = authors if isinstance(authors, list) else []
    names = (author.get("name") if isinstance(author, dict) else author for author in listed)
    return tuple(name for name in names if isinstance(name, str) and name.strip())


def _when(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
