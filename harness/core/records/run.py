"""One run as it is kept: readable at every moment, also when it was killed halfway."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from harness.core.records.environment import Conditions, Machine, Subject
from harness.core.records.repetition import Block, Launch, Phase, Repetition
from harness.core.records.scenario import Scenario
from harness.core.records.verdict import Median, Summary, TargetResult, Verdict

REPLICA_NOTE = "The replica was measured, not Kokoro itself: "
"""Begins the note of a run that names no model and could not obtain Kokoro's; the reason follows."""

REPLAY_OF = "replay of "
"""Begins the selection of a replay's own run; the id of the run follows, and after a colon the arm."""

CONFIRMATION = "confirmation of "
"""Begins the arm in the selection of a replay that was made to confirm what the run had found."""

BISECTION_OF = "bisect "
"""Begins the selection of each run of a bisection; the id of the bisection follows, and after a colon what the run
measures."""

DUEL = "duel: "
"""Begins the selection of a duel, whose first two scenarios are the candidate and the reference."""

RUN_FORMAT = 1
"""Version of the record's form. History: 1, the first."""


def confirmation_selection(run_id: str, arm_id: str) -> str:
    """The selection of the duel that confirms what the run `run_id` has found of an arm."""
    return f"{REPLAY_OF}{run_id}: {CONFIRMATION}{arm_id}"


def bisection_of(selection: str) -> str:
    """The id of the bisection that a run belongs to, by its selection; "" for other runs."""
    return selection.removeprefix(BISECTION_OF).partition(":")[0] if selection.startswith(BISECTION_OF) else ""


class RunKind(StrEnum):
    """What a stored run is."""

    RUN = "run"
    VALIDATION = "validation"
    DUEL = "duel"
    REPLAY = "replay"
    """The pairs of another run with what was accepted."""
    SEARCH = "search"
    """A round, a check or the final duel of `tune` or `optimise`."""
    CALIBRATION = "calibration"
    BISECTION = "bisection"
    """One measurement of a bisection."""

    @property
    def compares_arms(self) -> bool:
        """Whether its values count only as ratios of its arms."""
        return self not in (RunKind.RUN, RunKind.VALIDATION)


MEASURED = frozenset({RunKind.RUN})
"""Runs whose values stand for themselves: what can be accepted, and compared with another run."""
RESULTS = frozenset({RunKind.RUN, RunKind.VALIDATION, RunKind.DUEL})
"""Runs that are a result by themselves, and no part of something larger."""
_KINDS = {
    REPLAY_OF: RunKind.REPLAY,
    DUEL: RunKind.DUEL,
    "tune: ": RunKind.SEARCH,
    "optimise: ": RunKind.SEARCH,
    "calibrate: ": RunKind.CALIBRATION,
    BISECTION_OF: RunKind.BISECTION,
    "validate": RunKind.VALIDATION,
}
"""Beginning of a selection → kind; every other run is a `RUN`."""


def kind_of(selection: str) -> RunKind:
    """The kind of a run, which the beginning of its selection tells."""
    return next((kind for start, kind in _KINDS.items() if selection.startswith(start)), RunKind.RUN)


class RunStatus(StrEnum):
    """How far a run came."""

    RUNNING = "running"
    COMPLETE = "complete"
    PARTIAL = "partial"
    """Ended in order before it was done: its budget was spent."""
    INTERRUPTED = "interrupted"
    """Ended by a person or a kill; what had finished is here."""
    FAILED = "failed"
    """Some scenario could not be measured validly."""

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its own end, so that its figures rest on as much as was meant."""
        return self in (RunStatus.COMPLETE, RunStatus.PARTIAL, RunStatus.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What two runs must share to be comparable, besides the machine, the scenario and the metric's definition."""

    corpus: str
    """Digest of the English texts."""
    protocol: int
    """Version of the way of measuring: raised whenever a figure would change by it."""
    corpora: tuple[tuple[str, str], ...] = ()
    """Tag and digest of the texts of each other language in the run."""

    def texts_in(self, language: str) -> str:
        """Digest of the texts of a language; of the English texts where the run has no others."""
        return dict(self.corpora).get(language, self.corpus)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The head of a run. `pid` and `boot` tell whether a run marked as running is still alive."""

    id: str
    started_at: float
    seed: int
    selection: str
    machine: Machine
    conditions: Conditions
    subject: Subject
    setting: Setting
    scenarios: tuple[Scenario, ...]
    budget_s: float
    format: int = RUN_FORMAT
    status: RunStatus = RunStatus.RUNNING
    ended_at: float | None = None
    conditions_at_end: Conditions | None = None
    reason: str = ""
    """Why the status is what it is, where that needs saying."""
    notes: tuple[str, ...] = ()
    untried: tuple[tuple[str, str], ...] = ()
    """Candidates of a search that could not be made, each with the reason."""
    pid: int = 0
    boot: str = ""

    @property
    def replay_of(self) -> str:
        """The id of the run that this run is a replay of; "" for other runs."""
        is_replay = kind_of(self.selection) is RunKind.REPLAY
        return self.selection.removeprefix(REPLAY_OF).partition(":")[0] if is_replay else ""

    @property
    def replica_note(self) -> str:
        """The sentence that the replica was measured because Kokoro could not be obtained; "" otherwise."""
        return next((note for note in self.notes if note.startswith(REPLICA_NOTE)), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunData:
    """A run with all that was observed and concluded."""

    run: RunRecord
    launches: tuple[Launch, ...] = ()
    blocks: tuple[Block, ...] = ()
    repetitions: tuple[Repetition, ...] = ()
    summaries: tuple[Summary, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    targets: tuple[TargetResult, ...] = field(default=())

    @property
    def seconds(self) -> float:
        """The time from its start to its end, or to the end of its last block if it was killed or still runs."""
        last = self.blocks[-1] if self.blocks else None
        ended_at = self.run.ended_at or (last.started_at + last.wall_ns / 1e9 if last else self.run.started_at)
        return ended_at - self.run.started_at

    @property
    def in_slices(self) -> bool:
        """Whether the sides of a duel's pairs worked at the same time, as far as their figures count."""
        return any(block.slice_ns for block in self.blocks) and not any(block.whole for block in self.blocks)

    @property
    def counted(self) -> "RunData":
        """What counts of it: where slices turned out not to suit an arm, only the blocks that were not in slices."""
        unfit = {block.block for block in self.blocks if block.slice_ns} if not self.in_slices else set()
        if not unfit:
            return self
        return replace(
            self,
            blocks=tuple(block for block in self.blocks if block.block not in unfit),
            repetitions=tuple(
                each for each in self.repetitions if each.phase is not Phase.MEASURED or each.block not in unfit
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutline:
    """A run with all that was concluded, and of what was observed only what went wrong.

    `repetitions` are those whose outcome is not valid, of every phase; `tries` counts all that were made, by scenario.
    """

    run: RunRecord
    launches: tuple[Launch, ...]
    repetitions: tuple[Repetition, ...]
    tries: Mapping[str, int]
    summaries: tuple[Median, ...]
    verdicts: tuple[Verdict, ...]
    targets: tuple[TargetResult, ...]


Concluded = RunData | RunOutline
"""What shows the conclusions of a run takes either: their parts have the same names."""
