"""Why two arms differ: what moved of a figure of time and of one of memory, and what differs between the arms."""

from dataclasses import replace
from typing import Any

import pytest

from harness.measure.operators import Profile
from harness.plan.matrix import Wish
from harness.records.repetition import Phase
from harness.records.run import RunData
from harness.records.scenario import Mode
from harness.suspects import STAGES, operator_suspects, suspects_of
from tests.conftest import Laboratory

MB = 1_000_000
MODELS_DIFFER = "model scripted → scripted-8bit (104.9 → 83.9 MB)"
WISH = Wish(mode=Mode.WHOLE, texts=("chars-12",))


def profile(**milliseconds: float) -> Profile:
    return Profile(operators={name: 1e3 * each for name, each in milliseconds.items()})


class TestOperatorSuspects:
    def test_those_that_moved_come_the_strongest_first_and_the_others_not_at_all(self) -> None:
        ours = profile(Conv=70.0, LSTM=20.0, ConvInteger=15.0, Add=10.5)
        theirs = profile(Conv=60.0, LSTM=30.0, Add=10.0)
        assert operator_suspects(ours, theirs) == [
            "operator ConvInteger: +15.0% of all nodes' time (0.0 → 15.0 ms)",
            "operator Conv: +10.0% of all nodes' time (60.0 → 70.0 ms)",
            "operator LSTM: -10.0% of all nodes' time (30.0 → 20.0 ms)",
        ]

    def test_five_are_enough(self) -> None:
        names = [f"Op{number}" for number in range(9)]
        ours, theirs = profile(**dict.fromkeys(names, 2.0)), profile(**dict.fromkeys(names, 1.0))
        assert len(operator_suspects(ours, theirs)) == 5

    def test_without_a_profile_the_reason_is_said(self) -> None:
        said = operator_suspects(profile(Conv=1.0), Profile(reason="the engine wrote no profile"))
        assert said == ["operators: not profiled (the engine wrote no profile)"]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """The scripted model and its smaller one, which holds less and needs as much to speak."""
    lab = Laboratory(tmp_path_factory.mktemp("suspects"))
    data = lab.run(wishes=[WISH], model="scripted,scripted-8bit").data
    loaded = {scenario.arm.id: held for scenario, held in zip(data.run.scenarios, (300 * MB, 200 * MB), strict=True)}
    peaks = {scenario.id: loaded[scenario.arm.id] + 100 * MB for scenario in data.run.scenarios}
    return replace(
        data,
        launches=tuple(replace(each, rss_loaded=loaded[each.arm_id]) for each in data.launches),
        repetitions=tuple(
            replace(each, memory=replace(each.memory, peak=peaks[each.scenario_id])) for each in data.repetitions
        ),
    )


def told(metric: str, data: RunData, **changes: Any) -> tuple[str, ...]:
    """The suspects of the second scenario against the first, once its arm has `changes`."""
    reference, candidate = data.run.scenarios
    return suspects_of(metric, replace(candidate, arm=replace(candidate.arm, **changes)), reference, data)


def test_a_figure_of_time_is_explained_by_its_stages(both: RunData) -> None:
    for metric in ("latency", "rtf", "ttfa", "cpu_per_audio"):
        first, *others = told(metric, both)
        assert first.startswith("inference: -")
        assert others[-1] == MODELS_DIFFER


def test_one_of_memory_by_what_is_held_and_what_speaking_takes_and_by_no_stage(both: RunData) -> None:
    assert told("rss_peak", both) == ("once loaded: -25.0% of the whole (300.0 → 200.0 MB)", MODELS_DIFFER)
    needy = tuple(
        replace(each, memory=replace(each.memory, peak=each.memory.peak + 60 * MB))
        if each.phase is not Phase.MEASURED and "8bit" in each.scenario_id and each.memory.peak
        else each
        for each in both.repetitions
    )
    found = told("rss_peak", replace(both, repetitions=needy))
    assert found[:2] == (
        "once loaded: -25.0% of the whole (300.0 → 200.0 MB)",
        "speaking: +15.0% of the whole (100.0 → 160.0 MB)",
    )
    assert not any(suspect.split(":")[0] in STAGES for suspect in found)


def test_memory_that_was_not_read_accuses_no_part_of_it(both: RunData) -> None:
    unread = tuple(replace(each, rss_loaded=None) for each in both.launches)
    assert told("rss_peak", replace(both, launches=unread)) == (MODELS_DIFFER,)


@pytest.mark.parametrize("metric", ["latency", "rss_peak"])
def test_what_differs_between_the_arms_is_told_setting_by_setting(both: RunData, metric: str) -> None:
    options = (("arena", "off"), ("spinning", "off"))
    found = told(metric, both, session_options=options, threads=2, revision="0123456789ab")
    settings = ("threads default → 2", "revision work tree → 0123456789ab", "arena default → off")
    assert found[-4:] == (*settings, "spinning default → off")
