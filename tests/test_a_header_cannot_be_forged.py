"""No title, name or address can add a header, end the headers or speak SMTP."""

from __future__ import annotations

import re
from dataclasses import replace
from email import message_from_bytes
from email.header import decode_header, make_header

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from publishers.digest import render
from publishers.message import build_message, is_mailbox
from storage.errors import ConfigError, MailRefused
from storage.settings import Site, Topic
from tests.fake_catalog import a_numbered_paper
from tests.mails import (
    ADA,
    FIELDS,
    PAPERS,
    REVISIONS,
    SITE,
    a_digest,
    a_mail,
    a_message,
    headers_of,
    read_by_ruby,
    the_edition,
    why,
)

# What has ended a header somewhere once: line ends of every kind, encoded words, comments, quoting, long words.
LINE_ENDS = [
    "\r\n",
    "\n",
    "\r",
    "\n\r",
    "\r\n\r\n",
    "\u2028",
    "\u2029",
    "\x85",
    "\x0b",
    "\x0c",
    "\x1c",
    "\0\n",
    "\r\n ",
]
PAYLOADS = ["Bcc: eve@evil.test", "Content-Type: text/html", "\r\n.\r\nMAIL FROM:<e@evil.test>", "<script>x</script>"]
FRAMES = [
    "{}",
    "A title{}",
    "{} a title",
    "=?utf-8?q?=0D=0A{}?=",
    '"quoted {}',
    "(comment {}",
    "ü{}",
    "=?utf-8?b?DQpCY2M6?= {}",
]
TABLE = [frame.format(end + payload) for frame in FRAMES for end in LINE_ENDS for payload in PAYLOADS]


def assert_nothing_was_injected(text: str) -> None:
    """A message whose every text is `text` has the headers and parts of any other, and says the text."""
    paper = a_numbered_paper(1, title=text, abstract=text, authors=(text,))
    # Settings refuse most of these; the message must hold by itself.
    topic = Topic.model_construct(slug="language-models", title=text, query="x", description="")
    site = Site.model_construct(
        title=text, base_url="https://wire.example.org/", description="", contact="", id_authority=""
    )
    digest = render(the_edition(), [why(paper, text)], (), site=site, topic=topic, more=0)
    for subject in (digest.subject, text):
        content = a_message(replace(digest, subject=subject), site=site)
        fields = headers_of(content)
        assert [name for name, _ in fields] == FIELDS
        assert said(str(make_header(decode_header(dict(fields)["Subject"])))) == said(subject)
        assert all(len(word) <= 75 for word in re.findall(r"=\?\S+\?=", dict(fields)["Subject"]))
        kinds = [part.get_content_type() for part in message_from_bytes(content).walk()]
        assert kinds == ["multipart/alternative", "text/plain", "text/html"]
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)", content)


def said(subject: str) -> str:
    """The beginning of a subject without blanks, controls and halves of characters."""
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]", "", subject)[:40]


def test_no_text_of_the_table_adds_a_header() -> None:
    assert len(TABLE) > 300
    for text in TABLE:
        assert_nothing_was_injected(text)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(), min_size=1, max_size=120))
@example("\ud800\n=?x?=")
@example("a" * 300 + " " + "ü" * 300)
def test_no_text_at_all_adds_a_header(text: str) -> None:
    assert_nothing_was_injected(text)


def test_another_parser_sees_no_injected_header_either() -> None:
    for text in TABLE[:: len(TABLE) // 8]:
        topic = Topic.model_construct(slug="language-models", title=text, query="x", description="")
        digest = render(the_edition(), [why(p) for p in PAPERS], REVISIONS, site=SITE, topic=topic, more=0)
        read = read_by_ruby(a_message(digest))
        assert sorted(map(str.lower, read["fields"])) == sorted(map(str.lower, FIELDS))
        assert len(read["parts"]) == 2
        assert read["subject"].split() == digest.subject.split()


@pytest.mark.parametrize(
    "sender",
    ["", "Wire", "Wire <>", "Wire <a b@example.org>", "a@b@c", "a@b\r\nBcc: c@d.test", "x <a@b\n>", "<a@b", "a..b@c"],
)
def test_a_sender_that_is_no_address_is_a_configuration_error(sender: str) -> None:
    with pytest.raises(ConfigError, match=r"mail\.from"):
        build_message(
            a_digest(),
            mail=a_mail(**{"from": sender}),
            address=ADA,
            edition=the_edition(),
            site=SITE,
            message_id="<a@b>",
        )


@pytest.mark.parametrize(
    "address",
    [
        "ada@example.org\n",
        "ada@example.org\r\nBcc: x@y.test",
        "ada@exa mple.org",
        "ä@example.org",
        "a@b@c",
        "@b",
        "a@",
        "a@-\0",
        "a" * 65 + "@b",
    ],
)
def test_an_address_that_could_carry_more_than_an_address_is_refused(address: str) -> None:
    assert not is_mailbox(address)
    with pytest.raises(MailRefused):
        build_message(a_digest(), mail=a_mail(), address=address, edition=the_edition(), site=SITE, message_id="<a@b>")
