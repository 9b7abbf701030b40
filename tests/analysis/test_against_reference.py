"""A run against the accepted reference: which comparisons the gate decides, and what the verdicts say."""

from dataclasses import replace

import pytest

from harness.analysis.against_reference import AgainstReference, Replay, Replays, listed_differences
from harness.analysis.gate import run_gate
from harness.analysis.stats.comparison import AgainstBaseline, BaselineRun, Comparison, Duel, NotComparable, Policy
from harness.analysis.subjects import subject_of
from harness.core.records.differences import Difference
from harness.core.records.reference import Reference, ReferenceArm
from harness.core.records.run import RunData
from harness.core.records.verdict import VerdictKind
from tests.conftest import Laboratory

REMEMBERED = AgainstBaseline(
    values=((1.1, 1.1), (1.1, 1.1)),
    runs=tuple(BaselineRun(run_id=f"{n}", log_median=0.0, n=9, launches=3) for n in "ab"),
)


@pytest.fixture(scope="module")
def accepted_run(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    return Laboratory(tmp_path_factory.mktemp("run")).run().data


def accepted(data: RunData, *, packages: tuple[tuple[str, str], ...] = ()) -> ReferenceArm:
    arm = data.run.scenarios[0].arm
    subject = subject_of(arm, data)
    assert subject is not None
    return ReferenceArm(
        arm_id=arm.id,
        subject=replace(subject, packages=packages),
        run="r",
        date="2026-11-20T10:00:00+00:00",
        scenarios=tuple(each.id for each in data.run.scenarios),
    )


def comparison(data: RunData, given: AgainstBaseline | NotComparable | Duel) -> Comparison:
    return Comparison(scenario_id=data.run.scenarios[1].id, metric="latency", tolerance=0.05, data=given)


class TestSameSubject:
    def test_a_value_that_moved_is_no_finding(self, accepted_run: RunData) -> None:
        against = AgainstReference(accepted_run, Reference(arms=(accepted(accepted_run),)), Replays())
        (decided,) = against.decided_together([comparison(accepted_run, REMEMBERED)])
        assert isinstance(decided.data, NotComparable)
        assert decided.data.kind is VerdictKind.SAME_SUBJECT
        assert "since the acceptance of 2026-11-20 (run r); its median lies +10.0 %" in decided.data.reason

    def test_a_lost_scenario_stays_lost(self, accepted_run: RunData) -> None:
        against = AgainstReference(accepted_run, Reference(arms=(accepted(accepted_run),)), Replays())
        lost = comparison(accepted_run, NotComparable(kind=VerdictKind.FAILED, reason="gone"))
        assert against.decided_together([lost]) == [lost]


class TestAnotherSubject:
    def test_too_few_pairs_leave_the_remembered_values(self, accepted_run: RunData) -> None:
        arm = accepted(accepted_run, packages=(("numpy", "2.4.5"),))
        pair = comparison(accepted_run, Duel(pairs=((0.1,), (0.1,))))
        replay = Replay(arm_id=arm.arm_id, accepted=arm, run_id="p", comparisons=(pair,), policy=Policy())
        against = AgainstReference(accepted_run, Reference(arms=(arm,)), Replays(measured=(replay,)))
        given = comparison(accepted_run, REMEMBERED)
        assert against.decided_together([given]) == [given]
        (verdict,) = run_gate([given])
        assert against.worded(verdict).reason.endswith(
            "under test differs numpy 2.4.5 → none, not replayed: too few pairs of this metric"
        )
        nothing = comparison(accepted_run, NotComparable(kind=VerdictKind.NO_BASELINE, reason="none"))
        again = AgainstReference(accepted_run, Reference(arms=(arm,)), Replays(measured=(replay,)))
        assert again.decided_together([nothing]) == [pair]

    def test_pairs_are_named_by_what_the_worker_loaded_before_the_run(self, accepted_run: RunData) -> None:
        """As where a file of the engine was edited during the run, so that its launches loaded different things."""
        arm = accepted(accepted_run, packages=(("numpy", "2.4.5"),))
        pair = comparison(accepted_run, Duel(pairs=((0.1, 0.11, 0.1), (0.1, 0.11, 0.12))))
        replay = Replay(
            arm_id=arm.arm_id, accepted=arm, run_id="p", comparisons=(pair,), policy=Policy(),
            differences=(Difference("numpy", "2.4.5", "2.4.6"),),
        )  # fmt: skip
        first, *others = accepted_run.launches
        edited = replace(first, software=replace(first.software, engine_source="0" * 64))
        data = replace(accepted_run, launches=(edited, *others))
        against = AgainstReference(data, Reference(arms=(arm,)), Replays(measured=(replay,)))
        (decided,) = against.decided_together([comparison(data, REMEMBERED)])
        assert decided == pair
        (verdict,) = run_gate([decided])
        assert against.worded(verdict).reason.endswith("changed: numpy 2.4.5 → 2.4.6")
        (note,) = (each for each in against.notes() if "replayed" in each)
        assert "changed numpy 2.4.5 → 2.4.6; replayed pair by pair in run p; of the run itself: " in note

    def test_the_launch_variation_of_the_pairs_holds_for_the_run(self, accepted_run: RunData) -> None:
        arm = accepted(accepted_run, packages=(("numpy", "2.4.5"),))
        replays = tuple(
            Replay(arm_id=arm.arm_id, accepted=arm, run_id="p", comparisons=(), policy=Policy(launch_sd=sd))
            for sd in (0.008, 0.02)
        )
        against = AgainstReference(accepted_run, Reference(arms=(arm,)), Replays(measured=replays))
        assert against.policy(Policy(require_answer=True)) == Policy(require_answer=True, launch_sd=0.02)


def test_a_long_list_of_differences_is_cut() -> None:
    found = [Difference(name, "1", "2") for name in "abcdefg"]
    assert listed_differences(found) == "a 1 → 2; b 1 → 2; c 1 → 2; d 1 → 2; 3 more"


class TestShares:
    def pairs(self, share: float) -> Comparison:
        wide = Duel(pairs=((0.10, 0.12, 0.11), (0.09, 0.11, 0.12)))
        return Comparison(scenario_id="s", metric="latency", tolerance=0.02, data=wide, share=share)

    def test_a_smaller_share_of_the_error_rate_widens_the_interval(self) -> None:
        whole, half = (run_gate([self.pairs(share)])[0].change for share in (1.0, 0.25))
        assert whole is not None
        assert half is not None
        assert half.level > whole.level
        assert half.high - half.low > whole.high - whole.low

    def test_comparisons_that_are_decided_later_count_as_not_rejected(self) -> None:
        alone, among = (run_gate([self.pairs(1.0)], others=others)[0].change for others in (0, 9))
        assert alone is not None
        assert among is not None
        # The level of one rejected among ten under any dependence.
        harmonic = sum(1 / k for k in range(1, 11))
        assert (1 - alone.level) / (1 - among.level) == pytest.approx(10 * harmonic)
