"""What is under test against the accepted reference, on the scripted engine: its script is what may change."""

import re
from pathlib import Path

import pytest

from harness.analysis.finished import Finished
from harness.core.errors import ExitCode
from harness.core.records.run import RunData, RunStatus
from harness.core.records.scenario import Mode
from harness.core.records.verdict import REPLAYED, Verdict, VerdictKind
from harness.measure.conductor.events import Begun, BlockDone, Event
from harness.plan.matrix import ScenarioRequest
from harness.runner import run
from harness.runner.selection import wanted_scenarios
from harness.store.runs import open_store
from tests.accepting import DATE, accept, changed
from tests.conftest import Laboratory

SHORT = (ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",)),)
BOTH = (ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12", "chars-60")),)
SCENARIO = "scripted.cpu.tdefault/whole/chars-12/af_heart"
LONGER = "scripted.cpu.tdefault/whole/chars-60/af_heart"


class Accepted(Laboratory):
    """A laboratory whose first run was accepted. `said` is what later runs reported."""

    def __init__(self, root: Path, requests: tuple[ScenarioRequest, ...] = SHORT) -> None:
        super().__init__(root)
        self.requests = requests
        self.said: list[str] = []
        accept(self.config().baselines, self.run(requests=requests).data)

    def measure(self, **options: str) -> Finished:
        """A run of 40 s, unless another budget is given."""
        config = self.config(**{"budget": "40s", **options})
        scenarios = wanted_scenarios(config, self.requests, "quick")
        self.said = []
        return run.measure(config, scenarios, selection="quick", handlers=[], report=self.said.append)

    def runs(self) -> list[RunData]:
        """Every stored run, oldest first."""
        with open_store(self.config().results) as store:
            return [store.load(row.id) for row in reversed(store.list())]


@pytest.fixture
def lab(tmp_path: Path) -> Accepted:
    return Accepted(tmp_path)


def verdict_of(finished: Finished, metric: str = "latency", scenario: str = SCENARIO) -> Verdict:
    return next(v for v in finished.data.verdicts if (v.scenario_id, v.metric) == (scenario, metric))


class TestSameSubject:
    def test_nothing_is_replayed_and_nothing_is_in_question(self, lab: Accepted) -> None:
        finished = lab.measure()
        assert finished.code is ExitCode.OK
        assert {each.kind for each in finished.data.verdicts} == {VerdictKind.SAME_SUBJECT}
        told = f"nothing under test changed since the acceptance of {DATE} (run {lab.runs()[0].run.id})"
        assert verdict_of(finished).reason.startswith(told)
        assert finished.data.run.notes[0] == f"N{told[1:]}."
        assert lab.said[:2] == [told, "measuring takes up to 0:40"]
        assert len(lab.runs()) == 2

    def test_the_whole_budget_is_the_runs_own(self, lab: Accepted) -> None:
        assert lab.measure().data.run.budget_s == 40

    def test_with_always_the_arm_is_measured_with_itself(self, lab: Accepted) -> None:
        finished = lab.measure(replay="always")
        verdict = verdict_of(finished)
        assert finished.code is ExitCode.OK
        assert verdict.reference.startswith(REPLAYED)
        assert verdict.kind in (VerdictKind.UNCHANGED, VerdictKind.INCONCLUSIVE)
        assert "nothing (A/A)" in verdict.reason

    def test_with_never_the_remembered_values_show_the_machine(self, lab: Accepted) -> None:
        for seed in range(1, 6):
            lab.promote(lab.run(requests=SHORT, seed=str(seed)).data)
        lower_by_half(lab.config().baselines)
        verdict = verdict_of(lab.measure(replay="never"))
        assert verdict.kind is VerdictKind.REGRESSED
        assert verdict.reason.endswith("so only the machine can be the reason")

    def test_a_slower_machine_is_no_regression(self, lab: Accepted) -> None:
        """The remembered values are half of what they were, as on a machine twice as fast."""
        lower_by_half(lab.config().baselines)
        finished = lab.measure()
        assert finished.code is ExitCode.OK
        assert "which the machine alone explains" in verdict_of(finished).reason


class TestAnotherSubject:
    def test_a_slowdown_is_found_by_pairs_and_named(self, lab: Accepted) -> None:
        finished = lab.measure(script="pace=1.1")
        verdict = verdict_of(finished)
        assert finished.code is ExitCode.WORSE
        assert verdict.kind is VerdictKind.REGRESSED
        assert verdict.change is not None
        assert verdict.change.point == pytest.approx(0.095, abs=0.03)
        difference = "version of engine scripted plain → pace=1.1"
        assert verdict.reason.endswith(f"changed: {difference}")
        assert verdict.suspects[0] == difference
        assert "stage inference" in verdict.suspects[1]
        assert f"promote {finished.data.run.id} --only '*' --reason WHY" in verdict.advice
        assert "measuring takes about 0:40: 0:18 for the values of this run, then 0:22" in lab.said[1]

    def test_the_pairs_are_a_run_of_their_own_that_names_the_run(self, lab: Accepted) -> None:
        main = lab.measure(script="pace=1.1").data
        replay = lab.runs()[-1]
        assert verdict_of_data(main).reference == f"{REPLAYED}{replay.run.id}"
        assert replay.run.replay_of == main.run.id
        assert replay.run.status is RunStatus.COMPLETE
        assert {scenario.arm.side for scenario in replay.run.scenarios} == {"under-test", "accepted"}
        ours = [each for each in replay.verdicts if each.metric == "latency"]
        assert [each.kind for each in ours] == [VerdictKind.REGRESSED]
        with open_store(lab.config().results) as store:
            assert store.resolve("latest") == main.run.id

    def test_the_pairs_decide_also_on_a_machine_without_any_accepted_value(self, tmp_path: Path) -> None:
        lab = Accepted(tmp_path)
        accept_only = lab.runs()[0]
        for file in lab.config().baselines.glob("*/*.json"):
            file.unlink()
        accept(lab.config().baselines, accept_only, figures=False)
        finished = lab.measure(script="pace=1.1")
        assert verdict_of(finished).kind is VerdictKind.REGRESSED
        assert finished.code is ExitCode.WORSE

    def test_a_change_that_changes_nothing_raises_no_alarm(self, lab: Accepted) -> None:
        finished = lab.measure(script="pace=1.0", budget="80s")
        assert finished.code is ExitCode.OK
        kinds = {each.kind for each in finished.data.verdicts}
        assert kinds <= {VerdictKind.UNCHANGED, VerdictKind.INCONCLUSIVE}

    def test_with_never_remembered_values_are_compared(self, lab: Accepted) -> None:
        finished = lab.measure(script="pace=1.1", replay="never")
        verdict = verdict_of(finished)
        assert verdict.reference == "baseline"
        assert verdict.reason.endswith("not replayed: --replay never")
        assert len(lab.runs()) == 2

    def test_a_text_that_the_budget_does_not_reach_names_the_budget_that_does(self, tmp_path: Path) -> None:
        lab = Accepted(tmp_path, BOTH)
        verdict = verdict_of(lab.measure(script="pace=1.05"), scenario=LONGER)
        assert verdict.reference == "baseline"
        assert "not replayed: the budget does not suffice for it" in verdict.reason
        budget = verdict.advice.split("`")[1].split()[1]
        again = verdict_of(lab.measure(script="pace=1.05", budget=budget), scenario=LONGER)
        assert again.reference.startswith(REPLAYED)

    def test_what_there_is_no_time_for_is_undecided_and_not_without_a_baseline(self, tmp_path: Path) -> None:
        lab = Accepted(tmp_path, BOTH)
        for file in lab.config().baselines.glob("*/*.json"):
            file.unlink()
        finished = lab.measure(script="pace=1.05")
        verdict, notes = verdict_of(finished, scenario=LONGER), finished.data.run.notes
        assert verdict.kind is VerdictKind.INCONCLUSIVE
        assert verdict.advice.startswith("`--budget ")
        assert any(note.startswith("`--budget ") and note.endswith(" has time for all pairs.") for note in notes)

    def test_time_that_a_decided_text_leaves_is_the_next_ones(self, tmp_path: Path) -> None:
        lab = Accepted(tmp_path, BOTH)
        finished = lab.measure(script="pace=1.5", budget="90s")
        assert {verdict_of(finished, scenario=each).kind for each in (SCENARIO, LONGER)} == {VerdictKind.REGRESSED}

    def test_an_interrupt_between_pairs_keeps_what_was_measured(self, lab: Accepted) -> None:
        begun: list[str] = []
        blocks: list[Event] = []

        def interrupt(event: Event) -> None:
            begun.extend([event.run_id] if isinstance(event, Begun) else [])
            blocks.extend([event] if isinstance(event, BlockDone) else [])
            if isinstance(event, BlockDone) and event.block.whole:
                raise KeyboardInterrupt

        config = lab.config(budget="40s", script="pace=1.1")
        scenarios = wanted_scenarios(config, SHORT, "quick")
        finished = run.measure(config, scenarios, selection="quick", handlers=[interrupt], report=lab.said.append)
        _, main, replay = lab.runs()
        assert finished.code is ExitCode.INTERRUPTED
        assert begun == [main.run.id]
        assert (main.run.status, replay.run.status) == (RunStatus.INTERRUPTED, RunStatus.INTERRUPTED)
        assert len(main.blocks) + len(replay.blocks) == len(blocks)
        assert main.run.reason == "ended by Ctrl-C"
        assert verdict_of(finished).kind is not VerdictKind.REGRESSED

    def test_an_internal_error_between_pairs_keeps_what_was_measured(self, lab: Accepted) -> None:
        def broken(event: Event) -> None:
            if isinstance(event, BlockDone) and event.block.whole:
                raise RuntimeError("broken")

        config = lab.config(budget="40s", script="pace=1.1")
        scenarios = wanted_scenarios(config, SHORT, "quick")
        with pytest.raises(RuntimeError, match="broken"):
            run.measure(config, scenarios, selection="quick", handlers=[broken], report=lab.said.append)
        _, main, replay = lab.runs()
        for each in (main, replay):
            assert (each.run.status, each.run.reason) == (RunStatus.FAILED, "RuntimeError: broken")
            assert each.blocks

    def test_two_arms_share_the_time(self, tmp_path: Path) -> None:
        lab = Accepted(tmp_path)
        first = lab.run(requests=SHORT, model="scripted,scripted-8bit").data
        accept(lab.config().baselines, first)
        finished = lab.measure(script="pace=1.2", model="scripted,scripted-8bit", budget="90s")
        kinds = {v.scenario_id: v.kind for v in finished.data.verdicts if v.metric == "latency"}
        assert set(kinds.values()) == {VerdictKind.REGRESSED}
        assert len(kinds) == 2
        assert len({v.reference for v in finished.data.verdicts if v.metric == "latency"}) == 2

    def test_a_scenario_that_was_never_accepted_has_no_baseline(self, lab: Accepted) -> None:
        lab.requests = BOTH
        finished = lab.measure(script="pace=1.1")
        assert verdict_of(finished, scenario=LONGER).kind is VerdictKind.NO_BASELINE
        assert verdict_of(finished).kind is VerdictKind.REGRESSED

    def test_packages_of_the_reference_are_named_as_users_name_them(self, lab: Accepted) -> None:
        changed(lab.config().baselines, packages=(("onnxruntime", "1.31.0"),))
        finished = lab.measure()
        assert verdict_of(finished).reason.endswith("changed: onnxruntime 1.31.0 → none")


def lower_by_half(baselines: Path) -> None:
    """Halve every accepted median."""
    for file in baselines.glob("*/*.json"):
        text = file.read_text(encoding="utf-8")
        halved = re.sub(r'("median": )([0-9.e-]+)', lambda found: f"{found[1]}{float(found[2]) / 2}", text)
        assert halved != text
        file.write_text(halved, encoding="utf-8")


def verdict_of_data(data: RunData) -> Verdict:
    return next(v for v in data.verdicts if (v.scenario_id, v.metric) == (SCENARIO, "latency"))
