"""However often, wherever and in whatever order a paper is seen, it is one paper."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from flows.decide import HASH_CHANGES_MAX, decide
from storage.archive import Archive
from storage.model import Announcement, Commit, Entry, Paper
from tests.builders import NOW, an_entry

A = Announcement


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An empty archive in a throw-away home."""
    return Archive(tmp_path)


class Wire:
    """Feeds entries to an archive, a minute apart, and remembers what each meant."""

    def __init__(self, archive: Archive) -> None:
        self.archive, self.clock = archive, NOW

    def say(self, *entries: Entry) -> Commit:
        """One source says these entries in one batch."""
        self.clock += timedelta(minutes=1)
        return self.archive.append(
            entries, source=entries[0].source, batch_id=self.clock.isoformat(), now=self.clock, decide=decide
        )

    def paper(self, paper_id: str = "arxiv:2606.00012") -> Paper:
        """The paper as it stands."""
        return self.archive.papers([paper_id])[paper_id]


@pytest.fixture
def wire(archive: Archive) -> Wire:
    """A wire into that archive."""
    return Wire(archive)


def hugging_face(**changes: object) -> Entry:
    """The same paper as Hugging Face lists it."""
    entry = Entry(
        source="hf-daily",
        entry_id="2606.00012",
        title="On the length of short titles",
        abstract="We show that x<y holds.",
        authors=("A. Example",),
        arxiv_id="2606.00012",
        announced_on=date(2026, 6, 3),
        upvotes=7,
        comment_count=1,
        trending=True,
        text_rank=0,
    )
    return replace(entry, **changes)  # type: ignore[arg-type]


def cross_list(**changes: object) -> Entry:
    """The same paper in another category's feed."""
    entry = an_entry(source="arxiv-rss:cs.AI", announce_type="cross")
    return replace(entry, **changes)  # type: ignore[arg-type]


def version_two(**changes: object) -> Entry:
    """Its second version, as the feed announces it."""
    entry = an_entry(
        entry_id="oai:arXiv.org:2606.00012v2",
        version=2,
        announce_type="replace",
        abstract="We show that $x<y$ holds for most \\emph{short} titles.",
        pdf_url="https://arxiv.org/pdf/2606.00012v2",
        announced_on=date(2026, 6, 8),
    )
    return replace(entry, **changes)  # type: ignore[arg-type]


def test_a_new_entry_is_announced_as_new(wire: Wire) -> None:
    commit = wire.say(an_entry())
    assert commit.announcements == {A.NEW: 1}
    assert wire.paper().announced_at == wire.clock
    assert wire.paper().first_seen_at == wire.clock


def test_the_same_entry_again_is_nothing(wire: Wire) -> None:
    wire.say(an_entry())
    commit = wire.say(an_entry())
    assert commit.seq is None
    assert commit.papers == 0
    assert wire.archive.index.latest_seq() == 1


def test_the_same_batch_again_is_nothing(archive: Archive) -> None:
    for _ in range(2):
        archive.append([an_entry()], source="s", batch_id="one", now=NOW, decide=decide)
    assert archive.index.latest_seq() == 1


def test_an_entry_twice_in_one_batch_is_one_paper(wire: Wire) -> None:
    commit = wire.say(an_entry(), an_entry())
    assert commit.papers == 1
    assert commit.announcements == {A.NEW: 1}


def test_a_cross_list_joins_and_adds_its_category(wire: Wire) -> None:
    wire.say(an_entry(categories=("cs.CL",)))
    commit = wire.say(cross_list(categories=("cs.CL", "cs.AI")))
    assert commit.announcements == {A.CROSS_LISTED: 1}
    assert wire.paper().categories == ("cs.CL", "cs.AI")
    assert wire.paper().sources == ("arxiv-rss:cs.CL", "arxiv-rss:cs.AI")
    assert wire.archive.index.papers_count() == 1


def test_hugging_face_joins_without_changing_the_text(wire: Wire) -> None:
    wire.say(an_entry())
    before = wire.paper()
    commit = wire.say(hugging_face(code_url="https://github.com/example/titles"))
    after = wire.paper()
    assert commit.announcements == {A.TRENDING: 1, A.CODE_APPEARED: 1}
    assert (after.title, after.abstract, after.authors) == (before.title, before.abstract, before.authors)
    assert (after.upvotes, after.trending_on, after.code_url) == (
        7,
        date(2026, 6, 3),
        "https://github.com/example/titles",
    )


def test_arxiv_after_hugging_face_corrects_the_text_silently(wire: Wire) -> None:
    wire.say(hugging_face())
    commit = wire.say(an_entry())
    paper = wire.paper()
    assert commit.announcements == {}
    assert paper.title == "On the Length of Short Titles"
    assert paper.authors == ("Ada Example", "Béla Minta")
    assert paper.revised_at is None
    assert paper.categories == ("cs.CL", "cs.AI")


def test_votes_are_kept_and_are_no_news(wire: Wire) -> None:
    wire.say(an_entry())
    wire.say(hugging_face())
    commit = wire.say(hugging_face(upvotes=9))
    assert commit.announcements == {}
    assert wire.paper().upvotes == 9
    assert wire.say(hugging_face(upvotes=9)).seq is None
    assert wire.say(hugging_face(upvotes=7)).seq is not None, "votes that fall are data too"


def test_a_new_version_is_a_revision_of_the_same_paper(wire: Wire) -> None:
    wire.say(an_entry())
    announced = wire.paper().announced_at
    commit = wire.say(version_two())
    paper = wire.paper()
    assert commit.announcements == {A.REVISED: 1}
    assert (paper.version, paper.revision) == (2, 2)
    assert "most" in paper.abstract
    assert paper.announced_at == announced, "readers were told once that it is new"
    assert paper.revised_at == wire.clock


def test_a_new_version_seen_in_two_feeds_is_one_revision(wire: Wire) -> None:
    wire.say(an_entry())
    wire.say(cross_list())
    assert wire.say(version_two()).announcements == {A.REVISED: 1}
    assert A.REVISED not in wire.say(version_two(source="arxiv-rss:cs.AI", announce_type="replace-cross")).announcements


def test_an_old_version_never_overwrites_a_new_one(wire: Wire) -> None:
    wire.say(version_two())
    wire.say(an_entry(source="arxiv-rss:cs.AI"))
    assert wire.paper().version == 2
    assert "most" in wire.paper().abstract


def test_a_replacement_of_an_unknown_paper_is_not_announced_as_new(wire: Wire) -> None:
    commit = wire.say(version_two())
    assert commit.announcements == {A.REVISED: 1}
    assert wire.paper().announced_at is None
    assert wire.paper().revised_at == wire.clock


def test_a_version_met_as_a_cross_list_and_called_a_replacement_is_one_revision(wire: Wire) -> None:
    wire.say(version_two(source="arxiv-rss:cs.AI", announce_type="cross"))
    assert wire.say(version_two()).announcements == {A.REVISED: 1}
    assert (
        A.REVISED not in wire.say(version_two(source="arxiv-rss:stat.ML", announce_type="replace-cross")).announcements
    )


def test_a_withdrawal_is_announced_once(wire: Wire) -> None:
    wire.say(an_entry())
    notice = version_two(version=3, abstract="This paper has been withdrawn by the authors.")
    assert wire.say(notice).announcements == {A.WITHDRAWN: 1}
    assert wire.paper().withdrawn
    again = replace(notice, source="arxiv-rss:cs.AI", announce_type="replace-cross")
    assert A.WITHDRAWN not in wire.say(again).announcements


def test_a_paper_about_withdrawal_is_not_withdrawn(wire: Wire) -> None:
    wire.say(an_entry(abstract="We study why papers are withdrawn. " * 30 + "This paper has been withdrawn, many say."))
    assert not wire.paper().withdrawn


def test_a_doi_that_appears_is_a_publication(wire: Wire) -> None:
    wire.say(an_entry())
    commit = wire.say(version_two(doi="10.1000/XYZ.1"))
    assert commit.announcements == {A.REVISED: 1, A.PUBLISHED: 1}
    assert wire.paper().doi == "10.1000/xyz.1"


def test_a_journal_entry_with_the_doi_joins_the_arxiv_paper(wire: Wire) -> None:
    wire.say(an_entry(doi="10.1000/xyz.1"))
    wire.say(
        Entry(
            source="journal", entry_id="j1", title="On Short Titles", doi="https://doi.org/10.1000/XYZ.1", text_rank=2
        )
    )
    assert wire.archive.index.papers_count() == 1
    assert wire.paper().title == "On the Length of Short Titles"


def test_an_arxiv_version_of_a_known_journal_paper_keeps_the_id_readers_have(wire: Wire) -> None:
    wire.say(Entry(source="journal", entry_id="j1", title="On Short Titles", doi="10.1000/xyz.1", text_rank=2))
    wire.say(an_entry(doi="10.1000/xyz.1"))
    assert wire.archive.index.papers_count() == 1
    assert wire.paper("doi:10.1000/xyz.1").arxiv_id == "2606.00012"
    wire.say(version_two())
    assert wire.paper("doi:10.1000/xyz.1").version == 2


def test_two_arxiv_ids_with_one_doi_stay_two_papers(wire: Wire) -> None:
    one, two = an_entry(arxiv_id="0712.5645", doi="10.0/1"), an_entry(arxiv_id="0712.5646", doi="10.0/1")
    wire.say(replace(one, doi="10.1000/1"), replace(two, doi="10.1000/1"))
    assert wire.archive.index.papers_count() == 2


def test_two_arxiv_ids_with_one_title_stay_two_papers(wire: Wire) -> None:
    wire.say(an_entry())
    wire.say(an_entry(arxiv_id="2606.00099", entry_id="oai:arXiv.org:2606.00099v1"))
    assert wire.archive.index.papers_count() == 2


def test_a_feed_entry_is_known_by_its_guid_when_its_title_changes(wire: Wire) -> None:
    entry = Entry(source="blog", entry_id="tag:x,1", title="A first title", authors=("Ada Example",))
    wire.say(entry)
    commit = wire.say(replace(entry, title="A better title"))
    assert commit.announcements == {A.REVISED: 1}
    assert wire.archive.index.papers_count() == 1


def test_equal_titles_by_different_authors_stay_two_papers(wire: Wire) -> None:
    wire.say(Entry(source="a", entry_id="1", title="Discussion", authors=("Ada Example",)))
    wire.say(Entry(source="b", entry_id="2", title="Discussion", authors=("Béla Minta",)))
    assert wire.archive.index.papers_count() == 2


def test_a_feed_that_stamps_the_hour_into_its_text_is_not_believed_for_ever(wire: Wire) -> None:
    entry = Entry(source="blog", entry_id="tag:x,1", title="Weather", abstract="at 00:00")
    wire.say(entry)
    told = sum(
        wire.say(replace(entry, abstract=f"at {hour:02d}:00")).announcements.get(A.REVISED, 0) for hour in range(1, 60)
    )
    assert told == HASH_CHANGES_MAX


def test_text_that_changes_back_is_taken_again(wire: Wire) -> None:
    entry = Entry(source="blog", entry_id="tag:x,1", title="Weather", abstract="sun")
    wire.say(entry)
    wire.say(replace(entry, abstract="rain"))
    assert wire.say(entry).announcements == {A.REVISED: 1}
    (paper_id,) = wire.archive.held(["guid:blog|tag:x,1"])
    assert wire.paper(paper_id).abstract == "sun"


def test_no_two_announcements_share_a_moment(wire: Wire) -> None:
    entries = [an_entry(arxiv_id=f"2606.{n:05d}", entry_id=f"oai:arXiv.org:2606.{n:05d}v1") for n in range(1, 50)]
    wire.say(*entries[:30])
    wire.clock -= timedelta(minutes=1)  # a second source in the same pass has the same clock
    wire.archive.append(entries[30:], source="other", batch_id="x", now=wire.clock, decide=decide)
    papers = wire.archive.papers(f"arxiv:2606.{n:05d}" for n in range(1, 50))
    moments = [p.announced_at for p in papers.values()]
    assert len(moments) == 49
    assert len(set(moments)) == 49


def test_a_bad_entry_costs_that_entry_and_stays_visible(wire: Wire) -> None:
    good, untitled = an_entry(), an_entry(arxiv_id="2606.00013", entry_id="bad", title=" \x00 ")
    commit = wire.say(untitled, good, an_entry(arxiv_id="2606.00014", abstract="x" * 70_000))
    assert (commit.papers, commit.rejected) == (1, 2)
    reasons = [r for (r,) in wire.archive.index.connection.execute("SELECT reason FROM rejects ORDER BY reason")]
    assert reasons == ["it has no title", "its abstract has 70,000 bytes, more than 64,000"]
