"""A webhook is told of each paper once, under one id however often it is tried; a failure costs no other anything."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from flows.posting import Poster
from publishers.push import REFUSALS_MAX, REST, WebhookReport, Wire, send_trial
from publishers.push_shapes import signing_key
from storage.errors import PaperwireError
from storage.ledger import Ledger
from storage.model import Announcement
from storage.pushes import Pushes
from storage.settings import Settings
from tests.builders import NOW
from tests.fake_catalog import FakeCatalog, a_numbered_paper
from tests.newsroom import Newsroom, good_routes, in_process, journal_feed
from tests.pushing import ENVIRON, TOKEN, Receiver, a_webhook, announce, ids, one, push, the_settings
from tests.servers import Answer, Ask, Server

MINUTE = timedelta(minutes=1)
FIRST, LATER = ("--now", "2026-06-09T06:00:00Z"), ("--now", "2026-06-09T07:00:00Z")


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def server(receiver: Receiver) -> Iterator[Server]:
    with Server({"*": receiver}) as opened:
        yield opened


@pytest.fixture
def catalog() -> FakeCatalog:
    """A catalogue with papers that are older than every webhook."""
    found = FakeCatalog()
    announce(found, [1, 2], "words")
    return found


# -- what is told -------------------------------------------------------------------------------------------------


def test_a_new_webhook_begins_now_and_says_so(
    tmp_path: Path, catalog: FakeCatalog, server: Server, receiver: Receiver
) -> None:
    settings = the_settings(tmp_path, a_webhook(server))
    assert one(push(settings, catalog)).began
    assert receiver.asked == []
    announce(catalog, [3, 4], "words")
    report = one(push(settings, catalog, now=NOW + MINUTE))
    assert (report.began, report.sent, report.papers) == (False, 1, 2)
    assert receiver.told == [ids(3, 4)]
    assert push(settings, catalog, now=NOW + 2 * MINUTE).silent
    assert len(receiver.asked) == 1


@pytest.mark.parametrize(
    ("wants", "told"),
    [
        ({"topics": ("words",)}, ids(3, 5)),
        ({"topics": ("words", "graphs")}, ids(3, 4, 5)),
        ({"query": "title:6"}, ids(6)),
        ({"query": "topic:graphs -title:4"}, ids(5)),
        ({"topics": ("words",), "query": "title:6"}, ids(3, 5, 6)),
        ({}, ids(3, 4, 5, 6)),
    ],
)
def test_it_is_told_of_its_topics_and_what_its_query_finds(
    tmp_path: Path, catalog: FakeCatalog, server: Server, receiver: Receiver, wants: dict[str, object], told: list[str]
) -> None:
    settings = the_settings(tmp_path, a_webhook(server, **wants))
    push(settings, catalog)
    announce(catalog, [3], "words")
    announce(catalog, [4], "graphs")
    announce(catalog, [5], "words", "graphs")
    announce(catalog, [6])
    push(settings, catalog)
    assert receiver.told == [told]


def test_a_paper_known_under_another_id_is_not_told_again(
    tmp_path: Path, catalog: FakeCatalog, server: Server, receiver: Receiver
) -> None:
    settings = the_settings(tmp_path, a_webhook(server))
    push(settings, catalog)
    announce(catalog, [3])
    push(settings, catalog)
    same = a_numbered_paper(30, paper_id="doi:10.1000/x", aliases=("arxiv:2606.00003", "doi:10.1000/x"))
    catalog.announce([same, a_numbered_paper(4)])
    push(settings, catalog)
    assert receiver.told == [ids(3), ids(4)]


def test_what_does_not_fit_is_counted_linked_and_never_told_later(
    tmp_path: Path, catalog: FakeCatalog, server: Server, receiver: Receiver
) -> None:
    settings = the_settings(tmp_path, a_webhook(server, topics=("words",), papers_max=3))
    push(settings, catalog)
    announce(catalog, range(10, 25), "words")
    assert one(push(settings, catalog)).papers == 15
    push(settings, catalog)
    (document,) = receiver.documents
    assert (len(document["papers"]), document["more"]) == (3, 12)
    assert document["more_url"] == "https://wire.example.org/topics/words.html"
    assert document["title"] == "15 new papers · Words"


def test_revisions_are_told_where_they_are_wanted(
    tmp_path: Path, catalog: FakeCatalog, server: Server, receiver: Receiver
) -> None:
    quiet = Receiver()
    server.routes["/quiet"] = quiet
    hooks = a_webhook(server, revisions=True), a_webhook(server, "/quiet", name="quiet")
    settings = the_settings(tmp_path, *hooks)
    push(settings, catalog)
    catalog.revise(ids(1)[0], Announcement.REVISED, at=NOW + MINUTE, version=2, title="Paper 1, a better title")
    announce(catalog, [3])
    catalog.revise(ids(3)[0], Announcement.WITHDRAWN, at=NOW + MINUTE, withdrawn=True)
    push(settings, catalog, now=NOW + MINUTE)
    (document,) = receiver.documents
    assert [r["paper_id"] for r in document["revisions"]] == ids(1), "what is new is told as new, as it now stands"
    assert document["revisions"][0]["what"] == "Version 2: title changed"
    assert document["papers"][0]["withdrawn"]
    assert document["title"] == "1 new paper, 1 update · Wire"
    assert [(d["papers"][0]["paper_id"], d["revisions"]) for d in quiet.documents] == [(ids(3)[0], [])]
    push(settings, catalog, now=NOW + 2 * MINUTE)
    assert (len(receiver.asked), len(quiet.asked)) == (1, 1)


def test_papers_come_once_after_an_archive_was_put_back(
    tmp_path: Path, catalog: FakeCatalog, server: Server, receiver: Receiver
) -> None:
    settings = the_settings(tmp_path, a_webhook(server))
    push(settings, catalog)
    announce(catalog, [3], at=NOW + MINUTE)
    announce(catalog, [4], at=NOW + MINUTE)
    push(settings, catalog, now=NOW + MINUTE)
    restored = FakeCatalog()
    announce(restored, [1, 2], "words")
    announce(restored, [3, 5], at=NOW + 2 * MINUTE)  # its number was another commit's
    push(settings, restored, now=NOW + 3 * MINUTE)
    announce(restored, [6], at=NOW + 4 * MINUTE)
    push(settings, restored, now=NOW + 5 * MINUTE)
    assert receiver.told == [ids(3, 4), ids(5), ids(6)]


# -- whose it is --------------------------------------------------------------------------------------------------


def test_a_message_is_signed_as_standard_webhooks_and_as_github_does(
    tmp_path: Path, catalog: FakeCatalog, server: Server, receiver: Receiver
) -> None:
    moment = datetime.now(UTC)  # the verifier has a clock of its own
    settings = the_settings(tmp_path, a_webhook(server, secret="${HOOK_SECRET}"))  # noqa: S106 a name
    push(settings, catalog, now=moment)
    announce(catalog, [3])
    push(settings, catalog, now=moment)
    (ask,) = receiver.asked
    secret = ENVIRON["HOOK_SECRET"]
    verifier = Verifier(secret)
    assert verifier.verify(ask.body, dict(ask.headers))["papers"][0]["paper_id"] == ids(3)[0]
    expected = hmac.new(signing_key(secret), ask.body, hashlib.sha256).hexdigest()
    assert ask.headers["x-hub-signature-256"] == f"sha256={expected}"
    with pytest.raises(WebhookVerificationError):
        verifier.verify(ask.body.replace(b"Paper", b"paper"), dict(ask.headers))
    later = str(int(ask.headers["webhook-timestamp"]) + 1)
    with pytest.raises(WebhookVerificationError):
        verifier.verify(ask.body, dict(ask.headers) | {"webhook-timestamp": later})
    assert json.dumps(dict(ask.headers)).count(secret) == 0


def test_a_replayed_message_is_too_old(
    tmp_path: Path, catalog: FakeCatalog, server: Server, receiver: Receiver
) -> None:
    settings = the_settings(tmp_path, a_webhook(server, secret="${HOOK_SECRET}"))  # noqa: S106 a name
    push(settings, catalog)
    announce(catalog, [3])
    push(settings, catalog)  # as of June
    with pytest.raises(WebhookVerificationError, match="old"):
        Verifier(ENVIRON["HOOK_SECRET"]).verify(receiver.asked[0].body, dict(receiver.asked[0].headers))


# -- receivers that misbehave -------------------------------------------------------------------------------------


def test_a_flapping_receiver_gets_one_message_under_one_id(
    tmp_path: Path, catalog: FakeCatalog, server: Server, receiver: Receiver
) -> None:
    settings = the_settings(tmp_path, a_webhook(server))
    push(settings, catalog)
    announce(catalog, [3])
    hang = Answer(stream=lambda: iter(lambda: b"" if server.stopping.wait(3) else b" ", b""))
    receiver.script = [
        Answer(status=500, body=b"oops"),
        Answer(status=0),
        Answer(status=429, headers={"Retry-After": "4000"}),
        Answer(status=429, body=b'{"retry_after": 20000.5}'),
        Answer(status=408),
        Answer(status=425),
        hang,
    ]
    now, waits = NOW, []
    for left in range(len(receiver.script), 0, -1):
        report = one(push(settings, catalog, now=now, total_seconds=0.3 if left == 1 else 20))
        assert (report.sent, report.waiting) == (0, 1), report
        assert report.reason
        with Pushes(tmp_path) as pushes:
            message = pushes.open_message("lab")
        assert message
        waits.append((message.due_at - now).total_seconds())
        early = one(push(settings, catalog, now=message.due_at - timedelta(seconds=1)))
        assert (early.sent, early.waiting) == (0, 1), "not before its time"
        now = message.due_at
        announce(catalog, [100 + left])  # what comes while it waits
    assert waits == [60, 240, 4_000, 20_000.5, 15_360, 21_600, 21_600]
    assert one(push(settings, catalog, now=now)).sent == 2
    *flapped, last = receiver.ids
    assert len(set(flapped)) == 1
    assert len(flapped) == 8
    assert last not in flapped
    assert receiver.told[:8] == [ids(3)] * 8
    assert len({ask.body for ask in receiver.asked[:8]}) == 1, "a copy is a copy"
    assert sorted(receiver.told[8]) == ids(*range(101, 108)), "what came meanwhile came in one message"


def test_a_refused_message_is_not_sent_again_and_the_next_is_tried(
    tmp_path: Path, catalog: FakeCatalog, server: Server, receiver: Receiver
) -> None:
    settings = the_settings(tmp_path, a_webhook(server))
    push(settings, catalog)
    receiver.script = [Answer(status=400, body=b"invalid_blocks")]
    announce(catalog, [3])
    report = one(push(settings, catalog))
    assert (report.refused, report.reason) == (1, "HTTP 400: invalid_blocks")
    announce(catalog, [4])
    assert one(push(settings, catalog)).sent == 1
    assert receiver.told == [ids(3), ids(4)]
    with Pushes(tmp_path) as pushes:
        told = pushes.told("lab")
    assert told
    assert (told.refused, told.reason) == (0, None)


def test_a_webhook_that_refuses_all_rests_and_loses_nothing_that_comes_meanwhile(
    tmp_path: Path, catalog: FakeCatalog, server: Server, receiver: Receiver
) -> None:
    settings = the_settings(tmp_path, a_webhook(server))
    push(settings, catalog)
    receiver.script = [Answer(status=404)] * (REFUSALS_MAX + 1)
    for number in range(REFUSALS_MAX):
        announce(catalog, [10 + number])
        report = one(push(settings, catalog))
        assert report.resting == (number == REFUSALS_MAX - 1)
    announce(catalog, [20])
    assert one(push(settings, catalog, now=NOW + REST - MINUTE)).resting
    assert len(receiver.asked) == REFUSALS_MAX
    assert one(push(settings, catalog, now=NOW + REST)).resting, "still refused: it rests on"
    announce(catalog, [21])
    assert one(push(settings, catalog, now=NOW + 2 * REST - MINUTE)).resting
    assert _trial(settings, NOW + 2 * REST - MINUTE).sent == 1
    assert one(push(settings, catalog, now=NOW + 2 * REST - MINUTE)).sent == 1, "a test that arrived wakes it"
    assert receiver.told[-1] == ids(21)


def test_one_webhook_costs_another_nothing(
    tmp_path: Path, catalog: FakeCatalog, server: Server, receiver: Receiver
) -> None:
    dead = a_webhook(server, name="dead", url="http://127.0.0.1:1/")
    unset = a_webhook(server, name="unset", url="${NOT_SET}")
    broken = a_webhook(server, name="broken", query="like:2606.99999")
    settings = the_settings(tmp_path, dead, unset, broken, a_webhook(server))
    catalog.known_as = lambda alias: []  # type: ignore[attr-defined] # no such paper
    catalog.likes_json = lambda: ""  # type: ignore[attr-defined] # and no topic asks for it
    push(settings, catalog)
    announce(catalog, [3])
    first, second, third, last = push(settings, catalog).webhooks
    assert first.reason == "could not connect to 127.0.0.1: Connection refused"
    assert second.reason == "the environment has no NOT_SET, which the webhook names"
    assert "2606.99999" in str(third.reason)
    assert (last.sent, receiver.told) == (1, [ids(3)])
    mended = push(settings, catalog, now=NOW + MINUTE, environ=ENVIRON | {"NOT_SET": server.url("/mended")})
    assert mended.webhooks[1].sent == 1, "nothing was lost while its address was not known"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(
    tmp_path: Path, catalog: FakeCatalog, server: Server, receiver: Receiver, status: int
) -> None:
    settings = the_settings(tmp_path, a_webhook(server))
    push(settings, catalog)
    announce(catalog, [3])
    receiver.script = [Answer(status=status, headers={"Location": server.url("/private")})]
    assert "redirects are not followed" in str(one(push(settings, catalog)).reason)
    assert [ask.path for ask in receiver.asked] == ["/hook"]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:{port}/", "127.0.0.1"),
        ("http://inside.test:{port}/", "127.0.0.1"),
        ("http://inside.test:{port}/", "::ffff:127.0.0.1"),
        ("http://inside.test/", "169.254.169.254"),
        ("http://inside.test/", "10.0.0.1"),
        ("http://[::1]:{port}/", "::1"),
    ],
)
def test_a_webhook_reaches_no_private_address_unless_it_may(
    tmp_path: Path, catalog: FakeCatalog, server: Server, receiver: Receiver, url: str, address: str
) -> None:
    webhook = a_webhook(server, url=url.format(port=server.port), allow_private_addresses=False)
    push(the_settings(tmp_path, webhook), catalog)
    announce(catalog, [3])
    report = one(push(the_settings(tmp_path, webhook), catalog, resolve=lambda host, port: (address,)))
    assert "is not a public address; allow_private_addresses = true" in str(report.reason)
    assert receiver.asked == []
    allowed = the_settings(tmp_path, a_webhook(server))
    assert one(push(allowed, catalog, now=NOW + MINUTE)).sent == 1, "it waited"


# -- one at a time ------------------------------------------------------------------------------------------------


def test_two_pushes_at_once_send_once(tmp_path: Path, catalog: FakeCatalog, server: Server, receiver: Receiver) -> None:
    settings = the_settings(tmp_path, a_webhook(server))
    push(settings, catalog)
    announce(catalog, [3])
    arrived, go_on = threading.Event(), threading.Event()

    def slow(ask: Ask) -> Answer:
        arrived.set()
        go_on.wait(10)
        return receiver(ask)

    server.routes["/hook"] = slow
    first = threading.Thread(target=push, args=(settings, catalog))
    first.start()
    assert arrived.wait(10)
    with pytest.raises(PaperwireError, match="another process is pushing"):
        push(settings, catalog)
    go_on.set()
    first.join(10)
    assert receiver.told == [ids(3)]


def test_a_ledger_from_before_there_were_pushes_opens_as_it_is(tmp_path: Path, server: Server) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.remember("id_authority", "wire.example.org")
    before = (tmp_path / "ledger" / "ledger.sqlite").read_bytes()
    push(the_settings(tmp_path, a_webhook(server)), FakeCatalog())
    assert (tmp_path / "ledger" / "ledger.sqlite").read_bytes() == before
    made = tmp_path / "ledger" / "pushes.sqlite"
    assert made.stat().st_mode & 0o777 == 0o600
    with Ledger(tmp_path) as ledger:
        assert ledger.remember("id_authority", "other") == "wire.example.org"


def test_what_a_message_tells_cannot_be_changed(tmp_path: Path, catalog: FakeCatalog, server: Server) -> None:
    settings = the_settings(tmp_path, a_webhook(server))
    push(settings, catalog)
    announce(catalog, [3])
    push(settings, catalog)
    with sqlite3.connect(tmp_path / "ledger" / "pushes.sqlite") as file:
        with pytest.raises(sqlite3.IntegrityError, match="a finished message never changes"):
            file.execute("UPDATE messages SET attempts = 9")
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            file.execute("INSERT INTO told SELECT webhook, key, number FROM told")


def test_a_secret_echoed_by_a_receiver_is_not_repeated(
    tmp_path: Path, catalog: FakeCatalog, server: Server, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    webhook = a_webhook(server, url=server.url("/services/${HOOK_KEY}/plainkey-0123456789"))
    push(the_settings(tmp_path, webhook), catalog)
    announce(catalog, [3])
    receiver.script = [Answer(status=503, body=f"no {TOKEN} at /services/{TOKEN}/plainkey-0123456789".encode())]
    report = one(push(the_settings(tmp_path, webhook), catalog))
    assert receiver.asked[0].path == f"/services/{TOKEN}/plainkey-0123456789"
    assert report.reason == "HTTP 503: no ${HOOK_KEY} at /services/${HOOK_KEY}/…"
    assert all(TOKEN.encode() not in file.read_bytes() for file in (tmp_path / "ledger").iterdir())
    assert TOKEN not in caplog.text + repr(webhook)


def test_no_command_says_or_keeps_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A receiver that echoes all it gets, one that cannot be reached, and one that is well; whatever is asked."""
    echo, gone = Receiver(), Receiver()

    def echoed(ask: Ask) -> Answer:
        echo(ask)
        return Answer(status=500, body=f"{ask.path} {dict(ask.headers)}".encode())

    with Server(good_routes() | {f"/{TOKEN}/hook": echoed, "*": gone}) as server:
        room = Newsroom(tmp_path, server)
        more = [_table("echo", f'"{server.url("")}/${{HOOK_KEY}}/hook"', 'token = "${HOOK_KEY}"')]
        more += [_table("dead", '"http://127.0.0.1:1/${HOOK_KEY}"'), _table("fine", '"${HOOK_URL}"')]
        room.configure(more="".join(more))
        paperwire = in_process(room, monkeypatch, capsys)
        monkeypatch.setenv("HOOK_KEY", TOKEN)
        monkeypatch.setenv("HOOK_URL", server.url(f"/{TOKEN}/fine"))
        said = [paperwire("run", *FIRST)]
        server.routes["/good.xml"] = Answer(
            body=journal_feed(*({"guid": name, "title": f"A {name} paper"} for name in ("good", "second")))
        )
        said += [paperwire("push", "--dry-run"), paperwire("run", "--json", *LATER)]
        said += [paperwire("status")]
        said += [paperwire("status", "--json"), paperwire("push"), paperwire("push", "--json")]
        said += [paperwire("push", "--test", name) for name in ("echo", "dead", "fine", "nobody")]
    assert [s.code for s in said] == [0, 0, 0, 0, 0, 4, 4, 4, 4, 0, 2], [s.err for s in said]
    out = "".join(s.out + s.err for s in said)
    assert TOKEN not in out
    assert "the test message arrived" in out
    assert "${HOOK_KEY}" in out
    assert "could not connect to 127.0.0.1" in out
    assert [ask.headers["authorization"] for ask in echo.asked] == [f"Bearer {TOKEN}"] * 3
    assert len(gone.asked) == 2
    states = {state["name"]: state for state in said[4].document()["pushes"]}
    assert (states["fine"]["waiting"], states["echo"]["waiting"]) == (0, 1)
    assert said[2].document()["push"]["webhooks"][2]["sent"] == 1
    kept = [path for path in room.home.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert kept == []


def _table(name: str, url: str, more: str = "") -> str:
    return f'[[webhook]]\nname = "{name}"\nshape = "json"\nallow_private_addresses = true\nurl = {url}\n{more}\n'


def _trial(settings: Settings, now: datetime) -> WebhookReport:
    with Poster(user_agent="Paperwire/test", now=now) as poster, Pushes(settings.home) as pushes:
        wire = Wire(settings=settings, topics=(), published_seq=0, post=poster, environ=ENVIRON, now=now)
        return send_trial(settings.webhook[0], wire, pushes)
