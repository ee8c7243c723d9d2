"""`paperwire backfill`: what it says of the past it read, of what stopped it, and of what is wrong with the command."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flows import cli
from tests.newsroom import ROOT, Newsroom, Paperwire, heed_interrupts, in_process
from tests.newsroom import source as configured
from tests.oai_repository import Repository
from tests.pasts import NAME, REFUSED, REFUSES, Home, Kills, past_repository
from tests.servers import Server


@pytest.fixture
def repository() -> Repository:
    return past_repository()


@pytest.fixture
def home(tmp_path: Path, repository: Repository) -> Iterator[Home]:
    with Server({"/oai": repository}) as server:
        yield Home(tmp_path / "home", server)


@pytest.fixture
def room(home: Home) -> Newsroom:
    made = Newsroom(home.folder.parent, home.server)
    made.configure(configured(NAME, "arxiv-oai", home.server.url("")))
    return made


@pytest.fixture
def paperwire(room: Newsroom, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Paperwire:
    return in_process(room, monkeypatch, capsys)


def test_the_command_says_what_came_of_it(paperwire: Paperwire, repository: Repository) -> None:
    said = paperwire("backfill", NAME, "--since", "2005-09-16", "--until", "2020-01-01")
    assert (said.code, said.err) == (cli.OK, "")
    assert said.out.splitlines() == [
        "9 entries of arxiv-oai: 9 new to the archive",
        "what changed from 2005-09-16 to 2020-01-01, in 5 requests",
    ]
    assert "0704.0003" in paperwire("search", "titles").out
    again = paperwire("backfill", NAME, "--since", "2005-09-16", "--until", "2020-01-01", "--json")
    document = again.document()
    assert (document["well"], document["done"], document["listed"], document["new"]) == (True, True, 9, 0)
    assert document["until"] == "2020-01-01"


def test_what_is_incomplete_is_exit_code_3(paperwire: Paperwire, home: Home, repository: Repository) -> None:
    repository.held["0704.0005"] = replace(repository.held["0704.0005"], damaged=True)
    said = paperwire("backfill", NAME, "--since", "2005-09-16", "--until", "2020-01-01")
    assert said.code == cli.INCOMPLETE
    assert said.out.startswith(
        "9 entries of arxiv-oai: 8 new to the archive, 1 lost\n  entry oai:arXiv.org:0704.0005: "
    )
    home.answers(lambda _: REFUSES)
    said = paperwire("backfill", NAME, "--since", "2006-09-16", "--until", "2020-01-01")
    assert said.code == cli.INCOMPLETE
    assert "backfill arxiv-oai: 2006-09-16 to 2020-01-01 has come to 2006-09-16" in paperwire("status").out
    assert said.out.splitlines()[-2:] == [
        f"✗ {REFUSED}",
        "it has come to 2006-09-16; the same command goes on there",
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((NAME, "--since", "long ago"), "--since 'long ago' is not a day such as 2026-06-02"),
        (("nobody", "--since", "2005-09-16"), "no source is named 'nobody'; known: "),
        (
            ("hf-daily", "--since", "2005-09-16"),
            "hf-daily cannot be asked for its past; sources that can are of the kind",
        ),
        ((NAME, "--since", "2005-09-16", "--until", "2999-01-01"), "--until 2999-01-01 is too late: from "),
    ],
)
def test_what_is_wrong_with_the_command_is_said(
    paperwire: Paperwire, arguments: tuple[str, ...], expected: str
) -> None:
    said = paperwire("backfill", *arguments)
    assert (said.code, said.out) == (cli.USAGE, "")
    assert expected in said.err


def test_an_interrupted_command_says_how_it_goes_on(room: Newsroom, home: Home, repository: Repository) -> None:
    killing = Kills(repository, skip=4, by=signal.SIGINT)
    home.answers(killing)
    command = [sys.executable, "-c", "from flows.cli import main; main()", "backfill", NAME]
    command += ["--since", "2005-09-16", "--until", "2020-01-01"]
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        env=room.env | {"PAPERWIRE_CONFIG": str(room.config)},
        stderr=subprocess.PIPE,
        preexec_fn=heed_interrupts,
    )
    killing.child = child
    killing.started.set()
    assert child.wait(60) == cli.INTERRUPTED
    assert child.stderr is not None
    assert child.stderr.read().decode() == "paperwire: interrupted; the same command goes on where it stopped\n"
