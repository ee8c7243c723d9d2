"""Every shell line of the README does what it says, typed one after the other in a fresh copy of the checkout."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue

import pytest

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_SECONDS = 90
# What a line that serves until Ctrl-C prints once it is up; the line is then interrupted.
SERVES = {"make demo": "Ctrl-C ends it", "make run": "Prefect"}
EXIT_CODES = {
    ".venv/bin/paperwire run": {0, 3},
    ".venv/bin/paperwire status": {0, 3},
}  # no live source can be reached here


def shell_lines() -> list[str]:
    """The lines of every ```sh block, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    lines = (re.sub(r"\s+# .*", "", line).strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files git knows, in a folder of their own, with this checkout's environment."""
    if not shutil.which("make") or not shutil.which("git"):
        pytest.skip("make and git are needed to type the README's lines")
    folder = tmp_path_factory.mktemp("readme") / "paperwire"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


class Shell:
    """One bash, as a reader has it: what a line exports stays for the next."""

    def __init__(self, folder: Path, home: Path) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PAPERWIRE_", "PREFECT_", "MAKE", "PYTEST_"))}
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=kept | {"HOME": str(home), "TERM": "dumb"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: Queue[str] = Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def type(self, line: str, until: str | None = None) -> tuple[int, str]:
        """Type a line; returns its exit code and what it printed. With `until`, Ctrl-C comes once that was printed."""
        assert self._process.stdin
        background = f"( {line} ) & echo group $!; wait $!" if until else line
        self._process.stdin.write(f"set -m; {background}\necho done-$?\n")
        self._process.stdin.flush()
        said, group = "", 0
        while True:
            try:
                out = self._lines.get(timeout=PATIENCE_SECONDS)
            except Empty:
                pytest.fail(f"{line}: nothing for {PATIENCE_SECONDS} s after:\n{said}")
            if found := re.fullmatch(r"done-(\d+)\n", out):
                return int(found[1]), said
            if found := re.fullmatch(r"group (\d+)\n", out):
                group = int(found[1])
            said += out
            if until and until in out and group:
                os.killpg(group, signal.SIGINT)
                until = None

    def close(self) -> None:
        """End the shell."""
        self._process.kill()
        self._process.wait()

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)


@pytest.fixture(scope="module")
def shell(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell in the copy, with an empty home."""
    opened = Shell(copy, tmp_path_factory.mktemp("home"))
    yield opened
    opened.close()


def port_is_taken(port: int) -> bool:
    """Whether somebody on this machine listens there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("line", shell_lines())
def test_the_line_does_what_it_says(line: str, shell: Shell) -> None:
    if line == "make test":
        assert os.environ.get("PAPERWIRE_MAKE_TEST") or shell.type("make -n test")[0] == 0
        return
    serves = SERVES.get(line)
    if serves and (port_is_taken(8000) or port_is_taken(4200)):
        pytest.skip("somebody else listens on port 8000 or 4200 of this machine")
    code, said = shell.type(line, serves)
    assert code in EXIT_CODES.get(line, {0} if not serves else {0, 130}), said
    assert "Traceback" not in said


def test_the_readme_shows_the_commands_there_are() -> None:
    lines = " ".join(shell_lines())
    for command in ("make demo", "make run", "make test", "sql", "preview", "verify", "run", "status", "send --due"):
        assert command in lines
