"""What reading takes in every adapter: addresses, statuses, single bad entries, names, code links, markup."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import orjson
from lxml import etree

from flows.fetching import Fetched
from storage.errors import EntryError, FetchError, ParseError
from storage.model import Entry
from storage.settings import Source
from storage.text import looks_like_html, text_of_html

T = TypeVar("T")

_FORGE = re.compile(r"(?<![\w.@-])(?:https?://)?(?:www\.)?(github\.com|gitlab\.com)((?:/[\w.-]+){2,})", re.I | re.ASCII)
# First path segments of GitHub and GitLab that are pages of theirs and no account.
_NO_ACCOUNTS = re.compile(
    "about|apps|collections|explore|features|login|marketplace|orgs|settings|sponsors|topics|trending|users"
)
_STATUS_WORDS = {
    401: "it wants a password",
    403: "it refuses us",
    404: "there is nothing at this address",
    410: "this address is gone for good",
    429: "it is asked too often",
}


def rebased(url: str, base_url: str | None) -> str:
    """Return `url` with scheme and host of `base_url`, whose own path stays in front: a mirror or a replay of it."""
    if not base_url:
        return url
    base, parts = urlsplit(base_url), urlsplit(url)
    return urlunsplit((base.scheme, base.netloc, base.path.rstrip("/") + parts.path, parts.query, parts.fragment))


def require_ok(source: Source, fetched: Fetched) -> None:
    """Raise FetchError where the status of an answer is no success."""
    if 200 <= fetched.status < 300:
        return
    words = _STATUS_WORDS.get(fetched.status) or ("the server fails" if fetched.status >= 500 else "no success")
    raise FetchError(
        source.name,
        f"HTTP {fetched.status}: {words}",
        status=fetched.status,
        retry_after_seconds=fetched.retry_after_seconds,
    )


def json_in(source: Source, fetched: Fetched) -> Any:
    """Return what the JSON of an answer says. Raises ParseError."""
    try:
        return orjson.loads(fetched.body)
    except orjson.JSONDecodeError as error:
        raise ParseError(source.name, f"it returned damaged JSON ({error})") from error


def parsed_xml(body: bytes) -> etree._Element:
    """Parse without ever expanding an entity or asking the network. Raises XMLSyntaxError."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    return etree.fromstring(body, parser)


def sift(make: Callable[[T], Entry], listed: Iterable[T]) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """Make an entry of each thing listed; what cannot be one becomes a problem line."""
    entries: list[Entry] = []
    problems: list[str] = []
    for number, thing in enumerate(listed, 1):
        try:
            entries.append(make(thing))
        except EntryError as error:
            problems.append(f"entry {error.entry_id or f'number {number}'}: {error.reason}")
    return tuple(entries), tuple(problems)


def split_names(text: str) -> tuple[str, ...]:
    """Split "A B, C D (Inst, City)" into names without affiliations; commas inside parentheses separate nothing."""
    names, depth = [""], 0
    for character in text:
        depth = max(0, depth + (character == "(") - (character == ")"))
        if character == "," and depth == 0:
            names.append("")
        elif depth == 0 and character != ")":
            names[-1] += character
    return tuple(name for name in (" ".join(name.split()) for name in names) if name)


def code_url(given: str | None, abstract: str) -> str | None:
    """Return the address of a paper's code: the one a source gives, else the first repository its abstract names."""
    if given and given.strip():
        bare = re.sub(r"\s+", "", given)  # line breaks inside a pasted address are real
        return repository(bare) or bare
    return repository(abstract)


def repository(text: str) -> str | None:
    r"""Return the root of the first GitHub or GitLab repository in `text`; TeX may write `_` as `\_`."""
    for found in _FORGE.finditer(text.replace("\\_", "_")):
        host, path = found[1].lower(), found[2].partition("/-/")[0].strip("/").split("/")
        kept = path if host == "gitlab.com" else path[:2]  # GitLab has groups within groups
        kept[-1] = kept[-1].rstrip(".-").removesuffix(".git")
        if not _NO_ACCOUNTS.fullmatch(kept[0].lower()) and all(part.strip(".") for part in kept):
            return f"https://{host}/{'/'.join(kept)}"
    return None


def plain(text: str, media_type: str) -> str:
    """Return the text a reader of `text` would see: markup is read as such only where it is said or seen to be."""
    return text_of_html(text) if "html" in media_type or looks_like_html(text) else text
