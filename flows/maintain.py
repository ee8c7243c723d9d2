"""The `maintain` flow: once a night the archive is compacted, tidied up and verified from end to end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from prefect import flow, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import upkeep
from flows.accounts import maintain_account, maintain_line
from flows.attempts import PUBLISH_DELAYS_SECONDS, attempts_left
from flows.hosting import lent_tools, tell
from flows.upkeep import MaintainReport
from storage.errors import PaperwireError
from storage.settings import config_path, load_settings


@task(
    retries=len(PUBLISH_DELAYS_SECONDS) + 1,  # see read in ingest.py
    retry_delay_seconds=list(PUBLISH_DELAYS_SECONDS),
    retry_jitter_factor=0.5,
    retry_condition_fn=attempts_left(len(PUBLISH_DELAYS_SECONDS)),
    tags=["maintain"],
    timeout_seconds=14_400,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def tend() -> MaintainReport:
    """Count, compact where it is due, delete what is retired, verify. Raises PaperwireError where it cannot write."""
    settings, tools, now = load_settings(config_path()), lent_tools(), datetime.now(UTC)
    fetcher = tools.fetcher if tools else None
    report = await asyncio.to_thread(upkeep.maintain, settings, now=now, fetcher=fetcher)
    await tell(report)
    await acreate_markdown_artifact(maintain_account(report), key="maintain", description=maintain_line(report))
    return report


@flow(persist_result=False)
async def maintain() -> State[None]:
    """Tend the archive; a run that finds a fault has failed, and its artifact names every one."""
    try:
        report = await tend()
    except PaperwireError as error:
        return Failed(message=str(error))
    line = maintain_line(report)
    return Completed(message=line) if report.well else Failed(message=line)
