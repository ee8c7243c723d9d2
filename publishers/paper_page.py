"""The page of one paper: what it says, why it is here, where to read it, how to cite it, and its life.

Beside it lie its BibTeX, its RIS and the feed of its life, under the same name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote, urlsplit

from publishers import page_models as show
from publishers.citation import alias, arxiv_url, bibtex, landing_url, meta_tags, ris, schema_org
from publishers.life import life
from publishers.mathml import math_html, math_paragraphs
from publishers.names import category_name, license_name
from publishers.page_frame import PageSite, render
from publishers.paths import author_href, category_path, day_path, paper_file, paper_path
from publishers.readable import paragraphs, readable, summary
from storage.model import Paper, Revision, Sighting, TaggedPaper
from storage.text import safe_url

_AUTHORS_OPEN = 16
_VERSIONS_OPEN = 6
_BIBTEX_LINES_OPEN = 1_500  # characters; three hundred authors are folded
_KINDS = (("citations", "citation"), ("upvotes", "vote"), ("comment_count", "comment"), ("stars", "star"))
_KNOWN_HOSTS = ("arxiv.org", "export.arxiv.org", "doi.org", "dx.doi.org", "huggingface.co")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version as its server dates it."""

    number: int
    day: date
    size: str  # 312 kB; nothing where it is not known
    href: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How often something was done, as the last who counted has it."""

    text: str  # 1,234 votes
    as_of: date | None  # when it was counted


def moved_page(site: PageSite, paper_id: str, merged_into: str) -> bytes:
    """Return what stands at the page of a paper that was found to be another one: the way there."""
    path = paper_path(paper_id)
    return render("moved.html.j2", site, path=path, paper_id=paper_id, href=f"../{paper_path(merged_into)}")


def paper_page(
    site: PageSite, paper: TaggedPaper, revisions: Sequence[Revision], sightings: Sequence[Sighting]
) -> bytes:
    """Return the page of a paper; `revisions` and `sightings` are its life, oldest first."""
    known = paper.paper
    path = paper_path(known.paper_id)
    citation = bibtex(known, first=_first(revisions))
    return render(
        "paper.html.j2",
        site,
        path=path,
        paper=known,
        title=readable(known.title),
        title_html=math_html(known.title),
        description=summary(known.abstract, 200) or readable(known.title),
        day=show.day_of(known),
        day_href=f"../{day_path(show.day_of(known))}" if known.announced_at else None,
        authors=[(readable(name), _author(site, name)) for name in known.authors],
        authors_open=_AUTHORS_OPEN,
        abstract=math_paragraphs(known.abstract),
        categories=[(category_name(code), code, _category(site, code)) for code in known.categories],
        tags=show.known_tags(paper, site.topics, root="../"),
        links=[*show.paper_links(known), *_elsewhere(known)],
        landing=landing_url(known),
        license=_license(known.license_url),
        events=life(known, revisions, sightings),
        versions=tuple(_versions(known)),
        versions_open=_VERSIONS_OPEN,
        counts=tuple(_counts(known, sightings)),
        # Whoever was only asked for a count did not see the paper, and is none of its sources.
        sightings=[s for s in sightings if s.source in known.sources or s.announcements],
        bibtex=citation,
        bibtex_open=len(citation) <= _BIBTEX_LINES_OPEN,
        files={ending: f"../{paper_file(known.paper_id, ending)}" for ending in ("atom", "bib", "ris")},
        meta_tags=meta_tags(known),
        schema=schema_org(known, page_url=f"{site.base_url}{path}", abstract="\n\n".join(paragraphs(known.abstract))),
    )


def citation_files(paper: Paper, revisions: Sequence[Revision]) -> dict[str, bytes]:
    """Return the files to cite a paper with, by their path within the site."""
    return {
        paper_file(paper.paper_id, "bib"): bibtex(paper, first=_first(revisions)).encode(errors="ignore"),
        paper_file(paper.paper_id, "ris"): ris(paper).encode(errors="ignore"),
    }


def _first(revisions: Sequence[Revision]) -> Paper | None:
    return revisions[0].paper if revisions else None


def _author(site: PageSite, name: str) -> str | None:
    """The page of an author, which only a live site has."""
    href = author_href(name) if site.live else None
    return f"../{href}" if href else None


def _category(site: PageSite, code: str) -> str | None:
    return f"../{category_path(code)}" if code in site.categories else None


def _elsewhere(paper: Paper) -> Iterator[show.Link]:
    """Where else a paper is: its publisher's page, its reviews, its record."""
    url = safe_url(paper.url)
    host = (urlsplit(url).hostname or "").removeprefix("www.") if url else ""
    if url and paper.arxiv_id and host and host not in _KNOWN_HOSTS:
        yield show.Link(text=host, href=url)  # of a paper that is not on arXiv it is among the others
    if forum := alias(paper, "openreview"):
        yield show.Link(text="OpenReview", href=f"https://openreview.net/forum?id={quote(forum, safe='')}")
    if pmid := alias(paper, "pmid"):
        yield show.Link(text="PubMed", href=f"https://pubmed.ncbi.nlm.nih.gov/{quote(pmid, safe='')}/")


def _versions(paper: Paper) -> Iterator[Version]:
    for one in paper.versions:
        yield Version(
            number=one.version,
            day=one.submitted_at.date(),
            size=f"{max(1, round(one.size_bytes / 1000)):,} kB" if one.size_bytes else "",
            href=f"{arxiv_url(paper.arxiv_id)}v{one.version}" if paper.arxiv_id else None,
        )


def _counts(paper: Paper, sightings: Sequence[Sighting]) -> Iterator[Count]:
    for field, noun in _KINDS:
        number = getattr(paper, field)
        if number is None or (number == 0 and field != "upvotes"):
            continue
        counted = [s.seen_at.date() for s in sightings if getattr(s, field) is not None]
        yield Count(text=show.counted(number, noun), as_of=max(counted, default=None))


def _license(url: str | None) -> show.Link | None:
    href = safe_url(url)
    return show.Link(text=license_name(href), href=href) if href else None
