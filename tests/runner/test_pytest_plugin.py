"""The pytest plugin, in sessions of its own on the scripted engine."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.pytester import SysModulesSnapshot

from harness.analysis.finished import Finished
from harness.core.errors import ExitCode
from harness.core.records.repetition import Phase, Repetition
from harness.core.records.run import RunData, RunStatus
from harness.measure.worker.protocol import SynthesisOrder
from harness.measure.worker.scripted_handle import ScriptedHandle
from harness.runner import run as laboratory
from harness.store.runs import open_store
from tests.conftest import Laboratory

SUITE = """
from harness.runner.pytest_marker import scenarios
from harness.core.records.scenario import Mode

@scenarios(Mode.LOAD_WARM, quick=("-",))
def test_load(measured, benchmark):
    measured.replay(benchmark)
    measured.check()

@scenarios(Mode.WHOLE, quick=("chars-12", "chars-60"), full=("chars-200",), nightly=("chars-900",))
def test_whole(measured, benchmark):
    measured.replay(benchmark)
    measured.check()

@scenarios(Mode.STREAM, full=("chars-200",))
def test_streamed(measured):
    measured.check()
"""
LOAD = "test_suite.py::test_load[scripted.cpu.tdefault/load-warm]"
SHORT = "test_suite.py::test_whole[scripted.cpu.tdefault/whole/chars-12/af_heart]"
LONGER = "test_suite.py::test_whole[scripted.cpu.tdefault/whole/chars-60/af_heart]"
LONG = "test_suite.py::test_whole[scripted.cpu.tdefault/whole/chars-200/af_heart]"
LONGEST = "test_suite.py::test_whole[scripted.cpu.tdefault/whole/chars-900/af_heart]"
STREAMED = "test_suite.py::test_streamed[scripted.cpu.tdefault/stream/chars-200/af_heart]"

Session = Callable[..., pytest.RunResult]


def forget(directory: Path) -> None:
    """Unload what lies in `directory`, and nothing else: NumPy cannot be loaded twice."""
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(directory)):
            del sys.modules[name]


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Run pytest on the suite: one model, two launches of three blocks."""
    # In a CI pytest does not shorten its summary, and adds to the job's.
    # pytest-benchmark leaves its timing be where pytest-xdist runs these tests.
    for name in ("CI", "BUILD_NUMBER", "GITHUB_STEP_SUMMARY", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(SysModulesSnapshot, "restore", lambda _self: forget(pytester.path))
    pytester.makeconftest('pytest_plugins = ["harness.runner.pytest_plugin"]')
    pytester.makepyfile(test_suite=SUITE)

    def run(*arguments: str) -> pytest.RunResult:
        names = {argument.partition("=")[0] for argument in arguments}
        usual = {"--engine": "scripted", "--model": "scripted", "--launches": "2", "--blocks": "3"}
        given = [f"{name}={value}" for name, value in usual.items() if name not in names]
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *given, *arguments)

    return run


def collected(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if "::" in line]


def stored(pytester: pytest.Pytester) -> RunData:
    with open_store(pytester.path / ".kokoro-bench/results.sqlite") as store:
        return store.load(store.resolve("latest"))


class TestCollection:
    def test_there_is_one_test_per_scenario_of_the_quick_selection(self, session: Session) -> None:
        result = session("--collect-only", "-q")
        assert collected(result) == [LOAD, SHORT, LONGER]
        assert result.ret == 0

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (("--selection=full",), [LOAD, SHORT, LONGER, LONG, STREAMED]),
            (("--selection=nightly",), [LOAD, SHORT, LONGER, LONG, LONGEST, STREAMED]),
            (("-m", "full"), [LONG, STREAMED]),
            (("-m", "nightly or full"), [LONG, LONGEST, STREAMED]),
            (("-k", "chars-60"), [LONGER]),
            (("-k", "whole and not chars-12"), [LONGER]),
            (("-k", "load"), [LOAD]),
            (("--text=chars-12", "--selection=full"), [LOAD, SHORT, STREAMED.replace("200", "12")]),
        ],
    )
    def test_selections_markers_and_names_choose(
        self, session: Session, arguments: tuple[str, ...], expected: list[str]
    ) -> None:
        assert collected(session("--collect-only", "-q", *arguments)) == expected

    def test_it_measures_nothing_and_writes_nothing(
        self, session: Session, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(laboratory, "measure", None)
        before = sorted(pytester.path.iterdir())
        assert session("--collect-only").ret == 0
        assert [
            path for path in sorted(pytester.path.iterdir()) if path.name not in ("__pycache__", ".benchmarks")
        ] == before

    def test_it_builds_no_model(
        self, session: Session, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = pytester.path / "cache"
        monkeypatch.setenv("KOKORO_BENCH_CACHE", str(cache))
        result = session("--collect-only", "-q", "--engine=kokoro", "--model=replica,replica-small-u8")
        assert len(collected(result)) == 2 * 3
        assert not cache.exists()

    def test_an_option_that_holds_a_list_may_be_given_again(self, session: Session) -> None:
        tests = collected(
            session("--collect-only", "-q", "--text=chars-12", "--text=chars-60,chars-200", "-k", "whole")
        )
        assert tests == [SHORT, LONGER, LONG]
        models = collected(
            session("--collect-only", "-q", "--model=scripted", "--model=scripted-8bit", "-k", "chars-12")
        )
        assert models == [SHORT, SHORT.replace("scripted.", "scripted-8bit.")]

    def test_a_text_of_the_users_own_is_a_test(self, session: Session) -> None:
        (test,) = collected(session("--collect-only", "-q", "-k", "whole", "--say=How now?"))
        assert test.startswith("test_suite.py::test_whole[scripted.cpu.tdefault/whole/custom-")

    def test_the_markers_are_registered(self, session: Session) -> None:
        assert session("--collect-only", "--strict-markers").ret == 0


class TestMeasuring:
    def test_a_session_measures_once_and_every_test_gets_its_own_result(
        self, session: Session, pytester: pytest.Pytester
    ) -> None:
        result = session()
        result.assert_outcomes(passed=3, deselected=3)
        assert result.ret == 0
        with open_store(pytester.path / ".kokoro-bench/results.sqlite") as store:
            assert len(store.list()) == 1
        data = stored(pytester)
        assert data.run.selection == "quick --engine scripted --model scripted"
        assert [scenario.id for scenario in data.run.scenarios] == [
            test.partition("[")[2].removesuffix("]") for test in (LOAD, SHORT, LONGER)
        ]
        assert len(data.blocks) == 2 * 3

    def test_only_what_is_left_after_selecting_is_measured(self, session: Session, pytester: pytest.Pytester) -> None:
        session("-k", "chars-60").assert_outcomes(passed=1, deselected=5)
        assert [scenario.id for scenario in stored(pytester).run.scenarios] == [
            LONGER.partition("[")[2].removesuffix("]")
        ]

    def test_a_narrowed_selection_is_another_selection(self, session: Session, pytester: pytest.Pytester) -> None:
        session("-k", "chars-12", "--threads=1,2", "test_suite.py")
        assert stored(pytester).run.selection == (
            "quick --engine scripted --model scripted --threads 1,2 -k chars-12 test_suite.py"
        )

    def test_the_table_the_headline_and_the_page_are_shown(self, session: Session, pytester: pytest.Pytester) -> None:
        result = session()
        run_id = stored(pytester).run.id
        page = pytester.path / "reports/site/runs" / f"{run_id}.html"
        result.stdout.fnmatch_lines([f"Run {run_id}: complete, seed 0, machine scripted", "*whole/chars-60*"])
        result.stdout.fnmatch_lines([f"report: {page} *", "exit code 0: nothing worse, no target missed"])
        assert page.is_file()

    def test_tests_without_a_scenario_are_left_alone(self, session: Session, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            test_plain="def test_fine(benchmark):\n    benchmark(sum, [1])\n\ndef test_bad():\n    assert False\n"
        )
        result = session("test_plain.py")
        result.assert_outcomes(passed=1, failed=1)
        assert result.ret == 1
        assert not (pytester.path / ".kokoro-bench").exists()


@pytest.mark.usefixtures("no_pages")
class TestReplay:
    @pytest.fixture
    def replayed(self, session: Session, pytester: pytest.Pytester) -> Path:
        file = pytester.path / "out.json"
        assert session(f"--benchmark-json={file}").ret == 0
        return file

    def test_the_figures_are_the_workers_own_and_say_of_which_run_and_metric(
        self, replayed: Path, pytester: pytest.Pytester
    ) -> None:
        data = stored(pytester)
        benchmarks = {each["param"]: each for each in json.loads(replayed.read_text())["benchmarks"]}
        assert set(benchmarks) == {scenario.id for scenario in data.run.scenarios}
        for scenario in data.run.scenarios[1:]:
            worker = [
                each.end_ns / 1e9
                for each in data.repetitions
                if each.scenario_id == scenario.id and each.phase is Phase.MEASURED
            ]
            assert len(worker) == 6
            assert benchmarks[scenario.id]["stats"]["data"] == worker
            assert benchmarks[scenario.id]["stats"]["min"] == min(worker)
        loads = [sum(part.ns for part in launch.parts) / 1e9 for launch in data.launches]
        assert sorted(benchmarks[data.run.scenarios[0].id]["stats"]["data"]) == sorted(loads)
        for each in benchmarks.values():
            info = each["extra_info"]
            assert info["run"] == data.run.id
            assert info["scenario"] == each["param"]
            assert info["metric"] == ("load_time" if "load" in each["param"] else "latency")
            assert info[info["metric"]] == pytest.approx(each["stats"]["median"], rel=1e-12)

    def test_pytest_benchmark_compares_them(self, replayed: Path) -> None:
        found = subprocess.run(
            [sys.executable, "-m", "pytest_benchmark", "compare", str(replayed), "--columns=median,rounds"],
            capture_output=True,
            text=True,
            check=False,
            cwd=replayed.parent,
        )
        assert found.returncode == 0, found.stderr
        assert "whole/chars-60" in found.stdout

    def test_with_benchmarks_disabled_the_verdict_still_stands(self, session: Session) -> None:
        session("--benchmark-disable").assert_outcomes(passed=3, deselected=3)


@pytest.mark.usefixtures("no_pages")
class TestFailing:
    def test_a_missed_target_fails_its_test_with_the_figure(self, session: Session) -> None:
        result = session("--targets=rtf=0.1", "-k", "chars-60")
        result.assert_outcomes(failed=1, deselected=5)
        result.stdout.fnmatch_lines(
            [
                "scripted.cpu.tdefault/whole/chars-60/af_heart",
                "  rtf: target missed*0.2*",
                "*target missed: *limit 0.1*",
            ]
        )
        assert result.ret == ExitCode.WORSE

    def test_a_regression_fails_its_test_with_what_to_know(self, session: Session, accepted: Laboratory) -> None:
        result = session(
            f"--baselines={accepted.config().baselines}", "--script=pace=1.2", "--launches=3", "--blocks=4"
        )
        assert result.ret == ExitCode.WORSE
        result.stdout.fnmatch_lines(
            ["scripted.cpu.tdefault/whole/chars-60/af_heart", "  latency: regressed: worse by *"]
        )
        assert "Traceback" not in result.stdout.str()
        assert "measured.check()" not in result.stdout.str()

    @pytest.mark.parametrize(
        ("fault", "said", "code"),
        [
            ("raise", "*ScriptedFault: the script asked for an error*", ExitCode.WORSE),
            ("crash", "*killed by SIGABRT*", ExitCode.MEASUREMENT),
        ],
    )
    def test_what_only_fails_misses_its_success_rate_and_what_is_lost_is_not_measured(
        self, session: Session, fault: str, said: str, code: ExitCode
    ) -> None:
        result = session(f"--script=fault={fault},fault_text=40")
        result.assert_outcomes(passed=2, failed=1, deselected=3)
        result.stdout.fnmatch_lines([said])
        assert ("success_rate 0.0 %, limit 99.0 %" in result.stdout.str()) is (fault == "raise")
        assert result.ret == code

    def test_without_a_baseline_where_one_is_required_it_exits_with_4(self, session: Session) -> None:
        result = session("--require=baseline")
        result.assert_outcomes(passed=3, deselected=3)
        assert result.ret == ExitCode.UNDECIDED

    def test_a_metric_that_is_unknown_fails_the_test_that_asks_for_it(
        self, session: Session, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile(test_suite=SUITE + '\n    measured.values("ttfb")\n')
        result = session("-m", "full", "-k", "streamed")
        result.stdout.fnmatch_lines(["*stream/chars-200/af_heart: ttfb was not measured: *"])


class TestRefusals:
    @pytest.mark.parametrize(
        ("argument", "told"),
        [
            ("--provider=cpuu", "kokoro-bench: --provider: unknown provider 'cpuu' — did you mean 'cpu'?"),
            ("--text=char-60", "kokoro-bench: --text: unknown text class 'char-60' — did you mean 'chars-60'?"),
        ],
    )
    def test_what_makes_no_sense_is_told_once_and_exits_with_2(
        self, session: Session, argument: str, told: str
    ) -> None:
        result = session(argument)
        both = result.stdout.str() + result.stderr.str()
        assert both.count(told) == 1
        assert "Traceback" not in both
        assert result.ret == ExitCode.USAGE

    def test_a_value_that_makes_no_sense_ends_pytest_before_it_collects(self, pytester: pytest.Pytester) -> None:
        pytester.makeconftest('pytest_plugins = ["harness.runner.pytest_plugin"]')
        result = pytester.runpytest_subprocess("--launches=none")
        told = "kokoro-bench: option --launches: launches must be a whole number, not 'none'"
        assert result.stderr.str().count(told) == 1
        assert "Traceback" not in result.stderr.str()
        assert result.ret == ExitCode.USAGE

    def test_an_output_that_is_also_one_of_pytest_ends_pytest_before_it_collects(
        self, pytester: pytest.Pytester
    ) -> None:
        pytester.makeconftest('pytest_plugins = ["harness.runner.pytest_plugin"]')
        result = pytester.runpytest_subprocess("--summary=x", "--junitxml=./x")
        assert result.ret == ExitCode.USAGE
        assert "kokoro-bench: --summary: the same file as --junitxml, " in "\n".join(result.errlines)

    def test_pytest_xdist_is_refused_before_anything_is_measured(
        self, session: Session, pytester: pytest.Pytester
    ) -> None:
        result = session("-n", "1")
        result.stdout.fnmatch_lines(["*-n: pytest-xdist would measure in several processes at once*"])
        assert result.ret == ExitCode.USAGE
        assert not (pytester.path / ".kokoro-bench").exists()

    def test_other_tests_are_not_refused_under_pytest_xdist(self, session: Session) -> None:
        assert session("-n", "1", "-k", "nothing").ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.usefixtures("no_pages")
class TestOwnAssertions:
    """A suite is pytest: what it asserts by itself counts as well."""

    @pytest.fixture(autouse=True)
    def suite(self, session: Session, pytester: pytest.Pytester) -> None:
        del session  # it has made the suite that is changed here
        more = "\n    assert measured.values('latency')[0] < 0, 'too slow for me'\n"
        pytester.makepyfile(
            test_suite=SUITE.replace(
                "    measured.check()\n\n@scenarios(Mode.STREAM", more + "\n@scenarios(Mode.STREAM"
            )
        )

    def test_one_that_fails_is_no_success_whatever_the_gate_says(self, session: Session) -> None:
        result = session("-k", "chars-12")
        result.assert_outcomes(failed=1, deselected=5)
        assert result.ret == ExitCode.WORSE
        result.stdout.fnmatch_lines(["exit code 1:*"])

    def test_it_is_named_where_pytests_own_report_is_not_shown(self, session: Session) -> None:
        result = session("-k", "chars-12", "--table-only", "-qq", "--tb=no", "-rN")
        assert result.ret == ExitCode.WORSE
        result.stdout.fnmatch_lines([f"test failed: {SHORT}: AssertionError: too slow for me"])


@pytest.mark.usefixtures("no_pages")
class TestTableOnly:
    QUIET = ("--table-only", "-qq", "--tb=no", "-rN")

    def test_pytest_says_nothing_of_its_own(self, session: Session) -> None:
        lines = session(*self.QUIET).outlines
        assert not [line for line in lines if line.startswith((".", "F")) or "deselected" in line or "passed" in line]
        assert any(line.startswith("exit code 0: ") for line in lines)

    def test_a_choice_of_nothing_is_a_usage_error(self, session: Session) -> None:
        result = session(*self.QUIET, "-k", "chars-61")
        assert result.ret == ExitCode.USAGE
        result.stdout.fnmatch_lines(["kokoro-bench: -k chars-61: nothing to measure — *--collect-only*"])

    def test_a_suite_that_cannot_be_read_is_named(self, session: Session, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(test_broken="def test_x(:\n    pass\n")
        result = session(*self.QUIET)
        assert result.ret == ExitCode.USAGE
        result.stdout.fnmatch_lines(["test failed: test_broken.py: *SyntaxError*"])

    def test_ctrl_c_shows_what_was_measured_and_no_line_of_pytests(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synthesise = ScriptedHandle.synthesise

        def interrupted(handle: ScriptedHandle, order: SynthesisOrder, *, timeout_s: float) -> Repetition:
            if order.block == 2:
                raise KeyboardInterrupt
            return synthesise(handle, order, timeout_s=timeout_s)

        monkeypatch.setattr(ScriptedHandle, "synthesise", interrupted)
        result = session(*self.QUIET)
        assert result.ret == ExitCode.INTERRUPTED
        result.stdout.fnmatch_lines(["exit code 130: interrupted; finished blocks are stored"])
        assert "Exit" not in result.stdout.str()

    def test_ctrl_c_before_anything_is_measured(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*_arguments: object, **_named: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(laboratory, "measure", interrupted)
        result = session(*self.QUIET)
        assert result.ret == ExitCode.INTERRUPTED
        result.stdout.fnmatch_lines(["kokoro-bench: interrupted; finished blocks are stored"])
        assert "Exit" not in result.stdout.str()


class TestErrors:
    def test_one_in_measuring_is_met_once_and_told_to_every_test(
        self, session: Session, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[object] = []
        measure = laboratory.measure

        def counted(*arguments: object, **given: object) -> Finished:
            calls.append(arguments)
            return measure(*arguments, **given)  # type: ignore[arg-type]

        monkeypatch.setattr(laboratory, "measure", counted)
        (pytester.path / "file").touch()
        result = session("--results=file/results.sqlite", "--tb=no")
        assert len(calls) == 1
        result.assert_outcomes(errors=3, deselected=3)
        assert result.stdout.str().count("kokoro-bench: ") == 1
        assert result.ret == ExitCode.USAGE

    def test_a_fault_of_ours_is_shown_once_with_its_traceback(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_arguments: object, **_given: object) -> None:
            raise ZeroDivisionError("by zero")

        monkeypatch.setattr(laboratory, "measure", broken)
        result = session()
        result.assert_outcomes(errors=3, deselected=3)
        assert result.stdout.str().count('raise ZeroDivisionError("by zero")') == 1
        # Every other test, and the summary, has the line that names the file with the traceback.
        assert result.stdout.str().count("internal error: ZeroDivisionError: by zero — the traceback is in ") == 3
        assert result.ret == ExitCode.INTERNAL

    def test_ctrl_c_keeps_what_was_finished_and_exits_with_130(
        self, session: Session, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synthesise = ScriptedHandle.synthesise

        def interrupted(self: ScriptedHandle, order: SynthesisOrder, *, timeout_s: float) -> Repetition:
            if order.block == 2:
                raise KeyboardInterrupt
            return synthesise(self, order, timeout_s=timeout_s)

        monkeypatch.setattr(ScriptedHandle, "synthesise", interrupted)
        result = session()
        assert result.ret == ExitCode.INTERRUPTED
        data = stored(pytester)
        assert data.run.status is RunStatus.INTERRUPTED
        assert [block.block for block in data.blocks] == [0, 1]
        result.stdout.fnmatch_lines([f"Run {data.run.id}: interrupted*", "exit code 130: interrupted*"])
        assert (pytester.path / "reports/site/runs" / f"{data.run.id}.html").is_file()
