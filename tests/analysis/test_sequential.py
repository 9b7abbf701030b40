import numpy as np
import pytest

from harness.analysis.gate import run_gate
from harness.analysis.sequential import StoppingRule, blocks_in
from harness.analysis.stats.comparison import Comparison, Duel, Policy
from harness.analysis.stats.grouped import Grouped
from harness.analysis.stats.paired import deferred_estimates
from harness.core.errors import UsageError
from harness.core.records.verdict import VerdictKind


def table(shift: float, *, sd: float, blocks: int = 12, seed: int = 1) -> Grouped:
    return tuple(map(tuple, np.random.default_rng(seed).normal(shift, sd, (3, blocks)).tolist()))


def duel(shift: float, *, sd: float = 0.01) -> Comparison:
    return Comparison(scenario_id="s", metric="m", tolerance=0.025, data=Duel(pairs=table(shift, sd=sd)))


@pytest.mark.parametrize(
    ("planned", "analyses"),
    [(72, (9, 18, 36, 72)), (24, (6, 12, 24)), (11, (11,)), (13, (6, 13)), (1, (1,))],
)
def test_looks_are_halves_of_halves_of_the_plan(planned: int, analyses: tuple[int, ...]) -> None:
    assert StoppingRule(planned_blocks=planned).planned_analyses() == analyses


def test_the_shares_of_all_looks_are_the_whole_error() -> None:
    rule = StoppingRule(planned_blocks=72)
    shares = [rule.alpha_spent(look) for look in rule.planned_analyses()]
    assert shares == pytest.approx([1 / 64, 3 / 64, 12 / 64, 48 / 64])
    assert sum(shares) == pytest.approx(1.0)


@pytest.mark.parametrize(("ended", "left"), [(5, 1.0), (10, 63 / 64), (40, 48 / 64), (71, 48 / 64), (73, 48 / 64)])
def test_a_run_ended_elsewhere_spends_what_its_looks_have_left(ended: int, left: float) -> None:
    assert StoppingRule(planned_blocks=72).alpha_spent(ended) == pytest.approx(left)


def test_between_looks_nothing_is_decided() -> None:
    decision = StoppingRule(planned_blocks=72).after(35, [duel(0.5)])
    assert not decision.stop
    assert decision.reason == "the next analysis is at block 36"


def test_a_clear_regression_stops_at_a_look_and_its_share_judges_it() -> None:
    rule = StoppingRule(planned_blocks=72)
    decision = rule.after(36, [duel(0.05)])
    assert decision.stop
    assert decision.share == pytest.approx(12 / 64)
    (verdict,) = run_gate([duel(0.05)], share=decision.share)
    assert verdict.kind is VerdictKind.REGRESSED
    assert verdict.change is not None
    assert 1 - verdict.change.level == pytest.approx(0.01 * 12 / 64)


def test_one_open_pair_goes_on_and_the_plan_ends_it() -> None:
    rule = StoppingRule(planned_blocks=72)
    comparisons = [duel(0.05), duel(0.02, sd=0.05)]
    decision = rule.after(36, comparisons)
    assert not decision.stop
    assert decision.reason == "1 gated pair undecided"
    end = rule.after(72, comparisons)
    assert end.stop
    assert end.reason == "the planned 72 blocks are done"
    assert end.share == pytest.approx(0.75)


def test_a_budget_without_a_block_is_refused() -> None:
    assert blocks_in(60.0, seconds_per_block=2.5) == 24
    with pytest.raises(UsageError, match="single block") as refused:
        StoppingRule(planned_blocks=blocks_in(1.0, seconds_per_block=2.5))
    assert (refused.value.where, refused.value.remedy) == ("--budget", "give it more time")


@pytest.mark.parametrize(
    ("planned", "reason"), [(1, "the one block that fits is done"), (2, "the planned 2 blocks are done")]
)
def test_the_plans_end_is_named(planned: int, reason: str) -> None:
    assert StoppingRule(planned_blocks=planned).after(planned, []).reason == reason


def test_open_pairs_are_counted() -> None:
    open_pair = duel(0.02, sd=0.05)
    reasons = [StoppingRule(planned_blocks=72).after(36, [open_pair] * number).reason for number in (1, 2, 3)]
    assert reasons == ["1 gated pair undecided", "2 gated pairs undecided", "3 gated pairs undecided"]


def test_a_look_judges_by_the_duels_policy() -> None:
    clear = [duel(0.05)]
    assert StoppingRule(planned_blocks=72).after(36, clear).stop
    assert not StoppingRule(planned_blocks=72, policy=Policy(min_launches=4)).after(36, clear).stop


def test_what_only_the_whole_error_would_decide_does_not_stop_a_duel_early() -> None:
    # The look at half of the plan may spend 12/64 of the error. A change that is certain at 0.5 % alone is not enough.
    rule = StoppingRule(planned_blocks=72)
    (deferred,) = deferred_estimates([table(0.0, sd=0.05)])
    assert deferred is not None
    shift = deferred.half_width(0.005) - deferred.point
    (whole,) = run_gate([duel(shift, sd=0.05)])
    assert whole.kind is VerdictKind.REGRESSED
    assert not rule.after(36, [duel(shift, sd=0.05)]).stop


class TestTimeForTheCause:
    """The last analysis that leaves time for profiles lies between those of the plan."""

    RULE = StoppingRule(planned_blocks=72, last_chance=50)

    def test_it_is_one_of_the_analyses_whose_shares_are_the_whole_error(self) -> None:
        assert self.RULE.planned_analyses() == (9, 18, 36, 50, 72)
        assert sum(map(self.RULE.alpha_spent, self.RULE.planned_analyses())) == pytest.approx(1.0)

    def test_a_change_with_a_cause_ends_the_duel_there_and_only_there(self) -> None:
        both = [duel(0.5), duel(0.0, sd=0.5)]
        stops = {
            blocks: self.RULE.after(blocks, both, has_cause=lambda verdict: verdict.kind is VerdictKind.REGRESSED).stop
            for blocks in (36, 50)
        }
        assert stops == {36: False, 50: True}

    def test_without_a_change_the_duel_goes_on(self) -> None:
        assert not self.RULE.after(50, [duel(0.0, sd=0.5)], has_cause=lambda _: False).stop
