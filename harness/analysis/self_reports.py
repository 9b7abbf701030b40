"""What a server says of itself beside what its listeners saw, and how far the two are apart.

A server's own statistics are of all that it has answered since it started, with whoever else asks it; so the harness's
are taken over all that it asked. The numbers themselves are stored with each block.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from harness.core.records.repetition import Repetition
from harness.core.records.run import RunData
from harness.metrics.per_request import repetition_figures
from harness.metrics.registry import METRICS

NAMES = {
    "ttfa": ("ttfa", "time_to_first_audio"),
    "ttfc": ("ttfc", "time_to_first_chunk"),
    "latency": ("latency", "response_time", "request_time"),
    "rtf": ("rtf", "real_time_factor"),
}
"""Metric → what servers call it."""
MEDIAN, MEAN = re.compile(r"median|p50"), re.compile(r"mean|avg|average")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatMismatch:
    """One figure of a server and the harness's of the same, in the metric's unit; `kind` is "median" or "mean"."""

    metric: str
    kind: str
    server: float
    ours: float

    @property
    def apart(self) -> float:
        """Relative to ours."""
        return abs(self.server / self.ours - 1)


def server_stat_mismatches(
    figures: Sequence[tuple[str, float]], repetitions: Sequence[Repetition]
) -> list[ServerStatMismatch]:
    """Each of the server's `figures` that is a median or a mean of one of our metrics, beside ours."""
    ours = [repetition_figures(each) for each in repetitions if each.outcome.valid]
    found = []
    for path, value in figures:
        known = _meaning(path)
        if known is None:
            continue
        name, kind, factor = known
        values = [reading.value for each in ours if (reading := each[name]).value is not None]
        own = (median if kind == "median" else fmean)(values) if values else 0.0
        if own > 0:
            found.append(ServerStatMismatch(metric=name, kind=kind, server=value * factor, ours=own))
    return found


def server_notes(data: RunData) -> tuple[str, ...]:
    """A sentence for each server that says something comparable, as of the last block."""
    last = {arm_id: said for block in data.blocks for arm_id, said in block.servers}
    notes = []
    for arm_id, said in last.items():
        played = {scenario.id for scenario in data.run.scenarios if scenario.arm.id == arm_id}
        found = server_stat_mismatches(said.figures, [each for each in data.repetitions if each.scenario_id in played])
        if found:
            notes.append(f"{arm_id}: the server says of itself: {'; '.join(map(_told, found))}")
    return tuple(notes)


def _meaning(path: str) -> tuple[str, str, float] | None:
    """Metric, kind and factor to its unit. What a server says of answers from its cache is not compared."""
    lowered = path.lower()
    if "cache" in lowered:
        return None
    kind = "median" if MEDIAN.search(lowered) else "mean" if MEAN.search(lowered) else ""
    name = next((name for name, known in NAMES.items() if any(_holds(lowered, each) for each in known)), "")
    if not kind or not name:
        return None
    in_ms = METRICS[name].unit == "s" and re.search(r"(_|\b)(ms|millis\w*)(_|\b)", lowered) is not None
    return name, kind, 1e-3 if in_ms else 1.0


def _holds(path: str, name: str) -> bool:
    """As a word of its own, so that "audio_latency_model" is not the latency's and "rtf_model" not the rtf's."""
    return (
        re.search(
            rf"(^|[._])(avg_|average_|mean_|median_)?{name}(_ms|_s|_seconds|_avg|_mean|_median|_p50)*($|\.)", path
        )
        is not None
    )


def _told(each: ServerStatMismatch) -> str:
    shown = METRICS[each.metric].format
    return f"{each.metric} {each.kind} {shown(each.server)}, ours {shown(each.ours)}, {each.apart:.1%} apart"
