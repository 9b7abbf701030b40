"""Which arms of a launch are there together, where the memory does not hold the workers of all.

A launch then plays its arms in groups, one after the other. Whatever others are held against stays at work through all
groups that need it, in one process, so that every arm is still paired with it block by block; two arms of different
groups are compared through it.
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
    """`arms` are started for this group, `kept` are at work from an earlier one; `scenarios` are what it plays.

    Arms play all that they have when they come, and later what they have in common with those that come. `needs` is the
    memory of all workers that are there, in bytes.
    """

    arms: tuple[Arm, ...]
    scenarios: tuple[Scenario, ...]
    kept: tuple[Arm, ...] = ()
    needs: int = 0


def arrange(scenarios: Sequence[Scenario], *, needs: Callable[[Arm], int], memory: int | None) -> tuple[Group, ...]:
    """As few groups as a first fit gives: one of all, in the given order, where they fit into `memory` bytes.

    An arm that does not fit beside what it is held against has a group all the same.
    """
    needed = {arm: needs(arm) for arm in dict.fromkeys(scenario.arm for scenario in scenarios)}
    if not needed:
        return ()
    if memory is None or sum(needed.values()) <= memory:
        return (Group(arms=tuple(needed), scenarios=tuple(scenarios), needs=sum(needed.values())),)
    references = references_of(scenarios)
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
        played = _played(scenarios, coming=set(coming), kept=set(kept))
        groups.append(Group(arms=tuple(coming), scenarios=played, kept=kept, needs=taken))
        there = (*kept, *coming)
        waiting = [arm for arm in waiting if arm not in coming]
    return tuple(groups)


def references_of(scenarios: Sequence[Scenario]) -> Mapping[Arm, tuple[Arm, ...]]:
    """Arm → the other arms that its scenarios are held against, and that those are held against in their turn.

    A scenario is held against the plainest with its request, and a derived model's against its original.
    """
    alike: dict[str, list[Scenario]] = {}
    for each in scenarios:
        alike.setdefault(each.request, []).append(each)
    plainest = {request: reference_of(group) for request, group in alike.items()}
    found: dict[Arm, dict[Arm, None]] = {scenario.arm: {} for scenario in scenarios}
    for each in scenarios:
        original = original_of(each, alike[each.request]) if is_derived(each) else None
        for reference in (plainest[each.request], original):
            if reference is not None and reference.arm != each.arm:
                found[each.arm][reference.arm] = None
    return {arm: _reached(arm, found) for arm in found}


def _reached(arm: Arm, direct: Mapping[Arm, Iterable[Arm]]) -> tuple[Arm, ...]:
    found = [arm]
    for each in found:  # which grows meanwhile
        found += [reference for reference in direct[each] if reference not in found]
    return tuple(found[1:])


def shares(groups: Sequence[Group], plan: Plan) -> tuple[float, ...]:
    """The part of a launch's time by whose end each group is to have ended; the last one's is 1.

    A soak takes as much as all the rest of the launch together does; the rest is in proportion to the characters.
    """
    soaks = [sum(each.repeats > 1 for each in group.scenarios) for group in groups]
    texts = [sum(_characters(each, plan) for each in group.scenarios if each.repeats == 1) for group in groups]
    rest = sum(texts)
    parts = [many + (few / rest if rest else 0.0) for many, few in zip(soaks, texts, strict=True)]
    ends = list(accumulate(parts))
    return (*(end / ends[-1] for end in ends[:-1]), 1.0) if ends else ()


def overfull(groups: Sequence[Group], *, launch: int, needs: Callable[[Arm], int], memory: int) -> Grouped | None:
    """That a launch's workers do not fit into `memory` bytes together; None where they do."""
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


def sentence(told: Sequence[Grouped]) -> str:
    """Of one launch or of several: how many took turns, and why; "" of none."""
    if not told:
        return ""
    first, last = told[0], told[-1]
    needed = _gigabytes(first.needed)
    if len(told) > 1:
        needed += f" ({_gigabytes(last.needed)} by what they held in launch {last.launch})"
    allowed = f"{_gigabytes(first.allowed)} (--workers-memory)"
    parts = [f"memory: the workers of {first.arms} arms need about {needed}, and may hold {allowed}"]
    if counts := {each.launch + 1: len(each.groups) for each in told if len(each.groups) > 1}:
        turns = ", ".join(f"{groups} groups in launch {launch}" for launch, groups in counts.items())
        if len(counts) > 1 and len(set(counts.values())) == 1:
            turns = f"{len(last.groups)} groups in each of {len(counts)} launches"
        parts.append(f"arms took turns: {turns}, what they are held against in each")
    if unfit := dict.fromkeys(arm for each in told for arm in each.unfit):
        parts.append(f"more than that, and played all the same: {', '.join(unfit)}")
    return "; ".join(parts)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def _rare_references_first(references: Mapping[Arm, tuple[Arm, ...]]) -> list[Arm]:
    """Arms in such an order that a reference that few need need not wait for them long."""
    popularity = Counter(reference for each in references.values() for reference in each)
    none = len(references)
    return sorted(references, key=lambda arm: min((popularity[each] for each in references[arm]), default=none))


def _played(scenarios: Iterable[Scenario], *, coming: set[Arm], kept: set[Arm]) -> tuple[Scenario, ...]:
    asked = {each.request for each in scenarios if each.arm in coming}
    return tuple(each for each in scenarios if each.arm in coming or (each.arm in kept and each.request in asked))


def _characters(scenario: Scenario, plan: Plan) -> int:
    """That a block speaks: of many at once, each again alone, to compare them."""
    times = 2 * scenario.concurrency if scenario.is_crowd else 1
    return times * plan.utterance(scenario, 0).characters
