"""How well `like:` finds: `python -m bench.likes [arxiv_papers.parquet]`; `… figures` writes the table it goes by.

Papers like one paper are right where they share its primary category: of the first 20, for a profile and for the cosine
of whole tf-idf vectors. Papers like a list drawn from a shipped topic are right where they have that topic. Then how
much of the archive answers, and what it costs.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from bench.query import CAPTURED, NOW, PAPERS_SQL
from storage.model import Paper
from storage.profiles import Profile, Seed, profile_of_seeds
from storage.query import WORDS_SQL, normal_text, parse_query
from storage.query_many import Queries
from storage.search_text import singular
from storage.topics import shipped_topics
from tests.builders import a_paper

FIGURES = Path(__file__).resolve().parents[1] / "storage" / "abstract_words.txt"
FIRST, SEEDS, LISTS, TAGGED = 20, 200, 1, 5_000
SIZES = (5, 20, 50)
_RAREST_PAPERS, _LONGEST = 21, 30
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Corpus:
    """Papers as words: `words` of all papers in a row, where each begins, and the same of titles."""

    papers: list[tuple[str, str, str, str]]  # id, title, abstract, primary category
    number: dict[str, int]
    words: NDArray[np.int64]
    begins: NDArray[np.int64]
    times: NDArray[np.int64]
    titles: NDArray[np.int64]
    title_begins: NDArray[np.int64]

    def summed(self, weights: Floats, *, titles: bool = False) -> Floats:
        """Add up the weights of the words of each paper, or of its title."""
        words, begins = (self.titles, self.title_begins) if titles else (self.words, self.begins)
        return np.add.reduceat(weights[words], begins)


def main(path: Path) -> None:
    """Print the tables."""
    corpus = _corpus(path)
    print(f"{len(corpus.papers):,} papers\n")
    _of_one(corpus)
    _of_lists(corpus)
    _costs(path, corpus)


def write_figures(path: Path) -> None:
    """Count in how many papers each word stands, and write those that stand in some."""
    corpus = _corpus(path)
    counts = np.bincount(corpus.words, minlength=len(corpus.number))
    of = len(corpus.papers)
    lines = [
        (-min(round(counts[n] * 100_000 / of), 99_999), word)
        for word, n in corpus.number.items()
        if counts[n] >= _RAREST_PAPERS and word.isascii() and 1 < len(word) <= _LONGEST and not word.isdecimal()
    ]
    header = FIGURES.read_text(encoding="utf-8").partition("\n")[0]
    text = "".join(f"{word} {-count}\n" for count, word in sorted(lines))
    FIGURES.write_text(f"{header}\n{text}", encoding="utf-8")


def _corpus(path: Path) -> Corpus:
    rows = duckdb.execute(
        "SELECT arxiv_id, title, abstract, coalesce(primary_cat, '') FROM read_parquet(?) ORDER BY arxiv_id",
        [str(path)],
    ).fetchall()
    number: dict[str, int] = {}

    def numbered(text: str) -> Counter[int]:
        names = singular(normal_text.__wrapped__(text).split()) or [""]
        return Counter(number.setdefault(name, len(number)) for name in names)

    whole, titles = [numbered(f"{t} {a}") for _, t, a, _ in rows], [numbered(t) for _, t, _, _ in rows]
    words, begins = _flat(whole)
    title_words, title_begins = _flat(titles)
    times = np.array([n for counted in whole for n in counted.values()])
    return Corpus(rows, number, words, begins, times, title_words, title_begins)


def _flat(counted: Sequence[Counter[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    lengths = np.array([len(one) for one in counted])
    return np.array([word for one in counted for word in one]), np.concatenate([[0], np.cumsum(lengths)[:-1]])


def _scores(corpus: Corpus, profile: Profile) -> Floats:
    weights = np.zeros(len(corpus.number))
    for word in profile.words:
        for name in singular([word.needles[0].strip()]):
            if name in corpus.number:
                weights[corpus.number[name]] = word.weight
    return corpus.summed(weights) + corpus.summed(weights, titles=True)


def _cosine(corpus: Corpus) -> Callable[[Iterable[int]], Floats]:
    """The cosine of the tf-idf vector of each paper with the mean of some."""
    shares = np.bincount(corpus.words, minlength=len(corpus.number)) / len(corpus.papers)
    values = (1 + np.log(corpus.times)) * -np.log(shares[corpus.words])
    lengths = np.sqrt(np.add.reduceat(values**2, corpus.begins))
    ends = np.append(corpus.begins[1:], len(corpus.words))

    def scored(papers: Iterable[int]) -> Floats:
        mean = np.zeros(len(corpus.number))
        for paper in papers:
            part = slice(corpus.begins[paper], ends[paper])
            mean[corpus.words[part]] += values[part] / lengths[paper]
        return np.add.reduceat(values * mean[corpus.words], corpus.begins) / lengths

    return scored


def _of_one(corpus: Corpus) -> None:
    """How often the first 20 share the primary category of one paper, and how many papers answer."""
    dice = random.Random(5)  # noqa: S311 - no secret, only variety
    subjects = np.array([primary for *_, primary in corpus.papers])
    known = [n for n, subject in enumerate(subjects) if subject]
    cosine, right, rates = _cosine(corpus), {"like:": [], "cosine of tf-idf": []}, []
    for paper in dice.sample(known, SEEDS):
        profile = profile_of_seeds([_seed(corpus, paper)])
        scores = {"like:": _scores(corpus, profile), "cosine of tf-idf": cosine([paper])}
        rates.append(100 * float(np.mean(scores["like:"] >= profile.least)))
        for name, scored in scores.items():
            scored[paper] = -1
            right[name].append(float(np.mean(subjects[_first(scored, FIRST)] == subjects[paper])))
    print(f"like one paper: of the first {FIRST}, in its primary category ({SEEDS} papers)")
    for name, found in right.items():
        print(f"  {name:18} {np.mean(found):.3f} ± {np.std(found) / SEEDS**0.5:.3f}")
    print(f"  answers, % of the archive: {_quantiles(rates)}\n")


def _of_lists(corpus: Corpus) -> None:
    """The same for lists of papers that have one of the shipped themes."""
    dice = random.Random(9)  # noqa: S311
    cosine, themes = _cosine(corpus), _themes(corpus)
    print(f"like a list of papers of a shipped topic: of the first 50, in it ({len(themes)} topics)")
    for size in SIZES:
        right, rates, seeds_found = {"like:": [], "cosine of tf-idf": []}, [], []
        for members in themes:
            holds = np.isin(np.arange(len(corpus.papers)), members)
            for _ in range(LISTS):
                seeds = dice.sample(members, size)
                profile = profile_of_seeds([_seed(corpus, n) for n in seeds])
                scores = {"like:": _scores(corpus, profile), "cosine of tf-idf": cosine(seeds)}
                rates.append(100 * float(np.mean(scores["like:"] >= profile.least)))
                seeds_found.append(float(np.mean(scores["like:"][seeds] >= profile.least)))
                for name, scored in scores.items():
                    scored[seeds] = -1
                    right[name].append(float(np.mean(holds[_first(scored, 50)])))
        means = "  ".join(f"{name} {np.mean(found):.3f}" for name, found in right.items())
        print(f"  {size:3} papers: {means}  answers, %: {_quantiles(rates)}  seeds found {np.mean(seeds_found):.2f}")
    print()


def _themes(corpus: Corpus) -> list[list[int]]:
    topics = [topic for topic in shipped_topics() if not topic.query.startswith("category:")]
    together, found = Queries([parse_query(topic.query) for topic in topics]), [list[int]() for _ in topics]
    for number, paper in enumerate(_papers(corpus)):
        for place, _ in together.answered(paper, NOW):
            found[place].append(number)
    return [members for members in found if 200 <= len(members) <= 6_000]


def _costs(path: Path, corpus: Corpus) -> None:
    """What `like:` costs in SQL over prepared words, and when papers are tagged with all shipped topics."""
    connection = duckdb.connect(config={"threads": 1, "python_enable_replacements": "false"})
    connection.execute(PAPERS_SQL, [str(path)])
    connection.execute(f"CREATE TABLE words AS {WORDS_SQL}")
    profiles = {f"a{n}.bib": profile_of_seeds([_seed(corpus, 997 * n)]) for n in range(10)}
    likes = [parse_query(f"like:{name}").resolved(profiles.__getitem__) for name in profiles]
    began = time.process_time()
    for query in likes:
        condition = query.sql(NOW)
        connection.execute(f"SELECT count(*) FROM words WHERE {condition.where}", list(condition.params)).fetchall()
    print(f"in SQL, per 1,000 papers: {(time.process_time() - began) / len(likes) / len(corpus.papers) * 1e6:.1f} ms")
    shipped, papers = [parse_query(topic.query) for topic in shipped_topics()], list(_papers(corpus))[:TAGGED]
    for label, queries in (
        ("44 topics", shipped),
        ("and one like:", [*shipped, likes[0]]),
        ("and ten", [*shipped, *likes]),
    ):
        print(f"tagging, {label:14} {min(_tagged(queries, papers) for _ in range(3)):.3f} ms a paper")


def _tagged(queries: list[object], papers: Sequence[Paper]) -> float:
    together = Queries(queries)  # type: ignore[arg-type]
    normal_text.cache_clear()
    began = time.process_time()
    for paper in papers:
        for _ in together.answered(paper, NOW):
            pass
    return (time.process_time() - began) / len(papers) * 1_000


def _papers(corpus: Corpus) -> Iterable[Paper]:
    plain = a_paper()
    for paper_id, title, abstract, primary in corpus.papers:
        yield replace(plain, paper_id=paper_id, title=title, abstract=abstract, categories=(primary,))


def _seed(corpus: Corpus, paper: int) -> Seed:
    return Seed(normal_text(corpus.papers[paper][1]), normal_text(corpus.papers[paper][2]))


def _first(scores: Floats, count: int) -> NDArray[np.int64]:
    return np.argsort(-scores, kind="stable")[:count]


def _quantiles(values: Sequence[float]) -> str:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return f"{middle:.2f} in the middle, 90 % within {low:.2f} and {high:.2f}"


if __name__ == "__main__":
    if sys.argv[1:2] == ["figures"]:
        write_figures(CAPTURED)
    else:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else CAPTURED)
