"""How much TeX is left after publishers.readable, and how fast it is, over real titles and abstracts.

usage: python -m bench.readable [arxiv_papers.parquet] [--show N] [--examples N] [--seed S]

Residue is what a reader would still see of TeX: a backslash, ^{ or _{, a dollar that is no amount of money, or a
brace without its partner. It is counted over the texts that carry TeX at all. Of formulas the last table says how many
pages show as MathML, how many read as well in plain text, and what it costs.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from pathlib import Path

import duckdb

from publishers.mathml import math_html, math_markup, math_paragraphs
from publishers.readable import paragraphs, paragraphs_as_written, readable, readable_around

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "bench" / "arxiv_papers.parquet"
TEX = re.compile(r"\$[^$]+\$|\\[()\[]|\\[a-zA-Z]+|\\['\"`^~=.][a-zA-Z{\\]")
RESIDUE = re.compile(r"\\|[\^_]\{|\$(?!\s?\d)(?![A-Z])")


def residue(text: str) -> str:
    """Return the first piece of TeX left in `text`, or nothing."""
    found = RESIDUE.search(text)
    if found:
        return found[0]
    return "" if text.count("{") == text.count("}") else "unbalanced brace"


def show(before: str, after: str) -> None:
    """Print a text before and after, around its first TeX."""
    place = TEX.search(before)
    start = max(0, place.start() - 60) if place else 0
    print("   IN ", " ".join(before[start : start + 260].split()))
    start = max(0, start - 30)
    print("   OUT", after[start : start + 220])


def measure(label: str, texts: list[str], examples: int) -> None:
    """Print one row: how many carry TeX, how many keep residue, and the rate over all texts."""
    started = time.perf_counter()
    rendered = [" ".join(paragraphs(text)) if label == "abstracts" else readable(text) for text in texts]
    rate = len(texts) / (time.perf_counter() - started)
    bearing = [(t, r) for t, r in zip(texts, rendered, strict=True) if TEX.search(t)]
    left = [(t, r) for t, r in bearing if residue(r)]
    clean = sum(bool(residue(r)) for r in rendered) - len(left)
    share = 100 * len(left) / max(1, len(bearing))
    print(f"{label:10} {len(texts):7,} {len(bearing):7,} {len(left):8,} {share:7.2f} % {clean:10,} {rate:9,.0f}/s")
    for _before, after in random.Random(7).sample(left, min(examples, len(left))):  # noqa: S311
        place = RESIDUE.search(after)
        start = max(0, place.start() - 60) if place else 0
        print(f"   LEFT {residue(after)!r}: {after[start : start + 140]}")
    for before, after in random.Random(examples).sample(bearing, min(examples, len(bearing))):  # noqa: S311
        show(before, after)


def measure_math(rows: list[tuple[str, str]]) -> None:
    """Print what becomes of the formulas, and what pages cost that show them."""
    formulas: list[str] = []

    def collect(content: str) -> None:
        formulas.append(content)

    for title, abstract in rows:
        for text in (title, *paragraphs_as_written(abstract)):
            readable_around(text, collect)
    math_markup.cache_clear()
    started = time.process_time()
    shown = sum(math_markup(content) is not None for content in formulas)
    seconds = time.process_time() - started
    bearing = [abstract for _, abstract in rows if TEX.search(abstract)]
    print(f"{len(formulas):,} formulas: {shown:,} as MathML ({100 * shown / max(1, len(formulas)):.1f} %), the others")
    print(f"as Unicode; {1e6 * seconds / max(1, len(set(formulas))):.0f} us a formula that is not in the cache")
    for label, render in (("as text", paragraphs), ("as MathML", math_paragraphs)):
        for cached in (readable, paragraphs, math_markup):
            cached.cache_clear()
        started = time.process_time()
        for abstract in bearing:
            render(abstract)
        print(f"an abstract with TeX {label}: {1e6 * (time.process_time() - started) / max(1, len(bearing)):.0f} us")


def examples(rows: list[tuple[str, str]], count: int, seed: int) -> None:
    """Print `count` titles and abstracts with math, as written, as text and with the names of MathML's elements."""
    print(f"examples, --seed {seed}")
    texts = [text for row in rows for text in row if "$" in text]
    for text in random.Random(seed).sample(texts, min(count, len(texts))):  # noqa: S311
        print("\n   IN ", " ".join(text.split()))
        print("   OUT", readable(text))
        left = re.sub(r"<math alttext=.*?</math>", "[]", str(math_html(text)))
        print("   []  stands for MathML:", re.sub(r"</?span[^>]*>", "", left))


def main() -> None:
    """Measure titles and abstracts of a Parquet file with those two columns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("papers", nargs="?", type=Path, default=DATA)
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print N texts with residue and N others")
    parser.add_argument("--examples", type=int, default=0, metavar="N", help="print N whole texts with math")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="which ones")  # noqa: S311
    options = parser.parse_args()
    rows = duckdb.execute("SELECT title, abstract FROM read_parquet(?)", [str(options.papers)]).fetchall()
    print(f"{'':10} {'texts':>7} {'TeX':>7} {'residue':>8} {'share':>9} {'no TeX, res.':>10} {'rate':>11}")
    measure("titles", [title for title, _ in rows], options.show)
    measure("abstracts", [abstract for _, abstract in rows], options.show)
    measure_math(rows)
    if options.examples:
        examples(rows, options.examples, options.seed)


if __name__ == "__main__":
    main()
