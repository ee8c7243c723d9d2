"""What version 0.1.0 was told in a fortnight, and the rows it made of it: the same story for each test of migrations.

Papers are revised, cross-listed, published, voted for and withdrawn; some have a DOI only, two have no id at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from storage.model import Entry
from tests.builders import NOW, an_entry
from tests.released.schema_1 import Segment, content_hash, fingerprint, moment, write_home

BLOG, BIORXIV = "blog", "10.1101/2026.05.01.123456"
ACKNOWLEDGED = 6  # the events of so many commits had been emitted
_TABLES: dict[str, Sequence[tuple[object, ...]]] = {
    "fetches": [
        (n, f"source {n % 2}", "https://source.test/", moment(NOW + timedelta(hours=n)), status, 900, "ab" * 32, '"e"',
         "Tue, 02 Jun 2026 06:00:00 GMT", 3, error)
        for n, status, error in ((1, 200, None), (2, 304, None), (3, None, "no answer"), (7, 500, "it failed"))
    ],
    "source_states": [
        ("arxiv-rss:cs.CL", moment(NOW), moment(NOW), "2026-06-02", None, None, "[]"),
        ("hf-daily", moment(NOW), None, None, "no answer", moment(NOW), '["a note"]'),
    ],
    "gaps": [("arxiv-rss:cs.CL", "2026-06-01", moment(NOW))],
    "rejects": [("blog", "x", "it has no title", moment(NOW)), ("blog", "y", "its title is long", moment(NOW))],
    "tags": [("arxiv:2606.00001", "short", "short")],
    "topic_changes": [("short", 2)],
    "meta": [("published_seq", "7"), ("catalog", "cd" * 32), ("tagged_seq", "7")],
}  # fmt: skip
KEPT = ("fetches", "source_states", "rejects")
_Row = dict[str, Any]


@dataclass
class Story:
    """What was said, commit by commit, and each paper's row after it."""

    said: list[tuple[Entry, ...]]
    segments: list[Segment] = field(default_factory=list)
    papers: dict[str, _Row] = field(default_factory=dict)  # as they stand now
    past: list[dict[str, _Row]] = field(default_factory=list)  # as they stood after each commit

    def rows_of(self, paper_id: str) -> list[_Row]:
        """Every row of a paper, oldest first."""
        return [row for segment in self.segments for row in segment.rows if row["paper_id"] == paper_id]

    def last_words(self) -> dict[str, list[Entry]]:
        """What each source said last of each paper, by source."""
        last = {(e.source, e.entry_id): e for entries in self.said for e in entries}
        found: dict[str, list[Entry]] = {}
        for (source, _), entry in last.items():
            found.setdefault(source, []).append(entry)
        return found

    def write(self, home: Path) -> None:
        """Lay the home down."""
        write_home(home, self.segments, _TABLES)


def tell() -> Story:
    """The story, as 0.1.0 took it."""
    story = Story(said=_said())
    for number, entries in enumerate(story.said, 1):
        now = at = NOW + timedelta(hours=12 * (number - 1))
        rows: dict[str, _Row] = {}
        for entry in entries:
            paper_id = _paper_id(entry, story.papers)
            row = _again(entry, story.papers[paper_id], now, at) if paper_id in story.papers else _first(entry, now, at)
            at += timedelta(milliseconds=1)
            before = rows.get(paper_id)
            story.papers[paper_id] = row
            rows[paper_id] = row | {"sightings": [*(before["sightings"] if before else []), *row["sightings"]]}
        emitted = now + timedelta(minutes=1) if number <= ACKNOWLEDGED else None
        story.segments.append(
            Segment(
                batch_id=f"batch {number}",
                source=entries[0].source,
                at=now,
                last_at=at,
                rows=list(rows.values()),
                acknowledged_at=emitted,
            )
        )
        story.past.append(dict(story.papers))
    return story


def _said() -> list[tuple[Entry, ...]]:
    return [
        (_arxiv(1), _arxiv(2, abstract="Tea\\'s $\\alpha$ ≤ 1."), _arxiv(3, authors=())),
        (_cross(1), _cross(4)),
        (_listed(1, upvotes=3), _listed(5, upvotes=1), _listed(1, upvotes=4)),
        (_arxiv(1, version=2, title="A much shorter paper", announce_type="replace"), _arxiv(6, version=3,
         announce_type="replace")),
        (_journal("10.1000/Only.DOI"), _biorxiv()),
        (_blog("A post without any id", authors=("Éva Nő",)), _blog("A post by nobody", authors=())),
        (_arxiv(2, version=2, abstract="This paper has been withdrawn.", announce_type="replace"),),
        (_journal("10.1000/of.3", arxiv_id="2606.00003", title="A short paper number 3"),),
        (_listed(1, upvotes=9), _blog("A post without any id", authors=("Éva Nő",), abstract="Now with more words.")),
    ]  # fmt: skip


def _arxiv(number: int, **changes: Any) -> Entry:
    name, version = f"2606.{number:05d}", changes.get("version", 1)
    entry = an_entry(arxiv_id=name, title=f"A short paper number {number}", url=f"https://arxiv.org/abs/{name}")
    return replace(entry, entry_id=f"oai:arXiv.org:{name}v{version}", pdf_url=None, **changes)


def _cross(number: int) -> Entry:
    return replace(
        _arxiv(number), source="arxiv-rss:cs.LG", categories=("cs.CL", "cs.LG", "cs.AI"), announce_type="cross"
    )


def _listed(number: int, *, upvotes: int) -> Entry:
    return replace(
        _arxiv(number), source="hf-daily", entry_id=f"2606.{number:05d}", categories=(), upvotes=upvotes,
        trending=True, version=None, announce_type=None, text_rank=0,
    )  # fmt: skip


def _journal(doi: str, **changes: Any) -> Entry:
    entry = Entry(
        source="journal:nature", entry_id=f"https://journal.test/{doi}", title="What was found in the long run",
        abstract="It was found.", authors=("Cy Other",), doi=doi, journal_ref="Nature 1 (2026)", text_rank=2,
    )  # fmt: skip
    return replace(entry, **changes)


def _biorxiv() -> Entry:
    """bioRxiv gives each version an address of its own; 0.1.0 took that for a DOI."""
    return _journal(f"{BIORXIV}v2", title="How cells are read", entry_id="b1", journal_ref=None)


def _blog(title: str, **changes: Any) -> Entry:
    return replace(
        Entry(source=BLOG, entry_id=f"https://blog.test/{title[7]}{len(title)}", title=title, abstract="Words."),
        **changes,
    )


# 0.1.0, in short ------------------------------------------------------------------------------------------------------


def _names(entry: Entry) -> list[str]:
    """The ids 0.1.0 read in an entry, strongest first."""
    strong = [f"arxiv:{entry.arxiv_id}"] if entry.arxiv_id else []
    strong += [f"doi:{entry.doi.lower()}"] if entry.doi else []
    own = [] if entry.arxiv_id else [f"guid:{entry.source}|{entry.entry_id}"]
    return [*strong, *own, f"fp:{fingerprint(entry.title, entry.authors, entry.abstract)}"]


def _paper_id(entry: Entry, papers: dict[str, _Row]) -> str:
    names = _names(entry)
    known = next((p for name in names for p, row in papers.items() if name in row["aliases"]), None)
    return known or (names[0] if not names[0].startswith("guid:") else names[-1])


def _first(entry: Entry, now: datetime, at: datetime) -> _Row:
    kind = "revised" if (entry.announce_type or "").startswith("replace") else "new"
    told = [kind, *(["trending"] if entry.trending else [])]
    said = {
        name: getattr(entry, name)
        for name in ("title", "abstract", "version", "url", "pdf_url", "code_url", "project_url", "announced_on")
    }
    return said | {
        "paper_id": _paper_id(entry, {}),
        "aliases": sorted(_names(entry)),
        "authors": [*entry.authors],
        "categories": [*entry.categories],
        "sources": [entry.source],
        "revision": 1,
        "doi": entry.doi.lower() if entry.doi else None,
        "journal_ref": entry.journal_ref,
        "license_url": entry.license_url,
        "withdrawn": False,
        "published_at": entry.published_at,
        "first_seen_at": now,
        "announced_at": at if kind == "new" else None,
        "revised_at": None if kind == "new" else at,
        "trending_on": _day(entry, now),
        "upvotes": entry.upvotes,
        "comment_count": entry.comment_count,
        "stars": entry.stars,
        "content_hash": content_hash(entry.version, entry.title, entry.abstract, entry.authors),
        "hash_changes": 0,
        "text_rank": entry.text_rank,
        "changes": [],
        "sightings": [_sighting(entry, now, told)],
    }


def _again(entry: Entry, known: _Row, now: datetime, at: datetime) -> _Row:
    said = content_hash(entry.version, entry.title, entry.abstract, entry.authors)
    older = bool(entry.version and known["version"] and entry.version < known["version"])
    speaks = not older and entry.text_rank >= known["text_rank"] and said != known["content_hash"]
    row, changes = dict(known), []
    if speaks:
        text = {"title": entry.title, "abstract": entry.abstract, "authors": [*entry.authors] or known["authors"]}
        changes = [name for name, value in text.items() if value != known[name]]
        newer = bool(entry.version) and entry.version != (known["version"] or 1)
        row |= text | {
            "version": entry.version or known["version"],
            "revision": known["revision"] + bool(newer or changes),
            "content_hash": said,
            "text_rank": entry.text_rank,
        }
        changes = ["version", *changes] if newer else changes
    row["withdrawn"] = known["withdrawn"] or "withdrawn" in entry.abstract
    row["doi"] = known["doi"] or (entry.doi.lower() if entry.doi else None)
    row["journal_ref"] = known["journal_ref"] or entry.journal_ref
    told = (
        ("withdrawn", row["withdrawn"] and not known["withdrawn"]),
        ("revised", bool(changes) and not row["withdrawn"]),
        ("published", bool(row["doi"]) and not known["doi"]),
        ("cross-listed", entry.announce_type == "cross"),
        ("trending", entry.trending and known["trending_on"] is None),
    )
    announcements = [name for name, is_so in told if is_so]
    if {*announcements} & {"withdrawn", "revised", "published"}:
        row["revised_at"] = at
    return row | {
        "aliases": sorted({*known["aliases"], *_names(entry)}),
        "categories": list(dict.fromkeys((*known["categories"], *entry.categories))),
        "sources": list(dict.fromkeys((*known["sources"], entry.source))),
        "upvotes": known["upvotes"] if entry.upvotes is None else entry.upvotes,
        "trending_on": max(filter(None, (known["trending_on"], _day(entry, now))), default=None),
        "changes": changes,
        "sightings": [_sighting(entry, now, announcements)],
    }


def _day(entry: Entry, now: datetime) -> date | None:
    return (entry.announced_on or now.date()) if entry.trending else None


def _sighting(entry: Entry, now: datetime, announcements: list[str]) -> _Row:
    said = {n: getattr(entry, n) for n in ("source", "entry_id", "announced_on", "version", "upvotes", "comment_count")}
    return said | {
        "seen_at": now,
        "announcements": announcements,
        "categories": [*entry.categories],
        "stars": entry.stars,
        "entry_hash": content_hash(entry.version, entry.entry_id, entry.title, (entry.abstract, *entry.categories)),
    }
