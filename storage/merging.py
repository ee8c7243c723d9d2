"""Two papers that turn out to be one, and one that turns out to be two. Pure: papers in, papers out.

The id readers have seen never changes: the kept paper goes on under its own, the other leaves `papers` and says in
`merged_into` where its entry lives on. Its rows stay, so that a merge can be undone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from storage.model import Paper

_TEXT = ("title", "abstract", "authors", "content_hash", "text_rank", "version")
_FILLED = (
    *("url", "pdf_url", "code_url", "project_url", "doi", "journal_ref", "license_url", "announced_on"),
    *("upvotes", "comment_count", "stars", "citations", "trending_on", "announced_at"),
)
_UNITED = ("categories", "sources")


def merge_order(papers: list[Paper]) -> list[Paper]:
    """The papers, the one to keep first: the one readers have known longest."""
    return sorted(papers, key=lambda p: (p.first_seen_at, p.announced_at is None, p.paper_id))


def merged(kept: Paper, other: Paper) -> tuple[Paper, Paper]:
    """The kept paper with all that the other knows more, and the other as it leaves `papers`."""
    better = other.text_rank > kept.text_rank
    united: dict[str, Any] = {
        name: tuple(dict.fromkeys((*getattr(kept, name), *getattr(other, name)))) for name in _UNITED
    }
    filled: dict[str, Any] = {name: getattr(other, name) for name in _FILLED if getattr(kept, name) is None}
    text: dict[str, Any] = {name: getattr(other, name) for name in _TEXT} if better else {}
    whole = replace(
        kept,
        aliases=tuple(sorted({*kept.aliases, *other.aliases})),
        withdrawn=kept.withdrawn or other.withdrawn,
        published_at=min(filter(None, (kept.published_at, other.published_at)), default=None),
        revision=kept.revision + (1 if better else 0),
        versions=max(kept.versions, other.versions, key=len),
        **united,
        **filled,
        **text,
    )
    return whole, replace(other, aliases=(other.paper_id,), merged_into=kept.paper_id)


def parted(now: Paper, before: Paper, other: Paper) -> tuple[Paper, Paper]:
    """The kept paper without what only the merge brought, and the other as it was before it.

    `now` is the kept paper today, `before` and `other` both as they stood when they were merged. What the kept paper
    learned since stays with it. Both remember that they are apart: nothing joins them by itself again.
    """
    undone: dict[str, Any] = {
        name: getattr(before, name)
        for name in (*_FILLED, "versions")
        if getattr(now, name) == getattr(other, name) != getattr(before, name)
    }
    if now.text_rank == other.text_rank > before.text_rank:  # all of a text or none: half of each is nobody's
        undone |= {name: getattr(before, name) for name in _TEXT}
    lists: dict[str, Any] = {
        name: tuple(v for v in getattr(now, name) if v in getattr(before, name) or v not in getattr(other, name))
        for name in _UNITED
    }
    aliases = set(now.aliases) - (set(other.aliases) - set(before.aliases))
    kept = replace(now, aliases=tuple(sorted({*aliases, f"not:{other.paper_id}"})), **undone, **lists)
    if other.withdrawn and not before.withdrawn:
        kept = replace(kept, withdrawn=False)
    return kept, replace(other, aliases=tuple(sorted({*other.aliases, f"not:{now.paper_id}"})), merged_into=None)
