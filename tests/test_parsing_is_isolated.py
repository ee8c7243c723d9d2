"""Whatever a body does to the parser costs that body: the next one is parsed as if nothing had happened."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.parsing import ParsedFeed, Parser
from storage.errors import ParseError
from storage.settings import Limits

GOOD = (
    b"<?xml version='1.0'?><rss version='2.0'><channel><title>t</title><item><title>one</title></item></channel></rss>"
)


def rss(item: bytes, *, declaration: bytes = b"<?xml version='1.0'?>") -> bytes:
    """An RSS feed with one <item> of this content."""
    return declaration + b"<rss version='2.0'><channel><title>t</title><item>" + item + b"</item></channel></rss>"


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    """One warm parser for the whole file: each test also shows that the ones before left it in order."""
    with Parser(Limits(parse_cpu_seconds=2)) as parser:
        yield parser


def parse(parser: Parser, body: bytes, content_type: str | None = None) -> ParsedFeed:
    return parser.parse("journal", body, content_type=content_type)


def reason(parser: Parser, body: bytes, content_type: str | None = None) -> str:
    """Parse what is no usable feed, and return why it is none."""
    with pytest.raises(ParseError) as caught:
        parse(parser, body, content_type)
    assert caught.value.source == "journal"
    assert "\n" not in str(caught.value)
    return caught.value.reason


def outcome(parser: Parser, body: bytes) -> ParsedFeed | str:
    """Parse anything: a feed, or the one line that says why it is none."""
    try:
        return parse(parser, body)
    except ParseError as error:
        return str(error)


def child_of(parser: Parser) -> subprocess.Popen[bytes]:
    assert parser._child is not None
    return parser._child


# Bodies that raise, hang or eat memory in feedparser 6.0.14

RAISING = {
    "an encoding that decodes to nonsense": rss(b"", declaration=b"<?xml version='1.0' encoding='punycode'?>"),
    "an encoding of no text": rss(b"", declaration=b"<?xml version='1.0' encoding='undefined'?>"),
    "a surrogate as a character reference": rss(b"<title>&#55296;</title>"),
    "a character reference beyond Unicode": rss(b"<title>&#1114112;</title>"),
    "a backslash in an entity": b"<!DOCTYPE rss [<!ENTITY p 'C:\\data'>]>" + rss(b"<title>&p;</title>"),
    "a broken GML dimension": rss(
        b"<w:where xmlns:w='http://www.georss.org/georss'><g:Point xmlns:g='http://www.opengis.net/gml'"
        b" srsName='urn:x' srsDimension='x'><g:pos>1 2</g:pos></g:Point></w:where>"
    ),
    "a declaration inside a declaration": rss(b"<description><![CDATA[<!h<!h<!h<]]></description>"),
}


@pytest.mark.parametrize("what", RAISING)
def test_a_body_that_feedparser_raises_on_is_a_feed_or_one_reason(parser: Parser, what: str) -> None:
    got = outcome(parser, RAISING[what])
    assert got.count("\n") == 0 if isinstance(got, str) else got.version == "rss20"
    assert parse(parser, GOOD).entries[0].title == "one"


def attributes(count: int) -> bytes:
    """An element with so many attributes that feedparser takes minutes: its time grows with their square."""
    return rss(b"<description " + b" ".join(b'a%d="1"' % n for n in range(count)) + b">x</description>")


def test_a_body_that_takes_too_long_costs_itself_only() -> None:
    with Parser(Limits(parse_cpu_seconds=1)) as parser:
        assert reason(parser, attributes(60_000)) == "parsing it takes more than 1 s of CPU"
        assert parse(parser, GOOD).entries[0].title == "one"


def test_an_author_of_sixty_kilobytes_takes_no_time(parser: Parser) -> None:
    for text in (b"a" * 60_000, b"x@" + b"a." * 30_000, b"a" * 30_000 + b"@" + b"a-" * 15_000):
        assert len(parse(parser, rss(b"<title>one</title><author>" + text + b"</author>")).entries) == 1


def many(count: int) -> bytes:
    """A feed with that many small entries."""
    entries = b"".join(b"<item><title>%d</title><guid>%d</guid></item>" % (n, n) for n in range(count))
    return b"<rss version='2.0'><channel>" + entries + b"</channel></rss>"


def test_the_cpu_limit_counts_per_document_and_not_per_child() -> None:
    body = many(1_000)
    with Parser(Limits(parse_cpu_seconds=1)) as parser:
        parse(parser, body)
        child = child_of(parser)
        while cpu_seconds(child.pid) < 2.5:
            parse(parser, body)
        assert child_of(parser) is child


def cpu_seconds(pid: int) -> float:
    """The CPU time a process has used (proc(5): utime and stime of /proc/PID/stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_body_that_needs_too_much_memory_costs_itself_only() -> None:
    with Parser(Limits(parse_memory_bytes=150_000_000)) as parser:
        first, child = parse(parser, GOOD), child_of(parser)
        said = reason(parser, rss(b"<title>" + b"x" * 40_000_000 + b"</title>"))
        assert said == "parsing it takes more than 150,000,000 bytes of memory"
        assert parse(parser, GOOD) == first
        assert child_of(parser) is not child  # what is left of its memory is not relied on


def test_a_feed_with_too_many_entries_is_refused(parser: Parser) -> None:
    with Parser(Limits(entries_max=100)) as small:
        assert len(parse(small, many(100)).entries) == 100
        assert reason(small, many(101)) == "it has 101 entries, more than 100"


def test_entities_that_multiply_are_not_expanded(parser: Parser) -> None:
    levels = b"".join(b"<!ENTITY l%d '%s'>" % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 12))
    body = (
        b"<?xml version='1.0'?><!DOCTYPE rss [<!ENTITY l0 'ha'>"
        + levels
        + b"]>"
        + rss(b"<title>&l11;</title>", declaration=b"")
    )
    got = outcome(parser, body)
    assert isinstance(got, str) or len(got.entries[0].title) < 1_000
    assert parse(parser, GOOD).entries[0].title == "one"


def test_no_file_is_read_because_a_body_looks_like_its_path(parser: Parser, tmp_path: Path) -> None:
    feed = tmp_path / "feed.xml"
    feed.write_bytes(GOOD)
    assert "not a feed" in reason(parser, str(feed).encode())


def test_no_file_is_read_because_an_entity_names_it(parser: Parser, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    body = b"<?xml version='1.0'?><!DOCTYPE rss [<!ENTITY s SYSTEM '%s'>]>" % secret.as_uri().encode()
    feed = parse(parser, body + rss(b"<title>&s;</title>", declaration=b""))
    assert "secret" not in repr(feed.entries)


# The child


def test_a_child_killed_between_two_bodies_is_replaced(parser: Parser) -> None:
    parse(parser, GOOD)
    child = child_of(parser)
    child.kill()
    child.wait()
    assert parse(parser, GOOD).entries[0].title == "one"
    assert child_of(parser) is not child


def test_a_child_that_dies_on_a_body_says_how() -> None:
    with Parser(Limits(parse_cpu_seconds=30)) as parser:
        parse(parser, GOOD)
        killer = threading.Timer(0.3, child_of(parser).send_signal, (signal.SIGKILL,))
        killer.start()
        assert reason(parser, attributes(60_000)) == "the parser died on it (status -9)"
        assert parse(parser, GOOD).entries[0].title == "one"


def test_a_child_that_cannot_start_says_why() -> None:
    with Parser(Limits(parse_memory_bytes=1_000_000)) as parser:
        assert reason(parser, GOOD)


def test_closing_ends_the_child() -> None:
    with Parser(Limits()) as parser:
        parse(parser, GOOD)
        child = child_of(parser)
        assert child.poll() is None
    assert child.poll() is not None


def test_a_child_ends_with_its_parent() -> None:
    script = (
        "import os, sys\nfrom flows.parsing import Parser\nfrom storage.settings import Limits\n"
        f"p = Parser(Limits())\np.parse('x', {GOOD!r}, content_type=None)\n"
        "print(p._child.pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    pid = int(ran.stdout)
    gone_by = time.monotonic() + 10
    while alive(pid) and time.monotonic() < gone_by:
        threading.Event().wait(0.02)
    assert not alive(pid)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_interrupt_from_the_terminal_does_not_reach_the_child(parser: Parser) -> None:
    parse(parser, GOOD)
    assert os.getsid(child_of(parser).pid) != os.getsid(0)


def test_the_child_imports_nothing_of_the_application() -> None:
    script = "import runpy, sys; runpy.run_path('flows/parse_child.py'); print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    loaded = set(ran.stdout.split())
    assert not loaded & {"flows", "storage", "publishers", "prefect", "httpx", "pydantic", "lxml", "duckdb"}


def test_a_file_in_the_current_folder_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "feedparser.py").write_text("raise SystemExit('wrong feedparser')")
    monkeypatch.chdir(tmp_path)
    with Parser(Limits()) as parser:
        assert parse(parser, GOOD).entries[0].title == "one"


def test_the_child_writes_nothing_to_our_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with Parser(Limits(parse_cpu_seconds=1)) as parser:
        parse(parser, GOOD)
        reason(parser, attributes(60_000))
    assert capfd.readouterr() == ("", "")


NOISY = """
class api: ...

class mixin:
    class _FeedParserMixin: ...

def parse(*args, **options):
    print("noise")
    raise ValueError("one")
"""


def test_a_parser_that_prints_does_not_garble_the_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "feedparser.py").write_text(NOISY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Parser(Limits()) as parser:
        for _ in range(2):
            assert reason(parser, GOOD) == "the parser fails on it (ValueError: one)"


def test_a_text_that_json_cannot_carry_is_mended(parser: Parser) -> None:
    """Half of a letter beyond the 65,536th, which Python holds and no encoding does."""
    item = r'{"id": "1", "title": "T \ud83d", "authors": [{"name": "A\udc00"}]}, {"id": "2", "title": "é 🜚"}'
    body = f'{{"version": "https://jsonfeed.org/version/1.1", "items": [{item}]}}'
    broken, whole = parse(parser, body.encode()).entries
    assert (broken.title, broken.authors, whole.title) == ("T ?", ("A?",), "é 🜚")


def test_threads_take_turns(parser: Parser) -> None:
    titles: list[str] = []

    def work(name: str) -> None:
        for number in range(10):
            title = f"{name}{number}"
            feed = parse(parser, rss(b"<title>" + title.encode() + b"</title>"))
            titles.append(title if feed.entries[0].title == title else f"wrong: {feed.entries[0].title}")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(titles) == sorted(f"{name}{n}" for name in "abcd" for n in range(10))


# Every hostile feed there is


SLOW_SECONDS = 10


@pytest.mark.slow
def test_no_file_of_other_parsers_test_suites_gets_through(unpack: Callable[[str], Path]) -> None:
    """All files of the pack, some 3,000: each is a feed or one named reason, and none needs a limit to end it.

    A good feed that is read in between by the same child comes out the same each time.
    """
    files = sorted(path for path in unpack("feeds_nasty").rglob("*") if path.is_file())
    outcomes, limits = Counter[str](), Limits()
    slowest = 0.0
    with Parser(limits) as parser:
        good, child = parse(parser, GOOD), child_of(parser)
        before = peak_bytes(child.pid)
        for number, path in enumerate(files):
            started = time.monotonic()
            got = outcome(parser, path.read_bytes())
            slowest = max(slowest, time.monotonic() - started)
            assert not isinstance(got, str) or ("\n" not in got and "takes more" not in got and "died" not in got), path
            outcomes[kind_of(got)] += 1
            assert number % 20 or parse(parser, GOOD) == good, f"another feed is read otherwise after {path}"
        assert child_of(parser) is child, "one child has read them all"
        after = peak_bytes(child.pid)
    print(f"\n{len(files):,} files, slowest {slowest:.2f} s, child {after / 1e6:.0f} MB ({before / 1e6:.0f} idle)")
    print("\n".join(f"  {count:5}  {kind}" for kind, count in outcomes.most_common()))
    assert len(files) > 2_900
    assert slowest < SLOW_SECONDS
    assert after < limits.parse_memory_bytes / 2
    assert sum(count for kind, count in outcomes.items() if kind not in FEEDS) < 0.02 * len(files)
    assert outcomes["feed with entries"] > 1_700
    assert {kind for kind in outcomes if kind.startswith("the parser fails")} == set(), "an exception that was let out"


FEEDS = ("feed with entries", "feed without entries", "part of a feed")


def kind_of(got: ParsedFeed | str) -> str:
    """What became of a body: a feed, or the reason without its details."""
    if isinstance(got, ParsedFeed):
        return "part of a feed" if got.problem else FEEDS[0] if got.entries else FEEDS[1]
    return re.sub(r" \(.*|: .*", "", got.partition(": ")[2])


def peak_bytes(pid: int) -> int:
    """The most memory a process has held so far (proc(5): VmHWM of /proc/PID/status)."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) * 1024


@pytest.mark.slow
def test_a_child_that_stands_still_is_ended_by_the_clock() -> None:
    """Stopped, it uses no CPU; neither a body that is not taken nor an answer that does not come holds us up."""
    for body in (GOOD, rss(b"<title>" + b"x" * 1_000_000 + b"</title>")):
        with Parser(Limits(parse_cpu_seconds=1)) as parser:
            parse(parser, GOOD)
            child_of(parser).send_signal(signal.SIGSTOP)
            assert reason(parser, body) == "parsing it takes more than 8 s"
            assert parse(parser, GOOD).entries[0].title == "one"
