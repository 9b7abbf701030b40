"""Each module that a document names exists, and every package has its row in ARCHITECTURE.md."""

import ast
import re
import tomllib
from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import harness

ROOT = Path(harness.__file__).parents[1]
PACKAGES = ("harness", "reports", "suites", "benchmarks")


def named(page: str) -> list[str]:
    """The paths between backticks, without the symbol after a colon."""
    quoted = re.findall(r"`([^`\n]+)`", (ROOT / page).read_text(encoding="utf-8"))
    return [each.partition(":")[0] for each in quoted if re.fullmatch(r"[\w.]+(/[\w.]*)+(: \w+)?", each)]


@pytest.mark.parametrize(("page", "base", "least"), [("ARCHITECTURE.md", "", 30), ("docs/design.md", "harness", 30)])
def test_every_path_that_is_named_exists(page: str, base: str, least: int) -> None:
    paths = named(page)
    assert len(paths) >= least
    missing = [each for each in paths if not (ROOT / each).exists() and not (ROOT / base / each).exists()]
    # The folder of the written report, and a module that is said not to be there.
    assert set(missing) <= {"reports/site/", "harness/measure/worker.py"}


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{each.name}" for each in (ROOT / "docs").glob("*.md"))]
)
def test_every_module_that_a_document_names_exists(page: str) -> None:
    modules = [each for each in named(page) if each.endswith(".py") and each != "harness/measure/worker.py"]
    bases = (ROOT, ROOT / "harness") if page == "docs/design.md" else (ROOT,)
    assert [each for each in modules if not any((base / each).exists() for base in bases)] == []


def test_symbols_that_are_named_with_their_module_are_in_it() -> None:
    for page in ("ARCHITECTURE.md", "docs/design.md"):
        for path, symbol in re.findall(r"`([\w/]+\.py): (\w+)`", (ROOT / page).read_text(encoding="utf-8")):
            file = ROOT / path if (ROOT / path).exists() else ROOT / "harness" / path
            assert re.search(
                rf"^(def|class) {symbol}\b|^{symbol} ?[:=]", file.read_text(encoding="utf-8"), re.MULTILINE
            )


def test_every_package_has_a_row() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    inner = {f"harness/{each.parent.name}" for each in (ROOT / "harness").glob("*/__init__.py")}
    for package in inner | {each for each in PACKAGES if each != "harness"}:
        assert f"`{package}`" in text, package


def test_no_module_lies_loose_in_the_harness() -> None:
    assert [each.name for each in (ROOT / "harness").glob("*.py")] == ["__init__.py"]


def test_the_rows_are_at_most_ten_and_cover_every_package() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    rows = contracts[0]["layers"]
    assert len(rows) <= 10
    listed = {each.strip() for row in rows for each in row.split("|")}
    inner = {f"harness.{each.parent.name}" for each in (ROOT / "harness").glob("*/__init__.py")}
    assert listed == inner | {each for each in PACKAGES if each != "harness"}


def test_no_file_is_longer_than_350_lines_and_no_function_than_60() -> None:
    long = []
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            source = file.read_text(encoding="utf-8")
            long += [f"{file.relative_to(ROOT)}: {lines} lines"] if (lines := len(source.splitlines())) > 350 else []
            long += [
                f"{file.relative_to(ROOT)}: {each.name}"
                for each in ast.walk(ast.parse(source))
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
                and (each.end_lineno or 0) - each.lineno >= 60
            ]
    assert long == []


def imported_by(file: Path, modules: Mapping[str, Path]) -> set[str]:
    """The modules that a file imports, at its top, within functions and for annotations alike."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{each.name}" for each in node.names}
            found |= inner & modules.keys() or {node.module} & modules.keys()
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names} & modules.keys()
    return found


def test_no_modules_import_each_other() -> None:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    modules = {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}
    graph = {name: imported_by(file, modules) - {name} for name, file in modules.items()}
    assert sum(map(len, graph.values())) > 3_000
    TopologicalSorter(graph).prepare()  # raises CycleError, with the circle
