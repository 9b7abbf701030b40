"""A run against the accepted reference: what is under test compared arm by arm, and what follows for the verdicts.

Where nothing under test changed, no change can be in question, so the gate does not decide. Where something changed
and the reference's arm was measured again (a replay), the pairs replace the remembered values. Elsewhere the remembered
values stay, and the sentence says why there was no replay.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from harness.analysis.messages import percent
from harness.analysis.stats.comparison import AgainstBaseline, Comparison, Duel, NotComparable, Policy
from harness.analysis.stats.grouped import count
from harness.analysis.stats.paired import FEWEST_PAIRS
from harness.analysis.subjects import SubjectComparison, SubjectState, compare, subject_of
from harness.core.records.differences import Difference
from harness.core.records.reference import Reference, ReferenceArm
from harness.core.records.run import RunData
from harness.core.records.scenario import Scenario
from harness.core.records.suspect import Suspect
from harness.core.records.verdict import REPLAYED, Verdict, VerdictKind

MOST_DIFFERENCES = 4
MOST_SCENARIOS = 2
"""A note names so many scenarios of an arm, and counts more."""
UNMEASURED = (VerdictKind.FAILED, VerdictKind.MISSING)
UNSURE = (VerdictKind.REGRESSED, VerdictKind.IMPROVED, VerdictKind.INCONCLUSIVE, VerdictKind.NO_BASELINE)
"""Verdicts on remembered values that a replay would answer better."""
OF_VALUES = (VerdictKind.REGRESSED, VerdictKind.IMPROVED, VerdictKind.INCONCLUSIVE, VerdictKind.UNCHANGED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The pairs of one arm under test with its restored reference, measured as the run `run_id`.

    `differences` are those found when the worker was started to see what it loads. `comparisons` have the scenario ids
    of the run under test. `parts` names what moved with a verdict. `note` says what
    the pairs leave out of what changed; "" usually.
    """

    arm_id: str
    accepted: ReferenceArm
    run_id: str
    comparisons: tuple[Comparison, ...]
    policy: Policy
    differences: tuple[Difference, ...] = ()
    parts: Callable[[Verdict], tuple[Suspect, ...]] = lambda _verdict: ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replays:
    """What was measured again, and why the rest was not: scenario id → reason, and the budget (s) that would suffice.

    With `only_remembered` the user has remembered values compared, also of a subject that did not change.
    """

    measured: tuple[Replay, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    budgets: Mapping[str, int] = field(default_factory=dict)
    only_remembered: bool = False


def accepted_on(accepted: ReferenceArm) -> str:
    """The acceptance of an arm: "the acceptance of 2026-11-20 (run …)"."""
    return acceptance(accepted.date[:10], accepted.run)


def acceptance(day: str, run_id: str) -> str:
    """The acceptance of a run in words: "the acceptance of 2026-11-20 (run …)"."""
    return f"the acceptance of {day} (run {run_id})"


def listed_differences(found: Sequence[Difference]) -> str:
    """The first few differences, and how many more there are."""
    more = len(found) - MOST_DIFFERENCES
    return "; ".join([*map(str, found[:MOST_DIFFERENCES]), *([f"{more} more"] if more > 0 else [])])


class AgainstReference:
    """Compares each scenario of a run with its accepted arm. Changes comparisons and words verdicts accordingly."""

    def __init__(self, data: RunData, reference: Reference, replays: Replays) -> None:
        self._data = data
        self._replays = replays
        self._accepted: dict[str, ReferenceArm] = {}
        self._subjects: dict[str, SubjectComparison] = {}
        subjects = {arm: subject_of(arm, data) for arm in {scenario.arm for scenario in data.run.scenarios}}
        for scenario in data.run.scenarios:
            if accepted := reference.for_scenario(scenario.id):
                self._accepted[scenario.id] = accepted
                self._subjects[scenario.id] = compare(subjects[scenario.arm], accepted, arm=scenario.arm)
        self._pairs = {
            (each.scenario_id, each.metric): (replay, each)
            for replay in replays.measured
            for each in replay.comparisons
        }

    def decided_together(self, comparisons: Sequence[Comparison]) -> list[Comparison]:
        """The comparisons for the one gate: pairs where there are some, none where nothing under test changed."""
        found = [self._comparison(each) for each in comparisons]
        known = {(each.scenario_id, each.metric) for each in comparisons}
        lost = {each.scenario_id for each in comparisons if _is_unmeasured(each)}
        return found + [
            pair for key, (_, pair) in self._pairs.items() if key not in known and pair.scenario_id not in lost
        ]

    def policy(self, policy: Policy) -> Policy:
        """The policy with the launch variation that is presumed of the pairs: the largest of all replays."""
        replays = self._replays.measured
        return replace(
            policy,
            launch_inflation=max([policy.launch_inflation, *(each.policy.launch_inflation for each in replays)]),
            launch_sd=max([policy.launch_sd, *(each.policy.launch_sd for each in replays)]),
        )

    def worded(self, verdict: Verdict) -> Verdict:
        """The verdict with what differs under test, or with why it was not measured against its reference."""
        subject = self._subjects.get(verdict.scenario_id)
        if subject is None or verdict.kind in UNMEASURED:
            return verdict
        if verdict.kind is VerdictKind.SAME_SUBJECT:
            accepted = self._accepted[verdict.scenario_id]
            return replace(verdict, accepted=accepted.run, accepted_on=accepted.date[:10])
        replay, _ = self._pairs.get((verdict.scenario_id, verdict.metric), (None, None))
        if replay is not None:
            return self._worded_pair(verdict, replay)
        if subject.state is SubjectState.ANOTHER and verdict.kind in (*OF_VALUES, VerdictKind.NO_BASELINE):
            why = self._replays.reasons.get(verdict.scenario_id, "too few pairs of this metric")
            changed = f"under test differs {listed_differences(subject.differences)}"
            words = f"{verdict.reason}; {changed}" + (f", not replayed: {why}" if why else "")
            budget_s = self._replays.budgets.get(verdict.scenario_id) if verdict.kind in UNSURE else None
            advice = f"`--budget {budget_s}s` replays it too" if budget_s else ""
            # There is something to compare with, and no time for it: that is undecided.
            kind = VerdictKind.INCONCLUSIVE if advice and verdict.kind is VerdictKind.NO_BASELINE else verdict.kind
            return replace(verdict, kind=kind, reason=words, advice=advice or verdict.advice)
        if subject.state is SubjectState.SAME and verdict.kind in (VerdictKind.REGRESSED, VerdictKind.IMPROVED):
            same = f"nothing under test changed since {accepted_on(self._accepted[verdict.scenario_id])}"
            return replace(verdict, reason=f"{verdict.reason}; {same}, so only the machine can be the reason")
        return verdict

    def is_replayed(self, verdict: Verdict) -> bool:
        """Whether pairs decided the verdict."""
        return (verdict.scenario_id, verdict.metric) in self._pairs

    def notes(self) -> tuple[str, ...]:
        """For each acceptance, a sentence on what is the same, what differs, and what was done about it."""
        noted: dict[str, list[Scenario]] = {}
        for scenario in self._data.run.scenarios:
            if sentence := self._note(scenario.id):
                noted.setdefault(sentence, []).append(scenario)
        everything = {scenario.arm.id for scenario in self._data.run.scenarios}
        by_arm = Counter(scenario.arm.id for of in noted.values() for scenario in of)
        notes = [_scoped(sentence, of, by_arm=by_arm, everything=everything) for sentence, of in noted.items()]
        if budgets := self._replays.budgets.values():
            notes.append(f"`--budget {max(budgets)}s` has time for all pairs.")
        return tuple(notes)

    def _note(self, scenario_id: str) -> str:
        subject, accepted = self._subjects.get(scenario_id), self._accepted.get(scenario_id)
        if subject is None or accepted is None:
            return ""
        ours = [each for each in self._replays.measured if each.accepted == accepted]
        measured = [each for each in ours if any(pair.scenario_id == scenario_id for pair in each.comparisons)]
        replayed = f"replayed pair by pair in run {', '.join(each.run_id for each in measured)}" if measured else ""
        if subject.state is SubjectState.SAME:
            same = f"nothing under test changed since {accepted_on(accepted)}"
            return f"{same}; {replayed}" if replayed else same
        if subject.state is SubjectState.UNKNOWN and measured:
            changed = listed_differences(measured[0].differences)
            return f"since {accepted_on(accepted)} changed {changed}; {replayed}; of the run itself: {subject.reason}"
        if subject.state is SubjectState.UNKNOWN:
            return f"compared with remembered values: {subject.reason}"
        changed = f"since {accepted_on(accepted)} changed {listed_differences(subject.differences)}"
        return f"{changed}; {replayed or 'not replayed: ' + self._replays.reasons.get(scenario_id, 'no pairs')}"

    def _comparison(self, given: Comparison) -> Comparison:
        """What the gate decides in place of a comparison with remembered values."""
        if _is_unmeasured(given):
            return given
        if pair := self._pairs.get((given.scenario_id, given.metric)):
            few = isinstance(pair[1].data, Duel) and count(pair[1].data.pairs) < FEWEST_PAIRS
            if few and isinstance(given.data, AgainstBaseline):
                # Remembered values show more. A metric with one value per launch has few pairs in a short replay.
                del self._pairs[given.scenario_id, given.metric]
                return given
            return pair[1]
        subject = self._subjects.get(given.scenario_id)
        if subject is None or subject.state is not SubjectState.SAME or self._replays.only_remembered:
            return given
        words = f"nothing under test changed since {accepted_on(self._accepted[given.scenario_id])}"
        apart = _apart(given.data) if isinstance(given.data, AgainstBaseline) else None
        if apart is not None:
            words += f"; its median lies {percent(apart)} from the accepted one, which the machine alone explains"
        return replace(given, data=NotComparable(kind=VerdictKind.SAME_SUBJECT, reason=words))

    def _worded_pair(self, verdict: Verdict, replay: Replay) -> Verdict:
        what = listed_differences(replay.differences) or "nothing (A/A)"
        accepted = f"the reference accepted on {replay.accepted.date[:10]}"
        what += f" ({replay.note})" if replay.note else ""
        words = f"{verdict.reason}; pair by pair with {accepted}, replayed in run {replay.run_id}; changed: {what}"
        moved = verdict.kind in (VerdictKind.REGRESSED, VerdictKind.IMPROVED)
        advice = verdict.advice
        if verdict.kind is VerdictKind.REGRESSED:
            command = f"kokoro-bench baseline promote {self._data.run.id} --only '*' --reason WHY"
            advice = f"if it is meant, accept it: `{command}`"
        worded = replace(
            verdict,
            reason=words,
            advice=advice,
            reference=f"{REPLAYED}{replay.run_id}",
            accepted=replay.accepted.run,
            accepted_on=replay.accepted.date[:10],
            changed=what,
        )
        changed = [Suspect(each.kind, str(each)) for each in replay.differences]
        return worded.with_suspects((*changed, *replay.parts(verdict))) if moved else worded


def _scoped(sentence: str, of: Sequence[Scenario], *, by_arm: Mapping[str, int], everything: set[str]) -> str:
    """A sentence with what it holds of: all, whole arms, or some scenarios of an arm. `by_arm` counts those noted."""
    found = Counter(scenario.arm.id for scenario in of)
    if set(found) == everything and found == by_arm:
        return f"{sentence[0].upper()}{sentence[1:]}."
    named = []
    for arm_id, number in found.items():
        parts = [each.id.removeprefix(f"{arm_id}/") for each in of if each.arm.id == arm_id]
        listed = ", ".join(parts) if number <= MOST_SCENARIOS else f"{number} of {by_arm[arm_id]} scenarios"
        named.append(arm_id if number == by_arm[arm_id] else f"{arm_id} ({listed})")
    return f"{', '.join(named)}: {sentence}."


def _is_unmeasured(comparison: Comparison) -> bool:
    return isinstance(comparison.data, NotComparable) and comparison.data.kind in UNMEASURED


def _apart(data: AgainstBaseline) -> float | None:
    """The log-ratio of the run's median to that of the accepted runs; None where there is none."""
    flat = [value for launch in data.values for value in launch]
    if not data.runs or not flat or min(flat) <= 0:
        return None
    return math.log(median(flat)) - median(run.log_median for run in data.runs)
