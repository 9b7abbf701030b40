"""What a run does beside its timing: prove where nodes run, keep audio and compare it, profile what moved."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.equipment import Equipment, Reporter
from harness.likeness import Recording, compare_all, with_likeness
from harness.measure.operators import LONGEST_S, Profiles, profile_pair
from harness.measure.orders import order_language
from harness.measure.staff import Staff
from harness.placement import prove
from harness.plan.matrix import Plan
from harness.records.run import RunData, RunStatus
from harness.records.scenario import Scenario
from harness.verdicts import Conclusions

Profiler = Callable[[Scenario, Scenario], Profiles]
"""Profiles a candidate's and a reference's speaking of one text."""
Explain = Callable[[Conclusions, RunData, Profiler], Conclusions]


class Beside:
    """A context manager around the measuring: `staff` before it, `complete` after it."""

    def __init__(
        self, plan: Plan, equipment: Equipment, *, audio: Path, refusals: Mapping[str, str], report: Reporter
    ) -> None:
        self._plan = plan
        self._staff = equipment.staff
        self._clock = equipment.clock
        self._recording = Recording(audio)
        self._refusals = dict(refusals)
        self._report = report
        self._notes: Sequence[str] = ()

    def __enter__(self) -> Self:
        self._recording.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._recording.__exit__(kind, error, at)

    def staff(self) -> Staff:
        """The staff, told which audio to keep and which arms not to start: what cannot run, and what is misnamed."""
        open_arms = [arm for arm in self._plan.arms if arm.id not in self._refusals]
        voices = {scenario.arm: scenario.voice for scenario in self._plan.scenarios}
        proof = prove(open_arms, staff=self._staff, voices=voices, seed=self._seed)
        self._notes = proof.notes
        return replace(self._staff, audio=self._keep, refusals={**self._refusals, **proof.refusals})

    def complete(self, conclusions: Conclusions, data: RunData, explain: Explain) -> Conclusions:
        """The conclusions with what the audio and the profiles say; of an interrupted run, only what is at hand."""
        if data.run.status is not RunStatus.INTERRUPTED:
            references = {verdict.reference for verdict in conclusions.verdicts}
            conclusions = with_likeness(conclusions, compare_all(data, self._recording, references=references))
            conclusions = explain(conclusions, data, self._profile)
        kept = self._recording.save(data)
        notes = (*conclusions.notes, *self._notes, *([kept] if kept else []))
        return replace(conclusions, notes=notes)

    @property
    def _seed(self) -> int:
        return self._plan.pace.seed + 1

    def _keep(self, scenario: Scenario, launch: int) -> str:
        return self._recording.place(scenario, launch, characters=self._plan.utterance(scenario, 0).characters)

    def _profile(self, candidate: Scenario, reference: Scenario) -> Profiles:
        """Operator times of a pair's text, in workers of their own."""
        self._report(f"a change was found: profiling both sides (no further launch begins after {LONGEST_S:.0f} s)")
        text = self._plan.utterance(candidate, 0)
        text = replace(text, language=order_language(candidate, text))
        return profile_pair(
            candidate.arm,
            reference.arm,
            staff=self._staff,
            clock=self._clock,
            voice=candidate.voice,
            seed=self._seed,
            utterance=text,
            script=dict(self._plan.script),
        )


def unexplained(conclusions: Conclusions, data: RunData, profile: Profiler) -> Conclusions:
    """Nothing is profiled."""
    del data, profile
    return conclusions
