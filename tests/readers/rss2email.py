"""rss2email: one mail an entry, here into a maildir."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator, Mapping
from email.message import EmailMessage
from pathlib import Path

from tests.readers.driver import Driver, Held, Shown, output

_SETTINGS = """[DEFAULT]
from = wire@papers.test
to = reader@papers.test
email-protocol = maildir
maildir-path = {mail}
maildir-mailbox = INBOX
"""


class Rss2Email(Driver):
    """What was mailed is what is held: a mail cannot be taken back."""

    name, needs = "rss2email", ("r2e:rss2email",)

    def __init__(self, home: Path, urls: Mapping[str, str]) -> None:
        super().__init__(home, urls)
        for part in ("new", "cur", "tmp"):
            (home / "mail" / "INBOX" / part).mkdir(parents=True)
        (home / "settings").write_text(_SETTINGS.format(mail=home / "mail"))
        for name, url in urls.items():
            self._r2e("add", name.replace("/", "-"), url)

    @classmethod
    def version(cls) -> str:
        return output("r2e", "--version").split()[-1]

    def poll(self) -> None:
        self._r2e("run")

    def held(self) -> Held:
        return self._ids("new", "cur")

    def unread(self) -> Held:
        return self._ids("new")

    def mark_read(self) -> None:
        for path in (self.home / "mail" / "INBOX" / "new").iterdir():
            path.rename(path.parents[1] / "cur" / f"{path.name}:2,S")

    def shown(self, feed: str) -> dict[str, Shown]:
        mails = [m for m in self._mails("new", "cur") if m["X-RSS-Feed"] == self.urls[feed]]
        return {str(m["X-RSS-ID"]): Shown(str(m["Subject"]), m["From"].addresses[0].display_name) for m in mails}

    def _r2e(self, *arguments: str) -> None:
        self.run(["r2e", "-c", str(self.home / "settings"), "-d", str(self.home / "seen.json"), *arguments])

    def _ids(self, *parts: str) -> Held:
        ids: Held = {feed: [] for feed in self.urls}
        for mail in self._mails(*parts):
            ids[self.feed_at(str(mail["X-RSS-Feed"]))].append(str(mail["X-RSS-ID"]))
        return ids

    def _mails(self, *parts: str) -> Iterator[EmailMessage]:
        for part in parts:
            for path in sorted((self.home / "mail" / "INBOX" / part).iterdir()):
                head = path.read_bytes().partition(b"\n\n")[0] + b"\n\n"
                yield email.message_from_bytes(head, policy=email.policy.default)
