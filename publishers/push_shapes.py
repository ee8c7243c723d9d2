"""The shapes in which webhooks are told: plain JSON, Slack, Discord, Telegram, Matrix, ntfy. Pure.

Each keeps the limits its receiver documents; what does not fit is counted as `more` and linked. Titles and names are
untrusted: they are escaped for the shape, and an @ in them calls nobody.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from publishers.page_models import counted

JSON_BYTES_MAX = 1_000_000  # ours: nobody documents one
SLACK_TEXT_MAX, SLACK_HEADER_MAX, SLACK_BLOCKS_MAX = 3_000, 150, 50
DISCORD_CONTENT_MAX, DISCORD_EMBEDS_MAX, DISCORD_EMBED_CHARACTERS_MAX = 2_000, 10, 6_000
DISCORD_TITLE_MAX, DISCORD_DESCRIPTION_MAX = 256, 4_096
TELEGRAM_TEXT_MAX = 4_096
MATRIX_BYTES_MAX = 48_000  # of the 65,536 of a whole event, which the server's own fields count into
NTFY_MESSAGE_BYTES_MAX, NTFY_TITLE_BYTES_MAX = 4_096, 200
_CALL = re.compile(r"@(?=\S)")
_NOBODY = "@\u2060"  # a word joiner: it looks the same and is no name
_DISCORD_MARKS = re.compile(r"([\\*_~`|<>\[\]()#:-])")
_SLACK_MARKS = str.maketrans({"*": "∗", "~": "∼", "`": "ˋ", "&": "&amp;", "<": "&lt;", ">": "&gt;"})
_WHSEC = "whsec_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One paper or revision as a message tells it; readable text, bounded."""

    key: str
    title: str
    url: str  # http or https
    authors: str
    summary: str
    note: str  # its topics, or what happened to it
    facts: Mapping[str, Any] = field(default_factory=dict)  # for the json shape
    is_revision: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one webhook is told at once."""

    push_id: str
    webhook: str
    title: str
    site_title: str
    site_url: str
    link: str  # where the rest is
    lines: tuple[Line, ...]  # papers before revisions, best first
    more: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A webhook with its secrets in it; never printed, never stored."""

    shape: str
    url: str = field(repr=False)
    secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    chat: str = ""
    room: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An HTTP request, ready to be sent."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes
    shown: int = 0  # lines of the message that are in it


def shaped(message: Message, target: Target, *, now: datetime) -> Request:
    """Return the request that tells `target` of `message`, with as many of its lines as fit.

    The id of the message is in its body and in the headers Idempotency-Key and X-Paperwire-Delivery.
    """
    shown, document = max((_fitted(m, target) for m in (message, _brief(message))), key=lambda fitted: fitted[0])
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="ignore")
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Idempotency-Key": f'"{message.push_id}"',  # draft-ietf-httpapi-idempotency-key-header: a quoted string
        "X-Paperwire-Delivery": message.push_id,
    }
    if target.token:
        headers["Authorization"] = f"Bearer {target.token}"
    if target.shape == "json":
        headers |= signatures(target.secret, message.push_id, body, now=now)
    method = "PUT" if target.shape == "matrix" else "POST"
    return Request(method=method, url=_address(message, target), headers=headers, body=body, shown=shown)


def _fitted(message: Message, target: Target) -> tuple[int, dict[str, Any]]:
    """Return how many lines fit, and the document that has them."""
    make, fits = _SHAPES[target.shape]
    shown = len(message.lines)
    document = make(message, target, shown)
    while shown and not fits(document):
        shown -= 1
        document = make(message, target, shown)
    return shown, document


def _brief(message: Message) -> Message:
    """Return `message` without abstracts: where they leave no room, all titles are worth more."""
    return replace(message, lines=tuple(replace(line, summary="") for line in message.lines))


def signatures(secret: str, push_id: str, body: bytes, *, now: datetime) -> dict[str, str]:
    """Return the headers that vouch for a body: HMAC-SHA256 of it, and of id, time and body against a replay.

    X-Hub-Signature-256 is what GitHub sends; webhook-id, -timestamp and -signature are those of Standard Webhooks
    (standardwebhooks.com). The key is the UTF-8 of `secret`, or the base64 that follows where it begins with whsec_.
    Without a secret only id and time are told.
    """
    stamp = str(int(now.timestamp()))
    headers = {"webhook-id": push_id, "webhook-timestamp": stamp}
    if secret:
        key = signing_key(secret)
        dated = hmac.digest(key, b".".join((push_id.encode(), stamp.encode(), body)), hashlib.sha256)
        headers["webhook-signature"] = f"v1,{base64.b64encode(dated).decode('ascii')}"
        headers["X-Hub-Signature-256"] = f"sha256={hmac.new(key, body, hashlib.sha256).hexdigest()}"
    return headers


def signing_key(secret: str) -> bytes:
    """Return the bytes that a secret stands for."""
    if secret.startswith(_WHSEC):
        try:
            return base64.b64decode(secret.removeprefix(_WHSEC), validate=True)
        except (binascii.Error, ValueError):
            pass
    return secret.encode()


def units(text: str) -> int:
    """Count as the strictest of the receivers do: UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _address(message: Message, target: Target) -> str:
    parts = urlsplit(target.url)
    path = parts.path.rstrip("/")
    match target.shape:
        case "telegram" if not path.endswith("/sendMessage"):
            path += "/sendMessage"
        case "discord" if "wait=" not in parts.query:  # else its 204 only says that it will try
            return urlunsplit(parts._replace(query=f"{parts.query}&wait=true".lstrip("&")))
        case "matrix":
            room, event = quote(target.room, safe=""), quote(message.push_id, safe="")
            path += f"/_matrix/client/v3/rooms/{room}/send/m.room.message/{event}"
        case "ntfy":  # its JSON goes to the root, the topic is in it
            path = path.rpartition("/")[0] + "/"
        case _:
            return target.url
    return urlunsplit(parts._replace(path=path))


# -- json ---------------------------------------------------------------------------------------------------------


def _json(message: Message, _: Target, shown: int) -> dict[str, Any]:
    lines = message.lines[:shown]
    return {
        "version": 1,
        "delivery_id": message.push_id,
        "webhook": message.webhook,
        "created_at": message.created_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "title": message.title,
        "site": {"title": message.site_title, "url": message.site_url},
        "papers": [dict(line.facts) for line in lines if not line.is_revision],
        "revisions": [dict(line.facts) for line in lines if line.is_revision],
        "more": _more(message, shown),
        "more_url": message.link,
    }


# -- Slack: https://docs.slack.dev/reference/block-kit/blocks -----------------------------------------------------


def _slack(message: Message, _: Target, shown: int) -> dict[str, Any]:
    lines, link = message.lines[:shown], _marked(message)
    title = _called(message.title)
    header = {"type": "plain_text", "text": _cut(title, SLACK_HEADER_MAX), "emoji": False}
    blocks: list[dict[str, Any]] = [{"type": "header", "block_id": message.push_id, "text": header}]
    blocks += [_slack_section(_slack_line(line)) for line in lines]
    rest = _rest(message, shown) or message.site_title
    blocks.append(_slack_section(f"<{_slack_url(link)}|{_slack_text(rest)}>"))
    named = "\n".join([_slack_text(message.title), *(f"• {_slack_text(line.title)}" for line in lines)])
    return {"text": _cut(named, SLACK_TEXT_MAX), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def _slack_section(text: str) -> dict[str, Any]:
    # verbatim: else names of channels and people in the text are looked up and called.
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _slack_line(line: Line) -> str:
    first = f"<{_slack_url(line.url)}|{_slack_text(line.title)}>"
    return _joined([first, *(_slack_text(part) for part in _parts(line))], "\n", SLACK_TEXT_MAX)


def _slack_text(text: str) -> str:
    return _called(text).translate(_SLACK_MARKS)


def _slack_url(url: str) -> str:
    return url.replace("&", "&amp;").replace("|", "%7C").replace("<", "%3C").replace(">", "%3E")


def _slack_fits(document: dict[str, Any]) -> bool:
    texts = [block["text"]["text"] for block in document["blocks"][1:]]
    return len(document["blocks"]) <= SLACK_BLOCKS_MAX and all(units(text) <= SLACK_TEXT_MAX for text in texts)


# -- Discord: https://discord.com/developers/docs/resources/webhook, /message#embed-object-embed-limits -----------


def _discord(message: Message, _: Target, shown: int) -> dict[str, Any]:
    embeds = [_discord_embed(line) for line in message.lines[:shown]]
    rest = _rest(message, shown) or message.site_title
    content = f"**{_discord_text(message.title)}**\n[{_discord_text(rest)}](<{_marked(message)}>)"
    return {
        "content": content,
        "embeds": embeds,
        "allowed_mentions": {"parse": []},  # nobody is called, whatever stands in a title
    }


def _discord_embed(line: Line) -> dict[str, Any]:
    parts = [_discord_text(part) for part in _parts(line)]
    described = _joined(parts, "\n", DISCORD_DESCRIPTION_MAX)
    embed = {"title": _cut(_discord_text(line.title), DISCORD_TITLE_MAX), "url": line.url, "description": described}
    return {name: value for name, value in embed.items() if value}


def _discord_text(text: str) -> str:
    return _DISCORD_MARKS.sub(r"\\\1", _called(text))


def _discord_fits(document: dict[str, Any]) -> bool:
    embeds = document["embeds"]
    characters = sum(units(embed.get("title", "")) + units(embed.get("description", "")) for embed in embeds)
    few = len(embeds) <= DISCORD_EMBEDS_MAX and characters <= DISCORD_EMBED_CHARACTERS_MAX
    return few and units(document["content"]) <= DISCORD_CONTENT_MAX


# -- Telegram: https://core.telegram.org/bots/api#sendmessage -----------------------------------------------------


def _telegram(message: Message, target: Target, shown: int) -> dict[str, Any]:
    text = f"<b>{_html(message.title)}</b>\n\n" + "\n\n".join(
        [*(_html_line(line, "\n") for line in message.lines[:shown]), _html_rest(message, shown)]
    )
    options = {"is_disabled": True}
    return {"chat_id": target.chat, "text": text, "parse_mode": "HTML", "link_preview_options": options}


def _telegram_fits(document: dict[str, Any]) -> bool:
    # The limit is on what is left of the text once the tags are read; counting them too is on the safe side.
    return units(document["text"]) <= TELEGRAM_TEXT_MAX


# -- Matrix: https://spec.matrix.org/latest/client-server-api/#mtext ----------------------------------------------


def _matrix(message: Message, _: Target, shown: int) -> dict[str, Any]:
    lines, link = message.lines[:shown], _marked(message)
    rest = _rest(message, shown) or message.site_title
    plain = [_called(message.title), *(f"• {_called(line.title)}\n  {line.url}" for line in lines), f"{rest}: {link}"]
    listed = "".join(f"<li>{_html_line(line, '<br/>')}</li>" for line in lines)
    return {
        "msgtype": "m.text",
        "body": "\n".join(plain),
        "format": "org.matrix.custom.html",
        "formatted_body": f"<b>{_html(message.title)}</b><ul>{listed}</ul>{_html_rest(message, shown)}",
        "m.mentions": {},  # nobody is called
    }


def _matrix_fits(document: dict[str, Any]) -> bool:
    return _bytes(document) <= MATRIX_BYTES_MAX


# -- ntfy: https://docs.ntfy.sh/publish/#publish-as-json ----------------------------------------------------------


def _ntfy(message: Message, target: Target, shown: int) -> dict[str, Any]:
    topic = urlsplit(target.url).path.rstrip("/").rpartition("/")[2]
    told = [f"• {line.title}" + (f" ({line.note})" if line.is_revision else "") for line in message.lines[:shown]]
    return {
        "topic": topic,
        "title": _cut_bytes(message.title, NTFY_TITLE_BYTES_MAX),
        "message": "\n".join([*told, *filter(None, [_rest(message, shown)])]) or message.site_title,
        "click": _marked(message),
        "tags": ["newspaper"],
    }


def _ntfy_fits(document: dict[str, Any]) -> bool:
    return len(document["message"].encode()) <= NTFY_MESSAGE_BYTES_MAX


# -- what they share ----------------------------------------------------------------------------------------------


def _parts(line: Line) -> list[str]:
    return [part for part in (line.authors, line.summary, line.note) if part]


def _marked(message: Message) -> str:
    """The link of a message with its id behind it: chats have no better place for an id in what they show."""
    return f"{message.link}#{message.push_id}"


def _more(message: Message, shown: int) -> int:
    return message.more + len(message.lines) - shown


def _rest(message: Message, shown: int) -> str:
    more = _more(message, shown)
    return (f"and {more:,} more" if shown else counted(more, "paper")) if more else ""


def _called(text: str) -> str:
    """Return `text` in which an @ calls nobody."""
    return _CALL.sub(_NOBODY, text)


def _html(text: str) -> str:
    return html.escape(_called(text))


def _html_line(line: Line, line_end: str) -> str:
    first = f'<a href="{html.escape(line.url)}">{_html(line.title)}</a>'
    return line_end.join([first, *(_html(part) for part in _parts(line))])


def _html_rest(message: Message, shown: int) -> str:
    rest = _rest(message, shown) or message.site_title
    return f'<a href="{html.escape(_marked(message))}">{_html(rest)}</a>'


def _joined(parts: Sequence[str], between: str, units_max: int) -> str:
    """Join the first parts as far as they fit; none is cut, for it may be markup."""
    text = ""
    for part in parts:
        longer = f"{text}{between}{part}" if text else part
        if units(longer) > units_max:
            break
        text = longer
    return text


def _cut(text: str, units_max: int) -> str:
    """Return `text`, cut by whole characters, and before an escape that would be cut."""
    if units(text) <= units_max:
        return text
    while units(text) > units_max - 1:
        text = text[:-1]
    text = re.sub(r"&[a-z]{0,4}$", "", text)
    if (len(text) - len(text.rstrip("\\"))) % 2:
        text = text[:-1]
    return text.rstrip() + "…"


def _cut_bytes(text: str, bytes_max: int) -> str:
    if len(text.encode()) <= bytes_max:
        return text
    return text.encode()[: bytes_max - 3].decode("utf-8", "ignore") + "…"


def _bytes(document: Mapping[str, Any]) -> int:
    return len(json.dumps(document, ensure_ascii=False).encode(errors="ignore"))


_SHAPES: dict[str, tuple[Callable[[Message, Target, int], dict[str, Any]], Callable[[dict[str, Any]], bool]]] = {
    "json": (_json, lambda document: _bytes(document) <= JSON_BYTES_MAX),
    "slack": (_slack, _slack_fits),
    "discord": (_discord, _discord_fits),
    "telegram": (_telegram, _telegram_fits),
    "matrix": (_matrix, _matrix_fits),
    "ntfy": (_ntfy, _ntfy_fits),
}
