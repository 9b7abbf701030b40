"""`kokoro-bench run` is a command of its own: a user's settings of pytest do not decide, nor do pytest's exit codes."""

import json
from pathlib import Path

import pytest

from harness.core.errors import ExitCode
from tests.conftest import Command

SHORT = ("run", "--engine", "scripted", "--model", "scripted", "--launches", "2", "--blocks", "2")
RUN = (*SHORT, "-k", "chars-12")
LISTED = (*SHORT, "--", "--collect-only")
ARM = "scripted.cpu.tdefault"
SUITES = [
    f"test_startup.py::test_load_from_page_cache[{ARM}/load-warm]",
    *(f"test_text_lengths.py::test_whole[{ARM}/whole/chars-{n}/af_heart]" for n in (12, 60, 200)),
]
"""What is listed where there are no settings."""
SUITE = """
import sys
import pytest
from harness.runner.pytest_marker import scenarios
from harness.core.records.scenario import Mode

@scenarios(Mode.WHOLE, quick=("chars-12",))
def test_whole(measured):
    measured.check()
"""


def one_line(err: str) -> str:
    (line,) = err.splitlines()
    assert line.startswith("kokoro-bench: ")
    return line


class TestSettings:
    """Of a user's own tests."""

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("pyproject.toml", '[tool.pytest.ini_options]\naddopts = "--cov=src --doctest-modules -p no:terminal"\n'),
            (
                "pyproject.toml",
                '[tool.pytest.ini_options]\npython_files = ["check_*.py"]\npython_functions = "check"\n',
            ),
            ("pyproject.toml", '[tool.pytest.ini_options]\nrequired_plugins = ["nosuch"]\nminversion = "99"\n'),
            ("pyproject.toml", '[tool.pytest.ini_options]\nfilterwarnings = ["error"]\naddopts = "--strict-markers"\n'),
            ("pytest.ini", "[pytest]\naddopts = --nosuch\n"),
            ("tox.ini", "[pytest]\naddopts = -k nothing\ntestpaths = elsewhere\n"),
            ("setup.cfg", "[tool:pytest]\naddopts = --nosuch\n"),
            ("conftest.py", "raise RuntimeError('of another kind')\n"),
            ("conftest.py", "def pytest_collection_modifyitems(items):\n    items.clear()\n"),
            ("suites/test_other.py", "def test_of_another_kind():\n    raise RuntimeError\n"),
            ("pytest.py", "raise RuntimeError('no pytest')\n"),
        ],
    )
    def test_files_do_not_decide(self, here: Command, tmp_path: Path, file: str, content: str) -> None:
        (tmp_path / "suites").mkdir()
        (tmp_path / file).write_text(content)
        found = here(*LISTED)
        assert found.returncode == 0, found.stdout + found.stderr
        assert [line for line in found.stdout.splitlines() if "::" in line] == SUITES

    @pytest.mark.parametrize(
        "environment",
        [
            {"PYTEST_ADDOPTS": "--nosuch"},
            {"PYTEST_PLUGINS": "nosuch"},
            {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        ],
    )
    def test_variables_do_not_decide(self, here: Command, environment: dict[str, str]) -> None:
        found = here(*LISTED, **environment)
        assert found.returncode == 0, found.stdout + found.stderr
        assert [line for line in found.stdout.splitlines() if "::" in line] == SUITES

    def test_with_all_of_them_at_once_it_is_measured(self, kokoro_bench: Command, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text(
            '[tool.pytest.ini_options]\naddopts = "--cov=src --doctest-modules"\npython_files = ["check_*.py"]\n'
            "[tool.kokoro-bench]\nblocks = 1\n"
        )
        (tmp_path / "conftest.py").write_text("raise RuntimeError\n")
        found = kokoro_bench(
            *RUN, "--json", "out/bench.json", PYTEST_ADDOPTS="--nosuch", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"
        )
        assert found.returncode == 0, found.stdout + found.stderr
        assert json.loads((tmp_path / "out/bench.json").read_bytes())["benchmarks"]
        assert found.stderr == ""
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            ".kokoro-bench", "conftest.py", "out", "pyproject.toml", "reports",
        ]  # fmt: skip

    def test_the_locustfile_is_in_nobodys_way(self, here: Command) -> None:
        found = here(*LISTED, "--doctest-modules")
        assert found.returncode == 0, found.stdout + found.stderr
        assert "locustfile" not in found.stdout


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (("-k", "("), "Wrong expression passed to '-k'"),
            (("--", "-m", "("), "Wrong expression passed to '-m'"),
            (("--", "nosuch.py"), "file or directory not found: nosuch.py"),
            (("--", "--nosuch"), "unrecognized arguments: --nosuch"),
            (("--", "-p", "nosuch"), "nosuch"),
            (("--", "-n", "2"), "unrecognized arguments: -n"),
            (("-k", "chars-61"), "-k chars-61: nothing to measure"),
            (("-k", "chars-61", "--", "--collect-only"), "nothing"),
            (("--pytest-output", "-k", "("), "Wrong expression passed to '-k'"),
            (("--launches", "none"), "launches must be a whole number"),
            (("--text", "chars-61"), "unknown text class 'chars-61'"),
        ],
    )
    def test_what_makes_no_sense_is_one_line_and_2(
        self, here: Command, tmp_path: Path, arguments: tuple[str, ...], told: str
    ) -> None:
        found = here(*SHORT, *arguments)
        assert found.returncode == ExitCode.USAGE, found.stdout + found.stderr
        line = one_line(found.stderr)
        assert told in line
        assert " — " in line
        assert not (tmp_path / ".kokoro-bench/results.sqlite").exists()

    @pytest.mark.parametrize("argument", ["--help", "--version", "--markers"])
    def test_what_pytest_says_of_itself_is_shown(self, here: Command, argument: str) -> None:
        found = here("run", "--", argument)
        assert (found.returncode, found.stderr) == (0, "")
        assert "pytest" in found.stdout


class TestSuites:
    """Of the user's own, with mistakes of their own."""

    def run(self, here: Command, directory: Path, more: str, *options: str, **files: str) -> tuple[int, str]:
        suites = directory / "suites"
        suites.mkdir(exist_ok=True)
        (directory / "pyproject.toml").write_text("[tool.kokoro-bench]\n")
        (suites / "test_own.py").write_text(SUITE + more)
        for name, content in files.items():
            (suites / f"{name}.py").write_text(content)
        found = here(*SHORT, *options, directory=directory)
        assert "Traceback" not in found.stdout + found.stderr
        return found.returncode, found.stdout + found.stderr

    def test_the_former_import_of_the_marker_makes_a_suite_as_well(self, here: Command, tmp_path: Path) -> None:
        (tmp_path / "suites").mkdir()
        (tmp_path / "pyproject.toml").write_text("[tool.kokoro-bench]\n")
        former = SUITE.replace("harness.runner.pytest_marker", "harness.plugin")
        (tmp_path / "suites" / "test_own.py").write_text(former)
        found = here(*LISTED, directory=tmp_path)
        assert found.returncode == ExitCode.OK, found.stdout + found.stderr
        listed = [line for line in found.stdout.splitlines() if "::" in line]
        assert listed
        assert all("test_own.py::" in line for line in listed)

    def test_one_without_is_measured(self, here: Command, tmp_path: Path) -> None:
        code, said = self.run(here, tmp_path, "")
        assert code == ExitCode.OK, said

    @pytest.mark.parametrize(
        ("body", "code", "told"),
        [
            ("assert measured.values('latency')[0] < 0, 'too slow for me'", ExitCode.WORSE, "too slow for me"),
            ("pytest.fail('too slow for me')", ExitCode.WORSE, "too slow for me"),
            ("nosuch", ExitCode.MEASUREMENT, "NameError"),
            ("measured.values('ttfb')", ExitCode.MEASUREMENT, "ttfb was not measured"),
            ("sys.exit(0)", ExitCode.MEASUREMENT, "SystemExit"),
            ("pytest.exit('enough for today')", ExitCode.INTERRUPTED, "interrupted"),
            ("pytest.exit('enough', returncode=0)", ExitCode.INTERRUPTED, "interrupted"),
        ],
    )
    def test_a_test_that_ends_otherwise(
        self, here: Command, tmp_path: Path, body: str, code: ExitCode, told: str
    ) -> None:
        more = f"    {body}\n"
        found, said = self.run(here, tmp_path, more)
        assert found == code, said
        assert told in said
        assert f"exit code {int(code)}: " in said

    def test_one_that_was_to_fail_and_passes(self, here: Command, tmp_path: Path) -> None:
        more = "\n@pytest.mark.xfail(strict=True)\ndef test_passes():\n    pass\n"
        code, said = self.run(here, tmp_path, more)
        assert code == ExitCode.WORSE, said
        assert "test_passes" in said

    def test_one_that_is_skipped_has_measured_nothing(self, here: Command, tmp_path: Path) -> None:
        (tmp_path / "suites").mkdir()
        code, said = self.run(here, tmp_path, "pytestmark = pytest.mark.skip\n")
        assert code == ExitCode.USAGE
        assert "nothing was measured" in one_line(said)

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            ("def test_x(:\n", "SyntaxError"),
            ("import nosuch_module\n", "No module named 'nosuch_module'"),
            ("import sys\nsys.exit(5)\n", "sys.exit(5)"),
        ],
    )
    def test_one_that_cannot_be_collected(self, here: Command, tmp_path: Path, content: str, told: str) -> None:
        code, said = self.run(here, tmp_path, "", test_broken=content)
        assert code == ExitCode.USAGE
        assert told in said.splitlines()[-1]
        assert "measuring" not in said

    def test_a_conftest_that_cannot_be_imported(self, here: Command, tmp_path: Path) -> None:
        code, said = self.run(here, tmp_path, "", conftest="import nosuch_module\n")
        assert code == ExitCode.USAGE
        assert "No module named 'nosuch_module'" in one_line(said)

    @pytest.mark.parametrize("hook", ["collection_modifyitems", "sessionstart", "runtestloop", "sessionfinish"])
    def test_a_plugin_that_raises_is_70(self, here: Command, tmp_path: Path, hook: str) -> None:
        (tmp_path / "suites").mkdir()
        plugin = f"def pytest_{hook}(session):\n    raise ZeroDivisionError('by zero')\n"
        code, said = self.run(here, tmp_path, "", conftest=plugin)
        assert code == ExitCode.INTERNAL, said
        assert "internal error: ZeroDivisionError: by zero" in said.splitlines()[-1]
        assert ("exit code 70: " in said) is (hook == "sessionfinish")

    def test_a_plugin_that_raises_hides_no_regression(self, here: Command, tmp_path: Path) -> None:
        plugin = "def pytest_sessionfinish(session):\n    raise ZeroDivisionError('by zero')\n"
        code, said = self.run(here, tmp_path, "", "--targets", "rtf=0.01", conftest=plugin)
        assert code == ExitCode.WORSE, said
        assert "internal error: ZeroDivisionError: by zero" in said


def test_what_nobody_foresaw_while_measuring_is_70(
    here: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_given: object, **_named: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("harness.runner.run.measure", broken)
    found = here(*RUN)
    assert found.returncode == ExitCode.INTERNAL
    assert "internal error: ZeroDivisionError: by zero" in one_line(found.stderr)
    assert len(list(tmp_path.rglob("kokoro-bench-crash-*.txt"))) == 1
