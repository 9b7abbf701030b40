"""Rules that may end a run, or its current group of blocks, before the budget is spent."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass


def never() -> str:
    """No reason to stop before the blocks or the budget do."""
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Checks after each block. Each returns the reason to end the run, or its group's blocks; "" to continue."""

    ends_run: Callable[[], str] = never
    ends_group: Callable[[], str] = never


def early_endings(reasons: Sequence[str], *, most_blocks: int, groups: int) -> str:
    """Join why blocks ended early: one sentence for those with the same reason."""
    each = "launches" if groups < 2 else "groups of arms"
    return "; ".join(
        f"{reason} of at most {most_blocks} blocks" + (f" ({times} {each})" if times > 1 else "")
        for reason, times in Counter(reasons).items()
    )
