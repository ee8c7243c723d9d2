"""Keeps the coverage ledger: after each read what it says of the source's days, and of days it makes up for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cache

from flows.coverage import JUDGED_DAYS, covers, healer, judged, made_up, noted
from flows.harvesting import Reading
from flows.sources import adapter_for
from storage.archive import Archive
from storage.coverage import Batch, CoverageLog, Verdict
from storage.index import Index
from storage.model import Commit
from storage.settings import Settings, Source


def keep_coverage(
    index: Index,
    settings: Settings,
    source: Source,
    reading: Reading,
    commits: Sequence[Commit],
    error: str | None,
    *,
    now: datetime,
) -> tuple[Verdict, ...]:
    """Keep what one read showed, and judge the source anew, and those it makes up for; returns what changed.

    With an `error` nothing came, whatever was read: it was not committed. Raises ArchiveError.
    """
    log, rhythm = CoverageLog(index), adapter_for(source.kind).rhythm
    listings = reading.listings
    if error is not None:
        listings = tuple(replace(one, error=one.error or error) for one in listings)
    with index.transaction():
        read = noted(
            source.name,
            rhythm,
            listings,
            _facts(log, source),
            lost=reading.lost,
            papers=sum(commit.papers for commit in commits),
            whole=not reading.left,
            now=now,
        )
        log.record(read)
        narrow = [other for other in settings.source if covers(source, other)]
        told = [paper for commit in commits for paper in commit.told]
        for other in narrow if told else ():
            log.record(made_up(other, told, _facts(log, other), now=now))
        return log.judge(tuple(_verdicts(log, settings, [source, *narrow], now)), now=now)


def covered_since(index: Index, source: Source) -> date | None:
    """The day from which on an `arxiv-oai` source has read everything; None where it was never read to its end."""
    found = healer(source, _facts(CoverageLog(index), source))
    return found.since if found else None


def judge_coverage(archive: Archive, settings: Settings, *, now: datetime) -> tuple[Verdict, ...]:
    """Judge every configured source anew, as time alone makes a batch late; returns the verdicts on the last days."""
    with archive.index.transaction():
        log = CoverageLog(archive.index)
        log.judge(tuple(_verdicts(log, settings, settings.source, now)), now=now)
        names, since = {source.name for source in settings.source}, now.date() - timedelta(days=JUDGED_DAYS)
        return tuple(verdict for verdict in log.verdicts(since=since) if verdict.source in names)


def _verdicts(log: CoverageLog, settings: Settings, sources: Sequence[Source], now: datetime) -> Iterator[Verdict]:
    facts = cache(lambda source: _facts(log, source))  # one wide source may make up for many
    for source in sources:
        wide = (healer(other, facts(other)) for other in settings.source if covers(other, source))
        healers = [one for one in wide if one]
        yield from judged(source.name, adapter_for(source.kind).rhythm, facts(source), healers=healers, now=now)


def _facts(log: CoverageLog, source: Source) -> dict[date, Batch]:
    return {batch.day: batch for batch in log.batches(source.name)}
