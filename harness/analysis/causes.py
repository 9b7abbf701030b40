"""Why the two arms of a duel differ: the parts of the metric that moved, and the differences between the arms.

A part is named only if it moved in the verdict's direction by more than its own noise (`stats.movement`). The sentence
gives its interval and its contribution to the total difference. If no part qualifies, one sentence says so.
"""

from collections.abc import Iterable, Mapping
from math import log
from typing import Final

from harness.analysis.stats.comparison import Policy
from harness.analysis.stats.movement import Movement, Movements, PartPairs, movements
from harness.analysis.stats.paired import alike
from harness.core.quantities import Figure
from harness.core.records.differences import Difference, differences
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, ModelVariant, Scenario
from harness.core.records.suspect import Suspect, SuspectKind
from harness.core.records.verdict import Estimate, Verdict
from harness.engines.builds import NAME, canonical
from harness.metrics.parts import SILENCE, Parts, parts_of, speech_seconds
from harness.metrics.registry import METRICS

LEAST_CONTRIBUTION = 0.002
"""A part that moved the whole by less than this ratio is no suspect."""
LEAST_REST = 0.005
"""What the named parts leave unexplained is reported from this fraction of the whole difference on."""
AS_LONG = 0.001
"""Audio whose length differs by less than this log-ratio is equally long: a real-time factor moved as latency did."""
NO_TIME_S = 1e-6
MODEL, REVISION = "model", "revision"
"""The names of the differences of two models, and of two revisions of the source."""
_KINDS = {"engine": SuspectKind.ENGINE, REVISION: SuspectKind.SOURCE}
"""Name of a setting → kind, of those that are no options."""
SPEECH = "ms per second of speech"
FULL = 100.0
"""A level in percent that no interval has: it is written with as many decimals as differ from it."""
ORDER: Final = (
    (
        SuspectKind.UNKNOWN,
        SuspectKind.DIFFERENCE,
        SuspectKind.SOURCE,
        SuspectKind.PACKAGE,
        SuspectKind.INTERPRETER,
        SuspectKind.OPTION,
        SuspectKind.ENGINE,
    ),
    (SuspectKind.OPERATOR, SuspectKind.NODE),
    (SuspectKind.STAGE, SuspectKind.PHASE, SuspectKind.MEMORY),
    (SuspectKind.ALLOCATION,),
    (SuspectKind.MODEL,),
    (SuspectKind.MACHINE,),
    (SuspectKind.NOTHING,),
)
"""The kinds in the order in which they tell a cause.

What differs between the arms comes first: nothing else can be the cause, and the parts show where it acts. Another
model comes after the parts: it differs in everything, and the operators that moved say in what. They come before the
stage in which they run.
"""
_RANKS = {kind: rank for rank, kinds in enumerate(ORDER) for kind in kinds}


def suspects_of(
    verdict: Verdict, candidate: Scenario, reference: Scenario, data: RunData, policy: Policy
) -> tuple[Suspect, ...]:
    """The parts of the verdict's metric that moved its way, and what differs between the arms (`in_order`)."""
    return in_order(
        (
            *moved_parts(verdict, candidate, reference, data, policy),
            *_different_arms(reference.arm, candidate.arm, data),
        )
    )


def in_order(suspects: Iterable[Suspect]) -> tuple[Suspect, ...]:
    """The suspects in `ORDER`; those of one rank keep theirs."""
    return tuple(sorted(suspects, key=lambda each: _RANKS[each.kind]))


def moved_parts(
    verdict: Verdict, candidate: Scenario, reference: Scenario, data: RunData, policy: Policy
) -> tuple[Suspect, ...]:
    """The parts that moved; nothing where the metric has no parts or a side's are not known."""
    metric = verdict.metric
    if metric == "rtf" and equally_long(candidate, reference, data):
        metric = "latency"
    ours, theirs = parts_of(metric, candidate, data), parts_of(metric, reference, data)
    pairs = _paired(ours, theirs, metric=metric)
    if not pairs or verdict.change is None:
        return ()
    found = movements(
        pairs,
        rose=verdict.change.point > 0,
        least=LEAST_CONTRIBUTION,
        launch_inflation=policy.launch_inflation,
        launch_sd=policy.launch_sd,
        pair_sd=METRICS[metric].pair_sd,
    )
    if metric == "rss_peak":
        return tuple(suspects_among(found, scale=1e-6, unit="MB", kind=SuspectKind.MEMORY))
    kind = SuspectKind.PHASE if metric == "load_time" else SuspectKind.STAGE
    return tuple(suspects_among(found, scale=1e3, unit=SPEECH if metric == "rtf" else "ms", kind=kind))


def _paired(ours: Parts, theirs: Parts, *, metric: str) -> dict[str, PartPairs]:
    """Part → its values at the places that both sides have, launch by launch."""
    places = sorted(ours.keys() & theirs.keys())
    names = dict.fromkeys(name for place in places for name in (*ours[place], *theirs[place]))
    launches = alike(metric, sorted({launch for launch, _ in places}))

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


def equally_long(candidate: Scenario, reference: Scenario, data: RunData) -> bool:
    """Whether the two sides' audio is equally long, text by text."""
    ours, theirs = speech_seconds(candidate, data), speech_seconds(reference, data)
    return all(abs(log(ours[place] / theirs[place])) < AS_LONG for place in ours.keys() & theirs.keys())


def suspects_among(
    found: Movements, *, scale: float, unit: str, kind: SuspectKind, most: int = 10, rest: bool = True
) -> list[Suspect]:
    """One for each part that stands out, and with `rest` one for what they leave unexplained; or that none stands out.

    Nothing where too little was measured for an interval.
    """
    if found.total is None:
        return []
    named = found.named[:most]
    if not named:
        return [Suspect(SuspectKind.NOTHING, f"no {kind} stands out")]
    suspects = [
        Suspect(kind, part_sentence(each, what=kind, scale=scale, unit=unit, whole=found.total)) for each in named
    ]
    left = found.total - sum(each.change.point for each in named)
    if rest and abs(left) >= LEAST_REST * abs(found.total):
        part, whole = (f"{Figure(each * scale):+.1f} {unit}" for each in (left, found.total))
        others = "" if left * found.total > 0 else " (others moved the other way)"
        suspects.append(
            Suspect(
                SuspectKind.NOTHING, f"unexplained by {kind}: {part}, {_share(left, found.total)} of {whole}{others}"
            )
        )
    return suspects


def part_sentence(moved: Movement, *, what: str, scale: float, unit: str, whole: float) -> str:
    """A part that moved: its change with the interval, its share of the `whole` difference, and both values."""
    return (
        f"{what} {moved.name}: {_span(moved.change, scale=scale, unit=unit)}, "
        f"{_share(moved.change.point, whole)} of {Figure(whole * scale):+.1f} {unit} "
        f"({moved.before * scale:.1f} → {moved.after * scale:.1f})"
    )


def _share(part: float, whole: float) -> str:
    return f"{Figure(100 * part / whole):.0f} %"


def _span(change: Estimate, *, scale: float, unit: str) -> str:
    point, low, high = (Figure(value * scale) for value in (change.point, change.low, change.high))
    level = 100 * change.level
    decimals = next((each for each in range(2, 9) if float(f"{level:.{each}f}") < FULL), 2)
    return f"{point:+.1f} {unit} ({low:+.1f} to {high:+.1f} at {level:.{decimals}f} %)"


def _different_arms(reference: Arm, candidate: Arm, data: RunData) -> list[Suspect]:
    # A description of the source begins with its commit.
    revisions = tuple(each.revision or each.source.partition(" ")[0] for each in (reference, candidate))
    return [
        Suspect(each.kind, str(each), revisions if each.kind is SuspectKind.SOURCE else ())
        for each in arm_differences(reference, candidate, data)
    ]


def arm_differences(reference: Arm, candidate: Arm, data: RunData) -> list[Difference]:
    """What the two arms loaded that is not the same: facts, not estimates."""
    before, after = (_settings(arm) for arm in (reference, candidate))
    return [
        *(
            each._replace(kind=_KINDS.get(each.name, each.kind))
            for each in differences(before, after, absent="default", kind=SuspectKind.OPTION)
        ),
        *_package_differences(reference, candidate, data),
        *_model_difference(reference.model, candidate.model),
    ]


def _package_differences(reference: Arm, candidate: Arm, data: RunData) -> list[Difference]:
    """Packages of other versions; those that the arms name come first, and then what these brought with them."""
    requirements = (*reference.runtime.requirements, *candidate.runtime.requirements)
    named = {canonical(found[1]) for each in requirements if (found := NAME.match(each))}
    changed = differences(_packages(reference, data), _packages(candidate, data), kind=SuspectKind.PACKAGE)
    return sorted(changed, key=lambda each: (canonical(each.name) not in named, each))


def _model_difference(before: ModelVariant | None, after: ModelVariant | None) -> list[Difference]:
    if before is None or after is None or before.sha256 == after.sha256:
        return []
    sizes = f"{before.size / 1e6:.1f} → {after.size / 1e6:.1f} MB"
    return [Difference(MODEL, before.name, f"{after.name} ({sizes})", SuspectKind.MODEL)]


def _settings(arm: Arm) -> dict[str, str]:
    return {
        "engine": arm.engine,
        "provider": arm.provider or "default",
        "threads": str(arm.threads or "default"),
        REVISION: arm.source or arm.revision or "work tree",
        "slowdown": str(arm.slowdown or "none"),
        **dict(sorted((*arm.provider_options, *arm.session_options))),
    }


def _packages(arm: Arm, data: RunData) -> Mapping[str, str]:
    launch = next((launch for launch in data.launches if launch.arm_id == arm.id and launch.outcome.valid), None)
    return dict(launch.facts.packages) if launch else {}
