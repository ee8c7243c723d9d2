"""Every entrypoint Prefect is told of loads, deploys, and runs; what only looks loaded is found out.

Prefect turns a module that cannot be imported into a placeholder flow and says nothing. A path entrypoint puts flows/
first on sys.path and loads its file a second time. Both are kept in check here, on a real server.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from flows.pipeline import ingest_source, pending_events, publish
from flows.prefect_server import PrefectServer, prefect_environment
from storage.settings import Settings, load_settings
from tests.wire_tools import ROOT, Gate, PrefectApi, environment, free_port, wait_for

FLOWS = ("ingest.ingest", "publish.publish", "publish.sweep", "newsletter.newsletter", "maintain.maintain", "push.push")
_PATHS = [f"flows/{name.replace('.', '.py:')}" for name in FLOWS]
_MODULES = [f"flows.{name}" for name in FLOWS]
_LOAD = """
import json, sys
from prefect.flows import load_flow_from_entrypoint
said = {}
for entrypoint in sys.argv[1:]:
    flow = load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
    said[entrypoint] = [flow.name, flow.isasync, sorted(flow.parameters.properties)]
print(json.dumps(said))
"""


def _python(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment(**more), capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process of its own makes of every entrypoint, those by path first."""
    home = tmp_path_factory.mktemp("load")
    done = _python("-c", _LOAD, *_PATHS, *_MODULES, PREFECT_HOME=str(home), DO_NOT_TRACK="1")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("entrypoint", [*_PATHS, *_MODULES])
def test_an_entrypoint_loads_without_a_placeholder(loaded: dict[str, Any], entrypoint: str) -> None:
    name, is_async, parameters = loaded[entrypoint]
    assert name == entrypoint.replace(":", ".").rpartition(".")[2]
    assert is_async, "the runner shares its event loop with the flows"
    assert parameters == {"ingest": ["source"], "publish": ["seq"]}.get(name, [])


def test_no_file_in_flows_bears_the_name_of_another_module() -> None:
    taken = set(sys.stdlib_module_names) | set(importlib.metadata.packages_distributions()) - {"flows"}
    ours = {path.stem for path in (ROOT / "flows").glob("*.py")} - {"__init__"}
    assert ours & taken == set()


@pytest.mark.parametrize("name", ["ingest", "publish", "newsletter", "maintain", "push"])
def test_a_flow_file_holds_only_flows_and_tasks(name: str) -> None:
    tree = ast.parse((ROOT / "flows" / f"{name}.py").read_text())
    other = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom | ast.Expr)]
    for node in other:
        assert isinstance(node, ast.AsyncFunctionDef), ast.unparse(node)[:80]
        (decorator,) = node.decorator_list
        assert isinstance(decorator, ast.Call)
        assert ast.unparse(decorator.func) in ("flow", "task")
    assert other


def test_the_command_line_and_the_supervisor_start_without_prefect() -> None:
    check = "import sys, flows.cli, flows.supervisor, flows.pipeline; sys.exit('prefect' in sys.modules)"
    assert _python("-c", check).returncode == 0


def test_prefect_yaml_says_what_the_settings_say() -> None:
    from flows.deployments import deployments, newsletter_cron
    from storage.settings import Mail, Webhook

    settings = load_settings(ROOT / "deploy" / "paperwire.toml", home=Path("/nowhere"))
    declared = {d["name"]: d for d in _prefect_yaml()["deployments"]}
    assert declared.pop("newsletter")["schedules"][0]["cron"] == newsletter_cron(Mail())
    assert declared["sweep"].pop("schedules")
    assert declared["push"].pop("schedules")
    webhook = Webhook(name="lab", shape="json", url="https://lab.test/")
    settings = settings.model_copy(update={"webhook": (webhook,)})
    for deployment in deployments(settings):
        spec: Any = deployment.spec
        said = declared.pop(spec.name)
        assert said["entrypoint"] == spec.entrypoint
        assert said["entrypoint"] in _MODULES
        assert (said["tags"], said["description"]) == (spec.tags, spec.description)
        assert said.get("parameters", {}) == spec.parameters
        schedules = [(s.schedule.cron, s.schedule.timezone, s.slug) for s in spec.schedules or []]
        assert [(s["cron"], s["timezone"], s["slug"]) for s in said.get("schedules", [])] == schedules
        triggers = [(t.name, t.expect, t.match.model_dump(), t.parameters) for t in spec.triggers]
        assert [
            (t["name"], set(t["expect"]), t["match"], t.get("parameters")) for t in said.get("triggers", [])
        ] == triggers
    assert declared == {}


def test_reads_in_work_pools_run_one_at_a_time() -> None:
    for said in _prefect_yaml()["deployments"]:
        if said["name"] != "publish":
            assert said["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}


@dataclass(frozen=True)
class Desk:
    """A Prefect server, a configuration, and a journal that answers."""

    server: PrefectServer
    settings: Settings
    journal: Gate

    @property
    def api(self) -> PrefectApi:
        return PrefectApi(self.server.port)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The server that `up` starts, and this process as its client."""
    folder, port = tmp_path_factory.mktemp("desk"), free_port()
    ours = {**prefect_environment(folder / "home", port), "PREFECT_LOGGING_TO_API_ENABLED": "false"}
    with pytest.MonkeyPatch.context() as patch, Gate() as journal:
        journal.titles = ["A first paper", "A second paper"]
        path = folder / "paperwire.toml"
        path.write_text(
            f'[[source]]\nname = "journal"\nkind = "feed"\nurl = "{journal.url}"\nallow_private_addresses = true\n'
            f'[[source]]\nname = "dead"\nkind = "feed"\nurl = "http://127.0.0.1:{free_port()}/"\n'
            'allow_private_addresses = true\n[[topic]]\nslug = "papers"\ntitle = "Papers"\nquery = "paper"\n'
            '[mail]\nto = ["reader@example.org"]\nfrom = "wire@example.org"\n'
        )
        for name, value in {**ours, "PAPERWIRE_CONFIG": str(path), "PAPERWIRE_HOME": str(folder / "home")}.items():
            patch.setenv(name, value)
        with PrefectServer(folder / "home", port) as server:
            wait_for("the server", PrefectApi(port).healthy)
            yield Desk(server, load_settings(path), journal)
            _drain_events()


@pytest.fixture
def client(desk: Desk) -> Iterator[None]:
    """Prefect's settings as the environment has them now: another test may have imported it long ago."""
    from prefect.context import SettingsContext, get_settings_context
    from prefect.settings import Settings as PrefectSettings

    with SettingsContext(profile=get_settings_context().profile, settings=PrefectSettings()):
        yield


def _state(flow: Any, **parameters: Any) -> Any:
    """Run a flow in this process and return the state it ends in."""

    async def run() -> Any:
        return await flow(**parameters, return_state=True)

    return asyncio.run(run())


@pytest.mark.slow
def test_prefect_yaml_deploys_on_a_real_server(desk: Desk) -> None:
    deploy = ("-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", "deploy/prefect.yaml")
    desk.api.post("work_pools/", {"name": "paperwire", "type": "process"})
    done = _python(*deploy, **_client(desk))
    assert done.returncode == 0, done.stdout + done.stderr
    known = desk.api.deployments()
    assert set(known) == {d["name"] for d in _prefect_yaml()["deployments"]}
    assert {d["entrypoint"] for d in known.values()} == set(_MODULES)
    assert known["arxiv-rss:cs.CL"]["parameters"] == {"source": "arxiv-rss:cs.CL"}
    automations = desk.api.post("automations/filter", {"limit": 200})
    asked = {tuple(a["trigger"]["expect"]): a["actions"][0]["deployment_id"] for a in automations}
    assert asked == {("papers.ingested",): known["publish"]["id"], ("feeds.published",): known["push"]["id"]}


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_a_read_is_a_completed_run_with_an_artifact_and_an_empty_outbox(desk: Desk) -> None:
    from flows.ingest import ingest

    state = _state(ingest, source="journal")
    assert (state.type.value, state.message) == ("COMPLETED", "2 new of 2 entries")
    assert pending_events(desk.settings) == ()
    artifact = desk.api.artifacts()["ingest-journal"]
    assert "| new | 2 |" in artifact
    assert f"[The site]({desk.settings.site.base_url})" in artifact


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_a_failed_source_is_a_failed_run_with_one_line(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from flows import ingest

    monkeypatch.setattr(ingest, "read", ingest.read.with_options(retry_condition_fn=lambda *_: False))
    state = _state(ingest.ingest, source="dead")
    assert state.type.value == "FAILED"
    assert state.message == "dead: could not connect to 127.0.0.1: Connection refused"
    assert "**It failed:**" in desk.api.artifacts()["ingest-dead"]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_an_unknown_source_fails_at_once_and_says_which_there_are(desk: Desk) -> None:
    from flows.ingest import ingest

    state = _state(ingest, source="nobody")
    assert (state.type.value, state.message) == ("FAILED", "nobody: no such source; known: journal, dead")


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_publish_writes_the_feeds_once_and_says_so(desk: Desk) -> None:
    from flows.publish import publish

    first, second = _state(publish, seq=1), _state(publish, seq="1")
    assert first.message.endswith("files written for 2 papers, up to segment 1")
    assert second.message == "nothing to do: the site is up to date with segment 1"
    assert "A first paper" in (desk.settings.home / "site" / "feeds" / "papers.atom").read_text()
    assert "topics/papers.html" in desk.api.artifacts()["publish"]


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_a_sweep_publishes_and_emits_what_was_left_lying(desk: Desk) -> None:
    from flows.publish import sweep
    from flows.service import work_left

    desk.journal.titles = [*desk.journal.titles, "A third paper nobody announced"]
    assert ingest_source(desk.settings, "journal", now=datetime.now(UTC)).new == 1
    (event,) = pending_events(desk.settings)
    assert work_left(desk.settings)
    state = _state(sweep)
    assert not work_left(desk.settings)
    assert state.message.endswith("; 1 events emitted")
    assert "nobody announced" in (desk.settings.home / "site" / "feeds" / "papers.atom").read_text()
    assert pending_events(desk.settings) == ()
    wait_for("the event on the server", lambda: event.payload in _emitted(desk))


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_the_newsletter_tells_of_editions_and_of_no_address(desk: Desk) -> None:
    from flows.newsletter import newsletter

    publish(desk.settings, now=datetime.now(UTC))
    state = _state(newsletter)
    assert (state.type.value, state.message) == ("COMPLETED", "1 editions, 1 mails sent, 0 refused")
    assert len(list((desk.settings.home / "outbox").glob("*.eml"))) == 1
    editions = {key: text for key, text in desk.api.artifacts().items() if key.startswith("edition-")}
    assert editions
    assert not any("@" in text for text in editions.values())
    assert _state(newsletter).message == "0 editions, 0 mails sent, 0 refused"


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_a_push_tells_whom_it_told_and_waits_for_who_is_out(desk: Desk) -> None:
    from flows.pipeline import push_waits
    from flows.push import push
    from storage.settings import config_path

    ingest_source(desk.settings, "journal", now=datetime.now(UTC))
    publish(desk.settings, now=datetime.now(UTC))
    plain = config_path().read_text()
    hook = f'[[webhook]]\nname = "lab"\nshape = "json"\nurl = "http://127.0.0.1:{free_port()}/"\n'
    config_path().write_text(f"{plain}{hook}allow_private_addresses = true\n")
    try:
        settings = load_settings(config_path())
        assert push_waits(settings, now=datetime.now(UTC))
        assert _state(push).message == "1 new webhooks begin now"
        assert not push_waits(settings, now=datetime.now(UTC))
        desk.journal.titles = [*desk.journal.titles, "A paper that is pushed"]
        assert ingest_source(settings, "journal", now=datetime.now(UTC)).new == 1
        publish(settings, now=datetime.now(UTC))
        assert push_waits(settings, now=datetime.now(UTC))
        state = _state(push)
        assert (state.type.value, state.message) == ("FAILED", "1 waiting")
        assert "could not connect to 127.0.0.1" in desk.api.artifacts()["push"]
        assert not push_waits(settings, now=datetime.now(UTC)), "not before its time"
        assert push_waits(settings, now=datetime.now(UTC) + timedelta(minutes=2))
    finally:
        config_path().write_text(plain)


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_a_night_finds_all_as_committed_and_fails_where_it_is_not(desk: Desk) -> None:
    from flows.maintain import maintain

    state = _state(maintain)
    assert state.type.value == "COMPLETED"
    assert re.fullmatch(r"all \d papers are as committed", state.message)
    assert "| files deleted | 0 |" in desk.api.artifacts()["maintain"]
    segment = desk.settings.home / "archive" / "log" / "000000000001.parquet"
    good = segment.read_bytes()
    try:
        segment.write_bytes(bytes([*good[:200], good[200] ^ 1, *good[201:]]))
        state = _state(maintain)
    finally:
        segment.write_bytes(good)
    assert state.type.value == "FAILED"
    assert state.message.startswith("the archive is damaged: log/000000000001.parquet is damaged")
    assert "log/000000000001.parquet" in desk.api.artifacts()["maintain"]


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_every_key_of_the_trigger_is_in_the_payload(desk: Desk) -> None:
    from flows.deployments import deployments

    payloads = _emitted(desk)
    specs: list[Any] = [deployment.spec for deployment in deployments(desk.settings)]
    (trigger,) = next(spec.triggers for spec in specs if spec.triggers)
    asked = [str(value).removeprefix("{{ event.payload.").removesuffix(" }}") for value in trigger.parameters.values()]
    assert asked
    assert payloads
    for payload in payloads:
        assert all(isinstance(payload[key], int) for key in asked)


@pytest.mark.slow
@pytest.mark.usefixtures("client")
def test_without_a_server_events_stay_in_the_outbox(desk: Desk) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.outbox import drain
    from storage.errors import PaperwireError

    desk.journal.titles = [*desk.journal.titles, "A fourth paper while Prefect is away"]
    assert ingest_source(desk.settings, "journal", now=datetime.now(UTC)).new == 1
    waiting = len(pending_events(desk.settings))  # with what the test of pushes read
    away = {PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}
    with (
        temporary_settings(away),
        pytest.raises(PaperwireError, match=f"{waiting} events wait in the outbox: Prefect did not"),
    ):
        asyncio.run(drain(desk.settings, now=datetime.now(UTC)))
    assert len(pending_events(desk.settings)) == waiting


def _drain_events() -> None:
    """At exit Prefect waits without limit for a server that is gone by then."""
    from prefect.events.worker import EventsWorker

    EventsWorker.drain_all(timeout=10)


def _prefect_yaml() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "deploy" / "prefect.yaml").read_text()))


def _client(desk: Desk) -> dict[str, str]:
    return {**prefect_environment(desk.settings.home, desk.server.port), "PREFECT_LOGGING_LEVEL": "WARNING"}


def _emitted(desk: Desk) -> list[dict[str, Any]]:
    """The payloads of the events the server has of our kind."""
    asked = {"filter": {"event": {"name": ["papers.ingested"]}}, "limit": 50}
    return [event["payload"] for event in desk.api.post("events/filter", asked)["events"]]
