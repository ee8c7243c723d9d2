"""The `ingest` flow: one polite read of one source, committed, and announced through the outbox."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from prefect import flow, get_run_logger, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import task_run
from prefect.states import Completed, Failed

from flows.accounts import artifact_key, ingest_account, ingest_line
from flows.attempts import READ_DELAYS_SECONDS, attempts_left
from flows.hosting import lent_tools, tell
from flows.outbox import drain
from flows.pipeline import SourceReport, ingest_source, source_named
from storage.errors import PaperwireError, SourceError
from storage.settings import config_path, load_settings


@task(
    task_run_name="read {source}",
    tags=["read"],
    retries=len(READ_DELAYS_SECONDS) + 1,  # one more than `attempts_left` grants, which ends them without a traceback
    retry_delay_seconds=list(READ_DELAYS_SECONDS),
    retry_jitter_factor=0.5,
    retry_condition_fn=attempts_left(len(READ_DELAYS_SECONDS)),
    timeout_seconds=1_800,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def read(source: str) -> SourceReport:
    """Read a source and commit what it said. Raises SourceError where that failed as a whole."""
    settings = load_settings(config_path())
    tools, now = lent_tools(), datetime.now(UTC)
    report = await asyncio.to_thread(ingest_source, settings, source, now=now, tools=tools)
    # A failure is told once, with when it is tried again; how that ended is in Prefect's pages.
    if report.ok or task_run.run_count == 1:
        await tell(report)
    await acreate_markdown_artifact(
        ingest_account(report, settings.site.base_url), key=artifact_key("ingest", source), description=source
    )
    if not report.ok:
        raise SourceError(source, report.error or "it failed without a reason")
    return report


@flow(flow_run_name="ingest {source}", persist_result=False)
async def ingest(source: str) -> State[None]:
    """Read one source, and tell what became of it: a failed source is a failed run with one clear line."""
    try:
        source_named(load_settings(config_path()), source)
        done: State[None] = Completed(message=ingest_line(await read(source)))
    except PaperwireError as error:
        done = Failed(message=str(error))
    try:
        await drain(load_settings(config_path()), now=datetime.now(UTC))
    except PaperwireError as error:
        get_run_logger().warning("%s", error)
    return done
