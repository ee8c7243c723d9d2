"""What a day of a source is, worked out from what its reads brought. Pure: facts in, verdicts out.

A list is held against the one before it (the same entries again are a stale batch), against what such a day usually
brings, against the calendar, against itself as it was read before, and against a second source that reads the same
papers another way. What cannot be known yet is not called missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from math import ceil, sqrt
from statistics import median

from flows.calendars import NEW_YORK, is_weekday, may_rest, midnight
from flows.sources.interface import Rhythm
from storage.coverage import Batch, State, Verdict, joined, packed, parted
from storage.model import Told
from storage.settings import Source

JUDGED_DAYS = 30
_DAY = timedelta(days=1)
_GRACE = timedelta(hours=3)  # after the hour at which a day's list is due
_SILENCE = timedelta(hours=6)  # after a day, before it counts that nobody read the source
_CONFIRMED_WITHIN = timedelta(hours=36)  # after a list last grew, a further read must have found nothing more
_SETTLED = timedelta(days=3)  # after its day, a list is what it will be
_LIKE_DAYS, _LIKE_MIN = 60, 4  # how far around a day its like are looked for, and how many it takes
_USUAL_MIN = 10  # papers a day: a source that usually brings fewer may bring none
_NEVER = "the batch was never read"
_GONE = "none of the "  # how what a feed lost begins, which no later read can bring


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What one answer listed, or that it brought no list."""

    day: date  # whose list was asked for
    shown: date | None = None  # whose list it was, where the source says so
    ids: tuple[str, ...] = ()
    listed: int = 0
    lost: tuple[str, ...] = ()
    error: str | None = None
    same: bool = False  # nothing changed since the read before, the server says


@dataclass(frozen=True, slots=True, kw_only=True)
class Healer:
    """A source that reads the same papers another way, and until where it has."""

    name: str
    since: date
    until: date  # every change before this day was read


def asked_day(rhythm: Rhythm, key: str, now: datetime) -> date:
    """The day whose list a request asks for; `key` is the request's."""
    if rhythm is Rhythm.LISTS:
        return date.fromisoformat(key)
    return _today(rhythm, now)


def noted(
    source: str,
    rhythm: Rhythm,
    listings: Sequence[Listing],
    known: Mapping[date, Batch],
    *,
    lost: Sequence[str] = (),
    papers: int,
    whole: bool,
    now: datetime,
) -> tuple[Batch, ...]:
    """The facts that one read changed.

    Of all listings together `lost` did not come and `papers` were written; `whole`: no page is left to ask for.
    """
    found = dict(known)
    if rhythm in (Rhythm.BATCH, Rhythm.LISTS):
        for listing in listings:
            _note_list(found, source, rhythm, listing, now)
    elif listings:
        _note_flow(found, source, rhythm, listings, lost=lost, papers=papers, whole=whole, now=now)
    return tuple(batch for day, batch in sorted(found.items()) if batch != known.get(day))


def made_up(source: Source, told: Iterable[Told], known: Mapping[date, Batch], *, now: datetime) -> tuple[Batch, ...]:
    """The facts that papers of an `arxiv-rss` source change which another one was first to tell of."""
    names, found = {*(source.category or "").split("+")}, dict(known)
    for paper in told:
        day = paper.announced_on
        its = names & {*paper.categories, *(c.partition(".")[0] for c in paper.categories)}
        if day and its and known and min(known) < day and now >= _over(Rhythm.BATCH, day):
            row = found.get(day) or Batch(source=source.name, day=day, asked_at=now)
            found[day] = replace(row, elsewhere=row.elsewhere + 1)
    return tuple(batch for day, batch in sorted(found.items()) if batch != known.get(day))


def judged(
    source: str, rhythm: Rhythm, batches: Mapping[date, Batch], *, healers: Sequence[Healer] = (), now: datetime
) -> tuple[Verdict, ...]:
    """The verdicts on a source's last thirty days, oldest first; none on days before it was first read."""
    if not batches:
        return ()
    today = _today(rhythm, now)
    first = max(min(batches), today - JUDGED_DAYS * _DAY)
    days = (first + n * _DAY for n in range((max(today, max(batches)) - first).days + 1))
    judge = {Rhythm.BATCH: _judge_batch, Rhythm.LISTS: _judge_list}.get(rhythm, _judge_flow)
    found = (judge(source, day, batches, now) for day in days)
    return tuple(_healed(verdict, healers) for verdict in found if verdict is not None)


def covers(wide: Source, narrow: Source) -> bool:
    """Whether an `arxiv-oai` source reads every paper of an `arxiv-rss` source."""
    if wide.kind != "arxiv-oai" or narrow.kind != "arxiv-rss" or wide.base_url != narrow.base_url:
        return False
    archive = (wide.category or "").split(":")[-1]
    names = (narrow.category or "").split("+")
    return not wide.category or all(name == archive or name.startswith(f"{archive}.") for name in names)


def healer(source: Source, batches: Mapping[date, Batch]) -> Healer | None:
    """What an `arxiv-oai` source can make up for; None where it was never read to its end.

    Its first read began `days` before, each later one where the last whole one ended.
    """
    first = min((day for day, batch in batches.items() if batch.read_at), default=None)
    last = max((day for day, batch in batches.items() if _is_good(batch)), default=None)
    if first is None or last is None:
        return None
    return Healer(name=source.name, since=first - source.days * _DAY, until=last)


# Facts -----------------------------------------------------------------------------------------------------------


def _note_list(found: dict[date, Batch], source: str, rhythm: Rhythm, listing: Listing, now: datetime) -> None:
    asked = replace(found.get(listing.day) or Batch(source=source, day=listing.day, asked_at=now), asked_at=now)
    shown = listing.shown or listing.day
    if listing.error is not None:
        found[listing.day] = replace(asked, error=listing.error)
        return
    if listing.same and asked.read_at:
        found[listing.day] = replace(asked, read_at=now, error="", shown=None)
        return
    if shown != listing.day:
        found[listing.day] = replace(asked, error="", shown=shown)
    row = found.get(shown) or Batch(source=source, day=shown, asked_at=now)
    before = _ids_before(found, shown) if rhythm is Rhythm.BATCH else frozenset()
    ids, mine = packed(listing.ids), parted(row.ids)
    fresh = ids - before - mine
    grown = mine | fresh
    is_late = row.read_at is not None and now >= _over(rhythm, shown)
    found[shown] = replace(
        row,
        asked_at=now,
        read_at=now,
        grew_at=now if fresh else row.grew_at,
        listed=listing.listed,
        came=len(grown),
        repeated=len(ids & before) if fresh or not mine else row.repeated,
        late=row.late + (len(fresh) if is_late else 0),
        ids=joined(grown),
        lost="; ".join(listing.lost),
        error="",
        shown=None,
    )


def _note_flow(
    found: dict[date, Batch],
    source: str,
    rhythm: Rhythm,
    listings: Sequence[Listing],
    *,
    lost: Sequence[str],
    papers: int,
    whole: bool,
    now: datetime,
) -> None:
    day, good = listings[0].day, [one for one in listings if one.error is None]
    row = replace(found.get(day) or Batch(source=source, day=day, asked_at=now), asked_at=now)
    errors = [one.error for one in listings if one.error is not None]
    if not good:
        found[day] = replace(row, error=errors[0])
        return
    lost = [*errors, *lost]
    listed = sum(one.listed for one in good)
    row = replace(row, read_at=now, whole=whole, error="", listed=listed)
    if rhythm is Rhythm.FEED:
        before = parted(row.ids) or _ids_before(found, day)
        ids = packed(i for one in good for i in one.ids) or before
        same = any(one.same for one in good)
        repeated = len(ids & before) if listed or same else 0
        gone = ""
        if before and listed and not repeated:
            gone = f"{_GONE}{len(before)} entries listed before is left: others may have come and gone in between"
        kept = row.lost if row.lost.startswith(_GONE) else ""
        lost = [*filter(None, [kept or gone]), *lost]
        listed, papers = row.listed or (len(ids) if same else 0), len(ids - before)
        row = replace(row, ids=joined(ids), repeated=repeated, listed=listed)
    grew_at = now if papers else row.grew_at
    found[day] = replace(row, came=row.came + papers, grew_at=grew_at, lost="; ".join(dict.fromkeys(lost)))


def _ids_before(found: Mapping[date, Batch], day: date) -> frozenset[bytes]:
    """The ids of the newest list before a day that had any."""
    before = max((d for d, batch in found.items() if d < day and batch.ids), default=None)
    return parted(found[before].ids) if before else frozenset()


# Verdicts --------------------------------------------------------------------------------------------------------


def _judge_batch(source: str, day: date, batches: Mapping[date, Batch], now: datetime) -> Verdict | None:
    """A list for each working day that is gone the next day: arXiv's RSS."""
    batch, (low, high) = batches.get(day), usual(batches, day)
    if batch is None:
        has_moved_on = any(d > day and b.read_at for d, b in batches.items())
        if not is_weekday(day) or not (has_moved_on or now >= midnight(day + _DAY, NEW_YORK) + _GRACE):
            return None
        return _missing(source, day, State.FAILED, _NEVER)
    state, why = _state_of_batch(batch, low, high)
    if state not in (State.COMPLETE, State.QUIET) and now < midnight(day, NEW_YORK) + _GRACE:
        return None
    return _known(_verdict(batch, state, why, low, high))


def _state_of_batch(batch: Batch, low: int | None, high: int | None) -> tuple[State, str]:
    if batch.repeated > batch.came:
        repeated = f"{batch.repeated:,} of its {batch.listed:,} entries are those of the batch before"
        return State.STALE, repeated
    if batch.came:
        return _by_count(batch, low, high)
    if batch.read_at is None:
        if batch.shown is None:
            return State.FAILED, batch.error or _NEVER
        if may_rest(batch.day):
            return State.QUIET, "no batch is due on a day of rest"
        return State.LATE, f"it showed the batch of {batch.shown} instead"
    if may_rest(batch.day) or low == 0:
        return State.QUIET, ""
    return State.LATE, _empty(low)


def _judge_list(source: str, day: date, batches: Mapping[date, Batch], now: datetime) -> Verdict | None:
    """A dated list that grows during its day and stays: Hugging Face Daily Papers."""
    batch, (low, high) = batches.get(day), usual(batches, day)
    over = _over(Rhythm.LISTS, day)
    if batch is None:
        if not is_weekday(day) or now < over + _SILENCE:
            return None
        return _missing(source, day, State.FAILED, "the list was never asked for")
    read_at, is_over = batch.read_at, now >= over
    if batch.error and (read_at is None or read_at < over):
        return _verdict(batch, State.FAILED, batch.error, low, high) if is_over or not batch.came else None
    if read_at is not None and not batch.came and (may_rest(day) or low == 0):
        return _verdict(batch, State.QUIET, "", low, high)
    if not is_over or read_at is None or read_at < over:
        waits = f"{batch.came:,} so far; its day is not over" if not is_over else "it was not read since its day ended"
        open_ = _verdict(batch, State.PARTIAL, waits, low, high)
        return replace(open_, missing=now >= over + _SILENCE) if batch.came or is_over else None
    settled = read_at >= over + _SETTLED
    if not batch.came:
        if settled:
            return _verdict(batch, State.QUIET, "no list was made of this day", low, high)
        return _known(_verdict(batch, State.LATE, _empty(low), low, high))
    state, why = _by_count(batch, low, high)
    if state is State.PARTIAL:
        return _verdict(batch, State.COMPLETE if settled and not batch.lost else state, why, low, high)
    if batch.grew_at == read_at and not settled:
        open_ = _verdict(batch, State.PARTIAL, "a second look must find nothing more", low, high)
        return replace(open_, missing=now >= read_at + _CONFIRMED_WITHIN)
    return _verdict(batch, state, f"{batch.late:,} came after its day was over" if batch.late else why, low, high)


def _judge_flow(source: str, day: date, batches: Mapping[date, Batch], now: datetime) -> Verdict | None:
    """What goes on where the last read ended: everything else. A later read to the end makes up for a day."""
    batch = batches.get(day)
    later = next((b for d, b in sorted(batches.items()) if d > day and _is_good(b)), None)
    if batch is None:
        if later is not None:
            return Verdict(
                source=source, day=day, state=State.COMPLETE, missing=False, came=0, why=f"read on {later.day}"
            )
        if now < midnight(day + _DAY) + _SILENCE:
            return None
        return _missing(source, day, State.FAILED, "nobody read it")
    if not _is_good(batch):
        if later is not None and not batch.lost.startswith(_GONE):
            return _verdict(batch, State.COMPLETE, f"made up for on {later.day}", None, None)
        left = "the read broke off; the next one goes on where it did" if not batch.whole else ""
        bad = State.FAILED if batch.read_at is None else State.PARTIAL
        return _verdict(batch, bad, batch.lost or batch.error or left, None, None)
    if batch.came:
        return _verdict(batch, State.COMPLETE, "", None, None)
    if batch.repeated == 0 and batch.ids and not batch.listed:
        return _verdict(batch, State.LATE, "it lists nothing, and did before", None, None)
    is_over = not may_rest(day) and now >= midnight(day + _DAY)
    if is_over and _brings_daily(batches, day) and not any(b.came for d, b in batches.items() if d > day):
        return _verdict(batch, State.LATE, "nothing came, and something does on every such day", None, None)
    return _verdict(batch, State.QUIET, "", None, None)


def usual(batches: Mapping[date, Batch], day: date) -> tuple[int, int] | tuple[None, None]:
    """The fewest and the most entries that a day like this one brings; None where too few are known.

    A third and three times the median, and what chance adds. Of 166 daily lists none was below or above; of 413 days
    polled from arXiv five were below, on which one to five papers had come.
    """
    near = [
        batch
        for other, batch in batches.items()
        if other != day and abs((other - day).days) <= _LIKE_DAYS and batch.read_at and batch.repeated <= batch.came
    ]
    like = [b.came for b in near if b.day.weekday() == day.weekday() and (b.came or not may_rest(b.day))]
    if len(like) < _LIKE_MIN:
        like = [b.came for b in near if not may_rest(b.day)]
    if len(like) < _LIKE_MIN:
        return None, None
    middle = median(like)
    return max(0, int(middle / 3 - sqrt(middle))), ceil(3 * middle + 3 * sqrt(middle) + 10)


def _by_count(batch: Batch, low: int | None, high: int | None) -> tuple[State, str]:
    if batch.lost:
        return State.PARTIAL, batch.lost
    if low is not None and batch.came < low:
        return State.PARTIAL, f"{batch.came:,} came; on such a day at least {low:,} do"
    if high is not None and batch.came > high:
        return State.COMPLETE, f"{batch.came:,} came; on such a day at most {high:,} do"
    return State.COMPLETE, ""


def _healed(verdict: Verdict, healers: Sequence[Healer]) -> Verdict:
    """A verdict, unless another source has read all the papers of that day."""
    healer = next((h for h in healers if h.since < verdict.day < h.until), None)
    if not verdict.missing or healer is None:
        return verdict
    state = State.COMPLETE if verdict.came or verdict.state is not State.LATE else State.QUIET
    why = f"{healer.name} has read past it; {verdict.why}"
    return replace(verdict, state=state, missing=False, why=why)


def _verdict(batch: Batch, state: State, why: str, low: int | None, high: int | None) -> Verdict:
    return Verdict(
        source=batch.source,
        day=batch.day,
        state=state,
        missing=state not in (State.COMPLETE, State.QUIET),
        came=batch.came + batch.elsewhere,
        low=low,
        high=high,
        late=batch.late + batch.elsewhere,
        why=why or (f"{batch.elsewhere:,} came by another source" if batch.elsewhere else ""),
    )


def _known(verdict: Verdict) -> Verdict:
    """An empty list is missing only where it is known what such a day brings: a small category may bring nothing."""
    unknown = verdict.state is State.LATE and verdict.low is None and verdict.why == _empty(None)
    return replace(verdict, missing=False) if unknown else verdict


def _missing(source: str, day: date, state: State, why: str) -> Verdict:
    return Verdict(source=source, day=day, state=state, missing=True, came=0, why=why)


def _empty(low: int | None) -> str:
    known = f"such a day has at least {low:,}" if low else "it is not known yet what such a day brings"
    return f"it is empty on a working day; {known}"


def _is_good(batch: Batch) -> bool:
    return batch.read_at is not None and batch.whole and not batch.lost and not batch.error


def _brings_daily(batches: Mapping[date, Batch], day: date) -> bool:
    counts = [b.came for d, b in batches.items() if d < day and not may_rest(d) and b.read_at]
    return len(counts) >= _LIKE_MIN and median(counts) >= _USUAL_MIN


def _over(rhythm: Rhythm, day: date) -> datetime:
    """When all of a day's list should be there."""
    return (midnight(day, NEW_YORK) if rhythm is Rhythm.BATCH else midnight(day + _DAY)) + _GRACE


def _today(rhythm: Rhythm, now: datetime) -> date:
    return now.astimezone(NEW_YORK if rhythm is Rhythm.BATCH else UTC).date()
