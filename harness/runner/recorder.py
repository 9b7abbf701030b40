"""Stores the events of a run as they occur, and its conclusions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from harness.analysis.conclude import Conclusions
from harness.core.clock import Clock
from harness.core.records.environment import Conditions
from harness.core.records.repetition import Block, Launch, Repetition
from harness.core.records.run import RunData, RunRecord, RunStatus
from harness.core.records.verdict import VerdictKind
from harness.measure.conductor.events import BlockDone, Event, Grouped, Launched, WarmedUp
from harness.measure.conductor.memory_groups import describe_groups
from harness.runner.resources import Reporter
from harness.store.retry import with_retries
from harness.store.runs import RunStore

Result = TypeVar("Result")


@dataclass(slots=True, kw_only=True)
class RunRecorder:
    """Handles the conductor's events: writes them to the store, and keeps them in memory for early stopping."""

    store: RunStore
    head: RunRecord
    clock: Clock
    report: Reporter
    launches: list[Launch] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    repetitions: list[Repetition] = field(default_factory=list)
    grouped: list[Grouped] = field(default_factory=list)
    ended: bool = False

    @property
    def run_id(self) -> str:
        return self.head.id

    @property
    def so_far(self) -> RunData:
        """The run with everything observed until now."""
        return RunData(
            run=self.head,
            launches=tuple(self.launches),
            blocks=tuple(self.blocks),
            repetitions=tuple(self.repetitions),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on how the run was measured."""
        note = describe_groups(self.grouped)
        return (note,) if note else ()

    def __call__(self, event: Event) -> None:
        """Store the records of an event. A lost scenario is stored by its failed repetition or launch.

        If the database is unreachable, writing is retried, so that no measured record is lost.
        """
        self._retried(lambda: self._store(event))
        if isinstance(event, BlockDone):
            self.blocks.append(event.block)
            self.repetitions += event.repetitions
        elif isinstance(event, Launched):
            self.launches.append(event.launch)
        elif isinstance(event, WarmedUp):
            self.repetitions.append(event.repetition)
        elif isinstance(event, Grouped):
            self.grouped.append(event)

    def add_repetitions(self, repetitions: Sequence[Repetition]) -> None:
        """Store repetitions of a block that has not ended."""
        self._retried(lambda: self.store.add_repetitions(self.run_id, repetitions))
        self.repetitions += repetitions

    def observed(self, status: RunStatus, reason: str) -> RunData:
        """The observed run with its status and reason, as input of the analysis."""
        return replace(self.so_far, run=replace(self.head, status=status, reason=reason))

    def finish(self, conclusions: Conclusions, *, status: RunStatus, reason: str, conditions: Conditions) -> RunData:
        """Store the conclusions and the end of the run. Return the run as stored, without reading it again.

        A complete run with a failed scenario is stored as failed. Writing is retried as in `__call__`.
        """
        failed = any(verdict.kind is VerdictKind.FAILED for verdict in conclusions.verdicts)
        if failed and status in (RunStatus.COMPLETE, RunStatus.PARTIAL):
            status = RunStatus.FAILED
        concluded = conclusions.summaries, conclusions.verdicts, conclusions.targets
        self._retried(lambda: self.store.conclude(self.run_id, *concluded))
        ended_at = self.clock.wall()
        ended = self._retried(
            lambda: self.store.finish(
                self.run_id,
                status=status,
                ended_at=ended_at,
                conditions_at_end=conditions,
                reason=reason,
                notes=conclusions.notes,
            )
        )
        self.ended = True
        return replace(
            self.so_far,
            run=ended,
            summaries=tuple(conclusions.summaries),
            verdicts=tuple(conclusions.verdicts),
            targets=tuple(conclusions.targets),
        )

    def end(self, status: RunStatus, reason: str) -> None:
        """Store the end of a run that comes to no conclusions. Raises BenchError without trying again."""
        if not self.ended:
            self.store.finish(self.run_id, status=status, ended_at=self.clock.wall(), reason=reason)
            self.ended = True

    def _retried(self, action: Callable[[], Result]) -> Result:
        return with_retries(action, clock=self.clock, report=self.report)

    def _store(self, event: Event) -> None:
        if isinstance(event, BlockDone):
            self.store.add_block(self.run_id, event.block, event.repetitions)
        elif isinstance(event, Launched):
            self.store.add_launch(self.run_id, event.launch)
        elif isinstance(event, WarmedUp):
            self.store.add_repetitions(self.run_id, [event.repetition])
