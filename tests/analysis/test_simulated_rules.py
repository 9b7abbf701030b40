"""The simulations judge arrays; these tests hold them against the gate, and the gate against its promise."""

import math

import numpy as np
import pytest

from benchmarks import rules
from benchmarks.judge_simulations import main, sixty_baselines, sixty_duels
from benchmarks.noise import FAMILIES, log_times
from benchmarks.whole_run_table import MEMORY, counts, gated
from harness.analysis.gate import run_gate
from harness.analysis.stats.comparison import AgainstBaseline, BaselineRun, Comparison, Duel
from harness.core.records.verdict import VerdictKind
from harness.metrics.metric import RunSpread

TOLERANCE = 0.025


def kinds(comparisons: list[Comparison]) -> list[VerdictKind]:
    return [verdict.kind for verdict in run_gate(comparisons)]


@pytest.mark.parametrize("one_scenario", [True, False])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_duels_on_arrays_are_judged_as_the_gate_judges_them(family: str, *, one_scenario: bool) -> None:
    rng = np.random.default_rng(11)
    ratios = log_times(rng, family, (6, 12, 3, 8), cv=0.03) + rng.choice([0, 0, 0.05, -0.08], (6, 12, 1, 1))
    found = rules.gate_duels(ratios, tolerance=TOLERANCE, one_scenario=one_scenario)
    for run in range(6):
        verdicts = kinds(
            [
                Comparison(
                    scenario_id="s" if one_scenario else f"s{pair}",
                    metric=f"m{pair}",
                    tolerance=TOLERANCE,
                    data=Duel(pairs=tuple(map(tuple, ratios[run, pair].tolist()))),
                )
                for pair in range(12)
            ]
        )
        assert [kind is VerdictKind.REGRESSED for kind in verdicts] == list(found.worse[run])
        assert [kind is VerdictKind.IMPROVED for kind in verdicts] == list(found.better[run])
    assert found.worse.any()


@pytest.mark.parametrize("accepted", [2, 10])
def test_baselines_on_arrays_are_judged_as_the_gate_judges_them(accepted: int) -> None:
    rng = np.random.default_rng(12)
    medians = rng.normal(0, 0.01, (4, 12, accepted))
    values = rng.normal(0, 0.01, (4, 12, 3, 8)) + rng.choice([0, 0, 0.1, -0.9], (4, 12, 1, 1))
    new = np.median(values.reshape(4, 12, -1), -1)
    found = rules.gate_baselines(new, medians, tolerance=TOLERANCE)
    for run in range(4):
        verdicts = kinds(
            [
                Comparison(
                    scenario_id=f"s{pair}",
                    metric="m",
                    tolerance=TOLERANCE,
                    data=AgainstBaseline(
                        values=tuple(map(tuple, np.exp(values[run, pair]).tolist())),
                        runs=tuple(
                            BaselineRun(run_id=str(i), log_median=float(m), n=24, launches=3)
                            for i, m in enumerate(medians[run, pair])
                        ),
                    ),
                )
                for pair in range(12)
            ]
        )
        assert [kind is VerdictKind.REGRESSED for kind in verdicts] == list(found.worse[run])
        assert [kind is VerdictKind.IMPROVED for kind in verdicts] == list(found.better[run])
    assert found.better.any()


def test_the_rules_of_the_peers_by_hand() -> None:
    old = np.arange(100.0, 124.0).reshape(1, 1, 3, 8)
    assert not rules.pytest_benchmark(old * 1.0499, old)[0, 0]
    assert rules.pytest_benchmark(old * 1.0501, old)[0, 0]
    # The medians are 10 % apart, but half of the values lie below the other side's: no evidence.
    wild = np.where(np.arange(24).reshape(1, 1, 3, 8) < 11, 50.0, old * 1.1)
    assert rules.pytest_benchmark(wild, old)[0, 0]
    assert not rules.asv(wild, old)[0, 0]
    assert rules.asv(old + 20, old)[0, 0]
    # t = 5 / (7.0711 · √(2/24)) = 2.449 with 46 degrees of freedom, against 2.013.
    assert rules.pyperf(old + 5, old)[0, 0]
    assert not rules.pyperf(old + 4, old)[0, 0]
    assert not rules.pyperf(old - 5, old)[0, 0], "faster is no alarm"


@pytest.mark.parametrize("family", list(FAMILIES))
def test_sixty_pairs_without_a_change_raise_hardly_any_alarm(family: str) -> None:
    rng = np.random.default_rng(20240607)
    runs = 150
    quiet = rules.gate_duels(
        log_times(rng, family, (runs, 60, 3, 8), cv=0.06) - log_times(rng, family, (runs, 60, 3, 8), cv=0.06),
        tolerance=TOLERANCE,
    )
    # 1.5 runs are allowed on average; five or more would come by chance once in fifty.
    assert quiet.calls() <= 4
    medians = np.median(log_times(rng, family, (runs, 60, 11, 3, 8), cv=0.04).reshape(runs, 60, 11, 24), -1)
    medians += rng.normal(0, 0.01, (runs, 1, 11))
    assert rules.gate_baselines(medians[..., -1], medians[..., :-1], tolerance=TOLERANCE).calls() <= 4


def test_what_is_planted_in_a_duel_is_found() -> None:
    rng = np.random.default_rng(20240607)
    ratios = rng.normal(math.log(1.05), 0.03, (300, 1, 3, 8))
    assert rules.gate_duels(ratios, tolerance=TOLERANCE).worse.mean() > 0.93
    small = rng.normal(math.log(1.02), 0.03, (300, 1, 3, 24))
    assert rules.gate_duels(small, tolerance=0.01).worse.mean() > 0.90


def test_the_tables_name_every_rule_and_their_seed(capsys: pytest.CaptureFixture[str]) -> None:
    table = sixty_duels(np.random.default_rng(1), count=2) + sixty_baselines(np.random.default_rng(1), count=2)
    for name in ("the gate", "pytest-benchmark", "asv", "pyperf", *FAMILIES):
        assert table.count(name) >= 2
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--quick" in capsys.readouterr().out


def test_whole_runs_raise_hardly_any_alarm_against_one_accepted_run() -> None:
    names = gated(3, 1)
    sd = np.array([0.004 if name in MEMORY else 0.10 for name, _ in names])
    rng = np.random.default_rng(7)
    alarms, five, ten = counts(rng, names, tails="Gaussian", sd=sd, accepted=1, count=400)
    assert len(names) == 17
    assert alarms == 0
    assert five > 0.9 * 400
    assert ten == 400


def test_priors_on_arrays_are_judged_as_the_gate_judges_them() -> None:
    rng = np.random.default_rng(13)
    memory, times = RunSpread(sd=0.005, freedom=16.0), RunSpread(sd=0.05, freedom=4.0)
    priors = [memory, times] * 6
    medians = rng.normal(0, 0.003, (4, 12, 2))
    new = rng.choice([0.0, 0.06, -0.08], (4, 12))
    found = rules.gate_baselines(new, medians, tolerance=TOLERANCE, priors=priors)
    for run in range(4):
        verdicts = kinds(
            [
                Comparison(
                    scenario_id=f"s{pair}",
                    metric="m",
                    tolerance=TOLERANCE,
                    data=AgainstBaseline(
                        values=((math.exp(new[run, pair]),),) * 2,
                        runs=tuple(
                            BaselineRun(run_id=str(i), log_median=float(m), n=2, launches=2)
                            for i, m in enumerate(medians[run, pair])
                        ),
                        prior=priors[pair],
                    ),
                )
                for pair in range(12)
            ]
        )
        assert [kind is VerdictKind.REGRESSED for kind in verdicts] == list(found.worse[run])
        assert [kind is VerdictKind.IMPROVED for kind in verdicts] == list(found.better[run])
    assert found.worse[:, ::2].any()
    assert not found.worse[:, 1::2].any()
