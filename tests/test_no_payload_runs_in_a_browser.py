"""No payload runs in a browser, loads anything or becomes an element, whichever field of whichever output it is in.

A share of what `python -m tests.xss` does, with Chromium's content policy off: what escapes is ours alone.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.screenshots import chromium
from tests.payloads import ADDRESSES, MUTATES, RUNS, WAITS, payloads
from tests.xss import Seen, look, told, unescaped
from tests.xss_outputs import Output, outputs

EVERY = 43

ALONE = (
    "<img src=x onerror=hit(1)>",
    "<a href=javascript:hit(1)>x</a>",
    "<meta http-equiv=refresh content='0;url=//evil.test/'>",
    "<img src=https://evil.test/x>",
    "<iframe></iframe>",
    "<script>hit(1)</script>",
    "<p onclick=hit(1)>x</p>",
    "<style>p{color:red}</style>",
)
needs_chromium = pytest.mark.skipif(
    chromium() is None, reason="no Chromium on this machine (install one or set PAPERWIRE_CHROMIUM)"
)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What is left out of a feed is logged, a line each."""
    caplog.set_level(logging.ERROR, logger="paperwire.feeds")


def test_there_are_hundreds_of_payloads_and_none_twice() -> None:
    every = payloads()
    assert len(every) == len(set(every)) >= 500
    assert {*RUNS, *WAITS, *MUTATES, *ADDRESSES} <= set(every)


@needs_chromium
def test_the_browser_tells_where_a_page_forgets_to_escape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [*RUNS, *WAITS, *payloads()[::10]]
    seen = look(unescaped(texts), tmp_path)
    with capsys.disabled():
        print(f"\n{len(texts)} payloads unescaped: {seen.hits} executions, {len(seen.foreign)} foreign requests")
    assert seen.hits > len(RUNS)
    assert len({url for url in seen.foreign if "evil.test" in url}) >= 1
    assert seen.odd > len(texts) / 2


@needs_chromium
def test_one_payload_is_enough(tmp_path: Path) -> None:
    good = Output("good", "nothing", b"<!doctype html><title>x</title><p>x</p>")
    bad = [replace(good, kind=text, what=text, content=good.content + text.encode()) for text in ALONE]
    seen = look([good, *bad], tmp_path, at_once=1)
    assert [text for text in ALONE if not any(text in fault for fault in seen.faults)] == []
    assert not any("good" in fault for fault in seen.faults)


@needs_chromium
def test_nothing_runs_loads_or_becomes_an_element(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts, started = payloads()[::EVERY], time.monotonic()
    seen: Seen = look(outputs(texts), tmp_path)
    with capsys.disabled():
        print(f"\n{told(seen, len(texts), time.monotonic() - started)}")
    assert seen.faults == []
    assert (seen.hits, seen.foreign, seen.odd) == (0, [], 0)
    assert len(seen.outputs) >= 28, "every kind of output"
