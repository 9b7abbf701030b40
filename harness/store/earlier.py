"""Conversion of stored results of earlier versions that this version shows differently."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final

from harness.core.records.scenario import Scenario, original_of
from harness.core.records.verdict import REPLAYED, Median, Summary, Verdict, VerdictKind

SELF_COMPARED: Final = ("lsd", "mcd", "duration_ratio", "pesq", "stoi")
"""Metrics whose definition 1 also compared a model with itself, without a mark."""
SELF_DEFINITION: Final = 1
_ITSELF: Final = {"lsd": "lsd_itself", "mcd": "mcd_itself"}
AGAINST_ITSELF: Final = "an earlier version held it against itself"

_BARE_CLAIM = re.compile(
    r"(operator \S+|phonemise|inference|postprocess|rest|once loaded|speaking): "
    r"[+-][\d.]+% of (the whole|all nodes' time) \(.*"
    r"|\d+ of \d+ repetitions were disturbed by other work on the machine"
)
"""Suspects from versions without intervals: some moved against their verdict, and all may be noise."""


_ACCEPTED = re.compile(r"the acceptance of (\S+) \(run ([^)]+)\)")
_CHANGED = re.compile(r"accepted on (\S+), replayed in run \S+; changed: (.*)")
"""What earlier versions stored of the acceptance in the sentence alone."""


def as_of_now(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts as this version stores them."""
    return tuple(map(_with_acceptance, with_proven_suspects(verdicts)))


def _with_acceptance(verdict: Verdict) -> Verdict:
    """The verdict with the fields on its acceptance that earlier versions did not store."""
    if verdict.accepted_on:
        return verdict
    if verdict.kind is VerdictKind.SAME_SUBJECT and (found := _ACCEPTED.search(verdict.reason)):
        return replace(verdict, accepted_on=found[1], accepted=found[2])
    if verdict.reference.startswith(REPLAYED) and (found := _CHANGED.search(verdict.reason)):
        return replace(verdict, accepted_on=found[1], changed=found[2])
    return verdict


def with_proven_suspects(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts without the suspects that state a movement without an interval."""
    return tuple(
        verdict.with_suspects(each for each in verdict.suspected if not _BARE_CLAIM.fullmatch(each.sentence))
        if any(map(_BARE_CLAIM.fullmatch, verdict.suspects))
        else verdict
        for verdict in verdicts
    )


def self_compared(scenarios: Sequence[Scenario]) -> frozenset[str]:
    """The ids of the scenarios that an earlier version compared with themselves."""
    originals = {each.id: original_of(each, scenarios) for each in scenarios}
    return frozenset(own for own, original in originals.items() if original is not None and original.id == own)


def without_self_comparisons(summaries: Sequence[Summary], scenarios: Sequence[Scenario]) -> tuple[Summary, ...]:
    """The summaries with a model's distances from itself under the names that they have now, and no other of itself."""
    old = [each for each in summaries if each.metric in SELF_COMPARED and each.definition == SELF_DEFINITION and each.n]
    ours = self_compared(scenarios) if old else frozenset()
    moved = {(each.scenario_id, each.metric) for each in old if each.scenario_id in ours}
    if not moved:
        return tuple(summaries)
    named = [replace(each, metric=_ITSELF[each.metric]) for each in old if _is_named(each, moved)]
    replaced = {(each.scenario_id, each.metric) for each in named}
    kept = [
        Summary(
            scenario_id=each.scenario_id, metric=each.metric, definition=each.definition, n=0, reason=AGAINST_ITSELF
        )
        if (each.scenario_id, each.metric) in moved
        else each
        for each in summaries
        if (each.scenario_id, each.metric) not in replaced
    ]
    return (*kept, *named)


def medians_without_self_comparisons(
    medians: Sequence[Median], scenarios: Sequence[Scenario], old: Collection[tuple[str, str]]
) -> tuple[Median, ...]:
    """The same of medians; `old` are the scenario and metric of those in definition 1."""
    ours = self_compared(scenarios) if old else frozenset()
    moved = {(scenario_id, metric) for scenario_id, metric in old if scenario_id in ours}
    if not moved:
        return tuple(medians)
    named = [each._replace(metric=_ITSELF[each.metric]) for each in medians if _is_named(each, moved)]
    kept = [
        each._replace(n=0, median=None, reason=AGAINST_ITSELF) if (each.scenario_id, each.metric) in moved else each
        for each in medians
    ]
    return (*kept, *named)


def _is_named(each: Summary | Median, moved: Collection[tuple[str, str]]) -> bool:
    """Whether it is among those moved, and has a name of its own now."""
    return (each.scenario_id, each.metric) in moved and each.metric in _ITSELF
