"""A real feed's life, version after version: each paper and each new version of it is told once, for few bytes."""

from __future__ import annotations

import gzip
import hashlib
import http.client
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path

import duckdb
import pytest
from lxml import etree

from flows.harvesting import Tools
from flows.parsing import Parser
from flows.pipeline import SourceReport, ingest_source
from storage.catalog import catalog_path
from storage.settings import Limits, Settings, Topic
from tests.fetching_tools import a_fetcher, a_source
from tests.servers import Answer, Ask, Server

LENGTH = 132
KEPT = 8  # every so many of the versions that only the feed's own date tells apart; it takes minutes to poll them all
POLLS = 2  # of each version: as it appears, and once more while it stands
PATH = "/feeds/author.xml"
TELLING = {"new", "revised", "withdrawn"}
EVERYTHING = Topic(slug="jwst", title="JWST", query="jwst")


@dataclass(frozen=True)
class Version:
    """The feed as it stood from one moment on."""

    at: datetime
    packed: bytes  # gzip
    body: bytes

    @property
    def etag(self) -> str:
        """What a static server makes of the file."""
        return f'"{hashlib.sha256(self.body).hexdigest()[:16]}"'


class StaticServer(Server):
    """Serves a file as a static web server does: validators, conditional requests (RFC 9110, 13.2.2), gzip if asked."""

    def __init__(self) -> None:
        super().__init__({PATH: self._file})
        self.version: Version | None = None
        self.sent = Counter[int]()  # status → answers
        self.bytes_sent = 0  # of bodies

    def _file(self, ask: Ask) -> Answer:
        version = self.version
        assert version is not None
        headers = {
            "ETag": version.etag,
            "Last-Modified": format_datetime(version.at, usegmt=True),
            "Vary": "Accept-Encoding",
        }
        if self._is_same(ask, version):
            return self._answer(Answer(status=304, headers=headers))
        if "gzip" in ask.headers.get("accept-encoding", ""):
            return self._answer(Answer(headers=headers | {"Content-Encoding": "gzip"}, body=version.packed))
        return self._answer(Answer(headers=headers, body=version.body))

    def _is_same(self, ask: Ask, version: Version) -> bool:
        if known := ask.headers.get("if-none-match"):
            return version.etag in known
        since = ask.headers.get("if-modified-since")
        return since is not None and parsedate_to_datetime(since) >= version.at

    def _answer(self, answer: Answer) -> Answer:
        self.sent[answer.status] += 1
        self.bytes_sent += len(answer.body)
        return answer


@pytest.fixture(scope="module")
def versions(unpack: Callable[[str], Path]) -> list[Version]:
    """The versions of one feed, oldest first: all that say something new, and some of those between them."""
    found = []
    for path in sorted(unpack("arxiv_query_feed_history").glob("*.xml.gz")):
        at = datetime.strptime(path.name[:17], "%Y-%m-%dT%H%M%S").replace(tzinfo=UTC)
        found.append(Version(at, path.read_bytes(), gzip.decompress(path.read_bytes())))
    assert len(found) == 334
    return [version for number, version in enumerate(found) if number % KEPT == 0 or is_news(found, number)]


def is_news(found: list[Version], number: int) -> bool:
    """Whether the entries differ in any byte from those of the version before, and not only the feed's own date."""
    before, after = (found[n].body.partition(b"<item>")[2] for n in (number - 1, number))
    return before != after


def listed(version: Version) -> set[tuple[str, int]]:
    """(arXiv id, version) of every entry, as an XML parser that is not ours reads them."""
    links = [str(item.findtext("link")) for item in etree.fromstring(version.body).iter("item")]
    return {(name, int(number)) for name, number in (link.rpartition("/")[2].rsplit("v", 1) for link in links)}


@dataclass(frozen=True)
class Told:
    """What came of polling a feed for ten months."""

    reports: list[SourceReport]
    announced: Counter[tuple[str, int]]  # (arXiv id, version) → how often it was told
    kinds: Counter[str]
    sent: Counter[int]
    bytes_sent: int
    naive_bytes: int


@pytest.fixture(scope="module")
def told(versions: list[Version], tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Poll every version twice, each time as long after the one before as it really was."""
    home = tmp_path_factory.mktemp("home")
    with StaticServer() as server, a_fetcher(limits=Limits()) as fetcher, Parser(Limits()) as parser:
        source = a_source(name="jwst", url=server.url(PATH), delay_seconds=0)
        settings = Settings(source=(source,), topic=(EVERYTHING,), home=home)
        reports = []
        for version in versions:
            server.version = version
            for poll in range(POLLS):
                now = version.at + timedelta(seconds=poll)
                reports.append(ingest_source(settings, "jwst", now=now, tools=Tools(fetcher, parser)))
        sent, bytes_sent = server.sent.copy(), server.bytes_sent
        naive_bytes = sum(bytes_of_a_naive_poll(server, version) for version in versions for _ in range(POLLS))
    announced, kinds = announcements(home)
    found = Told(reports, announced, kinds, sent, bytes_sent, naive_bytes)
    print_table(versions, found)
    return found


def bytes_of_a_naive_poll(server: StaticServer, version: Version) -> int:
    """What a poller gets that asks for the whole file each time."""
    server.version = version
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", PATH)
    body = connection.getresponse().read()
    connection.close()
    return len(body)


def announcements(home: Path) -> tuple[Counter[tuple[str, int]], Counter[str]]:
    """How often each version of each paper was told, and how often which announcement was made."""
    told, kinds = Counter[tuple[str, int]](), Counter[str]()
    with duckdb.connect(str(catalog_path(home)), read_only=True) as connection:
        rows = connection.execute("SELECT paper_id, version, announcements FROM sightings").fetchall()
    for paper_id, version, said in rows:
        kinds.update(said)
        told[paper_id.rpartition(":")[2], version] += bool(TELLING & set(said))
    return +told, kinds


def print_table(versions: list[Version], told: Told) -> None:
    count = len(told.reports)
    packed = sum(len(version.packed) for version in versions)
    print(f"\n{len(versions)} versions of one feed, each polled {POLLS} times; told: {dict(told.kinds)}")
    print(f"{'':24}{'requests':>9}{'with a body':>13}{'MB on the wire':>16}{'share':>8}")
    for name, bodies, size in (
        ("a naive poller", count, told.naive_bytes),
        ("one that takes gzip", count, packed * POLLS),
        ("Paperwire", told.sent[200], told.bytes_sent),
    ):
        print(f"{name:24}{count:9,}{bodies:13,}{size / 1e6:16.1f}{size / told.naive_bytes:8.1%}")


@pytest.mark.slow
def test_every_version_of_every_paper_is_told_exactly_once(versions: list[Version], told: Told) -> None:
    assert all(report.ok and not report.problems for report in told.reports)
    seen = set().union(*map(listed, versions))
    assert (len(seen), len(versions)) == (229, LENGTH)
    assert {name: count for name, count in told.announced.items() if count > 1} == {}
    assert told.announced.keys() == seen
    papers = {name for name, _ in seen}
    assert (told.kinds["new"], told.kinds["revised"]) == (len(papers), len(seen) - len(papers))


@pytest.mark.slow
def test_a_version_crosses_the_wire_once_and_packed(versions: list[Version], told: Told) -> None:
    assert told.sent == {200: len(versions), 304: len(versions) * (POLLS - 1)}
    assert told.bytes_sent == sum(len(version.packed) for version in versions), "each once, as gzip"
    assert told.bytes_sent == sum(report.wire_bytes for report in told.reports)
    assert told.bytes_sent < 0.2 * told.naive_bytes


@pytest.mark.slow
def test_a_version_without_news_commits_nothing(versions: list[Version], told: Told) -> None:
    asked_again = told.reports[1::POLLS]
    assert all(report.seq is None and report.entries == 0 for report in asked_again)
    quiet = [r for r in told.reports[::POLLS] if not r.new + r.revised + r.other]
    assert len(quiet) > 0.4 * len(versions)
    assert sum(report.new + report.revised for report in told.reports) == told.announced.total()
