"""The declarations of the built-in engines: what they name exists, and nothing else tells engines apart by name."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import harness
from harness.engines.declarations import BUILT_IN, STARTED, Declaration, declaration_of
from harness.engines.registry import find_starter, own_options
from tests.conftest import Command

ROOT = Path(harness.__path__[0]).parent


@pytest.mark.parametrize("engine", [*BUILT_IN.values(), STARTED], ids=lambda each: each.name)
def test_what_a_declaration_names_is_there(engine: Declaration) -> None:
    assert find_starter(engine.name) is import_module(engine.module).start
    assert all(name and values for name, values in own_options(engine.name).items())
    assert bool(own_options(engine.name)) is bool(engine.options)
    if engine.server:
        import_module(engine.server)


def test_an_engine_of_another_package_is_declared_by_its_name_alone() -> None:
    assert declaration_of("bells") == Declaration(name="bells")
    assert own_options("bells") == {}


def test_no_module_compares_the_name_of_an_engine() -> None:
    found = []
    for package in ("harness", "reports"):
        for file in (ROOT / package).rglob("*.py"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            for each in (node for node in ast.walk(tree) if isinstance(node, ast.Compare)):
                names = {inner.value for inner in ast.walk(each) if isinstance(inner, ast.Constant)}
                if "engine" in ast.unparse(each) and names & {*BUILT_IN, STARTED.name}:
                    found.append(f"{file.relative_to(ROOT)}:{each.lineno}")
    assert found == []


def test_the_declarations_load_no_engine() -> None:
    program = (
        "import sys, harness.engines.declarations\n"
        "print(*(name for name in sys.modules if name.startswith('harness.engines.')), 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["harness.engines.builds", "harness.engines.declarations", "False"]


def test_the_page_of_engines_and_the_help_name_each(here: Command) -> None:
    first, *_ = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8").split("\n## ")
    assert re.findall(r"^\| `([\w-]+)` \|", first, re.MULTILINE) == [*BUILT_IN]
    told = " ".join(here("run", "--help").stdout.split())
    chosen = ", ".join(name for name in BUILT_IN if name != "endpoint")
    assert f"{chosen}, or one of an installed package or of a runtime" in told
