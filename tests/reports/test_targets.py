"""Targets, each once: how many scenarios missed it, and the worst of them."""

from collections import Counter
from dataclasses import replace

from harness.core.records.run import RunData
from harness.core.records.value import unknown
from harness.core.records.verdict import TargetKind
from reports.text.naming import names_of
from reports.views.targets import tallies


def test_each_target_is_counted_once_and_the_missed_come_first(run: RunData) -> None:
    found = tallies(run, names_of(run))
    assert len(found) == len({(each.metric, each.limit) for each in run.targets})
    kinds = Counter((each.metric, each.kind) for each in run.targets)
    missed = next(each for each in found if each.metric == "Time to first audio")
    assert missed.counts.startswith(f"{kinds['ttfa', TargetKind.MISSED]} missed")
    assert missed.limit == "under 0.8\u202fs"
    glyphs = [each.glyph for each in found]
    assert glyphs == sorted(glyphs, key="✕?✓".index)
    worst = max(
        (each for each in run.targets if each.metric == "ttfa" and each.observed.value is not None),
        key=lambda each: each.observed.value or 0.0,
    )
    assert missed.worst.endswith(names_of(run).of(worst.scenario_id).full)


def test_a_target_of_which_nothing_is_known_has_no_worst(run: RunData) -> None:
    nothing = tuple(
        replace(each, kind=TargetKind.UNKNOWN, observed=unknown("crashed"))
        for each in run.targets
        if each.metric == "ttfa"
    )
    (found,) = tallies(replace(run, targets=nothing), names_of(run))
    assert (found.counts, found.worst) == (f"{len(nothing)} unknown", "")
