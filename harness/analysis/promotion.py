"""What promoting a run adds to the baseline."""

import math
from dataclasses import replace
from statistics import median, stdev

from harness.core.records.run import RunData
from harness.core.redaction import published_selection
from harness.metrics.derive import RunValues, Values
from harness.metrics.registry import METRICS
from harness.plan.corpus import text_language
from harness.store.baselines import BaselineEntry, BaselinePoint, PromotedRun


def baseline_entries(data: RunData) -> tuple[BaselineEntry, ...]:
    """What promoting this run would accept: every gated value that was validly measured.

    Each has the definition under which the run was concluded, so values of an earlier definition are not compared with
    those of today's.
    """
    run, values = _promoted(data), RunValues(data)
    # What a worker finds in the audio, such as the onset, stays as an earlier version found it.
    concluded = {(each.scenario_id, each.metric): each.definition for each in data.summaries if each.n}
    entries = []
    for scenario in data.run.scenarios:
        model = scenario.arm.model.sha256 if scenario.arm.model else ""
        for name, found in values.of(scenario).items():
            if not METRICS[name].gated or not found.n:
                continue
            point = BaselinePoint(
                run=replace(run, model=model, corpus=data.run.setting.texts_in(text_language(scenario))),
                definition=concluded.get((scenario.id, name), METRICS[name].definition),
                median=median(found.flat),
                n=found.n,
                launches=len(found.grouped),
                spread=_spread(found),
            )
            entries.append(
                BaselineEntry(machine_key=data.run.machine.key, scenario_id=scenario.id, metric=name, point=point)
            )
    return tuple(entries)


def _promoted(data: RunData) -> PromotedRun:
    from datetime import UTC, datetime

    run = data.run
    return PromotedRun(
        id=run.id,
        date=datetime.fromtimestamp(run.started_at, tz=UTC).isoformat(timespec="seconds"),
        corpus=run.setting.corpus,
        protocol=run.setting.protocol,
        selection=published_selection(run.selection),
        canary_numpy_ns=median_of_known([block.canary.numpy_ns for block in data.blocks]),
        canary_graph_ns=median_of_known([block.canary.graph_ns for block in data.blocks]),
        packages=run.subject.packages,
        revision=run.subject.revision,
        dirty=run.subject.dirty,
    )


def _spread(values: Values) -> float | None:
    """How far the launches lay apart: standard deviation of the logs of their medians."""
    if len(values.grouped) < 2 or min(values.flat) <= 0:
        return None
    return stdev(math.log(median(launch)) for launch in values.grouped)


def median_of_known(readings: list[int | None]) -> float | None:
    """The median of the readings that are known; None where none is."""
    known = [reading for reading in readings if reading is not None]
    return median(known) if known else None
