"""In a terminal lines fit, what goes on hangs below its beginning, and progress leaves nothing behind."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from flows import cli, show
from publishers.mail import DeliveryReport
from tests.newsroom import COMMAND, Newsroom, arxiv_feed, good_routes, source
from tests.servers import Answer, Server

LONG_TITLE = "Why the title of a good paper goes on 和 on, and on, until it no longer fits into the width of a terminal"
NOW = ("--now", "2026-06-09T06:00:00Z")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newsroom]:
    """A newsroom with a long title and a source that cannot be reached, after its first pass."""
    routes = good_routes() | {"/rss/cs.CL": Answer(body=arxiv_feed(("2606.00001", LONG_TITLE)))}
    with Server(routes) as server:
        room = Newsroom(tmp_path_factory.mktemp("terminal"), server)
        address = server.url("/a/rather/long/path/to/a/feed/that/nobody/serves.xml")
        room.configure(source("journal:of-nothing", "feed", url=address))
        assert room.run("run", *NOW).code == cli.INCOMPLETE
        yield room


def in_terminal(room: Newsroom, *arguments: str, columns: int = 80, **env: str) -> str:
    """Everything a command writes to a terminal of this width, control sequences and all."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    child = subprocess.Popen(
        [COMMAND, *arguments],
        cwd=room.folder,
        env=room.env | {"TERM": "xterm-256color"} | env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # Linux says so where the other side is gone
            piece = b""
        if not piece:
            break
        written += piece
    os.close(ours)
    child.wait(20)
    return written.decode()


def screen(written: str) -> list[str]:
    """The lines that stay on the screen: rich moves up and erases lines, and goes to their beginning."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r\n|\r|\n|[^\x1b\r\n]+", written):
        if part in ("\n", "\r\n"):
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif found := re.fullmatch(r"\x1b\[(\d*)A", part):
            row = max(0, row - int(found[1] or 1))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif not part.startswith("\x1b") and part != "\r":
            lines[row] += part
    while lines and not lines[-1]:
        lines.pop()
    return lines


COMMANDS = {
    "status": ("status",),
    "coverage": ("coverage",),
    "sources": ("sources",),
    "topics": ("topics",),
    "preview": ("preview", "good", "--days", "3"),
    "why": ("why", "2606.00001"),
    "why a query": ("why", "2606.00001", "title:width OR fits longer (good OR mended OR whole OR ended) -nothing"),
    "narrow sql": ("sql", "SELECT paper_id, title, upvotes FROM papers"),
    "wide sql": ("sql", "SELECT * FROM papers"),
    "an error": ("run", "--source", "a-source-that-is-not-in-the-configuration-at-all"),
}


@pytest.mark.parametrize(("name", "columns"), [*((name, 80) for name in COMMANDS), ("status", 120), ("wide sql", 200)])
def test_no_line_is_wider_than_the_terminal(name: str, columns: int, room: Newsroom) -> None:
    lines = screen(in_terminal(room, *COMMANDS[name], columns=columns))
    whole = (str(room.folder), "http")  # addresses and paths are not broken, so that they can be opened
    too_wide = [line for line in lines if cell_len(line) > columns and not any(w in line for w in whole)]
    assert (lines != [], too_wide) == (True, [])


def test_a_pass_leaves_its_lines_and_nothing_of_its_progress(room: Newsroom) -> None:
    written = in_terminal(room, "run", *NOW)
    assert "reading sources" in written, "there was progress to see"
    lines = screen(written)
    assert [line.split(":")[0][:14] for line in lines[:4]] == ["✓ arxiv-rss", "✗ journal", "✓ hf-daily", "✓ good"]
    assert not any("reading sources" in line or "━" in line or not line.strip() for line in lines)
    assert lines[4] == "0 new, 0 revised; no file changed"


def test_what_does_not_fit_hangs_below_its_beginning(room: Newsroom) -> None:
    lines = screen(in_terminal(room, "preview", "title:width"))
    first = next(n for n, line in enumerate(lines) if line.startswith("  arxiv:2606.00001  Why"))
    assert lines[first + 1].startswith(" " * len("  arxiv:2606.00001  ") + "it no longer fits")


def test_a_row_too_wide_for_a_table_stands_upright(room: Newsroom) -> None:
    lines = screen(in_terminal(room, "sql", "SELECT * FROM papers WHERE paper_id = 'arxiv:2606.00001'"))
    assert "paper_id          arxiv:2606.00001" in lines
    assert any(line.startswith("authors           Ada Example, Béla Minta") for line in lines)


def test_no_colour_where_none_is_wanted(room: Newsroom) -> None:
    assert "\x1b[3" in in_terminal(room, "status"), "there is colour otherwise"
    assert "\x1b[3" not in in_terminal(room, "status", NO_COLOR="1")
    assert "\x1b[" not in in_terminal(room, "status", TERM="dumb")


@pytest.mark.parametrize(
    ("query", "position", "width", "shown", "caret"),
    [
        ("a (b", 2, 80, "a (b", "  ^"),
        ("論文 (x", 3, 80, "論文 (x", "     ^"),
        ("a\n\t(x", 3, 80, "a  (x", "   ^"),
        ("word " * 40 + "(x", 200, 20, "d word (x", None),
        ("(x" + " word" * 40, 0, 20, "(x word word word wo", "^"),
        ("x", 5, 20, "x", " ^"),
    ],
)
def test_the_caret_stands_under_the_character(
    query: str, position: int, width: int, shown: str, caret: str | None
) -> None:
    line, below = show.pointed_at(query, position, width)
    assert line.endswith(shown)
    assert cell_len(line) <= width
    if caret is not None:
        assert below == caret
    if position < len(query):
        assert line[len(below) - 1 :].startswith(query[position]) or cell_len(line) != len(line)


def test_many_editions_are_summed_up_and_trouble_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    sent = [DeliveryReport(edition_id=f"daily/t{n}/2026-06-09", sent=1) for n in range(14)]
    silent = [
        DeliveryReport(edition_id=f"daily/s{n}/2026-06-09", skipped=1, reasons=("told before",)) for n in range(3)
    ]
    late = DeliveryReport(edition_id="daily/late/2026-06-09", deferred=2, reasons=("no room",))
    show.deliveries([*silent, *sent, late], dry_run=False, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["  daily/late/2026-06-09 0 sent, 2 deferred", "    no room", "  daily/t0/2026-06-09 1 sent"]
    assert lines[-3:] == [
        "  daily/t10/2026-06-09 1 sent",
        "  and 3 editions more sent",
        "  3 editions with nothing that was not mailed before",
    ]
    show.deliveries(silent[:1], dry_run=False, as_json=False)
    assert capsys.readouterr().out.splitlines() == ["  daily/s0/2026-06-09 0 sent, 1 skipped", "    told before"]


def test_a_file_of_the_right_name_here_is_not_imported(room: Newsroom, tmp_path: Path) -> None:
    (tmp_path / "rich.py").write_text("raise SystemExit('the wrong rich')")
    assert room.run("topics", "--config", str(room.config), cwd=tmp_path).code == cli.OK
    assert not _CONTROL.search(room.run("topics").out)
