"""What runs when: one `ingest` deployment per source on its cadence, `publish` on the event, the rest once a day.

All of it follows from the settings. deploy/prefect.yaml says the same for work pools; there Prefect's concurrency
limits see to it that each runs once at a time. Here the runner does, because Prefect ends a run under a limit when its
server is away for a few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prefect import Flow
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.schedules import Cron, Schedule
from prefect.server.schemas.schedules import CronSchedule
from prefect.types.entrypoint import EntrypointType

from flows.ingest import ingest
from flows.maintain import maintain
from flows.newsletter import newsletter
from flows.outbox import SOURCE_RESOURCE
from flows.publish import publish, sweep
from flows.push import push
from flows.sources import adapter_for
from storage.errors import ConfigError
from storage.settings import Mail, Settings, Source

TAG = "paperwire"
PUBLISH, SWEEP, PUSH = "publish/publish", "sweep/sweep", "push/push"  # full names: flow/deployment
MAINTAIN_CRON = "30 2 * * *"  # UTC: between the daily lists and arXiv's mailing
_NEWSLETTER_AT = time(7, 0)  # UTC, where mail.send_after names no time of its own
# Every key of the template must be in the payload, else Prefect drops the event.
_ON_INGESTED = DeploymentEventTrigger(
    name="publish on papers.ingested",
    expect={"papers.ingested"},
    match={"prefect.resource.id": f"{SOURCE_RESOURCE}*"},
    parameters={"seq": "{{ event.payload.seq }}"},
)
_ON_PUBLISHED = DeploymentEventTrigger(
    name="push on feeds.published", expect={"feeds.published"}, match={"prefect.resource.id": "paperwire.site"}
)


@dataclass(frozen=True, slots=True)
class Deployment:
    """A flow and how Prefect is to run it."""

    flow: Flow[..., Any]
    spec: RunnerDeployment


def deployments(settings: Settings) -> tuple[Deployment, ...]:
    """All deployments these settings ask for. Raises ConfigError for a schedule that cannot be."""
    found = [*(_ingest(settings, source) for source in settings.source)]
    found.append(_deployment(publish, "publish", "Brings the site up to date.", triggers=[_ON_INGESTED]))
    # No schedule here: the supervisor asks for a sweep when there is something to sweep.
    found.append(_deployment(sweep, "sweep", "Publishes what no event has asked for."))
    nightly = Cron(MAINTAIN_CRON, timezone="UTC", slug="maintain")
    found.append(_deployment(maintain, "maintain", "Compacts and verifies the archive.", schedules=[nightly]))
    if settings.mail:
        daily = Cron(newsletter_cron(settings.mail), timezone="UTC", slug="newsletter")
        found.append(_deployment(newsletter, "newsletter", "Sends every edition that is due.", schedules=[daily]))
    if settings.site.hub or settings.webhook:
        said = "Tells the hub and the webhooks of what was published."
        found.append(_deployment(push, "push", said, triggers=[_ON_PUBLISHED]))
    return tuple(found)


def reads(source_name: str) -> str:
    """The full name of the deployment that reads a source."""
    return f"{ingest.name}/{source_name}"


def cadence(source: Source) -> tuple[str, str]:
    """When a source is read: (cron, time zone); its own schedule, else that of its kind."""
    if source.schedule:
        return source.schedule, source.time_zone
    return adapter_for(source.kind).default_schedule, "UTC"


async def next_read(source: Source, *, now: datetime) -> datetime:
    """The first moment after `now` at which a source is read, as Prefect's scheduler reckons it; aware UTC."""
    cron, time_zone = cadence(source)
    dates = await CronSchedule(cron=cron, timezone=time_zone).get_dates(1, start=now)
    return datetime.fromtimestamp(dates[0].timestamp(), UTC)


def newsletter_cron(mail: Mail) -> str:
    """When the newsletter goes out, cron in UTC."""
    at = mail.send_after if mail.send_after != time(0, 0) else _NEWSLETTER_AT
    return f"{at.minute} {at.hour} * * *"


def _ingest(settings: Settings, source: Source) -> Deployment:
    return _deployment(
        ingest,
        source.name,
        f"Reads {source.name}.",
        schedules=[_schedule(settings, source)],
        parameters={"source": source.name},
        tags=[source.kind],
    )


def _schedule(settings: Settings, source: Source) -> Schedule:
    cron, time_zone = cadence(source)
    try:
        ZoneInfo(time_zone)
        return Cron(cron, timezone=time_zone, slug="cadence")
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(f"source {source.name!r} has no schedule that can be: {error}", path=settings.path) from error


def _deployment(
    flow: Flow[..., Any], name: str, description: str, *, tags: list[str] | None = None, **options: Any
) -> Deployment:
    spec = RunnerDeployment.from_flow(
        flow,
        name,
        description=description,
        tags=[TAG, *(tags or [])],
        entrypoint_type=EntrypointType.MODULE_PATH,  # the file would be loaded a second time as another module
        **options,
    )
    return Deployment(flow, spec)
