import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.gate import run_gate
from harness.analysis.stats.comparison import AgainstBaseline, BaselineRun, Comparison, Duel
from harness.analysis.stats.grouped import Grouped, flat
from harness.core.records.verdict import Verdict, VerdictKind
from harness.metrics.values import Counts, Values, paired_log_ratios

WORSE = {VerdictKind.IMPROVED: -1, VerdictKind.UNCHANGED: 0, VerdictKind.INCONCLUSIVE: 0, VerdictKind.REGRESSED: 1}

times = st.lists(st.lists(st.floats(0.01, 100), min_size=1, max_size=8), min_size=2, max_size=5).map(
    lambda table: tuple(tuple(launch) for launch in table)
)
noise = st.builds(
    lambda seed, sd, launches, blocks, tails: tuple(
        map(tuple, (sd * np.random.default_rng(seed).standard_t(tails, (launches, blocks))).tolist())
    ),
    st.integers(0, 10**6),
    st.floats(0.002, 0.1),
    st.integers(2, 6),
    st.integers(2, 9),
    st.sampled_from([2, 3, 30]),
)


def shifted(pairs: Grouped, by: float) -> Grouped:
    return tuple(tuple(value + by for value in launch) for launch in pairs)


def duel(pairs: Grouped, name: str = "s", *, higher_is_better: bool = False) -> Comparison:
    return Comparison(
        scenario_id=name, metric="m", tolerance=0.03, data=Duel(pairs=pairs), higher_is_better=higher_is_better
    )


def against(values: Grouped, log_medians: list[float]) -> Comparison:
    runs = tuple(BaselineRun(run_id=str(i), log_median=m, n=24, launches=3) for i, m in enumerate(log_medians))
    return Comparison(scenario_id="s", metric="m", tolerance=0.03, data=AgainstBaseline(values=values, runs=runs))


def only(comparison: Comparison) -> Verdict:
    (verdict,) = run_gate([comparison])
    return verdict


@given(times)
def test_a_duel_of_the_same_figures_is_never_a_change(values: Grouped) -> None:
    blocks = tuple(tuple(range(len(launch))) for launch in values)
    arm = Values(metric="m", counts=Counts(), grouped=values, launches=tuple(range(len(values))), blocks=blocks)
    verdict = only(duel(paired_log_ratios(arm, arm)))
    if len(flat(values)) >= 3:
        assert verdict.kind is VerdictKind.UNCHANGED
    else:
        assert verdict.kind is VerdictKind.INCONCLUSIVE


@given(times, st.integers(1, 12))
def test_a_run_against_itself_as_the_baseline_is_never_a_change(values: Grouped, copies: int) -> None:
    log_median = float(np.median([math.log(value) for value in flat(values)]))
    verdict = only(against(values, [log_median] * copies))
    assert verdict.kind in {VerdictKind.UNCHANGED, VerdictKind.INCONCLUSIVE}


@given(noise, st.floats(-0.3, 0.3), st.floats(0.0, 0.3))
def test_a_larger_slowdown_is_never_judged_milder(pairs: Grouped, by: float, more: float) -> None:
    smaller, larger = only(duel(shifted(pairs, by))), only(duel(shifted(pairs, by + more)))
    assert WORSE[smaller.kind] <= WORSE[larger.kind]


@settings(max_examples=40)
@given(st.lists(noise, min_size=2, max_size=8), st.floats(0.0, 0.3))
def test_a_larger_slowdown_among_other_pairs_is_never_judged_milder(duels: list[Grouped], more: float) -> None:
    others = [duel(pairs, f"s{i}") for i, pairs in enumerate(duels[1:])]
    before = run_gate([duel(duels[0]), *others])
    after = run_gate([duel(shifted(duels[0], more)), *others])
    assert WORSE[before[0].kind] <= WORSE[after[0].kind]


@given(noise, st.floats(-0.3, 0.3))
def test_swapping_the_arms_swaps_better_and_worse(pairs: Grouped, by: float) -> None:
    ours = shifted(pairs, by)
    theirs = tuple(tuple(-value for value in launch) for launch in ours)
    one, other = only(duel(ours)), only(duel(theirs))
    assert WORSE[one.kind] == -WORSE[other.kind]
    assert (one.kind is VerdictKind.UNCHANGED) == (other.kind is VerdictKind.UNCHANGED)


@given(noise, st.floats(-0.3, 0.3))
def test_more_being_better_is_the_same_as_swapping_the_arms(pairs: Grouped, by: float) -> None:
    ours = shifted(pairs, by)
    theirs = tuple(tuple(-value for value in launch) for launch in ours)
    assert only(duel(ours, higher_is_better=True)).kind is only(duel(theirs)).kind


@given(noise, st.floats(-0.2, 0.2), st.floats(0.001, 1000))
def test_the_unit_of_a_time_decides_nothing(pairs: Grouped, by: float, unit: float) -> None:
    rng = np.random.default_rng(1)
    medians = [float(m) for m in rng.normal(0, 0.01, 10)]
    values = tuple(tuple(math.exp(value + by) for value in launch) for launch in pairs)
    scaled = tuple(tuple(value * unit for value in launch) for launch in values)
    one = only(against(values, medians))
    other = only(against(scaled, [median + math.log(unit) for median in medians]))
    assert one.change is not None
    assert other.change is not None
    assert math.isclose(one.change.point, other.change.point, abs_tol=1e-9)
    assert math.isclose(one.change.high, other.change.high, abs_tol=1e-6)


@settings(max_examples=40)
@given(st.lists(st.tuples(noise, st.floats(-0.2, 0.2)), min_size=1, max_size=10))
def test_the_stored_interval_always_says_what_the_verdict_says(duels: list[tuple[Grouped, float]]) -> None:
    for verdict in run_gate([duel(shifted(pairs, by), f"s{i}") for i, (pairs, by) in enumerate(duels)]):
        change, tolerance = verdict.change, verdict.tolerance
        assert tolerance == math.log1p(0.03)
        if verdict.kind is VerdictKind.INCONCLUSIVE:
            assert verdict.advice
            continue
        assert change is not None
        if verdict.kind is VerdictKind.UNCHANGED:
            assert -tolerance < change.low <= change.high < tolerance
        elif verdict.kind is VerdictKind.REGRESSED:
            assert change.low > 0
            assert change.point >= tolerance
        else:
            assert change.high < 0
            assert change.point <= -tolerance
