"""Real worker processes: what they say, and every way in which they can be lost."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import harness
from harness.core.clock import ScriptedClock
from harness.core.records.repetition import OutcomeKind
from harness.measure.worker.handle import ProcessHandle, WorkerHandle
from harness.measure.worker.place import HERE, WorkerPlace
from harness.measure.worker.protocol import PROTOCOL, CanaryOrder
from harness.measure.worker.scripted_handle import ScriptedHandle
from harness.measure.worker.worker_lost import WorkerLost
from tests.measure.requests_sent import LONG, PATIENCE_S, SHORT, load_order, speak_order
from tests.processes import await_ended

HARNESS = Path(harness.__path__[0])

posix_only = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


Start = Callable[..., ProcessHandle]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts workers, and holds that none of them outlives its `close`."""
    handles: list[ProcessHandle] = []

    def begin(place: WorkerPlace = HERE) -> ProcessHandle:
        handles.append(ProcessHandle(place))
        return handles[-1]

    yield begin
    for handle in handles:
        handle.close()
        assert not psutil.pid_exists(handle.pid)


def lost(handle: WorkerHandle, *, characters: int = LONG, timeout_s: float = PATIENCE_S) -> WorkerLost:
    with pytest.raises(WorkerLost) as caught:
        handle.synthesise(speak_order(characters), timeout_s=timeout_s)
    return caught.value


def fake_harness(root: Path, main: str) -> WorkerPlace:
    """A harness of another revision, as far as a worker sees it."""
    package = root / "harness"
    (package / "measure").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "measure/__init__.py").touch()
    (package / "measure/worker.py").write_text(f"import json, os, sys, time\ndef main():\n    {main}\n")
    return WorkerPlace(harness=package)


GREETING = f'print(json.dumps({{"greeting": {{"protocol": {PROTOCOL}, "pid": 1, "python": "3"}}}}), flush=True)'


def test_a_worker_loads_speaks_and_is_a_process_of_its_own(start: Start) -> None:
    handle = start()
    launch = handle.load(load_order(), timeout_s=PATIENCE_S)
    assert launch.outcome.valid
    assert [part.name for part in launch.parts] == ["import", "session", "voices", "phonemiser", "first_inference"]
    assert launch.page_cache == "warm"
    repetition = handle.synthesise(speak_order(), timeout_s=PATIENCE_S)
    assert repetition.outcome.valid
    assert [chunk.frames for chunk in repetition.chunks] == [20_160]
    assert repetition.end_ns >= repetition.chunks[0].at_ns > 0
    assert handle.pid != os.getpid()
    assert repetition.memory.rss_after is not None


def test_the_canary_does_both_pieces_of_work(start: Start) -> None:
    canary = start().canary(CanaryOrder(rounds=1), timeout_s=PATIENCE_S)
    assert canary.numpy_ns is not None
    assert canary.numpy_ns > 0
    assert canary.graph_ns is not None
    assert canary.graph_ns > 0


@posix_only
def test_a_crash_is_told_by_its_signal(start: Start) -> None:
    handle = start()
    handle.load(load_order(fault="crash"), timeout_s=PATIENCE_S)
    found = lost(handle)
    assert (found.kind, found.reason) == (
        OutcomeKind.CRASHED,
        f"the worker ended while synthesising {LONG} characters (scripted.cpu.t1/whole/own/none): killed by SIGABRT",
    )


@posix_only
def test_a_kill_from_outside_is_told_by_its_signal(start: Start) -> None:
    handle = start()
    handle.load(load_order(), timeout_s=PATIENCE_S)
    os.kill(handle.pid, signal.SIGKILL)
    found = lost(handle, characters=SHORT)
    assert found.kind is OutcomeKind.CRASHED
    assert found.reason.endswith("killed by SIGKILL")


def test_a_hang_ends_at_its_timeout_and_the_worker_is_killed(start: Start) -> None:
    handle = start()
    handle.load(load_order(fault="hang"), timeout_s=PATIENCE_S)
    found = lost(handle, timeout_s=0.2)
    assert found.kind is OutcomeKind.TIMEOUT
    assert found.reason == (
        f"no answer within 0.2 s while synthesising {LONG} characters (scripted.cpu.t1/whole/own/none); "
        "the worker was killed"
    )


def test_an_exit_while_loading_is_told_by_its_code(start: Start) -> None:
    with pytest.raises(WorkerLost) as caught:
        start().load(load_order(fault="exit-at-load"), timeout_s=PATIENCE_S)
    assert (caught.value.kind, caught.value.reason) == (
        OutcomeKind.CRASHED,
        "the worker ended while loading: exit code 7",
    )


def test_an_error_of_the_engine_does_not_cost_the_worker(start: Start) -> None:
    handle = start()
    handle.load(load_order(fault="raise"), timeout_s=PATIENCE_S)
    assert handle.synthesise(speak_order(LONG), timeout_s=PATIENCE_S).outcome.kind is OutcomeKind.ERROR
    assert handle.synthesise(speak_order(SHORT), timeout_s=PATIENCE_S).outcome.valid


def test_the_end_of_the_standard_error_is_kept(start: Start, tmp_path: Path) -> None:
    place = fake_harness(
        tmp_path, f'{GREETING}; sys.stderr.write("x" * 9_000 + "\\nillegal instruction\\n"); sys.exit(3)'
    )
    handle = start(place)
    found = lost(handle)
    assert found.reason.endswith("exit code 3")
    assert found.stderr_tail.endswith("x\nillegal instruction")
    assert len(found.stderr_tail) == 3_999  # the last 4,000 bytes without the newline


def test_a_line_that_is_no_answer_loses_the_worker_and_is_shown(start: Start, tmp_path: Path) -> None:
    place = fake_harness(tmp_path, f'{GREETING}; print("Downloading model ...", flush=True); sys.stdin.read()')
    found = lost(start(place))
    assert found.kind is OutcomeKind.CRASHED
    assert "Downloading model ..." in found.reason


def test_an_answer_to_another_question_loses_the_worker(start: Start, tmp_path: Path) -> None:
    place = fake_harness(tmp_path, f"{GREETING}; {GREETING}; sys.stdin.read()")
    assert lost(start(place)).reason == "the worker's answer does not match the order"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('{"greeting": {"protocol": 99, "pid": 1, "python": "3.13.0"}}', "the worker uses protocol 99"),
        ('{"canary": {"numpy_ns": 1, "graph_ns": 1}}', "the worker uses protocol no version"),
        ("hello", f"not an answer of protocol {PROTOCOL}"),
    ],
)
def test_a_worker_that_does_not_speak_our_protocol_is_refused(
    start: Start, tmp_path: Path, said: str, told: str
) -> None:
    before = {child.pid for child in psutil.Process().children()}
    place = fake_harness(tmp_path, f"print({said!r}, flush=True); sys.stdin.read()")
    with pytest.raises(WorkerLost) as caught:
        start(place)
    assert caught.value.kind is OutcomeKind.CRASHED
    assert told in caught.value.reason
    assert {child.pid for child in psutil.Process().children()} == before


def test_a_worker_that_cannot_import_its_harness_says_so_on_its_standard_error(start: Start, tmp_path: Path) -> None:
    place = fake_harness(tmp_path, "import a_package_that_nobody_has")
    with pytest.raises(WorkerLost) as caught:
        start(place)
    assert caught.value.reason == "the worker ended while starting: exit code 1"
    assert "a_package_that_nobody_has" in caught.value.stderr_tail


def test_an_interpreter_that_is_not_there_is_a_lost_worker(start: Start, tmp_path: Path) -> None:
    python = str(tmp_path / "python3.99")
    with pytest.raises(WorkerLost, match=r"cannot start .*python3\.99: No such file"):
        start(WorkerPlace(python=python))


def test_what_a_library_prints_does_not_reach_the_protocol(start: Start, tmp_path: Path) -> None:
    package = tmp_path / "harness"
    (package / "engines").mkdir(parents=True)
    (package / "__init__.py").write_text(f"__path__.append({str(HARNESS)!r})\n")
    (package / "engines/__init__.py").write_text(f"__path__.append({str(HARNESS / 'engines')!r})\n")
    (package / "engines/scripted.py").write_text(
        "import os\n"
        f"exec(open({str(HARNESS / 'engines/scripted.py')!r}).read())\n"
        "_start = start\n"
        "def start(order, **given):\n"
        "    print('a banner from Python', flush=True)\n"
        "    os.write(1, b'a banner from C\\n')\n"
        "    return _start(order, **given)\n"
    )
    handle = start(WorkerPlace(harness=package))
    assert handle.load(load_order(fault="hang"), timeout_s=PATIENCE_S).outcome.valid
    assert handle.synthesise(speak_order(), timeout_s=PATIENCE_S).outcome.valid
    assert "a banner from Python\na banner from C" in lost(handle, timeout_s=0.2).stderr_tail


def test_the_users_environment_does_not_change_the_engine(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONNX_PROVIDER", "CUDAExecutionProvider")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("HOLIDAY", "yes")
    names = '[name for name in ("ONNX_PROVIDER", "PYTHONPATH", "HOLIDAY", "RUNTIME") if name in os.environ]'
    place = replace(
        fake_harness(tmp_path, f"{GREETING}; sys.stderr.write(str({names})); sys.stderr.flush(); sys.exit(1)"),
        environment=(("RUNTIME", "openvino"),),
    )
    assert lost(start(place)).stderr_tail == "['HOLIDAY', 'RUNTIME']"


def test_closing_twice_is_harmless(start: Start) -> None:
    handle = start()
    handle.close()
    handle.close()


@posix_only
def test_a_worker_ends_when_its_conductor_is_killed() -> None:
    program = (
        "import os, signal\n"
        "from harness.measure.worker.handle import ProcessHandle\n"
        "print(ProcessHandle().pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert found.returncode == -signal.SIGKILL
    await_ended([int(found.stdout)])


class TestScripted:
    """The stand-in must lose workers in the same words as the process does."""

    @pytest.mark.parametrize(
        ("fault", "kind", "ending"),
        [
            ("crash", OutcomeKind.CRASHED, ": killed by SIGABRT"),
            ("hang", OutcomeKind.TIMEOUT, "; the worker was killed"),
        ],
    )
    def test_a_fault_is_told_as_the_process_tells_it(self, fault: str, kind: OutcomeKind, ending: str) -> None:
        clock = ScriptedClock()
        handle = ScriptedHandle(clock)
        handle.load(load_order(fault=fault), timeout_s=PATIENCE_S)
        began = clock.now_ns()
        found = lost(handle, timeout_s=7.0)
        assert found.kind is kind
        assert found.reason.endswith(f"synthesising {LONG} characters (scripted.cpu.t1/whole/own/none){ending}")
        assert clock.now_ns() - began == (7_000_000_000 if fault == "hang" else 0)

    def test_an_exit_while_loading(self) -> None:
        with pytest.raises(WorkerLost, match="the worker ended while loading: exit code 7"):
            ScriptedHandle(ScriptedClock()).load(load_order(fault="exit-at-load"), timeout_s=PATIENCE_S)

    @pytest.mark.parametrize("fault", ["crash", "hang"])
    def test_a_fault_in_the_first_inference(self, fault: str) -> None:
        with pytest.raises(WorkerLost, match="while loading"):
            ScriptedHandle(ScriptedClock()).load(load_order(fault=fault, fault_text="0"), timeout_s=PATIENCE_S)
