"""What sources say of one paper, one after the other, and what is decided of it; no archive in between."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from flows.decide import decide
from storage.identity import content_hash, strong_aliases
from storage.model import Announcement, Candidate, Entry, Intent, Paper, Revision, Sighting
from tests.builders import NOW, an_entry


class Life:
    """A paper as it stands, and all that was decided of it."""

    def __init__(self) -> None:
        self.clock = NOW
        self.known: Paper | None = None
        self.intents: list[Intent] = []

    @property
    def paper(self) -> Paper:
        """The paper as it stands."""
        assert self.known is not None
        return self.known

    def say(self, entry: Entry) -> tuple[list[Announcement], tuple[str, ...]] | None:
        """A day later a source says this; returns what readers are told and what changed, None where it is nothing."""
        self.clock += timedelta(days=1)
        paper_id = self.known.paper_id if self.known else "arxiv:2606.00012"
        aliases = tuple(sorted({paper_id, *strong_aliases(entry)}))
        candidate = Candidate(entry=entry, paper_id=paper_id, aliases=aliases, content_hash=content_hash(entry))
        intent = decide(candidate, self.known, self.clock, self.clock)
        if intent is None:
            return None
        self.known = intent.paper
        self.intents.append(intent)
        return list(intent.sightings[0].announcements), intent.changes

    def revisions(self) -> list[Revision]:
        """The rows of this life, as the archive keeps them."""
        return [
            Revision(
                paper=intent.paper,
                announcements=intent.sightings[0].announcements,
                changes=intent.changes,
                at=intent.sightings[0].seen_at,
            )
            for intent in self.intents
        ]

    def sightings(self) -> list[Sighting]:
        """Who said so."""
        return [sighting for intent in self.intents for sighting in intent.sightings]


def a_version(number: int, **changes: object) -> Entry:
    """That version of the paper, as the feed of cs.CL announces it."""
    entry = an_entry(
        version=number,
        entry_id=f"oai:arXiv.org:2606.00012v{number}",
        announce_type="new" if number == 1 else "replace",
        pdf_url=f"https://arxiv.org/pdf/2606.00012v{number}",
        announced_on=None,
    )
    return replace(entry, **changes)  # type: ignore[arg-type]


def a_journals_entry(**changes: object) -> Entry:
    """The paper as a journal's feed brings it: without a version, in the journal's words."""
    entry = Entry(
        source="journal:short-titles",
        entry_id="j1",
        title="On the Length of Short Titles",
        abstract="We show that x<y holds for all short titles.",
        authors=("Ada Example", "Béla Minta"),
        text_rank=2,
    )
    return replace(entry, **changes)  # type: ignore[arg-type]
