"""The installed `paperwire`: it teaches, answers people and programs, and says in one line and a code what is wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows import cli
from storage.errors import ArchiveCorrupt, ArchiveFull, ConfigError, MailDeferred, QueryError, SourceError
from tests.newsroom import GOOD_TITLES, ROOT, Newsroom, Paperwire, Said, arxiv_feed, good_routes, in_process, source
from tests.servers import Answer, Server
from tests.wire_tools import free_port, wait_for

NOW = ("--now", "2026-06-09T06:00:00Z")
COMMANDS = (
    *("demo", "preview", "push", "run", "send", "sources", "sql", "status", "topics", "up", "verify", "why"),
    *("backfill", "compact", "coverage", "enrich", "export", "history", "load", "merge", "search", "split", "trending"),
)
_AT_WORK_CPU_SECONDS = 3.0
MAIL = '[mail]\nto = ["reader@example.org"]\n'


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newsroom]:
    """A newsroom after its first pass; tests here may read it and pass again, and change nothing of its data."""
    with Server(good_routes()) as server:
        room = Newsroom(tmp_path_factory.mktemp("room"), server)
        room.configure()
        first = room.run("run", *NOW)
        assert (first.code, first.err) == (cli.OK, "")
        yield room


@pytest.fixture
def fresh(tmp_path: Path, room: Newsroom) -> Newsroom:
    """A newsroom with the same sources that has not done anything yet."""
    fresh = Newsroom(tmp_path, room.server)
    fresh.configure()
    return fresh


@pytest.fixture
def paperwire(room: Newsroom, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Paperwire:
    """The command, in this process and that room."""
    return in_process(room, monkeypatch, capsys)


@pytest.fixture
def at_fresh(fresh: Newsroom, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Paperwire:
    """The command, in this process and the fresh room."""
    return in_process(fresh, monkeypatch, capsys)


def help_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """What `--help` says."""
    cli.app([*command, "--help"], result_action="return_value")
    return capsys.readouterr().out


def failed(said: Said) -> str:
    """The one line on standard error of a command that failed; nothing else was said."""
    assert said.out == ""
    assert said.err.startswith("paperwire: ")
    assert said.err.count("\n") == 1, said.err
    assert "Traceback" not in said.err
    return said.err.removeprefix("paperwire: ").rstrip("\n")


# It teaches ---------------------------------------------------------------------------------------------------


def test_help_lists_every_command_and_exit_code(room: Newsroom) -> None:
    said = room.run("--help")
    assert (said.code, said.err) == (cli.OK, "")
    listed = re.findall(r"^│ ([a-z]+) ", said.out, re.M)
    assert sorted(listed) == sorted(COMMANDS)
    assert room.run().out == said.out, "without a command it teaches too"
    assert exit_codes_of(said.out) == exit_codes_of((ROOT / "docs" / "operate.md").read_text())


def exit_codes_of(text: str) -> list[int]:
    """The exit codes a text explains: in help, or in a Markdown table."""
    return [int(code) for code in re.findall(r"^(?:  |\| )(\d{1,3})(?:  +| \| )\w", text, re.M)]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_examples_and_explains_each_option(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = help_of(capsys, command)
    assert f"Usage: paperwire {command}" in said
    assert re.search(rf"^  paperwire {command}\b", said.partition("Examples:")[2], re.M)
    assert "Exit codes:\n  0    all well" in said
    rows = re.findall(r"^│ ((?:\*  )?(?:--|[A-Z]{3,}).*?)│$", said, re.M)
    assert rows
    assert [row for row in rows if len(row.split()) < 4] == [], "an option without a word about it"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_in_the_docs(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    docs = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    table = docs.partition("## Commands")[2].partition("### Exit codes")[0]
    assert re.search(rf"^\|[^|]*`{command}\b", table, re.M)
    options = set(re.findall(r"(--[a-z-]+)", help_of(capsys, command).partition("Examples:")[0]))
    assert [option for option in sorted(options) if option not in table] == []


def test_the_version_is_that_of_the_package(room: Newsroom) -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{room.run("--version").out.strip()}"' in pyproject


def test_help_needs_none_of_the_slow_modules() -> None:
    """They cost a second; who asks for help, or mistypes, should not wait for them."""
    slow = {"prefect", "duckdb", "pyarrow", "httpx", "pydantic", "feedgen", "lxml", "uvicorn", "starlette", "jinja2"}
    code = "import sys, flows.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted(slow & set(done.stdout.split())) == []


# It answers people and programs -------------------------------------------------------------------------------


def test_a_pass_is_a_line_for_each_source_and_what_it_changed(fresh: Newsroom) -> None:
    said = fresh.run("run", *NOW)
    lines = said.out.splitlines()
    assert lines[:3] == [
        "✓ arxiv-rss:cs.CL: 1 new of 1 entry",
        "✓ hf-daily:        1 new, 1 other of 1 entry",
        "✓ good:            1 new of 1 entry",
    ]
    assert re.fullmatch(r"3 new, 0 revised; \d+ files written", lines[3])
    assert lines[4] == str(fresh.home / "site" / "index.html")
    assert [line for line in lines[5:] if not line.startswith("  daily/found/2026-06-09 ")] == []


def test_in_a_pipe_there_are_no_colours_no_bars_and_no_empty_lines(room: Newsroom) -> None:
    for arguments in (("run", *NOW), ("verify",), ("status",), ("topics",)):
        said = room.run(*arguments, TERM="xterm-256color")
        assert said.err == ""
        assert not re.search(r"[\x1b\r]|[⠀-⣿━]|\n\n|\A\n| \n", said.out), (arguments, said.out)


JSON = {
    "run": ("run", *NOW),
    "preview": ("preview", "good"),
    "sql": ("sql", "SELECT * FROM papers ORDER BY paper_id"),
    "status": ("status",),
    "verify": ("verify",),
    "sources": ("sources",),
    "topics": ("topics",),
    "send": ("send", "--due"),
    "trending": ("trending", "--span", "week"),
    "push": ("push", "--dry-run"),
}


@pytest.mark.parametrize("name", JSON)
def test_json_is_one_document_and_nothing_else(name: str, room: Newsroom) -> None:
    said = room.run(*JSON[name], "--json")
    assert (said.code, said.err) == (cli.OK, "")
    document = said.document()
    expected: dict[str, Callable[[], bool]] = {
        "run": lambda: (
            [s["source"] for s in document["sources"]] == ["arxiv-rss:cs.CL", "hf-daily", "good"]
            and document["well"] is True
        ),
        "preview": lambda: document["total"] == 3 and len(document["days"]) == 30,
        "sql": lambda: sorted(row["title"] for row in document) == sorted(GOOD_TITLES),
        "status": lambda: document["papers"] == 3 and {s["error"] for s in document["sources"]} == {None},
        "verify": lambda: document["faults"] == [] and document["papers"] == 3,
        "sources": lambda: document[1]["kind"] == "hf-daily",
        "topics": lambda: (
            document == [{"topic": "found", "title": "Found", "papers": 3, "query": document[0]["query"]}]
        ),
        "send": lambda: isinstance(document, list),
        "trending": lambda: [(p["title"], p["votes"]) for p in document["papers"]] == [(GOOD_TITLES[1], 12.0)],
        "push": lambda: (document["webhooks"], document["pings"]["waiting"], document["trouble"]) == ([], 0, None),
    }
    assert expected[name](), document


def test_every_command_that_knows_json_is_tested_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    files = ("test_archive_commands", "test_a_load_is_exact_and_no_news", "test_a_backfill_says_how_far_it_is")
    files += ("test_coverage_is_told_as_it_is", "test_counts_are_asked_for_within_a_budget")
    files += ("test_why_explains_each_match",)
    elsewhere = [ROOT / "tests" / f"{name}.py" for name in files]
    text = "".join(path.read_text(encoding="utf-8") for path in elsewhere)
    tested = {*JSON, *re.findall(r"\(\"(\w+)\",[^\n]* \"--json\"", text)}
    assert {command for command in COMMANDS if "--json" in help_of(capsys, command)} == tested


def test_an_error_leaves_standard_output_empty_also_with_json(fresh: Newsroom) -> None:
    assert "nothing has been archived yet" in failed(fresh.run("sql", "--json", "SELECT 1"))


def test_values_that_json_does_not_know_are_said_in_those_it_knows(room: Newsroom) -> None:
    said = room.run(
        "sql",
        "--json",
        "SELECT 'nan'::DOUBLE AS nan, 1.25::DECIMAL(9,2) AS dec, INTERVAL 90 SECOND AS span, DATE '2026-06-09' AS day, "
        "TIMESTAMP '2026-06-09 06:00:00' AS moment, '\\xAB'::BLOB AS bytes, {'a': [1, NULL]} AS nested, "
        "170141183460469231731687303715884105727 AS huge, uuid() IS NOT NULL AS yes, 1 AS twice, 2 AS twice",
    )
    assert said.document() == [
        {
            "nan": None,
            "dec": 1.25,
            "span": 90.0,
            "day": "2026-06-09",
            "moment": "2026-06-09T06:00:00",
            "bytes": "ab",
            "nested": {"a": [1, None]},
            "huge": 170141183460469231731687303715884105727,
            "yes": True,
            "twice": 1,
            "twice_1": 2,
        }
    ]


def test_a_query_is_previewed_day_by_day(room: Newsroom) -> None:
    lines = room.run("preview", "title:good", "--days", "3").out.splitlines()
    assert lines[:2] == ["Sun 07 Jun  ·", "Mon 08 Jun  ·"]
    assert re.fullmatch(r"Tue 09 Jun  █+ 3", lines[2])
    assert lines[3] == "3 papers in 3 days: about 3 papers a weekday"
    sampled = [line for line in lines if re.match(r"  (arxiv|fp|doi):", line)]
    assert sorted(line.split("  ")[-1].strip() for line in sampled) == sorted(GOOD_TITLES)


def test_only_the_named_source_is_read(room: Newsroom) -> None:
    room.server.asked.clear()
    said = room.run("run", *NOW, "--source", "good")
    assert said.code == cli.OK
    assert room.server.paths == ["/good.xml"]
    assert said.out.splitlines()[0] == "✓ good: nothing new of 1 entry"


def test_status_before_the_first_pass_says_so_and_makes_nothing(fresh: Newsroom) -> None:
    said = fresh.run("status")
    assert (said.code, said.err) == (cli.OK, "")
    assert [line.rpartition(": ")[2].strip() for line in said.out.splitlines()[2:]] == ["not read yet"] * 3
    assert not fresh.home.exists()


# Which configuration -------------------------------------------------------------------------------------------


def test_the_configuration_is_the_one_named_else_that_of_the_environment_else_the_one_here(tmp_path: Path) -> None:
    for name in ("here", "environment", "named"):
        (tmp_path / name).mkdir()
        text = source(f"from-{name}", "feed", url="https://journal.test/feed")
        (tmp_path / name / "paperwire.toml").write_text(text)
    here, environment, named = (tmp_path / name / "paperwire.toml" for name in ("here", "environment", "named"))

    def read(*arguments: str, **env: str) -> str:
        listed = Newsroom(tmp_path, Server()).run("sources", "--json", *arguments, cwd=here.parent, **env)
        return str(listed.document()[0]["source"])

    assert read() == "from-here"
    assert read(PAPERWIRE_CONFIG=str(environment)) == "from-environment"
    assert read("--config", str(named), PAPERWIRE_CONFIG=str(environment)) == "from-named"


# What is wrong ------------------------------------------------------------------------------------------------

WRONG = {
    "an unknown command": (("runn",), r'Unknown command "runn".*See: paperwire --help'),
    "an unknown option": (("run", "--sorce", "x"), r"Unknown option: --sorce.*See: paperwire run --help"),
    "a missing query": (("sql",), r"QUERY.*See: paperwire sql --help"),
    "a word too many": (("status", "now"), r"now.*See: paperwire status --help"),
    "no number": (("preview", "x", "--days", "many"), r"--days.*See: paperwire preview --help"),
    "no days": (("preview", "x", "--days", "0"), r"--days.*>= 1"),
    "too many days": (("preview", "x", "--days", "1000000000"), r"--days.*<= 36500"),
    "a moment that is none": (("run", "--now", "yesterday"), r"--now 'yesterday' is not a moment such as 2026-06-02"),
    "an unknown source": (
        ("run", "--source", "bad"),
        r"no source is named 'bad'; known: arxiv-rss:cs.CL, hf-daily, good",
    ),
    "no configuration": (("run", "--config", "gone.toml"), r"gone.toml: no configuration here .*docs/operate.md"),
    "neither edition nor --due": (("send",), "name an edition, or say --due"),
    "an unknown edition": (
        ("send", "daily/x/2026-06-09"),
        r"no edition is named 'daily/x/2026-06-09'; the newest: daily/",
    ),
    "no SQL": (("sql", "SELEC 1"), r'SQL: Parser Error: syntax error at or near "SELEC"'),
    "empty SQL": (("sql", " "), "there is no statement in it"),
    "an unknown table": (("sql", "SELECT * FROM nope"), r"SQL: Catalog Error: Table with name nope does not exist!"),
    "a change by SQL": (("sql", "DELETE FROM topics"), r"SQL: .*read-only"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_command_is_one_line_and_exit_code_2(name: str, paperwire: Paperwire) -> None:
    arguments, expected = WRONG[name]
    said = paperwire(*arguments)
    assert said.code == cli.USAGE
    assert re.search(expected, failed(said)), said.err


QUERIES = {
    "LLM* AND (foo": ("this ( is never closed", 9),
    "titel:x": ("", 0),
    "a\tb )": ("this ) closes nothing", 4),
}


@pytest.mark.parametrize("query", QUERIES)
def test_a_wrong_query_is_pointed_at(query: str, paperwire: Paperwire) -> None:
    reason, position = QUERIES[query]
    said = paperwire("preview", query)
    first, shown, caret = said.err.splitlines()
    assert (said.code, said.out) == (cli.USAGE, "")
    assert first.startswith(f"paperwire: {reason}")
    assert shown == f"  {query}".replace("\t", " ")
    assert caret == "  " + " " * position + "^"


def test_sql_sees_the_archive_and_none_of_our_variables(paperwire: Paperwire) -> None:
    for name in ("query", "catalog", "home", "settings", "pa", "self", "sys"):
        said = paperwire("sql", f"SELECT * FROM {name}")
        assert re.fullmatch(rf"SQL: Catalog Error: Table with name {name} does not exist!.*", failed(said))
    said = paperwire("sql", "SELECT current_setting('python_enable_replacements') AS set")
    assert said.out.split() == ["set", "False"]


def test_what_was_never_archived_is_no_damage(fresh: Newsroom, at_fresh: Paperwire) -> None:
    for arguments in (("sql", "SELECT 1"), ("preview", "x"), ("verify",), ("send", "--due"), ("send", "a/b/c")):
        said = at_fresh(*arguments)
        assert said.code == cli.FAILED
        assert failed(said) == f"nothing has been archived yet in {fresh.home}; `paperwire run` reads the sources"
    assert not fresh.home.exists(), "asking makes nothing"


def test_a_flipped_byte_is_found_and_its_segment_named(fresh: Newsroom, at_fresh: Paperwire) -> None:
    at_fresh("run", *NOW)
    segment = fresh.home / "archive" / "log" / "000000000002.parquet"
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    said = at_fresh("verify")
    assert (said.code, said.err) == (cli.ARCHIVE, "")
    assert "fault log/000000000002.parquet is damaged: it no longer has the bytes that were committed" in said.out
    assert re.search(r"^3 commits in 3 files, .*: \d+ faults?$", said.out, re.M)
    assert at_fresh("verify", "--json").document()["faults"]


def test_mail_is_announced_by_a_dry_run_and_sent_without_one(fresh: Newsroom, at_fresh: Paperwire) -> None:
    fresh.configure(more=f"{MAIL}send_after = 23:59:59\n")
    at_fresh("run")  # by the clock of `send`: a first newsletter looks back a few days
    fresh.configure(more=MAIL)
    outbox = fresh.home / "outbox"
    announced = at_fresh("send", "--due", "--dry-run")
    assert (announced.code, announced.err) == (cli.OK, "")
    assert re.fullmatch(r"  daily/found/\d{4}-\d\d-\d\d 1 would be sent\n", announced.out)
    assert not outbox.exists() or not list(outbox.iterdir())
    assert at_fresh("status", "--json").document()["editions"] == []
    sent = at_fresh("send", "--due")
    assert sent.out == announced.out.replace("would be sent", "sent")
    assert len(list(outbox.glob("*.eml"))) == 1
    assert at_fresh("send", "--due").out == "nothing is due\n"
    assert at_fresh("send", sent.out.split()[0]).out == f"  {sent.out.split()[0]} 0 sent\n"


def test_mail_that_cannot_be_delivered_is_exit_code_4(fresh: Newsroom, at_fresh: Paperwire) -> None:
    fresh.configure(more=f'{MAIL}smtp_url = "smtp://127.0.0.1:{free_port()}"\n')
    said = at_fresh("run", *NOW)
    assert (said.code, said.err) == (cli.UNSENT, "")
    assert re.search(r"^  daily/found/2026-06-09 0 sent, 1 deferred$", said.out, re.M)
    assert at_fresh("send", "--due").code == cli.UNSENT


def test_a_source_that_lost_something_is_exit_code_3_before_mail_that_waits(
    fresh: Newsroom, at_fresh: Paperwire
) -> None:
    mail = f'{MAIL}smtp_url = "smtp://127.0.0.1:{free_port()}"\n'
    fresh.configure(source("gone", "feed", url=fresh.server.url("/nothing-here")), more=mail)
    said = at_fresh("run", *NOW)
    assert said.code == cli.INCOMPLETE
    assert "✗ gone:            HTTP 404: there is nothing at this address" in said.out
    assert (at_fresh("status").code, at_fresh("verify").code) == (cli.INCOMPLETE, cli.OK)


def test_each_kind_of_error_has_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    def ends(error: BaseException) -> int:
        def command() -> int:
            raise error

        return cli._guarded(command)

    errors = {
        ConfigError("no"): 2,
        QueryError("x", 0, "no"): 2,
        SourceError("s", "no"): 1,
        MailDeferred("later"): 4,
        ArchiveCorrupt("no"): 5,
        ArchiveFull("no"): 5,
        OSError(28, "No space left on device"): 5,
        PermissionError(13, "Permission denied", "/x"): 1,
        KeyboardInterrupt(): 130,
    }
    assert {type(error).__name__: ends(error) for error in errors} == {type(e).__name__: c for e, c in errors.items()}
    assert "Traceback" not in capsys.readouterr().err


# How it ends --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="when DuckDB is at work is seen in /proc")
def test_an_interrupted_query_is_one_line(room: Newsroom) -> None:
    endless = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE hash(a.range * b.range) % 7 = 3"
    child = room.start("sql", endless)
    try:
        wait_for("DuckDB at work", lambda: _cpu_seconds(child.pid) > _AT_WORK_CPU_SECONDS or None)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    finally:
        child.kill()
    assert (child.returncode, out) == (cli.INTERRUPTED, "")
    assert err == "paperwire: interrupted; what was committed stays committed\n"


def _cpu_seconds(pid: int) -> float:
    """What a process has used so far; starting takes less than two seconds of it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_reader_who_has_had_enough_is_no_error(flags: tuple[str, ...], room: Newsroom) -> None:
    child = room.start("sql", "SELECT repeat('x', 1000) AS x FROM range(2000)", *flags)
    assert child.stdout
    child.stdout.readline()
    child.stdout.close()
    assert child.stderr
    assert child.stderr.read() == ""
    assert child.wait(20) == cli.INTERRUPTED


def test_a_pass_again_is_said_to_bring_nothing(fresh: Newsroom, at_fresh: Paperwire) -> None:
    fresh.server.routes["/rss/cs.CL"] = Answer(body=arxiv_feed())
    try:
        at_fresh("run", "--now", "2026-06-09T08:00:00")
        said = at_fresh("run", "--now", "2026-06-09T09:00:00")
    finally:
        fresh.server.routes |= good_routes()
    assert said.out.splitlines()[:2] == ["✓ arxiv-rss:cs.CL: nothing new", "    no papers announced on 2026-06-09"]
    assert "0 new, 0 revised; no file changed" in said.out
