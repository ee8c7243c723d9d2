"""Loading from a URL: what was downloaded counts, whoever was killed; it is the file it began as, and within bounds."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.downloading import PIECE_BYTES, Downloader
from flows.governor import Governor
from flows.packed import LoadError
from storage.errors import PaperwireError
from storage.settings import Limits
from tests.backfills import failed, sql, well
from tests.fetching_tools import Clock, names
from tests.newsroom import ROOT, Newsroom, Paperwire, in_process
from tests.servers import Answer, Ask, Server
from tests.snapshots import line, write

BODY = bytes(range(256)) * 20_000  # 5 MB that are no archive
PATH = "/data/snapshot.json"


@dataclass
class Shelf:
    """A server's file, in parts where they are asked for; `cut` hangs up after so many bytes of an answer."""

    body: bytes = BODY
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    cut: int | None = None

    def __call__(self, ask: Ask) -> Answer:
        headers = {k: v for k, v in (("ETag", self.etag), ("Last-Modified", self.modified)) if v}
        if self.etag and ask.headers.get("if-none-match") == self.etag:
            return Answer(status=304, headers=headers)
        condition = ask.headers.get("if-range")
        asked = re.fullmatch(r"bytes=(\d+)-", ask.headers.get("range", ""))
        start = int(asked[1]) if asked and self.ranges and condition in (None, self.etag, self.modified) else 0
        if start and start >= len(self.body):
            return Answer(status=416, headers={"Content-Range": f"bytes */{len(self.body)}"})
        part = self.body[start:]
        headers["Content-Length"] = str(len(part))
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(self.body) - 1}/{len(self.body)}"
        sent, self.cut = part if self.cut is None else part[: self.cut], None
        return Answer(status=206 if start else 200, headers=headers, stream=lambda: pieces(sent))


def pieces(body: bytes) -> Iterable[bytes]:
    return (body[start : start + 65_536] for start in range(0, len(body), 65_536))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def server(shelf: Shelf) -> Iterator[Server]:
    with Server({PATH: shelf}) as server:
        yield server


def a_download(url: str, home: Path, **options: Any) -> Downloader:
    clock, limits = Clock(), options.pop("limits", Limits(read_seconds=5))
    governor = Governor(None, limits, clock=clock, sleep=clock.sleep, random=lambda: 0.0)
    options.setdefault("sleep", clock.sleep)
    return Downloader(url, home / "downloads", limits=limits, user_agent="Paperwire/test", governor=governor, **options)


def downloaded(url: str, home: Path, **options: Any) -> bytes:
    with a_download(url, home, **options) as download:
        return download.get().read_bytes()


def asked_from(server: Server) -> list[str]:
    return [ask.headers.get("range", "all") for ask in server.asked]


def test_a_file_comes_whole_and_says_how_far_it_is(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    with a_download(server.url(PATH), tmp_path) as download:
        path = download.get(lambda done, total: seen.append((done, total)))
        assert (path.name, path.read_bytes() == BODY) == ("snapshot.json", True)
    assert seen[0] == (PIECE_BYTES, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))
    assert server.asked[0].headers["user-agent"] == "Paperwire/test"
    assert server.asked[0].headers["accept-encoding"] == "identity"


def test_a_connection_that_breaks_costs_only_what_was_on_its_way(server: Server, shelf: Shelf, tmp_path: Path) -> None:
    shelf.cut = 3_000_000
    assert downloaded(server.url(PATH), tmp_path) == BODY
    assert asked_from(server) == ["all", "bytes=3000000-"]
    assert server.asked[1].headers["if-range"] == '"one"'


def test_another_try_on_another_day_goes_on_there(server: Server, shelf: Shelf, tmp_path: Path) -> None:
    stop = interrupted_at(2_000_000)
    with pytest.raises(KeyboardInterrupt), a_download(server.url(PATH), tmp_path) as download:
        download.get(stop)
    assert downloaded(server.url(PATH), tmp_path) == BODY
    assert asked_from(server) == ["all", "bytes=2000000-"]


def interrupted_at(least: int) -> Callable[[int, int | None], None]:
    def stop(done: int, _: int | None) -> None:
        if done >= least:
            raise KeyboardInterrupt

    return stop


CHANGES: dict[str, dict[str, Any]] = {
    "its ETag": {"etag": '"two"'},
    "its length": {"etag": None},
    "its day": {"etag": None, "modified": "Tue, 02 Jun 2026 06:00:00 GMT"},
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("heeds", [True, False], ids=["heeds If-Range", "does not"])
def test_a_file_that_changed_meanwhile_is_read_anew(
    name: str, heeds: bool, server: Server, shelf: Shelf, tmp_path: Path
) -> None:
    before = {"etag": '"one"'} if name == "its ETag" else {"etag": None}
    shelf.etag, shelf.modified = before["etag"], "Mon, 01 Jun 2026 06:00:00 GMT" if name == "its day" else None
    with pytest.raises(KeyboardInterrupt), a_download(server.url(PATH), tmp_path) as download:
        download.get(interrupted_at(2_000_000))
    changed = Shelf(body=BODY[::-1] + (b"more" if name == "its length" else b""), **CHANGES[name])

    def heedless(ask: Ask) -> Answer:
        return changed(
            Ask(method="GET", path=ask.path, headers={**ask.headers, "if-range": changed.etag or changed.modified})
        )

    server.routes[PATH] = changed if heeds else heedless  # type: ignore[assignment]
    assert downloaded(server.url(PATH), tmp_path) == changed.body


def test_a_server_that_knows_no_parts_is_read_anew(server: Server, shelf: Shelf, tmp_path: Path) -> None:
    shelf.ranges, shelf.cut = False, 3_000_000
    assert downloaded(server.url(PATH), tmp_path) == BODY


def test_a_whole_file_is_only_asked_whether_it_is_the_same(server: Server, shelf: Shelf, tmp_path: Path) -> None:
    for _ in range(2):
        assert downloaded(server.url(PATH), tmp_path) == BODY
    assert [ask.headers.get("if-none-match") for ask in server.asked] == [None, '"one"']
    shelf.body, shelf.etag = BODY[:-9], '"two"'
    assert downloaded(server.url(PATH), tmp_path) == BODY[:-9]
    shelf.etag = None
    for _ in range(2):
        assert downloaded(server.url(PATH), tmp_path / "other") == BODY[:-9]
    assert asked_from(server)[-1] == f"bytes={len(BODY) - 9}-"


def test_bytes_that_were_lost_with_the_power_are_asked_for_again(server: Server, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), a_download(server.url(PATH), tmp_path) as download:
        download.get(interrupted_at(2_000_000))
    (part,) = tmp_path.rglob("part")
    part.write_bytes(part.read_bytes()[:1_000_000])
    assert downloaded(server.url(PATH), tmp_path) == BODY
    (part,) = tmp_path.rglob("part")
    part.write_bytes(BODY + b"never noted")
    assert downloaded(server.url(PATH), tmp_path) == BODY


def test_a_redirect_is_followed_and_asked_for_the_rest(server: Server, shelf: Shelf, tmp_path: Path) -> None:
    server.routes["/latest"] = Answer(status=302, headers={"Location": PATH})
    shelf.cut = 1_000_000
    assert downloaded(server.url("/latest"), tmp_path) == BODY
    assert server.paths == ["/latest", PATH] * 2
    server.routes["/loop"] = Answer(status=302, headers={"Location": "/loop"})
    with pytest.raises(LoadError, match="more than 5 redirects"):
        downloaded(server.url("/loop"), tmp_path)


REFUSED = {
    "gone": (Answer(status=404), r"HTTP 404: there is nothing at this address"),
    "broken": (Answer(status=500), r"HTTP 500: the server fails; load it again to go on"),
    "too long": (Answer(headers={"Content-Length": "99999999999999"}, body=b""), r"it has 99,999,999,999,999 bytes"),
    "longer than said": (Answer(stream=lambda: pieces(BODY)), r"it has more than 4,000,000 bytes"),
    "packed oddly": (Answer(headers={"Content-Encoding": "br"}, body=b"x"), r"packed in a way nobody asked for"),
    "a part that is none": (Answer(status=206, body=b"x"), r"it changes while it is downloaded"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_had_is_one_clear_line(name: str, server: Server, tmp_path: Path) -> None:
    server.routes["/x"], expected = REFUSED[name]
    with pytest.raises(LoadError, match=expected):
        downloaded(server.url("/x"), tmp_path, bytes_max=4_000_000)


def test_a_host_that_asks_for_rest_gets_it(server: Server, tmp_path: Path) -> None:
    server.routes["/x"] = Answer(status=429, headers={"Retry-After": "3600"})
    with pytest.raises(LoadError, match=r"asked for rest: try again in 3\d\d\d s"):
        downloaded(server.url("/x"), tmp_path)
    assert len(server.asked) == 1


def test_no_name_leads_to_an_address_that_is_not_public(server: Server, tmp_path: Path) -> None:
    url = server.url(PATH, host="kaggle.test")
    with pytest.raises(LoadError, match=r"kaggle.test is 127.0.0.1, which is not a public address"):
        downloaded(url, tmp_path, resolve=names({"kaggle.test": ("127.0.0.1",)}))
    assert server.asked == []
    with pytest.raises(LoadError, match="is not http or https"):
        downloaded("ftp://127.0.0.1/x", tmp_path)


def test_one_url_is_loaded_once_at_a_time(server: Server, tmp_path: Path) -> None:
    with (
        a_download(server.url(PATH), tmp_path),
        pytest.raises(PaperwireError, match="is being loaded already"),
        a_download(server.url(PATH), tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("/api/download/arxiv?x=1", b"PK\x03\x04", "arxiv.zip"),
        ("/a%20b.json", b"{}", "a-b.json"),
        ("/", b"{}", "download.json"),
        ("/snapshot.json", b"\x1f\x8b\x08\x00", "snapshot.json.gz"),
        ("/x.gz", b"\x1f\x8b\x08\x00", "x.json.gz"),
        ("/..%2f..%2fpasswd", b"PAR1", "passwd.parquet"),
    ],
)
def test_what_a_file_is_its_bytes_say(path: str, body: bytes, name: str, server: Server, tmp_path: Path) -> None:
    server.routes[path.partition("?")[0]] = Answer(body=body)
    with a_download(server.url(path), tmp_path) as download:
        got = download.get()
        assert (got.name, got.parent, got.read_bytes()) == (name, download.folder, body)


# The command


@pytest.fixture
def paperwire(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Paperwire:
    """The command, in this process and an empty room."""
    room = Newsroom(tmp_path / "room", server)
    room.folder.mkdir()
    room.configure("")
    return in_process(room, monkeypatch, capsys)


@pytest.mark.parametrize("name", ["s.json", "s.json.gz", "archive.zip"])
def test_a_url_is_loaded_and_the_download_deleted(
    name: str, server: Server, shelf: Shelf, tmp_path: Path, paperwire: Paperwire
) -> None:
    shelf.body = write(tmp_path / name, *(line(n) for n in range(1, 31))).read_bytes()
    server.routes[f"/{name}"] = shelf
    said = well(paperwire("load", server.url(f"/{name}"), "--source", "arxiv")).splitlines()
    assert said[0] == "30 entries of arxiv: 30 new to the archive"
    assert re.fullmatch(rf"{re.escape(name)}@[0-9a-f]{{12}}", said[-1]), "the id is that of the same file on disk"
    assert list((tmp_path / "room").rglob("downloads/*")) == []
    again = paperwire("load", str(tmp_path / name), "--source", "arxiv", "--json").document()
    assert (again["load_id"], again["loaded"]["known"]) == (said[-1], 30)
    assert sql(paperwire, "SELECT count(*) FROM papers") == [(30,)]


def test_a_download_that_is_no_file_of_entries_is_kept_and_named(server: Server, paperwire: Paperwire) -> None:
    server.routes["/page"] = Answer(body=b"<html>Sign in</html>", headers={"ETag": '"p"'})
    said = paperwire("load", server.url("/page"), "--source", "arxiv")
    assert (said.code, "page.json, line 1: not JSON" in failed(said)) == (1, True)


_KILLED = """
import os, sys
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from flows.upkeep import load_files
from storage.settings import Settings
def progress(done, total):
    if done >= 40_000_000:
        os.kill(os.getpid(), 9)
bars = lambda label: nullcontext(progress if label == "downloading" else lambda *_: None)
load_files(Settings(home=Path(sys.argv[1])), sys.argv[2:], source="s", load_id=None, now=datetime.now(UTC), bars=bars)
"""


def test_a_killed_download_goes_on_from_what_is_on_the_disk(server: Server, shelf: Shelf, tmp_path: Path) -> None:
    shelf.body = BODY * 10
    command = [sys.executable, "-c", _KILLED, str(tmp_path), server.url(PATH)]
    assert subprocess.run(command, cwd=ROOT, timeout=120).returncode == -signal.SIGKILL
    assert downloaded(server.url(PATH), tmp_path) == shelf.body
    (_, second) = asked_from(server)
    assert 30_000_000 <= int(second.removeprefix("bytes=").removesuffix("-")) <= 40_000_000
