"""From the raw records to every metric's values. The one place that knows which records a metric is made of."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.core.records.repetition import Outcome, OutcomeKind, Phase, Repetition
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Mode, Scenario
from harness.core.records.value import Reading, known, unknown
from harness.core.records.verdict import Estimate
from harness.metrics.concurrency import hit_values, lag_values, load_peaks, wait_values, window_values
from harness.metrics.definitions.audio import NOISE, SIMILARITY
from harness.metrics.definitions.speech import SPEECH
from harness.metrics.per_request import REPETITION_METRICS, repetition_figures, reported
from harness.metrics.playback import NOT_STREAMING, gaps
from harness.metrics.start_up import (
    launch_values,
    launches_of,
    peak_values,
    slope_values,
    start_up_parts,
    warm_up_values,
    why_no_launch,
)
from harness.metrics.values import (
    Counts,
    Grouped,
    Placed,
    Values,
    collect,
    log_ratios_through,
    log_ratios_to_all,
    paired_log_ratios,
    wilson,
)

__all__ = [
    "Counts",
    "Grouped",
    "RunValues",
    "Values",
    "log_ratios_through",
    "log_ratios_to_all",
    "paired_log_ratios",
    "repetition_figures",
    "scenario_values",
]

NOT_COMPARED = "its audio was not compared with the original's"
NOT_JUDGED = "its audio was not analysed"
NO_YARDSTICK = "nothing in the run is compared with it"


class RunValues:
    """The values of the scenarios of one run: its records are sorted once, and each scenario is derived once.

    Blocks that do not count (`RunData.counted`) are left out.
    """

    def __init__(self, data: RunData, *, known: Mapping[str, Mapping[str, Values]] | None = None) -> None:
        """`known` are values that need no derivation: scenario id → metric → values."""
        self.data = data
        self._known = dict(known or {})

    @cached_property
    def _records(self) -> "_Records":
        return _Records(self.data.counted)

    def for_data(self, data: RunData) -> "RunValues":
        """These values for `data`, which holds the same observations: with conclusions, or with renamed scenarios."""
        pairs = zip(self.data.run.scenarios, data.run.scenarios, strict=True)
        return RunValues(data, known={theirs.id: self.of(ours) for ours, theirs in pairs})

    def against(self, scenario: Scenario, targets: Mapping[str, float]) -> Mapping[str, Values]:
        """What `of` returns, with goodput counted against `targets` (metric → limit)."""
        found = self.of(scenario)
        if not targets or (scenario.traffic is None and scenario.concurrency == 1):
            return found
        return {**found, **_window(scenario, _attempts(scenario, self._records), self._records.data, targets=targets)}

    def of(self, scenario: Scenario) -> Mapping[str, Values]:
        """What `scenario_values` gives, without targets: goodput is unknown."""
        scenario_id = scenario.id
        if scenario_id not in self._known:
            self._known[scenario_id] = self.derive(scenario)
        return self._known[scenario_id]

    def derive(
        self, scenario: Scenario, *, include_disturbed: bool = True, targets: Mapping[str, float] | None = None
    ) -> Mapping[str, Values]:
        """What `scenario_values` gives, derived anew."""
        if scenario.mode.is_load:
            return _start_up(scenario, self.data)
        return _synthesis(scenario, self._records, include_disturbed=include_disturbed, targets=targets or {})


def scenario_values(
    scenario: Scenario,
    data: RunData,
    *,
    include_disturbed: bool = True,
    targets: Mapping[str, float] | None = None,
) -> Mapping[str, Values]:
    """Every metric of such a scenario, with its values or the reason why there are none.

    A start-up scenario has the load metrics, rss_loaded, model_size and success_rate. Any other scenario has all
    metrics but those of loading. warm_up_cost needs a warm-up scenario, longest_wait needs concurrent requests,
    cache_hit_rate needs an engine that counts hits. `include_disturbed` includes repetitions during which the machine
    was disturbed; `counts` lists them either way. `targets` (metric → limit) defines goodput. For many scenarios of one
    run `RunValues` is faster.
    """
    return RunValues(data).derive(scenario, include_disturbed=include_disturbed, targets=targets)


class _Records:
    """The repetitions of a run by scenario, in the order in which they were made."""

    def __init__(self, data: RunData) -> None:
        self.data = data
        self._sorted = sorted(data.repetitions, key=_order)
        self._by_scenario: dict[str, list[Repetition]] = {}
        for each in self._sorted:
            self._by_scenario.setdefault(each.scenario_id, []).append(each)
        self._scenarios: dict[Arm, list[str]] = {}
        for scenario in data.run.scenarios:
            self._scenarios.setdefault(scenario.arm, []).append(scenario.id)
        self._by_arm: dict[frozenset[str], list[Repetition]] = {}

    def of(self, scenario_id: str) -> list[Repetition]:
        """Of every phase."""
        return self._by_scenario.get(scenario_id, [])

    def of_the_arm(self, scenario: Scenario) -> list[Repetition]:
        """All measured repetitions that the scenario's workers made."""
        played = frozenset([*self._scenarios.get(scenario.arm, ()), scenario.id])
        if played not in self._by_arm:
            self._by_arm[played] = [
                each for each in self._sorted if each.scenario_id in played and each.phase is Phase.MEASURED
            ]
        return self._by_arm[played]


def _start_up(scenario: Scenario, data: RunData) -> Mapping[str, Values]:
    launches = launches_of(scenario, data.launches)
    counts = _count([each.outcome for each in launches])
    reason = why_no_launch(scenario, data.launches) if not launches else _no_valid([each.outcome for each in launches])
    names = ("load_time", *(f"load_{part}" for part in start_up_parts(scenario)), "rss_loaded")
    values = {name: launch_values(name, launches, counts=counts, reason=reason) for name in names}
    values["model_size"] = _whole("model_size", _model_size(scenario), counts=counts)
    values["success_rate"] = _success_rate(counts, reason=reason, launches=len(launches))
    return values


def _synthesis(
    scenario: Scenario, records: _Records, *, include_disturbed: bool, targets: Mapping[str, float]
) -> Mapping[str, Values]:
    data, tries = records.data, _attempts(scenario, records, include_disturbed=include_disturbed)
    ours, attempted, measured = tries.ours, tries.attempted, tries.measured
    counts, reason = tries.counts, tries.reason
    values = _per_repetition(measured, counts=counts, reason=reason)
    values["gap"] = _gaps(measured, counts=counts, reason=reason)
    values["rss_peak"] = (
        peak_values(ours, counts=counts, reason=reason)
        if scenario.traffic is None
        else load_peaks(scenario, data, counts=counts, reason=reason)
    )
    values["rss_slope"] = slope_values(
        attempted, arm_repetitions=records.of_the_arm(scenario), counts=counts, reason=reason
    )
    values["model_size"] = _whole("model_size", _model_size(scenario), counts=counts)
    values["success_rate"] = _success_rate(counts, reason=reason, launches=len({each.launch for each in attempted}))
    values |= _window(scenario, tries, data, targets=targets)
    if scenario.mode is Mode.WARM_UP:
        values["warm_up_cost"] = warm_up_values(ours, counts=counts, reason=reason)
    values |= wait_values(scenario, measured=measured, counts=counts, reason=reason)
    values |= hit_values(measured, counts=counts, reason=reason)
    values["client_lag"] = lag_values(scenario, data, measured=measured, counts=counts, reason=reason)
    values |= {each.name: _whole(each.name, unknown(NOT_COMPARED), counts=counts) for each in SIMILARITY}
    values |= {each.name: _whole(each.name, unknown(NOT_JUDGED), counts=counts) for each in SPEECH}
    return values | {each.name: _whole(each.name, unknown(NO_YARDSTICK), counts=counts) for each in NOISE}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempts:
    """The repetitions of a scenario: of every phase, those attempted in the measured phase, and those that count."""

    ours: Sequence[Repetition]
    attempted: Sequence[Repetition]
    measured: Sequence[Repetition]
    counts: Counts
    reason: str


def _attempts(scenario: Scenario, records: _Records, *, include_disturbed: bool = True) -> _Attempts:
    ours = records.of(scenario.id)
    attempted = [each for each in ours if each.phase is Phase.MEASURED]
    measured = [each for each in attempted if include_disturbed or not _disturbed(each)]
    return _Attempts(
        ours=ours,
        attempted=attempted,
        measured=measured,
        counts=_count([each.outcome for each in attempted], disturbed=sum(_disturbed(each) for each in attempted)),
        reason=_why_none(ours, attempted=attempted, measured=measured),
    )


def _window(scenario: Scenario, tries: _Attempts, data: RunData, *, targets: Mapping[str, float]) -> dict[str, Values]:
    return window_values(
        scenario,
        data,
        ours=tries.ours,
        measured=tries.measured,
        counts=tries.counts,
        reason=tries.reason,
        targets=targets,
    )


def _per_repetition(measured: Sequence[Repetition], *, counts: Counts, reason: str) -> dict[str, Values]:
    figures = [(each, repetition_figures(each)) for each in measured if each.outcome.valid]
    return {
        name: collect(name, [_placed(each, readings[name]) for each, readings in figures], counts=counts, reason=reason)
        for name in REPETITION_METRICS
    }


def _gaps(measured: Sequence[Repetition], *, counts: Counts, reason: str) -> Values:
    placed = []
    for each in measured:
        if each.outcome.valid:
            found = [known(gap) for gap in gaps(each.chunks)] or [unknown(NOT_STREAMING)]
            placed += [_placed(each, reading) for reading in found]
    return collect("gap", placed, counts=counts, reason=reason)


def _placed(repetition: Repetition, reading: Reading) -> Placed:
    return Placed(launch=repetition.launch, block=repetition.block, reading=reading)


def _whole(metric: str, reading: Reading, *, counts: Counts, interval: Estimate | None = None) -> Values:
    """A metric with one value for all of the scenario."""
    return collect(metric, [Placed(launch=0, reading=reading)], counts=counts, reason=reading.reason, interval=interval)


def _model_size(scenario: Scenario) -> Reading:
    model = scenario.arm.model
    return known(model.size) if model is not None else unknown("the arm has no model file")


def _success_rate(counts: Counts, *, reason: str, launches: int) -> Values:
    if not counts.attempted:
        return _whole("success_rate", unknown(reason), counts=counts)
    interval = wilson(counts.valid, counts.attempted, launches=launches)
    return _whole("success_rate", known(interval.point), counts=counts, interval=interval)


def _count(outcomes: Sequence[Outcome], *, disturbed: int = 0) -> Counts:
    failures = Counter(outcome.kind for outcome in outcomes if not outcome.valid)
    return Counts(
        attempted=len(outcomes),
        valid=len(outcomes) - failures.total(),
        invalid=tuple((kind, failures[kind]) for kind in OutcomeKind if failures[kind]),
        disturbed=disturbed,
    )


def _why_none(ours: Sequence[Repetition], *, attempted: Sequence[Repetition], measured: Sequence[Repetition]) -> str:
    """What to say of a metric without values: whatever came first prevented the rest."""
    if not attempted:
        failed = [each.outcome for each in ours if not each.outcome.valid]
        return f"not measured: the warm-up failed ({reported(failed[0])})" if failed else "not measured"
    if any(each.outcome.valid for each in attempted) and not any(each.outcome.valid for each in measured):
        return "every valid repetition was disturbed"
    return _no_valid([each.outcome for each in attempted])


def _no_valid(outcomes: Sequence[Outcome]) -> str:
    failed = [each for each in outcomes if not each.valid]
    return f"none of {len(outcomes)} is valid ({reported(failed[0])})" if failed else "no value"


def _order(repetition: Repetition) -> tuple[int, int, int, float]:
    return repetition.launch, repetition.block, repetition.position, repetition.started_at


def _disturbed(repetition: Repetition) -> bool:
    return repetition.outcome.valid and bool(repetition.disturbance.marks)
