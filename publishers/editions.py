"""Editions: which papers a newsletter tells of, decided once a topic and day, best first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from storage.ledger import Edition, Ledger
from storage.model import Announcement, Paper, Revision, TaggedPaper
from storage.settings import Mail, Topic

READER_AT_HOME = "reader@localhost"  # whom the outbox is for while [mail] names nobody
_FIRST_WINDOW = timedelta(hours=36)  # a new topic starts with today's papers, not with the whole archive
_PAPERS_MAX = (
    1_000  # listed in one edition, on the busiest days of the largest category twice over; the rest is counted
)


class Catalog(Protocol):
    """What an edition needs of the archive: one snapshot that does not move while it is read."""

    def latest_seq(self) -> int:
        """The newest segment."""

    def papers(self, paper_ids: Sequence[str], /) -> Sequence[TaggedPaper]:
        """The papers with these ids, as they now stand; unknown ids are left out."""

    def new_in_topic(self, slug: str, /, *, since: datetime, limit: int) -> Sequence[TaggedPaper]:
        """Papers announced as new since a time."""

    def new_since(self, slug: str, /, *, after_seq: int, until_seq: int) -> Sequence[TaggedPaper]:
        """Papers announced as new in segments (after_seq, until_seq]."""

    def revisions_since(self, slug: str, /, *, after_seq: int, until_seq: int) -> Sequence[Revision]:
        """Revisions, publications and withdrawals announced in segments (after_seq, until_seq]."""


def cut(catalog: Catalog, ledger: Ledger, topic: Topic, mail: Mail, *, now: datetime) -> Edition | None:
    """Store today's edition of `topic` with a due delivery for everybody on the list, and return it.

    None, and nothing stored, where it is too early, where today's is cut already, or where there is nothing to tell;
    what was not told waits for the next edition.
    """
    edition = plan(catalog, ledger, topic, mail, now=now)
    return edition if edition and ledger.add_edition(edition, recipients(mail)) else None


def plan(catalog: Catalog, ledger: Ledger, topic: Topic, mail: Mail, *, now: datetime) -> Edition | None:
    """Return the edition that `cut` would store now, or None. Stores nothing."""
    now = now.astimezone(UTC)
    edition_id = f"daily/{topic.slug}/{now.date().isoformat()}"
    if now.time() < mail.send_after or ledger.edition(edition_id):
        return None
    until = catalog.latest_seq()
    last = ledger.last_cut(topic.slug)
    if last is not None and last > until:
        last = None  # an archive put back from a backup: its numbers are given out anew, so begin by time again
    papers = rank(_new(catalog, topic.slug, last, until, now))
    revisions = _revisions(catalog, ledger, topic.slug, last, until)
    if not papers and not revisions:
        return None
    return Edition(
        edition_id=edition_id,
        topic=topic.slug,
        day=now.date(),
        from_seq=last or 0,
        to_seq=until,
        created_at=now.replace(microsecond=0),
        paper_ids=tuple(t.paper.paper_id for t in papers[:_PAPERS_MAX]),
        revision_keys=tuple(map(revision_key, revisions)),
        total=len(papers),
    )


def rank(papers: Iterable[TaggedPaper]) -> tuple[TaggedPaper, ...]:
    """Return `papers` best first: trending ones by votes, then the rest, newest announcement first, withdrawn last.

    A total order: the same papers come out the same way however they came in.
    """
    return tuple(sorted(papers, key=lambda tagged: _rank(tagged.paper)))


def revision_key(revision: Revision) -> str:
    """Return what tells this revision from every other of the same paper, so that it is mailed once."""
    kinds = "+".join(sorted(revision.announcements))
    return f"{revision.paper.paper_id}@{revision.at.astimezone(UTC).isoformat()}+{kinds}"


def revisions_of(catalog: Catalog, edition: Edition) -> tuple[Revision, ...]:
    """Return the revisions an edition tells of, in its order."""
    if not edition.revision_keys:
        return ()
    found = catalog.revisions_since(edition.topic, after_seq=edition.from_seq, until_seq=edition.to_seq)
    by_key = {revision_key(revision): revision for revision in found}
    return tuple(by_key[key] for key in edition.revision_keys if key in by_key)


def recipients(mail: Mail) -> tuple[str, ...]:
    """Return everybody on the list once; domains compare case-blind (RFC 5321, 2.4)."""
    folded = (f"{local}@{domain.lower()}" for local, _, domain in (a.rpartition("@") for a in mail.to))
    return tuple(dict.fromkeys(folded)) or (READER_AT_HOME,)


def _new(catalog: Catalog, slug: str, last: int | None, until: int, now: datetime) -> Sequence[TaggedPaper]:
    if last is None:
        return catalog.new_in_topic(slug, since=now - _FIRST_WINDOW, limit=5 * _PAPERS_MAX)
    return catalog.new_since(slug, after_seq=last, until_seq=until)


def _revisions(catalog: Catalog, ledger: Ledger, slug: str, last: int | None, until: int) -> list[Revision]:
    """Revisions of papers that somebody was mailed; withdrawals first, as they matter most."""
    if last is None:
        return []
    found = catalog.revisions_since(slug, after_seq=last, until_seq=until)
    known = ledger.mailed_to_anyone([r.paper.paper_id for r in found])
    told = [r for r in found if r.paper.paper_id in known]
    return sorted(
        told, key=lambda r: (Announcement.WITHDRAWN not in r.announcements, -r.at.timestamp(), revision_key(r))
    )


def _rank(paper: Paper) -> tuple[bool, bool, int, float, str]:
    trending = paper.trending_on is not None
    announced = paper.announced_at.timestamp() if paper.announced_at else 0.0
    return paper.withdrawn, not trending, -(paper.upvotes or 0) if trending else 0, -announced, paper.paper_id
