"""Profiles a run's scenarios after everything is timed, and keeps the traces and the table made of them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.analysis.operators import profiled_alone, profiled_pair
from harness.core.clock import Clock
from harness.core.records.profile import FEWEST_REPETITIONS, Profile, Profiled, Profiles, ProfileSheet, Trace
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Mode, Scenario, Utterance
from harness.engines.declarations import declaration_of
from harness.measure.conductor.ort_profile import LONGEST_S, profile_arm, profile_pair
from harness.measure.conductor.requests import order_language
from harness.measure.conductor.worker_factory import WorkerFactory
from harness.plan.matrix import Plan
from harness.runner.resources import Reporter
from harness.store.traces import trace_name, write_sheet, write_trace

SIDES = ("candidate", "reference")


class ProfileTask:
    """Profiles pairs or single arms of the run `data`. Call `save` at the end."""

    def __init__(
        self,
        plan: Plan,
        data: RunData,
        *,
        worker_factory: WorkerFactory,
        clock: Clock,
        folder: Path,
        report: Reporter,
    ) -> None:
        self._plan = plan
        self._data = data
        self._worker_factory = worker_factory
        self._clock = clock
        self._folder = folder
        self._report = report
        self._found: list[Profiled] = []
        self._traces: list[Trace] = []
        self._trouble = ""

    def pair(self, candidate: Scenario, reference: Scenario) -> Profiles:
        """Operator times of both scenarios for their text, measured in new workers in turns."""
        profiles = Profiles(refused=self._refused(candidate.arm) or self._refused(reference.arm))
        if not profiles.reason:
            self._report(f"a change was found: profiling both sides (no further launch begins after {LONGEST_S:.0f} s)")
            profiles = profile_pair(
                (candidate.arm, reference.arm),
                worker_factory=self._worker_factory,
                clock=self._clock,
                voice=candidate.voice,
                seed=self._seed,
                utterance=self._text(candidate),
                script=dict(self._plan.script),
                keep=partial(self._keep, candidate, SIDES),
            )
        found = profiled_pair(profiles, candidate=candidate.id, reference=reference.id)
        if not found.reason or self._traces:  # the suspects say why there is none
            self._add(found)
        return profiles

    def every_arm(self, stop: Callable[[], bool]) -> None:
        """Profile one scenario of each arm, the first that is whole or streamed; end early once `stop` returns true."""
        chosen: dict[Arm, Scenario] = {}
        for scenario in self._plan.scenarios:
            if scenario.mode in (Mode.WHOLE, Mode.STREAM):
                chosen.setdefault(scenario.arm, scenario)
        for arm, scenario in chosen.items():
            if stop():
                return
            profile = Profile(reason=self._refused(arm))
            if not profile.reason:
                self._report(f"profiling {scenario.id}")
                profile = profile_arm(
                    arm,
                    worker_factory=self._worker_factory,
                    voice=scenario.voice,
                    seed=self._seed,
                    utterance=self._text(scenario),
                    repetitions=FEWEST_REPETITIONS,
                    script=dict(self._plan.script),
                    keep=partial(self._keep, scenario, ("",)),
                )
            self._add(profiled_alone(profile, scenario=scenario.id))

    def save(self) -> tuple[str, ...]:
        """Keep the table of what was profiled. Return notes: why something was not profiled or not kept."""
        notes = [f"not profiled: {each.candidate}: {each.reason}" for each in self._found if each.reason]
        if any(each.traces for each in self._found):
            # A path from the root would not be shown on a page.
            notes.append(f"traces for Perfetto and speedscope: traces/{self._data.run.id}, beside the results")
        try:
            if self._found:
                write_sheet(self._folder, self._data.run.id, ProfileSheet(profiled=tuple(self._found)))
        except OSError as error:
            self._trouble = self._trouble or f"traces: not kept: {error}"
        return (*notes, self._trouble) if self._trouble else tuple(notes)

    @property
    def _seed(self) -> int:
        return self._plan.run_limits.seed + 1

    def _text(self, scenario: Scenario) -> Utterance:
        text = self._plan.utterance(scenario, 0)
        return replace(text, language=order_language(scenario, text))

    def _refused(self, arm: Arm) -> str:
        """Why an arm is not profiled, or "". An engine that writes no profile would be started in vain."""
        if arm.url:
            return "the operators of a server cannot be seen"
        says_so = any(launch.facts.profile for launch in self._data.launches if launch.arm_id == arm.id)
        writes_one = says_so or declaration_of(arm.engine).profiles
        return "" if writes_one else f"the engine {arm.engine} writes no profile"

    def _keep(self, scenario: Scenario, sides: tuple[str, ...], side: int, launch: int, trace: Path) -> None:
        before = [each for each in self._traces if (each.side, each.launch) == (sides[side], launch + 1)]
        name = trace_name(scenario.id, side=sides[side], launch=launch, session=len(before))
        try:
            size = write_trace(self._folder, self._data.run.id, name, trace)
        except OSError as error:
            self._trouble = f"traces: not kept: {error}"
            return
        self._traces.append(Trace(side=sides[side], launch=launch + 1, file=name, size=size))

    def _add(self, found: Profiled) -> None:
        """Add the table of a text with the traces that were kept of it."""
        self._found.append(replace(found, traces=tuple(self._traces)))
        self._traces.clear()
