from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.analysis.explain import differences_from_accepted
from harness.core.records.environment import Conditions, Machine, Subject
from harness.core.records.repetition import Disturbance, Phase, Repetition
from harness.core.records.run import RunData, RunRecord, Setting
from harness.core.records.scenario import Arm, Mode, ModelVariant, Scenario
from harness.core.records.verdict import Estimate, Verdict, VerdictKind
from harness.store.baseline_files import PromotedRun

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
    def make(
        *,
        model: ModelVariant | None = MODEL,
        disturbed: int = 0,
        of: int = 10,
        slowed: int = 1_500_000_000,
        **subject: object,
    ) -> RunData:
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
                end_ns=(slowed if number < disturbed else 1_000_000_000) + number * 1_000_000,
                disturbance=Disturbance(marks=("steal",) if number < disturbed else ()),
            )
            for number in range(of)
        )
        return RunData(run=run, repetitions=repetitions)

    return make


def suspects(accepted: PromotedRun, data: RunData, *, metric: str = "latency", worse: bool = True) -> tuple[str, ...]:
    size = 0.3 if worse else -0.3
    change = Estimate(point=size, low=size, high=size, level=0.99, method="", n=10, launches=1)
    verdict = Verdict(
        scenario_id=data.run.scenarios[0].id,
        metric=metric,
        kind=VerdictKind.REGRESSED if worse else VerdictKind.IMPROVED,
        change=change,
    )
    return tuple(each.sentence for each in differences_from_accepted(accepted, data, verdict))


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


class TestTheMachine:
    """Other work on it is a suspect where it was shown to have made the figure worse."""

    def test_it_is_named_with_what_it_added(self, accepted: PromotedRun, observed: Callable[..., RunData]) -> None:
        (told,) = suspects(accepted, observed(disturbed=4))
        # Four of ten took half a second more; a median of 1.01 s is 0.26 s above the accepted one.
        said = "4 of 10 repetitions were disturbed by other work on the machine"
        assert told == f"{said}: +198 ms (+197 ms to +199 ms at 99 %) of +261 ms"

    def test_disturbance_that_added_nothing_is_not_named(
        self, accepted: PromotedRun, observed: Callable[..., RunData]
    ) -> None:
        assert suspects(accepted, observed(disturbed=4, slowed=1_000_000_000)) == ()

    def test_it_makes_nothing_better(self, accepted: PromotedRun, observed: Callable[..., RunData]) -> None:
        assert suspects(accepted, observed(disturbed=4), worse=False) == ()

    @pytest.mark.parametrize("disturbed", [1, 10])
    def test_too_few_of_a_kind_show_nothing(
        self, accepted: PromotedRun, observed: Callable[..., RunData], disturbed: int
    ) -> None:
        assert suspects(accepted, observed(disturbed=disturbed)) == ()


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
        model=replace(MODEL, sha256="cd" * 32), packages=(("onnxruntime", "1.31.1"),), dirty=True, disturbed=5
    )
    assert [each.split()[0] for each in suspects(accepted, data)] == ["the", "kokoro-onnx", "uncommitted", "5"]
