"""Requests of another length than the one before: some engines adapt to each new length, and serve it later.

ONNX Runtime on CUDA does so by default: cuDNN tries its convolution algorithms again for every new shape. A text that
is repeated is served much faster than a user's next text, and the mean of a run is neither of the two.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from harness.analysis.stats.movement import added
from harness.core.records.repetition import Phase, Repetition
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Mode, Scenario
from harness.metrics.registry import METRICS

LEAST_SHARE = 0.25
"""A smaller part of the latency is not reported."""
SEARCH = "cudnn_conv_algo_search"
"""The option of CUDA that decides how cuDNN finds an algorithm for a new shape."""


def length_notes(data: RunData) -> tuple[str, ...]:
    """One sentence for each scenario whose requests take longer after one of another length."""
    return tuple(note for scenario in data.run.scenarios if (note := _note(scenario, data.repetitions)))


def _note(scenario: Scenario, repetitions: Sequence[Repetition]) -> str:
    if scenario.mode not in (Mode.WHOLE, Mode.STREAM) or scenario.concurrency > 1 or scenario.arm.url:
        return ""
    changed, same = _by_predecessor(scenario, repetitions)
    found = added(tuple(map(tuple, changed)), tuple(map(tuple, same)))
    if found is None or found.low <= 0:
        return ""
    after_same, after_another = (median(value for launch in side for value in launch) for side in (same, changed))
    if after_another < (1 + LEAST_SHARE) * after_same:
        return ""
    shown = METRICS["latency"].format
    remedy = remedy_for(scenario.arm)
    return (
        f"{scenario.id}: latency {shown(after_another)} after a text of another length, "
        f"{shown(after_same)} after one of the same: the engine adapts to each new length"
        + (f"; {remedy}" if remedy else "")
    )


def remedy_for(arm: Arm) -> str:
    """What to try; "" if nothing is known, or if the arm has it already."""
    if arm.provider != "cuda" or SEARCH in dict(arm.provider_options):
        return ""
    return (
        f"`kokoro-bench duel provider=cuda,cuda:{SEARCH}=HEURISTIC provider=cuda` shows whether that option avoids it"
    )


def _by_predecessor(
    scenario: Scenario, repetitions: Sequence[Repetition]
) -> tuple[list[list[float]], list[list[float]]]:
    """Latencies in seconds after a request of another length, and of the same, by launch; the worker's last request."""
    workers: dict[int, list[Repetition]] = {}
    prefix = f"{scenario.arm.id}/"
    for each in repetitions:
        if each.scenario_id.startswith(prefix):
            workers.setdefault(each.launch, []).append(each)
    changed: list[list[float]] = []
    same: list[list[float]] = []
    for served in workers.values():
        in_order = sorted(served, key=lambda each: each.started_at)
        changed.append([])
        same.append([])
        for before, each in pairwise(in_order):
            if each.scenario_id == scenario.id and each.phase is Phase.MEASURED and each.outcome.valid:
                (same if before.characters == each.characters else changed)[-1].append(each.end_ns / 1e9)
    return changed, same
