"""Whether the current launch is precise enough for every gated metric, so that it needs no more blocks."""

from collections.abc import Callable
from dataclasses import replace

from harness.analysis.stats.precision import Precision
from harness.core.records.run import RunData
from harness.metrics.derive import scenario_values
from harness.metrics.metric import Per
from harness.metrics.registry import METRICS

NARROWED_BY_BLOCKS = (Per.REPETITION, Per.CHUNK, Per.WINDOW)
"""More blocks narrow only these metrics. A metric that is read once a launch gains nothing from them."""


def precision_reached(data: RunData, precision: Precision, *, gates: Callable[[str], bool]) -> str:
    """The reason to end the last block's launch (or its group of arms), or "" if more blocks may narrow a gated metric.

    `gates` says whether the user has a metric gate, among those that can. It checks only at the block counts that
    `precision` selects, and only values of this launch and group.
    """
    last = data.blocks[-1]
    blocks = {block.block for block in data.blocks if (block.launch, block.group) == (last.launch, last.group)}
    if not precision.looks_at(len(blocks)):
        return ""
    # Select by block, not by launch: a worker that crashed and was restarted continues under a new launch number.
    here = replace(
        data,
        blocks=tuple(block for block in data.blocks if block.block in blocks),
        repetitions=tuple(repetition for repetition in data.repetitions if repetition.block in blocks),
    )
    for scenario in data.run.scenarios:
        if scenario.mode.is_start_up:
            continue
        for name, values in scenario_values(scenario, here).items():
            decides = METRICS[name].gated and gates(name) and METRICS[name].per in NARROWED_BY_BLOCKS
            if decides and not precision.reached(values.flat):
                return ""
    return f"every gated metric was known to ±{100 * precision.half_width:g} %"
