"""Whatever one source sends or fails to send, the others go on; it is said in one line, and nothing is lost by it."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from flows import cli, fetching
from flows.fetching import Fetcher
from flows.harvesting import Tools
from flows.parsing import Parser
from flows.pipeline import ingest_source
from storage.settings import Limits, load_settings
from tests.fetching_tools import Clock, names
from tests.newsroom import (
    GOOD_TITLES,
    Newsroom,
    Paperwire,
    Said,
    arxiv_feed,
    arxiv_refusal,
    daily_list,
    good_routes,
    in_process,
    journal_feed,
    missing,
    source,
)
from tests.servers import Answer, Server
from tests.wire_tools import free_port, wait_for

FIRST, LATER, LAST = "2026-06-09T06:00:00Z", "2026-06-09T08:00:00Z", "2026-06-09T10:00:00Z"
MENDED = "Mended at last"
WHOLE = {"guid": "whole", "title": "A whole entry beside a bad one"}
MENDED_ENTRY = {"guid": "mended", "title": MENDED}
TINY_LIMITS = "[limits]\nread_seconds = 1\n"
GZIP = {"Content-Encoding": "gzip"}
_LINE_CHARACTERS_MAX = 200
# Names of classes, addresses of objects, and what else is for programmers.
_NOT_FOR_PEOPLE = re.compile(r"\b[A-Za-z]+(?:Error|Exception)\b|Traceback|Errno|0x[0-9a-f]{6}|\b_ssl\b|<class|File \"")


@dataclass(frozen=True, kw_only=True)
class Bad:
    """A bad answer, and what the one line about it has to say."""

    answer: Answer
    words: tuple[str, ...]
    kind: str = "feed"


ANSWERS = {
    "html-page": Bad(
        answer=Answer(body=b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>x</body></html>"),
        words=("HTML page", "'Sign in'", "not a feed"),
    ),
    "arxiv-refuses": Bad(
        kind="arxiv-rss",
        answer=Answer(status=400, body=arxiv_refusal("cs.XX")),
        words=("arXiv refuses the query", "Bad archive 'cs.XX'"),
    ),
    "gzip-bomb": Bad(
        answer=Answer(body=gzip.compress(bytes(60_000_000)), headers=GZIP),
        words=("more than 16,000,000 bytes once unpacked",),
    ),
    "too-long": Bad(
        answer=Answer(body=b"", headers={"Content-Length": "9000000"}),
        words=("a body of 9,000,000 bytes, more than 8,000,000",),
    ),
    "breaks-off": Bad(
        answer=Answer(body=journal_feed(WHOLE)[:200], headers={"Content-Length": "100000", "Connection": "close"}),
        words=("localhost", "breaks off"),
    ),
    "brotli": Bad(
        answer=Answer(body=b"\x8b\x02\x80feed", headers={"Content-Encoding": "br"}),
        words=("'br'", "only gzip was asked for"),
    ),
    "gzip-in-name-only": Bad(answer=Answer(body=journal_feed(WHOLE), headers=GZIP), words=("gzip body is damaged",)),
    "server-fails": Bad(answer=Answer(status=500, body=b"oops"), words=("HTTP 500", "the server fails")),
    "forbidden": Bad(answer=Answer(status=403, body=b"no"), words=("HTTP 403", "it refuses us")),
    "cut-json": Bad(kind="hf-daily", answer=Answer(body=b'[{"paper": {"id": "2606.0'), words=("damaged JSON",)),
    "binary-json": Bad(kind="hf-daily", answer=Answer(body=bytes(range(256))), words=("damaged JSON",)),
    "json-says-no": Bad(kind="hf-daily", answer=Answer(body=b'{"error": "Bad date"}'), words=("'Bad date'",)),
    "empty": Bad(answer=Answer(), words=("empty body",)),
    "empty-gzip": Bad(answer=Answer(headers=GZIP), words=("empty body",)),
    # The last one, because a host that asks for rest is left alone, and all of these are on one host.
    "wants-rest": Bad(answer=Answer(status=429, headers={"Retry-After": "120"}), words=("HTTP 429", "too often")),
}


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Newsroom]:
    """Good sources; a bad one may come between them under another host name, for politeness is by host."""
    # How long the pauses are is held in test_fetching_is_polite.py; that there are attempts stays.
    monkeypatch.setattr(fetching, "RETRY_DELAYS_SECONDS", (0.0, 0.0))
    with Server(good_routes()) as server:
        yield Newsroom(tmp_path, server)


@pytest.fixture
def paperwire(room: Newsroom, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Paperwire:
    """The command, in this process."""
    return in_process(room, monkeypatch, capsys)


def never(server: Server) -> Answer:
    """Headers, and then nothing for as long as the server lives."""

    def stream() -> Iterator[bytes]:
        server.stopping.wait()
        yield b""

    return Answer(stream=stream)


def bad_feed(room: Newsroom) -> str:
    """A journal on the same server, under the name localhost."""
    return source("bad", "feed", url=room.server.url("/bad.xml", host="localhost"))


def of_kind(room: Newsroom, name: str, kind: str) -> str:
    """A source of this kind whose requests all begin with its name."""
    base = room.server.url(f"/{name}", host="localhost")
    if kind == "feed":
        return source(name, kind, url=f"{base}/feed")
    if kind == "arxiv-rss":
        return source(name, kind, base, category="cs.XX")
    return source(name, kind, base, days=1)


def path_of(name: str, kind: str) -> str:
    """What such a source asks for."""
    return f"/{name}" + {"feed": "/feed", "arxiv-rss": "/rss/cs.XX", "hf-daily": "/api/daily_papers"}[kind]


def mended(number: int, name: str, kind: str) -> Answer:
    """What such a source answers once it is well."""
    title, arxiv_id = f"{MENDED}: {name}", f"2606.{1_000 + number:05d}"
    if kind == "feed":
        return Answer(body=journal_feed({"guid": name, "title": title}))
    return Answer(body=daily_list((arxiv_id, title)) if kind == "hf-daily" else arxiv_feed((arxiv_id, title)))


def the_line(said: Said, *words: str, name: str = "bad") -> str:
    """The one line about the bad source; it is short, for people, and has these words."""
    lines = said.lines_about(name)
    assert len(lines) == 1, said.out
    assert len(lines[0].split(" (since ")[0]) <= _LINE_CHARACTERS_MAX, lines[0]
    assert not _NOT_FOR_PEOPLE.search(said.out + said.err), said.out + said.err
    assert [word for word in words if word not in lines[0]] == [], lines[0]
    return lines[0]


def test_bad_answers_cost_their_sources_and_are_made_up_for(room: Newsroom, paperwire: Paperwire) -> None:
    """All of them in one pass, the good sources around them."""
    for name, bad in ANSWERS.items():
        room.server.routes[path_of(name, bad.kind)] = bad.answer
    room.configure(*(of_kind(room, name, bad.kind) for name, bad in ANSWERS.items()))
    said, status = paperwire("run", "--now", FIRST), paperwire("status")
    assert (said.code, status.code) == (cli.INCOMPLETE, cli.INCOMPLETE)
    for name, bad in ANSWERS.items():
        assert the_line(said, *bad.words, name=name).startswith("✗ ")
        the_line(status, *bad.words, "(since 2026-06-09 06:00; never read so far)", name=name)
    assert missing(room, GOOD_TITLES) == []
    for number, (name, bad) in enumerate(ANSWERS.items()):
        room.server.routes[path_of(name, bad.kind)] = mended(number, name, bad.kind)
    (room.home / "hosts.sqlite").unlink()  # a week has passed, and with it the rest that one of them asked for
    said, status = paperwire("run", "--now", LAST), paperwire("status")
    assert (said.code, said.err, status.code) == (cli.OK, "", cli.OK)
    for name in ANSWERS:
        assert the_line(said, "1 new", name=name).startswith("✓ ")
        the_line(status, "well", name=name)
    assert missing(room, [*GOOD_TITLES, *(f"{MENDED}: {name}" for name in ANSWERS)]) == []
    assert paperwire("verify").code == cli.OK


def test_a_connection_refused_costs_its_source_and_is_made_up_for(room: Newsroom, paperwire: Paperwire) -> None:
    room.configure(source("bad", "feed", url=f"http://localhost:{free_port()}/bad.xml"))
    check_failure(room, paperwire, "could not connect to localhost", "refused")
    mend_address(room)
    check_mended(room, paperwire)


def test_since_when_is_when_it_began_and_ends_with_the_failure(room: Newsroom, paperwire: Paperwire) -> None:
    def failing_since() -> object:
        return next(
            s["failing_since"] for s in paperwire("status", "--json").document()["sources"] if s["source"] == "bad"
        )

    room.server.routes["/bad.xml"] = Answer(status=404)
    room.configure(bad_feed(room))
    for moment in (FIRST, LATER):
        the_line(paperwire("run", "--now", moment), "HTTP 404: there is nothing at this address")
        assert failing_since() == "2026-06-09T06:00:00+00:00"
    room.server.routes["/bad.xml"] = Answer(body=journal_feed(MENDED_ENTRY))
    check_mended(room, paperwire)
    assert failing_since() is None
    room.server.routes["/bad.xml"] = Answer(status=410)
    paperwire("run", "--now", "2026-06-10T06:00:00Z")
    assert failing_since() == "2026-06-10T06:00:00+00:00"


@pytest.mark.parametrize("host", ["nowhere.invalid", "no..where"])
def test_a_name_nobody_knows_costs_its_source_and_is_made_up_for(
    host: str, room: Newsroom, paperwire: Paperwire
) -> None:
    room.configure(source("bad", "feed", url=f"http://{host}/bad.xml"))
    check_failure(room, paperwire, f"could not connect to {host}", "its name cannot be resolved")
    mend_address(room)
    check_mended(room, paperwire)


def test_a_source_that_never_answers_costs_its_source_and_is_made_up_for(room: Newsroom, paperwire: Paperwire) -> None:
    room.server.routes["/bad.xml"] = never(room.server)
    room.configure(bad_feed(room), more=TINY_LIMITS)
    check_failure(room, paperwire, "nothing came from localhost for 1 s")
    room.server.routes["/bad.xml"] = Answer(body=journal_feed(WHOLE, MENDED_ENTRY))
    check_mended(room, paperwire)


def mend_address(room: Newsroom) -> None:
    """Give the bad source an address that works."""
    room.server.routes["/bad.xml"] = Answer(body=journal_feed(WHOLE, MENDED_ENTRY))
    room.configure(bad_feed(room))


def check_failure(room: Newsroom, paperwire: Paperwire, *words: str) -> None:
    """A pass with the bad source: the good ones are read and published, it is said what is wrong, also in `status`."""
    first = paperwire("run", "--now", FIRST)
    assert first.code == cli.INCOMPLETE
    assert the_line(first, *words).startswith("✗ ")
    assert missing(room, GOOD_TITLES) == []
    status = paperwire("status")
    assert status.code == cli.INCOMPLETE
    the_line(status, *words, "since 2026-06-09 06:00", "never read so far")


def check_mended(room: Newsroom, paperwire: Paperwire) -> None:
    """The next pass brings what was missed, and all is well."""
    mended = paperwire("run", "--now", LAST)
    assert (mended.code, mended.err) == (cli.OK, "")
    assert the_line(mended).startswith("✓ ")
    assert missing(room, (*GOOD_TITLES, MENDED)) == []
    status = paperwire("status")
    assert status.code == cli.OK
    the_line(status, "well")
    assert paperwire("verify").code == cli.OK


ENTRIES = {
    "no title": ({"guid": "mended"}, "it has no title"),
    "an abstract over the limit": (
        {"guid": "mended", "title": MENDED, "abstract": "word " * 20_000},
        "its abstract has 99,999 bytes, more than 64,000",
    ),
    "a title over the limit": (
        {"guid": "mended", "title": "word " * 1_000},
        "its title has 4,999 bytes, more than 1,000",
    ),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_a_bad_entry_costs_itself_and_is_made_up_for(name: str, room: Newsroom, paperwire: Paperwire) -> None:
    entry, reason = ENTRIES[name]
    room.server.routes["/bad.xml"] = Answer(body=journal_feed(WHOLE, entry))
    room.configure(bad_feed(room))
    first = paperwire("run", "--now", FIRST)
    assert first.code == cli.INCOMPLETE
    assert the_line(first, "1 new", "of 2 entries", "1 refused", "paperwire status").startswith("! ")
    assert missing(room, (*GOOD_TITLES, WHOLE["title"])) == []
    status = paperwire("status")
    assert status.code == cli.INCOMPLETE
    refused = [line for line in status.out.splitlines() if line.startswith("refused ")]
    assert refused == [f"refused bad: https://journal.test/mended: {reason}"]
    room.server.routes["/bad.xml"] = Answer(body=journal_feed(WHOLE, MENDED_ENTRY))
    check_mended(room, paperwire)


def test_a_feed_that_breaks_off_keeps_its_whole_entries_and_is_made_up_for(
    room: Newsroom, paperwire: Paperwire
) -> None:
    whole = journal_feed(WHOLE, MENDED_ENTRY)
    room.server.routes["/bad.xml"] = Answer(body=whole[: whole.index(b"<guid>https://journal.test/mended")])
    room.configure(bad_feed(room))
    first = paperwire("run", "--now", FIRST)
    assert first.code == cli.INCOMPLETE
    assert the_line(first, "1 new of 1 entry").startswith("! ")
    assert "    the feed breaks off after 1 entry: no </rss>" in first.out
    assert missing(room, (*GOOD_TITLES, WHOLE["title"])) == []
    the_line(paperwire("status"), "breaks off after 1 entry", "since 2026-06-09 06:00")
    room.server.routes["/bad.xml"] = Answer(body=whole)
    check_mended(room, paperwire)


HOSTILE_DATES = (
    "Thu, 99 Foo 99999 99:99:99 +9999",
    "0000-00-00T00:00:00Z",
    "9" * 400,
    "-1",
    "",
    "Tue, 09 Jun 1 00:00 GMT",
)


def test_hostile_dates_cost_nothing(room: Newsroom, paperwire: Paperwire) -> None:
    entries = [{"guid": f"d{n}", "title": f"A good paper on day {n}", "date": d} for n, d in enumerate(HOSTILE_DATES)]
    room.server.routes["/bad.xml"] = Answer(body=journal_feed(*entries))
    room.configure(bad_feed(room))
    said = paperwire("run", "--now", FIRST)
    assert (said.code, said.err) == (cli.OK, "")
    the_line(said, f"{len(entries)} new")
    assert missing(room, (*GOOD_TITLES, *(e["title"] for e in entries))) == []
    assert paperwire("verify").code == cli.OK


def test_an_address_of_ones_own_network_is_refused_and_the_line_says_what_allows_it(
    room: Newsroom, paperwire: Paperwire
) -> None:
    url = room.server.url("/bad.xml")
    room.configure(source("bad", "feed", url=url, allow_private_addresses=False))
    check_failure(room, paperwire, "127.0.0.1 is not a public address", "allow_private_addresses = true")
    assert "/bad.xml" not in room.server.paths
    mend_address(room)
    check_mended(room, paperwire)


def test_a_redirect_to_a_private_address_is_not_followed(room: Newsroom, paperwire: Paperwire) -> None:
    """The server passes for one on the internet here: its name is public, where it redirects to is not."""
    room.server.routes["/bad.xml"] = Answer(status=302, headers={"Location": "http://inside.test/secret.xml"})
    url = room.server.url("/bad.xml", host="journal.test")
    room.configure(source("bad", "feed", url=url, allow_private_addresses=False))
    paperwire("run", "--now", FIRST)
    with Parser(Limits()) as parser, a_public_fetcher() as fetcher:
        settings = load_settings(room.config, home=room.home)
        now = datetime.fromisoformat(LATER)
        report = ingest_source(settings, "bad", now=now, tools=Tools(fetcher, parser))
        assert report.error is not None
        assert report.error.startswith("inside.test is 10.0.0.7, which is not a public address")
        assert len(report.error) <= _LINE_CHARACTERS_MAX
        assert missing(room, GOOD_TITLES) == []
        the_line(paperwire("status"), "inside.test is 10.0.0.7", "since 2026-06-09 06:00")
        room.server.routes["/bad.xml"] = Answer(body=journal_feed(MENDED_ENTRY))
        assert ingest_source(settings, "bad", now=datetime.fromisoformat(LAST), tools=Tools(fetcher, parser)).new == 1
    assert paperwire("status").code == cli.OK


def a_public_fetcher() -> Fetcher:
    """A fetcher for which this machine is the internet and 10.0.0.7 is not."""
    table, clock = {"journal.test": ("127.0.0.1",), "inside.test": ("10.0.0.7",)}, Clock()
    return Fetcher(
        Limits(),
        user_agent="Paperwire/test",
        clock=clock,
        sleep=clock.sleep,
        resolve=names(table),
        public=lambda address: address == "127.0.0.1",
    )


def test_a_wrong_key_is_one_line_with_its_number_and_nothing_is_touched(room: Newsroom, paperwire: Paperwire) -> None:
    room.configure()
    text = room.config.read_text()
    room.config.write_text(text.replace('category = "cs.CL"', 'category = "cs.CL"\nshedule = "0 6 * * *"'))
    line = room.config.read_text().splitlines().index('shedule = "0 6 * * *"') + 1
    said = paperwire("run")
    assert (said.code, said.out) == (cli.USAGE, "")
    assert said.err == f"paperwire: {room.config}:{line}: unknown key 'shedule'; did you mean 'schedule'?\n"
    assert not room.home.exists()
    assert room.server.asked == []


def test_ctrl_c_in_the_middle_of_a_pass_is_one_line_and_the_next_pass_completes(room: Newsroom) -> None:
    room.server.routes["/bad.xml"] = never(room.server)
    room.configure(bad_feed(room))
    child = room.start("run", "--now", FIRST)
    try:
        wait_for("the request of the source that never answers", lambda: "/bad.xml" in room.server.paths)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=20)
    finally:
        child.kill()
    assert (child.returncode, err) == (
        cli.INTERRUPTED,
        "paperwire: interrupted; what was committed stays committed\n",
    )
    assert room.titles() == {GOOD_TITLES[0]}, "what was read before stays"
    room.server.routes["/bad.xml"] = Answer(body=journal_feed(MENDED_ENTRY))
    said = room.run("run", "--now", LATER)
    assert (said.code, said.err) == (cli.OK, "")
    assert missing(room, (*GOOD_TITLES, MENDED)) == []
    assert room.run("verify").code == cli.OK


# Where a small file system is full → the exit code of the pass, and a part of the one line on standard error.
FULL = {"": (cli.ARCHIVE, "no room to write index.sqlite"), "site": (cli.ARCHIVE, "No space left on device")}


@pytest.mark.parametrize("where", FULL)
def test_a_full_disk_is_one_line_and_all_is_there_once_there_is_room(
    where: str, room: Newsroom, paperwire: Paperwire
) -> None:
    code, words = FULL[where]
    room.configure()
    with a_small_disk(room.home / where) as disk:
        assert paperwire("run", "--now", FIRST).code == cli.OK
        more = [(f"2606.{n:05d}", f"A good paper, number {n}") for n in range(100, 120)]
        room.server.routes["/rss/cs.CL"] = Answer(body=arxiv_feed(*more))
        filler = disk / "filler"
        filler.write_bytes(bytes(free_bytes(disk)))
        said = paperwire("run", "--now", LATER)
        assert (said.code, len(said.err.splitlines())) == (code, 1), said.err
        assert words in said.err
        assert not _NOT_FOR_PEOPLE.search(said.out + said.err), said.out + said.err
        filler.unlink()
        assert paperwire("run", "--now", LAST).code == cli.OK
        assert missing(room, (*GOOD_TITLES, *(title for _, title in more))) == []
        assert paperwire("verify").code == cli.OK


def test_a_full_outbox_is_said_and_its_mail_is_sent_once_there_is_room(room: Newsroom, paperwire: Paperwire) -> None:
    room.configure(more='[mail]\nto = ["reader@example.org"]\n')
    with a_small_disk(room.home / "outbox") as disk:
        filler = disk / "filler"
        filler.write_bytes(bytes(free_bytes(disk)))
        said = paperwire("run", "--now", FIRST)
        assert (said.code, said.err) == (cli.UNSENT, "")
        assert "No space left on device" in said.out
        assert "not everybody got daily/found/2026-06-09" in paperwire("status").out
        filler.unlink()
        assert paperwire("send", "--due").code == cli.OK
        assert len(list(disk.glob("*.eml"))) == 1


@contextmanager
def a_small_disk(folder: Path) -> Iterator[Path]:
    """Six megabytes mounted on `folder`; skips where nothing can be mounted."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here, so a full disk cannot be made")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def free_bytes(folder: Path) -> int:
    """The room left on the file system of `folder`."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
