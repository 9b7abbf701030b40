"""Measures what is under test again, pair by pair with the restored reference, wherever the two differ.

Each pair of arms is measured as a duel after the run's own values, within the run's budget, and stored as a run of its
own. The run's one gate decides by these pairs together with what is still compared with remembered values.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.analysis.against_reference import AgainstReference, Replay
from harness.analysis.against_reference import Replays as Outcome
from harness.analysis.causes import moved_parts
from harness.analysis.conclude import Conclusions, all_values, conclude, summarise_all
from harness.analysis.stats.comparison import Comparison, Duel, NotComparable
from harness.analysis.stats.grouped import count
from harness.core.errors import BenchError
from harness.core.records.reference import Reference
from harness.core.records.run import REPLAY_OF, RunData
from harness.core.records.scenario import Scenario
from harness.core.records.suspect import Suspect
from harness.core.records.verdict import REPLAYED, Verdict
from harness.metrics.derive import RunValues
from harness.plan.matrix import Plan
from harness.runner.duel import DuelAnalysis
from harness.runner.duel_causes import pairs_of
from harness.runner.measurement import Ending, Session, conduct_plan, ended_by
from harness.runner.recorder import RunRecorder
from harness.runner.replay_pairs import Turns, pair_run
from harness.runner.replay_preparation import Prepared, Unit, announcement, can_be_replayed, prepare
from harness.runner.replay_texts import affordable, costs_of, whole_budget

FIGURES = 0.45
"""The share of the budget for the run's own values if there is something to replay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """A replay that has ended and waits for the verdicts of the run."""

    recorder: RunRecorder
    ending: Ending
    analysis: DuelAnalysis
    values: RunValues
    ids: Mapping[str, Scenario]
    """Id of a scenario of the run → the scenario of the replay."""
    accepted: Mapping[str, Scenario]


class Replays:
    """The replays of one run. `plan` is what the run itself measures, with its share of the budget."""

    def __init__(self, session: Session, reference: Reference, plan: Plan, *, refusals: Mapping[str, str]) -> None:
        """Compare what the workers load with the reference, and rebuild the accepted arms that are needed."""
        self._session = session
        self._reference = reference
        self._budget_s = plan.run_limits.budget_s
        self._prepared: Prepared = prepare(session, reference, plan, refusals=refusals)
        figures_s = (FIGURES if self._prepared.units else 1.0) * self._budget_s
        limits = replace(plan.run_limits, budget_s=figures_s)
        if self._prepared.units:
            # The pairs decide: on a slow machine a second launch would take their time.
            one_launch = replace(limits.launch_policy, needed_launches=1)
            limits = replace(limits, launch_policy=one_launch, whole_s=limits.whole_s or self._budget_s)
        self.plan = replace(plan, run_limits=limits)
        self._reasons, self._budgets = dict(self._prepared.reasons), dict[str, int]()
        self._measured: list[Replay] = []
        self._done: list[_Done] = []
        for line in announcement(self._prepared, budget_s=self._budget_s, figures_s=figures_s):
            session.report(line)
        self._began_ns = session.resources.clock.now_ns()

    def measure(self, recorder: RunRecorder, ended: Ending) -> Ending:
        """Measure every unit in turn; what one leaves of its time is the next one's. Return how the run ended.

        Texts that its first turn had no time for get another turn at the end, if time is left.
        """
        data, clock = recorder.so_far, self._session.resources.clock
        units = list(self._prepared.units)
        turns = Turns(waiting=units, clock=clock, budget_s=self._budget_s, began_ns=self._began_ns)
        for unit, budget_s in turns:
            try:
                found = self._measure(unit, data, budget_s=budget_s)
            except BenchError as error:
                self._leave_out(unit.scenarios, str(error))
                continue
            except KeyboardInterrupt as interrupt:
                found = ended_by(interrupt)
            if found is not None and found.requested:
                for each in (unit, *turns.waiting):
                    self._leave_out(each.scenarios, found.reason)
                return found
            if found is not None:
                turns.again(unit, self._budgets)
        return ended

    def conclude(self, values: RunValues) -> Conclusions:
        """The run's conclusions, with pairs in place of remembered values wherever there are some."""
        outcome = Outcome(
            measured=tuple(self._measured),
            reasons=self._reasons,
            budgets=self._budgets,
            only_remembered=self._session.config["replay"] == "never",
        )
        against = AgainstReference(values.data, self._reference, outcome)
        return conclude(values.data, config=self._session.config, derived=values, against=against)

    def waiting(self) -> Iterator[RunRecorder]:
        """The recorders of the replays that wait for the verdicts of the run."""
        return (done.recorder for done in self._done)

    def finish(self, verdicts: Sequence[Verdict]) -> None:
        """Store the end of every replay with the verdicts that its pairs got in the run."""
        for done in self._done:
            data = done.values.data
            ours = [
                replace(
                    each, scenario_id=done.ids[each.scenario_id].id, reference=done.accepted[each.scenario_id].arm.id
                )
                for each in verdicts
                if each.reference == f"{REPLAYED}{data.run.id}"
            ]
            conclusions = Conclusions(
                summaries=summarise_all(data, all_values(done.values)),
                verdicts=tuple(ours),
                targets=(),
                notes=done.analysis.how_paired(data),
            )
            done.recorder.finish(
                conclusions,
                status=done.ending.status,
                reason=done.ending.reason,
                conditions=self._session.resources.observe(),
            )

    def _measure(self, unit: Unit, data: RunData, *, budget_s: float) -> Ending | None:
        """Measure as many of a unit's texts as the budget allows, as a duel; None if it allows none."""
        chosen = self._choose(unit, data, budget_s=budget_s)
        if not chosen:
            return None
        decided = [each for each in self.plan.scenarios if can_be_replayed(each)]
        duel = pair_run(
            self._session,
            replace(self.plan, selection=f"{REPLAY_OF}{data.run.id}: {unit.arm.id}"),
            unit,
            chosen,
            budget_s=budget_s,
            other_scenarios=len(decided) - len(chosen),
        )
        # Keeps no audio, since the run itself does.
        recorder = self._session.begin(duel.plan, announced=False)
        self._session.report(f"pair by pair with what was accepted: {unit.arm.id}")
        with self._session.end_stored(recorder):
            ended = conduct_plan(self._session, duel.plan, duel.placed, recorder=recorder, analysis=duel.run_analysis)
        self._keep(unit, recorder, ended, duel.analysis)
        return ended

    def _choose(self, unit: Unit, data: RunData, *, budget_s: float) -> tuple[Scenario, ...]:
        """The texts that the budget allows. Notes why the others are left out."""
        found = affordable(costs_of(unit.scenarios, data), budget_s=budget_s, warmups=self.plan.run_limits.warmups)
        units = len(self._prepared.units)
        for scenario in unit.scenarios:
            if scenario in found.needed_s:
                whole_s = whole_budget(found.needed_s[scenario], replays=units, share=1 - FIGURES)
                self._leave_out([scenario], "the budget does not suffice for it")
                # That of the first turn: a later one has only what others left.
                self._budgets.setdefault(scenario.id, max(whole_s, round(self._budget_s) + 10))
            elif scenario not in found.scenarios:
                self._leave_out([scenario], "this run has no valid value of it")
        for scenario in found.scenarios:
            self._reasons.pop(scenario.id, None)
            self._budgets.pop(scenario.id, None)
        return found.scenarios

    def _keep(self, unit: Unit, recorder: RunRecorder, ended: Ending, analysis: DuelAnalysis) -> None:
        """Keep the comparisons of a replay for the run's gate. A side that was lost is a reason, and no verdict."""
        values = RunValues(recorder.observed(ended.status, ended.reason))
        data = values.data
        ours = {replace(one, arm=unit.arm).id: (one, other) for one, other in pairs_of(data)}
        names = {one.id: scenario_id for scenario_id, (one, _) in ours.items()}
        comparisons = []
        for each in analysis.comparisons(data.counted, values):
            scenario_id = names[each.scenario_id]
            if isinstance(each.data, NotComparable):
                self._reasons.setdefault(scenario_id, each.data.reason)
                continue
            comparisons.append(self._comparison(each, scenario_id, share=analysis.share(data)))
        policy = analysis.policy_for(data)

        def parts(verdict: Verdict) -> tuple[Suspect, ...]:
            candidate, reference = ours[verdict.scenario_id]
            return moved_parts(verdict, candidate, reference, data.counted, policy)

        self._measured.append(
            Replay(
                arm_id=unit.arm.id,
                accepted=unit.accepted,
                run_id=data.run.id,
                comparisons=tuple(comparisons),
                policy=policy,
                parts=parts,
                note=unit.restored.note,
                differences=unit.comparison.differences,
            )
        )
        self._done.append(
            _Done(
                recorder=recorder,
                ending=ended,
                analysis=analysis,
                values=values,
                ids={scenario_id: one for scenario_id, (one, _) in ours.items()},
                accepted={scenario_id: other for scenario_id, (_, other) in ours.items()},
            )
        )

    def _comparison(self, each: Comparison, scenario_id: str, *, share: float) -> Comparison:
        """A comparison of the duel as one of the run, whose advice names the budget of the whole run."""
        values = count(each.data.pairs) if isinstance(each.data, Duel) else 0
        seconds = self._budget_s / values if values else None
        return replace(each, scenario_id=scenario_id, seconds_per_value=seconds, share=share)

    def _leave_out(self, scenarios: Sequence[Scenario], reason: str) -> None:
        for scenario in scenarios:
            self._reasons.setdefault(scenario.id, reason)
