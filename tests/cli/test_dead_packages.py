"""Every command where importing ONNX Runtime, ONNX or kokoro-onnx ends the process: one line says so, and its code."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from importlib import metadata, util
from pathlib import Path

import pytest

from benchmarks.waiting_engines import installed
from harness.core.cache_root import ROOT_VARIABLE
from harness.core.native_imports import PACKAGES, ImportCheck, how_it_ended
from harness.server.mock.script import Answer, Script, Step
from harness.server.mock.server import serving
from tests import forking
from tests.conftest import Command

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no signals")

ONE = ("--launches", "1", "--blocks", "1", "--warmups", "1")
NAMED = f"importing onnxruntime {metadata.version('onnxruntime')} ends the process (killed by SIGABRT)"
Done = subprocess.CompletedProcess[str]


def bury(folder: Path) -> None:
    """Put packages there whose import aborts the process; kokoro-onnx keeps its configuration, which is only read."""
    for name in PACKAGES:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("import os\nos.abort()\n")
    spec = util.find_spec("kokoro_onnx")
    assert spec is not None
    assert spec.origin is not None
    shutil.copy(Path(spec.origin).with_name("config.json"), folder / "kokoro_onnx")


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> Iterator[forking.Interpreter]:
    """The interpreter of an environment in which neither conductor nor worker can import them."""
    home = tmp_path_factory.mktemp("environment")
    python = installed(home)
    bury(next(home.glob("lib/python*/site-packages")))
    with closing(forking.Interpreter(python)) as found:
        yield found


@pytest.fixture
def command(dead: forking.Interpreter, kokoro_bench: Command) -> Callable[..., Done]:
    """Run `kokoro-bench ARGUMENTS` there."""
    return partial(kokoro_bench, interpreter=dead)


def lines_with(text: str, done: Done) -> list[str]:
    return [line for line in (done.stdout + done.stderr).splitlines() if text in line]


def test_a_run_measures_what_it_can_and_names_the_package(command: Callable[..., Done]) -> None:
    done = command(
        "run", "--full", "--model", "replica-small", *ONE, "-k", "test_providers and chars-60 and not openvino"
    )
    assert done.returncode == 3, done.stdout + done.stderr
    lost, *_ = lines_with("lost: replica-small.cpu.tdefault", done)
    assert NAMED in lost
    (note,) = lines_with("No other provider than the CPU was planned", done)
    assert NAMED in note
    shown = command("runs", "show", "latest")
    assert shown.returncode == 0
    assert lines_with(NAMED, shown)


def test_a_duel_names_the_package(command: Callable[..., Done]) -> None:
    done = command("duel", "threads=2", "threads=1", "--model", "replica-small", "--text", "chars-12", "--budget", "5s")
    assert done.returncode == 3, done.stdout + done.stderr
    assert NAMED in lines_with("latency: the candidate was lost", done)[0]


def test_a_calibration_names_the_package(command: Callable[..., Done]) -> None:
    options = ("--model", "replica-small", "--text", "chars-12", "--budget", "5s", "--duels", "1", "--sizes", "0")
    done = command("calibrate", *options)
    assert done.returncode == 3, done.stdout + done.stderr
    (line,) = lines_with("not measured: the candidate was lost", done)
    assert NAMED in line


def test_a_server_is_loaded_all_the_same(command: Callable[..., Done]) -> None:
    script = Script(name="test", meaning="a test's own", answers=(Answer(steps=(Step(audio_share=1.0),)),))
    short = ("--text", "chars-12", "--seconds", "1s", "--warm-up", "0.1s", "--cool-down", "0", "--rate", "4")
    with serving(script) as (url, _):
        done = command("load", "--url", url, *short, "--targets", "ttfa=30,rtf=100,streaming_efficiency=0.01")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not lines_with(NAMED, done)
    # The canary is another matter: it costs its readings, with the reason.
    exported = command("runs", "export", "latest", "--format", "jsonl").stdout.splitlines()
    canaries = [line["record"]["canary"] for line in map(json.loads, exported) if line["kind"] == "block"]
    assert canaries
    assert all(each["graph_ns"] is None and NAMED in each["reason"] for each in canaries)


@pytest.mark.parametrize(
    "arguments",
    [
        ("models", "show", "replica-small"),
        ("models", "verify", "replica-small"),
        ("models", "build", "replica-small-seed7"),
        ("models", "quantise", "replica-small", "--recipe", "static-qdq"),
        ("serve", "--model", "replica-small", "--port", "0"),
    ],
)
def test_what_needs_them_ends_with_one_line(
    arguments: tuple[str, ...], command: Callable[..., Done], model_cache: Path, tmp_path: Path
) -> None:
    # The models alone: what other tests have had examined is known without the packages.
    shutil.copytree(model_cache / "models", tmp_path / "cache" / "models")
    done = command(*arguments, **{ROOT_VARIABLE: str(tmp_path / "cache")})
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len(lines_with(NAMED, done)) == 1


def test_the_doctor_names_the_package(command: Callable[..., Done]) -> None:
    done = command("doctor")
    assert done.returncode == 3
    assert "ended with code -6 while loading it" in " ".join(done.stdout.split())


READING = (
    ("run", "--engine", "scripted", "--model", "scripted", *ONE, "-k", "whole and chars-12"),
    ("config",),
    ("models", "list"),
    ("runs", "list"),
    ("runs", "export", "latest", "--format", "jsonl"),
    ("compare", "latest", "latest"),
    ("baseline", "list"),
    ("runtimes", "list"),
    ("schedule", "list"),
    ("report",),
)


def test_what_only_reads_needs_none_of_them(command: Callable[..., Done]) -> None:
    """An import of a dead package would end the process."""
    for arguments in READING:
        done = command(*arguments)
        assert done.returncode == 0, (arguments, done.stderr)


def test_a_run_whose_workers_can_import_them_is_measured(kokoro_bench: Command, tmp_path: Path) -> None:
    """They are dead for the conductor alone: a worker does not look at PYTHONPATH."""
    folder = tmp_path / "dead"
    folder.mkdir()
    bury(folder)
    options = ("--model", "replica-small", *ONE, "-k", "whole and chars-12")
    done = kokoro_bench("run", *options, PYTHONPATH=str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 valid" in done.stdout + done.stderr


EVERY_MODULE = """
import pkgutil, sys
from importlib import import_module

class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages}:
            raise AssertionError(f"{{name}} was imported")

sys.meta_path.insert(0, Guard())
import harness, reports
for package in (harness, reports):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.startswith("benchmarks") and not found.name.endswith("__main__"):
            import_module(found.name)
"""


def test_no_module_imports_them_where_it_begins() -> None:
    subprocess.run([sys.executable, "-c", EVERY_MODULE.format(packages=PACKAGES)], check=True)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("", ""),
        ("import os\nos.abort()", "importing dead_package ends the process (killed by SIGABRT)"),
        ("import os\nos._exit(7)", "importing dead_package ends the process (exit code 7)"),
        ("raise OSError('libgomp.so.1: none')", "dead_package cannot be imported (OSError: libgomp.so.1: none)"),
    ],
)
def test_an_import_is_tried_in_a_process_of_its_own(
    code: str, told: str, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dead_package.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert ImportCheck("json", "dead_package").failure() == told


@pytest.mark.parametrize(
    ("code", "told"), [(3, "exit code 3"), (-9, "killed by SIGKILL"), (-99, "killed by signal 99")]
)
def test_the_end_of_a_process_is_told_in_words(code: int, told: str) -> None:
    assert how_it_ended(code) == told
