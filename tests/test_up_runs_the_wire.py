"""`paperwire up`: one command, everything runs, whatever is killed, and nothing is left when it ends.

One `up` serves the whole file; the tests follow its life from start to end.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.pipeline import ingest_source, pending_events
from flows.replay import ReplayServer, load_demo_data
from storage.settings import Settings, load_settings
from tests.wire_tools import (
    PATIENCE_SECONDS,
    ROOT,
    Gate,
    PrefectApi,
    alive,
    command_of,
    descendants,
    environment,
    free_port,
    get,
    wait_for,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the tests look at processes in /proc"),
]
_STOP_SECONDS_MAX = 10
_ARXIV, _DEAD, _EARLY, _GATED, _MINUTELY = "arxiv-rss:cs.CL", "dead", "early", "gated", "minutely"


@dataclass
class Wire:
    """One `up` with its sources and what it printed."""

    settings: Settings
    replay: ReplayServer
    gate: Gate
    process: subprocess.Popen[bytes]
    printed: Path
    started: float = field(default_factory=time.monotonic)

    @property
    def home(self) -> Path:
        return self.settings.home

    @property
    def site(self) -> str:
        return f"http://127.0.0.1:{self.settings.web.port}/"

    @property
    def api(self) -> PrefectApi:
        return PrefectApi(self.settings.web.prefect_port)

    def lines(self) -> list[str]:
        return self.printed.read_text().splitlines()

    def server_pid(self) -> int | None:
        return next((p for p in descendants(self.process.pid) if "server_child.py" in command_of(p)), None)

    def feed(self, slug: str = "all") -> str:
        return (get(f"{self.site}feeds/{slug}.atom") or b"").decode()


def _configuration(folder: Path, replay: str, journal: str, early: str) -> Path:
    """arXiv, a feed nobody serves, one read before the start, one behind a gate, and one that is due every minute."""
    dead = f"http://127.0.0.1:{free_port()}/feed.xml"
    feeds = {_DEAD: dead, _EARLY: early, _GATED: journal, _MINUTELY: early}
    sources = [
        f'[[source]]\nname = "{name}"\nkind = "feed"\nurl = "{url}"\nallow_private_addresses = true\n'
        f'schedule = "{"* * * * *" if name == _MINUTELY else "0 0 1 1 *"}"\n'
        for name, url in feeds.items()
    ]
    path = folder / "paperwire.toml"
    path.write_text(
        f"[web]\nport = {free_port()}\nprefect_port = {free_port()}\n"
        f'[[source]]\nname = "{_ARXIV}"\nkind = "arxiv-rss"\ncategory = "cs.CL"\nbase_url = "{replay}"\n'
        "allow_private_addresses = true\n" + "".join(sources) + '[[topic]]\nslug = "computing"\ntitle = "Computing"\n'
        'query = "category:cs"\n[mail]\nto = ["reader@example.org"]\nfrom = "wire@example.org"\n'
    )
    return path


def _up(settings: Settings, printed: Path) -> subprocess.Popen[bytes]:
    with printed.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "up", "--config", str(settings.path)],
            cwd=ROOT,
            env=environment(PAPERWIRE_HOME=str(settings.home)),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """Start `up`, after one source was read by a process that then did nothing about it."""
    folder = tmp_path_factory.mktemp("up")
    with ReplayServer(load_demo_data()) as replay, Gate() as gate, Gate() as early:
        early.titles = ["Read before anybody was up"]
        gate.titles = ["Behind the gate"]
        path = _configuration(folder, replay.base_url, gate.url, early.url)
        settings = load_settings(path, home=folder / "home")
        assert ingest_source(settings, _EARLY, now=datetime.now(UTC)).new == 1
        printed = folder / "printed.txt"
        wire = Wire(settings, replay, gate, _up(settings, printed), printed)
        try:
            yield wire
        finally:
            if wire.process.poll() is None:
                wire.process.kill()
                wire.process.wait()
            sys.stdout.write(printed.read_text())


def test_the_site_answers_before_prefect_does(wire: Wire) -> None:
    wait_for("the site", lambda: get(f"{wire.site}health"))
    site_seconds = time.monotonic() - wire.started
    assert not wire.api.healthy()
    wait_for("Prefect", wire.api.healthy)
    prefect_seconds = time.monotonic() - wire.started
    wait_for("the status block", lambda: any("is up" in line for line in wire.lines()))
    ready = time.monotonic() - wire.started
    sys.stdout.write(
        f"site after {site_seconds:.1f} s, Prefect after {prefect_seconds:.1f} s, ready after {ready:.1f} s\n"
    )
    block = "\n".join(wire.lines())
    for shown in (wire.site, f"http://127.0.0.1:{wire.settings.web.prefect_port}/", str(wire.home), "1 address"):
        assert shown in block


def test_what_was_committed_before_the_start_is_published_and_its_event_emitted(wire: Wire) -> None:
    wait_for("the early paper in the feed", lambda: "Read before anybody was up" in wire.feed())
    wait_for("an empty outbox", lambda: not pending_events(wire.settings))


def test_a_source_never_read_is_read_at_once_and_one_just_read_is_not(wire: Wire) -> None:
    wait_for("a paper of the first day", lambda: "arxiv" in wire.feed() and wire.api.runs(_ARXIV))
    assert len([r for r in wire.api.runs(_ARXIV) if r["state_type"] != "SCHEDULED"]) == 1
    assert [r for r in wire.api.runs(_EARLY) if r["state_type"] != "SCHEDULED"] == []


def test_prefect_shows_runs_artifacts_and_the_times_to_come(wire: Wire) -> None:
    run, *_ = wait_for("a completed read", lambda: _ended(wire, _ARXIV))
    assert (run["state_type"], run["name"]) == ("COMPLETED", f"ingest {_ARXIV}")
    # The replay is of another month than the clock, so what it shows is not the batch of today.
    assert re.fullmatch(r"\d+ new of \d+ entries; 1 problem", run["state"]["message"])
    wait_for("a publish by event", lambda: _asked_by(wire))
    artifact = wait_for("its artifact", lambda: wire.api.artifacts().get("ingest-arxiv-rss-cs-cl"))
    assert "| new |" in artifact
    # Without these nothing is ever read again: Prefect 3.8 inserts none of them under SQLAlchemy 2.1.
    times = wait_for("scheduled runs", lambda: _scheduled(wire, _ARXIV))
    assert min(times) > datetime.now(UTC)
    assert {t.minute for t in times} == {20}


def test_a_failed_source_is_one_line_that_says_when_it_is_read_again(wire: Wire) -> None:
    told = wait_for("a line", lambda: [line for line in wire.lines() if f"{_DEAD}:" in line and "✗" in line])
    assert len(told) == 1
    assert re.search(
        r"Connection refused.*tries again.*then Fri 00:00 UTC|Connection refused.*then \w{3} 00:00", told[0]
    )
    assert "Traceback" not in wire.printed.read_text()


def test_a_commit_reaches_the_feed_by_its_event(wire: Wire) -> None:
    before = wire.feed()
    wire.replay.now += timedelta(days=1)
    wire.api.ask_for(_ARXIV)
    wait_for("another day in the feed", lambda: wire.feed() != before)
    segment = max((wire.home / "archive" / "log").glob("*.parquet"))
    latency = (wire.home / "site" / "feeds" / "all.atom").stat().st_mtime - segment.stat().st_mtime
    sys.stdout.write(f"from the commit to the feed in {latency:.2f} s\n")
    seq = int(segment.stem)
    wait_for("its publish run", lambda: seq in _asked_by(wire))
    assert latency < 30


def test_asked_three_times_while_it_reads_it_reads_once_more(wire: Wire) -> None:
    wait_for("the first read", lambda: _ended(wire, _GATED))
    asked = wire.gate.asked
    wire.gate.open.clear()
    wire.api.ask_for(_GATED)
    wait_for("the read to begin", lambda: wire.gate.asked == asked + 1)
    again = [wire.api.ask_for(_GATED) for _ in range(3)]
    wire.gate.open.set()
    wait_for("the end of them all", lambda: all(wire.api.state(r) in ("COMPLETED", "CANCELLED") for r in again))
    assert sorted(map(wire.api.state, again)) == ["CANCELLED", "CANCELLED", "COMPLETED"]
    assert wire.gate.asked == asked + 2


def test_a_run_can_be_cancelled_from_prefects_pages(wire: Wire) -> None:
    asked = wire.gate.asked
    wire.gate.open.clear()
    run = wire.api.ask_for(_GATED)
    wait_for("the read to begin", lambda: wire.gate.asked == asked + 1)
    wire.api.post(f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
    wait_for("the cancelled run", lambda: wire.api.state(run) == "CANCELLED")
    wire.gate.open.set()


def test_a_killed_prefect_server_is_started_again_and_its_runs_are_run_again(wire: Wire) -> None:
    asked = wire.gate.asked
    wire.gate.titles = [*wire.gate.titles, "Committed while Prefect was dead"]
    wire.gate.open.clear()
    run = wire.api.ask_for(_GATED)
    wait_for("the read to begin", lambda: wire.gate.asked == asked + 1)
    killed = wait_for("the server's process", wire.server_pid)
    os.kill(killed, signal.SIGKILL)
    at = time.monotonic()
    wait_for("its end", lambda: not alive(killed))
    wire.gate.open.set()
    assert get(f"{wire.site}health")
    wait_for("another server", lambda: wire.api.healthy())
    sys.stdout.write(f"Prefect answers again after {time.monotonic() - at:.1f} s\n")
    wait_for("the run to complete after all", lambda: wire.api.state(run) == "COMPLETED")
    wait_for("its paper in the feed", lambda: "Committed while Prefect was dead" in wire.feed())
    assert any("the Prefect server ended (status -9" in line for line in wire.lines())


def test_a_schedule_is_kept(wire: Wire) -> None:
    kept = wait_for("a read on schedule", lambda: [r for r in _ended(wire, _MINUTELY) if r["auto_scheduled"]])
    expected, began = (datetime.fromisoformat(kept[0][key]) for key in ("expected_start_time", "start_time"))
    sys.stdout.write(f"a scheduled read began {(began - expected).total_seconds():.2f} s after its time\n")
    assert (expected.second, kept[0]["state_type"]) == (0, "COMPLETED")


def test_a_second_up_and_a_taken_port_are_one_line_each(wire: Wire, tmp_path: Path) -> None:
    second = _up(wire.settings, tmp_path / "second.txt")
    elsewhere = _up(wire.settings.model_copy(update={"home": tmp_path / "other"}), tmp_path / "taken.txt")
    assert (second.wait(PATIENCE_SECONDS), elsewhere.wait(PATIENCE_SECONDS)) == (1, 1)
    assert (tmp_path / "second.txt").read_text() == f"paperwire: `paperwire up` is already running on {wire.home}\n"
    port = wire.settings.web.port
    assert (tmp_path / "taken.txt").read_text() == (
        f"paperwire: port {port} of 127.0.0.1 cannot be had (Address already in use); "
        "set [web] port to another one, or to 0 for any\n"
    )


def test_ctrl_c_in_the_middle_of_a_read_leaves_nothing_but_the_run_to_come(wire: Wire) -> None:
    asked = wire.gate.asked
    wire.gate.open.clear()
    run = wire.api.ask_for(_GATED)
    wait_for("the read to begin", lambda: wire.gate.asked == asked + 1)
    below = descendants(wire.process.pid)
    assert below
    at = time.monotonic()
    wire.process.send_signal(signal.SIGINT)
    code = wire.process.wait(PATIENCE_SECONDS)
    seconds = time.monotonic() - at
    sys.stdout.write(f"stopped after {seconds:.1f} s\n")
    assert code == 0
    assert seconds <= _STOP_SECONDS_MAX
    assert [command_of(pid) for pid in below if alive(pid)] == []
    assert wire.lines()[-1] == "Paperwire is stopped; what was committed stays committed."
    assert "Traceback" not in wire.printed.read_text()
    with closing(sqlite3.connect(wire.home / "prefect" / "prefect.db")) as database:
        states = dict(database.execute("SELECT id, state_name FROM flow_run").fetchall())
    assert states[run] == "AwaitingRetry"


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_an_up_ended_while_it_starts_takes_its_server_with_it(
    wire: Wire, tmp_path: Path, how: signal.Signals, code: int
) -> None:
    wire.process.wait(PATIENCE_SECONDS)
    up = _up(wire.settings.model_copy(update={"home": tmp_path / "home"}), tmp_path / "printed.txt")
    try:
        child = wait_for("a server child", lambda: next(iter(descendants(up.pid)), None))
        up.send_signal(how)
        assert up.wait(_STOP_SECONDS_MAX) == code
    finally:
        up.kill()
    wait_for("the end of the child", lambda: not alive(child), seconds=_STOP_SECONDS_MAX)


def _ended(wire: Wire, deployment: str) -> list[dict[str, Any]]:
    return [r for r in wire.api.runs(deployment) if r["state_type"] in ("COMPLETED", "FAILED")]


def _asked_by(wire: Wire) -> set[int]:
    """The segments whose events have led to a publish."""
    return {int(r["parameters"].get("seq", 0)) for r in _ended(wire, "publish")} - {0}


def _scheduled(wire: Wire, deployment: str) -> list[datetime]:
    waiting = [r for r in wire.api.runs(deployment) if r["state_type"] == "SCHEDULED" and r["auto_scheduled"]]
    return [datetime.fromisoformat(r["expected_start_time"]) for r in waiting]
