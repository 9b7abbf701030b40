"""Why the two arms of a duel differ: what moved of the figure itself, and then what differs between the arms.

A figure of time is made of stages, one of memory of what is held once loaded and what speaking adds to it.
"""

from collections.abc import Mapping, Sequence
from statistics import median

from harness.measure.operators import Profile
from harness.metrics.derive import repetition_figures, scenario_values
from harness.metrics.registry import METRICS
from harness.records.repetition import Phase
from harness.records.run import RunData
from harness.records.scenario import Arm, Scenario

STAGES = ("phonemise", "inference", "postprocess", "rest")
LEAST_CONTRIBUTION = 0.002
"""A part that moved the whole by less than this ratio is no suspect."""
TIMED = ("latency", "ttfa", "ttfc", "rtf", "rtf_model", "cpu_per_audio")
"""Metrics that operators' times explain."""
LEAST_OPERATOR = 0.01
MOST_OPERATORS = 5
"""Operator types that moved all nodes' time by less than the ratio are no suspects, and the strongest are enough."""


def suspects_of(metric: str, candidate: Scenario, reference: Scenario, data: RunData) -> tuple[str, ...]:
    """The parts of `metric` that moved, the strongest first, and what differs between the arms."""
    parts = memory_parts if METRICS[metric].unit.startswith("B") else stage_seconds
    ours, theirs = parts(candidate, data), parts(reference, data)
    seconds = parts is stage_seconds
    return (*_moved(ours, theirs, in_seconds=seconds), *_differences(candidate.arm, reference.arm, data))


def operator_suspects(ours: Profile, theirs: Profile) -> list[str]:
    """The operator types whose time in a repetition moved, the strongest first; why not, where there is no profile.

    A profile is a few repetitions in one process: it points at where to look, it decides nothing.
    """
    if reason := ours.reason or theirs.reason:
        return [f"operators: not profiled ({reason[:160]})"]
    whole = sum(theirs.operators.values())
    if not whole or not ours.operators:
        return []
    names = ours.operators.keys() | theirs.operators.keys()
    moved = {name: (ours.operators.get(name, 0.0) - theirs.operators.get(name, 0.0)) / whole for name in names}
    ordered = sorted(moved.items(), key=lambda item: (-abs(item[1]), item[0]))
    return [
        f"operator {name}: {share:+.1%} of all nodes' time "
        f"({theirs.operators.get(name, 0.0) / 1e3:.1f} → {ours.operators.get(name, 0.0) / 1e3:.1f} ms)"
        for name, share in ordered[:MOST_OPERATORS]
        if abs(share) >= LEAST_OPERATOR
    ]


def with_operators(suspects: tuple[str, ...], operators: Sequence[str]) -> tuple[str, ...]:
    """The operators after the stages, which they explain, and before what differs between the arms."""
    stages = sum(suspect.split(":")[0] in STAGES for suspect in suspects)
    return (*suspects[:stages], *operators, *suspects[stages:])


def _moved(ours: Mapping[str, float], theirs: Mapping[str, float], *, in_seconds: bool) -> list[str]:
    """The parts that moved the whole, the strongest first; nothing where a side has none."""
    whole = sum(theirs.values())
    if not ours or not theirs or not whole:
        return []
    scale, unit = (1e3, "ms") if in_seconds else (1e-6, "MB")
    moved = {part: (ours[part] - theirs[part]) / whole for part in theirs}
    return [
        f"{part}: {share:+.1%} of the whole ({theirs[part] * scale:.1f} → {ours[part] * scale:.1f} {unit})"
        for part, share in sorted(moved.items(), key=lambda item: -abs(item[1]))
        if abs(share) >= LEAST_CONTRIBUTION
    ]


def memory_parts(scenario: Scenario, data: RunData) -> dict[str, float]:
    """What the peak is made of, in bytes: what is held once loaded (the model above all), and what speaking adds."""
    loaded = [
        launch.rss_loaded
        for launch in data.launches
        if launch.arm_id == scenario.arm.id and launch.outcome.valid and launch.rss_loaded is not None
    ]
    peaks = scenario_values(scenario, data)["rss_peak"].flat
    if not loaded or not peaks:
        return {}
    return {"once loaded": median(loaded), "speaking": median(peaks) - median(loaded)}


def stage_seconds(scenario: Scenario, data: RunData) -> dict[str, float]:
    """Stage → median seconds over the valid measured repetitions."""
    seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for repetition in data.repetitions:
        if repetition.scenario_id != scenario.id or repetition.phase is not Phase.MEASURED:
            continue
        figures = repetition_figures(repetition)
        latency = figures["latency"].value
        for stage in STAGES:
            share = figures[f"stage_share_{stage}"].value
            if latency is not None and share is not None:
                seconds[stage].append(share * latency)
    return {stage: median(values) for stage, values in seconds.items()} if all(seconds.values()) else {}


def _differences(ours: Arm, theirs: Arm, data: RunData) -> list[str]:
    """What the two arms loaded that is not the same."""
    packages = [_packages(arm, data) for arm in (theirs, ours)]
    found = [
        f"{name} {packages[0].get(name, 'absent')} → {packages[1].get(name, 'absent')}"
        for name in sorted(packages[0].keys() | packages[1].keys())
        if packages[0].get(name) != packages[1].get(name)
    ]
    if ours.model and theirs.model and ours.model.sha256 != theirs.model.sha256:
        sizes = f"{theirs.model.size / 1e6:.1f} → {ours.model.size / 1e6:.1f} MB"
        found.append(f"model {theirs.model.name} → {ours.model.name} ({sizes})")
    unsaid = {"revision": "work tree", "slowdown": "none"}
    for name in ("engine", "provider", "threads", "revision", "slowdown"):
        was, now = getattr(theirs, name), getattr(ours, name)
        if was != now:
            found.append(f"{name} {was or unsaid.get(name, 'default')} → {now or unsaid.get(name, 'default')}")
    before, after = ({**dict(arm.provider_options), **dict(arm.session_options)} for arm in (theirs, ours))
    return found + [
        f"{name} {before.get(name, 'default')} → {after.get(name, 'default')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _packages(arm: Arm, data: RunData) -> dict[str, str]:
    launch = next((launch for launch in data.launches if launch.arm_id == arm.id and launch.outcome.valid), None)
    return dict(launch.facts.packages) if launch else {}
