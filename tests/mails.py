"""Digests and messages for tests, and how others than Python read them."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from publishers.digest import Digest, render
from publishers.message import build_message, message_id
from publishers.transports import Envelope
from storage.ledger import Edition
from storage.model import Announcement, Paper, Revision, Tag, TaggedPaper
from storage.settings import Mail, Site, Topic
from tests.builders import NOW
from tests.fake_catalog import a_numbered_paper

ADA, BEA = "ada@example.org", "bea@example.org"
SITE = Site(title="Wire", base_url="https://wire.example.org")
TOPIC = Topic(slug="language-models", title="Language models", query='"language model"')
LONG_WORD = "Donaudampfschifffahrtsgesellschaftskapitänsmützenfabrikationsmaschinenwartungshandbuch"
ABSTRACT = (
    "Transformers with $O(n\\log n)$ attention reach $\\mathbb{R}^d$-valued states. We show, for every $x<y$, that "
    "retrieval without labels loses nothing on \\emph{short} questions and gains \\textbf{12\\%} on long ones. "
) * 4
PAPERS = (
    a_numbered_paper(
        1,
        title="Scaling Laws for Retrieval in $\\mathbb{R}^n$ Without Labels",
        abstract=ABSTRACT,
        authors=tuple(f"Author Number{n}" for n in range(12)),
        trending_on=NOW.date(),
        upvotes=1234,
        code_url="https://code.example.org/a/b?c=1&d=2",
        project_url="https://project.example.org/",
    ),
    a_numbered_paper(
        2, title=f"{LONG_WORD} and its consequences", authors=(), categories=(), abstract="", pdf_url=None
    ),
    a_numbered_paper(3, title='A <b>"bold"</b> claim & its <script>alert(1)</script> end', abstract="x < y & z > 0"),
    a_numbered_paper(4, title="Ein verdächtig gutes Ergebnis: 结果 und أثر", withdrawn=True, url=None),
)
REVISIONS = (
    Revision(paper=a_numbered_paper(7), announcements=(Announcement.WITHDRAWN,), changes=("withdrawn",), at=NOW),
    Revision(
        paper=a_numbered_paper(8, version=2),
        announcements=(Announcement.REVISED, Announcement.PUBLISHED),
        changes=("version", "title", "abstract", "doi"),
        at=NOW,
    ),
)


def the_edition(day: date = date(2026, 6, 2)) -> Edition:
    """An edition of which only the day matters to a digest."""
    return Edition(
        edition_id=f"daily/language-models/{day}",
        topic=TOPIC.slug,
        day=day,
        from_seq=1,
        to_seq=2,
        created_at=NOW,
        paper_ids=(),
        revision_keys=(),
        total=0,
    )


def why(paper: Paper, reason: str = "“language model”, category:cs.CL") -> TaggedPaper:
    """The paper in the topic, for this reason."""
    return TaggedPaper(paper=paper, tags=(Tag(slug=TOPIC.slug, title=TOPIC.title, reason=reason),))


def a_digest(papers: Sequence[Paper] = PAPERS, revisions: Sequence[Revision] = REVISIONS, more: int = 143) -> Digest:
    return render(the_edition(), [why(p) for p in papers], revisions, site=SITE, topic=TOPIC, more=more)


def a_mail(**changes: object) -> Mail:
    return Mail(**({"from": "Wire <wire@example.org>", "to": (ADA,)} | changes))  # type: ignore[arg-type]


def a_message(
    digest: Digest | None = None, *, mail: Mail | None = None, address: str = ADA, site: Site = SITE
) -> bytes:
    mail = mail or a_mail()
    return build_message(
        digest or a_digest(),
        mail=mail,
        address=address,
        edition=the_edition(),
        site=site,
        message_id=message_id(the_edition(), address, mail=mail, site=site),
    )


def an_envelope(address: str = ADA) -> Envelope:
    return Envelope(sender="wire@example.org", address=address, day=the_edition().day, topic=the_edition().topic)


def headers_of(content: bytes) -> list[tuple[str, str]]:
    """The header fields as RFC 5322 2.2 has them, unfolded; a line that is neither field nor folding is an error."""
    head = content.split(b"\r\n\r\n", 1)[0].decode("ascii")
    fields: list[tuple[str, str]] = []
    for line in head.split("\r\n"):
        if line[:1] in " \t":
            assert line.strip(), "a folded line of blanks only"
            fields[-1] = (fields[-1][0], fields[-1][1] + line)
            continue
        name, colon, value = line.partition(": ")
        assert colon
        assert re.fullmatch(r"[!-9;-~]+", name)
        fields.append((name, value))
    return fields


@functools.cache
def _has_ruby_mail() -> bool:
    probe = ["ruby", "-e", "require 'mail'"]
    return shutil.which("ruby") is not None and subprocess.run(probe, capture_output=True).returncode == 0


def read_by_ruby(content: bytes) -> dict[str, Any]:
    """A message as a parser reads it that has no line in common with Python's: the `mail` library of Ruby."""
    if not _has_ruby_mail():
        pytest.skip("Ruby's mail library is not installed (Debian package ruby-mail)")
    done = subprocess.run(["ruby", "-Ku", "-e", RUBY], input=content, capture_output=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


RUBY = r"""
require 'mail'; require 'json'
m = Mail.new(STDIN.binmode.read)
puts JSON.generate({
  errors: m.errors.map(&:to_s), fields: m.header.fields.map(&:name), mime: m.mime_type,
  parts: m.parts.map { |p| [p.mime_type, p.charset, p.decoded.encode('UTF-8')] },
  subject: m.subject, from: m.from, from_name: m[:from].display_names.first, to: m.to, date: m.date.to_s,
  message_id: m.message_id, raw: m.header.fields.to_h { |f| [f.name, f.value.to_s] }
})
"""

FIELDS = [
    "Date",
    "From",
    "To",
    "Subject",
    "Message-ID",
    "List-Id",
    "List-Unsubscribe",
    "List-Archive",
    "List-Post",
    "Auto-Submitted",
    "Precedence",
    "X-Auto-Response-Suppress",
    "Feedback-ID",
    "Content-Language",
    "MIME-Version",
    "Content-Type",
]
