"""The types of every hop: what a source said (Entry), what we know (Paper), what it means (Intent).

All are frozen. All datetimes are aware UTC. None means "the source did not say".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum


class Announcement(StrEnum):
    """What a sighting means to a reader."""

    NEW = "new"  # first time this archive tells of the paper
    REVISED = "revised"  # a new version, or text that really changed
    CROSS_LISTED = "cross-listed"  # a known paper appeared in a further category
    PUBLISHED = "published"  # a DOI or journal reference became known
    WITHDRAWN = "withdrawn"
    CODE_APPEARED = "code-appeared"
    TRENDING = "trending"  # listed by a curated list of the day


TOLD = frozenset([Announcement.REVISED, Announcement.PUBLISHED, Announcement.WITHDRAWN, Announcement.CODE_APPEARED])
"""What moves an entry's `updated` and has a place in the revisions feed."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One version of a paper as its server dates it: the number, when it was submitted, its size where given."""

    version: int
    submitted_at: datetime
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One paper as one source said it at one time; untrusted until `text.clean` and `identity` have seen it."""

    source: str  # the configured source's name
    entry_id: str  # the source's own id for it, raw (guid, API id)
    title: str
    abstract: str = ""
    authors: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()  # primary first where the source says so
    url: str | None = None  # the landing page
    pdf_url: str | None = None
    code_url: str | None = None
    project_url: str | None = None
    arxiv_id: str | None = None  # base id without version
    version: int | None = None
    doi: str | None = None
    openreview_id: str | None = None
    pmid: str | None = None
    # arXiv's own: new, cross, replace, replace-cross; and update, where only the record of an old version changed
    announce_type: str | None = None
    announced_on: date | None = None  # the batch or list day in the source's own calendar
    published_at: datetime | None = None  # first submitted or published, as the source says
    journal_ref: str | None = None
    license_url: str | None = None
    upvotes: int | None = None
    comment_count: int | None = None
    stars: int | None = None
    citations: int | None = None
    versions: tuple[Submission, ...] = ()  # the paper's history as its server gives it, by version
    withdrawn: bool = False  # the source says so itself, whatever the text says
    trending: bool = False  # the source is a curated list, so being listed is news
    text_rank: int = 1  # whose title and abstract win: 3 the paper's own server, 2 its journal, 1 a feed, 0 a list


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """An accepted entry: entry × source × time. Append-only."""

    source: str
    entry_id: str
    seen_at: datetime
    announced_on: date | None
    announcements: tuple[Announcement, ...]  # empty: kept as data, no news to a reader
    version: int | None
    categories: tuple[str, ...]
    upvotes: int | None
    comment_count: int | None
    stars: int | None
    citations: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """What the sightings of one work add up to, under one canonical id."""

    paper_id: str  # arxiv:2606.02584, doi:10.1000/x, openreview:…, pmid:…, fp:…
    aliases: tuple[str, ...]  # every id it is known by, paper_id included, sorted
    title: str
    abstract: str  # as the source wrote it: TeX and all; '' where none was given
    authors: tuple[str, ...]
    categories: tuple[str, ...]  # primary first, then as they appeared
    sources: tuple[str, ...]  # in the order they were first seen
    version: int | None  # the provider's version number where there is one
    revision: int  # 1, 2, …: how many different contents the archive has seen
    url: str | None
    pdf_url: str | None
    code_url: str | None
    project_url: str | None
    doi: str | None
    journal_ref: str | None
    license_url: str | None
    withdrawn: bool
    announced_on: date | None  # the day its first source announced it
    published_at: datetime | None  # first submitted or published, as the source says
    first_seen_at: datetime  # the pass that first saw it
    announced_at: datetime | None  # when readers were told it is new; None: it reached us as a revision only
    revised_at: datetime | None  # when readers were last told of a revision, publication or withdrawal
    trending_on: date | None  # the last curated list it was on
    upvotes: int | None
    comment_count: int | None
    stars: int | None
    content_hash: bytes  # 16 bytes over version, title, abstract, authors
    hash_changes: int  # content changes that came without a version number
    text_rank: int
    merged_into: str | None = None  # the paper this one was found to be: its entry lives on there
    citations: int | None = None
    versions: tuple[Submission, ...] = ()  # its history as its server gives it, by version; some may be missing

    @property
    def arxiv_id(self) -> str | None:
        """The arXiv base id, where the paper has one."""
        return next((a.removeprefix("arxiv:") for a in self.aliases if a.startswith("arxiv:")), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What to write: the paper as it now stands and the sightings that brought it there."""

    paper: Paper
    sightings: tuple[Sighting, ...]
    changes: tuple[str, ...] = ()  # which fields of storage/revisions.py changed, told or not; merged, split
    reason: str | None = None  # why papers were merged or split


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A cleaned and identified entry: trusted from here on."""

    entry: Entry
    paper_id: str  # the known paper it belongs to, or the id a new one will get
    aliases: tuple[str, ...]
    content_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One row of a paper's life that readers were told of after it was new."""

    paper: Paper  # as it stood then
    announcements: tuple[Announcement, ...]
    changes: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A topic a paper belongs to, and why."""

    slug: str
    title: str
    reason: str  # the words or the category that matched


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedPaper:
    """A paper with its topics: what every publisher takes."""

    paper: Paper
    tags: tuple[Tag, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Told:
    """What a commit says of a paper that it announced as new."""

    announced_on: date | None
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What one append did. `seq` is None where nothing was news and no segment was written."""

    seq: int | None
    batch_id: str
    entries: int  # entries offered
    rejected: int  # entries refused, each kept with its reason
    papers: int  # papers written
    announcements: dict[Announcement, int] = field(default_factory=dict)
    told: tuple[Told, ...] = ()  # the papers announced as new


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A row of the outbox: committed with the data it announces, drained until acknowledged."""

    event_id: int
    kind: str  # papers.ingested, feeds.published, edition.sent
    payload: dict[str, object]
    created_at: datetime
