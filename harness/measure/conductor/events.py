"""Events that the conductor emits while it measures. Event handlers print or store them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from harness.core.records.repetition import Block, Launch, Outcome, Repetition


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """The run is in the store under this id."""

    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The current activity, the share of the run that is done, and the seconds that remain.

    `remaining_s` is None before the first block. With `at_most` it is an upper bound.
    """

    doing: str
    share: float
    remaining_s: float | None
    budget_left_s: float
    at_most: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """The arms of a launch do not fit into memory together and run in `groups`, given by their memory in bytes.

    `needed` is the memory of all arms at once, `allowed` the limit, both in bytes. `unfit` are arms that exceed the
    limit alone or together with their references; they run anyway.
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
    """A block has ended; its repetitions are ready to be stored."""

    block: Block
    repetitions: tuple[Repetition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioLost:
    """A scenario is removed for the rest of the run."""

    scenario_id: str
    outcome: Outcome


Event: TypeAlias = Begun | Progress | Grouped | Launched | WarmedUp | BlockDone | ScenarioLost

EventHandler = Callable[[Event], None]
