"""How a run is analysed and conducted: what the commands choose."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.analysis.conclude import Conclusions
from harness.analysis.stats.comparison import Policy
from harness.core.clock import Clock
from harness.core.records.run import RunData
from harness.measure.conductor.conductor import Conductor
from harness.measure.conductor.events import EventHandler
from harness.measure.conductor.watch import Watch
from harness.measure.conductor.worker_factory import WorkerFactory
from harness.metrics.derive import RunValues
from harness.plan.matrix import ALL_LAUNCHES, LaunchPolicy, Plan
from harness.runner.side_tasks import Explain, unexplained

if TYPE_CHECKING:
    from harness.runner.duel import DuelAnalysis


def undecided(data: RunData) -> str:
    """A rule that never ends a run early."""
    del data
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnalysis:
    """How a run is analysed: `conclude` at its end, `enough` after each block with everything observed so far.

    `enough` returns the reason to stop the run, or "" to go on. `settled` does the same for the current launch only.
    `explain` may profile scenarios after the measurement, to name the causes of verdicts.
    """

    conclude: Callable[[RunValues], Conclusions]
    enough: Callable[[RunData], str]
    policy: Policy
    explain: Explain = unexplained
    settled: Callable[[RunData], str] = undecided
    divides_budget: bool = False
    """Whether its own rule divides the budget, as that of a duel does: then no share is kept to profile each arm."""
    needs_every_arm: bool = False
    """Whether an arm that cannot be prepared is an error, so that nothing is measured."""
    launch_policy: LaunchPolicy = ALL_LAUNCHES
    """How time is divided between launches, blocks and arms."""
    announcement: str = ""
    """How long measuring takes, for the beginning of the run."""
    untried: tuple[tuple[str, str], ...] = ()
    """Candidates of a search that could not be made, each with the reason."""


def of_duel(analysis: "DuelAnalysis", launch_policy: LaunchPolicy) -> RunAnalysis:
    """The analysis of a run that is a duel: the duel's own analysis decides when a launch and the run end."""
    return RunAnalysis(
        conclude=lambda values: analysis.conclude(values.data, values),
        enough=analysis.enough,
        settled=analysis.settled,
        policy=analysis.policy,
        launch_policy=launch_policy,
        divides_budget=True,
    )


Conduct = Callable[[Plan, WorkerFactory, Clock, EventHandler, Watch], Conductor]
"""Makes the conductor of a plan from a worker factory, a clock, an event handler and a rule for early stopping."""


def in_blocks(plan: Plan, worker_factory: WorkerFactory, clock: Clock, emit: EventHandler, watch: Watch) -> Conductor:
    """A conductor that runs the plan in randomised blocks."""
    return Conductor(plan, worker_factory=worker_factory, clock=clock, emit=emit, watch=watch)
