"""The whole road on the scripted engine: plan → measure → store → derive → judge."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.advice.recommend import OBJECTIVES, recommend
from harness.analysis.finished import Finished
from harness.core.clock import SCRIPTED_EPOCH
from harness.core.errors import ExitCode, StoreError, UsageError
from harness.core.records.repetition import OutcomeKind, Phase
from harness.core.records.run import RunStatus
from harness.core.records.scenario import Mode
from harness.core.records.verdict import TargetKind, VerdictKind
from harness.measure.conductor.events import BlockDone, Event, Launched
from harness.plan.matrix import ScenarioRequest
from harness.store.errors import AwayError
from harness.store.exports.formats import export
from harness.store.runs import RunStore, open_store
from reports.pages.write import write_run_page
from tests.conftest import Laboratory

SHORT = "scripted.cpu.tdefault/whole/chars-12/af_heart"
LONGER = "scripted.cpu.tdefault/whole/chars-60/af_heart"
LOAD = "scripted.cpu.tdefault/load-warm"


def kinds(finished: Finished) -> dict[tuple[str, str], VerdictKind]:
    return {(verdict.scenario_id, verdict.metric): verdict.kind for verdict in finished.data.verdicts}


RUNTIME = "an engine that is not installed here needs a runtime, such as path:FOLDER"


class TestRun:
    def test_it_is_stored_with_all_that_was_observed_and_concluded(self, lab: Laboratory) -> None:
        finished = lab.run()
        with open_store(lab.config().results) as store:
            assert store.load(finished.data.run.id) == finished.data
            assert [row.id for row in store.list()] == [finished.data.run.id]
        data = finished.data
        assert data.run.status is RunStatus.COMPLETE
        assert (data.run.started_at, data.run.selection, data.run.seed) == (SCRIPTED_EPOCH, "quick", 0)
        assert [scenario.id for scenario in data.run.scenarios] == [LOAD, SHORT, LONGER]
        assert len(data.blocks) == 12
        measured = [each for each in data.repetitions if each.phase is Phase.MEASURED]
        assert len(measured) == 2 * 12
        assert len(data.repetitions) - len(measured) == 2 * 3
        assert len(data.launches) == 3 * 2

    def test_without_a_baseline_it_says_so_and_nothing_is_worse(self, lab: Laboratory) -> None:
        finished = lab.run()
        assert set(kinds(finished).values()) == {VerdictKind.NO_BASELINE}
        assert finished.code is ExitCode.OK

    @pytest.mark.parametrize("require", ["baseline", "answer"])
    def test_without_a_baseline_where_one_is_required_it_is_undecided(self, lab: Laboratory, require: str) -> None:
        assert lab.run(require=require).code is ExitCode.UNDECIDED

    def test_every_block_is_in_the_store_before_the_listeners_hear_of_it(self, lab: Laboratory) -> None:
        seen: list[tuple[int, int]] = []

        def look(event: Event) -> None:
            if isinstance(event, BlockDone):
                with open_store(lab.config().results) as store:
                    data = store.load(store.resolve("latest"))
                seen.append((event.block.block, len(data.blocks)))
                assert data.run.status is RunStatus.RUNNING

        lab.run(handlers=[look], launches="2", blocks="2")
        assert seen == [(0, 1), (1, 2), (2, 3), (3, 4)]

    def test_nothing_to_measure_is_refused(self, lab: Laboratory) -> None:
        with pytest.raises(UsageError, match="nothing to measure"):
            lab.run(requests=())

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"engine": "scriptd"}, f"--engine: unknown engine 'scriptd' — did you mean 'scripted'?; {RUNTIME}"),
            ({"provider": "cpuu"}, "--provider: unknown provider 'cpuu' — did you mean 'cpu'?"),
            ({"text": "char-12"}, "--text: unknown text class 'char-12' — did you mean 'chars-12'?"),
            ({"model": "script"}, "--model: the scripted engine has no model 'script' — did you mean 'scripted'?"),
            ({"model": "scripted,scripted"}, "--model: two models are called 'scripted' — leave one of them out"),
        ],
    )
    def test_a_name_that_there_is_not_names_the_nearest(
        self, lab: Laboratory, options: dict[str, str], told: str
    ) -> None:
        with pytest.raises(UsageError) as caught:
            lab.run(requests=Laboratory.REQUESTS, handlers=(), **options)
        assert str(caught.value) == told
        assert not (lab.root / ".kokoro-bench").exists() or "model" in options

    def test_a_text_of_the_users_own_is_measured_in_place_of_the_suites(self, lab: Laboratory) -> None:
        data = lab.run(say="How now, brown cow?").data
        (scenario,) = [each for each in data.run.scenarios if each.mode is Mode.WHOLE]
        assert scenario.text_class.startswith("custom-")
        assert {each.characters for each in data.repetitions} == {19}
        assert all(each.outcome.valid for each in data.repetitions)

    def test_a_database_that_cannot_be_opened_costs_the_run_before_it_begins(self, lab: Laboratory) -> None:
        (lab.root / "file").touch()
        events: list[Event] = []
        with pytest.raises(StoreError):
            lab.run(results="file/results.sqlite", handlers=[events.append])
        assert events == []

    @pytest.mark.parametrize("method", ["begin", "add_block", "conclude", "finish"])
    def test_a_full_disk_that_is_cleared_costs_nothing_at_any_moment_of_a_run(
        self, lab: Laboratory, monkeypatch: pytest.MonkeyPatch, method: str
    ) -> None:
        write = getattr(RunStore, method)
        refusals = [AwayError("the disk is full"), AwayError("the disk is full")]

        def full_at_first(*arguments: Any, **named: Any) -> Any:
            if refusals:
                raise refusals.pop()
            return write(*arguments, **named)

        monkeypatch.setattr(RunStore, method, full_at_first)
        finished = lab.run()
        assert refusals == []
        with open_store(lab.config().results) as store:
            assert store.load(finished.data.run.id) == finished.data
        assert finished.data.run.status is RunStatus.COMPLETE


class TestSameBytes:
    def test_two_runs_in_fresh_directories_are_the_same_to_the_byte(self, tmp_path: Path) -> None:
        exports, pages = set(), set()
        for name in ("one", "two"):
            root = tmp_path / name
            root.mkdir()
            data = Laboratory(root).run(model="scripted,scripted-8bit").data
            exports.add(export(data, "jsonl"))
            pages.add(write_run_page(data, root / "page.html").read_bytes())
        assert len(exports) == 1
        assert len(pages) == 1

    def test_another_seed_is_another_run(self, lab: Laboratory) -> None:
        first, second = (lab.run(seed=seed).data for seed in ("1", "2"))
        assert first.run.id != second.run.id
        assert [block.order for block in first.blocks] != [block.order for block in second.blocks]
        assert first.summaries != second.summaries

    def test_the_same_run_again_gets_a_name_of_its_own(self, lab: Laboratory) -> None:
        first, second = lab.run().data, lab.run().data
        assert second.run.id == f"{first.run.id}-2"
        assert second.repetitions == first.repetitions


class TestAgainstABaseline:
    def test_the_same_run_again_has_not_changed(self, lab: Laboratory) -> None:
        lab.promote(lab.run().data)
        again = lab.run()
        # A baseline holds the median of all repetitions, a run is estimated launch by launch.
        assert all(abs(verdict.change.point) < 1e-4 for verdict in again.data.verdicts if verdict.change)
        assert set(kinds(again).values()) <= {VerdictKind.UNCHANGED, VerdictKind.INCONCLUSIVE}
        assert again.code is ExitCode.OK

    def test_a_run_of_the_same_level_is_unchanged(self, accepted: Laboratory) -> None:
        finished = accepted.run(seed="10", results="unchanged.sqlite")
        assert set(kinds(finished).values()) <= {VerdictKind.UNCHANGED, VerdictKind.INCONCLUSIVE}
        assert kinds(finished)[LONGER, "latency"] is VerdictKind.UNCHANGED
        assert finished.code is ExitCode.OK

    def test_a_planted_slowdown_must_fail(self, accepted: Laboratory) -> None:
        finished = accepted.run(seed="11", script="pace=1.1", results="slower.sqlite")
        found = kinds(finished)
        for name in ("latency", "rtf", "ttfa", "cpu_per_audio"):
            assert found[LONGER, name] is VerdictKind.REGRESSED
        assert found[SHORT, "latency"] is VerdictKind.REGRESSED
        assert found[LONGER, "rss_peak"] is VerdictKind.UNCHANGED
        assert finished.code is ExitCode.WORSE
        verdict = next(
            each for each in finished.data.verdicts if (each.scenario_id, each.metric) == (LONGER, "latency")
        )
        assert verdict.change is not None
        # ln 1.1 = 0.095, and the noise of 12 repetitions.
        assert 0.05 < verdict.change.low < verdict.change.point < 0.13

    def test_an_improvement_is_said_and_is_nothing_worse(self, accepted: Laboratory) -> None:
        finished = accepted.run(seed="12", script="pace=0.9", results="faster.sqlite")
        assert kinds(finished)[LONGER, "latency"] is VerdictKind.IMPROVED
        assert VerdictKind.REGRESSED not in kinds(finished).values()
        assert finished.code is ExitCode.OK

    def test_a_regression_is_no_missed_target(self, accepted: Laboratory) -> None:
        finished = accepted.run(seed="11", script="pace=1.1", results="targets.sqlite")
        assert {target.kind for target in finished.data.targets} == {TargetKind.MET}

    def test_a_scenario_of_the_baseline_that_is_not_measured_is_missing(
        self, accepted: Laboratory, lab: Laboratory
    ) -> None:
        shutil.copytree(accepted.config().baselines, lab.config().baselines)
        finished = lab.run(seed="10", text="chars-60")
        assert kinds(finished)[SHORT, "latency"] is VerdictKind.MISSING
        assert finished.code is ExitCode.MEASUREMENT


class TestTargets:
    def test_a_missed_one_is_worse_without_any_baseline(self, lab: Laboratory) -> None:
        finished = lab.run(targets="rtf=0.1")
        missed = {(each.scenario_id, each.metric) for each in finished.data.targets if each.kind is TargetKind.MISSED}
        assert missed == {(SHORT, "rtf"), (LONGER, "rtf")}
        assert finished.code is ExitCode.WORSE


class TestFailures:
    @pytest.mark.parametrize(
        ("fault", "kind", "rate", "code"),
        [
            # Of a scenario that was given up the rest of its repetitions is not known, and so its rate is not.
            ("crash", OutcomeKind.CRASHED, TargetKind.UNKNOWN, ExitCode.MEASUREMENT),
            ("hang", OutcomeKind.TIMEOUT, TargetKind.UNKNOWN, ExitCode.MEASUREMENT),
            # One that goes on and only fails has a success rate of zero.
            ("raise", OutcomeKind.ERROR, TargetKind.MISSED, ExitCode.WORSE),
            ("silent", OutcomeKind.INVALID_AUDIO, TargetKind.MISSED, ExitCode.WORSE),
        ],
    )
    def test_one_costs_its_scenario_and_the_run_goes_on(
        self, lab: Laboratory, fault: str, kind: OutcomeKind, rate: TargetKind, code: ExitCode
    ) -> None:
        # Texts of chars-12 have up to 15 characters, as has the first inference: the longer text alone is struck.
        finished = lab.run(script=f"fault={fault},fault_text=40" if fault != "silent" else "fault=silent")
        failed = {each.outcome.kind for each in finished.data.repetitions if not each.outcome.valid}
        assert failed == {kind}
        assert kinds(finished)[LONGER, "latency"] is VerdictKind.FAILED
        if fault != "silent":
            assert kinds(finished)[SHORT, "latency"] is VerdictKind.NO_BASELINE
            assert len([each for each in finished.data.repetitions if each.scenario_id == SHORT]) >= 12
        targets = {each.metric: each.kind for each in finished.data.targets if each.scenario_id == LONGER}
        assert targets == {"rtf": TargetKind.UNKNOWN, "success_rate": rate}
        assert finished.data.run.status is RunStatus.FAILED
        assert finished.code is code

    def test_a_worker_that_is_lost_in_the_middle_fails_its_scenario_whatever_it_gave_before(
        self, lab: Laboratory
    ) -> None:
        played = 0

        def rotate(event: Event) -> None:
            nonlocal played
            played += isinstance(event, BlockDone)

        # chars-12 goes through its variants, and one of them is long enough for the fault.
        requests = [
            ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",), variant=None),
            ScenarioRequest(mode=Mode.WHOLE, texts=("one-word",)),
        ]
        finished = lab.run(requests=requests, script="fault=crash,fault_text=14", handlers=[rotate])
        (failed,) = [each for each in finished.data.verdicts if each.kind is VerdictKind.FAILED]
        assert failed.scenario_id == "scripted.cpu.tdefault/whole/chars-12/af_heart/rotating"
        assert failed.reason.startswith("lost after ")
        assert failed.reason.endswith("killed by SIGABRT")
        assert played == 12
        assert finished.code is ExitCode.MEASUREMENT

    @pytest.mark.parametrize("fault", ["refuse", "exit-at-load", "crash", "hang"])
    def test_an_arm_that_cannot_be_loaded_is_a_record_with_the_reason(self, lab: Laboratory, fault: str) -> None:
        finished = lab.run(script=f"fault={fault}")
        assert finished.data.blocks == ()
        assert all(launch.outcome.reason for launch in finished.data.launches)
        assert set(kinds(finished).values()) == {VerdictKind.FAILED}
        assert finished.code is ExitCode.MEASUREMENT

    def test_a_failed_launch_makes_the_run_failed(self, lab: Laboratory) -> None:
        def killed(event: Event) -> None:
            if isinstance(event, Launched) and event.launch.launch == 1 and not event.launch.dedicated:
                raise RuntimeError("a fault of ours")

        with pytest.raises(RuntimeError, match="a fault of ours"):
            lab.run(handlers=[killed])
        with open_store(lab.config().results) as store:
            data = store.load(store.resolve("latest"))
        assert data.run.status is RunStatus.FAILED
        assert data.run.reason == "RuntimeError: a fault of ours"
        assert len(data.blocks) == 4


class TestInterruption:
    def test_finished_blocks_are_kept_and_judged(self, lab: Laboratory) -> None:
        def interrupt(event: Event) -> None:
            if isinstance(event, BlockDone) and event.block.block == 4:
                raise KeyboardInterrupt

        finished = lab.run(handlers=[interrupt])
        assert finished.code is ExitCode.INTERRUPTED
        assert finished.data.run.status is RunStatus.INTERRUPTED
        assert finished.data.run.reason == "ended by Ctrl-C"
        assert [block.block for block in finished.data.blocks] == [0, 1, 2, 3, 4]
        with open_store(lab.config().results) as store:
            assert store.load(finished.data.run.id) == finished.data
        latency = next(
            each for each in finished.data.summaries if (each.scenario_id, each.metric) == (LONGER, "latency")
        )
        assert latency.n == 5

    def test_what_was_not_come_to_is_missing_and_has_not_failed(self, lab: Laboratory) -> None:
        def interrupt(event: Event) -> None:
            if isinstance(event, Launched):
                raise KeyboardInterrupt

        finished = lab.run(handlers=[interrupt], requests=[ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",))])
        assert set(kinds(finished).values()) == {VerdictKind.MISSING}


class TestPrecision:
    def test_a_launch_ends_once_every_gated_figure_is_narrow(self, lab: Laboratory) -> None:
        data = lab.run(launches="2", blocks="12", script="noise=0").data
        assert [block.launch for block in data.blocks] == [0] * 6 + [1] * 6
        assert data.run.status is RunStatus.COMPLETE
        assert data.run.reason == "every gated metric was known to ±2 % after 6 of at most 12 blocks (2 launches)"

    def test_a_width_of_nothing_plays_every_block(self, lab: Laboratory) -> None:
        data = lab.run(launches="2", blocks="12", script="noise=0", precision="0").data
        assert len(data.blocks) == 24
        assert data.run.reason == ""

    def test_what_scatters_is_played_until_it_is_narrow(self, lab: Laboratory) -> None:
        rough = lab.run(launches="2", blocks="12", script="noise=0.1", seed="3").data
        assert len(rough.blocks) == 24
        wide = lab.run(launches="2", blocks="12", script="noise=0.1", precision="50%", seed="3").data
        assert len(wide.blocks) == 12


class TestTakingTurns:
    """What the scripted engine speaks of chars-60 takes 300 MB and more of a memory that does not exist."""

    REQUESTS = (ScenarioRequest(mode=Mode.WHOLE, texts=("chars-60",), changes=("current", "threads=1", "threads=2")),)

    def test_a_run_whose_workers_do_not_fit_says_so_and_is_judged_as_any_other(self, lab: Laboratory) -> None:
        data = lab.run(requests=self.REQUESTS, **{"workers-memory": "700MB"}).data
        (note,) = [each for each in data.run.notes if each.startswith("memory: ")]
        assert "the workers of 3 arms need about" in note
        assert "arms ran in groups: 2 groups in each of 3 launches, each with its reference arms" in note
        assert {block.group for block in data.blocks} == {0, 1}
        found = recommend([data], OBJECTIVES["throughput"])
        assert all(lead.enough_pairs and lead.behind and lead.behind.n == 3 * 4 for lead in found.leads)

    def test_one_that_fits_says_nothing_and_is_the_same_as_without_a_bound(self, lab: Laboratory) -> None:
        bound, free = (
            lab.run(requests=self.REQUESTS, **{"workers-memory": "9GB"}).data,
            lab.run(requests=self.REQUESTS).data,
        )
        assert not any(each.startswith("memory: ") for each in bound.run.notes)
        assert bound.repetitions == free.repetitions
        assert {block.group for block in bound.blocks} == {0}


def test_a_metric_that_the_user_lets_inform_prolongs_no_launch(lab: Laboratory) -> None:
    """With a precision that latency cannot reach, only a metric that more blocks do not narrow ends launches early."""
    options = {"precision": "0.01%", "blocks": "8", "launches": "1"}
    wanted = (ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",)),)
    runs = [lab.run(requests=wanted, **options, **gate) for gate in ({}, {"gate-metrics": "rss_peak"})]
    every, memory = (len(each.data.blocks) for each in runs)
    assert (every, memory < every) == (8, True)
