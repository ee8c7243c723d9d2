"""How far a backfill has come, kept in the index until it is done: what it goes on with, and what `status` tells."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from pydantic import TypeAdapter

from flows.sources.interface import Request
from storage.index import Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """How far the past of a source has been read; kept until it is there."""

    source: str
    since: date
    until: date
    begun_at: datetime
    kept_at: datetime
    left: tuple[Request, ...]  # pages still to be asked for; none: all were read
    day: date  # the days before it were read
    requests: int = 0
    listed: int = 0  # entries given out, refused ones included
    size: int | None = None  # entries there are in all, where the source says
    new: int = 0  # papers nobody knew
    changed: int = 0  # papers that were known and have a new row
    refused: int = 0
    lost: int = 0  # entries that were lost on the way in
    lost_named: tuple[str, ...] = ()  # the first of them, with their reasons
    noted: int = 0  # notes of the source's, such as which records were deleted there
    notes: tuple[str, ...] = ()  # the first of them

    @property
    def whole(self) -> bool:
        """Whether every entry given out was taken."""
        return not (self.lost or self.refused)


def begun_backfill(index: Index, source: str) -> Backfill | None:
    """The backfill of a source that was begun and has not come to its end."""
    kept = index.get_meta(_key(source))
    return _STATE.validate_json(kept) if kept else None


def keep_backfill(index: Index, state: Backfill) -> None:
    """Keep how far it has come, within the caller's transaction."""
    index.set_meta(_key(state.source), _STATE.dump_json(state).decode())


def forget_backfill(index: Index, source: str) -> None:
    """Let it be done, within the caller's transaction."""
    index.set_meta(_key(source), "")


_STATE = TypeAdapter(Backfill)


def _key(source: str) -> str:
    return f"backfill of {source}"
