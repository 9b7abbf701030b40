"""Duels on the scripted engine: exact, and in no time."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.analysis.conclude import Conclusions
from harness.analysis.finished import Finished
from harness.analysis.stats.comparison import Policy
from harness.cli.baseline import _check as check_accepted
from harness.core.errors import BenchError, ExitCode, RuntimeBuildError, UsageError
from harness.core.records.profile import Profile, Profiles
from harness.core.records.repetition import Outcome, OutcomeKind, Phase
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Mode, Scenario
from harness.core.records.verdict import VerdictKind
from harness.metrics.derive import scenario_values
from harness.plan.arm_spec import parse_arm_spec
from harness.plan.config import Config, load_config
from harness.plan.matrix import LaunchPolicy
from harness.runner import run
from harness.runner.calibration import KnownLaunches, LaunchEffect, trial_of
from harness.runner.duel import DuelAnalysis, DuelArms, DuelBudget, Terms, duel_scenarios
from harness.runner.duel_causes import explain_changes, pairs_of
from harness.runner.duel_terms import why_whole
from harness.runner.resources import prepare_resources
from harness.runner.run_duel import run_duel
from harness.runner.selection import wanted_arms
from harness.store.runs import open_store
from tests.conftest import Command

MODELS = ("scripted", "scripted-8bit")
MODELS_DIFFER = "model scripted → scripted-8bit (104.9 → 83.9 MB)"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    place = tmp_path_factory.mktemp("duels")
    options = {"engine": "scripted", "results": str(place / "r.sqlite"), "baselines": str(place / "b")}
    return load_config(options, start=place, environment={})


@pytest.fixture(scope="module")
def faster(config: Config) -> Finished:
    return play(config, "model=scripted-8bit", "model=scripted")


def opponents(config: Config, candidate: str, reference: str) -> DuelArms:
    base = wanted_arms(config, "quick")[0]
    sides = [parse_arm_spec(text, base=base, models=MODELS) for text in (candidate, reference)]
    return DuelArms(candidate=sides[0], reference=sides[1]).with_distinct_labels()


def play(config: Config, candidate: str, reference: str) -> Finished:
    return run_duel(config, opponents(config, candidate, reference), effect=0.05, selection="duel", quiet=True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"provider": "openvino"}, ""),
        ({"provider": "openvino", "provider_options": (("device_type", "GPU"),)}, "a device that continues"),
        ({"provider": "cuda"}, "a device that continues"),
        ({"url": "http://127.0.0.1:8880"}, "is a server"),
        ({"url": "server:own"}, ""),
        ({"engine": "scripted"}, "no process of its own"),
        ({"engine": "kokoro-server"}, "is a server"),
    ],
)
def test_only_work_that_stands_still_with_its_process_is_done_in_slices(
    changes: dict[str, object], reason: str
) -> None:
    plain = Arm(engine="kokoro")
    other = replace(plain, **changes)  # type: ignore[arg-type]
    for sides in ((plain, other), (other, plain)):
        found = why_whole(DuelArms(candidate=sides[0], reference=sides[1]))
        assert reason in found
        assert bool(found) is bool(reason)


def test_a_duel_says_why_its_sides_did_not_work_at_the_same_time(faster: Finished) -> None:
    assert any("one after the other: the scripted engine" in note for note in faster.data.run.notes)


def test_launches_that_are_known_to_differ_widen_every_interval(config: Config, faster: Finished) -> None:
    sides = opponents(config, "model=scripted-8bit", "model=scripted")
    launches = KnownLaunches(whole=LaunchEffect(inflation=25.0, duels=10))
    wary = run_duel(config, sides, effect=0.05, selection="duel", launches=launches, quiet=True)
    changes = [next(v.change for v in each.data.verdicts if v.metric == "latency") for each in (faster, wary)]
    assert changes[0] is not None
    assert changes[1] is not None
    assert changes[1].point == pytest.approx(changes[0].point, abs=0.02)
    # The wary one went on for twice the pairs, and is wider all the same.
    widths = [(change.high - change.low) * math.sqrt(change.n) for change in changes if change]
    assert widths[1] > 2 * widths[0]


def test_launches_that_are_known_to_scatter_widen_every_interval(config: Config, faster: Finished) -> None:
    """The scripted engine has no slices; what is known of launches is presumed all the same."""
    sides = opponents(config, "model=scripted-8bit", "model=scripted")
    launches = KnownLaunches(whole=LaunchEffect(sd=0.2, duels=10))
    wary = run_duel(config, sides, effect=0.05, selection="duel", launches=launches, quiet=True)
    errors = [
        (change.high - change.low) * math.sqrt(change.n)
        for each in (faster, wary)
        for change in [next(v.change for v in each.data.verdicts if v.metric == "latency")]
        if change
    ]
    assert errors[1] > 2 * errors[0]


def kind_of(finished: Finished, metric: str) -> VerdictKind:
    return next(verdict.kind for verdict in finished.data.verdicts if verdict.metric == metric)


def test_a_faster_model_is_found_with_its_stage_as_the_first_suspect(faster: Finished) -> None:
    assert faster.code is ExitCode.OK
    verdict = next(verdict for verdict in faster.data.verdicts if verdict.metric == "latency")
    assert verdict.kind is VerdictKind.IMPROVED
    assert verdict.change is not None
    # The script's inference takes 0.8 of the time and is nearly all of it: ln 0.8 = -0.223.
    assert verdict.change.point == pytest.approx(-0.22, abs=0.02)
    assert verdict.suspects[0].startswith("stage inference: −")
    assert MODELS_DIFFER in verdict.suspects


def test_swapping_the_sides_swaps_the_verdict(config: Config) -> None:
    finished = play(config, "model=scripted", "model=scripted-8bit")
    assert finished.code is ExitCode.WORSE
    assert kind_of(finished, "latency") is VerdictKind.REGRESSED


def test_an_arm_against_itself_has_two_sides_and_no_alarm(config: Config) -> None:
    sides = opponents(config, "current", ".")
    assert sides.same
    assert sides.candidate.id != sides.reference.id
    finished = play(config, "current", ".")
    kinds = {verdict.kind for verdict in finished.data.verdicts}
    assert not kinds & {VerdictKind.REGRESSED, VerdictKind.IMPROVED}


def test_a_planted_slowdown_is_found(config: Config) -> None:
    sides = opponents(config, "current", ".")
    slowed = DuelArms(candidate=replace(sides.candidate, slowdown=0.1), reference=sides.reference)
    finished = run_duel(config, slowed, effect=0.1, selection="duel", quiet=True)
    assert kind_of(finished, "latency") is VerdictKind.REGRESSED


def test_candidate_and_reference_of_a_text_are_paired(faster: Finished) -> None:
    for candidate, reference in pairs_of(faster.data):
        assert candidate.text_class == reference.text_class
        assert candidate.arm.model is not None
        assert candidate.arm.model.name == "scripted-8bit"


def test_an_unknown_text_is_refused_before_anything_is_measured(config: Config) -> None:
    with pytest.raises(UsageError):
        duel_scenarios(opponents(config, "current", "."), texts=("chars-61",), voice="af_heart", mode=Mode.WHOLE)


def test_blocks_that_the_user_gives_are_all_that_share_the_error_rate(config: Config) -> None:
    """A plan by the budget alone would keep most of it for analyses that never come."""
    given = dict(config.given) | {"launches": "2", "blocks": "4"}
    chosen = load_config(given, start=config.root, environment={})
    finished = play(chosen, "model=scripted-8bit", "model=scripted")
    levels = {
        verdict.change.level for verdict in finished.data.verdicts if verdict.metric == "latency" and verdict.change
    }
    assert finished.data.run.reason == "the planned 8 blocks are done"
    assert max(levels) < 0.999


def test_a_decided_duel_ends_before_its_budget(faster: Finished) -> None:
    assert "every gated value of a repetition is decided" in faster.data.run.reason


def test_a_duel_is_not_stopped_between_its_looks(faster: Finished) -> None:
    analysis = DuelAnalysis(effect=0.05, budget=DuelBudget(s=60), terms=Terms(launches=4, policy=Policy()))
    data = faster.data
    said = {
        blocks: analysis.enough(replace(data, blocks=data.blocks[:blocks])) for blocks in range(1, len(data.blocks))
    }
    # Looks are at halves of halves of the plan, from six blocks on; whatever the data say, no other block ends it.
    assert not any(said[blocks] for blocks in range(1, 6))


UNFIT = "a sleeps for about 10 % of its time"


def in_slices(data: RunData, count: int, *, unfit: bool = False) -> RunData:
    """A duel whose first blocks were in slices; the last of these found out that it should not have been."""
    blocks = [
        replace(
            block, slice_ns=25_000_000 if number < count else 0, whole=UNFIT if unfit and number >= count - 1 else ""
        )
        for number, block in enumerate(data.blocks)
    ]
    return replace(data, blocks=tuple(blocks))


class TestADuelThatTurnsOutNotToSuitSlices:
    """It goes on one side after the other, and that alone counts."""

    def test_what_was_in_slices_is_left_out_of_every_figure(self, faster: Finished) -> None:
        data = faster.data
        scenario, count = data.run.scenarios[0], len(data.blocks)
        for played, left in (
            (data, count),
            (in_slices(data, count), count),
            (in_slices(data, 2, unfit=True), count - 2),
            (in_slices(data, count, unfit=True), 0),
        ):
            assert len(played.counted.blocks) == left
            assert scenario_values(scenario, played)["latency"].n == left
            # What the warm-up tells is the same either way.
            assert [each for each in played.counted.repetitions if each.phase is Phase.WARMUP] == [
                each for each in data.repetitions if each.phase is Phase.WARMUP
            ]

    def test_the_note_says_why_and_what_does_not_count(self, faster: Finished) -> None:
        analysis = DuelAnalysis(
            effect=0.05,
            budget=DuelBudget(s=60),
            terms=Terms(launches=4, policy=Policy(), launch_policy=LaunchPolicy(slice_s=0.025)),
        )
        count = len(faster.data.blocks)
        for data, notes in (
            (in_slices(faster.data, count), ("the arms of a pair ran at the same time, in turns of up to 25 ms",)),
            (in_slices(faster.data, 0, unfit=True), (f"the arms of a pair ran one after the other: {UNFIT}",)),
            (
                in_slices(faster.data, 2, unfit=True),
                (
                    f"the arms of a pair ran one after the other: {UNFIT}",
                    "blocks measured in turns before that was found do not count: 2 blocks",
                ),
            ),
        ):
            assert analysis.conclude(data).notes == notes

    def test_it_is_judged_by_the_terms_of_such_a_duel(self, faster: Finished) -> None:
        """Launches in slices are presumed to scatter by so much here that nothing could be found."""
        analysis = DuelAnalysis(
            effect=0.05,
            budget=DuelBudget(s=60),
            terms=Terms(launches=16, policy=Policy(launch_sd=1.0), launch_policy=LaunchPolicy(slice_s=0.025)),
            otherwise=Terms(launches=4, policy=Policy()),
        )
        count = len(faster.data.blocks)
        kinds = [
            next(verdict.kind for verdict in analysis.conclude(data).verdicts if verdict.metric == "latency")
            for data in (in_slices(faster.data, count), in_slices(faster.data, 0, unfit=True))
        ]
        assert kinds == [VerdictKind.INCONCLUSIVE, VerdictKind.IMPROVED]

    def test_it_ends_by_what_counts(self, faster: Finished) -> None:
        """As a duel would that had asked for no slices; without a block that counts there is nothing to look at."""
        whole = Terms(launches=4, policy=Policy(), launch_policy=LaunchPolicy(launching=0.5, fewest_blocks=4))
        plain = DuelAnalysis(effect=0.05, budget=DuelBudget(s=60), terms=whole)
        analysis = DuelAnalysis(
            effect=0.05,
            budget=DuelBudget(s=60),
            terms=Terms(launches=16, policy=Policy(), launch_policy=LaunchPolicy(slice_s=0.025)),
            otherwise=whole,
        )
        count = len(faster.data.blocks)
        assert analysis.enough(in_slices(faster.data, count, unfit=True)) == ""
        prefixes = [replace(faster.data, blocks=faster.data.blocks[:blocks]) for blocks in range(1, count + 1)]
        expected = [plain.enough(data) for data in prefixes]
        assert any(expected)
        assert [analysis.enough(in_slices(data, 0, unfit=True)) for data in prefixes] == expected

    def test_it_is_no_baseline_either(self, faster: Finished) -> None:
        with pytest.raises(UsageError, match="only their ratio is valid"):
            check_accepted(in_slices(faster.data, 2, unfit=True), set(), accepted=True)

    def test_calibration_keeps_it_as_what_it_was(self, faster: Finished) -> None:
        scenario = faster.data.run.scenarios[1]
        count = len(faster.data.blocks)
        assert trial_of(in_slices(faster.data, count), scenario=scenario, planted=0.0).in_slices
        assert not trial_of(in_slices(faster.data, 2, unfit=True), scenario=scenario, planted=0.0).in_slices


def test_figures_in_slices_are_no_baseline(faster: Finished) -> None:
    blocks = tuple(replace(block, slice_ns=25_000_000) for block in faster.data.blocks)
    with pytest.raises(UsageError, match="only their ratio is valid"):
        check_accepted(replace(faster.data, blocks=blocks), set(), accepted=True)
    check_accepted(faster.data, set(), accepted=True)


def planned(data: RunData, launch_policy: LaunchPolicy) -> int:
    """The blocks after which a duel of a minute is ended by its plan."""
    analysis = DuelAnalysis(
        effect=0.05, budget=DuelBudget(s=60), terms=Terms(launches=4, policy=Policy(), launch_policy=launch_policy)
    )
    many = data.blocks * 40
    ends = (
        blocks for blocks in range(1, len(many)) if "planned" in analysis.enough(replace(data, blocks=many[:blocks]))
    )
    return next(ends)


def test_a_duel_in_slices_plans_for_quicker_launches_after_the_first(faster: Finished) -> None:
    """A plan that is too short would end it before its time."""
    assert planned(faster.data, LaunchPolicy(slice_s=0.025)) > planned(faster.data, LaunchPolicy())


def test_the_command_prints_the_duel_and_ends_with_its_code(kokoro_bench: Command) -> None:
    places = ("--results", "r.sqlite", "--baselines", "b", "--report", "site")
    done = kokoro_bench("duel", "model=scripted", "model=scripted-8bit", "--engine", "scripted", *places)
    assert done.returncode == 1
    assert "worse" in done.stdout
    assert "could have seen" in done.stdout
    listed = kokoro_bench("runs", "list", "--json", "--results", "r.sqlite")
    assert json.loads(listed.stdout)[0]["selection"] == "duel: model=scripted against model=scripted-8bit"


def profile(**milliseconds: float) -> Profile:
    return Profile(operators={name: (1e3 * each,) * 4 for name, each in milliseconds.items()})


class TestOperatorSuspects:
    def test_a_verdict_that_found_a_change_gets_them_before_the_stages(self, faster: Finished) -> None:
        data = faster.data
        before = Conclusions(summaries=(), verdicts=data.verdicts, targets=())
        profiled: list[tuple[str, str]] = []

        def profiles(
            pairs: Sequence[tuple[Scenario, Scenario]], *, then: Sequence[tuple[Scenario, Scenario]]
        ) -> dict[str, Profiles]:
            profiled.extend((candidate.arm.id, reference.arm.id) for candidate, reference in pairs)
            found = Profiles(candidate=(profile(Conv=8.0),) * 2, reference=(profile(Conv=10.0),) * 2)
            return {candidate.id: found for candidate, _ in pairs}

        after = explain_changes(before, data, SimpleNamespace(pairs=profiles))
        assert profiled == [("scripted-8bit.cpu.tdefault", "scripted.cpu.tdefault")], "once, both sides together"
        latency = next(verdict for verdict in after.verdicts if verdict.metric == "latency")
        assert latency.suspects[1].startswith("stage inference:")
        assert latency.suspects[0] == "operator Conv: −2.0 ms (−2.0 to −2.0 at 99.50 %), 100 % of −2.0 ms (10.0 → 8.0)"
        assert MODELS_DIFFER in latency.suspects[2:]
        memory = next(verdict for verdict in after.verdicts if verdict.metric == "rss_peak")
        assert not any(suspect.startswith("operator") for suspect in memory.suspects)

    def test_nothing_is_profiled_where_nothing_was_found(self, config: Config) -> None:
        data = play(config, "current", ".").data
        before = Conclusions(summaries=(), verdicts=data.verdicts, targets=())

        assert explain_changes(before, data, SimpleNamespace()) == before


def test_a_duel_of_one_thing_against_itself_says_so(kokoro_bench: Command) -> None:
    found = kokoro_bench("duel", "current", "current", "--engine", "scripted", "--model", "scripted")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "this is an A/A test, so any change it finds is a false alarm" in " ".join(found.stdout.split())
    other = kokoro_bench("duel", "model=scripted-8bit", "model=scripted", "--engine", "scripted")
    assert "A/A" not in other.stdout


@pytest.mark.parametrize("command", ["duel", "tune", "calibrate"])
@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--model", "scripted", "--model", "scripted-8bit"), "model (option --model): scripted, scripted-8bit are"),
        (("--threads", "1,2"), "threads (option --threads): 1, 2 are several, but this command takes one"),
    ],
)
def test_what_plays_one_arm_refuses_a_list_of_them(
    here: Command, command: str, given: tuple[str, ...], told: str
) -> None:
    sides = ("threads=2",) if command == "duel" else ()
    found = here(command, *sides, "--engine", "scripted", *given)
    assert found.returncode == 2
    assert told in found.stderr
    assert f" — for example {given[0]} {given[1].split(',')[0]}" in found.stderr


class TestALostSide:
    """A duel takes two."""

    def lost(self, finished: Finished, number: int) -> RunData:
        data = finished.data
        arm_id = data.run.scenarios[number].arm.id
        refused = Outcome(kind=OutcomeKind.REFUSED, reason="provider 'rocm' is not in this build")
        launches = [replace(each, outcome=refused) if each.arm_id == arm_id else each for each in data.launches]
        return replace(data, launches=tuple(launches), blocks=data.blocks[:1])

    @pytest.mark.parametrize(("number", "side"), [(0, "the candidate"), (1, "the reference")])
    def test_it_ends_after_the_first_block_and_fails_with_the_reason(
        self, faster: Finished, number: int, side: str
    ) -> None:
        analysis = DuelAnalysis(effect=0.05, budget=DuelBudget(s=60), terms=Terms(launches=4, policy=Policy()))
        data = self.lost(faster, number)
        reason = f"{side} was lost: provider 'rocm' is not in this build"
        assert analysis.enough(data) == f"a duel needs both arms: {reason}"
        (verdict,) = analysis.conclude(data).verdicts
        assert (verdict.kind, verdict.reason) == (VerdictKind.FAILED, reason)
        assert "kokoro-bench runs show" in verdict.advice

    def test_an_arm_that_cannot_be_made_is_told_before_anything_is_measured(
        self, config: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = prepare_resources(config, report=lambda _message: None)

        def resolve(arm: Arm) -> Arm:
            if arm.threads:
                raise RuntimeBuildError("no such version", where="threads")
            return whole.resolve(arm)

        monkeypatch.setattr(run, "prepare_resources", lambda _config, **_: replace(whole, resolve=resolve))
        with pytest.raises(BenchError, match="threads: no such version") as caught:
            play(config, "threads=2", "current")
        assert caught.value.exit_code is ExitCode.USAGE


def test_too_small_a_budget_says_which_would_do(faster: Finished) -> None:
    analysis = DuelAnalysis(effect=0.05, budget=DuelBudget(s=1), terms=Terms(launches=4, policy=Policy()))
    data = faster.data
    block = replace(data.blocks[0], started_at=data.run.started_at + 3.0, wall_ns=2_000_000_000)
    first = [each for each in data.repetitions if each.block <= block.block and each.launch == block.launch]
    verdicts = analysis.conclude(replace(data, blocks=(block,), repetitions=tuple(first))).verdicts
    unclear = [verdict for verdict in verdicts if verdict.kind is VerdictKind.INCONCLUSIVE]
    assert "latency" in [verdict.metric for verdict in unclear]
    # Four launches of three seconds, six pairs of two: 24 s.
    assert {verdict.advice for verdict in unclear} == {"6 pairs take about 30 s here: `--budget 30s` or more"}


@pytest.mark.parametrize("budget_s", [30, 40])
def test_the_advice_names_a_longer_budget_than_the_one_that_ended_the_duel(here: Command, budget_s: int) -> None:
    options = ("--engine", "scripted", "--effect", "5%", "--budget", f"{budget_s}s")
    found = here("duel", "threads=2", "threads=1", *options)
    assert found.returncode == 0, found.stderr
    named = re.findall(r"pairs instead of \d+ would settle it: `--budget (\d+)s`", found.stdout)
    assert named
    assert min(map(int, named)) > budget_s


def test_a_duel_of_several_texts_names_the_text_of_each_verdict(here: Command) -> None:
    sides = ("model=scripted-8bit", "model=scripted", "--engine", "scripted")
    found = here("duel", *sides, "--text", "chars-12,chars-60")
    assert found.returncode == 0, found.stderr
    lines = [line.partition(": better: ")[0] for line in found.stdout.splitlines() if ": better: " in line]
    assert {"chars-12 latency", "chars-60 latency"} <= set(lines)
    alone = here("duel", *sides, "--text", "chars-12")
    assert "\nlatency: better: " in alone.stdout
    assert re.search(r"latency +−\d+\.\d % ", alone.stdout)
    assert not re.search(
        r"(?<![\w.])-\d", alone.stdout.partition("report: ")[0].partition("Duel ")[2].partition("\n")[2]
    )


def test_a_value_of_a_launch_is_not_promised_by_a_longer_budget(faster: Finished) -> None:
    analysis = DuelAnalysis(effect=0.05, budget=DuelBudget(s=100), terms=Terms(launches=4, policy=Policy()))
    data = faster.data
    block = replace(data.blocks[0], launch=0)
    blocks = tuple(replace(block, block=number) for number in range(6))
    spoken = [each for each in data.repetitions if (each.launch, each.block) == (block.launch, block.block)]
    warm = [each for each in data.repetitions if each.launch == block.launch and each.phase is Phase.WARMUP]
    repetitions = tuple(replace(each, block=number) for number in range(6) for each in spoken)
    short = replace(data, blocks=blocks, repetitions=(*warm, *repetitions))
    advice = {verdict.metric: verdict.advice for verdict in analysis.conclude(short).verdicts}
    assert advice["rss_peak"] == "it has one pair a launch, and needs 3 launches"


@pytest.mark.parametrize(
    ("options", "launches", "memory"),
    [
        ((), 3, "worse by +46."),
        (("--launches", "2"), 2, "it has one pair a launch, and needs 3 launches"),
        (("--gate-metrics", "latency"), 2, "it has one pair a launch, and needs 3 launches"),
    ],
)
def test_decided_duel_makes_the_launches_that_gated_memory_needs_and_no_more(
    here: Command, tmp_path: Path, options: tuple[str, ...], launches: int, memory: str
) -> None:
    sides = ("script=noise=0.01 pace=1.5 memory=1.4", "script=noise=0.01")
    found = here("duel", *sides, "--engine", "scripted", "--model", "scripted", "--text", "chars-12", *options)
    assert found.returncode == 1, found.stderr
    assert f"rss_peak: {memory}" in found.stdout
    with open_store(tmp_path / ".kokoro-bench" / "results.sqlite") as store:
        data = store.load(store.resolve("latest"))
    assert data.run.reason.startswith("every gated value of a repetition is decided after ")
    played = [block.launch for block in data.blocks]
    assert max(played) + 1 == launches
    assert played.count(2) == (launches == 3), "one block, and the analysis after it ends the duel"
