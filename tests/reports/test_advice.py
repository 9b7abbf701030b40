"""What to take, by what was measured, with its evidence."""

from dataclasses import replace

import pytest

from harness.core.records.repetition import Outcome, OutcomeKind
from harness.core.records.run import RunData
from harness.core.records.scenario import Mode
from harness.plan.matrix import ScenarioRequest
from reports.views.advice import choices
from reports.views.compare import comparison_of_arms
from tests.conftest import Laboratory


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    lab = Laboratory(tmp_path_factory.mktemp("lab"))
    return lab.run(
        requests=(ScenarioRequest(mode=Mode.WHOLE, texts=("chars-60",)),), model="scripted,scripted-8bit"
    ).data


def test_the_faster_arm_is_named_with_its_lead_and_the_interval(data: RunData) -> None:
    found = choices(data)
    throughput = next(each for each in found.advice if each.purpose == "throughput")
    assert throughput.sentence.startswith("scripted-8bit; the second best, scripted, is")
    best, second = throughput.places
    assert (best.result, second.result) == ("best", "behind")
    assert found.common == "cpu, default threads, voice af_heart"
    # The 8-bit model takes 0.8 of the original's time; the noise is 2 %.
    assert 20 < float(second.behind.split("\u202f")[0]) < 30
    assert "pairs run in the same blocks" in throughput.basis
    assert [court.title for court in found.courts] == [
        "Real-time factor",
        "Mel-cepstral distortion",
        "Size of the model",
    ]
    assert found.sound_compared


def test_what_cannot_be_advised_for_one_reason_is_said_once(data: RunData) -> None:
    crash = Outcome(kind=OutcomeKind.CRASHED, reason="killed")
    lost = replace(data, repetitions=tuple(replace(each, outcome=crash) for each in data.repetitions))
    (advice,) = choices(lost).advice
    assert advice.purpose == "ttfa, throughput, memory and size"
    assert advice.sentence.startswith("No combination was validly measured: ")
    assert advice.sentence.endswith(".")


def test_one_arm_alone_is_no_choice(data: RunData) -> None:
    one = data.run.scenarios[0]
    alone = replace(data, run=replace(data.run, scenarios=(one,)))
    assert choices(alone).advice == ()


def test_a_run_is_no_duel(data: RunData) -> None:
    assert comparison_of_arms(data) is None
