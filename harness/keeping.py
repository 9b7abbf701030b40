"""Keeps what a run observes, as it is said."""

from dataclasses import dataclass, field

from harness.clock import Clock
from harness.equipment import Reporter
from harness.measure.events import BlockDone, Event, Grouped, Launched, WarmedUp
from harness.measure.groups import sentence
from harness.records.repetition import Block, Launch, Repetition
from harness.records.run import RunData, RunRecord
from harness.store.patience import patiently
from harness.store.runs import RunStore


@dataclass(slots=True, kw_only=True)
class Keeper:
    """Keeps what the conductor says: in the store at once, and in memory for whoever must decide in between."""

    store: RunStore
    head: RunRecord
    clock: Clock
    report: Reporter
    launches: list[Launch] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    repetitions: list[Repetition] = field(default_factory=list)
    grouped: list[Grouped] = field(default_factory=list)

    @property
    def run_id(self) -> str:
        """The id that the store gave the run."""
        return self.head.id

    @property
    def so_far(self) -> RunData:
        """What was observed until now."""
        return RunData(
            run=self.head,
            launches=tuple(self.launches),
            blocks=tuple(self.blocks),
            repetitions=tuple(self.repetitions),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of how the run was played."""
        told = sentence(self.grouped)
        return (told,) if told else ()

    def __call__(self, event: Event) -> None:
        """Keep what an event brings; the failed repetition or launch of a lost scenario is a record of its own.

        A database that is away is waited for: what it did not take happened, and must not be lost.
        """
        patiently(lambda: self._store(event), clock=self.clock, report=self.report)
        if isinstance(event, BlockDone):
            self.blocks.append(event.block)
            self.repetitions += event.repetitions
        elif isinstance(event, Launched):
            self.launches.append(event.launch)
        elif isinstance(event, WarmedUp):
            self.repetitions.append(event.repetition)
        elif isinstance(event, Grouped):
            self.grouped.append(event)

    def _store(self, event: Event) -> None:
        if isinstance(event, BlockDone):
            self.store.add_block(self.run_id, event.block, event.repetitions)
        elif isinstance(event, Launched):
            self.store.add_launch(self.run_id, event.launch)
        elif isinstance(event, WarmedUp):
            self.store.add_repetitions(self.run_id, [event.repetition])
