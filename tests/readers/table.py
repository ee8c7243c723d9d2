"""docs/readers.md: what was measured, as a table, and what is known of each reader beside it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence

from storage.text import fold
from tests.readers.following import Followed
from tests.readers.replayed import DAYS, MAIN, OF_TOPIC, REVISIONS, REVISIONS_OF_TOPIC, Replayed
from tests.wire_tools import ROOT

PAGE = ROOT / "docs" / "readers.md"
COMMAND = ".venv/bin/python -m tests.readers --write"
_VERSION = 1  # its column
_COLUMNS = (
    *("reader", "version", "format", "polled", "papers", "a topic's", "revisions", "lost", "doubled", "unread again"),
    *("304", "shows a new title", "shows of the authors"),
)
_RULE = ("---",) * len(_COLUMNS)
_FORMATS = {"atom": "Atom", "rss": "RSS", "json": "JSON Feed"}
_EVERY = {1: "daily", 3: "every third day"}


def rows(replayed: Replayed, followed: Iterable[Followed]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """A row of the table for each reader, under its name, format and how often it polls."""
    made = [_row(replayed, one) for one in followed]
    return {_key(row): row for row in made}


def _row(replayed: Replayed, one: Followed) -> tuple[str, ...]:
    feeds = one.feeds
    return (
        one.reading.driver.name,
        one.version,
        _FORMATS[one.reading.extension],
        _EVERY[one.reading.every_days],
        _counts(one, MAIN),
        "the same entries" if one.reading.driver.one_copy else _counts(one, OF_TOPIC),
        _counts(one, REVISIONS if REVISIONS in feeds else REVISIONS_OF_TOPIC),
        str(sum(len(feed.lost) for feed in feeds.values())),
        str(sum(len(feed.doubled) for feed in feeds.values())),
        str(len(one.again)),
        f"{one.unchanged} of {one.answered}",
        _new_titles(replayed, one),
        _authors(replayed, one),
    )


def _counts(one: Followed, stem: str) -> str:
    feed = one.feeds.get(stem)
    return f"{feed.held:,} of {feed.published:,}" if feed else "–"


def _new_titles(replayed: Replayed, one: Followed) -> str:
    """Whether entries whose title changed have the last one."""
    stem = one.reading.feeds[0]
    published = replayed.published(stem)
    told = Counter(fold(one.shown[i].title) == fold(published[i].title) for i in replayed.renamed(stem))
    return "yes" if not told[False] else f"{told[True]} of {told.total()}" if told[True] else "no"


def _authors(replayed: Replayed, one: Followed) -> str:
    """Whom it names of those papers that have several authors: all, the first, the last."""
    several = [e for e in replayed.published(one.reading.feeds[0]).values() if len(e.authors) > 1]
    named = Counter(_named(e.authors, one.shown[e.id].authors) for e in several)
    return ", ".join(sorted(named, key=lambda kind: (-named[kind], kind)))


def _named(authors: Sequence[str], shown: str) -> str:
    if all(name in shown for name in authors):
        return "all"
    return "the first" if authors[0] in shown else "the last" if authors[-1] in shown else "nobody"


def _key(row: Sequence[str]) -> tuple[str, ...]:
    return (row[0], row[2], row[3])


def page(measured: Iterable[tuple[str, ...]], replayed: Replayed) -> str:
    """The whole page."""
    table = "\n".join(f"| {' | '.join(row)} |" for row in (_COLUMNS, _RULE, *measured))
    head = _HEAD.format(
        days=len(DAYS),
        papers=f"{len(replayed.published(MAIN)):,}",
        revisions=f"{len(replayed.published(REVISIONS)):,}",
        renamed=f"{len(replayed.renamed(MAIN)):,}",
        command=COMMAND,
    )
    return f"{head}\n{table}\n{_TAIL}"


def written() -> dict[tuple[str, ...], tuple[str, ...]]:
    """The rows of the page as it lies in docs/."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")] if PAGE.exists() else []
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    return {_key(row): row for row in cells if len(row) == len(_COLUMNS) and row not in (_COLUMNS, _RULE)}


def stale(measured: dict[tuple[str, ...], tuple[str, ...]]) -> list[str]:
    """What the page says otherwise than it was measured, a line each.

    A reader that is not installed here is not compared; another version of one is told of in CI only, where the
    versions are those of the page: elsewhere it is enough that it does the same.
    """
    known, lines = written(), []
    for key, row in measured.items():
        said = known.get(key, ())
        differ = [
            f"{column}: {old} → {new}"
            for place, (column, old, new) in enumerate(zip(_COLUMNS, said or ("",) * len(row), row, strict=True))
            if old != new and (place != _VERSION or os.environ.get("CI"))
        ]
        lines += [f"{', '.join(key)}: {line}" for line in differ]
    return lines


_HEAD = """# Readers

What feed readers make of our feeds, measured: {days} mornings of arXiv (1 to 15 June 2026) went through the pipeline,
with replacements and withdrawals added; each reader polled what was published then, without a screen, and was asked
from its own store what it holds. The user read everything after each poll.

{papers} papers were published and {revisions} revisions; {renamed} papers changed their title while in the feed.
`{command}` measures again and writes this page; a test compares.
"""

_TAIL = """
*papers*, *a topic's*, *revisions*: different ids held of those published. *lost*, *doubled*: over all feeds it polled.
*unread again*: entries that had been read and were shown as unread once more. *304*: answers without a body.

What a reader does by itself:

* **newsboat** and **elfeed** keep one entry for an id, whichever feed brings it: a paper in three topics is read once.
* **sfeed**, as it is shipped, takes an entry whose title changed for another one. One function in `sfeedrc` makes it go
  by the id: `merge() { sort -t '<tab>' -u -k6,6 "$3" "$2"; }`.
* **rss2email** mails a paper once and never again; what happens later comes from the revisions feed. It makes its mails
  slowly, so it was given a topic's feeds here.
* **Liferea**, as it is shipped, keeps a hundred entries a feed, and of this fortnight had the last hundred in the end;
  here it keeps all (properties of the feed → archive). The title of an entry stays as it came first.
* **reader** keeps entries by feed: a paper in two feeds is two entries.
* Polled every third day nothing is lost: a feed reaches back 72 hours. A title that changes after that stays unseen.
* Where a reader names one author only, the full list stands at the end of each entry's text. Titles with TeX are shown
  as they are published, in Unicode.

Citation clients read the pages of papers (`tests/test_a_citation_client_reads_our_pages.py`): html-metadata, with which
Wikipedia's citation service reads pages, and papis into its own library have title, all authors, day, DOI, PDF and
abstract of 30 papers with TeX, DOIs, accents and long lists of authors. html-metadata reads the arXiv id from the page,
papis from the BibTeX beside it.
"""
