"""The demo's server answers as arXiv's feeds and Hugging Face's lists do, element by element and byte by byte."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from lxml import etree

from flows.replay import DemoData, DemoPaper, ReplayServer, Told, answer
from tests.demo_world import DATA, FIRST, LAST, NAMESPACES, at, captured_lists, creators, daily, feed

SATURDAY = date(2026, 6, 13)


@pytest.fixture(scope="module")
def rss_folder(unpack: Callable[[str], Path]) -> Path:
    return unpack("arxiv_rss_replay")


@pytest.fixture(scope="module")
def listed(unpack: Callable[[str], Path]) -> dict[str, tuple[str, dict[str, Any]]]:
    return captured_lists(unpack("hf_daily_raw"))


# --- the dialect ---


def replayed(path: Path) -> DemoData:
    """The papers of a captured RSS feed as demo data."""
    day = date.fromisoformat(path.name[:10])
    papers = [as_demo_paper(item, day) for item in etree.fromstring(gzip.decompress(path.read_bytes())).iter("item")]
    return DemoData(about=(), staged=(), days=(day,), papers=tuple(papers))


def as_demo_paper(item: Any, day: date) -> DemoPaper:
    arxiv_id, version = re.match(r"oai:arXiv\.org:(.+)v(\d+)$", item.findtext("guid")).groups()  # type: ignore[union-attr]
    summary = item.findtext("description").split("Abstract: ", 1)[1]
    return DemoPaper(
        arxiv_id=arxiv_id,
        title=item.findtext("title"),
        authors=tuple(creators(item)),
        categories=tuple(category.text for category in item.iter("category")),
        summary=summary,
        told=(Told(day=day, version=int(version), kind="new", summary=summary),),
        listing=None,
        license_url=item.findtext("dc:rights", namespaces=NAMESPACES),
        staged=False,
    )


def in_any_order(body: bytes) -> bytes:
    """The lines sorted and announce types blanked: for several categories arXiv leaves both to its database."""
    alike = re.sub(rb"(Announce Type: |announce_type>)(new|cross)", rb"\1", body)
    return b"\n".join(sorted(alike.split(b"\n")))


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        *(("rss", query) for query in ("cs.AI", "cs.CL", "cs.CV", "cs.LG", "eess.IV", "cs.AI+cs.LG+cs.CL")),
        *(("atom", query) for query in ("cs.CL", "cs.AI+cs.LG+cs.CL")),
    ],
)
def test_captured_papers_come_back_as_the_bytes_arxiv_sends(rss_folder: Path, kind: str, query: str) -> None:
    paths = sorted(rss_folder.glob(f"*_{kind}_{query}.xml.gz"))
    assert len(paths) == 15
    for path in paths:
        data = replayed(rss_folder / path.name.replace(f"_{kind}_", "_rss_"))
        rendered_at = datetime.fromisoformat(f"{path.name[:10]}T04:00:02+00:00")
        served, wanted = answer(data, f"/{kind}/{query}", rendered_at).body, gzip.decompress(path.read_bytes())
        if "+" in query:
            served, wanted = in_any_order(served), in_any_order(wanted)
        assert served.strip() == wanted.strip(), path.name


def shape(root: Any) -> set[tuple[str, tuple[str, ...]]]:
    """Each element by its path and the attributes it has."""
    found = set()
    for element in root.iter():
        path = [element.tag, *(parent.tag for parent in element.iterancestors())]
        found.add(("/".join(reversed(path)), tuple(sorted(element.keys()))))
    return found


@pytest.mark.parametrize("kind", ["rss", "atom"])
def test_the_demos_feeds_have_only_elements_that_arxivs_have(rss_folder: Path, kind: str) -> None:
    captured = [etree.fromstring(gzip.decompress(p.read_bytes())) for p in sorted(rss_folder.glob(f"*_{kind}_cs.CL*"))]
    captured += [etree.parse(p).getroot() for p in sorted(rss_folder.glob(f"edge/2023-*_{kind}_*.xml"))]
    known = set().union(*(shape(root) for root in captured))
    # Named in arXiv's specification; no captured paper has one.
    entry = (
        "rss/channel/item" if kind == "rss" else "{http://www.w3.org/2005/Atom}feed/{http://www.w3.org/2005/Atom}entry"
    )
    known.add((f"{entry}/{{http://arxiv.org/schemas/atom}}journal_reference", ()))
    for query in ("cs.CL", "cs.IT", "cs.AI+cs.LG", "cs"):
        for day in DATA.days:
            root = feed(query, day, kind)
            assert root.nsmap == captured[0].nsmap
            assert shape(root) <= known


def test_an_unknown_category_is_arxivs_error_feed(rss_folder: Path) -> None:
    def timeless(body: bytes) -> bytes:
        return re.sub(rb"<(lastBuildDate|pubDate|updated)>[^<]*<", rb"<\1><", body).strip()

    for target, name in (("/rss/notacat", "err_badarchive_400"), ("/atom/zz", "err_atom_400")):
        reply = answer(DATA, target, at(FIRST))
        assert reply.status == 400
        assert timeless(reply.body) == timeless((rss_folder / "edge" / f"{name}.xml").read_bytes())


@pytest.mark.parametrize("query", ["cs.ZZ", "cs.AI++", "nosuch", "cs.CL.x", "cs.AI+nosuch"])
def test_a_query_that_names_nothing_is_400_with_a_valid_feed(query: str) -> None:
    reply = answer(DATA, f"/rss/{query}", at(FIRST))
    root = etree.fromstring(reply.body)
    assert (reply.status, reply.content_type) == (400, "application/rss+xml")
    assert root.findtext("channel/title") == f"Feed error for query: http://rss.arxiv.org/rss/{query}"
    assert root.find("channel/item") is None


def test_a_category_without_papers_in_the_demo_is_a_valid_empty_feed() -> None:
    root = feed("astro-ph.GA", date(2026, 6, 10))
    assert root.findtext("channel/title") == "astro-ph.GA updates on arXiv.org"
    assert root.find("channel/item") is None


def test_case_does_not_matter_and_archives_are_named_first() -> None:
    assert feed("CS.cl+eess", FIRST).findtext("channel/title") == "eess, cs.CL updates on arXiv.org"


def test_the_day_begins_at_midnight_in_new_york() -> None:
    before = answer(DATA, "/rss/cs.CL", datetime(2026, 6, 9, 3, 59, tzinfo=UTC)).body
    after = answer(DATA, "/rss/cs.CL", datetime(2026, 6, 9, 4, 0, tzinfo=UTC)).body
    assert b"<pubDate>Mon, 08 Jun 2026 00:00:00 -0400</pubDate>" in before
    assert b"<pubDate>Tue, 09 Jun 2026 00:00:00 -0400</pubDate>" in after


def test_the_same_batch_read_later_differs_in_its_build_date_only() -> None:
    early, late = (answer(DATA, "/rss/cs.CV", at(FIRST, hour)).body.splitlines() for hour in (6, 18))
    different = [line for line, other in zip(early, late, strict=True) if line != other]
    assert [line.split(b">")[0].strip() for line in different] == [b"<lastBuildDate"]


def test_lists_have_only_keys_that_hugging_faces_have(listed: dict[str, tuple[str, dict[str, Any]]]) -> None:
    outer_keys = set().union(*(outer for _, outer in listed.values()))
    inner_keys = set().union(*(outer["paper"] for _, outer in listed.values()))
    author_keys = {key for _, outer in listed.values() for author in outer["paper"]["authors"] for key in author}
    for day in DATA.days:
        for outer in daily(day, LAST):
            assert set(outer) <= outer_keys
            assert set(outer["paper"]) <= inner_keys
            assert {key for author in outer["paper"]["authors"] for key in author} <= author_keys


# --- over the wire ---


@pytest.fixture
def server() -> Iterator[ReplayServer]:
    with ReplayServer(DATA) as running:
        yield running


def get(server: ReplayServer, path: str, **headers: str) -> httpx.Response:
    return httpx.get(server.base_url + path, headers=headers, trust_env=False)


def test_the_server_speaks_for_both_providers(server: ReplayServer) -> None:
    rss, atom, papers = (get(server, p) for p in ("/rss/cs.CL", "/atom/cs.CL", "/api/daily_papers?date=2026-06-08"))
    assert [r.status_code for r in (rss, atom, papers)] == [200, 200, 200]
    assert (rss.headers["content-type"], atom.headers["content-type"]) == (
        "application/rss+xml",
        "application/atom+xml",
    )
    assert len(papers.json()) == len(daily(FIRST, FIRST)) > 0
    assert get(server, "/api/daily_papers").json() == papers.json()
    assert get(server, "/api/daily_papers?date=soon").status_code == 400
    assert get(server, "/nothing/here").status_code == 404


def test_its_clock_is_set_by_its_owner(server: ReplayServer) -> None:
    first = get(server, "/rss/cs.CV").content
    server.now = at(SATURDAY)
    assert b"<item>" in first
    assert b"<item>" not in get(server, "/rss/cs.CV").content


def test_an_unchanged_answer_is_304_until_the_clock_moves(server: ReplayServer) -> None:
    etag = get(server, "/rss/cs.CL").headers["etag"]
    again = get(server, "/rss/cs.CL", **{"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    server.now += timedelta(seconds=1)
    assert get(server, "/rss/cs.CL", **{"If-None-Match": etag}).status_code == 200


def test_it_stops_with_its_block_and_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    with ReplayServer(DATA) as running:
        assert get(running, "/rss/cs.CL").status_code == 200
    with pytest.raises(httpx.ConnectError):
        get(running, "/rss/cs.CL")
    assert capfd.readouterr() == ("", "")
