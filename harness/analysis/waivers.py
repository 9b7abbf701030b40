"""Waivers: the user's decision that a regression is shown and fails nothing until a day."""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from harness.analysis.conclude import Conclusions
from harness.core.records.run import RunRecord
from harness.core.records.verdict import Verdict, VerdictKind, Waiver
from harness.plan.gate_policy import waiver_of


def with_waivers(conclusions: Conclusions, waivers: Sequence[Waiver], run: RunRecord) -> Conclusions:
    """The conclusions with a waiver on each regression that has one, and notes on waivers that do nothing.

    The start of the run decides whether a waiver has expired, so that the same run always has the same verdicts.
    """
    if not waivers:
        return conclusions
    at = run.started_at
    verdicts = tuple(
        replace(each, waiver=waiver_of(waivers, scenario_id=each.scenario_id, metric=each.metric, at=at))
        if each.kind is VerdictKind.REGRESSED
        else each
        for each in conclusions.verdicts
    )
    notes = [_note(waiver, verdicts, run) for waiver in waivers]
    return replace(conclusions, verdicts=verdicts, notes=(*conclusions.notes, *filter(None, notes)))


def _note(waiver: Waiver, verdicts: Sequence[Verdict], run: RunRecord) -> str:
    """A note on a waiver that matches no scenario of the run, or that has expired and is not named by a verdict."""
    named = f"the waiver of {waiver.metric} for {waiver.scenarios} until {waiver.until} ({waiver.reason})"
    scenario = next((each.id for each in run.scenarios if fnmatchcase(each.id, waiver.scenarios)), None)
    if scenario is None:
        return f"{named} matches no scenario of this run"
    at = waiver_of([waiver], scenario_id=scenario, metric=waiver.metric, at=run.started_at)
    if at is not None and at.expired and not any(each.waiver == at for each in verdicts):
        return f"{named} has expired: a regression fails again"
    return ""
