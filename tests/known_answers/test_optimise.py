# ruff: noqa: F811 - `plant` is a fixture

"""`optimise` through the command, on the scripted engine: finds the planted winner, and recommends nothing broken.

The judge of speech is scripted, as in the tests of the quality verdict. The 8-bit model takes 20 % less time.
"""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from harness.core.records.repetition import Canary
from harness.engines.scripted import start
from harness.engines.speech import EngineRefusal
from harness.measure.conductor.events import BlockDone
from harness.plan.config import load_config
from harness.runner.model_candidates import Models
from harness.runner.recorder import RunRecorder
from harness.runner.search_runs import SearchRuns
from harness.runner.side_tasks import SideTasks
from harness.store.runs import open_store
from tests.conftest import Command
from tests.known_answers.test_speech_verdict import Plant, plant  # noqa: F401 - a fixture

SEARCH = ("optimise", "scripted", "--engine", "scripted", "--for", "throughput", "--budget", "150s")
FEW = ("--try", "threads=1", "--try", "threads=2", "--blocks", "3")
FAST = "model=scripted-8bit"


@pytest.fixture
def judged(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Plant readings where speech is judged: not in the rounds, which are only timed."""
    unplanted = SideTasks.complete

    def planting(**given: Any) -> None:
        plant(**given)
        planted = SideTasks.complete

        def complete(self: SideTasks, conclusions: Any, data: Any, explain: Any) -> Any:
            chosen = planted if ": speech" in data.run.selection else unplanted
            return chosen(self, conclusions, data, explain)

        monkeypatch.setattr(SideTasks, "complete", complete)

    return planting


@pytest.fixture(autouse=True)
def _short_texts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge and prove on a short text: comparing the audio of long ones is most of what a scripted search costs."""
    if "its_own_texts" not in request.fixturenames:
        monkeypatch.setattr("harness.runner.optimise.JUDGED_TEXTS", ("chars-12",))
        monkeypatch.setattr("harness.runner.optimise.UNSEEN_TEXTS", ("chars-12",))


@pytest.fixture
def its_own_texts() -> None:
    """Named by the test that needs them."""


def answer(here: Command, *more: str, code: int = 0) -> dict[str, Any]:
    found = here(*SEARCH, *more, "--json")
    assert found.returncode == code, found.stdout + found.stderr
    result: dict[str, Any] = json.loads(found.stdout)
    return result


def row(found: dict[str, Any], candidate: str) -> dict[str, Any]:
    return next(each for each in found["tried"] if each["candidate"] == candidate)


@pytest.mark.usefixtures("its_own_texts")
def test_the_planted_winner_is_found_and_proven_on_texts_that_the_search_did_not_use(
    here: Command,
    judged: Plant,
) -> None:
    judged()
    found = answer(here, *FEW)
    assert (found["winner"], found["proven"], found["speech"]) == (FAST, True, "equivalent")
    assert [each["text"] for each in found["changes"]] == ["chars-200"], "--budget has no time for the second"
    for each in found["changes"]:
        assert each["verdict"] == "improved"
        assert each["change"]["low"] < -0.2231 < each["change"]["high"], "20 % are planted"
    assert found["answer"].startswith(f"Take {FAST}: rtf of chars-200 −")
    assert "session = ort.InferenceSession(" in found["snippet"]
    assert row(found, FAST)["result"] == "winner"
    assert row(found, FAST)["change"] == pytest.approx(-0.2231, abs=0.02)
    assert row(found, "threads=1")["result"] == "dropped in round 1"
    assert found["machine_changed"] == ""

    with open_store(load_config({}, environment={}).results) as store:
        selections = {each.selection for each in store.list()}
    assert selections == {f"optimise: {part} of search {found['search']}" for part in ("round 1", "speech 1", "duel")}


def test_what_sounds_broken_is_never_recommended(here: Command, judged: Plant) -> None:
    judged(errors=4)
    said = here(*SEARCH, *FEW, "--try", FAST)
    assert said.returncode == 0, said.stderr
    text = " ".join(said.stdout.split())
    assert "not recommended: Its speech is broken: 4 of 10 words" in text
    assert "Take" not in text
    assert "session = ort.InferenceSession(" not in text
    found = answer(here, *FEW, "--quality", "any")
    assert (found["winner"], found["speech"]) == (FAST, "broken")
    assert "It is recommended because of --quality any." in found["answer"]


def test_what_sounds_different_is_not_recommended_either(here: Command, judged: Plant) -> None:
    judged(mos=2.9)
    found = answer(here, *FEW)
    assert row(found, FAST)["speech"] == "different"
    assert found["winner"] != FAST


def test_a_candidate_that_does_not_load_is_named_and_dropped(
    here: Command,
    judged: Plant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged()

    def refusing(order: Any, **given: Any) -> Any:
        if order.model == "scripted-8bit":
            raise EngineRefusal("no such operator")
        return start(order, **given)

    monkeypatch.setattr("harness.engines.scripted.start", refusing)
    found = answer(here, *FEW)
    assert row(found, FAST)["result"] == "dropped in round 1: no such operator"
    assert row(found, FAST)["change"] is None
    assert found["winner"] != FAST


def test_without_time_for_the_duel_nothing_is_proven(here: Command, judged: Plant) -> None:
    judged()
    said = here(*SEARCH[:-1], "8s", *FEW)
    assert said.returncode == 0, said.stdout + said.stderr
    text = " ".join(said.stdout.split())
    assert "round 1: 4 arms, " in text
    assert "speech 1: " in text
    assert f"{FAST} leads, but no time was left for the final duel, so nothing is proven" in text
    assert "session = ort.InferenceSession(" not in text


@pytest.mark.usefixtures("its_own_texts")
def test_the_budget_that_it_names_has_time_for_the_final_duel(here: Command, judged: Plant) -> None:
    judged()
    (minutes,) = re.findall(r"`--budget (\d+)m --resume` makes it", " ".join(here(*SEARCH[:-1], "1s").stdout.split()))
    found = here(*SEARCH[:-1], f"{minutes}m", "--resume")
    assert found.returncode == 0, found.stderr
    assert "no time was left" not in found.stdout
    assert f"final duel of {FAST}" in found.stdout + found.stderr


def test_where_nothing_is_better_nothing_is_taken(here: Command, judged: Plant) -> None:
    judged()
    said = here("optimise", "scripted-8bit", "--engine", "scripted", "--for", "throughput", "--budget", "150s", *FEW)
    text = " ".join(said.stdout.split())
    assert said.returncode == 0, said.stdout + said.stderr
    assert "Nothing is better than the model as it is" in text or "Nothing is proven to be better" in text
    assert "session = ort.InferenceSession(" not in text


def test_a_round_in_which_the_current_arm_was_slow_makes_no_dropped_candidate_look_fast(
    here: Command,
    judged: Plant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged()
    slow = iter(range(1))

    def luckless(order: Any, **given: Any) -> Any:
        """The current arm takes 12 % longer in the launch of the first round."""
        is_base = order.model == "scripted" and not order.session_options and not order.threads
        if is_base and next(slow, None) is not None:
            order = replace(order, script={**order.script, "pace": "1.12"})
        return start(order, **given)

    monkeypatch.setattr("harness.engines.scripted.start", luckless)
    found = answer(here, *FEW, "--try", "spinning=off", "--try", "arena=off", "--blocks", "200", "--budget", "500s")
    assert len(found["rounds"]) > 1, "or nothing could tell that the current arm was slow"
    assert row(found, FAST)["change"] == pytest.approx(-0.2231, abs=0.04), "20 % are planted"
    with open_store(load_config({}, environment={}).results) as store:
        blocks = [sum(len(store.load(run).blocks) for run in runs) for runs in found["rounds"]]
    assert row(found, FAST)["blocks"] == sum(blocks)
    dropped = [each for each in found["tried"] if each["result"] == "dropped in round 1"]
    assert len(dropped) > 1
    assert {each["blocks"] for each in dropped} == {blocks[0]}
    alone = "the first round by itself says -0.113"
    assert [each["change"] for each in dropped] == pytest.approx([0.0] * len(dropped), abs=0.07), alone
    idle = [each["change"] for each in found["tried"] if FAST not in each["candidate"]]
    assert idle == pytest.approx([idle[0]] * len(idle), abs=0.03), "all do nothing"


def test_a_machine_that_changed_is_reported(
    here: Command,
    judged: Plant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged()
    readings = iter(range(1_000))

    def read(*_: object, **__: object) -> Canary:
        return Canary(numpy_ns=None, graph_ns=1_000_000 + 100_000 * next(readings))

    monkeypatch.setattr("harness.measure.worker.scripted_handle.ScriptedHandle.canary", read)
    found = answer(here, *FEW)
    assert found["machine_changed"].startswith("the machine changed during the search: a fixed piece of work took ")


def test_a_search_that_was_killed_goes_on_and_measures_nothing_twice(
    here: Command,
    judged: Plant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged()
    stored = RunRecorder.__call__
    blocks: list[str] = []

    def dying(self: RunRecorder, event: Any) -> None:
        stored(self, event)
        if isinstance(event, BlockDone) and "round 2" in self.head.selection:
            blocks.append(self.run_id)
            if len(blocks) == 2:
                raise KeyboardInterrupt

    more = (*FEW, "--try", "spinning=off", "--budget", "250s")
    monkeypatch.setattr(RunRecorder, "__call__", dying)
    monkeypatch.setattr(Models, "make", lambda *_given, **_named: ((FAST,), {"scripted-4bit": "one: two: three"}))
    stopped = here(*SEARCH, *more)
    assert stopped.returncode == 130, stopped.stdout + stopped.stderr
    assert "--resume continues the search" in stopped.stderr
    monkeypatch.setattr(RunRecorder, "__call__", stored)
    found = answer(here, *more, "--resume")
    assert found["winner"] == FAST
    assert row(found, "scripted-4bit")["result"] == "not tried: one: two: three"
    first, second = found["rounds"]
    assert len(first) == 1, "the first round was not measured again"
    assert second[0] == blocks[0], "the blocks of the second are kept"
    assert len(second) == 2, "a run of its own has the rest of its time"
    with open_store(load_config({}, environment={}).results) as store:
        selections = [each.selection for each in store.list()]
    assert sum("round 1" in each for each in selections) == 1
    # This search has come to its end: another with these settings begins anew.
    assert found["duel"]
    runs = SearchRuns(
        config=load_config({"engine": "scripted"}, environment={}), command="optimise", key=found["search"]
    )
    assert runs.unfinished() == 0
