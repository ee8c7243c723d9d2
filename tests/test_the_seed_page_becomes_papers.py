"""The page this project began from: 89 titles and abstracts become 89 papers under topics a reader agrees with."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from storage.identity import fingerprint, strong_aliases, weak_aliases
from storage.model import Entry, Paper
from storage.query import parse_query
from storage.settings import Limits
from storage.text import clean
from storage.topics import shipped_topics
from tests.builders import NOW, a_paper
from tests.seed_page import SOURCE, seed_entries

PAPERS = 89
FURNITURE = (
    "new",
    "Get trending papers in your email inbox!",
    "Subscribe",
    "byAK and the research community",
    "Mar 13",
)
THEMES = tuple(topic for topic in shipped_topics() if not topic.query.startswith("category:"))

# What a reader of the page would call each paper, by the first words of its title: at least these themes.
READ_BY_EYE = {
    "Adaptive Computation Modules": {"efficient-inference"},
    "Video Relationship Detection": {"mixture-of-experts", "vision"},
    "Adaptive Rotated Convolution": {"vision", "architectures"},
    "Adaptive Guidance": {"image-video-generation", "efficient-inference"},
    "Combiner": {"architectures"},
    "Ca2-VDM": {"image-video-generation"},
    "A Survey on Inference Optimization": {"mixture-of-experts", "surveys", "efficient-inference"},
    "Pointer Networks": {"architectures"},
    "AsCAN": {"architectures", "image-video-generation"},
    "Hardware-Aware Parallel Prompt": {"efficient-inference", "large-language-models", "systems-hardware"},
    "Duo-LLM": {"large-language-models", "efficient-inference"},
    "DiffusionNAG": {"architectures"},
    "PatchCT": {"vision"},
    "Multi-Objective GFlowNets": {"science"},
    "Inference Scaling vs Reasoning": {"reasoning", "large-language-models"},
    "PC-DARTS": {"architectures"},
    "StreamDiffusion": {"image-video-generation", "efficient-inference"},
    "Exploiting Inter-Layer Expert": {"mixture-of-experts", "efficient-inference"},
    "FlashDecoding++": {"efficient-inference", "large-language-models"},
    "Redco": {"training", "systems-hardware", "large-language-models"},
    "Splitwise": {"efficient-inference", "large-language-models"},
    "Energy-Based Concept Bottleneck": {"interpretability"},
    "SambaNova SN40L": {"systems-hardware", "mixture-of-experts"},
    "FBNetV3": {"architectures"},
    "DyCL": {"code", "systems-hardware"},
    "MG-Verilog": {"data", "code", "systems-hardware"},
    "DRACO": {"systems-hardware"},
    "Lossless Compression": {"architectures"},
    "FlashRNN": {"architectures", "systems-hardware"},
    "A Complete Expressiveness": {"graphs", "theory"},
    "Read-ME": {"mixture-of-experts", "large-language-models"},
    "Co-Exploration": {"architectures", "systems-hardware"},
    "The Impact of Hyperparameters": {"efficient-inference", "evaluation"},
    "Scope is all you need": {"code"},
    "ExpertFlow": {"mixture-of-experts", "efficient-inference"},
    "Evaluation of OpenAI Codex": {"code", "evaluation", "systems-hardware"},
    "High-performance symbolic-numerics": {"code"},
    "An Overview of Diffusion": {"image-video-generation", "surveys", "theory"},
    "Boosting Large-scale Parallel": {"systems-hardware", "training"},
    "ParZC": {"architectures"},
    "Duplex": {"systems-hardware", "mixture-of-experts"},
    "L2MAC": {"code", "agents"},
    "PIM-GPT": {"systems-hardware", "efficient-inference"},
    "Understanding Neural Architecture": {"architectures"},
    "Tutel": {"mixture-of-experts"},
    "Jointly-Learned Exit": {"efficient-inference"},
    "CARMA": {"efficient-inference", "robotics"},
    "Turning Trash": {"efficient-inference", "large-language-models"},
    "FlexLLM": {"training", "efficient-inference"},
    "MoE++": {"mixture-of-experts"},
    "Language Models as Compilers": {"reasoning", "code"},
    "Flover": {"efficient-inference"},
    "LUT Tensor Core": {"efficient-inference", "systems-hardware"},
    "Challenges in Deploying": {"efficient-inference", "architectures"},
    "Unified Functional Hashing": {"architectures"},
    "Efficient Online Processing": {"efficient-inference"},
    "Accurate Block Quantization": {"efficient-inference", "large-language-models"},
    "Paging with Succinct": {"theory"},
    "PowerInfer-2": {"efficient-inference", "large-language-models"},
    "Efficient Arbitrary Precision": {"efficient-inference", "systems-hardware"},
    "SymbolicAI": {"planning-knowledge", "large-language-models"},
    "HybridFlow": {"alignment-safety", "reinforcement-learning"},
    "sharpDARTS": {"architectures"},
    "MonoCoder": {"code", "systems-hardware"},
    "On the Parameterization": {"architectures"},
    "Bag of Tricks": {"reasoning", "large-language-models"},
    "Superpipeline": {"efficient-inference", "systems-hardware"},
    "Smaller Language Models": {"large-language-models", "training"},
    "GradSign": {"architectures"},
    "SCBench": {"efficient-inference", "evaluation"},
    "Learning a Consensus": {"training"},
    "EEEA-Net": {"architectures"},
    "On the Design and Analysis": {"large-language-models"},
    "Lets keep it simple": {"architectures"},
    "Closing the Performance Gap": {"code", "systems-hardware"},
    "Once-for-All": {"efficient-inference", "architectures"},
    "Scaling LLM Test-Time": {"reasoning", "large-language-models"},
    "Demystifying Platform": {"efficient-inference", "systems-hardware"},
    "Pre-gated MoE": {"mixture-of-experts", "efficient-inference"},
    "Scalable MatMul-free": {"large-language-models", "efficient-inference"},
    "BitMoD": {"efficient-inference", "large-language-models"},
    "When Neural Code Completion": {"code", "efficient-inference"},
    "ML-driven Hardware": {"systems-hardware"},
    "Configurable Foundation": {"large-language-models", "mixture-of-experts"},
    "Efficient N:M Sparse": {"efficient-inference", "training"},
    "Revisiting SMoE": {"mixture-of-experts", "efficient-inference"},
    "Sequential Gradient": {"systems-hardware"},
    "Flows": {"reasoning", "agents"},
    "LLM in a flash": {"efficient-inference", "large-language-models"},
}
# Themes that no paper of the page is about.
NOBODYS = {"medicine", "federated-privacy", "recommendation", "3d", "language", "robustness-security"}


@pytest.fixture(scope="module")
def page(shared_data: Path) -> str:
    return (shared_data / "seed_page.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def entries(page: str) -> tuple[Entry, ...]:
    return seed_entries(page)


def as_paper(entry: Entry) -> Paper:
    """The paper an entry without ids becomes: known by its fingerprint."""
    paper_id = f"fp:{fingerprint(entry)}"
    return a_paper(
        paper_id=paper_id,
        aliases=weak_aliases(entry),
        title=entry.title,
        abstract=entry.abstract,
        authors=(),
        categories=(),
        sources=(entry.source,),
    )


@cache
def themes_of(title: str, abstract: str) -> dict[str, tuple[str, ...]]:
    """The themes of a paper, each with its reasons."""
    paper = a_paper(title=title, abstract=abstract, authors=(), categories=())
    answers = {topic.slug: parse_query(topic.query).reasons(paper, NOW) for topic in THEMES}
    return {slug: reasons for slug, reasons in answers.items() if reasons}


def test_the_page_holds_89_papers_and_nothing_else(page: str, entries: tuple[Entry, ...]) -> None:
    assert len(entries) == PAPERS
    read = {part for entry in entries for part in (entry.title, entry.abstract)}
    left = [line.strip() for line in page.splitlines() if line.strip() and line.strip() not in read]
    assert left == list(FURNITURE)


def test_every_abstract_arrives_whole(page: str, entries: tuple[Entry, ...]) -> None:
    for entry in entries:
        cleaned = clean(entry, Limits())
        assert cleaned.abstract == entry.abstract
        assert f"\n{entry.title}\n\n{cleaned.abstract}" in page
        assert entry.abstract[-1] in ".!?/" or "https://" in entry.abstract[-80:], entry.title
    assert sum(len(entry.abstract) for entry in entries) > 140_000


def test_each_entry_becomes_a_paper_of_its_own(entries: tuple[Entry, ...]) -> None:
    papers = [as_paper(entry) for entry in entries]
    assert len({paper.paper_id for paper in papers}) == PAPERS
    assert len({alias for paper in papers for alias in paper.aliases}) == 3 * PAPERS
    assert all(strong_aliases(entry) == () for entry in entries)
    assert {entry.source for entry in entries} == {SOURCE}
    assert [entry.entry_id for entry in entries] == [str(n) for n in range(1, PAPERS + 1)]


def test_the_fingerprint_holds_when_the_page_is_read_again_in_another_order(page: str) -> None:
    first = {fingerprint(entry) for entry in seed_entries(page)}
    paragraphs = page.split("\n\n")
    shuffled = "\n\n".join(paragraphs[:5] + paragraphs[95:] + paragraphs[5:95])
    assert {fingerprint(entry) for entry in seed_entries(shuffled)} == first


def test_every_paper_has_the_topics_a_reader_gives_it(entries: tuple[Entry, ...]) -> None:
    assert len(READ_BY_EYE) == PAPERS
    for start, expected in READ_BY_EYE.items():
        (entry,) = [e for e in entries if e.title.startswith(start)]
        given = set(themes_of(entry.title, entry.abstract))
        assert expected <= given, f"{entry.title}: lacks {expected - given}"
        assert not given & NOBODYS, f"{entry.title}: {given & NOBODYS}"


def test_no_paper_is_under_more_topics_than_a_reader_follows(entries: tuple[Entry, ...]) -> None:
    counts = [len(themes_of(entry.title, entry.abstract)) for entry in entries]
    assert min(counts) >= 1
    assert max(counts) <= 6
    assert sum(counts) / PAPERS < 3.5


def test_the_table_of_topics_holds_every_paper(entries: tuple[Entry, ...]) -> None:
    """Prints the table (`pytest -s`)."""
    table = {topic.title: [e for e in entries if topic.slug in themes_of(e.title, e.abstract)] for topic in THEMES}
    for title, held in sorted(table.items(), key=lambda row: -len(row[1])):
        print(f"{len(held):4}  {title:34} {'; '.join(e.title[:40] for e in held[:2])}")
    assert len({entry.entry_id for held in table.values() for entry in held}) == PAPERS


def test_furniture_alone_is_no_paper() -> None:
    assert seed_entries("\n\n".join(FURNITURE)) == ()
    assert seed_entries("") == ()
