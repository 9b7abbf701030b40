"""From scripted observations to conclusions: which comparison is made of what, and which cannot be made."""

from dataclasses import replace
from statistics import median
from typing import Any

import pytest

from harness.analysis.conclude import Conclusions, all_values, conclude, limits, policy_of, summarise_all
from harness.analysis.promotion import baseline_entries
from harness.core.records.repetition import Canary, Outcome, OutcomeKind, Phase, Repetition
from harness.core.records.run import RunData, RunStatus
from harness.core.records.verdict import TargetKind, Verdict, VerdictKind
from harness.metrics.derive import RunValues
from harness.metrics.registry import METRICS
from harness.store.baseline_files import BaselinePoint, file_name, parse, render
from tests.accepting import promote
from tests.conftest import Laboratory

SHORT = "scripted.cpu.tdefault/whole/chars-12/af_heart"
LONGER = "scripted.cpu.tdefault/whole/chars-60/af_heart"
LOAD = "scripted.cpu.tdefault/load-warm"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """One scripted run; every test judges it anew."""
    return Laboratory(tmp_path_factory.mktemp("run")).run().data


@pytest.fixture
def judged(lab: Laboratory) -> Any:
    def judge(data: RunData, **options: str) -> Conclusions:
        return conclude(data, config=lab.config(**options))

    return judge


def of(conclusions: Conclusions, scenario_id: str) -> dict[str, Verdict]:
    return {verdict.metric: verdict for verdict in conclusions.verdicts if verdict.scenario_id == scenario_id}


def change_points(lab: Laboratory, scenario_id: str, **changes: Any) -> None:
    """Change every point of a scenario's baseline, those of its runs among them."""
    file = lab.config().baselines / "scripted" / file_name(scenario_id)
    content = parse(file, machine_key="scripted")

    def changed(point: BaselinePoint) -> BaselinePoint:
        own = {name: value for name, value in changes.items() if name in BaselinePoint.__dataclass_fields__}
        ofs_run = {name: value for name, value in changes.items() if name not in own}
        return replace(point, run=replace(point.run, **ofs_run), **own)

    metrics = {name: tuple(changed(point) for point in points) for name, points in content.metrics.items()}
    file.write_bytes(render(replace(content, metrics=metrics)))


def without(data: RunData, scenario_id: str, **outcome: Any) -> RunData:
    """The run with every repetition of a scenario ended otherwise."""
    failed = Outcome(**outcome)

    def changed(each: Repetition) -> Repetition:
        return replace(each, outcome=failed) if each.scenario_id == scenario_id else each

    return replace(data, repetitions=tuple(changed(each) for each in data.repetitions))


class TestSummaries:
    def test_there_is_one_for_each_metric_of_each_scenario(self, data: RunData) -> None:
        values = all_values(RunValues(data))
        summaries = summarise_all(data, values)
        assert [(each.scenario_id, each.metric) for each in summaries] == [
            (scenario.id, name) for scenario in data.run.scenarios for name in values[scenario.id]
        ]

    def test_one_without_a_value_has_its_reason(self, data: RunData) -> None:
        for each in summarise_all(data, all_values(RunValues(data))):
            assert (each.n == 0) == (each.median is None)
            assert each.n or each.reason, each.metric

    def test_the_median_is_that_of_the_measured_repetitions(self, data: RunData) -> None:
        found = next(
            each
            for each in summarise_all(data, all_values(RunValues(data)))
            if (each.scenario_id, each.metric) == (LONGER, "latency")
        )
        measured = [
            each.end_ns / 1e9
            for each in data.repetitions
            if each.scenario_id == LONGER and each.phase is Phase.MEASURED
        ]
        assert found.n == len(measured) == 12
        assert found.median == pytest.approx(median(measured), rel=1e-12)
        assert found.interval is not None
        assert found.interval.level == 0.95


class TestNoBaseline:
    def test_every_gated_metric_says_how_to_get_one(self, judged: Any, data: RunData) -> None:
        verdicts = judged(data).verdicts
        gated = {name for name, metric in METRICS.items() if metric.gated}
        assert {verdict.metric for verdict in verdicts} <= gated
        assert {verdict.kind for verdict in verdicts} == {VerdictKind.NO_BASELINE}
        assert all(f"kokoro-bench baseline promote {data.run.id}" in verdict.advice for verdict in verdicts)

    def test_a_metric_without_a_value_here_and_there_is_not_judged(self, judged: Any, data: RunData) -> None:
        assert "ttfb" not in of(judged(data), SHORT)


class TestIncomparable:
    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"definition": 99}, "definition of latency (99 there, 1 here)"),
            ({"corpus": "d" * 64}, "texts (corpus dddddddd there, "),
            ({"protocol": 99}, "way of measuring (protocol 99 there, "),
        ],
    )
    def test_what_was_measured_otherwise_names_the_fields(
        self, lab: Laboratory, judged: Any, data: RunData, changes: dict[str, Any], told: str
    ) -> None:
        lab.promote(data)
        change_points(lab, LONGER, **changes)
        verdict = of(judged(data), LONGER)["latency"]
        assert verdict.kind is VerdictKind.INCOMPARABLE
        assert told in verdict.reason
        assert f"kokoro-bench baseline promote {data.run.id}" in verdict.advice
        assert of(judged(data), SHORT)["latency"].kind is not VerdictKind.INCOMPARABLE

    def test_accepted_runs_that_are_comparable_are_used_without_the_others(
        self, lab: Laboratory, judged: Any, data: RunData
    ) -> None:
        lab.promote(data)
        change_points(lab, LONGER, corpus="d" * 64, median=100.0)
        lab.promote(replace(data, run=replace(data.run, id="20000102-000000")))
        verdict = of(judged(data), LONGER)["latency"]
        assert verdict.change is not None
        assert abs(verdict.change.point) < 1e-4

    def test_another_machine_has_no_baseline_and_says_which_have(
        self, lab: Laboratory, judged: Any, data: RunData
    ) -> None:
        lab.promote(data)
        elsewhere = replace(data, run=replace(data.run, machine=replace(data.run.machine, key="elsewhere")))
        verdict = of(judged(elsewhere), LONGER)["latency"]
        assert verdict.kind is VerdictKind.NO_BASELINE
        assert "no baseline for this machine (elsewhere), only for scripted" in verdict.reason


class TestFailed:
    def test_a_scenario_without_a_valid_repetition_is_one_failure(self, judged: Any, data: RunData) -> None:
        bad = without(data, LONGER, kind=OutcomeKind.INVALID_AUDIO, reason="The audio is silent.")
        (verdict,) = of(judged(bad), LONGER).values()
        assert (verdict.metric, verdict.kind) == ("latency", VerdictKind.FAILED)
        assert "The audio is silent." in verdict.reason
        assert f"kokoro-bench runs show {data.run.id}" in verdict.advice

    def test_one_whose_worker_was_lost_once_is_failed_whatever_it_gave(self, judged: Any, data: RunData) -> None:
        last = max(number for number, each in enumerate(data.repetitions) if each.scenario_id == LONGER)
        lost = Outcome(kind=OutcomeKind.CRASHED, reason="killed by SIGSEGV")
        repetitions = [
            replace(each, outcome=lost) if number == last else each for number, each in enumerate(data.repetitions)
        ]
        (verdict,) = of(judged(replace(data, repetitions=tuple(repetitions))), LONGER).values()
        assert verdict.kind is VerdictKind.FAILED
        assert verdict.reason == "lost after 11 valid: killed by SIGSEGV"

    def test_a_failure_that_the_engine_tells_of_costs_its_repetition_alone(self, judged: Any, data: RunData) -> None:
        last = max(number for number, each in enumerate(data.repetitions) if each.scenario_id == LONGER)
        told = Outcome(kind=OutcomeKind.TIMEOUT, reason="no answer within 10 s", fault="timeout")
        repetitions = [
            replace(each, outcome=told) if number == last else each for number, each in enumerate(data.repetitions)
        ]
        assert of(judged(replace(data, repetitions=tuple(repetitions))), LONGER)["latency"].kind is (
            VerdictKind.NO_BASELINE
        )

    def test_what_only_failed_has_missed_its_success_rate_and_no_other_target(self, judged: Any, data: RunData) -> None:
        bad = without(data, LONGER, kind=OutcomeKind.ERROR, reason="ValueError: no phonemes")
        targets = {(each.scenario_id, each.metric): each for each in judged(bad).targets}
        assert targets[LONGER, "success_rate"].kind is TargetKind.MISSED
        assert targets[LONGER, "success_rate"].observed.value == 0
        assert targets[LONGER, "rtf"].kind is TargetKind.UNKNOWN
        assert "none of 12 is valid (error: ValueError: no phonemes)" in targets[LONGER, "rtf"].reason
        assert targets[SHORT, "success_rate"].kind is TargetKind.MET

    def test_a_start_up_that_could_not_be_done_is_a_failure(self, judged: Any, data: RunData) -> None:
        refused = Outcome(kind=OutcomeKind.REFUSED, reason="no such provider")
        launches = tuple(replace(each, outcome=refused) if each.dedicated else each for each in data.launches)
        conclusions = judged(replace(data, launches=launches))
        (verdict,) = of(conclusions, LOAD).values()
        assert (verdict.kind, verdict.metric) == (VerdictKind.FAILED, "load_time")
        assert verdict.reason.endswith("no such provider")
        assert of(conclusions, SHORT)["latency"].kind is VerdictKind.NO_BASELINE


class TestMissing:
    def test_what_an_ended_run_did_not_come_to_has_not_failed(self, judged: Any, data: RunData) -> None:
        run = replace(data.run, status=RunStatus.INTERRUPTED)
        nothing = replace(data, run=run, repetitions=(), blocks=())
        assert of(judged(nothing), SHORT)["latency"].kind is VerdictKind.MISSING

    def test_without_an_early_end_it_has(self, judged: Any, data: RunData) -> None:
        nothing = replace(data, run=replace(data.run, status=RunStatus.COMPLETE), repetitions=(), blocks=())
        assert of(judged(nothing), SHORT)["latency"].kind is VerdictKind.FAILED

    def test_a_scenario_that_its_selection_once_had_is_missed(
        self, lab: Laboratory, judged: Any, data: RunData
    ) -> None:
        lab.promote(data)
        less = replace(data, run=replace(data.run, scenarios=data.run.scenarios[:2]))
        (verdict,) = of(judged(less), LONGER).values()
        assert (verdict.metric, verdict.kind) == ("latency", VerdictKind.MISSING)

    def test_one_of_another_selection_is_not(self, lab: Laboratory, judged: Any, data: RunData) -> None:
        lab.promote(data)
        less = replace(data, run=replace(data.run, scenarios=data.run.scenarios[:2], selection="full"))
        assert of(judged(less), LONGER) == {}


class TestTargets:
    def test_the_last_pattern_that_matches_holds(self, judged: Any, data: RunData) -> None:
        given = judged(data, targets="rtf=0.1").targets
        limits = {(each.scenario_id, each.metric): each.limit for each in given}
        assert limits[LONGER, "rtf"] == 0.1
        assert limits[LONGER, "success_rate"] == 0.99
        # A whole text is heard when all of it is there: the default asks it of the shortest alone.
        assert (SHORT, "ttfa") in limits
        assert (LONGER, "ttfa") not in limits

    def test_they_are_met_and_missed_by_the_median(self, judged: Any, data: RunData) -> None:
        kinds = {
            (each.scenario_id, each.metric): each.kind for each in judged(data, targets="latency=0.5,rtf=0.5").targets
        }
        assert kinds[SHORT, "latency"] is TargetKind.MET
        assert kinds[LONGER, "latency"] is TargetKind.MISSED
        assert kinds[LONGER, "rtf"] is TargetKind.MET

    def test_a_crowd_in_process_has_promised_nobody_that_it_keeps_up(self, lab: Laboratory) -> None:
        targets = lab.config().targets
        crowd = "replica.kokoro-sentences.cpu.tdefault/stream/chars-12/af_heart/rotating/x8"
        assert limits(targets, crowd) == {"success_rate": 0.99}
        assert limits(targets, crowd.removesuffix("/x8")).keys() == {"success_rate", "rtf", "streaming_efficiency"}
        given = lab.config(targets="rtf=9").targets
        assert limits(given, crowd) == {"success_rate": 0.99, "rtf": 9.0}


class TestPromotion:
    def test_every_gated_figure_that_was_measured_is_accepted(self, data: RunData) -> None:
        entries = baseline_entries(data)
        assert {(entry.scenario_id, entry.metric) for entry in entries} == {
            *((LOAD, name) for name in ("load_time", "rss_loaded")),
            *(
                (text, name)
                for text in (SHORT, LONGER)
                for name in ("ttfa", "latency", "rtf", "cpu_per_audio", "rss_peak")
            ),
        }
        point = next(entry.point for entry in entries if (entry.scenario_id, entry.metric) == (LONGER, "latency"))
        assert (point.n, point.launches, point.definition) == (12, 3, METRICS["latency"].definition)
        assert point.spread is not None
        assert 0 < point.spread < 0.05
        assert (point.run.canary_numpy_ns, point.run.canary_graph_ns) == (20_000_000, 30_000_000)
        assert point.run.date == "2000-01-01T00:00:00+00:00"
        assert point.run.model == data.run.scenarios[1].arm.model.sha256  # type: ignore[union-attr]

    def test_what_was_not_validly_measured_is_not(self, data: RunData) -> None:
        bad = without(data, LONGER, kind=OutcomeKind.INVALID_AUDIO, reason="The audio is silent.")
        assert LONGER not in {entry.scenario_id for entry in baseline_entries(bad)}

    def test_without_a_canary_its_reading_is_unknown(self, data: RunData) -> None:
        gone = Canary(numpy_ns=None, graph_ns=None, reason="killed")
        blind = replace(data, blocks=tuple(replace(block, canary=gone) for block in data.blocks))
        assert {entry.point.run.canary_graph_ns for entry in baseline_entries(blind)} == {None}

    def test_a_promoted_run_is_found_again_under_its_scenario(self, lab: Laboratory, data: RunData) -> None:
        changes = promote(lab.config().baselines, baseline_entries(data))
        assert {change.after for change in changes if change.metric == "rss_loaded"} == {200 << 20}
        assert promote(lab.config().baselines, baseline_entries(data)) == ()


class TestSuspects:
    def test_a_change_names_what_else_changed(self, accepted: Laboratory) -> None:
        slower = accepted.run(seed="11", script="pace=1.2", results="suspects.sqlite").data
        other = replace(
            slower, run=replace(slower.run, subject=replace(slower.run.subject, packages=(("onnxruntime", "1.22.1"),)))
        )
        verdict = of(conclude(other, config=accepted.config()), LONGER)["latency"]
        assert verdict.kind is VerdictKind.REGRESSED
        assert verdict.suspects[0] == "onnxruntime absent → 1.22.1"
        unchanged = of(conclude(other, config=accepted.config()), LONGER)["rss_peak"]
        assert unchanged.suspects == ()


@pytest.mark.parametrize(
    ("require", "answer", "baseline"),
    [("nothing", False, False), ("baseline", False, True), ("answer", True, True)],
)
def test_what_the_policy_asks_for(lab: Laboratory, require: str, *, answer: bool, baseline: bool) -> None:
    policy = policy_of(lab.config(require=require))
    assert (policy.require_answer, policy.require_baseline) == (answer, baseline)


class TestPriorsOfMemory:
    """One accepted run, of a process of our own or of a server that somebody else started and may have restarted."""

    @pytest.mark.parametrize(("url", "kind"), [("", "regressed"), ("http://127.0.0.1:1", "inconclusive")])
    def test_one_accepted_run_decides_unless_a_server_of_others_holds_it(
        self, lab: Laboratory, data: RunData, judged: Any, url: str, kind: str
    ) -> None:
        def served(run: RunData) -> RunData:
            scenarios = [replace(each, arm=replace(each.arm, url=url)) for each in run.run.scenarios]
            ids = {old.id: new for old, new in zip(run.run.scenarios, scenarios, strict=True)}
            return replace(
                run,
                run=replace(run.run, scenarios=tuple(scenarios)),
                launches=tuple(replace(each, arm_id=scenarios[0].arm.id) for each in run.launches),
                repetitions=tuple(replace(each, scenario_id=ids[each.scenario_id].id) for each in run.repetitions),
                summaries=tuple(replace(each, scenario_id=ids[each.scenario_id].id) for each in run.summaries),
            )

        lab.promote(served(data))
        grown = replace(
            data,
            launches=tuple(
                replace(each, rss_loaded=round(each.rss_loaded * (1.06 + 0.001 * each.launch)))
                for each in data.launches
                if each.rss_loaded is not None
            ),
        )
        found = [each for each in judged(served(grown)).verdicts if each.metric == "rss_loaded"]
        assert [each.kind.value for each in found] == [kind]
