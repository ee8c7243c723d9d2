"""like: finds papers like a paper, or like the references of a file: by the words that tell these from all others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from flows.decide import decide
from storage.archive import Archive
from storage.catalog import Catalog, refresh_catalog
from storage.errors import ConfigError, QueryError
from storage.likes import catalog_query, like_problems, resolve, seed_of, web_query
from storage.model import Entry
from storage.profiles import WORDS_MAX, Profile, Word, profile_of_seeds
from storage.query import Query, parse_query
from storage.query_many import Queries
from storage.references import FILE_BYTES_MAX, parse_references, read_references
from storage.settings import Settings, parse_settings
from tests.builders import NOW, a_paper, an_entry
from tests.finding_archive import in_sql

VIDEO = ("Latent Diffusion for Video", "A diffusion model generates video clips; motion stays smooth between frames.")
NEAR = ("Smooth Motion in Generated Clips", "Video frames are denoised by latent diffusion, which keeps motion.")
FAR = ("Parsing Sentences of Old Norse", "We parse sentences with a grammar of the sagas and report accuracy.")


def like(title: str, abstract: str = "") -> Query:
    return resolve(parse_query("like:it"), lambda _: [seed_of(title, abstract)])


def entry(number: int, said: tuple[str, str]) -> Entry:
    return an_entry(
        entry_id=f"oai:arXiv.org:2606.{number:05}v1", arxiv_id=f"2606.{number:05}", title=said[0], abstract=said[1]
    )


# ------------------------------------------------------------------------------------------------- profiles


def test_a_paper_is_like_itself_and_like_its_neighbours_and_not_like_others() -> None:
    query = like(*VIDEO)
    for title, abstract in (VIDEO, NEAR):
        assert query.matches(a_paper(title=title, abstract=abstract), NOW)
    assert not query.matches(a_paper(title=FAR[0], abstract=FAR[1]), NOW)


def test_the_reason_is_the_words_that_counted_most_as_the_paper_has_them() -> None:
    paper = a_paper(title="Clip Diffusions", abstract="Motion of a video.")
    assert like(*VIDEO).reasons(paper, NOW) == ("like: diffusions, clip, video",)


def test_singular_and_plural_are_one_word() -> None:
    (word,) = like("matrices").root.profile.words  # type: ignore[union-attr]
    assert set(word.needles) == {" matrices ", " matrix ", " matrixes "}
    analysis = profile_of_seeds([seed_of("analyses")]).words[0].needles
    assert " analysis " in analysis


def test_common_words_count_little_and_numbers_and_letters_nothing() -> None:
    profile = profile_of_seeds([seed_of("We show a 2024 result of the x metasurface")])
    weights = {word.needles[0].strip(): word.weight for word in profile.words}
    assert max(weights, key=weights.__getitem__) == "metasurface"
    assert weights["the"] * 20 < weights["metasurface"]
    assert weights.keys().isdisjoint({"2024", "x", "a"})


def test_a_long_reference_counts_no_more_than_a_short_one() -> None:
    long = seed_of("Metasurface", " ".join(f"optics{n} lens{n}" for n in range(200)))
    profile = profile_of_seeds([long, seed_of("Sagas Norse")])
    assert len(profile.words) == WORDS_MAX
    assert {profile.words[0].needles[0], profile.words[1].needles[0]} == {" sagas ", " norse "}


def test_a_seed_of_few_words_can_still_find_something() -> None:
    assert like("Metasurface").matches(a_paper(title="On a metasurface", abstract=""), NOW)


@pytest.mark.parametrize("title", ["", "…", "1 2 3", "x"])
def test_a_seed_without_words_finds_nothing(title: str) -> None:
    query = like(title)
    assert not query.matches(a_paper(title=title), NOW)
    assert query.sql(NOW).where == "false"


def test_a_profile_is_the_same_in_whatever_order_words_come() -> None:
    assert profile_of_seeds([seed_of("alpha beta gamma")]) == profile_of_seeds([seed_of("gamma alpha beta")])


def test_what_opens_a_profile_is_needed_by_every_paper_that_reaches_it() -> None:
    profile = Profile((Word((" a ",), 10), Word((" b ",), 3), Word((" c ",), 2)), 11)
    assert profile.opening == profile.words[:1]
    everything_else = {" b ", " c "}
    assert profile.counted(everything_else, everything_else) == []
    assert profile.counted({" a "}, everything_else) == [(20, "a"), (3, "b"), (2, "c")]


# ------------------------------------------------------------------------------------------------- the language


def test_an_id_is_read_as_people_write_it_and_a_file_as_it_is() -> None:
    for written, seed in (
        ("2606.00012v2", "arxiv:2606.00012"),
        ("https://arxiv.org/abs/2606.00012", "arxiv:2606.00012"),
        ("doi:10.1000/X", "doi:10.1000/x"),
        ("doi:10.1000/x.bib", "doi:10.1000/x.bib"),
        ('"my refs.bib"', "my refs.bib"),
        ("lab/Refs.RIS", "lab/Refs.RIS"),
    ):
        (found,) = parse_query(f"like:{written}").likes
        assert found.seed == seed
    assert [term.seed for term in parse_query("like:(a.bib OR b.ris) -like:2606.00012").likes][:2] == ["a.bib", "b.ris"]


ASKED = {
    "sql": lambda query: query.sql(NOW),
    "matches": lambda query: query.matches(a_paper(), NOW),
    "reasons": lambda query: query.reasons(a_paper(), NOW),
    "together": lambda query: Queries([query]),
}


@pytest.mark.parametrize("way", ASKED)
def test_a_query_that_was_not_resolved_says_so_at_the_seed(way: str) -> None:
    with pytest.raises(QueryError, match="like: needs the archive") as caught:
        ASKED[way](parse_query("video like:2606.00012"))
    assert caught.value.position == len("video like:")


def test_what_is_unknown_is_told_at_the_seed() -> None:
    def none(seed: str) -> list[object]:
        raise ValueError(f"like: no paper of the archive is {seed}")

    with pytest.raises(QueryError, match=r"no paper of the archive is arxiv:2606\.00012 at character 12") as caught:
        resolve(parse_query("video like:2606.00012"), none)  # type: ignore[arg-type]
    assert caught.value.position == 11


# ------------------------------------------------------------------------------------------------- files


BIBTEX = r"""
@string{venue = "Example Conference"}
@comment{nothing}
@article{one, title = {{L}atent {D}iffusion for \emph{V}ideo of Schr\"odinger}, booktitle = venue,
  abstract = {Motion \& frames.}, eprint = {2606.00012v2}, archivePrefix = {arXiv}}
@misc{one, TITLE = "Twice the same key", doi = {https://doi.org/10.1000/ABC}}
@misc{two, author = {Nobody}}
@misc{three, title = {Never closed
@misc{four, title = {Linked}, url = {https://arxiv.org/abs/2606.00013}}
"""
RIS = """\ufeffTY  - JOUR\r
TI  - Latent Diffusion for Video\r
AB  - Motion.\r
DO  - 10.1000/abc\r
ER  - \r
TY  - CONF
T1  - Unfinished
TY - GEN
TI - Linked
UR - https://arxiv.org/abs/2606.00013
"""


def test_bibtex_is_read_with_its_braces_off_and_bad_entries_cost_themselves() -> None:
    read = parse_references(BIBTEX.encode(), "mine.bib")
    assert [(r.title, r.ids) for r in read.references] == [
        ("Latent Diffusion for Video of Schrodinger", ("arxiv:2606.00012",)),
        ("Twice the same key", ("doi:10.1000/abc",)),
        ("Linked", ("arxiv:2606.00013",)),
    ]
    assert read.references[0].abstract == r"Motion \& frames."  # what is no word does not count
    assert read.skipped == 2


def test_ris_is_read_whatever_ends_its_lines_and_references() -> None:
    read = parse_references(RIS.encode(), "mine.ris")
    assert [(r.title, r.abstract, r.ids) for r in read.references] == [
        ("Latent Diffusion for Video", "Motion.", ("doi:10.1000/abc",)),
        ("Unfinished", "", ()),
        ("Linked", "", ("arxiv:2606.00013",)),
    ]


HOSTILE = (
    b"", b"\x00\xff\xfe", b"hello", b"@", b"@article{" * 50_001, b"{" * 10_000, b'@a{b, title = {"}}', b"TY  - \n" * 50,
    b"@misc{a, title={" + b"{" * 20_000, "é".encode("latin-1"), b"@misc{a, title={}}", b"ER  - \n\x0c\x85TY  - X",
)  # fmt: skip


@pytest.mark.parametrize("name", ["a.bib", "a.ris"])
@pytest.mark.parametrize("data", HOSTILE)
def test_a_file_that_is_none_costs_one_clear_line(name: str, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^like: "):
        parse_references(data, name)


def test_a_file_has_its_limits(tmp_path: Path) -> None:
    many = "".join(f"@misc{{k{n}, title = {{T}}}}\n" for n in range(5_003))
    read = parse_references(many.encode(), "many.bib")
    assert (len(read.references), read.skipped) == (5_000, 3)
    large = tmp_path / "large.bib"
    large.write_bytes(b" " * (FILE_BYTES_MAX + 1))
    os.mkfifo(tmp_path / "pipe.bib")
    for path, says in ((large, "more than 8 MB"), (tmp_path / "pipe.bib", "no file"), (tmp_path, "irectory")):
        with pytest.raises(ValueError, match=says):
            read_references(path)


# ------------------------------------------------------------------------------------------------- the archive


class Lab:
    """An archive with a configuration beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, NOW
        self.archive = Archive(folder / "home")

    def settings(self, *queries: str) -> Settings:
        topics = "".join(f"[[topic]]\nslug = 't{n}'\ntitle = 'T'\nquery = '{q}'\n" for n, q in enumerate(queries))
        return parse_settings(topics, path=self.folder / "paperwire.toml", home=self.folder / "home")

    def append(self, *entries: Entry) -> None:
        self.clock += timedelta(minutes=1)
        batch = f"{self.clock.isoformat()}"
        self.archive.append(entries, source="arxiv-rss:cs.CL", batch_id=batch, now=self.clock, decide=decide)

    def refresh(self, settings: Settings) -> bool:
        return refresh_catalog(self.archive, settings, settings.topic, now=self.clock)

    def tagged(self, slug: str = "t0") -> set[str]:
        with Catalog(self.folder / "home") as catalog:
            return {t.paper.paper_id.removeprefix("arxiv:2606.0000") for t in catalog.new_in_topic(slug)}

    def bib(self, *titles: str) -> None:
        (self.folder / "mine.bib").write_text("".join(f"@misc{{k, title = {{{t}}}}}\n" for t in titles))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    with lab.archive:
        yield lab


@pytest.fixture
def stocked(lab: Lab) -> Lab:
    lab.append(entry(1, VIDEO), entry(2, NEAR), entry(3, FAR))
    return lab


def test_a_topic_holds_what_is_like_its_paper_and_says_why(stocked: Lab) -> None:
    stocked.refresh(stocked.settings("like:2606.00001"))
    assert stocked.tagged() == {"1", "2"}
    with Catalog(stocked.archive.home) as catalog:
        (tag,) = catalog.papers(["arxiv:2606.00002"])[0].tags
    assert tag.reason.startswith("like: ")


def test_a_revision_of_the_seed_does_not_move_the_topic(stocked: Lab) -> None:
    settings = stocked.settings("like:2606.00001")
    stocked.refresh(settings)
    revised = replace(entry(1, FAR), entry_id="oai:arXiv.org:2606.00001v2", version=2, announce_type="replace")
    stocked.append(revised)
    stocked.refresh(settings)
    assert stocked.tagged() == {"2"}  # the seed is no longer like what it was; the topic is what it was
    with Catalog(stocked.archive.home) as catalog:
        assert len(in_sql(catalog, web_query("like:2606.00001", catalog), now=NOW)) == 1


def test_an_unknown_paper_costs_its_term_until_it_comes(lab: Lab) -> None:
    settings = lab.settings("like:2606.00001", "sagas OR like:2606.00001")
    lab.append(entry(2, NEAR), entry(3, FAR))
    lab.refresh(settings)
    assert (lab.tagged("t0"), lab.tagged("t1")) == (set(), {"3"})
    assert like_problems(lab.archive)[0] == (
        "topic t0: like: no paper of the archive is arxiv:2606.00001; it finds nothing"
    )
    lab.append(entry(1, VIDEO))
    lab.refresh(settings)
    assert lab.tagged() == {"1", "2"}  # the one that was there before is tagged too
    assert like_problems(lab.archive) == ()


def test_a_changed_file_tags_the_archive_anew_and_an_unchanged_one_does_nothing(stocked: Lab) -> None:
    stocked.bib(VIDEO[0], NEAR[0])
    settings = stocked.settings("like:mine.bib")
    assert stocked.refresh(settings)
    assert stocked.tagged() == {"1", "2"}
    assert not stocked.refresh(settings)
    stocked.bib(FAR[0])
    assert stocked.refresh(settings)
    assert stocked.tagged() == {"3"}


def test_a_file_that_goes_away_leaves_its_topic_as_it_was(stocked: Lab) -> None:
    stocked.bib(FAR[0])
    settings = stocked.settings("like:mine.bib")
    stocked.refresh(settings)
    (stocked.folder / "mine.bib").unlink()
    stocked.append(entry(4, FAR))
    stocked.refresh(settings)
    assert stocked.tagged() == {"3", "4"}
    (problem,) = like_problems(stocked.archive)
    assert problem.startswith("topic t0: like: cannot read ")
    assert problem.endswith("it goes by what it had")


def test_a_reference_without_an_abstract_has_that_of_its_paper(stocked: Lab) -> None:
    (stocked.folder / "mine.bib").write_text("@misc{a, title = {Untold}, eprint = {2606.00003}}")
    stocked.refresh(stocked.settings("like:mine.bib"))
    assert stocked.tagged() == {"3"}


def test_a_missing_file_is_told_with_its_line(lab: Lab) -> None:
    with pytest.raises(
        ConfigError, match=r"paperwire\.toml:4: query: like: there is no file .*gone\.bib at character 8"
    ):
        lab.settings("x like:gone.bib")


def test_a_stranger_reads_no_file(stocked: Lab) -> None:
    stocked.bib(VIDEO[0])
    stocked.refresh(stocked.settings("like:mine.bib"))
    with Catalog(stocked.archive.home) as catalog:
        for query in ("like:mine.bib", "like:/etc/passwd.BIB", "video (like:2606.00001 OR like:../x.ris)"):
            with pytest.raises(QueryError, match="like: takes a paper's id here"):
                web_query(query, catalog)
        with pytest.raises(QueryError, match="no paper of the archive is /etc/passwd"):
            web_query("like:/etc/passwd", catalog)
        found = in_sql(catalog, web_query("like:2606.00001", catalog), now=NOW)
        assert {t.paper.title for t in catalog.papers(found)} == {VIDEO[0], NEAR[0]}


def test_our_own_user_asks_by_file_and_by_id(stocked: Lab) -> None:
    stocked.bib(VIDEO[0])
    stocked.refresh(stocked.settings("sagas"))
    with Catalog(stocked.archive.home) as catalog:
        for query in ("like:mine.bib", "like:2606.00001v1"):
            found = in_sql(catalog, catalog_query(query, catalog, stocked.folder), now=NOW)
            assert {t.paper.title for t in catalog.papers(found)} == {VIDEO[0], NEAR[0]}, query
        with pytest.raises(QueryError, match=r"cannot read .*gone\.bib"):
            catalog_query("like:gone.bib", catalog, stocked.folder)
