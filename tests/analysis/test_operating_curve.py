import pytest
from scipy.stats import binomtest

from harness.analysis.operating_curve import Trial, operating_curves, rate


def trial(planted: float, *, regressed: bool = False, improved: bool = False, seconds: float = 58.0) -> Trial:
    return Trial(scenario_id="s", planted=planted, regressed=regressed, improved=improved, seconds=seconds)


def test_a_rate_has_its_exact_interval() -> None:
    found = rate(0, 100)
    assert (found.count, found.trials, found.low) == (0, 100, 0.0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 100))


@pytest.mark.parametrize(("count", "trials"), [(0, 1), (1, 1), (1, 40), (7, 40), (39, 40), (40, 40), (3, 1_000)])
def test_the_interval_is_that_of_clopper_and_pearson(count: int, trials: int) -> None:
    found, theirs = rate(count, trials), binomtest(count, trials).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_the_curve_counts_each_kind_of_alarm_and_each_size() -> None:
    trials = [trial(0.0)] * 97 + [trial(0.0, regressed=True)] * 2 + [trial(0.0, improved=True)]
    trials += [trial(0.05, regressed=True, seconds=40.0)] * 19 + [trial(0.05, seconds=60.0)]
    trials += [trial(0.02, regressed=True)] * 3 + [trial(0.02, improved=True)]
    (curve,) = operating_curves(trials)
    assert curve.false_alarms is not None
    assert curve.false_regressions is not None
    assert curve.false_improvements is not None
    assert (curve.false_regressions.count, curve.false_improvements.count, curve.false_alarms.count) == (2, 1, 3)
    assert [(point.size, point.found.count, point.found.trials) for point in curve.power] == [
        (0.02, 3, 4),
        (0.05, 19, 20),
    ]
    assert curve.power[1].seconds == 40.0
    assert curve.sentence() == (
        "calibrated here: 3 false alarms in 100 duels of an arm against itself (at most 8.5 % with 95 % confidence); "
        "a slowdown of 2 % found in 3 of 4, 58 s each; a slowdown of 5 % found in 19 of 20, 40 s each"
    )


def test_scenarios_keep_their_order() -> None:
    other = Trial(scenario_id="a", planted=0.0, regressed=False, improved=False, seconds=1.0)
    assert [curve.scenario_id for curve in operating_curves([trial(0.0), other, trial(0.0)])] == ["s", "a"]


def test_a_gate_whose_curve_is_unknown_says_so() -> None:
    (curve,) = operating_curves([trial(0.05, regressed=True)])
    assert curve.false_alarms is None
    assert curve.seconds is None
    assert "false alarm" not in curve.sentence()
