"""The operator types and nodes whose time moved, from profiles of both sides, and the table of all of them.

Operators and nodes are two families that share one false-discovery rate. Their times are compared pair by pair, as the
repetitions of a duel are.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from types import MappingProxyType

from harness.analysis.arena import arena_suspects
from harness.analysis.causes import SPEECH, equally_long, in_order, suspects_among
from harness.analysis.node_matching import Launches, Matched, family, match, operator_label, times_of
from harness.analysis.stats.grouped import flat
from harness.analysis.stats.movement import FAMILY_ALPHA, Movements, PartPairs, movements
from harness.analysis.stats.paired import PEAK
from harness.core.records.profile import FEWEST_REPETITIONS, Node, PartTime, Profile, Profiled, Profiles
from harness.core.records.run import RunData
from harness.core.records.scenario import Scenario
from harness.core.records.suspect import Suspect, SuspectKind
from harness.core.records.verdict import Estimate, Verdict
from harness.metrics.parts import speech_seconds

TIMED = ("latency", "ttfa", "ttfc", "rtf", "rtf_model")
"""Metrics that operators' times explain. They pass while a clock does, and say nothing of CPU time."""
PROFILED = (*TIMED, PEAK)
"""Metrics whose changes a profile may explain."""
LEAST = 0.01
"""Operators and nodes that moved all nodes' time by less than the ratio are no suspects."""
MOST_OPERATORS, MOST_NODES = 5, 3
"""The strongest are enough."""
CERTAIN = 0.5
"""An operator moved for certain if the nodes that only one side has take so much of its difference, or more."""
LAUNCH_SD = 0.02
"""By what ratio the time of one operator is presumed to differ between processes of one arm."""
LISTED_NODES = 200
"""The longest nodes have a line in the table."""
US = 1e-6
NO_TIMES = "the profile does not say what each repetition took"

_Times = Mapping[str, Launches]


def operator_suspects(
    verdict: Verdict, profiles: Profiles, candidate: Scenario, reference: Scenario, data: RunData
) -> list[Suspect]:
    """The operator types and nodes whose time moved the verdict's way, the strongest first; why not, without a profile.

    Nothing where the metric is none of passing time, or a profile does not say what each repetition took.
    """
    if verdict.metric not in TIMED or verdict.change is None:
        return []
    if reason := _unusable(profiles):
        return [Suspect(SuspectKind.NOTHING, f"operators: not profiled ({reason[:160]})")]
    if not all(profile.operators for profile in (*profiles.candidate, *profiles.reference)):
        return []
    lengths = (1.0, 1.0)
    if verdict.metric.startswith("rtf") and not equally_long(candidate, reference, data):
        ours, theirs = (list(speech_seconds(each, data).values()) for each in (candidate, reference))
        lengths = median(ours), median(theirs)
    rose, unit = verdict.change.point > 0, "ms" if lengths == (1.0, 1.0) else SPEECH
    matched = _nodes(profiles, lengths)
    operators = _moved(_operators(profiles, lengths), rose=rose, added=_added(matched))
    found = suspects_among(operators, scale=1e-3, unit=unit, kind=SuspectKind.OPERATOR, most=MOST_OPERATORS)
    nodes = _moved({each.label: pairs for each, pairs in matched.items()}, rose=rose)
    # The only node of its operator would only repeat its operator.
    counts = Counter(name for each in matched for name in _families(each))
    lone = {each.label for each in matched if all(counts[name] == 1 for name in _families(each))}
    named = tuple(each for each in nodes.named if each.name not in lone)
    if not named:
        return found
    moved = Movements(total=nodes.total, named=named)
    of_nodes = suspects_among(moved, scale=1e-3, unit=unit, kind=SuspectKind.NODE, most=MOST_NODES, rest=False)
    # That no operator stands out would deny what the nodes say.
    return [*(found if operators.named else ()), *of_nodes]


def with_profile(
    verdict: Verdict, profiles: Profiles, candidate: Scenario, reference: Scenario, data: RunData
) -> Verdict:
    """The verdict with what the profiles of both sides show among its suspects."""
    found = arena_suspects(verdict, profiles, candidate, reference, data)
    found = found or operator_suspects(verdict, profiles, candidate, reference, data)
    return verdict.with_suspects(in_order((*verdict.suspected, *found)))


def _unusable(profiles: Profiles) -> str:
    """Why the profiles cannot be compared, or ""."""
    if profiles.reason:
        return profiles.reason
    known = sum(profile.repetitions for profile in profiles.candidate)
    if 0 < known < FEWEST_REPETITIONS:
        return f"{known} repetitions of each side, and {FEWEST_REPETITIONS} are needed"
    return ""


def _moved(
    parts: Mapping[str, PartPairs], *, rose: bool, added: Mapping[str, float] = MappingProxyType({})
) -> Movements:
    """What moved. `added` is what the nodes that only one side has take of an operator; see `_added`."""
    one_sided = [
        name
        for name, each in parts.items()
        # What an arm never executes takes exactly no time there.
        if not (any(flat(each.candidate)) and any(flat(each.reference)))
        or added.get(family(name.partition(" ")[0]), 0.0) / (_difference(each) or math.inf) >= CERTAIN
    ]
    rate = FAMILY_ALPHA / 2
    return movements(parts, rose=rose, least=LEAST, launch_sd=LAUNCH_SD, rate=rate, one_sided=one_sided)


def _added(matched: Mapping[Matched, PartPairs]) -> dict[str, float]:
    """Family → mean µs of the nodes that only one side has, negative if it is the reference.

    Where both sides have some, they may be the same work in other shapes, and nothing is added for certain.
    """
    found: defaultdict[str, list[float]] = defaultdict(list)
    for each, pairs in matched.items():
        for name in _families(each) if not (each.ours and each.theirs) else ():
            found[name].append(_difference(pairs))
    return {name: sum(times) for name, times in found.items() if min(times) > 0 or max(times) < 0}


def _difference(pairs: PartPairs) -> float:
    return fmean(flat(pairs.candidate)) - fmean(flat(pairs.reference))


def _families(matched: Matched) -> set[str]:
    return {family(node.operator) for node in (*matched.ours, *matched.theirs)}


def _operators(profiles: Profiles, lengths: tuple[float, float] = (1.0, 1.0)) -> dict[str, PartPairs]:
    """Operator type → µs of both sides. Types of one family are one part."""
    ours, theirs = (_by_family(side) for side in (profiles.candidate, profiles.reference))
    idle = _idle(profiles)
    return {
        operator_label(ours.get(name, {}), theirs.get(name, {})): _pairs(
            _sum(ours.get(name, {}).values(), idle), _sum(theirs.get(name, {}).values(), idle), lengths
        )
        for name in sorted(ours.keys() | theirs.keys())
    }


def _by_family(side: Sequence[Profile]) -> Mapping[str, _Times]:
    """Family → operator type → µs of each repetition, launch by launch."""
    found: defaultdict[str, dict[str, Launches]] = defaultdict(dict)
    for name in dict.fromkeys(name for profile in side for name in profile.operators):
        found[family(name)][name] = [profile.operators.get(name, _none_in(profile)) for profile in side]
    return found


def _nodes(profiles: Profiles, lengths: tuple[float, float] = (1.0, 1.0)) -> dict[Matched, PartPairs]:
    """Matched nodes → µs of both sides."""
    ours, theirs = (_by_node(side) for side in (profiles.candidate, profiles.reference))
    idle = _idle(profiles)
    return {
        each: _pairs(times_of(each.ours, ours, idle=idle), times_of(each.theirs, theirs, idle=idle), lengths)
        for each in match(ours, theirs)
    }


def _by_node(side: Sequence[Profile]) -> dict[Node, Launches]:
    nodes = dict.fromkeys(node for profile in side for node in profile.by_node)
    return {node: [profile.by_node.get(node, _none_in(profile)) for profile in side] for node in nodes}


def _none_in(profile: Profile) -> tuple[float, ...]:
    """No time in any repetition of a launch."""
    return (0.0,) * profile.repetitions


def _idle(profiles: Profiles) -> Launches:
    return [_none_in(profile) for profile in profiles.candidate]


def _sum(parts: Iterable[Launches], idle: Launches) -> Launches:
    return [tuple(map(sum, zip(*launches, strict=True))) for launches in zip(*(list(parts) or [idle]), strict=True)]


def _pairs(ours: Launches, theirs: Launches, lengths: tuple[float, float]) -> PartPairs:
    """Both sides, each per second of speech where its length is not 1."""
    of, against = (
        tuple(tuple(time / length for time in launch) for launch in side)
        for side, length in zip((ours, theirs), lengths, strict=True)
    )
    return PartPairs(candidate=of, reference=against)


def profiled_pair(profiles: Profiles, *, candidate: str, reference: str) -> Profiled:
    """The table of a pair's operators and nodes, with the change of those that are large enough. Ids of scenarios."""
    reason = _unusable(profiles)
    if reason or not all(profile.operators for profile in (*profiles.candidate, *profiles.reference)):
        return Profiled(candidate=candidate, reference=reference, reason=reason or NO_TIMES)
    operators, nodes = _operators(profiles), _nodes(profiles)
    of_operators = _moved(operators, rose=True, added=_added(nodes)).every
    of_nodes = _moved({each.label: pairs for each, pairs in nodes.items()}, rose=True).every
    lines = [_line(pairs, of_operators.get(name), operator=name) for name, pairs in operators.items()]
    node_lines = [_node_line(each, pairs, of_nodes.get(each.label)) for each, pairs in nodes.items()]
    return _table(lines, node_lines, candidate=candidate, reference=reference, profiles=profiles.candidate)


def profiled_alone(profile: Profile, *, scenario: str) -> Profiled:
    """The table of the operators and nodes of one arm."""
    if profile.reason or not profile.operators:
        return Profiled(candidate=scenario, reason=profile.reason or NO_TIMES)
    lines = [PartTime(operator=name, after=median(times) * US) for name, times in profile.operators.items()]
    nodes = [
        PartTime(operator=node.operator, node=node.name, shape=node.shape, after=median(times) * US)
        for node, times in profile.by_node.items()
    ]
    return _table(lines, nodes, candidate=scenario, reference="", profiles=(profile,))


def _table(
    operators: Iterable[PartTime], nodes: Iterable[PartTime], *, candidate: str, reference: str,
    profiles: Sequence[Profile],
) -> Profiled:  # fmt: skip
    ordered = sorted(nodes, key=_longest_first)
    return Profiled(
        candidate=candidate,
        reference=reference,
        launches=len(profiles),
        repetitions=sum(profile.repetitions for profile in profiles),
        operators=tuple(sorted(operators, key=_longest_first)),
        nodes=tuple(ordered[:LISTED_NODES]),
        left_out=max(0, len(ordered) - LISTED_NODES),
    )


def _longest_first(part: PartTime) -> tuple[float, str, str]:
    return -max(part.after, part.before or 0.0), part.operator, part.node


def _line(pairs: PartPairs, change: Estimate | None, *, operator: str, node: str = "", shape: str = "") -> PartTime:
    return PartTime(
        operator=operator,
        node=node,
        shape=shape,
        before=median(flat(pairs.reference)) * US,
        after=median(flat(pairs.candidate)) * US,
        change=_in_seconds(change),
    )


def _node_line(matched: Matched, pairs: PartPairs, change: Estimate | None) -> PartTime:
    operator = operator_label((each.operator for each in matched.ours), (each.operator for each in matched.theirs))
    first = (*matched.ours, *matched.theirs)[0]
    alone = len(matched.ours) <= 1 and len(matched.theirs) <= 1
    name = first.name if alone else f"{len(matched.theirs)} → {len(matched.ours)} nodes"
    return _line(pairs, change, operator=operator, node=name, shape=first.shape)


def _in_seconds(change: Estimate | None) -> Estimate | None:
    if change is None:
        return None
    return Estimate(
        point=change.point * US, low=change.low * US, high=change.high * US, level=change.level, method=change.method,
        n=change.n, launches=change.launches,
    )  # fmt: skip
