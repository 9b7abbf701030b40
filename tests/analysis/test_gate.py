import math
from dataclasses import replace

import numpy as np
import pytest

from harness.analysis.gate import check_targets, decide, exit_code, run_gate
from harness.analysis.stats.comparison import (
    AgainstBaseline,
    BaselineRun,
    Comparison,
    Duel,
    NotComparable,
    Policy,
    Target,
)
from harness.analysis.stats.grouped import Grouped
from harness.analysis.stats.paired import deferred_estimates
from harness.core.errors import ExitCode, UsageError
from harness.core.records.value import known, unknown
from harness.core.records.verdict import Estimate, Leniency, TargetKind, TargetResult, Verdict, VerdictKind, Waiver
from harness.metrics.metric import RunSpread


def noise(seed: int, *, shift: float = 0.0, sd: float = 0.01, launches: int = 3, blocks: int = 8) -> Grouped:
    table = np.random.default_rng(seed).normal(shift, sd, (launches, blocks))
    return tuple(tuple(float(value) for value in row) for row in table)


def duel(pairs: Grouped, *, tolerance: float = 0.025, higher_is_better: bool = False) -> Comparison:
    return Comparison(
        scenario_id="s",
        metric="latency",
        tolerance=tolerance,
        data=Duel(pairs=pairs),
        higher_is_better=higher_is_better,
        seconds_per_value=2.5,
    )


def baseline(values: Grouped, runs: int, *, run_id: str = "r7") -> Comparison:
    medians = np.random.default_rng(5).normal(0.0, 0.005, runs)
    accepted = tuple(
        BaselineRun(run_id=f"b{i}", log_median=float(median), n=24, launches=3) for i, median in enumerate(medians)
    )
    return Comparison(
        scenario_id="s",
        metric="latency",
        tolerance=0.05,
        data=AgainstBaseline(values=values, runs=accepted),
        run_id=run_id,
    )


def estimate(*, low: float, point: float, high: float) -> Estimate:
    return Estimate(point=point, low=low, high=high, level=0.99, method="", n=9, launches=3)


@pytest.mark.parametrize(
    ("low", "point", "high", "kind"),
    [
        (0.01, 0.05, 0.09, VerdictKind.REGRESSED),
        (0.001, 0.02, 0.03, VerdictKind.REGRESSED),
        (0.0, 0.05, 0.1, VerdictKind.INCONCLUSIVE),
        (-0.001, 0.05, 0.1, VerdictKind.INCONCLUSIVE),
        (0.001, 0.019, 0.021, VerdictKind.INCONCLUSIVE),
        (0.001, 0.010, 0.019, VerdictKind.UNCHANGED),
        (-0.019, 0.0, 0.019, VerdictKind.UNCHANGED),
        (-0.02, 0.0, 0.019, VerdictKind.INCONCLUSIVE),
        (-0.019, 0.0, 0.02, VerdictKind.INCONCLUSIVE),
        (-0.09, -0.05, -0.01, VerdictKind.IMPROVED),
        (-0.09, -0.05, 0.0, VerdictKind.INCONCLUSIVE),
        (-0.03, -0.02, -0.001, VerdictKind.IMPROVED),
        (-0.03, -0.019, -0.001, VerdictKind.INCONCLUSIVE),
    ],
)
def test_the_table_of_verdicts(low: float, point: float, high: float, kind: VerdictKind) -> None:
    assert decide(estimate(low=low, point=point, high=high), 0.02) is kind


def test_a_planted_slowdown_regresses_a_speedup_improves_and_nothing_is_unchanged() -> None:
    kinds = [verdict.kind for verdict in run_gate([duel(noise(1, shift=s)) for s in (0.05, -0.05, 0.0)])]
    assert kinds == [VerdictKind.REGRESSED, VerdictKind.IMPROVED, VerdictKind.UNCHANGED]


def test_where_more_is_better_the_sign_turns() -> None:
    (verdict,) = run_gate([duel(noise(1, shift=-0.05), higher_is_better=True)])
    assert verdict.kind is VerdictKind.REGRESSED
    assert verdict.change is not None
    assert verdict.change.point > 0.04


def test_a_regression_stores_the_interval_that_decided_it_and_the_tolerance_as_a_log_ratio() -> None:
    (verdict,) = run_gate([duel(noise(1, shift=0.05))])
    assert verdict.change is not None
    assert verdict.change.low > 0
    assert verdict.tolerance == math.log1p(0.025)
    # One pair: H₁ = 1, so the whole per cent is its own.
    assert verdict.change.level == pytest.approx(0.99)
    assert verdict.detectable is not None
    assert verdict.tolerance < verdict.detectable < 0.05


def test_sixty_pairs_are_read_at_the_level_of_benjamini_and_yekutieli() -> None:
    verdicts = run_gate([duel(noise(seed, shift=0.1 if seed < 2 else 0.0, launches=12)) for seed in range(60)])
    unit = 0.01 / (60 * sum(1 / k for k in range(1, 61)))
    worse = [v for v in verdicts if v.kind is VerdictKind.REGRESSED]
    level = [1 - v.change.level for v in worse if v.change]
    assert [v.kind for v in verdicts[:2]] == [VerdictKind.REGRESSED] * 2
    assert level == pytest.approx([2 * unit, 2 * unit])
    same = [1 - v.change.level for v in verdicts if v.change and v.kind is VerdictKind.UNCHANGED]
    assert same == pytest.approx([len(same) * unit] * len(same)), "equivalences are a family of their own"


def test_duels_of_the_fewest_launches_that_decide_count_in_the_run() -> None:
    verdicts = run_gate([duel(noise(seed, shift=0.3, launches=2)) for seed in (1, 2)])
    assert [verdict.kind for verdict in verdicts] == [VerdictKind.REGRESSED] * 2
    # Two p-values, both rejected: α = 2 · 0.01 / (2 · (1 + 1/2)).
    assert [1 - v.change.level for v in verdicts if v.change] == pytest.approx([0.01 / 1.5] * 2)


def test_a_look_before_the_last_reads_both_families_at_its_share() -> None:
    verdicts = run_gate([duel(noise(1, shift=0.3)), duel(noise(2))], share=0.25)
    assert [verdict.kind for verdict in verdicts] == [VerdictKind.REGRESSED, VerdictKind.UNCHANGED]
    # Two pairs, one p-value rejected in each family: α = 0.25 · 0.01 / (2 · (1 + 1/2)).
    assert [1 - v.change.level for v in verdicts if v.change] == pytest.approx([0.25 * 0.01 / 3] * 2)


def test_duels_are_estimated_with_their_scenarios_and_the_presumed_scatter_of_launches() -> None:
    tables = [noise(1), noise(2), noise(3)]
    names = ["one", "one", "other"]
    policy = Policy(launch_inflation=3.0, launch_sd=0.004)
    compared = [replace(duel(pairs), scenario_id=name) for pairs, name in zip(tables, names, strict=True)]
    expected = deferred_estimates(tables, scenarios=names, launch_inflation=3.0, launch_sd=0.004)
    for verdict, deferred in zip(run_gate(compared, policy), expected, strict=True):
        assert verdict.change is not None
        assert deferred is not None
        assert verdict.change == deferred.estimate(verdict.change.level)
    # Each of the three makes a difference here.
    for less in (
        deferred_estimates(tables, launch_inflation=3.0, launch_sd=0.004),
        deferred_estimates(tables, scenarios=names, launch_sd=0.004),
        deferred_estimates(tables, scenarios=names, launch_inflation=3.0),
    ):
        assert less[0] != expected[0]


@pytest.mark.parametrize(("scenarios", "pooled"), [(4, False), (5, True)])
def test_baselines_of_five_scenarios_moderate_one_another(scenarios: int, pooled: bool) -> None:  # noqa: FBT001
    values = tuple(tuple(math.exp(v) for v in launch) for launch in noise(1))
    # Three metrics each, so that there are enough spreads to learn from in both cases.
    compared = [
        replace(baseline(values, 6), scenario_id=f"s{number}", metric=metric)
        for number in range(scenarios)
        for metric in ("a", "b", "c")
    ]
    assert all(("shrunk towards" in verdict.reason) is pooled for verdict in run_gate(compared))


def test_verdicts_name_what_was_compared_against_what() -> None:
    nothing = Comparison(
        scenario_id="gone",
        metric="ttfa",
        tolerance=0.1,
        reference="main",
        data=NotComparable(kind=VerdictKind.MISSING, reason="", advice="look there"),
    )
    absent, measured = run_gate([nothing, replace(duel(noise(1)), reference="rev=HEAD~1")])
    assert (absent.scenario_id, absent.metric, absent.reference) == ("gone", "ttfa", "main")
    assert (absent.tolerance, absent.advice) == (math.log1p(0.1), "look there")
    assert (measured.scenario_id, measured.metric, measured.reference) == ("s", "latency", "rev=HEAD~1")
    assert measured.reason.endswith("99.0 %)"), "no rule stands behind a duel's interval"


def test_what_would_have_been_found_depends_on_the_asked_power() -> None:
    sizes = [run_gate([duel(noise(3, sd=0.05))], Policy(power=power))[0].detectable for power in (0.5, 0.9, 0.99)]
    assert None not in sizes
    assert sizes == sorted(sizes, key=lambda size: size or 0.0)
    assert len(set(sizes)) == 3


def test_figures_that_do_not_vary_are_known_exactly() -> None:
    same, slower = run_gate([baseline(((2.0,) * 3,) * 3, 1), baseline(((2.2,) * 3,) * 3, 1)])
    assert same.kind is VerdictKind.REGRESSED, "2.0 against an accepted e^0"
    one = BaselineRun(run_id="b", log_median=math.log(2.0), n=9, launches=3)
    kinds = []
    for value in (2.0, 2.2):
        data = AgainstBaseline(values=((value,) * 3,) * 3, runs=(one,))
        (verdict,) = run_gate([Comparison(scenario_id="s", metric="m", tolerance=0.05, data=data)])
        kinds.append(verdict.kind)
    assert kinds == [VerdictKind.UNCHANGED, VerdictKind.REGRESSED]
    assert slower.kind is VerdictKind.REGRESSED


def test_a_metric_that_repeats_exactly_needs_one_launch_of_one_value() -> None:
    one = BaselineRun(run_id="b", log_median=math.log(2.0), n=1, launches=1)
    kinds = []
    for value in (2.0, 2.2):
        data = AgainstBaseline(values=((value,),), runs=(one,), prior=RunSpread(sd=0.0, freedom=math.inf))
        (verdict,) = run_gate([Comparison(scenario_id="s", metric="m", tolerance=0.05, data=data)])
        kinds.append(verdict.kind)
    assert kinds == [VerdictKind.UNCHANGED, VerdictKind.REGRESSED]


def test_one_launch_decides_nothing_and_says_why() -> None:
    (verdict,) = run_gate([duel(noise(1, shift=0.2, launches=1, blocks=30))])
    assert verdict.kind is VerdictKind.INCONCLUSIVE
    assert "one launch" in verdict.reason
    assert "--launches 2" in verdict.advice


def test_an_undecided_duel_names_the_budget_that_would_settle_it() -> None:
    (verdict,) = run_gate([duel(noise(3, shift=0.01, sd=0.05))])
    assert verdict.kind is VerdictKind.INCONCLUSIVE
    assert "--budget" in verdict.advice
    assert "would have been found" in verdict.reason


def test_few_accepted_runs_state_the_presumed_spread() -> None:
    values = tuple(tuple(math.exp(v) for v in launch) for launch in noise(1))
    (verdict,) = run_gate([baseline(values, 2)])
    assert "spread between 2 accepted runs, shrunk towards an assumed 5 %" in verdict.reason
    assert "baseline promote" in verdict.advice


def test_no_accepted_run_is_a_verdict_with_the_command_that_makes_one() -> None:
    (verdict,) = run_gate([baseline(noise(1, shift=3.0), 0)])
    assert verdict.kind is VerdictKind.NO_BASELINE
    assert "`kokoro-bench baseline promote r7`" in verdict.advice


@pytest.mark.parametrize(
    "kind", [VerdictKind.MISSING, VerdictKind.FAILED, VerdictKind.INCOMPARABLE, VerdictKind.NO_BASELINE]
)
def test_what_cannot_be_compared_is_a_verdict_and_never_silence(kind: VerdictKind) -> None:
    data = NotComparable(kind=kind, reason="why")
    (verdict,) = run_gate([Comparison(scenario_id="s", metric="m", tolerance=0.05, data=data)])
    assert (verdict.kind, verdict.reason) == (kind, "why")
    assert "kokoro-bench" in verdict.advice


def test_values_without_a_ratio_are_incomparable() -> None:
    (verdict,) = run_gate([baseline(((0.0, 1.0), (1.0, 1.0)), 5)])
    assert verdict.kind is VerdictKind.INCOMPARABLE


def test_verdicts_keep_the_order_of_the_comparisons() -> None:
    missing = Comparison(
        scenario_id="gone", metric="m", tolerance=0.1, data=NotComparable(kind=VerdictKind.MISSING, reason="")
    )
    verdicts = run_gate([missing, duel(noise(1, shift=0.1)), missing, duel(noise(1))])
    assert [v.scenario_id for v in verdicts] == ["gone", "s", "gone", "s"]
    assert verdicts[1].kind is VerdictKind.REGRESSED


@pytest.mark.parametrize("tolerance", [0.0, -0.1, math.inf, math.nan])
def test_a_senseless_tolerance_is_refused(tolerance: float) -> None:
    with pytest.raises(UsageError, match="tolerance") as refused:
        run_gate([duel(noise(1), tolerance=tolerance)])
    assert refused.value.where == "s latency"
    assert "0.05" in refused.value.remedy


def target(value: float | None, *, limit: float = 0.8, higher_is_better: bool = False) -> Target:
    return Target(
        scenario_id="s",
        metric="ttfa",
        limit=limit,
        higher_is_better=higher_is_better,
        observed=unknown("no onset found") if value is None else known(value),
        interval=estimate(low=0.7, point=0.79, high=0.85),
    )


def test_targets_are_met_missed_or_unknown() -> None:
    results = check_targets(
        [
            target(0.79),
            target(0.81),
            target(0.8),
            target(0.95, higher_is_better=True),
            target(0.8, higher_is_better=True),
            target(None),
        ]
    )
    assert [r.kind for r in results] == [
        TargetKind.MET,
        TargetKind.MISSED,
        TargetKind.MISSED,
        TargetKind.MET,
        TargetKind.MISSED,
        TargetKind.UNKNOWN,
    ]
    assert results[1].reason == "0.81 is not below 0.8, but the limit lies within its interval, 0.7 to 0.85"
    assert results[5].reason == "no onset found"


def of(kind: VerdictKind) -> Verdict:
    return Verdict(scenario_id="s", metric="m", kind=kind)


def test_the_first_of_worse_measurement_undecided_gives_the_exit_code() -> None:
    strict = Policy(require_answer=True, require_baseline=True)
    missed: tuple[TargetResult, ...] = check_targets([target(0.9)])
    unsure = check_targets([target(None)])
    cases = [
        ([VerdictKind.REGRESSED, VerdictKind.FAILED, VerdictKind.INCONCLUSIVE], (), strict, ExitCode.WORSE),
        ([VerdictKind.FAILED], missed, strict, ExitCode.WORSE),
        ([VerdictKind.FAILED, VerdictKind.INCONCLUSIVE], (), strict, ExitCode.MEASUREMENT),
        ([VerdictKind.MISSING], (), Policy(), ExitCode.MEASUREMENT),
        ([VerdictKind.MISSING], (), Policy(allow_missing=True), ExitCode.OK),
        ([VerdictKind.INCONCLUSIVE], (), Policy(), ExitCode.OK),
        ([VerdictKind.INCONCLUSIVE], (), strict, ExitCode.UNDECIDED),
        ([VerdictKind.INCOMPARABLE], (), strict, ExitCode.UNDECIDED),
        ([VerdictKind.NO_BASELINE], (), Policy(require_answer=True), ExitCode.OK),
        ([VerdictKind.NO_BASELINE], (), strict, ExitCode.UNDECIDED),
        ([VerdictKind.IMPROVED, VerdictKind.UNCHANGED], unsure, Policy(), ExitCode.OK),
        ([VerdictKind.UNCHANGED], unsure, strict, ExitCode.UNDECIDED),
        ([], (), strict, ExitCode.OK),
    ]
    for kinds, targets, policy, expected in cases:
        assert exit_code([of(kind) for kind in kinds], targets, policy) is expected


class TestPolicy:
    """The user's policy: which metrics gate, and what is waived."""

    WORSE = noise(1, shift=0.10)

    def test_metric_that_informs_keeps_its_verdict_and_decides_nothing(self) -> None:
        policy = Policy(gate_metrics=("rtf",))
        [verdict] = run_gate([duel(self.WORSE)], policy)
        assert (verdict.kind, verdict.gates, verdict.leniency) == (VerdictKind.REGRESSED, False, Leniency.INFORMS)
        assert verdict.change is not None
        assert exit_code([verdict], [], policy) is ExitCode.OK

    def test_metrics_that_inform_change_no_level_of_those_that_gate(self) -> None:
        gating = [replace(duel(noise(seed)), metric="rtf") for seed in range(4)]
        informing = [duel(noise(seed, shift=0.1)) for seed in range(40)]
        policy = Policy(gate_metrics=("rtf",))
        assert run_gate([*informing, *gating], policy)[40:] == run_gate(gating, policy)
        assert run_gate([*informing, *gating])[40:] != run_gate(gating)

    def test_undecided_metric_that_informs_needs_no_answer(self) -> None:
        policy = Policy(gate_metrics=("rtf",), require_answer=True, require_baseline=True)
        few = [duel(((0.0, 0.1),)), baseline(noise(1), 0)]
        assert exit_code(run_gate(few, policy), [], policy) is ExitCode.OK
        assert exit_code(run_gate(few, replace(policy, gate_metrics=())), [], policy) is ExitCode.UNDECIDED

    def test_failure_decides_whichever_metric_names_it(self) -> None:
        lost = replace(duel(()), data=NotComparable(kind=VerdictKind.FAILED, reason="lost"))
        policy = Policy(gate_metrics=("rtf",))
        assert exit_code(run_gate([lost], policy), [], policy) is ExitCode.MEASUREMENT

    @pytest.mark.parametrize(("expired", "code"), [(False, ExitCode.OK), (True, ExitCode.WORSE)])
    def test_waiver_excuses_until_it_has_expired(self, *, expired: bool, code: ExitCode) -> None:
        waiver = Waiver(scenarios="*", metric="latency", reason="why", until="2026-12-31", expired=expired)
        [verdict] = run_gate([duel(self.WORSE)])
        waived = replace(verdict, waiver=waiver)
        assert (waived.kind, waived.change) == (VerdictKind.REGRESSED, verdict.change)
        assert (waived.fails, verdict.fails) == (expired, True)
        assert exit_code([waived], []) is code
        assert exit_code([waived, verdict], []) is ExitCode.WORSE
