"""Providers and models: speed against sound against size, as finished strings."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.records.run import RunData
from harness.records.scenario import Arm
from reports.words import NOTHING, arm_parts, metric_of, scale

SPEEDS = ("ttfa", "rtf", "cpu_per_audio", "rss_peak", "load_time")
SOUNDS = ("lsd", "mcd", "duration_ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmLine:
    """One arm; `figures` are in the order of the columns."""

    name: str
    origin: str
    size: str
    figures: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """All arms of the latest run."""

    columns: tuple[str, ...]
    lines: tuple[ArmLine, ...]
    recommendation: str
    basis: str


def arms(data: RunData) -> Arms:
    """The arms of a run, each by the range of its medians over the scenarios that it has."""
    metrics = [metric for metric in (*SPEEDS, *SOUNDS) if any(_medians(data, None, metric))]
    every = list({scenario.arm.id: scenario.arm for scenario in data.run.scenarios}.values())
    heard = any(metric in SOUNDS for metric in metrics)
    return Arms(
        columns=tuple(metric_of(metric).title for metric in metrics),
        lines=tuple(_line(data, arm, metrics) for arm in every),
        recommendation=(
            "No recommendation is made from one run: `kokoro-bench recommend` weighs speed, sound and size."
            if heard
            else "No recommendation: the sound of the variants was not compared in this run; speed alone is no reason."
        ),
        basis=f"The range of medians over each arm's scenarios in run {data.run.id}.",
    )


def _line(data: RunData, arm: Arm, metrics: Sequence[str]) -> ArmLine:
    model = arm.model
    return ArmLine(
        name=" · ".join(arm_parts(next(each for each in data.run.scenarios if each.arm == arm))),
        origin=", ".join(part for part in (model.origin, model.recipe) if part) if model else arm.engine,
        size=scale("model_size", [model.size]).full(model.size) if model else NOTHING,
        figures=tuple(_range(metric, _medians(data, arm, metric)) for metric in metrics),
    )


def _medians(data: RunData, arm: Arm | None, metric: str) -> list[float]:
    ours = {each.id for each in data.run.scenarios if arm is None or each.arm == arm}
    return [
        each.median
        for each in data.summaries
        if each.metric == metric and each.scenario_id in ours and each.median is not None
    ]


def _range(metric: str, medians: Sequence[float]) -> str:
    if not medians:
        return NOTHING
    on = scale(metric, medians)
    low, high = on.bare(min(medians)), on.full(max(medians))
    return high if min(medians) == max(medians) else f"{low} to {high}"
