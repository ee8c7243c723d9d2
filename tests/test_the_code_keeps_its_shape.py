"""Small functions, small files, and no word that is not ours: docs/design.md says why."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("storage", "publishers", "flows")
LINES_OF_A_FILE_MAX = 500
LINES_OF_A_FUNCTION_MAX = 70


def sources(*folders: str) -> list[Path]:
    """Every Python file under these folders."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and length in lines of each function of a file, without its docstring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
            yield f"{path.name}:{node.name}", (node.end_lineno or 0) - node.lineno + 1 - docstring


def test_files_fit_the_head() -> None:
    long = {str(p.relative_to(ROOT)): n for p in sources(*PACKAGES, "tests", "bench") if (n := _lines(p)) > 500}
    assert long == {}, f"more than {LINES_OF_A_FILE_MAX} lines"


def test_functions_fit_a_screen() -> None:
    lengths = [length for path in sources(*PACKAGES) for _, length in functions(path)]
    long = {name: n for p in sources(*PACKAGES) for name, n in functions(p) if n > LINES_OF_A_FUNCTION_MAX}
    assert long == {}
    assert statistics.median(lengths) <= 10
    assert statistics.quantiles(lengths, n=20)[-1] <= 40, "the 95th percentile"


def test_the_plan_of_the_house_has_every_module() -> None:
    plan = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").partition("## The house")[2].partition("\n## ")[0]
    named = set(re.findall(r"[a-z_]+", plan))
    assert {p.stem for folder in PACKAGES for p in (ROOT / folder).glob("[a-z]*.py")} - named == set()


def test_every_file_says_what_it_is_for() -> None:
    silent = [p.name for p in sources(*PACKAGES, "tests", "bench") if _lines(p) and not ast.get_docstring(_tree(p))]
    assert silent == []


def test_every_public_function_says_what_it_promises() -> None:
    silent = [
        f"{path.name}:{node.name}"
        for path in sources(*PACKAGES)
        for node in _tree(path).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_no_flow_file_bears_the_name_of_another_module() -> None:
    import sys

    taken = set(sys.stdlib_module_names) | {"prefect", "duckdb", "pyarrow", "feedparser", "feedgen", "httpx", "rich"}
    assert [p.name for p in (ROOT / "flows").glob("*.py") if p.stem in taken] == []


def test_only_flow_files_import_prefect() -> None:
    pattern = re.compile(r"^\s*(?:from|import) prefect\b", re.M)
    users = {str(p.relative_to(ROOT)) for p in sources(*PACKAGES) if pattern.search(p.read_text(encoding="utf-8"))}
    assert all(name.startswith("flows/") for name in users)
    assert "flows/pipeline.py" not in users
    assert "flows/cli.py" not in users


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
