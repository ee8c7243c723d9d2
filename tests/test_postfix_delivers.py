"""A real Postfix takes each digest once, delivers it to a mailbox, and its refusals are understood."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import pytest

from publishers.mail import send_due
from storage.ledger import DeliveryState, Ledger
from storage.settings import Settings, Topic
from tests.builders import NOW
from tests.fake_catalog import FakeCatalog, a_numbered_paper
from tests.mails import ADA, a_mail, read_by_ruby

MAIN_CF = """
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.example.test
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = example.org
virtual_mailbox_base = {root}/mail
virtual_mailbox_maps = inline:{{ {{ ada@example.org = ada/ }} }}
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
default_transport = error:5.1.2 no outside world
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_reject_unlisted_recipient = yes
smtpd_forbid_bare_newline = yes
maillog_file = /var/log/postfix-{name}.log
"""
MASTER_CF = """
127.0.0.1:{port} inet n - n - 5 smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
"""


@dataclass(frozen=True)
class Postfix:
    """A running server and the Maildir of ada@example.org."""

    port: int
    maildir: Path

    def delivered(self, count: int, *, within_seconds: float = 30) -> list[bytes]:
        """Wait until `count` messages are in the mailbox and return what it holds."""
        tick = threading.Event()
        for _ in range(int(within_seconds / 0.05)):
            found = sorted((self.maildir / "new").glob("*"))
            if len(found) >= count:
                break
            tick.wait(0.05)
        return [path.read_bytes() for path in sorted((self.maildir / "new").glob("*"))]


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    """Postfix with a configuration, queue and port of its own, gone afterwards."""
    if not Path("/usr/sbin/postfix").exists() or not Path("/usr/lib/postfix/sbin/virtual").exists():
        pytest.skip("Postfix is not installed (Debian package postfix)")
    if os.geteuid() != 0:
        pytest.skip("Postfix can only be started by root")
    root = Path(mkdtemp(prefix="pw-mx-", dir="/tmp"))  # its sockets need a short path
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    nobody, owner = pwd.getpwnam("nobody"), pwd.getpwnam("postfix")
    root.chmod(0o755)
    for name, uid in (("etc", 0), ("queue", 0), ("data", owner.pw_uid), ("mail", nobody.pw_uid)):
        (root / name).mkdir()
        os.chown(root / name, uid, -1)
    main = MAIN_CF.format(root=root, uid=nobody.pw_uid, gid=nobody.pw_gid, name=root.name)
    (root / "etc" / "main.cf").write_text(main)
    (root / "etc" / "master.cf").write_text(MASTER_CF.format(port=port))
    command = ["/usr/sbin/postfix", "-c", str(root / "etc")]
    started = subprocess.run([*command, "start"], capture_output=True, text=True, timeout=60)
    try:
        if started.returncode:
            pytest.skip(f"Postfix does not start here: {(started.stderr or started.stdout).strip()[-200:]}")
        yield Postfix(port, root / "mail" / "ada")
    finally:
        subprocess.run([*command, "stop"], capture_output=True, timeout=60)
        shutil.rmtree(root, ignore_errors=True)
        Path(f"/var/log/postfix-{root.name}.log").unlink(missing_ok=True)


def test_postfix_delivers_each_digest_once_and_refuses_strangers(postfix: Postfix, tmp_path: Path) -> None:
    catalog = FakeCatalog()
    catalog.announce([a_numbered_paper(n, abstract="Größe $x<y$. " * 30) for n in range(1, 30)], "words")
    stranger = "nobody-here@example.org"
    mail = a_mail(smtp_url=f"smtp://127.0.0.1:{postfix.port}", to=(stranger, ADA))
    config = Settings(topic=(Topic(slug="words", title="Wörter", query="w"),), mail=mail, home=tmp_path)
    with Ledger(tmp_path) as ledger:
        (report,) = send_due(catalog, ledger, config, now=NOW)
        assert (report.sent, report.failed) == (1, 1)
        assert "550 5.1.1" in report.reasons[0]
        assert stranger not in report.reasons[0]
        assert send_due(catalog, ledger, config, now=NOW) == ()
        (sent,) = (d for d in ledger.deliveries("daily/words/2026-06-02") if d.state is DeliveryState.SENT)
    (content,) = postfix.delivered(1)
    read = read_by_ruby(content.replace(b"\n", b"\r\n"))  # a Maildir has Unix line ends
    assert read["errors"] == []
    assert read["subject"] == "Wörter: 29 new papers · Tue 2 Jun"
    assert f"<{read['message_id']}>" == sent.message_id
    text, html = (part[2] for part in read["parts"])
    assert "Größe x<y." in " ".join(text.split())
    assert "And 4 more on the web" in html
