"""Where the seeds of `like:` come from: papers of the archive, and files of references on this machine.

    web_query(text, catalog)               a query that came over HTTP: a file is refused, for it would read our disk
    catalog_query(text, catalog, folder)   a query of our own user: the command line, a webhook
    keep_likes(archive, topics, folder)    the profiles of all topics, each made once and then kept

A topic's profile is made when the topic is first tagged with it, and again only when the bytes of its file change. So
neither a revision of the seed nor a paper that turns out to be in the file moves readers' topics; `like:` of the same
seed means the same in topics, previews and feeds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.model import Paper
from storage.profiles import Profile, Seed, Word, is_file, profile_of_seeds
from storage.query import Query, normal_text, parse_query
from storage.references import Reference, parse_references, read_references, references_path

if TYPE_CHECKING:
    from storage.archive import Archive
    from storage.catalog import Catalog
    from storage.settings import Settings, Topic

KEPT, PROBLEMS = "likes", "likes not found"  # where the index keeps profiles, and what is wrong with others
_MADE_BY = 1  # how profiles are made; another number makes all anew
_Held = Callable[[Sequence[str]], Iterable[Paper]]  # the papers that carry one of these ids


@dataclass(frozen=True, slots=True)
class _Kept:
    """A profile, and the hash of the file it was made of; empty for a paper's."""

    profile: Profile
    of: str = ""


def resolve(query: Query, seeds: Callable[[str], Sequence[Seed]]) -> Query:
    """Return `query` with a profile for each `like:`, made of what `seeds` gives for its seed.

    Raises QueryError that points at the seed where `seeds` raises ValueError.
    """
    return query.resolved(lambda seed: profile_of_seeds(seeds(seed)))


def web_query(text: str, catalog: Catalog) -> Query:
    """Parse a query that a stranger sent, and resolve its ids from the archive. Raises QueryError, for files too."""

    def refused(_: str, __: _Kept | None) -> Profile:
        raise ValueError("like: takes a paper's id here; files work in paperwire.toml and on the command line")

    return _resolved(text, catalog, refused)


def catalog_query(text: str, catalog: Catalog, folder: Path | None = None) -> Query:
    """Parse a query of our own user and resolve it; files lie relative to `folder`, else to that of paperwire.toml.

    Raises QueryError.
    """
    return _resolved(text, catalog, lambda seed, kept: _of_file(seed, folder, kept, catalog.known_as).profile)


def _resolved(text: str, catalog: Catalog, of_file: Callable[[str, _Kept | None], Profile]) -> Query:
    """Parse a query and resolve it; what the profile of a file is, `of_file` says, given the one that topics go by."""
    query = parse_query(text)
    if not query.likes:
        return query
    kept = kept_likes(catalog.likes_json())

    def profile_of(seed: str) -> Profile:
        if is_file(seed):
            return of_file(seed, kept.get(seed))
        return kept[seed].profile if seed in kept else _of_paper(seed, catalog.known_as)

    return query.resolved(profile_of)


def topic_queries(texts: Iterable[str], likes: Mapping[str, Profile]) -> list[Query]:
    """Parse the queries of topics and give them their profiles; what has none finds nothing."""
    return [parse_query(text).resolved(lambda seed: likes.get(seed, Profile())) for text in texts]


def keep_likes(archive: Archive, topics: Sequence[Topic], folder: Path | None) -> dict[str, Profile]:
    """Return the profile of each seed that topics name, and keep them in the index; within the caller's transaction.

    A seed that cannot be found has none until it can; a file that cannot be read keeps the one it had. Both are told
    by `like_problems`. Raises ArchiveCorrupt.
    """
    index = archive.index
    before, after, problems = kept_likes(index.get_meta(KEPT)), dict[str, _Kept](), list[str]()

    def held(ids: Sequence[str]) -> list[Paper]:
        return [h.paper for h in archive.held(ids).values() if h.paper.merged_into is None]

    for topic in topics:
        for like in parse_query(topic.query).likes if "like" in topic.query.lower() else ():
            was = before.get(like.seed)
            try:
                after[like.seed] = after.get(like.seed) or _now(like.seed, folder, was, held)
            except ValueError as error:
                after |= {like.seed: was} if was else {}
                then = "it goes by what it had" if was else "it finds nothing"
                problems.append(f"topic {topic.slug}: {error}; {then}")
    told = {KEPT: _json_of(after) if after else "", PROBLEMS: "\n".join(problems)}
    for key, value in told.items():
        if index.get_meta(key) != value:
            index.set_meta(key, value)
    return {seed: kept.profile for seed, kept in sorted(after.items())}


def like_problems(archive: Archive) -> tuple[str, ...]:
    """What `like:` of topics could not be found at the last tagging, a line each."""
    return tuple(archive.index.get_meta(PROBLEMS).splitlines())


def kept_likes(text: str) -> dict[str, _Kept]:
    """Read what the index keeps; nothing where it was made in another way."""
    said: dict[str, Any] = json.loads(text) if text else {}
    if said.get("made_by") != _MADE_BY:
        return {}
    return {
        seed: _Kept(Profile(tuple(Word(tuple(needles), weight) for needles, weight in words), least), of)
        for seed, (of, least, words) in said["seeds"].items()
    }


def profiles_of(text: str) -> dict[str, Profile]:
    """The profiles that topics go by, by their seeds, of what `Catalog.likes_json` gives."""
    return {seed: kept.profile for seed, kept in kept_likes(text).items()}


def folder_of(settings: Settings) -> Path | None:
    """Where the files of a configuration lie; None where it is no file."""
    return settings.path.parent if settings.path else None


def seed_of(title: str, abstract: str = "") -> Seed:
    """Return a paper or reference as a profile reads it."""
    return Seed(normal_text(title), normal_text(abstract))


def _json_of(kept: Mapping[str, _Kept]) -> str:
    seeds = {
        seed: [k.of, k.profile.least, [[list(w.needles), w.weight] for w in k.profile.words]]
        for seed, k in sorted(kept.items())
    }
    return json.dumps({"made_by": _MADE_BY, "seeds": seeds}, separators=(",", ":"))


def _now(seed: str, folder: Path | None, was: _Kept | None, held: _Held) -> _Kept:
    if is_file(seed):
        return _of_file(seed, folder, was, held)
    return was or _Kept(_of_paper(seed, held))


def _of_paper(seed: str, held: _Held) -> Profile:
    """The profile of the paper with this id. Raises ValueError where there is none."""
    papers = sorted(held([seed]), key=lambda paper: (paper.paper_id != seed, paper.paper_id))
    if not papers:
        raise ValueError(f"like: no paper of the archive is {seed}")
    return profile_of_seeds([seed_of(papers[0].title, papers[0].abstract)])


def _of_file(seed: str, folder: Path | None, was: _Kept | None, held: _Held) -> _Kept:
    """The profile of a file; as it was where its bytes are the same. Raises ValueError."""
    data = read_references(references_path(seed, folder))
    of = hashlib.sha256(data).hexdigest()
    if was and was.of == of:
        return was
    references = parse_references(data, seed).references
    by_id = {alias: paper for paper in held([i for r in references for i in r.ids]) for alias in paper.aliases}
    return _Kept(profile_of_seeds([_seed(reference, by_id) for reference in references]), of)


def _seed(reference: Reference, by_id: Mapping[str, Paper]) -> Seed:
    """A reference with the abstract of its paper where it has none."""
    paper = next((by_id[i] for i in reference.ids if i in by_id), None)
    return seed_of(reference.title, reference.abstract or (paper.abstract if paper else ""))
