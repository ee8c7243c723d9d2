"""A feed that changes reaches a subscriber through a hub, both of them a third party's (Flask-WebSub), within the pass.

What a hub may do besides (be out, refuse, take many at once) is tried on one written here.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from urllib.request import urlopen

import flask
import pytest
from celery import Celery
from flask_websub.hub import Hub, SQLite3HubStorage
from flask_websub.subscriber import (
    SQLite3SubscriberStorage,
    SQLite3TempSubscriberStorage,
    Subscriber,
    discover,
)
from werkzeug.serving import make_server

from flows.pipeline import PassReport, run_pass
from publishers.channels import EVERYTHING
from publishers.feed_model import Feed, FeedSite
from publishers.feeds import atom, json_feed, papers_feed, rss
from publishers.web import web_app
from publishers.websub import link_header
from storage.settings import Settings, Site, load_settings
from tests.builders import NOW, a_paper, tagged
from tests.fake_catalog import FakeCatalog
from tests.newsroom import Newsroom, good_routes, journal_feed
from tests.pushing import push, the_settings
from tests.servers import Answer, Ask, Server
from tests.site_server import serving
from tests.test_feeds_are_valid import faults, json_schema

HUB = "https://hub.test/?key=1&b=2"
FIRST = datetime(2026, 6, 9, 6, 0, tzinfo=UTC)


# -- how feeds name their hub -------------------------------------------------------------------------------------


def a_feed(hub: str) -> Feed:
    site = FeedSite(title="Wire", base_url="https://wire.test/", authority="wire.test", hub=hub)
    return papers_feed(site, EVERYTHING, [tagged(a_paper())])


def test_every_format_names_the_hub_and_itself() -> None:
    feed = a_feed(HUB)
    assert b'rel="hub"' in atom(feed)
    assert b'href="https://hub.test/?key=1&amp;b=2"' in atom(feed)
    assert b'<atom:link rel="hub" href="https://hub.test/?key=1&amp;b=2"/>' in rss(feed)
    document = json.loads(json_feed(feed))
    assert document["hubs"] == [{"type": "WebSub", "url": HUB}]
    assert faults(atom(feed), "atom") == faults(rss(feed), "rss") == []
    assert [error.message for error in json_schema().iter_errors(document)] == []


def test_without_a_hub_the_bytes_are_as_before_and_so_they_are_for_the_past() -> None:
    assert all(b"hub" not in write(a_feed("")) for write in (atom, rss, json_feed))
    past = replace(a_feed(HUB), archive=True)
    assert b"hub" not in atom(past)
    live = replace(a_feed(HUB), stem="search", suffix="?q=x")
    assert all(b"hub" not in write(live) for write in (atom, rss, json_feed)), "nobody would ping it"


def test_the_link_header_is_that_of_the_feed() -> None:
    site = Site(base_url="https://wire.test/w/", hub=HUB)
    assert link_header(site, "feeds/agents/revisions.rss") == (
        f'<{HUB}>; rel="hub", <https://wire.test/w/feeds/agents/revisions.rss>; rel="self"'
    )
    for path in ("index.html", "feeds.opml", "feeds/all/archive/2026-W01.atom", "feeds/.all.atom.1", "feeds/x.gz"):
        assert link_header(site, path) is None
    assert link_header(Site(), "feeds/all.atom") is None


# -- a real hub and a real subscriber -----------------------------------------------------------------------------


@dataclass
class Party:
    """A hub and a subscriber, each on a port of its own."""

    hub_url: str
    app: flask.Flask
    subscriber: Subscriber
    verified: list[tuple[str, str]] = field(default_factory=list)
    received: list[tuple[str, bytes]] = field(default_factory=list)

    def subscribe(self, url: str) -> str:
        """Discover the hub at `url` and subscribe there; returns the topic."""
        found = discover(url)
        assert found["hub_url"] == self.hub_url
        with self.app.app_context():
            self.subscriber.subscribe(**found)
        return str(found["topic_url"])


@contextmanager
def listening(app: flask.Flask, port: int = 0) -> Iterator[int]:
    """Serve a Flask app from a thread; yields its port."""
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(10)


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Party]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    hub_app, app = flask.Flask("hub"), flask.Flask("subscriber")
    hub_app.config["PUBLISH_SUPPORTED"] = True
    celery = Celery("hub", broker="memory://")
    celery.conf.task_always_eager = True  # it delivers before it answers the ping
    hub = Hub(SQLite3HubStorage(str(tmp_path / "hub.db")), celery, PUBLISH_SUPPORTED=True)
    hub_app.register_blueprint(hub.build_blueprint(url_prefix="/hub"))
    stores = SQLite3SubscriberStorage(str(tmp_path / "s.db")), SQLite3TempSubscriberStorage(str(tmp_path / "t.db"))
    subscriber = Subscriber(*stores, MAX_BODY_SIZE=10_000_000)
    app.register_blueprint(subscriber.build_blueprint(url_prefix="/callbacks"))
    with listening(hub_app) as hub_port, listening(app) as port:
        app.config["SERVER_NAME"] = f"127.0.0.1:{port}"
        found = Party(f"http://127.0.0.1:{hub_port}/hub", app, subscriber)
        subscriber.add_success_handler(lambda topic, callback, mode: found.verified.append((mode, topic)))
        subscriber.add_listener(lambda topic, callback, body: found.received.append((topic, body)))
        yield found


@contextmanager
def a_site(folder: Path, hub: str) -> Iterator[tuple[Newsroom, Settings]]:
    """A newsroom whose site is served where its base_url says."""
    holder: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await holder["app"](scope, receive, send)

    with Server(good_routes()) as sources, serving(app) as port:
        room = Newsroom(folder, sources)
        site = f'[site]\nbase_url = "http://127.0.0.1:{port}/"\nhub = "{hub}"\nallow_private_addresses = true\n'
        room.configure(more=site)
        settings = load_settings(room.config, home=room.home)
        holder["app"] = web_app(room.home / "site", settings=settings)
        yield room, settings


def one_more_paper(room: Newsroom, title: str) -> None:
    """Let the journal bring a paper more."""
    more = {"guid": title.replace(" ", "-"), "title": title, "date": format_datetime(FIRST)}
    body = journal_feed({"guid": "good", "title": "A good paper of a journal"}, more)
    room.server.routes["/good.xml"] = Answer(body=body)


def a_pass(settings: Settings, hours: int) -> PassReport:
    return run_pass(settings, now=FIRST + timedelta(hours=hours))


def test_a_subscriber_receives_the_feed_that_changed(tmp_path: Path, party: Party) -> None:
    """Discovery from the Link header, from Atom and from RSS; three subscriptions, three deliveries, whole feeds."""
    (tmp_path / "room").mkdir()
    with a_site(tmp_path / "room", party.hub_url) as (room, settings):
        first = a_pass(settings, 0)
        assert (first.push.pings.pinged, first.push.pings.waiting) == (0, 0), "nobody can have subscribed yet"
        base = settings.site.base_url
        topics = [party.subscribe(f"{base}feeds/{name}") for name in ("all.atom", "found.rss", "all.json")]
        assert topics == [f"{base}feeds/{name}" for name in ("all.atom", "found.rss", "all.json")]
        assert sorted(party.verified) == sorted(("subscribe", topic) for topic in topics)
        one_more_paper(room, "A good paper that is pushed")
        second = a_pass(settings, 1)
        assert second.push.pings.pinged >= 6, "in three formats: everything, and the topic"
        assert second.push.well
        assert sorted(topic for topic, _ in party.received) == sorted(topics)
        for topic, body in party.received:
            assert b"A good paper that is pushed" in body
            with urlopen(topic) as served:  # noqa: S310 our own server
                assert served.read() == body
        third = a_pass(settings, 2)
        assert third.push.pings.pinged == 0
        assert len(party.received) == 3


@pytest.mark.parametrize("name", ["all.atom", "all.rss"])
def test_the_hub_is_found_in_the_document_where_no_header_names_it(tmp_path: Path, party: Party, name: str) -> None:
    """A static server sends no Link header."""
    (tmp_path / "room").mkdir()
    with a_site(tmp_path / "room", party.hub_url) as (room, settings):
        a_pass(settings, 0)
        content = (room.home / "site" / "feeds" / name).read_bytes()
        with Server({f"/{name}": Answer(body=content, headers={"Content-Type": "text/xml"})}) as static:
            found = discover(static.url(f"/{name}"))
        assert found == {"hub_url": party.hub_url, "topic_url": f"{settings.site.base_url}feeds/{name}"}


# -- hubs that misbehave ------------------------------------------------------------------------------------------


@dataclass
class Wire:
    """Feeds as files, and a hub that answers as scripted, then 204."""

    home: Path
    server: Server
    script: list[Answer] = field(default_factory=list)
    asked: list[Ask] = field(default_factory=list)
    urls_max: int = 1

    def hub(self, ask: Ask) -> Answer:
        self.asked.append(ask)
        return self.script.pop(0) if self.script else Answer(status=204)

    def write(self, content: str, *names: str) -> None:
        for name in names or ("all.atom", "all.rss", "all.json"):
            path = self.home / "site" / "feeds" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    def push(self, minutes: int = 0) -> Any:
        site = Site(
            base_url="https://wire.test",
            hub=self.server.url("/hub?key=longer-than-ten"),
            hub_urls_max=self.urls_max,
            allow_private_addresses=True,
        )
        return push(the_settings(self.home, site=site), FakeCatalog(), now=NOW + timedelta(minutes=minutes)).pings

    @property
    def pinged(self) -> list[list[str]]:
        """The feeds of each ping, by their names."""
        found = []
        for ask in self.asked:
            pairs = parse_qsl(ask.body.decode(), strict_parsing=True)
            assert pairs[0] == ("hub.mode", "publish")
            assert [v for n, v in pairs if n == "hub.topic"] == [v for n, v in pairs if n == "hub.url"]
            found.append([v.removeprefix("https://wire.test/feeds/") for n, v in pairs if n == "hub.url"])
        return found


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    with Server() as server:
        wire = Wire(tmp_path, server)
        server.routes["/hub"] = wire.hub
        wire.write("the first state")
        assert wire.push().pinged == 0
        yield wire


def test_only_what_changed_is_pinged_and_only_once(wire: Wire) -> None:
    assert wire.push().pinged == 0
    wire.write("another state", "all.atom", "topic/revisions.atom")
    wire.write("the first state", "all.rss")  # written again as it was
    wire.write("not a feed that changes", "all/archive/2026-W20.atom", ".all.json.7", "all.atom.gz")
    assert wire.push().pinged == 2
    assert wire.pinged == [["all.atom"], ["topic/revisions.atom"]]
    assert wire.push().pinged == 0


def test_a_hub_that_is_out_is_told_of_the_newest_state_once_it_is_back(wire: Wire) -> None:
    wire.script = [Answer(status=503), Answer(status=500), Answer(status=429, headers={"Retry-After": "3600"})]
    wire.write("second")
    report = wire.push()
    assert (report.pinged, report.waiting, report.reason) == (0, 3, "HTTP 503")
    assert len(wire.asked) == 1, "the others would not fare better"
    wire.push()
    assert len(wire.asked) == 1, "not before its time"
    wire.push(1)
    wire.write("third", "all.atom")
    assert wire.push(2).reason == "HTTP 429", "what changed is news, and tried at once"
    assert wire.push(61).waiting == 3
    assert len(wire.asked) == 3
    assert wire.push(62).waiting == 0
    assert sorted(name for (name,) in wire.pinged[3:]) == ["all.atom", "all.json", "all.rss"]


def test_a_hub_that_does_not_know_a_feed_does_not_keep_the_others_waiting(wire: Wire) -> None:
    wire.script = [Answer(status=404, body=b"no such topic: key=longer-than-ten")]
    wire.write("second")
    report = wire.push()
    assert (report.pinged, report.waiting, report.reason) == (2, 1, "HTTP 404: no such topic: key=…")
    assert wire.push(60).waiting == 1
    assert wire.push(360).pinged == 1


def test_a_hub_that_takes_many_is_told_of_many_at_once(wire: Wire) -> None:
    wire.urls_max = 2
    wire.write("second")
    assert wire.push().pinged == 3
    assert wire.pinged == [["all.atom", "all.json"], ["all.rss"]]


def test_a_feed_that_is_gone_is_not_pinged(wire: Wire) -> None:
    wire.script = [Answer(status=503)]
    wire.write("second")
    assert wire.push().waiting == 3
    (wire.home / "site" / "feeds" / "all.rss").unlink()
    assert (wire.push(2).pinged, wire.push(2).waiting) == (2, 0)


def test_what_a_killed_publish_wrote_is_pinged_all_the_same(wire: Wire) -> None:
    """Nobody tells what was written: the files do."""
    wire.write("written, and then the power went", "all.json")
    assert wire.push().pinged == 1


def test_a_hub_on_a_private_address_has_to_be_allowed(tmp_path: Path, wire: Wire) -> None:
    site = Site(base_url="https://wire.test", hub=wire.server.url("/hub"))
    push(the_settings(tmp_path, site=site), FakeCatalog())
    wire.write("second")
    report = push(the_settings(tmp_path, site=site), FakeCatalog(), now=NOW).pings
    assert "is not a public address; allow_private_addresses = true" in report.reason
    assert wire.asked == []
