"""How often a task is tried again, and after how long. The fetcher has its own, quicker attempts below these."""

from __future__ import annotations

from collections.abc import Callable

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun

from storage.errors import ConfigError

READ_DELAYS_SECONDS = (15.0, 60.0)
PUBLISH_DELAYS_SECONDS = (5.0, 30.0)
SEND_DELAYS_SECONDS = (120.0, 600.0)  # a mail server that greylists wants minutes

Condition = Callable[[Task[..., object], TaskRun, State[object]], bool]


def attempts_left(retries: int) -> Condition:
    """Return a condition that grants `retries` further attempts, but none where the configuration is to blame.

    Prefect logs a traceback where a task has used all its `retries`, and nothing where a condition said no.
    """

    def condition(_: Task[..., object], run: TaskRun, failed: State[object]) -> bool:
        return run.run_count <= retries and not isinstance(failed.data, ConfigError)

    return condition
