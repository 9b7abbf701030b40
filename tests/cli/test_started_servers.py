"""`--server`: the mock server, started by the command itself, and what its log says."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.core.cache_root import ROOT_VARIABLE
from harness.core.records.repetition import Phase
from harness.core.records.run import RunData
from harness.store.runs import open_store
from tests import forking
from tests.conftest import Command

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are counted as on POSIX")

FIRST_MS = 60
SCRIPT = f"""
name = "quick"
meaning = "all audio at once, after a wait"
[[answers]]
steps = [{{ wait_ms = {FIRST_MS} }}, {{ audio_share = 0.5 }}, {{ wait_ms = 20 }}, {{ audio_share = 0.5 }}]
"""
LAUNCHES, BLOCKS, WARMUPS = 1, 2, 1
PATIENCE_S = 60.0


def mock(folder: Path) -> list[str]:
    """The command of the mock server, with a log for each of its ports."""
    (folder / "quick.toml").write_text(SCRIPT, encoding="utf-8")
    log = str(folder / "seen-{port}.jsonl")
    return [sys.executable, "-m", "harness.cli", "mock-server", "quick.toml", "--port", "{port}", "--log", log]


def declare(folder: Path, name: str = "mock", **keys: object) -> None:
    """Add a server to the configuration file; by default the mock server."""
    values = {"command": mock(folder), **keys}
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(f"[tool.kokoro-bench.server.{name}]\n")
        file.writelines(f"{key.replace('_', '-')} = {json.dumps(value)}\n" for key, value in values.items())


def processes_of(folder: Path) -> list[psutil.Process]:
    """The servers of `declare` that run."""
    found = []
    for each in psutil.process_iter(["cmdline", "status"]):
        named = any(str(folder / "seen-") in word for word in each.info["cmdline"] or ())
        if named and each.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(each)
    return found


def logs_of(folder: Path) -> list[list[dict[str, object]]]:
    files = folder.glob("seen-*.jsonl")
    return [[json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] for file in files]


def stored(folder: Path) -> RunData:
    with open_store(str(folder / ".kokoro-bench/results.sqlite")) as store:
        return store.load(store.resolve("latest"))


class Ran:
    """A run of the suites with a server of the configuration."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        declare(folder, dialect="openai", ready="/v1/audio/voices")
        self.folder = folder
        options = f"--launches {LAUNCHES} --blocks {BLOCKS} --warmups {WARMUPS} --text chars-12 --precision 0"
        self.done = forking.run(
            "run", "--server", "mock", "--endpoint-options", "keep_alive=on", *options.split(),
            cwd=folder, env=environment,
        )  # fmt: skip
        self.data = stored(folder)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Ran:
    folder = tmp_path_factory.mktemp("started")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("KOKORO_BENCH_", "PYTEST_"))}
    own = {ROOT_VARIABLE: str(model_cache), "KOKORO_BENCH_QUALITY": "off", "PYTHONUTF8": "1"}
    return Ran(folder, {**ours, **own})


class TestRun:
    def test_every_launch_has_a_server_of_its_own_that_got_what_was_measured(self, ran: Ran) -> None:
        assert ran.done.returncode == 0, ran.done.stdout + ran.done.stderr
        answers = sorted(sum(line["kind"] == "answer" for line in log) for log in logs_of(ran.folder))
        # A start-up has its first inference; a launch also has a warm-up and its blocks.
        assert answers == [1] * LAUNCHES + [1 + WARMUPS + BLOCKS] * LAUNCHES
        measured = [each for each in ran.data.repetitions if each.phase is Phase.MEASURED]
        assert len(measured) == LAUNCHES * BLOCKS
        assert all(each.outcome.valid for each in measured)

    def test_scenarios_name_the_server_and_no_port(self, ran: Ran) -> None:
        arm = "endpoint.dialect=openai.keep_alive=on.server-mock"
        assert {each.id for each in ran.data.run.scenarios} == {
            f"{arm}/load-warm",
            f"{arm}/endpoint/chars-12/af_heart/rotating",
        }

    def test_start_is_measured_by_its_parts_as_the_server_says(self, ran: Ran) -> None:
        assert len(ran.data.launches) == 2 * LAUNCHES
        for launch in ran.data.launches:
            parts = {each.name: each.ns for each in launch.parts}
            assert {"listening", "ready", "first_audio", "first_inference"} <= parts.keys()
            assert FIRST_MS * 1e6 <= parts["first_audio"] < parts["first_inference"]
        assert "start of the server mock (median of 2 starts): " in ran.done.stdout
        assert "until listening, then" in ran.done.stdout

    def test_memory_and_cpu_time_are_those_of_the_server(self, ran: Ran) -> None:
        assert all(each.rss_loaded for each in ran.data.launches)
        for each in ran.data.repetitions:
            assert each.cpu_ns is not None
            assert each.memory.rss_after
        options = dict(next(each.facts.options for each in ran.data.launches if each.facts))
        assert (options["url"], options["server_process"]) == ("server:mock", "started for this launch")

    def test_each_start_keeps_a_log_and_no_process_is_left(self, ran: Ran) -> None:
        logs = [file.read_text() for file in ran.folder.glob(".kokoro-bench/server-logs/*/mock-*.log")]
        assert len(logs) == 2 * LAUNCHES
        assert all(log.startswith("quick at http://127.0.0.1:") for log in logs)
        assert not processes_of(ran.folder)


def test_no_server_is_left_when_the_command_is_killed(tmp_path: Path, user_environment: dict[str, str]) -> None:
    command = " ".join(mock(tmp_path))
    options = ("--users", "1", "--seconds", "60s", "--warm-up", "1s")
    with forking.Started(
        "load", "--server-command", command, *options, cwd=tmp_path, env=user_environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as killed:  # fmt: skip
        deadline = time.monotonic() + PATIENCE_S
        while not any(line["kind"] == "answer" for log in logs_of(tmp_path) for line in log):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert processes_of(tmp_path)
        killed.send_signal(signal.SIGKILL)
    while left := processes_of(tmp_path):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


class TestBadInput:
    """Each says what is wrong and where, with the exit code of its kind."""

    @pytest.mark.parametrize(
        ("keys", "code", "said"),
        [
            ({"command": "nosuchserver --port {port}"}, 2, "there is no program 'nosuchserver' in PATH"),
            ({"command": "./serve --port {port}"}, 2, "there is no program './serve' in "),
            ({"cwd": "elsewhere"}, 2, "elsewhere is no directory"),
            ({"setup": ["nosuchtool"]}, 2, "there is no program 'nosuchtool' in PATH"),
            (
                {"setup": [["sh", "-c", "echo no wheel; exit 7"]]},
                3,
                "`sh -c echo no wheel; exit 7` failed with exit code 7; its last lines:\n  no wheel",
            ),
            ({"command": ["mock"]}, 2, "neither the command nor env has {port}"),
        ],
    )
    def test_server_that_cannot_be_prepared_is_an_error_before_the_run(
        self, here: Command, tmp_path: Path, keys: dict[str, object], code: int, said: str
    ) -> None:
        declare(tmp_path, "bad", **keys)
        found = here("validate", "--server", "bad")
        assert found.returncode == code
        assert said in found.stderr
        assert "[tool.kokoro-bench.server.bad]" in found.stderr

    def test_unknown_server_is_named_with_the_known_ones(self, here: Command, tmp_path: Path) -> None:
        declare(tmp_path)
        found = here("load", "--server", "mook", "--users", "1")
        assert (found.returncode, "unknown server 'mook'" in found.stderr, "mock" in found.stderr) == (2, True, True)

    def test_server_that_exits_is_set_up_once_and_its_last_lines_are_shown(self, here: Command, tmp_path: Path) -> None:
        setup = [["sh", "-c", "echo set up >> done.txt"]]
        declare(tmp_path, "bad", command=["sh", "-c", "echo no model {port}; exit 3"], setup=setup)
        found = here("validate", "--server", "bad", "--launches", "2", "--text", "chars-12")
        assert found.returncode == 3
        assert "refused: the server ended with exit code 3 before it listened; its last lines: no model" in found.stdout
        assert (tmp_path / "done.txt").read_text() == "set up\n"


def test_server_that_refuses_speech_while_it_loads_its_model_is_asked_again(here: Command, tmp_path: Path) -> None:
    """It looks at the request first and at its model afterwards: an empty one is refused as if it were ready."""
    declare(tmp_path)
    loading = "[[answers]]\nstatus = 503\n" * 2
    (tmp_path / "quick.toml").write_text(SCRIPT.replace("[[answers]]", f"{loading}[[answers]]"), encoding="utf-8")
    found = here("validate", "--server", "mock", "--launches", "1", "--blocks", "1", "--text", "chars-12")
    assert found.returncode == 0, found.stdout
    statuses = {tuple(line["status"] for line in log if line["kind"] == "answer")[:3] for log in logs_of(tmp_path)}
    assert statuses == {(503, 503, 200)}
    assert all(each.outcome.valid for each in stored(tmp_path).repetitions)
    assert stored(tmp_path).run.budget_s == 180  # as `--help` says: the start of a server takes some of it


def test_job_of_the_schedule_starts_the_server(here: Command, tmp_path: Path) -> None:
    declare(tmp_path)
    options = {"server": "mock", "text": "chars-12", "launches": 1, "blocks": 1, "quality": "off"}
    with (tmp_path / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write('[tool.kokoro-bench.schedule]\nbusy-cpus = 1000.0\n[tool.kokoro-bench.schedule.own]\nevery = "6h"\n')
        file.write('selection = "quick"\nbudget = "30s"\n[tool.kokoro-bench.schedule.own.options]\n')
        file.writelines(f"{name} = {json.dumps(value)}\n" for name, value in options.items())
    found = here("schedule", "run-now", "own")
    assert found.returncode == 0, found.stdout + found.stderr
    assert {each.arm.server for each in stored(tmp_path).run.scenarios} == {"mock"}
    asked = sum(line["kind"] == "answer" for log in logs_of(tmp_path) for line in log)
    assert asked >= len(stored(tmp_path).repetitions) > 0
    assert processes_of(tmp_path) == []
