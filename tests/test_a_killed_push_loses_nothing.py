"""kill -9 at any step of a push: nothing is lost, and what may come twice comes as the same message."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from flows.posting import Poster
from publishers.push import Answer as Reply
from publishers.push import Wire, push_all
from publishers.push_shapes import Request
from storage.pushes import Pushes
from storage.settings import Settings, Site
from tests.builders import NOW
from tests.dying import KILLED, do_and_die
from tests.fake_catalog import FakeCatalog
from tests.pushing import Receiver, a_webhook, announce, ids, push, the_settings
from tests.servers import Answer, Ask, Server

LATER = NOW + timedelta(minutes=5)


def the_catalog() -> FakeCatalog:
    """One commit before the webhooks began, two after."""
    catalog = FakeCatalog()
    announce(catalog, [1], "words")
    announce(catalog, [2, 3], "words")
    announce(catalog, [4], "graphs")
    return catalog


def begun(home: Path, *webhooks: str, port: int) -> Settings:
    """Webhooks that began after the first commit."""
    hooks = [
        a_webhook(_At(port), f"/{name}", name=name, papers_max=2)  # type: ignore[arg-type]
        for name in webhooks
    ]
    settings = the_settings(home, *hooks)
    with Pushes(home) as pushes:
        for name in webhooks:
            pushes.begin(name, seq=1, now=NOW)
    return settings


class _At:
    """Where a server of another process is."""

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


# -- the process is killed while a message is under way -----------------------------------------------------------


def the_child(home: Path, port: int, point: str, number: int) -> None:
    """What runs in the process that dies: it kills itself before or after the n-th POST."""
    settings, count = begun(home, "one", "two", port=port), 0

    with Poster(user_agent="Paperwire/test", now=NOW) as poster, Pushes(home) as pushes, pushes.pushing():

        def post(request: Request, *, allow_private_addresses: bool) -> Reply:
            nonlocal count
            count += 1
            if (point, number) == ("reserved", count):
                os.kill(os.getpid(), signal.SIGKILL)
            answer = poster(request, allow_private_addresses=allow_private_addresses)
            if (point, number) == ("answered", count):
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        catalog = the_catalog()
        wire = Wire(settings=settings, topics=(), published_seq=catalog.latest_seq(), post=post, environ={}, now=NOW)
        push_all(catalog, pushes, wire)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(("point", "copies"), [("reserved", 0), ("kept", 1), ("answered", 1)])
def test_a_push_killed_around_a_post_loses_nothing(tmp_path: Path, point: str, number: int, copies: int) -> None:
    """Two webhooks, a message each; only the one in doubt may come twice, and then as the same message."""
    receiver = Receiver()
    with Server({"*": receiver}) as server:
        arguments = [str(tmp_path), str(server.port), point, str(number)]
        child = subprocess.Popen([sys.executable, "-m", "tests.test_a_killed_push_loses_nothing", *arguments])

        def kill(ask: Ask) -> Answer:
            answer = receiver(ask)
            if len(receiver.asked) == number and child.poll() is None:
                child.send_signal(signal.SIGKILL)
                child.wait(30)
            return answer

        server.routes["*"] = kill if point == "kept" else receiver
        assert child.wait(60) == -signal.SIGKILL
        server.routes["*"] = receiver
        settings = begun(tmp_path, "one", "two", port=server.port)
        report = push(settings, the_catalog(), now=LATER)
        assert report.well
        assert push(settings, the_catalog(), now=LATER).silent
    _came_once(receiver, copies=copies)


# -- the process is killed at any change of the disk ---------------------------------------------------------------


def died(work: Callable[[], object], point: int) -> bool:
    """Do `work` in a fork that ends at its point-th change of the disk; False where the work was over before."""
    pid = os.fork()
    if pid == 0:
        do_and_die(work, point)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED)
    return code == KILLED


def test_a_push_killed_at_any_change_of_the_disk_loses_nothing(tmp_path: Path) -> None:
    point, doubled = 0, 0
    while True:
        point += 1
        home, receiver = tmp_path / str(point), Receiver()
        with Server({"*": receiver}) as server:
            settings = begun(home, "one", "two", port=server.port)
            killed = died(lambda settings=settings: push(settings, the_catalog()), point)  # type: ignore[misc]
            assert push(settings, the_catalog(), now=LATER).well
        _came_once(receiver, copies=None)
        doubled += len(receiver.asked) - 2
        if not killed:
            break
    assert point > 10, "there was nothing to be killed at"
    assert doubled > 0, "no kill came between an answer and its confirmation"


def test_a_first_push_killed_at_any_change_of_the_disk_begins_once(tmp_path: Path) -> None:
    point, killed = 0, True
    while killed:
        point += 1
        receiver, catalog = Receiver(), FakeCatalog()
        announce(catalog, [1])
        with Server({"*": receiver}) as server:
            settings = the_settings(tmp_path / str(point), a_webhook(server))
            killed = died(lambda s=settings, c=catalog: push(s, c), point)  # type: ignore[misc]
            push(settings, catalog, now=LATER)
            announce(catalog, [2])
            push(settings, catalog, now=LATER)
        assert receiver.told == [ids(2)], point
    assert point > 10


def test_pings_killed_at_any_change_of_the_disk_reach_the_hub(tmp_path: Path) -> None:
    point, killed = 0, True
    while killed:
        point += 1
        home, asked = tmp_path / str(point), list[Ask]()

        def hub(ask: Ask, asked: list[Ask] = asked) -> Answer:
            asked.append(ask)
            return Answer(status=202)

        with Server({"*": hub}) as server:
            site = Site(base_url="https://wire.example.org", hub=server.url("/"), allow_private_addresses=True)
            settings = the_settings(home, site=site)
            _feeds(home, "first")
            push(settings, FakeCatalog())
            _feeds(home, "a second state")
            killed = died(lambda s=settings: push(s, FakeCatalog()), point)  # type: ignore[misc]
            report = push(settings, FakeCatalog(), now=LATER)
            assert not report.pings.waiting
        bodies = Counter(ask.body for ask in asked)
        assert len(bodies) == 3, "each of the feeds"
        assert sum(bodies.values()) <= 4
    assert point > 6


def _feeds(home: Path, content: str) -> None:
    for name in ("all.atom", "all.rss", "category/cs.CL.json"):
        path = home / "site" / "feeds" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def _came_once(receiver: Receiver, *, copies: int | None) -> None:
    """Each webhook has each of its papers in one message; a second copy is a copy."""
    told = {
        (ask.path, name): paper for ask, name, paper in zip(receiver.asked, receiver.ids, receiver.told, strict=True)
    }
    assert sorted(path for path, _ in told) == ["/one", "/two"]
    assert list(told.values()) == [ids(2, 3)] * 2
    assert all(document["more"] == 1 for document in receiver.documents)
    assert len({ask.body for ask in receiver.asked}) == 2
    if copies is not None:
        assert len(receiver.asked) == 2 + copies


if __name__ == "__main__":
    the_child(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
