"""kill -9 at any step of sending: nothing is lost, and a message that may arrive twice arrives as the same message."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from publishers.mail import send_due
from publishers.transports import Envelope, SmtpTransport
from storage.ledger import DeliveryState, Ledger
from tests.builders import NOW
from tests.smtp_sink import SmtpSink
from tests.test_a_paper_is_mailed_once import ADA, BEA, CEM, a_catalog, send_with, the_settings, titles_in


@dataclass
class DyingTransport:
    """Real SMTP in a process that is killed at the n-th message, before it leaves or when the server has answered."""

    inner: SmtpTransport
    point: str
    number: int
    count: int = 0

    def send(self, content: bytes, envelope: Envelope) -> None:
        self.count += 1
        if (self.point, self.number) == ("reserved", self.count):
            os.kill(os.getpid(), signal.SIGKILL)
        self.inner.send(content, envelope)
        if (self.point, self.number) == ("answered", self.count):
            os.kill(os.getpid(), signal.SIGKILL)

    def close(self) -> None:
        self.inner.close()


def the_child(home: Path, port: int, point: str, number: int) -> None:
    """What runs in the process that dies."""
    config = the_settings(home, smtp_url=f"smtp://127.0.0.1:{port}")
    assert config.mail
    with Ledger(home) as ledger:
        if point in ("reserved", "answered"):
            send_with(DyingTransport(SmtpTransport(config.mail), point, number), a_catalog(), ledger, config)
        else:  # the server kills it
            send_due(a_catalog(), ledger, config, now=NOW)


def child_that_dies(home: Path, sink: SmtpSink, point: str, number: int) -> None:
    """Run the child until it is killed; the sink's answer waits until it is dead."""
    arguments = [str(home), str(sink.port), point, str(number)]
    child = subprocess.Popen([sys.executable, "-m", "tests.test_a_killed_sender_loses_nothing", *arguments])

    def kill(count: int) -> None:
        if count == number and child.poll() is None:
            child.send_signal(signal.SIGKILL)
            child.wait(timeout=30)

    sink.script.on_rcpt = kill if point == "addressed" else None
    sink.script.on_data = kill if point == "kept" else None
    assert child.wait(timeout=60) == -signal.SIGKILL
    sink.script.on_rcpt = sink.script.on_data = None


@pytest.mark.parametrize("number", [1, 3, 4, 6])
@pytest.mark.parametrize(("point", "copies"), [("reserved", 0), ("addressed", 0), ("kept", 1), ("answered", 1)])
def test_a_sender_killed_at_any_step_loses_nothing(tmp_path: Path, point: str, number: int, copies: int) -> None:
    """6 messages to 3 addresses; only the one in doubt may come twice, and then as the same message."""
    with SmtpSink() as sink:
        child_that_dies(tmp_path, sink, point, number)
        before = len(sink.received)
        config = the_settings(tmp_path, smtp_url=sink.url)
        with Ledger(tmp_path) as ledger:
            in_doubt = [d for e in ledger.unfinished() for d in ledger.pending(e.edition_id) if d.attempts]
            assert [d.state for d in in_doubt] == [DeliveryState.RESERVED]
            reports = send_due(a_catalog(), ledger, config, now=NOW + timedelta(minutes=5))
            assert sum(r.sent for r in reports) == 6 - before + copies
            assert send_due(a_catalog(), ledger, config, now=NOW + timedelta(minutes=6)) == ()
        ids = Counter(r.message_id for r in sink.received)
        assert len(ids) == 6
        assert sum(ids.values()) == 6 + copies
        assert {i for i, n in ids.items() if n > 1} <= {d.message_id for d in in_doubt}
        assert len({r.content for r in sink.received}) == 6  # the second copy is a copy
        told = Counter(
            (r.address, n) for r in {r.message_id: r for r in sink.received}.values() for n in titles_in(r.content)
        )
        assert told == {(address, n): 1 for address in (ADA, BEA, CEM) for n in range(1, 7)}


if __name__ == "__main__":
    the_child(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
