"""What the words of a load command ask for, when a load is sustained, and what is said of a client that is late."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness.analysis.conclude import Conclusions
from harness.analysis.load_targets import (
    LAG_S,
    SWEPT,
    attempted_loads,
    check_load,
    holds,
    lag_notes,
    loads,
    requested_traffic,
    sustained,
    within_budget,
)
from harness.core.errors import UsageError
from harness.core.records.repetition import Block, Canary, LoadNote, Outcome, OutcomeKind, Phase, Repetition
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Arrivals, Mode, Scenario, Traffic
from harness.core.records.value import known
from harness.core.records.verdict import Summary, TargetKind, TargetResult, Verdict, VerdictKind
from harness.plan.config import load_config
from tests.metrics.conftest import make_data, make_repetition

ARM = Arm(engine="endpoint", provider="", url="http://127.0.0.1:1")
WINDOW = Traffic(arrivals=Arrivals.CLOSED, level=1, seconds=30, warm_up_s=5, cool_down_s=2, drain_s=10)
TARGETS = (("*", "ttfa", 0.8), ("*", "success_rate", 0.9))
FAILED = Outcome(kind=OutcomeKind.ERROR, reason="the connection was closed", fault="closed")


def given(**words: str | bool) -> Mapping[str, str | bool | None]:
    usual: dict[str, str | bool | None] = {
        "listeners": None, "rate": None, "ramp": None, "sweep": False, "arrivals": "poisson", "listen": False,
        "seconds": "30s", "warm_up": "5s", "cool_down": "2", "drain": "10s",
    }  # fmt: skip
    return usual | words


def scenario(level: float, arrivals: Arrivals = Arrivals.CONSTANT, *, text_class: str = "chars-12") -> Scenario:
    traffic = replace(WINDOW, arrivals=arrivals, level=level)
    return Scenario(arm=ARM, mode=Mode.ENDPOINT, text_class=text_class, voice="v", variant=None, traffic=traffic)


def answered(asked: Scenario, *, ms: int = 500, **changes: object) -> Repetition:
    return make_repetition(chunks=((ms, 1_000),), scenario_id=asked.id, **changes)


def run_of(
    *scenarios: Scenario, repetitions: tuple[Repetition, ...] = (), played: tuple[Scenario, ...] = ()
) -> RunData:
    blocks = tuple(
        Block(block=number, launch=0, order=(each.id,), started_at=100.0, wall_ns=30_000_000_000,
              canary=Canary(numpy_ns=None, graph_ns=None),
              load=LoadNote())
        for number, each in enumerate(played)
    )  # fmt: skip
    return replace(make_data(*repetitions, scenarios=scenarios), blocks=blocks)


class TestWords:
    def test_users_give_closed_loops_in_ascending_order(self) -> None:
        found = requested_traffic(given(listeners="4, 1", listen=True))
        assert found == tuple(
            Traffic(
                arrivals=Arrivals.CLOSED, level=level, seconds=30, warm_up_s=5, cool_down_s=2, listen=True, drain_s=10
            )
            for level in (1, 4)
        )

    def test_rate_gives_an_open_loop(self) -> None:
        (found,) = requested_traffic(
            given(rate="2.5", arrivals="constant", seconds="1m", warm_up="0", cool_down="0", drain="0")
        )
        assert found == Traffic(
            arrivals=Arrivals.CONSTANT, level=2.5, seconds=60, warm_up_s=0, cool_down_s=0, listen=False, drain_s=0
        )

    def test_a_sweep_that_names_no_rates_has_those_of_the_manual(self) -> None:
        assert [(each.arrivals, each.level) for each in requested_traffic(given(sweep=True))] == [
            (Arrivals.POISSON, rate) for rate in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
        ]
        assert [each.level for each in requested_traffic(given(sweep=True, rate="3,9"))] == [3, 9]
        assert SWEPT == (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)

    @pytest.mark.parametrize(("text", "first", "last"), [("1:10", 1, 10), ("0:2.5", 0, 2.5)])
    def test_ramp_goes_from_its_first_to_its_last_rate(self, text: str, first: float, last: float) -> None:
        (found,) = requested_traffic(given(ramp=text))
        assert (found.arrivals, found.first, found.level) == (Arrivals.RAMP, first, last)

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ({"listeners": "1", "rate": "2"}, "--users, --rate: use only one of them — leave --rate out"),
            ({"listeners": "1", "ramp": "1:2"}, "--users, --ramp: use only one of them — leave --ramp out"),
            ({"rate": "1", "ramp": "1:2"}, "--rate, --ramp: use only one of them — leave --ramp out"),
            ({"listeners": "1", "rate": "2", "ramp": "1:2"}, "--users, --rate: use only one of them — leave --rate"),
            ({"rate": "1", "seconds": "0"}, "--seconds: the window must be longer than 0 s — --seconds 30s"),
            (
                {"rate": "1", "warm_up": "soon"},
                "--warm-up: must be a duration such as 90s, 5m or 1h30m, not 'soon' — --warm-up 30s",
            ),
            ({"rate": "1", "drain": None}, "--drain: "),
            ({"rate": "1", "listen": True}, "--listen: it needs users, not a rate — --users N --listen"),
            ({"ramp": "1:2", "listen": True}, "--listen: it needs users, not a rate — --users N --listen"),
            ({}, "load: no load is named — --users 4, --rate 2, --ramp 1:10, or --sweep"),
            ({"listen": True}, "load: no load is named — --users 4, --rate 2, --ramp 1:10, or --sweep"),
            ({"rate": "1,fast"}, "--rate: 'fast' is not a rate in requests per second — such as --rate 1,2,4"),
            ({"rate": "0"}, "--rate: '0' is not a rate in requests per second — such as --rate 1,2,4"),
            ({"rate": "1e6"}, "--rate: '1e6' is not a rate in requests per second — such as --rate 1,2,4"),
            ({"rate": "nan"}, "--rate: 'nan' is not a rate in requests per second — such as --rate 1,2,4"),
            ({"rate": "2,1,2"}, "--rate: 2 comes twice — name each load once"),
            ({"listeners": "1.5"}, "--users: '1.5' is not a whole number of users — such as --users 1,2,4"),
            ({"listeners": "inf"}, "--users: 'inf' is not a whole number of users — such as --users 1,2,4"),
            ({"listeners": "nan"}, "--users: 'nan' is not a whole number of users — such as --users 1,2,4"),
            ({"listeners": "-1"}, "--users: '-1' is not a whole number of users — such as --users 1,2,4"),
            ({"listeners": "2,2"}, "--users: 2 comes twice — name each load once"),
            ({"ramp": "5"}, "--ramp: '5' is no ramp — --ramp 1:10"),
            ({"ramp": "-1:5"}, "--ramp: '-1:5' is no ramp — --ramp 1:10"),
            ({"ramp": "x:5"}, "--ramp: 'x:5' is no ramp — --ramp 1:10"),
            ({"ramp": "1e6:5"}, "--ramp: '1e6:5' is no ramp — --ramp 1:10"),
            ({"ramp": "1:0"}, "--ramp: '0' is not a rate in requests per second — such as --ramp 1:10"),
        ],
    )  # fmt: skip
    def test_what_makes_no_sense_is_refused_with_what_to_do(self, words: dict[str, str | bool], said: str) -> None:
        with pytest.raises(UsageError) as refused:
            requested_traffic(given(**words))
        assert str(refused.value).startswith(said)

    def test_numbers_up_to_a_million_are_loads(self) -> None:
        assert [each.level for each in loads(WINDOW, "999999,1")] == [1, 999_999]
        with pytest.raises(UsageError, match="'1000000' is not a whole number"):
            loads(WINDOW, "1000000")


class TestBudget:
    two = (WINDOW, replace(WINDOW, level=2))

    def test_what_the_loads_leave_is_parted_among_the_waits_for_last_answers(self) -> None:
        # 37 s each, twice each: 148 s; 20 s are left for four waits.
        assert [each.drain_s for each in within_budget(self.two, 168.0, rounds=2)] == [5.0, 5.0]
        assert [each.drain_s for each in within_budget(self.two, 1_000.0, rounds=2)] == [10.0, 10.0]
        assert [each.drain_s for each in within_budget(self.two, 148.0, rounds=2)] == [0.0, 0.0]
        assert [each.level for each in within_budget(self.two, 168.0, rounds=2)] == [1, 2]

    def test_a_budget_below_the_loads_is_refused(self) -> None:
        with pytest.raises(UsageError) as refused:
            within_budget(self.two, 147.5, rounds=2)
        assert str(refused.value) == (
            "--budget: the loads take 148 s, more than the budget of 147.5 s — "
            "--budget 148s, fewer loads, or a shorter --seconds"
        )


class TestSustained:
    load = scenario(4)

    @pytest.mark.parametrize(("slow", "expected"), [(0, True), (1, True), (2, False), (20, False)])
    def test_more_must_meet_every_target_than_the_target_of_success_asks_for(self, slow: int, expected: bool) -> None:  # noqa: FBT001
        made = [answered(self.load, ms=900)] * slow + [answered(self.load)] * (20 - slow)
        # Nine tenths of 20 are 18: 19 are more, 18 are not.
        assert holds(self.load, made, TARGETS) is expected

    def test_without_a_target_of_success_it_is_99_of_a_hundred(self) -> None:
        late = [answered(self.load, ms=900)]
        assert holds(self.load, late + [answered(self.load)] * 100, TARGETS[:1])
        assert not holds(self.load, late + [answered(self.load)] * 99, TARGETS[:1])

    def test_failures_meet_no_target_and_only_the_window_counts(self) -> None:
        failed = answered(self.load, outcome=FAILED)
        before = answered(self.load, ms=900, phase=Phase.WARMUP)
        assert not holds(self.load, [answered(self.load), failed], TARGETS)
        assert holds(self.load, [answered(self.load), before, before], TARGETS)
        assert not holds(self.load, [replace(answered(self.load), phase=Phase.WARMUP)], TARGETS)
        assert not holds(self.load, [], TARGETS)

    def test_the_highest_load_with_every_lower_one_for_each_thing_that_was_swept(self) -> None:
        swept = [scenario(level) for level in (8, 1, 4, 2)]
        other = [scenario(1, Arrivals.POISSON), scenario(1, text_class="chars-60")]
        unplayed, single = scenario(16), replace(scenario(1), traffic=None)
        made = tuple(
            answered(each, ms=900 if each.traffic and each.traffic.level == 4 else 500) for each in swept + other
        )
        data = run_of(single, *swept, *other, unplayed, repetitions=made, played=(*swept, *other))
        name = single.id
        assert sustained(data, TARGETS) == [
            (f"{name}, constant", known(2)),
            (f"{name}, poisson", known(1)),
            (f"{name.replace('chars-12', 'chars-60')}, constant", known(1)),
        ]

    def test_a_load_is_judged_by_its_own_requests(self) -> None:
        one, two = scenario(1), scenario(2)
        made = (answered(one), *(answered(two, ms=900) for _ in range(30)))
        data = run_of(one, two, repetitions=made, played=(one, two))
        assert [reading for _, reading in sustained(data, TARGETS)] == [known(1)]


class TestJudged:
    def test_only_what_was_tried_is_judged_and_by_targets_alone(self, tmp_path: Path) -> None:
        played, heavier = scenario(1), scenario(2)
        config = load_config({"targets": None}, start=tmp_path, environment={})
        data = run_of(
            played, heavier, repetitions=(answered(played, outcome=FAILED), answered(played)), played=(played,)
        )
        found = check_load(data, config)
        assert attempted_loads(data) == {played.id}
        assert {each.scenario_id for each in found.targets} == {played.id}
        assert {each.kind for each in found.verdicts} <= {VerdictKind.FAILED}
        assert {each.scenario_id for each in found.summaries} == {played.id, heavier.id}

    def test_of_the_verdicts_only_failures_of_what_was_tried_stay(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        played, heavier = scenario(1), scenario(2)
        data = run_of(played, heavier, repetitions=(answered(played),), played=(played,))
        verdicts = [
            Verdict(scenario_id=each.id, metric="latency", kind=kind)
            for each in (played, heavier)
            for kind in (VerdictKind.FAILED, VerdictKind.REGRESSED, VerdictKind.NO_BASELINE)
        ]
        targets = [
            TargetResult(scenario_id=each.id, metric="ttfa", limit=1.0, kind=TargetKind.MISSED, observed=known(2.0))
            for each in (played, heavier)
        ]
        concluded = Conclusions(
            summaries=(self.summary(scenario_id=played.id),), verdicts=tuple(verdicts), targets=tuple(targets),
            notes=("the server's clock was set back",),
        )  # fmt: skip
        monkeypatch.setattr("harness.analysis.load_targets.conclude", lambda *_, **__: concluded)
        found = check_load(data, load_config({}, start=tmp_path, environment={}))
        assert found.verdicts == (verdicts[0],)
        assert found.targets == (targets[0],)
        assert found.summaries == concluded.summaries
        assert found.notes == (concluded.notes[0], *lag_notes(replace(data, summaries=concluded.summaries)))
        assert len(found.notes) == 2

    def summary(self, **changes: object) -> Summary:
        fields: dict[str, object] = {"scenario_id": "s", "metric": "client_lag", "definition": 1, "n": 200, "p99": 0.05}
        return Summary(**(fields | changes))  # type: ignore[arg-type]

    def notes(self, *summaries: Summary) -> tuple[str, ...]:
        return lag_notes(replace(run_of(), summaries=summaries))

    def test_a_client_that_did_not_keep_up_is_told(self) -> None:
        (said,) = self.notes(self.summary())
        assert said == (
            "s: the client did not keep up: its lag was 50.0 ms at p99, more than 20.0 ms; the client may be the "
            "bottleneck: use a machine that does nothing else, or Locust's workers (docs/load.md)"
        )
        both = self.notes(self.summary(), self.summary(scenario_id="t", p99=0.03))
        assert [note.partition(":")[0] for note in both] == ["s", "t"]

    def test_one_that_was_in_time_or_another_figure_is_not(self) -> None:
        assert LAG_S == 0.02
        assert self.notes(self.summary(p99=LAG_S), self.summary(metric="latency")) == ()
        assert self.notes(self.summary(p99=None, n=0)) == ()

    def test_where_there_are_too_few_for_a_p99_the_latest_counts(self) -> None:
        assert len(self.notes(self.summary(p99=None, maximum=0.03))) == 1
        assert self.notes(self.summary(p99=0.01, maximum=0.03)) == ()
        assert self.notes(self.summary(p99=None, maximum=0.02)) == ()
