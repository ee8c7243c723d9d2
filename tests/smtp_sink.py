"""A small real SMTP server on a free port of 127.0.0.1, with scripted answers, for what the newsletter promises."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from types import TracebackType
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(frozen=True)
class Received:
    """One message the sink took responsibility for, or was about to when it was told to say no."""

    sender: str
    address: str
    content: bytes
    session: int  # which connection brought it
    secured: bool

    @property
    def message(self) -> EmailMessage:
        """The message as Python's own parser reads it."""
        parsed = BytesParser(policy=default).parsebytes(self.content)
        assert isinstance(parsed, EmailMessage)
        return parsed

    @property
    def message_id(self) -> str:
        """The Message-ID header."""
        return str(self.message["Message-ID"])


@dataclass
class Script:
    """What the sink answers; whatever is not scripted is accepted."""

    mail_from: list[str] = field(default_factory=list)  # one answer for each MAIL command, used up from the front
    rcpt: dict[str, str] = field(default_factory=dict)  # by address
    data: dict[str, str] = field(default_factory=dict)  # by address, after the whole message came
    hang_up: set[int] = field(default_factory=set)  # keep the n-th message (from 1), then hang up without an answer
    on_rcpt: Callable[[int], None] | None = None  # called with the number of the message about to come
    on_data: Callable[[int], None] | None = None  # called with its number when it is kept, before the answer


class SmtpSink:
    """`with SmtpSink() as sink:` serves on `sink.port`; what it accepted is in `sink.received`, in order."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        starttls: ssl.SSLContext | None = None,
        implicit_tls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
        auth_needs_tls: bool = True,
    ) -> None:
        self.script = script or Script()
        self.received: list[Received] = []
        self.rcpt_count = 0
        self._sessions: list[Session] = []
        options: dict[str, Any] = {"tls_context": starttls, "auth_require_tls": auth_needs_tls}
        if login:
            options |= {"authenticator": _authenticator(login), "auth_required": True}
        self._controller = Controller(
            _Handler(self), hostname="127.0.0.1", port=_free_port(), ssl_context=implicit_tls, **options
        )

    def __enter__(self) -> SmtpSink:
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._controller.port)

    @property
    def url(self) -> str:
        """The smtp_url of a [mail] table that sends here."""
        return f"smtp://127.0.0.1:{self.port}"

    def connection_number(self, session: Session) -> int:
        """Number connections from 1 in the order they first brought a message."""
        known = [number for number, s in enumerate(self._sessions, 1) if s is session]
        if not known:
            self._sessions.append(session)
        return known[0] if known else len(self._sessions)


class _Handler:
    """What aiosmtpd calls (https://aiosmtpd.aio-libs.org/en/latest/handlers.html)."""

    def __init__(self, sink: SmtpSink) -> None:
        self.sink = sink

    async def handle_MAIL(  # noqa: N802  the name is aiosmtpd's
        self, server: SMTP, session: Session, envelope: Envelope, address: str, mail_options: list[str]
    ) -> str:
        if self.sink.script.mail_from:
            answer = self.sink.script.mail_from.pop(0)
            if not answer.startswith("250"):
                return answer
        envelope.mail_from = address
        envelope.mail_options.extend(mail_options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        self.sink.rcpt_count += 1
        if self.sink.script.on_rcpt:
            self.sink.script.on_rcpt(self.sink.rcpt_count)
        answer = self.sink.script.rcpt.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        sink, script = self.sink, self.sink.script
        address = envelope.rcpt_tos[0]
        answer = script.data.get(address, "250 OK, kept")
        if not answer.startswith("250"):
            return answer
        assert isinstance(envelope.content, bytes)
        sink.received.append(
            Received(
                sender=envelope.mail_from or "",
                address=address,
                content=envelope.content,
                session=sink.connection_number(session),
                secured=session.ssl is not None,
            )
        )
        if script.on_data:
            script.on_data(len(sink.received))
        if len(sink.received) in script.hang_up:
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
        return answer


def _authenticator(login: tuple[str, str]) -> Callable[[SMTP, Session, Envelope, str, Any], AuthResult]:
    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        given = (data.login.decode(), data.password.decode()) if isinstance(data, LoginPassword) else None
        return AuthResult(success=given == login, handled=given == login)

    return check


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
