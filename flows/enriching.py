"""Asking others how often a paper is cited and how many stars its code has, within a budget of requests a day.

Which papers, and in which order, is pure. The answers become sightings like any other: data, and no news to a reader.
What is asked is committed part by part, and marked as asked only then: killed at any moment, a run asks again for
at most one part.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from flows.asked import Asked, Said, look, used_up
from flows.bars import Bars, Progress, no_bar
from flows.counters import Answers, Counter, Question, counters_of, key_of
from flows.decide import decide
from flows.fetching import Fetched, Fetcher
from flows.pipeline import digest_of, open_tools, topics_of
from storage.archive import Archive
from storage.catalog import Catalog, catalog_path, refresh_catalog
from storage.errors import ArchiveError, FetchError, SourceError
from storage.fetchlog import FetchLog, FetchRow, state_after
from storage.locks import exclusive
from storage.model import Candidate, Entry, Intent, Paper
from storage.settings import Settings, Source

T = TypeVar("T")

FIRST_DAYS = (1, 3, 7, 14)  # after a paper was announced; then every month
MONTH_DAYS = 30
TEXT_RANK = -1  # lower than that of any source: a count never speaks for a paper
_REQUESTS_A_PART = 10  # between two commits
_FAILURES_MAX = 3  # requests in a row without an answer that can be used, before a provider is left alone
_REFUSALS = frozenset([401, 429])  # HTTP statuses that are about us and not about what was asked
_PROBLEMS_MAX = 20  # kept of one run; more are counted
_YOUNG = """
SELECT paper_id, aliases, code_url, day, trending_on IS NOT NULL OR in_topic IS NOT NULL AS wanted
FROM (
  SELECT paper_id, aliases, code_url, trending_on,
         coalesce(announced_on, announced_at::DATE, published_at::DATE, first_seen_at::DATE) AS day
  FROM papers
) LEFT JOIN (SELECT DISTINCT paper_id AS in_topic FROM paper_topics) ON in_topic = paper_id
WHERE day BETWEEN ?::DATE AND ?::DATE
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Young:
    """A paper that may be asked about."""

    paper_id: str
    aliases: tuple[str, ...]
    code_url: str | None
    day: date  # it was announced on, else first heard of
    wanted: bool  # on a curated list, or in a topic


@dataclass(frozen=True, slots=True, kw_only=True)
class CountReport:
    """What asking one provider brought; of a dry run what would be asked."""

    provider: str
    due: int  # papers whose turn it was
    asked: int  # of these; the provider answered, if only that it knows nothing
    known: int  # of these, with a count
    changed: int  # of these, with another count than before
    requests: int
    requests_left: int  # of today's
    error: str | None = None  # why nothing came
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # why the rest waits

    @property
    def left(self) -> int:
        """Papers whose turn it was and comes again."""
        return self.due - self.asked

    @property
    def well(self) -> bool:
        """Whether nothing went wrong."""
        return self.error is None and not self.problems


def step_of(age_days: int) -> int | None:
    """The last day after its announcement on which a paper of this age is asked about; None: it is too young."""
    if age_days >= MONTH_DAYS:
        return age_days - age_days % MONTH_DAYS
    return max((step for step in FIRST_DAYS if step <= age_days), default=None)


def is_due(day: date, said: Said | None, *, today: date) -> bool:
    """Whether a paper announced on `day` has not been answered of since its last step."""
    step = step_of((today - day).days)
    if step is None:
        return False
    return said is None or said.answered_on is None or (said.answered_on - day).days < step


def in_order(papers: Sequence[Young], said: Mapping[str, Said], *, today: date) -> list[Young]:
    """The papers whose turn it is: wanted ones first, never-asked before asked, what failed last, newest first."""

    def place(paper: Young) -> tuple[bool, bool, bool, int, str]:
        known = said.get(paper.paper_id)
        answered = known is not None and known.answered_on is not None
        failed = known is not None and known.failed
        return not paper.wanted, answered, failed, -paper.day.toordinal(), paper.paper_id

    return sorted((p for p in papers if is_due(p.day, said.get(p.paper_id), today=today)), key=place)


def count_entry(provider: Counter, paper: Paper, count: int) -> Entry:
    """A count as an entry: the paper's own id and text, so that it is found and nothing else is said."""
    namespace, _, value = paper.paper_id.partition(":")
    return Entry(
        source=provider.name,
        entry_id=paper.paper_id,
        title=paper.title,
        abstract=paper.abstract,
        authors=paper.authors,
        arxiv_id=value if namespace == "arxiv" else None,
        doi=value if namespace == "doi" else None,
        openreview_id=value if namespace == "openreview" else None,
        pmid=value if namespace == "pmid" else None,
        citations=count if provider.counts == "citations" else None,
        stars=count if provider.counts == "stars" else None,
        text_rank=TEXT_RANK,
    )


def decide_count(candidate: Candidate, known: Paper | None, now: datetime, at: datetime) -> Intent | None:
    """Say what a count means: the known paper with that count, announced to nobody; None where it had it.

    Whoever counts is no source of the paper: readers see neither its name nor any other change.
    """
    if known is None or known.paper_id != candidate.entry.entry_id:
        return None  # it was merged or split meanwhile, and is asked about under the id it has now
    intent = decide(candidate, known, now, at)
    if intent is None:
        return None
    paper = replace(known, citations=intent.paper.citations, stars=intent.paper.stars)
    if paper == known:
        return None
    return Intent(paper=paper, sightings=tuple(replace(s, announcements=()) for s in intent.sightings))


def planned(settings: Settings, *, now: datetime) -> tuple[CountReport, ...]:
    """What `enrich` would ask now; reads only. Raises ArchiveError, PaperwireError."""
    counters = counters_of(settings.enrich)
    if not counters or not catalog_path(settings.home).exists():
        return ()
    said = look(settings.home, [counter.name for counter, _ in counters], now=now)
    young, per_day = _young(settings, now=now), settings.enrich.requests_per_day
    reports = []
    for counter, _ in counters:
        known, spent = said[counter.name]
        groups = _groups(counter, in_order(young, known, today=_today(now)))
        requests = _batches(groups, counter.asks_at_once)
        made = requests[: max(0, per_day - spent)]
        reports.append(
            CountReport(
                provider=counter.name,
                due=sum(len(papers) for papers in groups.values()),
                asked=sum(len(groups[asked]) for batch in made for asked in batch),
                known=0,
                changed=0,
                requests=len(made),
                requests_left=max(0, per_day - spent),
            )
        )
    return tuple(reports)


def enrich(
    settings: Settings,
    *,
    now: datetime,
    fetcher: Fetcher | None = None,
    bars: Bars = no_bar,
    environ: Mapping[str, str] = os.environ,
) -> tuple[CountReport, ...]:
    """Ask every provider of `[enrich]` about the papers whose turn it is; nothing where there is none.

    One provider that fails costs that provider. Raises PaperwireError where another process is at it, ConfigError for
    a key that is none, ArchiveError where nothing can be read.
    """
    counters = [(c, base_url, key_of(c, environ)) for c, base_url in counters_of(settings.enrich)]
    if not counters or not (settings.home / "archive" / "index.sqlite").exists():
        return ()
    if fetcher is None:
        with open_tools(settings) as tools:
            return enrich(settings, now=now, fetcher=tools.fetcher, bars=bars, environ=environ)
    with (
        exclusive(settings.home / "enrich.lock", what="another enrich is running", wait=False),
        Archive(settings.home, limits=settings.limits) as archive,
        Asked(settings.home) as asked,
    ):
        refresh_catalog(archive, settings, topics_of(settings), now=now)
        young = _young(settings, now=now)
        reports = []
        for counter, base_url, key in counters:
            desk = _Desk(archive, asked, fetcher, settings, counter, base_url, key, now)
            with bars(f"asking {counter.name}") as progress:
                reports.append(desk.ask(in_order(young, asked.said(counter.name), today=_today(now)), progress))
        refresh_catalog(archive, settings, topics_of(settings), now=now)
    return tuple(reports)


@dataclass(slots=True)
class _Tally:
    """What one run with one provider has come to, and what of it is not committed yet."""

    asked: int = 0
    known: int = 0
    changed: int = 0
    requests: int = 0
    failures: int = 0  # in a row
    first_failure: str | None = None
    stopped: str | None = None  # why no more is asked
    broken: str | None = None  # why nothing can be kept
    problems: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)  # by paper_id, from here on
    answered: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    fetches: list[FetchRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Desk:
    """Asks one provider."""

    archive: Archive
    asked: Asked
    fetcher: Fetcher
    settings: Settings
    counter: Counter
    base_url: str | None
    key: str | None
    now: datetime

    def ask(self, due: Sequence[Young], progress: Progress) -> CountReport:
        """Ask about papers in order until all are answered of, the budget is used up, or nobody answers."""
        groups, tally, done = _groups(self.counter, due), _Tally(), 0
        total = sum(map(len, groups.values()))
        progress(0, total)
        try:
            for part in _batches(_batches(groups, self.counter.asks_at_once), _REQUESTS_A_PART):
                for batch in part:
                    if not self._may_ask(tally):
                        break
                    self._ask(batch, groups, tally)
                    done += sum(len(groups[asked]) for asked in batch)
                    progress(done, total)
                self._keep(tally)
                if tally.stopped:
                    break
        except ArchiveError as error:
            tally.broken = str(error)
        report = self._report(total, tally)
        if total:
            log = FetchLog(self.archive.index)
            state = state_after(
                log.state(report.provider),
                source=report.provider,
                error=report.error,
                problems=report.problems,
                notes=report.notes,
                batch_on=None,
                now=self.now,
            )
            log.record(state, tuple(tally.fetches))
        return report

    def _may_ask(self, tally: _Tally) -> bool:
        per_day = self.settings.enrich.requests_per_day
        if not tally.stopped and self.asked.spent(self.counter.name, now=self.now) >= per_day:
            tally.stopped = used_up(self.counter.name, per_day)
        return not tally.stopped

    def _ask(self, batch: Sequence[str], groups: Mapping[str, Sequence[str]], tally: _Tally) -> None:
        """Make one request, and note what came of it."""
        fetched: Fetched | None = None
        question, spent = self.counter.question(batch, self.base_url), self._spent()
        try:
            fetched = self._fetched(question)
            answers = self.counter.read(self._source(question), batch, fetched)
        except SourceError as error:
            self._fail(error, [p for asked in batch for p in groups[asked]], tally, answered=fetched is not None)
            if fetched or self._spent() > spent:
                tally.fetches.append(self._row(question, fetched, 0, error.reason))
        else:
            self._note(answers, batch, groups, tally)
            tally.fetches.append(self._row(question, fetched, len(answers.counts), None))
        tally.requests += self._spent() - spent

    def _fail(self, error: SourceError, papers: Sequence[str], tally: _Tally, *, answered: bool) -> None:
        """Note a request that brought nothing; stop where the next would fare no better."""
        refused = isinstance(error, FetchError) and (
            error.status in _REFUSALS or (not answered and error.retry_after_seconds is not None)
        )
        tally.failures += 1
        tally.first_failure = tally.first_failure or error.reason
        if refused or tally.failures >= _FAILURES_MAX:
            tally.stopped = error.reason
        if not refused:
            tally.failed += papers
            tally.problems.append(error.reason)

    def _note(self, answers: Answers, batch: Sequence[str], groups: Mapping[str, Sequence[str]], tally: _Tally) -> None:
        """Note an answer, to be committed with its part."""
        counts = {p: answers.counts[asked] for asked in batch if asked in answers.counts for p in groups[asked]}
        tally.failures = 0
        tally.counts |= counts
        tally.answered += [p for asked in batch for p in groups[asked]]
        tally.known += len(counts)
        tally.problems += answers.problems

    def _fetched(self, question: Question) -> Fetched:
        """Ask. Raises FetchError."""
        counter, key, source = self.counter, self.key, self._source(question)
        url = counter.keyed(question.url, key) if key else question.url
        options: dict[str, Any] = {
            "delay_seconds": counter.delay_seconds,
            "private": {"Accept": "application/json"} | (counter.key_header(key) if key else {}),
            "permit": self._spend,
        }
        if question.body is None:
            return self.fetcher.get(source, url, **options)
        return self.fetcher.post(source, url, question.body, **options)

    def _source(self, question: Question) -> Source:
        """The provider as the fetcher knows sources."""
        private = self.settings.enrich.allow_private_addresses
        return Source(name=self.counter.name, kind="feed", url=question.url, allow_private_addresses=private)

    def _spend(self) -> None:
        per_day = self.settings.enrich.requests_per_day
        self.asked.spend(self.counter.name, requests_per_day=per_day, now=self.now)

    def _spent(self) -> int:
        return self.asked.spent(self.counter.name, now=self.now)

    def _keep(self, tally: _Tally) -> None:
        """Commit what was answered, then mark it as asked. Raises ArchiveError."""
        known = self.archive.papers(tally.counts)
        entries = [count_entry(self.counter, paper, tally.counts[p]) for p, paper in sorted(known.items())]
        if entries:
            batch_id = f"{self.counter.name}@{self.now.isoformat()}/{digest_of(entries)}"
            commit = self.archive.append(
                entries, source=self.counter.name, batch_id=batch_id, now=self.now, decide=decide_count
            )
            tally.changed += commit.papers
        if tally.answered or tally.failed:
            self.asked.mark(self.counter.name, answered=tally.answered, failed=tally.failed, now=self.now)
        tally.asked += len(tally.answered)
        tally.counts, tally.answered, tally.failed = {}, [], []

    def _report(self, due: int, tally: _Tally) -> CountReport:
        budget = used_up(self.counter.name, self.settings.enrich.requests_per_day)
        nothing = bool(due) and not tally.asked and tally.first_failure not in (None, budget)
        error = tally.broken or (tally.first_failure if nothing else None)
        problems = [] if error else list(dict.fromkeys(tally.problems))
        waits = "" if error or tally.stopped in problems else tally.stopped or ""
        if len(problems) > _PROBLEMS_MAX:
            problems = [*problems[:_PROBLEMS_MAX], f"and {len(problems) - _PROBLEMS_MAX:,} more like these"]
        return CountReport(
            provider=self.counter.name,
            due=due,
            asked=tally.asked,
            known=tally.known,
            changed=tally.changed,
            requests=tally.requests,
            requests_left=max(0, self.settings.enrich.requests_per_day - self._spent()),
            error=error,
            problems=tuple(problems),
            notes=(waits,) if waits else (),
        )

    def _row(self, question: Question, fetched: Fetched | None, listed: int, error: str | None) -> FetchRow:
        return FetchRow(
            source=self.counter.name,
            url=question.url,
            fetched_at=self.now,
            status=fetched.status if fetched else None,
            wire_bytes=fetched.wire_bytes if fetched else 0,
            body_sha256=fetched.body_sha256 if fetched else None,
            etag=None,
            last_modified=None,
            listed=listed,
            error=error,
        )


def _young(settings: Settings, *, now: datetime) -> list[Young]:
    today = _today(now)
    first = date.fromordinal(today.toordinal() - settings.enrich.days)
    with Catalog(settings.home) as catalog:
        return [Young(**row | {"aliases": tuple(row["aliases"])}) for row in catalog.rows(_YOUNG, [first, today])]


def _groups(counter: Counter, due: Sequence[Young]) -> dict[str, list[str]]:
    """The papers by the id their provider knows them by, in order; several may share a repository."""
    found: dict[str, list[str]] = {}
    for paper in due:
        asked = counter.id_of(paper.aliases, paper.code_url)
        if asked:
            found.setdefault(asked, []).append(paper.paper_id)
    return found


def _batches(things: Iterable[T], size: int) -> list[list[T]]:
    every = list(things)
    return [every[start : start + size] for start in range(0, len(every), size)]


def _today(now: datetime) -> date:
    return now.astimezone(UTC).date()
