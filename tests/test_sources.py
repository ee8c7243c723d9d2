"""What all sources share: addresses under a mirror, statuses in words, bad entries one by one, names, code links."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest

from flows.sources import adapter_for
from flows.sources.reading import code_url, plain, rebased, repository, require_ok, sift, split_names
from storage.errors import EntryError, FetchError
from storage.model import Entry
from storage.settings import Source, SourceKind
from tests.builders import an_entry
from tests.fetching_tools import a_source, fetched

KINDS: tuple[SourceKind, ...] = get_args(SourceKind)
NOW = datetime(2026, 6, 2, 6, 0, tzinfo=UTC)


def of_kind(kind: SourceKind, base_url: str | None = None) -> Source:
    return a_source(
        kind=kind,
        category="cs.CL",
        days=2,
        url="https://journal.test/a/rss?x=1",
        base_url=base_url,
        query="x",
        venue="V",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_an_adapter_with_a_cadence(kind: SourceKind) -> None:
    adapter = adapter_for(kind)
    assert len(adapter.default_schedule.split()) == 5
    assert adapter.delay_seconds >= 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_mirror_replaces_scheme_and_host_and_keeps_its_own_path(kind: SourceKind) -> None:
    adapter = adapter_for(kind)
    own = [r.url for r in adapter.plan(of_kind(kind), now=NOW)]
    mirrored = [r.url for r in adapter.plan(of_kind(kind, "http://127.0.0.1:9/replay/"), now=NOW)]
    assert [url.partition("//")[2].partition("/")[2] for url in own] == [
        url.removeprefix("http://127.0.0.1:9/replay/") for url in mirrored
    ]
    assert all(url.startswith("https://") for url in own)


@pytest.mark.parametrize(
    ("url", "base", "result"),
    [
        ("https://a.test/rss/cs.CL", None, "https://a.test/rss/cs.CL"),
        ("https://a.test/rss/cs.CL", "http://b.test:8", "http://b.test:8/rss/cs.CL"),
        ("https://a.test/api?date=1", "http://b.test/x/", "http://b.test/x/api?date=1"),
        ("https://a.test", "http://b.test/x", "http://b.test/x"),
    ],
)
def test_an_address_is_rebased(url: str, base: str | None, result: str) -> None:
    assert rebased(url, base) == result


@pytest.mark.parametrize("status", [200, 203, 206])
def test_a_success_is_no_error(status: int) -> None:
    require_ok(a_source(), fetched(b"", status=status))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "HTTP 404: there is nothing at this address"),
        (410, "HTTP 410: this address is gone for good"),
        (418, "HTTP 418: no success"),
        (429, "HTTP 429: it is asked too often"),
        (503, "HTTP 503: the server fails"),
    ],
)
def test_a_status_is_put_into_words(status: int, words: str) -> None:
    with pytest.raises(FetchError) as caught:
        require_ok(a_source(), fetched(b"", status=status, retry_after_seconds=7.0))
    assert (caught.value.reason, caught.value.status, caught.value.retry_after_seconds) == (words, status, 7.0)


def test_one_bad_entry_costs_that_entry() -> None:
    def make(number: int) -> Entry:
        if number == 2:
            raise EntryError("journal", "", "it is the second")
        if number == 3:
            raise EntryError("journal", "g3", "it is the third")
        return an_entry(entry_id=str(number))

    entries, problems = sift(make, [1, 2, 3, 4])
    assert [e.entry_id for e in entries] == ["1", "4"]
    assert problems == ("entry number 2: it is the second", "entry g3: it is the third")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Ada Example, Béla Minta", ("Ada Example", "Béla Minta")),
        ("Ada Example (Inst, City), Béla Minta", ("Ada Example", "Béla Minta")),
        ("A B (Inst (Dept, Floor), City), C D (X)", ("A B", "C D")),
        ("Daniel P\\'erez Herrera,  Zheng\n Chen", ("Daniel P\\'erez Herrera", "Zheng Chen")),
        ("A B) and more, C D", ("A B and more", "C D")),
        ("Ada", ("Ada",)),
        (" , ,", ()),
        ("", ()),
    ],
)
def test_names_are_split_at_commas_outside_parentheses(text: str, names: tuple[str, ...]) -> None:
    assert split_names(text) == names


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Code: https://github.com/lab/tool.", "https://github.com/lab/tool"),
        (r"code\footnote{https://github.com/bort64/ood\_code}.", "https://github.com/bort64/ood_code"),
        ("see (github.com/lab/tool.py), and", "https://github.com/lab/tool.py"),
        ("http://www.GitHub.com/Lab/Tool/tree/main/x", "https://github.com/Lab/Tool"),
        ("https://github.com/lab/tool.git", "https://github.com/lab/tool"),
        (r"\href{https://github.com/lab/tool}{here}", "https://github.com/lab/tool"),
        ("https://gitlab.com/group/sub/tool/-/tree/main", "https://gitlab.com/group/sub/tool"),
        ("https://github.com/orgs/lab, later https://github.com/lab/tool", "https://github.com/lab/tool"),
        ("https://github.com/orgs/lab/people", None),
        ("https://github.com/lab", None),
        ("https://github.com/lab/..", None),
        ("https://lab.github.io/tool/", None),
        ("https://gist.github.com/lab/123", None),
        ("https://notgithub.com/lab/tool", None),
        ("someone@github.com/lab/tool", None),
        ("no code", None),
    ],
)
def test_the_first_repository_in_a_text_is_found(text: str, found: str | None) -> None:
    assert repository(text) == found


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("https://github.com/lab/given/tree/main", "https://github.com/lab/given"),
        ("https://github.com/\nlab/given.git", "https://github.com/lab/given"),
        ("https://code.test/lab/given", "https://code.test/lab/given"),
        ("  ", "https://github.com/lab/named"),
        (None, "https://github.com/lab/named"),
    ],
)
def test_a_given_code_link_wins_over_one_in_the_abstract(given: str | None, found: str) -> None:
    assert code_url(given, "as https://github.com/lab/named shows") == found


@pytest.mark.parametrize(
    ("text", "media_type", "seen"),
    [
        ("a $x<y$ b &amp; c", "text/plain", "a $x<y$ b &amp; c"),
        ("a $x<y$ b &amp; c", "text/html", "a $x<y$ b & c"),
        ("<p>a</p><p>b</p>", "text/plain", "a\nb"),
        ("<jats:p>a <jats:italic>b</jats:italic></jats:p>", "text/plain", "a b"),
    ],
)
def test_markup_is_read_as_such_where_it_is_said_or_seen(text: str, media_type: str, seen: str) -> None:
    assert plain(text, media_type) == seen
