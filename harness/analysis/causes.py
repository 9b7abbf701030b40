"""Why the two arms of a duel differ: the parts of the metric that moved, and the differences between the arms.

A part is named only if it moved in the verdict's direction by more than its own noise (`stats.movement`). The sentence
gives its interval and its contribution to the total difference. If no part qualifies, one sentence says so.
"""

from collections.abc import Mapping, Sequence
from math import log
from statistics import median

from harness.analysis.stats.comparison import Policy
from harness.analysis.stats.movement import Movements, PartPairs, movements
from harness.core.records.differences import Difference, differences
from harness.core.records.profile import Profile, Profiles
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, ModelVariant, Scenario
from harness.core.records.verdict import Estimate, Verdict
from harness.metrics.parts import SILENCE, Parts, parts_of, speech_seconds

LEAST_CONTRIBUTION = 0.002
"""A part that moved the whole by less than this ratio is no suspect."""
PROFILED = ("latency", "ttfa", "ttfc", "rtf", "rtf_model")
"""Metrics that operators' times explain. They pass while a clock does, and say nothing of CPU time."""
LEAST_OPERATOR = 0.01
MOST_OPERATORS = 5
"""Operator types that moved all nodes' time by less than the ratio are no suspects, and the strongest are enough."""
OPERATOR_LAUNCH_SD = 0.02
"""By what ratio the time of one operator type is presumed to differ between processes of one arm."""
AS_LONG = 0.001
"""Audio whose length differs by less than this log-ratio is equally long: a real-time factor moved as latency did."""
NO_TIME_S = 1e-6
SPEECH = "ms per second of speech"


def suspects_of(
    verdict: Verdict, candidate: Scenario, reference: Scenario, data: RunData, policy: Policy
) -> tuple[str, ...]:
    """The parts of the verdict's metric that moved its way, the strongest first, and what differs between the arms."""
    return (
        *moved_parts(verdict, candidate, reference, data, policy),
        *map(str, arm_differences(reference.arm, candidate.arm, data)),
    )


def operator_suspects(
    verdict: Verdict, profiles: Profiles, candidate: Scenario, reference: Scenario, data: RunData
) -> list[str]:
    """The operator types whose time moved the verdict's way, the strongest first; why not, where there is no profile.

    Nothing where the metric is none of passing time, or a profile does not say what each repetition took.
    """
    if verdict.metric not in PROFILED or verdict.change is None:
        return []
    if profiles.reason:
        return [f"operators: not profiled ({profiles.reason[:160]})"]
    if not all(profile.operators for profile in (*profiles.candidate, *profiles.reference)):
        return []
    lengths = (1.0, 1.0)
    if verdict.metric.startswith("rtf") and not _as_long(candidate, reference, data):
        ours, theirs = (list(speech_seconds(each, data).values()) for each in (candidate, reference))
        lengths = median(ours), median(theirs)
    ours_us, theirs_us = (
        {name: [[time / length for time in times] for times in launches] for name, launches in side.items()}
        for side, length in zip(
            (_by_operator(profiles.candidate), _by_operator(profiles.reference)), lengths, strict=True
        )
    )
    repetitions = [len(next(iter(profile.operators.values()))) for profile in profiles.candidate]
    idle = [[0.0] * count for count in repetitions]
    pairs = {
        name: PartPairs(candidate=_grouped(ours_us.get(name, idle)), reference=_grouped(theirs_us.get(name, idle)))
        for name in sorted(ours_us.keys() | theirs_us.keys())
    }
    found = movements(pairs, rose=verdict.change.point > 0, least=LEAST_OPERATOR, launch_sd=OPERATOR_LAUNCH_SD)
    unit = "ms" if lengths == (1.0, 1.0) else SPEECH
    return _sentences(found, scale=1e-3, unit=unit, kind="operator", most=MOST_OPERATORS)


def with_operators(suspects: tuple[str, ...], operators: Sequence[str]) -> tuple[str, ...]:
    """The operators after the stages, which they explain, and before what differs between the arms."""
    stages = sum(suspect.startswith(("stage ", "no stage ")) for suspect in suspects)
    return (*suspects[:stages], *operators, *suspects[stages:])


def _by_operator(profiles: Sequence[Profile]) -> dict[str, list[list[float]]]:
    """Operator type → µs of each repetition, launch by launch; 0 in a launch that did not run it."""
    names = {name for profile in profiles for name in profile.operators}
    counts = [len(next(iter(profile.operators.values()))) for profile in profiles]
    return {
        name: [
            list(profile.operators.get(name, (0.0,) * count)) for profile, count in zip(profiles, counts, strict=True)
        ]
        for name in names
    }


def _grouped(launches: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, launches))


def moved_parts(
    verdict: Verdict, candidate: Scenario, reference: Scenario, data: RunData, policy: Policy
) -> tuple[str, ...]:
    """The parts that moved; nothing where the metric has no parts or a side's are not known."""
    metric = verdict.metric
    if metric == "rtf" and _as_long(candidate, reference, data):
        metric = "latency"
    ours, theirs = parts_of(metric, candidate, data), parts_of(metric, reference, data)
    pairs = _paired(ours, theirs)
    if not pairs or verdict.change is None:
        return ()
    found = movements(
        pairs,
        rose=verdict.change.point > 0,
        least=LEAST_CONTRIBUTION,
        launch_inflation=policy.launch_inflation,
        launch_sd=policy.launch_sd,
    )
    if metric == "rss_peak":
        return tuple(_sentences(found, scale=1e-6, unit="MB", kind="memory"))
    kind = "phase" if metric == "load_time" else "stage"
    return tuple(_sentences(found, scale=1e3, unit=SPEECH if metric == "rtf" else "ms", kind=kind))


def _paired(ours: Parts, theirs: Parts) -> dict[str, PartPairs]:
    """Part → its values at the places that both sides have, launch by launch."""
    places = sorted(ours.keys() & theirs.keys())
    names = dict.fromkeys(name for place in places for name in (*ours[place], *theirs[place]))
    launches = sorted({launch for launch, _ in places})

    def side(parts: Parts, name: str) -> tuple[tuple[float, ...], ...]:
        return tuple(
            tuple(parts[place].get(name, 0.0) for place in places if place[0] == launch) for launch in launches
        )

    pairs = {name: PartPairs(candidate=side(ours, name), reference=side(theirs, name)) for name in names}
    # Silence that both begin with is no part of their difference.
    silence = pairs.get(SILENCE)
    if silence and all(abs(each) < NO_TIME_S for launch in silence.differences for each in launch):
        del pairs[SILENCE]
    return pairs


def _as_long(candidate: Scenario, reference: Scenario, data: RunData) -> bool:
    """Whether the two sides' audio is equally long, text by text."""
    ours, theirs = speech_seconds(candidate, data), speech_seconds(reference, data)
    return all(abs(log(ours[place] / theirs[place])) < AS_LONG for place in ours.keys() & theirs.keys())


def _sentences(found: Movements, *, scale: float, unit: str, kind: str, most: int = 10) -> list[str]:
    """One for each part that stands out, or that none does; nothing where too little was measured for an interval."""
    if found.total is None:
        return []
    whole = f"{found.total * scale:+.1f} {unit}"
    return [
        f"{kind} {each.name}: {_span(each.change, scale=scale, unit=unit)} of {whole} "
        f"({each.before * scale:.1f} → {each.after * scale:.1f})"
        for each in found.named[:most]
    ] or [f"no {kind} stands out"]


def _span(change: Estimate, *, scale: float, unit: str) -> str:
    point, low, high = (value * scale for value in (change.point, change.low, change.high))
    return f"{point:+.1f} {unit} ({low:+.1f} to {high:+.1f} at {100 * change.level:.2f} %)"


def arm_differences(reference: Arm, candidate: Arm, data: RunData) -> list[Difference]:
    """What the two arms loaded that is not the same: facts, not estimates."""
    before, after = (_settings(arm) for arm in (reference, candidate))
    return [
        *sorted(differences(_packages(reference, data), _packages(candidate, data))),
        *_model_difference(reference.model, candidate.model),
        *differences(before, after, absent="default"),
    ]


def _model_difference(before: ModelVariant | None, after: ModelVariant | None) -> list[Difference]:
    if before is None or after is None or before.sha256 == after.sha256:
        return []
    sizes = f"{before.size / 1e6:.1f} → {after.size / 1e6:.1f} MB"
    return [Difference("model", before.name, f"{after.name} ({sizes})")]


def _settings(arm: Arm) -> dict[str, str]:
    """What was chosen for an arm."""
    return {
        "engine": arm.engine,
        "provider": arm.provider or "default",
        "threads": str(arm.threads or "default"),
        "revision": arm.source or arm.revision or "work tree",
        "slowdown": str(arm.slowdown or "none"),
        **dict(sorted((*arm.provider_options, *arm.session_options))),
    }


def _packages(arm: Arm, data: RunData) -> Mapping[str, str]:
    launch = next((launch for launch in data.launches if launch.arm_id == arm.id and launch.outcome.valid), None)
    return dict(launch.facts.packages) if launch else {}
