"""How a finished message leaves: over SMTP, or as an .eml file in the outbox folder."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import ipaddress
import os
import re
import smtplib
import ssl
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from storage.durable import fsync
from storage.errors import MailDeferred, MailError, MailRefused, MailServerDown
from storage.settings import Mail

_REASON_CHARACTERS_MAX = 200
_LOGGED_IN = 235  # RFC 4954, 4
_SERVICE_CLOSING = 421  # RFC 5321, 3.8: may answer any command


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Who a message is from and for, as the transport says it, and what names it apart from its address."""

    sender: str
    address: str
    day: date
    topic: str

    @property
    def file_name(self) -> str:
        """One name for one edition × address; the address itself is not in it."""
        who = hashlib.blake2b(self.address.encode(), digest_size=5).hexdigest()
        return f"{self.day.isoformat()}-{self.topic}-{who}.eml"


class Transport(Protocol):
    """Takes responsibility for messages, one at a time."""

    def send(self, content: bytes, envelope: Envelope) -> None:
        """Hand over one message. Raises MailRefused, MailDeferred, or MailServerDown where others would fail too."""

    def close(self) -> None:
        """Let go of what is held open."""


def transport_for(mail: Mail, home: Path) -> Transport:
    """Return the transport [mail] asks for: SMTP where smtp_url is set, else the outbox folder."""
    return SmtpTransport(mail) if mail.smtp_url else OutboxTransport(home / "outbox")


class SmtpTransport:
    """SMTP over one connection, kept from message to message (RFC 5321).

    smtps:// is TLS from the first byte (port 465 unless given), smtp:// (port 25) switches to TLS where the server
    offers it; certificates are checked. On this very machine plain smtp:// stays plain, as local servers seldom have
    a certificate for `localhost`; pass `tls` to insist. User and password of the URL are never sent in the clear to
    another machine.
    """

    def __init__(self, mail: Mail, *, tls: ssl.SSLContext | None = None) -> None:
        url = urlsplit(mail.smtp_url)
        self._host, self._implicit = url.hostname or "localhost", url.scheme == "smtps"
        self._port = url.port or (smtplib.SMTP_SSL_PORT if self._implicit else smtplib.SMTP_PORT)
        self._login = (unquote(url.username), unquote(url.password or "")) if url.username else None
        self._tls, self._timeout_seconds = tls, mail.timeout_seconds
        self._connection: smtplib.SMTP | None = None

    def send(self, content: bytes, envelope: Envelope) -> None:
        """Hand over one message: CRLF line ends, 7 bit."""
        connection = self._begun(envelope.sender, len(content))
        try:
            code, text = connection.rcpt(envelope.address)
            if code not in (250, 251):
                raise smtplib.SMTPResponseException(code, text)
            code, text = connection.data(content)
            if code != 250:
                raise smtplib.SMTPResponseException(code, text)
        except smtplib.SMTPResponseException as error:
            self._reset()
            raise self._refusal(error) from error
        except (smtplib.SMTPException, OSError) as error:
            # After the last byte this is in doubt: the server may have the message although its answer is lost.
            self._drop()
            raise MailServerDown(f"{self._name}: connection lost: {_line(error)}") from error

    def close(self) -> None:
        """Say goodbye, if anybody still listens."""
        if self._connection:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                self._connection.quit()
        self._drop()

    @property
    def _name(self) -> str:
        return f"{self._host}:{self._port}"

    def _begun(self, sender: str, size: int) -> smtplib.SMTP:
        """Return a connection on which MAIL FROM was accepted; one that the server has closed meanwhile is renewed."""
        if self._connection:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                if self._mail_from(self._connection, sender, size)[0] == 250:
                    return self._connection
            self._drop()
        self._connection = self._connect(sender)
        try:
            code, text = self._mail_from(self._connection, sender, size)
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise MailServerDown(f"{self._name}: {_line(error)}") from error
        if code != 250:
            self._drop()
            raise MailServerDown(f"{self._name} refuses the sender {sender}: {code} {_decoded(text)}")
        return self._connection

    def _mail_from(self, connection: smtplib.SMTP, sender: str, size: int) -> tuple[int, bytes]:
        return connection.mail(sender, [f"SIZE={size}"] if connection.has_extn("size") else [])

    def _connect(self, sender: str) -> smtplib.SMTP:
        domain = sender.rpartition("@")[2]
        hello = domain if "." in domain else "[127.0.0.1]"  # asking the resolver for our own name may hang
        try:
            return self._opened(hello)
        except smtplib.SMTPAuthenticationError as error:
            raise MailServerDown(f"{self._name} refuses the login: {error.smtp_code} {_line(error)}") from error
        except (smtplib.SMTPException, OSError) as error:
            raise MailServerDown(f"{self._name}: {_line(error)}") from error

    def _opened(self, hello: str) -> smtplib.SMTP:
        context = self._tls or ssl.create_default_context()
        connection = (
            smtplib.SMTP_SSL(self._host, self._port, hello, timeout=self._timeout_seconds, context=context)
            if self._implicit
            else smtplib.SMTP(self._host, self._port, hello, timeout=self._timeout_seconds)
        )
        try:
            connection.ehlo_or_helo_if_needed()
            secured = self._implicit or self._secured(connection, context)
            if self._login:
                if not secured and not _is_this_machine(self._host):
                    raise MailServerDown(f"{self._name} offers no TLS, so the password of smtp_url is not sent")
                _log_in(connection, *self._login)
        except BaseException:
            connection.close()
            raise
        return connection

    def _secured(self, connection: smtplib.SMTP, context: ssl.SSLContext) -> bool:
        if not connection.has_extn("starttls") or (self._tls is None and _is_this_machine(self._host)):
            return False
        connection.starttls(context=context)
        connection.ehlo_or_helo_if_needed()
        return True

    def _refusal(self, error: smtplib.SMTPResponseException) -> MailError:
        answer = f"{error.smtp_code} {_line(error)}"
        if error.smtp_code == _SERVICE_CLOSING:
            self._drop()
            return MailServerDown(f"{self._name} is closing: {answer}")
        return MailRefused(answer) if 500 <= error.smtp_code <= 599 else MailDeferred(answer)

    def _reset(self) -> None:
        try:
            if self._connection:
                self._connection.rset()
        except (smtplib.SMTPException, OSError):
            self._drop()

    def _drop(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None


class OutboxTransport:
    """Each message a file that any mail program opens: whole or absent, and one file however often it is sent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, content: bytes, envelope: Envelope) -> None:
        """Write one message. Returns when it would survive a power cut. Raises MailServerDown."""
        path = self._folder / envelope.file_name
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_durably(temporary, content)
            temporary.replace(path)
            fsync(self._folder)
        except OSError as error:
            raise MailServerDown(f"{self._folder}: {error.strerror or error}") from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is held open."""


def _log_in(connection: smtplib.SMTP, user: str, password: str) -> None:
    """Log in. What smtplib cannot say, as it is not ASCII, goes by AUTH PLAIN in UTF-8 (RFC 4616)."""
    if (user + password).isascii():
        connection.login(user, password)
        return
    answer = base64.b64encode(f"\0{user}\0{password}".encode()).decode("ascii")
    code, text = connection.docmd("AUTH", f"PLAIN {answer}")
    if code != _LOGGED_IN:
        raise smtplib.SMTPAuthenticationError(code, text)


def _write_durably(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _line(error: Exception) -> str:
    """Return what an exception says on one line, for the ledger and for people."""
    if isinstance(error, smtplib.SMTPResponseException):
        return _decoded(error.smtp_error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return _decoded(str(error)) or type(error).__name__


def _decoded(text: bytes | str) -> str:
    bare = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", bare).strip()[:_REASON_CHARACTERS_MAX]
