"""What is trending: the boards of the day, week and month as pages, feeds of the week's, cards for other pages.

Votes decide which papers stand on a board and which entries are in its feed, and they are shown on pages; no byte of
an entry depends on them (publishers/feeds.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property

from publishers import page_models as show
from publishers.channels import EVERYTHING, Channel, topic_channel
from publishers.feed_model import Feed, FeedSite
from publishers.feeds import papers_feed
from publishers.health import moment
from publishers.page_frame import PageSite, alternates, render, stem_links
from storage.catalog import Catalog
from storage.model import TaggedPaper
from storage.trending import DAY, PLACES, SPANS, WEEK, Board, Place, Score, Span, board, scores_of
from storage.watched import Watch

_SUMMARY_CHARACTERS = 160
_CARDS_MAX = 3
_SPARE = 10  # places beyond those shown, for papers that turn out to be withdrawn
_WIDTH, _HEIGHT = 120, 24  # of a sparkline
_VALUES_MIN = 3  # different counts of votes, the first of them 0, for a line to be drawn
_TITLES = {"day": "Trending today", "week": "Trending this week", "month": "Trending this month"}
_RULES = {
    "day": "Votes, comments, stars and citations of the last 24 hours; they count half for every 12 hours that a paper"
    " has been listed. Every fourth place is for a new paper that nobody has voted on yet.",
    "week": "Votes, comments, stars and citations of the last 7 days; they count half for every 14 days that a paper"
    " has been listed.",
    "month": "Votes, comments, stars and citations of the last 30 days; they count half for every 60 days that a paper"
    " has been listed.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """A place on a board with its paper."""

    place: Place
    paper: TaggedPaper


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A board with its papers, best first: what is shown of it."""

    span: Span
    as_of: datetime
    stands: tuple[Stand, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spark:
    """A small plot of votes: `path` draws it in a box of `width` by `height`, `label` says the same in words."""

    path: str
    label: str
    width: int = _WIDTH
    height: int = _HEIGHT


class Boards:
    """The boards of one snapshot, each made when it is first asked for."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._made: dict[tuple[str, str | None], Standing] = {}
        self._scores: dict[str, dict[str, Score]] = {}
        self._known: dict[str, TaggedPaper | None] = {}

    def standing(self, span: Span, topic: str | None = None) -> Standing:
        """The board of all papers, or of a topic by its slug. Raises ArchiveError."""
        key = span.name, topic
        if key not in self._made:
            self._made[key] = self._standing(span, topic)
        return self._made[key]

    @cached_property
    def _watch(self) -> Watch:
        return self._catalog.watch()

    def _scored(self, span: Span) -> dict[str, Score]:
        """Each paper is scored once a span, in however many topics it is."""
        if span.name not in self._scores:
            self._scores[span.name] = scores_of(self._watch.papers, span, as_of=self._watch.as_of)
        return self._scores[span.name]

    def prepare(self, span: Span, topics: Sequence[str]) -> None:
        """Make the boards of many topics: their papers are read from the archive at once."""
        found = {topic: self._board(span, topic) for topic in (None, *topics)}
        self._papers_of(list(found.values()))
        for topic, ranked in found.items():
            self._made.setdefault((span.name, topic), standing(ranked, self._papers_of([ranked])))

    def _board(self, span: Span, topic: str | None) -> Board:
        return board(
            self._watch.papers,
            span,
            as_of=self._watch.as_of,
            places=PLACES + _SPARE,
            topic=topic,
            scores=self._scored(span),
        )

    def _papers_of(self, boards: Sequence[Board]) -> list[TaggedPaper]:
        """The papers of these boards."""
        wanted = list(dict.fromkeys(place.score.paper_id for found in boards for place in found.places))
        missing = [paper_id for paper_id in wanted if paper_id not in self._known]
        if missing:
            self._known |= dict.fromkeys(missing) | {t.paper.paper_id: t for t in self._catalog.papers(missing)}
        return [tagged for paper_id in wanted if (tagged := self._known[paper_id])]

    def _standing(self, span: Span, topic: str | None) -> Standing:
        found = self._board(span, topic)
        return standing(found, self._papers_of([found]))


def standing(found: Board, papers: Sequence[TaggedPaper]) -> Standing:
    """A board with its papers, of which some may be gone or withdrawn: the next ones take their places."""
    by_id = {tagged.paper.paper_id: tagged for tagged in papers if not tagged.paper.withdrawn}
    left = [place for place in found.places if place.score.paper_id in by_id][:PLACES]
    stands = (
        Stand(place=replace(place, rank=rank), paper=by_id[place.score.paper_id])
        for rank, place in enumerate(left, start=1)
    )
    return Standing(span=found.span, as_of=found.as_of, stands=tuple(stands))


def board_path(span: Span) -> str:
    """Return `trending/<span>.html`."""
    return f"trending/{span.name}.html"


def board_files(site: PageSite, boards: Boards) -> Iterator[tuple[str, bytes]]:
    """Yield the page of each board: its path within the site, its bytes."""
    for span in SPANS.values():
        yield board_path(span), board_page(site, boards.standing(span))


def board_page(site: PageSite, shown: Standing) -> bytes:
    """Return the page of a board: each paper with its rank, why it has it, and its votes over time."""
    span = shown.span
    stem = trending_stem(EVERYTHING)
    return render(
        "board.html.j2",
        site,
        path=board_path(span),
        title=_TITLES[span.name],
        rule=_RULES[span.name],
        as_of=shown.as_of if shown.stands else None,
        window=span.words,
        boards=[(s.name.title(), f"../{board_path(s)}", s is span) for s in SPANS.values()],
        rows=[
            (stand.place.rank, _card(site, stand), stand.place.sentence, spark(stand.place)) for stand in shown.stands
        ],
        feeds=stem_links(stem, "../"),
        topics=[
            (channel.title, f"../{channel.page}", stem_links(trending_stem(channel), "../"))
            for channel in _topics(site)
        ],
        alternates=alternates(stem, f"{site.title}: trending", "../"),
    )


def trending_stem(channel: Channel) -> str:
    """Return the path of a channel's feed of what trends, without its extension."""
    return f"{channel.stem}/trending"


def trending_feed(site: FeedSite, channel: Channel, shown: Standing) -> Feed:
    """Return the feed of a board: its papers, newest announced first, each entry as in every other feed.

    A paper that leaves the board leaves the feed. What was never announced as new is on boards only.
    """
    papers = [s.paper for s in shown.stands if s.paper.paper.announced_at is not None and not s.place.newcomer]
    return papers_feed(site, trending_channel(channel, shown.span), papers)


def trending_channel(channel: Channel, span: Span) -> Channel:
    """Return what the feed of a channel's board is about."""
    return replace(
        channel,
        title=f"{channel.title}: trending",
        description=f"What most people vote for, talk of and cite in {span.words}. {channel.title}.",
        stem=trending_stem(channel),
        page=board_path(span) if channel.kind == EVERYTHING.kind else channel.page,
    )


def trending_feeds(site: FeedSite, channels: Sequence[Channel], boards: Boards) -> Iterator[Feed]:
    """Yield the feed of the week's board for all papers and for each topic among `channels`."""
    topics = [channel for channel in channels if channel.kind == "topic"]
    boards.prepare(WEEK, [channel.key for channel in topics])
    yield trending_feed(site, EVERYTHING, boards.standing(WEEK))
    for channel in topics:
        yield trending_feed(site, channel, boards.standing(WEEK, channel.key))


def trending_cards(site: PageSite, boards: Boards, topic: str | None, *, root: str) -> tuple[show.Card, ...]:
    """Return the three best papers of a topic (None: of all) today, else this week, each card with its `reason`."""
    for span in (DAY, WEEK):
        ranked = [s for s in boards.standing(span, topic).stands if not s.place.newcomer]
        if ranked:
            return tuple(
                replace(
                    show.card(s.paper, site.topics, root=root, summary_max=0, without=topic or ""),
                    reason=s.place.sentence,
                )
                for s in ranked[:_CARDS_MAX]
            )
    return ()


def spark(place: Place) -> Spark | None:
    """Draw a paper's votes since it was listed; None where they rose once at most: such a line says nothing more."""
    points = place.votes
    if len({value for _, value in points}) < _VALUES_MIN or not points[-1][1]:
        return None
    first, last = points[0][0], points[-1][0]
    length, top = max(last - first, timedelta(seconds=1)), points[-1][1]
    drawn = [
        (round(_WIDTH * ((at - first) / length)), round((_HEIGHT - 2) * (1 - value / top)) + 1) for at, value in points
    ]
    path = "M" + "L".join(f"{x} {y}" for x, y in dict.fromkeys(drawn))
    began = show.plain_day(first.astimezone(UTC).date())
    return Spark(path=path, label=f"{show.counted(round(top), 'vote')} from {began} to {moment(last)}")


def _card(site: PageSite, stand: Stand) -> show.Card:
    return show.card(stand.paper, site.topics, root="../", summary_max=_SUMMARY_CHARACTERS, categories=site.categories)


def _topics(site: PageSite) -> Iterator[Channel]:
    return (topic_channel(topic) for topic in site.topics)
