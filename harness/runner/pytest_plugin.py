"""The pytest plugin: measures the scenarios of the selected tests together, and gives each test its own result.

The project's `conftest.py` loads it (`pytest_plugins`); elsewhere `-p harness.runner.pytest_plugin` does. A suite names
its scenarios with `@scenarios(…)`, and its tests take the `measured` fixture. The first test that takes it starts the
measurement.
"""

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from harness.core.crash_report import crash_line
from harness.core.errors import BenchError, ExitCode, InternalError, Interruption, UsageError
from harness.core.records.scenario import Scenario
from harness.plan.config import Config, load_config
from harness.plan.keys import KEYS
from harness.plan.narrowing import label
from harness.runner.session_outcome import Failures, Finding

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from harness.analysis.finished import Finished
    from harness.runner.pytest_fixture import Measured
    from harness.runner.selection import ArmsOfRecipes

LEVELS = ("quick", "full", "nightly")
STOPPED = "interrupted; finished blocks are stored"


@dataclass(slots=True)
class Bench:
    """State of a pytest session: the configuration, the collected scenarios, and the finished run."""

    config: Config
    selection: str
    gathered: tuple[Scenario, ...] = ()
    finished: "Finished | None" = None
    refusal: BenchError | None = None
    """Why no scenario can be collected."""
    failure: BenchError | None = None
    """Why nothing could be measured."""
    arms: "ArmsOfRecipes | None" = None
    """The arms, which all tests share."""
    notes: list[str] = field(default_factory=list)
    failures: Failures = field(default_factory=Failures)


BENCH = pytest.StashKey[Bench]()
COMMAND = "kokoro-bench run"
"""Name of the plugin that the command registers in its session. The command prints the outcome itself."""
_DISTRIBUTED = "kokoro-bench: distributed"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of `kokoro-bench run` to pytest, under the same names."""
    group = parser.getgroup("kokoro-bench", "kokoro-bench: what the suites measure")
    for key in KEYS:
        group.addoption(
            f"--{key.name}",
            dest=f"kokoro_bench_{key.name}",
            action="append" if key.many else "store",
            default=None,
            metavar=key.metavar,
            help=key.meaning.replace("%", "%%"),  # argparse formats help texts with %
        )
    group.addoption("--selection", choices=LEVELS, default="quick", help="which scenarios: quick, full or nightly")
    group.addoption(
        "--table-only",
        action="store_true",
        help="show only the table, without pytest's progress letters (with -qq --tb=no)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers and read the configuration."""
    from harness.runner.outputs import check_no_output_twice
    from harness.runner.pytest_files import files_of_options

    config.addinivalue_line("markers", "scenarios(request, levels): the scenarios of a test of a suite")
    for level in LEVELS:
        config.addinivalue_line("markers", f"{level}: measured in the {level} selection and in every larger one")
    given = {key: config.getoption(f"kokoro_bench_{key.name}") for key in KEYS}
    options = {key.name: key.combined(value) if key.many else value for key, value in given.items()}
    try:
        loaded = load_config(options, start=config.rootpath, shell=config.invocation_params.dir)
        check_no_output_twice(loaded, files_of_options(config.option))
    except BenchError as error:
        _refuse(config, error)
    config.stash[BENCH] = Bench(config=loaded, selection=config.getoption("selection"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise tests: one per scenario (arms × texts × speeds). This builds no model."""
    marker = metafunc.definition.get_closest_marker("scenarios")
    if marker is None or "measured" not in metafunc.fixturenames:
        return
    from harness.plan.requests import without_every_provider
    from harness.runner.selection import arms_of_recipes, wanted_scenarios

    bench, parameters = metafunc.config.stash[BENCH], []
    bench.arms = bench.arms or arms_of_recipes(bench.config, bench.selection)
    included = LEVELS if metafunc.config.option.markexpr else _included(bench)
    for level, texts in marker.kwargs["levels"].items():
        if not texts:
            continue
        request = replace(marker.kwargs["request"], texts=texts)
        if level not in included:
            request = without_every_provider(request)
        try:
            wanted = wanted_scenarios(bench.config, [request], bench.selection, arms=bench.arms)
        except BenchError as error:
            # Raised here, the error would appear once per file with a traceback. The end of collection shows it once.
            bench.refusal = error
            return
        mark = getattr(pytest.mark, level)
        parameters += [pytest.param(scenario, id=scenario.id, marks=mark) for scenario in wanted]
    distinct = {parameter.id: parameter for parameter in reversed(parameters)}
    metafunc.parametrize("measured", list(reversed(distinct.values())), indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests without scenarios, and tests of a larger selection than the requested one.

    Tests of servers have scenarios only with --url, and other tests only without it. -m overrides the selection.
    """
    included = _included(config.stash[BENCH])
    left_out = [
        item
        for item in items
        if (not _scenario(item) and _is_ours(item))
        or (_scenario(item) and not config.option.markexpr and not _levels(item) & included)
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reports the tests to run
def pytest_collection_finish(session: pytest.Session) -> None:
    """Collect the scenarios of the remaining tests."""
    bench = session.config.stash[BENCH]
    worker_output: dict[str, object] | None = getattr(
        session.config, "workeroutput", None
    )  # there in a worker of pytest-xdist
    if bench.refusal is not None and worker_output is None:
        _refuse(session.config, bench.refusal)
    bench.gathered = tuple(dict.fromkeys(found for item in session.items if (found := _scenario(item))))
    if not session.items and session.config.option.table_only and not bench.failures.collecting:
        chosen = " ".join(_chosen(session.config))
        remedy = "`pytest suites --collect-only --selection=nightly` lists all tests"
        bench.failure = UsageError("nothing to measure", where=chosen or bench.selection, remedy=remedy)
    if worker_output is not None and (bench.gathered or bench.refusal):
        # pytest-xdist replaces a worker that exits, so this worker gets no tests, and the main session says why.
        worker_output[_DISTRIBUTED] = True
        session.items.clear()
    for item in session.items:
        if _scenario(item) and session.config.pluginmanager.hasplugin("timeout"):
            # The first test waits for the whole run. Each request has its own time-out.
            item.add_marker(pytest.mark.timeout(0))
        if _scenario(item) and "benchmark" in getattr(item, "fixturenames", ()):
            from harness.runner.pytest_fixture import ReplayTimer

            # This marker sets pytest-benchmark's clock, so that it shows only the worker's measured durations.
            item.add_marker(pytest.mark.benchmark(timer=ReplayTimer(), warmup=False))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 - pytest-xdist is not there to be asked for its types
    """Refuse to measure in a worker of pytest-xdist."""
    if getattr(node, "workeroutput", {}).get(_DISTRIBUTED):
        node.config.stash[BENCH].failure = UsageError(
            "pytest-xdist would measure in several processes at once, each disturbing the others",
            where="-n",
            remedy="run the suites without it; kokoro-bench interleaves its own workers",
        )


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> "Measured":
    """The result of this test's scenario. The first use measures all scenarios."""
    from harness.runner.pytest_fixture import Measured

    bench = request.config.stash[BENCH]
    if bench.failure is not None:
        raise Finding(str(bench.failure), pytrace=False)
    if bench.finished is None:
        try:
            bench.finished = _measure(request.config, bench)
        except BenchError as error:
            bench.failure = error
            raise Finding(str(error), pytrace=False) from None
        except pytest.exit.Exception:
            raise
        except Exception as error:
            # All other tests show this line without repeating the traceback.
            bench.failure = InternalError(crash_line(error))
            raise
    asked: str = request.param.id
    if asked in bench.finished.left_out:
        pytest.skip(bench.finished.left_out[asked])
    return Measured(derived=bench.finished.values, scenario_id=bench.finished.replaced.get(asked, asked))


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """Show no progress letters for tests whose results are in the table."""
    if not config.option.table_only:
        return None
    return ("error" if report.failed and report.when != "call" else report.outcome), "", ""


def pytest_exception_interact(node: pytest.Item | pytest.Collector, call: pytest.CallInfo[Any]) -> None:
    """Note a file that cannot be collected."""
    if call.excinfo is not None and isinstance(node, pytest.Collector):
        # The last line of the message states the error.
        message = (call.excinfo.exconly(tryshort=True).strip().splitlines() or [call.excinfo.typename])[-1]
        node.config.stash[BENCH].failures.collecting.append(f"{node.nodeid}: {message}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note failed tests that are not findings of the gate; the table shows those."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    message = call.excinfo.exconly(tryshort=True) if call.excinfo else str(report.longrepr or "")
    first = (message.strip().splitlines() or [type(error).__name__])[0]
    item.config.stash[BENCH].failures.note_test(report, error, first)
    return report


def pytest_terminal_summary(terminalreporter: "TerminalReporter", exitstatus: int, config: pytest.Config) -> None:
    """Print the table of results, verdicts and targets, and the path of the report."""
    bench = config.stash[BENCH]
    if config.pluginmanager.has_plugin(COMMAND):
        return
    if config.option.table_only:
        for line in bench.failures.lines:
            terminalreporter.write_line(f"test failed: {line}", red=True)
    if bench.failure is not None:
        terminalreporter.write_line(f"kokoro-bench: {bench.failure}", red=True)
    if bench.finished is None:
        return
    from reports.terminal.output import print_outcome

    print_outcome(replace(bench.finished, code=_code(bench, bench.finished, exitstatus)), notes=bench.notes)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Replace pytest's exit status by that of the run, if something was measured."""
    bench = session.config.stash[BENCH]
    if bench.failure is not None:
        session.exitstatus = bench.failure.exit_code
    elif bench.finished is not None:
        session.exitstatus = _code(bench, bench.finished, exitstatus)


def _code(bench: Bench, finished: "Finished", exitstatus: int) -> ExitCode:
    """The exit code of a session that measured. Pytest's own exit statuses have other meanings."""
    if exitstatus == pytest.ExitCode.INTERNAL_ERROR:
        return ExitCode.WORSE if finished.code is ExitCode.WORSE else ExitCode.INTERNAL
    ended_early = exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    return bench.failures.code(ExitCode.INTERRUPTED if ended_early else finished.code)


def _measure(config: pytest.Config, bench: Bench) -> "Finished":
    """Measure the collected scenarios, with output to the real terminal."""
    from harness.runner import run
    from harness.runner.calibration import quotes
    from harness.runner.outputs import check_outputs, write_outputs
    from harness.runner.progress import LiveConsole

    check_outputs(bench.config)
    capture: Any = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled(), LiveConsole() as console:
        try:
            finished = run.measure(
                bench.config,
                bench.gathered,
                selection=label(bench.selection, bench.config, chosen=_chosen(config)),
                handlers=[console],
                report=console.report,
            )
        except KeyboardInterrupt:
            # Before the first block or after the last, where there is nothing to show.
            if config.option.table_only:
                raise Interruption(STOPPED) from None
            pytest.exit(STOPPED, returncode=ExitCode.INTERRUPTED)
    interrupted = finished.code is ExitCode.INTERRUPTED
    quoted = [] if interrupted else quotes(bench.config.baselines, finished.data)
    written = write_outputs(finished, bench.config)
    finished = replace(finished, code=finished.code or written.code)
    bench.notes += [*quoted, *written.notes]
    if interrupted and not config.option.table_only:
        bench.finished = finished
        # Without an exit code, so that pytest still prints its summary with the table.
        pytest.exit(STOPPED)
    return finished


def _chosen(config: pytest.Config) -> list[str]:
    """The user's selection of suites as pytest options."""
    flags = (("-k", config.option.keyword), ("-m", config.option.markexpr))
    names = sorted(argument.rpartition("/")[2] for argument in config.args if ".py" in argument)
    return [*(f"{flag} {given}" for flag, given in flags if given), *names]


def _refuse(config: pytest.Config, error: BenchError) -> NoReturn:
    """End the session before the measurement, with one line and the same exit code as the command."""
    if config.pluginmanager.has_plugin(COMMAND):
        raise error
    pytest.exit(f"kokoro-bench: {error}", returncode=error.exit_code)


def _scenario(item: pytest.Item) -> Scenario | None:
    callspec = getattr(item, "callspec", None)
    found = callspec.params.get("measured") if callspec else None
    return found if isinstance(found, Scenario) else None


def _is_ours(item: pytest.Item) -> bool:
    return item.get_closest_marker("scenarios") is not None and "measured" in getattr(item, "fixturenames", ())


def _included(bench: Bench) -> set[str]:
    """The selections that the requested one includes."""
    return set(LEVELS[: LEVELS.index(bench.selection) + 1])


def _levels(item: pytest.Item) -> set[str]:
    return {mark.name for mark in item.iter_markers() if mark.name in LEVELS}
