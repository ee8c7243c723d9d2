"""Messages: a digest as the bytes that a mail server takes. Pure: same arguments, same bytes."""

from __future__ import annotations

import binascii
import hashlib
import re
from email.header import Header
from email.utils import format_datetime
from urllib.parse import quote

from publishers.digest import Digest
from publishers.paths import topic_path
from storage.errors import ConfigError, MailRefused
from storage.ledger import Edition
from storage.settings import Mail, Site

_SUBJECT_CHARACTERS_MAX = 250
_LINE_CHARACTERS_MAX = 76  # RFC 2047, 2: a line with an encoded word; RFC 5322 asks for 78
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")  # what ends a line anywhere, and its kin
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_PARTY = re.compile(r"\s*(?:\"?(?P<name>[^<>\"]*?)\"?\s*<(?P<address>[^<>]*)>|(?P<bare>[^<>\s]*))\s*")
# RFC 5321 Mailbox without quoted strings and address literals: goes into commands and headers as it is.
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_MAILBOX = re.compile(rf"(?=[^@]{{1,64}}@){_ATEXT}(?:\.{_ATEXT})*@(?=.{{1,253}}$)[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")


def build_message(digest: Digest, *, mail: Mail, address: str, edition: Edition, site: Site, message_id: str) -> bytes:
    """Return a whole message (RFC 5322, 2046, 2369, 2919, 3834) with CRLF line ends in 7 bit.

    Same arguments, same bytes. No text can add or end a header. Raises ConfigError where `from` or `reply_to` is no
    address, MailRefused where `address` is none that a header can carry.
    """
    name, sender = _party(mail.sender, "from")
    if not is_mailbox(address):
        raise MailRefused("not an address that can be written without quoting or SMTPUTF8")
    answers = _reply_to(mail) or sender
    headers = [
        _header("Date", format_datetime(edition.created_at)),
        _header("From", _phrase("From", name, f"<{sender}>")),
        _header("To", address),
        *([_header("Reply-To", answers)] if answers != sender else []),
        _header("Subject", _words("Subject", digest.subject)),
        _header("Message-ID", message_id),
        _header("List-Id", _phrase("List-Id", site.title, f"<{edition.topic}.{sender.rpartition('@')[2]}>")),
        _header("List-Unsubscribe", f"<mailto:{quote(answers, safe='@')}?subject=unsubscribe>"),
        _header("List-Archive", f"<{_ascii_url(site.base_url + topic_path(edition.topic))}>"),
        _header("List-Post", "NO"),
        _header("Auto-Submitted", "auto-generated"),
        _header("Precedence", "bulk"),
        _header("X-Auto-Response-Suppress", "OOF, AutoReply"),
        _header("Feedback-ID", f"{edition.day:%Y%m%d}:{edition.topic}:daily:paperwire"),
        _header("Content-Language", "en"),
        _header("MIME-Version", "1.0"),
    ]
    return "".join(headers).encode("ascii") + _alternative(digest, message_id)


def message_id(edition: Edition, address: str, *, mail: Mail, site: Site) -> str:
    """Return the one Message-ID an edition has for an address, however often it is sent; nothing in it tells whom."""
    domain = sender_address(mail).rpartition("@")[2]
    seed = "\0".join((site.base_url, edition.edition_id, address))
    digest = hashlib.blake2b(seed.encode(), digest_size=16, person=b"message-id").hexdigest()
    return f"<{edition.day:%Y%m%d}.{edition.topic}.{digest}@{domain}>"


def sender_address(mail: Mail) -> str:
    """Return the bare address of `from`. Raises ConfigError."""
    return _party(mail.sender, "from")[1]


def check_parties(mail: Mail) -> None:
    """Raise ConfigError unless `from` and `reply_to` can stand in a header."""
    _party(mail.sender, "from")
    _reply_to(mail)


def is_mailbox(address: str) -> bool:
    """Say whether `address` can go into SMTP commands and headers as it is."""
    return _MAILBOX.fullmatch(address) is not None


def _party(value: str, key: str) -> tuple[str, str]:
    """Split `Name <address>` or `address`."""
    found = _PARTY.fullmatch(value)
    address = (found["address"] or found["bare"] or "") if found else ""
    if not found or not is_mailbox(address):
        raise ConfigError(f"mail.{key}: {value!r} is neither `name@host` nor `Name <name@host>`")
    return found["name"] or "", address


def _reply_to(mail: Mail) -> str:
    return _party(mail.reply_to, "reply_to")[1] if mail.reply_to else ""


def _header(name: str, value: str) -> str:
    """Return one header field. `value` is ASCII and holds no line end but those of folding."""
    return f"{name}: {value}\r\n"


def _words(name: str, text: str) -> str:
    """Return any text as the value of header `name`: as it is where it is plain, else in encoded words (RFC 2047).

    Text that only looks like an encoded word is encoded too, so that nobody decodes it into something else.
    """
    plain = _BLANK.sub(" ", text).strip()[:_SUBJECT_CHARACTERS_MAX]
    charset = "us-ascii" if plain.isascii() and "=?" not in plain else "utf-8"
    header = Header(plain, charset, maxlinelen=_LINE_CHARACTERS_MAX, header_name=name)
    return header.encode(splitchars=" ", linesep="\r\n")


def _phrase(name: str, text: str, rest: str) -> str:
    """Return a display name and what follows it; names with specials in them are quoted (RFC 5322, 3.2.5)."""
    plain = _BLANK.sub(" ", text).strip()[:_SUBJECT_CHARACTERS_MAX]
    if not plain:
        return rest
    if not plain.isascii() or "=?" in plain:
        words = _words(name, plain)
    elif _ATOMS.fullmatch(plain):
        words = plain
    else:
        words = '"' + re.sub(r'(["\\])', r"\\\1", plain) + '"'
    folded = "\r\n" in words or len(f"{name}: {words} {rest}") > _LINE_CHARACTERS_MAX
    return f"{words}\r\n {rest}" if folded else f"{words} {rest}"


def _ascii_url(url: str) -> str:
    return quote(url, safe="%/:=&?~#+!$,;'@()*[]")


def _alternative(digest: Digest, message_id: str) -> bytes:
    """Return the rest of a message: its MIME type, then the text and the HTML part, best last (RFC 2046, 5.1.4).

    `=_` never occurs in quoted-printable text, so the boundary cannot either.
    """
    boundary = "=_" + hashlib.blake2b(message_id.encode(), digest_size=12).hexdigest()
    parts = "".join(
        f"--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\n"
        f"Content-Transfer-Encoding: quoted-printable\r\n\r\n{_quoted_printable(body)}\r\n"
        for kind, body in (("plain", digest.text), ("html", digest.html))
    )
    kind = f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n'
    return f"{kind}{parts}--{boundary}--\r\n".encode("ascii")


def _quoted_printable(text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").encode()
    return binascii.b2a_qp(lines, istext=True).decode("ascii").replace("\n", "\r\n")
