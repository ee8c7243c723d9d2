"""Questions answered beside the event loop: few at once, within a time, the answers remembered.

A slow question holds up other questions at most, never a static file; a question that is asked again while nothing was
published costs a look into memory; of a question that many ask at once the answer is made once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future

from publishers.answers import Body
from storage.errors import PaperwireError

RUNNING_MAX = 2  # questions that are worked on at once
WAITING_MAX = 16  # and those behind them
SECONDS_MAX = 10.0  # until whoever asks is told to come again
REMEMBERED_MAX = 512
REMEMBERED_BYTES_MAX = 32_000_000
_log = logging.getLogger("paperwire.live")

_Job = tuple[Hashable, Callable[[], Body], float]


class Busy(PaperwireError):
    """Too many questions at once, or this one takes too long."""


class Failed(PaperwireError):
    """Something that nobody foresaw, logged with its traceback."""


class Desk:
    """Answers questions in threads of its own, which are there only while there is something to do."""

    def __init__(
        self,
        *,
        running_max: int = RUNNING_MAX,
        waiting_max: int = WAITING_MAX,
        seconds_max: float = SECONDS_MAX,
        bytes_max: int = REMEMBERED_BYTES_MAX,
    ) -> None:
        self._running_max, self._waiting_max, self._seconds_max = running_max, waiting_max, seconds_max
        self._guard = threading.Lock()
        self._jobs: deque[_Job] = deque()
        self._asked: dict[Hashable, Future[Body]] = {}
        self._running = 0
        self._answers = _Answers(bytes_max)

    async def ask(self, key: Hashable, work: Callable[[], Body]) -> Body:
        """Return what `work` makes, or made before under the same key. Raises Busy, Failed, and what `work` raises."""
        future = self._begun(key, work)
        try:
            async with asyncio.timeout(self._seconds_max):
                return await asyncio.shield(asyncio.wrap_future(future))
        except TimeoutError:
            raise Busy("this question takes too long") from None

    def _begun(self, key: Hashable, work: Callable[[], Body]) -> Future[Body]:
        with self._guard:
            if known := self._answers.get(key):
                done: Future[Body] = Future()
                done.set_result(known)
                return done
            if key in self._asked:
                return self._asked[key]
            if len(self._asked) >= self._running_max + self._waiting_max:
                raise Busy("too many questions at once")
            future = self._asked[key] = Future()
            self._jobs.append((key, work, time.monotonic() + self._seconds_max))
            if self._running < self._running_max:
                self._running += 1
                # A daemon: a question nobody waits for any more must not hold up the end of the process.
                threading.Thread(target=self._work, name="question", daemon=True).start()
            return future

    def _work(self) -> None:
        """Do what there is to do, then end."""
        while True:
            with self._guard:
                if not self._jobs:
                    self._running -= 1
                    return
                key, work, deadline = self._jobs.popleft()
            self._settle(key, work, deadline)

    def _settle(self, key: Hashable, work: Callable[[], Body], deadline: float) -> None:
        answer: Body | PaperwireError
        try:
            if time.monotonic() > deadline:
                raise Busy("too many questions at once")  # whoever asked has gone
            answer = work()
        except PaperwireError as error:
            answer = error
        except Exception as error:  # noqa: BLE001 - the thread goes on, and who asked is told
            _log.error("a question failed", exc_info=error)
            answer = Failed(str(error))
        with self._guard:
            future = self._asked.pop(key)
            if isinstance(answer, Body):
                self._answers.put(key, answer)
        if isinstance(answer, Body):
            future.set_result(answer)
        else:
            future.set_exception(answer)


class _Answers:
    """The answers asked for last, so many bytes at most."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max, self._bytes = bytes_max, 0
        self._known: OrderedDict[Hashable, Body] = OrderedDict()

    def get(self, key: Hashable) -> Body | None:
        known = self._known.get(key)
        if known:
            self._known.move_to_end(key)
        return known

    def put(self, key: Hashable, answer: Body) -> None:
        """Remember an answer, and forget those that were not asked for longest."""
        self._known[key] = answer
        self._bytes += answer.size_bytes
        while self._bytes > self._bytes_max or len(self._known) > REMEMBERED_MAX:
            _, gone = self._known.popitem(last=False)
            self._bytes -= gone.size_bytes
