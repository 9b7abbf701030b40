"""When a duel has seen enough: looks at planned moments, each of which may spend a part of the duel's error.

Looking after every block and stopping at the first verdict would find something in nearly any noise. So the data are
looked at when the number of blocks has doubled, and a look at the fraction t of the planned blocks may spend what the
function t² gives it: f(tₖ) − f(tₖ₋₁), a power family of Lan and DeMets (1983; Kim and DeMets 1987). The shares add up
to one, so by Bonferroni the chance that any look is wrong is at most what one look would have had, whatever the
dependence between looks; and the interval of a look, read at its share, holds for all of them at once (Jennison and
Turnbull's repeated confidence intervals). Most is left to the end: three quarters, which costs the last look hardly
more than one pair in twenty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.analysis.gate import DEFAULT_POLICY, judge
from harness.core.errors import UsageError
from harness.core.records.verdict import VerdictKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.analysis.stats.comparison import Comparison, Policy

EARLIEST_BLOCKS = 6
"""Blocks before which nothing is worth a look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether to stop, why in a sentence, and the share of the error to judge with if the run ends now.

    Pass `share` to `gate.judge`: with it the reported intervals stay valid under the looks that were taken.
    """

    stop: bool
    reason: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppingRule:
    """Fed with a duel's interim data after each block; keeps no state, so that a resumed run decides alike.

    `planned_blocks` is how many blocks the budget allows (`blocks_in`); it must not be changed after the first look.
    """

    planned_blocks: int
    policy: Policy = DEFAULT_POLICY

    def __post_init__(self) -> None:
        if self.planned_blocks < 1:
            raise UsageError("the budget does not allow a single block", where="--budget", remedy="give it more time")

    def looks(self) -> tuple[int, ...]:
        """The numbers of blocks at which the data are looked at: halves of halves of the plan, and the plan."""
        found = [self.planned_blocks]
        while found[-1] // 2 >= EARLIEST_BLOCKS:
            found.append(found[-1] // 2)
        return tuple(reversed(found))

    def share(self, blocks: int) -> float:
        """The share of the error that judging at `blocks` may spend.

        At a planned look that is its own; a run that is ended elsewhere, because its time was up, spends all that its
        past looks have left.
        """
        looks = self.looks()
        # The plan's end is the last look, also of a run that went a block beyond it.
        spent = max((self._spending(look) for look in looks[:-1] if look < blocks), default=0.0)
        return (self._spending(blocks) if blocks in looks else 1.0) - spent

    def after(self, blocks: int, comparisons: Sequence[Comparison]) -> Decision:
        """Decide after `blocks` blocks, given the gated `comparisons` so far."""
        if blocks >= self.planned_blocks:
            done = f"the planned {blocks} blocks are done" if blocks > 1 else "the one block that fits is done"
            return Decision(stop=True, reason=done, share=self.share(blocks))
        looks = self.looks()
        if blocks not in looks:
            upcoming = min(look for look in looks if look > blocks)
            return Decision(stop=False, reason=f"the next look is at block {upcoming}", share=self.share(blocks))
        share = self.share(blocks)
        open_pairs = sum(
            verdict.kind is VerdictKind.INCONCLUSIVE for verdict in judge(comparisons, self.policy, share=share)
        )
        if open_pairs:
            reason = f"{open_pairs} gated pair{'s' if open_pairs > 1 else ''} undecided"
            return Decision(stop=False, reason=reason, share=share)
        return Decision(stop=True, reason=f"every gated pair is decided after {blocks} blocks", share=share)

    def _spending(self, blocks: int) -> float:
        return (blocks / self.planned_blocks) ** 2


def blocks_in(budget_s: float, *, seconds_per_block: float) -> int:
    """How many blocks fit into `budget_s` seconds; the plan of a `StoppingRule`."""
    return math.floor(budget_s / seconds_per_block)
