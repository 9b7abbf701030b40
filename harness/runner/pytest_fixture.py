"""The `measured` fixture: the result of a test's scenario, for assertions and for pytest-benchmark."""

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.core.records.run import RunData
from harness.core.records.scenario import Mode, Scenario
from harness.core.records.verdict import TargetKind, TargetResult, Verdict, VerdictKind, is_against_reference
from harness.runner.session_outcome import Finding, Unmeasured

if TYPE_CHECKING:
    from harness.metrics.derive import RunValues

Benchmark: TypeAlias = Any
"""pytest-benchmark's fixture, which has no types."""

REPLAYED = {Mode.LOAD_WARM: "load_time", Mode.LOAD_COLD: "load_time"}
"""Mode → the metric that pytest-benchmark's table shows; latency for all other modes."""


@dataclass(slots=True)
class ReplayTimer:
    """A clock for pytest-benchmark. The difference of each pair of readings is one measured duration."""

    durations: deque[float] = field(default_factory=deque)
    _running: bool = False

    def __call__(self) -> float:
        """0 at the start of a round, the next duration (s) at its end."""
        self._running = not self._running
        if self._running or not self.durations:
            return 0.0
        return self.durations.popleft()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One scenario of a finished run."""

    derived: "RunValues"
    scenario_id: str

    @property
    def data(self) -> RunData:
        return self.derived.data

    @property
    def scenario(self) -> Scenario:
        return next(scenario for scenario in self.data.run.scenarios if scenario.id == self.scenario_id)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The gate's verdicts on this scenario."""
        return tuple(verdict for verdict in self.data.verdicts if verdict.scenario_id == self.scenario_id)

    @property
    def targets(self) -> tuple[TargetResult, ...]:
        """The results of the targets that apply to this scenario."""
        return tuple(target for target in self.data.targets if target.scenario_id == self.scenario_id)

    def values(self, name: str) -> tuple[float, ...]:
        """The valid values of a metric, in the order of measurement. Fails the test if there is none."""
        values = self._known(name)
        if not values:
            reason = self.derived.of(self.scenario)[name].reason
            failed = any(verdict.kind is VerdictKind.FAILED for verdict in self.verdicts)
            kind = Finding if failed else Unmeasured
            raise kind(f"{self.scenario_id}: {name} was not measured: {reason}", pytrace=False)
        return values

    def _known(self, name: str) -> tuple[float, ...]:
        return self.derived.of(self.scenario)[name].flat

    def replay(self, benchmark: Benchmark) -> None:
        """Pass the worker's measured values to pytest-benchmark as its rounds.

        The plugin's marker gives the benchmark fixture a `ReplayTimer`, which this needs.
        """
        name = REPLAYED.get(self.scenario.mode, "latency")
        if not benchmark.enabled or not self._known(name):
            # pytest-benchmark warns if a test requests it without using it. Disabled, it calls once and shows nothing.
            benchmark.disabled = True
            benchmark.pedantic(lambda: None)
            self.values(name)
            return
        durations = self.values(name)
        timer = benchmark._timer  # noqa: SLF001 - the timer that the marker gave it
        timer.durations.extend(durations)
        benchmark.extra_info.update(
            run=self.data.run.id, scenario=self.scenario_id, metric=name, **_medians(self.data, self.scenario_id)
        )
        if waivers := {verdict.metric: asdict(verdict.waiver) for verdict in self.verdicts if verdict.waiver}:
            benchmark.extra_info["waivers"] = waivers
        if note := self.data.run.replica_note:
            benchmark.extra_info["note"] = note
        if reasons := {each.metric: each.reason for each in self.verdicts if is_against_reference(each)}:
            benchmark.extra_info["reasons"] = reasons
        benchmark.pedantic(lambda: None, rounds=len(durations), iterations=1, warmup_rounds=0)

    def check(self) -> None:
        """Fail the test if the scenario regressed, missed a target, or has no valid measurement."""
        complaints = [*_complaints(self.verdicts), *_missed(self.targets)]
        if complaints:
            raise Finding("\n".join([self.scenario_id, *(f"  {line}" for line in complaints)]), pytrace=False)


def _medians(data: RunData, scenario_id: str) -> dict[str, float]:
    return {
        summary.metric: summary.median
        for summary in data.summaries
        if summary.scenario_id == scenario_id and summary.median is not None
    }


def _complaints(verdicts: Sequence[Verdict]) -> list[str]:
    from harness.analysis.explain import explained, suspect_lines

    kinds = (VerdictKind.REGRESSED, VerdictKind.FAILED, VerdictKind.MISSING)
    bad = [each for each in verdicts if each.kind in kinds and each.gates and each.leniency is None]
    lines = [f"{each.metric}: {each.kind.value}: {explained(each, suspects=False)}" for each in bad]
    return [*lines, *suspect_lines(bad)]


def _missed(targets: Sequence[TargetResult]) -> list[str]:
    from harness.metrics.registry import metric

    return [
        f"{target.metric}: target missed. {target.reason}".strip()
        if target.reason
        else f"{target.metric}: target missed: {metric(target.metric).format(target.observed.value or 0.0)}"
        for target in targets
        if target.kind is TargetKind.MISSED
    ]
