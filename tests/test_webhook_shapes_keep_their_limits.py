"""Each shape keeps the limits its receiver documents, calls nobody and links to http(s) only, whatever a title says.

The receivers are written here from the documents of each: they refuse what the real ones would.
"""

from __future__ import annotations

import html.parser
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from publishers.push_content import message_of, trial_message
from publishers.push_shapes import Message, Request, Target, shaped
from storage.model import Announcement
from storage.pushes import Push
from storage.settings import Webhook
from tests.builders import NOW
from tests.fake_catalog import FakeCatalog, a_numbered_paper
from tests.pushing import GRAPHS, WORDS, the_settings

SHAPES = ("json", "slack", "discord", "telegram", "matrix", "ntfy")
URLS = {
    "slack": "https://hooks.slack.test/services/T0/B0/key",
    "discord": "https://discord.test/api/webhooks/1/key",
    "telegram": "https://api.telegram.test/bot1:key",
    "matrix": "https://matrix.test",
    "ntfy": "https://ntfy.test/papers",
    "json": "https://lab.test/hook?a=1",
}
NASTY = (
    "@everyone <!channel> <@U012AB3CD> @here @room free $x<y$ & more",
    "](https://evil.test) [click](javascript:alert(1)) **bold** `code` ||spoiler|| ~~no~~",
    '<script>alert(1)</script><b>x</b> <a href="https://evil.test">y</a> &lt; &#60;',
    "<https://evil.test|pay here> *bold* ~gone~ `code` &amp; &lt;!here&gt;",
    "Ein sehr langer Titel " + "Donaudampfschifffahrt" * 60,
    "😀👩‍👩‍👧‍👦" * 120,
    "&<>\"'" * 100,
    "\\" * 300,
    "結果 und أثر\u202eReversed\u202c",
)


def a_target(shape: str) -> Target:
    return Target(shape=shape, url=URLS[shape], chat="-1001", room="!lab:matrix.test", token="t", secret="")  # noqa: S106


def a_message(titles: tuple[str, ...], *, more: int = 0, **changes: object) -> Message:
    """The message of one webhook about papers of these titles."""
    catalog, shape = FakeCatalog(), str(changes.pop("shape", "json"))
    abstract = " ".join(titles) * 3 + " We show more."
    papers = [
        a_numbered_paper(n, title=title, abstract=abstract, authors=(title[:80] or "A",) * 5, **changes)
        for n, title in enumerate(titles, 1)
    ]
    catalog.announce(papers, "words", "graphs")
    values = {"chat": "-1", "room": "!r:x", "token": "${T}"}
    webhook = Webhook(name="lab", shape=shape, url="https://x.test/", topics=("words",), revisions=True, **values)  # type: ignore[arg-type]
    push = Push(
        push_id="pw-00112233445566778899aabbccddeeff",
        webhook="lab",
        from_seq=0,
        to_seq=1,
        contents=tuple(paper.paper_id for paper in papers),
        more=more,
        created_at=NOW,
        due_at=NOW,
    )
    settings = the_settings("/nowhere", webhook)  # type: ignore[arg-type]
    return message_of(push, webhook, catalog, settings, (WORDS, GRAPHS))  # type: ignore[arg-type]


def sent(shape: str, message: Message) -> tuple[Request, dict[str, Any]]:
    request = shaped(message, a_target(shape), now=NOW)
    return request, json.loads(request.body)


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


# -- the receivers ------------------------------------------------------------------------------------------------


class Tags(html.parser.HTMLParser):
    """Reads HTML as strictly as a chat does: known tags only, each closed, links to http(s)."""

    def __init__(self, allowed: frozenset[str]) -> None:
        super().__init__(convert_charrefs=True)
        self.allowed, self.open, self.text, self.links = allowed, list[str](), "", list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.allowed, tag
        if tag == "br":
            return
        self.open.append(tag)
        if tag == "a":
            ((name, value),) = attrs
            assert name == "href"
            self.links.append(str(value))
        else:
            assert not attrs

    def handle_endtag(self, tag: str) -> None:
        if tag != "br":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    @classmethod
    def read(cls, markup: str, *allowed: str) -> Tags:
        found = cls(frozenset(allowed))
        found.feed(markup)
        found.close()
        assert found.open == []
        return found


def slack(document: Mapping[str, Any]) -> tuple[list[str], str]:
    """Slack's rules (docs.slack.dev, Block Kit); returns links and what is read."""
    assert set(document) == {"text", "blocks", "unfurl_links", "unfurl_media"}
    assert utf16(document["text"]) <= 3_000
    header, *sections = document["blocks"]
    assert 1 <= len(document["blocks"]) <= 50
    assert (header["type"], header["text"]["type"]) == ("header", "plain_text")
    assert 1 <= utf16(header["text"]["text"]) <= 150
    assert len(header["block_id"]) <= 255
    links, texts = [], [header["text"]["text"]]
    for section in sections:
        assert (section["type"], section["text"]["type"], section["text"]["verbatim"]) == ("section", "mrkdwn", True)
        text = section["text"]["text"]
        assert 1 <= utf16(text) <= 3_000
        for inner in re.findall(r"<([^>]*)>", text):
            assert not inner.startswith(("!", "@", "#")), "a mention"
            links.append(inner.partition("|")[0].replace("&amp;", "&"))
        outside = re.sub(r"<[^>|]*\|([^>]*)>", r"\1", text)
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", outside), outside
        texts.append(outside)
    for text in (document["text"], *texts):
        assert not re.search(r"@(?:channel|here|everyone)|<!", text)
    return links, "\n".join(texts)


def discord(document: Mapping[str, Any]) -> tuple[list[str], str]:
    """Discord's rules (Webhook resource, embed limits)."""
    assert document["allowed_mentions"] == {"parse": []}
    assert 1 <= utf16(document["content"]) <= 2_000
    assert len(document["embeds"]) <= 10
    texts, links = [document["content"]], re.findall(r"(?<!\\)\]\(<([^>]*)>\)", document["content"])
    for embed in document["embeds"]:
        assert 1 <= utf16(embed["title"]) <= 256
        assert utf16(embed.get("description", "x")) <= 4_096
        stem = embed["title"].rstrip("…")
        assert (len(stem) - len(stem.rstrip("\\"))) % 2 == 0, "half an escape"
        texts += [embed["title"], embed.get("description", "")]
        links.append(embed["url"])
    assert sum(map(utf16, texts[1:])) <= 6_000
    for text in texts:
        assert "@everyone" not in text
        assert "@here" not in text
    for text in texts[1:]:
        assert not re.search(r"(?<!\\)(?:\\\\)*(?:\*\*|\|\||~~|`|\]\()", text), text
    return links, "\n".join(texts)


def telegram(document: Mapping[str, Any]) -> tuple[list[str], str]:
    """Telegram's rules (Bot API, sendMessage, HTML style)."""
    assert (document["parse_mode"], document["chat_id"]) == ("HTML", "-1001")
    read = Tags.read(document["text"], "b", "a")
    assert 1 <= utf16(read.text) <= 4_096
    assert not re.search(r"@\w", read.text), "a name that would be called"
    return read.links, read.text


def matrix(document: Mapping[str, Any]) -> tuple[list[str], str]:
    """Matrix's rules (client-server API, m.text; events of 64 KiB)."""
    assert (document["msgtype"], document["format"]) == ("m.text", "org.matrix.custom.html")
    assert document["m.mentions"] == {}
    assert len(json.dumps(document, ensure_ascii=False).encode()) <= 60_000
    read = Tags.read(document["formatted_body"], "b", "a", "ul", "li", "br")
    assert "@room" not in document["body"] + read.text
    return read.links, read.text


def ntfy(document: Mapping[str, Any]) -> tuple[list[str], str]:
    """ntfy's rules (publish as JSON; longer messages become attachments)."""
    assert document["topic"] == "papers"
    assert 1 <= len(document["message"].encode()) <= 4_096
    assert 1 <= len(document["title"].encode()) <= 250
    assert all(tag.isascii() for tag in document["tags"])
    return [document["click"]], document["message"]


def plain(document: Mapping[str, Any]) -> tuple[list[str], str]:
    """Our own shape (docs/operate.md)."""
    papers = document["papers"]
    links = [paper[name] for paper in papers for name in ("url", "page_url", "pdf_url", "code_url") if paper[name]]
    assert len(json.dumps(document, ensure_ascii=False).encode()) <= 1_100_000
    return [*links, document["more_url"]], "\n".join(paper["title"] for paper in papers)


RECEIVERS: dict[str, Callable[[Mapping[str, Any]], tuple[list[str], str]]] = {
    "slack": slack,
    "discord": discord,
    "telegram": telegram,
    "matrix": matrix,
    "ntfy": ntfy,
    "json": plain,
}


# -- what holds of each -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("titles", [NASTY, NASTY * 10, *((title,) for title in NASTY), ("A plain title",) * 200])
def test_no_title_breaks_a_limit_or_calls_anybody(shape: str, titles: tuple[str, ...]) -> None:
    message = a_message(titles, more=12, shape=shape)
    request, document = sent(shape, message)
    links, read = RECEIVERS[shape](document)
    assert links
    assert all(urlsplit(link).scheme in ("http", "https") for link in links)
    assert all(urlsplit(link).hostname in ("arxiv.org", "wire.example.org") for link in links)
    assert request.shown or shape == "json"
    left = len(titles) - request.shown + 12
    assert f"{left:,} more" in read.replace("\\", "") if shape != "json" else document["more"] == left
    assert "\u202e" not in read


@pytest.mark.parametrize("shape", SHAPES)
def test_the_delivery_id_is_in_the_message_and_its_headers(shape: str) -> None:
    request, _ = sent(shape, a_message(("One",), shape=shape))
    name = "pw-00112233445566778899aabbccddeeff"
    assert request.headers["X-Paperwire-Delivery"] == name
    assert request.headers["Idempotency-Key"] == f'"{name}"'
    assert name in request.body.decode() + request.url
    assert all(value.isascii() and value.isprintable() for value in request.headers.values())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_link_is_http_or_it_is_ours(shape: str) -> None:
    bad = {"url": "javascript:alert(1)", "pdf_url": "file:///etc/passwd", "code_url": "data:text/html,x"}
    _, document = sent(shape, a_message(("One", "Two"), shape=shape, **bad))
    text = json.dumps(document)
    assert not re.search(r"javascript:|file:|data:", text)
    links, _ = RECEIVERS[shape](document)
    if shape != "ntfy":
        assert "https://wire.example.org/papers/arxiv-2606.00001.html" in links


@pytest.mark.parametrize("shape", SHAPES)
def test_few_papers_are_told_with_their_authors_and_abstracts(shape: str) -> None:
    _, document = sent(shape, a_message(("Scaling laws of short titles", "A second title"), shape=shape))
    text = json.dumps(document, ensure_ascii=False)
    assert "2 new papers · Words" in text
    assert "Scaling laws of short titles" in text
    if shape != "ntfy":
        assert "We show more." in text


def test_where_abstracts_leave_no_room_all_titles_are_told() -> None:
    request, document = sent("telegram", a_message(tuple(f"A title, number {n}" for n in range(20)), shape="telegram"))
    assert request.shown == 20
    assert "We show more" not in document["text"]


def test_tex_in_titles_reads_as_text() -> None:
    _, document = sent("slack", a_message(("Bounds in $\\mathbb{R}^n$ & $O(n^2)$",), shape="slack"))
    assert "Bounds in ℝⁿ &amp; O(n²)" in document["text"]


@pytest.mark.parametrize(
    ("shape", "method", "url"),
    [
        ("json", "POST", "https://lab.test/hook?a=1"),
        ("slack", "POST", "https://hooks.slack.test/services/T0/B0/key"),
        ("discord", "POST", "https://discord.test/api/webhooks/1/key?wait=true"),
        ("telegram", "POST", "https://api.telegram.test/bot1:key/sendMessage"),
        (
            "matrix",
            "PUT",
            "https://matrix.test/_matrix/client/v3/rooms/%21lab%3Amatrix.test/send/m.room.message/"
            "pw-00112233445566778899aabbccddeeff",
        ),
        ("ntfy", "POST", "https://ntfy.test/"),
    ],
)
def test_where_each_shape_goes(shape: str, method: str, url: str) -> None:
    request, _ = sent(shape, a_message(("One",), shape=shape))
    assert (request.method, request.url) == (method, url)
    assert request.headers["Authorization"] == "Bearer t"
    assert "!lab:matrix.test" in unquote(url) or shape != "matrix"


@pytest.mark.parametrize("shape", SHAPES)
def test_a_test_message_keeps_the_limits_too(shape: str) -> None:
    values = {"chat": "-1", "room": "!r:x", "token": "${T}"}
    webhook = Webhook(name="lab", shape=shape, url="https://x.test/", **values)  # type: ignore[arg-type]
    settings = the_settings("/nowhere", webhook)  # type: ignore[arg-type]
    message = trial_message(webhook, settings, push_id="pw-test-1", now=NOW)
    _, document = sent(shape, message)
    RECEIVERS[shape](document)
    assert "A test of Wire" in json.dumps(document)


def test_a_revision_says_what_happened_in_every_shape() -> None:
    catalog = FakeCatalog()
    catalog.announce([a_numbered_paper(1)], "words")
    catalog.revise("arxiv:2606.00001", Announcement.WITHDRAWN, at=NOW, withdrawn=True)
    from publishers.editions import revision_key

    (revision,) = catalog.revisions_since(None, after_seq=0, until_seq=2)
    for shape in SHAPES:
        values = {"chat": "-1", "room": "!r:x", "token": "${T}"}
        webhook = Webhook(name="lab", shape=shape, url="https://x.test/", revisions=True, **values)  # type: ignore[arg-type]
        push = Push(
            push_id="pw-1",
            webhook="lab",
            from_seq=0,
            to_seq=2,
            contents=(revision_key(revision),),
            more=0,
            created_at=NOW,
            due_at=NOW,
        )
        message = message_of(push, webhook, catalog, the_settings("/nowhere", webhook), ())  # type: ignore[arg-type]
        _, document = sent(shape, message)
        assert "1 update · Wire" in json.dumps(document, ensure_ascii=False)
        assert "Withdrawn" in json.dumps(document), shape
