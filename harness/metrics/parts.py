"""Splits the values of a metric into parts that add up to it, for each repetition or each launch.

The parts of latency and its relatives are the stages, those of a start-up its phases, and those of peak memory what is
held once loaded, what is kept after a synthesis, what every request adds, and what one request takes. Other metrics
have no measured parts.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

from harness.core.records.repetition import Phase, Repetition, StageMark
from harness.metrics import playback
from harness.metrics.per_request import audio_seconds, repetition_figures, total_ns
from harness.metrics.stages import StageTimes, stage_times
from harness.metrics.start_up import (
    FIRST_AUDIO,
    equal_warm_ups,
    growth,
    launch_figures,
    launches_of,
    start_up_parts,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.core.records.run import RunData
    from harness.core.records.scenario import Scenario

STAGES = ("phonemise", "inference", "postprocess", "rest")
SILENCE = "leading silence"
KEPT, LEAKED = "kept after speaking (arena)", "kept by each request (leak)"
NS = playback.NS

Place: TypeAlias = tuple[int, int]
"""Launch and block; the block of what is read once a launch is `WHOLE_LAUNCH`."""
WHOLE_LAUNCH = -1

Parts: TypeAlias = "Mapping[Place, Mapping[str, float]]"
"""Place → part → its value in seconds, seconds a second of speech (rtf), or bytes."""


def parts_of(metric: str, scenario: Scenario, data: RunData) -> Parts:
    """The parts of each value of `metric`; empty if it has none, or if none was measured.

    Values whose parts are not all known are left out.
    """
    if metric in ("latency", "rtf", "ttfa", "ttfc"):
        return _of_speech(metric, scenario, data)
    if metric == "rss_peak":
        return _of_memory(scenario, data)
    return _of_start_up(scenario, data) if metric == "load_time" else {}


def speech_seconds(scenario: Scenario, data: RunData) -> Mapping[Place, float]:
    """The length of the audio of each valid measured repetition; if a block has several, of the last one."""
    return {
        (each.launch, each.block): seconds for each in _measured(scenario, data) if (seconds := audio_seconds(each))
    }


def _measured(scenario: Scenario, data: RunData) -> list[Repetition]:
    return [
        each
        for each in data.counted.repetitions
        if each.scenario_id == scenario.id and each.phase is Phase.MEASURED and each.outcome.valid
    ]


def _of_speech(metric: str, scenario: Scenario, data: RunData) -> Parts:
    found: dict[Place, Mapping[str, float]] = {}
    for each in _measured(scenario, data):
        parts = _first_sound(each, metric) if metric in ("ttfa", "ttfc") else _stages(each, until_ns=total_ns(each))
        seconds = audio_seconds(each) if metric == "rtf" else 1.0
        if parts and seconds:
            found[each.launch, each.block] = {name: value / seconds for name, value in parts.items()}
    return found


def _stages(repetition: Repetition, *, until_ns: int) -> dict[str, float]:
    """Seconds in each stage from the start to `until_ns`; empty if the stages are unknown."""
    marks = [
        StageMark(stage=mark.stage, start_ns=mark.start_ns, end_ns=min(mark.end_ns, until_ns))
        for mark in repetition.stages
        if mark.start_ns < until_ns
    ]
    arrivals = [chunk.at_ns for chunk in playback.audible(repetition.chunks) if chunk.at_ns <= until_ns]
    times = stage_times(marks, last_chunk_ns=arrivals[-1] if arrivals else 0, total_ns=until_ns)
    if not isinstance(times, StageTimes):
        return {}
    return {stage: getattr(times, stage) / NS for stage in STAGES}


def _first_sound(repetition: Repetition, metric: str) -> dict[str, float]:
    """The stages up to the first chunk and, for ttfa, the silence at the beginning of the audio.

    If there is only one chunk, the stages are those of the whole answer, as for latency. The short time after the chunk
    is then subtracted from the silence.
    """
    chunks = playback.audible(repetition.chunks)
    figure = repetition_figures(repetition)[metric].value
    if figure is None or not chunks:
        return {}
    until_ns = chunks[0].at_ns if len(chunks) > 1 else total_ns(repetition)
    stages = _stages(repetition, until_ns=until_ns)
    if not stages or metric == "ttfc":
        return stages
    return {**stages, SILENCE: figure - until_ns / NS}


def _of_memory(scenario: Scenario, data: RunData) -> Parts:
    """The parts of peak memory in bytes: held once loaded (mostly the model), kept after the request, and released.

    ONNX Runtime's arena keeps the memory of a request, and takes no more for the next one. So memory that a worker
    also keeps after each later request is a leak. It is a part if the launches were long enough.
    """
    grown = _growth(scenario, data)
    loaded = {
        launch.launch: launch.rss_loaded
        for launch in data.launches
        if launch.arm_id == scenario.arm.id
        and launch.outcome.valid
        and not launch.dedicated
        and launch.rss_loaded is not None
    }
    everything = _of_the_arm(scenario, data)
    made: dict[int, int] = defaultdict(int)
    number: dict[int, int] = {}
    for each in everything:
        made[each.launch] += 1
        number[id(each)] = made[each.launch]
    usual = median(grown.values()) if grown else None
    found: dict[Place, Mapping[str, float]] = {}
    for launch, warm_ups in equal_warm_ups(each for each in everything if each.scenario_id == scenario.id).items():
        highest = max(warm_ups, key=lambda each: each.memory.peak or 0)
        memory = highest.memory
        if memory.peak and launch in loaded:
            leaked = None if usual is None else number[id(highest)] * grown.get(launch, usual)
            found[launch, WHOLE_LAUNCH] = _held(loaded[launch], memory.peak, memory.rss_after, leaked=leaked)
    return found


def _of_the_arm(scenario: Scenario, data: RunData) -> list[Repetition]:
    """All repetitions of the scenario's workers, in their order."""
    ids = {each.id for each in data.run.scenarios if each.arm.id == scenario.arm.id}
    ours = [each for each in data.repetitions if each.scenario_id in ids]
    return sorted(ours, key=lambda each: each.started_at)


def _growth(scenario: Scenario, data: RunData) -> Mapping[int, float]:
    """Launch → bytes that each repetition adds for good."""
    measured = [each for each in _of_the_arm(scenario, data) if each.phase is Phase.MEASURED]
    return growth([each for each in measured if each.scenario_id == scenario.id], arm_repetitions=measured)


def _held(loaded: int, peak: int, after: int | None, *, leaked: float | None) -> dict[str, float]:
    """The parts of a peak; only two if `after`, the resident size after the request, is unknown."""
    if after is None:
        return {"once loaded": float(loaded), "speaking": float(peak - loaded)}
    parts = {
        "once loaded": float(loaded),
        KEPT: after - loaded - (leaked or 0.0),
        "per request": float(peak - after),
    }
    return parts if leaked is None else {**parts, LEAKED: leaked}


def _of_start_up(scenario: Scenario, data: RunData) -> Parts:
    """Seconds of each common phase, and of all other phases of the engine."""
    found: dict[Place, Mapping[str, float]] = {}
    for launch in launches_of(scenario, data.launches):
        figures = launch_figures(launch)
        whole = figures["load_time"].value
        if not launch.outcome.valid or whole is None:
            continue
        names = [name for name in start_up_parts(scenario) if name != FIRST_AUDIO]
        parts = {name.replace("_", " "): figures[f"load_{name}"].value or 0.0 for name in names}
        found[launch.launch, WHOLE_LAUNCH] = {**parts, "other phases": max(0.0, whole - sum(parts.values()))}
    return found
