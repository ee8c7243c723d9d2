"""How one body is answered over HTTP: validators that hold, 304 where nothing changed, gzip for whoever takes it."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from starlette.requests import Request
from starlette.responses import Response

# Ask again each time: an unchanged file costs a 304 without a body, and nobody reads yesterday's page.
CACHE_CONTROL = "no-cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What an address holds. `modified` has whole seconds; None where no date can be given for it."""

    content: bytes
    zipped: bytes | None  # the same as gzip
    media_type: str
    modified: datetime | None
    status: int = 200

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return len(self.content) + len(self.zipped or b"")


def body(content: bytes, media_type: str, *, modified: datetime | None = None, status: int = 200) -> Body:
    """Return a body that was made just now, with its gzip."""
    whole = modified.replace(microsecond=0) if modified else None
    zipped = gzip.compress(content, compresslevel=6, mtime=0)
    return Body(content=content, zipped=zipped, media_type=media_type, modified=whole, status=status)


def conditional(request: Request, known: Body, **more: str) -> Response:
    """Choose gzip or plain, then the body or 304 (RFC 9110, 13.2.2: If-None-Match outranks If-Modified-Since).

    `more` are further headers, `_` for `-`; a body that tells of an error is never a 304.
    """
    zipped = known.zipped if accepts_gzip(request.headers.get("accept-encoding", "")) else None
    # Over the bytes themselves: the same edition written again, or on another machine, keeps its tag.
    etag = f'"{hashlib.blake2b(known.content, digest_size=12).hexdigest()}{"-gz" if zipped else ""}"'
    headers = {"etag": etag, "cache-control": CACHE_CONTROL, "vary": "Accept-Encoding"}
    none_match, since = (request.headers.get(name) for name in ("if-none-match", "if-modified-since"))
    if known.status == 200 and not_modified(none_match, since, etag, known.modified):
        # Nothing else (RFC 9110, 15.4.5): the client has the rest, and most polls of a feed end here.
        return Response(status_code=304, headers=headers)
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    if known.modified:
        headers["last-modified"] = format_datetime(known.modified, usegmt=True)
    if zipped:
        headers["content-encoding"] = "gzip"
    return Response(zipped or known.content, known.status, {"content-type": known.media_type, **headers})


def not_modified(
    if_none_match: str | None, if_modified_since: str | None, etag: str, modified: datetime | None
) -> bool:
    """Say whether what the client has is still right. `modified` has whole seconds."""
    if if_none_match is not None:
        tags = re.findall(r'(?:W/)?("[^"]*")', if_none_match)
        return if_none_match.strip() == "*" or etag in tags
    if modified is None:
        return False
    try:
        since = parsedate_to_datetime(if_modified_since or "")
    except ValueError:
        return False
    return modified <= (since if since.tzinfo else since.replace(tzinfo=UTC))


def accepts_gzip(accept_encoding: str) -> bool:
    """Say whether a client takes gzip (RFC 9110, 12.5.3); a weight of 0 means it does not."""
    weights: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        coding, _, parameter = (piece.strip() for piece in part.partition(";"))
        weight = re.fullmatch(r"q\s*=\s*([01](?:\.\d{0,3})?)", parameter)
        weights[coding] = float(weight[1]) if weight else 1.0
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0
