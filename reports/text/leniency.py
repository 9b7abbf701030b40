"""Sentences on regressions that fail nothing, and on waivers that have expired."""

from collections.abc import Iterable

from harness.analysis.messages import leniency, percent
from harness.core.comma_lists import listed
from harness.core.records.verdict import Verdict

MOST = 3
"""The maximum number of scenarios in a sentence; further ones are counted."""


def lenient_sentences(verdicts: Iterable[Verdict]) -> dict[str, bool]:
    """Sentence → whether it is about regressions that fail the run, because their waiver has expired.

    Scenarios with the same waiver share a sentence, and so do those of a metric that informs.
    """
    groups: dict[tuple[str, str, bool], list[str]] = {}
    for verdict in verdicts:
        if words := leniency(verdict):
            size = f" ({percent(verdict.change.point)})" if verdict.change else ""
            groups.setdefault((verdict.metric, words, verdict.fails), []).append(f"{verdict.scenario_id}{size}")
    return {f"{metric} is worse in {_some(found)}: {words}": fails for (metric, words, fails), found in groups.items()}


def _some(found: list[str]) -> str:
    more = len(found) - MOST
    return listed([*found[:MOST], *([f"{more} more"] if more > 0 else [])])
