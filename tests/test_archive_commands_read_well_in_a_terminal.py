"""The commands that ask the archive and tend it fit a terminal; their bars say how far they are and leave nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.progress import Progress

from flows import cli, show
from tests.newsroom import Newsroom, arxiv_feed, good_routes
from tests.servers import Answer, Server
from tests.test_it_reads_well_in_a_terminal import LONG_TITLE, NOW, in_terminal, screen

COMMANDS = {
    "search": (("search", "paper"), "2606.00001"),
    "history": (("history", "2606.00001"), "Announced by arxiv-rss:cs.CL"),
    "sql --as-of": (("sql", "--as-of", "1", "SELECT * FROM papers"), "arxiv:2606.00001"),
    "load": (("load", "backfill.jsonl", "--source", "snapshot"), "40 entries of snapshot: 40 new to the archive"),
    "compact": (("compact", "--full"), "merged 3 files into one: 43 papers"),
    "merge": (("merge", "2606.00001", "2606.00002", "--reason", "one work"), "undo: paperwire split arxiv:2606.00002"),
    "split": (("split", "arxiv:2606.00002", "--reason", "two"), "are two papers again"),
    "verify": (("verify",), "all is as committed"),
    "verify --repair": (("verify", "--repair"), "there was nothing to mend"),
    "export": (("export", "all.duckdb"), "43 papers"),
}
BARS = {"load": "loading", "compact": "compacting", "export": "exporting", "verify": "checking files"}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Newsroom, dict[str, str]]]:
    """What each command wrote to a terminal of 80 columns, one after the other."""
    routes = good_routes() | {"/rss/cs.CL": Answer(body=arxiv_feed(("2606.00001", LONG_TITLE)))}
    with Server(routes) as server:
        room = Newsroom(tmp_path_factory.mktemp("terminal"), server)
        room.configure()
        assert room.run("run", *NOW).code == cli.OK
        lines = [{"entry_id": str(n), "arxiv_id": f"2501.{n:05d}", "title": f"{n}. {LONG_TITLE}"} for n in range(1, 41)]
        (room.folder / "backfill.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        # Small loads are merged as they come; a compaction of its own needs something to do.
        found = {}
        for name, (command, _) in COMMANDS.items():
            if name == "compact":
                assert room.run("merge", "2501.00001", "2501.00002", "--reason", "x").code == cli.OK
                assert room.run("split", "arxiv:2501.00002", "--reason", "x").code == cli.OK
            found[name] = in_terminal(room, *command)
        yield room, found


@pytest.mark.parametrize("name", COMMANDS)
def test_no_line_is_wider_than_the_terminal_and_it_says_what_it_did(
    name: str, said: tuple[Newsroom, dict[str, str]]
) -> None:
    room, written = said
    lines = screen(written[name])
    too_wide = [line for line in lines if cell_len(line.rstrip()) > 80 and str(room.folder) not in line]
    assert (lines != [], too_wide) == (True, [])
    assert COMMANDS[name][1] in " ".join(" ".join(lines).split()), lines


@pytest.mark.parametrize("name", BARS)
def test_there_is_progress_to_see_and_nothing_of_it_stays(name: str, said: tuple[Newsroom, dict[str, str]]) -> None:
    written = said[1][name]
    assert BARS[name] in written
    assert not any("━" in line or BARS[name] in line or not line.strip() for line in screen(written))


def test_a_bar_says_how_many_are_done() -> None:
    console = Console(file=StringIO(), force_terminal=True, width=80)
    with Progress(show._rate("entries"), console=console, auto_refresh=False) as progress:
        task = progress.add_task("loading", total=100_000)
        progress.update(task, completed=50_000)
        shown = progress.columns[0](progress.tasks[0])
    assert str(shown).startswith("50,000 entries")
