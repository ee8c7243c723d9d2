"""A message is well formed for parsers that are not Python's, and real servers take it and deliver it."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import socket
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from publishers.digest import Digest
from publishers.mail import send_due
from publishers.message import message_id
from publishers.transports import OutboxTransport, SmtpTransport
from storage.errors import MailDeferred, MailRefused, MailServerDown
from storage.ledger import DeliveryState, Ledger
from storage.settings import Settings, Site, Topic
from tests.builders import NOW
from tests.fake_catalog import FakeCatalog, a_numbered_paper
from tests.mails import (
    ADA,
    BEA,
    FIELDS,
    SITE,
    a_digest,
    a_mail,
    a_message,
    an_envelope,
    headers_of,
    read_by_ruby,
    the_edition,
)
from tests.smtp_sink import Script, SmtpSink

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")

EDITION = the_edition()


# -- the bytes ----------------------------------------------------------------------------------------------------


def test_another_parser_reads_every_part_and_header() -> None:
    digest = a_digest()
    read = read_by_ruby(a_message(digest))
    assert read["errors"] == []
    assert sorted(map(str.lower, read["fields"])) == sorted(map(str.lower, FIELDS))
    assert read["mime"] == "multipart/alternative"
    kinds = [(kind, charset.lower()) for kind, charset, _ in read["parts"]]
    assert kinds == [("text/plain", "utf-8"), ("text/html", "utf-8")]
    assert read["parts"][0][2].replace("\r\n", "\n") == digest.text
    assert read["parts"][1][2].replace("\r\n", "\n") == digest.html
    assert read["subject"] == digest.subject
    assert (read["from"], read["from_name"], read["to"]) == (["wire@example.org"], "Wire", [ADA])
    assert dt.datetime.fromisoformat(read["date"]) == EDITION.created_at
    assert read["raw"]["List-Unsubscribe"] == "<mailto:wire@example.org?subject=unsubscribe>"
    assert read["raw"]["List-Archive"] == "<https://wire.example.org/topics/language-models.html>"
    assert read["raw"]["Auto-Submitted"] == "auto-generated"
    assert read["raw"]["Feedback-ID"] == "20260602:language-models:daily:paperwire"


def test_the_bytes_are_what_every_server_takes() -> None:
    content = a_message()
    assert content.isascii()
    assert b"\0" not in content
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", content)  # a bare one is how mail is smuggled
    head, body = content.split(b"\r\n\r\n", 1)
    assert max(map(len, head.split(b"\r\n"))) <= 100
    assert max(map(len, body.split(b"\r\n"))) <= 76
    assert [name for name, _ in headers_of(content)] == FIELDS


def test_the_same_edition_and_address_give_the_same_bytes() -> None:
    assert a_message() == a_message()
    ids = {message_id(EDITION, to, mail=a_mail(), site=SITE) for to in (ADA, BEA)}
    ids |= {message_id(the_edition(dt.date(2026, 6, 3)), ADA, mail=a_mail(), site=SITE)}
    ids |= {message_id(EDITION, ADA, mail=a_mail(), site=Site(base_url="https://other.example.org"))}
    assert len(ids) == 4
    assert all(re.fullmatch(r"<2026060[23]\.language-models\.[0-9a-f]{32}@example\.org>", i) for i in ids)


def test_one_click_is_not_promised_while_a_person_answers() -> None:
    assert b"List-Unsubscribe-Post" not in a_message()


def test_a_long_unsubscribe_address_stays_an_address() -> None:
    """Python's own generator turns an URI beyond 76 characters into encoded words, which nobody follows."""
    desk = f"{'unsubscribe-desk-' * 3}x+a=b@{'mail.' * 20}example.org"
    content = a_message(mail=a_mail(reply_to=f"The desk <{desk}>"))
    expected = f"<mailto:{desk.replace('+', '%2B').replace('=', '%3D')}?subject=unsubscribe>"
    assert dict(headers_of(content))["List-Unsubscribe"] == expected
    read = read_by_ruby(content)
    assert read["raw"]["List-Unsubscribe"] == expected
    assert read["raw"]["Reply-To"] == desk


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        ("Wire <wire@example.org>", "Wire"),
        ("wire@example.org", None),
        ('"Wire, daily" <wire@example.org>', "Wire, daily"),
        ("Wire, daily (papers) <wire@example.org>", "Wire, daily (papers)"),
        ("Drähte & Söhne 毎日 <wire@example.org>", "Drähte & Söhne 毎日"),
        ("=?utf-8?q?Evil?= <wire@example.org>", "=?utf-8?q?Evil?="),
        (f"{'Lang ünd lang ' * 12}<wire@example.org>", ("Lang ünd lang " * 12).strip()),
    ],
)
def test_the_sender_is_called_what_the_settings_call_it(sender: str, name: str | None) -> None:
    content = a_message(mail=a_mail(**{"from": sender}))
    read = read_by_ruby(content)
    assert (read["from"], read["from_name"]) == (["wire@example.org"], name)
    assert all(len(w) <= 75 for w in re.findall(rb"=\?[^ \r]+\?=", content.split(b"\r\n\r\n")[0]))


# -- over SMTP ----------------------------------------------------------------------------------------------------


def test_a_message_arrives_as_it_was_built() -> None:
    with SmtpSink() as sink:
        transport = SmtpTransport(a_mail(smtp_url=sink.url))
        dots = a_message(Digest(subject="s", preheader="", text=".\n..\nFrom x\n", html="<p>.</p>", papers=(), more=0))
        for content in (a_message(), dots):
            transport.send(content, an_envelope())
        transport.close()
        assert [r.content for r in sink.received] == [a_message(), dots]
        assert {(r.sender, r.address) for r in sink.received} == {("wire@example.org", ADA)}


def test_one_connection_serves_all_and_a_closed_one_is_renewed() -> None:
    with SmtpSink() as sink:
        transport = SmtpTransport(a_mail(smtp_url=sink.url))
        transport.send(a_message(), an_envelope())
        transport.send(a_message(), an_envelope())
        sink.script.mail_from.append("421 4.7.0 too many messages on this connection")
        transport.send(a_message(), an_envelope())
        assert [r.session for r in sink.received] == [1, 1, 2]
        transport.close()


@pytest.mark.parametrize(
    ("script", "error", "says"),
    [
        (Script(rcpt={ADA: "550 5.1.1 no such user"}), MailRefused, "550 5.1.1 no such user"),
        (Script(data={ADA: "554 5.7.1 looks like spam"}), MailRefused, "554 5.7.1 looks like spam"),
        (Script(rcpt={ADA: "450 4.2.0 greylisted"}), MailDeferred, "450 4.2.0 greylisted"),
        (Script(data={ADA: "452 4.3.1 no room"}), MailDeferred, "452 4.3.1 no room"),
        (Script(rcpt={ADA: "421 4.3.2 going down"}), MailServerDown, "is closing: 421 4.3.2 going down"),
        (Script(mail_from=["553 5.7.1 not yours"]), MailServerDown, "refuses the sender wire@example.org: 553"),
    ],
)
def test_an_answer_is_taken_for_what_it_means(script: Script, error: type[Exception], says: str) -> None:
    with SmtpSink(script) as sink:
        transport = SmtpTransport(a_mail(smtp_url=sink.url))
        with pytest.raises(error, match=re.escape(says)) as caught:
            transport.send(a_message(), an_envelope())
        assert type(caught.value) is error
        transport.send(a_message(address=BEA), an_envelope(BEA))  # it goes on
        assert [r.address for r in sink.received] == [BEA]
        transport.close()


def test_a_server_that_says_nothing_is_not_waited_for_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        transport = SmtpTransport(a_mail(smtp_url=f"smtp://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.3))
        with pytest.raises(MailServerDown, match="timed out"):
            transport.send(a_message(), an_envelope())


@dataclass(frozen=True)
class Certificates:
    """A server's TLS context and a client's that trusts it."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A certificate for 127.0.0.1 and localhost that only `client` trusts."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl command (Debian package openssl) to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*command.split(), *names], cwd=folder, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return Certificates(server, ssl.create_default_context(cafile=str(folder / "cert.pem")))


def test_starttls_is_used_where_offered(certificates: Certificates) -> None:
    with SmtpSink(starttls=certificates.server) as sink:
        transport = SmtpTransport(a_mail(smtp_url=sink.url), tls=certificates.client)
        transport.send(a_message(), an_envelope())
        transport.close()
        assert [r.secured for r in sink.received] == [True]


def test_smtps_is_tls_from_the_first_byte(certificates: Certificates) -> None:
    with SmtpSink(implicit_tls=certificates.server) as sink:
        transport = SmtpTransport(a_mail(smtp_url=f"smtps://localhost:{sink.port}"), tls=certificates.client)
        transport.send(a_message(), an_envelope())
        transport.close()
        assert len(sink.received) == 1


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_certificate_nobody_vouches_for_stops_everything(certificates: Certificates, scheme: str) -> None:
    tls = {"starttls" if scheme == "smtp" else "implicit_tls": certificates.server}
    with SmtpSink(**tls) as sink:  # type: ignore[arg-type]
        url = f"{scheme}://127.0.0.1:{sink.port}"
        transport = SmtpTransport(a_mail(smtp_url=url), tls=ssl.create_default_context())
        with pytest.raises(MailServerDown, match="certificate verify failed"):
            transport.send(a_message(), an_envelope())
        assert sink.received == []


def test_a_login_is_said_over_tls(certificates: Certificates) -> None:
    with SmtpSink(starttls=certificates.server, login=("us er", "p@ss/wörd")) as sink:
        url = f"smtp://us%20er:p%40ss%2Fw%C3%B6rd@127.0.0.1:{sink.port}"
        transport = SmtpTransport(a_mail(smtp_url=url), tls=certificates.client)
        transport.send(a_message(), an_envelope())
        transport.close()
        assert len(sink.received) == 1


def test_a_password_never_leaves_this_machine_in_the_clear() -> None:
    with SmtpSink(login=("user", "secret"), auth_needs_tls=False) as sink:
        here = SmtpTransport(a_mail(smtp_url=f"smtp://user:secret@127.0.0.1:{sink.port}"))
        here.send(a_message(), an_envelope())
        here.close()
        # 127.1 is 127.0.0.1 to the system, but to us a host name like any other.
        elsewhere = SmtpTransport(a_mail(smtp_url=f"smtp://user:secret@127.1:{sink.port}"))
        with pytest.raises(MailServerDown, match="offers no TLS, so the password of smtp_url is not sent"):
            elsewhere.send(a_message(), an_envelope())
        assert len(sink.received) == 1


def test_a_wrong_password_costs_nobody_the_edition(tmp_path: Path) -> None:
    catalog = FakeCatalog()
    catalog.announce([a_numbered_paper(1)], "words")
    with SmtpSink(login=("user", "secret"), auth_needs_tls=False) as sink, Ledger(tmp_path) as ledger:

        def config(password: str) -> Settings:
            mail = a_mail(smtp_url=f"smtp://user:{password}@127.0.0.1:{sink.port}", to=(ADA, BEA))
            return Settings(topic=(Topic(slug="words", title="Words", query="w"),), mail=mail, home=tmp_path)

        (report,) = send_due(catalog, ledger, config("wrong"), now=NOW)
        assert (report.sent, report.failed, report.deferred, report.stopped) == (0, 0, 2, True)
        assert "refuses the login: 535" in report.reasons[0]
        assert "wrong" not in report.reasons[0]
        (report,) = send_due(catalog, ledger, config("secret"), now=NOW)
        assert (report.sent, len(sink.received)) == (2, 2)


# -- the outbox ---------------------------------------------------------------------------------------------------


def test_without_a_server_messages_become_files_a_mail_program_opens(tmp_path: Path) -> None:
    catalog = FakeCatalog()
    catalog.announce([a_numbered_paper(1)], "words")
    config = Settings(topic=(Topic(slug="words", title="Words", query="w"),), home=tmp_path)
    with Ledger(tmp_path) as ledger:
        (report,) = send_due(catalog, ledger, config, now=NOW)
        assert report.sent == 1
        (delivery,) = ledger.deliveries("daily/words/2026-06-02")
    assert (delivery.address, delivery.state) == ("reader@localhost", DeliveryState.SENT)
    (path,) = (tmp_path / "outbox").iterdir()
    assert re.fullmatch(r"2026-06-02-words-[0-9a-f]{10}\.eml", path.name)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    read = read_by_ruby(path.read_bytes())
    assert (read["subject"], read["to"]) == ("Words: 1 new paper · Tue 2 Jun", ["reader@localhost"])
    assert f"<{read['message_id']}>" == delivery.message_id


def test_a_message_sent_again_is_the_same_file(tmp_path: Path) -> None:
    outbox = OutboxTransport(tmp_path / "outbox")
    for _ in range(2):
        outbox.send(a_message(), an_envelope())
    outbox.send(a_message(address=BEA), an_envelope(BEA))
    files = {p.name: p.read_bytes() for p in (tmp_path / "outbox").iterdir()}
    assert len(files) == 2
    assert set(files.values()) == {a_message(), a_message(address=BEA)}
    assert not any("ada" in name or "bea" in name for name in files)


def test_who_reads_a_file_of_the_outbox_reads_a_whole_one(tmp_path: Path) -> None:
    outbox = OutboxTransport(tmp_path / "outbox")
    outbox.send(a_message(), an_envelope())
    path = tmp_path / "outbox" / an_envelope().file_name
    with path.open("rb") as reader:
        outbox.send(a_message(a_digest(more=1)), an_envelope())
        assert reader.read() == a_message()
    assert path.read_bytes() == a_message(a_digest(more=1))


def test_an_outbox_that_cannot_be_written_puts_mail_off(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file where the folder should be")
    with pytest.raises(MailServerDown, match="outbox"):
        OutboxTransport(tmp_path / "outbox").send(a_message(), an_envelope())
