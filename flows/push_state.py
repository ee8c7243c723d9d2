"""How the hub and the webhooks stand, for `status`. Reads only, and makes nothing by asking."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from publishers.websub import waiting
from storage.pushes import Pushes, pushes_exist

if TYPE_CHECKING:
    from storage.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class PushState:
    """How the hub or one webhook stands; no address and no secret is in it."""

    name: str
    unit: str = "message"  # what `waiting` counts
    sent_at: datetime | None = None
    waiting: int = 0
    refused: int = 0  # messages, one after the other, up to now
    rests_until: datetime | None = None
    reason: str | None = None  # why the last attempt failed


def push_states(settings: Settings) -> tuple[PushState, ...]:
    """The hub, where there is one, and every configured webhook."""
    names = [webhook.name for webhook in settings.webhook]
    if not pushes_exist(settings.home):
        hub = [PushState(name="the hub", unit="feed")] if settings.site.hub else []
        return (*hub, *(PushState(name=name) for name in names))
    with Pushes(settings.home) as pushes:
        hub = [_hub(settings, pushes)] if settings.site.hub else []
        return (*hub, *(_webhook(pushes, name) for name in names))


def _hub(settings: Settings, pushes: Pushes) -> PushState:
    left = waiting(pushes.feeds(settings.site.hub), settings.site, settings.home / "site")
    reason = next((feed.reason for feed in left if feed.reason), None)
    sent_at = pushes.last_ping(settings.site.hub)
    return PushState(name="the hub", unit="feed", sent_at=sent_at, waiting=len(left), reason=reason)


def _webhook(pushes: Pushes, name: str) -> PushState:
    told = pushes.told(name)
    if told is None:
        return PushState(name=name)
    return PushState(
        name=name,
        sent_at=told.sent_at,
        waiting=int(pushes.open_message(name) is not None),
        refused=told.refused,
        rests_until=told.rests_until,
        reason=told.reason,
    )
