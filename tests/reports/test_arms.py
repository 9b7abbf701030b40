"""Models, providers and options side by side: each figure is one that was measured."""

import math
from dataclasses import replace
from statistics import median

import pytest

from harness.analysis.stats.paired import log_ratio_estimate
from harness.core.records.repetition import Outcome, OutcomeKind
from harness.core.records.run import RunData
from harness.core.records.scenario import Mode
from harness.core.records.verdict import Verdict, VerdictKind
from harness.metrics.derive import scenario_values
from harness.metrics.start_up import launch_figures
from harness.metrics.values import paired_log_ratios
from harness.plan.matrix import ScenarioRequest
from reports.text.format import percent, scale
from reports.views.arms import CHANGE, arms
from tests.conftest import Laboratory


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """Three arms: two models speak two texts, a third setting only the longer one."""
    lab = Laboratory(tmp_path_factory.mktemp("lab"))
    requests = (
        ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12", "chars-60")),
        ScenarioRequest(mode=Mode.WHOLE, texts=("chars-60",), changes=("threads=1",)),
    )
    return lab.run(requests=requests, model="scripted,scripted-8bit").data


def test_the_text_of_the_most_arms_is_shown_with_every_arm_that_was_to_speak_it(data: RunData) -> None:
    found = arms(data)
    assert found.request == "chars-60, whole"
    assert [line.id for line in found.lines] == [
        "scripted.cpu.tdefault",
        "scripted-8bit.cpu.tdefault",
        "scripted.cpu.t1",
        "scripted-8bit.cpu.t1",
    ]
    assert found.reference == "scripted.cpu.tdefault"


def test_figures_are_the_medians_of_that_text_and_of_the_starts(data: RunData) -> None:
    found = arms(data)
    medians = {
        each.scenario_id: each.median
        for each in data.summaries
        if each.metric == "rtf" and "chars-60" in each.scenario_id
    }
    on = scale("rtf", list(medians.values()))
    for line in found.lines:
        assert line.figures["rtf"] == on.full(medians[f"{line.id}/whole/chars-60/af_heart"])
        starts = [launch_figures(each)["load_time"].value for each in data.launches if each.arm_id == line.id]
        assert line.figures["load_time"].startswith(f"{median(each for each in starts if each):.2f}")


def test_the_change_is_pair_by_pair_against_the_original_that_has_none(data: RunData) -> None:
    found = {line.id: line for line in arms(data).lines}
    assert CHANGE not in found["scripted.cpu.tdefault"].figures
    latencies = {
        each.arm.id: scenario_values(each, data)["latency"]
        for each in data.run.scenarios
        if each.text_class == "chars-60"
    }
    pairs = paired_log_ratios(latencies["scripted-8bit.cpu.tdefault"], latencies["scripted.cpu.tdefault"])
    estimate = log_ratio_estimate(pairs, level=0.95)
    assert estimate is not None
    assert found["scripted-8bit.cpu.tdefault"].figures[CHANGE] == percent(math.expm1(estimate.point))


def test_of_a_duel_the_reference_is_the_side_that_its_verdicts_name(data: RunData) -> None:
    verdict = Verdict(
        scenario_id="scripted.cpu.tdefault/whole/chars-60/af_heart",
        metric="latency",
        kind=VerdictKind.INCONCLUSIVE,
        reference="scripted-8bit.cpu.tdefault",
    )
    found = arms(replace(data, verdicts=(verdict,)))
    assert found.reference == "scripted-8bit.cpu.tdefault"
    assert [line.id for line in found.lines if CHANGE not in line.figures] == ["scripted-8bit.cpu.tdefault"]


def test_an_arm_that_could_not_be_started_has_its_reason_in_place_of_figures(data: RunData) -> None:
    arm = "scripted-8bit.cpu.t1"
    refused = Outcome(kind=OutcomeKind.REFUSED, reason="provider 'rocm' is not in this build")
    lost = replace(
        data,
        launches=tuple(replace(each, outcome=refused) if each.arm_id == arm else each for each in data.launches),
        repetitions=tuple(each for each in data.repetitions if not each.scenario_id.startswith(arm)),
        summaries=tuple(each for each in data.summaries if not each.scenario_id.startswith(arm)),
    )
    (line,) = [line for line in arms(lost).lines if line.id == arm]
    assert line.remark == "refused: provider 'rocm' is not in this build"
    assert set(line.figures) == {"model_size"}


def test_what_is_fast_because_it_is_wrong_is_called_wrong(data: RunData) -> None:
    wrong = Verdict(
        scenario_id="scripted-8bit.cpu.tdefault/whole/chars-60/af_heart",
        metric="mcd",
        kind=VerdictKind.FAILED,
        reason="It sounds wrong: mcd 18.7 dB is beyond 5.2 dB",
    )
    lines = arms(replace(data, verdicts=(*data.verdicts, wrong))).lines
    assert [line.remark for line in lines] == ["", "It sounds wrong: mcd 18.7 dB is beyond 5.2 dB", "", ""]


def test_start_up_alone_has_nothing_side_by_side(tmp_path_factory: pytest.TempPathFactory) -> None:
    lab = Laboratory(tmp_path_factory.mktemp("lab"))
    assert arms(lab.run(requests=(ScenarioRequest(mode=Mode.LOAD_WARM),)).data).lines == ()
