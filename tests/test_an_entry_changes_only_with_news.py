"""Readers show a changed entry as news: so its bytes move when there is news, and for nothing else."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from publishers.channels import topic_channel
from publishers.feed_entries import what_happened
from publishers.feeds import Feed, atom, json_feed, papers_feed, revisions_feed, rss, window
from publishers.opml import opml_files
from storage.errors import EntryError
from storage.model import TOLD, Announcement, Revision, Submission, TaggedPaper
from tests.builders import NOW, a_paper, tagged
from tests.feed_inputs import CHANNEL, SITE, TOPIC, a_bare_paper, a_full_paper, a_hostile_paper, some_revisions
from tests.lives import Life, a_version

ROOT = Path(__file__).parents[1]
FORMATS: list[Callable[[Feed], bytes]] = [atom, rss, json_feed]
ATOM = "{http://www.w3.org/2005/Atom}"
PAPER = a_full_paper().paper


def feed_of(*papers: TaggedPaper) -> Feed:
    return papers_feed(SITE, CHANNEL, papers)


def papers_at(*ages: timedelta) -> list[TaggedPaper]:
    """A paper announced at each age before NOW."""
    return [
        tagged(a_paper(paper_id=f"arxiv:2606.{n:05}", aliases=(), announced_at=NOW - age)) for n, age in enumerate(ages)
    ]


# What moves an entry.


@pytest.mark.parametrize("render", FORMATS)
@pytest.mark.parametrize(
    "daily",
    [
        {"upvotes": 99, "comment_count": 98, "stars": 97},
        {"upvotes": None, "comment_count": None, "stars": None},
        {"trending_on": date(2026, 6, 9)},
        {"trending_on": None},
        {"sources": ("arxiv-rss:cs.CL", "hf-daily")},
        {"hash_changes": 7},
        {"citations": 12, "versions": (Submission(1, NOW, 9_000), Submission(2, NOW))},
    ],
)
def test_votes_and_lists_change_no_byte(render: Callable[[Feed], bytes], daily: dict[str, Any]) -> None:
    before, after = feed_of(tagged(PAPER, "a")), feed_of(tagged(replace(PAPER, **daily), "a"))
    assert render(after) == render(before)


@pytest.mark.parametrize("render", FORMATS)
@pytest.mark.parametrize(
    "news", [{"title": "Another"}, {"abstract": "Another."}, {"withdrawn": True}, {"doi": "10.1/x"}]
)
def test_news_changes_the_bytes(render: Callable[[Feed], bytes], news: dict[str, Any]) -> None:
    assert render(feed_of(tagged(replace(PAPER, **news), "a"))) != render(feed_of(tagged(PAPER, "a")))


def a_fed_life() -> tuple[Life, Callable[[], tuple[bytes, datetime, int]]]:
    """A paper just announced, and what its feeds show at any time: bytes, time of its entry, revisions."""
    life = Life()
    life.say(a_version(1, doi="10.1000/a", journal_ref="Ann. 1", announced_on=date(2026, 6, 2)))

    def shown() -> tuple[bytes, datetime, int]:
        feed = feed_of(tagged(life.paper))
        told = [revision for revision in life.revisions()[1:] if TOLD & set(revision.announcements)]
        return atom(feed), feed.entries[0].updated, len(revisions_feed(SITE, CHANNEL, told).entries)

    return life, shown


def test_text_that_only_breaks_its_lines_elsewhere_changes_no_byte() -> None:
    life, shown = a_fed_life()
    before = shown()
    life.say(a_version(1, source="arxiv-api", abstract=life.paper.abstract.replace(" ", "\n"), title=life.paper.title))
    assert shown() == before


@pytest.mark.parametrize("corrected", [{"doi": "10.1000/b"}, {"journal_ref": "Annals of Short Titles 1"}])
def test_a_corrected_doi_or_journal_is_shown_and_moves_no_entry(corrected: dict[str, Any]) -> None:
    life, shown = a_fed_life()
    before, updated, told = shown()
    life.say(a_version(1, **{"doi": "10.1000/a", "journal_ref": "Ann. 1"} | corrected))
    assert shown()[0] != before, "who reads the entry reads what is right"
    assert shown()[1:] == (updated, told)


def test_a_withdrawal_and_its_end_both_move_the_entry() -> None:
    life, shown = a_fed_life()
    times, told = [shown()[1]], []
    for version in (a_version(2, abstract="This paper has been withdrawn."), a_version(3)):
        life.say(version)
        times.append(shown()[1])
        told.append(shown()[2])
    assert times == sorted(set(times))
    assert told == [1, 2]
    assert b"Withdrawn" not in shown()[0]


def test_a_revised_paper_is_the_same_entry_updated() -> None:
    revised_at = NOW + timedelta(days=1, milliseconds=5)
    revised = replace(PAPER, version=2, revision=2, title="New", revised_at=revised_at)
    (before,), (after,) = feed_of(tagged(PAPER)).entries, feed_of(tagged(revised)).entries
    assert before.id == after.id == "tag:papers.test,2026:paper/arxiv/2606.00012"
    assert before.published == before.updated == after.published == NOW
    assert after.updated == feed_of(tagged(revised)).updated == revised_at


def test_a_time_of_revision_before_the_announcement_does_not_move_the_entry_back() -> None:
    (entry,) = feed_of(tagged(replace(PAPER, revised_at=NOW - timedelta(days=1)))).entries
    assert entry.updated == NOW


def test_times_are_utc_with_milliseconds() -> None:
    at = datetime(2026, 6, 2, 8, 0, 0, 7_000, tzinfo=timezone(timedelta(hours=2)))
    feed = feed_of(tagged(replace(PAPER, announced_at=at)))
    assert etree.fromstring(atom(feed)).findtext(f"{ATOM}entry/{ATOM}updated") == "2026-06-02T06:00:00.007Z"
    assert json.loads(json_feed(feed))["items"][0]["date_published"] == "2026-06-02T06:00:00.007Z"
    assert etree.fromstring(rss(feed)).findtext("channel/item/pubDate") == "Tue, 02 Jun 2026 06:00:00 GMT"


def test_an_empty_feed_always_says_the_same() -> None:
    assert feed_of().updated == datetime(2026, 1, 1, tzinfo=UTC)
    assert b"<updated>2026-01-01T00:00:00.000Z</updated>" in atom(feed_of())


def test_the_order_papers_are_given_in_changes_nothing() -> None:
    papers = papers_at(*[timedelta(minutes=minutes // 3) for minutes in range(30)])
    assert atom(feed_of(*papers[::-1])) == atom(feed_of(*papers[::2], *papers[1::2])) == atom(feed_of(*papers))


def digest_of_all() -> str:
    """A hash over every format of a few feeds; run by other processes too."""
    feed = feed_of(a_full_paper(), a_bare_paper(), a_hostile_paper())
    life = revisions_feed(SITE, CHANNEL, some_revisions())
    parts = [render(each) for each in (feed, life) for render in FORMATS]
    return hashlib.sha256(b"\0".join([*parts, *opml_files(SITE, {"topic": [CHANNEL]}).values()])).hexdigest()


@pytest.mark.parametrize(
    "surroundings", [{"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo", "LC_ALL": "C"}]
)
def test_another_process_writes_the_same_bytes(surroundings: dict[str, str]) -> None:
    code = "from tests.test_an_entry_changes_only_with_news import digest_of_all; print(digest_of_all())"
    environment = {**os.environ, **surroundings, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, cwd=ROOT
    )
    assert done.stdout.strip() == digest_of_all()


# What an entry says.


def test_the_content_carries_what_readers_hide_elsewhere() -> None:
    (entry,) = feed_of(a_full_paper()).entries
    assert entry.title == "On x<y & the 𝒪(n log n) bound"
    assert entry.summary == "We show that x<y & more. It holds. A second paragraph costs $5 and $10."
    assert entry.content_html.splitlines()[:2] == [
        "<p>We show that x&lt;y &amp; more. It holds.</p>",
        "<p>A second paragraph costs $5 and $10.</p>",
    ]
    assert "Authors: Erdős, Pál, 李 雷<br/>" in entry.content_html
    assert "Categories: Computation and Language, 68T07, Numerical Analysis<br/>" in entry.content_html
    assert 'Topics: <a href="https://papers.test/topics/short-titles.html">Short Titles</a>' in entry.content_html
    assert "Journal: Annals of Short Titles 3" in entry.content_html
    assert '<a href="https://doi.org/10.1000/x(1)">doi:10.1000/x(1)</a>' in entry.content_html


def test_the_links_lead_everywhere_the_paper_is() -> None:
    (entry,) = feed_of(a_full_paper()).entries
    assert [(link.rel, link.href) for link in entry.links] == [
        ("alternate", "https://arxiv.org/abs/2606.00012"),
        ("enclosure", "https://arxiv.org/pdf/2606.00012v1"),
        ("related", "https://papers.test/papers/arxiv-2606.00012.html"),
        ("related", "https://code.test/a/b"),
        ("related", "https://project.test/"),
        ("license", "http://creativecommons.org/licenses/by/4.0/"),
    ]
    assert all(f'<a href="{link.href}">' in entry.content_html for link in entry.links)


def test_a_paper_without_a_landing_page_leads_to_ours() -> None:
    (entry,) = feed_of(a_bare_paper()).entries
    assert [(link.rel, link.href) for link in entry.links] == [("alternate", entry.url)]
    assert entry.url.startswith("https://papers.test/papers/fp-")


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("https://x.test/a b?q=ü#f", "https://x.test/a%20b?q=%C3%BC#f"),
        ("https://x.test/%7Ea/50%/[b]", "https://x.test/%7Ea/50%25/%5Bb%5D"),
        ("HTTPS://Bücher.test:8080/", "https://xn--bcher-kva.test:8080/"),
        ("javascript:alert(1)", None),
        ("https://[/", None),
        ("https://x.test:port/", None),
        ("https://a..b/", None),
        ("https://-/", None),
        ("https://x y/", None),
    ],
)
def test_links_are_written_as_addresses_or_not_at_all(given: str, written: str | None) -> None:
    (entry,) = feed_of(tagged(replace(PAPER, code_url=given))).entries
    code = [link.href for link in entry.links if link.title == "Code"]
    assert code == ([written] if written else [])


def test_nothing_a_source_wrote_becomes_markup() -> None:
    (entry,) = feed_of(a_hostile_paper()).entries
    document = etree.fromstring(f"<div>{entry.content_html}</div>")
    assert {element.tag for element in document.iter()} == {"div", "p", "hr", "br", "a"}
    assert {name for element in document.iter() for name in element.attrib} == {"href"}
    assert all(str(a.get("href")).startswith("https://") for a in document.iter("a"))


def test_only_arxivs_categories_carry_arxivs_scheme() -> None:
    (entry,) = feed_of(a_full_paper()).entries
    assert [(c.term, c.label, c.scheme) for c in entry.categories] == [
        ("cs.CL", "Computation and Language", "http://arxiv.org/schemas/atom"),
        ("68T07", "68T07", ""),
        ("math.NA", "Numerical Analysis", "http://arxiv.org/schemas/atom"),
    ]


def test_a_withdrawn_paper_says_so_first() -> None:
    (entry,) = feed_of(tagged(replace(PAPER, withdrawn=True))).entries
    assert entry.title.startswith("Withdrawn: On x<y")
    assert entry.content_html.startswith("<p><strong>Withdrawn by its authors.</strong></p>")


# What is not in a feed.


def test_what_cannot_be_shown_is_left_out_by_name(caplog: pytest.LogCaptureFixture) -> None:
    blank = tagged(a_paper(paper_id="arxiv:1", title="\u202e\x00 "))
    unannounced = tagged(a_paper(paper_id="arxiv:2", announced_at=None))
    with caplog.at_level(logging.WARNING, "paperwire.feeds"):
        feed = feed_of(a_full_paper(), a_full_paper(), blank, unannounced)
    assert [entry.paper_id for entry in feed.entries] == ["arxiv:2606.00012"]
    assert sorted(map(str, feed.left_out)) == [
        "arxiv:1: nothing of its title can be shown",
        "arxiv:2606.00012: it was given twice",
        "arxiv:2: it was never announced as new",
    ]
    assert "feed feeds/short-titles leaves out arxiv:1: nothing of its title can be shown" in caplog.messages


def test_an_entry_with_what_no_feed_can_carry_is_refused() -> None:
    (entry,) = feed_of(a_full_paper()).entries
    with pytest.raises(EntryError, match="U\\+001B cannot be written"):
        replace(entry, summary="a\x1bb")
    with pytest.raises(EntryError, match="no time zone"):
        replace(entry, updated=datetime(2026, 6, 2))  # noqa: DTZ001


def test_a_revision_that_cannot_be_shown_is_left_out_too() -> None:
    blank = Revision(paper=a_paper(title="\x00"), announcements=(Announcement.REVISED,), changes=(), at=NOW)
    feed = revisions_feed(SITE, CHANNEL, [*some_revisions(), blank])
    assert [missing.paper_id for missing in feed.left_out] == ["arxiv:2606.00012"]
    assert len(feed.entries) == 5


def test_a_window_holds_three_days() -> None:
    papers = papers_at(*[timedelta(hours=hours) for hours in range(100)])
    assert window(papers) == tuple(papers[:73])


def test_a_window_holds_fifty_where_three_days_brought_fewer() -> None:
    papers = papers_at(*[timedelta(days=days) for days in range(60)])
    assert window(papers) == tuple(papers[:50])
    assert window(papers[:3]) == tuple(papers[:3])


def test_a_window_never_holds_more_than_a_thousand() -> None:
    papers = papers_at(*[timedelta(seconds=seconds) for seconds in range(1_200)])
    assert window(list(reversed(papers))) == tuple(papers[:1_000])


# Revisions.


def test_a_revision_is_an_entry_for_each_thing_it_tells() -> None:
    feed = revisions_feed(SITE, CHANNEL, some_revisions())
    base = "tag:papers.test,2026:paper/"
    assert [(e.id.removeprefix(base), e.title.split(":")[0], e.updated) for e in feed.entries] == [
        ("fp/0123456789abcdef01234567/code-appeared/r1", "Code", NOW + timedelta(days=4)),
        ("arxiv/2601.00001/revised/v4", "Version 4", NOW + timedelta(days=3)),
        ("arxiv/2606.00012/withdrawn/v3", "Withdrawn", NOW + timedelta(days=2)),
        ("arxiv/2606.00012/revised/v2", "Version 2", NOW + timedelta(days=1)),
        ("arxiv/2606.00012/published/r2", "Published", NOW + timedelta(days=1)),
    ]
    assert feed.url("atom") == "https://papers.test/feeds/short-titles/revisions.atom"


def test_a_revision_is_the_same_in_the_feeds_of_all_topics() -> None:
    other = topic_channel(TOPIC.model_copy(update={"slug": "robots"}))
    assert (
        revisions_feed(SITE, CHANNEL, some_revisions()).entries == revisions_feed(SITE, other, some_revisions()).entries
    )


def test_what_is_told_twice_under_one_id_is_there_once_as_told_last() -> None:
    told = {"announcements": (Announcement.PUBLISHED,), "changes": ("doi",)}
    first = Revision(paper=replace(PAPER, journal_ref=None), at=NOW, **told)  # type: ignore[arg-type]
    second = Revision(paper=PAPER, at=NOW + timedelta(days=1), **told)  # type: ignore[arg-type]
    (entry,) = revisions_feed(SITE, CHANNEL, [first, second]).entries
    assert entry.updated == NOW + timedelta(days=1)
    assert "Published in Annals of Short Titles 3 as doi:10.1000/x(1)." in entry.content_html


@pytest.mark.parametrize(
    ("announcement", "changes", "said"),
    [
        (Announcement.REVISED, ("version", "title", "abstract"), "Version 2: title and abstract changed."),
        (
            Announcement.REVISED,
            ("version", "title", "abstract", "authors"),
            "Version 2: title, abstract and authors changed.",
        ),
        (Announcement.REVISED, ("version",), "Version 2: title, abstract and authors are the same."),
        (Announcement.REVISED, ("abstract",), "Revised: abstract changed."),
        (Announcement.REVISED, (), "Version 2."),
        (Announcement.WITHDRAWN, ("version", "withdrawn"), "Withdrawn by its authors in version 2."),
        (Announcement.WITHDRAWN, ("withdrawn",), "Withdrawn by its authors."),
        (Announcement.PUBLISHED, ("doi",), "Published as doi:10.1000/x."),
        (Announcement.CODE_APPEARED, ("code",), "Code appeared at code.test."),
    ],
)
def test_a_revision_says_in_words_what_happened(
    announcement: Announcement, changes: tuple[str, ...], said: str
) -> None:
    paper = replace(PAPER, version=2, revision=2, doi="10.1000/x", journal_ref=None)
    revision = Revision(paper=paper, announcements=(announcement,), changes=changes, at=NOW)
    assert what_happened(revision, announcement) == said
    (entry,) = revisions_feed(SITE, CHANNEL, [revision]).entries
    assert entry.content_html.startswith(f"<p><strong>{said}</strong></p>")


def test_a_snapshot_may_lead_to_hugging_face_and_the_main_entry_may_not() -> None:
    (main,) = feed_of(a_full_paper()).entries
    assert "huggingface.co" not in main.content_html
    listed = [e for e in revisions_feed(SITE, CHANNEL, some_revisions()).entries if e.arxiv_id == "2606.00012"]
    assert all("https://huggingface.co/papers/2606.00012" in entry.content_html for entry in listed)


def test_a_format_that_there_is_not_is_an_error() -> None:
    with pytest.raises(ValueError, match="no feed format 'xml'; there are atom, rss, json"):
        feed_of().url("xml")
