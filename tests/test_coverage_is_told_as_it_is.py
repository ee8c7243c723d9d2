"""The ledger as people and programs read it: `paperwire coverage`, `status`, SQL; what is usual; what an index had."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from flows import cli
from flows.calendars import NEW_YORK, batch_day, holidays, may_rest
from flows.coverage import Listing, covers, judged, noted, usual
from flows.covering import keep_coverage
from flows.harvesting import Reading
from flows.sources.interface import Rhythm
from storage.archive import Archive
from storage.coverage import Batch, CoverageLog, State, Verdict, joined, packed, parted, since_when
from storage.settings import Settings
from storage.verify import verify
from tests.fetching_tools import a_source
from tests.newsroom import Newsroom, Paperwire, arxiv_feed, good_routes, in_process
from tests.servers import Answer, Server

DAY = date(2026, 6, 9)
NOW = datetime(2026, 6, 9, 12, 0, tzinfo=UTC)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Newsroom]:
    with Server(good_routes()) as server:
        room = Newsroom(tmp_path, server)
        room.configure()
        yield room


@pytest.fixture
def paperwire(room: Newsroom, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Paperwire:
    return in_process(room, monkeypatch, capsys)


def a_missed_day(paperwire: Paperwire, room: Newsroom) -> None:
    """Two reads of arXiv with a working day between them."""
    paperwire("run", "--now", "2026-06-09T12:00:00Z")
    ids = [(f"2606.11{n:03}", f"On {n}") for n in range(3)]
    room.server.routes["/rss/cs.CL"] = Answer(body=arxiv_feed(*ids, day=date(2026, 6, 11)))
    assert paperwire("run", "--now", "2026-06-11T12:00:00Z").code == cli.INCOMPLETE


def test_what_is_missing_is_named_and_the_exit_code_says_so(room: Newsroom, paperwire: Paperwire) -> None:
    a_missed_day(paperwire, room)
    said = paperwire("coverage")
    assert said.code == cli.INCOMPLETE
    (line,) = [line for line in said.out.splitlines() if "2026-06-10" in line and "arxiv-rss" in line]
    assert line.split()[:4] == ["arxiv-rss:cs.CL", "2026-06-10", "failed", "True"]
    assert "the batch was never read" in line
    found = paperwire("coverage", "--json", "--source", "arxiv-rss:cs.CL").document()
    assert found["well"] is False
    (missing,) = found["missing"]
    assert (missing["day"], missing["state"], missing["why"]) == ("2026-06-10", "failed", "the batch was never read")
    assert [(d["day"], d["state"]) for d in found["days"]] == [
        ("2026-06-09", "complete"),
        ("2026-06-10", "failed"),
        ("2026-06-11", "complete"),
    ]


def test_status_says_what_is_missing(room: Newsroom, paperwire: Paperwire) -> None:
    a_missed_day(paperwire, room)
    said = paperwire("status")
    assert said.code == cli.INCOMPLETE
    assert "missing arxiv-rss:cs.CL: 2026-06-10 is failed: the batch was never read" in said.out


def test_where_nothing_is_missing_the_exit_code_is_0(room: Newsroom, paperwire: Paperwire) -> None:
    paperwire("run", "--now", "2026-06-09T12:00:00Z")
    said = paperwire("coverage", "--json")
    assert (said.code, said.document()["missing"]) == (cli.OK, [])


def test_sql_sees_what_the_command_says(room: Newsroom, paperwire: Paperwire) -> None:
    a_missed_day(paperwire, room)
    columns = "source, day, state, missing, came, why, was, healed_at"
    query = f"SELECT {columns} FROM coverage WHERE missing AND source LIKE 'arxiv%'"
    assert paperwire("sql", "--json", query).document() == [
        {
            "source": "arxiv-rss:cs.CL",
            "day": "2026-06-10",
            "state": "failed",
            "missing": True,
            "came": 0,
            "why": "the batch was never read",
            "was": "failed",
            "healed_at": None,
        }
    ]


def test_every_fetch_can_be_asked_for(room: Newsroom, paperwire: Paperwire) -> None:
    paperwire("run", "--now", "2026-06-09T12:00:00Z")
    room.server.routes["/rss/cs.CL"] = Answer(status=404)
    paperwire("run", "--now", "2026-06-09T13:00:00Z", "--source", "arxiv-rss:cs.CL")
    columns = "fetched_at, status, listed, length(body_sha256) AS hashed, error"
    query = f"SELECT {columns} FROM Fetches WHERE source LIKE 'arxiv%'"
    assert paperwire("sql", "--json", query).document() == [
        {"fetched_at": "2026-06-09T12:00:00", "status": 200, "listed": 1, "hashed": 64, "error": None},
        {
            "fetched_at": "2026-06-09T13:00:00",
            "status": 404,
            "listed": 0,
            "hashed": 64,
            "error": "HTTP 404: there is nothing at this address",
        },
    ]


def test_a_source_nobody_configured_is_an_error_with_those_there_are(paperwire: Paperwire) -> None:
    said = paperwire("coverage", "--source", "arxiv-rss:cs.XX")
    assert said.code == cli.USAGE
    assert "no source is named 'arxiv-rss:cs.XX'; known: arxiv-rss:cs.CL, hf-daily, good" in said.err


def test_what_could_not_be_committed_did_not_come(tmp_path: Path) -> None:
    source = a_source(name="arxiv-rss:cs.CL", kind="arxiv-rss", category="cs.CL", url=None)
    settings = Settings(home=tmp_path, source=(source,))
    read = Reading(listings=(Listing(day=DAY, shown=DAY, ids=("a", "b"), listed=2),))
    with Archive(tmp_path) as archive:
        (found,) = keep_coverage(archive.index, settings, source, read, (), "the disk is full", now=NOW)
        assert (found.state, found.missing, found.came, found.why) == (State.FAILED, True, 0, "the disk is full")
        (found,) = keep_coverage(archive.index, settings, source, read, (), None, now=NOW + timedelta(hours=1))
    assert (found.state, found.came, found.was) == (State.COMPLETE, 2, State.FAILED)


# What is usual


def known(counts: dict[date, int], source: str = "hf-daily") -> dict[date, Batch]:
    """Lists with these numbers of entries, each read on its day."""
    found = {}
    for day, count in counts.items():
        at = datetime(day.year, day.month, day.day, 20, tzinfo=UTC)
        found[day] = Batch(source=source, day=day, asked_at=at, read_at=at, listed=count, came=count)
    return found


def test_what_a_day_brings_is_held_against_its_own_weekday() -> None:
    mondays = [date(2026, 4, 6) + timedelta(days=7 * n) for n in range(8)]
    counts = dict.fromkeys(mondays, 90) | {day + timedelta(days=1): 900 for day in mondays}
    assert usual(known(counts), mondays[4] + timedelta(days=1)) == (270, 2_800)
    low, high = usual(known(counts), mondays[4])
    assert (low, high) == (20, 309)
    assert usual(known(dict.fromkeys(mondays[:3], 90)), mondays[4]) == (None, None)


def test_the_lists_of_nine_months_are_within_what_is_usual_but_for_a_few(unpack: Callable[[str], Path]) -> None:
    counts = {}
    for path in unpack("hf_daily_raw").rglob("2*.json"):
        day = date.fromisoformat(path.stem[:10])
        try:
            listed = json.loads(path.read_bytes())
        except ValueError:
            continue
        if isinstance(listed, list) and not may_rest(day):
            counts[day] = len(listed)
    lists, outside = known(counts), []
    for day, batch in lists.items():
        low, high = usual(lists, day)
        assert low is not None
        assert high is not None
        if not low <= batch.came <= high:
            outside.append((day, batch.came, low, high))
    print(f"\n{len(lists)} lists, {len(outside)} outside of what is usual: {outside}")
    assert len(lists) > 150
    assert len(outside) <= len(lists) // 50


def test_the_days_that_pollers_lost_are_below_what_is_usual_and_hardly_another(shared_data: Path) -> None:
    path = shared_data / "bench" / "polling_sightings.parquet"
    if not path.is_file():
        pytest.skip("the captured sightings (../shared/data/bench) are not beside this checkout")
    days, short = 0, []
    for poller in ("dw-dengwei", "KAFKA2306", "xmkxabc"):
        rows = duckdb.execute(
            "SELECT day::DATE, count(DISTINCT arxiv_id) FROM read_parquet(?) WHERE source = ? GROUP BY 1 ORDER BY 1",
            [str(path), poller],
        ).fetchall()
        batches = known({day: count for day, count in rows if not may_rest(day)})
        days += len(batches)
        lows = ((day, batch.came, usual(batches, day)[0]) for day, batch in batches.items())
        short += [(poller, str(day), came, low) for day, came, low in lows if low is not None and came < low]
    print(f"\n{days} polled working days, {len(short)} below what is usual: {short}")
    assert [(poller, day) for poller, day, _, _ in short] == [
        ("dw-dengwei", "2025-10-14"),
        ("dw-dengwei", "2025-11-18"),
        ("KAFKA2306", "2025-10-14"),
        ("KAFKA2306", "2025-11-19"),
        ("KAFKA2306", "2025-11-20"),
    ]
    assert all(came <= 5 for _, _, came, _ in short), "no day of an ordinary size is called short"


# The calendar


@pytest.mark.parametrize(
    ("day", "rests"),
    [
        (date(2026, 11, 26), True),  # Thanksgiving
        (date(2026, 11, 30), False),
        (date(2026, 7, 3), True),  # the 4th is a Saturday
        (date(2026, 5, 26), True),  # what Memorial Day would have announced is dated the day after
        (date(2026, 5, 27), False),
        (date(2027, 1, 4), False),
        (date(2026, 12, 29), True),
        (date(2026, 6, 13), True),  # a Saturday
        (date(2028, 2, 29), False),
    ],
)
def test_a_day_of_rest_is_known(day: date, rests: bool) -> None:
    assert may_rest(day) is rests


def test_a_year_has_the_holidays_of_its_law() -> None:
    assert {date(2026, 1, 19), date(2026, 2, 16), date(2026, 5, 25), date(2026, 6, 19), date(2026, 9, 7)} < holidays(
        2026
    )
    assert all(len([d for d in holidays(year) if d.weekday() < 5]) < 25 for year in range(2020, 2060))


@pytest.mark.parametrize(
    ("submitted", "announced"),
    [
        ("2026-06-08T13:59", date(2026, 6, 9)),  # Monday before the deadline
        ("2026-06-08T14:00", date(2026, 6, 10)),
        ("2026-06-11T15:00", date(2026, 6, 15)),  # Thursday after it: Friday's deadline, Sunday's announcement
        ("2026-06-12T13:00", date(2026, 6, 15)),
        ("2026-06-12T15:00", date(2026, 6, 16)),
        ("2026-06-13T09:00", date(2026, 6, 16)),
        ("2026-03-08T15:00", date(2026, 3, 10)),  # the day on which the clocks change
    ],
)
def test_a_submission_goes_into_the_batch_of_its_deadline(submitted: str, announced: date) -> None:
    assert batch_day(datetime.fromisoformat(submitted).replace(tzinfo=NEW_YORK)) == announced


# Facts and verdicts


def test_ids_are_kept_packed() -> None:
    ids = packed(["oai:arXiv.org:2606.00001v1", "oai:arXiv.org:2606.00002v1", "\udcff"])
    assert len(ids) == 3
    assert parted(joined(ids)) == ids
    with pytest.raises(ValueError, match="base64"):
        parted("no base64")


def test_a_list_that_was_not_changed_is_one_that_was_read() -> None:
    first = noted(
        "hf-daily", Rhythm.LISTS, [Listing(day=DAY, ids=("a", "b"), listed=2)], {}, papers=2, whole=True, now=NOW
    )
    later = datetime(2026, 6, 10, 7, tzinfo=UTC)
    facts = {b.day: b for b in first}
    (again,) = noted("hf-daily", Rhythm.LISTS, [Listing(day=DAY, same=True)], facts, papers=0, whole=True, now=later)
    assert (again.read_at, again.grew_at, again.came) == (later, NOW, 2)
    (found,) = [v for v in judged("hf-daily", Rhythm.LISTS, {DAY: again}, now=later) if v.day == DAY]
    assert (found.state, found.missing) == (State.COMPLETE, False)


def test_a_day_before_the_first_read_is_not_judged() -> None:
    batches = known({DAY: 40}, "arxiv-rss:cs.CL")
    assert [v.day for v in judged("arxiv-rss:cs.CL", Rhythm.BATCH, batches, now=NOW)] == [DAY]
    assert judged("arxiv-rss:cs.CL", Rhythm.BATCH, {}, now=NOW) == ()


def test_an_empty_list_is_not_missing_while_nothing_is_known_of_such_days() -> None:
    read = noted("eess.IV", Rhythm.BATCH, [Listing(day=DAY, shown=DAY)], {}, papers=0, whole=True, now=NOW)
    (found,) = judged("eess.IV", Rhythm.BATCH, {b.day: b for b in read}, now=NOW)
    assert (found.state, found.missing) == (State.LATE, False)
    assert "it is not known yet what such a day brings" in found.why
    small = known({DAY - timedelta(days=n): 2 for n in (1, 4, 5, 6, 7)}, "eess.IV")
    (found,) = [v for v in judged("eess.IV", Rhythm.BATCH, small | {b.day: b for b in read}, now=NOW) if v.day == DAY]
    assert (found.state, found.missing) == (State.QUIET, False), "a small category may bring nothing"


def test_what_goes_missing_again_is_missing_from_then_on() -> None:
    verdict = Verdict(source="s", day=DAY, state=State.STALE, missing=True, came=0)
    first = since_when(verdict, None, NOW)
    later = since_when(
        Verdict(source="s", day=DAY, state=State.COMPLETE, missing=False, came=9), first, NOW + timedelta(1)
    )
    assert (later.was, later.missed_at, later.healed_at) == (State.STALE, NOW, NOW + timedelta(1))
    assert since_when(verdict, first, NOW + timedelta(1)).missed_at == NOW
    assert since_when(verdict, later, NOW + timedelta(2)).missed_at == NOW + timedelta(2)


@pytest.mark.parametrize(
    ("wide", "narrow", "is_covered"),
    [
        (None, "cs.CL", True),
        ("cs.CL", "cs.CL", True),
        ("cs", "cs.CL+cs.LG", True),
        ("cs", "cs.CL+stat.ML", False),
        ("cs:cs:CL", "cs.CL", False),  # a set by its full name is only itself, which its last part does not tell
        ("cs.CL", "cs.LG", False),
        ("cs.C", "cs.CL", False),
        ("physics:hep-th", "hep-th", True),
    ],
)
def test_who_can_make_up_for_whom(wide: str | None, narrow: str, is_covered: bool) -> None:
    oai = a_source(name="oai", kind="arxiv-oai", category=wide, url=None)
    rss = a_source(name="rss", kind="arxiv-rss", category=narrow, url=None)
    assert covers(oai, rss) is is_covered


# An older index


def test_the_gaps_of_an_older_index_are_taken_over(room: Newsroom, paperwire: Paperwire) -> None:
    paperwire("run", "--now", "2026-06-09T12:00:00Z")
    path = room.home / "archive" / "index.sqlite"
    with Archive(room.home) as archive:
        execute = archive.index.connection.execute
        for table in ("batches", "coverage"):
            execute(f"DROP TABLE {table}")
            execute("DELETE FROM sums WHERE name = ?", (table,))
        execute("CREATE TABLE gaps (source TEXT NOT NULL, day TEXT NOT NULL, noticed_at TEXT NOT NULL) STRICT")
        execute("INSERT INTO gaps VALUES ('arxiv-rss:cs.CL', '2026-06-04', '2026-06-05T06:00:00+00:00')")
        schema = execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()
        from storage.sums import _MASK, _row_sum

        total = sum(_row_sum(*row) for row in schema) & _MASK
        execute("UPDATE sums SET value = ? WHERE name = 'sqlite_schema'", (total,))
    with Archive(room.home) as archive:
        (found,) = CoverageLog(archive.index).verdicts()
        assert (found.day, found.state, found.missing) == (date(2026, 6, 4), State.FAILED, True)
        assert found.missed_at == datetime(2026, 6, 5, 6, tzinfo=UTC)
    assert verify(room.home).faults == ()
    with closing(sqlite3.connect(path)) as connection:
        assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'gaps'").fetchone()
