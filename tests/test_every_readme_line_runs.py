"""Every shell line of the README does what it says, typed one after the other into one shell in a copy of the checkout.

The copy has free ports and, in its deploy/paperwire.toml, sources on this machine: nobody answers at first, so that
`make run` shows what it says then, and a local server does when one pass is made by hand.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from queue import Empty, Queue

import duckdb
import pytest

from flows.calendars import NEW_YORK
from storage.settings import parse_settings
from tests.newsroom import arxiv_feed, daily_list, heed_interrupts, journal_feed
from tests.oai_repository import error
from tests.servers import Answer, Ask, Route, Server
from tests.wire_tools import free_port, get

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PATIENCE_SECONDS = 90.0
_STOP_SECONDS_MAX = 10.0
_INTERRUPTED = 130
# Targets that would change the environment this very test runs in.
_SETS_UP = re.compile(r"uv sync|make-venv")
_CATEGORIES = ("cs.CL", "cs.CV", "cs.LG", "cs.AI")
_SOURCES = (
    "arxiv-rss:cs.CL",
    "arxiv-rss:cs.CV",
    "arxiv-rss:cs.LG",
    "arxiv-rss:cs.AI",
    "arxiv-oai:cs.CL",
    "arxiv-oai:cs.CV",
    "arxiv-oai:cs.LG",
    "arxiv-oai:cs.AI",
    "hf-daily",
    "journal:natmachintell",
)

pytestmark = pytest.mark.slow


def shell_lines() -> list[str]:
    """The lines of every ```sh block, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.S)
    lines = (re.sub(r"\s+# .*", "", line).strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line]


class Shell:
    """One bash, as a reader has it: what a line exports stays for the next."""

    def __init__(self, folder: Path, home: Path) -> None:
        ours = ("PAPERWIRE_", "PREFECT_", "MAKE", "MFLAGS", "PYTEST_", "ARGS", "FORCE_COLOR", "COLUMNS")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=kept | {"HOME": str(home), "TERM": "dumb"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=heed_interrupts,
        )
        self._lines: Queue[str] = Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def type(self, line: str) -> tuple[int, str]:
        """Type a line; returns its exit code and what it printed."""
        return self._type(f"{line}\n", lambda said: False)

    def type_and_interrupt(self, line: str, is_up: Callable[[str], bool]) -> tuple[int, str]:
        """Type a line that serves until Ctrl-C, and press that once `is_up` is true of what was printed."""
        # A job has a process group of its own, which is what Ctrl-C interrupts.
        return self._type(f"set -m; ( {line} ) & echo group $!; wait $!; set +m\n", is_up)

    def _type(self, text: str, is_up: Callable[[str], bool]) -> tuple[int, str]:
        assert self._process.stdin
        self._process.stdin.write(text.replace("; set +m", "; code=$?; set +m; (exit $code)") + "echo done-$?\n")
        self._process.stdin.flush()
        said, group, interrupted_at = "", 0, 0.0
        while True:
            try:
                out = self._lines.get(timeout=PATIENCE_SECONDS)
            except Empty:
                pytest.fail(f"{text}nothing for {PATIENCE_SECONDS:.0f} s after:\n{said}")
            if found := re.fullmatch(r"done-(\d+)\n", out):
                assert not interrupted_at or time.monotonic() - interrupted_at < _STOP_SECONDS_MAX, said
                return int(found[1]), said
            if found := re.fullmatch(r"group (\d+)\n", out):
                group = int(found[1])
                continue
            said += out
            if group and not interrupted_at and is_up(said):
                interrupted_at = time.monotonic()
                os.killpg(group, signal.SIGINT)

    def close(self) -> None:
        """End the shell and whatever it still runs."""
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files git knows, in a folder of their own, with this checkout's environment."""
    if not all(map(shutil.which, ("make", "git", "bash"))) or not (ROOT / ".git").exists():
        pytest.skip("a git checkout, make and bash are needed to type the README's lines")
    folder = tmp_path_factory.mktemp("readme") / "paperwire"
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    would = subprocess.run(["make", "-n", "demo"], cwd=folder, capture_output=True, text=True, check=True)
    if _SETS_UP.search(would.stdout):
        pytest.skip("this checkout's .venv is older than its pyproject.toml or uv.lock: run `make` first")
    return folder


@pytest.fixture(scope="module")
def providers() -> Iterator[Server]:
    """All providers of deploy/paperwire.toml in one server, with one paper each."""

    def listed(ask: Ask) -> Answer:
        return Answer(body=daily_list(("2606.00002", "A paper with votes")))

    def announced(ask: Ask) -> Answer:
        category, today = ask.path.rpartition("/")[2], datetime.now(NEW_YORK).date()
        name = f"2606.0010{_CATEGORIES.index(category)}"
        return Answer(body=arxiv_feed((name, f"A paper of {category}"), category=category, day=today))

    routes: dict[str, Route] = {f"/rss/{category}": announced for category in _CATEGORIES}
    journal = Answer(body=journal_feed({"guid": "1", "title": "A paper of a journal"}))
    nothing = Answer(body=error("noRecordsMatch"), headers={"Content-Type": "text/xml"})
    routes |= {"/oai": nothing, "/natmachintell.rss": journal}
    with Server({**routes, "/api/daily_papers": listed}) as server:
        yield server


@pytest.fixture(scope="module")
def shell(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell in the copy, with an empty home."""
    opened = Shell(copy, tmp_path_factory.mktemp("home"))
    yield opened
    opened.close()


def point_sources(copy: Path, addresses: Iterator[str]) -> None:
    """Write deploy/paperwire.toml of the copy anew: its sources at these addresses, its ports free ones."""
    text = (ROOT / "deploy" / "paperwire.toml").read_text(encoding="utf-8")
    text = re.sub(
        r"^(kind = .*)$",
        lambda m: f'{m[1]}\nbase_url = "{next(addresses)}"\nallow_private_addresses = true',
        text,
        flags=re.M,
    )
    text = re.sub(r"^((?:prefect_)?port) = \d+", r"\1 = 0", text, flags=re.M)
    text = re.sub(r"^days = \d+", "days = 1", text, flags=re.M)  # a request less that nobody answers
    (copy / "deploy" / "paperwire.toml").write_text(text, encoding="utf-8")


def papers_of_the_demo(copy: Path) -> int:
    """How many papers the demo's archive holds."""
    with duckdb.connect(str(copy / ".demo" / "papers.duckdb"), read_only=True) as connection:
        return int(connection.execute("SELECT count(*) FROM papers").fetchall()[0][0])


def check_demo(shell: Shell) -> None:
    """`make demo` shows where to look, and what it serves answers."""
    answers: list[bytes | None] = []

    def is_up(said: str) -> bool:
        if "Ctrl-C ends it." not in said:
            return False
        found = re.search(r"^page\s+(http://\S+)", said, re.M)
        answers.append(get(found[1]) if found else None)
        return True

    shell.type('export ARGS="--port 0"')
    code, said = shell.type_and_interrupt("make demo", is_up)
    shell.type("unset ARGS")
    assert code in (0, _INTERRUPTED), said
    assert "no byte of the site changed" in said, "the second demo gives the bytes of the first"
    assert answers
    assert answers[0], said
    assert "Traceback" not in said


def check_run(shell: Shell, copy: Path) -> None:
    """`make run` comes up though nobody answers, says so of each source, and ends within seconds of Ctrl-C."""
    # A host each, because requests to one host wait for each other.
    point_sources(copy, (f"http://127.0.0.{n}:{free_port()}" for n in range(1, 100)))

    def is_up(said: str) -> bool:
        return "Paperwire is up" in said and all(f"✗ {name}: " in said for name in _SOURCES)

    code, said = shell.type_and_interrupt("make run", is_up)
    assert code in (0, _INTERRUPTED), said
    for name in _SOURCES:
        line = next(line for line in said.splitlines() if f"✗ {name}: " in line)
        assert re.search(
            r"(?:could not connect|no connection) to 127\.0\.0\.\d.*; tries again in .*, then \w{3} \d\d:\d\d UTC$",
            line,
        ), line
    assert "Paperwire is stopped; what was committed stays committed." in said
    assert "Traceback" not in said
    assert (copy / ".paperwire" / "archive").is_dir(), "its data is its own"


def check_test(shell: Shell) -> None:
    """`make test` is what runs this very test, so it is only looked at; the Makefile marks that it does."""
    code, said = shell.type("make -n test")
    assert code == 0
    assert re.search(r"^\.venv/bin/pytest .*", said, re.M)
    assert re.search(r"^test: export PAPERWIRE_MAKE_TEST = 1$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert os.environ.get("PAPERWIRE_MAKE_TEST", "1") == "1"


# What else is to be seen in what a line prints.
SHOWS = {
    "make demo ARGS=--once": "Where to look:",
    ".venv/bin/paperwire history 2304.14166": "Version 2",
    '.venv/bin/paperwire search "language model*" --limit 5': "arxiv:",
    ".venv/bin/paperwire verify": "all is as committed",
    ".venv/bin/paperwire --help": "Exit codes:",
    ".venv/bin/paperwire sources": "journal:natmachintell",
    ".venv/bin/paperwire topics": "language-models",
    ".venv/bin/paperwire run": "6 new, 0 revised",
    ".venv/bin/paperwire status": "6 papers",
    ".venv/bin/paperwire send --due --dry-run": "nothing is due",
}


@pytest.mark.parametrize("line", shell_lines())
def test_the_line_does_what_it_says(line: str, shell: Shell, copy: Path, providers: Server) -> None:
    if line == "make test":
        check_test(shell)
    elif line == "make demo":
        check_demo(shell)
    elif line == "make run":
        check_run(shell, copy)
    else:
        if line.startswith("cp deploy/paperwire.toml"):
            point_sources(copy, iter([providers.url("")] * len(_SOURCES)))
        code, said = shell.type(line)
        assert (code, "Traceback" in said) == (0, False), said
        assert SHOWS.get(line, "") in said


def test_what_is_for_real_leaves_the_demo_alone(shell: Shell, copy: Path) -> None:
    assert papers_of_the_demo(copy) == 100
    assert shell.type(".venv/bin/paperwire sql 'SELECT count(*) AS papers FROM papers'") == (0, "papers\n     6\n")


def test_the_configuration_it_shows_is_one() -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", README, re.S)
    settings = parse_settings(shown)
    assert [s.kind for s in settings.source] == ["arxiv-rss"]
    assert settings.mail is not None
    assert settings.topic[0].slug == "language-models"


def test_the_readme_shows_the_commands_there_are() -> None:
    lines = " ".join(shell_lines())
    for command in (
        "make demo",
        "make run",
        "make test",
        "sql --as-of",
        "search",
        "history",
        "preview",
        "why",
        "trending",
        "verify",
        "run",
        "status",
        "send --due",
    ):
        assert command in lines
    for path in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / path).exists(), path
