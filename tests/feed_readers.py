"""Validators and readers of feeds that others wrote, each asked about many files at once."""

from __future__ import annotations

import functools
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import fastfeedparser  # type: ignore[import-untyped]
import feedparser
from lxml import etree

from tests.test_feeds_are_valid import SCHEMAS, faults, faults_beyond_the_grammar, json_schema

_TESTS = Path(__file__).parent
_ATOM, _DC = "{http://www.w3.org/2005/Atom}", "{http://purl.org/dc/elements/1.1/}"
# One line for each file that is refused, so that a run over hundreds tells of all of them.
_RUBY = """
STDIN.each_line(chomp: true) do |path|
  begin
    RSS::Parser.parse(File.read(path), true) or puts "#{path}\tis no feed"
  rescue RSS::Error => error
    puts "#{path}\t#{error.class} #{error.message.lines.first}"
  end
end
"""
Faults = dict[Path, str]


class Said(NamedTuple):
    """What a feed says of one entry."""

    id: str
    title: str
    authors: tuple[str, ...]
    links: tuple[str, ...]
    enclosures: tuple[str, ...]


def said(path: Path) -> list[Said]:
    """What a feed says, read without any library of feeds."""
    content = path.read_bytes()
    if path.suffix == ".json":
        return [_of_json(item) for item in json.loads(content)["items"]]
    root = etree.fromstring(content)
    if path.suffix == ".atom":
        return [_of_atom(entry) for entry in root.findall(f"{_ATOM}entry")]
    return [_of_rss(item) for item in root.findall("channel/item")]


def _of_json(item: Mapping[str, Any]) -> Said:
    return Said(
        item["id"],
        item["title"],
        tuple(author["name"] for author in item.get("authors", ())),
        (item["url"],),
        tuple(attachment["url"] for attachment in item.get("attachments", ())),
    )


def _of_atom(entry: etree._Element) -> Said:
    links = [(link.get("rel"), str(link.get("href"))) for link in entry.findall(f"{_ATOM}link")]
    return Said(
        str(entry.findtext(f"{_ATOM}id")),
        str(entry.findtext(f"{_ATOM}title")),
        tuple(str(author.findtext(f"{_ATOM}name")) for author in entry.findall(f"{_ATOM}author")),
        tuple(href for rel, href in links if rel == "alternate"),
        tuple(href for rel, href in links if rel == "enclosure"),
    )


def _of_rss(item: etree._Element) -> Said:
    return Said(
        str(item.findtext("guid")),
        str(item.findtext("title")),
        tuple(str(name.text) for name in item.findall(f"{_DC}creator")),
        (str(item.findtext("link")),),
        tuple(str(enclosure.get("url")) for enclosure in item.findall("enclosure")),
    )


# Validators. Each takes files of any format and returns why it refuses which.


def relax_ng(paths: Iterable[Path]) -> Faults:
    """Our grammars, as libxml2 reads them, and what RFC 4287 asks for in words."""
    found = {}
    for path in paths:
        content = path.read_bytes()
        errors = faults(content, path.suffix[1:])
        if path.suffix == ".atom":
            errors += faults_beyond_the_grammar(content)
        found[path] = "; ".join(errors)
    return _wrong(found)


def jing(paths: Iterable[Path]) -> Faults | None:
    """The same grammars as jing reads them; None where it is not installed."""
    if not shutil.which("jing"):
        return None
    found: Faults = {}
    for name, group in _by_format(paths).items():
        done = subprocess.run(
            ["jing", str(SCHEMAS / f"{name}.rng"), *map(str, group)], capture_output=True, text=True, check=False
        )
        for line in done.stdout.splitlines():
            path, _, error = line.partition(":")
            found[Path(path)] = error
        assert done.returncode == 0 or found, done.stderr
    return found


def ruby(paths: Iterable[Path]) -> Faults | None:
    """Ruby's strict parser; None where it is not installed."""
    if (
        not shutil.which("ruby")
        or subprocess.run(["ruby", "-rrss", "-e", ""], capture_output=True, check=False).returncode
    ):
        return None
    lines = _asked(["ruby", "-rrss", "-e", _RUBY], paths)
    return {Path(path): error for path, _, error in (line.partition("\t") for line in lines)}


def schema(paths: Iterable[Path]) -> Faults:
    """The schema of JSON Feed 1.1."""
    return _wrong(
        {path: "; ".join(e.message for e in json_schema().iter_errors(json.loads(path.read_bytes()))) for path in paths}
    )


# Readers. They accept a feed where they read in it what it says.


def feedsmith(paths: Sequence[Path]) -> Faults | None:
    """feedsmith, of npm; None where it is not installed."""
    if not shutil.which("node") or not (_TESTS / "npm" / "node_modules" / "feedsmith").exists():
        return None
    read = {
        Path(document["path"]): document
        for document in map(json.loads, _asked(["node", str(_TESTS / "npm" / "read_feeds.cjs")], paths))
    }
    return _wrong({path: _differs(path, lambda path: _of_feedsmith(read[path])) for path in paths})


def _of_feedsmith(document: Mapping[str, Any]) -> list[Said]:
    if "error" in document:
        raise ValueError(document["error"])
    names = ("authors", "links", "enclosures")
    return [Said(e["id"], e["title"], *(tuple(e[name]) for name in names)) for e in document["entries"]]


def fast_feed_parser(paths: Iterable[Path]) -> Faults:
    """fastfeedparser, of PyPI. It tells of one author only."""
    return _wrong({path: _differs(path, _fast, authors=1) for path in paths})


def _fast(path: Path) -> list[Said]:
    entries = fastfeedparser.parse(path.read_bytes()).entries if said(path) else []
    return [
        Said(
            entry.id,
            entry.title,
            tuple(author["name"] for author in entry.get("authors", ())[:1]),
            (entry.link,),
            tuple(e["url"] for e in entry.get("enclosures", ()))
            or tuple(link["href"] for link in entry.links if link["rel"] == "enclosure"),
        )
        for entry in entries
    ]


def feed_parser(paths: Iterable[Path]) -> Faults:
    """feedparser, of PyPI, told to leave texts alone."""
    return _wrong({path: _differs(path, _slow) for path in paths})


def _slow(path: Path) -> list[Said]:
    parsed = feedparser.parse(io.BytesIO(path.read_bytes()), sanitize_html=False, resolve_relative_uris=False)
    if parsed.bozo:
        raise ValueError(str(parsed.bozo_exception))
    return [
        Said(
            entry.id,
            entry.title,
            tuple(author["name"] for author in entry.get("authors", ()) if author),
            (entry.link,),
            tuple(enclosure.href for enclosure in entry.enclosures),
        )
        for entry in parsed.entries
    ]


def _differs(path: Path, read: Callable[[Path], list[Said]], authors: int | None = None) -> str:
    """What a reader makes of a feed that is not what it says; nothing where it is."""
    try:
        theirs = read(path)
    except Exception as error:  # noqa: BLE001 - whatever a reader raises, it does not accept the feed
        return f"{type(error).__name__}: {error}"
    ours = [entry._replace(authors=entry.authors[:authors]) for entry in said(path)]
    if len(ours) != len(theirs):
        return f"{len(theirs)} of {len(ours)} entries"
    return next((f"{their} is not {our}" for our, their in zip(ours, theirs, strict=True) if our != their), "")


def _asked(command: list[str], paths: Iterable[Path]) -> list[str]:
    """What a program prints that is given paths on its standard input."""
    done = subprocess.run(
        command,
        input="".join(f"{path}\n" for path in paths),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LANG": "C.UTF-8"},
    )
    return done.stdout.splitlines()


def _wrong(found: Faults) -> Faults:
    return {path: error for path, error in found.items() if error}


def _by_format(paths: Iterable[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(path.suffix[1:], []).append(path)
    return found


VALIDATORS: Mapping[str, tuple[Callable[[Sequence[Path]], Faults | None], frozenset[str]]] = {
    "RELAX NG": (relax_ng, frozenset([".atom", ".rss"])),
    "jing": (jing, frozenset([".atom", ".rss"])),
    "Ruby, strict": (ruby, frozenset([".atom", ".rss"])),
    "JSON schema": (schema, frozenset([".json"])),
    "feedsmith": (feedsmith, frozenset([".atom", ".rss", ".json"])),
    "fastfeedparser": (fast_feed_parser, frozenset([".atom", ".rss", ".json"])),
    "feedparser": (feed_parser, frozenset([".atom", ".rss"])),  # it knows no JSON Feed
}


@functools.cache
def is_empty(path: Path) -> bool:
    """Whether a feed has no entry yet: Ruby wants an item in every channel, RSS 2.0 does not."""
    return not said(path)
