"""A command that is forked ends as one that is truly started does; and true starts of what other tests fork."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from harness.cli.command import COMMANDS
from harness.server.mock.script import Answer, Script, Step
from harness.server.mock.server import serving
from harness.store.runs import open_store
from tests import forking
from tests.conftest import Command

RUN = ("run", "--engine", "scripted", "--model", "scripted", "--launches", "1", "--blocks", "1", "-k", "chars-12")
LOAD = ("load", "--text", "chars-12", "--seconds", "0.5s", "--warm-up", "0", "--cool-down", "0", "--rate", "4")
EASY = ("--targets", "ttfa=30,rtf=100,streaming_efficiency=0.01")
OF_A_RUN = re.compile(r"[0-9a-f-]*\d[0-9a-f.:T-]*Z?|[\s─]+")
"""What differs between two runs of the same: figures, times, names made of them, and the width of a table."""
Both = Callable[..., tuple["subprocess.CompletedProcess[str]", "subprocess.CompletedProcess[str]"]]

forks = pytest.mark.skipif(not forking.SUPPORTED, reason="there is no fork")
posix_only = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


@pytest.fixture
def truly(kokoro_bench: Command) -> Command:
    """`kokoro-bench` by an interpreter that starts from nothing."""
    return partial(kokoro_bench, python=sys.executable)


@pytest.fixture
def both(kokoro_bench: Command, truly: Command, tmp_path: Path) -> Both:
    """`kokoro-bench` both ways: forked, and truly started; each in a directory of its own."""

    def run(*arguments: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], ...]:
        found = []
        for number, command in enumerate((kokoro_bench, truly)):
            directory = tmp_path / f"way-{number}"
            directory.mkdir(exist_ok=True)
            found.append(command(*arguments, directory=directory, **environment))
        return tuple(found)

    return run  # type: ignore[return-value]


def ended(found: "subprocess.CompletedProcess[str]") -> tuple[int, str, str]:
    return found.returncode, OF_A_RUN.sub(" ", found.stdout), OF_A_RUN.sub(" ", found.stderr)


@forks
class TestBothWays:
    def test_a_run_its_record_and_a_wrong_option_are_answered_alike(self, both: Both) -> None:
        for line in (RUN, ("runs", "list", "--json"), ("runs", "show"), ("run", "--nosuch"), ("compare", "x", "y")):
            forked, started = both(*line)
            assert ended(forked) == ended(started)

    def test_a_server_is_loaded_by_workers_that_are_alike(self, both: Both, tmp_path: Path) -> None:
        """A forked command forks its workers; a command that is truly started starts them."""
        script = Script(name="test", meaning="a test's own", answers=(Answer(steps=(Step(audio_share=1.0),)),))
        with serving(script) as (url, _):
            for found in both(*LOAD, "--url", url, *EASY):
                assert found.returncode == 0, found.stdout + found.stderr
        assert [each.returncode for each in both("runs", "show")] == [0, 0]
        reported = []
        for number in range(2):
            with open_store(tmp_path / f"way-{number}" / ".kokoro-bench" / "results.sqlite") as store:
                (launch,) = store.load(store.resolve("latest")).launches
            reported.append((launch.software, [each.name for each in launch.parts]))
        assert reported[0] == reported[1]
        assert reported[0][0].engine_source

    def test_a_setting_of_the_environment_and_what_is_typed_arrive(
        self, tmp_path: Path, user_environment: dict[str, str]
    ) -> None:
        environment = {**user_environment, "KOKORO_BENCH_LAUNCHES": "several"}
        found = forking.run("config", cwd=tmp_path, env=environment)
        assert found.returncode == 2
        assert "KOKORO_BENCH_LAUNCHES" in found.stderr
        assert forking.run(*RUN, cwd=tmp_path, env=user_environment).returncode == 0
        found = forking.run("runs", "delete", "latest", cwd=tmp_path, env=user_environment, typed="y\n")
        assert found.returncode == 0, found.stderr

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
    def test_signals_end_it_alike(
        self, tmp_path: Path, user_environment: dict[str, str], number: signal.Signals
    ) -> None:
        line = ("run", "--engine", "scripted", "--model", "scripted", "--blocks", "9999999", "--budget", "10h")
        codes = []
        truly_started = {**user_environment, "PYTHONHASHSEED": "1"}
        for environment in (user_environment, truly_started):
            with forking.Started(
                *line, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            ) as process:
                assert process.stdout is not None
                assert any(line.startswith("  block 1:") for line in process.stdout)
                assert process.poll() is None
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(0.01)
                process.send_signal(number)
                said, _ = process.communicate(timeout=240)
            assert "Traceback" not in said
            codes.append(process.returncode)
        assert codes == [-9, -9] if number is signal.SIGKILL else [130, 130]

    def test_it_leads_a_session_of_its_own_where_that_is_asked_for(
        self, tmp_path: Path, user_environment: dict[str, str]
    ) -> None:
        for asked in (False, True):
            with forking.Started(
                *("mock-server", "steady", "--port", "0"),
                cwd=tmp_path, env=user_environment, stdout=subprocess.PIPE, start_new_session=asked,
            ) as process:  # fmt: skip
                assert process.stdout is not None
                assert process.stdout.readline().startswith("steady at http://")
                assert (os.getsid(process.pid) == process.pid) is asked
                process.terminate()
            assert process.returncode == 0


class TestTrueStarts:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_answers(self, command: str, truly: Command) -> None:
        found = truly(command, "--help")
        assert (found.returncode, found.stderr) == (0, "")
        assert f"Usage: kokoro-bench {command}" in found.stdout

    @pytest.mark.parametrize(
        "variable", [{"PYTHONOPTIMIZE": "1"}, {"LC_ALL": "C"}, {"PYTHONPATH": "x"}, {"OMP_NUM_THREADS": "1"}]
    )
    def test_an_environment_that_is_read_at_the_start_gets_one(
        self, variable: dict[str, str], user_environment: dict[str, str]
    ) -> None:
        assert forking.differing({**user_environment, **variable}) == set(variable)
        assert forking.differing({**user_environment, "KOKORO_BENCH_LAUNCHES": "2"}) == set()
