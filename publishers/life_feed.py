"""The feed of one paper's life: its announcement, then each version, withdrawal, publication and first code."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from publishers.feed_entries import paper_entry, revision_entries
from publishers.feed_model import Feed, FeedEntry, FeedSite, LeftOut, reason_of
from publishers.paths import paper_file, paper_path, tag_id
from publishers.readable import readable
from storage.errors import EntryError
from storage.model import Revision, TaggedPaper


def life_feed(site: FeedSite, tagged: TaggedPaper, revisions: Sequence[Revision]) -> Feed:
    """Return the feed of what happened to one paper, newest first; `revisions` are the rows of its life.

    Its entries are those of the other feeds, byte for byte: the paper's own as the feeds of its topics have it, and one
    of the revisions feed for each thing it told later. A paper that was never announced as new has only the latter.
    """
    paper = tagged.paper
    left_out: list[LeftOut] = []
    entries: dict[str, FeedEntry] = {}

    def add(made: Callable[[], Sequence[FeedEntry]]) -> None:
        try:
            for entry in made():
                entries.setdefault(entry.id, entry)
        except (EntryError, ValueError) as error:
            left_out.append(LeftOut(paper_id=paper.paper_id, reason=reason_of(error)))

    for revision in sorted(revisions, key=lambda one: one.at, reverse=True):
        add(lambda revision=revision: revision_entries(site, revision))  # type: ignore[misc]
    if paper.announced_at is not None:
        add(lambda: (paper_entry(site, tagged),))
    title = readable(paper.title)
    return Feed(
        id=tag_id(site.authority, paper.paper_id, "life"),
        site=site,
        title=f"{title}: its life – {site.title}" if title else f"{paper.paper_id} – {site.title}",
        description=f"What happens to this paper: versions, code, publication, withdrawal. {title}".strip(),
        page_url=site.base_url + paper_path(paper.paper_id),
        stem=paper_file(paper.paper_id, "").removesuffix("."),
        entries=tuple(sorted(entries.values(), key=lambda entry: entry.published, reverse=True)),
        left_out=tuple(dict.fromkeys(left_out)),
    )
