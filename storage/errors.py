"""The one tree of errors.

PaperwireError
├── ConfigError          paperwire.toml is wrong; carries file and line
├── SourceError          one source failed; the others go on
│   ├── FetchError       the exchange failed: refused address, status, time-out, size
│   └── ParseError       the body is not what the source promises
├── EntryError           one entry is unusable; its batch goes on without it
├── QueryError           a query does not parse; carries the position
├── ArchiveError         the archive cannot be read or written
│   ├── ArchiveCorrupt   bytes are not what was committed
│   └── ArchiveFull      no room left; nothing was committed
├── PushError            a hub or a webhook gave no answer; nothing secret is in it
└── MailError            a message could not be handed over
    ├── MailDeferred     try again later (4xx, time-out, connection lost)
    │   └── MailServerDown   the server as a whole: no other message would fare better now
    └── MailRefused      the server said no for good (5xx)

Each prints as one line that says what is wrong and, where it can, what to do about it.
"""

from __future__ import annotations

from pathlib import Path


class PaperwireError(Exception):
    """Anything Paperwire raises on purpose."""


class ConfigError(PaperwireError):
    """The configuration is wrong. `line` is 1-based, or None where no line is to blame."""

    def __init__(self, message: str, *, path: Path | None = None, line: int | None = None) -> None:
        self.path, self.line, self.reason = path, line, message
        place = f"{path}:{line}: " if path and line else f"{path}: " if path else ""
        super().__init__(f"{place}{message}")


class SourceError(PaperwireError):
    """A source failed as a whole."""

    def __init__(self, source: str, reason: str) -> None:
        self.source, self.reason = source, reason
        super().__init__(f"{source}: {reason}")


class FetchError(SourceError):
    """The exchange with a source failed. `status` is the HTTP status where there was one."""

    def __init__(
        self, source: str, reason: str, *, status: int | None = None, retry_after_seconds: float | None = None
    ) -> None:
        self.status, self.retry_after_seconds = status, retry_after_seconds
        super().__init__(source, reason)


class ParseError(SourceError):
    """A body arrived but is not what the source promises."""


class EntryError(PaperwireError):
    """One entry cannot be used."""

    def __init__(self, source: str, entry_id: str, reason: str) -> None:
        self.source, self.entry_id, self.reason = source, entry_id, reason
        super().__init__(f"{source}: entry {entry_id!r}: {reason}")


class QueryError(PaperwireError):
    """A query does not parse. `position` is the 0-based character that is to blame."""

    def __init__(self, query: str, position: int, reason: str) -> None:
        self.query, self.position, self.reason = query, position, reason
        super().__init__(f"{reason} at character {position + 1} of {query!r}")


class ArchiveError(PaperwireError):
    """The archive cannot be read or written."""


class ArchiveCorrupt(ArchiveError):
    """Bytes in the archive are not the bytes that were committed."""


class ArchiveFull(ArchiveError):
    """The disk is full; what was being written is not part of the archive."""


class PushError(PaperwireError):
    """A hub or a webhook was not reached, or gave no answer. It may be tried again."""


class MailError(PaperwireError):
    """A message could not be handed over."""


class MailDeferred(MailError):
    """Not now: a 4xx answer, a time-out or a lost connection."""


class MailServerDown(MailDeferred):
    """The server as a whole is out, or wants none of our mail: no other message would fare better now."""


class MailRefused(MailError):
    """Never: a 5xx answer."""
