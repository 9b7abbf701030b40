"""Runs that a signal or an error ends in the middle: what is stored, and what the command says."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.errors import ExitCode
from harness.core.records.run import RunData, RunStatus
from harness.server.mock.script import Answer, Script, Step
from harness.server.mock.server import serving
from harness.store.runs import open_store
from tests.conftest import Command

ROOT = Path(__file__).parents[2]
QUICK = Script(name="quick", answers=(Answer(steps=(Step(wait_ms=10), Step(audio_share=1.0))),))
SIGNAL_DURING_IMPORT = """
import os, signal, sys

class Signal:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy.linalg":
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Signal())
from harness.cli import main
main(sys.argv[1:])
"""
"""The command, which gets SIGTERM while it imports NumPy. Its first statistics do that, after the first block."""
FAULT_OF_OURS = """
import sys
from harness.analysis import conclude

def failing(*_given, **_named):
    raise ValueError("a fault of ours")

conclude.summarise_all = failing
from harness.cli import main
main(sys.argv[1:])
"""


def ran(program: str, folder: Path) -> tuple[int, str, RunData]:
    """Exit code, output and stored run of `kokoro-bench run` against a server."""
    ours = ("KOKORO_BENCH_", "PYTEST_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
        "KOKORO_BENCH_CACHE": str(folder / "cache"),
        "KOKORO_BENCH_QUALITY": "off",
        "XDG_STATE_HOME": str(folder / "state"),
    }
    with serving(QUICK) as (url, _):
        what = f"--url {url} --endpoint-options keep_alive=on --text chars-12 -k test_delivery"
        how_long = "--blocks 8 --launches 1 --budget 60s --results results.sqlite"
        done = subprocess.run(
            [sys.executable, "-c", program, "run", *what.split(), *how_long.split()],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    with open_store(folder / "results.sqlite") as store:
        return done.returncode, done.stdout + done.stderr, store.load(store.resolve("latest"))


def test_a_signal_during_an_import_leaves_the_conclusions(tmp_path: Path) -> None:
    code, output, data = ran(SIGNAL_DURING_IMPORT, tmp_path)
    assert code == ExitCode.INTERRUPTED, output
    assert (data.run.status, data.run.reason) == (RunStatus.INTERRUPTED, "ended by SIGTERM")
    assert 1 <= len(data.blocks) < 8
    latency = next(each for each in data.summaries if each.metric == "latency")
    assert latency.n == len(data.blocks)


def test_an_error_of_ours_is_the_reason_that_is_stored(tmp_path: Path) -> None:
    code, output, data = ran(FAULT_OF_OURS, tmp_path)
    assert code == ExitCode.INTERNAL, output
    assert (data.run.status, data.run.reason) == (RunStatus.FAILED, "ValueError: a fault of ours")
    assert len(data.blocks) == 8


DISK_FULL_AFTER_THREE_BLOCKS = """
import resource, sys
from harness.store.runs import RunStore

add, blocks = RunStore.add_block, []

def adding(*given):
    blocks.append(given)
    if len(blocks) == 4:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    return add(*given)

RunStore.add_block = adding
from harness.cli import main
main(sys.argv[1:])
"""


def full_disk_ends_a_run(script: str, place: Path, environment: dict[str, str], *, blocks: int) -> None:
    """Run `script`, after which the disk is full, and check the code and the line of the command."""
    what = f"run --engine scripted --model scripted -k chars-12 --launches 1 --blocks {blocks}"
    found = subprocess.run(
        [sys.executable, "-c", script, *what.split()],
        cwd=place, env=environment, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert found.returncode == ExitCode.MEASUREMENT
    (line,) = found.stderr.splitlines()
    assert "results.sqlite: the disk refused a read or a write; what was stored before is safe" in line
    assert " — check the space left" in line


@pytest.mark.skipif(os.name != "posix", reason="limits are POSIX's")
def test_a_disk_that_fills_during_a_run_ends_it_with_3_and_keeps_what_was_measured(
    tmp_path: Path, user_environment: dict[str, str], here: Command
) -> None:
    full_disk_ends_a_run(DISK_FULL_AFTER_THREE_BLOCKS, tmp_path, user_environment, blocks=8)
    (stored,) = json.loads(here("runs", "list", "--json").stdout)
    assert (stored["status"], stored["blocks"]) == ("interrupted", 3)


DISK_FULL_AT_THE_START = """
import resource, signal, sys
from harness.store.runs import RunStore

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
begin = RunStore.begin

def beginning(*given):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    return begin(*given)

RunStore.begin = beginning
from harness.cli import main
main(sys.argv[1:])
"""


@pytest.mark.skipif(os.name != "posix", reason="limits are POSIX's")
def test_a_disk_that_is_full_when_a_run_begins_ends_it_with_3(tmp_path: Path, user_environment: dict[str, str]) -> None:
    full_disk_ends_a_run(DISK_FULL_AT_THE_START, tmp_path, user_environment, blocks=1)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("duel", "model=scripted", "model=scripted-8bit", "--engine", "scripted", "--launches", "1"), 3),
        (("validate", "--engine", "scripted", "--model", "scripted", "--launches", "1"), 3),
        (("runs", "list"), 2),
    ],
)
def test_a_database_server_that_is_away_is_3_where_something_is_measured_and_2_elsewhere(
    here: Command, command: tuple[str, ...], code: int
) -> None:
    pytest.importorskip("psycopg")
    found = here(*command, "--results", "postgresql://nobody@127.0.0.1:9/none")
    assert found.returncode == code, found.stdout + found.stderr
    (line,) = found.stderr.splitlines()
    assert "the database server cannot be reached" in line
    assert " — start it" in line


SIGNAL_DURING_FIRST_IMPORT = """
import os, signal, sys

class Signal:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            os.kill(os.getpid(), int(os.environ["NUMBER"]))

sys.meta_path.insert(0, Signal())
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", [["-m", "harness.cli"], ["-c", "from harness.cli import main; main()"]])
def test_a_signal_while_the_command_is_imported_ends_it_with_a_line(
    tmp_path: Path, user_environment: dict[str, str], command: list[str], number: signal.Signals
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SIGNAL_DURING_FIRST_IMPORT)
    found = subprocess.run(
        [sys.executable, *command, "runs", "list"],
        cwd=tmp_path, env=user_environment | {"PYTHONPATH": str(tmp_path), "NUMBER": str(int(number))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "kokoro-bench: interrupted\n")


SIGNAL_AT_EXIT = """
import atexit, os, signal, sys

def late():
    os.kill(os.getpid(), int(os.environ["NUMBER"]))

class Registering:
    def find_spec(self, name, path=None, target=None):
        if name == "click":  # after Python's own callbacks, and before ours
            atexit.register(late)

sys.meta_path.insert(0, Registering())
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_the_end_of_the_process_costs_no_output_and_leaves_no_traceback(
    tmp_path: Path, user_environment: dict[str, str], number: signal.Signals
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SIGNAL_AT_EXIT)
    found = subprocess.run(
        [sys.executable, "-m", "harness.cli", "runs", "list"],
        cwd=tmp_path,
        env=user_environment | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "NUMBER": str(int(number))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stderr) == (130, "kokoro-bench: interrupted\n")
    assert "nothing is stored" in found.stdout or "no runs" in found.stdout


SIGNAL_WHILE_STREAMS_END = """
import os, signal, sys
from harness.cli import command

finished = command._finished

def late(*given):
    os.kill(os.getpid(), int(os.environ["NUMBER"]))
    return finished(*given)

command._finished = late
from harness.cli import main
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_last_line_writes_it_first(
    tmp_path: Path, user_environment: dict[str, str], number: signal.Signals
) -> None:
    found = subprocess.run(
        [sys.executable, "-c", SIGNAL_WHILE_STREAMS_END, "config"],
        cwd=tmp_path, env=user_environment | {"NUMBER": str(int(number))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stderr) == (130, "kokoro-bench: interrupted\n")
    assert "summary" in found.stdout
