"""Whatever a source writes, and wherever it lands on a page, stays text; only http(s) links are made of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from publishers import pages
from publishers.channels import topic_channel
from publishers.readable import readable
from storage.model import Announcement, Tag, TaggedPaper
from storage.settings import Topic
from tests.builders import a_paper, tagged
from tests.page_builders import DAY, SITE, a_revision, a_sighting, papers_of, parsed, text_of

NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "</title></script><script>alert(1)</script>",
    'x" onmouseover="alert(1)',
    "<!-- --!><b>&lt;b&gt;&amp;#60;",
)


@dataclass(frozen=True)
class Place:
    """Where a source, or whoever configures the site, can put text: a page made from that text."""

    name: str
    page: Callable[[str], bytes]


def _paper_with(**changes: Any) -> bytes:
    paper = tagged(a_paper(**changes), "nlp")
    row = a_revision(paper.paper, Announcement.NEW)
    return pages.paper_page(SITE, paper, [row], [a_sighting(Announcement.NEW)])


def _card_with(**changes: Any) -> bytes:
    papers = [tagged(a_paper(**changes), "nlp")]
    return pages.day_page(SITE, DAY, papers, previous=None, next_day=None)


def _revised_to(field: str, text: str) -> bytes:
    first, second = a_paper(), a_paper(version=2, **{field: (text,) if field == "authors" else text})
    rows = [a_revision(first, Announcement.NEW), a_revision(second, Announcement.REVISED, changes=(field,))]
    return pages.paper_page(SITE, tagged(a_paper(version=2)), rows, ())


TEXT_FIELDS = ("title", "abstract", "journal_ref", "doi", "paper_id")
LIST_FIELDS = ("authors", "categories", "aliases", "sources")
URL_FIELDS = ("url", "pdf_url", "code_url", "project_url", "license_url")


def _in_text(make: Callable[..., bytes], field: str) -> Callable[[str], bytes]:
    return lambda text: make(**{field: text})


def _in_list(make: Callable[..., bytes], field: str) -> Callable[[str], bytes]:
    return lambda text: make(**{field: (text,)})


def _in_url(make: Callable[..., bytes], field: str) -> Callable[[str], bytes]:
    return lambda text: make(**{field: f"https://example.org/{text}"})


def _in_revision(field: str) -> Callable[[str], bytes]:
    return lambda text: _revised_to(field, text)


def _in_topic(text: str) -> bytes:
    topic = Topic.model_construct(slug="nlp", title=text, query=text, description=text)
    return pages.channel_page(SITE, topic_channel(topic), papers_of(2), total=2, revisions=())


def _in_tag(text: str) -> bytes:
    paper = TaggedPaper(paper=a_paper(), tags=(Tag(slug="nlp", title=text, reason=text),))
    return pages.paper_page(SITE, paper, (), ())


def _in_site(text: str) -> bytes:
    return pages.index_page(
        replace(SITE, title=text, description=text),
        latest_day=DAY,
        papers=papers_of(2),
        days=[(DAY, 2)],
        topic_counts={},
        trending=papers_of(2),
    )


def _in_source(text: str) -> bytes:
    return pages.paper_page(SITE, tagged(a_paper()), (), [a_sighting(Announcement.NEW, source=text)])


MAKERS = {"paper": _paper_with, "card": _card_with}
PLACES = [
    *(Place(f"{name} {f}", _in_text(make, f)) for name, make in MAKERS.items() for f in TEXT_FIELDS),
    *(Place(f"{name} {f}", _in_list(make, f)) for name, make in MAKERS.items() for f in LIST_FIELDS),
    *(Place(f"{name} {f}", _in_url(make, f)) for name, make in MAKERS.items() for f in URL_FIELDS),
    *(Place(f"revised {f}", _in_revision(f)) for f in ("title", "abstract", "authors")),
    Place("source", _in_source),
    Place("tag", _in_tag),
    Place("topic", _in_topic),
    Place("site", _in_site),
    Place("unknown address", lambda text: pages.not_found_page(replace(SITE, title=text, description=text))),
]


def skeleton(page: bytes) -> list[tuple[str, tuple[str, ...]]]:
    """Every element with the names of its attributes: what a payload may not change."""
    return [(str(e.tag), tuple(sorted(e.attrib))) for e in parsed(page).iter() if isinstance(e.tag, str)]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
@pytest.mark.parametrize("payload", NASTY)
def test_nothing_a_source_writes_becomes_markup(place: Place, payload: str) -> None:
    page = place.page(payload)
    assert skeleton(page) == skeleton(place.page("plain words"))
    assert b"<!--" not in page


def test_a_hostile_title_is_shown_as_it_is() -> None:
    page = parsed(_paper_with(title=NASTY[3]))
    assert text_of(page.find(".//h1")) == readable(NASTY[3])
    assert json.loads(page.xpath("//script")[0].text)["headline"] == readable(NASTY[3])


@pytest.mark.parametrize("field", URL_FIELDS)
@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,<b>", " java\nscript:alert(1)", "//no.scheme"])
def test_only_http_links_are_ever_made(field: str, url: str) -> None:
    for make in (_paper_with, _card_with):
        page = parsed(make(**{field: url}, aliases=("doi:10.1/x",), paper_id="doi:10.1/x"))
        schemes = {urlsplit(href).scheme for href in page.xpath("//@href | //@content[contains(., ':')]")}
        assert not schemes & {"javascript", "data"}
        assert not page.xpath("//a[starts-with(@href, '//')]")
