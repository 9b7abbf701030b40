"""A run's outcome in one sentence, the same in the terminal, the report and the summary."""

from collections import Counter

from harness.records.run import RunData, RunStatus
from harness.records.verdict import TargetKind, VerdictKind


def headline(data: RunData) -> str:
    """What a reviewer wants to know first."""
    kinds = Counter(verdict.kind for verdict in data.verdicts)
    parts = []
    if kinds[VerdictKind.FAILED]:
        parts.append(f"{_scenarios(data, VerdictKind.FAILED)} not validly measured")
    if kinds[VerdictKind.REGRESSED]:
        parts.append(f"{_figures(kinds[VerdictKind.REGRESSED])} regressed")
    missed = sum(target.kind is TargetKind.MISSED for target in data.targets)
    if missed:
        parts.append(f"{missed} target{'s' * (missed > 1)} missed")
    if kinds[VerdictKind.IMPROVED]:
        parts.append(f"{_figures(kinds[VerdictKind.IMPROVED])} improved")
    if kinds[VerdictKind.MISSING]:
        parts.append(f"{_scenarios(data, VerdictKind.MISSING)} of the baseline missing")
    for kind, word in (
        (VerdictKind.UNCHANGED, "unchanged"),
        (VerdictKind.INCONCLUSIVE, "inconclusive"),
        (VerdictKind.INCOMPARABLE, "incomparable"),
        (VerdictKind.NO_BASELINE, "without a baseline"),
    ):
        if kinds[kind]:
            parts.append(f"{_figures(kinds[kind])} {word}")
    sentence = ", ".join(parts) or "nothing was judged"
    status = data.run.status
    ending = f" The run is {status.value}: {data.run.reason}." if _unusual(status) and data.run.reason else ""
    return f"{sentence[0].upper()}{sentence[1:]}.{ending}"


def _figures(count: int) -> str:
    return f"{count} figure{'s' * (count != 1)}"


def _scenarios(data: RunData, kind: VerdictKind) -> str:
    count = len({verdict.scenario_id for verdict in data.verdicts if verdict.kind is kind})
    return f"{count} scenario{'s' * (count != 1)}"


def _unusual(status: RunStatus) -> bool:
    return status in (RunStatus.INTERRUPTED, RunStatus.PARTIAL, RunStatus.FAILED)
