"""The `publish` flow, which `papers.ingested` triggers, and the `sweep` that makes up for an event that was lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from prefect import flow, get_run_logger, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed, Failed

from flows import pipeline
from flows.accounts import publish_account, publish_line
from flows.attempts import PUBLISH_DELAYS_SECONDS, attempts_left
from flows.hosting import tell
from flows.outbox import drain
from publishers.site import PublishReport
from storage.errors import PaperwireError
from storage.settings import config_path, load_settings


@task(
    retries=len(PUBLISH_DELAYS_SECONDS) + 1,  # see read in ingest.py
    retry_delay_seconds=list(PUBLISH_DELAYS_SECONDS),
    retry_jitter_factor=0.5,
    retry_condition_fn=attempts_left(len(PUBLISH_DELAYS_SECONDS)),
    tags=["publish"],
    timeout_seconds=3_600,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def bring_up_to_date() -> PublishReport:
    """Write every page and feed that the archive has news for. Raises PaperwireError."""
    settings = load_settings(config_path())
    report = await asyncio.to_thread(pipeline.publish, settings, now=datetime.now(UTC))
    if report.files_written:
        await tell(report)
        await acreate_markdown_artifact(
            publish_account(report, settings.site.base_url), key="publish", description=publish_line(report)
        )
        emit_event(
            "feeds.published",
            resource={"prefect.resource.id": "paperwire.site", "prefect.resource.name": settings.site.title},
            payload={"seq": report.seq, "topics": list(report.topics), "papers": report.papers},
        )
    return report


@flow(persist_result=False)
async def publish(seq: int = 0) -> State[None]:
    """Publish everything committed so far; `seq` is the segment that asked for it."""
    get_run_logger().info("asked for by segment %s", seq or "none")
    try:
        return Completed(message=publish_line(await bring_up_to_date()))
    except PaperwireError as error:
        return Failed(message=str(error))


@flow(persist_result=False)
async def sweep() -> State[None]:
    """Emit what waits in the outbox, and publish what no event has asked for: a lost event costs no more than that."""
    try:
        line = publish_line(await bring_up_to_date())
        drained = await drain(load_settings(config_path()), now=datetime.now(UTC))
    except PaperwireError as error:
        return Failed(message=str(error))
    return Completed(message=f"{line}; {len(drained)} events emitted")
