"""Coverage as readers see it: how each day of each source went, what is missing, and what was made up for.

Verdicts in; the values of health.html and one feed out. No markup but the content of feed entries, and no clock: the
last day that was judged is the last day shown.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from html import escape

from publishers.feed_model import Category, Feed, FeedEntry, FeedSite, LeftOut, Link
from publishers.page_models import counted, long_day, plain_day, short_day
from publishers.paths import HEALTH, HEALTH_PATH, coverage_anchor, coverage_id, feed_path
from publishers.readable import plain
from storage.coverage import State, Verdict
from storage.errors import EntryError
from storage.text import enumerated

DAYS_SHOWN = 28  # four weeks, so that a weekday stands under its like
ENTRIES_MAX = 100
_NAMED_MAX = 3  # batches named in the sentence on top
_COUNT_SHOWN_MAX = 9_999
NOT_JUDGED_LINE = "Coverage of the sources"
_NOT_JUDGED, _HEALED = "none", "healed"  # marks beside those of the states
WORDS = {
    State.COMPLETE: "All that was expected came.",
    State.QUIET: "Nothing came, and nothing was expected: a weekend, a holiday.",
    State.PARTIAL: "A part came. While a day is not over that is as it should be.",
    State.STALE: "The source gave an older batch under this day’s date.",
    State.LATE: "The source answers, and what is due has not come yet.",
    State.FAILED: "The source could not be read, or nobody read it in time.",
}
_IS = {State.PARTIAL: "is partial", State.STALE: "is stale", State.LATE: "is late", State.FAILED: "failed"}
_WAS = {State.PARTIAL: "was partial", State.STALE: "was stale", State.LATE: "was late", State.FAILED: "had failed"}
_log = logging.getLogger("paperwire.feeds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One day of one source: a mark, a count, and the same in words. `href` leads to its case, '' where it has none."""

    label: str  # the day, short: `2`, or `1 Jun` where a month begins
    said: str  # for those who do not see the mark: `Tue 2 June: complete, `
    mark: str  # a State, or none, or healed
    count: str  # '' where nothing was judged
    missing: bool
    rest: bool  # Saturday or Sunday
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One source with its last `DAYS_SHOWN` days, oldest first."""

    source: str
    cells: tuple[Cell, ...]
    missing: int
    came: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A batch that is or was missing, for a list. Times are aware; `healed_at` is None while it is missing."""

    anchor: str
    source: str
    day: date
    state: State
    was: State | None
    why: str  # '' or a sentence
    counts: str  # '' or a sentence
    missed_at: datetime | None
    healed_at: datetime | None
    ended: str  # what happened then
    took: str  # how long it was missing: `25 hours`; '' while that is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Everything health.html says. `headline` and `sentence` say it in two lines, `line` in one."""

    headline: str
    sentence: str
    line: str
    axis: tuple[str, ...]
    rows: tuple[Row, ...]
    missing: tuple[Case, ...]
    healed: tuple[Case, ...]
    last_day: date | None


def overview(verdicts: Sequence[Verdict]) -> Overview:
    """Return what the page shows of `verdicts`, in whatever order they are."""
    known = sorted(verdicts, key=lambda v: (v.source, v.day))
    missing = sorted((v for v in known if v.missing), key=lambda v: (-v.day.toordinal(), v.source))
    healed = [v for v in _told(known) if not v.missing]
    linked = {(v.source, v.day) for v in (*missing, *healed)}
    last_day = max((v.day for v in known), default=None)
    days = tuple(_days_until(last_day)) if last_day else ()
    headline, sentence, line = _sentences(known, missing, last_day)
    return Overview(
        headline=headline,
        sentence=sentence,
        line=line,
        axis=tuple(_heading(place, day) for place, day in enumerate(days)),
        rows=tuple(_rows(known, days, linked)),
        missing=tuple(map(_case, missing)),
        healed=tuple(map(_case, healed)),
        last_day=last_day,
    )


def coverage_hash(verdicts: Iterable[Verdict]) -> str:
    """Return what changes with anything in `verdicts`: where it is the same, page and feeds are too."""
    return blake2b(repr(tuple(verdicts)).encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


def health_feed(site: FeedSite, verdicts: Sequence[Verdict]) -> Feed:
    """Return the feed of what is and was missing, the newest change first, at most `ENTRIES_MAX` entries.

    One entry for each source and day: its id stays when the batch comes, and its `updated` moves then, and only then.
    """
    entries, left_out = list[FeedEntry](), list[LeftOut]()
    for verdict in _told(verdicts):
        try:
            entries.append(_entry(site, verdict))
        except EntryError as error:
            left_out.append(LeftOut(paper_id=f"{verdict.source} {verdict.day}", reason=error.reason))
            _log.warning("feed %s leaves out %s", HEALTH, left_out[-1])
    return Feed(
        id=f"tag:{site.authority},2026:feed/{HEALTH}",
        site=site,
        title=plain(f"Coverage – {site.title}"),
        description="What is missing of which source and day, and when it came after all.",
        page_url=site.base_url + HEALTH_PATH,
        stem=feed_path(HEALTH, "").removesuffix("."),
        entries=tuple(entries),
        left_out=tuple(left_out),
    )


def title_of(verdict: Verdict) -> str:
    """Say in a line what a batch is or was: `hf-daily: the batch of 2 June is late`, `… came (was late)`."""
    name, day, was = _name(verdict.source), _day_and_month(verdict.day), verdict.was or verdict.state
    if verdict.missing:
        return f"{name}: the batch of {day} {_IS.get(verdict.state, 'is not whole')}"
    if verdict.state is State.QUIET:
        return f"{name}: no batch was due on {day} ({_WAS.get(was, 'was not whole')})"
    return f"{name}: the batch of {day} came ({_WAS.get(was, 'was not whole')})"


def moment(at: datetime) -> str:
    """Return `2 June 2026, 09:05 UTC`."""
    utc = at.astimezone(UTC)
    return f"{plain_day(utc.date())}, {utc:%H:%M} UTC"


# The rows.


def _days_until(last: date) -> Iterator[date]:
    yield from (last - timedelta(days=back) for back in reversed(range(DAYS_SHOWN)))


def _rows(known: Sequence[Verdict], days: Sequence[date], linked: set[tuple[str, date]]) -> Iterator[Row]:
    by_source: dict[str, dict[date, Verdict]] = {}
    for verdict in known:
        by_source.setdefault(verdict.source, {})[verdict.day] = verdict
    for source, mine in by_source.items():
        if not mine.keys() & set(days):
            continue
        yield Row(
            source=_name(source),
            cells=tuple(_cell(n, day, mine.get(day), (source, day) in linked) for n, day in enumerate(days)),
            missing=sum(v.missing for v in mine.values()),
            came=sum(mine[day].came for day in days if day in mine),
        )


def _cell(place: int, day: date, verdict: Verdict | None, linked: bool) -> Cell:
    if verdict is None:
        mark, said, count = _NOT_JUDGED, "not judged", ""
    else:
        healed = verdict.healed_at is not None and verdict.state is State.COMPLETE
        mark = _HEALED if healed else verdict.state.value
        count = _short_count(verdict.came)
        said = f"{verdict.state.value}{_aside(verdict)}, "
    return Cell(
        label=_label(place, day),
        said=f"{short_day(day)}: {said}",
        mark=mark,
        count=count,
        missing=verdict is not None and verdict.missing,
        rest=day.weekday() >= 5,
        href=f"#{coverage_anchor(verdict.source, day)}" if verdict and linked else "",
    )


def _aside(verdict: Verdict) -> str:
    if verdict.missing:
        return ", missing"
    return ", made up for" if verdict.healed_at else ""


def _label(place: int, day: date) -> str:
    begins = place % 14 == 0 or day.day == 1  # a small window shows the last fourteen days only
    return f"{day.day} {_month(day)}" if begins else str(day.day)


def _heading(place: int, day: date) -> str:
    return f"{_month(day)} {day.day}" if place == 0 or day.day == 1 else str(day.day)  # the month goes above the day


def _month(day: date) -> str:
    return plain_day(day).split()[1][:3]


def _short_count(count: int) -> str:
    return str(count) if count <= _COUNT_SHOWN_MAX else f"{count // 1_000:,}k"


# The lists.


def _told(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The verdicts on batches that are or were missing, as the feed has them: the newest change first, and cut."""
    dated = [(v.healed_at or v.missed_at, v) for v in verdicts if not v.missing or v.missed_at]
    told = sorted(((at, v) for at, v in dated if at), key=lambda pair: (pair[1].source, pair[1].day))
    told.sort(key=lambda pair: pair[0], reverse=True)
    return [verdict for _, verdict in told[:ENTRIES_MAX]]


def _case(verdict: Verdict) -> Case:
    took = verdict.healed_at - verdict.missed_at if verdict.healed_at and verdict.missed_at else None
    return Case(
        anchor=coverage_anchor(verdict.source, verdict.day),
        source=_name(verdict.source),
        day=verdict.day,
        state=verdict.state,
        was=verdict.was,
        why=_sentence(verdict.why),
        counts=_counts(verdict),
        missed_at=verdict.missed_at,
        healed_at=verdict.healed_at,
        ended=_ended(verdict.state),
        took="" if took is None else _span(took),
    )


def _counts(verdict: Verdict) -> str:
    came = f"{verdict.came:,} came" + (f", {verdict.late:,} of them after the day was over" if verdict.late else "")
    match verdict.low, verdict.high:
        case None, None:
            return f"{came}." if verdict.came else ""
        case low, None:
            return f"{came}; such a day has at least {low:,}."
        case None, high:
            return f"{came}; such a day has at most {high:,}."
        case low, high:
            return f"{came}; such a day has {low:,} to {high:,}."


def _span(took: timedelta) -> str:
    minutes = max(0, round(took.total_seconds() / 60))
    if minutes < 120:
        return counted(minutes, "minute")
    hours = round(minutes / 60)
    return counted(hours, "hour") if hours < 72 else counted(round(hours / 24), "day")


# The words.


def _sentences(known: Sequence[Verdict], missing: Sequence[Verdict], last_day: date | None) -> tuple[str, str, str]:
    """The headline, the sentence under it, and both in one line for another page."""
    if last_day is None:
        return "Nothing has been judged yet", "No source has been read so far.", NOT_JUDGED_LINE
    sources = counted(len({v.source for v in known}), "source")
    if missing:
        headline = f"{counted(len(missing), 'batch is', 'batches are')} missing"
        named = [_short_title(v) for v in missing[:_NAMED_MAX]]
        more = len(missing) - len(named)
        sentence = f"{enumerated([*named, f'{more:,} more'] if more else named)}."
        return headline, sentence, f"{headline}, of {sources}"
    pending = sum(v.state in (State.PARTIAL, State.LATE) for v in known)
    sentence = f"All that was expected of {sources} until {long_day(last_day)} came."
    waits = f" {counted(pending, 'batch is', 'batches are')} still coming in." if pending else ""
    return "Nothing is missing", sentence + waits, f"Nothing is missing: all that was expected of {sources} came"


def _short_title(verdict: Verdict) -> str:
    return f"{_name(verdict.source)} of {_day_and_month(verdict.day)} {_IS.get(verdict.state, 'is not whole')}"


def _name(source: str) -> str:
    return plain(source) or "a source without a name"


def _sentence(text: str) -> str:
    """Return `text` with a capital, unless it begins with a name, and a full stop; '' stays ''."""
    bare = plain(text)
    first = bare.partition(" ")[0]
    start = bare[:1].upper() if first.isalpha() else bare[:1]
    return start + bare[1:] + ("" if bare.endswith((".", "!", "?", "…")) or not bare else ".")


def _ended(state: State) -> str:
    return "Settled" if state is State.QUIET else "Made up for"  # nothing came of what was never due


def _day_and_month(day: date) -> str:
    return plain_day(day).rpartition(" ")[0]


# The feed.


def _entry(site: FeedSite, verdict: Verdict) -> FeedEntry:
    """Return the entry of a batch. Raises EntryError where a time has no zone."""
    url = f"{site.base_url}{HEALTH_PATH}#{coverage_anchor(verdict.source, verdict.day)}"
    missed_at = verdict.missed_at or verdict.healed_at
    if missed_at is None:
        raise EntryError("feed", verdict.source, "since when it is missing is not known")
    said = list(_said(verdict))
    kinds = (verdict.state.value, "missing" if verdict.missing else "came", _name(verdict.source))
    return FeedEntry(
        id=coverage_id(site.authority, verdict.source, verdict.day),
        title=title_of(verdict),
        url=url,
        summary=" ".join(said),
        content_html="\n".join([*(f"<p>{escape(line)}</p>" for line in said), _footer(url)]),
        authors=(plain(site.title),),
        categories=tuple(Category(term=k, label=k, scheme=site.base_url + HEALTH_PATH) for k in dict.fromkeys(kinds)),
        topics=(),
        links=(Link(rel="alternate", href=url, type="text/html", title="Coverage"),),
        published=missed_at,
        updated=verdict.healed_at or missed_at,
        paper_id="",
        arxiv_id=None,
        doi=None,
        version=None,
        reasons=(),
    )


def _said(verdict: Verdict) -> Iterator[str]:
    if why := _sentence(verdict.why):
        yield why
    if verdict.missed_at:
        yield f"Missing since {moment(verdict.missed_at)}."
    if verdict.healed_at:
        yield f"{_ended(verdict.state)} on {moment(verdict.healed_at)}: it is {verdict.state.value}."


def _footer(url: str) -> str:
    return f'<hr/>\n<p><a href="{escape(url)}">Coverage of all sources</a></p>'
