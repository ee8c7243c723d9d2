"""Liferea: a desktop reader with an SQLite store, on a screen that nobody sees and a bus of its own."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from xml.sax.saxutils import quoteattr

from lxml import etree

from tests.readers.driver import COMMAND_SECONDS_MAX, Driver, Held, Shown, output
from tests.wire_tools import get, wait_for

_OPML = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<opml version="1.0"><head><title>t</title></head><body>{}</body></opml>'
)
_OUTLINE = '<outline title={0} text={0} type="atom" xmlUrl={1} updateInterval="-1" id="{2}" cacheLimit="unlimited"/>'
_KEYFILE = "[net/sf/liferea]\nstartup-feed-action=1\nenable-plugins=false\n"  # 1: it waits until it is asked
_BUS = ("--dest", "org.gnome.feed.Reader", "--object-path", "/org/gnome/feed/Reader")


class Liferea(Driver):
    """Runs from the first poll to `close`; keeps all entries, where as shipped it keeps a hundred a feed."""

    name = "Liferea"
    needs = ("liferea:liferea", "Xvfb:xvfb", "dbus-daemon:dbus", "gdbus:libglib2.0-bin")

    def __init__(self, home: Path, urls: Mapping[str, str]) -> None:
        super().__init__(home, urls)
        self._nodes = {f"feed{n:03}": name for n, name in enumerate(urls)}
        outlines = (_OUTLINE.format(quoteattr(name), quoteattr(urls[name]), node) for node, name in self._nodes.items())
        self._write("config/liferea/feedlist.opml", _OPML.format("".join(outlines)))
        self._write("config/glib-2.0/settings/keyfile", _KEYFILE)
        (home / "run").mkdir(mode=0o700)
        self._processes, self._more = ExitStack(), dict[str, str]()

    @classmethod
    def version(cls) -> str:
        return output("liferea", "--version").split()[-1]

    def poll(self) -> None:
        if not self._more:
            self._start()
        self._ask("Refresh")
        for feed, url in self.urls.items():
            wanted = _updated(get(url) or b"")
            wait_for(f"Liferea to have read {url}", lambda feed=feed, wanted=wanted: self._has_read(feed, wanted))  # type: ignore[misc]

    def close(self) -> None:
        self._processes.close()

    def held(self) -> Held:
        return self._ids("SELECT node_id, source_id FROM items")

    def unread(self) -> Held:
        return self._ids("SELECT node_id, source_id FROM items WHERE NOT read")

    def mark_read(self) -> None:
        with closing(sqlite3.connect(self._store, timeout=COMMAND_SECONDS_MAX)) as connection, connection:
            connection.execute("UPDATE items SET read = 1, popup = 0")

    def shown(self, feed: str) -> dict[str, Shown]:
        node = next(n for n, name in self._nodes.items() if name == feed)
        query = (
            "SELECT source_id, title, (SELECT group_concat(value, ', ') FROM metadata AS m "
            "WHERE m.item_id = items.item_id AND key = 'author') FROM items WHERE node_id = ?"
        )
        return {i: Shown(title, authors or "") for i, title, authors in self._rows(query, node)}

    def environment(self) -> dict[str, str]:
        ours = {f"XDG_{part.upper()}_HOME": str(self.home / part) for part in ("config", "data", "cache")}
        quiet = {"GSETTINGS_BACKEND": "keyfile", "LIBGL_ALWAYS_SOFTWARE": "1", "NO_AT_BRIDGE": "1"}
        return {**super().environment(), **ours, **quiet, "XDG_RUNTIME_DIR": str(self.home / "run"), **self._more}

    def _start(self) -> None:
        """A bus, a screen, and Liferea on both; ended in the other order."""
        self._more["DBUS_SESSION_BUS_ADDRESS"] = self._first_line(
            "dbus-daemon", "--session", "--nofork", "--print-address=1"
        )
        self._more["DISPLAY"] = ":" + self._first_line("Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24")
        self._spawn("liferea", "--mainwindow-state=hidden")
        wait_for("Liferea to answer on its bus", lambda: self._ask("Ping", check=False))

    def _first_line(self, *command: str) -> str:
        process = self._spawn(*command)
        assert process.stdout
        return str(process.stdout.readline()).strip()

    def _spawn(self, *command: str) -> subprocess.Popen[str]:
        log = self._processes.enter_context((self.home / f"{command[0]}.log").open("w"))
        process = subprocess.Popen(command, env=self.environment(), stdout=subprocess.PIPE, stderr=log, text=True)
        self._processes.callback(_end, process)
        return process

    def _ask(self, method: str, *, check: bool = True) -> bool:
        command = ["gdbus", "call", "--session", *_BUS, "--method", f"org.gnome.feed.Reader.{method}"]
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 or not check, done.stderr
        return done.returncode == 0

    def _has_read(self, feed: str, updated: str) -> bool:
        """Whether its store has the feed as it was last updated."""
        node = next(n for n, name in self._nodes.items() if name == feed)
        query = "SELECT value FROM subscription_metadata WHERE node_id = ? AND key = 'contentUpdateDate'"
        return self._rows(query, node) == [(updated,)]

    def _ids(self, query: str) -> Held:
        ids: Held = {feed: [] for feed in self.urls}
        for node, entry_id in self._rows(query):
            ids[self._nodes[node]].append(entry_id)
        return ids

    @property
    def _store(self) -> Path:
        return self.home / "data" / "liferea" / "liferea.db"

    def _rows(self, query: str, *values: str) -> list[tuple[str, ...]]:
        with closing(sqlite3.connect(f"file:{self._store}?mode=ro", uri=True, timeout=60)) as connection:
            return connection.execute(query, values).fetchall()

    def _write(self, name: str, text: str) -> None:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _updated(feed: bytes) -> str:
    return str(etree.fromstring(feed).findtext("{http://www.w3.org/2005/Atom}updated"))


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
