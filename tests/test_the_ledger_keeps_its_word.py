"""The ledger is private, durable, and does not take back what it has written down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from publishers.editions import cut
from storage.errors import ArchiveError, ArchiveFull
from storage.ledger import DeliveryState, Ledger
from storage.settings import Mail
from tests.builders import NOW
from tests.test_a_paper_is_mailed_once import ADA, GRAPHS, WORDS, a_catalog


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path) as opened:
        yield opened


def test_the_ledger_is_for_its_owner_only(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir(mode=0o755)
    with Ledger(tmp_path) as ledger, ledger.sending():
        ledger.remember("a", "b")
        modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "ledger").iterdir()}
    assert (tmp_path / "ledger").stat().st_mode & 0o777 == 0o700
    assert set(modes) >= {"ledger.sqlite", "ledger.sqlite-wal", "sending.lock"}
    assert set(modes.values()) == {0o600}


def test_the_ledger_writes_through_to_the_disk(ledger: Ledger) -> None:
    pragmas = {p: ledger._connection.execute(f"PRAGMA {p}").fetchone()[0] for p in ("journal_mode", "synchronous")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}  # 2 is FULL


def test_the_first_value_remembered_stays(tmp_path: Path, ledger: Ledger) -> None:
    assert ledger.remember("id_authority", "wire.example.org") == "wire.example.org"
    with Ledger(tmp_path) as later:
        assert later.remember("id_authority", "moved.example.org") == "wire.example.org"


def test_an_address_cannot_be_told_twice_even_by_mistake(ledger: Ledger) -> None:
    for topic in (WORDS, GRAPHS):
        assert cut(a_catalog(), ledger, topic, Mail(to=(ADA,)), now=NOW)
    sent = {"message_id": "<a@b>", "contents": ["arxiv:2606.00003"], "more": 0, "now": NOW}
    assert ledger.reserve("daily/words/2026-06-02", ADA, **sent)  # type: ignore[arg-type]
    with pytest.raises(ArchiveError, match="UNIQUE"):
        ledger.reserve("daily/graphs/2026-06-02", ADA, **sent)  # type: ignore[arg-type]
    assert [d.state for d in ledger.deliveries("daily/graphs/2026-06-02")] == [DeliveryState.DUE]  # rolled back


def test_a_finished_delivery_cannot_be_reserved_again(ledger: Ledger) -> None:
    cut(a_catalog(), ledger, WORDS, Mail(to=(ADA,)), now=NOW)
    sent = {"message_id": "<a@b>", "contents": ["arxiv:2606.00003"], "more": 0, "now": NOW}
    assert ledger.reserve("daily/words/2026-06-02", ADA, **sent)  # type: ignore[arg-type]
    ledger.confirm("daily/words/2026-06-02", ADA, now=NOW)
    assert not ledger.reserve("daily/words/2026-06-02", ADA, **sent)  # type: ignore[arg-type]
    with pytest.raises(ArchiveError, match="no reserved delivery"):
        ledger.confirm("daily/words/2026-06-02", ADA, now=NOW)


def test_a_ledger_of_a_newer_program_is_not_touched(tmp_path: Path, ledger: Ledger) -> None:
    ledger._connection.execute("PRAGMA user_version = 7")
    with pytest.raises(ArchiveError, match="version 7"):
        Ledger(tmp_path)


def test_a_damaged_ledger_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "ledger.sqlite").write_bytes(b"not a database, but long enough to be looked at" * 30)
    with pytest.raises(ArchiveError, match="not a database") as caught:
        Ledger(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_said_to_be_full(ledger: Ledger) -> None:
    ledger._connection.execute("PRAGMA max_page_count = 1")  # SQLite takes the present size instead: no room to grow
    with pytest.raises(ArchiveFull, match="full"):
        ledger.remember("key", "x" * 1_000_000)
    assert ledger.editions(1) == ()  # and it can still be read
