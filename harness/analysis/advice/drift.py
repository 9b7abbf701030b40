"""Whether the machine changed while several runs were measured, by the canary: a fixed piece of work in each block."""

import math
from collections.abc import Sequence
from statistics import median

from harness.analysis.messages import percent
from harness.core.records.run import RunData

NOTICEABLE = math.log(1.10)
"""Smaller movements of the canary's median between runs are ordinary."""


def machine_change(runs: Sequence[RunData]) -> str:
    """A sentence if the canary moved by more than `NOTICEABLE` between two of the runs; "" otherwise."""
    levels = [(data.run.id, level) for data in runs if (level := _level(data))]
    if len(levels) < 2:
        return ""
    (fast, low), (slow, high) = min(levels, key=lambda each: each[1]), max(levels, key=lambda each: each[1])
    moved = math.log(high / low)
    if moved <= NOTICEABLE:
        return ""
    longer = percent(moved).removeprefix("+")
    return (
        f"the machine changed during the search: a fixed piece of work took {longer} longer in "
        f"run {slow} than in run {fast}; pairs within a run are not affected, figures of different rounds are"
    )


def _level(data: RunData) -> float | None:
    """The canary's median time in a run, in nanoseconds; None without a canary."""
    for name in ("graph_ns", "numpy_ns"):
        found = [value for block in data.blocks if (value := getattr(block.canary, name))]
        if found:
            return float(median(found))
    return None
