"""What trends, in a terminal, in a pipe and as JSON: each paper with its score and what that is made of."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

from rich.markup import escape

from flows import show
from publishers.boards import Boards, Stand, Standing
from publishers.readable import readable
from storage.catalog import Catalog
from storage.errors import ConfigError
from storage.trending import SPANS

_SHOWN_MIN = 0.005  # points that are less are told by --json alone


def standing_of(home: Path, *, span: str, topic: str | None) -> Standing:
    """The board of a span, of all papers or of a topic. Raises ConfigError for an unknown topic, ArchiveError."""
    with Catalog(home) as catalog:
        if topic is not None and not catalog.rows("SELECT 1 FROM topics WHERE topic = ?", [topic]):
            raise ConfigError(f"no topic is called {topic!r}; `paperwire topics` lists them")
        return Boards(catalog).standing(SPANS[span], topic)


def trending(found: Standing, *, as_json: bool) -> None:
    """Show a board."""
    if as_json:
        show.print_json({"span": found.span.name, "as_of": found.as_of, "papers": [_facts(s) for s in found.stands]})
        return
    if not found.stands:
        show.say(f"[dim]nothing gained a vote, a comment, a star or a citation in {found.span.words}[/]")
        return
    if not show.console.is_terminal:
        show.rows([_line(s) for s in found.stands], as_json=False)
        return
    for stand in found.stands:
        prefix = f"[bold]{stand.place.rank:>2}[/] {_number(stand):>7}  "
        show.hang(prefix, f"{escape(readable(stand.paper.paper.title))} [dim]{escape(stand.paper.paper.paper_id)}[/]")
        show.hang(" " * 12, f"{escape(stand.place.sentence)}")
        if not stand.place.newcomer:
            show.hang(" " * 12, f"[dim]{escape(_sum(stand))}[/]")
    show.say(f"[dim]as of {found.as_of.astimezone(UTC):%Y-%m-%d %H:%M} UTC, the newest commit[/]")


def _number(stand: Stand) -> str:
    return "new" if stand.place.newcomer else f"{stand.place.score.number:.2f}"


def _sum(stand: Stand) -> str:
    """How the score comes about: `(18 votes + 1.5 comments + 4.2 prior) × 0.71`."""
    score = stand.place.score
    shown = ((f"{points:.3g}", name) for name, points in score.points.items() if points >= _SHOWN_MIN)
    parts = " + ".join(f"{points} {name.removesuffix('s') if points == '1' else name}" for points, name in shown)
    return f"({parts}) × {score.decay:.3g}"


def _line(stand: Stand) -> dict[str, Any]:
    return {
        "rank": stand.place.rank,
        "score": _number(stand),
        "paper_id": stand.paper.paper.paper_id,
        "title": readable(stand.paper.paper.title),
        "why": stand.place.sentence,
        "sum": "" if stand.place.newcomer else _sum(stand),
    }


def _facts(stand: Stand) -> dict[str, Any]:
    score = stand.place.score
    return {
        "rank": stand.place.rank,
        "paper_id": stand.paper.paper.paper_id,
        "title": stand.paper.paper.title,
        "newcomer": stand.place.newcomer,
        "score": score.number,
        "points": dict(score.points),
        "decay": score.decay,
        "votes": score.votes,
        "comments": score.comments,
        "stars": score.stars,
        "citations": score.citations,
        "votes_a_day": score.votes_a_day,
        "listed_hours": score.listed_for.total_seconds() / 3_600,
        "why": stand.place.sentence,
    }
