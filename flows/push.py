"""The `push` flow, which `feeds.published` triggers: the hub and the webhooks are told of what was published."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from prefect import flow, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import pipeline
from flows.accounts import push_account, push_line
from flows.hosting import tell
from publishers.push import PushReport
from storage.errors import PaperwireError
from storage.settings import config_path, load_settings


@task(tags=["send"], timeout_seconds=3_600, cache_policy=NO_CACHE, persist_result=False)
async def tell_everybody() -> PushReport:
    """Push what is due. Not tried again here: the ledger knows what waits, and for how long. Raises PaperwireError."""
    settings = load_settings(config_path())
    report = await asyncio.to_thread(pipeline.push, settings, now=datetime.now(UTC))
    if not report.silent:
        await tell(report)
        await acreate_markdown_artifact(push_account(report), key="push", description=push_line(report))
    return report


@flow(persist_result=False)
async def push() -> State[None]:
    """Push; a run after which somebody still waits, or refused, has failed."""
    try:
        report = await tell_everybody()
    except PaperwireError as error:
        return Failed(message=str(error))
    return Completed(message=push_line(report)) if report.well else Failed(message=push_line(report))
