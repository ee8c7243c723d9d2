"""Whatever topic brings a paper, whenever a process dies: an address is told once, and nothing is lost."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from email import message_from_bytes
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from publishers.editions import Catalog, cut, plan, rank
from publishers.mail import send_due, send_edition, send_named
from publishers.transports import Envelope, Transport
from storage.errors import ConfigError, MailDeferred, MailError, MailRefused, MailServerDown
from storage.ledger import DeliveryState, Edition, Ledger
from storage.model import Announcement, TaggedPaper
from storage.settings import Mail, Settings, Site, Topic
from tests.builders import NOW
from tests.fake_catalog import FakeCatalog, a_numbered_paper
from tests.smtp_sink import Script, SmtpSink

ADA, BEA, CEM = "ada@example.org", "bea@example.org", "cem@example.org"
DAY = timedelta(days=1)
WORDS = Topic(slug="words", title="Words", query="word")
GRAPHS = Topic(slug="graphs", title="Graphs", query="graph")


def the_settings(home: Path, **mail: object) -> Settings:
    """Two topics, mailed to three addresses unless `mail` says otherwise."""
    table = {"from": "Wire <wire@example.org>", "to": (ADA, BEA, CEM)} | mail
    return Settings(
        topic=(WORDS, GRAPHS),
        mail=Mail(**table),  # type: ignore[arg-type]
        site=Site(base_url="https://wire.example.org"),
        home=home,
    )


def a_catalog() -> FakeCatalog:
    """Papers 1–4 in words, 3–6 in graphs: two are in both."""
    catalog = FakeCatalog()
    catalog.announce([a_numbered_paper(n) for n in (1, 2)], "words")
    catalog.announce([a_numbered_paper(n) for n in (3, 4)], "words", "graphs")
    catalog.announce([a_numbered_paper(n) for n in (5, 6)], "graphs")
    return catalog


@dataclass
class ScriptedTransport:
    """Takes messages; says what the test scripted for the n-th attempt instead."""

    answers: dict[int, Exception] = field(default_factory=dict)
    attempts: list[str] = field(default_factory=list)
    taken: list[tuple[str, bytes]] = field(default_factory=list)

    def send(self, content: bytes, envelope: Envelope) -> None:
        self.attempts.append(envelope.address)
        error = self.answers.get(len(self.attempts))
        if isinstance(error, ConnectionError):  # the server has it, but its answer is lost
            self.taken.append((envelope.address, content))
            raise MailServerDown("connection lost")
        if error:
            raise error
        self.taken.append((envelope.address, content))

    def close(self) -> None: ...


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path) as opened:
        yield opened


def titles_in(content: bytes) -> set[int]:
    """The numbers of the papers a message tells of, from its text part."""
    part = next(part for part in message_from_bytes(content).walk() if part.get_content_type() == "text/plain")
    text = bytes(part.get_payload(decode=True)).decode()
    return {int(line.split("number ")[1].split()[0]) for line in text.splitlines() if "number " in line}


def send_with(
    transport: Transport | None, catalog: Catalog, ledger: Ledger, config: Settings, now: datetime = NOW
) -> None:
    """What `send_due` does, with a transport of the test's own."""
    assert config.mail
    for topic in config.topic:
        cut(catalog, ledger, topic, config.mail, now=now)
    for edition in ledger.unfinished():
        if send_edition(edition, catalog, ledger, transport, settings=config, now=now).stopped:
            break


# -- once ---------------------------------------------------------------------------------------------------------


def test_a_paper_in_two_topics_reaches_an_address_once(tmp_path: Path, ledger: Ledger) -> None:
    transport = ScriptedTransport()
    send_with(transport, a_catalog(), ledger, the_settings(tmp_path))
    for address in (ADA, BEA, CEM):
        told = [titles_in(content) for to, content in transport.taken if to == address]
        assert told == [{1, 2, 3, 4}, {5, 6}]


def test_a_second_call_sends_nothing(tmp_path: Path, ledger: Ledger) -> None:
    with SmtpSink() as sink:
        config = the_settings(tmp_path, smtp_url=sink.url)
        first = send_due(a_catalog(), ledger, config, now=NOW)
        again = send_due(a_catalog(), ledger, config, now=NOW + timedelta(hours=3))
        assert [(r.sent, r.failed, r.deferred) for r in first] == [(3, 0, 0), (3, 0, 0)]
        assert again == ()
        assert len(sink.received) == 6
        named = send_named("daily/words/2026-06-02", a_catalog(), ledger, config, now=NOW)
        assert (named.sent, len(sink.received)) == (0, 6)


def test_the_next_day_brings_only_what_is_new_since(tmp_path: Path, ledger: Ledger) -> None:
    catalog, transport = a_catalog(), ScriptedTransport()
    config = the_settings(tmp_path, to=(ADA,))
    send_with(transport, catalog, ledger, config)
    catalog.announce([a_numbered_paper(7)], "graphs", at=NOW + DAY)
    send_with(transport, catalog, ledger, config, NOW + DAY)
    assert [titles_in(content) for _, content in transport.taken] == [{1, 2, 3, 4}, {5, 6}, {7}]


def test_a_paper_known_under_another_id_is_not_told_again(tmp_path: Path, ledger: Ledger) -> None:
    catalog, transport = FakeCatalog(), ScriptedTransport()
    config = the_settings(tmp_path, to=(ADA,))
    catalog.announce([a_numbered_paper(1)], "words")
    send_with(transport, catalog, ledger, config)
    merged = a_numbered_paper(2, aliases=("arxiv:2606.00001", "arxiv:2606.00002"))
    catalog.announce([merged], "graphs", at=NOW + DAY)
    send_with(transport, catalog, ledger, config, NOW + DAY)
    assert len(transport.taken) == 1
    skipped = ledger.deliveries("daily/graphs/2026-06-03")[0]
    assert (skipped.state, skipped.reason) == (DeliveryState.SKIPPED, "all of it was mailed before")


def test_an_address_written_twice_gets_one_message(tmp_path: Path, ledger: Ledger) -> None:
    transport = ScriptedTransport()
    send_with(transport, a_catalog(), ledger, the_settings(tmp_path, to=(ADA, "ada@EXAMPLE.org", ADA)))
    assert transport.attempts == [ADA, ADA]  # one for each topic


def test_papers_that_are_only_counted_are_not_taken_for_told(tmp_path: Path, ledger: Ledger) -> None:
    catalog, transport = a_catalog(), ScriptedTransport()
    send_with(transport, catalog, ledger, the_settings(tmp_path, to=(ADA,), papers_max=2))
    words, graphs = (titles_in(content) for _, content in transport.taken)
    assert len(words) == len(graphs) == 2
    assert not words & graphs
    assert b"And 2 more on the web" in transport.taken[0][1]
    told = ledger.already_mailed(ADA, [a_numbered_paper(n).paper_id for n in range(1, 7)])
    assert len(told) == 4


def test_a_revision_is_told_once_to_those_who_were_sent_the_paper(tmp_path: Path, ledger: Ledger) -> None:
    catalog, transport = a_catalog(), ScriptedTransport()
    send_with(transport, catalog, ledger, the_settings(tmp_path, to=(ADA,)))
    catalog.revise("arxiv:2606.00003", Announcement.WITHDRAWN, at=NOW + DAY, withdrawn=True)
    catalog.announce([a_numbered_paper(8)], "words", "graphs", at=NOW + DAY)
    transport.taken.clear()
    send_with(transport, catalog, ledger, the_settings(tmp_path, to=(ADA, BEA)), NOW + DAY)
    told = dict(transport.taken)
    assert [to for to, _ in transport.taken] == [ADA, BEA]
    assert titles_in(told[ADA]) == {3, 8}
    assert titles_in(told[BEA]) == {8}
    assert b"What became of papers you were sent" in told[ADA]


# -- editions -----------------------------------------------------------------------------------------------------


def test_an_edition_never_changes_once_cut(tmp_path: Path, ledger: Ledger) -> None:
    config = the_settings(tmp_path)
    assert config.mail
    edition = cut(a_catalog(), ledger, WORDS, config.mail, now=NOW)
    assert edition
    assert ledger.edition(edition.edition_id) == edition
    assert ledger.add_edition(edition, [ADA]) is False
    with sqlite3.connect(tmp_path / "ledger" / "ledger.sqlite") as other:
        with pytest.raises(sqlite3.IntegrityError, match="never changes"):
            other.execute("UPDATE editions SET total = 99")
        with pytest.raises(sqlite3.IntegrityError, match="never deleted"):
            other.execute("DELETE FROM editions")
    other.close()


def test_a_topic_has_one_edition_a_day(ledger: Ledger) -> None:
    catalog = a_catalog()
    assert cut(catalog, ledger, WORDS, Mail(), now=NOW)
    catalog.announce([a_numbered_paper(9)], "words", at=NOW + timedelta(hours=2))
    assert cut(catalog, ledger, WORDS, Mail(), now=NOW + timedelta(hours=4)) is None
    tomorrow = cut(catalog, ledger, WORDS, Mail(), now=NOW + DAY)
    assert tomorrow
    assert tomorrow.paper_ids == ("arxiv:2606.00009",)
    assert (tomorrow.from_seq, tomorrow.to_seq) == (3, 4)


def test_the_first_edition_starts_with_the_last_day_and_a_half(ledger: Ledger) -> None:
    catalog = FakeCatalog()
    catalog.announce([a_numbered_paper(1)], "words", at=NOW - timedelta(hours=37))
    catalog.announce([a_numbered_paper(2)], "words", at=NOW - timedelta(hours=35))
    edition = cut(catalog, ledger, WORDS, Mail(), now=NOW)
    assert edition
    assert edition.paper_ids == ("arxiv:2606.00002",)


def test_nothing_new_cuts_nothing_and_nothing_is_passed_over(ledger: Ledger) -> None:
    catalog = FakeCatalog()
    assert cut(catalog, ledger, WORDS, Mail(), now=NOW) is None
    assert (ledger.last_cut("words"), ledger.editions(5)) == (None, ())
    catalog.announce([a_numbered_paper(1)], "words", at=NOW)
    assert cut(catalog, ledger, WORDS, Mail(), now=NOW)
    assert cut(catalog, ledger, WORDS, Mail(), now=NOW + DAY) is None
    catalog.announce([a_numbered_paper(2)], "words", at=NOW + 2 * DAY)
    late = cut(catalog, ledger, WORDS, Mail(), now=NOW + 9 * DAY)  # a week switched off
    assert late
    assert late.paper_ids == ("arxiv:2606.00002",)


def test_no_edition_is_cut_before_its_hour(ledger: Ledger) -> None:
    mail = Mail(send_after=time(7, 30))
    assert cut(a_catalog(), ledger, WORDS, mail, now=datetime(2026, 6, 2, 7, 29, tzinfo=UTC)) is None
    edition = cut(a_catalog(), ledger, WORDS, mail, now=datetime(2026, 6, 2, 7, 30, tzinfo=UTC))
    assert edition
    assert edition.edition_id == "daily/words/2026-06-02"


def test_trending_papers_come_first_and_withdrawn_ones_last() -> None:
    papers = [
        a_numbered_paper(1),
        a_numbered_paper(2, announced_at=NOW + timedelta(hours=1)),
        a_numbered_paper(3, trending_on=NOW.date(), upvotes=3),
        a_numbered_paper(4, trending_on=NOW.date(), upvotes=40),
        a_numbered_paper(5, upvotes=900),  # votes without a list are no list
        a_numbered_paper(6, withdrawn=True, trending_on=NOW.date(), upvotes=99),
    ]
    expected = [4, 3, 2, 1, 5, 6]
    for order in (papers, papers[::-1]):
        ranked = rank(TaggedPaper(paper=paper) for paper in order)
        assert [int(t.paper.paper_id[-5:]) for t in ranked] == expected


def test_a_planned_edition_is_the_one_that_is_cut(ledger: Ledger) -> None:
    planned: Edition | None = plan(a_catalog(), ledger, WORDS, Mail(to=(ADA,)), now=NOW)
    assert planned
    assert cut(a_catalog(), ledger, WORDS, Mail(to=(ADA,)), now=NOW) == planned


def test_an_archive_put_back_from_a_backup_leaves_no_gap(tmp_path: Path, ledger: Ledger) -> None:
    catalog, transport = a_catalog(), ScriptedTransport()
    config = the_settings(tmp_path, to=(ADA,), topics=("words",))
    send_with(transport, catalog, ledger, config)
    restored = FakeCatalog()  # segments 1 and 2 are back, the third is lost and its number free again
    restored.announce([a_numbered_paper(n) for n in (1, 2)], "words")
    restored.announce([a_numbered_paper(9)], "words", at=NOW + DAY)
    send_with(transport, restored, ledger, config, NOW + DAY)
    told = [titles_in(content) for _, content in transport.taken]
    assert told[0] >= {1, 2}
    assert told[-1] == {9}


# -- when it goes wrong -------------------------------------------------------------------------------------------


def test_a_refusal_for_one_address_does_not_stop_the_others(tmp_path: Path, ledger: Ledger) -> None:
    with SmtpSink(Script(rcpt={BEA: "550 5.1.1 no such user"})) as sink:
        reports = send_due(a_catalog(), ledger, the_settings(tmp_path, smtp_url=sink.url), now=NOW)
        assert [(r.sent, r.failed) for r in reports] == [(2, 1), (2, 1)]
        assert reports[0].reasons == ("b…@example.org: 550 5.1.1 no such user",)
        assert Counter(r.address for r in sink.received) == {ADA: 2, CEM: 2}
        assert send_due(a_catalog(), ledger, the_settings(tmp_path, smtp_url=sink.url), now=NOW) == ()
    assert ledger.already_mailed(BEA, ["arxiv:2606.00001", "arxiv:2606.00003"]) == frozenset()


def test_what_was_put_off_comes_with_the_next_call(tmp_path: Path, ledger: Ledger) -> None:
    script = Script(rcpt={BEA: "451 4.7.1 greylisted"}, data={CEM: "452 4.3.1 full"})
    with SmtpSink(script) as sink:
        config = the_settings(tmp_path, smtp_url=sink.url)
        first = send_due(a_catalog(), ledger, config, now=NOW)
        assert [(r.sent, r.deferred, r.stopped) for r in first] == [(1, 2, False), (1, 2, False)]
        script.rcpt, script.data = {}, {}
        second = send_due(a_catalog(), ledger, config, now=NOW + timedelta(minutes=20))
        assert [(r.sent, r.deferred) for r in second] == [(2, 0), (2, 0)]
        assert Counter(r.address for r in sink.received) == {ADA: 2, BEA: 2, CEM: 2}
    assert {d.attempts for d in ledger.deliveries("daily/words/2026-06-02")} == {1, 2}


def test_an_address_that_is_put_off_for_five_days_is_given_up(tmp_path: Path, ledger: Ledger) -> None:
    config = the_settings(tmp_path, to=(ADA,), topics=("words",))
    with SmtpSink(Script(rcpt={ADA: "452 4.2.2 mailbox full"})) as sink:
        config = the_settings(tmp_path, to=(ADA,), topics=("words",), smtp_url=sink.url)
        for age in (timedelta(0), timedelta(days=4)):
            assert send_due(a_catalog(), ledger, config, now=NOW + age)[0].deferred == 1
        last = send_due(a_catalog(), ledger, config, now=NOW + timedelta(days=5))[0]
    assert (last.failed, last.deferred) == (1, 0)
    assert last.reasons == ("a…@example.org: given up after 3 attempts: 452 4.2.2 mailbox full",)


def test_a_server_that_goes_down_midway_leaves_the_rest_for_the_next_call(tmp_path: Path, ledger: Ledger) -> None:
    with SmtpSink(Script(hang_up={2})) as sink:
        down = the_settings(tmp_path, smtp_url=sink.url, timeout_seconds=5)
        first = send_due(a_catalog(), ledger, down, now=NOW)
    assert [(r.sent, r.deferred, r.stopped) for r in first] == [(1, 2, True), (0, 3, True)]
    with SmtpSink() as healthy:
        second = send_due(a_catalog(), ledger, the_settings(tmp_path, smtp_url=healthy.url), now=NOW)
    assert [r.sent for r in second] == [2, 3]
    copies = Counter(r.message_id for r in [*sink.received, *healthy.received])
    assert len(copies) == 6  # nothing lost
    assert sorted(copies.values()) == [1, 1, 1, 1, 1, 2]  # the one whose answer was lost came again as itself
    one, other = (r for r in [*sink.received, *healthy.received] if copies[r.message_id] == 2)
    assert one.content == other.content


def test_a_message_in_doubt_keeps_its_id_though_settings_change(tmp_path: Path, ledger: Ledger) -> None:
    transport = ScriptedTransport({1: ConnectionError("answer lost")})
    before = the_settings(tmp_path, to=(ADA,), topics=("words",))
    send_with(transport, a_catalog(), ledger, before)
    moved = {"from": "wire@moved.example.org", "to": (ADA,), "topics": ("words",), "papers_max": 1}
    send_with(transport, a_catalog(), ledger, the_settings(tmp_path, **moved))
    first, second = (message_from_bytes(content) for _, content in transport.taken[:2])
    assert first["Message-ID"] == second["Message-ID"]
    assert titles_in(bytes(first)) == titles_in(bytes(second)) == {1, 2, 3, 4}


def test_no_server_at_all_loses_nothing(tmp_path: Path, ledger: Ledger) -> None:
    with SmtpSink() as sink:
        url = sink.url
    reports = send_due(a_catalog(), ledger, the_settings(tmp_path, smtp_url=url), now=NOW)
    assert [(r.deferred, r.stopped) for r in reports] == [(3, True), (3, True)]
    assert "refused" in reports[0].reasons[0]
    assert {d.state for e in ledger.unfinished() for d in ledger.pending(e.edition_id)} == {
        DeliveryState.DUE,
        DeliveryState.RESERVED,
    }


def test_who_left_the_list_gets_nothing_more(tmp_path: Path, ledger: Ledger) -> None:
    config = the_settings(tmp_path)
    assert config.mail
    cut(a_catalog(), ledger, WORDS, config.mail, now=NOW)
    transport = ScriptedTransport()
    send_with(transport, a_catalog(), ledger, the_settings(tmp_path, to=(ADA, CEM)), NOW)
    assert BEA not in transport.attempts
    by_address = {d.address: d for d in ledger.deliveries("daily/words/2026-06-02")}
    assert (by_address[BEA].state, by_address[BEA].reason) == (DeliveryState.SKIPPED, "no longer on the list")


def test_an_address_no_header_can_carry_is_skipped_with_a_reason(tmp_path: Path, ledger: Ledger) -> None:
    config = the_settings(tmp_path, to=("élan@example.org", ADA), topics=("words",))
    (report,) = send_due(a_catalog(), ledger, config, now=NOW)
    assert (report.sent, report.skipped) == (1, 1)
    assert "SMTPUTF8" in report.reasons[0]


def test_a_topic_that_is_gone_is_not_mailed(tmp_path: Path, ledger: Ledger) -> None:
    cut(a_catalog(), ledger, Topic(slug="old", title="Old", query="x"), Mail(), now=NOW)
    catalog = a_catalog()
    catalog.announce([a_numbered_paper(9)], "old")
    cut(catalog, ledger, Topic(slug="old", title="Old", query="x"), Mail(to=(ADA,)), now=NOW)
    (*_, report) = send_due(FakeCatalog(), ledger, the_settings(tmp_path), now=NOW)
    assert (report.edition_id, report.sent, report.skipped) == ("daily/old/2026-06-02", 0, 1)
    assert "no longer configured" in report.reasons[0]


def test_a_second_sender_is_told_to_wait(tmp_path: Path, ledger: Ledger) -> None:
    with ledger.sending(), Ledger(tmp_path) as other, pytest.raises(MailDeferred, match=rf"\({os.getpid()}\) is send"):
        send_due(a_catalog(), other, the_settings(tmp_path), now=NOW)
    assert send_due(a_catalog(), ledger, the_settings(tmp_path), now=NOW)[0].sent == 3


def test_a_wrong_sender_is_said_before_anything_is_cut(tmp_path: Path, ledger: Ledger) -> None:
    config = the_settings(tmp_path, **{"from": "Wire <no address>"})
    with pytest.raises(ConfigError, match=r"mail\.from"):
        send_due(a_catalog(), ledger, config, now=NOW)
    assert ledger.editions(1) == ()


def test_an_unknown_edition_is_an_error_that_names_known_ones(tmp_path: Path, ledger: Ledger) -> None:
    send_due(a_catalog(), ledger, the_settings(tmp_path), now=NOW)
    with pytest.raises(MailError, match="daily/graphs/2026-06-02, daily/words/2026-06-02"):
        send_named("daily/nope/2026-06-02", a_catalog(), ledger, the_settings(tmp_path), now=NOW)


def test_a_dry_run_stores_and_sends_nothing(tmp_path: Path, ledger: Ledger) -> None:
    reports = send_due(a_catalog(), ledger, the_settings(tmp_path), now=NOW, dry_run=True)
    assert [(r.edition_id, r.sent) for r in reports] == [
        ("daily/words/2026-06-02", 3),
        ("daily/graphs/2026-06-02", 3),
    ]
    assert ledger.editions(5) == ()
    assert not (tmp_path / "outbox").exists()
    assert send_due(a_catalog(), ledger, the_settings(tmp_path), now=NOW)[0].sent == 3
    assert (
        send_named("daily/words/2026-06-02", a_catalog(), ledger, the_settings(tmp_path), now=NOW, dry_run=True).sent
        == 0
    )


# -- any order of mishaps -----------------------------------------------------------------------------------------

MISHAPS = st.sampled_from(
    [None, None, MailDeferred("451"), MailRefused("550"), MailServerDown("down"), ConnectionError("answer lost")]
)


@settings(max_examples=60, deadline=None)
@example(
    days=[({1}, [ConnectionError("answer lost")]), (set(), [MailRefused("550")])]
)  # it may have arrived: not freed
@given(days=st.lists(st.tuples(st.sets(st.integers(1, 12)), st.lists(MISHAPS, max_size=8)), min_size=1, max_size=4))
def test_whatever_the_server_does_nothing_is_lost_and_a_copy_is_a_copy(
    days: list[tuple[set[int], list[Exception | None]]],
) -> None:
    catalog, known = FakeCatalog(), set[int]()
    taken: list[tuple[str, bytes]] = []
    refused = False
    with TemporaryDirectory() as home, Ledger(Path(home)) as ledger:
        config = the_settings(Path(home), to=(ADA, BEA))
        for number, (papers, mishaps) in enumerate([*days, (set(), [])]):
            now = NOW + number * DAY
            new = papers - known
            known |= new
            catalog.announce([a_numbered_paper(n) for n in new if n % 2], "words", "graphs", at=now)
            catalog.announce([a_numbered_paper(n) for n in new if not n % 2], "graphs", at=now)
            transport = ScriptedTransport({n: error for n, error in enumerate(mishaps, 1) if error})
            send_with(transport, catalog, ledger, config, now)
            refused |= any(
                isinstance(e, MailRefused) for n, e in transport.answers.items() if n <= len(transport.attempts)
            )
            taken += transport.taken
    for address in (ADA, BEA):
        copies = [content for to, content in taken if to == address]
        told = Counter(n for content in set(copies) for n in titles_in(content))
        assert set(told.values()) <= {1}
        if not refused:
            assert set(told) == known
