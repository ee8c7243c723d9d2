"""What `up` does once Prefect may be imported: tell it the deployments, catch up, run what is due, sweep the outbox."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path

from prefect.events.worker import EventsWorker
from prefect.logging.configuration import setup_logging
from prefect.logging.handlers import APILogWorker

from flows.board import Board
from flows.deployments import PUBLISH, PUSH, SWEEP, deployments, next_read, reads
from flows.hosting import Host, Report, be_host
from flows.pipeline import PUBLISHED_COVERAGE, SourceReport, open_tools, push_waits
from flows.prefect_server import PrefectServer
from flows.runner import Runner, server_is_away
from storage.archive import Archive
from storage.coverage import CoverageLog
from storage.errors import PaperwireError
from storage.fetchlog import FetchLog
from storage.settings import Settings

_THREADS_MAX = 8  # reads, publishes and mailings at work at once
_LOOK_SECONDS = 0.1
_SWEEP_SECONDS = 60.0
_RETRY_SECONDS = 1.0
_GRACE_SECONDS = 1.5  # taken three times at most; see Runner.stop
_DRAIN_SECONDS = 0.5
_LOG_BYTES_MAX = 5_000_000

_log = logging.getLogger("paperwire.service")


def serve(settings: Settings, server: PrefectServer, stop: threading.Event, board: Board) -> None:
    """Run until `stop` is set. Raises ConfigError for a schedule that cannot be, PaperwireError where the flows end."""
    log = settings.home / "prefect" / "runner.log"
    _log_to(log)
    loop = asyncio.new_event_loop()
    # Not asyncio.run: it would wait without limit for a read that hangs in a thread.
    try:
        loop.set_default_executor(ThreadPoolExecutor(_THREADS_MAX, thread_name_prefix="flow"))
        loop.run_until_complete(_serve(settings, server, stop, board))
    except PaperwireError:
        raise
    except Exception as error:
        _log.exception("the flows ended")
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PaperwireError(f"the flows ended: {reason} (see {log})") from error
    finally:
        for worker in (EventsWorker, APILogWorker):
            worker.drain_all(timeout=_DRAIN_SECONDS)
        loop.close()


async def _serve(settings: Settings, server: PrefectServer, stop: threading.Event, board: Board) -> None:
    runner = Runner(deployments(settings))
    with open_tools(settings) as tools:
        be_host(Host(tools, partial(_tell, settings, board)))
        work = asyncio.create_task(_work(settings, server, runner, board))
        keeper = asyncio.create_task(server.keep(board.warn))
        try:
            while not stop.is_set() and not work.done() and not keeper.done():
                await asyncio.sleep(_LOOK_SECONDS)
            for task in (work, keeper):
                if task.done():
                    task.result()
        finally:
            keeper.cancel()
            work.cancel()
            await asyncio.wait([work, keeper])
            await runner.stop(grace_seconds=_GRACE_SECONDS)


async def _tell(settings: Settings, board: Board, report: Report) -> None:
    """Show a report; with a failed read goes when its source is read next."""
    failed = report.source if isinstance(report, SourceReport) and not report.ok else None
    source = next((s for s in settings.source if s.name == failed), None)
    board.tell(report, await next_read(source, now=datetime.now(UTC)) if source else None)


async def _work(settings: Settings, server: PrefectServer, runner: Runner, board: Board) -> None:
    await server.answers()
    await _persist(runner.register)
    now = datetime.now(UTC)
    due = await sources_due(settings, now=now)
    # What a sweep finds is what an earlier process had committed and not published; also a change of the settings.
    for name in (*map(reads, due), SWEEP):
        await _persist(partial(runner.ask_for, name))
    board.ready(server.url, {source.name: await next_read(source, now=now) for source in settings.source}, due)
    await asyncio.gather(runner.run(), _sweep(settings, runner))


async def _persist(step: Callable[[], Awaitable[None]]) -> None:
    """Take a step that needs the server, again and again while that is away."""
    while True:
        try:
            return await step()
        except Exception as error:
            if not server_is_away(error):
                raise
            _log.warning("the server did not answer (%s); trying again", error)
            await asyncio.sleep(_RETRY_SECONDS)


async def _sweep(settings: Settings, runner: Runner) -> None:
    """Ask for a sweep, or a push, where something is left lying and no run is at work on it."""
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        try:
            at_work = runner.runs(PUBLISH) or runner.runs(SWEEP)
            if not at_work and await asyncio.to_thread(work_left, settings):
                await _persist(partial(runner.ask_for, SWEEP))
            elif not runner.runs(PUSH) and await asyncio.to_thread(push_waits, settings, now=datetime.now(UTC)):
                await _persist(partial(runner.ask_for, PUSH))
        except PaperwireError as error:
            _log.warning("no sweep this time: %s", error)


def work_left(settings: Settings) -> bool:
    """Whether an event waits in the outbox, or a commit or a judgement of the coverage to be published."""
    with Archive(settings.home, limits=settings.limits) as archive:
        index = archive.index
        judged = str(CoverageLog(index).version())
        committed = index.latest_seq() > int(index.get_meta("published_seq", "0"))
        return bool(index.pending_events()) or committed or index.get_meta(PUBLISHED_COVERAGE, "0") != judged


async def sources_due(settings: Settings, *, now: datetime) -> tuple[str, ...]:
    """The sources that were never read, or not since a moment at which they should have been."""
    with Archive(settings.home, limits=settings.limits) as archive:
        states = {state.source: state for state in FetchLog(archive.index).states()}
    due = []
    for source in settings.source:
        state = states.get(source.name)
        if state is None or await next_read(source, now=state.checked_at) <= now:
            due.append(source.name)
    return tuple(due)


def _log_to(path: Path) -> None:
    """Send what Prefect logs to a file: the console is for our own lines."""
    setup_logging()
    handler = RotatingFileHandler(path, maxBytes=_LOG_BYTES_MAX, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for name in ("", "uvicorn", "fastapi", "prefect._internal"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
    logging.getLogger("paperwire").setLevel(logging.INFO)
