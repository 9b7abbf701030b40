"""Whether the launch under way has said what it can of every gated figure, and further blocks are not needed."""

from dataclasses import replace

from harness.analysis.stats.precision import Precision
from harness.core.records.run import RunData
from harness.metrics.derive import scenario_values
from harness.metrics.metric import Per
from harness.metrics.registry import METRICS

NARROWED_BY_BLOCKS = (Per.REPETITION, Per.CHUNK, Per.WINDOW)
"""What is read once a launch gains nothing from its further blocks."""


def precision_reached(data: RunData, precision: Precision) -> str:
    """What ends the launch of the last block, or its group of arms; "" where a block more may narrow a gated figure.

    Looks only where `precision` looks; the figures are those of this launch and group alone.
    """
    last = data.blocks[-1]
    blocks = {block.block for block in data.blocks if (block.launch, block.group) == (last.launch, last.group)}
    if not precision.looks_at(len(blocks)):
        return ""
    # By block and not by launch: a worker that was lost and started again goes on under a launch of its own.
    here = replace(
        data,
        blocks=tuple(block for block in data.blocks if block.block in blocks),
        repetitions=tuple(repetition for repetition in data.repetitions if repetition.block in blocks),
    )
    for scenario in data.run.scenarios:
        if scenario.mode.is_load:
            continue
        for name, values in scenario_values(scenario, here).items():
            if METRICS[name].gated and METRICS[name].per in NARROWED_BY_BLOCKS and not precision.reached(values.flat):
                return ""
    return f"every gated figure was known to ±{100 * precision.half_width:g} %"
