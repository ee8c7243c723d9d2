"""`paperwire why` holds every term of a query against a paper: a tick or a cross, and what the paper has."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows import cli
from storage.query import parse_query
from storage.settings import Topic
from storage.why import ALL_OF, ANY_OF, Weighed, weigh
from tests.builders import NOW, a_paper
from tests.finding_archive import commit, publish
from tests.newsroom import Newsroom, Paperwire, in_process
from tests.servers import Server
from tests.test_sql_and_python_read_a_query_alike import POOL, POOL_TOPICS, QUERY, resolved

PAPER = a_paper(
    title="Language models as agents",
    abstract="A large language model uses tools.",
    categories=("cs.CL", "cs.AI"),
    upvotes=3,
)
TOPICS = (
    Topic(slug="models", title="Models", query='"language model*" OR LLM*'),
    Topic(slug="robots", title="Robots", query='agent category:cs.RO -"survey of"'),
    Topic(slug="tools", title="Tools", query="tool -(title:agent OR survey)"),
    Topic(slug="far", title="Far", query="telescope category:astro-ph.IM"),
)


def weighed(query: str) -> Weighed:
    """The query held against PAPER."""
    return weigh(parse_query(query), PAPER, now=NOW, topics=["models"])


@given(QUERY, st.sampled_from(POOL))
@settings(max_examples=300, deadline=None)
def test_it_holds_just_where_the_query_finds_the_paper(text: str, paper: object) -> None:
    chosen = next(p for p in POOL if p is paper)
    query, topics = resolved(text), POOL_TOPICS.get(chosen.paper_id, ())
    found = weigh(query, chosen, now=NOW, topics=topics)
    assert found.holds is query.matches(chosen, NOW, topics)
    assert bool(found.lacking) is not found.holds
    for part in every_part(found):
        if part.says in (ALL_OF, ANY_OF):
            holds = all if part.says == ALL_OF else any
            assert part.holds is holds(below.holds for below in part.parts)


def every_part(whole: Weighed) -> list[Weighed]:
    """It and all below it."""
    return [whole, *(p for part in whole.parts for p in every_part(part))]


@pytest.mark.parametrize(
    ("query", "says", "found"),
    [
        ('"language model*"', '"language model*"', "language models in the title, language model in the abstract"),
        ("title:agent", "title:agent", "agents in the title"),
        ("video", "video", ""),
        ("category:cs.RO", "category:cs.RO", "cs.CL, cs.AI"),
        ("author:minta", "author:minta", "Ada Example, Béla Minta"),
        ("votes:>20", "votes:>20", "3"),
        ("stars:>20", "stars:>20", "nobody said"),
        ("code:yes", "code:yes", "no"),
        ("since:2026-06-05", "since:2026-06-05", "2026-06-02"),
        ("topic:robots", "topic:robots", "models"),
        ("id:12", "id:12", "arxiv:2606.00012"),
    ],
)
def test_each_term_says_what_the_paper_has(query: str, says: str, found: str) -> None:
    term = weighed(query)
    assert (term.says, term.found) == (says, found)


def test_a_phrase_keeps_its_quotes_and_what_is_lacking_is_the_least() -> None:
    assert [t.says for t in weighed('"tool use" OR (agent video)').lacking] == ['"tool use"']
    assert [t.says for t in weighed("agent video robot").lacking] == ["video", "robot"]
    assert [t.says for t in weighed("agent -tool").lacking] == ["not"]


def test_nearly_is_one_term_short_with_another_one_found() -> None:
    assert weighed("agent category:cs.RO").nearly
    assert weighed("(agent video) OR telescope").nearly
    assert weighed("category:cs.CL votes:>20").nearly
    assert not any(weighed(query).nearly for query in ("agent", "video", "video robot agent", "video -robot", "-agent"))
    assert not weighed("category:cs.CL (video OR telescope)").nearly, "every paper of a category would be near"


@pytest.fixture
def why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Paperwire:
    """The command, asked of an archive of that paper and one that was only loaded."""
    room = Newsroom(tmp_path, Server())
    loaded = a_paper(
        paper_id="arxiv:2606.00013", aliases=("arxiv:2606.00013",), title="An LLM", announced_at=None, announced_on=None
    )
    commit(room.home, [PAPER, loaded])
    publish(room.home, topics=TOPICS)
    lines = (f"[[topic]]\nslug = {t.slug!r}\ntitle = {t.title!r}\nquery = '{t.query}'\n" for t in TOPICS)
    room.config.write_text("".join(lines), encoding="utf-8")
    return in_process(room, monkeypatch, capsys)


def test_a_paper_names_its_topics_and_those_it_nearly_has(why: Paperwire) -> None:
    said = why("why", "https://arxiv.org/abs/2606.00012v2")
    assert (said.code, said.err) == (cli.OK, "")
    assert said.out.splitlines() == [
        "arxiv:2606.00012  Language models as agents",
        "✓ models  language models in the title, language model in the abstract",
        "✗ robots  nearly: lacks category:cs.RO (it has cs.CL, cs.AI)",
        "✗ tools   nearly: kept away by title:agent  agents in the title",
        "1 topic it is far from; `paperwire why PAPER TOPIC` explains one of them",
    ]


def test_a_topic_or_a_query_is_explained_term_by_term(why: Paperwire) -> None:
    assert why("why", "2606.00012", "tools").out.splitlines()[1:] == [
        "✗ tools: tool -(title:agent OR survey)",
        "  ✓ tool  tools in the abstract",
        "  ✗ not",
        "    ✓ title:agent  agents in the title",
    ]
    assert why("why", "2606.00012", "votes:>2 (video OR robot) -survey topic:models").out.splitlines()[1:] == [
        "✗ votes:>2 (video OR robot) -survey topic:models",
        "  ✓ votes:>2  3",
        "  ✗ none of video, robot",
        "  ✓ not survey",
        "  ✓ topic:models  models",
    ]


def test_a_paper_nobody_was_told_of_says_why_it_has_no_topic(why: Paperwire) -> None:
    assert "not tagged: readers were never told of it" in why("why", "2606.00013").out
    assert "not tagged" in why("why", "2606.00013", "models").out


def test_as_json_it_has_the_whole_tree(why: Paperwire) -> None:
    document = why("why", "2606.00012", "--json").document()
    assert [t["topic"] for t in document["topics"]] == ["models"]
    assert [(t["topic"], t["lacks"]) for t in document["near"]] == [("robots", "category:cs.RO"), ("tools", "not")]
    asked = why("why", "2606.00012", "agent -video", "--json").document()["asked"]
    assert (asked["whole"]["says"], asked["whole"]["holds"]) == ("all of", True)
    assert [part["says"] for part in asked["whole"]["parts"]] == ["agent", "not"]


def test_a_paper_nobody_knows_and_a_query_nobody_reads_are_one_line(why: Paperwire) -> None:
    said = why("why", "2606.99999")
    assert (said.code, said.out) == (cli.USAGE, "")
    assert "no paper has the id '2606.99999'" in said.err
    assert why("why", "2606.00012", "agent OR").code == cli.USAGE
