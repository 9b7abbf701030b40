"""What gates is the same each time: Hypothesis tries the same examples, whatever ran or was imported before."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.order import LONGEST_FIRST


def tried() -> list[tuple[int, float, str]]:
    """The examples of one property."""
    examples: list[tuple[int, float, str]] = []

    @given(st.integers(), st.floats(), st.text(max_size=9))
    def holds(number: int, figure: float, text: str) -> None:
        examples.append((number, figure, text))

    holds()
    return [(number, figure if figure == figure else -1.0, text) for number, figure, text in examples]  # noqa: PLR0124


@pytest.fixture
def with_constants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Imports a module of the project's kind that is full of constants."""

    def imported() -> None:
        file = tmp_path / "full_of_constants.py"
        file.write_text("\n".join(f"C{each} = ({each * 7919}, {each}.25, 'word {each}')" for each in range(100, 140)))
        spec = importlib.util.spec_from_file_location("full_of_constants", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "full_of_constants", module)
        spec.loader.exec_module(module)

    return imported


def test_the_same_examples_are_tried_whatever_was_imported_meanwhile(with_constants: Callable[[], None]) -> None:
    first = tried()
    with_constants()
    assert tried() == first
    assert len(first) >= 100


def test_nothing_is_remembered_and_nothing_is_timed() -> None:
    assert settings.default.derandomize
    assert settings.default.database is None
    assert settings.default.deadline is None


def test_the_files_that_run_first_are_there() -> None:
    assert [name for name in LONGEST_FIRST if not Path(__file__).parent.joinpath(name).exists()] == []


PLANTED = """
from hypothesis import example, given
from hypothesis import strategies as st


@given(number=st.integers())
def test_no_number_is_large(number):
    assert number < 12_345
"""


def test_what_a_random_search_finds_becomes_an_example_that_the_tests_try(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_bytes(Path(__file__).with_name("conftest.py").read_bytes())
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:schemathesis -p no:cacheprovider\n")
    file = tmp_path / "test_planted.py"
    file.write_text(PLANTED)
    command = [sys.executable, "-m", "pytest", "-q", "--hypothesis-profile=fuzz"]
    searched = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert searched.returncode == 1, searched.stdout + searched.stderr
    (patch,) = (tmp_path / ".hypothesis" / "patches").glob("*.patch")
    assert f"git apply {patch.relative_to(tmp_path)}" in searched.stdout
    subprocess.run(["git", "apply", str(patch)], cwd=tmp_path, check=True)
    assert "@example(\n    number=12345,\n)" in file.read_text()
