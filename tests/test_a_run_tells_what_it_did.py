"""What `up` prints and what Prefect's pages show of a run: complete, short, and safe whatever a source wrote."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from rich.console import Console

from flows.accounts import (
    artifact_key,
    delivery_account,
    delivery_line,
    ingest_account,
    ingest_line,
    plain,
    publish_account,
    publish_line,
    without_addresses,
)
from flows.board import Board
from flows.pipeline import SourceReport
from publishers.mail import DeliveryReport
from publishers.site import PublishReport
from storage.coverage import State, Verdict
from storage.settings import Mail, Settings, Source, Topic

SITE = "https://papers.test/"
NOW = datetime(2026, 6, 2, 6, 7, 8, tzinfo=UTC)
NEVER_READ = Verdict(
    source="arxiv-rss:cs.CL",
    day=date(2026, 6, 1),
    state=State.FAILED,
    missing=True,
    came=0,
    why="the batch was never read",
)
READ = SourceReport(
    source="arxiv-rss:cs.CL",
    ok=True,
    error=None,
    problems=(),
    notes=(),
    missing=(),
    healed=(),
    requests=1,
    wire_bytes=123_456,
    entries=430,
    new=398,
    revised=12,
    other=3,
    rejected=0,
    seq=7,
    elapsed_seconds=1.25,
)
FAILED = replace(READ, ok=False, error="status 503", entries=0, new=0, revised=0, other=0, seq=None)
PUBLISHED = PublishReport(
    files_written=812, files_unchanged=4, topics=("agents", "speech"), papers=410, left_out=(), seq=7
)
DELIVERED = DeliveryReport(
    edition_id="daily/agents/2026-06-02", sent=3, failed=1, reasons=("r…r@example.org: 550 no such user",)
)


def _printed(*, mail: Mail | None = None) -> tuple[Board, io.StringIO]:
    settings = Settings(
        source=(Source(name="hf-daily", kind="hf-daily"),),
        topic=(Topic(slug="agents", title="Agents", query="agent"),),
        mail=mail,
        path=Path("/etc/paperwire.toml"),
        home=Path("/var/lib/paperwire"),
    )
    out = io.StringIO()
    return Board(settings, Console(file=out, width=60), "http://127.0.0.1:8000/", clock=lambda: NOW), out


def test_a_read_is_one_line_of_counts() -> None:
    assert ingest_line(READ) == "398 new, 12 revised, 3 other of 430 entries"
    assert ingest_line(replace(READ, new=0, revised=0, other=0)) == "nothing new of 430 entries"


def test_what_was_lost_is_counted_in_the_line() -> None:
    lossy = replace(READ, rejected=2, problems=("an entry has no id",), missing=(NEVER_READ,))
    assert ingest_line(lossy) == "398 new, 12 revised, 3 other, 2 refused of 430 entries; 2 problems"
    assert ingest_line(replace(READ, problems=("x",))).endswith("; 1 problem")


def test_a_failed_read_is_its_reason() -> None:
    assert ingest_line(FAILED) == "status 503"
    assert "**It failed:** status 503" in ingest_account(FAILED, SITE)
    assert "| segment | none |" in ingest_account(FAILED, SITE)


def test_the_account_of_a_read_names_every_number_and_the_site() -> None:
    account = ingest_account(READ, SITE)
    for row in ("| entries | 430 |", "| new | 398 |", "| bytes on the wire | 123,456 |", "| segment | 7 |"):
        assert row in account
    assert account.endswith(f"[The site]({SITE})")
    assert "Problems" not in account


def test_what_is_missing_and_problems_are_listed_and_a_flood_of_them_is_cut() -> None:
    account = ingest_account(
        replace(READ, problems=tuple(f"entry {n}" for n in range(50)), missing=(NEVER_READ,)), SITE
    )
    assert "- entry 0\n" in account
    assert "- … and 31 more" in account
    assert account.count("\n- ") == 21
    lines = ingest_account(replace(READ, missing=(NEVER_READ,)), SITE).splitlines()
    assert "- 2026-06-01 is failed: the batch was never read" in lines


def test_a_problem_that_makes_a_day_partial_is_told_once() -> None:
    partial = replace(NEVER_READ, state=State.PARTIAL, why="an entry has no id")
    report = replace(READ, problems=("an entry has no id",), missing=(partial,))
    assert report.trouble == ("an entry has no id",)


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "![x](https://evil.test/p.png)",
        "[click](javascript:alert(1))",
        "line one\n\n# A heading\n| a | table |",
        "`code` **bold** ~~gone~~ &lt;b&gt;",
    ],
)
def test_what_a_source_wrote_is_shown_and_never_acted_on(hostile: str) -> None:
    account = ingest_account(replace(READ, problems=(hostile,)), SITE)
    (line,) = [line for line in account.splitlines() if line.startswith("- ")]
    assert re.search(r"(?<!\\)[<>\[\]()`*|&~#!]", line) is None
    assert re.sub(r"\\(.)", r"\1", line.removeprefix("- ")) == " ".join(hostile.split())


def test_a_long_line_is_cut() -> None:
    assert len(plain("x" * 5_000)) == 300
    assert plain("x" * 5_000).endswith("…")


def test_a_publish_says_what_it_wrote_or_that_nothing_was_to_do() -> None:
    assert publish_line(PUBLISHED) == "812 files written for 410 papers, up to segment 7"
    assert publish_line(replace(PUBLISHED, files_written=0)) == "nothing to do: the site is up to date with segment 7"
    account = publish_account(replace(PUBLISHED, left_out=("doi:10.1/x: no title",)), SITE)
    assert f"- [speech]({SITE}topics/speech.html)" in account
    assert "Left out:" in account


def test_an_edition_is_told_without_any_address() -> None:
    assert delivery_line(DELIVERED) == "daily/agents/2026-06-02: 3 sent, 1 refused"
    account = delivery_account(DELIVERED)
    assert "| sent | 3 |" in account
    assert "- \\(address\\) 550 no such user" in account
    assert "@" not in account
    assert without_addresses("<a.b+c@mail.example.org>, and x@y") == "(address) and (address)"


def test_an_artifact_key_is_what_prefect_takes() -> None:
    for name in ("arxiv-rss:cs.AI+cs.LG", "journal:Nature_MI", "daily/agents/2026-06-02"):
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", artifact_key("ingest", name))
    assert artifact_key("ingest", "arxiv-rss:cs.CL") == "ingest-arxiv-rss-cs-cl"


def test_the_status_block_says_where_everything_is_and_what_is_read_when() -> None:
    board, out = _printed(mail=Mail(to=("a@example.org", "b@example.org")))
    moments = {"hf-daily": datetime(2026, 6, 2, 7, 35, tzinfo=UTC), "arxiv": datetime(2026, 6, 3, 4, 20, tzinfo=UTC)}
    board.ready("http://127.0.0.1:4200/", moments, due=("arxiv",))
    said = out.getvalue()
    for line in (
        "site   http://127.0.0.1:8000/\n",
        "feeds  http://127.0.0.1:8000/feeds/all.atom (.rss, .json; 1 more in http://127.0.0.1:8000/feeds.opml)\n",
        "flows  http://127.0.0.1:4200/ (Prefect)\n",
        "data   /var/lib/paperwire\n",
        "mail   2 addresses, as .eml files in /var/lib/paperwire/outbox\n",
        "next   hf-daily: Tue 07:35 UTC\n",
        "next   arxiv: now, then Wed 04:20 UTC\n",
    ):
        assert line in said, "no line is wrapped, however narrow the terminal"


def test_mail_is_described_without_its_password() -> None:
    mail = Mail(to=("a@example.org",), smtp_url="smtps://user:secret@mail.example.org")
    board, out = _printed(mail=mail)
    board.ready("http://127.0.0.1:4200/", {}, due=())
    assert "mail   1 address, by SMTP\n" in out.getvalue()
    assert "secret" not in out.getvalue()


def test_each_report_is_a_line_with_the_time_of_day() -> None:
    board, out = _printed()
    board.tell(READ)
    board.tell(replace(READ, problems=("an entry has no id",)))
    board.tell(PUBLISHED)
    board.tell(DELIVERED)
    assert out.getvalue().splitlines() == [
        "06:07:08 ✓ arxiv-rss:cs.CL: 398 new, 12 revised, 3 other of 430 entries",
        "06:07:08 ! arxiv-rss:cs.CL: 398 new, 12 revised, 3 other of 430 entries; 1 problem",
        "06:07:08   an entry has no id",
        "06:07:08 ✓ published: 812 files written for 410 papers, up to segment 7",
        "06:07:08 ! daily/agents/2026-06-02: 3 sent, 1 refused",
        "06:07:08   (address) 550 no such user",
    ]


def test_a_failure_is_one_line_with_when_it_is_tried_again() -> None:
    board, out = _printed()
    board.tell(replace(FAILED, error="[red]not\nmarkup[/]"), datetime(2026, 6, 2, 7, 35, tzinfo=UTC))
    assert out.getvalue() == (
        "06:07:08 ✗ arxiv-rss:cs.CL: [red]not markup[/]; tries again in a minute or two, then Tue 07:35 UTC\n"
    )
