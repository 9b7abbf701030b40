"""Every command, every exit code that its help names, through `main`; and no other code, whatever happens.

What takes long below the command (a model that is built, a server that serves) is replaced; the code is the command's.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from harness.analysis.finished import Finished
from harness.cli.command import COMMANDS, command
from harness.cli.exit_codes import OWN, SAME, exit_codes
from harness.core.errors import ExitCode, MeasurementError
from harness.core.records.schedule import FireOutcome
from harness.models.files import ModelFiles
from harness.runner.confirm import Confirmed
from harness.runner.outputs import Written
from harness.runner.search import Found as Searched
from harness.schedule.job import Job
from harness.schedule.launcher import Exit
from harness.schedule.outcome import Found
from tests import forking
from tests.conftest import Command, Laboratory

README = Path(__file__).parents[2] / "README.md"
SHORT = ("--engine", "scripted", "--model", "scripted", "--launches", "2", "--blocks", "2")
ONE = (*SHORT, "--text", "chars-12")
LOST = ("--script", "fault=raise")
TOO_SLOW = ("--targets", "rtf=0.01")
DUEL = (*ONE, "--launches", "4", "--blocks", "6")


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its path, those of the groups too."""
    context = click.Context(command)
    for name in COMMANDS:
        found = command.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from ((f"{name} {each}", inner) for each, inner in found.commands.items())
        else:
            yield name, found


PATHS = [path for path, _ in commands()]


class World:
    """What a case may arrange before its command is called."""

    def __init__(self, patch: pytest.MonkeyPatch, directory: Path, small: ModelFiles, stored: Path) -> None:
        self.patch = patch
        self.directory = directory
        self.small = small
        self._stored = stored

    def answers(self, target: str, answer: Any) -> None:
        """Replace what `target` names by something that gives `answer`."""
        self.patch.setattr(target, lambda *_given, **_named: answer)

    def raises(self, target: str, error: BaseException) -> None:
        """Replace what `target` names by something that raises."""

        def broken(*_given: object, **_named: object) -> None:
            raise error

        self.patch.setattr(target, broken)

    def run(self) -> None:
        """Have a run of two models in the store, and its figures accepted."""
        shutil.copytree(self._stored, self.directory, dirs_exist_ok=True)

    def exported(self) -> None:
        """Have a run of another database in a file."""
        from harness.store.exports.formats import export
        from harness.store.runs import open_store

        with open_store(self._stored / ".kokoro-bench" / "results.sqlite") as store:
            (self.directory / "run.jsonl").write_bytes(export(store.load(store.resolve("latest")), "jsonl"))

    def job(self) -> None:
        """Declare a job that is never due by itself."""
        (self.directory / "pyproject.toml").write_text(
            '[tool.kokoro-bench.schedule.nightly]\ncron = "0 0 1 1 *"\noptions = { engine = "scripted" }\n'
        )

    def alert(self) -> None:
        """Have an alert on a failed job in the store."""
        from harness.schedule.alerts import alert_of, of_job
        from harness.store.runs import open_store

        (found,) = of_job("nightly", run_id="", failed="arranged").wrong
        with open_store(self.directory / ".kokoro-bench" / "results.sqlite") as store:
            store.journal().open_alert(alert_of(found, machine_key="m", now=1.0))


@dataclass(frozen=True)
class Case:
    """A command line, and what is arranged before it."""

    line: tuple[str, ...]
    arrange: Callable[[World], None] = lambda _world: None


def _nothing_valid(world: World) -> None:
    from harness.measure.doctor.finding import Finding, Status

    bad = Finding(topic="ONNX Runtime", status=Status.BAD, what="does not load", remedy="")
    world.answers("harness.measure.doctor.checkup.check", None)
    world.answers("harness.measure.doctor.examine", (bad,))


def _all_well(world: World) -> None:
    world.answers("harness.measure.doctor.checkup.check", None)
    world.answers("harness.measure.doctor.examine", ())


class _Ended:
    """A process that has ended before anybody looks."""

    pid = os.getpid()

    def go(self) -> None:
        pass

    def poll(self) -> Exit:
        return Exit(code=0)

    def terminate(self) -> None:
        pass

    kill = terminate


class _Launcher:
    def __init__(self, ask_to_end: bool) -> None:  # noqa: FBT001
        self._ask_to_end = ask_to_end

    def start(self, _order: object) -> _Ended:
        if self._ask_to_end:
            os.kill(os.getpid(), signal.SIGTERM)
        return _Ended()

    def adopt(self, _pid: int, _started_at: float) -> None:
        return None


def _night(outcome: FireOutcome, *, ended: bool = False) -> Callable[[World], None]:
    """The job is queued, the machine is quiet, and its run comes to `outcome`."""

    def arrange(world: World) -> None:
        world.job()
        world.answers("harness.schedule.service.busy", "")
        world.answers("harness.schedule.service.SystemLauncher", _Launcher(ended))
        world.answers("harness.schedule.daemon.outcome_of", Found(outcome=outcome, reason="arranged"))

    return arrange


def _scheduled(outcome: FireOutcome, *, ended: bool = False) -> Callable[[World], None]:
    def arrange(world: World) -> None:
        from harness.schedule import triggers

        _night(outcome, ended=ended)(world)
        (world.directory / "pyproject.toml").write_text(
            '[tool.kokoro-bench.schedule.nightly]\nevery = "1d"\noptions = { engine = "scripted" }\n'
        )
        # Whatever the hour, the job is due.
        plan = triggers.plan
        world.patch.setattr("harness.schedule.daemon.plan", lambda booked, now: plan(booked, now + 86_400.0))

    return arrange


def _confirmed(*codes: ExitCode, reason: str = "") -> Callable[[World], None]:
    """An alert whose duels end with these codes; with a `reason` there is one that could not be made."""

    def arrange(world: World) -> None:
        duels = [Finished(values=None, code=code) for code in codes]  # type: ignore[arg-type]
        found = Confirmed(duels=duels, reasons={"a scenario": reason} if reason else {})
        for name, answer in (("_alerts", []), ("job_of", Job(name="nightly")), ("_measured", found)):
            world.answers(f"harness.cli.schedule_alerts.{name}", answer)
        world.answers("harness.runner.outputs.write_outputs", Written())
        world.answers("reports.terminal.output.print_duel", None)

    return arrange


def _explained(world: World) -> None:
    """An alert whose change has one step."""
    from harness.runner.explain import Between

    scenario = SimpleNamespace(id="s")
    alert = SimpleNamespace(kind="regression", found_in="r", subject="s")
    data = SimpleNamespace(run=SimpleNamespace(scenarios=[scenario]))
    answers = {"known_alert": alert, "job_of": Job(name="nightly"), "_config": None, "compared_with": None}
    for name, answer in answers.items():
        world.answers(f"harness.cli.schedule_explain.{name}", answer)
    world.answers("harness.store.runs.RunStore.load", data)
    world.answers("harness.runner.explain.between", Between(reason="only one step lies between"))


def _explained_in_vain(world: World) -> None:
    """An alert whose change has several steps, of which an end cannot be measured."""
    from harness.runner.explain import Between

    _explained(world)
    world.answers("harness.runner.explain.between", Between(subject="arms", places=(None,) * 3))  # type: ignore[arg-type]
    world.raises("harness.cli.schedule_explain._search", MeasurementError("arranged"))


def _model(world: World) -> None:
    for name in ("build", "obtain", "quantise", "optimise"):
        world.answers(f"harness.models.catalogue.Catalogue.{name}", world.small)


def _verified(*, sound: bool) -> Callable[[World], None]:
    def arrange(world: World) -> None:
        from harness.models.verify import Check, Verification

        checks = (Check(name="graph", passed=sound, detail="arranged"),)
        found = Verification(model_path=Path("model.onnx"), sha256="ab" * 32, checks=checks)
        world.answers("harness.models.catalogue.Catalogue.verify", found)

    return arrange


def _duel_result(code: ExitCode) -> Callable[[World], None]:
    def arrange(world: World) -> None:
        text = json.dumps({"format": 1, "exit_code": int(code), "headline": "arranged", "verdicts": []})
        (world.directory / "duel.json").write_text(text)

    return arrange


def _interrupted_measuring(world: World) -> None:
    world.raises("harness.runner.run.measure", KeyboardInterrupt())


def _tune_fails(world: World) -> None:
    world.answers("harness.runner.search.Search.run", Searched(rounds=(), winner="", duel_s=0.0, changes={}))


OK, WORSE, USAGE, MEASUREMENT, UNDECIDED = (
    ExitCode.OK,
    ExitCode.WORSE,
    ExitCode.USAGE,
    ExitCode.MEASUREMENT,
    ExitCode.UNDECIDED,
)
SEARCH = ("--engine", "scripted", "--budget", "8s", "--launches", "1", "--blocks", "1", "--try", "threads=1")
SERVING = ("serve", "--model", "replica-small", "--port", "0")
CASES: dict[tuple[str, ExitCode], Case] = {
    ("run", OK): Case(("run", *SHORT, "-k", "chars-12")),
    ("run", WORSE): Case(("run", *SHORT, "-k", "chars-12", *TOO_SLOW)),
    ("run", MEASUREMENT): Case(("run", *SHORT, "-k", "chars-12", *LOST)),
    ("run", UNDECIDED): Case(("run", *SHORT, "-k", "chars-12", "--require", "baseline")),
    ("run", ExitCode.INTERRUPTED): Case(("run", *SHORT, "-k", "chars-12"), _interrupted_measuring),
    ("validate", OK): Case(("validate", *ONE)),
    ("validate", WORSE): Case(("validate", *ONE, *TOO_SLOW)),
    ("validate", MEASUREMENT): Case(("validate", *ONE, *LOST)),
    ("duel", OK): Case(("duel", *ONE, "model=scripted", "model=scripted")),
    ("duel", WORSE): Case(("duel", *DUEL, "model=scripted", "model=scripted-8bit")),
    ("duel", MEASUREMENT): Case(("duel", *ONE, *LOST, "model=scripted", "model=scripted-8bit")),
    ("duel", UNDECIDED): Case(("duel", *ONE, "--require", "answer", "model=scripted", "model=scripted")),
    ("bisect", OK): Case(("bisect", *DUEL, "arms", "model=scripted", "model=scripted-8bit")),
    ("bisect", MEASUREMENT): Case(("bisect", *ONE, *LOST, "arms", "model=scripted", "model=scripted-8bit")),
    ("bisect", UNDECIDED): Case(
        ("bisect", *ONE, "--require", "answer", "arms", "model=scripted", "model=scripted,threads=1")
    ),
    ("calibrate", OK): Case(("calibrate", *ONE, "--duels", "1", "--sizes", "0")),
    ("calibrate", MEASUREMENT): Case(("calibrate", *ONE, *LOST, "--duels", "1", "--sizes", "0")),
    ("recommend", OK): Case(("recommend", "--engine", "scripted"), World.run),
    ("tune", OK): Case(("tune", *ONE, "--budget", "4s", "--try", "threads=1")),
    ("tune", MEASUREMENT): Case(("tune", *ONE, "--budget", "4s", "--try", "threads=1"), _tune_fails),
    ("optimise", OK): Case(("optimise", "scripted", *SEARCH)),
    ("optimise", MEASUREMENT): Case(("optimise", "scripted", *SEARCH), _tune_fails),
    ("runs list", OK): Case(("runs", "list")),
    ("runs show", OK): Case(("runs", "show"), World.run),
    ("runs export", OK): Case(("runs", "export"), World.run),
    ("runs import", OK): Case(("runs", "import", "run.jsonl"), World.exported),
    ("runs delete", OK): Case(("runs", "delete", "latest", "--yes"), World.run),
    ("baseline promote", OK): Case(("baseline", "promote"), World.run),
    ("baseline diff", OK): Case(("baseline", "diff"), World.run),
    ("baseline show", OK): Case(("baseline", "show", "--machine", "scripted"), World.run),
    ("baseline list", OK): Case(("baseline", "list")),
    ("compare", OK): Case(("compare", "latest", "latest"), World.run),
    ("schedule run", OK): Case(("schedule", "run", "--once"), World.job),
    ("schedule run", WORSE): Case(("schedule", "run", "--once"), _scheduled(FireOutcome.WORSE)),
    ("schedule run", MEASUREMENT): Case(("schedule", "run", "--once"), _scheduled(FireOutcome.INTERRUPTED)),
    ("schedule run", UNDECIDED): Case(("schedule", "run", "--once"), _scheduled(FireOutcome.UNDECIDED)),
    ("schedule run", ExitCode.INTERRUPTED): Case(
        ("schedule", "run", "--once"), _scheduled(FireOutcome.INTERRUPTED, ended=True)
    ),
    ("schedule run-now", OK): Case(("schedule", "run-now", "nightly"), _night(FireOutcome.OK)),
    ("schedule run-now", WORSE): Case(("schedule", "run-now", "nightly"), _night(FireOutcome.WORSE)),
    ("schedule run-now", MEASUREMENT): Case(("schedule", "run-now", "nightly"), _night(FireOutcome.FAILED)),
    ("schedule run-now", UNDECIDED): Case(("schedule", "run-now", "nightly"), _night(FireOutcome.UNDECIDED)),
    ("schedule run-now", ExitCode.INTERRUPTED): Case(
        ("schedule", "run-now", "nightly"), _night(FireOutcome.INTERRUPTED, ended=True)
    ),
    ("schedule explain", OK): Case(("schedule", "explain", "1"), _explained),
    ("schedule explain", MEASUREMENT): Case(("schedule", "explain", "1"), _explained_in_vain),
    ("schedule alert", OK): Case(("schedule", "alert", "1"), World.alert),
    ("schedule confirm", OK): Case(("schedule", "confirm", "1"), _confirmed(OK)),
    ("schedule confirm", WORSE): Case(("schedule", "confirm", "1"), _confirmed(OK, WORSE, UNDECIDED)),
    ("schedule confirm", MEASUREMENT): Case(("schedule", "confirm", "1"), _confirmed(OK, reason="no reference")),
    ("schedule confirm", UNDECIDED): Case(("schedule", "confirm", "1"), _confirmed(OK, UNDECIDED)),
    ("schedule confirm", ExitCode.INTERRUPTED): Case(
        ("schedule", "confirm", "1"), _confirmed(WORSE, ExitCode.INTERRUPTED)
    ),
    ("schedule add", OK): Case(("schedule", "add", "nightly"), World.job),
    ("schedule list", OK): Case(("schedule", "list"), World.job),
    ("schedule status", OK): Case(("schedule", "status"), World.job),
    ("schedule history", OK): Case(("schedule", "history"), World.job),
    ("report", OK): Case(("report",)),
    ("ci github", OK): Case(("ci", "github")),
    ("ci gitlab", OK): Case(("ci", "gitlab")),
    ("ci gate", OK): Case(("ci", "gate", "duel.json"), _duel_result(OK)),
    ("ci gate", WORSE): Case(("ci", "gate", "duel.json"), _duel_result(WORSE)),
    ("ci gate", MEASUREMENT): Case(("ci", "gate", "duel.json", "--strict"), _duel_result(MEASUREMENT)),
    ("ci gate", UNDECIDED): Case(("ci", "gate", "duel.json", "--strict"), _duel_result(UNDECIDED)),
    ("models list", OK): Case(("models", "list")),
    ("models show", OK): Case(("models", "show", "replica-small")),
    ("models build", OK): Case(("models", "build", "replica-small"), _model),
    ("models fetch", OK): Case(("models", "fetch", "kokoro-v1.0"), _model),
    ("models verify", OK): Case(("models", "verify", "replica-small"), _verified(sound=True)),
    ("models verify", USAGE): Case(("models", "verify", "replica-small"), _verified(sound=False)),
    ("models prune", OK): Case(("models", "prune")),
    ("models quantise", OK): Case(("models", "quantise", "replica-small", "--recipe", "dynamic-u8"), _model),
    ("models optimise", OK): Case(("models", "optimise", "x", "--recipe", "saved"), _model),
    ("runtimes list", OK): Case(("runtimes", "list")),
    ("runtimes build", OK): Case(
        ("runtimes", "build", "onnxruntime==1.22.1"),
        lambda world: world.answers("harness.measure.runtimes.build.Runtimes.build", Path("environment")),
    ),
    ("runtimes prune", OK): Case(
        ("runtimes", "prune"), lambda world: world.patch.setenv("KOKORO_BENCH_CACHE", str(world.directory / "cache"))
    ),
    ("serve", OK): Case(
        SERVING,
        lambda world: world.patch.setattr(
            "harness.server.reference.process.serve", lambda _service, listening: listening.close()
        ),
    ),
    ("doctor", OK): Case(("doctor",), _all_well),
    ("doctor", MEASUREMENT): Case(("doctor",), _nothing_valid),
    ("mock-server", OK): Case(("mock-server", "--list")),
    ("config", OK): Case(("config",)),
}
"""What is reached by a command line of its own. Those with a job to `pause` stand below, and the codes of `load`, which
takes a server and its time, in `test_load_command.py`."""

FIRST: dict[str, str] = {
    "models": "harness.models.catalogue.Catalogue.__init__",
    "ci": "harness.cli.ci.workflow_files",
    "ci gate": "harness.ci.gate.read_result",
    "runtimes prune": "harness.core.cache_root.default_root",
    "mock-server": "harness.server.mock.script_file.find_script",
}
"""Command or group → what it does first; every other reads its configuration first."""

NEEDED: dict[str, tuple[str, ...]] = {
    "duel": ("threads=1",),
    "bisect": ("x",),
    "runs delete": ("x",),
    "runs import": ("x",),
    "ci gate": ("x",),
    "compare": ("x",),
    "schedule add": ("x",),
    "schedule alert": ("1",),
    "schedule confirm": ("1",),
    "schedule explain": ("1",),
    "schedule remove": ("x",),
    "schedule pause": ("x",),
    "schedule resume": ("x",),
    "schedule run-now": ("x",),
    "models show": ("x",),
    "models build": ("x",),
    "models fetch": ("x",),
    "models verify": ("x",),
    "models quantise": ("x", "--recipe", "y"),
    "models optimise": ("x", "--recipe", "y"),
    "runtimes build": ("x",),
    "mock-server": ("x",),
}
"""Arguments without which a command is not called at all."""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lab = Laboratory(tmp_path_factory.mktemp("stored"))
    lab.promote(lab.run(model="scripted,scripted-8bit", launches="2", blocks="2").data)
    return lab.root


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_replica: ModelFiles, stored: Path) -> World:
    return World(monkeypatch, tmp_path, small_replica, stored)


def said(found: "subprocess.CompletedProcess[str]") -> str:
    return found.stdout + found.stderr


@pytest.mark.parametrize(("path", "code"), [pytest.param(path, code, id=f"{path}-{int(code)}") for path, code in CASES])
def test_each_code_of_a_command_is_reached(path: str, code: ExitCode, here: Command, world: World) -> None:
    case = CASES[path, code]
    case.arrange(world)
    found = here(*case.line)
    assert found.returncode == code, said(found)
    assert "Traceback" not in said(found)


@pytest.mark.parametrize("path", PATHS)
class TestEveryCommand:
    def test_it_names_its_codes_in_its_help(self, path: str, here: Command) -> None:
        found = here(*path.split(), "--help")
        assert found.returncode == 0
        told = found.stdout.partition("Exit codes:")[2]
        assert re.findall(r"^ +(\d+)  ", told, re.MULTILINE) == [str(int(code)) for code in exit_codes(path)]

    def test_a_wrong_option_is_2(self, path: str, here: Command) -> None:
        found = here(*path.split(), "--nosuch-option")
        assert found.returncode == USAGE
        assert "Traceback" not in said(found)

    def test_what_nobody_foresaw_is_70_and_one_line_that_names_the_file(
        self, path: str, here: Command, world: World, tmp_path: Path
    ) -> None:
        world.raises(_first(path), ZeroDivisionError("by zero"))
        found = here(*path.split(), *NEEDED.get(path, ()))
        assert found.returncode == ExitCode.INTERNAL
        (line,) = found.stderr.splitlines()
        assert line.startswith("kokoro-bench: internal error: ZeroDivisionError: by zero — the traceback is in ")
        (file,) = tmp_path.rglob("kokoro-bench-crash-*.txt")
        assert str(file) in line
        assert "ZeroDivisionError: by zero" in file.read_text(encoding="utf-8")

    def test_ctrl_c_is_130(self, path: str, here: Command, world: World) -> None:
        if path in ("mock-server", "serve"):
            pytest.skip("a server that is ended has done what it was to do: see below")
        world.raises(_first(path), KeyboardInterrupt())
        found = here(*path.split(), *NEEDED.get(path, ()))
        assert found.returncode == ExitCode.INTERRUPTED
        assert found.stderr == "kokoro-bench: interrupted\n"

    def test_it_ends_with_no_other_code(self, path: str, here: Command, world: World) -> None:
        undocumented = [code for code in ExitCode if code not in exit_codes(path)]
        for code in (*undocumented, 5, -15, "all well"):
            found_command = dict(commands())[path]
            world.patch.setattr(found_command, "callback", _noting(found_command, code))
            found = here(*path.split(), *NEEDED.get(path, ()))
            assert found.returncode == ExitCode.INTERNAL
            assert "is not among its exit codes" in found.stderr


def _first(path: str) -> str:
    return FIRST.get(path) or FIRST.get(path.partition(" ")[0]) or "harness.cli.options.load_config"


def _noting(found: click.Command, code: object) -> Callable[..., object]:
    """The command's callback as it is wrapped, around one that gives `code`."""
    from harness.cli.exit_codes import document

    path = next(path for path, each in commands() if each is found)
    bare = click.Command("bare", callback=lambda *_given, **_named: code)
    callback = document(bare, path).callback
    assert callback is not None
    return callback


def test_every_command_has_a_case_for_each_code_of_its_own() -> None:
    common = {USAGE, ExitCode.INTERNAL, ExitCode.INTERRUPTED}
    below = {("load", code) for code in ExitCode} | {(f"schedule {name}", OK) for name in ("remove", "pause", "resume")}
    missing = {(path, code) for path in PATHS for code in exit_codes(path) if code not in common}
    assert missing - set(CASES) - below == set()
    assert {path for path, _ in CASES} <= set(PATHS)
    assert {*OWN, *SAME} <= set(PATHS)


def test_1_means_a_regression_or_a_missed_target_only() -> None:
    told = {path: exit_codes(path)[WORSE] for path in PATHS if WORSE in exit_codes(path)}
    assert set(told) == {
        "run",
        "validate",
        "load",
        "duel",
        "ci gate",
        "schedule confirm",
        "schedule run",
        "schedule run-now",
    }
    assert all(re.search("regress|target|sustained", meaning) for meaning in told.values())


def test_the_readme_names_every_code() -> None:
    rows = re.findall(r"^\| (\d+) \| ", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [str(int(code)) for code in sorted(ExitCode)]


def test_a_job_is_removed_paused_and_resumed(here: Command, world: World) -> None:
    world.job()
    assert here("schedule", "add", "nightly").returncode == OK
    for name in ("pause", "resume", "remove"):
        found = here("schedule", name, "nightly")
        assert found.returncode == OK, said(found)


def test_a_refusal_with_a_code_that_a_command_does_not_document_is_70(
    here: Command, world: World, tmp_path: Path
) -> None:
    world.raises("harness.store.runs.RunStore.list", MeasurementError("nothing was measured"))
    found = here("runs", "list")
    assert found.returncode == ExitCode.INTERNAL


@pytest.mark.parametrize("error", [SystemExit(1), SystemExit("words"), EOFError(), RecursionError()])
def test_no_code_of_a_library_passes_through(error: BaseException, here: Command, world: World, tmp_path: Path) -> None:
    world.raises("harness.store.runs.RunStore.list", error)
    found = here("runs", "list")
    assert found.returncode == ExitCode.INTERNAL
    assert f"internal error: {type(error).__name__}" in found.stderr


def test_a_duel_without_figures_is_no_trial_of_a_calibration(here: Command, tmp_path: Path) -> None:
    found = here("calibrate", *ONE, *LOST, "--duels", "2", "--sizes", "0")
    assert found.returncode == MEASUREMENT
    assert "2 duels could not be measured validly and were left out" in found.stdout
    assert not list((tmp_path / "baselines").glob("*.calibration.json"))


def test_an_answer_other_than_yes_deletes_nothing(
    here: Command, world: World, user_environment: dict[str, str]
) -> None:
    world.run()
    for answer in ("n\n", ""):
        found = forking.run("runs", "delete", "latest", cwd=world.directory, env=user_environment, typed=answer)
        assert found.returncode == USAGE
        assert "not deleted: the confirmation was not given" in found.stderr
    assert here("runs", "show").returncode == OK


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
class TestSignals:
    @pytest.fixture
    def server(self, tmp_path: Path, user_environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
        arguments = ("mock-server", "steady", "--port", "0")
        process = forking.Started(
            *arguments, cwd=tmp_path, env=user_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline().startswith("steady at http://")
        yield process
        process.kill()
        process.communicate()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_server_that_is_ended_has_done_what_it_was_to_do(
        self, server: "subprocess.Popen[str]", number: signal.Signals
    ) -> None:
        server.send_signal(number)
        _, err = server.communicate(timeout=240)
        assert (server.returncode, err) == (OK, "")

    def test_sigterm_is_ctrl_c_for_a_command_that_has_no_answer_of_its_own(self, here: Command, world: World) -> None:
        before = signal.getsignal(signal.SIGTERM)
        world.patch.setattr(
            "harness.store.runs.RunStore.list", lambda *_given, **_named: os.kill(os.getpid(), signal.SIGTERM)
        )
        found = here("runs", "list")
        assert (found.returncode, found.stderr) == (ExitCode.INTERRUPTED, "kokoro-bench: interrupted\n")
        assert signal.getsignal(signal.SIGTERM) is before
