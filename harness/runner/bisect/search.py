"""A bisection from start to end: first good against bad, then probe after probe, until the answer or the budget's end.

Each probe is a run of its own in the store. A bisection that is called again takes up all of its finished runs.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from harness.analysis.bisection.answer import ERROR_RATE, State, as_estimate
from harness.analysis.finished import Finished
from harness.core.errors import ExitCode, IndexOutOfReachError, MeasurementError, RuntimeBuildError, UsageError
from harness.core.records.bisection import Bisection, BisectionAnswer, Place, Probe
from harness.core.records.run import BISECTION_OF
from harness.core.records.scenario import Arm
from harness.core.records.verdict import VerdictKind
from harness.metrics.derive import RunValues
from harness.plan.config import Config, with_values
from harness.runner.arm_specs import ConfiguredArm, arms_of
from harness.runner.bisect.ends import Ends, for_metric, judge_ends, measure_ends
from harness.runner.bisect.probe import TEXT, Trio, losses, measure_probe, mode_of, policy_for, probe_of
from harness.runner.rebuild import why_not
from harness.runner.resources import machine_key, prepare_resources
from harness.store.bisections import write_bisection
from harness.store.runs import open_store

BUDGET_S = 900.0
MORE_ARMS = 1.5
"""A probe has three arms, and the duel of good and bad two."""
ASKED = ("engine", "url", "model", "provider", "provider-options", "session-options", "threads", "script", "voice",
         "language", "endpoint-options", "runtime")  # fmt: skip
"""Configuration keys with whose values a bisection of the same places is another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for: where between the first and the last of `places` a metric of `subject` changed.

    `metric` "" is the first that differs. `effect` is the smallest difference of good and bad to look for (a ratio).
    """

    subject: str
    places: tuple[Place, ...]
    metric: str = ""
    effect: float = 0.05
    streamed: bool = False
    as_written: bool = False
    """Whether a user wrote each place: one that makes no sense is a mistake, and no place that cannot be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What a call has found. `last` is the last run that it measured; None if the store had everything."""

    bisection: Bisection
    last: Finished | None = None
    interrupted: bool = False


def bisect(config: Config, wanted: Wanted, *, configured: ConfiguredArm, report: Callable[[str], None]) -> Searched:
    """Search within the budget of `config`, by default 15 minutes, and keep each step of it.

    `configured` gives the arm that the places change. Raises UsageError for a budget too small for one probe, and
    MeasurementError if good or bad cannot be measured.
    """
    search = Search(config=config, wanted=wanted, configured=configured, report=report)
    search.search()
    return Searched(bisection=search.save(), last=search.last, interrupted=search.interrupted)


@dataclass(kw_only=True)
class Search:
    """The state of one call."""

    config: Config
    wanted: Wanted
    configured: ConfiguredArm
    report: Callable[[str], None]
    last: Finished | None = None
    ends: Ends | None = None
    probes: dict[str, Probe] = field(default_factory=dict)
    """Run → what it shows."""
    skipped: dict[int, str] = field(default_factory=dict)
    """Place → why it cannot be measured."""
    reason: str = ""
    advice: str = ""
    spent_s: float = 0.0
    updated_at: float = 0.0
    """The end of the last probe that is known, in s since the epoch."""

    def __post_init__(self) -> None:
        if len(self.config["text"]) > 1:
            raise UsageError("bisect takes one text class", where="--text", remedy="bisect each one separately")
        _check_places(self.wanted.places)
        self.config = with_values(self.config, {"quality": "off", "budget": self.config["budget"] or BUDGET_S})
        self._machine = machine_key(self.config)
        places = [(each.label, each.spec) for each in self.wanted.places]
        text = (*self.config["text"], TEXT)[0]
        settings = [self.config[key] for key in ASKED]
        asked = (places, text, self.wanted.metric, self.wanted.streamed, settings, self._machine)
        self.id = hashlib.sha256(repr(asked).encode()).hexdigest()[:8]

    def search(self) -> None:
        """Measure what is not stored yet, as far as it is not interrupted."""
        stored = self._stored()
        self.ends = self._stored_ends(stored) or self._measured_ends()
        if self.ends is None:
            return
        if not self.ends.differ:
            self.reason, self.advice = self.ends.reason, self.ends.advice
            return
        for place in range(1, len(self.wanted.places) - 1):
            for run_id in stored.get(self._selection(place), ()):
                self._take_up(place, self._values(run_id))
        self.save()
        while self._state().answer().answer is BisectionAnswer.UNDECIDED:
            telling = self._state().next_place()
            if telling is None or not self._affordable():
                return
            self._probe(telling)
            if self.interrupted:
                return
            self.save()

    @property
    def interrupted(self) -> bool:
        """Whether the last measurement was interrupted."""
        return self.last is not None and self.last.code is ExitCode.INTERRUPTED

    def save(self) -> Bisection:
        """Keep and return what is known now."""
        found = self.record()
        write_bisection(self.config.bisections, found)
        return found

    def record(self) -> Bisection:
        """What is known now."""
        probes = tuple(sorted(self.probes.values(), key=lambda each: (each.place, each.run_id)))
        started_at = self.ends.started_at if self.ends else 0.0
        found = Bisection(
            id=self.id,
            subject=self.wanted.subject,
            metric=self.ends.metric if self.ends else self.wanted.metric,
            machine=self._machine,
            started_at=started_at,
            updated_at=max(self.updated_at, started_at),
            error_rate=ERROR_RATE,
            places=tuple(
                replace(each, skipped=self.skipped.get(number, "")) for number, each in enumerate(self.wanted.places)
            ),
            first_run=self.ends.run_id if self.ends else "",
            probes=probes,
            reason=self.reason,
            advice=self.advice,
        )
        if self.ends is None or not self.ends.differ:
            return replace(found, answer=BisectionAnswer.NO_DIFFERENCE if self.ends else BisectionAnswer.UNDECIDED)
        state = self._state()
        answer = state.answer()
        pairs, launches = sum(each.pairs for each in probes), sum(each.launches for each in probes)
        return replace(
            found,
            whole=as_estimate(state.whole, n=pairs, launches=launches),
            answer=answer.answer,
            steps=answer.steps,
            confidence=answer.confidence,
            changes=answer.changes,
            improved=self.ends.kind is VerdictKind.IMPROVED,
        )

    def _state(self) -> State:
        return State(
            count=len(self.wanted.places),
            probes=tuple(self.probes.values()),
            first=self.ends.whole if self.ends else None,
            skipped=frozenset(self.skipped),
        )

    # What is stored.

    def _stored(self) -> Mapping[str, Sequence[str]]:
        """Selection → the finished runs of this bisection in the store, oldest first."""
        found: dict[str, list[str]] = {}
        with open_store(self.config.results) as store:
            for row in reversed(store.list(machine_key=self._machine)):
                if row.selection.startswith(f"{BISECTION_OF}{self.id}: ") and row.status.is_finished:
                    found.setdefault(row.selection, []).append(row.id)
        return found

    def _values(self, run_id: str) -> RunValues:
        with open_store(self.config.results) as store:
            return RunValues(store.load(run_id))

    def _selection(self, place: int) -> str:
        """The selection of the run that measures a place; of the last, that of the duel of good and bad."""
        good, bad = self.wanted.places[0].label, self.wanted.places[-1].label
        ours = self.wanted.places[place].label
        what = f"{bad} against {good}" if ours == bad else f"{ours} between {good} and {bad}"
        return f"{BISECTION_OF}{self.id}: {what}"

    # Good against bad.

    def _stored_ends(self, stored: Mapping[str, Sequence[str]]) -> Ends | None:
        """What an earlier duel of bad against good showed; None if there is none, or if it showed no difference."""
        for run_id in stored.get(self._selection(-1), ()):
            found = judge_ends(self.config, self._values(run_id), metric=self.wanted.metric)
            if found.differ:
                self.report(f"already measured: {self._selection(-1)} (run {run_id})")
                return found
        return None

    def _measured_ends(self) -> Ends | None:
        """What a new duel of bad against good shows; None if it was interrupted."""
        if self.wanted.as_written:
            self._arms(*range(len(self.wanted.places)))
        config, (good, bad) = self._arms(0, -1)
        self.report(f"first, bad against good: {self.wanted.places[-1].label} against {self.wanted.places[0].label}")
        self.last = measure_ends(
            config,
            good=good,
            bad=bad,
            metric=self.wanted.metric,
            effect=self.wanted.effect,
            streamed=self.wanted.streamed,
            selection=self._selection(-1),
        )
        if self.interrupted:
            return None
        self.spent_s += self.last.data.seconds
        found = judge_ends(self.config, self.last.values, metric=self.wanted.metric)
        if found.too_few:
            raise UsageError(
                f"the budget of {self.config['budget']:g} s is too small for the comparison of good and bad",
                where="--budget",
                remedy=found.advice,
            )
        return found

    # Probes.

    def _probe(self, place: int) -> None:
        """Measure a place, or note why it cannot be measured."""
        assert self.ends is not None  # noqa: S101 - for the type checker; good and bad are measured first
        config, (good, bad, ours) = self._arms(0, -1, place)
        try:
            prepare_resources(config, report=self.report).resolve(ours)
        except IndexOutOfReachError:
            raise
        except (RuntimeBuildError, UsageError) as error:
            self._skip(place, why_not(error))
            return
        left_s = self.config["budget"] - self.spent_s
        budget_s = min(left_s, max(left_s / self._state().probes_left(), self._cost_s()))
        named = self.wanted.places[place]
        self.report(f"probe {len(self.probes) + 1}: {named.label} {named.detail}".rstrip())
        self.last = measure_probe(
            for_metric(with_values(config, {"budget": budget_s}), self.ends.metric),
            Trio(probe=ours, good=good, bad=bad),
            self._state(),
            place=place,
            metric=self.ends.metric,
            mode=mode_of(self.ends.metric, streamed=self.wanted.streamed),
            selection=self._selection(place),
        )
        if self.interrupted:
            return
        self.spent_s += self.last.data.seconds
        self._take_up(place, self.last.values)

    def _take_up(self, place: int, values: RunValues) -> None:
        """Use what a probe's run shows. If its place was lost, skip it. MeasurementError if good or bad was lost."""
        assert self.ends is not None  # noqa: S101 - for the type checker; good and bad are measured first
        data = values.data
        self.updated_at = max(self.updated_at, data.run.ended_at or data.run.started_at)
        for which, reason in losses(data).items():
            if which != "the probe":
                raise MeasurementError(
                    f"{which} was lost: {reason}",
                    where=self._selection(place),
                    remedy=f"`kokoro-bench runs show {data.run.id}` has every failure",
                )
            self._skip(place, reason)
            return
        policy = policy_for(self.config, [each.arm for each in data.run.scenarios], data)
        found = probe_of(values, place=place, metric=self.ends.metric, policy=policy)
        if found is None:
            self.report(f"run {data.run.id} has fewer than three blocks of all arms, and does not count")
        else:
            self.probes[found.run_id] = found

    def _skip(self, place: int, reason: str) -> None:
        self.skipped[place] = reason
        self.report(f"{self.wanted.places[place].label} is skipped: {reason}")

    def _arms(self, *places: int) -> tuple[Config, Sequence[Arm]]:
        """The arms of places, and the configuration that resolves their models. UsageError if two are the same."""
        config, arms = arms_of(
            self.config, [self.wanted.places[place].spec for place in places], configured=self.configured
        )
        for number, arm in enumerate(arms):
            if arm.id in {each.id for each in arms[:number]}:
                label = self.wanted.places[places[number]].label
                raise UsageError("this is the same as good or bad", where=label, remedy="leave it out")
        return config, arms

    # The budget.

    def _cost_s(self) -> float:
        """The least time (s) that a probe is expected to take: that of the shortest, or of the fewest blocks."""
        least_s = self.ends.least_s if self.ends else 0.0
        return min([MORE_ARMS * least_s, *(each.seconds for each in self.probes.values())])

    def _affordable(self) -> bool:
        """Whether there is time for another probe. UsageError if there is none for the first one."""
        cost_s, budget_s = self._cost_s(), self.config["budget"]
        if self.spent_s + cost_s <= budget_s:
            return True
        usual_s = median([each.seconds for each in self.probes.values()] or [cost_s])
        needed_s = math.ceil((self.spent_s + self._state().probes_left() * usual_s) / 10) * 10
        if not self.probes:
            raise UsageError(
                f"the budget of {budget_s:g} s is too small for one probe, which takes about {cost_s:.0f} s here",
                where="--budget",
                remedy=f"--budget {needed_s}s would do; what was measured is kept",
            )
        self.reason = f"the budget of {budget_s:g} s was spent after {len(self.probes)} probes"
        self.advice = f"the same command goes on where it ended; `--budget {needed_s}s` would probably decide it"
        return False


def _check_places(places: Sequence[Place]) -> None:
    """UsageError if good and bad, or any two places, are the same."""
    if places[0].spec == places[-1].spec:
        raise UsageError("good and bad are the same", where=places[0].label, remedy="name two different ones")
    seen: set[str] = set()
    for place in places:
        if place.spec in seen:
            raise UsageError("stands twice in the list", where=place.label, remedy="name each place once")
        seen.add(place.spec)
