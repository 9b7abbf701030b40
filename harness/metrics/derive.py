"""Derives the values of every metric from the raw records of a run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

from harness.core.records.repetition import Outcome, OutcomeKind, Phase, Repetition
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Mode, Scenario
from harness.core.records.value import Reading, known, unknown
from harness.metrics.concurrency import add_lag, add_window, hit_rates, load_peaks, longest_waits
from harness.metrics.definitions.audio import NOISE, SIMILARITY
from harness.metrics.definitions.speech import SPEECH, WORDS
from harness.metrics.per_request import REPETITION_METRICS, repetition_figures, reported
from harness.metrics.playback import NOT_STREAMING, gaps
from harness.metrics.start_up import (
    launch_readings,
    launches_of,
    peaks,
    slopes,
    start_up_parts,
    warm_up_costs,
    why_no_launch,
)
from harness.metrics.values import (
    Collector,
    Counts,
    Placed,
    Values,
)

NOT_COMPARED = "its audio was not compared with the original's"
NOT_JUDGED = "its audio was not analysed"
NO_YARDSTICK = "nothing in the run is compared with it"


class RunValues:
    """The values of the scenarios of one run. Records are sorted once, and each scenario is derived once.

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
        if not targets or not scenario.is_concurrent:
            return found
        window = _collector(ours := self._records.of(scenario.id))
        add_window(window, scenario, self._records.data, ours=ours, measured=_measured(ours), targets=targets)
        return {**found, **window.values}

    def of(self, scenario: Scenario) -> Mapping[str, Values]:
        """What `scenario_values` gives, without targets: goodput is unknown."""
        scenario_id = scenario.id
        if scenario_id not in self._known:
            self._known[scenario_id] = self.derive(scenario)
        return self._known[scenario_id]

    def derive(self, scenario: Scenario) -> Mapping[str, Values]:
        """What `of` returns, derived anew."""
        return _start_up(scenario, self.data) if scenario.mode.is_start_up else _synthesis(scenario, self._records)


def scenario_values(scenario: Scenario, data: RunData) -> Mapping[str, Values]:
    """Every metric of a scenario, with its values or the reason why there are none.

    A start-up scenario has the load metrics, rss_loaded, model_size and success_rate. Any other scenario has all
    metrics but those of loading. warm_up_cost needs a warm-up scenario, longest_wait needs concurrent requests,
    cache_hit_rate needs an engine that counts hits, and goodput needs targets (`RunValues.against`). For many scenarios
    of one run `RunValues` is faster.
    """
    return RunValues(data).of(scenario)


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
        """The repetitions of a scenario in every phase."""
        return self._by_scenario.get(scenario_id, [])

    def of_the_arm(self, scenario: Scenario) -> list[Repetition]:
        """All measured repetitions of the scenario's arm."""
        ids = frozenset([*self._scenarios.get(scenario.arm, ()), scenario.id])
        if ids not in self._by_arm:
            self._by_arm[ids] = [
                each for each in self._sorted if each.scenario_id in ids and each.phase is Phase.MEASURED
            ]
        return self._by_arm[ids]


def _start_up(scenario: Scenario, data: RunData) -> Mapping[str, Values]:
    launches = launches_of(scenario, data.launches)
    outcomes = [each.outcome for each in launches]
    reason = _no_valid(outcomes) if launches else why_no_launch(scenario, data.launches)
    values = Collector(_count(outcomes), reason=reason)
    for name in ("load_time", *(f"load_{part}" for part in start_up_parts(scenario)), "rss_loaded"):
        values.add(name, launch_readings(name, launches))
    values.add_whole("model_size", _model_size(scenario))
    values.add_success_rate(launches=len(launches))
    return values.values


def _synthesis(scenario: Scenario, records: _Records) -> Mapping[str, Values]:
    data, ours = records.data, records.of(scenario.id)
    measured, values = _measured(ours), _collector(ours)
    _add_per_repetition(values, [each for each in measured if each.outcome.valid])
    values.add("rss_peak", peaks(ours) if scenario.traffic is None else load_peaks(scenario, data))
    values.add("rss_slope", slopes(measured, arm_repetitions=records.of_the_arm(scenario)))
    values.add_whole("model_size", _model_size(scenario))
    values.add_success_rate(launches=len({each.launch for each in measured}))
    add_window(values, scenario, data, ours=ours, measured=measured, targets={})
    if scenario.mode is Mode.WARM_UP:
        values.add("warm_up_cost", warm_up_costs(ours))
    if scenario.concurrency > 1:
        values.add("longest_wait", longest_waits(measured))
    if rates := hit_rates(measured):
        values.add("cache_hit_rate", rates)
    add_lag(values, scenario, data, measured)
    for metrics, reason in ((SIMILARITY, NOT_COMPARED), ((*SPEECH, *WORDS), NOT_JUDGED), (NOISE, NO_YARDSTICK)):
        for each in metrics:
            values.add_whole(each.name, unknown(reason))
    return values.values


def _measured(ours: Sequence[Repetition]) -> list[Repetition]:
    return [each for each in ours if each.phase is Phase.MEASURED]


def _collector(ours: Sequence[Repetition]) -> Collector:
    """A collector with the counts of the measured ones among a scenario's repetitions of every phase."""
    measured = _measured(ours)
    disturbed = sum(each.outcome.valid and bool(each.disturbance.marks) for each in measured)
    counts = _count([each.outcome for each in measured], disturbed=disturbed)
    return Collector(counts, reason=_why_none(ours, measured))


def _add_per_repetition(values: Collector, valid: Sequence[Repetition]) -> None:
    figures = [(each, repetition_figures(each)) for each in valid]
    for name in REPETITION_METRICS:
        values.add(name, [_placed(each, readings[name]) for each, readings in figures])
    found = [(each, [known(gap) for gap in gaps(each.chunks)] or [unknown(NOT_STREAMING)]) for each in valid]
    values.add("gap", [_placed(each, reading) for each, readings in found for reading in readings])


def _placed(repetition: Repetition, reading: Reading) -> Placed:
    return Placed(launch=repetition.launch, block=repetition.block, reading=reading)


def _model_size(scenario: Scenario) -> Reading:
    model = scenario.arm.model
    return known(model.size) if model is not None else unknown("the arm has no model file")


def _count(outcomes: Sequence[Outcome], *, disturbed: int = 0) -> Counts:
    failures = Counter(outcome.kind for outcome in outcomes if not outcome.valid)
    return Counts(
        attempted=len(outcomes),
        valid=len(outcomes) - failures.total(),
        invalid=tuple((kind, failures[kind]) for kind in OutcomeKind if failures[kind]),
        disturbed=disturbed,
    )


def _why_none(ours: Sequence[Repetition], measured: Sequence[Repetition]) -> str:
    """The reason for a metric without values: the first failure, which prevented the rest."""
    if measured:
        return _no_valid([each.outcome for each in measured])
    failed = [each.outcome for each in ours if not each.outcome.valid]
    return f"not measured: the warm-up failed ({reported(failed[0])})" if failed else "not measured"


def _no_valid(outcomes: Sequence[Outcome]) -> str:
    failed = [each for each in outcomes if not each.valid]
    return f"none of {len(outcomes)} is valid ({reported(failed[0])})" if failed else "no value"


def _order(repetition: Repetition) -> tuple[int, int, int, float]:
    return repetition.launch, repetition.block, repetition.position, repetition.started_at
