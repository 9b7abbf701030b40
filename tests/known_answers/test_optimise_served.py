"""`optimise` for an engine that splits texts: it streams, nothing that stalls wins, and the printed server starts.

The engine is the scripted one, with the options of the reference server and its model's name: the printed command
serves the replica. What `first` is worth is planted.
"""

import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.engines import scripted
from harness.engines.scripted import start
from harness.plan.config import load_config
from harness.runner.search import DEFAULT_CHANGES, SPLITS
from harness.store.runs import open_store
from tests import forking
from tests.conftest import Command

SEARCH = ("optimise", "replica-small", "--engine", "scripted", "--budget", "300s", "--blocks", "3", "--quality", "any")
FEW = ("--try", "first=24", "--try", "first=24,planned_rtf=0.6", "--try", "threads=1")
BEST = "first=24,planned_rtf=0.6"
LATE_S = 20.0
"""Longer than any segment."""
Plant = Callable[..., None]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Halve the time of arms with `first=24`; with `late`, their second segment is late in texts of so many characters.

    `planned_rtf=0.6` mends that if `mended`.
    """
    for name in ("first", "planned_rtf", "window"):
        monkeypatch.setitem(scripted.OPTIONS, name, "as the reference server has it")  # type: ignore[arg-type]
    monkeypatch.setitem(scripted.SCRIPTED_MODELS, "replica-small", 1.0)  # type: ignore[arg-type]
    monkeypatch.setattr(scripted, "CHUNK_CHARACTERS", 20)
    monkeypatch.setattr("harness.runner.optimise.JUDGED_TEXTS", ("chars-12",))
    monkeypatch.setattr("harness.runner.optimise.UNSEEN_TEXTS", ("chars-200",))

    def planting(*, late: int = 1_000, mended: bool = True) -> None:
        def starting(order: Any, *, clock: Any, stages: Any) -> Any:
            options = dict(order.session_options)
            engine = start(order, clock=clock, stages=stages)
            if options.get("first") != "24":
                return engine
            engine._factor *= 0.5
            synthesise = engine.synthesise
            lateness = 0.0 if mended and "planned_rtf" in options else LATE_S

            def synthesising(request: Any) -> Iterator[Any]:
                for number, chunk in enumerate(synthesise(request)):
                    clock.sleep(lateness if number == 1 and len(request.text) >= late else 0.0)
                    yield chunk

            engine.synthesise = synthesising  # type: ignore[method-assign]
            return engine

        monkeypatch.setattr("harness.engines.scripted.start", starting)

    return planting


def answer(here: Command, *more: str) -> dict[str, Any]:
    found = here(*SEARCH, *more, "--json")
    assert found.returncode == 0, found.stdout + found.stderr
    result: dict[str, Any] = json.loads(found.stdout)
    return result


def results(found: dict[str, Any]) -> dict[str, str]:
    return {each["candidate"]: each["result"] for each in found["tried"]}


def test_it_streams_and_tries_where_texts_are_split(here: Command, plant: Plant) -> None:
    plant()
    found = answer(here)
    assert found["streamed"]
    assert {*SPLITS, *DEFAULT_CHANGES} <= results(found).keys()
    with open_store(load_config({}, environment={}).results) as store:
        modes = {each.selection.split(":")[1].split()[0]: store.load(each.id).run.scenarios for each in store.list()}
    assert {part: {each.mode.value for each in scenarios} for part, scenarios in modes.items()} == {
        "round": {"stream"},
        "speech": {"whole"},
        "duel": {"stream"},
    }
    assert not answer(here, *FEW, "--for", "throughput")["streamed"]


def test_speech_is_judged_beside_the_original_that_is_split_least(here: Command, plant: Plant) -> None:
    plant()
    answer(here, *FEW)
    with open_store(load_config({}, environment={}).results) as store:
        (judged,) = (store.load(each.id) for each in store.list() if ": speech" in each.selection)
    arms = list(dict.fromkeys(each.arm for each in judged.run.scenarios))
    whole = {"first": "180", "planned_rtf": "0.2", "window": "0"}
    assert [dict(arm.session_options) for arm in arms[:2]] == [whole, {}]


def test_a_candidate_that_stalls_is_dropped_however_soon_it_begins(here: Command, plant: Plant) -> None:
    plant(late=20)
    found = answer(here, *FEW)
    assert results(found)["first=24"] == "dropped in round 1: its audio stalled in 2 of 2 answers"
    assert (found["winner"], found["proven"]) == (BEST, True)


def test_where_all_stall_none_is_taken(here: Command, plant: Plant) -> None:
    plant(late=20, mended=False)
    found = answer(here, *FEW)
    assert found["winner"] not in ("first=24", BEST)
    assert found["serve"] == found["snippet"] == ""


def test_a_winner_that_stalls_in_longer_texts_alone_is_not_recommended(here: Command, plant: Plant) -> None:
    plant(late=100, mended=False)
    found = answer(here, *FEW)
    assert not found["proven"]
    assert f"{found['winner']} is not recommended: its audio stalled in " in found["answer"]
    assert found["serve"] == found["snippet"] == ""


def test_the_printed_server_is_the_winner_and_starts(
    here: Command, plant: Plant, tmp_path: Path, user_environment: dict[str, str]
) -> None:
    plant(late=20)
    said = here(*SEARCH, *FEW, "--session-options", "arena=off")
    assert said.returncode == 0, said.stdout + said.stderr
    lines = said.stdout.splitlines()
    command = lines[lines.index("as a server:") + 1]
    assert command == (
        "kokoro-bench serve --model replica-small --voice af_heart --provider cpu --threads 0 "
        "--first 24 --planned-rtf 0.6 --window 0 --session-options arena=off"
    )
    assert "# first=24, planned_rtf=0.6: of kokoro-bench serve, which splits texts; this is its session" in lines
    words = shlex.split(command)[1:]
    with forking.Started(*words, "--port", "0", cwd=tmp_path, env=user_environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split(" at ")[1].strip()
            assert process.stdout.readline() == "segments are planned for a real-time factor of 0.6, as given\n"
            options = httpx.get(f"{address}/status").json()["options"]
        finally:
            process.kill()
    assert options.items() >= {"first": "24", "planned_rtf": "0.6", "window": "0", "arena": "off"}.items()
