"""Profiles: read from made and recorded files to the last microsecond, and made of the real engine once."""

import json
from dataclasses import replace
from typing import Any

import pytest

from harness.core.clock import ScriptedClock
from harness.core.records.profile import Node, Profile, Profiles
from harness.core.records.repetition import OutcomeKind
from harness.core.records.scenario import Arm, Utterance
from harness.engines.scripted_profile import ScriptedProfile
from harness.measure.conductor.ort_profile import LAUNCHES, REPETITIONS, TimeLimit, profile_arm, profile_pair
from harness.measure.conductor.trace_reader import read_profile
from harness.measure.conductor.worker_factory import ArmFiles, WorkerFactory
from harness.measure.worker.handle import ProcessHandle
from harness.measure.worker.place import HERE
from harness.measure.worker.scripted_handle import ScriptedHandle
from harness.measure.worker.worker_lost import WorkerLost
from harness.models.files import ModelFiles

CPU, OPENVINO = "CPUExecutionProvider", "OpenVINOExecutionProvider"
SCRIPTED = Arm(engine="scripted")
HELLO = Utterance(text_class="own", variant=0, text="Hello there.")


def node(operator: str, at: int, took: int, provider: str = CPU) -> dict[str, Any]:
    args = {"op_name": operator, "provider": provider, "node_index": "1"}
    return {"cat": "Node", "name": f"{operator}_1_kernel_time", "ts": at, "dur": took, "ph": "X", "args": args}


def run(at: int, took: int) -> dict[str, Any]:
    return {"cat": "Session", "name": "model_run", "ts": at, "dur": took, "ph": "X", "args": {}}


def read(*events: dict[str, Any], repetitions: int = 0) -> Profile:
    return read_profile(json.dumps(events).encode(), repetitions=repetitions)


def test_nodes_and_time_are_counted_by_provider() -> None:
    found = read(node("Conv", 0, 300, OPENVINO), node("Conv", 300, 60), node("Add", 360, 40), run(0, 400))
    assert found.nodes == {OPENVINO: 1, CPU: 2}
    assert found.microseconds == {OPENVINO: 300, CPU: 100}
    assert found.node_share(OPENVINO) == pytest.approx(1 / 3)
    assert found.time_share(OPENVINO) == 0.75
    assert found.time_share("QNNExecutionProvider") == 0.0


def test_a_loop_is_not_charged_with_what_ran_inside_it() -> None:
    inner = [node("Add", 10, 20), node("If", 40, 30), node("Mul", 45, 20)]
    found = read(node("Loop", 0, 100), *inner, run(0, 100))
    # Loop 100 − 20 − 30, Add 20, If 30 − 20, Mul 20: the whole is the loop's own duration.
    assert found.microseconds == {CPU: 100}
    one = read(run(0, 5), run(5, 5), node("Loop", 100, 100), *(
        {**each, "ts": each["ts"] + 100} for each in inner
    ), run(100, 100), repetitions=1)  # fmt: skip
    assert one.operators == {"Loop": (50.0,), "Add": (20.0,), "If": (10.0,), "Mul": (20.0,)}


def test_operators_are_those_of_the_repetitions_after_the_warm_up() -> None:
    # A first inference of one run, then a warm-up and three repetitions of two runs each.
    runs = [run(1_000 * number, 900) for number in range(9)]
    took = [999, 500, 500, 10, 20, 40, 60, 10, 10]
    nodes = [node("Conv", 1_000 * number, each) for number, each in enumerate(took)]
    found = read(*runs, *nodes, repetitions=3)
    assert found.operators == {"Conv": (30.0, 100.0, 20.0)}, "10 + 20, 40 + 60 and 10 + 10 µs, each by itself"


def test_each_node_has_its_time_and_its_shape() -> None:
    first, second = node("Conv", 21, 5), node("Conv", 27, 2)
    first |= {"name": "/decoder/conv_kernel_time"}
    first["args"] |= {"output_type_shape": [{"float": [1, 512, 64]}]}
    second |= {"name": "_kernel_time"}
    found = read(run(0, 1), run(10, 1), run(20, 10), first, second, repetitions=1)
    assert found.by_node == {
        Node(name="decoder/conv", operator="Conv"): (5.0,),
        Node(name="#1", operator="Conv"): (2.0,),
    }
    assert [each.shape for each in found.by_node] == ["1×512×64", ""]
    assert found.operators == {"Conv": (7.0,)}


def test_a_subgraph_goes_by_the_name_of_its_provider() -> None:
    found = read(run(0, 1), run(10, 1), run(20, 9), node("OpenVINO-EP-subgraph_3", 21, 5, OPENVINO), repetitions=1)
    assert found.operators == {"OpenVINO-EP-subgraph": (5.0,)}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[{", "the profile is not JSON: "),
        (json.dumps([node("Conv", 0, 5)]).encode()[:-9], "the profile is not JSON: "),
        (b"[]", "the profile has no node in it"),
        (b'{"traceEvents": []}', "the profile has another format: it is no list of events"),
        (b'[{"cat": "Node", "name": "x_kernel_time", "ts": 1}]', "the profile has another format: KeyError"),
    ],
)
def test_what_is_no_profile_says_so(content: bytes, said: str) -> None:
    assert read_profile(content).reason.startswith(said)


def scripted_staff(clock: ScriptedClock) -> WorkerFactory:
    return WorkerFactory(
        start=lambda _place: ScriptedHandle(clock), place=lambda _arm: HERE, files=lambda _arm: ArmFiles()
    )


def test_an_engine_without_profiles_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScriptedProfile, "write", lambda _self: None)
    found = profile_arm(SCRIPTED, worker_factory=scripted_staff(ScriptedClock()), voice="v", seed=1)
    assert found == Profile(reason="the engine wrote no profile")


def test_a_worker_that_cannot_start_costs_the_profile_alone() -> None:
    def start(_place: object) -> ScriptedHandle:
        raise WorkerLost(OutcomeKind.CRASHED, "cannot start python: gone")

    worker_factory = WorkerFactory(start=start, place=lambda _arm: HERE, files=lambda _arm: ArmFiles())
    assert profile_arm(SCRIPTED, worker_factory=worker_factory, voice="v", seed=1).reason == "cannot start python: gone"


class TestAPair:
    """Two arms profiled in turns, in processes that are started anew."""

    def profiles(self, clock: ScriptedClock, **script: str) -> Profiles:
        return profile_pair(
            (SCRIPTED, SCRIPTED),
            worker_factory=scripted_staff(clock),
            limit=TimeLimit(clock=clock),
            voice="v",
            seed=1,
            utterance=HELLO,
            script=script,
        )

    def test_every_repetition_of_every_launch_is_kept(self) -> None:
        found = self.profiles(ScriptedClock())
        for side in (found.candidate, found.reference):
            assert len(side) == LAUNCHES
            assert {len(times) for each in side for times in each.operators.values()} == {REPETITIONS}
        assert found.reason == ""

    def test_one_that_fails_to_speak_costs_the_pair_its_profile(self) -> None:
        found = self.profiles(ScriptedClock(), fault="silent")
        assert "silent" in found.reason
        assert len(found.candidate) == 1, "nothing more is started"

    def test_no_launch_begins_that_would_end_late_once_six_repetitions_are_there(self) -> None:
        found = self.profiles(ScriptedClock(), pace="500")
        assert len(found.candidate) == 2


def profiled(replica: ModelFiles, arm: Arm) -> Profile:
    files = ArmFiles(model_path=str(replica.model_path), voices_path=str(replica.voices_path))
    worker_factory = WorkerFactory(start=ProcessHandle, place=lambda _arm: HERE, files=lambda _arm: files)
    return profile_arm(
        replace(arm, model=replica.variant),
        worker_factory=worker_factory,
        voice="af_heart",
        seed=1,
        utterance=HELLO,
        repetitions=2,
    )


@pytest.mark.parametrize("engine", ["kokoro", "kokoro-sentences"])
def test_the_real_engines_write_a_profile(small_replica: ModelFiles, engine: str) -> None:
    found = profiled(small_replica, Arm(engine=engine, threads=1))
    assert found.reason == ""
    assert set(found.nodes) == {CPU}
    assert found.node_share(CPU) == 1.0
    assert {"Conv", "LSTM", "Loop", "InstanceNormalization"} <= found.operators.keys()


def test_several_sessions_are_one_profile(small_replica: ModelFiles) -> None:
    options = (("sessions", "2"), ("warm_up", "on"))
    found = profiled(small_replica, Arm(engine="kokoro-sentences", threads=2, session_options=options))
    assert found.reason == ""
    alone = profiled(small_replica, Arm(engine="kokoro-sentences", threads=2))
    # Both sessions warm themselves up by three pieces, and write down what they ran.
    assert sum(found.nodes.values()) > 2 * sum(alone.nodes.values())
