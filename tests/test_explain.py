from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.explain import differences
from harness.records.environment import Conditions, Machine, Subject
from harness.records.repetition import Disturbance, Phase, Repetition
from harness.records.run import RunData, RunRecord, Setting
from harness.records.scenario import Arm, Mode, ModelVariant, Scenario
from harness.store.baselines import PromotedRun

MODEL = ModelVariant(name="replica", sha256="ab" * 32, size=1, origin="replica")
SCENARIO = Scenario(arm=Arm(engine="kokoro", model=MODEL), mode=Mode.WHOLE, text_class="chars-60", voice="af_heart")
PACKAGES = (("kokoro-onnx", "0.6.1"), ("onnxruntime", "1.31.1"))


@pytest.fixture
def accepted() -> PromotedRun:
    return PromotedRun(
        id="20260101-000000",
        date="2026-01-01T00:00:00+00:00",
        corpus="c" * 64,
        protocol=1,
        selection="quick",
        canary_numpy_ns=20_000_000,
        canary_graph_ns=30_000_000,
        packages=PACKAGES,
        revision="0123456789abcdef",
        dirty=False,
        model=MODEL.sha256,
    )


@pytest.fixture
def observed() -> Callable[..., RunData]:
    def make(*, model: ModelVariant | None = MODEL, disturbed: int = 0, of: int = 10, **subject: object) -> RunData:
        given = {"packages": PACKAGES, "revision": "0123456789abcdef", "dirty": False, **subject}
        scenario = replace(SCENARIO, arm=replace(SCENARIO.arm, model=model))
        run = RunRecord(
            id="20260202-000000",
            started_at=0.0,
            seed=0,
            selection="quick",
            machine=Machine(
                key="k", system="linux", architecture="x86_64", cpu="", logical_cpus=2, physical_cpus=2, memory=1
            ),
            conditions=Conditions(taken_at=0.0),
            subject=Subject(**given),  # type: ignore[arg-type]
            setting=Setting(corpus="c" * 64, protocol=1),
            scenarios=(scenario,),
            budget_s=1.0,
        )
        repetitions = tuple(
            Repetition(
                scenario_id=scenario.id,
                launch=0,
                block=number,
                position=0,
                phase=Phase.MEASURED,
                variant=0,
                characters=60,
                started_at=0.0,
                end_ns=1,
                disturbance=Disturbance(marks=("steal",) if number < disturbed else ()),
            )
            for number in range(of)
        )
        return RunData(run=run, repetitions=repetitions)

    return make


def suspects(accepted: PromotedRun, data: RunData, *, metric: str = "latency") -> tuple[str, ...]:
    return differences(accepted, data, data.run.scenarios[0].id, metric=metric)


def test_the_same_subject_on_a_quiet_machine_has_no_suspects(
    accepted: PromotedRun, observed: Callable[..., RunData]
) -> None:
    assert suspects(accepted, observed()) == ()


def test_another_model_is_told_by_its_digests(accepted: PromotedRun, observed: Callable[..., RunData]) -> None:
    data = observed(model=replace(MODEL, sha256="cd" * 32))
    assert suspects(accepted, data) == ("the model file differs (abababab → cdcdcdcd)",)


@pytest.mark.parametrize("model", [None, MODEL])
def test_without_two_models_there_is_nothing_to_compare(
    accepted: PromotedRun, observed: Callable[..., RunData], model: ModelVariant | None
) -> None:
    assert suspects(replace(accepted, model=""), observed(model=model)) == ()


def test_packages_are_told_by_what_they_were_and_are(accepted: PromotedRun, observed: Callable[..., RunData]) -> None:
    data = observed(packages=(("onnxruntime", "1.22.1"), ("numpy", "2.4.0")))
    assert suspects(accepted, data) == (
        "kokoro-onnx 0.6.1 → absent",
        "numpy absent → 2.4.0",
        "onnxruntime 1.31.1 → 1.22.1",
    )


def test_the_source_is_told_as_a_range_for_git(accepted: PromotedRun, observed: Callable[..., RunData]) -> None:
    data = observed(revision="fedcba9876543210", dirty=True)
    assert suspects(accepted, data) == ("source 01234567..fedcba98", "uncommitted changes in the work tree")


def test_an_unknown_revision_accuses_nobody(accepted: PromotedRun, observed: Callable[..., RunData]) -> None:
    assert suspects(accepted, observed(revision="")) == ()


@pytest.mark.parametrize(
    ("disturbed", "told"),
    [(1, ()), (2, ("2 of 10 repetitions were disturbed by other work on the machine",))],
)
def test_the_machine_is_a_suspect_from_a_fifth_of_disturbed_repetitions_on(
    accepted: PromotedRun, observed: Callable[..., RunData], disturbed: int, told: tuple[str, ...]
) -> None:
    assert suspects(accepted, observed(disturbed=disturbed)) == told


def test_of_memory_the_machines_other_work_is_no_suspect(
    accepted: PromotedRun, observed: Callable[..., RunData]
) -> None:
    data = observed(packages=(("kokoro-onnx", "0.6.1"), ("onnxruntime", "1.22.1")), disturbed=10)
    assert suspects(accepted, data, metric="rss_peak") == ("onnxruntime 1.31.1 → 1.22.1",)


def test_a_scenario_without_repetitions_says_nothing_of_the_machine(
    accepted: PromotedRun, observed: Callable[..., RunData]
) -> None:
    assert suspects(accepted, observed(of=0)) == ()


def test_the_strongest_comes_first(accepted: PromotedRun, observed: Callable[..., RunData]) -> None:
    data = observed(
        model=replace(MODEL, sha256="cd" * 32), packages=(("onnxruntime", "1.31.1"),), dirty=True, disturbed=10
    )
    assert [each.split()[0] for each in suspects(accepted, data)] == ["the", "kokoro-onnx", "uncommitted", "10"]
