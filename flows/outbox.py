"""The outbox, drained: each committed event is handed to Prefect and acknowledged after that, never before.

An event lost between the two comes again; an event lost after them costs no more than a sweep (publish.py).
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from prefect.events import Event as PrefectEvent
from prefect.events import Resource
from prefect.events.clients import get_events_client

from flows.pipeline import acknowledge, pending_events
from storage.errors import PaperwireError
from storage.model import Event
from storage.settings import Settings

SOURCE_RESOURCE = "paperwire.source."  # followed by the source's name
_TRIES = 2  # one reconnection; the sweep comes back for what is left
_SECONDS_MAX = 20


async def drain(settings: Settings, *, now: datetime) -> tuple[Event, ...]:
    """Emit what is pending, oldest first, and acknowledge it; returns it.

    Raises PaperwireError where Prefect does not take it; it stays in the outbox then.
    """
    events = await asyncio.to_thread(pending_events, settings)
    if events:
        await _emit(events)
        await asyncio.to_thread(acknowledge, settings, [e.event_id for e in events], now=now)
    return events


async def _emit(events: tuple[Event, ...]) -> None:
    """Send events over one connection; returns when the server has them all."""
    try:
        async with asyncio.timeout(_SECONDS_MAX):
            # Confirmed one by one: the default confirms after 700 events or 30 seconds.
            async with get_events_client(reconnection_attempts=_TRIES, checkpoint_every=1) as client:
                for event in events:
                    await client.emit(prefect_event(event))
    except Exception as error:  # the client raises whatever its socket does, and a bare Exception besides
        reason = f"Prefect did not take them ({str(error) or type(error).__name__})"
        raise PaperwireError(f"{len(events)} events wait in the outbox: {reason}") from error


def prefect_event(event: Event) -> PrefectEvent:
    """Return an event as Prefect takes it; told twice, it has the same id twice."""
    source = str(event.payload.get("source", "unknown"))
    return PrefectEvent(
        id=uuid5(NAMESPACE_URL, f"{event.kind}/{event.payload.get('seq')}/{event.created_at.isoformat()}"),
        event=event.kind,
        resource=Resource({"prefect.resource.id": f"{SOURCE_RESOURCE}{source}", "prefect.resource.name": source}),
        payload=dict(event.payload),
    )
