"""Recommendations, on runs that are made up to the last figure."""

import math
from collections.abc import Mapping

import pytest

from harness.analysis.advice.messages import sentence
from harness.analysis.advice.recommend import OBJECTIVES, Recommendation, recommend
from harness.core.errors import UsageError
from harness.core.records.environment import Conditions, Machine, Subject
from harness.core.records.repetition import (
    AudioFeatures,
    ChunkMark,
    Memory,
    Outcome,
    OutcomeKind,
    Phase,
    Repetition,
)
from harness.core.records.run import RunData, RunRecord, Setting
from harness.core.records.scenario import Arm, Mode, ModelVariant, Scenario
from harness.core.records.verdict import Verdict, VerdictKind
from harness.metrics.registry import METRICS

FP32 = ModelVariant(name="replica", sha256="a" * 64, size=325_000_000, origin="replica")
U8 = ModelVariant(name="replica-u8", sha256="b" * 64, size=114_000_000, origin="quantised", parent="a" * 64)
PLAIN, ONE, QUANTISED = Arm(engine="kokoro", model=FP32), Arm(engine="kokoro", model=FP32, threads=1), Arm(
    engine="kokoro", model=U8
)  # fmt: skip
LAUNCHES, BLOCKS = 3, 4
RATE = 24_000
WOBBLE = (0.000, 0.010, -0.010, 0.004)
"""What a block does to every arm alike (log), and a little to one."""


def scenario(arm: Arm, text: str = "chars-60", mode: Mode = Mode.WHOLE) -> Scenario:
    return Scenario(arm=arm, mode=mode, text_class=text, voice="v")


def repetition(of: Scenario, launch: int, block: int, *, seconds: float, peak: int, valid: bool = True) -> Repetition:
    at = round(seconds * 1e9)
    return Repetition(
        scenario_id=of.id,
        launch=launch,
        block=launch * BLOCKS + block,
        position=0,
        phase=Phase.WARMUP if block < 0 else Phase.MEASURED,
        variant=0,
        characters=60,
        started_at=0.0,
        end_ns=at,
        chunks=(ChunkMark(at_ns=at, frames=4 * RATE),),
        memory=Memory(peak=peak),
        audio=AudioFeatures(
            sample_rate=RATE, frames=4 * RATE, sha256="0", finite=True, peak=0.5, rms_dbfs=-20.0, clipped_share=0.0,
            onset_frame=0,
        ),
        outcome=Outcome() if valid else Outcome(kind=OutcomeKind.ERROR, reason="it said no"),
    )  # fmt: skip


def run(
    seconds: Mapping[Scenario, float],
    *,
    peaks: Mapping[Scenario, int] | None = None,
    verdicts: tuple[Verdict, ...] = (),
    invalid: tuple[Scenario, ...] = (),
    run_id: str = "r1",
    machine: str = "here",
) -> RunData:
    """A run in which each block is as fast as another block is not, and each arm wobbles in its own way."""
    repetitions = []
    for place, (of, each) in enumerate(seconds.items()):
        peak = (peaks or {}).get(of, 500_000_000)
        for launch in range(LAUNCHES):
            repetitions.append(repetition(of, launch, -1, seconds=each, peak=peak))
            for block in range(BLOCKS):
                drift = 0.5 * launch + 0.2 * block
                wobble = WOBBLE[(block + place) % BLOCKS]
                repetitions.append(
                    repetition(
                        of, launch, block, seconds=each * math.exp(drift + wobble), peak=peak, valid=of not in invalid
                    )
                )
    head = RunRecord(
        id=run_id, started_at=0.0, seed=0, selection="full",
        machine=Machine(key=machine, system="s", architecture="a", cpu="c", logical_cpus=2, physical_cpus=2, memory=1),
        conditions=Conditions(taken_at=0.0), subject=Subject(), setting=Setting(corpus="c", protocol=1),
        scenarios=tuple(seconds), budget_s=1.0,
    )  # fmt: skip
    return RunData(run=head, repetitions=tuple(repetitions), verdicts=verdicts)


def chosen(*runs: RunData, goal: str = "ttfa") -> Recommendation:
    return recommend(runs, OBJECTIVES[goal])


def test_what_is_wanted_shrinks_as_it_gets_better() -> None:
    for objective in OBJECTIVES.values():
        assert METRICS[objective.metric].lower_is_better
        assert METRICS[objective.then].lower_is_better


def test_the_fastest_is_named_with_its_lead_over_the_second_although_the_machine_drifted() -> None:
    found = chosen(run({scenario(PLAIN): 1.0, scenario(ONE): 1.6, scenario(QUANTISED): 0.8}))
    assert [each.arm for each in found.candidates] == [QUANTISED, PLAIN, ONE]
    second = found.leads[0]
    assert second.arm == PLAIN
    assert second.behind is not None
    assert second.behind.point == pytest.approx(math.log(1.0 / 0.8), abs=0.01)
    assert second.behind.low > 0.15
    assert second.behind.level == pytest.approx(0.975), "two comparisons share the error"
    assert found.level_with == ()


def test_what_is_not_shown_to_be_worse_is_level() -> None:
    found = chosen(run({scenario(PLAIN): 1.0, scenario(QUANTISED): 1.004}))
    assert found.best.arm == PLAIN
    assert [lead.arm for lead in found.level_with] == [QUANTISED]


def test_texts_count_alike() -> None:
    seconds = {
        scenario(PLAIN): 1.0, scenario(PLAIN, "chars-200"): 3.0,
        scenario(QUANTISED): 0.5, scenario(QUANTISED, "chars-200"): 3.0,
    }  # fmt: skip
    found = chosen(run(seconds))
    assert found.texts == ("whole/chars-200/v", "whole/chars-60/v")
    assert found.best.arm == QUANTISED
    (lead,) = found.leads
    assert lead.behind is not None
    assert lead.behind.point == pytest.approx(math.log(2) / 2, abs=0.01)


def test_only_texts_that_most_arms_spoke_decide() -> None:
    seconds = {scenario(PLAIN): 1.0, scenario(ONE): 1.5, scenario(PLAIN, "chars-900"): 20.0}
    found = chosen(run(seconds))
    assert found.texts == ("whole/chars-60/v",)
    assert found.excluded == ()


def test_an_arm_without_the_common_text_is_left_out_and_says_so() -> None:
    seconds = {scenario(PLAIN): 1.0, scenario(ONE): 1.5, scenario(QUANTISED, "chars-900"): 0.1}
    found = chosen(run(seconds))
    assert [(each.arm_id, each.reason) for each in found.excluded] == [
        (QUANTISED.id, "not measured with whole/chars-60/v")
    ]


def test_what_sounds_wrong_is_not_chosen_however_fast_it_is() -> None:
    wrong = Verdict(
        scenario_id=scenario(QUANTISED).id, metric="mcd", kind=VerdictKind.FAILED, reason="It sounds wrong: 18.7 dB."
    )
    found = chosen(run({scenario(PLAIN): 1.0, scenario(QUANTISED): 0.1}, verdicts=(wrong,)))
    assert found.best.arm == PLAIN
    assert [(each.arm_id, each.reason) for each in found.excluded] == [(QUANTISED.id, "It sounds wrong: 18.7 dB.")]


def test_what_failed_now_and_then_is_not_chosen() -> None:
    found = chosen(run({scenario(PLAIN): 1.0, scenario(QUANTISED): 0.1}, invalid=(scenario(QUANTISED),)))
    assert found.best.arm == PLAIN
    assert [each.reason for each in found.excluded] == ["12 of 12 repetitions were not valid"]


def test_the_smallest_file_by_its_fastest_setting() -> None:
    small = Arm(engine="kokoro", model=U8, threads=1)
    found = chosen(run({scenario(PLAIN): 1.0, scenario(QUANTISED): 0.9, scenario(small): 1.4}), goal="size")
    assert [each.arm for each in found.candidates] == [QUANTISED, small, PLAIN]
    assert found.best.figure == pytest.approx(114_000_000)
    assert [lead.arm for lead in found.level_with] == [small]


def test_memory_is_compared_launch_by_launch() -> None:
    seconds = {scenario(PLAIN): 1.0, scenario(QUANTISED): 1.0}
    found = chosen(run(seconds, peaks={scenario(QUANTISED): 250_000_000}), goal="memory")
    assert found.best.arm == QUANTISED
    (lead,) = found.leads
    assert lead.behind is not None
    assert lead.behind.point == pytest.approx(math.log(2))
    assert lead.behind.n == LAUNCHES


def test_runs_are_pooled_and_never_paired_across() -> None:
    first = run({scenario(PLAIN): 1.0, scenario(QUANTISED): 0.8}, run_id="r1")
    second = run({scenario(ONE): 0.5}, run_id="r2")
    third = run({scenario(PLAIN): 10.0, scenario(QUANTISED): 8.0}, run_id="r3")
    found = chosen(first, third)
    (lead,) = found.leads
    assert lead.behind is not None
    assert (lead.behind.n, lead.behind.launches) == (24, 6)
    apart = chosen(first, second)
    assert apart.best.arm == ONE
    assert {each.arm for each in apart.too_few_pairs} == {PLAIN, QUANTISED}, "never played together: nothing is shown"
    assert apart.level_with == ()
    assert "too few pairs with" in sentence(apart)


def test_the_sentence_says_who_is_second_or_level() -> None:
    clear = sentence(chosen(run({scenario(PLAIN): 1.0, scenario(QUANTISED): 0.5})))
    assert clear.startswith("replica-u8.cpu.tdefault; the second best, replica.cpu.tdefault, is 100.")
    level = sentence(chosen(run({scenario(PLAIN): 1.0, scenario(QUANTISED): 1.004})))
    assert level.endswith("they are level, choose any of them.")
    assert sentence(chosen(run({scenario(PLAIN): 1.0}))).endswith("nothing else was measured to choose from.")


def test_other_machines_are_not_mixed() -> None:
    with pytest.raises(UsageError, match="different machines"):
        chosen(run({scenario(PLAIN): 1.0}), run({scenario(PLAIN): 1.0}, machine="there"))


def test_nothing_valid_is_said_with_the_reason() -> None:
    with pytest.raises(UsageError, match=r"validly measured: replica\.cpu\.tdefault: 12 of 12"):
        chosen(run({scenario(PLAIN): 1.0}, invalid=(scenario(PLAIN),)))
