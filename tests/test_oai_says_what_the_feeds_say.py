"""OAI-PMH says what arXiv's feeds say: the same abstracts and names, whatever the format and its line breaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from lxml import etree

from flows.parsing import Parser
from flows.sources import adapter_for
from flows.sources.interface import Harvest, Request
from flows.sources.oai_records import split_authors, unwrap
from storage.errors import SourceError
from storage.model import Entry
from storage.settings import Limits
from storage.text import clean
from tests.fetching_tools import a_source, fetched
from tests.oai_repository import arxiv, raw, record, records

ADAPTER = adapter_for("arxiv-oai")
SOURCE = a_source(name="arxiv-oai", kind="arxiv-oai")
REQUEST = Request(url="https://oaipmh.arxiv.org/oai?verb=ListRecords", key="from 2026-05-31", conditional=False)
COLUMNS = 79  # the longest line arXiv made
PAGE = 1_000


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with Parser(Limits()) as parser:
        yield parser


def read(parser: Parser, body: bytes) -> Harvest:
    return ADAPTER.read(SOURCE, REQUEST, fetched(body), parser)


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("Ada Example, Béla Minta and C. Third", ("Ada Example", "Béla Minta", "C. Third")),
        ("Ada Example, Béla Minta, and C. Third", ("Ada Example", "Béla Minta", "C. Third")),
        ("Ada Example & Béla Minta; C. Third", ("Ada Example", "Béla Minta", "C. Third")),
        ("A. Neri (Lloyds Group, London, UK) and L. Schneider (Inst and City)", ("A. Neri", "L. Schneider")),
        ("A. One (1), B. Two (2) ((1) Inst (2) Inst, City)", ("A. One", "B. Two")),
        ("G. David Forney, Jr. and P. Vontobel", ("G. David Forney Jr.", "P. Vontobel")),
        ("W. T. Hill III, A. Alves Jr", ("W. T. Hill III", "A. Alves Jr")),
        ("HESS Collaboration: A. Abramowski, F. Acero", ("HESS Collaboration", "A. Abramowski", "F. Acero")),
        ("The D0 Collaboration: V.M. Abazov, et al", ("The D0 Collaboration", "V. M. Abazov")),
        ("NVIDIA, :, Ada Example", ("NVIDIA", "Ada Example")),
        (r"J.-P. Lees, Stanis{\l}awa Kanas, Jo\"el Fran\c{c}a", ("J. -P. Lees", "Stanisława Kanas", "Joël França")),
        ("Sandy Anderson, Andy Band", ("Sandy Anderson", "Andy Band")),
        ("Ada\n  Example, Béla Minta (no end", ("Ada Example", "Béla Minta")),
        ("", ()),
    ],
)
def test_an_author_line_becomes_the_names_arxivs_feeds_have(said: str, names: tuple[str, ...]) -> None:
    assert split_authors(said) == names


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("one line", "one line"),
        ("  one line \n", "one line"),
        ("  " + "x" * 70 + "\nlonger-word here.\n", "x" * 70 + " longer-word here."),
        ("  short\nwould have fitted", "short\nwould have fitted"),
        ("  " + "x" * 70 + ".\n  A paragraph", "x" * 70 + ".\n  A paragraph"),
        ("a line of the author's own that is longer than any line which was broken by arXiv: %\nNext", None),
        ("  see\n" + "h" * 90 + "\nfor more", "see " + "h" * 90 + " for more"),
        ("\n            pretty printed\n          ", "pretty printed"),
        ("one\n\ntwo", "one\n\ntwo"),
        ("", ""),
    ],
)
def test_only_line_breaks_that_arxiv_made_are_undone(sent: str, text: str | None) -> None:
    assert unwrap(sent) == (sent if text is None else text)


# Every real abstract there and back


def wrapped(text: str) -> str:
    """A text as arXiv used to send it: two spaces in front of each paragraph, lines of at most 79 characters."""
    return "".join(f"{_wrapped_paragraph(line)}\n" for line in text.split("\n"))


def _wrapped_paragraph(text: str) -> str:
    first, *words = text.strip(" ").split(" ")
    lines = [f"  {first}"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) <= COLUMNS:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def there_and_back(parser: Parser, texts: dict[str, str], as_sent: Callable[[str], str]) -> dict[str, str]:
    """key → abstract of these texts once they were sent as records of both formats, which must agree."""
    found: dict[str, str] = {}
    names = list(texts)
    for start in range(0, len(names), PAGE):
        page = names[start : start + PAGE]
        both = [
            read(parser, records(*(an_item(make, key, as_sent(texts[key])) for key in page))) for make in (raw, arxiv)
        ]
        abstracts = [{entry.entry_id: entry.abstract for entry in read.entries} for read in both]
        assert [f"|{entry.arxiv_id}" for entry in both[0].entries] == [key[key.index("|") :] for key in page]
        assert abstracts[0] == abstracts[1]
        found |= abstracts[0]
    return found


def an_item(make: Callable[..., str], key: str, text: str) -> str:
    return record(make(key.partition("|")[2], abstract=text), name=key)


@pytest.fixture(scope="module")
def abstracts(shared_data: Path) -> dict[str, str]:
    """row|id → abstract of every paper at hand, outer whitespace gone."""
    rows = pq.read_table(shared_data / "bench" / "arxiv_papers.parquet", columns=["arxiv_id", "abstract"]).to_pylist()
    return {f"{number}|{row['arxiv_id']}": row["abstract"].strip() for number, row in enumerate(rows)}


def is_in_lines(text: str) -> bool:
    """Whether a text is broken into lines: in a feed a paragraph is one, and few have a line break of their own."""
    lines = text.split("\n")
    broken = text.count("\n") > text.count("\n  ")
    return broken and (len(lines) > len(text) / 120 or max(map(len, lines)) <= COLUMNS)


@pytest.mark.slow
def test_every_abstract_comes_back_byte_for_byte_as_feeds_have_it(
    parser: Parser, abstracts: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Sent as arXiv sends them now and as it used to; what we have in lines comes out so that it breaks the same."""
    lines = {name: text for name, text in abstracts.items() if is_in_lines(text)}
    feeds = {name: text for name, text in abstracts.items() if name not in lines}
    unbroken = there_and_back(parser, lines, lambda text: f"  {text}\n")
    assert [name for name, text in unbroken.items() if text.replace("\n  ", "").count("\n")] == []
    feeds |= unbroken
    now = differing(there_and_back(parser, feeds, str), feeds)
    before = differing(there_and_back(parser, feeds, wrapped), feeds)
    again = differing({key: wrapped(text).strip() for key, text in unbroken.items()}, lines)
    with capsys.disabled():
        print(f"\n{len(abstracts):,} abstracts, {len(lines):,} of them in lines")
        print(f"  sent on one line: {len(feeds) - len(now):,} come back the same")
        print(f"  sent in lines:    {len(feeds) - len(before):,} come back the same; not {', '.join(before)}")
        print(
            f"  taken from lines: {len(lines) - len(again):,} break into the same lines again; not {', '.join(again)}"
        )
    assert len(feeds) == len(abstracts) > 57_000
    assert len(lines) > 15_000
    assert now == []
    # What lines cannot tell: a line break of the author's own, or a second space, where arXiv broke the line.
    assert {key.partition("|")[2] for key in before} == {"2603.23905", "2606.28708", "2506.14776", "2601.15639"}
    assert len(again) <= 1  # a full stop that arXiv left hanging behind an address


def differing(found: dict[str, str], wanted: dict[str, str]) -> list[str]:
    return [name for name, text in wanted.items() if found[name] != text]


# All captures


NOT_WHOLE = {  # captures that yield no entry, and why
    "err_badarg": "it refuses the request: badArgument (metadataPrefix required.)",
    "err_badverb": "it refuses the request: badVerb (Invalid verb provided)",
    "err_early": "it refuses the request: badArgument (start date too early)",
    "err_format": "it refuses the request: cannotDisseminateFormat (Did not recognize requested format)",
    "err_id": "it refuses the request: idDoesNotExist (Invalid arXiv_id structure)",
    "err_id2": "it refuses the request: idDoesNotExist (All identifiers start with: oai:arXiv.org:)",
    "err_norec": "no paper has changed",
    "err_noverb": "it refuses the request: badVerb (Invalid verb provided)",
    "err_set": "it refuses the request: badArgument (Set does not exist)",
    "err_token": "it does not continue the list: badResumptionToken (Token decoding failed or format is invalid.)",
    "set_cs_cs_AI_p00": "no paper has changed",
    "formats": "it returned ListMetadataFormats where records were asked for",
    "identify": "it returned Identify where records were asked for",
    "sets": "it returned ListSets where records were asked for",
    **{f"identifiers_p0{n}": "it returned ListIdentifiers where records were asked for" for n in range(4)},
    "1305.0014v1": "it refuses the request: idDoesNotExist (This OAI interface supports only the notion of an arXiv",
    "1305.9999": "it refuses the request: idDoesNotExist (Identifier 'oai:arXiv.org:1305.9999' has correct form but",
    "is-malformed": "it refuses the request: idDoesNotExist (Malformed identifier `oai:arXiv.org:is-malformed')",
    "arxiv_marcxml": "it returned <collection>, which is no OAI-PMH answer",
    **dict.fromkeys(
        ("arxiv_0901_2443", "arxiv_1711_04702", "arxiv_1711_05739", "arxiv_math_0306266"),
        "it returned <record>, which is no OAI-PMH answer",  # a bare record
    ),
    "Identify": "it returned Identify where records were asked for",
    "ListIdentifiers": "it returned ListIdentifiers where records were asked for",
    "ListIdentifiers2": "it returned ListIdentifiers where records were asked for",
    "ListMetadataFormats": "it returned ListMetadataFormats where records were asked for",
    "ListSets": "it returned ListSets where records were asked for",
    "ListRecordsBroken": "it returned no XML (",
    "badArgument": "it refuses the request: badArgument",
    "badResumptionToken": "it does not continue the list: badResumptionToken (This resumptionToken is invalid)",
    "cannotDisseminateFormat": "it refuses the request: cannotDisseminateFormat",
    "idDoesNotExist": "it refuses the request: idDoesNotExist (oai:lcoa1.loc.gov:loc.rbc/rbpe.00000111 has",
    "noRecordsMatch": "no paper has changed",
    "noSetHierarchy": "it refuses the request: noSetHierarchy (This repository does not support sets)",
    "undefinedError": "it refuses the request: undefinedError",
}


@pytest.fixture(scope="module")
def captured(unpack: Callable[[str], Path]) -> dict[str, bytes]:
    """name → body of every captured answer."""
    paths = [path for pack in ("arxiv_oai", "oai_generic") for path in sorted(unpack(pack).rglob("*.xml"))]
    bodies = {path.stem: path.read_bytes() for path in paths}
    assert len(bodies) == len(paths)
    return bodies


def test_every_capture_is_read_or_named_with_its_reason(parser: Parser, captured: dict[str, bytes]) -> None:
    reasons: dict[str, str] = {}
    for name, body in captured.items():
        try:
            harvest = read(parser, body)
        except SourceError as error:
            reasons[name] = error.reason
            continue
        assert harvest.problems == (), name
        assert all(clean(entry, Limits()).title for entry in harvest.entries), name
        if not harvest.entries:
            (reasons[name],) = harvest.notes
    assert {name: said for name, said in reasons.items() if not said.startswith(NOT_WHOLE.get(name, "?"))} == {}
    assert reasons.keys() == NOT_WHOLE.keys()
    assert all("\n" not in reason for reason in reasons.values())


def of_prefix(parser: Parser, captured: dict[str, bytes], prefix: str) -> dict[str, Entry]:
    """arXiv id → entry, of all pages that were asked for with one metadata prefix."""
    pages = [read(parser, captured[f"records_{prefix}_p0{n}"]) for n in range(6)]
    assert [bool(page.following) for page in pages] == [True] * 5 + [False]
    return {entry.arxiv_id or "": entry for page in pages for entry in page.entries}


def test_four_formats_tell_of_the_same_papers_the_same(
    parser: Parser, captured: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    formats = {name: of_prefix(parser, captured, name) for name in ("arXivRaw", "arXiv", "arXivOld", "oai_dc")}
    whole = formats["arXivRaw"]
    shares = {name: shares_of(list(entries.values())) for name, entries in formats.items()}
    with capsys.disabled():
        print("\n" + " " * 9 + "".join(f"{field:>13}" for field in FIELDS))
        for name, share in shares.items():
            print(f"{name:9}" + "".join(f"{share[field]:13.3f}" for field in FIELDS))
    assert len(whole) == 501
    for name, entries in formats.items():
        assert entries.keys() == whole.keys(), name
        for key, entry in entries.items():
            told = (entry.title, entry.abstract, entry.doi, entry.journal_ref)
            assert told == (whole[key].title, whole[key].abstract, whole[key].doi, whole[key].journal_ref), (name, key)
            assert entry.authors == whole[key].authors or name == "oai_dc", (name, key)
            assert len(entry.authors) == len(whole[key].authors), (name, key)
            if name != "oai_dc":
                assert (entry.categories, entry.license_url) == (whole[key].categories, whole[key].license_url), key
            first = whole[key].published_at
            assert first is not None
            # `created` may be a later version's, but only within the months that its id allows.
            assert entry.published_at is None or abs((entry.published_at - first).days) < 62, (name, key)


FIELDS = ("arxiv_id", "version", "title", "authors", "abstract", "published_at", "categories", "doi", "license_url")


def shares_of(entries: list[Entry]) -> dict[str, float]:
    """The share of entries for which a field is known."""
    known = Counter(name for entry in entries for name in FIELDS if getattr(entry, name) not in (None, (), ""))
    return {name: known[name] / len(entries) for name in FIELDS}


def test_abstracts_of_ten_years_have_no_line_breaks_but_paragraphs(parser: Parser, captured: dict[str, bytes]) -> None:
    """Every abstract in the captures, against what lxml says: words and their order stay, breaks become spaces."""
    checked = 0
    for name, body in captured.items():
        if name in NOT_WHOLE:
            continue
        said = [str(e.text) for e in etree.fromstring(body).iter("{*}abstract")]
        entries = read(parser, body).entries
        for text, entry in zip(said, entries if said else (), strict=True):
            assert entry.abstract.split() == text.split(), name
            assert entry.abstract.count("\n") == entry.abstract.count("\n  "), name
            checked += 1
    assert checked > 1_500
