"""When a duel may stop early: group-sequential analyses at planned block counts with an alpha-spending function.

Analysing after every block and stopping at the first verdict would find a difference in nearly any noise. So the data
are analysed only when the number of blocks has doubled. The analysis at the fraction t of the planned blocks spends
f(tₖ) − f(tₖ₋₁) of the error rate with f(t) = t², a power family of Lan and DeMets (1983; Kim and DeMets 1987). The
fractions add up to one. So by Bonferroni the probability of any wrong verdict is at most that of a single analysis,
for any dependence between the analyses. The intervals, read at these levels, hold simultaneously (the repeated
confidence intervals of Jennison and Turnbull). The last analysis keeps three quarters of the error rate; that costs it
about one pair in twenty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.analysis.gate import DEFAULT_POLICY, run_gate
from harness.core.errors import UsageError
from harness.core.records.verdict import VerdictKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.analysis.stats.comparison import Comparison, Policy
    from harness.core.records.verdict import Verdict

EARLIEST_BLOCKS = 6
"""The first analysis happens after at least this many blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether to stop, the reason in a sentence, and the share of the error rate to spend if the run ends now.

    Pass `share` to `gate.run_gate`: then the reported intervals account for the earlier analyses.
    """

    stop: bool
    reason: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppingRule:
    """The stopping rule of a duel. Call `after` with the data so far after each block.

    It keeps no state, so a resumed run decides identically. `planned_blocks` is the number of blocks that the budget
    allows (`blocks_in`); it must not change after the first analysis.
    """

    planned_blocks: int
    policy: Policy = DEFAULT_POLICY
    others: int = 0
    """The number of comparisons that the run decides together with these, and that this rule does not see."""
    last_chance: int | None = None
    """After how many blocks the time that is kept for profiles begins; None before that, or if none is kept.

    It depends on time and not on what was measured, so it may be an additional analysis.
    """

    def __post_init__(self) -> None:
        if self.planned_blocks < 1:
            raise UsageError("the budget does not allow a single block", where="--budget", remedy="give it more time")

    def planned_analyses(self) -> tuple[int, ...]:
        """The block counts at which the data are analysed, in ascending order.

        They are the plan, its repeated halves, and where the time that is kept for profiles begins.
        """
        found = [self.planned_blocks]
        while found[-1] // 2 >= EARLIEST_BLOCKS:
            found.append(found[-1] // 2)
        last_chance = {self.last_chance} if self.last_chance and self.last_chance < self.planned_blocks else set()
        return tuple(sorted({*found, *last_chance}))

    def alpha_spent(self, blocks: int) -> float:
        """The fraction of the error rate that an analysis at `blocks` may spend.

        A planned analysis spends its own fraction. A run that ends at another block count, because its time is up,
        spends everything that its earlier analyses have left.
        """
        planned_analyses = self.planned_analyses()
        # The end of the plan is the last analysis, also for a run that went a block beyond it.
        spent = max((self._spending(look) for look in planned_analyses[:-1] if look < blocks), default=0.0)
        return (self._spending(blocks) if blocks in planned_analyses else 1.0) - spent

    def after(
        self, blocks: int, comparisons: Sequence[Comparison], *, has_cause: Callable[[Verdict], bool] = lambda _: False
    ) -> Decision:
        """Decide after `blocks` blocks, from the gated `comparisons` so far.

        At `last_chance`, a verdict that `has_cause` ends the duel, because the time that is left can show its cause.
        """
        if blocks >= self.planned_blocks:
            done = f"the planned {blocks} blocks are done" if blocks > 1 else "the one block that fits is done"
            return Decision(stop=True, reason=done, share=self.alpha_spent(blocks))
        planned_analyses = self.planned_analyses()
        if blocks not in planned_analyses:
            upcoming = min(look for look in planned_analyses if look > blocks)
            return Decision(
                stop=False, reason=f"the next analysis is at block {upcoming}", share=self.alpha_spent(blocks)
            )
        share = self.alpha_spent(blocks)
        verdicts = run_gate(comparisons, self.policy, share=share, others=self.others)
        open_pairs = sum(verdict.gates and verdict.kind is VerdictKind.INCONCLUSIVE for verdict in verdicts)
        if open_pairs and blocks == self.last_chance and any(map(has_cause, verdicts)):
            reason = f"a change is shown after {blocks} blocks, and the rest of the budget is for its cause"
            return Decision(stop=True, reason=reason, share=share)
        if open_pairs:
            reason = f"{open_pairs} gated pair{'s' if open_pairs > 1 else ''} undecided"
            return Decision(stop=False, reason=reason, share=share)
        reason = f"every gated value of a repetition is decided after {blocks} blocks"
        return Decision(stop=True, reason=reason, share=share)

    def _spending(self, blocks: int) -> float:
        return (blocks / self.planned_blocks) ** 2


def blocks_in(budget_s: float, *, seconds_per_block: float) -> int:
    """The number of blocks that fit into `budget_s` seconds: `planned_blocks` of a `StoppingRule`."""
    return math.floor(budget_s / seconds_per_block)
