"""Splits the arms of a launch into groups if memory cannot hold the workers of all arms at once.

The groups of a launch run one after the other. A reference arm keeps its process through all groups that need it, so
every arm is still paired with its reference block by block. Two arms of different groups are compared through their
reference.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from harness.core.records.scenario import Arm, Scenario, original_of, reference_of
from harness.measure.conductor.events import Grouped
from harness.measure.conductor.requests import is_derived
from harness.plan.matrix import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """`arms` start with this group, `kept` still run from an earlier one, and `scenarios` are what the group runs.

    A starting arm runs all of its scenarios. A kept arm runs those whose request a starting arm has too. `needs` is the
    memory of all workers of the group, in bytes.
    """

    arms: tuple[Arm, ...]
    scenarios: tuple[Scenario, ...]
    kept: tuple[Arm, ...] = ()
    needs: int = 0


def arrange_groups(
    scenarios: Sequence[Scenario], *, needs: Callable[[Arm], int], memory: int | None
) -> tuple[Group, ...]:
    """Group arms by first fit. All arms form one group, in the given order, if they fit into `memory` bytes.

    An arm that does not fit together with its references gets a group anyway.
    """
    needed = {arm: needs(arm) for arm in dict.fromkeys(scenario.arm for scenario in scenarios)}
    if not needed:
        return ()
    if memory is None or sum(needed.values()) <= memory:
        return (Group(arms=tuple(needed), scenarios=tuple(scenarios), needs=sum(needed.values())),)
    references = references_by_arm(scenarios)
    waiting = _rare_references_first(references)
    groups: list[Group] = []
    there: tuple[Arm, ...] = ()
    while waiting:
        wanted = {reference for arm in waiting for reference in references[arm]}
        kept = tuple(arm for arm in there if arm in wanted)
        coming: list[Arm] = []
        taken = sum(needed[arm] for arm in kept)
        for arm in waiting:
            joining = [each for each in (*references[arm], arm) if each not in kept and each not in coming]
            more = sum(needed[each] for each in joining)
            if not coming or taken + more <= memory:
                coming += joining
                taken += more
        to_run = _scenarios_to_run(scenarios, coming=set(coming), kept=set(kept))
        groups.append(Group(arms=tuple(coming), scenarios=to_run, kept=kept, needs=taken))
        there = (*kept, *coming)
        waiting = [arm for arm in waiting if arm not in coming]
    return tuple(groups)


def references_by_arm(scenarios: Sequence[Scenario]) -> Mapping[Arm, tuple[Arm, ...]]:
    """Arm → its reference arms, and their references in turn.

    A scenario is compared with the plainest scenario of the same request. One of a derived model is also compared with
    its original.
    """
    alike: dict[str, list[Scenario]] = {}
    for each in scenarios:
        alike.setdefault(each.request, []).append(each)
    plainest = {request: reference_of(group) for request, group in alike.items()}
    found: dict[Arm, dict[Arm, None]] = {scenario.arm: {} for scenario in scenarios}
    for each in scenarios:
        original = original_of(each, alike[each.request]) if is_derived(each, scenarios) else None
        for reference in (plainest[each.request], original):
            if reference is not None and reference.arm != each.arm:
                found[each.arm][reference.arm] = None
    return {arm: _reached(arm, found) for arm in found}


def _reached(arm: Arm, direct: Mapping[Arm, Iterable[Arm]]) -> tuple[Arm, ...]:
    found = [arm]
    for each in found:  # the list grows during the loop
        found += [reference for reference in direct[each] if reference not in found]
    return tuple(found[1:])


def time_shares(groups: Sequence[Group], plan: Plan) -> tuple[float, ...]:
    """The fraction of a launch's time at which each group must have ended; 1 for the last group.

    A soak counts as much as everything else in the launch together. Everything else counts by its characters.
    """
    soaks = [sum(each.repeats > 1 for each in group.scenarios) for group in groups]
    texts = [sum(_characters(each, plan) for each in group.scenarios if each.repeats == 1) for group in groups]
    rest = sum(texts)
    parts = [soak + (text / rest if rest else 0.0) for soak, text in zip(soaks, texts, strict=True)]
    ends = list(accumulate(parts))
    return (*(end / ends[-1] for end in ends[:-1]), 1.0) if ends else ()


def memory_overflow(
    groups: Sequence[Group], *, launch: int, needs: Callable[[Arm], int], memory: int
) -> Grouped | None:
    """An event if a launch's workers do not fit into `memory` bytes together; else None."""
    arms = [arm for group in groups for arm in group.arms]
    needed = sum(map(needs, arms))
    if needed <= memory:
        return None
    return Grouped(
        launch=launch,
        arms=len(arms),
        groups=tuple(group.needs for group in groups),
        needed=needed,
        allowed=memory,
        unfit=tuple(arm.id for group in groups if group.needs > memory for arm in group.arms),
    )


def describe_groups(events: Sequence[Grouped]) -> str:
    """A note on one or several launches whose arms ran in groups, with the reason; "" for no launch."""
    if not events:
        return ""
    first, last = events[0], events[-1]
    needed = _gigabytes(first.needed)
    if len(events) > 1:
        needed += f" ({_gigabytes(last.needed)} as measured in launch {last.launch})"
    allowed = f"{_gigabytes(first.allowed)} (--workers-memory)"
    arms = f"{first.arms} {'arm' if first.arms == 1 else 'arms'}"
    parts = [f"memory: the workers of {arms} need about {needed}, the limit is {allowed}"]
    if counts := {each.launch + 1: len(each.groups) for each in events if len(each.groups) > 1}:
        groups_run = ", ".join(f"{groups} groups in launch {launch}" for launch, groups in counts.items())
        if len(counts) > 1 and len(set(counts.values())) == 1:
            groups_run = f"{len(last.groups)} groups in each of {len(counts)} launches"
        parts.append(f"arms ran in groups: {groups_run}, each with its reference arms")
    if unfit := dict.fromkeys(arm for each in events for arm in each.unfit):
        parts.append(f"above the limit, and run anyway: {', '.join(unfit)}")
    return "; ".join(parts)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"


def _rare_references_first(references: Mapping[Arm, tuple[Arm, ...]]) -> list[Arm]:
    """Arms ordered so that a reference that few arms need can end early."""
    popularity = Counter(reference for each in references.values() for reference in each)
    none = len(references)
    return sorted(references, key=lambda arm: min((popularity[each] for each in references[arm]), default=none))


def _scenarios_to_run(scenarios: Iterable[Scenario], *, coming: set[Arm], kept: set[Arm]) -> tuple[Scenario, ...]:
    requests = {each.request for each in scenarios if each.arm in coming}
    return tuple(each for each in scenarios if each.arm in coming or (each.arm in kept and each.request in requests))


def _characters(scenario: Scenario, plan: Plan) -> int:
    """Characters that a block synthesises. A concurrent scenario repeats each text alone for comparison."""
    times = 2 * scenario.concurrency if scenario.is_concurrent else 1
    return times * plan.utterance(scenario, 0).characters
