"""The history of a paper for a terminal, for a pipe and for machines: when, what was told, and which words changed.

`history` is a rich renderable; its `lines` are plain, one for each thing. In colour, words that came are green and
underlined, words that went red and struck out; elsewhere they stand in [+ +] and [- -]. Unchanged stretches are left
out (…), and TeX reads as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from publishers.life import Event, Part, Step, condensed, steps
from publishers.readable import readable
from storage.model import Announcement, Paper, Revision, Sighting
from storage.revisions import Change, Value, changes_between, list_diff, word_diff, words
from storage.text import fold

_LABELS = {
    "version": "Version",
    "title": "Title",
    "abstract": "Abstract",
    "authors": "Authors",
    "categories": "Categories",
    "doi": "DOI",
    "journal_ref": "Journal",
    "withdrawn": "Withdrawn",
    "code": "Code",
    "merged_into": "Merged into",
}
_TEXTS = frozenset(["title", "abstract", "journal_ref"])
_BETWEEN = {"authors": ", ", "categories": " "}
_SILENT = "Recorded, not announced"
_BY_HAND = {"merged": "Merged with another paper", "split": "Parted from another paper"}
# What these say is shown word by word below them.
_TOLD_BELOW = frozenset([Announcement.REVISED, Announcement.PUBLISHED, Announcement.CODE_APPEARED])
_WORDS_MAX = 1_500  # of one diff; beyond it the lengths say more
_NAMES_MAX = 20  # of those that came, went or moved
_SAME = (Part(kind="same", text="the same words, written with other TeX"),)
_STYLES = {"gone": "red strike", "new": "green underline", "skip": "dim", "same": ""}
_MARKS = {"gone": ("[-", "-]"), "new": ("[+", "+]")}


@dataclass(frozen=True, slots=True)
class Row:
    """What one row of a paper's life said and changed."""

    day: date
    headline: str
    changes: tuple[tuple[str, tuple[Part, ...]], ...]  # label and words of each field


@dataclass(frozen=True, slots=True)
class History:
    """All rows of one paper's life, oldest first."""

    title: str
    paper_id: str
    rows: tuple[Row, ...]

    def lines(self) -> list[str]:
        """Return plain text, a line for each happening and each changed field."""
        found = [f"{self.paper_id}  {self.title}"]
        for row in self.rows:
            found.append(f"{row.day.isoformat()}  {row.headline}")
            found += [f"  {label}: {_text(parts, marked=True).plain.rstrip()}" for label, parts in row.changes]
        return found

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for a terminal of any width."""
        marked = console.no_color or console.color_system is None
        yield Text(self.title, style="bold")
        yield Text(self.paper_id, style="cyan")
        for row in self.rows:
            grid = Table.grid(padding=(0, 2, 0, 0))
            grid.add_column(no_wrap=True, style="dim")
            grid.add_column(overflow="fold")
            headline = Text(row.headline, style="bold")
            body = Group(headline, _fields(row, marked=marked)) if row.changes else headline
            grid.add_row(row.day.isoformat(), body)
            yield Text()
            yield grid


def history(paper: Paper, revisions: Sequence[Revision], sightings: Sequence[Sighting]) -> History:
    """Return the history of `paper`; `revisions` and `sightings` as `publishers.life.life` takes them."""
    rows = [_row(step) for step in steps(paper, revisions, sightings)]
    telling = [row for row in rows if row.changes or row.headline != _SILENT]
    return History(
        title=readable(paper.title),
        paper_id=_bare(paper.paper_id),
        rows=tuple(sorted(telling, key=lambda row: row.day)),
    )


def history_data(revisions: Sequence[Revision]) -> list[dict[str, object]]:
    """Return for each row, oldest first, what JSON can hold: `at`, `announcements`, `version`, and `changes` (field,
    before, after) since the row before; the first has none.
    """
    before: Paper | None = None
    found: list[dict[str, object]] = []
    for revision in revisions:
        changes = changes_between(before, revision.paper)
        found.append(
            {
                "at": revision.at.isoformat(),
                "announcements": [str(kind) for kind in revision.announcements],
                "version": revision.paper.version,
                "changes": [{"field": c.field, "before": _plain(c.before), "after": _plain(c.after)} for c in changes],
            }
        )
        before = revision.paper
    return found


def _plain(value: Value) -> object:
    return list(value) if isinstance(value, tuple) else value


def _row(step: Step) -> Row:
    changes = changes_between(step.before, step.revision.paper) if step.revision else ()
    shown = tuple((_LABELS[change.field], _parts(change)) for change in changes if not _is_said(change, step))
    days = [event.day for event in step.events] or [step.revision.at.date() if step.revision else date.min]
    said = [_headline(event, told_below=bool(shown)) for event in step.events]
    said += [text for change, text in _BY_HAND.items() if step.revision and change in step.revision.changes]
    if step.revision and not step.before and step.events and Announcement.NEW not in step.revision.announcements:
        said.append("what was before is not known")
    return Row(day=days[0], headline=_sentence(said) or _SILENT, changes=shown)


def _sentence(said: Sequence[str]) -> str:
    return "; ".join(text if number == 0 else f"{text[:1].lower()}{text[1:]}" for number, text in enumerate(said))


def _headline(event: Event, *, told_below: bool) -> str:
    detail = "" if told_below and event.kind in _TOLD_BELOW else (_bare if event.href else readable)(event.detail)
    if event.kind is Announcement.REVISED and detail:
        return f"{event.title}: {detail[:1].lower()}{detail[1:]}"
    return f"{event.title} {detail}".rstrip()


def _is_said(change: Change, step: Step) -> bool:
    """Whether the headline says it already."""
    kinds = {event.kind for event in step.events}
    return (change.field == "version" and Announcement.REVISED in kinds) or (
        change.field == "withdrawn" and Announcement.WITHDRAWN in kinds
    )


def _parts(change: Change) -> tuple[Part, ...]:
    """What became of a field, as words to show."""
    before, after = change.before, change.after
    if isinstance(before, tuple) and isinstance(after, tuple):
        return tuple(_names(before, after, _BETWEEN[change.field])) or _SAME
    if change.field == "withdrawn":
        return (Part(kind="same", text="yes" if after else "no longer"),)
    if change.field not in _TEXTS:
        pair = (Part(kind="gone", text=f"{_bare(before)} "), Part(kind="new", text=_bare(after)))
        return tuple(part for part in pair if part.text.strip())
    old, new = readable(str(before or "")), readable(str(after or ""))
    if old == new:
        return _SAME
    parts = condensed(word_diff(old, new))
    if sum(len(words(part.text)) for part in parts) > _WORDS_MAX:
        lengths = f"{len(words(old)):,} words became {len(words(new)):,}, too many to show"
        return (Part(kind="same", text=lengths),)
    return parts


def _names(before: Sequence[str], after: Sequence[str], between: str) -> Iterator[Part]:
    show = readable if between == ", " else _bare
    diff = list_diff(list(map(show, before)), list(map(show, after)))
    parts = [Part(kind="gone", text=name) for name in _first(diff.removed)]
    parts += [Part(kind="new", text=name) for name in _first(diff.added)]
    for number, part in enumerate(parts):
        yield part
        if number < len(parts) - 1:
            yield Part(kind="same", text=between)
    if diff.moved:
        yield Part(kind="same", text=f"{'; ' if parts else ''}in another place: {between.join(_first(diff.moved))}")


def _first(names: Sequence[str]) -> Sequence[str]:
    more = len(names) - _NAMES_MAX
    return names if more <= 1 else (*names[:_NAMES_MAX], f"and {more:,} more")


def _bare(value: Value) -> str:
    """An id or an address as it is: what means something in TeX means nothing there."""
    return "".join(c for c in fold(str(value or "")) if c.isprintable())


def _fields(row: Row, *, marked: bool) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for label, parts in row.changes:
        grid.add_row(label, _text(parts, marked=marked))
    return grid


def _text(parts: Sequence[Part], *, marked: bool) -> Text:
    """Return the words with what came and went marked, the spaces between them not."""
    text = Text()
    for number, part in enumerate(parts):
        inner = part.text.strip() if part.kind in _MARKS else part.text
        opening, closing = _MARKS.get(part.kind, ("", "")) if marked else ("", "")
        text.append(f"{opening}{inner}{closing}", style=_STYLES[part.kind])
        following = parts[number + 1].kind if number + 1 < len(parts) else "same"
        if part.kind in _MARKS:
            apart = part.text[-1:].isspace() or following in _MARKS
            text.append(" " if apart else "")
    return text
