from pathlib import Path

import numpy as np
import pytest

from harness.core.errors import ExitCode
from harness.core.records.profile import Profile
from harness.core.records.repetition import Launch, OutcomeKind, Repetition
from harness.core.records.scenario import Arm, Mode
from harness.core.records.verdict import VerdictKind
from harness.measure.conductor.trace_reader import read_profile
from harness.measure.conductor.worker_factory import ArmFiles, WorkerFactory
from harness.measure.worker.handle import ProcessHandle
from harness.measure.worker.place import HERE
from harness.measure.worker.protocol import LoadOrder, SynthesisOrder
from harness.measure.worker.scripted_handle import ScriptedHandle
from harness.measure.worker.worker_lost import WorkerLost
from harness.plan.matrix import ScenarioRequest
from harness.runner import placement
from harness.runner.placement import PlacementCheck, fallen_back, verify_placement
from harness.runner.placement import placement as told
from reports.views.arms import arms
from tests.conftest import Laboratory

CPU, OPENVINO = "CPUExecutionProvider", "OpenVINOExecutionProvider"
ARM = Arm(engine="kokoro", provider="openvino")
STAFF = WorkerFactory(start=ProcessHandle, place=lambda _arm: HERE, files=lambda _arm: ArmFiles())
RECORDED = Path(__file__).parents[1] / "measure" / "conductor" / "data" / "profile-openvino-1.24.1.json"
"""The nodes of a first inference of the small plain replica by OpenVINO, as ONNX Runtime 1.24.1 wrote them."""


def profile(nodes: tuple[int, int], microseconds: tuple[int, int]) -> Profile:
    """OpenVINO's share first, the CPU's second."""
    return Profile(
        nodes=dict(zip((OPENVINO, CPU), nodes, strict=True)),
        microseconds=dict(zip((OPENVINO, CPU), microseconds, strict=True)),
    )


@pytest.mark.parametrize(
    ("nodes", "microseconds", "fell"),
    [
        ((0, 900), (0, 1_000), True),
        ((20, 880), (30, 970), True),
        ((1, 10), (990, 10), False),  # one subgraph took the whole graph
        ((90, 10), (10, 990), False),  # so fast that what is left to the CPU takes most of the time
    ],
)
def test_a_provider_that_has_neither_half_the_nodes_nor_half_the_time_has_fallen_back(
    nodes: tuple[int, int],
    microseconds: tuple[int, int],
    fell: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    assert fallen_back(profile(nodes, microseconds), "openvino") is fell


def test_without_a_profile_nothing_is_claimed() -> None:
    unproven = Profile(reason="the engine wrote no profile")
    assert not fallen_back(unproven, "openvino")
    assert told(unproven, "openvino") == "unproven: the engine wrote no profile"


def test_a_recorded_profile_says_what_ran_where() -> None:
    found = read_profile(RECORDED.read_bytes())
    assert told(found, "openvino") == "openvino ran 10 of 12 nodes in 100.0% of the time; CPU ran 2 (0.0%)"
    assert not fallen_back(found, "openvino")
    assert fallen_back(found, "cuda"), "the same nodes under another name prove nothing of it"


def test_an_arm_that_fell_back_is_refused_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "profile_arm", lambda *_, **__: profile((2, 98), (10, 90)))
    found = verify_placement([ARM], worker_factory=STAFF, voices={ARM: "v"}, seed=1)
    assert found.notes == ()
    assert found.refusals == {
        ARM.id: "fell back to the CPU: openvino ran 2 of 100 nodes in 10.0% of the time; CPU ran 98 (90.0%)"
    }


def test_only_other_providers_of_the_real_engine_are_profiled(monkeypatch: pytest.MonkeyPatch) -> None:
    profiled = []

    def note(arm: Arm, **_: object) -> Profile:
        profiled.append(arm)
        return profile((9, 1), (9, 1))

    monkeypatch.setattr(placement, "profile_arm", note)
    arms = [Arm(engine="kokoro"), Arm(engine="scripted", provider="openvino"), ARM]
    found = verify_placement(arms, worker_factory=STAFF, voices=dict.fromkeys(arms, "v"), seed=1)
    assert profiled == [ARM]
    assert found.refusals == {}
    assert found.notes == (
        "placement: kokoro.openvino.tdefault: openvino ran 9 of 10 nodes in 90.0% of the time; CPU ran 1 (10.0%)",
    )


def test_a_run_shows_who_fell_back_and_measures_the_rest(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    fallen = "scripted.openvino.tdefault"
    placement_check = PlacementCheck(
        refusals={fallen: "fell back to the CPU: 2 of 100 nodes"}, notes=("placement: told",)
    )
    monkeypatch.setattr("harness.runner.side_tasks.verify_placement", lambda *_, **__: placement_check)
    finished = lab.run(requests=[ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",))], provider="cpu,openvino")
    failed = [each for each in finished.data.verdicts if each.kind is VerdictKind.FAILED]
    assert [each.scenario_id for each in failed] == [f"{fallen}/whole/chars-12/af_heart"]
    assert "fell back to the CPU: 2 of 100 nodes" in failed[0].reason
    assert {each.scenario_id for each in finished.data.repetitions} == {"scripted.cpu.tdefault/whole/chars-12/af_heart"}
    assert "placement: told" in finished.data.run.notes
    assert finished.code is ExitCode.MEASUREMENT


class TestBadProviders:
    """Each costs its own scenarios and has its reason in the table; the CPU is measured beside it."""

    REQUESTS = (ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",)),)

    def lines(self, lab: Laboratory) -> dict[str, tuple[str, bool]]:
        """Arm → its remark, and whether it has a latency."""
        finished = lab.run(requests=self.REQUESTS, provider="cpu,openvino")
        assert finished.code is ExitCode.MEASUREMENT
        return {line.id: (line.remark, "latency" in line.figures) for line in arms(finished.data).lines}

    def test_one_that_crashes_the_process(self, lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
        load = ScriptedHandle.load
        reason = "the worker ended while loading: killed by SIGSEGV"

        def crash(handle: ScriptedHandle, order: LoadOrder, *, timeout_s: float) -> Launch:
            if order.engine.provider == "openvino":
                raise WorkerLost(OutcomeKind.CRASHED, reason, "the end of its stderr")
            return load(handle, order, timeout_s=timeout_s)

        monkeypatch.setattr(ScriptedHandle, "load", crash)
        assert self.lines(lab) == {
            "scripted.cpu.tdefault": ("", True),
            "scripted.openvino.tdefault": (f"crashed: {reason}", False),
        }

    def test_one_that_loads_and_computes_nonsense(self, lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
        load, synthesise = ScriptedHandle.load, ScriptedHandle.synthesise
        providers: dict[ScriptedHandle, object] = {}

        def loaded(handle: ScriptedHandle, order: LoadOrder, *, timeout_s: float) -> Launch:
            providers[handle] = order.engine.provider
            return load(handle, order, timeout_s=timeout_s)

        def nonsense(handle: ScriptedHandle, order: SynthesisOrder, *, timeout_s: float) -> Repetition:
            repetition = synthesise(handle, order, timeout_s=timeout_s)
            if providers.get(handle) == "openvino" and order.audio_path:
                noise = np.random.default_rng(0).standard_normal(np.load(order.audio_path).shape)
                np.save(order.audio_path, (0.1 * noise).astype(np.float32))
            return repetition

        monkeypatch.setattr(ScriptedHandle, "load", loaded)
        monkeypatch.setattr(ScriptedHandle, "synthesise", nonsense)
        found = self.lines(lab)
        assert found["scripted.cpu.tdefault"] == ("", True)
        remark, _measured = found["scripted.openvino.tdefault"]
        assert remark.startswith("It sounds wrong: ")
        assert "mcd" in remark or "distortion" in remark
