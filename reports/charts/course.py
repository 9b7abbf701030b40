"""The course of a run: the speed of the machine and of the arms from block to block, drawn by matplotlib."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING

from harness.core.records.repetition import Phase, Repetition
from harness.core.records.run import RunData
from reports.charts.style import ROLES, Drawn, drawn, label_per_cent
from reports.text.format import count, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHAPES = ("o", "s", "D", "^")
_READING = (
    "Each block's mean over all scenarios of how much longer a repetition took than its scenario's median; crosses are "
    "single disturbed repetitions. The line is the canary, a fixed piece of work: where it moves, the machine moved."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """Values in per cent beyond the median of the run. Blocks are counted from 1."""

    blocks: tuple[int, ...]
    launches: tuple[int, ...]
    means: tuple[float, ...]
    canary: tuple[float | None, ...]
    disturbed: tuple[tuple[int, float], ...]


def course(data: RunData) -> Drawn | None:
    """The course of a run; None if it has fewer than two blocks."""
    found = _course(data.counted)
    if len(found.blocks) < 2:
        return None
    return drawn("course", lambda figure: _draw(figure, found), finding=_finding(found), reading=_READING)


def _course(data: RunData) -> _Course:
    measured = [
        each for each in data.repetitions if each.phase is Phase.MEASURED and each.outcome.valid and each.end_ns > 0
    ]
    typical = {
        scenario_id: median(each.end_ns for each in measured if each.scenario_id == scenario_id)
        for scenario_id in {each.scenario_id for each in measured}
    }

    def beyond(each: Repetition) -> float:
        return 100 * (each.end_ns / typical[each.scenario_id] - 1)

    of_block: dict[tuple[int, int], list[float]] = {}
    for each in measured:
        of_block.setdefault((each.launch, each.block), []).append(beyond(each))
    measured_blocks = [block for block in data.blocks if (block.launch, block.block) in of_block]
    place = {(block.launch, block.block): index + 1 for index, block in enumerate(measured_blocks)}
    return _Course(
        blocks=tuple(range(1, len(measured_blocks) + 1)),
        launches=tuple(block.launch for block in measured_blocks),
        means=tuple(fmean(of_block[block.launch, block.block]) for block in measured_blocks),
        canary=_relative([block.canary.graph_ns or block.canary.numpy_ns for block in measured_blocks]),
        disturbed=tuple(
            (place[each.launch, each.block], beyond(each))
            for each in measured
            if each.disturbance.marks and (each.launch, each.block) in place
        ),
    )


def _relative(values: Sequence[int | None]) -> tuple[float | None, ...]:
    known = [value for value in values if value]
    if not known:
        return (None,) * len(values)
    middle = median(known)
    return tuple(100 * (value / middle - 1) if value else None for value in values)


def _finding(found: _Course) -> str:
    known = [value for value in found.canary if value is not None]
    canary = "There is no canary."
    if known:
        canary = f"The canary stayed between {percent(min(known) / 100)} and {percent(max(known) / 100)} of its median."
    disturbed = count(len(found.disturbed), "repetition was", "repetitions were")
    low, high = percent(min(found.means) / 100), percent(max(found.means) / 100)
    return f"From block to block the arms varied from {low} to {high}; {disturbed} disturbed. {canary}"


def _draw(figure: "Figure", found: _Course) -> None:
    from matplotlib.ticker import MaxNLocator

    axes: Axes = figure.add_subplot()
    axes.axhline(0, color=ROLES["line"], linewidth=1)
    changes = (block for block, (now, after) in enumerate(pairwise(found.launches), start=1) if now != after)
    for last_block in changes:
        axes.axvline(last_block + 0.5, color=ROLES["line"], linewidth=1, linestyle=(0, (2, 2)))
    canary = [math.nan if value is None else value for value in found.canary]
    axes.plot(found.blocks, canary, color=ROLES["link"], linewidth=1.6, label="canary")
    for index, launch in enumerate(dict.fromkeys(found.launches)):
        chosen = [(b, m) for b, m, own in zip(found.blocks, found.means, found.launches, strict=True) if own == launch]
        axes.plot(
            [block for block, _ in chosen],
            [mean for _, mean in chosen],
            linestyle="none",
            marker=_SHAPES[index % len(_SHAPES)],
            color=ROLES["dot"],
            label=f"launch {launch + 1}" if index < 4 else None,
        )
    if found.disturbed:
        x, y = zip(*found.disturbed, strict=True)
        axes.plot(x, y, linestyle="none", marker="x", color=ROLES["worse"], markeredgewidth=1.6, label="disturbed")
    axes.set_xlabel("block")
    label_per_cent(axes, "per cent beyond the median of the run")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0.4, len(found.blocks) + 0.6)
    figure.legend(loc="outside lower center", ncols=3, handletextpad=0.4, columnspacing=1.2)
