"""When a source is read: on its own schedule or its kind's, at once where that was missed, and never by surprise."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.exceptions import PrefectHTTPStatusError

from flows.attempts import attempts_left
from flows.deployments import PUSH, cadence, deployments, newsletter_cron, next_read, reads
from flows.runner import server_is_away
from flows.service import sources_due, work_left
from flows.sources import adapter_for
from storage.archive import Archive
from storage.errors import ConfigError, SourceError
from storage.fetchlog import FetchLog, SourceState
from storage.settings import Mail, Settings, Site, Source, Webhook

ARXIV = Source(name="arxiv-rss:cs.CL", kind="arxiv-rss", category="cs.CL")
DAILY = Source(name="hf-daily", kind="hf-daily")
LONDON = Source(
    name="journal", kind="feed", url="https://journal.test/", schedule="10 6,18 * * *", time_zone="Europe/London"
)


OURS = ("publish/publish", "sweep/sweep", "maintain/maintain")


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _settings(home: Path = Path("/nowhere"), *sources: Source, mail: Mail | None = None) -> Settings:
    return Settings(source=sources or (ARXIV, DAILY, LONDON), mail=mail, home=home)


def _specs(settings: Settings) -> dict[str, Any]:
    return {deployment.spec.full_name: deployment.spec for deployment in deployments(settings)}


def test_a_source_without_a_schedule_has_its_kinds_and_that_in_utc() -> None:
    assert cadence(ARXIV) == (adapter_for("arxiv-rss").default_schedule, "UTC")
    assert cadence(DAILY.model_copy(update={"time_zone": "Asia/Tokyo"})) == (
        adapter_for("hf-daily").default_schedule,
        "UTC",
    )
    assert cadence(LONDON) == ("10 6,18 * * *", "Europe/London")


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("2026-01-15T05:00", "2026-01-15T06:10"),  # winter: London is UTC
        ("2026-07-15T05:11", "2026-07-15T17:10"),  # summer: an hour ahead
        ("2026-03-28T19:00", "2026-03-29T05:10"),  # the night the clocks go forward
    ],
)
def test_the_next_read_is_reckoned_in_the_zone_of_the_source(now: str, then: str) -> None:
    assert asyncio.run(next_read(LONDON, now=_at(now))) == _at(then)


def test_every_source_has_a_deployment_with_its_schedule() -> None:
    specs = _specs(_settings())
    assert list(specs) == [*(f"ingest/{s.name}" for s in (ARXIV, DAILY, LONDON)), *OURS]
    (schedule,) = specs[reads("journal")].schedules
    assert (schedule.schedule.cron, schedule.schedule.timezone) == ("10 6,18 * * *", "Europe/London")
    assert specs[reads("journal")].parameters == {"source": "journal"}
    assert set(specs[reads("hf-daily")].tags) == {"paperwire", "hf-daily"}


def test_a_source_may_be_called_like_a_flow() -> None:
    odd = [LONDON.model_copy(update={"name": name}) for name in ("publish", "sweep", "newsletter")]
    specs = _specs(_settings(Path("/nowhere"), *odd))
    assert {"ingest/publish", "publish/publish", "ingest/sweep", "sweep/sweep"} <= set(specs)


def test_the_archive_is_tended_every_night_with_or_without_mail() -> None:
    (schedule,) = _specs(_settings())["maintain/maintain"].schedules
    assert (schedule.schedule.cron, schedule.schedule.timezone) == ("30 2 * * *", "UTC")


def test_the_newsletter_has_a_deployment_only_where_there_is_mail() -> None:
    assert "newsletter/newsletter" not in _specs(_settings())
    spec = _specs(_settings(mail=Mail(to=("reader@example.org",))))["newsletter/newsletter"]
    assert [s.schedule.cron for s in spec.schedules] == ["0 7 * * *"]
    assert newsletter_cron(Mail(send_after=time(5, 30))) == "30 5 * * *"


def test_pushes_have_a_deployment_only_where_somebody_is_told() -> None:
    assert PUSH not in _specs(_settings())
    hub = Site(hub="https://hub.test/")
    webhook = Webhook(name="lab", shape="json", url="https://lab.test/")
    for change in ({"site": hub}, {"webhook": (webhook,)}):
        (trigger,) = _specs(_settings().model_copy(update=change))[PUSH].triggers
        assert trigger.expect == {"feeds.published"}


@pytest.mark.parametrize(
    ("change", "named"),
    [({"schedule": "every hour"}, "every hour"), ({"time_zone": "Mars/Olympus"}, "Mars/Olympus")],
)
def test_a_schedule_that_cannot_be_is_a_config_error_that_names_the_source(change: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match="source 'journal'") as caught:
        deployments(_settings(Path("/nowhere"), LONDON.model_copy(update=change)))
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("checked_at", "due"),
    [
        (None, True),  # never read
        ("2026-07-15T05:09", True),  # before the time it should have been read at, 05:10
        ("2026-07-15T05:11", False),  # on time
        ("2026-07-01T05:11", True),  # two weeks asleep
    ],
)
def test_a_source_is_read_at_the_start_where_it_should_have_been_before(
    tmp_path: Path, checked_at: str | None, due: bool
) -> None:
    settings = _settings(tmp_path, LONDON)
    if checked_at:
        _checked(settings, "journal", _at(checked_at))
    assert asyncio.run(sources_due(settings, now=_at("2026-07-15T12:00"))) == (("journal",) if due else ())


def test_an_empty_archive_leaves_no_work(tmp_path: Path) -> None:
    assert not work_left(_settings(tmp_path))


def test_attempts_end_after_as_many_as_were_granted_and_never_begin_where_the_configuration_is_wrong() -> None:
    condition: Any = attempts_left(2)
    assert [condition(None, _run(count), _failed(SourceError("s", "r"))) for count in (1, 2, 3)] == [True, True, False]
    assert not condition(None, _run(1), _failed(ConfigError("unknown key")))


def test_a_server_that_is_away_is_told_from_a_wrong_question() -> None:
    request = httpx.Request("POST", "http://127.0.0.1/api/")
    busy, wrong = (httpx.Response(status, request=request) for status in (503, 422))
    assert server_is_away(httpx.ConnectError("refused"))
    assert server_is_away(ConnectionRefusedError())
    assert server_is_away(PrefectHTTPStatusError("busy", request=request, response=busy))
    assert not server_is_away(PrefectHTTPStatusError("wrong", request=request, response=wrong))
    assert not server_is_away(ValueError("ours"))
    wrapped = RuntimeError("Error while applying deployment")
    wrapped.__cause__ = httpx.ReadTimeout("slow")
    assert server_is_away(wrapped)


def _checked(settings: Settings, source: str, at: datetime) -> None:
    state = SourceState(
        source=source, checked_at=at, succeeded_at=at, batch_on=None, error=None, failing_since=None, notes=()
    )
    with Archive(settings.home) as archive:
        FetchLog(archive.index).record(state, ())


def _run(count: int) -> Any:
    from prefect.client.schemas.objects import TaskRun

    return TaskRun(task_key="read", dynamic_key="0", run_count=count)


def _failed(error: Exception) -> Any:
    from prefect.states import Failed

    return Failed(data=error)
