"""Every captured file goes through the adapter of its format and yields entries, or is named with why it does not."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from flows.parsing import Parser
from flows.sources import adapter_for
from flows.sources.interface import Request
from storage.errors import EntryError, SourceError
from storage.model import Entry
from storage.settings import Limits, Source
from storage.text import clean
from tests.fetching_tools import a_source, fetched
from tests.preprint_documents import NOW, source_of
from tests.recordings import Recorded, answers_in, as_list
from tests.registry_tools import ARTICLES, JOURNAL, PAGE, SEARCH

pytestmark = pytest.mark.slow

# Two lots, which take about as long as each other; two children parse them at the same time.
PACKS = (
    ("arxiv_query_feed_history",),
    (
        *("arxiv_rss_replay", "arxiv_api", "arxiv_oai", "oai_generic", "hf_daily_raw", "journal_feeds", "crossref"),
        *("pubmed", "semanticscholar", "multi", "feeds_nasty"),
    ),
)
FORMATS = (  # by what the path says, the first that fits: the format and the kind of source that reads it
    (r"^arxiv_rss_replay/.*_atom_", "arXiv's Atom", "arxiv-rss"),
    (r"^arxiv_rss_replay/", "arXiv's RSS", "arxiv-rss"),
    (r"^arxiv_api/|/arxiv_transformer\.xml$", "arXiv's API", "arxiv-api"),
    (r"^arxiv_oai/", "arXiv's OAI-PMH", "arxiv-oai"),
    (r"^oai_generic/", "OAI-PMH elsewhere", "arxiv-oai"),
    (r"/daily_papers|^hf_daily_raw/|/hf_daily", "Hugging Face", "hf-daily"),
    (r"^crossref/", "Crossref", "crossref"),
    (r"^pubmed/|/pubmed_efetch\.xml$", "PubMed", "pubmed"),
    (r"^arxiv_query_feed_history/", "one feed's history", "feed"),
    (r"^journal_feeds/|/sample_feed\.xml$", "journals' feeds", "feed"),
    (r"^feeds_nasty/", "tests of parsers", "feed"),
)
NO_ADAPTER = (
    (r"^semanticscholar/|/semantic_scholar_", "Semantic Scholar is no source of ours"),
    (r"/stubdata/output/.*\.json$|/crossref_abs_monitor/", "what another program made of answers"),
    (r"\.opml$|/journals\.yml$", "a list of feeds, and no feed"),
    (r"/pubmed_esearch\.json$", "a list of ids, which says what to ask for"),
)
AN_ENTRY = re.compile(rb"<(?:[\w.-]+:)?(?:item|entry)[\s>]", re.IGNORECASE)
FIELDS = ("id", "title", "authors", "abstract", "date")

CAME = {  # format → files, files with entries, entries, single entries that were lost
    "one feed's history": (334, 333, 50_267, 0),
    "arXiv's Atom": (43, 34, 3_730, 0),
    "arXiv's RSS": (120, 87, 10_946, 0),
    "arXiv's API": (23, 20, 436, 0),
    "arXiv's OAI-PMH": (127, 99, 2_112, 0),
    "no adapter": (103, 0, 0, 0),
    "OAI-PMH elsewhere": (19, 6, 6, 0),
    "Hugging Face": (182, 182, 4_001, 0),
    "journals' feeds": (31, 24, 2_614, 0),
    "Crossref": (128, 50, 1_898, 1),
    "PubMed": (163, 128, 134, 0),
    "tests of parsers": (2_988, 658, 3_893, 1_146),
}
LEAST = {  # format → the least share of entries that have each of FIELDS
    "one feed's history": (1, 1, 1, 1, 1),
    "arXiv's Atom": (1, 1, 1, 1, 1),
    "arXiv's RSS": (1, 1, 1, 1, 1),
    "arXiv's API": (1, 1, 1, 1, 1),
    "arXiv's OAI-PMH": (1, 1, 1, 1, 0.62),  # oai_dc dates nothing that is a paper's own
    "OAI-PMH elsewhere": (1, 1, 1, 0.66, 0),
    "Hugging Face": (1, 1, 1, 1, 1),
    "journals' feeds": (1, 1, 0.77, 0.26, 0.81),  # as their XML has them
    "Crossref": (1, 0.99, 0.85, 0.38, 0.97),  # front matter has no authors, and few publishers give abstracts
    "PubMed": (1, 1, 1, 0.9, 1),
    "tests of parsers": (0.85, 0.95, 0.58, 0.85, 0.77),
}
NOTHING = {  # format → how many files yield nothing, by reason without its details
    "one feed's history": {"it lists nothing": 1},
    "arXiv's Atom": {"no papers announced": 8, "arXiv refuses the query": 1},  # weekends; an error feed
    "arXiv's RSS": {"no papers announced": 30, "arXiv refuses the query": 3},
    "arXiv's API": {"arXiv does not": 2, "arXiv refuses the query": 1},
    "arXiv's OAI-PMH": {
        "it refuses the request": 11,
        "it does not continue the list": 1,
        "no paper has changed": 2,
        "it returned ListIdentifiers where records were asked for": 4,
        "it returned ListMetadataFormats where records were asked for": 1,
        "it returned ListSets where records were asked for": 1,
        "it returned Identify where records were asked for": 1,
        "it returned <record>, which is no OAI-PMH answer": 4,
        "it returned <collection>, which is no OAI-PMH answer": 1,
        "it returned no XML": 2,
    },
    "OAI-PMH elsewhere": {
        "it refuses the request": 5,
        "it does not continue the list": 1,
        "no paper has changed": 1,
        "it returned ListIdentifiers where records were asked for": 2,
        "it returned ListMetadataFormats where records were asked for": 1,
        "it returned ListSets where records were asked for": 1,
        "it returned Identify where records were asked for": 1,
        "it returned no XML": 1,
    },
    "journals' feeds": {"it lists nothing": 6, "it returned XML with the root <searchResults>, not a feed": 1},
    "Crossref": {
        "HTTP 301": 2,
        "HTTP 302": 4,
        "HTTP 400": 14,
        "HTTP 404": 17,
        "HTTP 504": 1,
        "it returned JSON that is no list of works": 34,  # of journals, members, agencies
        "it returned damaged JSON": 1,  # XML
        "its entries are unusable": 1,  # a hand-made copy, its DOI escaped twice
        "the list ends": 2,  # after works that are no papers
        "left out": 1,
        "it lists nothing": 1,
    },
    "PubMed": {
        "it returned no articles": 31,  # other databases and tools of the same provider
        "PubMed says": 2,
        "it returned damaged XML": 1,
        "none of 1 articles came": 1,
    },
    "tests of parsers": {
        "it lists nothing": 1_180,  # tests of what stands outside entries
        "its entries are unusable": 1_127,  # tests of one element, which is neither title nor id
        "the feed breaks off before its first entry ends": 12,
        "it returned XML with the root <CHANNEL>, not a feed": 7,
        "it returned XML with the root <rdf:RDF>, not a feed": 1,
        "it returned an HTML page": 2,
        "it returned text that is no XML, not a feed": 1,
    },
    "no adapter": {
        "what another program made of answers": 54,
        "Semantic Scholar is no source of ours": 44,
        "a list of feeds, and no feed": 4,
        "a list of ids, which says what to ask for": 1,
    },
}
BY_NAME = {  # files that yield nothing, and how their reason begins
    "2026-06-06_rss_cs.LG.xml.gz": "no papers announced on 2026-06-06",
    "edge/err_badarchive_400.xml": "arXiv refuses the query: Bad archive 'notacat'.",
    "id_0000.0000_s0_m100_8b51d9633a68.json": "arXiv does not know 0000.0000",
    "provider_code/err_token.xml": "it does not continue the list: badResumptionToken",
    "sample_data/ListRecordsBroken.xml": "it returned no XML (",
    "fixtures/non_feed.xml": "it returned XML with the root <searchResults>, not a feed",
    "docs/feeds/qiushi.xml": "it lists nothing",
    "rcrossref/tests/fixtures/cr_agency.yml": "it returned JSON that is no list of works",
    "Entrez/esummary8.xml": "PubMed says 'Neither query_key nor id specified'",
    "fixtures/semantic_scholar_transformer.json": "Semantic Scholar is no source of ours",
    "feeds/finance.opml": "a list of feeds, and no feed",
    "parser/rss/version_rdf_090.xml": "it returned XML with the root <rdf:RDF>, not a feed",
}


@dataclass
class Row:
    """What the files of one format came to."""

    files: int = 0
    yielding: int = 0
    entries: int = 0
    accepted: int = 0  # entries that the archive takes
    known: Counter[str] = field(default_factory=Counter)
    nothing: dict[str, str] = field(default_factory=dict)  # file → why it yields nothing
    problems: int = 0  # single entries that were lost

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of entries that have each of FIELDS."""
        return tuple(self.known[name] / max(1, self.entries) for name in FIELDS)


def first(table: tuple[tuple[str, ...], ...], name: str) -> tuple[str, ...] | None:
    """The row of a table whose pattern fits a file's name, without the pattern."""
    return next((row[1:] for row in table if re.search(row[0], name)), None)


def answers(name: str, path: Path) -> Iterator[Recorded]:
    """What a file holds: answers with their status, as they were recorded, or one body."""
    body = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if name.startswith("arxiv_api/") and path.suffix == ".json":
        kept = json.loads(body)
        yield Recorded(file=name, url=kept["url"], status=kept["status_code"], body=kept["body"].encode(), headers={})
    elif path.suffix in (".yaml", ".yml"):
        yield from answers_in(path, name)
    else:
        yield Recorded(file=name, url="", status=400 if "_400." in name else 200, body=body, headers={})


def asked(kind: str, answer: Recorded) -> tuple[Source, Request]:
    """The source an answer is read for, and the request that it answers."""
    feed = Request(url="https://feed.test/rss", key="feed")
    if kind == "arxiv-api":
        ids = re.search(r"id_list=([^&]+)", answer.url)
        source = source_of(kind, query=ids[1].replace("%2C", ",").replace("%2F", "/") if ids else "cat:cs.CV")
        return source, adapter_for("arxiv-api").plan(source, now=NOW, mark="1991-09-01T00:00:00+00:00")[0]
    if kind == "hf-daily":
        day = re.search(r"20\d\d-\d\d-\d\d", answer.file)
        return a_source(name=kind, kind=kind, days=1), replace(feed, key=day[0] if day else "2026-06-01")
    if kind in ("crossref", "pubmed"):
        return (JOURNAL, PAGE) if kind == "crossref" else (SEARCH, ARTICLES)
    if kind == "arxiv-oai":
        return a_source(name=kind, kind=kind), replace(feed, key="from 2026-05-31")
    return (a_source(name=kind, kind=kind, category="cs.LG") if kind == "arxiv-rss" else a_source(name=kind)), feed


def read_file(parser: Parser, kind: str, file: list[Recorded]) -> tuple[list[Entry], tuple[str, ...], str]:
    """(entries, problems of single entries, why nothing came) of all answers in a file."""
    entries: list[Entry] = []
    problems: tuple[str, ...] = ()
    reasons = []
    for answer in file:
        source, request = asked(kind, answer)
        body = as_list(answer) if kind == "crossref" else answer.body
        try:
            harvest = adapter_for(source.kind).read(source, request, fetched(body, status=answer.status), parser)
        except SourceError as error:
            reasons.append(error.reason)
            continue
        entries += harvest.entries
        singles = tuple(problem for problem in harvest.problems if problem.startswith(("entry", "list of")))
        problems += singles
        told = (*harvest.problems, *(note for note in harvest.notes if not note.startswith("its XML is not")))
        reasons.append("; ".join(told) or "it lists nothing")
    return entries, problems, reasons[0] if reasons else "it holds no answer"


def has(entry: Entry) -> Iterator[str]:
    """The names of FIELDS that an entry has."""
    identity = entry.entry_id or entry.doi or entry.arxiv_id
    said = (identity, entry.title, entry.authors, entry.abstract, entry.published_at or entry.announced_on)
    return (name for name, value in zip(FIELDS, said, strict=True) if value)


def is_accepted(entry: Entry) -> bool:
    """Whether the archive takes an entry: it has a title, and breaks no limit."""
    try:
        return bool(clean(entry, Limits()).title)
    except EntryError:
        return False


@pytest.fixture(scope="module")
def rows(unpack: Callable[[str], Path]) -> dict[str, Row]:
    """format → what its files came to; files that no adapter is for are a format of their own."""
    lots = [[(name, unpack(name)) for name in names] for names in PACKS]
    with ThreadPoolExecutor(len(lots)) as pool:
        found = {name: row for lot in pool.map(read_packs, lots) for name, row in lot.items()}
    print_table(found)
    return found


def read_packs(packs: list[tuple[str, Path]]) -> dict[str, Row]:
    """Read every file of some packs."""
    found: dict[str, Row] = {}
    with Parser(Limits(parse_cpu_seconds=30)) as parser:
        for pack, folder in packs:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                take(found, f"{pack}/{path.relative_to(folder).as_posix()}", path, parser)
    return found


def take(found: dict[str, Row], name: str, path: Path, parser: Parser) -> None:
    """Read a file and count what came of it."""
    if said := first(NO_ADAPTER, name):
        row = found.setdefault("no adapter", Row())
        row.files += 1
        row.nothing[name] = said[0]
        return
    chosen = first(FORMATS, name)
    assert chosen, f"no format is known for {name}"
    row = found.setdefault(chosen[0], Row())
    file = list(answers(name, path))
    entries, problems, why = read_file(parser, chosen[1], file)
    row.files, row.problems, row.entries = row.files + 1, row.problems + len(problems), row.entries + len(entries)
    row.known.update(known for entry in entries for known in has(entry))
    row.accepted += sum(is_accepted(entry) for entry in entries)
    if entries:
        row.yielding += 1
    else:
        row.nothing[name] = why
        assert why != "it lists nothing" or chosen[1] != "feed" or not AN_ENTRY.search(file[0].body), name


def print_table(found: dict[str, Row]) -> None:
    print(
        f"\n{'format':20}{'files':>6}{'with entries':>14}{'entries':>9}{'accepted':>10}"
        + "".join(f"{name:>10}" for name in FIELDS)
    )
    for name, row in found.items():
        shares = "".join(f"{share:10.3f}" for share in row.shares) if row.entries else ""
        print(f"{name:20}{row.files:6}{row.yielding:14}{row.entries:9,}{row.accepted:10,}{shares}")
    for name, row in found.items():
        print(f"\n{name}: {len(row.nothing)} files yield nothing, {row.problems} single entries were lost")
        for why, count in kinds(row).most_common():
            print(f"  {count:5}  {why}")


def kinds(row: Row) -> Counter[str]:
    """Why the files of a format yield nothing, without the details that differ from file to file."""
    cut = re.compile(r"(?: \(|: | '| \(| on \d|; | after \d| know \d).*|<[\w-]+> and ")
    said = ("its entries are unusable" if why.startswith("entry") else why for why in row.nothing.values())
    return Counter(cut.sub("", why) for why in said)


def test_every_file_yields_entries_or_a_reason(rows: dict[str, Row]) -> None:
    """A file that stops yielding changes a count here, and a reason that nobody has thought of is in no table."""
    came = {name: (row.files, row.yielding, row.entries, row.problems) for name, row in rows.items()}
    assert came == CAME
    assert {name: dict(kinds(row)) for name, row in rows.items() if row.nothing} == NOTHING
    assert all(len(row.nothing) == row.files - row.yielding for row in rows.values())
    assert all("\n" not in why for row in rows.values() for why in row.nothing.values())


@pytest.mark.parametrize("name", LEAST)
def test_entries_have_what_their_format_says(rows: dict[str, Row], name: str) -> None:
    least, said = LEAST[name], rows[name].shares
    assert [f for f, share, floor in zip(FIELDS, said, least, strict=True) if share < floor] == []
    assert rows[name].accepted >= 0.95 * rows[name].entries


@pytest.mark.parametrize("file", BY_NAME)
def test_a_file_that_yields_nothing_has_its_own_reason(rows: dict[str, Row], file: str) -> None:
    said = [why for row in rows.values() for name, why in row.nothing.items() if name.endswith(file)]
    assert len(said) == 1, file
    assert said[0].startswith(BY_NAME[file])


def test_an_adapter_that_reads_nothing_would_fail_here(rows: dict[str, Row]) -> None:
    assert rows.keys() == CAME.keys()
    assert set(LEAST) == {name for name, row in rows.items() if row.entries}
