"""A key for a provider reaches that provider, over whatever it redirects, and is in no file, log or error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.counters import GitHub, key_of
from storage.errors import ConfigError, FetchError
from tests.counting_house import House, archived, as_json, asking, numbered, settings_for
from tests.fetching_tools import a_fetcher, a_source
from tests.servers import Answer, Server

SCHOLAR, ALEX = "semantic-scholar", "openalex"


@pytest.fixture
def house() -> Iterator[House]:
    """The three providers on a server that knows nothing yet."""
    with Server() as server:
        yield House(server)


KEYS = {"SEMANTIC_SCHOLAR_API_KEY": "key-of-scholar", "OPENALEX_API_KEY": "key-of-alex", "GITHUB_TOKEN": "key-of-hub"}


@pytest.mark.parametrize("provider", [SCHOLAR, ALEX])
def test_keys_reach_their_provider_and_nothing_that_is_kept(house: House, tmp_path: Path, provider: str) -> None:
    settings = settings_for(tmp_path, house.server, citations=provider, stars=True)
    archived(settings, [numbered(1, code_url="https://github.com/lab/code")])
    assert all(report.well for report in asking(settings, environ=KEYS).values())
    paper, repository = house.server.asked
    assert repository.headers["authorization"] == "Bearer key-of-hub"
    sent = paper.headers.get("x-api-key") or paper.path.partition("&api_key=")[2]
    assert sent == ("key-of-scholar" if provider == SCHOLAR else "key-of-alex")
    for path in (p for p in tmp_path.rglob("*") if p.is_file()):
        assert b"key-of-" not in path.read_bytes(), path


def test_a_key_stays_with_the_origin_it_is_for(house: House, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, house.server, stars=True)
    archived(settings, [numbered(1, code_url="https://github.com/lab/code")])
    with Server({"*": as_json({"stargazers_count": 3})}) as elsewhere:
        house.server.routes["*"] = Answer(status=302, headers={"Location": elsewhere.url("/stolen")})
        asking(settings, environ=KEYS)
        assert "authorization" not in elsewhere.asked[0].headers


def test_a_key_that_is_none_is_named_and_not_shown() -> None:
    for bad in ("two words", "line\nbreak", "umläut"):
        with pytest.raises(ConfigError, match=r"^\$GITHUB_TOKEN is no key") as caught:
            key_of(GitHub(), {"GITHUB_TOKEN": bad})
        assert bad not in str(caught.value)
    assert key_of(GitHub(), {"GITHUB_TOKEN": " spare \n"}) == "spare"
    assert key_of(GitHub(), {}) is None


def test_a_question_is_never_sent_on_to_somewhere_else(house: House) -> None:
    house.server.routes["/ask"] = Answer(status=307, headers={"Location": "/other?key=1"})
    with (
        a_fetcher() as fetcher,
        pytest.raises(FetchError, match=r"it sends a question elsewhere, to http://[\d.:]+/other$"),
    ):
        fetcher.post(a_source(), house.server.url("/ask"), b"{}")
    assert [ask.method for ask in house.server.asked] == ["POST"]
