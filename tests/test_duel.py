"""Duels on the scripted engine: exact, and in no time."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli.duel import conduct
from harness.duel import DuelJudging, Opponents, duel_scenarios, pairs_of
from harness.equipment import wanted_arms
from harness.errors import ExitCode, UsageError
from harness.judge.comparison import Policy
from harness.laboratory import Finished
from harness.plan.config import Config, load_config
from harness.plan.sides import parse_side
from harness.records.scenario import Mode
from harness.records.verdict import VerdictKind

MODELS = ("scripted", "scripted-8bit")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    place = tmp_path_factory.mktemp("duels")
    options = {"engine": "scripted", "results": str(place / "r.sqlite"), "baselines": str(place / "b")}
    return load_config(options, start=place, environment={})


@pytest.fixture(scope="module")
def faster(config: Config) -> Finished:
    return play(config, "model=scripted-8bit", "model=scripted")


def opponents(config: Config, candidate: str, reference: str) -> Opponents:
    base = wanted_arms(config, "quick")[0]
    sides = [parse_side(text, base=base, models=MODELS) for text in (candidate, reference)]
    return Opponents(candidate=sides[0], reference=sides[1]).told_apart()


def play(config: Config, candidate: str, reference: str) -> Finished:
    return conduct(config, opponents(config, candidate, reference), effect=0.05, selection="duel", quiet=True)


def kind_of(finished: Finished, metric: str) -> VerdictKind:
    return next(verdict.kind for verdict in finished.data.verdicts if verdict.metric == metric)


def test_a_faster_model_is_found_with_its_stage_as_the_first_suspect(faster: Finished) -> None:
    assert faster.code is ExitCode.OK
    verdict = next(verdict for verdict in faster.data.verdicts if verdict.metric == "latency")
    assert verdict.kind is VerdictKind.IMPROVED
    assert verdict.change is not None
    # The script's inference takes 0.8 of the time and is nearly all of it: ln 0.8 = -0.223.
    assert verdict.change.point == pytest.approx(-0.22, abs=0.02)
    assert verdict.suspects[0].startswith("inference:")
    assert "model scripted → scripted-8bit" in verdict.suspects


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
    slowed = Opponents(candidate=replace(sides.candidate, slowdown=0.1), reference=sides.reference)
    finished = conduct(config, slowed, effect=0.1, selection="duel", quiet=True)
    assert kind_of(finished, "latency") is VerdictKind.REGRESSED


def test_candidate_and_reference_of_a_text_are_paired(faster: Finished) -> None:
    for candidate, reference in pairs_of(faster.data):
        assert candidate.text_class == reference.text_class
        assert candidate.arm.model is not None
        assert candidate.arm.model.name == "scripted-8bit"


def test_an_unknown_text_is_refused_before_anything_is_measured(config: Config) -> None:
    with pytest.raises(UsageError):
        duel_scenarios(opponents(config, "current", "."), texts=("chars-61",), voice="af_heart", mode=Mode.WHOLE)


def test_a_decided_duel_ends_before_its_budget(faster: Finished) -> None:
    assert "every gated pair is decided" in faster.data.run.reason


def test_a_duel_is_not_stopped_between_its_looks(faster: Finished) -> None:
    judging = DuelJudging(effect=0.05, budget_s=60, launches=4, policy=Policy())
    data = faster.data
    said = {blocks: judging.enough(replace(data, blocks=data.blocks[:blocks])) for blocks in range(1, len(data.blocks))}
    # Looks are at halves of halves of the plan, from six blocks on; whatever the data say, no other block ends it.
    assert not any(said[blocks] for blocks in range(1, 6))


def test_the_command_prints_the_duel_and_ends_with_its_code(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "harness.cli",
        "duel",
        "model=scripted",
        "model=scripted-8bit",
        "--engine",
        "scripted",
    ]
    places = ["--results", "r.sqlite", "--baselines", "b", "--report", "site"]
    done = subprocess.run([*command, *places], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "worse" in done.stdout
    assert "could have seen" in done.stdout
    listed = subprocess.run(
        [sys.executable, "-m", "harness.cli", "runs", "list", "--json", "--results", "r.sqlite"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(listed.stdout)[0]["selection"] == "duel: model=scripted against model=scripted-8bit"
