"""What the conductor says while it measures. It prints nothing and writes nothing itself: whoever listens does."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from harness.core.records.repetition import Block, Launch, Outcome, Repetition


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The run is in the store, under this id."""

    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is being done, the share of the run that lies behind, and the seconds that remain.

    Before the first block nobody knows what remains: `remaining_s` is None. With `at_most` it is an upper bound.
    """

    doing: str
    share: float
    remaining_s: float | None
    budget_left_s: float
    at_most: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """The arms of a launch do not fit into memory together, and take turns: how much each group holds, in bytes.

    `needed` is what all would hold at once, `allowed` what they may; `unfit` are arms that do not fit even so, alone or
    beside what they are held against, and are played all the same.
    """

    launch: int
    arms: int
    groups: tuple[int, ...]
    needed: int
    allowed: int
    unfit: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """A worker was started, or could not be."""

    launch: Launch


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmedUp:
    """A repetition outside the blocks."""

    repetition: Repetition


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDone:
    """A block has ended: what it gave is ready to be kept."""

    block: Block
    repetitions: tuple[Repetition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioLost:
    """A scenario is given up for the rest of the run."""

    scenario_id: str
    outcome: Outcome


Event: TypeAlias = Begun | Progress | Grouped | Launched | WarmedUp | BlockDone | ScenarioLost

EventHandler = Callable[[Event], None]
