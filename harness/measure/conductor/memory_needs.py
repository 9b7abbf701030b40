"""Predicts the memory of an arm's worker: an estimate before the first launch, a measured value afterwards.

The estimate is deliberately high. Its constants were read on the replica of full size (310 MiB, 2 shared
cores, ONNX Runtime 1.32): loaded it held 489 MiB, after a text of 206 characters 904, of 489 characters 1,143; the
small one (2 MiB) 94, 146 and 166 MiB. Unsigned 8-bit weights (87 MiB) held 384 MiB after 65 characters, 16-bit ones as
much as their original, and the same graph on OpenVINO 1,526.
"""

import math
from collections.abc import Iterable

from harness.core.records.repetition import Launch, Repetition
from harness.core.records.scenario import Arm, Scenario, original_digest
from harness.engines.declarations import declaration_of
from harness.measure.conductor.events import BlockDone, Event, Launched, WarmedUp
from harness.plan.matrix import Plan

MIB = 1 << 20
PROCESS = 120 * MIB
"""An interpreter with ONNX Runtime and kokoro-onnx, or a client with its server's answers."""
OTHER_ENGINE = 500 * MIB
"""A worker of a third-party engine."""
UNPACKED = 1.3
"""Weights in memory per byte of the original model's file. A derived model may be unpacked to the same size."""
ELSEWHERE = 3.5
"""Factor for providers other than the CPU, which keep a second graph."""
FULL_SIZE = 310 * MIB
PER_CHARACTER = 2 * MIB
"""Arena bytes per character of text, for a model of full size. The width scales with the square root of the size."""
BATCH = 510
"""The most phonemes, and so about the most characters, that a model processes at once."""
ALLOWANCE = 1.05
"""Factor on the memory that was measured in an earlier launch."""


class MemoryNeeds:
    """Collects memory readings from a run's events. `of` returns what an arm's worker needs, in bytes."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._loaded: dict[str, int] = {}
        self._held: dict[str, int] = {}
        self._arms = {each.id: each.arm.id for each in plan.scenarios if not each.mode.starts_alone}

    def handle(self, event: Event) -> None:
        """Record a worker's memory. Dedicated start-ups are left out: they do not run all texts of their arm."""
        if isinstance(event, Launched):
            self._note_loaded(event.launch)
        elif isinstance(event, WarmedUp):
            self._note_held([event.repetition])
        elif isinstance(event, BlockDone):
            self._note_held(event.repetitions)

    def of(self, arm: Arm) -> int:
        """The bytes measured in earlier launches, else an estimate."""
        if arm.url and not arm.server:
            return PROCESS  # the memory is the server's, which runs in any case
        client = PROCESS if declaration_of(arm.engine).server or arm.server else 0
        if held := self._held.get(arm.id):
            return client + round(ALLOWANCE * held)
        return client + self._estimate(arm)

    def _estimate(self, arm: Arm) -> int:
        loaded = self._loaded.get(arm.id, 0)
        if arm.model is None or not declaration_of(arm.engine).takes_models:
            return max(loaded, OTHER_ENGINE)
        size, sessions = self._original_size(arm), _sessions(arm)
        weights = UNPACKED * size * (1.0 if arm.provider == "cpu" else ELSEWHERE)
        longest = max((self._plan.utterance(each, 0).characters for each in self._spoken(arm)), default=0)
        arena = PER_CHARACTER * min(longest, BATCH) * math.sqrt(size / FULL_SIZE)
        return round((loaded or PROCESS + sessions * weights) + sessions * arena)

    def _original_size(self, arm: Arm) -> int:
        """File size in bytes of the original of the arm's model if the plan has it, else of the model itself."""
        assert arm.model is not None  # noqa: S101 - for the type checker
        wanted = original_digest(arm.model, self._plan.scenarios)
        sizes = (each.model.size for each in self._plan.arms if each.model and wanted and each.model.sha256 == wanted)
        return max(arm.model.size, next(sizes, 0))

    def _spoken(self, arm: Arm) -> Iterable[Scenario]:
        return (each for each in self._plan.scenarios if each.arm == arm and not each.mode.starts_alone)

    def _note_loaded(self, launch: Launch) -> None:
        if launch.outcome.valid and launch.rss_loaded:
            self._loaded[launch.arm_id] = max(launch.rss_loaded, self._loaded.get(launch.arm_id, 0))

    def _note_held(self, repetitions: Iterable[Repetition]) -> None:
        for each in repetitions:
            if arm_id := self._arms.get(each.scenario_id):
                held = max(each.memory.peak or 0, each.memory.rss_after or 0)
                self._held[arm_id] = max(held, self._held.get(arm_id, 0))


def _sessions(arm: Arm) -> int:
    """The number of sessions, each with its own weights and arena. The option is `2` or `cpu:1+cpu:1`."""
    given = dict(arm.session_options).get("sessions", "1")
    return int(given) if given.isdigit() else given.count("+") + 1
