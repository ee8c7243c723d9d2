"""The `newsletter` flow: every edition that is due, to everybody who has not got it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from prefect import flow, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import pipeline
from flows.accounts import artifact_key, delivery_account, delivery_line
from flows.attempts import SEND_DELAYS_SECONDS, attempts_left
from flows.hosting import tell
from publishers.mail import DeliveryReport
from storage.errors import MailDeferred, PaperwireError
from storage.settings import config_path, load_settings


@task(
    retries=len(SEND_DELAYS_SECONDS) + 1,  # see read in ingest.py
    retry_delay_seconds=list(SEND_DELAYS_SECONDS),
    retry_jitter_factor=0.5,
    retry_condition_fn=attempts_left(len(SEND_DELAYS_SECONDS)),
    tags=["send"],
    timeout_seconds=3_600,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def send() -> tuple[DeliveryReport, ...]:
    """Cut and send what is due. Raises MailDeferred while somebody still has to get theirs; the ledger knows who."""
    settings = load_settings(config_path())
    reports = await asyncio.to_thread(pipeline.newsletter, settings, now=datetime.now(UTC))
    for report in reports:
        await tell(report)
        await acreate_markdown_artifact(
            delivery_account(report),
            key=artifact_key("edition", report.edition_id),
            description=delivery_line(report),
        )
    waiting = sum(report.deferred for report in reports)
    if waiting:
        raise MailDeferred(f"{waiting} deliveries are put off; the next newsletter run goes on with them")
    return reports


@flow(persist_result=False)
async def newsletter() -> State[None]:
    """Send the newsletter; a run in which a delivery was refused or is still put off has failed."""
    try:
        reports = await send()
    except PaperwireError as error:
        return Failed(message=str(error))
    refused = sum(report.failed for report in reports)
    line = f"{len(reports)} editions, {sum(report.sent for report in reports)} mails sent, {refused} refused"
    return Failed(message=line) if refused else Completed(message=line)
