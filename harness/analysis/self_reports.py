"""Compare a server's own statistics with the harness's measurements.

A server's statistics cover every answer since the server started, including answers to other clients. So the harness
computes its own over all of its requests to that server: of a server that it starts itself, those since its last start.
The server's numbers are stored with each block.
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
"""Metric → the names that servers use for it."""
COUNTS = ("n", "count")
"""What stands beside a statistic where a server says of how many answers it is."""
MEDIAN, MEAN = re.compile(r"median|p50"), re.compile(r"mean|avg|average")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatMismatch:
    """A server's statistic and the harness's value of it, in the metric's unit. `kind` is "median" or "mean".

    `answers` is of how many answers each is, where the server says so and they are not the same number.
    """

    metric: str
    kind: str
    server: float
    ours: float
    answers: tuple[int, int] | None = None

    @property
    def apart(self) -> float:
        """The difference relative to the harness's value, as a fraction."""
        return abs(self.server / self.ours - 1)


def server_stat_mismatches(
    figures: Sequence[tuple[str, float]], repetitions: Sequence[Repetition]
) -> list[ServerStatMismatch]:
    """Pair each of the server's `figures` that is a median or mean of a known metric with the harness's value."""
    ours = [repetition_figures(each) for each in repetitions if each.outcome.valid]
    given = dict(figures)
    found = []
    for path, value in figures:
        known = _meaning(path)
        if known is None:
            continue
        name, kind, factor = known
        values = [reading.value for each in ours if (reading := each[name]).value is not None]
        own = (median if kind == "median" else fmean)(values) if values else 0.0
        if own > 0:
            group = path.rpartition(".")[0]
            counted = next(
                (int(given[beside]) for each in COUNTS if (beside := f"{group}.{each}") in given), len(values)
            )
            answers = None if counted == len(values) else (counted, len(values))
            found.append(ServerStatMismatch(metric=name, kind=kind, server=value * factor, ours=own, answers=answers))
    return found


def server_notes(data: RunData) -> tuple[str, ...]:
    """One sentence per server with comparable statistics, as reported at the last block."""
    last = {arm_id: (block.launch, stats) for block in data.blocks for arm_id, stats in block.servers}
    notes = []
    for arm_id, (launch, server_stats) in last.items():
        played = {scenario.id: scenario.arm for scenario in data.run.scenarios if scenario.arm.id == arm_id}
        ours = [
            each
            for each in data.repetitions
            if each.scenario_id in played and (each.launch == launch or not played[each.scenario_id].server)
        ]
        found = server_stat_mismatches(server_stats.figures, ours)
        if found:
            notes.append(f"{arm_id}: the server's own statistics: {'; '.join(map(_sentence, found))}")
    return tuple(notes)


def _meaning(path: str) -> tuple[str, str, float] | None:
    """(Metric, kind, factor to the metric's unit) of a statistic's path, or None. Cache statistics are excluded."""
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
    """Whether `path` has `name` as a whole word: "audio_latency_model" is not latency, and "rtf_model" is not rtf."""
    return (
        re.search(
            rf"(^|[._])(avg_|average_|mean_|median_)?{name}(_ms|_s|_seconds|_avg|_mean|_median|_p50)*($|\.)", path
        )
        is not None
    )


def _sentence(each: ServerStatMismatch) -> str:
    shown = METRICS[each.metric].format
    if each.answers:
        theirs, ours = each.answers
        return (
            f"{each.metric} {each.kind} {shown(each.server)} of {theirs} answers, ours {shown(each.ours)} of {ours}: "
            "not of the same answers"
        )
    return f"{each.metric} {each.kind} {shown(each.server)}, ours {shown(each.ours)}, {each.apart:.1%} apart"
