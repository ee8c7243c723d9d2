"""Texts that nobody should publish, as nobody can rule them out: made of a seed, so that each can be made again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from random import Random

from storage.model import Entry, Paper
from tests.builders import NOW, a_paper

CONTROLS = "".join(map(chr, [*range(32), *range(0x7F, 0xA0)]))
NEVER = (
    "\ufdd0\ufdef\ufffe\uffff\U0001fffe\U0010ffff\ud800\udbff\udc00\udfff\ufeff\ufffc\ufffd\ue000\U000f0000\U000f0001"
)
TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u200b\u200c\u200d\u2060\u00ad"
SPACES = " \t\n\r\x0b\x0c\x85\xa0\u1680\u2000\u2003\u2028\u2029\u202f\u205f\u3000"
MARKS = "\u0300\u0301\u0327\u0338\u20dd\u20e3\u0489\u0e47\u1ab0\ufe0f\U000e0100\U000e0041\U000e007f"
SIGNS = "<>&\"'`/\\{}[]()$%#^_~|;:=,.!?*+-@"
SCRIPTS = "aZ0éßſıİŁ\u212b\u1e9eωЖשمकไ한漢日ﬀﷺ𝒜𝔸🦜👩‍🔬🏳️‍🌈"
WORDS = (
    *(
        "</title>",
        "</script>",
        "<script>alert(1)</script>",
        "<!--",
        "-->",
        "--!>",
        "<![CDATA[",
        "]]>",
        "<?xml?>",
        "<?php",
    ),
    *(
        "<!DOCTYPE html>",
        '<!ENTITY x "y">',
        "&#0;",
        "&#x1F;",
        "&#55296;",
        "&#xFFFF;",
        "&amp;lt;",
        "&bogus;",
        "&lt",
        "&#",
    ),
    *("</entry>", "  <entry>\n", "    <item>\n", "</feed>\n", '    {\n      "id"', '"items": [\n', ",\n", "\n  ]\n}\n"),
    *("<id>x</id>", "<guid>x</guid>", "<updated>x</updated>", "</content>", "</summary>", '"}],"id":"x', "\\u2028"),
    *("<img src=x onerror=alert(1)>", "<p>", "</p>", "<br>", "<jats:p>", "<math>", "<svg>", "</math>", "<style>"),
    *("{{7*7}}", "{% raw %}", "{#", "${7}", "%s%n", "{0}", "%(x)s", "\\N{DASH}", "\x1b[31m", "\x1b]8;;x\x07"),
    *("BEGIN:VCARD", "Bcc: a@b.test", "=cmd|' /C'!A0", "@everyone", "<!channel>", "TY  - JOUR", "ER  - ", "@misc{x,"),
    *("javascript:alert(1)", "data:text/html,x", "http://[::1]/", "https://user:pw@x.test/", "//x.test", "file:///x"),
    *("NaN", "null", "true", "-1", "1e999", "A", "the", "of", "learning", "$", "$$", "Withdrawn", "arXiv:2606.00001v1"),
)
TEX = (
    *(
        r"\alpha",
        r"\mathbb{R}",
        r"\frac{1}{2}",
        r"\sqrt[3]{x}",
        r"\sum_{i=0}^{n}",
        r"\left(",
        r"\right)",
        r"\left.",
        r"\\",
    ),
    *(r"\begin{matrix}1&2\\3&4\end{matrix}", r"\begin{x}", r"\end{x}", r"\href{javascript:alert(1)}{x}", r"\url{x}"),
    *(
        r"\emph{",
        r"\textbf{a}",
        r"\'e",
        r"\H{o}",
        r"\c c",
        r"{\bf x}",
        r"\def\x{\x\x}\x",
        r"\newcommand{\a}{\a}",
        r"\input{x}",
    ),
    *(
        r"\(",
        r"\)",
        r"\[",
        r"\]",
        "$",
        "$$",
        "{",
        "}",
        "^",
        "_",
        "&",
        "%",
        "#",
        "~",
        r"\unicode{x3c}",
        r"\char60",
        r"^^3c",
    ),
    *(
        r"\not=",
        r"\stackrel{a}{b}",
        r"\overset{<b>}{=}",
        r"\text{<i>}",
        r"\mathrm{</math>}",
        r"\style{x}{y}",
        r"\class{a}{b}",
    ),
    *("x<y", "a>b", "x^2", "n_1", r"\,", r"\label{eq:1}", r"\ref{eq:1}", r"\cite{x}", r"\verb|<b>|", r"\middle|", "'"),
)


class Hostile:
    """Makes texts; the same seed makes the same ones."""

    def __init__(self, seed: str) -> None:
        self.random = Random(seed)  # noqa: S311 - nothing secret is made of it
        self._kinds: tuple[Callable[[int], str], ...] = (
            lambda n: self._of(SIGNS + SCRIPTS + " ", n),
            lambda n: self._of(CONTROLS + NEVER + TURNING + SPACES + "ab", n),
            lambda n: "".join(chr(self.random.randrange(0x110000)) for _ in range(n)),
            lambda n: "".join(chr(self.random.randrange(0x250)) for _ in range(n)),
            lambda n: self._joined(WORDS, n),
            lambda n: self._joined(TEX, n),
            lambda n: f"${self._joined(TEX, n)}$",
            lambda n: self._of(SCRIPTS, 2) + self._of(MARKS + TURNING, 4 * n),
            lambda n: self._joined((*WORDS, *TEX, *SIGNS, *TURNING, *NEVER[:8]), n),
            lambda n: self.random.choice(("{", "$", "\\frac{", "^{", "<b>", "&", "(", "\\left(", "[", "$$\\[")) * n,
            lambda n: (
                self.random.choice((*SPACES, "", "\x00", "\u200b", "\u2066", "\ufeff")) * self.random.randrange(4)
            ),
        )

    def text(self, longest: int = 40) -> str:
        """Anything: a few kinds of pieces, one after the other; now and then very many of one."""
        pieces = (
            self.random.choice(self._kinds)(self.random.randrange(longest)) for _ in range(self.random.randrange(1, 4))
        )
        text = "".join(pieces)
        return text * self.random.randrange(20, 200) if self.random.random() < 0.01 else text

    def title(self) -> str:
        """Mostly something that can be shown."""
        return self.text() if self.random.random() < 0.4 else f"On {self.text()} and {self.text(8)}"

    def abstract(self) -> str:
        """A few paragraphs."""
        return "\n\n".join(self.text(60) for _ in range(self.random.randrange(4)))

    def url(self) -> str | None:
        """An address, or what pretends to be one."""
        roll = self.random.random()
        if roll < 0.2:
            return None
        scheme = self.random.choice(
            ("https://", "http://", "HTTPS://", "https:", "ftp://", "javascript:", "data:", "//", "")
        )
        host = self.random.choice(
            ("x.test", "x.test:80", "ü.test", "a@b.test", "[::1]", "x..test", "xn--.test", "", "a b")
        )
        return f"{scheme}{host}/{self.text(12)}" if roll < 0.9 else self.text(12)

    def maybe(self, make: Callable[[], str]) -> str | None:
        """Sometimes nothing."""
        return make() if self.random.random() < 0.6 else None

    def many(self, make: Callable[[], str], most: int) -> tuple[str, ...]:
        """Some of them."""
        return tuple(make() for _ in range(self.random.randrange(most)))

    def entry(self, number: int) -> Entry:
        """What a hostile source says of one paper."""
        return Entry(
            source=f"journal:{self.random.randrange(5)}",
            entry_id=f"{number} {self.text(6)}",
            title=self.title(),
            abstract=self.abstract(),
            authors=self.many(lambda: self.text(10), 5),
            categories=self.many(lambda: self.text(6), 4),
            url=self.url(),
            pdf_url=self.url(),
            code_url=self.url(),
            project_url=self.url(),
            doi=self.maybe(lambda: f"10.1000/{self.text(8)}"),
            journal_ref=self.maybe(lambda: self.text(12)),
            license_url=self.url(),
            version=self.random.choice((None, 1, 2, 7)),
        )

    def _of(self, alphabet: str, count: int) -> str:
        return "".join(self.random.choices(alphabet, k=count))

    def _joined(self, words: tuple[str, ...], count: int) -> str:
        return self.random.choice(("", " ", "\n")).join(self.random.choices(words, k=count))


def paper_of(entry: Entry, number: int) -> Paper:
    """The paper that an entry becomes; `number` gives its id and its moment."""
    known = f"doi:10.1000/{number}" if number % 2 else f"arxiv:2606.{number % 100_000:05d}"
    names = ("title", "abstract", "authors", "categories", "url", "pdf_url", "code_url", "project_url", "doi")
    said = {name: getattr(entry, name) for name in (*names, "journal_ref", "license_url", "version")}
    at = NOW - timedelta(seconds=number % 86_400)
    return a_paper(paper_id=known, aliases=(known,), sources=(entry.source,), announced_at=at, first_seen_at=at, **said)
