"""A small newsroom for tests of the whole command: good sources on a local server, room for a bad one, and the command.

room = Newsroom(tmp_path, server); room.configure(room.good("cs.CL"), a_source(...)); said = paperwire("run", ...)
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from email.utils import format_datetime
from html import escape
from pathlib import Path
from typing import Any

import duckdb
import pytest

from flows import cli
from flows.calendars import NEW_YORK
from storage.catalog import catalog_path
from tests.servers import Answer, Server

ROOT = Path(__file__).resolve().parents[1]
COMMAND = Path(sys.executable).with_name("paperwire")
TODAY = date(2026, 6, 9)
GOOD_TITLES = ("A good paper of arXiv", "A good paper of Hugging Face", "A good paper of a journal")
_PATIENCE_SECONDS = 120


def arxiv_feed(*papers: tuple[str, str], category: str = "cs.CL", day: date = TODAY) -> bytes:
    """arXiv's RSS of a category: (id, title) each, all new on `day`."""
    midnight = format_datetime(datetime.combine(day, time(), tzinfo=NEW_YORK))
    items = "".join(
        f"<item><title>{escape(title)}</title><link>https://arxiv.org/abs/{name}</link>"
        f"<description>arXiv:{name}v1 Announce Type: new \nAbstract: We say why {escape(title)} matters.</description>"
        f'<guid isPermaLink="false">oai:arXiv.org:{name}v1</guid><category>{category}</category>'
        f"<pubDate>{midnight}</pubDate><arxiv:announce_type>new</arxiv:announce_type>"
        "<dc:creator>Ada Example, Béla Minta</dc:creator></item>"
        for name, title in papers
    )
    return (
        "<?xml version='1.0' encoding='UTF-8'?>\n"
        '<rss xmlns:arxiv="http://arxiv.org/schemas/atom" xmlns:dc="http://purl.org/dc/elements/1.1/" version="2.0">'
        f"<channel><title>{category} updates on arXiv.org</title><link>http://rss.arxiv.org/rss/{category}</link>"
        f"<description>d</description><pubDate>{midnight}</pubDate>{items}</channel></rss>"
    ).encode()


def arxiv_refusal(query: str) -> bytes:
    """What arXiv answers, with status 400, to a category it does not know."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel>'
        f"<title>Feed error for query: http://rss.arxiv.org/rss/{query}</title>"
        f"<link>http://rss.arxiv.org/rss/{query}</link>"
        f"<description>Bad archive '{query}'. Valid archive names are: astro-ph, cond-mat, cs.</description>"
        "</channel></rss>"
    ).encode()


def journal_feed(*entries: Mapping[str, str]) -> bytes:
    """A journal's RSS 2.0; keys of an entry: guid, title, abstract, date."""
    items = "".join(
        "<item>"
        + (f"<title>{escape(entry['title'])}</title>" if "title" in entry else "")
        + f"<link>https://journal.test/{entry['guid']}</link><guid>https://journal.test/{entry['guid']}</guid>"
        f"<description>{escape(entry.get('abstract', 'What was found, and how.'))}</description>"
        f"<pubDate>{escape(entry.get('date', 'Tue, 09 Jun 2026 02:00:00 GMT'))}</pubDate></item>"
        for entry in entries
    )
    head = "<title>A journal</title><link>https://journal.test/</link><description>d</description>"
    return f'<?xml version="1.0"?><rss version="2.0"><channel>{head}{items}</channel></rss>'.encode()


def daily_list(*papers: tuple[str, str]) -> bytes:
    """Hugging Face's list of a day: (arXiv id, title) each."""
    listed = [
        {
            "paper": {
                "id": name,
                "title": title,
                "summary": f"We say why {title} matters.",
                "authors": [{"name": "Ada Example"}],
                "upvotes": 12,
                "publishedAt": "2026-06-08T00:00:00.000Z",
                "submittedOnDailyAt": "2026-06-09T00:00:00.000Z",
            },
            "title": title,
            "numComments": 1,
        }
        for name, title in papers
    ]
    return json.dumps(listed).encode()


def good_routes() -> dict[str, Answer]:
    """What the good sources answer."""
    arxiv, listed, journal = GOOD_TITLES
    return {
        "/rss/cs.CL": Answer(body=arxiv_feed(("2606.00001", arxiv)), headers={"Content-Type": "text/xml"}),
        "/api/daily_papers": Answer(body=daily_list(("2606.00002", listed))),
        "/good.xml": Answer(body=journal_feed({"guid": "good", "title": journal})),
    }


def source(name: str, kind: str, base_url: str = "", **values: object) -> str:
    """A [[source]] that may be on this machine."""
    given = {"name": name, "kind": kind, "allow_private_addresses": True, **values}
    given |= {"base_url": base_url} if base_url else {}
    return "[[source]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items())


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    def document(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.out)

    def lines_about(self, name: str) -> list[str]:
        """The lines of standard output about one source."""
        return [line for line in self.out.splitlines() if f" {name}:" in line]


@dataclass
class Newsroom:
    """A folder with paperwire.toml and the data, and how to ask it."""

    folder: Path
    server: Server

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def config(self) -> Path:
        return self.folder / "paperwire.toml"

    @property
    def env(self) -> dict[str, str]:
        """The environment of a command here: nothing of ours but the data, no colours asked for."""
        dropped = ("PAPERWIRE_", "PREFECT_", "FORCE_COLOR", "NO_COLOR", "COLUMNS", "TTY_", "CLICOLOR")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        return kept | {"PAPERWIRE_HOME": str(self.home)}

    def configure(self, *sources: str, more: str = "") -> None:
        """Write paperwire.toml with the good sources around these."""
        base = self.server.url("")
        before = source("arxiv-rss:cs.CL", "arxiv-rss", base, category="cs.CL")
        after = source("hf-daily", "hf-daily", base, days=1) + source("good", "feed", url=self.server.url("/good.xml"))
        topic = '[[topic]]\nslug = "found"\ntitle = "Found"\nquery = "good OR mended OR whole"\n'
        self.config.write_text("\n".join([more, before, *sources, after, topic]), encoding="utf-8")

    def run(self, *arguments: str, cwd: Path | None = None, **env: str) -> Said:
        """Run the installed command in a process of its own."""
        done = subprocess.run(
            [COMMAND, *arguments],
            cwd=cwd or self.folder,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the installed command; the caller ends it."""
        return subprocess.Popen(
            [COMMAND, *arguments],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_interrupts,
        )

    def titles(self) -> set[str]:
        """The titles of all papers in the archive."""
        with duckdb.connect(str(catalog_path(self.home)), read_only=True) as connection:
            return {str(row[0]) for row in connection.execute("SELECT title FROM papers").fetchall()}

    def published(self, title: str) -> bool:
        """Whether readers find the paper: in the feed of everything, and on a page of its own."""
        site = self.home / "site"
        pages = sorted((site / "papers").glob("*.html"))
        in_feed = escape(title) in (site / "feeds" / "all.atom").read_text(encoding="utf-8")
        return in_feed and any(escape(title) in page.read_text(encoding="utf-8") for page in pages)


Paperwire = Callable[..., Said]


@contextmanager
def after_a_pass(folder: Path) -> Iterator[Newsroom]:
    """A newsroom after its first pass; tests that change it take a copy."""
    with Server(good_routes()) as server:
        room = Newsroom(folder, server)
        room.configure()
        assert room.run("run", "--now", "2026-06-09T06:00:00Z").code == cli.OK
        yield room


def in_process(room: Newsroom, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Paperwire:
    """The command in this process: the same entry point without the second that a process takes to start."""
    monkeypatch.chdir(room.folder)
    for name in set(os.environ) - set(room.env):
        monkeypatch.delenv(name)
    for name, value in (("PAPERWIRE_HOME", str(room.home)), ("PAPERWIRE_CONFIG", str(room.config))):
        monkeypatch.setenv(name, value)

    def said(*arguments: str) -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["paperwire", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return said


def heed_interrupts() -> None:
    """In a child: SIGINT ends it, also where the tests run in the background of a shell that ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def missing(room: Newsroom, titles: Sequence[str]) -> list[str]:
    """Those of `titles` that are not in the archive, or not on the site."""
    archived = room.titles()
    return [title for title in titles if title not in archived or not room.published(title)]
