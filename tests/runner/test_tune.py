"""The search for session options, on rounds that are made up and on the scripted engine."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.duel import duel
from harness.cli.recommend import recommend
from harness.cli.tune import tune
from harness.core.errors import ExitCode, UsageError
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Mode, ModelVariant, Scenario
from harness.metrics.derive import RunValues
from harness.plan.config import load_config
from harness.plan.matrix import ScenarioRequest
from harness.runner.search import DEFAULT_CHANGES, Search
from harness.store.runs import open_store
from tests.analysis.advice.test_recommend import run
from tests.conftest import Laboratory

BASE = Arm(engine="kokoro", model=ModelVariant(name="replica", sha256="a" * 64, size=1, origin="replica"))
COST = {"t1": 1.3, "t2": 0.9, "spinning=off": 0.95, "arena=off": 1.1, "memory_pattern=off": 1.01}


def tuning(*changes: str) -> Search:
    return Search(base=BASE, metric="latency", text="chars-60", voice="v", changes=changes or DEFAULT_CHANGES)


class Played:
    """Rounds in which every setting multiplies the time by its own factor."""

    def __init__(self, broken: str = "", *, seconds: float = 0.0) -> None:
        self.rounds: list[tuple[list[str], float]] = []
        self.broken = broken
        self.seconds = seconds

    def __call__(self, scenarios: Sequence[Scenario], seconds: float, number: int) -> RunData:
        self.rounds.append(([each.arm.id for each in scenarios], seconds))
        times = {}
        for each in scenarios:
            times[each] = 1.0
            for name, factor in COST.items():
                times[each] *= factor if name in each.arm.id.split(".") else 1.0
        invalid = tuple(each for each in scenarios if self.broken and self.broken in each.arm.id)
        data = run(times, invalid=invalid, run_id=f"round-{number}")
        return (
            replace(data, run=replace(data.run, ended_at=data.run.started_at + self.seconds)) if self.seconds else data
        )


def test_the_best_settings_are_found_and_joined_within_the_budget() -> None:
    played = Played()
    found = tuning("threads=1", "threads=2", "spinning=off", "arena=off", "memory_pattern=off").run(
        played, budget_s=400.0
    )
    assert found.winner == "threads=2,spinning=off"
    assert [len(arms) for arms, _ in played.rounds] == [6, 4]
    assert all(arms[0] == BASE.id for arms, _ in played.rounds), "the reference is in every round"
    assert sum(seconds for _, seconds in played.rounds) + found.duel_s == pytest.approx(400.0)
    assert found.duel_s == 200.0, "the third round was not needed"
    first = found.rounds[0]
    assert first.run_id == "round-0"
    assert first.kept == ("threads=2", "spinning=off")
    assert first.found["threads=1"] == pytest.approx(0.26, abs=0.02)


def test_a_round_that_overruns_shortens_the_others_and_leaves_the_duel_its_part() -> None:
    """On a busy machine the start-ups alone can take longer than the first round's part."""
    changes = ("threads=1", "threads=2", "spinning=off", "arena=off", "memory_pattern=off")
    played = Played(seconds=160.0)
    found = tuning(*changes).run(played, budget_s=400.0)
    assert [seconds for _, seconds in played.rounds] == [100.0, 70.0], "no third round: the time for it is spent"
    assert found.duel_s == 100.0
    assert found.winner == "threads=2,spinning=off"


def test_what_cannot_be_measured_is_dropped() -> None:
    found = tuning("threads=2", "spinning=off").run(Played(broken=".t2"), budget_s=60.0)
    assert found.winner == "spinning=off"
    assert found.rounds[0].found["threads=2"] is None


def test_what_is_the_same_arm_is_tried_once() -> None:
    played = Played()
    tuning("current", "threads=1", "threads=1", "threads=0").run(played, budget_s=60.0)
    assert [len(arms) for arms, _ in played.rounds] == [2]


def test_nothing_to_try_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to try"):
        tuning("current").run(Played(), budget_s=60.0)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_plays_rounds_and_a_duel_and_stores_each(place: Path) -> None:
    arguments = ["--engine", "scripted", "--budget", "200s", "--try", "threads=1", "--try", "spinning=off"]
    done = CliRunner().invoke(tune, arguments, standalone_mode=False)
    assert done.return_value == ExitCode.OK, done.output
    with open_store(load_config({}, start=place, environment={}).results) as store:
        assert [row.selection.split(":")[0] for row in store.list()] == ["tune", "tune"]
    assert "round 1: 3 arms, 100 s" in done.output
    assert "which stays" in done.output, "the scripted engine has no options"
    (command,) = re.findall(r"to confirm it with a paired comparison: kokoro-bench duel (.*)", done.output)
    candidate, reference, *rest = shlex.split(command)
    assert candidate in ("model=scripted,threads=1", "model=scripted,spinning=off")
    assert (reference, *rest) == ("model=scripted", "--text", "chars-60", "--engine", "scripted")


def test_a_final_duel_that_is_too_short_advises_on_the_budget_of_the_search(place: Path) -> None:
    done = CliRunner().invoke(tune, ["--engine", "scripted", "--budget", "20s"], standalone_mode=False)
    found = re.search(r"6 pairs take about (\d+) s here: `--budget (\d+)s` or more", done.output)
    assert found, done.output
    assert int(found[2]) >= 2 * int(found[1]), "the duel has a quarter of it, or a half"
    assert "the cause of a change" not in done.output


def test_the_duel_that_it_names_is_one_that_can_be_played(place: Path) -> None:
    arguments = ["model=scripted,threads=1", "model=scripted", "--text", "chars-60", "--engine", "scripted"]
    done = CliRunner().invoke(duel, [*arguments, "--budget", "20s"], standalone_mode=False)
    assert done.return_value in (ExitCode.OK, ExitCode.UNDECIDED), done.output


def test_recommend_prints_the_table_the_sentence_and_what_to_paste(
    lab: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lab.root)
    lab.run(requests=[ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",))], model="scripted,scripted-8bit")
    done = CliRunner().invoke(recommend, ["--engine", "scripted", "--for", "throughput"], standalone_mode=False)
    assert done.exception is None, done.output
    assert "scripted-8bit.cpu.tdefault; the second best, scripted.cpu.tdefault, is" in " ".join(done.output.split())
    assert "session = ort.InferenceSession(" in done.output
    duel = "kokoro-bench duel model=scripted-8bit model=scripted --text chars-12 --engine scripted"
    assert f"to confirm it with a paired comparison: {duel}" in done.output


def test_recommend_never_picks_from_a_run_of_one_arm(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lab.root)
    lab.run(requests=[ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",))])
    done = CliRunner().invoke(recommend, ["--engine", "scripted"], standalone_mode=False)
    assert isinstance(done.exception, UsageError)
    assert done.exception.what == "no run of this machine has several combinations in it"


def test_of_two_ways_to_split_texts_one_is_combined_and_the_other_once_that_one_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for option, factor in {"first=24": 0.5, "window=1": 0.6}.items():
        monkeypatch.setitem(COST, option, factor)
    changes = "first=24", "window=1", "threads=2", "threads=1", "arena=off", "memory_pattern=off"
    search = replace(tuning(*changes), base=replace(BASE, engine="kokoro-sentences"))
    played = Played()

    def stalling(_self: Search, _values: RunValues, scenarios: Mapping[str, Scenario]) -> dict[str, str]:
        return {each: "it stalls" for each in scenarios if "first=24" in each and len(played.rounds) == 2}

    monkeypatch.setattr(Search, "_unfit", stalling)
    found = search.run(played, budget_s=400.0)
    tried = [set(each.found) for each in found.rounds]
    assert tried[1] == {"first=24", "window=1", "threads=2", "first=24,threads=2"}
    assert "window=1,threads=2" in tried[2]
    assert found.winner == "window=1,threads=2"
