"""What the conductor asks of a worker at its desk: one text, many at once, or a load."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.core.records.repetition import Phase, Repetition
from harness.core.records.scenario import Arm, Scenario, Utterance
from harness.measure.conductor.requests import Originals, crowd_order, crowd_timeout, speak_order
from harness.measure.conductor.worker_factory import WorkerFactory
from harness.measure.conductor.workers import ActiveWorker
from harness.measure.system.thread_states import states_of
from harness.measure.worker.handle import Overdue, WorkerLost
from harness.measure.worker.observed_synthesis import synthesise_observed
from harness.measure.worker.protocol import ConcurrentAnswer, SpeakOrder
from harness.measure.worker.slicing_checks import Slicing
from harness.measure.worker.time_slicing import Speaking, haltable, speak_at_once, speak_in_slices
from harness.plan.matrix import Plan

SLICES_A_TEXT = 8
"""Turns that a side has at least: where a text takes only a few, both do not meet the same moments."""

SHORTEST_SLICE_S = 0.025
"""Shorter turns than that cost more than they are worth: see docs/method.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """When it is and what is spoken. Of the arms that are `opening`, audio may be kept: a launch's first turn."""

    utterance: Utterance
    block: int
    position: int
    phase: Phase
    opening: frozenset[Arm] = frozenset()


class Dispatcher:
    """Gives the orders of one run. WorkerLost where a worker does not answer."""

    def __init__(self, plan: Plan, worker_factory: WorkerFactory, slicing: Slicing | None = None) -> None:
        self._plan = plan
        self._worker_factory = worker_factory
        self._slicing = slicing or Slicing(plan.run_limits.launch_policy)
        self._originals = Originals()
        self._took: dict[str, int] = {}
        """Scenario id → ns of its newest repetition."""

    def repetitions(self, scenario: Scenario, active: ActiveWorker, turn: Turn) -> Sequence[Repetition]:
        """What a scenario gives in a turn: one repetition of a text, or those of so many texts at once."""
        if scenario.is_crowd:
            return self.crowd(scenario, active, block=turn.block, phase=turn.phase).repetitions
        order = self._order(scenario, active, turn)
        repetition = active.worker.speak(order, timeout_s=self._plan.run_limits.timeout_for(turn.utterance.characters))
        self._hear(scenario, repetition)
        return [repetition]

    def together(
        self, pair: tuple[Scenario, Scenario], worker_pool: tuple[ActiveWorker, ActiveWorker], turn: Turn
    ) -> tuple[Repetition | WorkerLost, ...]:
        """One text by both sides of a duel at the same time, in slices; the first begins.

        What warms up is not measured, and is spoken without slices: whoever has a core of their own does not wait.
        """
        sides = [
            self._speaking(scenario, active, replace(turn, position=turn.position + place))
            for place, (scenario, active) in enumerate(zip(pair, worker_pool, strict=True))
        ]
        one, other = sides
        looped_ns = [side.pauser.looped_ns for side in sides]
        # Each has the machine half of the time.
        timeout_s = 2 * self._plan.run_limits.timeout_for(turn.utterance.characters)
        if turn.phase is Phase.WARMUP:
            found = speak_at_once((one, other), timeout_s=timeout_s)
        else:
            found = speak_in_slices((one, other), slice_s=self._slice_s(pair), timeout_s=timeout_s)
        for scenario, side, before_ns in zip(pair, sides, looped_ns, strict=True):
            if isinstance(side.found, Repetition):
                self._hear(scenario, side.found)
                self._learn(scenario, side, looped_ns=before_ns)
        return found

    def watched(self, scenario: Scenario, active: ActiveWorker, turn: Turn) -> Sequence[Repetition]:
        """One text by a side of a duel, by itself, whose threads are looked at meanwhile. WorkerLost."""
        side = self._speaking(scenario, active, turn)
        before_ns = side.pauser.looped_ns
        looks = synthesise_observed(side, timeout_s=self._plan.run_limits.timeout_for(turn.utterance.characters))
        if isinstance(side.found, WorkerLost):
            raise side.found
        assert side.found is not None  # noqa: S101 - for the type checker; it has spoken or is lost
        self._hear(scenario, side.found)
        self._slicing.of(scenario.arm.id).looked(looks.states())
        self._learn(scenario, side, looped_ns=before_ns)
        return [side.found]

    def _speaking(self, scenario: Scenario, active: ActiveWorker, turn: Turn) -> Speaking:
        return Speaking(worker=haltable(active.worker), order=self._order(scenario, active, turn))

    def _learn(self, scenario: Scenario, side: Speaking, *, looped_ns: int) -> None:
        """What a repetition has shown of an arm; `looped_ns` is what its engine had looped before."""
        seen = self._slicing.of(scenario.arm.id)
        seen.halted(states_of(side.halts))
        if isinstance(side.found, Repetition) and side.found.outcome.valid:
            seen.spoke(side.found, looped_ns=side.pauser.looped_ns - looped_ns)

    def _hear(self, scenario: Scenario, repetition: Repetition) -> None:
        self._originals.handle(scenario, repetition)
        if repetition.outcome.valid:
            self._took[scenario.id] = repetition.end_ns

    def _slice_s(self, pair: tuple[Scenario, Scenario]) -> float:
        """As asked for, and shorter where the faster side would have few turns."""
        asked_s = self._slicing.slice_s
        known = [self._took[each.id] / 1e9 for each in pair if each.id in self._took]
        return min(asked_s, max(SHORTEST_SLICE_S, min(known) / SLICES_A_TEXT)) if known else asked_s

    def _order(self, scenario: Scenario, active: ActiveWorker, turn: Turn) -> SpeakOrder:
        return speak_order(
            scenario,
            turn.utterance,
            launch=active.launch,
            block=turn.block,
            position=turn.position,
            phase=turn.phase,
            original_seconds=self._originals.seconds_for(scenario, turn.utterance),
            audio_path=self._worker_factory.audio(scenario, active.launch) if scenario.arm in turn.opening else "",
        )

    def crowd(
        self, scenario: Scenario, active: ActiveWorker, *, block: int, phase: Phase, overdue: Overdue | None = None
    ) -> ConcurrentAnswer:
        """Many requests. What they ask for while warming up, no block asks for: a server may keep its answers.

        `overdue` is told where it takes longer than that says.
        """
        texts = self._plan.crowd(scenario, block if phase is Phase.MEASURED else -1 - active.launch)
        order = crowd_order(
            scenario, texts, launch=active.launch, block=block, phase=phase, seed=self._plan.run_limits.seed + block
        )
        return active.worker.attend(
            order, timeout_s=crowd_timeout(scenario, texts, self._plan.run_limits), overdue=overdue
        )
