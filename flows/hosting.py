"""What a process that runs flows inside itself lends them: one polite fetcher for all sources, and its console.

A worker runs each flow in a process of its own and lends nothing; the flow then opens its tools itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass

from flows.harvesting import Tools
from flows.pipeline import SourceReport
from flows.upkeep import MaintainReport
from publishers.mail import DeliveryReport
from publishers.push import PushReport
from publishers.site import PublishReport

Report = SourceReport | PublishReport | DeliveryReport | PushReport | MaintainReport


@dataclass(frozen=True, slots=True)
class Host:
    """The process around the flows. `tell` takes each report as soon as it is made."""

    tools: Tools
    tell: Callable[[Report], Awaitable[None]]


_host: ContextVar[Host | None] = ContextVar("host", default=None)


def be_host(host: Host) -> None:
    """Lend `host` to everything started from this context on."""
    _host.set(host)


def lent_tools() -> Tools | None:
    """The fetcher and parser of the process around us; None where there is none."""
    host = _host.get()
    return host.tools if host else None


async def tell(report: Report) -> None:
    """Show a report on the console of the process around us, where there is one."""
    host = _host.get()
    if host:
        await host.tell(report)
