"""Runs flow runs inside this process: what is due, what an event asks for, what an earlier process left behind.

A run costs 0.2 s of CPU here, 4 s as a subprocess of `flow.serve` and 8 s under a process worker; deployments,
schedules, automations and pages are Prefect's own. Every flow may be run again at any time, which is what makes the
two rules sound: a run that was cut off is run again, and of several that are due of one deployment only the last is
run, because it does the work of all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import DeploymentSort, FlowRunSort
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.exceptions import Abort, ObjectNotFound
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import AwaitingRetry, Cancelled, Crashed, Pending
from prefect.utilities.engine import propose_state

from flows.deployments import TAG, Deployment

_log = logging.getLogger("paperwire.runner")
_POLL_SECONDS = 5.0  # between two looks where no event wakes us
_AHEAD_SECONDS = 0.5
_RUNS_MAX = 200  # looked at in one go
_SCHEDULED, _CANCELLING = "prefect.flow-run.Scheduled", "prefect.flow-run.Cancelling"
# An event may arrive before the run it tells of is due or can be seen.
_WAKE_AFTER_SECONDS = (0.0, 0.3, 1.0)
_LEFT_BEHIND = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]


class Runner:
    """Runs the flow runs of `deployments`, one at a time for each; they share this event loop."""

    def __init__(self, deployments: Sequence[Deployment]) -> None:
        self._deployments = {d.spec.full_name: d for d in deployments}
        self._by_id: dict[UUID, Deployment] = {}
        self._running: dict[UUID, asyncio.Task[None]] = {}  # by deployment
        self._runs: dict[UUID, UUID] = {}  # flow run → deployment, of those running
        self._cancelled: set[UUID] = set()  # flow runs that somebody asked to cancel
        self._wake = asyncio.Event()
        self._orphans_likely = True

    def runs(self, name: str) -> bool:
        """Whether a run of the deployment with this full name is under way."""
        return any(self._by_id[i].spec.full_name == name for i in self._running)

    async def register(self) -> None:
        """Tell Prefect of every deployment, and let go of those that are no longer configured.

        Raises what the client raises where the server is away.
        """
        async with get_client() as client:
            for deployment in self._deployments.values():
                self._by_id[await deployment.spec.aapply()] = deployment
            ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
            by_name = DeploymentSort.NAME_ASC
            for known in await client.read_deployments(deployment_filter=ours, sort=by_name, limit=_RUNS_MAX):
                if known.id not in self._by_id:
                    await client.delete_deployment(known.id)

    async def ask_for(self, name: str) -> None:
        """Have the deployment with this full name run now. Raises what the client raises where the server is away."""
        deployment_id = next(i for i, d in self._by_id.items() if d.spec.full_name == name)
        async with get_client() as client:
            await client.create_flow_run_from_deployment(deployment_id)
        self._wake.set()

    async def run(self) -> None:
        """Run what comes until cancelled; then see to it that nothing under way is lost."""
        watcher = asyncio.create_task(self._watch())
        try:
            async with get_client() as client:
                while True:
                    self._wake.clear()
                    await self._look(client)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), _POLL_SECONDS)
        finally:
            watcher.cancel()

    async def stop(self, *, grace_seconds: float) -> None:
        """Let what is under way end; what does not is cut off and put back in line, now or at the next start.

        Takes three times `grace_seconds` at most.
        """
        if not self._running:
            return
        await asyncio.wait(self._running.values(), timeout=grace_seconds)
        left = dict(self._runs)
        cut_off = [self._running[deployment] for deployment in left.values()]
        for task in cut_off:
            task.cancel()
        if cut_off:
            await asyncio.wait(cut_off, timeout=grace_seconds)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._put_back(left), grace_seconds)

    async def _put_back(self, run_ids: Iterable[UUID]) -> None:
        try:
            async with get_client() as client:
                for run_id in run_ids:
                    await self._again(client, run_id, "Paperwire was stopped")
        except Exception as error:
            if not server_is_away(error):
                raise

    async def _look(self, client: PrefectClient) -> None:
        """Start what is due; a server that is away is asked again at the next look."""
        try:
            due = await self._due(client)
            if self._orphans_likely:
                self._orphans_likely = False
                await self._recover(client)
                due = await self._due(client)
            for deployment_id in {run.deployment_id for run in due} - set(self._running):
                if deployment_id is not None:
                    await self._start(client, deployment_id, [r for r in due if r.deployment_id == deployment_id])
        except Exception as error:
            # A run or deployment may be deleted in Prefect's pages between two questions.
            if not server_is_away(error) and not isinstance(error, ObjectNotFound):
                raise
            _log.warning("the server did not answer (%s); asking again", error)
            self._orphans_likely = True

    async def _due(self, client: PrefectClient) -> list[FlowRun]:
        before = datetime.now(UTC) + timedelta(seconds=_AHEAD_SECONDS)
        # Looked for again in a moment: the client's own retries would sleep on, up to a minute, after a restart.
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            return await client.get_scheduled_flow_runs_for_deployments(
                list(self._by_id), scheduled_before=before, limit=_RUNS_MAX
            )

    async def _start(self, client: PrefectClient, deployment_id: UUID, due: list[FlowRun]) -> None:
        """Start the last of the runs that are due of one deployment; the others are covered by it."""
        *covered, last = sorted(due, key=lambda r: (r.next_scheduled_start_time or r.expected_start_time, r.created))
        for run in covered:
            said = "a later run does the work of this one, which was due while none could be started"
            await client.set_flow_run_state(run.id, Cancelled(message=said), force=True)
        self._runs[last.id] = deployment_id
        self._running[deployment_id] = asyncio.create_task(self._execute(client, deployment_id, last))

    async def _execute(self, client: PrefectClient, deployment_id: UUID, run: FlowRun) -> None:
        try:
            state = await propose_state(client, Pending(), flow_run_id=run.id)
            if state.is_pending():
                await self._run_flow(await client.read_flow_run(run.id), self._by_id[deployment_id])
        except Abort:
            _log.info("run %s was called off", run.id)
        except asyncio.CancelledError:
            await self._settle_cancelled(client, run.id)
        except Exception:  # noqa: BLE001 the engine raises whatever its client does when the server goes away
            _log.exception("run %s broke off", run.id)
            self._orphans_likely = True
        finally:
            del self._running[deployment_id], self._runs[run.id]
            self._wake.set()

    async def _run_flow(self, run: FlowRun, deployment: Deployment) -> None:
        result = run_flow(deployment.flow, flow_run=run, return_type="state")
        assert isinstance(result, Awaitable)  # noqa: S101 all our flows are async
        await result

    async def _settle_cancelled(self, client: PrefectClient, run_id: UUID) -> None:
        """A run cancelled on request is Cancelled; one cut off by `stop` is seen to there."""
        if run_id in self._cancelled:
            self._cancelled.discard(run_id)
            await client.set_flow_run_state(run_id, Cancelled(message="cancelled on request"), force=True)

    async def _recover(self, client: PrefectClient) -> None:
        """Run again what a process or a server that died left in the middle."""
        left = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                deployment_id=FlowRunFilterDeploymentId(any_=list(self._by_id)),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_LEFT_BEHIND)),
            ),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=_RUNS_MAX,
        )
        for run in left:
            if run.id in self._runs:
                continue
            if run.state and run.state.is_cancelling():
                await client.set_flow_run_state(run.id, Cancelled(message="cancelled on request"), force=True)
            else:
                await self._again(client, run.id, "the process that ran it is gone")

    async def _again(self, client: PrefectClient, run_id: UUID, why: str) -> None:
        """Put a run that was cut off back in line, by way of Crashed, so that its pages tell the story."""
        with suppress(ObjectNotFound):
            await client.set_flow_run_state(run_id, Crashed(message=why), force=True)
            await client.set_flow_run_state(run_id, AwaitingRetry(scheduled_time=datetime.now(UTC)), force=True)

    async def _watch(self) -> None:
        """Wake at once for a run that was scheduled or is to be cancelled; without the stream polling remains."""
        names = EventFilter(event=EventNameFilter(name=[_SCHEDULED, _CANCELLING]))
        while True:
            try:
                async with get_events_subscriber(filter=names, reconnect_on_clean_close=True) as events:
                    async for event in events:
                        self._heed(event.event, event.resource.id)
            except Exception as error:  # noqa: BLE001 the stream raises whatever its socket does; polling goes on
                _log.warning("the event stream was lost (%s); polling goes on", error)
                await asyncio.sleep(_POLL_SECONDS)

    def _heed(self, event: str, resource_id: str) -> None:
        if event == _CANCELLING:
            run_id = UUID(resource_id.rpartition(".")[2])
            if run_id in self._runs:
                self._cancelled.add(run_id)
                self._running[self._runs[run_id]].cancel()
            return
        for seconds in _WAKE_AFTER_SECONDS:
            asyncio.get_running_loop().call_later(seconds, self._wake.set)


def server_is_away(error: BaseException | None) -> bool:
    """Say whether an error means that the server cannot answer now, rather than that it was asked something wrong."""
    while error is not None:
        if isinstance(error, httpx.HTTPStatusError):
            return error.response.is_server_error
        if isinstance(error, httpx.TransportError | OSError):
            return True
        error = error.__cause__
    return False
