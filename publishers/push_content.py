"""What a webhook is told: which papers are its own, and how each reads. Pure but for what it asks the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from publishers.digest import what_happened
from publishers.editions import rank, revision_key
from publishers.page_models import counted, short_authors, short_categories
from publishers.paths import paper_path, search_href, topic_path
from publishers.push_shapes import Line, Message
from publishers.readable import paragraphs, readable, summary
from storage.catalog import Catalog
from storage.likes import catalog_query
from storage.model import Paper, Revision, TaggedPaper
from storage.pushes import Push
from storage.query import Query
from storage.settings import Settings, Site, Topic, Webhook
from storage.text import safe_url

_TITLE_CHARACTERS_MAX = 200
_AUTHORS_CHARACTERS_MAX = 160
_SUMMARY_CHARACTERS_MAX = 240
_NOTE_CHARACTERS_MAX = 160
_ABSTRACT_CHARACTERS_MAX = 4_000  # in the json shape
_REVISIONS_MAX = 10  # told in one message


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is to be told of a range of commits, best first."""

    papers: tuple[TaggedPaper, ...]
    revisions: tuple[Revision, ...]

    def split(self, papers_max: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The keys a message tells, and those that it only links to."""
        papers = [tagged.paper.paper_id for tagged in self.papers]
        revisions = [revision_key(revision) for revision in self.revisions]
        shown = (*papers[:papers_max], *revisions[:_REVISIONS_MAX])
        return shown, (*papers[papers_max:], *revisions[_REVISIONS_MAX:])


def new_papers(
    webhook: Webhook, catalog: Catalog, settings: Settings, *, after_seq: int, until_seq: int, now: datetime
) -> Found:
    """The papers, and the revisions where it wants them, that commits of (after_seq, until_seq] have for a webhook.

    Raises QueryError where a `like:` of its query finds nothing to go by.
    """
    wanted = _Wanted(webhook, catalog, settings, now)
    papers = [t for t in catalog.new_since(None, after_seq=after_seq, until_seq=until_seq) if wanted(t)]
    if not webhook.revisions:
        return Found(papers=rank(papers), revisions=())
    told = {t.paper.paper_id for t in papers}
    revisions = catalog.revisions_since(None, after_seq=after_seq, until_seq=until_seq)
    tagged = {t.paper.paper_id: t for t in catalog.papers(sorted({r.paper.paper_id for r in revisions} - told))}
    kept = [r for r in revisions if r.paper.paper_id in tagged and wanted(tagged[r.paper.paper_id])]
    return Found(papers=rank(papers), revisions=tuple(kept))


def papers_since(
    webhook: Webhook, catalog: Catalog, settings: Settings, *, since: datetime, limit: int, now: datetime
) -> Found:
    """The papers for a webhook by time: where an archive was put back and its commits have other numbers."""
    wanted = _Wanted(webhook, catalog, settings, now)
    papers = [t for t in catalog.new_in_topic(None, since=since, limit=limit) if wanted(t)]
    return Found(papers=rank(papers), revisions=())


def message_of(push: Push, webhook: Webhook, catalog: Catalog, settings: Settings, topics: Sequence[Topic]) -> Message:
    """Return the message of `push`; its `lines` are empty where none of what it tells is there any more."""
    site = settings.site
    papers = [_paper_line(t, webhook, site) for t in catalog.papers(push.contents)]
    revisions: list[Line] = []
    if any("@" in key for key in push.contents):
        found = catalog.revisions_since(None, after_seq=push.from_seq, until_seq=push.to_seq)
        by_key = {revision_key(revision): revision for revision in found}
        revisions = [_revision_line(key, by_key[key], site) for key in push.contents if key in by_key]
    return Message(
        push_id=push.push_id,
        webhook=webhook.name,
        title=f"{_counts(len(papers) + push.more, len(revisions))} · {_label(webhook, site, topics)}",
        site_title=readable(site.title),
        site_url=site.base_url,
        link=_link(webhook, site),
        lines=(*papers, *revisions),
        more=push.more,
        created_at=push.created_at,
    )


def trial_message(webhook: Webhook, settings: Settings, *, push_id: str, now: datetime) -> Message:
    """Return a message that only shows that messages arrive."""
    site = settings.site
    title = f"A test of {readable(site.title)}: messages of the webhook {webhook.name} arrive"
    return Message(
        push_id=push_id,
        webhook=webhook.name,
        title=title,
        site_title=readable(site.title),
        site_url=site.base_url,
        link=_link(webhook, site),
        lines=(),
        more=0,
        created_at=now,
    )


class _Wanted:
    """Whether a paper is one for a webhook: of its topics, or found by its query; every paper where it has neither."""

    def __init__(self, webhook: Webhook, catalog: Catalog, settings: Settings, now: datetime) -> None:
        self._topics, self._now, self._query = frozenset(webhook.topics), now, _query_of(webhook, catalog, settings)

    def __call__(self, tagged: TaggedPaper) -> bool:
        slugs = {tag.slug for tag in tagged.tags}
        if not self._topics and self._query is None:
            return True
        found = self._query is not None and self._query.matches(tagged.paper, self._now, slugs)
        return found or not self._topics.isdisjoint(slugs)


def _query_of(webhook: Webhook, catalog: Catalog, settings: Settings) -> Query | None:
    folder = settings.path.parent if settings.path else None
    return catalog_query(webhook.query, catalog, folder) if webhook.query else None


def _paper_line(tagged: TaggedPaper, webhook: Webhook, site: Site) -> Line:
    paper = tagged.paper
    page = site.base_url + paper_path(paper.paper_id)
    named = [tag.title for tag in tagged.tags if not webhook.topics or tag.slug in webhook.topics]
    withdrawn = "Withdrawn. " if paper.withdrawn else ""
    authors = " · ".join(filter(None, [short_authors(paper.authors), short_categories(paper.categories)]))
    return Line(
        key=paper.paper_id,
        title=_title(paper),
        url=safe_url(paper.url) or page,
        authors=summary(authors, _AUTHORS_CHARACTERS_MAX),
        summary=withdrawn + summary(paper.abstract, _SUMMARY_CHARACTERS_MAX),
        note=summary(", ".join(named), _NOTE_CHARACTERS_MAX),
        facts=_facts(paper, page) | {"topics": _topics(tagged)},
    )


def _revision_line(key: str, revision: Revision, site: Site) -> Line:
    paper = revision.paper
    page = site.base_url + paper_path(paper.paper_id)
    happened = what_happened(revision)
    facts = {"what": happened, "announcements": [str(a) for a in revision.announcements], "at": _time(revision.at)}
    return Line(
        key=key,
        title=_title(paper),
        url=page,
        authors="",
        summary="",
        note=summary(happened, _NOTE_CHARACTERS_MAX),
        facts=_facts(paper, page) | facts,
        is_revision=True,
    )


def _facts(paper: Paper, page: str) -> dict[str, Any]:
    return {
        "paper_id": paper.paper_id,
        "title": readable(paper.title) or paper.paper_id,
        "url": safe_url(paper.url) or page,
        "page_url": page,
        "pdf_url": safe_url(paper.pdf_url),
        "code_url": safe_url(paper.code_url),
        "authors": [readable(name) for name in paper.authors[:100]],
        "abstract": "\n\n".join(paragraphs(paper.abstract))[:_ABSTRACT_CHARACTERS_MAX],
        "categories": list(paper.categories),
        "arxiv_id": paper.arxiv_id,
        "doi": paper.doi,
        "version": paper.version,
        "withdrawn": paper.withdrawn,
        "announced_at": _time(paper.announced_at) if paper.announced_at else None,
    }


def _topics(tagged: TaggedPaper) -> list[dict[str, str]]:
    return [{"slug": tag.slug, "title": readable(tag.title), "reason": readable(tag.reason)} for tag in tagged.tags]


def _title(paper: Paper) -> str:
    return summary(paper.title, _TITLE_CHARACTERS_MAX) or paper.paper_id


def _counts(papers: int, revisions: int) -> str:
    parts = ([counted(papers, "new paper")] if papers else []) + ([counted(revisions, "update")] if revisions else [])
    return ", ".join(parts)


def _label(webhook: Webhook, site: Site, topics: Iterable[Topic]) -> str:
    """What a message is about: its topics where they are few, else the site."""
    titles = {topic.slug: readable(topic.title) for topic in topics}
    named = [titles.get(slug, slug) for slug in webhook.topics]
    whole = named if 0 < len(named) <= 2 and not webhook.query else [site.title]
    return summary(", ".join(whole), _NOTE_CHARACTERS_MAX)


def _link(webhook: Webhook, site: Site) -> str:
    """Where the rest of a message is: the page of its topic or of its query, else the front page."""
    if len(webhook.topics) == 1 and not webhook.query:
        return site.base_url + topic_path(webhook.topics[0])
    if webhook.query and not webhook.topics and site.live and "like:" not in webhook.query:
        return site.base_url + search_href(webhook.query)
    return site.base_url


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
