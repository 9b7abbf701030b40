"""How an alert on a regression ends: recovered, accepted by a promotion, or waived. On the scripted clock."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.core.records.reference import AcceptedBy, LoadedSubject, ReferenceArm
from harness.core.records.schedule import Alert, AlertEnding, AlertKind
from harness.core.records.verdict import REPLAYED, VerdictKind
from harness.plan.gate_policy import waiver_of
from harness.schedule.endings import PromotedValue, is_accepted
from harness.schedule.launcher import Exit
from harness.schedule.promotion import REASON, refusal
from harness.store.baseline_files import BaselinePoint, PromotedRun
from harness.store.baselines import BaselineEntry, accept

from .conftest import SCENARIO
from .test_thousand_nights import DAY, HALF_PAST_TWO, START, Run

ALERT = Alert(
    key=1, machine_key="two-core", kind=AlertKind.REGRESSION, subject="s", metric="latency", run_id="r",
    opened_at=100.0, sentence="worse", size=0.1, low=0.08, high=0.12, closed_at=None, closed_by="", trouble="",
)  # fmt: skip
REGRESSED, UNCHANGED, UNKNOWN = VerdictKind.REGRESSED, VerdictKind.UNCHANGED, VerdictKind.INCONCLUSIVE


class Nights:
    """Nights whose median and verdict the test decides."""

    def __init__(self, bench: Any, make_run: Run) -> None:
        self.bench, self.make_run = bench, make_run
        self.runs: list[str] = []
        bench.put()

    def play(self, night: int, *, level: float = 0.0, verdict: VerdictKind = UNCHANGED, **changes: str) -> str:
        def run(process: Any) -> None:
            at = self.bench.clock.wall()
            config = self.bench.config
            waiver = waiver_of(config.waivers, scenario_id=SCENARIO.id, metric="latency", at=at)
            run_id = self.make_run(
                self.bench.store, at=at, median=math.exp(level), verdict=verdict, size=level, waiver=waiver,
                gates=config.gates("latency"), **changes,
            )  # fmt: skip
            self.bench.begin(process, run_id)
            process.ends = Exit(code=int(verdict is REGRESSED))
            self.runs.append(run_id)

        self.bench.launcher.on_go = run
        self.bench.at(START + night * DAY + HALF_PAST_TWO)
        return self.runs[-1]

    def promote(self, run_id: str, *, metric: str = "latency") -> None:
        """As a person does by `baseline promote`."""
        data = self.bench.store.load(run_id)
        date = datetime.fromtimestamp(data.run.started_at, tz=UTC).isoformat(timespec="seconds")
        accepted = PromotedRun(
            id=run_id, date=date, corpus="", protocol=1, selection="nightly", canary_numpy_ns=None,
            canary_graph_ns=None, packages=(), revision="", dirty=False,
        )  # fmt: skip
        point = BaselinePoint(
            run=accepted, definition=1, median=data.summaries[0].median or 0.0, n=12, launches=3, spread=None
        )
        entry = BaselineEntry(
            machine_key=data.run.machine.key, scenario_id=data.run.scenarios[0].id, metric=metric, point=point
        )
        accept(self.bench.config.baselines, [entry], [])

    @property
    def events(self) -> list[str]:
        return [message.event for message in self.bench.told]

    @property
    def alert(self) -> Alert:
        [alert] = self.bench.store.journal().alerts()
        assert isinstance(alert, Alert)
        return alert


@pytest.fixture
def nights(bench: Any, make_run: Run) -> Nights:
    return Nights(bench, make_run)


def configured(bench: Any, content: str) -> None:
    """Read the policy anew, as a start of the scheduler does."""
    from harness.plan.config import load_config

    (bench.config.root / "pyproject.toml").write_text(content)
    bench.config = load_config(start=bench.config.root, environment={})
    bench.daemon = bench.new_daemon()


def waiver(until: str) -> str:
    return (
        '[[tool.kokoro-bench.waiver]]\nscenarios = "*/whole/*"\nmetric = "latency"\n'
        f'reason = "new style vector"\nuntil = {until}\n'
    )


class TestAcceptance:
    def test_promotion_of_regressed_run_ends_alert_as_accepted(self, nights: Nights) -> None:
        nights.play(0)
        worse = nights.play(1, level=0.1, verdict=REGRESSED)
        nights.promote(worse)
        after = nights.play(2, level=0.1)
        assert nights.events == ["alert", "accepted"]
        assert nights.bench.told[-1].subject.startswith("kokoro-bench: accepted: latency of ")
        assert (nights.alert.ending, nights.alert.closed_by) == (AlertEnding.ACCEPTED, after)

    def test_return_to_former_level_ends_alert_as_recovered(self, nights: Nights) -> None:
        nights.promote(nights.play(0))
        nights.play(1, level=0.1, verdict=REGRESSED)
        nights.play(2)
        assert nights.events == ["alert", "recovered"]
        assert nights.alert.ending is AlertEnding.RECOVERED

    def test_promotion_of_run_at_former_level_is_no_acceptance(self, nights: Nights) -> None:
        nights.play(0)
        nights.play(1, level=0.1, verdict=REGRESSED)
        nights.promote(nights.play(2, verdict=UNKNOWN))
        nights.play(3)
        assert nights.alert.ending is AlertEnding.RECOVERED

    def test_promotion_of_undecided_run_at_worse_level_is_acceptance(self, nights: Nights) -> None:
        nights.play(0)
        nights.play(1, level=0.1, verdict=REGRESSED)
        nights.promote(nights.play(2, level=0.09, verdict=UNKNOWN))
        nights.play(3, level=0.1)
        assert nights.alert.ending is AlertEnding.ACCEPTED

    def test_promotion_of_earlier_run_is_no_acceptance(self, nights: Nights) -> None:
        earlier = nights.play(0, level=0.1)
        nights.play(1, level=0.1, verdict=REGRESSED)
        nights.promote(earlier)
        nights.play(2, level=0.1, verdict=REGRESSED)
        assert nights.alert.closed_at is None

    def test_promotion_of_other_metric_is_no_acceptance(self, nights: Nights) -> None:
        nights.play(0)
        nights.promote(nights.play(1, level=0.1, verdict=REGRESSED), metric="rtf")
        nights.play(2, level=0.1, verdict=UNKNOWN)
        assert nights.alert.closed_at is None

    def test_acceptance_needs_no_verdict_and_further_regression_is_news(self, nights: Nights) -> None:
        nights.play(0)
        nights.promote(nights.play(1, level=0.1, verdict=REGRESSED))
        nights.play(2, level=0.2, verdict=REGRESSED)
        assert sorted(nights.events) == ["accepted", "alert", "alert"]
        newest, first = nights.bench.store.journal().alerts()
        assert (first.ending, newest.closed_at) == (AlertEnding.ACCEPTED, None)

    @pytest.mark.parametrize(
        ("reason", "date", "level", "ending"),
        [
            ("the new voice", "2026-01-03", 0.1, AlertEnding.ACCEPTED),
            ("the new voice", "2026-01-03", 0.0, AlertEnding.RECOVERED),
            ("the new voice", "2026-01-01", 0.1, AlertEnding.RECOVERED),
            # As an earlier version wrote it, without a field for who accepted.
            (REASON, "2026-01-03", 0.1, AlertEnding.RECOVERED),
        ],
    )
    def test_subject_that_was_accepted_on_another_machine(
        self, nights: Nights, reason: str, date: str, level: float, ending: AlertEnding
    ) -> None:
        nights.play(0)
        nights.play(1, level=0.1, verdict=REGRESSED)
        accept_subject(nights.bench, reason=reason, date=date)
        nights.play(2, level=level, verdict=VerdictKind.SAME_SUBJECT)
        assert nights.alert.ending is ending

    def test_subject_that_another_schedule_accepted_is_no_acceptance_whatever_its_reason(self, nights: Nights) -> None:
        nights.play(0)
        nights.play(1, level=0.1, verdict=REGRESSED)
        accept_subject(nights.bench, reason="clean", date="2026-01-03", by=AcceptedBy.SCHEDULE)
        nights.play(2, level=0.1, verdict=VerdictKind.SAME_SUBJECT)
        assert nights.alert.ending is AlertEnding.RECOVERED


def accept_subject(bench: Any, *, reason: str, date: str, by: AcceptedBy = AcceptedBy.PERSON) -> None:
    """As `baseline promote --reason` writes it, of a run of another machine."""
    subject = LoadedSubject(
        engine="kokoro", engine_version="1", engine_source="", interpreter="CPython 3.11.7", packages=(),
        model_sha256="ab" * 32, voices_sha256="cd" * 32, provider="cpu", threads=0,
    )  # fmt: skip
    arm = ReferenceArm(
        arm_id=SCENARIO.arm.id, subject=subject, run="elsewhere", date=date, reason=reason, accepted_by=by,
        scenarios=(SCENARIO.id,),
    )  # fmt: skip
    accept(bench.config.baselines, [], [arm], renew=True)


@pytest.mark.parametrize(
    ("started_at", "median", "kind", "accepted"),
    [
        (90.0, 1.10, REGRESSED, True),
        (89.0, 1.10, REGRESSED, False),  # before the run that the alert names
        (95.0, 1.10, UNCHANGED, False),  # the schedule may have promoted it before it saw the step
        (100.0, 1.10, UNCHANGED, True),
        (100.0, 1.06, UNKNOWN, True),  # nearer to the level of the alert
        (100.0, 1.03, UNKNOWN, False),
        (100.0, 0.99, None, False),
    ],
)
def test_runs_that_accept_level(*, started_at: float, median: float, kind: VerdictKind | None, accepted: bool) -> None:
    promoted = [PromotedValue(run_id="p", started_at=started_at, median=median, kind=kind)]
    assert is_accepted(ALERT, promoted, began=90.0, median=1.105) is accepted


def test_level_of_metric_that_is_better_when_higher() -> None:
    alert = replace(ALERT, metric="throughput")
    promoted = [PromotedValue(run_id="p", started_at=100.0, median=0.9, kind=None)]
    assert is_accepted(alert, promoted, began=90.0, median=0.905)
    assert not is_accepted(alert, [replace(promoted[0], median=1.0)], began=90.0, median=0.905)


class TestWaivers:
    def test_waived_regression_raises_no_alert_and_expired_one_does(self, bench: Any, make_run: Run) -> None:
        configured(bench, waiver("2026-01-02"))
        nights = Nights(bench, make_run)
        nights.play(0)
        nights.play(1, level=0.1, verdict=REGRESSED)
        assert nights.events == []
        nights.play(2, level=0.1, verdict=REGRESSED)
        assert nights.events == ["alert"]
        assert "the waiver for */whole/* expired, it held until 2026-01-02 (new style vector)" in bench.told[0].text

    def test_waiver_ends_open_alert_as_waived(self, nights: Nights) -> None:
        nights.play(0)
        nights.play(1, level=0.1, verdict=REGRESSED)
        configured(nights.bench, waiver("2026-01-31"))
        after = nights.play(2, level=0.1, verdict=REGRESSED)
        assert nights.events == ["alert", "waived"]
        assert (nights.alert.ending, nights.alert.closed_by) == (AlertEnding.WAIVED, after)

    @pytest.mark.parametrize(("content", "events"), [(waiver("2026-12-31"), []), ("", ["alert"])])
    def test_step_of_waived_history_is_not_reported(
        self, bench: Any, make_run: Run, content: str, events: list[str]
    ) -> None:
        configured(bench, content)
        nights = Nights(bench, make_run)
        for night in range(30):
            wobble = 0.002 * (night % 3)
            nights.play(night, level=wobble + (0.1 if night >= 20 else 0.0), verdict=VerdictKind.NO_BASELINE)
        assert nights.events == events

    def test_schedule_does_not_promote_waived_regression(self, bench: Any, make_run: Run) -> None:
        configured(bench, waiver("2026-12-31"))
        data = bench.store.load(Nights(bench, make_run).play(1, level=0.1, verdict=REGRESSED))
        assert refusal(data, []) == f"latency of {SCENARIO.id} is regressed"


class TestMetricsThatInform:
    def test_they_raise_no_alert_and_hold_no_promotion_back(self, bench: Any, make_run: Run) -> None:
        configured(bench, '[tool.kokoro-bench.gate]\nmetrics = ["rss_peak"]\n')
        nights = Nights(bench, make_run)
        run_id = nights.play(1, level=0.1, verdict=REGRESSED)
        assert nights.events == []
        assert refusal(bench.store.load(run_id), []) == ""


class TestStepsOfMachine:
    """The history steps up; whether something under test changed decides whether that is a problem of the subject."""

    @pytest.mark.parametrize(
        ("changed_at", "events"),
        [
            (None, []),
            (20, ["alert"]),
            (18, ["alert"]),  # the place of a step may be off by a few runs
            (22, ["alert"]),
            (5, []),  # long before
            (-1, ["alert"]),  # the subject is unknown
        ],
    )
    def test_step_without_change_of_subject_raises_no_alert(
        self, nights: Nights, changed_at: int | None, events: list[str]
    ) -> None:
        for night in range(30):
            level = 0.002 * (night % 3) + (0.1 if night >= 20 else 0.0)
            source = "before" if changed_at is None or night < changed_at else "after"
            source = "" if changed_at == -1 and night == 19 else source
            nights.play(night, level=level, verdict=VerdictKind.NO_BASELINE, source=source)
        assert nights.events == events
        said = [line for line in nights.bench.said if "this is the machine's" in line]
        assert bool(said) is not bool(events)

    @pytest.mark.parametrize(
        ("before", "at_change", "reference", "events"),
        [
            (VerdictKind.SAME_SUBJECT, UNCHANGED, f"{REPLAYED}r", []),
            (VerdictKind.SAME_SUBJECT, UNKNOWN, f"{REPLAYED}r", ["alert"]),
            (VerdictKind.SAME_SUBJECT, UNCHANGED, "baseline", ["alert"]),  # remembered values show the machine too
            (VerdictKind.NO_BASELINE, UNCHANGED, f"{REPLAYED}r", ["alert"]),  # paired with another subject than before
        ],
    )
    def test_pairs_decide_whether_changed_subject_made_step(
        self, nights: Nights, before: VerdictKind, at_change: VerdictKind, reference: str, events: list[str]
    ) -> None:
        for night in range(26):
            level = 0.002 * (night % 3) + (0.1 if night >= 20 else 0.0)
            if night < 20:
                nights.play(night, level=level, verdict=before, source="before")
            else:
                nights.play(night, level=level, verdict=at_change, source="after", reference=reference)
        assert nights.events[:1] == events
